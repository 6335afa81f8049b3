//! The first run on a terminal, which is a real one: `script` of util-linux makes it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::pages::between;
use crate::server::{BINARY, Server, exchange, folder, request, run};

const PATIENCE: Duration = Duration::from_secs(30);
const RECEIPT: &[u8] = include_bytes!("../callbacks/receipt-sms-delivered.json");
const TEXT: &[u8] = include_bytes!("../callbacks/text-emoji-newline.json");
const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";

/// A server that somebody has started on a terminal.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    output: mpsc::Receiver<Vec<u8>>,
    bytes: Vec<u8>,
    seen: usize,
    at: SocketAddr,
}

impl Terminal {
    /// `before` and `after` stand around the command as a shell takes it.
    fn serve(before: &str, data: &Path, more: &str, after: &str) -> Option<Terminal> {
        let command =
            format!("{before}{BINARY} serve --listen 127.0.0.1:0 --ballast 0 --data {}{more}{after}", data.display());
        let started = Command::new("script")
            .args(["-qefc", &command, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = started else {
            assert!(std::env::var_os("CI").is_none(), "the first run needs script (bsdutils)");
            eprintln!("\n*** NOT TESTED: the first run on a terminal, because script (bsdutils) is missing ***\n");
            return None;
        };
        let (sender, output) = mpsc::channel();
        let mut from = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut some) {
                let _heard = sender.send(some[..length].to_vec()).is_ok();
            }
        });
        let keys = child.stdin.take().unwrap();
        let at = "127.0.0.1:1".parse().unwrap();
        let mut terminal = Terminal { child, keys, output, bytes: Vec::new(), seen: 0, at };
        terminal.wait_for("listening on http://");
        terminal.at = terminal.wait_for("\n").split_whitespace().next().unwrap().parse().unwrap();
        Some(terminal)
    }

    /// All that it showed.
    fn said(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Waits until this is shown; gives what was shown before it and after what was waited for before.
    fn wait_for(&mut self, words: &str) -> String {
        loop {
            let rest = &self.bytes[self.seen..];
            if let Some(at) = rest.windows(words.len()).position(|some| some == words.as_bytes()) {
                let before = String::from_utf8_lossy(&rest[..at]).into_owned();
                self.seen += at + words.len();
                return before;
            }
            match self.output.recv_timeout(PATIENCE) {
                Ok(more) => self.bytes.extend(more),
                Err(error) => panic!("‘{words}’ was not shown, {error}: {}", self.said()),
            }
        }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn post(&self, token: &str, body: &[u8]) -> u16 {
        let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        exchange(self.at, &request("POST", "/callbacks", &headers, body)).status
    }

    /// Waits for the end; gives the exit code and all that it showed.
    fn ended(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        while let Ok(more) = self.output.recv_timeout(PATIENCE) {
            self.bytes.extend(more);
        }
        (code, self.said())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ended = self.child.kill().is_ok() && self.child.wait().is_ok();
    }
}

#[test]
fn a_first_run_on_a_terminal_leads_to_a_token_an_administrator_and_a_tick_for_each_kind() {
    let folder = folder();
    let data = folder.path().join("store");
    let url = " --public-url https://callbacks.example.gov.uk";
    let Some(mut terminal) = Terminal::serve("exec ", &data, url, "") else { return };
    terminal.wait_for("1. A token for each Notify service");
    terminal.wait_for("Name of the service in Notify (Enter to skip): ");
    terminal.types("Housing benefit\n");
    terminal.wait_for("The token of Housing benefit, shown this once:");
    terminal.wait_for("\n  ");
    let token = terminal.wait_for("\r\n").trim().to_owned();
    assert_eq!(token.len(), 64, "{token:?}");

    terminal.wait_for("Name of another service (Enter to go on): ");
    assert_eq!(terminal.post(&token, TEXT), 200, "callbacks are taken while a question stands open");
    terminal.wait_for("\n✓ Received text message from Housing benefit\r\n");
    terminal.wait_for("Name of another service (Enter to go on): ");
    let public = format!("http://localhost:{}", terminal.at.port());
    let doctor = ["doctor", "--listen", &terminal.at.to_string(), "--url", &public];
    let found = String::from_utf8(run(&doctor, &data).stdout).unwrap();
    assert!(found.contains("A delivery receipt comes through"), "{found}");
    assert_eq!(terminal.post("of somebody else", RECEIPT), 401);
    terminal.wait_for("✗ A callback with a wrong or missing token was refused");
    terminal.wait_for(&format!("counterfoil token add \"Name of the service\" --data {}", data.display()));
    terminal.wait_for("Name of another service (Enter to go on): ");
    terminal.types("\n");

    terminal.wait_for("2. In Notify");
    for (row, kind) in
        [("Delivery receipts", "delivery-receipts"), ("Received text messages", "received-text-messages")]
    {
        terminal.wait_for(row);
        terminal.wait_for(&format!("URL           https://callbacks.example.gov.uk/callbacks/{kind}\r\n"));
        terminal.wait_for("Bearer token  the token of the service");
    }
    terminal.wait_for("Email address of the first administrator (Enter to skip): ");
    terminal.types("nobody\n");
    terminal.wait_for("is not an email address");
    terminal.wait_for("Email address of the first administrator (Enter to skip): ");
    terminal.types("amelia@example.gov.uk\n");
    terminal.wait_for("\n  https://callbacks.example.gov.uk/set-password/");
    terminal.wait_for("Press Enter to stop waiting.");
    assert_eq!(terminal.post("of somebody else", RECEIPT), 401);
    // What doctor tried is not among them.
    terminal.wait_for("✗ Refused for a wrong or missing token so far: 2");
    assert_eq!(terminal.post(&token, RECEIPT), 200);
    terminal.wait_for("\n✓ Delivery receipt from Housing benefit\r\n");
    terminal.wait_for("Both kinds have come from each service.");
    assert_eq!(terminal.post(&token, RECEIPT), 200);
    terminal.types(CTRL_C);
    let (code, said) = terminal.ended();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches(&token).count(), 1, "{said}");
    assert!(["07700900855", "447700900855", "Yes please"].iter().all(|personal| !said.contains(personal)), "{said}");
    // The terminal shows what is typed; nothing else repeats it.
    assert_eq!(said.matches("amelia@").count(), 1, "{said}");
    let logged: Vec<&str> = said.lines().filter(|line| line.contains("callback.wrong_token")).collect();
    let is_whole = |line: &&str| line.trim_start_matches("\u{1b}[2m").starts_with("20");
    assert!(logged.len() == 2 && logged.iter().all(is_whole), "torn: {logged:?}");

    let mut again = Terminal::serve("exec ", &data, url, "").unwrap();
    for _ in 0..5 {
        assert_eq!(again.post(&token, RECEIPT), 200);
    }
    again.types(CTRL_C);
    let (code, said) = again.ended();
    assert!(code == Some(0) && !said.contains("First run") && !said.contains('✓'), "{said}");
}

#[test]
fn who_leaves_the_first_run_leaves_the_server_running_and_ctrl_c_stops_it_at_a_question() {
    let folder = folder();
    let data = folder.path().join("a store");
    let quoted = folder.path().join("'a store'");
    let Some(mut terminal) = Terminal::serve("exec ", &quoted, "", "") else { return };
    terminal.wait_for("Name of the service in Notify (Enter to skip): ");
    terminal.types(CTRL_C);
    let (code, said) = terminal.ended();
    assert!(code == Some(0) && said.contains("serve.stopped"), "{said}");

    let mut terminal = Terminal::serve("exec ", &quoted, " --public-url http://callbacks.example.gov.uk", "").unwrap();
    terminal.wait_for("Name of the service in Notify (Enter to skip): ");
    terminal.types("\n");
    terminal.wait_for(&format!("counterfoil token add \"Name of the service\" --data '{}'", data.display()));
    terminal.wait_for("Notify says ‘Must be a valid https URL’");
    terminal.wait_for("Email address of the first administrator (Enter to skip): ");
    terminal.types(CTRL_D);
    terminal.wait_for("The server runs on, without this guide.");
    assert_eq!(terminal.post("unknown", RECEIPT), 503);
    terminal.types(CTRL_C);
    let (code, said) = terminal.ended();
    assert!(code == Some(0) && !said.contains('✗'), "{said}");
}

#[test]
fn a_server_behind_another_program_is_not_stopped_for_reading_from_its_terminal() {
    let folder = folder();
    let tell = " & echo \"its number is $!.\"; wait";
    let Some(mut terminal) = Terminal::serve("set -m; ", &folder.path().join("store"), "", tell) else { return };
    terminal.wait_for("Name of the service in Notify (Enter to skip): ");
    terminal.types("meant for the shell\n");
    for _ in 0..5 {
        assert_eq!(terminal.post("unknown", RECEIPT), 503);
        std::thread::sleep(Duration::from_millis(50));
    }
    let number = between(&terminal.said(), "its number is ", ".").to_owned();
    assert!(Command::new("kill").arg(number).status().unwrap().success());
    let (_, said) = terminal.ended();
    assert!(said.contains("serve.stopped") && !said.contains("The token of"), "{said}");
}

#[test]
fn nothing_of_the_first_run_is_said_where_there_is_no_terminal() {
    let mut server = Server::start();
    assert_eq!(server.post("/callbacks", RECEIPT).status, 200);
    let log = server.log();
    assert!(!log.contains("First run") && !log.contains('✓'), "{log}");
}
