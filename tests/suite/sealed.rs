//! Encrypted backups: nobody reads them but who holds a key, and other tools for the age format understand them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret;
use age::x25519::Identity;

use crate::server::{Server, run};

/// A pair of keys: the public one, and the file of the secret one.
fn keys(folder: &Path, name: &str) -> (String, PathBuf) {
    let identity = Identity::generate();
    let file = folder.join(name);
    fs::write(&file, format!("# a comment\n{}\n", identity.to_string().expose_secret())).unwrap();
    (identity.to_public().to_string(), file)
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn restore(file: &Path, identity: Option<&Path>, data: &Path) -> Output {
    let mut arguments = vec!["restore", file.to_str().unwrap()];
    arguments.extend(identity.iter().flat_map(|identity| ["--identity", identity.to_str().unwrap()]));
    run(&arguments, data)
}

fn server_with_a_text() -> Server {
    let server = Server::start();
    let body = br#"{"id": "t", "source_number": "447700900123", "destination_number": "1", "message": "a secret", "date_received": "x"}"#;
    assert_eq!(server.post("/callbacks", body).status, 200);
    server
}

#[test]
fn an_encrypted_backup_tells_nothing_and_opens_with_each_of_its_keys_alone() {
    let server = server_with_a_text();
    let folder = server.data.parent().unwrap();
    let ((one, one_file), (two, two_file), (_, other_file)) =
        (keys(folder, "one"), keys(folder, "two"), keys(folder, "other"));
    let file = folder.join("backup.age");
    let made = run(&["backup", file.to_str().unwrap(), "--encrypt-to", &one, "--encrypt-to", &two], &server.data);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n"));
    assert!(!holds(&bytes, b"a secret") && !holds(&bytes, b"447700900123") && !holds(&bytes, b"SQLite"));
    for entry in fs::read_dir(&server.data).unwrap().chain(fs::read_dir(folder).unwrap()) {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(!name.contains("unfinished"), "nothing is left in the clear: {name}");
    }
    for (n, identity) in [&one_file, &two_file].into_iter().enumerate() {
        let data = folder.join(format!("restored {n}"));
        let done = restore(&file, Some(identity), &data);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(Server::start_in(&data, &[]).kept("t").len(), 1);
    }
    let new = folder.join("new");
    let refused = |file: &Path, identity: Option<&Path>, code: i32, words: &str| {
        let done = restore(file, identity, &new);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(code) && said.contains(words), "{:?} {said}", done.status);
        assert!(!new.exists());
    };
    refused(&file, None, 21, "--identity");
    refused(&file, Some(&other_file), 21, "no secret key in the identity file opens it");
    refused(&file, Some(&file), 1, "cannot read the identity file");
    let changed = folder.join("changed.age");
    let mut flipped = bytes.clone();
    let middle = bytes.len() / 2;
    flipped[middle] ^= 1;
    fs::write(&changed, flipped).unwrap();
    refused(&changed, Some(&one_file), 12, "the backup is damaged");
    fs::write(&changed, &bytes[..middle]).unwrap();
    refused(&changed, Some(&one_file), 12, "the backup is damaged");
    let no_key = run(&["backup", changed.to_str().unwrap(), "--encrypt-to", "amelia"], &server.data);
    assert_eq!(no_key.status.code(), Some(2));
}

#[test]
fn scheduled_backups_are_encrypted_where_a_key_is_named() {
    let folder = crate::server::folder();
    let backups = folder.path().join("backups");
    fs::create_dir(&backups).unwrap();
    let (key, identity) = keys(folder.path(), "key");
    let schedule = ["--backup-to", backups.to_str().unwrap(), "--backup-encrypt-to", &key];
    let mut server = Server::start_in(&folder.path().join("store"), &schedule);
    let since = Instant::now();
    while !server.log().contains("store.backup_made") {
        assert!(since.elapsed() < Duration::from_mins(1), "{}", server.log());
    }
    let made = fs::read_dir(&backups).unwrap().next().unwrap().unwrap().path();
    assert!(made.extension().is_some_and(|extension| extension == "age"), "{}", made.display());
    assert!(restore(&made, Some(&identity), &folder.path().join("restored")).status.success());
}

#[test]
fn the_age_program_opens_our_backups_and_we_open_what_it_made() {
    if Command::new("age").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "the test of encrypted backups needs the age program");
        eprintln!("\n*** NOT TESTED: the age program, because it is not installed ***\n");
        return;
    }
    let server = server_with_a_text();
    let folder = server.data.parent().unwrap();
    let (key, identity) = keys(folder, "key");
    let sealed = folder.join("sealed.age");
    assert!(run(&["backup", sealed.to_str().unwrap(), "--encrypt-to", &key], &server.data).status.success());
    let opened = folder.join("opened.db");
    let age = |arguments: &[&str], from: &Path, to: &Path| {
        let done = Command::new("age").args(arguments).arg("-o").arg(to).arg(from).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    age(&["-d", "-i", identity.to_str().unwrap()], &sealed, &opened);
    assert!(restore(&opened, None, &folder.join("one")).status.success());
    let theirs = folder.join("theirs.age");
    age(&["-r", &key], &opened, &theirs);
    let two = folder.join("two");
    assert!(restore(&theirs, Some(&identity), &two).status.success());
    assert_eq!(Server::start_in(&two, &[]).kept("t").len(), 1);
}
