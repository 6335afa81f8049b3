//! Everything that is held on one person or with one reference, over all kinds: gathered by their numbers, to be read out, erased,
//! redacted or held. It reads as long as it takes, and can be stopped.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};

use super::index::{Facets, Index, Wanted, Way, short_id};
use super::progress::{Progress, Stage};
use super::row;
use super::{ServiceId, Services, Store, StoreError, handling, holds, notes, open, sent};
use crate::notify::Kind;
use crate::notify::subject::{Subject, ids_in};

/// How many there are of what is held on somebody.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct OnSubject {
    /// Callbacks of each kind, in the order of [`Kind::ALL`].
    pub kinds: [u64; 4],
    /// Bodies in quarantine that hold the number, the address, the reference or the id of one of their messages.
    pub quarantined: u64,
    /// Kept searches for them.
    pub searches: u64,
    /// Notes on their conversation, and what is done about it for each service. They go with the texts.
    pub handling: u64,
    /// Texts of messages that were sent to them, as Notify told them. They go with their messages, and are in no sum.
    pub sent_texts: u64,
    /// Of the callbacks and bodies, those that a hold keeps.
    pub held: u64,
    /// Bodies in quarantine that are compressed, so that nobody can tell whose they are. They are in no other number.
    pub unread: u64,
}

impl OnSubject {
    /// Callbacks, bodies and searches together; what goes with them is not counted.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.kinds.iter().sum::<u64>() + self.quarantined + self.searches
    }
}

/// A message of theirs, with the numbers of everything that came for it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) notify_id: String,
    pub(super) arrivals: Vec<i64>,
}

/// What was found.
#[derive(Clone, Default, Debug)]
pub struct Gathered {
    /// How many there are.
    pub counts: OnSubject,
    pub(super) messages: Vec<Message>,
    pub(super) quarantined: Vec<i64>,
    pub(super) searches: Vec<String>,
    pub(super) handled: Vec<(i64, ServiceId)>,
    pub(super) notes: Vec<i64>,
}

impl Gathered {
    /// Leaves out a kept search, such as the one behind the page that asks.
    #[must_use]
    pub fn without_search(mut self, opaque: &str) -> Gathered {
        self.searches.retain(|search| search != opaque);
        self.counts.searches = len(self.searches.len());
        self
    }
}

impl Store {
    /// Finds everything that is held on somebody. Blocks.
    ///
    /// # Errors
    /// When it cannot be read, or somebody asked for it to stop.
    pub fn gather(&self, sees: &Services, subject: &Subject, progress: &Progress) -> Result<Gathered, StoreError> {
        self.look_long(|index| gather(index, sees, subject, progress))
    }

    /// As a page's read, without its deadline. Blocks.
    pub(super) fn look_long<T>(&self, work: impl FnOnce(&Index<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.inner.condition.damage.refuse()?;
        let fresh = self.inner.fresh.now();
        let done = (|| {
            let connection = open::reader(&self.inner.folder)?;
            let moment = connection.unchecked_transaction()?;
            work(&Index::new(&moment, &fresh)?)
        })();
        self.inner.condition.damage.noted(done)
    }
}

fn gather(index: &Index<'_>, sees: &Services, subject: &Subject, progress: &Progress) -> Result<Gathered, StoreError> {
    progress.is_at(Stage::Gathering, 0, 0);
    let connection = index.connection;
    let wanted = match subject {
        Subject::Person(key) => Wanted::Person(key.as_str().to_owned()),
        Subject::Reference(key) => Wanted::Reference(key.clone()),
    };
    let mut arrivals = index.arrivals(wanted, Facets::of(sees), Way::OldestFirst, i64::MIN);
    // In the order in which they first came.
    let (mut ids, mut order) = (HashMap::new(), Vec::new());
    while let Some(arrival) = arrivals.next()? {
        stop_if_asked(progress)?;
        let Some(kept) = row::at(connection, arrival)? else { continue };
        if sees.allow(kept.service) && subject.is_of(&kept.callback) {
            let id = kept.callback.notify_id();
            if !ids.contains_key(id) {
                ids.insert(id.to_owned(), order.len());
                order.push(id.to_owned());
            }
        }
    }
    let mut gathered = Gathered::default();
    for id in order {
        stop_if_asked(progress)?;
        let message = message(index, sees, id, &mut gathered.counts)?;
        gathered.messages.push(message);
    }
    quarantined(connection, sees, subject, &ids, &mut gathered, progress)?;
    if let Subject::Person(key) = subject {
        handled(connection, sees, key.as_str(), &mut gathered)?;
    }
    if *sees == Services::All {
        gathered.searches = searches(connection, subject)?;
        gathered.counts.searches = len(gathered.searches.len());
    }
    Ok(gathered)
}

pub(super) fn len(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn stop_if_asked(progress: &Progress) -> Result<(), StoreError> {
    if progress.is_stopped() { Err(StoreError::Stopped) } else { Ok(()) }
}

/// Everything that came for a message.
pub(super) fn message(
    index: &Index<'_>,
    sees: &Services,
    notify_id: String,
    counts: &mut OnSubject,
) -> rusqlite::Result<Message> {
    let wanted = Wanted::NotifyId(short_id(&notify_id));
    let mut found = index.arrivals(wanted, Facets::of(sees), Way::OldestFirst, i64::MIN);
    let (mut arrivals, mut is_held) = (Vec::new(), false);
    while let Some(arrival) = found.next()? {
        let is_theirs = |kept: &row::Kept| kept.callback.notify_id() == notify_id && sees.allow(kept.service);
        let Some(kept) = row::at(index.connection, arrival)?.filter(is_theirs) else { continue };
        let kinds = Kind::ALL.iter().zip(&mut counts.kinds);
        kinds.filter(|(kind, _)| **kind == kept.callback.kind()).for_each(|(_, count)| *count += 1);
        is_held |= holds::is_held(index.connection, arrival)?;
        arrivals.push(arrival);
    }
    // A message is kept whole.
    counts.held += if is_held { len(arrivals.len()) } else { 0 };
    let sent = sent::of(index.connection, sees, &notify_id)?;
    counts.sent_texts += u64::from(sent.is_some_and(|text| text.body.is_some()));
    Ok(Message { notify_id, arrivals })
}

/// Reads the whole quarantine, which is small: one body after another, so that a large one is in memory alone.
fn quarantined(
    connection: &Connection,
    sees: &Services,
    subject: &Subject,
    ids: &HashMap<String, usize>,
    gathered: &mut Gathered,
    progress: &Progress,
) -> Result<(), StoreError> {
    let mut find = connection.prepare(
        "SELECT arrival, body, content_encoding IS NOT NULL FROM quarantine
         WHERE ?1 IS NULL OR service IN (SELECT value FROM json_each(?1)) ORDER BY arrival",
    )?;
    let mut rows = find.query(params![sees.bound()])?;
    while let Some(row) = rows.next()? {
        stop_if_asked(progress)?;
        let (arrival, is_compressed): (i64, bool) = (row.get(0)?, row.get(2)?);
        let body = row.get_ref(1)?.as_blob().unwrap_or_default();
        if subject.is_in(body) || ids_in(body).iter().any(|id| ids.contains_key(id)) {
            gathered.quarantined.push(arrival);
            gathered.counts.held += u64::from(holds::is_held(connection, arrival)?);
        } else if is_compressed {
            gathered.counts.unread += 1;
        }
    }
    gathered.counts.quarantined = len(gathered.quarantined.len());
    Ok(())
}

/// What colleagues did about their texts, and wrote about them.
fn handled(connection: &Connection, sees: &Services, key: &str, gathered: &mut Gathered) -> rusqlite::Result<()> {
    let sql = "SELECT id FROM conversations WHERE person_key = ?1";
    let known: Option<i64> = connection.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()?;
    let Some(conversation) = known else { return Ok(()) };
    let states = handling::states(connection, conversation, sees)?;
    let touched = states.iter().filter(|state| state.is_touched());
    gathered.handled = touched.map(|state| (conversation, state.service)).collect();
    gathered.notes = notes::on(connection, conversation, sees)?.iter().map(|note| note.id).collect();
    gathered.counts.handling = len(gathered.handled.len() + gathered.notes.len());
    Ok(())
}

fn searches(connection: &Connection, subject: &Subject) -> rusqlite::Result<Vec<String>> {
    let mut find = connection.prepare("SELECT opaque, term FROM searches ORDER BY made_at")?;
    let rows = find.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let found = rows.filter(|row| row.as_ref().map_or(true, |(_, term)| subject.is_searched_by(term)));
    found.map(|row| row.map(|(opaque, _)| opaque)).collect()
}

/// The arrivals of messages, by the stretch that they are noted in.
pub(super) fn by_stretch(arrivals: &[i64]) -> BTreeMap<i64, Vec<i64>> {
    let mut stretches: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for arrival in arrivals {
        stretches.entry(arrival.div_euclid(super::index::gone::STRETCH)).or_default().push(*arrival);
    }
    stretches
}
