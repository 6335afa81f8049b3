//! What a first run looks for: whether anything has come yet.

use super::{Store, StoreError};
use crate::notify::Kind;

/// So many callbacks are looked at. Where there are more it is no first run, whatever they are.
const LOOKED_AT: i64 = 10_000;

impl Store {
    /// The kinds of callbacks that are here, of which received texts are found among however many.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn kinds_here(&self) -> Result<Vec<Kind>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT kind FROM (SELECT kind FROM callbacks ORDER BY arrival LIMIT ?1)
                UNION SELECT ?2 WHERE EXISTS (SELECT 1 FROM conversations)";
            let bound = [LOOKED_AT, Kind::ReceivedText.code()];
            let kinds = connection
                .prepare_cached(sql)?
                .query_map(bound, |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<i64>>>()?;
            Ok(kinds.into_iter().filter_map(Kind::from_code).collect())
        })
        .await
    }
}
