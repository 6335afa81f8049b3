//! Litestream copies the store as it grows, by the recipe in `packaging/litestream`, and the machine is lost: what it copied is a
//! whole store. A removal beside it keeps no callback waiting.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::{Site, is_whole, missing};
use crate::server::{Server, run};
use crate::{is_there, not_tried, times};

const RECIPE: &str = include_str!("../../packaging/litestream/folder.yml");
const DAY: i64 = 86_400_000_000;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// The program: where `LITESTREAM` says, where `.ci/run` put it, or as it is installed.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("LITESTREAM").map(PathBuf::from);
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/litestream/bin/litestream");
    let installed = is_there("litestream").then(|| PathBuf::from("litestream"));
    named.or_else(|| fetched.exists().then_some(fetched)).or(installed)
}

/// The recipe with other places in it.
struct Standby {
    program: PathBuf,
    recipe: PathBuf,
    replica: PathBuf,
    /// Where Litestream makes what it copies.
    begun: PathBuf,
    log: PathBuf,
}

impl Standby {
    fn of(site: &Site, notes: &Path, program: PathBuf) -> Standby {
        let replica = notes.join("replica");
        let (recipe, log) = (notes.join("litestream.yml"), notes.join("litestream.log"));
        let here = RECIPE
            .replace("/var/lib/counterfoil", site.data.to_str().unwrap())
            .replace("/mnt/standby/counterfoil", replica.to_str().unwrap());
        assert!(here.contains(site.data.to_str().unwrap()) && here.contains(replica.to_str().unwrap()));
        fs::write(&recipe, here).unwrap();
        let begun = site.data.join(".counterfoil.db-litestream");
        Standby { program, recipe, replica, begun, log }
    }

    /// As if hours were seconds.
    fn hurries(&self) {
        let recipe = fs::read_to_string(&self.recipe).unwrap();
        assert!(recipe.contains("24h"));
        let levels =
            "\nlevels:\n  - interval: 1s\n  - interval: 2s\nl0-retention: 2s\nl0-retention-check-interval: 1s\n";
        fs::write(&self.recipe, recipe.replace("24h", "3s") + levels).unwrap();
    }

    fn start(&self) -> Running {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(&self.program);
        command.args(["replicate", "-log-level", "debug", "-config"]).arg(&self.recipe);
        let running = Running(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        self.waits_for_copies(2);
        running
    }

    /// The copies.
    fn copies(&self) -> Vec<(u64, u64, bool)> {
        files_in(&self.replica)
    }

    fn last(&self) -> u64 {
        last_in(&self.replica)
    }

    /// So many times something more was copied: each copy has what was committed before it was begun. On a busy machine some were
    /// begun already, and wait beside the store to be copied.
    fn waits_for_copies(&self, more: u64) {
        let until = self.last().max(last_in(&self.begun)) + more;
        wait_until("it copies", || self.last() >= until);
    }

    /// What a person does on the new machine.
    fn restore(&self, site: &Site, data: &Path) {
        let file = data.with_extension("db");
        let mut command = Command::new(&self.program);
        command.args(["restore", "-config"]).arg(&self.recipe).arg("-o").arg(&file);
        let fetched = command.arg(site.data.join("counterfoil.db")).output().unwrap();
        assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
        let restored = run(&["restore", file.to_str().unwrap()], data);
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
        drop(Server::start_in(data, &[]));
        is_whole(data);
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

/// The transactions in Litestream's files, of each the first and the last, and whether it is of the whole store.
fn files_in(folder: &Path) -> Vec<(u64, u64, bool)> {
    let mut files = Vec::new();
    for level in fs::read_dir(folder.join("ltx")).into_iter().flatten().flatten() {
        for file in fs::read_dir(level.path()).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let span = name.strip_suffix(".ltx").and_then(|name| name.split_once('-'));
            let number = |hex| u64::from_str_radix(hex, 16).ok();
            if let Some((Some(first), Some(last))) = span.map(|(first, last)| (number(first), number(last))) {
                files.push((first, last, level.file_name() == "9"));
            }
        }
    }
    files
}

fn last_in(folder: &Path) -> u64 {
    files_in(folder).iter().map(|(_, last, _)| *last).max().unwrap_or(0)
}

struct Running(Child);

impl Running {
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// As its service is stopped.
    fn stop(mut self) {
        let told =
            Command::new("kill").args(["-TERM", &self.0.id().to_string()]).stderr(Stdio::null()).status().unwrap();
        assert!(told.success() && self.0.wait().is_ok());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill().is_ok() && self.0.wait().is_ok();
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let ends = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < ends, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_litestream_copied_until_the_machine_was_lost_is_a_whole_store_that_lacks_the_last_seconds_at_most() {
    let Some(program) = program() else { return not_tried("a standby by Litestream", "litestream") };
    for turn in 0..times(1) {
        let notes = tempfile::tempdir().unwrap();
        let mut site = Site::new(notes.path().join("store"), notes.path());
        let standby = Standby::of(&site, notes.path(), program.clone());
        let mut server = Server::start_in(&site.data, &[]);
        let running = standby.start();
        let sender = site.send(&server, 16, turn);
        // Long enough for the log to have been begun anew.
        standby.waits_for_copies(12);
        let before = sender.acknowledged();
        standby.waits_for_copies(2);
        // When how many were acknowledged.
        let (mut seen, until) = (Vec::new(), standby.last() + 3);
        wait_until("it copies", || {
            seen.push((Instant::now(), sender.acknowledged()));
            standby.last() >= until
        });
        let said = server.log();
        let killed = Instant::now();
        server.kill();
        running.kill();
        site.stop(sender);
        let data = notes.path().join("restored");
        standby.restore(&site, &data);
        let rows = missing(&site.acknowledged, &data);
        let all_there = |ids: &HashSet<String>| missing(ids, &data) == 0;
        let safe = seen.iter().rev().find(|(_, ids)| all_there(ids)).map(|(at, _)| *at);
        eprintln!(
            "a standby by Litestream, both killed: {} acknowledged, the last {rows} of them lost, which is {:.1} s",
            site.acknowledged.len(),
            safe.map_or(f64::NAN, |at| (killed - at).as_secs_f64())
        );
        assert!(all_there(&before));
        assert!(!said.contains("_failed"), "{said}");
        assert!(!standby.said().contains("another process"), "our checkpoints leave it the log: {}", standby.said());
    }
}

/// As if all that is held had come so long ago.
fn grow_older(data: &Path) {
    let store = rusqlite::Connection::open(data.join("counterfoil.db")).unwrap();
    store.busy_timeout(PATIENCE).unwrap();
    store.execute("UPDATE callbacks SET arrived_at = arrived_at - ?1", [100 * DAY]).unwrap();
    store.execute_batch("DELETE FROM arrival_stretches; UPDATE arrivals SET mapped = 1").unwrap();
}

fn holds(data: &Path, said: &str) -> bool {
    ["counterfoil.db", "counterfoil.db-wal"].iter().any(|file| {
        let bytes = fs::read(data.join(file)).unwrap_or_default();
        bytes.windows(said.len()).any(|window| window == said.as_bytes())
    })
}

#[test]
fn a_removal_beside_litestream_keeps_no_callback_waiting_and_ends_in_the_log_and_the_copies_too() {
    let Some(program) = program() else { return not_tried("a removal beside Litestream", "litestream") };
    let notes = tempfile::tempdir().unwrap();
    let mut site = Site::new(notes.path().join("store"), notes.path());
    let standby = Standby::of(&site, notes.path(), program);
    standby.hurries();
    let mut server = Server::start_in(&site.data, &[]);
    server.token = site.token();
    let running = standby.start();
    for n in 0..300 {
        let body = format!(r#"{{"id": "old-{n}", "reference": "oldperson", "status": "delivered"}}"#);
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    grow_older(&site.data);
    let sender = site.send(&server, 8, 1);
    assert!(sender.wait_for(200), "callbacks are acknowledged");
    let purged = run(&["purge", "--older-than", "90d", "--yes"], &site.data);
    assert!(purged.status.success(), "{}", String::from_utf8_lossy(&purged.stderr));
    standby.waits_for_copies(3);
    let said = server.log();
    assert!(!said.contains("locked"), "the writer waited for nobody who reads in the log: {said}");
    // As the service of the recipe does each day.
    running.stop();
    wait_until("the log is emptied while Litestream is away", || !holds(&site.data, "oldperson"));
    let old = standby.last();
    let running = standby.start();
    wait_until("the copies with what was removed are gone", || {
        let copies = standby.copies();
        !copies.is_empty() && copies.iter().all(|(first, last, is_whole)| *(if *is_whole { last } else { first }) > old)
    });
    let before = sender.acknowledged();
    standby.waits_for_copies(3);
    site.stop(sender);
    server.kill();
    running.kill();
    let data = notes.path().join("restored");
    standby.restore(&site, &data);
    assert_eq!(missing(&before, &data), 0);
    assert!(!crate::server::ids(&data.join("counterfoil.db")).contains("old-1"));
}
