//! One side under load: a server, `counterfoil send` against it for a time or until something is done, and what came of it.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::kept::number;
use crate::machine;
use crate::sides::{self, BINARY, Side};

pub(crate) const TOKEN: &str = "a token for the benchmark alone, which opens nothing else";
/// More than any run sends.
const WITHOUT_END: u64 = 1_000_000_000;

/// What was measured of one side. What could not be is not a number.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Acknowledged callbacks a second.
    #[serde(deserialize_with = "number")]
    pub(crate) rate: f64,
    /// Half and 99 in 100 were answered within so many milliseconds.
    #[serde(deserialize_with = "number")]
    pub(crate) p50: f64,
    #[serde(deserialize_with = "number")]
    pub(crate) p99: f64,
    /// Microseconds of the server's processor time for each.
    #[serde(deserialize_with = "number")]
    pub(crate) cpu: f64,
    /// MiB that the server had resident at most.
    #[serde(deserialize_with = "number")]
    pub(crate) memory: f64,
    pub(crate) idle: f64,
    pub(crate) sync: (f64, f64),
    pub(crate) acknowledged: u64,
    /// Tries that were not acknowledged: sent again, or refused for good.
    pub(crate) refused: u64,
    /// Seconds that it took.
    pub(crate) took: f64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>7.0}/s, p50 {:.1} ms, p99 {:.1} ms, {:.0} µs of CPU each, {:.0} MiB, machine {:.0} % idle, sync {:.2}/{:.2} ms",
            self.rate, self.p50, self.p99, self.cpu, self.memory, self.idle, self.sync.0, self.sync.1
        )?;
        if self.refused > 0 { write!(f, ", {} tries not acknowledged", self.refused) } else { Ok(()) }
    }
}

/// A server that listens. One of another process ends when this is dropped.
pub(crate) struct Running {
    /// `None` where the server is in this process.
    child: Option<Child>,
    pub(crate) address: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = log.by_ref().map_while(Result::ok).find_map(|line| {
            said += &line;
            let at = line.find("http://")?;
            let end = |character: char| character.is_whitespace() || character == ')';
            Some(line[at..].split(end).next()?.to_owned())
        });
        std::thread::spawn(move || log.count());
        let address = address.unwrap_or_else(|| panic!("it did not start: {said}"));
        Running { child: Some(child), address }
    }

    /// One of this process: what it needs of the processor and of memory cannot be told apart.
    pub(crate) fn inside(address: String) -> Running {
        Running { child: None, address }
    }

    fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn usage(&self) -> (f64, f64) {
        self.pid().map_or((f64::NAN, f64::NAN), machine::usage)
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// It may have ended before.
    pub(crate) fn stop(mut self, signal: &str) {
        if let Some(child) = &mut self.child {
            let _sent =
                Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status().is_ok();
            child.wait().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _gone = child.kill().is_ok();
            let _reaped = child.wait().is_ok();
        }
    }
}

pub(crate) fn measure(side: Side, connections: u16, seconds: u64, slow: bool) -> Measured {
    let folder = tempfile::tempdir().unwrap();
    let sync = machine::sync_times(folder.path());
    if side == Side::SqliteAlone {
        return sides::sqlite_alone(folder.path(), seconds, sync);
    }
    let server = Running::start(side.command(folder.path()));
    let delay = slow.then(|| slow_syncs(&server));
    let measured = Load::start(&server, folder.path(), sync, connections, 1).stop_after(seconds);
    drop(delay);
    server.stop("-TERM");
    if let Some(stored) = side.stored(folder.path()) {
        assert!(stored >= measured.acknowledged, "{stored} of {} acknowledged rows are there", measured.acknowledged);
    }
    measured
}

/// A sender that is at work.
pub(crate) struct Load<'a> {
    server: &'a Running,
    sender: Child,
    acks: PathBuf,
    sync: (f64, f64),
    ticks: Vec<f64>,
    cpu: f64,
    began: Instant,
}

impl<'a> Load<'a> {
    /// Sends receipts until it is stopped. The folder takes the sender's files.
    pub(crate) fn start(server: &'a Running, folder: &Path, sync: (f64, f64), connections: u16, seed: u64) -> Load<'a> {
        Load::of(server, folder, sync, connections, seed, WITHOUT_END)
    }

    /// Sends so many receipts.
    pub(crate) fn of(
        server: &'a Running,
        folder: &Path,
        sync: (f64, f64),
        connections: u16,
        seed: u64,
        count: u64,
    ) -> Load<'a> {
        let (token, acks) = (folder.join("token"), folder.join("acks"));
        fs::write(&token, TOKEN).unwrap();
        let (ticks, (cpu, _), began) = (machine::ticks(), server.usage(), Instant::now());
        let mut sender = Command::new(BINARY);
        sender
            .args(["send", "receipts", "--count", &count.to_string(), "--connections", &connections.to_string()])
            .args(["--seed", &seed.to_string(), "--url", &server.address, "--token-file"])
            .arg(&token)
            .arg("--acks")
            .arg(&acks);
        if count < WITHOUT_END {
            // All of them are waited for.
            sender.args(["--retry-after", "1"]);
        }
        let sender = sender.stderr(Stdio::piped()).spawn().unwrap();
        Load { server, sender, acks, sync, ticks, cpu, began }
    }

    pub(crate) fn stop_after(self, seconds: u64) -> Measured {
        std::thread::sleep(Duration::from_secs(seconds));
        self.stop()
    }

    pub(crate) fn stop(self) -> Measured {
        let pid = self.sender.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.finish()
    }

    /// Waits until the sender has ended.
    pub(crate) fn finish(self) -> Measured {
        let said = String::from_utf8(self.sender.wait_with_output().unwrap().stderr).unwrap();
        let took = self.began.elapsed().as_secs_f64();
        let (cpu, memory) = self.server.usage();
        let acknowledged = BufReader::new(File::open(&self.acks).unwrap()).lines().count() as u64;
        let measured = Measured {
            rate: acknowledged as f64 / took,
            p50: said_after(&said, "half within "),
            p99: said_after(&said, "99 % within "),
            cpu: (cpu - self.cpu) * 1e6 / acknowledged as f64,
            memory,
            idle: machine::idle_since(&self.ticks),
            sync: self.sync,
            acknowledged,
            refused: said_before(&said, " retried") + said_before(&said, " lost in"),
            took,
        };
        fs::remove_file(&self.acks).unwrap();
        measured
    }
}

/// The number that the sender says after these words.
fn said_after(said: &str, words: &str) -> f64 {
    let after = said.split(words).nth(1).unwrap_or_default();
    after.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}

/// The count that the sender says before these words.
fn said_before(said: &str, words: &str) -> u64 {
    let before = said.split_once(words).map(|(before, _)| before).unwrap_or_default();
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Makes each sync of a process 2 ms slower, as on a disk that is reached over a network.
fn slow_syncs(server: &Running) -> Child {
    let inject = "inject=fdatasync,fsync:delay_exit=2000";
    let strace = Command::new("strace")
        .args(["-f", "-q", "-e", "trace=fdatasync,fsync", "-e", inject, "-o", "/dev/null", "-p"])
        .arg(server.pid().unwrap().to_string())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace slows the syncs down");
    std::thread::sleep(Duration::from_millis(500));
    strace
}
