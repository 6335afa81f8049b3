//! Merging: the entries of several runs in one order. A merge into the store is done in parts, each in a transaction with other
//! work, and goes on where it was after a stop.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use rusqlite::{Connection, OptionalExtension};

use super::chunk::{Chunk, Entry, Packer, Place, Unpacker};
use super::gone::Gone;
use super::runs::{Chunks, Run, Seek};

/// The entries of several runs in one order, packed anew.
pub(super) struct Merged {
    /// The least entry is on top.
    cursors: BinaryHeap<Reverse<Cursor>>,
    /// What leads to these is left out.
    gone: Gone,
    packer: Packer,
}

impl Merged {
    /// Begins with the first entry after `done`, or with the first of all. What leads to what is gone is left out.
    pub(super) fn after(
        connection: &Connection,
        runs: &[Run],
        done: Option<&Place>,
        gone: Gone,
    ) -> rusqlite::Result<Merged> {
        let mut cursors = BinaryHeap::with_capacity(runs.len());
        for run in runs {
            cursors.extend(Cursor::after(connection, run, done)?.map(Reverse));
        }
        Ok(Merged { cursors, gone, packer: Packer::default() })
    }

    /// The next chunk; `None` where `entries` more were read and none is full, or at the end.
    pub(super) fn next(&mut self, connection: &Connection, entries: &mut usize) -> rusqlite::Result<Option<Chunk>> {
        while *entries > 0 {
            let Some(mut least) = self.cursors.peek_mut() else { return Ok(self.packer.take()) };
            let Reverse(cursor) = &mut *least;
            let entry = cursor.entries.entry();
            let full = if self.gone.holds(entry) { None } else { self.packer.add(entry) };
            *entries -= 1;
            if !cursor.advance(connection)? {
                PeekMut::pop(least);
            }
            if full.is_some() {
                return Ok(full);
            }
        }
        Ok(None)
    }

    /// All of it, packed.
    pub(super) fn all(mut self, connection: &Connection) -> rusqlite::Result<Vec<Chunk>> {
        let (mut chunks, mut entries) = (Vec::new(), usize::MAX);
        while let Some(chunk) = self.next(connection, &mut entries)? {
            chunks.push(chunk);
        }
        Ok(chunks)
    }

    fn is_at_its_end(&self) -> bool {
        self.cursors.is_empty() && self.packer.is_empty()
    }
}

/// A merge into the store that is under way.
pub(super) struct Merge {
    /// What it makes.
    pub(super) output: Run,
    /// What it is made from.
    pub(super) inputs: Vec<Run>,
    merged: Merged,
}

impl Merge {
    /// Begins it, or goes on with what has been written.
    pub(super) fn of(connection: &Connection, output: Run, inputs: Vec<Run>, gone: Gone) -> rusqlite::Result<Merge> {
        let done = last_written(connection, &output)?;
        let merged = Merged::after(connection, &inputs, done.as_ref(), gone)?;
        Ok(Merge { output, inputs, merged })
    }

    /// Whether it takes this run in.
    pub(super) fn takes(&self, run: &Run) -> bool {
        self.output.meets(run)
    }

    /// Whether it was begun in a quiet moment: fewer runs in the store become one than so many `together`, and nothing is gone
    /// from them. Nobody needs it while callbacks come.
    pub(super) fn waits_for_quiet(&self, together: i64) -> bool {
        let is_stored = self.inputs.iter().all(Run::is_stored);
        let few = i64::try_from(self.inputs.len()).is_ok_and(|inputs| inputs < together);
        few && is_stored && self.gone().is_empty()
    }

    /// What it leaves out.
    pub(super) fn gone(&self) -> &Gone {
        &self.merged.gone
    }

    /// Merges so many entries; whether all are merged.
    pub(super) fn advance(
        &mut self,
        connection: &Connection,
        mut entries: usize,
        chunks: &mut Chunks,
    ) -> rusqlite::Result<bool> {
        while let Some(chunk) = self.merged.next(connection, &mut entries)? {
            chunks.write(connection, self.output.number, &chunk)?;
        }
        Ok(self.merged.is_at_its_end())
    }
}

/// How far one input has been read.
struct Cursor {
    run: Run,
    /// The first entry of the chunk that it is in.
    at: Place,
    entries: Unpacker,
    /// How the key that it stands at begins: most keys differ there.
    begin: u64,
}

impl Cursor {
    /// At the first entry after `done`; `None` where there is none.
    fn after(connection: &Connection, run: &Run, done: Option<&Place>) -> rusqlite::Result<Option<Cursor>> {
        let (key, arrival) = done.map_or((&[][..], i64::MIN), |(key, arrival)| (key.as_slice(), *arrival));
        let Some((at, entries)) = run.chunk(connection, Seek::Holding(key, arrival))? else { return Ok(None) };
        let mut cursor = Cursor { run: run.clone(), at, entries, begin: 0 };
        while cursor.advance(connection)? {
            let Entry { key: own, arrival: its, .. } = cursor.entries.entry();
            if done.is_none() || (own, its) > (key, arrival) {
                return Ok(Some(cursor));
            }
        }
        Ok(None)
    }

    /// Goes to the next entry; `false` at the end.
    fn advance(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        while !self.entries.advance()? {
            let Some((at, entries)) = self.run.chunk(connection, Seek::After(&self.at))? else { return Ok(false) };
            (self.at, self.entries) = (at, entries);
        }
        self.begin = begin(self.entries.entry().key);
        Ok(true)
    }
}

impl Ord for Cursor {
    fn cmp(&self, other: &Cursor) -> Ordering {
        self.begin.cmp(&other.begin).then_with(|| self.entries.entry().cmp(&other.entries.entry()))
    }
}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Cursor) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cursor {
    fn eq(&self, other: &Cursor) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cursor {}

/// The first bytes of a key as a number, in the same order.
fn begin(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(key).for_each(|(byte, of_key)| *byte = *of_key);
    u64::from_be_bytes(bytes)
}

/// The last entry that was written of a run that is being made.
fn last_written(connection: &Connection, run: &Run) -> rusqlite::Result<Option<Place>> {
    let sql = "SELECT c.entries FROM index_fences f JOIN index_chunks c ON c.chunk = f.chunk
        WHERE f.run = ?1 ORDER BY f.key DESC, f.arrival DESC LIMIT 1";
    let last: Option<Vec<u8>> = connection.prepare_cached(sql)?.query_row([run.number], |row| row.get(0)).optional()?;
    let Some(last) = last else { return Ok(None) };
    let mut entries = Unpacker::new(last.into());
    while entries.advance()? {}
    let Entry { key, arrival, .. } = entries.entry();
    Ok(Some((key.to_vec(), arrival)))
}
