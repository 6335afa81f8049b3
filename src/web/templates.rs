//! `/templates`: which templates callbacks name, and what each is called. Callbacks carry an id alone.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::back::Back;
use super::chrome::{Chrome, Here};
use super::plain_text::grouped;
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::results::{Moment, at};
use super::{Site, get, one_of};
use crate::access::{Caseworker, May};
use crate::clock;
use crate::store::{TEMPLATES_LISTED, TEMPLATES_LOOKED_THROUGH, TemplateSeen};

const PAGE: &str = "/templates";
/// As long as Notify lets a template's name be.
const LONGEST: usize = 255;

#[derive(Template)]
#[template(path = "templates.html")]
struct TemplatesPage {
    chrome: Chrome,
    rows: Vec<Row>,
    /// Callbacks that were looked through.
    newest: String,
    more: bool,
}

struct Row {
    href: String,
    service: String,
    id: String,
    name: Option<String>,
    uses: String,
    latest: Option<Moment>,
}

#[derive(Template)]
#[template(path = "template.html")]
struct TemplatePage {
    chrome: Chrome,
    back: Back,
    action: String,
    service: String,
    id: String,
    /// What Notify calls it.
    told: Option<String>,
    name: String,
    error: Option<&'static str>,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("templates")
            .and(get())
            .and(request::site(site))
            .and(request::allowed(site, May::Settings))
            .then(list)
            .map(answer)
            .boxed(),
        warp::path!("templates" / i64 / i64)
            .and(get())
            .and(request::site(site))
            .and(request::allowed(site, May::Settings))
            .then(async |service, number, site: Arc<Site>, asks: Result<Caseworker, Problem>| -> Answer {
                let (caseworker, seen) = (asks?, found(&site, service, number).await?);
                let name = seen.names.given.clone().unwrap_or_default();
                page(&site, &caseworker, &seen, name, None)
            })
            .map(answer)
            .boxed(),
        warp::path!("templates" / i64 / i64)
            .and(warp::post())
            .and(request::site(site))
            .and(request::allowed(site, May::Settings))
            .and(request::form())
            .then(name)
            .map(answer)
            .boxed(),
    ])
}

async fn list(site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    let mut templates = site.store.templates().await?;
    let more = templates.len() > TEMPLATES_LISTED;
    templates.truncate(TEMPLATES_LISTED);
    html(&TemplatesPage {
        chrome: site.chrome(Some(&caseworker), Here::Templates),
        rows: templates.into_iter().map(row).collect(),
        newest: grouped(TEMPLATES_LOOKED_THROUGH),
        more,
    })
}

fn href(seen: &TemplateSeen) -> String {
    format!("{PAGE}/{}/{}", seen.service.0, seen.number)
}

fn row(seen: TemplateSeen) -> Row {
    Row {
        href: href(&seen),
        name: seen.names.shown().map(str::to_owned),
        service: seen.service_name,
        id: seen.template_id,
        uses: grouped(seen.uses),
        latest: seen.newest.map(at),
    }
}

async fn found(site: &Site, service: i64, number: i64) -> Result<TemplateSeen, Problem> {
    site.store.template(service, number).await?.ok_or(Problem::NotFound)
}

fn page(
    site: &Site,
    caseworker: &Caseworker,
    seen: &TemplateSeen,
    name: String,
    error: Option<&'static str>,
) -> Answer {
    html(&TemplatePage {
        chrome: site.chrome(Some(caseworker), Here::Templates),
        back: Back { href: PAGE.into(), words: "Back to templates" },
        action: href(seen),
        service: seen.service_name.clone(),
        id: seen.template_id.clone(),
        told: seen.names.told.clone(),
        name,
        error,
    })
}

async fn name(
    service: i64,
    number: i64,
    site: Arc<Site>,
    asks: Result<Caseworker, Problem>,
    form: Result<Words, Problem>,
) -> Answer {
    let caseworker = request::led_on(asks, &format!("{PAGE}/{service}/{number}"))?;
    let form = form?;
    let seen = found(&site, service, number).await?;
    let typed = form.get("name").map(|name| name.trim().to_owned());
    if typed.as_ref().is_some_and(|name| name.chars().count() > LONGEST) {
        let error = Some("Name must be 255 characters or fewer");
        return page(&site, &caseworker, &seen, typed.unwrap_or_default(), error);
    }
    site.store.name_template(&seen, typed, caseworker.by(), clock::now()).await?;
    Ok(see_other(PAGE))
}
