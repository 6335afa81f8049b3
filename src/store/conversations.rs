//! Received text messages: the inbox, one row for each sender, and a whole conversation.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::index::{Facets, Index, Wanted, Way};
use super::row::{self, Kept};
use super::{Services, Store, StoreError};
use crate::notify::Kind;

/// Senders on one page of the inbox.
const SENDERS: usize = 50;
/// Messages on one page of a conversation.
const MESSAGES: usize = 200;

/// One sender in the inbox.
#[derive(Debug)]
pub struct InboxRow {
    /// The name that stands in URLs in place of the number.
    pub opaque: String,
    /// The newest text.
    pub latest: Kept,
    /// How many texts came from this sender.
    pub texts: i64,
}

/// One page of the inbox, newest first.
#[derive(Debug)]
pub struct InboxPage {
    /// The senders.
    pub rows: Vec<InboxRow>,
    /// The arrival to go on before, where there is more.
    pub next: Option<i64>,
}

/// The texts from one sender and the receipts of texts sent there.
#[derive(Debug)]
pub struct Conversation {
    /// Received texts and delivery receipts, in the order of their arrival.
    pub items: Vec<Kept>,
    /// The arrival before which there is more.
    pub earlier: Option<i64>,
    /// The sender as the newest text wrote it.
    pub sender: String,
}

impl Store {
    /// One page of senders with their newest text, from those before the arrival `before`.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn inbox(&self, sees: &Services, before: Option<i64>) -> Result<InboxPage, StoreError> {
        let sees = sees.bound();
        self.read(move |connection| inbox(connection, sees.as_ref(), before)).await
    }

    /// One conversation, the newest page of it or the one before the arrival `before`; `None` where its name is unknown
    /// or nothing in it may be seen.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn conversation(
        &self,
        sees: &Services,
        opaque: &str,
        before: Option<i64>,
    ) -> Result<Option<Conversation>, StoreError> {
        let (sees, opaque) = (sees.clone(), opaque.to_owned());
        self.look(move |index| conversation(index, &sees, &opaque, before)).await
    }
}

/// A sender stands at the newest of its texts that may be seen, so a row of an older one of its services gives way.
static INBOX: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT c.arrival, {}, v.opaque,
             (SELECT sum(t.texts) FROM conversation_services t WHERE t.conversation = v.id
                  AND (:sees IS NULL OR t.service IN (SELECT value FROM json_each(:sees))))
         FROM conversation_services cs
         JOIN conversations v ON v.id = cs.conversation
         JOIN callbacks c ON c.arrival = cs.latest
         {}
         WHERE cs.latest < :before
           AND (:sees IS NULL OR cs.service IN (SELECT value FROM json_each(:sees)))
           AND NOT EXISTS (SELECT 1 FROM conversation_services n WHERE n.conversation = cs.conversation
                  AND n.latest > cs.latest AND (:sees IS NULL OR n.service IN (SELECT value FROM json_each(:sees))))
         ORDER BY cs.latest DESC LIMIT :limit",
        row::COLUMNS,
        row::JOINS
    )
});

fn inbox(connection: &Connection, sees: Option<&String>, before: Option<i64>) -> rusqlite::Result<InboxPage> {
    let mut find = connection.prepare_cached(&INBOX)?;
    let bound = named_params! {":sees": sees, ":before": before.unwrap_or(i64::MAX), ":limit": SENDERS + 1};
    let rows = find.query_map(bound, |row| {
        Ok(InboxRow { latest: row::kept(row)?, opaque: row.get("opaque")?, texts: row.get(23)? })
    })?;
    let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let more = rows.len() > SENDERS;
    rows.truncate(SENDERS);
    let next = rows.last().filter(|_| more).map(|last| last.latest.arrival);
    Ok(InboxPage { rows, next })
}

fn conversation(
    index: &Index<'_>,
    sees: &Services,
    opaque: &str,
    before: Option<i64>,
) -> rusqlite::Result<Option<Conversation>> {
    let connection = index.connection;
    let known: Option<(String, i64)> = connection
        .prepare_cached(
            "SELECT v.person_key, max(cs.latest) FROM conversations v JOIN conversation_services cs ON cs.conversation = v.id
             WHERE v.opaque = ?1 AND (?2 IS NULL OR cs.service IN (SELECT value FROM json_each(?2)))
             GROUP BY v.id",
        )?
        .query_row(params![opaque, sees.bound()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((person, latest)) = known else { return Ok(None) };
    let latest = row::at(connection, latest)?;
    let sender = latest.and_then(|kept| kept.callback.person().map(str::to_owned)).unwrap_or_default();
    let mut items = messages(index, sees, person, before.unwrap_or(i64::MAX))?;
    let more = items.len() > MESSAGES;
    items.truncate(MESSAGES);
    let earlier = items.last().filter(|_| more).map(|oldest| oldest.arrival);
    items.reverse();
    Ok(Some(Conversation { items, earlier, sender }))
}

/// One more than a page, the newest first.
fn messages(index: &Index<'_>, sees: &Services, person: String, before: i64) -> rusqlite::Result<Vec<Kept>> {
    let mut arrivals = index.arrivals(Wanted::Person(person), Facets::of(sees), Way::NewestFirst, before);
    let mut messages = Vec::new();
    while messages.len() <= MESSAGES
        && let Some(arrival) = arrivals.next()?
    {
        let shows = |kept: &Kept| {
            let kind = kept.callback.kind();
            kept.shown && sees.allow(kept.service) && matches!(kind, Kind::ReceivedText | Kind::DeliveryReceipt)
        };
        messages.extend(row::at(index.connection, arrival)?.filter(shows));
    }
    Ok(messages)
}
