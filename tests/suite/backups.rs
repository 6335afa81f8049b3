//! Backups: whole under load, made whole or not at all, and good for a new store.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::server::{BINARY, Browser, PASSWORD, Server, folder, ids, printed, run};

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn made_up(server: &Server, count: u32) -> std::process::Child {
    let token = server.data.with_file_name("token");
    fs::write(&token, &server.token).unwrap();
    Command::new(BINARY)
        .args(["send", "mixed", "--connections", "8", "--count", &count.to_string()])
        .args(["--url", &format!("http://{}", server.at)])
        .arg("--token-file")
        .arg(token)
        .arg("--acks")
        .arg(server.data.with_file_name("acks"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn acknowledged(server: &Server) -> HashSet<String> {
    let ids = fs::read_to_string(server.data.with_file_name("acks")).unwrap_or_default();
    ids.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
}

/// Makes a backup of the store; gives the exit code and what was said.
fn back_up(file: &Path, data: &Path) -> (Option<i32>, String) {
    let output = run(&["backup", file.to_str().unwrap()], data);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_backup_under_load_is_one_whole_file_with_everything_that_was_acknowledged_before_it() {
    let server = Server::start();
    let mut sender = made_up(&server, 1_000_000);
    let backups = server.data.with_file_name("backups");
    fs::create_dir(&backups).unwrap();
    for n in 1..=3 {
        let since = Instant::now();
        while acknowledged(&server).len() < 300 * n {
            assert!(since.elapsed() < Duration::from_mins(1), "callbacks are acknowledged");
            std::thread::sleep(Duration::from_millis(5));
        }
        let before = acknowledged(&server);
        let file = backups.join(format!("{n}.db"));
        let (code, said) = back_up(&file, &server.data);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("is whole"), "{said}");
        assert_eq!(before.difference(&ids(&file)).count(), 0);
        let copy = Connection::open(&file).unwrap();
        let whole: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(whole, "ok");
        let journal: String = copy.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(journal, "delete", "it needs no log beside it");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    sender.kill().unwrap();
    sender.wait().unwrap();
    assert_eq!(names_in(&backups), ["1.db", "2.db", "3.db"], "nothing else is left");
}

#[test]
fn a_backup_replaces_nothing_and_clears_away_what_a_killed_one_left() {
    let server = Server::start();
    let backups = server.data.with_file_name("backups");
    fs::create_dir(&backups).unwrap();
    fs::write(backups.join("mine.db"), "mine").unwrap();
    fs::write(backups.join(".counterfoil-unfinished-abc"), "half").unwrap();
    let (code, said) = back_up(&backups.join("mine.db"), &server.data);
    assert_eq!(code, Some(19), "{said}");
    assert!(said.contains("no backup was made") && said.contains("Name another file"), "{said}");
    assert_eq!(fs::read(backups.join("mine.db")).unwrap(), b"mine");
    assert_eq!(back_up(&backups.join("new.db"), &server.data).0, Some(0));
    assert_eq!(names_in(&backups), ["mine.db", "new.db"]);
}

/// A store of some hundred receipts, as a server left it that was stopped.
fn leave_receipts(data: &Path) {
    let server = Server::start_in(data, &[]);
    let token = printed(&run(&["token", "add", "Test service"], data));
    for n in 0..300 {
        let body = format!(r#"{{"id": "number-{n:04}", "status": "delivered"}}"#);
        let headers = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(server.post_with("/callbacks", &headers, body.as_bytes()).status, 200);
    }
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
}

#[test]
fn there_is_no_backup_of_a_damaged_store_and_none_of_no_store() {
    let folder = folder();
    let data = folder.path().join("store");
    let file: PathBuf = folder.path().join("backup.db");
    assert_eq!(back_up(&file, &data).0, Some(18));
    leave_receipts(&data);
    crate::damage::damage(&data.join("counterfoil.db"), b"number-0100");
    let (code, said) = back_up(&file, &data);
    assert_eq!(code, Some(12), "{said}");
    assert!(said.contains("damaged") && said.contains("counterfoil check"), "{said}");
    assert_eq!(names_in(folder.path()), ["store"], "nothing is left of it");
}

/// Makes a store of a backup; gives the exit code and what was said.
fn restore(file: &Path, data: &Path) -> (Option<i32>, String) {
    let output = run(&["restore", file.to_str().unwrap()], data);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_restored_store_serves_what_was_there_and_no_session_of_then() {
    let server = Server::start();
    let mut before = server.signed_in("caseworker");
    let text = br#"{"id": "t", "source_number": "447700900123", "destination_number": "1", "message": "hello", "date_received": "x"}"#;
    assert_eq!(server.post("/callbacks", text).status, 200);
    let inbox = before.get("/messages").text();
    let link = inbox.split('"').find(|part| part.starts_with("/messages/")).unwrap().to_owned();
    let file = server.data.with_file_name("backup.db");
    assert_eq!(back_up(&file, &server.data).0, Some(0));

    let data = server.data.with_file_name("restored");
    let (code, said) = restore(&file, &data);
    assert_eq!(code, Some(0), "{said}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&data.join("counterfoil.db"))), (0o700, 0o600));
    assert_eq!(names_in(&data), ["counterfoil.db", "counterfoil.lock"], "the key is not of then");
    let mut restored = Server::start_in(&data, &[]);
    restored.token.clone_from(&server.token);
    assert_eq!(restored.post("/callbacks", b"{}").status, 200, "tokens are valid");
    let mut after = Browser::new(restored.at);
    after.cookie.clone_from(&before.cookie);
    assert_eq!(after.get("/messages").status, 303, "a session of then is none");
    let form = [("email", "caseworker@example.gov.uk"), ("password", PASSWORD)];
    assert_eq!(after.post("/sign-in", &form).status, 303, "a password of then is right");
    assert!(after.get(&link).text().contains("hello"), "links to conversations go on working");
    assert_eq!(restored.post("/callbacks", &[text.as_slice(), b" "].concat()).status, 200);
    assert_eq!(after.get("/messages").text().matches("/messages/").count(), inbox.matches("/messages/").count());
}

#[test]
fn with_the_key_file_of_then_a_restored_store_knows_no_session_link_or_browser_of_then() {
    let server = Server::start();
    let before = server.signed_in("caseworker");
    let link = printed(&run(&["user", "reset", "caseworker@example.gov.uk"], &server.data));
    let file = server.data.with_file_name("backup.db");
    assert_eq!(back_up(&file, &server.data).0, Some(0));
    let lets_in = |store: &Path| {
        let store = rusqlite::Connection::open(store).unwrap();
        // A mark and whose it is: what a browser or a link shows.
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'recovery_codes' AND 2 =
                      (SELECT count(*) FROM pragma_table_info(sqlite_schema.name) WHERE name IN ('mark', 'person'))";
        let mut tables = store.prepare(tables).unwrap();
        let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert!(tables.len() >= 4, "{tables:?}");
        let count = |table: &String| {
            store.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap()
        };
        tables.iter().map(count).sum::<i64>()
    };
    assert!(lets_in(&file) >= 3, "a session, a link and a browser");

    let data = server.data.with_file_name("restored");
    let (code, said) = restore(&file, &data);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(lets_in(&data.join("counterfoil.db")), 0);
    fs::copy(server.data.join("counterfoil.key"), data.join("counterfoil.key")).unwrap();
    let restored = Server::start_in(&data, &[]);
    let mut after = Browser::new(restored.at);
    after.cookie.clone_from(&before.cookie);
    assert_eq!(after.get("/messages").status, 303, "a session of then is none");
    let path = &link[link.find("/set-password/").unwrap_or_else(|| panic!("{link}"))..];
    let set = after.get(path.split_whitespace().next().unwrap());
    assert!(set.text().contains("This link no longer works"), "{}", set.text());
}

#[test]
fn what_cannot_be_restored_is_refused_with_a_sentence_and_leaves_no_folder() {
    let server = Server::start();
    let folder = server.data.parent().unwrap();
    let whole = folder.join("whole.db");
    assert_eq!(back_up(&whole, &server.data).0, Some(0));
    let changed = |name: &str, sql: &str| {
        let file = folder.join(name);
        fs::copy(&whole, &file).unwrap();
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        file
    };
    let other = |name: &str, bytes: &[u8]| {
        fs::write(folder.join(name), bytes).unwrap();
        folder.join(name)
    };
    let mut bytes = fs::read(&whole).unwrap();
    let cut = other("cut.db", &bytes[..bytes.len() / 2]);
    let last = bytes.len() - 4096;
    bytes[last..].fill(0xa5);
    let orphan =
        "PRAGMA foreign_keys = OFF; INSERT INTO tokens (id, service, sha256, made_at) VALUES (9, 99, x'00', 1)";
    let new = folder.join("new");
    for (file, code, words) in [
        (folder.join("absent.db"), 1, "cannot be read: No such file or directory (os error 2). Check its name"),
        (other("empty.db", b""), 11, "the backup is empty"),
        (cut, 12, "the backup is damaged"),
        (other("flipped.db", &bytes), 12, "the backup is damaged"),
        (changed("orphan.db", orphan), 12, "a row of tokens refers"),
        (other("letter.db", b"a letter to my aunt"), 13, "is not a backup"),
        (changed("theirs.db", "PRAGMA application_id = 7"), 13, "is not a backup"),
        (changed("newer.db", "PRAGMA user_version = 9999"), 14, "of version 9999"),
    ] {
        let (found, said) = restore(&file, &new);
        assert_eq!(found, Some(code), "{}: {said}", file.display());
        assert!(said.contains("nothing was restored") && said.contains(words), "{said}");
        assert!(!new.exists(), "{}", file.display());
    }
    let (code, said) = restore(&whole, &server.data);
    assert_eq!(code, Some(15), "{said}");
    let full = folder.join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("holiday.jpg"), "x").unwrap();
    let (code, said) = restore(&whole, &full);
    assert!(code == Some(10) && said.contains("holds holiday.jpg"), "{said}");
    assert_eq!(names_in(&full), ["holiday.jpg"]);
}

#[test]
fn a_check_beside_the_server_counts_what_is_there_and_changes_nothing() {
    let server = Server::start();
    for (path, count) in [("receipts", 40), ("texts", 30), ("letters", 20), ("complaints", 10)] {
        let token = server.data.with_file_name("token");
        fs::write(&token, &server.token).unwrap();
        let sent = Command::new(BINARY)
            .args(["send", path, "--count", &count.to_string(), "--url", &format!("http://{}", server.at)])
            .arg("--token-file")
            .arg(token)
            .output()
            .unwrap();
        assert!(sent.status.success());
    }
    assert_eq!(server.post("/callbacks", b"nonsense").status, 200);
    let output = run(&["check"], &server.data);
    let said = printed(&output);
    for (name, count) in [
        ("Delivery receipt", "40"),
        ("Received text message", "30"),
        ("Returned letter", "20"),
        ("Complaint", "10"),
        ("In quarantine", "1"),
    ] {
        assert!(said.lines().any(|line| line.starts_with(name) && line.ends_with(&format!(" {count}"))), "{said}");
    }
    assert!(String::from_utf8_lossy(&output.stderr).contains("every callback can be found"));
    assert!(said.contains("First callback          20"), "{said}");
}

#[test]
fn a_check_tells_a_damaged_store_and_one_whose_index_leaves_callbacks_out_by_exit_codes() {
    let folder = folder();
    let data = folder.path().join("store");
    assert_eq!(run(&["check"], &data).status.code(), Some(18));
    assert!(!data.exists());
    leave_receipts(&data);
    assert_eq!(run(&["check"], &data).status.code(), Some(0));
    let database = data.join("counterfoil.db");
    let more = "INSERT INTO callbacks (arrival, kind, service, shown, origin, arrived_at, notify_id)
        VALUES (0, 1, 1, 1, 0, 1, 'before all others')";
    Connection::open(&database).unwrap().execute_batch(more).unwrap();
    let output = run(&["check"], &data);
    assert_eq!(output.status.code(), Some(20));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no search finds 1 of its callbacks"));
    crate::damage::damage(&database, b"number-0100");
    let output = run(&["check"], &data);
    assert_eq!(output.status.code(), Some(12));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the store is damaged"));
}

#[test]
fn the_schedule_makes_the_first_backup_at_a_start_where_the_newest_is_old_and_removes_only_its_own() {
    let folder = folder();
    let backups = folder.path().join("backups");
    fs::create_dir(&backups).unwrap();
    for name in ["counterfoil-2020-01-01T000000Z.db", "counterfoil-2020-01-02T000000Z.db", "kept by hand.db"] {
        fs::write(backups.join(name), "old").unwrap();
    }
    let schedule = ["--backup-to", backups.to_str().unwrap(), "--backup-every", "1d", "--backup-keep", "2"];
    let data = folder.path().join("store");
    let mut server = Server::start_in(&data, &schedule);
    let since = Instant::now();
    while !server.log().contains("store.backup_made") {
        assert!(since.elapsed() < Duration::from_mins(1), "{}", server.log());
    }
    let names = names_in(&backups);
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(names.first().unwrap(), "counterfoil-2020-01-02T000000Z.db");
    assert_eq!(names.last().unwrap(), "kept by hand.db");
    let restored = folder.path().join("restored");
    assert_eq!(restore(&backups.join(&names[1]), &restored).0, Some(0));
}

/// With an `SQLite` from before 3.51 anybody who looks into the store would else remove its log at the end, and all that was acknowledged
/// from then on would be gone with the server.
#[test]
fn after_a_backup_of_the_schedule_the_server_has_its_locks_on_the_store_yet() {
    let folder = folder();
    let backups = folder.path().join("backups");
    fs::create_dir(&backups).unwrap();
    let server = Server::start_in(&folder.path().join("store"), &["--backup-to", backups.to_str().unwrap()]);
    let since = Instant::now();
    while !names_in(&backups).iter().any(|name| name.starts_with("counterfoil-")) {
        assert!(since.elapsed() < Duration::from_mins(1), "a backup is made");
        std::thread::sleep(Duration::from_millis(20));
    }
    let file = format!(":{} ", fs::metadata(server.data.join("counterfoil.db")).unwrap().ino());
    let locks = fs::read_to_string("/proc/locks").unwrap();
    assert!(locks.lines().any(|lock| lock.contains("POSIX") && lock.contains(&file)), "{file}: {locks}");
}

#[test]
fn a_scheduled_backup_that_fails_is_told_and_the_server_goes_on() {
    let folder = folder();
    let missing = folder.path().join("not mounted");
    let mut server = Server::start_in(&folder.path().join("store"), &["--backup-to", missing.to_str().unwrap()]);
    let since = Instant::now();
    while !server.log().contains("store.backup_failed") {
        assert!(since.elapsed() < Duration::from_mins(1), "{}", server.log());
    }
    assert!(!missing.exists(), "a disk that is not mounted is not written around");
    assert_eq!(Browser::new(server.at).get("/sign-in").status, 200);
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    let keeps = run(&["serve", "--backup-keep", "3"], &folder.path().join("other"));
    assert_eq!(keeps.status.code(), Some(2), "a flag that does nothing is refused");
}
