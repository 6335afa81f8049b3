//! What a new colleague is asked in the first week: the tasks of `docs/first-week.md`, in a browser.

use counterfoil::clock;
use rusqlite::Connection;

use crate::browser::{go, journey};
use crate::contacts::page_with;
use crate::pages::between;
use crate::server::{Browser, PASSWORD, Server, printed, run, run_with_input};

/// How often the journey is made.
const TIMES: usize = 4;

fn post(server: &Server, body: &str) {
    assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200, "{body}");
}

fn text(server: &Server, id: &str, number: &str, said: &str) {
    post(server, &format!(r#"{{"id": "{id}", "source_number": "{number}", "message": "{said}"}}"#));
}

fn receipt(server: &Server, reference: &str, to: &str, kind: &str, status: &str) {
    let body = format!(
        r#"{{"id": "id-of-{reference}", "reference": "{reference}", "to": "{to}", "status": "{status}", "notification_type": "{kind}"}}"#
    );
    post(server, &body);
}

/// A colleague takes a conversation, as with the button of its page.
fn take(colleague: &mut Browser, number: &str) {
    let inbox = colleague.get("/messages").text();
    let row = inbox.split("<tr").find(|row| row.contains(number)).unwrap();
    let path = format!("/messages/{}", between(row, "href=\"/messages/", "\""));
    let page = colleague.get(&path).text();
    let seen = between(&page, "name=\"seen\" value=\"", "\"");
    assert_eq!(colleague.post(&format!("{path}/handling"), &[("seen", seen), ("do", "take")]).status, 303);
}

#[test]
fn each_task_of_the_first_week_takes_no_more_actions_than_it_says() {
    let Some(mut journey) = journey("first-week.mjs") else { return };
    let mut server = Server::start();
    let housing = server.token.clone();
    receipt(&server, "HB-1", "07700 900123", "sms", "permanent-failure");
    receipt(&server, "HB-2", "someone@example.com", "email", "permanent-failure");
    server.token = printed(&run(&["token", "add", "Parking"], &server.data));
    receipt(&server, "PCN-11", "07700 900150", "sms", "permanent-failure");
    receipt(&server, "PCN-12", "07700 900151", "sms", "delivered");
    // All of that came yesterday.
    let store = Connection::open(server.data.join("counterfoil.db")).unwrap();
    store.execute("UPDATE callbacks SET arrived_at = arrived_at - ?1", [clock::DAY]).unwrap();
    let yesterday: i64 = store.query_row("SELECT max(arrived_at) FROM callbacks", [], |row| row.get(0)).unwrap();
    drop(store);
    receipt(&server, "PCN-13", "07700 900152", "sms", "permanent-failure");
    server.token = housing;
    receipt(&server, "HB-4", "nobody@example.com", "email", "permanent-failure");
    receipt(&server, "HB-8", "waiting@example.com", "email", "sending");
    receipt(&server, "HB-9", "07700 900123", "sms", "delivered");
    post(&server, r#"{"notification_id": "letter", "reference": "HB-7", "date_sent": "2026-01-01T12:00:00.000000Z"}"#);
    text(&server, "lift", "447700900500", "The lift is broken again. Is nobody coming?");
    text(&server, "mistake", "447700900400", "When do you open?");
    for n in 0..TIMES {
        text(&server, &format!("night{n}"), &format!("44770090020{n}"), "Is anybody there?");
        text(&server, &format!("stop{n}"), &format!("44770090030{n}"), "STOP");
        text(&server, &format!("ill{n}"), &format!("44770090060{n}"), "Thank you, and until Monday");
    }
    server.signed_in("caseworker");
    server.signed_in("manager");
    let add = ["user", "add", "ill@example.gov.uk", "--role", "caseworker", "--password-stdin"];
    assert!(run_with_input(&add, &server.data, PASSWORD).status.success());
    let mut ill = Browser::new(server.at);
    ill.give_password("ill@example.gov.uk");
    for n in 0..TIMES {
        take(&mut ill, &format!("44770090060{n}"));
    }
    page_with(&mut ill, "/contacts/asked-to-stop", &format!("44770090030{}", TIMES - 1));
    page_with(&mut ill, "/contacts/failed", "nobody@example.com");
    page_with(&mut ill, "/contacts/letter-returned", "HB-7");
    journey.env("EMAIL", "caseworker@example.gov.uk").env("MANAGER", "manager@example.gov.uk");
    journey.env("PASSWORD", PASSWORD).env("COLLEAGUE", "ill@example.gov.uk");
    journey.env("YESTERDAY", (yesterday / 1000).to_string());
    go(journey, &server);
}
