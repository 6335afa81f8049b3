//! `/settings`: what holds for everybody who uses it: a notice, the hours in which texts are read, when a flag is said again.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::confirm::{Fault, Faults};
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::results::{Moment, at};
use super::{Site, get, one_of};
use crate::access::{Caseworker, May};
use crate::clock;
use crate::store::{OutgoingEmails, Saved, Set, Setting};

const PAGE: &str = "/settings";
const SETTINGS: [Setting; 3] = [Setting::Notice, Setting::Hours, Setting::Reminder];
/// Characters of the notice.
const NOTICE: usize = 300;
/// Characters of the hours.
const HOURS: usize = 100;
/// Minutes after which a flag can be said again: a day at most.
const MINUTES: std::ops::RangeInclusive<i64> = 1..=1440;

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    chrome: Chrome,
    faults: Faults,
    saved: bool,
    changed: Option<(String, Moment)>,
    seen: String,
    notice: String,
    hours: String,
    minutes: String,
    emails: Vec<String>,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("settings")
            .and(get())
            .and(request::site(site))
            .and(request::allowed(site, May::Settings))
            .and(request::query())
            .then(show)
            .map(answer)
            .boxed(),
        warp::path!("settings")
            .and(warp::post())
            .and(request::site(site))
            .and(request::form_kept_allowed(site, May::Settings))
            .then(change)
            .map(answer)
            .boxed(),
    ])
}

async fn page(site: &Site, caseworker: &Caseworker) -> Result<SettingsPage, Problem> {
    let settings = site.store.settings(SETTINGS).await?;
    let last = settings.iter().flatten().max_by_key(|set| set.changed_at);
    let (changed, seen) = (
        last.map(|set| (set.changed_by.clone(), at(set.changed_at))),
        last.map(|set| set.changed_at.to_string()).unwrap_or_default(),
    );
    let [notice, hours, minutes] = settings.map(|set: Option<Set>| set.map(|set| set.value).unwrap_or_default());
    let (chrome, emails) = (site.chrome(Some(caseworker), Here::Settings), emails(site.store.outgoing_emails()));
    Ok(SettingsPage { chrome, faults: Vec::new().into(), saved: false, changed, seen, notice, hours, minutes, emails })
}

/// What keeps emails from arriving, in words.
fn emails(outgoing: OutgoingEmails) -> Vec<String> {
    let trouble = outgoing.trouble.map(|(since, why)| {
        format!("Emails to people have not gone out since {}: {why}. They wait, and are tried again.", at(since).words)
    });
    let refused = match outgoing.refused.len() {
        0 => None,
        1 => Some("The mail server does not take emails to 1 person. Ask them to check their address.".to_owned()),
        count => {
            Some(format!("The mail server does not take emails to {count} people. Ask them to check their addresses."))
        }
    };
    trouble.into_iter().chain(refused).collect()
}

async fn show(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let page = page(&site, &caseworker?).await?;
    html(&SettingsPage { saved: query.get("done") == Some("saved"), ..page })
}

async fn change(site: Arc<Site>, asked: Result<(Caseworker, Words), Problem>) -> Answer {
    let (caseworker, form) = asked?;
    let typed = |name| form.get(name).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let (notice, hours, minutes) = (typed("notice"), typed("hours"), typed("minutes"));
    let mut faults = Vec::new();
    if notice.chars().count() > NOTICE {
        faults.push(Fault::new("notice", format!("The notice must be {NOTICE} characters or fewer")));
    }
    if hours.chars().count() > HOURS {
        faults.push(Fault::new("hours", format!("The hours must be {HOURS} characters or fewer")));
    }
    if !minutes.is_empty() && !minutes.parse().is_ok_and(|minutes: i64| MINUTES.contains(&minutes)) {
        faults.push(Fault::new("minutes", "The minutes must be a whole number between 1 and 1440"));
    }
    let seen = form.number("seen");
    if faults.is_empty() {
        let wanted = SETTINGS.into_iter().zip([notice.clone(), hours.clone(), minutes.clone()]).collect();
        match site.store.change_settings(wanted, seen, caseworker.by(), clock::now()).await? {
            Saved::Done => return Ok(see_other(&format!("{PAGE}?done=saved"))),
            Saved::Outdated => {
                let words = "Somebody changed the settings after you opened them, so yours were not saved. Check what you typed, then save again";
                faults.push(Fault::new("notice", words));
            }
        }
        let page = page(&site, &caseworker).await?;
        return html(&SettingsPage { faults: faults.into(), notice, hours, minutes, ..page });
    }
    let seen = seen.map(|seen| seen.to_string()).unwrap_or_default();
    let page = page(&site, &caseworker).await?;
    html(&SettingsPage { faults: faults.into(), seen, notice, hours, minutes, ..page })
}
