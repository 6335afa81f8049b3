//! Texts of others that would be more than text where a page let them, on every page and in every file, in a browser.

use crate::browser::{go, journey};
use crate::contacts::page_with;
use crate::pages::between;
use crate::server::{PASSWORD, Server, printed, run};

/// Where such a text may come from: each begins with its word, so that it is known again.
const MARKS: [&str; 6] = ["SAID", "REFERENCE", "PERSON", "SERVICE", "TEMPLATE", "NOTE"];

/// Script, an attribute's end, a direction, a control and what cannot be seen.
fn hostile(mark: &str) -> String {
    format!(
        "{mark}<script>globalThis.ran=1</script><img src=x onerror=globalThis.ran=1>\" onmouseover=\"globalThis.ran=1' \
         {{{{7*7}}}} \u{202e}\u{200b}"
    )
}

/// With what no command line takes, too.
fn with_controls(mark: &str) -> String {
    format!("{}\u{0}\u{1b}[31m\u{1b}]0;x\u{7}\r{}", hostile(mark), "x".repeat(1600))
}

#[test]
fn texts_of_others_are_text_on_every_page_and_in_every_file_in_a_browser() {
    let Some(mut journey) = journey("hostile.mjs") else { return };
    let mut server = Server::start();
    server.token = printed(&run(&["token", "add", &format!("=1+1 {}", hostile("SERVICE"))], &server.data));
    let post = |body: serde_json::Value| {
        assert_eq!(server.post("/callbacks", body.to_string().as_bytes()).status, 200, "{body}");
    };
    let template = "f9d696de-3ce8-459f-9f0e-8781d2fe61a6";
    for (n, start) in ["=1+1 ", "+1 ", "-1 ", "@x ", "\t", ""].iter().enumerate() {
        let said = |mark| format!("{start}{}", with_controls(mark));
        post(serde_json::json!({
            "id": format!("r{n}"), "reference": said("REFERENCE"), "to": said("PERSON"), "status": "permanent-failure",
            "notification_type": "email", "template_id": template, "template_version": n,
        }));
        post(serde_json::json!({
            "id": format!("t{n}"), "source_number": said("PERSON"), "destination_number": said("PERSON"),
            "message": format!("{} STOP, wrong number", said("SAID")),
        }));
    }
    // In an id, a status and a kind that Notify does not know, for a person whom a page can be asked for.
    post(serde_json::json!({
        "id": with_controls("REFERENCE"), "reference": "R", "to": "07700 900123", "status": hostile("SAID"),
        "notification_type": hostile("SAID"),
    }));
    post(serde_json::json!({"id": "t", "source_number": "447700900123", "message": with_controls("SAID")}));
    post(
        serde_json::json!({"notification_id": "l", "reference": with_controls("REFERENCE"), "date_sent": hostile("SAID")}),
    );
    post(serde_json::json!({"notification_id": "c", "complaint_id": "x", "to": with_controls("PERSON")}));
    post(serde_json::json!({"nothing": with_controls("SAID")}));
    let mut admin = server.signed_in("admin");
    let templates = admin.get("/templates").text();
    let path = format!("/templates/{}", between(&templates, "href=\"/templates/", "\""));
    let named = hostile("TEMPLATE");
    assert!(named.chars().count() < 255);
    assert_eq!(admin.post(&path, &[("name", &named)]).status, 303);
    let inbox = admin.get("/messages").text();
    let path = format!("/messages/{}", between(&inbox, "href=\"/messages/", "\""));
    let page = admin.get(&path).text();
    let (seen, service) =
        (between(&page, "name=\"seen\" value=\"", "\""), between(&page, "name=\"service\" value=\"", "\""));
    let note = format!("{}{}", hostile("NOTE"), "x".repeat(500));
    let form = [("seen", seen), ("service", service), ("note", &note), ("do", "note")];
    assert_eq!(admin.post(&format!("{path}/handling"), &form).status, 303);
    page_with(&mut admin, "/contacts/wrong-person", "PERSON");
    page_with(&mut admin, "/contacts/marked-as-spam", "PERSON");
    journey.env("EMAIL", "admin@example.gov.uk").env("PASSWORD", PASSWORD).env("MARKS", MARKS.join(" "));
    journey.env("STARTS", "/ /receipts?failed=yes /audit /contacts/wrong-person?dealt=yes");
    go(journey, &server);
}
