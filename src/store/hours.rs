//! How many callbacks of each service come in an hour, and the silences that this shows: nothing came where as a rule much does. A
//! wrong URL or token in Notify's settings, a firewall or a certificate that has run out look like this, and like nothing else.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::PoisonError;

use jiff::{Span, Timestamp};
use rusqlite::Connection;

use super::{ServiceId, Services, Store, StoreError};
use crate::clock::{HOUR, LONDON};

/// An hour is compared with the same hour of so many weeks before.
const WEEKS: i64 = 4;
/// Hours are kept for so long: a silence of up to a week can be compared as a whole.
const KEPT: i64 = (WEEKS + 1) * 7 * 24;
/// At least so many callbacks have to be usual. Did each come by itself, none in place of 20 would be chance once in 485 million times.
/// They come in bulk, so that in each of the weeks before some must have come as well.
const CLEARLY_MANY: i64 = 20;

/// A time, up to now, in which nothing came of a service where as a rule much does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Silence {
    /// The service.
    pub service: ServiceId,
    /// Its name.
    pub service_name: String,
    /// The hour from which on nothing came, in microseconds since 1970 UTC.
    pub since: i64,
    /// How many came in the same hours of the weeks before, on average.
    pub usual: i64,
}

/// How many callbacks of a service came in an hour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CameInHour {
    /// The hour, since 1970 UTC.
    pub hour: i64,
    /// The service's number.
    pub service: i64,
    /// How many.
    pub arrived: i64,
}

/// What came in the hour that is not over, by service, and is not written down yet.
#[derive(Default)]
pub(super) struct Tally {
    hour: i64,
    came: HashMap<ServiceId, i64>,
}

impl Tally {
    /// Counts what one transaction keeps. Of each hour the first of each service is written down at once, the others with the next sign
    /// of life.
    pub(super) fn add(&mut self, connection: &Connection, now: i64, came: &[(ServiceId, i64)]) -> rusqlite::Result<()> {
        let hour = hour_of(now);
        if hour != self.hour {
            self.note(connection)?;
            *self = Tally { hour, came: HashMap::new() };
        }
        let services_before = self.came.len();
        for (service, some) in came {
            *self.came.entry(*service).or_default() += some;
        }
        if self.came.len() > services_before { self.note(connection) } else { Ok(()) }
    }

    pub(super) fn note(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        for (service, came) in self.came.iter_mut().filter(|(_, came)| **came > 0) {
            connection
                .prepare_cached(
                    "INSERT INTO hours (hour, service, arrived) VALUES (?1, ?2, ?3)
                     ON CONFLICT (hour, service) DO UPDATE SET arrived = arrived + excluded.arrived",
                )?
                .execute([self.hour, service.0, std::mem::take(came)])?;
        }
        Ok(())
    }
}

/// Removes what is too old to be compared with.
pub(super) fn tidy(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM hours WHERE hour < ?1", [hour_of(now) - KEPT]).map(drop)
}

impl Store {
    /// What came since the hour after `since`, by the hour and service. Of the last minute some may be missing.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn came_lately(&self, since: i64) -> Result<Vec<CameInHour>, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT hour, service, arrived FROM hours WHERE hour > ?1 AND arrived > 0";
            let row = |row: &rusqlite::Row<'_>| {
                Ok(CameInHour { hour: row.get(0)?, service: row.get(1)?, arrived: row.get(2)? })
            };
            connection.prepare_cached(sql)?.query_map([hour_of(since)], row)?.collect()
        })
        .await
    }

    /// Looks for silences of services with a valid token, for the pages too.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn look_for_silences(&self, now: i64) -> Result<Vec<Silence>, StoreError> {
        let found = self.read(move |connection| silences(connection, now)).await?;
        self.inner.silences.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&found);
        Ok(found)
    }

    /// The silences of services that may be seen which were found at the last look and go on.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn silences(&self, sees: &Services) -> Result<Vec<Silence>, StoreError> {
        let mut found = self.inner.silences.lock().unwrap_or_else(PoisonError::into_inner).clone();
        found.retain(|silence| sees.allow(silence.service));
        if found.is_empty() {
            return Ok(found);
        }
        self.read(move |connection| {
            let sql = "SELECT NOT EXISTS (SELECT 1 FROM hours WHERE hour >= ?1 AND service = ?2)";
            let mut ask = connection.prepare_cached(sql)?;
            let mut going_on = Vec::new();
            for silence in found {
                if ask.query_row([hour_of(silence.since), silence.service.0], |row| row.get(0))? {
                    going_on.push(silence);
                }
            }
            Ok(going_on)
        })
        .await
    }
}

fn silences(connection: &Connection, now: i64) -> rusqlite::Result<Vec<Silence>> {
    // What the server itself missed is told as an outage.
    let up_since: Option<i64> = connection.query_row("SELECT max(ended_at) FROM gaps", [], |row| row.get(0))?;
    let up_since = up_since.map_or(i64::MIN, |ended_at| hour_of(ended_at) + 1);
    let mut came: HashMap<i64, BTreeMap<i64, i64>> = HashMap::new();
    let mut hours = connection.prepare_cached("SELECT service, hour, arrived FROM hours WHERE arrived > 0")?;
    let mut rows = hours.query([])?;
    while let Some(row) = rows.next()? {
        came.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
    }
    let mut services = connection.prepare_cached(
        "SELECT id, name FROM services s
         WHERE EXISTS (SELECT 1 FROM tokens t
             WHERE t.service = s.id AND NOT t.revoked_at_once AND (t.revoked_at IS NULL OR t.revoked_at > ?1))
         ORDER BY name",
    )?;
    let mut rows = services.query([now])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let silence = came.get(&id).and_then(|came| silence(came, up_since, hour_of(now)));
        if let Some((from, usual)) = silence {
            let (service, service_name) = (ServiceId(id), row.get(1)?);
            found.push(Silence { service, service_name, since: from * HOUR, usual });
        }
    }
    Ok(found)
}

/// Since which hour nothing came, and how many usually come from it to the beginning of this hour, if that is clearly more.
fn silence(came: &BTreeMap<i64, i64>, up_since: i64, this_hour: i64) -> Option<(i64, i64)> {
    let (last, _) = came.last_key_value()?;
    let from = up_since.max(last + 1);
    if from >= this_hour {
        return None;
    }
    let weeks = (1..=WEEKS).map(|weeks| Some(count(came, weeks_before(from, weeks)?..weeks_before(this_hour, weeks)?)));
    let weeks: Vec<i64> = weeks.collect::<Option<_>>()?;
    let usual = weeks.iter().sum::<i64>() / WEEKS;
    (usual >= CLEARLY_MANY && weeks.iter().all(|came| *came > 0)).then_some((from, usual))
}

fn count(came: &BTreeMap<i64, i64>, hours: Range<i64>) -> i64 {
    // Where the clock goes forward an hour is none.
    if hours.is_empty() { 0 } else { came.range(hours).map(|(_, came)| came).sum() }
}

/// The hour with the same day and time on the wall: what people send goes by it, also when the clocks have changed.
fn weeks_before(hour: i64, weeks: i64) -> Option<i64> {
    let then = Timestamp::from_microsecond(hour.checked_mul(HOUR)?).ok()?.to_zoned_datetime(LONDON.clone());
    let then = then.checked_sub(Span::new().try_weeks(weeks).ok()?).ok()?;
    Some(hour_of(then.timestamp().as_microsecond()))
}

pub(super) fn hour_of(micros: i64) -> i64 {
    micros.div_euclid(HOUR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::Callback;
    use crate::store::{Arrival, Envelope, Origin};

    fn hour(text: &str) -> i64 {
        hour_of(text.parse::<Timestamp>().unwrap().as_microsecond())
    }

    /// A service that sends from 9:00 to 17:00 on the wall on working days, `an_hour` callbacks in each hour, up to `until`.
    fn office(until: &str, an_hour: i64) -> BTreeMap<i64, i64> {
        let until = hour(until);
        let on_the_wall = |hour: &i64| {
            let then = Timestamp::from_second(hour * 3600).unwrap().to_zoned_datetime(LONDON.clone());
            (9..17).contains(&then.hour()) && (1..=5).contains(&then.weekday().to_monday_one_offset())
        };
        (until - KEPT..until).filter(on_the_wall).map(|hour| (hour, an_hour)).collect()
    }

    fn found(came: &BTreeMap<i64, i64>, now: &str) -> Option<(i64, i64)> {
        silence(came, i64::MIN, hour(now))
    }

    #[test]
    fn nothing_where_each_of_four_weeks_had_many_is_a_silence_since_the_last_that_came() {
        let came = office("2026-11-25T11:00:00Z", 30);
        assert_eq!(found(&came, "2026-11-25T11:59:59Z"), None, "the hour is not over");
        let since = hour("2026-11-25T11:00:00Z");
        assert_eq!(found(&came, "2026-11-25T12:00:00Z"), Some((since, 30)));
        assert_eq!(found(&came, "2026-11-26T08:00:00Z"), Some((since, 180)), "it goes on over night");
        assert_eq!(found(&came, "2026-12-05T08:00:00Z"), Some((since, 1695)), "and over a week");
    }

    #[test]
    fn nights_and_weekends_are_no_silence() {
        let came = office("2026-11-27T23:00:00Z", 1000);
        for now in ["2026-11-27T23:00:00Z", "2026-11-28T12:00:00Z", "2026-11-30T09:00:00Z"] {
            assert_eq!(found(&came, now), None, "{now}");
        }
        assert!(found(&came, "2026-11-30T10:00:00Z").is_some());
    }

    #[test]
    fn what_was_as_silent_in_one_of_the_weeks_is_no_silence() {
        let came = office("2026-11-25T11:00:00Z", 1000);
        for weeks in 1..=4 {
            let mut came = came.clone();
            came.remove(&(hour("2026-11-25T11:00:00Z") - weeks * 7 * 24));
            assert_eq!(found(&came, "2026-11-25T12:00:00Z"), None, "{weeks} weeks before");
            assert!(found(&came, "2026-11-25T13:00:00Z").is_some(), "in the next hour some came then");
        }
    }

    #[test]
    fn few_are_no_silence_until_they_add_up() {
        let came = office("2026-11-25T11:00:00Z", 10);
        assert_eq!(found(&came, "2026-11-25T12:00:00Z"), None);
        assert_eq!(found(&came, "2026-11-25T13:00:00Z"), Some((hour("2026-11-25T11:00:00Z"), 20)));
    }

    #[test]
    fn a_service_of_less_than_four_weeks_and_one_that_never_sent_have_no_silence() {
        let mut came = office("2026-11-25T11:00:00Z", 1000);
        came.retain(|hour_it_came, _| *hour_it_came > hour("2026-11-01T00:00:00Z"));
        assert_eq!(found(&came, "2026-11-25T16:00:00Z"), None);
        assert_eq!(found(&BTreeMap::new(), "2026-11-25T16:00:00Z"), None);
    }

    #[test]
    fn when_the_clocks_change_the_hours_on_the_wall_are_compared() {
        // They went back on 25 October: nine on the wall was eight in UTC before.
        let came = office("2026-10-26T09:00:00Z", 1000);
        assert_eq!(found(&came, "2026-10-26T09:00:00Z"), None);
        assert_eq!(found(&came, "2026-10-26T10:00:00Z"), Some((hour("2026-10-23T16:00:00Z"), 1000)));
    }

    #[test]
    fn what_the_server_itself_missed_is_no_silence() {
        let came = office("2026-11-25T11:00:00Z", 30);
        let (up_since, until) = (hour("2026-11-25T14:00:00Z"), hour("2026-11-25T15:00:00Z"));
        assert_eq!(silence(&came, up_since, up_since), None);
        assert_eq!(silence(&came, up_since, until), Some((up_since, 30)));
    }

    #[tokio::test]
    async fn callbacks_are_counted_by_hour_and_service_and_end_a_silence() {
        const NOW: i64 = 500_000 * HOUR;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        for (name, mark) in [("A", 1), ("B", 2)] {
            store.add_token(name.into(), None, [mark; 32], crate::store::By::itself(), NOW).await.unwrap();
        }
        let came = async |service, arrived_at| {
            let service = ServiceId(service);
            let envelope =
                Envelope { service, token: None, origin: Origin::CalledBack, arrived_at, path: String::new() };
            let body = format!(r#"{{"id": "{arrived_at}", "status": "delivered"}}"#);
            store.keep(Arrival::callback(envelope, Callback::read(body.as_bytes()).unwrap())).await.unwrap();
        };
        for at in [0, 1, 2, 30 * 60_000_000, 3_599_999_999] {
            came(1, NOW + at).await;
        }
        came(2, NOW + 3).await;
        came(2, NOW + HOUR).await;
        let hours = |connection: &Connection| {
            let mut rows = connection.prepare("SELECT service, hour - 500000, arrived FROM hours ORDER BY 1, 2")?;
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<rusqlite::Result<Vec<(i64, i64, i64)>>>()
        };
        assert_eq!(store.read(hours).await.unwrap(), [(1, 0, 5), (2, 0, 1), (2, 1, 1)]);

        let fill = "INSERT OR REPLACE INTO hours (hour, service, arrived) SELECT 500001 - 168 * value, 1, 50 FROM json_each('[1,2,3,4]')";
        store.write(move |connection| connection.execute(fill, [])).await.unwrap();
        let found = store.look_for_silences(NOW + 2 * HOUR).await.unwrap();
        let silence = Silence { service: ServiceId(1), service_name: "A".into(), since: NOW + HOUR, usual: 50 };
        assert_eq!(found, std::slice::from_ref(&silence));
        assert_eq!(store.silences(&Services::All).await.unwrap(), [silence]);
        assert_eq!(store.silences(&Services::Only(vec![ServiceId(2)])).await.unwrap(), []);
        came(1, NOW + 2 * HOUR + 1).await;
        assert_eq!(store.silences(&Services::All).await.unwrap(), []);
        store.tidy(NOW + 6 * 7 * 24 * HOUR, 0, 0, 0).await.unwrap();
        assert_eq!(store.read(hours).await.unwrap(), []);
    }
}
