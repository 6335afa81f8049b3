//! Who may use whom, read from the source: the rules of ARCHITECTURE.md.

use std::fs;
use std::path::{Path, PathBuf};

/// A layer and those of ours that it may name.
const MAY_USE: [(&str, &[&str]); 20] = [
    (
        "web",
        &["access", "asking", "disclosure", "flagging", "notify", "store", "edge", "meters", "clock", "spreadsheet"],
    ),
    ("upkeep", &["access", "backfill", "mail", "meters", "notify", "outgoing", "store", "clock"]),
    ("asking", &["outgoing", "notify", "clock"]),
    ("backfill", &["outgoing", "notify", "store", "clock"]),
    ("access", &["oidc", "store", "clock"]),
    ("oidc", &["outgoing"]),
    ("disclosure", &["flagging", "notify", "spreadsheet", "store", "clock"]),
    ("transfer", &["notify", "spreadsheet", "store"]),
    ("store", &["flagging", "meters", "notify", "clock"]),
    ("acme", &["edge", "outgoing", "clock"]),
    ("doctor", &["access", "edge", "notify", "outgoing", "store", "clock"]),
    ("edge", &[]),
    ("flagging", &["notify"]),
    ("outgoing", &[]),
    ("mail", &[]),
    ("meters", &[]),
    ("notify", &[]),
    ("made_up", &["notify", "clock"]),
    ("spreadsheet", &[]),
    ("clock", &[]),
];

/// What only some layers may name.
const ONLY_IN: [(&str, &[&str]); 13] = [
    ("use ring::", &["access", "oidc"]),
    ("lettre", &["mail"]),
    ("rusqlite", &["store"]),
    ("r2d2", &["store"]),
    ("x25519", &["store"]),
    ("prometheus::", &["meters"]),
    ("SELECT ", &["store"]),
    ("INSERT INTO", &["store"]),
    ("warp::", &["web", "edge"]),
    ("clap::", &["cli"]),
    ("std::env", &["cli"]),
    ("println!", &["cli"]),
    ("SystemTime::now", &["clock"]),
];

/// Names that say nothing.
const NO_SUCH_MODULE: [&str; 6] = ["utils", "helpers", "types", "models", "services", "prelude"];
/// Past this a file wants to be split by journey.
const LONGEST_FILE: usize = 600;

pub(crate) struct Source {
    pub(crate) path: PathBuf,
    layer: String,
    pub(crate) code: String,
}

/// The files of the program.
pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut sources) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
                let layer = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
                let code = fs::read_to_string(&path).unwrap();
                sources.push(Source { path, layer, code });
            }
        }
    }
    assert!(sources.len() > 40);
    sources
}

/// The code without comments.
fn said(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn each_layer_uses_only_those_below_it() {
    for Source { path, layer, code } in sources() {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == layer) else { continue };
        for line in said(&code) {
            for used in line.split("crate::").skip(1) {
                let used = used.split(|character: char| !character.is_alphanumeric()).next().unwrap();
                // That is there for tests alone.
                let fine = used == "fuzzing" || used == layer || allowed.contains(&used) || used.is_empty();
                assert!(fine, "{} uses {used}: {line}", path.display());
            }
        }
    }
}

#[test]
fn each_matter_stays_in_its_layer() {
    for Source { path, layer, code } in sources() {
        for (name, allowed) in ONLY_IN {
            let found = said(&code).find(|line| line.contains(name));
            assert!(found.is_none() || allowed.contains(&layer.as_str()), "{}: {}", path.display(), found.unwrap());
        }
    }
}

#[test]
fn every_file_says_its_job_first_and_has_one() {
    for Source { path, code, .. } in sources() {
        assert!(code.starts_with("//!"), "{} says its job first", path.display());
        assert!(code.lines().count() <= LONGEST_FILE, "{} is long", path.display());
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!NO_SUCH_MODULE.contains(&stem.as_str()), "{} has no job", path.display());
    }
}
