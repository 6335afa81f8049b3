//! The inbox for a file. Whoever writes while it is written moves to the top of the list, past the place where the file is. So which
//! conversations there are is read first, in one short read of their numbers alone, and each is read as it is when its row is written:
//! nobody is missed or stands there twice, and no reader keeps the log from being emptied however slowly the file is taken.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::{InboxRow, Narrowed, scope, select, sender, wanted, with_flags};
use crate::store::{Services, Store, StoreError};

impl Store {
    /// The numbers of the conversations in the inbox at this moment, the newest first.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn inbox_numbers(&self, sees: &Services, narrowed: Narrowed) -> Result<Vec<i64>, StoreError> {
        let sees = sees.clone();
        self.read(move |connection| numbers(connection, &sees, narrowed)).await
    }

    /// The rows of some conversations as they are now, in the same order. What went meanwhile is left out.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn inbox_rows(
        &self,
        sees: &Services,
        narrowed: Narrowed,
        numbers: Vec<i64>,
    ) -> Result<Vec<InboxRow>, StoreError> {
        let sees = sees.clone();
        self.read(move |connection| rows(connection, &sees, narrowed, &numbers)).await
    }
}

fn numbers(connection: &Connection, sees: &Services, narrowed: Narrowed) -> rusqlite::Result<Vec<i64>> {
    let index = if narrowed.flagged.is_some() { "flagged" } else { "by_latest" };
    let sql = format!(
        "SELECT cs.conversation FROM conversation_services cs INDEXED BY conversation_services_{index}
         WHERE {} AND NOT EXISTS (SELECT 1 FROM conversation_services n WHERE n.conversation = cs.conversation
                AND n.latest > cs.latest AND {})
         ORDER BY cs.latest DESC",
        wanted("cs", narrowed.flagged),
        wanted("n", narrowed.flagged)
    );
    let bound = named_params! {
        ":sees": sees.bound(), ":service": narrowed.service, ":destination": narrowed.destination,
        ":taken_by": narrowed.taken_by, ":open": narrowed.open, ":unread": narrowed.unread,
    };
    connection.prepare_cached(&sql)?.query_map(bound, |row| row.get(0))?.collect()
}

fn rows(
    connection: &Connection,
    sees: &Services,
    narrowed: Narrowed,
    numbers: &[i64],
) -> rusqlite::Result<Vec<InboxRow>> {
    let sql =
        select("", &format!("cs.conversation = :conversation AND {} ORDER BY cs.latest DESC LIMIT 1", scope("cs")));
    let mut find = connection.prepare_cached(&sql)?;
    let mut one = |conversation: i64, destination: Option<i64>| {
        let bound = named_params! {
            ":conversation": conversation, ":sees": sees.bound(), ":service": narrowed.service,
            ":destination": destination,
        };
        find.query_row(bound, sender).optional()
    };
    let mut rows = Vec::new();
    for conversation in numbers {
        let found = match one(*conversation, narrowed.destination)? {
            // The newest text went to another number.
            None if narrowed.destination.is_some() => one(*conversation, None)?,
            found => found,
        };
        if let Some(found) = found {
            rows.push(with_flags(connection, found)?);
        }
    }
    Ok(rows)
}
