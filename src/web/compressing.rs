//! Pages go out compressed, to those browsers where the length of a compressed page can tell nobody what stands in it.
//!
//! Encryption hides what is sent, and not how long it is. What repeats compresses well: a page that shows a term back beside a
//! phone number is a few bytes shorter where the term is a part of the number. Who watches the wire, and can make a browser ask for
//! one term after another, finds the number out (BREACH). Any site could make it ask: it leads the browser to an address of ours,
//! and the cookie goes along. So a page is compressed only where the browser says that no other site had a part in the request,
//! which is `Sec-Fetch-Site: same-origin` or `none`.
//!
//! - No script can set that header, and it says the worst of the whole way: who is led here over a redirect, be it one of ours,
//!   comes from where the way began.
//! - `same-origin` is a link or a form of ours. Links, forms, frames and windows of others are `cross-site`, or `same-site`
//!   from another host of the same domain, and are sent the page as it is. A term that another site brought stands in the links
//!   of that page, but a person has to follow one each time. The script asks by itself for a few numbers alone.
//! - `none` is an address that was typed, a bookmark, or a link in another program: a person, each time.
//! - A form of another site is refused, and its answer holds nothing.
//! - Where the header is not there, as in old browsers and over plain http, the page goes as it is.
//!
//! Anybody can have words of theirs on a page, by sending a text. So a compressed page is a few bytes longer at random: what one
//! guess costs in texts is multiplied by all that it takes to see one byte through that.
//!
//! Whatever stands before the server must not compress what this sends as it is.

use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use warp::reply::{Reply as _, Response};

use super::problem::{Problem, answer};

/// A shorter page fits into one packet as it is.
const SHORTEST: u64 = 1024;
/// A compressed page is longer by up to so many bytes.
const LONGER: u8 = 127;
/// What an answer depends on beside its address.
const DEPENDS_ON: HeaderValue = HeaderValue::from_static("accept-encoding, sec-fetch-site");

/// The same page, compressed where that is safe and of use. What is no page, or is made while it is sent, stays as it is.
pub(super) async fn where_safe(asked: &HeaderMap, mut response: Response) -> Response {
    let is_page =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !is_page {
        return response;
    }
    response.headers_mut().insert(header::VARY, DEPENDS_ON);
    let is_long = response.body().size_hint().exact().is_some_and(|length| length >= SHORTEST);
    if !is_long || !takes_gzip(asked) || !is_asked_by_no_other_site(asked) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(page) = body.collect().await else { return answer(Err(Problem::Failed)) };
    let page = page.to_bytes();
    let body = match gzip(&page) {
        Ok(compressed) => {
            head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            compressed.into_response()
        }
        Err(error) => {
            tracing::warn!(event = "page.not_compressed", error = %error, "a page is sent as it is");
            page.to_vec().into_response()
        }
    };
    Response::from_parts(head, body.into_body())
}

/// Whether the browser says that no other site had a part in the request. No browser sends the header twice.
fn is_asked_by_no_other_site(asked: &HeaderMap) -> bool {
    let mut said = asked.get_all("sec-fetch-site").iter();
    said.next().is_some_and(|site| site == "same-origin" || site == "none") && said.next().is_none()
}

/// Compressed, with a name of some length in its head, which is read by nobody.
fn gzip(page: &[u8]) -> io::Result<Vec<u8>> {
    let mut random = [0];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let name = vec![b'-'; usize::from(random[0] & LONGER)];
    let mut gzip = GzBuilder::new().filename(name).write(Vec::new(), Compression::default());
    gzip.write_all(page)?;
    gzip.finish()
}

/// Whether whoever asks can read what is compressed.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = accepted.flat_map(|line| line.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn asking(encoding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding))])
    }

    #[test]
    fn gzip_is_sent_to_whom_it_suits() {
        assert!(takes_gzip(&asking("br, gzip;q=0.5")));
        assert!(!takes_gzip(&asking("gzip;q=0, br")));
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn the_length_of_a_compressed_page_tells_only_about_how_long_it_is() {
        let page = b"07700 900123 ".repeat(200);
        let lengths: BTreeSet<usize> = (0..200)
            .map(|_| {
                let compressed = gzip(&page).unwrap();
                let mut read = Vec::new();
                GzDecoder::new(compressed.as_slice()).read_to_end(&mut read).unwrap();
                assert_eq!(read, page);
                compressed.len()
            })
            .collect();
        assert!(lengths.len() > 20, "{lengths:?}");
        assert!(lengths.last().unwrap() - lengths.first().unwrap() <= usize::from(LONGER));
    }
}
