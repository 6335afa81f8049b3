//! A delay after failed sign-ins that doubles from the fourth on. Nobody is locked out for good.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::clock::{DAY, MINUTE, SECOND};

/// Failures that cost nothing.
const FREE: u32 = 3;
/// The longest delay.
const LONGEST: i64 = 15 * MINUTE;
/// Accounts remembered; past this the whole memory starts anew rather than grow.
const REMEMBERED: usize = 100_000;

/// What failed lately, by the hash of the address that was typed, known or not: an address as long as a form takes no more room.
#[derive(Default)]
pub(super) struct Throttle {
    failures: Mutex<HashMap<Mark, Failures>>,
}

type Mark = [u8; 32];

fn mark(address: &str) -> Mark {
    Sha256::digest(address).into()
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    latest: i64,
}

impl Throttle {
    /// Begins a try for this address, or says how many seconds it still has to wait. A try counts as failed until it has
    /// succeeded, so that guessing many at once gains nothing.
    pub(super) fn begin(&self, address: &str, now: i64) -> Result<(), i64> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED {
            failures.retain(|_, failed| failed.latest + LONGEST > now);
        }
        if failures.len() >= REMEMBERED {
            failures.clear();
        }
        let failed = failures.entry(mark(address)).or_insert(Failures { count: 0, latest: now });
        let left = failed.latest + delay(failed.count) - now;
        if left > 0 {
            return Err((left + SECOND - 1) / SECOND);
        }
        let forgotten = failed.latest + DAY < now;
        *failed = Failures { count: if forgotten { 1 } else { failed.count.saturating_add(1) }, latest: now };
        Ok(())
    }

    pub(super) fn succeeded(&self, address: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&mark(address));
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
        let begin = |seconds| throttle.begin("a@example.com", seconds * SECOND);
        assert_eq!([0; 5].map(begin), [Ok(()), Ok(()), Ok(()), Ok(()), Err(1)]);
        assert_eq!([1; 2].map(begin), [Ok(()), Err(2)]);
        assert_eq!([3; 2].map(begin), [Ok(()), Err(4)]);
        assert_eq!(throttle.begin("b@example.com", 0), Ok(()));
        throttle.succeeded("a@example.com");
        assert_eq!(begin(3), Ok(()));
    }

    #[test]
    fn a_long_address_takes_no_more_room_than_a_short_one() {
        let throttle = Throttle::default();
        let long = "a".repeat(60_000);
        assert_eq!([0; 4].map(|now| throttle.begin(&long, now)), [Ok(()); 4]);
        assert_eq!(throttle.begin(&long, 0), Err(1));
        assert_eq!(throttle.begin(&long.replacen('a', "b", 1), 0), Ok(()), "another address is another");
        assert!(throttle.failures.lock().unwrap().keys().all(|mark| mark.len() == 32));
    }

    #[test]
    fn the_delay_never_passes_a_quarter_of_an_hour() {
        assert_eq!(delay(u32::MAX), LONGEST);
    }
}
