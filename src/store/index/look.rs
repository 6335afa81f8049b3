//! Looking: which arrivals have a key, one run after another, in the order of their arrival, no further than is asked.

use std::cmp::Ordering;
use std::collections::VecDeque;

use rusqlite::Connection;

use super::runs::{Run, Seek};
use super::{Field, KEPT_OF_LONG, key};
use crate::notify::Kind;
use crate::store::ServiceId;

/// Arrivals that are read at once, at first: enough for a page and for its count, since a run's range is read through for them.
const FEW: usize = 256;
/// And later.
const MANY: usize = 4096;
/// In a run of no more arrivals the entries of all facets are read through; in a larger one those that are not asked for
/// are passed over.
const READ_THROUGH: i64 = 4096;

/// The order of arrivals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store) enum Way {
    NewestFirst,
    OldestFirst,
}

/// What is looked for.
#[derive(Clone, Debug)]
pub(in crate::store) enum Wanted {
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
    /// What these facets meet.
    Facets(Facets),
}

/// What kind of callback, whose, with which status.
#[derive(Clone, Default, Debug)]
pub(in crate::store) struct Facets {
    /// Of these services; of any where `None`.
    pub(in crate::store) services: Option<Vec<ServiceId>>,
    /// Of these kinds; of any where empty.
    pub(in crate::store) kinds: Vec<Kind>,
    /// With a status of these codes; with any where empty.
    pub(in crate::store) statuses: Vec<u8>,
}

/// The code of a status that Notify did not have when this was written. The rows have to be asked which.
pub(in crate::store) const OTHER_STATUS: u8 = 255;

/// The code of what has no status.
pub(in crate::store) const NO_STATUS: u8 = 0;

impl Facets {
    /// A callback's own key: status, service, kind, each in the order of numbers.
    pub(super) fn key_of(status: u8, service: ServiceId, kind: Kind) -> Vec<u8> {
        let mut value = vec![status];
        value.extend(service.0.to_be_bytes());
        value.push(u8::try_from(kind.code()).unwrap_or(0));
        key(Field::Facets, &value)
    }

    fn meets(&self, key: &[u8]) -> bool {
        let Some((&status, &kind)) = key.get(1).zip(key.last()) else { return false };
        let service = key.get(2..10).and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes);
        (self.statuses.is_empty() || self.statuses.contains(&status))
            && (self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted.code() == i64::from(kind)))
            && self.services.as_ref().is_none_or(|wanted| service.is_some_and(|id| wanted.contains(&ServiceId(id))))
    }
}

impl Facets {
    /// Passes over the statuses and services that are not asked for.
    fn after(&self, mut key: Vec<u8>) -> Vec<u8> {
        let status = key.get(1).copied().unwrap_or_default();
        if !self.statuses.is_empty() && !self.statuses.contains(&status) {
            let next = self.statuses.iter().filter(|wanted| **wanted > status).min();
            return next.map_or_else(|| vec![Field::Facets as u8 + 1], |next| super::key(Field::Facets, &[*next]));
        }
        let own = key.get(2..10).and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes);
        if let (Some(wanted), Some(own)) = (&self.services, own)
            && !wanted.contains(&ServiceId(own))
        {
            let next = wanted.iter().map(|service| service.0).filter(|service| *service > own).min();
            key.truncate(2);
            key.extend(next.unwrap_or(i64::MAX).to_be_bytes());
            if next.is_none() {
                key.push(255);
            }
        }
        key.push(0);
        key
    }
}

/// The code of a status in the index.
pub(in crate::store) fn status_code(status: &crate::notify::status::Status) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(OTHER_STATUS)
}

/// The keys that are looked at.
enum Keys {
    One(Vec<u8>),
    /// From the first on and below the second.
    Between(Vec<u8>, Vec<u8>),
}

impl Wanted {
    /// Whether everything that is found is wanted, so that no row has to be asked.
    pub(in crate::store) fn is_exact(&self) -> bool {
        match self {
            Wanted::NotifyId(_) => false,
            Wanted::ReferenceBeginsWith(begin) => begin.len() < KEPT_OF_LONG,
            Wanted::Reference(_) | Wanted::Person(_) | Wanted::Word(_) | Wanted::Facets(_) => true,
        }
    }

    fn keys(&self) -> Keys {
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
            Wanted::Facets(facets) => {
                let least = facets.statuses.iter().min().copied().unwrap_or(0);
                let past = facets.statuses.iter().max().and_then(|greatest| greatest.checked_add(1));
                let past = past.map_or_else(|| vec![Field::Facets as u8 + 1], |next| key(Field::Facets, &[next]));
                Keys::Between(key(Field::Facets, &[least]), past)
            }
        }
    }

    fn meets(&self, key: &[u8]) -> bool {
        match self {
            Wanted::Facets(facets) => facets.meets(key),
            _ => true,
        }
    }

    /// The least key after this one that could be met.
    fn after(&self, key: Vec<u8>) -> Vec<u8> {
        match self {
            Wanted::Facets(facets) => facets.after(key),
            _ => [key, vec![0]].concat(),
        }
    }
}

/// The index as a reader's transaction sees it.
pub(in crate::store) struct Index<'c> {
    pub(in crate::store) connection: &'c Connection,
    /// The newest first.
    runs: Vec<Run>,
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
        Ok(Index { connection, runs })
    }

    /// The arrivals that are wanted, one after another; those after `from`, which itself is left out.
    pub(in crate::store) fn arrivals(&self, wanted: Wanted, way: Way, from: i64) -> Arrivals<'_> {
        let on_the_way = |run: &&Run| match way {
            Way::NewestFirst => run.first < from,
            Way::OldestFirst => run.last > from,
        };
        let mut runs: VecDeque<&Run> = self.runs.iter().filter(on_the_way).collect();
        if way == Way::OldestFirst {
            runs.make_contiguous().reverse();
        }
        Arrivals { connection: self.connection, wanted, way, from, runs, read: VecDeque::new(), at_once: FEW }
    }
}

/// The arrivals that are wanted, one after another.
pub(in crate::store) struct Arrivals<'i> {
    connection: &'i Connection,
    wanted: Wanted,
    way: Way,
    /// Only what comes after this one on the way.
    from: i64,
    runs: VecDeque<&'i Run>,
    read: VecDeque<i64>,
    at_once: usize,
}

impl Arrivals<'_> {
    /// The next one.
    pub(in crate::store) fn next(&mut self) -> rusqlite::Result<Option<i64>> {
        while self.read.is_empty() {
            let Some(run) = self.runs.front() else { return Ok(None) };
            let found = some(self.connection, run, &self.wanted, self.way, self.from, self.at_once)?;
            if found.len() < self.at_once {
                self.runs.pop_front();
            }
            if let Some(last) = found.last() {
                self.from = *last;
                self.at_once = MANY.min(4 * self.at_once);
            }
            self.read = found.into();
        }
        Ok(self.read.pop_front())
    }
}

/// All arrivals of a run that are wanted.
pub(super) fn all(connection: &Connection, run: &Run, wanted: &Wanted) -> rusqlite::Result<Vec<i64>> {
    some(connection, run, wanted, Way::OldestFirst, i64::MIN, usize::MAX)
}

/// At most so many arrivals of a run, in order, beginning after `from`.
fn some(
    connection: &Connection,
    run: &Run,
    wanted: &Wanted,
    way: Way,
    from: i64,
    at_most: usize,
) -> rusqlite::Result<Vec<i64>> {
    let mut best = Best { way, from, at_most, found: Vec::new() };
    match wanted.keys() {
        Keys::One(key) => with_key(connection, run, &key, &mut best)?,
        Keys::Between(least, past) => {
            let few = run.last - run.first < READ_THROUGH;
            if few || !matches!(wanted, Wanted::Facets(_)) {
                between(connection, run, (&least, &past), wanted, &mut best)?;
            } else {
                key_by_key(connection, run, (least, &past), wanted, &mut best)?;
            }
        }
    }
    Ok(best.in_order())
}

/// The first arrivals on the way.
struct Best {
    way: Way,
    from: i64,
    at_most: usize,
    found: Vec<i64>,
}

impl Best {
    fn add(&mut self, arrival: i64) {
        let meets = match self.way {
            Way::NewestFirst => arrival < self.from,
            Way::OldestFirst => arrival > self.from,
        };
        if meets {
            self.found.push(arrival);
            if self.found.len() > self.at_most.saturating_mul(4) {
                self.keep_best();
            }
        }
    }

    fn keep_best(&mut self) {
        self.found.sort_unstable();
        // A reference and a longer one of the same callback cannot both be met, but facets' keys could be.
        self.found.dedup();
        if self.way == Way::NewestFirst {
            self.found.reverse();
        }
        self.found.truncate(self.at_most);
    }

    fn in_order(mut self) -> Vec<i64> {
        self.keep_best();
        self.found
    }
}

/// One key's arrivals stand in order, so only the chunks that are needed are read.
fn with_key(connection: &Connection, run: &Run, key: &[u8], best: &mut Best) -> rusqlite::Result<()> {
    let begin = match best.way {
        Way::NewestFirst => best.from.saturating_sub(1),
        Way::OldestFirst => best.from.saturating_add(1),
    };
    let before = best.found.len();
    let mut at = run.chunk(connection, Seek::Holding(key, begin))?;
    while let Some((first, mut entries)) = at {
        let mut past = false;
        while entries.advance()? {
            match entries.key().cmp(key) {
                Ordering::Less => (),
                Ordering::Equal => best.add(entries.arrival()),
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

/// All entries between two keys.
fn between(
    connection: &Connection,
    run: &Run,
    (least, past): (&[u8], &[u8]),
    wanted: &Wanted,
    best: &mut Best,
) -> rusqlite::Result<()> {
    let mut at = run.chunk(connection, Seek::Holding(least, i64::MIN))?;
    while let Some((first, mut entries)) = at {
        while entries.advance()? {
            if entries.key() >= past {
                return Ok(());
            }
            if entries.key() >= least && wanted.meets(entries.key()) {
                best.add(entries.arrival());
            }
        }
        at = run.chunk(connection, Seek::After(&first))?;
    }
    Ok(())
}

/// The keys between two that are met, each by itself, passing over the others.
fn key_by_key(
    connection: &Connection,
    run: &Run,
    (mut least, past): (Vec<u8>, &[u8]),
    wanted: &Wanted,
    best: &mut Best,
) -> rusqlite::Result<()> {
    while let Some(key) = first_key(connection, run, &least)?.filter(|key| key.as_slice() < past) {
        if wanted.meets(&key) {
            let mut own = Best { way: best.way, from: best.from, at_most: best.at_most, found: Vec::new() };
            with_key(connection, run, &key, &mut own)?;
            best.found.append(&mut own.in_order());
        }
        least = wanted.after(key);
    }
    Ok(())
}

/// The first key of a run that is not less.
fn first_key(connection: &Connection, run: &Run, least: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut at = run.chunk(connection, Seek::Holding(least, i64::MIN))?;
    while let Some((first, mut entries)) = at {
        while entries.advance()? {
            if entries.key() >= least {
                return Ok(Some(entries.key().to_vec()));
            }
        }
        at = run.chunk(connection, Seek::After(&first))?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_that_are_not_asked_for_are_passed_over() {
        let facets = Facets { statuses: vec![3, 1], ..Facets::default() };
        let own = |status| Facets::key_of(status, ServiceId(1), Kind::DeliveryReceipt);
        for (from, to) in [(0, own(1)), (2, own(3)), (4, vec![Field::Facets as u8 + 1])] {
            let next = facets.after(own(from));
            assert!(next > own(from) && next <= to, "{from}");
            let mut last = Facets::key_of(from, ServiceId(i64::MAX), Kind::Complaint);
            *last.last_mut().unwrap() = 255;
            assert!(next > last, "{from}: nothing more of it is read");
        }
        assert_eq!(facets.after(own(1)), [own(1), vec![0]].concat());
        assert_eq!([0, 1, 2, 3, 4].map(|status| facets.meets(&own(status))), [false, true, false, true, false]);
    }
}
