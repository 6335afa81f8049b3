//! Another program that reads the store for long, while callbacks come in.

use std::fs;
use std::time::Duration;

use crate::load::Site;
use crate::server::Server;
use crate::times;

/// The length to which a log that grew long is cut, and what may come to it between two looks.
const LOG_LEFT: u64 = (64 + 32) * 1024 * 1024;

#[test]
fn a_long_reader_of_another_program_loses_nothing_and_the_log_is_begun_anew_when_it_ends() {
    let notes = tempfile::tempdir().unwrap();
    let mut site = Site::new(notes.path().join("store"), notes.path());
    let server = Server::start_in(&site.data, &[]);
    let length = || fs::metadata(site.data.join("counterfoil.db-wal")).map_or(0, |log| log.len());
    let seconds = times(3).min(60);
    let sender = site.send(&server, 16, 0);
    assert!(sender.wait_for(50), "callbacks are acknowledged");
    let reader = rusqlite::Connection::open(site.data.join("counterfoil.db")).unwrap();
    let reading = reader.unchecked_transaction().unwrap();
    let before: i64 = reading.query_row("SELECT count(*) FROM callbacks", [], |row| row.get(0)).unwrap();
    std::thread::sleep(Duration::from_secs(seconds.into()));
    let during: i64 = reading.query_row("SELECT count(*) FROM callbacks", [], |row| row.get(0)).unwrap();
    assert_eq!(before, during, "it is a reader of one moment");
    let longest = length();
    drop(reading);
    drop(reader);
    let acknowledged = sender.acknowledged().len();
    assert!(sender.wait_for(acknowledged + 200), "callbacks are acknowledged after it as before it");
    std::thread::sleep(Duration::from_secs(2));
    let after = length();
    site.stop(sender);
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    let lost = site.lost();
    eprintln!(
        "a reader of {seconds} s: 1 tried, 1 survived; the log grew to {longest} bytes and was {after} after it; {} acknowledged, \
         {lost} of them lost",
        site.acknowledged.len()
    );
    assert_eq!(lost, 0);
    assert!(after <= longest.max(LOG_LEFT), "{after}");
}
