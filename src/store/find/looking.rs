//! Going through one source: its candidates, and which of them are found.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::{Find, Only, Source};
use crate::store::Services;
use crate::store::index::{Index, Together, Wanted, Way, short_id};
use crate::store::row::{self, Kept};

/// Reading through rows stops when it has taken so long, and says how far it came.
const READING_THROUGH: Duration = Duration::from_millis(20);
/// So many rows are read through however long it takes.
const AT_LEAST: usize = 256;
/// Asking the index stops between two runs when it has taken so long.
const ASKING: Duration = Duration::from_millis(500);
/// Arrivals that are read at once where every one is a candidate.
const AT_ONCE: usize = 256;

/// Going through one source.
pub(super) struct Looking<'a> {
    connection: &'a Connection,
    sees: &'a Services,
    only: &'a Only,
    source: &'a Source,
    /// The sources before it: what they find is shown there.
    before: &'a [Source],
    candidates: Candidates<'a>,
    /// When it stops, wherever it is, once it has read enough; `None` where the index says what is found.
    ends_at: Option<Instant>,
    /// Candidates that were looked at.
    looked_at: usize,
    /// After how many more rows it stops.
    pub(super) rows_left: usize,
    /// The last arrival that was read through.
    at: i64,
    pub(super) stopped: bool,
}

/// What may be found: the rows decide.
enum Candidates<'a> {
    Indexed(Together<'a>),
    /// Every row is one, or every row of a template.
    All(Rows),
}

/// Rows one after another, some at a time.
struct Rows {
    way: Way,
    /// The first and the last arrival that are asked for.
    arrivals: (i64, i64),
    /// Only of this template, by its number here.
    template: Option<i64>,
    /// The last arrival of those that were read.
    from: i64,
    /// Those that were read, the next one last.
    read: Vec<i64>,
    whole: bool,
}

impl<'a> Looking<'a> {
    /// At the source of a place, from an arrival on.
    pub(super) fn new(
        index: &'a Index<'_>,
        sees: &'a Services,
        find: &'a Find,
        place: usize,
        way: Way,
        arrivals: (i64, i64),
        from: i64,
    ) -> Option<Looking<'a>> {
        let (before, [source, ..]) = find.sources.split_at_checked(place)? else { return None };
        let (connection, only) = (index.connection, &find.only);
        let is_exact = source.is_exact(only);
        let candidates = match wanted(source, sees, only) {
            Some(wanted) => {
                let found = index.together(wanted, &only.facets(source, sees), way, from).within(arrivals);
                Candidates::Indexed(found.until(Instant::now() + ASKING))
            }
            None => Candidates::All(Rows { way, arrivals, template: None, from, read: Vec::new(), whole: false }),
        };
        let ends_at = (!is_exact).then(|| Instant::now() + READING_THROUGH);
        let (looked_at, rows_left) = (0, usize::MAX);
        let mut looking = Looking {
            connection,
            sees,
            only,
            source,
            before,
            candidates,
            ends_at,
            looked_at,
            rows_left,
            at: from,
            stopped: false,
        };
        looking.look_for_template();
        Some(looking)
    }

    /// Rows of another template need not be read where every row is a candidate.
    fn look_for_template(&mut self) {
        if let (Candidates::All(rows), Some(template)) = (&mut self.candidates, &self.only.template) {
            rows.template = row::template_number(self.connection, template).ok().flatten();
        }
    }

    /// The next row that is found.
    pub(super) fn next(&mut self) -> rusqlite::Result<Option<Kept>> {
        while let Some(arrival) = self.next_candidate()?
            && self.may_read()
        {
            let found = |kept: &Kept| kept.shown && self.sees.allow(kept.service) && self.holds(kept);
            if let Some(kept) = row::at(self.connection, arrival)?.filter(found) {
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }

    fn may_read(&mut self) -> bool {
        self.stopped |= self.rows_left == 0;
        self.rows_left = self.rows_left.saturating_sub(1);
        !self.stopped
    }

    fn next_candidate(&mut self) -> rusqlite::Result<Option<i64>> {
        let ends_at = self.ends_at;
        let is_late =
            |looked_at: usize| looked_at >= AT_LEAST && ends_at.is_some_and(|ends_at| Instant::now() > ends_at);
        if self.stopped || is_late(self.looked_at) {
            self.stopped = true;
            return Ok(None);
        }
        let next = match &mut self.candidates {
            Candidates::Indexed(arrivals) => {
                let next = arrivals.next()?;
                self.looked_at += 1;
                if let Some(stopped_at) = arrivals.stopped_at() {
                    (self.stopped, self.at) = (true, stopped_at);
                }
                next
            }
            Candidates::All(rows) => {
                while rows.read.is_empty() && !rows.whole && !is_late(self.looked_at) {
                    self.looked_at += rows.read_on(self.connection)?;
                }
                let next = rows.read.pop();
                self.at = next.unwrap_or(rows.from);
                self.stopped = next.is_none() && !rows.whole;
                next
            }
        };
        self.at = next.unwrap_or(self.at);
        Ok(next)
    }

    /// Whether a candidate is what was looked for, where the index alone does not say.
    fn holds(&self, kept: &Kept) -> bool {
        self.only.is_met_by(self.source, kept)
            && self.source.finds(&kept.callback)
            && !self.before.iter().any(|source| source.finds(&kept.callback))
    }

    /// Where it stopped before its end, and when that arrived.
    pub(super) fn stopped_at(&self) -> rusqlite::Result<Option<(i64, i64)>> {
        if !self.stopped {
            return Ok(None);
        }
        Ok(row::came_from(self.connection, self.at)?.map(|(_, came)| (self.at, came)))
    }
}

impl Rows {
    /// Reads some more; gives how many there were, be they of the template or not.
    fn read_on(&mut self, connection: &Connection) -> rusqlite::Result<usize> {
        let sql = match self.way {
            Way::NewestFirst => {
                "SELECT arrival, template FROM callbacks WHERE arrival < ?1 AND arrival BETWEEN ?2 AND ?3
                 ORDER BY arrival DESC LIMIT ?4"
            }
            Way::OldestFirst => {
                "SELECT arrival, template FROM callbacks WHERE arrival > ?1 AND arrival BETWEEN ?2 AND ?3
                 ORDER BY arrival LIMIT ?4"
            }
        };
        let mut find = connection.prepare_cached(sql)?;
        let mut rows = find.query(params![self.from, self.arrivals.0, self.arrivals.1, AT_ONCE])?;
        let mut looked_at = 0;
        while let Some(row) = rows.next()? {
            looked_at += 1;
            self.from = row.get(0)?;
            let template: Option<i64> = if self.template.is_some() { row.get(1)? } else { None };
            if template == self.template {
                self.read.push(self.from);
            }
        }
        self.read.reverse();
        self.whole = looked_at < AT_ONCE;
        Ok(looked_at)
    }
}

/// What the index is asked; `None` where every row is a candidate.
pub(super) fn wanted(source: &Source, sees: &Services, only: &Only) -> Option<Vec<Wanted>> {
    let one = match source {
        Source::Newest if only.is_of_most(sees) => return None,
        Source::Newest => Wanted::All,
        Source::Person(person) => Wanted::Person(person.clone()),
        Source::Reference(reference) => Wanted::Reference(reference.clone()),
        Source::ReferenceBeginsWith(begin) => Wanted::ReferenceBeginsWith(begin.clone()),
        Source::NotifyId(id) => Wanted::NotifyId(short_id(id)),
        // Of no word there is no text.
        Source::Words(words) if words.is_empty() => Wanted::Word(String::new()),
        Source::Words(words) => {
            // The longest word is likely to be the rarest: the others are asked what it leads to.
            let mut words = words.clone();
            words.sort_by_key(|word| Reverse(word.len()));
            words.dedup();
            return Some(words.into_iter().map(Wanted::Word).collect());
        }
        Source::Contains(_) => return None,
    };
    Some(vec![one])
}
