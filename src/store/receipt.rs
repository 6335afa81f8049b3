//! One message's page: everything that came for it, and what else is known of the same person.

use rusqlite::{Connection, OptionalExtension};

use super::index::{Facets, Index, Wanted, Way, short_id};
use super::redacting::{self, Redacted};
use super::row::{self, Kept};
use super::{Services, Store, StoreError};
use crate::notify::Kind;

/// Other messages that the page lists, and as many texts.
const LISTED: usize = 20;
/// Messages to and from the person that are looked at for them, the newest.
const LOOKED_THROUGH: usize = 1000;
/// Events of one message that are shown.
const EVENTS: usize = 500;

/// What is known of one message, sent or received.
#[derive(Debug)]
pub struct Receipt {
    /// Every event that came for it, in the order of arrival; never empty.
    pub events: Vec<Kept>,
    /// Other messages to the same person, newest first; at most 20.
    pub others: Vec<Kept>,
    /// Other text messages from the same number, newest first; at most 20.
    pub texts: Vec<Kept>,
    /// What was redacted of it.
    pub redacted: Option<Redacted>,
    /// The name of the conversation with that number, where it ever sent a text.
    pub conversation: Option<String>,
}

impl Store {
    /// Everything about the message with this id of Notify's; `None` where nothing came for it.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn receipt(&self, sees: &Services, notify_id: &str) -> Result<Option<Receipt>, StoreError> {
        let (sees, notify_id) = (sees.clone(), notify_id.to_owned());
        self.look(move |index| receipt(index, &sees, &notify_id)).await
    }
}

fn receipt(index: &Index<'_>, sees: &Services, notify_id: &str) -> rusqlite::Result<Option<Receipt>> {
    let connection = index.connection;
    let events = events(index, sees, notify_id)?;
    if events.is_empty() {
        return Ok(None);
    }
    let redacted = redacting::of(connection, notify_id)?;
    let mut receipt = Receipt { events, others: Vec::new(), texts: Vec::new(), redacted, conversation: None };
    let Some(person) = receipt.events.iter().find_map(|kept| kept.callback.match_key()) else {
        return Ok(Some(receipt));
    };
    let wanted = Wanted::Person(person.as_str().to_owned());
    let mut arrivals = index.arrivals(wanted, Facets::of(sees), Way::NewestFirst, i64::MAX);
    for _ in 0..LOOKED_THROUGH {
        let Some(arrival) = arrivals.next()? else { break };
        let Some(kept) = row::at(connection, arrival)?.filter(|kept| kept.shown && sees.allow(kept.service)) else {
            continue;
        };
        let text = kept.callback.kind() == Kind::ReceivedText;
        let list = if text { &mut receipt.texts } else { &mut receipt.others };
        if list.len() < LISTED && kept.callback.notify_id() != notify_id {
            list.push(kept);
        }
        if receipt.texts.len() == LISTED && receipt.others.len() == LISTED {
            break;
        }
    }
    if !receipt.texts.is_empty() {
        receipt.conversation = conversation(connection, person.as_str())?;
    }
    Ok(Some(receipt))
}

fn events(index: &Index<'_>, sees: &Services, notify_id: &str) -> rusqlite::Result<Vec<Kept>> {
    let mut arrivals =
        index.arrivals(Wanted::NotifyId(short_id(notify_id)), Facets::of(sees), Way::OldestFirst, i64::MIN);
    let mut events = Vec::new();
    while events.len() < EVENTS
        && let Some(arrival) = arrivals.next()?
    {
        let shows = |kept: &Kept| kept.callback.notify_id() == notify_id && sees.allow(kept.service);
        events.extend(row::at(index.connection, arrival)?.filter(shows));
    }
    Ok(events)
}

fn conversation(connection: &Connection, person_key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT opaque FROM conversations WHERE person_key = ?1")?
        .query_row([person_key], |row| row.get(0))
        .optional()
}
