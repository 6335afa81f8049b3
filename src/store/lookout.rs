//! What other processes do to the store: what they write, such as an import or an erasure beside the server, and whether one took the
//! file or its log away from under it. Noticed within a second.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::open::Folder;

/// How often a server looks whether another process has written, which costs a read of shared memory.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// What other processes did since the last look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    Nothing,
    /// Another process has written.
    Written,
    /// The file or its log is gone, or is another one: what is committed here goes where nobody finds it.
    Gone,
}

/// Looks out for what other processes do.
pub(super) struct Lookout {
    looked_at: Option<Instant>,
    /// As it was then; it changes when another process writes.
    version: Option<i64>,
    /// The store's file and its log, and which they were when they were seen first.
    files: [(PathBuf, Option<u64>); 2],
}

impl Lookout {
    pub(super) fn of(folder: &Folder) -> Lookout {
        // As the system names it.
        let folder = Folder::at(&fs::canonicalize(folder.path()).unwrap_or_else(|_| folder.path().to_owned()));
        let files = [folder.database(), folder.log()].map(|file| (file, None));
        Lookout { looked_at: None, version: None, files }
    }

    /// What was seen since the last look. There is one a second at most, so that nothing costs more for it.
    pub(super) fn look(&mut self, connection: &Connection) -> Seen {
        if self.looked_at.is_some_and(|at| at.elapsed() < EVERY) {
            return Seen::Nothing;
        }
        self.looked_at = Some(Instant::now());
        if self.files.iter_mut().any(|(file, known)| is_gone(file, known)) {
            return Seen::Gone;
        }
        let version =
            connection.prepare_cached("PRAGMA data_version").and_then(|mut ask| ask.query_row([], |row| row.get(0)));
        // What cannot be read now is seen at the next look.
        let Ok(version) = version else { return Seen::Nothing };
        let has_changed = self.version.replace(version).is_some_and(|before| before != version);
        if has_changed { Seen::Written } else { Seen::Nothing }
    }
}

/// Whether a file that was seen before is there no more. It is never opened: to close it would end the locks that `SQLite` has on it.
fn is_gone(file: &Path, known: &mut Option<u64>) -> bool {
    let found = match fs::metadata(file) {
        Ok(found) => Some(found.ino()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        // What cannot be seen now is seen at the next look.
        Err(_) => return false,
    };
    let before = std::mem::replace(known, found);
    before.is_some() && before != found && is_held_without_a_name(file)
}

/// Whether this process has a file open that had this name. Numbers of files alone prove nothing: some file systems change them.
fn is_held_without_a_name(file: &Path) -> bool {
    let mut name = file.as_os_str().to_owned();
    name.push(" (deleted)");
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    open.filter_map(|one| fs::read_link(one.path()).ok()).any(|target| target.as_os_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_open_and_has_lost_its_name_is_gone_and_one_of_another_number_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = fs::canonicalize(folder.path()).unwrap().join("log");
        let mut known = None;
        assert!(!is_gone(&file, &mut known), "it was never there");
        let open = fs::File::create(&file).unwrap();
        assert!(!is_gone(&file, &mut known) && !is_gone(&file, &mut known));
        known = known.map(|number| number + 1);
        assert!(!is_gone(&file, &mut known), "only its number has changed");
        fs::remove_file(&file).unwrap();
        fs::write(&file, "another").unwrap();
        assert!(is_gone(&file, &mut known));
        drop(open);
        fs::remove_file(&file).unwrap();
        assert!(!is_gone(&file, &mut known), "nobody here has it open");
    }
}
