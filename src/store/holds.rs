//! Holds: what is kept whatever its age and whoever asks for it to be erased. What a hold keeps stands by its number in a small table,
//! which removal asks, so that it stays as fast as without; what arrives joins in the transaction that stores it.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::arrivals::Ready;
use super::erasing::{Asked, own_id};
use super::index::gone::STRETCH;
use super::key::Key;
use super::progress::{Progress, Stage};
use super::record::{self, By, Did, Entry};
use super::removal::{self, CAME_AT};
use super::row::id_value;
use super::subject::Gathered;
use super::{Limits, ServiceId, Services, Store, StoreError};
use crate::notify::Kind;
use crate::notify::recipient::reference_key;
use crate::notify::subject::Subject;

/// Numbers that are noted, or let go, in one step.
const AT_ONCE: usize = 512;

/// A hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Its number.
    pub id: i64,
    /// What it keeps.
    pub subject: Subject,
    /// Whether it keeps only what some services brought.
    pub is_limited: bool,
    /// Why.
    pub reason: String,
    /// Since when, in microseconds since 1970 UTC.
    pub added_at: i64,
    /// Callbacks and bodies in quarantine that it keeps now.
    pub held: u64,
    /// Whether all that was there is among them: where not, adding it was stopped half-way.
    pub is_whole: bool,
}

/// A hold that was added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HoldAdded {
    /// Its number.
    pub id: i64,
    /// Callbacks and bodies that it keeps.
    pub held: u64,
    /// Whether somebody asked for it to stop before it was whole. What arrives joins it all the same.
    pub is_stopped: bool,
}

impl Store {
    /// Adds a hold on what these services brought; one that was stopped half-way goes on where its subject and reason are the same.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn add_hold(
        &self,
        sees: &Services,
        subject: &Subject,
        asked: Asked,
        progress: &Progress,
    ) -> Result<HoldAdded, StoreError> {
        let (services, theirs, key) = (sees.bound(), subject.clone(), self.inner.key.clone());
        // What arrives from now on joins it.
        let id = self.write(move |connection| begin(connection, &key, &theirs, services.as_deref(), &asked)).await?;
        let (store, sees, subject, looking) = (self.clone(), sees.clone(), subject.clone(), progress.clone());
        let gather = move || store.gather(&sees, &subject, &looking);
        let gathered = match tokio::task::spawn_blocking(gather).await.map_err(|_| StoreError::Closed)? {
            Err(StoreError::Stopped) => return Ok(HoldAdded { id, held: 0, is_stopped: true }),
            gathered => gathered?,
        };
        let arrivals = numbers(&gathered);
        for (done, some) in arrivals.chunks(AT_ONCE).enumerate() {
            progress.is_at(Stage::Holding, (done * AT_ONCE) as u64, arrivals.len() as u64);
            if progress.is_stopped() {
                return Ok(HoldAdded { id, held: (done * AT_ONCE) as u64, is_stopped: true });
            }
            let some = some.to_vec();
            self.write(move |connection| some.iter().try_for_each(|arrival| note(connection, id, *arrival))).await?;
        }
        let held = self
            .write(move |connection| {
                connection.execute("UPDATE holds SET is_whole = 1 WHERE id = ?1", [id])?;
                count(connection, id)
            })
            .await?;
        Ok(HoldAdded { id, held, is_stopped: false })
    }

    /// The holds that keep nothing but what these services brought, the oldest first.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn holds(&self, sees: &Services) -> Result<Vec<Hold>, StoreError> {
        let sees = sees.clone();
        self.read(move |connection| {
            let all = all(connection)?.into_iter().filter(|held| held.is_seen_by(&sees));
            let hold = |held: Held| {
                let (id, is_limited) = (held.id, held.services != Services::All);
                let Held { subject, reason, added_at, is_whole, .. } = held;
                Ok(Hold { id, subject, is_limited, reason, added_at, held: count(connection, id)?, is_whole })
            };
            all.map(hold).collect()
        })
        .await
    }

    /// Removes a hold; `None` where there is none of that number among those that may be seen. What it kept goes by its age again.
    ///
    /// # Errors
    /// When it cannot be written: then the hold is there, and may keep fewer. Removing it again goes on.
    pub async fn remove_hold(&self, sees: &Services, id: i64, by: By, now: i64) -> Result<Option<u64>, StoreError> {
        let (sees, key) = (sees.clone(), self.inner.key.clone());
        let is_there = move |connection: &Connection| {
            let held = all(connection)?.into_iter().find(|held| held.id == id && held.is_seen_by(&sees));
            let Some(held) = held else { return Ok(false) };
            let entry = Entry::new(by, Did::RemovedHold, now).of(format!("hold {id}")).about(Some(held.subject.key()));
            record::append(connection, &key, &entry.with(held.reason)).map(|()| true)
        };
        if !self.write(is_there).await? {
            return Ok(None);
        }
        let mut let_go = 0;
        loop {
            let some = self.write(move |connection| let_some_go(connection, id)).await?;
            let_go += some;
            if some == 0 {
                return Ok(Some(let_go));
            }
        }
    }

    /// How many that are as old are kept by a hold.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn count_held(&self, limits: Limits) -> Result<u64, StoreError> {
        self.read(move |connection| older(connection, limits)).await
    }
}

fn numbers(gathered: &Gathered) -> Vec<i64> {
    let callbacks = gathered.messages.iter().flat_map(|message| &message.arrivals);
    callbacks.chain(&gathered.quarantined).copied().collect()
}

fn sort(subject: &Subject) -> i64 {
    match subject {
        Subject::Person(_) => 1,
        Subject::Reference(_) => 2,
    }
}

fn begin(
    connection: &Connection,
    key: &Key,
    subject: &Subject,
    services: Option<&str>,
    asked: &Asked,
) -> rusqlite::Result<i64> {
    let bound = params![sort(subject), subject.key(), services, asked.reason, asked.at];
    let same =
        "SELECT id FROM holds WHERE sort = ?1 AND key = ?2 AND services IS ?3 AND reason = ?4 AND added_at <= ?5";
    let mut find = connection.prepare(same)?;
    if let Some(row) = find.query(bound)?.next()? {
        return row.get(0);
    }
    let add = "INSERT INTO holds (sort, key, services, reason, added_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.execute(add, bound)?;
    let id = connection.last_insert_rowid();
    let entry = Entry::new(asked.by.clone(), Did::AddedHold, asked.at).of(format!("hold {id}"));
    record::append(connection, key, &entry.about(Some(subject.key())).with(asked.reason.as_str()))?;
    Ok(id)
}

/// Notes that a hold keeps an arrival, if it is there.
fn note(connection: &Connection, hold: i64, arrival: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO held_arrivals (arrival, hold)
             SELECT ?1, id FROM holds WHERE id = ?2
                 AND (EXISTS (SELECT 1 FROM callbacks WHERE arrival = ?1) OR EXISTS (SELECT 1 FROM quarantine WHERE arrival = ?1))
             ON CONFLICT (arrival, hold) DO NOTHING",
        )?
        .execute([arrival, hold])
        .map(drop)
}

fn count(connection: &Connection, hold: i64) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM held_arrivals WHERE hold = ?1";
    connection.prepare_cached(sql)?.query_row([hold], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// Lets some of what a hold keeps go, and the hold with the last; gives how many.
fn let_some_go(connection: &Connection, hold: i64) -> rusqlite::Result<u64> {
    let mut find = connection.prepare_cached("SELECT arrival FROM held_arrivals WHERE hold = ?1 LIMIT ?2")?;
    let arrivals = find.query_map(params![hold, AT_ONCE], |row| row.get::<_, i64>(0))?;
    let arrivals = arrivals.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut stretches: Vec<i64> = arrivals.iter().map(|arrival| arrival.div_euclid(STRETCH)).collect();
    stretches.dedup();
    for arrival in &arrivals {
        let sql = "DELETE FROM held_arrivals WHERE arrival = ?1 AND hold = ?2";
        connection.prepare_cached(sql)?.execute([*arrival, hold])?;
    }
    let mapped: i64 = connection.query_row("SELECT mapped FROM arrivals", [], |row| row.get(0))?;
    // Of a stretch that is not noted yet the rest will be.
    for stretch in stretches.into_iter().filter(|stretch| stretch * STRETCH < mapped) {
        removal::note_rest(connection, stretch)?;
    }
    if arrivals.is_empty() {
        connection.execute("DELETE FROM holds WHERE id = ?1", [hold])?;
    }
    Ok(arrivals.len() as u64)
}

/// Whether a hold keeps it.
pub(super) fn is_held(connection: &Connection, arrival: i64) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM held_arrivals WHERE arrival = ?1")?.exists([arrival])
}

/// Whether a hold keeps a callback of the message with this id.
pub(super) fn is_held_of(connection: &Connection, notify_id: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM held_arrivals h JOIN callbacks c ON c.arrival = h.arrival WHERE c.notify_id = ?1";
    connection.prepare_cached(sql)?.exists([id_value(notify_id)])
}

/// The ids of messages of which a hold keeps a body in quarantine.
pub(super) fn ids_of_bodies(connection: &Connection) -> rusqlite::Result<HashSet<String>> {
    let sql = "SELECT body FROM quarantine WHERE arrival IN (SELECT arrival FROM held_arrivals)";
    let mut find = connection.prepare_cached(sql)?;
    let bodies = find.query_map([], |row| Ok(own_id(row.get_ref(0)?.as_blob().unwrap_or_default())))?;
    bodies.filter_map(Result::transpose).collect()
}

/// A body in quarantine became a callback: what kept it keeps that.
pub(super) fn pass_on(connection: &Connection, from: i64, to: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE OR IGNORE held_arrivals SET arrival = ?2 WHERE arrival = ?1")?
        .execute([from, to])?;
    connection.prepare_cached("DELETE FROM held_arrivals WHERE arrival = ?1")?.execute([from]).map(drop)
}

/// How many of what is held are older than it is to be kept.
pub(super) fn older(connection: &Connection, limits: Limits) -> rusqlite::Result<u64> {
    let callbacks = format!(
        "SELECT count(*) FROM callbacks WHERE arrival IN (SELECT arrival FROM held_arrivals)
         AND {CAME_AT} < CASE kind WHEN ?1 THEN ?3 ELSE ?2 END"
    );
    let bound = params![Kind::ReceivedText.code(), limits.receipts, limits.messages];
    let callbacks: i64 = connection.query_row(&callbacks, bound, |row| row.get(0))?;
    let bodies =
        "SELECT count(*) FROM quarantine WHERE arrival IN (SELECT arrival FROM held_arrivals) AND arrived_at < ?1";
    let bodies: i64 = connection.query_row(bodies, [limits.quarantine()], |row| row.get(0))?;
    Ok((callbacks + bodies).unsigned_abs())
}

/// A hold as its row says it.
struct Held {
    id: i64,
    subject: Subject,
    services: Services,
    reason: String,
    added_at: i64,
    is_whole: bool,
}

impl Held {
    fn is_seen_by(&self, sees: &Services) -> bool {
        match (&self.services, sees) {
            (_, Services::All) => true,
            (Services::All, Services::Only(_)) => false,
            (Services::Only(kept), Services::Only(_)) => kept.iter().all(|service| sees.allow(*service)),
        }
    }
}

fn all(connection: &Connection) -> rusqlite::Result<Vec<Held>> {
    let sql = "SELECT id, sort, key, services, reason, added_at, is_whole FROM holds ORDER BY id";
    let mut find = connection.prepare_cached(sql)?;
    let rows = find.query_map([], |row| {
        let (sort, key): (i64, String) = (row.get(1)?, row.get(2)?);
        let services: Option<String> = row.get(3)?;
        let numbers = |list: String| serde_json::from_str::<Vec<i64>>(&list).unwrap_or_default();
        let services =
            services.map_or(Services::All, |list| Services::Only(numbers(list).into_iter().map(ServiceId).collect()));
        let subject = match sort {
            2 => Subject::of_reference(&key),
            _ => Subject::of_email(&key).or_else(|| Subject::of_number(&key)),
        };
        // A key stands for itself.
        let subject = subject.unwrap_or(Subject::Reference(key));
        let (id, reason, added_at, is_whole) = (row.get(0)?, row.get(4)?, row.get(5)?, row.get(6)?);
        Ok(Held { id, subject, services, reason, added_at, is_whole })
    })?;
    rows.collect()
}

/// What one transaction knows of them.
#[derive(Default)]
pub(super) struct Holds {
    by_key: HashMap<Subject, Vec<(i64, Services)>>,
}

impl Holds {
    /// Reads them once: in most stores there are none, and nowhere many.
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<Holds> {
        let mut holds = Holds::default();
        if !connection.prepare_cached("SELECT 1 FROM holds LIMIT 1")?.exists([])? {
            return Ok(holds);
        }
        for held in all(connection)? {
            holds.by_key.entry(held.subject).or_default().push((held.id, held.services));
        }
        Ok(holds)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// A callback has been stored: it joins the holds on its person, on its reference and on what came before for its message.
    pub(super) fn join(
        &self,
        connection: &Connection,
        ready: &Ready,
        related: &[i64],
        number: i64,
    ) -> rusqlite::Result<()> {
        let person = ready.keys.person.clone().map(Subject::Person);
        let reference = ready.callback.reference().map(|reference| Subject::Reference(reference_key(reference)));
        for subject in [person, reference].into_iter().flatten() {
            for (hold, services) in self.by_key.get(&subject).into_iter().flatten() {
                if services.allow(ready.envelope.service) {
                    note(connection, *hold, number)?;
                }
            }
        }
        for other in related.iter().filter(|other| **other != number) {
            // Another id may look alike from afar.
            connection
                .prepare_cached(
                    "INSERT INTO held_arrivals (arrival, hold)
                     SELECT ?2, h.hold FROM held_arrivals h JOIN callbacks c ON c.arrival = h.arrival
                     WHERE h.arrival = ?1 AND c.notify_id = ?3 AND c.service = ?4
                     ON CONFLICT (arrival, hold) DO NOTHING",
                )?
                .execute(params![other, number, ready.columns.notify_id, ready.envelope.service])?;
        }
        Ok(())
    }

    /// A body has been put into quarantine: it joins the holds on whoever it tells of.
    pub(super) fn join_body(
        &self,
        connection: &Connection,
        service: ServiceId,
        body: &[u8],
        number: i64,
    ) -> rusqlite::Result<()> {
        for (subject, holds) in &self.by_key {
            let holds = holds.iter().filter(|(_, services)| services.allow(service)).collect::<Vec<_>>();
            if !holds.is_empty() && subject.is_in(body) {
                holds.iter().try_for_each(|(hold, _)| note(connection, *hold, number))?;
            }
        }
        Ok(())
    }
}
