//! `/alarms`: what somebody should look at, for those who can do something about it.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::plain_text::grouped;
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::results::{Moment, at};
use super::{Site, get, one_of};
use crate::access::{Caseworker, May};
use crate::clock;
use crate::store::{AlarmSort, Raised};

const PAGE: &str = "/alarms";

#[derive(Template)]
#[template(path = "alarms.html")]
struct AlarmsPage {
    chrome: Chrome,
    alarms: Vec<Row>,
}

struct Row {
    id: i64,
    words: &'static str,
    advice: &'static str,
    object: String,
    detail: Option<String>,
    first: Moment,
    last: Moment,
    times: Option<String>,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("alarms")
            .and(get())
            .and(request::site(site))
            .and(request::allowed(site, May::Alarms))
            .then(show)
            .map(answer)
            .boxed(),
        warp::path!("alarms" / i64)
            .and(warp::post())
            .and(request::site(site))
            .and(request::allowed(site, May::Alarms))
            .and(request::form())
            .then(settle)
            .map(answer)
            .boxed(),
    ])
}

async fn show(site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    let alarms = site.store.alarms().await?;
    html(&AlarmsPage {
        chrome: site.chrome(Some(&caseworker), Here::Alarms),
        alarms: alarms.into_iter().map(row).collect(),
    })
}

async fn settle(
    id: i64,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    form: Result<Words, Problem>,
) -> Answer {
    let caseworker = request::led_on(caseworker, PAGE)?;
    form?;
    // One that a colleague has dealt with meanwhile is dealt with.
    site.store.settle(id, caseworker.by(), clock::now()).await?;
    Ok(see_other(PAGE))
}

fn row(alarm: Raised) -> Row {
    Row {
        id: alarm.id,
        words: alarm.sort.map_or("Something that this release does not know", AlarmSort::words),
        advice: alarm.sort.map_or("The release notes of the release before this one say more.", AlarmSort::advice),
        object: alarm.object,
        detail: alarm.detail,
        first: at(alarm.first_at),
        last: at(alarm.last_at),
        times: (alarm.times > 1).then(|| grouped(alarm.times)),
    }
}
