//! A workbook of Excel's (.xlsx) that goes out while it is written: a zip file of a few XML parts. Every cell is a text in a cell of
//! texts, so that Excel neither runs nor reads anything into it, also when somebody edits it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

/// Rows that a sheet has, with that of the headings.
const ROWS: usize = 1_048_576;
/// Bytes of a sheet, well below what a zip file holds in one part without a form that some programs do not read.
const BYTES: usize = 3 << 30;
/// Characters that a cell holds, as UTF-16 counts them.
const LONGEST: usize = 32_767;
/// What stands at the end of a longer one.
const CUT: &str = "… (cut here: a cell holds no more)";
const XML: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#;
const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const RELATIONS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
const MEDIA_TYPE: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml";

/// A workbook in the making.
pub(super) struct Workbook {
    zip: ZipWriter<StreamWriter<Made>>,
    made: Made,
    columns: &'static [&'static str],
    sheets: usize,
    /// Rows of the sheet that is open, and how many there may be.
    rows: usize,
    at_most: usize,
    bytes: usize,
}

impl Workbook {
    /// With these columns, and what the file begins with.
    pub(super) fn begin(columns: &'static [&'static str]) -> io::Result<(Workbook, Vec<u8>)> {
        let made = Made::default();
        let zip = ZipWriter::new_stream(made.clone());
        let mut workbook = Workbook { zip, made, columns, sheets: 0, rows: 0, at_most: ROWS, bytes: 0 };
        workbook.part(
            "_rels/.rels",
            &format!(
                r#"<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
            ),
        )?;
        workbook.part("xl/styles.xml", &styles())?;
        workbook.open_sheet()?;
        let begun = workbook.made.take();
        Ok((workbook, begun))
    }

    /// More rows, on another sheet where one is full.
    pub(super) fn rows(&mut self, rows: &[Vec<String>]) -> io::Result<Vec<u8>> {
        for cells in rows {
            if self.rows >= self.at_most || self.bytes >= BYTES {
                self.close_sheet()?;
                self.open_sheet()?;
            }
            self.row(cells.iter().map(String::as_str), TEXT)?;
        }
        Ok(self.made.take())
    }

    /// What it ends with: which sheets there are.
    pub(super) fn end(mut self) -> io::Result<Vec<u8>> {
        self.close_sheet()?;
        let all = 1..=self.sheets;
        let sheet = |n| format!(r#"<sheet name="Sheet {n}" sheetId="{n}" r:id="s{n}"/>"#);
        let sheets: String = all.clone().map(sheet).collect();
        self.part(
            "xl/workbook.xml",
            &format!(
                r#"<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><bookViews><workbookView/></bookViews><sheets>{sheets}</sheets></workbook>"#
            ),
        )?;
        let relation =
            |n| format!(r#"<Relationship Id="s{n}" Type="{RELATIONS}/worksheet" Target="worksheets/sheet{n}.xml"/>"#);
        let relations: String = all.clone().map(relation).collect();
        self.part(
            "xl/_rels/workbook.xml.rels",
            &format!(
                r#"<Relationships xmlns="{PACKAGE}/relationships">{relations}<Relationship Id="styles" Type="{RELATIONS}/styles" Target="styles.xml"/></Relationships>"#
            ),
        )?;
        let sheet = |n| {
            format!(r#"<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{MEDIA_TYPE}.worksheet+xml"/>"#)
        };
        let types: String = all.map(sheet).collect();
        self.part(
            "[Content_Types].xml",
            &format!(
                r#"<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="{MEDIA_TYPE}.sheet.main+xml"/><Override PartName="/xl/styles.xml" ContentType="{MEDIA_TYPE}.styles+xml"/>{types}</Types>"#
            ),
        )?;
        self.zip.finish()?;
        Ok(self.made.take())
    }

    fn part(&mut self, name: &str, text: &str) -> io::Result<()> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        self.zip.start_file(name, options)?;
        self.zip.write_all(XML.as_bytes())?;
        self.zip.write_all(text.as_bytes())
    }

    /// A sheet whose headings stay in sight.
    fn open_sheet(&mut self) -> io::Result<()> {
        self.sheets += 1;
        (self.rows, self.bytes) = (0, 0);
        let columns = self.columns;
        let many = columns.len();
        self.part(
            &format!("xl/worksheets/sheet{}.xml", self.sheets),
            &format!(
                r#"<worksheet xmlns="{MAIN}"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><cols><col min="1" max="{many}" width="24" style="{TEXT}" customWidth="1"/></cols><sheetData>"#
            ),
        )?;
        self.row(columns.iter().copied(), HEADING)
    }

    fn close_sheet(&mut self) -> io::Result<()> {
        // Nobody is told at each number that it is one.
        let (last, rows) = (letters(self.columns.len().saturating_sub(1)), self.rows);
        let end = format!(
            r#"</sheetData><ignoredErrors><ignoredError sqref="A1:{last}{rows}" numberStoredAsText="1"/></ignoredErrors></worksheet>"#
        );
        self.zip.write_all(end.as_bytes())
    }

    fn row<'a>(&mut self, cells: impl Iterator<Item = &'a str>, style: u8) -> io::Result<()> {
        self.rows += 1;
        let n = self.rows;
        let mut row = format!(r#"<row r="{n}">"#);
        for (column, cell) in cells.enumerate().filter(|(_, cell)| !cell.is_empty()) {
            let letters = letters(column);
            let _always = write!(
                row,
                r#"<c r="{letters}{n}" s="{style}" t="inlineStr"><is><t xml:space="preserve">{}</t></is></c>"#,
                text(cell)
            );
        }
        row.push_str("</row>");
        self.bytes += row.len();
        self.zip.write_all(row.as_bytes())
    }
}

/// The formats of cells, by their place in the list: one of texts, and the same in bold.
const TEXT: u8 = 1;
const HEADING: u8 = 2;

/// A format is needed of each kind, and two fills, for Excel to read the rest. Number 49 is that of texts.
fn styles() -> String {
    format!(
        r#"<styleSheet xmlns="{MAIN}"><fonts count="2"><font><sz val="11"/><name val="Calibri"/></font><font><b/><sz val="11"/><name val="Calibri"/></font></fonts><fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills><borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs><cellXfs count="3"><xf xfId="0"/><xf numFmtId="49" applyNumberFormat="1" xfId="0"/><xf numFmtId="49" applyNumberFormat="1" fontId="1" applyFont="1" xfId="0"/></cellXfs></styleSheet>"#
    )
}

/// What a column is called: A to Z, then AA.
fn letters(column: usize) -> String {
    let letter = char::from(b'A' + u8::try_from(column % 26).unwrap_or_default());
    if column < 26 { letter.to_string() } else { format!("{}{letter}", letters(column / 26 - 1)) }
}

/// A cell's text as XML. What XML has no way to write is shown by its code; `_x0041_` would be read as a letter, so its beginning is
/// written in that way.
fn text(cell: &str) -> String {
    let cut;
    let mut rest = match whole(cell) {
        None => cell,
        Some(begun) => {
            cut = format!("{begun}{CUT}");
            cut.as_str()
        }
    };
    let mut xml = String::with_capacity(rest.len());
    while let Some(character) = rest.chars().next() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '\r' => xml.push_str("_x000D_"),
            '_' if is_escape(rest) => xml.push_str("_x005F_"),
            '\t' | '\n' => xml.push(character),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                let _always = write!(xml, "[U+{:04X}]", u32::from(character));
            }
            character => xml.push(character),
        }
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
    }
    xml
}

/// The beginning of a text that a cell cannot hold. One that is shown by codes is longer than it was.
fn whole(cell: &str) -> Option<&str> {
    let wide = |character: char| match character {
        '\t' | '\n' | '\r' => 1,
        '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => "[U+0000]".len(),
        character => character.len_utf16(),
    };
    // Quick for what is short: no character takes more room than that.
    if cell.len() * "[U+0000]".len() <= LONGEST || cell.chars().map(wide).sum::<usize>() <= LONGEST {
        return None;
    }
    let mut room = LONGEST - CUT.encode_utf16().count();
    let end = cell.char_indices().find(|(_, character)| {
        let wide = wide(*character);
        let is_full = wide > room;
        room = room.saturating_sub(wide);
        is_full
    });
    end.and_then(|(end, _)| cell.get(..end))
}

/// Whether a text begins with what Excel reads as a character by its code.
fn is_escape(text: &str) -> bool {
    let Some(&[b'_', b'x', a, b, c, d, b'_']) = text.as_bytes().first_chunk::<7>() else { return false };
    [a, b, c, d].iter().all(u8::is_ascii_hexdigit)
}

/// What was made and not given away yet.
#[derive(Clone, Default)]
struct Made(Arc<Mutex<Vec<u8>>>);

impl Made {
    fn take(&self) -> Vec<u8> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Made {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use calamine::{Data, Reader as _, Xlsx};

    use super::*;

    const COLUMNS: &[&str] = &["A", "B"];

    fn sheets(file: Vec<u8>) -> Vec<Vec<Vec<Data>>> {
        let mut workbook = Xlsx::new(Cursor::new(file)).unwrap();
        let names = workbook.sheet_names();
        names
            .iter()
            .map(|name| workbook.worksheet_range(name).unwrap().rows().map(<[Data]>::to_vec).collect())
            .collect()
    }

    fn texts(cells: [&str; 2]) -> Vec<Data> {
        cells.map(|cell| if cell.is_empty() { Data::Empty } else { Data::String(cell.into()) }).into()
    }

    #[test]
    fn rows_go_on_in_another_sheet_where_one_is_full() {
        let (mut workbook, mut file) = Workbook::begin(COLUMNS).unwrap();
        workbook.at_most = 3;
        let rows: Vec<Vec<String>> = (0..5).map(|n| vec![format!("{n}"), String::new()]).collect();
        file.extend(workbook.rows(&rows).unwrap());
        file.extend(workbook.end().unwrap());
        let row = |n| texts([n, ""]);
        let heading = || texts(["A", "B"]);
        let expected =
            [vec![heading(), row("0"), row("1")], vec![heading(), row("2"), row("3")], vec![heading(), row("4")]];
        assert_eq!(sheets(file)[..2], expected[..2]);
    }

    #[test]
    fn every_cell_is_the_text_that_it_was() {
        let cells = ["=1+1", "007", "+44", " x ", "<a href=\"b\">&amp;</a>", "👩\u{200d}🚒 \u{202e}", "a\nb\tc", "1e5"];
        let (mut workbook, mut file) = Workbook::begin(COLUMNS).unwrap();
        let rows: Vec<Vec<String>> = cells.iter().map(|cell| vec![(*cell).to_owned(), "x".into()]).collect();
        file.extend(workbook.rows(&rows).unwrap());
        file.extend(workbook.end().unwrap());
        let found = sheets(file).remove(0);
        for (row, cell) in found.iter().skip(1).zip(cells) {
            assert_eq!(*row, texts([cell, "x"]));
        }
        assert_eq!(found.len(), cells.len() + 1);
    }

    #[test]
    fn what_xml_cannot_hold_is_shown_and_what_excel_would_read_as_a_code_is_not_read() {
        assert_eq!(text("a\0b\u{ffff}c\r\n"), "a[U+0000]b[U+FFFF]c_x000D_\n");
        assert_eq!(text("_x0041_ _x41_ __x0000_"), "_x005F_x0041_ _x41_ __x005F_x0000_");
        let long = text(&"é".repeat(40_000));
        assert_eq!(long.encode_utf16().count(), LONGEST);
        assert!(long.ends_with(CUT));
        assert_eq!(text(&"é".repeat(LONGEST)), "é".repeat(LONGEST));
        assert!(text(&"\0".repeat(5_000)).chars().count() <= LONGEST);
    }

    #[test]
    fn columns_are_called_as_excel_calls_them() {
        assert_eq!([0, 25, 26, 51, 52].map(letters), ["A", "Z", "AA", "AZ", "BA"]);
    }
}
