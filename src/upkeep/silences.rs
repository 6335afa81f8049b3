//! Looks now and then whether callbacks have stopped coming, and says so once, and once more when they come again.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::store::{Alarm, AlarmSort, Silence, Store};

/// Hours are compared, so that more often would tell no more.
const LOOK_EVERY: Duration = Duration::from_mins(10);

/// Looks until it is dropped.
pub(super) async fn listening(store: &Store) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Vec::new();
    loop {
        ticks.tick().await;
        match store.look_for_silences(clock::now()).await {
            Ok(found) => {
                tell(&before, &found);
                raise(store, &before, &found).await;
                before = found;
            }
            Err(error) => {
                tracing::error!(event = "upkeep.silences_failed", error = %error, "it could not be seen whether callbacks still come");
            }
        }
    }
}

async fn raise(store: &Store, before: &[Silence], found: &[Silence]) {
    for silence in found.iter().filter(|silence| before.iter().all(|other| other.service != silence.service)) {
        let alarm = Alarm::new(AlarmSort::Silence, silence.service_name.clone());
        if let Err(error) = store.raise(alarm, clock::now()).await {
            tracing::error!(event = "alarm.not_kept", error = %error, "an alarm could not be kept for the people who look at the pages");
        }
    }
}

fn tell(before: &[Silence], found: &[Silence]) {
    let among = |silence: &Silence, others: &[Silence]| others.iter().any(|other| other.service == silence.service);
    for silence in found.iter().filter(|silence| !among(silence, before)) {
        let since =
            jiff::Timestamp::from_microsecond(silence.since).map_or_else(|_| String::new(), |at| at.to_string());
        tracing::warn!(
            event = "callback.silence",
            service = silence.service_name,
            since,
            usual = silence.usual,
            "no callback has come for this service, where in each of the four weeks before some did. If it has sent messages, check the \
             callback URL and token in Notify, then the firewall and the certificate, then run counterfoil backfill"
        );
    }
    for silence in before.iter().filter(|silence| !among(silence, found)) {
        tracing::info!(event = "callback.silence_ended", service = silence.service_name, "the silence has ended");
    }
}
