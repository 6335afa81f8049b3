//! The record's oldest rows go by their age, with the guard that all removal by age has: a day at a time, so that a clock that jumps
//! empties nothing.

use rusqlite::{Connection, OptionalExtension};

use super::verify::STRETCH;
use super::{By, Did, Ends, Entry, KEPT, Kept, append};
use crate::store::key::Key;
use crate::store::retention::{self, RECORD};
use crate::store::{Due, Keep, Store, StoreError};

impl Store {
    /// Looks whether rows of the record are due, and holds it. What is to go, [`Store::shorten_record`] removes.
    ///
    /// # Errors
    /// When it cannot be written: then nothing is due.
    pub async fn record_due(&self, keep: Keep, now: i64) -> Result<Due, StoreError> {
        self.write(move |connection| {
            let mut first = connection.prepare_cached("SELECT at FROM audit ORDER BY id LIMIT 1")?;
            let oldest = first.query_row([], |row| row.get(0)).optional()?;
            retention::look(connection, RECORD, keep, oldest, now)
        })
        .await
    }

    /// A person lets go what of the record is older: removal by age goes on from there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn let_record_go(&self, moment: i64, now: i64) -> Result<(), StoreError> {
        self.write(move |connection| retention::let_go(connection, RECORD, moment, now)).await
    }

    /// How many rows of the record are older than `moment`, from its beginning on.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn count_record(&self, moment: i64) -> Result<u64, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT count(*) FROM audit 
                WHERE id < coalesce((SELECT min(id) FROM audit WHERE at >= ?1), (SELECT last FROM audit_ends))";
            connection.query_row(sql, [moment], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
        })
        .await
    }

    /// Removes the oldest rows of the record, up to the first that is younger than `moment`, and the alarms that were dealt with before;
    /// whether there may be more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn shorten_record(&self, moment: i64, now: i64) -> Result<bool, StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| shorten(connection, &key, moment, now)).await
    }
}

fn shorten(connection: &Connection, key: &Key, moment: i64, now: i64) -> rusqlite::Result<bool> {
    // What is not as it was written is kept as it is found.
    let Some((found, seal)) = Ends::read(connection)? else { return Ok(false) };
    let Some(ends) = found.sealed_with(key, &seal) else { return Ok(false) };
    // That it was dealt with stands in the record, and goes from there.
    connection.prepare_cached("DELETE FROM alarms WHERE settled_at < ?1")?.execute([moment])?;
    let sql = format!("SELECT {KEPT} FROM audit WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3");
    let mut find = connection.prepare_cached(&sql)?;
    let rows = find.query_map([ends.first, ends.last, STRETCH], Kept::read)?;
    let mut through = None;
    let mut old = 0;
    for row in rows {
        let row = row?;
        if row.at >= moment {
            break;
        }
        old += 1;
        through = Some(row);
    }
    let Some(last_old) = through else { return Ok(false) };
    connection.prepare_cached("DELETE FROM audit WHERE id <= ?1")?.execute([last_old.id])?;
    let rows = format!("rows {} to {}", ends.first, last_old.id);
    Ends { first: last_old.id + 1, before: last_old.mac, ..ends }.write(connection, key)?;
    append(connection, key, &Entry::new(By::itself(), Did::ShortenedRecord, now).with(rows))?;
    Ok(old == STRETCH)
}
