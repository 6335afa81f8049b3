//! Things to look for, from all over a store.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;

/// How many of each, as far as there are so many.
pub(crate) const CALLS: usize = 200;

pub(crate) struct Sample {
    pub(crate) references: Vec<String>,
    pub(crate) numbers: Vec<String>,
    pub(crate) emails: Vec<String>,
    pub(crate) texts: Vec<String>,
    /// Notify's ids.
    pub(crate) ids: Vec<String>,
    /// The names of conversations in addresses.
    pub(crate) conversations: Vec<String>,
    pub(crate) newest: i64,
}

impl Sample {
    pub(crate) fn of(data: &Path) -> Sample {
        let connection = Connection::open(data.join("counterfoil.db")).unwrap();
        let newest: i64 = connection.query_row("SELECT max(arrival) FROM callbacks", [], |row| row.get(0)).unwrap();
        let some = |what: &str, which: &str| -> Vec<String> {
            let sql = format!("SELECT {what} FROM callbacks WHERE arrival >= ?1 AND {which} LIMIT 1");
            let mut find = connection.prepare(&sql).unwrap();
            let place = |n: usize| n as i64 * 7_919 * 104_729 % newest;
            (0..CALLS).filter_map(|n| find.query_row([place(n)], |row| row.get(0).map(text)).ok()).collect()
        };
        let mut names = connection.prepare("SELECT opaque FROM conversations LIMIT ?1").unwrap();
        let names = names.query_map([CALLS], |row| row.get(0)).unwrap().map(Result::unwrap);
        Sample {
            references: some("reference", "reference LIKE 'HB-%'"),
            numbers: some("person", "person LIKE '0%'"),
            emails: some("person", "person LIKE '%@%'"),
            texts: some("message", "message GLOB '*[a-z]*'"),
            ids: some("notify_id", "person LIKE '%@%'"),
            conversations: names.collect(),
            newest,
        }
    }
}

/// An id is 16 bytes where it is a plain UUID.
fn text(value: Value) -> String {
    match value {
        Value::Text(text) => text,
        Value::Blob(bytes) => uuid::Uuid::from_slice(&bytes).unwrap().hyphenated().to_string(),
        other => panic!("neither text nor an id: {:?}", other.data_type()),
    }
}
