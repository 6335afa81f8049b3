//! The record followed while the server runs: from where it was followed to before, or from its beginning.

use rusqlite::Connection;

use super::kept::{self, Known};
use super::verify::{Broken, Fault, Faults, Head, STRETCH, Walk, compare};
use super::{Ends, key_name};
use crate::store::key::Key;
use crate::store::{Store, StoreError};

/// How far a record was followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain(Head);

impl Chain {
    /// The last row.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.0
    }
}

impl Store {
    /// Follows the record from where it was followed to before, or from its beginning: then what is kept of an earlier run is compared.
    ///
    /// # Errors
    /// When the store cannot be read. What is wrong with the record is the inner error.
    pub async fn follow_record(&self, followed: Option<Chain>) -> Result<Result<Chain, Broken>, StoreError> {
        let known = if let Some(Chain(head)) = followed {
            Known::Followed(head)
        } else {
            let store = self.clone();
            let read = move || kept::read(store.inner.folder.path(), &store.inner.key);
            tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Closed)?
        };
        let mut walked = None;
        loop {
            let (key, known, from) = (self.inner.key.clone(), known.clone(), walked.take());
            match self.read(move |connection| step(connection, &key, &known, from)).await? {
                Step::More(way) => walked = Some(way),
                Step::Through(chain) => return Ok(chain),
            }
        }
    }
}

/// The last row that was read, and where rows under another key file begin that go up to it.
struct Way {
    head: Head,
    strange: Option<i64>,
}

enum Step {
    More(Way),
    Through(Result<Chain, Broken>),
}

/// Some rows, each step in a read of its own, so that a long record holds no read open.
fn step(connection: &Connection, key: &Key, known: &Known, from: Option<Way>) -> rusqlite::Result<Step> {
    let Some((found, seal)) = Ends::read(connection)? else {
        return Ok(Step::Through(Err(Broken(vec![Fault::None]))));
    };
    let mut faults = Faults::default();
    let sealed = found.sealed_with(key, &seal);
    if sealed.is_none() {
        faults.add(Fault::Ends);
    }
    let ends = sealed.unwrap_or(found);
    let way = if let Some(way) = from {
        way
    } else {
        compare_known(connection, key, known, &ends, &mut faults)?;
        let beginning = Head { id: ends.first - 1, mac: ends.before.clone() };
        let head = match known {
            Known::Followed(head) if head.id > beginning.id => head.clone(),
            _ => beginning,
        };
        Way { head, strange: None }
    };
    // Rows under another key file stand in the record of a store that was restored elsewhere, up to the row that says so, and never
    // after one that this key's server has followed.
    let strange_until = known.head().map_or(i64::MAX, |head| head.id);
    let keys = std::slice::from_ref(key);
    let Way { head: Head { id, mac }, strange } = way;
    let mut walk = Walk { keys, expected: id + 1, before: mac, rows: 0, strange, strange_until, faults };
    let more = walk.stretch(connection, STRETCH)?;
    if !more {
        walk.account_for_strange(false);
    }
    let Walk { expected, before, strange, mut faults, .. } = walk;
    let head = Head { id: expected - 1, mac: before };
    if !more && head.id < ends.last {
        faults.add(Fault::CutOff(head.id, ends.last));
    }
    if !more && (head.id > ends.last || head.id == ends.last && head.mac != ends.head) {
        faults.add(Fault::Added(ends.last));
    }
    Ok(match faults.0 {
        faults if !faults.is_empty() => Step::Through(Err(Broken(faults))),
        _ if more => Step::More(Way { head, strange }),
        _ => Step::Through(Ok(Chain(head))),
    })
}

/// Whether the row up to which the record was followed is there, and still under this key.
fn compare_known(
    connection: &Connection,
    key: &Key,
    known: &Known,
    ends: &Ends,
    faults: &mut Faults,
) -> rusqlite::Result<()> {
    match known {
        Known::Changed => faults.add(Fault::HeadChanged),
        Known::Nothing if ends.is_followed => faults.add(Fault::HeadGone),
        _ => (),
    }
    let Some(head) = known.head().filter(|head| head.id >= ends.first) else { return Ok(()) };
    compare(connection, head, ends.last, faults)?;
    let mut other = connection.prepare_cached("SELECT 1 FROM audit WHERE id = ?1 AND key <> ?2")?;
    if other.exists(rusqlite::params![head.id, key_name(key)])? {
        faults.add(Fault::OtherHead(head.id));
    }
    Ok(())
}
