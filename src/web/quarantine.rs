//! `/quarantine`: what came with a valid token and could not be understood. For managers.

use std::sync::Arc;

use askama::Template;
use http::{HeaderMap, header};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::back::Back;
use super::chrome::{Chrome, Here};
use super::gap::{self, GapNotice};
use super::keeping::Keeping;
use super::plain_text::{Body, grouped};
use super::problem::{Answer, Problem, answer, html, see_other, set};
use super::request::{self, Words};
use super::results::{Moment, at, href};
use super::silence::{self, SilenceNotice};
use super::trail::Trail;
use super::{Site, get, one_of};
use crate::access::{Caseworker, May};
use crate::clock;
use crate::store::{Did, Entry, Quarantined, Requeued};

const LIST: &str = "/quarantine";

#[derive(Template)]
#[template(path = "quarantine.html")]
struct QuarantinePage {
    keeping: Keeping,
    chrome: Chrome,
    title: String,
    gap: Option<GapNotice>,
    silences: Vec<SilenceNotice>,
    rows: Vec<Row>,
    previous: Option<String>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "quarantined.html")]
struct QuarantinedPage {
    chrome: Chrome,
    back: Back,
    /// It was read again just now, and was not understood.
    again: bool,
    row: Row,
    body: Body,
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
            .and(request::allowed(site, May::Quarantine))
            .and(request::query())
            .then(list)
            .map(answer)
            .boxed(),
        warp::path!("quarantine" / i64)
            .and(get())
            .and(request::site(site))
            .and(request::allowed(site, May::Quarantine))
            .and(warp::header::headers_cloned())
            .and(request::query())
            .then(show)
            .map(answer)
            .boxed(),
        warp::path!("quarantine" / i64 / "bytes")
            .and(get())
            .and(request::site(site))
            .and(request::allowed(site, May::Quarantine))
            .then(bytes)
            .map(answer)
            .boxed(),
        warp::path!("quarantine" / i64 / "read-again")
            .and(warp::post())
            .and(request::site(site))
            .and(request::allowed(site, May::Quarantine))
            .and(request::form())
            .then(read_again)
            .map(answer)
            .boxed(),
    ])
}

async fn list(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let caseworker = caseworker?;
    let trail = Trail::of(&query);
    site.record(caseworker.did(Did::ListedQuarantine, clock::now())).await?;
    let page = site.store.quarantine(caseworker.sees(), trail.before()).await?;
    if page.rows.is_empty() && trail.before().is_some() {
        return Ok(see_other(LIST));
    }
    html(&QuarantinePage {
        keeping: Keeping::of(&site),
        chrome: site.chrome(Some(&caseworker), Here::Quarantine),
        title: trail.title("Quarantine"),
        gap: gap::notice(&site, &caseworker).await?,
        silences: silence::notices(&site, &caseworker).await?,
        rows: page.rows.iter().map(row).collect(),
        previous: trail.previous(LIST),
        next: trail.next(LIST, page.next),
    })
}

async fn show(
    arrival: i64,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    headers: HeaderMap,
    query: Words,
) -> Answer {
    let caseworker = caseworker?;
    let found = site.store.quarantined(caseworker.sees(), arrival).await?.ok_or(Problem::NotFound)?;
    site.record(seen(&caseworker, Did::OpenedQuarantined, arrival)).await?;
    html(&QuarantinedPage {
        chrome: site.chrome(Some(&caseworker), Here::Quarantine),
        back: Back::of(&headers, &Words::default(), &format!("{LIST}/{arrival}"), Back::to_quarantine()),
        again: query.get("again").is_some(),
        row: row(&found),
        body: Body::of(found.body.as_deref().unwrap_or_default()),
    })
}

/// The exact bytes, which no browser is to show or run.
async fn bytes(arrival: i64, site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    let found = site.store.quarantined(caseworker.sees(), arrival).await?.ok_or(Problem::NotFound)?;
    site.record(seen(&caseworker, Did::SavedQuarantined, arrival)).await?;
    let mut response = Response::new(found.body.unwrap_or_default().into());
    set(&mut response, header::CONTENT_TYPE, "application/octet-stream");
    let name = format!("attachment; filename=\"quarantine-{arrival}.bin\"");
    set(&mut response, header::CONTENT_DISPOSITION, &name);
    Ok(response)
}

async fn read_again(
    arrival: i64,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    form: Result<Words, Problem>,
) -> Answer {
    let page = format!("{LIST}/{arrival}");
    let caseworker = request::led_on(caseworker, &page)?;
    form?;
    Ok(
        match site
            .store
            .requeue(caseworker.sees(), arrival, caseworker.by(), clock::now())
            .await?
            .ok_or(Problem::NotFound)?
        {
            Requeued::Understood { notify_id } => see_other(&href(&notify_id)),
            Requeued::Stays { .. } => see_other(&format!("{page}?again=1")),
        },
    )
}

fn seen(caseworker: &Caseworker, did: Did, arrival: i64) -> Entry {
    caseworker.did(did, clock::now()).of(format!("quarantine {arrival}"))
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
