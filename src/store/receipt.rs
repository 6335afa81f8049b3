//! One notification's page: everything that came for it, and what else is known of the same person.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::row::{self, Kept};
use super::{Services, Store, StoreError};
use crate::notify::Kind;

/// Other messages that the page lists.
const OTHERS: i64 = 20;

/// What is known of one notification.
#[derive(Debug)]
pub struct Receipt {
    /// Every event that came for it, in the order of arrival; never empty.
    pub events: Vec<Kept>,
    /// Other messages to the same person, newest first.
    pub others: Vec<Kept>,
    /// Text messages from the same number, newest first.
    pub texts: Vec<Kept>,
    /// The name of the conversation with that number, where it ever sent a text.
    pub conversation: Option<String>,
}

impl Store {
    /// Everything about the notification with this id of Notify's; `None` where nothing came for it.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn receipt(&self, sees: &Services, notify_id: &str) -> Result<Option<Receipt>, StoreError> {
        let (sees, notify_id) = (sees.bound(), notify_id.to_owned());
        self.read(move |connection| receipt(connection, sees.as_ref(), &notify_id)).await
    }
}

fn receipt(connection: &Connection, sees: Option<&String>, notify_id: &str) -> rusqlite::Result<Option<Receipt>> {
    let texts = Kind::ReceivedText.code();
    let events = select(
        connection,
        sees,
        "c.notify_id = :key",
        &row::id_value(notify_id),
        "c.kind <> :kind",
        texts,
        "ASC",
        500,
    )?;
    if events.is_empty() {
        return Ok(None);
    }
    let person = events.iter().find_map(|kept| kept.callback.match_key());
    let Some(person) = person else {
        return Ok(Some(Receipt { events, others: Vec::new(), texts: Vec::new(), conversation: None }));
    };
    let key = rusqlite::types::Value::Text(person.as_str().to_owned());
    let mut others = select(
        connection,
        sees,
        "c.person_key = :key",
        &key,
        "c.shown AND c.kind <> :kind",
        texts,
        "DESC",
        OTHERS + 1,
    )?;
    others.retain(|kept| kept.callback.notify_id() != notify_id);
    let texts = select(connection, sees, "c.person_key = :key", &key, "c.kind = :kind", texts, "DESC", OTHERS)?;
    let conversation = if texts.is_empty() { None } else { conversation(connection, person.as_str())? };
    Ok(Some(Receipt { events, others, texts, conversation }))
}

#[expect(clippy::too_many_arguments, reason = "one query with its pieces named where it is asked")]
fn select(
    connection: &Connection,
    sees: Option<&String>,
    by: &str,
    key: &rusqlite::types::Value,
    and: &str,
    kind: i64,
    order: &str,
    limit: i64,
) -> rusqlite::Result<Vec<Kept>> {
    let sql = format!(
        "SELECT {} FROM callbacks c JOIN services s ON s.id = c.service WHERE {by} AND {and}
         AND (:sees IS NULL OR c.service IN (SELECT value FROM json_each(:sees))) ORDER BY c.arrival {order} LIMIT :limit",
        row::COLUMNS
    );
    let mut find = connection.prepare_cached(&sql)?;
    let bound = named_params! {":key": key, ":kind": kind, ":sees": sees, ":limit": limit};
    find.query_map(bound, row::kept)?.collect()
}

fn conversation(connection: &Connection, person_key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT opaque FROM conversations WHERE person_key = ?1")?
        .query_row([person_key], |row| row.get(0))
        .optional()
}
