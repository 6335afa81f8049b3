//! `/receipts/<Notify's id>`: everything that came for one notification, and what else is known of that person.

use std::sync::Arc;

use askama::Template;
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::plain_text::{self, Piece};
use super::problem::{Answer, Problem, answer, html};
use super::results::{Moment, ResultRow, StatusTag, at, happened, kind_words, status_tag, written};
use super::{Site, get, request};
use crate::access::Caseworker;
use crate::notify::{Callback, Content, Kind};
use crate::store::{Kept, Receipt};

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    chrome: Chrome,
    heading: String,
    back: String,
    status: StatusTag,
    meaning: String,
    fields: Vec<Field>,
    events: Vec<Event>,
    others: Vec<ResultRow>,
    /// What a received text says.
    message: Option<Vec<Piece>>,
    texts: Vec<Text>,
    conversation: Option<String>,
}

struct Field {
    name: &'static str,
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
    body: Vec<Piece>,
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
        .then(show)
        .map(answer)
        .boxed()
}

async fn show(
    notify_id: String,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    headers: HeaderMap,
) -> Answer {
    let caseworker = caseworker?;
    let notify_id = percent_decode_str(&notify_id).decode_utf8().map_err(|_| Problem::NotFound)?;
    let receipt = site.store.receipt(caseworker.sees(), &notify_id).await?.ok_or(Problem::NotFound)?;
    html(&page(&caseworker, &receipt, results_before(&headers)).ok_or(Problem::NotFound)?)
}

fn page(caseworker: &Caseworker, receipt: &Receipt, back: String) -> Option<ReceiptPage> {
    // The newest event that is shown stands for the notification.
    let main = receipt.events.iter().rev().find(|kept| kept.shown).or(receipt.events.last())?;
    Some(ReceiptPage {
        chrome: Chrome::new(Some(caseworker), Here::Receipts),
        heading: heading(&main.callback),
        back,
        status: status_tag(&main.callback),
        meaning: meaning(&main.callback),
        fields: fields(main),
        events: receipt.events.iter().map(event).collect(),
        others: receipt.others.iter().map(ResultRow::of).collect(),
        message: (main.callback.kind() == Kind::ReceivedText).then(|| text(main).message),
        texts: receipt.texts.iter().map(text).collect(),
        conversation: receipt.conversation.clone(),
    })
}

fn heading(callback: &Callback) -> String {
    match (callback.reference(), callback.person()) {
        (Some(reference), _) => format!("Reference {reference}"),
        (None, Some(sender)) if callback.kind() == Kind::ReceivedText => format!("Text message from {sender}"),
        _ => format!("{} without a reference", kind_words(callback)),
    }
}

/// The results that the reader came from, so that Back keeps filters and page.
fn results_before(headers: &HeaderMap) -> String {
    let referer = headers.get(http::header::REFERER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = referer.splitn(4, '/').nth(3).map(|rest| format!("/{rest}"));
    let results = |path: &String| path.starts_with("/receipts?") || path.starts_with("/search/");
    path.filter(results).unwrap_or_else(|| "/receipts".into())
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
        body: plain_text::pieces(&String::from_utf8_lossy(&kept.callback.body())),
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
    let words = |name, value: Option<String>| Field { name, value: value.map_or(Value::Nothing, Value::Plain) };
    let plain = |name, value: Option<&String>| words(name, value.cloned());
    let moment = |name, value: Option<&String>| Field {
        name,
        value: value.map_or(Value::Nothing, |text| Value::Moment(written(text))),
    };
    let number = |name, value: Option<i64>| words(name, value.map(|value| value.to_string()));
    let mut fields = vec![plain("Reference", kept.callback.reference().map(str::to_owned).as_ref())];
    match &kept.callback.content {
        Content::DeliveryReceipt(receipt) => fields.extend([
            plain("Sent to", receipt.to.as_ref()),
            words("Kind", Some(kind_words(&kept.callback))),
            plain("Status in Notify", Some(&receipt.status.as_str().to_owned())),
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
    fields.extend([
        words("Service", Some(kept.service_name.clone())),
        plain("Notify’s id", Some(&kept.callback.notify_id().to_owned())),
        Field { name: "Called back", value: Value::Moment(at(kept.arrived_at)) },
    ]);
    fields
}
