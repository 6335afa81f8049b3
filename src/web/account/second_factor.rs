//! `/account/second-factor`: setting up an authenticator app, or another one in its place.

use std::sync::Arc;

use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::access::{Caseworker, NotTaken, SetUp};
use crate::clock;
use crate::web::chrome::Here;
use crate::web::confirm::Fault;
use crate::web::problem::{Answer, Problem, answer, html, see_other, with_status};
use crate::web::qr::Qr;
use crate::web::request::{self, Words};
use crate::web::second_step::{RecoveryCodesPage, SetUpPage, words};
use crate::web::sign_in::with_session;
use crate::web::{Site, get, one_of};

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let asked = || request::site(site).and(request::caseworker(site)).and(warp::header::headers_cloned());
    one_of([
        warp::path!("account" / "second-factor").and(get()).and(asked()).then(show).map(answer).boxed(),
        warp::path!("account" / "second-factor")
            .and(warp::post())
            .and(asked())
            .and(request::form())
            .then(set_up)
            .map(answer)
            .boxed(),
    ])
}

async fn show(site: Arc<Site>, who: Result<Caseworker, Problem>, headers: HeaderMap) -> Answer {
    let who = who?;
    if !who.has_password() {
        return Ok(see_other("/account"));
    }
    html(&page(&site, &who, &headers, None).await?)
}

async fn set_up(
    site: Arc<Site>,
    who: Result<Caseworker, Problem>,
    headers: HeaderMap,
    form: Result<Words, Problem>,
) -> Answer {
    let (who, form) = (who?, form?);
    if !who.has_password() {
        return Ok(see_other("/account"));
    }
    let (password, code) = (form.get("password").unwrap_or_default(), form.get("code").unwrap_or_default());
    let missing = match (password.is_empty(), code.is_empty()) {
        (true, _) => Some(Fault::new("password", "Enter your password")),
        (_, true) => Some(Fault::new("code", "Enter the code from your app")),
        _ => None,
    };
    if missing.is_some() {
        return html(&page(&site, &who, &headers, missing).await?);
    }
    match site.visitors.set_up(&who, password, code, &headers, clock::now()).await {
        Ok(SetUp { session, recovery_codes }) => {
            let chrome = site.chrome(Some(&who), Here::Nowhere);
            let page = html(&RecoveryCodesPage { chrome, codes: recovery_codes, next: "/account".into(), kept: None })?;
            Ok(with_session(page, &session))
        }
        Err(refused) => {
            let field = if matches!(refused, NotTaken::Password) { "password" } else { "code" };
            let (words, status) = words(refused)?;
            with_status(html(&page(&site, &who, &headers, Some(Fault::new(field, words))).await?), status)
        }
    }
}

async fn page(site: &Site, who: &Caseworker, headers: &HeaderMap, error: Option<Fault>) -> Result<SetUpPage, Problem> {
    let offer = site.visitors.offer(who, headers, site.owner.name()).ok_or(Problem::BadRequest)?;
    Ok(SetUpPage {
        chrome: site.chrome(Some(who), Here::Nowhere),
        action: "/account/second-factor",
        email: who.email().to_owned(),
        qr: Qr::of(&offer.uri),
        offer,
        next: "/account".into(),
        kept: None,
        passkey: None,
        replaces: site.visitors.second_factor(who).await?.is_some(),
        asks_password: true,
        faults: error.into(),
    })
}
