//! `/metrics`, for Prometheus, on a listener of its own: it names services, and is not for everybody who reaches the pages.

use std::sync::Arc;

use http::header::{self, HeaderValue};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::{Reply, Response};

use super::problem::{Answer, Problem, answer};
use super::{Site, get, request};
use crate::clock;

/// Prometheus's text format.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

pub(super) fn route(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    warp::path!("metrics").and(get()).and(request::site(site)).then(show).map(answer).boxed()
}

async fn show(site: Arc<Site>) -> Answer {
    let standing = site.store.standing(clock::now()).await;
    let text = site.store.meters().text(&standing).map_err(|error| {
        tracing::error!(event = "metrics.failed", error = %error, "the metrics could not be written");
        Problem::Failed
    })?;
    let mut response = text.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    Ok(response)
}
