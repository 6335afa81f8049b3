//! Another program that removes the log from under a running server, as an `SQLite` from before 3.51 does at its end where it believes that
//! nobody else has the store open.

use std::fs;
use std::time::Duration;

use crate::load::Site;
use crate::server::Server;
use crate::times;

#[test]
fn no_acknowledged_callback_is_lost_when_the_log_is_removed_under_a_running_server() {
    let notes = tempfile::tempdir().unwrap();
    let mut site = Site::new(notes.path().join("store"), notes.path());
    let turns = times(2);
    for turn in 0..turns {
        let server = Server::start_in(&site.data, &[]);
        let sender = site.send(&server, 16, turn);
        // The server has looked which file it is.
        std::thread::sleep(Duration::from_millis(1500));
        assert!(sender.wait_for(200), "callbacks are acknowledged");
        fs::remove_file(site.data.join("counterfoil.db-wal")).unwrap();
        if turn % 2 == 0 {
            fs::remove_file(site.data.join("counterfoil.db-shm")).unwrap();
        }
        let (code, log) = server.ended_saying();
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains("store.taken_away") && log.contains("saved=true"), "{log}");
        site.stop(sender);
    }
    drop(Server::start_in(&site.data, &[]));
    let lost = site.lost();
    eprintln!(
        "the log was removed {turns} times, {} callbacks acknowledged, {lost} of them lost",
        site.acknowledged.len()
    );
    assert_eq!(lost, 0);
}
