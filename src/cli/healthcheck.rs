//! `counterfoil healthcheck`: whether the server takes callbacks, for where no other program is at hand to ask it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, header};
use http_body_util::Full;

use super::{Failure, say};
use crate::doctor::reached;
use crate::outgoing::{Answered, Connection, Server};

/// The server takes up to four seconds to be sure.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);
/// A word is enough; whatever is longer is not ours.
const LONGEST: usize = 64;

/// Ask the running server whether it takes callbacks
///
/// It asks for /readyz, prints the answer, and ends with 0 where the server is ready and with 1 where it is not or does not answer. It is
/// meant for containers and scripts.
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
}

pub(super) async fn run(healthcheck: Healthcheck) -> Result<(), Failure> {
    let Healthcheck { listen, url } = healthcheck;
    let own = listen.first().into_iter().flat_map(|address| reached(*address));
    let all = url.map_or_else(|| own.map(|address| format!("http://{address}")).collect(), |url| vec![url]);
    let mut answered = None;
    for url in &all {
        answered = tokio::time::timeout(ANSWERED_WITHIN, ask(url)?).await.ok().flatten();
        if answered.is_some() {
            break;
        }
    }
    let url = all.last().ok_or_else(|| Failure::new("give --listen or --url"))?;
    let answered = answered.ok_or_else(|| Failure::new(format!("no server answers at {url}. Look whether it runs")))?;
    let word = String::from_utf8_lossy(&answered.body).trim().to_owned();
    match answered.head.status {
        StatusCode::OK => say(&word),
        StatusCode::SERVICE_UNAVAILABLE => {
            Err(Failure::new(format!("the server takes no callbacks: {word}. Its log says what to do")))
        }
        status => {
            Err(Failure::new(format!("what answers at {url} is not Counterfoil, or a proxy before it: {status}")))
        }
    }
}

/// Asks one server, which may give no answer.
fn ask(url: &str) -> Result<impl Future<Output = Option<Answered>>, Failure> {
    let server = Server::new(url).map_err(|error| Failure::new(format!("the URL {error}")))?;
    let request = Request::get("/readyz")
        .header(header::HOST, server.authority())
        .header(header::USER_AGENT, concat!("counterfoil/", env!("CARGO_PKG_VERSION")))
        .body(Full::<Bytes>::default())
        .map_err(|error| Failure::new(format!("it cannot be asked for: {error}")))?;
    let mut connection = Connection::new(server);
    Ok(async move { connection.exchange(request, LONGEST).await })
}
