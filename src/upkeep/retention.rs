//! What is older than it is to be kept is removed: a look each hour, a removal each day, in small steps with pauses, so that no
//! callback waits for it.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::clock;
use crate::store::{Checkpoint, Due, Limits, Removal, Removals, Retention, Sort, Store, StoreError};

/// How often it is looked whether a command removed something, also where nothing was noticed of it.
const TICK: Duration = Duration::from_mins(1);
/// So many times as long as the index was written anew it is left alone, where one command after another removes.
const RESTS: u32 = 10;
/// Ticks from one look to the next, and looks from one removal to the next: each writes a part of the index anew.
const LOOK_EVERY: u32 = 60;
const REMOVE_EVERY: u32 = 24;
/// Between two steps.
const PAUSE: Duration = Duration::from_millis(20);
/// How long it is until the log is tried again that somebody reads in.
const LOG_AGAIN: Duration = Duration::from_secs(2);
/// After so long it is told that it cannot be emptied.
const LOG_TOLD: Duration = Duration::from_hours(26);

/// Removes until it is dropped.
pub async fn retain(store: Store, retention: Retention) {
    let in_log = Notify::new();
    // What was removed before a stop may be in the log yet.
    in_log.notify_one();
    tokio::join!(look(&store, retention, &in_log), emptying_log(&store, &in_log));
}

async fn look(store: &Store, retention: Retention, in_log: &Notify) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut tick, mut rests_until) = (None, 0_u32, Instant::now());
    loop {
        let is_time = tokio::select! {
            _ = ticks.tick() => true,
            // Whoever removed something waits until nothing leads to it any more.
            () = store.written_beside() => {
                sleep_until(rests_until).await;
                false
            }
        };
        let begun = Instant::now();
        let look = tick / LOOK_EVERY;
        let done = if is_time && tick.is_multiple_of(LOOK_EVERY) {
            let removes = look.is_multiple_of(REMOVE_EVERY);
            look_and_remove(store, retention, &mut before, removes).await
        } else {
            forget_removed(store).await
        };
        tick = tick.wrapping_add(u32::from(is_time));
        rests_until = Instant::now() + TICK.min(RESTS * begun.elapsed());
        match done {
            Ok(Removal::InLog) => in_log.notify_one(),
            Ok(_) => (),
            Err(error) => {
                tracing::error!(event = "store.removal_failed", error = %error, "what is old could not be removed, and is tried again");
            }
        }
    }
}

/// Takes what was removed out of the log too. Where somebody reads in it all the time, as what copies it elsewhere does, the moment
/// for that is when they begin anew.
async fn emptying_log(store: &Store, in_log: &Notify) {
    loop {
        in_log.notified().await;
        let (since, mut is_told) = (Instant::now(), false);
        while !matches!(store.empty_log().await, Ok(Checkpoint::Whole)) {
            if !is_told && since.elapsed() > LOG_TOLD {
                tracing::warn!(
                    event = "store.log_in_use",
                    "what was removed may still stand in the store's log counterfoil.db-wal, because another program reads there \
                     all the time. Restart that program: the log is emptied meanwhile"
                );
                is_told = true;
            }
            sleep(LOG_AGAIN).await;
        }
    }
}

async fn look_and_remove(
    store: &Store,
    retention: Retention,
    before: &mut Option<Removals>,
    removes: bool,
) -> Result<Removal, StoreError> {
    // Notes what arrived since the last look.
    remove_rows(store, Limits::NONE).await?;
    let found = store.due(retention, clock::now()).await?;
    for sort in Sort::ALL {
        // Said once, and again each day.
        if removes || before.map(|before| before.of(sort)) != Some(found.of(sort)) {
            tell(sort, found.of(sort), before.is_some_and(|before| is_held(before.of(sort))) && !removes);
        }
    }
    *before = Some(found);
    if removes { remove(store, found.limits()).await } else { forget_removed(store).await }
}

fn is_held(due: Due) -> bool {
    matches!(due, Due::Held { .. })
}

fn tell(sort: Sort, due: Due, was_held: bool) {
    let what = match sort {
        Sort::Receipts => "receipts",
        Sort::Messages => "messages",
    };
    let moment = |micros| jiff::Timestamp::from_microsecond(micros).map_or_else(|_| String::new(), |at| at.to_string());
    match due {
        Due::From(at) => tracing::warn!(
            event = "store.removal_announced",
            what,
            at = moment(at),
            "what is older than the setting is removed for good from then on. To keep it, start the server with a longer \
             --keep-receipts or --keep-messages"
        ),
        Due::Held { limit, gone_to } if !was_held => tracing::error!(
            event = "store.removal_held",
            what,
            gone_to = moment(gone_to),
            limit = moment(limit),
            "nothing old is removed, because more than a day's worth would go at once: the clock or the setting was changed, \
             or the server stood still. Check the clock and the setting. If they are right, counterfoil purge --older-than \
             with the same number of days removes it, and removal goes on from there"
        ),
        Due::Held { .. } | Due::Nothing | Due::Before(_) => (),
    }
}

async fn remove(store: &Store, limits: Limits) -> Result<Removal, StoreError> {
    let removed = remove_rows(store, limits).await?;
    // A number for the log alone: where it takes too long to count, nothing waits for it.
    let held = store.count_held(limits).await.unwrap_or_default();
    if removed > 0 || held > 0 {
        tracing::info!(
            event = "store.removed",
            removed,
            held,
            "what was older than it is to be kept was removed, but for what a hold keeps"
        );
    }
    forget_removed(store).await
}

async fn remove_rows(store: &Store, limits: Limits) -> Result<usize, StoreError> {
    let mut removed = 0;
    while let Removal::Removed(some) = store.remove_rows(limits).await? {
        removed += some;
        sleep(PAUSE).await;
    }
    Ok(removed)
}

/// Also what a command removed beside this server: it leaves the index to us.
async fn forget_removed(store: &Store) -> Result<Removal, StoreError> {
    if !store.has_removed().await? {
        return Ok(Removal::Done);
    }
    loop {
        match store.forget_removed().await? {
            Removal::Removed(_) => sleep(PAUSE).await,
            done => return Ok(done),
        }
    }
}
