//! A delay after failed sign-ins that doubles from the fourth on. Nobody is locked out for good.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::{DAY, MINUTE, SECOND};

/// Failures that cost nothing.
const FREE: u32 = 3;
/// The longest delay.
const LONGEST: i64 = 15 * MINUTE;
/// Accounts remembered; past this the whole memory starts anew rather than grow.
const REMEMBERED: usize = 100_000;

/// What failed lately, by the address that was typed, known or not.
#[derive(Default)]
pub(super) struct Throttle {
    failures: Mutex<HashMap<String, Failures>>,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    latest: i64,
}

impl Throttle {
    /// The seconds still to wait before this address may try again.
    pub(super) fn wait(&self, address: &str, now: i64) -> Option<i64> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = failures.get(address)?;
        let left = failed.latest + delay(failed.count) - now;
        (left > 0).then(|| (left + SECOND - 1) / SECOND)
    }

    pub(super) fn failed(&self, address: &str, now: i64) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED {
            failures.retain(|_, failed| failed.latest + LONGEST > now);
        }
        if failures.len() >= REMEMBERED {
            failures.clear();
        }
        let failed = failures.entry(address.to_owned()).or_insert(Failures { count: 0, latest: now });
        let forgotten = failed.latest + DAY < now;
        *failed = Failures { count: if forgotten { 1 } else { failed.count.saturating_add(1) }, latest: now };
    }

    pub(super) fn succeeded(&self, address: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
    }
}

/// The delay after so many failures, in microseconds: 1 second after the fourth, then twice as long each time.
fn delay(count: u32) -> i64 {
    match count.checked_sub(FREE + 1) {
        None => 0,
        Some(doublings) => SECOND.checked_shl(doublings.min(20)).unwrap_or(LONGEST).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_begins_at_the_fourth_failure_and_doubles() {
        let throttle = Throttle::default();
        let waits: Vec<_> = (0..6)
            .map(|_| {
                throttle.failed("a@example.com", 0);
                throttle.wait("a@example.com", 0)
            })
            .collect();
        assert_eq!(waits, [None, None, None, Some(1), Some(2), Some(4)]);
        assert_eq!(throttle.wait("b@example.com", 0), None);
        assert_eq!(throttle.wait("a@example.com", 4 * SECOND), None);
        throttle.succeeded("a@example.com");
        assert_eq!(throttle.wait("a@example.com", 0), None);
    }

    #[test]
    fn the_delay_never_passes_a_quarter_of_an_hour() {
        assert_eq!(delay(u32::MAX), LONGEST);
    }
}
