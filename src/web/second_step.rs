//! `/sign-in/code` and `/sign-in/set-up`, both also with a passkey, and `/sign-in/recovery-code`: what is asked after the password.

use std::sync::Arc;

use askama::Template;
use http::{HeaderMap, StatusCode};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::confirm::{Fault, Faults};
use super::passkeys::{assertion, bytes, creation, creation_of, text, use_of};
use super::problem::{Answer, Problem, answer, html, see_other, with_status};
use super::qr::Qr;
use super::request::{self, Kept, Words};
use super::sign_in::{add_cookie, next, signed_in_with, with_session};
use super::{Site, get, one_of};
use crate::access::{Entered, HalfWay, NotTaken, Offer, PasskeyRefused, SetUp, Step};
use crate::clock;

#[derive(Template)]
#[template(path = "sign_in_code.html")]
struct CodePage {
    chrome: Chrome,
    next: String,
    /// A form that is offered again after the sign-in.
    kept: Option<Kept>,
    /// Whether there is an app that shows codes.
    has_app: bool,
    has_passkey: bool,
    /// What a passkey is asked, for the script; `None` also where passkeys do not work at this address.
    passkey: Option<String>,
    faults: Faults,
}

#[derive(Template)]
#[template(path = "sign_in_recovery_code.html")]
struct RecoveryCodePage {
    chrome: Chrome,
    next: String,
    /// A form that is offered again after the sign-in.
    kept: Option<Kept>,
    error: Option<String>,
}

/// A second factor that is set up, after the password or from one's account.
#[derive(Template)]
#[template(path = "set_up_second_factor.html")]
pub(super) struct SetUpPage {
    pub(super) chrome: Chrome,
    pub(super) action: &'static str,
    pub(super) email: String,
    pub(super) offer: Offer,
    pub(super) qr: Option<Qr>,
    pub(super) next: String,
    /// A form that is offered again after the sign-in.
    pub(super) kept: Option<Kept>,
    /// What is asked for a passkey in place of an app, for the script, and what it calls the person.
    pub(super) passkey: Option<(String, String)>,
    /// Whether it takes another one's place.
    pub(super) replaces: bool,
    /// Whether the password is asked for.
    pub(super) asks_password: bool,
    pub(super) faults: Faults,
}

/// New recovery codes, shown once.
#[derive(Template)]
#[template(path = "recovery_codes.html")]
pub(super) struct RecoveryCodesPage {
    pub(super) chrome: Chrome,
    pub(super) codes: Vec<String>,
    /// Where one goes on to.
    pub(super) next: String,
    /// A form that is offered again.
    pub(super) kept: Option<Kept>,
}

/// Who is between the steps, and the form that they sent.
type Given = Result<(Option<HalfWay>, Words), Problem>;

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let half_way = || request::site(site).and(half_way(site)).and(request::query());
    let given = || request::site(site).and(half_way_by_form(site)).and(warp::header::headers_cloned());
    one_of([
        warp::path!("sign-in" / "code")
            .and(get())
            .and(half_way())
            .and(warp::header::headers_cloned())
            .then(show_code)
            .map(answer)
            .boxed(),
        warp::path!("sign-in" / "code").and(warp::post()).and(given()).then(take_code).map(answer).boxed(),
        warp::path!("sign-in" / "code" / "passkey")
            .and(warp::post())
            .and(given())
            .then(take_passkey)
            .map(answer)
            .boxed(),
        warp::path!("sign-in" / "recovery-code")
            .and(get())
            .and(half_way())
            .then(show_recovery_code)
            .map(answer)
            .boxed(),
        warp::path!("sign-in" / "recovery-code")
            .and(warp::post())
            .and(given())
            .then(take_recovery_code)
            .map(answer)
            .boxed(),
        warp::path!("sign-in" / "set-up")
            .and(get())
            .and(half_way())
            .and(warp::header::headers_cloned())
            .then(show_set_up)
            .map(answer)
            .boxed(),
        warp::path!("sign-in" / "set-up" / "passkey")
            .and(warp::post())
            .and(given())
            .then(set_up_passkey)
            .map(answer)
            .boxed(),
        warp::path!("sign-in" / "set-up").and(warp::post()).and(given()).then(set_up).map(answer).boxed(),
    ])
}

/// Where one goes from the right password.
pub(super) async fn entered(
    site: &Site,
    (headers, from): (&HeaderMap, &str),
    entered: &Entered,
    next: &str,
    kept: Option<Kept>,
) -> Answer {
    let (half, step) = match entered {
        Entered::SignedIn(session) => return signed_in_with(site, session, next, kept.as_ref()),
        Entered::Half(half, step) => (half, *step),
    };
    let mut response = see_other(&with_next(page_of(step), next));
    // What may stand in no address goes along in the form.
    if kept.is_some()
        && let Some(who) = site.visitors.half_way_of(half, headers, from, clock::now()).await?
    {
        response = match step {
            Step::Code => html(&code_page(site, headers, &who, next.to_owned(), kept, None)?)?,
            Step::SetUp => html(&set_up_page(site, headers, &who, next.to_owned(), kept, None)?)?,
        };
    }
    add_cookie(&mut response, &half.cookie());
    Ok(response)
}

fn page_of(step: Step) -> &'static str {
    match step {
        Step::Code => "/sign-in/code",
        Step::SetUp => "/sign-in/set-up",
    }
}

fn with_next(path: &str, next: &str) -> String {
    if next == "/" {
        return path.to_owned();
    }
    format!("{path}?{}", form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish())
}

/// Who is between the steps; where nobody is, one begins anew.
fn half_way(site: &Arc<Site>) -> BoxedFilter<(Result<Option<HalfWay>, Problem>,)> {
    request::site(site)
        .and(warp::header::headers_cloned())
        .and(request::source())
        .then(async |site: Arc<Site>, headers: HeaderMap, from: String| {
            site.visitors.half_way(&headers, &from, clock::now()).await.map_err(Problem::from)
        })
        .boxed()
}

/// The same, with the form that they sent.
fn half_way_by_form(site: &Arc<Site>) -> BoxedFilter<(Given,)> {
    half_way(site).and(request::form()).map(|who: Result<_, _>, form: Result<_, _>| Ok((who?, form?))).boxed()
}

/// Whoever is asked for something else goes there, which is given, and nobody to the beginning.
fn asked_for(step: Step, who: Option<HalfWay>, next: &str) -> Result<HalfWay, String> {
    match who {
        Some(who) if who.step() == step => Ok(who),
        Some(who) => Err(with_next(page_of(who.step()), next)),
        None => Err(with_next("/sign-in", next)),
    }
}

async fn show_code(site: Arc<Site>, who: Result<Option<HalfWay>, Problem>, query: Words, headers: HeaderMap) -> Answer {
    let next = next(&query);
    match asked_for(Step::Code, who?, &next) {
        Ok(who) => html(&code_page(&site, &headers, &who, next, None, None)?),
        Err(elsewhere) => Ok(see_other(&elsewhere)),
    }
}

async fn take_code(site: Arc<Site>, given: Given, headers: HeaderMap) -> Answer {
    let (who, form) = given?;
    let (next, kept) = (next(&form), Kept::carried(&form));
    let who = match asked_for(Step::Code, who, &next) {
        Ok(who) => who,
        Err(elsewhere) => return Ok(see_other(&elsewhere)),
    };
    let Some(code) = form.get("code") else {
        let error = Fault::new("code", "Enter the code from your app");
        return html(&code_page(&site, &headers, &who, next, kept, Some(error))?);
    };
    match site.visitors.sign_in_by_code(&who, code, &headers, clock::now()).await {
        Ok(session) => signed_in_with(&site, &session, &next, kept.as_ref()),
        Err(NotTaken::TooLate) => Ok(see_other(&with_next("/sign-in", &next))),
        Err(refused) => {
            let (words, status) = words(refused)?;
            let error = Fault::new("code", words);
            with_status(html(&code_page(&site, &headers, &who, next, kept, Some(error))?), status)
        }
    }
}

async fn take_passkey(site: Arc<Site>, given: Given, headers: HeaderMap) -> Answer {
    let (who, form) = given?;
    let (next, kept) = (next(&form), Kept::carried(&form));
    let who = match asked_for(Step::Code, who, &next) {
        Ok(who) => who,
        Err(elsewhere) => return Ok(see_other(&elsewhere)),
    };
    let refused = match (site.passkeys_at(&headers), assertion(&form)) {
        (Some(rp), Some(assertion)) => {
            match site.visitors.sign_in_by_passkey(&who, rp, &assertion, &headers, clock::now()).await {
                Ok(session) => return signed_in_with(&site, &session, &next, kept.as_ref()),
                Err(refused) => refused,
            }
        }
        _ => PasskeyRefused::Wrong.into(),
    };
    let (words, status) = words(refused)?;
    let error = Fault::new("passkey", words);
    with_status(html(&code_page(&site, &headers, &who, next, kept, Some(error))?), status)
}

fn code_page(
    site: &Site,
    headers: &HeaderMap,
    who: &HalfWay,
    next: String,
    kept: Option<Kept>,
    error: Option<Fault>,
) -> Result<CodePage, Problem> {
    let rp = site.passkeys_at(headers).filter(|_| who.has_passkey());
    let asked = rp.map(|rp| site.visitors.ask_half_way(who, clock::now()).map(|asked| use_of(rp, &asked)));
    Ok(CodePage {
        chrome: nobody(site),
        next,
        kept,
        has_app: who.has_app(),
        has_passkey: who.has_passkey(),
        passkey: asked.transpose()?,
        faults: error.into(),
    })
}

async fn show_recovery_code(site: Arc<Site>, who: Result<Option<HalfWay>, Problem>, query: Words) -> Answer {
    let next = next(&query);
    match asked_for(Step::Code, who?, &next) {
        Ok(_) => recovery_code_page(&site, next, None, None),
        Err(elsewhere) => Ok(see_other(&elsewhere)),
    }
}

async fn take_recovery_code(site: Arc<Site>, given: Given, headers: HeaderMap) -> Answer {
    let (who, form) = given?;
    let (next, kept) = (next(&form), Kept::carried(&form));
    let who = match asked_for(Step::Code, who, &next) {
        Ok(who) => who,
        Err(elsewhere) => return Ok(see_other(&elsewhere)),
    };
    let Some(code) = form.get("code") else {
        // A form leads here too, so that what goes along stands in no address.
        let error = form.has("code").then(|| "Enter a recovery code".to_owned());
        return recovery_code_page(&site, next, kept, error);
    };
    match site.visitors.sign_in_by_recovery_code(&who, code, &headers, clock::now()).await {
        Ok(session) => signed_in_with(&site, &session, &next, kept.as_ref()),
        Err(NotTaken::TooLate) => Ok(see_other(&with_next("/sign-in", &next))),
        Err(NotTaken::Code) => {
            let error = Some("Enter a recovery code that you have not used before".to_owned());
            recovery_code_page(&site, next, kept, error)
        }
        Err(refused) => {
            let (words, status) = words(refused)?;
            with_status(recovery_code_page(&site, next, kept, Some(words)), status)
        }
    }
}

fn recovery_code_page(site: &Site, next: String, kept: Option<Kept>, error: Option<String>) -> Answer {
    html(&RecoveryCodePage { chrome: nobody(site), next, kept, error })
}

async fn show_set_up(
    site: Arc<Site>,
    who: Result<Option<HalfWay>, Problem>,
    query: Words,
    headers: HeaderMap,
) -> Answer {
    let next = next(&query);
    match asked_for(Step::SetUp, who?, &next) {
        Ok(who) => html(&set_up_page(&site, &headers, &who, next, None, None)?),
        Err(elsewhere) => Ok(see_other(&elsewhere)),
    }
}

async fn set_up(site: Arc<Site>, given: Given, headers: HeaderMap) -> Answer {
    let (who, form) = given?;
    let (next, kept) = (next(&form), Kept::carried(&form));
    let who = match asked_for(Step::SetUp, who, &next) {
        Ok(who) => who,
        Err(elsewhere) => return Ok(see_other(&elsewhere)),
    };
    let Some(code) = form.get("code") else {
        let error = Fault::new("code", "Enter the code from your app");
        return html(&set_up_page(&site, &headers, &who, next, kept, Some(error))?);
    };
    let done = site.visitors.sign_in_by_set_up(&who, code, &headers, clock::now()).await;
    is_set_up(&site, &headers, &who, (next, kept), done, "code")
}

/// The browser brings a passkey that it has made in place of an app.
async fn set_up_passkey(site: Arc<Site>, given: Given, headers: HeaderMap) -> Answer {
    let (who, form) = given?;
    let (next, kept) = (next(&form), Kept::carried(&form));
    let who = match asked_for(Step::SetUp, who, &next) {
        Ok(who) => who,
        Err(elsewhere) => return Ok(see_other(&elsewhere)),
    };
    let done = match (site.passkeys_at(&headers), creation(&form), bytes(&form, "user-handle")) {
        (Some(rp), Some(creation), Some(handle)) => {
            let made = (handle, &creation);
            site.visitors.sign_in_by_first_passkey(&who, rp, made, &headers, clock::now()).await
        }
        _ => Err(PasskeyRefused::Wrong.into()),
    };
    is_set_up(&site, &headers, &who, (next, kept), done, "passkey")
}

/// The recovery codes of whoever has set up a second factor, or what is wrong with it.
fn is_set_up(
    site: &Site,
    headers: &HeaderMap,
    who: &HalfWay,
    (next, kept): (String, Option<Kept>),
    done: Result<SetUp, NotTaken>,
    field: &'static str,
) -> Answer {
    match done {
        Ok(SetUp { session, recovery_codes }) => {
            let page = html(&RecoveryCodesPage { chrome: nobody(site), codes: recovery_codes, next, kept })?;
            Ok(with_session(page, &session))
        }
        Err(NotTaken::TooLate) => Ok(see_other(&with_next("/sign-in", &next))),
        Err(refused) => {
            let (words, status) = words(refused)?;
            let error = Some(Fault::new(field, words));
            with_status(html(&set_up_page(site, headers, who, next, kept, error)?), status)
        }
    }
}

fn set_up_page(
    site: &Site,
    headers: &HeaderMap,
    who: &HalfWay,
    next: String,
    kept: Option<Kept>,
    error: Option<Fault>,
) -> Result<SetUpPage, Problem> {
    let offer = site.visitors.offer_half_way(who, site.owner.name());
    let passkey = site.passkeys_at(headers).map(|rp| {
        let asked = site.visitors.ask_for_first_passkey(who, clock::now())?;
        Ok::<_, Problem>((creation_of(rp, &asked, who.email(), site.owner.name()), text(&asked.user_handle)))
    });
    Ok(SetUpPage {
        chrome: nobody(site),
        action: "/sign-in/set-up",
        email: who.email().to_owned(),
        qr: Qr::of(&offer.uri),
        offer,
        next,
        kept,
        passkey: passkey.transpose()?,
        replaces: false,
        asks_password: false,
        faults: error.into(),
    })
}

/// What is wrong with what was given, and the answer's status.
pub(super) fn words(refused: NotTaken) -> Result<(String, StatusCode), Problem> {
    let words = match refused {
        NotTaken::Password => "Enter your correct password".to_owned(),
        NotTaken::NewPassword(refused) => refused.to_string(),
        NotTaken::Passkey(refused) => refused.to_string(),
        NotTaken::Code => "Enter the 6-digit code that your app shows now".to_owned(),
        NotTaken::Used => "This code was used before. Wait for the next one in your app, then enter that".to_owned(),
        NotTaken::OwnAccount => {
            "This is your own account. Change how you sign in under Your account, where your password is asked for"
                .to_owned()
        }
        NotTaken::TooLate => "This took too long. Load the page again, then try once more".to_owned(),
        NotTaken::Wait(seconds) => {
            return Ok((wait_words(seconds), StatusCode::TOO_MANY_REQUESTS));
        }
        NotTaken::Store(error) => return Err(error.into()),
    };
    Ok((words, StatusCode::OK))
}

/// What whoever has failed too often is told.
pub(super) fn wait_words(seconds: i64) -> String {
    let unit = if seconds == 1 { "second" } else { "seconds" };
    format!("Too many tries have failed. Wait {seconds} {unit}, then try again")
}

fn nobody(site: &Site) -> Chrome {
    site.chrome(None, Here::Nowhere)
}
