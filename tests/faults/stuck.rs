//! A writer that is stuck, which only a start anew can help, and a full disk, where it does not: what a watchdog hears.

use std::time::Duration;

use crate::server::{Server, Told, folder, printed, run};
use crate::trouble::Trouble;
use crate::{is_there, not_tried};

const BODY: &[u8] = br#"{"id": "a", "status": "delivered"}"#;
const WATCHDOG: Duration = Duration::from_millis(400);

fn pings(heard: &[String]) -> usize {
    heard.iter().filter(|said| said.contains("WATCHDOG=1")).count()
}

#[test]
fn a_watchdog_hears_nothing_from_a_writer_that_is_stuck_in_a_sync_and_hears_on_where_the_disk_is_full() {
    if !is_there("strace") {
        return not_tried("a writer that is stuck under a watchdog", "strace");
    }
    let (folder, told) = (folder(), Told::listen());
    let token = printed(&run(&["token", "add", "Test service"], folder.path()));
    let mut server = Server::start_as(told.command(Some(WATCHDOG)), folder.path(), &[]);
    server.token = token;
    told.wait_for("WATCHDOG=1");
    let log = server.data.join("counterfoil.db-wal");

    let full = Trouble::on(server.pid(), &log, "pwrite64", "error=ENOSPC");
    told.wait_for("STATUS=The store cannot be written");
    for _ in 0..3 {
        told.wait_for("WATCHDOG=1");
    }
    assert!(full.end() > 0);
    told.wait_for("STATUS=Taking callbacks.");

    let stuck = Trouble::on(server.pid(), &log, "fdatasync,fsync", "delay_enter=20000000");
    let _before = told.heard();
    // This waits for longer than the watchdog would for eight signs of life.
    assert_eq!(server.post("/callbacks", BODY).status, 503);
    let heard = told.heard();
    assert!(pings(&heard) <= 1, "{heard:?}");
    drop(stuck);
    told.wait_for("WATCHDOG=1");
    eprintln!("a writer stuck in a sync under a watchdog: 1 tried, {} signs of life while it was", pings(&heard));
}
