//! The whole check of a store, beside whoever uses it: its file, what its rows refer to, and whether every callback can be found.
//! It only reads.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::damage::{LONGEST_LOG, integrity_check};
use super::index::{Facets, Index, Wanted, Way};
use super::open::{Folder, MIGRATIONS, OpenError, version};
use super::progress::{Progress, Stage};
use crate::notify::Kind;

/// Rows between two looks at whether to go on.
const ROWS: u64 = 4096;

/// What a store holds, and that it is whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The version that it is of.
    pub version: usize,
    /// Whether the next start brings it to a newer version. Then nobody has looked whether the index leads to its callbacks.
    pub is_older: bool,
    /// Bytes of its file.
    pub bytes: u64,
    /// Bytes of its log.
    pub log_bytes: u64,
    /// How many callbacks of each kind it holds.
    pub kinds: Vec<(Kind, u64)>,
    /// How many bodies stand in quarantine.
    pub quarantined: u64,
    /// When the first and the last callback came that are there, in microseconds since 1970 UTC; `None` where there is none.
    pub oldest: Option<i64>,
    /// As `oldest`.
    pub newest: Option<i64>,
    /// Callbacks that are there and that no search finds.
    pub not_found: u64,
}

/// Why a store was not called whole.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It is damaged, or cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Somebody asked for the check to stop.
    #[error("the check was stopped before it was through")]
    Stopped,
    /// The check took so long that the log grew too long.
    #[error(
        "so much was written meanwhile that the store's log passed 1 GiB. Try again at a quieter time, or check a backup"
    )]
    TooSlow,
    /// What `SQLite` said.
    #[error("the store could not be read: {0}. Try again")]
    Sqlite(String),
}

impl CheckError {
    /// The exit code of a command that this stopped.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            CheckError::Store(error) => error.exit_code(),
            CheckError::Stopped | CheckError::TooSlow | CheckError::Sqlite(_) => 1,
        }
    }
}

impl From<rusqlite::Error> for CheckError {
    fn from(error: rusqlite::Error) -> Self {
        if super::damage::is_damage(&error) {
            return OpenError::Damaged(error.to_string()).into();
        }
        CheckError::Sqlite(error.to_string())
    }
}

/// Reads the whole store of `folder`, which a server may be using. Blocks.
///
/// # Errors
/// When it is damaged or cannot be read.
pub fn check(folder: &Path, progress: &Progress) -> Result<Report, CheckError> {
    let (folder, reader) = Folder::look(folder)?;
    let work = Checking { reader: &reader, folder: &folder, progress };
    // Apart, so that the log can be copied between them.
    work.integrity()?;
    let moment = reader.unchecked_transaction()?;
    work.contents(&moment)
}

struct Checking<'a> {
    reader: &'a Connection,
    folder: &'a Folder,
    progress: &'a Progress,
}

impl Checking<'_> {
    fn integrity(&self) -> Result<(), CheckError> {
        self.go_on()?;
        self.progress.is_at(Stage::Checking, 0, 0);
        let (progress, log) = (self.progress.clone(), self.folder.log());
        let stops = move || progress.is_stopped() || length(&log) > LONGEST_LOG;
        match integrity_check(self.reader, stops) {
            Ok(None) => Ok(()),
            Ok(Some(said)) => Err(OpenError::Damaged(said).into()),
            Err(error) => Err(self.go_on().err().unwrap_or_else(|| error.into())),
        }
    }

    /// What one moment holds.
    fn contents(&self, moment: &Connection) -> Result<Report, CheckError> {
        let version = version(moment)?;
        let is_older = version < MIGRATIONS.len();
        let [oldest, newest, quarantined] = at_a_glance(moment)?;
        let (kinds, not_found) = self.callbacks(moment, is_older)?;
        Ok(Report {
            version,
            is_older,
            bytes: length(&self.folder.database()),
            log_bytes: length(&self.folder.log()),
            kinds,
            quarantined: quarantined.unwrap_or_default().unsigned_abs(),
            oldest,
            newest,
            not_found,
        })
    }

    /// How many there are of each kind, and how many of them the index does not lead to.
    fn callbacks(&self, moment: &Connection, is_older: bool) -> Result<(Vec<(Kind, u64)>, u64), CheckError> {
        let index = if is_older { None } else { Some(Index::new(moment, &[])?) };
        let all = |index| Index::arrivals(index, Wanted::All, Facets::default(), Way::OldestFirst, i64::MIN);
        let mut found = index.as_ref().map(all);
        let mut kinds = Kind::ALL.map(|kind| (kind, 0)).to_vec();
        let (mut not_found, mut next) = (0, i64::MIN);
        let mut rows = moment.prepare("SELECT arrival, kind FROM callbacks ORDER BY arrival")?;
        let last: Option<i64> = moment.query_row("SELECT max(arrival) FROM callbacks", [], |row| row.get(0))?;
        let mut rows = rows.query([])?;
        for read in 0_u64.. {
            let Some(row) = rows.next()? else { break };
            let (arrival, code): (i64, i64) = (row.get(0)?, row.get(1)?);
            if read.is_multiple_of(ROWS) {
                self.go_on()?;
                let of = last.unwrap_or_default().unsigned_abs();
                self.progress.is_at(Stage::Comparing, arrival.unsigned_abs(), of);
            }
            kinds.iter_mut().filter(|(kind, _)| kind.code() == code).for_each(|(_, count)| *count += 1);
            let Some(found) = &mut found else { continue };
            // What was removed lately may still stand in the index.
            while next < arrival {
                next = found.next()?.unwrap_or(i64::MAX);
            }
            not_found += u64::from(next != arrival);
        }
        Ok((kinds, not_found))
    }

    fn go_on(&self) -> Result<(), CheckError> {
        if self.progress.is_stopped() {
            return Err(CheckError::Stopped);
        }
        if length(&self.folder.log()) > LONGEST_LOG { Err(CheckError::TooSlow) } else { Ok(()) }
    }
}

/// When the oldest and the newest callback came, and how many bodies stand in quarantine.
pub(super) fn at_a_glance(connection: &Connection) -> rusqlite::Result<[Option<i64>; 3]> {
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get(0));
    // Their numbers are in the order in which they came.
    Ok([
        one("SELECT (SELECT arrived_at FROM callbacks ORDER BY arrival LIMIT 1)")?,
        one("SELECT (SELECT arrived_at FROM callbacks ORDER BY arrival DESC LIMIT 1)")?,
        one("SELECT count(*) FROM quarantine")?,
    ])
}

pub(super) fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |file| file.len())
}
