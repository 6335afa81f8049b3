//! A callback as columns and back. The short forms (16 bytes for a plain UUID, a number for a time in Notify's own form)
//! give back exactly what came; whatever they cannot give back stands in `verbatim`.

use std::sync::LazyLock;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, Statement, ToSql, params};
use uuid::Uuid;

use super::ServiceId;
use super::arrivals::Ready;
use super::envelope::{Envelope, Origin};
use super::index::{Keys, Mark, SENT, Said, Way};
use crate::notify::filter::Filter;
use crate::notify::status::Status;
use crate::notify::{Callback, Complaint, Content, DeliveryReceipt, Kind, ReceivedText, ReturnedLetter, time};

/// A callback as the store holds it.
#[derive(Debug)]
pub struct Kept {
    /// Its number among everything that ever arrived.
    pub arrival: i64,
    /// The service whose token brought it.
    pub service: ServiceId,
    /// That service's name.
    pub service_name: String,
    /// How it came to be here.
    pub origin: Origin,
    /// When it first came, in microseconds since 1970 UTC.
    pub arrived_at: i64,
    /// How often these very bytes came.
    pub times: i64,
    /// Whether pages show this event for its notification.
    pub shown: bool,
    /// What it says.
    pub callback: Callback,
}

/// The columns that [`kept`] reads after the arrival, in its order, for a query over `callbacks c` and [`JOINS`].
pub(super) const COLUMNS: &str = "c.kind, c.service, s.name, c.origin, c.arrived_at, c.times, c.shown, c.notify_id, \
    c.reference, c.person, c.status, c.notification_type, c.dated_at, c.sent_at, c.completed_at, t.template_id, \
    c.template_version, c.destination, c.message, c.details, c.verbatim";

/// What names a callback's service and template.
pub(super) const JOINS: &str = "JOIN services s ON s.id = c.service LEFT JOIN templates t ON t.id = c.template";

static ROW: LazyLock<String> =
    LazyLock::new(|| format!("SELECT c.arrival, {COLUMNS} FROM callbacks c {JOINS} WHERE c.arrival = ?1"));

/// The row of an arrival.
pub(super) fn at(connection: &Connection, arrival: i64) -> rusqlite::Result<Option<Kept>> {
    connection.prepare_cached(&ROW)?.query_row([arrival], kept).optional()
}

/// What a row is found by.
pub(super) struct Found {
    pub(super) arrival: i64,
    pub(super) arrived_at: i64,
    pub(super) keys: Keys,
}

/// What the first rows after an arrival are found by.
pub(super) fn keys_after(connection: &Connection, arrival: i64, at_most: i64) -> rusqlite::Result<Vec<Found>> {
    let sql =
        "SELECT arrival, arrived_at, kind, service, status, notification_type, notify_id, reference, person, message
        FROM callbacks WHERE arrival > ?1 ORDER BY arrival LIMIT ?2";
    connection.prepare_cached(sql)?.query_map([arrival, at_most], found)?.collect()
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    let text = |place| match row.get_ref(place) {
        Ok(ValueRef::Text(text)) => std::str::from_utf8(text).ok(),
        _ => None,
    };
    let kind = Kind::from_code(row.get(2)?).unwrap_or(Kind::DeliveryReceipt);
    let said = Said {
        kind,
        mark: mark(kind, row, 3)?,
        notify_id: &plain(row.get_ref(6)?).unwrap_or_default(),
        reference: text(7),
        person: text(8),
        message: text(9),
    };
    Ok(Found { arrival: row.get(0)?, arrived_at: row.get(1)?, keys: Keys::of_said(&said) })
}

/// Goes through the references of the rows between two arrivals, on the way and after `from`, for as long as it is wanted.
pub(super) fn references(
    connection: &Connection,
    (first, last): (i64, i64),
    way: Way,
    from: i64,
    mut wanted: impl FnMut(i64, Mark, &str) -> bool,
) -> rusqlite::Result<()> {
    let (sql, first, last) = match way {
        Way::NewestFirst => (REFERENCES_BACK, first, last.min(from.saturating_sub(1))),
        Way::OldestFirst => (REFERENCES, first.max(from.saturating_add(1)), last),
    };
    let mut find = connection.prepare_cached(sql)?;
    let mut rows = find.query([first, last])?;
    while let Some(row) = rows.next()? {
        let ValueRef::Text(reference) = row.get_ref(5)? else { continue };
        let mark = mark(Kind::from_code(row.get(1)?).unwrap_or(Kind::DeliveryReceipt), row, 2)?;
        if !wanted(row.get(0)?, mark, std::str::from_utf8(reference).unwrap_or_default()) {
            break;
        }
    }
    Ok(())
}

const REFERENCES: &str = "SELECT arrival, kind, service, status, notification_type, reference FROM callbacks
    WHERE arrival BETWEEN ?1 AND ?2 ORDER BY arrival";
const REFERENCES_BACK: &str = "SELECT arrival, kind, service, status, notification_type, reference FROM callbacks
    WHERE arrival BETWEEN ?1 AND ?2 ORDER BY arrival DESC";

/// From its service, status and what was sent, which stand at a place in this order.
fn mark(kind: Kind, row: &Row<'_>, at: usize) -> rusqlite::Result<Mark> {
    let service = ServiceId(row.get(at)?);
    Ok(match kind {
        Kind::DeliveryReceipt => {
            Mark::of_receipt(service, &status(row.get_ref(at + 1)?), type_text(row.get_ref(at + 2)?).as_deref())
        }
        Kind::ReceivedText | Kind::ReturnedLetter | Kind::Complaint => Mark::of_other(service, kind),
    })
}

impl Kept {
    /// The status that it has in the lists to choose from.
    pub(super) fn filter(&self) -> Option<Filter> {
        let kind = self.callback.kind();
        match &self.callback.content {
            Content::DeliveryReceipt(receipt) => {
                Filter::met_by(kind, &receipt.status, receipt.notification_type.as_deref())
            }
            _ => Filter::met_by(kind, &Status::Other(String::new()), None),
        }
    }
}

/// The first arrival, from this one on, in whose place pages show another event.
pub(super) fn hidden_from(connection: &Connection, arrival: i64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT arrival FROM callbacks INDEXED BY hidden_callbacks WHERE shown = 0 AND arrival >= ?1
        ORDER BY arrival LIMIT 1";
    connection.prepare_cached(sql)?.query_row([arrival], |row| row.get(0)).optional()
}

/// When what arrived then or next came.
pub(super) fn came_from(connection: &Connection, arrival: i64) -> rusqlite::Result<Option<(i64, i64)>> {
    let sql = "SELECT arrival, arrived_at FROM callbacks WHERE arrival >= ?1 ORDER BY arrival LIMIT 1";
    connection.prepare_cached(sql)?.query_row([arrival], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// A template's number here.
pub(super) fn template_number(connection: &Connection, template_id: &str) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT id FROM templates WHERE template_id = ?1";
    connection.prepare_cached(sql)?.query_row([id_value(template_id)], |row| row.get(0)).optional()
}

/// The kind of an arrival, where its row is there.
pub(super) fn kind(connection: &Connection, arrival: i64) -> rusqlite::Result<Option<Kind>> {
    let mut find = connection.prepare_cached("SELECT kind FROM callbacks WHERE arrival = ?1")?;
    let read = |row: &Row<'_>| Ok(Kind::from_code(row.get(0)?).unwrap_or(Kind::DeliveryReceipt));
    find.query_row([arrival], read).optional()
}

/// Reads one row: the arrival and [`COLUMNS`].
pub(super) fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    Ok(Kept {
        arrival: row.get(0)?,
        service: ServiceId(row.get(2)?),
        service_name: row.get(3)?,
        origin: Origin::from_code(row.get(4)?),
        arrived_at: row.get(5)?,
        times: row.get(6)?,
        shown: row.get(7)?,
        callback: Callback { content: content(row)?, verbatim: row.get(21)? },
    })
}

fn content(row: &Row<'_>) -> rusqlite::Result<Content> {
    let id = plain(row.get_ref(8)?).unwrap_or_default();
    let (reference, person) = (row.get(9)?, row.get(10)?);
    let dated_at = moment(row.get_ref(13)?);
    let (template_id, template_version) = (plain(row.get_ref(16)?), row.get(17)?);
    let details = || row.get::<_, Option<String>>(20).map(Option::unwrap_or_default);
    Ok(match Kind::from_code(row.get(1)?) {
        Some(Kind::ReceivedText) => Content::ReceivedText(ReceivedText {
            id,
            source_number: person,
            destination_number: row.get(18)?,
            message: row.get(19)?,
            date_received: dated_at,
        }),
        Some(Kind::ReturnedLetter) => {
            let details: LetterDetails = serde_json::from_str(&details()?).unwrap_or_default();
            Content::ReturnedLetter(ReturnedLetter {
                notification_id: id,
                reference,
                date_sent: dated_at,
                sent_by: details.0,
                template_name: details.1,
                template_id,
                template_version,
                spreadsheet_file_name: details.2,
                spreadsheet_row_number: details.3,
                upload_letter_file_name: details.4,
            })
        }
        Some(Kind::Complaint) => Content::Complaint(Complaint {
            notification_id: id,
            complaint_id: serde_json::from_str(&details()?).unwrap_or_default(),
            reference,
            to: person,
            complaint_date: dated_at,
        }),
        Some(Kind::DeliveryReceipt) | None => Content::DeliveryReceipt(DeliveryReceipt {
            id,
            reference,
            to: person,
            status: status(row.get_ref(11)?),
            created_at: dated_at,
            completed_at: moment(row.get_ref(15)?),
            sent_at: moment(row.get_ref(14)?),
            notification_type: type_text(row.get_ref(12)?),
            template_id,
            template_version,
        }),
    })
}

/// `sent_by`, `template_name`, the spreadsheet's name and row, the uploaded file's name.
type LetterDetails = (Option<String>, Option<String>, Option<String>, Option<i64>, Option<String>);

/// The columns of one callback that are neither the envelope's nor plain fields of it.
pub(super) struct Columns {
    pub(super) notify_id: Value,
    pub(super) status: Option<Value>,
    pub(super) notification_type: Option<Value>,
    pub(super) dated_at: Option<Value>,
    pub(super) sent_at: Option<Value>,
    pub(super) completed_at: Option<Value>,
    pub(super) template_id: Option<Value>,
    pub(super) template_version: Option<i64>,
    pub(super) destination: Option<String>,
    pub(super) message: Option<String>,
    pub(super) details: Option<String>,
}

/// Spreads a callback over its columns.
pub(super) fn columns(callback: &Callback) -> Columns {
    let mut columns = Columns {
        notify_id: id_value(callback.notify_id()),
        status: None,
        notification_type: None,
        dated_at: None,
        sent_at: None,
        completed_at: None,
        template_id: None,
        template_version: None,
        destination: None,
        message: None,
        details: None,
    };
    match &callback.content {
        Content::DeliveryReceipt(receipt) => {
            columns.status = Some(status_value(&receipt.status));
            columns.notification_type = receipt.notification_type.as_deref().map(type_value);
            columns.dated_at = moment_value(receipt.created_at.as_deref());
            columns.sent_at = moment_value(receipt.sent_at.as_deref());
            columns.completed_at = moment_value(receipt.completed_at.as_deref());
            columns.template_id = receipt.template_id.as_deref().map(id_value);
            columns.template_version = receipt.template_version;
        }
        Content::ReceivedText(text) => {
            columns.dated_at = moment_value(text.date_received.as_deref());
            columns.destination.clone_from(&text.destination_number);
            columns.message.clone_from(&text.message);
        }
        Content::ReturnedLetter(letter) => {
            columns.dated_at = moment_value(letter.date_sent.as_deref());
            columns.template_id = letter.template_id.as_deref().map(id_value);
            columns.template_version = letter.template_version;
            columns.details = serde_json::to_string(&(
                &letter.sent_by,
                &letter.template_name,
                &letter.spreadsheet_file_name,
                letter.spreadsheet_row_number,
                &letter.upload_letter_file_name,
            ))
            .ok();
        }
        Content::Complaint(complaint) => {
            columns.dated_at = moment_value(complaint.complaint_date.as_deref());
            columns.details = serde_json::to_string(&complaint.complaint_id).ok();
        }
    }
    columns
}

pub(super) const INSERT: &str =
    "INSERT INTO callbacks (arrival, kind, service, shown, status, notification_type, origin, arrived_at, notify_id, reference,
         person, dated_at, sent_at, completed_at, template, template_version, destination, message, details, verbatim)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)";

/// Adds a row by [`INSERT`]. `template` is its template's number here.
pub(super) fn insert(
    insert: &mut Statement<'_>,
    arrival: i64,
    envelope: &Envelope,
    callback: &Callback,
    columns: &Columns,
    template: Option<i64>,
    shown: bool,
) -> rusqlite::Result<()> {
    insert.execute(params![
        arrival,
        callback.kind().code(),
        envelope.service,
        shown,
        columns.status,
        columns.notification_type,
        envelope.origin.code(),
        envelope.arrived_at,
        columns.notify_id,
        callback.reference(),
        callback.person(),
        columns.dated_at,
        columns.sent_at,
        columns.completed_at,
        template,
        columns.template_version,
        columns.destination,
        columns.message,
        columns.details,
        callback.verbatim
    ])?;
    Ok(())
}

/// Puts a callback in the place of the row that was fetched for it.
pub(super) fn take_place(
    connection: &Connection,
    arrival: i64,
    ready: &Ready,
    template: Option<i64>,
) -> rusqlite::Result<()> {
    let Ready { envelope, callback, columns, .. } = ready;
    let sql = "UPDATE callbacks SET origin = ?2, dated_at = ?3, sent_at = ?4, completed_at = ?5, template = ?6, template_version = ?7,
        destination = ?8, verbatim = ?9 WHERE arrival = ?1";
    connection.prepare_cached(sql)?.execute(params![
        arrival,
        envelope.origin.code(),
        columns.dated_at,
        columns.sent_at,
        columns.completed_at,
        template,
        columns.template_version,
        columns.destination,
        callback.verbatim
    ])?;
    Ok(())
}

/// 16 bytes for a UUID written the plain way, else the text.
pub(super) fn id_value(text: &str) -> Value {
    match Uuid::try_parse(text) {
        Ok(uuid) if uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text => {
            Value::Blob(uuid.as_bytes().to_vec())
        }
        _ => Value::Text(text.to_owned()),
    }
}

pub(super) fn plain(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Blob(bytes) => Uuid::from_slice(bytes).ok().map(|uuid| uuid.hyphenated().to_string()),
        ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

fn moment_value(text: Option<&str>) -> Option<Value> {
    text.map(|text| match time::micros(text) {
        Some(micros) => Value::Integer(micros),
        None => Value::Text(text.to_owned()),
    })
}

fn moment(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Integer(micros) => Some(time::canonical(micros)),
        other => plain(other),
    }
}

/// A small number for a status that Notify has today, else its text.
fn status_value(status: &Status) -> Value {
    status.code().map_or_else(|| Value::Text(status.as_str().to_owned()), Value::Integer)
}

fn status(value: ValueRef<'_>) -> Status {
    match value {
        ValueRef::Integer(code) => Status::from_code(code).unwrap_or(Status::Other(code.to_string())),
        other => Status::from(plain(other).unwrap_or_default().as_str()),
    }
}

fn type_value(text: &str) -> Value {
    let known = SENT.iter().find(|(name, _)| *name == text);
    known.map_or_else(|| Value::Text(text.to_owned()), |(_, code)| Value::Integer((*code).into()))
}

fn type_text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Integer(code) => {
            SENT.iter().find(|(_, known)| i64::from(*known) == code).map(|(name, _)| (*name).to_owned())
        }
        other => plain(other),
    }
}

impl ToSql for ServiceId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0))
    }
}
