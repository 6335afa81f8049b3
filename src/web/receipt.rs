//! `/receipts/<Notify's id>`: everything that came for one notification, and what else is known of that person.

use std::sync::Arc;

use askama::Template;
use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::back::Back;
use super::chrome::{Chrome, Here};
use super::plain_text::{self, Body, Piece};
use super::problem::{Answer, Problem, answer, html};
use super::request::{self, Words};
use super::results::{Moment, StatusTag, at, href, id_of, kind_words, status_tag};
use super::sent_text::Said;
use super::timeline::{self, Else, Step};
use super::{Site, elsewhere, get, handling, help, seen, sent_text, take_along};
use crate::access::Caseworker;
use crate::clock;
use crate::notify::status::Advice;
use crate::notify::term::Term;
use crate::notify::{Callback, Content, Kind};
use crate::store::{Did, Kept, Receipt};

/// Keys that Notify does not send, of which a page lists no more.
const OTHER_KEYS: usize = 50;
/// What a template is called.
const TEMPLATE: &str = "Template";
/// So much of the value of one.
const OTHER_VALUE: usize = 1000;

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    chrome: Chrome,
    /// What it is, and what names it.
    heading: (String, Option<String>),
    title: String,
    back: Back,
    /// What is shown of it: the receipt first, then what else came of other kinds.
    parts: Vec<Part>,
    events: Vec<Event>,
    others: Vec<Else>,
    /// Whom or what a search finds more of, where the list is not whole.
    more: Vec<(&'static str, String)>,
    /// What the message said that was sent.
    said: Said,
    /// What a received text says.
    message: Option<Vec<Piece>>,
    /// When it was redacted, and why.
    redacted: Option<(Moment, Option<String>)>,
    conversation: Option<String>,
    /// What is done about it, a service each.
    handling: Vec<String>,
    /// Where the person's text is answered.
    answer: Option<String>,
    /// Where the case with this reference is.
    case: Option<String>,
}

/// What is known beside the callbacks.
struct Beside {
    said: Said,
    /// What the template is called.
    template: Option<String>,
}

/// What one kind of callback says of it.
struct Part {
    kind: &'static str,
    status: StatusTag,
    advice: Advice,
    /// Where the status is explained beside the others.
    help: String,
    steps: Vec<Step>,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    value: Value,
}

enum Value {
    Plain(String),
    /// With where its case is.
    Reference(String, Option<String>),
    Nothing,
}

struct Event {
    kind: &'static str,
    status: StatusTag,
    arrived: Moment,
    times: i64,
    shown: bool,
    body: Body,
}

impl Field {
    /// What the button says that copies it, where people often do.
    fn copied(&self) -> Option<&'static str> {
        match &self.value {
            Value::Plain(text) if matches!(self.name.as_str(), "Sent to" | "From") => take_along::copied(text),
            _ => None,
        }
    }
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    warp::path!("receipts" / String)
        .and(get())
        .and(request::site(site))
        .and(request::caseworker(site))
        .and(warp::header::headers_cloned())
        .and(request::query())
        .then(show)
        .map(answer)
        .boxed()
}

async fn show(
    notify_id: String,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    headers: HeaderMap,
    query: Words,
) -> Answer {
    let caseworker = caseworker?;
    let notify_id = id_of(&notify_id).ok_or(Problem::NotFound)?;
    let receipt = site.store.receipt(caseworker.sees(), &notify_id).await?.ok_or(Problem::NotFound)?;
    let opened = caseworker.did(Did::OpenedReceipt, clock::now()).of(notify_id.as_str());
    let opened = opened.about_each(seen::people(&receipt.events));
    let others = seen::people(receipt.related.iter().map(|related| &related.kept));
    site.record_all(seen::with_others(opened, others, "same reference")).await?;
    let shown = shown(&receipt);
    let main = shown.first().ok_or(Problem::NotFound)?;
    let (said, template) = if receipt.redacted.is_none() {
        tokio::join!(sent_text::of(&site, &caseworker, main), sent_text::template_name(&site, main))
    } else {
        (Ok(Said::Nothing), sent_text::template_name(&site, main).await)
    };
    let beside = Beside { said: said?, template: template? };
    let here = href(&notify_id);
    let back = Back::of(&headers, &query, &here, Back::to_results());
    html(&page(&site, &caseworker, &receipt, beside, &here, back).ok_or(Problem::NotFound)?)
}

fn page(
    site: &Site,
    caseworker: &Caseworker,
    receipt: &Receipt,
    beside: Beside,
    here: &str,
    back: Back,
) -> Option<ReceiptPage> {
    let shown = shown(receipt);
    let main = shown.first()?;
    let heading = heading(&main.callback);
    let message = shown.iter().find_map(|kept| timeline::message(kept));
    Some(ReceiptPage {
        chrome: site.chrome(Some(caseworker), Here::Receipts),
        title: title(&main.callback, &heading),
        heading,
        parts: shown.iter().map(|kept| part(site, kept, beside.template.as_deref())).collect(),
        events: receipt.events.iter().map(event).collect(),
        others: timeline::others(&receipt.related, &back, here, site.beyond.case_url.as_ref()),
        more: more(receipt, &main.callback),
        said: beside.said,
        message: message.filter(|_| receipt.redacted.is_none()),
        redacted: receipt.redacted.as_ref().map(|redacted| (at(redacted.at), redacted.reason.clone())),
        conversation: receipt
            .conversation
            .as_ref()
            .map(|conversation| back.onward(here, &format!("/messages/{}", conversation.opaque))),
        handling: receipt
            .conversation
            .as_ref()
            .map(|conversation| handling::said(conversation, caseworker.by().person))
            .unwrap_or_default(),
        answer: receipt.newest_text.as_ref().and_then(|text| elsewhere::answer_at(site, text)),
        case: main.callback.reference().and_then(|reference| site.case(reference)),
        back,
    })
}

/// What a search finds the rest by, in the words of its button.
fn more(receipt: &Receipt, main: &Callback) -> Vec<(&'static str, String)> {
    let person = main.person().filter(|_| receipt.more_of_person);
    let reference = main.reference().filter(|_| receipt.more_of_reference);
    let (person, reference) = (
        person.map(|person| ("Show everything to and from this person", person.to_owned())),
        reference.map(|reference| ("Show everything with this reference", reference.to_owned())),
    );
    person.into_iter().chain(reference).collect()
}

/// The events that are shown, which may be of several kinds, receipts first and then the newest.
fn shown(receipt: &Receipt) -> Vec<&Kept> {
    let mut shown: Vec<&Kept> = receipt.events.iter().rev().filter(|kept| kept.shown).collect();
    shown.sort_by_key(|kept| kept.callback.kind() != Kind::DeliveryReceipt);
    if shown.is_empty() { receipt.events.last().into_iter().collect() } else { shown }
}

fn part(site: &Site, kept: &Kept, template: Option<&str>) -> Part {
    Part {
        kind: kept.callback.kind().words(),
        status: status_tag(&kept.callback),
        advice: Advice::on(&kept.callback),
        help: help::place_of(&kept.callback),
        steps: timeline::steps(kept),
        fields: fields(site, kept, template),
    }
}

fn heading(callback: &Callback) -> (String, Option<String>) {
    match (callback.reference(), callback.person()) {
        (Some(reference), _) => ("Reference".into(), Some(reference.to_owned())),
        (None, Some(sender)) if callback.kind() == Kind::ReceivedText => {
            ("Text message from".into(), Some(sender.to_owned()))
        }
        _ => (format!("{} without a reference", kind_words(callback)), None),
    }
}

/// The browser keeps titles, so a number or an address stands in none.
fn title(callback: &Callback, (what, named): &(String, Option<String>)) -> String {
    match named {
        Some(reference) if !matches!(Term::of(reference), Some(Term::People(_))) => {
            format!("{what} {}", plain_text::line(reference))
        }
        Some(_) => kind_words(callback),
        None => what.clone(),
    }
}

fn event(kept: &Kept) -> Event {
    Event {
        kind: kept.callback.kind().words(),
        status: status_tag(&kept.callback),
        arrived: at(kept.arrived_at),
        times: kept.times,
        shown: kept.shown,
        body: Body::of(&kept.callback.body()),
    }
}

fn fields(site: &Site, kept: &Kept, template: Option<&str>) -> Vec<Field> {
    let words = |name: &str, value: Option<String>| Field {
        name: name.to_owned(),
        value: value.map_or(Value::Nothing, Value::Plain),
    };
    let plain = |name, value: Option<&String>| words(name, value.cloned());
    let number = |name, value: Option<i64>| words(name, value.map(|value| value.to_string()));
    let mut fields = vec![];
    if kept.callback.kind() != Kind::ReceivedText {
        let reference = kept.callback.reference();
        let value = |reference: &str| Value::Reference(reference.to_owned(), site.case(reference));
        fields.push(Field { name: "Reference".into(), value: reference.map_or(Value::Nothing, value) });
    }
    match &kept.callback.content {
        Content::DeliveryReceipt(receipt) => fields.extend([
            plain("Sent to", receipt.to.as_ref()),
            words("Kind", Some(kind_words(&kept.callback))),
            words("Status in Notify", Some(receipt.status.as_str().to_owned())),
            words(TEMPLATE, template.map(str::to_owned)),
            plain("Template’s id", receipt.template_id.as_ref()),
            number("Template version", receipt.template_version),
        ]),
        Content::ReturnedLetter(letter) => fields.extend([
            words("Kind", Some(kind_words(&kept.callback))),
            plain("Sent by", letter.sent_by.as_ref()),
            words(TEMPLATE, letter.template_name.clone().or_else(|| template.map(str::to_owned))),
            plain("Template’s id", letter.template_id.as_ref()),
            number("Template version", letter.template_version),
            plain("Spreadsheet", letter.spreadsheet_file_name.as_ref()),
            number("Row in the spreadsheet", letter.spreadsheet_row_number),
            plain("Uploaded letter", letter.upload_letter_file_name.as_ref()),
        ]),
        Content::Complaint(complaint) => fields.extend([
            plain("Sent to", complaint.to.as_ref()),
            words("Kind", Some(kind_words(&kept.callback))),
            plain("Complaint id", complaint.complaint_id.as_ref()),
        ]),
        Content::ReceivedText(text) => {
            fields.extend([plain("From", text.source_number.as_ref()), plain("To", text.destination_number.as_ref())]);
        }
    }
    // Of a template that nobody named there is the id alone.
    fields.retain(|field| field.name != TEMPLATE || !matches!(field.value, Value::Nothing));
    fields.extend(
        kept.callback
            .other_keys()
            .into_iter()
            .take(OTHER_KEYS)
            .map(|(name, value)| Field { name, value: Value::Plain(plain_text::preview(&value, OTHER_VALUE)) }),
    );
    fields.extend([
        words("Service", Some(kept.service_name.clone())),
        words("Notify’s id", Some(kept.callback.notify_id().to_owned())),
    ]);
    fields
}
