//! Ballast: a file that only takes up room. On a full disk nothing can be written, not even to remove something; then its room is
//! given up for that, and for people to sign in. Callbacks wait until there is room beside it again: they would soon fill it.
//!
//! It is emptied and not removed, so that the next start knows that it was given up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use rusqlite::ErrorCode;
use tokio::sync::Notify;

use super::{Store, StoreError, open};

/// Below this a disk counts as full, whatever it said.
const NOTHING: u64 = 1024 * 1024;
/// Bytes that are written at once.
const PIECE: usize = 1024 * 1024;

/// Where the ballast stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ballast {
    /// None is wanted.
    None,
    /// It takes up its room.
    Held,
    /// There has been no room for it yet.
    Lacking,
    /// It was given up.
    GivenUp,
}

/// What is known of the disk; clones know the same.
#[derive(Clone)]
pub(super) struct Disk(Arc<Known>);

struct Known {
    file: PathBuf,
    /// How large the ballast is to be.
    wanted: AtomicU64,
    stands: Mutex<Ballast>,
    /// Whether callbacks wait for room.
    is_full: AtomicBool,
    given_up: Notify,
}

impl Disk {
    pub(super) fn of(folder: &Path) -> Disk {
        Disk(Arc::new(Known {
            file: folder.join("counterfoil.ballast"),
            wanted: AtomicU64::new(0),
            stands: Mutex::new(Ballast::None),
            is_full: AtomicBool::new(false),
            given_up: Notify::new(),
        }))
    }

    /// Gives the ballast up before anything is opened, where the disk is so full that nothing could be.
    pub(super) fn make_way(&self) {
        if available(&self.0.file).is_ok_and(|bytes| bytes < NOTHING) {
            self.give_up();
        }
    }

    /// Refuses what may wait until there is room.
    pub(super) fn refuse(&self) -> Result<(), StoreError> {
        if self.is_full() { Err(StoreError::DiskFull) } else { Ok(()) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.is_full.load(Ordering::Relaxed)
    }

    /// Takes note of an error that says that the disk is full.
    pub(super) fn note(&self, error: &rusqlite::Error) {
        let is_full = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => true,
            // A sync or a file's growth does not tell why it failed.
            Some(ErrorCode::SystemIoFailure) => available(&self.0.file).is_ok_and(|bytes| bytes < NOTHING),
            _ => false,
        };
        if is_full {
            self.give_up();
        }
    }

    pub(super) fn give_up(&self) {
        let mut stands = self.stands();
        let emptied = match OpenOptions::new().write(true).open(&self.0.file) {
            Ok(file) => file.set_len(0),
            // There never was one: then there is nothing to keep callbacks away from.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => Err(error),
        };
        if let Err(error) = emptied {
            tracing::error!(event = "store.ballast_stuck", error = %error, "the disk is full, and the ballast could not be given up: remove counterfoil.ballast");
        }
        *stands = Ballast::GivenUp;
        drop(stands);
        self.becomes_full();
        self.0.given_up.notify_one();
    }

    fn becomes_full(&self) {
        if !self.0.is_full.swap(true, Ordering::Relaxed) {
            tracing::error!(
                event = "store.disk_full",
                needed = self.enough(),
                "the disk is full: callbacks are answered 503 until there is room, and Notify gives each up after about 25 \
                 minutes. The ballast was given up, so that people can sign in and what is old can be removed. Remove \
                 what is old with counterfoil purge, or make room on the disk: it goes on by itself when as many bytes are free as are needed"
            );
        }
    }

    fn has_room(&self) {
        if self.0.is_full.swap(false, Ordering::Relaxed) {
            tracing::warn!(event = "store.disk_has_room", "there is room on the disk again, and callbacks are taken");
        }
    }

    fn stands(&self) -> std::sync::MutexGuard<'_, Ballast> {
        self.0.stands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how large the ballast is to be, and looks how it stands.
    fn want(&self, bytes: u64) -> io::Result<()> {
        self.0.wanted.store(bytes, Ordering::Relaxed);
        let found = match fs::metadata(&self.0.file) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let stands = match found {
            Some(_) if bytes == 0 => {
                fs::remove_file(&self.0.file)?;
                Ballast::None
            }
            None if bytes == 0 => Ballast::None,
            Some(_) if self.is_whole(bytes) => Ballast::Held,
            Some(found) if found.len() == 0 => Ballast::GivenUp,
            _ => Ballast::Lacking,
        };
        *self.stands() = stands;
        match stands {
            Ballast::GivenUp => self.becomes_full(),
            Ballast::None => self.0.is_full.store(false, Ordering::Relaxed),
            Ballast::Held | Ballast::Lacking => (),
        }
        Ok(())
    }

    /// With so many bytes free callbacks are taken again.
    fn enough(&self) -> u64 {
        let wanted = self.0.wanted.load(Ordering::Relaxed);
        wanted + wanted / 4
    }

    /// Whether it really takes up so much.
    fn is_whole(&self, bytes: u64) -> bool {
        fs::metadata(&self.0.file).is_ok_and(|found| found.len() == bytes && found.blocks() * 512 >= bytes)
    }

    /// Looks whether there is room, and takes it. `free_inside` are the bytes in the store's file that nothing uses.
    fn look(&self, free_inside: u64) -> Ballast {
        let wanted = self.0.wanted.load(Ordering::Relaxed);
        let before = match *self.stands() {
            Ballast::Held if self.is_whole(wanted) => return Ballast::Held,
            Ballast::None => return Ballast::None,
            Ballast::Lacking => Ballast::Lacking,
            // A command beside this server gives it up too.
            Ballast::Held | Ballast::GivenUp => Ballast::GivenUp,
        };
        *self.stands() = before;
        let (enough, available) = (self.enough(), available(&self.0.file).unwrap_or(0));
        if available >= enough {
            match self.make(wanted) {
                Ok(()) => {
                    tracing::info!(event = "store.ballast_made", bytes = wanted, "the ballast takes up its room");
                    *self.stands() = Ballast::Held;
                    self.has_room();
                    return Ballast::Held;
                }
                Err(error) => {
                    tracing::warn!(event = "store.ballast_failed", error = %error, "the ballast could not be made");
                }
            }
        } else if before == Ballast::GivenUp {
            // What was removed leaves its room inside the file. The log needs some outside.
            let room = if available >= wanted / 2 { available + free_inside } else { 0 };
            if room >= enough {
                self.has_room();
            } else if room < wanted {
                self.becomes_full();
            }
        }
        before
    }

    /// Writes bytes that no file system can make smaller or share, so that their room is really taken.
    fn make(&self, bytes: u64) -> io::Result<()> {
        let before = *self.stands();
        let done = (|| {
            let mut random = SmallRng::seed_from_u64(getrandom::u64().map_err(io::Error::other)?);
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.0.file)?;
            open::give_to_owner(folder_of(&self.0.file), &self.0.file)?;
            let mut piece = vec![0; PIECE];
            let mut left = bytes;
            while left > 0 {
                random.fill_bytes(&mut piece);
                let length = left.min(PIECE as u64);
                file.write_all(piece.get(..usize::try_from(length).unwrap_or(PIECE)).unwrap_or_default())?;
                // By and by: callbacks are synced meanwhile.
                file.sync_all()?;
                left -= length;
            }
            // It may have been given up in the middle.
            if self.is_whole(bytes) { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
        })();
        if done.is_err() {
            // As it was before: where there never was one, none is left that looks as if it was given up.
            let undone = if before == Ballast::GivenUp {
                File::options().write(true).open(&self.0.file).and_then(|file| file.set_len(0))
            } else {
                fs::remove_file(&self.0.file)
            };
            undone.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
        }
        done
    }
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

/// The bytes that an ordinary user can still write where this file is or will be.
pub(super) fn available(file: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder_of(file))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

impl Store {
    /// Says how many bytes of ballast are held from now on; nothing is written yet.
    ///
    /// # Errors
    /// When the file cannot be looked at, or removed where none is wanted.
    pub fn is_to_hold_ballast(&self, bytes: u64) -> io::Result<()> {
        self.inner.condition.disk.want(bytes)
    }

    /// Looks whether there is room for the ballast, and takes it.
    ///
    /// # Errors
    /// When the work was cut off.
    pub async fn hold_ballast(&self) -> Result<Ballast, StoreError> {
        let store = self.clone();
        let work = move || store.inner.condition.disk.look(store.free_inside().unwrap_or(0));
        tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)
    }

    /// Waits until the ballast is given up.
    pub async fn ballast_given_up(&self) {
        self.inner.condition.disk.0.given_up.notified().await;
    }

    /// Whether callbacks wait for room on the disk.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.inner.condition.disk.is_full()
    }

    fn free_inside(&self) -> rusqlite::Result<u64> {
        let reader = open::reader(&self.inner.folder)?;
        let asked = |pragma: &str| reader.query_row(pragma, [], |row| row.get::<_, u64>(0));
        Ok(asked("PRAGMA freelist_count")? * asked("PRAGMA page_size")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Progress, back_up, restore};

    const MIB: u64 = 1024 * 1024;

    fn disk(folder: &Path, bytes: u64) -> Disk {
        let disk = Disk::of(folder);
        disk.want(bytes).unwrap();
        disk
    }

    #[test]
    fn ballast_takes_up_its_room_and_what_was_given_up_is_known_after_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("counterfoil.ballast");
        let first = disk(folder.path(), 3 * MIB);
        assert_eq!(first.look(0), Ballast::Held);
        let made = fs::metadata(&file).unwrap();
        assert!(made.len() == 3 * MIB && made.blocks() * 512 >= 3 * MIB);
        assert_eq!(*disk(folder.path(), 3 * MIB).stands(), Ballast::Held, "a start leaves it");
        first.give_up();
        assert!(first.is_full() && fs::metadata(&file).unwrap().len() == 0);
        let second = disk(folder.path(), 3 * MIB);
        assert!(matches!(second.refuse(), Err(StoreError::DiskFull)));
        assert_eq!(second.look(0), Ballast::Held, "there is room");
        assert!(second.refuse().is_ok());
        Disk::of(folder.path()).give_up();
        assert_eq!(second.look(0), Ballast::Held);
        assert_eq!(fs::metadata(&file).unwrap().len(), 3 * MIB, "another process gave it up");
        assert_eq!(*disk(folder.path(), 0).stands(), Ballast::None);
        assert!(!file.exists(), "none is wanted");
    }

    #[test]
    fn a_folder_with_nothing_but_ballast_takes_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let (new, backup) = (folder.path().join("new"), folder.path().join("backup"));
        let left = || {
            fs::create_dir_all(&new).unwrap();
            fs::write(new.join("counterfoil.ballast"), "x").unwrap();
        };
        left();
        drop(Store::serve(&new, 0).unwrap());
        back_up(&new, &backup, &[], &Progress::default()).unwrap();
        fs::remove_dir_all(&new).unwrap();
        left();
        assert!(restore(&backup, None, None, &new, &Progress::default()).is_ok());
    }

    #[test]
    fn where_there_never_was_room_for_ballast_callbacks_are_taken_as_long_as_they_fit() {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(folder.path(), u64::MAX / 2);
        assert_eq!(disk.look(0), Ballast::Lacking);
        disk.give_up();
        assert!(disk.refuse().is_ok());
    }
}
