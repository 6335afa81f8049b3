//! Reading back what was missed: after each start and then every hour, for the services whose keys the server was given.

use std::time::Duration;

use tokio::time::interval;

use crate::backfill::{BackfillError, FINISHES_WITHIN, Reach, Source, Tally, backfill};
use crate::clock::{self, DAY, MINUTE};
use crate::notify::api::List;
use crate::store::{Progress, Store, StoreError};

/// From one reading to the next.
const EVERY: Duration = Duration::from_hours(1);
/// How far back each reading goes behind the one before it: most messages are finished by then.
const OVERLAP: i64 = 3 * 60 * MINUTE;
/// So far the first goes where nothing is known: Notify keeps messages for 7 days.
const FIRST: i64 = 7 * DAY;
/// Notify keeps no message longer.
const LONGEST: i64 = 90 * DAY;

/// A service that is read back.
#[derive(Clone)]
pub struct ReadBack {
    /// Its name here.
    pub name: String,
    /// Its key, and where Notify's API is.
    pub source: Source,
}

/// Reads back until it is dropped.
pub async fn read_back(store: Store, services: Vec<ReadBack>) {
    if services.is_empty() {
        return;
    }
    let mut ticks = interval(EVERY);
    // When the last reading of each began that was done.
    let mut done: Vec<(ReadBack, Option<i64>)> = services.into_iter().map(|service| (service, None)).collect();
    loop {
        ticks.tick().await;
        for (service, last) in &mut done {
            let now = clock::now();
            if once(&store, service, *last, now).await {
                *last = Some(now);
            }
        }
    }
}

/// One reading of one service; whether it was done.
async fn once(store: &Store, service: &ReadBack, last: Option<i64>, now: i64) -> bool {
    let ReadBack { name, source } = service;
    let mut tally = Tally::default();
    let read = async {
        let since = since(last, known(store, name).await?, now);
        let reach = Reach { since, oldest: None };
        backfill(store, name, source, reach, &Progress::default(), &mut tally).await
    };
    let done: Result<(), BackfillError> = read.await;
    let Tally { seen, on_their_way, filled, .. } = tally;
    match done {
        Ok(()) => tracing::info!(
            event = "backfill.done",
            service = name,
            seen,
            here = filled.here,
            missing = filled.missing,
            fetched = filled.fetched,
            statuses_filled = filled.statuses_filled,
            on_their_way,
            "what Notify lists was compared with the store"
        ),
        Err(error) => {
            tracing::error!(
                event = "backfill.failed",
                service = name,
                error = %error,
                seen,
                fetched = filled.fetched,
                "what was missed could not all be read back, and is tried again within an hour"
            );
            return false;
        }
    }
    true
}

/// Up to when it is known that nothing is missing: both lists were read so far, or the server was alive.
async fn known(store: &Store, name: &str) -> Result<Option<i64>, StoreError> {
    let mut known = store.last_alive_at();
    let Some(service) = store.service(name).await? else { return Ok(known) };
    for list in List::ALL {
        if let Some((_, until)) = store.read_so_far(service.id, list).await?.covered {
            known = Some(known.map_or(until, |known| known.min(until)));
        }
    }
    Ok(known)
}

/// From when on messages are read. After a start it goes back behind what is known by as long as a message may take: one that was made
/// before an outage may have been finished in it.
fn since(last: Option<i64>, known: Option<i64>, now: i64) -> i64 {
    let since = match (last, known) {
        (Some(last), _) => last - OVERLAP,
        (None, Some(known)) => known - FINISHES_WITHIN,
        (None, None) => now - FIRST,
    };
    since.max(now - LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_start_it_goes_far_enough_back_for_what_was_finished_in_the_outage() {
        let now = 1000 * DAY;
        assert_eq!(since(None, None, now), now - 7 * DAY);
        assert_eq!(since(None, Some(now - DAY), now), now - DAY - 97 * 60 * MINUTE);
        assert_eq!(since(Some(now - 60 * MINUTE), Some(0), now), now - 4 * 60 * MINUTE);
        assert_eq!(since(None, Some(0), now), now - 90 * DAY);
    }
}
