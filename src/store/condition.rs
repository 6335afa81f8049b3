//! What keeps a store from taking something: damage, or a log that is too long.

use super::StoreError;
use super::checkpoint::LogLength;
use super::damage::Damage;

/// Clones know the same.
#[derive(Clone)]
pub(super) struct Condition {
    pub(super) damage: Damage,
    pub(super) log: LogLength,
}

impl Condition {
    /// Refuses every write.
    pub(super) fn refuse_writes(&self) -> Result<(), StoreError> {
        self.damage.refuse()?;
        self.log.refuse()
    }

    /// Takes note of an error that says more than that something failed.
    pub(super) fn note(&self, error: &rusqlite::Error) {
        self.damage.note(error);
    }
}
