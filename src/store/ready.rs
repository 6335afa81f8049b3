//! Whether callbacks are taken: asked by what watches over the server, as often as it likes.

use std::time::{Duration, Instant};

use super::{Store, StoreError, open};

/// A commit so long ago proves that the writer works. Else it is asked for one, so that a server with nothing to do can prove it too.
const LATELY: Duration = Duration::from_secs(10);
/// So long the writer may take for that.
const PROVES_WITHIN: Duration = Duration::from_secs(2);
/// Whoever asks again within this is told the same: asking costs the store nothing then.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// Why no callback is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotReady {
    /// The store is damaged.
    #[error("damaged")]
    Damaged,
    /// The log cannot be copied into the store.
    #[error("log-too-long")]
    LogTooLong,
    /// The disk is full.
    #[error("disk-full")]
    DiskFull,
    /// The writer does not answer.
    #[error("writer-stuck")]
    WriterStuck,
    /// The writer answers that it cannot write.
    #[error("cannot-write")]
    CannotWrite,
    /// Nothing can be read.
    #[error("cannot-read")]
    CannotRead,
    /// Another release has changed the store.
    #[error("other-release")]
    OtherRelease,
}

/// What was found when it was looked at last.
pub(super) type Looked = tokio::sync::Mutex<Option<(Instant, Result<(), NotReady>)>>;

impl Store {
    /// Whether callbacks are taken.
    ///
    /// # Errors
    /// Why not.
    pub async fn readiness(&self, now: i64) -> Result<(), NotReady> {
        self.refuses()?;
        let mut looked = self.inner.looked.lock().await;
        if let Some((at, found)) = *looked
            && at.elapsed() < KNOWN_FOR
        {
            return found;
        }
        let found = self.look_whether_ready(now).await;
        *looked = Some((Instant::now(), found));
        found
    }

    /// What is known without asking anybody.
    fn refuses(&self) -> Result<(), NotReady> {
        match self.refusing() {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }

    /// Why every callback is refused, where that is so.
    #[must_use]
    pub fn refusing(&self) -> Option<NotReady> {
        match () {
            () if self.is_damaged() => Some(NotReady::Damaged),
            () if self.is_log_too_long() => Some(NotReady::LogTooLong),
            () if self.is_disk_full() => Some(NotReady::DiskFull),
            () => None,
        }
    }

    async fn look_whether_ready(&self, now: i64) -> Result<(), NotReady> {
        if self.inner.meters.since_commit().is_none_or(|since| since > LATELY) {
            match tokio::time::timeout(PROVES_WITHIN, self.prove_writer(now)).await {
                Ok(Ok(())) => (),
                Ok(Err(StoreError::Full | StoreError::Closed)) | Err(_) => return Err(NotReady::WriterStuck),
                Ok(Err(_)) => return Err(self.refusing().unwrap_or(NotReady::CannotWrite)),
            }
        }
        match self.read_at_the_door(open::version).await {
            Ok(version) if version == open::MIGRATIONS.len() => Ok(()),
            Ok(_) => Err(NotReady::OtherRelease),
            Err(_) => Err(self.refusing().unwrap_or(NotReady::CannotRead)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000_000_000;

    #[tokio::test]
    async fn a_store_is_ready_until_it_is_another_releases_cannot_be_written_or_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        let forget = async || *store.inner.looked.lock().await = None;
        assert_eq!(store.readiness(NOW).await, Ok(()), "it had nothing to do, and proved that it could");
        let version = |to: usize| {
            let set = move |connection: &rusqlite::Connection| connection.pragma_update(None, "user_version", to);
            store.write(set)
        };
        let known = open::MIGRATIONS.len();
        version(known + 1).await.unwrap();
        assert_eq!(store.readiness(NOW).await, Ok(()), "it was looked at a moment ago");
        forget().await;
        assert_eq!(store.readiness(NOW).await, Err(NotReady::OtherRelease));
        version(known).await.unwrap();
        forget().await;
        assert_eq!(store.readiness(NOW).await, Ok(()));
        store.inner.condition.damage.found("a test");
        assert_eq!(store.readiness(NOW).await, Err(NotReady::Damaged), "what is known is told at once");
    }
}
