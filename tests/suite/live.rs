//! What the script learns of what came since a page was shown: numbers, and only of what one may see.

use counterfoil::store::{By, Role, Services};
use rusqlite::Connection;
use serde_json::Value;

use crate::pages::between;
use crate::server::{Browser, Server, printed, run};

fn text(server: &Server, id: &str, from: &str) {
    let body = format!(r#"{{"id": "{id}", "source_number": "{from}", "message": "SECRET"}}"#);
    assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
}

fn ask(browser: &mut Browser, query: &str) -> Value {
    let answer = browser.get(&format!("/arrivals{query}"));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    serde_json::from_slice(&answer.body).unwrap()
}

/// What a page hands the script.
fn since(page: &str) -> String {
    format!("?since={}", between(page, "data-since=\"", "\""))
}

fn numbers(found: &Value) -> (&str, i64) {
    (found["unread"].as_str().unwrap(), found["new"].as_i64().unwrap())
}

#[test]
fn what_came_since_a_page_was_shown_is_told_in_numbers_alone() {
    let server = Server::start();
    let mut browser = server.signed_in("viewer");
    let empty = browser.get("/messages").text();
    assert_eq!(numbers(&ask(&mut browser, &since(&empty))), ("", 0));
    text(&server, "t1", "447700900101");
    text(&server, "t2", "447700900102");
    assert_eq!(numbers(&ask(&mut browser, &since(&empty))), ("2", 2));
    let inbox = browser.get("/messages").text();
    let name = between(&inbox, "href=\"/messages/", "\"").to_owned();
    let page = browser.get(&format!("/messages/{name}")).text();
    assert_eq!(between(&page, "data-conversation=\"", "\""), name);
    let here = format!("{}&conversation={name}", since(&page));
    assert_eq!(numbers(&ask(&mut browser, &since(&inbox))), ("2", 0), "what is shown is not new");
    assert_eq!(numbers(&ask(&mut browser, &here)), ("2", 0));
    // The newest stands first.
    text(&server, "t3", "447700900101");
    assert_eq!(numbers(&ask(&mut browser, &since(&inbox))), ("2", 1));
    assert_eq!(numbers(&ask(&mut browser, &here)), ("2", 0), "it came to another conversation");
    text(&server, "t4", "447700900102");
    assert_eq!(numbers(&ask(&mut browser, &here)), ("2", 1));
    assert_eq!(numbers(&ask(&mut browser, "?since=0&conversation=none")), ("2", 0));
    assert_eq!(numbers(&ask(&mut browser, "")), ("2", 0), "no page with messages");
    assert_eq!(numbers(&ask(&mut browser, "?since=x")), ("2", 0));
    let told = browser.get("/arrivals?since=0").text();
    assert!(!told.contains("7700") && !told.contains("SECRET") && told.len() < 80, "{told}");
    let nobody = ask(&mut Browser::new(server.at), "?since=0");
    assert_eq!((nobody["signed_in"].as_bool(), numbers(&nobody)), (Some(false), ("", 0)));
}

#[test]
fn whoever_is_limited_to_services_learns_of_those_alone() {
    let mut server = Server::start();
    text(&server, "t1", "447700900101");
    server.token = printed(&run(&["token", "add", "Another service"], &server.data));
    text(&server, "t2", "447700900102");
    text(&server, "t3", "447700900101");
    let mut browser = server.signed_in("viewer");
    let inbox = browser.get("/messages").text();
    let of = |number: &str| {
        let row = inbox.split("<tr").find(|row| row.contains(number)).unwrap();
        format!("?since=0&conversation={}", between(row, "href=\"/messages/", "\""))
    };
    let (shared, others) = (of("447700900101"), of("447700900102"));
    assert_eq!(numbers(&ask(&mut browser, "?since=0")), ("2", 2));
    for (only_first, expected) in [(true, [("1", 1), ("1", 1), ("1", 0)]), (false, [("", 0), ("", 0), ("", 0)])] {
        server.read(|store| async move {
            let id = store.person("viewer@example.gov.uk").await.unwrap().unwrap().id;
            let first = store.services().await.unwrap().into_iter().find(|service| service.name != "Another service");
            let sees = Services::Only(first.filter(|_| only_first).map(|service| service.id).into_iter().collect());
            store.change_person(id, Role::Viewer, sees, By::command("test"), 0).await.unwrap();
        });
        let found = ["?since=0", &shared, &others].map(|query| ask(&mut browser, query));
        assert_eq!(found.each_ref().map(numbers), expected);
        let page = browser.get("/messages").text();
        assert_eq!(numbers(&ask(&mut browser, &since(&page))).1, 0);
    }
}

#[test]
fn asking_makes_no_session_longer_and_writes_nothing_down() {
    let server = Server::start();
    let mut browser = server.signed_in("caseworker");
    text(&server, "t1", "447700900101");
    let store = Connection::open(server.data.join("counterfoil.db")).unwrap();
    let age = |minutes: i64| {
        let sql = "UPDATE sessions SET made_at = made_at - ?1, last_seen_at = last_seen_at - ?1";
        store.execute(sql, [minutes * 60_000_000]).unwrap();
    };
    let number = |sql: &str| store.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    age(20);
    let (used, rows) = (number("SELECT max(last_seen_at) FROM sessions"), number("SELECT count(*) FROM audit"));
    for _ in 0..5 {
        assert_eq!(numbers(&ask(&mut browser, "?since=0")), ("1", 1));
    }
    assert_eq!(number("SELECT max(last_seen_at) FROM sessions"), used, "it is no use of the session");
    assert_eq!(number("SELECT count(*) FROM audit"), rows, "nobody saw anything");
    age(11);
    assert_eq!(ask(&mut browser, "?since=0")["signed_in"], false, "an unused session ends");
    assert_eq!(browser.get("/messages").status, 303);
}
