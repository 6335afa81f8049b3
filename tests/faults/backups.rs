//! Backups that are made while callbacks come as fast as they are answered, and what a callback waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::load::{Site, is_whole, missing};
use crate::server::{Server, exchange, request, run};
use crate::times;

/// Acknowledged before each backup, at least so many more.
const BEFORE: usize = 300;
/// What goes on meanwhile.
const NOTHING: usize = 0;
const BACKUP: usize = 1;
const RESTORE: usize = 2;

/// Sends callbacks one after the other, and notes the longest answer of each time.
struct Watch {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    now: AtomicUsize,
    longest: [AtomicU64; 3],
}

impl Watch {
    fn on(server: &Server, site: &Site) -> Watch {
        let shared = Arc::new(Shared::default());
        let (theirs, at) = (shared.clone(), server.at);
        let headers = format!("Authorization: Bearer {}\r\n", site.token());
        let thread = std::thread::spawn(move || {
            for n in 0.. {
                if theirs.ends.load(Ordering::Relaxed) {
                    return;
                }
                let body = format!(r#"{{"id": "watch-{n}", "status": "delivered"}}"#);
                let (now, since) = (theirs.now.load(Ordering::Relaxed), Instant::now());
                let answer = exchange(at, &request("POST", "/callbacks", &headers, body.as_bytes()));
                assert_eq!(answer.status, 200, "{}", answer.text());
                let took = u64::try_from(since.elapsed().as_millis()).unwrap();
                theirs.longest[now].fetch_max(took, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Watch { shared, thread }
    }

    fn is_at(&self, what: usize) {
        self.shared.now.store(what, Ordering::Relaxed);
    }

    /// The longest answers, in milliseconds.
    fn end(self) -> [u64; 3] {
        self.shared.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        [NOTHING, BACKUP, RESTORE].map(|what| self.shared.longest[what].load(Ordering::Relaxed))
    }
}

#[test]
fn each_of_many_backups_under_load_makes_a_whole_store_with_what_was_acknowledged_before_it() {
    let notes = tempfile::tempdir().unwrap();
    let mut site = Site::new(notes.path().join("store"), notes.path());
    let server = Server::start_in(&site.data, &[]);
    let sender = site.send(&server, 16, 1);
    let watch = Watch::on(&server, &site);
    let backups = times(4);
    let (mut lost, mut compared, mut backing_up) = (0, 0, Duration::ZERO);
    for n in 1..=backups as usize {
        watch.is_at(NOTHING);
        assert!(sender.wait_for(compared + BEFORE), "callbacks are acknowledged");
        let before = sender.acknowledged();
        let (file, data) = (notes.path().join(format!("{n}.db")), notes.path().join(format!("restored-{n}")));
        watch.is_at(BACKUP);
        let since = Instant::now();
        let made = run(&["backup", file.to_str().unwrap()], &site.data);
        backing_up += since.elapsed();
        watch.is_at(RESTORE);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let restored = run(&["restore", file.to_str().unwrap()], &data);
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
        is_whole(&data);
        lost += missing(&before, &data);
        compared = before.len();
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::remove_file(&file).unwrap();
    }
    let [without, with, restoring] = watch.end();
    site.stop(sender);
    eprintln!(
        "backups under load: {backups}, each in {:?}, {compared} acknowledged before the last, {lost} of them lost. The longest answer to a \
         callback took {with} ms during a backup, {without} ms outside of one, {restoring} ms beside a restore",
        backing_up / backups
    );
    assert_eq!(lost, 0);
}
