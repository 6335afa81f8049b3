//! `/subjects`: what is held on one person or with one reference, for managers: exported, held, redacted and erased. Whom it is about
//! never stands in an address: a random name does, as for searches.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use tokio::runtime::Handle;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::download;
use super::plain_text::grouped;
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::results::{Moment, at};
use super::search::KEPT;
use super::take_along::{self, NotWhole, Saver};
use super::{Site, get, one_of};
use crate::access::{Caseworker, May, Secret};
use crate::clock;
use crate::disclosure::{Disclosure, Format, counted};
use crate::notify::reason::{self, NoReason};
use crate::notify::subject::Subject;
use crate::store::{Asked, Did, Erasure, Gathered, Progress, Removal, Store, StoreError};

const PAGE: &str = "/subjects";
/// A page waits no longer until all that is held is found.
const FOUND_WITHIN: Duration = Duration::from_secs(20);
/// A file is sent in pieces of so many bytes.
const PIECE: usize = 64 * 1024;
/// A number, an address or a reference is no longer.
const LONGEST: usize = 1000;
/// While somebody reads in the log, how often it is tried to empty it.
const LOG_AGAIN: Duration = Duration::from_secs(2);
const LOG_TRIES: usize = 60;

/// What was typed is taken for: as it stands in an address, and in words.
const SORTS: [(&str, &str); 3] = [("number", "Phone number"), ("email", "Email address"), ("reference", "Reference")];

#[derive(Template)]
#[template(path = "subjects.html")]
struct AskPage {
    chrome: Chrome,
    sorts: [(&'static str, &'static str); 3],
    sort: String,
    typed: String,
    error: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "subject.html")]
struct SubjectPage {
    chrome: Chrome,
    here: String,
    sort: &'static str,
    typed: String,
    counts: Vec<(&'static str, String)>,
    is_empty: bool,
    held: Option<String>,
    unread: Option<String>,
    holds: Vec<HoldRow>,
    hows: [(&'static str, &'static str); 3],
    error: Option<Wrong>,
}

impl SubjectPage {
    /// What is wrong with a field.
    fn wrong(&self, field: &str) -> Option<&str> {
        self.error.as_ref().filter(|wrong| wrong.field == field).map(|wrong| wrong.words.as_str())
    }

    /// The reason that was given in a form that was refused.
    fn reason(&self, form: &str) -> &str {
        self.error.as_ref().filter(|wrong| wrong.form == form).map_or("", |wrong| &wrong.reason)
    }

    fn is_chosen(&self, how: &str) -> bool {
        self.error.as_ref().is_some_and(|wrong| wrong.how == how)
    }
}

/// A form that was refused, with what was put into it.
struct Wrong {
    form: &'static str,
    /// The id of the field that is wrong.
    field: &'static str,
    words: String,
    how: String,
    reason: String,
}

impl Wrong {
    fn of(form: &'static str, field: &'static str, words: String, typed: &Words) -> Wrong {
        let typed = |name| typed.get(name).unwrap_or_default().to_owned();
        Wrong { form, field, words, how: typed("how"), reason: typed("reason") }
    }
}

struct HoldRow {
    id: i64,
    reason: String,
    since: Moment,
    held: String,
    is_whole: bool,
}

#[derive(Template)]
#[template(path = "subject_erase.html")]
struct ErasePage {
    chrome: Chrome,
    here: String,
    sort: &'static str,
    typed: String,
    how: &'static str,
    reason: String,
    counts: Vec<(&'static str, String)>,
    held: Option<String>,
}

#[derive(Template)]
#[template(path = "subject_erased.html")]
struct ErasedPage {
    chrome: Chrome,
    was_redacted: bool,
    callbacks: String,
    quarantined: String,
    searches: String,
    held: Option<String>,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let allowed = || request::allowed(site, May::Subjects);
    one_of([
        warp::path!("subjects").and(get()).and(request::site(site)).and(allowed()).then(ask).map(answer).boxed(),
        warp::path!("subjects")
            .and(warp::post())
            .and(request::site(site))
            .and(allowed())
            .and(request::form())
            .then(find)
            .map(answer)
            .boxed(),
        warp::path!("subjects" / String / String)
            .and(get())
            .and(request::site(site))
            .and(allowed())
            .then(show)
            .map(answer)
            .boxed(),
        warp::path!("subjects" / String / String / String)
            .and(get())
            .and(request::site(site))
            .and(take_along::saver_of(site, May::Subjects))
            .then(export)
            .map(answer)
            .boxed(),
        warp::path!("subjects" / String / String / String)
            .and(warp::post())
            .and(request::site(site))
            .and(allowed())
            .and(request::form())
            .then(change)
            .map(answer)
            .boxed(),
    ])
}

/// Whether something stands there, and what it can be asked by.
pub(super) fn methods(parts: &[&str]) -> Option<&'static str> {
    let is_sort = |sort: &str| SORTS.iter().any(|(name, _)| *name == sort);
    match parts {
        [] => Some("GET, HEAD, POST"),
        [sort, _] if is_sort(sort) => Some("GET, HEAD"),
        [sort, _, what] if is_sort(sort) && format_of(what).is_some() => Some("GET, HEAD"),
        [sort, _, "hold" | "let-go" | "erase"] if is_sort(sort) => Some("POST"),
        _ => None,
    }
}

fn format_of(file: &str) -> Option<Format> {
    file.strip_prefix("export.")?.parse().ok()
}

async fn ask(site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    html(&AskPage::of(&site, &caseworker?, "number", "", None))
}

impl AskPage {
    fn of(site: &Site, caseworker: &Caseworker, sort: &str, typed: &str, error: Option<&'static str>) -> AskPage {
        AskPage {
            chrome: site.chrome(Some(caseworker), Here::Subjects),
            sorts: SORTS,
            sort: sort.to_owned(),
            typed: typed.to_owned(),
            error,
        }
    }
}

async fn find(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, form: Result<Words, Problem>) -> Answer {
    let caseworker = request::led_on(caseworker, PAGE)?;
    let form = form?;
    let (sort, typed) = (form.get("sort").unwrap_or_default(), form.get("subject").unwrap_or_default().trim());
    let error = match sort {
        _ if typed.chars().count() > LONGEST => "What you enter must be 1,000 characters or fewer",
        "number" => "Enter a phone number, such as 07700 900123",
        "email" => "Enter an email address, such as name@example.com",
        "reference" => "Enter a reference",
        _ => "Select what you are entering",
    };
    if typed.chars().count() > LONGEST || subject_of(sort, typed).is_none() {
        return html(&AskPage::of(&site, &caseworker, sort, typed, Some(error)));
    }
    let opaque = Secret::random().map_err(|_| Problem::Failed)?.text();
    site.store.keep_search(opaque.clone(), typed.to_owned(), clock::now()).await?;
    Ok(see_other(&format!("{PAGE}/{sort}/{opaque}")))
}

fn subject_of(sort: &str, typed: &str) -> Option<Subject> {
    match sort {
        "number" => Subject::of_number(typed),
        "email" => Subject::of_email(typed),
        "reference" => Subject::of_reference(typed),
        _ => None,
    }
}

/// Whom a page is about.
struct About {
    here: String,
    sort: &'static str,
    opaque: String,
    typed: String,
    subject: Subject,
}

impl About {
    async fn of(site: &Site, sort: &str, opaque: &str) -> Result<About, Problem> {
        let (name, sort) = SORTS.into_iter().find(|(name, _)| *name == sort).ok_or(Problem::NotFound)?;
        let typed = site.store.search_term(opaque.to_owned(), clock::now() - KEPT).await?.ok_or(Problem::NoSearch)?;
        let subject = subject_of(name, &typed).ok_or(Problem::NotFound)?;
        Ok(About { here: format!("{PAGE}/{name}/{opaque}"), sort, opaque: opaque.to_owned(), typed, subject })
    }
}

/// Everything that is held, if it is found in time, but for the search that led here.
async fn gather(store: &Store, caseworker: &Caseworker, about: &About) -> Result<Gathered, Problem> {
    let (store, sees, subject, progress) =
        (store.clone(), caseworker.sees().clone(), about.subject.clone(), Progress::default());
    let theirs = progress.clone();
    let found = tokio::task::spawn_blocking(move || store.gather(&sees, &subject, &theirs));
    let in_time = tokio::time::timeout(FOUND_WITHIN, found).await;
    let Ok(found) = in_time else {
        progress.stop();
        return Err(Problem::Busy);
    };
    Ok(found.map_err(|_| Problem::Failed)??.without_search(&about.opaque))
}

async fn show(sort: String, opaque: String, site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    let about = About::of(&site, &sort, &opaque).await?;
    html(&page(&site, &caseworker, &about, None).await?)
}

fn counts(gathered: &Gathered) -> Vec<(&'static str, String)> {
    counted(&gathered.counts).into_iter().map(|(name, count)| (name, number(count))).collect()
}

fn number(count: u64) -> String {
    grouped(i64::try_from(count).unwrap_or(i64::MAX))
}

fn some(count: u64) -> Option<String> {
    (count > 0).then(|| number(count))
}

/// Writes down that somebody looks.
async fn record(site: &Site, caseworker: &Caseworker, about: &About) -> Result<(), Problem> {
    site.record(caseworker.did(Did::LookedUpSubject, clock::now()).about(Some(about.subject.key()))).await
}

async fn page(
    site: &Site,
    caseworker: &Caseworker,
    about: &About,
    error: Option<Wrong>,
) -> Result<SubjectPage, Problem> {
    record(site, caseworker, about).await?;
    let gathered = gather(&site.store, caseworker, about).await?;
    let holds = site.store.holds(caseworker.sees()).await?;
    let theirs = holds.into_iter().filter(|hold| hold.subject == about.subject);
    let holds = theirs.map(|hold| HoldRow {
        id: hold.id,
        reason: hold.reason,
        since: at(hold.added_at),
        held: number(hold.held),
        is_whole: hold.is_whole,
    });
    Ok(SubjectPage {
        chrome: site.chrome(Some(caseworker), Here::Subjects),
        here: about.here.clone(),
        sort: about.sort,
        typed: about.typed.clone(),
        counts: counts(&gathered),
        is_empty: gathered.counts.all() == 0,
        held: some(gathered.counts.held),
        unread: some(gathered.counts.unread),
        holds: holds.collect(),
        hows: HOWS.map(|(name, words, _)| (name, words)),
        error,
    })
}

async fn export(sort: String, opaque: String, file: String, site: Arc<Site>, saver: Result<Saver, Problem>) -> Answer {
    let format = format_of(&file).ok_or(Problem::NotFound)?;
    let saver = saver?;
    let about = About::of(&site, &sort, &opaque).await?;
    let entry = saver.did(Did::ExportedSubject).about(Some(about.subject.key()));
    let now = entry.at;
    site.record(entry.with(format.as_str())).await?;
    let gathered = gather(&site.store, &saver.caseworker, &about).await?;
    let kind = match format {
        Format::Json => "application/json",
        Format::Csv => download::CSV,
    };
    let write = move |pieces: download::Pieces| async move {
        let by = saver.caseworker.by();
        let to = AsLongAsTheyMay { pieces: pieces.clone(), saver, site: site.clone(), runtime: Handle::current() };
        let writing = tokio::task::spawn_blocking(move || {
            let mut pieces = 0;
            let written = write_out(&gathered, (format, &about.typed, now), to, &mut pieces);
            (written, pieces)
        });
        let (written, count) = writing.await.unwrap_or((Err(StoreError::Closed.into()), 0));
        take_along::ended(&site, by, written, count, &pieces).await;
    };
    Ok(download::file(&format!("export.{}", format.as_str()), kind, write))
}

/// Where a thread writes a file to, each piece of which goes out only while whoever saves it may and sees what they saw.
struct AsLongAsTheyMay {
    pieces: download::Pieces,
    saver: Saver,
    site: Arc<Site>,
    runtime: Handle,
}

impl Write for AsLongAsTheyMay {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let same = self.runtime.block_on(self.saver.asked_again(&self.site));
        if same.is_ok_and(|same| same.sees() == self.saver.caseworker.sees()) {
            return self.pieces.write(bytes);
        }
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the file and counts what is in it. Blocks.
fn write_out(
    gathered: &Gathered,
    (format, about, now): (Format, &str, i64),
    to: AsLongAsTheyMay,
    saved: &mut u64,
) -> Result<(), NotWhole> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => NotWhole::NotAllowed,
        // Whoever reads no more has stopped it.
        _ => StoreError::Stopped.into(),
    };
    let (store, sees) = (to.site.store.clone(), to.saver.caseworker.sees().clone());
    let mut disclosure = Disclosure::begin(format, BufWriter::with_capacity(PIECE, to), about, now).map_err(failed)?;
    let mut written = Ok(());
    let read = store.export(&sees, gathered, &Progress::default(), |piece| {
        *saved += 1;
        written = disclosure.add(&piece);
        written.is_ok()
    });
    written.map_err(failed)?;
    read?;
    disclosure.end().map(drop).map_err(failed)
}

async fn change(
    sort: String,
    opaque: String,
    what: String,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    form: Result<Words, Problem>,
) -> Answer {
    let caseworker = request::led_on(caseworker, &format!("{PAGE}/{sort}/{opaque}"))?;
    let form = form?;
    if !matches!(what.as_str(), "hold" | "let-go" | "erase") {
        return Err(Problem::NotFound);
    }
    let about = About::of(&site, &sort, &opaque).await?;
    match what.as_str() {
        "hold" => hold(&site, &caseworker, &about, &form).await,
        "let-go" => let_go(&site, &caseworker, &about, &form).await,
        _ => erase(&site, &caseworker, &about, &form).await,
    }
}

fn reason(form: &Words) -> Result<String, NoReason> {
    reason::reason(form.get("reason").unwrap_or_default())
}

fn asked(caseworker: &Caseworker, reason: String) -> Asked {
    Asked { by: caseworker.by(), reason, at: clock::now() }
}

async fn hold(site: &Site, caseworker: &Caseworker, about: &About, form: &Words) -> Answer {
    let reason = match reason(form) {
        Ok(reason) => reason,
        Err(no_reason) => {
            let wrong = Wrong::of("hold", "hold-reason", no_reason.to_string(), form);
            return html(&page(site, caseworker, about, Some(wrong)).await?);
        }
    };
    let (store, sees, subject, asked) =
        (site.store.clone(), caseworker.sees().clone(), about.subject.clone(), asked(caseworker, reason));
    // It is done also where nobody waits for the page any more.
    let adding = tokio::spawn(async move { store.add_hold(&sees, &subject, asked, &Progress::default()).await });
    let _added = adding.await.map_err(|_| Problem::Failed)??;
    Ok(see_other(&about.here))
}

async fn let_go(site: &Site, caseworker: &Caseworker, about: &About, form: &Words) -> Answer {
    let id = form.number("hold").ok_or(Problem::BadRequest)?;
    let holds = site.store.holds(caseworker.sees()).await?;
    if !holds.iter().any(|hold| hold.id == id && hold.subject == about.subject) {
        return Err(Problem::NotFound);
    }
    let (store, sees, by) = (site.store.clone(), caseworker.sees().clone(), caseworker.by());
    let removing = tokio::spawn(async move { store.remove_hold(&sees, id, by, clock::now()).await });
    removing.await.map_err(|_| Problem::Failed)??.ok_or(Problem::NotFound)?;
    Ok(see_other(&about.here))
}

/// How much is taken away: as it stands in the form, in words, and whether a redaction takes the recipient too.
const HOWS: [(&str, &str, Option<bool>); 3] = [
    ("erase", "Everything", None),
    ("text", "The text of messages: keep receipts", Some(false)),
    ("text-and-recipient", "The text and whose it was: keep receipts", Some(true)),
];

async fn erase(site: &Site, caseworker: &Caseworker, about: &About, form: &Words) -> Answer {
    let how = form.get("how").unwrap_or_default();
    let found = HOWS.into_iter().find(|(name, ..)| *name == how);
    let asked_for = match (found, reason(form)) {
        (Some((how, _, redact)), Ok(reason)) => Ok((how, redact, reason)),
        (None, _) => Err(("how", "Select how much to erase".to_owned())),
        (_, Err(no_reason)) => Err(("erase-reason", no_reason.to_string())),
    };
    let (how, redact, reason) = match asked_for {
        Ok(asked_for) => asked_for,
        Err((field, words)) => {
            let wrong = Wrong::of("erase", field, words, form);
            return html(&page(site, caseworker, about, Some(wrong)).await?);
        }
    };

    let is_confirmed = form.get("confirmed").is_some();
    if !is_confirmed {
        record(site, caseworker, about).await?;
    }
    let gathered = gather(&site.store, caseworker, about).await?;
    if !is_confirmed {
        return html(&ErasePage {
            chrome: site.chrome(Some(caseworker), Here::Subjects),
            here: about.here.clone(),
            sort: about.sort,
            typed: about.typed.clone(),
            how,
            reason,
            counts: counts(&gathered),
            held: some(gathered.counts.held),
        });
    }
    let (store, sees, subject, asked) =
        (site.store.clone(), caseworker.sees().clone(), about.subject.clone(), asked(caseworker, reason));
    let opaque = about.opaque.clone();
    let erasing = tokio::spawn(async move {
        let progress = Progress::default();
        let done = match redact {
            Some(recipient) => store.redact(&sees, &subject, gathered, recipient, asked, &progress).await,
            None => store.erase(&sees, &subject, gathered, asked, &progress).await,
        };
        // What was typed to come here goes too.
        store.forget_search(opaque).await?;
        tokio::spawn(forget(store.clone()));
        done
    });
    let done: Erasure = erasing.await.map_err(|_| Problem::Failed)??;
    html(&ErasedPage {
        chrome: site.chrome(Some(caseworker), Here::Subjects),
        was_redacted: redact.is_some(),
        callbacks: number(done.callbacks),
        quarantined: number(done.quarantined),
        searches: number(done.searches),
        held: some(done.held),
    })
}

/// Takes what is gone out of the index and the log. Where it does not come to its end, the upkeep does.
async fn forget(store: Store) {
    let mut tries = 0;
    while tries < LOG_TRIES {
        match store.forget_removed().await {
            Ok(Removal::Removed(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(Removal::InLog) => {
                tries += 1;
                tokio::time::sleep(LOG_AGAIN).await;
            }
            Ok(Removal::Done) => return,
            Err(error) => {
                tracing::warn!(event = "subject.not_forgotten", error = %error, "what was erased could not be taken out of the index yet; it is tried again");
                return;
            }
        }
    }
}
