//! `/quarantine`: what came with a valid token and could not be understood. For managers.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::plain_text::{self, Piece};
use super::problem::{Answer, Problem, answer, html};
use super::receipts::grouped;
use super::request::{self, Words};
use super::results::{Moment, at};
use super::{Site, get, one_of};
use crate::access::Caseworker;
use crate::store::Quarantined;

#[derive(Template)]
#[template(path = "quarantine.html")]
struct QuarantinePage {
    chrome: Chrome,
    rows: Vec<Row>,
    first: bool,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "quarantined.html")]
struct QuarantinedPage {
    chrome: Chrome,
    row: Row,
    body: Vec<Piece>,
}

struct Row {
    href: String,
    arrived: Moment,
    service: String,
    reason: String,
    path: String,
    length: String,
    times: i64,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("quarantine")
            .and(get())
            .and(request::site(site))
            .and(request::caseworker(site))
            .and(request::query())
            .then(list)
            .map(answer)
            .boxed(),
        warp::path!("quarantine" / i64)
            .and(get())
            .and(request::site(site))
            .and(request::caseworker(site))
            .then(show)
            .map(answer)
            .boxed(),
    ])
}

async fn list(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let caseworker = caseworker?;
    if !caseworker.sees_quarantine() {
        return Ok(Problem::Forbidden.page(Some(&caseworker)));
    }
    let before = query.number("before");
    let page = site.store.quarantine(caseworker.sees(), before).await?;
    html(&QuarantinePage {
        chrome: Chrome::new(Some(&caseworker), Here::Quarantine),
        rows: page.rows.iter().map(row).collect(),
        first: before.is_none(),
        next: page.next.map(|before| format!("/quarantine?before={before}")),
    })
}

async fn show(arrival: i64, site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    if !caseworker.sees_quarantine() {
        return Ok(Problem::Forbidden.page(Some(&caseworker)));
    }
    let found = site.store.quarantined(caseworker.sees(), arrival).await?.ok_or(Problem::NotFound)?;
    let body = String::from_utf8_lossy(found.body.as_deref().unwrap_or_default()).into_owned();
    html(&QuarantinedPage {
        chrome: Chrome::new(Some(&caseworker), Here::Quarantine),
        row: row(&found),
        body: plain_text::pieces(&body),
    })
}

fn row(quarantined: &Quarantined) -> Row {
    Row {
        href: format!("/quarantine/{}", quarantined.arrival),
        arrived: at(quarantined.arrived_at),
        service: quarantined.service_name.clone(),
        reason: quarantined.reason.clone(),
        path: quarantined.path.clone(),
        length: grouped(quarantined.length),
        times: quarantined.times,
    }
}
