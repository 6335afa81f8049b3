//! Whether a server runs on the store and answers where it was told to listen.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use tokio::time::timeout;

use super::{Finding, Listener, Takes};
use crate::outgoing::{Server, Unmet};
use crate::store::Examined;

/// A connection on this machine is there at once.
const MET_WITHIN: Duration = Duration::from_secs(5);
/// The server takes up to four seconds to be sure.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);
/// A word is enough; whatever is longer is not ours.
const LONGEST: usize = 64;

pub(super) async fn look(listeners: &[Listener], examined: Option<Examined>, tell: &mut dyn FnMut(Finding)) {
    match examined {
        Some(found) if !found.is_served => {
            let to_do = "Start it, such as by systemctl start counterfoil. Notify goes on trying for 25 minutes.";
            return tell(Finding::bad("server", "no server runs on this store, so that no callback is taken", to_do));
        }
        Some(_) => tell(Finding::good("server", "a server runs on this store")),
        None => return,
    }
    for listener in listeners {
        let finding = one(*listener).await;
        let is_good = finding.state == super::State::Good;
        tell(finding);
        if is_good && is_open(listener) {
            tell(Finding::warning(
                "listener",
                format!("{} takes passwords and personal data in the clear from other machines", listener.at),
                "Listen on 127.0.0.1 behind a proxy that speaks TLS, or give --tls-cert or --acme-domain.",
            ));
        }
    }
}

/// Whether others than this machine reach it, and what they say can be read on the way.
fn is_open(listener: &Listener) -> bool {
    !listener.is_encrypted && listener.takes != Takes::Metrics && !listener.at.ip().is_loopback()
}

async fn one(Listener { at, takes, is_encrypted }: Listener) -> Finding {
    let bad = |found: String, to_do: &str| Finding::bad("listener", found, to_do);
    let to_do = "Look whether the server was started with this address: its log names each that it listens on.";
    let scheme = if is_encrypted { "https" } else { "http" };
    let mut tried = Err(Unmet::Silent);
    let mut servers = vec![];
    for here in reached(at) {
        let Ok(server) = Server::new(&format!("{scheme}://{here}")) else { continue };
        tried = server.meet(here, MET_WITHIN).await;
        servers.push(server);
        if !matches!(tried, Err(Unmet::Refused(_) | Unmet::Silent)) {
            break;
        }
    }
    let Some(server) = servers.pop() else { return bad(format!("{at} is no address to listen on"), to_do) };
    let met = match tried {
        Ok(met) => met,
        // It speaks TLS, with a certificate for another name than the address: that one is looked at by itself.
        Err(Unmet::Untrusted(rustls::Error::InvalidCertificate(_))) => {
            return Finding::good("listener", format!("a server answers at {at} and speaks TLS"));
        }
        Err(Unmet::Untrusted(_) | Unmet::CutOff) => {
            return bad(format!("what answers at {at} does not speak TLS, or has no certificate yet"), to_do);
        }
        Err(Unmet::Refused(error)) => return bad(format!("nobody answers at {at}: {error}"), to_do),
        Err(Unmet::Silent) => return bad(format!("nobody answers at {at}"), to_do),
    };
    let path = if takes == Takes::Callbacks { "/" } else { "/readyz" };
    let request = Request::get(path).header(header::HOST, server.authority());
    let Ok(request) = request.body(Full::<Bytes>::default()) else {
        return bad(format!("{at} cannot be asked"), to_do);
    };
    let mut connection = met.connection;
    let answered = timeout(ANSWERED_WITHIN, connection.exchange(request, LONGEST)).await.ok().flatten();
    let Some(answered) = answered else { return bad(format!("what listens at {at} does not answer"), to_do) };
    let word = String::from_utf8_lossy(&answered.body).trim().to_owned();
    match (takes, answered.head.status) {
        // No page is there, and what is no POST is told so.
        (Takes::Callbacks, StatusCode::METHOD_NOT_ALLOWED) => {
            Finding::good("listener", format!("a server answers at {at}, for callbacks alone"))
        }
        (Takes::All | Takes::Metrics, StatusCode::OK) if word == "ready" => {
            let takes = if takes == Takes::All { "and takes callbacks" } else { "for who watches" };
            Finding::good("listener", format!("a server answers at {at}, {takes}"))
        }
        (Takes::All | Takes::Metrics, StatusCode::SERVICE_UNAVAILABLE) => bad(
            format!("the server at {at} takes no callbacks: {word}"),
            "Its log says what to do, and operations.md what each word means (the package has it in /usr/share/doc/counterfoil).",
        ),
        (_, status) => bad(format!("another program answers at {at}, with {}", status.as_u16()), to_do),
    }
}

/// Where a server may be reached on its own machine that listens on all of its addresses: with IPv6 or, where there is none, without.
#[must_use]
pub fn reached(address: SocketAddr) -> Vec<SocketAddr> {
    let ips = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![Ipv4Addr::LOCALHOST.into()],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()],
        ip => vec![ip],
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, address.port())).collect()
}
