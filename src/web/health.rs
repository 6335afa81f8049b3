//! `/livez` and `/readyz`, for what watches over the server: a word each, and nothing that is anybody's. A container's or a load balancer's
//! probe signs in nowhere.

use std::sync::Arc;

use http::StatusCode;
use http::header::{self, HeaderValue};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::{Reply, Response};

use super::{Site, get, one_of, request};
use crate::clock;

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("livez").and(get()).map(|| plain(StatusCode::OK, "alive".into())).boxed(),
        warp::path!("readyz").and(get()).and(request::site(site)).then(readyz).boxed(),
    ])
}

/// Ready while callbacks are taken.
async fn readyz(site: Arc<Site>) -> Response {
    match site.store.readiness(clock::now()).await {
        Ok(()) => plain(StatusCode::OK, "ready".into()),
        Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, why.to_string()),
    }
}

fn plain(status: StatusCode, word: String) -> Response {
    let mut response = warp::reply::with_status(word + "\n", status).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
