//! The store's facts, on real files.

mod contacts;
mod damage;
mod find;
mod flags;
mod handling;
mod removal;
mod requeue;
mod sent;
mod subjects;

use std::path::Path;

use rusqlite::Connection;

use super::open::{MIGRATIONS, migrate};
use super::*;
use crate::notify::Callback;
use crate::notify::filter::Filter;

const NOW: i64 = 1_795_000_000_000_000;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn receipt(id: &str, status: &str, completed: &str) -> Callback {
    let body = format!(
        r#"{{"id": "{id}", "reference": "REF 1", "to": "07700 900123", "status": "{status}", "completed_at": "{completed}"}}"#
    );
    Callback::read(body.as_bytes()).unwrap()
}

async fn keep(store: &Store, callback: Callback, service: ServiceId) -> Stored {
    let envelope =
        Envelope { service, token: None, origin: Origin::CalledBack, arrived_at: NOW, path: "/callbacks".into() };
    store.keep(Arrival::callback(envelope, callback)).await.unwrap()
}

async fn store_with_service(folder: &Path) -> (Store, ServiceId) {
    let store = Store::serve(folder, NOW).unwrap();
    store.add_token("A service".into(), None, [1; 32], By::itself(), NOW).await.unwrap();
    let service = store.tokens().await.unwrap().first().unwrap().service;
    (store, service)
}

#[test]
fn the_same_bytes_again_are_one_row_and_another_status_is_another_event() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        let first = keep(&store, receipt("a", "delivered", "2026-01-01T00:00:00.000000Z"), service).await;
        let again = keep(&store, receipt("a", "delivered", "2026-01-01T00:00:00.000000Z"), service).await;
        let Stored::New(first) = first else { panic!("{first:?}") };
        assert_eq!(again, Stored::Again(first));
        let other = keep(&store, receipt("a", "permanent-failure", "2025-12-31T00:00:00.000000Z"), service).await;
        let Stored::New(other) = other else { panic!("{other:?}") };
        let page = store.receipt(&Services::All, "a").await.unwrap().unwrap();
        let shown: Vec<_> = page.events.iter().map(|kept| (kept.arrival, kept.times, kept.shown)).collect();
        assert_eq!(shown, [(first, 2, true), (other, 1, false)]);
    });
}

#[test]
fn a_final_status_steps_before_one_that_is_not() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        keep(&store, receipt("a", "sending", "2026-01-02T00:00:00.000000Z"), service).await;
        keep(&store, receipt("a", "delivered", "2026-01-01T00:00:00.000000Z"), service).await;
        let find = Find { sources: vec![Source::Newest], only: Only::default(), from: None };
        let found = store.find(&Services::All, find).await.unwrap();
        assert_eq!((found.rows.len(), found.count), (1, 1));
        let find = Find {
            sources: vec![Source::Newest],
            only: Only { status: Some(Filter::Delivered), ..Only::default() },
            from: None,
        };
        assert_eq!(store.find(&Services::All, find).await.unwrap().rows.len(), 1);
    });
}

#[test]
fn pages_walk_forwards_and_back_over_exact_and_longer_references() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        for n in 0..60 {
            for reference in ["AB-1", "AB-12"] {
                let body = format!(r#"{{"id": "{reference}/{n}", "reference": "{reference}", "status": "delivered"}}"#);
                keep(&store, Callback::read(body.as_bytes()).unwrap(), service).await;
            }
        }
        let sources = vec![Source::Reference("ab1".into()), Source::ReferenceBeginsWith("ab1".into())];
        let ask = |from| store.find(&Services::All, Find { sources: sources.clone(), only: Only::default(), from });
        let first = ask(None).await.unwrap();
        let second = ask(first.next.map(Cursor::After)).await.unwrap();
        let third = ask(second.next.map(Cursor::After)).await.unwrap();
        assert_eq!((first.rows.len(), second.rows.len(), third.rows.len()), (50, 50, 20));
        assert_eq!((first.count, first.previous, third.next), (120, None, None));
        let back = ask(third.previous.map(Cursor::Before)).await.unwrap();
        let numbers = |found: &Found| found.rows.iter().map(|kept| kept.arrival).collect::<Vec<_>>();
        assert_eq!(numbers(&back), numbers(&second));
        let start = ask(back.previous.map(Cursor::Before)).await.unwrap();
        assert_eq!((numbers(&start), start.previous), (numbers(&first), None));
    });
}

#[test]
fn an_event_that_pages_do_not_show_is_not_counted() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        for n in 0..80 {
            for (status, second) in [("temporary-failure", 1), ("delivered", 2)] {
                keep(&store, receipt(&n.to_string(), status, &format!("2026-01-01T00:00:0{second}.000000Z")), service)
                    .await;
            }
        }
        for source in [Source::Newest, Source::Reference("ref1".into()), Source::Person("+447700900123".into())] {
            for (status, count) in [(None, 80), (Some(Filter::Delivered), 80), (Some(Filter::NotAccepting), 0)] {
                let find = Find { sources: vec![source.clone()], only: Only { status, ..Only::default() }, from: None };
                let first = store.find(&Services::All, find.clone()).await.unwrap();
                assert_eq!((first.count, first.more), (count, false), "{source:?} {status:?}");
                let Some(next) = first.next else { continue };
                let second =
                    store.find(&Services::All, Find { from: Some(Cursor::After(next)), ..find }).await.unwrap();
                assert_eq!((second.rows.len(), second.count), (30, count), "{source:?} {status:?}");
            }
        }
    });
}

#[test]
fn what_two_sources_find_stands_once_and_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        let body = br#"{"id": "a", "reference": "amy@example.com", "to": "amy@example.com", "status": "delivered"}"#;
        keep(&store, Callback::read(body).unwrap(), service).await;
        let key = "amy@example.com".to_owned();
        let sources = vec![
            Source::Person(key.clone()),
            Source::Reference(key.clone()),
            Source::ReferenceBeginsWith("amy".into()),
        ];
        let found = store.find(&Services::All, Find { sources, only: Only::default(), from: None }).await.unwrap();
        assert_eq!((found.rows.len(), found.count, found.more), (1, 1, false));
    });
}

#[test]
fn a_long_reference_is_found_whole_and_by_any_begin_of_it() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        let long = "é".repeat(500);
        for (id, reference) in [("a", long.clone()), ("b", format!("{}x", &long[..400]))] {
            let body = format!(r#"{{"id": "{id}", "reference": "{reference}", "status": "delivered"}}"#);
            keep(&store, Callback::read(body.as_bytes()).unwrap(), service).await;
        }
        for (source, expected) in [
            (Source::Reference(long.clone()), 1),
            (Source::ReferenceBeginsWith(long[..2].into()), 2),
            (Source::ReferenceBeginsWith(long[..300].into()), 2),
            (Source::ReferenceBeginsWith(long[..402].into()), 1),
            (Source::ReferenceBeginsWith(long.clone()), 0),
        ] {
            let find = Find { sources: vec![source], only: Only::default(), from: None };
            let found = store.find(&Services::All, find).await.unwrap();
            assert_eq!((found.rows.len(), found.count), (expected, i64::try_from(expected).unwrap()));
        }
    });
}

#[test]
fn a_reader_limited_to_another_service_sees_nothing() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        keep(&store, receipt("a", "delivered", "x"), service).await;
        let text = br#"{"id": "t", "source_number": "447700900123", "destination_number": "1", "message": "hi", "date_received": "x"}"#;
        keep(&store, Callback::read(text).unwrap(), service).await;
        let row = store.inbox(&Services::All, Narrowed::default(), None).await.unwrap().rows.pop().unwrap();
        let others = Services::Only(vec![ServiceId(service.0 + 1)]);
        assert!(store.receipt(&others, "a").await.unwrap().is_none());
        assert!(store.inbox(&others, Narrowed::default(), None).await.unwrap().rows.is_empty());
        assert!(store.conversation(&others, &row.opaque, None, Looker::default()).await.unwrap().is_none());
        let find = Find { sources: vec![Source::Newest], only: Only::default(), from: None };
        assert_eq!(store.find(&others, find).await.unwrap().count, 0);
        let own = Services::Only(vec![service]);
        assert!(store.conversation(&own, &row.opaque, None, Looker::default()).await.unwrap().is_some());
    });
}

#[test]
fn the_newest_entries_are_made_once_after_a_start_and_not_by_each_search() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        keep(&store, receipt("a", "delivered", "x"), service).await;
        assert_eq!(store.close(), Checkpoint::Whole);
        drop(store);
        // As after a stop without warning, when the entries were in memory.
        let file = Connection::open(folder.path().join("counterfoil.db")).unwrap();
        file.execute_batch("DELETE FROM index_runs; DELETE FROM index_fences; DELETE FROM index_chunks").unwrap();
        file.close().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        store.write(|_| Ok(())).await.unwrap();
        assert_eq!(store.inner.fresh.now().len(), 1);
        assert!(store.receipt(&Services::All, "a").await.unwrap().is_some());
    });
}

#[test]
fn every_commit_is_synced_and_a_reader_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, _) = store_with_service(folder.path()).await;
        let settings = |connection: &Connection| {
            let setting = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
            let journal: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
            Ok((journal, setting("synchronous")?, setting("wal_autocheckpoint")?, setting("secure_delete")?))
        };
        assert_eq!(store.write(settings).await.unwrap(), ("wal".to_owned(), 2, 0, 1), "2 is FULL");
        let write = |connection: &Connection| connection.execute("DELETE FROM services", []);
        assert!(store.read(write).await.is_err());
    });
}

#[test]
fn every_older_version_is_upgraded_with_its_rows() {
    for older in 1..=MIGRATIONS.len() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Store::serve(folder.path(), NOW).unwrap().close(), Checkpoint::Whole);
        let file = folder.path().join("counterfoil.db");
        let id: i32 = Connection::open(&file).unwrap().query_row("PRAGMA application_id", [], |r| r.get(0)).unwrap();
        std::fs::remove_file(&file).unwrap();
        let mut old = Connection::open(&file).unwrap();
        old.pragma_update(None, "application_id", id).unwrap();
        migrate(&mut old, older).unwrap();
        old.execute_batch(
            "INSERT INTO services VALUES (1, 'Old', NULL, 1);
             INSERT INTO callbacks (arrival, kind, service, origin, arrived_at, shown, notify_id, status) VALUES (1, 1, 1, 0, 1, 1, 'old', 'delivered');
             UPDATE arrivals SET next = 2;",
        )
        .unwrap();
        old.close().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        let page = runtime().block_on(store.receipt(&Services::All, "old")).unwrap();
        assert_eq!(page.unwrap().events.first().unwrap().service_name, "Old");
    }
}

#[test]
fn each_bad_folder_is_refused_in_its_own_way() {
    let refused = |prepare: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        Store::serve(folder.path(), NOW).err().map(|error| error.exit_code())
    };
    let database = |folder: &Path| folder.join("counterfoil.db");
    assert_eq!(refused(&|_| ()), None);
    assert_eq!(refused(&|folder| std::fs::write(folder.join("letter.txt"), "x").unwrap()), Some(10));
    assert_eq!(refused(&|folder| std::fs::write(database(folder), "").unwrap()), Some(11));
    assert_eq!(refused(&|folder| std::fs::write(database(folder), "not a database at all").unwrap()), Some(13));
    assert_eq!(refused(&|folder| std::fs::write(folder.join("counterfoil.db-wal"), "x").unwrap()), Some(12));
    let changed = |sql: &'static str| {
        move |folder: &Path| {
            assert_eq!(Store::serve(folder, NOW).unwrap().close(), Checkpoint::Whole);
            Connection::open(folder.join("counterfoil.db")).unwrap().execute_batch(sql).unwrap();
        }
    };
    assert_eq!(refused(&changed("PRAGMA application_id = 7")), Some(13));
    assert_eq!(refused(&changed("PRAGMA user_version = 999")), Some(14));
    let torn = |folder: &Path| {
        assert_eq!(Store::serve(folder, NOW).unwrap().close(), Checkpoint::Whole);
        let mut bytes = std::fs::read(database(folder)).unwrap();
        bytes.iter_mut().skip(4096).for_each(|byte| *byte = 0xa5);
        std::fs::write(database(folder), bytes).unwrap();
    };
    assert_eq!(refused(&torn), Some(12));
}

#[test]
fn one_folder_serves_one_server_and_any_number_of_commands() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Store::serve(folder.path(), NOW).unwrap();
    assert_eq!(Store::serve(folder.path(), NOW).err().map(|error| error.exit_code()), Some(15));
    let beside = Store::beside(folder.path(), NOW).unwrap();
    runtime().block_on(beside.add_token("B".into(), None, [2; 32], By::itself(), NOW)).unwrap();
    assert_eq!(runtime().block_on(serving.tokens()).unwrap().len(), 1);
}

#[test]
fn a_full_queue_refuses_at_once_and_what_it_took_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let busy = tokio::runtime::Runtime::new().unwrap();
    busy.block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        let other = Connection::open(folder.path().join("counterfoil.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let keeping: Vec<_> = (0..10_000)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move {
                    let envelope = Envelope {
                        service,
                        token: None,
                        origin: Origin::CalledBack,
                        arrived_at: NOW,
                        path: "/callbacks".into(),
                    };
                    store.keep(Arrival::callback(envelope, receipt(&n.to_string(), "delivered", "x"))).await
                })
            })
            .collect();
        let mut full = 0;
        let mut kept = Vec::new();
        for (n, keeping) in keeping.into_iter().enumerate() {
            match keeping.await.unwrap() {
                Ok(_) => kept.push(n.to_string()),
                Err(StoreError::Full) => full += 1,
                Err(_) => (),
            }
            if n == 0 {
                other.execute_batch("ROLLBACK").unwrap();
            }
        }
        assert!(full > 0, "some were refused at once");
        assert!(!kept.is_empty(), "and some were kept when the store could be written again");
        for id in kept.iter().step_by(50) {
            assert!(store.receipt(&Services::All, id).await.unwrap().is_some());
        }
    });
}

#[test]
fn where_another_process_writes_for_long_whoever_writes_is_told_that_the_store_is_busy_and_nothing_was_done() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, _) = store_with_service(folder.path()).await;
        let other = Connection::open(folder.path().join("counterfoil.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let pages: Vec<_> = (0..3)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move {
                    store
                        .add_person(
                            format!("{n}@example.gov.uk"),
                            Role::Manager,
                            Services::All,
                            None,
                            By::itself(),
                            NOW,
                        )
                        .await
                })
            })
            .collect();
        for page in pages {
            assert!(matches!(page.await.unwrap(), Err(AddPersonError::Store(StoreError::Busy))));
        }
        other.execute_batch("ROLLBACK").unwrap();
        assert!(store.people().await.unwrap().is_empty());
        store
            .add_person("0@example.gov.uk".into(), Role::Manager, Services::All, None, By::itself(), NOW)
            .await
            .unwrap();
    });
}

#[test]
fn a_log_that_cannot_be_copied_grows_no_longer_than_it_may_and_all_goes_on_when_it_can() {
    const LONGEST: u64 = 1024 * 1024;
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        drop(store_with_service(folder.path()).await);
        let store = Store::open_with(folder.path(), open::Use::Serve, NOW, LONGEST).unwrap();
        let service = store.tokens().await.unwrap().first().unwrap().service;
        let callback = |n: usize| {
            let envelope =
                Envelope { service, token: None, origin: Origin::CalledBack, arrived_at: NOW, path: String::new() };
            store.keep(Arrival::callback(envelope, receipt(&n.to_string(), "delivered", "x")))
        };
        let reader = Connection::open(folder.path().join("counterfoil.db")).unwrap();
        let reading = reader.unchecked_transaction().unwrap();
        let _moment: i64 = reading.query_row("SELECT count(*) FROM callbacks", [], |row| row.get(0)).unwrap();
        let mut kept = 0;
        let refused = loop {
            match callback(kept).await {
                Ok(_) => kept += 1,
                Err(error) => break error,
            }
            assert!(kept < 10_000, "it is refused in the end");
        };
        assert!(matches!(refused, StoreError::LogTooLong), "{refused}");
        assert!(store.is_log_too_long());
        let person =
            store.add_person("a@example.gov.uk".into(), Role::Manager, Services::All, None, By::itself(), NOW).await;
        assert!(matches!(person, Err(AddPersonError::Store(StoreError::LogTooLong))));
        assert!(store.receipt(&Services::All, "0").await.unwrap().is_some(), "what is there is shown");
        let log = std::fs::metadata(store.inner.folder.log()).unwrap().len();
        // It is looked at after some dozens of transactions.
        assert!(log < 3 * LONGEST, "{log}");
        drop(reading);
        while store.is_log_too_long() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(std::fs::metadata(store.inner.folder.log()).unwrap().len(), 0);
        callback(kept).await.unwrap();
        for n in 0..=kept {
            assert!(store.receipt(&Services::All, &n.to_string()).await.unwrap().is_some(), "{n}");
        }
    });
}

#[test]
fn of_no_word_no_text_is_found_and_of_two_those_that_hold_both() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        keep(&store, receipt("a", "delivered", "x"), service).await;
        for (id, message) in [("b", "👍"), ("c", "Please call me"), ("d", "please")] {
            let body = format!(r#"{{"id": "{id}", "source_number": "447700900111", "message": "{message}"}}"#);
            keep(&store, Callback::read(body.as_bytes()).unwrap(), service).await;
        }
        for (words, expected) in
            [(vec![], vec![]), (vec!["please"], vec!["d", "c"]), (vec!["call", "please"], vec!["c"])]
        {
            let source = Source::Words(words.iter().map(|word| (*word).to_owned()).collect());
            for sees in [Services::All, Services::Only(vec![service])] {
                let find = Find { sources: vec![source.clone()], only: Only::default(), from: None };
                let found = store.find(&sees, find).await.unwrap();
                let ids: Vec<&str> = found.rows.iter().map(|kept| kept.callback.notify_id()).collect();
                assert_eq!(ids, expected, "{words:?}");
            }
        }
    });
}

#[test]
fn slow_pages_do_not_keep_callbacks_at_the_door() {
    let folder = tempfile::tempdir().unwrap();
    let busy = tokio::runtime::Runtime::new().unwrap();
    busy.block_on(async {
        let (store, _) = store_with_service(folder.path()).await;
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
        let pages: Vec<_> = (0..READERS)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(
                    async move { store.read(move |c| c.query_row(endless, [], |row| row.get::<_, i64>(0))).await },
                )
            })
            .collect();
        assert_eq!(store.tokens().await.unwrap().len(), 1);
        assert!(pages.iter().all(|page| !page.is_finished()), "the pages are still reading");
        for page in pages {
            assert!(matches!(page.await.unwrap(), Err(StoreError::TookTooLong)), "until their deadline");
        }
    });
}

#[test]
fn a_backup_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backups) = (folder.path().join("store"), folder.path().join("backups"));
    std::fs::create_dir(&backups).unwrap();
    let store = Store::serve(&data, NOW).unwrap();
    let progress = Progress::default();
    progress.stop();
    assert!(matches!(back_up(&data, &backups.join("a.db"), &[], &progress), Err(BackupError::Stopped)));
    assert_eq!(std::fs::read_dir(&backups).unwrap().count(), 0);
    assert!(back_up(&data, &backups.join("a.db"), &[], &Progress::default()).is_ok());
    assert_eq!(store.close(), Checkpoint::Whole);
}

#[test]
fn a_reader_of_everything_gives_up_where_the_log_grows_long() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    assert_eq!(Store::serve(&data, NOW).unwrap().close(), Checkpoint::Whole);
    assert!(check(&data, &Progress::default()).is_ok());
    // Without a byte in it: only its length is looked at.
    let log = std::fs::File::create(data.join("counterfoil.db-wal")).unwrap();
    log.set_len(super::damage::LONGEST_LOG + 1).unwrap();
    let backup = folder.path().join("backup.db");
    assert!(matches!(back_up(&data, &backup, &[], &Progress::default()), Err(BackupError::TooSlow)));
    assert!(!backup.exists());
    assert!(matches!(check(&data, &Progress::default()), Err(CheckError::TooSlow)));
}

#[test]
fn a_server_without_work_notices_what_another_process_adds_and_indexes_it() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (server, service) = store_with_service(folder.path()).await;
        keep(&server, receipt("own", "delivered", ""), service).await;
        let own = tokio::time::timeout(Duration::from_millis(1500), server.written_beside()).await;
        assert!(own.is_err(), "what it writes itself is no news");
        let command = Store::existing(folder.path(), NOW).unwrap();
        let known = server.inner.fresh.now().len();
        keep(&command, receipt("beside", "delivered", ""), service).await;
        tokio::time::timeout(Duration::from_mins(1), server.written_beside()).await.unwrap();
        assert_eq!(server.inner.fresh.now().len(), known + 1, "no search has to make its entries");
    });
}
