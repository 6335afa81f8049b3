//! Copying the log into the file: run by us, and looked at, because commits go on succeeding while checkpoints fail.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::condition::Condition;
use super::damage::LONGEST_LOG;
use super::open::{Folder, LOCK_WAIT, OpenError};
use super::{Store, StoreError};
use crate::meters::Copied;

/// Below this the log is left alone: copying it more often only costs.
const WORTH_COPYING: u64 = 4 * 1024 * 1024;
/// Past this the writer itself waits for a checkpoint, so that the log cannot grow without end under steady load.
/// A start after a stop without warning reads the log through, so its length is also how long that takes.
const RELIEF_PAGES: i64 = 4 * 1024;

/// Past this nothing more is written. Whoever reads the whole file has given way before.
pub(super) const LONGEST: u64 = LONGEST_LOG + LONGEST_LOG / 4;
/// How long the writer then waits before it looks whether the log can be copied.
pub(super) const LOOKS_AGAIN: Duration = Duration::from_secs(1);

/// How long the last one may take to find nobody else at it.
const LAST_WITHIN: Duration = Duration::from_secs(5);

/// What a checkpoint did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// There was too little in the log to copy.
    NotNeeded,
    /// Everything in the log was copied.
    Whole,
    /// A reader or writer kept part of it: the next tick goes on.
    Part,
    /// It failed: the log grows until this mends.
    Failed,
}

/// Whether the log is so long that nothing more is written until it has been copied; clones know the same.
#[derive(Clone)]
pub(super) struct LogLength {
    /// In bytes.
    longest: u64,
    is_too_long: Arc<AtomicBool>,
}

impl LogLength {
    pub(super) fn at_most(longest: u64) -> LogLength {
        LogLength { longest, is_too_long: Arc::default() }
    }

    pub(super) fn refuse(&self) -> Result<(), StoreError> {
        if self.is_too_long() { Err(StoreError::LogTooLong) } else { Ok(()) }
    }

    pub(super) fn is_too_long(&self) -> bool {
        self.is_too_long.load(Ordering::Relaxed)
    }

    fn becomes_too_long(&self, bytes: u64) {
        if !self.is_too_long.swap(true, Ordering::Relaxed) {
            tracing::error!(
                event = "store.log_too_long",
                bytes,
                "the log cannot be copied into the store and is too long: every callback is answered 503 until it can, and Notify \
                 gives each up after about 25 minutes. If store.checkpoint_failed was logged before, look whether the disk fails or \
                 is full. If not, another program reads counterfoil.db without an end: stop it. It goes on by itself"
            );
        }
    }

    fn was_copied(&self) {
        if self.is_too_long.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                event = "store.log_copied",
                "the log was copied into the store, and callbacks are taken again"
            );
        }
    }
}

impl Store {
    /// Whether nothing is written because the log cannot be copied.
    #[must_use]
    pub fn is_log_too_long(&self) -> bool {
        self.inner.condition.log.is_too_long()
    }

    /// Waits until something has been written since this was last waited for.
    pub async fn written(&self) {
        self.inner.writer.written().await;
    }

    /// Waits until another process has written since this was last waited for. A server notices within about a second.
    pub async fn written_beside(&self) {
        self.inner.writer.written_beside().await;
    }

    /// Copies the log into the file beside the writer, without making anyone wait.
    ///
    /// # Errors
    /// When the log's size cannot be read or the work was cut off.
    pub async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let store = self.clone();
        let work = move || {
            let (folder, condition) = (&store.inner.folder, &store.inner.condition);
            let length = fs::metadata(folder.log()).map_or(0, |log| log.len());
            if length < WORTH_COPYING { Checkpoint::NotNeeded } else { copy(folder, condition, "PASSIVE") }
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)
    }
}

impl Store {
    /// Copies the log into the file and cuts it to nothing, where nobody reads in it: else it is left in part, and nobody waits.
    ///
    /// # Errors
    /// When the work was cut off.
    pub async fn empty_log(&self) -> Result<Checkpoint, StoreError> {
        let store = self.clone();
        // The writer waits for the rest, so most is copied before.
        let most = move || copy(&store.inner.folder, &store.inner.condition, "PASSIVE");
        let _most = tokio::task::spawn_blocking(most).await.map_err(|_| StoreError::Closed)?;
        self.inner.writer.cut_log().await
    }
}

/// The last one, when the writer has ended: leaves an empty log. Whoever has the store alone waits for one that is under way beside it.
pub(super) fn last(folder: &Folder, condition: &Condition) -> Checkpoint {
    let ends = Instant::now() + LAST_WITHIN;
    loop {
        let done = copy(folder, condition, "TRUNCATE");
        if done != Checkpoint::Part || !folder.is_held() || Instant::now() > ends {
            return done;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn copy(folder: &Folder, condition: &Condition, mode: &str) -> Checkpoint {
    let connection = match folder.connect() {
        Ok(connection) => connection,
        Err(error) => {
            if let OpenError::Damaged(said) | OpenError::Foreign(said) = &error {
                condition.damage.found(said);
            }
            tracing::error!(event = "store.checkpoint_failed", error = %error, "the log could not be copied into the store");
            condition.meters.copied(Copied::Failed);
            return Checkpoint::Failed;
        }
    };
    // To wait for those who read would keep the writer waiting, of a server beside this process too.
    connection.busy_timeout(Duration::ZERO).and_then(|()| run(&connection, mode, condition)).unwrap_or_else(|error| {
        failed(&error, condition);
        Checkpoint::Failed
    })
}

/// Called by the writer between transactions, when nobody adds to the log: once all of it is copied, the next transaction
/// begins it anew. Where that goes on failing, nothing more is written.
pub(super) fn relieve(connection: &Connection, condition: &Condition) {
    let pages = connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get::<_, i64>(1));
    let page_size = connection.query_row("PRAGMA page_size", [], |row| row.get::<_, i64>(0));
    let (Ok(pages), Ok(page_size)) = (pages, page_size) else { return };
    if pages > RELIEF_PAGES
        && let Err(error) = run(connection, "PASSIVE", condition)
    {
        failed(&error, condition);
    }
    let bytes = pages.saturating_mul(page_size).max(0).unsigned_abs();
    if bytes > condition.log.longest && cut(connection, condition) != Checkpoint::Whole {
        condition.log.becomes_too_long(bytes);
    }
}

/// Called by the writer while nothing is written because the log is too long.
pub(super) fn try_again(connection: &Connection, condition: &Condition) {
    if cut(connection, condition) == Checkpoint::Whole {
        condition.log.was_copied();
    }
}

/// Copies the log and cuts it to nothing, between two transactions of the writer. It must not wait for those who read in the log: a
/// backup does for minutes, and what copies the log elsewhere does all the time.
pub(super) fn cut(connection: &Connection, condition: &Condition) -> Checkpoint {
    let done = connection.busy_timeout(Duration::ZERO).and_then(|()| run(connection, "TRUNCATE", condition));
    let waits_again = connection.busy_timeout(LOCK_WAIT);
    waits_again.and(done).unwrap_or_else(|error| {
        failed(&error, condition);
        Checkpoint::Failed
    })
}

/// Copies all of the log that this connection has open, whatever became of its name; whether all was copied. A backup that reads there
/// gives way to nobody, so that it is waited for a little.
pub(super) fn rescue(connection: &Connection, condition: &Condition) -> bool {
    let ends = Instant::now() + LAST_WITHIN;
    loop {
        let done = run(connection, "PASSIVE", condition).unwrap_or_else(|error| {
            failed(&error, condition);
            Checkpoint::Failed
        });
        if done == Checkpoint::Whole || Instant::now() > ends {
            return done == Checkpoint::Whole;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn failed(error: &rusqlite::Error, condition: &Condition) {
    condition.meters.copied(Copied::Failed);
    condition.note(error);
    tracing::error!(event = "store.checkpoint_failed", error = %error, "the log could not be copied into the store");
}

fn run(connection: &Connection, mode: &str, condition: &Condition) -> rusqlite::Result<Checkpoint> {
    let done = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        let (busy, log, copied): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(if busy == 0 && log == copied { Checkpoint::Whole } else { Checkpoint::Part })
    })?;
    condition.meters.copied(if done == Checkpoint::Whole { Copied::Whole } else { Copied::Part });
    Ok(done)
}
