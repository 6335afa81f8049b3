//! Whether the record is as it was written. Without the key file nobody can make a row that passes; whoever has the key file and
//! the store can write the record anew, which only a head that was kept elsewhere tells.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension};

use super::kept::{self, Known};
use super::{Did, Ends, KEPT, Kept, key_name};
use crate::store::key::{Key, hexadecimal};
use crate::store::open::Folder;
use crate::store::{OpenError, open};

/// Rows that are read at once.
pub(super) const STRETCH: i64 = 4096;
/// Faults that are told one by one.
const TOLD: usize = 100;

/// A row's number and its `mac`: whoever keeps one can tell later whether everything up to that row is as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The row's number.
    pub id: i64,
    pub(super) mac: Vec<u8>,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.id, hexadecimal(&self.mac))
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Head, String> {
        let parsed = || {
            let (id, mac) = text.trim().split_once('-')?;
            let pairs = (0..64).step_by(2).map(|place| u8::from_str_radix(mac.get(place..place + 2)?, 16).ok());
            let mac = Some(mac).filter(|mac| mac.len() == 64 && mac.is_ascii()).and_then(|_| pairs.collect());
            Some(Head { id: id.parse().ok()?, mac: mac? })
        };
        parsed().ok_or_else(|| "write a head as the log has it: a number, - and 64 hexadecimal characters".to_owned())
    }
}

/// What is wrong with the record.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// Rows are gone from within.
    #[error("rows {0} to {1} are missing")]
    Missing(i64, i64),
    /// A row is not as it was written, or is not where it was written.
    #[error("row {0} was changed or moved")]
    Changed(i64),
    /// Rows under a key file that is not at hand.
    #[error("rows {0} to {1} were written with another key file: give it with --key")]
    OtherKey(i64, i64),
    /// What says where the record begins and ends is not as it was written.
    #[error("the note of where the record begins and ends was changed or removed")]
    Ends,
    /// It ends too early.
    #[error("the record ends at row {0}, and once ended at row {1}: rows were cut off")]
    CutOff(i64, i64),
    /// It goes on past its end.
    #[error("rows were added after row {0}, where the record ends")]
    Added(i64),
    /// A head that was kept elsewhere is of another row.
    #[error("row {0} is not the row that the head tells of: the record was written anew")]
    OtherHead(i64),
    /// There is no record at all.
    #[error("there is no record")]
    None,
    /// The head that the server kept is not as it was written.
    #[error(
        "counterfoil.head, which says how far the record was followed, was changed, or is of another key file. If you replaced the key \
         file, remove counterfoil.head"
    )]
    HeadChanged,
    /// The head that the server kept is not there.
    #[error(
        "counterfoil.head, which says how far the record was followed, is gone. After a restore that is right; else find out who \
         removed it"
    )]
    HeadGone,
}

/// What was found wrong, the first of it where there is much.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "))]
pub struct Broken(pub Vec<Fault>);

/// A record that was read through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// Rows read.
    pub rows: u64,
    /// The number of its first row; more than 1 where older ones were removed by age.
    pub first: i64,
    /// Where it ends.
    pub head: Head,
    /// Heads that tell of rows from before its beginning.
    pub older_heads: Vec<i64>,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// Reads the whole record of the store in `folder`, beside a server that may run, and compares it with heads that were kept
/// elsewhere, and with the one that the server kept. `key_files` are those of earlier machines. Blocks.
///
/// # Errors
/// When the store or a key file cannot be read.
pub fn verify_record(folder: &Path, key_files: &[&Path], heads: &[Head]) -> Result<Verified, OpenError> {
    let (folder, connection) = Folder::look(folder)?;
    let keys = std::iter::once(folder.key()).chain(key_files.iter().map(|file| (*file).to_owned()));
    let keys = keys.map(|file| Key::read(&file)).collect::<Result<Vec<_>, _>>()?;
    // Read first: the server may keep another meanwhile.
    let known = keys.first().map_or(Known::Nothing, |own| kept::read(folder.path(), own));
    let moment = connection.unchecked_transaction().map_err(|error| open::damaged(&error))?;
    verify(&moment, &keys, heads, &known).map_err(|error| open::damaged(&error))
}

fn verify(connection: &Connection, keys: &[Key], heads: &[Head], known: &Known) -> rusqlite::Result<Verified> {
    let nothing = Head { id: 0, mac: Vec::new() };
    let sql = "SELECT 1 FROM sqlite_schema WHERE name = 'audit_ends'";
    let has_record = connection.query_row(sql, [], |_| Ok(())).optional()?.is_some();
    let ends = if has_record { Ends::read(connection)? } else { None };
    let is_empty = !has_record || !connection.prepare("SELECT 1 FROM audit")?.exists([])?;
    let Some((ends, seal)) = ends else {
        let fault = if is_empty { Fault::None } else { Fault::Ends };
        return Ok(Verified { rows: 0, first: 1, head: nothing, older_heads: Vec::new(), faults: vec![fault] });
    };
    let mut faults = Faults::default();
    if !keys.iter().any(|key| ends.sealed_with(key, &seal).is_some()) {
        faults.add(Fault::Ends);
    }
    let mut walk = Walk {
        keys,
        expected: ends.first,
        before: ends.before.clone(),
        rows: 0,
        strange: None,
        strange_until: 0,
        faults,
    };
    while walk.stretch(connection, STRETCH)? {}
    walk.account_for_strange(false);
    let Walk { before, expected, rows, mut faults, .. } = walk;
    let head = Head { id: expected - 1, mac: before };
    if head.id < ends.last {
        faults.add(Fault::CutOff(head.id, ends.last));
    } else if head.id > ends.last {
        faults.add(Fault::Added(ends.last));
    } else if head.mac != ends.head {
        faults.add(Fault::Changed(head.id));
    }
    let older_heads = heads.iter().map(|head| head.id).filter(|id| *id < ends.first).collect();
    for kept in heads.iter().filter(|kept| kept.id >= ends.first) {
        compare(connection, kept, head.id, &mut faults)?;
    }
    match known {
        Known::Kept(kept) if kept.id >= ends.first => compare(connection, kept, head.id, &mut faults)?,
        Known::Changed => faults.add(Fault::HeadChanged),
        _ => (),
    }
    Ok(Verified { rows, first: ends.first, head, older_heads, faults: faults.0 })
}

/// Whether the row that a head tells of is the one that is there.
pub(super) fn compare(connection: &Connection, kept: &Head, last: i64, faults: &mut Faults) -> rusqlite::Result<()> {
    let sql = "SELECT mac FROM audit WHERE id = ?1";
    let mac: Option<Vec<u8>> = connection.query_row(sql, [kept.id], |row| row.get(0)).optional()?;
    match mac {
        Some(mac) if mac == kept.mac => (),
        None if kept.id > last => faults.add(Fault::CutOff(last, kept.id)),
        _ => faults.add(Fault::OtherHead(kept.id)),
    }
    Ok(())
}

#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        if self.0.len() < TOLD && !self.0.contains(&fault) {
            self.0.push(fault);
        }
    }
}

/// The way through the rows, in their order.
pub(super) struct Walk<'a> {
    pub(super) keys: &'a [Key],
    /// The number of the next row.
    pub(super) expected: i64,
    /// The `mac` of the row before.
    pub(super) before: Vec<u8>,
    pub(super) rows: u64,
    /// Where the rows under another key file begin that go up to the row before.
    pub(super) strange: Option<i64>,
    /// Before this row, rows under another key file are right where the row after them says that the key file was changed.
    pub(super) strange_until: i64,
    pub(super) faults: Faults,
}

impl Walk<'_> {
    /// Some rows; whether there are more.
    pub(super) fn stretch(&mut self, connection: &Connection, at_most: i64) -> rusqlite::Result<bool> {
        let sql = format!("SELECT {KEPT} FROM audit WHERE id >= ?1 ORDER BY id LIMIT ?2");
        let mut find = connection.prepare_cached(&sql)?;
        let mut found = find.query([self.expected, at_most])?;
        let mut rows = 0;
        while let Some(row) = found.next()? {
            self.row(Kept::read(row)?);
            rows += 1;
        }
        Ok(rows == at_most)
    }

    fn row(&mut self, row: Kept) {
        if row.id > self.expected {
            self.account_for_strange(false);
            self.faults.add(Fault::Missing(self.expected, row.id - 1));
        }
        match self.keys.iter().find(|key| key_name(key) == row.key) {
            None => drop(self.strange.get_or_insert(row.id)),
            Some(key) => {
                let is_whole = row.mac(key, &self.before).as_slice() == row.mac;
                self.account_for_strange(is_whole && row.did == Did::ChangedKey.as_str());
                if !is_whole {
                    self.faults.add(Fault::Changed(row.id));
                }
            }
        }
        self.rows += 1;
        self.expected = row.id + 1;
        self.before = row.mac;
    }

    /// Rows under another key file have come to their end.
    pub(super) fn account_for_strange(&mut self, key_was_changed: bool) {
        if let Some(first) = self.strange.take()
            && !(key_was_changed && first < self.strange_until)
        {
            self.faults.add(Fault::OtherKey(first, self.expected - 1));
        }
    }
}
