//! Rows that every spreadsheet reads as what they are: comma-separated, in UTF-8, and no cell a formula.

/// What a file begins with, so that Excel takes it for UTF-8.
pub const BEGINNING: &str = "\u{feff}";

/// One row, with the end of its line.
#[must_use]
pub fn row<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let cells: Vec<String> =
        cells.into_iter().map(|cell| format!("\"{}\"", plain(cell).replace('"', "\"\""))).collect();
    format!("{}\r\n", cells.join(","))
}

/// A cell that no spreadsheet runs. One that begins with an apostrophe gets another, so that taking the first away gives back every
/// cell as it was.
fn plain(cell: &str) -> String {
    let acts = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']);
    if acts { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_the_apostrophe_comes_off_again() {
        for cell in ["=1+1", "+447700900123", "-1", "@x", "\tx", "\rx", "'x", "x", "", "\n=1"] {
            let plain = plain(cell);
            assert!(!plain.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
            assert_eq!(plain.strip_prefix('\'').unwrap_or(&plain), cell);
        }
    }

    #[test]
    fn a_cell_may_hold_quotes_commas_and_lines() {
        assert_eq!(row(["a\"b\nc", "d,e", "=x"]), "\"a\"\"b\nc\",\"d,e\",\"'=x\"\r\n");
    }
}
