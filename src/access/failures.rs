//! Many failed sign-ins raise an alarm: of one account, whoever fails, and from one source, whatever address is typed. They are
//! counted in memory by number and by network address, never by what was typed.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::neighbourhood::Neighbourhood;
use super::visitors::Visitors;
use crate::clock::HOUR;
use crate::store::{Alarm, AlarmSort, By};

/// Within so long.
const WITHIN: i64 = HOUR;
/// So many failures of an account are many.
const OF_ACCOUNT: usize = 10;
/// So many from a source are: an office behind one address mistypes too.
const FROM_SOURCE: usize = 30;
/// What is remembered of each kind; past this what began first goes.
const REMEMBERED: usize = 10_000;

/// What failed within the last hour.
#[derive(Default)]
pub(super) struct Failures(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    accounts: HashMap<i64, VecDeque<i64>>,
    sources: HashMap<Neighbourhood, VecDeque<i64>>,
}

impl Failures {
    /// Counts a failure, and gives the alarms that it is one too many for. Then the count begins anew, so that an alarm that somebody
    /// has dealt with needs as many again.
    fn count(&self, account: Option<i64>, source: Option<IpAddr>, now: i64) -> Vec<Alarm> {
        let counts = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let source = source.and_then(Neighbourhood::elsewhere);
        let account = account.filter(|account| is_many(&mut counts.accounts, *account, OF_ACCOUNT, now));
        let source = source.filter(|source| is_many(&mut counts.sources, *source, FROM_SOURCE, now));
        let alarm = |object: String, many: usize| {
            Alarm::new(AlarmSort::FailedSignIns, object).with(format!("{many} within an hour"))
        };
        let account = account.map(|account| alarm(format!("account {account}"), OF_ACCOUNT));
        let source = source.map(|source| alarm(format!("from {source}"), FROM_SOURCE));
        account.into_iter().chain(source).collect()
    }
}

fn is_many<K: Eq + Hash + Copy>(counts: &mut HashMap<K, VecDeque<i64>>, key: K, many: usize, now: i64) -> bool {
    // What lies ahead is of a clock that was set back since.
    let counts_still = |at: &i64| (0..WITHIN).contains(&(now - at));
    if counts.len() >= REMEMBERED && !counts.contains_key(&key) {
        counts.retain(|_, failed| failed.back().is_some_and(counts_still));
        if counts.len() >= REMEMBERED {
            let oldest = counts.iter().min_by_key(|(_, failed)| failed.front().copied()).map(|(key, _)| *key);
            oldest.and_then(|oldest| counts.remove(&oldest));
        }
    }
    let failed = counts.entry(key).or_default();
    failed.retain(counts_still);
    failed.push_back(now);
    let is_many = failed.len() >= many;
    if is_many {
        counts.remove(&key);
    }
    is_many
}

impl Visitors {
    /// Counts a sign-in that failed in its first step, and writes it down where the address has an account: one without may be
    /// anything that was typed there. Nobody waits for the others, so that the answer takes as long.
    pub(super) fn note_failure(&self, known: Option<By>, source: &str, now: i64) {
        self.count_failure(known.as_ref().and_then(|by| by.person), source, now);
        let Some(by) = known else { return };
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.note_failed_sign_in(by, now).await {
                tracing::warn!(event = "access.failure_not_noted", error = %error, "a failed sign-in could not be written down");
            }
        });
    }

    /// Counts a sign-in that failed, and raises the alarms of many without keeping whoever is to be answered.
    pub(super) fn count_failure(&self, account: Option<i64>, source: &str, now: i64) {
        for alarm in self.failures.count(account, source.parse().ok(), now) {
            let store = self.store.clone();
            tokio::spawn(async move {
                if let Err(error) = store.raise(alarm, now).await {
                    tracing::error!(event = "alarm.not_kept", error = %error, "an alarm could not be kept for the people who look at the pages");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{DAY, MINUTE};

    fn objects(alarms: Vec<Alarm>) -> Vec<String> {
        alarms.into_iter().map(|alarm| alarm.object).collect()
    }

    fn from(last: i64) -> Option<IpAddr> {
        format!("192.0.2.{last}").parse().ok()
    }

    #[test]
    fn the_tenth_failure_of_an_account_within_an_hour_raises_an_alarm_from_wherever_they_come() {
        let failures = Failures::default();
        for n in 1..10 {
            assert_eq!(failures.count(Some(7), from(n), n * MINUTE), [], "{n}");
        }
        assert_eq!(failures.count(Some(8), from(1), 9 * MINUTE), [], "another account’s are its own");
        assert_eq!(objects(failures.count(Some(7), from(10), 10 * MINUTE)), ["account 7"]);
        assert_eq!(failures.count(Some(7), from(11), 11 * MINUTE), [], "it needs as many again");
    }

    #[test]
    fn failures_further_apart_than_an_hour_raise_none() {
        let failures = Failures::default();
        for n in 0..100 {
            assert_eq!(failures.count(Some(7), from(1), n * 7 * MINUTE), [], "{n}");
        }
    }

    #[test]
    fn the_thirtieth_failure_from_a_source_raises_an_alarm_whatever_is_typed() {
        let failures = Failures::default();
        for n in 1..30 {
            assert_eq!(failures.count(Some(n).filter(|n| n % 2 == 0), from(1), n), []);
        }
        assert_eq!(objects(failures.count(None, from(1), 30)), ["from 192.0.2.1"]);
        for _ in 0..100 {
            assert_eq!(failures.count(None, "127.0.0.1".parse().ok(), 31), [], "a proxy that was not named");
        }
    }

    #[test]
    fn what_is_remembered_has_a_limit_and_the_newest_stay() {
        let failures = Failures::default();
        for n in 0..u32::try_from(REMEMBERED).unwrap() + 50 {
            failures.count(Some(i64::from(n)), Some(IpAddr::V4((0x0B00_0000 + n).into())), i64::from(n));
        }
        let counts = failures.0.lock().unwrap();
        assert_eq!((counts.accounts.len(), counts.sources.len()), (REMEMBERED, REMEMBERED));
        assert!(!counts.accounts.contains_key(&0) && counts.accounts.contains_key(&10_049));
    }

    #[test]
    fn what_failed_before_the_clock_was_set_back_counts_no_more() {
        let failures = Failures::default();
        for _ in 0..9 {
            assert_eq!(failures.count(Some(7), None, DAY), []);
        }
        assert_eq!(failures.count(Some(7), None, 0), []);
    }
}
