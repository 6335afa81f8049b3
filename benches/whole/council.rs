//! Twenty years of a large council on a small machine: every page, with little memory and nothing in it at the start.

use serde::{Deserialize, Serialize};

use crate::Asked;
use crate::filled::{Filled, Place, SPAN};
use crate::kept::{Kept, number};
use crate::limited::{self, Group};
use crate::load::Running;
use crate::pages::{self, Caseworker, Page};
use crate::report::Report;
use crate::sample::{CALLS, Sample};
use crate::sides;

/// Twenty million receipts and a million texts.
const ROWS: u64 = 21_000_000;
const MEBIBYTES: u64 = 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Council {
    pub(crate) rows: u64,
    pub(crate) mebibytes: u64,
    /// How many of each page were opened.
    pub(crate) each: usize,
    pub(crate) pages: Vec<Opened>,
    /// MiB that were used at most.
    #[serde(deserialize_with = "number")]
    pub(crate) most: f64,
}

/// 99 in 100 were there within so many milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) page: String,
    #[serde(deserialize_with = "number")]
    pub(crate) p99: f64,
    pub(crate) not_shown: u64,
}

impl Council {
    /// The slowest page.
    pub(crate) fn slowest(&self) -> Option<&Opened> {
        self.pages.iter().max_by(|one, other| one.p99.total_cmp(&other.p99))
    }
}

pub(crate) fn measure(asked: &Asked, report: &mut Report) {
    match council(asked) {
        Ok(council) => {
            let council = Kept::now(asked, council);
            if asked.write {
                council.write("council");
            }
            report.council = Some(council);
        }
        Err(lacking) => report.leave_out("council", &lacking),
    }
}

fn council(asked: &Asked) -> Result<Council, String> {
    let group = Group::of(MEBIBYTES)?;
    let store = Filled::new(Place::of(asked, "council"), SPAN / ROWS as i64);
    store.fill_up_to(ROWS.min(asked.rows));
    let (rows, sample) = (store.held(), Sample::of(&store.data()));
    limited::forget(&store.data())?;
    let server = Running::start(group.hold(&sides::serve(&store.data())));
    let caseworker = Caseworker::sign_in(&server.address);
    let open = |page: Page| {
        let pages::Opened { p99, not_shown, .. } = pages::many(page, &caseworker, &sample);
        eprintln!("{}: p99 {p99:.1} ms, {not_shown} of {CALLS} not shown", page.name());
        Opened { page: page.name().to_owned(), p99, not_shown }
    };
    let pages = Page::ALL.map(open).into();
    server.stop("-TERM");
    Ok(Council { rows, mebibytes: MEBIBYTES, each: CALLS, pages, most: group.most() })
}
