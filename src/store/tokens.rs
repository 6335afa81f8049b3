//! Callback tokens: their hashes, whose they are, and when each was last used.

use rusqlite::{Connection, OptionalExtension, params};

use super::envelope::Envelope;
use super::record::{self, By, Did, Entry};
use super::{Mark, ServiceId, Store, StoreError, test_callbacks};
use crate::clock::MINUTE;

/// One token, without the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Its number, which `token revoke` takes.
    pub id: i64,
    /// The service that it stands for.
    pub service: ServiceId,
    /// That service's name.
    pub service_name: String,
    /// SHA-256 of the token's bytes.
    pub sha256: [u8; 32],
    /// When it was made, in microseconds since 1970 UTC.
    pub made_at: i64,
    /// When it last brought something, to the minute.
    pub last_used_at: Option<i64>,
    /// From when on it is refused, which may be still to come.
    pub revoked_at: Option<i64>,
    /// Whether that was to be at once: then it is refused whatever the clock says.
    pub revoked_at_once: bool,
}

impl TokenRow {
    /// Whether it is taken at this moment.
    #[must_use]
    pub fn is_valid(&self, now: i64) -> bool {
        !self.revoked_at_once && self.revoked_at.is_none_or(|revoked_at| now < revoked_at)
    }
}

/// Why a token was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddTokenError {
    /// The same token is in the store already.
    #[error("this token is already in the store, as number {0}. Make a new one")]
    Known(i64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Adds a token by its hash, making the service where the name is new; gives the token's number.
    ///
    /// # Errors
    /// When the token is known already, or cannot be written.
    pub async fn add_token(
        &self,
        service_name: String,
        notify_service_id: Option<String>,
        sha256: [u8; 32],
        by: By,
        now: i64,
    ) -> Result<i64, AddTokenError> {
        let key = self.inner.key.clone();
        let added = self.write(move |connection| {
            let known = "SELECT id FROM tokens WHERE sha256 = ?1";
            if let Some(id) = connection.query_row(known, [sha256], |row| row.get(0)).optional()? {
                return Ok(Err(id));
            }
            connection.execute(
                "INSERT INTO services (name, notify_service_id, made_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET notify_service_id = coalesce(excluded.notify_service_id, notify_service_id)",
                params![service_name, notify_service_id, now],
            )?;
            connection.execute(
                "INSERT INTO tokens (service, sha256, made_at) SELECT id, ?2, ?3 FROM services WHERE name = ?1",
                params![service_name, sha256, now],
            )?;
            let id = connection.last_insert_rowid();
            let entry = Entry::new(by, Did::AddedToken, now).of(token(id)).with(service_name);
            record::append(connection, &key, &entry)?;
            Ok(Ok(id))
        });
        added.await?.map_err(AddTokenError::Known)
    }

    /// Every token ever made, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.read_at_the_door(all).await
    }

    /// As [`Store::tokens`], and with them the secrets of test callbacks that are known at this moment, each by its SHA-256.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn tokens_and_tests(&self, now: i64) -> Result<(Vec<TokenRow>, Vec<Mark>), StoreError> {
        self.read_at_the_door(move |connection| Ok((all(connection)?, test_callbacks::expected(connection, now)?)))
            .await
    }

    /// Makes another token for the service of a valid one, which stays valid beside it; gives its number, or `None` where there is
    /// no valid token of this number.
    ///
    /// # Errors
    /// When the token is known already, or cannot be written.
    pub async fn rotate_token(
        &self,
        old: i64,
        sha256: [u8; 32],
        by: By,
        now: i64,
    ) -> Result<Option<i64>, AddTokenError> {
        let key = self.inner.key.clone();
        let added = self.write(move |connection| {
            let known = "SELECT id FROM tokens WHERE sha256 = ?1";
            if let Some(id) = connection.query_row(known, [sha256], |row| row.get(0)).optional()? {
                return Ok(Err(id));
            }
            let sql = "INSERT INTO tokens (service, sha256, made_at)
                SELECT service, ?2, ?3 FROM tokens
                WHERE id = ?1 AND NOT revoked_at_once AND (revoked_at IS NULL OR revoked_at > ?3)";
            if connection.execute(sql, params![old, sha256, now])? == 0 {
                return Ok(Ok(None));
            }
            let id = connection.last_insert_rowid();
            let entry = Entry::new(by, Did::RotatedToken, now).of(token(id)).with(format!("beside {}", token(old)));
            record::append(connection, &key, &entry)?;
            Ok(Ok(Some(id)))
        });
        added.await?.map_err(AddTokenError::Known)
    }

    /// Refuses a token from this moment on, or from when it already was to be refused where that is sooner. One that is refused from
    /// now on stays so if the clock is set back. Gives from when, or `None` where there is no such token.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn revoke_token(&self, id: i64, from: i64, by: By, now: i64) -> Result<Option<i64>, StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| {
            let sql = "SELECT revoked_at, revoked_at_once FROM tokens WHERE id = ?1";
            let known = connection.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some((before, was_at_once)): Option<(Option<i64>, bool)> = known else { return Ok(None) };
            let (at_once, sooner) = (from <= now, before.filter(|before| *before <= from));
            if was_at_once {
                return Ok(before.map(|before| before.min(now)));
            }
            if let Some(before) = sooner.filter(|_| !at_once) {
                return Ok(Some(before));
            }
            let from = sooner.unwrap_or(from);
            let sql = "UPDATE tokens SET revoked_at = ?2, revoked_at_once = ?3 WHERE id = ?1";
            connection.execute(sql, params![id, from, at_once])?;
            let minutes = (from - now) / MINUTE;
            let when = if minutes > 0 { format!("in {minutes} minutes") } else { "at once".to_owned() };
            let entry = Entry::new(by, Did::RevokedToken, now).of(token(id)).with(when);
            record::append(connection, &key, &entry)?;
            Ok(Some(from))
        })
        .await
    }

    /// Calls off a revocation that is still to come; `false` where none is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn keep_token(&self, id: i64, by: By, now: i64) -> Result<bool, StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| {
            let sql = "UPDATE tokens SET revoked_at = NULL WHERE id = ?1 AND revoked_at > ?2 AND NOT revoked_at_once";
            let kept = connection.execute(sql, [id, now])? > 0;
            if kept {
                record::append(connection, &key, &Entry::new(by, Did::KeptToken, now).of(token(id)))?;
            }
            Ok(kept)
        })
        .await
    }
}

fn all(connection: &Connection) -> rusqlite::Result<Vec<TokenRow>> {
    let mut find = connection.prepare_cached(
        "SELECT t.id, t.service, s.name, t.sha256, t.made_at, t.last_used_at, t.revoked_at,
            t.revoked_at_once
         FROM tokens t JOIN services s ON s.id = t.service ORDER BY t.id",
    )?;
    let rows = find.query_map([], |row| {
        Ok(TokenRow {
            id: row.get(0)?,
            service: ServiceId(row.get(1)?),
            service_name: row.get(2)?,
            sha256: row.get(3)?,
            made_at: row.get(4)?,
            last_used_at: row.get(5)?,
            revoked_at: row.get(6)?,
            revoked_at_once: row.get(7)?,
        })
    })?;
    rows.collect()
}

/// How a token stands in the record.
fn token(id: i64) -> String {
    format!("token {id}")
}

/// Writes down that a token was used, at most once a minute: a write for each callback would tell no more.
pub(super) fn note_use(connection: &Connection, envelope: &Envelope) -> rusqlite::Result<()> {
    let Some(token) = envelope.token else { return Ok(()) };
    connection
        .prepare_cached(
            "UPDATE tokens SET last_used_at = ?2 WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?3)",
        )?
        .execute([token, envelope.arrived_at, envelope.arrived_at - MINUTE])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000_000_000;
    const SOON: i64 = NOW + 30 * MINUTE;

    async fn token_of(store: &Store, id: i64) -> TokenRow {
        store.tokens().await.unwrap().into_iter().find(|token| token.id == id).unwrap()
    }

    async fn store_with_token(folder: &tempfile::TempDir) -> (Store, i64) {
        let store = Store::serve(folder.path(), NOW).unwrap();
        let id = store.add_token("Housing".into(), None, [1; 32], By::itself(), NOW).await.unwrap();
        (store, id)
    }

    #[tokio::test]
    async fn a_token_is_valid_until_the_moment_of_its_revocation_and_not_after() {
        let folder = tempfile::tempdir().unwrap();
        let (store, id) = store_with_token(&folder).await;
        assert!(token_of(&store, id).await.is_valid(i64::MAX));
        assert_eq!(store.revoke_token(id, SOON, By::itself(), NOW).await.unwrap(), Some(SOON));
        let token = token_of(&store, id).await;
        assert!(token.is_valid(NOW) && token.is_valid(SOON - 1));
        assert!(!token.is_valid(SOON) && !token.is_valid(SOON + 1));
        assert_eq!(store.revoke_token(id + 1, SOON, By::itself(), NOW).await.unwrap(), None, "there is none");
    }

    #[tokio::test]
    async fn a_revocation_can_be_brought_forward_but_not_put_off() {
        let folder = tempfile::tempdir().unwrap();
        let (store, id) = store_with_token(&folder).await;
        store.revoke_token(id, SOON, By::itself(), NOW).await.unwrap();
        assert_eq!(store.revoke_token(id, SOON + 1, By::itself(), NOW).await.unwrap(), Some(SOON));
        assert_eq!(store.revoke_token(id, NOW + 1, By::itself(), NOW + 1).await.unwrap(), Some(NOW + 1));
        assert_eq!(store.revoke_token(id, SOON, By::itself(), NOW + 2).await.unwrap(), Some(NOW + 1));
    }

    #[tokio::test]
    async fn a_revocation_can_be_called_off_until_it_has_come() {
        let folder = tempfile::tempdir().unwrap();
        let (store, id) = store_with_token(&folder).await;
        assert!(!store.keep_token(id, By::itself(), NOW).await.unwrap(), "none is to come");
        store.revoke_token(id, SOON, By::itself(), NOW).await.unwrap();
        assert!(store.keep_token(id, By::itself(), SOON - 1).await.unwrap());
        assert!(token_of(&store, id).await.is_valid(SOON));
        store.revoke_token(id, SOON, By::itself(), NOW).await.unwrap();
        assert!(!store.keep_token(id, By::itself(), SOON).await.unwrap(), "it has come");
        assert!(!token_of(&store, id).await.is_valid(SOON));
    }

    #[tokio::test]
    async fn a_token_that_was_revoked_at_once_stays_so_when_the_clock_is_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let (store, id) = store_with_token(&folder).await;
        let earlier = NOW - 60 * MINUTE;
        store.revoke_token(id, SOON, By::itself(), NOW).await.unwrap();
        assert_eq!(store.revoke_token(id, NOW, By::itself(), NOW).await.unwrap(), Some(NOW));
        assert!(!token_of(&store, id).await.is_valid(earlier));
        assert!(!store.keep_token(id, By::itself(), earlier).await.unwrap(), "it has come");
        assert_eq!(store.rotate_token(id, [3; 32], By::itself(), earlier).await.unwrap(), None);
        let again = store.revoke_token(id, earlier + 30 * MINUTE, By::itself(), earlier).await.unwrap();
        assert_eq!((again, token_of(&store, id).await.is_valid(earlier)), (Some(earlier), false), "none puts it off");

        let late = store.add_token("Housing".into(), None, [4; 32], By::itself(), NOW).await.unwrap();
        store.revoke_token(late, SOON, By::itself(), NOW).await.unwrap();
        assert_eq!(store.revoke_token(late, SOON + 1, By::itself(), SOON + 1).await.unwrap(), Some(SOON));
        assert!(!token_of(&store, late).await.is_valid(NOW), "also where another revocation had come");
    }

    #[tokio::test]
    async fn a_token_that_takes_anothers_place_is_valid_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, old) = store_with_token(&folder).await;
        let new = store.rotate_token(old, [2; 32], By::itself(), NOW).await.unwrap().unwrap();
        let (old_token, new_token) = (token_of(&store, old).await, token_of(&store, new).await);
        assert!(old_token.is_valid(NOW) && new_token.is_valid(NOW));
        assert_eq!(old_token.service, new_token.service);
        assert!(matches!(store.rotate_token(old, [2; 32], By::itself(), NOW).await, Err(AddTokenError::Known(_))));
        store.revoke_token(old, NOW, By::itself(), NOW).await.unwrap();
        for gone in [old, 99] {
            assert_eq!(store.rotate_token(gone, [3; 32], By::itself(), NOW).await.unwrap(), None, "{gone}");
        }
    }
}
