//! One side under load: a process of its own on a fresh folder, `counterfoil send` against it, and what came of it.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::machine;
use crate::sides::{self, BINARY, Side};

pub(crate) const TOKEN: &str = "a token for the benchmark alone, which opens nothing else";

/// What was measured of one side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Acknowledged callbacks a second.
    pub(crate) rate: f64,
    /// Half and 99 in 100 were answered within so many milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Microseconds of the server's processor time for each.
    pub(crate) cpu: f64,
    /// MiB that the server had resident at most.
    pub(crate) memory: f64,
    pub(crate) idle: f64,
    pub(crate) sync: (f64, f64),
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>7.0}/s, p50 {:.1} ms, p99 {:.1} ms, {:.0} µs of CPU each, {:.0} MiB, machine {:.0} % idle, sync {:.2}/{:.2} ms",
            self.rate, self.p50, self.p99, self.cpu, self.memory, self.idle, self.sync.0, self.sync.1
        )
    }
}

/// A server that has said where it listens. It ends when this is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
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
        Running { child, address: address.unwrap_or_else(|| panic!("it did not start: {said}")) }
    }

    pub(crate) fn stop(mut self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.child.kill().is_ok();
        let _reaped = self.child.wait().is_ok();
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
    let measured = under_load(&server, folder.path(), connections, seconds, sync, 1);
    drop(delay);
    server.stop("-TERM");
    if let Some(stored) = side.stored(folder.path()) {
        assert!(stored >= measured.1, "{} of {} acknowledged rows are there", stored, measured.1);
    }
    measured.0
}

/// Sends for so long; gives what was measured and how many were acknowledged.
pub(crate) fn under_load(
    server: &Running,
    folder: &Path,
    connections: u16,
    seconds: u64,
    sync: (f64, f64),
    seed: u64,
) -> (Measured, u64) {
    let (token, acks) = (folder.join("token"), folder.join("acks"));
    fs::write(&token, TOKEN).unwrap();
    let (before, (cpu_before, _)) = (machine::ticks(), machine::usage(server.child.id()));
    let began = Instant::now();
    let sender = Command::new(BINARY)
        .args(["send", "receipts", "--count", "1000000000", "--connections", &connections.to_string()])
        .args(["--seed", &seed.to_string(), "--url", &server.address, "--token-file"])
        .arg(&token)
        .arg("--acks")
        .arg(&acks)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(seconds));
    assert!(Command::new("kill").args(["-INT", &sender.id().to_string()]).status().unwrap().success());
    let said = String::from_utf8(sender.wait_with_output().unwrap().stderr).unwrap();
    let took = began.elapsed().as_secs_f64();
    let (cpu, memory) = machine::usage(server.child.id());
    let acknowledged = fs::read_to_string(&acks).unwrap().lines().count();
    let within = |words: &str| -> f64 {
        let after = said.split(words).nth(1).unwrap_or_default();
        after
            .trim_start_matches(" within ")
            .split(' ')
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(f64::NAN)
    };
    let measured = Measured {
        rate: acknowledged as f64 / took,
        p50: within("half"),
        p99: within("99 %"),
        cpu: (cpu - cpu_before) * 1e6 / acknowledged as f64,
        memory,
        idle: machine::idle_since(&before),
        sync,
    };
    (measured, acknowledged as u64)
}

/// Makes each sync of a process 2 ms slower, as on a disk that is reached over a network.
fn slow_syncs(server: &Running) -> Child {
    let inject = "inject=fdatasync,fsync:delay_exit=2000";
    let strace = Command::new("strace")
        .args(["-f", "-q", "-e", "trace=fdatasync,fsync", "-e", inject, "-o", "/dev/null", "-p"])
        .arg(server.child.id().to_string())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace slows the syncs down");
    std::thread::sleep(Duration::from_millis(500));
    strace
}
