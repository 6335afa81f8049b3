//! One message's page: everything that came for it, and what else is known of the same person.

use std::sync::LazyLock;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::index::{self, Compare, Field};
use super::row::{self, Kept};
use super::{Services, Store, StoreError};
use crate::notify::Kind;

/// Other messages that the page lists, and as many texts.
const LISTED: usize = 20;

/// What is known of one message, sent or received.
#[derive(Debug)]
pub struct Receipt {
    /// Every event that came for it, in the order of arrival; never empty.
    pub events: Vec<Kept>,
    /// Other messages to the same person, newest first; at most 20.
    pub others: Vec<Kept>,
    /// Other text messages from the same number, newest first; at most 20.
    pub texts: Vec<Kept>,
    /// The name of the conversation with that number, where it ever sent a text.
    pub conversation: Option<String>,
}

impl Store {
    /// Everything about the message with this id of Notify's; `None` where nothing came for it.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn receipt(&self, sees: &Services, notify_id: &str) -> Result<Option<Receipt>, StoreError> {
        let (sees, notify_id) = (sees.bound(), notify_id.to_owned());
        self.read(move |connection| receipt(connection, sees.as_ref(), &notify_id)).await
    }
}

fn receipt(connection: &Connection, sees: Option<&String>, notify_id: &str) -> rusqlite::Result<Option<Receipt>> {
    let find = |field, which: &str, key: Value| find(connection, sees, field, which, &key);
    let events = find(Field::NotifyId, "ORDER BY 1 LIMIT 500", row::id_value(notify_id))?;
    if events.is_empty() {
        return Ok(None);
    }
    let Some(person) = events.iter().find_map(|kept| kept.callback.match_key()) else {
        return Ok(Some(Receipt { events, others: Vec::new(), texts: Vec::new(), conversation: None }));
    };
    let key = || Value::Text(person.as_str().to_owned());
    let (mut others, mut texts) = (find(Field::Person, &OTHERS, key())?, find(Field::Person, &TEXTS, key())?);
    let conversation = if texts.is_empty() { None } else { conversation(connection, person.as_str())? };
    others.retain(|kept| kept.callback.notify_id() != notify_id);
    texts.retain(|kept| kept.callback.notify_id() != notify_id);
    Ok(Some(Receipt { events, others, texts, conversation }))
}

static OTHERS: LazyLock<String> = LazyLock::new(|| {
    let text = Kind::ReceivedText.code();
    format!("AND c.shown AND c.kind <> {text} ORDER BY 1 DESC LIMIT {LISTED}")
});

static TEXTS: LazyLock<String> = LazyLock::new(|| {
    let text = Kind::ReceivedText.code();
    format!("AND c.shown AND c.kind = {text} ORDER BY 1 DESC LIMIT {LISTED}")
});

fn find(
    connection: &Connection,
    sees: Option<&String>,
    field: Field,
    which: &str,
    key: &Value,
) -> rusqlite::Result<Vec<Kept>> {
    let sql = format!(
        "SELECT f.arrival, {} FROM {} f JOIN callbacks c ON c.arrival = f.arrival JOIN services s ON s.id = c.service
         WHERE (:sees IS NULL OR c.service IN (SELECT value FROM json_each(:sees))) {which}",
        row::COLUMNS,
        index::arrivals(field, Compare::Equal)
    );
    let mut find = connection.prepare_cached(&sql)?;
    find.query_map(named_params! {":key": key, ":sees": sees}, row::kept)?.collect()
}

fn conversation(connection: &Connection, person_key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT opaque FROM conversations WHERE person_key = ?1")?
        .query_row([person_key], |row| row.get(0))
        .optional()
}
