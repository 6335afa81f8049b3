//! A server that is killed in the middle of a write or of a sync.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::load::Site;
use crate::server::Server;
use crate::trouble::Trouble;
use crate::{is_there, not_tried, times};

#[test]
fn no_acknowledged_callback_is_lost_when_the_server_dies_in_any_write_or_sync() {
    if !is_there("strace") {
        return not_tried("a server that dies in a write or a sync", "strace");
    }
    let notes = tempfile::tempdir().unwrap();
    let mut site = Site::new(notes.path().join("store"), notes.path());
    let (mut tried, mut reached) = (0, 0);
    for (file, calls) in [
        ("counterfoil.db-wal", "pwrite64"),
        ("counterfoil.db-wal", "fdatasync,fsync"),
        ("counterfoil.db", "pwrite64"),
        ("counterfoil.db", "fdatasync,fsync"),
    ] {
        for turn in 0..times(4) {
            // A checkpoint has one sync of the file.
            let nth = if file.ends_with("-wal") || calls == "pwrite64" { 1 + turn * 7 } else { 1 };
            let mut server = Server::start_in(&site.data, &[]);
            let trouble = Trouble::on(server.pid(), &site.data.join(file), calls, &format!("signal=KILL:when={nth}"));
            tried += 1;
            let sender = site.send(&server, 16, tried);
            // A checkpoint begins when there is something to copy.
            reached += u32::from(dies_within(&mut server, Duration::from_mins(1)));
            server.kill();
            site.stop(sender);
            drop(trouble);
        }
    }
    assert!(Server::start_in(&site.data, &[]).at.port() > 0);
    let lost = site.lost();
    eprintln!(
        "died in a write or a sync: {reached} of {tried} times, {} callbacks acknowledged, {lost} of them lost",
        site.acknowledged.len()
    );
    assert_eq!(lost, 0);
    assert!(reached * 10 >= tried * 9, "the calls were reached {reached} of {tried} times");
    assert!(site.acknowledged.len() > 100);
}

fn dies_within(server: &mut Server, time: Duration) -> bool {
    let ends = Instant::now() + time;
    while server.is_running() {
        if Instant::now() > ends {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

#[test]
fn no_acknowledged_callback_is_lost_when_the_server_is_killed_under_64_connections() {
    let notes = tempfile::tempdir().unwrap();
    let mut site = Site::new(notes.path().join("store"), notes.path());
    let kills = times(20);
    for turn in 0..kills {
        let server = Server::start_in(&site.data, &[]);
        let sender = site.send(&server, 64, turn);
        assert!(sender.wait_for(100 + 37 * (turn as usize % 10)), "callbacks are acknowledged");
        server.kill();
        site.stop(sender);
    }
    drop(Server::start_in(&site.data, &[]));
    let lost = site.lost();
    eprintln!("killed {kills} times, {} callbacks acknowledged, {lost} of them lost", site.acknowledged.len());
    assert_eq!(lost, 0);

    let control = tempfile::tempdir().unwrap();
    let mut site = Site::new(control.path().join("store"), control.path());
    let server = Server::start_in(&site.data, &[]);
    let sender = site.send_to(hasty(server.at), 64, 0);
    assert!(sender.wait_for(500), "callbacks are acknowledged");
    server.kill();
    site.stop(sender);
    drop(Server::start_in(&site.data, &[]));
    let lost = site.lost();
    eprintln!("control, which acknowledges before the commit: {lost} of {} lost", site.acknowledged.len());
    assert!(lost > 0, "the control must lose: else a kill here proves nothing");
}

/// In front of a server: acknowledges each callback, and only then passes it on, one after another.
fn hasty(server: SocketAddr) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    let (pass_on, passed) = mpsc::channel::<Vec<u8>>();
    std::thread::spawn(move || {
        for callback in passed {
            let Ok(mut stream) = TcpStream::connect(server) else { continue };
            let answer = stream.write_all(&callback).and_then(|()| stream.read(&mut [0; 512]));
            let _stored = answer.is_ok();
        }
    });
    std::thread::spawn(move || {
        for stream in socket.incoming().map_while(Result::ok) {
            let pass_on = pass_on.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                while let Some(callback) = next_request(&mut stream) {
                    let acknowledged = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                    if acknowledged.is_err() || pass_on.send(callback).is_err() {
                        break;
                    }
                }
            });
        }
    });
    at
}

/// A request with its body, whose length stands in its head.
fn next_request(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let (mut request, mut length) = (Vec::new(), 0);
    loop {
        let begin = request.len();
        if stream.read_until(b'\n', &mut request).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(request.get(begin..)?).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let begin = request.len();
    request.resize(begin + length, 0);
    stream.read_exact(request.get_mut(begin..)?).ok()?;
    Some(request)
}
