//! The only map from what went wrong to a page and a status, and the headers that every page carries.

use askama::Template;
use http::StatusCode;
use http::header::{self, HeaderValue};
use warp::reply::{Reply, Response};

use super::assets;
use super::chrome::{self, Chrome};
use super::request::Kept;
use crate::edge::asked;
use crate::store::StoreError;

/// Why a page is not what was asked for. It goes along with the answer, so that its page can be made for whoever asks.
#[derive(Clone, Debug)]
pub(super) enum Problem {
    /// Nobody is signed in; the page that was wanted.
    SignInFirst {
        /// Its path and query.
        wanted: String,
    },
    /// Nobody is signed in any more, and a form was sent.
    SignInKeeping(Kept),
    /// There is no such thing, or this person may not know of it.
    NotFound,
    /// The link to a search for a person is wrong or too old.
    NoSearch,
    /// This person may not see the page.
    Forbidden,
    /// The form came from another site.
    CrossSite,
    /// The request could not be understood.
    BadRequest,
    /// Another method is needed there.
    WrongMethod {
        /// Those that are.
        allowed: &'static str,
    },
    /// The store is busy.
    Busy,
    /// Nothing can be written for now, and somebody has to do something about it.
    NothingWritten,
    /// Who sees it could not be written down, so it is not shown.
    NotRecorded,
    /// A session could not be ended; the browser alone has forgotten it.
    NotSignedOut,
    /// The store is damaged.
    Damaged,
    /// Something failed.
    Failed,
}

/// A handler's answer.
pub(super) type Answer = Result<Response, Problem>;

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::Full | StoreError::Busy | StoreError::TookTooLong => {
                tracing::warn!(event = "page.store_busy", error = %error, "a page could not be answered in time");
                Problem::Busy
            }
            // The alarm was raised when it began.
            StoreError::LogTooLong | StoreError::DiskFull => Problem::NothingWritten,
            // The alarm was raised when it was found.
            StoreError::Damaged(_) => Problem::Damaged,
            StoreError::Stopped | StoreError::Closed | StoreError::Journal(_) | StoreError::Sqlite(_) => {
                tracing::error!(event = "page.failed", error = %error, "a page could not be shown");
                Problem::Failed
            }
        }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    chrome: Chrome,
    heading: &'static str,
    paragraphs: &'static [&'static str],
    /// By which it is found in the log, where it is the service's fault.
    request: Option<String>,
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Problem::SignInFirst { .. } => StatusCode::SEE_OTHER,
            // Its page is the one where people sign in.
            Problem::SignInKeeping(_) => StatusCode::OK,
            Problem::NotFound | Problem::NoSearch => StatusCode::NOT_FOUND,
            Problem::Forbidden | Problem::CrossSite => StatusCode::FORBIDDEN,
            Problem::BadRequest => StatusCode::BAD_REQUEST,
            Problem::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Problem::Busy
            | Problem::NothingWritten
            | Problem::NotRecorded
            | Problem::NotSignedOut
            | Problem::Damaged => StatusCode::SERVICE_UNAVAILABLE,
            Problem::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The heading and what to do, for somebody who is signed in and has the search box, or is not.
    fn words(&self, signed_in: bool) -> (&'static str, &'static [&'static str]) {
        match self {
            Problem::SignInFirst { .. } | Problem::SignInKeeping(_) => {
                ("Sign in first", &["You need to sign in to see this page."])
            }
            Problem::NotFound if signed_in => (
                "Page not found",
                &[
                    "If you typed the web address, check it is correct.",
                    "If you pasted the web address, check you copied the entire address.",
                    "You can also search for a reference, a phone number or an email address.",
                ],
            ),
            Problem::NotFound => (
                "Page not found",
                &[
                    "If you typed the web address, check it is correct.",
                    "If you pasted the web address, check you copied the entire address.",
                ],
            ),
            Problem::NoSearch => (
                "This link to a search no longer works",
                &[
                    "A link to a search for a phone number or an email address works for 30 days.",
                    "Search for it again. If you pasted the web address, check you copied the entire address.",
                ],
            ),
            Problem::Forbidden => (
                "You cannot see this page",
                &["Your account does not let you see it. If you need it for your work, ask your manager."],
            ),
            Problem::CrossSite => (
                "This form came from somewhere else",
                &["For your safety it was not accepted. Open the page again here and send the form from there."],
            ),
            Problem::BadRequest | Problem::WrongMethod { .. } => {
                ("There is a problem with this request", &["Go back, load the page again and try once more."])
            }
            Problem::Busy => ("The service is busy", &["Nothing is lost. Wait a moment, then try again."]),
            Problem::NothingWritten => (
                "Nothing can be saved at the moment",
                &[
                    "What was saved before is safe and can be read. What you did just now was not saved.",
                    "Try again. If it goes on, tell the people who run this service: its log says what to do.",
                ],
            ),
            Problem::NotRecorded => (
                "This cannot be shown at the moment",
                &[
                    "Who sees personal data is written down before it is shown, and nothing can be written now. Nothing is lost.",
                    "Try again. If it goes on, tell the people who run this service: its log says what to do.",
                ],
            ),
            Problem::NotSignedOut => (
                "You are signed out in this browser only",
                &[
                    "Your session could not be ended, because nothing can be saved at the moment. This browser has forgotten it, and it ends by itself after 30 minutes.",
                    "If somebody else may have used this browser, tell the people who run this service now.",
                ],
            ),
            Problem::Damaged => (
                "The service has stopped because its data is damaged",
                &[
                    "Nothing is shown, because it could be wrong or incomplete.",
                    "Tell the people who run this service now. They need to restore a backup: its log says how.",
                    "New receipts and messages are not kept until then. GOV.UK Notify sends each again for about 25 minutes.",
                ],
            ),
            Problem::Failed => (
                "There is a problem with the service",
                &["Try again later. If it goes on, tell the people who run this service: the reason is in its log."],
            ),
        }
    }

    /// The page for it.
    pub(super) fn page(&self, chrome: Chrome) -> Response {
        let (heading, paragraphs) = self.words(chrome.person.is_some());
        let request = asked().filter(|_| self.status().is_server_error()).map(|asked| asked.id().to_string());
        let page = ProblemPage { chrome, heading, paragraphs, request };
        self.with_status(html(&page).unwrap_or_else(|_| heading.into_response()))
    }

    /// Its words alone, until its page is made for whoever asks.
    fn bare(&self) -> Response {
        self.with_status(self.words(false).0.into_response())
    }

    fn with_status(&self, mut response: Response) -> Response {
        *response.status_mut() = self.status();
        match self {
            Problem::SignInFirst { wanted } => {
                let next: String = form_urlencoded::Serializer::new(String::new()).append_pair("next", wanted).finish();
                set(&mut response, header::LOCATION, &format!("/sign-in?{next}"));
            }
            Problem::WrongMethod { allowed } => set(&mut response, header::ALLOW, allowed),
            _ => (),
        }
        response
    }
}

/// A handler's answer as what is sent.
pub(super) fn answer(answer: Answer) -> Response {
    answer.unwrap_or_else(|problem| {
        let mut response = problem.bare();
        response.extensions_mut().insert(problem);
        response
    })
}

/// The problem that an answer tells of, where it has a page.
pub(super) fn told_by(response: &Response) -> Option<Problem> {
    response.extensions().get::<Problem>().filter(|problem| !matches!(problem, Problem::SignInFirst { .. })).cloned()
}

/// Stands with a page that tells of the sign-in before.
#[derive(Clone)]
pub(super) struct TellsOfSignInBefore;

/// A template as a page.
pub(super) fn html(page: &impl Template) -> Answer {
    match page.render() {
        Ok(text) => {
            let tells = text.contains(chrome::TELLS_OF_SIGN_IN_BEFORE);
            let mut response = warp::reply::html(text).into_response();
            if tells {
                response.extensions_mut().insert(TellsOfSignInBefore);
            }
            Ok(response)
        }
        Err(error) => {
            tracing::error!(event = "page.failed", error = %error, "a page could not be written");
            Err(Problem::Failed)
        }
    }
}

/// The same answer with another status.
pub(super) fn with_status(answer: Answer, status: StatusCode) -> Answer {
    answer.map(|mut response| {
        *response.status_mut() = status;
        response
    })
}

/// Sends the browser to another page, with GET.
pub(super) fn see_other(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    set(&mut response, header::LOCATION, path);
    response
}

/// Sets a header; a value that no header can hold is left out.
pub(super) fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The headers that every page carries.
pub(super) fn secured(mut response: Response, https: bool) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, assets::CONTENT_SECURITY_POLICY),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
        (header::HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    bare(response, https)
}

/// For a year, here and at whatever is named below this host.
const ONLY_HTTPS: &str = "max-age=31536000; includeSubDomains";
/// What a browser may do with an answer that is no page.
const NOTHING: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The headers that every answer carries, be it empty. What a person saw stays in no cache. Where the site's address is https, or
/// the connection is encrypted here,
/// browsers use nothing else from then on.
pub(super) fn bare(mut response: Response, https: bool) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(ONLY_HTTPS));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NOTHING));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::chrome::Here;
    use super::*;

    #[test]
    fn each_problem_has_a_page_of_its_own_and_a_status() {
        let problems = [
            (Problem::NotFound, 404),
            (Problem::Forbidden, 403),
            (Problem::CrossSite, 403),
            (Problem::BadRequest, 400),
            (Problem::NoSearch, 404),
            (Problem::WrongMethod { allowed: "GET" }, 405),
            (Problem::Busy, 503),
            (Problem::NothingWritten, 503),
            (Problem::NotRecorded, 503),
            (Problem::NotSignedOut, 503),
            (Problem::Damaged, 503),
            (Problem::Failed, 500),
        ];
        for (problem, status) in problems {
            let (heading, paragraphs) = problem.words(false);
            let page = problem.page(Chrome::new(&Arc::default(), None, Here::Nowhere));
            assert_eq!(page.status(), status);
            assert!(page.headers().contains_key(header::CONTENT_TYPE), "{heading}");
            assert!(!paragraphs.is_empty(), "{heading} says what to do");
        }
    }

    #[test]
    fn no_search_is_promised_to_who_has_no_search_box() {
        for problem in [
            Problem::NotFound,
            Problem::Busy,
            Problem::NothingWritten,
            Problem::NotRecorded,
            Problem::NotSignedOut,
            Problem::Damaged,
            Problem::Failed,
            Problem::CrossSite,
            Problem::BadRequest,
        ] {
            assert!(!problem.words(false).1.concat().to_lowercase().contains("search"), "{problem:?}");
        }
        assert!(Problem::NotFound.words(true).1.concat().contains("search"));
    }

    #[test]
    fn a_store_that_is_busy_is_told_from_one_that_failed() {
        assert!(matches!(Problem::from(StoreError::TookTooLong), Problem::Busy));
        assert!(matches!(Problem::from(StoreError::Full), Problem::Busy));
        assert!(matches!(Problem::from(StoreError::Busy), Problem::Busy));
        assert!(matches!(Problem::from(StoreError::LogTooLong), Problem::NothingWritten));
        assert!(matches!(Problem::from(StoreError::Damaged(String::new())), Problem::Damaged));
        assert!(matches!(Problem::from(StoreError::Closed), Problem::Failed));
    }
}
