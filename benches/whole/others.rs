//! Ours against another side, in pairs: the same without the store, `SQLite` alone, and what others would build.

use serde::{Deserialize, Serialize};

use crate::Asked;
use crate::kept::Kept;
use crate::load::{self, Measured};
use crate::machine::{self, median};
use crate::report::Report;
use crate::sides::Side;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Others {
    pub(crate) compared: Vec<Compared>,
    pub(crate) left_out: Vec<String>,
}

/// Pairs of ours and of another side.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Compared {
    pub(crate) side: Side,
    pub(crate) connections: u16,
    pub(crate) slow: bool,
    pub(crate) pairs: Vec<(Measured, Measured)>,
}

impl Compared {
    pub(crate) fn median(&self, of: impl Fn(&(Measured, Measured)) -> f64) -> f64 {
        median(&self.pairs.iter().map(of).collect::<Vec<_>>())
    }

    /// Ours to theirs.
    pub(crate) fn ratio(&self) -> f64 {
        self.median(|pair| pair.0.rate / pair.1.rate)
    }

    /// How much longer than a sync 99 in 100 callbacks of ours take at most.
    pub(crate) fn of_a_sync(&self) -> f64 {
        self.median(|pair| pair.0.p99 / (pair.0.sync.1 + if self.slow { 2.0 } else { 0.0 }))
    }
}

impl Others {
    fn leave_out(&mut self, side: Side, lacking: &str) {
        let left_out = format!("{}: {lacking}", side.name());
        eprintln!("LEFT OUT: {left_out}");
        if !self.left_out.contains(&left_out) {
            self.left_out.push(left_out);
        }
    }
}

pub(crate) fn measure(asked: &Asked, report: &mut Report) {
    let mut others = Others { compared: Vec::new(), left_out: Vec::new() };
    for slow in [false, true] {
        for (side, connections) in [
            (Side::WithoutStore, 64),
            (Side::SqliteAlone, 64),
            (Side::Pool, 64),
            (Side::Pool, 1),
            (Side::Express, 64),
            (Side::ExpressBatched, 64),
            (Side::Flask, 64),
        ] {
            // Nothing of it waits for a sync, or its syncs cannot be made slower from outside.
            if slow && matches!(side, Side::WithoutStore | Side::SqliteAlone) {
                continue;
            }
            match side.is_there() {
                Ok(()) => {
                    let compared = compare(asked, side, connections, slow);
                    if compared.pairs.is_empty() {
                        others.leave_out(side, "the machine did other things before each pair");
                    }
                    others.compared.push(compared);
                }
                Err(lacking) => others.leave_out(side, &lacking),
            }
        }
    }
    let others = Kept::now(asked, others);
    if asked.write {
        others.write("others");
    }
    report.others = Some(others);
}

/// Pairs in turns.
fn compare(asked: &Asked, side: Side, connections: u16, slow: bool) -> Compared {
    let (mut pairs, mut tries) = (Vec::new(), 0);
    while pairs.len() < asked.pairs && tries < 2 * asked.pairs {
        tries += 1;
        let quiet = machine::idle_now();
        let ours = load::measure(Side::Counterfoil, connections, asked.seconds, slow);
        let other = load::measure(side, connections, asked.seconds, slow);
        eprintln!("{} with {connections} connections{}:", side.name(), if slow { ", syncs 2 ms slower" } else { "" });
        eprintln!("  ours   {ours}\n  theirs {other}");
        if quiet < 85.0 {
            eprintln!("  the machine was only {quiet:.0} % idle before this pair: once more");
            continue;
        }
        pairs.push((ours, other));
    }
    Compared { side, connections, slow, pairs }
}
