//! What is held on one person, as whoever answers their requests meets it: exported, erased, held, beside a server and without one.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::pages::between;
use crate::server::{BINARY, Browser, PASSWORD, Server, folder, printed, run, run_with_input};

const AMYS: [&[u8]; 4] = [
    br#"{"id": "r1", "reference": "=canary1", "to": "07700 900123", "status": "delivered"}"#,
    br#"{"id": "t1", "source_number": "447700900123", "message": "canary \"text\"\nof two lines"}"#,
    b"canary nonsense of +44 7700 900123",
    br#"{"id": "r2", "reference": "canary2", "to": "amy@example.com", "status": "delivered"}"#,
];
const BENS: [&[u8]; 2] = [
    br#"{"id": "r3", "reference": "bystander", "to": "07700 900124", "status": "delivered"}"#,
    br#"{"id": "t3", "source_number": "447700900124", "message": "bystander"}"#,
];

/// A running server that holds them.
fn held(data: &Path) -> Server {
    let mut server = Server::start_in(data, &[]);
    server.token = printed(&run(&["token", "add", "Test service"], data));
    for body in AMYS.iter().chain(&BENS) {
        assert_eq!(server.post("/callbacks", body).status, 200);
    }
    server
}

fn stop(server: Server) {
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
}

fn holds(data: &Path, said: &str) -> bool {
    let mut files = fs::read_dir(data).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    files.any(|bytes| bytes.windows(said.len()).any(|window| window == said.as_bytes()))
}

fn wait_until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_mins(1), "it never was");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_export_is_json_with_each_body_or_a_table_and_works_beside_the_server_and_without_it() {
    let folder = folder();
    let data = folder.path().join("store");
    let server = held(&data);
    let json = printed(&run_with_input(&["subject", "export", "--number", "-"], &data, "+44 7700 900123\n"));
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    let pieces = parsed["held"].as_array().unwrap();
    assert_eq!(pieces.len(), 3, "{json}");
    assert_eq!(pieces[0]["body"]["reference"], "=canary1");
    assert_eq!(pieces[1]["body"]["message"], "canary \"text\"\nof two lines");
    assert!(!json.contains("bystander") && !json.contains("amy@"));
    stop(server);
    let file = folder.path().join("amy.csv");
    let arguments = ["subject", "export", "--number", "07700900123", "--format", "csv", "--to", file.to_str().unwrap()];
    let output = run(&arguments, &data);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", said(&output));
    let csv = fs::read_to_string(&file).unwrap();
    assert!(csv.starts_with("\u{feff}\"Kind\",\"Service\""), "{csv}");
    for cell in ["\"'=canary1\"", "\"canary \"\"text\"\"\nof two lines\"", "\"canary nonsense of +44 7700 900123\""] {
        assert!(csv.contains(cell), "{cell}: {csv}");
    }
    assert!(!csv.contains("bystander"));
    let again = run(&arguments, &data);
    assert!(said(&again).contains("Name one that does not exist"), "it replaces nothing");
    let email = printed(&run(&["subject", "export", "--email", "AMY@example.com"], &data));
    assert!(email.contains("canary2") && !email.contains("canary1"));
    let reference = printed(&run(&["subject", "export", "--reference", "canary 2"], &data));
    assert!(reference.contains("canary2") && !reference.contains("canary1"));
    assert_eq!(noted(&data), "3,3,1,1", "how much was saved, but not by the file that was refused");
}

/// How many rows each of the files had that people saved.
fn noted(data: &Path) -> String {
    let store = rusqlite::Connection::open(data.join("counterfoil.db")).unwrap();
    store.query_row("SELECT coalesce(group_concat(rows), '') FROM saved", [], |row| row.get(0)).unwrap()
}

#[test]
fn what_was_read_of_an_export_that_is_cut_off_is_noted_all_the_same() {
    let folder = folder();
    let data = folder.path().join("store");
    let server = held(&data);
    for n in 0..20 {
        let text = serde_json::json!({"id": format!("long{n}"), "source_number": "447700900123", "message": "x".repeat(50_000)});
        assert_eq!(server.post("/callbacks", text.to_string().as_bytes()).status, 200);
    }
    let mut child = Command::new(BINARY)
        .args(["subject", "export", "--number", "07700900123", "--data"])
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut read = vec![0; 500_000];
    child.stdout.take().unwrap().read_exact(&mut read).unwrap();
    assert!(!child.wait_with_output().unwrap().status.success());
    let noted: u64 = noted(&data).parse().unwrap();
    assert!((5..23).contains(&noted), "{noted}");
}

#[test]
fn it_is_said_whom_an_export_is_to_be_of() {
    let folder = folder();
    let data = folder.path().join("store");
    stop(held(&data));
    for (arguments, code, words) in [
        (vec!["subject", "export"], 2, "--number"),
        (vec!["subject", "export", "--number", "1", "--email", "a@b"], 2, "cannot be used with"),
        (vec!["subject", "export", "--email", "amy"], 1, "is not an email address"),
        (vec!["subject", "export", "--number", "-"], 1, "is not a phone number"),
        (vec!["subject", "erase", "--number", "07700900123"], 2, "--reason"),
        (vec!["subject", "erase", "--number", "07700900123", "--reason", " "], 2, "say why in one line"),
        (
            vec!["subject", "erase", "--number", "-", "--reason", "for a@b.example"],
            2,
            "must not include a phone number",
        ),
        (
            vec!["subject", "hold", "add", "--number", "-", "--reason", "0770 0900 123"],
            2,
            "must not include a phone number",
        ),
    ] {
        let output = run(&arguments, &data);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(said(&output).contains(words), "{arguments:?}: {}", said(&output));
    }
    let nowhere = folder.path().join("mistyped");
    assert_eq!(run(&["subject", "export", "--number", "1234567"], &nowhere).status.code(), Some(18));
}

#[test]
fn what_is_erased_is_gone_from_the_files_and_no_retry_or_restored_backup_brings_it_back() {
    for beside in [true, false] {
        let folder = folder();
        let data = folder.path().join("store");
        let mut server = Some(held(&data));
        let backup = folder.path().join("before.db");
        assert!(run(&["backup", backup.to_str().unwrap()], &data).status.success());
        if !beside {
            server.take().into_iter().for_each(stop);
        }
        let erase = ["subject", "erase", "--number", "-", "--reason", "request 12"];
        let asked = run_with_input(&erase, &data, "07700900123\n");
        assert!(said(&asked).contains("Add --yes"), "{}", said(&asked));
        let dry = run_with_input(&[&erase[..], &["--dry-run"]].concat(), &data, "07700900123\n");
        let counted = printed(&dry);
        let count = |name: &str| counted.lines().find(|line| line.starts_with(name)).unwrap().ends_with('1');
        assert!(count("Delivery receipt") && count("Received text") && count("In quarantine"), "{counted}");
        assert!(holds(&data, "canary1") && !data.join("counterfoil.erased").exists());
        let erased = run_with_input(&[&erase[..], &["--yes"]].concat(), &data, "07700900123\n");
        assert!(erased.status.success(), "{}", said(&erased));
        assert!(said(&erased).contains("3 were erased for good"), "{}", said(&erased));
        if let Some(server) = &server {
            let page = server.post("/callbacks", AMYS[0]);
            assert_eq!(page.status, 200, "a retry is acknowledged");
            assert_eq!(server.post("/callbacks", AMYS[2]).status, 200);
        }
        server.take().into_iter().for_each(stop);
        for canary in ["canary1", "text\\\"", "canary nonsense", "447700900123"] {
            assert!(!holds(&data, canary), "{canary}");
        }
        assert!(holds(&data, "canary2") && holds(&data, "bystander"));
        let later = folder.path().join("later.db");
        assert!(run(&["backup", later.to_str().unwrap()], &data).status.success());
        let later = fs::read(later).unwrap();
        assert!(!later.windows(7).any(|window| window == b"canary1"));
        // Without the journal it is said plainly, and with it nothing comes back.
        let lacking = folder.path().join("lacking");
        let restored = run(&["restore", backup.to_str().unwrap()], &lacking);
        assert!(said(&restored).contains("There is no journal of erasures"), "{}", said(&restored));
        let new = folder.path().join("new");
        let journal = data.join("counterfoil.erased");
        let restored = run(&["restore", backup.to_str().unwrap(), "--erased", journal.to_str().unwrap()], &new);
        assert!(
            said(&restored).contains("3 callbacks and bodies in the backup were erased again"),
            "{}",
            said(&restored)
        );
        let export = ["subject", "export", "--number", "07700900123"];
        assert!(!printed(&run(&export, &new)).contains("canary"));
        assert!(printed(&run(&export, &lacking)).contains("canary"));
    }
}

#[test]
fn a_hold_is_listed_respected_and_removed() {
    let folder = folder();
    let data = folder.path().join("store");
    let server = held(&data);
    let add = ["subject", "hold", "add", "--number", "-", "--reason", "case 7"];
    let id = printed(&run_with_input(&add, &data, "07700900123\n"));
    let list = printed(&run(&["subject", "hold", "list"], &data));
    assert!(list.contains("case 7") && list.contains("+447700900123"), "{list}");
    let erase = ["subject", "erase", "--number", "07700900123", "--reason", "request 12", "--yes"];
    let erased = run(&erase, &data);
    assert!(said(&erased).contains("0 were erased for good, and 3 are held and were kept"), "{}", said(&erased));
    assert!(printed(&run(&["subject", "export", "--number", "07700900123"], &data)).contains("\"held\":true"));
    stop(server);
    let store = rusqlite::Connection::open(data.join("counterfoil.db")).unwrap();
    for table in ["callbacks", "quarantine"] {
        store.execute(&format!("UPDATE {table} SET arrived_at = arrived_at - 100 * 86400000000"), []).unwrap();
    }
    store.execute_batch("DELETE FROM arrival_stretches; UPDATE arrivals SET mapped = 1").unwrap();
    drop(store);
    let purged = run(&["purge", "--older-than", "90d", "--yes"], &data);
    assert!(
        String::from_utf8_lossy(&purged.stdout).lines().any(|line| line.starts_with("Held") && line.ends_with('3'))
    );
    assert!(holds(&data, "canary1") && !holds(&data, "bystander"));
    assert_eq!(run(&["subject", "hold", "remove", "99"], &data).status.code(), Some(1));
    assert!(run(&["subject", "hold", "remove", &id], &data).status.success());
    assert!(said(&run(&erase, &data)).contains("3 were erased for good"));
    assert!(!holds(&data, "canary1"));
}

#[test]
fn a_manager_exports_holds_and_erases_on_pages_that_have_no_number_in_their_address() {
    let folder = folder();
    let data = folder.path().join("store");
    let server = held(&data);
    let mut manager = server.signed_in("manager");
    let wrong = manager.post("/subjects", &[("sort", "email"), ("subject", "amy")]);
    assert!(wrong.text().contains("Enter an email address"), "{}", wrong.text());
    let found = manager.post("/subjects", &[("sort", "number"), ("subject", "+44 7700 900123")]);
    let here = found.header("location").unwrap().to_owned();
    assert!(here.starts_with("/subjects/number/") && !here.contains("900123"), "{here}");
    let page = manager.get(&here).text();
    assert_eq!(count(&page, "Delivery receipt"), "1");
    // The search that led here is not among them.
    assert_eq!((count(&page, "In quarantine"), count(&page, "Kept searches")), ("1".into(), "0".into()));
    let csv = manager.get(&format!("{here}/export.csv"));
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"export.csv\""));
    assert!(csv.text().contains("'=canary1") && !csv.text().contains("bystander"));
    let json = manager.get(&format!("{here}/export.json")).text();
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
    assert_eq!(manager.get(&format!("{here}/export.exe")).status, 404);

    // It is noted when the file is through.
    wait_until(|| noted(&data) == "3,3");

    let unreasoned = manager.post(&format!("{here}/hold"), &[]);
    assert!(unreasoned.text().contains("Enter a reason"));
    assert_eq!(manager.post(&format!("{here}/hold"), &[("reason", "case 7")]).status, 303);
    let page = manager.get(&here).text();
    assert!(page.contains("case 7") && count(&page, "Of these held") == "3", "{page}");
    let hold = between(&page, "name=\"hold\" value=\"", "\"").to_owned();
    let erase = |confirmed: &'static str| [("how", "erase"), ("reason", "request 12"), ("confirmed", confirmed)];
    let check = manager.post(&format!("{here}/erase"), &erase("")).text();
    assert!(count(&check, "Held, and kept") == "3" && check.contains("This cannot be undone"), "{check}");
    assert_eq!(manager.post(&format!("{here}/let-go"), &[("hold", "99")]).status, 404);
    assert_eq!(manager.post(&format!("{here}/let-go"), &[("hold", &hold)]).status, 303);
    assert!(holds(&data, "canary1"), "nothing was confirmed");

    let erased = manager.post(&format!("{here}/erase"), &erase("yes")).text();
    assert_eq!(count(&erased, "Receipts and messages erased"), "2");
    assert_eq!(count(&erased, "Erased from quarantine"), "1");
    assert_eq!(manager.get(&here).status, 404, "what was typed is gone too");
    stop(server);
    assert!(!holds(&data, "canary1") && !holds(&data, "447700900123") && holds(&data, "bystander"));
    let record = rusqlite::Connection::open(data.join("counterfoil.db")).unwrap();
    let mut done = record.prepare("SELECT did FROM audit WHERE subject IS NOT NULL").unwrap();
    let done: Vec<String> = done.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for did in
        ["looked_up_subject", "exported_subject", "added_hold", "removed_hold", "began_erasing", "erased_subject"]
    {
        assert!(done.iter().any(|done| done == did), "{did}: {done:?}");
    }
}

/// Which form is sent, with what, and what is said.
type Asked = (&'static str, &'static [(&'static str, &'static str)], &'static str);

#[test]
fn a_form_that_is_refused_shows_what_is_held_only_where_that_is_written_down() {
    let folder = folder();
    let data = folder.path().join("store");
    let server = held(&data);
    let mut manager = server.signed_in("manager");
    let found = manager.post("/subjects", &[("sort", "number"), ("subject", "07700 900123")]);
    let here = found.header("location").unwrap().to_owned();
    assert_eq!(manager.post(&format!("{here}/hold"), &[("reason", "case 7")]).status, 303);
    let store = rusqlite::Connection::open(data.join("counterfoil.db")).unwrap();
    let looked = || -> i64 {
        let sql = "SELECT count(*) FROM audit WHERE did = 'looked_up_subject' AND subject IS NOT NULL";
        store.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let never = "CREATE TRIGGER never BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'never'); END";
    let asked: [Asked; 6] = [
        ("hold", &[], "Enter a reason"),
        ("hold", &[("reason", "for 07700 900123")], "must not include a phone number or an email address"),
        ("erase", &[("reason", "request 12")], "Select how much to erase"),
        ("erase", &[("how", "erase")], "Enter a reason"),
        ("erase", &[("how", "erase"), ("reason", "amy@example.com asked")], "must not include a phone number"),
        ("erase", &[("how", "erase"), ("reason", "request 12")], "This cannot be undone"),
    ];
    for (n, (what, form, words)) in (1..).zip(asked) {
        let page = manager.post(&format!("{here}/{what}"), form).text();
        assert!(page.contains(words) && page.contains("Of these held") || page.contains("Held, and kept"), "{page}");
        assert_eq!(looked(), n, "{what} {form:?}");
        store.execute_batch(never).unwrap();
        let page = manager.post(&format!("{here}/{what}"), form);
        store.execute_batch("DROP TRIGGER never").unwrap();
        assert_eq!(page.status, 503, "{what} {form:?}");
        assert!(!page.text().contains("case 7") && !page.text().contains("900123"), "{}", page.text());
    }
    let record = printed(&run(&["audit", "list"], &data));
    assert!(!record.contains("900123") && !record.contains("amy@example.com"), "{record}");
}

#[test]
fn a_manager_of_one_service_sees_holds_exports_and_erases_only_what_it_brought() {
    let folder = folder();
    let data = folder.path().join("store");
    let server = held(&data);
    let token = printed(&run(&["token", "add", "Parking"], &data));
    let headers = format!("Authorization: Bearer {token}\r\n");
    for body in [
        br#"{"id": "p1", "reference": "parking1", "to": "07700 900123", "status": "delivered"}"#.as_slice(),
        br#"{"id": "p2", "source_number": "447700900123", "message": "parking text"}"#,
        b"parking nonsense of 07700900123",
    ] {
        assert_eq!(server.post_with("/callbacks", &headers, body).status, 200);
    }
    let mut everybodys = server.signed_in("admin");
    let email = "parking@example.gov.uk";
    let add = ["user", "add", email, "--role", "manager", "--service", "Parking", "--password-stdin"];
    assert!(run_with_input(&add, &data, PASSWORD).status.success());
    let mut manager = Browser::new(server.at);
    manager.give_password(email);
    let typed = [("sort", "number"), ("subject", "07700 900123")];
    let find = |browser: &mut Browser| browser.post("/subjects", &typed).header("location").unwrap().to_owned();
    let (theirs, here) = (find(&mut everybodys), find(&mut manager));
    let kinds = ["Delivery receipt", "Received text message", "In quarantine", "Kept searches"];
    let counts = |page: &str| kinds.map(|name| count(page, name).parse::<u64>().unwrap());
    assert_eq!(counts(&everybodys.get(&theirs).text()), [2, 2, 2, 1]);
    // Searches are nobody's service's.
    assert_eq!(counts(&manager.get(&here).text()), [1, 1, 1, 0]);
    for format in ["csv", "json"] {
        let file = manager.get(&format!("{here}/export.{format}")).text();
        assert_eq!(file.matches("canary").count(), 0, "{file}");
        assert!(["parking1", "parking text", "parking nonsense"].iter().all(|said| file.contains(said)), "{file}");
    }

    // A hold on everything is not theirs to see or to remove, and theirs holds nothing of another service.
    assert_eq!(everybodys.post(&format!("{theirs}/hold"), &[("reason", "case of all")]).status, 303);
    let hold = between(&everybodys.get(&theirs).text(), "name=\"hold\" value=\"", "\"").to_owned();
    let page = manager.get(&here).text();
    assert!(!page.contains("case of all") && count(&page, "Of these held") == "3", "{page}");
    assert_eq!(manager.post(&format!("{here}/let-go"), &[("hold", &hold)]).status, 404);
    assert_eq!(everybodys.post(&format!("{theirs}/let-go"), &[("hold", &hold)]).status, 303);
    assert_eq!(manager.post(&format!("{here}/hold"), &[("reason", "case of parking")]).status, 303);
    let page = everybodys.get(&theirs).text();
    assert!(page.contains("case of parking") && count(&page, "Of these held") == "3", "{page}");
    let hold = between(&manager.get(&here).text(), "name=\"hold\" value=\"", "\"").to_owned();
    assert_eq!(manager.post(&format!("{here}/let-go"), &[("hold", &hold)]).status, 303);

    let erase = [("how", "erase"), ("reason", "request 12"), ("confirmed", "yes")];
    let erased = manager.post(&format!("{here}/erase"), &erase).text();
    assert_eq!(["Receipts and messages erased", "Erased from quarantine"].map(|name| count(&erased, name)), ["2", "1"]);
    let page = everybodys.get(&theirs).text();
    assert_eq!(counts(&page)[..3], [1, 1, 1], "{page}");
    let file = everybodys.get(&format!("{theirs}/export.json")).text();
    assert!(["canary1", "canary nonsense", "of two lines"].iter().all(|said| file.contains(said)), "{file}");
    assert!(!file.contains("parking"), "{file}");
    stop(server);
    assert!(!holds(&data, "parking text") && !holds(&data, "parking nonsense") && holds(&data, "canary1"));
}

/// The number that stands behind a name on a page.
fn count(page: &str, name: &str) -> String {
    let row = page.split(&format!(">{name}</dt>")).nth(1).unwrap_or_else(|| panic!("{name}: {page}"));
    between(row, "value\">", "<").to_owned()
}

#[test]
fn a_redacted_text_says_so_on_its_page_and_its_receipt_stays() {
    let folder = folder();
    let data = folder.path().join("store");
    stop(held(&data));
    let redact = ["subject", "erase", "--redact", "--number", "07700900123", "--reason", "request 9", "--yes"];
    let redacted = run(&redact, &data);
    assert!(said(&redacted).contains("were redacted or erased for good"), "{}", said(&redacted));
    assert!(!holds(&data, "of two lines") && holds(&data, "=canary1"));
    let server = Server::start_in(&data, &[]);
    let mut manager = server.signed_in("manager");
    let page = manager.get("/receipts/t1").text();
    assert!(page.contains("Redacted <time") && page.contains("for <bdi>request 9</bdi>"), "{page}");
    assert!(manager.get("/receipts/r1").text().contains("Delivered"));
}
