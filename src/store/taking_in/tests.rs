//! What is taken in, and what is left as it is here.

use std::path::Path;

use super::*;
use crate::notify::subject::Subject;
use crate::store::{Arrival, Asked, Change, Looker, Narrowed, Origin, Progress, Services, Versions};

const NOW: i64 = 1_795_000_000_000_000;
const SENDER: &str = "+447700900123";

async fn store(folder: &Path) -> (Store, ServiceId) {
    let store = Store::serve(folder, NOW).unwrap();
    store.add_token("A service".into(), None, [1; 32], By::itself(), NOW).await.unwrap();
    let service = store.service("A service").await.unwrap().unwrap().id;
    (store, service)
}

fn text(id: &str) -> Callback {
    let body = format!(r#"{{"id": "{id}", "source_number": "447700900123", "message": "Hello {id}"}}"#);
    Callback::read(body.as_bytes()).unwrap()
}

fn receipt(id: &str, status: &str) -> Callback {
    let body = format!(r#"{{"id": "{id}", "reference": "R", "to": "07700 900123", "status": "{status}"}}"#);
    Callback::read(body.as_bytes()).unwrap()
}

fn came(origin: Origin, at: i64) -> Came {
    Came { service: "A service".into(), origin, arrived_at: at, times: 2, last_arrived_at: Some(at + 1) }
}

fn callback(callback: Callback, at: i64) -> Portable {
    Portable::Callback(came(Origin::CalledBack, at), Box::new(callback))
}

async fn called(store: &Store, service: ServiceId, callback: Callback, at: i64) -> Stored {
    let envelope = Envelope { service, token: None, origin: Origin::CalledBack, arrived_at: at, path: String::new() };
    store.keep(Arrival::callback(envelope, callback)).await.unwrap()
}

async fn take(store: &Store, items: Vec<Portable>) -> TakenIn {
    store.take_in(items, &By::itself(), NOW).await.unwrap()
}

fn dealt_with(read_to: &str, at: i64) -> Portable {
    let by = Some(("Ann@example.gov.uk".to_owned(), at));
    Portable::Handling(Box::new(HandledTexts {
        service: "A service".into(),
        sender: SENDER.into(),
        read_to: Some(read_to.into()),
        taken: by.clone(),
        dealt_with: by,
    }))
}

fn note(text: &str) -> Portable {
    Portable::Note(Box::new(WrittenNote {
        service: "A service".into(),
        sender: SENDER.into(),
        written: ("ann@example.gov.uk".into(), NOW),
        text: Some(text.into()),
        removed_at: None,
    }))
}

/// The events of a message: status, how often it came, whether it is shown.
async fn events(store: &Store, id: &str) -> Vec<(Origin, i64, bool)> {
    let receipt = store.receipt(&Services::All, id).await.unwrap();
    receipt.map_or(vec![], |receipt| receipt.events.iter().map(|kept| (kept.origin, kept.times, kept.shown)).collect())
}

async fn conversation(store: &Store) -> (String, crate::store::Conversation) {
    let opaque =
        store.inbox(&Services::All, Narrowed::default(), None).await.unwrap().rows.first().unwrap().opaque.clone();
    let page = store.conversation(&Services::All, &opaque, None, Looker::default()).await.unwrap().unwrap();
    (opaque, page)
}

#[tokio::test]
async fn what_is_here_stays_as_it_is_and_what_was_fetched_gives_way() {
    let folder = tempfile::tempdir().unwrap();
    let (store, service) = store(folder.path()).await;
    called(&store, service, receipt("here", "delivered"), NOW).await;
    let told = r#"{"id": "fetched", "reference": "R", "to": "07700 900123", "status": "delivered", "sent_at": null}"#;
    let told = Callback::read(told.as_bytes()).unwrap();
    let fetched = Portable::Callback(came(Origin::Fetched, NOW), Box::new(told));
    assert_eq!(take(&store, vec![fetched]).await.callbacks, 1);
    let both = || {
        ["here", "fetched", "new"].map(|id| callback(receipt(id, "delivered"), NOW)).into_iter().chain([
            callback(receipt("new", "permanent-failure"), NOW + 1),
            Portable::Callback(came(Origin::Fetched, NOW), Box::new(receipt("here", "delivered"))),
        ])
    };
    let done = take(&store, both().collect()).await;
    assert_eq!((done.callbacks, done.here), (2, 3), "{done:?}");
    assert_eq!(events(&store, "here").await, [(Origin::CalledBack, 1, true)]);
    assert_eq!(events(&store, "fetched").await, [(Origin::CalledBack, 2, true)]);
    let new = events(&store, "new").await;
    let again = take(&store, both().collect()).await;
    assert_eq!((again.callbacks, again.here), (0, 5), "{again:?}");
    assert_eq!(events(&store, "new").await, new);
    assert!(new.iter().all(|(_, times, _)| *times == 2) && new.iter().filter(|(_, _, shown)| *shown).count() == 1);
}

#[tokio::test]
async fn a_conversation_that_was_dealt_with_is_but_not_what_came_here_since() {
    for came_here in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (store, service) = store(folder.path()).await;
        if came_here {
            called(&store, service, text("later"), NOW + 100).await;
        }
        let items =
            || vec![callback(text("t1"), NOW), callback(text("t2"), NOW + 1), dealt_with("t2", NOW + 2), note("n")];
        let done = take(&store, items()).await;
        assert_eq!((done.callbacks, done.handled, done.notes), (2, 1, 1), "{done:?}");
        assert_eq!(done.accounts, ["ann@example.gov.uk"]);
        let (opaque, page) = conversation(&store).await;
        let state = &page.handling[0];
        assert_eq!(state.is_unread, came_here);
        assert_eq!(state.dealt_with.is_some(), !came_here);
        assert_eq!(state.taken.as_ref().map(|taken| taken.1.as_str()), Some("ann@example.gov.uk"));
        assert_eq!(page.notes.len(), 1);
        let account = store.person("ann@example.gov.uk").await.unwrap().unwrap();
        assert!(account.disabled_at.is_some() && account.password.is_none());
        assert_eq!((account.role, account.sees), (Role::Viewer, Services::Only(vec![])));
        // What people do here afterwards is not undone by the same file.
        let versions = Versions::of(&page.handling);
        let by = By { person: Some(account.id), ..By::itself() };
        store.handle(&Services::All, &opaque, versions, Change::Reopen, by, NOW).await.unwrap();
        let again = take(&store, items()).await;
        assert_eq!((again.callbacks, again.handled, again.notes, again.here), (0, 0, 0, 4), "{again:?}");
        assert!(conversation(&store).await.1.handling[0].dealt_with.is_none());
    }
}

#[tokio::test]
async fn what_was_erased_or_redacted_here_comes_back_by_no_import() {
    for redact in [None, Some(false), Some(true)] {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = store(folder.path()).await;
        let items = || {
            let unread = UnreadBody {
                reason: "Why".into(),
                path: String::new(),
                content_type: None,
                content_encoding: None,
                body: br#"{"id": "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa", "to": "07700 900123"}"#.to_vec(),
            };
            let body = Portable::Quarantined(came(Origin::CalledBack, NOW), Box::new(unread));
            vec![
                callback(receipt("r", "delivered"), NOW),
                callback(text("t"), NOW),
                body,
                dealt_with("t", NOW),
                note("canary"),
            ]
        };
        let first = take(&store, items()).await;
        assert_eq!((first.callbacks, first.quarantined, first.notes), (2, 1, 1), "{first:?}");
        let subject = Subject::of_number("07700 900123").unwrap();
        let progress = Progress::default();
        let gathered = store.gather(&Services::All, &subject, &progress).unwrap();
        let asked = Asked { by: By::itself(), reason: "request".into(), at: NOW };
        match redact {
            None => store.erase(&Services::All, &subject, gathered, asked, &progress).await.unwrap(),
            Some(recipient) => {
                store.redact(&Services::All, &subject, gathered, recipient, asked, &progress).await.unwrap()
            }
        };
        let again = take(&store, items()).await;
        assert_eq!((again.callbacks, again.quarantined, again.notes), (0, 0, 0), "{redact:?}: {again:?}");
        assert_eq!(again.erased, if redact.is_some() { 1 } else { 3 }, "{redact:?}: {again:?}");
        let mut leaving = store.leave(None).unwrap();
        while let Some(items) = leaving.more().unwrap() {
            let said = format!("{items:?}");
            assert!(!said.contains("canary"), "{said}");
            for item in items {
                let Portable::Callback(_, callback) = item else { continue };
                assert!(redact.is_some() && !String::from_utf8(callback.body()).unwrap().contains("Hello"));
            }
        }
    }
}

#[tokio::test]
async fn what_is_read_again_here_does_not_come_into_quarantine_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, service) = store(folder.path()).await;
    called(&store, service, receipt("r", "delivered"), NOW).await;
    let unread = |body: Vec<u8>| {
        let (reason, path) = ("An older release did not know it.".into(), "/callbacks".into());
        let unread = UnreadBody { reason, path, content_type: None, content_encoding: None, body };
        Portable::Quarantined(came(Origin::CalledBack, NOW), Box::new(unread))
    };
    let items = || vec![unread(receipt("r", "delivered").body()), unread(b"\xff".to_vec())];
    let done = take(&store, items()).await;
    assert_eq!((done.quarantined, done.here), (1, 1), "{done:?}");
    assert_eq!(take(&store, items()).await.here, 2);
    assert_eq!(store.quarantine(&Services::All, None).await.unwrap().rows.iter().map(|row| row.times).sum::<i64>(), 2);
}
