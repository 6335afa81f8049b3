//! What each part found, in words and tables.

use std::fmt::Write as _;

use super::{Report, grouped};
use crate::council::Council;
use crate::held::Point;
use crate::kept::Kept;
use crate::memory::{Memory, Served};
use crate::mixed::Mixed;

impl Report {
    pub(super) fn against_others(&self, text: &mut String) {
        let Some(others) = &self.others else { return };
        text.push_str("## Against others\n\n");
        measured(text, others, &format!("{} seconds a side", others.seconds));
        let columns = "| | connections | syncs | pairs | ours a second | theirs | ours ÷ theirs | our p50, p99 ms | their p50, p99 ms | \
             our CPU µs each | their CPU | our MiB | their MiB | our p99 ÷ p99 of a sync | sync p50, p99 ms | idle % |\n";
        text.push_str(columns);
        let _ = writeln!(text, "|{}", "---|".repeat(columns.matches('|').count() - 1));
        for compared in others.found.compared.iter().filter(|compared| !compared.pairs.is_empty()) {
            let median = |of: &dyn Fn(&(_, _)) -> f64| compared.median(of);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {:.0} | {:.0} | **{:.2}** | {:.1}, {:.1} | {:.1}, {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.2}, {:.2} | {:.0} |",
                compared.side.name(),
                compared.connections,
                if compared.slow { "2 ms slower" } else { "as they are" },
                compared.pairs.len(),
                median(&|pair| pair.0.rate),
                median(&|pair| pair.1.rate),
                compared.ratio(),
                median(&|pair| pair.0.p50),
                median(&|pair| pair.0.p99),
                median(&|pair| pair.1.p50),
                median(&|pair| pair.1.p99),
                median(&|pair| pair.0.cpu),
                median(&|pair| pair.1.cpu),
                median(&|pair| pair.0.memory),
                median(&|pair| pair.1.memory),
                compared.of_a_sync(),
                median(&|pair| pair.0.sync.0),
                median(&|pair| pair.0.sync.1),
                median(&|pair| pair.0.idle),
            );
        }
        text.push('\n');
    }

    pub(super) fn by_rows(&self, text: &mut String) {
        let Some(first) = self.points.first() else { return };
        text.push_str("## With more and more held\n\n");
        if self.points.iter().all(|point| point.when() == first.when() && point.seconds == first.seconds) {
            measured(text, first, &format!("{} seconds of load", first.seconds));
        } else {
            for point in &self.points {
                let seconds = format!("with {} held, {} seconds of load", grouped(point.found.rows), point.seconds);
                measured(text, point, &seconds);
            }
        }
        text.push_str("![Callbacks a second against callbacks held](ingest.svg)\n\n");
        text.push_str("![Milliseconds of pages against callbacks held](pages.svg)\n\n| |");
        for point in &self.points {
            let _ = write!(text, " {} |", grouped(point.found.rows));
        }
        text.push_str(" largest ÷ smallest |\n|---|");
        text.push_str(&"---|".repeat(self.points.len() + 1));
        text.push('\n');
        for (name, values) in self.lines(&first.found) {
            let _ = write!(text, "| {name} |");
            for value in &values {
                let _ = write!(text, " {} |", short(*value));
            }
            let ratio = values.last().zip(values.first()).map_or(f64::NAN, |(last, first)| last / first);
            let _ = writeln!(text, " {ratio:.2} |");
        }
        text.push('\n');
        if let Some(size) = &self.size {
            let _ = writeln!(
                text,
                "A receipt takes {:.0} bytes on the disk, with everything that it is found by, where {} are held.\n",
                size.found.bytes,
                grouped(size.found.rows)
            );
        }
    }

    fn lines(&self, first: &Point) -> Vec<(String, Vec<f64>)> {
        let each = |of: &dyn Fn(&Point) -> f64| self.points.iter().map(|point| of(&point.found)).collect::<Vec<f64>>();
        let named = |of: &[(String, f64)], name: &str| {
            of.iter().find(|(other, _)| other == name).map_or(f64::NAN, |(_, value)| *value)
        };
        let mut lines = vec![
            ("callbacks a second, 64 connections".to_owned(), each(&|point| point.ingest.rate)),
            ("their p99, ms".to_owned(), each(&|point| point.ingest.p99)),
            ("MiB resident at most".to_owned(), each(&|point| point.ingest.memory)),
            ("start to the first 2xx, ms".to_owned(), each(&|point| point.start_clean)),
            ("the same after kill -9, ms".to_owned(), each(&|point| point.start_killed)),
            ("bytes of the file for each, texts too".to_owned(), each(&|point| point.bytes)),
        ];
        for (name, _) in &first.pages {
            lines.push((format!("{name}: p99, ms"), each(&|point| named(&point.pages, name))));
        }
        for (name, _) in &first.calls {
            lines.push((format!("{name}, at the store: p99, ms"), each(&|point| named(&point.calls, name))));
        }
        lines
    }

    pub(super) fn with_little_memory(&self, text: &mut String) {
        let Some(kept) = &self.memory else { return };
        let memory = &kept.found;
        let _ = writeln!(text, "## With {} MiB of memory\n", memory.mebibytes);
        measured(
            text,
            kept,
            &format!("in turns with all the memory, {} seconds of load, {}", kept.seconds, times(memory.pairs.len())),
        );
        let _ = writeln!(
            text,
            "{} are held. The server and what the kernel keeps in memory for it have {} MiB together; the store's file is not in memory when it \
             starts. First callbacks come over 64 connections, then pages are opened.\n\n| | all the memory | {} MiB | ratio |\n|---|---|---|---|",
            grouped(memory.rows),
            memory.mebibytes,
            memory.mebibytes
        );
        for (name, of) in memory_lines(memory) {
            let (all, little) = (memory.median(|pair| of(&pair.0)), memory.median(|pair| of(&pair.1)));
            let _ = writeln!(text, "| {name} | {} | {} | {:.2} |", short(all), short(little), memory.ratio(&of));
        }
        let _ = writeln!(
            text,
            "\nServers that ended, pages that were not shown and tries that were not acknowledged: {}. At most {:.0} MiB were used, files in \
             memory included.\n",
            memory.failures(),
            memory.median(|pair| pair.1.most)
        );
    }

    pub(super) fn together(&self, text: &mut String) {
        let Some(kept) = &self.mixed else { return };
        let mixed: &Mixed = &kept.found;
        text.push_str("## Callbacks and pages at the same time\n\n");
        measured(
            text,
            kept,
            &format!("{} seconds each alone and together, {}", kept.seconds, times(mixed.rounds.len())),
        );
        let not_shown = mixed.sum(|round| round.pages.not_shown + round.pages_alone.not_shown);
        let _ = writeln!(
            text,
            "{} are held. Callbacks come over 64 connections as fast as they are taken, while {} people search: one page after another by reference, \
             by number, newest first and the inbox, with half a second to one and a half for thinking after each. {} were opened alone and {} \
             together; {} of them were not shown.\n\n| | alone | together | ratio |\n|---|---|---|---|",
            grouped(mixed.rows),
            mixed.people,
            grouped(mixed.sum(|round| round.pages_alone.times.len() as u64)),
            grouped(mixed.sum(|round| round.pages.times.len() as u64)),
            not_shown
        );
        for (name, share) in [("pages: p50, ms", 0.5), ("pages: p99, ms", 0.99)] {
            let alone = mixed.pages(|round| &round.pages_alone, share);
            let with = mixed.pages(|round| &round.pages, share);
            let _ = writeln!(text, "| {name} | {} | {} | {:.2} |", short(alone), short(with), with / alone);
        }
        let alone = mixed.median(|round| round.callbacks_alone.p99);
        let with = mixed.median(|round| round.callbacks.p99);
        let _ = writeln!(
            text,
            "| callbacks: p99, ms | {} | {} | {:.2} |",
            short(alone),
            short(with),
            mixed.callbacks_ratio()
        );
        let (alone, with) =
            (mixed.median(|round| round.callbacks_alone.rate), mixed.median(|round| round.callbacks.rate));
        let _ = writeln!(text, "| callbacks a second | {alone:.0} | {with:.0} | {:.2} |\n", with / alone);
    }

    pub(super) fn while_removing(&self, text: &mut String) {
        let Some(kept) = &self.removal else { return };
        let removal = &kept.found;
        text.push_str("## While what is old is removed\n\n");
        measured(text, kept, &format!("{} seconds without it, and with it for as long as it takes", kept.seconds));
        let _ = writeln!(
            text,
            "{} of {} held callbacks were removed in {:.1} seconds, {:.0} a second, while others came over 64 connections{}. 99 in 100 of those were \
             answered within {:.1} ms, and within {:.1} ms without it: {:.2} times as long. {:.0} a second came with it, and {:.0} without it.\n",
            grouped(removal.removed),
            grouped(removal.held),
            removal.took,
            removal.removed as f64 / removal.took,
            if removal.done { "" } else { "; then it was stopped, **not done**" },
            removal.with.p99,
            removal.without.p99,
            removal.ratio(),
            removal.with.rate,
            removal.without.rate
        );
    }

    pub(super) fn a_day(&self, text: &mut String) {
        let Some(kept) = &self.day else { return };
        let day = &kept.found;
        text.push_str("## A day of all of Notify\n\n");
        measured(text, kept, "one after the other, once");
        let _ = writeln!(
            text,
            "Five million receipts in a day, of which a million come at once after midnight; scaled by {}. They are sent to a fresh store over 64 \
             connections as fast as they are taken. The whole day was taken in {:.1} minutes.\n\n\
             | | receipts | minutes | a second | p50, ms | p99, ms | tries not acknowledged |\n|---|---|---|---|---|---|---|",
            day.scale,
            day.minutes()
        );
        for (name, part) in [("the burst", &day.burst), ("the rest", &day.rest)] {
            let _ = writeln!(
                text,
                "| {name} | {} | {:.1} | {:.0} | {:.1} | {:.1} | {} |",
                grouped(part.acknowledged),
                part.took / 60.0,
                part.rate,
                part.p50,
                part.p99,
                part.refused
            );
        }
        text.push('\n');
    }

    pub(super) fn a_council(&self, text: &mut String) {
        let Some(kept) = &self.council else { return };
        let council: &Council = &kept.found;
        text.push_str("## Twenty years of a large council\n\n");
        measured(text, kept, &format!("{} of each page, one after another", council.each));
        let _ = writeln!(
            text,
            "{} are held, a text for every twenty receipts. The server and what the kernel keeps in memory for it have {} MiB together, and used {:.0}; \
             the store's file is not in memory when it starts. A search for a person is the form, the answer that says where the page is, and the \
             page.\n\n| | p99, ms | not shown |\n|---|---|---|",
            grouped(council.rows),
            council.mebibytes,
            council.most
        );
        for opened in &council.pages {
            let _ = writeln!(text, "| {} | {} | {} |", opened.page, short(opened.p99), opened.not_shown);
        }
        text.push('\n');
    }

    pub(super) fn a_desk(&self, text: &mut String) {
        let Some(kept) = &self.desk else { return };
        let desk = &kept.found;
        text.push_str("## A team's pages\n\n");
        measured(text, kept, &format!("{} of each page, one after another", desk.each));
        let _ = writeln!(
            text,
            "{} are held, a text for every ten receipts; all of them were flagged and listed within {:.0} s of the start. A search for a \
             person or for words is the form, the answer that says where the page is, and the page.\n\n\
             | | p50, ms | p99, ms | not shown |\n|---|---|---|---|",
            grouped(desk.rows),
            desk.followed
        );
        for opened in &desk.pages {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                opened.page,
                short(opened.p50),
                short(opened.p99),
                opened.not_shown
            );
        }
        text.push('\n');
    }
}

type Line = (String, Box<dyn Fn(&Served) -> f64>);

fn memory_lines(memory: &Memory) -> Vec<Line> {
    let mut lines: Vec<Line> = vec![
        ("start to the first 2xx, ms".into(), Box::new(|served| served.start)),
        ("callbacks a second".into(), Box::new(|served| served.ingest.rate)),
        ("their p99, ms".into(), Box::new(|served| served.ingest.p99)),
    ];
    let pages = memory.pairs.first().map(|pair| pair.0.pages.clone()).unwrap_or_default();
    for (place, (name, _)) in pages.into_iter().enumerate() {
        let of = move |served: &Served| served.pages.get(place).map_or(f64::NAN, |(_, p99)| *p99);
        lines.push((format!("{name}: p99, ms"), Box::new(of)));
    }
    lines
}

fn measured<T>(text: &mut String, kept: &Kept<T>, how: &str) {
    let _ = writeln!(text, "Measured on {}: {how}.\n", kept.when());
}

fn times(count: usize) -> String {
    if count == 1 { "once".into() } else { format!("{count} times") }
}

fn short(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}
