//! The results: `/receipts?q=…` for references, `/search/<name>` for what is personal, `/receipts` for the newest.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::confirm::Faults;
use super::filters::Filters;
use super::gap::{self, GapNotice};
use super::keeping::Keeping;
use super::plain_text::{self, grouped};
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::results::{self, Moment, ResultRow};
use super::said::LookedFor;
use super::silence::{self, SilenceNotice};
use super::take_along::Files;
use super::taken::Taken;
use super::{Site, ask_notify, get, handling, one_of, search, seen, uk_time, whole};
use crate::access::{Caseworker, May};
use crate::clock;
use crate::notify::recipient::reference_key;
use crate::notify::term::Term;
use crate::notify::words;
use crate::store::{Cursor, Did, Entry, Find, Found, Kept, Place, Source};

/// Rows on a page.
const PAGE: i64 = 50;
/// Numbers of a search whose conversation is looked for.
const PEOPLE: usize = 5;
/// In the address of a page that goes on where reading through stopped: nobody knows its number.
const FURTHER: &str = "further";

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
    /// What the term was taken for.
    said: Option<String>,
    ways: Vec<Way>,
    /// The conversation with the number that was searched for, and what is done about it, a service each.
    conversation: Option<(String, Vec<String>)>,
    /// Where Notify can be asked for what is not here.
    asks_notify: Option<String>,
    rows: Vec<ResultRow>,
    /// Which of them, where they are more than one page.
    showing: Option<String>,
    /// Whether the page goes on where reading through stopped.
    is_further: bool,
    /// How far reading through came, and where it goes on.
    further: Option<(Moment, String)>,
    /// When the oldest receipt came that this person may see, where nothing was found.
    oldest: Option<Moment>,
    filters: Filters,
    faults: Faults,
    /// Where the filters' form goes, with GET, and what goes along.
    action: String,
    hidden: Vec<(&'static str, String)>,
    /// The filters that are set, in words, each with the address without it.
    set: Vec<(String, String)>,
    clear: String,
    previous: Option<String>,
    next: Option<String>,
    files: Option<Files>,
    /// All of it on one page, where it is on several.
    print: Option<String>,
}

/// Another way to search for the same.
struct Way {
    words: &'static str,
    href: String,
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
            .then(by_name)
            .map(answer)
            .boxed(),
    ])
}

async fn by_reference(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let caseworker = caseworker?;
    let typed = query.get("q").unwrap_or_default().trim().to_owned();
    let filters = filters(&site, &caseworker, &query).await?;
    let action = "/receipts".to_owned();
    if typed.is_empty() {
        if let Some(to) = of_a_day(&action, &query, &filters) {
            return Ok(see_other(&to));
        }
        let asked = Asked { typed, action, search: None, in_query: true, filters };
        return results(&site, &caseworker, asked, &query).await;
    }
    let term = match search::term(&typed) {
        Ok(term) => term,
        Err(nothing) => return search::refused(&site, &caseworker, &typed, nothing),
    };
    let asked_as = query.get("as");
    if search::is_personal(&term, asked_as) {
        // It stands in this address already, but in no other page's.
        let mut pairs = filters.pairs_without(&[]);
        pairs.extend(asked_as.map(|value| ("as".to_owned(), value.to_owned())));
        let page = search::page_of(&site, &typed, Some(pairs)).await?;
        return page
            .map_or_else(|nothing| search::refused(&site, &caseworker, &typed, nothing), |page| Ok(see_other(&page)));
    }
    if let Some(to) = of_a_day(&action, &query, &filters) {
        return Ok(see_other(&to));
    }
    let taken = Taken::asked(asked_as, &typed, &term);
    let asked = Asked { typed, action, search: Some((taken, term)), in_query: true, filters };
    results(&site, &caseworker, asked, &query).await
}

async fn by_name(opaque: String, site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let caseworker = caseworker?;
    let since = clock::now() - search::KEPT;
    let typed = site.store.search_term(opaque.clone(), since).await?.ok_or(Problem::NoSearch)?;
    let term = search::term(&typed).map_err(|_| Problem::NoSearch)?;
    let filters = filters(&site, &caseworker, &query).await?;
    let action = format!("/search/{opaque}");
    if let Some(to) = of_a_day(&action, &query, &filters) {
        return Ok(see_other(&to));
    }
    let taken = Taken::asked(query.get("as"), &typed, &term);
    let asked = Asked { typed, action, search: Some((taken, term)), in_query: false, filters };
    results(&site, &caseworker, asked, &query).await
}

pub(super) async fn filters(site: &Site, caseworker: &Caseworker, query: &Words) -> Result<Filters, Problem> {
    let filters = Filters::of(query, site.store.services_seen(caseworker.sees()).await?);
    let day = match query.get("day") {
        Some("today") => uk_time::days_ago(clock::now(), 0),
        Some("yesterday") => uk_time::days_ago(clock::now(), 1),
        _ => None,
    };
    Ok(match day {
        Some(day) => filters.on(day),
        None => filters,
    })
}

/// Where the list of a day is that was asked for by its name: an address with the date means the same tomorrow.
fn of_a_day(action: &str, query: &Words, filters: &Filters) -> Option<String> {
    query.get("day")?;
    let mut address = form_urlencoded::Serializer::new(String::new());
    let kept = ["q", "as"].into_iter().filter_map(|name| Some((name, query.get(name)?)));
    address.extend_pairs(kept).extend_pairs(filters.pairs_without(&[]));
    Some(match address.finish().as_str() {
        "" => action.to_owned(),
        query => format!("{action}?{query}"),
    })
}

/// A search as it stands in the record, a row for each whom or what it was for: only as a mark.
pub(super) fn searched(caseworker: &Caseworker, typed: &str, taken: Taken, term: &Term) -> Vec<Entry> {
    let people = if let Term::People(keys) = term { keys.as_slice() } else { &[] };
    let reference = (taken != Taken::Person || people.is_empty()).then(|| reference_key(typed));
    let kind = if taken == Taken::Id { Taken::Reference } else { taken };
    let did = caseworker.did(Did::Searched, clock::now()).with(kind.value());
    did.about_each(people.iter().map(|key| key.as_str().to_owned()).chain(reference))
}

/// The same where it is taken along: on one page to print, or as a file.
pub(super) fn saved(did: Vec<Entry>, how: &str) -> Vec<Entry> {
    let saved = |entry: Entry| {
        let detail = entry.detail.iter().map(String::as_str).chain([how]).collect::<Vec<_>>().join(", ");
        Entry { did: Did::ExportedReceipts, ..entry }.with(detail)
    };
    did.into_iter().map(saved).collect()
}

/// A question as it was put.
struct Asked {
    typed: String,
    action: String,
    /// What the term is taken for; `None` where none was typed.
    search: Option<(Taken, Term)>,
    /// Whether what was typed may stand in an address.
    in_query: bool,
    filters: Filters,
}

impl Asked {
    /// What the search is taken for, where that is not what it usually is.
    fn not_usual(&self) -> Option<Taken> {
        let (taken, term) = self.search.as_ref()?;
        Some(*taken).filter(|taken| *taken != Taken::usually(&self.typed, term))
    }

    /// What stands in the address beside the filters.
    fn searched(&self) -> Vec<(&'static str, String)> {
        let typed = (self.in_query && !self.typed.is_empty()).then(|| ("q", self.typed.clone()));
        typed.into_iter().chain(self.not_usual().map(|taken| ("as", taken.value().to_owned()))).collect()
    }

    /// The same question with these filters, on its first page or another.
    fn narrowed(&self, filters: &[(String, String)], page: Option<(&str, Place, Number)>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.searched()).extend_pairs(filters);
        self.address(query, page)
    }

    /// How it stands in the record.
    fn did(&self, caseworker: &Caseworker) -> Vec<Entry> {
        match &self.search {
            Some((taken, term)) => searched(caseworker, &self.typed, *taken, term),
            None => vec![caseworker.did(Did::ListedReceipts, clock::now())],
        }
    }

    /// The same with whoever a search found. What nobody searched for is a list.
    fn showed(&self, did: Vec<Entry>, rows: &[Kept]) -> Vec<Entry> {
        if self.search.is_some() { seen::with_found(did, rows) } else { did }
    }

    fn link(&self, page: Option<(&str, Place, Number)>) -> String {
        self.narrowed(&self.filters.pairs_without(&[]), page)
    }

    /// The same taken for something else.
    fn taken_for(&self, other: Taken, term: &Term) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if self.in_query {
            query.append_pair("q", &self.typed);
        }
        if other != Taken::usually(&self.typed, term) {
            query.append_pair("as", other.value());
        }
        query.extend_pairs(self.filters.pairs_without(&[]));
        self.address(query, None)
    }

    fn address(
        &self,
        mut query: form_urlencoded::Serializer<'_, String>,
        page: Option<(&str, Place, Number)>,
    ) -> String {
        if let Some((name, place, number)) = page {
            query.append_pair(name, &place.to_string());
            match number {
                Number::Known(number) => query.append_pair("page", &number.to_string()),
                Number::Further => query.append_pair(FURTHER, "yes"),
            };
        }
        match query.finish().as_str() {
            "" => self.action.clone(),
            query => format!("{}?{query}", self.action),
        }
    }

    fn sources(&self) -> Vec<Source> {
        match &self.search {
            None => vec![Source::Newest],
            Some((taken, term)) => taken.sources(&self.typed, term),
        }
    }

    fn ways(&self) -> Vec<Way> {
        let Some((taken, term)) = &self.search else { return Vec::new() };
        // What stands in this address already and is personal as words is led on from there to an address without it.
        let way = |(other, words): (Taken, &'static str)| Way { words, href: self.taken_for(other, term) };
        taken.others(&self.typed, term).into_iter().map(way).collect()
    }
}

/// Which page it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Number {
    Known(i64),
    /// One that goes on where reading through stopped.
    Further,
}

impl Number {
    fn next(self) -> Number {
        match self {
            Number::Known(number) => Number::Known(number + 1),
            Number::Further => Number::Further,
        }
    }

    fn previous(self) -> Number {
        match self {
            Number::Known(number) => Number::Known((number - 1).max(1)),
            Number::Further => Number::Further,
        }
    }
}

async fn results(site: &Site, caseworker: &Caseworker, asked: Asked, query: &Words) -> Answer {
    let faults = asked.filters.faults();
    if !faults.all().is_empty() {
        // What was searched for stands on the page again.
        site.record_all(asked.did(caseworker)).await?;
        let heading = if asked.typed.is_empty() { "Newest receipts" } else { "Results for" };
        let nothing = Found::default();
        return html(&ReceiptsPage {
            faults,
            ..page(site, caseworker, asked, heading.into(), Number::Known(1), &nothing)
        });
    }
    if whole::is_asked(query) && caseworker.may(May::Export) {
        return on_one_page(site, caseworker, asked).await;
    }
    let place = |name| query.get(name).and_then(|text| text.parse::<Place>().ok());
    let from = place("after").map(Cursor::After).or_else(|| place("before").map(Cursor::Before));
    let find = Find { sources: asked.sources(), only: asked.filters.only(), from };
    let found = site.store.find(caseworker.sees(), find).await?;
    site.record_all(asked.showed(asked.did(caseworker), &found.rows)).await?;
    let number = match query.number("page") {
        _ if from.is_none() => Number::Known(1),
        _ if query.get(FURTHER).is_some() => Number::Further,
        page => Number::Known(page.unwrap_or(2).clamp(1, 1_000_000)),
    };
    if number != Number::Further && from.is_some() && found.rows.is_empty() && found.reached.is_none() {
        return Ok(see_other(&asked.link(None)));
    }
    // The first page is where people begin.
    let begins = asked.typed.is_empty() && from.is_none();
    let gap = if begins { gap::notice(site, caseworker).await? } else { None };
    let silences = if begins { silence::notices(site, caseworker).await? } else { Vec::new() };
    let oldest = if found.rows.is_empty() { site.store.oldest_receipt(caseworker.sees()).await? } else { None };
    let by_words = matches!(asked.search, Some((Taken::Words, _)));
    let asks_notify = if found.rows.is_empty() && !asked.typed.is_empty() && !by_words {
        let opaque = asked.action.strip_prefix("/search/");
        ask_notify::offered(site, caseworker, &asked.typed, opaque).await?
    } else {
        None
    };
    let heading = heading(&asked, &found, number);
    html(&ReceiptsPage {
        gap,
        silences,
        keeping: Keeping::of(site),
        oldest: oldest.map(results::at),
        asks_notify,
        conversation: conversation(site, caseworker, &asked).await?,
        ..page(site, caseworker, asked, heading, number, &found)
    })
}

/// With the number that is searched for.
async fn conversation(
    site: &Site,
    caseworker: &Caseworker,
    asked: &Asked,
) -> Result<Option<(String, Vec<String>)>, Problem> {
    let Some((Taken::Person, Term::People(keys))) = &asked.search else { return Ok(None) };
    let people = keys.iter().take(PEOPLE).map(|key| key.as_str().to_owned()).collect();
    let found = site.store.conversation_with(caseworker.sees(), people).await?;
    Ok(found.map(|found| (format!("/messages/{}", found.opaque), handling::said(&found, caseworker.by().person))))
}

/// The list to be printed.
async fn on_one_page(site: &Site, caseworker: &Caseworker, asked: Asked) -> Answer {
    let find = Find { sources: asked.sources(), only: asked.filters.only(), from: None };
    let found = whole::list(site, caseworker, find).await?;
    let did = saved(asked.did(caseworker), "to print");
    site.record_all(asked.showed(did, &found.rows)).await?;
    site.store.note_saved(caseworker.by(), found.rows.len() as u64, clock::now()).await?;
    let heading = heading(&asked, &found, Number::Known(1));
    let showing = Some(whole::said(found.rows.len(), found.more, "first", "rows"));
    html(&ReceiptsPage { showing, ..page(site, caseworker, asked, heading, Number::Known(1), &found) })
}

fn page(
    site: &Site,
    caseworker: &Caseworker,
    asked: Asked,
    heading: String,
    number: Number,
    found: &Found,
) -> ReceiptsPage {
    let caption = match asked.typed.as_str() {
        "" => heading.clone(),
        typed => format!("{heading} ‘{}’", plain_text::line(typed)),
    };
    // The browser keeps titles, so what is personal stands in none.
    let named = if asked.in_query { caption.as_str() } else { "Search results" };
    let title = match number {
        Number::Known(1) => named.to_owned(),
        Number::Known(number) => format!("{named} (page {number})"),
        Number::Further => format!("{named} (further back)"),
    };
    let looked_for: Vec<String> = words::of(&asked.typed).collect();
    let looked_for = match &asked.search {
        Some((Taken::Words | Taken::Anything, _)) => LookedFor::Words(&looked_for),
        Some((Taken::Anywhere, _)) => LookedFor::Part(&asked.typed),
        _ => LookedFor::Nothing,
    };
    let rows = found.rows.iter().zip(&found.conversations);
    let set = asked.filters.set();
    ReceiptsPage {
        keeping: Keeping::default(),
        gap: None,
        silences: Vec::new(),
        oldest: None,
        faults: Vec::new().into(),
        chrome: site.chrome(Some(caseworker), Here::Receipts).with_search(&asked.typed),
        heading,
        typed: asked.typed.clone(),
        title,
        caption,
        asks_notify: None,
        conversation: None,
        searched: !asked.typed.is_empty(),
        said: asked.search.as_ref().map(|(taken, term)| taken.said(term)),
        ways: asked.ways(),
        rows: rows
            .map(|(kept, conversation)| ResultRow::of(kept).with_text(kept, conversation.as_ref(), looked_for))
            .collect(),
        showing: showing(number, found),
        is_further: number == Number::Further,
        further: found
            .reached
            .map(|(place, at)| (results::at(at), asked.link(Some(("after", place, Number::Further))))),
        action: asked.action.clone(),
        hidden: asked.searched(),
        set: set.iter().map(|set| (set.words.clone(), asked.narrowed(&set.gone_from(&asked.filters), None))).collect(),
        clear: asked.narrowed(&[], None),
        previous: found.previous.map(|place| asked.link(Some(("before", place, number.previous())))),
        next: found.next.map(|place| asked.link(Some(("after", place, number.next())))),
        files: Files::of(caseworker, &asked.link(None)),
        print: (caseworker.may(May::Export) && found.next.or(found.previous).is_some())
            .then(|| whole::link(&asked.link(None))),
        filters: asked.filters,
    }
}

fn heading(asked: &Asked, found: &Found, number: Number) -> String {
    if asked.typed.is_empty() {
        let texts = asked.filters.are_of_texts();
        return if texts { "Newest received text messages" } else { "Newest receipts" }.into();
    }
    let results = if found.count == 1 && !found.more { "result" } else { "results" };
    match counted(number, found) {
        _ if number == Number::Further => "More results for".into(),
        (0, true) => "No results yet for".into(),
        (count, more) => format!("{} {results} for", capped(count, more)),
    }
}

/// "Showing 51 to 100 of 10,000+"; nothing where all are on one page, or nobody knows which they are.
fn showing(number: Number, found: &Found) -> Option<String> {
    let Number::Known(page) = number else { return None };
    let rows = i64::try_from(found.rows.len()).ok().filter(|rows| *rows > 0)?;
    found.next.or(found.previous)?;
    let first = (page - 1) * PAGE + 1;
    let (count, more) = counted(number, found);
    Some(format!("Showing {} to {} of {}", grouped(first), grouped(first + rows - 1), capped(count, more)))
}

/// How many there are as far as they were counted, which is never less than were seen, and whether there may be more.
fn counted(number: Number, found: &Found) -> (i64, bool) {
    let rows = i64::try_from(found.rows.len()).unwrap_or(i64::MAX);
    let before = if let Number::Known(page) = number { (page - 1) * PAGE } else { 0 };
    (if found.more { found.count.max(before + rows) } else { found.count }, found.more)
}

fn capped(count: i64, more: bool) -> String {
    format!("{}{}", grouped(count), if more { "+" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(typed: &str, in_query: bool, query: &str) -> Asked {
        let term = search::term(typed).unwrap();
        let query = Words::parse(query.as_bytes());
        let taken = Taken::asked(query.get("as"), typed, &term);
        let action = if in_query { "/receipts" } else { "/search/x" };
        let filters = Filters::of(&query, Vec::new());
        Asked { typed: typed.into(), action: action.into(), search: Some((taken, term)), in_query, filters }
    }

    #[test]
    fn counts_are_written_as_people_write_them() {
        let found = |count, more| Found { count, more, ..Found::default() };
        let said = |count, more| heading(&asked("X1", true, ""), &found(count, more), Number::Known(1));
        assert_eq!(said(1, false), "1 result for");
        assert_eq!(said(0, false), "0 results for");
        assert_eq!(said(1234, false), "1,234 results for");
        assert_eq!(said(10_000, true), "10,000+ results for");
        assert_eq!(said(0, true), "No results yet for");
    }

    #[test]
    fn what_is_personal_stands_in_no_link() {
        let asked = asked("07700 900123", false, "status=delivered&as=words");
        assert_eq!(asked.link(None), "/search/x?as=words&status=delivered");
        let links: Vec<String> = asked.ways().into_iter().map(|way| way.href).collect();
        let expected = [
            "/search/x?status=delivered",
            "/search/x?as=reference&status=delivered",
            "/search/x?as=anywhere&status=delivered",
        ];
        assert_eq!(links, expected);
    }

    #[test]
    fn another_way_to_search_for_a_reference_keeps_the_filters() {
        let ways = asked("HB-1", true, "status=delivered").ways();
        let links: Vec<&str> = ways.iter().map(|way| way.href.as_str()).collect();
        let expected = ["/receipts?q=HB-1&as=words&status=delivered", "/receipts?q=HB-1&as=anywhere&status=delivered"];
        assert_eq!(links, expected);
    }
}
