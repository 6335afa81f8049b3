//! Going through what is wanted in whatever order costs least, for a count: each chunk is read once, however many it holds.

use super::Facets;
use super::look::{Index, Keys, Wanted, first_key};
use super::runs::{Run, Seek};

/// How a tally ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store) enum Tally {
    /// Everything was handed over.
    Whole,
    /// Enough was.
    Enough,
    /// So many entries were looked at that it stopped.
    Stopped,
}

/// What is tallied, and how far that may go.
struct Tallying<'t, F> {
    facets: &'t Facets,
    arrivals: (i64, i64),
    /// Entries that may be looked at yet.
    entries: &'t mut usize,
    found: Vec<i64>,
    take: F,
}

impl Index<'_> {
    /// Hands over the arrivals that are wanted, meet the facets and lie between two, some at a time and in no order, for as long as
    /// `take` wants more. What was written twice is handed over twice. It looks at so many `entries` and no more.
    pub(in crate::store) fn tally(
        &self,
        wanted: &Wanted,
        facets: &Facets,
        arrivals: (i64, i64),
        entries: &mut usize,
        take: impl FnMut(&mut Vec<i64>) -> rusqlite::Result<bool>,
    ) -> rusqlite::Result<Tally> {
        let mut tallying = Tallying { facets, arrivals, entries, found: Vec::new(), take };
        let is_within = |run: &&Run| run.last >= arrivals.0 && run.first <= arrivals.1;
        for run in self.runs.iter().filter(is_within) {
            let done = match wanted.keys() {
                // The arrivals of one key are in order.
                Keys::One(key) => tallying.between(self, run, (&key, arrivals.0), &just_past(&key))?,
                Keys::Between(least, past) => tallying.between(self, run, (&least, i64::MIN), &past)?,
                Keys::Facets => tallying.key_by_key(self, run)?,
            };
            if done != Tally::Whole {
                return Ok(done);
            }
        }
        Ok(Tally::Whole)
    }
}

impl<F: FnMut(&mut Vec<i64>) -> rusqlite::Result<bool>> Tallying<'_, F> {
    /// What stands from one place on and below a key.
    fn between(
        &mut self,
        index: &Index<'_>,
        run: &Run,
        (least, arrival): (&[u8], i64),
        past: &[u8],
    ) -> rusqlite::Result<Tally> {
        let mut at = run.chunk(index.connection, Seek::Holding(least, arrival))?;
        let mut is_past = false;
        while let Some((first, mut entries)) = at {
            while !is_past && entries.advance()? {
                let entry = entries.entry();
                is_past = entry.key >= past;
                if is_past || entry.key < least {
                    continue;
                }
                let Some(left) = self.entries.checked_sub(1) else { return Ok(Tally::Stopped) };
                *self.entries = left;
                let is_within = self.arrivals.0 <= entry.arrival && entry.arrival <= self.arrivals.1;
                if is_within && self.facets.meet(entry.mark) {
                    self.found.push(entry.arrival);
                }
            }
            if !self.found.is_empty() && !(self.take)(&mut self.found)? {
                return Ok(Tally::Enough);
            }
            self.found.clear();
            if is_past {
                break;
            }
            at = run.chunk(index.connection, Seek::After(&first))?;
        }
        Ok(Tally::Whole)
    }

    /// Each callback's own key, as far as it meets the facets; the others are passed over.
    fn key_by_key(&mut self, index: &Index<'_>, run: &Run) -> rusqlite::Result<Tally> {
        let (mut least, past) = self.facets.keys();
        while let Some(key) = first_key(index.connection, run, &least)?.filter(|key| *key < past) {
            if self.facets.meet_key(&key) {
                let done = self.between(index, run, (&key, self.arrivals.0), &just_past(&key))?;
                if done != Tally::Whole {
                    return Ok(done);
                }
            }
            let Some(left) = self.entries.checked_sub(1) else { return Ok(Tally::Stopped) };
            *self.entries = left;
            least = self.facets.after(key);
        }
        Ok(Tally::Whole)
    }
}

/// The first key after this one.
fn just_past(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
