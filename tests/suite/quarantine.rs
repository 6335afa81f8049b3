//! Quarantine from the pages and the command line: looked at, saved, read again.

use std::fs;

use crate::server::{Server, exchange, printed, request, run};

const UNDERSTOOD: &[u8] = br#"{"id": "r1", "reference": "REF", "status": "delivered"}"#;
/// No text, and what a terminal would act on.
const BODY: &[u8] = b"\xff\x00non\x1b[31msense";

/// As an earlier release would have left what it did not know.
fn quarantine_what_is_understood(server: &Server, nonsense: &[u8]) {
    let store = rusqlite::Connection::open(server.data.join("counterfoil.db")).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    let sql = "UPDATE quarantine SET body = ?1, arrived_at = 1700000000000000 WHERE body = ?2";
    assert_eq!(store.execute(sql, [UNDERSTOOD, nonsense]).unwrap(), 1);
}

#[test]
fn a_manager_downloads_the_exact_bytes_and_has_it_read_again() {
    let server = Server::start();
    let mut manager = server.signed_in("manager");
    assert_eq!(server.post("/callbacks", BODY).status, 200);
    assert_eq!(server.post("/callbacks", b"other nonsense").status, 200);
    let bytes = manager.get("/quarantine/1/bytes");
    assert_eq!((bytes.status, bytes.body.as_slice()), (200, BODY));
    assert_eq!(bytes.header("content-type"), Some("application/octet-stream"));
    assert!(bytes.header("content-disposition").unwrap().starts_with("attachment"));
    let stays = manager.post("/quarantine/1/read-again", &[]);
    assert_eq!(stays.header("location"), Some("/quarantine/1?again=1"));
    assert!(manager.get("/quarantine/1?again=1").text().contains("still could not be understood"));
    let elsewhere = manager.headers() + "Sec-Fetch-Site: cross-site\r\n";
    let refused = exchange(server.at, &request("POST", "/quarantine/2/read-again", &elsewhere, b""));
    assert_eq!(refused.status, 403);
    quarantine_what_is_understood(&server, b"other nonsense");
    assert_eq!(manager.post("/quarantine/2/read-again", &[]).header("location"), Some("/receipts/r1"));
    assert!(manager.get("/receipts/r1").text().contains("14 November 2023"), "it arrived when it arrived");
    assert_eq!(manager.get("/quarantine/2").status, 404);
    assert_eq!(server.quarantined().len(), 1);
}

#[test]
fn the_command_line_lists_shows_saves_and_reads_again_beside_the_server() {
    let server = Server::start();
    for body in [BODY, b"other nonsense".as_slice(), b"third"] {
        assert_eq!(server.post("/callbacks", body).status, 200);
    }
    let list = printed(&run(&["quarantine", "list"], &server.data));
    assert_eq!(list.lines().count(), 4, "{list}");
    assert!(list.contains("Test service"));
    let shown = printed(&run(&["quarantine", "show", "1"], &server.data));
    assert_eq!(shown, "\u{fffd}\\u{0}non\\u{1b}[31msense");
    let file = server.data.with_file_name("saved");
    let save = ["quarantine", "save", "1", file.to_str().unwrap()];
    assert!(run(&save, &server.data).status.success());
    assert_eq!(fs::read(&file).unwrap(), BODY);
    assert_eq!(run(&save, &server.data).status.code(), Some(19), "a file that is there is not replaced");
    assert_eq!(run(&["quarantine", "show", "99"], &server.data).status.code(), Some(1));
    assert_eq!(run(&["requeue", "99"], &server.data).status.code(), Some(1));
    assert!(!run(&["requeue"], &server.data).status.success(), "it says what to read");
    quarantine_what_is_understood(&server, b"other nonsense");
    let done = run(&["requeue", "--all"], &server.data);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("1 understood and kept as callbacks, 2 still in quarantine"), "{said}");
    assert_eq!(server.kept("r1"), [UNDERSTOOD]);
    assert_eq!(server.post("/callbacks", UNDERSTOOD).status, 200);
    let mut caseworker = server.signed_in("caseworker");
    assert!(caseworker.get("/receipts/r1").text().contains("2 times"), "the server knows it at once");
}
