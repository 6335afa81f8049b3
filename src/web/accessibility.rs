//! `/accessibility`: the owner's statement, or a model of one that says what is true of every Counterfoil and what its owner has to
//! say. It holds nothing personal, so everybody may read it.

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
#[template(path = "accessibility.html")]
struct AccessibilityPage {
    chrome: Chrome,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    warp::path!("accessibility")
        .and(get())
        .and(request::site(site))
        .and(request::caseworker(site))
        .then(async |site: Arc<Site>, who: Result<Caseworker, Problem>| -> Answer {
            html(&AccessibilityPage { chrome: site.chrome(who.ok().as_ref(), Here::Nowhere) })
        })
        .map(answer)
        .boxed()
}
