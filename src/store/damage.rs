//! Damage: once seen it stays known until the next start. Nothing more is taken into a store that cannot be trusted, and nothing
//! is shown from it.
//!
//! It is looked for after a start (`look_through.rs`), and any read or write may meet it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::{Store, StoreError};

/// A reader of the whole file keeps the log from being copied: past this it gives way.
pub(super) const LONGEST_LOG: u64 = 1024 * 1024 * 1024;
/// Steps of `SQLite`'s between two looks at whether to go on: a page that is checked is one, so some milliseconds.
const STEPS: i32 = 1000;

/// What is known of damage; clones know the same.
#[derive(Clone, Default)]
pub(super) struct Damage(Arc<OnceLock<String>>);

impl Damage {
    /// Raises the alarm, once. What `SQLite` says of damage names pages and tables, and never what is in them.
    pub(super) fn found(&self, said: &str) {
        if self.0.set(said.to_owned()).is_ok() {
            tracing::error!(
                event = "store.damaged",
                said,
                "the store is damaged: every callback is answered 503 from now on, and Notify gives each up after about 25 \
                 minutes. Stop the server, keep a copy of the folder, restore the newest backup into a new folder with \
                 counterfoil restore, and start the server on that"
            );
        }
    }

    /// Takes note of an error that says so.
    pub(super) fn note(&self, error: &rusqlite::Error) {
        if is_damage(error) {
            self.found(&error.to_string());
        }
    }

    /// Takes note of a result that says so.
    pub(super) fn noted<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Damaged(said)) = &done {
            self.found(said);
        }
        done
    }

    /// Refuses whatever comes after the damage was seen.
    pub(super) fn refuse(&self) -> Result<(), StoreError> {
        self.0.get().map_or(Ok(()), |said| Err(StoreError::Damaged(said.clone())))
    }

    pub(super) fn is_known(&self) -> bool {
        self.0.get().is_some()
    }
}

/// Whether the error means that the file is not what was written to it.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// `SQLite`'s quick check of the whole file: what is wrong first, or nothing. It ends with an interruption where `stops` says so.
pub(super) fn quick_check(
    connection: &Connection,
    stops: impl FnMut() -> bool + Send + 'static,
) -> rusqlite::Result<Option<String>> {
    checked(connection, "PRAGMA quick_check(1)", stops)
}

/// As [`quick_check`], of one table and its indexes.
pub(super) fn quick_check_of(
    connection: &Connection,
    table: &str,
    stops: impl FnMut() -> bool + Send + 'static,
) -> rusqlite::Result<Option<String>> {
    checked(connection, &format!("PRAGMA quick_check('{table}')"), stops)
}

/// As [`quick_check`], and also whether indexes agree with their tables, and rows with what they refer to.
pub(super) fn integrity_check(
    connection: &Connection,
    stops: impl FnMut() -> bool + Send + Clone + 'static,
) -> rusqlite::Result<Option<String>> {
    if let Some(said) = checked(connection, "PRAGMA integrity_check(1)", stops.clone())? {
        return Ok(Some(said));
    }
    connection.progress_handler(STEPS, Some(stops))?;
    let refers = "SELECT 'a row of ' || \"table\" || ' refers to one of ' || parent || ' that is not there'
        FROM pragma_foreign_key_check LIMIT 1";
    let said = connection.query_row(refers, [], |row| row.get(0)).optional();
    connection.progress_handler(0, None::<fn() -> bool>)?;
    said
}

fn checked(
    connection: &Connection,
    check: &str,
    stops: impl FnMut() -> bool + Send + 'static,
) -> rusqlite::Result<Option<String>> {
    connection.progress_handler(STEPS, Some(stops))?;
    let said = connection.query_row(check, [], |row| row.get::<_, String>(0));
    connection.progress_handler(0, None::<fn() -> bool>)?;
    match said {
        Ok(said) if said == "ok" => Ok(None),
        Ok(said) => Ok(Some(said.replace('\n', " "))),
        Err(error) if is_damage(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

impl Store {
    /// Whether damage has been seen since the store was opened. Then nothing is taken or shown any more.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.inner.condition.damage.is_known()
    }
}

/// Told to whoever reads the whole file that the store is being closed.
pub(super) type Closing = Arc<AtomicBool>;
