//! A server that is stopped and started again under load, on a socket that stays open meanwhile, as systemd keeps it.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::server::{Server, handed, ids, printed, run};
use crate::times;

const CONNECTIONS: u32 = 8;

#[test]
fn no_request_fails_while_the_server_is_stopped_and_started_again_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let token = printed(&run(&["token", "add", "Test service"], &data));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = start(&socket, &data);
    let load = Load::begin(socket.local_addr().unwrap(), &token);
    let restarts = times(20);
    for _ in 0..restarts {
        load.wait_for_more();
        server.signal("-TERM");
        assert_eq!(server.ended(), Some(0));
        server = start(&socket, &data);
    }
    load.wait_for_more();
    let (acknowledged, failed) = load.end();
    drop(server);
    let lost = acknowledged.difference(&ids(&data.join("counterfoil.db"))).count();
    let requests = acknowledged.len() + failed.len();
    eprintln!("restarts: {restarts}, requests: {requests}, failed: {}, acknowledged and lost: {lost}", failed.len());
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(lost, 0);
}

fn start(socket: &TcpListener, data: &Path) -> Server {
    Server::start_as(handed(&[(socket.as_fd(), "web")]), data, &[])
}

/// Senders that keep their connection for as long as the server does, and open another when it has been closed.
struct Load {
    ends: Arc<AtomicBool>,
    sent: Arc<AtomicU32>,
    senders: Vec<JoinHandle<(HashSet<String>, Vec<String>)>>,
}

impl Load {
    fn begin(at: SocketAddr, token: &str) -> Load {
        let (ends, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let sender = |number| {
            let (ends, sent, token) = (ends.clone(), sent.clone(), token.to_owned());
            std::thread::spawn(move || {
                let (mut acknowledged, mut failed, mut connection) = (HashSet::new(), Vec::new(), None);
                for turn in 0_u64.. {
                    if ends.load(Ordering::Relaxed) {
                        break;
                    }
                    let id = uuid::Uuid::from_u64_pair(number, turn).hyphenated().to_string();
                    match send(&mut connection, at, &token, &id) {
                        Ok(200) => _ = acknowledged.insert(id),
                        Ok(status) => failed.push(status.to_string()),
                        Err(error) => failed.push(error.to_string()),
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                    // Half of them let the connection rest, so that some are idle when the server stops.
                    if number.is_multiple_of(2) {
                        std::thread::sleep(Duration::from_millis(number * 9));
                    }
                }
                (acknowledged, failed)
            })
        };
        let senders = (1..=u64::from(CONNECTIONS)).map(sender).collect();
        Load { ends, sent, senders }
    }

    /// Until each has most likely had an answer.
    fn wait_for_more(&self) {
        let enough = self.sent.load(Ordering::Relaxed) + 10 * CONNECTIONS;
        while self.sent.load(Ordering::Relaxed) < enough {
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    fn end(self) -> (HashSet<String>, Vec<String>) {
        self.ends.store(true, Ordering::Relaxed);
        let (mut acknowledged, mut failed) = (HashSet::new(), Vec::new());
        for sender in self.senders {
            let (more, errors) = sender.join().unwrap();
            acknowledged.extend(more);
            failed.extend(errors);
        }
        (acknowledged, failed)
    }
}

/// Sends one callback; gives the status.
fn send(connection: &mut Option<TcpStream>, at: SocketAddr, token: &str, id: &str) -> io::Result<u16> {
    let mut stream = match connection.take().filter(is_open) {
        Some(stream) => stream,
        None => TcpStream::connect(at)?,
    };
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let body = format!(r#"{{"id": "{id}", "status": "delivered"}}"#);
    let head = format!(
        "POST /callbacks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    let mut answer = Vec::new();
    // No answer to a callback has a body.
    while !answer.ends_with(b"\r\n\r\n") {
        let mut more = [0; 1024];
        match stream.read(&mut more) {
            Ok(0) => return Err(io::Error::other("closed without an answer")),
            Ok(length) => answer.extend_from_slice(&more[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    if !answer.contains("\r\nconnection: close") {
        *connection = Some(stream);
    }
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| io::Error::other(answer))
}

/// Whether the server has not closed it since the last answer.
fn is_open(stream: &TcpStream) -> bool {
    let waits = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
    let looked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    stream.set_nonblocking(false).is_ok() && looked.is_err_and(waits)
}
