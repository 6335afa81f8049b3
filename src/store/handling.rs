//! What a team does about a conversation: whether it is read, who has taken it, whether it is dealt with. Apart by service, as the
//! texts are, so that whoever is limited to some services learns nothing of the others.
//!
//! Each state has a version, which every change and every new text makes grow. Whoever changes it says which versions they saw, and
//! where these are not the present ones nothing is changed: so nobody undoes what a colleague did meanwhile, or deals with a text
//! that they have not seen.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::key::Key;
use super::people::{Person, account, person_of};
use super::record::{self, By, Did, Entry};
use super::{ServiceId, Services, Store, StoreError, notes};
use crate::notify::time::canonical;

/// Unread conversations are counted so far.
pub const UNREAD_COUNTED: i64 = 100;
/// Changes that are remembered of a conversation.
const REMEMBERED: i64 = 50;

/// What is done about the texts that one service got from a sender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handling {
    /// The service.
    pub service: ServiceId,
    /// Its name.
    pub service_name: String,
    /// Texts that came after this arrival are unread.
    pub read_to: i64,
    /// Whether there are any.
    pub is_unread: bool,
    /// The account that has taken it, its address and since when.
    pub taken: Option<(i64, String, i64)>,
    /// Who has dealt with it, and when.
    pub dealt_with: Option<(String, i64)>,
    /// The change that led here, where no text has come since.
    pub last: Option<Changed>,
    version: i64,
    latest: i64,
}

impl Handling {
    /// Whether anybody has done anything about it.
    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.read_to > 0 || self.taken.is_some() || self.dealt_with.is_some()
    }

    /// In words, for whom it is about.
    #[must_use]
    pub fn words(&self) -> String {
        let taken = self.taken.as_ref().map(|(_, who, at)| format!("taken by {who} ({})", canonical(*at)));
        let done = self.dealt_with.as_ref().map(|(who, at)| format!("dealt with by {who} ({})", canonical(*at)));
        let read = if self.is_unread { "unread" } else { "read" }.to_owned();
        [Some(read), taken, done].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// One change to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changed {
    /// The name of the service.
    pub service_name: String,
    /// What was done; `None` where a text came.
    pub did: Option<Did>,
    /// The account that did it.
    pub by: i64,
    /// Its address.
    pub who: String,
    /// When, in microseconds since 1970 UTC.
    pub at: i64,
    /// To whom it was handed over.
    pub given_to: Option<String>,
}

impl Changed {
    /// Whether it can be taken back, while nothing has come after it.
    #[must_use]
    pub fn can_be_taken_back(&self) -> bool {
        !matches!(self.did, None | Some(Did::TookBack | Did::AddedNote | Did::RemovedNote))
    }
}

/// A colleague who has it open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// The address of the account.
    pub who: String,
    /// When it was opened last.
    pub at: i64,
}

/// The versions that somebody saw, a service each.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Versions(Vec<(i64, i64)>);

impl Versions {
    /// Those of what is shown.
    #[must_use]
    pub fn of(handling: &[Handling]) -> Versions {
        Versions(handling.iter().map(|state| (state.service.0, state.version)).collect())
    }

    fn seen(&self, service: ServiceId) -> i64 {
        self.0.iter().find(|(seen, _)| *seen == service.0).map_or(0, |(_, version)| *version)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|(service, version)| format!("{service}.{version}")).collect();
        f.write_str(&pairs.join("-"))
    }
}

impl FromStr for Versions {
    type Err = String;

    fn from_str(text: &str) -> Result<Versions, String> {
        let pair = |pair: &str| {
            let (service, version) = pair.split_once('.')?;
            Some((service.parse().ok()?, version.parse().ok()?))
        };
        let pairs: Option<Vec<_>> = text.split('-').map(pair).collect();
        pairs.map(Versions).ok_or_else(|| "this is no version of a conversation".to_owned())
    }
}

/// What is to be done, to every service of the conversation that its doer sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Mark it as read.
    Read,
    /// Mark its newest text as unread.
    Unread,
    /// Look after it from now on, whoever did before.
    Take,
    /// Look after it no longer.
    LetGo,
    /// Let this account look after it, where it sees the service too.
    HandOver(i64),
    /// It is dealt with, and read.
    DealWith,
    /// It is not dealt with.
    Reopen,
    /// Take the last change back, if it is the doer's own.
    TakeBack,
    /// Write a note for those who see this service.
    AddNote(ServiceId, String),
    /// Remove a note of their own.
    RemoveNote(i64),
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handled {
    /// It is so now, or it was so before.
    Done,
    /// Somebody changed it meanwhile, or a text came. Nothing was done.
    Outdated,
    /// There is no such colleague, note or service, or nothing to take back. Nothing was done.
    NotThere,
}

/// What a change can change.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    read_to: i64,
    taken: Option<(i64, i64)>,
    done: Option<(i64, i64)>,
}

/// A service's state with what goes along.
struct Present {
    shown: Handling,
    state: State,
    /// As it was before the change that led here.
    before: Option<State>,
}

impl Store {
    /// Changes a conversation from the versions that were seen; `None` where nothing of it may be seen.
    ///
    /// # Errors
    /// When it cannot be written: then nothing of it is done.
    pub async fn handle(
        &self,
        sees: &Services,
        opaque: &str,
        made_from: Versions,
        change: Change,
        by: By,
        now: i64,
    ) -> Result<Option<Handled>, StoreError> {
        let (sees, opaque, key) = (sees.clone(), opaque.to_owned(), self.inner.key.clone());
        self.write(move |connection| {
            let sql = "SELECT id, person_key FROM conversations WHERE opaque = ?1";
            let known = connection.prepare_cached(sql)?.query_row([&opaque], |row| Ok((row.get(0)?, row.get(1)?)));
            let Some((conversation, subject)) = known.optional()? else { return Ok(None) };
            let rows = rows(connection, conversation, &sees)?;
            let (Some(doer), false) = (by.person, rows.is_empty()) else { return Ok(None) };
            if Versions::of(&rows.iter().map(|row| row.shown.clone()).collect::<Vec<_>>()) != made_from {
                return Ok(Some(Handled::Outdated));
            }
            let work = Work { connection, key: &key, conversation, opaque, subject, by, doer, now };
            work.done(rows, change).map(Some)
        })
        .await
    }
}

/// One change on its way.
struct Work<'a> {
    connection: &'a Connection,
    key: &'a Key,
    conversation: i64,
    opaque: String,
    subject: String,
    by: By,
    doer: i64,
    now: i64,
}

impl Work<'_> {
    fn done(self, rows: Vec<Present>, change: Change) -> rusqlite::Result<Handled> {
        let (me, now) = (self.doer, self.now);
        match change {
            Change::Read => self.each(rows, Did::MarkedRead, |row| State { read_to: row.shown.latest, ..row.state }),
            Change::Unread => self.each(rows, Did::MarkedUnread, |row| State {
                read_to: row.state.read_to.min(row.shown.latest - 1),
                ..row.state
            }),
            Change::Take => self.each(rows, Did::TookConversation, |row| taken_by(row, me, now)),
            Change::LetGo => self.each(rows, Did::LetConversationGo, |row| State {
                taken: row.state.taken.filter(|(holder, _)| *holder != me),
                ..row.state
            }),
            Change::HandOver(to) => self.hand_over(rows, to),
            Change::DealWith => self.each(rows, Did::DealtWith, |row| State {
                done: row.state.done.or(Some((me, now))),
                read_to: row.shown.latest,
                ..row.state
            }),
            Change::Reopen => self.each(rows, Did::Reopened, |row| State { done: None, ..row.state }),
            Change::TakeBack => self.take_back(rows),
            Change::AddNote(service, text) => self.add_note(&rows, service, &text),
            Change::RemoveNote(note) => self.remove_note(&rows, note),
        }
    }

    fn each(&self, rows: Vec<Present>, did: Did, wanted: impl Fn(&Present) -> State) -> rusqlite::Result<Handled> {
        let changes = rows.into_iter().map(|row| (wanted(&row), row)).collect();
        self.write(changes, did, None, "")
    }

    fn hand_over(&self, rows: Vec<Present>, to: i64) -> rusqlite::Result<Handled> {
        let colleague = person_of(self.connection, to)?.filter(|person| person.disabled_at.is_none());
        let Some(Person { sees, .. }) = colleague else { return Ok(Handled::NotThere) };
        let theirs = rows.into_iter().filter(|row| sees.allow(row.shown.service));
        let changes: Vec<_> = theirs.map(|row| (taken_by(&row, to, self.now), row)).collect();
        if changes.is_empty() {
            return Ok(Handled::NotThere);
        }
        self.write(changes, Did::HandedOver, Some(to), &format!(", to {}", account(to)))
    }

    /// What was changed together is taken back together.
    fn take_back(&self, rows: Vec<Present>) -> rusqlite::Result<Handled> {
        let own = |row: &Present| {
            let last = row.shown.last.as_ref().filter(|last| last.by == self.doer && last.can_be_taken_back());
            last.map(|last| last.at)
        };
        let Some(latest) = rows.iter().filter_map(own).max() else { return Ok(Handled::NotThere) };
        let theirs = rows.into_iter().filter(|row| own(row) == Some(latest));
        let changes = theirs.filter_map(|row| Some((row.before?, row))).collect();
        self.write(changes, Did::TookBack, None, "")
    }

    fn add_note(&self, rows: &[Present], service: ServiceId, text: &str) -> rusqlite::Result<Handled> {
        let Some(row) = rows.iter().find(|row| row.shown.service == service) else { return Ok(Handled::NotThere) };
        let note = notes::add(self.connection, (self.conversation, service), self.doer, text, self.now)?;
        self.note_change(row, row.state, Did::AddedNote, None)?;
        self.record(Did::AddedNote, format!("note {note}, service {}", service.0)).map(|()| Handled::Done)
    }

    fn remove_note(&self, rows: &[Present], note: i64) -> rusqlite::Result<Handled> {
        let theirs = |row: &&Present| {
            let sees = Services::Only(vec![row.shown.service]);
            notes::one(self.connection, note, &sees).is_ok_and(|found| found.is_some())
        };
        let Some(row) = rows.iter().find(theirs) else { return Ok(Handled::NotThere) };
        let removed = notes::remove(self.connection, self.conversation, note, self.doer, self.now)?;
        let Some(service) = removed else { return Ok(Handled::NotThere) };
        self.note_change(row, row.state, Did::RemovedNote, None)?;
        self.record(Did::RemovedNote, format!("note {note}, service {}", service.0)).map(|()| Handled::Done)
    }

    /// Writes the states that are others than before, and one row of the record for all of them.
    fn write(
        &self,
        changes: Vec<(State, Present)>,
        did: Did,
        given_to: Option<i64>,
        more: &str,
    ) -> rusqlite::Result<Handled> {
        let mut services = String::new();
        for (wanted, row) in changes.into_iter().filter(|(wanted, row)| *wanted != row.state) {
            self.note_change(&row, wanted, did, given_to)?;
            let _ = write!(services, " {}", row.shown.service.0);
        }
        if !services.is_empty() {
            self.record(did, format!("service{services}{more}"))?;
        }
        Ok(Handled::Done)
    }

    fn note_change(&self, row: &Present, wanted: State, did: Did, given_to: Option<i64>) -> rusqlite::Result<()> {
        let (service, version, was) = (row.shown.service, row.shown.version + 1, row.state);
        self.connection
            .prepare_cached(
                "UPDATE conversation_services SET version = ?3, read_to = ?4, taken_by = ?5, taken_at = ?6, done_by = ?7, done_at = ?8
                 WHERE conversation = ?1 AND service = ?2",
            )?
            .execute(params![
                self.conversation,
                service,
                version,
                wanted.read_to,
                wanted.taken.map(|taken| taken.0),
                wanted.taken.map(|taken| taken.1),
                wanted.done.map(|done| done.0),
                wanted.done.map(|done| done.1)
            ])?;
        self.connection
            .prepare_cached(
                "INSERT INTO handling_changes (conversation, service, version, did, person, at, given_to,
                     was_read_to, was_taken_by, was_taken_at, was_done_by, was_done_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                self.conversation,
                service,
                version,
                did.as_str(),
                self.doer,
                self.now,
                given_to,
                was.read_to,
                was.taken.map(|taken| taken.0),
                was.taken.map(|taken| taken.1),
                was.done.map(|done| done.0),
                was.done.map(|done| done.1)
            ])?;
        let old = "DELETE FROM handling_changes WHERE conversation = ?1 AND service = ?2 AND version <= ?3";
        self.connection
            .prepare_cached(old)?
            .execute(params![self.conversation, service, version - REMEMBERED])
            .map(drop)
    }

    fn record(&self, did: Did, detail: String) -> rusqlite::Result<()> {
        let entry = Entry::new(self.by.clone(), did, self.now).of(self.opaque.as_str());
        record::append(self.connection, self.key, &entry.about(Some(self.subject.as_str())).with(detail))
    }
}

fn taken_by(row: &Present, holder: i64, now: i64) -> State {
    State { taken: row.state.taken.filter(|taken| taken.0 == holder).or(Some((holder, now))), ..row.state }
}

/// What is done about a conversation, a service each, by name.
pub(super) fn states(connection: &Connection, conversation: i64, sees: &Services) -> rusqlite::Result<Vec<Handling>> {
    Ok(rows(connection, conversation, sees)?.into_iter().map(|row| row.shown).collect())
}

fn rows(connection: &Connection, conversation: i64, sees: &Services) -> rusqlite::Result<Vec<Present>> {
    connection
        .prepare_cached(
            "SELECT cs.service, s.name, cs.version, cs.latest, cs.read_to, cs.taken_by, t.email, cs.taken_at,
                 cs.done_by, d.email, cs.done_at,
                 h.did, h.person, w.email, h.at, g.email,
                 h.was_read_to, h.was_taken_by, h.was_taken_at, h.was_done_by, h.was_done_at
             FROM conversation_services cs JOIN services s ON s.id = cs.service
             LEFT JOIN people t ON t.id = cs.taken_by LEFT JOIN people d ON d.id = cs.done_by
             LEFT JOIN handling_changes h
                 ON h.conversation = cs.conversation AND h.service = cs.service AND h.version = cs.version
             LEFT JOIN people w ON w.id = h.person LEFT JOIN people g ON g.id = h.given_to
             WHERE cs.conversation = ?1 AND (?2 IS NULL OR cs.service IN (SELECT value FROM json_each(?2)))
             ORDER BY s.name",
        )?
        .query_map(params![conversation, sees.bound()], row)?
        .collect()
}

fn row(row: &Row<'_>) -> rusqlite::Result<Present> {
    let pair = |first: usize, second: usize| -> rusqlite::Result<Option<(i64, i64)>> {
        Ok(row.get::<_, Option<i64>>(first)?.zip(row.get(second)?))
    };
    let (service_name, read_to, latest): (String, i64, i64) = (row.get(1)?, row.get(4)?, row.get(3)?);
    let state = State { read_to, taken: pair(5, 7)?, done: pair(8, 10)? };
    let (before, mut last) = (row.get::<_, Option<i64>>(16)?, None);
    let before = match before {
        Some(read_to) => Some(State { read_to, taken: pair(17, 18)?, done: pair(19, 20)? }),
        None => None,
    };
    if let Some(did) = row.get::<_, Option<String>>(11)? {
        let (by, who, at, given_to) = (row.get(12)?, row.get(13)?, row.get(14)?, row.get(15)?);
        last = Some(Changed { service_name: service_name.clone(), did: did_of(&did), by, who, at, given_to });
    }
    let (taken_who, done_who): (Option<String>, Option<String>) = (row.get(6)?, row.get(9)?);
    let shown = Handling {
        service: ServiceId(row.get(0)?),
        service_name,
        read_to,
        is_unread: latest > read_to,
        taken: state.taken.zip(taken_who).map(|((id, at), who)| (id, who, at)),
        dealt_with: state.done.zip(done_who).map(|((_, at), who)| (who, at)),
        last,
        version: row.get(2)?,
        latest,
    };
    Ok(Present { shown, state, before })
}

fn did_of(word: &str) -> Option<Did> {
    Did::ALL.iter().find(|did| did.as_str() == word).copied()
}

/// What was changed since somebody saw it, the oldest first; a text that came is the last of its service.
pub(super) fn since(
    connection: &Connection,
    conversation: i64,
    now: &[Handling],
    seen: &Versions,
) -> rusqlite::Result<Vec<Changed>> {
    let mut all = Vec::new();
    for state in now {
        let version = seen.seen(state.service);
        let mut find = connection.prepare_cached(
            "SELECT h.did, h.person, p.email, h.at, g.email FROM handling_changes h JOIN people p ON p.id = h.person
             LEFT JOIN people g ON g.id = h.given_to
             WHERE h.conversation = ?1 AND h.service = ?2 AND h.version > ?3 ORDER BY h.version",
        )?;
        let changed = find.query_map(params![conversation, state.service, version], |row| {
            let (by, who, at, given_to) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
            let service_name = state.service_name.clone();
            Ok(Changed { service_name, did: did_of(&row.get::<_, String>(0)?), by, who, at, given_to })
        })?;
        let changed = changed.collect::<rusqlite::Result<Vec<_>>>()?;
        let known = i64::try_from(changed.len()).unwrap_or(i64::MAX);
        all.extend(changed);
        // What grew the version and is no change is a text.
        if state.version - version > known {
            let sql = "SELECT arrived_at FROM callbacks WHERE arrival = ?1";
            let at = connection.prepare_cached(sql)?.query_row([state.latest], |row| row.get(0)).optional()?;
            let (service_name, who) = (state.service_name.clone(), String::new());
            all.extend(at.map(|at| Changed { service_name, did: None, by: 0, who, at, given_to: None }));
        }
    }
    all.sort_by_key(|changed| changed.at);
    Ok(all)
}

/// Colleagues who see one of its services: all of them, and those who have opened it since a moment.
pub(super) fn colleagues(
    connection: &Connection,
    key: &Key,
    states: &[Handling],
    (opaque, subject): (&str, &str),
    (me, since): (Option<i64>, i64),
) -> rusqlite::Result<(Vec<Person>, Vec<Opened>)> {
    let sees = |person: &Person| states.iter().any(|state| person.sees.allow(state.service));
    let ids = connection
        .prepare_cached("SELECT id FROM people WHERE disabled_at IS NULL AND id IS NOT ?1 ORDER BY email")?
        .query_map([me], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut people = Vec::new();
    for id in ids {
        people.extend(person_of(connection, id)?.filter(sees));
    }
    let opened = record::opened(connection, key, (Did::OpenedConversation, opaque, subject), since)?;
    let opened = opened.into_iter().filter_map(|(id, at)| {
        let person = people.iter().find(|person| person.id == id)?;
        Some(Opened { who: person.email.clone(), at })
    });
    let opened = opened.collect();
    Ok((people, opened))
}

/// Whoever has taken a conversation that may be seen, and their addresses.
pub(super) fn holders(connection: &Connection, sees: &Services) -> rusqlite::Result<Vec<(i64, String)>> {
    let sql = "SELECT DISTINCT p.id, p.email
        FROM conversation_services cs INDEXED BY conversation_services_taken JOIN people p ON p.id = cs.taken_by
        WHERE cs.taken_by IS NOT NULL AND (?1 IS NULL OR cs.service IN (SELECT value FROM json_each(?1)))
        ORDER BY p.email";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    connection.prepare_cached(sql)?.query_map(params![sees.bound()], read)?.collect()
}

/// How many conversations have unread texts that may be seen; at most [`UNREAD_COUNTED`] are counted.
pub(super) fn unread(connection: &Connection, sees: &Services) -> rusqlite::Result<i64> {
    let narrowed = match sees {
        Services::All => "?1 IS NULL",
        Services::Only(_) => "service IN (SELECT value FROM json_each(?1))",
    };
    let sql = format!(
        "SELECT count(*) FROM (SELECT DISTINCT conversation
             FROM conversation_services INDEXED BY conversation_services_unread
             WHERE latest > read_to AND {narrowed} LIMIT ?2)"
    );
    connection.prepare_cached(&sql)?.query_row(params![sees.bound(), UNREAD_COUNTED], |row| row.get(0))
}

/// Of a conversation that has no texts of a service any more nothing else of that service is left.
pub(super) fn forget_without_texts(
    connection: &Connection,
    conversation: i64,
    service: ServiceId,
) -> rusqlite::Result<()> {
    let has_texts = "SELECT 1 FROM conversation_services WHERE conversation = ?1 AND service = ?2";
    if connection.prepare_cached(has_texts)?.exists(params![conversation, service])? {
        return Ok(());
    }
    for sql in [
        "DELETE FROM notes WHERE conversation = ?1 AND service = ?2",
        "DELETE FROM handling_changes WHERE conversation = ?1 AND service = ?2",
    ] {
        connection.prepare_cached(sql)?.execute(params![conversation, service])?;
    }
    Ok(())
}
