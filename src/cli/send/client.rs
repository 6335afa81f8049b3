//! One kept-alive connection that posts callbacks with the headers and time limits of Notify's sender.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::response::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use rustls::RootCertStore;
use tokio::time::timeout;

use crate::cli::Failure;
use crate::made_up::Sending;
use crate::notify::Kind;
use crate::outgoing::{Connection, Server};

/// Notify waits so long for a connection, and again for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where callbacks go, and the token that they carry.
#[derive(Clone)]
pub(crate) struct Destination {
    server: Server,
    authorization: HeaderValue,
    /// A path for all kinds; without it each has its own.
    path: Option<String>,
}

impl Destination {
    /// Without roots of its own, the public ones are believed.
    pub(crate) fn new(url: &str, token: &str, roots: Option<RootCertStore>) -> Result<Destination, Failure> {
        let server = match roots {
            Some(roots) => Server::trusting(url, || Arc::new(roots)),
            None => Server::new(url),
        };
        let server = server
            .map_err(|what| Failure::new(format!("the URL ‘{url}’ {what}. Write it as http://127.0.0.1:8080")))?;
        let mut authorization = HeaderValue::from_bytes(format!("Bearer {token}").as_bytes())
            .map_err(|_| Failure::new("the token holds a character that no HTTP header can carry"))?;
        authorization.set_sensitive(true);
        let path = Some(server.path().to_owned());
        let path = path.filter(|path| !matches!(path.trim_end_matches('/'), "" | "/callbacks"));
        Ok(Destination { server, authorization, path })
    }

    fn path(&self, kind: Kind) -> String {
        self.path.clone().unwrap_or_else(|| format!("/callbacks/{}", kind.path()))
    }
}

/// What Notify would make of the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// Delivered, for ever.
    Acknowledged,
    /// It sends the callback again later.
    TryAgain,
    /// It never sends the callback again.
    Lost,
}

impl Outcome {
    fn of(head: &Parts) -> Outcome {
        let status = head.status;
        let followed = status.is_redirection() && head.headers.contains_key(header::LOCATION);
        if status.is_success() || status.is_redirection() && !followed {
            Outcome::Acknowledged
        } else if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            Outcome::TryAgain
        } else {
            // A redirect too: it is followed without the body or without the token.
            Outcome::Lost
        }
    }
}

/// A connection to the destination, made when it is needed.
pub(super) struct Client {
    to: Destination,
    connection: Connection,
}

impl Client {
    pub(super) fn new(to: Destination) -> Client {
        Client { connection: Connection::new(to.server.clone()), to }
    }

    /// Sends one callback once.
    pub(super) async fn post(&mut self, sending: &Sending) -> Outcome {
        let request = self.request(sending);
        match timeout(PATIENCE, self.connection.exchange(request, 0)).await {
            Ok(Some(answered)) => Outcome::of(&answered.head),
            Ok(None) | Err(_) => Outcome::TryAgain,
        }
    }

    fn request(&self, sending: &Sending) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(Bytes::from(sending.body.clone())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.to.path(sending.kind).parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.to.server.authority());
        headers.insert(header::USER_AGENT, HeaderValue::from_static("python-requests/2.34.2"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::AUTHORIZATION, self.to.authorization.clone());
        request
    }
}
