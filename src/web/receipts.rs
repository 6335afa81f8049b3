//! The results: `/receipts?q=…` for references, `/search/<name>` for people, `/receipts` for the newest.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::gap::{self, GapNotice};
use super::keeping::Keeping;
use super::plain_text::{self, grouped};
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::results::ResultRow;
use super::silence::{self, SilenceNotice};
use super::{Site, ask_notify, get, one_of, search};
use crate::access::Caseworker;
use crate::clock;
use crate::notify::filter::Filter as Narrowed;
use crate::notify::recipient::{MatchKey, reference_key};
use crate::notify::term::Term;
use crate::store::{Cursor, Did, Entry, Find, Found, Place, Source};

/// Rows on a page.
const PAGE: i64 = 50;
/// A sender's name has at most so many characters; a longer query is no such name.
const LONGEST_SENDER: usize = 11;

#[derive(Template)]
#[template(path = "receipts.html")]
struct ReceiptsPage {
    keeping: Keeping,
    chrome: Chrome,
    gap: Option<GapNotice>,
    silences: Vec<SilenceNotice>,
    /// What stands before what was typed.
    heading: String,
    typed: String,
    title: String,
    caption: String,
    searched: bool,
    /// Whether Notify can be asked for what is not here.
    asks_notify: bool,
    rows: Vec<ResultRow>,
    /// Which of them, where they are more than one page.
    showing: Option<String>,
    /// Where the filter's form goes, with GET.
    action: String,
    q: String,
    statuses: Vec<Choice>,
    /// The filter that is set, in words, and the address without it.
    filter: Option<(&'static str, String)>,
    previous: Option<String>,
    next: Option<String>,
}

struct Choice {
    value: &'static str,
    words: &'static str,
    chosen: bool,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path::end().and(get()).map(|| see_other("/receipts")).boxed(),
        warp::path!("receipts")
            .and(get())
            .and(request::site(site))
            .and(request::caseworker(site))
            .and(request::query())
            .then(by_reference)
            .map(answer)
            .boxed(),
        warp::path!("search" / String)
            .and(get())
            .and(request::site(site))
            .and(request::caseworker(site))
            .and(request::query())
            .then(by_person)
            .map(answer)
            .boxed(),
    ])
}

async fn by_reference(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let caseworker = caseworker?;
    let typed = query.get("q").unwrap_or_default().trim().to_owned();
    let sources = match search::term(&typed) {
        _ if typed.is_empty() => vec![Source::Newest],
        Ok(Term::Reference(_)) => reference_sources(&typed),
        // It stands in this address already, but in no other page's.
        Ok(Term::People(_)) => {
            let page = search::page_of(&site, &typed, narrowed(&query)).await?;
            return page
                .map_or_else(|nothing| search::refused(&caseworker, &typed, nothing), |page| Ok(see_other(&page)));
        }
        Err(nothing) => return search::refused(&caseworker, &typed, nothing),
    };
    let seen = match typed.as_str() {
        "" => caseworker.did(Did::ListedReceipts, clock::now()),
        typed => searched(&caseworker, Some(reference_key(typed)), "reference"),
    };
    site.record(seen).await?;
    let asked = Asked { typed, action: "/receipts".into(), sources, in_query: true };
    results(&site, &caseworker, asked, &query).await
}

async fn by_person(opaque: String, site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let caseworker = caseworker?;
    let since = clock::now() - search::KEPT;
    let typed = site.store.search_term(opaque.clone(), since).await?.ok_or(Problem::NoSearch)?;
    let mut sources = reference_sources(&typed);
    let mut person = None;
    if let Some(Term::People(keys)) = Term::of(&typed) {
        sources.retain(|source| !matches!(source, Source::Person(_)));
        person = keys.first().map(|key| key.as_str().to_owned());
        sources.splice(0..0, keys.iter().map(|key| Source::Person(key.as_str().to_owned())));
    }
    site.record(searched(&caseworker, person, "person")).await?;
    let asked = Asked { typed, action: format!("/search/{opaque}"), sources, in_query: false };
    results(&site, &caseworker, asked, &query).await
}

/// A search as it stands in the record: for whom or what only as a mark.
fn searched(caseworker: &Caseworker, subject: Option<String>, kind: &str) -> Entry {
    caseworker.did(Did::Searched, clock::now()).about(subject).with(kind)
}

/// What a reference may be found by: exactly, as an id of Notify's, as the name of a sender, then by its beginning.
fn reference_sources(typed: &str) -> Vec<Source> {
    let key = reference_key(typed);
    let mut sources = vec![];
    if !key.is_empty() {
        sources.push(Source::Reference(key.clone()));
    }
    // However its hyphens, spaces and letters were typed; any other id as it is.
    let plain = uuid::Uuid::try_parse(&key).map(|id| id.hyphenated().to_string()).ok();
    sources.extend(plain.filter(|id| id != typed).map(Source::NotifyId));
    sources.push(Source::NotifyId(typed.to_owned()));
    if typed.chars().count() <= LONGEST_SENDER {
        sources.extend(MatchKey::of_search(typed).map(|sender| Source::Person(sender.as_str().to_owned())));
    }
    if !key.is_empty() {
        sources.push(Source::ReferenceBeginsWith(key));
    }
    sources
}

/// A question as it was put.
struct Asked {
    typed: String,
    action: String,
    sources: Vec<Source>,
    /// Whether what was typed may stand in an address.
    in_query: bool,
}

impl Asked {
    fn link(&self, status: Option<Narrowed>, page: Option<(&str, Place, i64)>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if self.in_query && !self.typed.is_empty() {
            query.append_pair("q", &self.typed);
        }
        if let Some(status) = status {
            query.append_pair("status", status.value());
        }
        if let Some((name, place, number)) = page {
            query.append_pair(name, &place.to_string()).append_pair("page", &number.to_string());
        }
        match query.finish().as_str() {
            "" => self.action.clone(),
            query => format!("{}?{query}", self.action),
        }
    }
}

async fn results(site: &Site, caseworker: &Caseworker, asked: Asked, query: &Words) -> Answer {
    let status = narrowed(query);
    let place = |name| query.get(name).and_then(|text| text.parse::<Place>().ok());
    let from = place("after").map(Cursor::After).or_else(|| place("before").map(Cursor::Before));
    let find = Find { sources: asked.sources.clone(), status, from };
    let found = site.store.find(caseworker.sees(), find).await?;
    if from.is_some() && found.rows.is_empty() {
        return Ok(see_other(&asked.link(status, None)));
    }
    let number = if from.is_some() { query.number("page").unwrap_or(2).clamp(1, 1_000_000) } else { 1 };
    // The first page is where people begin.
    let begins = asked.typed.is_empty() && from.is_none();
    let gap = if begins { gap::notice(site, caseworker).await? } else { None };
    let silences = if begins { silence::notices(site, caseworker).await? } else { Vec::new() };
    html(&ReceiptsPage {
        gap,
        silences,
        keeping: Keeping::of(site),
        asks_notify: ask_notify::is_offered(site, caseworker).await?,
        ..page(caseworker, &asked, status, number, &found)
    })
}

fn narrowed(query: &Words) -> Option<Narrowed> {
    query.get("status").and_then(Narrowed::of)
}

fn page(caseworker: &Caseworker, asked: &Asked, status: Option<Narrowed>, number: i64, found: &Found) -> ReceiptsPage {
    let heading = heading(&asked.typed, found);
    let caption = match asked.typed.as_str() {
        "" => heading.clone(),
        typed => format!("{heading} ‘{}’", plain_text::line(typed)),
    };
    let title = if number > 1 { format!("{caption} (page {number})") } else { caption.clone() };
    ReceiptsPage {
        keeping: Keeping::default(),
        gap: None,
        silences: Vec::new(),
        chrome: Chrome::new(Some(caseworker), Here::Receipts).with_search(&asked.typed),
        heading,
        typed: asked.typed.clone(),
        title,
        caption,
        asks_notify: false,
        searched: !asked.typed.is_empty(),
        rows: found.rows.iter().map(ResultRow::of).collect(),
        showing: showing(number, found),
        action: asked.action.clone(),
        q: if asked.in_query { asked.typed.clone() } else { String::new() },
        statuses: Narrowed::ALL
            .into_iter()
            .map(|filter| Choice { value: filter.value(), words: filter.words(), chosen: status == Some(filter) })
            .collect(),
        filter: status.map(|filter| (filter.words(), asked.link(None, None))),
        previous: found.previous.map(|place| {
            let before = (number - 1).max(1);
            asked.link(status, Some(("before", place, before)))
        }),
        next: found.next.map(|place| asked.link(status, Some(("after", place, number + 1)))),
    }
}

fn heading(typed: &str, found: &Found) -> String {
    if typed.is_empty() {
        return "Newest receipts".into();
    }
    let results = if found.count == 1 && !found.more { "result" } else { "results" };
    format!("{} {results} for", counted(found))
}

/// "Showing 51 to 100 of 200+"; nothing where all are on one page.
fn showing(number: i64, found: &Found) -> Option<String> {
    let rows = i64::try_from(found.rows.len()).ok().filter(|rows| *rows > 0)?;
    found.next.or(found.previous)?;
    let first = (number - 1) * PAGE + 1;
    Some(format!("Showing {} to {} of {}", grouped(first), grouped(first + rows - 1), counted(found)))
}

/// How many there are, as far as they were counted.
fn counted(found: &Found) -> String {
    format!("{}{}", grouped(found.count), if found.more { "+" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_as_people_write_them() {
        let found = |count, more| Found { rows: vec![], count, more, reached: None, next: None, previous: None };
        assert_eq!(heading("X", &found(1, false)), "1 result for");
        assert_eq!(heading("X", &found(0, false)), "0 results for");
        assert_eq!(heading("X", &found(1234, false)), "1,234 results for");
        assert_eq!(heading("X", &found(200, true)), "200+ results for");
    }

    #[test]
    fn what_is_personal_stands_in_no_link() {
        let asked =
            Asked { typed: "07700 900123".into(), action: "/search/x".into(), sources: vec![], in_query: false };
        assert_eq!(asked.link(Some(Narrowed::Delivered), None), "/search/x?status=delivered");
    }
}
