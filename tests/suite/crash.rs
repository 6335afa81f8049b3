//! A server that is killed while callbacks come in: whatever it acknowledged is there afterwards.

use std::collections::HashSet;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{BINARY, Server, folder, ids, printed, run};

/// How often it is killed.
const KILLS: u32 = 20;
/// Acknowledged before each kill.
const BEFORE: usize = 200;

#[test]
fn no_acknowledged_callback_is_lost_when_the_server_is_killed_under_load() {
    let folder = folder();
    let data = folder.path().join("store");
    let token_file = folder.path().join("token");
    fs::write(&token_file, printed(&run(&["token", "add", "Test service"], &data))).unwrap();
    let mut acknowledged = HashSet::new();
    for seed in 0..KILLS {
        let server = Server::start_in(&data, &[]);
        let acks = folder.path().join("acks");
        let mut sender = Command::new(BINARY)
            .args(["send", "mixed", "--count", "1000000", "--connections", "16", "--seed", &seed.to_string()])
            .args(["--url", &format!("http://{}", server.at)])
            .arg("--token-file")
            .arg(&token_file)
            .arg("--acks")
            .arg(&acks)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let waits_since = Instant::now();
        while fs::read_to_string(&acks).map_or(0, |ids| ids.lines().count()) < BEFORE {
            assert!(waits_since.elapsed() < Duration::from_mins(1), "callbacks are acknowledged");
            std::thread::sleep(Duration::from_millis(5));
        }
        server.kill();
        sender.kill().unwrap();
        sender.wait().unwrap();
        // The last line may be cut where the sender was killed in the middle of it.
        let ids = fs::read_to_string(&acks).unwrap();
        acknowledged.extend(ids.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned));
        fs::remove_file(&acks).unwrap();
    }
    drop(Server::start_in(&data, &[]));
    let kept = ids(&data.join("counterfoil.db"));
    let lost = acknowledged.difference(&kept).count();
    assert_eq!(lost, 0, "of {} acknowledged", acknowledged.len());
    assert!(acknowledged.len() >= BEFORE * usize::try_from(KILLS).unwrap());
}
