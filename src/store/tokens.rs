//! Callback tokens: their hashes, whose they are, and when each was last used.

use rusqlite::{Connection, OptionalExtension, params};

use super::envelope::Envelope;
use super::record::{self, By, Did, Entry};
use super::{ServiceId, Store, StoreError};
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
    /// Since when it is refused.
    pub revoked_at: Option<i64>,
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
            let entry = Entry::new(by, Did::AddedToken, now).of(format!("token {id}")).with(service_name);
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
        self.read_at_the_door(|connection| {
            let mut find = connection.prepare_cached(
                "SELECT t.id, t.service, s.name, t.sha256, t.made_at, t.last_used_at, t.revoked_at
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
                })
            })?;
            rows.collect()
        })
        .await
    }

    /// Refuses a token from now on; `false` where there is no such token.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn revoke_token(&self, id: i64, by: By, now: i64) -> Result<bool, StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| {
            let sql = "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1";
            let known = connection.execute(sql, [id, now])? > 0;
            if known {
                let entry = Entry::new(by, Did::RevokedToken, now).of(format!("token {id}"));
                record::append(connection, &key, &entry)?;
            }
            Ok(known)
        })
        .await
    }
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
