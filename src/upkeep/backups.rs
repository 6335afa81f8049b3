//! Backups on a schedule: one at each turn, the first at once where the newest is older than a turn.

use std::time::Duration;

use tokio::time::sleep;

use crate::clock;
use crate::store::{BackupFolder, Store};

/// The longest sleep: the clock may be set meanwhile, and a machine may have slept.
const LOOKS_AGAIN: Duration = Duration::from_mins(10);

/// Which backups are made, and how often.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Where they go.
    pub to: BackupFolder,
    /// The time from one to the next.
    pub every: Duration,
}

/// Makes backups until it is dropped.
pub async fn back_up(store: Store, schedule: Schedule) {
    let Schedule { to, every } = schedule;
    let mut tried_at = None;
    loop {
        let now = clock::now();
        // A folder that cannot be read is told of when the backup fails.
        let newest = to.newest().unwrap_or_default();
        newest.inspect(|at| store.meters().backup_made(*at));
        let wait = waits(newest.max(tried_at), every, now);
        if !wait.is_zero() {
            sleep(wait.min(LOOKS_AGAIN)).await;
            continue;
        }
        tried_at = Some(now);
        match store.back_up_into(&to, now).await {
            Ok(made) => {
                store.meters().backup_made(now);
                tracing::info!(
                    event = "store.backup_made",
                    name = made.name,
                    bytes = made.bytes,
                    removed = made.removed,
                    "a backup was made"
                );
            }
            Err(error) => {
                store.meters().backup_failed(now);
                tracing::error!(
                    event = "store.backup_failed",
                    error = %error,
                    "the backup failed, and is tried again at the next turn. Until then counterfoil backup makes one"
                );
            }
        }
    }
}

/// How long it is until the next backup. One that lies in the future was made by a clock that was wrong.
fn waits(latest: Option<i64>, every: Duration, now: i64) -> Duration {
    let Some(since) = latest.map(|latest| now - latest).filter(|since| *since >= 0) else { return Duration::ZERO };
    every.saturating_sub(Duration::from_micros(since.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{DAY, MINUTE};

    #[test]
    fn a_backup_is_due_where_there_is_none_or_the_newest_is_older_than_a_turn() {
        let day = Duration::from_hours(24);
        let now = 100 * DAY;
        assert_eq!(waits(None, day, now), Duration::ZERO);
        assert_eq!(waits(Some(now - DAY), day, now), Duration::ZERO);
        assert_eq!(waits(Some(now - 5 * DAY), day, now), Duration::ZERO);
        assert_eq!(waits(Some(now - DAY + MINUTE), day, now), Duration::from_mins(1));
        assert_eq!(waits(Some(now + DAY), day, now), Duration::ZERO, "a clock was wrong");
    }

    #[tokio::test]
    async fn one_is_made_at_each_turn_and_one_that_fails_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(&folder.path().join("store"), clock::now()).unwrap();
        let to = BackupFolder { folder: folder.path().join("backups"), keep: 2, recipients: vec![] };
        let schedule = Schedule { to: to.clone(), every: Duration::from_millis(1) };
        let running = tokio::spawn(back_up(store, schedule));
        // It fails until there is a folder.
        tokio::time::sleep(Duration::from_millis(20)).await;
        std::fs::create_dir(&to.folder).unwrap();
        let count = || std::fs::read_dir(&to.folder).unwrap().count();
        let first = loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if let Some(first) = to.newest().unwrap() {
                break first;
            }
        };
        while to.newest().unwrap() <= Some(first + 2 * clock::SECOND) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.abort();
        assert!(running.await.is_err_and(|error| error.is_cancelled()));
        // The last one may have been under way.
        assert!((2..=4).contains(&count()), "{}", count());
    }
}
