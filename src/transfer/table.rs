//! The same items as rows of a table: with what is in a callback spread out for people, which nobody reads back.

use std::io;

use serde_json::{Map, Value};

use super::Line;
use crate::notify::{Callback, Content};
use crate::spreadsheet;

/// The columns, by which a file is read back in any order.
pub(super) const COLUMNS: [&str; 44] = [
    "item",
    "service",
    "kind",
    "arrived_at",
    "times",
    "last_arrived_at",
    "origin",
    "id",
    "reference",
    "to_or_from",
    "status",
    "notification_type",
    "dated_at",
    "sent_at",
    "completed_at",
    "template_id",
    "template_version",
    "template_name",
    "destination_number",
    "message",
    "reason",
    "path",
    "content_type",
    "content_encoding",
    "sender",
    "read_to",
    "taken_by",
    "taken_at",
    "dealt_with_by",
    "dealt_with_at",
    "written_by",
    "written_at",
    "removed_at",
    "text",
    "notify_service_id",
    "version",
    "callbacks",
    "quarantined",
    "conversations",
    "notes",
    "complaint_id",
    "sent_by",
    "body",
    "body_base64",
];
/// Those that hold a number.
const NUMBERS: [&str; 6] = ["times", "version", "callbacks", "quarantined", "conversations", "notes"];
/// Those that are for people alone where a callback stands in the row.
const OF_A_CALLBACK: [&str; 2] = ["template_id", "template_name"];

/// One item.
pub(super) fn row(line: &Line, callback: Option<&Callback>) -> io::Result<String> {
    let Value::Object(mut cells) = serde_json::to_value(line)? else { return Err(io::ErrorKind::InvalidData.into()) };
    if let Some(callback) = callback {
        spread(callback, &mut cells);
    }
    let text = |name: &&str| match cells.get(*name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let cells: Vec<String> = COLUMNS.iter().map(text).collect();
    Ok(spreadsheet::row(cells.iter().map(String::as_str)))
}

/// A row as the object that it was made of.
pub(super) fn object<'a>(cells: impl Iterator<Item = (&'a str, &'a str)>) -> Map<String, Value> {
    let mut object = Map::new();
    for (name, cell) in cells.filter(|(_, cell)| !cell.is_empty()) {
        let cell = spreadsheet::as_it_was(cell);
        let number = if NUMBERS.contains(&name) { cell.parse::<i64>().ok() } else { None };
        object.insert(name.to_owned(), number.map_or_else(|| Value::from(cell), Value::from));
    }
    let is = |name: &str, item: &str| object.get(name).and_then(Value::as_str) == Some(item);
    let (is_callback, has_a_body) = (is("item", "callback"), is("item", "callback") || is("item", "quarantine"));
    if is_callback {
        object.retain(|name, _| !OF_A_CALLBACK.contains(&name.as_str()));
    }
    // An empty cell is an empty body, and a path that nobody named.
    if has_a_body && !object.contains_key("body_base64") {
        object.entry("body").or_insert_with(|| "".into());
    }
    object
}

/// What people look for in a callback.
fn spread(callback: &Callback, cells: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            cells.insert(name.to_owned(), value.into());
        }
    };
    put("id", Some(callback.notify_id().to_owned()));
    put("reference", callback.reference().map(str::to_owned));
    put("to_or_from", callback.person().map(str::to_owned));
    let number = |number: Option<i64>| number.map(|number| number.to_string());
    match &callback.content {
        Content::DeliveryReceipt(receipt) => {
            put("status", Some(receipt.status.as_str().to_owned()));
            put("notification_type", receipt.notification_type.clone());
            put("dated_at", receipt.created_at.clone());
            put("sent_at", receipt.sent_at.clone());
            put("completed_at", receipt.completed_at.clone());
            put("template_id", receipt.template_id.clone());
            put("template_version", number(receipt.template_version));
        }
        Content::ReceivedText(text) => {
            put("dated_at", text.date_received.clone());
            put("destination_number", text.destination_number.clone());
            put("message", text.message.clone());
        }
        Content::ReturnedLetter(letter) => {
            put("dated_at", letter.date_sent.clone());
            put("template_id", letter.template_id.clone());
            put("template_version", number(letter.template_version));
            put("template_name", letter.template_name.clone());
            put("sent_by", letter.sent_by.clone());
        }
        Content::Complaint(complaint) => {
            put("dated_at", complaint.complaint_date.clone());
            put("complaint_id", complaint.complaint_id.clone());
        }
    }
}
