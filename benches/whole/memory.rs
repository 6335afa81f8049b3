//! The largest store, served with little memory, what it reads from the disk included; in turns with all the memory there is.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Asked;
use crate::filled::{Filled, Place};
use crate::held::{PAGES, start};
use crate::kept::{Kept, number};
use crate::limited::{self, Group};
use crate::load::{Load, Measured};
use crate::machine;
use crate::pages::{self, Caseworker};
use crate::report::Report;
use crate::sample::Sample;
use crate::sides;

/// As little as that.
const MEBIBYTES: u64 = 256;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) rows: u64,
    pub(crate) mebibytes: u64,
    /// With all the memory and with little.
    pub(crate) pairs: Vec<(Served, Served)>,
}

/// A server from a cold start on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Served {
    /// Milliseconds to the first callback that it acknowledged.
    pub(crate) start: f64,
    pub(crate) ingest: Measured,
    /// 99 in 100 were there within so many milliseconds.
    pub(crate) pages: Vec<(String, f64)>,
    pub(crate) pages_not_shown: u64,
    /// It ran until it was stopped.
    pub(crate) ran_on: bool,
    /// MiB that its group used at most.
    #[serde(deserialize_with = "number")]
    pub(crate) most: f64,
}

pub(crate) fn measure(asked: &Asked, store: &Filled, report: &mut Report) {
    store.fill_up_to(asked.rows);
    let (rows, sample, mut pairs) = (store.held(), Sample::of(&store.data()), Vec::new());
    for _ in 0..asked.pairs {
        match pair(asked, store, &sample) {
            Ok(pair) => pairs.push(pair),
            Err(lacking) => return report.leave_out("memory", &lacking),
        }
    }
    let memory = Kept::now(asked, Memory { rows, mebibytes: MEBIBYTES, pairs });
    if asked.write {
        memory.write("memory");
    }
    report.memory = Some(memory);
}

fn pair(asked: &Asked, store: &Filled, sample: &Sample) -> Result<(Served, Served), String> {
    let group = Group::of(MEBIBYTES)?;
    let all = served(asked, &store.to_load(), sample, None)?;
    let little = served(asked, &store.to_load(), sample, Some(&group))?;
    eprintln!("all the memory: {all:#?}\n{MEBIBYTES} MiB: {little:#?}");
    Ok((all, little))
}

fn served(asked: &Asked, place: &Place, sample: &Sample, group: Option<&Group>) -> Result<Served, String> {
    let data: &Path = &place.data();
    let serve = sides::serve(data);
    let serve = group.map_or(serve, |group| group.hold(&sides::serve(data)));
    let sync = machine::sync_times(&place.folder);
    limited::forget(data)?;
    let (mut server, start) = start(serve);
    let ingest = Load::start(&server, &place.folder, sync, 64, machine::seed()).stop_after(asked.seconds);
    let mut pages_not_shown = 0;
    let mut opened = Vec::new();
    if server.is_alive() {
        let caseworker = Caseworker::sign_in(&server.address);
        for page in PAGES {
            let many = pages::many(page, &caseworker, sample);
            pages_not_shown += many.not_shown;
            opened.push((page.name().to_owned(), many.p99));
        }
    }
    let ran_on = server.is_alive();
    server.stop("-TERM");
    let most = group.map_or(f64::NAN, Group::most);
    Ok(Served { start, ingest, pages: opened, pages_not_shown, ran_on, most })
}

impl Memory {
    /// The median of what a figure with little memory is to the same with all.
    pub(crate) fn ratio(&self, of: impl Fn(&Served) -> f64) -> f64 {
        self.median(|(all, little)| of(little) / of(all))
    }

    pub(crate) fn median(&self, of: impl Fn(&(Served, Served)) -> f64) -> f64 {
        machine::median(&self.pairs.iter().map(of).collect::<Vec<_>>())
    }

    /// What failed with little memory: servers that ended, pages that were not shown, tries that were not acknowledged.
    pub(crate) fn failures(&self) -> u64 {
        let failed = |served: &Served| u64::from(!served.ran_on) + served.pages_not_shown + served.ingest.refused;
        self.pairs.iter().map(|(_, little)| failed(little)).sum()
    }
}
