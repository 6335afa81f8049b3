//! A row of results: any callback in the words of the lists.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::said::{LookedFor, Part, said};
use super::uk_time;
use crate::notify::status::{Status, Tone};
use crate::notify::{Callback, Content, time};
use crate::store::Kept;

/// What may stand in a path as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A moment as pages show it.
pub(super) struct Moment {
    /// "12:15pm on 14 May 2017", or the text as it came where it is no date.
    pub(super) words: String,
    /// The UTC instant; empty where it is no date.
    pub(super) iso: String,
}

/// A status as a tag.
pub(super) struct StatusTag {
    pub(super) words: String,
    pub(super) tone: &'static str,
}

/// One row.
pub(super) struct ResultRow {
    pub(super) href: String,
    pub(super) reference: Option<String>,
    pub(super) person: Option<String>,
    pub(super) service: String,
    pub(super) kind: String,
    pub(super) status: StatusTag,
    pub(super) when: Moment,
    /// What a received text says.
    pub(super) text: Option<RowText>,
}

/// What a received text says, as a row shows it.
pub(super) struct RowText {
    pub(super) parts: Vec<Part>,
    /// The whole conversation.
    pub(super) conversation: Option<String>,
}

impl ResultRow {
    pub(super) fn of(kept: &Kept) -> ResultRow {
        let callback = &kept.callback;
        ResultRow {
            href: href(callback.notify_id()),
            reference: callback.reference().map(str::to_owned),
            person: callback.person().map(str::to_owned),
            service: kept.service_name.clone(),
            kind: kind_words(callback),
            status: status_tag(callback),
            when: happened(kept),
            text: None,
        }
    }

    /// With what a received text says, and its conversation.
    pub(super) fn with_text(self, kept: &Kept, conversation: Option<&String>, looked_for: LookedFor<'_>) -> ResultRow {
        let Content::ReceivedText(text) = &kept.callback.content else { return self };
        let parts = said(text.message.as_deref().unwrap_or_default(), looked_for);
        let (arrival, place) = (kept.arrival, place_of(kept.arrival));
        let conversation = conversation.map(|name| format!("/messages/{name}?at={arrival}#{place}"));
        ResultRow { text: Some(RowText { parts, conversation }), ..self }
    }
}

/// What a text is called on the page of its conversation.
pub(super) fn place_of(arrival: i64) -> String {
    format!("text-{arrival}")
}

/// The page of a notification. Browsers take a part that is one or two dots for a step, however it is written, so a mark
/// stands before it; and before an id that begins with that mark.
pub(super) fn href(notify_id: &str) -> String {
    let mark = if matches!(notify_id, "." | "..") || notify_id.starts_with(MARK) { "~" } else { "" };
    format!("/receipts/{mark}{}", utf8_percent_encode(notify_id, PATH))
}

/// The id that stands in such an address, if it is text.
pub(super) fn id_of(part: &str) -> Option<String> {
    let part = part.strip_prefix(MARK).unwrap_or(part);
    percent_decode_str(part).decode_utf8().ok().map(Cow::into_owned)
}

const MARK: char = '~';

/// What kind of message it is about.
pub(super) fn kind_words(callback: &Callback) -> String {
    match &callback.content {
        Content::DeliveryReceipt(receipt) => sent_as_words(receipt.notification_type.as_deref()),
        Content::ReceivedText(_) => "Received text message".into(),
        Content::ReturnedLetter(_) => "Returned letter".into(),
        Content::Complaint(_) => "Complaint".into(),
    }
}

/// What it was sent as.
pub(super) fn sent_as_words(notification_type: Option<&str>) -> String {
    match notification_type {
        Some("email") => "Email".into(),
        Some("sms") => "Text message".into(),
        Some("letter") => "Letter".into(),
        Some(other) => other.to_owned(),
        None => "Message".into(),
    }
}

/// Its status in words.
pub(super) fn status_tag(callback: &Callback) -> StatusTag {
    match &callback.content {
        Content::DeliveryReceipt(receipt) => receipt_tag(&receipt.status, receipt.notification_type.as_deref()),
        Content::ReceivedText(_) => StatusTag { words: "Received".into(), tone: "purple" },
        Content::ReturnedLetter(_) => StatusTag { words: "Returned".into(), tone: "orange" },
        Content::Complaint(_) => StatusTag { words: "Marked as spam".into(), tone: "orange" },
    }
}

/// The status of what was sent in words.
pub(super) fn receipt_tag(status: &Status, notification_type: Option<&str>) -> StatusTag {
    StatusTag {
        words: status.words(notification_type),
        tone: match status.tone() {
            Tone::Good => "green",
            Tone::Bad => "red",
            Tone::Waiting => "blue",
            Tone::Neutral => "grey",
        },
    }
}

/// When it happened by its own account, else when it came.
pub(super) fn happened(kept: &Kept) -> Moment {
    let own = match &kept.callback.content {
        Content::DeliveryReceipt(receipt) => receipt.completed_at.as_deref().or(receipt.created_at.as_deref()),
        Content::ReceivedText(text) => text.date_received.as_deref(),
        Content::ReturnedLetter(letter) => letter.date_sent.as_deref(),
        Content::Complaint(complaint) => complaint.complaint_date.as_deref(),
    };
    own.map_or_else(|| at(kept.arrived_at), written)
}

/// A moment that we know.
pub(super) fn at(micros: i64) -> Moment {
    Moment { words: uk_time::words(micros), iso: uk_time::iso(micros) }
}

/// A moment as somebody wrote it.
pub(super) fn written(text: &str) -> Moment {
    time::instant(text).map_or_else(|| Moment { words: text.to_owned(), iso: String::new() }, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_an_address_that_leads_back_to_it() {
        for id in [".", "..", "~", "~.", "...", "a/b?c#d%e", "..%2f", "é 1", "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa"] {
            let href = href(id);
            let part = href.strip_prefix("/receipts/").unwrap();
            assert!(!matches!(part, "." | "..") && !part.contains(['/', '?', '#']), "{href}");
            assert_eq!(id_of(part).as_deref(), Some(id), "{href}");
        }
        assert_eq!(id_of("%ff"), None);
    }
}
