//! Leaving and growing: what one store held is in another, to the byte, and a stop, a fault or a server that runs change nothing of that.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use counterfoil::made_up::{Bodies, What};
use counterfoil::notify::Callback;
use counterfoil::store::{
    Arrival, By, Change, Envelope, Looker, Narrowed, Origin, Role, ServiceId, Services, Store, Versions,
};
use futures_util::future::join_all;

use crate::server::{BINARY, Server, block_on, folder, printed, run};

const NOW: i64 = 1_795_000_000_000_000;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn envelope(service: ServiceId, origin: Origin, arrived_at: i64) -> Envelope {
    Envelope { service, token: None, origin, arrived_at, path: "/callbacks".into() }
}

fn callback(service: ServiceId, arrived_at: i64, body: &[u8]) -> Arrival {
    Arrival::callback(envelope(service, Origin::CalledBack, arrived_at), Callback::read(body).unwrap())
}

fn unreadable(service: ServiceId, body: &[u8], content_encoding: Option<&str>) -> Arrival {
    Arrival::Quarantine {
        envelope: envelope(service, Origin::CalledBack, NOW),
        reason: "The body is not JSON.".into(),
        content_type: Some("application/json".into()),
        content_encoding: content_encoding.map(str::to_owned),
        body: body.to_vec(),
    }
}

/// Somebody who has just looked changes the conversation with a sender.
async fn change(store: &Store, by: &By, place: usize, change: Change, at: i64) {
    let inbox = store.inbox(&Services::All, Narrowed::default(), None).await.unwrap().rows;
    let opaque = &inbox[place].opaque;
    let page = store.conversation(&Services::All, opaque, None, Looker::default()).await.unwrap().unwrap();
    let versions = Versions::of(&page.handling);
    store.handle(&Services::All, opaque, versions, change, by.clone(), at).await.unwrap().unwrap();
}

/// A store with some of everything, of two services.
async fn fill(data: &Path, many: usize) {
    let store = Store::serve(data, NOW).unwrap();
    let id = "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa".to_owned();
    store.add_token("=Housing, \"north\"".into(), Some(id), [1; 32], By::itself(), NOW).await.unwrap();
    store.add_token("Benefits".into(), None, [2; 32], By::itself(), NOW).await.unwrap();
    let services: Vec<ServiceId> = store.services().await.unwrap().iter().map(|service| service.id).collect();
    let (one, two) = (services[0], services[1]);
    let mut bodies = Bodies::new(7);
    let made: Vec<Arrival> = (0..many)
        .map(|n| {
            let at = NOW + i64::try_from(n).unwrap();
            callback(services[n % 2], at, &bodies.next(What::Mixed, at).body)
        })
        .collect();
    let kept = join_all(made.into_iter().map(|arrival| store.keep(arrival))).await;
    assert!(kept.iter().all(Result::is_ok));
    let at = NOW + 1_000_000;
    let receipt = |id: &str, status: &str, completed: &str| {
        format!(
            r#"{{"id": "{id}", "reference": "=1+1", "to": "@a", "status": "{status}", "completed_at": {completed}, "more": [1,  2]}}"#
        )
    };
    for (n, arrival) in [
        callback(one, at, receipt("m1", "sending", "null").as_bytes()),
        callback(one, at + 1, receipt("m1", "delivered", "\"2026-01-02T00:00:00.000000Z\"").as_bytes()),
        callback(one, at + 2, receipt("m1", "permanent-failure", "\"2026-01-01T00:00:00.000000Z\"").as_bytes()),
        callback(one, at + 3, receipt("m1", "delivered", "\"2026-01-02T00:00:00.000000Z\"").as_bytes()),
        callback(two, at + 4, receipt("m1", "delivered", "\"2026-01-02T00:00:00.000000Z\"").as_bytes()),
        unreadable(one, b"\xff\x00 nonsense", None),
        unreadable(one, b"\xff\x00 nonsense", None),
        unreadable(two, b"'=x,\"y\"\r\n", Some("gzip")),
        unreadable(two, b"", None),
        callback(two, at + 5, br#"{"id": "x1", "source_number": "Bank", "message": "a\nb"}"#),
        callback(one, at + 6, br#"{"id": "x2", "source_number": "447700900999", "message": "=2"}"#),
        callback(one, at + 7, br#"{"id": "x3", "source_number": "447700900999", "message": "3"}"#),
        callback(two, at + 8, br#"{"id": "x4", "source_number": "447700900999", "message": "4"}"#),
    ]
    .into_iter()
    .enumerate()
    {
        store.keep(arrival).await.unwrap_or_else(|error| panic!("{n}: {error}"));
    }
    let fetched = Callback::read(receipt("m2", "delivered", "null").as_bytes()).unwrap();
    store.keep(Arrival::callback(envelope(two, Origin::Fetched, at), fetched)).await.unwrap();
    let mut team = Vec::new();
    for email in ["ann@example.gov.uk", "bob@example.gov.uk"] {
        let person = store.add_person(email.into(), Role::Caseworker, Services::All, None, By::itself(), NOW);
        team.push(By { person: Some(person.await.unwrap()), name: email.into(), source: String::new() });
    }
    let (ann, bob) = (&team[0], &team[1]);
    change(&store, ann, 0, Change::Take, at + 10).await;
    change(&store, bob, 0, Change::DealWith, at + 11).await;
    change(&store, ann, 0, Change::AddNote(one, "=Called, \"twice\"\nno answer".into()), at + 12).await;
    change(&store, bob, 0, Change::AddNote(two, "gone".into()), at + 13).await;
    change(&store, bob, 0, Change::RemoveNote(2), at + 14).await;
    // A new text opens it again.
    store
        .keep(callback(one, at + 15, br#"{"id": "x5", "source_number": "447700900999", "message": "5"}"#))
        .await
        .unwrap();
    change(&store, bob, 1, Change::DealWith, at + 16).await;
    change(&store, ann, 1, Change::Unread, at + 17).await;
    change(&store, ann, 2, Change::HandOver(bob.person.unwrap()), at + 18).await;
    change(&store, ann, 3, Change::Read, at + 19).await;
    let templates = store.templates().await.unwrap();
    store.name_template(&templates[0], Some("+Reminder".into()), By::itself(), NOW).await.unwrap();
    let _closed = store.close();
}

/// What people see of conversations and messages, without the numbers of one store.
fn shown(data: &Path) -> Vec<String> {
    block_on(async {
        let store = Store::existing(data, NOW).unwrap();
        let mut shown = Vec::new();
        for row in store.inbox(&Services::All, Narrowed::default(), None).await.unwrap().rows {
            let page = store.conversation(&Services::All, &row.opaque, None, Looker::default()).await.unwrap().unwrap();
            let words: Vec<String> =
                page.handling.iter().map(|state| format!("{} {}", state.service_name, state.words())).collect();
            shown.push(format!(
                "{} {words:?} {:?}",
                page.sender,
                page.notes.iter().map(|note| (&note.who, &note.text)).collect::<Vec<_>>()
            ));
        }
        for event in store.receipt(&Services::All, "m1").await.unwrap().unwrap().events {
            shown.push(format!(
                "{} {} {} {}",
                event.service_name,
                event.shown,
                event.times,
                String::from_utf8(event.callback.body()).unwrap()
            ));
        }
        for template in store.templates().await.unwrap().iter().filter(|template| template.names.given.is_some()) {
            shown.push(format!("{} {:?}", template.service_name, template.names.given));
        }
        shown
    })
}

fn export(data: &Path, format: &str) -> Vec<u8> {
    let output = run(&["export", "--format", format], data);
    assert!(output.status.success(), "{}", said(&output));
    output.stdout
}

/// What the record says was done by export and import.
fn recorded(data: &Path) -> Vec<String> {
    let store = rusqlite::Connection::open(data.join("counterfoil.db")).unwrap();
    let mut rows = store
        .prepare("SELECT did || ' ' || coalesce(detail, '') FROM audit WHERE did LIKE '%_store' ORDER BY id")
        .unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_is_imported_is_exported_again_byte_for_byte_and_shown_as_it_was_in_both_formats() {
    let folder = folder();
    let data = folder.path().join("store");
    block_on(fill(&data, 3000));
    let before = shown(&data);
    for format in ["jsonl", "csv"] {
        let (file, other) = (folder.path().join(format), folder.path().join(format!("{format}-store")));
        let whole = export(&data, format);
        fs::write(&file, &whole).unwrap();
        let import = ["import", file.to_str().unwrap()];
        let imported = run(&import, &other);
        let table = printed(&imported);
        assert!(table.lines().any(|line| line.starts_with("Callbacks") && line.ends_with(" 3010")), "{table}");
        assert!(
            table.contains("made for: bob@example.gov.uk, ann@example.gov.uk.")
                || table.contains("ann@example.gov.uk, bob@example.gov.uk."),
            "{table}"
        );
        assert!(export(&other, format) == whole, "{format}: another export");
        assert_eq!(shown(&other), before, "{format}");
        let table = printed(&run(&import, &other));
        for name in ["Callbacks", "In quarantine", "Conversations handled", "Notes"] {
            assert!(table.lines().any(|line| line.starts_with(name) && line.ends_with(" 0")), "{name}: {table}");
        }
        assert!(export(&other, format) == whole, "{format}: twice is once");
        assert_eq!(recorded(&other)[..2], ["imported_store ".to_owned(), format!("exported_store {format}")]);
    }
    let people = printed(&run(&["user", "list"], &folder.path().join("csv-store")));
    assert!(people.lines().any(|line| line.contains("ann@example.gov.uk") && line.contains("disabled")), "{people}");
}

#[test]
fn both_work_beside_a_running_server_that_goes_on_taking_callbacks() {
    let folder = folder();
    let (data, file) = (folder.path().join("store"), folder.path().join("export"));
    block_on(fill(&data, 1000));
    fs::write(&file, export(&data, "jsonl")).unwrap();
    let mut server = Server::start();
    let at = server.data.clone();
    let import = std::thread::spawn({
        let file = file.clone();
        move || run(&["import", file.to_str().unwrap()], &at)
    });
    let mut sent = 0;
    while !import.is_finished() || sent < 20 {
        let body = format!(r#"{{"id": "live{sent}", "reference": "LIVE", "status": "delivered"}}"#);
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
        sent += 1;
    }
    let imported = import.join().unwrap();
    assert!(printed(&imported).contains("1010"), "{}", said(&imported));
    assert_eq!(server.kept("m1").len(), 4, "the server finds what was imported");
    let both = String::from_utf8(export(&server.data, "jsonl")).unwrap();
    assert_eq!(both.matches("\\\"LIVE\\\"").count(), sent);
    assert_eq!(both.matches("\"item\":\"callback\"").count(), 1010 + sent);
    let log = server.log();
    assert!(!log.contains("ERROR") && !log.contains("LIVE") && !log.contains("example.gov.uk"), "{log}");
}

#[test]
fn an_export_that_is_killed_goes_on_where_it_was_and_has_its_name_when_it_is_whole() {
    let folder = folder();
    let (data, file) = (folder.path().join("store"), folder.path().join("export.jsonl"));
    block_on(fill(&data, 3000));
    let whole = export(&data, "jsonl");
    let arguments = ["export", "--to", file.to_str().unwrap()];
    // The system kills it in the middle of a write that would make the file longer than that.
    let killed = killed(&data, &file, whole.len() * 2 / 3);
    assert!(!killed.status.success() && !file.exists(), "{}", said(&killed));
    let part = folder.path().join("export.jsonl.part");
    let written = fs::read(&part).unwrap();
    assert!(written.len() > whole.len() / 3 && whole.starts_with(&written));
    assert_eq!(fs::metadata(&part).unwrap().permissions().mode() & 0o777, 0o600);
    let other = folder.path().join("other");
    let refused = run(&["import", part.to_str().unwrap()], &other);
    assert_eq!(refused.status.code(), Some(24), "{}", said(&refused));
    assert!(said(&refused).contains("was cut off"), "{}", said(&refused));
    let wrong = run(&["export", "--format", "csv", "--to", file.to_str().unwrap()], &data);
    assert!(said(&wrong).contains("is of another export"), "{}", said(&wrong));
    // What was written stays: this is seen in the whole file.
    let mut marked = written;
    let mark = marked.iter().position(|byte| *byte == b'=').unwrap();
    marked[mark] = b'#';
    fs::write(&part, &marked).unwrap();
    let done = run(&arguments, &data);
    assert!(done.status.success(), "{}", said(&done));
    let mut expected = whole;
    expected[mark] = b'#';
    assert!(fs::read(&file).unwrap() == expected, "it went on");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".part")), "{left:?}");
    assert_eq!(run(&arguments, &data).status.code(), Some(19), "it replaces nothing");
}

/// What somebody does to a file, and another name for it.
type Spoil = fn(&Path, &Path);

/// An export to a file that is killed in the middle of a write.
fn killed(data: &Path, file: &Path, bytes: usize) -> Output {
    Command::new("sh")
        .args(["-c", &format!("ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512), BINARY])
        .args(["export", "--to", file.to_str().unwrap(), "--data"])
        .arg(data)
        .output()
        .unwrap()
}

#[test]
fn an_export_goes_on_in_no_file_that_is_somebody_elses_a_link_or_open_to_others() {
    let folder = folder();
    let (data, file) = (folder.path().join("store"), folder.path().join("export.jsonl"));
    block_on(fill(&data, 3000));
    let whole = export(&data, "jsonl");
    assert!(!killed(&data, &file, whole.len() * 2 / 3).status.success());
    let other = folder.path().join("other");
    let spoils: [(&str, Spoil); 4] = [
        ("open to others", |part, _| fs::set_permissions(part, fs::Permissions::from_mode(0o640)).unwrap()),
        ("a link", |part, other| {
            fs::rename(part, other).unwrap();
            symlink(other, part).unwrap();
        }),
        ("another name of a file", |part, other| fs::hard_link(part, other).unwrap()),
        ("somebody else's", |part, _| {
            if chown(part, Some(65534), None).is_err() {
                assert!(std::env::var_os("CI").is_none(), "the test of somebody else's file needs root");
                eprintln!("\n*** NOT TRIED: a file of somebody else, because this is not root ***\n");
                fs::set_permissions(part, fs::Permissions::from_mode(0o604)).unwrap();
            }
        }),
    ];
    for ending in [".part", ".part.place"] {
        let part = folder.path().join(format!("export.jsonl{ending}"));
        for (what, spoil) in spoils {
            let before = fs::read(&part).unwrap();
            spoil(&part, &other);
            let refused = run(&["export", "--to", file.to_str().unwrap()], &data);
            assert_eq!(refused.status.code(), Some(1), "{ending}: {what}: {}", said(&refused));
            assert!(said(&refused).contains("is not what a stopped export of yours leaves"), "{}", said(&refused));
            assert_eq!(fs::read(&part).unwrap(), before, "{ending}: {what}: nothing was written");
            assert!(!file.exists());
            let _other = fs::remove_file(&other);
            fs::remove_file(&part).unwrap();
            fs::write(&part, &before).unwrap();
            fs::set_permissions(&part, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
    let done = run(&["export", "--to", file.to_str().unwrap()], &data);
    assert!(done.status.success(), "{}", said(&done));
    assert!(fs::read(&file).unwrap() == whole, "what is as it was left goes on");
}

#[test]
fn what_was_read_of_an_export_that_is_cut_off_is_noted_all_the_same() {
    let folder = folder();
    let data = folder.path().join("store");
    block_on(fill(&data, 3000));
    let whole = export(&data, "jsonl").len();
    let saved = || {
        let store = rusqlite::Connection::open(data.join("counterfoil.db")).unwrap();
        store.query_row("SELECT coalesce(sum(rows), 0) FROM saved", [], |row| row.get::<_, u64>(0)).unwrap()
    };
    let before = saved();
    let mut child = Command::new(BINARY)
        .args(["export", "--data"])
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut read = vec![0; whole * 2 / 3];
    child.stdout.take().unwrap().read_exact(&mut read).unwrap();
    assert!(!child.wait_with_output().unwrap().status.success());
    let noted = saved() - before;
    assert!(noted > 1000 && noted < 3100, "{noted}");
}

#[test]
fn a_line_that_is_wrong_stops_an_import_where_it_is_and_what_was_erased_stays_away() {
    let folder = folder();
    let (data, file, other) = (folder.path().join("store"), folder.path().join("export"), folder.path().join("other"));
    block_on(fill(&data, 100));
    let whole = String::from_utf8(export(&data, "jsonl")).unwrap();
    let line = whole.lines().position(|line| line.contains("\\\"x2\\\"")).unwrap() + 1;
    fs::write(&file, whole.replacen("\"times\":1", "\"times\":\"canary\"", 1)).unwrap();
    let import = ["import", file.to_str().unwrap()];
    let first = whole.lines().position(|line| line.contains("\"times\":1")).unwrap() + 1;
    let stopped = run(&import, &other);
    assert_eq!(stopped.status.code(), Some(24));
    assert!(
        said(&stopped).contains(&format!("line {first}: ")) && !said(&stopped).contains("canary"),
        "{}",
        said(&stopped)
    );
    let lines: Vec<&str> = whole.lines().collect();
    fs::write(&file, lines[..line - 1].join("\n") + "\n{\"item\":\"callback\"}\n").unwrap();
    let stopped = run(&import, &other);
    assert!(said(&stopped).contains(&format!("line {line}: it has no origin")), "{}", said(&stopped));
    fs::write(&file, &whole).unwrap();
    assert!(run(&import, &other).status.success());
    assert!(export(&other, "jsonl") == whole.as_bytes(), "it went on from there");
    let erase = ["subject", "erase", "--number", "07700900999", "--reason", "request 12", "--yes"];
    assert!(run(&erase, &other).status.success());
    let again = run(&import, &other);
    assert!(
        printed(&again).lines().any(|line| line.starts_with("Erased here") && line.ends_with(" 4")),
        "{}",
        printed(&again)
    );
    let left = String::from_utf8(export(&other, "jsonl")).unwrap();
    assert!(!left.contains("447700900999") && !left.contains("no answer") && left.contains("\\\"x1\\\""), "{left}");
    for (wrong, code) in [("missing", 1), ("other/counterfoil.db", 24)] {
        let nowhere = folder.path().join("nowhere");
        let output = run(&["import", folder.path().join(wrong).to_str().unwrap()], &nowhere);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(!nowhere.exists(), "no store is made for a file that is none");
    }
    assert_eq!(run(&["export"], &folder.path().join("mistyped")).status.code(), Some(18));
}
