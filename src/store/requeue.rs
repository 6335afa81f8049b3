//! Reading what stands in quarantine again, as after an upgrade: what is understood now becomes a callback that came when it
//! came, and leaves quarantine in the same transaction; what is not stays, with today's reason.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::arrivals::{Arrival, Ledger};
use super::envelope::{Envelope, Origin, Stored};
use super::key::Key;
use super::record::{self, By, Did, Entry};
use super::{ServiceId, Services, Store, StoreError, holds};
use crate::notify::{Callback, Unreadable};

/// What became of a body that was read again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Requeued {
    /// It is a callback now, with this id of Notify's.
    Understood {
        /// The id that its page stands at.
        notify_id: String,
    },
    /// It stays, for this reason.
    Stays {
        /// A sentence for a manager.
        reason: String,
    },
}

/// One body with what is known of it.
struct Body {
    envelope: Envelope,
    times: i64,
    last_arrived_at: Option<i64>,
    reason: String,
    is_compressed: bool,
    bytes: Vec<u8>,
}

impl Store {
    /// Reads one body in quarantine again; `None` where it is not there.
    ///
    /// # Errors
    /// When it cannot be written: then it stays as it was.
    pub async fn requeue(
        &self,
        sees: &Services,
        arrival: i64,
        by: By,
        now: i64,
    ) -> Result<Option<Requeued>, StoreError> {
        let (sees, key) = (sees.clone(), self.inner.key.clone());
        let work = move |connection: &Connection, ledger: &mut Ledger| {
            let Some(body) = body(connection, arrival)?.filter(|body| sees.allow(body.envelope.service)) else {
                return Ok(None);
            };
            let entry = Entry::new(by, Did::ReadAgain, now).of(format!("quarantine {arrival}"));
            record::append(connection, &key, &entry)?;
            requeue(connection, ledger, &key, arrival, body).map(Some)
        };
        self.inner.writer.write_with_ledger(work).await
    }
}

fn body(connection: &Connection, arrival: i64) -> rusqlite::Result<Option<Body>> {
    let read = |row: &Row<'_>| {
        let envelope = Envelope {
            service: ServiceId(row.get(0)?),
            token: None,
            origin: Origin::from_code(row.get(1)?),
            arrived_at: row.get(2)?,
            path: row.get(6)?,
        };
        let (times, last_arrived_at, reason) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let is_compressed = row.get::<_, Option<String>>(7)?.is_some();
        Ok(Body { envelope, times, last_arrived_at, reason, is_compressed, bytes: row.get(8)? })
    };
    connection
        .prepare_cached(
            "SELECT service, origin, arrived_at, times, last_arrived_at, reason, path, content_encoding, body
             FROM quarantine WHERE arrival = ?1",
        )?
        .query_row([arrival], read)
        .optional()
}

fn requeue(
    connection: &Connection,
    ledger: &mut Ledger,
    key: &Key,
    arrival: i64,
    body: Body,
) -> rusqlite::Result<Requeued> {
    let read = if body.is_compressed { Err(Unreadable::Compressed) } else { Callback::read(&body.bytes) };
    let callback = match read {
        Ok(callback) => callback,
        Err(unreadable) => {
            let reason = unreadable.to_string();
            if reason != body.reason {
                let sql = "UPDATE quarantine SET reason = ?2 WHERE arrival = ?1";
                connection.prepare_cached(sql)?.execute(params![arrival, reason])?;
            }
            return Ok(Requeued::Stays { reason });
        }
    };
    let notify_id = callback.notify_id().to_owned();
    let kept = [Arrival::callback(body.envelope, callback)];
    for stored in ledger.keep_all(connection, key, kept.iter())? {
        if stored == Stored::Erased && holds::is_held(connection, arrival)? {
            return Ok(Requeued::Stays { reason: "It is of a message that was erased, and a hold keeps it.".into() });
        }
        // What was erased meanwhile leaves quarantine, and is kept nowhere.
        let (Stored::New(number) | Stored::Again(number)) = stored else { continue };
        // It came as often as it came.
        connection
            .prepare_cached(
                "UPDATE callbacks SET times = times + ?2 - 1,
                     last_arrived_at = nullif(max(coalesce(last_arrived_at, arrived_at), coalesce(?3, 0)),
                         CASE WHEN times + ?2 - 1 > 1 THEN NULL ELSE arrived_at END)
                 WHERE arrival = ?1",
            )?
            .execute(params![number, body.times, body.last_arrived_at])?;
        holds::pass_on(connection, arrival, number)?;
    }
    connection.prepare_cached("DELETE FROM quarantine WHERE arrival = ?1")?.execute([arrival])?;
    Ok(Requeued::Understood { notify_id })
}
