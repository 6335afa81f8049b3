//! `counterfoil healthcheck`: whether the server takes callbacks, for where no other program is at hand to ask it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use tokio::time::timeout;

use super::{Failure, say, tls};
use crate::doctor::reached;
use crate::outgoing::{Answered, Server, Unmet};

/// A connection is there soon, or not at all.
const MET_WITHIN: Duration = Duration::from_secs(2);
/// The server takes up to four seconds to be sure.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// A word is enough; whatever is longer is not ours.
const LONGEST: usize = 64;

/// Ask the running server whether it takes callbacks
///
/// It asks for /readyz, prints the answer, and ends with 0 where the server is ready and with 1 where it is not or does not answer. It is
/// meant for containers and scripts. Where the server speaks TLS, give the same flags, or their names in the environment: at --listen it
/// is on this machine, and its certificate, which is for another name, is not looked at.
#[derive(Args, Debug)]
pub(super) struct Healthcheck {
    /// Where the server listens, as it was told
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value = super::serve::LISTEN,
        value_delimiter = ',',
        env = "COUNTERFOIL_LISTEN"
    )]
    listen: Vec<SocketAddr>,
    /// The server’s address, where it is not reached at --listen, such as <https://callbacks.example.gov.uk>
    #[arg(long, value_name = "URL", value_parser = super::public_url, env = "COUNTERFOIL_HEALTHCHECK_URL")]
    url: Option<String>,
    #[command(flatten)]
    tls: tls::Encryption,
    /// Stands in the environment beside the others.
    #[arg(long, hide = true, env = "COUNTERFOIL_PUBLIC_URL")]
    public_url: Option<String>,
}

pub(super) async fn run(healthcheck: Healthcheck) -> Result<(), Failure> {
    let Healthcheck { listen, url, tls, public_url: _ } = healthcheck;
    let servers = if let Some(url) = url {
        let server = Server::new(&url).map_err(|error| Failure::new(format!("the URL {error}")))?;
        let nowhere = |error| Failure::new(format!("the name {} leads nowhere: {error}", server.host()));
        let addresses = server.addresses().await.map_err(nowhere)?;
        addresses.into_iter().map(|at| (server.clone(), at)).collect()
    } else {
        let own = listen.first().into_iter().flat_map(|address| reached(*address));
        own.filter_map(|at| Some((Server::here(at, tls.is_spoken())?, at))).collect::<Vec<_>>()
    };
    let mut answered = Err("give --listen or --url".to_owned());
    for (server, at) in servers {
        answered = ask(&server, at).await;
        if answered.is_ok() {
            break;
        }
    }
    let answered = answered.map_err(Failure::new)?;
    let word = String::from_utf8_lossy(&answered.body).trim().to_owned();
    match answered.head.status {
        StatusCode::OK => say(&word),
        StatusCode::SERVICE_UNAVAILABLE => {
            Err(Failure::new(format!("the server takes no callbacks: {word}. Its log says what to do")))
        }
        status => Err(Failure::new(format!("what answers is not Counterfoil, or a proxy before it: {status}"))),
    }
}

/// Asks one server at one of its addresses.
async fn ask(server: &Server, at: SocketAddr) -> Result<Answered, String> {
    let request = Request::get("/readyz")
        .header(header::HOST, server.authority())
        .header(header::USER_AGENT, concat!("counterfoil/", env!("CARGO_PKG_VERSION")))
        .body(Full::<Bytes>::default())
        .map_err(|error| format!("it cannot be asked for: {error}"))?;
    let no_tls = |why: &dyn std::fmt::Display| {
        format!("what listens at {at} agrees on no TLS: {why}. Its log says whether it has a certificate")
    };
    let mut connection = match server.meet(at, MET_WITHIN).await {
        Ok(met) => met.connection,
        Err(Unmet::Untrusted(error)) => return Err(no_tls(&error)),
        Err(Unmet::CutOff) if server.is_encrypted() => return Err(no_tls(&"the connection ended")),
        Err(Unmet::Silent | Unmet::Refused(_) | Unmet::CutOff) => {
            return Err(format!("no server answers at {at}. Look whether it runs"));
        }
    };
    let answered = timeout(ANSWERED_WITHIN, connection.exchange(request, LONGEST)).await.ok().flatten();
    answered.ok_or_else(|| {
        let hint = if server.is_encrypted() {
            "Its log says more"
        } else {
            "If it speaks TLS, give --tls-cert and --tls-key or --acme-domain as it has them"
        };
        format!("what listens at {at} gives no answer. {hint}")
    })
}
