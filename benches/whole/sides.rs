//! The sides: ours, the same without its store, and what others would build.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Buf;
use counterfoil::access::token_sha256;
use counterfoil::edge::{self, Limits};
use counterfoil::made_up::{Bodies, What};
use counterfoil::notify::{Callback, Content};
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, StatusCode};
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use warp::{Filter as _, Reply as _};

use crate::load::{Measured, TOKEN};
use crate::machine;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_counterfoil");
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers");
const TABLE: &str = "CREATE TABLE IF NOT EXISTS receipts (id TEXT PRIMARY KEY, reference TEXT, recipient TEXT, status TEXT,
    created_at TEXT, completed_at TEXT, sent_at TEXT, notification_type TEXT, template_id TEXT, template_version INTEGER);
    CREATE INDEX IF NOT EXISTS by_reference ON receipts (reference);
    CREATE INDEX IF NOT EXISTS by_recipient ON receipts (recipient);";

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Side {
    Counterfoil,
    WithoutStore,
    SqliteAlone,
    Pool,
    Express,
    ExpressBatched,
    Flask,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Counterfoil => "counterfoil",
            Side::WithoutStore => "the same without the store",
            Side::SqliteAlone => "SQLite alone, 64 rows a transaction",
            Side::Pool => "a transaction each from an r2d2 pool",
            Side::Express => "Express and better-sqlite3",
            Side::ExpressBatched => "Express and better-sqlite3, batched",
            Side::Flask => "Flask, gunicorn and sqlite3",
        }
    }

    /// What it lacks here, if it lacks something.
    pub(crate) fn is_there(self) -> Result<(), String> {
        match self {
            Side::Express | Side::ExpressBatched if !Path::new(PEERS).join("node_modules").exists() => {
                Err("run npm ci in benches/peers".into())
            }
            Side::Flask if gunicorn().is_none() => Err("gunicorn is not on the path, or where GUNICORN says".into()),
            _ => Ok(()),
        }
    }

    /// Starts it on a folder of its own.
    pub(crate) fn command(self, folder: &Path) -> Command {
        let file = folder.join("peer.db");
        match self {
            Side::Counterfoil => {
                let data = folder.join("store");
                add_token(folder, &data);
                serve(&data)
            }
            Side::WithoutStore => again("without-store", &[]),
            Side::Pool => again("pool", &[file.to_str().unwrap()]),
            Side::SqliteAlone => again("nothing", &[]),
            Side::Express | Side::ExpressBatched => {
                let mut node = Command::new("node");
                node.arg(Path::new(PEERS).join("express.js")).arg(file).arg(TOKEN);
                if self == Side::ExpressBatched {
                    node.arg("batch");
                }
                node
            }
            Side::Flask => {
                let mut flask = Command::new(gunicorn().unwrap());
                flask.args(["--workers", "2", "--bind", "127.0.0.1:0", "--chdir", PEERS, "flask_app:app"]);
                flask.env("PEER_FILE", file).env("PEER_TOKEN", TOKEN);
                flask
            }
        }
    }

    /// How many rows it has stored.
    pub(crate) fn stored(self, folder: &Path) -> Option<u64> {
        let (file, sql) = match self {
            Side::Counterfoil => ("store/counterfoil.db", "SELECT count(*) FROM callbacks"),
            Side::WithoutStore => return None,
            _ => ("peer.db", "SELECT count(*) FROM receipts"),
        };
        let connection = Connection::open(folder.join(file)).unwrap();
        Some(connection.query_row(sql, [], |row| row.get(0)).unwrap())
    }
}

pub(crate) fn add_token(folder: &Path, data: &Path) {
    let token = folder.join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let mut add = Command::new(BINARY);
    add.args(["token", "add", "Benchmark", "--from-file"]).arg(token).arg("--data").arg(data);
    assert!(add.stderr(Stdio::null()).status().unwrap().success());
}

pub(crate) fn serve(data: &Path) -> Command {
    let mut serve = Command::new(BINARY);
    serve.args(["serve", "--listen", "127.0.0.1:0", "--require-second-factor", "none", "--data"]).arg(data);
    serve
}

fn again(side: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(side).args(arguments);
    command
}

fn gunicorn() -> Option<PathBuf> {
    let named = std::env::var_os("GUNICORN").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = || std::env::split_paths(&path).map(|folder| folder.join("gunicorn")).find(|file| file.is_file());
    named.filter(|file| file.is_file()).or_else(found)
}

/// With as many workers as ours has.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1));
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap()
}

/// This program as one of the sides.
pub(crate) fn run_as(side: &str, arguments: &[String]) {
    let runtime = runtime();
    match side {
        "without-store" => runtime.block_on(answering(|_| async { true })),
        "pool" => runtime.block_on(pool(&arguments[0])),
        other => panic!("there is no side called {other}"),
    }
}

/// A pool of 8 connections and a transaction for each callback.
async fn pool(file: &str) {
    let prepare = |connection: &mut Connection| {
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.execute_batch(&format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {TABLE}"))
    };
    let pool = r2d2::Pool::builder().max_size(8).build(SqliteConnectionManager::file(file).with_init(prepare)).unwrap();
    answering(move |callback| {
        let pool = pool.clone();
        async move {
            let keep = move || insert(&pool.get().unwrap(), &callback).is_ok();
            tokio::task::spawn_blocking(keep).await.unwrap_or(false)
        }
    })
    .await;
}

fn insert(connection: &Connection, callback: &Callback) -> rusqlite::Result<()> {
    let Content::DeliveryReceipt(receipt) = &callback.content else { return Ok(()) };
    connection
        .prepare_cached("INSERT INTO receipts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING")?
        .execute(params![
            receipt.id,
            receipt.reference,
            receipt.to,
            receipt.status.as_str(),
            receipt.created_at,
            receipt.completed_at,
            receipt.sent_at,
            receipt.notification_type,
            receipt.template_id,
            receipt.template_version
        ])?;
    Ok(())
}

/// The same rows, 64 a transaction, by one thread that does nothing else.
pub(crate) fn sqlite_alone(folder: &Path, seconds: u64, sync: (f64, f64)) -> Measured {
    let mut connection = Connection::open(folder.join("peer.db")).unwrap();
    connection.execute_batch(&format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {TABLE}")).unwrap();
    let mut bodies = Bodies::new(1);
    let mut rows = || -> Vec<Callback> {
        (0..64).map(|_| Callback::read(&bodies.next(What::Receipts, 1_795_000_000_000_000).body).unwrap()).collect()
    };
    let (before, mut times, mut spent) = (machine::ticks(), Vec::new(), 0.0);
    // Making the rows is not counted.
    while spent < seconds as f64 {
        let rows = rows();
        let began = Instant::now();
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        for row in &rows {
            insert(&transaction, row).unwrap();
        }
        transaction.commit().unwrap();
        let took = began.elapsed().as_secs_f64();
        spent += took;
        times.push(took * 1e3);
    }
    let rows = 64 * times.len() as u64;
    Measured {
        rate: rows as f64 / spent,
        p50: machine::quantile(&times, 0.5),
        p99: machine::quantile(&times, 0.99),
        cpu: f64::NAN,
        memory: f64::NAN,
        idle: machine::idle_since(&before),
        sync,
        acknowledged: rows,
        refused: 0,
        took: spent,
    }
}

/// Our edge, a route, the check of the token and the reading of the body; then whatever keeps it.
async fn answering<K, F>(keep: K)
where
    K: Fn(Callback) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = bool> + Send,
{
    let listener = edge::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    eprintln!("listening on http://{}", listener.local_addr().unwrap());
    let (known, keep) = (token_sha256(TOKEN.as_bytes()), Arc::new(keep));
    let routes = warp::method()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |_, _, headers: HeaderMap, body| {
            let keep = keep.clone();
            async move {
                let value = headers.get(http::header::AUTHORIZATION).map_or(b"".as_slice(), |value| value.as_bytes());
                let valid = bool::from(token_sha256(value.get(7..).unwrap_or_default()).ct_eq(&known));
                let body = tokio::time::timeout(Duration::from_secs(10), whole(body)).await.unwrap_or_default();
                let kept = match Callback::read(&body) {
                    Ok(callback) if valid => keep(callback).await,
                    _ => false,
                };
                let mut response = warp::reply().into_response();
                *response.status_mut() = if kept { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                response
            }
        })
        .boxed();
    let rest = |_| async { Ok::<_, std::convert::Infallible>(StatusCode::NOT_FOUND.into_response()) };
    let routes = routes.recover(rest).unify().boxed();
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
