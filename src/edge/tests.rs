//! The edge under clients that behave badly, over real sockets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use std::convert::Infallible;

use warp::Filter;

use super::*;

/// More than the system holds for a reader that does not read.
const LARGE: usize = 64 << 20;

struct Running {
    at: SocketAddr,
    stop: watch::Sender<bool>,
    ended: JoinHandle<()>,
    /// How many requests have come to `/held`, and how many of them may be answered.
    held: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

fn limits() -> Limits {
    Limits {
        connections: 4,
        head: Duration::from_millis(300),
        stall: Duration::from_millis(300),
        drain: Duration::from_secs(5),
        ..Limits::default()
    }
}

fn start(limits: Limits) -> Running {
    start_with(limits, None)
}

fn start_with(limits: Limits, tls: Option<Arc<rustls::ServerConfig>>) -> Running {
    let ok = warp::path("ok").map(|| "ok".into_response());
    let tls_spoken = warp::path("tls").and(warp::ext::get::<Peer>());
    let tls_spoken = tls_spoken.map(|peer: Peer| peer.tls.to_string().into_response());
    let (held, released) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let gate = (held.clone(), released.clone());
    let waits = warp::path("held").and(warp::body::bytes()).then(move |_| {
        let (held, released) = gate.clone();
        async move {
            held.add_permits(1);
            released.acquire().await.unwrap().forget();
            "held".into_response()
        }
    });
    let slow = warp::path("slow").then(|| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "slow".into_response()
    });
    let unanswered = warp::path("unanswered").map(|| {
        let mut response = "never".into_response();
        response.extensions_mut().insert(CloseUnanswered);
        response
    });
    let panic = warp::path("panic").map(|| -> warp::reply::Response { std::panic::resume_unwind(Box::new("a fault")) });
    let body = warp::path("body").and(warp::body::bytes()).map(|body: bytes::Bytes| body.to_vec().into_response());
    let large = warp::path("large").map(|| vec![b'x'; LARGE].into_response());
    let routes = ok
        .or(slow)
        .unify()
        .or(tls_spoken)
        .unify()
        .or(unanswered)
        .unify()
        .or(panic)
        .unify()
        .or(large)
        .unify()
        .or(body)
        .unify()
        .or(waits)
        .unify();
    let routes =
        routes.recover(|_| async { Ok::<_, Infallible>(StatusCode::NOT_FOUND.into_response()) }).unify().boxed();
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    Running {
        at,
        stop,
        ended: tokio::spawn(serve(listener, tls, routes, limits, Proxies::default(), stopped)),
        held,
        released,
    }
}

async fn send(at: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn answer_to(at: SocketAddr, request: &str) -> String {
    let mut stream = send(at, request).await;
    let mut said = Vec::new();
    let _reset = stream.read_to_end(&mut said).await.is_ok();
    String::from_utf8_lossy(&said).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn an_answer_marked_so_is_not_sent() {
    let running = start(limits());
    assert_eq!(answer_to(running.at, &get("/unanswered")).await, "");
    assert!(answer_to(running.at, &get("/ok")).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_fault_in_one_request_ends_its_connection_alone() {
    let running = start(limits());
    assert_eq!(answer_to(running.at, &get("/panic")).await, "");
    assert!(answer_to(running.at, &get("/ok")).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn connect_and_odd_targets_never_reach_the_routes() {
    let running = start(limits());
    for request in [
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        assert!(answer_to(running.at, request).await.starts_with("HTTP/1.1 405"));
    }
}

#[tokio::test]
async fn a_silent_client_and_a_trickled_head_are_cut() {
    let running = start(limits());
    assert_eq!(answer_to(running.at, "").await, "");
    assert!(!answer_to(running.at, "GET /ok HTTP/1.1\r\nHo").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn idle_connections_give_way_to_a_new_one() {
    let running = start(Limits { head: Duration::from_mins(5), ..limits() });
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(TcpStream::connect(running.at).await.unwrap());
    }
    assert!(answer_to(running.at, &get("/ok")).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn bodies_that_are_not_whole_give_way_to_a_new_connection_and_whole_ones_do_not() {
    let running = start(Limits { connections: 6, head: Duration::from_mins(5), ..limits() });
    let mut whole = Vec::new();
    for _ in 0..3 {
        whole.push(
            send(running.at, "POST /held HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab")
                .await,
        );
    }
    running.held.acquire_many(3).await.unwrap().forget();
    let mut trickled = Vec::new();
    for _ in 0..20 {
        trickled.push(send(running.at, "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na").await);
    }
    assert!(answer_to(running.at, &get("/ok")).await.starts_with("HTTP/1.1 200"));
    running.released.add_permits(3);
    for mut whole in whole {
        let mut answer = String::new();
        whole.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("held"));
    }
}

#[tokio::test]
async fn a_body_on_its_way_is_waited_for_when_the_server_stops() {
    let running = start(limits());
    let mut half = send(running.at, "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stop.send_replace(true);
    tokio::time::sleep(Duration::from_millis(100)).await;
    half.write_all(b"b").await.unwrap();
    let mut answer = String::new();
    half.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("ab"), "{answer}");
}

#[tokio::test]
async fn it_can_be_handed_a_certificate_and_then_speaks_tls_alone() {
    let (certificates, client) = encrypted();
    let running = start_with(limits(), Some(certificates.config()));
    let answer = answer_over(&client, running.at, &get("/tls")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("true"), "{answer}");
    assert!(!answer_to(running.at, &get("/tls")).await.starts_with("HTTP/1.1"));
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_cut() {
    let running = start(limits());
    let mut reader = send(running.at, &get("/large")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut read = Vec::new();
    let _reset = reader.read_to_end(&mut read).await.is_ok();
    assert!(read.len() < LARGE, "the connection was still open");
}

#[tokio::test]
async fn stopping_ends_a_connection_that_is_never_idle_with_its_next_answer() {
    let running = start(Limits { drain: Duration::from_mins(5), ..limits() });
    let mut kept_alive = TcpStream::connect(running.at).await.unwrap();
    let sending = tokio::spawn(async move {
        let mut answer = [0; 1024];
        let mut last = String::new();
        while kept_alive.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.is_ok() {
            match kept_alive.read(&mut answer).await {
                Ok(length) if length > 0 => last = String::from_utf8_lossy(&answer[..length]).into_owned(),
                _ => break,
            }
        }
        last
    });
    tokio::time::sleep(Duration::from_millis(400)).await;
    running.stop.send_replace(true);
    let within = Duration::from_mins(1);
    tokio::time::timeout(within, running.ended).await.expect("it does not wait for the limit").unwrap();
    assert!(sending.await.unwrap().contains("connection: close"));
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_waits_for_no_half_request() {
    let running = start(Limits { head: Duration::from_mins(5), ..limits() });
    let _half = send(running.at, "GET /ok HTTP/1.1\r\nHo").await;
    let (at, request) = (running.at, get("/slow"));
    let in_flight = tokio::spawn(async move { answer_to(at, &request).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stop.send_replace(true);
    assert!(in_flight.await.unwrap().ends_with("slow"));
    tokio::time::timeout(Duration::from_secs(4), running.ended).await.unwrap().unwrap();
    assert!(TcpStream::connect(at).await.is_err());
}

/// A certificate for localhost, and a client that believes it.
fn encrypted() -> (Arc<Certificates>, tokio_rustls::TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let theirs = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let certificates = Arc::new(Certificates::default());
    certificates.show(Certificate::read(chain.as_bytes(), key.as_bytes()).unwrap());
    (certificates, Arc::new(theirs).into())
}

async fn answer_over(tls: &tokio_rustls::TlsConnector, at: SocketAddr, request: &str) -> String {
    let stream = TcpStream::connect(at).await.unwrap();
    let Ok(mut stream) = tls.connect("localhost".try_into().unwrap(), stream).await else { return String::new() };
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _unclean = stream.read_to_end(&mut answer).await.is_ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn handshakes_that_do_not_end_give_way_to_new_ones_and_take_no_place_of_who_has_ended_one() {
    let (certificates, client) = encrypted();
    let few = Limits { connections: 8, handshakes: 2, handshake: Duration::from_mins(5), ..limits() };
    let running = start_with(Limits { head: Duration::from_mins(5), ..few }, Some(certificates.config()));
    let stream = TcpStream::connect(running.at).await.unwrap();
    let mut kept_alive = client.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    // As many as there are places for connections, none with a word of a handshake.
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(running.at).await.unwrap());
        // Each is let in, and has its turn, before the next.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(answer_over(&client, running.at, &get("/ok")).await.ends_with("ok"));
    kept_alive.write_all(get("/ok").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    kept_alive.read_to_end(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).ends_with("ok"), "it was let go for handshakes that nobody ended");
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut_and_one_in_flight_ends_over_a_stop() {
    let (certificates, client) = encrypted();
    let soon = Limits { handshake: Duration::from_millis(300), ..limits() };
    let running = start_with(soon, Some(certificates.config()));
    assert_eq!(answer_to(running.at, "\u{16}").await, "");
    let (at, request) = (running.at, get("/slow"));
    let in_flight = tokio::spawn(async move { answer_over(&client, at, &request).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stop.send_replace(true);
    assert!(in_flight.await.unwrap().ends_with("slow"), "with the last word of TLS after it");
    running.ended.await.unwrap();
}

#[tokio::test]
async fn a_proof_is_shown_to_who_asks_for_it_alone_and_nothing_is_served_after_it() {
    let (certificates, client) = encrypted();
    let running = start_with(limits(), Some(certificates.config()));
    let mut asks = (*client.config()).as_ref().clone();
    asks.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let asks: tokio_rustls::TlsConnector = Arc::new(asks).into();
    assert_eq!(answer_over(&asks, running.at, &get("/ok")).await, "", "there is nothing to prove");
    let proof = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(proof.signing_key.serialize_der()).unwrap();
    certificates.prove("LOCALHOST", proof.cert.der().clone(), key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(proof.cert.der().clone()).unwrap();
    let mut believes = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    believes.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let believes: tokio_rustls::TlsConnector = Arc::new(believes).into();
    let stream = TcpStream::connect(running.at).await.unwrap();
    let mut stream = believes.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let _closed = stream.write_all(get("/ok").as_bytes()).await.is_ok();
    let mut answer = Vec::new();
    let _closed = stream.read_to_end(&mut answer).await.is_ok();
    assert!(answer.is_empty());
    assert!(answer_over(&client, running.at, &get("/ok")).await.ends_with("ok"));
    certificates.forget_proofs();
    assert_eq!(answer_over(&asks, running.at, &get("/ok")).await, "");
}
