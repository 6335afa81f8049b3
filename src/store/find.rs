//! The results pages: where to look, one place after another, newest first in each, a page at a time by keyset.

use std::fmt;
use std::str::FromStr;

use rusqlite::types::Value;
use rusqlite::{Connection, ToSql};

use super::index::{self, Compare, Field};
use super::row::{self, Kept};
use super::{Services, Store, StoreError};
use crate::notify::Kind;
use crate::notify::status::Status;

/// Rows on one page.
const PAGE: usize = 50;
/// A count stops here and is shown as "10,000+".
const COUNTED: i64 = 10_001;

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
}

/// A question of the results pages.
#[derive(Clone, Debug)]
pub struct Find {
    /// Where to look, best first.
    pub sources: Vec<Source>,
    /// Only delivery receipts with this status.
    pub status: Option<Status>,
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
    /// How many there are in all, up to 10,001.
    pub count: i64,
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
        let sees = sees.bound();
        self.read(move |connection| page(connection, sees.as_ref(), &find)).await
    }
}

fn page(connection: &Connection, sees: Option<&String>, find: &Find) -> rusqlite::Result<Found> {
    let mut rows = Vec::new();
    let backwards = matches!(find.from, Some(Cursor::Before(_)));
    let mut places: Vec<usize> = (0..find.sources.len()).collect();
    if backwards {
        places.reverse();
    }
    for place in places {
        let Some(source) = find.sources.get(place) else { continue };
        let wanted = PAGE + 1 - rows.len();
        if let Some(bound) = bound_within(find.from, place).filter(|_| wanted > 0) {
            let asked = Asked { source, status: find.status.as_ref(), sees };
            let got = asked.rows(connection, bound, backwards, wanted)?;
            rows.extend(got.into_iter().map(|kept| (place, kept)));
        }
    }
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    if backwards {
        rows.reverse();
    }
    let edge = |row: Option<&(usize, Kept)>| row.map(|(source, kept)| Place { source: *source, arrival: kept.arrival });
    let (first, last) = (edge(rows.first()), edge(rows.last()));
    let (further_on, further_back) = if backwards { (true, more) } else { (more, find.from.is_some()) };
    Ok(Found {
        count: count(connection, sees, find)?,
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

struct Asked<'a> {
    source: &'a Source,
    status: Option<&'a Status>,
    sees: Option<&'a String>,
}

impl Asked<'_> {
    fn rows(&self, connection: &Connection, bound: i64, backwards: bool, limit: usize) -> rusqlite::Result<Vec<Kept>> {
        let (compare, order) = if backwards { (">", "ASC") } else { ("<", "DESC") };
        let (from, condition, mut values) = self.condition();
        let arrival = if *self.source == Source::Newest { "c.arrival" } else { "f.arrival" };
        let sql = format!(
            "SELECT {arrival}, {} FROM {from} JOIN services s ON s.id = c.service
             WHERE {condition} AND {arrival} {compare} :bound ORDER BY 1 {order} LIMIT :limit",
            row::COLUMNS
        );
        values.push((":bound", Value::Integer(bound)));
        values.push((":limit", Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX))));
        let mut find = connection.prepare_cached(&sql)?;
        let rows = find.query_map(bound_to(&values).as_slice(), row::kept)?;
        rows.collect()
    }

    fn count(&self, connection: &Connection) -> rusqlite::Result<i64> {
        let (from, condition, mut values) = self.condition();
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {from} WHERE {condition} LIMIT :limit)");
        values.push((":limit", Value::Integer(COUNTED)));
        connection.prepare_cached(&sql)?.query_row(bound_to(&values).as_slice(), |row| row.get(0))
    }

    /// The tables, the rows of this source in them, and the values that both name.
    fn condition(&self) -> (String, String, Vec<(&'static str, Value)>) {
        let key = |key: &String| (":key", Value::Text(key.clone()));
        let (found, mut values) = match self.source {
            Source::Newest => (None, vec![]),
            Source::Person(person) => (Some((Field::Person, Compare::Equal)), vec![key(person)]),
            Source::Reference(reference) => (Some((Field::Reference, Compare::Equal)), vec![key(reference)]),
            Source::ReferenceBeginsWith(reference) => (
                Some((Field::Reference, Compare::Longer)),
                vec![key(reference), (":past", Value::Text(past(reference)))],
            ),
            Source::NotifyId(id) => (Some((Field::NotifyId, Compare::Equal)), vec![(":key", row::id_value(id))]),
        };
        let mut condition = "c.shown".to_owned();
        let from = if let Some((field, compare)) = found {
            format!("{} f JOIN callbacks c ON c.arrival = f.arrival", index::arrivals(field, compare))
        } else {
            condition = format!("c.shown AND c.kind <> {}", Kind::ReceivedText.code());
            "callbacks c".to_owned()
        };
        if let Some(status) = self.status {
            condition += " AND c.status = :status";
            values.push((":status", row::status_value(status)));
        }
        if let Some(sees) = self.sees {
            condition += " AND c.service IN (SELECT value FROM json_each(:sees))";
            values.push((":sees", Value::Text(sees.clone())));
        }
        (from, condition, values)
    }
}

/// The first text that no longer begins with `key`, in the order in which the index compares bytes.
fn past(key: &str) -> String {
    format!("{key}\u{10ffff}")
}

fn bound_to<'a>(values: &'a [(&'static str, Value)]) -> Vec<(&'static str, &'a dyn ToSql)> {
    values.iter().map(|(name, value)| (*name, value as &dyn ToSql)).collect()
}

fn count(connection: &Connection, sees: Option<&String>, find: &Find) -> rusqlite::Result<i64> {
    let mut counted = 0;
    for source in &find.sources {
        if counted < COUNTED {
            counted += Asked { source, status: find.status.as_ref(), sees }.count(connection)?;
        }
    }
    Ok(counted.min(COUNTED))
}
