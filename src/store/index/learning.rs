//! Learning after a start which ids came lately, a part at a time. Until they are known each callback is looked for in every run of
//! the last days.

use rusqlite::Connection;

use super::chunk::Place;
use super::runs::{Run, Runs, Seek};
use super::seen::Seen;
use super::{Field, LATELY};

/// How far it is.
#[derive(Default)]
pub(super) struct Learning {
    reading: Option<Reading>,
    is_done: bool,
}

/// A run that is being read, from its first key on.
struct Reading {
    run: Run,
    /// What was known when it was begun.
    since: i64,
    /// The chunk that was read last.
    at: Place,
}

impl Learning {
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Reads about so many entries, the newest runs first.
    pub(super) fn go_on(
        &mut self,
        connection: &Connection,
        runs: &Runs,
        seen: &mut Seen,
        entries: usize,
    ) -> rusqlite::Result<()> {
        let mut left = entries;
        while left > 0 && !self.is_done {
            // One that was merged meanwhile may have been written over.
            let reading =
                self.reading.take().filter(|reading| reading.since == seen.since() && runs.holds(&reading.run));
            let Some(mut reading) = reading.or_else(|| next(runs, seen.since())) else {
                self.is_done = true;
                return Ok(());
            };
            let Some((at, mut chunk)) = reading.run.chunk(connection, Seek::After(&reading.at))? else {
                seen.learned(reading.run.first);
                continue;
            };
            let mut is_whole = false;
            while chunk.advance()? {
                let [field, id @ ..] = chunk.entry().key else { continue };
                // They stand before everything else.
                if *field != Field::NotifyId as u8 {
                    is_whole = true;
                    break;
                }
                left = left.saturating_sub(1);
                if !id.first_chunk().is_none_or(|id| seen.learn(*id)) {
                    self.is_done = true;
                    return Ok(());
                }
            }
            if is_whole {
                seen.learned(reading.run.first);
            } else {
                reading.at = at;
                self.reading = Some(reading);
            }
        }
        Ok(())
    }
}

/// The newest run that is not known, if it came lately.
fn next(runs: &Runs, since: i64) -> Option<Reading> {
    let newest = runs.newest_first().next()?.last_at;
    let run = runs.newest_first().find(|run| run.first < since)?;
    let lately = run.last_at >= newest - LATELY;
    lately.then(|| Reading { run: run.clone(), since, at: (Vec::new(), i64::MIN) })
}
