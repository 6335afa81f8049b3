//! The whole of it, measured from outside: `counterfoil serve` under `counterfoil send`, against what others would build, and
//! with more and more held. Sides take turns; trust the ratios of one run, not single figures.
//!
//! `cargo bench --bench whole -- [--seconds S] [--pairs P] [--rows N] [--only PART[,PART]] [--keep DIR] [--write]`: S seconds a
//! side (20), P pairs (5), held up to N receipts (10,000,000).
//!
//! The parts are those of [`Part`]; all of them where none is named. With `--keep` the stores that take long to fill stay in that
//! folder, and a later run goes on with what they hold. With `--write` what a part found is kept below `target/whole`, and
//! `docs/performance.md` and its plots are written from all the parts that are there, whichever run found them.
//!
//! Peers need `npm ci` in `benches/peers` and a Python with `requirements.txt`; memory is limited by a control group, which needs
//! root. What is not there is left out, and it says so.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "a benchmark prints, counts far below 2^52, and stops when it cannot go on"
)]

mod calls;
mod council;
mod day;
mod desk;
mod filled;
mod held;
mod kept;
mod limited;
mod load;
mod machine;
mod memory;
mod mixed;
mod others;
mod pages;
mod removal;
mod report;
mod sample;
mod sides;

use std::cell::LazyCell;
use std::path::PathBuf;

use filled::Filled;
use report::Report;

/// What was asked for on the command line.
pub(crate) struct Asked {
    seconds: u64,
    pairs: usize,
    rows: u64,
    only: Vec<Part>,
    keep: Option<PathBuf>,
    write: bool,
}

/// What can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// Against the same without the store, `SQLite` alone, and what others would build.
    Others,
    /// With more and more held.
    Held,
    /// While what is old is removed.
    Removal,
    /// With little memory.
    Memory,
    /// A day of all of Notify.
    Day,
    /// Callbacks and pages at the same time.
    Mixed,
    /// Twenty years of a large council.
    Council,
    /// Every page that caseworkers work with all day.
    Desk,
    /// Nothing is measured: the page is made of what was kept.
    Page,
}

impl Part {
    const ALL: [Part; 9] = [
        Part::Others,
        Part::Held,
        Part::Memory,
        Part::Mixed,
        Part::Removal,
        Part::Day,
        Part::Council,
        Part::Desk,
        Part::Page,
    ];

    fn name(self) -> &'static str {
        match self {
            Part::Others => "others",
            Part::Held => "held",
            Part::Removal => "removal",
            Part::Memory => "memory",
            Part::Day => "day",
            Part::Mixed => "mixed",
            Part::Council => "council",
            Part::Desk => "desk",
            Part::Page => "page",
        }
    }

    fn of(name: &str) -> Part {
        let named = Part::ALL.into_iter().find(|part| part.name() == name);
        named.unwrap_or_else(|| panic!("there is no part called {name}; there are {:?}", Part::ALL.map(Part::name)))
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let Some(side) = arguments.first().filter(|first| !first.starts_with("--")) {
        return sides::run_as(side, &arguments[1..]);
    }
    let asked = Asked::of(&arguments);
    let mut report = if asked.write { Report::of_what_was_kept() } else { Report::default() };
    // Several parts look at the largest store; it is filled once.
    let largest = LazyCell::new(|| Filled::largest(&asked));
    for part in asked.only.clone() {
        eprintln!("\n{}:", part.name());
        match part {
            Part::Others => others::measure(&asked, &mut report),
            Part::Held => held::measure(&asked, &largest, &mut report),
            Part::Memory => memory::measure(&asked, &largest, &mut report),
            Part::Mixed => mixed::measure(&asked, &largest, &mut report),
            Part::Removal => removal::measure(&asked, &mut report),
            Part::Day => day::measure(&asked, &mut report),
            Part::Council => council::measure(&asked, &mut report),
            Part::Desk => desk::measure(&asked, &mut report),
            Part::Page => (),
        }
    }
    let text = report.markdown();
    println!("\n{text}");
    if asked.write {
        report.write(&text);
    }
}

impl Asked {
    fn of(arguments: &[String]) -> Asked {
        let after = |name: &str| {
            let place = arguments.iter().position(|argument| argument == name)?;
            Some(arguments.get(place + 1).unwrap_or_else(|| panic!("{name} needs a value")))
        };
        let number = |name: &str, otherwise: u64| {
            after(name).map_or(otherwise, |value| value.parse().unwrap_or_else(|_| panic!("{name} needs a number")))
        };
        let named: Option<Vec<Part>> = after("--only").map(|names| names.split(',').map(Part::of).collect());
        let only = Part::ALL.into_iter().filter(|part| named.as_ref().is_none_or(|named| named.contains(part)));
        Asked {
            seconds: number("--seconds", 20),
            pairs: number("--pairs", 5) as usize,
            rows: number("--rows", 10_000_000),
            only: only.collect(),
            keep: after("--keep").map(PathBuf::from),
            write: arguments.iter().any(|argument| argument == "--write"),
        }
    }
}
