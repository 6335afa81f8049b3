//! `/account`: what a person can see and change about how they sign in. Each matter has a section, and a page for its change.

mod password;
mod recovery_codes;
mod second_factor;

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::problem::{Answer, Problem, answer, html};
use super::results::{Moment, at};
use super::{Site, get, one_of, request};
use crate::access::Caseworker;

/// So few recovery codes are soon none.
const FEW: usize = 3;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    chrome: Chrome,
    email: String,
    role: &'static str,
    second_factor: Option<SecondFactorSection>,
}

struct SecondFactorSection {
    set_up: Moment,
    codes_left: usize,
    few: bool,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let account = warp::path!("account")
        .and(get())
        .and(request::site(site))
        .and(request::caseworker(site))
        .then(show)
        .map(answer)
        .boxed();
    one_of([account, second_factor::routes(site), recovery_codes::routes(site), password::routes(site)])
}

async fn show(site: Arc<Site>, who: Result<Caseworker, Problem>) -> Answer {
    let who = who?;
    let second_factor = site.visitors.second_factor(&who).await?;
    html(&AccountPage {
        chrome: Chrome::new(Some(&who), Here::Nowhere),
        email: who.email().to_owned(),
        role: who.role().as_str(),
        second_factor: second_factor.map(|factor| SecondFactorSection {
            set_up: at(factor.made_at),
            codes_left: factor.recovery_codes,
            few: factor.recovery_codes <= FEW,
        }),
    })
}
