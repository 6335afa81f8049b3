//! What was missed is read back from Notify: all of it, once, and nothing that is not to come back.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use counterfoil::clock::{self, MINUTE, SECOND};
use counterfoil::store::Store;
use tempfile::TempDir;

use crate::notify_api::{Fails, NotifyApi};
use crate::server::{BINARY, Server, block_on, folder, ids, printed, run};

/// A store with one service, and the file of its key.
struct Set {
    _folder: TempDir,
    data: PathBuf,
    key_file: PathBuf,
    token: String,
    api: NotifyApi,
}

impl Set {
    fn up() -> Set {
        let folder = folder();
        let (data, key_file) = (folder.path().join("store"), folder.path().join("key"));
        fs::write(&key_file, NotifyApi::key()).unwrap();
        let token = printed(&run(&["token", "add", "Housing"], &data));
        Set { _folder: folder, data, key_file, token, api: NotifyApi::start() }
    }

    fn command(&self, service: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.args(["backfill", "--service", service, "--url", &self.api.url(), "--api-key-file"]);
        command.arg(&self.key_file).arg("--data").arg(&self.data);
        command
    }

    fn backfill(&self) -> Output {
        self.command("Housing").output().unwrap()
    }

    fn kept(&self) -> HashSet<String> {
        ids(&self.data.join("counterfoil.db"))
    }

    fn rows(&self) -> i64 {
        let store = rusqlite::Connection::open(self.data.join("counterfoil.db")).unwrap();
        store.query_row("SELECT count(*) FROM callbacks", [], |row| row.get(0)).unwrap()
    }
}

/// Random in all of its bytes, as Notify's are: the index goes by the first of them.
fn id(number: usize) -> String {
    let spread = (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    uuid::Uuid::from_u128(spread).hyphenated().to_string()
}

/// The number that stands behind a name in the report.
fn said(output: &Output, name: &str) -> u64 {
    let report = printed(output);
    let line = report.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {report}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn everything_is_fetched_once_also_what_shares_its_moment_across_the_edge_of_a_page() {
    let set = Set::up();
    let now = clock::now() - MINUTE;
    // Five of each moment: the edge after 250 falls between two, and the next after another 249 into the middle of some.
    for number in 0..617 {
        let moment = i64::try_from((number + 3) / 5).unwrap();
        set.api.sent(&id(number), "delivered", now - moment * SECOND);
    }
    for number in 1000..1003 {
        set.api.received(&id(number), now);
    }
    let first = set.backfill();
    assert_eq!((said(&first, "Seen"), said(&first, "Missing"), said(&first, "Fetched")), (620, 620, 620));
    assert_eq!(set.kept().len(), 620);
    assert_eq!(set.rows(), 620);
    let again = set.backfill();
    assert_eq!((said(&again, "Already here"), said(&again, "Missing"), said(&again, "Fetched")), (620, 0, 0));
    assert_eq!(set.rows(), 620);
    assert!(set.api.asked().iter().any(|path| path.contains("older_than")));
}

#[test]
fn what_is_here_is_left_alone_a_status_is_filled_and_what_was_erased_stays_away() {
    let set = Set::up();
    let now = clock::now() - MINUTE;
    let server = Server::start_in(&set.data, &[]);
    let headers = format!("Authorization: Bearer {}\r\n", set.token);
    for (number, status) in [(1, "delivered"), (2, "sending")] {
        let body = format!(r#"{{"id": "{}", "status": "{status}", "provider": "x"}}"#, id(number));
        assert_eq!(server.post_with("/callbacks", &headers, body.as_bytes()).status, 200);
    }
    block_on(async {
        Store::beside(&set.data, 0).unwrap().note_erased(vec![id(3)], 0).await.unwrap();
    });
    for number in 1..=4 {
        set.api.sent(&id(number), "delivered", now);
    }
    set.api.sent(&id(5), "sending", now);
    let output = set.backfill();
    let numbers = ["Seen", "Already here", "Missing", "Fetched", "Statuses filled", "Not finished yet", "Erased here"];
    assert_eq!(numbers.map(|name| said(&output, name)), [5, 1, 2, 1, 1, 1, 1]);
    assert_eq!(server.kept(&id(1)).len(), 1);
    assert!(String::from_utf8_lossy(&server.kept(&id(1))[0]).contains("provider"));
    assert_eq!(server.kept(&id(2)).len(), 2);
    assert_eq!(server.kept(&id(3)).len() + server.kept(&id(5)).len(), 0);
    // A retry of what was erased is acknowledged, so that Notify does not send it again, and not kept.
    let body = format!(r#"{{"id": "{}", "status": "delivered"}}"#, id(3));
    assert_eq!(server.post_with("/callbacks", &headers, body.as_bytes()).status, 200);
    assert_eq!(server.kept(&id(3)).len(), 0);
    // One that was fetched is a message like any other.
    let mut caseworker = server.signed_in("caseworker");
    assert!(caseworker.search("amy@example.com").1.text().contains(&id(4)));
}

#[test]
fn what_was_redacted_is_read_back_without_what_it_said_and_what_was_erased_is_not_read_back() {
    let set = Set::up();
    let before = set.data.with_file_name("before.db");
    assert!(run(&["backup", before.to_str().unwrap()], &set.data).status.success());
    let now = clock::now() - MINUTE;
    let server = Server::start_in(&set.data, &[]);
    let headers = format!("Authorization: Bearer {}\r\n", set.token);
    let sending = format!(r#"{{"id": "{}", "to": "ben@example.com", "status": "sending"}}"#, id(3));
    assert_eq!(server.post_with("/callbacks", &headers, sending.as_bytes()).status, 200);
    server.kill();
    set.api.received(&id(1), now);
    set.api.sent(&id(2), "delivered", now);
    assert_eq!(said(&set.backfill(), "Fetched"), 2);
    let why = ["--reason", "request 9", "--yes"];
    let erase = |arguments: &[&str]| run(&[&["subject", "erase"], arguments, &why[..]].concat(), &set.data);
    for arguments in [
        ["--number", "07700900123", "--redact", "--recipient"].as_slice(),
        &["--email", "ben@example.com", "--redact", "--recipient"],
        &["--email", "amy@example.com"],
    ] {
        let done = erase(arguments);
        assert!(words(&done).contains("1 were "), "{arguments:?}: {}", words(&done));
    }

    // All is here as it is to be, but for a status that came meanwhile, which says whom it was to.
    set.api.sent(&id(3), "delivered", now);
    let output = set.backfill();
    let numbers = ["Seen", "Already here", "Missing", "Statuses filled", "Erased here"];
    assert_eq!(numbers.map(|name| said(&output, name)), [3, 1, 1, 1, 1]);
    assert_eq!(set.rows(), 3);
    let server = Server::start_in(&set.data, &[]);
    let page = server.signed_in("manager").get(&format!("/receipts/{}", id(3))).text();
    assert!(page.contains("Delivered") && page.contains("Redacted <time"), "{page}");
    server.kill();
    nobody_stands_in(&set.data);

    // And where nothing is here: in a store that is restored from before it came.
    let (data, journal) = (set.data.with_file_name("new"), set.data.join("counterfoil.erased"));
    let restore = ["restore", before.to_str().unwrap(), "--erased", journal.to_str().unwrap()];
    assert!(run(&restore, &data).status.success());
    let set = Set { data, ..set };
    let output = set.backfill();
    let numbers = ["Seen", "Already here", "Missing", "Fetched", "Erased here"];
    assert_eq!(numbers.map(|name| said(&output, name)), [3, 0, 3, 2, 1]);
    assert_eq!(set.kept(), HashSet::from([id(1), id(3)]));
    let server = Server::start_in(&set.data, &[]);
    let page = server.signed_in("manager").get(&format!("/receipts/{}", id(1))).text();
    assert!(page.contains("Redacted <time"), "{page}");
    server.kill();
    nobody_stands_in(&set.data);
}

/// Neither what was said nor to whom or by whom stands in a file of the store.
fn nobody_stands_in(data: &Path) {
    for file in fs::read_dir(data).unwrap() {
        let file = file.unwrap().path();
        let bytes = fs::read(&file).unwrap().to_ascii_lowercase();
        for said in ["hello", "7700900123", "amy@example.com", "ben@example.com"] {
            assert!(!bytes.windows(said.len()).any(|window| window == said.as_bytes()), "{said} in {}", file.display());
        }
    }
}

#[test]
fn it_goes_on_where_it_was_killed_and_nothing_is_missing_or_twice() {
    let set = Set::up();
    let now = clock::now() - MINUTE;
    for number in 0..1600 {
        set.api.sent(&id(number), "delivered", now - i64::try_from(number).unwrap() * SECOND);
    }
    let mut killed = set.command("Housing").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while set.rows() < 500 {
        assert!(began.elapsed() < Duration::from_mins(1), "pages are stored");
        std::thread::sleep(Duration::from_millis(20));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let before = set.rows();
    assert!((500..1600).contains(&before), "{before}");
    let asked = set.api.asked().len();
    // It was sent while nothing ran.
    set.api.sent(&id(9999), "delivered", now + SECOND);
    let output = set.backfill();
    let asked = set.api.asked().split_off(asked);
    assert!(asked[0].contains("older_than="), "it does not begin anew: {asked:?}");
    assert_eq!(said(&output, "Fetched"), 1601 - u64::try_from(before).unwrap());
    assert_eq!((set.kept().len(), set.rows()), (1601, 1601));
}

#[test]
fn a_place_that_notify_no_longer_knows_makes_it_begin_anew() {
    let set = Set::up();
    let now = clock::now() - MINUTE;
    set.api.sent(&id(1), "delivered", now);
    let store = rusqlite::Connection::open(set.data.join("counterfoil.db")).unwrap();
    let place = "INSERT INTO backfills (service, list, begun_at, since, older_than) VALUES (1, 1, ?1, 0, ?2)";
    store.execute(place, rusqlite::params![now - MINUTE, id(77)]).unwrap();
    assert_eq!(said(&set.backfill(), "Fetched"), 1);
}

#[test]
fn failures_are_waited_for_and_half_an_answer_is_none() {
    let set = Set::up();
    set.api.sent(&id(1), "delivered", clock::now() - MINUTE);
    set.api.fails(&[Fails::Status(429, "Exceeded rate limit"), Fails::Cut]);
    assert_eq!(said(&set.backfill(), "Fetched"), 1);
    set.api.fails(&[Fails::Status(503, "")]);
    assert_eq!(said(&set.backfill(), "Already here"), 1);
}

#[test]
fn a_refusal_ends_it_with_a_sentence_and_an_exit_code() {
    let set = Set::up();
    let clock = "Error: Your system clock must be accurate to within 30 seconds";
    for (status, message, expected) in [
        (403, clock, "this machine’s clock is wrong"),
        (403, "Invalid token: API key not found", "does not know this API key"),
        (400, "older_than is not a valid UUID", "refused the request with status 400"),
    ] {
        set.api.always_fails(Some(Fails::Status(status, message)));
        let output = set.backfill();
        assert_eq!(output.status.code(), Some(22), "{}", words(&output));
        assert!(words(&output).contains(expected), "{}", words(&output));
        let secret = NotifyApi::key();
        assert!(!words(&output).contains(&secret[secret.len() - 20..]), "the key stands nowhere");
    }
    let unknown = set.command("Parking").output().unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(words(&unknown).contains("no service of this name"));
}

#[test]
fn a_key_of_another_service_is_refused_once_the_service_is_known() {
    let set = Set::up();
    assert!(words(&set.backfill()).contains("Notify listed nothing"));
    let other = "key-00000000-0a55-4a1f-a2b2-3bd4b1c5f6aa-f9d696de-3ce8-459f-9f0e-8781d2fe61a6";
    fs::write(&set.key_file, other).unwrap();
    assert!(words(&set.backfill()).contains("of another service"));
    fs::write(&set.key_file, "nonsense").unwrap();
    assert!(words(&set.backfill()).contains("not of the form that Notify gives out"));
}

#[test]
fn ctrl_c_stops_it_and_the_next_one_goes_on() {
    let set = Set::up();
    let now = clock::now() - MINUTE;
    for number in 0..1000 {
        set.api.sent(&id(number), "delivered", now - i64::try_from(number).unwrap() * SECOND);
    }
    let running = set.command("Housing").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while set.rows() < 250 {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap().success());
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("goes on from there"), "{}", words(&output));
    assert!(set.rows() < 1000);
    assert!(set.backfill().status.success());
    assert_eq!((set.kept().len(), set.rows()), (1000, 1000));
}

#[test]
fn an_outage_is_filled_by_the_server_itself_after_its_start() {
    let set = Set::up();
    let now = clock::now() - MINUTE;
    let headers = format!("Authorization: Bearer {}\r\n", set.token);
    let server = Server::start_in(&set.data, &[]);
    set.api.sent(&id(1), "delivered", now);
    let body = format!(r#"{{"id": "{}", "status": "delivered"}}"#, id(1));
    assert_eq!(server.post_with("/callbacks", &headers, body.as_bytes()).status, 200);
    server.kill();
    // While it is down.
    let missed: HashSet<String> = (2..300).map(id).collect();
    for (number, id) in missed.iter().enumerate() {
        set.api.sent(id, "delivered", now + i64::try_from(number).unwrap());
    }
    set.api.received(&id(2000), now);
    let key = format!("Housing={}", set.key_file.display());
    let mut server = Server::start_in(&set.data, &["--backfill", &key, "--backfill-url", &set.api.url()]);
    let log = logged(&mut server, "backfill.done");
    assert!(log.contains("fetched=299") && log.contains("missing=299"), "{log}");
    let here = set.kept();
    assert!(missed.is_subset(&here) && here.contains(&id(2000)));
    assert_eq!(set.rows(), 300);
    assert!(!log.to_lowercase().contains("example.com") && !log.contains("f9d696de"), "{log}");
}

#[test]
fn managers_are_told_of_an_outage_until_it_is_read_back() {
    let set = Set::up();
    drop(Server::start_in(&set.data, &[]));
    let store = rusqlite::Connection::open(set.data.join("counterfoil.db")).unwrap();
    let hour_ago = clock::now() - 60 * MINUTE;
    store.execute("UPDATE signs_of_life SET alive_at = ?1", [hour_ago]).unwrap();
    store.execute("UPDATE tokens SET made_at = ?1", [hour_ago]).unwrap();
    let mut server = Server::start_in(&set.data, &[]);
    assert!(logged(&mut server, "store.gap").contains("counterfoil backfill"));
    let (mut manager, mut caseworker) = (server.signed_in("manager"), server.signed_in("caseworker"));
    let told = "Reports may be missing.";
    for path in ["/receipts", "/quarantine"] {
        assert!(manager.get(path).text().contains(told), "{path}");
    }
    assert!(!caseworker.get("/receipts").text().contains(told));
    assert!(set.backfill().status.success());
    assert!(!manager.get("/receipts").text().contains(told));
    // A clean stop is a sign of life, and no gap follows it.
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    let alive: i64 = store.query_row("SELECT alive_at FROM signs_of_life", [], |row| row.get(0)).unwrap();
    assert!(alive > hour_ago + 59 * MINUTE);
}

#[test]
fn managers_are_told_of_a_silence_until_a_callback_comes() {
    let set = Set::up();
    drop(Server::start_in(&set.data, &[]));
    let store = rusqlite::Connection::open(set.data.join("counterfoil.db")).unwrap();
    // Some came each hour of the weeks before, and until six hours ago.
    let fill = "WITH RECURSIVE ago (hours) AS (SELECT 6 UNION ALL SELECT hours + 1 FROM ago WHERE hours < 800)
        INSERT INTO hours (hour, service, arrived) SELECT ?1 - hours, (SELECT id FROM services WHERE name = 'Housing'), 40 FROM ago";
    store.execute(fill, [clock::now() / (60 * MINUTE)]).unwrap();
    let mut server = Server::start_in(&set.data, &[]);
    let line = logged(&mut server, "callback.silence");
    assert!(line.contains("Housing") && line.contains("usual=") && line.contains("counterfoil backfill"), "{line}");
    let (mut manager, mut caseworker) = (server.signed_in("manager"), server.signed_in("caseworker"));
    let told = "Nothing has come from Notify for <bdi>Housing</bdi> since";
    for path in ["/receipts", "/quarantine"] {
        let page = manager.get(path).text();
        assert!(page.contains(told) && page.contains("0 on average"), "{path}: {page}");
    }
    assert!(!caseworker.get("/receipts").text().contains(told));
    let headers = format!("Authorization: Bearer {}\r\n", set.token);
    assert_eq!(server.post_with("/callbacks", &headers, br#"{"id": "a", "status": "delivered"}"#).status, 200);
    assert!(!manager.get("/receipts").text().contains(told));
}

/// The line of an event, once it is logged.
fn logged(server: &mut Server, event: &str) -> String {
    let began = Instant::now();
    loop {
        let log = server.log();
        if let Some(line) = log.lines().find(|line| line.contains(event)) {
            return line.to_owned();
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{event} in {log}");
    }
}
