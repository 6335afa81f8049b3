//! What systemd, or another that speaks its protocol, hands over to `serve` and is told of it. Without one none of this does anything.

use std::convert::Infallible;
use std::net::TcpListener;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use super::Failure;
use crate::clock;
use crate::store::{Store, StoreError};

/// What was handed over is nothing that can be listened on.
const WRONG_SOCKET: u8 = 19;
/// The `FileDescriptorName=` of a socket for callbacks alone.
const CALLBACKS: &str = "callbacks";
/// And of one for who watches.
const METRICS: &str = "metrics";
/// That of one that leads to https.
const REDIRECT: &str = "redirect";

/// The sockets that were handed over. They stay open in systemd, and with them who waits there while the server starts again.
#[derive(Default)]
pub(super) struct Inherited {
    pub(super) pages: Vec<TcpListener>,
    pub(super) callbacks: Vec<TcpListener>,
    pub(super) metrics: Vec<TcpListener>,
    pub(super) redirects: Vec<TcpListener>,
}

impl Inherited {
    /// Takes them over.
    pub(super) fn take() -> Result<Inherited, Failure> {
        // Before they are taken: then their names are forgotten.
        let names = sd_notify::listen_fds_with_names().map(Iterator::collect::<Vec<_>>);
        let (mut sockets, mut inherited) = (ListenFd::from_env(), Inherited::default());
        if sockets.len() == 0 {
            // None, or another process's: then so are the names.
            return Ok(inherited);
        }
        let names = names.map_err(|error| wrong(&error))?;
        for number in 0..sockets.len() {
            let Some(socket) = sockets.take_tcp_listener(number).map_err(|error| wrong(&error))? else { continue };
            if !is_listening(&socket) {
                return Err(wrong(&"it does not listen"));
            }
            let kind = match names.get(number).map(|(_, name)| name.as_str()) {
                Some(CALLBACKS) => &mut inherited.callbacks,
                Some(METRICS) => &mut inherited.metrics,
                Some(REDIRECT) => &mut inherited.redirects,
                _ => &mut inherited.pages,
            };
            kind.push(socket);
        }
        Ok(inherited)
    }
}

fn is_listening(socket: &TcpListener) -> bool {
    socket2::SockRef::from(socket).is_listener().unwrap_or(false)
}

fn wrong(error: &dyn std::fmt::Display) -> Failure {
    let words = format!(
        "the socket that systemd handed over cannot be used: {error}. In the socket unit, write ListenStream= with an address \
         and a port, and leave Accept= out"
    );
    Failure { words, code: WRONG_SOCKET }
}

/// Whether the server was started by one that wants to be told.
pub(super) fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Tells what is happening, in a sentence that `systemctl status` shows.
pub(super) fn tell(news: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(news) {
        tracing::warn!(event = "serve.systemd_not_told", error = %error, "systemd could not be told how the server is");
    }
}

/// Tells that the server is ready, and goes on telling that it lives for as long as a watchdog wants to hear it.
///
/// Both are told when the writer thread has answered, whatever it answered: a full disk or a damaged store is an alarm of its own,
/// and a start anew would not mend it but take the pages away as well. Where the writer answers nothing, being stuck in a sync or
/// behind, nothing is told, and systemd starts the server again.
pub(super) async fn keep_told(store: &Store) -> Infallible {
    let mut said = words(store.prove_writer(clock::now()).await.as_ref()).unwrap_or_default();
    tell(&[NotifyState::Ready, NotifyState::Status(said)]);
    let Some(patience) = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero()) else {
        return std::future::pending().await;
    };
    let mut ticks = interval(patience / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let proved = store.prove_writer(clock::now()).await;
        let Some(words) = words(proved.as_ref()) else { continue };
        tell(&[NotifyState::Watchdog]);
        if words != said {
            said = words;
            tell(&[NotifyState::Status(said)]);
        }
    }
}

/// How the server is by what its writer answered; nothing where it did not answer.
fn words(proved: Result<&(), &StoreError>) -> Option<&'static str> {
    match proved {
        Ok(()) => Some("Taking callbacks."),
        Err(StoreError::Full | StoreError::Closed) => None,
        Err(StoreError::Damaged(_)) => {
            Some("The store is damaged, so Notify is asked to send callbacks again. Look at the log.")
        }
        Err(_) => Some("The store cannot be written, so Notify is asked to send callbacks again. Look at the log."),
    }
}
