//! A look at a folder from outside, for `doctor`: nothing in it is made, changed or brought to today's version.

use std::fs::{self, File};
use std::path::Path;

use super::ballast;
use super::check::{at_a_glance, length};
use super::open::{Folder, MIGRATIONS, OpenError, damaged, version};

/// What a look from outside finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Examined {
    /// Whether it is of an older release, and the next start changes it.
    pub is_older: bool,
    /// Whether a server has it open.
    pub is_served: bool,
    /// Whether the key is there, without which second factors and the record cannot be read.
    pub has_key: bool,
    /// What is free on its disk, in bytes.
    pub free_bytes: u64,
    /// The store's file, in bytes.
    pub bytes: u64,
    /// Its log, in bytes.
    pub log_bytes: u64,
    /// When the oldest and the newest callback came, in microseconds since 1970 UTC.
    pub from_to: Option<(i64, i64)>,
    /// What is in quarantine.
    pub quarantined: u64,
}

/// Looks at the store of `folder`. Blocks.
///
/// # Errors
/// Says what is wrong with the folder, each fault by a variant of its own.
pub fn examine(folder: &Path) -> Result<Examined, OpenError> {
    let (folder, reader) = Folder::look(folder)?;
    let read = || Ok((version(&reader)?, at_a_glance(&reader)?));
    let (version, [oldest, newest, quarantined]) = read().map_err(|error: rusqlite::Error| damaged(&error))?;
    Ok(Examined {
        is_older: version < MIGRATIONS.len(),
        is_served: is_served(folder.path()),
        free_bytes: ballast::available(&folder.database()).unwrap_or(0),
        bytes: length(&folder.database()),
        log_bytes: length(&folder.log()),
        has_key: folder.key().exists(),
        from_to: oldest.zip(newest),
        quarantined: quarantined.unwrap_or_default().unsigned_abs(),
    })
}

/// Whether a server holds the folder's lock. It is asked for only so far as others may have it too, and given back at once.
fn is_served(folder: &Path) -> bool {
    let lock = File::open(folder.join("counterfoil.lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    const NOW: i64 = 1_795_000_000_000_000;

    #[test]
    fn a_look_from_outside_changes_nothing_and_sees_whether_a_server_runs() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(examine(folder.path()), Err(OpenError::NoStore(_))));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let store = Store::serve(folder.path(), NOW).unwrap();
        let found = examine(folder.path()).unwrap();
        assert!(found.is_served && !found.is_older);
        assert_eq!((found.from_to, found.quarantined), (None, 0));
        let _copied = store.close();
        drop(store);
        assert!(!examine(folder.path()).unwrap().is_served);
        let connection = rusqlite::Connection::open(folder.path().join("counterfoil.db")).unwrap();
        connection.pragma_update(None, "user_version", MIGRATIONS.len() - 1).unwrap();
        assert!(examine(folder.path()).unwrap().is_older);
        assert_eq!(version(&connection).unwrap(), MIGRATIONS.len() - 1);
    }
}
