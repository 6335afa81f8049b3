//! Sockets: who may connect, for how long, and how it ends. It knows no route and nothing of what is served.
//!
//! The permit to connect is taken before `accept`. At the cap the connection that has had nothing in hand for longest gives way,
//! be it silent or with a request that is not whole yet, so that any number of such clients keeps nobody out. A silent or trickled head, a reader that does not read and a connection that
//! is too old are cut; how long a body may take is for the routes to say, which answer with [`CloseUnanswered`].

mod arriving;
mod asked;
mod certificates;
mod connections;
mod source;
mod stalling;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use warp::Reply;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use arriving::Arriving;
use asked::{IN_HAND, X_REQUEST_ID};
use connections::{Connections, InHand, Place};
use stalling::Stalling;

pub use asked::{Asked, RequestId, asked};
pub use certificates::{Certificate, Certificates, WrongCertificate, ends_soon, life};
pub use source::{Network, Proxies};

/// Connections that the system may hold before they are accepted.
const BACKLOG: i32 = 4096;
/// After a failure to accept, such as no free descriptor.
const BREATH: Duration = Duration::from_millis(50);
/// When the server stops, a request that is on its way in has so long.
const WHOLE_SOON: Duration = Duration::from_secs(1);
/// When the server stops, a connection that has nothing in hand has so long for one more request, whose answer says that it is the
/// last. To close it at once would break the request that is already under way to it.
const ONE_MORE_WITHIN: Duration = Duration::from_millis(500);

/// What is served: something that answers every request.
pub type Routes = BoxedFilter<(Response,)>;

/// How many and how long.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at the same time.
    pub connections: usize,
    /// TLS handshakes at the same time, of the connections: past that the longest gives way.
    pub handshakes: usize,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For a whole request head, from the connection's start or the last answer.
    pub head: Duration,
    /// For a client that takes none of an answer.
    pub stall: Duration,
    /// For a whole connection: then it finishes its request and ends.
    pub age: Duration,
    /// For what is in flight when the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 4096,
            handshakes: 512,
            handshake: Duration::from_secs(5),
            head: Duration::from_mins(1),
            stall: Duration::from_secs(20),
            age: Duration::from_mins(10),
            drain: Duration::from_secs(10),
        }
    }
}

/// Who is at the other end; stands in every request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The address.
    pub addr: SocketAddr,
    /// Whose request it is: the address itself, or that which a proxy of ours forwards it for.
    pub source: IpAddr,
    /// Whether the connection is encrypted here.
    pub tls: bool,
}

/// A response with this extension is not sent: the connection ends without an answer.
#[derive(Clone, Copy, Debug)]
pub struct CloseUnanswered;

/// Listens at an address.
///
/// # Errors
/// When the system refuses the address.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Listens on a socket that somebody else has opened and keeps open: who connects while nobody accepts waits there.
///
/// # Errors
/// When the system refuses it.
pub fn take_over(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Lets the process open so many files, as far as the system does; gives what it allows.
#[must_use]
pub fn raise_descriptor_limit(wanted: u64) -> u64 {
    rlimit::increase_nofile_limit(wanted).unwrap_or(1024)
}

/// Serves `routes` on the listener until `stop` is true, then lets what is in flight end within the limit.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    routes: Routes,
    limits: Limits,
    proxies: Proxies,
    mut stop: watch::Receiver<bool>,
) {
    let connections = Connections::new(limits.connections);
    let tls = tls.map(|tls| Tls { acceptor: tls.into(), handshakes: Connections::new(limits.handshakes) });
    let served = Arc::new(Served { tls, routes, limits, proxies, stop: stop.clone() });
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        if let Some((stream, addr, place)) = accepted {
            let served = served.clone();
            tokio::spawn(async move {
                let closed = place.closed();
                tokio::select! {
                    () = connection(stream, addr, &served, &place) => (),
                    () = closed => (),
                }
            });
        }
    }
    drop(listener);
    // A request that is not whole soon has begun nothing; it would keep the shutdown waiting.
    if tokio::time::timeout(WHOLE_SOON, connections.none_left()).await.is_err() {
        connections.close_idle();
    }
    if tokio::time::timeout(served.limits.drain, connections.none_left()).await.is_err() {
        tracing::warn!(event = "edge.drain_cut", "some requests were still in flight and were cut off");
    }
}

/// What every connection of a listener is served with.
struct Served {
    tls: Option<Tls>,
    routes: Routes,
    limits: Limits,
    proxies: Proxies,
    stop: watch::Receiver<bool>,
}

/// Where connections are encrypted here.
struct Tls {
    acceptor: TlsAcceptor,
    /// Places of their own, so that whoever begins handshakes and ends none takes no place from who has ended one.
    handshakes: Connections,
}

impl Tls {
    /// The stream after the handshake; nothing where that failed, or was all that was wanted.
    async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let place = self.handshakes.place().await;
        let mut stream = tokio::select! {
            shaken = self.acceptor.accept(stream) => shaken.ok()?,
            () = place.closed() => return None,
        };
        if stream.get_ref().1.alpn_protocol() == Some(certificates::PROOF) {
            let _ended = stream.shutdown().await.is_ok();
            return None;
        }
        Some(stream)
    }
}

async fn accept(listener: &TcpListener, connections: &Connections) -> Option<(TcpStream, SocketAddr, Place)> {
    let place = connections.place().await;
    match listener.accept().await {
        Ok((stream, addr)) => {
            // Without it small answers wait for the next one; it cannot fail on a fresh socket in a way that matters.
            let _set = stream.set_nodelay(true).is_ok();
            connections.accepted();
            Some((stream, addr, place))
        }
        Err(error) => {
            if connections.first_failure() {
                tracing::warn!(event = "edge.accept_failed", error = %error, "connections cannot be accepted for now");
            }
            // Most likely there is no free descriptor: then one is made.
            connections.close_longest_idle();
            tokio::time::sleep(BREATH).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, addr: SocketAddr, served: &Served, place: &Place) {
    let peer = Peer { addr, source: addr.ip(), tls: served.tls.is_some() };
    match &served.tls {
        None => talk(stream, peer, served, place).await,
        Some(tls) => {
            if let Ok(Some(stream)) = tokio::time::timeout(served.limits.handshake, tls.accept(stream)).await {
                talk(stream, peer, served, place).await;
            }
        }
    }
}

async fn talk<S>(stream: S, peer: Peer, served: &Served, place: &Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(|request| answer(request, peer, served, place.request()));
    let limits = &served.limits;
    let talking = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(Stalling::new(stream, limits.stall)), answer);
    let mut talking = std::pin::pin!(talking);
    let mut stop = served.stop.clone();
    let is_last = async {
        let _told = stop.wait_for(|stop| *stop).await.is_ok();
        tokio::time::sleep(ONE_MORE_WITHIN).await;
    };
    // What ends with an error ended for the client too: there is nobody to tell.
    tokio::select! {
        _ended = talking.as_mut() => return,
        () = is_last => (),
        () = tokio::time::sleep(limits.age) => (),
    }
    // The request in hand is answered, and no other is taken.
    talking.as_mut().graceful_shutdown();
    if tokio::time::timeout(limits.drain, talking).await.is_err() {
        tracing::debug!(event = "edge.connection_cut", "a connection did not end in time");
    }
}

/// The request went unanswered on purpose.
#[derive(Debug, thiserror::Error)]
#[error("closed unanswered")]
struct Closed;

async fn answer(request: Request<Incoming>, peer: Peer, served: &Served, in_hand: InHand) -> Result<Response, Closed> {
    // warp expects a path that begins with a slash.
    if request.method() == Method::CONNECT || !request.uri().path().starts_with('/') {
        return Ok(not_allowed());
    }
    // The body is gone when it has been read; what it is read for still has to be done.
    let mut request = request.map(|body| Arriving::new(body, in_hand.clone()));
    let source = served.proxies.source(peer.addr.ip(), request.headers());
    request.extensions_mut().insert(Peer { source, ..peer });
    let routes = hyper_util::service::TowerToHyperService::new(warp::service(served.routes.clone()));
    let asked = Asked::now();
    let answered = IN_HAND.scope(asked, hyper::service::Service::call(&routes, request));
    let mut response = answered.await.unwrap_or_else(|never| match never {});
    if let Some(id) = asked.header() {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    drop(in_hand);
    if *served.stop.borrow() {
        response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    if response.extensions().get::<CloseUnanswered>().is_some() { Err(Closed) } else { Ok(response) }
}

fn not_allowed() -> Response {
    let mut response = warp::reply().into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD, POST"));
    response
}

#[cfg(test)]
mod tests;
