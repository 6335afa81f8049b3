//! Flags on received texts: kept with the words that say why, and summed up for each conversation, so that the inbox finds what is
//! flagged without reading through what is not.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::Kept;
use crate::flagging::{Flag, Hit};

/// What became of a text's flags.
#[derive(Default)]
pub(super) struct Changed {
    /// Those that it did not have before.
    pub(super) new: Vec<Flag>,
    /// Those that it has no more.
    pub(super) gone: Vec<Flag>,
}

/// Replaces the flags of a text.
pub(super) fn set(connection: &Connection, kept: &Kept, hits: &[Hit]) -> rusqlite::Result<Changed> {
    let before = of(connection, kept.arrival)?;
    if hits.is_empty() && before.is_empty() {
        return Ok(Changed::default());
    }
    connection.prepare_cached("DELETE FROM flags WHERE arrival = ?1")?.execute([kept.arrival])?;
    let conversation = conversation(connection, kept)?;
    for hit in hits {
        let sql = "INSERT INTO flags (arrival, flag, said, conversation, service) VALUES (?1, ?2, ?3, ?4, ?5)";
        let bound = params![kept.arrival, hit.flag.value(), hit.said, conversation, kept.service];
        connection.prepare_cached(sql)?.execute(bound)?;
    }
    if let Some(conversation) = conversation {
        sum_up(connection, conversation, kept.service.0)?;
    }
    let only_in = |these: &[Hit], others: &[Hit]| -> Vec<Flag> {
        let is_other = |flag: &Flag| others.iter().any(|hit| hit.flag == *flag);
        these.iter().map(|hit| hit.flag).filter(|flag| !is_other(flag)).collect()
    };
    Ok(Changed { new: only_in(hits, &before), gone: only_in(&before, hits) })
}

fn conversation(connection: &Connection, kept: &Kept) -> rusqlite::Result<Option<i64>> {
    let Some(person) = kept.callback.match_key() else { return Ok(None) };
    let sql = "SELECT id FROM conversations WHERE person_key = ?1";
    connection.prepare_cached(sql)?.query_row([person.as_str()], |row| row.get(0)).optional()
}

/// Notes in a conversation which of its texts is the newest that is flagged so.
fn sum_up(connection: &Connection, conversation: i64, service: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE conversation_services SET
                 danger = coalesce((SELECT max(arrival) FROM flags
                     WHERE conversation = ?1 AND service = ?2 AND flag = 'danger'), 0),
                 stop = coalesce((SELECT max(arrival) FROM flags
                     WHERE conversation = ?1 AND service = ?2 AND flag = 'stop'), 0),
                 wrong_person = coalesce((SELECT max(arrival) FROM flags
                     WHERE conversation = ?1 AND service = ?2 AND flag = 'wrong-person'), 0)
             WHERE conversation = ?1 AND service = ?2",
        )?
        .execute(params![conversation, service])
        .map(drop)
}

/// Why a text is flagged, the most urgent first.
pub(super) fn of(connection: &Connection, arrival: i64) -> rusqlite::Result<Vec<Hit>> {
    let mut find = connection.prepare_cached("SELECT flag, said FROM flags WHERE arrival = ?1")?;
    let hit = |row: &Row<'_>| Ok(Flag::of(&row.get::<_, String>(0)?).map(|flag| (flag, row.get(1))));
    let mut hits = Vec::new();
    for hit in find.query_map([arrival], hit)? {
        if let Some((flag, said)) = hit? {
            hits.push(Hit { flag, said: said? });
        }
    }
    hits.sort_by_key(|hit| hit.flag);
    Ok(hits)
}

/// The row of an arrival goes, or what it says does.
pub(super) fn forget(connection: &Connection, arrival: i64) -> rusqlite::Result<()> {
    let mut remove =
        connection.prepare_cached("DELETE FROM flags WHERE arrival = ?1 RETURNING conversation, service")?;
    let was_of = remove.query_map([arrival], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let was_of = was_of.collect::<rusqlite::Result<Vec<(Option<i64>, Option<i64>)>>>()?;
    match was_of.first() {
        Some((Some(conversation), Some(service))) => sum_up(connection, *conversation, *service),
        _ => Ok(()),
    }
}
