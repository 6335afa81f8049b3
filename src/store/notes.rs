//! Notes that colleagues write on a conversation. Each belongs to one service of it, whose people see it. It goes with the texts; one
//! that its writer removed leaves who wrote it and when.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::Kept;
use super::{ServiceId, Services};

/// A note on a conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Its number.
    pub id: i64,
    /// The service whose people see it.
    pub service_name: String,
    /// The account that wrote it.
    pub writer: i64,
    /// That account's address.
    pub who: String,
    /// When, in microseconds since 1970 UTC.
    pub made_at: i64,
    /// What it says; nothing where its writer removed it.
    pub text: Option<String>,
    /// When that was.
    pub removed_at: Option<i64>,
}

const NOTES: &str = "SELECT n.id, s.name, n.person, p.email, n.made_at, n.text, n.removed_at
    FROM notes n JOIN services s ON s.id = n.service JOIN people p ON p.id = n.person";

fn note(row: &Row<'_>) -> rusqlite::Result<Note> {
    Ok(Note {
        id: row.get(0)?,
        service_name: row.get(1)?,
        writer: row.get(2)?,
        who: row.get(3)?,
        made_at: row.get(4)?,
        text: row.get(5)?,
        removed_at: row.get(6)?,
    })
}

/// Those on a conversation, the oldest first.
pub(super) fn on(connection: &Connection, conversation: i64, sees: &Services) -> rusqlite::Result<Vec<Note>> {
    let sql = format!(
        "{NOTES} WHERE n.conversation = ?1 AND (?2 IS NULL OR n.service IN (SELECT value FROM json_each(?2))) ORDER BY n.id"
    );
    connection.prepare_cached(&sql)?.query_map(params![conversation, sees.bound()], note)?.collect()
}

/// One of them, where its service may be seen.
pub(super) fn one(connection: &Connection, id: i64, sees: &Services) -> rusqlite::Result<Option<Note>> {
    let sql = format!("{NOTES} WHERE n.id = ?1 AND (?2 IS NULL OR n.service IN (SELECT value FROM json_each(?2)))");
    connection.prepare_cached(&sql)?.query_row(params![id, sees.bound()], note).optional()
}

/// Writes one; gives its number.
pub(super) fn add(
    connection: &Connection,
    (conversation, service): (i64, ServiceId),
    writer: i64,
    text: &str,
    now: i64,
) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("INSERT INTO notes (conversation, service, person, made_at, text) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![conversation, service, writer, now, text])?;
    Ok(connection.last_insert_rowid())
}

/// Takes the text out of one of the writer's; gives its service, where it had one.
pub(super) fn remove(
    connection: &Connection,
    conversation: i64,
    id: i64,
    writer: i64,
    now: i64,
) -> rusqlite::Result<Option<ServiceId>> {
    connection
        .prepare_cached(
            "UPDATE notes SET text = NULL, removed_at = ?4
             WHERE id = ?1 AND conversation = ?2 AND person = ?3 AND text IS NOT NULL RETURNING service",
        )?
        .query_row(params![id, conversation, writer, now], |row| row.get(0).map(ServiceId))
        .optional()
}

/// Those on the conversation that a text belongs to, with its service, are gone: they may say what it said.
pub(super) fn forget_about(connection: &Connection, text: &Kept) -> rusqlite::Result<()> {
    let Some(person) = text.callback.match_key() else { return Ok(()) };
    connection
        .prepare_cached(
            "DELETE FROM notes WHERE service = ?2
               AND conversation = (SELECT id FROM conversations WHERE person_key = ?1)",
        )?
        .execute(params![person.as_str(), text.service])
        .map(drop)
}
