//! `counterfoil subject`: what is held on one person or with one reference: read it out, erase it, hold it.

use std::fs::File;
use std::io::{self, BufRead as _, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::purge::{IN_LOG, forget};
use super::unsaid::unsaid;
use super::watch::watch;
use super::{Data, Failure, by, hold, say, tell};
use crate::clock;
use crate::disclosure::{Disclosure, Format, counted};
use crate::notify::reason::{self, NoReason};
use crate::notify::subject::Subject as Whom;
use crate::store::{Asked, Did, Entry, OnSubject, Progress, Services, Store, StoreError};

/// What is held on one person, or with one reference: export, erase, hold
///
/// A number or an address is one person however it is written. Where - stands in its place it is read from standard input, so that it
/// is in no list of processes and in no shell's history.
#[derive(Args, Debug)]
pub(super) struct Subject {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Export(Export),
    Erase(Erase),
    Hold(hold::Hold),
}

/// Whom it is about.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct Who {
    /// A phone number, a short code or a sender's name; - reads it from standard input
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, env = "COUNTERFOIL_NUMBER")]
    number: Option<String>,
    /// An email address; - reads it from standard input
    #[arg(long, value_name = "ADDRESS", allow_hyphen_values = true, env = "COUNTERFOIL_EMAIL")]
    email: Option<String>,
    /// A reference; - reads it from standard input
    #[arg(long, value_name = "REFERENCE", allow_hyphen_values = true, env = "COUNTERFOIL_REFERENCE")]
    reference: Option<String>,
}

impl Who {
    /// What of it is read from standard input.
    fn on_input(&self) -> Option<&'static str> {
        let all = [(&self.number, "number"), (&self.email, "address"), (&self.reference, "reference")];
        all.into_iter().find(|(typed, _)| typed.as_deref() == Some("-")).map(|(_, what)| what)
    }

    /// Reads it, where it is on standard input; gives it as it was typed too.
    pub(super) fn read(&self) -> Result<(Whom, String), Failure> {
        let typed = |typed: &str| if typed == "-" { line() } else { Ok(typed.to_owned()) };
        let (found, typed, what) = match (&self.number, &self.email, &self.reference) {
            (Some(number), _, _) => {
                let number = typed(number)?;
                (Whom::of_number(&number), number, "a phone number")
            }
            (_, Some(email), _) => {
                let email = typed(email)?;
                (Whom::of_email(&email), email, "an email address")
            }
            (_, _, reference) => {
                let reference = typed(reference.as_deref().unwrap_or_default())?;
                (Whom::of_reference(&reference), reference, "a reference")
            }
        };
        let whom = found.ok_or_else(|| Failure::new(format!("what you gave is not {what}. Check it and try again")))?;
        Ok((whom, typed))
    }
}

/// A line of standard input.
pub(super) fn line() -> Result<String, Failure> {
    let mut line = String::new();
    let failed = |error| Failure::new(format!("standard input cannot be read: {error}"));
    io::stdin().lock().read_line(&mut line).map_err(failed)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Write out everything that is held, as for an access request
///
/// That is delivery receipts, received texts, returned letters and complaints, bodies in quarantine that hold the number, the address or
/// the reference, and kept searches. It works beside the running server and without one. What it writes is personal data.
#[derive(Args, Debug)]
struct Export {
    #[command(flatten)]
    who: Who,
    /// json, with each body as it came, or csv, for a spreadsheet
    #[arg(long, default_value = "json", env = "COUNTERFOIL_FORMAT")]
    format: Format,
    /// The file to make; standard output where none is named
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_TO")]
    to: Option<PathBuf>,
    #[command(flatten)]
    data: Data,
}

/// Erase everything that is held, for good
///
/// It says first how much would go, and asks. What a hold keeps stays. No retry, no backfill and no restoring of an older backup with
/// counterfoil restore brings it back: Notify's ids of the messages are remembered in the store and in the file counterfoil.erased in its
/// folder. Whose they were is not, so what this person sends or gets from now on is kept as any other.
///
/// It works beside the running server. Where it is stopped half-way, what is gone is gone and the rest is whole: run it again. Backups
/// made before still hold it all until they are removed.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
struct Erase {
    #[command(flatten)]
    who: Who,
    /// Why, such as the number of the request. It holds no personal data
    #[arg(long, value_name = "REASON", value_parser = unsaid(reason), env = "COUNTERFOIL_REASON")]
    reason: String,
    /// Redact the text, keep the receipt: what received texts say is gone, with the exact bytes of everything and with the names of
    /// uploaded letters; status, reference and times stay. Bodies in quarantine are erased all the same
    #[arg(long, env = "COUNTERFOIL_REDACT")]
    redact: bool,
    /// Redact also whom messages were sent to and came from, and erase kept searches
    #[arg(long, requires = "redact", env = "COUNTERFOIL_RECIPIENT")]
    recipient: bool,
    /// Only say how much would go
    #[arg(long, env = "COUNTERFOIL_DRY_RUN")]
    dry_run: bool,
    /// Do not ask
    #[arg(long, env = "COUNTERFOIL_YES")]
    yes: bool,
    /// A second journal of erasures, such as on another disk
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_ERASURE_JOURNAL")]
    erasure_journal: Option<PathBuf>,
    #[command(flatten)]
    data: Data,
}

/// A reason that says something, and nothing personal.
pub(super) fn reason(typed: &str) -> Result<String, String> {
    reason::reason(typed).map_err(|wrong| match wrong {
        NoReason::Personal => wrong.to_string(),
        _ => "say why in one line of at most 200 characters".to_owned(),
    })
}

pub(super) async fn run(subject: Subject) -> Result<(), Failure> {
    match subject.what {
        What::Export(export) => self::export(export).await,
        What::Erase(erase) => self::erase(erase).await,
        What::Hold(hold) => hold::run(hold).await,
    }
}

async fn export(export: Export) -> Result<(), Failure> {
    let Export { who, format, to, data } = export;
    let store = data.open()?;
    let (whom, typed) = who.read()?;
    let entry = Entry::new(by(), Did::ExportedSubject, clock::now()).about(Some(whom.key()));
    store.record(entry.with(format.as_str())).await?;
    let writing = store.clone();
    let (written, saved) = watch(move |progress| {
        let mut saved = 0;
        let about = (&whom, typed.as_str(), format);
        let written = match &to {
            Some(file) => to_file(&writing, about, file, progress, &mut saved),
            None => write(&writing, about, io::stdout().lock(), progress, &mut saved).map(|(_, counts)| counts),
        };
        (written, saved)
    })
    .await?;
    // Also where it ends before its end: whoever reads it has that much.
    let noted = written.as_ref().map_or(saved, OnSubject::all);
    let is_noted = if noted > 0 { store.note_saved(by(), noted, clock::now()).await } else { Ok(()) };
    let counts = written?;
    is_noted?;
    tell(&table(&counts));
    tell_unread(&counts);
    Ok(())
}

/// A file has its name when it is whole.
fn to_file(
    store: &Store,
    about: (&Whom, &str, Format),
    file: &Path,
    progress: &Progress,
    saved: &mut u64,
) -> Result<OnSubject, Failure> {
    let name = file.display();
    let failed = |error: io::Error| {
        Failure::new(format!("the file {name} cannot be written: {error}. Name one that does not exist"))
    };
    let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if file.symlink_metadata().is_ok() {
        return Err(Failure::exists_already(file));
    }
    let made = tempfile::Builder::new().prefix(".counterfoil-export-").tempfile_in(folder).map_err(failed)?;
    let (made, counts) = write(store, about, made, progress, saved)?;
    made.as_file().sync_all().map_err(failed)?;
    made.persist_noclobber(file).map_err(|lost| failed(lost.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    tell(&format!("It is in {name}. It holds personal data."));
    Ok(counts)
}

/// Writes all of it, and counts what is written.
fn write<W: Write>(
    store: &Store,
    (whom, typed, format): (&Whom, &str, Format),
    out: W,
    progress: &Progress,
    saved: &mut u64,
) -> Result<(W, OnSubject), Failure> {
    let failed = |error: io::Error| Failure::new(format!("the export cannot be written: {error}"));
    let gathered = store.gather(&Services::All, whom, progress).map_err(not_read)?;
    let mut disclosure = Disclosure::begin(format, BufWriter::new(out), typed.trim(), clock::now()).map_err(failed)?;
    let mut written = Ok(());
    let read = store.export(&Services::All, &gathered, progress, |piece| {
        *saved += 1;
        written = disclosure.add(&piece);
        written.is_ok()
    });
    written.map_err(failed)?;
    read.map_err(not_read)?;
    let out = disclosure.end().map_err(failed)?;
    let out = out.into_inner().map_err(|error| failed(error.into_error()))?;
    Ok((out, gathered.counts))
}

fn not_read(error: StoreError) -> Failure {
    match error {
        StoreError::Stopped => Failure::new("stopped: nothing was changed"),
        error => error.into(),
    }
}

async fn erase(erase: Erase) -> Result<(), Failure> {
    let now = clock::now();
    let (store, is_alone) = erase.data.open_alone_or_beside()?;
    if let Some(file) = erase.erasure_journal {
        store.also_journal_to(file);
    }
    let (whom, _) = erase.who.read()?;
    store.record(Entry::new(by(), Did::LookedUpSubject, now).about(Some(whom.key()))).await?;
    let (looking, theirs) = (store.clone(), whom.clone());
    let gathered = watch(move |progress| looking.gather(&Services::All, &theirs, progress)).await?;
    let gathered = gathered.map_err(not_read)?;
    say(&table(&gathered.counts))?;
    tell_unread(&gathered.counts);
    if erase.dry_run || gathered.counts.all() == 0 {
        return Ok(());
    }
    if !erase.yes {
        let what = if erase.redact { "Redact" } else { "Erase" };
        ask("changed", &format!("{what} all of it for good, but for what is held?"), erase.who.on_input())?;
    }
    let redact = erase.redact.then_some(erase.recipient);
    let asked = Asked { by: by(), reason: erase.reason, at: now };
    let (erasing, runtime) = (store.clone(), tokio::runtime::Handle::current());
    let work = move |progress: &Progress| {
        runtime.block_on(async {
            let done = match redact {
                Some(recipient) => erasing.redact(&Services::All, &whom, gathered, recipient, asked, progress).await?,
                None => erasing.erase(&Services::All, &whom, gathered, asked, progress).await?,
            };
            // Also where it was stopped: what is gone is to be gone from everywhere.
            if !forget(&erasing, is_alone, progress).await? {
                tell(IN_LOG);
            }
            Ok::<_, Failure>(done)
        })
    };
    let done = watch(work).await??;
    let closing = store.clone();
    let _closed = tokio::task::spawn_blocking(move || closing.close()).await;
    let (erased, what) = (done.all(), if redact.is_some() { "redacted or erased" } else { "erased" });
    if done.is_stopped {
        return Err(Failure::new(format!(
            "stopped: {erased} were {what}, and the rest is whole. Run it again to go on"
        )));
    }
    tell(&format!("{erased} were {what} for good{}.", held(done.held)));
    tell("Backups made before still hold them. Keep counterfoil.erased with the backups: restoring one needs it.");
    Ok(())
}

/// How many were kept, where any were.
pub(super) fn held(count: u64) -> String {
    if count == 0 { String::new() } else { format!(", and {count} are held and were kept") }
}

/// `read` is what was read from standard input before.
fn ask(done: &str, question: &str, read: Option<&str>) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let why =
            read.map_or_else(|| " here".to_owned(), |read| format!(", because the {read} came from standard input"));
        return Err(Failure::new(format!("nothing was {done}: nobody can be asked{why}. Add --yes")));
    }
    tell(&format!("{question} Type yes to go on."));
    if line()?.trim() == "yes" { Ok(()) } else { Err(Failure::new(format!("nothing was {done}"))) }
}

pub(super) fn table(counts: &OnSubject) -> String {
    let mut lines = counted(counts);
    if counts.held > 0 {
        lines.push(("Of these held", counts.held));
    }
    let lines: Vec<String> = lines.into_iter().map(|(name, count)| format!("{name:<24}{count}")).collect();
    lines.join("\n")
}

fn tell_unread(counts: &OnSubject) {
    if counts.unread > 0 {
        tell(&format!(
            "{} bodies in quarantine are compressed, so nobody can tell whose they are. See counterfoil quarantine list.",
            counts.unread
        ));
    }
}
