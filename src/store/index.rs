//! What callbacks are found by: Notify's id, the reference, the person, what they are, the words of a text.
//!
//! Keys come in no order, so an index that is kept up row by row would touch another page for each, and the more the larger
//! it is. Here each transaction writes its own entries, sorted, as one small *run*. Runs are stretches of arrivals; as soon as
//! eight of a size stand side by side they are merged into one larger run, up to some millions of arrivals. So everything is
//! written in order, a handful of times, and a search asks a few dozen runs, the newest first, until its page is full.

mod chunk;
mod look;
mod merge;
mod runs;
mod seen;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

pub(super) use look::{Arrivals, Facets, NO_STATUS, Wanted, Way, status_code};

use self::chunk::{Damaged, LONGEST_KEY, Place, Unpacker};
use self::runs::Runs;
use self::seen::Seen;
use crate::clock::MINUTE;
use crate::notify::recipient::{MatchKey, reference_key};
use crate::notify::{Callback, Content, words};

/// A message's events come after it was made by its own date, but for clocks that disagree by so much.
const CLOCKS_DISAGREE: i64 = 10 * MINUTE;
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
    all: Vec<Vec<u8>>,
}

impl Keys {
    pub(super) fn of(callback: &Callback, service: super::ServiceId) -> Keys {
        let (short_id, person) = (short_id(callback.notify_id()), callback.match_key());
        let mut all = vec![key(Field::NotifyId, &short_id), Facets::key_of(callback, service)];
        all.extend(callback.reference().map(|reference| key(Field::Reference, reference_key(reference).as_bytes())));
        all.extend(person.as_ref().map(|person| key(Field::Person, person.as_str().as_bytes())));
        if let Content::ReceivedText(text) = &callback.content {
            let words = words::of(text.message.as_deref().unwrap_or_default()).take(WORDS);
            let mut words: Vec<_> = words.map(|word| key(Field::Word, word.as_bytes())).collect();
            words.sort_unstable();
            words.dedup();
            all.append(&mut words);
        }
        Keys { short_id, person, all }
    }
}

/// An entry that is not written yet.
type Entry<'a> = (&'a [u8], i64);

/// The writer's side.
#[derive(Default)]
pub(super) struct Indexing {
    /// What stands in the store; forgotten where a transaction was not committed.
    known: Option<Known>,
    seen: Seen,
    /// The ids that this transaction brings.
    brought: Vec<([u8; 8], i64)>,
}

struct Known {
    /// Changes when another process writes.
    version: i64,
    next: i64,
    runs: Runs,
}

impl Indexing {
    /// Begins a transaction; gives the number of the next arrival.
    pub(super) fn begin(&mut self, connection: &Connection) -> rusqlite::Result<i64> {
        self.brought.clear();
        let version = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.known.as_ref().is_none_or(|known| known.version != version) {
            let next = connection.query_row("SELECT next FROM arrivals", [], |row| row.get(0))?;
            self.known = Some(Known { version, next, runs: Runs::read(connection)? });
            self.seen.begin(next);
        }
        Ok(self.known.as_ref().map_or(0, |known| known.next))
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
        for run in known.runs.newest_first().take_while(|run| run.last_at >= oldest) {
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

    /// Writes the entries of the rows that this transaction added, and the number of the next arrival. `now` is when they came.
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
        let mut entries: Vec<Entry<'_>> = Vec::with_capacity(4 * added.len());
        entries.extend(added.iter().flat_map(|(keys, arrival)| keys.all.iter().map(|key| (key.as_slice(), *arrival))));
        entries.sort_unstable();
        known.runs.add(connection, &entries, now)?;
        // Twice what came: so a merge is done before the runs of the next one are there.
        known.runs.merge(connection, 2 * entries.len())
    }

    /// Goes on with merging in a quiet moment.
    pub(super) fn catch_up(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.begin(connection)?;
        self.known.as_mut().map_or(Ok(()), |known| known.runs.merge(connection, QUIET_MERGE))
    }

    /// Whether there is something to merge or to clear away.
    pub(super) fn is_behind(&self) -> bool {
        self.known.as_ref().is_none_or(|known| known.runs.is_behind())
    }
}

/// Entries merged at once in a quiet moment: a callback that comes meanwhile hardly waits.
const QUIET_MERGE: usize = 4096;

/// Makes the entries that rows lack, as in a store of an earlier release.
pub(super) fn make_up(connection: &mut Connection) -> rusqlite::Result<()> {
    loop {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let (indexed, newest): (i64, i64) = transaction.query_row(
            "SELECT (SELECT coalesce(max(last), 0) FROM index_runs WHERE state = 0),
                    (SELECT coalesce(max(arrival), 0) FROM callbacks)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if indexed >= newest {
            return Ok(());
        }
        tracing::info!(event = "store.index_made_up", indexed, newest, "making the index of what the store holds");
        let sql = format!(
            "SELECT c.arrival, {} FROM callbacks c {} WHERE c.arrival > ?1 ORDER BY c.arrival LIMIT 4096",
            super::row::COLUMNS,
            super::row::JOINS
        );
        let rows: Vec<super::Kept> =
            transaction.prepare(&sql)?.query_map([indexed], super::row::kept)?.collect::<rusqlite::Result<_>>()?;
        let keys: Vec<(Keys, i64)> =
            rows.iter().map(|kept| (Keys::of(&kept.callback, kept.service), kept.arrival)).collect();
        let mut entries: Vec<Entry<'_>> =
            keys.iter().flat_map(|(keys, arrival)| keys.all.iter().map(|key| (key.as_slice(), *arrival))).collect();
        entries.sort_unstable();
        let mut runs = Runs::read(&transaction)?;
        runs.add(&transaction, &entries, rows.iter().map(|kept| kept.arrived_at).max().unwrap_or_default())?;
        while runs.is_behind() {
            runs.merge(&transaction, usize::MAX)?;
        }
        transaction.commit()?;
    }
}

/// A run in use: the entries of the arrivals from `first` to `last`.
#[derive(Clone, Copy, Debug)]
struct Run {
    number: i64,
    first: i64,
    last: i64,
    last_at: i64,
    /// Whether it is one chunk, in its own row.
    small: bool,
}

/// All runs in use, the newest first.
const RUNS: &str =
    "SELECT run, first, last, last_at, entries IS NOT NULL FROM index_runs WHERE state = 0 ORDER BY last DESC";

impl Run {
    fn span(&self) -> i64 {
        self.last - self.first + 1
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Run> {
        Ok(Run { number: row.get(0)?, first: row.get(1)?, last: row.get(2)?, last_at: row.get(3)?, small: row.get(4)? })
    }
}

/// Which chunk of a run.
#[derive(Clone, Copy)]
enum Seek<'a> {
    /// The one that would hold this entry.
    Holding(&'a [u8], i64),
    /// The one after the chunk that begins so.
    After(&'a Place),
    /// The one before the chunk that begins so.
    Before(&'a Place),
}

const HOLDING: &str = "SELECT f.key, f.arrival, c.entries FROM index_fences f JOIN index_chunks c ON c.chunk = f.chunk
    WHERE f.run = ?1 AND (f.key, f.arrival) <= (?2, ?3) ORDER BY f.key DESC, f.arrival DESC LIMIT 1";
const AFTER: &str = "SELECT f.key, f.arrival, c.entries FROM index_fences f JOIN index_chunks c ON c.chunk = f.chunk
    WHERE f.run = ?1 AND (f.key, f.arrival) > (?2, ?3) ORDER BY f.key, f.arrival LIMIT 1";
const BEFORE: &str = "SELECT f.key, f.arrival, c.entries FROM index_fences f JOIN index_chunks c ON c.chunk = f.chunk
    WHERE f.run = ?1 AND (f.key, f.arrival) < (?2, ?3) ORDER BY f.key DESC, f.arrival DESC LIMIT 1";

/// A chunk's first entry and its bytes. Of a small run there is one, and its first entry is not told.
fn chunk(connection: &Connection, run: Run, seek: Seek<'_>) -> rusqlite::Result<Option<(Place, Unpacker)>> {
    if run.small {
        return match seek {
            Seek::Holding(..) => small_run(connection, run).map(|only| Some(((Vec::new(), i64::MIN), only))),
            Seek::After(_) | Seek::Before(_) => Ok(None),
        };
    }
    let (sql, key, arrival) = match seek {
        Seek::Holding(key, arrival) => (HOLDING, key, arrival),
        Seek::After((key, arrival)) => (AFTER, key.as_slice(), *arrival),
        Seek::Before((key, arrival)) => (BEFORE, key.as_slice(), *arrival),
    };
    let found = connection
        .prepare_cached(sql)?
        .query_row(params![run.number, key, arrival], |row| {
            Ok(((row.get(0)?, row.get(1)?), Unpacker::new(row.get(2)?)))
        })
        .optional()?;
    match seek {
        // It would stand before the first one.
        Seek::Holding(..) if found.is_none() => chunk(connection, run, Seek::After(&(Vec::new(), i64::MIN))),
        _ => Ok(found),
    }
}

fn small_run(connection: &Connection, run: Run) -> rusqlite::Result<Unpacker> {
    let mut find = connection.prepare_cached("SELECT entries FROM index_runs WHERE run = ?1")?;
    find.query_row([run.number], |row| Ok(Unpacker::new(row.get(0)?)))
}

impl From<Damaged> for rusqlite::Error {
    fn from(_: Damaged) -> Self {
        rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, "a part of the index is damaged".into())
    }
}
