//! Callbacks as fast as they go, and caseworkers who search meanwhile: what each costs the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use crate::Asked;
use crate::filled::Filled;
use crate::kept::Kept;
use crate::load::{Load, Measured, Running};
use crate::machine::{self, median, quantile};
use crate::pages::{Caseworker, Page};
use crate::report::Report;
use crate::sample::Sample;
use crate::sides;

/// How many search at the same time.
const PEOPLE: usize = 20;
/// What they open, each as often as the others.
const PAGES: [Page; 4] = [Page::Reference, Page::Newest, Page::Inbox, Page::Number];
/// After each page one thinks for as many milliseconds: a second on average.
const THINKING: std::ops::RangeInclusive<u64> = 500..=1500;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Mixed {
    pub(crate) rows: u64,
    pub(crate) people: usize,
    pub(crate) rounds: Vec<Round>,
}

/// Each alone, and then together.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) callbacks_alone: Measured,
    pub(crate) pages_alone: Opened,
    pub(crate) callbacks: Measured,
    pub(crate) pages: Opened,
}

/// What people opened, in milliseconds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) times: Vec<f64>,
    pub(crate) not_shown: u64,
}

impl Mixed {
    /// How much longer 99 in 100 callbacks take while people search.
    pub(crate) fn callbacks_ratio(&self) -> f64 {
        let ratios = self.rounds.iter().map(|round| round.callbacks.p99 / round.callbacks_alone.p99);
        median(&ratios.collect::<Vec<_>>())
    }

    /// How much longer 99 in 100 pages take while callbacks come.
    pub(crate) fn pages_ratio(&self) -> f64 {
        self.pages(|round| &round.pages, 0.99) / self.pages(|round| &round.pages_alone, 0.99)
    }

    /// Of the pages of all rounds together: one round has few.
    pub(crate) fn pages(&self, of: impl Fn(&Round) -> &Opened, share: f64) -> f64 {
        let times: Vec<f64> = self.rounds.iter().flat_map(|round| of(round).times.clone()).collect();
        quantile(&times, share)
    }

    pub(crate) fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(&self.rounds.iter().map(of).collect::<Vec<_>>())
    }

    pub(crate) fn sum(&self, of: impl Fn(&Round) -> u64) -> u64 {
        self.rounds.iter().map(of).sum()
    }
}

pub(crate) fn measure(asked: &Asked, store: &Filled, report: &mut Report) {
    store.fill_up_to(asked.rows);
    let (rows, sample, place) = (store.held(), Sample::of(&store.data()), store.to_load());
    let server = Running::start(sides::serve(&place.data()));
    let people: Vec<Caseworker> = (0..PEOPLE).map(|_| Caseworker::sign_in(&server.address)).collect();
    let sync = machine::sync_times(&place.folder);
    let load = || Load::start(&server, &place.folder, sync, 64, machine::seed());
    // Nothing that is counted is the first of its kind.
    search(&people, &sample, Duration::from_secs(2), 0);
    let round = |n: usize| {
        let while_searching = Duration::from_secs(asked.seconds);
        let callbacks_alone = load().stop_after(asked.seconds);
        let pages_alone = search(&people, &sample, while_searching, 2 * n as u64);
        let load = load();
        let pages = search(&people, &sample, while_searching, 2 * n as u64 + 1);
        let round = Round { callbacks_alone, pages_alone, callbacks: load.stop(), pages };
        eprintln!("callbacks alone {}\n     with pages {}", round.callbacks_alone, round.callbacks);
        eprintln!("    pages alone {}\n with callbacks {}", round.pages_alone.said(), round.pages.said());
        round
    };
    let rounds = (1..=asked.pairs).map(round).collect();
    server.stop("-TERM");
    let mixed = Kept::now(asked, Mixed { rows, people: PEOPLE, rounds });
    if asked.write {
        mixed.write("mixed");
    }
    report.mixed = Some(mixed);
}

/// Everybody searches for so long.
fn search(people: &[Caseworker], sample: &Sample, long: Duration, seed: u64) -> Opened {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let searching = people.iter().enumerate().map(|(place, caseworker)| {
            let (stop, seed) = (&stop, seed * PEOPLE as u64 + place as u64);
            scope.spawn(move || search_on(caseworker, sample, seed, stop))
        });
        let searching: Vec<_> = searching.collect();
        std::thread::sleep(long);
        stop.store(true, Ordering::Relaxed);
        searching.into_iter().map(|one| one.join().unwrap()).fold(Opened::default(), Opened::and)
    })
}

/// One after another, with a thought after each, until it is enough.
fn search_on(caseworker: &Caseworker, sample: &Sample, seed: u64, stop: &AtomicBool) -> Opened {
    let (mut random, mut opened) = (SmallRng::seed_from_u64(seed), Opened::default());
    let think = |milliseconds: u64| std::thread::sleep(Duration::from_millis(milliseconds));
    // They do not all begin at once.
    think(random.random_range(0..*THINKING.end()));
    while !stop.load(Ordering::Relaxed) {
        let page = PAGES[random.random_range(0..PAGES.len())];
        match page.open(caseworker, sample, random.random_range(0..1_000_000)) {
            Some(time) => opened.times.push(time),
            None => opened.not_shown += 1,
        }
        think(random.random_range(THINKING));
    }
    opened
}

impl Opened {
    fn and(mut self, other: Opened) -> Opened {
        self.times.extend(other.times);
        Opened { not_shown: self.not_shown + other.not_shown, ..self }
    }

    fn said(&self) -> String {
        let (half, most) = (quantile(&self.times, 0.5), quantile(&self.times, 0.99));
        format!("{} pages, p50 {half:.1} ms, p99 {most:.1} ms, {} not shown", self.times.len(), self.not_shown)
    }
}
