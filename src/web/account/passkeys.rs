//! `/account/passkeys`: adding a passkey, and a page for each to rename or remove it.

use std::sync::Arc;

use askama::Template;
use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::access::{Caseworker, NotTaken, PasskeyRefused};
use crate::clock;
use crate::web::chrome::{Chrome, Here};
use crate::web::confirm::{Fault, Faults};
use crate::web::passkeys::{bytes, creation, creation_of, text};
use crate::web::problem::{Answer, Problem, answer, html, see_other, with_status};
use crate::web::request::{self, Words};
use crate::web::second_step::words;
use crate::web::{Site, get, one_of};

#[derive(Template)]
#[template(path = "account_passkey_add.html")]
struct AddPage {
    chrome: Chrome,
    email: String,
    name: String,
    /// Whether one can be added at this address.
    works: bool,
    faults: Faults,
}

/// The second half: the browser makes the passkey.
#[derive(Template)]
#[template(path = "account_passkey_make.html")]
struct MakePage {
    chrome: Chrome,
    name: String,
    user_handle: String,
    /// For the script.
    asked: String,
}

#[derive(Template)]
#[template(path = "account_passkey.html")]
struct PasskeyPage {
    chrome: Chrome,
    email: String,
    id: i64,
    /// What it is called.
    called: String,
    /// What was typed as its new name.
    name: String,
    faults: Faults,
}

type Asked = Result<(Caseworker, Words), Problem>;

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let shown = || request::site(site).and(warp::header::headers_cloned()).and(request::caseworker(site));
    let given = || request::site(site).and(warp::header::headers_cloned()).and(request::form_kept(site));
    one_of([
        warp::path!("account" / "passkeys").and(get()).and(shown()).then(show).map(answer).boxed(),
        warp::path!("account" / "passkeys").and(warp::post()).and(given()).then(add).map(answer).boxed(),
        warp::path!("account" / "passkeys" / i64).and(get()).and(shown()).then(show_one).map(answer).boxed(),
        warp::path!("account" / "passkeys" / i64).and(warp::post()).and(given()).then(change).map(answer).boxed(),
    ])
}

async fn show(site: Arc<Site>, headers: HeaderMap, who: Result<Caseworker, Problem>) -> Answer {
    html(&add_page(&site, &headers, &who?, String::new(), None))
}

/// First the name and the password, then what the authenticator has made.
async fn add(site: Arc<Site>, headers: HeaderMap, asked: Asked) -> Answer {
    let (who, form) = asked?;
    let name = form.get("name").unwrap_or_default();
    let again = |error| add_page(&site, &headers, &who, name.to_owned(), error);
    let Some(rp) = site.passkeys_at(&headers) else { return html(&again(None)) };
    let refused = if form.get("client-data").is_some() {
        let (Some(creation), Some(handle)) = (creation(&form), bytes(&form, "user-handle")) else {
            return html(&again(Some(Fault::new("name", PasskeyRefused::Wrong.to_string()))));
        };
        match site.visitors.add_passkey(&who, rp, (name, handle, &creation), &headers, clock::now()).await {
            Ok(()) => return Ok(see_other("/account")),
            Err(refused) => refused,
        }
    } else {
        let password = form.get("password").unwrap_or_default();
        if !name.is_empty() && password.is_empty() {
            return html(&again(Some(Fault::new("password", "Enter your password"))));
        }
        match site.visitors.ask_for_passkey(&who, name, password, &headers, clock::now()).await {
            Ok(asked) => {
                let (user_handle, name) = (text(&asked.user_handle), asked.name.clone());
                let asked = creation_of(rp, &asked, who.email(), site.owner.name());
                let chrome = site.chrome(Some(&who), Here::Nowhere);
                return html(&MakePage { chrome, name, user_handle, asked });
            }
            Err(refused) => refused,
        }
    };
    let field = field_of(&refused);
    let (words, status) = words(refused)?;
    with_status(html(&again(Some(Fault::new(field, words)))), status)
}

async fn show_one(id: i64, site: Arc<Site>, _: HeaderMap, who: Result<Caseworker, Problem>) -> Answer {
    html(&page(&site, &who?, id).await?)
}

async fn change(id: i64, site: Arc<Site>, headers: HeaderMap, asked: Asked) -> Answer {
    let (who, form) = asked?;
    let page = page(&site, &who, id).await?;
    let name = form.get("name").unwrap_or_default().to_owned();
    let done = if form.get("remove").is_none() {
        site.visitors.rename_passkey(&who, id, &name, &headers).await
    } else {
        let Some(password) = form.get("password") else {
            return html(&PasskeyPage { faults: Some(Fault::new("password", "Enter your password")).into(), ..page });
        };
        site.visitors.remove_passkey(&who, id, password, &headers, clock::now()).await
    };
    let Err(refused) = done else { return Ok(see_other("/account")) };
    let field = field_of(&refused);
    let name = if field == "name" { name } else { page.name.clone() };
    let (words, status) = words(refused)?;
    with_status(html(&PasskeyPage { name, faults: Some(Fault::new(field, words)).into(), ..page }), status)
}

fn field_of(refused: &NotTaken) -> &'static str {
    if matches!(refused, NotTaken::Passkey(_)) { "name" } else { "password" }
}

fn add_page(site: &Site, headers: &HeaderMap, who: &Caseworker, name: String, error: Option<Fault>) -> AddPage {
    let chrome = site.chrome(Some(who), Here::Nowhere);
    AddPage {
        chrome,
        email: who.email().to_owned(),
        name,
        works: site.passkeys_at(headers).is_some(),
        faults: error.into(),
    }
}

async fn page(site: &Site, who: &Caseworker, id: i64) -> Result<PasskeyPage, Problem> {
    let passkeys = site.visitors.passkeys(who).await?;
    let passkey = passkeys.into_iter().find(|passkey| passkey.id == id).ok_or(Problem::NotFound)?;
    Ok(PasskeyPage {
        chrome: site.chrome(Some(who), Here::Nowhere),
        email: who.email().to_owned(),
        id,
        called: passkey.name.clone(),
        name: passkey.name,
        faults: None.into(),
    })
}
