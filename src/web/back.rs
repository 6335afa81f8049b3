//! The Back link: to the page of ours that the reader came from, with its filters and its page, or where it usually leads.
//!
//! From a list one comes by a plain link, and the browser says from where. Between messages and conversations links carry the
//! way back with them: else Back would lead to the page that one has just gone back from.

use http::{HeaderMap, header};

use super::request::Words;

/// A longer way back is forgotten.
const LONGEST: usize = 1000;

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

    /// The way that the link carried, else where the request came from, if that is another page of ours that one goes back to,
    /// else `usual`. `here` is the path of this page: its own other pages are no way back.
    pub(super) fn of(headers: &HeaderMap, query: &Words, here: &str, usual: Back) -> Back {
        let pages = [query.get("from"), own_page(headers)].into_iter().flatten();
        let mut ways = pages.filter(|page| path(page) != here).filter_map(|page| {
            // A browser takes \ for a slash.
            let safe = page.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
            named(path(page)).filter(|_| safe).map(|words| Back { href: page.to_owned(), words })
        });
        ways.next().unwrap_or(usual)
    }

    /// A link from the page `here`, which this leads back from, to another that leads back here.
    pub(super) fn onward(&self, here: &str, to: &str) -> String {
        let joint = if here.contains('?') { '&' } else { '?' };
        let whole = format!("{here}{joint}{}", from(&self.href));
        format!("{to}?{}", from(if whole.len() > LONGEST { here } else { &whole }))
    }
}

impl Back {
    /// A link to another page of the same matter, from which one goes back to the same place.
    pub(super) fn along(&self, to: &str) -> String {
        if *self == Back::to_inbox() {
            return to.to_owned();
        }
        let joint = if to.contains('?') { '&' } else { '?' };
        format!("{to}{joint}{}", from(&self.href))
    }
}

fn from(page: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("from", page).finish()
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
    let mut parts = path.strip_prefix('/')?.split('/');
    Some(match (parts.next()?, parts.next(), parts.next()) {
        ("receipts", None, None) | ("search", Some(_), None) => "Back to results",
        ("receipts", Some(_), None) => "Back to message",
        ("messages", None, None) => "Back to received text messages",
        ("messages", Some(_), None) => "Back to conversation",
        ("contacts", None | Some(_), None) => "Back to contacts to check",
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
        Back::of(&headers, &Words::default(), "/receipts/here", Back::to_results())
    }

    fn carried(from: &str) -> Back {
        let query = Words::parse(super::from(from).as_bytes());
        Back::of(&HeaderMap::new(), &query, "/receipts/here", Back::to_results())
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
        for from in [
            "//evil.example/receipts",
            "https://evil.example/receipts",
            "https:evil.example/receipts",
            "javascript:alert(1)/receipts",
            "@/receipts/other",
            "/receipts\\other",
            "/receipts/here",
            "/sign-out",
            "/receipts/é",
        ] {
            assert_eq!(carried(from), Back::to_results(), "{from}");
        }
    }

    #[test]
    fn the_way_back_is_carried_from_message_to_message() {
        let results = Back { href: "/receipts?q=AB&page=2".into(), words: "Back to results" };
        let onward = results.onward("/receipts/one", "/receipts/here");
        let query = Words::parse(onward.strip_prefix("/receipts/here?").unwrap().as_bytes());
        let back = Back::of(&HeaderMap::new(), &query, "/receipts/here", Back::to_results());
        assert_eq!(back.words, "Back to message");
        let query = Words::parse(back.href.strip_prefix("/receipts/one?").unwrap().as_bytes());
        assert_eq!(Back::of(&HeaderMap::new(), &query, "/receipts/one", Back::to_results()), results);
        let long = Back { href: format!("/receipts/{}", "x".repeat(LONGEST)), words: "" };
        assert_eq!(long.onward("/receipts/one", "/receipts/here"), "/receipts/here?from=%2Freceipts%2Fone");
    }
}
