//! A message's page, as whoever has the caller on the phone meets it: did they get it, and if not, what now?

use crate::pages::between;
use crate::server::{Browser, Server, printed, run};

const SERVICE_ID: &str = "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa";
const TEXT_ID: &str = "5d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6ac";

fn posted(server: &Server, bodies: &[&str]) {
    for body in bodies {
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
}

fn receipt(id: &str, sent_as: &str, status: &str) -> String {
    format!(
        r#"{{"id": "{id}", "reference": "of {id}", "to": "07700 900{:03}", "status": "{status}", "notification_type": "{sent_as}"}}"#,
        id.bytes().map(u32::from).sum::<u32>() % 1000
    )
}

#[test]
fn each_status_says_what_it_means_for_its_kind_and_what_to_do_and_leads_to_where_all_are_explained() {
    let server = Server::start();
    let mut browser = server.signed_in("viewer");
    let help = Browser::new(server.at).get("/help/statuses").text();
    for (id, sent_as, status, words) in [
        ("a", "sms", "permanent-failure", ["Not delivered", "wrong or blocked", "Do not delete it"]),
        ("b", "sms", "delivered", ["Delivered", "does not mean that anyone has read it", "check the number with them"]),
        (
            "c",
            "email",
            "permanent-failure",
            ["Email address does not exist", "this address does not exist", "letter by letter"],
        ),
        ("d", "email", "temporary-failure", ["Inbox not accepting", "it may be full", "Send it again later"]),
        ("e", "letter", "received", ["Posted", "printed and posted", "Allow some days"]),
        ("f", "sms", "sending", ["Delivering", "is on its way", "72 hours"]),
    ] {
        posted(&server, &[&receipt(id, sent_as, status)]);
        let page = browser.get(&format!("/receipts/{id}")).text();
        for words in words {
            assert!(page.contains(words), "{sent_as} {status}: {words}");
            assert!(help.contains(words), "{sent_as} {status}: {words} is explained");
        }
        let place = between(&page, "href=\"/help/statuses#", "\"");
        assert!(help.contains(&format!(" id=\"{place}\"")), "{place}");
    }
    assert!(browser.get("/receipts").text().contains("href=\"/help/statuses\""), "the footer leads there");
}

#[test]
fn the_way_of_a_message_is_told_in_its_order_with_the_time_between() {
    let server = Server::start();
    posted(
        &server,
        &[
            r#"{"id": "m", "to": "07700 900123", "status": "delivered", "created_at": "2026-11-20T10:15:30.000000Z", "sent_at": "2026-11-20T10:15:31.500000Z", "completed_at": "2026-11-20T12:17:31.500000Z", "notification_type": "sms"}"#,
            r#"{"id": "n", "to": "07700 900124", "status": "permanent-failure", "created_at": "2026-11-20T10:15:30.000000Z", "sent_at": null, "completed_at": "2026-11-20T10:15:32.000000Z", "notification_type": "sms"}"#,
        ],
    );
    let mut browser = server.signed_in("viewer");
    let page = browser.get("/receipts/m").text();
    let way = between(&page, "<h2 class=\"govuk-heading-m\">What happened</h2>", "</ol>");
    let order = [
        "Created in Notify",
        "10:15am on 20 November 2026",
        "Sent by Notify",
        "1 second later",
        "Finished",
        "2 hours and 2 minutes later",
        "Called back by Notify",
    ]
    .map(|words| way.find(words).unwrap_or_else(|| panic!("{words}: {way}")));
    assert!(order.is_sorted(), "{order:?}");
    let page = browser.get("/receipts/n").text();
    let way = between(&page, "<h2 class=\"govuk-heading-m\">What happened</h2>", "</ol>");
    assert!(way.contains("(Notify does not say when)") && way.contains("2 seconds later"), "{way}");
}

#[test]
fn what_else_is_known_of_the_person_and_the_reference_is_one_timeline_over_all_four_kinds() {
    let server = Server::start();
    posted(
        &server,
        &[
            r#"{"id": "m", "reference": "REF", "to": "07700 900123", "status": "delivered", "completed_at": "2026-01-05T12:00:00.000000Z"}"#,
            r#"{"id": "text", "source_number": "447700900123", "message": "Thank you <b>", "date_received": "2026-01-04T12:00:00.000000Z"}"#,
            r#"{"notification_id": "letter", "reference": "ref", "date_sent": "2026-01-03T12:00:00.000000Z", "sent_by": "API"}"#,
            r#"{"notification_id": "spam", "complaint_id": "x", "reference": "R E F", "to": "amy@example.com", "complaint_date": "2026-01-02T12:00:00.000000Z"}"#,
            r#"{"id": "other", "reference": "else", "to": "+447700900123", "status": "permanent-failure", "notification_type": "sms", "completed_at": "2026-01-01T12:00:00.000000Z"}"#,
            r#"{"id": "bystander", "reference": "else", "to": "07700 900124", "status": "delivered"}"#,
        ],
    );
    let mut browser = server.signed_in("viewer");
    let page = browser.get("/receipts/m").text();
    let others = page.split("What else is known").nth(1).unwrap();
    let order = ["/receipts/text?", "Thank you", "/receipts/letter?", "/receipts/spam?", "/receipts/other?"]
        .map(|words| others.find(words).unwrap_or_else(|| panic!("{words}: {others}")));
    assert!(order.is_sorted(), "{order:?}");
    assert!(others.contains("Everything of the same person") && !others.contains("bystander"));
    assert!(!others.contains("Show everything"), "there is no more");
    assert!(others.contains("Same person ") && others.contains("Same reference "), "{others}");
    for n in 0..25 {
        posted(
            &server,
            &[&format!(r#"{{"id": "m{n}", "reference": "REF", "to": "07700 900123", "status": "sending"}}"#)],
        );
    }
    let page = browser.get("/receipts/m").text();
    let others = page.split("What else is known").nth(1).unwrap();
    assert_eq!(others.matches("href=\"/receipts/").count(), 20, "it is bounded");
    assert!(others.contains("The latest") && others.contains("Show everything to and from this person"), "{others}");
    assert!(others.contains("Show everything with this reference"));
    assert!(others.contains(r#"name="q" value="07700 900123""#) && others.contains(r#"name="q" value="REF""#));
}

#[test]
fn a_reference_leads_to_its_case_where_the_server_was_told_how() {
    let server = Server::start_with(&["--case-url", "https://cases.example/view?ref={reference}"]);
    posted(
        &server,
        &[
            r#"{"id": "m", "reference": "A&B \"1\"/../é", "to": "07700 900123", "status": "delivered"}"#,
            r#"{"id": "n", "reference": "07700 900555", "to": "07700 900123", "status": "delivered"}"#,
        ],
    );
    let mut browser = server.signed_in("viewer");
    let link = r#"<a class="govuk-link" rel="noreferrer" href="https://cases.example/view?ref=A%26B%20%221%22%2F..%2F%C3%A9">"#;
    let page = browser.get("/receipts/m").text();
    assert_eq!(page.matches(link).count(), 2, "below the status and in the details: {page}");
    let page = browser.get("/receipts/n").text();
    assert_eq!(page.matches(link).count(), 1, "among what else is known: {page}");
    assert_eq!(page.matches("cases.example").count(), 1, "what may be a number stands in no address: {page}");
    let plain = Server::start();
    posted(&plain, &[&receipt("a", "sms", "delivered")]);
    assert!(!plain.signed_in("viewer").get("/receipts/a").text().contains("case system"));
}

#[test]
fn an_address_for_cases_without_a_place_for_the_reference_is_a_clear_error() {
    let folder = crate::server::folder();
    for (url, says) in [
        ("https://cases.example/", "say where the reference goes with {reference}"),
        ("javascript:alert('{reference}')", "begins with https:// or http://"),
        ("https://{reference}.example/", "must stand in the path or the query"),
    ] {
        let output = run(&["serve", "--case-url", url], folder.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(says), "{url}: {said}");
    }
}

#[test]
fn a_text_is_answered_in_notify_where_it_is_known_which_service_it_was_sent_to() {
    let mut server = Server::start_with(&["--notify-pages-url", "https://notify.example"]);
    let text = format!(r#"{{"id": "{TEXT_ID}", "source_number": "447700900123", "message": "Hello"}}"#);
    posted(&server, &[&text]);
    let mut browser = server.signed_in("caseworker");
    let path = format!("/receipts/{TEXT_ID}");
    assert!(!browser.get(&path).text().contains("Answer in GOV.UK Notify"), "nobody said which service it is");
    let add = ["token", "add", "Test service", "--notify-service-id", SERVICE_ID];
    server.token = printed(&run(&add, &server.data));
    posted(&server, &[r#"{"id": "m", "to": "07700 900123", "status": "delivered"}"#]);
    let link = format!(r#"href="https://notify.example/services/{SERVICE_ID}/conversation/{TEXT_ID}""#);
    for path in [path.as_str(), "/receipts/m"] {
        let page = browser.get(path).text();
        assert!(page.contains(&link) && page.contains("Answer in GOV.UK Notify"), "{path}: {page}");
    }
    let page = browser.get(&path).text();
    let conversation = format!("/messages/{}", between(&page, "href=\"/messages/", "?"));
    let conversation = browser.get(&conversation).text();
    assert!(conversation.contains(&link) && conversation.contains("Answer in GOV.UK Notify"), "{conversation}");
    // Browsers keep titles in their history.
    assert_eq!(between(&page, "<title>", " – "), "Received text message");
    assert_eq!(between(&conversation, "<title>", " – "), "Conversation, Test service");
}
