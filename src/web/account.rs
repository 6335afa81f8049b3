//! `/account`: what a person can see and change about how they sign in. Each matter has a section, and a page for its change.

mod emails;
mod passkeys;
mod password;
mod recovery_codes;
mod second_factor;

use std::sync::Arc;

use askama::Template;
use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::problem::{Answer, Problem, answer, html};
use super::results::{Moment, at};
use super::single_sign_on::Offered;
use super::{Site, get, one_of, request};
use crate::access::Caseworker;
use crate::clock;

/// So few recovery codes are soon none.
const FEW: usize = 3;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    chrome: Chrome,
    email: String,
    role: &'static str,
    /// When an authenticator app was set up.
    app: Option<Moment>,
    codes: Option<RecoveryCodes>,
    /// How somebody signs in who has no password.
    without_password: Option<String>,
    passkeys: Vec<PasskeyRow>,
    /// Whether a passkey can be added at this address.
    passkeys_work: bool,
    /// Which emails they get, where emails are set up.
    emails: Option<String>,
}

struct PasskeyRow {
    id: i64,
    name: String,
    added: Moment,
    used: Option<Moment>,
}

/// What stands in for an app or a passkey.
struct RecoveryCodes {
    left: usize,
    few: bool,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let account = warp::path!("account")
        .and(get())
        .and(request::site(site))
        .and(warp::header::headers_cloned())
        .and(request::caseworker(site))
        .then(show)
        .map(answer)
        .boxed();
    one_of([
        account,
        second_factor::routes(site),
        recovery_codes::routes(site),
        passkeys::routes(site),
        password::routes(site),
        emails::routes(site),
    ])
}

async fn show(site: Arc<Site>, headers: HeaderMap, who: Result<Caseworker, Problem>) -> Answer {
    let who = who?;
    let second_factor = site.visitors.second_factor(&who).await?;
    let told = || Offered::by(&site).map_or_else(|| "You have no password.".into(), |offered| offered.told());
    let passkeys = site.visitors.passkeys(&who).await?.into_iter().map(|passkey| PasskeyRow {
        id: passkey.id,
        name: passkey.name,
        added: at(passkey.made_at),
        used: passkey.used_at.map(at),
    });
    let emails = if site.store.outgoing_emails().is_set_up {
        Some(site.store.email_choice(who.by().person.unwrap_or_default(), clock::now()).await?)
    } else {
        None
    };
    html(&AccountPage {
        emails: emails.as_ref().map(emails::summary),
        without_password: (!who.has_password()).then(told),
        chrome: site.chrome(Some(&who), Here::Nowhere),
        email: who.email().to_owned(),
        role: who.role().as_str(),
        passkeys: passkeys.collect(),
        passkeys_work: site.passkeys_at(&headers).is_some(),
        app: second_factor.map(|factor| at(factor.made_at)),
        codes: site.visitors.recovery_codes(&who).await?.map(|left| RecoveryCodes { left, few: left <= FEW }),
    })
}
