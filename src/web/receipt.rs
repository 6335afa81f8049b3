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
use super::results::{Moment, ResultRow, StatusTag, at, happened, href, id_of, kind_words, status_tag, written};
use super::{Site, get};
use crate::access::Caseworker;
use crate::clock;
use crate::notify::{Callback, Content, Kind};
use crate::store::{Did, Kept, Receipt};

/// So many of a list are the latest, and there may be more.
const LISTED: usize = 20;
/// Keys that Notify does not send, of which a page lists no more.
const OTHER_KEYS: usize = 50;
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
    others: Vec<ResultRow>,
    /// How the lists of others and of texts are qualified where they may not be whole.
    latest_others: &'static str,
    latest_texts: &'static str,
    /// Whom a search finds more of, where the list is not whole.
    person: Option<String>,
    /// What a received text says.
    message: Option<Vec<Piece>>,
    /// When it was redacted, and why.
    redacted: Option<(Moment, Option<String>)>,
    texts: Vec<Text>,
    conversation: Option<String>,
}

/// What one kind of callback says of it.
struct Part {
    kind: &'static str,
    status: StatusTag,
    meaning: String,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    value: Value,
}

enum Value {
    Plain(String),
    Moment(Moment),
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

struct Text {
    message: Vec<Piece>,
    when: Moment,
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
    let person = receipt.events.iter().find_map(|kept| kept.callback.match_key());
    let person = person.map(|key| key.as_str().to_owned());
    site.record(caseworker.did(Did::OpenedReceipt, clock::now()).of(notify_id.as_str()).about(person)).await?;
    let here = href(&notify_id);
    let back = Back::of(&headers, &query, &here, Back::to_results());
    html(&page(&caseworker, &receipt, &here, back).ok_or(Problem::NotFound)?)
}

fn page(caseworker: &Caseworker, receipt: &Receipt, here: &str, back: Back) -> Option<ReceiptPage> {
    let shown = shown(receipt);
    let main = shown.first()?;
    let heading = heading(&main.callback);
    let latest = |list: usize| if list < LISTED { "" } else { " (latest 20)" };
    let message = shown.iter().find(|kept| kept.callback.kind() == Kind::ReceivedText);
    Some(ReceiptPage {
        chrome: Chrome::new(Some(caseworker), Here::Receipts),
        title: plain_text::line(&format!("{} {}", heading.0, heading.1.as_deref().unwrap_or_default()))
            .trim()
            .to_owned(),
        heading,
        parts: shown.iter().map(|kept| part(kept)).collect(),
        events: receipt.events.iter().map(event).collect(),
        others: receipt.others.iter().map(|kept| ResultRow::of(kept).with_way_back(&back, here)).collect(),
        latest_others: latest(receipt.others.len()),
        latest_texts: latest(receipt.texts.len()),
        person: main.callback.person().filter(|_| receipt.others.len() >= LISTED).map(str::to_owned),
        message: message.filter(|_| receipt.redacted.is_none()).map(|kept| text(kept).message),
        redacted: receipt.redacted.as_ref().map(|redacted| (at(redacted.at), redacted.reason.clone())),
        texts: receipt.texts.iter().map(text).collect(),
        conversation: receipt.conversation.as_ref().map(|name| back.onward(here, &format!("/messages/{name}"))),
        back,
    })
}

/// The events that are shown, which may be of several kinds, receipts first and then the newest.
fn shown(receipt: &Receipt) -> Vec<&Kept> {
    let mut shown: Vec<&Kept> = receipt.events.iter().rev().filter(|kept| kept.shown).collect();
    shown.sort_by_key(|kept| kept.callback.kind() != Kind::DeliveryReceipt);
    if shown.is_empty() { receipt.events.last().into_iter().collect() } else { shown }
}

fn part(kept: &Kept) -> Part {
    Part {
        kind: kept.callback.kind().words(),
        status: status_tag(&kept.callback),
        meaning: meaning(&kept.callback),
        fields: fields(kept),
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

fn meaning(callback: &Callback) -> String {
    match &callback.content {
        Content::DeliveryReceipt(receipt) => receipt.status.meaning(receipt.notification_type.as_deref()).to_string(),
        Content::ReceivedText(_) => "Someone sent this text message to the service.".into(),
        Content::ReturnedLetter(_) => {
            "The letter could not be delivered and came back. Check the address before you send another.".into()
        }
        Content::Complaint(_) => {
            "The person marked this email as spam. Do not send more emails that they do not expect.".into()
        }
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

fn text(kept: &Kept) -> Text {
    let message = match &kept.callback.content {
        Content::ReceivedText(text) => text.message.as_deref().unwrap_or_default(),
        _ => "",
    };
    Text { message: plain_text::pieces(message), when: happened(kept) }
}

fn fields(kept: &Kept) -> Vec<Field> {
    let words = |name: &str, value: Option<String>| Field {
        name: name.to_owned(),
        value: value.map_or(Value::Nothing, Value::Plain),
    };
    let plain = |name, value: Option<&String>| words(name, value.cloned());
    let moment = |name: &str, value: Option<&String>| Field {
        name: name.to_owned(),
        value: value.map_or(Value::Nothing, |text| Value::Moment(written(text))),
    };
    let number = |name, value: Option<i64>| words(name, value.map(|value| value.to_string()));
    let mut fields = vec![];
    if kept.callback.kind() != Kind::ReceivedText {
        fields.push(words("Reference", kept.callback.reference().map(str::to_owned)));
    }
    match &kept.callback.content {
        Content::DeliveryReceipt(receipt) => fields.extend([
            plain("Sent to", receipt.to.as_ref()),
            words("Kind", Some(kind_words(&kept.callback))),
            words("Status in Notify", Some(receipt.status.as_str().to_owned())),
            moment("Created", receipt.created_at.as_ref()),
            moment("Sent", receipt.sent_at.as_ref()),
            moment("Finished", receipt.completed_at.as_ref()),
            plain("Template", receipt.template_id.as_ref()),
            number("Template version", receipt.template_version),
        ]),
        Content::ReturnedLetter(letter) => fields.extend([
            words("Kind", Some(kind_words(&kept.callback))),
            moment("Sent", letter.date_sent.as_ref()),
            plain("Sent by", letter.sent_by.as_ref()),
            plain("Template name", letter.template_name.as_ref()),
            plain("Template", letter.template_id.as_ref()),
            number("Template version", letter.template_version),
            plain("Spreadsheet", letter.spreadsheet_file_name.as_ref()),
            number("Row in the spreadsheet", letter.spreadsheet_row_number),
            plain("Uploaded letter", letter.upload_letter_file_name.as_ref()),
        ]),
        Content::Complaint(complaint) => fields.extend([
            plain("Sent to", complaint.to.as_ref()),
            words("Kind", Some(kind_words(&kept.callback))),
            moment("Complained", complaint.complaint_date.as_ref()),
            plain("Complaint id", complaint.complaint_id.as_ref()),
        ]),
        Content::ReceivedText(text) => fields.extend([
            plain("From", text.source_number.as_ref()),
            plain("To", text.destination_number.as_ref()),
            moment("Received", text.date_received.as_ref()),
        ]),
    }
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
        Field { name: "Arrived".into(), value: Value::Moment(at(kept.arrived_at)) },
    ]);
    fields
}
