//! The last 24 hours, hour by hour: how many callbacks were refused, and how long the slowest took.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;
/// Hours that are kept.
const KEPT: i64 = 24;
/// Where one range of times ends and the next begins, in seconds.
pub(super) const BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 3.5, 5.0];

/// What was counted in an hour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hour {
    /// The hour, since 1970 UTC.
    pub hour: i64,
    /// Callbacks that were not acknowledged.
    pub refused: u64,
    took: [u64; BOUNDS.len() + 1],
}

impl Hour {
    /// One in which nothing came.
    #[must_use]
    pub fn without_any(hour: i64) -> Hour {
        Hour { hour, ..Hour::default() }
    }

    /// As it was counted before; `None` where that was by other ranges of times.
    #[must_use]
    pub fn counted(hour: i64, refused: u64, took: &[u64]) -> Option<Hour> {
        Some(Hour { hour, refused, took: took.try_into().ok()? })
    }

    /// How many were answered within each range of times, the shortest first.
    #[must_use]
    pub fn took(&self) -> &[u64] {
        &self.took
    }

    /// 99 of 100 callbacks were answered within so many seconds: the end of the range of times that it falls into. Infinite where that
    /// range has no end; `None` where nothing came.
    #[must_use]
    pub fn slowest(&self) -> Option<f64> {
        let all: u64 = self.took.iter().sum();
        let wanted = all - all / 100;
        let mut so_far = 0;
        let range = self.took.iter().position(|took| {
            so_far += took;
            so_far >= wanted
        });
        range.filter(|_| all > 0).map(|range| BOUNDS.get(range).copied().unwrap_or(f64::INFINITY))
    }
}

/// The hours.
#[derive(Default)]
pub(super) struct Day(Mutex<VecDeque<Hour>>);

impl Day {
    pub(super) fn answered(&self, refused: bool, took: Duration, now: i64) {
        let hour = now.div_euclid(HOUR);
        let mut hours = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hours.back().is_none_or(|last| last.hour != hour) {
            hours.push_back(Hour::without_any(hour));
            hours.retain(|kept| (0..KEPT).contains(&(hour - kept.hour)));
        }
        let Some(last) = hours.back_mut() else { return };
        last.refused += u64::from(refused);
        let range = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = last.took.get_mut(range) {
            *count += 1;
        }
    }

    /// Goes on from these, the oldest first.
    pub(super) fn remember(&self, hours: impl Iterator<Item = Hour>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(hours);
    }

    pub(super) fn hours(&self) -> Vec<Hour> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_knows_what_was_refused_and_within_what_nearly_all_were_answered() {
        let (day, now) = (Day::default(), 500_000 * HOUR);
        for n in 0..200 {
            let took = Duration::from_millis(if n < 198 { 4 } else { 90 });
            day.answered(n == 7, took, now + n);
        }
        let hours = day.hours();
        assert_eq!((hours.len(), hours[0].refused, hours[0].slowest()), (1, 1, Some(0.005)));
        day.answered(false, Duration::from_secs(9), now + 23 * HOUR);
        assert_eq!(day.hours().iter().map(Hour::slowest).collect::<Vec<_>>(), [Some(0.005), Some(f64::INFINITY)]);
        day.answered(false, Duration::ZERO, now + 24 * HOUR);
        assert_eq!(day.hours().iter().map(|hour| hour.hour).collect::<Vec<_>>(), [500_023, 500_024]);
        assert_eq!(Hour::default().slowest(), None);
    }
}
