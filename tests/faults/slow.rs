//! A disk whose syncs take seconds.

use std::time::{Duration, Instant};

use crate::server::Server;
use crate::trouble::Trouble;
use crate::{is_there, not_tried};

#[test]
fn a_sync_of_seven_seconds_is_a_503_in_time_and_its_retry_is_one_row() {
    if !is_there("strace") {
        return not_tried("a slow sync", "strace");
    }
    let server = Server::start();
    let body = br#"{"id": "slow", "reference": "SLOW-1", "to": "07700 900123", "status": "delivered"}"#;
    let other = br#"{"id": "before", "reference": "SLOW-0", "to": "07700 900123", "status": "delivered"}"#;
    assert_eq!(server.post("/callbacks", other).status, 200);
    let log = server.data.join("counterfoil.db-wal");
    let trouble = Trouble::on(server.pid(), &log, "fdatasync,fsync", "delay_enter=7000000");
    let began = Instant::now();
    assert_eq!(server.post("/callbacks", body).status, 503);
    // Notify waits five seconds for an answer.
    assert!(began.elapsed() < Duration::from_millis(4500), "{:?}", began.elapsed());
    std::thread::sleep(Duration::from_secs(7));
    assert!(trouble.end() > 0, "syncs were slow");
    assert_eq!(server.post("/callbacks", body).status, 200);
    assert_eq!(server.kept("slow").len(), 1, "the retry is the same row");
}
