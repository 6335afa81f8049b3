//! How long things are kept, as its users meet it: what is said, what is announced and held, and removing by hand.

use std::path::Path;

use crate::server::{Server, printed, run};

const DAY: i64 = 86_400_000_000;
const RECEIPT: &[u8] = br#"{"id": "r1", "reference": "oldperson", "status": "delivered"}"#;
const TEXT: &[u8] = br#"{"id": "t1", "source_number": "447700900123", "message": "oldmessage"}"#;

/// As if all that is held had come so many days earlier.
fn grow_older(data: &Path, days: i64) {
    let store = rusqlite::Connection::open(data.join("counterfoil.db")).unwrap();
    for table in ["callbacks", "quarantine"] {
        store.execute(&format!("UPDATE {table} SET arrived_at = arrived_at - ?1"), [days * DAY]).unwrap();
    }
    store.execute_batch("DELETE FROM arrival_stretches; UPDATE arrivals SET mapped = 1").unwrap();
}

/// A stopped store that holds a receipt, a text and a body in quarantine, each so old.
fn held(data: &Path, days: i64) {
    let mut server = Server::start_in(data, &[]);
    server.token = printed(&run(&["token", "add", "Test service"], data));
    for body in [RECEIPT, TEXT, b"oldnonsense".as_slice()] {
        assert_eq!(server.post("/callbacks", body).status, 200);
    }
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    grow_older(data, days);
}

fn holds(data: &Path, said: &str) -> bool {
    let mut files = std::fs::read_dir(data).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.any(|bytes| bytes.windows(said.len()).any(|window| window == said.as_bytes()))
}

#[test]
fn what_is_kept_is_said_at_the_start_and_on_the_pages() {
    let mut server = Server::start_with(&["--keep-messages", "forever", "--log-level", "error"]);
    let mut manager = server.signed_in("manager");
    for path in ["/receipts", "/messages", "/quarantine"] {
        let page = manager.get(path).text();
        assert!(page.contains("Receipts are kept for 730 days. Received texts are kept forever."), "{path}: {page}");
    }
    let said = "receipts are kept for 730 days, received texts forever, quarantine for as long as the longer of both, and the record";
    assert!(server.log().contains(said), "{}", server.log());
}

#[test]
fn the_first_removal_is_announced_and_a_jump_of_the_clock_is_held_until_a_person_says_so() {
    let folder = crate::server::folder();
    let data = folder.path().join("store");
    held(&data, 800);
    let mut server = Server::start_in(&data, &["--keep-messages", "forever"]);
    wait_for(&mut server, "store.removal_announced");
    let mut caseworker = server.signed_in("caseworker");
    let page = caseworker.get("/receipts").text();
    assert!(page.contains("Old receipts will be removed for good from"), "{page}");
    assert!(!page.contains("Old received texts"), "they are kept forever");
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    // As a setting that was made shorter, a clock that jumped, or a server that stood still looks.
    let mut server = Server::start_in(&data, &["--keep-receipts", "90"]);
    wait_for(&mut server, "store.removal_held");
    assert!(caseworker_again(&server).contains("Old receipts are not being removed"));
    assert!(holds(&data, "oldperson"));
    let purged = run(&["purge", "--older-than", "90d", "--receipts", "--yes"], &data);
    assert!(purged.status.success(), "{}", String::from_utf8_lossy(&purged.stderr));
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    assert!(!holds(&data, "oldperson") && holds(&data, "oldmessage") && holds(&data, "oldnonsense"));
    let mut server = Server::start_in(&data, &["--keep-receipts", "90"]);
    assert!(!server.log().contains("store.removal_held"), "removal goes on from there");
}

/// Waits until it has logged an event.
fn wait_for(server: &mut Server, event: &str) {
    let since = std::time::Instant::now();
    while !server.log().contains(event) {
        assert!(since.elapsed() < std::time::Duration::from_secs(30), "{event}: {}", server.log());
    }
}

fn caseworker_again(server: &Server) -> String {
    let form = [("email", "caseworker@example.gov.uk"), ("password", crate::server::PASSWORD)];
    let mut browser = crate::server::Browser::new(server.at);
    assert_eq!(browser.post("/sign-in", &form).status, 303);
    browser.get("/receipts").text()
}

#[test]
fn a_purge_says_how_many_would_go_and_removes_nothing_that_it_was_not_told_to() {
    let folder = crate::server::folder();
    let data = folder.path().join("store");
    held(&data, 100);
    let counted = printed(&run(&["purge", "--older-than", "90d", "--dry-run"], &data));
    let count = |name: &str| counted.lines().find(|line| line.starts_with(name)).unwrap().ends_with('1');
    assert!(count("Delivery receipt") && count("Received text") && count("In quarantine"), "{counted}");
    let asked = run(&["purge", "--older-than", "90d"], &data);
    assert_eq!(asked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&asked.stderr).contains("Add --yes"));
    assert!(run(&["purge", "--older-than", "101d", "--yes"], &data).status.success());
    assert!(holds(&data, "oldperson") && holds(&data, "oldmessage") && holds(&data, "oldnonsense"));
    assert!(run(&["purge", "--older-than", "90d", "--messages", "--yes"], &data).status.success());
    assert!(holds(&data, "oldperson") && !holds(&data, "oldmessage") && holds(&data, "oldnonsense"));
    assert!(run(&["purge", "--older-than", "90d", "--yes"], &data).status.success());
    assert!(!holds(&data, "oldperson") && !holds(&data, "oldnonsense"));
    let nowhere = folder.path().join("mistyped");
    assert_eq!(run(&["purge", "--older-than", "90d", "--yes"], &nowhere).status.code(), Some(18));
    assert!(!nowhere.exists());
}
