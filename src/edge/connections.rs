//! The places for connections: a fixed number, each idle or busy, and the longest idle gives way when all are taken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// All places of one listener.
#[derive(Clone)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    all: usize,
    table: Arc<Mutex<Table>>,
    /// Whether the last try to accept one failed.
    failing: Arc<AtomicBool>,
}

#[derive(Default)]
struct Table {
    /// Grows with every change from busy to idle, so that the smallest has been idle for longest.
    next: u64,
    idle: BTreeMap<u64, Arc<Notify>>,
}

/// One connection's place; free again when it is dropped.
pub(super) struct Place {
    marks: Marks,
    _permit: OwnedSemaphorePermit,
}

/// How a connection stands in the table.
#[derive(Clone)]
struct Marks {
    table: Arc<Mutex<Table>>,
    idle_since: Arc<Mutex<Option<u64>>>,
    close: Arc<Notify>,
}

/// One request of a connection. From its beginning until the last of these is dropped the connection is busy.
#[derive(Clone)]
pub(super) struct InHand(Arc<Request>);

struct Request {
    marks: Marks,
    begun: AtomicBool,
}

impl Connections {
    pub(super) fn new(all: usize) -> Connections {
        Connections { places: Arc::new(Semaphore::new(all)), all, table: Arc::default(), failing: Arc::default() }
    }

    /// One could not be accepted; whether that is news.
    pub(super) fn first_failure(&self) -> bool {
        !self.failing.swap(true, Ordering::Relaxed)
    }

    /// One was accepted.
    pub(super) fn accepted(&self) {
        self.failing.store(false, Ordering::Relaxed);
    }

    /// A place, as soon as there is one: at the cap the longest idle connection is closed for it.
    pub(super) async fn place(&self) -> Place {
        let permit = match self.places.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.room().await,
        };
        let mut table = lock(&self.table);
        let number = table.next;
        table.next += 1;
        let close = Arc::new(Notify::new());
        table.idle.insert(number, close.clone());
        let idle_since = Arc::new(Mutex::new(Some(number)));
        Place { marks: Marks { table: self.table.clone(), idle_since, close }, _permit: permit }
    }

    /// Tells the longest idle connection to close.
    pub(super) fn close_longest_idle(&self) {
        if let Some((_, oldest)) = lock(&self.table).idle.pop_first() {
            oldest.notify_one();
        }
    }

    async fn room(&self) -> OwnedSemaphorePermit {
        loop {
            self.close_longest_idle();
            let soon = std::time::Duration::from_millis(20);
            let free = tokio::time::timeout(soon, self.places.clone().acquire_owned());
            if let Ok(Ok(permit)) = free.await {
                return permit;
            }
        }
    }

    pub(super) fn close_idle(&self) {
        for (_, idle) in std::mem::take(&mut lock(&self.table).idle) {
            idle.notify_one();
        }
    }

    /// Waits until every connection has ended.
    pub(super) async fn none_left(&self) {
        let all = u32::try_from(self.all).unwrap_or(u32::MAX);
        let _freed = self.places.acquire_many(all).await.is_ok();
    }
}

impl Place {
    /// Ends when this connection is told to give way.
    pub(super) fn closed(&self) -> impl Future<Output = ()> + use<> {
        let Marks { close, idle_since, .. } = self.marks.clone();
        async move {
            // Told in the moment in which a request began: that request is finished first.
            loop {
                close.notified().await;
                if lock(&idle_since).is_some() {
                    return;
                }
            }
        }
    }

    /// A request has come; it has yet to begin.
    pub(super) fn request(&self) -> InHand {
        InHand(Arc::new(Request { marks: self.marks.clone(), begun: AtomicBool::new(false) }))
    }
}

impl InHand {
    /// Marks the connection as busy.
    pub(super) fn begin(&self) {
        if !self.0.begun.swap(true, Ordering::Relaxed)
            && let Some(since) = lock(&self.0.marks.idle_since).take()
        {
            lock(&self.0.marks.table).idle.remove(&since);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let Marks { table, idle_since, close } = &self.marks;
        if *self.begun.get_mut() {
            let mut table = lock(table);
            let since = table.next;
            table.next += 1;
            table.idle.insert(since, close.clone());
            drop(table);
            *lock(idle_since) = Some(since);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let since = lock(&self.marks.idle_since).take();
        if let Some(since) = since {
            lock(&self.marks.table).idle.remove(&since);
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
