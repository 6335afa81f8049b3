//! Whether the record is as it was written. Without the key file nobody can make a row that passes; whoever has the key file and
//! the store can write the record anew, which only a head that was kept elsewhere tells.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension};

use super::look::hex;
use super::{By, Did, Ends, Entry, KEPT, Kept, append, key_name};
use crate::store::key::Key;
use crate::store::open::Folder;
use crate::store::{OpenError, Store, StoreError, open};

/// Rows that are read at once.
const STRETCH: i64 = 4096;
/// Faults that are told one by one.
const TOLD: usize = 100;

/// A row's number and its `mac`: whoever keeps one can tell later whether everything up to that row is as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The row's number.
    pub id: i64,
    mac: Vec<u8>,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.id, hex(&self.mac))
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

/// How far a record was followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain(Head);

impl Chain {
    /// The last row.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.0
    }
}

/// Reads the whole record of the store in `folder`, beside a server that may run, and compares it with heads that were kept
/// elsewhere. `key_files` are those of earlier machines. Blocks.
///
/// # Errors
/// When the store or a key file cannot be read.
pub fn verify_record(folder: &Path, key_files: &[&Path], heads: &[Head]) -> Result<Verified, OpenError> {
    let (folder, connection) = Folder::look(folder)?;
    let keys = std::iter::once(folder.key()).chain(key_files.iter().map(|file| (*file).to_owned()));
    let keys = keys.map(|file| Key::read(&file)).collect::<Result<Vec<_>, _>>()?;
    let moment = connection.unchecked_transaction().map_err(|error| open::damaged(&error))?;
    verify(&moment, &keys, heads).map_err(|error| open::damaged(&error))
}

fn verify(connection: &Connection, keys: &[Key], heads: &[Head]) -> rusqlite::Result<Verified> {
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
    if !keys.iter().any(|key| ends.seal(key).as_slice() == seal) {
        faults.add(Fault::Ends);
    }
    let mut walk = Walk { keys, expected: ends.first, before: ends.before.clone(), rows: 0, faults };
    while walk.stretch(connection, STRETCH)? {}
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
    Ok(Verified { rows, first: ends.first, head, older_heads, faults: faults.0 })
}

fn compare(connection: &Connection, kept: &Head, last: i64, faults: &mut Faults) -> rusqlite::Result<()> {
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
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, fault: Fault) {
        if let (Some(Fault::OtherKey(_, last)), Fault::OtherKey(next, end)) = (self.0.last_mut(), &fault)
            && *last + 1 == *next
        {
            *last = *end;
        } else if self.0.len() < TOLD && !self.0.contains(&fault) {
            self.0.push(fault);
        }
    }
}

/// The way through the rows, in their order.
struct Walk<'a> {
    keys: &'a [Key],
    /// The number of the next row.
    expected: i64,
    /// The `mac` of the row before.
    before: Vec<u8>,
    rows: u64,
    faults: Faults,
}

impl Walk<'_> {
    /// Some rows; whether there are more.
    fn stretch(&mut self, connection: &Connection, at_most: i64) -> rusqlite::Result<bool> {
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
            self.faults.add(Fault::Missing(self.expected, row.id - 1));
        }
        match self.keys.iter().find(|key| key_name(key) == row.key) {
            None => self.faults.add(Fault::OtherKey(row.id, row.id)),
            Some(key) if row.mac(key, &self.before).as_slice() != row.mac => self.faults.add(Fault::Changed(row.id)),
            Some(_) => (),
        }
        self.rows += 1;
        self.expected = row.id + 1;
        self.before = row.mac;
    }
}

impl Store {
    /// Follows the record from where it was followed to before, or from its beginning.
    ///
    /// # Errors
    /// When the store cannot be read. What is wrong with the record is the inner error.
    pub async fn follow_record(&self, followed: Option<Chain>) -> Result<Result<Chain, Broken>, StoreError> {
        let mut walked = None;
        loop {
            let (key, followed, from) = (self.inner.key.clone(), followed.clone(), walked.take());
            let step = self.read(move |connection| step(connection, &key, followed.as_ref(), from)).await?;
            match step {
                Step::More(head) => walked = Some(head),
                Step::Through(chain) => return Ok(chain),
            }
        }
    }

    /// Removes the oldest rows of the record, up to the first that is younger than `moment`; whether there may be more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn shorten_record(&self, moment: i64, now: i64) -> Result<bool, StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| shorten(connection, &key, moment, now)).await
    }
}

enum Step {
    More(Head),
    Through(Result<Chain, Broken>),
}

/// Some rows, each step in a read of its own, so that a long record holds no read open.
fn step(connection: &Connection, key: &Key, followed: Option<&Chain>, from: Option<Head>) -> rusqlite::Result<Step> {
    let Some((ends, seal)) = Ends::read(connection)? else {
        return Ok(Step::Through(Err(Broken(vec![Fault::None]))));
    };
    let keys = std::slice::from_ref(key);
    let mut faults = Faults::default();
    if ends.seal(key).as_slice() != seal {
        faults.add(Fault::Ends);
    }
    let beginning = Head { id: ends.first - 1, mac: ends.before.clone() };
    let from = match (from, followed) {
        (Some(from), _) => from,
        (None, Some(Chain(head))) => {
            if head.id >= ends.first {
                compare(connection, head, ends.last, &mut faults)?;
            }
            head.clone()
        }
        (None, None) => beginning.clone(),
    };
    let from = if from.id < beginning.id { beginning } else { from };
    let mut walk = Walk { keys, expected: from.id + 1, before: from.mac, rows: 0, faults };
    let more = walk.stretch(connection, STRETCH)?;
    let Walk { expected, before, mut faults, .. } = walk;
    // What another key file wrote stands in the record of a store that was restored elsewhere.
    faults.0.retain(|fault| !matches!(fault, Fault::OtherKey(..)));
    let head = Head { id: expected - 1, mac: before };
    if !more && head.id < ends.last {
        faults.add(Fault::CutOff(head.id, ends.last));
    }
    if !more && (head.id > ends.last || head.id == ends.last && head.mac != ends.head) {
        faults.add(Fault::Added(ends.last));
    }
    Ok(match faults.0 {
        faults if !faults.is_empty() => Step::Through(Err(Broken(faults))),
        _ if more => Step::More(head),
        _ => Step::Through(Ok(Chain(head))),
    })
}

fn shorten(connection: &Connection, key: &Key, moment: i64, now: i64) -> rusqlite::Result<bool> {
    // What is not as it was written is kept as it is found.
    let whole = Ends::read(connection)?.filter(|(ends, seal)| ends.seal(key).as_slice() == seal);
    let Some((ends, _)) = whole else { return Ok(false) };
    let sql = format!("SELECT {KEPT} FROM audit WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3");
    let mut find = connection.prepare_cached(&sql)?;
    let rows = find.query_map([ends.first, ends.last, STRETCH], Kept::read)?;
    let mut through = None;
    let mut old = 0;
    for row in rows {
        let row = row?;
        if row.at >= moment {
            break;
        }
        old += 1;
        through = Some(row);
    }
    let Some(last_old) = through else { return Ok(false) };
    connection.prepare_cached("DELETE FROM audit WHERE id <= ?1")?.execute([last_old.id])?;
    let rows = format!("rows {} to {}", ends.first, last_old.id);
    Ends { first: last_old.id + 1, before: last_old.mac, ..ends }.write(connection, key)?;
    append(connection, key, &Entry::new(By::itself(), Did::ShortenedRecord, now).with(rows))?;
    Ok(old == STRETCH)
}
