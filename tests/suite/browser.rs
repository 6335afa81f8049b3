//! The journeys in a real browser: those of `tests/browser` against a running server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::server::{PASSWORD, Server, printed, run, run_with_input};

const TEXT: &str = "Can I change my appointment to Thursday?";

/// Without the tool the test says so, and in CI it fails.
fn missing(what: &str) {
    assert!(env::var_os("CI").is_none(), "the browser journey needs {what}");
    eprintln!("\n*** NOT TESTED: the browser journey, because {what} is missing ***\n");
}

#[test]
fn a_caseworker_finds_a_receipt_and_reads_a_text_in_a_browser_with_and_without_javascript() {
    let Some(mut journey) = journey("journey.mjs") else { return };
    let server = Server::start();
    for body in [
        r#"{"id": "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa", "reference": "HB-2026-000042", "to": "07700 900123", "status": "delivered", "created_at": "2026-11-20T10:15:30.000000Z", "completed_at": "2026-11-20T10:15:33.000000Z", "sent_at": "2026-11-20T10:15:31.000000Z", "notification_type": "sms", "template_id": "f9d696de-3ce8-459f-9f0e-8781d2fe61a6", "template_version": 3}"#,
        r#"{"id": "00e1f2a3-0a55-4a1f-a2b2-3bd4b1c5f6ab", "reference": "HB-2026-000042-REMINDER-WITH-A-VERY-LONG-REFERENCE-THAT-HAS-NO-SPACE-ANYWHERE", "to": "a.very.long.address.that.does.not.fit.anywhere@department.example.gov.uk", "status": "permanent-failure", "notification_type": "email"}"#,
        &format!(
            r#"{{"id": "5d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6ac", "source_number": "447700900123", "destination_number": "07700900999", "message": "{TEXT}", "date_received": "2026-11-20T11:00:00.000000Z"}}"#
        ),
        r#"{"id": "no kind"}"#,
    ] {
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    for n in 0..60 {
        let body = format!(
            r#"{{"id": "more-{n}", "reference": "PCN/{n}", "to": "a{n}@example.org", "status": "sending", "notification_type": "email"}}"#
        );
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    assert_eq!(server.post_with("/callbacks", "Authorization: Bearer wrong\r\n", b"{}").status, 401);
    server.signed_in("admin");
    let link = printed(&run(&["user", "add", "new@example.gov.uk", "--role", "caseworker"], &server.data));
    let link = format!("/set-password/{}", link.rsplit("/set-password/").next().unwrap().trim());
    journey.env("EMAIL", "admin@example.gov.uk").env("PASSWORD", PASSWORD).env("REFERENCE", "HB-2026-000042");
    journey.env("NUMBER", "07700 900 123").env("TEXT", TEXT).env("LINK", link);
    go(journey, &server);
}

#[test]
fn an_app_is_set_up_used_and_replaced_in_a_browser_with_and_without_javascript() {
    let Some(mut journey) = journey("second-factor.mjs") else { return };
    let server = Server::start_by_default();
    // One for each time the journey is made.
    let emails: Vec<String> =
        (0..6).map(|n| format!("a{n}.caseworker.with.a.long.name@department.example.gov.uk")).collect();
    for email in &emails {
        let add = ["user", "add", email, "--role", "caseworker", "--password-stdin"];
        assert!(run_with_input(&add, &server.data, PASSWORD).status.success());
    }
    journey.env("EMAILS", emails.join(" ")).env("PASSWORD", PASSWORD);
    go(journey, &server);
}

#[test]
fn a_passkey_is_added_used_and_removed_in_a_browser_with_and_without_javascript() {
    let Some(mut journey) = journey("passkeys.mjs") else { return };
    let server = Server::start();
    let emails: Vec<String> = (0..6).map(|n| format!("a{n}@department.example.gov.uk")).collect();
    for email in &emails {
        let add = ["user", "add", email, "--role", "caseworker", "--password-stdin"];
        assert!(run_with_input(&add, &server.data, PASSWORD).status.success());
    }
    journey.env("EMAILS", emails.join(" ")).env("PASSWORD", PASSWORD);
    // Browsers have passkeys for names, and for no numbers.
    go_at(journey, "localhost", server.at.port());
}

/// A journey to be made, where there is what it needs.
fn journey(name: &str) -> Option<Command> {
    let chromium = env::var_os("CHROMIUM").map_or_else(|| PathBuf::from("/usr/bin/chromium"), PathBuf::from);
    if !chromium.exists() {
        missing("Chromium (set CHROMIUM, or install it as /usr/bin/chromium)");
        return None;
    }
    let Some(folder) = packages() else {
        missing("npm with the packages of tests/browser");
        return None;
    };
    let mut journey = Command::new("node");
    journey.arg(name).current_dir(folder).env("CHROMIUM", chromium);
    Some(journey)
}

fn go(journey: Command, server: &Server) {
    go_at(journey, &server.at.ip().to_string(), server.at.port());
}

fn go_at(mut journey: Command, host: &str, port: u16) {
    let done = journey.env("BASE_URL", format!("http://{host}:{port}")).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// The folder of the journey with its packages installed.
fn packages() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let installed = fs::read(folder.join("node_modules/.package-lock.json")).is_ok();
    if installed
        || Command::new("npm").args(["ci", "--no-progress"]).current_dir(&folder).output().ok()?.status.success()
    {
        return Some(folder);
    }
    None
}
