//! `/account/sessions`: where one is signed in, and signing out there. `/session`: what the script that warns before a session ends
//! asks, and how it makes the session last.

use std::sync::Arc;

use askama::Template;
use http::{HeaderMap, header};
use serde::Serialize;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::{Reply, Response};

use super::chrome::{Chrome, Here};
use super::problem::{Answer, Problem, answer, html, see_other, set};
use super::request::{self, Words};
use super::results::{Moment, at};
use super::{Site, get, one_of};
use crate::access::{Caseworker, NotSignedIn};
use crate::clock;
use crate::store::SessionRow;

const PATH: &str = "/account/sessions";

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    chrome: Chrome,
    rows: Vec<Row>,
    /// Whether others are signed in.
    others: bool,
}

struct Row {
    name: String,
    browser: String,
    source: String,
    began: Moment,
    used: Moment,
    is_this: bool,
}

impl Row {
    fn of(session: SessionRow) -> Row {
        Row {
            name: session.name,
            browser: session.whence.browser.unwrap_or_else(|| "Unknown browser".into()),
            source: session.whence.source.unwrap_or_else(|| "Not known".into()),
            began: at(session.made_at),
            used: at(session.last_seen_at),
            is_this: session.is_this,
        }
    }
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("account" / "sessions")
            .and(get())
            .and(request::site(site))
            .and(warp::header::headers_cloned())
            .and(request::caseworker(site))
            .then(show)
            .map(answer)
            .boxed(),
        warp::path!("account" / "sessions")
            .and(warp::post())
            .and(request::site(site))
            .and(warp::header::headers_cloned())
            .and(request::form_kept(site))
            .then(end)
            .map(answer)
            .boxed(),
        warp::path!("session")
            .and(get())
            .and(request::site(site))
            .and(warp::header::headers_cloned())
            .and(request::source())
            .then(look)
            .map(answer)
            .boxed(),
        warp::path!("session")
            .and(warp::post())
            .and(request::site(site))
            .and(warp::header::headers_cloned())
            .and(request::source())
            .and(request::form())
            .then(stay)
            .map(answer)
            .boxed(),
    ])
}

async fn show(site: Arc<Site>, headers: HeaderMap, who: Result<Caseworker, Problem>) -> Answer {
    let who = who?;
    let rows: Vec<Row> = site.visitors.own_sessions(&headers, clock::now()).await?.into_iter().map(Row::of).collect();
    let others = rows.iter().any(|row| !row.is_this);
    html(&SessionsPage { chrome: site.chrome(Some(&who), Here::Nowhere), rows, others })
}

async fn end(site: Arc<Site>, headers: HeaderMap, asked: Result<(Caseworker, Words), Problem>) -> Answer {
    let (who, form) = asked?;
    let name = form.get("end");
    if name.is_some() || form.get("others").is_some() {
        site.visitors.end_others(&who, &headers, name, clock::now()).await?;
    }
    Ok(see_other(PATH))
}

/// How long a session goes on, for the script.
#[derive(Serialize)]
struct Told {
    /// In seconds; none where nobody is signed in.
    left: i64,
    /// Whether use makes it longer.
    extends: bool,
    /// Who is signed in: somebody else's page is not to be shown on.
    email: String,
}

async fn look(site: Arc<Site>, headers: HeaderMap, from: String) -> Answer {
    left(site.visitors.look(&headers, &from, clock::now()).await)
}

async fn stay(site: Arc<Site>, headers: HeaderMap, from: String, form: Result<Words, Problem>) -> Answer {
    form?;
    left(site.visitors.recognise(&headers, &from, clock::now()).await)
}

fn left(who: Result<Caseworker, NotSignedIn>) -> Answer {
    let told = match who {
        Ok(who) => Told { left: who.left().seconds, extends: who.left().extends, email: who.email().to_owned() },
        Err(NotSignedIn::NoSession) => Told { left: 0, extends: false, email: String::new() },
        Err(NotSignedIn::Store(error)) => return Err(error.into()),
    };
    let text = serde_json::to_string(&told).map_err(|_| Problem::Failed)?;
    let mut response = text.into_response();
    set(&mut response, header::CONTENT_TYPE, "application/json");
    Ok(response)
}
