//! A store on the disk with so many made-up callbacks in it, kept through the same calls as a server's. It can go on from what
//! an earlier run held.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use counterfoil::made_up::{Bodies, What};
use counterfoil::notify::Callback;
use counterfoil::store::{Arrival, Checkpoint, Envelope, Origin, ServiceId, Store};
use tempfile::TempDir;

use crate::sides::{self, BINARY};
use crate::{Asked, machine};

/// Twenty years, in microseconds: what is held came over that time.
pub(crate) const SPAN: i64 = 20 * 365 * 86_400_000_000;
pub(crate) const MOST: i64 = 100_000_000;
/// A fixed moment, so that one run holds what another held.
pub(crate) const START: i64 = 1_795_000_000_000_000 - SPAN;
pub(crate) const EMAIL: &str = "bench@example.org";
pub(crate) const PASSWORD: &str = "a password for the benchmark";
/// Every so many callbacks one is a received text, where nothing else is asked for.
const TEXT_EVERY: i64 = 21;
/// A store up to this large is copied before more is sent to it, so that it goes on to hold what it says.
const COPIED: u64 = 10_000_000;

/// A folder, which goes when this does if it is a temporary one.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    _temporary: Option<TempDir>,
}

impl Place {
    /// In the folder that keeps stores, where there is one.
    pub(crate) fn of(asked: &Asked, name: &str) -> Place {
        match &asked.keep {
            None => Place::temporary(),
            Some(keep) => {
                let folder = keep.join(name);
                fs::create_dir_all(&folder).unwrap();
                Place { folder, _temporary: None }
            }
        }
    }

    pub(crate) fn temporary() -> Place {
        Place::from(tempfile::tempdir().unwrap())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("store")
    }
}

impl From<TempDir> for Place {
    fn from(folder: TempDir) -> Place {
        Place { folder: folder.path().to_owned(), _temporary: Some(folder) }
    }
}

pub(crate) struct Filled {
    place: Place,
    pub(crate) services: Vec<ServiceId>,
    /// Microseconds between one callback and the next.
    pub(crate) step: i64,
    text_every: i64,
}

impl Filled {
    /// What is in the place already is left there.
    pub(crate) fn new(place: Place, step: i64) -> Filled {
        let data = place.data();
        if !data.join("counterfoil.db").exists() {
            sides::add_token(&place.folder, &data);
            add_person(&data);
            add_services(&data);
        }
        let services = sides::runtime().block_on(async {
            let store = Store::beside(&data, START).unwrap();
            store.tokens().await.unwrap().iter().map(|token| token.service).collect()
        });
        Filled { place, services, step, text_every: TEXT_EVERY }
    }

    /// One of so many is a received text.
    pub(crate) fn with_a_text_every(self, text_every: i64) -> Filled {
        Filled { text_every, ..self }
    }

    /// The one that is filled as far as was asked.
    pub(crate) fn largest(asked: &Asked) -> Filled {
        Filled::new(Place::of(asked, "held"), SPAN / MOST)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.place.data()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.place.folder
    }

    pub(crate) fn held(&self) -> u64 {
        held(&self.data())
    }

    /// Goes on until so many are held, as fast as it goes.
    pub(crate) fn fill_up_to(&self, rows: u64) {
        let (from, to, began) = (self.held(), rows, Instant::now());
        if from >= to {
            return;
        }
        let mut bodies = Bodies::new(from + 7);
        let arrivals = (from as i64..to as i64).map(|n| {
            let at = START + n * self.step;
            // Texts of each of the services.
            let what =
                if n % self.text_every == n / self.text_every % self.text_every { What::Texts } else { What::Receipts };
            arrival(self.services[n as usize % self.services.len()], at, bodies.next(what, at).body)
        });
        let said = |done: u64| {
            let rate = done as f64 / began.elapsed().as_secs_f64();
            eprintln!("{} of {to} held, {rate:.0} a second", from + done);
        };
        sides::runtime().block_on(async {
            let store = Store::serve(&self.data(), START).unwrap();
            keep_all(&store, arrivals, said).await;
            assert_eq!(store.close(), Checkpoint::Whole);
        });
    }

    /// A place for a server that more is sent to: a copy, unless that would take too long.
    pub(crate) fn to_load(&self) -> Place {
        if self.held() > COPIED + COPIED / 10 {
            return Place { folder: self.place.folder.clone(), _temporary: None };
        }
        let copy = Place::from(tempfile::tempdir_in(&self.place.folder).unwrap());
        fs::create_dir_all(copy.data()).unwrap();
        for entry in fs::read_dir(self.data()).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), copy.data().join(entry.file_name())).unwrap();
        }
        machine::sync_all(&copy.data());
        copy
    }
}

/// How many callbacks came so far: none of them was removed.
pub(crate) fn held(data: &Path) -> u64 {
    let connection = rusqlite::Connection::open(data.join("counterfoil.db")).unwrap();
    connection.query_row("SELECT coalesce(max(arrival), 0) FROM callbacks", [], |row| row.get(0)).unwrap()
}

/// Bytes on the disk for each of so many receipts, with everything that they are found by.
pub(crate) fn bytes_each(rows: u64) -> f64 {
    let place = Place::temporary();
    let data = place.data();
    sides::add_token(&place.folder, &data);
    sides::runtime().block_on(async {
        let store = Store::serve(&data, START).unwrap();
        let service = store.tokens().await.unwrap()[0].service;
        let mut bodies = Bodies::new(3);
        let arrivals = (0..rows as i64).map(|n| {
            let at = START + n * (SPAN / MOST);
            arrival(service, at, bodies.next(What::Receipts, at).body)
        });
        keep_all(&store, arrivals, |_| ()).await;
        assert_eq!(store.close(), Checkpoint::Whole);
    });
    fs::metadata(data.join("counterfoil.db")).unwrap().len() as f64 / rows as f64
}

fn arrival(service: ServiceId, arrived_at: i64, body: Vec<u8>) -> impl FnOnce() -> Arrival + Send + 'static {
    let envelope = Envelope { service, token: None, origin: Origin::Imported, arrived_at, path: "/callbacks".into() };
    move || Arrival::callback(envelope, Callback::read(&body).unwrap())
}

/// Some thousand at the same time.
async fn keep_all<F>(store: &Store, arrivals: impl Iterator<Item = F>, mut said: impl FnMut(u64))
where
    F: FnOnce() -> Arrival + Send + 'static,
{
    let (mut keeping, mut done) = (tokio::task::JoinSet::new(), 0);
    for arrival in arrivals {
        let store = store.clone();
        keeping.spawn(async move { store.keep(arrival()).await.unwrap() });
        if keeping.len() >= 4096 {
            keeping.join_next().await.unwrap().unwrap();
        }
        done += 1;
        if done % 1_000_000 == 0 {
            said(done);
        }
    }
    keeping.join_all().await;
}

fn add_services(data: &Path) {
    sides::runtime().block_on(async {
        let store = Store::beside(data, START).unwrap();
        for n in 0..3_u8 {
            store
                .add_token(format!("Service {n}"), None, [n; 32], counterfoil::store::By::itself(), START)
                .await
                .unwrap();
        }
    });
}

fn add_person(data: &Path) {
    let mut add = Command::new(BINARY);
    add.args(["user", "add", EMAIL, "--role", "caseworker", "--password-stdin", "--data"]).arg(data);
    let mut add = add.stdin(Stdio::piped()).spawn().unwrap();
    add.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    assert!(add.wait().unwrap().success());
}
