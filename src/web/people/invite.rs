//! `/people/invite`: a new account, and the link on which its owner sets a password.

use std::sync::Arc;

use askama::Template;
use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::super::back::Back;
use super::super::chrome::{Chrome, Here};
use super::super::confirm::{Fault, Faults};
use super::super::problem::{Answer, Problem, answer, html};
use super::super::request::{self, Words};
use super::super::{Site, get, one_of};
use super::wanted::{Choice, Wanted};
use super::{link_page, sentence, to_people};
use crate::access::{Caseworker, May};
use crate::clock;
use crate::edge::Peer;
use crate::store::{AddPersonError, Service};

/// No longer address can be written to.
const LONGEST: usize = 254;

#[derive(Template)]
#[template(path = "invite.html")]
struct InvitePage {
    chrome: Chrome,
    back: Back,
    email: String,
    roles: Vec<Choice>,
    services: Vec<Choice>,
    faults: Faults,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let asked = || request::site(site).and(request::allowed(site, May::People));
    one_of([
        warp::path!("people" / "invite").and(get()).and(asked()).then(show).map(answer).boxed(),
        warp::path!("people" / "invite")
            .and(warp::post())
            .and(asked())
            .and(request::form())
            .and(warp::header::headers_cloned())
            .and(warp::ext::optional::<Peer>())
            .then(invite)
            .map(answer)
            .boxed(),
    ])
}

async fn show(site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    page(&site, &caseworker, "", &Wanted::default(), &site.store.services().await?, Vec::new())
}

async fn invite(
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    form: Result<Words, Problem>,
    headers: HeaderMap,
    peer: Option<Peer>,
) -> Answer {
    let (caseworker, form) = (caseworker?, form?);
    let services = site.store.services().await?;
    let (typed, wanted) = (form.get("email").unwrap_or_default().trim(), Wanted::of(&form));
    let asked = match (address(typed), wanted.checked(&services)) {
        (Ok(email), Ok((role, sees))) => Ok((email, role, sees)),
        (email, chosen) => Err(email.err().into_iter().chain(chosen.err().into_iter().flatten()).collect()),
    };
    let (email, role, sees) = match asked {
        Ok(asked) => asked,
        Err(faults) => return page(&site, &caseworker, typed, &wanted, &services, faults),
    };
    let id = match site.store.add_person(email, role, sees, None, caseworker.by(), clock::now()).await {
        Ok(id) => id,
        Err(AddPersonError::Store(error)) => return Err(error.into()),
        Err(AddPersonError::Known) => {
            let words = "There is already an account for this address. Open it from the list of people";
            return page(&site, &caseworker, typed, &wanted, &services, vec![Fault::new("email", words)]);
        }
        Err(refused @ AddPersonError::LimitedAdmin) => {
            let fault = Fault::new("services", sentence(&refused.to_string()));
            return page(&site, &caseworker, typed, &wanted, &services, vec![fault]);
        }
    };
    let person = site.store.person_of(id).await?.ok_or(Problem::NotFound)?;
    link_page(&site, &caseworker, &person, true, &site.reached_at(&headers, peer)).await
}

/// What was typed, where it may be an email address.
pub(in crate::web) fn address(typed: &str) -> Result<String, Fault> {
    if typed.is_empty() {
        return Err(Fault::new("email", "Enter an email address"));
    }
    let (name, host) = typed.rsplit_once('@').unwrap_or_default();
    let odd = |character: char| character.is_whitespace() || character.is_control();
    if name.is_empty() || host.is_empty() || typed.contains(odd) || typed.chars().count() > LONGEST {
        let words = "Enter an email address in the correct format, like name@example.gov.uk";
        return Err(Fault::new("email", words));
    }
    Ok(typed.to_owned())
}

fn page(
    site: &Site,
    caseworker: &Caseworker,
    email: &str,
    wanted: &Wanted,
    services: &[Service],
    faults: Vec<Fault>,
) -> Answer {
    html(&InvitePage {
        chrome: site.chrome(Some(caseworker), Here::People),
        back: to_people(),
        email: email.to_owned(),
        roles: wanted.roles(),
        services: wanted.services(services),
        faults: faults.into(),
    })
}
