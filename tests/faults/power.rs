//! The power is cut: the file system is shut down under a busy server as it stands on the disk, and then looked at.
//!
//! What was written but never synced is lost there as in a real cut. The control is the same server with syncs that do nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::load::Site;
use crate::server::Server;
use crate::trouble::Trouble;
use crate::{is_there, not_tried, times};

/// Acknowledged before each cut.
const BEFORE: usize = 60;

/// A file system of its own in a file.
struct Disk {
    image: PathBuf,
    at: PathBuf,
    /// Holds both; removed with this.
    _folder: TempDir,
}

impl Disk {
    fn new(kind: &str) -> Disk {
        let folder = tempfile::tempdir().unwrap();
        let (image, at) = (folder.path().join("image"), folder.path().join("disk"));
        std::fs::create_dir(&at).unwrap();
        done(Command::new("truncate").args(["-s", "400M"]).arg(&image));
        let quiet = if kind == "ext4" { "-qF" } else { "-qf" };
        done(Command::new(format!("mkfs.{kind}")).arg(quiet).arg(&image));
        let disk = Disk { image, at, _folder: folder };
        disk.mount();
        disk
    }

    fn mount(&self) {
        done(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.at));
    }

    fn cut(&self) {
        done(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.at));
    }

    fn unmount(&self) {
        done(Command::new("umount").arg(&self.at));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").args(["-l"]).arg(&self.at).stderr(Stdio::null()).status().is_ok();
    }
}

pub(crate) fn done(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What the cuts need that is not here.
fn lacking(kind: &str) -> Option<String> {
    let tools = ["xfs_io", "strace", "mount", &format!("mkfs.{kind}")].map(str::to_owned);
    if let Some(tool) = tools.into_iter().find(|tool| !is_there(tool)) {
        return Some(tool);
    }
    let may = Command::new("sh").args(["-c", "[ \"$(id -u)\" = 0 ] && [ -e /dev/loop-control ]"]).status();
    (!may.is_ok_and(|status| status.success())).then(|| "root and loop devices".to_owned())
}

/// Cuts the power so often; gives the site, as it is after the last.
fn cut(kind: &str, cuts: u32, notes: &Path, syncs_do_nothing: bool) -> (Site, Disk, u32) {
    let disk = Disk::new(kind);
    let mut site = Site::new(disk.at.join("store"), notes);
    done(&mut Command::new("sync"));
    let mut losing = 0;
    for turn in 0..cuts {
        let server = Server::start_in(&site.data, &[]);
        let broken = syncs_do_nothing
            .then(|| Trouble::on(server.pid(), &site.data.join("counterfoil.db-wal"), "fdatasync,fsync", "retval=0"));
        let sender = site.send(&server, 16, turn);
        assert!(sender.wait_for(BEFORE + 29 * (turn as usize % 7)), "callbacks are acknowledged");
        site.stop(sender);
        disk.cut();
        drop(broken);
        server.kill();
        disk.unmount();
        disk.mount();
        if syncs_do_nothing && site.lost_of_any() > 0 {
            losing += 1;
            break;
        }
    }
    (site, disk, losing)
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
