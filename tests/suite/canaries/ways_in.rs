//! The same looks over passkeys and single sign-on, and over what is taken away in files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use super::{Canary, both_forms, found, letters, nothing, of_process};
use crate::oidc_provider::{SECRET, Signed, query};
use crate::passkeys::{Software, adds, asked, post};
use crate::server::{Answer, Browser, Server, folder, printed, run, run_with_input};
use crate::single_sign_on::Setting;

/// Every cookie that an answer sets, with its flags: as canaries, but for those that it takes away.
fn set_by(answer: &Answer) -> Vec<Canary> {
    let mut canaries = Vec::new();
    for set in answer.headers("set-cookie") {
        let flags: Vec<&str> = set.split("; ").skip(1).collect();
        assert!(set.starts_with("__Host-"), "{set}");
        for flag in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(flags.contains(&flag), "{flag}: {set}");
        }
        assert!(flags.iter().all(|flag| !flag.starts_with("Domain")), "{set}");
        let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
        if value.len() == 64 {
            canaries.extend(both_forms(name, value));
        } else if !value.is_empty() {
            canaries.push(Canary::text(name, value));
        }
    }
    canaries
}

/// All bytes of a store's folder, and of a backup of it.
fn files(data: &Path) -> Vec<u8> {
    let folder = folder();
    let backup = folder.path().join("backup.db");
    assert!(run(&["backup", backup.to_str().unwrap()], data).status.success());
    let own = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    own.chain([backup]).flat_map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn a_passkey_leaves_no_secret_in_log_or_store_and_its_cookies_are_hidden_from_scripts() {
    let mut server = Server::start_with(&["--log-level", "debug"]);
    let credential = letters(24);
    let software = Software::new(&credential);
    let mut hers = server.signed_in("caseworker");
    adds(&mut hers, &software);
    let mut secrets = Vec::new();
    for origin in ["http://localhost", "https://evil.example"] {
        let software = software.at(origin);
        let mut browser = Browser::new(server.at);
        let page = browser.get("/sign-in/passkey");
        secrets.extend(set_by(&page));
        let asked = asked(&page.text(), "data-passkey");
        let form = software.shows(&asked);
        secrets.push(Canary::text("a challenge", asked["challenge"].as_str().unwrap()));
        secrets.extend(
            form.iter().filter(|(name, _)| *name == "signature").map(|(name, shown)| Canary::text(name, shown)),
        );
        let answer = post(&mut browser, "/sign-in/passkey", &form);
        assert_eq!(answer.status == 303, origin == "http://localhost", "{}", answer.text());
        secrets.extend(set_by(&answer));
    }
    assert!(secrets.len() > 6, "the cookies of a session and of a known browser are among them");
    let log = server.log();
    assert_eq!(
        found(&[Canary::text("a start", "listening on")], log.as_bytes()).len(),
        1,
        "the look finds what is there"
    );
    nothing(&secrets, log.as_bytes(), "the log");
    let whose = [Canary::text("a credential", &credential), Canary::text("an address", "caseworker@example.gov.uk")];
    nothing(&whose, log.as_bytes(), "the log");
    let files = files(&server.data);
    nothing(&secrets, &files, "the store");
    assert_eq!(found(&whose, &files).len(), 2, "the look finds what is there");
}

#[test]
fn single_sign_on_leaves_no_secret_in_log_store_or_process_and_its_cookies_are_hidden_from_scripts() {
    let mut setting = Setting::with(&["--oidc-allow-domain", "council.example", "--log-level", "debug"]);
    let email = format!("amy-{}@council.example", letters(12));
    let claims = json!({ "email": email, "sub": letters(16) });
    let mut browser = setting.browser();
    let left = browser.get("/sign-in/oidc");
    let mut secrets = set_by(&left);
    let to = left.header("location").unwrap().to_owned();
    let sent = query(&to);
    let code = setting.provider.code(&to, &claims, Signed::Rightly);
    let back = format!("/sign-in/oidc/callback?code={code}&state={}", sent["state"]);
    let answer = browser.get(&back);
    assert_eq!(answer.status, 303, "{}", answer.text());
    secrets.extend(set_by(&answer));
    assert_eq!(browser.get(&back).status, 400, "and once more, which is refused");
    secrets.extend([
        Canary::text("the client secret", SECRET),
        Canary::text("state", &sent["state"]),
        Canary::text("nonce", &sent["nonce"]),
        Canary::text("code", &format!("code={code}")),
    ]);
    assert!(secrets.len() > 8, "the cookies of the way there, of a session and of a known browser are among them");
    let log = setting.server.log();
    assert_eq!(
        found(&[Canary::text("a start", "listening on")], log.as_bytes()).len(),
        1,
        "the look finds what is there"
    );
    nothing(&secrets, log.as_bytes(), "the log");
    let staff = [Canary::text("an address", &email)];
    nothing(&staff, log.as_bytes(), "the log");
    let process = of_process(setting.server.pid());
    assert_eq!(found(&[Canary::text("a flag", "--oidc-client-secret-file")], &process).len(), 1);
    nothing(&secrets, &process, "the process");
    let files = files(&setting.server.data);
    nothing(&secrets, &files, "the store");
    assert_eq!(found(&staff, &files).len(), 1, "the look finds what is there");
}

#[test]
fn what_is_taken_away_in_files_is_for_its_owner_alone_and_stands_in_no_log_and_no_address() {
    let mut server = Server::start_with(&["--log-level", "debug"]);
    let said = letters(20);
    let personal = [
        Canary::text("a number", "07700 900123"),
        Canary::text("a number", "7700900123"),
        Canary::text("a text", &said),
    ];
    let body = format!(r#"{{"id": "t1", "source_number": "447700900123", "message": "{said}"}}"#);
    assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    let mut manager = server.signed_in("manager");
    let session = both_forms("a session", manager.cookie.as_ref().unwrap().split_once('=').unwrap().1);
    let led = manager.post("/subjects", &[("sort", "number"), ("subject", "07700 900123")]);
    nothing(&personal, led.head.as_bytes(), "where a look-up leads");
    let here = led.header("location").unwrap().to_owned();
    for format in ["csv", "json"] {
        let file = manager.get(&format!("{here}/export.{format}"));
        nothing(&personal, file.head.as_bytes(), "the head of a file");
        nothing(&session, &file.body, "a file");
        assert!(found(&personal, &file.body).len() == 2, "the look finds what is there: {}", file.text());
    }
    let record = manager.get("/audit/csv");
    nothing(&personal, &record.body, "the record");
    nothing(&session, &record.body, "the record");
    let folder = folder();
    let to = folder.path().join("export.csv");
    let export = ["subject", "export", "--number", "-", "--format", "csv", "--to", to.to_str().unwrap()];
    let output = run_with_input(&export, &server.data, "07700 900123\n");
    assert!(output.status.success());
    nothing(&personal, &[output.stdout, output.stderr].concat(), "what the command says");
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o077, 0, "nobody else reads it");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "and nothing else is left of it");
    assert_eq!(found(&personal, &fs::read(&to).unwrap()).len(), 2);
    let listed = printed(&run(&["audit", "list"], &server.data));
    nothing(&personal, listed.as_bytes(), "the record");
    nothing(&personal, server.log().as_bytes(), "the log");
}

#[test]
fn export_and_import_say_nothing_personal_of_what_they_move() {
    let own = ["--log-level", "debug"];
    let (mut from, mut to, folder) = (Server::start_with(&own), Server::start_with(&own), folder());
    let (name, text, reference, broken) = (letters(12), letters(20), letters(16), letters(20));
    for body in [
        format!(r#"{{"id": "m1", "reference": "{reference}", "to": "{name}@example.com", "status": "delivered"}}"#),
        format!(r#"{{"id": "m2", "source_number": "447700900855", "message": "{text}"}}"#),
        format!("{broken} 07700 900855"),
    ] {
        assert_eq!(from.post("/callbacks", body.as_bytes()).status, 200);
    }
    let canaries = [
        Canary::text("an address", &name),
        Canary::text("a text", &text),
        Canary::text("a reference", &reference),
        Canary::text("a number", "7700900855"),
        Canary::text("a number", "07700 900855"),
        Canary::text("what was not understood", &broken),
    ];
    for format in ["jsonl", "csv"] {
        let path = folder.path().join(format);
        let file = path.to_str().unwrap();
        let exported = run(&["export", "--format", format], &from.data);
        assert!(found(&canaries, &exported.stdout).len() >= 4, "the look finds what is there");
        nothing(&canaries, &exported.stderr, "what export says");
        let to_file = run(&["export", "--format", format, "--to", file], &from.data);
        assert!(to_file.status.success());
        // Cut off, with a word that no export has, and no export at all.
        let whole = fs::read_to_string(&path).unwrap();
        let wrong = [
            whole[..whole.find(&text).unwrap() + text.len()].to_owned(),
            whole.replace("called_back", &text),
            format!("{text} 07700 900855\n{name}@example.com"),
        ];
        let spoiled = folder.path().join("spoiled");
        for (place, content) in wrong.iter().enumerate() {
            fs::write(&spoiled, content).unwrap();
            let refused = run(&["import", spoiled.to_str().unwrap()], &to.data);
            assert!(!refused.status.success() && !refused.stderr.is_empty(), "{format} {place}");
            nothing(&canaries, &[refused.stdout, refused.stderr].concat(), "what import says of a wrong file");
        }
        let imported = run(&["import", file], &to.data);
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
        for said in [to_file.stdout, to_file.stderr, imported.stdout, imported.stderr] {
            nothing(&canaries, &said, "what export and import say");
        }
    }
    assert_eq!(to.kept("m2").len(), 1);
    let logs = from.log() + &to.log();
    assert!(logs.contains("serve.listening"));
    nothing(&canaries, logs.as_bytes(), "the logs of the servers beside");
}
