//! The one writer: a thread that commits whatever waits as one transaction and answers each piece of it after the sync.
//!
//! Pages' writes go first in each transaction, so that a flood of callbacks never keeps a person waiting. One piece that
//! fails by itself does not fail the others.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{Notify, oneshot, watch};

use super::arrivals::{Arrival, Ledger};
use super::condition::Condition;
use super::envelope::Stored;
use super::index::Indexing;
use super::key::Key;
use super::lookout::{self, Lookout, Seen};
use super::{Checkpoint, StoreError, checkpoint};

/// Callbacks that may wait; the next is refused with 503, which Notify sends again.
const CALLBACKS_WAITING: usize = 8192;
/// Pages' writes that may wait.
const PAGES_WAITING: usize = 1024;
/// Callbacks in one transaction: more gains little speed and makes the first wait longer.
const BATCH: usize = 512;
/// How long the writer gathers callbacks where many are under way: each transaction costs as much as some callbacks do.
const GATHERS: Duration = Duration::from_millis(1);
/// So many transactions add little to the log.
const RELIEF_EVERY: u32 = 64;
/// How long the writer waits for work before it goes on with the index.
const PAUSE: Duration = Duration::from_millis(5);
/// How long it waits before it makes the index tidier than it has to be.
const QUIET: Duration = Duration::from_millis(20);
/// How long it waits when the index needs nothing, and nobody else is looked out for.
const LONG_PAUSE: Duration = Duration::from_hours(1);

/// The way to the writer thread.
pub(super) struct Writer {
    queue: Arc<Queue>,
    condition: Condition,
    ended: watch::Receiver<bool>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;
/// Told after the commit how it went.
type Settle = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Given the transaction, or why there is none: whoever asked is told either way.
type PageWork = Box<dyn FnOnce(Result<Hands<'_>, StoreError>) -> Option<Settle> + Send>;
/// What a page's work is done with.
type Hands<'a> = (&'a Transaction<'a>, &'a mut Ledger);

struct CallbackJob {
    arrival: Arrival,
    answer: oneshot::Sender<Told>,
}

/// What the sender of a callback is told after its transaction. Of each transaction one is told for all, and tells the others:
/// waking one task of the runtime from here costs as much as waking all of them from there.
struct Told {
    stored: Result<Stored, StoreError>,
    /// Goes back to be freed where it was made.
    _arrival: Arrival,
    others: Others,
}

/// Those who are to be told the same way. Told when this is dropped, whatever became of the one who was to tell them.
struct Others(Vec<(CallbackJob, Result<Stored, StoreError>)>);

impl Drop for Others {
    fn drop(&mut self) {
        for (job, stored) in self.0.drain(..) {
            tell(job, stored, Others(Vec::new()));
        }
    }
}

fn tell(job: CallbackJob, stored: Result<Stored, StoreError>, others: Others) {
    // Nobody listens any more when the sender hung up: the row is kept all the same.
    let _heard = job.answer.send(Told { stored, _arrival: job.arrival, others }).is_ok();
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Told of each transaction: who copies the log, and who follows what came.
    written: Notify,
    to_follow: Notify,
    /// Told of transactions of other processes: who does what they leave to this one.
    written_beside: Notify,
}

#[derive(Default)]
struct Waiting {
    pages: VecDeque<PageWork>,
    callbacks: VecDeque<CallbackJob>,
    /// Who wants the log cut to nothing.
    cuts: Vec<oneshot::Sender<Checkpoint>>,
    closed: bool,
    /// How much the writer sleeps for; nothing where it is awake. Waking it costs a call to the system.
    wakes_at: Option<usize>,
}

impl Waiting {
    /// Whether there is so much to do that the writer should not wait for more.
    fn is_enough(&self, callbacks: usize) -> bool {
        self.closed || !self.pages.is_empty() || !self.cuts.is_empty() || self.callbacks.len() >= callbacks
    }
}

impl Writer {
    /// Starts the thread on a connection of its own, with a lookout where other processes leave the index to it.
    pub(super) fn start(
        connection: Connection,
        key: Key,
        indexing: Indexing,
        condition: Condition,
        lookout: Option<Lookout>,
    ) -> std::io::Result<Writer> {
        let queue = Arc::new(Queue::default());
        let (alive, ended) = watch::channel(false);
        let (theirs, noted) = (queue.clone(), condition.clone());
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || {
            // Dropped on a panic too, and then nothing waits for an answer that cannot come.
            let _closes = CloseOnDrop { queue: theirs.clone(), alive };
            let ledger = Ledger::new(indexing, noted.meters.clone());
            run(Pen { connection, key: &key, ledger, condition: noted, commits: 0, crowd: 0, lookout }, &theirs);
        })?;
        Ok(Writer { queue, condition, ended, thread: Mutex::new(Some(thread)) })
    }

    /// Stores one callback; the answer comes after its transaction is committed and synced.
    pub(super) async fn keep(&self, arrival: Arrival) -> Result<Stored, StoreError> {
        self.condition.refuse_arrivals()?;
        let (answer, answered) = oneshot::channel();
        self.queue.push(|waiting| {
            if waiting.callbacks.len() >= CALLBACKS_WAITING {
                return Err(StoreError::Full);
            }
            waiting.callbacks.push_back(CallbackJob { arrival, answer });
            Ok(())
        })?;
        let told = answered.await.map_err(|_| StoreError::Closed)?;
        drop(told.others);
        told.stored
    }

    /// Runs one page's write; the answer comes after its transaction is committed and synced.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.write_with_ledger(move |connection, _| work(connection)).await
    }

    /// As [`Writer::write`], for what also changes what the writer knows of the callbacks.
    pub(super) async fn write_with_ledger<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &mut Ledger) -> rusqlite::Result<T> + Send + 'static,
    {
        self.condition.refuse_writes()?;
        self.ask(work).await
    }

    /// As [`Writer::write_with_ledger`], also where writes are refused: for what then writes nothing.
    pub(super) async fn ask<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &mut Ledger) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.queue.push(|waiting| {
            if waiting.pages.len() >= PAGES_WAITING {
                return Err(StoreError::Full);
            }
            waiting.pages.push_back(page_work(work, answer));
            Ok(())
        })?;
        self.condition.noted(answered.await.map_err(|_| StoreError::Closed)?)
    }

    /// Cuts the log to nothing between two transactions, where nobody reads in it.
    pub(super) async fn cut_log(&self) -> Result<Checkpoint, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.queue.push(|waiting| {
            waiting.cuts.push(answer);
            Ok(())
        })?;
        answered.await.map_err(|_| StoreError::Closed)
    }

    /// How many callbacks and how many writes of pages wait.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let waiting = self.queue.lock();
        (waiting.callbacks.len(), waiting.pages.len())
    }

    /// Lets the writer get to know the index before it has anything to write: until then each search makes the newest entries.
    pub(super) fn get_ready(&self) -> Result<(), StoreError> {
        let (answer, _nobody_waits) = oneshot::channel();
        let work = |connection: &Connection, ledger: &mut Ledger| ledger.indexing.begin(connection);
        self.queue.push(|waiting| {
            waiting.pages.push_back(page_work(work, answer));
            Ok(())
        })
    }

    /// Waits until something has been written since this was last waited for.
    pub(super) async fn written(&self) {
        self.queue.written.notified().await;
    }

    /// Waits until another process has written since this was last waited for.
    pub(super) async fn written_beside(&self) {
        self.queue.written_beside.notified().await;
    }

    /// The same as [`Writer::written`], for who follows what came.
    pub(super) async fn something_to_follow(&self) {
        self.queue.to_follow.notified().await;
    }

    /// Waits until the thread has ended.
    pub(super) async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error means that the sender is gone, which is the same news.
        let _told = ended.wait_for(|ended| *ended).await;
    }

    /// Takes no more work, and waits until what was taken is done.
    pub(super) fn stop(&self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(event = "store.writer_failed", "the store's writer ended by a fault");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, add: impl FnOnce(&mut Waiting) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        add(&mut waiting)?;
        let wakes = waiting.wakes_at.is_some_and(|callbacks| waiting.is_enough(callbacks));
        if wakes {
            waiting.wakes_at = None;
        }
        drop(waiting);
        if wakes {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Waits for work, but not longer than the writer has patience; then a little for as many callbacks as `worth` a transaction.
    fn take(&self, patience: impl FnOnce() -> Duration, worth: usize) -> Turn {
        let waiting = self.lock();
        let waiting = if waiting.is_enough(1) { waiting } else { self.wait(waiting, patience(), 1) };
        let mut waiting = self.wait(waiting, GATHERS, worth);
        if waiting.pages.is_empty() && waiting.callbacks.is_empty() {
            return if waiting.closed { Turn::End } else { Turn::Nothing };
        }
        let pages = waiting.pages.drain(..).collect();
        let batch = waiting.callbacks.len().min(BATCH);
        Turn::Work(pages, waiting.callbacks.drain(..batch).collect())
    }

    fn wait<'q>(
        &'q self,
        waiting: MutexGuard<'q, Waiting>,
        time: Duration,
        callbacks: usize,
    ) -> MutexGuard<'q, Waiting> {
        let sleeps = |waiting: &mut Waiting| {
            let enough = waiting.is_enough(callbacks);
            waiting.wakes_at = (!enough).then_some(callbacks);
            !enough
        };
        let (mut waiting, _) =
            self.changed.wait_timeout_while(waiting, time, sleeps).unwrap_or_else(PoisonError::into_inner);
        waiting.wakes_at = None;
        waiting
    }
}

struct CloseOnDrop {
    queue: Arc<Queue>,
    alive: watch::Sender<bool>,
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        waiting.closed = true;
        waiting.pages.clear();
        waiting.callbacks.clear();
        waiting.cuts.clear();
        self.alive.send_replace(true);
    }
}

/// What the writer does next.
enum Turn {
    Work(Vec<PageWork>, Vec<CallbackJob>),
    /// Nobody wants anything for the moment.
    Nothing,
    /// The queue is closed and empty.
    End,
}

fn run(mut pen: Pen<'_>, queue: &Queue) {
    loop {
        let mut writes = true;
        match queue.take(|| pen.patience(), pen.worth()) {
            Turn::Work(pages, callbacks) => {
                let batch = callbacks.len();
                pen.commit(pages, callbacks);
                pen.note_crowd(batch + queue.lock().callbacks.len());
            }
            // It would add to the log.
            Turn::Nothing if pen.is_held_up() => (),
            Turn::Nothing if pen.could_index() => pen.index(Indexing::catch_up),
            Turn::Nothing => writes = false,
            Turn::End => return pen.index(Indexing::store_all),
        }
        match pen.looks_out() {
            Seen::Nothing => (),
            Seen::Written => {
                if !pen.is_held_up() {
                    pen.index(Indexing::catch_up);
                }
                queue.written_beside.notify_one();
                writes = true;
            }
            Seen::Gone => return pen.saves_what_it_can(),
        }
        if writes {
            queue.written.notify_one();
            queue.to_follow.notify_one();
            pen.relieve();
        }
        let cuts = std::mem::take(&mut queue.lock().cuts);
        pen.cut_log(cuts);
    }
}

/// What the writer writes with.
struct Pen<'a> {
    connection: Connection,
    key: &'a Key,
    ledger: Ledger,
    condition: Condition,
    commits: u32,
    /// How many callbacks are under way at the same time, as it was lately.
    crowd: usize,
    lookout: Option<Lookout>,
}

impl Pen<'_> {
    /// Looks now and then whether the log grows faster than it is copied.
    fn relieve(&mut self) {
        if self.is_held_up() {
            return checkpoint::try_again(&self.connection, &self.condition);
        }
        self.commits = self.commits.wrapping_add(1);
        if self.commits.is_multiple_of(RELIEF_EVERY) {
            checkpoint::relieve(&self.connection, &self.condition);
        }
    }

    fn cut_log(&self, wanted: Vec<oneshot::Sender<Checkpoint>>) {
        if wanted.is_empty() {
            return;
        }
        let done = checkpoint::cut(&self.connection, &self.condition);
        for answer in wanted {
            let _heard = answer.send(done).is_ok();
        }
    }

    /// So many callbacks are worth a transaction: most of those that are under way. The others come while it is committed.
    fn worth(&self) -> usize {
        (self.crowd - self.crowd / 4).min(BATCH)
    }

    fn note_crowd(&mut self, callbacks: usize) {
        self.crowd = callbacks.max(self.crowd - self.crowd.div_ceil(8));
    }

    fn is_held_up(&self) -> bool {
        self.condition.log.is_too_long()
    }

    fn looks_out(&mut self) -> Seen {
        self.lookout.as_mut().map_or(Seen::Nothing, |lookout| lookout.look(&self.connection))
    }

    /// Copies out of a log that has no name any more what was committed into it. It can be read here alone, and until the process ends.
    fn saves_what_it_can(&self) {
        let saved = checkpoint::rescue(&self.connection, &self.condition);
        tracing::error!(
            event = "store.taken_away",
            saved,
            "another program removed or replaced counterfoil.db or counterfoil.db-wal while the server used them. The server ends, so \
             that it opens the store anew, and what was acknowledged was copied into the store first where saved=true. Find that \
             program: an older SQLite, a clean-up, or a restore beside the server"
        );
    }

    /// Whether a quiet moment is of use to the index.
    fn could_index(&self) -> bool {
        self.ledger.indexing.is_behind() || self.ledger.indexing.could_be_tidier()
    }

    fn patience(&self) -> Duration {
        let indexing = &self.ledger.indexing;
        if self.is_held_up() {
            checkpoint::LOOKS_AGAIN
        } else if indexing.is_behind() {
            PAUSE
        } else if indexing.could_be_tidier() {
            QUIET
        } else if self.lookout.is_some() {
            lookout::EVERY
        } else {
            LONG_PAUSE
        }
    }

    /// One transaction with everything in it. Where that fails by something one callback brought, each is tried by itself.
    fn commit(&mut self, pages: Vec<PageWork>, callbacks: Vec<CallbackJob>) {
        match self.try_commit(pages, &callbacks) {
            Ok(stored) => answer_all(callbacks, stored.into_iter().map(Ok)),
            Err(error) if is_about_the_data(&error) => {
                for job in callbacks {
                    self.commit_alone(job);
                }
            }
            Err(error) => {
                tracing::error!(event = "store.commit_failed", error = %error, "the store could not be written");
                let told = StoreError::from(error);
                answer_all(callbacks, std::iter::repeat_with(|| Err(told.clone())));
            }
        }
    }

    /// A callback that the schema refuses is still somebody's: it goes to quarantine as it came.
    fn commit_alone(&mut self, job: CallbackJob) {
        let stored = match self.try_commit(Vec::new(), std::slice::from_ref(&job)) {
            Err(error) if is_about_the_data(&error) => {
                tracing::error!(event = "store.callback_refused", error = %error, "a callback could not be stored as what it is");
                let kept = CallbackJob { arrival: job.arrival.into_not_storable(), answer: job.answer };
                let stored = self.try_commit(Vec::new(), std::slice::from_ref(&kept));
                return answer_all(vec![kept], first(stored));
            }
            stored => stored,
        };
        answer_all(vec![job], first(stored));
    }

    fn try_commit(&mut self, pages: Vec<PageWork>, callbacks: &[CallbackJob]) -> rusqlite::Result<Vec<Stored>> {
        let (began, mut settles) = (Instant::now(), Vec::with_capacity(pages.len()));
        let (key, ledger) = (self.key, &mut self.ledger);
        let mut pages = pages.into_iter();
        let done = (|| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for work in pages.by_ref() {
                settles.extend(in_savepoint(&transaction, ledger, work)?);
            }
            let stored = match callbacks {
                [] => Vec::new(),
                jobs => ledger.keep_all(&transaction, key, jobs.iter().map(|job| &job.arrival))?,
            };
            transaction.commit()?;
            Ok(stored)
        })();
        match &done {
            Ok(_) => {
                self.condition.meters.committed(began.elapsed());
                self.ledger.committed();
            }
            Err(error) => {
                self.condition.meters.commit_failed();
                self.condition.note(error);
                self.ledger.forget();
            }
        }
        for settle in settles {
            settle(done.as_ref().map(|_| ()).map_err(StoreError::from));
        }
        // Those that did not begin: nothing of them was done.
        if let Err(error) = &done {
            for work in pages {
                let _settled = work(Err(error.into())).is_some();
            }
        }
        done
    }

    /// Works on the index alone. What fails here is done later: nobody waits for it.
    fn index(&mut self, work: impl FnOnce(&mut Indexing, &Connection) -> rusqlite::Result<()>) {
        let indexing = &mut self.ledger.indexing;
        let done = (|| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            work(indexing, &transaction)?;
            transaction.commit()
        })();
        match done {
            Ok(()) => self.ledger.committed(),
            Err(error) => {
                self.condition.note(&error);
                tracing::warn!(event = "store.index_behind", error = %error, "the index could not be brought up to date yet");
                self.ledger.forget();
            }
        }
    }
}

/// A page's work that fails takes back only what itself did.
fn in_savepoint(
    transaction: &Transaction<'_>,
    ledger: &mut Ledger,
    work: PageWork,
) -> rusqlite::Result<Option<Settle>> {
    if let Err(error) = transaction.execute_batch("SAVEPOINT page") {
        let _settled = work(Err(StoreError::from(&error))).is_some();
        return Err(error);
    }
    let settle = work(Ok((transaction, &mut *ledger)));
    if settle.is_none() {
        ledger.forget();
    }
    transaction.execute_batch(if settle.is_some() { "RELEASE page" } else { "ROLLBACK TO page; RELEASE page" })?;
    Ok(settle)
}

fn page_work<T, F>(work: F, answer: Answer<T>) -> PageWork
where
    T: Send + 'static,
    F: FnOnce(&Connection, &mut Ledger) -> rusqlite::Result<T> + Send + 'static,
{
    Box::new(move |hands| {
        let done = hands.and_then(|(transaction, ledger)| Ok(work(transaction, ledger)?));
        match done {
            Ok(value) => Some(Box::new(move |done: Result<(), StoreError>| {
                // Nobody listens any more when the page's reader has gone away.
                let _heard = answer.send(done.map(|()| value)).is_ok();
            })),
            Err(error) => {
                let _heard = answer.send(Err(error)).is_ok();
                None
            }
        }
    })
}

fn first(stored: rusqlite::Result<Vec<Stored>>) -> impl Iterator<Item = Result<Stored, StoreError>> {
    let stored = stored.map_err(StoreError::from);
    std::iter::once(stored.and_then(|stored| stored.into_iter().next().ok_or(StoreError::Closed)))
}

fn answer_all(jobs: Vec<CallbackJob>, answers: impl Iterator<Item = Result<Stored, StoreError>>) {
    let mut answered = jobs.into_iter().zip(answers);
    if let Some((job, stored)) = answered.next() {
        tell(job, stored, Others(answered.collect()));
    }
}

/// Whether the error comes from what was to be written, and not from the disk, the file or a lock.
fn is_about_the_data(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, ParameterOutOfRange, TooBig, TypeMismatch};
    match error.sqlite_error_code() {
        Some(code) => matches!(code, ConstraintViolation | ParameterOutOfRange | TooBig | TypeMismatch),
        None => true,
    }
}
