//! Messages that were erased: their ids are remembered, so that nothing brings them back. Whose they were is not.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::row::id_value;
use super::{Store, StoreError};

impl Store {
    /// Remembers that these messages were erased: what comes for them from now on is not kept.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn note_erased(&self, notify_ids: Vec<String>, now: i64) -> Result<(), StoreError> {
        self.write(move |connection| notify_ids.iter().try_for_each(|id| note(connection, id, now))).await
    }
}

pub(super) fn note(connection: &Connection, notify_id: &str, now: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO erased_messages (notify_id, erased_at) VALUES (?1, ?2) ON CONFLICT (notify_id) DO NOTHING",
        )?
        .execute(rusqlite::params![id_value(notify_id), now])?;
    Ok(())
}

/// What one transaction knows of them.
pub(super) struct Erased<'a> {
    connection: &'a Connection,
    any: bool,
}

impl<'a> Erased<'a> {
    /// Asks once whether there are any: in most stores there are none.
    pub(super) fn of(connection: &'a Connection) -> rusqlite::Result<Erased<'a>> {
        let any = connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM erased_messages)")?
            .query_row([], |row| row.get(0))?;
        Ok(Erased { connection, any })
    }

    /// Whether the message with this id, as its column holds it, was erased.
    pub(super) fn holds(&self, notify_id: &Value) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM erased_messages WHERE notify_id = ?1";
        if self.any { self.connection.prepare_cached(sql)?.exists([notify_id]) } else { Ok(false) }
    }
}
