//! `/search`: where the search box goes. A reference may stand in an address; a number, an email address or what somebody wrote may
//! not, and neither may what could be a name.

use std::sync::Arc;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::taken::{Taken, may_be_a_name};
use super::{Site, get, one_of, sign_in};
use crate::access::{Caseworker, Secret};
use crate::clock::{self, DAY};
use crate::edge::Peer;
use crate::notify::term::Term;

/// How long the page of a search that is personal can be opened again.
pub(super) const KEPT: i64 = 30 * DAY;
/// As long as the longest reference that Notify takes.
const LONGEST: usize = 1000;

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    chrome: Chrome,
    error: String,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("search")
            .and(get())
            .and(request::site(site))
            .and(request::caseworker(site))
            .and(request::query())
            .then(go_on)
            .map(answer)
            .boxed(),
        warp::path!("search")
            .and(warp::post())
            .and(request::site(site))
            .and(request::caseworker(site))
            .and(warp::header::headers_cloned())
            .and(warp::ext::optional::<Peer>())
            .and(request::form())
            .then(search)
            .map(answer)
            .boxed(),
    ])
}

/// The search that a sign-in by single sign-on came before. Without one, somebody has loaded the page again that a sign-in began on.
async fn go_on(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let Some(carried) = query.get("carried") else { return Ok(see_other("/receipts")) };
    let caseworker = caseworker?;
    let sealed = URL_SAFE_NO_PAD.decode(carried).ok();
    let typed = sealed.and_then(|sealed| site.store.unseal_search(&sealed)).ok_or(Problem::NoSearch)?;
    match page_of(&site, &typed, None).await? {
        Ok(page) => Ok(see_other(&page)),
        Err(nothing) => refused(&site, &caseworker, &typed, nothing),
    }
}

/// Where what was typed is searched for after a sign-in that no form goes along with. Nobody can read it there; what is too long for
/// an address is left out.
pub(super) fn carried(site: &Site, typed: &str) -> Option<String> {
    let mut nonce = [0; 24];
    getrandom::fill(&mut nonce).ok()?;
    let short = Some(typed).filter(|typed| !typed.is_empty() && typed.len() <= LONGEST);
    short.map(|typed| format!("/search?carried={}", URL_SAFE_NO_PAD.encode(site.store.seal_search(nonce, typed))))
}

async fn search(
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    headers: HeaderMap,
    peer: Option<Peer>,
    form: Result<Words, Problem>,
) -> Answer {
    let form = form?;
    let typed = form.get("q").unwrap_or_default().trim();
    let caseworker = match caseworker {
        // What was typed goes along in the form, so that the search is done after the sign-in.
        Err(Problem::SignInFirst { .. }) => return sign_in::before_search(&site, &headers, peer, typed),
        other => other?,
    };
    let pairs = form.get("as").map(|value| ("as".to_owned(), value.to_owned()));
    match page_of(&site, typed, pairs.map(|pair| vec![pair])).await? {
        Ok(page) => Ok(see_other(&page)),
        Err(nothing) => refused(&site, &caseworker, typed, nothing),
    }
}

/// Why there is no page for what was typed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum NoSearch {
    #[error("Reference, phone number or email address must be 1,000 characters or fewer")]
    TooLong,
    #[error("Enter a reference, phone number or email address")]
    Nothing,
}

/// What was typed, where it can be searched for.
pub(super) fn term(typed: &str) -> Result<Term, NoSearch> {
    if typed.chars().count() > LONGEST {
        return Err(NoSearch::TooLong);
    }
    Term::of(typed).ok_or(NoSearch::Nothing)
}

/// Whether what was typed stands in no address: it is personal, or it is words of a text, or it could be a name.
pub(super) fn is_kept_back(typed: &str, term: &Term, asked: Option<&str>) -> bool {
    is_personal(term, asked) || may_be_a_name(typed)
}

/// Whether it is personal even where it stands in an address already.
pub(super) fn is_personal(term: &Term, asked: Option<&str>) -> bool {
    !matches!(term, Term::Reference(_)) || asked == Some(Taken::Words.value())
}

/// The page with the results of what was typed, with more pairs in its query.
pub(super) async fn page_of(
    site: &Site,
    typed: &str,
    more: Option<Vec<(String, String)>>,
) -> Result<Result<String, NoSearch>, Problem> {
    if typed.is_empty() {
        return Ok(Ok("/receipts".into()));
    }
    let more = more.unwrap_or_default();
    let asked = more.iter().find(|(name, _)| name == "as").map(|(_, value)| value.as_str());
    let (path, q) = match term(typed) {
        Err(nothing) => return Ok(Err(nothing)),
        Ok(term) if !is_kept_back(typed, &term, asked) => ("/receipts".to_owned(), Some(typed)),
        Ok(_) => {
            let opaque = Secret::random().map_err(|_| Problem::Failed)?.text();
            site.store.keep_search(opaque.clone(), typed.to_owned(), clock::now()).await?;
            (format!("/search/{opaque}"), None)
        }
    };
    let pairs = q.map(|q| ("q", q)).into_iter();
    let pairs = pairs.chain(more.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    Ok(Ok(if query.is_empty() { path } else { format!("{path}?{query}") }))
}

/// The page that says what is wrong with what was typed.
pub(super) fn refused(site: &Site, caseworker: &Caseworker, typed: &str, nothing: NoSearch) -> Answer {
    let error = nothing.to_string();
    let mut chrome = site.chrome(Some(caseworker), Here::Receipts).with_search(typed);
    chrome.search_error = Some(error.clone());
    html(&SearchPage { chrome, error })
}
