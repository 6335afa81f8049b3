//! Reading such a file, of either format, one item after another. A line that cannot be understood is named by its number alone: what
//! stands in it may be personal.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read as _};

use serde_json::Value;

use super::{Counts, Line, Sort, VERSION, table};
use crate::spreadsheet;
use crate::store::Portable;

/// A body is at most a megabyte, each byte of which may stand as six.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// Something else.
    #[error("it is no export of Counterfoil’s. Name a file that counterfoil export made")]
    NotAnExport,
    /// A later release wrote it.
    #[error("it is of version {0}, and this release reads versions up to {VERSION}. Install the release that wrote it")]
    Newer(u64),
    /// The end is missing.
    #[error("it ends after line {0}, and its end is missing: it was cut off. Get the whole file, and import that")]
    CutOff(u64),
    /// One line is not as it was written.
    #[error("line {line}: {what}. Get the file again as it was written, and import that")]
    Line {
        /// Where the item begins.
        line: u64,
        /// What is wrong, without what stands there.
        what: String,
    },
    /// The system refused something.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// Reads one file.
pub struct Reader<R: BufRead> {
    rows: Rows<R>,
    counts: Counts,
    is_through: bool,
}

enum Rows<R: BufRead> {
    Jsonl {
        from: R,
        line: u64,
        bytes: u64,
    },
    /// A row is given out when there is another one: the last one may have been cut off and not show it.
    Csv {
        from: Box<csv::Reader<R>>,
        columns: csv::StringRecord,
        waiting: VecDeque<(u64, csv::StringRecord)>,
        line: u64,
    },
}

impl<R: BufRead> Reader<R> {
    /// Begins, once the file is known for what it is.
    ///
    /// # Errors
    /// When it is no export, or one of a later release.
    pub fn begin(mut from: R) -> Result<Reader<R>, Wrong> {
        let first = from.fill_buf()?;
        let mark = spreadsheet::BEGINNING.as_bytes();
        let rows = match first.first() {
            Some(b'{') => Rows::Jsonl { from, line: 0, bytes: 0 },
            Some(b'"' | b'i' | 0xef) => {
                if first.starts_with(mark) {
                    from.consume(mark.len());
                }
                Rows::csv(from)?
            }
            _ => return Err(Wrong::NotAnExport),
        };
        let mut reader = Reader { rows, counts: Counts::default(), is_through: false };
        match reader.rows.next() {
            Ok(Some((_, Line { item: Some(Sort::Export), version: Some(version), .. }))) => match version {
                1..=VERSION => Ok(reader),
                version => Err(Wrong::Newer(version)),
            },
            Err(Wrong::Unreadable(error)) => Err(error.into()),
            Err(cut @ Wrong::CutOff(_)) => Err(cut),
            _ => Err(Wrong::NotAnExport),
        }
    }

    /// The next item; `None` when the file is through, and was whole.
    ///
    /// # Errors
    /// Says what is wrong, and where. What came before is as it was written.
    pub fn more(&mut self) -> Result<Option<Portable>, Wrong> {
        if self.is_through {
            return Ok(None);
        }
        let Some((at, line)) = self.rows.next()? else { return Err(Wrong::CutOff(self.rows.line())) };
        let item = line.item;
        if item == Some(Sort::End) {
            return self.end(at, &line).map(|()| None);
        }
        let portable = line.portable().map_err(|what| Wrong::Line { line: at, what })?;
        self.counts.add(item);
        Ok(Some(portable))
    }

    /// The end is right where it says how many there were, and nothing comes after it.
    fn end(&mut self, line: u64, end: &Line) -> Result<(), Wrong> {
        let Counts { callbacks, quarantined, conversations, notes } = self.counts;
        let said = (end.callbacks, end.quarantined, end.conversations, end.notes);
        if said != (Some(callbacks), Some(quarantined), Some(conversations), Some(notes)) {
            let what = "the file says that it has another number of items than it has".to_owned();
            return Err(Wrong::Line { line, what });
        }
        if self.rows.next()?.is_some() {
            return Err(Wrong::Line { line, what: "more comes after the end".to_owned() });
        }
        self.is_through = true;
        Ok(())
    }

    /// How many bytes were read.
    pub fn bytes(&self) -> u64 {
        match &self.rows {
            Rows::Jsonl { bytes, .. } => *bytes,
            Rows::Csv { from, .. } => from.position().byte(),
        }
    }
}

impl<R: BufRead> Rows<R> {
    fn csv(from: R) -> Result<Rows<R>, Wrong> {
        let mut from = Box::new(csv::Reader::from_reader(from));
        let columns = from.headers().map_err(|_| Wrong::NotAnExport)?.clone();
        if !columns.iter().any(|name| name == "item") {
            return Err(Wrong::NotAnExport);
        }
        Ok(Rows::Csv { from, columns, waiting: VecDeque::new(), line: 0 })
    }

    /// The last line that was read.
    fn line(&self) -> u64 {
        match self {
            Rows::Jsonl { line, .. } | Rows::Csv { line, .. } => *line,
        }
    }

    fn next(&mut self) -> Result<Option<(u64, Line)>, Wrong> {
        match self {
            Rows::Jsonl { from, line, bytes } => {
                let mut text = Vec::new();
                let read = from.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut text)?;
                if read == 0 {
                    return Ok(None);
                }
                *bytes += u64::try_from(read).unwrap_or_default();
                if text.last() != Some(&b'\n') {
                    let is_long = u64::try_from(read).is_ok_and(|read| read == LONGEST_LINE);
                    let too_long = Wrong::Line { line: *line + 1, what: "it is too long".into() };
                    return Err(if is_long { too_long } else { Wrong::CutOff(*line) });
                }
                *line += 1;
                let item = serde_json::from_slice(&text).map_err(|error| not_understood(*line, &error))?;
                Ok(Some((*line, item)))
            }
            Rows::Csv { from, columns, waiting, line } => {
                while waiting.len() < 2 {
                    let Some(row) = csv_row(from, *line)? else { break };
                    waiting.push_back(row);
                }
                let is_last = waiting.len() < 2;
                let Some((at, row)) = waiting.pop_front() else { return Ok(None) };
                let cells = table::object(columns.iter().zip(row.iter()));
                // A row that was cut off in its last cells is no end, even where it looks like one.
                if is_last && cells.get("item").and_then(Value::as_str) != Some("end") {
                    return Err(Wrong::CutOff(*line));
                }
                *line = at;
                let item = serde_json::from_value(Value::Object(cells)).map_err(|error| not_understood(at, &error))?;
                Ok(Some((at, item)))
            }
        }
    }
}

fn csv_row<R: io::Read>(from: &mut csv::Reader<R>, before: u64) -> Result<Option<(u64, csv::StringRecord)>, Wrong> {
    let mut row = csv::StringRecord::new();
    let at = from.position().line();
    match from.read_record(&mut row) {
        Ok(true) => Ok(Some((row.position().map_or(at, csv::Position::line), row))),
        Ok(false) => Ok(None),
        Err(error) => Err(match error.into_kind() {
            csv::ErrorKind::Io(error) => error.into(),
            csv::ErrorKind::UnequalLengths { .. } if from.is_done() || is_at_end(from) => Wrong::CutOff(before),
            csv::ErrorKind::UnequalLengths { .. } => {
                Wrong::Line { line: at, what: "it has another number of cells than the first row".into() }
            }
            _ => Wrong::Line { line: at, what: "it is no text in UTF-8".into() },
        }),
    }
}

fn is_at_end<R: io::Read>(from: &mut csv::Reader<R>) -> bool {
    matches!(from.read_record(&mut csv::StringRecord::new()), Ok(false))
}

fn not_understood(line: u64, error: &serde_json::Error) -> Wrong {
    let what = if error.is_data() { "a value is missing or of the wrong type" } else { "it is no JSON" };
    Wrong::Line { line, what: what.to_owned() }
}
