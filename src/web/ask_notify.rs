//! `/ask-notify`: what Notify says now of a message that is not here, or not yet. Nothing of the answer is kept.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::problem::{Answer, Problem, answer, html};
use super::request::{self, Words};
use super::results::{Moment, StatusTag, href, receipt_tag, sent_as_words, written};
use super::taken::Taken;
use super::{Site, get, one_of, search, seen, sent_text};
use crate::access::Caseworker;
use crate::asking::NotTold;
use crate::clock;
use crate::notify::api::one::{MessageById, MessagesByReference, SentMessage};
use crate::notify::recipient::{MatchKey, reference_key};
use crate::notify::status::Advice;
use crate::notify::term::Term;
use crate::store::Did;

/// Messages with one reference that are shown, the newest.
const SHOWN: usize = 20;
/// As long as the longest reference that Notify takes.
const LONGEST: usize = 1000;

#[derive(Template)]
#[template(path = "ask_notify.html")]
struct AskPage {
    chrome: Chrome,
    /// Whether there is anybody to ask.
    services: Vec<String>,
    typed: String,
    error: Option<&'static str>,
    told: Option<Told>,
}

/// What was answered.
struct Told {
    messages: Vec<Message>,
    /// Whether there are more than are shown.
    more: bool,
    /// Of which services it could not be learnt, and why.
    failed: Vec<(String, &'static str)>,
}

struct Message {
    /// Its page here.
    href: Option<String>,
    reference: Option<String>,
    to: Option<String>,
    kind: String,
    service: String,
    status: StatusTag,
    advice: Advice,
    created: Option<Moment>,
    sent: Option<Moment>,
    finished: Option<Moment>,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("ask-notify")
            .and(get())
            .and(request::site(site))
            .and(request::caseworker(site))
            .and(request::query())
            .then(show)
            .map(answer)
            .boxed(),
        warp::path!("ask-notify")
            .and(warp::post())
            .and(request::site(site))
            .and(request::form_kept(site))
            .then(ask)
            .map(answer)
            .boxed(),
    ])
}

async fn show(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let caseworker = caseworker?;
    let typed = match query.get("search") {
        Some(opaque) => site.store.search_term(opaque.to_owned(), clock::now() - search::KEPT).await?,
        None => query.get("q").map(str::to_owned),
    };
    // What may be a number or an address goes from page to page in no address.
    let typed = typed.filter(|typed| is_reference(typed)).unwrap_or_default();
    if !typed.is_empty() && query.has("search") {
        let again = caseworker.did(Did::Searched, clock::now()).about(Some(reference_key(&typed)));
        site.record(again.with(Taken::Reference.value())).await?;
    }
    page(&site, &caseworker, &typed, None, None).await
}

fn is_reference(typed: &str) -> bool {
    matches!(Term::of(typed), Some(Term::Reference(_)))
}

async fn page(
    site: &Site,
    caseworker: &Caseworker,
    typed: &str,
    error: Option<&'static str>,
    told: Option<Told>,
) -> Answer {
    let services = services(site, caseworker).await?;
    let chrome = site.chrome(Some(caseworker), Here::Receipts);
    // Where nothing can be asked there is no field that it could stand at.
    let error = error.filter(|_| !services.is_empty());
    html(&AskPage { chrome, services, typed: typed.to_owned(), error, told })
}

async fn ask(site: Arc<Site>, asks: Result<(Caseworker, Words), Problem>) -> Answer {
    let (caseworker, form) = asks?;
    let typed = form.get("q").unwrap_or_default().trim().to_owned();
    let term = Term::of(&typed);
    let error = if term.is_none() {
        Some("Enter a reference or Notify’s id")
    } else if matches!(term, Some(Term::People(_))) {
        // It would stand in the address that Notify is asked at.
        Some("Enter a reference or Notify’s id: Notify cannot be asked for a phone number or an email address")
    } else if typed.chars().count() > LONGEST {
        Some("Reference must be 1,000 characters or fewer")
    } else if !site.beyond.asking.pace.begin(caseworker.by().person.unwrap_or_default(), clock::now()) {
        Some("You have asked Notify 10 times in a minute. Wait a minute, then try again")
    } else {
        None
    };
    if error.is_some() {
        return page(&site, &caseworker, &typed, error, None).await;
    }
    let asked = vec![caseworker.did(Did::AskedNotify, clock::now()).about(Some(reference_key(&typed)))];
    site.record_all(asked.clone()).await?;
    let mut told = Told { messages: Vec::new(), more: false, failed: Vec::new() };
    for service in services(&site, &caseworker).await? {
        match of_service(&site, &service, &typed).await {
            Ok(found) => {
                for message in found {
                    let here = site.store.receipt(caseworker.sees(), &message.id).await?.is_some();
                    told.messages.push(shown(message, &service, here));
                    if told.messages.len() > SHOWN {
                        break;
                    }
                }
            }
            Err(why) => told.failed.push((service, words(why))),
        }
    }
    told.more = told.messages.len() > SHOWN;
    told.messages.truncate(SHOWN);
    // Whom they were sent to is known only now.
    let people = told.messages.iter().filter_map(|message| MatchKey::of_recipient(message.to.as_deref()?));
    let people = people.map(|key| key.as_str().to_owned()).collect();
    let known = asked.len();
    let answered = seen::with_others(asked, people, "in the answer");
    site.record_all(answered.into_iter().skip(known).collect()).await?;
    page(&site, &caseworker, &typed, None, Some(told)).await
}

/// The names of the services that this person sees and that Notify can be asked for.
async fn services(site: &Site, caseworker: &Caseworker) -> Result<Vec<String>, Problem> {
    let mut services = Vec::new();
    for service in site.store.services_seen(caseworker.sees()).await? {
        if sent_text::can_ask(site, &service.name).await? {
            services.push(service.name);
        }
    }
    Ok(services)
}

/// By the id, where it is one, and by the reference where there is no such id.
async fn of_service(site: &Site, service: &str, typed: &str) -> Result<Vec<SentMessage>, NotTold> {
    let asking = &site.beyond.asking;
    if let Ok(id) = uuid::Uuid::try_parse(typed) {
        match asking.ask(service, &MessageById(id), true).await {
            Err(NotTold::NotThere) => (),
            told => return told.map(|message| vec![message]),
        }
    }
    match asking.ask(service, &MessagesByReference(typed.to_owned()), true).await {
        Err(NotTold::NotThere) => Ok(Vec::new()),
        told => told,
    }
}

fn words(why: NotTold) -> &'static str {
    match why {
        NotTold::NotThere => "Notify has no such message.",
        NotTold::Refused => {
            "Notify did not answer as it should. Tell the people who run this service: the log says why."
        }
        NotTold::Busy => "Notify is busy. Try again in a minute.",
        NotTold::NoAnswer => "Notify did not answer in time. Try again in a minute.",
    }
}

fn shown(message: SentMessage, service: &str, here: bool) -> Message {
    let sent_as = message.sent_as.as_deref();
    let moment = |text: &Option<String>| text.as_deref().map(written);
    Message {
        href: here.then(|| href(&message.id)),
        kind: sent_as_words(sent_as),
        service: service.to_owned(),
        status: receipt_tag(&message.status, sent_as),
        advice: message.status.advice(sent_as),
        created: moment(&message.created_at),
        sent: moment(&message.sent_at),
        finished: moment(&message.completed_at),
        reference: message.reference,
        to: message.to,
    }
}

/// The page on which this person may ask for what was typed, where Notify can be asked at all. What could be a name stands in no
/// address: it is asked for by the name of its search.
pub(super) async fn offered(
    site: &Site,
    caseworker: &Caseworker,
    typed: &str,
    search: Option<&str>,
) -> Result<Option<String>, Problem> {
    let has_keys = site.beyond.asking.services().next().is_some();
    if !has_keys || !is_reference(typed) || services(site, caseworker).await?.is_empty() {
        return Ok(None);
    }
    let (name, value) = search.map_or(("q", typed), |opaque| ("search", opaque));
    let query = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
    Ok(Some(format!("/ask-notify?{query}")))
}
