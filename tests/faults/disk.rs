//! File systems of their own in files, which can be cut off and copied as they stand.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::is_there;

/// A file system in a file, mounted.
pub(crate) struct Disk {
    pub(crate) image: PathBuf,
    pub(crate) at: PathBuf,
    /// Holds both; removed with this.
    _folder: TempDir,
}

impl Disk {
    pub(crate) fn new(kind: &str) -> Disk {
        Disk::made(kind, "400M", tempfile::tempdir().unwrap())
    }

    /// On another disk, which has to be the larger one.
    pub(crate) fn on(disk: &Disk, kind: &str) -> Disk {
        Disk::made(kind, "400M", tempfile::tempdir_in(&disk.at).unwrap())
    }

    /// One whose files can share their blocks, with room for others on it.
    pub(crate) fn for_copies() -> Disk {
        Disk::made("xfs", "2G", tempfile::tempdir().unwrap())
    }

    fn made(kind: &str, size: &str, folder: TempDir) -> Disk {
        let disk = Disk::laid_out(folder);
        done(Command::new("truncate").args(["-s", size]).arg(&disk.image));
        let quiet = if kind == "ext4" { "-qF" } else { "-qf" };
        done(Command::new(format!("mkfs.{kind}")).arg(quiet).arg(&disk.image));
        disk.mount();
        disk
    }

    fn laid_out(folder: TempDir) -> Disk {
        let (image, at) = (folder.path().join("image"), folder.path().join("disk"));
        std::fs::create_dir(&at).unwrap();
        Disk { image, at, _folder: folder }
    }

    /// What would be there if the power went at this moment, as a snapshot of the volume holds it: what was written and never
    /// synced is not in it. The disk itself goes on, on another disk whose files can share their blocks.
    pub(crate) fn snapshot(&self, kind: &str) -> Disk {
        let beside = self.at.parent().and_then(Path::parent).unwrap();
        let copy = Disk::laid_out(tempfile::tempdir_in(beside).unwrap());
        done(Command::new("cp").args(["--reflink=always"]).arg(&self.image).arg(&copy.image));
        // Two xfs of the same name are only mounted when asked for.
        let how = if kind == "xfs" { "loop,nouuid" } else { "loop" };
        done(Command::new("mount").args(["-o", how]).arg(&copy.image).arg(&copy.at));
        copy
    }

    pub(crate) fn mount(&self) {
        done(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.at));
    }

    pub(crate) fn cut(&self) {
        done(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.at));
    }

    pub(crate) fn unmount(&self) {
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

/// What such disks need that is not here.
pub(crate) fn lacking(kind: &str) -> Option<String> {
    let tools = ["xfs_io", "mkfs.xfs", "strace", "mount", &format!("mkfs.{kind}")].map(str::to_owned);
    if let Some(tool) = tools.into_iter().find(|tool| !is_there(tool)) {
        return Some(tool);
    }
    let may = Command::new("sh").args(["-c", "[ \"$(id -u)\" = 0 ] && [ -e /dev/loop-control ]"]).status();
    (!may.is_ok_and(|status| status.success())).then(|| "root and loop devices".to_owned())
}
