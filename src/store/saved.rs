//! How much people save to files, and whether it is far more than is usual.

use rusqlite::{Connection, params};

use super::record::By;
use super::{Alarm, AlarmSort, Store, StoreError};
use crate::clock::DAY;

/// What is usual is what was saved in so many days.
const LOOKED_AT: i64 = 90 * DAY;
/// So many rows in a day are never far more than is usual.
const ALWAYS_FINE: i64 = 1000;
/// So many times the mean of the days on which anything was saved is.
const FAR_MORE: i64 = 5;

impl Store {
    /// Notes that somebody saved so many rows, and raises an alarm where that is far more in a day than is usual.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn note_saved(&self, by: By, rows: u64, now: i64) -> Result<(), StoreError> {
        let who = by.name.clone();
        let far = self.write(move |connection| {
            let is_far = far_more(connection, &by.name, i64::try_from(rows).unwrap_or(i64::MAX), now)?;
            connection.prepare_cached("DELETE FROM saved WHERE at < ?1")?.execute([now - LOOKED_AT])?;
            Ok(is_far)
        });
        if let Some(today) = far.await? {
            self.raise(Alarm::new(AlarmSort::LargeExport, who).with(format!("{today} rows in a day")), now).await?;
        }
        Ok(())
    }
}

/// The rows of this person's day, where they are far more than is usual.
fn far_more(connection: &Connection, who: &str, rows: i64, now: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("INSERT INTO saved (at, who, rows) VALUES (?1, ?2, ?3)")?
        .execute(params![now, who, rows])?;
    let today: i64 = connection
        .prepare_cached("SELECT coalesce(sum(rows), 0) FROM saved WHERE who = ?1 AND at > ?2")?
        .query_row(params![who, now - DAY], |row| row.get(0))?;
    let usual: Option<i64> = connection
        .prepare_cached(
            "SELECT sum(rows) / count(DISTINCT at / ?3 || ' ' || who) FROM saved WHERE at > ?1 AND at <= ?2",
        )?
        .query_row([now - LOOKED_AT, now - DAY, DAY], |row| row.get(0))?;
    let limit = ALWAYS_FINE.max(usual.unwrap_or_default().saturating_mul(FAR_MORE));
    Ok((today > limit).then_some(today))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000_000_000;

    #[tokio::test]
    async fn far_more_than_is_usual_raises_an_alarm() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        let by = |name: &str| By { person: Some(1), name: name.into(), source: String::new() };
        let raised = async || store.alarms().await.unwrap().len();
        for day in 1..20 {
            store.note_saved(by("a@example.gov.uk"), 400, NOW + day * DAY).await.unwrap();
        }
        let today = NOW + 20 * DAY;
        store.note_saved(by("b@example.gov.uk"), 1500, today).await.unwrap();
        assert_eq!(raised().await, 0, "less than five times as much as is usual");
        store.note_saved(by("b@example.gov.uk"), 600, today + 1).await.unwrap();
        assert_eq!(raised().await, 1, "in two files on one day");
        assert_eq!(store.alarms().await.unwrap()[0].detail.as_deref(), Some("2100 rows in a day"));
    }

    #[tokio::test]
    async fn the_first_small_file_raises_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        store.note_saved(By::itself(), 1000, NOW).await.unwrap();
        assert!(store.alarms().await.unwrap().is_empty());
        store.note_saved(By::itself(), 1, NOW).await.unwrap();
        assert_eq!(store.alarms().await.unwrap().len(), 1);
    }
}
