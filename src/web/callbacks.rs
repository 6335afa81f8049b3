//! Notify's calls. The contract: 2xx only after the synced commit; with a valid token nothing is refused in a way that Notify
//! would not send again; no redirect, no cookie.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use futures_util::{Stream, StreamExt};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use sha2::{Digest, Sha256};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::{Reply, Response};

use super::{Site, request, took};
use crate::access::{Caller, Neighbourhood, Refused, Sender, Tester};
use crate::clock;
use crate::edge::{CloseUnanswered, Peer};
use crate::meters::{Came, NOT_UNDERSTOOD, TEST, UNREAD};
use crate::notify::{Callback, Kind, Unreadable};
use crate::store::{Alarm, AlarmSort, Arrival, Envelope, Origin, Stored};

/// No callback is larger. The one body that a valid token does not save.
const LARGEST: usize = 1024 * 1024;
/// A larger body is read and dropped up to here, so that its sender gets to read the answer.
const DROPPED: usize = 4 * 1024 * 1024;
/// A body must be whole by then.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Notify waits 5 seconds for an answer; a commit that takes longer than this is answered 503.
const COMMIT_WITHIN: Duration = Duration::from_millis(3500);

/// `/callbacks` and everything below it, in any case and after any number of slashes: an address put together from two parts
/// easily has one too many. And what is posted with a valid token to any other path: an address that was mistyped in Notify's
/// settings, or is a page's, loses nothing.
pub(super) fn wherever_they_come(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let is_one = async |method: Method, path: FullPath, headers: HeaderMap, site: Arc<Site>| {
        // A proxy may add a token of its own to what people send.
        let is_callback = is_below_callbacks(path.as_str())
            || method == Method::POST
                && !matches!(site.senders.check(&headers).await, Err(Refused::WrongToken | Refused::NoTokens));
        if is_callback { Ok(()) } else { Err(warp::reject::not_found()) }
    };
    warp::method()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(request::site(site))
        .and_then(is_one)
        .untuple_one()
        .and(call(site))
        .boxed()
}

pub(super) fn is_below_callbacks(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    first.eq_ignore_ascii_case("callbacks")
}

/// Any path at all.
pub(super) fn anywhere(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    call(site)
}

fn call(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    warp::method()
        .and(warp::path::full())
        .and(request::site(site))
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream())
        .then(async |method: Method, path: FullPath, site: Arc<Site>, headers: HeaderMap, peer: Option<Peer>, body| {
            if method != Method::POST {
                return with(StatusCode::METHOD_NOT_ALLOWED, header::ALLOW, "POST");
            }
            let (mut kind, mut service) = (UNREAD, None);
            let response = match site.senders.check(&headers).await {
                Ok(Caller::Notify(sender)) => {
                    service = Some(sender.service().0);
                    take(&site, &sender, path.as_str(), &headers, body, &mut kind).await
                }
                Ok(Caller::Tester(tester)) => {
                    kind = TEST;
                    try_out(&site, &tester, body).await
                }
                Err(refused) => {
                    if matches!(refused, Refused::AsExpected) {
                        kind = TEST;
                    }
                    refuse(&site, &refused, path.as_str(), peer)
                }
            };
            count(&site, service, kind, &response);
            response
        })
        .boxed()
}

async fn take<B: Buf>(
    site: &Site,
    sender: &Sender,
    path: &str,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
    kind: &mut &'static str,
) -> Response {
    let body = match tokio::time::timeout(BODY_WITHIN, read(body)).await {
        Ok(Body::Whole(body)) => body,
        Ok(Body::TooLarge) => {
            tracing::error!(event = "callback.too_large", "a body over 1 MiB was refused: no callback is as large");
            return with(StatusCode::PAYLOAD_TOO_LARGE, header::CONNECTION, "close");
        }
        // A 408 would lose it; a connection that ends without an answer is tried again.
        Ok(Body::Broken) | Err(_) => return unanswered(),
    };
    let envelope = Envelope {
        service: sender.service(),
        token: Some(sender.token()),
        origin: Origin::CalledBack,
        arrived_at: clock::now(),
        path: path.to_owned(),
    };
    let (arrival, read_as) = arrival(envelope, headers, body);
    *kind = read_as;
    keep(site, arrival).await
}

/// One that `counterfoil doctor` sent to its own server: it goes as far as every other, and is not kept.
async fn try_out<B: Buf>(site: &Site, tester: &Tester, body: impl Stream<Item = Result<B, warp::Error>>) -> Response {
    let body = match tokio::time::timeout(BODY_WITHIN, read(body)).await {
        Ok(Body::Whole(body)) => body,
        Ok(Body::TooLarge) => return with(StatusCode::PAYLOAD_TOO_LARGE, header::CONNECTION, "close"),
        Ok(Body::Broken) | Err(_) => return unanswered(),
    };
    let noted = site.store.take_test_callback(tester.secret(), Sha256::digest(&body).into(), clock::now());
    match tokio::time::timeout(COMMIT_WITHIN, noted).await {
        Ok(Ok(())) => {
            tracing::info!(event = "callback.test", "a test callback of counterfoil doctor came, and is not kept");
            empty(StatusCode::OK)
        }
        Ok(Err(_)) | Err(_) => empty(StatusCode::SERVICE_UNAVAILABLE),
    }
}

fn count(site: &Site, service: Option<i64>, kind: &'static str, response: &Response) {
    let meters = site.store.meters();
    let closed = response.extensions().get::<CloseUnanswered>().is_some();
    let answer = if closed { 0 } else { response.status().as_u16() };
    let now = clock::now();
    meters.came(Came { service, kind, answer }, now);
    took().inspect(|time| meters.callback_took(*time, answer, now));
}

/// Reads the body for what it is, and says what that was; what cannot be read is kept as it came.
fn arrival(envelope: Envelope, headers: &HeaderMap, body: Vec<u8>) -> (Arrival, &'static str) {
    let text = |name: header::HeaderName| {
        headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let plain = |encoding: &str| matches!(encoding.trim().to_ascii_lowercase().as_str(), "" | "identity");
    let encoding = text(header::CONTENT_ENCODING).filter(|encoding| !plain(encoding));
    let callback = if encoding.is_some() { Err(Unreadable::Compressed) } else { Callback::read(&body) };
    log_odd_path(&envelope.path, callback.as_ref().ok().map(Callback::kind));
    match callback {
        Ok(callback) => {
            let kind = callback.kind().path();
            (Arrival::callback(envelope, callback), kind)
        }
        Err(unreadable) => {
            tracing::warn!(
                event = "callback.quarantined",
                reason = unreadable.code(),
                "a callback could not be understood and went to quarantine"
            );
            let kept = Arrival::Quarantine {
                envelope,
                reason: unreadable.to_string(),
                content_type: text(header::CONTENT_TYPE),
                content_encoding: encoding,
                body,
            };
            (kept, NOT_UNDERSTOOD)
        }
    }
}

async fn keep(site: &Site, arrival: Arrival) -> Response {
    match tokio::time::timeout(COMMIT_WITHIN, site.store.keep(arrival)).await {
        Ok(Ok(Stored::New(_) | Stored::Again(_))) => empty(StatusCode::OK),
        Ok(Ok(Stored::Erased)) => {
            tracing::info!(
                event = "callback.erased",
                "a callback for a message that was erased was acknowledged and not kept"
            );
            empty(StatusCode::OK)
        }
        Ok(Err(error)) => {
            tracing::error!(event = "callback.not_stored", error = %error, "a callback could not be stored: Notify sends it again");
            empty(StatusCode::SERVICE_UNAVAILABLE)
        }
        Err(_) => {
            tracing::error!(event = "callback.slow_commit", "a callback took too long to store: Notify sends it again");
            empty(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

fn refuse(site: &Arc<Site>, refused: &Refused, path: &str, peer: Option<Peer>) -> Response {
    match refused {
        Refused::WrongToken => {
            let from = peer.map_or_else(String::new, |peer| peer.source.to_string());
            tracing::warn!(
                event = "callback.wrong_token",
                path = known_path(path),
                from,
                "a callback with a wrong or missing token was refused"
            );
            // Whoever has one address of IPv6 has very many.
            let near = peer.map_or_else(String::new, |peer| Neighbourhood::of(peer.source).to_string());
            raise(site.clone(), Alarm::new(AlarmSort::WrongToken, format!("{} from {near}", known_path(path))));
            unauthorized()
        }
        Refused::NoTokens => {
            tracing::error!(
                event = "callback.no_tokens",
                path = known_path(path),
                "a callback came, and this store has no token at all: Notify sends it again. Look whether --data names the right folder and \
                 what is mounted there. If all is new, make a token with counterfoil token add"
            );
            with(StatusCode::SERVICE_UNAVAILABLE, header::CONNECTION, "close")
        }
        Refused::AsExpected => {
            tracing::info!(
                event = "callback.test_refused",
                "a test callback of counterfoil doctor without a token was refused, as it was to be"
            );
            unauthorized()
        }
        Refused::Unsure(error) => {
            tracing::error!(event = "callback.tokens_unreadable", error = %error, "the tokens could not be read: Notify sends the callback again");
            with(StatusCode::SERVICE_UNAVAILABLE, header::CONNECTION, "close")
        }
    }
}

fn unauthorized() -> Response {
    let mut response = with(StatusCode::UNAUTHORIZED, header::WWW_AUTHENTICATE, "Bearer");
    // The body has not been read, so the connection cannot carry another request.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Raises an alarm without keeping whoever is to be answered.
fn raise(site: Arc<Site>, alarm: Alarm) {
    tokio::spawn(async move {
        if let Err(error) = site.store.raise(alarm, clock::now()).await {
            tracing::error!(event = "alarm.not_kept", error = %error, "an alarm could not be kept for the people who look at the pages");
        }
    });
}

enum Body {
    Whole(Vec<u8>),
    TooLarge,
    Broken,
}

async fn read<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>>) -> Body {
    let mut body = std::pin::pin!(body);
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(chunk) = body.next().await {
        let Ok(mut chunk) = chunk else { return Body::Broken };
        length += chunk.remaining();
        if length > DROPPED {
            break;
        }
        while length <= LARGEST && chunk.has_remaining() {
            let piece = chunk.chunk();
            bytes.extend_from_slice(piece);
            let taken = piece.len();
            chunk.advance(taken);
        }
    }
    if length > LARGEST { Body::TooLarge } else { Body::Whole(bytes) }
}

/// A mistyped address in Notify's settings loses nothing, and somebody should mend it.
fn log_odd_path(path: &str, kind: Option<Kind>) {
    let (path, own) = (known_path(path), kind.map(Kind::path));
    // What is of no kind may be on any path that there is.
    let is_odd = if own.is_some() { path != "/callbacks" && Some(path) != own } else { path == ANOTHER_PATH };
    if is_odd {
        tracing::warn!(
            event = "callback.odd_path",
            path,
            kind = own,
            "a callback came to a path that is not its own, and was kept"
        );
    }
}

const ANOTHER_PATH: &str = "another path";

/// The path's own name, or a word for any other: what somebody typed into an address may be anything.
fn known_path(path: &str) -> &'static str {
    let path = path.strip_suffix('/').unwrap_or(path);
    match path.strip_prefix("/callbacks") {
        Some("") => "/callbacks",
        Some(rest) => rest.strip_prefix('/').and_then(Kind::from_path).map_or(ANOTHER_PATH, Kind::path),
        None => ANOTHER_PATH,
    }
}

fn unanswered() -> Response {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response.extensions_mut().insert(CloseUnanswered);
    response
}

fn with(status: StatusCode, name: header::HeaderName, value: &'static str) -> Response {
    let mut response = empty(status);
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

/// Without the reason phrase that warp would write as the body.
fn empty(status: StatusCode) -> Response {
    let mut response = warp::reply().into_response();
    *response.status_mut() = status;
    response
}
