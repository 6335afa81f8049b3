//! What was found, as one Markdown page and its plots. A part that this run did not measure is told as an earlier one found it.

mod goals;
mod plot;
mod tables;

use std::fmt::Write as _;
use std::fs;

use crate::council::Council;
use crate::day::Day;
use crate::desk::Desk;
use crate::held::{POINTS, Point, Size, kept_as};
use crate::kept::Kept;
use crate::machine;
use crate::memory::Memory;
use crate::mixed::Mixed;
use crate::others::Others;
use crate::removal::Removal;
use plot::plot;

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) others: Option<Kept<Others>>,
    pub(crate) size: Option<Kept<Size>>,
    /// From few held to many.
    points: Vec<Kept<Point>>,
    pub(crate) memory: Option<Kept<Memory>>,
    pub(crate) mixed: Option<Kept<Mixed>>,
    pub(crate) removal: Option<Kept<Removal>>,
    pub(crate) day: Option<Kept<Day>>,
    pub(crate) council: Option<Kept<Council>>,
    pub(crate) desk: Option<Kept<Desk>>,
    /// What this machine cannot measure.
    left_out: Vec<String>,
}

impl Report {
    pub(crate) fn of_what_was_kept() -> Report {
        Report {
            others: Kept::read("others"),
            size: Kept::read("size"),
            points: POINTS.into_iter().filter_map(|rows| Kept::read(&kept_as(rows))).collect(),
            memory: Kept::read("memory"),
            mixed: Kept::read("mixed"),
            removal: Kept::read("removal"),
            day: Kept::read("day"),
            council: Kept::read("council"),
            desk: Kept::read("desk"),
            left_out: Vec::new(),
        }
    }

    /// In place of an older one with as many held.
    pub(crate) fn add_point(&mut self, point: Kept<Point>) {
        self.points.retain(|other| other.found.rows != point.found.rows);
        self.points.push(point);
        self.points.sort_by_key(|point| point.found.rows);
    }

    pub(crate) fn leave_out(&mut self, part: &str, lacking: &str) {
        eprintln!("LEFT OUT: {part}: {lacking}");
        self.left_out.push(format!("{part}: {lacking}"));
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "# Performance\n\nMeasured by `cargo bench --bench whole -- --write`, on {}; each part says when. Sides take turns on the same \
             machine, load generator included; trust the ratios, which are medians over pairs. \"p99\" is the time within which 99 in 100 \
             were done.\n\n",
            machine::described(),
        );
        self.goals(&mut text);
        self.against_others(&mut text);
        self.by_rows(&mut text);
        self.with_little_memory(&mut text);
        self.together(&mut text);
        self.while_removing(&mut text);
        self.a_day(&mut text);
        self.a_council(&mut text);
        self.a_desk(&mut text);
        for left_out in self.left_out.iter().chain(self.others.iter().flat_map(|others| &others.found.left_out)) {
            let _ = writeln!(text, "Left out: {left_out}.\n");
        }
        // What was not measured of something.
        text.replace("NaN", "–").trim_end().to_owned() + "\n"
    }

    pub(crate) fn write(&self, text: &str) {
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
        fs::write(format!("{docs}/performance.md"), text).unwrap();
        let each = |of: &dyn Fn(&Point) -> f64| self.points.iter().map(|point| of(&point.found)).collect::<Vec<f64>>();
        let rows = each(&|point| point.rows as f64);
        let ingest = [("callbacks a second", each(&|point| point.ingest.rate))];
        fs::write(format!("{docs}/ingest.svg"), plot("Callbacks a second, by callbacks held", &rows, &ingest)).unwrap();
        let pages: Vec<(&str, Vec<f64>)> = self.points.first().map_or_else(Vec::new, |first| {
            let line = |place: usize| each(&|point| point.pages[place].1);
            first.found.pages.iter().enumerate().map(|(place, (name, _))| (name.as_str(), line(place))).collect()
        });
        fs::write(format!("{docs}/pages.svg"), plot("Milliseconds, 99 in 100, by callbacks held", &rows, &pages))
            .unwrap();
    }
}

/// "1,234".
pub(crate) fn grouped(count: u64) -> String {
    if count < 1000 { count.to_string() } else { format!("{},{:03}", grouped(count / 1000), count % 1000) }
}
