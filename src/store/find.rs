//! The results pages: where to look, one place after another, newest first in each, a page at a time by keyset.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::index::{Arrivals, Facets, Index, Wanted, Way, short_id};
use super::row::{self, Kept};
use super::{Services, Store, StoreError};
use crate::notify::filter::Filter;
use crate::notify::recipient::reference_key;
use crate::notify::{Callback, Content, Kind, words};

/// Rows on one page.
const PAGE: usize = 50;
/// A count stops here and is shown as "200+".
const COUNTED: i64 = 200;
/// Or when so many rows had to be read for it.
const ROWS_COUNTED: usize = 1000;
/// Reading through everything stops when it has taken so long, and says how far it came.
const READING_THROUGH: Duration = Duration::from_millis(20);
/// Arrivals that are read at once where every one is a candidate.
const AT_ONCE: usize = 256;

/// Where to look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// Everything but received text messages.
    Newest,
    /// Everything sent to or received from a person, by match key.
    Person(String),
    /// What has this reference key.
    Reference(String),
    /// What has a longer reference key that begins so.
    ReferenceBeginsWith(String),
    /// What has this id of Notify's.
    NotifyId(String),
    /// Received texts that hold all of these words, as [`words::of`] gives them.
    Words(Vec<String>),
    /// Whatever has this in its reference, person or text, in any case. Everything is read through, a while at a time.
    Contains(String),
}

impl Source {
    /// Whether a callback is found there, by its own fields.
    fn finds(&self, callback: &Callback) -> bool {
        let text = || match &callback.content {
            Content::ReceivedText(text) => text.message.as_deref().unwrap_or_default(),
            _ => "",
        };
        let reference = || callback.reference().map(reference_key);
        match self {
            Source::Newest => callback.kind() != Kind::ReceivedText,
            Source::Person(person) => callback.match_key().is_some_and(|key| key.as_str() == person),
            Source::Reference(wanted) => reference().is_some_and(|key| key == *wanted),
            Source::ReferenceBeginsWith(begin) => {
                reference().is_some_and(|key| key.len() > begin.len() && key.starts_with(begin))
            }
            Source::NotifyId(id) => callback.notify_id() == id,
            Source::Words(wanted) => wanted.iter().all(|word| words::of(text()).any(|held| held == *word)),
            Source::Contains(part) => [callback.reference(), callback.person(), Some(text())]
                .into_iter()
                .flatten()
                .any(|whole| whole.to_lowercase().contains(&part.to_lowercase())),
        }
    }
}

/// A question of the results pages.
#[derive(Clone, Debug)]
pub struct Find {
    /// Where to look, best first.
    pub sources: Vec<Source>,
    /// Only what meets this.
    pub status: Option<Filter>,
    /// Where the page begins; `None` for the first.
    pub from: Option<Cursor>,
}

/// A row's place among all results: which source it came from and its arrival.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    source: usize,
    arrival: i64,
}

/// Where a page begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cursor {
    /// With the row after this one.
    After(Place),
    /// So that it ends with the row before this one.
    Before(Place),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.source, self.arrival)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Place, ()> {
        let (source, arrival) = text.split_once('-').ok_or(())?;
        Ok(Place { source: source.parse().map_err(drop)?, arrival: arrival.parse().map_err(drop)? })
    }
}

/// One page of results.
#[derive(Debug)]
pub struct Found {
    /// The rows in the order to show.
    pub rows: Vec<Kept>,
    /// How many there are in all, as far as they were counted.
    pub count: i64,
    /// Whether there are more than were counted.
    pub more: bool,
    /// Where reading through stopped for this time, and when that arrived: there may be more before it.
    pub reached: Option<(Place, i64)>,
    /// Where the next page begins, if there is one.
    pub next: Option<Place>,
    /// Where the page before ends, if there is one.
    pub previous: Option<Place>,
}

impl Store {
    /// One page of what was asked for.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn find(&self, sees: &Services, find: Find) -> Result<Found, StoreError> {
        let sees = sees.clone();
        self.look(move |index| page(index, &sees, &find)).await
    }
}

fn page(index: &Index<'_>, sees: &Services, find: &Find) -> rusqlite::Result<Found> {
    let way = if matches!(find.from, Some(Cursor::Before(_))) { Way::OldestFirst } else { Way::NewestFirst };
    let mut places: Vec<usize> = (0..find.sources.len()).collect();
    if way == Way::OldestFirst {
        places.reverse();
    }
    let (mut rows, mut reached) = (Vec::new(), None);
    // The first page counts on from where it ends.
    let mut counting = find.from.is_none().then(Counting::default);
    for place in places {
        let wanted = rows.len() <= PAGE && reached.is_none();
        if !wanted && counting.is_none() {
            break;
        }
        let Some(bound) = bound_within(find.from, place) else { continue };
        let Some(mut looking) = Looking::new(index, sees, find, place, way, bound) else { continue };
        while wanted
            && rows.len() <= PAGE
            && let Some(kept) = looking.next()?
        {
            rows.push((place, kept));
            if let Some(counting) = &mut counting {
                counting.counted += 1;
            }
        }
        if wanted {
            reached = looking.stopped_at()?.map(|(arrival, at)| (Place { source: place, arrival }, at));
        }
        if let Some(counting) = &mut counting {
            counting.on(&mut looking)?;
        }
    }
    let counting = counting.map_or_else(|| count(index, sees, find), Ok)?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    if way == Way::OldestFirst {
        rows.reverse();
    }
    let edge = |row: Option<&(usize, Kept)>| row.map(|(source, kept)| Place { source: *source, arrival: kept.arrival });
    let (first, last) = (edge(rows.first()), edge(rows.last()));
    let (further_on, further_back) = if way == Way::OldestFirst { (true, more) } else { (more, find.from.is_some()) };
    Ok(Found {
        count: counting.counted.min(COUNTED),
        more: counting.stopped || counting.counted > COUNTED,
        reached,
        next: last.filter(|_| further_on),
        previous: first.filter(|_| further_back),
        rows: rows.into_iter().map(|(_, kept)| kept).collect(),
    })
}

/// The arrival to begin from in a source; `None` where the page begins in a later one.
fn bound_within(from: Option<Cursor>, source: usize) -> Option<i64> {
    match from {
        None => Some(i64::MAX),
        Some(Cursor::After(place)) if source < place.source => None,
        Some(Cursor::After(place)) => Some(if source == place.source { place.arrival } else { i64::MAX }),
        Some(Cursor::Before(place)) if source > place.source => None,
        Some(Cursor::Before(place)) => Some(if source == place.source { place.arrival } else { 0 }),
    }
}

/// How many rows there are: of every page but the first, which counts as it goes.
fn count(index: &Index<'_>, sees: &Services, find: &Find) -> rusqlite::Result<Counting> {
    let mut counting = Counting::default();
    for place in 0..find.sources.len() {
        if let Some(mut looking) = Looking::new(index, sees, find, place, Way::NewestFirst, i64::MAX) {
            counting.on(&mut looking)?;
        }
    }
    Ok(counting)
}

/// A count that stops early.
struct Counting {
    counted: i64,
    /// Rows that it may read yet.
    rows_left: usize,
    /// Whether it stopped for them.
    stopped: bool,
}

impl Default for Counting {
    fn default() -> Counting {
        Counting { counted: 0, rows_left: ROWS_COUNTED, stopped: false }
    }
}

impl Counting {
    /// Counts what is left of a source.
    fn on(&mut self, looking: &mut Looking<'_>) -> rusqlite::Result<()> {
        if matches!(looking.source, Source::Contains(_)) {
            return Ok(());
        }
        looking.rows_left = self.rows_left;
        while self.counted <= COUNTED && !self.stopped && looking.skip()? {
            self.counted += 1;
        }
        self.rows_left = looking.rows_left;
        self.stopped |= looking.stopped;
        Ok(())
    }
}

/// Going through one source.
struct Looking<'a> {
    connection: &'a Connection,
    sees: &'a Services,
    source: &'a Source,
    /// The sources before it: what they find is shown there.
    before: &'a [Source],
    status: Option<Filter>,
    candidates: Candidates<'a>,
    /// Whether every candidate is what was looked for, as far as it may be shown.
    is_exact: bool,
    /// When it stops, wherever it is.
    ends_at: Option<Instant>,
    /// After how many more rows it stops.
    rows_left: usize,
    /// The last arrival that was read through.
    at: i64,
    stopped: bool,
}

/// What may be found: the rows decide.
enum Candidates<'a> {
    Indexed(Arrivals<'a>),
    /// Every row is one.
    All {
        way: Way,
        from: i64,
        read: Vec<i64>,
        whole: bool,
    },
}

impl<'a> Looking<'a> {
    fn new(
        index: &'a Index<'_>,
        sees: &'a Services,
        find: &'a Find,
        place: usize,
        way: Way,
        from: i64,
    ) -> Option<Looking<'a>> {
        let (before, [source, ..]) = find.sources.split_at_checked(place)? else { return None };
        let status = find.status;
        let wanted = wanted(source, sees, status);
        let is_exact = match source {
            Source::Words(words) => words.len() == 1,
            Source::Contains(_) => false,
            _ => wanted.as_ref().is_none_or(Wanted::is_exact),
        } && !index.leads_to_gone;
        let candidates = match wanted {
            Some(wanted) => Candidates::Indexed(index.arrivals(wanted, facets(source, sees, status), way, from)),
            None => Candidates::All { way, from, read: Vec::new(), whole: false },
        };
        let ends_at = matches!(source, Source::Contains(_)).then(|| Instant::now() + READING_THROUGH);
        let connection = index.connection;
        Some(Looking {
            connection,
            sees,
            source,
            before,
            status,
            candidates,
            is_exact,
            ends_at,
            rows_left: usize::MAX,
            at: from,
            stopped: false,
        })
    }

    /// The next row that is found.
    fn next(&mut self) -> rusqlite::Result<Option<Kept>> {
        while let Some(arrival) = self.next_candidate()?
            && self.may_read()
        {
            let found = |kept: &Kept| self.may_show(&kept.head()) && self.holds(kept);
            if let Some(kept) = row::at(self.connection, arrival)?.filter(found) {
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }

    /// Goes past the next row that is found; whether there was one.
    fn skip(&mut self) -> rusqlite::Result<bool> {
        if !self.before.is_empty() || !self.is_exact {
            return Ok(self.next()?.is_some());
        }
        while let Some(arrival) = self.next_candidate()? {
            let shown = if matches!(self.candidates, Candidates::Indexed(_)) {
                !row::is_hidden(self.connection, arrival)?
            } else {
                self.may_read() && row::head(self.connection, arrival)?.is_some_and(|head| self.may_show(&head))
            };
            if shown || self.stopped {
                return Ok(shown);
            }
        }
        Ok(false)
    }

    fn may_read(&mut self) -> bool {
        self.stopped |= self.rows_left == 0;
        self.rows_left = self.rows_left.saturating_sub(1);
        !self.stopped
    }

    fn next_candidate(&mut self) -> rusqlite::Result<Option<i64>> {
        if self.ends_at.is_some_and(|ends| Instant::now() > ends) {
            self.stopped = true;
            return Ok(None);
        }
        let next = match &mut self.candidates {
            Candidates::Indexed(arrivals) => arrivals.next()?,
            Candidates::All { way, from, read, whole } => {
                if read.is_empty() && !*whole {
                    *read = arrivals_after(self.connection, *way, *from)?;
                    *whole = read.len() < AT_ONCE;
                    *from = read.first().copied().unwrap_or(*from);
                }
                read.pop()
            }
        };
        self.at = next.unwrap_or(self.at);
        Ok(next)
    }

    fn may_show(&self, head: &row::Head) -> bool {
        head.shown
            && self.sees.allow(head.service)
            && self.status.is_none_or(|filter| head.filter == Some(filter))
            && !(*self.source == Source::Newest && head.kind == Kind::ReceivedText)
    }

    /// Whether a candidate is what was looked for, where the index alone does not say.
    fn holds(&self, kept: &Kept) -> bool {
        self.source.finds(&kept.callback) && !self.before.iter().any(|source| source.finds(&kept.callback))
    }

    /// Where it stopped before its end, and when that arrived.
    fn stopped_at(&self) -> rusqlite::Result<Option<(i64, i64)>> {
        if !self.stopped {
            return Ok(None);
        }
        Ok(row::at(self.connection, self.at)?.map(|kept| (kept.arrival, kept.arrived_at)))
    }
}

/// What the index is asked; `None` where every row is a candidate.
fn wanted(source: &Source, sees: &Services, status: Option<Filter>) -> Option<Wanted> {
    match source {
        Source::Newest if *sees == Services::All && status.is_none() => None,
        Source::Newest => Some(Wanted::All),
        Source::Person(person) => Some(Wanted::Person(person.clone())),
        Source::Reference(reference) => Some(Wanted::Reference(reference.clone())),
        Source::ReferenceBeginsWith(begin) => Some(Wanted::ReferenceBeginsWith(begin.clone())),
        Source::NotifyId(id) => Some(Wanted::NotifyId(short_id(id))),
        // The longest word is likely to be the rarest. Of no word there is no text.
        Source::Words(words) => {
            Some(Wanted::Word(words.iter().max_by_key(|word| word.len()).cloned().unwrap_or_default()))
        }
        Source::Contains(_) => None,
    }
}

/// What each of them has to be.
fn facets(source: &Source, sees: &Services, status: Option<Filter>) -> Facets {
    let facets = Facets::of(sees);
    match (source, status) {
        (_, Some(status)) => facets.meeting(status),
        (Source::Newest, None) => {
            facets.of_kinds(Kind::ALL.into_iter().filter(|kind| *kind != Kind::ReceivedText).collect())
        }
        (_, None) => facets,
    }
}

/// Some arrivals on the way, the last of them first.
fn arrivals_after(connection: &Connection, way: Way, from: i64) -> rusqlite::Result<Vec<i64>> {
    let sql = match way {
        Way::NewestFirst => "SELECT arrival FROM callbacks WHERE arrival < ?1 ORDER BY arrival DESC LIMIT ?2",
        Way::OldestFirst => "SELECT arrival FROM callbacks WHERE arrival > ?1 ORDER BY arrival LIMIT ?2",
    };
    let mut find = connection.prepare_cached(sql)?;
    let found = find.query_map(rusqlite::params![from, AT_ONCE], |row| row.get(0))?;
    let mut found: Vec<i64> = found.collect::<rusqlite::Result<_>>()?;
    found.reverse();
    Ok(found)
}
