//! The runs as the writer keeps them: a new one for each transaction, eight of a size into one, the old ones cleared away.

use rusqlite::{Connection, params};

use super::chunk::{Chunk, Packer};
use super::merge::Merge;
use super::{Entry, RUNS, Run};

/// So many runs of a size become one.
const TOGETHER: i64 = 8;
/// A run that spans so many arrivals is merged no more: clearing away what is old stays cheap.
const LARGE: i64 = 1 << 21;
/// Merges of so few arrivals are done at once.
const AT_ONCE: i64 = 512;

/// What the writer knows of the runs.
pub(super) struct Runs {
    /// In the order of arrivals.
    live: Vec<Run>,
    merges: Vec<Merge>,
    /// No longer used, with their chunks still there.
    dropped: Vec<i64>,
    next: i64,
}

impl Runs {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Runs> {
        let mut live: Vec<Run> =
            connection.prepare_cached(RUNS)?.query_map([], Run::read)?.collect::<rusqlite::Result<_>>()?;
        live.reverse();
        let mut dropped = connection.prepare_cached("SELECT run FROM index_runs WHERE state = 2")?;
        let dropped = dropped.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let next = connection.query_row("SELECT coalesce(max(run), 0) + 1 FROM index_runs", [], |row| row.get(0))?;
        let mut begun =
            connection.prepare_cached("SELECT run, first, last, last_at, 0 FROM index_runs WHERE state = 1")?;
        let begun = begun.query_map([], Run::read)?;
        let mut merges = Vec::new();
        for begun in begun {
            let output: Run = begun?;
            let within = |run: &&Run| run.first >= output.first && run.last <= output.last;
            let inputs = live.iter().filter(within).copied().collect();
            merges.push(Merge::of(connection, output, inputs)?);
        }
        Ok(Runs { live, merges, dropped, next })
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = Run> {
        self.live.iter().rev().copied()
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.merges.is_empty() || !self.dropped.is_empty()
    }

    /// Adds a run of these entries, which are in order; `now` is when the latest of their arrivals came.
    pub(super) fn add(&mut self, connection: &Connection, entries: &[Entry<'_>], now: i64) -> rusqlite::Result<()> {
        let arrivals = || entries.iter().map(|(_, arrival)| *arrival);
        let (Some(first), Some(last)) = (arrivals().min(), arrivals().max()) else { return Ok(()) };
        let mut packer = Packer::default();
        let mut chunks: Vec<Chunk> = entries.iter().filter_map(|(key, arrival)| packer.add(key, *arrival)).collect();
        chunks.extend(packer.take());
        let small = chunks.len() == 1;
        let run = Run { number: self.next, first, last, last_at: now, small };
        self.next += 1;
        let only = chunks.first().filter(|_| small);
        make(connection, run, State::Live, only.map(|chunk| chunk.bytes.as_slice()))?;
        for chunk in chunks.iter().filter(|_| !small) {
            write(connection, run.number, chunk)?;
        }
        self.live.push(run);
        self.begin_merges(connection)
    }

    /// Goes on with each merge by so many entries, and clears away what they have left behind.
    pub(super) fn merge(&mut self, connection: &Connection, entries: usize) -> rusqlite::Result<()> {
        let mut at = 0;
        while let Some(merge) = self.merges.get_mut(at) {
            if merge.advance(connection, entries)? {
                let merge = self.merges.remove(at);
                self.finish(connection, merge)?;
            } else {
                at += 1;
            }
        }
        self.clear(connection, 4 + entries / 50)
    }

    /// Begins the merges that are due.
    fn begin_merges(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        while let Some(inputs) = self.due() {
            let (Some(first), Some(last)) = (inputs.first(), inputs.last()) else { return Ok(()) };
            let last_at = inputs.iter().map(|run| run.last_at).max().unwrap_or_default();
            let output = Run { number: self.next, first: first.first, last: last.last, last_at, small: false };
            self.next += 1;
            let at_once = output.span() <= AT_ONCE;
            let mut merge = Merge::of(connection, output, inputs)?;
            if at_once {
                merge.advance(connection, usize::MAX)?;
                self.finish(connection, merge)?;
            } else {
                make(connection, output, State::Made, None)?;
                self.merges.push(merge);
            }
        }
        Ok(())
    }

    /// Neighbours that should become one run, the smallest first: enough of them, and none that is most of it by itself.
    fn due(&self) -> Option<Vec<Run>> {
        let free = |run: &Run| run.span() < LARGE && !self.merges.iter().any(|merge| merge.takes(run));
        let mut limit = TOGETHER;
        while limit <= LARGE {
            let groups = self.live.split(|run| !free(run) || run.span() >= limit);
            for group in groups.filter(|group| group.len() >= TOGETHER.try_into().unwrap_or(usize::MAX)) {
                let spans = || group.iter().map(Run::span);
                if spans().sum::<i64>() >= TOGETHER / 2 * spans().max().unwrap_or_default() {
                    return Some(group.to_vec());
                }
            }
            limit *= TOGETHER;
        }
        None
    }

    /// Puts the merged run in place of what it was merged from.
    fn finish(&mut self, connection: &Connection, merge: Merge) -> rusqlite::Result<()> {
        let (output, inputs) = merge.finish(connection)?;
        for run in &inputs {
            let sql = if run.small { "DELETE FROM index_runs WHERE run = ?1" } else { DROP };
            connection.prepare_cached(sql)?.execute([run.number])?;
        }
        self.dropped.extend(inputs.iter().filter(|run| !run.small).map(|run| run.number));
        let at = self.live.partition_point(|run| run.last < output.first);
        self.live.retain(|run| !inputs.iter().any(|input| input.number == run.number));
        self.live.insert(at, output);
        Ok(())
    }

    fn clear(&mut self, connection: &Connection, chunks: usize) -> rusqlite::Result<()> {
        let Some(run) = self.dropped.first().copied() else { return Ok(()) };
        let mut find =
            connection.prepare_cached("SELECT key, arrival, chunk FROM index_fences WHERE run = ?1 LIMIT ?2")?;
        let places = find.query_map(params![run, chunks], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let places: Vec<(Vec<u8>, i64, i64)> = places.collect::<rusqlite::Result<_>>()?;
        for (key, arrival, chunk) in &places {
            connection.prepare_cached("DELETE FROM index_chunks WHERE chunk = ?1")?.execute([chunk])?;
            connection
                .prepare_cached("DELETE FROM index_fences WHERE run = ?1 AND key = ?2 AND arrival = ?3")?
                .execute(params![run, key, arrival])?;
        }
        if places.len() < chunks {
            connection.prepare_cached("DELETE FROM index_runs WHERE run = ?1")?.execute([run])?;
            self.dropped.remove(0);
        }
        Ok(())
    }
}

const DROP: &str = "UPDATE index_runs SET state = 2 WHERE run = ?1";

/// A run's `state` in the store.
#[derive(Clone, Copy)]
pub(super) enum State {
    Live = 0,
    Made = 1,
}

/// Makes a run's row.
pub(super) fn make(connection: &Connection, run: Run, state: State, entries: Option<&[u8]>) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO index_runs (run, state, first, last, last_at, entries) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![run.number, state as i64, run.first, run.last, run.last_at, entries])?;
    Ok(())
}

/// Writes a chunk of a run.
pub(super) fn write(connection: &Connection, run: i64, chunk: &Chunk) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT INTO index_chunks (entries) VALUES (?1)")?.execute([&chunk.bytes])?;
    let (key, arrival) = &chunk.first;
    connection
        .prepare_cached("INSERT INTO index_fences (run, key, arrival, chunk) VALUES (?1, ?2, ?3, last_insert_rowid())")?
        .execute(params![run, key, arrival])?;
    Ok(())
}
