//! A store with more and more in it: what a callback and a page cost then, how large it is and how soon it starts.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use counterfoil::made_up::{Bodies, What};
use serde::{Deserialize, Serialize};

use crate::Asked;
use crate::calls::calls;
use crate::filled::{self, Filled};
use crate::kept::Kept;
use crate::load::{self, Load, Measured, Running};
use crate::machine;
use crate::pages::{self, Caseworker, Page, exchange};
use crate::report::Report;
use crate::sample::Sample;
use crate::sides;

/// So many callbacks are held.
pub(crate) const POINTS: [u64; 5] = [10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
pub(crate) const PAGES: [Page; 3] = [Page::Reference, Page::Newest, Page::Inbox];
/// Receipts for the size of one.
const RECEIPTS: u64 = 500_000;

/// What was measured with so many callbacks held.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) rows: u64,
    pub(crate) ingest: Measured,
    pub(crate) start_clean: f64,
    pub(crate) start_killed: f64,
    pub(crate) pages: Vec<(String, f64)>,
    pub(crate) calls: Vec<(String, f64)>,
    /// Bytes of the file for each callback.
    pub(crate) bytes: f64,
}

/// Bytes on the disk for each of so many receipts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Size {
    pub(crate) rows: u64,
    pub(crate) bytes: f64,
}

pub(crate) fn measure(asked: &Asked, store: &Filled, report: &mut Report) {
    let rows = RECEIPTS.min(asked.rows);
    let size = Kept::now(asked, Size { rows, bytes: filled::bytes_each(rows) });
    eprintln!("{:.1} bytes a receipt", size.found.bytes);
    if asked.write {
        size.write("size");
    }
    report.size = Some(size);
    for rows in POINTS.into_iter().filter(|rows| *rows <= asked.rows) {
        let held = store.held();
        if held > rows + rows / 10 {
            eprintln!("LEFT OUT: {rows} held: the folder holds {held} already");
            continue;
        }
        store.fill_up_to(rows);
        let point = Kept::now(asked, point(asked, store, rows));
        eprintln!("{point:#?}");
        if asked.write {
            point.write(&kept_as(rows));
        }
        report.add_point(point);
    }
}

/// The name of what was kept of a point.
pub(crate) fn kept_as(rows: u64) -> String {
    format!("held-{rows}")
}

fn point(asked: &Asked, store: &Filled, rows: u64) -> Point {
    let data = store.data();
    let bytes = fs::metadata(data.join("counterfoil.db")).unwrap().len() as f64 / store.held() as f64;
    // As far as it fits in memory it is there, as for a server that has run for long.
    machine::read_through(&data.join("counterfoil.db"));
    let sample = Sample::of(&data);
    let pages = pages_of(&data, &sample);
    let calls = sides::runtime().block_on(calls(&data, &store.services, &sample));
    // What comes now does not stay, so that the next point holds what it says.
    let place = store.to_load();
    let data = place.data();
    let start_clean = start_and_stop(&data);
    let held = filled::held(&data);
    let server = Running::start(sides::serve(&data));
    let (sync, seed) = (machine::sync_times(&place.folder), machine::seed());
    let ingest = Load::start(&server, &place.folder, sync, 64, seed).stop_after(asked.seconds);
    server.stop("-KILL");
    let start_killed = start_and_stop(&data);
    let came = filled::held(&data) - held;
    assert!(came >= ingest.acknowledged, "{came} of {} acknowledged callbacks are there", ingest.acknowledged);
    Point { rows, ingest, start_clean, start_killed, pages, calls, bytes }
}

fn start_and_stop(data: &Path) -> f64 {
    let (server, took) = start(sides::serve(data));
    server.stop("-TERM");
    took
}

/// A server, with the milliseconds from the start of its process to the first callback that it acknowledged.
pub(crate) fn start(serve: Command) -> (Running, f64) {
    let began = Instant::now();
    let server = Running::start(serve);
    let body = Bodies::new(machine::seed() + 99).next(What::Receipts, filled::START + filled::SPAN).body;
    let head = format!(
        "POST /callbacks HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        load::TOKEN,
        body.len()
    );
    let answer = exchange(&server.address, &[head.as_bytes(), &body].concat()).unwrap();
    let took = began.elapsed().as_secs_f64() * 1e3;
    assert!(answer.starts_with("HTTP/1.1 200"), "the first callback: {}", answer.lines().next().unwrap_or_default());
    (server, took)
}

/// Milliseconds of whole signed-in pages: 99 in 100 are there within so many.
fn pages_of(data: &Path, sample: &Sample) -> Vec<(String, f64)> {
    let server = Running::start(sides::serve(data));
    let caseworker = Caseworker::sign_in(&server.address);
    let pages = PAGES.map(|page| {
        let opened = pages::many(page, &caseworker, sample);
        assert_eq!(opened.not_shown, 0, "{}: pages that were not shown", page.name());
        (format!("{}, the whole page", page.name()), opened.p99)
    });
    server.stop("-TERM");
    pages.to_vec()
}
