//! What a team does about conversations: no change is lost, none is seen where it may not be, and it goes with the texts.

use std::path::Path;

use rusqlite::Connection;

use super::removal::{holds, keep, text};
use super::{NOW, runtime, store_with_service};
use crate::clock::MINUTE;
use crate::notify::subject::Subject;
use crate::store::*;

const AMY: i64 = 123;

/// A store with two services and two accounts that see both.
struct Team {
    store: Store,
    one: ServiceId,
    two: ServiceId,
    ann: By,
    bob: By,
}

async fn person(store: &Store, email: &str, sees: Services) -> By {
    let id = store.add_person(email.into(), Role::Caseworker, sees, None, By::itself(), NOW).await.unwrap();
    By { person: Some(id), name: email.into(), source: String::new() }
}

async fn team(folder: &Path) -> Team {
    let (store, one) = store_with_service(folder).await;
    store.add_token("Another service".into(), None, [2; 32], By::itself(), NOW).await.unwrap();
    let two = store.services().await.unwrap().iter().map(|service| service.id).find(|id| *id != one).unwrap();
    let ann = person(&store, "ann@example.gov.uk", Services::All).await;
    let bob = person(&store, "bob@example.gov.uk", Services::All).await;
    Team { store, one, two, ann, bob }
}

fn only(service: ServiceId) -> Services {
    Services::Only(vec![service])
}

impl Team {
    async fn inbox(&self, sees: &Services, narrowed: Narrowed) -> Vec<InboxRow> {
        self.store.inbox(sees, narrowed, None).await.unwrap().rows
    }

    async fn opaque(&self) -> String {
        self.inbox(&Services::All, Narrowed::default()).await[0].opaque.clone()
    }

    async fn page(&self, sees: &Services, opaque: &str) -> Conversation {
        let looker = Looker { account: self.ann.person, opened_since: NOW, seen: None };
        self.store.conversation(sees, opaque, None, looker).await.unwrap().unwrap()
    }

    async fn seen(&self, sees: &Services, opaque: &str) -> Versions {
        Versions::of(&self.page(sees, opaque).await.handling)
    }

    /// By somebody who has just looked.
    async fn change(&self, by: &By, sees: &Services, opaque: &str, change: Change) -> Option<Handled> {
        let versions = self.seen(sees, opaque).await;
        self.store.handle(sees, opaque, versions, change, by.clone(), NOW).await.unwrap()
    }
}

fn count(folder: &Path, sql: &str) -> i64 {
    let file = Connection::open(folder.join("counterfoil.db")).unwrap();
    file.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn did(folder: &Path) -> Vec<String> {
    let file = Connection::open(folder.join("counterfoil.db")).unwrap();
    let mut rows = file.prepare("SELECT did FROM audit WHERE object IS NOT NULL AND subject IS NOT NULL").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn of_two_who_take_it_at_once_one_is_told_of_the_other() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let team = team(folder.path()).await;
        keep(&team.store, team.one, NOW, &text("t1", AMY, "hello")).await;
        let (all, opaque) = (Services::All, team.opaque().await);
        let seen = team.seen(&all, &opaque).await;
        let take = |by: &By| team.store.handle(&all, &opaque, seen.clone(), Change::Take, by.clone(), NOW);
        let (ann, bob) = tokio::join!(take(&team.ann), take(&team.bob));
        assert_eq!((ann.unwrap(), bob.unwrap()), (Some(Handled::Done), Some(Handled::Outdated)));
        let looker = Looker { seen: Some(seen), ..Looker::default() };
        let page = team.store.conversation(&all, &opaque, None, looker).await.unwrap().unwrap();
        let told: Vec<_> = page.since.iter().map(|changed| (changed.did, changed.who.as_str(), changed.at)).collect();
        assert_eq!(told, [(Some(Did::TookConversation), "ann@example.gov.uk", NOW)]);
        assert_eq!(page.handling[0].taken.as_ref().unwrap().1, "ann@example.gov.uk");
        let mine = Narrowed { taken_by: team.bob.person, ..Narrowed::default() };
        assert!(team.inbox(&all, mine).await.is_empty());
        let note = Change::AddNote(team.one, "typed on an old page".into());
        let old = "1.1".parse().unwrap();
        let refused = team.store.handle(&all, &opaque, old, note, team.bob.clone(), NOW).await.unwrap();
        assert_eq!((refused, team.page(&all, &opaque).await.notes.len()), (Some(Handled::Outdated), 0));
        assert_eq!(did(folder.path()), ["took_conversation"], "what was refused is no change");
    });
}

#[test]
fn a_new_text_opens_again_what_was_dealt_with_and_nobody_deals_with_one_they_have_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let team = team(folder.path()).await;
        keep(&team.store, team.one, NOW, &text("t1", AMY, "hello")).await;
        let (all, opaque) = (Services::All, team.opaque().await);
        let open = Narrowed { open: true, ..Narrowed::default() };
        let unread = Narrowed { unread: true, ..Narrowed::default() };
        team.change(&team.ann, &all, &opaque, Change::Take).await;
        assert_eq!(team.change(&team.ann, &all, &opaque, Change::DealWith).await, Some(Handled::Done));
        assert!(team.inbox(&all, open).await.is_empty() && team.inbox(&all, unread).await.is_empty());
        // The same bytes again are no new text.
        keep(&team.store, team.one, NOW, &text("t1", AMY, "hello")).await;
        assert!(team.inbox(&all, open).await.is_empty());
        let seen = team.seen(&all, &opaque).await;
        keep(&team.store, team.one, NOW + 1, &text("t2", AMY, "one more thing")).await;
        assert_eq!((team.inbox(&all, open).await.len(), team.inbox(&all, unread).await.len()), (1, 1));
        let late = team.store.handle(&all, &opaque, seen.clone(), Change::DealWith, team.ann.clone(), NOW + 2);
        assert_eq!(late.await.unwrap(), Some(Handled::Outdated));
        let looker = Looker { seen: Some(seen), ..Looker::default() };
        let page = team.store.conversation(&all, &opaque, None, looker).await.unwrap().unwrap();
        assert_eq!(page.since.iter().map(|changed| (changed.did, changed.at)).collect::<Vec<_>>(), [(None, NOW + 1)]);
        let state = &page.handling[0];
        assert!(state.dealt_with.is_none() && state.is_unread && state.taken.is_some(), "who took it has it still");
        let new = page.items.iter().filter(|kept| kept.arrival > state.read_to).count();
        assert_eq!(new, 1, "only what came since");
    });
}

#[test]
fn a_body_that_is_read_again_opens_a_conversation_too() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let team = team(folder.path()).await;
        keep(&team.store, team.one, NOW, &text("t1", AMY, "hello")).await;
        let (all, opaque) = (Services::All, team.opaque().await);
        team.change(&team.ann, &all, &opaque, Change::DealWith).await;
        let body = text("t2", AMY, "late").into_bytes();
        let envelope = Envelope {
            service: team.one,
            token: None,
            origin: Origin::CalledBack,
            arrived_at: NOW,
            path: String::new(),
        };
        let quarantined = Arrival::Quarantine {
            envelope,
            reason: "an earlier release did not understand it".into(),
            content_type: None,
            content_encoding: None,
            body,
        };
        let Stored::New(number) = team.store.keep(quarantined).await.unwrap() else { panic!("it is new") };
        team.store.requeue(&all, number, By::itself(), NOW).await.unwrap();
        let state = &team.page(&all, &opaque).await.handling[0];
        assert!(state.is_unread && state.dealt_with.is_none());
    });
}

#[test]
fn who_is_limited_to_a_service_sees_and_changes_nothing_of_another() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let team = team(folder.path()).await;
        for (service, id) in [(team.one, "t1"), (team.two, "t2")] {
            keep(&team.store, service, NOW, &text(id, AMY, id)).await;
        }
        keep(&team.store, team.two, NOW, &text("t3", 7, "of the other alone")).await;
        let (one, two) = (only(team.one), only(team.two));
        let (rows, other) = (team.inbox(&one, Narrowed::default()).await, team.inbox(&two, Narrowed::default()).await);
        assert_eq!((rows.len(), rows[0].texts, other.len()), (1, 1, 2));
        let opaque = &rows[0].opaque;
        let cat = person(&team.store, "cat@example.gov.uk", one.clone()).await;
        let note = |service| Change::AddNote(service, "a note of two".into());
        for change in [Change::Take, Change::DealWith, note(team.two)] {
            assert_eq!(team.change(&team.bob, &two, opaque, change).await, Some(Handled::Done));
        }
        let page = team.page(&one, opaque).await;
        let state = &page.handling[0];
        assert!(page.handling.len() == 1 && page.notes.is_empty() && page.items.len() == 1);
        assert!(!state.is_touched() && state.last.is_none() && state.is_unread);
        assert!(!team.inbox(&one, Narrowed::default()).await[0].is_dealt_with);
        assert_eq!(team.change(&cat, &one, opaque, note(team.two)).await, Some(Handled::NotThere));
        let theirs = team.page(&two, opaque).await.notes[0].id;
        assert_eq!(team.change(&cat, &one, opaque, Change::RemoveNote(theirs)).await, Some(Handled::NotThere));
        let hidden = &other.iter().find(|row| row.opaque != *opaque).unwrap().opaque;
        let guessed = team.store.handle(&one, hidden, Versions::default(), Change::Take, cat.clone(), NOW).await;
        assert_eq!(guessed.unwrap(), None);
        // Nobody is handed what they may not see; of two services they get the one that they see.
        let to_cat = Change::HandOver(cat.person.unwrap());
        assert_eq!(team.change(&team.bob, &two, opaque, to_cat.clone()).await, Some(Handled::NotThere));
        assert_eq!(team.change(&team.ann, &Services::All, opaque, to_cat).await, Some(Handled::Done));
        let holders: Vec<String> =
            team.page(&Services::All, opaque).await.handling.into_iter().map(|state| state.taken.unwrap().1).collect();
        assert_eq!(holders, ["cat@example.gov.uk", "bob@example.gov.uk"]);
        let colleagues: Vec<String> =
            team.page(&two, opaque).await.colleagues.into_iter().map(|person| person.email).collect();
        assert_eq!(colleagues, ["bob@example.gov.uk"], "not oneself, and nobody who sees nothing of it");
    });
}

#[test]
fn the_last_change_is_taken_back_by_its_doer_as_long_as_nothing_came_after_it() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let team = team(folder.path()).await;
        for (service, id) in [(team.one, "t1"), (team.two, "t2")] {
            keep(&team.store, service, NOW, &text(id, AMY, id)).await;
        }
        let (all, opaque) = (Services::All, team.opaque().await);
        team.change(&team.bob, &all, &opaque, Change::Take).await;
        let state = async || {
            let handling = team.page(&all, &opaque).await.handling;
            handling.into_iter().map(|one| (one.read_to, one.taken, one.dealt_with)).collect::<Vec<_>>()
        };
        let before = state().await;
        let bob = Change::HandOver(team.bob.person.unwrap());
        for (change, is_one) in [
            (Change::Take, true),
            (Change::Read, true),
            (Change::DealWith, true),
            (Change::LetGo, false),
            (bob, false),
            (Change::Unread, false),
        ] {
            assert_eq!(team.change(&team.ann, &all, &opaque, change.clone()).await, Some(Handled::Done));
            assert_eq!(state().await != before, is_one, "{change:?}");
            if is_one {
                assert_eq!(team.change(&team.bob, &all, &opaque, Change::TakeBack).await, Some(Handled::NotThere));
                assert_eq!(team.change(&team.ann, &all, &opaque, Change::TakeBack).await, Some(Handled::Done));
            }
            assert_eq!(state().await, before, "{change:?}");
        }
        assert_eq!(team.change(&team.ann, &all, &opaque, Change::TakeBack).await, Some(Handled::NotThere));
    });
}

#[test]
fn every_change_stands_in_the_record_and_one_that_changes_nothing_does_not() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let team = team(folder.path()).await;
        keep(&team.store, team.one, NOW, &text("t1", AMY, "hello")).await;
        let (all, opaque) = (Services::All, team.opaque().await);
        let mut expected = Vec::new();
        for (change, word) in [
            (Change::Read, "marked_read"),
            (Change::Unread, "marked_unread"),
            (Change::Take, "took_conversation"),
            (Change::LetGo, "let_conversation_go"),
            (Change::HandOver(team.bob.person.unwrap()), "handed_over"),
            (Change::DealWith, "dealt_with"),
            (Change::Reopen, "reopened"),
            (Change::TakeBack, "took_back"),
            (Change::AddNote(team.one, "secretnote".into()), "added_note"),
            (Change::RemoveNote(1), "removed_note"),
        ] {
            assert_eq!(team.change(&team.ann, &all, &opaque, change.clone()).await, Some(Handled::Done), "{change:?}");
            expected.push(word);
            assert_eq!(did(folder.path()), expected, "{change:?}");
            if matches!(change, Change::Read | Change::Take | Change::DealWith) {
                assert_eq!(team.change(&team.ann, &all, &opaque, change.clone()).await, Some(Handled::Done));
                assert_eq!(did(folder.path()), expected, "{change:?} again");
            }
        }
        let note = team.page(&all, &opaque).await.notes.pop().unwrap();
        assert!(note.text.is_none() && note.removed_at == Some(NOW), "a removed note leaves a trace");
        let told = "SELECT count(*) FROM audit WHERE detail LIKE '%secretnote%' OR detail LIKE '%7009%' OR object LIKE '%7009%'";
        assert_eq!(count(folder.path(), told), 0);
    });
}

#[test]
fn a_note_is_removed_by_its_writer_alone() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let team = team(folder.path()).await;
        keep(&team.store, team.one, NOW, &text("t1", AMY, "hello")).await;
        let (all, opaque) = (Services::All, team.opaque().await);
        team.change(&team.ann, &all, &opaque, Change::AddNote(team.one, "called back".into())).await;
        let id = team.page(&all, &opaque).await.notes[0].id;
        assert_eq!(team.change(&team.bob, &all, &opaque, Change::RemoveNote(id)).await, Some(Handled::NotThere));
        assert_eq!(team.page(&all, &opaque).await.notes[0].text.as_deref(), Some("called back"));
    });
}

#[test]
fn unread_conversations_stand_first_and_are_counted_so_far() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let team = team(folder.path()).await;
        for n in 0..130 {
            keep(&team.store, if n < 120 { team.one } else { team.two }, NOW + n, &text(&format!("t{n}"), n, "x"))
                .await;
        }
        let all = Services::All;
        let newest = Narrowed { newest_first: true, ..Narrowed::default() };
        for row in team.inbox(&all, newest).await.iter().step_by(2) {
            assert_eq!(team.change(&team.ann, &all, &row.opaque, Change::Read).await, Some(Handled::Done));
        }
        for (narrowed, service) in
            [(Narrowed::default(), None), (Narrowed { service: Some(team.one), ..Narrowed::default() }, Some(team.one))]
        {
            let (mut rows, mut before) = (Vec::new(), None);
            loop {
                let page = team.store.inbox(&all, narrowed, before).await.unwrap();
                assert!(page.rows.len() <= 50);
                rows.extend(page.rows.into_iter().map(|row| (!row.is_unread, -row.latest.arrival)));
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            assert_eq!(rows.len(), if service.is_some() { 120 } else { 130 });
            assert!(rows.is_sorted(), "unread first, then the newest: {rows:?}");
        }
        let counted = async |sees: Services| {
            team.store.read(move |connection| crate::store::handling::unread(connection, &sees)).await.unwrap()
        };
        assert_eq!(counted(Services::All).await, UNREAD_COUNTED, "no more are counted");
        assert_eq!(counted(only(team.two)).await, 5);
        assert_eq!(counted(Services::Only(Vec::new())).await, 0);
    });
}

#[test]
fn the_inbox_is_narrowed_to_the_number_that_texts_are_sent_to() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let team = team(folder.path()).await;
        let sent = |id: &str, from: i64, to: &str| {
            format!(r#"{{"id": "{id}", "source_number": "44770090{from:04}", "destination_number": "{to}", "message": "x"}}"#)
        };
        for (service, id, from, to) in [(team.one, "t1", 1, "07860039001"), (team.two, "t2", 2, "07860039001"), (team.one, "t3", 3, "07860039002")] {
            keep(&team.store, service, NOW, &sent(id, from, to)).await;
        }
        let page = team.store.inbox(&Services::All, Narrowed::default(), None).await.unwrap();
        let numbers: Vec<&str> = page.destinations.iter().map(|to| to.number.as_str()).collect();
        assert_eq!(numbers, ["07860039001", "07860039002"]);
        let rows = async |sees: &Services, at: usize| {
            let narrowed = Narrowed { destination: Some(page.destinations[at].id), ..Narrowed::default() };
            team.inbox(sees, narrowed).await.len()
        };
        assert_eq!((rows(&Services::All, 0).await, rows(&Services::All, 1).await), (2, 1));
        assert_eq!((rows(&only(team.two), 0).await, rows(&only(team.two), 1).await), (1, 0));
        let theirs = team.store.inbox(&only(team.two), Narrowed::default(), None).await.unwrap();
        assert_eq!((theirs.destinations.len(), theirs.services.len()), (1, 1));
        // Of two texts the later goes: the conversation is one to the number of the other again.
        keep(&team.store, team.one, NOW + 9, &sent("t4", 1, "07860039002")).await;
        assert_eq!((rows(&Services::All, 0).await, rows(&Services::All, 1).await), (1, 2));
        let reader = Subject::of_number("07700 900001").unwrap();
        let mut gathered = team.store.gather(&Services::All, &reader, &Progress::default()).unwrap();
        gathered.messages.retain(|message| message.notify_id == "t4");
        let asked = Asked { by: By::itself(), reason: "x".into(), at: NOW };
        team.store.erase(&Services::All, &reader, gathered, asked, &Progress::default()).await.unwrap();
        assert_eq!((rows(&Services::All, 0).await, rows(&Services::All, 1).await), (2, 1));
    });
}

/// Amy's conversation with both services, with notes on each.
async fn noted(team: &Team) -> String {
    for (n, service) in (0..).zip([team.one, team.two]) {
        keep(&team.store, service, NOW + n * MINUTE, &text(&format!("t{n}"), AMY, "canarytext")).await;
    }
    keep(&team.store, team.one, NOW + MINUTE, &text("ben", 124, "bystander")).await;
    let (all, narrowed) = (Services::All, Narrowed { service: Some(team.two), ..Narrowed::default() });
    let opaque = team.inbox(&all, narrowed).await[0].opaque.clone();
    for (service, said) in [(team.one, "canaryone"), (team.two, "canarytwo")] {
        team.change(&team.ann, &all, &opaque, Change::AddNote(service, said.into())).await;
    }
    team.change(&team.ann, &all, &opaque, Change::Take).await;
    opaque
}

const NOTES: &str = "SELECT count(*) FROM notes";
const CHANGES: &str = "SELECT count(*) FROM handling_changes";

#[test]
fn notes_and_handling_are_exported_and_go_with_the_texts_that_are_erased() {
    let folder = tempfile::tempdir().unwrap();
    let amy = Subject::of_number("07700 900123").unwrap();
    runtime().block_on(async {
        let team = team(folder.path()).await;
        let opaque = noted(&team).await;
        for (sees, handling, said) in [(Services::All, 4, "canaryone"), (only(team.two), 2, "canarytwo")] {
            let gathered = team.store.gather(&sees, &amy, &Progress::default()).unwrap();
            assert_eq!(gathered.counts.handling, handling);
            let mut out = Vec::new();
            let each = |piece: Exported| {
                match piece {
                    Exported::Note(note) => out.push(note.text.unwrap()),
                    Exported::Handling(state) => out.push(state.words()),
                    _ => (),
                }
                true
            };
            team.store.export(&sees, &gathered, &Progress::default(), each).unwrap();
            assert!(
                out.iter().any(|text| text == said) && out.iter().any(|text| text.contains("taken by ann@")),
                "{out:?}"
            );
        }
        let asked = Asked { by: By::itself(), reason: "request".into(), at: NOW };
        let one = only(team.one);
        let gathered = team.store.gather(&one, &amy, &Progress::default()).unwrap();
        team.store.erase(&one, &amy, gathered, asked, &Progress::default()).await.unwrap();
        while team.store.forget_removed().await.unwrap() != Removal::Done {}
        assert!(!holds(folder.path(), b"canaryone"), "nothing of it is left in the file");
        assert_eq!((count(folder.path(), NOTES), count(folder.path(), CHANGES)), (1, 2));
        assert_eq!(team.page(&Services::All, &opaque).await.notes[0].text.as_deref(), Some("canarytwo"));
        assert_eq!(team.store.close(), Checkpoint::Whole);
    });
}

#[test]
fn a_conversation_whose_texts_are_too_old_loses_its_notes_and_handling_unless_they_are_held() {
    let folder = tempfile::tempdir().unwrap();
    let amy = Subject::of_number("07700 900123").unwrap();
    runtime().block_on(async {
        let team = team(folder.path()).await;
        noted(&team).await;
        let remove = async |limit: i64| {
            while let Removal::Removed(_) = team.store.remove(Limits::both(limit)).await.unwrap() {}
        };
        remove(NOW + 1).await;
        assert!(!holds(folder.path(), b"canaryone") && holds(folder.path(), b"canarytwo"), "each service by its texts");
        let asked = Asked { by: By::itself(), reason: "case".into(), at: NOW };
        let hold = team.store.add_hold(&Services::All, &amy, asked, &Progress::default()).await.unwrap();
        remove(NOW + 2 * MINUTE).await;
        assert!(holds(folder.path(), b"canarytwo") && !holds(folder.path(), b"bystander"));
        team.store.remove_hold(&Services::All, hold.id, By::itself(), NOW).await.unwrap();
        remove(NOW + 2 * MINUTE).await;
        assert!(!holds(folder.path(), b"canarytwo"));
        assert_eq!((count(folder.path(), NOTES), count(folder.path(), CHANGES)), (0, 0));
    });
}

#[test]
fn a_redaction_takes_the_notes_too_and_keeps_who_handles_it() {
    let folder = tempfile::tempdir().unwrap();
    let amy = Subject::of_number("07700 900123").unwrap();
    runtime().block_on(async {
        let team = team(folder.path()).await;
        let opaque = noted(&team).await;
        let two = only(team.two);
        let gathered = team.store.gather(&two, &amy, &Progress::default()).unwrap();
        let asked = Asked { by: By::itself(), reason: "request".into(), at: NOW };
        team.store.redact(&two, &amy, gathered, false, asked, &Progress::default()).await.unwrap();
        while team.store.forget_removed().await.unwrap() != Removal::Done {}
        assert!(!holds(folder.path(), b"canarytwo") && holds(folder.path(), b"canaryone"));
        let page = team.page(&Services::All, &opaque).await;
        assert_eq!((page.notes.len(), page.handling.iter().filter(|state| state.taken.is_some()).count()), (1, 2));
    });
}

#[test]
fn a_colleague_who_has_it_open_is_named_to_whoever_shares_a_service_with_them() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let team = team(folder.path()).await;
        for (service, id) in [(team.one, "t1"), (team.two, "t2")] {
            keep(&team.store, service, NOW, &text(id, AMY, id)).await;
        }
        let opaque = team.opaque().await;
        let dan = person(&team.store, "dan@example.gov.uk", only(team.two)).await;
        for (by, at) in [(&team.ann, NOW), (&team.bob, NOW - MINUTE), (&dan, NOW), (&team.bob, NOW + 1)] {
            let entry = Entry::new(by.clone(), Did::OpenedConversation, at).of(opaque.as_str());
            team.store.record(entry.about(Some("+447700900123"))).await.unwrap();
        }
        let opened = async |sees: Services| {
            let page = team.page(&sees, &opaque).await;
            page.opened.into_iter().map(|opened| (opened.who, opened.at)).collect::<Vec<_>>()
        };
        let (bob, dan) = (("bob@example.gov.uk".to_owned(), NOW + 1), ("dan@example.gov.uk".to_owned(), NOW));
        assert_eq!(opened(Services::All).await, [bob.clone(), dan]);
        assert_eq!(opened(only(team.one)).await, [bob]);
    });
}

#[test]
fn a_file_of_the_inbox_misses_nobody_who_writes_while_it_is_written_and_has_each_once() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let team = team(folder.path()).await;
        for (n, service) in [(0, team.one), (1, team.one), (2, team.two), (2, team.one)] {
            let said = text(&format!("t{n}{}", service.0), n, &n.to_string());
            keep(&team.store, service, NOW, &said).await;
        }
        let rows = async |sees: Services, narrowed, numbers: Vec<i64>| {
            let rows = team.store.inbox_rows(&sees, narrowed, numbers).await.unwrap();
            rows.iter().map(|row| (row.latest.callback.notify_id().to_owned(), row.texts)).collect::<Vec<_>>()
        };
        let open = Narrowed { open: true, ..Narrowed::default() };
        let mut numbers = team.store.inbox_numbers(&Services::All, open).await.unwrap();
        let left = numbers.split_off(1);
        let mut file = rows(Services::All, open, numbers).await;
        keep(&team.store, team.one, NOW + 1, &text("again", 0, "meanwhile")).await;
        assert_eq!(rows(only(team.two), open, left.clone()).await, [], "nothing is told of another service");
        file.extend(rows(Services::All, open, left).await);
        let id = |n: i64, service: ServiceId, texts| (format!("t{n}{}", service.0), texts);
        assert_eq!(file, [id(2, team.one, 2), id(1, team.one, 1), ("again".into(), 2)]);
        let of_two = team.store.inbox_numbers(&only(team.two), open).await.unwrap();
        assert_eq!(rows(only(team.two), open, of_two).await, [id(2, team.two, 1)]);
        // Whose newest text went elsewhere meanwhile stays too.
        let to = |number: &str, id: &str| {
            format!(
                r#"{{"id": "{id}", "source_number": "447700900555", "destination_number": "{number}", "message": "x"}}"#
            )
        };
        keep(&team.store, team.one, NOW + 2, &to("07860039001", "first")).await;
        let page = team.store.inbox(&Services::All, Narrowed::default(), None).await.unwrap();
        let destination = page.destinations.iter().find(|to| to.number == "07860039001").map(|to| to.id);
        let narrowed = Narrowed { destination, ..Narrowed::default() };
        let numbers = team.store.inbox_numbers(&Services::All, narrowed).await.unwrap();
        assert_eq!(numbers.len(), 1);
        keep(&team.store, team.one, NOW + 3, &to("07860039002", "second")).await;
        assert_eq!(rows(Services::All, narrowed, numbers).await, [("second".into(), 2)]);
    });
}
