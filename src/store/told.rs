//! Which alarms were told, so that a start neither tells one again nor forgets to tell that it ended.

use rusqlite::params;

use super::{AlarmSort, Stands, Store, StoreError};

/// An alarm that was told and whose end was not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToldAlarm {
    /// The alarm.
    pub stands: Stands,
    /// When it was told last, in microseconds since 1970 UTC.
    pub told_at: i64,
}

impl Store {
    /// Those that were told.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn told_alarms(&self) -> Result<Vec<ToldAlarm>, StoreError> {
        self.read(|connection| {
            let mut find = connection.prepare_cached("SELECT sort, about, since, told_at FROM told_alarms")?;
            let rows = find.query_map([], |row| {
                let about = Some(row.get::<_, String>(1)?).filter(|about| !about.is_empty());
                // One that only a later release knows is told by that release.
                let sort = AlarmSort::of(&row.get::<_, String>(0)?);
                let (since, told_at) = (row.get(2)?, row.get(3)?);
                Ok(sort.map(|sort| ToldAlarm { stands: Stands { sort, about, since }, told_at }))
            })?;
            rows.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// These were told, and no others.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn note_told_alarms(&self, told: Vec<ToldAlarm>) -> Result<(), StoreError> {
        self.write(move |connection| {
            connection.prepare_cached("DELETE FROM told_alarms")?.execute([])?;
            let sql = "INSERT INTO told_alarms (sort, about, since, told_at) VALUES (?1, ?2, ?3, ?4)";
            let mut add = connection.prepare_cached(sql)?;
            for ToldAlarm { stands: Stands { sort, about, since }, told_at } in told {
                add.execute(params![sort.as_str(), about.unwrap_or_default(), since, told_at])?;
            }
            Ok(())
        })
        .await
    }
}
