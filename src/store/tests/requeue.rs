//! Reading quarantine again, also from beside a server that goes on storing.

use super::{NOW, runtime, store_with_service};
use crate::store::*;

const UNDERSTOOD: &str = r#"{"id": "r1", "reference": "REF 1", "to": "07700 900123", "status": "delivered"}"#;

/// As an earlier release left it, which did not understand it.
async fn quarantine(store: &Store, service: ServiceId, arrived_at: i64, body: &str) -> i64 {
    let envelope = Envelope { service, token: None, origin: Origin::CalledBack, arrived_at, path: "/callbacks".into() };
    let reason = "An earlier release did not know it.".to_owned();
    let body = body.as_bytes().to_vec();
    let arrival = Arrival::Quarantine { envelope, reason, content_type: None, content_encoding: None, body };
    match store.keep(arrival).await.unwrap() {
        Stored::New(number) | Stored::Again(number) => number,
        Stored::Erased => panic!("quarantine is no message"),
    }
}

#[test]
fn what_is_understood_leaves_quarantine_as_a_callback_that_came_when_it_came() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        let arrival = quarantine(&store, service, NOW, UNDERSTOOD).await;
        assert_eq!(quarantine(&store, service, NOW + 5, UNDERSTOOD).await, arrival, "it came twice");
        let others = Services::Only(vec![ServiceId(service.0 + 1)]);
        assert_eq!(store.requeue(&others, arrival, By::itself(), NOW).await.unwrap(), None, "it is another service's");
        let done = store.requeue(&Services::All, arrival, By::itself(), NOW).await.unwrap();
        assert_eq!(done, Some(Requeued::Understood { notify_id: "r1".into() }));
        assert!(store.quarantine(&Services::All, None).await.unwrap().rows.is_empty());
        let page = store.receipt(&Services::All, "r1").await.unwrap().unwrap();
        let events: Vec<_> = page.events.iter().map(|kept| (kept.arrived_at, kept.times, kept.shown)).collect();
        assert_eq!(events, [(NOW, 2, true)]);
        assert_eq!(store.requeue(&Services::All, arrival, By::itself(), NOW).await.unwrap(), None);
        // The very bytes that are held already are one more of them.
        let arrival = quarantine(&store, service, NOW + 9, UNDERSTOOD).await;
        store.requeue(&Services::All, arrival, By::itself(), NOW).await.unwrap();
        let page = store.receipt(&Services::All, "r1").await.unwrap().unwrap();
        assert_eq!(page.events.iter().map(|kept| kept.times).collect::<Vec<_>>(), [3]);
    });
}

#[test]
fn what_is_not_understood_stays_byte_for_byte_with_the_reason_of_today() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        let arrival = quarantine(&store, service, NOW, "nonsense").await;
        let Some(Requeued::Stays { reason }) = store.requeue(&Services::All, arrival, By::itself(), NOW).await.unwrap()
        else {
            panic!("it was understood")
        };
        let kept = store.quarantined(&Services::All, arrival).await.unwrap().unwrap();
        assert_eq!((kept.body.as_deref(), kept.arrived_at), (Some(b"nonsense".as_slice()), NOW));
        assert!(kept.reason == reason && !reason.contains("earlier release"), "{reason}");
    });
}

/// Two writers on one store: a server under load, and a command that takes out of quarantine and removes.
#[test]
fn a_command_beside_a_server_that_stores_leaves_every_callback_to_be_found() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (server, service) = store_with_service(folder.path()).await;
        let mut quarantined = Vec::new();
        let body = |n: i64| format!(r#"{{"id": "{n}", "reference": "REF {n}", "status": "delivered"}}"#);
        for n in 0..60 {
            quarantined.push(quarantine(&server, service, NOW, &body(-1 - n)).await);
        }
        let storing = server.clone();
        let load = tokio::spawn(async move {
            for first in (0..30_000_i64).step_by(100) {
                let mut under_way = tokio::task::JoinSet::new();
                for n in first..first + 100 {
                    let callback = crate::notify::Callback::read(body(n).as_bytes()).unwrap();
                    // The first half is old.
                    let arrived_at = if n < 15_000 { 0 } else { NOW };
                    let envelope =
                        Envelope { service, token: None, origin: Origin::CalledBack, arrived_at, path: String::new() };
                    let store = storing.clone();
                    under_way.spawn(async move { store.keep(Arrival::callback(envelope, callback)).await.unwrap() });
                }
                assert!(under_way.join_all().await.iter().all(|stored| matches!(stored, Stored::New(_))));
            }
        });
        let command = Store::existing(folder.path(), NOW).unwrap();
        let mut removed = 0;
        loop {
            if let Some(arrival) = quarantined.pop() {
                match command.requeue(&Services::All, arrival, By::itself(), NOW).await {
                    Ok(done) => assert!(matches!(done, Some(Requeued::Understood { .. }))),
                    // It waited in vain for the server's transactions to end, and tries again.
                    Err(_) => quarantined.push(arrival),
                }
            }
            match command.remove_rows(Limits::both(NOW)).await {
                Ok(Removal::Removed(some)) => removed += some,
                Ok(Removal::Done) if load.is_finished() && quarantined.is_empty() => break,
                Ok(Removal::Done | Removal::InLog) | Err(_) => (),
            }
        }
        load.await.unwrap();
        while let Removal::Removed(some) = command.remove_rows(Limits::both(NOW)).await.unwrap() {
            removed += some;
        }
        assert_eq!(command.close(), Checkpoint::Whole);
        assert_eq!(removed, 15_000);
        assert!(server.has_removed().await.unwrap(), "the index is left to the server");
        while server.forget_removed().await.unwrap() != Removal::Done {}
        assert_eq!(server.close(), Checkpoint::Whole);
    });
    let report = check(folder.path(), &Progress::default()).unwrap();
    assert_eq!((report.not_found, report.quarantined, report.kinds[0].1), (0, 0, 15_060));
}
