//! Bodies that could not be understood, for managers to look at.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use super::envelope::{Envelope, Origin, Stored};
use super::erasing::is_erased_body;
use super::key::Key;
use super::{ServiceId, Services, Store, StoreError};

/// Rows on one page.
const PAGE: usize = 50;

/// One body in quarantine.
#[derive(Debug)]
pub struct Quarantined {
    /// Its number among everything that ever arrived.
    pub arrival: i64,
    /// The name of the service whose token brought it.
    pub service_name: String,
    /// How it came to be here.
    pub origin: Origin,
    /// When it first came, in microseconds since 1970 UTC.
    pub arrived_at: i64,
    /// How often these very bytes came.
    pub times: i64,
    /// Why it was not understood, as a sentence for a manager.
    pub reason: String,
    /// The path that it was sent to.
    pub path: String,
    /// How many bytes it has.
    pub length: i64,
    /// The bytes; only where one body was asked for.
    pub body: Option<Vec<u8>>,
}

/// One page of them, newest first.
#[derive(Debug)]
pub struct QuarantinePage {
    /// The bodies, without their bytes.
    pub rows: Vec<Quarantined>,
    /// The arrival to go on before, where there is more.
    pub next: Option<i64>,
}

const SEEN: &str = "(?1 IS NULL OR q.service IN (SELECT value FROM json_each(?1)))";
const COLUMNS: &str = "q.arrival, s.name, q.origin, q.arrived_at, q.times, q.reason, q.path, length(q.body)";

fn quarantined(row: &Row<'_>) -> rusqlite::Result<Quarantined> {
    Ok(Quarantined {
        arrival: row.get(0)?,
        service_name: row.get(1)?,
        origin: Origin::from_code(row.get(2)?),
        arrived_at: row.get(3)?,
        times: row.get(4)?,
        reason: row.get(5)?,
        path: row.get(6)?,
        length: row.get(7)?,
        body: None,
    })
}

impl Store {
    /// One page of the quarantine, from what arrived before `before`.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn quarantine(&self, sees: &Services, before: Option<i64>) -> Result<QuarantinePage, StoreError> {
        let sees = sees.bound();
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM quarantine q JOIN services s ON s.id = q.service
                 WHERE {SEEN} AND q.arrival < ?2 ORDER BY q.arrival DESC LIMIT ?3"
            );
            let mut find = connection.prepare_cached(&sql)?;
            let rows = find.query_map(params![sees, before.unwrap_or(i64::MAX), PAGE + 1], quarantined)?;
            let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            let more = rows.len() > PAGE;
            rows.truncate(PAGE);
            let next = rows.last().filter(|_| more).map(|last| last.arrival);
            Ok(QuarantinePage { rows, next })
        })
        .await
    }

    /// One body with its bytes.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn quarantined(&self, sees: &Services, arrival: i64) -> Result<Option<Quarantined>, StoreError> {
        let sees = sees.clone();
        self.read(move |connection| with_body(connection, &sees, arrival)).await
    }
}

pub(super) fn with_body(
    connection: &Connection,
    sees: &Services,
    arrival: i64,
) -> rusqlite::Result<Option<Quarantined>> {
    let sql = format!(
        "SELECT {COLUMNS}, q.body FROM quarantine q JOIN services s ON s.id = q.service WHERE {SEEN} AND q.arrival = ?2"
    );
    connection
        .prepare_cached(&sql)?
        .query_row(params![sees.bound(), arrival], |row| {
            Ok(Quarantined { body: Some(row.get(8)?), ..quarantined(row)? })
        })
        .optional()
}

/// Keeps a body that could not be understood; the same one of the same service again is counted. `kind` is its `Content-Type`
/// and its `Content-Encoding`.
pub(super) fn keep(
    connection: &Connection,
    key: &Key,
    envelope: &Envelope,
    reason: &str,
    kind: (Option<&str>, Option<&str>),
    body: &[u8],
    number: i64,
) -> rusqlite::Result<Stored> {
    let sha256: [u8; 32] = Sha256::digest(body).into();
    if let Some(arrival) = repeated(connection, envelope, &sha256)? {
        return Ok(Stored::Again(arrival));
    }
    if is_erased_body(connection, key, envelope.service, &sha256)? {
        return Ok(Stored::Erased);
    }
    connection
        .prepare_cached(
            "INSERT INTO quarantine (arrival, service, origin, arrived_at, reason, path, content_type, content_encoding, sha256, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            number,
            envelope.service,
            envelope.origin.code(),
            envelope.arrived_at,
            reason,
            envelope.path,
            kind.0,
            kind.1,
            sha256,
            body
        ])?;
    Ok(Stored::New(number))
}

/// The number of a body of a service, where it is here.
pub(super) fn is_here(connection: &Connection, service: ServiceId, body: &[u8]) -> rusqlite::Result<Option<i64>> {
    let sha256: [u8; 32] = Sha256::digest(body).into();
    let sql = "SELECT arrival FROM quarantine WHERE sha256 = ?1 AND service = ?2";
    connection.prepare_cached(sql)?.query_row(params![sha256, service], |row| row.get(0)).optional()
}

fn repeated(connection: &Connection, envelope: &Envelope, sha256: &[u8; 32]) -> rusqlite::Result<Option<i64>> {
    let mut update = connection.prepare_cached(
        "UPDATE quarantine SET times = times + 1, last_arrived_at = ?3 WHERE sha256 = ?1 AND service = ?2 RETURNING arrival",
    )?;
    let mut rows = update.query_map(params![sha256, envelope.service, envelope.arrived_at], |row| row.get(0))?;
    let found = rows.next().transpose()?;
    // An UPDATE with RETURNING is done only when all of its rows have been read.
    for row in rows {
        let _other: i64 = row?;
    }
    Ok(found)
}
