//! The store: one `SQLite` file that only this module and its children know. Write-ahead log, `synchronous=FULL`.
//!
//! *Writing*: one thread owns the only writing connection; it commits whatever waits as one transaction and answers after the
//! sync (`writer`). *Reading*: a pool of `query_only` connections with a deadline; readers and the writer never block each
//! other. *Compatibility*: numbered migrations, kept in `user_version` (`open`). Calls are named for the journey that makes
//! them; one call fills one page. It knows no HTTP, and is handed the time.

mod alarms;
mod arrivals;
mod backfill;
mod backup;
mod backups;
mod ballast;
mod browsers;
mod check;
mod checkpoint;
mod condition;
mod contacts;
mod conversations;
mod counted;
mod damage;
mod destinations;
mod emails;
mod envelope;
mod erased;
mod erasing;
mod examine;
mod export;
mod find;
mod first;
mod flags;
mod following;
mod handling;
mod holds;
mod hours;
mod index;
mod journal;
mod key;
mod leaving;
mod letters;
mod live;
mod look_through;
mod lookout;
mod notes;
mod open;
mod passkeys;
mod people;
mod progress;
mod quarantine;
mod ready;
mod receipt;
mod record;
mod redacting;
mod removal;
mod requeue;
mod restore;
mod retention;
mod row;
mod saved;
mod sealing;
mod searches;
mod second_factor;
mod sent;
mod service;
mod sessions;
mod settings;
mod signs;
mod single_sign_on;
mod standing;
mod subject;
mod taking_in;
mod templates;
mod test_callbacks;
mod tokens;
mod told;
mod writer;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;

use crate::meters::Meters;

pub use alarms::{Alarm, AlarmSort, Raised, Stands};
pub use arrivals::{Arrival, Ready};
pub use backfill::{Fetched, Filled, ReadSoFar, Reading};
pub use backup::{BackupError, back_up};
pub use backups::{BackupFolder, BackupMade};
pub use ballast::Ballast;
pub use browsers::BROWSER_KNOWN_FOR;
pub use check::{CheckError, Report, check};
pub use checkpoint::Checkpoint;
pub use contacts::{Concern, Contact, ContactsAsked, ContactsPage, Marked};
pub use conversations::{Conversation, Flagged, HandledConversation, InboxPage, InboxRow, Looker, Narrowed, RowFlag};
pub use destinations::Destination;
pub use emails::{Confirmed, EmailAsked, EmailChoice, News, OutgoingEmails};
pub use envelope::{Envelope, Origin, Stored};
pub use erasing::{Asked, Erasure};
pub use examine::{Examined, examine};
pub use export::{Exported, HeldSearch};
pub use find::{Cursor, Find, Found, Only, Onward, Place, Source};
pub use handling::{Change, Changed, Handled, Handling, Opened, UNREAD_COUNTED, Versions};
pub use holds::{Hold, HoldAdded};
pub use hours::{CameInHour, Silence};
pub(crate) use key::hexadecimal;
pub use leaving::{Came, HandledTexts, Leaving, Portable, ReadOut, UnreadBody, WrittenNote};
pub use letters::{ByService, IsToldAnyway, Letter, Says, TOLD_COUNTED};
pub use live::NEW_COUNTED;
pub use notes::Note;
pub use open::OpenError;
pub use passkeys::{Added, Challenge, NewPasskey, Passkey, Use, UseTaken};
pub use people::{AddPersonError, Asking, ChangePersonError, Mark, Person, Role};
pub use progress::{Progress, Reached, Stage};
pub use quarantine::{QuarantinePage, Quarantined};
pub use ready::NotReady;
pub use receipt::{NewestText, Receipt, Related};
pub use record::{Broken, By, Chain, Did, Entry, Fault, Head, Looked, RecordPage, Recorded, Verified, verify_record};
pub use redacting::Redacted;
pub use removal::{Counts, Limits, Removal};
pub use requeue::Requeued;
pub use restore::{Restored, restore};
pub use retention::{Due, Keep, Removals, Retention, Sort};
pub use row::Kept;
pub use sealing::Recipient;
pub use second_factor::{NewSecondFactor, PendingSignIn, SecondFactor, Taken};
pub use sent::SentText;
pub use service::Service;
pub use sessions::{Opening, SessionRow, SignInBefore, Whence};
pub use settings::{Saved, Set, Setting, Waiting};
pub use signs::Gap;
pub use single_sign_on::{Admitted, Given, Newcomer};
pub use subject::{Gathered, OnSubject};
pub use taking_in::TakenIn;
pub use templates::{
    LISTED as TEMPLATES_LISTED, LOOKED_THROUGH as TEMPLATES_LOOKED_THROUGH, TemplateNames, TemplateSeen,
};
pub use test_callbacks::TestCame;
pub use tokens::{AddTokenError, TokenRow};
pub use told::ToldAlarm;

/// How long one read may take before it is stopped, so that a slow search cannot hold the log open.
const READ_DEADLINE: Duration = Duration::from_secs(2);
/// Pages that read at the same time; more than that wait their turn.
const READERS: u32 = 4;

/// The number of a Notify service in this store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServiceId(pub(crate) i64);

/// Whose callbacks a reader may see. Every read takes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Services {
    /// Everything in the store.
    All,
    /// Only what these services brought.
    Only(Vec<ServiceId>),
}

impl Services {
    /// Whether these services' callbacks may be seen.
    fn allow(&self, service: ServiceId) -> bool {
        match self {
            Services::All => true,
            Services::Only(ids) => ids.contains(&service),
        }
    }

    /// What the queries bind: null for everything, else a JSON list of numbers.
    fn bound(&self) -> Option<String> {
        match self {
            Services::All => None,
            Services::Only(ids) => {
                let ids: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
                Some(format!("[{}]", ids.join(",")))
            }
        }
    }
}

/// Why the store did not do what it was asked. What was not answered `Ok` was not kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much waits to be written.
    #[error("the queue to the store is full")]
    Full,
    /// Another process was writing for longer than we wait. Nothing was done: the same can be tried again.
    #[error("the store is busy: another program is writing to it")]
    Busy,
    /// The log cannot be copied into the file, and may grow no longer. It goes on when it has been copied.
    #[error("the store's log is too long and cannot be copied; the server's log says what to do")]
    LogTooLong,
    /// The disk is full. Nothing was done; what is removed makes room.
    #[error("the disk is full")]
    DiskFull,
    /// A read ran into its deadline, or no reader became free.
    #[error("the read took too long")]
    TookTooLong,
    /// Somebody asked for it to stop.
    #[error("it was stopped before it was through")]
    Stopped,
    /// The writer has ended: the process is stopping, or the writer failed.
    #[error("the store is closed")]
    Closed,
    /// The file is not what was written to it. From then on every call is refused so.
    #[error("the store is damaged: {0}. Keep a copy of the folder, then restore from a backup")]
    Damaged(String),
    /// The journal of erasures cannot be written. Nothing was done.
    #[error("the journal of erasures {0}. Check its owner and the free space")]
    Journal(String),
    /// What `SQLite` said, with the personal data that a statement was bound to left out.
    #[error("SQLite: {0}")]
    Sqlite(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(&error)
    }
}

impl From<&rusqlite::Error> for StoreError {
    fn from(error: &rusqlite::Error) -> Self {
        if let Some(said) = journal::NotWritten::of(error) {
            return StoreError::Journal(said.to_string());
        }
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => StoreError::TookTooLong,
            Some(rusqlite::ErrorCode::DatabaseBusy) => StoreError::Busy,
            Some(rusqlite::ErrorCode::DiskFull) => StoreError::DiskFull,
            _ if damage::is_damage(error) => StoreError::Damaged(error.to_string()),
            _ => StoreError::Sqlite(error.to_string()),
        }
    }
}

/// A handle on the open store; clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

type Readers = r2d2::Pool<SqliteConnectionManager>;

struct Inner {
    readers: Readers,
    /// For the tokens alone, so that no number of slow pages keeps a callback at the door.
    door: Readers,
    writer: writer::Writer,
    /// What the writer has in memory of the index.
    fresh: index::Fresh,
    key: key::Key,
    /// Of erasures.
    journal: journal::Journal,
    folder: open::Folder,
    condition: condition::Condition,
    closing: damage::Closing,
    alarms: alarms::Lately,
    /// Where removal by age stands.
    removals: Mutex<Option<Removals>>,
    /// Of which services nothing came at the last look, where as a rule much does.
    silences: Mutex<Vec<Silence>>,
    /// The first arrival that was not followed yet, where that is further than is written down.
    following: Mutex<Option<i64>>,
    /// How it stands with emails going out.
    emails: Mutex<OutgoingEmails>,
    /// What was known when a server opened it.
    start: signs::Start,
    meters: Arc<Meters>,
    /// Whether it was ready, when that was asked last.
    looked: ready::Looked,
}

impl Store {
    /// Opens the store of `folder` for the one server that runs on it, making it in an absent or empty folder.
    ///
    /// # Errors
    /// Says what is wrong with the folder, each fault by a variant of its own.
    pub fn serve(folder: &Path, now: i64) -> Result<Store, OpenError> {
        Store::open(folder, open::Use::Serve, now)
    }

    /// Opens the store of `folder` beside a server that may be running, for a command, making it where there is none.
    ///
    /// # Errors
    /// As [`Store::serve`].
    pub fn beside(folder: &Path, now: i64) -> Result<Store, OpenError> {
        Store::open(folder, open::Use::Beside, now)
    }

    /// As [`Store::beside`], but only a store that is there; what it adds to it is left to the server to index.
    ///
    /// # Errors
    /// As [`Store::serve`], and where there is none.
    pub fn existing(folder: &Path, now: i64) -> Result<Store, OpenError> {
        Store::open(folder, open::Use::Existing, now)
    }

    /// As [`Store::existing`], but for a command that takes the server's place meanwhile, and keeps the index.
    ///
    /// # Errors
    /// As [`Store::serve`], and where there is none.
    pub fn existing_alone(folder: &Path, now: i64) -> Result<Store, OpenError> {
        open::Folder::at(folder).refuse_no_store()?;
        Store::open(folder, open::Use::Serve, now)
    }

    fn open(folder: &Path, purpose: open::Use, now: i64) -> Result<Store, OpenError> {
        Store::open_with(folder, purpose, now, checkpoint::LONGEST)
    }

    fn open_with(folder: &Path, purpose: open::Use, now: i64, longest_log: u64) -> Result<Store, OpenError> {
        let disk = ballast::Disk::of(folder);
        disk.make_way();
        let folder = open::Folder::claim(folder, purpose, now)?;
        let key = key::Key::read_or_make(&folder)?;
        let mut writing = folder.connect()?;
        let start = match purpose {
            open::Use::Serve => {
                record::note_key(&mut writing, &key, now).map_err(|error| open::damaged(&error))?;
                signs::Start::note(&mut writing, now).map_err(|error| open::damaged(&error))?
            }
            open::Use::Beside | open::Use::Existing => {
                record::note_beginning(&mut writing, &key, now).map_err(|error| open::damaged(&error))?;
                signs::Start::default()
            }
        };
        let (readers, door) = (readers(&folder, READERS)?, readers(&folder, 1)?);
        let log = checkpoint::LogLength::at_most(longest_log);
        let (fresh, meters) = (index::Fresh::default(), Arc::<Meters>::default());
        if purpose == open::Use::Serve {
            counted::remember(&writing, &meters, now).map_err(|error| open::damaged(&error))?;
        }
        let condition = condition::Condition { damage: damage::Damage::default(), log, disk, meters: meters.clone() };
        // Of two processes that merged the same runs each would write over the other's chunks.
        let indexing = index::Indexing::new(fresh.clone(), purpose != open::Use::Existing);
        let lookout = (purpose == open::Use::Serve).then(|| lookout::Lookout::of(&folder));
        let writer = writer::Writer::start(writing, key.clone(), indexing, condition.clone(), lookout)
            .map_err(|error| OpenError::Unreadable(error.to_string()))?;
        if purpose == open::Use::Serve {
            writer.get_ready().map_err(|error| OpenError::Unreadable(error.to_string()))?;
        }
        let closing = damage::Closing::default();
        Ok(Store {
            inner: Arc::new(Inner {
                readers,
                door,
                writer,
                fresh,
                key,
                journal: journal::Journal::of(folder.path()),
                folder,
                condition,
                closing,
                alarms: alarms::Lately::default(),
                removals: Mutex::default(),
                silences: Mutex::default(),
                following: Mutex::default(),
                emails: Mutex::default(),
                start,
                meters,
                looked: ready::Looked::default(),
            }),
        })
    }

    /// Runs one read on a pooled connection, off the async threads, under the deadline.
    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let readers = self.inner.readers.clone();
        self.reading(move || read_now(&readers, work)).await
    }

    /// As [`Store::read`], with the index as it stood when the read began or later.
    async fn look<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&index::Index<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let fresh = self.inner.fresh.clone();
        let readers = self.inner.readers.clone();
        self.reading(move || {
            // Before the transaction begins: what is put into the store meanwhile is found there.
            let fresh = fresh.now();
            read_now(&readers, |connection| work(&index::Index::new(connection, &fresh)?))
        })
        .await
    }

    /// As [`Store::read`], on the connection that pages do not use.
    async fn read_at_the_door<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let door = self.inner.door.clone();
        self.reading(move || read_now(&door, work)).await
    }

    /// Nothing is read where damage is known, and what is met while reading is known from then on.
    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.condition.damage.refuse()?;
        let done = tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?;
        self.inner.condition.damage.noted(done)
    }

    /// Runs one write of a page or a command in the writer's next transaction, ahead of the callbacks that wait.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.inner.writer.write(work).await
    }

    /// Waits until the writer thread has ended, which while a server runs means that it failed.
    pub async fn writer_ended(&self) {
        self.inner.writer.ended().await;
    }

    /// Stops taking work, finishes what waits, copies the log into the file and closes. Blocks.
    #[must_use]
    pub fn close(&self) -> Checkpoint {
        self.inner.closing.store(true, Ordering::Relaxed);
        self.inner.writer.stop();
        checkpoint::last(&self.inner.folder, &self.inner.condition)
    }
}

fn readers(folder: &open::Folder, at_most: u32) -> Result<Readers, OpenError> {
    let manager = SqliteConnectionManager::file(folder.database()).with_init(open::prepare_reader);
    r2d2::Pool::builder()
        .max_size(at_most)
        .min_idle(Some(1))
        .connection_timeout(READ_DEADLINE)
        .build(manager)
        .map_err(|error| OpenError::Unreadable(error.to_string()))
}

fn read_now<T>(readers: &Readers, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
    let connection = readers.get().map_err(|_| StoreError::TookTooLong)?;
    let ends = Instant::now() + READ_DEADLINE;
    connection.progress_handler(10_000, Some(move || Instant::now() > ends))?;
    // One transaction, so that all that is read is of one moment.
    let done = connection.unchecked_transaction().and_then(|moment| work(&moment));
    connection.progress_handler(0, None::<fn() -> bool>)?;
    Ok(done?)
}

#[cfg(test)]
mod tests;
