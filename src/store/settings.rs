//! What people set for everybody: the list of phrases, a notice, the hours in which texts are read, when a flag is said again. Whoever
//! changes it says what they saw; where that holds no longer nothing is changed.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::key::Key;
use super::record::{self, By, Did, Entry};
use super::{Services, Store, StoreError, row};
use crate::clock::{DAY, MINUTE};

/// How far back texts are held against a changed list.
const HELD_AGAIN: i64 = 90 * DAY;
/// Conversations that wait are counted so far.
const COUNTED: i64 = 100;

/// What can be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setting {
    /// The list of phrases; empty for the shipped one.
    Flags,
    /// What everybody who is signed in reads on every page.
    Notice,
    /// The hours in which received texts are read, in words.
    Hours,
    /// After how many minutes what may tell of danger and is unread is said again.
    Reminder,
}

impl Setting {
    /// Its name in the store and the record.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Setting::Flags => "flags",
            Setting::Notice => "notice",
            Setting::Hours => "hours",
            Setting::Reminder => "reminder",
        }
    }
}

/// How something was set last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Set {
    /// To what.
    pub value: String,
    /// When, in microseconds since 1970 UTC. It stands for this very change.
    pub changed_at: i64,
    /// By whom.
    pub changed_by: String,
}

/// What became of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Saved {
    /// It is so now.
    Done,
    /// Somebody changed it meanwhile. Nothing was done.
    Outdated,
}

/// Conversations that may tell of danger and have waited too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// How many; at most a hundred are counted.
    pub conversations: i64,
    /// For more than so many minutes.
    pub minutes: i64,
}

impl Store {
    /// How some settings were set last; `None` for what never was.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn settings<const N: usize>(&self, wanted: [Setting; N]) -> Result<[Option<Set>; N], StoreError> {
        self.read(move |connection| {
            let mut found = [const { None }; N];
            for (found, setting) in found.iter_mut().zip(wanted) {
                *found = set(connection, setting)?;
            }
            Ok(found)
        })
        .await
    }

    /// Sets what is different of these, where the last change to any of them is the one that was `seen`, or none.
    ///
    /// # Errors
    /// When it cannot be written: then nothing is changed.
    pub async fn change_settings(
        &self,
        wanted: Vec<(Setting, String)>,
        seen: Option<i64>,
        by: By,
        now: i64,
    ) -> Result<Saved, StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| change(connection, &key, &wanted, seen, &by, now)).await
    }

    /// What may tell of danger and has been unread for longer than was set; `None` where nothing has, or nothing was set.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn waiting(&self, sees: &Services, now: i64) -> Result<Option<Waiting>, StoreError> {
        let sees = sees.clone();
        self.read(move |connection| {
            let minutes = set(connection, Setting::Reminder)?.and_then(|set| set.value.parse::<i64>().ok());
            let Some(minutes) = minutes else { return Ok(None) };
            let sql = "SELECT count(*) FROM (SELECT DISTINCT cs.conversation
                 FROM conversation_services cs INDEXED BY conversation_services_in_danger
                 JOIN callbacks c ON c.arrival = (SELECT min(f.arrival) FROM flags f WHERE f.conversation = cs.conversation
                     AND f.service = cs.service AND f.flag = 'danger' AND f.arrival > cs.read_to)
                 WHERE cs.danger > cs.read_to AND c.arrived_at < ?1
                   AND (?2 IS NULL OR cs.service IN (SELECT value FROM json_each(?2))) LIMIT ?3)";
            let bound = params![now - minutes * MINUTE, sees.bound(), COUNTED];
            let conversations: i64 = connection.prepare_cached(sql)?.query_row(bound, |row| row.get(0))?;
            Ok((conversations > 0).then_some(Waiting { conversations, minutes }))
        })
        .await
    }
}

/// How something was set last.
pub(super) fn set(connection: &Connection, setting: Setting) -> rusqlite::Result<Option<Set>> {
    let sql = "SELECT value, changed_at, changed_by FROM settings WHERE name = ?1";
    let set = |row: &Row<'_>| Ok(Set { value: row.get(0)?, changed_at: row.get(1)?, changed_by: row.get(2)? });
    connection.prepare_cached(sql)?.query_row([setting.value()], set).optional()
}

fn change(
    connection: &Connection,
    key: &Key,
    wanted: &[(Setting, String)],
    seen: Option<i64>,
    by: &By,
    now: i64,
) -> rusqlite::Result<Saved> {
    let mut last = None;
    let mut different = Vec::new();
    for (setting, value) in wanted {
        let before = set(connection, *setting)?;
        last = last.max(before.as_ref().map(|set| set.changed_at));
        if before.map(|set| set.value).unwrap_or_default() != *value {
            different.push((*setting, value));
        }
    }
    if last != seen {
        return Ok(Saved::Outdated);
    }
    // No two changes have the same moment, whatever the clock says.
    let at = last.map_or(now, |last| now.max(last + 1));
    for (setting, value) in &different {
        let sql = "INSERT INTO settings (name, value, changed_at, changed_by) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name) DO UPDATE SET value = ?2, changed_at = ?3, changed_by = ?4";
        connection.prepare_cached(sql)?.execute(params![setting.value(), value, at, by.name])?;
        let did = match setting {
            Setting::Flags => {
                hold_again(connection, now)?;
                Did::ChangedFlags
            }
            _ => Did::ChangedSettings,
        };
        record::append(connection, key, &Entry::new(by.clone(), did, now).with(setting.value()))?;
    }
    Ok(Saved::Done)
}

/// Texts of the last weeks are to be held against the list once more.
fn hold_again(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    let next: i64 = connection.prepare_cached("SELECT next FROM following")?.query_row([], |row| row.get(0))?;
    // Arrivals are in the order of time, or nearly so: the first that came since is found by halves.
    let (mut first, mut end) = (1, next);
    while first < end {
        let middle = first + (end - first) / 2;
        match row::came_from(connection, middle)? {
            Some((arrival, came)) if arrival < end && came < now - HELD_AGAIN => first = arrival + 1,
            _ => end = middle,
        }
    }
    // What is left to hold from a change before is held along.
    let sql = "UPDATE following SET next_text = min(next_text, ?1)";
    connection.prepare_cached(sql)?.execute([first]).map(drop)
}
