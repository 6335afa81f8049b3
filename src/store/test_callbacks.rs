//! Callbacks that `counterfoil doctor` sends to its own server, to see whether the way from outside is open. Each is known by a secret
//! that is good for some minutes. They go the way of every callback to a synced commit, but none of them is Notify's: nothing is kept of
//! one but that it came, until doctor has asked.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Mark, Store, StoreError};
use crate::clock::MINUTE;

/// A secret is good for so long, in case nobody takes it back.
const GOOD_FOR: i64 = 10 * MINUTE;

/// A test callback that has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TestCame {
    /// When, in microseconds since 1970 UTC.
    pub came_at: i64,
    /// SHA-256 of its body.
    pub body_sha256: [u8; 32],
}

impl Store {
    /// From now on the secret with this SHA-256 is known.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn expect_test_callback(&self, secret: Mark, now: i64) -> Result<(), StoreError> {
        self.write(move |connection| {
            connection
                .execute("DELETE FROM test_callbacks WHERE made_at <= ?1 OR made_at > ?2", [now - GOOD_FOR, now])?;
            connection.execute("INSERT INTO test_callbacks (sha256, made_at) VALUES (?1, ?2)", params![secret, now])?;
            Ok(())
        })
        .await
    }

    /// Notes that it came, in a synced commit. It is refused whenever one of Notify's would be.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn take_test_callback(&self, secret: Mark, body_sha256: Mark, now: i64) -> Result<(), StoreError> {
        self.inner.condition.refuse_arrivals()?;
        self.write(move |connection| {
            let sql = "UPDATE test_callbacks SET came_at = ?2, body_sha256 = ?3 WHERE sha256 = ?1";
            connection.execute(sql, params![secret, now, body_sha256]).map(drop)
        })
        .await
    }

    /// Takes the secret back, and says whether the test callback came.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn forget_test_callback(&self, secret: Mark) -> Result<Option<TestCame>, StoreError> {
        self.write(move |connection| {
            let sql = "DELETE FROM test_callbacks WHERE sha256 = ?1 RETURNING came_at, body_sha256";
            let came = connection.query_row(sql, [secret], |row| {
                let (came_at, body): (Option<i64>, Option<[u8; 32]>) = (row.get(0)?, row.get(1)?);
                Ok(came_at.zip(body).map(|(came_at, body_sha256)| TestCame { came_at, body_sha256 }))
            });
            Ok(came.optional()?.flatten())
        })
        .await
    }
}

/// The secrets that are known at this moment.
pub(super) fn expected(connection: &Connection, now: i64) -> rusqlite::Result<Vec<Mark>> {
    let sql = "SELECT sha256 FROM test_callbacks WHERE made_at > ?1";
    connection.prepare_cached(sql)?.query_map([now - GOOD_FOR], |row| row.get(0))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000_000_000;

    #[tokio::test]
    async fn a_test_callback_is_known_for_minutes_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        let known = async |now| store.tokens_and_tests(now).await.unwrap().1;
        store.expect_test_callback([1; 32], NOW).await.unwrap();
        assert_eq!(known(NOW + GOOD_FOR - 1).await, [[1; 32]]);
        assert!(known(NOW + GOOD_FOR).await.is_empty());
        store.take_test_callback([1; 32], [2; 32], NOW + 1).await.unwrap();
        let came = TestCame { came_at: NOW + 1, body_sha256: [2; 32] };
        assert_eq!(store.forget_test_callback([1; 32]).await.unwrap(), Some(came));
        assert_eq!(store.forget_test_callback([1; 32]).await.unwrap(), None);
        store.expect_test_callback([3; 32], NOW).await.unwrap();
        store.expect_test_callback([4; 32], NOW + GOOD_FOR).await.unwrap();
        assert_eq!(known(NOW).await, [[4; 32]], "what nobody took back is gone");
    }
}
