//! What arrives: each callback becomes one row, or one more count on the row that it repeats; each body that could not be
//! understood becomes one row of quarantine.

use std::sync::LazyLock;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::envelope::{Envelope, Stored};
use super::index::{self, Field, Indexing, Keys};
use super::key::Key;
use super::row::{self, Columns, Kept};
use super::{ServiceId, Store, StoreError};
use super::{quarantine, tokens};
use crate::notify::status::Standing;
use crate::notify::{Callback, Content, Kind};

/// One arrival on its way into the store.
pub enum Arrival {
    /// A body that was understood.
    Callback(Box<Ready>),
    /// A body that was not: kept byte for byte.
    Quarantine {
        /// What is known of it.
        envelope: Envelope,
        /// Why it was not understood, as a sentence for a manager.
        reason: String,
        /// Its `Content-Type`.
        content_type: Option<String>,
        /// Its `Content-Encoding`.
        content_encoding: Option<String>,
        /// The bytes.
        body: Vec<u8>,
    },
}

impl Store {
    /// Stores one arrival; `Ok` means committed and synced.
    ///
    /// # Errors
    /// When it could not be stored, or too much waits: it should be sent again.
    pub async fn keep(&self, arrival: Arrival) -> Result<Stored, StoreError> {
        self.inner.writer.keep(arrival).await
    }
}

/// A callback with all that can be worked out before it waits for the writer.
pub struct Ready {
    envelope: Envelope,
    callback: Callback,
    keys: Keys,
    columns: Columns,
}

impl Arrival {
    /// A body that was understood.
    #[must_use]
    pub fn callback(envelope: Envelope, callback: Callback) -> Arrival {
        let (keys, columns) = (Keys::of(&callback), row::columns(&callback));
        Arrival::Callback(Box::new(Ready { envelope, callback, keys, columns }))
    }

    fn envelope(&self) -> &Envelope {
        match self {
            Arrival::Callback(ready) => &ready.envelope,
            Arrival::Quarantine { envelope, .. } => envelope,
        }
    }

    /// The same bytes for quarantine, where the tables refused them.
    pub(super) fn into_not_storable(self) -> Arrival {
        match self {
            Arrival::Callback(ready) => Arrival::Quarantine {
                body: ready.callback.body(),
                envelope: ready.envelope,
                reason: "The store could not take it as what it is.".into(),
                content_type: None,
                content_encoding: None,
            },
            quarantine @ Arrival::Quarantine { .. } => quarantine,
        }
    }
}

/// Stores arrivals in their order, within the caller's transaction.
pub(super) fn keep_all<'a>(
    connection: &Connection,
    key: &Key,
    indexing: &mut Indexing,
    arrivals: impl Iterator<Item = &'a Arrival>,
) -> rusqlite::Result<Vec<Stored>> {
    let mut next = indexing.begin(connection)?;
    let mut keeping = Keeping::new(connection, key, indexing)?;
    let mut stored = Vec::new();
    let mut noted = None;
    for arrival in arrivals {
        let envelope = arrival.envelope();
        if noted != Some(envelope.token) {
            tokens::note_use(connection, envelope)?;
            noted = Some(envelope.token);
        }
        stored.push(match arrival {
            Arrival::Callback(ready) => keeping.callback(ready, next)?,
            Arrival::Quarantine { envelope, reason, content_type, content_encoding, body } => {
                let kind = (content_type.as_deref(), content_encoding.as_deref());
                quarantine::keep(connection, envelope, reason, kind, body, next)?
            }
        });
        next += 1;
    }
    keeping.indexing.end(connection, next)?;
    Ok(stored)
}

/// What one transaction keeps callbacks with. The statements are fetched once for all of them.
struct Keeping<'a> {
    connection: &'a Connection,
    key: &'a Key,
    indexing: &'a mut Indexing,
    /// The arrivals with an id, as the index knows them.
    indexed: CachedStatement<'a>,
    insert: CachedStatement<'a>,
}

impl<'a> Keeping<'a> {
    fn new(connection: &'a Connection, key: &'a Key, indexing: &'a mut Indexing) -> rusqlite::Result<Keeping<'a>> {
        let indexed = connection.prepare_cached("SELECT arrival FROM callback_index WHERE field = ?1 AND key = ?2")?;
        let insert = connection.prepare_cached(
            "INSERT INTO callbacks (arrival, kind, service, origin, arrived_at, shown, notify_id, reference, reference_key,
                 person, person_key, status, notification_type, dated_at, sent_at, completed_at, template_id,
                 template_version, destination, message, details, verbatim)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
        )?;
        Ok(Keeping { connection, key, indexing, indexed, insert })
    }

    fn callback(&mut self, ready: &Ready, number: i64) -> rusqlite::Result<Stored> {
        let Ready { envelope, callback, keys, columns } = ready;
        let before = self.events_before(envelope.service, callback.kind(), keys)?;
        if let Some(same) = before.iter().find(|kept| kept.callback == *callback) {
            self.connection
                .prepare_cached("UPDATE callbacks SET times = times + 1, last_arrived_at = ?2 WHERE arrival = ?1")?
                .execute([same.arrival, envelope.arrived_at])?;
            return Ok(Stored { arrival: same.arrival, again: true });
        }
        let shown = before.is_empty() || decide_shown(self.connection, callback, &before, number)?;
        self.insert.execute(params![
            number,
            callback.kind().code(),
            envelope.service,
            envelope.origin.code(),
            envelope.arrived_at,
            shown,
            keys.notify_id,
            callback.reference(),
            keys.reference,
            callback.person(),
            keys.person,
            columns.status,
            columns.notification_type,
            columns.dated_at,
            columns.sent_at,
            columns.completed_at,
            columns.template_id,
            columns.template_version,
            columns.destination,
            columns.message,
            columns.details,
            callback.verbatim
        ])?;
        if let (Content::ReceivedText(_), Some(index::Key::Text(person))) = (&callback.content, &keys.person) {
            note_text(self.connection, self.key, person, envelope.service, number)?;
        }
        self.indexing.added(keys, number);
        Ok(Stored { arrival: number, again: false })
    }

    /// What came before for this message: callbacks of its kind and service that have its id.
    fn events_before(&mut self, service: ServiceId, kind: Kind, keys: &Keys) -> rusqlite::Result<Vec<Kept>> {
        let found = self.indexed.query_map(params![Field::NotifyId as i64, keys.notify_id], |row| row.get(0))?;
        let mut arrivals = found.collect::<rusqlite::Result<Vec<i64>>>()?;
        arrivals.extend(self.indexing.waiting_with(&keys.notify_id));
        // Being made, an entry may be found in both places.
        arrivals.sort_unstable();
        arrivals.dedup();
        let mut events = Vec::with_capacity(arrivals.len());
        for arrival in arrivals {
            let mut find = self.connection.prepare_cached(&EVENT)?;
            events.extend(find.query_row(params![arrival, service, kind.code()], row::kept).optional()?);
        }
        Ok(events)
    }
}

static EVENT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT c.arrival, {} FROM callbacks c JOIN services s ON s.id = c.service
         WHERE c.arrival = ?1 AND c.service = ?2 AND c.kind = ?3",
        row::COLUMNS
    )
});

/// Whether the new event is the one to show; where it is, the one shown before steps back.
fn decide_shown(connection: &Connection, callback: &Callback, before: &[Kept], number: i64) -> rusqlite::Result<bool> {
    let Some(new) = standing(callback, number) else {
        return Ok(true);
    };
    let beaten = before
        .iter()
        .filter(|kept| kept.shown)
        .all(|kept| standing(&kept.callback, kept.arrival).is_none_or(|old| new.beats(&old)));
    if beaten {
        for old in before.iter().filter(|kept| kept.shown) {
            connection.prepare_cached("UPDATE callbacks SET shown = 0 WHERE arrival = ?1")?.execute([old.arrival])?;
        }
    }
    Ok(beaten)
}

/// What the rule for *the* status compares; only delivery receipts have one.
fn standing(callback: &Callback, arrival: i64) -> Option<Standing<'_>> {
    match &callback.content {
        Content::DeliveryReceipt(receipt) => {
            Some(Standing { status: &receipt.status, completed_at: receipt.completed_at.as_deref(), arrival })
        }
        _ => None,
    }
}

fn note_text(
    connection: &Connection,
    key: &Key,
    person: &str,
    service: ServiceId,
    number: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO conversations (opaque, person_key) VALUES (?1, ?2) ON CONFLICT (person_key) DO NOTHING",
        )?
        .execute([key.opaque("conversation", person).as_str(), person])?;
    connection
        .prepare_cached(
            "INSERT INTO conversation_services (conversation, service, texts, latest)
             SELECT id, ?2, 1, ?3 FROM conversations WHERE person_key = ?1
             ON CONFLICT (conversation, service) DO UPDATE SET texts = texts + 1, latest = excluded.latest",
        )?
        .execute(params![person, service, number])?;
    Ok(())
}
