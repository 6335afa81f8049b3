//! `counterfoil send`: made-up callbacks, sent as Notify sends them, to try a server out or to measure it.

mod client;
mod delivery;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, acme, read_token, serve, tell};
use crate::clock;
use crate::made_up::{self, Bodies};

pub(super) use client::Destination;
pub(super) use delivery::{Options, Progress, Summary, deliver};

/// How often a run without a terminal says how far it is.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// Send made-up callbacks as GOV.UK Notify does
///
/// The same headers, spelling, time limits and retries; people, numbers and texts are invented, and the numbers are those that
/// Ofcom keeps free for drama. Ends with an error if a callback was lost.
#[derive(Args, Debug)]
pub(super) struct Send {
    /// What to send; mixed is mostly receipts with some texts, letters and complaints
    what: What,
    /// The server, such as <http://127.0.0.1:8080>. Each kind goes to its path below /callbacks, unless the URL names another path
    #[arg(long, env = "COUNTERFOIL_URL")]
    url: String,
    /// The file that holds the callback token
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_TOKEN_FILE")]
    token_file: PathBuf,
    /// What the server's certificate leads to, in PEM, where that is no public root. Notify does not believe such a one
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_CA")]
    ca: Option<PathBuf>,
    /// How many callbacks to send
    #[arg(long, value_name = "N", default_value_t = 1000, env = "COUNTERFOIL_COUNT")]
    count: u64,
    /// At most so many a second; without it as fast as they are answered
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..), env = "COUNTERFOIL_RATE")]
    rate: Option<u32>,
    /// Connections at the same time
    #[arg(long, value_name = "C", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=4096), env = "COUNTERFOIL_CONNECTIONS")]
    connections: u16,
    /// The same seed makes the same callbacks; without it each run makes others
    #[arg(long, value_name = "S", env = "COUNTERFOIL_SEED")]
    seed: Option<u64>,
    /// Seconds before a callback that failed is sent again, up to five times
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(..=86_400), env = "COUNTERFOIL_RETRY_AFTER")]
    retry_after: u32,
    /// Write the id of each acknowledged callback to this file, a line each, as it is acknowledged
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_ACKS")]
    acks: Option<PathBuf>,
}

/// The kinds of callback to make.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Receipts,
    Texts,
    Letters,
    Complaints,
    Mixed,
}

impl From<What> for made_up::What {
    fn from(what: What) -> made_up::What {
        match what {
            What::Receipts => made_up::What::Receipts,
            What::Texts => made_up::What::Texts,
            What::Letters => made_up::What::Letters,
            What::Complaints => made_up::What::Complaints,
            What::Mixed => made_up::What::Mixed,
        }
    }
}

pub(super) async fn run(asked: Send) -> Result<(), Failure> {
    let roots = asked.ca.map(|file| acme::roots(&file, "--ca")).transpose()?;
    let to = Destination::new(&asked.url, &read_token(&asked.token_file)?, roots)?;
    let options = Options {
        connections: usize::from(asked.connections),
        rate: asked.rate,
        retry_after: Duration::from_secs(asked.retry_after.into()),
        acks: asked.acks.as_ref().map(acks_file).transpose()?,
    };
    let seed = match asked.seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|error| Failure::new(format!("no random numbers could be had: {error}")))?,
    };
    let stopped = serve::stop_signal(true)?;
    let mut bodies = Bodies::new(seed);
    let what = asked.what.into();
    let plan = std::iter::repeat_with(move || bodies.next(what, clock::now()));
    let count = usize::try_from(asked.count).unwrap_or(usize::MAX);
    let bar = bar(asked.count);
    let summary = deliver(plan.take(count), to, options, &bar, stopped).await;
    bar.finish_and_clear();
    tell(&summary.to_string());
    if summary.lost == 0 { Ok(()) } else { Err(Failure::new(format!("{} callbacks were lost", summary.lost))) }
}

/// Each id is one write to a file opened for appending, so that ids of several connections never mix.
fn acks_file(path: &PathBuf) -> Result<File, Failure> {
    let failed = |error: io::Error| Failure::new(format!("the file {} cannot be written: {error}", path.display()));
    let file = OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
    // A device or a pipe has no length to cut.
    if file.metadata().map_err(failed)?.is_file() {
        file.set_len(0).map_err(failed)?;
    }
    Ok(file)
}

/// A bar on a terminal, and elsewhere a line now and then.
fn bar(count: u64) -> Progress {
    if !io::stderr().is_terminal() {
        return Progress::lines(count, SAID_EVERY);
    }
    let bar = ProgressBar::new(count);
    let style = ProgressStyle::with_template("{bar:30} {human_pos} of {human_len} acknowledged, {per_sec}, {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    Progress::bar(bar)
}
