//! A disk that answers with errors: for a while nothing can be kept, and then it can again, without a restart.

use crate::server::{Server, exchange, request};
use crate::trouble::Trouble;
use crate::{is_there, not_tried};

const ERRORS: [&str; 3] = ["EIO", "ENOSPC", "EROFS"];

fn receipt(id: &str) -> String {
    format!(r#"{{"id": "{id}", "reference": "REF {id}", "to": "07700 900123", "status": "delivered"}}"#)
}

#[test]
fn where_the_log_cannot_be_written_or_synced_callbacks_are_sent_again_and_pages_say_why_they_show_nothing() {
    if !is_there("strace") {
        return not_tried("errors in writes and syncs", "strace");
    }
    let mut tried = 0;
    for (calls, error) in
        ["pwrite64", "fdatasync,fsync"].into_iter().flat_map(|calls| ERRORS.map(|error| (calls, error)))
    {
        let server = Server::start();
        let mut browser = server.signed_in("caseworker");
        let id = |n: usize| format!("{error}-{n}");
        assert_eq!(server.post("/callbacks", receipt(&id(0)).as_bytes()).status, 200);
        let log = server.data.join("counterfoil.db-wal");
        let trouble = Trouble::on(server.pid(), &log, calls, &format!("error={error}"));
        for n in 1..6 {
            let answer = server.post("/callbacks", receipt(&id(n)).as_bytes());
            assert_eq!(answer.status, 503, "{calls} {error}: nothing else is sent again");
        }
        // Who sees something is written down first.
        let page = browser.get("/receipts");
        assert_eq!(page.status, 503, "{calls} {error}");
        assert!(page.text().contains("written down before it is shown"), "{calls} {error}: {}", page.text());
        assert!(trouble.end() > 0, "{calls} {error}: calls failed");
        for n in 0..7 {
            let answer = server.post("/callbacks", receipt(&id(n)).as_bytes());
            assert_eq!(answer.status, 200, "{calls} {error}: it goes on by itself when the trouble ends");
        }
        let page = browser.get("/receipts");
        assert_eq!(page.status, 200, "{calls} {error}: {}", page.text());
        assert!(page.text().contains(&format!("REF {}", id(0))));
        for n in 0..7 {
            assert_eq!(server.kept(&id(n)).len(), 1, "{calls} {error}: each stands once");
        }
        tried += 1;
    }
    eprintln!("errors in writes and syncs of the log: {tried} tried, {tried} survived");
}

#[test]
fn where_the_stores_files_cannot_be_opened_nothing_is_lost_and_it_goes_on_afterwards() {
    if !is_there("strace") {
        return not_tried("files that cannot be opened", "strace");
    }
    let mut tried = 0;
    let mut waiting = vec!["counterfoil.db", "counterfoil.db-wal"];
    let mut rounds = 0;
    while let Some(file) = waiting.pop() {
        rounds += 1;
        assert!(rounds < 20, "{file}: calls failed");
        let server = Server::start();
        let browser = server.signed_in("caseworker");
        let trouble = Trouble::on(server.pid(), &server.data.join(file), "open,openat", "error=EIO");
        let acknowledged = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            // More pages than there are readers, so that new ones are opened, and enough callbacks for a checkpoint.
            for _ in 0..8 {
                let mut browser = browser.clone();
                scope.spawn(move || {
                    for _ in 0..10 {
                        let status = browser.get("/receipts").status;
                        assert!(matches!(status, 200 | 503), "{file}: a page says {status}");
                    }
                });
            }
            for sender in 0..4 {
                let (at, acknowledged) = (server.at, &acknowledged);
                let token = format!("Authorization: Bearer {}\r\n", server.token);
                scope.spawn(move || {
                    for n in 0..300 {
                        let id = format!("{sender}-{n}");
                        match exchange(at, &request("POST", "/callbacks", &token, receipt(&id).as_bytes())).status {
                            200 => acknowledged.lock().unwrap().push(id),
                            status => assert_eq!(status, 503, "{file}: nothing else is sent again"),
                        }
                    }
                });
            }
        });
        // Where every reader was open already nothing was opened: once more.
        if trouble.end() == 0 {
            waiting.push(file);
            continue;
        }
        assert_eq!(server.post("/callbacks", receipt("after").as_bytes()).status, 200);
        assert_eq!(browser.clone().get("/receipts").status, 200, "{file}: it goes on by itself");
        let kept = crate::server::ids(&server.data.join("counterfoil.db"));
        let acknowledged = acknowledged.into_inner().unwrap();
        assert!(acknowledged.iter().all(|id| kept.contains(id)), "{file}: nothing acknowledged is lost");
        tried += 1;
    }
    eprintln!("files that cannot be opened: {tried} tried, {tried} survived");
}

#[test]
fn where_checkpoints_fail_it_is_said_within_a_minute_and_nothing_is_lost() {
    if !is_there("strace") {
        return not_tried("checkpoints that fail", "strace");
    }
    let mut tried = 0;
    for calls in ["pwrite64", "fdatasync,fsync"] {
        let mut server = Server::start();
        let database = server.data.join("counterfoil.db");
        let trouble = Trouble::on(server.pid(), &database, calls, "error=EIO");
        let mut sent = 0;
        let said = |server: &mut Server| server.log().contains("store.checkpoint_failed");
        // As soon as there is something worth copying.
        while !said(&mut server) {
            for _ in 0..400 {
                assert_eq!(server.post("/callbacks", receipt(&format!("n-{sent}")).as_bytes()).status, 200);
                sent += 1;
            }
            assert!(sent < 20_000, "{calls}: a checkpoint that fails is said");
        }
        assert!(trouble.end() > 0, "{calls}: calls failed");
        assert_eq!(server.post("/callbacks", receipt("after").as_bytes()).status, 200);
        server.signal("-TERM");
        let data = server.data.clone();
        let folder = server.keep_folder();
        assert_eq!(server.ended(), Some(0), "{calls}: the last checkpoint copies everything");
        let ids = crate::server::ids(&data.join("counterfoil.db"));
        assert_eq!(ids.len(), sent + 1, "{calls}");
        assert_eq!(std::fs::metadata(data.join("counterfoil.db-wal")).map_or(0, |log| log.len()), 0);
        drop(folder);
        tried += 1;
    }
    eprintln!("checkpoints that fail: {tried} tried, {tried} survived");
}
