//! What is served at which address. `routes()` is the table of contents; each file below it is a page, with its template.
//!
//! A route reads: path, method, the site, who asks, what is asked, then the handler. Handlers answer and never reject,
//! because a rejection would fall through to the next route.

mod assets;
mod callbacks;
mod chrome;
mod cookies;
mod messages;
mod plain_text;
mod problem;
mod quarantine;
mod receipt;
mod receipts;
mod request;
mod results;
mod search;
mod set_password;
mod sign_in;
mod uk_time;

use std::convert::Infallible;
use std::sync::Arc;

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::access::{Caseworker, Senders, Visitors};
use crate::store::Store;

use problem::Problem;
pub use set_password::link_path;

/// What every page needs.
pub struct Site {
    store: Store,
    senders: Senders,
    visitors: Visitors,
    /// How people and Notify reach it, where that was said.
    public_url: Option<String>,
}

impl Site {
    /// Over an open store.
    #[must_use]
    pub fn new(store: &Store, public_url: Option<String>) -> Arc<Site> {
        Arc::new(Site {
            store: store.clone(),
            senders: Senders::new(store.clone()),
            visitors: Visitors::new(store.clone()),
            public_url,
        })
    }
}

/// The pages and the callbacks.
#[must_use]
pub fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let pages = [
        assets::routes(),
        sign_in::routes(site),
        set_password::routes(site),
        search::routes(site),
        receipts::routes(site),
        receipt::routes(site),
        messages::routes(site),
        quarantine::routes(site),
        cookies::routes(site),
    ];
    let pages = one_of(pages).or(not_found(site)).unify().map(problem::secured).boxed();
    answering(callbacks::below_callbacks(site).or(pages).unify().boxed())
}

/// Only callbacks, at any path: for a listener of their own.
#[must_use]
pub fn callback_routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    answering(callbacks::anywhere(site))
}

/// What stands where no page is. Only for GET, so that a wrong method is told from a wrong address.
fn not_found(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    get()
        .and(request::caseworker(site))
        .map(|who: Result<Caseworker, Problem>| Problem::NotFound.page(who.ok().as_ref()))
        .boxed()
}

/// GET, and HEAD, which hyper answers without the body.
fn get() -> BoxedFilter<()> {
    warp::get().or(warp::head()).unify().boxed()
}

fn one_of<const N: usize>(routes: [BoxedFilter<(Response,)>; N]) -> BoxedFilter<(Response,)> {
    let none = warp::any().and_then(|| async { Err(warp::reject::not_found()) }).boxed();
    routes.into_iter().fold(none, |others, route| others.or(route).unify().boxed())
}

/// The routes with an answer for what none of them took. The error's type holds that nothing is left to reject.
fn answering(routes: BoxedFilter<(Response,)>) -> BoxedFilter<(Response,)> {
    routes.recover(|rejection| async move { Ok::<_, Infallible>(problem::of_rejection(&rejection)) }).unify().boxed()
}
