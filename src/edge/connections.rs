//! The places for connections: a fixed number, each idle or busy, and the longest idle gives way when all are taken.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// All places of one listener.
#[derive(Clone)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    all: usize,
    table: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    /// Grows with every change from busy to idle, so that the smallest has been idle for longest.
    next: u64,
    idle: BTreeMap<u64, Arc<Notify>>,
}

/// One connection's place; free again when it is dropped.
pub(super) struct Place {
    table: Arc<Mutex<Table>>,
    idle_since: Arc<Mutex<Option<u64>>>,
    close: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

/// While it lives, its connection has a request in hand.
pub(super) struct Busy {
    table: Arc<Mutex<Table>>,
    idle_since: Arc<Mutex<Option<u64>>>,
    close: Arc<Notify>,
}

impl Connections {
    pub(super) fn new(all: usize) -> Connections {
        Connections { places: Arc::new(Semaphore::new(all)), all, table: Arc::default() }
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
        Place { table: self.table.clone(), idle_since, close, _permit: permit }
    }

    async fn room(&self) -> OwnedSemaphorePermit {
        loop {
            if let Some((_, oldest)) = lock(&self.table).idle.pop_first() {
                oldest.notify_one();
            }
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
        let (close, idle_since) = (self.close.clone(), self.idle_since.clone());
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

    /// Marks that a request is in hand, until the mark is dropped.
    pub(super) fn busy(&self) -> Busy {
        if let Some(since) = lock(&self.idle_since).take() {
            lock(&self.table).idle.remove(&since);
        }
        Busy { table: self.table.clone(), idle_since: self.idle_since.clone(), close: self.close.clone() }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        let since = table.next;
        table.next += 1;
        table.idle.insert(since, self.close.clone());
        drop(table);
        *lock(&self.idle_since) = Some(since);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let since = lock(&self.idle_since).take();
        let mut table = lock(&self.table);
        if let Some(since) = since {
            table.idle.remove(&since);
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
