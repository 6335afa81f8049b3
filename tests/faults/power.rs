//! The power is cut: the file system is shut down under a busy server as it stands on the disk, and then looked at.
//!
//! What was written but never synced is lost there as in a real cut. The control is the same server with syncs that do nothing.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::disk::{Disk, done, lacking};
use crate::load::Site;
use crate::server::Server;
use crate::trouble::Trouble;
use crate::{not_tried, times};

/// Acknowledged before each cut.
const BEFORE: usize = 60;

/// Cuts the power so often; gives the site, as it is after the last.
fn cut(kind: &str, cuts: u32, notes: &Path, syncs_do_nothing: bool) -> (Site, Disk, u32) {
    let disk = Disk::new(kind);
    let mut site = Site::new(disk.at.join("store"), notes);
    done(&mut Command::new("sync"));
    let mut losing = 0;
    for turn in 0..cuts {
        let server = Server::start_in(&site.data, &[]);
        let broken = syncs_do_nothing.then(|| Trouble::syncs_do_nothing(&server));
        let sender = site.send(&server, 16, turn);
        assert!(sender.wait_for(BEFORE + 29 * (turn as usize % 7)), "callbacks are acknowledged");
        site.stop(sender);
        disk.cut();
        drop(broken);
        server.kill();
        disk.unmount();
        disk.mount();
        log(kind, turn, syncs_do_nothing, &site);
        if syncs_do_nothing && site.lost_of_any() > 0 {
            losing += 1;
            break;
        }
    }
    (site, disk, losing)
}

/// Adds a line for a cut to the file that `FAULTS_LOG` names: what was acknowledged in all, and how much of it is lost.
fn log(kind: &str, turn: u32, syncs_do_nothing: bool, site: &Site) {
    let Some(file) = env::var_os("FAULTS_LOG") else { return };
    let line = format!(
        "{kind}\tcut {}\t{}\tacknowledged {}\tlost {}\n",
        turn + 1,
        if syncs_do_nothing { "syncs do nothing" } else { "as it is" },
        site.acknowledged.len(),
        site.lost_of_any()
    );
    OpenOptions::new().create(true).append(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
}

fn survives(kind: &str) {
    if let Some(lacking) = lacking(kind) {
        return not_tried(&format!("power cuts on {kind}"), &lacking);
    }
    let notes = tempfile::tempdir().unwrap();
    let cuts = times(25);
    let (site, disk, _) = cut(kind, cuts, notes.path(), false);
    let lost = site.lost();
    eprintln!("power cut on {kind}: {cuts} times, {} acknowledged, {lost} of them lost", site.acknowledged.len());
    assert_eq!(lost, 0);
    drop(disk);
    let control = tempfile::tempdir().unwrap();
    let (site, disk, losing) = cut(kind, 10, control.path(), true);
    eprintln!("control on {kind}, where syncs do nothing: {} of {} lost", site.lost_of_any(), site.acknowledged.len());
    assert!(losing > 0, "the control must lose: else a cut here proves nothing");
    drop((disk, site));
}

#[test]
fn no_acknowledged_callback_is_lost_in_a_power_cut_on_ext4() {
    survives("ext4");
}

#[test]
fn no_acknowledged_callback_is_lost_in_a_power_cut_on_xfs() {
    survives("xfs");
}
