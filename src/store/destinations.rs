//! The numbers that texts are sent to: a service has one or a few. Each has a small number here, by which the inbox is narrowed and
//! which stands in addresses in its place.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::{ServiceId, Services};

/// Numbers that are remembered; there are as many as services, or a few more.
const REMEMBERED: usize = 1024;
/// What is longer is no number.
const LONGEST: usize = 100;
/// Numbers that can be chosen.
const CHOICES: i64 = 100;

/// A number that texts are sent to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    /// Its number here.
    pub id: i64,
    /// As the texts say it.
    pub number: String,
}

/// Those that texts came for lately.
#[derive(Default)]
pub(super) struct Destinations(HashMap<ServiceId, HashMap<String, i64>>);

impl Destinations {
    /// Its number here; none where there is no number that texts are sent to.
    pub(super) fn number(
        &mut self,
        connection: &Connection,
        service: ServiceId,
        number: Option<&str>,
    ) -> rusqlite::Result<Option<i64>> {
        let Some(number) = number.filter(|number| is_one(number)) else { return Ok(None) };
        if let Some(id) = self.0.get(&service).and_then(|known| known.get(number)) {
            return Ok(Some(*id));
        }
        connection
            .prepare_cached(
                "INSERT INTO destinations (service, number) VALUES (?1, ?2) ON CONFLICT (service, number) DO NOTHING",
            )?
            .execute(params![service, number])?;
        let id = connection
            .prepare_cached("SELECT id FROM destinations WHERE service = ?1 AND number = ?2")?
            .query_row(params![service, number], |row| row.get(0))?;
        if self.0.values().map(HashMap::len).sum::<usize>() >= REMEMBERED {
            self.forget();
        }
        self.0.entry(service).or_default().insert(number.to_owned(), id);
        Ok(Some(id))
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

fn is_one(number: &str) -> bool {
    !number.is_empty() && number.chars().count() <= LONGEST
}

/// Those of the services that may be seen, in their order.
pub(super) fn seen(connection: &Connection, sees: &Services) -> rusqlite::Result<Vec<Destination>> {
    let sql =
        "SELECT min(id), number FROM destinations WHERE ?1 IS NULL OR service IN (SELECT value FROM json_each(?1))
        GROUP BY number ORDER BY number LIMIT ?2";
    let read = |row: &rusqlite::Row<'_>| Ok(Destination { id: row.get(0)?, number: row.get(1)? });
    connection.prepare_cached(sql)?.query_map(params![sees.bound(), CHOICES], read)?.collect()
}

/// The newest text of a conversation is another one: notes what number that was sent to.
pub(super) fn note_again(connection: &Connection, conversation: i64, service: ServiceId) -> rusqlite::Result<()> {
    let sql = "SELECT c.destination FROM conversation_services cs JOIN callbacks c ON c.arrival = cs.latest
        WHERE cs.conversation = ?1 AND cs.service = ?2";
    let number: Option<Option<String>> =
        connection.prepare_cached(sql)?.query_row(params![conversation, service], |row| row.get(0)).optional()?;
    let id = Destinations::default().number(connection, service, number.flatten().as_deref())?;
    connection
        .prepare_cached("UPDATE conversation_services SET destination = ?3 WHERE conversation = ?1 AND service = ?2")?
        .execute(params![conversation, service, id])
        .map(drop)
}
