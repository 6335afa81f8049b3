//! `/cookies`: every cookie by name.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::problem::{Answer, Problem, answer, html};
use super::{Site, get, request};
use crate::access::Caseworker;

#[derive(Template)]
#[template(path = "cookies.html")]
struct CookiesPage {
    chrome: Chrome,
    /// There is one more while somebody is away to sign in.
    single_sign_on: bool,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    warp::path!("cookies")
        .and(get())
        .and(request::caseworker(site))
        .and(request::site(site))
        .then(async |who: Result<Caseworker, Problem>, site: Arc<Site>| -> Answer {
            let single_sign_on = site.visitors.single_sign_on().is_some();
            html(&CookiesPage { chrome: site.chrome(who.ok().as_ref(), Here::Nowhere), single_sign_on })
        })
        .map(answer)
        .boxed()
}
