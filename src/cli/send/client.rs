//! One kept-alive connection that posts callbacks with the headers and time limits of Notify's sender.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::cli::Failure;
use crate::made_up::Sending;
use crate::notify::Kind;

/// Notify waits so long for a connection, and again for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where callbacks go, and the token that they carry.
#[derive(Clone)]
pub(crate) struct Destination {
    host: String,
    port: u16,
    authority: HeaderValue,
    authorization: HeaderValue,
    tls: Option<TlsConnector>,
    /// A path for all kinds; without it each has its own.
    path: Option<String>,
}

impl Destination {
    pub(crate) fn new(url: &str, token: &str) -> Result<Destination, Failure> {
        let wrong = |what: &str| Failure::new(format!("the URL ‘{url}’ {what}. Write it as http://127.0.0.1:8080"));
        let uri: Uri = url.parse().map_err(|_| wrong("cannot be read"))?;
        let tls = match uri.scheme_str() {
            Some("https") => Some(trusting_public_roots()),
            Some("http") => None,
            _ => return Err(wrong("begins with neither http:// nor https://")),
        };
        let host = uri.host().ok_or_else(|| wrong("names no server"))?.trim_matches(['[', ']']).to_owned();
        let authority = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        let mut authorization = HeaderValue::from_bytes(format!("Bearer {token}").as_bytes())
            .map_err(|_| Failure::new("the token holds a character that no HTTP header can carry"))?;
        authorization.set_sensitive(true);
        Ok(Destination {
            port: uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 }),
            host,
            authority: authority.ok_or_else(|| wrong("names no server"))?,
            authorization,
            tls,
            path: Some(uri.path().to_owned()).filter(|path| !matches!(path.trim_end_matches('/'), "" | "/callbacks")),
        })
    }

    fn path(&self, kind: Kind) -> String {
        self.path.clone().unwrap_or_else(|| format!("/callbacks/{}", kind.path()))
    }
}

fn trusting_public_roots() -> TlsConnector {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config))
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
    fn of(response: &Response<Incoming>) -> Outcome {
        let status = response.status();
        let followed = status.is_redirection() && response.headers().contains_key(header::LOCATION);
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
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(super) fn new(to: Destination) -> Client {
        Client { to, open: None }
    }

    /// Sends one callback once.
    pub(super) async fn post(&mut self, sending: &Sending) -> Outcome {
        if let Ok(Some(outcome)) = timeout(PATIENCE, self.exchange(sending)).await {
            return outcome;
        }
        self.open = None;
        Outcome::TryAgain
    }

    async fn exchange(&mut self, sending: &Sending) -> Option<Outcome> {
        let mut connection = self.connection().await?;
        let response = connection.send_request(self.request(sending)).await.ok()?;
        let outcome = Outcome::of(&response);
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame.ok()?;
        }
        self.open = Some(connection);
        Some(outcome)
    }

    /// The open connection; a new one where the server has closed it meanwhile.
    async fn connection(&mut self) -> Option<SendRequest<Full<Bytes>>> {
        if let Some(mut open) = self.open.take()
            && open.ready().await.is_ok()
        {
            return Some(open);
        }
        let stream = TcpStream::connect((self.to.host.as_str(), self.to.port)).await.ok()?;
        stream.set_nodelay(true).ok()?;
        match &self.to.tls {
            None => talk(stream).await,
            Some(tls) => {
                let name = ServerName::try_from(self.to.host.clone()).ok()?;
                talk(tls.connect(name, stream).await.ok()?).await
            }
        }
    }

    fn request(&self, sending: &Sending) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(Bytes::from(sending.body.clone())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.to.path(sending.kind).parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.to.authority.clone());
        headers.insert(header::USER_AGENT, HeaderValue::from_static("python-requests/2.34.2"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::AUTHORIZATION, self.to.authorization.clone());
        request
    }
}

async fn talk<S>(stream: S) -> Option<SendRequest<Full<Bytes>>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let builder = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream));
    let (mut sender, connection) = builder.await.ok()?;
    // An error here shows at the request that was under way.
    tokio::spawn(async move { connection.await.ok() });
    sender.ready().await.ok()?;
    Some(sender)
}
