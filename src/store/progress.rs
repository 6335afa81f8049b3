//! How far a long piece of work is, and whether it is to stop. The one who works and the one who watches share it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a long piece of work is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// It has not begun.
    Waiting,
    /// It copies the store's file.
    Copying,
    /// It reads everything through for damage.
    Checking,
    /// It encrypts the copy.
    Encrypting,
    /// It counts what is old.
    Counting,
    /// It finds everything that is held on somebody.
    Gathering,
    /// It reads that out, or everything.
    Exporting,
    /// It takes in what another store held.
    Importing,
    /// It removes what is to go.
    Removing,
    /// It takes away what messages say.
    Redacting,
    /// It notes what is to be kept.
    Holding,
    /// What led to what was removed is taken out of the index.
    Forgetting,
    /// It compares what stands in the store with what it is found by.
    Comparing,
    /// It reads what a service sent, as Notify lists it.
    Notifications,
    /// It reads the text messages that people sent in, as Notify lists them.
    ReceivedTexts,
}

/// How far a long piece of work is; clones are of the same piece.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    reached: Mutex<Reached>,
    stopped: AtomicBool,
}

/// Where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reached {
    /// What it is at.
    pub stage: Stage,
    /// What is done of this stage, in a unit of its own.
    pub done: u64,
    /// What this stage has in all; 0 where nobody knows.
    pub of: u64,
}

impl Default for Progress {
    fn default() -> Progress {
        let reached = Mutex::new(Reached { stage: Stage::Waiting, done: 0, of: 0 });
        Progress(Arc::new(Shared { reached, stopped: AtomicBool::new(false) }))
    }
}

impl Progress {
    /// Where it is now.
    #[must_use]
    pub fn reached(&self) -> Reached {
        *self.0.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks it to stop: it does soon, takes back what it did, and says that it was stopped.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked it to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed)
    }

    /// Says where it is.
    pub fn is_at(&self, stage: Stage, done: u64, of: u64) {
        *self.0.reached.lock().unwrap_or_else(PoisonError::into_inner) = Reached { stage, done, of };
    }
}
