//! A disk that fills up: callbacks wait, people go on, and it mends itself when there is room.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use counterfoil::clock::{self, DAY};
use counterfoil::notify::Callback;
use counterfoil::store::{Arrival, Envelope, Origin, Store};
use tempfile::TempDir;

use crate::disk::done;
use crate::not_tried;
use crate::server::{Server, block_on, ids, printed, run};

const MIB: usize = 1024 * 1024;
/// Old texts, and how long each is: together more than a quarter of the ballast.
const OLD: usize = 120;
const OLD_LENGTH: usize = 100_000;

/// A small file system in memory.
struct Small {
    at: PathBuf,
    _folder: TempDir,
}

impl Small {
    fn new() -> Option<Small> {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("disk");
        fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=80M", "tmpfs"]).arg(&at).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Small { at, _folder: folder })
    }

    /// Leaves so much room.
    fn fill_up_to(&self, left: usize) {
        let output = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.at).output().unwrap();
        let available: usize =
            String::from_utf8(output.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap();
        fs::write(self.at.join("filler"), vec![1; available - left]).unwrap();
    }

    fn grow(&self) {
        done(Command::new("mount").args(["-o", "remount,size=160M"]).arg(&self.at));
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _gone = Command::new("umount").args(["-l"]).arg(&self.at).stderr(Stdio::null()).status().is_ok();
    }
}

fn text(id: &str, length: usize) -> String {
    let words = "x".repeat(length);
    format!(
        r#"{{"id": "{id}", "source_number": "447700900123", "destination_number": "07700900456", "message": "{words}", "date_received": "2026-01-01T00:00:00.000000Z"}}"#
    )
}

fn keep_old(data: &std::path::Path) {
    let now = clock::now();
    block_on(async {
        let store = Store::existing_alone(data, now).unwrap();
        let service = store.service("Test service").await.unwrap().unwrap().id;
        for n in 0..OLD {
            let envelope = Envelope {
                service,
                token: None,
                origin: Origin::CalledBack,
                arrived_at: now - 100 * DAY,
                path: String::new(),
            };
            let callback = Callback::read(text(&format!("old-{n}"), OLD_LENGTH).as_bytes()).unwrap();
            store.keep(Arrival::callback(envelope, callback)).await.unwrap();
        }
        let _closed = store.close();
    });
}

fn within_two_minutes(mut done: impl FnMut() -> bool) -> bool {
    let ends = Instant::now() + Duration::from_mins(2);
    while !done() {
        if Instant::now() > ends {
            return false;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    true
}

#[test]
fn on_a_full_disk_callbacks_are_sent_again_people_go_on_and_it_mends_itself_when_there_is_room() {
    let mut tried = 0;
    for way in ["the disk is grown", "what is old is removed"] {
        let Some(disk) = Small::new() else { return not_tried("a full disk", "root") };
        let data = disk.at.join("store");
        let token = printed(&run(&["token", "add", "Test service"], &data));
        keep_old(&data);
        let mut server = Server::start_in(&data, &["--ballast", "16"]);
        server.token = token;
        let mut browser = server.signed_in("caseworker");
        assert!(within_two_minutes(|| server.log().contains("store.ballast_made")), "{}", server.log());
        disk.fill_up_to(6 * MIB);

        let mut acknowledged = Vec::new();
        let mut post = |server: &Server, n: usize| {
            let id = format!("n-{n}");
            let status = server.post("/callbacks", text(&id, 20_000).as_bytes()).status;
            assert!(matches!(status, 200 | 503), "{way}: {status} is not sent again");
            if status == 200 {
                acknowledged.push(id);
            }
            status
        };
        let full = (0..5_000).find(|n| post(&server, *n) == 503);
        assert!(full.is_some(), "{way}: the disk is full in the end");
        assert!(server.log().contains("store.disk_full"), "{way}: it is said: {}", server.log());
        assert_eq!(fs::metadata(data.join("counterfoil.ballast")).unwrap().len(), 0, "{way}");
        for n in 10_000..10_050 {
            assert_eq!(post(&server, n), 503, "{way}: callbacks do not take the room that was given up");
        }
        let page = browser.get("/receipts");
        assert!(page.status == 200 && page.text().contains("because the disk is full"), "{way}: {}", page.text());
        let mut manager = server.signed_in("manager");
        assert_eq!(manager.get("/quarantine").status, 200, "{way}: people sign in");

        if way == "the disk is grown" {
            disk.grow();
        } else {
            let purged = run(&["purge", "--older-than", "30d", "--yes"], &data);
            assert!(purged.status.success(), "{}", String::from_utf8_lossy(&purged.stderr));
        }
        let mut n = 20_000;
        let goes_on = within_two_minutes(|| {
            n += 1;
            post(&server, n) == 200
        });
        assert!(goes_on, "{way}: callbacks are taken again without a restart: {}", server.log());
        if way == "the disk is grown" {
            let length = || fs::metadata(data.join("counterfoil.ballast")).unwrap().len();
            assert!(
                within_two_minutes(|| length() == 16 * MIB as u64),
                "{way}: the ballast is there for the next time"
            );
            assert!(!browser.get("/receipts").text().contains("because the disk is full"));
        }
        server.signal("-TERM");
        assert_eq!(server.ended(), Some(0), "{way}");
        let kept = ids(&data.join("counterfoil.db"));
        let lost = acknowledged.iter().filter(|id| !kept.contains(*id)).count();
        eprintln!("{way}: {} acknowledged, {lost} of them lost", acknowledged.len());
        assert_eq!(lost, 0);
        tried += 1;
    }
    eprintln!("full disks: {tried} tried, {tried} survived");
}
