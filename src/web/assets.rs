//! The stylesheet, the script and the icon, compiled into the binary by `build.rs`; each is named by its content's hash, so that
//! a browser keeps it for good.

use http::header;
use http::{HeaderMap, HeaderValue};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::{Reply, Response};

use super::compressing::takes_gzip;
use super::get;

struct Asset {
    url: &'static str,
    mime: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// What browsers ask for by themselves.
const FAVICON: &str = "/favicon.ico";

pub(super) fn routes() -> BoxedFilter<(Response,)> {
    get()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and_then(async |path: FullPath, headers: HeaderMap| {
            let found = find(path.as_str()).ok_or_else(warp::reject::not_found)?;
            let mut response = sent(found, takes_gzip(&headers));
            if path.as_str() == FAVICON {
                response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
            }
            Ok::<_, warp::Rejection>(response)
        })
        .boxed()
}

/// Whether there is one at this path.
pub(super) fn is_one(path: &str) -> bool {
    find(path).is_some()
}

fn find(path: &str) -> Option<&'static Asset> {
    let url = if path == FAVICON { ICON_URL } else { path };
    ASSETS.iter().find(|asset| asset.url == url)
}

fn sent(asset: &Asset, gzip: bool) -> Response {
    let mut response = if gzip { asset.gzip.into_response() } else { asset.plain.into_response() };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.mime));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}
