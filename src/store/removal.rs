//! Removing what is old: rows, what they are found by, and what their senders are known by, so that nothing of them is left in
//! the file. It goes by steps, each in a transaction with other work, so that no callback waits long; a stop half-way harms
//! nothing, for the next step begins where the last one ended.
//!
//! Rows first: any process may do that. Then what the index leads to them with, which only the process does that keeps the index.

use rusqlite::{Connection, OptionalExtension, params};

use super::arrivals::Ledger;
use super::index::gone::{self, STRETCH};
use super::index::{Facets, Index, Wanted, Way};
use super::progress::{Progress, Stage};
use super::{Checkpoint, Services, Store, StoreError};
use super::{destinations, following, handling, holds, open, row, sent};
use crate::notify::{Content, Kind};

/// Rows that are removed in one step.
const ROWS: i64 = 256;
/// Entries of the index that are passed over in one step, and chunks of it that are cleared away.
const ENTRIES: usize = 4096;
const CHUNKS: usize = 64;

/// When a callback came, as far as its age goes: not before it was made, as Notify says. A clock that is behind for a while stamps what
/// comes with a time long past, and that must not go as old once the clock is right again.
pub(super) const CAME_AT: &str =
    "max(arrived_at, iif(typeof(dated_at) = 'integer' AND dated_at <= unixepoch() * 1000000, dated_at, arrived_at))";

/// What arrived before these moments is old, in microseconds since 1970 UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Of delivery receipts, returned letters and complaints.
    pub receipts: i64,
    /// Of received texts.
    pub messages: i64,
}

impl Limits {
    /// Nothing is old.
    pub const NONE: Limits = Limits { receipts: i64::MIN, messages: i64::MIN };

    /// The same for everything.
    #[must_use]
    pub fn both(moment: i64) -> Limits {
        Limits { receipts: moment, messages: moment }
    }

    /// What could not be understood may be either, so it goes when both would.
    #[must_use]
    pub fn quarantine(self) -> i64 {
        self.receipts.min(self.messages)
    }
}

/// What one step of a removal did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// So many callbacks are gone, and there may be more to do.
    Removed(usize),
    /// All that is as old is gone, and the log still holds it, because somebody reads there: see [`Store::empty_log`].
    InLog,
    /// There is nothing left that is as old.
    Done,
}

/// How many are old.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Callbacks of each kind.
    pub kinds: Vec<(Kind, u64)>,
    /// Bodies in quarantine.
    pub quarantined: u64,
    /// As old, but kept by a hold: in no other number.
    pub held: u64,
}

impl Store {
    /// Counts what is old. Blocks.
    ///
    /// # Errors
    /// When it cannot be read, or somebody asked for it to stop.
    pub fn count_before(&self, limits: Limits, progress: &Progress) -> Result<Counts, StoreError> {
        let connection = open::reader(&self.inner.folder)?;
        let next: i64 = connection.query_row("SELECT next FROM arrivals", [], |row| row.get(0))?;
        let mut kinds = Kind::ALL.map(|kind| (kind, 0_u64)).to_vec();
        let mut count = connection.prepare(&format!(
            "SELECT kind, count(*) FROM callbacks WHERE arrival >= ?1 AND arrival < ?2
             AND {CAME_AT} < CASE kind WHEN ?3 THEN ?5 ELSE ?4 END
             AND NOT EXISTS (SELECT 1 FROM held_arrivals h WHERE h.arrival = callbacks.arrival) GROUP BY kind",
        ))?;
        // Apart, so that the log can be copied between them.
        for first in (0..next).step_by(STRETCH.unsigned_abs().try_into().unwrap_or(usize::MAX)) {
            if progress.is_stopped() {
                return Err(StoreError::Stopped);
            }
            progress.is_at(Stage::Counting, first.unsigned_abs(), next.unsigned_abs());
            let text = Kind::ReceivedText.code();
            let bound = params![first, first + STRETCH, text, limits.receipts, limits.messages];
            let mut rows = count.query(bound)?;
            while let Some(row) = rows.next()? {
                let (code, some): (i64, i64) = (row.get(0)?, row.get(1)?);
                kinds
                    .iter_mut()
                    .filter(|(kind, _)| kind.code() == code)
                    .for_each(|(_, all)| *all += some.unsigned_abs());
            }
        }
        let sql = "SELECT count(*) FROM quarantine q WHERE arrived_at < ?1
            AND NOT EXISTS (SELECT 1 FROM held_arrivals h WHERE h.arrival = q.arrival)";
        let quarantined: i64 = connection.query_row(sql, [limits.quarantine()], |row| row.get(0))?;
        Ok(Counts { kinds, quarantined: quarantined.unsigned_abs(), held: holds::older(&connection, limits)? })
    }

    /// One step of removing everything that arrived before a moment, in microseconds since 1970 UTC. Call it again until it is
    /// done.
    ///
    /// # Errors
    /// When it cannot be written; then nothing of this step was done.
    pub async fn remove_before(&self, moment: i64) -> Result<Removal, StoreError> {
        self.remove(Limits::both(moment)).await
    }

    /// One step of removing everything that is old, with all that leads to it. Call it again until it is done.
    ///
    /// # Errors
    /// When it cannot be written; then nothing of this step was done.
    pub async fn remove(&self, limits: Limits) -> Result<Removal, StoreError> {
        match self.remove_rows(limits).await? {
            Removal::Done => self.forget_removed().await,
            more => Ok(more),
        }
    }

    /// One step of removing the rows that are old. The index goes on leading to them until [`Store::forget_removed`] is done.
    ///
    /// # Errors
    /// When it cannot be written; then nothing of this step was done.
    pub async fn remove_rows(&self, limits: Limits) -> Result<Removal, StoreError> {
        self.write(move |connection| rows(connection, limits)).await
    }

    /// One step of taking out of the index, and then out of the log, what led to rows that are gone. For the process that keeps
    /// the index: the server, or a command where none runs.
    ///
    /// # Errors
    /// When it cannot be written; then nothing of this step was done.
    pub async fn forget_removed(&self) -> Result<Removal, StoreError> {
        let step =
            |connection: &Connection, ledger: &mut Ledger| ledger.indexing.forget_gone(connection, ENTRIES, CHUNKS);
        if self.inner.writer.write_with_ledger(step).await? {
            return Ok(Removal::Removed(0));
        }
        // The log still holds the pages as they were, until it is emptied.
        let emptied = self.empty_log().await? == Checkpoint::Whole;
        Ok(if emptied { Removal::Done } else { Removal::InLog })
    }

    /// Whether the index may still lead to rows that are gone.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn has_removed(&self) -> Result<bool, StoreError> {
        self.read(gone::is_noted).await
    }
}

/// One step over rows and quarantine.
fn rows(connection: &Connection, limits: Limits) -> rusqlite::Result<Removal> {
    if map(connection)? {
        return Ok(Removal::Removed(0));
    }
    // Quarantine last: how old a body there is rests on what came before it and is there still.
    if let Some(removed) = callbacks(connection, limits)? {
        return Ok(Removal::Removed(removed));
    }
    Ok(match quarantine(connection, limits.quarantine())? {
        0 => Removal::Done,
        quarantined => Removal::Removed(quarantined),
    })
}

/// Notes of some arrivals since the last ones when the earliest came; whether there are more.
fn map(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT mapped, next FROM arrivals";
    let (mapped, next): (i64, i64) =
        connection.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if mapped >= next {
        return Ok(false);
    }
    let stretch = mapped.div_euclid(STRETCH);
    let end = next.min((stretch + 1) * STRETCH);
    let (receipts, messages) = earliest(connection, mapped, end)?;
    if receipts.is_some() || messages.is_some() {
        connection
            .prepare_cached(
                "INSERT INTO arrival_stretches (stretch, receipts_from, messages_from) VALUES (?1, ?2, ?3)
                 ON CONFLICT (stretch) DO UPDATE SET
                     receipts_from = min(coalesce(receipts_from, ?2), coalesce(?2, receipts_from)),
                     messages_from = min(coalesce(messages_from, ?3), coalesce(?3, messages_from))",
            )?
            .execute(params![stretch, receipts, messages])?;
    }
    connection.prepare_cached("UPDATE arrivals SET mapped = ?1")?.execute([end])?;
    Ok(end < next)
}

/// When the earliest receipt and the earliest message came, of the arrivals from `first` on and below `end`. What is held never goes
/// by its age, so it does not count.
fn earliest(connection: &Connection, first: i64, end: i64) -> rusqlite::Result<(Option<i64>, Option<i64>)> {
    connection
        .prepare_cached(&format!(
            "SELECT min({CAME_AT}) FILTER (WHERE kind <> ?3), min({CAME_AT}) FILTER (WHERE kind = ?3)
             FROM callbacks WHERE arrival >= ?1 AND arrival < ?2
               AND NOT EXISTS (SELECT 1 FROM held_arrivals h WHERE h.arrival = callbacks.arrival)",
        ))?
        .query_row([first, end, Kind::ReceivedText.code()], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Removes some callbacks of the first stretch that has old ones; `None` where there is no such stretch.
fn callbacks(connection: &Connection, limits: Limits) -> rusqlite::Result<Option<usize>> {
    let sql =
        "SELECT stretch FROM arrival_stretches WHERE receipts_from < ?1 OR messages_from < ?2 ORDER BY stretch LIMIT 1";
    let stretch: Option<i64> =
        connection.prepare_cached(sql)?.query_row([limits.receipts, limits.messages], |row| row.get(0)).optional()?;
    let Some(stretch) = stretch else { return Ok(None) };
    let (first, end) = (stretch * STRETCH, (stretch + 1) * STRETCH);
    let text = Kind::ReceivedText.code();
    let mut find = connection.prepare_cached(&format!(
        "SELECT arrival, kind FROM callbacks WHERE arrival >= ?1 AND arrival < ?2
         AND {CAME_AT} < CASE kind WHEN ?3 THEN ?5 ELSE ?4 END
         AND NOT EXISTS (SELECT 1 FROM held_arrivals h WHERE h.arrival = callbacks.arrival) ORDER BY arrival LIMIT ?6",
    ))?;
    let old = find.query_map(params![first, end, text, limits.receipts, limits.messages, ROWS], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    })?;
    let old = old.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut arrivals = Vec::with_capacity(old.len());
    for (arrival, kind) in old {
        remove_row(connection, arrival, Kind::from_code(kind).unwrap_or(Kind::DeliveryReceipt))?;
        arrivals.push(arrival);
    }
    gone::note(connection, stretch, &arrivals)?;
    if i64::try_from(arrivals.len()).is_ok_and(|removed| removed < ROWS) {
        note_rest(connection, stretch)?;
    }
    Ok(Some(arrivals.len()))
}

/// Removes a row, and what its sender is known by. Whoever does so notes it in [`gone`].
pub(super) fn remove_row(connection: &Connection, arrival: i64, kind: Kind) -> rusqlite::Result<()> {
    if kind == Kind::ReceivedText {
        leave_conversation(connection, arrival)?;
    }
    following::forget(connection, arrival)?;
    sent::forget_with(connection, arrival)?;
    // What of it the index is to forget is all of it now.
    connection.prepare_cached("DELETE FROM redacted_arrivals WHERE arrival = ?1")?.execute([arrival])?;
    connection.prepare_cached("DELETE FROM callbacks WHERE arrival = ?1")?.execute([arrival]).map(drop)
}

/// Nothing old is left in a stretch, or something there is held no longer: notes when the earliest of the rest came.
pub(super) fn note_rest(connection: &Connection, stretch: i64) -> rusqlite::Result<()> {
    let (receipts, messages) = earliest(connection, stretch * STRETCH, (stretch + 1) * STRETCH)?;
    if receipts.is_none() && messages.is_none() {
        connection.prepare_cached("DELETE FROM arrival_stretches WHERE stretch = ?1")?.execute([stretch])?;
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO arrival_stretches (stretch, receipts_from, messages_from) VALUES (?1, ?2, ?3)
             ON CONFLICT (stretch) DO UPDATE SET receipts_from = ?2, messages_from = ?3",
        )?
        .execute(params![stretch, receipts, messages])?;
    Ok(())
}

/// Removes some bodies that are old and not held. Nothing says when one was made; but it came after all that has a lower number, and is
/// no older than that. Of callbacks none is left by now that is old and goes by its age, so that the first young one is found at once.
fn quarantine(connection: &Connection, moment: i64) -> rusqlite::Result<usize> {
    let before_the_first_young = |table: &str| {
        format!(
            "arrival < coalesce((SELECT y.arrival FROM {table} y WHERE y.arrived_at >= ?1 AND y.arrived_at <= unixepoch() * 1000000
                ORDER BY y.arrival LIMIT 1), 9223372036854775807)"
        )
    };
    let sql = format!(
        "DELETE FROM quarantine WHERE arrival IN (SELECT arrival FROM quarantine q WHERE arrived_at < ?1
            AND NOT EXISTS (SELECT 1 FROM held_arrivals h WHERE h.arrival = q.arrival) AND {} AND {} LIMIT ?2)",
        before_the_first_young("quarantine"),
        before_the_first_young("callbacks")
    );
    connection.prepare_cached(&sql)?.execute([moment, ROWS / 16])
}

/// A text goes: its sender has one fewer, and is gone with the last.
pub(super) fn leave_conversation(connection: &Connection, arrival: i64) -> rusqlite::Result<()> {
    let Some(kept) = row::at(connection, arrival)? else { return Ok(()) };
    let (Content::ReceivedText(_), Some(person)) = (&kept.callback.content, kept.callback.match_key()) else {
        return Ok(());
    };
    let conversation: Option<i64> = connection
        .prepare_cached("SELECT id FROM conversations WHERE person_key = ?1")?
        .query_row([person.as_str()], |row| row.get(0))
        .optional()?;
    let Some(conversation) = conversation else { return Ok(()) };
    connection
        .prepare_cached("UPDATE conversation_services SET texts = texts - 1 WHERE conversation = ?1 AND service = ?2")?
        .execute(params![conversation, kept.service])?;
    let was_latest = connection
        .prepare_cached(
            "SELECT 1 FROM conversation_services WHERE conversation = ?1 AND service = ?2 AND latest = ?3 AND texts > 0",
        )?
        .exists(params![conversation, kept.service, arrival])?;
    if was_latest {
        // A clock was wrong when an earlier one came.
        let latest = text_before(connection, person.as_str(), &kept)?;
        connection
            .prepare_cached("UPDATE conversation_services SET latest = ?3 WHERE conversation = ?1 AND service = ?2")?
            .execute(params![conversation, kept.service, latest.unwrap_or_default()])?;
        destinations::note_again(connection, conversation, kept.service)?;
    }
    connection
        .prepare_cached(
            "DELETE FROM conversation_services WHERE conversation = ?1 AND service = ?2 AND (texts <= 0 OR latest = 0)",
        )?
        .execute(params![conversation, kept.service])?;
    handling::forget_without_texts(connection, conversation, kept.service)?;
    connection
        .prepare_cached(
            "DELETE FROM conversations WHERE id = ?1
               AND NOT EXISTS (SELECT 1 FROM conversation_services WHERE conversation = ?1)",
        )?
        .execute([conversation])?;
    Ok(())
}

/// The latest text of the same sender and service before one that goes.
fn text_before(connection: &Connection, person: &str, kept: &row::Kept) -> rusqlite::Result<Option<i64>> {
    let index = Index::new(connection, &[])?;
    let facets = Facets::of(&Services::Only(vec![kept.service])).of_kinds(vec![Kind::ReceivedText]);
    let mut texts = index.arrivals(Wanted::Person(person.to_owned()), facets, Way::NewestFirst, kept.arrival);
    while let Some(arrival) = texts.next()? {
        if row::kind(connection, arrival)?.is_some() {
            return Ok(Some(arrival));
        }
    }
    Ok(None)
}
