//! Reading back what was missed: the lists of Notify's REST API, page by page from the newest back, each page stored with the place
//! to go on from. It knows neither who asked for it nor how the store does it.

mod api;

use std::collections::HashSet;
use std::time::Duration;

use crate::clock::{self, MINUTE};
use crate::notify::Callback;
use crate::notify::api::{CalledBack, List, Page};
use crate::notify::api_key::ApiKey;
use crate::outgoing::Server;
use crate::store::{Fetched, Filled, Progress, Reading, ServiceId, Stage, Store, StoreError};

use api::Api;
pub use api::Refusal;

/// A message is finished so long after it was made at the latest; until then its status may change. Notify ends at 72 hours what is
/// still open, once a night.
pub const FINISHES_WITHIN: i64 = 97 * 60 * MINUTE;
/// What was called back in vain longer ago than this is given up by Notify, with some minutes to spare.
const GIVEN_UP_AFTER: i64 = 20 * MINUTE;
/// Messages of so long before a reading began are read again by the next: they may have been put into the list late.
const OVERLAP: i64 = 10 * MINUTE;

/// Whose messages are read, and where.
#[derive(Clone)]
pub struct Source {
    /// The service's key.
    pub key: ApiKey,
    /// Notify's API.
    pub server: Server,
}

/// How far back it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reach {
    /// Messages that were made since this moment are read.
    pub since: i64,
    /// What Notify would have called back before this moment is past its retention here, and is not stored.
    pub oldest: Option<i64>,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Messages that Notify listed.
    pub seen: u64,
    /// Of these, not finished: Notify calls back for them later.
    pub on_their_way: u64,
    /// Of these, letters, of whose delivery Notify calls nothing back.
    pub letters: u64,
    /// What became of the others.
    pub filled: Filled,
    /// Pages full of messages of one moment: others of that moment may have been passed over.
    pub crowded: u64,
}

/// Why it ended before it was done. What was stored until then stays, and the next one goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// Notify does not let it read.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It failed too often in a row.
    #[error(
        "Notify could not be reached, or failed, {0} times in a row. What was read until then is kept; try again later"
    )]
    Unreachable(u32),
    /// The answer is something else.
    #[error("the answer is not a list of Notify’s. Check the address of its API")]
    NotUnderstood,
    /// The key is of another service than the one whose messages are here.
    #[error(
        "the API key is of another service in Notify than the one that this name stands for. Take a key of that service"
    )]
    OtherService,
    /// There is no such service.
    #[error(
        "there is no service of this name in the store. See counterfoil token list; counterfoil token add makes one"
    )]
    NoService,
    /// Somebody asked for it to stop.
    #[error("it was stopped. What was read until then is kept, and the same command goes on from there")]
    Stopped,
    /// The store failed.
    #[error("the store could not be used: {0}. What was read until then is kept; try again")]
    Store(#[from] StoreError),
}

/// Reads both lists back for the service of this name. `tally` says what came of it, however it ends.
///
/// # Errors
/// When it could not be done to its end.
pub async fn backfill(
    store: &Store,
    name: &str,
    source: &Source,
    reach: Reach,
    progress: &Progress,
    tally: &mut Tally,
) -> Result<(), BackfillError> {
    let service = store.service(name).await?.ok_or(BackfillError::NoService)?;
    if service.notify_service_id.is_some_and(|known| !known.eq_ignore_ascii_case(source.key.service_id())) {
        return Err(BackfillError::OtherService);
    }
    let mut work = Backfill { store, service: service.id, source, reach, progress, tally, api: Api::new(source) };
    for list in List::ALL {
        work.read(list).await?;
    }
    Ok(())
}

struct Backfill<'a> {
    store: &'a Store,
    service: ServiceId,
    source: &'a Source,
    reach: Reach,
    progress: &'a Progress,
    tally: &'a mut Tally,
    api: Api,
}

impl Backfill<'_> {
    /// First what an earlier reading left, then what came since that one began.
    async fn read(&mut self, list: List) -> Result<(), BackfillError> {
        let mut since = self.reach.since;
        let now = clock::now();
        if let Some(left) = self.store.read_so_far(self.service, list).await?.under_way {
            since = since.max(left.begun_at - again_before(left.begun_at, now));
            let left = Reading { since: left.since.min(self.reach.since), ..left };
            if !self.walk(list, left).await? {
                since = self.reach.since;
            }
        }
        self.walk(list, Reading { begun_at: clock::now(), since, older_than: None }).await.map(drop)
    }

    /// Reads to the end; `false` where Notify no longer knows the message from which it was to go on.
    async fn walk(&mut self, list: List, mut reading: Reading) -> Result<bool, BackfillError> {
        let mut before = HashSet::new();
        let mut goes_on = reading.older_than.is_some();
        loop {
            self.show(list, &reading, None);
            let page = self.api.page(list, reading.older_than.as_deref(), self.progress).await?;
            if goes_on && page.0.is_empty() {
                return Ok(false);
            }
            goes_on = false;
            if page.is_one_moment() {
                self.tally.crowded += 1;
                tracing::warn!(
                    event = "backfill.crowded",
                    "a whole page of Notify's list was made in one moment: others of that moment may have been passed over"
                );
            }
            let reaches = page.reaches();
            let older_than = page.older_than().map(str::to_owned);
            reading.older_than = older_than.filter(|_| reaches.is_none_or(|reaches| reaches >= reading.since));
            self.show(list, &reading, reaches);
            let ids = page.0.iter().map(|item| item.id.clone()).collect();
            let callbacks = self.called_back(page, &before);
            before = ids;
            let done = reading.older_than.is_none();
            let fetched = Fetched {
                service: self.service,
                notify_service_id: self.source.key.service_id().to_owned(),
                list,
                callbacks,
                reading: reading.clone(),
                oldest: self.reach.oldest,
                at: clock::now(),
            };
            self.tally.filled += self.store.fill(fetched).await?;
            if done {
                return Ok(true);
            }
        }
    }

    /// What Notify would have called back for a page. What stood on the page before is counted once.
    fn called_back(&mut self, page: Page, before: &HashSet<String>) -> Vec<Callback> {
        let mut callbacks = Vec::new();
        for item in page.0 {
            if before.contains(&item.id) {
                continue;
            }
            self.tally.seen += 1;
            match item.called_back {
                CalledBack::With(callback) => callbacks.push(*callback),
                CalledBack::Later => self.tally.on_their_way += 1,
                CalledBack::Never => self.tally.letters += 1,
            }
        }
        callbacks
    }

    fn show(&self, list: List, reading: &Reading, reaches: Option<i64>) {
        let stage = match list {
            List::Notifications => Stage::Notifications,
            List::ReceivedTexts => Stage::ReceivedTexts,
        };
        let length = |from: i64| u64::try_from(reading.begun_at - from).unwrap_or(0);
        match reaches {
            Some(reaches) => self.progress.is_at(stage, length(reaches.max(reading.since)), length(reading.since)),
            None if self.progress.reached().stage != stage => self.progress.is_at(stage, 0, length(reading.since)),
            None => (),
        }
    }
}

/// How long before the beginning of an earlier reading the next one goes. What was on its way then may have been finished since, and
/// called back in vain.
fn again_before(begun_at: i64, now: i64) -> i64 {
    if now - begun_at < GIVEN_UP_AFTER { OVERLAP } else { FINISHES_WITHIN }
}

/// Sleeps, and looks now and then whether it is to stop.
async fn pause(time: Duration, progress: &Progress) -> Result<(), BackfillError> {
    const LOOKS_EVERY: Duration = Duration::from_millis(100);
    let ends = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < ends {
        if progress.is_stopped() {
            return Err(BackfillError::Stopped);
        }
        tokio::time::sleep_until(ends.min(tokio::time::Instant::now() + LOOKS_EVERY)).await;
    }
    if progress.is_stopped() { Err(BackfillError::Stopped) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_given_up_meanwhile_is_read_again() {
        let now = 1_795_000_000_000_000;
        assert_eq!(again_before(now - MINUTE, now), OVERLAP);
        assert_eq!(again_before(now - 60 * MINUTE, now), FINISHES_WITHIN);
    }

    #[tokio::test]
    async fn a_pause_ends_early_where_somebody_asks_for_a_stop() {
        let progress = Progress::default();
        progress.stop();
        assert!(matches!(pause(Duration::from_hours(1), &progress).await, Err(BackfillError::Stopped)));
    }
}
