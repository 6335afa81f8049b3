//! A clock that is set while the server runs, and between its end and the next start.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use counterfoil::clock::{self, DAY};
use counterfoil::notify::Callback;
use counterfoil::store::{Arrival, Envelope, Origin, Store};

use crate::not_tried;
use crate::server::{Browser, PASSWORD, Server, block_on, ids, printed, run};

/// Seconds from the real time, each set after the one before.
const STEPS: [&str; 6] = ["+3600", "+0", "-3600", "-86400", "+315360000", "+0"];

/// The library that sets a process's clock, where it is.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|folder| folder.path());
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

fn receipt(id: &str) -> String {
    format!(r#"{{"id": "{id}", "reference": "REF {id}", "to": "07700 900123", "status": "delivered"}}"#)
}

/// One receipt that is older than it is to be kept.
fn keep_old(data: &Path) {
    let now = clock::now();
    block_on(async {
        let store = Store::existing_alone(data, now).unwrap();
        let service = store.service("Test service").await.unwrap().unwrap().id;
        let arrived_at = now - 1000 * DAY;
        let envelope = Envelope { service, token: None, origin: Origin::CalledBack, arrived_at, path: String::new() };
        let callback = Callback::read(receipt("old").as_bytes()).unwrap();
        store.keep(Arrival::callback(envelope, callback)).await.unwrap();
        let _closed = store.close();
    });
}

fn says(server: &mut Server, words: &str) -> bool {
    let ends = Instant::now() + Duration::from_mins(1);
    while !server.log().contains(words) {
        if Instant::now() > ends {
            return false;
        }
    }
    true
}

fn sign_in(server: &Server) -> Browser {
    let mut browser = Browser::new(server.at);
    let answer = browser.post("/sign-in", &[("email", "caseworker@example.gov.uk"), ("password", PASSWORD)]);
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(browser.get("/receipts").status, 200);
    browser
}

#[test]
fn a_clock_that_is_set_loses_nothing_removes_nothing_and_ends_sessions() {
    let Some(library) = library() else { return not_tried("clocks that are set", "libfaketime") };
    let folder = tempfile::tempdir().unwrap();
    let (data, clock) = (folder.path().join("store"), folder.path().join("clock"));
    let token = printed(&run(&["token", "add", "Test service"], &data));
    keep_old(&data);
    let start = || {
        let environment = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        let mut server = Server::start_in_with(&data, &[], &environment);
        server.token.clone_from(&token);
        server
    };
    let set = |step: &str| fs::write(&clock, step).unwrap();
    set("+0");
    let mut server = start();
    assert!(says(&mut server, "store.removal_announced"), "{}", server.log());
    drop(server.signed_in("caseworker"));

    let (mut posted, mut tried) = (0, 0);
    let mut post = |server: &Server, step: &str| {
        let answer = server.post("/callbacks", receipt(&format!("n-{posted}")).as_bytes());
        assert_eq!(answer.status, 200, "{step}: the server goes on");
        posted += 1;
    };
    for step in STEPS {
        let mut before = sign_in(&server);
        set(step);
        post(&server, step);
        let page = before.get("/receipts");
        assert_eq!(page.status, 303, "{step}: nobody knows how old the session is");
        assert!(!page.text().contains("REF"), "{step}");
        drop(sign_in(&server));
        tried += 1;
    }
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));

    for step in STEPS {
        set(step);
        let mut server = start();
        post(&server, step);
        if step == "+315360000" {
            assert!(says(&mut server, "store.removal_held"), "{}", server.log());
        }
        drop(sign_in(&server));
        server.signal("-TERM");
        assert_eq!(server.ended(), Some(0));
        tried += 1;
    }
    let kept = ids(&data.join("counterfoil.db"));
    assert_eq!(kept.len(), posted + 1, "everything that was acknowledged, and what is old");
    assert!(kept.contains("old"), "nothing is removed without a person's word");
    let record = printed(&run(&["audit", "verify"], &data));
    assert!(
        record.lines().any(|line| line.split_whitespace().eq(["First", "row", "1"])),
        "nor of the record: {record}"
    );
    eprintln!("clocks that were set: {tried} tried, {tried} survived");
}
