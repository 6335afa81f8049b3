//! How the store stands, for whoever watches the server: sizes, numbers and the names of services.

use std::fs;
use std::sync::Arc;

use rusqlite::Connection;

use super::ready::NotReady;
use super::{AlarmSort, Store, ballast};
use crate::clock::{HOUR, MINUTE};
use crate::meters::{Held, Meters, Served, Standing};

/// Quarantine is counted up to here.
const COUNTED: i64 = 10_000;
/// Sessions end after so long without use, and after so long in any case.
const UNUSED: i64 = 30 * MINUTE;
const LONGEST: i64 = 8 * HOUR;

impl Store {
    /// What is counted and measured of it, and of the server on it.
    #[must_use]
    pub fn meters(&self) -> &Arc<Meters> {
        &self.inner.meters
    }

    /// How it stands at this moment. What cannot be read is left out.
    pub async fn standing(&self, now: i64) -> Standing {
        let held = self.read(move |connection| held(connection, now)).await.ok();
        let stand = self.standing_alarms();
        let by_themselves = AlarmSort::ALL.iter().filter(|sort| !sort.is_raised());
        let held = held.map(|mut held| {
            held.alarms.extend(by_themselves.map(|sort| {
                let stands = stand.iter().any(|other| other.sort == *sort);
                (sort.as_str(), i64::from(stands))
            }));
            held
        });
        let length = |file| fs::metadata(file).map_or(0, |file| file.len());
        let (folder, refusing) = (&self.inner.folder, self.refusing());
        Standing {
            now,
            waiting: self.inner.writer.waiting(),
            store_bytes: length(folder.database()),
            log_bytes: length(folder.log()),
            free_bytes: ballast::available(&folder.database()).unwrap_or(0),
            refusing: [
                ("damaged", NotReady::Damaged),
                ("log-too-long", NotReady::LogTooLong),
                ("disk-full", NotReady::DiskFull),
            ]
            .map(|(word, why)| (word, refusing == Some(why)))
            .to_vec(),
            held,
        }
    }
}

fn held(connection: &Connection, now: i64) -> rusqlite::Result<Held> {
    let number = |sql: &str, bound: &[i64]| {
        connection.prepare_cached(sql)?.query_row(rusqlite::params_from_iter(bound), |row| row.get::<_, i64>(0))
    };
    let mut services = connection.prepare_cached(
        "SELECT s.id, s.name, max(t.last_used_at) FROM services s LEFT JOIN tokens t ON t.service = s.id
         GROUP BY s.id ORDER BY s.name",
    )?;
    let services =
        services.query_map([], |row| Ok(Served { id: row.get(0)?, name: row.get(1)?, last_at: row.get(2)? }))?;
    let mut alarms = Vec::new();
    for sort in AlarmSort::ALL.iter().filter(|sort| sort.is_raised()) {
        let sql = "SELECT count(*) FROM alarms WHERE sort = ?1 AND settled_at IS NULL";
        let stand = connection.prepare_cached(sql)?.query_row([sort.as_str()], |row| row.get(0))?;
        alarms.push((sort.as_str(), stand));
    }
    Ok(Held {
        services: services.collect::<rusqlite::Result<_>>()?,
        arrived: number("SELECT next - 1 FROM arrivals", &[])?,
        quarantined: number("SELECT count(*) FROM (SELECT 1 FROM quarantine LIMIT ?1)", &[COUNTED])?,
        sessions: number(
            "SELECT count(*) FROM sessions WHERE made_at > ?1 AND last_seen_at > ?2",
            &[now - LONGEST, now - UNUSED],
        )?,
        alarms,
    })
}
