//! `/sign-in` and `/sign-out`.

use std::sync::Arc;

use askama::Template;
use http::{HeaderMap, StatusCode, header};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::problem::{Answer, Problem, answer, html, see_other, set};
use super::request::{self, Words};
use super::{Site, get, one_of};
use crate::access::{Session, SignInRefused};
use crate::clock;
use crate::edge::Peer;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    chrome: Chrome,
    email: String,
    next: String,
    error: Option<String>,
    /// The cookie that keeps one signed in works over https only, or on the machine itself.
    unsafe_connection: bool,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let connection = || warp::header::headers_cloned().and(warp::ext::optional::<Peer>());
    one_of([
        warp::path!("sign-in")
            .and(get())
            .and(request::site(site))
            .and(connection())
            .and(request::query())
            .then(show)
            .map(answer)
            .boxed(),
        warp::path!("sign-in")
            .and(warp::post())
            .and(request::site(site))
            .and(connection())
            .and(request::form())
            .then(sign_in)
            .map(answer)
            .boxed(),
        warp::path!("sign-out")
            .and(warp::post())
            .and(request::site(site))
            .and(warp::header::headers_cloned())
            .and(request::form())
            .then(sign_out)
            .map(answer)
            .boxed(),
    ])
}

async fn show(site: Arc<Site>, headers: HeaderMap, peer: Option<Peer>, query: Words) -> Answer {
    html(&page(&site, &headers, peer, "", next(&query), None))
}

async fn sign_in(site: Arc<Site>, headers: HeaderMap, peer: Option<Peer>, form: Result<Words, Problem>) -> Answer {
    let form = form?;
    let (email, next) = (form.get("email").unwrap_or_default(), next(&form));
    let password = form.get("password").unwrap_or_default().to_owned();
    match site.visitors.sign_in(email, password, &headers, clock::now()).await {
        Ok(session) => Ok(signed_in(&session, next)),
        Err(SignInRefused::Store(error)) => Err(error.into()),
        Err(SignInRefused::Wrong) => {
            let error = "Enter the email address and password of an account. One of them is not right";
            refused(&page(&site, &headers, peer, email, next, Some(error.into())), StatusCode::OK)
        }
        Err(SignInRefused::Wait(seconds)) => {
            let unit = if seconds == 1 { "second" } else { "seconds" };
            let error = format!("Too many tries have failed. Wait {seconds} {unit}, then try again");
            refused(&page(&site, &headers, peer, email, next, Some(error)), StatusCode::TOO_MANY_REQUESTS)
        }
    }
}

async fn sign_out(site: Arc<Site>, headers: HeaderMap, form: Result<Words, Problem>) -> Answer {
    form?;
    site.visitors.sign_out(&headers).await?;
    let mut response = see_other("/sign-in");
    set(&mut response, header::SET_COOKIE, Session::end_cookie());
    Ok(response)
}

/// Where one goes with a new session.
pub(super) fn signed_in(session: &Session, next: &str) -> Response {
    let mut response = see_other(next);
    set(&mut response, header::SET_COOKIE, &session.cookie());
    response
}

fn refused(page: &SignInPage, status: StatusCode) -> Answer {
    html(page).map(|mut response| {
        *response.status_mut() = status;
        response
    })
}

fn page(
    site: &Site,
    headers: &HeaderMap,
    peer: Option<Peer>,
    email: &str,
    next: &str,
    error: Option<String>,
) -> SignInPage {
    SignInPage {
        chrome: Chrome::new(None, Here::Nowhere),
        email: email.to_owned(),
        next: next.to_owned(),
        error,
        unsafe_connection: !is_safe(site, headers, peer),
    }
}

/// The page that was wanted, if it is one of ours.
fn next(words: &Words) -> &str {
    let next = words.get("next").unwrap_or("/");
    let ours = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n', '\t']);
    if ours { next } else { "/" }
}

/// Whether a browser keeps our cookie: over TLS, behind a proxy that speaks it, or on the machine itself.
fn is_safe(site: &Site, headers: &HeaderMap, peer: Option<Peer>) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    peer.is_some_and(|peer| peer.tls)
        || site.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
        || matches!(name, "localhost" | "[::1]")
        || name.ends_with(".localhost")
        || name.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_sent_on_to_our_own_pages_only() {
        let to = |query: &str| {
            let words = format!("next={query}");
            next(&Words::parse(words.as_bytes())).to_owned()
        };
        assert_eq!(to("/receipts?q=1"), "/receipts?q=1");
        assert_eq!(to("//evil.example"), "/");
        assert_eq!(to("/\\evil.example"), "/");
        assert_eq!(to("https://evil.example"), "/");
    }
}
