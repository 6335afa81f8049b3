//! What is told of the alarms that stand: when one begins, each day while it lasts, and when it ends. It is kept in the store when every
//! outlet has it, so that a start neither tells it again nor forgets it. Where there is no outlet nobody was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::outlets::{State, Told};
use crate::clock::DAY;
use crate::store::{AlarmSort, Stands, Store, ToldAlarm};

/// When something was told that stood while there was no outlet.
const NEVER: i64 = 0;

type Key = (AlarmSort, Option<String>);

/// What has been told.
#[derive(Default)]
pub(super) struct News {
    told: BTreeMap<Key, Before>,
    /// As far as the outlets have it.
    passed_on: BTreeMap<Key, Before>,
    /// What they do not have yet, in its order.
    under_way: Vec<Arc<Told>>,
    /// Whether the store has what they have.
    is_kept: bool,
    /// Whether there is an outlet.
    reaches_somebody: bool,
}

#[derive(Clone, Copy)]
struct Before {
    since: i64,
    told_at: i64,
}

impl News {
    /// Goes on from what was told before the start.
    pub(super) fn after(told: Vec<ToldAlarm>, reaches_somebody: bool) -> News {
        let before = |told: ToldAlarm| {
            let Stands { sort, about, since } = told.stands;
            ((sort, about), Before { since, told_at: told.told_at })
        };
        let told: BTreeMap<Key, Before> = told.into_iter().map(before).collect();
        News { passed_on: told.clone(), told, under_way: Vec::new(), is_kept: true, reaches_somebody }
    }

    /// What is to be told of what stands now.
    pub(super) fn of(&mut self, stand: &[Stands], now: i64) -> Vec<Arc<Told>> {
        let mut news = Vec::new();
        let ended = |key: &Key| !stand.iter().any(|now| now.sort == key.0 && now.about == key.1);
        for (key, before) in self.told.extract_if(.., |key, _| ended(key)) {
            let stood = Stands { sort: key.0, about: key.1, since: before.since };
            news.push(Told { state: State::Ended, stands: stood, now });
        }
        for stands in stand {
            let key = (stands.sort, stands.about.clone());
            let state = match self.told.get(&key) {
                None | Some(Before { told_at: NEVER, .. }) => State::Began,
                // A clock that was put back tells nothing twice.
                Some(before) if now - before.told_at >= DAY => State::GoesOn,
                Some(_) => continue,
            };
            let since = self.told.get(&key).map_or(stands.since, |before| before.since);
            self.told.insert(key, Before { since, told_at: now });
            news.push(Told { state, stands: Stands { since, ..stands.clone() }, now });
        }
        let news: Vec<Arc<Told>> = news.into_iter().map(Arc::new).collect();
        self.under_way.extend(news.iter().cloned());
        news
    }

    /// All that stand, each since it was seen first.
    pub(super) fn stand(&self) -> Vec<Stands> {
        self.told.iter().map(again).collect()
    }

    /// Those of one sort that stood at the last look.
    pub(super) fn stood(&self, sort: AlarmSort) -> impl Iterator<Item = Stands> {
        self.told.iter().filter(move |(key, _)| key.0 == sort).map(again)
    }

    /// Keeps in the store what every outlet has by now. What cannot be written is tried again at the next look.
    pub(super) async fn keep(&mut self, store: &Store) {
        // An outlet lets go of what it has passed on or given up.
        for told in self.under_way.extract_if(.., |told| Arc::strong_count(told) == 1) {
            let Told { state, stands: Stands { sort, about, since }, now } = told.as_ref();
            let key = (*sort, about.clone());
            let told_at = if self.reaches_somebody { *now } else { NEVER };
            match state {
                State::Ended => self.passed_on.remove(&key),
                State::Began | State::GoesOn => self.passed_on.insert(key, Before { since: *since, told_at }),
            };
            self.is_kept = false;
        }
        if !self.is_kept {
            let of = |entry: (&Key, &Before)| ToldAlarm { stands: again(entry), told_at: entry.1.told_at };
            self.is_kept = store.note_told_alarms(self.passed_on.iter().map(of).collect()).await.is_ok();
        }
    }
}

/// One that was told, as it still stands.
fn again((key, before): (&Key, &Before)) -> Stands {
    Stands { sort: key.0, about: key.1.clone(), since: before.since }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000_000_000;

    fn stand(sorts: &[AlarmSort], since: i64) -> Vec<Stands> {
        sorts.iter().map(|sort| Stands { sort: *sort, about: None, since }).collect()
    }

    fn told(news: &mut News, sorts: &[AlarmSort], now: i64) -> Vec<(State, AlarmSort, i64)> {
        let told = news.of(&stand(sorts, now), now);
        told.iter().map(|told| (told.state, told.stands.sort, told.stands.since)).collect()
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

    #[tokio::test]
    async fn a_start_tells_again_only_what_did_not_get_out() {
        use AlarmSort::{Disk, Log, Quarantine};
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        let after_a_start = async || News::after(store.told_alarms().await.unwrap(), true);
        let mut news = News::after(vec![], true);
        let under_way = news.of(&stand(&[Disk], NOW), NOW);
        news.keep(&store).await;
        assert_eq!(told(&mut after_a_start().await, &[Disk], NOW + 1), [(State::Began, Disk, NOW + 1)]);
        drop(under_way);
        told(&mut news, &[Disk, Quarantine], NOW + 2);
        news.keep(&store).await;
        // What stood is not told again but when a day has passed since, and what ended meanwhile is told once.
        assert_eq!(told(&mut after_a_start().await, &[Disk, Quarantine], NOW + DAY - 1), []);
        let mut news = after_a_start().await;
        let expected =
            [(State::Ended, Quarantine, NOW + 2), (State::GoesOn, Disk, NOW), (State::Began, Log, NOW + DAY)];
        assert_eq!(told(&mut news, &[Disk, Log], NOW + DAY), expected);
        news.keep(&store).await;
        assert_eq!(told(&mut after_a_start().await, &[Disk, Log], NOW + DAY + 1), []);
        let under_way = news.of(&stand(&[Log], NOW + DAY + 2), NOW + DAY + 2);
        assert_eq!(under_way.len(), 1);
        news.keep(&store).await;
        assert_eq!(told(&mut after_a_start().await, &[Log], NOW + DAY + 3), [(State::Ended, Disk, NOW)]);
    }

    #[tokio::test]
    async fn what_stood_while_there_was_no_outlet_is_told_to_the_first() {
        use AlarmSort::Disk;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        let mut news = News::after(vec![], false);
        told(&mut news, &[Disk], NOW);
        assert_eq!(told(&mut news, &[Disk], NOW + 1), [], "the log has it once");
        news.keep(&store).await;
        let mut news = News::after(store.told_alarms().await.unwrap(), true);
        assert_eq!(told(&mut news, &[Disk], NOW + 2), [(State::Began, Disk, NOW)]);
        assert_eq!(told(&mut news, &[Disk], NOW + 3), []);
    }
}
