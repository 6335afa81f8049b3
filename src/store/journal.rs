//! The journal of erasures: which messages were erased or redacted, in a file outside the backups, so that the restoring of an older
//! backup brings none of them back. It holds Notify's ids and moments, never whose they were. A line is on the disk before the
//! transaction that it speaks of is committed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Store;
use super::open::give_to_owner;

/// Its name in the store's folder.
pub(super) const NAME: &str = "counterfoil.erased";

/// What happened to one message, or to one body in quarantine. Each is a line of JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// A message is gone, with everything that came for it.
    Erased { id: String, at: i64 },
    /// A body in quarantine is gone: the one of this number that arrived then.
    ErasedBody { arrival: i64, arrived_at: i64, at: i64 },
    /// What a message says is gone, and whose it was where `recipient` says so.
    Redacted { id: String, recipient: bool, at: i64 },
}

/// Where it is written: in the folder, and at a second place where there is one. Clones write to the same.
#[derive(Clone)]
pub(super) struct Journal {
    folder: PathBuf,
    also: Arc<Mutex<Option<PathBuf>>>,
}

impl Journal {
    pub(super) fn of(folder: &Path) -> Journal {
        Journal { folder: folder.to_owned(), also: Arc::default() }
    }

    /// Adds lines, for good when it returns.
    pub(super) fn append(&self, lines: &[Line]) -> rusqlite::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let also = self.also.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let own = self.folder.join(NAME);
        for file in [Some(own), also].into_iter().flatten() {
            append(&file, lines).map_err(|error| failed(&file, &error))?;
        }
        Ok(())
    }
}

impl Store {
    /// Writes the journal of erasures at a second place too.
    pub fn also_journal_to(&self, file: PathBuf) {
        *self.inner.journal.also.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    }
}

/// Why a line could not be added.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotWritten(String);

impl NotWritten {
    /// Whether that is what an error of a transaction says.
    pub(super) fn of(error: &rusqlite::Error) -> Option<&NotWritten> {
        match error {
            rusqlite::Error::ToSqlConversionFailure(error) => error.downcast_ref(),
            _ => None,
        }
    }
}

/// As an error of the transaction, which is taken back.
fn failed(file: &Path, error: &io::Error) -> rusqlite::Error {
    let said = NotWritten(format!("{} cannot be written: {error}", file.display()));
    rusqlite::Error::ToSqlConversionFailure(Box::new(said))
}

fn append(file: &Path, lines: &[Line]) -> io::Result<()> {
    let is_new = !file.exists();
    let mut journal = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
    let mut written = Vec::new();
    if !ends_a_line(&mut journal)? {
        written.push(b'\n');
    }
    for line in lines {
        serde_json::to_writer(&mut written, line)?;
        written.push(b'\n');
    }
    journal.write_all(&written)?;
    journal.sync_all()?;
    if is_new {
        let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        give_to_owner(folder, file)?;
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Whether the last line is whole. One that is not was cut off by a crash, and its transaction was not committed.
fn ends_a_line(journal: &mut File) -> io::Result<bool> {
    if journal.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    journal.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    journal.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The lines of a journal. What is no whole line is passed over.
pub(super) fn read(file: &Path) -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for line in BufReader::new(File::open(file)?).split(b'\n') {
        lines.extend(serde_json::from_slice(&line?).ok());
    }
    Ok(lines)
}

/// Where journals lie that nobody named: in the folder that is to become the store, and beside the backup.
pub(super) fn look_for(folder: &Path, backup: &Path) -> impl Iterator<Item = PathBuf> {
    let beside = backup.parent().map(|parent| parent.join(NAME));
    [Some(folder.join(NAME)), beside].into_iter().flatten().filter(|file| file.exists())
}

/// Puts a journal into a folder that has another or none, line by line, so that none is lost.
pub(super) fn take_over(lines: &[Line], folder: &Path) -> io::Result<()> {
    let own = folder.join(NAME);
    let known = if own.exists() { read(&own)? } else { Vec::new() };
    let new: Vec<Line> = lines.iter().filter(|line| !known.contains(line)).cloned().collect();
    if new.is_empty() { Ok(()) } else { append(&own, &new) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_line_that_a_crash_cut_off_is_passed_over_and_the_next_one_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(NAME);
        let erased = |id: &str| Line::Erased { id: id.into(), at: 7 };
        append(&file, &[erased("a\n\"b")]).unwrap();
        let whole = fs::read(&file).unwrap();
        fs::write(&file, [whole.as_slice(), br#"{"erased":{"id":"r1"#].concat()).unwrap();
        append(&file, &[erased("c"), Line::ErasedBody { arrival: 1, arrived_at: 2, at: 3 }]).unwrap();
        let lines = read(&file).unwrap();
        assert_eq!(lines, [erased("a\n\"b"), erased("c"), Line::ErasedBody { arrival: 1, arrived_at: 2, at: 3 }]);
    }
}
