//! `/cookies`: every cookie by name. There are two.

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
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    warp::path!("cookies")
        .and(get())
        .and(request::caseworker(site))
        .then(async |who: Result<Caseworker, Problem>| -> Answer {
            html(&CookiesPage { chrome: Chrome::new(who.ok().as_ref(), Here::Nowhere) })
        })
        .map(answer)
        .boxed()
}
