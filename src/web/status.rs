//! `/status`, for admins: whether all is well and what to do where it is not, what runs and how large it is, and the last 24 hours. It
//! shows nobody's data.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::plain_text::grouped;
use super::problem::{Answer, Problem, answer, html};
use super::request;
use super::results::{Moment, at};
use super::uk_time;
use super::{Site, get};
use crate::access::{Caseworker, May};
use crate::clock::{self, HOUR};
use crate::meters::{Held, Hour, Standing};
use crate::notify::Kind;
use crate::store::{AlarmSort, Stands};

/// Hours that are shown.
const HOURS: i64 = 24;
/// Services that have a chart of their own; the table has them all.
const CHARTS: usize = 12;
/// How high a chart is, and how wide an hour is in it.
const HEIGHT: f64 = 80.0;
const WIDTH: f64 = 20.0;

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    chrome: Chrome,
    /// How many of the checks found something.
    wrong: usize,
    checks: Vec<Check>,
    facts: Vec<(&'static str, String)>,
    backup: Option<Moment>,
    certificate: Option<Moment>,
    services: Vec<ServiceRow>,
    charts: Vec<Chart>,
    hours: Vec<HourRow>,
}

/// Something that is looked for.
struct Check {
    name: &'static str,
    /// Its tag's words and colour.
    state: (&'static str, &'static str),
    /// What was found.
    found: Vec<Finding>,
    advice: &'static str,
}

struct Finding {
    words: &'static str,
    about: Option<String>,
    since: Moment,
}

struct ServiceRow {
    name: String,
    lately: String,
    last: Option<Moment>,
    /// Of each kind.
    kinds: Vec<(&'static str, Moment)>,
}

/// Bars, an hour each.
struct Chart {
    title: String,
    /// What it shows, with the numbers.
    says: String,
    is_bad: bool,
    bars: Vec<Bar>,
}

struct Bar {
    x: f64,
    y: f64,
    height: f64,
}

struct HourRow {
    from: Moment,
    came: String,
    refused: String,
    slowest: String,
}

pub(super) fn route(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    warp::path!("status")
        .and(get())
        .and(request::site(site))
        .and(request::allowed(site, May::Alarms))
        .then(show)
        .map(answer)
        .boxed()
}

async fn show(site: Arc<Site>, caseworker: Result<Caseworker, Problem>) -> Answer {
    let caseworker = caseworker?;
    let now = clock::now();
    let (standing, came) = (site.store.standing(now).await, site.store.came_lately(now - HOURS * HOUR).await?);
    let (meters, first) = (site.store.meters(), now.div_euclid(HOUR) - HOURS + 1);
    let checks: Vec<Check> = AlarmSort::ALL.iter().map(|sort| check(*sort, &site.store.standing_alarms())).collect();
    let held = standing.held.clone().unwrap_or_default();
    let hours: Vec<Hour> = (first..first + HOURS)
        .map(|hour| meters.hours().into_iter().find(|counted| counted.hour == hour).unwrap_or(Hour::without_any(hour)))
        .collect();
    let arrived = |hour: i64, service: Option<i64>| -> i64 {
        let of = came.iter().filter(|came| came.hour == hour && service.is_none_or(|id| came.service == id));
        of.map(|came| came.arrived).sum()
    };
    let by_hour = |service| hours.iter().map(|hour| arrived(hour.hour, service)).collect::<Vec<_>>();
    let mut charts = vec![chart("Callbacks".into(), "came", &by_hour(None), &hours, false)];
    if held.services.len() > 1 {
        let services = held.services.iter().take(CHARTS);
        charts.extend(services.map(|service| {
            chart(format!("Callbacks of {}", service.name), "came", &by_hour(Some(service.id)), &hours, false)
        }));
    }
    let refused: Vec<i64> = hours.iter().map(|hour| i64::try_from(hour.refused).unwrap_or(i64::MAX)).collect();
    charts.push(chart("Refused callbacks".into(), "were refused", &refused, &hours, true));
    charts.push(slowest(&hours));
    html(&StatusPage {
        chrome: site.chrome(Some(&caseworker), Here::Status),
        wrong: checks.iter().filter(|check| !check.found.is_empty()).count(),
        checks,
        facts: facts(&standing, &held),
        backup: meters.last_backup().map(at),
        certificate: meters.certificate_end().map(at),
        services: services(&held, &meters.last_taken(), |id| by_hour(Some(id)).iter().sum()),
        hours: hours
            .iter()
            .rev()
            .map(|hour| HourRow {
                from: at(hour.hour * HOUR),
                came: grouped(arrived(hour.hour, None)),
                refused: grouped(i64::try_from(hour.refused).unwrap_or(i64::MAX)),
                slowest: hour.slowest().map_or_else(|| "None came".into(), within),
            })
            .collect(),
        charts,
    })
}

fn check(sort: AlarmSort, stand: &[Stands]) -> Check {
    let found: Vec<Finding> = stand
        .iter()
        .filter(|stands| stands.sort == sort)
        .map(|stands| Finding { words: sort.words(), about: stands.about.clone(), since: at(stands.since) })
        .collect();
    let state = match found.is_empty() {
        true => ("Good", "green"),
        false if sort.is_urgent() => ("Bad", "red"),
        false => ("Warning", "yellow"),
    };
    Check { name: name(sort), state, found, advice: sort.advice() }
}

/// What is looked at.
fn name(sort: AlarmSort) -> &'static str {
    match sort {
        AlarmSort::WrongToken => "Tokens that callbacks carry",
        AlarmSort::UnusedToken => "Tokens in use",
        AlarmSort::Silence => "Callbacks that come",
        AlarmSort::FailedSignIns => "Sign-ins",
        AlarmSort::LargeExport => "Files that people save",
        AlarmSort::RecordBroken => "The record",
        AlarmSort::EmailsFail => "Emails to colleagues",
        AlarmSort::AlarmsFail => "Alarms that go out",
        AlarmSort::Refusing => "Callbacks that are taken",
        AlarmSort::Damage => "The store",
        AlarmSort::Disk => "The disk",
        AlarmSort::Log => "The store’s log",
        AlarmSort::Quarantine => "Quarantine",
        AlarmSort::Backup => "Backups",
        AlarmSort::Certificate => "The certificate",
        AlarmSort::ClockStep => "The clock",
        AlarmSort::Without => "What the server was told to use",
    }
}

fn facts(standing: &Standing, held: &Held) -> Vec<(&'static str, String)> {
    let megabytes = |bytes: u64| grouped(i64::try_from(bytes / 1_000_000).unwrap_or(i64::MAX)) + " MB";
    let (callbacks, pages) = standing.waiting;
    vec![
        ("Release", env!("CARGO_PKG_VERSION").to_owned()),
        ("Callbacks that ever came", grouped(held.arrived)),
        ("In quarantine", grouped(held.quarantined)),
        ("Size of the store", megabytes(standing.store_bytes)),
        ("Size of its log", megabytes(standing.log_bytes)),
        ("Free on its disk", megabytes(standing.free_bytes)),
        ("Waiting to be written", grouped(i64::try_from(callbacks + pages).unwrap_or(i64::MAX))),
        ("People signed in", grouped(held.sessions)),
    ]
}

fn services(held: &Held, taken: &[(i64, &'static str, i64)], lately: impl Fn(i64) -> i64) -> Vec<ServiceRow> {
    let row = |service: &crate::meters::Served| {
        let mut kinds: BTreeMap<&'static str, i64> = BTreeMap::new();
        for (_, kind, at) in taken.iter().filter(|(id, ..)| *id == service.id) {
            kinds.insert(Kind::from_path(kind).map_or("Not understood", Kind::words), *at);
        }
        let last = kinds.values().max().copied().max(service.last_at);
        ServiceRow {
            name: service.name.clone(),
            lately: grouped(lately(service.id)),
            last: last.map(at),
            kinds: kinds.into_iter().map(|(kind, last)| (kind, at(last))).collect(),
        }
    };
    held.services.iter().map(row).collect()
}

fn chart(title: String, what: &str, numbers: &[i64], hours: &[Hour], is_bad: bool) -> Chart {
    let (all, most) = (numbers.iter().sum::<i64>(), numbers.iter().max().copied().unwrap_or(0));
    let peak = numbers.iter().position(|number| *number == most).and_then(|place| hours.get(place));
    let says = match peak {
        Some(peak) if most > 0 => {
            let when = uk_time::words(peak.hour * HOUR);
            format!("{} {what}. Most did in the hour from {when}: {}.", grouped(all), grouped(most))
        }
        _ => format!("None {what}."),
    };
    #[expect(clippy::cast_precision_loss, reason = "a bar is as high as it looks")]
    let parts: Vec<f64> = numbers.iter().map(|number| *number as f64 / most.max(1) as f64).collect();
    Chart { title, says, is_bad, bars: bars(&parts) }
}

/// How long all but the slowest took.
fn slowest(hours: &[Hour]) -> Chart {
    let took: Vec<Option<f64>> = hours.iter().map(Hour::slowest).collect();
    let most = took.iter().flatten().copied().fold(0.0, f64::max);
    let says = match most {
        0.0 => "None came.".to_owned(),
        most => format!("In the slowest hour 99 of 100 callbacks were answered {}.", within(most)),
    };
    // Five seconds is as long as Notify waits.
    let (longest, cut) = (most.min(5.0), |took: f64| took.min(5.0));
    let parts: Vec<f64> = took.iter().map(|took| took.map_or(0.0, cut) / longest.max(0.001)).collect();
    Chart { title: "Time to answer a callback".into(), says, is_bad: false, bars: bars(&parts) }
}

fn bars(parts: &[f64]) -> Vec<Bar> {
    let places = std::iter::successors(Some(2.0), |x| Some(x + WIDTH));
    let bar = |(x, part): (f64, &f64)| {
        // What is there at all is seen.
        let height = if *part > 0.0 { (part * HEIGHT).max(2.0) } else { 0.0 };
        Bar { x, y: HEIGHT - height, height }
    };
    places.zip(parts).map(bar).collect()
}

/// Seconds in words.
fn within(seconds: f64) -> String {
    match seconds {
        long if long.is_infinite() => "in more than 5 seconds".into(),
        1.0 => "within a second".into(),
        long if long > 1.0 => format!("within {long} seconds"),
        short => format!("within {} ms", short * 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_says_its_numbers_and_its_highest_bar_is_the_most() {
        let hours: Vec<Hour> = (495_000..495_003).map(Hour::without_any).collect();
        let drawn = chart("A".into(), "came", &[0, 1, 2000], &hours, false);
        assert!(
            drawn.says.starts_with("2,001 came. Most did in the hour from ") && drawn.says.ends_with(": 2,000."),
            "{}",
            drawn.says
        );
        let heights: Vec<f64> = drawn.bars.iter().map(|bar| bar.height).collect();
        assert_eq!(heights, [0.0, 2.0, HEIGHT]);
        assert_eq!(chart("A".into(), "came", &[0], &hours, false).says, "None came.");
    }

    #[test]
    fn times_are_told_in_words() {
        assert_eq!(
            [0.0025, 0.25, 1.0, 2.5].map(within),
            ["within 2.5 ms", "within 250 ms", "within a second", "within 2.5 seconds"]
        );
        assert_eq!(within(f64::INFINITY), "in more than 5 seconds");
    }
}
