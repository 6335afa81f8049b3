//! The record, as it is written, and as somebody without the key might change it.

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::clock::DAY;
use crate::store::{Due, Keep};

const NOW: i64 = 1_795_000_000_000_000;
const ROWS: i64 = 12;

fn person(number: i64) -> By {
    By { person: Some(number), name: format!("{number}@example.gov.uk"), source: "192.0.2.1".into() }
}

fn entry(number: i64) -> Entry {
    let entry = Entry::new(person(number % 3), Did::OpenedReceipt, NOW + number);
    entry.of(format!("receipt-{number}")).about(Some("+447700900123")).with("first page")
}

async fn store_with_rows(folder: &TempDir) -> Store {
    let store = Store::serve(folder.path(), NOW).unwrap();
    // The first row says that the record began.
    for number in 2..=ROWS {
        store.record(entry(number)).await.unwrap();
    }
    store
}

fn verified(folder: &TempDir, heads: &[Head]) -> Verified {
    verify_record(folder.path(), &[], heads).unwrap()
}

/// What somebody does who can write the store's file and has no key.
fn tamper(folder: &TempDir, sql: &str) {
    let connection = Connection::open(folder.path().join("counterfoil.db")).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[tokio::test]
async fn what_was_written_is_found_by_person_by_subject_and_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with_rows(&folder).await;
    let found = |looked: Looked| {
        let store = store.clone();
        async move {
            let page = store.recorded(looked, 50).await.unwrap();
            page.rows.iter().map(|row| row.id).collect::<Vec<_>>()
        }
    };
    let all: Vec<i64> = (1..=ROWS).rev().collect();
    assert_eq!(found(Looked::default()).await, all);
    let by_person = Looked { who: Some("2@example.gov.uk".into()), ..Looked::default() };
    assert_eq!(found(by_person).await, [11, 8, 5, 2]);
    let by_subject = Looked { subjects: vec!["x".into(), "+447700900123".into()], ..Looked::default() };
    assert_eq!(found(by_subject).await, all[..all.len() - 1]);
    let of_nobody = Looked { subjects: vec!["+447700900124".into()], ..Looked::default() };
    assert!(found(of_nobody).await.is_empty());
    let in_time = Looked { from: Some(NOW + 4), until: Some(NOW + 6), ..Looked::default() };
    assert_eq!(found(in_time).await, [5, 4]);
    let page = store.recorded(Looked::default(), 5).await.unwrap();
    assert_eq!((page.rows.len(), page.next), (5, Some(8)));
    let next = store.recorded(Looked { before: page.next, ..Looked::default() }, 50).await.unwrap();
    assert_eq!((next.rows.first().map(|row| row.id), next.next), (Some(7), None));
}

#[tokio::test]
async fn whose_data_it_was_stands_nowhere_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let _log = store_with_rows(&folder).await.close();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(12).any(|part| part == b"447700900123"));
    }
}

#[tokio::test]
async fn a_record_that_nobody_touched_is_whole_and_its_head_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with_rows(&folder).await;
    let before = verified(&folder, &[]);
    assert_eq!((before.rows, before.first, before.head.id), (12, 1, ROWS));
    assert_eq!(before.faults, []);
    store.record(entry(ROWS + 1)).await.unwrap();
    let head = before.head.to_string().parse::<Head>().unwrap();
    assert_eq!(verified(&folder, &[head]).faults, []);
    let followed = store.follow_record(None).await.unwrap().unwrap();
    assert_eq!(followed.head().id, ROWS + 1);
    store.record(entry(ROWS + 2)).await.unwrap();
    assert_eq!(store.follow_record(Some(followed)).await.unwrap().unwrap().head().id, ROWS + 2);
}

/// What can be done to a record by whoever may write the file but has no key.
const TAMPERINGS: [(&str, &str); 25] = [
    ("who", "UPDATE audit SET who = 'other@example.gov.uk' WHERE id = 5"),
    ("the account", "UPDATE audit SET person = 9 WHERE id = 5"),
    ("no account", "UPDATE audit SET person = NULL WHERE id = 5"),
    ("when", "UPDATE audit SET at = at + 1 WHERE id = 5"),
    ("from where", "UPDATE audit SET source = '192.0.2.2' WHERE id = 5"),
    ("from nowhere", "UPDATE audit SET source = '' WHERE id = 5"),
    ("what", "UPDATE audit SET did = 'signed_in' WHERE id = 5"),
    ("to what", "UPDATE audit SET object = 'receipt-6' WHERE id = 5"),
    ("to nothing", "UPDATE audit SET object = NULL WHERE id = 5"),
    ("of whom", "UPDATE audit SET subject = zeroblob(32) WHERE id = 5"),
    ("of nobody", "UPDATE audit SET subject = NULL WHERE id = 5"),
    ("details", "UPDATE audit SET detail = 'second page' WHERE id = 5"),
    ("a detail moved into the object", "UPDATE audit SET object = object || detail, detail = '' WHERE id = 5"),
    ("the chain itself", "UPDATE audit SET mac = zeroblob(32) WHERE id = 5"),
    ("the key's name", "UPDATE audit SET key = zeroblob(8) WHERE id = 5"),
    ("a row gone from within", "DELETE FROM audit WHERE id = 5"),
    (
        "a row gone and the rest moved up",
        "DELETE FROM audit WHERE id = 5; UPDATE audit SET id = id - 1 WHERE id > 5;
         UPDATE audit_ends SET last = last - 1",
    ),
    (
        "two rows swapped",
        "UPDATE audit SET id = 99 WHERE id = 5; UPDATE audit SET id = 5 WHERE id = 6; UPDATE audit SET id = 6 WHERE id = 99",
    ),
    (
        "a row copied into the end",
        "INSERT INTO audit SELECT 13, at, person, who, source, did, object, subject, detail, key, mac FROM audit WHERE id = 12",
    ),
    ("the last row cut off", "DELETE FROM audit WHERE id = 12"),
    (
        "the last row cut off and the end moved",
        "DELETE FROM audit WHERE id = 12;
         UPDATE audit_ends SET last = 11, head = (SELECT mac FROM audit WHERE id = 11)",
    ),
    ("the first rows cut off", "DELETE FROM audit WHERE id < 4"),
    (
        "the first rows cut off and the beginning moved",
        "UPDATE audit_ends SET first = 4, before = (SELECT mac FROM audit WHERE id = 3); DELETE FROM audit WHERE id < 4",
    ),
    ("the note of its ends gone", "DELETE FROM audit_ends"),
    ("everything gone", "DELETE FROM audit; DELETE FROM audit_ends"),
];

#[tokio::test]
async fn twenty_five_ways_to_change_the_record_are_each_found() {
    let mut tried = 0;
    for (what, sql) in TAMPERINGS {
        let folder = tempfile::tempdir().unwrap();
        let store = store_with_rows(&folder).await;
        let followed = store.follow_record(None).await.unwrap().unwrap();
        tamper(&folder, sql);
        assert_ne!(verified(&folder, &[]).faults, [], "{what}");
        assert!(store.follow_record(None).await.unwrap().is_err(), "the server sees it from the beginning: {what}");
        // What is written later makes nothing good.
        let goes_on = store.record(entry(ROWS + 1)).await;
        if goes_on.is_ok() && what != "everything gone" {
            assert_ne!(verified(&folder, &[]).faults, [], "after another row: {what}");
        }
        let is_at_its_end = what.contains("end") || what.contains("everything") || what.contains("last");
        if is_at_its_end {
            assert!(store.follow_record(Some(followed)).await.unwrap().is_err(), "it sees it while it runs: {what}");
        }
        tried += 1;
    }
    assert_eq!(tried, 25);
}

#[tokio::test]
async fn a_record_begun_anew_is_told_by_a_head_that_was_kept_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with_rows(&folder).await;
    let head = verified(&folder, &[]).head;
    tamper(&folder, "DELETE FROM audit; DELETE FROM audit_ends");
    store.record(entry(2)).await.unwrap();
    assert_eq!(verified(&folder, &[]).faults, [], "nothing inside tells");
    assert_eq!(verified(&folder, &[head]).faults, [Fault::CutOff(2, ROWS)]);
}

#[tokio::test]
async fn what_removes_old_rows_leaves_a_record_that_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with_rows(&folder).await;
    let head = verified(&folder, &[]).head;
    let followed = store.follow_record(None).await.unwrap().unwrap();
    assert!(!store.shorten_record(NOW + 6, NOW + DAY).await.unwrap());
    let shortened = verified(&folder, &[head, format!("2-{}", "0".repeat(64)).parse().unwrap()]);
    assert_eq!((shortened.first, shortened.faults, shortened.older_heads), (6, vec![], vec![2]));
    assert!(store.follow_record(None).await.unwrap().is_ok());
    assert!(store.follow_record(Some(followed)).await.unwrap().is_ok());
    let newest = store.recorded(Looked::default(), 1).await.unwrap().rows;
    let [newest] = newest.as_slice() else { panic!("one row") };
    assert_eq!((newest.did.as_str(), newest.detail.as_deref()), ("shortened_record", Some("rows 1 to 5")));
    assert!(!store.shorten_record(NOW + 6, NOW + DAY).await.unwrap());
    assert_eq!(verified(&folder, &[]).head.id, newest.id, "nothing more was old");
}

#[tokio::test]
async fn a_store_under_another_key_file_goes_on_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with_rows(&folder).await;
    let _log = store.close();
    drop(store);
    let (key, old) = (folder.path().join("counterfoil.key"), folder.path().join("old.key"));
    std::fs::rename(&key, &old).unwrap();
    let store = Store::serve(folder.path(), NOW).unwrap();
    assert!(store.follow_record(None).await.unwrap().is_ok());
    assert_eq!(verified(&folder, &[]).faults, [Fault::OtherKey(1, ROWS)]);
    let both = verify_record(folder.path(), &[&old], &[]).unwrap();
    assert_eq!((both.faults, both.head.id), (vec![], ROWS + 1));
    let newest = store.recorded(Looked::default(), 1).await.unwrap().rows;
    assert_eq!(newest[0].did, "changed_key");
}

fn stopped(store: Store) {
    let _log = store.close();
    drop(store);
}

async fn faults_at_start(folder: &TempDir) -> Vec<Fault> {
    let store = Store::serve(folder.path(), NOW).unwrap();
    let found = store.follow_record(None).await.unwrap();
    stopped(store);
    found.err().map_or(vec![], |broken| broken.0)
}

/// A stopped store whose record was followed to its end, and that was kept.
async fn followed_and_stopped() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with_rows(&folder).await;
    let chain = store.follow_record(None).await.unwrap().unwrap();
    store.keep_head(&chain).await.unwrap();
    store.record(entry(ROWS + 1)).await.unwrap();
    stopped(store);
    folder
}

#[tokio::test]
async fn rows_under_another_key_file_are_right_only_before_the_row_that_says_so() {
    for (sql, first, last) in [
        ("UPDATE audit SET key = zeroblob(8) WHERE id = 5", 5, 5),
        ("UPDATE audit SET key = zeroblob(8) WHERE id < 5", 1, 4),
        ("UPDATE audit SET key = zeroblob(8), who = 'other' WHERE id BETWEEN 3 AND 9", 3, 9),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = store_with_rows(&folder).await;
        tamper(&folder, sql);
        let found = store.follow_record(None).await.unwrap();
        assert_eq!(found.unwrap_err().0, [Fault::OtherKey(first, last)], "{sql}");
    }
    // The last rows too, though the next start takes them for those of another key file, once it was followed beyond.
    let folder = followed_and_stopped().await;
    tamper(&folder, "UPDATE audit SET key = zeroblob(8), who = 'other' WHERE id >= 6");
    assert_eq!(faults_at_start(&folder).await, [Fault::OtherHead(ROWS)]);
    let folder = followed_and_stopped().await;
    tamper(&folder, "UPDATE audit SET key = zeroblob(8), who = 'other' WHERE id = 13");
    assert_eq!(faults_at_start(&folder).await, [Fault::OtherKey(13, 13)]);
}

/// Puts the store's file of one folder into another.
fn put_in_place(from: &TempDir, to: &TempDir) {
    for name in ["counterfoil.db", "counterfoil.db-wal", "counterfoil.db-shm"] {
        let file = to.path().join(name);
        let _was_there = std::fs::remove_file(&file).is_ok();
        if from.path().join(name).exists() {
            std::fs::copy(from.path().join(name), file).map(drop).unwrap();
        }
    }
}

#[tokio::test]
async fn a_record_that_was_rewritten_between_two_runs_is_found_at_the_next_start() {
    let folder = followed_and_stopped().await;
    assert_eq!(faults_at_start(&folder).await, [], "nobody touched it");
    tamper(&folder, "DELETE FROM audit; DELETE FROM audit_ends");
    assert_eq!(faults_at_start(&folder).await, [Fault::CutOff(1, ROWS)], "begun anew");
    // Whole in itself, under a key file that somebody made.
    let (folder, theirs) = (followed_and_stopped().await, followed_and_stopped().await);
    put_in_place(&theirs, &folder);
    assert_eq!(faults_at_start(&folder).await, [Fault::OtherHead(ROWS)], "under another key file");
    // As it once was.
    let (folder, once) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    stopped(store_with_rows(&folder).await);
    put_in_place(&folder, &once);
    let store = Store::serve(folder.path(), NOW).unwrap();
    store.record(entry(13)).await.unwrap();
    let chain = store.follow_record(None).await.unwrap().unwrap();
    store.keep_head(&chain).await.unwrap();
    stopped(store);
    put_in_place(&once, &folder);
    assert_eq!(faults_at_start(&folder).await, [Fault::CutOff(ROWS, 13)], "an older copy");
    assert_eq!(verified(&folder, &[]).faults, [Fault::CutOff(ROWS, 13)], "the command says so too");
}

#[tokio::test]
async fn a_kept_head_that_was_changed_put_there_or_removed_is_told() {
    let folder = followed_and_stopped().await;
    let file = folder.path().join("counterfoil.head");
    let kept = std::fs::read_to_string(&file).unwrap();
    let theirs = std::fs::read_to_string(followed_and_stopped().await.path().join("counterfoil.head")).unwrap();
    for changed in [kept.replacen("12-", "11-", 1), theirs, String::new(), "nonsense".into()] {
        std::fs::write(&file, changed).unwrap();
        assert_eq!(faults_at_start(&folder).await, [Fault::HeadChanged]);
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(faults_at_start(&folder).await, [Fault::HeadGone]);
    assert_eq!(faults_at_start(&folder).await, [Fault::HeadGone], "and that it had one is not forgotten");
    tamper(&folder, "UPDATE audit_ends SET seal = zeroblob(32)");
    assert_eq!(faults_at_start(&folder).await, [Fault::Ends]);
    // Once that was told, another is kept.
    let folder = followed_and_stopped().await;
    std::fs::remove_file(folder.path().join("counterfoil.head")).unwrap();
    let store = Store::serve(folder.path(), NOW).unwrap();
    store.give_kept_head_up().await.unwrap();
    let chain = store.follow_record(None).await.unwrap().unwrap();
    store.keep_head(&chain).await.unwrap();
    stopped(store);
    assert_eq!(faults_at_start(&folder).await, []);
}

#[tokio::test]
async fn where_people_are_a_record_that_begins_is_none_that_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with_rows(&folder).await;
    store.add_token("A service".into(), None, [1; 32], person(1), NOW).await.unwrap();
    assert!(store.follow_record(None).await.unwrap().is_ok());
    tamper(&folder, "DELETE FROM audit; DELETE FROM audit_ends");
    store.record(entry(2)).await.unwrap();
    stopped(store);
    assert_eq!(faults_at_start(&folder).await, [Fault::Ends]);
    tamper(&folder, "DELETE FROM audit; DELETE FROM audit_ends");
    assert_eq!(faults_at_start(&folder).await, [Fault::Ends], "nor one that a start begins");
}

#[tokio::test]
async fn rows_go_by_their_age_a_day_at_a_time_and_a_clock_that_jumps_ten_years_removes_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with_rows(&folder).await;
    let keep = Keep::Days(365);
    let due = async |days: i64| store.record_due(keep, NOW + days * DAY).await.unwrap();
    assert_eq!(due(364).await, Due::Nothing);
    assert_eq!(due(366).await, Due::From(NOW + 373 * DAY), "the first removal is told a week ahead");
    assert_eq!(due(366 + 3650).await, Due::Held { limit: NOW + 3651 * DAY, gone_to: NOW + DAY });
    for day in 367..373 {
        assert_eq!(due(day).await, Due::From(NOW + 373 * DAY));
    }
    assert_eq!(due(373).await, Due::Before(NOW + 8 * DAY));
    assert!(matches!(due(400).await, Due::Held { .. }), "the server stood still");
    store.let_record_go(NOW + 35 * DAY, NOW + 400 * DAY).await.unwrap();
    assert_eq!(due(400).await, Due::Before(NOW + 35 * DAY), "a person said so");
    assert_eq!(store.count_record(NOW + 6).await.unwrap(), 5);
    assert_eq!(store.record_due(Keep::Forever, NOW + 3650 * DAY).await.unwrap(), Due::Nothing);
}
