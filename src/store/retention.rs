//! How long receipts and messages are kept, and whether it is time to remove what is older.
//!
//! A clock that jumps must not empty the store. So the store holds how far removal may go already; where the limit is more than a
//! day past that at one look, either the clock or the setting was changed, or the server stood still: nothing goes until a person
//! says so. And the first removal ever is told a week ahead.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Limits, Store, StoreError};
use crate::clock::{DAY, MINUTE};

/// The limit may move so far between two looks.
const MOVES: i64 = DAY + 6 * 60 * MINUTE;
/// The first removal is told so long ahead.
const AHEAD: i64 = 7 * DAY;

/// What is kept for the same time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// Delivery receipts, returned letters and complaints.
    Receipts,
    /// Received texts.
    Messages,
}

impl Sort {
    /// Both.
    pub const ALL: [Sort; 2] = [Sort::Receipts, Sort::Messages];

    fn code(self) -> i64 {
        match self {
            Sort::Receipts => 1,
            Sort::Messages => 2,
        }
    }
}

/// The record, among what the store holds marks of.
pub(super) const RECORD: i64 = 3;

/// For how long something is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// For so many days.
    Days(u32),
    /// For ever.
    Forever,
}

impl Keep {
    /// What came before this is older; `None` where nothing ever is.
    #[must_use]
    pub fn limit(self, now: i64) -> Option<i64> {
        match self {
            Keep::Days(days) => Some(now - i64::from(days) * DAY),
            Keep::Forever => None,
        }
    }
}

/// For how long each sort is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Delivery receipts, returned letters and complaints.
    pub receipts: Keep,
    /// Received texts.
    pub messages: Keep,
}

impl Retention {
    /// For how long this sort is kept.
    #[must_use]
    pub fn of(self, sort: Sort) -> Keep {
        match sort {
            Sort::Receipts => self.receipts,
            Sort::Messages => self.messages,
        }
    }
}

/// Where removal of one sort stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// Nothing was ever old enough, or everything is kept.
    Nothing,
    /// The first removal comes at this moment.
    From(i64),
    /// What came before this moment goes.
    Before(i64),
    /// More than a day's worth would go at once: what came before `limit`, where removal had gone up to `gone_to`.
    Held {
        /// What is older by the setting and the clock.
        limit: i64,
        /// As far as removal may go already.
        gone_to: i64,
    },
}

/// Where removal stands, by the latest look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Removals {
    /// The setting.
    pub retention: Retention,
    /// Of receipts.
    pub receipts: Due,
    /// Of messages.
    pub messages: Due,
}

impl Removals {
    /// Of one sort.
    #[must_use]
    pub fn of(&self, sort: Sort) -> Due {
        match sort {
            Sort::Receipts => self.receipts,
            Sort::Messages => self.messages,
        }
    }

    /// What is to go now.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let limit = |due| if let Due::Before(limit) = due { limit } else { i64::MIN };
        Limits { receipts: limit(self.receipts), messages: limit(self.messages) }
    }
}

/// What the store holds of one sort.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark {
    gone_to: i64,
    first_at: i64,
}

/// Whether something is due, and what is to be held from then on. `oldest` is when the earliest of the sort came that is there.
fn decide(keep: Keep, now: i64, mark: Option<Mark>, oldest: Option<i64>) -> (Due, Option<Mark>) {
    let Some(limit) = keep.limit(now) else { return (Due::Nothing, mark) };
    let is_old = oldest.is_some_and(|oldest| oldest < limit);
    let announced = Mark { gone_to: limit, first_at: now + AHEAD };
    match mark {
        None if is_old => (Due::From(announced.first_at), Some(announced)),
        None => (Due::Nothing, None),
        // Announced by a clock that was ahead.
        Some(mark) if (mark.first_at > now + AHEAD || mark.gone_to > now) && is_old => {
            (Due::From(announced.first_at), Some(announced))
        }
        // Kept for longer since it was announced.
        Some(mark) if mark.first_at > now && !is_old => (Due::Nothing, None),
        Some(mark) if limit > mark.gone_to + MOVES => {
            // Where nothing would go nothing has to be asked.
            let due = Due::Held { limit, gone_to: mark.gone_to };
            let nothing_is_older = Mark { gone_to: if oldest.is_some() { limit } else { mark.gone_to }, ..mark };
            if is_old { (due, Some(mark)) } else { (Due::Nothing, Some(nothing_is_older)) }
        }
        Some(mark) => {
            let held = Mark { gone_to: mark.gone_to.max(limit), ..mark };
            let due = if mark.first_at > now { Due::From(mark.first_at) } else { Due::Before(limit) };
            (due, Some(held))
        }
    }
}

impl Store {
    /// Says what is kept for how long, before the first look.
    pub fn is_to_keep(&self, retention: Retention) {
        let removals = Removals { retention, receipts: Due::Nothing, messages: Due::Nothing };
        *self.inner.removals.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(removals);
    }

    /// Looks what is due, and holds it. Of what [`Store::remove_rows`] has not noted yet nothing is known. Where something is to go, call [`Store::remove`] with the limits.
    ///
    /// # Errors
    /// When it cannot be written: then nothing is due.
    pub async fn due(&self, retention: Retention, now: i64) -> Result<Removals, StoreError> {
        let removals = self.write(move |connection| due(connection, retention, now)).await?;
        *self.inner.removals.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(removals);
        Ok(removals)
    }

    /// Where removal stands, by the latest look; `None` where nobody looks.
    #[must_use]
    pub fn removals(&self) -> Option<Removals> {
        *self.inner.removals.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A person lets what came before these moments go: removal by age goes on from there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn let_go(&self, limits: Limits, now: i64) -> Result<(), StoreError> {
        self.write(move |connection| {
            for (sort, limit) in [(Sort::Receipts, limits.receipts), (Sort::Messages, limits.messages)] {
                if limit == i64::MIN {
                    continue;
                }
                let_go(connection, sort.code(), limit, now)?;
            }
            Ok(())
        })
        .await
    }
}

/// A person lets go what of one sort is older.
pub(super) fn let_go(connection: &Connection, sort: i64, limit: i64, now: i64) -> rusqlite::Result<()> {
    let mark = mark(connection, sort)?.unwrap_or(Mark { gone_to: limit, first_at: now });
    let mark = Mark { gone_to: mark.gone_to.max(limit), first_at: mark.first_at.min(now) };
    hold(connection, sort, Some(mark))
}

/// Whether something of one sort is due, whose earliest is so old; it is held.
pub(super) fn look(
    connection: &Connection,
    sort: i64,
    keep: Keep,
    oldest: Option<i64>,
    now: i64,
) -> rusqlite::Result<Due> {
    let before = mark(connection, sort)?;
    let (due, after) = decide(keep, now, before, oldest);
    if before != after {
        hold(connection, sort, after)?;
    }
    Ok(due)
}

fn due(connection: &Connection, retention: Retention, now: i64) -> rusqlite::Result<Removals> {
    let mut removals = Removals { retention, receipts: Due::Nothing, messages: Due::Nothing };
    for sort in Sort::ALL {
        let due = look(connection, sort.code(), retention.of(sort), oldest(connection, sort)?, now)?;
        match sort {
            Sort::Receipts => removals.receipts = due,
            Sort::Messages => removals.messages = due,
        }
    }
    Ok(removals)
}

/// When the earliest of the sort came, as far as removal has noted it: nobody waits for rows to be read.
fn oldest(connection: &Connection, sort: Sort) -> rusqlite::Result<Option<i64>> {
    let sql = match sort {
        Sort::Receipts => "SELECT min(receipts_from) FROM arrival_stretches",
        Sort::Messages => "SELECT min(messages_from) FROM arrival_stretches",
    };
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

fn mark(connection: &Connection, sort: i64) -> rusqlite::Result<Option<Mark>> {
    connection
        .prepare_cached("SELECT gone_to, first_at FROM retention WHERE sort = ?1")?
        .query_row([sort], |row| Ok(Mark { gone_to: row.get(0)?, first_at: row.get(1)? }))
        .optional()
}

fn hold(connection: &Connection, sort: i64, mark: Option<Mark>) -> rusqlite::Result<()> {
    let Some(mark) = mark else {
        connection.prepare_cached("DELETE FROM retention WHERE sort = ?1")?.execute([sort])?;
        return Ok(());
    };
    connection
        .prepare_cached(
            "INSERT INTO retention (sort, gone_to, first_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (sort) DO UPDATE SET gone_to = excluded.gone_to, first_at = excluded.first_at",
        )?
        .execute(params![sort, mark.gone_to, mark.first_at])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000_000_000;
    const KEEP: Keep = Keep::Days(730);
    const LIMIT: i64 = NOW - 730 * DAY;
    const YEARS: i64 = 3650 * DAY;

    #[test]
    fn the_first_removal_is_told_a_week_ahead_and_held_to_though_a_look_comes_each_hour() {
        assert_eq!(decide(KEEP, NOW, None, Some(LIMIT)), (Due::Nothing, None));
        let (due, mut mark) = decide(KEEP, NOW, None, Some(LIMIT - 1));
        assert_eq!(due, Due::From(NOW + AHEAD));
        for hour in 1..=7 * 24 {
            let now = NOW + hour * 60 * MINUTE;
            let (due, held) = decide(KEEP, now, mark, Some(LIMIT - 1));
            let expected = if hour < 7 * 24 { Due::From(NOW + AHEAD) } else { Due::Before(now - 730 * DAY) };
            assert_eq!(due, expected, "{hour}");
            mark = held;
        }
        let longer = decide(
            Keep::Days(800),
            NOW + DAY,
            mark.map(|mark| Mark { first_at: NOW + AHEAD, ..mark }),
            Some(LIMIT - 1),
        );
        assert_eq!(longer, (Due::Nothing, None), "where it is kept for longer meanwhile, nothing is announced");
        assert_eq!(decide(Keep::Forever, NOW, mark, Some(0)), (Due::Nothing, mark));
    }

    #[test]
    fn a_clock_that_jumps_ten_years_ahead_removes_nothing_and_all_goes_on_when_it_is_right_again() {
        for first_at in [NOW - DAY, NOW + DAY] {
            let mark = Mark { gone_to: LIMIT, first_at };
            let (due, held) = decide(KEEP, NOW + YEARS, Some(mark), Some(LIMIT - DAY));
            assert_eq!((due, held), (Due::Held { limit: LIMIT + YEARS, gone_to: LIMIT }, Some(mark)));
            let (due, _) = decide(KEEP, NOW + 2 * DAY - DAY, held, Some(LIMIT - DAY));
            assert_eq!(due, if first_at > NOW + DAY { Due::From(first_at) } else { Due::Before(LIMIT + DAY) });
        }
        // Announced while it was ahead.
        let (_, mark) = decide(KEEP, NOW + YEARS, None, Some(LIMIT - 1));
        let (due, mark) = decide(KEEP, NOW, mark, Some(LIMIT - 1));
        assert_eq!((due, mark), (Due::From(NOW + AHEAD), Some(Mark { gone_to: LIMIT, first_at: NOW + AHEAD })));
    }

    #[test]
    fn a_clock_that_goes_back_a_day_removes_less_and_never_moves_the_mark_back() {
        let mark = Mark { gone_to: LIMIT, first_at: 0 };
        let (due, held) = decide(KEEP, NOW - DAY, Some(mark), Some(0));
        assert_eq!((due, held), (Due::Before(LIMIT - DAY), Some(mark)));
        assert_eq!(decide(KEEP, NOW, held, Some(0)).0, Due::Before(LIMIT));
    }

    #[test]
    fn more_than_a_days_worth_at_once_is_held_and_a_day_and_a_little_is_not() {
        let mark = Mark { gone_to: LIMIT, first_at: 0 };
        let (due, held) = decide(KEEP, NOW + MOVES, Some(mark), Some(0));
        assert_eq!((due, held), (Due::Before(LIMIT + MOVES), Some(Mark { gone_to: LIMIT + MOVES, ..mark })));
        let (due, held) = decide(KEEP, NOW + MOVES + 1, Some(mark), Some(0));
        assert_eq!((due, held), (Due::Held { limit: LIMIT + MOVES + 1, gone_to: LIMIT }, Some(mark)));
        let (due, _) = decide(Keep::Days(90), NOW, Some(mark), Some(LIMIT));
        assert_eq!(due, Due::Held { limit: NOW - 90 * DAY, gone_to: LIMIT }, "a person shortened the time");
        let (due, held) = decide(KEEP, NOW + 30 * DAY, Some(mark), Some(NOW));
        assert_eq!((due, held.unwrap().gone_to), (Due::Nothing, LIMIT + 30 * DAY), "nothing would go");
    }
}
