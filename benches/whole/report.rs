//! What a run found, as one Markdown page and its plots.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::load::Measured;
use crate::machine::{self, quantile};

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) seconds: u64,
    pub(crate) compared: Vec<Compared>,
    pub(crate) points: Vec<Point>,
    pub(crate) bytes_each: f64,
    /// Without and with it, and how many rows went.
    pub(crate) removal: Option<(Measured, Measured, u64)>,
    pub(crate) left_out: Vec<String>,
}

/// Pairs of ours and of another side.
pub(crate) struct Compared {
    pub(crate) side: &'static str,
    pub(crate) connections: u16,
    pub(crate) slow: bool,
    pub(crate) pairs: Vec<(Measured, Measured)>,
}

/// What was measured with so many callbacks held.
#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) rows: u64,
    pub(crate) ingest: Measured,
    pub(crate) start_clean: f64,
    pub(crate) start_killed: f64,
    pub(crate) pages: Vec<(&'static str, f64)>,
    pub(crate) calls: Vec<(String, f64)>,
}

impl Compared {
    fn median(&self, of: impl Fn(&(Measured, Measured)) -> f64) -> f64 {
        quantile(&self.pairs.iter().map(of).collect::<Vec<_>>(), 0.5)
    }
}

impl Report {
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from("# Performance\n\n");
        let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
        let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        let day = Command::new("date").args(["-u", "+%-d %B %Y"]).output();
        let day = day.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        let _ = writeln!(
            text,
            "Measured on {day} at commit {commit} by `cargo bench --bench whole -- --write`, on {}. Sides take turns, {} seconds each, on the same \
             machine, load generator included; trust the ratios, which are medians over pairs.\n",
            machine::described(),
            self.seconds
        );
        self.against_others(&mut text);
        self.by_rows(&mut text);
        let _ = writeln!(
            text,
            "A receipt takes {:.0} bytes on the disk, with everything that it is found by.\n",
            self.bytes_each
        );
        if let Some((without, with, rows)) = &self.removal {
            let _ = writeln!(
                text,
                "While {} callbacks are removed, 99 in 100 callbacks are answered within {:.1} ms, and within {:.1} ms without: \
                 {:.2} times as long.\n",
                grouped(*rows),
                with.p99,
                without.p99,
                with.p99 / without.p99
            );
        }
        for left_out in &self.left_out {
            let _ = writeln!(text, "Left out: {left_out}.\n");
        }
        text
    }

    fn against_others(&self, text: &mut String) {
        text.push_str(
            "## Against others\n\n| | connections | syncs | pairs | ours a second | theirs | ours ÷ theirs | our p50, p99 ms | their p50, p99 ms | \
             our CPU µs each | their CPU | our MiB | their MiB | our p99 ÷ p99 of a sync | sync p50, p99 ms | idle % |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for compared in self.compared.iter().filter(|compared| !compared.pairs.is_empty()) {
            let median = |of: &dyn Fn(&(Measured, Measured)) -> f64| compared.median(of);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {:.0} | {:.0} | **{:.2}** | {:.1}, {:.1} | {:.1}, {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.2}, {:.2} | {:.0} |",
                compared.side,
                compared.connections,
                if compared.slow { "2 ms slower" } else { "as they are" },
                compared.pairs.len(),
                median(&|pair| pair.0.rate),
                median(&|pair| pair.1.rate),
                median(&|pair| pair.0.rate / pair.1.rate),
                median(&|pair| pair.0.p50),
                median(&|pair| pair.0.p99),
                median(&|pair| pair.1.p50),
                median(&|pair| pair.1.p99),
                median(&|pair| pair.0.cpu),
                median(&|pair| pair.1.cpu),
                median(&|pair| pair.0.memory),
                median(&|pair| pair.1.memory),
                median(&|pair| pair.0.p99 / (pair.0.sync.1 + if compared.slow { 2.0 } else { 0.0 })),
                median(&|pair| pair.0.sync.0),
                median(&|pair| pair.0.sync.1),
                median(&|pair| pair.0.idle),
            );
        }
        // What was not measured of a side.
        *text = text.replace("NaN", "–");
        text.push('\n');
    }

    fn by_rows(&self, text: &mut String) {
        text.push_str("## With more and more held\n\n![Callbacks a second against callbacks held](ingest.svg)\n\n");
        text.push_str("![Milliseconds of pages against callbacks held](pages.svg)\n\n| |");
        for point in &self.points {
            let _ = write!(text, " {} |", grouped(point.rows));
        }
        text.push_str(" largest ÷ smallest |\n|---|");
        text.push_str(&"---|".repeat(self.points.len() + 1));
        text.push('\n');
        for (name, values) in self.lines() {
            let _ = write!(text, "| {name} |");
            for value in &values {
                let _ =
                    write!(text, " {} |", if *value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") });
            }
            let ratio = values.last().zip(values.first()).map_or(f64::NAN, |(last, first)| last / first);
            let _ = writeln!(text, " {ratio:.2} |");
        }
        text.push('\n');
    }

    fn lines(&self) -> Vec<(String, Vec<f64>)> {
        let each = |of: &dyn Fn(&Point) -> f64| self.points.iter().map(of).collect::<Vec<f64>>();
        let mut lines = vec![
            ("callbacks a second, 64 connections".to_owned(), each(&|point| point.ingest.rate)),
            ("their p99, ms".to_owned(), each(&|point| point.ingest.p99)),
            ("MiB resident at most".to_owned(), each(&|point| point.ingest.memory)),
            ("start to the first 2xx, ms".to_owned(), each(&|point| point.start_clean)),
            ("the same after kill -9, ms".to_owned(), each(&|point| point.start_killed)),
        ];
        let Some(first) = self.points.first() else { return lines };
        for (place, (name, _)) in first.pages.iter().enumerate() {
            lines.push((format!("{name}: p99, ms"), each(&|point| point.pages[place].1)));
        }
        for (place, (name, _)) in first.calls.iter().enumerate() {
            lines.push((format!("{name}, at the store: p99, ms"), each(&|point| point.calls[place].1)));
        }
        lines
    }

    pub(crate) fn write(&self, text: &str) {
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
        fs::write(format!("{docs}/performance.md"), text).unwrap();
        let rows: Vec<f64> = self.points.iter().map(|point| point.rows as f64).collect();
        let ingest = [("callbacks a second", self.points.iter().map(|point| point.ingest.rate).collect())];
        fs::write(format!("{docs}/ingest.svg"), plot("Callbacks a second, by callbacks held", &rows, &ingest)).unwrap();
        let pages: Vec<(&str, Vec<f64>)> = self.points.first().map_or_else(Vec::new, |first| {
            let line = |place: usize| self.points.iter().map(|point| point.pages[place].1).collect();
            first.pages.iter().enumerate().map(|(place, (name, _))| (*name, line(place))).collect()
        });
        fs::write(format!("{docs}/pages.svg"), plot("Milliseconds, 99 in 100, by callbacks held", &rows, &pages))
            .unwrap();
    }
}

/// Lines over a logarithmic number of rows, from 0 up.
fn plot(title: &str, rows: &[f64], lines: &[(&str, Vec<f64>)]) -> String {
    const COLOURS: [&str; 3] = ["#1d70b8", "#d4351c", "#00703c"];
    const DASHES: [&str; 3] = ["none", "6 3", "2 3"];
    let most = 1.15 * lines.iter().flat_map(|(_, values)| values).copied().fold(1e-9, f64::max);
    let (low, high) = (rows.first().map_or(0.0, |rows| rows.log10()), rows.last().map_or(1.0, |rows| rows.log10()));
    let x = |rows: f64| 70.0 + 540.0 * (rows.log10() - low) / (high - low).max(1e-9);
    let y = |value: f64| 300.0 - 240.0 * value / most;
    let height = 340 + 18 * lines.len();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 680 {height}\" role=\"img\" font-family=\"Helvetica, Arial, sans-serif\" \
         font-size=\"13\"><title>{title}</title><rect width=\"680\" height=\"{height}\" fill=\"#fff\"/>\
         <text x=\"70\" y=\"24\" font-weight=\"bold\">{title}</text>"
    );
    for step in 0..=4 {
        let value = most * f64::from(step) / 4.0;
        let label = if value >= 100.0 { grouped(value as u64) } else { format!("{value:.1}") };
        let _ = write!(
            svg,
            "<path d=\"M70 {0:.0}H610\" stroke=\"#b1b4b6\"/><text x=\"64\" y=\"{1:.0}\" text-anchor=\"end\">{label}</text>",
            y(value),
            y(value) + 4.0
        );
    }
    for held in rows {
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"320\" text-anchor=\"middle\">{}</text>",
            x(*held),
            grouped(*held as u64)
        );
    }
    for (place, (name, values)) in lines.iter().enumerate() {
        let points: Vec<String> =
            rows.iter().zip(values).map(|(rows, value)| format!("{:.0},{:.0}", x(*rows), y(*value))).collect();
        let (colour, dashes) = (COLOURS[place % 3], DASHES[place % 3]);
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"/>\
             <text x=\"70\" y=\"{}\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            346 + 18 * place
        );
    }
    svg + "</svg>\n"
}

/// "1,234".
fn grouped(count: u64) -> String {
    if count < 1000 { count.to_string() } else { format!("{},{:03}", grouped(count / 1000), count % 1000) }
}
