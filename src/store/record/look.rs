//! Reading the record: by person, by whose data, by time.

use rusqlite::{Connection, Row, params};

use super::{Did, subject_mark};
use crate::store::key::{Key, hexadecimal};
use crate::store::{Store, StoreError};

/// What of the record is wanted. Everything where nothing is set.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Looked {
    /// Done by whoever has this name.
    pub who: Option<String>,
    /// Done by nobody who was signed in.
    pub is_nobodys: bool,
    /// Of whose data: match keys or a reference's key, any of them.
    pub subjects: Vec<String>,
    /// From this moment on, in microseconds since 1970 UTC.
    pub from: Option<i64>,
    /// Before this one.
    pub until: Option<i64>,
    /// Rows before this number.
    pub before: Option<i64>,
}

/// One row of the record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// Its number.
    pub id: i64,
    /// When, in microseconds since 1970 UTC.
    pub at: i64,
    /// Who: the address that a person signs in with, or whose command it was.
    pub who: String,
    /// From which network address; empty on the machine itself.
    pub source: String,
    /// The stable word for what was done.
    pub did: String,
    /// To what.
    pub object: Option<String>,
    /// The mark of whose data it was.
    pub subject: Option<Vec<u8>>,
    /// A few words more.
    pub detail: Option<String>,
}

/// Some rows, newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordPage {
    /// The rows.
    pub rows: Vec<Recorded>,
    /// Where the next page begins.
    pub next: Option<i64>,
}

impl Store {
    /// At most `rows` rows of the record, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn recorded(&self, looked: Looked, rows: u16) -> Result<RecordPage, StoreError> {
        let key = self.inner.key.clone();
        self.read(move |connection| {
            let marks: Vec<String> =
                looked.subjects.iter().map(|subject| hexadecimal(&subject_mark(&key, subject))).collect();
            let marks = (!marks.is_empty()).then(|| format!("[\"{}\"]", marks.join("\",\"")));
            let sql = format!(
                "SELECT id, at, who, source, did, object, subject, detail FROM audit
                 WHERE id < ?1 {} {} {} AND at >= ?4 AND at < ?5 ORDER BY id DESC LIMIT ?6",
                if looked.is_nobodys { "AND person IS NULL" } else { "" },
                if looked.who.is_some() { "AND who = ?2" } else { "AND ?2 IS NULL" },
                if marks.is_some() {
                    "AND subject IN (SELECT unhex(value) FROM json_each(?3))"
                } else {
                    "AND ?3 IS NULL"
                },
            );
            let bound = params![
                looked.before.unwrap_or(i64::MAX),
                looked.who,
                marks,
                looked.from.unwrap_or(i64::MIN),
                looked.until.unwrap_or(i64::MAX),
                i64::from(rows) + 1
            ];
            let mut found =
                connection.prepare_cached(&sql)?.query_map(bound, recorded)?.collect::<rusqlite::Result<Vec<_>>>()?;
            let more = found.len() > usize::from(rows);
            found.truncate(usize::from(rows));
            let next = found.last().filter(|_| more).map(|row| row.id);
            Ok(RecordPage { rows: found, next })
        })
        .await
    }
}

/// Rows of somebody that are looked through for who opened what.
const OPENED: i64 = 100;

/// Which accounts have opened an object of somebody's since a moment, with when, the latest first.
pub(in crate::store) fn opened(
    connection: &Connection,
    key: &Key,
    (did, object, subject): (Did, &str, &str),
    since: i64,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    connection
        .prepare_cached(
            "SELECT person, max(at) FROM (SELECT person, at, did, object FROM audit WHERE subject = ?1 ORDER BY id DESC LIMIT ?2)
             WHERE did = ?3 AND object = ?4 AND at >= ?5 AND person IS NOT NULL GROUP BY person ORDER BY max(at) DESC",
        )?
        .query_map(params![subject_mark(key, subject), OPENED, did.as_str(), object, since], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

fn recorded(row: &Row<'_>) -> rusqlite::Result<Recorded> {
    Ok(Recorded {
        id: row.get(0)?,
        at: row.get(1)?,
        who: row.get(2)?,
        source: row.get(3)?,
        did: row.get(4)?,
        object: row.get(5)?,
        subject: row.get(6)?,
        detail: row.get(7)?,
    })
}
