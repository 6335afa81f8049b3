//! The run: so many connections at the same time, the pace, the retries, and what came of it all.

use std::collections::BTreeMap;
use std::collections::btree_map::OccupiedEntry;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use super::client::{Client, Destination, Outcome};
use crate::cli::tell;
use crate::made_up::Sending;

/// Notify sends a callback once and then five times more.
const RETRIES: u32 = 5;
/// Where so many wait to be sent again, no others are begun: a server that is gone would fill the memory.
const MOST_WAITING: usize = 100_000;
/// The longest latency that is told apart; a try ends long before it.
const LONGEST_MICROS: u64 = 60_000_000;
/// The longest time until a connection without work looks again.
const LOOKS_AGAIN: Duration = Duration::from_millis(20);

/// How to send.
pub(crate) struct Options {
    pub(crate) connections: usize,
    /// Callbacks a second at most.
    pub(crate) rate: Option<u32>,
    pub(crate) retry_after: Duration,
    /// Where the ids of what was acknowledged go.
    pub(crate) acks: Option<File>,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) acknowledged: u64,
    /// Tries that failed and were made again.
    pub(crate) retried: u64,
    /// Refused for good, or failed six times.
    pub(crate) lost: u64,
    /// Still to be sent when the run was stopped.
    pub(crate) left: u64,
    took: Duration,
    /// Microseconds of each try that was acknowledged.
    latencies: Histogram<u64>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let rate = if seconds > 0.0 { count_as_f64(self.acknowledged) / seconds } else { 0.0 };
        let milliseconds =
            |quantile| Duration::from_micros(self.latencies.value_at_quantile(quantile)).as_secs_f64() * 1e3;
        write!(
            f,
            "{} acknowledged, {} retried, {} lost in {seconds:.1} s: {rate:.0} a second. Latency: half within {:.1} ms, 95 % \
             within {:.1} ms, 99 % within {:.1} ms, the slowest {:.1} ms",
            self.acknowledged,
            self.retried,
            self.lost,
            milliseconds(0.5),
            milliseconds(0.95),
            milliseconds(0.99),
            milliseconds(1.0)
        )?;
        if self.left > 0 { write!(f, ". Stopped with {} to be sent again", self.left) } else { Ok(()) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of callbacks is far below 2^52")]
fn count_as_f64(count: u64) -> f64 {
    count as f64
}

/// Shows how far a run is.
pub(crate) enum Progress {
    /// On a terminal.
    Bar(ProgressBar),
    /// A line now and then.
    Lines { count: u64, every: Duration, state: Mutex<(u64, Instant)> },
}

impl Progress {
    pub(super) fn bar(bar: ProgressBar) -> Progress {
        Progress::Bar(bar)
    }

    pub(super) fn lines(count: u64, every: Duration) -> Progress {
        Progress::Lines { count, every, state: Mutex::new((0, Instant::now())) }
    }

    pub(crate) fn hidden() -> Progress {
        Progress::Bar(ProgressBar::hidden())
    }

    fn show(&self, done: u64) {
        match self {
            Progress::Bar(bar) => bar.set_position(done),
            Progress::Lines { count, every, state } => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                if done != state.0 && state.1.elapsed() >= *every {
                    *state = (done, Instant::now());
                    tell(&format!("{done} of {count} acknowledged"));
                }
            }
        }
    }

    pub(crate) fn finish_and_clear(&self) {
        if let Progress::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// Sends everything in the plan, or until `stopped`; what is in flight then is waited for.
pub(crate) async fn deliver(
    plan: impl Iterator<Item = Sending> + Send + 'static,
    to: Destination,
    options: Options,
    progress: &Progress,
    stopped: impl Future<Output = ()>,
) -> Summary {
    let started = Instant::now();
    let connections = options.connections;
    let run = Arc::new(Run { queue: Mutex::new(Queue::new(Box::new(plan), options.rate, started)), options });
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn(client(run.clone(), Client::new(to.clone())));
    }
    let mut looks = tokio::time::interval(Duration::from_millis(200));
    let mut stopped = std::pin::pin!(stopped);
    loop {
        tokio::select! {
            ended = clients.join_next() => if ended.is_none() { break },
            _ = looks.tick() => progress.show(run.queue().acknowledged),
            () = stopped.as_mut(), if !run.queue().stopped => run.queue().stopped = true,
        }
    }
    run.queue().summary(started.elapsed())
}

struct Run {
    queue: Mutex<Queue>,
    options: Options,
}

impl Run {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn client(run: Arc<Run>, mut client: Client) {
    loop {
        let turn = run.queue().turn(Instant::now());
        match turn {
            Turn::Done => return,
            Turn::Wait(until) => {
                let again = Instant::now() + LOOKS_AGAIN;
                tokio::time::sleep_until(until.map_or(again, |until| until.min(again)).into()).await;
            }
            Turn::Send(attempt) => {
                let begun = Instant::now();
                let outcome = client.post(&attempt.sending).await;
                let took = begun.elapsed();
                if let (Outcome::Acknowledged, Some(acks)) = (outcome, &run.options.acks) {
                    write_ack(acks, &attempt.sending.id);
                }
                run.queue().settle(attempt, outcome, took, begun + took + run.options.retry_after);
            }
        }
    }
}

fn write_ack(mut acks: &File, id: &str) {
    if let Err(error) = acks.write_all(format!("{id}\n").as_bytes()) {
        tell(&format!("counterfoil: an acknowledged id could not be written: {error}"));
    }
}

struct Attempt {
    sending: Sending,
    tries_before: u32,
}

enum Turn {
    Send(Attempt),
    /// Nothing to do until then, or until something else is settled.
    Wait(Option<Instant>),
    Done,
}

struct Queue {
    plan: Box<dyn Iterator<Item = Sending> + Send>,
    rate: Option<u32>,
    started: Instant,
    begun: u32,
    exhausted: bool,
    stopped: bool,
    in_flight: usize,
    /// By the time at which they are due; the number keeps two of one time apart.
    retries: BTreeMap<(Instant, u64), Attempt>,
    acknowledged: u64,
    retried: u64,
    lost: u64,
    latencies: Option<Histogram<u64>>,
}

impl Queue {
    fn new(plan: Box<dyn Iterator<Item = Sending> + Send>, rate: Option<u32>, started: Instant) -> Queue {
        Queue {
            plan,
            rate,
            started,
            begun: 0,
            exhausted: false,
            stopped: false,
            in_flight: 0,
            retries: BTreeMap::new(),
            acknowledged: 0,
            retried: 0,
            lost: 0,
            latencies: Histogram::new_with_max(LONGEST_MICROS, 3).ok(),
        }
    }

    fn turn(&mut self, now: Instant) -> Turn {
        if self.stopped {
            return Turn::Done;
        }
        let due = self.retries.first_entry().filter(|first| first.key().0 <= now).map(OccupiedEntry::remove);
        if let Some(attempt) = due {
            self.in_flight += 1;
            return Turn::Send(attempt);
        }
        if !self.exhausted && self.retries.len() < MOST_WAITING {
            let at = self.rate.map(|rate| self.started + Duration::from_secs(1) * self.begun / rate);
            if let Some(at) = at.filter(|at| *at > now) {
                return Turn::Wait(Some(at));
            }
            if let Some(sending) = self.plan.next() {
                self.begun = self.begun.saturating_add(1);
                self.in_flight += 1;
                return Turn::Send(Attempt { sending, tries_before: 0 });
            }
            self.exhausted = true;
        }
        match self.retries.first_key_value() {
            Some(((due, _), _)) => Turn::Wait(Some(*due)),
            None if self.in_flight > 0 => Turn::Wait(None),
            None => Turn::Done,
        }
    }

    fn settle(&mut self, attempt: Attempt, outcome: Outcome, took: Duration, again_at: Instant) {
        self.in_flight -= 1;
        match outcome {
            Outcome::Acknowledged => {
                self.acknowledged += 1;
                if let Some(latencies) = &mut self.latencies {
                    latencies.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
                }
            }
            Outcome::TryAgain if attempt.tries_before < RETRIES => {
                self.retried += 1;
                let again = Attempt { tries_before: attempt.tries_before + 1, ..attempt };
                self.retries.insert((again_at, self.retried), again);
            }
            Outcome::TryAgain | Outcome::Lost => self.lost += 1,
        }
    }

    fn summary(&mut self, took: Duration) -> Summary {
        Summary {
            acknowledged: self.acknowledged,
            retried: self.retried,
            lost: self.lost,
            left: u64::try_from(self.retries.len()).unwrap_or(u64::MAX),
            took,
            latencies: self.latencies.take().unwrap_or_else(|| {
                Histogram::new_with_max(LONGEST_MICROS, 1).expect("one digit and a minute are allowed")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up::{Bodies, What};

    fn queue(count: usize) -> Queue {
        let mut bodies = Bodies::new(1);
        let plan = (0..count).map(move |_| bodies.next(What::Receipts, 1_795_000_000_000_000));
        Queue::new(Box::new(plan), None, Instant::now())
    }

    fn sent(queue: &mut Queue, at: Instant) -> Attempt {
        match queue.turn(at) {
            Turn::Send(attempt) => attempt,
            Turn::Wait(_) | Turn::Done => unreachable!("something was due"),
        }
    }

    #[test]
    fn a_callback_that_fails_is_sent_six_times_in_all_and_is_then_lost() {
        let mut queue = queue(1);
        let mut now = Instant::now();
        for _ in 0..=RETRIES {
            let attempt = sent(&mut queue, now);
            queue.settle(attempt, Outcome::TryAgain, Duration::ZERO, now + Duration::from_mins(5));
            assert!(!matches!(queue.turn(now), Turn::Send(_)), "it waits before it is sent again");
            now += Duration::from_secs(301);
        }
        assert!(matches!(queue.turn(now), Turn::Done));
        let summary = queue.summary(Duration::from_secs(1));
        assert_eq!((summary.retried, summary.lost), (5, 1));
    }

    #[test]
    fn a_refusal_for_good_loses_the_callback_at_once() {
        let mut queue = queue(1);
        let attempt = sent(&mut queue, Instant::now());
        queue.settle(attempt, Outcome::Lost, Duration::ZERO, Instant::now());
        assert!(matches!(queue.turn(Instant::now()), Turn::Done));
        assert_eq!(queue.summary(Duration::from_secs(1)).lost, 1);
    }

    #[test]
    fn where_very_many_wait_to_be_sent_again_no_others_are_begun() {
        let mut queue = queue(MOST_WAITING + 1);
        let (now, again_at) = (Instant::now(), Instant::now() + Duration::from_mins(5));
        for _ in 0..MOST_WAITING {
            let attempt = sent(&mut queue, now);
            queue.settle(attempt, Outcome::TryAgain, Duration::ZERO, again_at);
        }
        assert!(matches!(queue.turn(now), Turn::Wait(Some(at)) if at == again_at));
        let attempt = sent(&mut queue, again_at);
        assert_eq!(attempt.tries_before, 1, "one that waited");
    }

    #[test]
    fn the_pace_holds_the_next_one_back() {
        let mut queue = queue(3);
        queue.rate = Some(10);
        let now = queue.started;
        let _first = sent(&mut queue, now);
        assert!(matches!(queue.turn(now), Turn::Wait(Some(at)) if at == now + Duration::from_millis(100)));
    }
}
