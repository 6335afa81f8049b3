//! What a message said, what its template is called, and what Notify knows now: asked of a stand-in for Notify's API.

use std::fs;
use std::time::{Duration, Instant};

use counterfoil::clock;

use crate::bodies::escaped;
use crate::notify_api::{Fails, NotifyApi};
use crate::server::{Server, folder, printed, run};

const TEMPLATE: &str = "f9d696de-3ce8-459f-9f0e-8781d2fe61a6";

fn id(n: u8) -> String {
    format!("740e5834-3a29-46b4-9a6f-0000000000{n:02x}")
}

/// A server that may ask Notify for its one service.
fn set() -> (Server, NotifyApi) {
    let (api, keys) = (NotifyApi::start(), folder());
    let key = keys.path().join("key");
    fs::write(&key, NotifyApi::key()).unwrap();
    let key = format!("Test service={}", key.display());
    (Server::start_with(&["--notify-api", &key, "--notify-api-url", &api.url()]), api)
}

/// Notify sent a message, and called back for it.
fn called_back(server: &Server, api: &NotifyApi, n: u8, says: &str) {
    api.sent(&id(n), "delivered", clock::now());
    api.that_said("HB-1", "Your <i>visit</i>", says);
    let body = format!(
        r#"{{"id": "{}", "reference": "HB-1", "to": "amy@example.com", "status": "delivered", "notification_type": "email", "template_id": "{TEMPLATE}", "template_version": 1}}"#,
        id(n)
    );
    assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
}

fn holds(server: &Server, said: &str) -> bool {
    let mut files = fs::read_dir(&server.data).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    files.any(|bytes| bytes.windows(said.len()).any(|window| window == said.as_bytes()))
}

#[test]
fn what_a_message_said_and_its_templates_name_are_fetched_once_written_down_and_shown_as_text() {
    let (mut server, api) = set();
    api.template("Appointment <b>reminder</b>");
    called_back(&server, &api, 1, "canary: come at <b>ten</b>\u{202e}\u{0}\nor call");
    let page = format!("/receipts/{}", id(1));
    let mut caseworker = server.signed_in("caseworker");
    for _ in 0..2 {
        let page = caseworker.get(&page).text();
        for words in [
            &format!("canary: come at {}", escaped("<b>ten</b>")),
            "<span class=\"app-token\">U+202E</span><span class=\"app-token\">U+0000</span>",
            &escaped("Your <i>visit</i>"),
            &escaped("Appointment <b>reminder</b>"),
        ] {
            assert!(page.contains(words), "{words}: {page}");
        }
        assert!(
            page.contains("<bdi>Template’s id</bdi>") && page.contains("<bdi>Template</bdi>"),
            "an id is called an id"
        );
    }
    let mut asked = api.asked();
    asked.sort();
    assert_eq!(asked, [format!("/v2/notifications/{}", id(1)), format!("/v2/template/{TEMPLATE}")], "each once");
    let record = printed(&run(&["audit", "list"], &server.data));
    assert_eq!(record.matches("fetched_sent_text").count(), 1, "{record}");
    assert!(!server.log().contains("canary") && !record.contains("canary"));
}

#[test]
fn whoever_may_not_read_what_was_sent_sees_nothing_of_it_and_has_nothing_fetched() {
    let (server, api) = set();
    api.template("Appointment reminder");
    called_back(&server, &api, 1, "canary");
    let page = format!("/receipts/{}", id(1));
    let mut viewer = server.signed_in("viewer");
    let seen = viewer.get(&page).text();
    assert!(seen.contains("Appointment reminder") && !seen.contains("canary") && !seen.contains("What was said"));
    assert!(!api.asked().iter().any(|path| path.starts_with("/v2/notifications")), "{:?}", api.asked());
    assert!(server.signed_in("caseworker").get(&page).text().contains("canary"));
    assert!(!viewer.get(&page).text().contains("canary"), "also once it is kept");
}

#[test]
fn what_notify_does_not_tell_is_said_on_the_page_which_waits_for_it_no_longer_than_a_moment() {
    let (server, api) = set();
    api.template("Reminder");
    let mut caseworker = server.signed_in("caseworker");
    called_back(&server, &api, 1, "canary");
    let page = format!("/receipts/{}", id(1));
    for (fails, words) in [
        (Fails::Status(503, "Internal server error"), "Notify is busy"),
        (Fails::Status(429, "Exceeded rate limit"), "Notify is busy"),
        (Fails::Status(403, "Invalid token: API key not found"), "Notify did not give it"),
    ] {
        api.always_fails(Some(fails));
        let page = caseworker.get(&page);
        assert_eq!(page.status, 200);
        assert!(page.text().contains(words) && page.text().contains("Delivered"), "{fails:?}: {}", page.text());
    }
    api.always_fails(None);
    assert!(caseworker.get(&page).text().contains("canary"), "it is asked for again, and then it is there");
    let gone = format!(r#"{{"id": "{}", "to": "amy@example.com", "status": "delivered"}}"#, id(2));
    assert_eq!(server.post("/callbacks", gone.as_bytes()).status, 200);
    let asked = |id: &str| api.asked().iter().filter(|path| path.contains(id)).count();
    for _ in 0..2 {
        let page = caseworker.get(&format!("/receipts/{}", id(2))).text();
        assert!(page.contains("Notify does not have this message any more"), "{page}");
    }
    assert_eq!(asked(&id(2)), 1, "what is gone is not asked for with each look");
    called_back(&server, &api, 3, "canary");
    api.always_fails(Some(Fails::Silent));
    let began = Instant::now();
    for _ in 0..2 {
        let page = caseworker.get(&format!("/receipts/{}", id(3))).text();
        assert!(page.contains("Notify did not answer in time") && page.contains("Delivered"), "{page}");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "the page does not wait for ever");
    assert_eq!(asked(&id(3)), 1, "it is left alone for a while");
}

#[test]
fn what_was_said_is_exported_and_once_redacted_not_shown_and_not_fetched_again() {
    let (server, api) = set();
    called_back(&server, &api, 1, "canary of a text");
    let mut caseworker = server.signed_in("caseworker");
    let page = format!("/receipts/{}", id(1));
    assert!(caseworker.get(&page).text().contains("canary of a text") && holds(&server, "canary of a text"));
    let json = printed(&run(&["subject", "export", "--email", "amy@example.com"], &server.data));
    assert!(json.contains("canary of a text") && json.contains("Text of a sent message"), "{json}");
    let redact = ["subject", "erase", "--redact", "--email", "amy@example.com", "--reason", "request 9", "--yes"];
    let redacted = run(&redact, &server.data);
    assert!(redacted.status.success(), "{}", String::from_utf8_lossy(&redacted.stderr));
    let asked = api.asked().len();
    let page = caseworker.get(&page).text();
    assert!(page.contains("Redacted") && !page.contains("canary of a text"), "{page}");
    assert!(!api.asked()[asked..].iter().any(|path| path.starts_with("/v2/notifications")), "{:?}", api.asked());
}

#[test]
fn notify_is_asked_for_a_reference_that_is_not_here_and_says_what_it_knows_now() {
    let (server, api) = set();
    let mut viewer = server.signed_in("viewer");
    let (_, nothing) = viewer.search("HB-7 & more");
    let link = "href=\"/ask-notify?q=HB-7+%26+more\"";
    assert!(nothing.text().contains(link), "{}", nothing.text());
    let asks = |viewer: &mut crate::server::Browser, q: &str| viewer.post("/ask-notify", &[("q", q)]).text();
    let page = viewer.get("/ask-notify?q=HB-7%20%26%20more").text();
    assert!(page.contains(&format!("value=\"{}\"", escaped("HB-7 & more"))), "{page}");
    assert!(asks(&mut viewer, "HB-7 & more").contains("Notify has no message with this reference"));
    api.sent(&id(7), "sending", clock::now());
    api.that_said("HB-7 & more", "Subject", "canary");
    for typed in ["HB-7 & more".to_owned(), id(7), id(7).to_uppercase()] {
        let page = asks(&mut viewer, &typed);
        for words in ["Delivering", "72 hours", "Test service", "Amy@<wbr>example.<wbr>com"] {
            assert!(page.contains(words), "{typed}: {words}: {page}");
        }
        assert!(!page.contains("canary"), "what it says is not shown");
    }
    assert_eq!(server.kept(&id(7)).len(), 0, "and nothing of it is kept");
    assert!(!holds(&server, "canary"));
    let record = printed(&run(&["audit", "list"], &server.data));
    assert_eq!(
        record.matches("asked_notify").count(),
        4 + 3,
        "each time, and each time that it told of somebody: {record}"
    );
    assert_eq!(record.matches("in the answer").count(), 3, "{record}");
    api.always_fails(Some(Fails::Status(503, "Internal server error")));
    assert!(asks(&mut viewer, "HB-7").contains("Notify is busy"));
    assert!(asks(&mut viewer, " ").contains("Enter a reference or Notify"));
    let last = (0..10).map(|_| asks(&mut viewer, "HB-7")).last().unwrap();
    assert!(last.contains("You have asked Notify 10 times in a minute"), "{last}");
    assert!(asks(&mut viewer, "07700 900123").contains("Notify cannot be asked for a phone number"));
    assert!(!api.asked().iter().any(|path| path.contains("900123")), "{:?}", api.asked());
    assert!(!viewer.get("/ask-notify?q=07700+900123").text().contains("900123"), "no number comes from an address");
    // What could be a name stands in no address: it is asked for by the name of its search.
    let (to, nothing) = viewer.search("REMINDER");
    let (nothing, opaque) = (nothing.text(), to.strip_prefix("/search/").unwrap().to_owned());
    assert!(nothing.contains(&format!("href=\"/ask-notify?search={opaque}\"")), "{nothing}");
    let page = viewer.get(&format!("/ask-notify?search={opaque}")).text();
    assert!(page.contains("name=\"q\" type=\"text\" value=\"REMINDER\""), "{page}");
    let (number, _) = viewer.search("07700 900999");
    let number = number.strip_prefix("/search/").unwrap();
    assert!(!viewer.get(&format!("/ask-notify?search={number}")).text().contains("900999"));
    assert!(!viewer.get("/ask-notify?search=none").text().contains("REMINDER"));
}

#[test]
fn without_a_key_nothing_is_asked_and_an_admin_names_templates() {
    let server = Server::start();
    let body = format!(r#"{{"id": "m", "reference": "R", "status": "delivered", "template_id": "{TEMPLATE}"}}"#);
    assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    let mut admin = server.signed_in("admin");
    assert!(!admin.search("nothing").1.text().contains("/ask-notify"));
    assert!(admin.get("/ask-notify").text().contains("no API key"));
    assert!(!admin.get("/receipts/m").text().contains("What was said"));
    let list = admin.get("/templates").text();
    assert!(list.contains(TEMPLATE) && list.contains("Give it a name"), "{list}");
    let href = format!("/templates/{}", crate::pages::between(&list, "href=\"/templates/", "\""));
    assert!(admin.post(&href, &[("name", &"x".repeat(256))]).text().contains("255 characters or fewer"));
    assert_eq!(admin.post(&href, &[("name", " Appointment <b> ")]).header("location"), Some("/templates"));
    let name = format!("<bdi>Appointment {}</bdi>", escaped("<b>"));
    assert!(admin.get("/templates").text().contains(&name));
    assert!(server.signed_in("viewer").get("/receipts/m").text().contains(&name));
    assert!(printed(&run(&["audit", "list"], &server.data)).contains("named_template"));
    assert_eq!(admin.post(&href, &[("name", "")]).status, 303);
    let page = admin.get("/receipts/m").text();
    assert!(
        !page.contains("<bdi>Template</bdi>") && page.contains("<bdi>Template’s id</bdi>"),
        "without a name there is only the id"
    );
}

#[test]
fn a_name_that_no_service_has_is_told_at_the_start() {
    let (api, keys) = (NotifyApi::start(), folder());
    let key = keys.path().join("key");
    fs::write(&key, NotifyApi::key()).unwrap();
    let flag = format!("Huosing={}", key.display());
    let mut server = Server::start_with(&["--notify-api", &flag, "--notify-api-url", &api.url()]);
    assert!(server.log().contains("serve.unknown_service"));
}
