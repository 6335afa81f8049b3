//! What is counted of answers to callbacks, kept over a start: by the hour how many were refused and how long they took, and when each
//! kind of each service came last. It is written along with what is written anyway, and after a crash the last minute may be missing.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::ServiceId;
use super::hours::hour_of;
use crate::clock::MINUTE;
use crate::meters::{Hour, Meters, NOT_UNDERSTOOD};
use crate::notify::Kind;

/// In the table of hours it stands for all services together.
const ALL: i64 = 0;
/// Hours that are shown.
const HOURS: i64 = 24;

/// What was counted and is not written down yet.
pub(super) struct Counted {
    meters: Arc<Meters>,
    /// The hours, and the last of each service and kind, as they are written down.
    hours: Vec<Hour>,
    last: HashMap<(i64, &'static str), i64>,
}

impl Counted {
    pub(super) fn new(meters: Arc<Meters>) -> Counted {
        Counted { meters, hours: Vec::new(), last: HashMap::new() }
    }

    /// What was written may have been taken back: it is written again.
    pub(super) fn forget(&mut self) {
        self.hours.clear();
        self.last.clear();
    }

    /// These kinds came with one transaction. One that goes on coming is written down once a minute.
    pub(super) fn came(
        &mut self,
        connection: &Connection,
        came: &[(ServiceId, &'static str)],
        now: i64,
    ) -> rusqlite::Result<()> {
        for (service, kind) in came {
            let written = self.last.get(&(service.0, *kind));
            if written.is_none_or(|at| !(0..MINUTE).contains(&(now - at))) {
                self.note_last(connection, service.0, kind, now)?;
            }
        }
        Ok(())
    }

    /// Writes down what has changed.
    pub(super) fn note(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let hours = self.meters.hours();
        for hour in hours.iter().filter(|hour| !self.hours.contains(hour)) {
            let refused = i64::try_from(hour.refused).unwrap_or(i64::MAX);
            let took = serde_json::to_string(hour.took()).unwrap_or_default();
            connection
                .prepare_cached(
                    "INSERT INTO hours (hour, service, arrived, refused, took) VALUES (?1, ?2, 0, ?3, ?4)
                     ON CONFLICT (hour, service) DO UPDATE SET refused = excluded.refused, took = excluded.took",
                )?
                .execute(params![hour.hour, ALL, refused, took])?;
        }
        self.hours = hours;
        for (service, kind, at) in self.meters.last_taken() {
            if self.last.get(&(service, kind)).is_none_or(|written| *written < at) {
                self.note_last(connection, service, kind, at)?;
            }
        }
        Ok(())
    }

    fn note_last(
        &mut self,
        connection: &Connection,
        service: i64,
        kind: &'static str,
        at: i64,
    ) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO last_taken (service, kind, at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (service, kind) DO UPDATE SET at = max(at, excluded.at)",
            )?
            .execute(params![service, kind, at])?;
        self.last.insert((service, kind), at);
        Ok(())
    }
}

/// Reads what was counted before this start.
pub(super) fn remember(connection: &Connection, meters: &Meters, now: i64) -> rusqlite::Result<()> {
    let this_hour = hour_of(now);
    let sql = "SELECT hour, refused, took FROM hours WHERE service = ?1 AND hour > ?2 AND hour <= ?3 ORDER BY hour";
    let mut find = connection.prepare(sql)?;
    let hours = find.query_map([ALL, this_hour - HOURS, this_hour], |row| {
        let (hour, refused): (i64, i64) = (row.get(0)?, row.get(1)?);
        let took: Option<String> = row.get(2)?;
        let took: Vec<u64> = took.and_then(|took| serde_json::from_str(&took).ok()).unwrap_or_default();
        Ok(Hour::counted(hour, refused.unsigned_abs(), &took))
    })?;
    let hours = hours.collect::<rusqlite::Result<Vec<Option<Hour>>>>()?;
    let mut find = connection.prepare("SELECT service, kind, at FROM last_taken")?;
    let last = find.query_map([], |row| {
        let kind: String = row.get(1)?;
        let kind =
            Kind::from_path(&kind).map(Kind::path).or_else(|| (kind == NOT_UNDERSTOOD).then_some(NOT_UNDERSTOOD));
        Ok((row.get(0)?, kind, row.get(2)?))
    })?;
    let last = last.collect::<rusqlite::Result<Vec<(i64, Option<&'static str>, i64)>>>()?;
    // What a later release counts otherwise is not shown.
    let last = last.into_iter().filter_map(|(service, kind, at)| Some((service, kind?, at)));
    meters.remember(hours.into_iter().flatten(), last);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::clock::HOUR;
    use crate::meters::Came;
    use crate::notify::Callback;
    use crate::store::{Arrival, Envelope, Origin, Store};

    const NOW: i64 = 500_000 * HOUR;
    const RECEIPTS: &str = "delivery-receipts";

    fn open(folder: &Path, now: i64) -> Store {
        Store::serve(folder, now).unwrap()
    }

    fn answered(store: &Store, answer: u16, took: Duration, at: i64) {
        store.meters().came(Came { service: Some(1), kind: RECEIPTS, answer }, at);
        store.meters().callback_took(took, answer, at);
    }

    async fn keep(store: &Store, body: &str, arrived_at: i64) {
        let envelope = Envelope {
            service: ServiceId(1),
            token: None,
            origin: Origin::CalledBack,
            arrived_at,
            path: String::new(),
        };
        store.keep(Arrival::callback(envelope, Callback::read(body.as_bytes()).unwrap())).await.unwrap();
    }

    #[tokio::test]
    async fn a_start_forgets_nothing_of_the_last_24_hours() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), NOW);
        store.add_token("A".into(), None, [1; 32], crate::store::By::itself(), NOW).await.unwrap();
        answered(&store, 503, Duration::from_secs(4), NOW - 30 * HOUR);
        for n in 0..200 {
            answered(&store, if n == 0 { 401 } else { 200 }, Duration::from_millis(4), NOW - 3 * HOUR + n);
        }
        answered(&store, 503, Duration::from_millis(90), NOW);
        keep(&store, r#"{"id": "a", "source_number": "447700900123", "message": "m"}"#, NOW).await;
        store.note_alive(NOW + 1).await.unwrap();
        let (hours, last) = (store.meters().hours(), store.meters().last_taken());
        assert_eq!(last, [(1, RECEIPTS, NOW - 3 * HOUR + 199)]);
        let _closed = store.close();
        drop(store);

        let store = open(folder.path(), NOW + HOUR);
        assert_eq!(store.meters().hours(), hours, "but for what is older than a day");
        assert_eq!(
            hours.iter().map(|hour| (hour.hour, hour.refused)).collect::<Vec<_>>(),
            [(499_997, 1), (500_000, 1)]
        );
        let mut after = store.meters().last_taken();
        after.sort_unstable();
        assert_eq!(after, [last[0], (1, "received-text-messages", NOW)], "also what only the writer knew of");
        // It goes on from there, and a transaction that was taken back is written again.
        answered(&store, 503, Duration::from_millis(1), NOW + HOUR);
        let fails = store.inner.writer.write_with_ledger(|connection, ledger| {
            ledger.sign(connection, NOW)?;
            connection.execute("nonsense", [])
        });
        assert!(fails.await.is_err());
        keep(&store, r#"{"id": "b", "status": "delivered"}"#, NOW + HOUR).await;
        let crashed = store.read(|connection| {
            let meters = Meters::default();
            remember(connection, &meters, NOW + HOUR)?;
            Ok((meters.hours(), meters.last_taken().len()))
        });
        assert_eq!(crashed.await.unwrap(), (store.meters().hours(), 2), "it is there without an orderly end as well");
    }

    #[tokio::test]
    async fn a_kind_that_goes_on_coming_is_written_once_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), NOW);
        store.add_token("A".into(), None, [1; 32], crate::store::By::itself(), NOW).await.unwrap();
        let written = || {
            store.read(|connection| {
                let sql = "SELECT at FROM last_taken WHERE kind = 'delivery-receipts'";
                connection.query_row(sql, [], |row| row.get::<_, i64>(0))
            })
        };
        for (at, expected) in [(0, 0), (1, 0), (MINUTE - 1, 0), (MINUTE, MINUTE), (-HOUR, MINUTE)] {
            keep(&store, &format!(r#"{{"id": "{at}", "status": "delivered"}}"#), NOW + at).await;
            assert_eq!(written().await.unwrap(), NOW + expected, "{at}");
        }
    }
}
