//! Faults, each tried on the real server with real system calls: what it acknowledged is there afterwards, and what it could not
//! keep it answered in a way that Notify sends again.
//!
//! Each test prints how many faults were tried and survived; where a method could prove nothing, a control that must lose shows
//! that it can. They need Linux with `strace`, `libfaketime` and the library that Notify sends with (Python's `requests`); the power
//! cuts and snapshots need root, loop devices and `xfs_io`, the full disk root. What cannot be tried here is named, and in CI that
//! is a failure. `FAULTS` multiplies how often the ones that are tried by the dozen are tried:
//! `FAULTS=20 FAULTS_LOG=cuts.log cargo test --test faults power -- --nocapture` makes a thousand power cuts and writes a line for each.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on fails"
)]

mod backups;
mod clocks;
mod disk;
mod errors;
mod full;
mod fuzz;
mod fuzzing;
mod kills;
mod litestream;
mod load;
#[allow(dead_code, reason = "the other suite uses the rest")]
#[path = "../suite/notify_api.rs"]
mod notify_api;
mod outages;
mod power;
mod readers;
mod restarts;
mod sender;
#[allow(dead_code, reason = "the other suite uses the rest")]
#[path = "../suite/server.rs"]
mod server;
mod slow;
mod snapshots;
mod stuck;
mod taken_away;
mod trouble;

use std::env;
use std::process::{Command, Stdio};

/// Says what cannot be tried here; in CI that fails.
fn not_tried(what: &str, lacking: &str) {
    assert!(env::var_os("CI").is_none(), "{what}: it needs {lacking}");
    eprintln!("\n*** NOT TRIED: {what}, because it needs {lacking} ***\n");
}

fn is_there(tool: &str) -> bool {
    let asked = Command::new("sh").args(["-c", &format!("command -v {tool}")]).stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// How often something is tried that is tried so often in CI.
fn times(in_ci: u32) -> u32 {
    in_ci * env::var_os("FAULTS").and_then(|factor| factor.to_str()?.parse::<u32>().ok()).unwrap_or(1)
}
