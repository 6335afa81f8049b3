//! What Counterfoil is meant to reach, and whether it did.

use std::fmt::Write as _;

use super::{Report, grouped};
use crate::held::Point;
use crate::machine::median;
use crate::sides::Side;

/// What is measured against the least or the most that it may be.
struct Goal {
    what: String,
    wanted: Wanted,
    /// `None` where it was not measured.
    found: Option<f64>,
}

enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}
use Wanted::{AtLeast, AtMost};

impl Goal {
    fn line(&self) -> String {
        let (words, met) = match self.wanted {
            AtLeast(least) => (format!("≥ {least}"), self.found.map(|found| found >= least)),
            AtMost(most) => (format!("≤ {most}"), self.found.map(|found| found <= most)),
        };
        let found = self.found.map_or_else(|| "–".to_owned(), |found| format!("{found:.2}"));
        let met = match met {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "not measured",
        };
        format!("| {} | {words} | {found} | {met} |", self.what)
    }
}

impl Report {
    pub(super) fn goals(&self, text: &mut String) {
        text.push_str("## Goals\n\n| | goal | measured | |\n|---|---|---|---|\n");
        for goal in [self.of_others(), self.of_held(), self.of_the_rest()].into_iter().flatten() {
            let _ = writeln!(text, "{}", goal.line());
        }
        text.push('\n');
    }

    fn of_others(&self) -> Vec<Goal> {
        let compared = || self.others.iter().flat_map(|others| &others.found.compared);
        let as_they_are = || compared().filter(|compared| !compared.slow && !compared.pairs.is_empty());
        let goals = [
            (Side::WithoutStore, 64, 0.5),
            (Side::SqliteAlone, 64, 0.8),
            (Side::Express, 64, 12.0),
            (Side::Pool, 64, 5.0),
            (Side::Pool, 1, 1.0),
        ];
        let goals = goals.into_iter().map(|(side, connections, least)| {
            let found = as_they_are().find(|other| other.side == side && other.connections == connections);
            let of = if connections == 1 { ", one connection" } else { "" };
            let what = format!("callbacks a second ÷ {}{of}", side.name());
            Goal { what, wanted: AtLeast(least), found: found.map(crate::others::Compared::ratio) }
        });
        let of_a_sync: Vec<f64> =
            as_they_are().filter(|other| other.connections == 64).map(crate::others::Compared::of_a_sync).collect();
        let of_a_sync = Goal {
            what: "p99 of callbacks over 64 connections ÷ p99 of a sync".into(),
            wanted: AtMost(12.0),
            found: Some(median(&of_a_sync)).filter(|found| !found.is_nan()),
        };
        goals.chain([of_a_sync]).collect()
    }

    fn of_held(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        for (rows, least) in [(10_000_000, 0.8), (100_000_000, 0.7)] {
            let found = self.between(self.point(rows), &|point| Some(point.ingest.rate));
            let what = format!("callbacks a second with {} held ÷ with 10,000", grouped(rows));
            goals.push(Goal { what, wanted: AtLeast(least), found });
        }
        let bytes = self.size.as_ref().map(|size| size.found.bytes);
        goals.push(Goal { what: "bytes on the disk for a receipt".into(), wanted: AtMost(200.0), found: bytes });
        let largest = self.points.last().map(|point| &point.found).filter(|point| point.rows > 10_000);
        let largest_rows = largest.map_or("most".to_owned(), |point| grouped(point.rows));
        for page in [0, 1] {
            let name = self.points.first().and_then(|point| point.found.pages.get(page));
            let name = name.map_or("a page", |(name, _)| name.as_str());
            let found = self.between(largest, &|point| point.pages.get(page).map(|(_, p99)| *p99));
            let what = format!("p99 of {name}, with {largest_rows} held ÷ with 10,000");
            goals.push(Goal { what, wanted: AtMost(2.0), found });
        }
        let calls = largest.map(|point| point.calls.as_slice()).unwrap_or_default();
        let ratio = |name: &str| {
            let of = |point: &Point| point.calls.iter().find(|(other, _)| other == name).map(|(_, p99)| *p99);
            self.between(largest, &of)
        };
        let ratios = calls.iter().filter_map(|(name, _)| Some((name.as_str(), ratio(name)?)));
        let (name, worst) = ratios.max_by(|one, other| one.1.total_cmp(&other.1)).unzip();
        let what = format!("p99 of the store's call that grew most ({}), the same", name.unwrap_or("any"));
        goals.push(Goal { what, wanted: AtMost(3.0), found: worst });
        let most = |of: &dyn Fn(&Point) -> f64| self.points.iter().map(|point| of(&point.found)).reduce(f64::max);
        goals.push(Goal {
            what: "start to the first 2xx, ms, at most".into(),
            wanted: AtMost(100.0),
            found: most(&|point| point.start_clean),
        });
        goals.push(Goal {
            what: "the same after kill -9".into(),
            wanted: AtMost(100.0),
            found: most(&|point| point.start_killed),
        });
        goals.push(Goal {
            what: "MiB resident over 64 busy connections, at most".into(),
            wanted: AtMost(64.0),
            found: most(&|point| point.ingest.memory),
        });
        goals
    }

    fn of_the_rest(&self) -> Vec<Goal> {
        let mixed = self.mixed.as_ref().map(|mixed| &mixed.found);
        let memory = self.memory.as_ref().map(|memory| &memory.found);
        let desk = self.desk.as_ref().and_then(|desk| desk.found.slowest());
        let council = self.council.as_ref().and_then(|council| council.found.slowest());
        vec![
            Goal {
                what: "failures with 256 MiB of memory".into(),
                wanted: AtMost(0.0),
                found: memory.map(|memory| memory.failures() as f64),
            },
            Goal {
                what: "p99 of pages while callbacks come ÷ alone".into(),
                wanted: AtMost(3.0),
                found: mixed.map(crate::mixed::Mixed::pages_ratio),
            },
            Goal {
                what: "p99 of callbacks while people search ÷ alone".into(),
                wanted: AtMost(3.0),
                found: mixed.map(crate::mixed::Mixed::callbacks_ratio),
            },
            Goal {
                what: "p99 of callbacks while what is old is removed ÷ without that".into(),
                wanted: AtMost(1.5),
                found: self.removal.as_ref().map(|removal| removal.found.ratio()),
            },
            Goal {
                what: format!(
                    "p99 of a large council's slowest page ({}), ms",
                    council.map_or("any", |slowest| &slowest.page)
                ),
                wanted: AtMost(100.0),
                found: council.map(|slowest| slowest.p99),
            },
            Goal {
                what: format!("p99 of a team's slowest page ({}), ms", desk.map_or("any", |slowest| &slowest.page)),
                wanted: AtMost(25.0),
                found: desk.map(|slowest| slowest.p99),
            },
        ]
    }

    fn point(&self, rows: u64) -> Option<&Point> {
        self.points.iter().map(|point| &point.found).find(|point| point.rows == rows)
    }

    /// What a figure is to the same with ten thousand held.
    fn between(&self, point: Option<&Point>, of: &dyn Fn(&Point) -> Option<f64>) -> Option<f64> {
        Some(of(point?)? / of(self.point(10_000)?)?)
    }
}
