//! Reading the whole file through after a start, beside everything else: what a disk forgets, it mostly forgets while nobody
//! looks.
//!
//! The large tables are read a stretch at a time, each in a transaction of its own, so that the log can be copied meanwhile
//! however long it takes. `counterfoil check` looks closer, at one moment.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Row, Statement};

use super::damage::{Closing, is_damage, quick_check_of};
use super::index::is_chunk;
use super::{Store, StoreError, open};

/// Rows in a stretch.
const ROWS: i64 = 512;
/// Chunks of the index in a stretch: each is some thousand bytes.
const CHUNKS: i64 = 32;
/// After a stretch it rests so many times as long as that took: callbacks and pages come first.
const RESTS: u32 = 19;
/// But not longer than this, whatever kept the stretch.
const LONGEST_REST: Duration = Duration::from_millis(250);

impl Store {
    /// Reads the whole file through, beside everything else, and raises the alarm if it finds damage.
    ///
    /// # Errors
    /// When the file cannot be read, or the store is being closed.
    pub async fn look_for_damage(&self) -> Result<(), StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.look_through()).await.map_err(|_| StoreError::Closed)?
    }

    fn look_through(&self) -> Result<(), StoreError> {
        // A connection of its own: this fills its memory with pages that nobody else needs.
        let connection = open::reader(&self.inner.folder)?;
        let looking = Looking { connection: &connection, closing: self.inner.closing.clone() };
        match looking.damage() {
            Ok(None) => tracing::info!(event = "store.checked", "the whole store was read, and no damage was found"),
            Ok(Some(said)) => self.inner.condition.damage.found(&said),
            Err(error) if is_damage(&error) => self.inner.condition.damage.found(&error.to_string()),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

struct Looking<'c> {
    connection: &'c Connection,
    closing: Closing,
}

impl Looking<'_> {
    /// What is wrong first, or nothing.
    fn damage(&self) -> rusqlite::Result<Option<String>> {
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'";
        let tables: Vec<String> =
            self.connection.prepare(tables)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        for table in tables {
            let said = match table.as_str() {
                "callbacks" => self.callbacks()?,
                "index_chunks" => self.chunks()?,
                "index_fences" => self.fences()?,
                small => self.small(small)?,
            };
            if said.is_some() {
                return Ok(said);
            }
        }
        Ok(None)
    }

    fn callbacks(&self) -> rusqlite::Result<Option<String>> {
        let rows = "SELECT arrival, * FROM callbacks WHERE arrival > ?1 ORDER BY arrival LIMIT ?2";
        let hidden = "SELECT arrival FROM callbacks INDEXED BY hidden_callbacks WHERE shown = 0 AND arrival > ?1
            ORDER BY arrival LIMIT ?2";
        match self.in_order(rows, ROWS, |_| Ok(true))? {
            None => self.in_order(hidden, ROWS, |_| Ok(true)),
            said => Ok(said),
        }
    }

    fn chunks(&self) -> rusqlite::Result<Option<String>> {
        let sql = "SELECT chunk, entries FROM index_chunks WHERE chunk > ?1 ORDER BY chunk LIMIT ?2";
        self.in_order(sql, CHUNKS, |row| Ok(is_chunk(row.get_ref(1)?.as_blob().unwrap_or_default())))
    }

    /// Reads what has a number in the order of the numbers.
    fn in_order(
        &self,
        sql: &str,
        at_once: i64,
        is_sound: impl Fn(&Row<'_>) -> rusqlite::Result<bool>,
    ) -> rusqlite::Result<Option<String>> {
        let mut find = self.connection.prepare(sql)?;
        let mut last = i64::MIN;
        self.stretches(|| {
            let mut rows = find.query([last, at_once])?;
            let mut read = 0;
            while let Some(row) = rows.next()? {
                let number = row.get(0)?;
                if number <= last || !is_sound(row)? {
                    return Ok(Stretch::Damaged(format!("number {number} of what was read is not as it was written")));
                }
                (last, read) = (number, read + 1);
            }
            Ok(if read < at_once { Stretch::Last } else { Stretch::Read })
        })
    }

    fn fences(&self) -> rusqlite::Result<Option<String>> {
        let mut find: Statement<'_> = self.connection.prepare(
            "SELECT run, key, arrival FROM index_fences WHERE (run, key, arrival) > (?1, ?2, ?3)
             ORDER BY run, key, arrival LIMIT ?4",
        )?;
        let mut last: (i64, Vec<u8>, i64) = (i64::MIN, Vec::new(), i64::MIN);
        self.stretches(|| {
            let mut rows = find.query((last.0, &last.1, last.2, ROWS))?;
            let mut read = 0;
            while let Some(row) = rows.next()? {
                let place = (row.get(0)?, row.get(1)?, row.get(2)?);
                if place <= last {
                    return Ok(Stretch::Damaged("what leads into the index is out of order".into()));
                }
                (last, read) = (place, read + 1);
            }
            Ok(if read < ROWS { Stretch::Last } else { Stretch::Read })
        })
    }

    /// One stretch after another, with rests.
    fn stretches(&self, mut read: impl FnMut() -> rusqlite::Result<Stretch>) -> rusqlite::Result<Option<String>> {
        loop {
            let began = Instant::now();
            match read()? {
                Stretch::Damaged(said) => return Ok(Some(said)),
                Stretch::Last => return Ok(None),
                Stretch::Read => self.rest(began)?,
            }
        }
    }

    /// A table that is read in one go.
    fn small(&self, table: &str) -> rusqlite::Result<Option<String>> {
        let (closing, mut began) = (self.closing.clone(), Instant::now());
        let stops = move || {
            rest_after(began);
            began = Instant::now();
            closing.load(Ordering::Relaxed)
        };
        quick_check_of(self.connection, table, stops)
    }

    fn rest(&self, began: Instant) -> rusqlite::Result<()> {
        rest_after(began);
        if self.closing.load(Ordering::Relaxed) {
            let stopped = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT);
            return Err(rusqlite::Error::SqliteFailure(stopped, None));
        }
        Ok(())
    }
}

enum Stretch {
    Read,
    /// Nothing comes after it.
    Last,
    Damaged(String),
}

fn rest_after(began: Instant) {
    std::thread::sleep((RESTS * began.elapsed()).min(LONGEST_REST));
}
