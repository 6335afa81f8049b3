//! A certificate of its own, from a real authority: Pebble, which speaks ACME as Let's Encrypt does and looks for the proof by TLS at the
//! port that it is told. Names lead to this machine by the resolver that comes with it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::{Answer, Server, exchange, folder, request};
use crate::tls::{Authority, connect, logged, shown};

const NAME: &str = "callbacks.example.gov.uk";
const OTHER: &str = "receipts.example.gov.uk";

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Where the authority is to be, and what its own certificate leads to.
struct Place {
    folder: tempfile::TempDir,
    root: String,
    at: SocketAddr,
    management: SocketAddr,
    resolver: SocketAddr,
    /// Where it looks for the proof.
    proofs: SocketAddr,
}

/// The authority, while it is there.
struct Pebble(Vec<Child>);

impl Drop for Pebble {
    fn drop(&mut self) {
        for process in &mut self.0 {
            let _ended = process.kill().is_ok() && process.wait().is_ok();
        }
    }
}

impl Place {
    fn new() -> Place {
        let (authority, folder) = (Authority::new(), folder());
        let (chain, key) = authority.pair("localhost", 30);
        fs::write(folder.path().join("chain.pem"), chain).unwrap();
        fs::write(folder.path().join("key.pem"), key).unwrap();
        fs::write(folder.path().join("root.pem"), &authority.root).unwrap();
        let [at, management, resolver, proofs] = [(); 4].map(|()| free());
        Place { folder, root: authority.root, at, management, resolver, proofs }
    }

    /// The authority, whose certificates are good for so many seconds and which refuses so many of a hundred nonces; `None` where it is
    /// not installed.
    fn opens(&self, seconds: u32, refuses: u32) -> Option<Pebble> {
        let file = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let config = json!({"pebble": {
            "listenAddress": self.at.to_string(), "managementListenAddress": self.management.to_string(),
            "certificate": file("chain.pem"), "privateKey": file("key.pem"), "httpPort": 1, "tlsPort": self.proofs.port(),
            "certificateValidityPeriod": seconds,
        }});
        fs::write(file("config.json"), config.to_string()).unwrap();
        let log = File::create(file("said")).unwrap();
        let mut resolver = Command::new("pebble-challtestsrv");
        resolver.args([
            "-defaultIPv4",
            "127.0.0.1",
            "-defaultIPv6",
            "",
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
        ]);
        resolver.args(["-dns01", &self.resolver.to_string(), "-management", &free().to_string()]).stdout(Stdio::null());
        let mut pebble = Command::new("pebble");
        pebble.args(["-config", &file("config.json"), "-dnsserver", &self.resolver.to_string(), "-strict"]);
        pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        pebble.env("PEBBLE_WFE_NONCEREJECT", refuses.to_string()).stdout(log);
        let mut started = Pebble(Vec::new());
        for command in [&mut resolver, &mut pebble] {
            let Ok(process) = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn() else {
                assert!(std::env::var_os("CI").is_none(), "certificates of an authority need pebble");
                eprintln!("\n*** NOT TRIED: certificates of an authority, because there is no pebble ***\n");
                return None;
            };
            started.0.push(process);
        }
        Some(started)
    }

    /// What the certificates that it gives lead to.
    fn issues_by(&self) -> String {
        let until = Instant::now() + Duration::from_mins(1);
        while std::net::TcpStream::connect(self.management).is_err() {
            assert!(Instant::now() < until, "{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut stream = connect(self.management, &self.root, "localhost").unwrap();
        stream.write_all(&request("GET", "/roots/0", "", b"")).unwrap();
        let mut answer = Vec::new();
        let _closed = stream.read_to_end(&mut answer).is_ok();
        Answer::parse(&answer).text()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap()
    }

    fn serve(&self, data: &Path, names: &str) -> Server {
        let directory = format!("https://localhost:{}/dir", self.at.port());
        let root = self.folder.path().join("root.pem");
        let at = self.proofs.to_string();
        let flags = ["--listen", &at, "--acme-domain", names, "--acme-directory", &directory, "--acme-agree-terms"];
        let more = ["--acme-ca", root.to_str().unwrap(), "--acme-contact", "team@example.gov.uk"];
        Server::start_in(data, &[&flags[..], &more].concat())
    }
}

#[test]
fn a_certificate_is_got_kept_and_renewed_and_the_old_one_stays_when_there_is_no_new_one() {
    let (place, folder) = (Place::new(), folder());
    let data = folder.path().join("store");
    let Some(authority) = place.opens(24 * 60 * 60, 0) else { return };
    let issuer = place.issues_by();

    // Before the first nobody comes in, and nothing is said in the clear.
    let mut server = place.serve(&data, NAME);
    let log = logged(&mut server, "acme.got");
    assert!(log.contains("acme.none_yet"), "{log}");
    let first = shown(server.at, &issuer, NAME).unwrap();
    assert!(shown(server.at, &issuer, OTHER).is_err());
    assert_eq!(exchange(server.at, &request("GET", "/sign-in", "", b"")).status, 0);
    for file in ["counterfoil.acme", "counterfoil.certificate"] {
        assert_eq!(fs::metadata(data.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }

    // The authority goes, and a start anew asks it for nothing.
    drop((server, authority));
    let mut server = place.serve(&data, NAME);
    assert_eq!(shown(server.at, &issuer, NAME), Ok(first.clone()));
    let log = server.log();
    assert!(!log.contains("acme.failed") && !log.contains("acme.none_yet"), "{log}");
    drop(server);

    // A name more is asked for, and nobody answers.
    let mut server = place.serve(&data, &format!("{NAME},{OTHER}"));
    let log = logged(&mut server, "acme.failed");
    assert!(log.contains("does not answer"), "{log}");
    assert_eq!(shown(server.at, &issuer, NAME), Ok(first.clone()));

    // Another authority at the same place, which knows no account of before and refuses every third nonce.
    let Some(authority) = place.opens(15, 33) else { return };
    let issuer = place.issues_by();
    let until = Instant::now() + Duration::from_mins(2);
    while !server.log().contains("acme.got") {
        server.signal("-HUP");
        assert!(Instant::now() < until, "{} {}", server.log(), place.said());
    }
    assert!(place.said().contains("reject 33% of good nonces"), "{}", place.said());
    let second = shown(server.at, &issuer, OTHER).unwrap();
    assert_ne!(second, first);

    // It is good for 15 seconds, and is renewed before they are over.
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let now = shown(server.at, &issuer, NAME).expect("one that is good is shown all the time");
        if now != second {
            break;
        }
        assert!(Instant::now() < until, "{}", server.log());
        std::thread::sleep(Duration::from_millis(200));
        server.signal("-HUP");
    }
    assert!(server.is_running());
    drop(authority);
}

#[test]
fn an_authority_that_finds_no_proof_is_asked_again_and_its_words_are_in_the_log() {
    let (place, folder) = (Place::new(), folder());
    let Some(_authority) = place.opens(24 * 60 * 60, 0) else { return };
    place.issues_by();
    // It looks where nobody is.
    let directory = format!("https://localhost:{}/dir", place.at.port());
    let root = place.folder.path().join("root.pem");
    let asks = ["--acme-domain", NAME, "--acme-directory", &directory, "--acme-agree-terms"];
    let flags = [&asks[..], &["--acme-ca", root.to_str().unwrap()]].concat();
    let mut server = Server::start_in(&folder.path().join("store"), &flags);
    let log = logged(&mut server, "acme.failed");
    assert!(log.contains("for the tls-alpn-01 challenge"), "{log}");
    assert!(log.contains("Port 443"), "{log}");
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));

    let without = ["serve", "--acme-domain", NAME];
    let refused = crate::server::run(&without, &folder.path().join("other"));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--acme-agree-terms"));
    assert!(!folder.path().join("other").exists());
}
