//! What the index finds, held against looking at every row, while runs are merged, put into the store and made again.

use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::notify::filter::Filter;
use crate::notify::status::Status;
use crate::store::envelope::{Envelope, Origin};
use crate::store::open::{MIGRATIONS, migrate};
use crate::store::row;
use crate::store::{ServiceId, Services};

/// So small that a few hundred rows go through every size.
const SIZES: Sizes = Sizes { together: 4, quietly: 2, fresh: 16, large: 256 };

struct Store {
    connection: Connection,
    fresh: Fresh,
    indexing: Indexing,
    /// What the n-th row is.
    brings: fn(i64) -> Callback,
    rows: Vec<(Callback, ServiceId)>,
}

fn store() -> Store {
    store_in(Connection::open_in_memory().unwrap())
}

fn store_in(mut connection: Connection) -> Store {
    migrate(&mut connection, MIGRATIONS.len()).unwrap();
    for service in 1..=2 {
        connection.execute("INSERT INTO services VALUES (?1, ?1, NULL, 0)", [service]).unwrap();
    }
    by(connection, true)
}

/// What one process knows of it, which `keeps` the runs or only looks.
fn by(connection: Connection, keeps: bool) -> Store {
    let fresh = Fresh::default();
    let indexing = Indexing { sizes: SIZES, ..Indexing::new(fresh.clone(), keeps) };
    Store { connection, fresh, indexing, brings: callback, rows: Vec::new() }
}

/// A row with few different keys, so that each leads to many.
fn callback(n: i64) -> Callback {
    let (id, person, status) =
        (n * 7919 % 10_007, n % 3, ["delivered", "permanent-failure", "odd"][usize::try_from(n % 3).unwrap()]);
    let body = if n % 5 == 0 {
        format!(r#"{{"id": "{id}", "source_number": "4477009000{person}0", "message": "word{person} and {n}"}}"#)
    } else {
        format!(r#"{{"id": "{id}", "reference": "AB {}", "to": "4477009000{person}0", "status": "{status}"}}"#, n % 40)
    };
    Callback::read(body.as_bytes()).unwrap()
}

impl Store {
    fn add(&mut self, count: i64) {
        let connection = &self.connection;
        let mut next = self.indexing.begin(connection).unwrap();
        let rows: Vec<(Callback, ServiceId)> =
            (0..count).map(|n| ((self.brings)(next + n), ServiceId(1 + (next + n) % 2))).collect();
        let keys: Vec<Keys> = rows.iter().map(|(callback, service)| Keys::of(callback, *service)).collect();
        let mut added = Vec::new();
        for ((callback, service), keys) in rows.iter().zip(&keys) {
            let mut insert = connection.prepare_cached(row::INSERT).unwrap();
            let columns = row::columns(callback);
            row::insert(&mut insert, next, &envelope(*service), callback, &columns, None, true).unwrap();
            self.indexing.added(keys, next);
            added.push((keys, next));
            next += 1;
        }
        self.indexing.end(connection, &added, next, next).unwrap();
        self.indexing.committed();
        self.rows.extend(rows);
    }

    /// The numbers of the callbacks up to the n-th that are known to have come.
    fn known(&mut self, up_to: i64) -> Vec<i64> {
        self.indexing.begin(&self.connection).unwrap();
        let keys = |n: i64| Keys::of(&(self.brings)(n), ServiceId(1 + n % 2));
        let before = |n: &i64| self.indexing.events_before(&self.connection, &keys(*n), None).unwrap().contains(n);
        (1..=up_to).filter(before).collect()
    }

    fn found(&self, wanted: &Wanted, way: Way, from: i64) -> Vec<i64> {
        self.found_of(wanted, &Facets::default(), way, from)
    }

    fn found_of(&self, wanted: &Wanted, facets: &Facets, way: Way, from: i64) -> Vec<i64> {
        let index = Index::new(&self.connection, &self.fresh.now()).unwrap();
        let mut arrivals = index.arrivals(wanted.clone(), facets.clone(), way, from);
        let found: Vec<i64> = std::iter::from_fn(|| arrivals.next().unwrap()).collect();
        if (way, from) == (Way::NewestFirst, i64::MAX) {
            self.check_tally(&index, wanted, facets, &found);
        }
        found
    }

    fn found_together(&self, wanted: Vec<Wanted>, way: Way, from: i64) -> Vec<i64> {
        let index = Index::new(&self.connection, &self.fresh.now()).unwrap();
        let mut together = index.together(wanted, &Facets::default(), way, from);
        std::iter::from_fn(|| together.next().unwrap()).collect()
    }

    /// A tally finds the same, within two arrivals too, and stops where it is told to.
    fn check_tally(&self, index: &Index<'_>, wanted: &Wanted, facets: &Facets, found: &[i64]) {
        let newest = i64::try_from(self.rows.len()).unwrap();
        for (first, last) in [(i64::MIN, i64::MAX), (newest / 3, newest / 2)] {
            let (mut tallied, mut entries) = (Vec::new(), usize::MAX);
            let done = index.tally(wanted, facets, (first, last), &mut entries, |some| {
                tallied.append(some);
                Ok(true)
            });
            assert_eq!(done.unwrap(), Tally::Whole);
            tallied.sort_unstable_by(|one, other| other.cmp(one));
            tallied.dedup();
            let within = |arrival: &&i64| first <= **arrival && **arrival <= last;
            assert_eq!(tallied, found.iter().filter(within).copied().collect::<Vec<_>>(), "{wanted:?}");
            let bounded = index.arrivals(wanted.clone(), facets.clone(), Way::OldestFirst, i64::MIN);
            let mut bounded = bounded.within((first, last));
            let mut bounded: Vec<i64> = std::iter::from_fn(|| bounded.next().unwrap()).collect();
            bounded.reverse();
            assert_eq!(bounded, tallied, "{wanted:?}");
            if tallied.len() > 1 {
                let mut few = 1;
                let done = index.tally(wanted, facets, (first, last), &mut few, |_| Ok(true)).unwrap();
                assert_eq!((done, few), (Tally::Stopped, 0));
                let done = index.tally(wanted, facets, (first, last), &mut usize::MAX.clone(), |_| Ok(false)).unwrap();
                assert_eq!(done, Tally::Enough);
            }
        }
    }

    /// By looking at every row.
    fn expected(&self, way: Way, from: i64, meets: impl Fn(&Callback, ServiceId) -> bool) -> Vec<i64> {
        let arrivals = (1..).zip(&self.rows).filter(|(_, (callback, service))| meets(callback, *service));
        let mut arrivals: Vec<i64> = arrivals.map(|(arrival, _)| arrival).collect();
        match way {
            Way::NewestFirst => {
                arrivals.reverse();
                arrivals.retain(|arrival| *arrival < from);
            }
            Way::OldestFirst => arrivals.retain(|arrival| *arrival > from),
        }
        arrivals
    }

    fn check(&self, from: i64) {
        let reference = |callback: &Callback| callback.reference().map(reference_key).unwrap_or_default();
        let person = |callback: &Callback| callback.match_key().unwrap().as_str().to_owned();
        let text = |callback: &Callback| match &callback.content {
            Content::ReceivedText(text) => text.message.clone().unwrap(),
            _ => String::new(),
        };
        let is = |callback: &Callback, wanted: &str| match &callback.content {
            Content::DeliveryReceipt(receipt) => receipt.status == Status::from(wanted),
            _ => false,
        };
        for (way, from) in [(Way::NewestFirst, from), (Way::OldestFirst, from), (Way::NewestFirst, i64::MAX)] {
            let wanted = Wanted::Reference("ab7".into());
            assert_eq!(self.found(&wanted, way, from), self.expected(way, from, |c, _| reference(c) == "ab7"));
            let wanted = Wanted::ReferenceBeginsWith("ab1".into());
            assert_eq!(
                self.found(&wanted, way, from),
                self.expected(way, from, |c, _| reference(c).starts_with("ab1") && reference(c) != "ab1")
            );
            let wanted = Wanted::Person("+447700900010".into());
            assert_eq!(self.found(&wanted, way, from), self.expected(way, from, |c, _| person(c) == "+447700900010"));
            let of_one = Facets::of(&Services::Only(vec![ServiceId(1)]));
            assert_eq!(
                self.found_of(&wanted, &of_one, way, from),
                self.expected(way, from, |c, service| service == ServiceId(1) && person(c) == "+447700900010")
            );
            let wanted = Wanted::Word("word2".into());
            assert_eq!(self.found(&wanted, way, from), self.expected(way, from, |c, _| text(c).starts_with("word2")));
            let id = callback(5).notify_id().to_owned();
            let wanted = Wanted::NotifyId(short_id(&id));
            assert_eq!(self.found(&wanted, way, from), self.expected(way, from, |c, _| c.notify_id() == id));
            let of_one = Facets::of(&Services::Only(vec![ServiceId(2)]));
            assert_eq!(
                self.found_of(&Wanted::All, &of_one.meeting(Filter::NotDelivered), way, from),
                self.expected(way, from, |c, service| service == ServiceId(2) && is(c, "permanent-failure"))
            );
            let (person_one, word, text_like) =
                (Wanted::Person("+447700900010".into()), Wanted::Word("word1".into()), Wanted::Word("and".into()));
            for wanted in [vec![text_like.clone(), word.clone()], vec![person_one, word, text_like, Wanted::All]] {
                assert_eq!(
                    self.found_together(wanted, way, from),
                    self.expected(way, from, |c, _| text(c).starts_with("word1 and"))
                );
            }
            let never = vec![Wanted::Word("word1".into()), Wanted::Word("word2".into())];
            assert_eq!(self.found_together(never, way, from), Vec::<i64>::new());
        }
    }
}

fn envelope(service: ServiceId) -> Envelope {
    Envelope { service, token: None, origin: Origin::CalledBack, arrived_at: 0, path: String::new() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_index_finds_what_looking_at_every_row_finds(
        steps in prop::collection::vec((1_i64..40, 0_u8..6), 1..60), from in 0_i64..600
    ) {
        let mut store = store();
        for (count, then) in steps {
            store.add(count);
            match then {
                // As after a stop without warning, half-way through a merge.
                0 => {
                    store.fresh = Fresh::default();
                    store.indexing = Indexing { sizes: SIZES, ..Indexing::new(store.fresh.clone(), true) };
                }
                // As at a stop with warning.
                1 => {
                    store.indexing.store_all(&store.connection).unwrap();
                    store.indexing.committed();
                }
                2 => store.indexing.catch_up(&store.connection).unwrap(),
                _ => (),
            }
        }
        store.check(from);
    }
}

#[test]
fn many_rows_come_to_few_runs_and_what_is_no_longer_used_is_written_over() {
    let mut store = store();
    for _ in 0..400 {
        store.add(3);
    }
    while store.indexing.is_behind() {
        store.indexing.catch_up(&store.connection).unwrap();
    }
    store.check(700);
    let count = |sql: &str| store.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(count("SELECT count(*) FROM index_runs WHERE state = 0") < 16);
    let (chunks, fences) = (count("SELECT count(*) FROM index_chunks"), count("SELECT count(*) FROM index_fences"));
    assert_eq!(chunks, fences, "no chunk is lost");
}

#[test]
fn in_quiet_moments_a_search_comes_to_ask_few_runs() {
    let mut store = store();
    let runs = |store: &Store| {
        store.connection.query_row("SELECT count(*) FROM index_runs WHERE state = 0", [], |row| row.get::<_, i64>(0))
    };
    for _ in 0..11 {
        store.add(20);
        store.indexing.store_all(&store.connection).unwrap();
    }
    let busy = runs(&store).unwrap();
    let mut moments = 0;
    while store.indexing.is_behind() || store.indexing.could_be_tidier() {
        store.indexing.catch_up(&store.connection).unwrap();
        store.indexing.committed();
        moments += 1;
        assert!(moments < 1000, "it comes to an end");
    }
    let quiet = runs(&store).unwrap();
    assert!(quiet < busy && quiet <= 4, "{quiet} of {busy}");
    store.check(100);
}

#[test]
fn after_a_start_the_ids_that_came_lately_are_learned_while_others_come() {
    let mut store = store();
    for _ in 0..30 {
        store.add(20);
    }
    store.indexing.store_all(&store.connection).unwrap();
    for quietly in [true, false] {
        store.fresh = Fresh::default();
        store.indexing = Indexing { sizes: SIZES, ..Indexing::new(store.fresh.clone(), true) };
        let next = store.indexing.begin(&store.connection).unwrap();
        assert_eq!(store.indexing.seen.since(), next, "nothing is known");
        let mut turns = 0;
        while !store.indexing.learning.is_done() {
            if quietly {
                store.indexing.catch_up(&store.connection).unwrap();
            } else {
                store.add(1);
            }
            turns += 1;
            assert!(turns < 100);
        }
        assert_eq!(store.indexing.seen.since(), 1);
        for arrival in 1..next {
            let keys = Keys::of(&callback(arrival), ServiceId(1));
            assert!(store.indexing.seen.may_hold(keys.short_id));
            let before = store.indexing.events_before(&store.connection, &keys, None).unwrap();
            assert!(before.contains(&arrival), "{arrival}");
        }
    }
    store.check(100);
}

#[test]
fn what_is_gone_is_found_no_more_and_leaves_nothing_behind() {
    let mut store = store();
    for _ in 0..200 {
        store.add(3);
    }
    // All that is old, and of what is newer the texts alone.
    let is_gone = |n: i64| n < 333 || (n < 450 && n % 5 == 0);
    let mut stays = 0;
    for arrival in (1..=600).filter(|n| is_gone(*n)) {
        store.connection.execute("DELETE FROM callbacks WHERE arrival = ?1", [arrival]).unwrap();
        gone::note(&store.connection, 0, &[arrival]).unwrap();
    }
    while store.indexing.forget_gone(&store.connection, 50, 4).unwrap() {
        stays += 1;
        assert!(stays < 1000);
        if stays == 3 {
            // More goes meanwhile.
            store.connection.execute("DELETE FROM callbacks WHERE arrival = 599", []).unwrap();
            store.connection.execute("DELETE FROM callbacks WHERE arrival = 451", []).unwrap();
            gone::note(&store.connection, 0, &[451, 599]).unwrap();
        }
        if stays % 40 == 0 {
            // In the middle of it as at its end, a stop without warning harms nothing.
            store.indexing = Indexing { sizes: SIZES, ..Indexing::new(store.fresh.clone(), true) };
        }
    }
    store.indexing.committed();
    let is_gone = |n: i64| is_gone(n) || n == 451 || n == 599;
    let found = store.found(&Wanted::Person("+447700900010".into()), Way::OldestFirst, 0);
    assert_eq!(found, (1..=600).filter(|n| n % 3 == 1 && !is_gone(*n)).collect::<Vec<_>>());
    let found = store.found(&Wanted::All, Way::OldestFirst, 0);
    assert_eq!(found, (1..=600).filter(|n| !is_gone(*n)).collect::<Vec<_>>());
    let mut entries = store.connection.prepare("SELECT entries FROM index_chunks").unwrap();
    let entries: Vec<Vec<u8>> = entries.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    for chunk in entries {
        let mut chunk = chunk::Unpacker::new(chunk.into());
        while chunk.advance().unwrap() {
            assert!(!is_gone(chunk.entry().arrival));
        }
    }
    let count = |sql: &str| store.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM index_runs WHERE state <> 0"), 0);
    assert_eq!(count("SELECT count(*) FROM removed_arrivals"), 0);
}

#[test]
fn a_reader_that_began_before_a_run_was_stored_misses_nothing() {
    let mut store = store();
    store.add(10);
    let before = store.fresh.now();
    store.add(10);
    store.indexing.store_all(&store.connection).unwrap();
    store.indexing.committed();
    let index = Index::new(&store.connection, &before).unwrap();
    let mut arrivals = index.arrivals(Wanted::Person("+447700900010".into()), Facets::default(), Way::OldestFirst, 0);
    let found: Vec<i64> = std::iter::from_fn(|| arrivals.next().unwrap()).collect();
    assert_eq!(found, [1, 4, 7, 10, 13, 16, 19]);
}

#[test]
fn what_nearly_all_references_begin_with_is_found_as_what_few_begin_with() {
    let mut store = store();
    store.indexing = Indexing { sizes: Sizes::default(), ..Indexing::new(store.fresh.clone(), true) };
    store.brings = |n| {
        let begin = if n % 3 == 0 {
            "few"
        } else if n < 5000 {
            "many-old"
        } else {
            "many-new"
        };
        let number = n * 7919 % 10_007;
        let long = number.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed());
        let body = format!(r#"{{"id": "{n}", "reference": "{begin}{number}-{long:016x}", "status": "sent"}}"#);
        Callback::read(body.as_bytes()).unwrap()
    };
    for _ in 0..40 {
        store.add(250);
    }
    store.indexing.store_all(&store.connection).unwrap();
    store.indexing.committed();
    let reference = |callback: &Callback| callback.reference().map(reference_key).unwrap_or_default();
    for (begin, from) in [
        ("many", i64::MAX),
        ("many", 4000),
        ("manyold", i64::MAX),
        ("manynew", 0),
        ("m", 9000),
        ("few7", i64::MAX),
        ("few", 3),
        ("none", i64::MAX),
    ] {
        let wanted = Wanted::ReferenceBeginsWith(begin.into());
        for way in [Way::NewestFirst, Way::OldestFirst] {
            let meets = |c: &Callback, _| reference(c).starts_with(begin) && reference(c) != begin;
            assert_eq!(store.found(&wanted, way, from), store.expected(way, from, meets), "{begin} {way:?}");
            let of_one = Facets::of(&Services::Only(vec![ServiceId(1)]));
            let meets = |c: &Callback, service| service == ServiceId(1) && meets(c, service);
            assert_eq!(
                store.found_of(&wanted, &of_one, way, from),
                store.expected(way, from, meets),
                "{begin} {way:?}"
            );
        }
    }
}

#[test]
fn a_process_that_only_looks_makes_no_entry_again_while_nobody_else_writes() {
    let mut looker = by(store().connection, false);
    looker.add(20);
    looker.add(20);
    // So none can be made from its row.
    looker.connection.execute("DELETE FROM callbacks", []).unwrap();
    assert_eq!(looker.known(45), (1..=40).collect::<Vec<_>>());
}

#[test]
fn what_another_process_adds_is_taken_up_and_no_entry_of_before_is_made_again() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let connect = || Connection::open(file.path()).unwrap();
    let mut keeper = store_in(connect());
    keeper.add(10);
    let mut looker = by(connect(), false);
    looker.add(3);
    looker.add(300);
    keeper.connection.execute("DELETE FROM callbacks WHERE arrival <= 10", []).unwrap();
    assert_eq!(keeper.known(320), (1..=313).collect::<Vec<_>>());
    let stored = "SELECT max(last) FROM index_runs WHERE state = 0";
    keeper.indexing.store_all(&keeper.connection).unwrap();
    let last: i64 = keeper.connection.query_row(stored, [], |row| row.get(0)).unwrap();
    assert_eq!(last, 313);
    keeper.connection.execute("DELETE FROM callbacks", []).unwrap();
    assert_eq!(
        looker.known(320),
        (1..=313).collect::<Vec<_>>(),
        "what the keeper has put into the store is read there"
    );
}
