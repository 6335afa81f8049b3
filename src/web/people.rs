//! `/people`: who may sign in, what each may do and see, and how they are let in and kept out. For admins.

mod invite;
mod wanted;

use std::sync::Arc;

use askama::Template;
use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::back::Back;
use super::chrome::{Chrome, Here};
use super::confirm::{ConfirmPage, Fault, Faults};
use super::problem::{Answer, Problem, answer, html, see_other, with_status};
use super::request::{self, Words};
use super::results::{Moment, at};
use super::second_step::words;
use super::{Site, get, one_of, plain_text, set_password};
use crate::access::{Caseworker, May, Secret};
use crate::clock;
use crate::edge::Peer;
use crate::store::{ChangePersonError, Person, Service, Services};
pub(super) use invite::address;
use wanted::{Choice, Wanted};

const LIST: &str = "/people";

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    chrome: Chrome,
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage {
    chrome: Chrome,
    back: Back,
    title: String,
    row: Row,
    /// What was done just now.
    done: Option<String>,
    /// What is given after the password.
    second_step: Option<SecondStep>,
    is_oneself: bool,
}

#[derive(Template)]
#[template(path = "change_person.html")]
struct ChangePage {
    chrome: Chrome,
    back: Back,
    title: String,
    row: Row,
    roles: Vec<Choice>,
    services: Vec<Choice>,
    faults: Faults,
}

#[derive(Template)]
#[template(path = "one_time_link.html")]
struct LinkPage {
    chrome: Chrome,
    back: Back,
    title: String,
    email: String,
    /// Whether the account was made just now.
    is_new: bool,
    link: String,
    until: Moment,
}

/// A person as the pages say it.
struct Row {
    href: String,
    email: String,
    role: &'static str,
    sees: String,
    /// Whether they can sign in, as a tag.
    state: (&'static str, &'static str),
    disabled: Option<Moment>,
    signed_in: Option<Moment>,
}

/// What a person gives after the password, in the words of the pages that take it away.
struct SecondStep {
    what: &'static str,
    remove: &'static str,
}

impl SecondStep {
    async fn of(site: &Site, person: i64) -> Result<Option<SecondStep>, Problem> {
        let has_app = site.store.second_factor(person).await?.is_some();
        let has_passkeys = !site.store.passkeys(person).await?.is_empty();
        let step = |what, remove| Some(SecondStep { what, remove });
        Ok(match (has_app, has_passkeys) {
            (true, true) => step("authenticator app and passkeys", "Remove app and passkeys"),
            (true, false) => step("authenticator app", "Remove app"),
            (false, true) => step("passkeys", "Remove passkeys"),
            (false, false) => None,
        })
    }
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let asked = || request::site(site).and(request::allowed(site, May::People));
    let form = || asked().and(request::form());
    let page = |part: &'static str| warp::path!("people" / i64 / ..).and(warp::path(part)).and(warp::path::end());
    let connection = || warp::header::headers_cloned().and(warp::ext::optional::<Peer>());
    one_of([
        invite::routes(site),
        warp::path!("people").and(get()).and(asked()).then(list).map(answer).boxed(),
        warp::path!("people" / i64).and(get()).and(asked()).and(request::query()).then(show).map(answer).boxed(),
        page("change").and(get()).and(asked()).then(ask_to_change).map(answer).boxed(),
        page("change").and(warp::post()).and(form()).then(change).map(answer).boxed(),
        page("disable").and(get()).and(asked()).then(ask_to_disable).map(answer).boxed(),
        page("disable").and(warp::post()).and(form()).then(disable).map(answer).boxed(),
        page("enable").and(warp::post()).and(form()).then(enable).map(answer).boxed(),
        page("reset").and(get()).and(asked()).then(ask_to_reset).map(answer).boxed(),
        page("reset").and(warp::post()).and(form()).and(connection()).then(reset).map(answer).boxed(),
        page("remove-app").and(get()).and(asked()).then(ask_to_remove_app).map(answer).boxed(),
        page("remove-app").and(warp::post()).and(form()).then(remove_app).map(answer).boxed(),
        page("sign-out").and(get()).and(asked()).then(ask_to_sign_out).map(answer).boxed(),
        page("sign-out").and(warp::post()).and(form()).then(sign_out).map(answer).boxed(),
    ])
}

/// The person and the services that there are.
async fn known(site: &Site, id: i64) -> Result<(Person, Vec<Service>), Problem> {
    let person = site.store.person_of(id).await?.ok_or(Problem::NotFound)?;
    Ok((person, site.store.services().await?))
}

async fn list(site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    let services = site.store.services().await?;
    let people = site.store.people().await?;
    html(&PeoplePage {
        chrome: site.chrome(Some(&caseworker), Here::People),
        rows: people.iter().map(|person| row(person, &services)).collect(),
    })
}

async fn show(id: i64, site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let caseworker = caseworker?;
    let (person, services) = known(&site, id).await?;
    let is_disabled = person.disabled_at.is_some();
    let second_step = SecondStep::of(&site, id).await?;
    // Only what is so is said to be done, whatever stands in the address.
    let done = query.get("done").and_then(|done| match done {
        "changed" => Some("Changed. It holds from their next page on".to_owned()),
        "disabled" if is_disabled => Some(format!("{} can no longer sign in", person.email)),
        "enabled" if !is_disabled => Some(format!("{} can sign in again", person.email)),
        "app-removed" if second_step.is_none() => {
            Some(format!("{} has no authenticator app and no passkeys any more", person.email))
        }
        "signed-out" => Some(format!("{} was signed out everywhere", person.email)),
        _ => None,
    });
    html(&PersonPage {
        chrome: site.chrome(Some(&caseworker), Here::People),
        back: to_people(),
        title: plain_text::line(&person.email),
        row: row(&person, &services),
        done,
        second_step,
        is_oneself: caseworker.by().person == Some(id),
    })
}

async fn ask_to_change(id: i64, site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    let (person, services) = known(&site, id).await?;
    change_page(&site, &caseworker, &person, &services, &Wanted::as_now(&person, &services), Vec::new())
}

async fn change(
    id: i64,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    form: Result<Words, Problem>,
) -> Answer {
    let (caseworker, form) = (caseworker?, form?);
    let (person, services) = known(&site, id).await?;
    let wanted = Wanted::of(&form);
    let faults = match wanted.checked(&services) {
        Err(faults) => faults,
        Ok((role, sees)) => {
            match refused(site.store.change_person(id, role, sees, caseworker.by(), clock::now()).await)? {
                None => return Ok(done(id, "changed")),
                Some(words) => vec![Fault::new("role", words)],
            }
        }
    };
    change_page(&site, &caseworker, &person, &services, &wanted, faults)
}

fn change_page(
    site: &Site,
    caseworker: &Caseworker,
    person: &Person,
    services: &[Service],
    wanted: &Wanted,
    faults: Vec<Fault>,
) -> Answer {
    html(&ChangePage {
        chrome: site.chrome(Some(caseworker), Here::People),
        back: to_person(person),
        title: format!("Change what {} can do", plain_text::line(&person.email)),
        row: row(person, services),
        roles: wanted.roles(),
        services: wanted.services(services),
        faults: faults.into(),
    })
}

async fn ask_to_disable(id: i64, site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    disable_page(&site, &caseworker, &known(&site, id).await?.0, None)
}

async fn disable(
    id: i64,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    form: Result<Words, Problem>,
) -> Answer {
    let caseworker = caseworker?;
    form?;
    match refused(site.store.set_disabled(id, true, caseworker.by(), clock::now()).await)? {
        None => Ok(done(id, "disabled")),
        error => disable_page(&site, &caseworker, &known(&site, id).await?.0, error),
    }
}

fn disable_page(site: &Site, caseworker: &Caseworker, person: &Person, error: Option<String>) -> Answer {
    html(&ConfirmPage {
        paragraphs: vec![
            "They are signed out everywhere now, and their links to set a password stop working.".into(),
            "What they did stays in the record. You can enable the account again.".into(),
        ],
        error,
        cuts_off: true,
        ..confirm(site, caseworker, person, "Disable the account of", "disable", "Disable account")
    })
}

async fn enable(
    id: i64,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    form: Result<Words, Problem>,
) -> Answer {
    let caseworker = request::led_on(caseworker, &format!("{LIST}/{id}"))?;
    form?;
    match refused(site.store.set_disabled(id, false, caseworker.by(), clock::now()).await)? {
        None => Ok(done(id, "enabled")),
        Some(_) => Err(Problem::Forbidden),
    }
}

async fn ask_to_reset(id: i64, site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    let person = site.store.person_of(id).await?.ok_or(Problem::NotFound)?;
    html(&reset_page(&site, &caseworker, &person, None))
}

fn reset_page(site: &Site, caseworker: &Caseworker, person: &Person, error: Option<String>) -> ConfirmPage {
    ConfirmPage {
        paragraphs: vec![
            "You get a link to send to them. It works once, for one hour, and older links stop working now.".into(),
            "Their present password works until they set a new one. Then they are signed out everywhere else.".into(),
        ],
        error,
        password_of: password_of(caseworker, person),
        ..confirm(site, caseworker, person, "Make a link to set the password of", "reset", "Make link")
    }
}

async fn reset(
    id: i64,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    form: Result<Words, Problem>,
    headers: HeaderMap,
    peer: Option<Peer>,
) -> Answer {
    let (caseworker, form) = (caseworker?, form?);
    let person = site.store.person_of(id).await?.ok_or(Problem::NotFound)?;
    if person.disabled_at.is_some() {
        return html(&ConfirmPage {
            error: Some("This account is disabled, so no link to it works. Enable it first".into()),
            ..confirm(&site, &caseworker, &person, "Make a link to set the password of", "reset", "Make link")
        });
    }
    match site.visitors.confirm_for(&caseworker, id, form.get("password"), clock::now()).await {
        Ok(()) => link_page(&site, &caseworker, &person, false, &site.reached_at(&headers, peer)).await,
        Err(refused) => {
            let (words, status) = words(refused)?;
            with_status(html(&reset_page(&site, &caseworker, &person, Some(words))), status)
        }
    }
}

/// Makes a one-time link and shows it, this once.
async fn link_page(site: &Site, caseworker: &Caseworker, person: &Person, is_new: bool, reached_at: &str) -> Answer {
    let secret = Secret::random().map_err(|_| Problem::Failed)?;
    let now = clock::now();
    let until = now + set_password::LINK_WORKS;
    site.store.add_one_time_link(person.id, secret.bytes(), until, caseworker.by(), now).await?;
    html(&LinkPage {
        chrome: site.chrome(Some(caseworker), Here::People),
        back: to_person(person),
        title: format!("Link for {}", plain_text::line(&person.email)),
        email: person.email.clone(),
        is_new,
        link: format!("{reached_at}{}", set_password::link_path(&secret)),
        until: at(until),
    })
}

async fn ask_to_sign_out(id: i64, site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    let person = site.store.person_of(id).await?.ok_or(Problem::NotFound)?;
    let mut paragraphs = vec![
        "They are signed out everywhere now, and can sign in again with their password.".to_owned(),
        "If somebody else may know the password, disable the account, or make a link to set a new one.".to_owned(),
    ];
    if caseworker.by().person == Some(id) {
        paragraphs.push("This is your own account: you need to sign in again as well.".into());
    }
    html(&ConfirmPage {
        paragraphs,
        cuts_off: true,
        ..confirm(&site, &caseworker, &person, "End the sessions of", "sign-out", "End sessions")
    })
}

async fn sign_out(
    id: i64,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    form: Result<Words, Problem>,
) -> Answer {
    let caseworker = caseworker?;
    form?;
    site.store.person_of(id).await?.ok_or(Problem::NotFound)?;
    site.store.end_sessions(id, caseworker.by(), clock::now()).await?;
    Ok(done(id, "signed-out"))
}

async fn ask_to_remove_app(id: i64, site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    let person = site.store.person_of(id).await?.ok_or(Problem::NotFound)?;
    html(&remove_app_page(&site, &caseworker, &person, None).await?)
}

async fn remove_app_page(
    site: &Site,
    caseworker: &Caseworker,
    person: &Person,
    error: Option<String>,
) -> Result<ConfirmPage, Problem> {
    let app = SecondStep { what: "authenticator app", remove: "Remove app" };
    let SecondStep { what, remove } = SecondStep::of(site, person.id).await?.unwrap_or(app);
    Ok(ConfirmPage {
        paragraphs: vec![
            "For somebody who has lost what they sign in with after their password, and their recovery codes. Make sure first that it \
             is they who ask."
                .into(),
            "They are signed out everywhere now, and set up a new app or passkey at the next sign-in where everybody needs one."
                .into(),
        ],
        error,
        password_of: password_of(caseworker, person),
        cuts_off: true,
        ..confirm(site, caseworker, person, &format!("Remove the {what} of"), "remove-app", remove)
    })
}

/// Whose password is asked for before something changes how another person signs in.
fn password_of(caseworker: &Caseworker, person: &Person) -> Option<String> {
    let is_asked = caseworker.has_password() && caseworker.by().person != Some(person.id);
    is_asked.then(|| caseworker.email().to_owned())
}

async fn remove_app(
    id: i64,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    form: Result<Words, Problem>,
) -> Answer {
    let (caseworker, form) = (caseworker?, form?);
    let person = site.store.person_of(id).await?.ok_or(Problem::NotFound)?;
    if let Err(refused) = site.visitors.confirm_for(&caseworker, id, form.get("password"), clock::now()).await {
        let (words, status) = words(refused)?;
        return with_status(html(&remove_app_page(&site, &caseworker, &person, Some(words)).await?), status);
    }
    site.store.remove_second_factor(id, caseworker.by(), clock::now()).await?;
    Ok(done(id, "app-removed"))
}

fn confirm(
    site: &Site,
    caseworker: &Caseworker,
    person: &Person,
    heading: &str,
    part: &str,
    button: &'static str,
) -> ConfirmPage {
    ConfirmPage {
        chrome: site.chrome(Some(caseworker), Here::People),
        back: to_person(person),
        heading: format!("{heading} {}", plain_text::line(&person.email)),
        paragraphs: Vec::new(),
        error: None,
        password_of: None,
        action: format!("{}/{part}", href(person)),
        button,
        cuts_off: false,
        hidden: None,
    }
}

/// Why something was refused, in words for its page; `None` where it was done.
fn refused(changed: Result<(), ChangePersonError>) -> Result<Option<String>, Problem> {
    match changed {
        Ok(()) => Ok(None),
        Err(ChangePersonError::Unknown) => Err(Problem::NotFound),
        Err(ChangePersonError::Store(error)) => Err(error.into()),
        Err(refused) => Ok(Some(sentence(&refused.to_string()))),
    }
}

/// With a capital at the beginning.
fn sentence(words: &str) -> String {
    let mut characters = words.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

fn done(id: i64, what: &str) -> Response {
    see_other(&format!("{LIST}/{id}?done={what}"))
}

fn href(person: &Person) -> String {
    format!("{LIST}/{}", person.id)
}

fn to_people() -> Back {
    Back { href: LIST.into(), words: "Back to people" }
}

fn to_person(person: &Person) -> Back {
    Back { href: href(person), words: "Back to this person" }
}

fn row(person: &Person, services: &[Service]) -> Row {
    let state = match (person.disabled_at, &person.password) {
        (Some(_), _) => ("Disabled", "red"),
        (None, Some(_)) => ("Enabled", "green"),
        (None, None) => ("No password yet", "yellow"),
    };
    let sees = match &person.sees {
        Services::All => "All services".to_owned(),
        Services::Only(some) => {
            let names = services.iter().filter(|service| some.contains(&service.id));
            let names: Vec<&str> = names.map(|service| service.name.as_str()).collect();
            if names.is_empty() { "None".to_owned() } else { names.join(", ") }
        }
    };
    Row {
        href: href(person),
        email: person.email.clone(),
        role: wanted::purpose(person.role).0,
        sees,
        state,
        disabled: person.disabled_at.map(at),
        signed_in: person.signed_in_at.map(at),
    }
}
