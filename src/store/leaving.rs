//! Everything that the store holds of callbacks and of what was done about them, read out for another store: a stretch after the other,
//! each by itself, so that the log can be copied meanwhile however long it takes. Arrival numbers do not leave: another store has its own.

use std::sync::LazyLock;

use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use super::envelope::Origin;
use super::index::{Facets, Index, Wanted, Way};
use super::row::{self, COLUMNS, JOINS, plain};
use super::{ServiceId, Services, Store, StoreError, open};
use crate::notify::{Callback, Kind};

/// Rows that are read together.
const ROWS: i64 = 500;
/// Bodies in quarantine that are read together: each may be a megabyte.
const BODIES: i64 = 16;
/// Conversations that are gone through together.
const CONVERSATIONS: i64 = 200;

/// Who did something, and when, in microseconds since 1970 UTC.
pub(super) type Done = (String, i64);

/// One item, as another store takes it in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Portable {
    /// A service, by its name.
    Service {
        /// Its name.
        name: String,
        /// Its id in Notify, where that is known.
        notify_service_id: Option<String>,
    },
    /// The name that an admin gave a template.
    Template {
        /// The service.
        service: String,
        /// The template's id in Notify.
        template_id: String,
        /// Its name.
        name: String,
    },
    /// A callback.
    Callback(Came, Box<Callback>),
    /// A body that was not understood.
    Quarantined(Came, Box<UnreadBody>),
    /// What is done about the texts of a sender to one service.
    Handling(Box<HandledTexts>),
    /// A note on a conversation.
    Note(Box<WrittenNote>),
}

/// How something came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Came {
    /// The name of the service.
    pub service: String,
    /// How it came to be here.
    pub origin: Origin,
    /// When it first came, in microseconds since 1970 UTC.
    pub arrived_at: i64,
    /// How often these very bytes came.
    pub times: i64,
    /// When they came last, where that was more than once.
    pub last_arrived_at: Option<i64>,
}

/// A body that was not understood, with what is known of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnreadBody {
    /// Why, as a sentence for a manager.
    pub reason: String,
    /// The path that it was sent to.
    pub path: String,
    /// Its `Content-Type`.
    pub content_type: Option<String>,
    /// Its `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// The bytes.
    pub body: Vec<u8>,
}

/// What is done about the texts of a sender to one service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandledTexts {
    /// The name of the service.
    pub service: String,
    /// The sender's key.
    pub sender: String,
    /// Notify's id of the newest text that was read.
    pub read_to: Option<String>,
    /// Who has taken the conversation.
    pub taken: Option<Done>,
    /// Who has dealt with it.
    pub dealt_with: Option<Done>,
}

/// A note on a conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrittenNote {
    /// The name of the service whose people see it.
    pub service: String,
    /// The key of the conversation's sender.
    pub sender: String,
    /// Who wrote it, and when.
    pub written: Done,
    /// What it says; nothing where its writer removed it.
    pub text: Option<String>,
    /// When that was.
    pub removed_at: Option<i64>,
}

/// What is read out, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Services,
    Templates,
    Callbacks,
    Quarantine,
    Handling,
    Notes,
    All,
}

/// How far a reading out is. It names a sender where conversations are read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReadOut {
    part: Part,
    /// The arrival or the note that was read last.
    after: i64,
    /// The sender that was read last.
    after_sender: String,
    /// What arrives from this number on comes too late for it.
    until: i64,
}

impl ReadOut {
    fn go_on_with(&mut self, part: Part) {
        (self.part, self.after) = (part, i64::MIN);
    }

    /// How far it is, of how much: by the arrivals, which are nearly all of it.
    #[must_use]
    pub fn reached(&self) -> (u64, u64) {
        let of = self.until.unsigned_abs();
        let done = match self.part {
            Part::Services | Part::Templates => 0,
            Part::Callbacks => self.after.max(0).unsigned_abs(),
            Part::Quarantine | Part::Handling | Part::Notes | Part::All => of,
        };
        (done, of)
    }
}

/// A reading out that is under way.
pub struct Leaving {
    store: Store,
    connection: Connection,
    at: ReadOut,
}

impl Store {
    /// Begins to read everything out, or goes on from a place. What arrives from the beginning on is left out. Blocks.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn leave(&self, from: Option<ReadOut>) -> Result<Leaving, StoreError> {
        self.inner.condition.damage.refuse()?;
        let begun = (|| {
            let connection = open::reader(&self.inner.folder)?;
            let next = "SELECT next FROM arrivals";
            let until = connection.query_row(next, [], |row| row.get(0))?;
            let begin = ReadOut { part: Part::Services, after: i64::MIN, after_sender: String::new(), until };
            Ok(Leaving { store: self.clone(), connection, at: from.unwrap_or(begin) })
        })();
        self.inner.condition.damage.noted(begun)
    }
}

impl Leaving {
    /// Where to go on after what was handed out.
    #[must_use]
    pub fn place(&self) -> &ReadOut {
        &self.at
    }

    /// The next items; `None` when all were read. Afterwards nothing is being read, so that who takes them slowly holds up nobody.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn more(&mut self) -> Result<Option<Vec<Portable>>, StoreError> {
        while self.at.part != Part::All {
            let read = self.read().map_err(StoreError::from);
            let items = self.store.inner.condition.damage.noted(read)?;
            if !items.is_empty() {
                return Ok(Some(items));
            }
        }
        Ok(None)
    }

    fn read(&mut self) -> rusqlite::Result<Vec<Portable>> {
        let (connection, at) = (&self.connection, &mut self.at);
        match at.part {
            Part::Services => {
                let items = services(connection)?;
                at.go_on_with(Part::Templates);
                Ok(items)
            }
            Part::Templates => {
                let items = templates(connection)?;
                at.go_on_with(Part::Callbacks);
                Ok(items)
            }
            Part::Callbacks => Ok(at.passed(callbacks(connection, at.after, at.until)?, Part::Quarantine)),
            Part::Quarantine => Ok(at.passed(quarantined(connection, at.after, at.until)?, Part::Handling)),
            Part::Handling => {
                let fresh = self.store.inner.fresh.now();
                let moment = connection.unchecked_transaction()?;
                let (last, items) = handling(&Index::new(&moment, &fresh)?, &at.after_sender)?;
                match last {
                    Some(last) => at.after_sender = last,
                    None => at.go_on_with(Part::Notes),
                }
                Ok(items)
            }
            Part::Notes => Ok(at.passed(notes(connection, at.after)?, Part::All)),
            Part::All => Ok(Vec::new()),
        }
    }
}

impl ReadOut {
    fn passed(&mut self, rows: Vec<(i64, Portable)>, then: Part) -> Vec<Portable> {
        match rows.last() {
            Some((last, _)) => self.after = *last,
            None => self.go_on_with(then),
        }
        rows.into_iter().map(|(_, item)| item).collect()
    }
}

fn services(connection: &Connection) -> rusqlite::Result<Vec<Portable>> {
    let sql = "SELECT name, notify_service_id FROM services ORDER BY name";
    let item = |row: &Row<'_>| Ok(Portable::Service { name: row.get(0)?, notify_service_id: row.get(1)? });
    connection.prepare(sql)?.query_map([], item)?.collect()
}

fn templates(connection: &Connection) -> rusqlite::Result<Vec<Portable>> {
    let sql = "SELECT s.name, t.template_id, n.given FROM template_names n
        JOIN services s ON s.id = n.service JOIN templates t ON t.id = n.template
        WHERE n.given IS NOT NULL ORDER BY s.name, t.template_id";
    let item = |row: &Row<'_>| {
        let template_id = plain(row.get_ref(1)?).unwrap_or_default();
        Ok(Portable::Template { service: row.get(0)?, template_id, name: row.get(2)? })
    };
    connection.prepare(sql)?.query_map([], item)?.collect()
}

static CALLBACKS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT c.arrival, {COLUMNS}, c.last_arrived_at FROM callbacks c {JOINS}
         WHERE c.arrival > ?1 AND c.arrival < ?2 ORDER BY c.arrival LIMIT ?3"
    )
});

fn callbacks(connection: &Connection, after: i64, until: i64) -> rusqlite::Result<Vec<(i64, Portable)>> {
    let item = |row: &Row<'_>| {
        let kept = row::kept(row)?;
        let came = Came {
            service: kept.service_name,
            origin: kept.origin,
            arrived_at: kept.arrived_at,
            times: kept.times,
            last_arrived_at: row.get(22)?,
        };
        Ok((kept.arrival, Portable::Callback(came, Box::new(kept.callback))))
    };
    connection.prepare_cached(&CALLBACKS)?.query_map([after, until, ROWS], item)?.collect()
}

fn quarantined(connection: &Connection, after: i64, until: i64) -> rusqlite::Result<Vec<(i64, Portable)>> {
    let sql = "SELECT q.arrival, s.name, q.origin, q.arrived_at, q.times, q.last_arrived_at, q.reason, q.path, q.content_type,
            q.content_encoding, q.body
        FROM quarantine q JOIN services s ON s.id = q.service
        WHERE q.arrival > ?1 AND q.arrival < ?2 ORDER BY q.arrival LIMIT ?3";
    let item = |row: &Row<'_>| {
        let came = Came {
            service: row.get(1)?,
            origin: Origin::from_code(row.get(2)?),
            arrived_at: row.get(3)?,
            times: row.get(4)?,
            last_arrived_at: row.get(5)?,
        };
        let body = UnreadBody {
            reason: row.get(6)?,
            path: row.get(7)?,
            content_type: row.get(8)?,
            content_encoding: row.get(9)?,
            body: row.get(10)?,
        };
        Ok((row.get(0)?, Portable::Quarantined(came, Box::new(body))))
    };
    connection.prepare_cached(sql)?.query_map([after, until, BODIES], item)?.collect()
}

/// What is done about the next conversations, and the last sender that was looked at.
fn handling(index: &Index<'_>, after: &str) -> rusqlite::Result<(Option<String>, Vec<Portable>)> {
    let connection = index.connection;
    let sql = "SELECT id, person_key FROM conversations WHERE person_key > ?1 ORDER BY person_key LIMIT ?2";
    let conversations = connection
        .prepare_cached(sql)?
        .query_map(params![after, CONVERSATIONS], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
    let mut items = Vec::new();
    for (conversation, sender) in &conversations {
        for touched in touched(connection, *conversation)? {
            let Touched { service, service_name, read_to, latest, taken, dealt_with } = touched;
            let read_to = newest_read(index, sender, service, read_to, latest)?;
            if read_to.is_some() || taken.is_some() || dealt_with.is_some() {
                let sender = sender.clone();
                let handled = HandledTexts { service: service_name, sender, read_to, taken, dealt_with };
                items.push(Portable::Handling(Box::new(handled)));
            }
        }
    }
    Ok((conversations.into_iter().next_back().map(|(_, sender)| sender), items))
}

/// A conversation that somebody did something about, of one service.
struct Touched {
    service: ServiceId,
    service_name: String,
    read_to: i64,
    latest: i64,
    taken: Option<Done>,
    dealt_with: Option<Done>,
}

fn touched(connection: &Connection, conversation: i64) -> rusqlite::Result<Vec<Touched>> {
    let sql = "SELECT cs.service, s.name, cs.read_to, cs.latest, t.email, cs.taken_at, d.email, cs.done_at
        FROM conversation_services cs JOIN services s ON s.id = cs.service
        LEFT JOIN people t ON t.id = cs.taken_by LEFT JOIN people d ON d.id = cs.done_by
        WHERE cs.conversation = ?1 AND (cs.read_to > 0 OR cs.taken_by IS NOT NULL OR cs.done_by IS NOT NULL)
        ORDER BY s.name";
    let read = |row: &Row<'_>| {
        let done = |who: usize, at: usize| -> rusqlite::Result<Option<Done>> {
            Ok(row.get::<_, Option<String>>(who)?.zip(row.get(at)?))
        };
        Ok(Touched {
            service: ServiceId(row.get(0)?),
            service_name: row.get(1)?,
            read_to: row.get(2)?,
            latest: row.get(3)?,
            taken: done(4, 5)?,
            dealt_with: done(6, 7)?,
        })
    };
    connection.prepare_cached(sql)?.query_map([conversation], read)?.collect()
}

/// Notify's id of the newest text up to an arrival.
fn newest_read(
    index: &Index<'_>,
    sender: &str,
    service: ServiceId,
    read_to: i64,
    latest: i64,
) -> rusqlite::Result<Option<String>> {
    let is_theirs = |kept: &row::Kept| is_text_of(kept, sender, service);
    if read_to >= latest
        && let Some(newest) = row::at(index.connection, latest)?.filter(is_theirs)
    {
        return Ok(Some(newest.callback.notify_id().to_owned()));
    }
    let mut texts = index.arrivals(
        Wanted::Person(sender.to_owned()),
        texts_to(service),
        Way::NewestFirst,
        read_to.saturating_add(1),
    );
    while let Some(arrival) = texts.next()? {
        if let Some(text) = row::at(index.connection, arrival)?.filter(is_theirs) {
            return Ok(Some(text.callback.notify_id().to_owned()));
        }
    }
    Ok(None)
}

/// Received texts of one service.
pub(super) fn texts_to(service: ServiceId) -> Facets {
    Facets::of(&Services::Only(vec![service])).of_kinds(vec![Kind::ReceivedText])
}

/// Whether it is a text of this sender to this service: what the index leads to may be gone since, or another's.
pub(super) fn is_text_of(kept: &row::Kept, sender: &str, service: ServiceId) -> bool {
    kept.service == service
        && kept.callback.kind() == Kind::ReceivedText
        && kept.callback.match_key().is_some_and(|key| key.as_str() == sender)
}

fn notes(connection: &Connection, after: i64) -> rusqlite::Result<Vec<(i64, Portable)>> {
    let sql = "SELECT n.id, s.name, v.person_key, p.email, n.made_at, n.text, n.removed_at
        FROM notes n JOIN conversations v ON v.id = n.conversation JOIN services s ON s.id = n.service
        JOIN people p ON p.id = n.person WHERE n.id > ?1 ORDER BY n.id LIMIT ?2";
    let item = |row: &Row<'_>| {
        let note = WrittenNote {
            service: row.get(1)?,
            sender: row.get(2)?,
            written: (row.get(3)?, row.get(4)?),
            text: row.get(5)?,
            removed_at: row.get(6)?,
        };
        Ok((row.get(0)?, Portable::Note(Box::new(note))))
    };
    connection.prepare_cached(sql)?.query_map([after, ROWS], item)?.collect()
}
