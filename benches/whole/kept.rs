//! What a part found, with when and of what: kept in files below `target`, so that a long run can be made in pieces.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Asked;

/// What was found by one part, on a day and of a commit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept<T> {
    pub(crate) day: String,
    pub(crate) commit: String,
    /// How long each side was under load, and how often.
    pub(crate) seconds: u64,
    pub(crate) pairs: usize,
    pub(crate) found: T,
}

impl<T> Kept<T> {
    pub(crate) fn now(asked: &Asked, found: T) -> Kept<T> {
        Kept {
            day: said_by("date", &["-u", "+%-d %B %Y"]),
            commit: said_by("git", &["rev-parse", "--short", "HEAD"]),
            seconds: asked.seconds,
            pairs: asked.pairs,
            found,
        }
    }

    pub(crate) fn when(&self) -> String {
        format!("{} at commit {}", self.day, self.commit)
    }
}

impl<T: Serialize + DeserializeOwned> Kept<T> {
    pub(crate) fn write(&self, name: &str) {
        fs::create_dir_all(folder()).unwrap();
        fs::write(file(name), serde_json::to_string_pretty(self).unwrap()).unwrap();
    }

    /// `None` where there is none, or where an older benchmark wrote it.
    pub(crate) fn read(name: &str) -> Option<Kept<T>> {
        let text = fs::read_to_string(file(name)).ok()?;
        let read = serde_json::from_str(&text);
        if let Err(error) = &read {
            eprintln!("{} is passed over: {error}", file(name).display());
        }
        read.ok()
    }
}

/// What an unoptimised build measures stays apart.
fn folder() -> PathBuf {
    let below = if cfg!(debug_assertions) { "target/whole/unoptimised" } else { "target/whole" };
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(below)
}

fn file(name: &str) -> PathBuf {
    folder().join(format!("{name}.json"))
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// What is not a number is written as null.
pub(crate) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}
