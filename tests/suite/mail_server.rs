//! A real mail server, Debian's aiosmtpd, that a test starts, reads the emails of, and ends.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct MailServer {
    child: Child,
    pub(crate) port: u16,
    emails: mpsc::Receiver<Value>,
}

impl MailServer {
    /// `None` where it cannot be run here, which in CI fails.
    pub(crate) fn start(arguments: &[&str]) -> Option<MailServer> {
        let has_library = |python: &&str| {
            let asked = Command::new(python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
            asked.is_ok_and(|status| status.success())
        };
        let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(has_library) else {
            assert!(env::var_os("CI").is_none(), "emails need python3 with aiosmtpd (python3-aiosmtpd)");
            eprintln!("EMAILS WERE NOT TRIED: python3 with aiosmtpd (python3-aiosmtpd) is not here");
            return None;
        };
        let mut child = Command::new(python)
            .args(["-I", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smtp/server.py")])
            .args(arguments)
            .stdout(Stdio::piped())
            // It warns of what a test wants.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        said.read_line(&mut port).unwrap();
        let (taken, emails) = mpsc::channel();
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                let _heard = taken.send(serde_json::from_str(&line).unwrap()).is_ok();
            }
        });
        Some(MailServer { child, port: port.trim().parse().unwrap(), emails })
    }

    /// The next email that it took.
    pub(crate) fn next(&self) -> Value {
        self.emails.recv_timeout(PATIENCE).unwrap()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ended = self.child.kill().is_ok() && self.child.wait().is_ok();
    }
}
