//! `/sign-in` and `/sign-out`.

use std::sync::Arc;

use askama::Template;
use http::{HeaderMap, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::problem::{Answer, Problem, answer, html, see_other, with_status};
use super::request::{self, Kept, Words};
use super::single_sign_on::Offered;
use super::{Site, get, one_of, search, second_step};
use crate::access::{Half, Session, SignInRefused};
use crate::clock;
use crate::edge::Peer;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    chrome: Chrome,
    email: String,
    next: String,
    /// A search that is done after the sign-in.
    search: String,
    /// Where that is done after a sign-in that no form goes along with.
    carried: Option<String>,
    /// A form that is offered again after it.
    kept: Option<Kept>,
    error: Option<String>,
    /// The other way in, where there is one.
    offered: Option<Offered>,
    /// Why somebody did not come in that way.
    trouble: Option<String>,
    /// The browser would not keep the cookie that keeps one signed in: there is no form.
    unsafe_connection: bool,
    /// Where it would, if that is known.
    safe_address: Option<String>,
    /// Whether passkeys work at this address.
    passkeys: bool,
}

impl SignInPage {
    /// Where one goes after a sign-in that no form goes along with.
    fn on_return(&self) -> &str {
        self.carried.as_deref().unwrap_or(&self.next)
    }
}

/// What is shown after a sign-in that came between a form and its answer.
#[derive(Template)]
#[template(path = "kept.html")]
struct KeptPage {
    chrome: Chrome,
    kept: Kept,
    next: String,
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
            .and(request::source())
            .and(request::form())
            .then(sign_out)
            .map(answer)
            .boxed(),
    ])
}

async fn show(site: Arc<Site>, headers: HeaderMap, peer: Option<Peer>, query: Words) -> Answer {
    let mut page = SignInPage { next: next(&query), ..page(&site, &headers, peer) };
    if let Some(offered) = &mut page.offered {
        offered.password |= query.get("with") == Some("password");
    }
    html(&page)
}

/// The page for somebody who did not come in by single sign-on.
pub(super) fn after_trouble(
    site: &Site,
    headers: &HeaderMap,
    peer: Option<Peer>,
    trouble: String,
    status: StatusCode,
) -> Answer {
    refused(&SignInPage { trouble: Some(trouble), ..page(site, headers, peer) }, status)
}

/// The page for somebody who typed something into the search box and was not signed in any more.
pub(super) fn before_search(site: &Site, headers: &HeaderMap, peer: Option<Peer>, typed: &str) -> Answer {
    let page = SignInPage { search: typed.to_owned(), next: "/receipts".into(), ..page(site, headers, peer) };
    html(&SignInPage { carried: search::carried(site, typed), ..page })
}

/// The page for somebody who sent a form and was not signed in any more.
pub(super) fn keeping(site: &Site, headers: &HeaderMap, peer: Option<Peer>, kept: Kept) -> Answer {
    html(&SignInPage { kept: Some(kept), ..page(site, headers, peer) })
}

async fn sign_in(site: Arc<Site>, headers: HeaderMap, peer: Option<Peer>, form: Result<Words, Problem>) -> Answer {
    let form = form?;
    let email = form.get("email").unwrap_or_default();
    let search = form.get("search").unwrap_or_default();
    let page = SignInPage {
        email: email.to_owned(),
        next: next(&form),
        search: search.to_owned(),
        carried: search::carried(&site, search.trim()),
        kept: Kept::carried(&form),
        ..page(&site, &headers, peer)
    };
    if page.unsafe_connection {
        return refused(&page, StatusCode::FORBIDDEN);
    }
    let page = SignInPage { offered: page.offered.map(Offered::with_password), ..page };
    let password = form.get("password").unwrap_or_default();
    let from = request::address(peer);
    match site.visitors.sign_in(email, password, &headers, &from, clock::now()).await {
        Ok(entered) => {
            let found = search::page_of(&site, search.trim(), None).await;
            // What cannot be searched for, or not now, keeps nobody from signing in.
            let found = found.ok().and_then(Result::ok).filter(|_| !search.is_empty());
            second_step::entered(&site, (&headers, &from), &entered, &found.unwrap_or(page.next), page.kept).await
        }
        Err(SignInRefused::Store(error)) => Err(error.into()),
        Err(SignInRefused::Wrong) => {
            let error = Some("Enter a correct email address and password".into());
            refused(&SignInPage { error, ..page }, StatusCode::OK)
        }
        Err(SignInRefused::BySingleSignOn) => {
            let error =
                Some("Only admins can sign in with a password. Use the other way to sign in on this page".into());
            refused(&SignInPage { error, ..page }, StatusCode::FORBIDDEN)
        }
        Err(SignInRefused::Wait(seconds)) => {
            let error = Some(second_step::wait_words(seconds));
            refused(&SignInPage { error, ..page }, StatusCode::TOO_MANY_REQUESTS)
        }
    }
}

async fn sign_out(site: Arc<Site>, headers: HeaderMap, from: String, form: Result<Words, Problem>) -> Answer {
    form?;
    Ok(match site.visitors.sign_out(&headers, &from, clock::now()).await {
        Ok(()) => without_session(see_other("/sign-in")),
        Err(error) => {
            tracing::warn!(event = "access.not_signed_out", error = %error, "a session could not be ended, and goes on until it runs out");
            signed_out_here_alone(&site)
        }
    })
}

/// The browser forgets the session, also where nobody can end it.
pub(super) fn signed_out_here_alone(site: &Site) -> Response {
    without_session(Problem::NotSignedOut.page(site.chrome(None, Here::Nowhere)))
}

fn without_session(mut response: Response) -> Response {
    add_cookie(&mut response, Session::end_cookie());
    add_cookie(&mut response, Half::end_cookie());
    response
}

/// Where one goes with a new session.
pub(super) fn signed_in(session: &Session, next: &str) -> Response {
    with_session(see_other(next), session)
}

/// Where one goes with a new session: to the form that was sent before the sign-in, if one was. It is sent again by the person
/// alone: nobody else's hand is to act for them.
pub(super) fn signed_in_with(site: &Site, session: &Session, next: &str, kept: Option<&Kept>) -> Answer {
    let Some(kept) = kept else { return Ok(signed_in(session, next)) };
    let chrome = site.chrome(None, Here::Nowhere);
    let page = KeptPage { chrome, kept: kept.clone(), next: next.to_owned() };
    Ok(with_session(html(&page)?, session))
}

/// An answer with a new session: the sign-in has come to its end.
pub(super) fn with_session(mut response: Response, session: &Session) -> Response {
    for cookie in [Some(session.cookie()), session.browser_cookie()].into_iter().flatten() {
        add_cookie(&mut response, &cookie);
    }
    add_cookie(&mut response, Half::end_cookie());
    response
}

/// Sets a cookie beside others.
pub(super) fn add_cookie(response: &mut Response, cookie: &str) {
    if let Ok(cookie) = http::HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

fn refused(page: &SignInPage, status: StatusCode) -> Answer {
    with_status(html(page), status)
}

fn page(site: &Site, headers: &HeaderMap, peer: Option<Peer>) -> SignInPage {
    SignInPage {
        chrome: site.chrome(None, Here::Nowhere),
        email: String::new(),
        next: "/".into(),
        search: String::new(),
        carried: None,
        kept: None,
        error: None,
        offered: Offered::by(site),
        trouble: None,
        unsafe_connection: !site.is_safe(headers, peer),
        safe_address: site.safe_address("/sign-in"),
        passkeys: site.passkeys_at(headers).is_some(),
    }
}

/// The page that was wanted, if it is one of ours, as it may stand in a header.
pub(super) fn next(words: &Words) -> String {
    let next = words.get("next").unwrap_or("/");
    let ours = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains(['\\', '#'])
        && !next.contains(char::is_control);
    if ours { utf8_percent_encode(next, AS_IT_IS).to_string() } else { "/".into() }
}

/// Of ASCII only the space is no part of an address; what is not ASCII is encoded anyway.
const AS_IT_IS: &AsciiSet = &CONTROLS.add(b' ');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_sent_on_to_our_own_pages_only() {
        let to = |query: &str| {
            let words = format!("next={query}");
            next(&Words::parse(words.as_bytes()))
        };
        assert_eq!(to("/receipts?q=1"), "/receipts?q=1");
        assert_eq!(to("//evil.example"), "/");
        assert_eq!(to("/\\evil.example"), "/");
        assert_eq!(to("https://evil.example"), "/");
        assert_eq!(to("/a%0d%0ab"), "/");
        assert_eq!(to("/%09/evil.example"), "/");
        assert_eq!(to("/a%7fb"), "/");
        assert_eq!(to("/receipts?q=%c3%a9+x"), "/receipts?q=%C3%A9%20x");
        assert_eq!(to("/receipts?q=A%2526B"), "/receipts?q=A%26B");
    }
}
