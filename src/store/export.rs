//! Reading out everything that is held on somebody, one piece after another in the order of arrival.

use rusqlite::{Connection, OptionalExtension, params};

use super::handling::{self, Handling};
use super::notes::{self, Note};
use super::progress::{Progress, Stage};
use super::quarantine::{self, Quarantined};
use super::row::{self, Kept};
use super::sent::{self, SentText};
use super::subject::{Gathered, len};
use super::{ServiceId, Services, Store, StoreError, flags, holds};
use crate::flagging::Hit;

/// A search for somebody that is kept so that its page can be opened again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldSearch {
    /// What was typed.
    pub term: String,
    /// When, in microseconds since 1970 UTC.
    pub made_at: i64,
}

/// Pieces that are read together.
const AT_ONCE: usize = 32;

/// Where a piece stands.
enum Place<'a> {
    Callback(i64),
    Sent(&'a str),
    Body(i64),
    Search(&'a str),
    /// Of a conversation what is done about the texts of one service.
    Handling(i64, ServiceId),
    Note(i64),
}

/// One piece of what is held.
#[derive(Debug)]
pub enum Exported {
    /// A callback of any kind, whether a hold keeps it, and why it is flagged.
    Callback(Box<Kept>, bool, Vec<Hit>),
    /// A body in quarantine, and whether a hold keeps it.
    Quarantined(Box<Quarantined>, bool),
    /// What a message said that was sent to them.
    Sent(Box<SentText>),
    /// A kept search.
    Search(HeldSearch),
    /// What is done about their texts to one service.
    Handling(Box<Handling>),
    /// A note on their conversation.
    Note(Box<Note>),
}

impl Store {
    /// Hands out what was gathered by the same reader. What went meanwhile is left out. Blocks; `each` says `false` to stop. While a
    /// piece is handed out nothing is being read, so that who takes them slowly does not keep the log from being emptied.
    ///
    /// # Errors
    /// When it cannot be read, or somebody asked for it to stop.
    pub fn export(
        &self,
        sees: &Services,
        gathered: &Gathered,
        progress: &Progress,
        mut each: impl FnMut(Exported) -> bool,
    ) -> Result<(), StoreError> {
        let mut arrivals: Vec<i64> = gathered.messages.iter().flat_map(|message| &message.arrivals).copied().collect();
        arrivals.sort_unstable();
        arrivals.dedup();
        let callbacks = arrivals.into_iter().map(Place::Callback);
        let sent = gathered.messages.iter().map(|message| Place::Sent(&message.notify_id));
        let bodies = gathered.quarantined.iter().copied().map(Place::Body);
        let searches = gathered.searches.iter().map(|opaque| Place::Search(opaque));
        let handled = gathered.handled.iter().map(|(conversation, service)| Place::Handling(*conversation, *service));
        let notes = gathered.notes.iter().copied().map(Place::Note);
        let places: Vec<Place<'_>> =
            callbacks.chain(sent).chain(bodies).chain(searches).chain(handled).chain(notes).collect();
        let mut done = 0;
        for some in places.chunks(AT_ONCE) {
            let pieces = self.look_long(|index| {
                let read = some.iter().map(|place| read(index.connection, sees, place));
                Ok(read.collect::<rusqlite::Result<Vec<_>>>()?)
            })?;
            for piece in pieces {
                progress.is_at(Stage::Exporting, done, len(places.len()));
                done += 1;
                if progress.is_stopped() || !piece.is_none_or(&mut each) {
                    return Err(StoreError::Stopped);
                }
            }
        }
        Ok(())
    }
}

fn read(connection: &Connection, sees: &Services, place: &Place<'_>) -> rusqlite::Result<Option<Exported>> {
    Ok(match *place {
        Place::Callback(arrival) => {
            let kept = row::at(connection, arrival)?.filter(|kept| sees.allow(kept.service));
            let is_held = holds::is_held(connection, arrival)?;
            let flags = flags::of(connection, arrival)?;
            kept.map(|kept| Exported::Callback(Box::new(kept), is_held, flags))
        }
        Place::Sent(notify_id) => {
            let text = sent::of(connection, sees, notify_id)?.filter(|text| text.body.is_some());
            text.map(|text| Exported::Sent(Box::new(text)))
        }
        Place::Body(arrival) => {
            let body = quarantine::with_body(connection, sees, arrival)?;
            let is_held = holds::is_held(connection, arrival)?;
            body.map(|body| Exported::Quarantined(Box::new(body), is_held))
        }
        Place::Search(opaque) => search(connection, opaque)?.map(Exported::Search),
        Place::Handling(conversation, service) if sees.allow(service) => {
            let mut states = handling::states(connection, conversation, &Services::Only(vec![service]))?;
            states.pop().map(|state| Exported::Handling(Box::new(state)))
        }
        Place::Handling(..) => None,
        Place::Note(id) => notes::one(connection, id, sees)?.map(|note| Exported::Note(Box::new(note))),
    })
}

fn search(connection: &Connection, opaque: &str) -> rusqlite::Result<Option<HeldSearch>> {
    connection
        .prepare_cached("SELECT term, made_at FROM searches WHERE opaque = ?1")?
        .query_row(params![opaque], |row| Ok(HeldSearch { term: row.get(0)?, made_at: row.get(1)? }))
        .optional()
}
