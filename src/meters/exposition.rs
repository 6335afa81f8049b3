//! What was counted, as Prometheus reads it. The text is made at each reading, of names and numbers alone.

use prometheus::core::Collector;
use prometheus::{Encoder as _, GaugeVec, IntCounterVec, Opts, Registry, TextEncoder};

use super::{Came, Meters};

/// Whose callbacks are counted that carried no valid token.
const NO_TOKEN: &str = "unknown_token";
const MICROS: f64 = 1_000_000.0;

/// How the server stands at a moment, beside what it has counted.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The moment, in microseconds since 1970 UTC.
    pub now: i64,
    /// Callbacks that wait to be written, and writes of pages.
    pub waiting: (usize, usize),
    /// In bytes: the store's file, its log, and what is free on its disk.
    pub store_bytes: u64,
    /// The log.
    pub log_bytes: u64,
    /// What is free.
    pub free_bytes: u64,
    /// Why callbacks are refused: each reason's word, and whether it holds.
    pub refusing: Vec<(&'static str, bool)>,
    /// What is in the store; nothing where it cannot be read.
    pub held: Option<Held>,
}

/// What is in the store.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Its services.
    pub services: Vec<Served>,
    /// Callbacks that ever arrived.
    pub arrived: i64,
    /// Bodies in quarantine.
    pub quarantined: i64,
    /// People who are signed in.
    pub sessions: i64,
    /// Alarms that nobody has dealt with: each sort's word, and how many.
    pub alarms: Vec<(&'static str, i64)>,
}

/// A service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Served {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// When it last brought something, in microseconds since 1970 UTC; to the minute.
    pub last_at: Option<i64>,
}

impl Meters {
    /// All of it, in Prometheus's text format.
    ///
    /// # Errors
    /// When the text cannot be made, which is a fault of ours.
    pub fn text(&self, standing: &Standing) -> Result<String, prometheus::Error> {
        let page = Page(Registry::new());
        let build = [(vec![env!("CARGO_PKG_VERSION").to_owned()], 1.0)];
        page.gauge("build_info", "The release that runs.", &["version"], build)?;
        self.callbacks(&page, standing)?;
        self.store(&page, standing)?;
        let seconds = |at: Option<i64>| at.map(seconds);
        let help = "When the newest backup of the schedule was made.";
        page.plain("last_backup_timestamp_seconds", help, seconds(self.last_backup()))?;
        let help = "Whether the last backup of the schedule failed.";
        page.plain("backup_failing", help, Some(f64::from(u8::from(self.backup_failing_since().is_some()))))?;
        let help = "When the certificate ends that is served with.";
        page.plain("certificate_end_timestamp_seconds", help, seconds(self.certificate_end()))?;
        let mut text = Vec::new();
        TextEncoder::new().encode(&page.0.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn callbacks(&self, page: &Page, standing: &Standing) -> Result<(), prometheus::Error> {
        let refusing = self.refusing(standing.now).map_or(0, |trouble| trouble.lasted);
        let help = "For how long callbacks, or some of them, have been answered 503; 0 where all are taken.";
        page.plain("refusing_seconds", help, Some(seconds(refusing)))?;
        page.register(self.callback_requests.clone())?;
        page.register(self.page_requests.clone())?;
        let services = standing.held.as_ref().map_or(&[][..], |held| &held.services);
        let name = |id: i64| {
            let known = services.iter().find(|service| service.id == id);
            known.map_or_else(|| format!("service {id}"), |service| service.name.clone())
        };
        let counted = self.counted().into_iter().map(|(came, times)| {
            let Came { service, kind, answer } = came;
            let service = service.map_or_else(|| NO_TOKEN.to_owned(), name);
            let answer = if answer == 0 { "none".to_owned() } else { answer.to_string() };
            (vec![kind.to_owned(), service, answer], times)
        });
        let help = "Callbacks, by what they were, whose they were and the status that was answered.";
        page.counter("callbacks_total", help, &["kind", "service", "answer"], counted)?;
        let mut last: Vec<(Vec<String>, f64)> = Vec::new();
        for service in services {
            let since = self.last_taken().into_iter().filter(|(id, ..)| *id == service.id).map(|(.., at)| at).max();
            let at = since.max(service.last_at);
            last.extend(at.map(|at| (vec![service.name.clone()], seconds(at))));
        }
        let help = "When a callback of the service was taken last; after a start, to the minute.";
        page.gauge("last_callback_timestamp_seconds", help, &["service"], last)
    }

    fn store(&self, page: &Page, standing: &Standing) -> Result<(), prometheus::Error> {
        use std::sync::atomic::Ordering::Relaxed;
        page.register(self.commits.clone())?;
        let failed = [(Vec::new(), self.failed_commits.load(Relaxed))];
        page.counter("failed_commits_total", "Transactions of the store's writer that failed.", &[], failed)?;
        let copied = ["whole", "part", "failed"].into_iter().zip(&self.copied);
        let copied = copied.map(|(how, times)| (vec![how.to_owned()], times.load(Relaxed)));
        let help = "Times that the store's log was to be copied into its file, by how much of it was.";
        page.counter("checkpoints_total", help, &["copied"], copied)?;
        let (callbacks, pages) = standing.waiting;
        let waiting = [("callbacks", callbacks), ("pages", pages)];
        let waiting = waiting.map(|(of, waiting)| (vec![of.to_owned()], number(waiting as u64)));
        page.gauge("queue_length", "What waits to be written to the store.", &["of"], waiting)?;
        page.plain("store_bytes", "Size of the store's file.", Some(number(standing.store_bytes)))?;
        page.plain("wal_bytes", "Size of the store's log.", Some(number(standing.log_bytes)))?;
        let help = "What is free on the disk of the store, for an ordinary user.";
        page.plain("disk_free_bytes", help, Some(number(standing.free_bytes)))?;
        let refusing = standing.refusing.iter();
        let refusing = refusing.map(|(why, holds)| (vec![(*why).to_owned()], f64::from(u8::from(*holds))));
        page.gauge("refusing", "Whether every callback is answered 503 for this reason.", &["reason"], refusing)?;
        let Some(inside) = &standing.held else { return Ok(()) };
        page.plain("arrivals", "Callbacks that ever arrived.", Some(number(inside.arrived.unsigned_abs())))?;
        let quarantined = number(inside.quarantined.unsigned_abs());
        page.plain(
            "quarantined",
            "Callbacks that could not be understood and that nobody has dealt with.",
            Some(quarantined),
        )?;
        page.plain("sessions", "People who are signed in.", Some(number(inside.sessions.unsigned_abs())))?;
        let alarms = inside.alarms.iter().map(|(sort, stand)| (vec![(*sort).to_owned()], number(stand.unsigned_abs())));
        page.gauge("alarms", "Alarms that nobody has dealt with.", &["sort"], alarms)
    }
}

/// What is read at once.
struct Page(Registry);

impl Page {
    fn register(&self, what: impl Collector + 'static) -> Result<(), prometheus::Error> {
        self.0.register(Box::new(what))
    }

    fn gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        values: impl IntoIterator<Item = (Vec<String>, f64)>,
    ) -> Result<(), prometheus::Error> {
        let gauge = GaugeVec::new(Opts::new(name, help).namespace("counterfoil"), labels)?;
        for (labels, value) in values {
            gauge.get_metric_with_label_values(&labels)?.set(value);
        }
        self.register(gauge)
    }

    fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        values: impl IntoIterator<Item = (Vec<String>, u64)>,
    ) -> Result<(), prometheus::Error> {
        let counter = IntCounterVec::new(Opts::new(name, help).namespace("counterfoil"), labels)?;
        for (labels, value) in values {
            counter.get_metric_with_label_values(&labels)?.inc_by(value);
        }
        self.register(counter)
    }

    /// One without labels, where there is any.
    fn plain(&self, name: &str, help: &str, value: Option<f64>) -> Result<(), prometheus::Error> {
        self.gauge(name, help, &[], value.map(|value| (Vec::new(), value)))
    }
}

fn seconds(micros: i64) -> f64 {
    number(micros.unsigned_abs()) / MICROS
}

#[expect(clippy::cast_precision_loss, reason = "what is shown may be rounded")]
fn number(of: u64) -> f64 {
    of as f64
}
