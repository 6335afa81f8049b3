//! The public address, called as Notify would call it: the name, the connection, TLS, no redirect, 401 without a token, and 200 for
//! test callbacks that come to the store as they were sent.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::response::Parts;
use http::{Request, StatusCode};
use http_body_util::Full;
use rustls::{CertificateError, RootCertStore};
use tokio::time::timeout;

use super::test_callbacks::{self, TestCallback};
use super::{Finding, State, certificate};
use crate::access::{Secret, TESTED_BY, token_sha256};
use crate::clock;
use crate::edge::life;
use crate::notify::Kind;
use crate::outgoing::{Connection, Met, Server, Unmet};
use crate::store::Store;

/// Notify waits so long for a connection, and as long again for an answer.
const NOTIFY_WAITS: Duration = Duration::from_secs(5);
/// With less time left than this, a slower hour loses callbacks' first tries.
const SLOW: Duration = Duration::from_secs(2);
/// Notify's requests call themselves so; rules against bots know the name.
const AS_NOTIFY: HeaderValue = HeaderValue::from_static("python-requests/2.32.3");
/// Nothing is read of an answer but whether there is any.
const READ: usize = 1024;
const NETWORK: &str = "docs/network.md says what has to come through.";

/// Goes as far as the way is open.
pub(super) async fn look(
    url: &str,
    roots: Option<Arc<RootCertStore>>,
    store: Option<&Store>,
    tell: &mut dyn FnMut(Finding),
) {
    let own_roots = roots.is_some();
    let server = match roots {
        Some(roots) => Server::trusting(url, || roots),
        None => Server::new(url),
    };
    let server = match server {
        Ok(server) => server,
        Err(error) => return tell(Finding::bad("url", format!("the URL {error}"), "Mend --url.")),
    };
    if let Some(finding) = callable(&server) {
        tell(finding);
    }
    let addresses = leads_to(&server, tell).await;
    let several = addresses.len() > 1;
    for at in addresses {
        let met = match server.meet(at, NOTIFY_WAITS).await {
            Ok(met) => met,
            Err(unmet) => {
                tell(why_unmet(server.host(), at, &unmet));
                continue;
            }
        };
        let mut of_one = |finding: Finding| {
            let found = if several { format!("{} (at {})", finding.found, at.ip()) } else { finding.found };
            tell(Finding { found, ..finding });
        };
        go_in(&server, met, own_roots, store, &mut of_one).await;
    }
}

/// Goes in at one address.
async fn go_in(server: &Server, met: Met, own_roots: bool, store: Option<&Store>, tell: &mut dyn FnMut(Finding)) {
    if let Some(own) = met.certificates.first() {
        let finding = life(own).map_or_else(
            || Finding::bad("url-tls", "the certificate cannot be read", "Get another."),
            |life| certificate::lasts("url-tls", life, clock::now()),
        );
        tell(match finding {
            Finding { state: State::Good, found, .. } if own_roots => Finding::warning(
                "url-tls",
                format!("{found}, and leads to the roots of --url-ca"),
                "Notify believes public roots alone. If this one is not among them, no callback comes.",
            ),
            finding => finding,
        });
    }
    let mut connection = met.connection;
    if !is_refused_without_token(server, &mut connection, store, tell).await {
        return;
    }
    let Some(store) = store else {
        let to_do = "Run it on the server’s machine, with --data, to send test callbacks as well.";
        return tell(Finding::warning("url-receipt", "no test callback was sent: that needs the store", to_do));
    };
    for test in test_callbacks::all() {
        tell(comes_through(server, &mut connection, store, test).await);
    }
}

/// What Notify's own form does not take.
fn callable(server: &Server) -> Option<Finding> {
    let to_do = "Give the address that is, or will be, in Notify’s settings.";
    if !server.is_encrypted() {
        return Some(Finding::bad("url", "the URL is not https, and Notify calls no other", to_do));
    }
    let is_address = server.host().parse::<IpAddr>().is_ok();
    is_address.then(|| Finding::bad("url", "the URL names a bare IP address, and Notify calls none", to_do))
}

/// Each address that the server's name leads to: Notify may choose any of them.
async fn leads_to(server: &Server, tell: &mut dyn FnMut(Finding)) -> Vec<SocketAddr> {
    let host = server.host();
    let addresses = match server.addresses().await {
        Ok(addresses) if !addresses.is_empty() => addresses,
        Ok(_) | Err(_) => {
            let to_do = "Look whether the name is in the public DNS, and whether this machine can ask it.";
            tell(Finding::bad("url-dns", format!("the name {host} leads nowhere"), to_do));
            return vec![];
        }
    };
    let listed = addresses.iter().map(|at| at.ip().to_string()).collect::<Vec<_>>().join(", ");
    tell(if addresses.iter().all(|at| is_inside(at.ip())) {
        let to_do =
            "If the name leads elsewhere outside, all is well. Else Notify cannot come in: it needs a public address.";
        Finding::warning(
            "url-dns",
            format!("from here, {host} leads to {listed}, which nobody outside can reach"),
            to_do,
        )
    } else {
        Finding::good("url-dns", format!("{host} leads to {listed}"))
    });
    addresses
}

/// Whether an address is of this machine or of a network of somebody's own.
fn is_inside(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified(),
    }
}

/// Whether it is this machine that cannot go there, such as one without IPv6.
fn is_without_way(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::AddrNotAvailable)
}

fn why_unmet(host: &str, at: SocketAddr, unmet: &Unmet) -> Finding {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    let tls = |found: String, to_do: &str| Finding::bad("url-tls", found, to_do);
    let wrong = match unmet {
        Unmet::Refused(error) if is_without_way(error.kind()) => {
            let found = format!("this machine has no way to {}, so that it could not be tried", at.ip());
            return Finding::warning("url-connection", found, "Try it from a machine that has.");
        }
        Unmet::Refused(_) | Unmet::Silent => {
            let found = format!("nobody answers at {at}, where {host} leads");
            let to_do = "Look whether the firewall lets everybody in, whether the proxy runs, and whether this machine may call its own public address.";
            return Finding::bad("url-connection", found, to_do);
        }
        Unmet::CutOff => {
            let to_do = "Look at the log of what speaks TLS there. If that is Counterfoil itself, it may have no certificate yet.";
            return tls(format!("the connection to {at} ended before TLS was agreed on"), to_do);
        }
        Unmet::Untrusted(wrong) => wrong,
    };
    match wrong {
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => tls(
            format!("the certificate at {at} has ended"),
            "Renew it now: Notify sends nothing until there is a new one.",
        ),
        rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => {
            tls(format!("the certificate at {at} is not good yet"), "Look whether this machine’s clock is right.")
        }
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            tls(format!("the certificate at {at} is not for {host}"), "Get one for that name, or mend --url.")
        }
        rustls::Error::InvalidCertificate(UnknownIssuer) => tls(
            format!("the certificate at {at} leads to no public root authority"),
            "Get one of a public authority, and let the server send its intermediate certificates as well.",
        ),
        rustls::Error::InvalidMessage(_) => tls(
            format!("what answers at {at} does not speak TLS"),
            "Look whether the port is right, and what listens there.",
        ),
        other => tls(format!("TLS with {at} failed: {other}"), "Look at the log of what speaks TLS there."),
    }
}

fn request(server: &Server, kind: Kind, name: HeaderName, value: &str, body: Vec<u8>) -> Option<Request<Full<Bytes>>> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Request::post(format!("/callbacks/{}", kind.path()))
        .header(header::HOST, server.authority())
        .header(header::USER_AGENT, AS_NOTIFY)
        .header(header::ACCEPT, "*/*")
        .header(header::CONTENT_TYPE, "application/json")
        .header(name, value)
        .body(Full::from(body))
        .ok()
}

/// What came of a request: its answer and how long that took; nothing where there was none in Notify's time.
async fn ask(connection: &mut Connection, request: Option<Request<Full<Bytes>>>) -> Option<(Parts, Duration)> {
    let begun = Instant::now();
    let answered = timeout(NOTIFY_WAITS, connection.exchange(request?, READ)).await.ok().flatten()?;
    Some((answered.head, begun.elapsed()))
}

/// A secret that the store knows from now on.
async fn secret(store: &Store) -> Option<(String, [u8; 32])> {
    let text = Secret::random().ok()?.text();
    let mark = token_sha256(text.as_bytes());
    store.expect_test_callback(mark, clock::now()).await.ok()?;
    Some((text, mark))
}

/// Without a token: 401 on each path, and no redirect. The server is told, where it can be, that this is only a test.
async fn is_refused_without_token(
    server: &Server,
    connection: &mut Connection,
    store: Option<&Store>,
    tell: &mut dyn FnMut(Finding),
) -> bool {
    let known = match store {
        Some(store) => secret(store).await,
        None => None,
    };
    let text = known.as_ref().map_or("", |(text, _)| text);
    let mut is_right = true;
    for kind in Kind::ALL {
        let path = format!("/callbacks/{}", kind.path());
        let answered = ask(connection, request(server, kind, TESTED_BY, text, b"{}".to_vec())).await;
        let Some((head, _)) = answered else {
            is_right = false;
            tell(Finding::bad("url-token", format!("{path} was not answered within 5 seconds"), NETWORK));
            continue;
        };
        if let Some(finding) = wrong_without_token(&path, &head) {
            is_right = false;
            tell(finding);
        }
    }
    if let (Some(store), Some((_, mark))) = (store, known) {
        let _forgotten = store.forget_test_callback(mark).await.is_ok();
    }
    if is_right {
        tell(Finding::good("url-token", "what comes without a token is answered 401, and nothing is redirected"));
    }
    is_right
}

/// What is wrong with an answer where 401 is right.
fn wrong_without_token(path: &str, head: &Parts) -> Option<Finding> {
    let status = head.status;
    let bad = |found: String, to_do: &str| Some(Finding::bad("url-token", found, to_do));
    if status.is_redirection() {
        let to_do = "Notify follows a redirect without the callback, and counts it as delivered: lead nothing below /callbacks anywhere.";
        return bad(format!("{path} is redirected (status {})", status.as_u16()), to_do);
    }
    if head.headers.contains_key(header::SET_COOKIE) {
        let to_do =
            "Notify’s connections serve many services and send the cookie back: let the load balancer set none there.";
        return bad(format!("{path} sets a cookie"), to_do);
    }
    match status {
        // Only the server says so of bearer tokens.
        StatusCode::UNAUTHORIZED if head.headers.get(header::WWW_AUTHENTICATE).is_some_and(|asks| asks == "Bearer") => {
            None
        }
        StatusCode::UNAUTHORIZED => {
            let to_do = "Let no sign-in stand in front of /callbacks: Notify has its token alone.";
            bad(format!("something in front of {path} asks for a sign-in"), to_do)
        }
        status if status.is_success() => {
            let to_do = "It is not Counterfoil that answers: every callback would be lost. Let the proxy pass /callbacks on to the server.";
            bad(format!("{path} is answered {} without a token", status.as_u16()), to_do)
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            let to_do = "It is not Counterfoil that answers: let the proxy pass /callbacks, and all below it, on to the server as it is.";
            bad(format!("{path} is answered {}", status.as_u16()), to_do)
        }
        status if status.is_server_error() => {
            let to_do = "Look whether the server runs, what its log says, and whether the proxy finds it. Notify goes on trying for 25 minutes.";
            bad(format!("{path} is answered {}", status.as_u16()), to_do)
        }
        status => bad(format!("{path} is answered {}: callbacks with it are lost", status.as_u16()), NETWORK),
    }
}

/// Sends one with a token that is good for this alone, and looks whether it came to the store as it was.
async fn comes_through(server: &Server, connection: &mut Connection, store: &Store, test: TestCallback) -> Finding {
    let TestCallback { check, like, kind, to_do, .. } = test;
    let Some((token, mark)) = secret(store).await else {
        return Finding::bad(
            check,
            "a test callback could not be noted in the store",
            "Look at what was said of the store.",
        );
    };
    let authorization = format!("Bearer {token}");
    let sent = request(server, kind, header::AUTHORIZATION, &authorization, test.body.clone());
    let answered = ask(connection, sent).await;
    let came = store.forget_test_callback(mark).await;
    let bad = |found: String| Finding::bad(check, found, to_do);
    match (answered, came) {
        (Some((head, took)), Ok(Some(came))) if head.status == StatusCode::OK => {
            if came.body_sha256 != test.sha256() {
                let to_do = "Let nothing in front rewrite bodies below /callbacks.";
                return Finding::bad(check, format!("{like} came through changed"), to_do);
            }
            let milliseconds = took.as_millis();
            if took > SLOW {
                let to_do = "Notify waits 5 seconds. Look at the disk, the proxy and the network.";
                return Finding::warning(check, format!("{like} came through, and took {milliseconds} ms"), to_do);
            }
            Finding::good(check, format!("{like} comes through in {milliseconds} ms, stored and taken out again"))
        }
        (Some((head, _)), Ok(Some(_))) => bad(format!("{like} was stored, and yet answered {}", head.status.as_u16())),
        (Some((head, _)), Ok(None)) if head.status.is_success() => {
            bad(format!("{like} was answered {}, and never came to this store", head.status.as_u16()))
        }
        (Some((head, _)), Ok(None)) if head.status == StatusCode::UNAUTHORIZED => {
            let to_do = "Let the proxy leave the Authorization header as it came, and look whether the URL leads to the server on this store.";
            Finding::bad(check, format!("{like} was refused for its token, which is a good one"), to_do)
        }
        (Some((head, _)), Ok(None)) => bad(format!("{like} is answered {}", head.status.as_u16())),
        (None, _) => bad(format!("{like} was not answered within 5 seconds")),
        (_, Err(error)) => Finding::bad(check, format!("the store could not be asked: {error}"), "Try again."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_that_loses_callbacks_is_named() {
        let found = |status: u16, headers: &[(HeaderName, &str)]| {
            let mut answer = http::Response::builder().status(status);
            for (name, value) in headers {
                answer = answer.header(name, *value);
            }
            wrong_without_token("/callbacks/complaints", &answer.body(()).unwrap().into_parts().0)
        };
        assert_eq!(found(401, &[(header::WWW_AUTHENTICATE, "Bearer")]), None);
        for (status, headers, words) in [
            (301, vec![(header::LOCATION, "/")], "is redirected"),
            (401, vec![(header::WWW_AUTHENTICATE, "Basic")], "asks for a sign-in"),
            (401, vec![(header::SET_COOKIE, "a=b")], "sets a cookie"),
            (200, vec![], "is answered 200 without a token"),
            (404, vec![], "is answered 404"),
            (403, vec![], "callbacks with it are lost"),
            (503, vec![], "is answered 503"),
        ] {
            let said = found(status, &headers).unwrap().found;
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn addresses_that_nobody_outside_reaches_are_known() {
        for inside in ["127.0.0.1", "10.1.2.3", "192.168.1.1", "::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"] {
            assert!(is_inside(inside.parse().unwrap()), "{inside}");
        }
        assert!(!is_inside("192.0.2.1".parse().unwrap()) && !is_inside("2001:db8::1".parse().unwrap()));
    }
}
