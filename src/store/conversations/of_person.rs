//! What a team does about somebody's texts, for the pages that lead to the conversation.

use rusqlite::{Connection, OptionalExtension};

use crate::store::handling::{self, Handling};
use crate::store::{Services, Store, StoreError};

/// A conversation as other pages lead to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandledConversation {
    /// Its name in addresses.
    pub opaque: String,
    /// What is done about it, for each service that may be seen; never empty.
    pub handling: Vec<Handling>,
}

impl Store {
    /// The conversation with the first of these people, by match key, who ever sent a text that may be seen.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn conversation_with(
        &self,
        sees: &Services,
        people: Vec<String>,
    ) -> Result<Option<HandledConversation>, StoreError> {
        let sees = sees.clone();
        self.read(move |connection| {
            let mut found = people.iter().map(|person| with(connection, &sees, person)).filter_map(Result::transpose);
            found.next().transpose()
        })
        .await
    }
}

pub(in crate::store) fn with(
    connection: &Connection,
    sees: &Services,
    person_key: &str,
) -> rusqlite::Result<Option<HandledConversation>> {
    let sql = "SELECT id, opaque FROM conversations WHERE person_key = ?1";
    let known: Option<(i64, String)> =
        connection.prepare_cached(sql)?.query_row([person_key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((id, opaque)) = known else { return Ok(None) };
    let handling = handling::states(connection, id, sees)?;
    Ok((!handling.is_empty()).then_some(HandledConversation { opaque, handling }))
}
