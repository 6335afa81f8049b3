//! How often one person may have Notify asked by hand.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::MINUTE;

/// Questions of one person in a minute.
const A_MINUTE: usize = 10;

/// When each person asked lately.
#[derive(Default)]
pub struct Pace(Mutex<HashMap<i64, Vec<i64>>>);

impl Pace {
    /// Whether this person may ask now; then it counts.
    pub fn begin(&self, person: i64, now: i64) -> bool {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, moments| {
            moments.retain(|moment| (now - MINUTE..=now).contains(moment));
            !moments.is_empty()
        });
        let moments = asked.entry(person).or_default();
        if moments.len() >= A_MINUTE {
            return false;
        }
        moments.push(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_ten_times_in_a_minute_waits_and_nobody_else_does() {
        let pace = Pace::default();
        assert!((0..10).all(|n| pace.begin(1, n)));
        assert!(!pace.begin(1, 10) && pace.begin(2, 10));
        assert!(pace.begin(1, MINUTE + 1));
        assert!(pace.begin(1, 0), "a clock that is set back keeps nobody out");
    }
}
