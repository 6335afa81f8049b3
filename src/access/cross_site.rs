//! Requests that another site makes a signed-in browser send.

use http::HeaderMap;
use http::header::{HOST, ORIGIN};

/// A form that came from another site.
#[derive(Debug, PartialEq, Eq)]
pub struct CrossSite;

/// Refuses a form from another site: by `Sec-Fetch-Site`, else by `Origin`. A request with neither comes from no browser.
///
/// # Errors
/// When the request comes from another site.
pub fn refuse_cross_site(headers: &HeaderMap) -> Result<(), CrossSite> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some("same-origin" | "none"), _) | (None, None) => Ok(()),
        (Some(_), _) => Err(CrossSite),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            if host.is_some() && host == text(HOST.as_str()) { Ok(()) } else { Err(CrossSite) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(pairs: &[(&'static str, &'static str)]) -> bool {
        let headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)))
            .collect();
        refuse_cross_site(&headers).is_ok()
    }

    #[test]
    fn only_the_own_site_may_send_a_form() {
        assert!(judged(&[("sec-fetch-site", "same-origin")]));
        assert!(judged(&[("sec-fetch-site", "none")]));
        assert!(!judged(&[("sec-fetch-site", "same-site")]));
        assert!(!judged(&[("sec-fetch-site", "cross-site"), ("origin", "https://a.example"), ("host", "a.example")]));
        assert!(judged(&[("origin", "https://a.example"), ("host", "a.example")]));
        assert!(!judged(&[("origin", "https://b.example"), ("host", "a.example")]));
        assert!(!judged(&[("origin", "null"), ("host", "a.example")]));
        assert!(judged(&[]));
    }
}
