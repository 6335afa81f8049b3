//! The journeys in a real browser: those of `tests/browser` against a running server.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::{env, fs};

use counterfoil::clock;

use crate::notify_api::NotifyApi;
use crate::server::{PASSWORD, Server, folder, handed, printed, run, run_with_input};

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
fn a_caseworker_searches_by_each_kind_of_term_and_narrows_what_is_found_in_a_browser_with_and_without_javascript() {
    let Some(mut journey) = journey("search.mjs") else { return };
    let mut server = Server::start();
    let post = |server: &Server, body: &str| assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    for body in [
        r#"{"id": "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa", "reference": "HB-2026-000042", "to": "07700 900123", "status": "permanent-failure", "notification_type": "sms", "template_id": "f9d696de-3ce8-459f-9f0e-8781d2fe61a6", "template_version": 3}"#,
        r#"{"id": "email", "reference": "HB-2026-000043", "to": "a.very.long.address.that.does.not.fit.anywhere@department.example.gov.uk", "status": "delivered", "notification_type": "email"}"#,
        r#"{"id": "text", "source_number": "447700900123", "destination_number": "07700900999", "message": "Hello. <b>Can\u202e</b> I move my appointment to \ud83d\udc69\u200d\ud83d\ude92 Thursday, averyverylongwordthathasnospaceanywhereinitatallandgoesonandonandon? Thank you", "date_received": "2026-11-20T11:00:00.000000Z"}"#,
    ] {
        post(&server, body);
    }
    server.token = printed(&run(
        &["token", "add", "Another service with a name that is rather long for a list to choose from"],
        &server.data,
    ));
    for n in 0..60 {
        post(
            &server,
            &format!(
                r#"{{"id": "more-{n}", "reference": "PCN/{n}", "status": "sending", "notification_type": "letter"}}"#
            ),
        );
    }
    server.signed_in("viewer");
    journey.env("EMAIL", "viewer@example.gov.uk").env("PASSWORD", PASSWORD);
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
fn somebody_signs_in_through_a_real_provider_in_a_browser() {
    let Some(mut journey) = journey("single-sign-on.mjs") else { return };
    let Some(provider) = packages("tests/oidc") else { return missing("npm with the packages of tests/oidc") };
    // Ours has to be known to the provider before it starts, and the other way round: so the socket is here first.
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = format!("http://localhost:{}", socket.local_addr().unwrap().port());
    let mut provider = Command::new("node")
        .arg("provider.mjs")
        .current_dir(provider)
        .env("CLIENT_ID", "counterfoil")
        .env("CLIENT_SECRET", "a secret/of+ours")
        .env("REDIRECT_URI", format!("{ours}/sign-in/oidc/callback"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut issuer = String::new();
    BufReader::new(provider.stdout.take().unwrap()).read_line(&mut issuer).unwrap();
    let data = folder();
    let secret = data.path().join("secret");
    fs::write(&secret, "a secret/of+ours").unwrap();
    let flags = [
        "--public-url",
        &ours,
        "--oidc-issuer",
        issuer.trim(),
        "--oidc-client-id",
        "counterfoil",
        "--oidc-client-secret-file",
        secret.to_str().unwrap(),
        "--oidc-group",
        "staff=caseworker",
        "--oidc-name",
        "Sign in with Council",
    ];
    let store = data.path().join("store");
    let mut server = Server::start_as(handed(&[(socket.as_fd(), "web")]), &store, &flags);
    let done = journey.env("BASE_URL", &ours).output().unwrap();
    provider.kill().unwrap();
    provider.wait().unwrap();
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{}\n{}", String::from_utf8_lossy(&said), server.log());
}

#[test]
fn an_admin_lets_people_in_and_rotates_a_token_in_a_browser_with_and_without_javascript() {
    let Some(mut journey) = journey("admin.mjs") else { return };
    let server = Server::start();
    server.signed_in("admin");
    journey.env("EMAIL", "admin@example.gov.uk").env("PASSWORD", PASSWORD);
    go(journey, &server);
}

#[test]
fn a_manager_holds_redacts_and_erases_what_is_held_on_somebody_in_a_browser_with_and_without_javascript() {
    let Some(mut journey) = journey("subjects.mjs") else { return };
    let server = Server::start();
    // One for each time the journey is made.
    let numbers: Vec<String> = (0..6).map(|n| format!("07700 900 10{n}")).collect();
    for (n, number) in numbers.iter().enumerate() {
        for body in [
            format!(r#"{{"id": "r{n}", "reference": "HB-{n}", "to": "{number}", "status": "delivered"}}"#),
            format!(r#"{{"id": "t{n}", "source_number": "{number}", "message": "{TEXT}"}}"#),
            format!("Nonsense of {number}"),
        ] {
            assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
        }
    }
    server.signed_in("manager");
    journey.env("EMAIL", "manager@example.gov.uk").env("PASSWORD", PASSWORD).env("TEXT", TEXT);
    journey.env("NUMBERS", numbers.join(","));
    go(journey, &server);
}

#[test]
fn a_team_shares_the_inbox_in_two_browsers_with_and_without_javascript() {
    let Some(mut journey) = journey("inbox.mjs") else { return };
    let server = Server::start();
    // One for each time the journey is made.
    let numbers: Vec<String> = (0..6).map(|n| format!("44770090010{n}")).collect();
    for (n, number) in numbers.iter().enumerate() {
        for (id, said) in
            [("long", "x".repeat(1600)), ("rtl", "שלום 👩\u{200d}🚒 <b>".to_owned()), ("text", TEXT.to_owned())]
        {
            let body = serde_json::json!({
                "id": format!("{id}{n}"), "source_number": number, "destination_number": "07860039001", "message": said
            });
            assert_eq!(server.post("/callbacks", body.to_string().as_bytes()).status, 200);
        }
    }
    let other =
        serde_json::json!({"id": "other", "source_number": "447700900200", "destination_number": "07860039002"});
    assert_eq!(server.post("/callbacks", other.to_string().as_bytes()).status, 200);
    server.signed_in("caseworker");
    server.signed_in("manager");
    journey.env("EMAIL", "caseworker@example.gov.uk").env("COLLEAGUE", "manager@example.gov.uk");
    journey.env("PASSWORD", PASSWORD).env("TEXT", TEXT).env("NUMBERS", numbers.join(","));
    go(journey, &server);
}

#[test]
fn a_flag_is_met_and_the_list_and_the_settings_are_changed_in_a_browser_with_and_without_javascript() {
    let Some(mut journey) = journey("flags.mjs") else { return };
    let server = Server::start();
    let text = br#"{"id": "t1", "source_number": "447700900123", "message": "It is about suicide"}"#;
    assert_eq!(server.post("/callbacks", text).status, 200);
    crate::contacts::page_with(&mut server.signed_in("admin"), "/messages", "Possible danger</strong>");
    journey.env("EMAIL", "admin@example.gov.uk").env("PASSWORD", PASSWORD);
    go(journey, &server);
}

#[test]
fn emails_are_chosen_and_an_address_is_changed_in_a_browser_with_and_without_javascript() {
    let Some(mut journey) = journey("emails.mjs") else { return };
    // Nothing listens there: what is to be sent waits.
    let url = "http://127.0.0.1:8080";
    let server =
        Server::start_with(&["--smtp-url", "smtp://127.0.0.1:9", "--smtp-from", "a@b.example", "--public-url", url]);
    drop(server.signed_in("manager"));
    let store = rusqlite::Connection::open(server.data.join("counterfoil.db")).unwrap();
    store.execute("INSERT INTO email_addresses (person, address) VALUES (1, 'max@council.example')", []).unwrap();
    journey.env("EMAIL", "manager@example.gov.uk").env("PASSWORD", PASSWORD);
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

#[test]
fn what_was_said_is_read_and_notify_is_asked_in_a_browser_with_and_without_javascript() {
    let Some(mut journey) = journey("sent.mjs") else { return };
    let (api, keys) = (NotifyApi::start(), folder());
    let key = keys.path().join("key");
    fs::write(&key, NotifyApi::key()).unwrap();
    let key = format!("Test service={}", key.display());
    let case = "https://cases.example/{reference}";
    let server = Server::start_with(&["--notify-api", &key, "--notify-api-url", &api.url(), "--case-url", case]);
    let id = "740e5834-3a29-46b4-9a6f-16142fde533a";
    api.sent(id, "delivered", clock::now());
    api.that_said("HB-2026-1", "Your visit", TEXT);
    api.sent("840e5834-3a29-46b4-9a6f-16142fde533a", "sending", clock::now());
    api.that_said("HB-2026-2", "Your visit", TEXT);
    let body = format!(
        r#"{{"id": "{id}", "reference": "HB-2026-1", "to": "a.very.long.address.that.does.not.fit.anywhere@department.example.gov.uk", "status": "delivered", "notification_type": "email", "template_id": "f9d696de-3ce8-459f-9f0e-8781d2fe61a6"}}"#
    );
    assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    server.signed_in("admin");
    journey.env("EMAIL", "admin@example.gov.uk").env("PASSWORD", PASSWORD).env("ID", id).env("SAYS", TEXT);
    journey.env("REFERENCE", "HB-2026-2");
    go(journey, &server);
}

#[test]
fn a_manager_takes_along_what_the_pages_show_in_a_browser_with_and_without_javascript() {
    let Some(mut journey) = journey("files.mjs") else { return };
    let server = Server::start();
    let number = "07700900123";
    for body in [
        format!(
            r#"{{"id": "r1", "reference": "HB-2026-1", "to": "{number}", "status": "permanent-failure", "notification_type": "sms"}}"#
        ),
        format!(r#"{{"id": "t1", "source_number": "{number}", "message": "{TEXT}"}}"#),
    ] {
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    let mut manager = server.signed_in("manager");
    crate::contacts::page_with(&mut manager, "/contacts/failed", number);
    journey.env("EMAIL", "manager@example.gov.uk").env("PASSWORD", PASSWORD).env("REFERENCE", "HB-2026-1");
    journey.env("NUMBER", number).env("ID", "r1").env("TEXT", TEXT);
    go(journey, &server);
}

#[test]
fn a_new_text_is_announced_and_shown_and_pages_are_in_any_colours_in_a_browser_with_and_without_javascript() {
    let Some(mut journey) = journey("live.mjs") else { return };
    let server = Server::start();
    for n in 0..3 {
        let body = format!(
            r#"{{"id": "{n}", "reference": "HB-2026-{n}", "to": "a@b.example", "status": "permanent-failure", "notification_type": "email"}}"#
        );
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    server.signed_in("caseworker");
    journey.env("EMAIL", "caseworker@example.gov.uk").env("PASSWORD", PASSWORD).env("REFERENCE", "HB-2026-1");
    journey.env("CALLBACKS", format!("http://{}/callbacks", server.at)).env("TOKEN", &server.token);
    go(journey, &server);
}

#[test]
fn a_day_is_done_with_the_keyboard_alone_in_a_browser_with_and_without_javascript() {
    let Some(mut journey) = journey("keys.mjs") else { return };
    let server = Server::start();
    for n in 0..4 {
        let body = format!(r#"{{"id": "{n}", "reference": "HB-2026-{n}", "status": "delivered"}}"#);
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    let text = br#"{"id": "text", "source_number": "447700900123", "message": "Hello"}"#;
    assert_eq!(server.post("/callbacks", text).status, 200);
    server.signed_in("caseworker");
    journey.env("EMAIL", "caseworker@example.gov.uk").env("PASSWORD", PASSWORD).env("REFERENCE", "HB-2026-1");
    journey.env("NUMBER", "447700900123");
    go(journey, &server);
}

/// A journey to be made, where there is what it needs.
pub(crate) fn journey(name: &str) -> Option<Command> {
    let chromium = env::var_os("CHROMIUM").map_or_else(|| PathBuf::from("/usr/bin/chromium"), PathBuf::from);
    if !chromium.exists() {
        missing("Chromium (set CHROMIUM, or install it as /usr/bin/chromium)");
        return None;
    }
    let Some(folder) = packages("tests/browser") else {
        missing("npm with the packages of tests/browser");
        return None;
    };
    let mut journey = Command::new("node");
    journey.arg(name).current_dir(folder).env("CHROMIUM", chromium);
    Some(journey)
}

pub(crate) fn go(journey: Command, server: &Server) {
    go_at(journey, &server.at.ip().to_string(), server.at.port());
}

fn go_at(mut journey: Command, host: &str, port: u16) {
    let done = journey.env("BASE_URL", format!("http://{host}:{port}")).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// A folder of tests with its packages installed.
fn packages(folder: &str) -> Option<PathBuf> {
    // Two tests at once would install over each other.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _mine = ONE_AT_A_TIME.lock().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let installed = fs::read(folder.join("node_modules/.package-lock.json")).is_ok();
    if installed
        || Command::new("npm").args(["ci", "--no-progress"]).current_dir(&folder).output().ok()?.status.success()
    {
        return Some(folder);
    }
    None
}
