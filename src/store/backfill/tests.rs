//! What is fetched, and what is left alone.

use super::*;
use crate::store::{Arrival, Find, Only, Services, Source, Stored};

const NOW: i64 = 1_795_000_000_000_000;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn store(folder: &std::path::Path) -> (Store, ServiceId) {
    let store = Store::serve(folder, NOW).unwrap();
    store.add_token("A service".into(), None, [1; 32], crate::store::By::itself(), NOW).await.unwrap();
    let service = store.service("A service").await.unwrap().unwrap().id;
    (store, service)
}

fn receipt(id: &str, status: &str, completed_at: &str) -> Callback {
    let body = format!(
        r#"{{"id": "{id}", "reference": "REF", "to": "07700 900123", "status": "{status}", "created_at": "2026-01-01T00:00:00.000000Z", "completed_at": "{completed_at}"}}"#
    );
    Callback::read(body.as_bytes()).unwrap()
}

fn text(id: &str, received: &str) -> Callback {
    let body = format!(
        r#"{{"id": "{id}", "source_number": "447700900123", "destination_number": "07700931494", "message": "Hello", "date_received": "{received}"}}"#
    );
    Callback::read(body.as_bytes()).unwrap()
}

const EARLY: &str = "2026-01-01T00:00:01.000000Z";
const LATE: &str = "2026-01-01T00:00:02.000000Z";

fn page(service: ServiceId, callbacks: Vec<Callback>) -> Fetched {
    Fetched {
        service,
        notify_service_id: "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa".into(),
        list: List::Notifications,
        callbacks,
        reading: Reading { begun_at: NOW, since: 0, older_than: None },
        oldest: None,
        at: NOW,
    }
}

async fn called(store: &Store, service: ServiceId, callback: Callback) -> Stored {
    let envelope =
        Envelope { service, token: None, origin: Origin::CalledBack, arrived_at: NOW, path: "/callbacks".into() };
    store.keep(Arrival::callback(envelope, callback)).await.unwrap()
}

/// The events of a message: origin, how often the bytes came, whether shown.
async fn events(store: &Store, id: &str) -> Vec<(Origin, i64, bool)> {
    let receipt = store.receipt(&Services::All, id).await.unwrap();
    receipt.map_or(vec![], |receipt| receipt.events.iter().map(|kept| (kept.origin, kept.times, kept.shown)).collect())
}

#[test]
fn what_is_missing_is_fetched_once_and_what_is_here_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store(folder.path()).await;
        called(&store, service, receipt("here", "delivered", EARLY)).await;
        let both = || vec![receipt("here", "delivered", EARLY), receipt("missing", "delivered", EARLY)];
        let first = store.fill(page(service, both())).await.unwrap();
        assert_eq!(first, Filled { here: 1, missing: 1, fetched: 1, ..Filled::default() });
        assert_eq!(store.fill(page(service, both())).await.unwrap(), Filled { here: 2, ..Filled::default() });
        assert_eq!(events(&store, "here").await, [(Origin::CalledBack, 1, true)]);
        assert_eq!(events(&store, "missing").await, [(Origin::Fetched, 1, true)]);
        let find = Find { sources: vec![Source::Reference("ref".into())], only: Only::default(), from: None };
        assert_eq!(store.find(&Services::All, find).await.unwrap().count, 2, "it is found like any other");
    });
}

#[test]
fn a_status_that_never_came_is_filled_by_the_rule_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store(folder.path()).await;
        called(&store, service, receipt("behind", "sending", EARLY)).await;
        called(&store, service, receipt("ahead", "delivered", LATE)).await;
        let listed = || vec![receipt("behind", "delivered", LATE), receipt("ahead", "temporary-failure", EARLY)];
        let first = store.fill(page(service, listed())).await.unwrap();
        assert_eq!(first, Filled { here: 1, statuses_filled: 1, ..Filled::default() });
        assert_eq!(events(&store, "behind").await, [(Origin::CalledBack, 1, false), (Origin::Fetched, 1, true)]);
        assert_eq!(events(&store, "ahead").await, [(Origin::CalledBack, 1, true)]);
        assert_eq!(store.fill(page(service, listed())).await.unwrap(), Filled { here: 2, ..Filled::default() });
    });
}

#[test]
fn what_was_erased_comes_back_neither_by_fetching_nor_by_a_callback() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store(folder.path()).await;
        let uuid = "740e5834-3a29-46b4-9a6f-16142fde533a";
        store.note_erased(vec!["gone".into(), uuid.into()], NOW).await.unwrap();
        let listed = vec![receipt("gone", "delivered", EARLY), receipt(uuid, "delivered", EARLY)];
        let filled = store.fill(page(service, listed)).await.unwrap();
        assert_eq!(filled, Filled { missing: 2, erased: 2, ..Filled::default() });
        assert_eq!(called(&store, service, receipt(uuid, "delivered", EARLY)).await, Stored::Erased);
        assert_eq!(called(&store, service, text("gone", EARLY)).await, Stored::Erased);
        assert!(matches!(called(&store, service, receipt("another", "delivered", EARLY)).await, Stored::New(_)));
        assert_eq!(events(&store, uuid).await, []);
        assert_eq!(events(&store, "gone").await, []);
    });
}

#[test]
fn what_is_past_its_retention_is_not_brought_back() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store(folder.path()).await;
        let listed = vec![receipt("old", "delivered", EARLY), receipt("young", "delivered", LATE)];
        let filled = store.fill(Fetched { oldest: time::instant(LATE), ..page(service, listed) }).await.unwrap();
        assert_eq!(filled, Filled { missing: 2, fetched: 1, past_retention: 1, ..Filled::default() });
        assert_eq!(events(&store, "old").await, []);
    });
}

#[test]
fn a_callback_that_comes_after_all_takes_the_place_of_what_was_fetched_for_it() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store(folder.path()).await;
        store.fill(page(service, vec![text("a", LATE), receipt("b", "delivered", EARLY)])).await.unwrap();
        // The phone network's clock says another time than Notify's list.
        assert!(matches!(called(&store, service, text("a", EARLY)).await, Stored::Again(_)));
        assert_eq!(events(&store, "a").await, [(Origin::CalledBack, 1, true)]);
        let kept = store.receipt(&Services::All, "a").await.unwrap().unwrap();
        assert_eq!(kept.events[0].callback.body(), text("a", EARLY).body());
        assert!(matches!(called(&store, service, text("a", EARLY)).await, Stored::Again(_)));
        assert_eq!(events(&store, "a").await, [(Origin::CalledBack, 2, true)]);
        assert_eq!(
            store.inbox(&Services::All, crate::store::Narrowed::default(), None).await.unwrap().rows[0].texts,
            1
        );
        assert!(matches!(called(&store, service, receipt("b", "permanent-failure", LATE)).await, Stored::New(_)));
        assert_eq!(events(&store, "b").await, [(Origin::Fetched, 1, false), (Origin::CalledBack, 1, true)]);
    });
}

#[test]
fn the_place_is_kept_with_each_page_and_what_was_covered_grows_together() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store(folder.path()).await;
        let read = |begun_at, since, older_than: Option<&str>| {
            let reading = Reading { begun_at, since, older_than: older_than.map(str::to_owned) };
            store.fill(Fetched { reading, ..page(service, vec![]) })
        };
        let so_far = || store.read_so_far(service, List::Notifications);
        assert_eq!(so_far().await.unwrap(), ReadSoFar::default());
        read(50, 10, Some("x")).await.unwrap();
        let under_way = Some(Reading { begun_at: 50, since: 10, older_than: Some("x".into()) });
        assert_eq!(so_far().await.unwrap(), ReadSoFar { under_way, covered: None });
        read(50, 10, None).await.unwrap();
        assert_eq!(so_far().await.unwrap(), ReadSoFar { under_way: None, covered: Some((10, 50)) });
        read(90, 40, Some("y")).await.unwrap();
        assert_eq!(so_far().await.unwrap().covered, Some((10, 50)));
        read(90, 40, None).await.unwrap();
        assert_eq!(so_far().await.unwrap().covered, Some((10, 90)));
        read(200, 150, None).await.unwrap();
        assert_eq!(so_far().await.unwrap().covered, Some((150, 200)), "what lies between was not read");
        assert_eq!(store.read_so_far(service, List::ReceivedTexts).await.unwrap(), ReadSoFar::default());
    });
}
