//! `/sign-in/passkey`: signing in with a passkey alone. Also what the pages with passkeys share: what the script hands to the browser,
//! and what it brings back in a form.

use std::sync::Arc;

use askama::Template;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use serde_json::json;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::problem::{Answer, Problem, answer, html, with_status};
use super::request::{self, Kept, Words};
use super::second_step::words;
use super::sign_in::{add_cookie, next, signed_in_with};
use super::{Site, get, one_of, search};
use crate::access::{ALGORITHMS, Assertion, Creation, CreationAsked, PasskeyRefused, RelyingParty, UseAsked};
use crate::clock;

/// How long a browser waits for the authenticator, in milliseconds.
const WAITS: u32 = 5 * 60 * 1000;

#[derive(Template)]
#[template(path = "sign_in_passkey.html")]
struct PasskeyPage {
    chrome: Chrome,
    next: String,
    /// A search that is done after the sign-in.
    search: String,
    /// A form that is offered again after it.
    kept: Option<Kept>,
    /// For the script; `None` where passkeys do not work at this address.
    asked: Option<String>,
    error: Option<String>,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let asked = || request::site(site).and(warp::header::headers_cloned());
    one_of([
        warp::path!("sign-in" / "passkey").and(get()).and(asked()).and(request::query()).then(show).map(answer).boxed(),
        warp::path!("sign-in" / "passkey")
            .and(warp::post())
            .and(asked())
            .and(request::source())
            .and(request::form())
            .then(sign_in)
            .map(answer)
            .boxed(),
    ])
}

async fn show(site: Arc<Site>, headers: HeaderMap, query: Words) -> Answer {
    page(&site, &headers, &query, None)
}

/// The first form leads from the page where one signs in to this one, the second from this one on.
async fn sign_in(site: Arc<Site>, headers: HeaderMap, from: String, form: Result<Words, Problem>) -> Answer {
    let form = form?;
    let (Some(rp), true) = (site.passkeys_at(&headers), form.get("credential").is_some()) else {
        return page(&site, &headers, &form, None);
    };
    let Some(assertion) = assertion(&form) else {
        return page(&site, &headers, &form, Some(PasskeyRefused::Wrong.to_string()));
    };
    match site.visitors.sign_in_by_passkey_alone(rp, &assertion, &headers, &from, clock::now()).await {
        Ok(session) => {
            let typed = form.get("search").unwrap_or_default().trim().to_owned();
            let found = search::page_of(&site, &typed, None).await;
            // What cannot be searched for, or not now, keeps nobody from signing in.
            let found = found.ok().and_then(Result::ok).filter(|_| !typed.is_empty());
            signed_in_with(&site, &session, &found.unwrap_or_else(|| next(&form)), Kept::carried(&form).as_ref())
        }
        Err(refused) => {
            let (words, status) = words(refused)?;
            with_status(page(&site, &headers, &form, Some(words)), status)
        }
    }
}

fn page(site: &Site, headers: &HeaderMap, words: &Words, error: Option<String>) -> Answer {
    let rp = site.passkeys_at(headers);
    let asked =
        rp.map(|rp| site.visitors.ask_anybody(headers, clock::now()).map(|(asked, half)| (use_of(rp, &asked), half)));
    let (asked, half) = asked.transpose()?.unzip();
    let page = PasskeyPage {
        chrome: site.chrome(None, Here::Nowhere),
        next: next(words),
        search: words.get("search").unwrap_or_default().to_owned(),
        kept: Kept::carried(words),
        asked,
        error,
    };
    let mut response = html(&page)?;
    if let Some(half) = half {
        add_cookie(&mut response, &half.cookie());
    }
    Ok(response)
}

impl Site {
    /// What passkeys are made for, where a request was sent to that address.
    pub(super) fn passkeys_at(&self, headers: &HeaderMap) -> Option<&RelyingParty> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok())?;
        self.relying_party.as_ref().filter(|rp| rp.is_at(host))
    }
}

/// What the script asks the browser for when a passkey is to be made.
pub(super) fn creation_of(rp: &RelyingParty, asked: &CreationAsked, email: &str, service: &str) -> String {
    let algorithms = ALGORITHMS.map(|number| json!({ "type": "public-key", "alg": number }));
    json!({
        "challenge": text(&asked.challenge),
        "rp": { "id": rp.id(), "name": service },
        "user": { "id": text(&asked.user_handle), "name": email, "displayName": email },
        "pubKeyCredParams": algorithms,
        "excludeCredentials": credentials(&asked.held),
        "authenticatorSelection": { "residentKey": "preferred", "userVerification": "preferred" },
        "attestation": "none",
        "timeout": WAITS,
    })
    .to_string()
}

/// What the script asks the browser for when a passkey is to be used.
pub(super) fn use_of(rp: &RelyingParty, asked: &UseAsked) -> String {
    json!({
        "challenge": text(&asked.challenge),
        "rpId": rp.id(),
        "allowCredentials": credentials(&asked.of),
        "userVerification": if asked.verified { "required" } else { "preferred" },
        "timeout": WAITS,
    })
    .to_string()
}

fn credentials(ids: &[Vec<u8>]) -> Vec<serde_json::Value> {
    ids.iter().map(|id| json!({ "type": "public-key", "id": text(id) })).collect()
}

/// Bytes as they stand in a form and in what the script is given.
pub(super) fn text(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// What stands in a form's field.
pub(super) fn bytes(form: &Words, name: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(form.get(name)?).ok()
}

/// What the browser brings when a passkey was made.
pub(super) fn creation(form: &Words) -> Option<Creation> {
    let (client_data, authenticator_data) = (bytes(form, "client-data")?, bytes(form, "authenticator-data")?);
    Some(Creation { client_data, authenticator_data })
}

/// What the browser brings when a passkey was used.
pub(super) fn assertion(form: &Words) -> Option<Assertion> {
    Some(Assertion {
        credential: bytes(form, "credential")?,
        client_data: bytes(form, "client-data")?,
        authenticator_data: bytes(form, "authenticator-data")?,
        signature: bytes(form, "signature")?,
        user_handle: bytes(form, "user-handle"),
    })
}
