//! Once an hour the record is followed from where it was followed to before: its head goes to the log, which belongs on another
//! machine, and what is wrong with it is told at once.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::clock::{self, DAY};
use crate::store::{Alarm, AlarmSort, Chain, Keep, Store, StoreError};

const EVERY: Duration = Duration::from_hours(1);

/// Runs until it is dropped.
pub async fn follow_record(store: Store, keep: Keep) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut followed = None;
    loop {
        ticks.tick().await;
        match look(&store, keep, followed.clone()).await {
            Ok(chain) => followed = chain,
            Err(error) => {
                tracing::error!(event = "record.not_read", error = %error, "the record of who saw what could not be read through, and is tried again");
            }
        }
    }
}

async fn look(store: &Store, keep: Keep, followed: Option<Chain>) -> Result<Option<Chain>, StoreError> {
    match store.follow_record(followed).await? {
        Ok(chain) => {
            tracing::info!(event = "record.head", head = %chain.head(), "the record of who saw what is whole up to this head");
            shorten(store, keep).await?;
            Ok(Some(chain))
        }
        Err(broken) => {
            tracing::error!(
                event = "record.broken",
                faults = %broken,
                "the record of who saw what is not as it was written. Keep a copy of the folder and of this log, run counterfoil audit \
                 verify with the last head before this, and find out who can write to the store"
            );
            store
                .raise(Alarm::new(AlarmSort::RecordBroken, "the record").with(broken.to_string()), clock::now())
                .await?;
            // From its beginning the next time, so that it is told until somebody has looked.
            Ok(None)
        }
    }
}

async fn shorten(store: &Store, keep: Keep) -> Result<(), StoreError> {
    let Keep::Days(days) = keep else { return Ok(()) };
    let now = clock::now();
    while store.shorten_record(now - i64::from(days) * DAY, now).await? {}
    Ok(())
}
