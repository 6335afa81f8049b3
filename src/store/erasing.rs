//! Erasing everything of one person or with one reference, a few messages in each transaction with other work. A stop between any two
//! harms nothing: what is gone is gone, and the rest is found again. Their ids stay, in the store and in the journal, so that nothing
//! brings the messages back; whose they were does not.

use std::collections::HashSet;
use std::ops::AddAssign;

use rusqlite::{Connection, params};

use super::index::{Index, gone};
use super::journal::{Journal, Line};
use super::key::Key;
use super::progress::{Progress, Stage};
use super::record::{By, Did, Entry};
use super::redacting::{self, Redaction};
use super::subject::{Gathered, Message, OnSubject, by_stretch, len, message};
use super::{Services, Store, StoreError, erased, holds, removal, row, sent};
use crate::clock::DAY;
use crate::notify::subject::Subject;

/// Messages that are erased in one step, and bodies.
pub(super) const MESSAGES: usize = 32;
/// Notify sends nothing again after so long.
const BODIES_KEPT_AWAY: i64 = 7 * DAY;

/// Who wants it, and why.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who.
    pub by: By,
    /// Why, in words without personal data.
    pub reason: String,
    /// When, in microseconds since 1970 UTC.
    pub at: i64,
}

impl Asked {
    /// What is written down of it.
    pub(super) fn entry(&self, did: Did, subject: &Subject, words: &str) -> Entry {
        Entry::new(self.by.clone(), did, self.at).about(Some(subject.key())).with(format!("{}: {words}", self.reason))
    }
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Erasure {
    /// Callbacks that are gone, or redacted.
    pub callbacks: u64,
    /// Bodies in quarantine that are gone.
    pub quarantined: u64,
    /// Kept searches that are gone.
    pub searches: u64,
    /// Callbacks and bodies that a hold keeps.
    pub held: u64,
    /// Whether somebody asked for it to stop before it was through.
    pub is_stopped: bool,
}

impl Erasure {
    /// Whatever is gone.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.callbacks + self.quarantined + self.searches
    }

    /// For the record.
    pub(super) fn words(&self) -> String {
        let Erasure { callbacks, quarantined, searches, held, is_stopped } = self;
        let stopped = if *is_stopped { ", stopped half-way" } else { "" };
        format!("{callbacks} callbacks, {quarantined} bodies, {searches} searches, {held} held{stopped}")
    }
}

impl AddAssign for Erasure {
    fn add_assign(&mut self, other: Erasure) {
        self.callbacks += other.callbacks;
        self.quarantined += other.quarantined;
        self.searches += other.searches;
        self.held += other.held;
        self.is_stopped |= other.is_stopped;
    }
}

impl Store {
    /// Erases what was gathered by the same reader. The index goes on leading to it until [`Store::forget_removed`] is done.
    ///
    /// # Errors
    /// When it cannot be written: what was erased before is gone, and the rest is whole.
    pub async fn erase(
        &self,
        sees: &Services,
        subject: &Subject,
        gathered: Gathered,
        asked: Asked,
        progress: &Progress,
    ) -> Result<Erasure, StoreError> {
        let words = format!("{} callbacks, bodies and searches", gathered.counts.all());
        self.record(asked.entry(Did::BeganErasing, subject, &words)).await?;
        let mut done = Erasure::default();
        let failed = self.erase_all(sees, gathered, asked.at, progress, &mut done).await;
        self.record(asked.entry(Did::ErasedSubject, subject, &done.words())).await?;
        failed.map(|()| done)
    }

    async fn erase_all(
        &self,
        sees: &Services,
        gathered: Gathered,
        now: i64,
        progress: &Progress,
        done: &mut Erasure,
    ) -> Result<(), StoreError> {
        let of = gathered.counts.all();
        for messages in gathered.messages.chunks(MESSAGES) {
            progress.is_at(Stage::Removing, done.all(), of);
            if progress.is_stopped() {
                done.is_stopped = true;
                return Ok(());
            }
            *done += self.erase_messages(messages.to_vec(), now).await?;
            // Until the ids were noted more may have come for these messages.
            *done += self.erase_since(sees, messages, now).await?;
        }
        self.erase_others(gathered, now, None, progress, done).await
    }

    /// Bodies in quarantine and kept searches. What comes later for the messages that the bodies are about is redacted, or not kept.
    pub(super) async fn erase_others(
        &self,
        gathered: Gathered,
        now: i64,
        redaction: Option<Redaction>,
        progress: &Progress,
        done: &mut Erasure,
    ) -> Result<(), StoreError> {
        for bodies in gathered.quarantined.chunks(MESSAGES) {
            progress.is_at(Stage::Removing, done.all(), gathered.counts.all());
            if progress.is_stopped() {
                done.is_stopped = true;
                return Ok(());
            }
            let (bodies, key, journal) = (bodies.to_vec(), self.inner.key.clone(), self.inner.journal.clone());
            let redaction = redaction.clone();
            let work = move |connection: &Connection| {
                erase_bodies(connection, &key, &journal, &bodies, redaction.as_ref(), now)
            };
            *done += self.write(work).await?;
        }
        let searches = gathered.searches;
        *done += self.write(move |connection| erase_searches(connection, &searches)).await?;
        Ok(())
    }

    async fn erase_messages(&self, messages: Vec<Message>, now: i64) -> Result<Erasure, StoreError> {
        let journal = self.inner.journal.clone();
        self.write(move |connection| erase_messages(connection, &journal, &messages, now)).await
    }

    async fn erase_since(&self, sees: &Services, messages: &[Message], now: i64) -> Result<Erasure, StoreError> {
        let (store, sees) = (self.clone(), sees.clone());
        let ids: Vec<String> = messages.iter().map(|message| message.notify_id.clone()).collect();
        let look = move || store.look_long(|index| Ok(left(index, &sees, ids)?));
        let left = tokio::task::spawn_blocking(look).await.map_err(|_| StoreError::Closed)??;
        if left.is_empty() {
            return Ok(Erasure::default());
        }
        let more = self.erase_messages(left, now).await?;
        // What is held has been counted.
        Ok(Erasure { held: 0, ..more })
    }
}

/// Those of which something is still there.
fn left(index: &Index<'_>, sees: &Services, ids: Vec<String>) -> rusqlite::Result<Vec<Message>> {
    let mut left = Vec::new();
    for id in ids {
        let message = message(index, sees, id, &mut OnSubject::default())?;
        if !message.arrivals.is_empty() {
            left.push(message);
        }
    }
    Ok(left)
}

fn erase_messages(
    connection: &Connection,
    journal: &Journal,
    messages: &[Message],
    now: i64,
) -> rusqlite::Result<Erasure> {
    let mut done = Erasure::default();
    let (mut arrivals, mut lines) = (Vec::new(), Vec::new());
    for Message { notify_id, arrivals: theirs } in messages {
        let mut held = 0;
        for arrival in theirs {
            held += u64::from(holds::is_held(connection, *arrival)?);
        }
        if held > 0 {
            // A message is kept whole, or not at all.
            done.held += len(theirs.len());
            continue;
        }
        erased::note(connection, notify_id, now)?;
        sent::forget(connection, notify_id)?;
        lines.push(Line::Erased { id: notify_id.clone(), at: now });
        arrivals.extend_from_slice(theirs);
    }
    done.callbacks = remove(connection, arrivals)?;
    journal.append(&lines)?;
    Ok(done)
}

/// Removes rows with what their senders are known by; gives how many there were.
fn remove(connection: &Connection, mut arrivals: Vec<i64>) -> rusqlite::Result<u64> {
    // Of a conversation the latest text goes last.
    arrivals.sort_unstable();
    arrivals.dedup();
    let mut removed = 0;
    for arrival in &arrivals {
        let Some(kind) = row::kind(connection, *arrival)? else { continue };
        removal::remove_row(connection, *arrival, kind)?;
        removed += 1;
    }
    for (stretch, arrivals) in by_stretch(&arrivals) {
        gone::note(connection, stretch, &arrivals)?;
    }
    Ok(removed)
}

/// The mark of a body of a service, by which it is known when it comes again.
fn mark(key: &Key, service: super::ServiceId, sha256: &[u8]) -> [u8; 32] {
    key.mark("erased body", &[&service.0.to_be_bytes(), sha256].concat())
}

fn erase_bodies(
    connection: &Connection,
    key: &Key,
    journal: &Journal,
    bodies: &[i64],
    redaction: Option<&Redaction>,
    now: i64,
) -> rusqlite::Result<Erasure> {
    let (mut done, mut lines) = (Erasure::default(), Vec::new());
    let forget = "DELETE FROM erased_bodies WHERE erased_at < ?1";
    connection.prepare_cached(forget)?.execute([now - BODIES_KEPT_AWAY])?;
    let held = holds::ids_of_bodies(connection)?;
    for arrival in bodies {
        if holds::is_held(connection, *arrival)? {
            done.held += 1;
            continue;
        }
        let sql = "DELETE FROM quarantine WHERE arrival = ?1 RETURNING service, sha256, arrived_at, body";
        let mut delete = connection.prepare_cached(sql)?;
        let body = |row: &rusqlite::Row<'_>| {
            let (service, sha256): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            Ok((super::ServiceId(service), sha256, row.get::<_, i64>(2)?, row.get::<_, Vec<u8>>(3)?))
        };
        let rows: Vec<_> = delete.query_map([arrival], body)?.collect::<rusqlite::Result<_>>()?;
        for (service, sha256, arrived_at, body) in rows {
            let note = "INSERT INTO erased_bodies (mark, erased_at) VALUES (?1, ?2) ON CONFLICT (mark) DO NOTHING";
            connection.prepare_cached(note)?.execute(params![mark(key, service, &sha256), now])?;
            lines.push(Line::ErasedBody { arrival: *arrival, arrived_at, at: now });
            if let Some(id) = own_id(&body)
                // What comes for a message that is held is held too.
                && !held.contains(&id)
                && !holds::is_held_of(connection, &id)?
            {
                lines.push(note_gone(connection, id, redaction, now)?);
            }
            done.quarantined += 1;
        }
    }
    journal.append(&lines)?;
    Ok(done)
}

/// Notes that what comes for a message is not to be kept, or to be redacted; gives the line that says so.
fn note_gone(connection: &Connection, id: String, redaction: Option<&Redaction>, now: i64) -> rusqlite::Result<Line> {
    let Some(redaction) = redaction else {
        erased::note(connection, &id, now)?;
        sent::forget(connection, &id)?;
        return Ok(Line::Erased { id, at: now });
    };
    redacting::note(connection, &id, redaction)?;
    Ok(Line::Redacted { id, recipient: redaction.recipient, at: redaction.at })
}

/// Notify's id of the message that a body is about, where that much of it can be read.
pub(super) fn own_id(body: &[u8]) -> Option<String> {
    let object: serde_json::Value = serde_json::from_slice(body).ok()?;
    let id = object.get("id").or_else(|| object.get("notification_id"))?.as_str()?;
    uuid::Uuid::try_parse(id).is_ok().then(|| id.to_owned())
}

fn erase_searches(connection: &Connection, searches: &[String]) -> rusqlite::Result<Erasure> {
    let mut done = Erasure::default();
    for opaque in searches {
        let gone = connection.prepare_cached("DELETE FROM searches WHERE opaque = ?1")?.execute([opaque])?;
        done.searches += len(gone);
    }
    Ok(done)
}

/// Whether a body was erased from quarantine lately: its sender may not have heard that it was kept.
pub(super) fn is_erased_body(
    connection: &Connection,
    key: &Key,
    service: super::ServiceId,
    sha256: &[u8],
) -> rusqlite::Result<bool> {
    let mut any = connection.prepare_cached("SELECT 1 FROM erased_bodies LIMIT 1")?;
    if !any.exists([])? {
        return Ok(false);
    }
    connection.prepare_cached("SELECT 1 FROM erased_bodies WHERE mark = ?1")?.exists([mark(key, service, sha256)])
}

/// What became of what a journal says, in a store out of a backup.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Again {
    /// Callbacks and bodies that went.
    pub(super) removed: u64,
    /// Those that a hold keeps there.
    pub(super) held: u64,
}

/// Does to a store out of a backup what its journal says was done since, but for what a hold keeps there. Nobody else has it open.
pub(super) fn erase_again(connection: &Connection, lines: &[Line]) -> rusqlite::Result<Again> {
    let mut removed = 0;
    let mut held = HashSet::new();
    let held_bodies = holds::ids_of_bodies(connection)?;
    for some in lines.chunks(MESSAGES * 32) {
        let transaction = connection.unchecked_transaction()?;
        let index = Index::new(&transaction, &[])?;
        let mut arrivals = Vec::new();
        for line in some {
            match line {
                Line::Erased { id, at } => {
                    if let Some(found) = may_go(&index, id, &held_bodies, &mut held)? {
                        erased::note(&transaction, id, *at)?;
                        sent::forget(&transaction, id)?;
                        arrivals.extend(found.arrivals);
                    }
                }
                Line::ErasedBody { arrival, arrived_at, .. } => {
                    let body = [*arrival, *arrived_at];
                    let is_there = "SELECT 1 FROM quarantine WHERE arrival = ?1 AND arrived_at = ?2";
                    if !transaction.prepare_cached(is_there)?.exists(body)? {
                        continue;
                    }
                    if holds::is_held(&transaction, *arrival)? {
                        held.insert(*arrival);
                    } else {
                        removed += len(transaction.execute("DELETE FROM quarantine WHERE arrival = ?1", [arrival])?);
                    }
                }
                Line::Redacted { id, recipient, at } => {
                    let redaction = Redaction { recipient: *recipient, reason: None, at: *at };
                    if let Some(found) = may_go(&index, id, &held_bodies, &mut held)? {
                        removed += redacting::redact(&transaction, &found, &redaction)?;
                    }
                }
            }
        }
        drop(index);
        removed += remove(&transaction, arrivals)?;
        transaction.commit()?;
    }
    Ok(Again { removed, held: len(held.len()) })
}

/// Everything of a message, where it may go. A message is kept whole, or not at all.
fn may_go(
    index: &Index<'_>,
    id: &str,
    held_bodies: &HashSet<String>,
    held: &mut HashSet<i64>,
) -> rusqlite::Result<Option<Message>> {
    let mut counts = OnSubject::default();
    let found = message(index, &Services::All, id.to_owned(), &mut counts)?;
    if counts.held == 0 && !held_bodies.contains(id) {
        return Ok(Some(found));
    }
    held.extend(found.arrivals);
    Ok(None)
}
