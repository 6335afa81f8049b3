//! What arrives: each callback becomes one row, or one more count on the row that it repeats; each body that could not be
//! understood becomes one row of quarantine.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, params};

use super::counted::Counted;
use super::destinations::Destinations;
use super::envelope::{Envelope, Origin, Stored};
use super::erased::Erased;
use super::holds::Holds;
use super::hours::Tally;
use super::index::{Indexing, Keys};
use super::key::Key;
use super::row::{self, Columns, Kept};
use super::{ServiceId, Store, StoreError};
use super::{quarantine, redacting, signs, tokens};
use crate::clock::MINUTE;
use crate::meters::{Meters, NOT_UNDERSTOOD};
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
    pub(super) envelope: Envelope,
    pub(super) callback: Callback,
    pub(super) keys: Keys,
    pub(super) columns: Columns,
}

impl Ready {
    pub(super) fn new(envelope: Envelope, callback: Callback) -> Ready {
        let (keys, columns) = (Keys::of(&callback, envelope.service), row::columns(&callback));
        Ready { envelope, callback, keys, columns }
    }

    /// When it was made, by its own date.
    fn dated_at(&self) -> Option<i64> {
        match &self.columns.dated_at {
            Some(Value::Integer(at)) => Some(*at),
            _ => None,
        }
    }
}

impl Arrival {
    /// A body that was understood.
    #[must_use]
    pub fn callback(envelope: Envelope, callback: Callback) -> Arrival {
        Arrival::Callback(Box::new(Ready::new(envelope, callback)))
    }

    fn envelope(&self) -> &Envelope {
        match self {
            Arrival::Callback(ready) => &ready.envelope,
            Arrival::Quarantine { envelope, .. } => envelope,
        }
    }

    /// What it is counted as.
    fn word(&self) -> &'static str {
        match self {
            Arrival::Callback(ready) => ready.callback.kind().path(),
            Arrival::Quarantine { .. } => NOT_UNDERSTOOD,
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

/// What the writer knows while it keeps arrivals, from one transaction to the next.
pub(super) struct Ledger {
    pub(super) indexing: Indexing,
    templates: Templates,
    destinations: Destinations,
    /// When the last sign of life was given.
    alive_at: Option<i64>,
    tally: Tally,
    counted: Counted,
}

impl Ledger {
    /// Knows nothing yet.
    pub(super) fn new(indexing: Indexing, meters: Arc<Meters>) -> Ledger {
        let (templates, destinations, tally) = (Templates::default(), Destinations::default(), Tally::default());
        Ledger { indexing, templates, destinations, alive_at: None, tally, counted: Counted::new(meters) }
    }

    /// The transaction was committed.
    pub(super) fn committed(&self) {
        self.indexing.committed();
    }

    /// The transaction was not committed, so what is known may be wrong.
    pub(super) fn forget(&mut self) {
        self.indexing.forget();
        self.templates.forget();
        self.destinations.forget();
        self.alive_at = None;
        self.tally = Tally::default();
        self.counted.forget();
    }

    /// Gives a sign of life, and writes down with it what has been counted.
    pub(super) fn sign(&mut self, connection: &Connection, now: i64) -> rusqlite::Result<()> {
        signs::note(connection, now)?;
        self.tally.note(connection)?;
        self.note_counted(connection)
    }

    /// Writes down what was counted of answers.
    pub(super) fn note_counted(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.counted.note(connection)
    }

    /// Stores arrivals in their order, within the caller's transaction.
    pub(super) fn keep_all<'a>(
        &mut self,
        connection: &Connection,
        key: &Key,
        arrivals: impl Iterator<Item = &'a Arrival>,
    ) -> rusqlite::Result<Vec<Stored>> {
        let arrivals: Vec<&Arrival> = arrivals.collect();
        let redacted = redacting::in_place_of(connection, arrivals.iter().map(|arrival| redacting::callback(arrival)))?;
        let mut next = self.indexing.begin(connection)?;
        let erased = Erased::of(connection)?;
        let mut keeping = Keeping::new(connection, key, self)?;
        let (mut stored, mut added) = (Vec::new(), Vec::new());
        let (mut noted, mut now) = (None, i64::MIN);
        let mut came: Vec<(ServiceId, i64)> = Vec::new();
        let mut kinds: Vec<(ServiceId, &'static str)> = Vec::new();
        for (place, arrival) in arrivals.into_iter().enumerate() {
            let envelope = arrival.envelope();
            if noted != Some(envelope.token) {
                tokens::note_use(connection, envelope)?;
                noted = Some(envelope.token);
            }
            now = now.max(envelope.arrived_at);
            match came.last_mut() {
                Some((service, came)) if *service == envelope.service => *came += 1,
                _ => came.push((envelope.service, 1)),
            }
            let kind = (envelope.service, arrival.word());
            if kinds.last() != Some(&kind) {
                kinds.push(kind);
            }
            stored.push(match arrival {
                Arrival::Callback(ready) if erased.holds(&ready.columns.notify_id)? => Stored::Erased,
                Arrival::Callback(ready) => {
                    let ready = redacted.get(place).and_then(Option::as_ref).unwrap_or(ready);
                    let kept = keeping.callback(ready, next)?;
                    if let Stored::New(_) = kept {
                        added.push((&ready.keys, next));
                    }
                    kept
                }
                Arrival::Quarantine { envelope, reason, content_type, content_encoding, body } => {
                    let kind = (content_type.as_deref(), content_encoding.as_deref());
                    keeping.body(envelope, reason, kind, body, next)?
                }
            });
            next += 1;
        }
        self.indexing.end(connection, &added, next, now)?;
        let is_time = self.alive_at.is_none_or(|alive_at| now - alive_at >= MINUTE);
        self.tally.add(connection, now, &came)?;
        self.counted.came(connection, &kinds, now)?;
        if is_time {
            self.sign(connection, now)?;
            self.alive_at = Some(now);
        }
        Ok(stored)
    }
}

/// What one transaction keeps callbacks with. The statement is fetched once for all of them.
pub(super) struct Keeping<'a, 'l> {
    connection: &'a Connection,
    key: &'a Key,
    ledger: &'l mut Ledger,
    insert: CachedStatement<'a>,
    holds: Holds,
}

impl<'a, 'l> Keeping<'a, 'l> {
    pub(super) fn new(
        connection: &'a Connection,
        key: &'a Key,
        ledger: &'l mut Ledger,
    ) -> rusqlite::Result<Keeping<'a, 'l>> {
        let insert = connection.prepare_cached(row::INSERT)?;
        Ok(Keeping { connection, key, ledger, insert, holds: Holds::of(connection)? })
    }

    fn callback(&mut self, ready: &Ready, number: i64) -> rusqlite::Result<Stored> {
        let Ready { envelope, callback, .. } = ready;
        let before = self.events_before(ready)?;
        if let Some(same) = before.iter().find(|kept| kept.callback == *callback) {
            self.connection
                .prepare_cached("UPDATE callbacks SET times = times + 1, last_arrived_at = ?2 WHERE arrival = ?1")?
                .execute([same.arrival, envelope.arrived_at])?;
            return Ok(Stored::Again(same.arrival));
        }
        if let Some(fetched) = before.iter().find(|kept| is_fetched_of(kept, callback)) {
            let template = self.template(ready)?;
            row::take_place(self.connection, fetched.arrival, ready, template)?;
            return Ok(Stored::Again(fetched.arrival));
        }
        self.add(ready, &before, number)?;
        Ok(Stored::New(number))
    }

    /// From another store: what is here already stays as it is, and did not come again. Whether it is new here.
    pub(super) fn take_in(&mut self, ready: &Ready, number: i64) -> rusqlite::Result<bool> {
        let Ready { envelope, callback, .. } = ready;
        let before = self.events_before(ready)?;
        let is_here = |kept: &Kept| {
            kept.callback == *callback
                || envelope.origin == Origin::Fetched && says_the_same(callback, &kept.callback)
                || redacting::is_left_of(&kept.callback, callback)
        };
        if before.iter().any(is_here) {
            return Ok(false);
        }
        if let Some(fetched) = before.iter().find(|kept| is_fetched_of(kept, callback)) {
            let template = self.template(ready)?;
            row::take_place(self.connection, fetched.arrival, ready, template)?;
            return Ok(false);
        }
        self.add(ready, &before, number)?;
        Ok(true)
    }

    /// Keeps a body that could not be understood; `kind` as for [`quarantine::keep`].
    pub(super) fn body(
        &self,
        envelope: &Envelope,
        reason: &str,
        kind: (Option<&str>, Option<&str>),
        body: &[u8],
        number: i64,
    ) -> rusqlite::Result<Stored> {
        let kept = quarantine::keep(self.connection, self.key, envelope, reason, kind, body, number)?;
        if let Stored::New(_) = kept {
            self.holds.join_body(self.connection, envelope.service, body, number)?;
        }
        Ok(kept)
    }

    /// Adds a row after those that came `before` for the same message.
    pub(super) fn add(&mut self, ready: &Ready, before: &[Kept], number: i64) -> rusqlite::Result<()> {
        let Ready { envelope, callback, keys, columns } = ready;
        let shown = before.is_empty() || decide_shown(self.connection, callback, before, number)?;
        let template = self.template(ready)?;
        row::insert(&mut self.insert, number, envelope, callback, columns, template, shown)?;
        if !self.holds.is_empty() {
            // A complaint's own date says nothing of when the message was made.
            let dated_at = if callback.kind() == Kind::Complaint { None } else { ready.dated_at() };
            let related = self.ledger.indexing.events_before(self.connection, keys, dated_at)?;
            self.holds.join(self.connection, ready, &related, number)?;
        }
        if let (Content::ReceivedText(text), Some(person)) = (&callback.content, &keys.person) {
            let to = text.destination_number.as_deref();
            let to = self.ledger.destinations.number(self.connection, envelope.service, to)?;
            note_text(self.connection, self.key, person.as_str(), envelope.service, number, to)?;
        }
        self.ledger.indexing.added(keys, number);
        Ok(())
    }

    /// The number of its template here.
    fn template(&mut self, ready: &Ready) -> rusqlite::Result<Option<i64>> {
        let template = ready.columns.template_id.as_ref();
        template.map(|id| self.ledger.templates.number(self.connection, id)).transpose()
    }

    /// What came before for this message: callbacks of its kind and service that have its id.
    pub(super) fn events_before(&self, ready: &Ready) -> rusqlite::Result<Vec<Kept>> {
        let mut events = Vec::new();
        for arrival in self.ledger.indexing.events_before(self.connection, &ready.keys, ready.dated_at())? {
            events.extend(row::at(self.connection, arrival)?.filter(|kept| {
                kept.service == ready.envelope.service
                    && kept.callback.kind() == ready.callback.kind()
                    && kept.callback.notify_id() == ready.callback.notify_id()
            }));
        }
        events.sort_unstable_by_key(|kept| kept.arrival);
        Ok(events)
    }
}

/// Templates stand in rows by their numbers. These are the ones that came lately.
#[derive(Default)]
struct Templates(HashMap<Vec<u8>, i64>);

impl Templates {
    /// Templates whose numbers are remembered; a service has some hundreds.
    const REMEMBERED: usize = 4096;

    fn number(&mut self, connection: &Connection, template_id: &Value) -> rusqlite::Result<i64> {
        let known = match template_id {
            Value::Blob(id) => self.0.get(id),
            _ => None,
        };
        if let Some(number) = known {
            return Ok(*number);
        }
        connection
            .prepare_cached("INSERT INTO templates (template_id) VALUES (?1) ON CONFLICT (template_id) DO NOTHING")?
            .execute([template_id])?;
        let number = connection
            .prepare_cached("SELECT id FROM templates WHERE template_id = ?1")?
            .query_row([template_id], |row| row.get(0))?;
        if let Value::Blob(id) = template_id {
            if self.0.len() >= Templates::REMEMBERED {
                self.forget();
            }
            self.0.insert(id.clone(), number);
        }
        Ok(number)
    }

    fn forget(&mut self) {
        self.0.clear();
    }
}

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

/// Whether the row was read from Notify's API for this very callback, which had not come yet. What the API lists differs a little:
/// of a received text it says when Notify got it, and not the phone network's time.
fn is_fetched_of(kept: &Kept, callback: &Callback) -> bool {
    kept.origin == Origin::Fetched && says_the_same(&kept.callback, callback)
}

fn says_the_same(fetched: &Callback, called: &Callback) -> bool {
    let same = match (&fetched.content, &called.content) {
        (Content::DeliveryReceipt(fetched), Content::DeliveryReceipt(called)) => {
            fetched.status == called.status && fetched.notification_type == called.notification_type
        }
        (Content::ReceivedText(fetched), Content::ReceivedText(called)) => fetched.message == called.message,
        _ => false,
    };
    // What it is found by stays as it is.
    same && fetched.reference() == called.reference() && fetched.person() == called.person()
}

/// What the rule for *the* status compares; only delivery receipts have one.
pub(super) fn standing(callback: &Callback, arrival: i64) -> Option<Standing<'_>> {
    match &callback.content {
        Content::DeliveryReceipt(receipt) => {
            Some(Standing { status: &receipt.status, completed_at: receipt.completed_at.as_deref(), arrival })
        }
        _ => None,
    }
}

/// A conversation that was dealt with is open again, and is unread, since `read_to` is an arrival before this one.
fn note_text(
    connection: &Connection,
    key: &Key,
    person: &str,
    service: ServiceId,
    number: i64,
    destination: Option<i64>,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO conversations (opaque, person_key) VALUES (?1, ?2) ON CONFLICT (person_key) DO NOTHING",
        )?
        .execute([key.opaque("conversation", person).as_str(), person])?;
    connection
        .prepare_cached(
            "INSERT INTO conversation_services (conversation, service, texts, latest, destination, version)
             SELECT id, ?2, 1, ?3, ?4, 1 FROM conversations WHERE person_key = ?1
             ON CONFLICT (conversation, service) DO UPDATE SET texts = texts + 1, latest = excluded.latest,
                 destination = excluded.destination, version = version + 1, done_by = NULL, done_at = NULL",
        )?
        .execute(params![person, service, number, destination])?;
    Ok(())
}
