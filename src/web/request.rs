//! What handlers are given: the site, who asks, the words of a query or a form.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;

use super::Site;
use super::problem::Problem;
use crate::access::{Caseworker, May, NotSignedIn, refuse_cross_site};
use crate::clock;
use crate::edge::Peer;
use crate::notify::term::Term;

/// A form must be whole by then.
const FORM_WITHIN: Duration = Duration::from_secs(20);
/// A form larger than this is none of ours.
const LARGEST_FORM: usize = 64 * 1024;
/// A list of phrases as a form carries it.
const LARGEST_LIST: usize = 512 * 1024;

/// A form that is longer, as it stands in another, is not carried through the sign-in. The rest is for what else stands there.
const LARGEST_KEPT: usize = LARGEST_FORM - 8 * 1024;

/// A longer search is carried nowhere.
const LONGEST_SEARCH: usize = 4000;

/// The site, for a handler.
pub(super) fn site(
    site: &Arc<Site>,
) -> impl Filter<Extract = (Arc<Site>,), Error = std::convert::Infallible> + Clone + use<> {
    let site = site.clone();
    warp::any().map(move || site.clone())
}

/// The signed-in person, or the answer for nobody.
pub(super) fn caseworker(of: &Arc<Site>) -> BoxedFilter<(Result<Caseworker, Problem>,)> {
    site(of)
        .and(warp::header::headers_cloned())
        .and(source())
        .and(warp::path::full())
        .and(query_text())
        .then(async |site: Arc<Site>, headers: HeaderMap, from: String, path: FullPath, query: String| {
            let wanted = wanted(path.as_str(), &query);
            site.visitors.recognise(&headers, &from, clock::now()).await.map_err(|refused| match refused {
                NotSignedIn::NoSession => Problem::SignInFirst { wanted },
                NotSignedIn::Store(error) => error.into(),
            })
        })
        .boxed()
}

/// As [`caseworker`], for a page that is not for everybody.
pub(super) fn allowed(of: &Arc<Site>, what: May) -> BoxedFilter<(Result<Caseworker, Problem>,)> {
    caseworker(of).map(move |asks: Result<Caseworker, Problem>| permitted(asks?, what)).boxed()
}

fn permitted(caseworker: Caseworker, what: May) -> Result<Caseworker, Problem> {
    if caseworker.may(what) {
        return Ok(caseworker);
    }
    let account = caseworker.by().person;
    tracing::warn!(event = "access.forbidden", account, ?what, "someone asked for what their role does not give them");
    Err(Problem::Forbidden)
}

/// As [`form_kept`], for a form that is not for everybody.
pub(super) fn form_kept_allowed(of: &Arc<Site>, what: May) -> BoxedFilter<(Result<(Caseworker, Words), Problem>,)> {
    of_allowed(form_kept(of), what)
}

/// As [`form_kept_allowed`], of a page for a long list.
pub(super) fn long_form_kept_allowed(
    of: &Arc<Site>,
    what: May,
) -> BoxedFilter<(Result<(Caseworker, Words), Problem>,)> {
    of_allowed(kept(of, long_form()), what)
}

fn of_allowed(
    asked: BoxedFilter<(Result<(Caseworker, Words), Problem>,)>,
    what: May,
) -> BoxedFilter<(Result<(Caseworker, Words), Problem>,)> {
    asked
        .map(move |asked: Result<(Caseworker, Words), Problem>| {
            let (caseworker, form) = asked?;
            Ok((permitted(caseworker, what)?, form))
        })
        .boxed()
}

/// The signed-in person with the words of a form. Where the session has ended meanwhile the words go along through the sign-in, and
/// the form is offered again with them.
pub(super) fn form_kept(of: &Arc<Site>) -> BoxedFilter<(Result<(Caseworker, Words), Problem>,)> {
    kept(of, form())
}

fn kept(
    of: &Arc<Site>,
    form: BoxedFilter<(Result<Words, Problem>,)>,
) -> BoxedFilter<(Result<(Caseworker, Words), Problem>,)> {
    caseworker(of)
        .and(form)
        .and(warp::path::full())
        .map(|who: Result<Caseworker, Problem>, form: Result<Words, Problem>, path: FullPath| {
            let form = form?;
            match who {
                Err(Problem::SignInFirst { .. }) => Err(Kept::of(path.as_str(), &form)
                    .map_or(Problem::SignInFirst { wanted: "/".into() }, Problem::SignInKeeping)),
                who => Ok((who?, form)),
            }
        })
        .boxed()
}

/// A form that was sent after the session had ended.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// The page that it was sent to.
    pub(super) path: String,
    /// Its words, as one text.
    pub(super) words: String,
}

impl Kept {
    /// Where there is something to keep, and it is not too long to go along.
    fn of(path: &str, form: &Words) -> Option<Kept> {
        let kept = form.0.iter().filter(|(name, value)| !name.contains("password") && !value.is_empty());
        let words = form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
        let length: usize = form_urlencoded::byte_serialize(words.as_bytes()).map(str::len).sum();
        (!words.is_empty() && length <= LARGEST_KEPT).then(|| Kept { path: path.to_owned(), words })
    }

    /// What a sign-in carried along, if it leads to a page of ours that takes forms.
    pub(super) fn carried(form: &Words) -> Option<Kept> {
        let (path, words) = (form.get("kept_for")?.to_owned(), form.get("kept")?.to_owned());
        let is_ours = path.starts_with('/') && !path.contains('\\');
        (is_ours && super::methods(&path)?.ends_with("POST")).then_some(Kept { path, words })
    }

    /// The names and values.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        Words::parse(self.words.as_bytes()).0
    }
}

/// Who sent a form to an address that has no page: one who is not signed in any more is led on to `page`, with GET.
pub(super) fn led_on(asks: Result<Caseworker, Problem>, page: &str) -> Result<Caseworker, Problem> {
    asks.map_err(|problem| match problem {
        Problem::SignInFirst { .. } => Problem::SignInFirst { wanted: page.to_owned() },
        other => other,
    })
}

/// The network address that a request came from; empty where nobody can say.
pub(super) fn source() -> BoxedFilter<(String,)> {
    warp::ext::optional::<Peer>().map(address).boxed()
}

/// The network address of whose request it is.
pub(super) fn address(peer: Option<Peer>) -> String {
    peer.map(|peer| peer.source.to_string()).unwrap_or_default()
}

/// The page that is gone to after signing in. A query that may hold a number or an address is left out, so that it does not
/// stand in yet another address.
fn wanted(path: &str, query: &str) -> String {
    let typed = Words::parse(query.as_bytes());
    let mut searches = typed.0.iter().filter(|(name, _)| name == "q");
    let personal = searches.any(|(_, typed)| {
        typed.len() > LONGEST_SEARCH || matches!(Term::of(typed), Some(Term::People(_) | Term::Words(_)))
    });
    if query.is_empty() || personal { path.to_owned() } else { format!("{path}?{query}") }
}

/// The pairs of a query or a form. The first of a name counts; a wrong one is as good as none.
#[derive(Clone, Debug, Default)]
pub(super) struct Words(Vec<(String, String)>);

impl Words {
    pub(super) fn parse(text: &[u8]) -> Words {
        Words(form_urlencoded::parse(text).into_owned().collect())
    }

    /// What stands at a name; nothing and white space alone are the same.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name)?;
        Some(found.1.as_str()).filter(|value| !value.trim().is_empty())
    }

    /// Everything that stands at a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Those of these names alone.
    pub(super) fn only(&self, names: &[&str]) -> Words {
        Words(self.0.iter().filter(|(name, _)| names.contains(&name.as_str())).cloned().collect())
    }

    /// Whether the name is there at all, be it with nothing.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// A number at a name.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }
}

/// The words of the query, none where there is none.
pub(super) fn query() -> BoxedFilter<(Words,)> {
    query_text().map(|text: String| Words::parse(text.as_bytes())).boxed()
}

fn query_text() -> BoxedFilter<(String,)> {
    warp::query::raw().or(warp::any().map(String::new)).unify().boxed()
}

/// The words of a form that came from our own page.
pub(super) fn form() -> BoxedFilter<(Result<Words, Problem>,)> {
    form_up_to(LARGEST_FORM)
}

/// As [`form`], of a page for a long list.
pub(super) fn long_form() -> BoxedFilter<(Result<Words, Problem>,)> {
    form_up_to(LARGEST_LIST)
}

fn form_up_to(largest: usize) -> BoxedFilter<(Result<Words, Problem>,)> {
    warp::header::headers_cloned()
        .and(source())
        .and(warp::body::stream())
        .then(move |headers: HeaderMap, from: String, body| async move {
            refuse_cross_site(&headers).map_err(|_| {
                tracing::warn!(
                    event = "access.cross_site",
                    from,
                    "a form that another site made a browser send was refused"
                );
                Problem::CrossSite
            })?;
            let form = tokio::time::timeout(FORM_WITHIN, whole(body, largest)).await.ok().flatten();
            Ok(Words::parse(&form.ok_or(Problem::BadRequest)?))
        })
        .boxed()
}

async fn whole<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>>, largest: usize) -> Option<Vec<u8>> {
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.ok()?;
        if bytes.len() + chunk.remaining() > largest {
            return None;
        }
        while chunk.has_remaining() {
            let piece = chunk.chunk().to_vec();
            chunk.advance(piece.len());
            bytes.extend(piece);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_personal_is_not_carried_through_the_sign_in() {
        assert_eq!(wanted("/receipts", "q=07700+900123&status=sent"), "/receipts");
        assert_eq!(wanted("/receipts", "status=sent&q=a%40b.example"), "/receipts");
        assert_eq!(
            wanted("/receipts", "q=HB-2026-004217&after=0-1234567"),
            "/receipts?q=HB-2026-004217&after=0-1234567"
        );
        assert_eq!(wanted("/receipts", ""), "/receipts");
        assert_eq!(wanted("/receipts", &format!("q={}", "x".repeat(50_000))), "/receipts");
    }

    #[test]
    fn a_form_is_kept_where_the_form_that_carries_it_is_taken() {
        let of = |list: &str| Kept::of("/flags", &Words(vec![("list".into(), list.into())]));
        assert!(of(&crate::flagging::SHIPPED.replace('\n', "\r\n")).is_some(), "the list that is shipped is");
        for line in ["wrong number\r\n", "é\r\n", "\r\n", "x"] {
            let longest = (0..20)
                .rev()
                .map(|part| part * LARGEST_FORM / 20 / line.len())
                .find_map(|times| of(&line.repeat(times)))
                .unwrap();
            let carried = form_urlencoded::Serializer::new(String::new()).append_pair("kept", &longest.words).finish();
            assert!(carried.len() < LARGEST_FORM && carried.len() > LARGEST_FORM / 2, "{line:?}: {}", carried.len());
        }
    }

    #[test]
    fn empty_words_are_as_good_as_none() {
        let words = Words::parse(b"q=+&page=&after=1-2&after=3-4&n=x");
        assert_eq!(words.get("q"), None);
        assert_eq!(words.get("page"), None);
        assert_eq!(words.get("after"), Some("1-2"));
        assert_eq!(words.number("n"), None);
    }
}
