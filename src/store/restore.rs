//! A backup put into a folder of its own as a store: copied, read through whole, and only then given its name.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;

use super::backup::{BackupError, SYNCED_EVERY};
use super::damage::integrity_check;
use super::open::{Folder, OpenError, recognise};
use super::progress::{Progress, Stage};

/// Bytes that are copied at once.
const PIECE: usize = 1024 * 1024;

/// Makes a store in the empty or absent `folder` out of a backup. Blocks; gives the store's bytes.
///
/// # Errors
/// Says why there is no store, each fault by a variant of its own. Then the folder is as it was.
pub fn restore(file: &Path, folder: &Path, progress: &Progress) -> Result<u64, BackupError> {
    let failed = |error| BackupError::Io { what: "read the backup", error };
    let mut backup = File::open(file).map_err(failed)?;
    let bytes = backup.metadata().map_err(failed)?.len();
    let was_there = folder.exists();
    let claimed = Folder::claim_empty(folder)?;
    let done = put(&mut backup, bytes, &claimed, progress);
    if done.is_err() {
        let undone = claimed.leave(was_there);
        if let Err(error) = undone {
            tracing::warn!(event = "store.folder_left", error = %error, "the folder could not be left as it was");
        }
    }
    done
}

fn put(backup: &mut File, bytes: u64, folder: &Folder, progress: &Progress) -> Result<u64, BackupError> {
    let failed = |error| BackupError::Io { what: "write the store's file", error };
    let mut copy =
        tempfile::Builder::new().prefix("counterfoil.restoring-").tempfile_in(folder.path()).map_err(failed)?;
    folder.give_to_owner(copy.path()).map_err(failed)?;
    let length = copy_bytes(backup, bytes, copy.as_file_mut(), progress)?;
    check(copy.path(), length, progress)?;
    copy.as_file().sync_all().map_err(failed)?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).map_err(failed)?;
    copy.persist_noclobber(folder.database()).map_err(|lost| failed(lost.error))?;
    folder.sync().map_err(failed)?;
    Ok(length)
}

fn copy_bytes(from: &mut File, of: u64, to: &mut File, progress: &Progress) -> Result<u64, BackupError> {
    let read = |error| BackupError::Io { what: "read the backup", error };
    let written = |error| BackupError::Io { what: "write the store's file", error };
    let mut piece = vec![0; PIECE];
    let (mut done, mut synced_to) = (0, 0);
    loop {
        if progress.is_stopped() {
            return Err(BackupError::Stopped);
        }
        let length = match from.read(&mut piece) {
            Ok(0) => return Ok(done),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            length => length.map_err(read)?,
        };
        to.write_all(piece.get(..length).unwrap_or_default()).map_err(written)?;
        done += u64::try_from(length).unwrap_or(0);
        progress.is_at(Stage::Copying, done, of);
        if done - synced_to >= SYNCED_EVERY {
            to.sync_data().map_err(written)?;
            synced_to = done;
        }
    }
}

/// Whether it is a store, whole, of a version that is known.
fn check(copy: &Path, length: u64, progress: &Progress) -> Result<(), BackupError> {
    let failed = |error| BackupError::Io { what: "read the backup", error };
    let mut start = Vec::new();
    File::open(copy).and_then(|file| file.take(16).read_to_end(&mut start)).map_err(failed)?;
    if start != b"SQLite format 3\0" {
        return Err(if length == 0 { BackupError::Empty } else { BackupError::NoBackup });
    }
    progress.is_at(Stage::Checking, 0, 0);
    let connection = Connection::open(copy)?;
    // A copy that somebody made of the file of a running store asks for a log beside it: here there is none, and none is made.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    recognise(&connection).map_err(|error| match error {
        OpenError::Foreign(_) => BackupError::NoBackup,
        OpenError::Damaged(said) => BackupError::BackupDamaged(said),
        error => error.into(),
    })?;
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    let stops = progress.clone();
    match integrity_check(&connection, move || stops.is_stopped())? {
        Some(said) => Err(BackupError::BackupDamaged(said)),
        None => connection.close().map_err(|(_, error)| error.into()),
    }
}
