//! Backups: whole under load, made whole or not at all, and good for a new store.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::crash::kept;
use crate::server::{BINARY, Server, folder, printed, run};

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
        assert_eq!(before.difference(&kept(&file)).count(), 0);
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

#[test]
fn there_is_no_backup_of_a_damaged_store_and_none_of_no_store() {
    let folder = folder();
    let data = folder.path().join("store");
    let file: PathBuf = folder.path().join("backup.db");
    assert_eq!(back_up(&file, &data).0, Some(18));
    let server = Server::start_in(&data, &[]);
    let token = printed(&run(&["token", "add", "Test service"], &data));
    for n in 0..300 {
        let body = format!(r#"{{"id": "number-{n:04}", "status": "delivered"}}"#);
        let headers = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(server.post_with("/callbacks", &headers, body.as_bytes()).status, 200);
    }
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    crate::damage::damage(&data.join("counterfoil.db"), b"number-0100");
    let (code, said) = back_up(&file, &data);
    assert_eq!(code, Some(12), "{said}");
    assert!(said.contains("damaged") && said.contains("counterfoil check"), "{said}");
    assert_eq!(names_in(folder.path()), ["store"], "nothing is left of it");
}
