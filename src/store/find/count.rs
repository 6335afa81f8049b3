//! How many results there are, as far as that is cheap to say: up to 10,000, and no more entries or rows looked at than a page can
//! wait for. So a count costs the same however much is held.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::looking::{Looking, wanted};
use super::{Find, Source};
use crate::store::index::{Index, Tally, Wanted, Way};
use crate::store::{Services, row};

/// A count stops here and is shown as "10,000+".
pub(super) const COUNTED: usize = 10_000;
/// Or when so many entries of the index have been looked at.
const ENTRIES: usize = 100_000;
/// Or when the words of a text have been held against each other for so long.
const TOGETHER: Duration = Duration::from_millis(10);
/// Or so many rows that had to be read one by one.
const ROWS: usize = 500;

/// How many there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Counted {
    pub(super) count: i64,
    /// Whether there may be more.
    pub(super) more: bool,
}

impl Counted {
    /// Exactly so many.
    pub(super) fn all(rows: usize) -> Counted {
        Counted { count: i64::try_from(rows).unwrap_or(i64::MAX), more: false }
    }
}

/// Counts what all sources find together.
pub(super) fn count(
    index: &Index<'_>,
    sees: &Services,
    find: &Find,
    arrivals: (i64, i64),
) -> rusqlite::Result<Counted> {
    let mut counting = Counting { found: HashSet::new(), entries: ENTRIES, rows: ROWS, stopped: false };
    for place in 0..find.sources.len() {
        if !counting.stopped && counting.found.len() <= COUNTED {
            counting.on(index, sees, find, place, arrivals)?;
        }
    }
    let more = counting.stopped || counting.found.len() > COUNTED;
    Ok(Counted { more, ..Counted::all(counting.found.len().min(COUNTED)) })
}

struct Counting {
    /// What two sources find is counted once.
    found: HashSet<i64>,
    /// Entries that may be looked at yet.
    entries: usize,
    /// Rows that may be read yet.
    rows: usize,
    stopped: bool,
}

impl Counting {
    fn on(
        &mut self,
        index: &Index<'_>,
        sees: &Services,
        find: &Find,
        place: usize,
        arrivals: (i64, i64),
    ) -> rusqlite::Result<()> {
        let Some(source) = find.sources.get(place) else { return Ok(()) };
        if matches!(source, Source::Contains(_)) {
            // Nobody waits until all has been read.
            self.stopped = true;
            return Ok(());
        }
        let wanted = match source {
            // Entries are smaller than rows.
            Source::Newest => Some(vec![Wanted::All]),
            _ => wanted(source, sees, &find.only),
        };
        let is_exact = source.is_exact(&find.only) && !index.leads_to_gone;
        let Some(wanted) = wanted.filter(|wanted| is_exact && wanted.iter().all(Wanted::is_exact)) else {
            return self.by_rows(index, sees, find, place, arrivals);
        };
        let (found, mut hidden) = (&mut self.found, Hidden { connection: index.connection, known: None });
        let facets = find.only.facets(source, sees);
        let [wanted] = wanted.as_slice() else {
            let together = index.together(wanted, &facets, Way::NewestFirst, i64::MAX).within(arrivals);
            let mut together = together.until(Instant::now() + TOGETHER);
            while found.len() <= COUNTED
                && let Some(arrival) = together.next()?
            {
                if !hidden.holds(arrival)? {
                    found.insert(arrival);
                }
            }
            self.stopped |= together.stopped_at().is_some();
            return Ok(());
        };
        let done = index.tally(wanted, &facets, arrivals, &mut self.entries, |some| {
            some.sort_unstable();
            for arrival in some.iter() {
                if !hidden.holds(*arrival)? {
                    found.insert(*arrival);
                }
            }
            Ok(found.len() <= COUNTED)
        })?;
        self.stopped |= done == Tally::Stopped;
        Ok(())
    }

    /// Where the index alone does not say what is found.
    fn by_rows(
        &mut self,
        index: &Index<'_>,
        sees: &Services,
        find: &Find,
        place: usize,
        arrivals: (i64, i64),
    ) -> rusqlite::Result<()> {
        let Some(mut looking) = Looking::new(index, sees, find, place, Way::NewestFirst, arrivals, i64::MAX) else {
            return Ok(());
        };
        looking.rows_left = self.rows;
        while self.found.len() <= COUNTED
            && let Some(kept) = looking.next()?
        {
            self.found.insert(kept.arrival);
        }
        self.rows = looking.rows_left;
        self.stopped |= looking.stopped;
        Ok(())
    }
}

/// The events in whose place others are shown, asked for in the order of arrivals: as they are few, one answer holds for many.
struct Hidden<'c> {
    connection: &'c Connection,
    /// From where on none is hidden, up to the one that is.
    known: Option<(i64, Option<i64>)>,
}

impl Hidden<'_> {
    fn holds(&mut self, arrival: i64) -> rusqlite::Result<bool> {
        let is_known = |(from, next): (i64, Option<i64>)| from <= arrival && next.is_none_or(|next| arrival <= next);
        if let Some((_, next)) = self.known.filter(|known| is_known(*known)) {
            return Ok(next == Some(arrival));
        }
        let next = row::hidden_from(self.connection, arrival)?;
        self.known = Some((arrival, next));
        Ok(next == Some(arrival))
    }
}
