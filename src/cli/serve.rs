//! `counterfoil serve`: the callbacks and the pages, until it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rustls::ServerConfig;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::backfill::{NOTIFY, source};
use super::first_run::{self, Guide};
use super::log::{Log, READY};
use super::schedule::Backups;
use super::systemd::{self, Inherited};
use super::unsaid::unsaid;
use super::watched::Watched;
use super::without::Without;
use super::{Data, Failure, days, listed, tls};
use crate::access::{RequiredOf, SingleSignOn};
use crate::edge::{self, Limits, Network, Proxies, Routes};
use crate::store::{Checkpoint, Keep, Retention, Store};
use crate::upkeep::{Emails, Outlets, ReadBack, Schedule};
use crate::web::{self, Beyond, Owner, Site};
use crate::{clock, upkeep};

/// Where it listens unless it is told.
pub(super) const LISTEN: &str = "127.0.0.1:8080";
/// The signal of a write past the limit on file sizes; the same on every Linux but MIPS.
const SIGXFSZ: i32 = 25;
/// Descriptors for the store and the like, beside those of the connections.
const DESCRIPTORS_BESIDE: usize = 256;

/// Take Notify's callbacks and serve the pages
///
/// Stop it with SIGTERM or Ctrl-C: it finishes what is in flight. Exit codes: 10 the folder holds something else, 11 the store
/// is empty, 12 it is damaged, 13 it is another program's, 14 it is of a newer release, 15 another server has it open, 16 and
/// 17 it cannot be read or written, 19 what systemd handed over is no socket to listen on.
#[derive(Args, Debug)]
#[command(mut_args(super::is_made))]
pub(super) struct Serve {
    #[command(flatten)]
    data: Data,
    /// Where to listen; may be given several times. Port 0 takes a free one. Sockets that systemd hands over are used in its place
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value = LISTEN,
        value_delimiter = ',',
        env = "COUNTERFOIL_LISTEN"
    )]
    listen: Vec<SocketAddr>,
    /// A listener for callbacks alone: every path there is taken for one, and no page is served. Sockets of systemd with
    /// FileDescriptorName=callbacks are used in its place
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',', env = "COUNTERFOIL_CALLBACKS_LISTEN")]
    callbacks_listen: Vec<SocketAddr>,
    /// How people and Notify reach this server, such as <https://callbacks.example.gov.uk>
    #[arg(long, value_name = "URL", value_parser = super::public_url, env = "COUNTERFOIL_PUBLIC_URL")]
    public_url: Option<String>,
    /// A proxy in front of this server, or a network of them, whose X-Forwarded-For says where a request comes from; may be given
    /// several times. Nobody else's does
    #[arg(long, value_name = "ADDR[/BITS]", value_delimiter = ',', env = "COUNTERFOIL_TRUSTED_PROXY")]
    trusted_proxy: Vec<Network>,
    /// A second journal of erasures, such as on another disk: what managers erase is noted there too, beside counterfoil.erased in the
    /// store's folder
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_ERASURE_JOURNAL")]
    erasure_journal: Option<PathBuf>,
    /// Who must give a code from an authenticator app after the password: all, none, or roles such as manager,admin. Whoever must and
    /// has no app yet sets one up at the next sign-in
    #[arg(long, value_name = "WHO", default_value = "all", env = "COUNTERFOIL_REQUIRE_SECOND_FACTOR")]
    require_second_factor: RequiredOf,
    #[command(flatten)]
    tls: tls::Encryption,
    #[command(flatten)]
    oidc: super::oidc::Flags,
    #[command(flatten)]
    beyond: super::beyond::Leads,
    #[command(flatten)]
    owner: super::owner::Says,
    #[command(flatten)]
    mail: super::mail::EmailFlags,
    #[command(flatten)]
    keeping: Keeping,
    #[command(flatten)]
    backups: Backups,
    #[command(flatten)]
    backfills: Backfills,
    #[command(flatten)]
    watched: Watched,
    /// Room on the disk, in MiB, that a file in the store's folder takes up: when the disk is full it is given up, so that people can
    /// still sign in and what is old can be removed, while callbacks are answered 503. 0 is none
    #[arg(
        long,
        value_name = "MIB",
        value_parser = clap::value_parser!(u32).range(..=1024 * 1024),
        default_value_t = 64,
        env = "COUNTERFOIL_BALLAST"
    )]
    ballast: u32,
    #[command(flatten)]
    log: Log,
}

/// How long what arrived is kept.
#[derive(Args, Debug)]
struct Keeping {
    /// Keep delivery receipts, returned letters and complaints for so many days, or forever. What is older is removed for good;
    /// the first removal is told a week ahead. Quarantine is kept for as long as the longer of this and --keep-messages
    #[arg(long = "keep-receipts", value_name = "DAYS", value_parser = keep, default_value = "730", env = "COUNTERFOIL_KEEP_RECEIPTS")]
    receipts: Keep,
    /// Keep received texts for so many days, or forever
    #[arg(long = "keep-messages", value_name = "DAYS", value_parser = keep, default_value = "730", env = "COUNTERFOIL_KEEP_MESSAGES")]
    messages: Keep,
    /// Keep the record of who saw and changed what for so many days, or forever
    #[arg(long = "keep-record", value_name = "DAYS", value_parser = keep, default_value = "2190", env = "COUNTERFOIL_KEEP_RECORD")]
    record: Keep,
    /// Keep what messages said that were sent, as Notify told it when somebody looked, for so many days, or forever
    #[arg(long = "keep-sent-text", value_name = "DAYS", value_parser = keep, default_value = "90", env = "COUNTERFOIL_KEEP_SENT_TEXT")]
    sent_texts: Keep,
}

/// A number of days of which there are some, or all.
fn keep(typed: &str) -> Result<Keep, String> {
    if typed == "forever" {
        return Ok(Keep::Forever);
    }
    days(typed).map(Keep::Days).map_err(|_| "write a number of days from 1 to 36500, or forever".to_owned())
}

fn kept(keep: Keep) -> String {
    match keep {
        Keep::Days(days) => format!("for {days} days"),
        Keep::Forever => "forever".to_owned(),
    }
}

/// What was missed is read back.
#[derive(Args, Debug)]
struct Backfills {
    /// Read back from Notify what was missed, as counterfoil backfill does, after each start and every hour: the service’s name and the
    /// file of its API key. May be given several times
    #[arg(
        long = "backfill",
        value_name = "NAME=KEYFILE",
        value_parser = unsaid(name_and_file),
        value_delimiter = ';',
        env = "COUNTERFOIL_BACKFILL"
    )]
    services: Vec<(String, PathBuf)>,
    /// The address of Notify’s API
    #[arg(
        long = "backfill-url",
        value_name = "URL",
        value_parser = super::public_url,
        default_value = NOTIFY,
        env = "COUNTERFOIL_BACKFILL_URL"
    )]
    url: String,
}

impl Backfills {
    fn services(self, without: &mut Without) -> Vec<ReadBack> {
        let Backfills { services, url } = self;
        let read_back = |(name, file): (String, PathBuf)| {
            let source = without.try_with("--backfill", source(&file, &url))?;
            Some(ReadBack { name, source })
        };
        services.into_iter().filter_map(read_back).collect()
    }
}

pub(super) fn name_and_file(typed: &str) -> Result<(String, PathBuf), String> {
    let parts = typed.split_once('=').filter(|(name, file)| !name.trim().is_empty() && !file.is_empty());
    let (name, file) = parts.ok_or("write it as the service’s name, = and the key file")?;
    Ok((name.trim().to_owned(), PathBuf::from(file)))
}

pub(super) async fn run(serve: Serve) -> Result<(), Failure> {
    serve.log.begin();
    let redirects = serve.tls.http_redirect_listen.clone();
    let tls = serve.tls.read(serve.public_url.as_deref(), &serve.data.data)?;
    // Caught before anything is opened, so that a stop at any moment is a clean one.
    let stopped = stop_signal(tls::hang_up_ends(tls.as_ref()))?;
    let retention = Retention { receipts: serve.keeping.receipts, messages: serve.keeping.messages };
    let mut without = Without::default();
    let (backups, backfills) = (serve.backups.schedule(), serve.backfills.services(&mut without));
    let ballast = u64::from(serve.ballast) * 1024 * 1024;
    let (record, sent_texts) = (serve.keeping.record, serve.keeping.sent_texts);
    let outlets = serve.watched.outlets(serve.public_url.clone());
    let single_sign_on = serve.oidc.read(serve.public_url.as_deref(), &mut without)?;
    let (public_url, second_factor) = (serve.public_url, serve.require_second_factor);
    let (beyond, owner) = (serve.beyond.read(&mut without), serve.owner.read(&mut without));
    let emails = serve.mail.read(public_url.as_deref(), owner.name().to_owned());
    let emails = without.try_with("--smtp-url", emails).flatten();
    let clockwork = Clockwork { retention, record, sent_texts, ballast, backups, backfills, emails, outlets, without };
    let asked: Vec<String> = beyond.asking.services().map(str::to_owned).collect();
    let people = People { public_url, second_factor, single_sign_on, beyond, owner };
    let inherited = Inherited::take()?;
    let guided_to = people.public_url.clone();
    if !redirects.is_empty() || !inherited.redirects.is_empty() {
        tls::lead_somewhere(people.public_url.as_deref())?;
    }
    systemd::tell(&[NotifyState::Status("Opening the store.")]);
    let listen = Listen {
        pages: or_inherited(serve.listen, inherited.pages),
        callbacks: or_inherited(serve.callbacks_listen, inherited.callbacks),
        metrics: or_inherited(serve.watched.metrics_listen, inherited.metrics),
        redirects: or_inherited(redirects, inherited.redirects),
        tls: tls.as_ref().map(tls::Tls::config),
        proxies: Proxies::at(serve.trusted_proxy),
    };
    let is_new = !serve.data.data.join("counterfoil.db").exists();
    let server = Server::start(&serve.data, listen, people, clockwork)?;
    if is_new {
        tracing::info!(
            event = "store.made",
            "there was no store, and one was made. If there should have been one, stop the server and look at --data and at what is mounted \
             there: until a token is made, callbacks are answered 503, and Notify sends them again for 25 minutes"
        );
    }
    if let Some(file) = serve.erasure_journal {
        server.store.also_journal_to(file);
    }
    tracing::info!(
        target: READY,
        event = "serve.keeping",
        "receipts are kept {}, received texts {}, quarantine for as long as the longer of both, and the record of who saw what {}",
        kept(retention.receipts),
        kept(retention.messages),
        kept(serve.keeping.record)
    );
    tell_of_unknown(&server.store, &asked).await;
    let scheme = if tls.is_some() { "https" } else { "http" };
    for address in &server.redirects_at {
        tracing::info!(target: READY, event = "serve.redirecting", "leading pages to https from http://{address}");
    }
    for address in &server.pages_at {
        tracing::info!(target: READY, event = "serve.listening", "listening on {scheme}://{address}");
    }
    for address in &server.callbacks_at {
        tracing::info!(target: READY, event = "serve.callbacks_listening", "taking callbacks alone on {scheme}://{address}");
    }
    for address in &server.metrics_at {
        tracing::info!(target: READY, event = "serve.metrics_listening", "metrics on http://{address}/metrics");
    }
    let guide = first_run::is_on_a_terminal(&serve.log).then(|| Guide {
        store: server.store.clone(),
        data: serve.data.data,
        public_url: guided_to,
        here: server.pages_at.first().map(|address| format!("{scheme}://localhost:{}", address.port())),
    });
    tokio::select! {
        () = stopped => tracing::info!(event = "serve.stopping", "stopping: finishing what is in flight"),
        () = server.store.writer_ended() => {
            server.stop().await;
            return Err(Failure::new("the store's writer failed. Look at the log, then start again"));
        }
        never = systemd::keep_told(&server.store) => match never {},
        never = first_run::walk(guide) => match never {},
        never = tls::keep(tls, server.store.meters()) => match never {},
    }
    systemd::tell(&[NotifyState::Stopping, NotifyState::Status("Stopping: finishing what is in flight.")]);
    server.stop().await;
    tracing::info!(event = "serve.stopped", "stopped");
    Ok(())
}

/// Where a server listens.
#[derive(Default)]
pub(super) struct Listen {
    pub(super) pages: Vec<Socket>,
    /// For callbacks alone.
    pub(super) callbacks: Vec<Socket>,
    /// For who watches.
    pub(super) metrics: Vec<Socket>,
    /// Without TLS, to lead pages to https.
    pub(super) redirects: Vec<Socket>,
    /// What is spoken at all others.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Before all of them.
    pub(super) proxies: Proxies,
}

/// One socket to listen on.
pub(super) enum Socket {
    At(SocketAddr),
    Inherited(std::net::TcpListener),
}

impl Socket {
    fn open(self) -> Result<TcpListener, Failure> {
        match self {
            Socket::At(address) => bind(address),
            Socket::Inherited(socket) => edge::take_over(socket)
                .map_err(|error| Failure::new(format!("the socket that systemd handed over cannot be used: {error}"))),
        }
    }
}

fn or_inherited(addresses: Vec<SocketAddr>, inherited: Vec<std::net::TcpListener>) -> Vec<Socket> {
    if inherited.is_empty() {
        return addresses.into_iter().map(Socket::At).collect();
    }
    inherited.into_iter().map(Socket::Inherited).collect()
}

/// How people reach the pages and come in.
pub(super) struct People {
    pub(super) public_url: Option<String>,
    /// Of whom it is required beside the password.
    pub(super) second_factor: RequiredOf,
    pub(super) single_sign_on: Option<SingleSignOn>,
    /// What their pages lead to.
    pub(super) beyond: Beyond,
    /// What their pages are called, and where they get help.
    pub(super) owner: Owner,
}

/// What a server does by the clock.
pub(super) struct Clockwork {
    pub(super) retention: Retention,
    /// Of who saw and changed what.
    pub(super) record: Keep,
    /// Of what sent messages said.
    pub(super) sent_texts: Keep,
    /// In bytes.
    pub(super) ballast: u64,
    pub(super) backups: Option<Schedule>,
    pub(super) backfills: Vec<ReadBack>,
    pub(super) emails: Option<Emails>,
    /// Who is told of alarms.
    pub(super) outlets: Outlets,
    pub(super) without: Without,
}

/// A running server, for `serve` and for `demo`.
pub(super) struct Server {
    pub(super) pages_at: Vec<SocketAddr>,
    callbacks_at: Vec<SocketAddr>,
    metrics_at: Vec<SocketAddr>,
    redirects_at: Vec<SocketAddr>,
    pub(super) store: Store,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    upkeep: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Opens the store and the sockets, and begins to serve.
    pub(super) fn start(
        data: &Data,
        listen: Listen,
        people: People,
        mut clockwork: Clockwork,
    ) -> Result<Server, Failure> {
        let store = Store::serve(&data.data, clock::now())?;
        tell_of_gap(&store);
        let sockets = [&listen.pages, &listen.callbacks, &listen.redirects, &listen.metrics];
        let limits = limits(sockets.into_iter().map(Vec::len).sum());
        let open = |sockets: Vec<Socket>| sockets.into_iter().map(Socket::open).collect::<Result<Vec<_>, _>>();
        let (pages, callbacks) = (open(listen.pages)?, open(listen.callbacks)?);
        let mut beside = |flag, sockets: Vec<Socket>| -> Vec<TcpListener> {
            sockets.into_iter().filter_map(|socket| clockwork.without.try_with(flag, socket.open())).collect()
        };
        let redirects = beside("--http-redirect-listen", listen.redirects);
        let metrics = beside("--metrics-listen", listen.metrics);
        store.is_to_keep(clockwork.retention);
        if let Err(error) = store.is_to_hold_ballast(clockwork.ballast) {
            tracing::warn!(event = "store.ballast_failed", error = %error, "the ballast cannot be looked at: check counterfoil.ballast");
        }
        let People { public_url, second_factor, single_sign_on, beyond, owner } = people;
        let to_https = public_url.as_deref().map(web::to_https);
        let site = Site::new(&store, public_url, second_factor, single_sign_on, beyond, owner);
        let (stop, stopped) = watch::channel(false);
        let upkeep = tokio::spawn(keep_up(store.clone(), clockwork));
        let mut server = Server {
            pages_at: vec![],
            callbacks_at: vec![],
            metrics_at: vec![],
            redirects_at: vec![],
            store,
            stop,
            tasks: JoinSet::new(),
            upkeep,
        };
        let (tls, proxies) = (listen.tls, listen.proxies);
        let mut serve = |listener, tls, routes: Routes| {
            server.tasks.spawn(edge::serve(listener, tls, routes, limits.clone(), proxies.clone(), stopped.clone()));
        };
        for listener in pages {
            server.pages_at.push(local(&listener)?);
            serve(listener, tls.clone(), web::routes(&site));
        }
        for listener in callbacks {
            server.callbacks_at.push(local(&listener)?);
            serve(listener, tls.clone(), web::callback_routes(&site));
        }
        for listener in redirects {
            let Some(routes) = to_https.clone() else { continue };
            server.redirects_at.push(local(&listener)?);
            serve(listener, None, routes);
        }
        for listener in metrics {
            server.metrics_at.push(local(&listener)?);
            serve(listener, None, web::metrics_routes(&site));
        }
        Ok(server)
    }

    /// Takes no more, finishes what is in flight within a limit, copies the log into the store.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.upkeep.abort();
        if let Err(error) = self.store.note_alive(clock::now()).await {
            tracing::warn!(event = "serve.stop_not_noted", error = %error, "the next start may take this stop for an outage");
        }
        let store = self.store.clone();
        let closed = tokio::task::spawn_blocking(move || store.close()).await;
        if !matches!(closed, Ok(Checkpoint::Whole)) {
            tracing::warn!(event = "serve.log_left", "the store's log was not copied whole; the next start reads it");
        }
    }
}

async fn keep_up(store: Store, clockwork: Clockwork) {
    let Clockwork { retention, record, sent_texts, ballast: _, backups, backfills, emails, outlets, without } =
        clockwork;
    let turn = backups.as_ref().map(|schedule| schedule.every);
    let watching = upkeep::watch(store.clone(), turn, without.flags(), outlets);
    let backing_up = async {
        if let Some(schedule) = backups {
            upkeep::back_up(store.clone(), schedule).await;
        }
    };
    let retaining = upkeep::retain(store.clone(), retention);
    let following = upkeep::follow_record(store.clone(), record);
    tokio::join!(
        upkeep::run(store.clone()),
        retaining,
        following,
        upkeep::forget_sent_texts(store.clone(), sent_texts),
        backing_up,
        watching,
        upkeep::read_back(store.clone(), backfills),
        upkeep::send_emails(store.clone(), emails)
    );
}

/// A name that was mistyped would be found by nobody else.
async fn tell_of_unknown(store: &Store, asked: &[String]) {
    for name in asked {
        if matches!(store.service(name).await, Ok(None)) {
            tracing::warn!(
                event = "serve.unknown_service",
                service = name,
                "there is no service of this name, for which --notify-api was given. See counterfoil token list"
            );
        }
    }
}

fn tell_of_gap(store: &Store) {
    if let Some(gap) = store.gap() {
        tracing::error!(
            event = "store.gap",
            from = listed(Some(gap.began_at)),
            until = listed(Some(gap.ended_at)),
            "there was no sign of life for so long that Notify may have given callbacks up. Read them back with counterfoil backfill for \
             each service, with --since a week or so"
        );
    }
}

/// Of each listener: its connections are its own, so that a flood of one cannot starve another.
fn limits(listeners: usize) -> Limits {
    let mut limits = Limits::default();
    let wanted = limits.connections * listeners + DESCRIPTORS_BESIDE;
    let given = edge::raise_descriptor_limit(u64::try_from(wanted).unwrap_or(u64::MAX));
    let given = usize::try_from(given).unwrap_or(usize::MAX);
    if given < wanted {
        limits.connections = (given.saturating_sub(DESCRIPTORS_BESIDE) / listeners.max(1)).max(64);
        tracing::warn!(
            event = "serve.few_descriptors",
            connections = limits.connections,
            "the system allows few open files, so fewer connections are taken: raise the limit of open files"
        );
    }
    limits
}

fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    edge::bind(address).map_err(|error| {
        let words = match error.kind() {
            io::ErrorKind::AddrInUse => "another program listens there. Stop it, or choose another port".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "this user may not. Choose a port above 1023, or let systemd open it".to_owned()
            }
            _ => error.to_string(),
        };
        Failure::new(format!("cannot listen on {address}: {words}"))
    })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::new(format!("the listener has no address: {error}")))
}

/// Ends when the process is told to stop, be it by the end of its terminal where that is not said to mean something else.
pub(super) fn stop_signal(by_hang_up: bool) -> Result<impl Future<Output = ()>, Failure> {
    let failed = |error| Failure::new(format!("signals cannot be caught: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    // The terminal was closed.
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    // Past a limit on file sizes: caught, the write fails instead, and what could not be stored is sent again.
    let mut file_too_large = signal(SignalKind::from_raw(SIGXFSZ)).map_err(failed)?;
    Ok(async move {
        let mut never = std::pin::pin!(async move { while file_too_large.recv().await.is_some() {} });
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
            _ = hang_up.recv(), if by_hang_up => (),
            () = never.as_mut() => (),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_a_number_of_days_or_forever() {
        assert_eq!(keep("730"), Ok(Keep::Days(730)));
        assert_eq!(keep("forever"), Ok(Keep::Forever));
        for wrong in ["", "0", "-1", "2y", "36501", "Forever!"] {
            assert!(keep(wrong).is_err(), "{wrong}");
        }
    }
}
