//! A backup: a copy of the store, made beside whoever uses it, that is whole and checked before it has its name.
//!
//! The pages are copied as they stand, within one read transaction: so the copy is of one moment, and no write makes it begin
//! again. That transaction keeps the log from being cut meanwhile, so the copy is bounded by the length of the log, and ends the
//! transaction before it does anything else. The key file is left out: a backup alone opens no session.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use tempfile::NamedTempFile;

use super::damage::{LONGEST_LOG, quick_check};
use super::open::{Folder, OpenError};
use super::progress::{Progress, Stage};
use super::sealing::{Recipient, seal};

/// Pages that are copied at once: a megabyte.
const PAGES: i32 = 256;
/// So much is copied before it is synced: a whole store that goes to the disk at once would keep the writer's syncs waiting.
const SYNCED_EVERY: u64 = 16 * 1024 * 1024;
/// Bytes of a file that are copied at once.
const PIECE: usize = 1024 * 1024;
/// How the names of unfinished copies begin.
const UNFINISHED: &str = ".counterfoil-unfinished-";

/// Why no backup was made or restored. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store or the folder cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The backup's name is taken.
    #[error("the file {0} exists already, and a backup replaces nothing. Name another file")]
    Exists(String),
    /// Somebody asked for it to stop.
    #[error("it was stopped before it was whole. Nothing is left of it")]
    Stopped,
    /// The copy took so long that the log grew too long.
    #[error(
        "so much was written meanwhile that the store's log passed 1 GiB. Try again on a faster disk or at a quieter time"
    )]
    TooSlow,
    /// The copy is damaged.
    #[error("the copy is damaged: {0}. Run counterfoil check to see whether the store is")]
    CopyDamaged(String),
    /// The backup has no bytes.
    #[error("the backup is empty: it was cut off or never written. Take another one")]
    Empty,
    /// The file is something else.
    #[error("the file is not a backup of a Counterfoil store. Name another one")]
    NoBackup,
    /// The backup is encrypted, and what was given does not open it.
    #[error("the backup is encrypted: {0}")]
    Encrypted(&'static str),
    /// The backup is damaged.
    #[error("the backup is damaged: {0}. Take another one")]
    BackupDamaged(String),
    /// What `SQLite` said while copying.
    #[error("the store could not be copied: {0}. Check the free space, then try again")]
    Sqlite(String),
    /// A file that was named is not there, or may not be read.
    #[error("the {what} {file} cannot be read: {error}. Check its name, and who may read it")]
    NotRead {
        /// What it is to be.
        what: &'static str,
        /// The file that was named.
        file: String,
        /// What the system answered.
        error: io::Error,
    },
    /// The system refused something.
    #[error("cannot {what}: {error}. Check the folder's owner, its permissions and the free space")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system answered.
        error: io::Error,
    },
}

impl BackupError {
    /// The exit code of a command that this stopped.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            BackupError::Store(error) => error.exit_code(),
            BackupError::Empty => 11,
            BackupError::CopyDamaged(_) | BackupError::BackupDamaged(_) => 12,
            BackupError::NoBackup => 13,
            BackupError::Exists(_) => 19,
            BackupError::Encrypted(_) => 21,
            BackupError::Stopped
            | BackupError::TooSlow
            | BackupError::Sqlite(_)
            | BackupError::NotRead { .. }
            | BackupError::Io { .. } => 1,
        }
    }
}

impl From<rusqlite::Error> for BackupError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => BackupError::Stopped,
            _ if super::damage::is_damage(&error) => OpenError::Damaged(error.to_string()).into(),
            _ => BackupError::Sqlite(error.to_string()),
        }
    }
}

/// Copies the store of `folder` into a new `file`, beside a server that may be running; encrypted, where there are recipients. Blocks;
/// gives the file's bytes.
///
/// # Errors
/// Says why there is no backup, each fault by a variant of its own. Then `file` does not exist.
pub fn back_up(folder: &Path, file: &Path, recipients: &[Recipient], progress: &Progress) -> Result<u64, BackupError> {
    if file.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(file.display().to_string()));
    }
    let (folder, reader) = Folder::look(folder)?;
    // What is to be encrypted stands in the clear only where it does already.
    let mut copy = unfinished(if recipients.is_empty() { parent(file) } else { folder.path() })?;
    copy_pages(&reader, copy.path(), &folder.log(), progress)?;
    drop(reader);
    check_copy(copy.path(), progress)?;
    if recipients.is_empty() {
        return finish(copy, file);
    }
    let sealed = unfinished(parent(file))?;
    copy.as_file_mut().rewind().map_err(|error| BackupError::Io { what: "read the copy", error })?;
    seal(copy.as_file_mut(), sealed.as_file(), recipients, progress)?;
    finish(sealed, file)
}

/// The folder of a file's name.
fn parent(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file for its owner alone that is gone when this is dropped. What a process that was killed left there goes too: a file that
/// somebody is still at is locked.
fn unfinished(folder: &Path) -> Result<NamedTempFile, BackupError> {
    let failed = |error| BackupError::Io { what: "make a file in the folder of the backup", error };
    for entry in fs::read_dir(folder).map_err(failed)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED)
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    let made = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder).map_err(failed)?;
    // Where a file system knows no locks, two backups into one folder must not be made at the same time.
    let _locked = made.as_file().try_lock().is_ok();
    Ok(made)
}

fn copy_pages(reader: &Connection, copy: &Path, log: &Path, progress: &Progress) -> Result<(), BackupError> {
    let synced = |error| BackupError::Io { what: "write the backup", error };
    let mut writer = open_copy(copy)?;
    // It is synced by us.
    writer.pragma_update(None, "journal_mode", "OFF")?;
    writer.pragma_update(None, "synchronous", "OFF")?;
    let page_size: u64 = reader.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    // The moment of the backup.
    let moment = reader.unchecked_transaction()?;
    let _tables: i64 = moment.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let backup = Backup::new(&moment, &mut writer)?;
    let mut synced_to = 0;
    loop {
        if progress.is_stopped() {
            return Err(BackupError::Stopped);
        }
        if fs::metadata(log).is_ok_and(|log| log.len() > LONGEST_LOG) {
            return Err(BackupError::TooSlow);
        }
        let step = backup.step(PAGES)?;
        let reached = backup.progress();
        let bytes = |pages: i32| u64::try_from(pages).unwrap_or(0) * page_size;
        let done = bytes(reached.pagecount - reached.remaining);
        progress.is_at(Stage::Copying, done, bytes(reached.pagecount));
        if done - synced_to >= SYNCED_EVERY {
            File::open(copy).and_then(|copy| copy.sync_data()).map_err(synced)?;
            synced_to = done;
        }
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => (),
            other => return Err(BackupError::Sqlite(format!("{other:?}"))),
        }
    }
}

/// A connection to a copy that nobody else uses: so it needs no memory to share beside it. It makes no file.
pub(super) fn open_copy(copy: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    Ok(connection)
}

/// Makes one file of it that needs no log beside it, and reads it through.
fn check_copy(copy: &Path, progress: &Progress) -> Result<(), BackupError> {
    progress.is_at(Stage::Checking, 0, 0);
    let connection = open_copy(copy)?;
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    let stops = progress.clone();
    if let Some(said) = quick_check(&connection, move || stops.is_stopped())? {
        return Err(BackupError::CopyDamaged(said));
    }
    connection.close().map_err(|(_, error)| error.into())
}

/// Copies bytes to where they are written, syncing the file behind it now and then; gives how many they were.
pub(super) fn copy_bytes(
    from: &mut dyn Read,
    to: &mut dyn Write,
    file: &File,
    (stage, of): (Stage, u64),
    progress: &Progress,
) -> Result<u64, BackupError> {
    let written = |error| BackupError::Io { what: "write the copy", error };
    let mut piece = vec![0; PIECE];
    let (mut done, mut synced_to) = (0, 0);
    loop {
        if progress.is_stopped() {
            return Err(BackupError::Stopped);
        }
        let length = match from.read(&mut piece) {
            Ok(0) => return Ok(done),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.raw_os_error().is_some() => {
                return Err(BackupError::Io { what: "read the backup", error });
            }
            // It came whole from the disk, and is not what was encrypted.
            Err(error) => return Err(BackupError::BackupDamaged(error.to_string())),
        };
        to.write_all(piece.get(..length).unwrap_or_default()).map_err(written)?;
        done += u64::try_from(length).unwrap_or(0);
        progress.is_at(stage, done, of);
        if done - synced_to >= SYNCED_EVERY {
            file.sync_data().map_err(written)?;
            synced_to = done;
        }
    }
}

/// Gives the file its name, for good.
fn finish(copy: NamedTempFile, file: &Path) -> Result<u64, BackupError> {
    let failed = |error| BackupError::Io { what: "put the backup in its place", error };
    copy.as_file().sync_all().map_err(failed)?;
    let bytes = copy.as_file().metadata().map_err(failed)?.len();
    copy.persist_noclobber(file).map_err(|lost| match lost.error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(file.display().to_string()),
        _ => failed(lost.error),
    })?;
    let folder: PathBuf = parent(file).to_owned();
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(bytes)
}
