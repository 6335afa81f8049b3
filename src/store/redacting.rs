//! Redacting: what a message says is gone, and where it is asked whose it was, while its receipt stays with its status, reference and
//! times. What comes for it later is redacted before it is stored.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

use super::arrivals::{Arrival, Ready};
use super::erasing::{Asked, Erasure, MESSAGES};
use super::index::gone;
use super::journal::{Journal, Line};
use super::progress::{Progress, Stage};
use super::record::Did;
use super::row::{self, id_value};
use super::subject::{Gathered, Message, len, message};
use super::{Services, Store, StoreError, following, holds, notes, removal, sent};
use crate::notify::subject::Subject;
use crate::notify::{Callback, Content, Kind};

/// What was redacted of a message, for its page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redacted {
    /// When, in microseconds since 1970 UTC.
    pub at: i64,
    /// Why; unknown after a restore.
    pub reason: Option<String>,
    /// Whether it is gone too whose it was.
    pub recipient: bool,
}

/// What is to be redacted of a message.
#[derive(Clone)]
pub(super) struct Redaction {
    pub(super) recipient: bool,
    pub(super) reason: Option<String>,
    pub(super) at: i64,
}

impl Store {
    /// Redacts the messages that were gathered by the same reader, and erases bodies in quarantine, in which nobody can tell the text
    /// from the rest; kept searches go where the `recipient` does. The index goes on finding what was said until
    /// [`Store::forget_removed`] is done.
    ///
    /// # Errors
    /// When it cannot be written: what was redacted before is, and the rest is whole.
    pub async fn redact(
        &self,
        sees: &Services,
        subject: &Subject,
        gathered: Gathered,
        recipient: bool,
        asked: Asked,
        progress: &Progress,
    ) -> Result<Erasure, StoreError> {
        let what = if recipient { "text and recipient" } else { "text" };
        let words = format!("{what}, {} callbacks, bodies and searches", gathered.counts.all());
        self.record(asked.entry(Did::BeganRedacting, subject, &words)).await?;
        let mut done = Erasure::default();
        let failed = self.redact_all(sees, gathered, recipient, &asked, progress, &mut done).await;
        self.record(asked.entry(Did::RedactedSubject, subject, &format!("{what}, {}", done.words()))).await?;
        failed.map(|()| done)
    }

    async fn redact_all(
        &self,
        sees: &Services,
        mut gathered: Gathered,
        recipient: bool,
        asked: &Asked,
        progress: &Progress,
        done: &mut Erasure,
    ) -> Result<(), StoreError> {
        for messages in gathered.messages.chunks(MESSAGES) {
            progress.is_at(Stage::Redacting, done.all(), gathered.counts.all());
            if progress.is_stopped() {
                done.is_stopped = true;
                return Ok(());
            }
            let redaction = || Redaction { recipient, reason: Some(asked.reason.clone()), at: asked.at };
            let (first, journal, messages) = (redaction(), self.inner.journal.clone(), messages.to_vec());
            let ids: Vec<String> = messages.iter().map(|message| message.notify_id.clone()).collect();
            *done += self.write(move |connection| redact_messages(connection, &journal, &messages, &first)).await?;
            // Until the ids were noted more may have come for these messages.
            let (store, sees, again) = (self.clone(), sees.clone(), redaction());
            let look = move || {
                store.look_long(|index| {
                    let found = ids.into_iter().map(|id| message(index, &sees, id, &mut super::OnSubject::default()));
                    Ok(found.collect::<rusqlite::Result<Vec<_>>>()?)
                })
            };
            let since = tokio::task::spawn_blocking(look).await.map_err(|_| StoreError::Closed)??;
            done.callbacks += self
                .write(move |connection| {
                    let noted =
                        since.iter().filter(|message| matches!(of(connection, &message.notify_id), Ok(Some(_))));
                    noted.map(|message| redact_rows(connection, message, &again)).sum::<rusqlite::Result<u64>>()
                })
                .await?;
        }
        if !recipient {
            gathered.searches.clear();
        }
        gathered.messages.clear();
        // Receipts stay, and what comes later for the messages of the bodies is kept without what it says.
        let redaction = Redaction { recipient, reason: Some(asked.reason.clone()), at: asked.at };
        self.erase_others(gathered, asked.at, Some(redaction), progress, done).await
    }
}

fn redact_messages(
    connection: &Connection,
    journal: &Journal,
    messages: &[Message],
    redaction: &Redaction,
) -> rusqlite::Result<Erasure> {
    let (mut done, mut lines) = (Erasure::default(), Vec::new());
    for message in messages {
        let mut is_held = false;
        for arrival in &message.arrivals {
            is_held |= holds::is_held(connection, *arrival)?;
        }
        if is_held {
            done.held += len(message.arrivals.len());
            continue;
        }
        let Redaction { recipient, at, .. } = *redaction;
        lines.push(Line::Redacted { id: message.notify_id.clone(), recipient, at });
        done.callbacks += redact(connection, message, redaction)?;
    }
    journal.append(&lines)?;
    Ok(done)
}

/// Redacts a message, and notes that whatever comes for it is to be.
pub(super) fn redact(connection: &Connection, message: &Message, redaction: &Redaction) -> rusqlite::Result<u64> {
    note(connection, &message.notify_id, redaction)?;
    redact_rows(connection, message, redaction)
}

/// Notes that whatever comes for a message is to be redacted.
pub(super) fn note(connection: &Connection, notify_id: &str, redaction: &Redaction) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO redacted_messages (notify_id, recipient, redacted_at, reason) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (notify_id) DO UPDATE SET recipient = max(recipient, excluded.recipient),
                 redacted_at = excluded.redacted_at, reason = coalesce(excluded.reason, reason)",
        )?
        .execute(params![id_value(notify_id), redaction.recipient, redaction.at, redaction.reason])?;
    sent::forget(connection, notify_id)
}

/// Redacts the rows of a message that say more than they are to; gives how many these were.
fn redact_rows(connection: &Connection, message: &Message, redaction: &Redaction) -> rusqlite::Result<u64> {
    let mut redacted = 0;
    for arrival in &message.arrivals {
        let Some(kept) = row::at(connection, *arrival)? else { continue };
        let callback = kept.callback.redacted(redaction.recipient);
        if callback == kept.callback {
            continue;
        }
        if callback.kind() == Kind::ReceivedText {
            // A note may say what the text said.
            notes::forget_about(connection, &kept)?;
        }
        if redaction.recipient && callback.kind() == Kind::ReceivedText {
            removal::leave_conversation(connection, *arrival)?;
        }
        let columns = row::columns(&callback);
        connection
            .prepare_cached(
                "UPDATE callbacks SET person = ?2, message = ?3, details = ?4, verbatim = ?5 WHERE arrival = ?1",
            )?
            .execute(params![arrival, callback.person(), columns.message, columns.details, callback.verbatim])?;
        following::forget(connection, *arrival)?;
        gone::note_redacted(connection, *arrival)?;
        redacted += 1;
    }
    Ok(redacted)
}

/// What was redacted of the message with this id.
pub(super) fn of(connection: &Connection, notify_id: &str) -> rusqlite::Result<Option<Redacted>> {
    find(connection, &id_value(notify_id))
}

fn find(connection: &Connection, notify_id: &Value) -> rusqlite::Result<Option<Redacted>> {
    connection
        .prepare_cached("SELECT redacted_at, reason, recipient FROM redacted_messages WHERE notify_id = ?1")?
        .query_row([notify_id], |row| Ok(Redacted { at: row.get(0)?, reason: row.get(1)?, recipient: row.get(2)? }))
        .optional()
}

/// What is to be stored in place of each of some callbacks; `None` for those that are stored as they came. Empty where none was
/// ever redacted.
pub(super) fn in_place_of<'a>(
    connection: &Connection,
    arriving: impl Iterator<Item = Option<&'a Ready>>,
) -> rusqlite::Result<Vec<Option<Ready>>> {
    if !connection.prepare_cached("SELECT 1 FROM redacted_messages LIMIT 1")?.exists([])? {
        return Ok(Vec::new());
    }
    let replaced = |ready: &Ready| {
        let redacted = find(connection, &ready.columns.notify_id)?;
        let said = |redacted: Redacted| Ready::new(ready.envelope.clone(), ready.callback.redacted(redacted.recipient));
        Ok(redacted.map(said))
    };
    arriving.map(|ready| ready.map_or(Ok(None), replaced)).collect()
}

/// The callback of an arrival, where it is one.
pub(super) fn callback(arrival: &Arrival) -> Option<&Ready> {
    match arrival {
        Arrival::Callback(ready) => Some(ready),
        Arrival::Quarantine { .. } => None,
    }
}

/// Whether one callback is what redacting leaves of another.
pub(super) fn is_left_of(whole: &Callback, left: &Callback) -> bool {
    [false, true].into_iter().any(|recipient| {
        let redacted = whole.redacted(recipient);
        redacted.content != whole.content && redacted == *left
    })
}

impl Callback {
    /// Without what it says, and without whose it is where the recipient is to go too. The exact bytes go with it.
    fn redacted(&self, recipient: bool) -> Callback {
        let mut content = self.content.clone();
        match &mut content {
            Content::DeliveryReceipt(receipt) if recipient => receipt.to = None,
            Content::DeliveryReceipt(_) => (),
            Content::ReceivedText(text) => {
                text.message = None;
                text.source_number = text.source_number.take().filter(|_| !recipient);
            }
            // A file may be named for whom it is to.
            Content::ReturnedLetter(letter) => letter.upload_letter_file_name = None,
            Content::Complaint(complaint) => complaint.to = complaint.to.take().filter(|_| !recipient),
        }
        Callback { content, verbatim: None }
    }
}
