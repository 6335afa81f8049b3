//! Looks what is wrong, tells it when it begins, each day while it lasts and when it ends, and keeps nobody waiting for that.

mod news;
mod outlets;

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::clock::{self, DAY, HOUR, MINUTE, SECOND};
use crate::meters::Standing;
use crate::store::{AlarmSort, NotReady, Stands, Store};

use news::News;
pub use outlets::{Outlets, Webhook, WrongWebhook};

/// How often it is looked; at once where an alarm is raised.
const LOOKS_EVERY: Duration = Duration::from_secs(15);
/// After one that was raised, so that a flood of them is looked at now and then.
const GATHERS: Duration = Duration::from_millis(250);
/// For how long callbacks are refused before it is told: a start anew takes less, and Notify tries for five times as long.
const REFUSED_FOR: i64 = 5 * MINUTE;
/// With less room on the disk there soon is none.
const LITTLE_ROOM: u64 = 512 * 1024 * 1024;
/// A log that is longer is not being copied.
const LONG_LOG: u64 = 256 * 1024 * 1024;
/// So long before its end a certificate should have been renewed.
const RENEWED_BEFORE: i64 = 14 * DAY;
/// So long after a start its certificate is known.
const SHOWS_WITHIN: i64 = MINUTE;
/// The clock and the time that really went by may differ by so much.
const STEP: i64 = MINUTE;
/// For how long a step is told of.
const STEP_TOLD: i64 = HOUR;

/// Looks and tells until it is dropped. `backups` is the time from one backup to the next, where there is a schedule, and the server runs
/// `without` what these flags should have brought.
pub async fn watch(store: Store, backups: Option<Duration>, without: Vec<&'static str>, outlets: Outlets) {
    if let Some(Err(why)) = outlets.command_can_run() {
        tracing::error!(
            event = "alarm.command_not_run",
            "alarms do not get out by --alarm-command: {why}. Name a program that the server’s user may run"
        );
    }
    let reaches_somebody = outlets.are_any();
    let (tell, telling) = outlets.open();
    let looking = async {
        let since = clock::now();
        let (mut news, mut clock) = begin(&store, backups, reaches_somebody, since).await;
        let of_flag = |flag: &&str| Stands { sort: AlarmSort::Without, about: Some((*flag).to_owned()), since };
        let without: Vec<Stands> = without.iter().map(of_flag).collect();
        loop {
            let now = clock::now();
            clock.look(now, Instant::now());
            let mut stand = look(&store, backups, &clock, &news, now).await;
            stand.extend_from_slice(&without);
            let fails_since = tell.fails_since(now);
            stand.extend(fails_since.map(|since| Stands { sort: AlarmSort::AlarmsFail, about: None, since }));
            for told in news.of(&stand, now) {
                tell.tell(&told);
            }
            store.note_standing_alarms(&news.stand());
            // What tells of a disk that hangs does not wait for it.
            let _kept = timeout(LOOKS_EVERY, news.keep(&store)).await.is_ok();
            let changed = async {
                tokio::select! {
                    () = store.alarms_changed() => (),
                    () = tell.passed_on() => (),
                }
            };
            if timeout(LOOKS_EVERY, changed).await.is_ok() {
                sleep(GATHERS).await;
            }
        }
    };
    tokio::join!(looking, telling);
}

/// Goes on from what was told before the start. What is only known while a server runs is taken to be as it was until it shows.
async fn begin(store: &Store, backups: Option<Duration>, reaches_somebody: bool, now: i64) -> (News, Clock) {
    // What cannot be read is told again.
    let news = News::after(store.told_alarms().await.unwrap_or_default(), reaches_somebody);
    let mut clock = Clock::at(now);
    let meters = store.meters();
    news.stood(AlarmSort::Refusing).for_each(|stood| meters.was_refusing(stood.since, now));
    news.stood(AlarmSort::ClockStep).for_each(|stood| clock.stepped_at = Some(stood.since));
    if backups.is_some() {
        news.stood(AlarmSort::Backup).for_each(|stood| meters.backup_failed(stood.since));
    }
    if news.stood(AlarmSort::Silence).next().is_some() {
        // Where that fails, it is told again when it is found.
        let _found = store.look_for_silences(now).await.is_ok();
    }
    (news, clock)
}

/// All that stands.
async fn look(store: &Store, backups: Option<Duration>, clock: &Clock, news: &News, now: i64) -> Vec<Stands> {
    let mut stand = match store.alarms_to_tell().await {
        Ok(stand) => stand,
        // What cannot be read has not ended.
        Err(_) => news.stand().into_iter().filter(|stands| stands.sort.is_raised()).collect(),
    };
    let standing = store.standing(now).await;
    let meters = store.meters();
    let mut by_itself = |sort: AlarmSort, since: Option<i64>| {
        let about = None;
        stand.extend(since.map(|since| Stands { sort, about, since }));
    };
    let refusing = meters.refusing(now).filter(|trouble| trouble.lasted > REFUSED_FOR);
    by_itself(AlarmSort::Refusing, refusing.map(|trouble| trouble.since));
    let (why, Standing { free_bytes, log_bytes, held, .. }) = (store.refusing(), standing);
    let when = |holds: bool| holds.then_some(now);
    let stood = |sort: AlarmSort| news.stood(sort).next().is_some();
    by_itself(AlarmSort::Damage, when(why == Some(NotReady::Damaged)));
    by_itself(AlarmSort::Disk, when(why == Some(NotReady::DiskFull) || free_bytes < LITTLE_ROOM));
    by_itself(AlarmSort::Log, when(why == Some(NotReady::LogTooLong) || log_bytes > LONG_LOG));
    by_itself(
        AlarmSort::Quarantine,
        when(held.map_or_else(|| stood(AlarmSort::Quarantine), |held| held.quarantined > 0)),
    );
    let turn = backups.map(|turn| i64::try_from(turn.as_micros()).unwrap_or(i64::MAX));
    let too_old = turn.and_then(|turn| meters.last_backup().filter(|made| (now - made) / 2 > turn));
    by_itself(AlarmSort::Backup, meters.backup_failing_since().or(too_old));
    let ends = meters.certificate_end();
    let is_not_seen_yet = clock.begun_at + SHOWS_WITHIN > now && stood(AlarmSort::Certificate);
    by_itself(AlarmSort::Certificate, when(ends.map_or(is_not_seen_yet, |end| end - now < RENEWED_BEFORE)));
    by_itself(AlarmSort::ClockStep, clock.stepped_at.filter(|at| (0..STEP_TOLD).contains(&(now - at))));
    stand
}

/// Whether the clock goes as time does.
struct Clock {
    begun_at: i64,
    wall: i64,
    really: Instant,
    stepped_at: Option<i64>,
}

impl Clock {
    fn at(now: i64) -> Clock {
        Clock { begun_at: now, wall: now, really: Instant::now(), stepped_at: None }
    }

    fn look(&mut self, wall: i64, really: Instant) {
        let went_by = i64::try_from((really - self.really).as_micros()).unwrap_or(i64::MAX);
        let off = wall - self.wall - went_by;
        if off.abs() > STEP {
            self.stepped_at = Some(wall);
            tracing::warn!(
                event = "clock.stepped",
                seconds = off / SECOND,
                "the clock was set, or the machine slept: times of arrival and removal by age rest on it"
            );
        }
        (self.wall, self.really) = (wall, really);
    }
}

#[cfg(test)]
mod tests {
    use super::outlets::State;
    use super::*;
    use crate::store::ToldAlarm;

    const NOW: i64 = 1_795_000_000_000_000;

    #[test]
    fn a_clock_that_does_not_go_as_time_does_has_stepped() {
        let mut clock = Clock::at(NOW);
        let begun = clock.really;
        clock.look(NOW + 15 * SECOND, begun + Duration::from_secs(15));
        assert_eq!(clock.stepped_at, None);
        clock.look(NOW - HOUR, begun + Duration::from_secs(30));
        assert_eq!(clock.stepped_at, Some(NOW - HOUR));
    }

    #[tokio::test]
    async fn what_goes_wrong_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        let (clock, news) = (Clock { stepped_at: Some(NOW), ..Clock::at(NOW) }, News::default());
        let meters = store.meters();
        let found = async || {
            let stand = look(&store, Some(Duration::from_hours(24)), &clock, &news, NOW + 1).await;
            stand.into_iter().map(|stands| stands.sort).filter(|sort| *sort != AlarmSort::Disk).collect::<Vec<_>>()
        };
        assert_eq!(found().await, [AlarmSort::ClockStep]);
        meters.backup_made(NOW - 3 * DAY);
        meters.certificate_ends(NOW + 13 * DAY);
        meters.came(
            crate::meters::Came { service: None, kind: "complaints", answer: 503 },
            NOW - 5 * MINUTE - 40 * SECOND,
        );
        let all = [AlarmSort::Refusing, AlarmSort::Backup, AlarmSort::Certificate, AlarmSort::ClockStep];
        assert_eq!(found().await, all);
        meters.backup_made(NOW);
        meters.backup_failed(NOW + 1);
        assert_eq!(found().await, all, "the last one failed");
    }

    #[tokio::test]
    async fn what_stood_before_a_start_stands_until_it_shows_that_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let (store, turn) = (Store::serve(folder.path(), NOW).unwrap(), Some(Duration::from_hours(24)));
        let all = [AlarmSort::Refusing, AlarmSort::Backup, AlarmSort::Certificate, AlarmSort::ClockStep];
        let told = all.iter().map(|sort| Stands { sort: *sort, about: None, since: NOW - 20 * MINUTE });
        let told = told.map(|stands| ToldAlarm { stands, told_at: NOW - 20 * MINUTE }).collect();
        store.note_told_alarms(told).await.unwrap();
        let (mut news, clock) = begin(&store, turn, true, NOW).await;
        let mut at = async |now: i64| {
            let stand = look(&store, turn, &clock, &news, now).await;
            let stand: Vec<Stands> = stand.into_iter().filter(|stands| stands.sort != AlarmSort::Disk).collect();
            let news = news.of(&stand, now);
            news.iter().map(|told| (told.state, told.stands.sort)).collect::<Vec<_>>()
        };
        assert_eq!(at(NOW + 1).await, []);
        store.meters().backup_made(NOW + 2);
        store.meters().certificate_ends(NOW + 90 * DAY);
        let ended = |sort| (State::Ended, sort);
        assert_eq!(at(NOW + 3).await, [ended(AlarmSort::Backup), ended(AlarmSort::Certificate)]);
        let came =
            |answer, at| store.meters().came(crate::meters::Came { service: None, kind: "complaints", answer }, at);
        came(503, NOW + 5 * MINUTE);
        came(200, NOW + 5 * MINUTE + 1);
        assert_eq!(at(NOW + 11 * MINUTE - 1).await, [], "Notify tried again in vain");
        assert_eq!(at(NOW + 11 * MINUTE).await, [ended(AlarmSort::Refusing)]);
        assert_eq!(at(NOW + 40 * MINUTE).await, [ended(AlarmSort::ClockStep)]);
    }
}
