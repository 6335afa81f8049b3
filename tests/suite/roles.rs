//! Every address and everybody: who gets what.

use crate::server::{Browser, Server};

/// What is answered to nobody, a caseworker, a manager and an admin.
const TABLE: [(&str, &str, [u16; 4]); 18] = [
    ("GET", "/", [303, 303, 303, 303]),
    ("GET", "/sign-in", [200, 200, 200, 200]),
    ("GET", "/cookies", [200, 200, 200, 200]),
    ("GET", "/set-password/0", [200, 200, 200, 200]),
    ("GET", "/receipts", [303, 200, 200, 200]),
    ("GET", "/receipts?q=REF&status=delivered", [303, 200, 200, 200]),
    ("GET", "/receipts/r1", [303, 200, 200, 200]),
    ("GET", "/receipts/none", [303, 404, 404, 404]),
    ("POST", "/search", [303, 303, 303, 303]),
    ("GET", "/search/none", [303, 404, 404, 404]),
    ("GET", "/messages", [303, 200, 200, 200]),
    ("GET", "/messages/none", [303, 404, 404, 404]),
    ("GET", "/quarantine", [303, 403, 200, 200]),
    ("GET", "/quarantine/2", [303, 403, 200, 200]),
    ("GET", "/quarantine/999", [303, 403, 404, 404]),
    ("GET", "/nothing-here", [404, 404, 404, 404]),
    ("GET", "/receipts/r1/more", [404, 404, 404, 404]),
    ("POST", "/receipts", [405, 405, 405, 405]),
];

#[test]
fn each_address_answers_each_role_as_it_should() {
    let server = Server::start();
    assert_eq!(server.post("/callbacks", br#"{"id": "r1", "reference": "REF", "status": "delivered"}"#).status, 200);
    assert_eq!(server.post("/callbacks", b"nonsense").status, 200);
    let mut people = [
        Browser::new(server.at),
        server.signed_in("caseworker"),
        server.signed_in("manager"),
        server.signed_in("admin"),
    ];
    for (method, path, expected) in TABLE {
        let found = people.each_mut().map(|person| {
            let answer = if method == "GET" { person.get(path) } else { person.post(path, &[("q", "REF")]) };
            if answer.status != 200 && answer.status != 405 && path != "/" && path != "/search" {
                assert!(!answer.text().contains("REF"), "{path} shows nothing personal");
            }
            answer.status
        });
        assert_eq!(found, expected, "{method} {path}");
    }
}

#[test]
fn whoever_is_not_signed_in_comes_back_to_the_page_after_signing_in() {
    let server = Server::start();
    server.signed_in("caseworker");
    let mut browser = Browser::new(server.at);
    let answer = browser.get("/receipts?q=A%26B");
    let to = answer.header("location").unwrap();
    assert_eq!(to, "/sign-in?next=%2Freceipts%3Fq%3DA%2526B");
    let form =
        [("email", "caseworker@example.gov.uk"), ("password", crate::server::PASSWORD), ("next", "/receipts?q=A%26B")];
    assert_eq!(browser.post("/sign-in", &form).header("location"), Some("/receipts?q=A%26B"));
    for elsewhere in ["//evil.example", "https://evil.example", "/\\evil.example"] {
        let form = [form[0], form[1], ("next", elsewhere)];
        assert_eq!(browser.post("/sign-in", &form).header("location"), Some("/"), "{elsewhere}");
    }
}

#[test]
fn a_session_ends_with_signing_out_and_a_new_one_ends_the_old() {
    let server = Server::start();
    let mut browser = server.signed_in("caseworker");
    let old = browser.clone();
    let form = [("email", "caseworker@example.gov.uk"), ("password", crate::server::PASSWORD)];
    assert_eq!(browser.post("/sign-in", &form).status, 303);
    assert_ne!(browser.cookie, old.cookie);
    assert_eq!(old.clone().get("/receipts").status, 303, "the session is another one after signing in");
    let kept = browser.clone();
    assert_eq!(browser.post("/sign-out", &[]).status, 303);
    assert_eq!(kept.clone().get("/receipts").status, 303);
}
