//! Reading out everything that is held on somebody, one piece after another in the order of arrival.

use rusqlite::{Connection, OptionalExtension, params};

use super::progress::{Progress, Stage};
use super::quarantine::{self, Quarantined};
use super::row::{self, Kept};
use super::subject::{Gathered, len};
use super::{Services, Store, StoreError, holds};

/// A search for somebody that is kept so that its page can be opened again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldSearch {
    /// What was typed.
    pub term: String,
    /// When, in microseconds since 1970 UTC.
    pub made_at: i64,
}

/// One piece of what is held.
#[derive(Debug)]
pub enum Exported {
    /// A callback of any kind, and whether a hold keeps it.
    Callback(Box<Kept>, bool),
    /// A body in quarantine, and whether a hold keeps it.
    Quarantined(Box<Quarantined>, bool),
    /// A kept search.
    Search(HeldSearch),
}

impl Store {
    /// Hands out what was gathered by the same reader. What went meanwhile is left out. Blocks; `each` says `false` to stop.
    ///
    /// # Errors
    /// When it cannot be read, or somebody asked for it to stop.
    pub fn export(
        &self,
        sees: &Services,
        gathered: &Gathered,
        progress: &Progress,
        mut each: impl FnMut(Exported) -> bool,
    ) -> Result<(), StoreError> {
        let mut arrivals: Vec<i64> = gathered.messages.iter().flat_map(|message| &message.arrivals).copied().collect();
        arrivals.sort_unstable();
        arrivals.dedup();
        let of = len(arrivals.len()) + gathered.counts.quarantined + gathered.counts.searches;
        let mut done = 0;
        self.look_long(|index| {
            let connection = index.connection;
            let mut hand_out = |piece: Option<Exported>| {
                progress.is_at(Stage::Exporting, done, of);
                done += 1;
                let goes_on = !progress.is_stopped() && piece.is_none_or(&mut each);
                if goes_on { Ok(()) } else { Err(StoreError::Stopped) }
            };
            for arrival in arrivals {
                let kept = row::at(connection, arrival)?.filter(|kept| sees.allow(kept.service));
                let is_held = holds::is_held(connection, arrival)?;
                hand_out(kept.map(|kept| Exported::Callback(Box::new(kept), is_held)))?;
            }
            for arrival in &gathered.quarantined {
                let body = quarantine::with_body(connection, sees, *arrival)?;
                let is_held = holds::is_held(connection, *arrival)?;
                hand_out(body.map(|body| Exported::Quarantined(Box::new(body), is_held)))?;
            }
            for opaque in &gathered.searches {
                hand_out(search(connection, opaque)?.map(Exported::Search))?;
            }
            Ok(())
        })
    }
}

fn search(connection: &Connection, opaque: &str) -> rusqlite::Result<Option<HeldSearch>> {
    connection
        .prepare_cached("SELECT term, made_at FROM searches WHERE opaque = ?1")?
        .query_row(params![opaque], |row| Ok(HeldSearch { term: row.get(0)?, made_at: row.get(1)? }))
        .optional()
}
