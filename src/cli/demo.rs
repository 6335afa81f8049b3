//! `counterfoil demo`: all of it at once, on a store that is gone afterwards.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;
use tracing_subscriber::filter::LevelFilter;

use super::send::{Destination, Options, Progress, Summary, deliver};
use super::serve::{self, Clockwork, Listen, People, Server, Socket};
use super::without::Without;
use super::{Data, Failure, by, log, say, tell};
use crate::access::{Passwords, RequiredOf, Secret, token_sha256};
use crate::clock::{self, DAY};
use crate::made_up::{Bodies, Sending, What};
use crate::notify::Callback;
use crate::store::{Keep, Retention, Role, Services, Store};
use crate::upkeep::Outlets;
use crate::web::{Beyond, Owner};

/// Services that send, each with a token of its own.
const SERVICES: [&str; 3] = ["Housing benefit", "Parking permits", "Vaccination bookings"];
/// Callbacks of the past in all, and how far they reach back.
const PAST: i64 = 6000;
const REACHES_BACK: i64 = 28 * DAY;
/// Callbacks a second of each service while it runs.
const RATE: u32 = 1;
const EMAIL: &str = "demo@example.org";

/// See all of it at once: a server on this machine, a user, and made-up callbacks that keep coming
///
/// Everything is on a temporary store that Ctrl-C removes, unless --keep names a folder for it.
#[derive(Args, Debug)]
pub(super) struct Demo {
    /// Keep the store in this folder
    #[arg(long, value_name = "DIR", env = "COUNTERFOIL_KEEP")]
    keep: Option<PathBuf>,
    /// Where to listen. Port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0", env = "COUNTERFOIL_LISTEN")]
    listen: SocketAddr,
}

pub(super) async fn run(demo: Demo) -> Result<(), Failure> {
    log::begin_for_people(LevelFilter::ERROR);
    let mut stopped = std::pin::pin!(serve::stop_signal(true)?);
    let temporary = tempfile::Builder::new()
        .prefix("counterfoil-demo-")
        .tempdir()
        .map_err(|error| Failure::new(format!("a temporary folder cannot be made: {error}")))?;
    if let Some(folder) = demo.keep.as_ref().filter(|folder| folder.join("counterfoil.db").exists()) {
        let words = "holds a store already. Name a new folder: the demo sends made-up callbacks and adds an account";
        return Err(Failure::new(format!("the folder {} {words}", folder.display())));
    }
    let data = Data { data: demo.keep.clone().unwrap_or_else(|| temporary.path().join("store")) };
    let retention = Retention { receipts: Keep::Days(730), messages: Keep::Days(730) };
    let clockwork = Clockwork {
        retention,
        record: Keep::Days(730),
        sent_texts: Keep::Days(90),
        ballast: 0,
        backups: None,
        backfills: Vec::new(),
        emails: None,
        outlets: Outlets::default(),
        without: Without::default(),
    };
    let listen = Listen { pages: vec![Socket::At(demo.listen)], ..Listen::default() };
    // Who wants to see it at once has no app at hand.
    let people = People {
        public_url: None,
        second_factor: RequiredOf::Only(Vec::new()),
        single_sign_on: None,
        beyond: Beyond::default(),
        owner: Owner::default(),
    };
    let server = Server::start(&data, listen, people, clockwork)?;
    let address = server.pages_at.first().copied().unwrap_or(demo.listen);
    let senders = senders(&server.store, address).await?;
    let password = account(&server.store).await?;

    tell(&format!("Sending {PAST} made-up callbacks of the last four weeks…"));
    let example = tokio::select! {
        () = stopped.as_mut() => None,
        example = past(&senders) => example,
    };
    if let Some(example) = example {
        say(&format!(
            "Counterfoil is running, and made-up callbacks keep coming.\n\n  Open      http://{address}\n  \
             Email     {EMAIL}\n  Password  {password}\n\nSearch for {example}, or for 07700 900 001. Ctrl-C stops it."
        ))?;
        tokio::select! {
            () = stopped.as_mut() => (),
            () = from_now_on(&senders) => (),
        }
    }
    for sender in &senders {
        let now = clock::now();
        server.store.revoke_token(sender.token, now, by(), now).await?;
    }
    server.stop().await;
    match demo.keep {
        Some(folder) => tell(&format!("The store is kept in {}.", folder.display())),
        None => {
            temporary.close().map_err(|error| Failure::new(format!("the temporary store is left behind: {error}")))?;
        }
    }
    Ok(())
}

/// A service that sends, with its token's number.
struct Sender {
    to: Destination,
    token: i64,
}

async fn senders(store: &Store, address: SocketAddr) -> Result<Vec<Sender>, Failure> {
    let mut senders = Vec::new();
    for name in SERVICES {
        let secret = Secret::random()?.text();
        let token = store
            .add_token(name.to_owned(), None, token_sha256(secret.as_bytes()), by(), clock::now())
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        senders.push(Sender { to: Destination::new(&format!("http://{address}"), &secret, None)?, token });
    }
    Ok(senders)
}

/// An account with a password of its own.
async fn account(store: &Store) -> Result<String, Failure> {
    let password: String = Secret::random()?.text().chars().take(16).collect();
    let hash =
        Passwords::default().hash(&password, EMAIL).await.map_err(|refused| Failure::new(refused.to_string()))?;
    store
        .add_person(EMAIL.to_owned(), Role::Admin, Services::All, Some(hash), by(), clock::now())
        .await
        .map_err(|error| Failure::new(error.to_string()))?;
    Ok(password)
}

/// Sends four weeks of callbacks, oldest first, and gives a reference to look for.
async fn past(senders: &[Sender]) -> Option<String> {
    let each = PAST / i64::try_from(senders.len()).unwrap_or(1);
    let now = clock::now();
    let (mut example, mut running) = (None, JoinSet::new());
    for sender in senders {
        let mut bodies =
            Bodies::new(Secret::random().ok()?.bytes().iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte)));
        let step = REACHES_BACK / each;
        let plan: Vec<Sending> = (1..=each).map(|n| bodies.next(What::Mixed, now - REACHES_BACK + n * step)).collect();
        example = example.or_else(|| plan.iter().rev().find_map(reference));
        let (to, silent) = (sender.to.clone(), Progress::hidden());
        running.spawn(
            async move { deliver(plan.into_iter(), to, options(4, None), &silent, std::future::pending()).await },
        );
    }
    while let Some(sent) = running.join_next().await {
        if let Ok(Summary { lost, .. }) = sent
            && lost > 0
        {
            tell(&format!("counterfoil: {lost} made-up callbacks were lost"));
        }
    }
    example
}

fn reference(sending: &Sending) -> Option<String> {
    let callback = Callback::read(&sending.body).ok()?;
    callback.reference().filter(|reference| reference.starts_with("HB-")).map(str::to_owned)
}

async fn from_now_on(senders: &[Sender]) {
    let mut running = JoinSet::new();
    for (seed, sender) in (1..).zip(senders) {
        let mut bodies = Bodies::new(seed ^ clock::now().unsigned_abs());
        let plan = std::iter::repeat_with(move || bodies.next(What::Mixed, clock::now()));
        let to = sender.to.clone();
        let silent = Progress::hidden();
        running.spawn(async move { deliver(plan, to, options(1, Some(RATE)), &silent, std::future::pending()).await });
    }
    while running.join_next().await.is_some() {}
}

fn options(connections: usize, rate: Option<u32>) -> Options {
    Options { connections, rate, retry_after: Duration::from_secs(5), acks: None }
}
