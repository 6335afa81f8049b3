//! How fast passwords may be tried. Each browser that an account was signed in with has a count of its own, so that nobody else's
//! failures keep its owner out. Elsewhere three counts hold: of the account from one source, where the delay doubles from the
//! fourth failure on; of the account from everywhere, for many sources that try one account; and of the source, for one that tries
//! many accounts. Nobody is locked out for good.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::neighbourhood::Neighbourhood;
use super::secret::Secret;
use crate::clock::{DAY, MINUTE, SECOND};

/// Failures of an account from one source, or in one known browser, that cost nothing.
const FREE: u32 = 3;
/// The longest delay after them.
const LONGEST: i64 = 15 * MINUTE;
/// Failures of an account from everywhere: fewer than a hundred an hour.
const ACCOUNT: Rate = Rate { at_once: 30, then_every: MINUTE };
/// Failures of a source: an office behind one address may begin its day, and who tries many accounts gets not far.
const SOURCE: Rate = Rate { at_once: 100, then_every: 10 * SECOND };
/// What is remembered of each kind; past this the whole memory starts anew rather than grow.
const REMEMBERED: usize = 100_000;

/// Who tries.
#[derive(Clone, Copy)]
pub(super) struct Try<'a> {
    /// The address that was typed, known or not.
    pub(super) address: &'a str,
    /// The browser, where this account was signed in with it before.
    pub(super) known: Option<&'a Secret>,
    /// Where the request comes from.
    pub(super) source: Option<IpAddr>,
}

/// What failed lately, by hashes: an address as long as a form takes no more room.
#[derive(Default)]
pub(super) struct Throttle {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// An account with a source or a known browser.
    pairs: HashMap<Mark, Streak>,
    accounts: HashMap<Mark, Level>,
    sources: HashMap<Neighbourhood, Level>,
}

type Mark = [u8; 32];

fn mark(address: &str, with: &[u8]) -> Mark {
    Sha256::new().chain_update(Sha256::digest(address)).chain_update(with).finalize().into()
}

impl Try<'_> {
    fn pair(&self) -> Mark {
        match (self.known, self.source) {
            (Some(browser), _) => mark(self.address, browser.bytes()),
            (None, Some(source)) => mark(self.address, Neighbourhood::of(source).to_string().as_bytes()),
            (None, None) => mark(self.address, b""),
        }
    }

    /// The source that counts beside the account.
    fn neighbourhood(&self) -> Option<Neighbourhood> {
        self.source.filter(|_| self.known.is_none()).and_then(Neighbourhood::elsewhere)
    }
}

impl Throttle {
    /// Begins a try, or says how many seconds it still has to wait. A try counts as failed until it has succeeded, so that guessing
    /// many at once gains nothing.
    pub(super) fn begin(&self, tried: Try<'_>, now: i64) -> Result<(), i64> {
        let counts = &mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut counts.pairs, |failed| failed.latest + LONGEST > now);
        make_room(&mut counts.accounts, |level| level.0 > now);
        make_room(&mut counts.sources, |level| level.0 > now);
        let (pair, account) = (tried.pair(), mark(tried.address, b""));
        let everywhere = tried.known.is_none();
        let source = tried.neighbourhood();
        let mut left = counts.pairs.get_mut(&pair).map_or(0, |failed| failed.left(now));
        if everywhere && let Some(level) = counts.accounts.get_mut(&account) {
            left = left.max(level.left(ACCOUNT, now));
        }
        if let Some(level) = source.and_then(|source| counts.sources.get_mut(&source)) {
            left = left.max(level.left(SOURCE, now));
        }
        if left > 0 {
            return Err((left + SECOND - 1) / SECOND);
        }
        counts.pairs.entry(pair).or_default().add(now);
        if everywhere {
            counts.accounts.entry(account).or_default().add(ACCOUNT, now);
        }
        if let Some(source) = source {
            counts.sources.entry(source).or_default().add(SOURCE, now);
        }
        Ok(())
    }

    /// Begins a try that is of no account yet: it counts for its source alone.
    pub(super) fn begin_from(&self, source: &str, now: i64) -> Result<(), i64> {
        let counts = &mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut counts.sources, |level| level.0 > now);
        let Some(source) = elsewhere(source) else { return Ok(()) };
        let level = counts.sources.entry(source).or_default();
        let left = level.left(SOURCE, now);
        if left > 0 {
            return Err((left + SECOND - 1) / SECOND);
        }
        level.add(SOURCE, now);
        Ok(())
    }

    /// That did not fail.
    pub(super) fn succeeded_from(&self, source: &str) {
        let counts = &mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(level) = elsewhere(source).and_then(|source| counts.sources.get_mut(&source)) {
            level.take_back(SOURCE);
        }
    }

    /// The try did not fail. What others have failed at stays counted.
    pub(super) fn succeeded(&self, tried: Try<'_>) {
        let counts = &mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.pairs.remove(&tried.pair());
        if tried.known.is_some() {
            return;
        }
        if let Some(level) = counts.accounts.get_mut(&mark(tried.address, b"")) {
            level.take_back(ACCOUNT);
        }
        if let Some(level) = tried.neighbourhood().and_then(|source| counts.sources.get_mut(&source)) {
            level.take_back(SOURCE);
        }
    }
}

fn elsewhere(source: &str) -> Option<Neighbourhood> {
    source.parse().ok().and_then(Neighbourhood::elsewhere)
}

fn make_room<K: Eq + Hash, V>(counts: &mut HashMap<K, V>, still_counts: impl Fn(&V) -> bool) {
    if counts.len() >= REMEMBERED {
        counts.retain(|_, count| still_counts(count));
    }
    if counts.len() >= REMEMBERED {
        counts.clear();
    }
}

/// Failures one after the other.
#[derive(Clone, Copy, Default)]
struct Streak {
    count: u32,
    latest: i64,
}

impl Streak {
    /// How long until the next try. A failure in the future is of a clock that was set back since, and is taken for one of now.
    fn left(&mut self, now: i64) -> i64 {
        self.latest = self.latest.min(now);
        self.latest + delay(self.count) - now
    }

    fn add(&mut self, now: i64) {
        let forgotten = self.latest + DAY < now;
        *self = Streak { count: if forgotten { 1 } else { self.count.saturating_add(1) }, latest: now };
    }
}

/// The delay after so many failures, in microseconds: 1 second after the fourth, then twice as long each time.
fn delay(count: u32) -> i64 {
    match count.checked_sub(FREE + 1) {
        None => 0,
        Some(doublings) => SECOND.checked_shl(doublings.min(20)).unwrap_or(LONGEST).min(LONGEST),
    }
}

/// So many at once, and one more each time that so long has passed.
#[derive(Clone, Copy)]
struct Rate {
    at_once: i64,
    then_every: i64,
}

/// When all that was used up is there again.
#[derive(Clone, Copy, Default)]
struct Level(i64);

impl Level {
    /// How long until the next try. What lies further ahead than it can is of a clock that was set back since, and counts for nothing.
    fn left(&mut self, rate: Rate, now: i64) -> i64 {
        let latest = now + rate.at_once * rate.then_every;
        self.0 = if self.0 > latest { now } else { self.0.max(now) };
        self.0 + rate.then_every - latest
    }

    fn add(&mut self, rate: Rate, now: i64) {
        self.0 = self.0.max(now) + rate.then_every;
    }

    fn take_back(&mut self, rate: Rate) {
        self.0 -= rate.then_every;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERS: &str = "a@example.com";

    fn from(address: &str, source: u32) -> Try<'_> {
        Try { address, known: None, source: Some(IpAddr::V4(source.into())) }
    }

    /// How many of so many tries were begun.
    fn begun<'a>(throttle: &Throttle, tries: impl IntoIterator<Item = Try<'a>>, now: i64) -> usize {
        tries.into_iter().filter(|tried| throttle.begin(*tried, now).is_ok()).count()
    }

    #[test]
    fn the_delay_begins_at_the_fourth_failure_and_doubles() {
        let throttle = Throttle::default();
        let begin = |seconds| throttle.begin(from(HERS, 1), seconds * SECOND);
        assert_eq!([0; 5].map(begin), [Ok(()), Ok(()), Ok(()), Ok(()), Err(1)]);
        assert_eq!([1; 2].map(begin), [Ok(()), Err(2)]);
        assert_eq!([3; 2].map(begin), [Ok(()), Err(4)]);
        assert_eq!(throttle.begin(from("b@example.com", 1), 0), Ok(()));
        throttle.succeeded(from(HERS, 1));
        assert_eq!(begin(3), Ok(()));
    }

    #[test]
    fn whoever_tries_from_one_source_holds_up_the_owner_nowhere_else() {
        let throttle = Throttle::default();
        let hours = (0..24 * 60).map(|minute| minute * MINUTE);
        let tried: usize = hours.map(|now| begun(&throttle, [from(HERS, 1); 50], now)).sum();
        assert!(tried < 110, "{tried} in a day");
        assert_eq!(throttle.begin(from(HERS, 2), DAY), Ok(()), "a new browser elsewhere");
        let browser = Secret::random().unwrap();
        let known = Try { known: Some(&browser), ..from(HERS, 1) };
        assert_eq!(throttle.begin(known, DAY), Ok(()), "a known one at the same source");
    }

    #[test]
    fn many_sources_try_one_account_fewer_than_a_hundred_times_an_hour_and_never_hold_up_a_known_browser() {
        let throttle = Throttle::default();
        let tried: usize =
            (0..60).map(|minute| begun(&throttle, (0..1000).map(|n| from(HERS, n)), minute * MINUTE)).sum();
        assert!(tried < 100, "{tried} in an hour");
        let now = 59 * MINUTE;
        assert!(throttle.begin(from(HERS, 5000), now).is_err());
        let browser = Secret::random().unwrap();
        let known = Try { known: Some(&browser), ..from(HERS, 5000) };
        assert_eq!(begun(&throttle, [known; 9], now), 4, "which has a count of its own");
        throttle.succeeded(known);
        assert_eq!(throttle.begin(known, now), Ok(()));
        assert!(throttle.begin(from(HERS, 5000), now).is_err(), "its success does not let others try on");
        assert_eq!(throttle.begin(from(HERS, 5000), now + MINUTE), Ok(()), "and in a minute a new browser may");
    }

    #[test]
    fn one_source_that_tries_many_accounts_is_slowed_down_and_an_office_behind_one_address_is_not() {
        let throttle = Throttle::default();
        let addresses: Vec<String> = (0..1000).map(|n| format!("{n}@example.com")).collect();
        for address in &addresses {
            let tried = from(address, 1);
            assert_eq!(throttle.begin(tried, 0), Ok(()), "everybody signs in at nine");
            throttle.succeeded(tried);
        }
        assert_eq!(begun(&throttle, addresses.iter().map(|address| from(address, 2)), 0), 100);
        assert_eq!(throttle.begin(from("z@example.com", 2), 0), Err(10));
        let browser = Secret::random().unwrap();
        let known = Try { known: Some(&browser), ..from("y@example.com", 2) };
        assert_eq!(throttle.begin(known, 0), Ok(()), "who is known there is not held up");
        assert_eq!(throttle.begin(from("z@example.com", 1), 0), Ok(()));
    }

    #[test]
    fn tries_of_no_account_are_counted_by_their_source_alone() {
        let throttle = Throttle::default();
        let begun = |source: &str| (0..1000).filter(|_| throttle.begin_from(source, 0).is_ok()).count();
        assert_eq!(begun("192.0.2.1"), 100);
        assert_eq!(throttle.begin_from("192.0.2.1", 0), Err(10));
        assert_eq!(throttle.begin_from("192.0.2.2", 0), Ok(()));
        throttle.succeeded_from("192.0.2.1");
        assert_eq!(begun("192.0.2.1"), 1, "what did not fail counts no more");
        assert_eq!(begun("127.0.0.1"), 1000, "a proxy that was not named stands for everybody");
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_out() {
        let throttle = Throttle::default();
        let later = 10_000 * DAY;
        for n in 0..200 {
            let _begun = throttle.begin(from(HERS, n % 40), later).is_ok();
        }
        assert!(throttle.begin(from(HERS, 500), later).is_err());
        assert_eq!(throttle.begin(from(HERS, 500), 0), Ok(()), "how long ago that was nobody knows");
    }

    #[test]
    fn a_long_address_takes_no_more_room_than_a_short_one() {
        let throttle = Throttle::default();
        let long = "a".repeat(60_000);
        assert_eq!([0; 4].map(|now| throttle.begin(from(&long, 1), now)), [Ok(()); 4]);
        assert_eq!(throttle.begin(from(&long, 1), 0), Err(1));
        assert_eq!(throttle.begin(from(&long.replacen('a', "b", 1), 1), 0), Ok(()), "another address is another");
        assert!(throttle.counts.lock().unwrap().pairs.keys().all(|mark| mark.len() == 32));
    }

    #[test]
    fn past_what_is_remembered_the_memory_starts_anew() {
        let mut counts: HashMap<usize, i64> = (0..REMEMBERED).map(|n| (n, 0)).collect();
        make_room(&mut counts, |_| true);
        assert!(counts.is_empty());
        counts.extend((0..REMEMBERED).map(|n| (n, i64::from(n < 7))));
        make_room(&mut counts, |count| *count > 0);
        assert_eq!(counts.len(), 7);
    }

    #[test]
    fn the_delay_never_passes_a_quarter_of_an_hour() {
        assert_eq!(delay(u32::MAX), LONGEST);
    }
}
