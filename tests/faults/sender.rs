//! Notify's own way of sending, with the library that it uses, against every answer that the server can give. Each attempt is
//! classed: stored, sent again by Notify, or dropped by it. It may drop only what carries a bad token, comes by another method or is
//! over 1 MiB, and never may it take for delivered what is not in the store.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use counterfoil::notify::Callback;
use serde_json::{Value, json};

use crate::server::{Server, printed, run};
use crate::trouble::Trouble;
use crate::{is_there, not_tried};

const MEBIBYTE: usize = 1024 * 1024;

/// Paths outside the callbacks: pages, what is near to one, and nothing at all.
const ELSEWHERE: [&str; 17] = [
    "/",
    "",
    "/receipts",
    "/receipts/",
    "/search",
    "/search/",
    "/sign-in",
    "/sign-in/",
    "/sign-out",
    "/set-password/x",
    "/messages/07700900123",
    "/quarantine/1/read-again",
    "/callback",
    "/callbacks/../receipts",
    "/callbacks/../sign-out",
    "/assets/app.css",
    "/callbacksx",
];

/// What Notify makes of an attempt, and what is in the store after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Came {
    /// Notify counts it as delivered, and it is in the store.
    Stored,
    /// Notify sends it again.
    Retry,
    /// Notify never sends it again, and says so in its log.
    Dropped,
    /// Notify counts it as delivered, and it is not in the store.
    Lost,
}

/// Instead of or beside Notify's own; `None` leaves one out.
type Headers<'a> = Vec<(&'a str, Option<String>)>;

/// One attempt of Notify's; as it makes them, unless said otherwise.
#[derive(Clone)]
struct Attempt<'a> {
    method: &'a str,
    path: &'a str,
    token: &'a str,
    headers: Headers<'a>,
    body: &'a [u8],
    /// Chunked, with a pause of so many seconds in the middle.
    chunked: Option<f64>,
}

/// The worker at the other end.
struct Notify {
    worker: Child,
    asks: ChildStdin,
    says: BufReader<ChildStdout>,
    table: Vec<(String, Came, String)>,
}

impl Notify {
    /// `None` where it cannot be run here.
    fn start() -> Option<Notify> {
        let has_library = Command::new("python3").args(["-c", "import requests"]).stderr(Stdio::null()).status();
        if !has_library.is_ok_and(|status| status.success()) {
            not_tried("the library that Notify sends with", "python3 with requests (python3-requests)");
            return None;
        }
        let mut worker = Command::new("python3")
            .args(["-I", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/sender/notify.py")])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (asks, says) = (worker.stdin.take().unwrap(), BufReader::new(worker.stdout.take().unwrap()));
        Some(Notify { worker, asks, says, table: Vec::new() })
    }

    /// Hands an attempt to the worker.
    fn begin(&mut self, at: SocketAddr, attempt: &Attempt<'_>) {
        let asked = json!({
            "method": attempt.method, "url": format!("http://{at}{}", attempt.path), "token": attempt.token,
            "headers": attempt.headers, "body": STANDARD.encode(attempt.body), "pause": attempt.chunked,
        });
        writeln!(self.asks, "{asked}").unwrap();
    }

    /// What it says of the attempt that was begun.
    fn end(&mut self) -> (String, String) {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        (said["notify"].as_str().unwrap().to_owned(), said["how"].as_str().unwrap().to_owned())
    }

    /// Notes what came of an attempt, and gives it.
    fn came(&mut self, what: &str, is_kept: impl FnOnce() -> bool) -> Came {
        let (notify, how) = self.end();
        let came = match notify.as_str() {
            "DELIVERED" if is_kept() => Came::Stored,
            "DELIVERED" => Came::Lost,
            "RETRY" => Came::Retry,
            _ => Came::Dropped,
        };
        self.table.push((what.to_owned(), came, how));
        came
    }

    /// An attempt from beginning to end.
    fn send(&mut self, what: &str, server: &Server, attempt: &Attempt<'_>) -> Came {
        self.begin(server.at, attempt);
        self.came(what, || is_kept(server, attempt.body))
    }

    fn print(&self) {
        eprintln!("\n{:<58} {:<8} how", "what Notify's library met", "class");
        for (what, came, how) in &self.table {
            eprintln!("{what:<58} {:<8} {how}", format!("{came:?}").to_uppercase());
        }
        let count = |wanted| self.table.iter().filter(|(_, came, _)| *came == wanted).count();
        eprintln!(
            "{} attempts: {} stored, {} sent again, {} dropped, {} lost\n",
            self.table.len(),
            count(Came::Stored),
            count(Came::Retry),
            count(Came::Dropped),
            count(Came::Lost)
        );
    }
}

impl Drop for Notify {
    fn drop(&mut self) {
        let _ended = self.worker.kill().is_ok() && self.worker.wait().is_ok();
    }
}

/// Whether these very bytes are in the store, as a callback or in quarantine.
fn is_kept(server: &Server, body: &[u8]) -> bool {
    let id = Callback::read(body).map(|callback| callback.notify_id().to_owned()).ok();
    id.is_some_and(|id| server.kept(&id).iter().any(|kept| kept == body)) || server.has_in_quarantine(body)
}

fn receipt(id: &str) -> Vec<u8> {
    format!(r#"{{"id": "{id}", "reference": "REF {id}", "to": "07700 900123", "status": "delivered"}}"#).into_bytes()
}

/// A receipt of so many bytes.
fn long_receipt(id: &str, length: usize) -> Vec<u8> {
    let mut body = receipt(id);
    body.truncate(body.len() - 1);
    let end = b", \"padding\": \"\"}";
    let padding = vec![b'x'; length - body.len() - end.len()];
    body.extend([&end[..end.len() - 2], &padding, b"\"}"].concat());
    assert_eq!(body.len(), length);
    body
}

fn as_notify<'a>(token: &'a str, body: &'a [u8]) -> Attempt<'a> {
    Attempt { method: "POST", path: "/callbacks", token, headers: Vec::new(), body, chunked: None }
}

#[test]
fn whatever_notifys_library_sends_with_a_good_token_is_stored() {
    let Some(mut notify) = Notify::start() else { return };
    let server = Server::start();
    let token = server.token.clone();
    let plain = receipt("plain");
    let usual = as_notify(&token, &plain);
    let largest = long_receipt("largest", MEBIBYTE);
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV\xcaLQ\xb2R\xca)".as_slice();
    let bodies: [(&str, &[u8]); 9] = [
        ("a receipt", &plain),
        ("the same again", &plain),
        ("just 1 MiB", &largest),
        ("an empty body", b""),
        ("no JSON", b"hello"),
        ("invalid UTF-8", b"{\"id\": \"\xff\xfe\", \"status\": \"delivered\"}"),
        ("an unknown kind", br#"{"colour": "blue"}"#),
        ("a number past what fits", br#"{"id": "big", "status": "delivered", "cost": 1e400}"#),
        ("nothing but NUL", &[0; 40]),
    ];
    let mut came = Vec::new();
    for (what, body) in bodies {
        came.push(notify.send(what, &server, &Attempt { body, ..usual.clone() }));
    }
    let some = |value: &str| Some(value.to_owned());
    let headers: [(&str, Headers<'_>); 12] = [
        ("gzip'ed", vec![("Content-Encoding", some("gzip"))]),
        ("said to be gzip'ed, and not", vec![("Content-Encoding", some("gzip"))]),
        ("Content-Encoding: identity", vec![("Content-Encoding", some("identity"))]),
        ("Content-Type: text/plain", vec![("Content-Type", some("text/plain; charset=x"))]),
        ("Content-Type of a form", vec![("Content-Type", some("application/x-www-form-urlencoded"))]),
        ("no Content-Type", vec![("Content-Type", None)]),
        ("Expect: 100-continue", vec![("Expect", some("100-continue"))]),
        ("Expect: something else", vec![("Expect", some("the-impossible"))]),
        ("a header of 60 kB", vec![("X-Long", Some("x".repeat(60_000)))]),
        (
            "odd headers",
            vec![
                ("traceparent", some("00-0-0-01")),
                ("Cookie", some("=;;a")),
                ("X-Empty", some("")),
                ("X-E", some("é")),
            ],
        ),
        ("another Host", vec![("Host", some("a.example:1"))]),
        ("an upgrade", vec![("Connection", some("Upgrade")), ("Upgrade", some("h2c"))]),
    ];
    for (number, (what, headers)) in headers.into_iter().enumerate() {
        let of_its_own = receipt(&format!("header-{number}"));
        let body = if number == 0 { gzip } else { &of_its_own };
        came.push(notify.send(what, &server, &Attempt { headers, body, ..usual.clone() }));
    }
    for (number, path) in [
        "/callbacks/",
        "/callbacks//",
        "//callbacks",
        "//callbacks//delivery-receipts/",
        "/CALLBACKS",
        "/callbacks/delivery-receipts",
        "/callbacks/delivery-receipts/",
        "/callbacks/no-such-kind",
        "/callbacks?a=b",
        "/callbacks/%2e%2e/%ff",
        "/callbacks/sign-in",
        "/callbacks/../callbacks",
        "/callbacks/a b#c",
        "/%63allbacks",
    ]
    .into_iter()
    .chain(ELSEWHERE)
    .enumerate()
    {
        let body = receipt(&format!("path-{number}"));
        came.push(notify.send(&format!("to {path}"), &server, &Attempt { path, body: &body, ..usual.clone() }));
    }
    for (what, pause) in [("chunked", 0.0), ("chunked, with a second in the middle", 1.0)] {
        let body = receipt(what);
        came.push(notify.send(what, &server, &Attempt { body: &body, chunked: Some(pause), ..usual.clone() }));
    }
    notify.print();
    assert!(came.iter().all(|came| *came == Came::Stored), "all of it is stored");
    // A server that is busy with a body for too long gives up on it without a word.
    let slow = receipt("slow");
    let attempt = Attempt { body: &slow, chunked: Some(13.0), ..usual };
    assert_eq!(notify.send("a body that takes 13 seconds", &server, &attempt), Came::Retry);
    assert_eq!(notify.send("the same at once", &server, &Attempt { chunked: None, ..attempt }), Came::Stored);
    notify.print();
}

#[test]
fn notifys_library_drops_a_bad_token_another_method_and_what_is_too_large_and_never_takes_a_page_for_an_answer() {
    let Some(mut notify) = Notify::start() else { return };
    let server = Server::start();
    let token = server.token.clone();
    let body = receipt("dropped");
    let usual = as_notify(&token, &body);
    let revoked = printed(&run(&["token", "add", "Test service"], &server.data));
    let first = receipt("before it was revoked");
    assert_eq!(notify.send("a second token", &server, &as_notify(&revoked, &first)), Came::Stored);
    assert!(run(&["token", "revoke", "2", "--now"], &server.data).status.success());
    // A token counts for a moment after it was revoked.
    let mut refused = Vec::new();
    for turn in 0.. {
        let body = receipt(&format!("revoked-{turn}"));
        refused.push(notify.send("a revoked token", &server, &as_notify(&revoked, &body)));
        if refused.pop_if(|came| *came == Came::Stored).is_none() {
            break;
        }
    }
    for (what, headers) in [
        ("no token", vec![("Authorization", None)]),
        ("a wrong token", vec![("Authorization", Some("Bearer wrong".to_owned()))]),
        ("another scheme", vec![("Authorization", Some(format!("Basic {token}")))]),
    ] {
        refused.push(notify.send(what, &server, &Attempt { headers, ..usual.clone() }));
    }
    let large = long_receipt("too large", MEBIBYTE + 1);
    refused.push(notify.send("over 1 MiB", &server, &Attempt { body: &large, ..usual.clone() }));
    let huge = long_receipt("far too large", 8 * MEBIBYTE);
    refused.push(notify.send("8 MiB", &server, &Attempt { body: &huge, ..usual.clone() }));
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let what = format!("by {method}");
        refused.push(notify.send(&what, &server, &Attempt { method, ..usual.clone() }));
    }
    for path in ELSEWHERE {
        let what = format!("a wrong token, to {path}");
        refused.push(notify.send(&what, &server, &Attempt { path, token: "wrong, but long enough", ..usual.clone() }));
    }
    notify.print();
    // A connection that is closed before the whole body went out may look like one that broke: then it comes again, and again.
    let fine = |came: &Came| matches!(came, Came::Dropped | Came::Retry);
    assert!(refused.iter().all(fine), "nothing is taken for delivered that is not there");
    assert!(server.kept("dropped").is_empty() && server.quarantined().is_empty());
    let dropped = refused.iter().filter(|came| **came == Came::Dropped).count();
    assert!(dropped > 20, "refusals are told: {dropped} of {}", refused.len());
}

#[test]
fn what_cannot_be_stored_now_notifys_library_sends_again_and_then_it_is_one_row() {
    let Some(mut notify) = Notify::start() else { return };
    if !is_there("strace") {
        return not_tried("Notify's library against a disk in trouble", "strace");
    }
    let mut server = Server::start();
    let token = server.token.clone();
    let log = server.data.join("counterfoil.db-wal");
    assert_eq!(notify.send("a receipt", &server, &as_notify(&token, &receipt("first"))), Came::Stored);
    let again = |notify: &mut Notify, server: &Server, what: &str, body: &[u8]| {
        assert_eq!(notify.send(&format!("{what}, again"), server, &as_notify(&token, body)), Came::Stored);
        let id = serde_json::from_slice::<Value>(body).unwrap()["id"].as_str().unwrap().to_owned();
        assert_eq!(server.kept(&id).len(), 1, "{what}: it stands once");
    };

    let mut waiting = Vec::new();
    for (what, calls, fault) in [
        ("writes that fail", "pwrite64", "error=EIO"),
        ("syncs that fail", "fdatasync,fsync", "error=EIO"),
        ("a full disk", "pwrite64", "error=ENOSPC"),
        ("a sync of seven seconds", "fdatasync,fsync", "delay_enter=7000000:when=1"),
    ] {
        let trouble = Trouble::on(server.pid(), &log, calls, fault);
        let body = receipt(what);
        assert_eq!(notify.send(what, &server, &as_notify(&token, &body)), Came::Retry);
        if fault.contains("when=1") {
            // It is over when another can be stored.
            while notify.send("meanwhile", &server, &as_notify(&token, &receipt("meanwhile"))) != Came::Stored {}
        }
        assert!(trouble.end() > 0, "{what}: calls went wrong");
        again(&mut notify, &server, what, &body);
    }

    let what = "a server that stands still";
    let body = receipt(what);
    server.signal("-STOP");
    assert_eq!(notify.send(what, &server, &as_notify(&token, &body)), Came::Retry);
    server.signal("-CONT");
    again(&mut notify, &server, what, &body);

    let what = "4,500 connections that say nothing";
    assert!(counterfoil::edge::raise_descriptor_limit(8000) >= 8000, "files can be opened");
    waiting.extend((0..4500).map_while(|_| TcpStream::connect_timeout(&server.at, Duration::from_secs(5)).ok()));
    assert_eq!(waiting.len(), 4500, "connections can be made");
    let body = receipt(what);
    // The one that is kept alive may be told to give way in the very moment in which it is used again.
    let stored = (0..6).any(|_| notify.send(what, &server, &as_notify(&token, &body)) == Came::Stored);
    assert!(stored, "it gets through within Notify's six attempts");
    waiting.clear();

    // It is told to stop while a callback waits for its commit: that one is finished.
    let what = "a server that is stopping";
    let body = receipt(what);
    let trouble = Trouble::on(server.pid(), &log, "fdatasync,fsync", "delay_enter=2000000:when=1");
    notify.begin(server.at, &as_notify(&token, &body));
    std::thread::sleep(Duration::from_millis(500));
    server.signal("-TERM");
    let (data, at) = (server.data.clone(), server.at);
    let folder = server.keep_folder();
    let came = notify.came(what, || true);
    assert_eq!(server.ended(), Some(0));
    drop(trouble);
    assert!(came == Came::Retry || crate::server::ids(&data.join("counterfoil.db")).contains(what));

    let what = "a server that has stopped";
    let body = receipt(what);
    notify.begin(at, &as_notify(&token, &body));
    assert_eq!(notify.came(what, || false), Came::Retry);
    let server = Server::start_in(&data, &[]);
    again(&mut notify, &server, what, &body);

    let what = "a server that dies in the commit";
    let body = receipt(what);
    let trouble = Trouble::on(server.pid(), &log, "fdatasync,fsync", "signal=KILL:when=1");
    assert_eq!(notify.send(what, &server, &as_notify(&token, &body)), Came::Retry);
    drop(trouble);
    server.kill();
    let server = Server::start_in(&data, &[]);
    again(&mut notify, &server, what, &body);

    notify.print();
    drop(folder);
}
