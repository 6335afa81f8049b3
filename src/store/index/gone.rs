//! The arrivals whose rows are gone while the index may still lead to them: a bit each, kept until their entries are gone too.
//! Whoever removes rows notes them, in whatever process; only the writer of the index takes them out of it.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};

use super::chunk::Entry;
use crate::store::row;

/// Arrivals whose bits stand in one row.
pub(in crate::store) const STRETCH: i64 = 4096;
const BYTES: usize = 512;

/// Some of them.
#[derive(Default)]
pub(super) struct Gone {
    bits: BTreeMap<i64, Vec<u8>>,
    /// Those whose rows are there, but say less than they did: with the keys that they still have.
    redacted: HashMap<i64, Redacted>,
}

struct Redacted {
    turn: i64,
    keys: Vec<Vec<u8>>,
}

impl Gone {
    /// Those between two arrivals.
    pub(super) fn read(connection: &Connection, first: i64, last: i64) -> rusqlite::Result<Gone> {
        let sql = "SELECT stretch, arrivals FROM removed_arrivals WHERE stretch BETWEEN ?1 AND ?2";
        let mut find = connection.prepare_cached(sql)?;
        let rows = find.query_map([first.div_euclid(STRETCH), last.div_euclid(STRETCH)], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let mut gone = BTreeMap::new();
        for row in rows {
            let (stretch, mut bits) = row?;
            for (byte, at) in bits.iter_mut().zip((0..).map(|byte| stretch * STRETCH + 8 * byte)) {
                let mask =
                    (0..8).filter(|bit| (first..=last).contains(&(at + bit))).fold(0, |mask, bit| mask | 1 << bit);
                *byte &= mask;
            }
            if bits.iter().any(|byte| *byte != 0) {
                gone.insert(stretch, bits);
            }
        }
        let redacted = if gone.is_empty() { HashMap::new() } else { redacted(connection, first, last)? };
        Ok(Gone { bits: gone, redacted })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// Whether an entry leads to what is gone.
    pub(super) fn holds(&self, entry: Entry<'_>) -> bool {
        if self.bits.is_empty() || !self.is_noted(entry.arrival) {
            return false;
        }
        let still_says = |redacted: &Redacted| redacted.keys.iter().any(|key| key == entry.key);
        !self.redacted.get(&entry.arrival).is_some_and(still_says)
    }

    fn is_noted(&self, arrival: i64) -> bool {
        let (byte, bit) = place(arrival);
        self.bits
            .get(&arrival.div_euclid(STRETCH))
            .is_some_and(|bits| bits.get(byte).is_some_and(|byte| byte & bit != 0))
    }

    /// Their entries are gone too. What else went meanwhile stays noted.
    pub(super) fn forget(&self, connection: &Connection) -> rusqlite::Result<()> {
        // What was redacted again, or removed, while its entries were written stays noted.
        let mut done = self.bits.clone();
        for (arrival, redacted) in &self.redacted {
            let sql = "DELETE FROM redacted_arrivals WHERE arrival = ?1 AND turn = ?2";
            let is_done = connection.prepare_cached(sql)?.execute([*arrival, redacted.turn])? > 0;
            let (byte, bit) = place(*arrival);
            if !is_done
                && let Some(byte) = done.get_mut(&arrival.div_euclid(STRETCH)).and_then(|bits| bits.get_mut(byte))
            {
                *byte &= !bit;
            }
        }
        for (stretch, done) in &done {
            let Some(mut bits) = noted(connection, *stretch)? else { continue };
            bits.iter_mut().zip(done).for_each(|(bits, done)| *bits &= !done);
            put(connection, *stretch, &bits)?;
        }
        Ok(())
    }
}

/// Notes arrivals of one stretch whose rows have just been removed.
pub(in crate::store) fn note(connection: &Connection, stretch: i64, arrivals: &[i64]) -> rusqlite::Result<()> {
    let mut bits = noted(connection, stretch)?.unwrap_or_else(|| vec![0; BYTES]);
    for arrival in arrivals {
        let (byte, bit) = place(*arrival);
        if let Some(byte) = bits.get_mut(byte) {
            *byte |= bit;
        }
    }
    put(connection, stretch, &bits)
}

/// Notes a row that says less than it did.
pub(in crate::store) fn note_redacted(connection: &Connection, arrival: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO redacted_arrivals (arrival, turn) VALUES (?1, 1)
             ON CONFLICT (arrival) DO UPDATE SET turn = turn + 1",
        )?
        .execute([arrival])?;
    note(connection, arrival.div_euclid(STRETCH), &[arrival])
}

fn redacted(connection: &Connection, first: i64, last: i64) -> rusqlite::Result<HashMap<i64, Redacted>> {
    let sql = "SELECT arrival, turn FROM redacted_arrivals WHERE arrival BETWEEN ?1 AND ?2";
    let mut find = connection.prepare_cached(sql)?;
    let rows = find.query_map([first, last], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    let mut redacted = HashMap::new();
    for row in rows {
        let (arrival, turn) = row?;
        let found = row::keys_after(connection, arrival - 1, 1)?.into_iter().find(|found| found.arrival == arrival);
        redacted.insert(arrival, Redacted { turn, keys: found.map(|found| found.keys.all).unwrap_or_default() });
    }
    Ok(redacted)
}

/// Whether the index may still lead to something that is gone.
pub(in crate::store) fn is_noted(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM removed_arrivals LIMIT 1")?.exists([])
}

fn place(arrival: i64) -> (usize, u8) {
    let within = arrival.rem_euclid(STRETCH);
    (usize::try_from(within / 8).unwrap_or(0), 1 << (within % 8))
}

fn noted(connection: &Connection, stretch: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT arrivals FROM removed_arrivals WHERE stretch = ?1")?
        .query_row([stretch], |row| row.get(0))
        .optional()
}

fn put(connection: &Connection, stretch: i64, bits: &[u8]) -> rusqlite::Result<()> {
    if bits.iter().all(|byte| *byte == 0) {
        connection.prepare_cached("DELETE FROM removed_arrivals WHERE stretch = ?1")?.execute([stretch])?;
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO removed_arrivals (stretch, arrivals) VALUES (?1, ?2)
             ON CONFLICT (stretch) DO UPDATE SET arrivals = excluded.arrivals",
        )?
        .execute(params![stretch, bits])?;
    Ok(())
}
