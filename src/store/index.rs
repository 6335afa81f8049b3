//! What callbacks are found by: Notify's id, the reference, the person, what they are, the words of a text.
//!
//! Keys come in no order, so an index that is kept up row by row would touch another page for each, and the more the larger
//! it is. Here the entries of each transaction are sorted into one small *run*: a stretch of arrivals in the order of their
//! keys. The newest runs are in memory, and are made again from the rows after a start; some thousand arrivals at a time are
//! merged into one run in the store, and 32 neighbours of a size into a larger one, up to some millions of arrivals; in a quiet
//! moment four are enough. So everything is written in order, a few times, and a search asks some dozens of runs at most, the
//! newest first, until its page is full.
//! Each entry says what its callback is, so that a search that is limited to a service or a status reads no rows of others.

mod chunk;
mod facets;
pub(super) mod gone;
mod learning;
mod look;
mod merge;
mod runs;
mod seen;
mod tally;
mod together;

use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::Connection;
use sha2::{Digest, Sha256};

pub(super) use facets::{Facets, Mark, SENT};
pub(super) use look::{Index, Wanted, Way};
pub(super) use tally::Tally;
pub(super) use together::Together;

use self::chunk::{Damaged, Entry, LONGEST_KEY};
use self::learning::Learning;
use self::runs::{Run, Runs, Sizes};
use self::seen::Seen;
use super::row;
use crate::clock::DAY;
use crate::notify::recipient::{MatchKey, reference_key};
use crate::notify::{Callback, Content, Kind, words};

/// A message's events come after it was made by its own date, but for clocks that disagree by so much.
const CLOCKS_DISAGREE: i64 = DAY;
/// Callbacks are mostly of messages that were made so lately, clocks that disagree and all.
const LATELY: i64 = 2 * DAY;
/// Words of a text that are indexed.
const WORDS: usize = 200;

/// What a key is of: its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    NotifyId = 1,
    Reference = 2,
    Person = 3,
    Facets = 4,
    Word = 5,
}

/// So much of a long key stands in the index as it is, and then the hash of all of it.
const KEPT_OF_LONG: usize = LONGEST_KEY - 17;

fn key(field: Field, value: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + value.len().min(LONGEST_KEY));
    key.push(field as u8);
    if value.len() < LONGEST_KEY {
        key.extend_from_slice(value);
    } else {
        let hash = Sha256::digest(value);
        key.extend(value.iter().take(KEPT_OF_LONG).chain(hash.iter().take(16)));
    }
    key
}

/// Notify's id is random, so a part of it is enough; whoever looks by it asks the row too.
pub(super) fn short_id(notify_id: &str) -> [u8; 8] {
    let first = |bytes: &[u8]| bytes.first_chunk().copied().unwrap_or_default();
    match uuid::Uuid::try_parse(notify_id) {
        Ok(uuid) => first(uuid.as_bytes()),
        Err(_) => first(&Sha256::digest(notify_id)),
    }
}

/// The keys of one callback.
pub(super) struct Keys {
    pub(super) short_id: [u8; 8],
    pub(super) person: Option<MatchKey>,
    mark: u64,
    all: Vec<Vec<u8>>,
}

/// What the keys of one callback are made from.
pub(super) struct Said<'a> {
    pub(super) kind: Kind,
    pub(super) mark: Mark,
    pub(super) notify_id: &'a str,
    pub(super) reference: Option<&'a str>,
    pub(super) person: Option<&'a str>,
    pub(super) message: Option<&'a str>,
}

impl Keys {
    pub(super) fn of(callback: &Callback, service: super::ServiceId) -> Keys {
        let (mark, message) = match &callback.content {
            Content::DeliveryReceipt(receipt) => {
                (Mark::of_receipt(service, &receipt.status, receipt.notification_type.as_deref()), None)
            }
            Content::ReceivedText(text) => (Mark::of_other(service, callback.kind()), text.message.as_deref()),
            Content::ReturnedLetter(_) | Content::Complaint(_) => (Mark::of_other(service, callback.kind()), None),
        };
        let (notify_id, reference, person) = (callback.notify_id(), callback.reference(), callback.person());
        Keys::of_said(&Said { kind: callback.kind(), mark, notify_id, reference, person, message })
    }

    /// The same, from a row's own columns.
    pub(super) fn of_said(said: &Said<'_>) -> Keys {
        let short_id = short_id(said.notify_id);
        let person = said.person.and_then(|person| said.kind.match_key(person));
        let mut all = vec![key(Field::NotifyId, &short_id), said.mark.key()];
        all.extend(said.reference.map(|reference| key(Field::Reference, reference_key(reference).as_bytes())));
        all.extend(person.as_ref().map(|person| key(Field::Person, person.as_str().as_bytes())));
        if let Some(message) = said.message {
            let words = words::of(message).take(WORDS);
            let mut words: Vec<_> = words.map(|word| key(Field::Word, word.as_bytes())).collect();
            words.sort_unstable();
            words.dedup();
            all.append(&mut words);
        }
        Keys { short_id, person, mark: said.mark.number(), all }
    }
}

/// The entries of some rows, in order.
fn entries<'a>(added: &[(&'a Keys, i64)]) -> Vec<Entry<'a>> {
    let mut entries = Vec::with_capacity(5 * added.len());
    entries.extend(
        added
            .iter()
            .flat_map(|(keys, arrival)| keys.all.iter().map(|key| Entry { key, arrival: *arrival, mark: keys.mark })),
    );
    entries.sort_unstable();
    entries
}

/// What the writer has in memory of the index, for the readers.
#[derive(Clone, Default)]
pub(super) struct Fresh(Arc<RwLock<Arc<[Run]>>>);

impl Fresh {
    /// As it is after the latest commit.
    pub(super) fn now(&self) -> Arc<[Run]> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, runs: &[Run]) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = runs.into();
    }
}

/// The writer's side.
#[derive(Default)]
pub(super) struct Indexing {
    /// What stands in the store; forgotten where a transaction was not committed.
    known: Option<Known>,
    seen: Seen,
    learning: Learning,
    /// The ids that this transaction brings.
    brought: Vec<([u8; 8], i64)>,
    fresh: Fresh,
    sizes: Sizes,
    /// Whether this process leaves the runs to another: then it adds none, and merges none.
    only_looks: bool,
}

struct Known {
    /// Changes when another process writes.
    version: i64,
    next: i64,
    runs: Runs,
}

impl Indexing {
    /// Tells the readers what is in memory. Only one process `keeps` the runs.
    pub(super) fn new(fresh: Fresh, keeps: bool) -> Indexing {
        Indexing { fresh, only_looks: !keeps, ..Indexing::default() }
    }

    /// Begins a transaction; gives the number of the next arrival.
    pub(super) fn begin(&mut self, connection: &Connection) -> rusqlite::Result<i64> {
        self.brought.clear();
        let version = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.known.as_ref().is_some_and(|known| known.version != version) {
            // Another process wrote, most likely something else.
            self.take_up(connection, version)?;
        }
        let known = if let Some(known) = self.known.take() {
            known
        } else {
            let next = next_arrival(connection)?;
            self.seen.begin(next);
            self.learning = Learning::default();
            let read = if self.only_looks { Runs::look } else { Runs::read };
            Known { version, next, runs: read(connection, self.sizes)? }
        };
        Ok(self.known.insert(known).next)
    }

    /// Another process has written: knows of what it added to the rows, or nothing any more.
    fn take_up(&mut self, connection: &Connection, version: i64) -> rusqlite::Result<()> {
        // What another process merges meanwhile changes no number that is compared here.
        let Some(mut known) = self.known.take().filter(|_| !self.only_looks) else { return Ok(()) };
        let newest: i64 = connection.query_row("SELECT coalesce(max(run), 0) FROM index_runs", [], |row| row.get(0))?;
        let next = next_arrival(connection)?;
        if newest != known.runs.newest() || next < known.next {
            return Ok(());
        }
        while known.next < next {
            let rows = row::keys_after(connection, known.next - 1, TAKEN_UP)?;
            let Some(last) = rows.last() else { break };
            known.next = last.arrival + 1;
            let added: Vec<(&Keys, i64)> = rows.iter().map(|row| (&row.keys, row.arrival)).collect();
            for (keys, arrival) in &added {
                self.seen.add(keys.short_id, *arrival);
            }
            let entries = entries(&added);
            known.runs.add(connection, &entries, rows.iter().map(|row| row.arrived_at).max().unwrap_or_default())?;
            known.runs.merge(connection, 2 * entries.len())?;
        }
        (known.version, known.next) = (version, next);
        self.known = Some(known);
        Ok(())
    }

    /// The transaction was committed: readers may know of what it added.
    pub(super) fn committed(&self) {
        if let Some(known) = &self.known {
            self.fresh.set(known.runs.fresh());
        }
    }

    /// The transaction was not committed, so what is known may be wrong.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    /// The arrivals that may be of this message, which was made at `dated_at` if that is known.
    pub(super) fn events_before(
        &self,
        connection: &Connection,
        keys: &Keys,
        dated_at: Option<i64>,
    ) -> rusqlite::Result<Vec<i64>> {
        let Some(known) = &self.known else { return Ok(Vec::new()) };
        let oldest = dated_at.map_or(i64::MIN, |at| at - CLOCKS_DISAGREE);
        let maybe_seen = self.seen.may_hold(keys.short_id);
        let wanted = Wanted::NotifyId(keys.short_id);
        let mut found = Vec::new();
        for run in known.runs.newest_first().filter(|run| run.last_at >= oldest) {
            if maybe_seen || run.first < self.seen.since() {
                found.extend(look::all(connection, run, &wanted)?);
            }
        }
        if maybe_seen {
            found.extend(self.brought.iter().filter(|(id, _)| *id == keys.short_id).map(|(_, arrival)| *arrival));
        }
        Ok(found)
    }

    /// A row has been added.
    pub(super) fn added(&mut self, keys: &Keys, arrival: i64) {
        self.seen.add(keys.short_id, arrival);
        self.brought.push((keys.short_id, arrival));
    }

    /// Adds the entries of the rows that this transaction added, and writes the number of the next arrival. `now` is when they
    /// came.
    pub(super) fn end(
        &mut self,
        connection: &Connection,
        added: &[(&Keys, i64)],
        next: i64,
        now: i64,
    ) -> rusqlite::Result<()> {
        let Some(known) = &mut self.known else { return Ok(()) };
        connection.prepare_cached("UPDATE arrivals SET next = ?1")?.execute([next])?;
        known.next = next;
        let entries = entries(added);
        if self.only_looks {
            return known.runs.hold(connection, &entries, now);
        }
        known.runs.add(connection, &entries, now)?;
        // Twice what came: so a merge is done before the runs of the next one are there.
        known.runs.merge(connection, 2 * entries.len())?;
        self.learning.go_on(connection, &known.runs, &mut self.seen, LEARNED_AT_ONCE)
    }

    /// Goes on with merging in a quiet moment.
    pub(super) fn catch_up(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.begin(connection)?;
        let Some(known) = self.known.as_mut().filter(|_| !self.only_looks) else { return Ok(()) };
        if !known.runs.is_behind() {
            known.runs.begin_quietly(connection)?;
        }
        known.runs.merge_quietly(connection, QUIET_MERGE)?;
        self.learning.go_on(connection, &known.runs, &mut self.seen, QUIET_MERGE)
    }

    /// Puts what is in memory into the store, so that the next start finds it there.
    pub(super) fn store_all(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.only_looks {
            return Ok(());
        }
        if self.known.is_some() {
            self.begin(connection)?;
        }
        self.known.as_mut().map_or(Ok(()), |known| known.runs.store_all(connection))
    }

    /// Takes the entries of what is gone out, and clears away what is no longer used; whether there is more to do.
    pub(super) fn forget_gone(
        &mut self,
        connection: &Connection,
        entries: usize,
        chunks: usize,
    ) -> rusqlite::Result<bool> {
        self.begin(connection)?;
        let Some(known) = self.known.as_mut().filter(|_| !self.only_looks) else { return Ok(false) };
        Ok(known.runs.forget_gone(connection, entries)? || known.runs.clear(connection, chunks)?)
    }

    /// Whether a quiet moment would make a search ask fewer runs.
    pub(super) fn could_be_tidier(&self) -> bool {
        self.known.as_ref().is_some_and(|known| !self.only_looks && known.runs.could_be_fewer())
    }

    /// Whether there is something to merge or to learn.
    pub(super) fn is_behind(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.runs.is_behind() || !self.only_looks && !self.learning.is_done())
    }
}

/// Entries merged at once in a quiet moment: a callback that comes meanwhile hardly waits.
const QUIET_MERGE: usize = 4096;
/// Ids that are learned with each transaction after a start.
const LEARNED_AT_ONCE: usize = 1024;
/// Rows of another process whose entries are made at once.
const TAKEN_UP: i64 = 8192;

fn next_arrival(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT next FROM arrivals")?.query_row([], |row| row.get(0))
}

/// Makes the entries that many rows lack, as in a store of an earlier release; the entries of a few are made in memory.
pub(super) fn make_up(connection: &mut Connection) -> rusqlite::Result<()> {
    loop {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let (indexed, newest): (i64, i64) = transaction.query_row(
            "SELECT (SELECT coalesce(max(last), 0) FROM index_runs WHERE state = 0),
                    (SELECT coalesce(max(arrival), 0) FROM callbacks)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if newest - indexed < 8 * Sizes::default().fresh {
            return Ok(());
        }
        tracing::info!(event = "store.index_made_up", indexed, newest, "making the index of what the store holds");
        Runs::make_up(&transaction, indexed)?;
        transaction.commit()?;
    }
}

/// Whether bytes are a chunk of the index that can be read to its end.
pub(super) fn is_chunk(bytes: &[u8]) -> bool {
    let mut entries = chunk::Unpacker::new(bytes.to_vec().into());
    loop {
        match entries.advance() {
            Ok(true) => (),
            Ok(false) => return true,
            Err(Damaged) => return false,
        }
    }
}

/// As `SQLite` says it of a page of its own, so that it is taken for what it is.
impl From<Damaged> for rusqlite::Error {
    fn from(_: Damaged) -> Self {
        let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        rusqlite::Error::SqliteFailure(corrupt, Some("a part of the index is damaged".into()))
    }
}

#[cfg(test)]
mod tests;
