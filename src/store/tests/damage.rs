//! Damage is found, said and never shown or written over.

use std::path::Path;

use rusqlite::Connection;

use super::{NOW, keep, receipt, runtime, store_with_service};
use crate::store::*;

/// A closed store of some hundred receipts, of which the page with an early one was overwritten.
fn damaged_in_the_middle(folder: &Path) {
    runtime().block_on(async {
        let (store, service) = store_with_service(folder).await;
        for n in 0..300 {
            keep(&store, receipt(&format!("number-{n:04}"), "delivered", "x"), service).await;
        }
        assert_eq!(store.close(), Checkpoint::Whole);
    });
    let file = folder.join("counterfoil.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let holds = |page: &[u8]| page.windows(11).any(|window| window == b"number-0100");
    let page = bytes.chunks_mut(4096).find(|page| holds(page)).unwrap();
    page.fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
}

#[test]
fn damage_that_is_not_seen_at_the_start_is_found_by_reading_everything() {
    let folder = tempfile::tempdir().unwrap();
    damaged_in_the_middle(folder.path());
    runtime().block_on(async {
        let store = Store::serve(folder.path(), NOW).unwrap();
        assert!(!store.is_damaged());
        store.look_for_damage().await.unwrap();
        assert!(store.is_damaged());
        assert!(matches!(store.tokens().await, Err(StoreError::Damaged(_))));
        assert!(matches!(store.tidy(NOW, NOW, NOW, NOW).await, Err(StoreError::Damaged(_))));
    });
}

#[test]
fn what_is_whole_is_called_whole_and_bytes_that_are_no_part_of_the_index_are_damage() {
    let folder = tempfile::tempdir().unwrap();
    let looked = || async {
        let store = Store::serve(folder.path(), NOW).unwrap();
        store.look_for_damage().await.unwrap();
        let damaged = store.is_damaged();
        assert_eq!(store.close(), Checkpoint::Whole);
        damaged
    };
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        // More than one stretch of rows.
        for n in 0..1100 {
            keep(&store, receipt(&format!("number-{n:04}"), "delivered", "x"), service).await;
        }
        assert_eq!(store.close(), Checkpoint::Whole);
    });
    assert!(!runtime().block_on(looked()));
    let connection = Connection::open(folder.path().join("counterfoil.db")).unwrap();
    let last = "UPDATE index_chunks SET entries = x'ffffffff' WHERE chunk = (SELECT max(chunk) FROM index_chunks)";
    assert_eq!(connection.execute(last, []).unwrap(), 1);
    drop(connection);
    assert!(runtime().block_on(looked()));
}

#[test]
fn after_damage_was_met_nothing_is_kept_or_shown() {
    let envelope = || Envelope {
        service: ServiceId(1),
        token: None,
        origin: Origin::CalledBack,
        arrived_at: NOW,
        path: "/callbacks".into(),
    };
    for by_reading in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        damaged_in_the_middle(folder.path());
        runtime().block_on(async {
            let store = Store::serve(folder.path(), NOW).unwrap();
            assert!(store.tokens().await.is_ok(), "it is not met there");
            if by_reading {
                assert!(matches!(store.receipt(&Services::All, "number-0100").await, Err(StoreError::Damaged(_))));
            } else {
                let again = Arrival::callback(envelope(), receipt("number-0100", "permanent-failure", "x"));
                assert!(matches!(store.keep(again).await, Err(StoreError::Damaged(_))));
            }
            let other = Arrival::callback(envelope(), receipt("another", "delivered", "x"));
            assert!(matches!(store.keep(other).await, Err(StoreError::Damaged(_))));
            assert!(matches!(store.tokens().await, Err(StoreError::Damaged(_))));
        });
    }
}

#[test]
fn damage_in_the_index_is_damage_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        keep(&store, receipt("a", "delivered", "x"), service).await;
        assert_eq!(store.close(), Checkpoint::Whole);
    });
    let connection = Connection::open(folder.path().join("counterfoil.db")).unwrap();
    assert_eq!(connection.execute("UPDATE index_chunks SET entries = x'ffffffff'", []).unwrap(), 1);
    drop(connection);
    runtime().block_on(async {
        let store = Store::serve(folder.path(), NOW).unwrap();
        let service = store.tokens().await.unwrap().first().unwrap().service;
        let envelope =
            Envelope { service, token: None, origin: Origin::CalledBack, arrived_at: NOW, path: "/callbacks".into() };
        let kept = store.keep(Arrival::callback(envelope, receipt("a", "delivered", "x"))).await;
        assert!(matches!(kept, Err(StoreError::Damaged(_))), "it is neither acknowledged nor put aside: {kept:?}");
        assert!(store.is_damaged());
    });
}
