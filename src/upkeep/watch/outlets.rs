//! Where alarms go to: a webhook and a command. Each has its own queue, so that one which hangs holds nothing up but itself. What
//! goes out names sorts of alarms, services and numbers, and nobody.

use std::fs;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::Full;
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use crate::clock::{self, MINUTE};
use crate::outgoing::{Connection, Server, WrongUrl};
use crate::store::Stands;

/// What may wait for an outlet that fails; what comes beyond is in the log alone.
const WAITING: usize = 64;
/// A webhook has so long to answer, and a command to end.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// From one try to the next, twice as long each time up to the longest; for so long in all.
const TRIES_AGAIN: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(10);
const TRIES_FOR: Duration = Duration::from_hours(24);
/// For so long an outlet fails before that is an alarm of its own.
const FAILS_FOR: i64 = 5 * MINUTE;
/// Nobody reads what is answered.
const READ: usize = 1024;

/// What is told of an alarm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Began,
    GoesOn,
    Ended,
}

/// An alarm that is told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) state: State,
    pub(super) stands: Stands,
    pub(super) now: i64,
}

/// As it goes out.
#[derive(Serialize)]
struct Message<'a> {
    /// All of it in words, which chat programs show.
    text: String,
    alarm: &'static str,
    state: State,
    about: Option<&'a str>,
    urgent: bool,
    what: &'static str,
    advice: &'static str,
    since: String,
    at: String,
    server: &'a str,
}

/// Where alarms go to.
#[derive(Clone, Default)]
pub struct Outlets {
    /// Posted there.
    pub webhook: Option<Webhook>,
    /// Given to this program.
    pub command: Option<PathBuf>,
    /// How this server is called in what is told: its public address.
    pub server: Option<String>,
}

/// An address that alarms are posted to. It may hold a secret, and stands in no log.
#[derive(Clone)]
pub struct Webhook {
    server: Server,
    path: String,
}

/// Why an address takes no alarms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WrongWebhook {
    /// It is no address of a server.
    #[error("the URL {0}")]
    Url(#[from] WrongUrl),
    /// Others could read along.
    #[error("the URL has to begin with https://, unless it is of this very machine")]
    InTheClear,
}

impl std::str::FromStr for Webhook {
    type Err = WrongWebhook;

    fn from_str(typed: &str) -> Result<Webhook, WrongWebhook> {
        let (server, uri) = (Server::new(typed)?, typed.parse::<Uri>().map_err(|_| WrongUrl::Unreadable)?);
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if uri.scheme_str() != Some("https") && !is_here {
            return Err(WrongWebhook::InTheClear);
        }
        let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        Ok(Webhook { server, path })
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Webhook")
    }
}

impl Webhook {
    /// Where alarms are posted.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }
}

/// Since when an outlet fails; 0 while it does not.
#[derive(Default)]
struct Failing(AtomicI64);

impl Failing {
    fn failed(&self) {
        // Only the first of several counts.
        let _before = self.0.compare_exchange(0, clock::now(), Ordering::Relaxed, Ordering::Relaxed).is_ok();
    }

    fn passed_on(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn since(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }
}

/// The queues.
pub(super) struct Tell {
    webhook: Option<mpsc::Sender<Arc<Told>>>,
    command: Option<mpsc::Sender<Arc<Told>>>,
    passed_on: Arc<Notify>,
    /// Of the webhook and of the command.
    failing: Arc<[Failing; 2]>,
    /// What is looked at again and again, as it may come and go.
    runs: Outlets,
}

impl Tell {
    /// Tells without waiting.
    pub(super) fn tell(&self, told: &Arc<Told>) {
        let Told { state, stands, .. } = told.as_ref();
        let (sort, about, advice) = (stands.sort.as_str(), &stands.about, stands.sort.advice());
        match state {
            State::Ended => tracing::info!(event = "alarm.ended", sort, about, "an alarm has ended"),
            State::Began | State::GoesOn => {
                tracing::warn!(
                    event = "alarm.stands",
                    sort,
                    about,
                    advice,
                    "an alarm stands: admins see what to do under Status"
                );
            }
        }
        for outlet in [&self.webhook, &self.command].into_iter().flatten() {
            if outlet.try_send(told.clone()).is_err() {
                tracing::error!(
                    event = "alarm.not_told",
                    sort,
                    "an alarm could not be passed on, because too many wait"
                );
            }
        }
    }
}

impl Tell {
    /// Since when alarms do not get out, where that is no matter of minutes.
    pub(super) fn fails_since(&self, now: i64) -> Option<i64> {
        let fails = self.failing.iter().filter_map(Failing::since).filter(|since| now - since > FAILS_FOR).min();
        let cannot_run = matches!(self.runs.command_can_run(), Some(Err(_)));
        fails.or(cannot_run.then_some(now))
    }

    /// Waits until an outlet has passed something on, or given it up, since this was last waited for.
    pub(super) async fn passed_on(&self) {
        self.passed_on.notified().await;
    }
}

impl Outlets {
    /// Whether anybody is told.
    #[must_use]
    pub fn are_any(&self) -> bool {
        self.webhook.is_some() || self.command.is_some()
    }

    /// Whether the command can be run, or why not; nothing where there is none, or one by a name alone, which the system looks for.
    #[must_use]
    pub fn command_can_run(&self) -> Option<Result<(), String>> {
        let command = self.command.as_ref().filter(|command| command.as_os_str().as_bytes().contains(&b'/'))?;
        let name = command.display();
        Some(match fs::metadata(command) {
            Ok(found) if !found.is_file() => Err(format!("{name} is no file")),
            Ok(found) if found.permissions().mode() & 0o111 == 0 => Err(format!("nobody may run {name}")),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{name} cannot be run: {error}")),
        })
    }

    /// The queues, and the work that empties them.
    pub(super) fn open(self) -> (Tell, impl Future<Output = ()>) {
        let runs = Outlets { command: self.command.clone(), ..Outlets::default() };
        let Outlets { webhook, command, server } = self;
        let (server, failing) = (server.unwrap_or_default(), Arc::<[Failing; 2]>::default());
        let (to_webhook, for_webhook) = mpsc::channel(WAITING);
        let (to_command, for_command) = mpsc::channel(WAITING);
        let passed_on = Arc::<Notify>::default();
        let tell = Tell {
            webhook: webhook.is_some().then_some(to_webhook),
            command: command.is_some().then_some(to_command),
            passed_on: passed_on.clone(),
            failing: failing.clone(),
            runs,
        };
        let telling = async move {
            let [webhook_fails, command_fails] = failing.as_ref();
            let posting = async {
                if let Some(webhook) = &webhook {
                    empty(for_webhook, &server, &Outlet::Webhook(webhook.clone()), &passed_on, webhook_fails).await;
                }
            };
            let running = async {
                if let Some(command) = &command {
                    empty(for_command, &server, &Outlet::Command(command.clone()), &passed_on, command_fails).await;
                }
            };
            tokio::join!(posting, running);
        };
        (tell, telling)
    }
}

/// One of the two.
enum Outlet {
    Webhook(Webhook),
    Command(PathBuf),
}

impl Outlet {
    fn name(&self) -> &'static str {
        match self {
            Outlet::Webhook(_) => "webhook",
            Outlet::Command(_) => "command",
        }
    }

    async fn tell(&self, told: &Told, body: Vec<u8>) -> Result<(), &'static str> {
        match self {
            Outlet::Webhook(webhook) => post(webhook, body).await,
            Outlet::Command(command) => run(command, told, body).await,
        }
    }
}

/// Tells one after the other. One that fails is tried again, with more and more time between.
async fn empty(mut waiting: mpsc::Receiver<Arc<Told>>, server: &str, to: &Outlet, passed_on: &Notify, fails: &Failing) {
    while let Some(told) = waiting.recv().await {
        let (body, outlet) = (body(&told, server), to.name());
        let (mut wait, mut waited) = (TRIES_AGAIN, Duration::ZERO);
        let is_told = loop {
            let Err(why) = to.tell(&told, body.clone()).await else { break true };
            fails.failed();
            let sort = told.stands.sort.as_str();
            if waited > TRIES_FOR {
                tracing::error!(
                    event = "alarm.not_told",
                    sort,
                    outlet,
                    why,
                    "an alarm could not be passed on for a day, and is left out"
                );
                break false;
            }
            tracing::warn!(
                event = "alarm.told_again",
                sort,
                outlet,
                why,
                wait = wait.as_secs(),
                "an alarm could not be passed on, and is tried again"
            );
            sleep(wait).await;
            (waited, wait) = (waited + wait, (wait * 2).min(LONGEST_WAIT));
        };
        if is_told {
            fails.passed_on();
        }
        drop(told);
        passed_on.notify_one();
    }
}

fn body(told: &Told, server: &str) -> Vec<u8> {
    let Told { state, stands, now } = told;
    let (what, advice) = (stands.sort.words(), stands.sort.advice());
    let about = stands.about.as_deref();
    let place = if server.is_empty() { "Counterfoil".to_owned() } else { format!("Counterfoil at {server}") };
    let of = about.map_or_else(String::new, |about| format!(" ({about})"));
    let text = match state {
        State::Began => format!("{place}: {what}{of}. {advice}"),
        State::GoesOn => format!("{place}, still: {what}{of}. {advice}"),
        State::Ended => format!("{place}: this is over: {what}{of}."),
    };
    let moment = |micros| jiff::Timestamp::from_microsecond(micros).map_or_else(|_| String::new(), |at| at.to_string());
    let message = Message {
        text,
        alarm: stands.sort.as_str(),
        state: *state,
        about,
        urgent: stands.sort.is_urgent(),
        what,
        advice,
        since: moment(stands.since),
        at: moment(*now),
        server,
    };
    serde_json::to_vec(&message).unwrap_or_default()
}

async fn post(webhook: &Webhook, body: Vec<u8>) -> Result<(), &'static str> {
    let request = Request::post(webhook.path.as_str())
        .header(header::HOST, webhook.server.authority())
        .header(header::USER_AGENT, concat!("counterfoil/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| "it cannot be asked for")?;
    let mut connection = Connection::new(webhook.server.clone());
    let answered =
        timeout(ANSWERS_WITHIN, connection.exchange(request, READ)).await.map_err(|_| "no answer in time")?;
    let status = answered.ok_or("no connection")?.head.status;
    if status.is_success() { Ok(()) } else { Err("it was refused") }
}

async fn run(command: &PathBuf, told: &Told, body: Vec<u8>) -> Result<(), &'static str> {
    let Told { state, stands, .. } = told;
    let state = match state {
        State::Began => "began",
        State::GoesOn => "goes-on",
        State::Ended => "ended",
    };
    let mut child = Command::new(command)
        .env("COUNTERFOIL_ALARM", stands.sort.as_str())
        .env("COUNTERFOIL_ALARM_STATE", state)
        .env("COUNTERFOIL_ALARM_ABOUT", stands.about.as_deref().unwrap_or_default())
        .env("COUNTERFOIL_ALARM_WHAT", stands.sort.words())
        .env("COUNTERFOIL_ALARM_ADVICE", stands.sort.advice())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Where this is dropped, or it takes too long.
        .kill_on_drop(true)
        .spawn()
        .map_err(|_| "it could not be started")?;
    let mut stdin = child.stdin.take();
    let ended = timeout(ENDS_WITHIN, async {
        if let Some(mut stdin) = stdin.take() {
            // One that reads nothing has the rest in its environment.
            let _read = stdin.write_all(&body).await.is_ok();
        }
        child.wait().await
    });
    match ended.await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(_)) => Err("it ended with another code than 0"),
        Ok(Err(_)) => Err("it could not be waited for"),
        Err(_) => Err("it did not end in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_no_program_is_known_before_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alarmed");
        let can_run = |command: &std::path::Path| {
            let outlets = Outlets { command: Some(command.to_owned()), ..Outlets::default() };
            outlets.command_can_run().map(|can_run| can_run.is_ok())
        };
        assert_eq!([can_run(&file), can_run(folder.path())], [Some(false); 2]);
        fs::write(&file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(can_run(&file), Some(false));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(can_run(&file), Some(true));
        assert_eq!(can_run("true".as_ref()), None, "the system looks for it");
    }

    #[test]
    fn an_outlet_that_fails_for_minutes_is_known_until_something_gets_out() {
        let tell = Outlets::default().open().0;
        let [webhook, command] = tell.failing.as_ref();
        let now = clock::now();
        webhook.failed();
        command.failed();
        assert_eq!(tell.fails_since(now + FAILS_FOR / 2), None);
        let later = now + 2 * FAILS_FOR;
        assert_eq!(tell.fails_since(later), webhook.since().min(command.since()));
        webhook.passed_on();
        assert!(tell.fails_since(later).is_some());
        command.passed_on();
        assert_eq!(tell.fails_since(later), None);
    }

    #[test]
    fn alarms_are_posted_where_nobody_reads_along() {
        let wrong = |typed: &str| typed.parse::<Webhook>().err();
        for right in
            ["https://hooks.example/T0/B0?sig=a", "http://127.0.0.1:9/x", "http://[::1]:9/", "http://localhost/a"]
        {
            assert_eq!(wrong(right), None, "{right}");
        }
        for clear in ["http://hooks.example/", "http://10.0.0.1/", "http://127.0.0.1.example/"] {
            assert_eq!(wrong(clear), Some(WrongWebhook::InTheClear), "{clear}");
        }
        assert_eq!(wrong("hooks.example"), Some(WrongWebhook::Url(WrongUrl::Scheme)));
        assert_eq!("https://a.example/T0?sig=a".parse::<Webhook>().unwrap().path, "/T0?sig=a");
    }
}
