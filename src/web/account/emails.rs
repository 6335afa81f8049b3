//! `/account/emails`: which emails somebody gets, and where. Only they themselves choose, and an address that they type is confirmed by
//! a code that is sent to it.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::access::{Caseworker, May, Secret};
use crate::clock;
use crate::store::{Confirmed, EmailAsked, EmailChoice, News};
use crate::web::chrome::{Chrome, Here};
use crate::web::confirm::{Fault, Faults};
use crate::web::people::address;
use crate::web::problem::{Answer, Problem, answer, html, see_other};
use crate::web::request::{self, Words};
use crate::web::{Site, get, one_of};

const PAGE: &str = "/account/emails";
const TOO_OFTEN: &str = "You can ask for 5 codes and test emails in an hour. Try again later";

#[derive(Template)]
#[template(path = "account_emails.html")]
struct EmailsPage {
    chrome: Chrome,
    faults: Faults,
    /// What was done, in words.
    done: Option<&'static str>,
    is_set_up: bool,
    /// What keeps emails from arriving.
    trouble: Option<&'static str>,
    address: Option<String>,
    /// What a code was sent to.
    asked: Option<String>,
    /// What stands in the field for an address.
    typed: String,
    choices: Vec<Choice>,
    is_told_anyway: bool,
}

struct Choice {
    value: &'static str,
    words: &'static str,
    hint: &'static str,
    is_chosen: bool,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("account" / "emails")
            .and(get())
            .and(request::site(site))
            .and(request::caseworker(site))
            .and(request::query())
            .then(show)
            .map(answer)
            .boxed(),
        warp::path!("account" / "emails")
            .and(warp::post())
            .and(request::site(site))
            .and(request::caseworker(site))
            .and(request::form())
            .then(change)
            .map(answer)
            .boxed(),
    ])
}

/// What somebody chose, in the words that a summary needs.
pub(super) fn summary(choice: &EmailChoice) -> String {
    match (&choice.address, choice.wants.is_empty()) {
        (None, _) => "You get no emails.".to_owned(),
        (Some(address), true) => format!("You have confirmed {address}, and have chosen no emails."),
        (Some(address), false) => {
            let words: Vec<&str> = choice.wants.iter().map(|news| words(*news).0).collect();
            format!("You get emails at {address}: {}.", words.join(", ").to_lowercase())
        }
    }
}

/// Each kind of news in words, and when it is sent.
fn words(news: News) -> (&'static str, &'static str) {
    match news {
        News::Escalated => (
            "Possible danger that nobody has read in time",
            "After the minutes that an admin has set, at any hour of the day.",
        ),
        News::Flagged => ("Flagged texts", "Possible danger, asks to stop or possibly wrong person."),
        News::Mine => ("New texts in conversations that I have taken", ""),
        News::New => ("All new texts", ""),
    }
}

async fn page(site: &Site, who: &Caseworker) -> Result<EmailsPage, Problem> {
    let (person, outgoing) = (who.by().person.unwrap_or_default(), site.store.outgoing_emails());
    let EmailChoice { address, asked, wants } = site.store.email_choice(person, clock::now()).await?;
    let choice = |news: News| {
        let (words, hint) = words(news);
        Choice { value: news.value(), words, hint, is_chosen: wants.contains(&news) }
    };
    Ok(EmailsPage {
        chrome: site.chrome(Some(who), Here::Nowhere),
        faults: Vec::new().into(),
        done: None,
        is_set_up: outgoing.is_set_up,
        trouble: if outgoing.refused.contains(&person) {
            Some("The last email to you was not taken by the mail server. It is tried again. Check the address.")
        } else {
            outgoing.trouble.map(|_| "Emails are not going out at the moment. They are sent when that is mended.")
        },
        typed: if address.is_none() { who.email().to_owned() } else { String::new() },
        address,
        asked,
        choices: News::ALL.into_iter().map(choice).collect(),
        is_told_anyway: who.may(May::ToldOfDanger),
    })
}

async fn show(site: Arc<Site>, who: Result<Caseworker, Problem>, query: Words) -> Answer {
    let page = page(&site, &who?).await?;
    let done = match query.get("done") {
        Some("code") => Some("We have sent you a code"),
        Some("confirmed") => Some("Address confirmed"),
        Some("saved") => Some("Emails saved"),
        Some("test") => Some("A test email is on its way"),
        Some("removed") => Some("Address removed. You get no emails"),
        _ => None,
    };
    html(&EmailsPage { done, ..page })
}

async fn change(site: Arc<Site>, who: Result<Caseworker, Problem>, form: Result<Words, Problem>) -> Answer {
    let (who, form) = (who?, form?);
    if !site.store.outgoing_emails().is_set_up {
        return html(&page(&site, &who).await?);
    }
    let (by, now) = (who.by(), clock::now());
    let typed = form.get("email").unwrap_or_default().trim().to_owned();
    let done = match form.get("do") {
        Some("address") => match address(&typed) {
            Err(fault) => Err(fault),
            Ok(address) => {
                let nonce = Secret::random().map_err(|_| Problem::Failed)?.bytes().to_vec();
                on_its_way(site.store.ask_for_code(address, nonce, by, now).await?, "email").map(|()| "code")
            }
        },
        Some("code") => match form.get("code") {
            None => Err(Fault::new("code", "Enter the code from the email")),
            Some(code) => {
                let code = code.chars().filter(|character| !character.is_whitespace()).collect();
                match site.store.confirm_address(code, by, now).await? {
                    Confirmed::Yes => Ok("confirmed"),
                    Confirmed::Wrong => Err(Fault::new(
                        "code",
                        "The code is wrong. Check the newest email from us, then enter it again",
                    )),
                    Confirmed::TooLate => Err(Fault::new("email", "The code no longer works. Ask for another one")),
                }
            }
        },
        Some("choose") => {
            let wants = News::ALL.into_iter().filter(|news| form.all("news").any(|value| value == news.value()));
            let is_saved = site.store.choose_emails(wants.collect(), by, now).await?;
            if is_saved { Ok("saved") } else { Err(Fault::new("email", "Confirm an address first")) }
        }
        Some("test") => on_its_way(site.store.ask_for_test_email(by, now).await?, "test").map(|()| "test"),
        Some("remove") => site.store.forget_address(by, now).await.map(|()| Ok("removed"))?,
        _ => return html(&page(&site, &who).await?),
    };
    match done {
        Ok(done) => Ok(see_other(&format!("{PAGE}?done={done}"))),
        Err(fault) => {
            let page = page(&site, &who).await?;
            let typed = if form.has("email") { typed } else { page.typed.clone() };
            html(&EmailsPage { faults: Some(fault).into(), typed, ..page })
        }
    }
}

fn on_its_way(asked: EmailAsked, field: &'static str) -> Result<(), Fault> {
    match asked {
        EmailAsked::OnItsWay => Ok(()),
        EmailAsked::TooOften => Err(Fault::new(field, TOO_OFTEN)),
        EmailAsked::Nowhere => Err(Fault::new("email", "Confirm an address first")),
    }
}
