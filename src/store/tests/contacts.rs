//! Contacts to check: made behind the callbacks, gone with them.

use super::removal::keep;
use super::{NOW, runtime, store_with_service};
use crate::clock::DAY;
use crate::store::*;

fn receipt(n: u32, to: &str, status: &str) -> String {
    format!(
        r#"{{"id": "m{n}", "reference": "REF{n}", "to": "{to}", "status": "{status}", "notification_type": "sms"}}"#
    )
}

fn text(n: u32, said: &str) -> String {
    format!(r#"{{"id": "740e5834-3a29-46b4-9a6f-{n:012x}", "source_number": "447700900123", "message": "{said}"}}"#)
}

async fn follow(store: &Store) {
    while store.follow().await.unwrap() {}
}

/// Whose, how often and by which message last.
async fn listed(store: &Store, concern: Concern) -> Vec<(String, i64, String)> {
    let asked = ContactsAsked::of(concern);
    let page = store.contacts(&Services::All, asked).await.unwrap();
    let said = |row: &Contact| {
        let person = row.latest.callback.person().unwrap_or_default().to_owned();
        (person, row.times, row.latest.callback.notify_id().to_owned())
    };
    page.rows.iter().map(said).collect()
}

const AMY: &str = "07700 900123";

#[test]
fn a_number_that_fails_for_good_is_listed_until_a_message_comes_through() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        for (n, to, status) in
            [(1, AMY, "permanent-failure"), (2, "+447700900123", "permanent-failure"), (3, "07700900124", "delivered")]
        {
            keep(&store, service, NOW + i64::from(n), &receipt(n, to, status)).await;
        }
        follow(&store).await;
        let amy = [("+447700900123".to_owned(), 2, "m2".to_owned())];
        assert_eq!(listed(&store, Concern::FailedForGood).await, amy);
        follow(&store).await;
        assert_eq!(listed(&store, Concern::FailedForGood).await, amy, "nothing is counted twice");
        keep(&store, service, NOW + 4, &receipt(4, AMY, "delivered")).await;
        follow(&store).await;
        assert_eq!(listed(&store, Concern::FailedForGood).await, []);
        keep(&store, service, NOW + 5, &receipt(5, AMY, "permanent-failure")).await;
        follow(&store).await;
        assert_eq!(listed(&store, Concern::FailedForGood).await, [(AMY.into(), 1, "m5".into())], "it begins anew");
    });
}

#[test]
fn what_fails_now_and_then_stays_listed_when_it_has_failed_more_than_once() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        let listed = async |n: u32, status: &str| {
            keep(&store, service, NOW + i64::from(n), &receipt(n, AMY, status)).await;
            follow(&store).await;
            listed(&store, Concern::FailsNowAndThen).await.into_iter().map(|(_, times, _)| times).collect::<Vec<_>>()
        };
        assert_eq!(listed(1, "temporary-failure").await, [1]);
        assert_eq!(listed(2, "delivered").await, [0; 0], "once is chance");
        assert_eq!(listed(3, "temporary-failure").await, [2]);
        assert_eq!(listed(4, "delivered").await, [2]);
    });
}

#[test]
fn what_pages_do_not_show_of_a_message_changes_no_list() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        keep(&store, service, NOW, &receipt(1, AMY, "delivered")).await;
        // It is not the status that counts.
        keep(&store, service, NOW + 1, &receipt(1, AMY, "sending")).await;
        follow(&store).await;
        for concern in Concern::ALL {
            assert_eq!(listed(&store, concern).await, []);
        }
    });
}

#[test]
fn spam_letters_and_what_people_write_have_lists_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        let letter = |id: &str| {
            format!(
                r#"{{"notification_id": "{id}", "reference": "L1", "date_sent": "2026-01-01T00:00:00.000000Z", "sent_by": null, "template_name": null, "template_id": "None", "template_version": null, "spreadsheet_file_name": null, "spreadsheet_row_number": null, "upload_letter_file_name": null}}"#
            )
        };
        let complaint = r#"{"notification_id": "c1", "complaint_id": "x", "reference": null, "to": "amy@example.com", "complaint_date": null}"#;
        let returned = r#"{"id": "l1", "reference": "L1", "to": null, "status": "returned-letter", "notification_type": "letter"}"#;
        for body in [letter("l1"), returned.to_owned(), complaint.to_owned(), text(1, "STOP"), text(2, "wrong number")] {
            keep(&store, service, NOW, &body).await;
        }
        follow(&store).await;
        let times = async |concern| listed(&store, concern).await.into_iter().map(|(_, n, _)| n).collect::<Vec<_>>();
        assert_eq!(times(Concern::LetterReturned).await, [1], "two callbacks, one letter");
        assert_eq!(times(Concern::MarkedAsSpam).await, [1]);
        assert_eq!(times(Concern::AskedToStop).await, [1]);
        assert_eq!(times(Concern::WrongPerson).await, [1]);
        let counts = store.count_contacts(&Services::All).await.unwrap();
        assert_eq!(counts.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [0, 0, 1, 1, 1, 1]);
        let nobody = Services::Only(vec![ServiceId(999)]);
        assert!(store.count_contacts(&nobody).await.unwrap().iter().all(|(_, count)| *count == 0));
        let asked = ContactsAsked::of(Concern::AskedToStop);
        assert!(store.contacts(&nobody, asked).await.unwrap().rows.is_empty());
        let row = &store.contacts(&Services::All, asked).await.unwrap().rows[0];
        let marked = store.mark_contact(&nobody, (row.id, row.latest.arrival), true, By::itself(), NOW).await.unwrap();
        assert_eq!(marked, Marked::Changed);
    });
}

#[test]
fn what_was_dealt_with_is_listed_apart_until_it_fails_again_and_no_mark_goes_over_what_came_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        keep(&store, service, NOW, &receipt(1, AMY, "permanent-failure")).await;
        follow(&store).await;
        let asked = |dealt| ContactsAsked { dealt, ..ContactsAsked::of(Concern::FailedForGood) };
        let rows = async |dealt| store.contacts(&Services::All, asked(dealt)).await.unwrap().rows;
        let mark = async |seen: (i64, i64), dealt| {
            store.mark_contact(&Services::All, seen, dealt, By::itself(), NOW + 9).await.unwrap()
        };
        let seen = rows(false).await.iter().map(|row| (row.id, row.latest.arrival)).next().unwrap();
        assert_eq!(mark(seen, true).await, Marked::Done);
        assert_eq!(mark(seen, true).await, Marked::Changed, "a colleague was quicker");
        assert!(rows(false).await.is_empty());
        assert_eq!(rows(true).await[0].dealt, Some((NOW + 9, "Counterfoil".into())));
        assert_eq!(mark(seen, false).await, Marked::Done);
        assert_eq!(rows(false).await.len(), 1);
        assert_eq!(mark(seen, true).await, Marked::Done);
        keep(&store, service, NOW + 10, &receipt(2, AMY, "permanent-failure")).await;
        follow(&store).await;
        assert_eq!((rows(true).await.len(), rows(false).await[0].times), (0, 2));
        assert_eq!(mark(seen, true).await, Marked::Changed, "made from a page of before");
        let did: Vec<String> = store
            .recorded(Looked::default(), 10)
            .await
            .unwrap()
            .rows
            .into_iter()
            .filter(|row| row.object.as_deref().is_some_and(|object| object.starts_with("contact")))
            .map(|row| row.did)
            .collect();
        assert_eq!(did, ["dealt_with_contact", "reopened_contact", "dealt_with_contact"]);
    });
}

#[test]
fn a_file_of_contacts_misses_nobody_who_fails_again_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        for n in 0..3 {
            keep(&store, service, NOW, &receipt(n, &format!("0770090012{n}"), "permanent-failure")).await;
        }
        follow(&store).await;
        let asked = ContactsAsked::of(Concern::FailedForGood);
        let mut numbers = store.contact_numbers(&Services::All, asked).await.unwrap();
        let left = numbers.split_off(1);
        let mut rows = store.contacts_of(&Services::All, asked, numbers).await.unwrap();
        keep(&store, service, NOW + 1, &receipt(9, "07700900120", "permanent-failure")).await;
        follow(&store).await;
        let nobody = Services::Only(vec![ServiceId(999)]);
        assert!(store.contacts_of(&nobody, asked, left.clone()).await.unwrap().is_empty());
        rows.extend(store.contacts_of(&Services::All, asked, left).await.unwrap());
        let said: Vec<_> = rows.iter().map(|row| (row.latest.callback.notify_id(), row.times)).collect();
        assert_eq!(said, [("m2", 1), ("m1", 1), ("m9", 2)]);
    });
}

#[test]
fn a_list_of_some_days_holds_those_whose_latest_callback_came_then() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        for (n, day) in [(1, 1), (2, 2), (3, 3)] {
            let body = receipt(n, &format!("0770090012{n}"), "permanent-failure");
            keep(&store, service, NOW + day * DAY, &body).await;
        }
        follow(&store).await;
        let of = async |since: Option<i64>, until: Option<i64>| {
            let asked = ContactsAsked { since, until, ..ContactsAsked::of(Concern::FailedForGood) };
            let rows = store.contacts(&Services::All, asked).await.unwrap().rows;
            rows.iter().map(|row| (row.latest.arrived_at - NOW) / DAY).collect::<Vec<_>>()
        };
        assert_eq!(of(None, None).await, [3, 2, 1]);
        assert_eq!(of(Some(NOW + 2 * DAY), None).await, [3, 2]);
        assert_eq!(of(None, Some(NOW + 2 * DAY)).await, [1]);
        assert_eq!(of(Some(NOW + DAY), Some(NOW + 3 * DAY)).await, [2, 1]);
    });
}

#[test]
fn contacts_and_flags_go_with_the_rows_that_they_are_made_of() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        keep(&store, service, NOW, &receipt(1, AMY, "permanent-failure")).await;
        keep(&store, service, NOW, &text(1, "stop canaryword texts")).await;
        follow(&store).await;
        let held = || {
            let connection = rusqlite::Connection::open(folder.path().join("counterfoil.db")).unwrap();
            let count = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            (count("SELECT count(*) FROM contacts"), count("SELECT count(*) FROM flags"))
        };
        assert_eq!(held(), (2, 1));
        while store.remove_before(NOW + DAY).await.unwrap() != Removal::Done {}
        assert_eq!(held(), (0, 0));
    });
}

#[test]
fn following_goes_on_after_a_stop_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        keep(&store, service, NOW, &receipt(1, AMY, "permanent-failure")).await;
        follow(&store).await;
        keep(&store, service, NOW, &receipt(2, AMY, "permanent-failure")).await;
        let _whole = store.close();
        drop(store);
        let store = Store::serve(folder.path(), NOW).unwrap();
        follow(&store).await;
        assert_eq!(listed(&store, Concern::FailedForGood).await, [(AMY.into(), 2, "m2".into())]);
    });
}
