//! A store with more and more in it: what a callback and a page cost then, how large it is and how soon it starts.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use counterfoil::made_up::{Bodies, What};
use counterfoil::notify::filter::Filter;
use counterfoil::notify::recipient::{MatchKey, reference_key};
use counterfoil::notify::{Callback, words};
use counterfoil::store::{
    Arrival, Checkpoint, Cursor, Envelope, Find, Origin, Removal, ServiceId, Services, Source, Store,
};

use crate::load::{self, Running};
use crate::machine::{self, quantile};
use crate::report::{Point, Report};
use crate::sides::{self, BINARY};
use crate::{Asked, load::Measured};

/// How often each call is made.
const CALLS: usize = 200;
/// Twenty years, in microseconds: what is held came over that time.
const SPAN: i64 = 20 * 365 * 86_400_000_000;
const MOST: i64 = 100_000_000;
const PASSWORD: &str = "a password for the benchmark";
/// Every so many callbacks one is a received text.
const TEXT_EVERY: i64 = 21;

pub(crate) fn grow(asked: &Asked, report: &mut Report) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    report.bytes_each = bytes_each(folder.path());
    sides::add_token(folder.path(), &data);
    add_person(&data);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let services = runtime.block_on(add_services(&data));
    let mut held = 0;
    for rows in [10_000, 100_000, 1_000_000, 10_000_000, 100_000_000].into_iter().filter(|rows| *rows <= asked.rows) {
        runtime.block_on(fill(&data, &services, held, rows as i64));
        held = rows as i64;
        let point = point(asked, folder.path(), &data, &runtime, &services, rows);
        eprintln!("{point:#?}");
        report.points.push(point);
    }
    report.removal = Some(removal(asked, folder.path(), &runtime));
}

fn start() -> i64 {
    // A fixed day, so that one run holds what another held.
    1_795_000_000_000_000 - SPAN
}

/// Bytes on the disk for a receipt, with everything that it is found by.
fn bytes_each(folder: &Path) -> f64 {
    let (data, rows) = (folder.join("receipts"), 500_000);
    sides::add_token(folder, &data);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::serve(&data, start()).unwrap();
        let service = store.tokens().await.unwrap()[0].service;
        let mut bodies = Bodies::new(3);
        let arrivals = (0..rows).map(|n| {
            let at = start() + n * (SPAN / MOST);
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
async fn keep_all<F>(store: &Store, arrivals: impl Iterator<Item = F>, mut said: impl FnMut(usize))
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

async fn add_services(data: &Path) -> Vec<ServiceId> {
    let store = Store::beside(data, start()).unwrap();
    for n in 0..3_u8 {
        store.add_token(format!("Service {n}"), None, [n; 32], start()).await.unwrap();
    }
    store.tokens().await.unwrap().iter().map(|token| token.service).collect()
}

fn add_person(data: &Path) {
    let mut add = Command::new(BINARY);
    add.args(["user", "add", "bench@example.org", "--role", "caseworker", "--password-stdin", "--data"]).arg(data);
    let mut add = add.stdin(Stdio::piped()).spawn().unwrap();
    add.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    assert!(add.wait().unwrap().success());
}

/// Through the same calls as a server's, as fast as they go.
async fn fill(data: &Path, services: &[ServiceId], from: i64, to: i64) {
    let store = Store::serve(data, start()).unwrap();
    let (mut bodies, began) = (Bodies::new(from as u64 + 7), Instant::now());
    let arrivals = (from..to).map(|n| {
        let at = start() + n * (SPAN / MOST);
        // Texts of each of the services.
        let what = if n % TEXT_EVERY == n / TEXT_EVERY % TEXT_EVERY { What::Texts } else { What::Receipts };
        arrival(services[n as usize % services.len()], at, bodies.next(what, at).body)
    });
    let said = |done: usize| {
        let rate = done as f64 / began.elapsed().as_secs_f64();
        eprintln!("{} of {to} held, {rate:.0} a second", from as usize + done);
    };
    keep_all(&store, arrivals, said).await;
    assert_eq!(store.close(), Checkpoint::Whole);
}

fn point(
    asked: &Asked,
    folder: &Path,
    data: &Path,
    runtime: &tokio::runtime::Runtime,
    services: &[ServiceId],
    rows: u64,
) -> Point {
    let start_clean = first_answer(data);
    let server = Running::start(sides::serve(data));
    let sync = machine::sync_times(folder);
    let seed = rows + machine::ticks()[0] as u64;
    let (ingest, acknowledged) = load::under_load(&server, folder, 64, asked.seconds, sync, seed);
    server.stop("-KILL");
    let start_killed = first_answer(data);
    let stored: u64 = sides::Side::Counterfoil.stored(folder).unwrap();
    assert!(stored >= rows + acknowledged);
    let sample = Sample::of(data);
    let pages = pages(data, &sample);
    let calls = runtime.block_on(calls(data, services, &sample));
    Point { rows, ingest, start_clean, start_killed, pages, calls }
}

/// Milliseconds from the start of the process to the first callback that it acknowledges.
fn first_answer(data: &Path) -> f64 {
    let began = Instant::now();
    let server = Running::start(sides::serve(data));
    let body = Bodies::new(machine::ticks()[0] as u64 + 99).next(What::Receipts, 1_795_000_000_000_000).body;
    let head = format!(
        "POST /callbacks HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        load::TOKEN,
        body.len()
    );
    let answer = exchange(&server.address, &[head.as_bytes(), &body].concat());
    let took = began.elapsed().as_secs_f64() * 1e3;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.stop("-TERM");
    took
}

fn exchange(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Things to look for, from all over the store.
struct Sample {
    references: Vec<String>,
    numbers: Vec<String>,
    emails: Vec<String>,
    texts: Vec<String>,
    newest: i64,
}

impl Sample {
    fn of(data: &Path) -> Sample {
        let connection = rusqlite::Connection::open(data.join("counterfoil.db")).unwrap();
        let newest: i64 = connection.query_row("SELECT max(arrival) FROM callbacks", [], |row| row.get(0)).unwrap();
        let some = |sql: &str| -> Vec<String> {
            let mut find = connection.prepare(sql).unwrap();
            let place = |n: usize| n as i64 * 7_919 * 104_729 % newest;
            (0..CALLS).filter_map(|n| find.query_row([place(n)], |row| row.get(0)).ok()).collect()
        };
        Sample {
            references: some("SELECT reference FROM callbacks WHERE arrival >= ?1 AND reference LIKE 'HB-%' LIMIT 1"),
            numbers: some("SELECT person FROM callbacks WHERE arrival >= ?1 AND person LIKE '0%' LIMIT 1"),
            emails: some("SELECT person FROM callbacks WHERE arrival >= ?1 AND person LIKE '%@%' LIMIT 1"),
            texts: some("SELECT message FROM callbacks WHERE arrival >= ?1 AND message IS NOT NULL LIMIT 1"),
            newest,
        }
    }
}

/// Milliseconds of whole signed-in pages: 99 in 100 are there within so many.
fn pages(data: &Path, sample: &Sample) -> Vec<(&'static str, f64)> {
    let server = Running::start(sides::serve(data));
    let form = format!("email=bench%40example.org&password={}", PASSWORD.replace(' ', "+"));
    let sign_in = format!(
        "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nSec-Fetch-Site: same-origin\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let answer = exchange(&server.address, sign_in.as_bytes());
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("the sign-in works");
    let cookie = cookie.split(';').next().unwrap();
    let took = |path: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n");
        let began = Instant::now();
        let answer = exchange(&server.address, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer:.300}");
        began.elapsed().as_secs_f64() * 1e3
    };
    let reference = |reference: &String| {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("q", reference).finish();
        took(&format!("/receipts?{query}"))
    };
    let references: Vec<f64> = sample.references.iter().map(reference).collect();
    let newest: Vec<f64> = (0..CALLS).map(|_| took("/receipts")).collect();
    let inbox: Vec<f64> = (0..CALLS / 4).map(|_| took("/messages")).collect();
    vec![
        ("reference search, the whole page", quantile(&references, 0.99)),
        ("newest first, the whole page", quantile(&newest, 0.99)),
        ("the inbox, the whole page", quantile(&inbox, 0.99)),
    ]
}

/// Milliseconds of the store's calls: 99 in 100 are done within so many.
async fn calls(data: &Path, services: &[ServiceId], sample: &Sample) -> Vec<(String, f64)> {
    let store = Store::serve(data, start()).unwrap();
    let person = |typed: &String| Source::Person(MatchKey::of_recipient(typed).unwrap().as_str().to_owned());
    let begin = |reference: &String| reference_key(reference).chars().take(6).collect::<String>();
    let longest_word = |text: &String| words::of(text).max_by_key(String::len).into_iter().collect();
    let page_1000: Cursor = Cursor::After(format!("0-{}", (sample.newest - 50_000).max(1)).parse().unwrap());
    let kinds: Vec<(&str, Vec<Find>)> = vec![
        ("a number", sample.numbers.iter().map(|number| find(person(number))).collect()),
        ("an email address", sample.emails.iter().map(|email| find(person(email))).collect()),
        ("a reference", sample.references.iter().map(|r| find(Source::Reference(reference_key(r)))).collect()),
        ("begins with", sample.references.iter().map(|r| find(Source::ReferenceBeginsWith(begin(r)))).collect()),
        ("a word of a text", sample.texts.iter().map(|text| find(Source::Words(longest_word(text)))).collect()),
        ("a filter that some meet", vec![filtered(Filter::NotDelivered); CALLS]),
        ("a filter that few meet", vec![filtered(Filter::TechnicalFailure); CALLS]),
        ("page 1,000", vec![Find { from: Some(page_1000), ..find(Source::Newest) }; CALLS]),
        ("contains, for 20 ms", vec![find(Source::Contains("no such words".into())); CALLS / 4]),
    ];
    let mut measured = Vec::new();
    for (name, finds) in kinds {
        for sees in [Services::All, Services::Only(vec![services[1]])] {
            let mut times = Vec::new();
            for find in finds.clone() {
                let asked_at = Instant::now();
                store.find(&sees, find).await.unwrap();
                times.push(asked_at.elapsed().as_secs_f64() * 1e3);
            }
            let of = if sees == Services::All { "" } else { ", of one service" };
            measured.push((format!("{name}{of}"), quantile(&times, 0.99)));
        }
    }
    measured
}

fn find(source: Source) -> Find {
    Find { sources: vec![source], status: None, from: None }
}

fn filtered(filter: Filter) -> Find {
    Find { status: Some(filter), ..find(Source::Newest) }
}

/// A twentieth of the rows that were asked for, 5 million at most, is removed while callbacks come; without it and with it.
fn removal(asked: &Asked, folder: &Path, runtime: &tokio::runtime::Runtime) -> (Measured, Measured, u64) {
    let (data, day) = (&folder.join("removal"), (asked.rows / 20).min(5_000_000) as i64);
    sides::add_token(folder, data);
    let services = runtime.block_on(add_services(data));
    runtime.block_on(fill(data, &services, 0, day));
    let sync = machine::sync_times(folder);
    let seed = machine::ticks()[0] as u64;
    let without = {
        let server = Running::start(sides::serve(data));
        let measured = load::under_load(&server, folder, 64, asked.seconds, sync, seed).0;
        server.stop("-TERM");
        measured
    };
    // The server has no command for it yet, so its own calls are made beside a server of this process.
    let store = runtime.block_on(async { Store::serve(data, start()).unwrap() });
    let site = counterfoil::web::Site::new(&store, None);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let listener = runtime.block_on(async { counterfoil::edge::bind("127.0.0.1:0".parse().unwrap()).unwrap() });
    let address = format!("http://{}", listener.local_addr().unwrap());
    let routes = counterfoil::web::routes(&site);
    let limits = counterfoil::edge::Limits::default();
    runtime.spawn(counterfoil::edge::serve(listener, None, routes, limits, stopped));
    runtime.spawn(counterfoil::upkeep::run(store.clone()));
    let before = start() + day * (SPAN / MOST);
    let removing = store.clone();
    let removed = runtime.spawn(async move {
        let mut removed = 0;
        loop {
            let began = Instant::now();
            match removing.remove_before(before).await.unwrap() {
                Removal::Removed(rows) => removed += rows as u64,
                Removal::Done => return removed,
            }
            tokio::time::sleep(began.elapsed().min(Duration::from_millis(20))).await;
        }
    });
    let server = Running { child: Command::new("sleep").arg("infinity").spawn().unwrap(), address };
    let with = load::under_load(&server, folder, 64, asked.seconds, sync, seed + 1).0;
    let removed = runtime.block_on(removed).unwrap();
    stop.send_replace(true);
    assert_eq!(store.close(), Checkpoint::Whole);
    (without, with, removed)
}
