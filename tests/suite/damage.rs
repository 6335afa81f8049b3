//! A store that is damaged where a start does not look: it is found, said, and nothing more is acknowledged.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::server::{Browser, Server, folder, printed, run};

fn body(n: u32) -> Vec<u8> {
    format!(r#"{{"id": "number-{n:04}", "status": "delivered", "to": "07700 900123"}}"#).into_bytes()
}

/// Overwrites the page of the store that holds `text` first.
pub(crate) fn damage(database: &Path, text: &[u8]) {
    let mut bytes = fs::read(database).unwrap();
    let holds = |page: &[u8]| page.windows(text.len()).any(|window| window == text);
    bytes.chunks_mut(4096).find(|page| holds(page)).unwrap().fill(0xa5);
    fs::write(database, bytes).unwrap();
}

#[test]
fn damage_found_after_the_start_is_an_alarm_and_callbacks_are_refused_for_now() {
    let folder = folder();
    let data = folder.path().join("store");
    let token = printed(&run(&["token", "add", "Test service"], &data));
    let mut server = Server::start_in(&data, &[]);
    server.token.clone_from(&token);
    for n in 0..300 {
        assert_eq!(server.post("/callbacks", &body(n)).status, 200);
    }
    assert!(said_within_a_minute(&mut server, "store.checked"), "a whole store is called whole: {}", server.log());
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    damage(&data.join("counterfoil.db"), b"number-0100");

    let mut server = Server::start_in(&data, &[]);
    server.token = token;
    assert!(said_within_a_minute(&mut server, "store.damaged"), "{}", server.log());
    let log = server.log();
    assert!(log.contains("ERROR") && log.contains("restore the newest backup"), "{log}");
    assert!(!log.contains("07700") && !log.contains("number-"), "{log}");
    assert_eq!(server.post("/callbacks", &body(1000)).status, 503);
    assert_eq!(server.post_with("/callbacks", "Authorization: Bearer another\r\n", &body(1)).status, 503);
    for path in ["/", "/sign-in", "/receipts", "/receipts/number-0001", "/nowhere"] {
        let page = Browser::new(server.at).get(path);
        assert!(page.status == 503 && page.text().contains("its data is damaged"), "{path}: {}", page.text());
    }
    let out = Browser::new(server.at).post("/sign-out", &[]);
    assert!(out.status == 503 && out.headers("set-cookie").any(|set| set.starts_with("__Host-counterfoil=;")));
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
}

fn said_within_a_minute(server: &mut Server, words: &str) -> bool {
    let since = Instant::now();
    while since.elapsed() < Duration::from_mins(1) {
        if server.log().contains(words) {
            return true;
        }
    }
    false
}
