//! Durable receipts a second: `counterfoil serve` under `counterfoil send`, against the same edge, token check and reading of
//! the body with the store left out. Both run as processes of their own and take turns; trust the ratio, not single figures.
//!
//! `cargo bench --bench durable_receipts -- [SECONDS [ROUNDS]]`; 20 seconds a side and 2 rounds where nothing is said.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints, and stops when it cannot go on"
)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Buf;
use counterfoil::access::token_sha256;
use counterfoil::edge::{self, Limits, Peer};
use counterfoil::notify::Callback;
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, StatusCode};
use subtle::ConstantTimeEq as _;
use warp::{Filter as _, Reply as _};

const BINARY: &str = env!("CARGO_BIN_EXE_counterfoil");
const CONNECTIONS: &str = "64";
const TOKEN: &str = "a token for the benchmark alone, which opens nothing else";
/// The first argument of this program as the server without a store.
const WITHOUT_STORE: &str = "without-store";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == WITHOUT_STORE) {
        return without_store();
    }
    let number = |place: usize, otherwise| arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (seconds, rounds) = (Duration::from_secs(number(0, 20)), number(1, 2));
    let mut rates = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        let [durable, without] = &mut rates;
        durable.push(measured(&format!("round {round}, durable      "), seconds, serve));
        without.push(measured(&format!("round {round}, without store"), seconds, |_| {
            Command::new(std::env::current_exe().unwrap()).arg(WITHOUT_STORE).stderr(Stdio::piped()).spawn().unwrap()
        }));
    }
    let [durable, without] =
        rates.map(|rates| rates.iter().sum::<f64>() / f64::from(u32::try_from(rates.len()).unwrap()));
    println!("{durable:.0} durable receipts a second, {without:.0} without the store: {:.2} of it", durable / without);
}

fn serve(folder: &Path) -> Child {
    let data = folder.join("store");
    let added = Command::new(BINARY)
        .args(["token", "add", "Benchmark", "--from-file"])
        .arg(folder.join("token"))
        .arg("--data")
        .arg(&data)
        .stderr(Stdio::null())
        .status();
    assert!(added.unwrap().success());
    Command::new(BINARY)
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Callbacks a second.
fn measured(name: &str, seconds: Duration, start: impl FnOnce(&Path) -> Child) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, TOKEN).unwrap();
    let sync = sync_times(folder.path());
    let mut server = start(folder.path());
    let mut log = BufReader::new(server.stderr.take().unwrap()).lines();
    let address = log.find_map(|line| {
        let line = line.unwrap();
        line.split_once("listening on ").map(|(_, rest)| rest.split_whitespace().next().unwrap().to_owned())
    });
    let before = cpu_ticks("/proc/stat", 1);
    let began = Instant::now();
    let sender = Command::new(BINARY)
        .args(["send", "receipts", "--count", "1000000000", "--connections", CONNECTIONS, "--seed", "1"])
        .args(["--url", &address.unwrap(), "--token-file"])
        .arg(&token)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(seconds);
    assert!(Command::new("kill").args(["-INT", &sender.id().to_string()]).status().unwrap().success());
    let said = String::from_utf8(sender.wait_with_output().unwrap().stderr).unwrap();
    let took = began.elapsed().as_secs_f64();
    let summary = said.lines().last().unwrap();
    let count: f64 = summary.split(' ').next().unwrap().parse().unwrap();
    let (user_and_system, memory) = usage(server.id());
    let idle = idle_share(&before, &cpu_ticks("/proc/stat", 1));
    server.kill().unwrap();
    server.wait().unwrap();
    println!("{name}: {summary}");
    println!(
        "    server: {:.1} µs of CPU a callback, {memory} MB at most; machine {idle:.0} % idle; sync {sync}",
        user_and_system * 1e6 / count
    );
    count / took
}

/// How long an append of 4 KiB and its sync take here, for judging the figures.
fn sync_times(folder: &Path) -> String {
    let mut file = File::create(folder.join("sync")).unwrap();
    let mut times: Vec<Duration> = (0..500)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&[7; 4096]).unwrap();
            file.sync_data().unwrap();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |place: usize| times.get(place).copied().unwrap_or_default().as_secs_f64() * 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms", at(250), at(495))
}

fn cpu_ticks(file: &str, skip: usize) -> Vec<f64> {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().next().unwrap_or_default();
    line.split_whitespace().skip(skip).filter_map(|ticks| ticks.parse().ok()).collect()
}

/// The share of the machine's time in which it had nothing to do, in hundredths.
fn idle_share(before: &[f64], after: &[f64]) -> f64 {
    let spent: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    100.0 * spent.get(3).copied().unwrap_or_default() / spent.iter().sum::<f64>()
}

/// Seconds of CPU and the largest resident size in MB of a process.
fn usage(pid: u32) -> (f64, u64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<f64> = stat.rsplit(')').next().unwrap().split_whitespace().filter_map(|f| f.parse().ok()).collect();
    // After the name come the state, which is no number, and then ten numbers before the times; a tick is 10 ms.
    let seconds = fields.iter().skip(10).take(2).sum::<f64>() / 100.0;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    (seconds, peak.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024)
}

/// The same edge, route, check of the token and reading of the body, answered without keeping anything.
#[tokio::main]
async fn without_store() {
    let listener = edge::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    eprintln!("listening on http://{}", listener.local_addr().unwrap());
    let known = token_sha256(TOKEN.as_bytes());
    let routes = warp::method()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream())
        .then(move |_, _, headers: HeaderMap, _, body| async move {
            let value = headers.get(http::header::AUTHORIZATION).map_or(b"".as_slice(), |value| value.as_bytes());
            let token = value.get(7..).unwrap_or_default();
            let valid = bool::from(token_sha256(token).ct_eq(&known));
            let body = tokio::time::timeout(Duration::from_secs(10), whole(body)).await.unwrap_or_default();
            let kept = valid && Callback::read(&body).is_ok();
            let mut response = warp::reply().into_response();
            *response.status_mut() = if kept { StatusCode::OK } else { StatusCode::BAD_REQUEST };
            response
        })
        .boxed();
    let routes = routes
        .recover(|_| async { Ok::<_, std::convert::Infallible>(StatusCode::NOT_FOUND.into_response()) })
        .unify()
        .boxed();
    let (_run_for_ever, stop) = tokio::sync::watch::channel(false);
    edge::serve(listener, None, routes, Limits::default(), stop).await;
}

async fn whole<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>>) -> Vec<u8> {
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(Ok(mut chunk)) = body.next().await {
        while chunk.has_remaining() {
            bytes.extend_from_slice(chunk.chunk());
            chunk.advance(chunk.chunk().len());
        }
    }
    bytes
}
