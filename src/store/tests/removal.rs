//! What removal leaves: nothing of what is old, and all of the rest.

use std::path::Path;

use rusqlite::Connection;

use super::{runtime, store_with_service};
use crate::clock::DAY;
use crate::notify::Callback;
use crate::store::*;

/// Keeps a body that came at a moment, whatever it is.
pub(super) async fn keep(store: &Store, service: ServiceId, arrived_at: i64, body: &str) -> Stored {
    let envelope = Envelope { service, token: None, origin: Origin::CalledBack, arrived_at, path: String::new() };
    let arrival = match Callback::read(body.as_bytes()) {
        Ok(callback) => Arrival::callback(envelope, callback),
        Err(error) => Arrival::Quarantine {
            envelope,
            reason: error.to_string(),
            content_type: None,
            content_encoding: None,
            body: body.into(),
        },
    };
    store.keep(arrival).await.unwrap()
}

fn receipt(id: &str, said: &str) -> String {
    format!(r#"{{"id": "{id}", "reference": "{said}", "to": "{said}@example.com", "status": "delivered"}}"#)
}

pub(super) fn text(id: &str, from: i64, said: &str) -> String {
    format!(r#"{{"id": "{id}", "source_number": "44770090{from:04}", "message": "{said} said"}}"#)
}

async fn remove(store: &Store, limits: Limits) -> usize {
    let mut removed = 0;
    while let Removal::Removed(some) = store.remove(limits).await.unwrap() {
        removed += some;
    }
    removed
}

pub(super) fn holds(folder: &Path, said: &[u8]) -> bool {
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.any(|bytes| bytes.windows(said.len()).any(|window| window == said))
}

async fn count(store: &Store, begin: &str) -> i64 {
    let sources = vec![Source::ReferenceBeginsWith(begin.into())];
    store.find(&Services::All, Find { sources, only: Only::default(), from: None }).await.unwrap().count
}

#[test]
fn what_is_removed_leaves_no_trace_in_the_file_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        for n in 0..400_i64 {
            let secret = if n < 300 { format!("oldperson{n}") } else { format!("newperson{n}") };
            let bodies =
                [receipt(&n.to_string(), &secret), text(&format!("t{n}"), n, &secret), format!("nonsense of {secret}")];
            for body in bodies {
                keep(&store, service, n, &body).await;
            }
        }
        assert_eq!(remove(&store, Limits::both(300)).await, 900);
        assert_eq!(count(&store, "newperson").await, 100);
        let inbox = store.inbox(&Services::All, Narrowed::default(), None).await.unwrap();
        assert_eq!(inbox.rows.len(), 50);
        assert!(inbox.rows.iter().all(|row| row.texts == 1));
        assert!(store.receipt(&Services::All, "299").await.unwrap().is_none());
        assert!(store.receipt(&Services::All, "300").await.unwrap().is_some());
        assert!(!holds(folder.path(), b"oldperson"), "while it is open");
        assert_eq!(store.close(), Checkpoint::Whole);
    });
    assert!(!holds(folder.path(), b"oldperson") && holds(folder.path(), b"newperson"));
    let connection = Connection::open(folder.path().join("counterfoil.db")).unwrap();
    let rest: i64 = connection.query_row("SELECT count(*) FROM conversations", [], |row| row.get(0)).unwrap();
    assert_eq!(rest, 100);
}

#[test]
fn what_came_while_the_clock_was_behind_is_no_older_than_notify_says_and_than_what_came_before_it() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        let made = |id: &str, year: u32| {
            format!(r#"{{"id": "{id}", "status": "delivered", "created_at": "{year}-11-10T10:00:00.000000Z"}}"#)
        };
        keep(&store, service, 0, "nonsense of before").await;
        keep(&store, service, 0, &made("of-old", 2024)).await;
        keep(&store, service, 0, &made("of-nowhere", 2999)).await;
        keep(&store, service, super::NOW - DAY, &made("new", 2026)).await;
        keep(&store, service, 0, &made("new-with-the-clock-behind", 2026)).await;
        keep(&store, service, 0, "nonsense of after").await;
        let month = Limits::both(super::NOW - 30 * DAY);
        let counts = store.count_before(month, &Progress::default()).unwrap();
        // Of bodies in quarantine all are counted that seem to be old.
        assert_eq!((counts.kinds.iter().map(|(_, some)| some).sum::<u64>(), counts.quarantined), (2, 2));
        assert_eq!(remove(&store, month).await, 3);
        for (id, is_there) in
            [("of-old", false), ("of-nowhere", false), ("new", true), ("new-with-the-clock-behind", true)]
        {
            assert_eq!(store.receipt(&Services::All, id).await.unwrap().is_some(), is_there, "{id}");
        }
        assert!(!holds(folder.path(), b"nonsense of before") && holds(folder.path(), b"nonsense of after"));
        assert_eq!(remove(&store, Limits::both(super::NOW)).await, 3);
    });
}

#[test]
fn receipts_and_messages_go_each_at_their_own_limit_and_leave_no_trace() {
    for (receipts, messages, started_again) in [(300, 100, false), (100, 300, true), (i64::MIN, 300, false)] {
        let folder = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let (mut store, service) = store_with_service(folder.path()).await;
            for n in 0..400_i64 {
                let said = |sort: &str, limit: i64| format!("{}{sort}{n}", if n < limit { "old" } else { "new" });
                keep(&store, service, n, &receipt(&n.to_string(), &said("receipt", receipts))).await;
                keep(&store, service, n, &text(&format!("t{n}"), n % 350, &said("message", messages))).await;
                let quarantined = said("quarantine", receipts.min(messages));
                keep(&store, service, n, &format!("nonsense of {quarantined}")).await;
            }
            if started_again {
                // Then the index stands in the file and not in memory.
                assert_eq!(store.close(), Checkpoint::Whole);
                drop(store);
                store = Store::serve(folder.path(), super::NOW).unwrap();
            }
            let limits = Limits { receipts, messages };
            let expected = receipts.max(0) + messages + receipts.min(messages).max(0);
            assert_eq!(remove(&store, limits).await, usize::try_from(expected).unwrap());
            assert_eq!(count(&store, "newreceipt").await, 400 - receipts.max(0));
            assert_eq!(count(&store, "oldreceipt").await, 0);
            for old in [b"oldreceipt".as_slice(), b"oldmessage", b"oldquarantine"] {
                assert!(!holds(folder.path(), old), "{}", String::from_utf8_lossy(old));
            }
            assert_eq!(store.close(), Checkpoint::Whole);
        });
        for (new, is_there) in [("newreceipt", true), ("newmessage", true), ("newquarantine", true), ("oldm", false)] {
            assert_eq!(holds(folder.path(), new.as_bytes()), is_there, "{new}");
        }
        let report = check(folder.path(), &Progress::default()).unwrap();
        let left = [400 - receipts.max(0), 400 - messages].map(i64::unsigned_abs);
        assert_eq!((report.not_found, [report.kinds[0].1, report.kinds[1].1]), (0, left));
        let connection = Connection::open(folder.path().join("counterfoil.db")).unwrap();
        let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let of_texts = "SELECT count(DISTINCT person) FROM callbacks WHERE kind = 2";
        assert_eq!(count("SELECT count(*) FROM conversations"), count(of_texts));
        assert_eq!(count("SELECT sum(texts) FROM conversation_services"), 400 - messages);
        assert_eq!(count("SELECT count(*) FROM removed_arrivals"), 0);
    }
}

#[test]
fn what_a_wrong_clock_dated_years_ahead_stops_no_removal_after_it() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        let ahead = 1_000_000;
        for n in 0..200_i64 {
            let came = if (50..60).contains(&n) { ahead + n } else { n };
            keep(&store, service, came, &receipt(&n.to_string(), &format!("person{n}"))).await;
            keep(&store, service, came, &text(&format!("t{n}"), 7, &format!("person{n}"))).await;
        }
        assert_eq!(remove(&store, Limits::both(150)).await, 280);
        assert_eq!(count(&store, "person").await, 60, "the ten and the newest fifty");
        // Of one conversation the latest goes before those that a wrong clock dated.
        assert_eq!(remove(&store, Limits::both(200)).await, 100);
        let inbox = store.inbox(&Services::All, Narrowed::default(), None).await.unwrap();
        assert_eq!(inbox.rows.iter().map(|row| row.texts).collect::<Vec<_>>(), [10]);
        assert_eq!(remove(&store, Limits::both(2 * ahead)).await, 20, "and they go when their own time has come");
        assert!(store.inbox(&Services::All, Narrowed::default(), None).await.unwrap().rows.is_empty());
    });
}

#[test]
fn a_stop_between_any_two_steps_of_a_removal_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (mut store, service) = store_with_service(folder.path()).await;
        for n in 0..9000_i64 {
            let body =
                if n % 3 == 0 { text(&format!("t{n}"), n % 90, "word") } else { receipt(&n.to_string(), "REF 1") };
            keep(&store, service, n, &body).await;
        }
        let limits = Limits { receipts: 4000, messages: 8950 };
        let (mut removed, mut steps) = (0, 0);
        while let Removal::Removed(some) = store.remove(limits).await.unwrap() {
            removed += some;
            steps += 1;
            // A run that is written anew begins again after a stop, so now and then it is left in peace.
            if steps % 7 == 0 && steps % 50 < 25 {
                assert_eq!(store.close(), Checkpoint::Whole);
                drop(store);
                store = Store::serve(folder.path(), super::NOW).unwrap();
            }
        }
        assert_eq!(removed, 2666 + 2984);
        assert_eq!(store.close(), Checkpoint::Whole);
        let report = check(folder.path(), &Progress::default()).unwrap();
        assert_eq!((report.not_found, report.kinds.iter().map(|(_, count)| count).sum::<u64>()), (0, 3350));
    });
}

#[test]
fn rows_that_are_gone_are_not_counted_while_the_index_still_leads_to_them() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        for n in 0..120 {
            keep(&store, service, n, &receipt(&n.to_string(), "REF 1")).await;
        }
        while store.remove_rows(Limits::both(40)).await.unwrap() != Removal::Done {}
        let find = Find { sources: vec![Source::Reference("ref1".into())], only: Only::default(), from: None };
        let found = store.find(&Services::All, find.clone()).await.unwrap();
        assert_eq!((found.rows.len(), found.count), (50, 80));
        while store.forget_removed().await.unwrap() != Removal::Done {}
        assert_eq!(store.find(&Services::All, find).await.unwrap().count, 80);
    });
}

#[test]
fn where_somebody_reads_in_the_log_a_removal_ends_without_waiting_and_the_log_is_emptied_later() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        for n in 0..20 {
            keep(&store, service, n, &receipt(&format!("n{n}"), "oldperson")).await;
        }
        // As a backup does, or what copies the log elsewhere.
        let other = Connection::open(folder.path().join("counterfoil.db")).unwrap();
        let reading = other.unchecked_transaction().unwrap();
        let _seen: i64 = reading.query_row("SELECT count(*) FROM callbacks", [], |row| row.get(0)).unwrap();
        let last = loop {
            match store.remove(Limits::both(super::NOW)).await.unwrap() {
                Removal::Removed(_) => (),
                last => break last,
            }
        };
        assert_eq!(last, Removal::InLog);
        assert_eq!(store.empty_log().await.unwrap(), Checkpoint::Part);
        let beside = Store::beside(folder.path(), super::NOW).unwrap();
        assert_eq!(beside.close(), Checkpoint::Part, "a command beside it does not wait either");
        keep(&store, service, 21, &receipt("new", "newperson")).await;
        assert!(holds(folder.path(), b"oldperson"), "else this proves nothing");
        drop(reading);
        assert_eq!(store.empty_log().await.unwrap(), Checkpoint::Whole);
        assert!(!holds(folder.path(), b"oldperson"));
        assert!(store.receipt(&Services::All, "new").await.unwrap().is_some());
    });
}
