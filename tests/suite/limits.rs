//! Clients that behave badly do not keep a callback from being stored.

use std::io::Write;
use std::net::TcpStream;

use crate::server::{Server, exchange};

/// Connections that do nothing; with their other ends this process needs no more than its own.
const IDLE: usize = 2000;

#[test]
fn two_thousand_idle_connections_and_trickled_requests_keep_no_callback_out() {
    let allowed = rlimit::increase_nofile_limit(u64::try_from(IDLE + 500).unwrap()).unwrap();
    assert!(allowed > u64::try_from(IDLE + 100).unwrap(), "the system allows too few open files for this test");
    let server = Server::start();
    let starts = [
        String::new(),
        "POST /callb".into(),
        "POST /callbacks HTTP/1.1\r\nHost: a\r\n".into(),
        format!("POST /callbacks HTTP/1.1\r\nAuthorization: Bearer {}\r\nContent-Length: 90\r\n\r\n{{", server.token),
    ];
    let mut idle = Vec::new();
    for n in 0..IDLE {
        let mut connection = TcpStream::connect(server.at).unwrap();
        connection.write_all(starts[n % starts.len()].as_bytes()).unwrap();
        idle.push(connection);
    }
    assert_eq!(server.post("/callbacks", br#"{"id": "a", "status": "x"}"#).status, 200);
    assert_eq!(server.kept("a").len(), 1);
}

#[test]
fn a_request_that_warp_could_not_route_is_answered_at_the_edge() {
    let server = Server::start();
    assert_eq!(exchange(server.at, b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").status, 405);
    assert_eq!(server.post("/callbacks", br#"{"id": "a", "status": "x"}"#).status, 200);
}
