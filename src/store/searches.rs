//! Searches for a person, kept under a random name so that no number or address stands in a URL.

use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError};

/// What a search is sealed for.
const CARRIED: &str = "search that a sign-in came before";

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

    /// What was typed by somebody who is not signed in, sealed to be carried in an address: nothing is kept of what strangers type.
    #[must_use]
    pub fn seal_search(&self, nonce: [u8; 24], term: &str) -> Vec<u8> {
        self.inner.key.seal(CARRIED, 0, nonce, term.as_bytes())
    }

    /// What was typed, of what [`Store::seal_search`] gave.
    #[must_use]
    pub fn unseal_search(&self, sealed: &[u8]) -> Option<String> {
        String::from_utf8(self.inner.key.unseal(CARRIED, 0, sealed)?).ok()
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
