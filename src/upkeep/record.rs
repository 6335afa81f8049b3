//! Once an hour the record is followed from where it was followed to before: its head goes to the log, which belongs on another
//! machine, and into a file for the next start, and what is wrong with it is told at once. Then what is old of it goes.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::store::{Alarm, AlarmSort, Broken, Chain, Due, Fault, Keep, Store, StoreError};

const EVERY: Duration = Duration::from_hours(1);

/// Runs until it is dropped.
pub async fn follow_record(store: Store, keep: Keep) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut followed = None;
    let mut told = Due::Nothing;
    loop {
        ticks.tick().await;
        match look(&store, followed.clone()).await {
            Ok(chain) => followed = chain,
            Err(error) => {
                tracing::error!(event = "record.not_read", error = %error, "the record of who saw what could not be read through, and is tried again");
                continue;
            }
        }
        if followed.is_some()
            && let Err(error) = shorten(&store, keep, &mut told).await
        {
            tracing::error!(event = "record.not_shortened", error = %error, "old rows of the record could not be removed, and it is tried again");
        }
    }
}

async fn look(store: &Store, followed: Option<Chain>) -> Result<Option<Chain>, StoreError> {
    let mut found = store.follow_record(followed).await?;
    if let Err(broken) = &found
        && broken.0 == [Fault::HeadGone]
    {
        tell(store, broken).await?;
        // Told once: a restore is no reason for an alarm each hour.
        store.give_kept_head_up().await?;
        found = store.follow_record(None).await?;
    }
    match found {
        Ok(chain) => {
            tracing::info!(event = "record.head", head = %chain.head(), "the record of who saw what is whole up to this head");
            if let Err(error) = store.keep_head(&chain).await {
                tracing::error!(event = "record.head_not_kept", error = %error, "how far the record was followed could not be kept for the next start");
            }
            Ok(Some(chain))
        }
        Err(broken) => {
            tell(store, &broken).await?;
            // From its beginning the next time, so that it is told until somebody has looked.
            Ok(None)
        }
    }
}

async fn tell(store: &Store, broken: &Broken) -> Result<(), StoreError> {
    tracing::error!(
        event = "record.broken",
        faults = %broken,
        "the record of who saw what is not as it was written. Keep a copy of the folder and of this log, run counterfoil audit \
         verify with the last head before this, and find out who can write to the store"
    );
    store
        .raise(Alarm::new(AlarmSort::RecordBroken, "the record").with(broken.to_string()), clock::now())
        .await
        .map(drop)
}

async fn shorten(store: &Store, keep: Keep, told: &mut Due) -> Result<(), StoreError> {
    let now = clock::now();
    let due = store.record_due(keep, now).await?;
    if std::mem::discriminant(told) != std::mem::discriminant(&due) {
        say(due);
    }
    *told = due;
    let Due::Before(limit) = due else { return Ok(()) };
    while store.shorten_record(limit, now).await? {}
    Ok(())
}

fn say(due: Due) {
    let moment = |micros| jiff::Timestamp::from_microsecond(micros).map_or_else(|_| String::new(), |at| at.to_string());
    match due {
        Due::From(at) => tracing::warn!(
            event = "record.removal_announced",
            at = moment(at),
            "rows of the record that are older than the setting are removed for good from then on. To keep them, start the server \
             with a longer --keep-record"
        ),
        Due::Held { limit, gone_to } => tracing::error!(
            event = "record.removal_held",
            gone_to = moment(gone_to),
            limit = moment(limit),
            "no old row of the record is removed, because more than a day's worth would go at once: the clock or the setting was \
             changed, or the server stood still. Check the clock and the setting. If they are right, counterfoil purge --record \
             --older-than with the same number of days removes them, and removal goes on from there"
        ),
        Due::Nothing | Due::Before(_) => (),
    }
}
