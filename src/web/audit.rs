//! `/audit`: the record of who saw and changed what, by person, by whose data and by time, and as a table for a spreadsheet.

use std::sync::Arc;

use askama::Template;
use jiff::civil::Date;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::download;
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::results::{Moment, at, href};
use super::take_along::{self, NotWhole, Saver};
use super::trail::Trail;
use super::{Site, get, one_of, search, uk_time};
use crate::access::{Caseworker, May, Secret};
use crate::clock;
use crate::notify::recipient::reference_key;
use crate::notify::term::Term;
use crate::spreadsheet;
use crate::store::{Did, Looked, Recorded};

const PAGE: &str = "/audit";
/// Rows on a page.
const ROWS: u16 = 50;
/// Rows that are read at once for a file.
const ROWS_AT_ONCE: u16 = 1000;
/// What commands and the server itself did, in the list of people.
const NOBODY: &str = "0";

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    chrome: Chrome,
    title: String,
    people: Vec<Choice>,
    /// Whose data, as typed.
    about: String,
    /// The two fields of days: name, label and what was typed.
    days: [(&'static str, &'static str, String); 2],
    /// The field that is wrong, and how.
    error: Option<(&'static str, String)>,
    is_narrowed: bool,
    rows: Vec<Row>,
    previous: Option<String>,
    next: Option<String>,
    csv: String,
}

impl AuditPage {
    /// What is wrong with a field.
    fn wrong(&self, field: &str) -> Option<&str> {
        self.error.as_ref().filter(|(wrong, _)| *wrong == field).map(|(_, words)| words.as_str())
    }
}

struct Choice {
    value: String,
    words: String,
    chosen: bool,
}

struct Row {
    when: Moment,
    who: String,
    source: String,
    did: String,
    object: Option<String>,
    href: Option<String>,
    detail: Option<String>,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let asked = |site: &Arc<Site>| request::site(site).and(request::allowed(site, May::Record)).and(request::query());
    one_of([
        warp::path!("audit").and(get()).and(asked(site)).then(show).map(answer).boxed(),
        warp::path!("audit" / "csv")
            .and(get())
            .and(request::site(site))
            .and(take_along::saver_of(site, May::Record))
            .and(request::query())
            .then(csv)
            .map(answer)
            .boxed(),
        warp::path!("audit")
            .and(warp::post())
            .and(request::site(site))
            .and(request::allowed(site, May::Record))
            .and(request::form())
            .then(narrow)
            .map(answer)
            .boxed(),
    ])
}

/// What is asked for, as it stands in an address: whose data it is about stands there under a random name.
#[derive(Default)]
struct Asked {
    person: Option<String>,
    /// The random name.
    opaque: Option<String>,
    /// What was typed.
    about: String,
    from: String,
    until: String,
}

impl Asked {
    async fn of(site: &Site, query: &Words) -> Result<Asked, Problem> {
        let text = |name| query.get(name).unwrap_or_default().trim().to_owned();
        let opaque = query.get("about").map(str::to_owned);
        let about = match &opaque {
            None => String::new(),
            Some(opaque) => {
                let since = clock::now() - search::KEPT;
                site.store.search_term(opaque.clone(), since).await?.ok_or(Problem::NoSearch)?
            }
        };
        let person = query.get("person").map(str::to_owned);
        Ok(Asked { person, opaque, about, from: text("from"), until: text("until") })
    }

    fn link(&self, path: &str) -> String {
        let pairs = [
            ("person", self.person.as_deref()),
            ("about", self.opaque.as_deref()),
            ("from", Some(self.from.as_str())),
            ("until", Some(self.until.as_str())),
        ];
        let set = pairs.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
        match form_urlencoded::Serializer::new(String::new()).extend_pairs(set).finish().as_str() {
            "" => path.to_owned(),
            query => format!("{path}?{query}"),
        }
    }

    fn is_narrowed(&self) -> bool {
        self.link(PAGE) != PAGE
    }

    /// The rows that are asked for, or the field that is wrong.
    async fn looked(&self, site: &Site) -> Result<Result<Looked, (&'static str, String)>, Problem> {
        let (from, until) = match (begins(&self.from), begins(&self.until)) {
            (Err(error), _) => return Ok(Err(("from", format!("First day {error}")))),
            (_, Err(error)) => return Ok(Err(("until", format!("Last day {error}")))),
            (Ok(from), Ok(until)) => (from, until),
        };
        let (from, until) = (from.map(|day| uk_time::starts(day, 0)), until.map(|day| uk_time::starts(day, 1)));
        if from.is_some_and(|from| until.is_some_and(|until| until <= from)) {
            return Ok(Err(("until", "Last day must be the first day or later".to_owned())));
        }
        let subjects = subjects(&self.about);
        let mut looked = Looked { subjects, from, until, ..Looked::default() };
        match self.person.as_deref() {
            None => (),
            Some(NOBODY) => looked.is_nobodys = true,
            Some(number) => {
                let people = site.store.people().await?;
                let person = people.into_iter().find(|person| person.id.to_string() == number);
                looked.who = Some(person.ok_or(Problem::NotFound)?.email);
            }
        }
        Ok(Ok(looked))
    }
}

/// What the record may hold a mark of for what was typed: a person by each reading of the number or address, and a reference.
fn subjects(typed: &str) -> Vec<String> {
    if typed.is_empty() {
        return Vec::new();
    }
    [people(typed), vec![reference_key(typed)]].concat()
}

/// Whom it is about that somebody looks in the record, as it stands there itself.
fn asked_about(typed: &str) -> Vec<String> {
    let people = people(typed);
    if people.is_empty() { subjects(typed) } else { people }
}

fn people(typed: &str) -> Vec<String> {
    match Term::of(typed) {
        Some(Term::People(keys)) => keys.iter().map(|key| key.as_str().to_owned()).collect(),
        _ => Vec::new(),
    }
}

fn begins(typed: &str) -> Result<Option<Date>, &'static str> {
    if typed.is_empty() {
        return Ok(None);
    }
    uk_time::day(typed).map(Some).ok_or("must be a real date, like 27 3 2026")
}

async fn show(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let caseworker = caseworker?;
    let (asked, trail) = (Asked::of(&site, &query).await?, Trail::of(&query));
    let path = asked.link(PAGE);
    // Also where the form is refused: what was typed is shown again.
    let looks = caseworker.did(Did::LookedAtRecord, clock::now());
    site.record_all(looks.about_each(asked_about(&asked.about))).await?;
    let mut page = page(&site, &caseworker, &asked).await?;
    let mut looked = match asked.looked(&site).await? {
        Ok(looked) => looked,
        Err(error) => return html(&AuditPage { error: Some(error), ..page }),
    };
    looked.before = trail.before();
    let found = site.store.recorded(looked, ROWS).await?;
    if found.rows.is_empty() && trail.before().is_some() {
        return Ok(see_other(&path));
    }
    page.title = trail.title("Record of who saw what");
    page.rows = found.rows.iter().map(|recorded| row(recorded, &page.people)).collect();
    page.previous = trail.previous(&path);
    page.next = trail.next(&path, found.next);
    html(&page)
}

async fn page(site: &Site, caseworker: &Caseworker, asked: &Asked) -> Result<AuditPage, Problem> {
    let chosen = |value: &str| asked.person.as_deref() == Some(value);
    let choice = |value: String, words: String| Choice { chosen: chosen(&value), value, words };
    let people = site.store.people().await?;
    let mut people: Vec<Choice> =
        people.into_iter().map(|person| choice(person.id.to_string(), person.email)).collect();
    people.push(choice(NOBODY.to_owned(), "Commands and Counterfoil itself".to_owned()));
    Ok(AuditPage {
        chrome: site.chrome(Some(caseworker), Here::Audit),
        title: "Record of who saw what".to_owned(),
        people,
        about: asked.about.clone(),
        days: [("from", "First day", asked.from.clone()), ("until", "Last day", asked.until.clone())],
        error: None,
        is_narrowed: asked.is_narrowed(),
        rows: Vec::new(),
        previous: None,
        next: None,
        csv: asked.link("/audit/csv"),
    })
}

/// Keeps whose data is asked for under a random name, and leads to the page.
async fn narrow(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, form: Result<Words, Problem>) -> Answer {
    caseworker?;
    let form = form?;
    let text = |name| form.get(name).unwrap_or_default().trim().to_owned();
    let mut asked = Asked { from: text("from"), until: text("until"), about: text("about"), ..Asked::default() };
    asked.person = form.get("person").map(str::to_owned);
    if !asked.about.is_empty() {
        let opaque = Secret::random().map_err(|_| Problem::Failed)?.text();
        site.store.keep_search(opaque.clone(), asked.about.clone(), clock::now()).await?;
        asked.opaque = Some(opaque);
    }
    Ok(see_other(&asked.link(PAGE)))
}

async fn csv(site: Arc<Site>, saver: Result<Saver, Problem>, query: Words) -> Answer {
    let saver = saver?;
    let asked = Asked::of(&site, &query).await?;
    let Ok(looked) = asked.looked(&site).await? else { return Ok(see_other(&asked.link(PAGE))) };
    site.record_all(saver.did(Did::ExportedRecord).about_each(asked_about(&asked.about))).await?;
    let write = |pieces: download::Pieces| async move {
        let mut count = 0;
        let written = write_out(&site, &saver, looked, &pieces, &mut count).await;
        take_along::ended(&site, saver.caseworker.by(), written, count, &pieces).await;
    };
    Ok(download::file("record.csv", download::CSV, write))
}

/// Writes the file as long as somebody reads it and may, and counts what is in it.
async fn write_out(
    site: &Site,
    saver: &Saver,
    mut looked: Looked,
    pieces: &download::Pieces,
    count: &mut u64,
) -> Result<(), NotWhole> {
    let columns = ["Number", "When", "Who", "From", "What", "To what", "Details"];
    let mut going_on = pieces.send(format!("{}{}", spreadsheet::BEGINNING, spreadsheet::row(columns))).await;
    while going_on {
        let found = site.store.recorded(looked.clone(), ROWS_AT_ONCE).await?;
        looked.before = found.next;
        *count += found.rows.len() as u64;
        going_on = pieces.send(found.rows.iter().map(line).collect::<String>()).await && found.next.is_some();
        if going_on {
            saver.asked_again(site).await?;
        }
    }
    Ok(())
}

fn line(row: &Recorded) -> String {
    let (id, when) = (row.id.to_string(), uk_time::iso(row.at));
    let (object, detail) = (row.object.as_deref().unwrap_or_default(), row.detail.as_deref().unwrap_or_default());
    spreadsheet::row([&id, &when, &row.who, &row.source, &did(row), object, detail])
}

fn did(row: &Recorded) -> String {
    let known = Did::ALL.iter().find(|did| did.as_str() == row.did);
    known.map_or_else(|| row.did.clone(), |did| did.words().to_owned())
}

/// A row for people: an account by its address.
fn row(row: &Recorded, people: &[Choice]) -> Row {
    let is = |did: Did| row.did == did.as_str();
    let leads_to = |object: &String| match object {
        object if is(Did::OpenedReceipt) => Some(href(object)),
        object
            if is(Did::OpenedConversation)
                || is(Did::ExportedConversation)
                || Did::OF_CONVERSATIONS.into_iter().any(is) =>
        {
            Some(format!("/messages/{object}"))
        }
        _ => None,
    };
    Row {
        when: at(row.at),
        who: row.who.clone(),
        source: row.source.clone(),
        did: did(row),
        href: row.object.as_ref().and_then(leads_to),
        object: row.object.as_ref().map(|object| {
            let account =
                object.strip_prefix("account ").and_then(|id| people.iter().find(|person| person.value == id));
            account.map_or_else(|| object.clone(), |person| person.words.clone())
        }),
        detail: row.detail.clone(),
    }
}
