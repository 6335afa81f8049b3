//! What sent messages said goes when it is as old as it is kept: a look each hour.

use std::time::Duration;

use tokio::time::interval;

use crate::clock;
use crate::store::{Keep, Store, StoreError};

const LOOK_EVERY: Duration = Duration::from_hours(1);

/// Forgets until it is dropped.
pub async fn forget_sent_texts(store: Store, keep: Keep) {
    let mut ticks = interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        match once(&store, keep).await {
            Ok(0) => (),
            Ok(removed) => tracing::info!(event = "sent.removed", removed, "old texts of sent messages were removed"),
            Err(error) => {
                tracing::error!(event = "sent.removal_failed", error = %error, "old texts of sent messages could not be removed, and it is tried again");
            }
        }
    }
}

async fn once(store: &Store, keep: Keep) -> Result<usize, StoreError> {
    let Some(limit) = keep.limit(clock::now()) else { return Ok(0) };
    let removed = store.forget_sent_texts(limit).await?;
    if removed > 0 {
        // The log still holds them, until it is emptied; where somebody reads in it, a later removal does that.
        store.empty_log().await?;
    }
    Ok(removed)
}
