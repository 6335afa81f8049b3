//! Looking: which arrivals have a key, one run after another, in the order of their arrival, no further than is asked.

use std::cmp::{Ordering, Reverse};
use std::collections::VecDeque;
use std::time::Instant;

use rusqlite::Connection;

use super::chunk::Place;
use super::facets::Facets;
use super::runs::{Fence, Run, Seek, entries_at};
use super::{Field, KEPT_OF_LONG, gone, key};
use crate::notify::recipient::reference_key;
use crate::store::row;

/// Arrivals that are read at once, at first: enough for a page.
const FEW: usize = 64;
/// And later.
const MANY: usize = 4096;
/// And after some were passed over: about as many as are read at once in any case.
const SOME: usize = 256;
/// In a run of no more arrivals the entries of all facets are read through; in a larger one those that are not asked for
/// are passed over.
const READ_THROUGH: i64 = 4096;
/// Where more chunks than so many hold what begins alike, not all of them are read.
const MANY_CHUNKS: usize = 8;
/// Entries in a chunk, about.
const ENTRIES: i64 = 300;
/// Found by going through rows at once: it can go on where it was.
const BY_ROWS: u8 = 64;
/// Rows that are gone through at most.
const ROWS: i64 = 1024;
/// Runs of so many arrivals are asked however long it takes.
const AT_LEAST: i64 = 100_000;

/// The order of arrivals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store) enum Way {
    NewestFirst,
    OldestFirst,
}

/// What is looked for.
#[derive(Clone, Debug)]
pub(in crate::store) enum Wanted {
    /// Everything.
    All,
    /// Callbacks with this short id. Another id may have the same one, so the rows have to be asked.
    NotifyId([u8; 8]),
    /// With exactly this reference key.
    Reference(String),
    /// With a longer reference key that begins so. Where the rows have to be asked, [`Wanted::is_exact`] says so.
    ReferenceBeginsWith(String),
    /// To or from the person with this match key.
    Person(String),
    /// Received texts that hold this word.
    Word(String),
}

/// The keys that are looked at.
pub(super) enum Keys {
    One(Vec<u8>),
    /// From the first on and below the second.
    Between(Vec<u8>, Vec<u8>),
    /// Each callback's own, as far as it meets the facets.
    Facets,
}

impl Wanted {
    /// Whether everything that is found is wanted, so that no row has to be asked.
    pub(in crate::store) fn is_exact(&self) -> bool {
        match self {
            Wanted::NotifyId(_) => false,
            Wanted::ReferenceBeginsWith(begin) => begin.len() < KEPT_OF_LONG,
            Wanted::All | Wanted::Reference(_) | Wanted::Person(_) | Wanted::Word(_) => true,
        }
    }

    pub(super) fn keys(&self) -> Keys {
        match self {
            Wanted::NotifyId(id) => Keys::One(key(Field::NotifyId, id)),
            Wanted::Reference(reference) => Keys::One(key(Field::Reference, reference.as_bytes())),
            Wanted::Person(person) => Keys::One(key(Field::Person, person.as_bytes())),
            Wanted::Word(word) => Keys::One(key(Field::Word, word.as_bytes())),
            Wanted::ReferenceBeginsWith(begin) => {
                // Of a long key only the begin stands in the index; whoever looks by it asks the row too.
                let kept = begin.as_bytes().get(..KEPT_OF_LONG);
                let least = key(Field::Reference, kept.unwrap_or(begin.as_bytes()));
                // No text holds the byte 255, and no reference key the byte 0.
                let past = [least.as_slice(), &[255]].concat();
                Keys::Between(if kept.is_some() { least } else { [least.as_slice(), &[0]].concat() }, past)
            }
            Wanted::All => Keys::Facets,
        }
    }
}

/// The index as a reader's transaction sees it.
pub(in crate::store) struct Index<'c> {
    pub(in crate::store) connection: &'c Connection,
    /// Whether it may lead to rows that are gone.
    pub(in crate::store) leads_to_gone: bool,
    /// The newest first.
    pub(super) runs: Vec<Run>,
}

impl<'c> Index<'c> {
    /// `fresh` is what was in memory before the transaction began: what has been put into the store since is found there.
    pub(in crate::store) fn new(connection: &'c Connection, fresh: &[Run]) -> rusqlite::Result<Index<'c>> {
        let mut runs = Run::stored(connection)?;
        let stored = runs.last().map_or(0, |run| run.last);
        runs.extend(fresh.iter().filter(|run| run.first > stored).cloned());
        // What the writer of another process added, or ours before its first transaction.
        runs.extend(Run::of_rows(connection, runs.last().map_or(0, |run| run.last))?);
        runs.reverse();
        Ok(Index { connection, leads_to_gone: gone::is_noted(connection)?, runs })
    }

    /// The arrivals that are wanted and meet the facets, one after another; those after `from`, which itself is left out.
    pub(in crate::store) fn arrivals(&self, wanted: Wanted, facets: Facets, way: Way, from: i64) -> Arrivals<'_> {
        let on_the_way = |run: &&Run| match way {
            Way::NewestFirst => run.first < from,
            Way::OldestFirst => run.last > from,
        };
        let mut runs: VecDeque<&Run> = self.runs.iter().filter(on_the_way).collect();
        if way == Way::OldestFirst {
            runs.make_contiguous().reverse();
        }
        let asked = Asked { wanted, facets };
        let (connection, read) = (self.connection, VecDeque::new());
        Arrivals {
            connection,
            asked,
            way,
            from,
            runs,
            read,
            at_once: FEW,
            bounds: (i64::MIN, i64::MAX),
            ends_at: None,
            passed: 0,
            stopped_at: None,
        }
    }
}

/// What is looked for, and what it has to be.
struct Asked {
    wanted: Wanted,
    facets: Facets,
}

/// The arrivals that are wanted, one after another.
pub(in crate::store) struct Arrivals<'i> {
    connection: &'i Connection,
    asked: Asked,
    way: Way,
    /// Only what comes after this one on the way.
    from: i64,
    runs: VecDeque<&'i Run>,
    read: VecDeque<i64>,
    at_once: usize,
    /// The first and the last arrival that are asked for.
    bounds: (i64, i64),
    /// When no other run is asked any more.
    ends_at: Option<Instant>,
    /// Arrivals of the runs that were asked to their end.
    passed: i64,
    /// The arrival behind which runs were not asked any more.
    stopped_at: Option<i64>,
}

impl Arrivals<'_> {
    /// Only those from `first` to `last`.
    pub(in crate::store) fn within(mut self, (first, last): (i64, i64)) -> Self {
        self.bounds = (first, last);
        self.runs.retain(|run| run.last >= first && run.first <= last);
        self.from = match self.way {
            Way::NewestFirst => self.from.min(last.saturating_add(1)),
            Way::OldestFirst => self.from.max(first.saturating_sub(1)),
        };
        self
    }

    /// Asks no other run after this moment, once some were asked.
    pub(in crate::store) fn until(self, ends_at: Instant) -> Self {
        Arrivals { ends_at: Some(ends_at), ..self }
    }

    /// The arrival behind which no run was asked, where time ran out.
    pub(in crate::store) fn stopped_at(&self) -> Option<i64> {
        self.stopped_at
    }

    /// Passes over all that comes before this one on the way.
    pub(super) fn skip_to(&mut self, arrival: i64) {
        let way = self.way;
        let is_before = |one: i64| match way {
            Way::NewestFirst => one > arrival,
            Way::OldestFirst => one < arrival,
        };
        while self.read.front().is_some_and(|one| is_before(*one)) {
            self.read.pop_front();
        }
        if !self.read.is_empty() {
            return;
        }
        self.at_once = SOME;
        self.from = match way {
            Way::NewestFirst => self.from.min(arrival.saturating_add(1)),
            Way::OldestFirst => self.from.max(arrival.saturating_sub(1)),
        };
        let lies_before = |run: &Run| match way {
            Way::NewestFirst => run.first > arrival,
            Way::OldestFirst => run.last < arrival,
        };
        while let Some(run) = self.runs.front().filter(|run| lies_before(run)) {
            self.passed += run.span();
            self.runs.pop_front();
        }
    }

    /// The next one, which stays the next.
    pub(super) fn peek(&mut self) -> rusqlite::Result<Option<i64>> {
        let next = self.next()?;
        if let Some(next) = next {
            self.read.push_front(next);
        }
        Ok(next)
    }

    /// The next one.
    pub(in crate::store) fn next(&mut self) -> rusqlite::Result<Option<i64>> {
        while self.read.is_empty() {
            let Some(run) = self.runs.front() else { return Ok(None) };
            if self.passed > AT_LEAST && self.ends_at.is_some_and(|ends_at| Instant::now() > ends_at) {
                self.stopped_at = Some(match self.way {
                    Way::NewestFirst => self.from.min(run.last.saturating_add(1)),
                    Way::OldestFirst => self.from.max(run.first.saturating_sub(1)),
                });
                return Ok(None);
            }
            let best = some(self.connection, run, &self.asked, Best::new(self.way, self.from, self.at_once))?;
            let (found, whole) = best.in_order();
            if whole {
                self.passed += run.span();
                self.runs.pop_front();
            }
            if let Some(last) = found.last() {
                self.from = *last;
                self.at_once = MANY.min(4 * self.at_once);
            }
            self.read = found.into();
        }
        let next = self.read.pop_front().filter(|next| self.bounds.0 <= *next && *next <= self.bounds.1);
        if next.is_none() {
            // All others lie behind it.
            self.read.clear();
            self.runs.clear();
        }
        Ok(next)
    }
}

/// All arrivals of a run that are wanted.
pub(super) fn all(connection: &Connection, run: &Run, wanted: &Wanted) -> rusqlite::Result<Vec<i64>> {
    let asked = Asked { wanted: wanted.clone(), facets: Facets::default() };
    let best = Best::new(Way::OldestFirst, i64::MIN, usize::MAX);
    Ok(some(connection, run, &asked, best)?.in_order().0)
}

/// Some arrivals of a run.
fn some(connection: &Connection, run: &Run, asked: &Asked, mut best: Best) -> rusqlite::Result<Best> {
    let facets = &asked.facets;
    match asked.wanted.keys() {
        Keys::One(key) => with_key(connection, run, &key, facets, &mut best)?,
        Keys::Between(least, past) => {
            if let Some(wide) = between(connection, run, (&least, &past), facets, &mut best, MANY_CHUNKS)? {
                let fences = run.fences(connection, &wide, &past)?;
                if let Wanted::ReferenceBeginsWith(begin) = &asked.wanted
                    && is_dense(run, &fences)
                    && let Some(found) = by_rows(connection, run, begin, facets, &best)?
                {
                    return Ok(found);
                }
                best_first(connection, fences, (&least, &past), facets, &mut best)?;
            }
        }
        Keys::Facets if run.last - run.first < READ_THROUGH => {
            let (least, past) = facets.keys();
            between(connection, run, (&least, &past), facets, &mut best, usize::MAX)?;
        }
        Keys::Facets => key_by_key(connection, run, facets, &mut best)?,
    }
    Ok(best)
}

/// The first arrivals on the way, after `from`.
struct Best {
    way: Way,
    from: i64,
    at_most: usize,
    found: Vec<i64>,
}

impl Best {
    fn new(way: Way, from: i64, at_most: usize) -> Best {
        Best { way, from, at_most, found: Vec::new() }
    }

    fn add_if(&mut self, meets: bool, arrival: i64) {
        let is_after = match self.way {
            Way::NewestFirst => arrival < self.from,
            Way::OldestFirst => arrival > self.from,
        };
        if meets && is_after {
            self.found.push(arrival);
            if self.found.len() > self.at_most.saturating_mul(4) {
                self.keep_best();
            }
        }
    }

    /// Whether enough was found that comes before all that a chunk may lead to.
    fn beats(&mut self, fence: &Fence) -> bool {
        self.keep_best();
        let last = self.found.last().filter(|_| self.found.len() == self.at_most);
        match self.way {
            Way::NewestFirst => last.is_some_and(|last| *last > fence.arrivals.1),
            Way::OldestFirst => last.is_some_and(|last| *last < fence.arrivals.0),
        }
    }

    fn keep_best(&mut self) {
        self.found.sort_unstable();
        // A callback has one reference and one key of its own, but whatever was written twice is found once.
        self.found.dedup();
        if self.way == Way::NewestFirst {
            self.found.reverse();
        }
        self.found.truncate(self.at_most);
    }

    /// What was found, and whether that is all there is.
    fn in_order(mut self) -> (Vec<i64>, bool) {
        self.keep_best();
        let whole = self.found.len() < self.at_most;
        (self.found, whole)
    }
}

/// One key's arrivals stand in order, so only the chunks that are needed are read.
fn with_key(connection: &Connection, run: &Run, key: &[u8], facets: &Facets, best: &mut Best) -> rusqlite::Result<()> {
    let begin = match best.way {
        Way::NewestFirst => best.from.saturating_sub(1),
        Way::OldestFirst => best.from.saturating_add(1),
    };
    let before = best.found.len();
    let mut at = run.chunk(connection, Seek::Holding(key, begin))?;
    while let Some((first, mut entries)) = at {
        let mut past = false;
        while entries.advance()? {
            let entry = entries.entry();
            match entry.key.cmp(key) {
                Ordering::Less => (),
                Ordering::Equal => best.add_if(facets.meet(entry.mark), entry.arrival),
                Ordering::Greater => {
                    past = true;
                    break;
                }
            }
        }
        if best.found.len() - before >= best.at_most {
            break;
        }
        at = match best.way {
            Way::NewestFirst if first.0 == key => run.chunk(connection, Seek::Before(&first))?,
            Way::OldestFirst if !past => run.chunk(connection, Seek::After(&first))?,
            _ => None,
        };
    }
    Ok(())
}

/// All entries between two keys, unless they stand in more chunks than so many: then where it stopped.
fn between(
    connection: &Connection,
    run: &Run,
    (least, past): (&[u8], &[u8]),
    facets: &Facets,
    best: &mut Best,
    chunks: usize,
) -> rusqlite::Result<Option<Place>> {
    let (mut at, mut read) = (run.chunk(connection, Seek::Holding(least, i64::MIN))?, 0);
    while let Some((first, mut entries)) = at {
        if read == chunks {
            return Ok(Some(first));
        }
        while entries.advance()? {
            let entry = entries.entry();
            if entry.key >= past {
                return Ok(None);
            }
            best.add_if(entry.key >= least && facets.meet(entry.mark), entry.arrival);
        }
        read += 1;
        at = run.chunk(connection, Seek::After(&first))?;
    }
    Ok(None)
}

/// Those of the entries of some chunks that come first on the way: no chunk is read that can hold none of them.
fn best_first(
    connection: &Connection,
    mut fences: Vec<Fence>,
    (least, past): (&[u8], &[u8]),
    facets: &Facets,
    best: &mut Best,
) -> rusqlite::Result<()> {
    match best.way {
        Way::NewestFirst => fences.sort_unstable_by_key(|fence| Reverse(fence.arrivals.1)),
        Way::OldestFirst => fences.sort_unstable_by_key(|fence| fence.arrivals.0),
    }
    for fence in fences {
        if best.beats(&fence) {
            break;
        }
        let mut entries = entries_at(connection, &fence)?;
        while entries.advance()? {
            let entry = entries.entry();
            best.add_if(least <= entry.key && entry.key < past && facets.meet(entry.mark), entry.arrival);
        }
    }
    Ok(())
}

/// Whether so many arrivals of a run have what is looked for that some are found soonest by asking the rows.
fn is_dense(run: &Run, fences: &[Fence]) -> bool {
    let entries = i64::try_from(fences.len()).unwrap_or(i64::MAX).saturating_mul(ENTRIES);
    entries.saturating_mul(ROWS) > run.span().saturating_mul(BY_ROWS.into())
}

/// Some arrivals of a run whose references begin so, by asking one row after another; `None` where they turn out to be rare
/// there, as are those of the year before in a run that begins in one year and ends in the next.
fn by_rows(
    connection: &Connection,
    run: &Run,
    begin: &str,
    facets: &Facets,
    as_asked: &Best,
) -> rusqlite::Result<Option<Best>> {
    let mut best = Best::new(as_asked.way, as_asked.from, BY_ROWS.into());
    let mut gone_through = 0;
    row::references(connection, (run.first, run.last), best.way, best.from, |arrival, mark, reference| {
        gone_through += 1;
        let key = reference_key(reference);
        best.add_if(key.len() > begin.len() && key.starts_with(begin) && facets.meet(mark.number()), arrival);
        best.found.len() < best.at_most && gone_through < ROWS
    })?;
    Ok((best.found.len() == best.at_most || gone_through < ROWS).then_some(best))
}

/// The keys of those that meet the facets, each by itself, passing over the others.
fn key_by_key(connection: &Connection, run: &Run, facets: &Facets, best: &mut Best) -> rusqlite::Result<()> {
    let (mut least, past) = facets.keys();
    while let Some(key) = first_key(connection, run, &least)?.filter(|key| *key < past) {
        if facets.meet_key(&key) {
            let mut own = Best::new(best.way, best.from, best.at_most);
            with_key(connection, run, &key, facets, &mut own)?;
            best.found.append(&mut own.in_order().0);
        }
        least = facets.after(key);
    }
    Ok(())
}

/// The first key of a run that is not less.
pub(super) fn first_key(connection: &Connection, run: &Run, least: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut at = run.chunk(connection, Seek::Holding(least, i64::MIN))?;
    while let Some((first, mut entries)) = at {
        while entries.advance()? {
            if entries.entry().key >= least {
                return Ok(Some(entries.entry().key.to_vec()));
            }
        }
        at = run.chunk(connection, Seek::After(&first))?;
    }
    Ok(None)
}
