//! What is held on one person: read out whole, erased without a trace, and kept by a hold.

use std::path::Path;

use super::removal::{holds, keep, text};
use super::{NOW, runtime, store_with_service};
use crate::notify::Kind;
use crate::notify::subject::Subject;
use crate::store::*;

const AMY: &str = "07700 900123";

fn amy() -> Subject {
    Subject::of_number(AMY).unwrap()
}

fn uuid(n: u32) -> String {
    format!("740e5834-3a29-46b4-9a6f-{n:012x}")
}

fn receipt(id: &str, to: &str, said: &str, status: &str) -> String {
    format!(r#"{{"id": "{id}", "reference": "{said}", "to": "{to}", "status": "{status}"}}"#)
}

/// Everything of Amy's says "canary", and everything of Ben's says "bystander".
async fn of_two_people(store: &Store, service: ServiceId) {
    let bodies = [
        receipt(&uuid(1), AMY, "canaryref1", "sending"),
        receipt(&uuid(1), AMY, "canaryref1", "delivered"),
        receipt(&uuid(2), "+44 (0)7700 900123", "canaryref2", "delivered"),
        format!(r#"{{"id": "{}", "source_number": "447700900123", "message": "canarymessage word"}}"#, uuid(3)),
        format!(r#"{{"id": "{}", "source_number": "447700900123", "message": "canarylater word"}}"#, uuid(4)),
        // A letter and a complaint that name nobody, for a message of hers.
        format!(
            r#"{{"notification_id": "{}", "reference": null, "date_sent": "2026-01-01T00:00:00.000000Z", "sent_by": "canaryletter", "template_name": null, "template_id": "None", "template_version": null, "spreadsheet_file_name": null, "spreadsheet_row_number": null, "upload_letter_file_name": null}}"#,
            uuid(1)
        ),
        format!(
            r#"{{"notification_id": "{}", "complaint_id": "canarycomplaint", "reference": null, "to": null, "complaint_date": "2026-01-01T00:00:00.000000Z"}}"#,
            uuid(2)
        ),
        r#"["canarybody", "447700900123"#.to_owned(),
        format!(r#"{{"canarybody2": "{}""#, uuid(1)),
        receipt(&uuid(11), "ben@example.com", "bystanderref", "delivered"),
        text(&uuid(12), 124, "bystandermessage"),
        "bystanderbody 07700900124".to_owned(),
    ];
    for (n, body) in (0..).zip(bodies) {
        keep(store, service, NOW + n, &body).await;
    }
    for (opaque, term) in [("o1", "canary Amy 07700900123"), ("o2", "07700900124")] {
        store.keep_search(opaque.into(), term.into(), NOW).await.unwrap();
    }
}

fn gathered(store: &Store, subject: &Subject) -> Gathered {
    store.gather(&Services::All, subject, &Progress::default()).unwrap()
}

fn asked(reason: &str) -> Asked {
    Asked { by: By::itself(), reason: reason.into(), at: NOW }
}

async fn erase(store: &Store, subject: &Subject) -> Erasure {
    let all = gathered(store, subject);
    let done = store.erase(&Services::All, subject, all, asked("request"), &Progress::default()).await.unwrap();
    while store.forget_removed().await.unwrap() != Removal::Done {}
    done
}

fn exported(store: &Store, sees: &Services, subject: &Subject) -> Vec<String> {
    let gathered = store.gather(sees, subject, &Progress::default()).unwrap();
    let mut said = Vec::new();
    let each = |piece| {
        said.push(match piece {
            Exported::Callback(kept, ..) => String::from_utf8(kept.callback.body()).unwrap(),
            Exported::Quarantined(body, _) => String::from_utf8(body.body.unwrap()).unwrap(),
            Exported::Sent(text) => text.body.unwrap_or_default(),
            Exported::Search(search) => search.term,
            Exported::Handling(state) => state.words(),
            Exported::Note(note) => note.text.unwrap_or_default(),
        });
        true
    };
    store.export(sees, &gathered, &Progress::default(), each).unwrap();
    said
}

/// Whether a file of the folder holds it, but for the journal.
fn remnants(folder: &Path, said: &str) -> bool {
    holds(folder, said.as_bytes())
}

#[test]
fn an_export_has_everything_over_all_kinds_and_nothing_of_another_person() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        of_two_people(&store, service).await;
        let said = exported(&store, &Services::All, &amy());
        assert_eq!(said.len(), 10, "{said:#?}");
        assert!(said.iter().filter(|said| said.contains("canary")).count() == 10, "{said:#?}");
        let counts = gathered(&store, &amy()).counts;
        assert_eq!((counts.kinds, counts.quarantined, counts.searches), ([3, 2, 1, 1], 2, 1));
        let by_reference = exported(&store, &Services::All, &Subject::of_reference("Canary-Ref 2").unwrap());
        assert_eq!(by_reference.len(), 2, "the receipt and the complaint: {by_reference:#?}");
    });
}

#[test]
fn who_reads_an_export_slowly_keeps_the_log_from_nothing() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        of_two_people(&store, service).await;
        let gathered = gathered(&store, &amy());
        let beside = rusqlite::Connection::open(folder.path().join("counterfoil.db")).unwrap();
        let mut handed_out = 0;
        let each = |_| {
            handed_out += 1;
            let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
            let is_busy: i64 = beside.query_row(truncate, [], |row| row.get(0)).unwrap();
            assert_eq!(is_busy, 0);
            true
        };
        store.export(&Services::All, &gathered, &Progress::default(), each).unwrap();
        assert_eq!(handed_out, 10);
    });
}

#[test]
fn whoever_may_see_one_service_exports_and_erases_only_what_it_brought() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        store.add_token("Another service".into(), None, [2; 32], By::itself(), NOW).await.unwrap();
        let other = store.tokens().await.unwrap().iter().map(|token| token.service).find(|id| *id != service).unwrap();
        of_two_people(&store, service).await;
        keep(&store, other, NOW, &receipt(&uuid(21), AMY, "othersecret", "delivered")).await;
        keep(&store, other, NOW, "otherbody 07700900123").await;
        let sees = Services::Only(vec![other]);
        let said = exported(&store, &sees, &amy());
        assert_eq!(said.len(), 2, "{said:#?}");
        assert!(said.iter().all(|said| said.contains("other")));
        let gathered = store.gather(&sees, &amy(), &Progress::default()).unwrap();
        let done = store.erase(&sees, &amy(), gathered, asked("request"), &Progress::default()).await.unwrap();
        assert_eq!((done.callbacks, done.quarantined, done.searches), (1, 1, 0));
        assert_eq!(exported(&store, &Services::All, &amy()).len(), 10);
        let held = store.add_hold(&sees, &amy(), asked("case"), &Progress::default()).await.unwrap();
        assert_eq!(held.held, 0);
        assert!(store.holds(&Services::Only(vec![service])).await.unwrap().is_empty());
        assert_eq!(store.remove_hold(&Services::Only(vec![service]), held.id, By::itself(), NOW).await.unwrap(), None);
    });
}

#[test]
fn what_is_erased_leaves_no_trace_in_the_files_nor_in_a_later_backup_and_the_rest_stays() {
    for started_again in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let backup = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let (mut store, service) = store_with_service(folder.path()).await;
            of_two_people(&store, service).await;
            if started_again {
                assert_eq!(store.close(), Checkpoint::Whole);
                drop(store);
                store = Store::serve(folder.path(), NOW).unwrap();
            }
            assert!(remnants(folder.path(), "canary"), "else this proves nothing");
            let done = erase(&store, &amy()).await;
            assert_eq!((done.callbacks, done.quarantined, done.searches, done.held), (7, 2, 1, 0));
            back_up(folder.path(), &backup.path().join("b.db"), &[], &Progress::default()).unwrap();
            for file in [folder.path(), backup.path()] {
                for said in ["canary", "447700900123", "7700 900123", "7700900123"] {
                    assert!(!remnants(file, said), "{said} while it is open");
                }
            }
            assert_eq!(gathered(&store, &amy()).counts.all(), 0);
            let inbox = store.inbox(&Services::All, Narrowed::default(), None).await.unwrap();
            assert_eq!(inbox.rows.len(), 1, "Ben's conversation");
            assert_eq!(store.close(), Checkpoint::Whole);
        });
        assert!(!remnants(folder.path(), "canary") && remnants(folder.path(), "bystander"));
        let report = check(folder.path(), &Progress::default()).unwrap();
        assert_eq!((report.not_found, report.kinds.iter().map(|(_, count)| count).sum::<u64>()), (0, 2));
    }
}

#[test]
fn what_was_erased_comes_back_neither_by_a_retry_nor_by_another_status_and_a_new_message_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        of_two_people(&store, service).await;
        erase(&store, &amy()).await;
        for body in [
            receipt(&uuid(1), AMY, "canaryref1", "delivered"),
            receipt(&uuid(2), AMY, "canaryref2", "permanent-failure"),
            text(&uuid(3), 123, "canarymessage"),
            r#"["canarybody", "447700900123"#.to_owned(),
        ] {
            assert_eq!(keep(&store, service, NOW, &body).await, Stored::Erased, "{body}");
        }
        assert!(!remnants(folder.path(), "canary"));
        for body in [receipt(&uuid(31), AMY, "new", "delivered"), text(&uuid(32), 123, "new"), "new 07700900123".into()]
        {
            assert!(matches!(keep(&store, service, NOW, &body).await, Stored::New(_)), "{body}");
        }
        assert_eq!(gathered(&store, &amy()).counts.all(), 3);
    });
}

#[test]
fn an_older_backup_that_is_restored_with_the_journal_brings_nothing_back() {
    for place in ["folder", "beside", "named", "nowhere"] {
        let folder = tempfile::tempdir().unwrap();
        let backups = tempfile::tempdir().unwrap();
        let backup = backups.path().join("before.db");
        let copy = backups.path().join("second journal");
        runtime().block_on(async {
            let (store, service) = store_with_service(folder.path()).await;
            of_two_people(&store, service).await;
            back_up(folder.path(), &backup, &[], &Progress::default()).unwrap();
            store.also_journal_to(copy.clone());
            erase(&store, &amy()).await;
            let _whole = store.close();
        });
        let new = folder.path().join("new");
        let journal = folder.path().join("counterfoil.erased");
        let mut named = None;
        match place {
            "folder" => {
                std::fs::create_dir(&new).unwrap();
                std::fs::copy(&journal, new.join("counterfoil.erased")).map(drop).unwrap();
            }
            "beside" => std::fs::copy(&journal, backups.path().join("counterfoil.erased")).map(drop).unwrap(),
            "named" => named = Some(copy.as_path()),
            _ => (),
        }
        let restored = restore(&backup, None, named, &new, &Progress::default()).unwrap();
        assert_eq!(restored.erased_again, (place != "nowhere").then_some(9), "{place}");
        runtime().block_on(async {
            let store = Store::serve(&new, NOW).unwrap();
            while store.forget_removed().await.unwrap() != Removal::Done {}
            let counts = gathered(&store, &amy()).counts;
            if place == "nowhere" {
                assert_eq!(counts.all(), 10);
            } else {
                // The search was typed by one of us, and is no message of theirs.
                assert_eq!(counts.kinds.iter().sum::<u64>() + counts.quarantined, 0);
                assert!(!remnants(&new, "canaryref") && !remnants(&new, "canarym") && !remnants(&new, "canarybody"));
                let service = store.tokens().await.unwrap().first().unwrap().service;
                let again = keep(&store, service, NOW, &text(&uuid(3), 123, "canarymessage")).await;
                assert_eq!(again, Stored::Erased, "and a backfill or a retry brings nothing back either");
            }
            assert_eq!(store.close(), Checkpoint::Whole);
        });
        assert_eq!(new.join("counterfoil.erased").exists(), place != "nowhere");
        let report = check(&new, &Progress::default()).unwrap();
        assert_eq!(report.not_found, 0);
    }
}

#[test]
fn nothing_is_erased_where_the_journal_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        of_two_people(&store, service).await;
        store.also_journal_to(folder.path().join("no such folder/journal"));
        let gathered_first = gathered(&store, &amy());
        let refused = store.erase(&Services::All, &amy(), gathered_first, asked("x"), &Progress::default()).await;
        assert!(matches!(refused, Err(StoreError::Journal(_))), "{refused:?}");
        assert_eq!(gathered(&store, &amy()).counts.all(), 10);
    });
}

#[test]
fn a_stop_half_way_leaves_the_rest_whole_and_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        for n in 0..200 {
            keep(&store, service, NOW, &receipt(&uuid(100 + n), AMY, "canary", "delivered")).await;
        }
        let stopped = Progress::default();
        stopped.stop();
        let done = store.erase(&Services::All, &amy(), gathered(&store, &amy()), asked("x"), &stopped).await.unwrap();
        assert!(done.is_stopped && done.all() == 0);
        // Another erasure is at it too, so that what was gathered is gone in part.
        let early = gathered(&store, &amy());
        assert_eq!(erase(&store, &Subject::of_reference("canary").unwrap()).await.callbacks, 200);
        let late = store.erase(&Services::All, &amy(), early, asked("x"), &Progress::default()).await.unwrap();
        assert_eq!(late.all(), 0);
        assert_eq!(store.close(), Checkpoint::Whole);
        assert_eq!(check(folder.path(), &Progress::default()).unwrap().not_found, 0);
    });
}

#[test]
fn a_hold_is_respected_by_retention_purge_and_erase_and_what_arrives_joins_it() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        of_two_people(&store, service).await;
        let hold = store.add_hold(&Services::All, &amy(), asked("case 7"), &Progress::default()).await.unwrap();
        assert_eq!(hold.held, 9, "callbacks of all kinds, and bodies");
        let again = store.add_hold(&Services::All, &amy(), asked("case 7"), &Progress::default()).await.unwrap();
        assert_eq!(again, hold, "the same hold goes on");
        // New ones: of the person, of a message of theirs, and a body that tells of them.
        let letter = format!(
            r#"{{"notification_id": "{}", "reference": null, "date_sent": null, "sent_by": "canarynew", "template_name": null, "template_id": "None", "template_version": null, "spreadsheet_file_name": null, "spreadsheet_row_number": null, "upload_letter_file_name": null}}"#,
            uuid(2)
        );
        for body in [receipt(&uuid(41), AMY, "canarynew", "delivered"), letter, "canarynew 07700900123".into()] {
            assert!(matches!(keep(&store, service, NOW, &body).await, Stored::New(_)));
        }
        assert_eq!(store.holds(&Services::All).await.unwrap()[0].held, 12);
        let limits = Limits::both(NOW + 1000);
        let counts = store.count_before(limits, &Progress::default()).unwrap();
        assert_eq!((counts.kinds.iter().map(|(_, count)| count).sum::<u64>(), counts.held), (2, 12));
        assert_eq!(store.count_held(limits).await.unwrap(), 12);
        let mut removed = 0;
        while let Removal::Removed(some) = store.remove(limits).await.unwrap() {
            removed += some;
        }
        assert_eq!(removed, 3, "Ben's");
        assert!(!remnants(folder.path(), "bystander"));
        let done = erase(&store, &amy()).await;
        assert_eq!((done.callbacks, done.quarantined, done.held), (0, 0, 12));
        assert_eq!(store.inbox(&Services::All, Narrowed::default(), None).await.unwrap().rows.len(), 1);
        // Nothing is due but what is held.
        let retention = Retention { receipts: Keep::Days(1), messages: Keep::Days(1) };
        let due = store.due(retention, NOW + 1000 * crate::clock::DAY).await.unwrap();
        assert_eq!((due.receipts, due.messages), (Due::Nothing, Due::Nothing));
        assert_eq!(store.remove_hold(&Services::All, hold.id, By::itself(), NOW).await.unwrap(), Some(12));
        assert!(store.holds(&Services::All).await.unwrap().is_empty());
        let mut removed = 0;
        while let Removal::Removed(some) = store.remove(limits).await.unwrap() {
            removed += some;
        }
        assert_eq!(removed, 12, "let go, it is as old as it is");
        assert!(!remnants(folder.path(), "canaryn") && !remnants(folder.path(), "canaryr"));
        assert_eq!(store.close(), Checkpoint::Whole);
    });
}

#[test]
fn of_two_holds_one_keeps_what_the_other_lets_go_and_a_hold_on_a_reference_keeps_that_message_alone() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        of_two_people(&store, service).await;
        let add = async |subject: &Subject, reason: &str| {
            store.add_hold(&Services::All, subject, asked(reason), &Progress::default()).await.unwrap()
        };
        let person = add(&amy(), "one").await;
        let reference = add(&Subject::of_reference("canaryref1").unwrap(), "two").await;
        assert_eq!(reference.held, 4, "two statuses, the letter and the body with its id");
        assert_eq!(store.remove_hold(&Services::All, person.id, By::itself(), NOW).await.unwrap(), Some(9));
        let done = erase(&store, &amy()).await;
        assert_eq!((done.callbacks, done.quarantined, done.held), (4, 1, 4));
        let said = exported(&store, &Services::All, &amy());
        assert_eq!(said.len(), 4, "{said:#?}");
        assert_eq!(Kind::ALL.len(), 4);
    });
}

#[test]
fn a_redaction_takes_the_text_and_where_asked_the_recipient_and_keeps_the_receipt() {
    for (recipient, started_again) in [(false, true), (true, false), (true, true)] {
        let folder = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let (mut store, service) = store_with_service(folder.path()).await;
            of_two_people(&store, service).await;
            let other_key = format!(
                r#"{{"id": "{}", "to": "{AMY}", "status": "delivered", "provider_response": "canaryverbatim"}}"#,
                uuid(5)
            );
            keep(&store, service, NOW, &other_key).await;
            if started_again {
                assert_eq!(store.close(), Checkpoint::Whole);
                drop(store);
                store = Store::serve(folder.path(), NOW).unwrap();
            }
            let all = gathered(&store, &amy());
            let (subject, progress) = (amy(), Progress::default());
            let done = store.redact(&Services::All, &subject, all, recipient, asked("request 9"), &progress);
            let done = done.await.unwrap();
            assert_eq!((done.quarantined, done.searches, done.held), (2, u64::from(recipient), 0));
            while store.forget_removed().await.unwrap() != Removal::Done {}
            for said in ["canarymessage", "canarylater", "canaryverbatim", "canarybody"] {
                assert!(!remnants(folder.path(), said), "{said}");
            }
            for said in ["447700900123", "7700 900123"] {
                assert_eq!(remnants(folder.path(), said), !recipient, "{said}");
            }
            // The receipt is found as before, with its status and its reference.
            let page = store.receipt(&Services::All, &uuid(1)).await.unwrap().unwrap();
            assert_eq!(page.events.len(), 3);
            assert_eq!(page.events[1].callback.reference(), Some("canaryref1"));
            assert_eq!(page.redacted.unwrap().reason.as_deref(), Some("request 9"));
            let ask =
                |source| store.find(&Services::All, Find { sources: vec![source], only: Only::default(), from: None });
            let found = async |source| ask(source).await.unwrap();
            assert_eq!(found(Source::Reference("canaryref1".into())).await.rows.len(), 1);
            assert_eq!(found(Source::Person("+447700900123".into())).await.rows.is_empty(), recipient);
            let by_word = found(Source::Words(vec!["canarymessage".into()])).await;
            assert_eq!((by_word.rows.len(), by_word.count), (0, 0));
            let inbox = store.inbox(&Services::All, Narrowed::default(), None).await.unwrap();
            assert_eq!(inbox.rows.len(), if recipient { 1 } else { 2 });
            // A retry is the same row again, and another status is redacted before it is stored.
            let again =
                format!(r#"{{"id": "{}", "source_number": "447700900123", "message": "canarymessage word"}}"#, uuid(3));
            assert!(matches!(keep(&store, service, NOW, &again).await, Stored::Again(_)));
            let newer = receipt(&uuid(1), AMY, "canaryref1", "permanent-failure");
            assert!(matches!(keep(&store, service, NOW, &newer).await, Stored::New(_)));
            assert!(!remnants(folder.path(), "canarymessage"));
            assert_eq!(remnants(folder.path(), "7700 900123"), !recipient);
            // What was redacted can be erased.
            let reference = Subject::of_reference("canaryref1").unwrap();
            assert_eq!(erase(&store, &reference).await.callbacks, 4);
            assert!(!remnants(folder.path(), "canaryref1"));
            assert_eq!(store.close(), Checkpoint::Whole);
        });
        assert_eq!(check(folder.path(), &Progress::default()).unwrap().not_found, 0);
    }
}

#[test]
fn a_redaction_loses_no_receipt_of_a_message_that_stands_in_quarantine_too() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        let odd = format!(r#"{{"id": "{}", "odd": "{AMY}"}}"#, uuid(1));
        assert!(matches!(keep(&store, service, NOW, &odd).await, Stored::New(_)));
        let (all, subject, progress) = (gathered(&store, &amy()), amy(), Progress::default());
        let done = store.redact(&Services::All, &subject, all, false, asked("request"), &progress).await.unwrap();
        assert_eq!(done.quarantined, 1);
        let later = receipt(&uuid(1), AMY, "ref", "delivered");
        assert!(matches!(keep(&store, service, NOW + 1, &later).await, Stored::New(_)));
    });
}

#[test]
fn what_a_hold_in_a_backup_keeps_is_not_erased_again_and_loses_no_later_receipt() {
    for redacts in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let backup = folder.path().join("counterfoil.before");
        runtime().block_on(async {
            let (store, service) = store_with_service(folder.path()).await;
            of_two_people(&store, service).await;
            let subject = Subject::of_reference("canaryref1").unwrap();
            let hold = store.add_hold(&Services::All, &subject, asked("case"), &Progress::default()).await.unwrap();
            assert_eq!(hold.held, 4, "two statuses, the letter and the body with its id");
            back_up(folder.path(), &backup, &[], &Progress::default()).unwrap();
            store.remove_hold(&Services::All, hold.id, By::itself(), NOW).await.unwrap().unwrap();
            if redacts {
                let (all, subject, progress) = (gathered(&store, &amy()), amy(), Progress::default());
                store.redact(&Services::All, &subject, all, true, asked("x"), &progress).await.unwrap();
            } else {
                erase(&store, &amy()).await;
            }
            let _whole = store.close();
        });
        let new = folder.path().join("new");
        let journal = folder.path().join("counterfoil.erased");
        let restored = restore(&backup, None, Some(&journal), &new, &Progress::default()).unwrap();
        // A complaint that names nobody holds nothing to redact.
        assert_eq!((restored.erased_again, restored.held), (Some(if redacts { 4 } else { 5 }), 4));
        runtime().block_on(async {
            let store = Store::serve(&new, NOW).unwrap();
            assert_eq!(exported(&store, &Services::All, &Subject::of_reference("canaryref1").unwrap()).len(), 4);
            let service = store.tokens().await.unwrap().first().unwrap().service;
            let later = receipt(&uuid(1), AMY, "canaryref1", "permanent-failure");
            assert!(matches!(keep(&store, service, NOW, &later).await, Stored::New(_)));
            assert!(remnants(&new, "7700 900123"), "and it is as it came");
        });
    }
}

#[test]
fn a_held_message_goes_on_being_kept_when_another_body_that_names_it_is_erased() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        of_two_people(&store, service).await;
        let odd = format!(r#"{{"id": "{}", "odd": "07700900124"}}"#, uuid(60));
        keep(&store, service, NOW, &odd).await;
        let ben = Subject::of_number("07700900124").unwrap();
        store.add_hold(&Services::All, &ben, asked("case"), &Progress::default()).await.unwrap();
        for id in [uuid(12), uuid(60)] {
            let naming = format!(r#"{{"id": "{id}", "odd": "{AMY}"}}"#);
            assert!(matches!(keep(&store, service, NOW, &naming).await, Stored::New(_)));
        }
        assert_eq!(erase(&store, &amy()).await.quarantined, 4);
        for later in [text(&uuid(12), 124, "later"), text(&uuid(60), 124, "later")] {
            assert!(matches!(keep(&store, service, NOW, &later).await, Stored::New(_)), "{later}");
        }
    });
}

#[test]
fn the_text_of_a_message_that_was_known_from_quarantine_alone_is_redacted_when_it_comes() {
    for restored in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let backup = folder.path().join("counterfoil.before");
        runtime().block_on(async {
            let (store, service) = store_with_service(folder.path()).await;
            let odd = format!(r#"{{"id": "{}", "odd": "{AMY}"}}"#, uuid(70));
            keep(&store, service, NOW, &odd).await;
            back_up(folder.path(), &backup, &[], &Progress::default()).unwrap();
            let (all, subject, progress) = (gathered(&store, &amy()), amy(), Progress::default());
            store.redact(&Services::All, &subject, all, false, asked("request"), &progress).await.unwrap();
            let (mut at, mut store) = (folder.path().to_owned(), store);
            if restored {
                at = folder.path().join("new");
                let journal = folder.path().join("counterfoil.erased");
                restore(&backup, None, Some(&journal), &at, &Progress::default()).unwrap();
                store = Store::serve(&at, NOW).unwrap();
            }
            let later = text(&uuid(70), 123, "canarylater");
            assert!(matches!(keep(&store, service, NOW, &later).await, Stored::New(_)));
            assert!(!remnants(&at, "canarylater"), "restored: {restored}");
        });
    }
}
