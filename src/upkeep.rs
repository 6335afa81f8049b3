//! The clockwork: what happens by the clock and not because somebody asked. Each tick calls one method of the store.

mod backfill;
mod backups;
mod emails;
mod following;
mod record;
mod retention;
mod sent;
mod silences;
mod watch;

use std::time::Duration;

use tokio::time::{interval, sleep, timeout};

use crate::clock::{self, DAY, HOUR};
use crate::store::{Ballast, Checkpoint, Store};

pub use backfill::{ReadBack, read_back};
pub use backups::{Schedule, back_up};
pub use emails::{Emails, send_emails};
pub use record::follow_record;
pub use retention::retain;
pub use sent::forget_sent_texts;
pub use watch::{Outlets, Webhook, WrongWebhook, watch};

/// How often the log is looked at while something is written.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(500);
/// How often it is looked whether there is room for the ballast: where it was given up, and where there never was any.
const GIVEN_UP_LOOK: Duration = Duration::from_secs(1);
const LACKING_LOOK: Duration = Duration::from_mins(1);
/// How often where it is held.
const HELD_LOOK: Duration = Duration::from_hours(1);
/// How often what has run out is cleared away.
const TIDY_EVERY: Duration = Duration::from_hours(1);
/// Sessions end after 8 hours, and are cleared away after a day.
const SESSIONS_KEPT: i64 = DAY;
/// Without use they end after half an hour.
const UNUSED_SESSIONS_KEPT: i64 = HOUR;
/// The page of a search for a person works for 30 days.
const SEARCHES_KEPT: i64 = 30 * DAY;
/// A callback token that brought nothing for so long is looked at by a person.
const TOKEN_UNUSED: i64 = 30 * DAY;

/// Runs until it is dropped.
pub async fn run(store: Store) {
    tokio::join!(
        checkpoints(&store),
        tidying(&store),
        looking_for_damage(&store),
        silences::listening(&store),
        following::following(&store),
        holding_ballast(&store)
    );
}

async fn checkpoints(store: &Store) {
    loop {
        // Where nothing is written nothing wakes.
        store.written().await;
        sleep(CHECKPOINT_EVERY).await;
        while let Ok(Checkpoint::Part) = store.checkpoint().await {
            tracing::debug!(event = "upkeep.checkpoint_part", "part of the log is still in use");
            sleep(CHECKPOINT_EVERY).await;
        }
    }
}

async fn holding_ballast(store: &Store) {
    loop {
        match store.hold_ballast().await {
            Ok(Ballast::None) | Err(_) => return,
            Ok(Ballast::Held) => {
                let _looks_again = timeout(HELD_LOOK, store.ballast_given_up()).await.is_err();
            }
            Ok(Ballast::GivenUp) => sleep(GIVEN_UP_LOOK).await,
            Ok(Ballast::Lacking) => sleep(LACKING_LOOK).await,
        }
    }
}

/// Once after a start: what a disk forgets, it mostly forgets while nobody looks.
async fn looking_for_damage(store: &Store) {
    if let Err(error) = store.look_for_damage().await {
        tracing::error!(event = "store.check_failed", error = %error, "the store could not be read through for damage. Run counterfoil check, which says more");
    }
}

async fn tidying(store: &Store) {
    let mut ticks = interval(TIDY_EVERY);
    loop {
        ticks.tick().await;
        let now = clock::now();
        if let Err(error) = store.tidy(now, now - SESSIONS_KEPT, now - UNUSED_SESSIONS_KEPT, now - SEARCHES_KEPT).await
        {
            tracing::error!(event = "upkeep.tidy_failed", error = %error, "what has run out could not be cleared away");
        }
        if let Err(error) = store.look_for_unused_tokens(now - TOKEN_UNUSED, now).await {
            tracing::error!(event = "upkeep.tokens_failed", error = %error, "it could not be seen whether all tokens are used");
        }
    }
}
