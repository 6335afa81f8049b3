//! `/flags`: the list of phrases that received texts are held against, changed and tried.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::confirm::{Fault, Faults};
use super::flag_tag::FlagTag;
use super::plain_text::{self, Piece};
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::results::{Moment, at};
use super::{Site, get, one_of};
use crate::access::{Caseworker, May};
use crate::clock;
use crate::flagging::{BadList, FlagList, SHIPPED};
use crate::store::{Saved, Set, Setting};

const PAGE: &str = "/flags";

#[derive(Template)]
#[template(path = "flags.html")]
struct FlagsPage {
    chrome: Chrome,
    faults: Faults,
    saved: bool,
    /// Whether what stands in the form was put there and is not saved.
    put_back: bool,
    /// Who changed it last and when; `None` where nobody has.
    changed: Option<(String, Moment)>,
    is_shipped: bool,
    /// The change that the reader saw.
    seen: String,
    list: String,
    /// The list that holds, where a colleague changed it meanwhile.
    theirs: Option<Vec<Piece>>,
    text: String,
    tried: Option<Vec<FlagTag>>,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("flags")
            .and(get())
            .and(request::site(site))
            .and(request::allowed(site, May::Flags))
            .and(request::query())
            .then(show)
            .map(answer)
            .boxed(),
        warp::path!("flags")
            .and(warp::post())
            .and(request::site(site))
            .and(request::long_form_kept_allowed(site, May::Flags))
            .then(change)
            .map(answer)
            .boxed(),
    ])
}

async fn page(site: &Site, caseworker: &Caseworker) -> Result<FlagsPage, Problem> {
    let [set] = site.store.settings([Setting::Flags]).await?;
    let is_shipped = set.as_ref().is_none_or(|set| set.value.is_empty());
    Ok(FlagsPage {
        chrome: site.chrome(Some(caseworker), Here::Flags),
        faults: Vec::new().into(),
        saved: false,
        put_back: false,
        is_shipped,
        seen: set.as_ref().map(|set| set.changed_at.to_string()).unwrap_or_default(),
        changed: set.as_ref().map(|set: &Set| (set.changed_by.clone(), at(set.changed_at))),
        list: set.map(|set| set.value).filter(|_| !is_shipped).unwrap_or_else(|| SHIPPED.to_owned()),
        theirs: None,
        text: String::new(),
        tried: None,
    })
}

async fn show(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let page = page(&site, &caseworker?).await?;
    html(&FlagsPage { saved: query.get("done") == Some("saved"), ..page })
}

async fn change(site: Arc<Site>, asked: Result<(Caseworker, Words), Problem>) -> Answer {
    let (caseworker, form) = asked?;
    let page = page(&site, &caseworker).await?;
    let list = form.get("list").unwrap_or_default().replace("\r\n", "\n").trim_end().to_owned();
    let text = form.get("text").unwrap_or_default().to_owned();
    let seen = form.number("seen");
    // Whoever goes on from what they typed goes on from what they saw.
    let page = FlagsPage { seen: seen.map(|seen| seen.to_string()).unwrap_or_default(), text, ..page };
    if form.get("do") == Some("put-back") {
        return html(&FlagsPage { list: SHIPPED.to_owned(), put_back: true, ..page });
    }
    let read = match FlagList::read(&list) {
        Ok(read) => read,
        Err(bad) => return html(&FlagsPage { faults: vec![fault(&bad, &list)].into(), list, ..page }),
    };
    if form.get("do") == Some("try") {
        let tried = read.find(&page.text).iter().map(|hit| FlagTag::of(hit, true)).collect();
        return html(&FlagsPage { list, tried: Some(tried), ..page });
    }
    if list.is_empty() {
        let fault = Fault::new("list", "Enter the phrases, or put the shipped list back");
        return html(&FlagsPage { faults: vec![fault].into(), list, ..page });
    }
    // Who has the shipped one gets that of the next release too.
    let value = if list == SHIPPED.trim_end() { String::new() } else { format!("{list}\n") };
    let saved = site.store.change_settings(vec![(Setting::Flags, value)], seen, caseworker.by(), clock::now()).await?;
    if saved == Saved::Done {
        return Ok(see_other(&format!("{PAGE}?done=saved")));
    }
    let now = self::page(&site, &caseworker).await?;
    let who = now.changed.as_ref().map_or("Somebody", |(who, _)| who.as_str());
    let words = format!(
        "{who} changed the list after you opened it, so yours was not saved. Compare it with theirs below, then save again"
    );
    let theirs = Some(plain_text::pieces(&now.list));
    html(&FlagsPage { faults: vec![Fault::new("list", words)].into(), list, theirs, text: page.text, ..now })
}

/// What is wrong, with the line itself: a text field has no line numbers.
fn fault(bad: &BadList, list: &str) -> Fault {
    let line = bad.line().and_then(|number| list.lines().nth(number.checked_sub(1)?));
    let line: Option<String> = line.map(|line| line.chars().take(60).collect());
    Fault::new(
        "list",
        line.map_or_else(|| bad.to_string(), |line| format!("{bad}: ‘{}’", plain_text::line(line.trim()))),
    )
}
