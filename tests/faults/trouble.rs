//! Trouble made with `strace`: system calls of a running server that fail, are slow or kill it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::NamedTempFile;

use crate::server::Server;

/// Some calls of a process go wrong until this ends.
pub(crate) struct Trouble {
    strace: Child,
    log: NamedTempFile,
}

impl Trouble {
    /// `calls` as `strace` names them, on `file` alone; `fault` is what is injected, such as `error=EIO`.
    pub(crate) fn on(pid: u32, file: &Path, calls: &str, fault: &str) -> Trouble {
        let log = NamedTempFile::new().unwrap();
        let mut strace = Command::new("strace")
            .args(["-f", "-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{fault}"), "-P"])
            .arg(file)
            .arg("-o")
            .arg(log.path())
            .args(["-p", &pid.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(strace.stderr.take().unwrap()).lines();
        let attached = said.by_ref().map_while(Result::ok).any(|line| line.contains("attached"));
        assert!(attached, "strace looks at the server");
        std::thread::spawn(move || said.count());
        Trouble { strace, log }
    }

    /// Syncs of the log are answered, and nothing is synced: the control, which loses what was acknowledged.
    pub(crate) fn syncs_do_nothing(server: &Server) -> Trouble {
        Trouble::on(server.pid(), &server.data.join("counterfoil.db-wal"), "fdatasync,fsync", "retval=0")
    }

    /// Ends it; gives how many calls failed or were slow.
    pub(crate) fn end(mut self) -> usize {
        let _asked = Command::new("kill").args(["-INT", &self.strace.id().to_string()]).status().unwrap();
        self.strace.wait().unwrap();
        let log = fs::read(self.log.path()).unwrap();
        let log = String::from_utf8_lossy(&log);
        ["(INJECTED)", "(DELAYED)"].into_iter().map(|mark| log.matches(mark).count()).sum()
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        let _ended = self.strace.kill().is_ok() && self.strace.wait().is_ok();
    }
}
