//! Notify's schedule against outages of 0 to 30 minutes, on a clock of the test's own: it goes on to whatever is next, a receipt,
//! one of its retries, the server's stop or its start, and each is done for real before the next. So nothing rests on how fast
//! the machine is.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use counterfoil::clock;
use tempfile::TempDir;

use crate::notify_api::{Fails, NotifyApi};
use crate::server::{BINARY, Server, exchange, folder, ids, printed, request, run};

/// Seconds on the test's clock.
type Moment = u64;

const MINUTE: Moment = 60;
/// Notify tries again so often, with so long between.
const RETRIES: u32 = 5;
const BETWEEN: Moment = 300;
/// The outage begins so long after the first receipt, and receipts go on for as long after its end.
const AROUND: Moment = 3 * MINUTE;
/// The longest outage that loses nothing: the last try is 25 minutes after the first.
const LONGEST_SURVIVED: Moment = 24;

/// What happens at a moment; what stands first here comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Stop,
    Start,
    /// The try of this number for the receipt of this number.
    Try(usize, u32),
}

/// How the server ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ends {
    ByItself,
    Killed,
}

/// A store, and Notify at the other end.
struct Site {
    _folder: TempDir,
    data: PathBuf,
    key_file: PathBuf,
    token: String,
    api: NotifyApi,
}

/// What came of one outage.
struct Outcome {
    /// All that were sent.
    sent: Vec<String>,
    /// Those that were answered with 200, before or after the outage.
    acknowledged: HashSet<String>,
    /// Those that Notify gave up.
    given_up: HashSet<String>,
    /// The server, as it runs after it.
    server: Server,
}

impl Site {
    fn new() -> Site {
        let folder = folder();
        let (data, key_file) = (folder.path().join("store"), folder.path().join("key"));
        fs::write(&key_file, NotifyApi::key()).unwrap();
        let token = printed(&run(&["token", "add", "Housing"], &data));
        Site { _folder: folder, data, key_file, token, api: NotifyApi::start() }
    }

    /// Sends a receipt every so many seconds, before, in and after an outage of so many minutes, and each as often as Notify does.
    /// Notify's list holds all of them. `more` is what the server is started with after the outage.
    fn go_through(&self, outage: Moment, every: Moment, ends: Ends, more: &[&str]) -> Outcome {
        let down = AROUND..AROUND + outage * MINUTE;
        let mut events = BTreeSet::from([(down.start, Event::Stop), (down.end, Event::Start)]);
        let (mut sent, began) = (Vec::new(), clock::now());
        for at in (0..down.end + AROUND).step_by(usize::try_from(every).unwrap()) {
            let id = uuid::Uuid::from_u128((u128::from(outage) << 64 | u128::from(at)).wrapping_mul(SPREAD));
            let id = id.hyphenated().to_string();
            // Three of each moment, so that the pages of the list end within one.
            self.api.sent(&id, "delivered", began - 3_600_000_000 + i64::try_from(sent.len() / 3).unwrap());
            events.insert((at, Event::Try(sent.len(), 0)));
            sent.push(id);
        }
        let (mut acknowledged, mut given_up) = (HashSet::new(), HashSet::new());
        let (_nobody, refuses) = refusing();
        let mut server = Some(Server::start_in(&self.data, &[]));
        while let Some((now, event)) = events.pop_first() {
            match event {
                Event::Stop => end(server.take().unwrap(), ends),
                Event::Start => server = Some(Server::start_in(&self.data, more)),
                Event::Try(number, tries) => {
                    let id = &sent[number];
                    let at = server.as_ref().map_or(refuses, |server| server.at);
                    match self.post(at, id) {
                        Some(200) => drop(acknowledged.insert(id.clone())),
                        // Nobody listens, or it is sent again.
                        None | Some(429 | 500..) if tries < RETRIES => {
                            events.insert((now + BETWEEN, Event::Try(number, tries + 1)));
                        }
                        None | Some(429 | 500..) => drop(given_up.insert(id.clone())),
                        Some(other) => panic!("Notify drops what is answered {other}"),
                    }
                }
            }
        }
        Outcome { sent, acknowledged, given_up, server: server.unwrap() }
    }

    /// The status; `None` where there was no answer.
    fn post(&self, at: SocketAddr, id: &str) -> Option<u16> {
        drop(TcpStream::connect(at).ok()?);
        // As it stands in the list.
        let body = format!(
            r#"{{"id": "{id}", "reference": "REF", "to": "Amy@example.com", "status": "delivered", "notification_type": "email"}}"#
        );
        let headers = format!("Authorization: Bearer {}\r\n", self.token);
        let answer = exchange(at, &request("POST", "/callbacks", &headers, body.as_bytes()));
        Some(answer.status).filter(|status| *status != 0)
    }

    fn backfill(&self) -> Output {
        let mut command = Command::new(BINARY);
        command.args(["backfill", "--service", "Housing", "--url", &self.api.url(), "--api-key-file"]);
        command.arg(&self.key_file).arg("--data").arg(&self.data).output().unwrap()
    }

    fn kept(&self) -> HashSet<String> {
        ids(&self.data.join("counterfoil.db"))
    }

    fn rows(&self) -> usize {
        let store = rusqlite::Connection::open(self.data.join("counterfoil.db")).unwrap();
        store.query_row("SELECT count(*) FROM callbacks", [], |row| row.get(0)).unwrap()
    }
}

/// Makes ids random in all of their bytes, as Notify's are.
const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// An address where connections are refused while the socket is held: another test's server could take the one of a server that
/// has ended.
fn refusing() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let at = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, at)
}

fn end(server: Server, ends: Ends) {
    match ends {
        Ends::Killed => server.kill(),
        Ends::ByItself => {
            server.signal("-TERM");
            assert_eq!(server.ended(), Some(0));
        }
    }
}

/// The number that stands behind a name in the report of a backfill.
fn said(output: &Output, name: &str) -> usize {
    let report = printed(output);
    let line = report.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {report}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn an_outage_of_up_to_24_minutes_loses_no_receipt() {
    let site = Site::new();
    let (mut tried, mut sent, mut lost) = (0, 0, 0);
    for outage in 0..=LONGEST_SURVIVED {
        let ends = if outage % 2 == 0 { Ends::Killed } else { Ends::ByItself };
        let outcome = site.go_through(outage, 20, ends, &[]);
        let kept = site.kept();
        tried += 1;
        sent += outcome.sent.len();
        lost += outcome.sent.iter().filter(|id| !kept.contains(*id)).count();
        assert_eq!(outcome.given_up.len(), 0, "{outage} minutes");
        assert_eq!(outcome.acknowledged.len(), outcome.sent.len(), "{outage} minutes");
    }
    eprintln!("outages of 0 to {LONGEST_SURVIVED} minutes: {tried} tried, {sent} receipts sent, {lost} lost");
    assert_eq!(lost, 0);
    assert_eq!(site.rows(), sent, "each stands once");
}

#[test]
fn what_notify_gave_up_in_a_longer_outage_is_named_and_fetched_by_a_backfill() {
    let (mut tried, mut given_up, mut fetched) = (0, 0, 0);
    for (outage, ends) in [(25, Ends::ByItself), (26, Ends::Killed), (28, Ends::ByItself), (30, Ends::Killed)] {
        let site = Site::new();
        let outcome = site.go_through(outage, 5, ends, &[]);
        tried += 1;
        assert_eq!(outcome.acknowledged.len() + outcome.given_up.len(), outcome.sent.len());
        // Those whose last try fell into the outage: which began with it, and were sent 25 minutes before its end.
        let first = usize::try_from(AROUND / 5).unwrap();
        let last = first + usize::try_from((outage - 25) * MINUTE / 5).unwrap();
        let named: HashSet<String> = outcome.sent[first..last].iter().cloned().collect();
        assert_eq!(outcome.given_up, named, "{outage} minutes");
        assert_eq!(site.kept(), outcome.acknowledged, "{outage} minutes: nothing else is missing");
        // Notify is busy meanwhile, and cuts an answer short.
        site.api.fails(&[Fails::Status(429, "Exceeded rate limit"), Fails::Cut, Fails::Status(503, "")]);
        let report = site.backfill();
        assert_eq!(said(&report, "Missing"), named.len(), "{outage} minutes");
        assert_eq!(said(&report, "Fetched"), named.len(), "{outage} minutes");
        assert_eq!(said(&report, "Already here"), outcome.acknowledged.len(), "{outage} minutes");
        let kept = site.kept();
        assert!(outcome.sent.iter().all(|id| kept.contains(id)), "{outage} minutes: all are here");
        assert_eq!(site.rows(), outcome.sent.len(), "{outage} minutes: each stands once");
        assert_eq!(said(&site.backfill(), "Missing"), 0, "{outage} minutes");
        given_up += named.len();
        fetched += said(&report, "Fetched");
    }
    eprintln!(
        "outages of 25 to 30 minutes: {tried} tried, {given_up} receipts given up by Notify, {fetched} fetched, 0 lost"
    );
    assert!(given_up > 0, "some are given up: else this proves nothing");
}

#[test]
fn a_server_that_reads_back_after_its_start_has_all_of_it_once_though_retries_are_still_to_come() {
    let site = Site::new();
    let outage = 30;
    let key = format!("Housing={}", site.key_file.display());
    let more = ["--backfill", &key, "--backfill-url", &site.api.url()];
    let mut outcome = site.go_through(outage, 5, Ends::Killed, &more);
    assert!(!outcome.given_up.is_empty());
    let began = Instant::now();
    while !outcome.server.log().contains("backfill.done") {
        assert!(began.elapsed() < Duration::from_mins(1), "it reads back");
    }
    let kept = site.kept();
    assert!(outcome.sent.iter().all(|id| kept.contains(id)), "all are here");
    assert_eq!(site.rows(), outcome.sent.len(), "what was fetched and came after all stands once");
    eprintln!(
        "an outage of {outage} minutes, read back at the start: {} sent, {} given up by Notify, 0 lost",
        outcome.sent.len(),
        outcome.given_up.len()
    );
    // A receipt that came after all has taken the place of what was fetched.
    for id in outcome.acknowledged.iter().take(20) {
        assert!(!String::from_utf8_lossy(&outcome.server.kept(id)[0]).contains("template"));
    }
}
