//! The whole of it, measured from outside: `counterfoil serve` under `counterfoil send`, against what others would build, and
//! with more and more held. Sides take turns; trust the ratios of one run, not single figures.
//!
//! `cargo bench --bench whole -- [--seconds S] [--pairs P] [--rows N] [--write]`: S seconds a side (20), P pairs (5), held up to N
//! receipts (10,000,000). With `--write` it writes `docs/performance.md` and its plots. Peers need `npm ci` in `benches/peers`
//! and a Python with `requirements.txt`; those that are not there are left out, and it says so.
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

mod held;
mod load;
mod machine;
mod report;
mod sides;

use report::Report;
use sides::Side;

/// What was asked for on the command line.
struct Asked {
    seconds: u64,
    pairs: usize,
    rows: u64,
    write: bool,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let Some(side) = arguments.first().filter(|first| !first.starts_with("--")) {
        return sides::run_as(side, &arguments[1..]);
    }
    let number = |name: &str, otherwise: u64| {
        let place = arguments.iter().position(|argument| argument == name);
        place.and_then(|place| arguments.get(place + 1)?.parse().ok()).unwrap_or(otherwise)
    };
    let asked = Asked {
        seconds: number("--seconds", 20),
        pairs: number("--pairs", 5) as usize,
        rows: number("--rows", 10_000_000),
        write: arguments.iter().any(|argument| argument == "--write"),
    };
    let mut report = Report { seconds: asked.seconds, ..Report::default() };
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
            compare(&asked, side, connections, slow, &mut report);
        }
    }
    held::grow(&asked, &mut report);
    let text = report.markdown();
    println!("\n{text}");
    if asked.write {
        report.write(&text);
    }
}

/// Pairs of ours and of another side, in turns.
fn compare(asked: &Asked, side: Side, connections: u16, slow: bool, report: &mut Report) {
    if let Err(lacking) = side.is_there() {
        eprintln!("LEFT OUT: {}: {lacking}", side.name());
        report.left_out.push(format!("{}: {lacking}", side.name()));
        return;
    }
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
    report.compared.push(report::Compared { side: side.name(), connections, slow, pairs });
}
