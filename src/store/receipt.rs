//! One message's page: everything that came for it, and what else is known of the same person and the same reference.

use rusqlite::Connection;

use super::conversations::{HandledConversation, of_person};
use super::index::{Facets, Index, Wanted, Way, short_id};
use super::redacting::{self, Redacted};
use super::row::{self, Kept};
use super::{Services, Store, StoreError, service};
use crate::notify::Kind;
use crate::notify::recipient::reference_key;

/// Other messages of a person that the page lists, and as many with the reference.
const LISTED: usize = 20;
/// Messages that are looked at for them, the newest of each.
const LOOKED_THROUGH: usize = 1000;
/// Events of one message that are shown.
const EVENTS: usize = 500;

/// What is known of one message, sent or received.
#[derive(Debug)]
pub struct Receipt {
    /// Every event that came for it, in the order of arrival; never empty.
    pub events: Vec<Kept>,
    /// What else came for the same person or with the same reference, of all kinds, in the order of arrival from the newest.
    pub related: Vec<Related>,
    /// Whether there may be more for the person than is listed.
    pub more_of_person: bool,
    /// Whether there may be more with the reference.
    pub more_of_reference: bool,
    /// What was redacted of it.
    pub redacted: Option<Redacted>,
    /// The conversation with that number, where it ever sent a text.
    pub conversation: Option<HandledConversation>,
    /// The newest text that is known of that person.
    pub newest_text: Option<NewestText>,
}

/// What leads to the answer to a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewestText {
    /// Its id in Notify.
    pub notify_id: String,
    /// The id in Notify of the service that it was sent to, where that is known.
    pub notify_service_id: Option<String>,
    /// The service's name.
    pub service_name: String,
}

impl NewestText {
    pub(super) fn of(connection: &Connection, text: &Kept) -> rusqlite::Result<NewestText> {
        Ok(NewestText {
            notify_id: text.callback.notify_id().to_owned(),
            notify_service_id: service::notify_id(connection, text.service)?,
            service_name: text.service_name.clone(),
        })
    }
}

/// Something else that is known.
#[derive(Debug)]
pub struct Related {
    /// What came.
    pub kept: Kept,
    /// Whether it is of the same person.
    pub same_person: bool,
    /// Whether it has the same reference.
    pub same_reference: bool,
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
    let events = events(index, sees, notify_id)?;
    if events.is_empty() {
        return Ok(None);
    }
    let person = events.iter().find_map(|kept| kept.callback.match_key()).map(|key| key.as_str().to_owned());
    let reference = events.iter().find_map(reference_of);
    let is_persons = |kept: &Kept| kept.callback.match_key().is_some_and(|key| Some(key.as_str()) == person.as_deref());
    let has_reference = |kept: &Kept| reference.is_some() && reference_of(kept) == reference;
    let (mut kept, mut more_of_person, mut more_of_reference) = (Vec::new(), false, false);
    if let Some(key) = person.clone() {
        more_of_person = others(index, sees, notify_id, Wanted::Person(key), is_persons, &mut kept)?;
    }
    if let Some(key) = reference.clone() {
        more_of_reference = others(index, sees, notify_id, Wanted::Reference(key), has_reference, &mut kept)?;
    }
    kept.sort_by_key(|kept| std::cmp::Reverse(kept.arrival));
    kept.dedup_by_key(|kept| kept.arrival);
    let mut related: Vec<Related> = Vec::new();
    for kept in kept {
        let (same_person, same_reference) = (is_persons(&kept), has_reference(&kept));
        related.push(Related { kept, same_person, same_reference });
    }
    let texts = events.iter().chain(related.iter().filter(|one| one.same_person).map(|one| &one.kept));
    let texts = texts.filter(|kept| kept.callback.kind() == Kind::ReceivedText);
    let (mut conversation_with, mut newest_text) = (None, None);
    if let Some(text) = texts.max_by_key(|kept| kept.arrival) {
        conversation_with =
            person.as_deref().map(|person| of_person::with(index.connection, sees, person)).transpose()?.flatten();
        newest_text = Some(NewestText::of(index.connection, text)?);
    }
    let redacted = redacting::of(index.connection, notify_id)?;
    Ok(Some(Receipt {
        events,
        related,
        more_of_person,
        more_of_reference,
        redacted,
        conversation: conversation_with,
        newest_text,
    }))
}

fn reference_of(kept: &Kept) -> Option<String> {
    kept.callback.reference().map(reference_key).filter(|key| !key.is_empty())
}

/// Adds the newest of what is found, but for the message itself; whether there may be more.
fn others(
    index: &Index<'_>,
    sees: &Services,
    notify_id: &str,
    wanted: Wanted,
    is_one: impl Fn(&Kept) -> bool,
    others: &mut Vec<Kept>,
) -> rusqlite::Result<bool> {
    let mut arrivals = index.arrivals(wanted, Facets::of(sees), Way::NewestFirst, i64::MAX);
    let mut listed = 0;
    for _ in 0..LOOKED_THROUGH {
        let Some(arrival) = arrivals.next()? else { return Ok(false) };
        let is_other = |kept: &Kept| {
            kept.shown && sees.allow(kept.service) && kept.callback.notify_id() != notify_id && is_one(kept)
        };
        let Some(kept) = row::at(index.connection, arrival)?.filter(is_other) else { continue };
        if listed == LISTED {
            return Ok(true);
        }
        listed += 1;
        others.push(kept);
    }
    Ok(true)
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
