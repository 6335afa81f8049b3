//! `/set-password/<one-time link>`: where a person who was sent a link sets a password.

use std::sync::Arc;

use askama::Template;
use http::{HeaderMap, StatusCode};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::problem::{Answer, Problem, answer, html, with_status};
use super::request::{self, Words};
use super::{Site, get, one_of, second_step};
use crate::access::Secret;
use crate::clock::{self, MINUTE};
use crate::edge::Peer;

/// How long a one-time link works.
pub const LINK_WORKS: i64 = 60 * MINUTE;

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
    /// The browser would not keep the cookie that keeps one signed in: there is no form.
    unsafe_connection: bool,
    /// Where it would, if that is known.
    safe_address: Option<String>,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("set-password" / String)
            .and(get())
            .and(request::site(site))
            .and(warp::header::headers_cloned())
            .and(warp::ext::optional::<Peer>())
            .then(show)
            .map(answer)
            .boxed(),
        warp::path!("set-password" / String)
            .and(warp::post())
            .and(request::site(site))
            .and(warp::header::headers_cloned())
            .and(warp::ext::optional::<Peer>())
            .and(request::form())
            .then(set)
            .map(answer)
            .boxed(),
    ])
}

async fn show(link: String, site: Arc<Site>, headers: HeaderMap, peer: Option<Peer>) -> Answer {
    html(&page(&site, &headers, peer, link).await?)
}

async fn set(
    link: String,
    site: Arc<Site>,
    headers: HeaderMap,
    peer: Option<Peer>,
    form: Result<Words, Problem>,
) -> Answer {
    let form = form?;
    let page = page(&site, &headers, peer, link).await?;
    if page.unsafe_connection {
        return with_status(html(&page), StatusCode::FORBIDDEN);
    }
    // A link that is not valid costs no hashing.
    if page.email.is_none() {
        return html(&page);
    }
    let password = form.get("password").unwrap_or_default();
    let from = request::address(peer);
    match site.visitors.set_password(&page.link, password, &headers, &from, clock::now()).await {
        Ok(Ok(Some(entered))) => second_step::entered(&site, (&headers, &from), &entered, "/", None).await,
        Ok(Ok(None)) => html(&SetPasswordPage { email: None, ..page }),
        Ok(Err(error)) => Err(error.into()),
        Err(refused) => html(&SetPasswordPage { error: Some(refused.to_string()), ..page }),
    }
}

async fn page(site: &Site, headers: &HeaderMap, peer: Option<Peer>, link: String) -> Result<SetPasswordPage, Problem> {
    let owner = site.visitors.link_owner(&link, clock::now()).await?;
    Ok(SetPasswordPage {
        chrome: site.chrome(None, Here::Nowhere),
        email: owner.map(|owner| owner.email),
        error: None,
        unsafe_connection: !site.is_safe(headers, peer),
        safe_address: site.safe_address(&format!("/set-password/{link}")),
        link,
    })
}
