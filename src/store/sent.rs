//! What messages said that were sent, as Notify's API told it when somebody looked. It is personal data: it goes by its age, with its
//! message, and with what is erased or redacted, and does not come back after that.

use rusqlite::{Connection, OptionalExtension, params};

use super::row::id_value;
use super::{ServiceId, Services, Store, StoreError, erased, redacting};

/// What a message said.
#[derive(Clone, PartialEq, Eq)]
pub struct SentText {
    /// Notify's id of the message.
    pub notify_id: String,
    /// The service that sent it.
    pub service: ServiceId,
    /// Its name.
    pub service_name: String,
    /// The subject, where it has one.
    pub subject: Option<String>,
    /// What it said; `None` where Notify no longer had it.
    pub body: Option<String>,
    /// When Notify told it, in microseconds since 1970 UTC.
    pub fetched_at: i64,
}

impl std::fmt::Debug for SentText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SentText(…)")
    }
}

impl Store {
    /// What a message said, where that is kept and may be seen.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn sent_text(&self, sees: &Services, notify_id: &str) -> Result<Option<SentText>, StoreError> {
        let (sees, notify_id) = (sees.clone(), notify_id.to_owned());
        self.read(move |connection| of(connection, &sees, &notify_id)).await
    }

    /// Keeps what a message said; `false` where it was erased or redacted meanwhile.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn keep_sent_text(&self, text: SentText) -> Result<bool, StoreError> {
        self.write(move |connection| keep(connection, &text)).await
    }

    /// Removes what was fetched before a moment, but for what a hold keeps; gives how many these were.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn forget_sent_texts(&self, before: i64) -> Result<usize, StoreError> {
        self.write(move |connection| {
            let sql = "DELETE FROM sent_texts WHERE fetched_at < ?1 AND notify_id NOT IN
                (SELECT c.notify_id FROM held_arrivals h JOIN callbacks c ON c.arrival = h.arrival)";
            connection.prepare_cached(sql)?.execute([before])
        })
        .await
    }
}

fn keep(connection: &Connection, text: &SentText) -> rusqlite::Result<bool> {
    let id = id_value(&text.notify_id);
    if erased::Erased::of(connection)?.holds(&id)? || redacting::of(connection, &text.notify_id)?.is_some() {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "INSERT INTO sent_texts (notify_id, service, subject, body, fetched_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (notify_id) DO UPDATE SET service = excluded.service, subject = excluded.subject,
                 body = excluded.body, fetched_at = excluded.fetched_at",
        )?
        .execute(params![id, text.service.0, text.subject, text.body, text.fetched_at])?;
    Ok(true)
}

/// What the message with this id said.
pub(super) fn of(connection: &Connection, sees: &Services, notify_id: &str) -> rusqlite::Result<Option<SentText>> {
    let sql = "SELECT x.service, s.name, x.subject, x.body, x.fetched_at FROM sent_texts x JOIN services s ON s.id = x.service
        WHERE x.notify_id = ?1";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(SentText {
            notify_id: notify_id.to_owned(),
            service: ServiceId(row.get(0)?),
            service_name: row.get(1)?,
            subject: row.get(2)?,
            body: row.get(3)?,
            fetched_at: row.get(4)?,
        })
    };
    let found = connection.prepare_cached(sql)?.query_row([id_value(notify_id)], read).optional()?;
    Ok(found.filter(|text| sees.allow(text.service)))
}

/// Removes what the message with this id said.
pub(super) fn forget(connection: &Connection, notify_id: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM sent_texts WHERE notify_id = ?1")?.execute([id_value(notify_id)]).map(drop)
}

/// As [`forget`], of the message that an arrival is of.
pub(super) fn forget_with(connection: &Connection, arrival: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM sent_texts WHERE notify_id = (SELECT notify_id FROM callbacks WHERE arrival = ?1)";
    connection.prepare_cached(sql)?.execute([arrival]).map(drop)
}
