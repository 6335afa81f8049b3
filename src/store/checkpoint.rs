//! Copying the log into the file: run by us, and looked at, because commits go on succeeding while checkpoints fail.

use std::fs;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::damage::Damage;
use super::open::{Folder, LOCK_WAIT, OpenError};
use super::{Store, StoreError};

/// Below this the log is left alone: copying it more often only costs.
const WORTH_COPYING: u64 = 4 * 1024 * 1024;
/// Past this the writer itself waits for a checkpoint, so that the log cannot grow without end under steady load.
/// A start after a stop without warning reads the log through, so its length is also how long that takes.
const RELIEF_PAGES: i64 = 4 * 1024;

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

impl Store {
    /// Waits until something has been written since this was last waited for.
    pub async fn written(&self) {
        self.inner.writer.written().await;
    }

    /// Copies the log into the file beside the writer, without making anyone wait.
    ///
    /// # Errors
    /// When the log's size cannot be read or the work was cut off.
    pub async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let store = self.clone();
        let work = move || {
            let (folder, damage) = (&store.inner.folder, &store.inner.damage);
            let length = fs::metadata(folder.log()).map_or(0, |log| log.len());
            if length < WORTH_COPYING { Checkpoint::NotNeeded } else { copy(folder, damage, "PASSIVE") }
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
        let most = move || copy(&store.inner.folder, &store.inner.damage, "PASSIVE");
        let _most = tokio::task::spawn_blocking(most).await.map_err(|_| StoreError::Closed)?;
        self.inner.writer.cut_log().await
    }
}

/// The last one, when the writer has ended: leaves an empty log. Whoever has the store alone waits for one that is under way beside it.
pub(super) fn last(folder: &Folder, damage: &Damage) -> Checkpoint {
    let ends = Instant::now() + LAST_WITHIN;
    loop {
        let done = copy(folder, damage, "TRUNCATE");
        if done != Checkpoint::Part || !folder.is_held() || Instant::now() > ends {
            return done;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn copy(folder: &Folder, damage: &Damage, mode: &str) -> Checkpoint {
    let connection = match folder.connect() {
        Ok(connection) => connection,
        Err(error) => {
            if let OpenError::Damaged(said) = &error {
                damage.found(said);
            }
            tracing::error!(event = "store.checkpoint_failed", error = %error, "the log could not be copied into the store");
            return Checkpoint::Failed;
        }
    };
    // To wait for those who read would keep the writer waiting, of a server beside this process too.
    connection.busy_timeout(Duration::ZERO).and_then(|()| run(&connection, mode)).unwrap_or_else(|error| {
        failed(&error, damage);
        Checkpoint::Failed
    })
}

/// Called by the writer between transactions, when nobody adds to the log: once all of it is copied, the next transaction
/// begins it anew.
pub(super) fn relieve(connection: &Connection, damage: &Damage) {
    let length: rusqlite::Result<i64> = connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1));
    if length.is_ok_and(|pages| pages > RELIEF_PAGES)
        && let Err(error) = run(connection, "PASSIVE")
    {
        failed(&error, damage);
    }
}

/// Called by the writer between transactions. It must not wait for those who read in the log: a backup does for minutes, and what
/// copies the log elsewhere does all the time.
pub(super) fn cut(connection: &Connection, damage: &Damage) -> Checkpoint {
    let done = connection.busy_timeout(Duration::ZERO).and_then(|()| run(connection, "TRUNCATE"));
    let waits_again = connection.busy_timeout(LOCK_WAIT);
    waits_again.and(done).unwrap_or_else(|error| {
        failed(&error, damage);
        Checkpoint::Failed
    })
}

fn failed(error: &rusqlite::Error, damage: &Damage) {
    damage.note(error);
    tracing::error!(event = "store.checkpoint_failed", error = %error, "the log could not be copied into the store");
}

fn run(connection: &Connection, mode: &str) -> rusqlite::Result<Checkpoint> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        let (busy, log, copied): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(if busy == 0 && log == copied { Checkpoint::Whole } else { Checkpoint::Part })
    })
}
