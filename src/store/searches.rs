//! Searches for a person, kept under a random name so that no number or address stands in a URL.

use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError};

impl Store {
    /// Keeps what was typed under `opaque`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn keep_search(&self, opaque: String, term: String, now: i64) -> Result<(), StoreError> {
        self.write(move |connection| {
            let sql = "INSERT INTO searches (opaque, term, made_at) VALUES (?1, ?2, ?3)";
            connection.execute(sql, params![opaque, term, now]).map(drop)
        })
        .await
    }

    /// Forgets the search of that name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn forget_search(&self, opaque: String) -> Result<(), StoreError> {
        self.write(move |connection| connection.execute("DELETE FROM searches WHERE opaque = ?1", [opaque]).map(drop))
            .await
    }

    /// What was typed in the search of that name, if it was made after `since`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn search_term(&self, opaque: String, since: i64) -> Result<Option<String>, StoreError> {
        self.read(move |connection| {
            connection
                .prepare_cached("SELECT term FROM searches WHERE opaque = ?1 AND made_at > ?2")?
                .query_row(params![opaque, since], |row| row.get(0))
                .optional()
        })
        .await
    }
}
