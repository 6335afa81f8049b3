//! What keeps a store from taking something: damage, a log that is too long, a full disk. With it goes what is counted.

use std::sync::Arc;

use super::StoreError;
use super::ballast::Disk;
use super::checkpoint::LogLength;
use super::damage::Damage;
use crate::meters::Meters;

/// Clones know the same.
#[derive(Clone)]
pub(super) struct Condition {
    pub(super) damage: Damage,
    pub(super) log: LogLength,
    pub(super) disk: Disk,
    pub(super) meters: Arc<Meters>,
}

impl Condition {
    /// Refuses whatever nobody waits for at a page: it is sent or asked for again.
    pub(super) fn refuse_arrivals(&self) -> Result<(), StoreError> {
        self.refuse_writes()?;
        self.disk.refuse()
    }

    /// Refuses every write.
    pub(super) fn refuse_writes(&self) -> Result<(), StoreError> {
        self.damage.refuse()?;
        self.log.refuse()
    }

    /// Takes note of an error that says more than that something failed.
    pub(super) fn note(&self, error: &rusqlite::Error) {
        self.damage.note(error);
        self.disk.note(error);
    }

    /// Takes note of a result that says so.
    pub(super) fn noted<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(done, Err(StoreError::DiskFull)) {
            self.disk.give_up();
        }
        self.damage.noted(done)
    }
}
