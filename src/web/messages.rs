//! `/messages`: who sent text messages, unread or newest first, narrowed to what somebody has to do.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::arrivals::Shown;
use super::chrome::{Chrome, Here};
use super::flag_tag::FlagTag;
use super::keeping::Keeping;
use super::plain_text::{self, Piece, grouped};
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::results::{Moment, at};
use super::take_along::Files;
use super::trail::Trail;
use super::{Site, get};
use crate::access::Caseworker;
use crate::clock;
use crate::flagging::Flag;
use crate::notify::Content;
use crate::store::{Did, Flagged, InboxPage, InboxRow, Kept, Narrowed, ServiceId};

/// Characters of the latest text that the inbox shows.
const PREVIEW: usize = 160;
pub(super) const INBOX: &str = "/messages";

/// What can be asked for beside each other, as it stands in an address and in words.
const SHOWS: [(&str, &str); 3] = [("unread", "Unread"), (MINE, "Taken by me"), ("open", "Not dealt with")];
const MINE: &str = "mine";

#[derive(Template)]
#[template(path = "messages.html")]
struct MessagesPage {
    keeping: Keeping,
    chrome: Chrome,
    title: String,
    shows: Vec<Choice>,
    services: Vec<Choice>,
    destinations: Vec<Choice>,
    holders: Vec<Choice>,
    flags: Vec<Choice>,
    newest_first: bool,
    /// The filters that are set, in words, each with the address without it.
    filters: Vec<(String, String)>,
    /// The address without any.
    clear: String,
    caption: &'static str,
    /// When texts are read.
    hours: Option<String>,
    /// That possible danger has waited too long.
    waiting: Option<String>,
    rows: Vec<Row>,
    previous: Option<String>,
    next: Option<String>,
    files: Option<Files>,
    shown: Shown,
}

struct Choice {
    value: String,
    words: String,
    is_chosen: bool,
}

struct Row {
    href: String,
    sender: String,
    service: String,
    preview: Vec<Piece>,
    texts: String,
    arrived: Moment,
    is_unread: bool,
    is_dealt_with: bool,
    taken_by: Option<String>,
    flags: Vec<FlagTag>,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    warp::path!("messages")
        .and(get())
        .and(request::site(site))
        .and(request::caseworker(site))
        .and(request::query())
        .then(inbox)
        .map(answer)
        .boxed()
}

/// What of the inbox is asked for.
#[derive(Clone, Default)]
pub(super) struct Asked {
    shows: Vec<&'static str>,
    service: Option<i64>,
    /// A number that texts are sent to, by its own number here: it stands in no address.
    to: Option<i64>,
    /// The account of a colleague who has it, in place of the reader's own.
    holder: Option<i64>,
    flagged: Option<Flagged>,
    newest_first: bool,
}

impl Asked {
    pub(super) fn of(query: &Words) -> Asked {
        let holder = query.number("holder");
        let is_asked = |name: &str| query.all("show").any(|show| show == name) && (name != MINE || holder.is_none());
        Asked {
            shows: SHOWS.into_iter().map(|(name, _)| name).filter(|name| is_asked(name)).collect(),
            service: query.number("service"),
            to: query.number("to"),
            holder,
            flagged: query.get("flag").and_then(flagged),
            newest_first: query.get("sort") == Some("newest"),
        }
    }

    fn shows(&self, name: &str) -> bool {
        self.shows.contains(&name)
    }

    pub(super) fn narrowed(&self, caseworker: &Caseworker) -> Narrowed {
        Narrowed {
            unread: self.shows("unread"),
            taken_by: self.holder.or(caseworker.by().person.filter(|_| self.shows(MINE))),
            open: self.shows("open"),
            service: self.service.map(ServiceId),
            destination: self.to,
            flagged: self.flagged,
            newest_first: self.newest_first,
        }
    }

    /// Its address.
    fn link(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.shows.iter().map(|show| ("show", *show)));
        let numbers = [("service", self.service), ("to", self.to), ("holder", self.holder)];
        query.extend_pairs(numbers.iter().filter_map(|(name, number)| Some((*name, number.as_ref()?.to_string()))));
        query.extend_pairs(self.flagged.map(|flagged| ("flag", flag_words(flagged).0)));
        if self.newest_first {
            query.append_pair("sort", "newest");
        }
        match query.finish().as_str() {
            "" => INBOX.to_owned(),
            query => format!("{INBOX}?{query}"),
        }
    }

    /// The filters that are set, each with the address without it.
    fn filters(&self, services: &[Choice], destinations: &[Choice], holders: &[Choice]) -> Vec<(String, String)> {
        let shows = SHOWS.into_iter().filter(|(name, _)| self.shows(name)).map(|(name, words)| {
            let shows = self.shows.iter().copied().filter(|show| *show != name).collect();
            (words.to_owned(), Asked { shows, ..self.clone() })
        });
        let words = |choices: &[Choice], what: &str| {
            let chosen = choices.iter().find(|choice| choice.is_chosen).map(|choice| choice.words.clone());
            chosen.unwrap_or_else(|| what.to_owned())
        };
        let service = self.service.map(|_| (words(services, "A service"), Asked { service: None, ..self.clone() }));
        let to = self
            .to
            .map(|_| (format!("Sent to {}", words(destinations, "a number")), Asked { to: None, ..self.clone() }));
        let holder = self
            .holder
            .map(|_| (format!("Taken by {}", words(holders, "a colleague")), Asked { holder: None, ..self.clone() }));
        let flagged =
            self.flagged.map(|flagged| (flag_words(flagged).1.to_owned(), Asked { flagged: None, ..self.clone() }));
        let all = shows.chain(service).chain(to).chain(holder).chain(flagged);
        all.map(|(words, without)| (words, without.link())).collect()
    }
}

/// What can be chosen of flags.
const FLAGGED: [Flagged; 4] =
    [Flagged::Anyhow, Flagged::As(Flag::Danger), Flagged::As(Flag::Stop), Flagged::As(Flag::WrongPerson)];

/// As it stands in an address, and in words.
fn flag_words(flagged: Flagged) -> (&'static str, &'static str) {
    match flagged {
        Flagged::Anyhow => ("any", "Flagged"),
        Flagged::As(flag) => (flag.value(), flag.words()),
    }
}

fn flagged(value: &str) -> Option<Flagged> {
    FLAGGED.into_iter().find(|flagged| flag_words(*flagged).0 == value)
}

async fn inbox(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let caseworker = caseworker?;
    let (trail, asked) = (Trail::of(&query), Asked::of(&query));
    site.record(caseworker.did(Did::ListedMessages, clock::now())).await?;
    let page = site.store.inbox(caseworker.sees(), asked.narrowed(&caseworker), trail.before()).await?;
    if page.rows.is_empty() && trail.before().is_some() {
        return Ok(see_other(&asked.link()));
    }
    let InboxPage { rows, next, services, destinations, holders, hours, newest } = page;
    let waiting = site.store.waiting(caseworker.sees(), clock::now()).await?;
    let choice = |id: i64, words: &str, chosen: Option<i64>| Choice {
        value: id.to_string(),
        words: plain_text::line(words),
        is_chosen: chosen == Some(id),
    };
    let services: Vec<Choice> =
        services.iter().map(|service| choice(service.id.0, &service.name, asked.service)).collect();
    let destinations: Vec<Choice> = destinations.iter().map(|to| choice(to.id, &to.number, asked.to)).collect();
    let me = caseworker.by().person;
    let holders = holders.iter().filter(|(id, _)| Some(*id) != me || asked.holder == me);
    let holders: Vec<Choice> = holders.map(|(id, who)| choice(*id, who, asked.holder)).collect();
    let show = |(name, words): (&str, &str)| Choice {
        value: name.to_owned(),
        words: words.to_owned(),
        is_chosen: asked.shows(name),
    };
    let flag = |choice: Flagged| Choice {
        value: flag_words(choice).0.to_owned(),
        words: flag_words(choice).1.to_owned(),
        is_chosen: asked.flagged == Some(choice),
    };
    let filters = asked.filters(&services, &destinations, &holders);
    let clear = Asked { newest_first: asked.newest_first, ..Asked::default() }.link();
    html(&MessagesPage {
        shown: Shown { since: newest, conversation: None, href: clear.clone() },
        keeping: Keeping::of(&site),
        chrome: site.chrome(Some(&caseworker), Here::Messages),
        title: trail.title("Received text messages"),
        shows: SHOWS.map(show).into(),
        filters,
        clear,
        services,
        destinations,
        holders,
        flags: FLAGGED.map(flag).into(),
        newest_first: asked.newest_first,
        caption: if asked.newest_first { "Senders, newest text message first" } else { "Senders, unread first" },
        hours,
        waiting: waiting.map(|waiting| match waiting.conversations {
            1 => format!(
                "1 conversation may tell of danger and has been unread for more than {}",
                minutes(waiting.minutes)
            ),
            many => {
                format!(
                    "{many} conversations may tell of danger and have been unread for more than {}",
                    minutes(waiting.minutes)
                )
            }
        }),
        rows: rows.into_iter().map(row).collect(),
        previous: trail.previous(&asked.link()),
        next: trail.next(&asked.link(), next),
        files: Files::of(&caseworker, &asked.link()),
    })
}

fn minutes(minutes: i64) -> String {
    if minutes == 1 { "1 minute".to_owned() } else { format!("{minutes} minutes") }
}

fn row(row: InboxRow) -> Row {
    Row {
        href: format!("{INBOX}/{}", row.opaque),
        sender: named(row.latest.callback.person().unwrap_or_default().to_owned()),
        service: row.latest.service_name.clone(),
        preview: plain_text::pieces(&plain_text::preview(message(&row.latest), PREVIEW)),
        texts: grouped(row.texts),
        arrived: at(row.latest.arrived_at),
        is_unread: row.is_unread,
        is_dealt_with: row.is_dealt_with,
        taken_by: row.taken_by.map(|people| people.replace(',', ", ")),
        flags: row.flags.iter().map(|flag| FlagTag::of(&flag.hit, flag.arrival == row.latest.arrival)).collect(),
    }
}

pub(super) fn named(sender: String) -> String {
    if sender.is_empty() { "Unknown sender".into() } else { sender }
}

/// What a text says.
pub(super) fn message(kept: &Kept) -> &str {
    match &kept.callback.content {
        Content::ReceivedText(text) => text.message.as_deref().unwrap_or_default(),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_has_an_address_without_it_and_the_order_stays() {
        let asked =
            Asked::of(&Words::parse(b"show=open&show=unread&show=none&service=2&to=x&flag=stop&sort=newest&before=9"));
        assert_eq!(asked.link(), "/messages?show=unread&show=open&service=2&flag=stop&sort=newest");
        let filters = asked.filters(&[], &[], &[]);
        let links: Vec<(&str, &str)> = filters.iter().map(|(words, link)| (words.as_str(), link.as_str())).collect();
        assert_eq!(
            links,
            [
                ("Unread", "/messages?show=open&service=2&flag=stop&sort=newest"),
                ("Not dealt with", "/messages?show=unread&service=2&flag=stop&sort=newest"),
                ("A service", "/messages?show=unread&show=open&flag=stop&sort=newest"),
                ("Asks to stop", "/messages?show=unread&show=open&service=2&sort=newest"),
            ]
        );
        assert_eq!(Asked::of(&Words::default()).link(), "/messages");
        let colleagues = Asked::of(&Words::parse(b"show=mine&show=unread&holder=3"));
        assert_eq!(colleagues.link(), "/messages?show=unread&holder=3", "what a colleague has is not mine");
        let filters = colleagues.filters(&[], &[], &[]);
        assert_eq!(filters[1], ("Taken by a colleague".into(), "/messages?show=unread".into()));
    }
}
