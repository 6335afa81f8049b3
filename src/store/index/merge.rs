//! One merge: the entries of neighbouring runs in one order, written as a run of its own. It is done in parts, each in a
//! transaction with other work, and goes on where it was after a stop.

use rusqlite::{Connection, OptionalExtension};

use super::chunk::{Chunk, Packer, Place, Unpacker};
use super::runs::{self, State};
use super::{Run, Seek, chunk};

/// A merge that is under way.
pub(super) struct Merge {
    output: Run,
    inputs: Vec<Run>,
    cursors: Vec<Cursor>,
    packer: Packer,
    /// The latest chunk that is whole: the last one of all may turn out to be the only one.
    held: Option<Chunk>,
    written: bool,
}

/// How far one input has been read; gone when it is at its end.
struct Cursor {
    run: Run,
    /// The first entry of the chunk that it is in.
    at: Place,
    entries: Unpacker,
}

impl Merge {
    /// Begins it, or goes on with what has been written.
    pub(super) fn of(connection: &Connection, output: Run, inputs: Vec<Run>) -> rusqlite::Result<Merge> {
        let done = last_written(connection, output)?;
        let mut cursors = Vec::with_capacity(inputs.len());
        for run in &inputs {
            cursors.extend(Cursor::after(connection, *run, done.as_ref())?);
        }
        Ok(Merge { output, inputs, cursors, packer: Packer::default(), held: None, written: done.is_some() })
    }

    /// Whether it takes this run in.
    pub(super) fn takes(&self, run: &Run) -> bool {
        self.output.first <= run.first && run.last <= self.output.last
    }

    /// Merges so many entries; whether all are merged.
    pub(super) fn advance(&mut self, connection: &Connection, entries: usize) -> rusqlite::Result<bool> {
        for _ in 0..entries {
            let least = self.cursors.iter().enumerate().min_by(|(_, a), (_, b)| a.place().cmp(&b.place()));
            let Some(least) = least.map(|(at, _)| at) else { return Ok(true) };
            let Some(cursor) = self.cursors.get_mut(least) else { return Ok(true) };
            let (key, arrival) = cursor.place();
            if let Some(chunk) = self.packer.add(key, arrival) {
                self.hold(connection, chunk)?;
            }
            if let Some(cursor) = self.cursors.get_mut(least)
                && !cursor.advance(connection)?
            {
                self.cursors.remove(least);
            }
        }
        Ok(self.cursors.is_empty())
    }

    /// Makes the run usable; gives it and the runs that it stands for.
    pub(super) fn finish(mut self, connection: &Connection) -> rusqlite::Result<(Run, Vec<Run>)> {
        if let Some(chunk) = self.packer.take() {
            self.hold(connection, chunk)?;
        }
        let only = self.held.take_if(|_| !self.written);
        let output = Run { small: only.is_some(), ..self.output };
        runs::make(connection, output, State::Live, only.map(|chunk| chunk.bytes).as_deref())?;
        if let Some(chunk) = self.held {
            runs::write(connection, output.number, &chunk)?;
        }
        Ok((output, self.inputs))
    }

    fn hold(&mut self, connection: &Connection, chunk: Chunk) -> rusqlite::Result<()> {
        if let Some(before) = self.held.replace(chunk) {
            runs::write(connection, self.output.number, &before)?;
            self.written = true;
        }
        Ok(())
    }
}

impl Cursor {
    /// At the first entry after `done`; `None` where there is none.
    fn after(connection: &Connection, run: Run, done: Option<&Place>) -> rusqlite::Result<Option<Cursor>> {
        let (key, arrival) = done.map_or((&[][..], i64::MIN), |(key, arrival)| (key.as_slice(), *arrival));
        let Some((at, entries)) = chunk(connection, run, Seek::Holding(key, arrival))? else { return Ok(None) };
        let mut cursor = Cursor { run, at, entries };
        while cursor.advance(connection)? {
            if done.is_none() || cursor.place() > (key, arrival) {
                return Ok(Some(cursor));
            }
        }
        Ok(None)
    }

    fn place(&self) -> (&[u8], i64) {
        (self.entries.key(), self.entries.arrival())
    }

    /// Goes to the next entry; `false` at the end.
    fn advance(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        while !self.entries.advance()? {
            let Some((at, entries)) = chunk(connection, self.run, Seek::After(&self.at))? else { return Ok(false) };
            (self.at, self.entries) = (at, entries);
        }
        Ok(true)
    }
}

/// The last entry that was written of a run that is being made.
fn last_written(connection: &Connection, run: Run) -> rusqlite::Result<Option<Place>> {
    let sql = "SELECT c.entries FROM index_fences f JOIN index_chunks c ON c.chunk = f.chunk
        WHERE f.run = ?1 ORDER BY f.key DESC, f.arrival DESC LIMIT 1";
    let last: Option<Vec<u8>> = connection.prepare_cached(sql)?.query_row([run.number], |row| row.get(0)).optional()?;
    let Some(last) = last else { return Ok(None) };
    let mut entries = Unpacker::new(last);
    while entries.advance()? {}
    Ok(Some((entries.key().to_vec(), entries.arrival())))
}
