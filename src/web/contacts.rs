//! `/contacts`: numbers, addresses and letters with which something is wrong, a list for each sort, to be seen to and ticked off.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::confirm::Faults;
use super::filters::{Filters, Set};
use super::plain_text::grouped;
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::results::{Moment, StatusTag, at, happened, href, kind_words, status_tag};
use super::take_along::{self, Files, Saver};
use super::trail::Trail;
use super::{Site, get, one_of, uk_time};
use crate::access::{Caseworker, May};
use crate::clock;
use crate::spreadsheet::Format;
use crate::store::{Concern, Contact, ContactsAsked, ContactsPage as Contacts, Did, Marked};

const PAGE: &str = "/contacts";
/// Contacts that are marked at once are those of one page at most.
const MARKED_AT_ONCE: usize = 100;
/// A count stops here.
const COUNTED: i64 = 1000;

#[derive(Template)]
#[template(path = "contacts.html")]
struct ContactsPage {
    chrome: Chrome,
    title: String,
    heading: String,
    /// What the list is called.
    list: &'static str,
    advice: &'static str,
    lists: Vec<List>,
    /// Where the filter goes.
    path: String,
    /// This list with its filter, where the forms go.
    here: String,
    dealt: bool,
    /// The same list of those that somebody dealt with, or of the others.
    other: String,
    filters: Filters,
    /// What is wrong with the dates.
    faults: Faults,
    /// What goes along with the filters.
    hidden: Vec<(&'static str, String)>,
    /// The filters that are set, in words, each with the address without it.
    set: Vec<(String, String)>,
    clear: String,
    rows: Vec<Row>,
    /// What somebody has just done here.
    done: Option<Done>,
    /// What could not be done.
    error: Option<&'static str>,
    may_deal: bool,
    files: Option<Files>,
    previous: Option<String>,
    next: Option<String>,
}

struct List {
    href: String,
    words: &'static str,
    is_here: bool,
    count: String,
}

struct Done {
    words: String,
    /// Those that were marked, to undo it.
    contacts: Vec<String>,
}

struct Row {
    /// The contact with its latest callback, for the form.
    value: String,
    field: String,
    person: String,
    href: String,
    conversation: Option<String>,
    reference: Option<String>,
    service: String,
    kind: String,
    status: StatusTag,
    times: String,
    since: Moment,
    latest: Moment,
    dealt: Option<(Moment, String)>,
}

/// A list as it is asked for.
struct Asked {
    concern: Concern,
    dealt: bool,
    filters: Filters,
}

impl Asked {
    async fn of(site: &Site, caseworker: &Caseworker, concern: &str, query: &Words) -> Result<Asked, Problem> {
        let concern = Concern::of(concern).ok_or(Problem::NotFound)?;
        let filters = Filters::of_service_and_dates(query, site.store.services_seen(caseworker.sees()).await?);
        Ok(Asked { concern, dealt: query.get("dealt").is_some(), filters })
    }

    /// Its address.
    fn link(&self) -> String {
        self.narrowed(self.dealt, &self.filters.pairs_without(&[]))
    }

    /// The same list of those that are dealt with or not, with these filters.
    fn narrowed(&self, dealt: bool, filters: &[(String, String)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(dealt.then_some(("dealt", "yes"))).extend_pairs(filters);
        match query.finish().as_str() {
            "" => path(self.concern),
            query => format!("{}?{query}", path(self.concern)),
        }
    }

    fn from(&self, before: Option<i64>) -> ContactsAsked {
        let only = self.filters.only();
        let (service, since, until) = (only.service, only.since, only.until);
        ContactsAsked { concern: self.concern, dealt: self.dealt, service, since, until, before }
    }
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("contacts").and(get()).map(|| see_other(&path(Concern::FailedForGood))).boxed(),
        warp::path!("contacts" / String)
            .and(get())
            .and(request::site(site))
            .and(request::caseworker(site))
            .and(request::query())
            .then(show)
            .map(answer)
            .boxed(),
        warp::path!("contacts" / String)
            .and(warp::post())
            .and(request::site(site))
            .and(request::allowed(site, May::Deal))
            .and(request::query())
            .and(request::form())
            .then(mark)
            .map(answer)
            .boxed(),
        warp::path!("contacts" / String / Format)
            .and(get())
            .and(request::site(site))
            .and(take_along::saver(site))
            .and(request::query())
            .then(file)
            .map(answer)
            .boxed(),
    ])
}

fn path(concern: Concern) -> String {
    format!("{PAGE}/{}", concern.value())
}

async fn show(concern: String, site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let caseworker = caseworker?;
    let asked = Asked::of(&site, &caseworker, &concern, &query).await?;
    let trail = Trail::of(&query);
    let page = page(&site, &caseworker, asked, &trail).await?;
    if page.rows.is_empty() && trail.before().is_some() {
        return Ok(see_other(&page.here));
    }
    let contacts: Vec<String> = query.get("marked").unwrap_or_default().split('.').map(str::to_owned).collect();
    let contacts: Vec<String> = contacts.into_iter().filter(|contact| seen(contact).is_some()).collect();
    let done = (!contacts.is_empty() && contacts.len() <= MARKED_AT_ONCE).then(|| Done {
        words: match (contacts.len(), query.get("undone").is_some()) {
            (1, false) => "1 contact marked as dealt with".into(),
            (many, false) => format!("{many} contacts marked as dealt with"),
            (1, true) => "1 contact marked as not dealt with".into(),
            (many, true) => format!("{many} contacts marked as not dealt with"),
        },
        contacts: if query.get("undone").is_some() { Vec::new() } else { contacts },
    });
    html(&ContactsPage { done, ..page })
}

async fn page(site: &Site, caseworker: &Caseworker, asked: Asked, trail: &Trail) -> Result<ContactsPage, Problem> {
    site.record(caseworker.did(Did::ListedContacts, clock::now()).with(asked.concern.value())).await?;
    let faults = asked.filters.faults();
    let found = if faults.all().is_empty() {
        site.store.contacts(caseworker.sees(), asked.from(trail.before())).await?
    } else {
        Contacts::default()
    };
    let counts = site.store.count_contacts(caseworker.sees()).await?;
    let here = asked.link();
    let list = |(concern, count): (Concern, i64)| List {
        href: path(concern),
        words: words(concern).0,
        is_here: concern == asked.concern,
        count: if count >= COUNTED { format!("{}+", grouped(COUNTED)) } else { grouped(count) },
    };
    let (name, advice) = words(asked.concern);
    let heading =
        format!("Contacts to check: {}{}", name.to_lowercase(), if asked.dealt { ", dealt with" } else { "" });
    let set = asked.filters.set();
    let without = |set: &Set| (set.words.clone(), asked.narrowed(asked.dealt, &set.gone_from(&asked.filters)));
    Ok(ContactsPage {
        chrome: site.chrome(Some(caseworker), Here::Contacts),
        title: trail.title(&heading),
        heading,
        list: name,
        advice,
        lists: counts.into_iter().map(list).collect(),
        path: path(asked.concern),
        here: here.clone(),
        dealt: asked.dealt,
        other: asked.narrowed(!asked.dealt, &asked.filters.pairs_without(&[])),
        faults,
        hidden: asked.dealt.then(|| ("dealt", "yes".to_owned())).into_iter().collect(),
        set: set.iter().map(without).collect(),
        clear: asked.narrowed(asked.dealt, &[]),
        rows: found.rows.iter().map(row).collect(),
        done: None,
        error: None,
        may_deal: caseworker.may(May::Deal),
        files: Files::of(caseworker, &here),
        previous: trail.previous(&here),
        next: trail.next(&here, found.next),
        filters: asked.filters,
    })
}

async fn mark(
    concern: String,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    query: Words,
    form: Result<Words, Problem>,
) -> Answer {
    let here = path(Concern::of(&concern).ok_or(Problem::NotFound)?);
    let (caseworker, form) = (request::led_on(caseworker, &here)?, form?);
    let asked = Asked::of(&site, &caseworker, &concern, &query).await?;
    let dealt = form.get("dealt") == Some("yes");
    let chosen: Vec<&str> = form.all("contact").take(MARKED_AT_ONCE).collect();
    let mut marked = Vec::new();
    let mut changed = false;
    for contact in &chosen {
        let Some(seen) = seen(contact) else { continue };
        match site.store.mark_contact(caseworker.sees(), seen, dealt, caseworker.by(), clock::now()).await? {
            Marked::Done => marked.push(*contact),
            Marked::Changed => changed = true,
        }
    }
    let error = match (changed, chosen.is_empty()) {
        (true, _) => Some(
            "Some contacts were not marked. A colleague marked them, or something new came, after you opened the page",
        ),
        (_, true) => Some("Select the contacts that are dealt with"),
        _ => None,
    };
    if error.is_some() {
        let page = page(&site, &caseworker, asked, &Trail::default()).await?;
        return html(&ContactsPage { error, ..page });
    }
    let shown = asked.narrowed(asked.dealt && dealt, &asked.filters.pairs_without(&[]));
    let joint = if shown.contains('?') { '&' } else { '?' };
    let undone = if dealt { "" } else { "&undone=yes" };
    Ok(see_other(&format!("{shown}{joint}marked={}{undone}", marked.join("."))))
}

/// A contact as the page showed it: its number and that of its latest callback.
fn seen(value: &str) -> Option<(i64, i64)> {
    let (id, latest) = value.split_once('-')?;
    Some((id.parse().ok()?, latest.parse().ok()?))
}

async fn file(concern: String, format: Format, site: Arc<Site>, saver: Result<Saver, Problem>, query: Words) -> Answer {
    let saver = saver?;
    let asked = Asked::of(&site, &saver.caseworker, &concern, &query).await?;
    if !asked.filters.faults().all().is_empty() {
        return Err(Problem::BadRequest);
    }
    let did = vec![saver.did(Did::ExportedContacts).with(format!("{}, {}", asked.concern.value(), format.words()))];
    saver
        .save(
            site,
            did,
            &format!("contacts-{}", asked.concern.value()),
            format,
            take_along::List::Contacts(asked.from(None), take_along::Left::default()),
        )
        .await
}

/// The columns of a file.
pub(super) const COLUMNS: &[&str] = &[
    "Contact",
    "Last reference",
    "Service",
    "Kind",
    "Status",
    "Times",
    "Since",
    "Latest",
    "Dealt with",
    "By",
    "Id in Notify",
];

/// A row of a file.
pub(super) fn cells(contact: &Contact) -> Vec<String> {
    let callback = &contact.latest.callback;
    let (dealt_at, dealt_by) = contact.dealt.clone().map_or_else(Default::default, |(at, by)| (uk_time::iso(at), by));
    vec![
        callback.person().unwrap_or_default().to_owned(),
        callback.reference().unwrap_or_default().to_owned(),
        contact.latest.service_name.clone(),
        kind_words(callback),
        status_tag(callback).words,
        contact.times.to_string(),
        uk_time::iso(contact.since),
        uk_time::iso(contact.latest.arrived_at),
        dealt_at,
        dealt_by,
        callback.notify_id().to_owned(),
    ]
}

fn row(contact: &Contact) -> Row {
    let callback = &contact.latest.callback;
    let person = callback.person().filter(|person| !person.is_empty());
    Row {
        value: format!("{}-{}", contact.id, contact.latest.arrival),
        field: format!("contact-{}", contact.id),
        person: person.map_or_else(|| kind_words(callback), str::to_owned),
        href: href(callback.notify_id()),
        conversation: contact.conversation.as_ref().map(|opaque| format!("/messages/{opaque}")),
        reference: callback.reference().map(str::to_owned),
        service: contact.latest.service_name.clone(),
        kind: kind_words(callback),
        status: status_tag(callback),
        times: grouped(contact.times),
        since: at(contact.since),
        latest: happened(&contact.latest),
        dealt: contact.dealt.as_ref().map(|(when, who)| (at(*when), who.clone())),
    }
}

/// The heading of a list, and what to do about what stands there.
fn words(concern: Concern) -> (&'static str, &'static str) {
    match concern {
        Concern::FailedForGood => (
            "Not delivered",
            "The last message to each of these could not be delivered. The number or address may be wrong, or the network or provider may have \
             refused the message. Check it with the person before you change or delete anything.",
        ),
        Concern::FailsNowAndThen => (
            "Failing now and then",
            "Phones that were off or out of reach, and inboxes that were full. Send the message again later, or reach the person another way.",
        ),
        Concern::MarkedAsSpam => {
            ("Marked as spam", "Each of these people marked an email as spam. Ask them before you send another.")
        }
        Concern::AskedToStop => (
            "Asked to stop",
            "A text message from each of these numbers may ask for no more messages. Read it, then take the number off your lists if it does. \
             Nothing stops by itself.",
        ),
        Concern::WrongPerson => (
            "Possibly wrong person",
            "A text message from each of these numbers may say that your messages reach the wrong person. Read it, then correct your records \
             before you send anything else.",
        ),
        Concern::LetterReturned => {
            ("Letters returned", "Each of these letters came back. Check the address before you send another.")
        }
    }
}
