//! The volume is copied at one moment under a busy server, as a storage system takes a snapshot of it: what was acknowledged
//! before is in the copy.
//!
//! A copy is what a power cut at that moment would have left. The control is the same server with syncs that do nothing.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use crate::disk::{Disk, done, lacking};
use crate::load::{Site, is_whole, missing};
use crate::server::Server;
use crate::trouble::Trouble;
use crate::{not_tried, times};

/// Acknowledged before each copy, at least.
const BEFORE: usize = 60;

/// What was found in all copies together.
#[derive(Default)]
struct Found {
    copies: u32,
    acknowledged: HashSet<String>,
    lost: usize,
}

/// Takes so many copies of one server's volume; of the control, until one lacks something.
fn copied(kind: &str, copies: u32, notes: &Path, syncs_do_nothing: bool) -> Found {
    let below = Disk::for_copies();
    let disk = Disk::on(&below, kind);
    let mut site = Site::new(disk.at.join("store"), notes);
    let server = Server::start_in(&site.data, &[]);
    done(&mut Command::new("sync"));
    let broken = syncs_do_nothing.then(|| Trouble::syncs_do_nothing(&server));
    let mut found = Found::default();
    while found.copies < copies && !(syncs_do_nothing && found.lost > 0) {
        let sender = site.send(&server, 16, found.copies);
        assert!(sender.wait_for(BEFORE + 29 * (found.copies as usize % 7)), "callbacks are acknowledged");
        let before = sender.acknowledged();
        let copy = disk.snapshot(kind);
        site.stop(sender);
        found.copies += 1;
        found.acknowledged.extend(before);
        let data = copy.at.join("store");
        if !syncs_do_nothing {
            // It is opened as after a power cut.
            drop(Server::start_in(&data, &[]));
            is_whole(&data);
        }
        found.lost += missing(&found.acknowledged, &data);
        copy.unmount();
    }
    drop(broken);
    server.kill();
    disk.unmount();
    found
}

fn survives(kind: &str) {
    if let Some(lacking) = lacking(kind) {
        return not_tried(&format!("snapshots of {kind}"), &lacking);
    }
    let notes = tempfile::tempdir().unwrap();
    let Found { copies, acknowledged, lost } = copied(kind, times(5), notes.path(), false);
    eprintln!("snapshots of {kind}: {copies}, {} acknowledged before them, {lost} of them lost", acknowledged.len());
    assert_eq!(lost, 0);
    let control = tempfile::tempdir().unwrap();
    let Found { copies, acknowledged, lost } = copied(kind, 10, control.path(), true);
    eprintln!("control on {kind}, where syncs do nothing: {lost} of {} lost in copy {copies}", acknowledged.len());
    assert!(lost > 0, "the control must lose: else a copy here proves nothing");
}

#[test]
fn no_acknowledged_callback_is_missing_in_a_snapshot_of_ext4() {
    survives("ext4");
}

#[test]
fn no_acknowledged_callback_is_missing_in_a_snapshot_of_xfs() {
    survives("xfs");
}
