//! What callbacks are found by: Notify's id, the reference, the person. An entry is not made with its callback, because ids and
//! people come in no order and each would touch another page: the writer makes many at once, in the order of their keys. Until
//! then the newest callbacks are looked through, which is quick because they are few.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ToSql, params};

use super::row;
use crate::notify::Callback;
use crate::notify::recipient::reference_key;

/// So many callbacks wait for their entries under load. More would make a search slower, fewer would touch more pages.
const WAITING: usize = 32 * 1024;
/// So many wait where nothing was made for a while: few callbacks come.
const WAITING_AT_EASE: usize = 256;
/// Entries made in one transaction, so that no callback waits long for them.
const AT_ONCE: usize = 1024;

/// What a callback can be found by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Field {
    NotifyId = 1,
    Reference = 2,
    Person = 3,
}

impl Field {
    fn column(self) -> &'static str {
        match self {
            Field::NotifyId => "notify_id",
            Field::Reference => "reference_key",
            Field::Person => "person_key",
        }
    }
}

/// How a key is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Compare {
    /// With `:key`.
    Equal,
    /// Longer than `:key` and below `:past`.
    Longer,
}

/// A subquery for the arrivals of all callbacks whose field compares so, with or without an entry yet. A query that selects the
/// arrival first and says `ORDER BY 1` reads them in order and stops early; `SQLite` sorts them all for any other.
pub(super) fn arrivals(field: Field, compare: Compare) -> String {
    let meets = |column: &str| match compare {
        Compare::Equal => format!("{column} = :key"),
        Compare::Longer => format!("{column} > :key AND {column} < :past"),
    };
    let number = field as i64;
    format!(
        "(SELECT arrival FROM callback_index
            WHERE field = {number} AND {} AND arrival < (SELECT indexed FROM arrivals)
          UNION ALL
          SELECT arrival FROM callbacks
            WHERE {} AND arrival >= (SELECT indexed FROM arrivals))",
        meets("key"),
        meets(field.column())
    )
}

/// What a callback is found by, worked out before it waits for the writer.
pub(super) struct Keys {
    pub(super) notify_id: Key,
    pub(super) reference: Option<Key>,
    pub(super) person: Option<Key>,
}

impl Keys {
    pub(super) fn of(callback: &Callback) -> Keys {
        Keys {
            notify_id: Key::of_id(callback.notify_id()),
            reference: callback.reference().map(|reference| Key::Text(reference_key(reference).into())),
            person: callback.match_key().map(|person| Key::Text(person.as_str().into())),
        }
    }

    fn entries(&self, arrival: i64) -> impl Iterator<Item = Entry> {
        let keys = [
            (Field::NotifyId, Some(&self.notify_id)),
            (Field::Reference, self.reference.as_ref()),
            (Field::Person, self.person.as_ref()),
        ];
        keys.into_iter().filter_map(move |(field, key)| Some((field, key?.clone(), arrival)))
    }
}

/// A key as the store compares it: texts before bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    Text(Box<str>),
    /// A UUID written the plain way.
    Bytes(Box<[u8]>),
}

impl Key {
    fn of_id(id: &str) -> Key {
        match row::id_value(id) {
            Value::Blob(bytes) => Key::Bytes(bytes.into()),
            _ => Key::Text(id.into()),
        }
    }

    fn read(value: ValueRef<'_>) -> Option<Key> {
        match value {
            ValueRef::Text(text) => Some(Key::Text(String::from_utf8_lossy(text).into())),
            ValueRef::Blob(bytes) => Some(Key::Bytes(bytes.into())),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
        }
    }
}

impl ToSql for Key {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Key::Text(text) => ToSqlOutput::from(text.as_ref()),
            Key::Bytes(bytes) => ToSqlOutput::from(bytes.as_ref()),
        })
    }
}

/// An entry of the index, in the index's order.
type Entry = (Field, Key, i64);

/// The writer's side: which callbacks have no entries yet, and how far the making of entries is.
#[derive(Default)]
pub(super) struct Indexing {
    known: Option<Known>,
}

struct Known {
    next: i64,
    indexed: i64,
    waiting: Waiting,
    making: Option<Making>,
}

/// Callbacks without entries.
#[derive(Default)]
struct Waiting {
    entries: Vec<Entry>,
    ids: Ids,
    callbacks: usize,
}

/// A hash of each id, and the arrival: enough to say which callbacks are worth a look.
type Ids = BTreeSet<(u64, i64)>;

/// Entries on their way into the index.
struct Making {
    /// `None` while they are put in order.
    entries: Option<std::vec::IntoIter<Entry>>,
    unsorted: Arc<Mutex<Vec<Entry>>>,
    /// Puts them in order beside the writer, which others wait for.
    sorting: Option<JoinHandle<()>>,
    ids: Ids,
    /// Every callback before this arrival has its entries when all are made.
    until: i64,
}

impl Indexing {
    /// Begins a transaction; gives the number of the next arrival. Looks again where another process has written meanwhile.
    pub(super) fn begin(&mut self, connection: &Connection) -> rusqlite::Result<i64> {
        let (next, indexed) = connection
            .prepare_cached("SELECT next, indexed FROM arrivals")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if self.known.as_ref().is_none_or(|known| (known.next, known.indexed) != (next, indexed)) {
            self.known = Some(Known { next, indexed, waiting: Waiting::read(connection, indexed)?, making: None });
        }
        Ok(next)
    }

    /// The transaction was not committed, so what is known may be wrong.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    /// Callbacks that may have this id and may have no entries yet.
    pub(super) fn waiting_with(&self, notify_id: &Key) -> Vec<i64> {
        let hash = hashed(notify_id);
        let making = self.known.iter().filter_map(|known| known.making.as_ref()).map(|making| &making.ids);
        let ids = self.known.iter().map(|known| &known.waiting.ids).chain(making);
        ids.flat_map(|ids| ids.range((hash, i64::MIN)..=(hash, i64::MAX))).map(|(_, arrival)| *arrival).collect()
    }

    pub(super) fn added(&mut self, keys: &Keys, arrival: i64) {
        if let Some(known) = &mut self.known {
            known.waiting.add(keys.entries(arrival));
        }
    }

    /// Writes down the number of the next arrival.
    pub(super) fn end(&mut self, connection: &Connection, next: i64) -> rusqlite::Result<()> {
        connection.prepare_cached("UPDATE arrivals SET next = ?1")?.execute([next])?;
        if let Some(known) = &mut self.known {
            known.next = next;
        }
        Ok(())
    }

    pub(super) fn is_making(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.making.is_some())
    }

    pub(super) fn is_behind(&self) -> bool {
        self.known.as_ref().is_none_or(|known| known.making.is_some() || known.waiting.callbacks > 0)
    }

    /// Makes some entries, once enough callbacks wait for theirs: few where the server is at ease. Whether it made any.
    pub(super) fn step(&mut self, connection: &Connection, at_ease: bool) -> rusqlite::Result<bool> {
        let Some(known) = &mut self.known else { return Ok(false) };
        let enough = if at_ease { WAITING_AT_EASE } else { WAITING };
        if known.waiting.callbacks >= enough {
            known.begin_making();
        }
        let making = known.making.is_some();
        known.make(connection)?;
        Ok(making)
    }

    /// Makes some entries for whatever waits.
    pub(super) fn catch_up(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let Some(known) = &mut self.known else { return Ok(()) };
        known.begin_making();
        known.make(connection)
    }
}

impl Known {
    fn begin_making(&mut self) {
        if self.making.is_none() && self.waiting.callbacks > 0 {
            let Waiting { entries, ids, .. } = std::mem::take(&mut self.waiting);
            let unsorted = Arc::new(Mutex::new(entries));
            let theirs = unsorted.clone();
            let sorting = std::thread::Builder::new().name("store-index".into()).spawn(move || sort(&theirs));
            if sorting.is_err() {
                sort(&unsorted);
            }
            self.making = Some(Making { entries: None, unsorted, sorting: sorting.ok(), ids, until: self.next });
        }
    }

    fn make(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let Some(making) = &mut self.making else { return Ok(()) };
        let Some(entries) = making.in_order() else { return Ok(()) };
        // Entries of a making that was cut short are there already.
        let mut make = connection.prepare_cached(
            "INSERT INTO callback_index (field, key, arrival) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?;
        for (field, key, arrival) in entries.take(AT_ONCE) {
            make.execute(params![field as i64, key, arrival])?;
        }
        if entries.len() == 0 {
            self.indexed = making.until;
            connection.prepare_cached("UPDATE arrivals SET indexed = ?1")?.execute([self.indexed])?;
            self.making = None;
        }
        Ok(())
    }
}

impl Making {
    /// The entries, as soon as they are in order.
    fn in_order(&mut self) -> Option<&mut std::vec::IntoIter<Entry>> {
        if self.entries.is_none() && self.sorting.as_ref().is_none_or(JoinHandle::is_finished) {
            let entries = std::mem::take(&mut *self.unsorted.lock().unwrap_or_else(PoisonError::into_inner));
            self.entries = Some(entries.into_iter());
        }
        self.entries.as_mut()
    }
}

fn sort(entries: &Mutex<Vec<Entry>>) {
    entries.lock().unwrap_or_else(PoisonError::into_inner).sort_unstable();
}

impl Waiting {
    fn add(&mut self, entries: impl Iterator<Item = Entry>) {
        for entry in entries {
            if let (Field::NotifyId, id, arrival) = &entry {
                self.ids.insert((hashed(id), *arrival));
            }
            self.entries.push(entry);
        }
        self.callbacks += 1;
    }

    fn read(connection: &Connection, indexed: i64) -> rusqlite::Result<Waiting> {
        let sql = "SELECT arrival, notify_id, reference_key, person_key FROM callbacks WHERE arrival >= ?1";
        let mut waiting = Waiting::default();
        let mut find = connection.prepare_cached(sql)?;
        let mut rows = find.query([indexed])?;
        while let Some(row) = rows.next()? {
            let arrival = row.get(0)?;
            let mut entries = Vec::new();
            for (field, column) in [(Field::NotifyId, 1), (Field::Reference, 2), (Field::Person, 3)] {
                entries.extend(Key::read(row.get_ref(column)?).map(|key| (field, key, arrival)));
            }
            waiting.add(entries.into_iter());
        }
        Ok(waiting)
    }
}

fn hashed(key: &Key) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::open::{MIGRATIONS, migrate};

    /// A store's tables with so many callbacks in no order of their ids, none of them with entries.
    fn filled(callbacks: i64) -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, MIGRATIONS.len()).unwrap();
        for arrival in 1..=callbacks {
            add(&connection, arrival);
        }
        connection
    }

    fn add(connection: &Connection, arrival: i64) {
        let (id, person) = (format!("id {}", arrival * 7919 % 10_007), format!("person {}", arrival % 3));
        connection
            .execute(
                "INSERT INTO callbacks (arrival, kind, service, origin, arrived_at, shown, notify_id, reference_key, person_key)
                 VALUES (?1, 1, 1, 0, 0, 1, ?2, 'ref', ?3)",
                params![arrival, id, person],
            )
            .unwrap();
        connection.execute("UPDATE arrivals SET next = ?1", [arrival + 1]).unwrap();
    }

    fn found(connection: &Connection, person: &str) -> Vec<i64> {
        let sql = format!("SELECT f.arrival FROM {} f ORDER BY f.arrival", arrivals(Field::Person, Compare::Equal));
        let mut find = connection.prepare(&sql).unwrap();
        find.query_map([person], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn a_callback_is_found_once_before_while_and_after_its_entries_are_made() {
        let connection = filled(2000);
        let mut indexing = Indexing::default();
        let expected: Vec<i64> = (1..=2000).filter(|arrival| arrival % 3 == 1).collect();
        let mut steps = 0;
        loop {
            assert_eq!(found(&connection, "person 1"), expected);
            indexing.begin(&connection).unwrap();
            if !indexing.is_behind() {
                break;
            }
            // A making that is cut short begins again and finds its entries there.
            if steps == 2 {
                indexing.forget();
                indexing.begin(&connection).unwrap();
            }
            indexing.catch_up(&connection).unwrap();
            steps += 1;
        }
        assert!(steps > 5, "it takes several transactions");
        let indexed: i64 = connection.query_row("SELECT indexed FROM arrivals", [], |row| row.get(0)).unwrap();
        assert_eq!(indexed, 2001);
    }

    #[test]
    fn what_another_process_stored_is_known_at_the_next_transaction() {
        let connection = filled(3);
        let mut indexing = Indexing::default();
        assert_eq!(indexing.begin(&connection).unwrap(), 4);
        add(&connection, 4);
        assert_eq!(indexing.begin(&connection).unwrap(), 5);
        let id = format!("id {}", 4 * 7919 % 10_007);
        assert_eq!(indexing.waiting_with(&Key::of_id(&id)), [4]);
    }

    #[test]
    fn entries_wait_for_many_under_load_and_for_few_at_ease() {
        let connection = filled(i64::try_from(WAITING_AT_EASE).unwrap());
        let mut indexing = Indexing::default();
        indexing.begin(&connection).unwrap();
        indexing.step(&connection, false).unwrap();
        assert!(!indexing.is_making() && indexing.is_behind());
        while indexing.is_behind() {
            indexing.step(&connection, true).unwrap();
        }
    }

    #[test]
    fn a_search_reads_the_index_in_its_order_and_sorts_nothing() {
        let connection = filled(1);
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT f.arrival, c.status FROM {} f JOIN callbacks c ON c.arrival = f.arrival
             WHERE c.shown AND f.arrival < 100 ORDER BY 1 DESC LIMIT 50",
            arrivals(Field::Person, Compare::Equal)
        );
        let mut explain = connection.prepare(&sql).unwrap();
        let plan: Vec<String> =
            explain.query_map(["person"], |row| row.get(3)).unwrap().collect::<rusqlite::Result<_>>().unwrap();
        let plan = plan.join("; ");
        assert!(plan.contains("SEARCH callback_index USING PRIMARY KEY (field=? AND key=? AND arrival<?)"), "{plan}");
        assert!(plan.contains("SEARCH callbacks USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN callback"), "{plan}");
    }
}
