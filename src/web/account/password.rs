//! `/account/password`: changing it, for who knows the present one.

use std::sync::Arc;

use askama::Template;
use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::access::{Caseworker, NotTaken};
use crate::clock;
use crate::web::chrome::{Chrome, Here};
use crate::web::confirm::{Fault, Faults};
use crate::web::problem::{Answer, Problem, answer, html, see_other, with_status};
use crate::web::request::{self, Words};
use crate::web::second_step::words;
use crate::web::sign_in::signed_in;
use crate::web::{Site, get, one_of};

#[derive(Template)]
#[template(path = "account_password.html")]
struct ChangePasswordPage {
    chrome: Chrome,
    email: String,
    faults: Faults,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("account" / "password")
            .and(get())
            .and(request::site(site))
            .and(request::caseworker(site))
            .then(show)
            .map(answer)
            .boxed(),
        warp::path!("account" / "password")
            .and(warp::post())
            .and(request::site(site))
            .and(request::caseworker(site))
            .and(warp::header::headers_cloned())
            .and(request::form())
            .then(change)
            .map(answer)
            .boxed(),
    ])
}

async fn show(site: Arc<Site>, who: Result<Caseworker, Problem>) -> Answer {
    let who = who?;
    if !who.has_password() {
        return Ok(see_other("/account"));
    }
    html(&page(&site, &who, None))
}

async fn change(
    site: Arc<Site>,
    who: Result<Caseworker, Problem>,
    headers: HeaderMap,
    form: Result<Words, Problem>,
) -> Answer {
    let (who, form) = (who?, form?);
    if !who.has_password() {
        return Ok(see_other("/account"));
    }
    let (present, new) = (form.get("password").unwrap_or_default(), form.get("new-password").unwrap_or_default());
    if present.is_empty() {
        return html(&page(&site, &who, Some(Fault::new("password", "Enter your present password"))));
    }
    match site.visitors.change_password(&who, present, new, &headers, clock::now()).await {
        Ok(session) => Ok(signed_in(&session, "/account")),
        Err(refused) => {
            let field = if matches!(refused, NotTaken::NewPassword(_)) { "new-password" } else { "password" };
            let (words, status) = words(refused)?;
            with_status(html(&page(&site, &who, Some(Fault::new(field, words)))), status)
        }
    }
}

fn page(site: &Site, who: &Caseworker, error: Option<Fault>) -> ChangePasswordPage {
    let chrome = site.chrome(Some(who), Here::Nowhere);
    ChangePasswordPage { chrome, email: who.email().to_owned(), faults: error.into() }
}
