//! What a server says while it works: a line an event on standard error, for people, or as JSON for what collects logs.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock;
use crate::edge::asked;

/// What is logged under this target is always logged: whoever starts the server waits for it.
pub(super) const READY: &str = "counterfoil::ready";

/// What is logged, and how.
#[derive(Args, Debug)]
pub(super) struct Log {
    /// The least that is logged: error, warn, info or debug
    #[arg(long = "log-level", value_name = "LEVEL", default_value = "info", env = "COUNTERFOIL_LOG_LEVEL")]
    level: LevelFilter,
    /// How: as lines for people, as a JSON object a line, or whichever suits, which is JSON where systemd's journal listens
    #[arg(
        long = "log-format",
        value_name = "FORMAT",
        value_enum,
        default_value = "auto",
        env = "COUNTERFOIL_LOG_FORMAT"
    )]
    format: Format,
}

/// How a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// As JSON where the journal listens, and for people elsewhere
    Auto,
    /// For people
    Human,
    /// As a JSON object
    Json,
}

impl Log {
    /// Whether people are to read it.
    pub(super) fn is_for_people(&self) -> bool {
        !self.is_json()
    }

    fn is_json(&self) -> bool {
        match self.format {
            Format::Auto => is_for_the_journal(),
            Format::Human => false,
            Format::Json => true,
        }
    }

    /// From now on.
    pub(super) fn begin(&self) {
        begin(self.level, self.is_json());
    }
}

/// For people, from now on.
pub(super) fn begin_for_people(level: LevelFilter) {
    begin(level, false);
}

fn begin(level: LevelFilter, is_json: bool) {
    let shown = Targets::new().with_default(level).with_target(READY, LevelFilter::INFO);
    // Where standard error is full or closed there is nobody to tell, and saying so there would panic.
    let log = tracing_subscriber::fmt::layer().log_internal_errors(false);
    // A second subscriber in one process would be a fault of ours and harms nothing.
    let _first = if is_json {
        let log = log.with_writer(io::stderr).event_format(Json);
        tracing_subscriber::registry().with(log.with_filter(shown)).try_init().is_ok()
    } else {
        let log = log.with_writer(|| WithRequest).with_ansi(io::stderr().is_terminal());
        tracing_subscriber::registry().with(log.with_filter(shown)).try_init().is_ok()
    };
}

/// Whether standard error leads to systemd's journal, which says by which file that is so.
fn is_for_the_journal() -> bool {
    #[expect(clippy::disallowed_methods, reason = "systemd sets it, and nobody else")]
    let told = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(io::stderr()).is_ok_and(|file| told == format!("{}:{}", file.st_dev, file.st_ino))
}

/// Standard error, where each line of an event ends with the id of the request in hand.
struct WithRequest;

impl Write for WithRequest {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Some(asked) = asked() else { return write_lines(line).map(|()| line.len()) };
        let mut whole = line.strip_suffix(b"\n").unwrap_or(line).to_vec();
        writeln!(whole, " request={}", asked.id())?;
        write_lines(&whole).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The question that stands on the terminal and waits for its answer.
static QUESTION: Mutex<Option<&str>> = Mutex::new(None);

/// Writes whole lines on standard error. Where a question stands there they begin below it, and then it is asked again: what was typed
/// until then is kept by the terminal.
fn write_lines(lines: &[u8]) -> io::Result<()> {
    let question = QUESTION.lock().unwrap_or_else(PoisonError::into_inner);
    match *question {
        None => io::stderr().write_all(lines),
        Some(question) => io::stderr().write_all(&[b"\n", lines, question.as_bytes()].concat()),
    }
}

/// Says something between the lines of the log.
pub(super) fn tell_between(words: &str) {
    let _heard = write_lines(format!("{words}\n").as_bytes()).is_ok();
}

/// Asks for a line, which [`answered`] ends.
pub(super) fn ask(words: &'static str) {
    let mut question = QUESTION.lock().unwrap_or_else(PoisonError::into_inner);
    *question = Some(words);
    let _heard = io::stderr().write_all(words.as_bytes()).is_ok();
}

/// The line was given, or nobody waits for it any more.
pub(super) fn answered() {
    *QUESTION.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// An event as a JSON object on one line.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line(Map::new());
        event.record(&mut line);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let now = jiff::Timestamp::from_microsecond(clock::now()).unwrap_or_default();
        line.put("time", now.to_string().into());
        line.put("level", level.into());
        if let Some(asked) = asked() {
            line.put("request", asked.id().to_string().into());
        }
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

struct Line(Map<String, Value>);

impl Line {
    fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }
}
