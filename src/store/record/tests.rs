//! The record, as it is written, and as somebody without the key might change it.

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::clock::DAY;

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
        if what != "the key's name" {
            assert!(store.follow_record(None).await.unwrap().is_err(), "the server sees it from the beginning: {what}");
        }
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
