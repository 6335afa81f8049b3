//! `docs/asvs.md` names tests that exist, and answers each requirement once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains(|sign: char| sign.is_ascii_digit()));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// Whether a file has a test of this name.
fn is_test(root: &Path, file: &str, name: &str) -> bool {
    let code = fs::read_to_string(root.join(file)).unwrap_or_default();
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.contains(&format!("fn {name}(")));
    // Between a test's mark and its name there may be others.
    let before = at.map(|at| lines[..at].iter().rev().take_while(|line| line.starts_with("#["))).into_iter().flatten();
    before.copied().any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test"))
}

#[test]
fn every_test_that_the_page_names_exists_and_every_requirement_has_an_answer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/asvs.md")).unwrap();
    let tests: Vec<(&str, &str)> = page.split('`').filter_map(|word| word.split_once(".rs::")).collect();
    assert!(tests.len() > 100, "{}", tests.len());
    for (file, name) in tests {
        assert!(is_test(root, &format!("{file}.rs"), name), "there is no test {file}.rs::{name}");
    }
    assert!(!is_test(root, "tests/suite/asvs.rs", "rows"), "what is no test is not taken for one");
    let mut numbers = BTreeSet::new();
    for row in rows(&page) {
        let [number, level, what, shown] = row[..] else { panic!("{row:?} has four cells") };
        assert!(numbers.insert(number), "{number} stands once");
        assert!(number.split(['–', ',']).all(|number| number.trim().split('.').count() == 3), "{number}");
        assert!(matches!(level, "1" | "2" | "1, 2") && !what.is_empty() && shown.len() > 1, "{row:?}");
    }
    assert!(numbers.len() > 100, "{}", numbers.len());
}
