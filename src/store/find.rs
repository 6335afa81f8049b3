//! The results pages: where to look, one place after another, newest first in each, a page at a time by keyset.

mod count;
mod looking;
mod oldest;
mod only;
mod onward;

use std::fmt;
use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension};

pub use only::Only;
pub use onward::Onward;

use self::count::{Counted, count};
use self::looking::Looking;
use super::index::{Index, Way};
use super::row::{self, Kept};
use super::{Services, Store, StoreError};
use crate::notify::recipient::reference_key;
use crate::notify::{Callback, Content, Kind, words};

/// Rows on one page.
const PAGE: usize = 50;

/// Where to look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// Everything but received text messages, or those alone where they are asked for.
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
    /// Whether the index alone says what is found, so that few rows are read in vain.
    fn is_exact(&self, only: &Only) -> bool {
        only.template.is_none() && !matches!(self, Source::Contains(_))
    }

    /// Whether a callback is found there, by its own fields.
    fn finds(&self, callback: &Callback) -> bool {
        let text = || match &callback.content {
            Content::ReceivedText(text) => text.message.as_deref().unwrap_or_default(),
            _ => "",
        };
        let reference = || callback.reference().map(reference_key);
        match self {
            Source::Newest => true,
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
    pub only: Only,
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
#[derive(Default, Debug)]
pub struct Found {
    /// The rows in the order to show.
    pub rows: Vec<Kept>,
    /// For each row that is a received text the name of its conversation.
    pub conversations: Vec<Option<String>>,
    /// How many there are in all, as far as they were counted.
    pub count: i64,
    /// Whether there may be more than were counted.
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
    let connection = index.connection;
    let sees = &find.only.seen(sees);
    let arrivals = find.only.arrivals(connection)?;
    let way = if matches!(find.from, Some(Cursor::Before(_))) { Way::OldestFirst } else { Way::NewestFirst };
    let mut places: Vec<usize> = (0..find.sources.len()).collect();
    if way == Way::OldestFirst {
        places.reverse();
    }
    if let Some(template) = &find.only.template
        && row::template_number(connection, template)?.is_none()
    {
        places.clear();
    }
    let (mut rows, mut reached) = (Vec::new(), None);
    for place in places {
        if rows.len() > PAGE || reached.is_some() {
            break;
        }
        let Some(bound) = bound_within(find.from, place) else { continue };
        let Some(mut looking) = Looking::new(index, sees, find, place, way, arrivals, bound) else { continue };
        while rows.len() <= PAGE
            && let Some(kept) = looking.next()?
        {
            rows.push((place, kept));
        }
        reached = looking.stopped_at()?.map(|(arrival, at)| (Place { source: place, arrival }, at));
    }
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let is_whole = find.from.is_none() && !more && reached.is_none();
    let Counted { count, more: uncounted } =
        if is_whole { Counted::all(rows.len()) } else { count(index, sees, find, arrivals)? };
    if way == Way::OldestFirst {
        rows.reverse();
    }
    let edge = |row: Option<&(usize, Kept)>| row.map(|(source, kept)| Place { source: *source, arrival: kept.arrival });
    let (first, last) = (edge(rows.first()), edge(rows.last()));
    let (further_on, further_back) = if way == Way::OldestFirst { (true, more) } else { (more, find.from.is_some()) };
    let mut found = Found {
        count,
        more: uncounted,
        reached: None,
        next: last.filter(|_| further_on),
        previous: first.filter(|_| further_back),
        conversations: conversations(connection, &rows)?,
        rows: rows.into_iter().map(|(_, kept)| kept).collect(),
    };
    match reached {
        // What comes before is looked for from there.
        Some((place, _)) if way == Way::OldestFirst => found.previous = found.previous.or(Some(place)),
        reached => found.reached = reached.filter(|_| !more),
    }
    Ok(found)
}

/// The conversation of each row that is a received text.
fn conversations(connection: &Connection, rows: &[(usize, Kept)]) -> rusqlite::Result<Vec<Option<String>>> {
    let mut find = connection.prepare_cached("SELECT opaque FROM conversations WHERE person_key = ?1")?;
    let mut name = |kept: &Kept| match kept.callback.match_key() {
        Some(person) if kept.callback.kind() == Kind::ReceivedText => {
            find.query_row([person.as_str()], |row| row.get(0)).optional()
        }
        _ => Ok(None),
    };
    rows.iter().map(|(_, kept)| name(kept)).collect()
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
