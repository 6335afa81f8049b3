//! `/arrivals`: how much is unread and whether something came since a page was shown, for the script that asks now and then. It is
//! numbers alone, of what the person may see, so it is not written down, and asking is no use of the session.

use std::sync::Arc;

use http::{HeaderMap, header};
use serde::Serialize;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::{Reply, Response};

use super::chrome::unread;
use super::problem::{Answer, Problem, answer, set};
use super::request::{self, Words};
use super::{Site, get};
use crate::access::NotSignedIn;
use crate::clock;

/// What the script is told.
#[derive(Default, Serialize)]
struct Told {
    signed_in: bool,
    /// How many conversations are unread, as the menu says it; empty where none are.
    unread: String,
    /// How many conversations have texts that came since; none where the page names no arrival.
    new: i64,
}

/// Where a page stands: what the script hands back.
pub(super) struct Shown {
    /// The arrival of the newest text that there was.
    pub(super) since: i64,
    /// The conversation that it shows, by its name; otherwise it shows the inbox.
    pub(super) conversation: Option<String>,
    /// What is loaded to see what came since.
    pub(super) href: String,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    warp::path!("arrivals")
        .and(get())
        .and(request::site(site))
        .and(warp::header::headers_cloned())
        .and(request::source())
        .and(request::query())
        .then(look)
        .map(answer)
        .boxed()
}

async fn look(site: Arc<Site>, headers: HeaderMap, from: String, query: Words) -> Answer {
    let told = match site.visitors.look(&headers, &from, clock::now()).await {
        Ok(who) => {
            let conversation = query.get("conversation").map(str::to_owned);
            let new = match query.number("since") {
                Some(since) => site.store.conversations_since(who.sees(), since, conversation).await?,
                None => 0,
            };
            Told { signed_in: true, unread: unread(&who).unwrap_or_default(), new }
        }
        Err(NotSignedIn::NoSession) => Told::default(),
        Err(NotSignedIn::Store(error)) => return Err(error.into()),
    };
    let text = serde_json::to_string(&told).map_err(|_| Problem::Failed)?;
    let mut response = text.into_response();
    set(&mut response, header::CONTENT_TYPE, "application/json");
    Ok(response)
}
