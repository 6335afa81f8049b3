//! What other processes write, such as an import or an erasure beside the server: noticed within a second.

use std::time::{Duration, Instant};

use rusqlite::Connection;

/// How often a server looks whether another process has written, which costs a read of shared memory.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Looks out for what other processes write.
#[derive(Default)]
pub(super) struct Lookout {
    looked_at: Option<Instant>,
    /// As it was then; it changes when another process writes.
    version: Option<i64>,
}

impl Lookout {
    /// Whether another process has written since the last look. There is one a second at most, so that nothing costs more for it.
    pub(super) fn sees_others_write(&mut self, connection: &Connection) -> bool {
        if self.looked_at.is_some_and(|at| at.elapsed() < EVERY) {
            return false;
        }
        self.looked_at = Some(Instant::now());
        let version =
            connection.prepare_cached("PRAGMA data_version").and_then(|mut ask| ask.query_row([], |row| row.get(0)));
        // What cannot be read now is seen at the next look.
        let Ok(version) = version else { return false };
        self.version.replace(version).is_some_and(|before| before != version)
    }
}
