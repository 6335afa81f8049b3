//! Every address and everybody: who gets what.

use crate::pages::between;
use crate::server::{Browser, PASSWORD, Server, exchange, request};

/// What is answered to nobody, a viewer, a caseworker, a manager and an admin.
const TABLE: &[(&str, &str, [u16; 5])] = &[
    ("GET", "/", [303, 303, 303, 303, 303]),
    ("GET", "/sign-in", [200, 200, 200, 200, 200]),
    // Nobody there is between the steps of a sign-in.
    ("GET", "/sign-in/code", [303, 303, 303, 303, 303]),
    ("POST", "/sign-in/code", [303, 303, 303, 303, 303]),
    ("GET", "/sign-in/recovery-code", [303, 303, 303, 303, 303]),
    ("GET", "/sign-in/set-up", [303, 303, 303, 303, 303]),
    ("GET", "/account", [303, 200, 200, 200, 200]),
    ("GET", "/account/second-factor", [303, 200, 200, 200, 200]),
    ("POST", "/account/second-factor", [303, 200, 200, 200, 200]),
    ("GET", "/account/recovery-codes", [303, 200, 200, 200, 200]),
    ("POST", "/account/recovery-codes", [303, 200, 200, 200, 200]),
    ("GET", "/account/password", [303, 200, 200, 200, 200]),
    ("POST", "/account/password", [303, 200, 200, 200, 200]),
    ("GET", "/cookies", [200, 200, 200, 200, 200]),
    ("GET", "/set-password/0", [200, 200, 200, 200, 200]),
    ("GET", "/receipts", [303, 200, 200, 200, 200]),
    ("GET", "/receipts?q=REF&status=delivered", [303, 200, 200, 200, 200]),
    ("GET", "/receipts/r1", [303, 200, 200, 200, 200]),
    ("GET", "/receipts/none", [303, 404, 404, 404, 404]),
    // Who is not signed in is asked to, with what was typed kept in the form.
    ("POST", "/search", [200, 303, 303, 303, 303]),
    ("GET", "/search", [303, 303, 303, 303, 303]),
    ("GET", "/search/none", [303, 404, 404, 404, 404]),
    ("GET", "/search/SEARCH", [303, 200, 200, 200, 200]),
    ("GET", "/messages", [303, 200, 200, 200, 200]),
    ("GET", "/messages/none", [303, 404, 404, 404, 404]),
    ("GET", "/messages/CONVERSATION", [303, 200, 200, 200, 200]),
    ("GET", "/quarantine", [303, 403, 403, 200, 200]),
    ("GET", "/quarantine/3", [303, 403, 403, 200, 200]),
    ("GET", "/quarantine/999", [303, 403, 403, 404, 404]),
    ("GET", "/quarantine/3/bytes", [303, 403, 403, 200, 200]),
    ("POST", "/quarantine/3/read-again", [303, 403, 403, 303, 303]),
    ("GET", "/quarantine/3/none", [404, 404, 404, 404, 404]),
    ("GET", "/quarantine/none", [404, 404, 404, 404, 404]),
    ("GET", "/audit", [303, 403, 403, 200, 200]),
    ("POST", "/audit", [303, 403, 403, 303, 303]),
    ("GET", "/audit/csv", [303, 403, 403, 200, 200]),
    ("GET", "/alarms", [303, 403, 403, 403, 200]),
    ("POST", "/alarms/1", [303, 403, 403, 403, 303]),
    ("GET", "/alarms/none", [404, 404, 404, 404, 404]),
    ("GET", "/account/sessions", [303, 200, 200, 200, 200]),
    // What was sent is kept in the form.
    ("POST", "/account/sessions", [200, 303, 303, 303, 303]),
    ("GET", "/session", [200, 200, 200, 200, 200]),
    ("POST", "/session", [200, 200, 200, 200, 200]),
    ("GET", "/assets/STYLES", [200, 200, 200, 200, 200]),
    ("GET", "/nothing-here", [404, 404, 404, 404, 404]),
    ("POST", "/nothing-here", [404, 404, 404, 404, 404]),
    ("GET", "/receipts/r1/more", [404, 404, 404, 404, 404]),
    ("POST", "/receipts", [405, 405, 405, 405, 405]),
];

#[test]
fn each_address_answers_each_role_as_it_should() {
    let server = Server::start_by_default();
    assert_eq!(server.post("/callbacks", br#"{"id": "r1", "reference": "REF", "status": "delivered"}"#).status, 200);
    let text = br#"{"id": "t1", "source_number": "447700900123", "message": "REF"}"#;
    assert_eq!(server.post("/callbacks", text).status, 200);
    assert_eq!(server.post("/callbacks", b"nonsense").status, 200);
    let mut people = [
        Browser::new(server.at),
        server.signed_in("viewer"),
        server.signed_in("caseworker"),
        server.signed_in("manager"),
        server.signed_in("admin"),
    ];
    let inbox = people[1].get("/messages").text();
    let (search, _) = people[1].search("07700 900123");
    let places = [
        ("SEARCH", search.strip_prefix("/search/").unwrap()),
        ("CONVERSATION", between(&inbox, "href=\"/messages/", "\"")),
        ("STYLES", between(&inbox, "rel=\"stylesheet\" href=\"/assets/", "\"")),
    ];
    for (method, path, expected) in TABLE.iter().copied() {
        let path = &places.iter().fold(path.to_owned(), |path, (name, place)| path.replace(name, place));
        let found = people.each_mut().map(|person| {
            let answer = if method == "GET" { person.get(path) } else { person.post(path, &[("q", "REF")]) };
            if answer.status != 200 && answer.status != 405 && !path.starts_with("/search") {
                assert!(!answer.text().contains("REF"), "{path} shows nothing personal");
            }
            answer.status
        });
        assert_eq!(found, expected, "{method} {path}");
    }
}

#[test]
fn a_page_that_is_asked_by_another_method_says_which_it_takes() {
    let server = Server::start();
    let ask = |method: &str, path: &str| exchange(server.at, &request(method, path, "", b""));
    for (method, path, _) in
        TABLE.iter().copied().filter(|(_, path, _)| !path.contains("nothing") && !path.contains("STYLES"))
    {
        let is_none = (path.starts_with("/quarantine") || path.starts_with("/alarms")) && path.ends_with("/none");
        let known = !path.ends_with("/more") && !is_none;
        let path = path.split('?').next().unwrap();
        let answer = ask("DELETE", path);
        assert_eq!(answer.status, if known { 405 } else { 404 }, "{path}");
        let allowed = answer.header("allow").unwrap_or_default().to_owned();
        assert!(!known || allowed.contains(if path == "/receipts" { "GET" } else { method }), "{path}: {allowed}");
        for allowed in allowed.split(", ").filter(|method| !method.is_empty()) {
            assert_ne!(ask(allowed, path).status, 405, "{allowed} {path}");
        }
    }
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let answer = ask(method, "/nothing");
        assert_eq!((answer.status, answer.header("allow")), (404, None), "{method}");
    }
    assert_eq!(ask("POST", "/favicon.ico").header("allow"), Some("GET, HEAD"));
}

#[test]
fn whoever_is_not_signed_in_comes_back_to_the_page_after_signing_in() {
    let server = Server::start();
    server.signed_in("caseworker");
    let mut browser = Browser::new(server.at);
    let answer = browser.get("/receipts?q=A%26B");
    let to = answer.header("location").unwrap();
    assert_eq!(to, "/sign-in?next=%2Freceipts%3Fq%3DA%2526B");
    let form = [("email", "caseworker@example.gov.uk"), ("password", PASSWORD), ("next", "/receipts?q=A%26B")];
    assert_eq!(browser.post("/sign-in", &form).header("location"), Some("/receipts?q=A%26B"));
    for elsewhere in ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb", "/\t/evil.example"] {
        let form = [form[0], form[1], ("next", elsewhere)];
        assert_eq!(browser.post("/sign-in", &form).header("location"), Some("/"), "{elsewhere}");
    }
    let form = [form[0], form[1], ("next", "/receipts?q=é")];
    assert_eq!(browser.post("/sign-in", &form).header("location"), Some("/receipts?q=%C3%A9"));
}

#[test]
fn a_session_ends_with_signing_out_and_a_new_one_ends_the_old() {
    let server = Server::start();
    let mut browser = server.signed_in("caseworker");
    let old = browser.clone();
    let form = [("email", "caseworker@example.gov.uk"), ("password", PASSWORD)];
    assert_eq!(browser.post("/sign-in", &form).status, 303);
    assert_ne!(browser.cookie, old.cookie);
    assert_eq!(old.clone().get("/receipts").status, 303, "the session is another one after signing in");
    let kept = browser.clone();
    assert_eq!(browser.post("/sign-out", &[]).status, 303);
    assert_eq!(kept.clone().get("/receipts").status, 303);
}
