//! What is counted and measured while the server works, for those who watch it from outside: numbers, and the names of services. It
//! knows nothing of what is in a callback, and costs one next to nothing.

mod day;
mod exposition;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{Histogram, HistogramOpts};

use day::{BOUNDS, Day};

pub use day::Hour;
pub use exposition::{Held, Served, Standing};

/// Microseconds of a minute.
const MINUTE: i64 = 60_000_000;
/// Notify sends again after five minutes: when nothing was refused for longer than that, the trouble is over.
const NO_LONGER_REFUSED: i64 = 6 * MINUTE;
/// As is whatever was followed by something taken, and by nothing refused for so long.
const TAKEN_AGAIN: i64 = MINUTE;

/// A callback that was answered, as far as it is counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Came {
    /// The number of the service whose token it carried.
    pub service: Option<i64>,
    /// The last part of its kind's path, or another word where it has no kind.
    pub kind: &'static str,
    /// The status that was answered; 0 where the connection was closed unanswered.
    pub answer: u16,
}

#[derive(Clone, Copy, Default)]
struct Count {
    times: u64,
    last_at: i64,
}

/// How copying the log into the store went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copied {
    /// All of it.
    Whole,
    /// As far as nobody read in it.
    Part,
    /// It failed.
    Failed,
}

/// Since when callbacks are answered 503, and until when.
#[derive(Clone, Copy, Default)]
struct Refusing {
    since: i64,
    last: i64,
    taken: i64,
}

impl Refusing {
    fn goes_on(&self, now: i64) -> bool {
        let ago = now - self.last;
        self.last != 0 && ago < NO_LONGER_REFUSED && (self.taken <= self.last || ago < TAKEN_AGAIN)
    }

    fn answered(&mut self, answer: u16, now: i64) {
        match answer {
            200..300 => self.taken = now,
            // Unanswered, it is sent again as well.
            0 | 500.. => {
                if !self.goes_on(now) {
                    self.since = now;
                }
                self.last = now;
            }
            _ => (),
        }
    }
}

/// All that is counted.
pub struct Meters {
    began: Instant,
    callbacks: Mutex<HashMap<Came, Count>>,
    refusing: Mutex<Refusing>,
    day: Day,
    commits: Histogram,
    failed_commits: AtomicU64,
    /// In microseconds since it began; 0 is never.
    committed_at: AtomicU64,
    copied: [AtomicU64; 3],
    callback_requests: Histogram,
    page_requests: Histogram,
    backup_made_at: AtomicI64,
    backup_failed_at: AtomicI64,
    certificate_ends_at: AtomicI64,
}

impl Default for Meters {
    fn default() -> Meters {
        let requests = |of: &str| {
            let help = "Time from a request's head to its answer.";
            let buckets = BOUNDS.to_vec();
            histogram(HistogramOpts::new("counterfoil_request_seconds", help).const_label("of", of).buckets(buckets))
        };
        let help = "Time of a transaction of the store's writer, its sync among it.";
        let buckets = vec![0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.5, 1.0, 3.5];
        Meters {
            began: Instant::now(),
            callbacks: Mutex::default(),
            refusing: Mutex::default(),
            day: Day::default(),
            commits: histogram(HistogramOpts::new("counterfoil_commit_seconds", help).buckets(buckets)),
            failed_commits: AtomicU64::new(0),
            committed_at: AtomicU64::new(0),
            copied: Default::default(),
            callback_requests: requests("callback"),
            page_requests: requests("page"),
            backup_made_at: AtomicI64::new(0),
            backup_failed_at: AtomicI64::new(0),
            certificate_ends_at: AtomicI64::new(0),
        }
    }
}

fn histogram(of: HistogramOpts) -> Histogram {
    Histogram::with_opts(of).expect("its name and its buckets stand here")
}

/// A moment that has been, or none.
fn moment(of: &AtomicI64) -> Option<i64> {
    Some(of.load(Ordering::Relaxed)).filter(|at| *at != 0)
}

impl Meters {
    /// A callback was answered.
    pub fn came(&self, came: Came, now: i64) {
        let mut callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        let count = callbacks.entry(came).or_default();
        count.times += 1;
        count.last_at = now;
        drop(callbacks);
        self.refusing.lock().unwrap_or_else(PoisonError::into_inner).answered(came.answer, now);
    }

    /// Since when callbacks are answered 503, where that goes on.
    #[must_use]
    pub fn refusing_since(&self, now: i64) -> Option<i64> {
        let refusing = *self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        refusing.goes_on(now).then_some(refusing.since)
    }

    /// A request for a callback was answered.
    pub fn callback_took(&self, time: Duration, answer: u16, now: i64) {
        self.callback_requests.observe(time.as_secs_f64());
        self.day.answered(!(200..300).contains(&answer), time, now);
    }

    /// The hours of the last day in which something came, the oldest first.
    #[must_use]
    pub fn hours(&self) -> Vec<Hour> {
        self.day.hours()
    }

    /// A request for a page was answered.
    pub fn page_took(&self, time: Duration) {
        self.page_requests.observe(time.as_secs_f64());
    }

    /// The writer has committed.
    pub fn committed(&self, time: Duration) {
        self.commits.observe(time.as_secs_f64());
        let at = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.committed_at.store(at.max(1), Ordering::Relaxed);
    }

    /// A transaction of the writer's has failed.
    pub fn commit_failed(&self) {
        self.failed_commits.fetch_add(1, Ordering::Relaxed);
    }

    /// How long ago the writer committed last.
    #[must_use]
    pub fn since_commit(&self) -> Option<Duration> {
        let at = Some(self.committed_at.load(Ordering::Relaxed)).filter(|at| *at != 0)?;
        self.began.elapsed().checked_sub(Duration::from_micros(at))
    }

    /// The log was copied into the store, or not.
    pub fn copied(&self, how: Copied) {
        let [whole, part, failed] = &self.copied;
        let counts = match how {
            Copied::Whole => whole,
            Copied::Part => part,
            Copied::Failed => failed,
        };
        counts.fetch_add(1, Ordering::Relaxed);
    }

    /// The newest backup of the schedule is of this moment.
    pub fn backup_made(&self, at: i64) {
        self.backup_made_at.store(at, Ordering::Relaxed);
    }

    /// A backup of the schedule failed.
    pub fn backup_failed(&self, at: i64) {
        self.backup_failed_at.store(at, Ordering::Relaxed);
    }

    /// When the newest backup of the schedule was made, in microseconds since 1970 UTC.
    #[must_use]
    pub fn last_backup(&self) -> Option<i64> {
        moment(&self.backup_made_at)
    }

    /// When a backup failed, if none was made since.
    #[must_use]
    pub fn backup_failing_since(&self) -> Option<i64> {
        moment(&self.backup_failed_at).filter(|failed| self.last_backup().is_none_or(|made| made < *failed))
    }

    /// The certificate that is served with ends then.
    pub fn certificate_ends(&self, at: i64) {
        self.certificate_ends_at.store(at, Ordering::Relaxed);
    }

    /// When the certificate ends that is served with, in microseconds since 1970 UTC.
    #[must_use]
    pub fn certificate_end(&self) -> Option<i64> {
        moment(&self.certificate_ends_at)
    }

    /// When a callback of each service and kind was taken last, since the start: the service's number, the kind's word, the moment.
    #[must_use]
    pub fn last_taken(&self) -> Vec<(i64, &'static str, i64)> {
        let callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = callbacks.iter().filter(|(came, _)| (200..300).contains(&came.answer));
        taken.filter_map(|(came, count)| Some((came.service?, came.kind, count.last_at))).collect()
    }

    /// How many callbacks were answered since the start, of each sort.
    #[must_use]
    pub fn counted(&self) -> Vec<(Came, u64)> {
        let callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        callbacks.iter().map(|(came, count)| (*came, count.times)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000_000_000;

    #[test]
    fn refusals_go_on_from_one_attempt_of_notify_to_the_next_and_end_when_something_is_taken() {
        let meters = Meters::default();
        let answered = |answer, at| meters.came(Came { service: Some(1), kind: "complaints", answer }, at);
        assert_eq!(meters.refusing_since(NOW), None);
        for attempt in 0..3 {
            answered(503, NOW + attempt * 5 * MINUTE);
        }
        assert_eq!(meters.refusing_since(NOW + 15 * MINUTE), Some(NOW));
        answered(200, NOW + 15 * MINUTE);
        answered(503, NOW + 15 * MINUTE + 1);
        let anew = NOW + 15 * MINUTE + 1;
        assert_eq!(meters.refusing_since(anew + 1), Some(anew), "what was taken has ended the first");
        answered(200, NOW + 15 * MINUTE + 3);
        assert_eq!(meters.refusing_since(NOW + 17 * MINUTE), None);
        answered(0, NOW + 30 * MINUTE);
        assert_eq!(meters.refusing_since(NOW + 31 * MINUTE), Some(NOW + 30 * MINUTE), "a new trouble");
        assert_eq!(meters.refusing_since(NOW + 37 * MINUTE), None, "nobody tries any more");
        answered(401, NOW + 40 * MINUTE);
        assert_eq!(meters.refusing_since(NOW + 40 * MINUTE), None);
    }

    #[test]
    fn a_backup_fails_until_one_is_made() {
        let meters = Meters::default();
        assert_eq!((meters.last_backup(), meters.backup_failing_since()), (None, None));
        meters.backup_failed(NOW);
        assert_eq!(meters.backup_failing_since(), Some(NOW));
        meters.backup_made(NOW + 1);
        assert_eq!((meters.last_backup(), meters.backup_failing_since()), (Some(NOW + 1), None));
    }
}
