//! Removing the older half of a store while callbacks come, by the calls that retention uses, beside a server of this process; and so
//! is what it is compared with.

use std::path::Path;
use std::time::{Duration, Instant};

use counterfoil::access::RequiredOf;
use counterfoil::edge::{self, Limits, Proxies};
use counterfoil::store::{Checkpoint, Removal as Step, Store};
use counterfoil::web::{self, Beyond, Owner, Site};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::Asked;
use crate::filled::{Filled, MOST, Place, SPAN, START};
use crate::kept::Kept;
use crate::load::{Load, Measured, Running};
use crate::report::Report;
use crate::{machine, sides};

/// What goes in a day from a store that keeps all of Notify's messages for so long.
const DAY: u64 = 5_000_000;
/// It is stopped then, done or not.
const LONGEST: Duration = Duration::from_mins(10);
/// A step of the removal is followed by as long a rest, up to this.
const REST: Duration = Duration::from_millis(20);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Removal {
    /// Held before; the older half was to be removed.
    pub(crate) held: u64,
    pub(crate) removed: u64,
    pub(crate) done: bool,
    /// Seconds.
    pub(crate) took: f64,
    pub(crate) without: Measured,
    pub(crate) with: Measured,
}

impl Removal {
    pub(crate) fn ratio(&self) -> f64 {
        self.with.p99 / self.without.p99
    }
}

pub(crate) fn measure(asked: &Asked, report: &mut Report) {
    let day = (asked.rows / 2).min(DAY);
    let store = Filled::new(Place::temporary(), SPAN / MOST);
    store.fill_up_to(2 * day);
    let server = Inside::start(&store.data());
    let sync = machine::sync_times(store.folder());
    let load = || Load::start(&server.running, store.folder(), sync, 64, machine::seed());
    let without = load().stop_after(asked.seconds);
    let load = load();
    let began = Instant::now();
    let before = START + day as i64 * store.step;
    let (removed, done) = server.runtime.block_on(remove(&server.store, before));
    let took = began.elapsed().as_secs_f64();
    let with = load.stop();
    server.stop();
    let removal = Removal { held: 2 * day, removed, done, took, without, with };
    eprintln!("{removal:#?}");
    let removal = Kept::now(asked, removal);
    if asked.write {
        removal.write("removal");
    }
    report.removal = Some(removal);
}

/// How many went, and whether all of them did.
async fn remove(store: &Store, before: i64) -> (u64, bool) {
    let (mut removed, began) = (0, Instant::now());
    while began.elapsed() < LONGEST {
        let step = Instant::now();
        match store.remove_before(before).await.unwrap() {
            Step::Removed(rows) => removed += rows as u64,
            Step::Done | Step::InLog => return (removed, true),
        }
        tokio::time::sleep(step.elapsed().min(REST)).await;
    }
    (removed, false)
}

/// A server in this process.
struct Inside {
    runtime: Runtime,
    store: Store,
    running: Running,
    stop: watch::Sender<bool>,
}

impl Inside {
    fn start(data: &Path) -> Inside {
        let runtime = sides::runtime();
        let in_runtime = runtime.enter();
        let store = Store::serve(data, START).unwrap();
        let site = Site::new(&store, None, RequiredOf::All, None, Beyond::default(), Owner::default());
        let (stop, stopped) = watch::channel(false);
        let listener = edge::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let running = Running::inside(format!("http://{}", listener.local_addr().unwrap()));
        runtime.spawn(edge::serve(listener, None, web::routes(&site), Limits::default(), Proxies::default(), stopped));
        runtime.spawn(counterfoil::upkeep::run(store.clone()));
        drop(in_runtime);
        Inside { runtime, store, running, stop }
    }

    fn stop(self) {
        self.stop.send_replace(true);
        assert_eq!(self.store.close(), Checkpoint::Whole);
    }
}
