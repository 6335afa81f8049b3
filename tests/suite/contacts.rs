//! Contacts to check: what failed is on the list soon, is ticked off, and goes along in a file.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::browser::{go, journey};
use crate::pages::between;
use crate::server::{Browser, PASSWORD, Server, printed, run};

/// The page, once something that is made behind the callbacks stands on it.
pub(crate) fn page_with(browser: &mut Browser, path: &str, said: &str) -> String {
    let began = Instant::now();
    loop {
        let page = browser.get(path).text();
        if page.contains(said) {
            return page;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{said} is not on {page}");
        sleep(Duration::from_millis(100));
    }
}

fn with_failures() -> Server {
    let server = Server::start();
    for (n, person) in [(1, "07700 900123"), (2, "amy@example.com"), (3, "=evil@example.com")] {
        let body = format!(
            r#"{{"id": "r{n}", "reference": "REF{n}", "to": "{person}", "status": "permanent-failure", "notification_type": "email"}}"#
        );
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    let text = br#"{"id": "t1", "source_number": "447700900125", "message": "Please STOP"}"#;
    assert_eq!(server.post("/callbacks", text).status, 200);
    server
}

#[test]
fn a_colleague_ticks_off_what_failed_and_can_undo_it() {
    let server = with_failures();
    let mut caseworker = server.signed_in("caseworker");
    let page = page_with(&mut caseworker, "/contacts/failed", "evil@");
    assert!(page.contains("Not delivered (3)") && page.contains("REF2"), "{page}");
    let chosen: Vec<&str> = page
        .split("name=\"contact\" type=\"checkbox\" value=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert_eq!(chosen.len(), 3);
    let nothing = caseworker.post("/contacts/failed", &[("dealt", "yes")]).text();
    assert!(nothing.contains("<title>Error: ") && nothing.contains("Select the contacts"), "{nothing}");
    let marked =
        caseworker.post("/contacts/failed", &[("contact", chosen[0]), ("contact", chosen[1]), ("dealt", "yes")]);
    let shown = caseworker.get(marked.header("location").unwrap()).text();
    assert!(shown.contains("2 contacts marked as dealt with") && shown.contains("Not delivered (1)"), "{shown}");
    let dealt = caseworker.get("/contacts/failed?dealt=yes").text();
    assert_eq!(dealt.matches("by <bdi>caseworker@").count(), 2, "{dealt}");
    // The same form again, as from another tab.
    let again = caseworker.post("/contacts/failed", &[("contact", chosen[0]), ("dealt", "yes")]).text();
    assert!(again.contains("A colleague marked them"), "{again}");
    let undone = caseworker.post("/contacts/failed", &[("contact", chosen[0]), ("dealt", "no")]);
    let shown = caseworker.get(undone.header("location").unwrap()).text();
    assert!(shown.contains("1 contact marked as not dealt with") && shown.contains("Not delivered (2)"), "{shown}");
    let stop = page_with(&mut caseworker, "/contacts/asked-to-stop", "447700900125");
    let conversation = format!("/messages/{}", between(&stop, "href=\"/messages/", "\""));
    assert!(caseworker.get(&conversation).text().contains("Please STOP"));
}

#[test]
fn a_list_goes_along_as_a_file_that_no_spreadsheet_runs() {
    let server = with_failures();
    let mut manager = server.signed_in("manager");
    page_with(&mut manager, "/contacts/failed", "evil@");
    let file = manager.get("/contacts/failed/csv");
    assert_eq!(file.header("content-type"), Some("text/csv; charset=utf-8"));
    let text = file.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("\u{feff}\"Contact\",\"Last reference\""), "{text}");
    assert!(lines[1].starts_with("\"'=evil@example.com\",\"REF3\"") && lines.len() == 4, "{text}");
}

#[test]
fn a_manager_works_through_the_contacts_in_a_browser_with_and_without_javascript() {
    let Some(mut journey) = journey("contacts.mjs") else { return };
    let mut server = with_failures();
    for body in [
        r#"{"id": "long", "reference": "HB-2026-000042-REMINDER-WITH-A-VERY-LONG-REFERENCE-THAT-HAS-NO-SPACE-ANYWHERE", "to": "a.very.long.address.that.does.not.fit.anywhere@department.example.gov.uk", "status": "permanent-failure", "notification_type": "email"}"#,
        r#"{"id": "off", "reference": "HB-2", "to": "07700 900130", "status": "temporary-failure", "notification_type": "sms"}"#,
        r#"{"notification_id": "letter", "reference": "HB-7", "date_sent": "2026-01-01T12:00:00.000000Z"}"#,
        r#"{"notification_id": "spam", "complaint_id": "x", "reference": "HB-3", "to": "some.one@example.com"}"#,
        r#"{"id": "t2", "source_number": "447700900126", "message": "Wrong number, I do not know you"}"#,
    ] {
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    server.token = printed(&run(&["token", "add", "Parking"], &server.data));
    let parking =
        br#"{"id": "p", "reference": "PCN-1", "to": "07700 900131", "status": "permanent-failure", "notification_type": "sms"}"#;
    assert_eq!(server.post("/callbacks", parking).status, 200);
    let mut manager = server.signed_in("manager");
    page_with(&mut manager, "/contacts/failed", "PCN-1");
    page_with(&mut manager, "/contacts/letter-returned", "HB-7");
    journey.env("EMAIL", "manager@example.gov.uk").env("PASSWORD", PASSWORD);
    go(journey, &server);
}

#[test]
fn a_list_of_a_service_stays_one_while_it_is_worked_through() {
    let mut server = with_failures();
    server.token = printed(&run(&["token", "add", "Parking"], &server.data));
    let body = br#"{"id": "p", "reference": "PCN-1", "to": "07700 900131", "status": "permanent-failure"}"#;
    assert_eq!(server.post("/callbacks", body).status, 200);
    let mut caseworker = server.signed_in("caseworker");
    page_with(&mut caseworker, "/contacts/failed", "PCN-1");
    let page = caseworker.get("/contacts/failed?service=2").text();
    assert!(page.contains("PCN-1") && !page.contains("REF1"), "{page}");
    assert!(page.contains("<form action=\"/contacts/failed?service=2\" method=\"post\""), "{page}");
    let refused = caseworker.post("/contacts/failed?service=2", &[("dealt", "yes")]).text();
    assert!(refused.contains("PCN-1") && !refused.contains("REF1"), "{refused}");
    assert_eq!(refused.matches("Select the contacts that are dealt with").count(), 2, "in the summary and at the list");
}

#[test]
fn a_list_of_some_days_has_links_that_take_each_date_away_and_its_file_holds_those_days_alone() {
    let server = with_failures();
    let mut manager = server.signed_in("manager");
    page_with(&mut manager, "/contacts/failed", "evil@");
    let since = "earliest-day=1&earliest-month=2&earliest-year=2020";
    let until = "latest-day=3&latest-month=2&latest-year=2020";
    let page = manager.get(&format!("/contacts/failed?{since}")).text();
    let set = "<a class=\"app-filter-tags__tag app-wrap\" href=\"/contacts/failed\"><span class=\"govuk-visually-hidden\">\
               Remove this filter:</span> From 1 February 2020</a>";
    assert!(page.contains("REF1") && page.contains(set), "{page}");
    let there = format!("href=\"/contacts/failed/csv?{}\"", since.replace('&', "&#38;"));
    assert!(page.contains(&there), "{page}");
    let before = manager.get(&format!("/contacts/failed?{since}&{until}")).text();
    assert!(!before.contains("REF1") && before.contains("Until 3 February 2020"), "{before}");
    let lines = |query: &str, manager: &mut Browser| {
        manager.get(&format!("/contacts/failed/csv?{query}")).text().lines().count()
    };
    assert_eq!((lines(since, &mut manager), lines(until, &mut manager)), (4, 1));
    let wrong = manager.get("/contacts/failed?earliest-day=1").text();
    assert!(
        wrong.contains("<title>Error: ") && wrong.contains("Earliest date must include a month and year"),
        "{wrong}"
    );
    assert!(!wrong.contains("REF1"), "{wrong}");
    assert_eq!(manager.get("/contacts/failed/csv?earliest-day=1").status, 400);
}
