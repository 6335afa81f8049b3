//! `/search`: where the search box goes. A reference may stand in an address; a number or an email address may not.

use std::sync::Arc;

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::Site;
use super::problem::{Answer, Problem, answer, see_other};
use super::request::{self, Words};
use crate::access::{Caseworker, Secret};
use crate::clock::{self, DAY};
use crate::notify::recipient::Term;

/// How long the page of a search for a person can be opened again.
pub(super) const KEPT: i64 = 30 * DAY;

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    warp::path!("search")
        .and(warp::post())
        .and(request::site(site))
        .and(request::caseworker(site))
        .and(request::form())
        .then(search)
        .map(answer)
        .boxed()
}

async fn search(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, form: Result<Words, Problem>) -> Answer {
    match caseworker {
        Ok(_) => (),
        // What was typed is not kept over a sign-in, and the box is on every page.
        Err(Problem::SignInFirst { .. }) => return Err(Problem::SignInFirst { wanted: "/receipts".into() }),
        Err(other) => return Err(other),
    }
    let form = form?;
    let typed = form.get("q").unwrap_or_default().trim();
    match Term::of(typed) {
        None => Ok(see_other("/receipts")),
        Some(Term::Reference(_)) => {
            let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("q", typed).finish();
            Ok(see_other(&format!("/receipts?{query}")))
        }
        Some(Term::Person(_)) => {
            let opaque = Secret::random().map_err(|_| Problem::Failed)?.text();
            site.store.keep_search(opaque.clone(), typed.to_owned(), clock::now()).await?;
            Ok(see_other(&format!("/search/{opaque}")))
        }
    }
}
