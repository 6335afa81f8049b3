//! The browsers that people have signed in with: each leaves a mark, so that its owner is not held up by what others try.

use rusqlite::{Connection, OptionalExtension, params};

use super::people::Mark;
use super::{Store, StoreError};
use crate::clock::DAY;

/// One that nobody signed in with for so long is a stranger again.
pub const BROWSER_KNOWN_FOR: i64 = 90 * DAY;
/// Of one person so many are known: those that were used last.
const KNOWN: i64 = 10;

impl Store {
    /// Whether the account of an address was signed in with this browser.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn is_known_browser(&self, secret: &[u8], email: &str, now: i64) -> Result<bool, StoreError> {
        let (mark, email) = (self.browser_mark(secret), email.trim().to_lowercase());
        self.read(move |connection| {
            let sql = "SELECT 1 FROM known_browsers b JOIN people p ON p.id = b.person
                       WHERE b.mark = ?1 AND p.email = ?2 AND b.used_at > ?3";
            let found = params![mark, email, now - BROWSER_KNOWN_FOR];
            connection.prepare_cached(sql)?.query_row(found, |_| Ok(())).optional()
        })
        .await
        .map(|found| found.is_some())
    }

    /// Notes that a person signed in with a browser, which is called by another secret from now on: whoever has copied the old one
    /// is no longer taken for it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn know_browser(
        &self,
        person: i64,
        secret: &[u8],
        before: Option<&[u8]>,
        now: i64,
    ) -> Result<(), StoreError> {
        let (mark, before) = (self.browser_mark(secret), before.map(|secret| self.browser_mark(secret)));
        self.write(move |connection| {
            // Others may use the same browser.
            connection.execute("UPDATE known_browsers SET mark = ?1 WHERE mark = ?2", params![mark, before])?;
            connection.execute(
                "INSERT INTO known_browsers (mark, person, used_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (mark, person) DO UPDATE SET used_at = excluded.used_at",
                params![mark, person, now],
            )?;
            connection.execute(
                "DELETE FROM known_browsers WHERE person = ?1 AND mark NOT IN
                 (SELECT mark FROM known_browsers WHERE person = ?1 ORDER BY used_at DESC, mark = ?2 DESC LIMIT ?3)",
                params![person, mark, KNOWN],
            )?;
            Ok(())
        })
        .await
    }

    fn browser_mark(&self, secret: &[u8]) -> Mark {
        self.inner.key.mark("browser", secret)
    }
}

/// Forgets the browsers of a person.
pub(super) fn forget(connection: &Connection, person: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM known_browsers WHERE person = ?1", [person]).map(drop)
}

/// Forgets those that nobody has signed in with for long.
pub(super) fn tidy(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM known_browsers WHERE used_at <= ?1", [now - BROWSER_KNOWN_FOR]).map(drop)
}
