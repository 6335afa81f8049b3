//! Follows what came, once it was acknowledged: flags received texts and keeps the contacts to check. It gives way to everything else.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::store::Store;

/// How long it lets what came gather.
const GATHERS: Duration = Duration::from_millis(250);
/// It rests so many times as long as a step took, so that it takes a small part of one core.
const RESTS: u32 = 4;
/// How long it waits after a step that failed.
const AFTER_FAILURE: Duration = Duration::from_mins(1);

/// Follows until it is dropped.
pub(super) async fn following(store: &Store) {
    loop {
        let began = Instant::now();
        match store.follow().await {
            Ok(true) => sleep(began.elapsed() * RESTS).await,
            Ok(false) => {
                store.something_to_follow().await;
                sleep(GATHERS).await;
            }
            Err(error) => {
                tracing::error!(event = "upkeep.following_failed", error = %error, "received texts could not be flagged nor contacts be listed; it is tried again in a minute");
                sleep(AFTER_FAILURE).await;
            }
        }
    }
}
