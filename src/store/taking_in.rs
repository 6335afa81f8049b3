//! Taking in what another store read out, some items in each transaction. What is here already stays as it is, what was erased here
//! stays away, and holds and redactions go on: so the same file may be taken in again, be it after a stop.

use std::collections::HashMap;
use std::ops::AddAssign;

use rusqlite::{Connection, OptionalExtension, params};

use super::arrivals::{Keeping, Ledger, Ready};
use super::envelope::{Envelope, Stored};
use super::erased::Erased;
use super::erasing::own_id;
use super::index::{Index, Wanted, Way};
use super::key::Key;
use super::leaving::{Came, Done, HandledTexts, Portable, UnreadBody, WrittenNote, is_text_of, texts_to};
use super::people::account;
use super::record::{self, By, Did, Entry};
use super::row::{self, id_value};
use super::{Role, ServiceId, Store, StoreError, quarantine, redacting};
use crate::notify::Callback;

/// So often it is looked again what a conversation holds, where a text came meanwhile.
const LOOKS: usize = 5;

/// What became of the items that were taken in.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TakenIn {
    /// Callbacks that were not here.
    pub callbacks: u64,
    /// Bodies in quarantine that were not here.
    pub quarantined: u64,
    /// Conversations about which nobody here had done anything.
    pub handled: u64,
    /// Notes that were not here.
    pub notes: u64,
    /// Services and names of templates that were not here.
    pub named: u64,
    /// Items that were here, and stay as they are.
    pub here: u64,
    /// Callbacks and bodies that were erased here, and stay away.
    pub erased: u64,
    /// Notes and states of conversations that are not here, or of which more has been redacted here.
    pub left_out: u64,
    /// The addresses of accounts that were made, closed, for who wrote a note or took a conversation.
    pub accounts: Vec<String>,
}

impl AddAssign for TakenIn {
    fn add_assign(&mut self, other: TakenIn) {
        self.callbacks += other.callbacks;
        self.quarantined += other.quarantined;
        self.handled += other.handled;
        self.notes += other.notes;
        self.named += other.named;
        self.here += other.here;
        self.erased += other.erased;
        self.left_out += other.left_out;
        self.accounts.extend(other.accounts);
    }
}

impl Store {
    /// Takes some items in, in their order.
    ///
    /// # Errors
    /// When they cannot be written: then take the same in again.
    pub async fn take_in(&self, items: Vec<Portable>, by: &By, now: i64) -> Result<TakenIn, StoreError> {
        self.inner.condition.refuse_arrivals()?;
        let (mut states, mut others) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                Portable::Handling(state) => states.push(*state),
                other => others.push(other),
            }
        }
        let mut done = TakenIn::default();
        if !others.is_empty() {
            let (key, by) = (self.inner.key.clone(), by.clone());
            let work = move |connection: &Connection, ledger: &mut Ledger| {
                let mut work = Work::new(connection, &key, by, now);
                work.take_in(ledger, others)?;
                Ok(work.done)
            };
            done += self.inner.writer.write_with_ledger(work).await?;
        }
        done += self.take_in_states(states, by, now).await?;
        Ok(done)
    }

    /// What a conversation holds is looked up beside the writer. Where it was changed since, it is looked again.
    async fn take_in_states(&self, mut states: Vec<HandledTexts>, by: &By, now: i64) -> Result<TakenIn, StoreError> {
        let mut done = TakenIn::default();
        for _ in 0..LOOKS {
            if states.is_empty() {
                return Ok(done);
            }
            let store = self.clone();
            let look = move || {
                store.look_long(|index| {
                    let found = states.into_iter().map(|state| Ok((seen(index, &state)?, state)));
                    Ok(found.collect::<rusqlite::Result<Vec<_>>>()?)
                })
            };
            let looked = tokio::task::spawn_blocking(look).await.map_err(|_| StoreError::Closed)??;
            let (key, by) = (self.inner.key.clone(), by.clone());
            let work = move |connection: &Connection| {
                let mut work = Work::new(connection, &key, by, now);
                let mut again = Vec::new();
                for (seen, state) in looked {
                    if !work.state(seen.as_ref(), &state)? {
                        again.push(state);
                    }
                }
                Ok((work.done, again))
            };
            let (some, again) = self.write(work).await?;
            done += some;
            states = again;
        }
        done.left_out += u64::try_from(states.len()).unwrap_or(u64::MAX);
        Ok(done)
    }
}

/// What one transaction takes in.
struct Work<'a> {
    connection: &'a Connection,
    key: &'a Key,
    by: By,
    now: i64,
    done: TakenIn,
    services: HashMap<String, ServiceId>,
}

/// A callback or a body on its way.
enum Arriving {
    Callback(Came, Box<Ready>),
    Body(Came, Envelope, Box<UnreadBody>),
}

impl Arriving {
    fn ready(&self) -> Option<&Ready> {
        match self {
            Arriving::Callback(_, ready) => Some(ready),
            Arriving::Body(..) => None,
        }
    }
}

impl<'a> Work<'a> {
    fn new(connection: &'a Connection, key: &'a Key, by: By, now: i64) -> Work<'a> {
        Work { connection, key, by, now, done: TakenIn::default(), services: HashMap::new() }
    }

    fn take_in(&mut self, ledger: &mut Ledger, items: Vec<Portable>) -> rusqlite::Result<()> {
        let (mut arriving, mut notes) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                Portable::Service { name, notify_service_id } => {
                    self.name_service(&name, notify_service_id.as_deref())?;
                }
                Portable::Template { service, template_id, name } => {
                    self.name_template(&service, &template_id, &name)?;
                }
                Portable::Callback(came, callback) => {
                    let envelope = self.envelope(&came, "")?;
                    arriving.push(Arriving::Callback(came, Box::new(Ready::new(envelope, *callback))));
                }
                Portable::Quarantined(came, body) => {
                    let envelope = self.envelope(&came, &body.path)?;
                    arriving.push(Arriving::Body(came, envelope, body));
                }
                Portable::Note(note) => notes.push(note),
                // By a look beside the writer.
                Portable::Handling(_) => (),
            }
        }
        if !arriving.is_empty() {
            self.arrivals(ledger, &arriving)?;
        }
        notes.iter().try_for_each(|note| self.note(note))
    }

    fn envelope(&mut self, came: &Came, path: &str) -> rusqlite::Result<Envelope> {
        let service = self.service(&came.service)?;
        let (origin, arrived_at) = (came.origin, came.arrived_at);
        Ok(Envelope { service, token: None, origin, arrived_at, path: path.to_owned() })
    }

    /// The service of this name, which is made where there is none.
    fn service(&mut self, name: &str) -> rusqlite::Result<ServiceId> {
        if let Some(known) = self.services.get(name) {
            return Ok(*known);
        }
        let sql = "INSERT INTO services (name, made_at) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
        let made = self.connection.prepare_cached(sql)?.execute(params![name, self.now])?;
        self.done.named += u64::from(made > 0);
        let sql = "SELECT id FROM services WHERE name = ?1";
        let id = ServiceId(self.connection.prepare_cached(sql)?.query_row([name], |row| row.get(0))?);
        self.services.insert(name.to_owned(), id);
        Ok(id)
    }

    fn name_service(&mut self, name: &str, notify_service_id: Option<&str>) -> rusqlite::Result<()> {
        let before = self.done.named;
        let id = self.service(name)?;
        let sql = "UPDATE services SET notify_service_id = ?2 WHERE id = ?1 AND notify_service_id IS NULL";
        self.connection.prepare_cached(sql)?.execute(params![id, notify_service_id])?;
        self.done.here += u64::from(self.done.named == before);
        Ok(())
    }

    /// A name that was given here stays.
    fn name_template(&mut self, service: &str, template_id: &str, name: &str) -> rusqlite::Result<()> {
        let (service, id) = (self.service(service)?, id_value(template_id));
        let sql = "INSERT INTO templates (template_id) VALUES (?1) ON CONFLICT (template_id) DO NOTHING";
        self.connection.prepare_cached(sql)?.execute([&id])?;
        let sql = "INSERT INTO template_names (service, template, given) SELECT ?1, id, ?3 FROM templates WHERE template_id = ?2
            ON CONFLICT (service, template) DO UPDATE SET given = excluded.given WHERE given IS NULL";
        let named = self.connection.prepare_cached(sql)?.execute(params![service, id, name])?;
        let is_new = u64::from(named > 0);
        (self.done.named, self.done.here) = (self.done.named + is_new, self.done.here + 1 - is_new);
        Ok(())
    }

    fn arrivals(&mut self, ledger: &mut Ledger, arriving: &[Arriving]) -> rusqlite::Result<()> {
        let connection = self.connection;
        let redacted = redacting::in_place_of(connection, arriving.iter().map(Arriving::ready))?;
        let mut next = ledger.indexing.begin(connection)?;
        let erased = Erased::of(connection)?;
        let mut keeping = Keeping::new(connection, self.key, ledger)?;
        let mut added = Vec::new();
        for (place, arriving) in arriving.iter().enumerate() {
            match arriving {
                Arriving::Callback(_, ready) if erased.holds(&ready.columns.notify_id)? => self.done.erased += 1,
                Arriving::Callback(came, ready) => {
                    let ready = redacted.get(place).and_then(Option::as_ref).unwrap_or(ready);
                    if keeping.take_in(ready, next)? {
                        count(connection, "callbacks", next, came)?;
                        added.push((&ready.keys, next));
                        self.done.callbacks += 1;
                        next += 1;
                    } else {
                        self.done.here += 1;
                    }
                }
                Arriving::Body(came, envelope, body) => match self.body(&mut keeping, &erased, envelope, body, next)? {
                    Stored::New(number) => {
                        count(connection, "quarantine", number, came)?;
                        self.done.quarantined += 1;
                        next += 1;
                    }
                    Stored::Again(_) => self.done.here += 1,
                    Stored::Erased => self.done.erased += 1,
                },
            }
        }
        drop(keeping);
        ledger.indexing.end(connection, &added, next, self.now)
    }

    fn body(
        &self,
        keeping: &mut Keeping<'_, '_>,
        erased: &Erased<'_>,
        envelope: &Envelope,
        body: &UnreadBody,
        number: i64,
    ) -> rusqlite::Result<Stored> {
        if let Some(here) = quarantine::is_here(self.connection, envelope.service, &body.body)? {
            return Ok(Stored::Again(here));
        }
        // It may have been read again here.
        if body.content_encoding.is_none()
            && let Ok(callback) = Callback::read(&body.body)
        {
            let ready = Ready::new(envelope.clone(), callback);
            let before = keeping.events_before(&ready)?;
            if let Some(same) = before.iter().find(|kept| kept.callback == ready.callback) {
                return Ok(Stored::Again(same.arrival));
            }
        }
        if let Some(id) = own_id(&body.body)
            && (erased.holds(&id_value(&id))? || redacting::of(self.connection, &id)?.is_some())
        {
            return Ok(Stored::Erased);
        }
        let kind = (body.content_type.as_deref(), body.content_encoding.as_deref());
        keeping.body(envelope, &body.reason, kind, &body.body, number)
    }

    /// The account of an address. Where there is none, one is made that nobody can sign in to, and that sees nothing.
    fn account(&mut self, email: &str) -> rusqlite::Result<i64> {
        let email = email.to_lowercase();
        let sql = "SELECT id FROM people WHERE email = ?1";
        let known = self.connection.prepare_cached(sql)?.query_row([&email], |row| row.get(0)).optional()?;
        if let Some(known) = known {
            return Ok(known);
        }
        let sql = "INSERT INTO people (email, role, made_at, disabled_at, limited) VALUES (?1, ?2, ?3, ?3, 1)";
        self.connection.prepare_cached(sql)?.execute(params![email, Role::Viewer.as_str(), self.now])?;
        let id = self.connection.last_insert_rowid();
        let entry = Entry::new(self.by.clone(), Did::AddedPerson, self.now).of(account(id));
        record::append(self.connection, self.key, &entry.with("viewer, no services, closed, for an import"))?;
        self.done.accounts.push(email);
        Ok(id)
    }

    /// The account of who did something, and when.
    fn doer(&mut self, done: Option<&Done>) -> rusqlite::Result<Option<(i64, i64)>> {
        let Some((who, at)) = done else { return Ok(None) };
        Ok(Some((self.account(who)?, *at)))
    }

    fn note(&mut self, note: &WrittenNote) -> rusqlite::Result<()> {
        let service = self.service(&note.service)?;
        let sql = "SELECT cs.conversation, c.notify_id FROM conversations v
            JOIN conversation_services cs ON cs.conversation = v.id LEFT JOIN callbacks c ON c.arrival = cs.latest
            WHERE v.person_key = ?1 AND cs.service = ?2";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row::plain(row.get_ref(1)?)));
        let found = self.connection.prepare_cached(sql)?.query_row(params![note.sender, service], read).optional()?;
        let Some((conversation, latest)) = found else {
            self.done.left_out += 1;
            return Ok(());
        };
        let (who, at) = &note.written;
        let same = "SELECT 1 FROM notes n JOIN people p ON p.id = n.person
            WHERE n.conversation = ?1 AND n.service = ?2 AND p.email = ?3 AND n.made_at = ?4";
        if self.connection.prepare_cached(same)?.exists(params![conversation, service, who.to_lowercase(), at])? {
            self.done.here += 1;
            return Ok(());
        }
        // It may say what the texts said.
        if latest.is_some_and(|id| redacting::of(self.connection, &id).is_ok_and(|redacted| redacted.is_some())) {
            self.done.left_out += 1;
            return Ok(());
        }
        let person = self.account(who)?;
        self.connection
            .prepare_cached(
                "INSERT INTO notes (conversation, service, person, made_at, text, removed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![conversation, service, person, at, note.text, note.removed_at])?;
        let sql = "UPDATE conversation_services SET version = version + 1 WHERE conversation = ?1 AND service = ?2";
        self.connection.prepare_cached(sql)?.execute(params![conversation, service])?;
        self.done.notes += 1;
        Ok(())
    }

    /// What was done about a conversation, where nobody here has done anything about it. False where it was changed since it was seen.
    fn state(&mut self, seen: Option<&Seen>, state: &HandledTexts) -> rusqlite::Result<bool> {
        let Some(seen) = seen else {
            self.done.left_out += 1;
            return Ok(true);
        };
        let sql = "SELECT version, read_to > 0 OR taken_by IS NOT NULL OR done_by IS NOT NULL
            FROM conversation_services WHERE conversation = ?1 AND service = ?2";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?));
        let bound = params![seen.conversation, seen.service];
        let now = self.connection.prepare_cached(sql)?.query_row(bound, read).optional()?;
        match now {
            None => self.done.left_out += 1,
            Some((version, _)) if version != seen.version => return Ok(false),
            Some((_, true)) => self.done.here += 1,
            Some((_, false)) => {
                let taken = self.doer(state.taken.as_ref())?;
                let dealt_with = self.doer(state.dealt_with.as_ref().filter(|_| seen.is_dealt_with))?;
                self.connection
                    .prepare_cached(
                        "UPDATE conversation_services SET version = version + 1, read_to = ?3, taken_by = ?4, taken_at = ?5,
                             done_by = ?6, done_at = ?7 WHERE conversation = ?1 AND service = ?2",
                    )?
                    .execute(params![
                        seen.conversation,
                        seen.service,
                        seen.read_to,
                        taken.map(|taken| taken.0),
                        taken.map(|taken| taken.1),
                        dealt_with.map(|done| done.0),
                        dealt_with.map(|done| done.1)
                    ])?;
                self.done.handled += 1;
            }
        }
        Ok(true)
    }
}

/// It came as often as it came.
fn count(connection: &Connection, table: &str, arrival: i64, came: &Came) -> rusqlite::Result<()> {
    if came.times == 1 && came.last_arrived_at.is_none() {
        return Ok(());
    }
    let sql = format!("UPDATE {table} SET times = ?2, last_arrived_at = ?3 WHERE arrival = ?1");
    connection.prepare_cached(&sql)?.execute(params![arrival, came.times, came.last_arrived_at]).map(drop)
}

/// What a state of the other store means for the texts that are here.
struct Seen {
    conversation: i64,
    service: ServiceId,
    version: i64,
    read_to: i64,
    is_dealt_with: bool,
}

/// Nobody has read or dealt with a text that came after they did: it is unread here, and the conversation open.
fn seen(index: &Index<'_>, state: &HandledTexts) -> rusqlite::Result<Option<Seen>> {
    let sql = "SELECT v.id, cs.service, cs.version FROM conversations v JOIN conversation_services cs ON cs.conversation = v.id
        JOIN services s ON s.id = cs.service WHERE v.person_key = ?1 AND s.name = ?2";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, ServiceId(row.get(1)?), row.get(2)?));
    let found =
        index.connection.prepare_cached(sql)?.query_row(params![state.sender, state.service], read).optional()?;
    let Some((conversation, service, version)) = found else { return Ok(None) };
    let wanted = Wanted::Person(state.sender.clone());
    let mut arrivals = index.arrivals(wanted, texts_to(service), Way::OldestFirst, i64::MIN);
    let mut texts = Vec::new();
    let mut newest_read = None;
    while let Some(arrival) = arrivals.next()? {
        let kept = row::at(index.connection, arrival)?;
        let Some(kept) = kept.filter(|kept| is_text_of(kept, &state.sender, service)) else { continue };
        if state.read_to.as_deref() == Some(kept.callback.notify_id()) {
            newest_read = Some((arrival, kept.arrived_at));
        }
        texts.push((arrival, kept.arrived_at));
    }
    let dealt_at = state.dealt_with.as_ref().map(|(_, at)| *at);
    let up_to = match (&state.read_to, newest_read) {
        (Some(_), Some((arrival, _))) => arrival,
        // The newest text that was read is not here, but it was dealt with.
        (Some(_), None) if dealt_at.is_some() => texts.last().map_or(0, |(arrival, _)| *arrival),
        _ => 0,
    };
    let known_until = newest_read.map(|(_, at)| at).max(dealt_at).unwrap_or(i64::MIN);
    let first_unread = texts.iter().find(|(_, at)| *at > known_until).map(|(arrival, _)| *arrival);
    let read_to = first_unread.map_or(up_to, |unread| up_to.min(unread - 1));
    let is_dealt_with = dealt_at.is_some_and(|dealt_at| texts.iter().all(|(_, at)| *at <= dealt_at));
    Ok(Some(Seen { conversation, service, version, read_to, is_dealt_with }))
}

#[cfg(test)]
mod tests;
