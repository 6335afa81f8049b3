//! A folder of backups, each named for the moment of its making: the newest is kept with so many before it.

use std::fs;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::backup::{BackupError, back_up};
use super::progress::Progress;
use super::sealing::Recipient;
use super::{Store, StoreError};

/// How the names of these backups are made: no colon, which some file systems refuse. One that is encrypted ends in `.age` too.
const NAMED: &str = "counterfoil-%Y-%m-%dT%H%M%SZ.db";
const SEALED: &str = ".age";

/// Where backups are kept, and how many.
#[derive(Clone, Debug)]
pub struct BackupFolder {
    /// The folder. It is not made: where its disk is missing, that must be seen.
    pub folder: PathBuf,
    /// How many backups stay, the newest; older ones are removed once another is whole.
    pub keep: usize,
    /// Who can open them; in the clear where nobody is named.
    pub recipients: Vec<Recipient>,
}

/// A backup that was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupMade {
    /// Its name in the folder.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Older ones that were removed for it.
    pub removed: usize,
}

impl BackupFolder {
    /// When the newest backup there was made, in microseconds since 1970 UTC; `None` where there is none.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn newest(&self) -> io::Result<Option<i64>> {
        Ok(self.own()?.first().map(|(made_at, _)| *made_at))
    }

    /// The backups that were made here, the newest first. Whatever else is there is somebody else's.
    fn own(&self) -> io::Result<Vec<(i64, String)>> {
        let mut own = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            own.extend(made_at(&name).map(|made_at| (made_at, name)));
        }
        own.sort_unstable();
        own.reverse();
        Ok(own)
    }

    /// Removes all but the newest.
    fn remove_old(&self) -> io::Result<usize> {
        let mut removed = 0;
        for (_, name) in self.own()?.into_iter().skip(self.keep) {
            fs::remove_file(self.folder.join(name))?;
            removed += 1;
        }
        Ok(removed)
    }
}

fn name(made_at: i64) -> String {
    let made_at = Timestamp::from_microsecond(made_at).unwrap_or_default();
    made_at.strftime(NAMED).to_string()
}

fn made_at(name: &str) -> Option<i64> {
    let name = name.strip_suffix(SEALED).unwrap_or(name);
    let moment = TimeZone::UTC.to_timestamp(DateTime::strptime(NAMED, name).ok()?).ok()?;
    let made_at = moment.as_microsecond();
    // Other spellings of a moment are not ours.
    (self::name(made_at) == name).then_some(made_at)
}

impl Store {
    /// Makes a backup beside all other work, and then removes those that are too old. Where this is dropped the backup is stopped.
    ///
    /// # Errors
    /// When no backup was made, and then none is removed; or when one was made and an older one could not be removed.
    pub async fn back_up_into(&self, backups: &BackupFolder, now: i64) -> Result<BackupMade, BackupError> {
        let progress = Progress::default();
        let _stops = StopOnDrop(progress.clone());
        let (store, backups) = (self.clone(), backups.clone());
        let work = move || {
            let name = name(now) + if backups.recipients.is_empty() { "" } else { SEALED };
            let file = backups.folder.join(&name);
            let bytes = back_up(store.inner.folder.path(), &file, &backups.recipients, &progress)?;
            let removed = backups
                .remove_old()
                .map_err(|error| BackupError::Io { what: "remove an old backup, though a new one was made", error })?;
            Ok(BackupMade { name, bytes, removed })
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|_| Err(BackupError::Sqlite(StoreError::Closed.to_string())))
    }
}

struct StopOnDrop(Progress);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_made_here_are_taken_for_backups() {
        let moment = 1_795_000_000_000_000;
        assert_eq!(name(moment), "counterfoil-2026-11-18T110640Z.db");
        assert_eq!(made_at(&name(moment)), Some(moment));
        assert_eq!(made_at("counterfoil-2026-11-18T110640Z.db.age"), Some(moment));
        for other in [
            "counterfoil.db",
            "counterfoil-2026-11-18.db",
            "counterfoil-2026-11-18T110640Z.db.old",
            "counterfoil-2026-11-18T11:06:40Z.db",
            "counterfoil-2026-02-30T110640Z.db",
            "counterfoil- 2026-11-18T110640Z.db",
        ] {
            assert_eq!(made_at(other), None, "{other}");
        }
    }

    #[test]
    fn the_newest_stay_and_what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["counterfoil-2026-11-18T110640Z.db", "counterfoil-2026-11-17T110640Z.db", "theirs.db"] {
            fs::write(folder.path().join(file), "x").unwrap();
        }
        let backups = BackupFolder { folder: folder.path().to_owned(), keep: 1, recipients: vec![] };
        assert_eq!(backups.newest().unwrap(), Some(1_795_000_000_000_000));
        assert_eq!(backups.remove_old().unwrap(), 1);
        assert!(folder.path().join("counterfoil-2026-11-18T110640Z.db").exists());
        assert!(folder.path().join("theirs.db").exists());
    }
}
