//! Signs of life: when it was last known that callbacks were taken. Written with callbacks, once a minute at most, with the clockwork and
//! at a clean stop, so that nothing wakes for it; after a crash of a server that had nothing to do, the last sign may be an hour old.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::arrivals::Ledger;
use super::{Services, Store, StoreError};
use crate::clock::MINUTE;
use crate::notify::api::List;

/// Notify gives a callback up after about so long.
const NOTIFY_GIVES_UP: i64 = 25 * MINUTE;

/// A time without a sign of life, longer than Notify goes on trying. Callbacks of that time may be lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The last sign of life before it, in microseconds since 1970 UTC.
    pub began_at: i64,
    /// The start after it.
    pub ended_at: i64,
}

/// What was known at the start.
#[derive(Clone, Copy, Default)]
pub(super) struct Start {
    last_alive_at: Option<i64>,
    gap: Option<Gap>,
}

impl Start {
    /// Looks when the last sign of life was, and gives one.
    pub(super) fn note(connection: &mut Connection, now: i64) -> rusqlite::Result<Start> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let last_alive_at: Option<i64> =
            transaction.query_row("SELECT alive_at FROM signs_of_life", [], |row| row.get(0)).optional()?.flatten();
        let gap = last_alive_at.map(|began_at| Gap { began_at, ended_at: now });
        let gap = gap.filter(|gap| gap.ended_at - gap.began_at > NOTIFY_GIVES_UP);
        if let Some(gap) = gap {
            let sql = "INSERT OR REPLACE INTO gaps (began_at, ended_at) VALUES (?1, ?2)";
            transaction.execute(sql, [gap.began_at, gap.ended_at])?;
        }
        note(&transaction, now)?;
        transaction.commit()?;
        Ok(Start { last_alive_at, gap })
    }
}

/// Gives a sign of life.
pub(super) fn note(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE signs_of_life SET alive_at = ?1")?.execute([now]).map(drop)
}

impl Store {
    /// The last sign of life before the server started.
    #[must_use]
    pub fn last_alive_at(&self) -> Option<i64> {
        self.inner.start.last_alive_at
    }

    /// The gap that ended when the server started.
    #[must_use]
    pub fn gap(&self) -> Option<Gap> {
        self.inner.start.gap
    }

    /// Gives a sign of life: callbacks are taken. What was counted is written down with it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn note_alive(&self, now: i64) -> Result<(), StoreError> {
        self.inner.writer.write_with_ledger(move |connection, ledger| ledger.sign(connection, now)).await
    }

    /// Has the writer give a sign of life, and waits until it has answered. Where writes are refused nothing is written.
    ///
    /// # Errors
    /// What the writer answers; [`StoreError::Full`] and [`StoreError::Closed`] say that it does not.
    pub async fn prove_writer(&self, now: i64) -> Result<(), StoreError> {
        let refused = self.inner.condition.refuse_writes();
        let writes = refused.is_ok();
        let sign = move |connection: &Connection, ledger: &mut Ledger| {
            if writes { ledger.sign(connection, now) } else { Ok(()) }
        };
        self.inner.writer.ask(sign).await?;
        refused
    }

    /// The latest gap that ended after `since` and that has not been read back for each service with a valid token that may be seen.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn open_gap(&self, sees: &Services, since: i64, now: i64) -> Result<Option<Gap>, StoreError> {
        let sees = sees.bound();
        self.read(move |connection| {
            let sql = "SELECT began_at, ended_at FROM gaps g WHERE ended_at > ?2 AND EXISTS (
                SELECT 1 FROM tokens t WHERE NOT t.revoked_at_once AND (t.revoked_at IS NULL OR t.revoked_at > ?4)
                    AND t.made_at < g.ended_at
                    AND (?1 IS NULL OR t.service IN (SELECT value FROM json_each(?1)))
                    AND (SELECT count(*) FROM backfills b WHERE b.service = t.service AND b.covered_from <= g.began_at
                        AND b.covered_until >= g.ended_at) < ?3)
                ORDER BY began_at DESC LIMIT 1";
            let gap = |row: &rusqlite::Row<'_>| Ok(Gap { began_at: row.get(0)?, ended_at: row.get(1)? });
            let lists = i64::try_from(List::ALL.len()).unwrap_or(0);
            connection.prepare_cached(sql)?.query_row(rusqlite::params![sees, since, lists, now], gap).optional()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::Callback;
    use crate::store::{Arrival, Envelope, Fetched, Origin, Reading};

    const NOW: i64 = 1_795_000_000_000_000;

    #[tokio::test]
    async fn a_start_long_after_the_last_sign_of_life_ends_a_gap_until_it_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let open = |now| Store::serve(folder.path(), now).unwrap();
        let first = open(NOW);
        assert_eq!((first.last_alive_at(), first.gap()), (None, None));
        first.add_token("A service".into(), None, [1; 32], crate::store::By::itself(), NOW).await.unwrap();
        let service = first.service("A service").await.unwrap().unwrap().id;
        let callback = |arrived_at| {
            let envelope =
                Envelope { service, token: None, origin: Origin::CalledBack, arrived_at, path: String::new() };
            let body = format!(r#"{{"id": "{arrived_at}", "status": "delivered"}}"#);
            first.keep(Arrival::callback(envelope, Callback::read(body.as_bytes()).unwrap()))
        };
        callback(NOW + 10 * MINUTE).await.unwrap();
        callback(NOW + 10 * MINUTE + 1).await.unwrap();
        callback(NOW + 20 * MINUTE).await.unwrap();
        let _closed = first.close();
        drop(first);
        let second = open(NOW + 45 * MINUTE);
        assert_eq!((second.last_alive_at(), second.gap()), (Some(NOW + 20 * MINUTE), None), "Notify still tries");
        second.note_alive(NOW + 60 * MINUTE).await.unwrap();
        let _closed = second.close();
        drop(second);
        let third = open(NOW + 86 * MINUTE);
        let gap = Some(Gap { began_at: NOW + 60 * MINUTE, ended_at: NOW + 86 * MINUTE });
        assert_eq!(third.gap(), gap);
        for (list, expected) in [(List::Notifications, gap), (List::ReceivedTexts, None)] {
            assert_eq!(third.open_gap(&Services::All, NOW, NOW).await.unwrap(), gap);
            let page = Fetched {
                service,
                notify_service_id: "x".into(),
                list,
                callbacks: vec![],
                reading: Reading { begun_at: NOW + 90 * MINUTE, since: NOW, older_than: None },
                oldest: None,
                at: NOW,
            };
            third.fill(page).await.unwrap();
            assert_eq!(third.open_gap(&Services::All, NOW, NOW).await.unwrap(), expected);
        }
    }
}
