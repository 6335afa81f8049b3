//! Removing what is old: rows, what they are found by, and what their senders are known by, so that nothing of them is left in
//! the file. It goes by steps, each in a transaction with other work, so that no callback waits long; a stop half-way harms
//! nothing, for the next step begins where the last one ended.

use rusqlite::{Connection, OptionalExtension, params};

use super::arrivals::Ledger;
use super::row;
use super::{Checkpoint, Store, StoreError};
use crate::notify::{Content, Kind};

/// Rows that are removed in one step.
const ROWS: i64 = 256;
/// Entries of the index that are passed over in one step, and chunks of it that are cleared away.
const ENTRIES: usize = 4096;
const CHUNKS: usize = 64;

/// What one step of a removal did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// So many callbacks are gone, and there may be more to do.
    Removed(usize),
    /// There is nothing left that is as old.
    Done,
}

impl Store {
    /// One step of removing everything that arrived before a moment, in microseconds since 1970 UTC. Call it again until it is
    /// done.
    ///
    /// # Errors
    /// When it cannot be written; then nothing of this step was done.
    pub async fn remove_before(&self, moment: i64) -> Result<Removal, StoreError> {
        let step = move |connection: &Connection, ledger: &mut Ledger| step(connection, ledger, moment);
        match self.inner.writer.write_with_ledger(step).await? {
            // The log still holds the pages as they were, until it is emptied.
            Removal::Done if self.empty_log().await? != Checkpoint::Whole => Ok(Removal::Removed(0)),
            removal => Ok(removal),
        }
    }
}

fn step(connection: &Connection, ledger: &mut Ledger, moment: i64) -> rusqlite::Result<Removal> {
    let removed = rows(connection, moment)? + quarantine(connection, moment)?;
    if removed > 0 {
        return Ok(Removal::Removed(removed));
    }
    let oldest: i64 = connection
        .prepare_cached("SELECT coalesce(min(arrival), (SELECT next FROM arrivals)) FROM callbacks")?
        .query_row([], |row| row.get(0))?;
    let behind = ledger.indexing.forget_before(connection, oldest, ENTRIES, CHUNKS)?;
    Ok(if behind { Removal::Removed(0) } else { Removal::Done })
}

/// Removes the first rows, as far as they are older.
fn rows(connection: &Connection, moment: i64) -> rusqlite::Result<usize> {
    let sql = "SELECT arrival, arrived_at, kind FROM callbacks ORDER BY arrival LIMIT ?1";
    let mut find = connection.prepare_cached(sql)?;
    let mut first = find.query([ROWS])?;
    let mut last = None;
    while let Some(row) = first.next()? {
        if row.get::<_, i64>(1)? >= moment {
            break;
        }
        let arrival = row.get(0)?;
        if row.get::<_, i64>(2)? == Kind::ReceivedText.code() {
            leave_conversation(connection, arrival)?;
        }
        last = Some(arrival);
    }
    drop(first);
    match last {
        Some(last) => connection.prepare_cached("DELETE FROM callbacks WHERE arrival <= ?1")?.execute([last]),
        None => Ok(0),
    }
}

fn quarantine(connection: &Connection, moment: i64) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM quarantine WHERE arrival IN (SELECT arrival FROM quarantine ORDER BY arrival LIMIT ?2)
        AND arrived_at < ?1";
    connection.prepare_cached(sql)?.execute([moment, ROWS / 16])
}

/// A text goes: its sender has one fewer, and is gone with the last.
fn leave_conversation(connection: &Connection, arrival: i64) -> rusqlite::Result<()> {
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
    connection
        .prepare_cached("DELETE FROM conversation_services WHERE conversation = ?1 AND latest <= ?2")?
        .execute([conversation, arrival])?;
    connection
        .prepare_cached(
            "DELETE FROM conversations WHERE id = ?1
               AND NOT EXISTS (SELECT 1 FROM conversation_services WHERE conversation = ?1)",
        )?
        .execute([conversation])?;
    Ok(())
}
