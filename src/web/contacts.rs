//! `/contacts`: numbers, addresses and letters with which something is wrong, a list for each sort, to be seen to and ticked off.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::plain_text::{self, grouped};
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::results::{Moment, StatusTag, at, happened, href, kind_words, status_tag};
use super::trail::Trail;
use super::{Site, download, get, one_of, uk_time};
use crate::access::{Caseworker, May};
use crate::clock;
use crate::spreadsheet;
use crate::store::{Concern, Contact, ContactsAsked, Did, Marked, Service, ServiceId, Services};

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
    services: Vec<Choice>,
    rows: Vec<Row>,
    /// What somebody has just done here.
    done: Option<Done>,
    /// What could not be done.
    error: Option<&'static str>,
    may_deal: bool,
    csv: Option<String>,
    previous: Option<String>,
    next: Option<String>,
}

struct List {
    href: String,
    words: &'static str,
    is_here: bool,
    count: String,
}

struct Choice {
    value: i64,
    words: String,
    chosen: bool,
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
#[derive(Clone, Copy)]
struct Asked {
    concern: Concern,
    dealt: bool,
    service: Option<ServiceId>,
}

impl Asked {
    fn of(concern: &str, query: &Words) -> Result<Asked, Problem> {
        let concern = Concern::of(concern).ok_or(Problem::NotFound)?;
        Ok(Asked { concern, dealt: query.get("dealt").is_some(), service: query.number("service").map(ServiceId) })
    }

    fn link(self, path: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if self.dealt {
            query.append_pair("dealt", "yes");
        }
        if let Some(ServiceId(service)) = self.service {
            query.append_pair("service", &service.to_string());
        }
        match query.finish().as_str() {
            "" => path.to_owned(),
            query => format!("{path}?{query}"),
        }
    }

    fn from(self, before: Option<i64>) -> ContactsAsked {
        let Asked { concern, dealt, service } = self;
        ContactsAsked { concern, dealt, service, before }
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
        warp::path!("contacts" / String / "csv")
            .and(get())
            .and(request::site(site))
            .and(request::allowed(site, May::Export))
            .and(request::query())
            .then(csv)
            .map(answer)
            .boxed(),
    ])
}

fn path(concern: Concern) -> String {
    format!("{PAGE}/{}", concern.value())
}

async fn show(concern: String, site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let (caseworker, asked) = (caseworker?, Asked::of(&concern, &query)?);
    let trail = Trail::of(&query);
    let page = page(&site, &caseworker, asked, &trail).await?;
    if page.rows.is_empty() && trail.before().is_some() {
        return Ok(see_other(&asked.link(&path(asked.concern))));
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
    let found = site.store.contacts(caseworker.sees(), asked.from(trail.before())).await?;
    let counts = site.store.count_contacts(caseworker.sees()).await?;
    let here = asked.link(&path(asked.concern));
    let list = |(concern, count): (Concern, i64)| List {
        href: path(concern),
        words: words(concern).0,
        is_here: concern == asked.concern,
        count: if count >= COUNTED { format!("{}+", grouped(COUNTED)) } else { grouped(count) },
    };
    let (name, advice) = words(asked.concern);
    let heading =
        format!("Contacts to check: {}{}", name.to_lowercase(), if asked.dealt { ", dealt with" } else { "" });
    let services = services(site, caseworker.sees(), asked).await?;
    Ok(ContactsPage {
        chrome: Chrome::new(Some(caseworker), Here::Contacts),
        title: trail.title(&heading),
        heading,
        list: name,
        advice,
        lists: counts.into_iter().map(list).collect(),
        path: path(asked.concern),
        here: here.clone(),
        dealt: asked.dealt,
        other: Asked { dealt: !asked.dealt, ..asked }.link(&path(asked.concern)),
        services,
        rows: found.rows.iter().map(row).collect(),
        done: None,
        error: None,
        may_deal: caseworker.may(May::Deal),
        csv: caseworker.may(May::Export).then(|| asked.link(&format!("{}/csv", path(asked.concern)))),
        previous: trail.previous(&here),
        next: trail.next(&here, found.next),
    })
}

/// Where there is more than one to choose from.
async fn services(site: &Site, sees: &Services, asked: Asked) -> Result<Vec<Choice>, Problem> {
    let services = site.store.services_seen(sees).await?;
    let choice = |service: Service| Choice {
        value: service.id.0,
        chosen: asked.service == Some(service.id),
        words: plain_text::line(&service.name),
    };
    let choices: Vec<Choice> = services.into_iter().map(choice).collect();
    Ok(if choices.len() > 1 { choices } else { Vec::new() })
}

async fn mark(
    concern: String,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    query: Words,
    form: Result<Words, Problem>,
) -> Answer {
    let asked = Asked::of(&concern, &query)?;
    let here = path(asked.concern);
    let (caseworker, form) = (request::led_on(caseworker, &here)?, form?);
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
    let shown = Asked { dealt: asked.dealt && dealt, ..asked }.link(&here);
    let joint = if shown.contains('?') { '&' } else { '?' };
    let undone = if dealt { "" } else { "&undone=yes" };
    Ok(see_other(&format!("{shown}{joint}marked={}{undone}", marked.join("."))))
}

/// A contact as the page showed it: its number and that of its latest callback.
fn seen(value: &str) -> Option<(i64, i64)> {
    let (id, latest) = value.split_once('-')?;
    Some((id.parse().ok()?, latest.parse().ok()?))
}

async fn csv(concern: String, site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let (caseworker, asked) = (caseworker?, Asked::of(&concern, &query)?);
    site.record(caseworker.did(Did::ExportedContacts, clock::now()).with(asked.concern.value())).await?;
    let write = |pieces: download::Pieces| async move {
        let columns = [
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
        let (mut before, mut saved) = (None, 0);
        let mut going_on = pieces.send(format!("{}{}", spreadsheet::BEGINNING, spreadsheet::row(columns))).await;
        while going_on {
            let Ok(found) = site.store.contacts(caseworker.sees(), asked.from(before)).await else {
                tracing::error!(event = "page.failed", "a file could not be written to its end");
                pieces.break_off().await;
                break;
            };
            before = found.next;
            saved += found.rows.len() as u64;
            going_on = pieces.send(found.rows.iter().map(line).collect()).await && found.next.is_some();
        }
        if let Err(error) = site.store.note_saved(caseworker.by(), saved, clock::now()).await {
            tracing::error!(event = "page.not_noted", error = %error, "how much was saved could not be noted");
        }
    };
    Ok(download::file(&format!("contacts-{}.csv", asked.concern.value()), download::CSV, write))
}

fn line(contact: &Contact) -> String {
    let callback = &contact.latest.callback;
    let (dealt_at, dealt_by) = contact.dealt.as_ref().map_or((String::new(), ""), |(at, by)| (uk_time::iso(*at), by));
    spreadsheet::row([
        callback.person().unwrap_or_default(),
        callback.reference().unwrap_or_default(),
        &contact.latest.service_name,
        &kind_words(callback),
        &status_tag(callback).words,
        &contact.times.to_string(),
        &uk_time::iso(contact.since),
        &uk_time::iso(contact.latest.arrived_at),
        &dealt_at,
        dealt_by,
        callback.notify_id(),
    ])
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
             Counterfoil stops nothing by itself.",
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
