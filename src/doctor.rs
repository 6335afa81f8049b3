//! What `counterfoil doctor` looks at, one thing after another, and what it says of each. It changes nothing that stays.

mod alarms;
mod backups;
mod certificate;
mod condition;
mod folder;
mod listeners;
mod round_trip;
mod test_callbacks;
mod url;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use serde::Serialize;

use crate::clock;
use crate::edge::Certificate;
use crate::outgoing::Server;
use crate::store::{Examined, OpenError, Store};

pub use listeners::reached;
pub use round_trip::RoundTrip;

/// How it stands with one thing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Good,
    /// It works, and somebody should look at it.
    Warning,
    /// Callbacks are lost, or people's data is open, or will be soon.
    Bad,
}

/// What was found of one thing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// The thing, by a name that stays.
    pub check: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found, as a sentence.
    pub found: String,
    /// What to do about it, as a sentence; nothing where it is good.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub to_do: Option<String>,
}

impl Finding {
    fn good(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { check, state: State::Good, found: found.into(), to_do: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, to_do: impl Into<String>) -> Finding {
        Finding { check, state: State::Warning, found: found.into(), to_do: Some(to_do.into()) }
    }

    /// A store that cannot be opened: its error ends with what to do.
    fn of(check: &'static str, error: &OpenError) -> Finding {
        let words = error.to_string();
        match words.rsplit_once(". ") {
            Some((found, to_do)) => Finding::bad(check, found, format!("{to_do}.")),
            None => Finding::bad(check, words, "Look at the server’s log."),
        }
    }

    fn bad(check: &'static str, found: impl Into<String>, to_do: impl Into<String>) -> Finding {
        Finding { check, state: State::Bad, found: found.into(), to_do: Some(to_do.into()) }
    }
}

/// What a listener is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    /// Pages and callbacks.
    All,
    /// Callbacks alone.
    Callbacks,
    /// Who watches.
    Metrics,
}

/// Where a server listens, as it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listener {
    /// The address.
    pub at: SocketAddr,
    /// What it is for.
    pub takes: Takes,
    /// Whether it speaks TLS.
    pub is_encrypted: bool,
}

/// A schedule of backups.
#[derive(Clone, Debug)]
pub struct Backups {
    /// Where they are.
    pub folder: PathBuf,
    /// From one to the next.
    pub every: Duration,
}

/// Where alarms go.
#[derive(Clone, Default)]
pub struct Alarms {
    /// Whether the command can be run, or why not; nothing where there is none or nobody can say.
    pub command: Option<Result<(), String>>,
    /// Where they are posted.
    pub webhook: Option<Server>,
    /// Whether they go anywhere.
    pub are_told: bool,
}

/// What is to be looked at.
#[derive(Clone)]
pub struct Patient {
    /// The store's folder. Without it only the public address is looked at, as from another machine.
    pub data: Option<PathBuf>,
    /// Where the server listens.
    pub listeners: Vec<Listener>,
    /// The certificate that it shows itself, or why there is none; nothing where it speaks no TLS.
    pub certificate: Option<Result<Certificate, String>>,
    /// How Notify and people reach it.
    pub url: Option<String>,
    /// By what its certificate is believed; the public roots where there is nothing.
    pub roots: Option<Arc<RootCertStore>>,
    /// Where its backups go.
    pub backups: Option<Backups>,
    /// Where its alarms go.
    pub alarms: Alarms,
    /// A message that Notify is to send for a test.
    pub round_trip: Option<RoundTrip>,
}

/// Looks at everything, and tells what it finds as it goes on.
pub async fn examine(patient: Patient, tell: &mut dyn FnMut(Finding)) {
    let (examined, store) = match &patient.data {
        Some(data) => look_inside(data.clone(), tell).await,
        None => (None, None),
    };
    if patient.data.is_some() {
        listeners::look(&patient.listeners, examined, tell).await;
        backups::look(patient.backups.as_ref(), tell);
        alarms::look(&patient.alarms, tell).await;
    }
    let host = patient.url.as_deref().and_then(|url| url.parse::<http::Uri>().ok());
    let host = host.as_ref().and_then(http::Uri::host);
    if let Some(certificate) = &patient.certificate {
        tell(certificate::own(certificate, host, clock::now()));
    }
    match &patient.url {
        Some(url) => url::look(url, patient.roots.clone(), store.as_ref(), tell).await,
        None => tell(Finding::warning(
            "url",
            "nobody said how Notify reaches this server, so that the way in was not looked at",
            "Give --url, such as https://callbacks.example.gov.uk.",
        )),
    }
    if let Some(round_trip) = patient.round_trip {
        match &store {
            Some(store) => tell(round_trip.make(store).await),
            None => tell(Finding::warning(
                "round-trip",
                "no message was sent through Notify: whether it is called back is seen in the store",
                "Run it on the server’s machine, with --data.",
            )),
        }
    }
}

/// The folder and the store. What cannot be opened is not gone into.
async fn look_inside(data: PathBuf, tell: &mut dyn FnMut(Finding)) -> (Option<Examined>, Option<Store>) {
    let now = clock::now();
    let Some(examined) = folder::look(&data, now, tell) else { return (None, None) };
    condition::clock(examined, now, tell).await;
    let is_whole = condition::whole(&data, examined, tell).await;
    // A command's way of opening a store would change one that is older, make a missing key, and give up the ballast on a full disk.
    if !is_whole || examined.is_older || !examined.has_key || folder::is_full(examined) {
        return (Some(examined), None);
    }
    match Store::existing(&data, now) {
        Ok(store) => {
            condition::look(&store, &data, now, tell).await;
            (Some(examined), Some(store))
        }
        Err(error) => {
            tell(Finding::of("store", &error));
            (Some(examined), None)
        }
    }
}

/// A length of time in words, to the largest unit.
fn long(micros: i64) -> String {
    let (count, unit) = match micros.max(0) {
        time if time >= clock::DAY => (time / clock::DAY, "day"),
        time if time >= clock::HOUR => (time / clock::HOUR, "hour"),
        time if time >= clock::MINUTE => (time / clock::MINUTE, "minute"),
        _ => return "less than a minute".to_owned(),
    };
    counted(count, unit)
}

/// A number of things.
fn counted(count: impl Into<i128>, thing: &str) -> String {
    counted_as(count, thing, &format!("{thing}s"))
}

/// A number of things of which several have another name.
fn counted_as(count: impl Into<i128>, one: &str, several: &str) -> String {
    let count = count.into();
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_store_is_told_apart_from_what_to_do_about_it() {
        let newer = Finding::of("folder", &OpenError::Newer { found: 9, known: 8 });
        assert_eq!(newer.found, "the store is of version 9, and this release knows versions up to 8");
        assert_eq!(newer.to_do.as_deref(), Some("Install the newer release again."));
    }

    #[test]
    fn lengths_are_said_in_the_largest_unit() {
        assert_eq!([long(0), long(clock::HOUR), long(49 * clock::HOUR)], ["less than a minute", "1 hour", "2 days"]);
    }
}
