//! Callback tokens as an admin makes, rotates and revokes them, over sockets: and what Notify meets meanwhile.

use std::time::{Duration, Instant};

use counterfoil::clock::{self, MINUTE, SECOND};
use counterfoil::store::By;

use crate::pages::between;
use crate::people::recorded;
use crate::server::{Browser, Server, printed, run};

/// Notify's answer with this token.
fn status_with(server: &Server, token: &str) -> u16 {
    let headers = format!("Authorization: Bearer {token}\r\n");
    server.post_with("/callbacks", &headers, br#"{"id": "x", "status": "delivered"}"#).status
}

/// A form of a page, with what goes along in it.
fn newest(admin: &mut Browser, path: &str) -> String {
    between(&admin.get(path).text(), "name=\"newest\" value=\"", "\"").to_owned()
}

fn token(page: &str) -> String {
    between(page, "data-copy=\"Copy token\">", "<").to_owned()
}

/// The row of a token in the list.
fn listed(admin: &mut Browser, id: i64) -> String {
    let page = admin.get("/tokens").text();
    let row = page.split("<tr").find(|row| row.contains(&format!(">Token {id}<")));
    row.unwrap_or_else(|| panic!("{page}")).to_owned()
}

fn last(server: &Server) -> (String, String, String) {
    recorded(server, "admin@example.gov.uk").pop().unwrap()
}

fn said(did: &str, object: &str, detail: &str) -> (String, String, String) {
    (did.to_owned(), object.to_owned(), detail.to_owned())
}

#[test]
fn a_token_is_shown_once_and_works_at_once() {
    let mut server = Server::start_with(&["--public-url", "https://callbacks.example.gov.uk"]);
    let mut admin = server.signed_in("admin");
    let newest = newest(&mut admin, "/tokens/new");
    let form = [("newest", newest.as_str()), ("name", " Parking ")];
    let answer = admin.post("/tokens/new", &form);
    let page = answer.text();
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    assert!(page.contains("https://callbacks.example.gov.uk/callbacks/delivery-receipts"), "{page}");
    assert!(page.contains("https://callbacks.example.gov.uk/callbacks/received-text-messages"), "{page}");
    let token = token(&page);
    assert_eq!(token.len(), 64);
    assert_eq!(page.matches(&token).count(), 1);
    assert_eq!(status_with(&server, &token), 200);
    assert_eq!(last(&server), said("added_token", "token 2", "Parking"));
    let again = admin.post("/tokens/new", &form).text();
    assert!(again.contains("Token 2 was made since this page was opened") && !again.contains(&token), "{again}");
    for path in ["/tokens", "/tokens/new", "/tokens/2/rotate", "/tokens/2/revoke", "/tokens?revoked=2"] {
        let page = admin.get(path).text();
        assert!(page.contains("Parking") && !page.contains(&token), "{path}");
    }
    assert!(!server.log().contains(&token));
    for entry in std::fs::read_dir(&server.data).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()));
    }
}

#[test]
fn a_form_for_a_token_says_what_is_wrong_with_it() {
    let server = Server::start();
    let mut admin = server.signed_in("admin");
    let long = "x".repeat(201);
    let newest = newest(&mut admin, "/tokens/new");
    for (mut form, field, words) in [
        (vec![], "name", "Enter the name of the service"),
        (vec![("name", "a\nb")], "name", "one line"),
        (vec![("name", &long)], "name", "200 characters or fewer"),
        (vec![("name", "test SERVICE")], "service", "There is a service of this name"),
        (vec![("name", "Parking"), ("service", "1")], "service", "not both"),
        (vec![("service", "99")], "service", "Choose a service from the list"),
    ] {
        form.push(("newest", &newest));
        let page = admin.post("/tokens/new", &form).text();
        assert!(page.contains("<title>Error: ") && page.contains(&format!("id=\"{field}-error\"")), "{page}");
        assert!(page.contains(words), "{words}: {page}");
    }
    let page = admin.post("/tokens/new", &[("newest", &newest), ("service", "1")]).text();
    assert_eq!(status_with(&server, &token(&page)), 200);
    assert!(page.contains("--public-url"), "without it the addresses are not whole: {page}");
    let services = server.read(|store| async move { store.services().await.unwrap() });
    assert_eq!(services.len(), 1);
}

#[test]
fn a_rotation_loses_no_callback() {
    let server = Server::start();
    let mut admin = server.signed_in("admin");
    let old = server.token.clone();
    assert!(listed(&mut admin, 1).contains("Never"));
    let newest = newest(&mut admin, "/tokens/1/rotate");
    let form = [("newest", newest.as_str())];
    let page = admin.post("/tokens/1/rotate", &form).text();
    let new = token(&page);
    assert!(page.contains("Token 1 stays valid"), "{page}");
    assert_eq!(last(&server), said("rotated_token", "token 2", "beside token 1"));
    assert!(!admin.post("/tokens/1/rotate", &form).text().contains("data-copy"), "sent twice it makes one token");
    assert_eq!((status_with(&server, &old), status_with(&server, &new)), (200, 200));
    assert!(!listed(&mut admin, 1).contains("Never") && !listed(&mut admin, 2).contains("Never"));
    assert!(admin.get("/tokens").text().contains("Several tokens of this service are valid"));
    let asked = admin.get("/tokens/1/revoke").text();
    assert!(asked.contains("It was last used at") && asked.contains("Notify still uses this token"), "{asked}");
    assert!(!asked.contains("Without one"), "{asked}");
    let answer = admin.post("/tokens/1/revoke", &[("when", "later")]);
    let shown = admin.get(answer.header("location").unwrap()).text();
    assert!(
        shown.contains("govuk-notification-banner--success") && shown.contains("Token 1 is taken until"),
        "{shown}"
    );
    assert_eq!(last(&server), said("revoked_token", "token 1", "in 30 minutes"));
    assert!(listed(&mut admin, 1).contains("Valid until"));
    assert!(printed(&run(&["token", "list"], &server.data)).contains("revoked from"));
    assert!(admin.get("/tokens/2/revoke").text().contains("Without one"));
    assert_eq!(status_with(&server, &old), 200, "retries still carry it");
    let answer = admin.post("/tokens/1/keep", &[]);
    assert!(admin.get(answer.header("location").unwrap()).text().contains("Token 1 stays valid"));
    assert_eq!(last(&server), said("kept_token", "token 1", ""));
    assert!(listed(&mut admin, 1).contains(">Valid<"));
    admin.post("/tokens/1/revoke", &[]);
    assert_eq!(status_with(&server, &old), 200, "what was not chosen is not done now");
    admin.post("/tokens/1/revoke", &[("when", "now")]);
    assert_eq!(last(&server), said("revoked_token", "token 1", "at once"));
    let since = Instant::now();
    while status_with(&server, &old) != 401 {
        assert!(since.elapsed() < Duration::from_secs(30), "a revoked token is refused soon");
    }
    assert_eq!(status_with(&server, &new), 200);
    assert!(listed(&mut admin, 1).contains("Revoked"));
    for path in ["/tokens/1/rotate", "/tokens/1/revoke"] {
        assert_eq!(admin.get(path).status, 404, "{path}");
    }
}

#[test]
fn a_token_is_taken_up_to_its_moment_and_refused_from_then_on() {
    let server = Server::start();
    let from = clock::now() + 3 * SECOND;
    server.read(|store| async move { store.revoke_token(1, from, By::command("test"), clock::now()).await.unwrap() });
    loop {
        let before = clock::now();
        let status = status_with(&server, &server.token);
        if clock::now() < from {
            assert_eq!(status, 200, "{} microseconds before", from - before);
        } else if before >= from {
            assert_eq!(status, 401, "{} microseconds after", before - from);
            break;
        }
    }
}

#[test]
fn a_revocation_that_is_called_off_at_the_last_moment_refuses_nothing() {
    let server = Server::start();
    let from = clock::now() + 2 * SECOND;
    let put_off = |from| {
        server
            .read(|store| async move { store.revoke_token(1, from, By::command("test"), clock::now()).await.unwrap() })
    };
    put_off(from);
    // The server has read it.
    assert_eq!(status_with(&server, &server.token), 200);
    printed(&run(&["token", "keep", "1"], &server.data));
    while clock::now() < from + SECOND {
        assert_eq!(status_with(&server, &server.token), 200);
    }
    put_off(clock::now() - MINUTE);
    assert_eq!(run(&["token", "keep", "1"], &server.data).status.code(), Some(1), "it has come");
}

#[test]
fn a_command_revokes_in_half_an_hour_or_now() {
    let server = Server::start();
    let revoke = |more: &[&str]| {
        let done = run(&[&["token", "revoke", "1"], more].concat(), &server.data);
        assert!(done.status.success());
        String::from_utf8(done.stderr).unwrap()
    };
    assert!(revoke(&[]).contains("Until then counterfoil token keep 1 calls it off"));
    assert_eq!(status_with(&server, &server.token), 200);
    assert!(revoke(&["--now"]).contains("from now on"));
    assert!(revoke(&[]).contains("Token 1 is refused since"));
}
