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
/// Notify sends again after five minutes: when nothing was refused for longer than that, the trouble is over. What was taken meanwhile
/// ends it no sooner, as it may be one callback among many that is refused at each attempt.
const NO_LONGER_REFUSED: i64 = 6 * MINUTE;
/// So late after the five minutes Notify may send again.
const LATE: i64 = MINUTE / 2;

/// What a callback is counted as of which nobody knows what it was.
pub const UNREAD: &str = "unread";
/// And one that could not be understood.
pub const NOT_UNDERSTOOD: &str = "not-understood";
/// And what `counterfoil doctor` sent.
pub const TEST: &str = "test";

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

/// That callbacks, or some of them, are answered 503 or not at all, one time after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// Since when, in microseconds since 1970 UTC.
    pub since: i64,
    /// For how long it has gone on for certain: where others are taken, from the first that was refused to the last.
    pub lasted: i64,
}

/// When callbacks were answered 503.
#[derive(Clone, Copy, Default)]
struct Refusing {
    since: i64,
    last: i64,
    taken: i64,
}

impl Refusing {
    fn goes_on(&self, now: i64) -> bool {
        self.last != 0 && now - self.last < NO_LONGER_REFUSED
    }

    fn trouble(&self, now: i64) -> Trouble {
        // Where nothing came since, it may be over: the next attempt tells.
        let until = if self.taken > self.last { self.last } else { self.last.max(now - LATE) };
        Trouble { since: self.since, lasted: until - self.since }
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

    /// Goes on from what was counted before the start: hours, the oldest first, and as [`Meters::last_taken`] gives them, when what was
    /// taken last.
    pub fn remember(&self, hours: impl Iterator<Item = Hour>, last: impl Iterator<Item = (i64, &'static str, i64)>) {
        self.day.remember(hours);
        let mut callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        callbacks.extend(last.map(|(service, kind, last_at)| {
            let taken = Came { service: Some(service), kind, answer: 200 };
            // Since the start none has come.
            (taken, Count { times: 0, last_at })
        }));
    }

    /// They were before the start too, since this moment: whether that goes on the next attempts tell.
    pub fn was_refusing(&self, since: i64, now: i64) {
        *self.refusing.lock().unwrap_or_else(PoisonError::into_inner) = Refusing { since, last: now, taken: 0 };
    }

    /// That callbacks are answered 503, where that goes on.
    #[must_use]
    pub fn refusing(&self, now: i64) -> Option<Trouble> {
        let refusing = *self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        refusing.goes_on(now).then(|| refusing.trouble(now))
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
        self.backup_failed_at.fetch_max(at, Ordering::Relaxed);
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

    /// When a callback of each service and kind was taken last: the service's number, the kind's word, the moment.
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

    const SECOND: i64 = MINUTE / 60;

    /// Meters that were told of these answers, at these moments after [`NOW`].
    fn answered(answers: impl IntoIterator<Item = (u16, i64)>) -> Meters {
        let meters = Meters::default();
        for (answer, at) in answers {
            meters.came(Came { service: Some(1), kind: "complaints", answer }, NOW + at);
        }
        meters
    }

    /// Since when it has gone on and for how long, from [`NOW`] on.
    fn trouble(meters: &Meters, at: i64) -> Option<(i64, i64)> {
        meters.refusing(NOW + at).map(|trouble| (trouble.since - NOW, trouble.lasted))
    }

    #[test]
    fn refusals_go_on_from_one_attempt_of_notify_to_the_next_and_end_when_none_is_refused_for_longer() {
        assert_eq!(trouble(&Meters::default(), 0), None);
        let meters = answered((0..3).map(|attempt| (503, attempt * 5 * MINUTE)));
        assert_eq!(trouble(&meters, 15 * MINUTE), Some((0, 15 * MINUTE - LATE)));
        assert_eq!(trouble(&meters, 16 * MINUTE), None, "nobody tries any more");
        let meters = answered([(0, 0), (401, 5 * MINUTE)]);
        assert_eq!(trouble(&meters, 5 * MINUTE), Some((0, 5 * MINUTE - LATE)), "unanswered, it is sent again as well");
        assert_eq!(trouble(&meters, 6 * MINUTE), None, "what has a wrong token is not sent again");
    }

    #[test]
    fn one_callback_that_is_refused_at_each_attempt_is_seen_among_all_that_are_taken() {
        let taken = (1..660).map(|second| (200, second * SECOND));
        let refused = [0, 5 * MINUTE + 1, 10 * MINUTE + 2].map(|at| (503, at));
        let mut answers: Vec<(u16, i64)> = taken.chain(refused).collect();
        answers.sort_by_key(|(_, at)| *at);
        let at = |moment: i64| trouble(&answered(answers.iter().copied().filter(|(_, at)| *at <= moment)), moment);
        assert_eq!(at(5 * MINUTE), Some((0, 0)), "it was refused once");
        for moment in [5 * MINUTE + 1, 10 * MINUTE] {
            assert_eq!(at(moment), Some((0, 5 * MINUTE + 1)), "twice, all through five minutes");
        }
        assert_eq!(at(11 * MINUTE), Some((0, 10 * MINUTE + 2)));
        assert_eq!(trouble(&answered(answers.clone()), 16 * MINUTE + 2), None, "it ends after a quiet time");
    }

    #[test]
    fn a_moment_of_refusals_is_over_when_they_are_taken_at_the_next_attempt() {
        let burst = (0..100).map(|n| (503, n * SECOND / 10));
        let again = (0..100).map(|n| (200, 5 * MINUTE + 9 * SECOND + n * SECOND / 10));
        let meters = answered(burst);
        for moment in [MINUTE, 5 * MINUTE + 8 * SECOND] {
            assert!(trouble(&meters, moment).is_some_and(|(_, lasted)| lasted < 5 * MINUTE), "{moment}");
        }
        again.for_each(|(answer, at)| meters.came(Came { service: Some(1), kind: "complaints", answer }, NOW + at));
        let over = trouble(&meters, 5 * MINUTE + 59 * SECOND).expect("it is not forgotten yet");
        assert!(over.1 < 10 * SECOND, "{over:?}");
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
