//! The runs as the writer keeps them: a new one in memory for each transaction; sixteen of a size become one; many of those in
//! memory become one in the store.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Keys;
use super::chunk::{Chunk, Entry, Packer, Place, Unpacker};
use super::gone::{self, Gone};
use super::merge::{Merge, Merged};
use crate::store::row;

/// When runs are merged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// So many neighbouring runs of a size become one while callbacks come.
    pub(super) together: i64,
    /// In a quiet moment so few do: each run is one more place to look.
    pub(super) quietly: i64,
    /// Runs in memory that span so many arrivals become one in the store. After a start the entries of so many are made again.
    pub(super) fresh: i64,
    /// A run that spans so many arrivals is merged no more: clearing away what is old stays cheap.
    pub(super) large: i64,
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes { together: 32, quietly: 4, fresh: 8192, large: 1 << 22 }
    }
}

/// Rows whose entries are made at once.
const ROWS: i64 = 8192;
/// Chunks that are taken at once from a run that is no longer used.
const TAKEN: usize = 64;

/// A run in use: the entries of the arrivals from `first` to `last`.
#[derive(Clone, Debug)]
pub(in crate::store) struct Run {
    pub(super) number: i64,
    pub(super) first: i64,
    pub(super) last: i64,
    /// When the latest of them came.
    pub(super) last_at: i64,
    /// What is in it, where it is in memory alone.
    held: Option<Arc<[Chunk]>>,
}

/// Which chunk of a run.
#[derive(Clone, Copy)]
pub(super) enum Seek<'a> {
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

impl Run {
    /// How many arrivals it spans.
    pub(super) fn span(&self) -> i64 {
        self.last - self.first + 1
    }

    /// Whether it stands in the store, and not in memory alone.
    pub(super) fn is_stored(&self) -> bool {
        self.held.is_none()
    }

    /// Whether both have arrivals in the same stretch; of runs in use no two do.
    pub(super) fn meets(&self, other: &Run) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// A run in memory; `None` where there is nothing in it.
    fn held(chunks: Vec<Chunk>, first: i64, last: i64, last_at: i64) -> Option<Run> {
        (!chunks.is_empty()).then(|| Run { number: 0, first, last, last_at, held: Some(chunks.into()) })
    }

    /// A run in memory of these entries, which are in order; `last_at` is when the latest of their arrivals came.
    fn of(entries: &[Entry<'_>], last_at: i64) -> Option<Run> {
        let arrivals = || entries.iter().map(|entry| entry.arrival);
        let mut packer = Packer::default();
        let mut chunks: Vec<Chunk> = entries.iter().filter_map(|entry| packer.add(*entry)).collect();
        chunks.extend(packer.take());
        Run::held(chunks, arrivals().min()?, arrivals().max()?, last_at)
    }

    /// All runs in the store, in the order of arrivals.
    pub(super) fn stored(connection: &Connection) -> rusqlite::Result<Vec<Run>> {
        let sql = "SELECT run, first, last, last_at FROM index_runs WHERE state = 0 ORDER BY first";
        connection.prepare_cached(sql)?.query_map([], Run::read)?.collect()
    }

    /// Runs in memory of the rows after an arrival, which have no entries yet.
    pub(super) fn of_rows(connection: &Connection, after: i64) -> rusqlite::Result<Vec<Run>> {
        let (mut runs, mut after) = (Vec::new(), after);
        while let Some(run) = Run::of_first_rows(connection, after)? {
            after = run.last;
            runs.push(run);
        }
        Ok(runs)
    }

    /// A run in memory of some rows after an arrival.
    fn of_first_rows(connection: &Connection, after: i64) -> rusqlite::Result<Option<Run>> {
        let rows = row::keys_after(connection, after, ROWS)?;
        let added: Vec<(&Keys, i64)> = rows.iter().map(|row| (&row.keys, row.arrival)).collect();
        Ok(Run::of(&super::entries(&added), rows.iter().map(|row| row.arrived_at).max().unwrap_or_default()))
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Run> {
        Ok(Run { number: row.get(0)?, first: row.get(1)?, last: row.get(2)?, last_at: row.get(3)?, held: None })
    }

    /// A chunk's first entry and its entries.
    pub(super) fn chunk(&self, connection: &Connection, seek: Seek<'_>) -> rusqlite::Result<Option<(Place, Unpacker)>> {
        if let Some(chunks) = &self.held {
            let chunk = held_chunk(chunks, seek);
            return Ok(chunk.map(|chunk| (chunk.first.clone(), Unpacker::new(chunk.bytes.clone()))));
        }
        let (sql, key, arrival) = match seek {
            Seek::Holding(key, arrival) => (HOLDING, key, arrival),
            Seek::After((key, arrival)) => (AFTER, key.as_slice(), *arrival),
            Seek::Before((key, arrival)) => (BEFORE, key.as_slice(), *arrival),
        };
        let found = connection
            .prepare_cached(sql)?
            .query_row(params![self.number, key, arrival], |row| {
                Ok(((row.get(0)?, row.get(1)?), Unpacker::new(Bytes::from(row.get::<_, Vec<u8>>(2)?))))
            })
            .optional()?;
        match seek {
            // It would stand before the first one.
            Seek::Holding(..) if found.is_none() => self.chunk(connection, Seek::After(&(Vec::new(), i64::MIN))),
            _ => Ok(found),
        }
    }
}

/// Where a chunk stands, and what it may lead to.
pub(super) struct Fence {
    pub(super) chunk: i64,
    /// The least and the greatest arrival in it.
    pub(super) arrivals: (i64, i64),
}

impl Run {
    /// The chunks that begin at a place or later and below a key. Of a run in memory there are none: it is small.
    pub(super) fn fences(
        &self,
        connection: &Connection,
        (key, arrival): &Place,
        past: &[u8],
    ) -> rusqlite::Result<Vec<Fence>> {
        let sql = "SELECT chunk, oldest, newest FROM index_fences
            WHERE run = ?1 AND (key, arrival) >= (?2, ?3) AND key < ?4 ORDER BY key, arrival";
        let mut find = connection.prepare_cached(sql)?;
        let fence = |row: &Row<'_>| Ok(Fence { chunk: row.get(0)?, arrivals: (row.get(1)?, row.get(2)?) });
        find.query_map(params![self.number, key, arrival, past], fence)?.collect()
    }
}

/// The entries of a chunk in the store.
pub(super) fn entries_at(connection: &Connection, fence: &Fence) -> rusqlite::Result<Unpacker> {
    let entries: Vec<u8> = connection
        .prepare_cached("SELECT entries FROM index_chunks WHERE chunk = ?1")?
        .query_row([fence.chunk], |row| row.get(0))?;
    Ok(Unpacker::new(entries.into()))
}

fn held_chunk<'c>(chunks: &'c [Chunk], seek: Seek<'_>) -> Option<&'c Chunk> {
    let at = match seek {
        Seek::Holding(key, arrival) => {
            chunks.partition_point(|chunk| chunk.begins() <= (key, arrival)).saturating_sub(1)
        }
        Seek::After((key, arrival)) => chunks.partition_point(|chunk| chunk.begins() <= (key, *arrival)),
        Seek::Before((key, arrival)) => {
            chunks.partition_point(|chunk| chunk.begins() < (key, *arrival)).checked_sub(1)?
        }
    };
    chunks.get(at)
}

/// What the writer knows of the runs.
pub(super) struct Runs {
    sizes: Sizes,
    /// In the store, in the order of arrivals.
    stored: Vec<Run>,
    /// In memory alone, and newer.
    fresh: Vec<Run>,
    merges: Vec<Merge>,
    chunks: Chunks,
    next: i64,
}

impl Runs {
    /// As they stand in the store, with what is not there yet made from the rows.
    pub(super) fn read(connection: &Connection, sizes: Sizes) -> rusqlite::Result<Runs> {
        let mut runs = Runs::stored_alone(connection, sizes)?;
        runs.fresh = Run::of_rows(connection, runs.stored.last().map_or(0, |run| run.last))?;
        Ok(runs)
    }

    /// The same for a process that only looks: it takes up no merge.
    pub(super) fn look(connection: &Connection, sizes: Sizes) -> rusqlite::Result<Runs> {
        let stored = Run::stored(connection)?;
        let fresh = Run::of_rows(connection, stored.last().map_or(0, |run| run.last))?;
        Ok(Runs { sizes, stored, fresh, merges: Vec::new(), chunks: Chunks::default(), next: 1 })
    }

    fn stored_alone(connection: &Connection, sizes: Sizes) -> rusqlite::Result<Runs> {
        let stored = Run::stored(connection)?;
        let begun = "SELECT run, first, last, last_at FROM index_runs WHERE state = 1";
        let begun: Vec<Run> =
            connection.prepare_cached(begun)?.query_map([], Run::read)?.collect::<rusqlite::Result<_>>()?;
        let mut merges = Vec::new();
        for output in begun {
            let inputs: Vec<Run> = stored.iter().filter(|run| output.meets(run)).cloned().collect();
            let ends = inputs.first().zip(inputs.last());
            let is_of_these = ends.is_some_and(|(first, last)| first.first == output.first && last.last == output.last);
            if is_of_these && inputs.len() > 1 {
                merges.push(Merge::of(connection, output, inputs, Gone::default())?);
            } else {
                // What it was made from was in memory; or it was one run written anew, and more of it may be gone since.
                drop_run(connection, output.number)?;
            }
        }
        let next = connection.query_row("SELECT coalesce(max(run), 0) + 1 FROM index_runs", [], |row| row.get(0))?;
        Ok(Runs { sizes, stored, fresh: Vec::new(), merges, chunks: Chunks::read(connection)?, next })
    }

    /// Makes a run in the store of the first rows after an arrival.
    pub(super) fn make_up(connection: &Connection, after: i64) -> rusqlite::Result<()> {
        let mut runs = Runs::stored_alone(connection, Sizes::default())?;
        runs.fresh.extend(Run::of_first_rows(connection, after)?);
        runs.store_all(connection)?;
        while runs.is_behind() {
            runs.merge_quietly(connection, usize::MAX)?;
        }
        Ok(())
    }

    /// The newest run that was ever begun: changes where another process writes to the index.
    pub(super) fn newest(&self) -> i64 {
        self.next - 1
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Run> {
        self.fresh.iter().rev().chain(self.stored.iter().rev())
    }

    /// Whether this very run is still in use.
    pub(super) fn holds(&self, run: &Run) -> bool {
        let is_it = |own: &Run| (own.number, own.first, own.last) == (run.number, run.first, run.last);
        self.newest_first().any(is_it)
    }

    /// Those that are in memory alone, in the order of arrivals.
    pub(super) fn fresh(&self) -> &[Run] {
        &self.fresh
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.merges.is_empty()
    }

    /// Whether a quiet moment is of use.
    pub(super) fn could_be_fewer(&self) -> bool {
        self.due_stored(self.sizes.quietly).is_some()
    }

    /// Begins what only a quiet moment is for; nothing else is under way.
    pub(super) fn begin_quietly(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        match self.due_stored(self.sizes.quietly).map(<[Run]>::to_vec) {
            Some(inputs) => self.begin(connection, inputs),
            None => Ok(()),
        }
    }

    /// Adds a run of these entries, which are in order; `now` is when the latest of their arrivals came.
    pub(super) fn add(&mut self, connection: &Connection, entries: &[Entry<'_>], now: i64) -> rusqlite::Result<()> {
        self.fresh.extend(Run::of(entries, now));
        self.merge_fresh(connection)?;
        self.store_fresh(connection, self.sizes.fresh)?;
        self.begin_merges(connection)
    }

    /// The same for a process that only looks: they stay in memory.
    pub(super) fn hold(&mut self, connection: &Connection, entries: &[Entry<'_>], now: i64) -> rusqlite::Result<()> {
        self.fresh.extend(Run::of(entries, now));
        self.merge_fresh(connection)
    }

    /// Goes on with each merge by so many entries, but for those that wait for a quiet moment.
    pub(super) fn merge(&mut self, connection: &Connection, entries: usize) -> rusqlite::Result<()> {
        let together = self.sizes.together;
        self.advance(connection, entries, |merge| !merge.waits_for_quiet(together))?;
        self.begin_merges(connection)
    }

    /// Goes on with each merge by so many entries, in a quiet moment.
    pub(super) fn merge_quietly(&mut self, connection: &Connection, entries: usize) -> rusqlite::Result<()> {
        self.advance(connection, entries, |_| true)?;
        self.begin_merges(connection)
    }

    fn advance(
        &mut self,
        connection: &Connection,
        entries: usize,
        wanted: impl Fn(&Merge) -> bool,
    ) -> rusqlite::Result<()> {
        let mut at = 0;
        while let Some(merge) = self.merges.get_mut(at) {
            if wanted(merge) && merge.advance(connection, entries, &mut self.chunks)? {
                let merge = self.merges.remove(at);
                self.finish(connection, merge)?;
            } else {
                at += 1;
            }
        }
        Ok(())
    }

    /// Puts everything that is in memory into the store.
    pub(super) fn store_all(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.store_fresh(connection, 1)?;
        while let Some(at) = self.merges.iter().position(|merge| merge.inputs.iter().any(|run| run.held.is_some())) {
            let mut merge = self.merges.remove(at);
            while !merge.advance(connection, usize::MAX, &mut self.chunks)? {}
            self.finish(connection, merge)?;
        }
        Ok(())
    }

    /// Drops the runs of which nothing is left, and begins to write a run anew that leads to something gone, one at a time; goes
    /// on with what is begun by so many entries. Whether there is more to do.
    pub(super) fn forget_gone(&mut self, connection: &Connection, entries: usize) -> rusqlite::Result<bool> {
        self.merge_quietly(connection, entries)?;
        if gone::is_noted(connection)? {
            self.forget_stored(connection)?;
            self.forget_fresh(connection)?;
        }
        Ok(self.is_behind() || gone::is_noted(connection)?)
    }

    fn forget_stored(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let is_free = |run: &&Run| !self.merges.iter().any(|merge| merge.takes(run));
        for run in self.stored.iter().filter(is_free).cloned().collect::<Vec<_>>() {
            let gone = Gone::read(connection, run.first, run.last)?;
            if gone.is_empty() {
                continue;
            }
            let left = "SELECT 1 FROM callbacks WHERE arrival BETWEEN ?1 AND ?2 LIMIT 1";
            if !connection.prepare_cached(left)?.exists([run.first, run.last])? {
                drop_run(connection, run.number)?;
                self.chunks.unused.push_back(run.number);
                self.stored.retain(|stored| stored.number != run.number);
                gone.forget(connection)?;
            } else if self.merges.iter().all(|merge| merge.gone().is_empty()) {
                self.begin_without(connection, vec![run], gone)?;
            }
        }
        Ok(())
    }

    /// What is in memory is small: its entries are made again from the rows that are left.
    fn forget_fresh(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let stored = self.stored.last().map_or(0, |run| run.last);
        let is_held = |run: &Run| run.held.is_some();
        if self.merges.iter().any(|merge| merge.inputs.iter().any(is_held)) {
            return Ok(());
        }
        let gone = Gone::read(connection, stored + 1, i64::MAX)?;
        if !gone.is_empty() {
            self.fresh = Run::of_rows(connection, stored)?;
            gone.forget(connection)?;
        }
        if self.merges.is_empty() {
            // Of no run, so nothing leads there.
            Gone::read(connection, i64::MIN, i64::MAX)?.forget(connection)?;
        }
        Ok(())
    }

    /// Clears away some chunks of runs that are no longer used; whether there were any.
    pub(super) fn clear(&mut self, connection: &Connection, chunks: usize) -> rusqlite::Result<bool> {
        for cleared in 0..chunks {
            let Some(chunk) = self.chunks.take(connection)? else { return Ok(cleared > 0) };
            connection.prepare_cached("DELETE FROM index_chunks WHERE chunk = ?1")?.execute([chunk])?;
        }
        Ok(true)
    }

    /// Merges what is in memory there.
    fn merge_fresh(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        // Of very different sizes, as transactions are: half of what would fill it is enough.
        let together = self.sizes.together / 2;
        let (sizes, enough) = ((1, self.sizes.fresh), together / 2);
        while let Some(inputs) = self.due(&self.fresh, sizes, together, enough).map(<[Run]>::to_vec) {
            let chunks = Merged::after(connection, &inputs, None, Gone::default())?.all(connection)?;
            let (first, last, last_at) = stretch(&inputs);
            let at = self.fresh.partition_point(|run| run.last < first);
            self.fresh.splice(at..at + inputs.len(), Run::held(chunks, first, last, last_at));
        }
        Ok(())
    }

    /// Begins to put what is in memory into the store, once it spans so many arrivals.
    fn store_fresh(&mut self, connection: &Connection, span: i64) -> rusqlite::Result<()> {
        let is_free = |run: &&Run| !self.merges.iter().any(|merge| merge.takes(run));
        let inputs: Vec<Run> = self.fresh.iter().filter(is_free).cloned().collect();
        if inputs.iter().map(Run::span).sum::<i64>() < span {
            return Ok(());
        }
        self.begin(connection, inputs)
    }

    /// Begins the merges that are due.
    fn begin_merges(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        while let Some(inputs) = self.due_stored(self.sizes.together).map(<[Run]>::to_vec) {
            self.begin(connection, inputs)?;
        }
        Ok(())
    }

    /// So many neighbours in the store that should become one run.
    fn due_stored(&self, together: i64) -> Option<&[Run]> {
        // As many of the largest among them as can be: the fewer runs there are, the quicker is a search.
        self.due(&self.stored, (self.sizes.fresh, self.sizes.large), together, together - 1)
    }

    /// Neighbours that should become one run, the smallest first: `together` or more of them, and all of them `enough` times as
    /// large as the largest.
    fn due<'r>(&self, runs: &'r [Run], (smallest, large): (i64, i64), together: i64, enough: i64) -> Option<&'r [Run]> {
        let is_free = |run: &Run| run.span() < large && !self.merges.iter().any(|merge| merge.takes(run));
        let mut limit = smallest;
        while limit < large {
            limit = large.min(limit * together);
            let mut groups = runs.split(|run| !is_free(run) || run.span() >= limit);
            if let Some(due) = groups.find_map(|group| newest_alike(group, large, together, enough)) {
                return Some(due);
            }
        }
        None
    }

    fn begin(&mut self, connection: &Connection, inputs: Vec<Run>) -> rusqlite::Result<()> {
        self.begin_without(connection, inputs, Gone::default())
    }

    /// Begins a merge that leaves out what leads to what is gone.
    fn begin_without(&mut self, connection: &Connection, inputs: Vec<Run>, gone: Gone) -> rusqlite::Result<()> {
        let (first, last, last_at) = stretch(&inputs);
        let output = Run { number: self.next, first, last, last_at, held: None };
        self.next += 1;
        connection
            .prepare_cached("INSERT INTO index_runs (run, state, first, last, last_at) VALUES (?1, 1, ?2, ?3, ?4)")?
            .execute(params![output.number, first, last, last_at])?;
        self.merges.push(Merge::of(connection, output, inputs, gone)?);
        Ok(())
    }

    /// Puts the merged run in place of what it was merged from.
    fn finish(&mut self, connection: &Connection, merge: Merge) -> rusqlite::Result<()> {
        merge.gone().forget(connection)?;
        let Merge { output, inputs, .. } = merge;
        connection.prepare_cached("UPDATE index_runs SET state = 0 WHERE run = ?1")?.execute([output.number])?;
        for run in inputs.iter().filter(|run| run.held.is_none()) {
            drop_run(connection, run.number)?;
            self.chunks.unused.push_back(run.number);
        }
        self.fresh.retain(|run| !output.meets(run));
        self.stored.retain(|run| !output.meets(run));
        let at = self.stored.partition_point(|run| run.last < output.first);
        self.stored.insert(at, output);
        Ok(())
    }
}

/// As many of the newest among neighbours as are not too different in size, until they are large together, and never so many
/// that they are far larger.
fn newest_alike(group: &[Run], large: i64, together: i64, enough: i64) -> Option<&[Run]> {
    let (mut runs, mut span, mut largest, mut alike) = (0, 0, 0, None);
    for (at, run) in group.iter().enumerate().rev() {
        (runs, span, largest) = (runs + 1, span + run.span(), largest.max(run.span()));
        if span > 4 * large {
            break;
        }
        if runs >= together && span >= enough * largest {
            alike = group.get(at..);
            if span >= large {
                break;
            }
        }
    }
    alike
}

/// The first and last arrival of neighbouring runs, and when the latest came.
fn stretch(runs: &[Run]) -> (i64, i64, i64) {
    let first = runs.iter().map(|run| run.first).min().unwrap_or_default();
    let last = runs.iter().map(|run| run.last).max().unwrap_or_default();
    (first, last, runs.iter().map(|run| run.last_at).max().unwrap_or_default())
}

fn drop_run(connection: &Connection, run: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE index_runs SET state = 2 WHERE run = ?1")?.execute([run])?;
    Ok(())
}

/// Where chunks are written: over those of runs that are no longer used, so that nothing has to be cleared away for it.
#[derive(Default)]
pub(super) struct Chunks {
    /// Runs that are no longer used, with their chunks still there.
    unused: VecDeque<i64>,
    /// Some chunks of the first of them, each with its fence.
    free: Vec<(Place, i64)>,
}

impl Chunks {
    fn read(connection: &Connection) -> rusqlite::Result<Chunks> {
        let mut unused = connection.prepare_cached("SELECT run FROM index_runs WHERE state = 2 ORDER BY run")?;
        let unused = unused.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(Chunks { unused, free: Vec::new() })
    }

    /// Writes a chunk of a run.
    pub(super) fn write(&mut self, connection: &Connection, run: i64, chunk: &Chunk) -> rusqlite::Result<()> {
        let number = match self.take(connection)? {
            Some(number) => {
                let mut update = connection.prepare_cached("UPDATE index_chunks SET entries = ?2 WHERE chunk = ?1")?;
                update.execute(params![number, chunk.bytes.as_ref()])?;
                number
            }
            None => connection
                .prepare_cached("INSERT INTO index_chunks (entries) VALUES (?1)")?
                .insert([chunk.bytes.as_ref()])?,
        };
        let (key, arrival) = &chunk.first;
        connection
            .prepare_cached(
                "INSERT INTO index_fences (run, key, arrival, chunk, oldest, newest) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![run, key, arrival, number, chunk.arrivals.0, chunk.arrivals.1])?;
        Ok(())
    }

    /// A chunk that nobody uses.
    fn take(&mut self, connection: &Connection) -> rusqlite::Result<Option<i64>> {
        loop {
            let Some(run) = self.unused.front().copied() else { return Ok(None) };
            if let Some(((key, arrival), chunk)) = self.free.pop() {
                connection
                    .prepare_cached("DELETE FROM index_fences WHERE run = ?1 AND key = ?2 AND arrival = ?3")?
                    .execute(params![run, key, arrival])?;
                return Ok(Some(chunk));
            }
            let sql = "SELECT key, arrival, chunk FROM index_fences WHERE run = ?1 ORDER BY key, arrival LIMIT ?2";
            let mut find = connection.prepare_cached(sql)?;
            let free = find.query_map(params![run, TAKEN], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
            self.free = free.collect::<rusqlite::Result<_>>()?;
            self.free.reverse();
            if self.free.is_empty() {
                connection.prepare_cached("DELETE FROM index_runs WHERE run = ?1")?.execute([run])?;
                self.unused.pop_front();
            }
        }
    }
}
