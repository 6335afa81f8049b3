//! Reading back what was missed: a page of a list of Notify's is compared with what is here and stored in one transaction with the
//! place to go on from. So a stop at any moment loses nothing, and nothing comes twice.

use std::ops::AddAssign;

use rusqlite::{Connection, OptionalExtension, params};

use super::arrivals::{Keeping, Ledger, Ready, standing};
use super::envelope::{Envelope, Origin};
use super::erased::Erased;
use super::key::Key;
use super::row::Kept;
use super::{ServiceId, Store, StoreError, redacting};
use crate::notify::api::List;
use crate::notify::{Callback, Content, time};

/// A reading of one list, from the newest back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// When it began: nothing newer is read by it.
    pub begun_at: i64,
    /// How far back it goes.
    pub since: i64,
    /// The id from which it goes on; `None` at its beginning.
    pub older_than: Option<String>,
}

/// How far a list has been read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ReadSoFar {
    /// The reading that is not done.
    pub under_way: Option<Reading>,
    /// What was made between these two moments has been read.
    pub covered: Option<(i64, i64)>,
}

/// One page that was fetched.
pub struct Fetched {
    /// The service whose messages they are.
    pub service: ServiceId,
    /// That service's id in Notify.
    pub notify_service_id: String,
    /// The list.
    pub list: List,
    /// The callbacks that would have come for what is on it.
    pub callbacks: Vec<Callback>,
    /// The reading, with the place to go on from; `None` there means that it is done.
    pub reading: Reading,
    /// What Notify would have called back before this moment is past its retention here.
    pub oldest: Option<i64>,
    /// When it was fetched.
    pub at: i64,
}

/// What became of the messages of a page.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Filled {
    /// Here already, and left as they are.
    pub here: u64,
    /// Not here.
    pub missing: u64,
    /// Of the missing, stored now.
    pub fetched: u64,
    /// Here with an older status; the newer one is stored now.
    pub statuses_filled: u64,
    /// Of the missing, erased here, and not brought back.
    pub erased: u64,
    /// Of the missing, past their retention here, and not brought back.
    pub past_retention: u64,
}

impl AddAssign for Filled {
    fn add_assign(&mut self, other: Filled) {
        self.here += other.here;
        self.missing += other.missing;
        self.fetched += other.fetched;
        self.statuses_filled += other.statuses_filled;
        self.erased += other.erased;
        self.past_retention += other.past_retention;
    }
}

impl Store {
    /// How far a list of a service has been read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn read_so_far(&self, service: ServiceId, list: List) -> Result<ReadSoFar, StoreError> {
        self.read_at_the_door(move |connection| read_so_far(connection, service, list)).await
    }

    /// Stores what is missing of a page, and the place to go on from.
    ///
    /// # Errors
    /// When it cannot be written; then nothing of it was.
    pub async fn fill(&self, page: Fetched) -> Result<Filled, StoreError> {
        self.inner.condition.refuse_arrivals()?;
        let key = self.inner.key.clone();
        let work = move |connection: &Connection, ledger: &mut Ledger| {
            let envelope = Envelope {
                service: page.service,
                token: None,
                origin: Origin::Fetched,
                arrived_at: page.at,
                path: String::new(),
            };
            let ready = page.callbacks.into_iter().map(|callback| Ready::new(envelope.clone(), callback));
            let mut ready: Vec<Ready> = ready.collect();
            let redacted = redacting::in_place_of(connection, ready.iter().map(Some))?;
            for (ready, redacted) in ready.iter_mut().zip(redacted) {
                if let Some(redacted) = redacted {
                    *ready = redacted;
                }
            }
            let filled = fill(connection, ledger, &key, &ready, page.oldest, page.at)?;
            note_reading(connection, page.service, page.list, &page.reading)?;
            connection
                .prepare_cached(
                    "UPDATE services SET notify_service_id = coalesce(notify_service_id, ?2) WHERE id = ?1",
                )?
                .execute(params![page.service, page.notify_service_id])?;
            Ok(filled)
        };
        self.inner.writer.write_with_ledger(work).await
    }
}

/// What is to be done for a message.
#[derive(PartialEq, Eq)]
enum Verdict {
    Missing,
    Newer,
    Here,
}

/// What is here stays as it is. A status is filled where the rule shows the new one and it says something else.
fn verdict(new: &Callback, before: &[Kept], arrival: i64) -> Verdict {
    let Some(shown) = before.iter().find(|kept| kept.shown).or(before.last()) else { return Verdict::Missing };
    match (standing(new, arrival), standing(&shown.callback, shown.arrival)) {
        (Some(new), Some(old)) if new.status != old.status && new.beats(&old) => Verdict::Newer,
        _ => Verdict::Here,
    }
}

fn fill(
    connection: &Connection,
    ledger: &mut Ledger,
    key: &Key,
    page: &[Ready],
    oldest: Option<i64>,
    now: i64,
) -> rusqlite::Result<Filled> {
    let mut next = ledger.indexing.begin(connection)?;
    let erased = Erased::of(connection)?;
    let mut keeping = Keeping::new(connection, key, ledger)?;
    let (mut filled, mut added) = (Filled::default(), Vec::new());
    for ready in page {
        let before = keeping.events_before(ready)?;
        let verdict = verdict(&ready.callback, &before, next);
        filled.missing += u64::from(verdict == Verdict::Missing);
        if verdict == Verdict::Here {
            filled.here += 1;
        } else if erased.holds(&ready.columns.notify_id)? {
            filled.erased += 1;
        } else if oldest.is_some_and(|oldest| came(&ready.callback).is_some_and(|came| came < oldest)) {
            filled.past_retention += 1;
        } else {
            keeping.add(ready, &before, next)?;
            added.push((&ready.keys, next));
            next += 1;
            filled.fetched += u64::from(verdict == Verdict::Missing);
            filled.statuses_filled += u64::from(verdict == Verdict::Newer);
        }
    }
    ledger.indexing.end(connection, &added, next, now)?;
    Ok(filled)
}

/// When Notify would have called it back.
fn came(callback: &Callback) -> Option<i64> {
    let written = match &callback.content {
        Content::DeliveryReceipt(receipt) => receipt.completed_at.as_ref().or(receipt.created_at.as_ref()),
        Content::ReceivedText(text) => text.date_received.as_ref(),
        Content::ReturnedLetter(letter) => letter.date_sent.as_ref(),
        Content::Complaint(complaint) => complaint.complaint_date.as_ref(),
    };
    written.and_then(|written| time::instant(written))
}

fn read_so_far(connection: &Connection, service: ServiceId, list: List) -> rusqlite::Result<ReadSoFar> {
    let sql = "SELECT begun_at, since, older_than, covered_from, covered_until FROM backfills
        WHERE service = ?1 AND list = ?2";
    let row = |row: &rusqlite::Row<'_>| {
        let (begun_at, since): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
        let (from, until): (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
        let older_than: Option<String> = row.get(2)?;
        let reading = |(begun_at, since)| Reading { begun_at, since, older_than };
        Ok(ReadSoFar { under_way: begun_at.zip(since).map(reading), covered: from.zip(until) })
    };
    let found = connection.prepare_cached(sql)?.query_row(params![service, list.code()], row).optional()?;
    Ok(found.unwrap_or_default())
}

/// Where the reading is done, what it covered is put to what was covered before, if the two meet.
fn note_reading(connection: &Connection, service: ServiceId, list: List, reading: &Reading) -> rusqlite::Result<()> {
    let mut note = connection.prepare_cached(
        "INSERT INTO backfills (service, list, begun_at, since, older_than, covered_from, covered_until)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (service, list) DO UPDATE SET begun_at = excluded.begun_at,
             since = excluded.since, older_than = excluded.older_than, covered_from = excluded.covered_from,
             covered_until = excluded.covered_until",
    )?;
    let before = read_so_far(connection, service, list)?.covered;
    if reading.older_than.is_some() {
        let (from, until) = before.unzip();
        let Reading { begun_at, since, older_than } = reading;
        return note.execute(params![service, list.code(), begun_at, since, older_than, from, until]).map(drop);
    }
    let meets = |(from, until): &(i64, i64)| *from <= reading.begun_at && *until >= reading.since;
    let (from, until) = before.filter(meets).unwrap_or((reading.since, reading.begun_at));
    let covered = (from.min(reading.since), until.max(reading.begun_at));
    let nothing: Option<i64> = None;
    note.execute(params![service, list.code(), nothing, nothing, nothing, covered.0, covered.1]).map(drop)
}

#[cfg(test)]
mod tests;
