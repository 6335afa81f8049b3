//! Notify's world, without I/O: what it sends, what its words mean, whose a number or an address is. It knows nothing of ours.

pub mod api;
pub mod api_key;
pub mod filter;
pub mod medium;
pub mod reason;
pub mod recipient;
pub mod status;
pub mod subject;
pub mod term;
pub mod time;
mod wire;
pub mod words;

use std::collections::BTreeMap;
use std::fmt;

use recipient::MatchKey;
use serde_json::value::RawValue;
use status::Status;

/// The four kinds of callback.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// What became of a message.
    DeliveryReceipt,
    /// A text message that somebody sent in.
    ReceivedText,
    /// A letter that came back.
    ReturnedLetter,
    /// An email that its reader marked as spam.
    Complaint,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::DeliveryReceipt, Kind::ReceivedText, Kind::ReturnedLetter, Kind::Complaint];

    /// The last part of the path that its callbacks go to.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Kind::DeliveryReceipt => "delivery-receipts",
            Kind::ReceivedText => "received-text-messages",
            Kind::ReturnedLetter => "returned-letters",
            Kind::Complaint => "complaints",
        }
    }

    /// The kind whose path ends so.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.path() == path)
    }

    /// Its name for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Kind::DeliveryReceipt => "Delivery receipt",
            Kind::ReceivedText => "Received text message",
            Kind::ReturnedLetter => "Returned letter",
            Kind::Complaint => "Complaint",
        }
    }

    /// The key of the person to whom or from whom a callback of this kind came.
    #[must_use]
    pub fn match_key(self, person: &str) -> Option<MatchKey> {
        match self {
            Kind::ReceivedText => MatchKey::of_sender(person),
            _ => MatchKey::of_recipient(person),
        }
    }

    /// Its number in the store, which never changes.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Kind::DeliveryReceipt => 1,
            Kind::ReceivedText => 2,
            Kind::ReturnedLetter => 3,
            Kind::Complaint => 4,
        }
    }

    /// The kind of that number.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// A callback that was understood. Its Debug tells the kind and nothing personal.
#[derive(Clone, PartialEq, Eq)]
pub struct Callback {
    /// What it says.
    pub content: Content,
    /// The exact bytes, only where `content` alone would not give them back.
    pub verbatim: Option<Vec<u8>>,
}

/// What a callback says, by its kind.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// What became of a message.
    DeliveryReceipt(DeliveryReceipt),
    /// A text message that somebody sent in.
    ReceivedText(ReceivedText),
    /// A letter that came back.
    ReturnedLetter(ReturnedLetter),
    /// An email that its reader marked as spam.
    Complaint(Complaint),
}

/// A delivery receipt. Fields are as Notify names them, dates as it wrote them.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Notify's own, from its API documentation")]
pub struct DeliveryReceipt {
    pub id: String,
    pub reference: Option<String>,
    pub to: Option<String>,
    pub status: Status,
    pub created_at: Option<String>,
    pub completed_at: Option<String>,
    pub sent_at: Option<String>,
    pub notification_type: Option<String>,
    pub template_id: Option<String>,
    pub template_version: Option<i64>,
}

/// A received text message. Fields are as Notify names them, dates as it wrote them.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Notify's own, from its API documentation")]
pub struct ReceivedText {
    pub id: String,
    pub source_number: Option<String>,
    pub destination_number: Option<String>,
    pub message: Option<String>,
    pub date_received: Option<String>,
}

/// A returned letter. Fields are as Notify names them, dates as it wrote them.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Notify's own, from its source")]
pub struct ReturnedLetter {
    pub notification_id: String,
    pub reference: Option<String>,
    pub date_sent: Option<String>,
    pub sent_by: Option<String>,
    pub template_name: Option<String>,
    pub template_id: Option<String>,
    pub template_version: Option<i64>,
    pub spreadsheet_file_name: Option<String>,
    pub spreadsheet_row_number: Option<i64>,
    pub upload_letter_file_name: Option<String>,
}

/// A complaint. Fields are as Notify names them, dates as it wrote them.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Notify's own, from its source")]
pub struct Complaint {
    pub notification_id: String,
    pub complaint_id: Option<String>,
    pub reference: Option<String>,
    pub to: Option<String>,
    pub complaint_date: Option<String>,
}

/// Why a body is no callback. Its Display is a sentence for the manager who looks at the quarantine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unreadable {
    /// No bytes.
    #[error("The body is empty.")]
    Empty,
    /// It does not parse.
    #[error("The body is not JSON.")]
    NotJson,
    /// JSON, but not an object.
    #[error("The body is JSON, but not an object with keys.")]
    NotAnObject,
    /// One key stands twice.
    #[error("A key stands in the body twice.")]
    DuplicateKey,
    /// It begins with a byte order mark.
    #[error("The body begins with a byte order mark.")]
    ByteOrderMark,
    /// Some bytes are no text.
    #[error("The body is not valid UTF-8.")]
    BadUtf8,
    /// Half of a surrogate pair.
    #[error("The body holds half of a character (a lone surrogate).")]
    LoneSurrogate,
    /// A known key holds another type of value.
    #[error("The value of ‘{0}’ is of the wrong type.")]
    WrongType(&'static str),
    /// There is no id.
    #[error("The body has no id.")]
    MissingId,
    /// The keys are of no kind that Notify sends.
    #[error("The keys are of no kind of callback that is known.")]
    UnknownKind,
    /// Notify never compresses.
    #[error("The body is compressed.")]
    Compressed,
}

impl Unreadable {
    /// A short name for the log, which never changes.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Unreadable::Empty => "empty",
            Unreadable::NotJson => "not-json",
            Unreadable::NotAnObject => "not-an-object",
            Unreadable::DuplicateKey => "duplicate-key",
            Unreadable::ByteOrderMark => "byte-order-mark",
            Unreadable::BadUtf8 => "bad-utf-8",
            Unreadable::LoneSurrogate => "lone-surrogate",
            Unreadable::WrongType(_) => "wrong-type",
            Unreadable::MissingId => "missing-id",
            Unreadable::UnknownKind => "unknown-kind",
            Unreadable::Compressed => "compressed",
        }
    }
}

impl Callback {
    /// Reads a body. The kind is told by the keys alone.
    ///
    /// # Errors
    /// Says why the bytes are no callback; then they should be kept as they are.
    pub fn read(body: &[u8]) -> Result<Callback, Unreadable> {
        let content = wire::read(body)?;
        let verbatim = (wire::write(&content) != body).then(|| body.to_vec());
        Ok(Callback { content, verbatim })
    }

    /// The exact bytes that came.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        self.verbatim.clone().unwrap_or_else(|| wire::write(&self.content))
    }

    /// The keys that Notify does not send with this kind, with their values as text: as they came, where they cannot be read.
    #[must_use]
    pub fn other_keys(&self) -> Vec<(String, String)> {
        fn keys(body: &[u8]) -> Option<BTreeMap<String, &RawValue>> {
            serde_json::from_slice(body).ok()
        }
        let Some(all) = self.verbatim.as_deref().and_then(keys) else { return Vec::new() };
        let own = wire::write(&self.content);
        let known = keys(&own).unwrap_or_default();
        let others = all.into_iter().filter(|(key, _)| !known.contains_key(key));
        let said = |value: &RawValue| match serde_json::from_str(value.get()) {
            Ok(serde_json::Value::String(text)) => text,
            Ok(value) => value.to_string(),
            Err(_) => value.get().to_owned(),
        };
        others.map(|(key, value)| (key, said(value))).collect()
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.content {
            Content::DeliveryReceipt(_) => Kind::DeliveryReceipt,
            Content::ReceivedText(_) => Kind::ReceivedText,
            Content::ReturnedLetter(_) => Kind::ReturnedLetter,
            Content::Complaint(_) => Kind::Complaint,
        }
    }

    /// Notify's id of the message that it is about, or of the text that it brings.
    #[must_use]
    pub fn notify_id(&self) -> &str {
        match &self.content {
            Content::DeliveryReceipt(receipt) => &receipt.id,
            Content::ReceivedText(text) => &text.id,
            Content::ReturnedLetter(letter) => &letter.notification_id,
            Content::Complaint(complaint) => &complaint.notification_id,
        }
    }

    /// The sending service's reference.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        match &self.content {
            Content::DeliveryReceipt(receipt) => receipt.reference.as_deref(),
            Content::ReceivedText(_) => None,
            Content::ReturnedLetter(letter) => letter.reference.as_deref(),
            Content::Complaint(complaint) => complaint.reference.as_deref(),
        }
    }

    /// Whom it was sent to or came from, as typed.
    #[must_use]
    pub fn person(&self) -> Option<&str> {
        match &self.content {
            Content::DeliveryReceipt(receipt) => receipt.to.as_deref(),
            Content::ReceivedText(text) => text.source_number.as_deref(),
            Content::ReturnedLetter(_) => None,
            Content::Complaint(complaint) => complaint.to.as_deref(),
        }
    }

    /// The same person's key, however the number or address is written.
    #[must_use]
    pub fn match_key(&self) -> Option<MatchKey> {
        self.kind().match_key(self.person()?)
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callback({}, …)", self.kind().path())
    }
}

#[cfg(test)]
mod tests;
