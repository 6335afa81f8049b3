//! The pictures of the documentation: made again by `cargo test --test suite pictures -- --ignored`, and looked at by a person.

use std::path::Path;

use crate::browser::{go, journey};
use crate::server::{PASSWORD, Server, printed, run};

#[test]
#[ignore = "it writes into docs/"]
fn the_pictures_of_the_documentation_are_made() {
    let mut journey = journey("pictures.mjs").expect("Chromium and npm make the pictures");
    let mut server = Server::start();
    let services =
        ["Housing benefit", "Parking permits"].map(|name| printed(&run(&["token", "add", name], &server.data)));
    let [housing, parking] = services;
    let sent = |id: &str, reference: &str, to: &str, kind: &str, status: &str, at: &str| {
        serde_json::json!({
            "id": id, "reference": reference, "to": to, "status": status, "notification_type": kind,
            "created_at": format!("2026-03-0{at}:20.000000Z"), "sent_at": format!("2026-03-0{at}:21.000000Z"),
            "completed_at": format!("2026-03-0{at}:26.000000Z"),
            "template_id": "f9d696de-3ce8-459f-9f0e-8781d2fe61a6", "template_version": 3,
        })
    };
    let said = |id: &str, from: &str, text: &str, at: &str| {
        serde_json::json!({
            "id": id, "source_number": from, "destination_number": "07860039001", "message": text,
            "date_received": format!("2026-03-0{at}:00.000000Z"),
        })
    };
    for (token, body) in [
        (
            &parking,
            said(
                "5d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f601",
                "447700900456",
                "Has my permit been renewed? The old one ends on Friday.",
                "2T08:40",
            ),
        ),
        (
            &housing,
            sent(
                "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f602",
                "HB-2026-000042",
                "07700 900123",
                "sms",
                "delivered",
                "2T09:05",
            ),
        ),
        (
            &housing,
            sent(
                "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f603",
                "HB-2026-000043",
                "amelia.jones@example.com",
                "email",
                "permanent-failure",
                "2T09:06",
            ),
        ),
        (
            &housing,
            sent(
                "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f604",
                "HB-2026-000044",
                "07700 900789",
                "sms",
                "temporary-failure",
                "2T09:07",
            ),
        ),
        (
            &housing,
            serde_json::json!({
                "notification_id": "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f605", "reference": "HB-2026-000045", "date_sent": "2026-02-16T09:00:00.000000Z",
                "sent_by": "API", "template_name": "Decision letter",
            }),
        ),
        (
            &housing,
            said(
                "5d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f606",
                "447700900123",
                "Thank you. Can I change my appointment to Thursday?",
                "2T09:31",
            ),
        ),
        (
            &housing,
            said("5d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f607", "447700900789", "Yes please, call me after 3.", "3T10:12"),
        ),
    ] {
        server.token.clone_from(token);
        assert_eq!(server.post("/callbacks", body.to_string().as_bytes()).status, 200, "{body}");
    }
    server.signed_in("caseworker");
    journey.env("EMAIL", "caseworker@example.gov.uk").env("PASSWORD", PASSWORD);
    journey.env("PICTURES", Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"));
    go(journey, &server);
}
