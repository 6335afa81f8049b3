//! `/tokens`: the callback tokens of each service: made, rotated, revoked. For admins. A token is shown once, in the answer to the
//! form that made it.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::back::Back;
use super::chrome::{Chrome, Here};
use super::confirm::{ConfirmPage, Fault, Faults};
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::results::{Moment, at};
use super::{Site, get, one_of, plain_text, uk_time};
use crate::access::{Caseworker, May, REVOKED_AFTER, Secret, token_sha256};
use crate::clock;
use crate::store::{AddTokenError, Service, TokenRow};

const LIST: &str = "/tokens";
/// A longer name stands on no page.
const LONGEST_NAME: usize = 200;

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    chrome: Chrome,
    /// What was done just now.
    done: Option<String>,
    services: Vec<OfService>,
}

/// The tokens of one service.
struct OfService {
    name: String,
    rows: Vec<Row>,
    /// Whether one is being rotated.
    several_are_valid: bool,
}

struct Row {
    id: i64,
    made: Moment,
    used: Option<Moment>,
    /// As a tag.
    state: (&'static str, &'static str),
    /// From when on it is refused, or was.
    revoked: Option<Moment>,
    is_valid: bool,
}

#[derive(Template)]
#[template(path = "new_token.html")]
struct NewPage {
    chrome: Chrome,
    back: Back,
    services: Vec<(i64, String, bool)>,
    name: String,
    newest: i64,
    faults: Faults,
}

#[derive(Template)]
#[template(path = "made_token.html")]
struct MadePage {
    chrome: Chrome,
    back: Back,
    title: String,
    service: String,
    id: i64,
    token: String,
    /// What Notify calls each kind, and the address for it.
    urls: Vec<(&'static str, String)>,
    /// Whether the addresses are whole.
    is_reached_at_known: bool,
    /// The token whose place it takes.
    old: Option<i64>,
}

#[derive(Template)]
#[template(path = "revoke_token.html")]
struct RevokePage {
    chrome: Chrome,
    back: Back,
    title: String,
    row: Row,
    service: String,
    /// Notify has used it in the last half an hour.
    is_in_use: bool,
    /// No other of the service stays valid.
    is_the_only_one: bool,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let asked = || request::site(site).and(request::allowed(site, May::Tokens));
    let form = || asked().and(request::form());
    let page = |part: &'static str| warp::path!("tokens" / i64 / ..).and(warp::path(part)).and(warp::path::end());
    one_of([
        warp::path!("tokens").and(get()).and(asked()).and(request::query()).then(list).map(answer).boxed(),
        warp::path!("tokens" / "new").and(get()).and(asked()).then(ask_to_make).map(answer).boxed(),
        warp::path!("tokens" / "new").and(warp::post()).and(form()).then(make).map(answer).boxed(),
        page("rotate").and(get()).and(asked()).then(ask_to_rotate).map(answer).boxed(),
        page("rotate").and(warp::post()).and(form()).then(rotate).map(answer).boxed(),
        page("revoke").and(get()).and(asked()).then(ask_to_revoke).map(answer).boxed(),
        page("revoke").and(warp::post()).and(form()).then(revoke).map(answer).boxed(),
        page("keep").and(warp::post()).and(form()).then(keep).map(answer).boxed(),
    ])
}

async fn list(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let caseworker = caseworker?;
    let (tokens, now) = (site.store.tokens().await?, clock::now());
    let of = |name| query.number(name).and_then(|id| tokens.iter().find(|token| token.id == id));
    // Only what is so is said to be done, whatever stands in the address.
    let done = match (of("revoked"), of("kept")) {
        (Some(token), _) => token.revoked_at.map(|at| revoked_words(token.id, at, now)),
        (None, Some(token)) if token.revoked_at.is_none() => Some(format!("Token {} stays valid", token.id)),
        _ => None,
    };
    let mut services: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for token in &tokens {
        services.entry(token.service_name.clone()).or_default().push(row(token, now));
    }
    let services = services.into_iter().map(|(name, rows)| {
        let several_are_valid = rows.iter().filter(|row| row.is_valid).count() > 1;
        OfService { name, rows, several_are_valid }
    });
    let chrome = site.chrome(Some(&caseworker), Here::Tokens);
    html(&TokensPage { chrome, done, services: services.collect() })
}

fn revoked_words(id: i64, at: i64, now: i64) -> String {
    if at <= now {
        return format!("Token {id} is refused");
    }
    format!("Token {id} is taken until {}. You can call that off until then", uk_time::words(at))
}

async fn ask_to_make(site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    let services = site.store.services().await?;
    new_page(&site, &caseworker, &services, &Words::default(), newest(&site.store.tokens().await?), None)
}

async fn make(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, form: Result<Words, Problem>) -> Answer {
    let (caseworker, form) = (caseworker?, form?);
    let services = site.store.services().await?;
    let newest = newest(&site.store.tokens().await?);
    let refused = |fault| new_page(&site, &caseworker, &services, &form, newest, Some(fault));
    // Loading the page with the token again would make another, which nobody uses.
    if form.number("newest") != Some(newest) {
        return refused(Fault::new("service", made_meanwhile(newest)));
    }
    let name = match service(&form, &services) {
        Ok(name) => name,
        Err(fault) => return refused(fault),
    };
    let secret = Secret::random().map_err(|_| Problem::Failed)?;
    let sha256 = token_sha256(secret.text().as_bytes());
    let added = site.store.add_token(name.clone(), None, sha256, caseworker.by(), clock::now()).await;
    let id = added.map_err(not_added)?;
    made(&site, &caseworker, name, id, &secret, None)
}

/// The name of the service that was chosen or named.
fn service(form: &Words, services: &[Service]) -> Result<String, Fault> {
    let name = form.get("name").unwrap_or_default().trim();
    match form.number("service").map(|id| services.iter().find(|service| service.id.0 == id)) {
        Some(Some(_)) if !name.is_empty() => {
            Err(Fault::new("service", "Choose a service or enter the name of a new one, not both"))
        }
        Some(Some(service)) => Ok(service.name.clone()),
        Some(None) => Err(Fault::new("service", "Choose a service from the list")),
        None if name.is_empty() => Err(Fault::new("name", "Enter the name of the service, as it is in Notify")),
        None if name.contains(char::is_control) || name.chars().count() > LONGEST_NAME => {
            Err(Fault::new("name", "The name must be one line of 200 characters or fewer"))
        }
        None if services.iter().any(|service| service.name.to_lowercase() == name.to_lowercase()) => {
            Err(Fault::new("service", "There is a service of this name. Choose it from the list"))
        }
        None => Ok(name.to_owned()),
    }
}

fn new_page(
    site: &Site,
    caseworker: &Caseworker,
    services: &[Service],
    form: &Words,
    newest: i64,
    fault: Option<Fault>,
) -> Answer {
    let chosen = form.number("service");
    html(&NewPage {
        chrome: site.chrome(Some(caseworker), Here::Tokens),
        back: to_tokens(),
        services: services
            .iter()
            .map(|service| (service.id.0, plain_text::line(&service.name), chosen == Some(service.id.0)))
            .collect(),
        name: form.get("name").unwrap_or_default().to_owned(),
        newest,
        faults: fault.into_iter().collect::<Vec<_>>().into(),
    })
}

async fn ask_to_rotate(id: i64, site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    let tokens = site.store.tokens().await?;
    rotate_page(&site, &caseworker, valid(&tokens, id)?, newest(&tokens), None)
}

async fn rotate(
    id: i64,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    form: Result<Words, Problem>,
) -> Answer {
    let (caseworker, form) = (caseworker?, form?);
    let tokens = site.store.tokens().await?;
    let (old, newest) = (valid(&tokens, id)?, newest(&tokens));
    if form.number("newest") != Some(newest) {
        return rotate_page(&site, &caseworker, old, newest, Some(made_meanwhile(newest)));
    }
    let secret = Secret::random().map_err(|_| Problem::Failed)?;
    let sha256 = token_sha256(secret.text().as_bytes());
    let added = site.store.rotate_token(id, sha256, caseworker.by(), clock::now()).await;
    let new = added.map_err(not_added)?.ok_or(Problem::NotFound)?;
    made(&site, &caseworker, old.service_name.clone(), new, &secret, Some(id))
}

fn rotate_page(site: &Site, caseworker: &Caseworker, old: &TokenRow, newest: i64, error: Option<String>) -> Answer {
    html(&ConfirmPage {
        chrome: site.chrome(Some(caseworker), Here::Tokens),
        back: to_tokens(),
        heading: format!("Rotate token {} of {}", old.id, plain_text::line(&old.service_name)),
        paragraphs: vec![
            "You get a new token to paste in Notify. The old one stays valid beside it, so that no callback is lost."
                .into(),
            format!("When Notify no longer uses token {}, revoke it.", old.id),
        ],
        error,
        password_of: None,
        action: format!("{LIST}/{}/rotate", old.id),
        button: "Make new token",
        cuts_off: false,
        hidden: Some(("newest", newest)),
    })
}

/// The page with the token, this once.
fn made(site: &Site, caseworker: &Caseworker, service: String, id: i64, secret: &Secret, old: Option<i64>) -> Answer {
    let reached_at = site.public_address();
    let url = |kind: &str| format!("{}/callbacks/{kind}", reached_at.unwrap_or_default());
    html(&MadePage {
        chrome: site.chrome(Some(caseworker), Here::Tokens),
        back: to_tokens(),
        title: format!("Token {id} of {}", plain_text::line(&service)),
        service,
        id,
        token: secret.text(),
        urls: vec![
            ("Delivery receipts", url("delivery-receipts")),
            ("Received text messages", url("received-text-messages")),
            ("Returned letters", url("returned-letters")),
        ],
        is_reached_at_known: reached_at.is_some(),
        old,
    })
}

async fn ask_to_revoke(id: i64, site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    let (tokens, now) = (site.store.tokens().await?, clock::now());
    let token = valid(&tokens, id)?;
    let mut others = tokens.iter().filter(|other| other.service == token.service && other.id != id);
    html(&RevokePage {
        chrome: site.chrome(Some(&caseworker), Here::Tokens),
        back: to_tokens(),
        title: format!("Revoke token {id} of {}", plain_text::line(&token.service_name)),
        row: row(token, now),
        service: token.service_name.clone(),
        is_in_use: token.last_used_at.is_some_and(|used| now - used < REVOKED_AFTER),
        is_the_only_one: !others.any(|other| other.revoked_at.is_none()),
    })
}

async fn revoke(
    id: i64,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    form: Result<Words, Problem>,
) -> Answer {
    let (caseworker, form) = (caseworker?, form?);
    let now = clock::now();
    // What was not chosen loses nothing.
    let from = if form.get("when") == Some("now") { now } else { now + REVOKED_AFTER };
    site.store.revoke_token(id, from, caseworker.by(), now).await?.ok_or(Problem::NotFound)?;
    Ok(see_other(&format!("{LIST}?revoked={id}")))
}

async fn keep(
    id: i64,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    form: Result<Words, Problem>,
) -> Answer {
    let caseworker = request::led_on(caseworker, LIST)?;
    form?;
    if site.store.tokens().await?.iter().all(|token| token.id != id) {
        return Err(Problem::NotFound);
    }
    // One whose time has come meanwhile is refused, and the list says so.
    let kept = site.store.keep_token(id, caseworker.by(), clock::now()).await?;
    Ok(see_other(&format!("{LIST}?{}={id}", if kept { "kept" } else { "revoked" })))
}

/// A token that is still taken: another has no page.
fn valid(tokens: &[TokenRow], id: i64) -> Result<&TokenRow, Problem> {
    tokens.iter().find(|token| token.id == id && token.is_valid(clock::now())).ok_or(Problem::NotFound)
}

/// The number of the token that was made last.
fn newest(tokens: &[TokenRow]) -> i64 {
    tokens.iter().map(|token| token.id).max().unwrap_or(0)
}

fn made_meanwhile(newest: i64) -> String {
    format!(
        "Token {newest} was made since this page was opened, and was shown once. If nobody has it, revoke it. To make another, send \
         this form again"
    )
}

fn not_added(error: AddTokenError) -> Problem {
    match error {
        AddTokenError::Store(error) => error.into(),
        AddTokenError::Known(_) => Problem::Failed,
    }
}

fn to_tokens() -> Back {
    Back { href: LIST.into(), words: "Back to tokens" }
}

fn row(token: &TokenRow, now: i64) -> Row {
    let is_valid = token.is_valid(now);
    Row {
        id: token.id,
        made: at(token.made_at),
        used: token.last_used_at.map(at),
        state: match (is_valid, token.revoked_at) {
            (true, None) => ("Valid", "green"),
            (true, Some(_)) => ("Valid until", "yellow"),
            (false, _) => ("Revoked", "grey"),
        },
        revoked: token.revoked_at.map(at),
        is_valid,
    }
}
