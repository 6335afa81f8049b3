//! What came since somebody was shown a page: numbers alone, of texts that they may see.

use rusqlite::{Connection, named_params};

use super::{Services, Store, StoreError};

/// Of more conversations it is not counted how many have something new.
pub const NEW_COUNTED: i64 = 100;
/// So far back it is looked for the newest text, or what is newer than another.
const LOOKED_AT: i64 = 10_000;

impl Store {
    /// How many conversations have texts that came after the arrival `since`: of all, or of the one with this name. At most
    /// [`NEW_COUNTED`].
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn conversations_since(
        &self,
        sees: &Services,
        since: i64,
        opaque: Option<String>,
    ) -> Result<i64, StoreError> {
        let sees = sees.clone();
        self.read(move |connection| match &opaque {
            Some(opaque) => has_new(connection, &sees, since, opaque).map(i64::from),
            None => count_new(connection, &sees, since),
        })
        .await
    }
}

fn has_new(connection: &Connection, sees: &Services, since: i64, opaque: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM conversations v JOIN conversation_services cs ON cs.conversation = v.id
        WHERE v.opaque = :opaque AND cs.latest > :since
          AND (:sees IS NULL OR cs.service IN (SELECT value FROM json_each(:sees)))";
    connection.prepare_cached(sql)?.exists(named_params! { ":opaque": opaque, ":since": since, ":sees": sees.bound() })
}

fn count_new(connection: &Connection, sees: &Services, since: i64) -> rusqlite::Result<i64> {
    let sql = "SELECT count(*) FROM (SELECT DISTINCT conversation FROM
            (SELECT conversation, service FROM conversation_services INDEXED BY conversation_services_by_latest
                WHERE latest > :since ORDER BY latest DESC LIMIT :looked_at)
        WHERE :sees IS NULL OR service IN (SELECT value FROM json_each(:sees)) LIMIT :counted)";
    connection.prepare_cached(sql)?.query_row(
        named_params! { ":since": since, ":sees": sees.bound(), ":looked_at": LOOKED_AT, ":counted": NEW_COUNTED },
        |row| row.get(0),
    )
}

/// The arrival of the newest text that may be seen, as far back as is looked; of none, one that nothing newer is missed by.
pub(super) fn newest(connection: &Connection, sees: &Services) -> rusqlite::Result<i64> {
    let sql =
        "SELECT coalesce(max(latest) FILTER (WHERE :sees IS NULL OR service IN (SELECT value FROM json_each(:sees))),
            min(latest), 0)
        FROM (SELECT latest, service FROM conversation_services INDEXED BY conversation_services_by_latest
            ORDER BY latest DESC LIMIT :looked_at)";
    let bound = named_params! { ":sees": sees.bound(), ":looked_at": LOOKED_AT };
    connection.prepare_cached(sql)?.query_row(bound, |row| row.get(0))
}
