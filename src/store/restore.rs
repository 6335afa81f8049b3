//! A backup put into a folder of its own as a store: copied, read through whole, and only then given its name.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::backup::{BackupError, copy_bytes, open_copy};
use super::damage::{integrity_check, is_damage};
use super::erasing::{self, Again};
use super::index;
use super::journal::{self, Line};
use super::open::{Folder, MIGRATIONS, OpenError, migrate, recognise};
use super::progress::{Progress, Stage};
use super::sealing::unseal;

/// What was restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restored {
    /// The store's bytes.
    pub bytes: u64,
    /// How many callbacks and bodies that the backup held were erased again; `None` where there is no journal of erasures.
    pub erased_again: Option<u64>,
    /// How many of those a hold in the backup keeps.
    pub held: u64,
}

/// Makes a store in the empty or absent `folder` out of a backup. One that is encrypted is opened with a secret key in the file
/// `identity`. What the journal of erasures names is erased again before the store has its name, but for what a hold keeps: that is the file `erased`, and what
/// lies in the folder and beside the backup. Blocks.
///
/// # Errors
/// Says why there is no store, each fault by a variant of its own. Then the folder is as it was.
pub fn restore(
    file: &Path,
    identity: Option<&Path>,
    erased: Option<&Path>,
    folder: &Path,
    progress: &Progress,
) -> Result<Restored, BackupError> {
    let failed = |error| BackupError::Io { what: "read the backup", error };
    let not_read = |what, file: &Path, error| {
        let file = file.display().to_string();
        BackupError::NotRead { what, file, error }
    };
    let journals = erased.map(Path::to_owned).into_iter().chain(journal::look_for(folder, file));
    let read =
        |journal: PathBuf| journal::read(&journal).map_err(|error| not_read("journal of erasures", &journal, error));
    let erased = journals.map(read).reduce(|all, more| Ok([all?, more?].concat())).transpose()?;
    let backup = File::open(file).map_err(|error| not_read("backup", file, error))?;
    let bytes = backup.metadata().map_err(failed)?.len();
    let mut backup = unseal(backup, identity)?;
    let was_there = folder.exists();
    let claimed = Folder::claim_empty(folder)?;
    let done = put(backup.as_mut(), bytes, &claimed, erased.as_deref(), progress);
    if done.is_err() {
        let undone = claimed.leave(was_there);
        if let Err(error) = undone {
            tracing::warn!(event = "store.folder_left", error = %error, "the folder could not be left as it was");
        }
    }
    done
}

fn put(
    backup: &mut dyn Read,
    bytes: u64,
    folder: &Folder,
    erased: Option<&[Line]>,
    progress: &Progress,
) -> Result<Restored, BackupError> {
    let failed = |error| BackupError::Io { what: "write the store's file", error };
    let copy = tempfile::Builder::new().prefix("counterfoil.restoring-").tempfile_in(folder.path()).map_err(failed)?;
    folder.give_to_owner(copy.path()).map_err(failed)?;
    let length = copy_bytes(backup, &mut copy.as_file(), copy.as_file(), (Stage::Copying, bytes), progress)?;
    check(copy.path(), length, progress)?;
    sign_everybody_out(copy.path())?;
    let again = match erased {
        Some(lines) => {
            progress.is_at(Stage::Removing, 0, 0);
            let again = erase_again(copy.path(), lines)?;
            let kept = |error| BackupError::Io { what: "write the journal of erasures", error };
            journal::take_over(lines, folder.path()).map_err(kept)?;
            Some(again)
        }
        None => None,
    };
    copy.as_file().sync_all().map_err(failed)?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).map_err(failed)?;
    copy.persist_noclobber(folder.database()).map_err(|lost| failed(lost.error))?;
    folder.sync().map_err(failed)?;
    let erased_again = again.map(|again| again.removed);
    Ok(Restored { bytes: length, erased_again, held: again.unwrap_or_default().held })
}

/// What lets somebody in without a password, or from a browser that is known.
const LETS_IN: [&str; 4] = ["sessions", "pending_sign_ins", "one_time_links", "known_browsers"];

/// Nobody is signed in, and no link to a password is good any more: the key file may be brought along, and who was disabled or signed
/// out after the backup was not so when it was made.
fn sign_everybody_out(copy: &Path) -> Result<(), BackupError> {
    let connection = open_copy(copy)?;
    connection.pragma_update(None, "secure_delete", true)?;
    for table in LETS_IN {
        // An earlier release may not have it yet.
        if connection.table_exists(None, table)? {
            connection.execute(&format!("DELETE FROM {table}"), [])?;
        }
    }
    connection.close().map_err(|(_, error)| error.into())
}

/// What the index still leads to is taken out of it when the store is opened.
fn erase_again(copy: &Path, lines: &[Line]) -> Result<Again, BackupError> {
    let mut connection = open_copy(copy)?;
    // Of an earlier release it may lack what erasing writes.
    migrate(&mut connection, MIGRATIONS.len())?;
    index::make_up(&mut connection)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    let erased = erasing::erase_again(&connection, lines)?;
    connection.close().map_err(|(_, error)| BackupError::from(error))?;
    Ok(erased)
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
    let connection = open_copy(copy)?;
    recognise(&connection).map_err(|error| match error {
        OpenError::Foreign(_) => BackupError::NoBackup,
        OpenError::Damaged(said) => BackupError::BackupDamaged(said),
        error => error.into(),
    })?;
    // Where what it says of its tables is damaged, nothing can be asked of it.
    let damaged = |error: rusqlite::Error| {
        if is_damage(&error) { BackupError::BackupDamaged(error.to_string()) } else { error.into() }
    };
    connection.pragma_update(None, "journal_mode", "DELETE").map_err(damaged)?;
    let stops = progress.clone();
    match integrity_check(&connection, move || stops.is_stopped()).map_err(damaged)? {
        Some(said) => Err(BackupError::BackupDamaged(said)),
        None => connection.close().map_err(|(_, error)| error.into()),
    }
}
