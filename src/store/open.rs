//! The folder of a store: whether it is one, whose it is, who has it open, and which version it is of.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::damage::is_damage;
use super::{index, journal};

/// "CFoi": marks a file as ours in `SQLite`'s header.
const APPLICATION_ID: i32 = 0x4346_6f69;
/// What each version added, in order; the store's `user_version` counts those that it has.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001-callbacks.sql"),
    include_str!("migrations/0002-people.sql"),
    include_str!("migrations/0003-index-in-runs.sql"),
    include_str!("migrations/0004-quarantine-origin.sql"),
    include_str!("migrations/0005-marks.sql"),
    include_str!("migrations/0006-removal.sql"),
    include_str!("migrations/0007-rescue.sql"),
    include_str!("migrations/0008-hours.sql"),
    include_str!("migrations/0009-record.sql"),
    include_str!("migrations/0010-second-factor.sql"),
    include_str!("migrations/0011-alarms.sql"),
    include_str!("migrations/0012-single-sign-on.sql"),
    include_str!("migrations/0013-subjects.sql"),
    include_str!("migrations/0014-sessions.sql"),
    include_str!("migrations/0016-passkeys.sql"),
    include_str!("migrations/0018-revoked-at-once.sql"),
    include_str!("migrations/0020-handling.sql"),
    include_str!("migrations/0021-sent.sql"),
    include_str!("migrations/0022-contacts.sql"),
    include_str!("migrations/0023-flags-shown.sql"),
    include_str!("migrations/0024-emails.sql"),
    include_str!("migrations/0025-taken.sql"),
    include_str!("migrations/0026-counted.sql"),
    include_str!("migrations/0027-test-callbacks.sql"),
];
/// What the writer touches again and again is small: the ends of a few tables.
const WRITER_CACHE_KIB: i64 = 8 * 1024;
/// A reader's page is short.
const READER_CACHE_KIB: i64 = 2 * 1024;
/// The length to which the log's file is cut.
const LOG_LEFT: i64 = 64 * 1024 * 1024;
/// How long a write waits for another process's transaction: less than the time in which a callback is answered.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(2);

/// What is wrong with a folder, each fault with a sentence and an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is not empty and holds no store.
    #[error(
        "the folder {folder} holds {found} and no Counterfoil store. Name an empty folder, or one that does not exist yet"
    )]
    SomethingElse {
        /// The folder that was named.
        folder: String,
        /// One thing that was found in it.
        found: String,
    },
    /// The folder is to become a store and is not empty.
    #[error("the folder {folder} holds {found}. Name an empty folder, or one that does not exist yet")]
    NotEmpty {
        /// The folder that was named.
        folder: String,
        /// One thing that was found in it.
        found: String,
    },
    /// The database file has no bytes.
    #[error("the store's file counterfoil.db is empty: it was cut off or never written. Restore it from a backup")]
    ZeroLength,
    /// `SQLite` or the folder shows damage.
    #[error("the store is damaged: {0}. Keep a copy of the folder, then restore from a backup")]
    Damaged(String),
    /// A database of another program.
    #[error("counterfoil.db is not a Counterfoil store: {0}. Name another folder")]
    Foreign(String),
    /// Written by a later release.
    #[error(
        "the store is of version {found}, and this release knows versions up to {known}. Install the newer release again"
    )]
    Newer {
        /// The store's version.
        found: usize,
        /// The newest version that this release knows.
        known: usize,
    },
    /// Another server has the folder open.
    #[error("another counterfoil serve has this folder open. Stop it first, or name another folder")]
    InUse,
    /// There is no store in the folder.
    #[error("the folder {0} holds no Counterfoil store. Check --data; counterfoil serve or token add makes one")]
    NoStore(String),
    /// Whoever runs this may not see what is in the folder.
    #[error(
        "the folder {0} cannot be looked into: permission denied. Run it as root or as the server’s user, such as by sudo"
    )]
    Closed(String),
    /// The store cannot be read or written.
    #[error("the store cannot be used: {0}. Check the folder's owner and the free space")]
    Unreadable(String),
    /// The system refused something.
    #[error("cannot {what}: {error}. Check the folder's owner, its permissions and the free space")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system answered.
        error: io::Error,
    },
}

impl OpenError {
    /// The exit code of a command that this stopped.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            OpenError::SomethingElse { .. } | OpenError::NotEmpty { .. } => 10,
            OpenError::ZeroLength => 11,
            OpenError::Damaged(_) => 12,
            OpenError::Foreign(_) => 13,
            OpenError::Newer { .. } => 14,
            OpenError::InUse => 15,
            OpenError::Unreadable(_) => 16,
            OpenError::Closed(_) | OpenError::Io { .. } => 17,
            OpenError::NoStore(_) => 18,
        }
    }
}

/// Who opens the folder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// The one server: it holds the lock.
    Serve,
    /// A command that works beside it.
    Beside,
    /// Such a command that has nothing to do where there is no store.
    Existing,
}

/// The folder of an open store; while a server holds it, nobody else serves it.
pub(super) struct Folder {
    path: PathBuf,
    /// Held for as long as this lives.
    lock: Option<File>,
}

impl Folder {
    /// Before anybody has looked at it.
    pub(super) fn at(path: &Path) -> Folder {
        Folder { path: path.to_owned(), lock: None }
    }

    /// Looks at the folder, makes what is not there yet, and brings the store to today's version.
    pub(super) fn claim(path: &Path, purpose: Use, now: i64) -> Result<Folder, OpenError> {
        let mut folder = Folder::at(path);
        if purpose == Use::Existing {
            folder.refuse_no_store()?;
        }
        make_folder(path)?;
        folder.refuse_something_else()?;
        if purpose == Use::Serve {
            folder.lock = Some(folder.lock()?);
        }
        if folder.has_store()? {
            folder.refuse_nothing_at_all()?;
        } else {
            folder.create(now)?;
        }
        let mut connection = folder.connect()?;
        recognise(&connection)?;
        migrate(&mut connection, MIGRATIONS.len()).map_err(|error| damaged(&error))?;
        index::make_up(&mut connection).map_err(|error| damaged(&error))?;
        Ok(folder)
    }

    /// Takes an empty folder for a store that is put there whole, making it where there is none.
    pub(super) fn claim_empty(path: &Path) -> Result<Folder, OpenError> {
        let failed = |error| OpenError::Io { what: "read the folder", error };
        make_folder(path)?;
        let mut folder = Folder::at(path);
        let lock = "counterfoil.lock";
        let had_lock = path.join(lock).exists();
        // Of a folder in use this is said first. A lock that nobody holds is left from a server that ran on a store now gone.
        if had_lock {
            folder.lock = Some(folder.lock()?);
        }
        for entry in fs::read_dir(path).map_err(failed)? {
            let found = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if !["lost+found", lock, "counterfoil.ballast", journal::NAME].contains(&found.as_str()) {
                return Err(OpenError::NotEmpty { folder: path.display().to_string(), found });
            }
        }
        if !had_lock {
            folder.lock = Some(folder.lock()?);
        }
        Ok(folder)
    }

    /// Gives the folder back as empty as it was.
    pub(super) fn leave(self, keep_folder: bool) -> io::Result<()> {
        fs::remove_file(self.path.join("counterfoil.lock"))?;
        if keep_folder { Ok(()) } else { fs::remove_dir(&self.path) }
    }

    /// Looks at a store that is there, to read it whole. Nothing in the folder is made, changed or brought to today's version.
    pub(super) fn look(path: &Path) -> Result<(Folder, Connection), OpenError> {
        let folder = Folder::at(path);
        folder.refuse_no_store()?;
        folder.refuse_nothing_at_all()?;
        let reader = reader(&folder).map_err(|error| damaged(&error))?;
        recognise(&reader)?;
        Ok((folder, reader))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this process has it alone.
    pub(super) fn is_held(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether the store's file is there. Where nobody can tell, it is not said to be missing.
    fn has_store(&self) -> Result<bool, OpenError> {
        self.database().try_exists().map_err(|error| self.not_read(error))
    }

    /// For who makes none.
    pub(super) fn refuse_no_store(&self) -> Result<(), OpenError> {
        if self.has_store()? { Ok(()) } else { Err(OpenError::NoStore(self.path.display().to_string())) }
    }

    fn not_read(&self, error: io::Error) -> OpenError {
        match error.kind() {
            io::ErrorKind::PermissionDenied => OpenError::Closed(self.path.display().to_string()),
            _ => OpenError::Io { what: "read the folder", error },
        }
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join("counterfoil.db")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("counterfoil.db-wal")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.path.join("counterfoil.key")
    }

    /// A connection that may write.
    pub(super) fn connect(&self) -> Result<Connection, OpenError> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.database(), flags).map_err(|error| unreadable(&error))?;
        prepare_writer(&connection).map_err(|error| damaged(&error))?;
        Ok(connection)
    }

    /// Makes a new name in the folder last through a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// As [`give_to_owner`] of this folder.
    pub(super) fn give_to_owner(&self, file: &Path) -> io::Result<()> {
        give_to_owner(&self.path, file)
    }

    fn refuse_something_else(&self) -> Result<(), OpenError> {
        let failed = |error| self.not_read(error);
        let mut stranger = None;
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if name == "counterfoil.db" {
                return Ok(());
            }
            if name != "lost+found" && !name.starts_with("counterfoil.") {
                stranger = Some(name);
            }
        }
        match stranger {
            Some(found) => Err(OpenError::SomethingElse { folder: self.path.display().to_string(), found }),
            None if self.log().exists() => {
                Err(OpenError::Damaged("its log counterfoil.db-wal is there and its file counterfoil.db is not".into()))
            }
            None => Ok(()),
        }
    }

    fn lock(&self) -> Result<File, OpenError> {
        let failed = |error| OpenError::Io { what: "open the lock file", error };
        let path = self.path.join("counterfoil.lock");
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        self.give_to_owner(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse),
            Err(fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// By its length alone, and never by opening it: to close it would end the locks that `SQLite` has on it in this process, and an older
    /// one beside the server would then remove the log from under it. What else it is not, `SQLite` says.
    fn refuse_nothing_at_all(&self) -> Result<(), OpenError> {
        let failed = |error| OpenError::Io { what: "look at the store's file", error };
        if fs::metadata(self.database()).map_err(failed)?.len() == 0 { Err(OpenError::ZeroLength) } else { Ok(()) }
    }

    /// Built whole under another name, so that a crash leaves no half-made store.
    fn create(&self, now: i64) -> Result<(), OpenError> {
        let failed = |error| OpenError::Io { what: "make the store's file", error };
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700))
            .map_err(|error| OpenError::Io { what: "keep others out of the folder", error })?;
        let made = self.path.join(format!("counterfoil.new-{}-{now}", std::process::id()));
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&made).map_err(failed)?;
        self.give_to_owner(&made).map_err(failed)?;
        build(&made).map_err(|error| unreadable(&error))?;
        // Linked, not renamed: of two commands that make the store at once, the second takes the first's.
        let linked = fs::hard_link(&made, self.database());
        fs::remove_file(&made).map_err(failed)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
            _ => self.sync().map_err(failed),
        }
    }
}

/// Gives a file that root made to the folder's owner, so that the server can go on using it.
pub(super) fn give_to_owner(folder: &Path, file: &Path) -> io::Result<()> {
    let (folder, made) = (fs::metadata(folder)?, fs::metadata(file)?);
    if (folder.uid(), folder.gid()) != (made.uid(), made.gid()) && made.uid() == 0 {
        std::os::unix::fs::chown(file, Some(folder.uid()), Some(folder.gid()))?;
    }
    Ok(())
}

pub(super) fn recognise(connection: &Connection) -> Result<(), OpenError> {
    let id: i32 =
        connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(|error| damaged(&error))?;
    if id != APPLICATION_ID {
        return Err(OpenError::Foreign("it is another program's database".into()));
    }
    let found = version(connection).map_err(|error| damaged(&error))?;
    if found > MIGRATIONS.len() {
        return Err(OpenError::Newer { found, known: MIGRATIONS.len() });
    }
    Ok(())
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::Io { what: "make the folder", error };
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)
}

fn build(file: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open(file)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    migrate(&mut connection, MIGRATIONS.len())?;
    // Changing to the log last leaves one file with everything in it, synced, when the connection closes.
    prepare_writer(&connection)?;
    connection.close().map_err(|(_, error)| error)
}

/// Brings the store up to `to` migrations, each in a transaction of its own, so that a stop half-way is taken up again.
pub(super) fn migrate(connection: &mut Connection, to: usize) -> rusqlite::Result<()> {
    for (done, sql) in MIGRATIONS.iter().enumerate().take(to) {
        if version(connection)? > done {
            continue;
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Asked again under the lock: another process may have done it meanwhile.
        if version(&transaction)? == done {
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "user_version", done + 1)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

pub(super) fn version(connection: &Connection) -> rusqlite::Result<usize> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn prepare_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(LOCK_WAIT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    // Checkpoints are run and looked at by us.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // One that grew long is cut when it is begun anew: by its length readers of the whole file see that it is long.
    connection.pragma_update(None, "journal_size_limit", LOG_LEFT)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

pub(super) fn prepare_reader(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(LOCK_WAIT)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// A connection of one's own that only reads.
pub(super) fn reader(folder: &Folder) -> rusqlite::Result<Connection> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(folder.database(), flags)?;
    prepare_reader(&mut connection)?;
    Ok(connection)
}

fn unreadable(error: &rusqlite::Error) -> OpenError {
    OpenError::Unreadable(error.to_string())
}

pub(super) fn damaged(error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            OpenError::Foreign("it is no SQLite database, or its first page is damaged".into())
        }
        _ if is_damage(error) => OpenError::Damaged(error.to_string()),
        _ => unreadable(error),
    }
}
