//! Callbacks that come while something goes wrong, and which of them were acknowledged.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{BINARY, Server, printed, run};

/// A store's folder with its token, and what was acknowledged over all runs.
pub(crate) struct Site {
    pub(crate) data: PathBuf,
    token_file: PathBuf,
    pub(crate) acknowledged: HashSet<String>,
}

/// `counterfoil send` at work.
pub(crate) struct Sender {
    child: Child,
    acks: PathBuf,
}

impl Site {
    /// Of a new store in `data`. What the test itself knows stands in `notes`, which no fault reaches.
    pub(crate) fn new(data: PathBuf, notes: &Path) -> Site {
        let token_file = notes.join("token");
        fs::write(&token_file, printed(&run(&["token", "add", "Test service"], &data))).unwrap();
        Site { data, token_file, acknowledged: HashSet::new() }
    }

    pub(crate) fn token(&self) -> String {
        fs::read_to_string(&self.token_file).unwrap()
    }

    /// Sends as fast as it goes over so many connections.
    pub(crate) fn send(&self, server: &Server, connections: u16, seed: u32) -> Sender {
        self.send_to(server.at, connections, seed)
    }

    /// As [`Site::send`], to whatever listens there.
    pub(crate) fn send_to(&self, at: SocketAddr, connections: u16, seed: u32) -> Sender {
        let acks = self.token_file.with_file_name(format!("acks-{seed}"));
        let child = Command::new(BINARY)
            .args(["send", "mixed", "--count", "100000000", "--seed", &seed.to_string()])
            .args(["--connections", &connections.to_string(), "--url", &format!("http://{at}")])
            .arg("--token-file")
            .arg(&self.token_file)
            .arg("--acks")
            .arg(&acks)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Sender { child, acks }
    }

    /// Stops counting: what is acknowledged from now on does not matter.
    pub(crate) fn stop(&mut self, mut sender: Sender) -> usize {
        sender.child.kill().unwrap();
        sender.child.wait().unwrap();
        let before = self.acknowledged.len();
        self.acknowledged.extend(sender.acknowledged());
        self.acknowledged.len() - before
    }

    /// How many of those that were acknowledged are not in the store, which is whole.
    pub(crate) fn lost(&self) -> usize {
        is_whole(&self.data);
        self.lost_of_any()
    }

    /// As [`Site::lost`], of a store that may be damaged: then of the rows that can be read.
    pub(crate) fn lost_of_any(&self) -> usize {
        missing(&self.acknowledged, &self.data)
    }
}

/// How many of these ids are not in the store of a folder.
pub(crate) fn missing(ids: &HashSet<String>, data: &Path) -> usize {
    ids.difference(&crate::server::ids(&data.join("counterfoil.db"))).count()
}

/// Fails where `counterfoil check` finds anything wrong with a store.
pub(crate) fn is_whole(data: &Path) {
    let checked = run(&["check"], data);
    assert!(checked.status.success(), "the store is whole: {}", String::from_utf8_lossy(&checked.stderr));
}

impl Sender {
    /// The ids that were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> HashSet<String> {
        let ids = fs::read_to_string(&self.acks).unwrap_or_default();
        // The last line may be cut where the sender is in the middle of it.
        ids.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
    }

    /// Waits until so many were acknowledged, or until it is clear that they will not be: for minutes none has been.
    pub(crate) fn wait_for(&self, acknowledged: usize) -> bool {
        let (mut before, mut since) = (0, Instant::now());
        loop {
            let so_far = self.acknowledged().len();
            if so_far >= acknowledged {
                return true;
            }
            if so_far > before {
                (before, since) = (so_far, Instant::now());
            } else if since.elapsed() > Duration::from_mins(4) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ended = self.child.kill().is_ok() && self.child.wait().is_ok();
    }
}
