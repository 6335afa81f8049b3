//! What a listener without TLS answers beside those that have it: pages lead to https, and nothing else leads anywhere.
//!
//! A callback that comes in the clear is neither led on, since Notify would ask there by GET and take the answer for an acknowledgement,
//! nor refused for good: it is answered 503, which is sent again, and the log says that the address in Notify is to be mended. Its
//! token is not looked at, and no cookie is read or set.

use http::{HeaderMap, Method, StatusCode, header};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::{Reply, Response};

use super::callbacks::is_below_callbacks;
use super::problem;

/// Leads to the same page below an https address.
#[must_use]
pub fn to_https(public_url: &str) -> BoxedFilter<(Response,)> {
    let to = public_url.trim_end_matches('/').to_owned();
    let query = warp::query::raw().map(|query: String| format!("?{query}"));
    let query = query.or(warp::any().map(String::new)).unify();
    let answer = move |method: Method, path: FullPath, query: String, headers: HeaderMap| {
        let is_page = matches!(method, Method::GET | Method::HEAD) && !is_below_callbacks(path.as_str());
        let mut response = if is_page {
            let mut response = StatusCode::PERMANENT_REDIRECT.into_response();
            problem::set(&mut response, header::LOCATION, &format!("{to}{}{query}", path.as_str()));
            response
        } else {
            if headers.contains_key(header::AUTHORIZATION) {
                tracing::error!(
                    event = "callback.sent_in_clear",
                    "a callback may have been sent without TLS, and was answered 503: write its address in Notify with https, and change \
                     its token, which others may have read"
                );
            }
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        };
        // What came with it has not been read.
        problem::set(&mut response, header::CONNECTION, "close");
        problem::bare(response, false)
    };
    warp::method().and(warp::path::full()).and(query).and(warp::header::headers_cloned()).map(answer).boxed()
}
