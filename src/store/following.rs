//! What is made of callbacks after they were acknowledged: flags on received texts, and contacts to check. It goes through what came
//! in the order of arrival, behind the writer and never in its way; how far it is stands in the transaction that keeps what it made.

use std::sync::PoisonError;

use rusqlite::Connection;

use super::index::{Facets, Index, Wanted, Way};
use super::row::{self, Kept};
use super::settings::Setting;
use super::{Services, Store, StoreError, contacts, flags, letters, settings};
use crate::flagging::{FlagList, Hit, SHIPPED};
use crate::notify::{Content, Kind};

/// Rows that are gone through in one read.
const ROWS: i64 = 1000;
/// How far it is, is written down at least so often, be there something to keep or not.
const NOTED: i64 = 20_000;
/// Texts that are held against a new list in one step.
const TEXTS: usize = 200;

impl Store {
    /// Goes through the next callbacks that came; whether there is more to go through.
    ///
    /// # Errors
    /// When it cannot be read or written: then it goes on from the same place.
    pub async fn follow(&self) -> Result<bool, StoreError> {
        let from = *self.inner.following.lock().unwrap_or_else(PoisonError::into_inner);
        let step = self.read(move |connection| look(connection, from)).await?;
        let Step { next, noted, wanted, rows } = step;
        if !wanted.is_empty() || next - noted >= NOTED {
            self.write(move |connection| keep(connection, &wanted, next)).await?;
        }
        *self.inner.following.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
        if rows > 0 {
            return Ok(i64::try_from(rows).is_ok_and(|rows| rows == ROWS));
        }
        self.follow_texts().await
    }

    /// Holds some texts of the last weeks against a list that was changed since they came.
    async fn follow_texts(&self) -> Result<bool, StoreError> {
        let texts = self.look(texts_to_hold_again).await?;
        let Some((next, texts)) = texts else { return Ok(false) };
        let work = move |connection: &Connection| {
            let list = list(connection)?;
            for arrival in texts {
                if let Some(kept) = row::at(connection, arrival)? {
                    // The words that flag it may be others now. What somebody dealt with stays so.
                    let changed = flags::set(connection, &kept, &hits(&list, &kept))?;
                    for flag in changed.new {
                        contacts::note_flag_late(connection, &kept, flag)?;
                    }
                    for flag in changed.gone {
                        contacts::note_flag_gone(connection, &kept, flag)?;
                    }
                }
            }
            connection.prepare_cached("UPDATE following SET next_text = ?1")?.execute([next])?;
            Ok(())
        };
        self.write(work).await?;
        Ok(true)
    }

    /// Waits until something has been written since this was last waited for.
    pub async fn something_to_follow(&self) {
        self.inner.writer.something_to_follow().await;
    }
}

struct Step {
    next: i64,
    noted: i64,
    /// What changes something.
    wanted: Vec<i64>,
    rows: usize,
}

fn look(connection: &Connection, from: Option<i64>) -> rusqlite::Result<Step> {
    let noted: i64 = connection.prepare_cached("SELECT next FROM following")?.query_row([], |row| row.get(0))?;
    let from = from.unwrap_or(noted).max(noted);
    let sql = "SELECT arrival FROM callbacks WHERE arrival >= ?1 ORDER BY arrival LIMIT ?2";
    let mut find = connection.prepare_cached(sql)?;
    let arrivals = find.query_map([from, ROWS], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut wanted = Vec::new();
    for arrival in &arrivals {
        let Some(kept) = row::at(connection, *arrival)? else { continue };
        if kept.callback.kind() == Kind::ReceivedText || contacts::concerns(connection, &kept)? {
            wanted.push(*arrival);
        }
    }
    Ok(Step { next: arrivals.last().map_or(from, |last| last + 1), noted, wanted, rows: arrivals.len() })
}

/// What was read may have been removed or redacted since.
fn keep(connection: &Connection, wanted: &[i64], next: i64) -> rusqlite::Result<()> {
    let mut held_against = None;
    for arrival in wanted {
        let Some(kept) = row::at(connection, *arrival)? else { continue };
        if kept.callback.kind() == Kind::ReceivedText {
            let list = match &mut held_against {
                Some(list) => list,
                none => none.insert(list(connection)?),
            };
            for flag in flags::set(connection, &kept, &hits(list, &kept))?.new {
                contacts::note_flag(connection, &kept, flag)?;
            }
        } else {
            contacts::note(connection, &kept)?;
        }
    }
    // Where nothing is left to hold against a changed list, that is so of these too.
    let sql = "UPDATE following SET next = ?1, next_text = iif(next_text >= next, ?1, next_text)";
    connection.prepare_cached(sql)?.execute([next]).map(drop)
}

fn hits(list: &FlagList, kept: &Kept) -> Vec<Hit> {
    match &kept.callback.content {
        Content::ReceivedText(text) => list.find(text.message.as_deref().unwrap_or_default()),
        _ => Vec::new(),
    }
}

/// The list of phrases that holds. What cannot be understood is never stored; should it be, the shipped one holds.
fn list(connection: &Connection) -> rusqlite::Result<FlagList> {
    let set = settings::set(connection, Setting::Flags)?.map(|set| set.value);
    let written = set.filter(|list| !list.is_empty()).unwrap_or_else(|| SHIPPED.to_owned());
    Ok(FlagList::read(&written).or_else(|_| FlagList::read(SHIPPED)).unwrap_or_default())
}

/// Some texts, and where to go on; `None` where all were held against the list.
fn texts_to_hold_again(index: &Index<'_>) -> rusqlite::Result<Option<(i64, Vec<i64>)>> {
    let sql = "SELECT next, next_text FROM following";
    let (next, next_text): (i64, i64) =
        index.connection.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if next_text >= next {
        return Ok(None);
    }
    let facets = Facets::of(&Services::All).of_kinds(vec![Kind::ReceivedText]);
    let mut arrivals = index.arrivals(Wanted::All, facets, Way::OldestFirst, next_text - 1);
    let mut texts = Vec::new();
    while texts.len() < TEXTS
        && let Some(arrival) = arrivals.next()?
        && arrival < next
    {
        texts.push(arrival);
    }
    let goes_on = texts.last().filter(|_| texts.len() == TEXTS).map_or(next, |last| last + 1);
    Ok(Some((goes_on, texts)))
}

/// The row of an arrival goes, or what it says does.
pub(super) fn forget(connection: &Connection, arrival: i64) -> rusqlite::Result<()> {
    flags::forget(connection, arrival)?;
    letters::forget(connection, arrival)?;
    contacts::forget(connection, arrival)
}
