//! What a team works with all day, with as much as one has: every kind of page, beside one that asks the store for nothing.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::Asked;
use crate::filled::{Filled, Place, SPAN};
use crate::kept::{Kept, number};
use crate::load::Running;
use crate::pages::{self, Caseworker, Page};
use crate::report::Report;
use crate::sample::{CALLS, Sample};
use crate::sides;

/// A million receipts and 100,000 texts.
const ROWS: u64 = 1_100_000;
const TEXT_EVERY: i64 = 11;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Desk {
    pub(crate) rows: u64,
    /// How many of each page were opened.
    pub(crate) each: usize,
    /// Seconds until all that was held had been flagged and listed.
    pub(crate) followed: f64,
    pub(crate) pages: Vec<Opened>,
}

/// Half of them, and 99 in 100, were there within so many milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) page: String,
    #[serde(deserialize_with = "number")]
    pub(crate) p50: f64,
    #[serde(deserialize_with = "number")]
    pub(crate) p99: f64,
    pub(crate) not_shown: u64,
}

impl Desk {
    /// The slowest page.
    pub(crate) fn slowest(&self) -> Option<&Opened> {
        self.pages.iter().max_by(|one, other| one.p99.total_cmp(&other.p99))
    }
}

pub(crate) fn measure(asked: &Asked, report: &mut Report) {
    let store = Filled::new(Place::of(asked, "desk"), SPAN / ROWS as i64).with_a_text_every(TEXT_EVERY);
    store.fill_up_to(ROWS.min(asked.rows));
    let (rows, sample) = (store.held(), Sample::of(&store.data()));
    let server = Running::start(sides::serve(&store.data()));
    let followed = wait_until_followed(&store, rows);
    eprintln!("followed within {followed:.1} s");
    let caseworker = Caseworker::sign_in(&server.address);
    let open = |page: Page| {
        let pages::Opened { p50, p99, not_shown } = pages::many(page, &caseworker, &sample);
        eprintln!("{}: p50 {p50:.1} ms, p99 {p99:.1} ms, {not_shown} of {CALLS} not shown", page.name());
        Opened { page: page.name().to_owned(), p50, p99, not_shown }
    };
    let pages = Page::DESK.map(open).into();
    server.stop("-TERM");
    let desk = Kept::now(asked, Desk { rows, each: CALLS, followed, pages });
    if asked.write {
        desk.write("desk");
    }
    report.desk = Some(desk);
}

/// What is made of callbacks after they were acknowledged is part of what pages read.
fn wait_until_followed(store: &Filled, rows: u64) -> f64 {
    let began = Instant::now();
    let connection = Connection::open(store.data().join("counterfoil.db")).unwrap();
    let next = || connection.query_row("SELECT next FROM following", [], |row| row.get::<_, u64>(0)).unwrap();
    while next() <= rows {
        std::thread::sleep(Duration::from_millis(500));
    }
    began.elapsed().as_secs_f64()
}
