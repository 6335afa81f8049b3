//! Rows that every spreadsheet reads as what they are, and no cell a formula: comma-separated in UTF-8, or as a workbook of Excel's.

mod workbook;

use std::io;
use std::str::FromStr;

use workbook::Workbook;

/// What a file begins with, so that Excel takes it for UTF-8.
pub const BEGINNING: &str = "\u{feff}";

/// One row, with the end of its line.
#[must_use]
pub fn row<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let cells: Vec<String> =
        cells.into_iter().map(|cell| format!("\"{}\"", plain(cell).replace('"', "\"\""))).collect();
    format!("{}\r\n", cells.join(","))
}

/// What a file for a spreadsheet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Comma-separated.
    Csv,
    /// A workbook of Excel's.
    Xlsx,
}

impl Format {
    /// What stands behind the dot of a file's name.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Xlsx => "xlsx",
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8",
            Format::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }

    /// What people call it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Format::Csv => "CSV",
            Format::Xlsx => "Excel",
        }
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Format, ()> {
        [Format::Csv, Format::Xlsx].into_iter().find(|format| format.ending() == text).ok_or(())
    }
}

/// A table in the making, of which each piece is given away as soon as it is made: its length costs no memory.
pub struct Table(Kind);

enum Kind {
    Csv,
    Xlsx(Box<Workbook>),
}

impl Table {
    /// With these columns, and what the file begins with.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(format: Format, columns: &'static [&'static str]) -> io::Result<(Table, Vec<u8>)> {
        match format {
            Format::Csv => {
                let begun = format!("{BEGINNING}{}", row(columns.iter().copied()));
                Ok((Table(Kind::Csv), begun.into_bytes()))
            }
            Format::Xlsx => {
                let (workbook, begun) = Workbook::begin(columns)?;
                Ok((Table(Kind::Xlsx(Box::new(workbook))), begun))
            }
        }
    }

    /// More rows.
    ///
    /// # Errors
    /// When they cannot be made, as where the file would be larger than a spreadsheet can read.
    pub fn rows(&mut self, rows: &[Vec<String>]) -> io::Result<Vec<u8>> {
        match &mut self.0 {
            Kind::Csv => {
                let lines: String = rows.iter().map(|cells| row(cells.iter().map(String::as_str))).collect();
                Ok(lines.into_bytes())
            }
            Kind::Xlsx(workbook) => workbook.rows(rows),
        }
    }

    /// What the file ends with. Without that no spreadsheet opens a workbook.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn end(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Kind::Csv => Ok(Vec::new()),
            Kind::Xlsx(workbook) => workbook.end(),
        }
    }
}

/// A cell that no spreadsheet runs. One that begins with an apostrophe gets another, so that taking the first away gives back every
/// cell as it was.
fn plain(cell: &str) -> String {
    let acts = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']);
    if acts { format!("'{cell}") } else { cell.to_owned() }
}

/// What stood in a cell before it was made one that no spreadsheet runs.
#[must_use]
pub fn as_it_was(cell: &str) -> &str {
    cell.strip_prefix('\'').unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_the_apostrophe_comes_off_again() {
        for cell in ["=1+1", "+447700900123", "-1", "@x", "\tx", "\rx", "'x", "x", "", "\n=1"] {
            let plain = plain(cell);
            assert!(!plain.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
            assert_eq!(as_it_was(&plain), cell);
        }
    }

    #[test]
    fn a_cell_may_hold_quotes_commas_and_lines() {
        assert_eq!(row(["a\"b\nc", "d,e", "=x"]), "\"a\"\"b\nc\",\"d,e\",\"'=x\"\r\n");
    }
}
