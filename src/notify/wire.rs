//! The bytes on the wire: one pass over a JSON object, and the same object written as Python's `json.dumps` writes it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::status::Status;
use super::{Complaint, Content, DeliveryReceipt, ReceivedText, ReturnedLetter, Unreadable};

/// Keys past this are looked up by their hash: a body made to be slow has a hundred thousand.
const FEW: usize = 32;
/// The keys of all kinds whose values are read.
const KEYS: [&str; 23] = [
    "id",
    "reference",
    "to",
    "status",
    "created_at",
    "completed_at",
    "sent_at",
    "notification_type",
    "template_id",
    "template_version",
    "source_number",
    "destination_number",
    "message",
    "date_received",
    "notification_id",
    "date_sent",
    "sent_by",
    "template_name",
    "spreadsheet_file_name",
    "spreadsheet_row_number",
    "upload_letter_file_name",
    "complaint_id",
    "complaint_date",
];
/// What the visitor says of a key that stands twice; told from `serde_json`'s own errors by this text.
const TWICE: &str = "a key stands twice";

/// Reads a body for what it is.
pub(super) fn read(body: &[u8]) -> Result<Content, Unreadable> {
    if body.is_empty() {
        return Err(Unreadable::Empty);
    }
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(Unreadable::ByteOrderMark);
    }
    let text = std::str::from_utf8(body).map_err(|_| Unreadable::BadUtf8)?;
    let mut fields: Fields<'_> = serde_json::from_str(text).map_err(|error| reason(text, &error))?;
    content(&mut fields)
}

fn reason(text: &str, error: &serde_json::Error) -> Unreadable {
    let said = error.to_string();
    if said.starts_with(TWICE) {
        Unreadable::DuplicateKey
    } else if said.contains("surrogate") || said.contains("unexpected end of hex escape") {
        Unreadable::LoneSurrogate
    } else if !text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        Unreadable::NotAnObject
    } else {
        Unreadable::NotJson
    }
}

/// A value of one of the types that callbacks have.
enum Value<'a> {
    Null,
    Text(Cow<'a, str>),
    Integer(i64),
    Other,
}

/// The keys and values of an object, each key once.
#[derive(Default)]
struct Fields<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Fields<'a> {
    fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| name == key)
    }

    fn take(&mut self, key: &str) -> Value<'a> {
        let found = self.0.iter_mut().find(|(name, _)| name == key);
        found.map_or(Value::Null, |(_, value)| std::mem::replace(value, Value::Null))
    }

    fn text(&mut self, key: &'static str) -> Result<Option<String>, Unreadable> {
        match self.take(key) {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.into_owned())),
            Value::Integer(_) | Value::Other => Err(Unreadable::WrongType(key)),
        }
    }

    fn integer(&mut self, key: &'static str) -> Result<Option<i64>, Unreadable> {
        match self.take(key) {
            Value::Null => Ok(None),
            Value::Integer(number) => Ok(Some(number)),
            Value::Text(_) | Value::Other => Err(Unreadable::WrongType(key)),
        }
    }

    fn id(&mut self, key: &'static str) -> Result<String, Unreadable> {
        self.text(key)?.filter(|id| !id.is_empty()).ok_or(Unreadable::MissingId)
    }
}

/// The kind is told by the keys. Others may stand beside them: forks of Notify add some, so what says what became of an id is a
/// receipt whatever else it says.
fn content(fields: &mut Fields<'_>) -> Result<Content, Unreadable> {
    let any = |keys: &[&str]| keys.iter().any(|key| fields.has(key));
    if fields.has("id") && fields.has("status") && !fields.has("source_number") {
        delivery_receipt(fields).map(Content::DeliveryReceipt)
    } else if any(&["complaint_id", "complaint_date"]) {
        complaint(fields).map(Content::Complaint)
    } else if any(&["source_number", "message", "date_received"]) {
        received_text(fields).map(Content::ReceivedText)
    } else if any(&["date_sent", "sent_by"]) {
        returned_letter(fields).map(Content::ReturnedLetter)
    } else if any(&["status"]) {
        delivery_receipt(fields).map(Content::DeliveryReceipt)
    } else {
        Err(Unreadable::UnknownKind)
    }
}

fn delivery_receipt(fields: &mut Fields<'_>) -> Result<DeliveryReceipt, Unreadable> {
    Ok(DeliveryReceipt {
        id: fields.id("id")?,
        reference: fields.text("reference")?,
        to: fields.text("to")?,
        status: Status::from(fields.text("status")?.ok_or(Unreadable::WrongType("status"))?.as_str()),
        created_at: fields.text("created_at")?,
        completed_at: fields.text("completed_at")?,
        sent_at: fields.text("sent_at")?,
        notification_type: fields.text("notification_type")?,
        template_id: fields.text("template_id")?,
        template_version: fields.integer("template_version")?,
    })
}

fn received_text(fields: &mut Fields<'_>) -> Result<ReceivedText, Unreadable> {
    Ok(ReceivedText {
        id: fields.id("id")?,
        source_number: fields.text("source_number")?,
        destination_number: fields.text("destination_number")?,
        message: fields.text("message")?,
        date_received: fields.text("date_received")?,
    })
}

fn returned_letter(fields: &mut Fields<'_>) -> Result<ReturnedLetter, Unreadable> {
    Ok(ReturnedLetter {
        notification_id: fields.id("notification_id")?,
        reference: fields.text("reference")?,
        date_sent: fields.text("date_sent")?,
        sent_by: fields.text("sent_by")?,
        template_name: fields.text("template_name")?,
        template_id: fields.text("template_id")?,
        template_version: fields.integer("template_version")?,
        spreadsheet_file_name: fields.text("spreadsheet_file_name")?,
        spreadsheet_row_number: fields.integer("spreadsheet_row_number")?,
        upload_letter_file_name: fields.text("upload_letter_file_name")?,
    })
}

fn complaint(fields: &mut Fields<'_>) -> Result<Complaint, Unreadable> {
    Ok(Complaint {
        notification_id: fields.id("notification_id")?,
        complaint_id: fields.text("complaint_id")?,
        reference: fields.text("reference")?,
        to: fields.text("to")?,
        complaint_date: fields.text("complaint_date")?,
    })
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields(Vec::with_capacity(12));
        let mut many = HashSet::new();
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            let twice = if fields.0.len() < FEW {
                fields.has(&key)
            } else {
                if many.is_empty() {
                    many.extend(fields.0.iter().map(|(key, _)| key.clone()));
                }
                !many.insert(key.clone())
            };
            if twice {
                return Err(serde::de::Error::custom(TWICE));
            }
            // What stands at other keys is kept as it came, so that it need not be a value that we could hold.
            let value = if KEYS.contains(&key.as_ref()) {
                map.next_value::<Value<'de>>()?
            } else {
                map.next_value::<IgnoredAny>().map(|_| Value::Other)?
            };
            fields.0.push((key, value));
        }
        Ok(fields)
    }
}

/// A key, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Text(key) => Ok(Key(key)),
            _ => Err(serde::de::Error::custom("a key is text")),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(number).map_or(Value::Other, Value::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text)))
    }

    // What is nested is passed over: its bytes are kept, and no callback of Notify's has any.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

/// Writes what was read with Notify's keys in Notify's order, in ASCII.
pub(super) fn write(content: &Content) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(512));
    match content {
        Content::DeliveryReceipt(receipt) => {
            out.text("id", Some(&receipt.id));
            out.text("reference", receipt.reference.as_deref());
            out.text("to", receipt.to.as_deref());
            out.text("status", Some(receipt.status.as_str()));
            out.text("created_at", receipt.created_at.as_deref());
            out.text("completed_at", receipt.completed_at.as_deref());
            out.text("sent_at", receipt.sent_at.as_deref());
            out.text("notification_type", receipt.notification_type.as_deref());
            out.text("template_id", receipt.template_id.as_deref());
            out.integer("template_version", receipt.template_version);
        }
        Content::ReceivedText(text) => {
            out.text("id", Some(&text.id));
            out.text("source_number", text.source_number.as_deref());
            out.text("destination_number", text.destination_number.as_deref());
            out.text("message", text.message.as_deref());
            out.text("date_received", text.date_received.as_deref());
        }
        Content::ReturnedLetter(letter) => {
            out.text("notification_id", Some(&letter.notification_id));
            out.text("reference", letter.reference.as_deref());
            out.text("date_sent", letter.date_sent.as_deref());
            out.text("sent_by", letter.sent_by.as_deref());
            out.text("template_name", letter.template_name.as_deref());
            out.text("template_id", letter.template_id.as_deref());
            out.integer("template_version", letter.template_version);
            out.text("spreadsheet_file_name", letter.spreadsheet_file_name.as_deref());
            out.integer("spreadsheet_row_number", letter.spreadsheet_row_number);
            out.text("upload_letter_file_name", letter.upload_letter_file_name.as_deref());
        }
        Content::Complaint(complaint) => {
            out.text("notification_id", Some(&complaint.notification_id));
            out.text("complaint_id", complaint.complaint_id.as_deref());
            out.text("reference", complaint.reference.as_deref());
            out.text("to", complaint.to.as_deref());
            out.text("complaint_date", complaint.complaint_date.as_deref());
        }
    }
    out.0.push(b'}');
    out.0
}

struct Writer(Vec<u8>);

impl Writer {
    fn key(&mut self, key: &str) {
        self.0.extend_from_slice(if self.0.is_empty() { b"{\"" } else { b", \"" });
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\": ");
    }

    fn text(&mut self, key: &str, value: Option<&str>) {
        self.key(key);
        match value {
            Some(text) => self.quoted(text),
            None => self.0.extend_from_slice(b"null"),
        }
    }

    fn integer(&mut self, key: &str, value: Option<i64>) {
        self.key(key);
        let text = value.map_or_else(|| "null".to_owned(), |number| number.to_string());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn quoted(&mut self, text: &str) {
        self.0.push(b'"');
        for character in text.chars() {
            match character {
                '"' => self.0.extend_from_slice(b"\\\""),
                '\\' => self.0.extend_from_slice(b"\\\\"),
                '\n' => self.0.extend_from_slice(b"\\n"),
                '\r' => self.0.extend_from_slice(b"\\r"),
                '\t' => self.0.extend_from_slice(b"\\t"),
                '\u{8}' => self.0.extend_from_slice(b"\\b"),
                '\u{c}' => self.0.extend_from_slice(b"\\f"),
                ' '..='\u{7f}' => self.0.extend(u8::try_from(character)),
                other => self.escaped(other),
            }
        }
        self.0.push(b'"');
    }

    fn escaped(&mut self, character: char) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            self.0.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
        }
    }
}
