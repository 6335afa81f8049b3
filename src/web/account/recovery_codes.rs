//! `/account/recovery-codes`: new ones in the place of those before.

use std::sync::Arc;

use askama::Template;
use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::access::Caseworker;
use crate::clock;
use crate::web::chrome::{Chrome, Here};
use crate::web::problem::{Answer, Problem, answer, html, see_other, with_status};
use crate::web::request::{self, Words};
use crate::web::second_step::{RecoveryCodesPage, words};
use crate::web::{Site, get, one_of};

#[derive(Template)]
#[template(path = "account_recovery_codes.html")]
struct NewCodesPage {
    chrome: Chrome,
    email: String,
    left: usize,
    error: Option<String>,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let asked = || request::site(site).and(request::caseworker(site));
    one_of([
        warp::path!("account" / "recovery-codes").and(get()).and(asked()).then(show).map(answer).boxed(),
        warp::path!("account" / "recovery-codes")
            .and(warp::post())
            .and(asked())
            .and(warp::header::headers_cloned())
            .and(request::form())
            .then(renew)
            .map(answer)
            .boxed(),
    ])
}

async fn show(site: Arc<Site>, who: Result<Caseworker, Problem>) -> Answer {
    let who = who?;
    match page(&site, &who, None).await? {
        Some(page) => html(&page),
        None => Ok(see_other("/account")),
    }
}

async fn renew(
    site: Arc<Site>,
    who: Result<Caseworker, Problem>,
    headers: HeaderMap,
    form: Result<Words, Problem>,
) -> Answer {
    let (who, form) = (who?, form?);
    let Some(page) = page(&site, &who, None).await? else { return Ok(see_other("/account")) };
    let Some(password) = form.get("password") else {
        return html(&NewCodesPage { error: Some("Enter your password".into()), ..page });
    };
    match site.visitors.renew_recovery_codes(&who, password, &headers, clock::now()).await {
        Ok(codes) => html(&RecoveryCodesPage { chrome: page.chrome, codes, next: "/account".into(), kept: None }),
        Err(refused) => {
            let (words, status) = words(refused)?;
            with_status(html(&NewCodesPage { error: Some(words), ..page }), status)
        }
    }
}

/// `None` where there is no second factor that they could stand in for, or none is asked for.
async fn page(site: &Site, who: &Caseworker, error: Option<String>) -> Result<Option<NewCodesPage>, Problem> {
    Ok(site.visitors.recovery_codes(who).await?.map(|left| NewCodesPage {
        chrome: site.chrome(Some(who), Here::Nowhere),
        email: who.email().to_owned(),
        left,
        error,
    }))
}
