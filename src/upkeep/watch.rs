//! Looks what is wrong, tells it when it begins, each day while it lasts and when it ends, and keeps nobody waiting for that.

mod outlets;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::clock::{self, DAY, HOUR, MINUTE, SECOND};
use crate::meters::Standing;
use crate::store::{AlarmSort, NotReady, Stands, Store};

pub use outlets::{Outlets, Webhook, WrongWebhook};
use outlets::{State, Told};

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
/// The clock and the time that really went by may differ by so much.
const STEP: i64 = MINUTE;
/// For how long a step is told of.
const STEP_TOLD: i64 = HOUR;

/// Looks and tells until it is dropped. `backups` is the time from one backup to the next, where there is a schedule.
pub async fn watch(store: Store, backups: Option<Duration>, outlets: Outlets) {
    let (tell, telling) = outlets.open();
    let looking = async {
        let (mut news, mut clock) = (News::default(), Clock::now());
        loop {
            let now = clock::now();
            clock.look(now, Instant::now());
            let stand = look(&store, backups, &clock, &news, now).await;
            for told in news.of(&stand, now) {
                tell.tell(&told);
            }
            store.note_standing_alarms(&news.stand());
            if timeout(LOOKS_EVERY, store.alarms_changed()).await.is_ok() {
                sleep(GATHERS).await;
            }
        }
    };
    tokio::join!(looking, telling);
}

/// All that stands.
async fn look(store: &Store, backups: Option<Duration>, clock: &Clock, news: &News, now: i64) -> Vec<Stands> {
    let mut stand = match store.alarms_to_tell().await {
        Ok(stand) => stand,
        // What cannot be read has not ended.
        Err(_) => news.told.keys().filter(|(sort, _)| sort.is_raised()).map(|key| news.again(key)).collect(),
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
    by_itself(AlarmSort::Damage, when(why == Some(NotReady::Damaged)));
    by_itself(AlarmSort::Disk, when(why == Some(NotReady::DiskFull) || free_bytes < LITTLE_ROOM));
    by_itself(AlarmSort::Log, when(why == Some(NotReady::LogTooLong) || log_bytes > LONG_LOG));
    by_itself(AlarmSort::Quarantine, when(held.is_some_and(|held| held.quarantined > 0)));
    let turn = backups.map(|turn| i64::try_from(turn.as_micros()).unwrap_or(i64::MAX));
    let too_old = turn.and_then(|turn| meters.last_backup().filter(|made| (now - made) / 2 > turn));
    by_itself(AlarmSort::Backup, meters.backup_failing_since().or(too_old));
    by_itself(AlarmSort::Certificate, when(meters.certificate_end().is_some_and(|end| end - now < RENEWED_BEFORE)));
    by_itself(AlarmSort::ClockStep, clock.stepped_at.filter(|at| (0..STEP_TOLD).contains(&(now - at))));
    stand
}

/// Whether the clock goes as time does.
struct Clock {
    wall: i64,
    really: Instant,
    stepped_at: Option<i64>,
}

impl Clock {
    fn now() -> Clock {
        Clock { wall: clock::now(), really: Instant::now(), stepped_at: None }
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

/// What has been told.
#[derive(Default)]
struct News {
    told: BTreeMap<(AlarmSort, Option<String>), Before>,
}

struct Before {
    since: i64,
    told_at: i64,
}

impl News {
    /// What is to be told of what stands now.
    fn of(&mut self, stand: &[Stands], now: i64) -> Vec<Told> {
        let mut news = Vec::new();
        let ended =
            |key: &(AlarmSort, Option<String>)| !stand.iter().any(|now| now.sort == key.0 && now.about == key.1);
        for (key, before) in self.told.extract_if(.., |key, _| ended(key)) {
            let stood = Stands { sort: key.0, about: key.1, since: before.since };
            news.push(Told { state: State::Ended, stands: stood, now });
        }
        for stands in stand {
            let key = (stands.sort, stands.about.clone());
            let state = match self.told.get(&key) {
                None => State::Began,
                // A clock that was put back tells nothing twice.
                Some(before) if now - before.told_at >= DAY => State::GoesOn,
                Some(_) => continue,
            };
            let since = self.told.get(&key).map_or(stands.since, |before| before.since);
            self.told.insert(key, Before { since, told_at: now });
            news.push(Told { state, stands: Stands { since, ..stands.clone() }, now });
        }
        news
    }

    /// All that stand, each since it was seen first.
    fn stand(&self) -> Vec<Stands> {
        self.told.keys().map(|key| self.again(key)).collect()
    }

    /// One that was told, as it still stands.
    fn again(&self, key: &(AlarmSort, Option<String>)) -> Stands {
        let since = self.told.get(key).map_or(0, |before| before.since);
        Stands { sort: key.0, about: key.1.clone(), since }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000_000_000;

    fn told(news: &mut News, stand: &[AlarmSort], now: i64) -> Vec<(State, AlarmSort, i64)> {
        let stand: Vec<Stands> = stand.iter().map(|sort| Stands { sort: *sort, about: None, since: now }).collect();
        news.of(&stand, now).into_iter().map(|told| (told.state, told.stands.sort, told.stands.since)).collect()
    }

    #[test]
    fn an_alarm_is_told_when_it_begins_after_a_day_and_when_it_ends() {
        use AlarmSort::{Disk, Quarantine};
        let mut news = News::default();
        assert_eq!(told(&mut news, &[Disk], NOW), [(State::Began, Disk, NOW)]);
        assert_eq!(told(&mut news, &[Disk], NOW + DAY - 1), []);
        let both = told(&mut news, &[Disk, Quarantine], NOW + DAY);
        assert_eq!(both, [(State::GoesOn, Disk, NOW), (State::Began, Quarantine, NOW + DAY)]);
        assert_eq!(told(&mut news, &[Disk, Quarantine], NOW), [], "the clock was put back");
        assert_eq!(told(&mut news, &[Quarantine], NOW + DAY + 1), [(State::Ended, Disk, NOW)]);
        assert_eq!(told(&mut news, &[Disk, Quarantine], NOW + DAY + 2), [(State::Began, Disk, NOW + DAY + 2)]);
    }

    #[test]
    fn a_clock_that_does_not_go_as_time_does_has_stepped() {
        let mut clock = Clock { wall: NOW, really: Instant::now(), stepped_at: None };
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
        let (clock, news) = (Clock { stepped_at: Some(NOW), ..Clock::now() }, News::default());
        let meters = store.meters();
        let found = async || {
            let stand = look(&store, Some(Duration::from_hours(24)), &clock, &news, NOW + 1).await;
            stand.into_iter().map(|stands| stands.sort).filter(|sort| *sort != AlarmSort::Disk).collect::<Vec<_>>()
        };
        assert_eq!(found().await, [AlarmSort::ClockStep]);
        meters.backup_made(NOW - 3 * DAY);
        meters.certificate_ends(NOW + 13 * DAY);
        meters.came(crate::meters::Came { service: None, kind: "complaints", answer: 503 }, NOW - 5 * MINUTE - 40 * SECOND);
        let all = [AlarmSort::Refusing, AlarmSort::Backup, AlarmSort::Certificate, AlarmSort::ClockStep];
        assert_eq!(found().await, all);
        meters.backup_made(NOW);
        meters.backup_failed(NOW + 1);
        assert_eq!(found().await, all, "the last one failed");
    }
}
