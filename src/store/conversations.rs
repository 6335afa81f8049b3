//! Received text messages: the inbox, one row for each sender, and a whole conversation with what a team does about it.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::destinations::{self, Destination};
use super::handling::{self, Changed, Handling, Opened, Versions};
use super::index::{Facets, Index, Wanted, Way};
use super::key::Key;
use super::live;
use super::notes::{self, Note};
use super::people::Person;
use super::row::{self, Kept};
use super::service::{self, Service};
use super::{ServiceId, Services, Store, StoreError};
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
    /// The newest text of those that the list is narrowed to.
    pub latest: Kept,
    /// How many texts came from this sender.
    pub texts: i64,
    /// Whether some are unread.
    pub is_unread: bool,
    /// The addresses of those who have taken it.
    pub taken_by: Option<String>,
    /// Whether it is dealt with.
    pub is_dealt_with: bool,
}

/// One page of the inbox, with what it can be narrowed to.
#[derive(Debug)]
pub struct InboxPage {
    /// The senders.
    pub rows: Vec<InboxRow>,
    /// Where to go on, where there is more.
    pub next: Option<i64>,
    /// The services.
    pub services: Vec<Service>,
    /// The numbers that texts are sent to.
    pub destinations: Vec<Destination>,
    /// The arrival of the newest text that may be seen, listed here or not.
    pub newest: i64,
}

/// What of the inbox is wanted, and in which order. All of it where nothing is set, unread conversations first.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Narrowed {
    /// Only what is unread.
    pub unread: bool,
    /// Only what this account has taken.
    pub taken_by: Option<i64>,
    /// Only what is not dealt with.
    pub open: bool,
    /// Only what this service brought.
    pub service: Option<ServiceId>,
    /// Only conversations whose newest text was sent to this number.
    pub destination: Option<i64>,
    /// The newest first, read or not.
    pub newest_first: bool,
}

/// Who looks at a conversation.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Looker {
    /// The account.
    pub account: Option<i64>,
    /// Colleagues who opened it since this moment are named.
    pub opened_since: i64,
    /// The versions that a change of theirs was made from: what came after them is told.
    pub seen: Option<Versions>,
}

/// The texts from one sender and the receipts of texts sent there, with what a team does about them.
pub struct Conversation {
    /// Received texts and delivery receipts, in the order of their arrival.
    pub items: Vec<Kept>,
    /// The arrival before which there is more.
    pub earlier: Option<i64>,
    /// The arrival of the newest text.
    pub newest: i64,
    /// The sender as the newest text wrote it.
    pub sender: String,
    /// What is done about it, for each service that may be seen.
    pub handling: Vec<Handling>,
    /// The service that brought the newest text.
    pub newest_of: ServiceId,
    /// Notes, the oldest first.
    pub notes: Vec<Note>,
    /// Colleagues who see one of these services.
    pub colleagues: Vec<Person>,
    /// Those of them who have opened it lately.
    pub opened: Vec<Opened>,
    /// What was changed since the reader saw it.
    pub since: Vec<Changed>,
}

impl Store {
    /// One page of senders with their newest text, from the place `before` on.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn inbox(
        &self,
        sees: &Services,
        narrowed: Narrowed,
        before: Option<i64>,
    ) -> Result<InboxPage, StoreError> {
        let sees = sees.clone();
        self.read(move |connection| {
            // First: what comes meanwhile is new then.
            let newest = live::newest(connection, &sees)?;
            let (rows, next) = inbox(connection, &sees, narrowed, before.unwrap_or(i64::MAX))?;
            let services = service::seen(connection, &sees)?;
            Ok(InboxPage { rows, next, services, destinations: destinations::seen(connection, &sees)?, newest })
        })
        .await
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
        looker: Looker,
    ) -> Result<Option<Conversation>, StoreError> {
        let (sees, opaque, key) = (sees.clone(), opaque.to_owned(), self.inner.key.clone());
        self.look(move |index| conversation(index, &key, &sees, &opaque, before, &looker)).await
    }
}

/// What may be seen of the inbox at all, of a row of this name.
fn scope(row: &str) -> String {
    format!(
        "(:sees IS NULL OR {row}.service IN (SELECT value FROM json_each(:sees)))
         AND (:service IS NULL OR {row}.service = :service)
         AND (:destination IS NULL OR {row}.destination IN
             (SELECT id FROM destinations WHERE number = (SELECT number FROM destinations WHERE id = :destination)))"
    )
}

/// What the list is narrowed to.
fn wanted(row: &str) -> String {
    format!(
        "{} AND (:taken_by IS NULL OR {row}.taken_by = :taken_by) AND (NOT :open OR {row}.done_at IS NULL)
         AND (NOT :unread OR {row}.latest > {row}.read_to)",
        scope(row)
    )
}

/// A sender stands at the newest of its texts that are wanted, so a row of an older one of its services gives way. `those` says
/// which senders, and `gives_way` when a row does.
fn list(those: &str, gives_way: &str) -> String {
    format!(
        "SELECT c.arrival, {}, v.opaque,
             (SELECT sum(t.texts) FROM conversation_services t WHERE t.conversation = v.id AND {}) AS texts,
             EXISTS (SELECT 1 FROM conversation_services t WHERE t.conversation = v.id AND t.latest > t.read_to AND {}) AS unread,
             (SELECT group_concat(DISTINCT p.email) FROM conversation_services t JOIN people p ON p.id = t.taken_by
                 WHERE t.conversation = v.id AND {}) AS taken_by,
             NOT EXISTS (SELECT 1 FROM conversation_services t WHERE t.conversation = v.id AND t.done_at IS NULL AND {}) AS done
         FROM conversation_services cs INDEXED BY conversation_services_by_latest
         JOIN conversations v ON v.id = cs.conversation
         JOIN callbacks c ON c.arrival = cs.latest
         {}
         WHERE cs.latest < :before AND {} {those}
           AND NOT EXISTS (SELECT 1 FROM conversation_services n WHERE n.conversation = cs.conversation
                  AND ({gives_way}) AND {})
         ORDER BY cs.latest DESC LIMIT :limit",
        row::COLUMNS,
        scope("t"),
        scope("t"),
        scope("t"),
        scope("t"),
        row::JOINS,
        wanted("cs"),
        wanted("n")
    )
}

static ALL: LazyLock<String> = LazyLock::new(|| list("", "n.latest > cs.latest"));
static UNREAD: LazyLock<String> =
    LazyLock::new(|| list("AND cs.latest > cs.read_to", "n.latest > cs.latest AND n.latest > n.read_to"));
static READ: LazyLock<String> =
    LazyLock::new(|| list("AND cs.latest <= cs.read_to", "n.latest > cs.latest OR n.latest > n.read_to"));

/// Where unread conversations stand first, the places after them are below zero.
fn inbox(
    connection: &Connection,
    sees: &Services,
    narrowed: Narrowed,
    before: i64,
) -> rusqlite::Result<(Vec<InboxRow>, Option<i64>)> {
    let one_order = narrowed.newest_first || narrowed.unread;
    let mut rows = match before {
        before if one_order => senders(connection, &ALL, sees, narrowed, before)?,
        before if before > 0 => senders(connection, &UNREAD, sees, narrowed, before)?,
        _ => Vec::new(),
    };
    let first_read = rows.len();
    if !one_order && rows.len() <= SENDERS {
        let before = if before > 0 { i64::MAX } else { before.saturating_neg() };
        rows.extend(senders(connection, &READ, sees, narrowed, before)?);
    }
    let more = rows.len() > SENDERS;
    rows.truncate(SENDERS);
    let is_read = !one_order && rows.len() > first_read;
    let last = rows.last().filter(|_| more).map(|last| last.latest.arrival);
    Ok((rows, last.map(|last| if is_read { -last } else { last })))
}

/// One more than a page.
fn senders(
    connection: &Connection,
    sql: &str,
    sees: &Services,
    narrowed: Narrowed,
    before: i64,
) -> rusqlite::Result<Vec<InboxRow>> {
    let mut find = connection.prepare_cached(sql)?;
    let bound = named_params! {
        ":sees": sees.bound(), ":service": narrowed.service, ":destination": narrowed.destination,
        ":taken_by": narrowed.taken_by, ":open": narrowed.open, ":unread": narrowed.unread,
        ":before": before, ":limit": SENDERS + 1,
    };
    let rows = find.query_map(bound, |row| {
        Ok(InboxRow {
            latest: row::kept(row)?,
            opaque: row.get("opaque")?,
            texts: row.get("texts")?,
            is_unread: row.get("unread")?,
            taken_by: row.get("taken_by")?,
            is_dealt_with: row.get("done")?,
        })
    })?;
    rows.collect()
}

fn conversation(
    index: &Index<'_>,
    key: &Key,
    sees: &Services,
    opaque: &str,
    before: Option<i64>,
    looker: &Looker,
) -> rusqlite::Result<Option<Conversation>> {
    let connection = index.connection;
    let known: Option<(i64, String, i64)> = connection
        .prepare_cached(
            "SELECT v.id, v.person_key, max(cs.latest) FROM conversations v
             JOIN conversation_services cs ON cs.conversation = v.id
             WHERE v.opaque = ?1 AND (?2 IS NULL OR cs.service IN (SELECT value FROM json_each(?2)))
             GROUP BY v.id",
        )?
        .query_row(params![opaque, sees.bound()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((id, person, newest)) = known else { return Ok(None) };
    let Some(latest) = row::at(connection, newest)? else { return Ok(None) };
    let handling = handling::states(connection, id, sees)?;
    let names = (opaque, person.as_str());
    let (colleagues, opened) =
        handling::colleagues(connection, key, &handling, names, (looker.account, looker.opened_since))?;
    let since = match &looker.seen {
        Some(versions) => handling::since(connection, id, &handling, versions)?,
        None => Vec::new(),
    };
    let mut items = messages(index, sees, person, before.unwrap_or(i64::MAX))?;
    let more = items.len() > MESSAGES;
    items.truncate(MESSAGES);
    let earlier = items.last().filter(|_| more).map(|oldest| oldest.arrival);
    items.reverse();
    let sender = latest.callback.person().map(str::to_owned).unwrap_or_default();
    let (newest_of, notes) = (latest.service, notes::on(connection, id, sees)?);
    Ok(Some(Conversation { items, earlier, newest, sender, handling, newest_of, notes, colleagues, opened, since }))
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
