//! What an admin sets for everybody: a notice on every page, the hours above the received texts, the warning of danger that waits.

use rusqlite::Connection;

use crate::contacts::page_with;
use crate::pages::between;
use crate::server::{Browser, Server};

fn seen(page: &str) -> String {
    between(page, "name=\"seen\" value=\"", "\"").to_owned()
}

#[test]
fn an_admin_sets_a_notice_and_hours_that_everybody_sees_and_of_two_the_second_is_told() {
    let server = Server::start();
    let (mut admin, mut viewer) = (server.signed_in("admin"), server.signed_in("viewer"));
    let form =
        [("notice", "Notify is <down> &\nslow"), ("hours", "Texts are read Monday to Friday"), ("minutes", "30")];
    let saved = admin.post("/settings", &form);
    let page = admin.get(saved.header("location").unwrap()).text();
    assert!(page.contains("Settings saved") && page.contains("admin@example.gov.uk changed them last"), "{page}");
    for path in ["/messages", "/receipts", "/account", "/nothing"] {
        assert!(viewer.get(path).text().contains("Notify is &#60;down&#62; &#38; slow"), "{path}");
    }
    assert!(!Browser::new(server.at).get("/sign-in").text().contains("Notify is"), "only who is signed in");
    assert!(viewer.get("/messages").text().contains("Texts are read Monday to Friday"));
    let long = "x".repeat(301);
    let refused = admin.post("/settings", &[("notice", &long), ("hours", "kept"), ("minutes", "soon")]).text();
    assert!(refused.contains("<title>Error: ") && refused.contains("300 characters or fewer</a>"), "{refused}");
    assert!(refused.contains("between 1 and 1440") && refused.contains("value=\"kept\""), "{refused}");
    // Somebody who opened them before anything was set.
    let late = admin.post("/settings", &[("notice", "Mine"), ("seen", "")]).text();
    assert!(late.contains("Somebody changed the settings after you opened them") && late.contains("\nMine<"), "{late}");
    assert!(viewer.get("/messages").text().contains("Notify is"));
    let now = seen(&late);
    assert_eq!(admin.post("/settings", &[("notice", ""), ("hours", ""), ("minutes", ""), ("seen", &now)]).status, 303);
    let inbox = viewer.get("/messages").text();
    assert!(!inbox.contains("Notify is") && !inbox.contains("Texts are read"), "{inbox}");
    let store = Connection::open(server.data.join("counterfoil.db")).unwrap();
    let sql = "SELECT group_concat(detail) FROM audit WHERE did = 'changed_settings'";
    let details: String = store.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(details, "notice,hours,reminder,notice,hours,reminder");
}

#[test]
fn possible_danger_that_is_unread_for_too_long_is_said_again_until_somebody_reads_it() {
    let server = Server::start();
    let text = br#"{"id": "t1", "source_number": "447700900123", "message": "It is about suicide"}"#;
    assert_eq!(server.post("/callbacks", text).status, 200);
    let (mut admin, mut caseworker) = (server.signed_in("admin"), server.signed_in("caseworker"));
    page_with(&mut caseworker, "/messages", "Possible danger</strong>");
    let warning = "may tell of danger and has been unread for more than 30 minutes";
    assert_eq!(admin.post("/settings", &[("minutes", "30")]).status, 303);
    assert!(!caseworker.get("/messages").text().contains(warning), "it came just now");
    let store = Connection::open(server.data.join("counterfoil.db")).unwrap();
    store.execute("UPDATE callbacks SET arrived_at = arrived_at - 3600000000", []).unwrap();
    let inbox = caseworker.get("/messages").text();
    assert!(inbox.contains(warning) && inbox.contains("href=\"/messages?show=unread&amp;flag=danger\""), "{inbox}");
    let path = format!("/messages/{}", between(&inbox, "href=\"/messages/", "\""));
    let seen = seen(&caseworker.get(&path).text());
    assert_eq!(caseworker.post(&format!("{path}/handling"), &[("seen", &seen), ("do", "read")]).status, 303);
    assert!(!caseworker.get("/messages").text().contains(warning));
}
