//! `/set-password/<one-time link>`: where a person who was sent a link sets a password.

use std::sync::Arc;

use askama::Template;
use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::problem::{Answer, Problem, answer, html};
use super::request::{self, Words};
use super::{Site, get, one_of, sign_in};
use crate::access::Secret;
use crate::clock;

/// The path of the page for a link's secret.
#[must_use]
pub fn link_path(secret: &Secret) -> String {
    format!("/set-password/{}", secret.text())
}

#[derive(Template)]
#[template(path = "set_password.html")]
struct SetPasswordPage {
    chrome: Chrome,
    link: String,
    /// Whose account it is; `None` where the link is not valid.
    email: Option<String>,
    error: Option<String>,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("set-password" / String).and(get()).and(request::site(site)).then(show).map(answer).boxed(),
        warp::path!("set-password" / String)
            .and(warp::post())
            .and(request::site(site))
            .and(warp::header::headers_cloned())
            .and(request::form())
            .then(set)
            .map(answer)
            .boxed(),
    ])
}

async fn show(link: String, site: Arc<Site>) -> Answer {
    page(&site, link, None).await
}

async fn set(link: String, site: Arc<Site>, headers: HeaderMap, form: Result<Words, Problem>) -> Answer {
    let form = form?;
    let password = form.get("password").unwrap_or_default().to_owned();
    match site.visitors.set_password(&link, password, &headers, clock::now()).await {
        Ok(Ok(Some(session))) => Ok(sign_in::signed_in(&session, "/")),
        Ok(Ok(None)) => page(&site, link, None).await,
        Ok(Err(error)) => Err(error.into()),
        Err(refused) => page(&site, link, Some(refused.to_string())).await,
    }
}

async fn page(site: &Site, link: String, error: Option<String>) -> Answer {
    let owner = site.visitors.link_owner(&link, clock::now()).await?;
    html(&SetPasswordPage {
        chrome: Chrome::new(None, Here::Nowhere),
        link,
        email: owner.map(|owner| owner.email),
        error,
    })
}
