//! The Back link: to the page of ours that the reader came from, with its filters and its page, or where it usually leads.

use http::{HeaderMap, header};

/// A Back link.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Back {
    pub(super) href: String,
    pub(super) words: &'static str,
}

impl Back {
    /// To results.
    pub(super) fn to_results() -> Back {
        Back { href: "/receipts".into(), words: "Back to results" }
    }

    /// To the inbox.
    pub(super) fn to_inbox() -> Back {
        Back { href: "/messages".into(), words: "Back to received text messages" }
    }

    /// To the quarantine.
    pub(super) fn to_quarantine() -> Back {
        Back { href: "/quarantine".into(), words: "Back to quarantine" }
    }

    /// Where the request came from, if that is another page of ours that one goes back to, else `usual`. `here` is the path of
    /// this page: its own other pages are no way back.
    pub(super) fn of(headers: &HeaderMap, here: &str, usual: Back) -> Back {
        let before = own_page(headers).filter(|page| path(page) != here);
        before.and_then(|page| named(path(page)).map(|words| Back { href: page.to_owned(), words })).unwrap_or(usual)
    }
}

/// The path and query that the request came from, where that is on this host.
fn own_page(headers: &HeaderMap) -> Option<&str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (_, rest) = text(header::REFERER)?.split_once("://")?;
    let (host, _) = rest.split_once('/')?;
    (Some(host) == text(header::HOST)).then(|| rest.get(host.len()..)).flatten()
}

fn path(page: &str) -> &str {
    page.split(['?', '#']).next().unwrap_or_default()
}

fn named(path: &str) -> Option<&'static str> {
    let mut parts = path.split('/').skip(1);
    Some(match (parts.next()?, parts.next(), parts.next()) {
        ("receipts", None, None) | ("search", Some(_), None) => "Back to results",
        ("receipts", Some(_), None) => "Back to message",
        ("messages", None, None) => "Back to received text messages",
        ("messages", Some(_), None) => "Back to conversation",
        ("quarantine", None, None) => "Back to quarantine",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(referer: &str) -> Back {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, http::HeaderValue::from_static("a.example:8080"));
        headers.insert(header::REFERER, http::HeaderValue::from_str(referer).unwrap());
        Back::of(&headers, "/receipts/here", Back::to_results())
    }

    #[test]
    fn back_leads_to_the_page_that_one_came_from() {
        for (page, words) in [
            ("/receipts?q=AB&status=delivered&after=0-9&page=2", "Back to results"),
            ("/search/0a1b?page=2", "Back to results"),
            ("/receipts/other%2Fid", "Back to message"),
            ("/messages/0a1b?before=9", "Back to conversation"),
            ("/messages?before=9.5", "Back to received text messages"),
            ("/quarantine?before=9", "Back to quarantine"),
        ] {
            assert_eq!(back(&format!("http://a.example:8080{page}")), Back { href: page.into(), words });
        }
    }

    #[test]
    fn nothing_else_is_a_way_back() {
        for referer in [
            "http://b.example/receipts?q=1",
            "http://a.example:8080/sign-in?next=%2Freceipts",
            "http://a.example:8080/receipts/here?x",
            "http://a.example:8080//evil.example/",
            "http://a.example:8080",
            "/receipts?q=1",
            "",
        ] {
            assert_eq!(back(referer), Back::to_results(), "{referer}");
        }
        assert_eq!(Back::of(&HeaderMap::new(), "/", Back::to_inbox()), Back::to_inbox());
    }
}
