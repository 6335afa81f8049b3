//! A server that we call: one kept-alive HTTP/1.1 connection to it, in the clear or with TLS. It knows nothing of what is said over it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::response::Parts;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Where a server is, and how it is spoken to.
#[derive(Clone)]
pub struct Server {
    host: String,
    port: u16,
    authority: HeaderValue,
    tls: Option<TlsConnector>,
    path: String,
}

/// What is wrong with a URL; it goes after the words "the URL".
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WrongUrl {
    /// It does not parse.
    #[error("cannot be read")]
    Unreadable,
    /// Another scheme.
    #[error("begins with neither http:// nor https://")]
    Scheme,
    /// No host.
    #[error("names no server")]
    Host,
}

impl Server {
    /// The server that a URL names. An https one is believed when its certificate leads to the public roots.
    ///
    /// # Errors
    /// When the URL names no server.
    pub fn new(url: &str) -> Result<Server, WrongUrl> {
        Server::trusting(url, || Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }))
    }

    /// As [`Server::new`], believed when its certificate leads to other roots.
    ///
    /// # Errors
    /// When the URL names no server.
    pub fn trusting(url: &str, roots: impl FnOnce() -> Arc<RootCertStore>) -> Result<Server, WrongUrl> {
        let uri: Uri = url.parse().map_err(|_| WrongUrl::Unreadable)?;
        let tls = match uri.scheme_str() {
            Some("https") => Some(connector(roots())),
            Some("http") => None,
            _ => return Err(WrongUrl::Scheme),
        };
        let host = uri.host().ok_or(WrongUrl::Host)?.trim_matches(['[', ']']).to_owned();
        let authority = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        Ok(Server {
            port: uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 }),
            host,
            authority: authority.ok_or(WrongUrl::Host)?,
            tls,
            path: uri.path().to_owned(),
        })
    }

    /// The server at an address of this very machine. With TLS it is believed whatever certificate it shows, which is for another name:
    /// nothing secret may be sent to it.
    #[must_use]
    pub fn here(at: SocketAddr, is_encrypted: bool) -> Option<Server> {
        Some(Server {
            host: at.ip().to_string(),
            port: at.port(),
            authority: HeaderValue::from_str(&at.to_string()).ok()?,
            tls: is_encrypted.then(believing_whoever_answers),
            path: "/".to_owned(),
        })
    }

    /// What the `Host` header says.
    #[must_use]
    pub fn authority(&self) -> HeaderValue {
        self.authority.clone()
    }

    /// A request for the JSON at a path and query, for whoever has this token; `None` where they cannot stand in a request.
    #[must_use]
    pub fn get_json(&self, path: &str, token: &str) -> Option<Request<Full<Bytes>>> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        authorization.set_sensitive(true);
        Request::get(path)
            .header(header::HOST, self.authority())
            .header(header::USER_AGENT, concat!("counterfoil/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, authorization)
            .body(Full::default())
            .ok()
    }

    /// The path that the URL named.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

fn connector(roots: Arc<RootCertStore>) -> TlsConnector {
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

fn believing_whoever_answers() -> TlsConnector {
    let config = rustls::ClientConfig::builder();
    let whoever = Arc::new(Whoever(config.crypto_provider().clone()));
    TlsConnector::from(Arc::new(config.dangerous().with_custom_certificate_verifier(whoever).with_no_client_auth()))
}

/// Takes any certificate whose key the server holds.
#[derive(Debug)]
struct Whoever(Arc<CryptoProvider>);

impl ServerCertVerifier for Whoever {
    fn verify_server_cert(
        &self,
        _own: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, own, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, own, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A server that was met at one of its addresses.
pub struct Met {
    /// Open, for the first request. It stays with this address.
    pub connection: Connection,
    /// What the server showed and was believed by, its own first; none in the clear.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// Why a server was not met at an address.
#[derive(Debug)]
pub enum Unmet {
    /// Nobody answered in time.
    Silent,
    /// There was no connection.
    Refused(io::Error),
    /// There was one, and no TLS over it that could be believed.
    Untrusted(rustls::Error),
    /// The connection ended before TLS was agreed on.
    CutOff,
}

impl Server {
    /// Where it is, as its name leads to.
    ///
    /// # Errors
    /// When the name leads nowhere.
    pub async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }

    /// Its name, without a port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is spoken to with TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects to it at one address, with so long for the connection and as long again for TLS.
    ///
    /// # Errors
    /// How far it came.
    pub async fn meet(&self, at: SocketAddr, within: Duration) -> Result<Met, Unmet> {
        let stream = timeout(within, TcpStream::connect(at)).await.map_err(|_| Unmet::Silent)?;
        let (open, certificates) =
            timeout(within, self.agree(stream.map_err(Unmet::Refused)?)).await.map_err(|_| Unmet::Silent)??;
        Ok(Met { connection: Connection { to: self.clone(), at: Some(at), open: Some(open) }, certificates })
    }

    /// TLS where it is to be spoken, and then HTTP.
    async fn agree(
        &self,
        stream: TcpStream,
    ) -> Result<(SendRequest<Full<Bytes>>, Vec<CertificateDer<'static>>), Unmet> {
        stream.set_nodelay(true).map_err(Unmet::Refused)?;
        let Some(tls) = &self.tls else { return Ok((talk(stream).await.ok_or(Unmet::CutOff)?, vec![])) };
        let name = ServerName::try_from(self.host.clone());
        let name = name.map_err(|_| Unmet::Untrusted(rustls::Error::General("the name is none".into())))?;
        let stream = tls.connect(name, stream).await.map_err(|error| {
            let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).cloned();
            refused.map_or(Unmet::CutOff, Unmet::Untrusted)
        })?;
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificates = shown.iter().cloned().map(CertificateDer::into_owned).collect();
        Ok((talk(stream).await.ok_or(Unmet::CutOff)?, certificates))
    }
}

/// What was answered.
pub struct Answered {
    /// The status and the headers.
    pub head: Parts,
    /// The body, as far as it was to be kept.
    pub body: Vec<u8>,
    /// Whether there was more of it than that.
    pub cut: bool,
}

/// A connection to a server, made when it is needed. One that failed is made anew for the next request.
pub struct Connection {
    to: Server,
    /// At this one of its addresses, where that matters.
    at: Option<SocketAddr>,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Not made yet.
    #[must_use]
    pub fn new(to: Server) -> Connection {
        Connection { to, at: None, open: None }
    }

    /// One request and its whole answer, of whose body so many bytes are kept; `None` where the connection failed before it
    /// was whole. Where this is dropped half-way, so is the connection.
    pub async fn exchange(&mut self, request: Request<Full<Bytes>>, kept: usize) -> Option<Answered> {
        let mut connection = self.connection().await?;
        let response = connection.send_request(request).await.ok()?;
        let (head, mut incoming) = response.into_parts();
        let (mut body, mut cut) = (Vec::new(), false);
        while let Some(frame) = incoming.frame().await {
            let Ok(data) = frame.ok()?.into_data() else { continue };
            let piece = data.get(..data.len().min(kept - body.len())).unwrap_or_default();
            body.extend_from_slice(piece);
            cut |= piece.len() < data.len();
        }
        self.open = Some(connection);
        Some(Answered { head, body, cut })
    }

    /// As [`Connection::exchange`], of a server that is not trusted to come to an end: an answer that is longer than `most` is given
    /// up where it gets too long, and the connection with it.
    pub async fn exchange_within(&mut self, request: Request<Full<Bytes>>, most: usize) -> Option<Answered> {
        let mut connection = self.connection().await?;
        let response = connection.send_request(request).await.ok()?;
        let (head, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let Ok(data) = frame.ok()?.into_data() else { continue };
            if body.len() + data.len() > most {
                return None;
            }
            body.extend_from_slice(&data);
        }
        Some(Answered { head, body, cut: false })
    }

    /// The open connection; a new one where the server has closed it meanwhile.
    async fn connection(&mut self) -> Option<SendRequest<Full<Bytes>>> {
        if let Some(mut open) = self.open.take()
            && open.ready().await.is_ok()
        {
            return Some(open);
        }
        let stream = match self.at {
            Some(at) => TcpStream::connect(at).await.ok()?,
            None => TcpStream::connect((self.to.host.as_str(), self.to.port)).await.ok()?,
        };
        Box::pin(self.to.agree(stream)).await.ok().map(|(open, _)| open)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_whose_certificate_does_not_lead_to_the_roots_gets_no_request() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let chain = vec![made.cert.der().clone()];
        let theirs = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let accepts = tokio_rustls::TlsAcceptor::from(Arc::new(theirs));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = accepts.accept(stream).await else { continue };
                let _head = stream.read(&mut [0; 1024]).await.is_ok();
                let _said = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.is_ok();
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let roots = Arc::new(roots);
        let answer = async |host: &str, believes: bool| {
            let url = format!("https://{host}:{port}");
            let server = if believes { Server::trusting(&url, || roots.clone()) } else { Server::new(&url) };
            let request = Request::get("/").body(Full::default()).unwrap();
            Connection::new(server.unwrap()).exchange(request, 0).await.map(|answered| answered.head.status.as_u16())
        };
        assert_eq!(answer("localhost", true).await, Some(204));
        assert_eq!(answer("localhost", false).await, None);
        assert_eq!(answer("127.0.0.1", true).await, None, "it is another's");
    }

    #[test]
    fn a_url_that_names_no_server_is_told_apart() {
        let wrong = |url| Server::new(url).err();
        assert_eq!(wrong("http://127.0.0.1:8080"), None);
        assert_eq!(wrong("ftp://a.example"), Some(WrongUrl::Scheme));
        assert_eq!(wrong("a b"), Some(WrongUrl::Unreadable));
        let server = Server::new("https://[::1]/callbacks").ok().unwrap();
        assert_eq!((server.host.as_str(), server.port, server.path()), ("::1", 443, "/callbacks"));
    }
}
