//! `/sign-in/oidc`, which leads to the provider of single sign-on, and `/sign-in/oidc/callback`, where people come back.
//!
//! It begins with a link, because no form of ours may lead to another site. Who comes back comes from there, so the cookies have to be
//! `Lax`, and what is checked is the state and not where the request is from.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::problem::{Answer, Problem, answer, see_other, set};
use super::request::{self, Words};
use super::second_step::wait_words;
use super::{Site, get, one_of, sign_in};
use crate::access::{CameBack, NotAdmitted, SingleSignOn, Trouble};
use crate::clock;
use crate::edge::Peer;

/// The path of the address that is registered with the provider.
pub const CALLBACK_PATH: &str = "/sign-in/oidc/callback";

/// What the page where people sign in shows of it.
pub(super) struct Offered {
    /// What stands on the button.
    pub(super) words: String,
    /// Whether the fields for a password are there too.
    pub(super) password: bool,
}

impl Offered {
    /// By the site, where it is set up.
    pub(super) fn by(site: &Site) -> Option<Offered> {
        let offered = site.visitors.single_sign_on()?;
        Some(Offered { words: offered.words().to_owned(), password: !offered.is_the_only_way() })
    }

    /// How somebody signs in who has no password, as it is told to them. Most buttons say “Sign in with …”.
    pub(super) fn told(&self) -> String {
        match self.words.strip_prefix("Sign in with ") {
            Some(what) => format!("You sign in with {what}."),
            None => format!("You sign in by single sign-on: ‘{}’.", self.words),
        }
    }

    /// For somebody who has used a password.
    pub(super) fn with_password(self) -> Offered {
        Offered { password: true, ..self }
    }
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let asked = || {
        request::site(site).and(warp::header::headers_cloned()).and(warp::ext::optional::<Peer>()).and(request::query())
    };
    one_of([
        warp::path!("sign-in" / "oidc").and(get()).and(asked()).then(start).map(answer).boxed(),
        warp::path!("sign-in" / "oidc" / "callback").and(get()).and(asked()).then(finish).map(answer).boxed(),
    ])
}

async fn start(site: Arc<Site>, headers: HeaderMap, peer: Option<Peer>, query: Words) -> Answer {
    // The page says where it is safe; the browser would drop the cookie here.
    if !site.is_safe(&headers, peer) {
        return Ok(see_other("/sign-in"));
    }
    let started = site.visitors.start_single_sign_on(&sign_in::next(&query), clock::now()).await;
    match started.ok_or(Problem::NotFound)? {
        Ok(started) => {
            let mut response = see_other(&started.location);
            set(&mut response, header::SET_COOKIE, &started.cookie);
            Ok(response)
        }
        Err(refused) => told(&site, &headers, peer, refused),
    }
}

async fn finish(site: Arc<Site>, headers: HeaderMap, peer: Option<Peer>, query: Words) -> Answer {
    let back = CameBack {
        state: query.get("state"),
        code: query.get("code"),
        issuer: query.get("iss"),
        error: query.get("error"),
    };
    let finished = site.visitors.finish_single_sign_on(&back, &headers, &request::address(peer), clock::now()).await;
    let mut response = match finished.ok_or(Problem::NotFound)? {
        Ok((session, next)) => sign_in::signed_in(&session, &next),
        // Another sign-in of this browser may be under way: its cookie stays.
        Err(NotAdmitted::NotBegun) => return told(&site, &headers, peer, NotAdmitted::NotBegun),
        Err(refused) => told(&site, &headers, peer, refused)?,
    };
    response.headers_mut().append(header::SET_COOKIE, HeaderValue::from_static(SingleSignOn::end_cookie()));
    Ok(response)
}

/// The page for somebody who is not let in, with every way to sign in still on it.
fn told(site: &Site, headers: &HeaderMap, peer: Option<Peer>, refused: NotAdmitted) -> Answer {
    match &refused {
        // These come of what the browser was sent back with, which anybody can make up.
        NotAdmitted::Provider(trouble @ (Trouble::Code(_) | Trouble::OtherIssuer)) => {
            tracing::warn!(
                event = "access.single_sign_on_refused",
                why = refused.word(),
                error = %trouble,
                "somebody could not sign in"
            );
        }
        NotAdmitted::Provider(trouble) => {
            tracing::warn!(event = "oidc.provider_failed", error = %trouble, "nobody can come in by single sign-on like this");
        }
        NotAdmitted::ByProvider(code) => {
            tracing::warn!(
                event = "access.single_sign_on_refused",
                why = refused.word(),
                code,
                "somebody could not sign in"
            );
        }
        NotAdmitted::Store(_) => (),
        refused => {
            tracing::warn!(event = "access.single_sign_on_refused", why = refused.word(), "somebody could not sign in");
        }
    }
    let (words, status) = match refused {
        NotAdmitted::Store(error) => return Err(error.into()),
        NotAdmitted::NotBegun => (
            "The sign-in was not begun in this browser, took more than 10 minutes or was finished already. Sign in again",
            StatusCode::BAD_REQUEST,
        ),
        NotAdmitted::ByProvider(code) => (by_provider(&code), StatusCode::FORBIDDEN),
        NotAdmitted::Provider(Trouble::Code(_)) => {
            ("The sign-in could not be finished. Sign in again", StatusCode::FORBIDDEN)
        }
        NotAdmitted::Provider(Trouble::Untrue(_) | Trouble::OtherIssuer | Trouble::OtherPerson) => (
            "The answer of the single sign-on service could not be trusted, so you were not signed in. Try again. If it goes on, tell the \
             people who run this service: the reason is in its log",
            StatusCode::FORBIDDEN,
        ),
        NotAdmitted::Provider(_) => (
            "The single sign-on service does not answer as it should at the moment. Wait a minute, then try again. If it goes on, tell the \
             people who run this service: the reason is in its log",
            StatusCode::SERVICE_UNAVAILABLE,
        ),
        NotAdmitted::Wait(seconds) => {
            return sign_in::after_trouble(site, headers, peer, wait_words(seconds), StatusCode::TOO_MANY_REQUESTS);
        }
        NotAdmitted::NoAddress => (
            "The single sign-on service does not say that your email address is verified, so your account cannot be found. Ask the people \
             who run this service",
            StatusCode::FORBIDDEN,
        ),
        NotAdmitted::Domain | NotAdmitted::Group => (
            "You are signed in to the single sign-on service, but are not among those who may use this service. If you need it for your \
             work, ask your manager",
            StatusCode::FORBIDDEN,
        ),
        NotAdmitted::NoAccount => (
            "There is no account here for your email address. If you need one for your work, ask your manager",
            StatusCode::FORBIDDEN,
        ),
        NotAdmitted::Taken => (
            "The account for your email address belongs to somebody else who had this address before. Ask the people who run this service \
             to give it to you",
            StatusCode::FORBIDDEN,
        ),
        NotAdmitted::Disabled => {
            ("Your account has been disabled. If you need it for your work, ask your manager", StatusCode::FORBIDDEN)
        }
    };
    sign_in::after_trouble(site, headers, peer, words.into(), status)
}

/// What the provider's codes mean to the person who is sent back with one.
fn by_provider(code: &str) -> &'static str {
    match code {
        "access_denied"
        | "consent_required"
        | "interaction_required"
        | "login_required"
        | "account_selection_required" => {
            "You did not finish signing in, or the single sign-on service did not let you. Try again. If it goes on, ask the people who \
             look after your work account"
        }
        "temporarily_unavailable" | "server_error" => {
            "The single sign-on service has a problem. Wait a minute, then try again"
        }
        _ => {
            "The single sign-on service could not sign you in. Try again. If it goes on, tell the people who run this service: the reason \
             is in its log"
        }
    }
}
