//! Flags in the inbox: what may tell of danger stands first, what is flagged is found, and what is gone or read flags nothing.

use rusqlite::Connection;

use super::removal::{keep, text};
use super::{NOW, runtime, store_with_service};
use crate::clock::DAY;
use crate::flagging::{Flag, Hit};
use crate::store::*;

async fn follow(store: &Store) {
    for _ in 0..2 {
        while store.follow().await.unwrap() {}
    }
}

async fn rows(store: &Store, sees: &Services, narrowed: Narrowed) -> Vec<InboxRow> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = store.inbox(sees, narrowed, before).await.unwrap();
        all.extend(page.rows);
        before = page.next;
        if before.is_none() {
            return all;
        }
    }
}

fn flagged(row: &InboxRow) -> Vec<(Flag, &str)> {
    row.flags.iter().map(|flag| (flag.hit.flag, flag.hit.said.as_str())).collect()
}

#[test]
fn unread_danger_stands_first_on_however_many_pages_and_each_sender_once() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        // Every third from senders of before; the dangerous ones are the oldest.
        for n in 0..130_i64 {
            let said = if n < 60 { "suicide" } else { "hello" };
            keep(&store, service, NOW + n, &text(&format!("t{n}"), n, said)).await;
        }
        follow(&store).await;
        let by =
            store.add_person("ann@example.gov.uk".into(), Role::Caseworker, Services::All, None, By::itself(), NOW);
        let by = By { person: Some(by.await.unwrap()), name: "ann@example.gov.uk".into(), source: String::new() };
        let all = rows(&store, &Services::All, Narrowed::default()).await;
        for row in all.iter().filter(|row| row.latest.arrival % 10 == 0) {
            let looker = Looker { account: by.person, opened_since: NOW, seen: None };
            let page = store.conversation(&Services::All, &row.opaque, None, looker).await.unwrap().unwrap();
            let versions = Versions::of(&page.handling);
            store.handle(&Services::All, &row.opaque, versions, Change::Read, by.clone(), NOW).await.unwrap();
        }
        let place = |row: &InboxRow| {
            let (is_danger, is_read) = (!row.flags.is_empty(), row.latest.arrival % 10 == 0);
            (if is_read { 3 } else { 2 - i64::from(is_danger) }, -row.latest.arrival)
        };
        let places =
            async |narrowed| rows(&store, &Services::All, narrowed).await.iter().map(place).collect::<Vec<_>>();
        let found = places(Narrowed::default()).await;
        assert!(found.len() == 130 && found.is_sorted(), "{found:?}");
        assert_eq!([1, 2, 3].map(|part| found.iter().filter(|(found, _)| *found == part).count()), [54, 63, 13]);
        let unread = places(Narrowed { unread: true, ..Narrowed::default() }).await;
        assert_eq!(unread, found.iter().copied().filter(|(part, _)| *part < 3).collect::<Vec<_>>());
        let newest = rows(&store, &Services::All, Narrowed { newest_first: true, ..Narrowed::default() }).await;
        assert!(newest.len() == 130 && newest.is_sorted_by_key(|row| -row.latest.arrival));
        let flagged = places(Narrowed { flagged: Some(Flagged::Anyhow), ..Narrowed::default() }).await;
        assert_eq!(flagged, found.iter().copied().filter(|(_, arrival)| -*arrival <= 60).collect::<Vec<_>>());
    });
}

#[test]
fn what_is_flagged_is_found_by_its_flag_with_the_words_that_say_why_and_only_where_it_may_be_seen() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, one) = store_with_service(folder.path()).await;
        store.add_token("Another service".into(), None, [2; 32], By::itself(), NOW).await.unwrap();
        let two = store.services().await.unwrap().iter().map(|service| service.id).find(|id| *id != one).unwrap();
        keep(&store, one, NOW, &text("t1", 1, "wrong number")).await;
        keep(&store, one, NOW, &text("t2", 1, "hello")).await;
        keep(&store, two, NOW, &text("t3", 1, "suicide")).await;
        keep(&store, two, NOW, &text("t4", 2, "hello")).await;
        follow(&store).await;
        let all = rows(&store, &Services::All, Narrowed::default()).await;
        assert_eq!(flagged(&all[0]), [(Flag::Danger, "suicide"), (Flag::WrongPerson, "wrong number")]);
        assert_eq!((all.len(), flagged(&all[1])), (2, vec![]));
        let narrowed = |flag| Narrowed { flagged: Some(Flagged::As(flag)), ..Narrowed::default() };
        let only = |service| Services::Only(vec![service]);
        for (sees, flag, found) in [
            (Services::All, Flag::Danger, 1),
            (Services::All, Flag::Stop, 0),
            (only(one), Flag::Danger, 0),
            (only(one), Flag::WrongPerson, 1),
            (only(two), Flag::WrongPerson, 0),
        ] {
            assert_eq!(rows(&store, &sees, narrowed(flag)).await.len(), found, "{sees:?} {flag:?}");
        }
        let seen = rows(&store, &only(one), Narrowed::default()).await;
        assert_eq!(flagged(&seen[0]), [(Flag::WrongPerson, "wrong number")], "nothing is told of another service");
        let page = store.conversation(&only(one), &seen[0].opaque, None, Looker::default()).await.unwrap().unwrap();
        let hit = Hit { flag: Flag::WrongPerson, said: "wrong number".into() };
        assert_eq!(page.flags, [(page.items[0].arrival, hit)]);
    });
}

#[test]
fn a_flag_goes_with_its_text_and_the_one_before_stands_again() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        keep(&store, service, NOW, &text("t1", 1, "wrong number")).await;
        keep(&store, service, NOW + 10, &text("t2", 1, "stop texting me, wrong person")).await;
        keep(&store, service, NOW + 20, &text("t3", 1, "hello")).await;
        follow(&store).await;
        let said = async || {
            let all = rows(&store, &Services::All, Narrowed::default()).await;
            all[0].flags.iter().map(|flag| (flag.hit.flag, flag.arrival)).collect::<Vec<_>>()
        };
        let both = said().await;
        assert_eq!(both.iter().map(|(flag, _)| *flag).collect::<Vec<_>>(), [Flag::Stop, Flag::WrongPerson]);
        while store.remove_before(NOW + 5).await.unwrap() != Removal::Done {}
        assert_eq!(said().await, both, "the newest of each is left");
        while store.remove_before(NOW + 15).await.unwrap() != Removal::Done {}
        assert_eq!(said().await, []);
        let flagged = Narrowed { flagged: Some(Flagged::Anyhow), ..Narrowed::default() };
        assert!(rows(&store, &Services::All, flagged).await.is_empty());
    });
}

#[test]
fn texts_that_are_held_against_the_list_again_open_no_contact_that_was_dealt_with() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        keep(&store, service, NOW, &text("t1", 1, "a marrow")).await;
        keep(&store, service, NOW, &text("t2", 1, "stop texting me")).await;
        follow(&store).await;
        let asked = |dealt| ContactsAsked { dealt, ..ContactsAsked::of(Concern::AskedToStop) };
        let open = store.contacts(&Services::All, asked(false)).await.unwrap().rows;
        assert_eq!(open.iter().map(|row| row.times).collect::<Vec<_>>(), [1], "each is followed once");
        let seen = (open[0].id, open[0].latest.arrival);
        store.mark_contact(&Services::All, seen, true, By::itself(), NOW).await.unwrap();
        let file = Connection::open(folder.path().join("counterfoil.db")).unwrap();
        file.execute_batch(
            "INSERT INTO settings VALUES ('flags', '[stop]' || char(10) || 'marrow' || char(10) || 'texting me', 1, 'x');
             UPDATE following SET next_text = 1",
        )
        .unwrap();
        follow(&store).await;
        let all = rows(&store, &Services::All, Narrowed::default()).await;
        assert_eq!(flagged(&all[0]), [(Flag::Stop, "texting me")], "the words are those of the new list");
        let texts: i64 = file.query_row("SELECT count(*) FROM flags", [], |row| row.get(0)).unwrap();
        assert_eq!(texts, 2, "the older one is flagged too");
        assert!(store.contacts(&Services::All, asked(false)).await.unwrap().rows.is_empty());
        assert_eq!(store.contacts(&Services::All, asked(true)).await.unwrap().rows[0].times, 1);
        keep(&store, service, NOW + 1, &text("t3", 1, "stop texting me")).await;
        follow(&store).await;
        assert_eq!(store.contacts(&Services::All, asked(false)).await.unwrap().rows.len(), 1, "a new text does");
    });
}

async fn set(store: &Store, wanted: &[(Setting, &str)], seen: Option<i64>, now: i64) -> Saved {
    let wanted = wanted.iter().map(|(setting, value)| (*setting, (*value).to_owned())).collect();
    store.change_settings(wanted, seen, By::command("test"), now).await.unwrap()
}

#[test]
fn a_changed_list_holds_for_the_texts_of_the_last_90_days_and_not_for_older_ones() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        for (n, days) in [(1, 200), (2, 91), (3, 89), (4, 1)] {
            keep(&store, service, NOW - days * DAY, &text(&format!("t{n}"), n, "a marrow")).await;
        }
        follow(&store).await;
        assert_eq!(set(&store, &[(Setting::Flags, "[danger]\nmarrow\n")], None, NOW).await, Saved::Done);
        follow(&store).await;
        let found =
            rows(&store, &Services::All, Narrowed { flagged: Some(Flagged::Anyhow), ..Narrowed::default() }).await;
        let ids: Vec<&str> = found.iter().map(|row| row.latest.callback.notify_id()).collect();
        assert_eq!(ids, ["t4", "t3"]);
        let [flags] = store.settings([Setting::Flags]).await.unwrap();
        assert_eq!(set(&store, &[(Setting::Flags, "")], flags.map(|set| set.changed_at), NOW).await, Saved::Done);
        keep(&store, service, NOW, &text("t5", 5, "suicide")).await;
        follow(&store).await;
        let found =
            rows(&store, &Services::All, Narrowed { flagged: Some(Flagged::Anyhow), ..Narrowed::default() }).await;
        let ids: Vec<&str> = found.iter().map(|row| row.latest.callback.notify_id()).collect();
        assert_eq!(ids, ["t5"], "the shipped list holds again, and what is no longer on the list flags nothing");
    });
}

#[test]
fn what_a_changed_list_flags_no_more_is_no_contact_to_check_either_but_where_somebody_dealt_with_it() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        for (n, from, said) in
            [(1, 1, "stop texting me"), (2, 1, "a marrow"), (3, 2, "stop texting me"), (4, 3, "stop texting me")]
        {
            keep(&store, service, NOW + n, &text(&format!("t{n}"), from, said)).await;
        }
        follow(&store).await;
        let contacts = async |dealt| {
            let asked = ContactsAsked { dealt, ..ContactsAsked::of(Concern::AskedToStop) };
            store.contacts(&Services::All, asked).await.unwrap().rows
        };
        let listed = async |dealt| {
            let said = |row: &Contact| (row.latest.callback.notify_id().to_owned(), row.times, row.since - NOW);
            contacts(dealt).await.iter().map(said).collect::<Vec<_>>()
        };
        let last = &contacts(false).await[0];
        let seen = (last.id, last.latest.arrival);
        store.mark_contact(&Services::All, seen, true, By::itself(), NOW).await.unwrap();
        let dealt = [("t4".into(), 1, 4)];
        for (list, open) in [
            ("[stop]\nmarrow\ntexting me", vec![("t3".to_owned(), 1, 3), ("t2".into(), 2, 1)]),
            ("[stop]\nmarrow", vec![("t2".into(), 1, 2)]),
            ("[danger]\nmarrow", vec![]),
            ("", vec![("t3".into(), 1, 3), ("t1".into(), 1, 1)]),
        ] {
            let [now] = store.settings([Setting::Flags]).await.unwrap();
            let saved = set(&store, &[(Setting::Flags, list)], now.map(|set| set.changed_at), NOW).await;
            assert_eq!(saved, Saved::Done);
            follow(&store).await;
            assert_eq!((listed(false).await, listed(true).await.as_slice()), (open, dealt.as_slice()), "{list}");
        }
        let flagged = Narrowed { flagged: Some(Flagged::As(Flag::Danger)), ..Narrowed::default() };
        assert!(rows(&store, &Services::All, flagged).await.is_empty(), "nor is it flagged");
    });
}

#[test]
fn of_two_who_change_a_setting_from_the_same_page_the_second_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, _) = store_with_service(folder.path()).await;
        let both = |notice| [(Setting::Notice, notice), (Setting::Hours, "always")];
        assert_eq!(set(&store, &both("one"), None, NOW).await, Saved::Done);
        assert_eq!(set(&store, &both("two"), None, NOW).await, Saved::Outdated);
        let [notice, hours] = store.settings([Setting::Notice, Setting::Hours]).await.unwrap();
        let (notice, hours) = (notice.unwrap(), hours.unwrap());
        assert_eq!((notice.value.as_str(), notice.changed_by.as_str()), ("one", "command line (test)"));
        assert_eq!(set(&store, &both("three"), Some(notice.changed_at), NOW - 5).await, Saved::Done);
        let [changed, same] = store.settings([Setting::Notice, Setting::Hours]).await.unwrap();
        assert_eq!(same, Some(hours), "what is the same is no change");
        assert!(changed.unwrap().changed_at > notice.changed_at, "whatever the clock says");
        assert_eq!(set(&store, &both("four"), Some(notice.changed_at), NOW).await, Saved::Outdated);
        let rows = store.recorded(Looked::default(), 10).await.unwrap().rows;
        let details = rows.iter().filter(|row| row.did == "changed_settings").filter_map(|row| row.detail.as_deref());
        assert_eq!(details.collect::<Vec<_>>(), ["notice", "hours", "notice"]);
    });
}
