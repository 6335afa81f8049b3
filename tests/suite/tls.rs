//! Encryption that ends in the server: what it speaks, which certificate it shows, and what it says of files that are wrong.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::ToSpan;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::server::{Answer, BINARY, PASSWORD, Server, exchange, folder, request};

const BODY: &[u8] = br#"{"id": "a", "status": "delivered"}"#;

/// An authority of our own, with one between it and the servers.
pub(crate) struct Authority {
    pub(crate) root: String,
    between: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let named = |name: &str| {
            let mut asked = CertificateParams::default();
            asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            asked.distinguished_name.push(rcgen::DnType::CommonName, name);
            asked
        };
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (root, between) = (named("Root of the tests"), named("Between"));
        let root_certificate = root.self_signed(&root_key).unwrap().pem();
        let signed = between.signed_by(&key, &Issuer::new(root, root_key)).unwrap().pem();
        Authority { root: root_certificate, between: signed, issuer: Issuer::new(between, key) }
    }

    /// A chain and a key for a name, good for so many days from yesterday.
    pub(crate) fn pair(&self, name: &str, days: i64) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut asked = CertificateParams::new([name.to_owned()]).unwrap();
        let day = |later: i64| {
            let day = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date() + later.days();
            rcgen::date_time_ymd(day.year().into(), day.month().unsigned_abs(), day.day().unsigned_abs())
        };
        (asked.not_before, asked.not_after) = (day(-1), day(days - 1));
        let own = asked.signed_by(&key, &self.issuer).unwrap().pem();
        (format!("{own}{}", self.between), key.serialize_pem())
    }
}

/// Where a pair lies.
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Files {
    fn in_folder(folder: &Path, (chain, key): &(String, String)) -> Files {
        let files = Files { chain: folder.join("chain.pem"), key: folder.join("key.pem") };
        files.write_key(key);
        fs::write(&files.chain, chain).unwrap();
        files
    }

    fn write_key(&self, key: &str) {
        fs::write(&self.key, key).unwrap();
        fs::set_permissions(&self.key, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn flags(&self) -> [&str; 4] {
        ["--tls-cert", self.chain.to_str().unwrap(), "--tls-key", self.key.to_str().unwrap()]
    }
}

/// A connection that believes one root alone.
pub(crate) fn connect(
    at: SocketAddr,
    root: &str,
    name: &str,
) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
    connect_by(TcpStream::connect(at).unwrap(), root, name)
}

pub(crate) fn connect_by(
    mut stream: TcpStream,
    root: &str,
    name: &str,
) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut connection = ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| error.to_string())?;
    }
    Ok(StreamOwned::new(connection, stream))
}

fn ask(stream: &mut StreamOwned<ClientConnection, TcpStream>, bytes: &[u8]) -> Answer {
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Answer::parse(&answer)
}

/// The certificate that is shown, as PEM has it.
pub(crate) fn shown(at: SocketAddr, root: &str, name: &str) -> Result<Vec<u8>, String> {
    let stream = connect(at, root, name)?;
    Ok(stream.conn.peer_certificates().unwrap()[0].to_vec())
}

fn own(pair: &(String, String)) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.0.as_bytes()).unwrap().to_vec()
}

/// Waits until the log holds this; gives all of it.
pub(crate) fn logged(server: &mut Server, words: &str) -> String {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let log = server.log();
        if log.contains(words) {
            return log;
        }
        assert!(Instant::now() < until, "{words} was not logged: {log}");
    }
}

#[test]
fn two_versions_are_spoken_and_what_notify_sends_with_comes_in_where_it_believes_the_chain() {
    let (authority, folder) = (Authority::new(), folder());
    let files = Files::in_folder(folder.path(), &authority.pair("localhost", 30));
    let server = Server::start_with(&files.flags());

    // Signed in over TLS, also at a host that nobody named at the start.
    let email = server.add_person("caseworker");
    let form = format!("email={}&password={}", email.replace('@', "%40"), PASSWORD.replace(' ', "+"));
    let headers = "Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let asked = request("POST", "/sign-in", headers, form.as_bytes());
    let asked = String::from_utf8(asked).unwrap().replace("Host: localhost", "Host: callbacks.example.gov.uk");
    let answer = ask(&mut connect(server.at, &authority.root, "localhost").unwrap(), asked.as_bytes());
    assert_eq!(answer.status, 303, "{}", answer.text());
    let mut cookies = answer.headers("set-cookie").peekable();
    assert!(cookies.peek().is_some());
    assert!(cookies.all(|cookie| cookie.starts_with("__Host-") && cookie.contains("Secure")));
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000; includeSubDomains"));

    assert_eq!(exchange(server.at, &request("GET", "/sign-in", "", b"")).status, 0, "nothing is said in the clear");

    let root = folder.path().join("root.pem");
    fs::write(&root, &authority.root).unwrap();
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/tls/client.py");
    let mut python = Command::new("python3");
    python.args(["-I", client, &server.at.port().to_string()]).arg(&root).arg(&server.token);
    let Some(said) = python.output().ok().filter(|said| said.status.success()) else {
        assert!(std::env::var_os("CI").is_none(), "other programs' TLS needs python3 with requests");
        return eprintln!("\n*** NOT TRIED: other programs' TLS, because it needs python3 with requests ***\n");
    };
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    // OpenSSL asks for the old ones with ciphers that are not spoken either, and one of both is what the server answers.
    let refused = ["TLSV1_ALERT_PROTOCOL_VERSION", "SSLV3_ALERT_HANDSHAKE_FAILURE"];
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|number| said["speaks"][number].as_str().unwrap());
    assert!(refused.contains(&first) && refused.contains(&second), "{said}");
    assert_eq!([third, fourth], ["TLSv1.2", "TLSv1.3"]);
    assert_eq!(said["posts"], serde_json::json!([200, "SSLError", "SSLError"]));
    assert_eq!(server.kept("sent by requests").len(), 1);
}

#[test]
fn a_new_pair_is_shown_without_a_restart_and_a_wrong_one_never() {
    let (authority, folder) = (Authority::new(), folder());
    let [first, second, third] = [(); 3].map(|()| authority.pair("localhost", 30));
    let files = Files::in_folder(folder.path(), &first);
    let mut server = Server::start_with(&files.flags());
    let mut kept_alive = connect(server.at, &authority.root, "localhost").unwrap();
    let now = |server: &Server| shown(server.at, &authority.root, "localhost").unwrap();
    assert_eq!(now(&server), own(&first));

    // The key alone: as it is for a moment when both are written one after the other.
    files.write_key(&second.1);
    server.signal("-HUP");
    let log = logged(&mut server, "tls.not_reloaded");
    assert!(log.contains("key.pem is not the key of the certificate"), "{log}");
    assert_eq!(now(&server), own(&first));
    fs::write(&files.chain, &second.0).unwrap();
    server.signal("-HUP");
    logged(&mut server, "tls.reloaded");
    assert_eq!(now(&server), own(&second));

    // Without a signal, and by another file under the name.
    fs::remove_file(&files.chain).unwrap();
    logged(&mut server, "chain.pem cannot be read");
    assert_eq!(now(&server), own(&second));
    files.write_key(&third.1);
    fs::write(folder.path().join("new.pem"), &third.0).unwrap();
    fs::rename(folder.path().join("new.pem"), &files.chain).unwrap();
    let until = Instant::now() + Duration::from_mins(1);
    while now(&server) != own(&third) {
        assert!(Instant::now() < until, "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }

    let headers = format!("Authorization: Bearer {}\r\n", server.token);
    assert_eq!(ask(&mut kept_alive, &request("POST", "/callbacks", &headers, BODY)).status, 200);
    assert!(server.is_running());
}

#[test]
fn files_that_are_no_pair_are_told_before_anything_is_made() {
    let (authority, folder) = (Authority::new(), folder());
    let (pair, other) = (authority.pair("localhost", 30), authority.pair("localhost", 30));
    let files = Files::in_folder(folder.path(), &pair);
    let refused = |flags: &[&str], words: &str| {
        let store = folder.path().join("store");
        let output = Command::new(BINARY).arg("serve").args(flags).arg("--data").arg(&store).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{flags:?}: {said}");
        assert!(!store.exists());
    };
    let chain = files.chain.to_str().unwrap();
    refused(&["--tls-cert", chain], "--tls-key");
    refused(
        &["--tls-cert", "/nowhere.pem", "--tls-key", chain],
        "the certificate /nowhere.pem cannot be read: No such file",
    );
    refused(
        &["--tls-cert", chain, "--tls-key", "/nowhere.pem"],
        "the private key /nowhere.pem cannot be read: No such file",
    );
    refused(&["--tls-cert", chain, "--tls-key", chain], "chain.pem holds no private key");
    files.write_key(&other.1);
    refused(&files.flags(), "key.pem is not the key of the certificate");
    fs::write(&files.chain, "").unwrap();
    refused(&files.flags(), "chain.pem holds no certificate");
    refused(&["--http-redirect-listen", "127.0.0.1:0"], "--public-url");
    let plain = ["--http-redirect-listen", "127.0.0.1:0", "--public-url", "http://callbacks.example.gov.uk"];
    refused(&plain, "must begin with https://");
}

#[test]
fn a_certificate_that_nobody_will_take_is_shown_and_said_to_be() {
    let (authority, folder) = (Authority::new(), folder());
    let files = Files::in_folder(folder.path(), &authority.pair("localhost", 0));
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
    let public = ["--public-url", "https://callbacks.example.gov.uk"];
    let mut server = Server::start_with(&[&files.flags()[..], &public].concat());
    let log = server.log();
    for event in ["tls.certificate_ended", "tls.certificate_of_another_name", "tls.key_is_open"] {
        assert!(log.contains(event), "{event}: {log}");
    }
    let refused = shown(server.at, &authority.root, "localhost").unwrap_err();
    assert!(refused.contains("xpired"), "{refused}");
    let pair = authority.pair("localhost", 9);
    files.write_key(&pair.1);
    fs::write(&files.chain, &pair.0).unwrap();
    server.signal("-HUP");
    let log = logged(&mut server, "tls.reloaded");
    let after = log.split("tls.reloaded").nth(1).unwrap();
    assert!(!after.contains("tls.certificate_ended") && !after.contains("tls.key_is_open"), "{after}");
    let refused = shown(server.at, &authority.root, "callbacks.example.gov.uk").unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
    assert_eq!(shown(server.at, &authority.root, "localhost"), Ok(own(&pair)));
}

#[test]
fn pages_lead_to_https_and_callbacks_lead_nowhere() {
    let public = ["--public-url", "https://callbacks.example.gov.uk"];
    let mut server = Server::start_with(&[&public[..], &["--http-redirect-listen", "127.0.0.1:0"]].concat());
    let log = logged(&mut server, "leading pages to https from http://");
    let at = log.split("to https from http://").nth(1).unwrap().split_whitespace().next().unwrap();
    let at: SocketAddr = at.parse().unwrap();
    let said = |method: &str, path: &str, headers: &str| {
        let answer = exchange(at, &request(method, path, headers, if method == "POST" { BODY } else { b"" }));
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(answer.header("strict-transport-security"), None);
        assert_eq!(answer.header("connection"), Some("close"));
        (answer.status, answer.header("location").map(str::to_owned))
    };
    let to = |path: &str| (308, Some(format!("https://callbacks.example.gov.uk{path}")));
    assert_eq!(said("GET", "/", ""), to("/"));
    assert_eq!(said("HEAD", "/receipts?page=2&service=1", "Host: evil.example\r\n"), to("/receipts?page=2&service=1"));
    assert_eq!(said("GET", "//evil.example/", ""), to("//evil.example/"));
    let token = format!("Authorization: Bearer {}\r\n", server.token);
    let other = "Authorization: Bearer \u{e9}wrong\r\n";
    for path in ["/callbacks", "/callbacks/receipts", "//Callbacks/", "/receipts", "/", "/sign-in"] {
        for headers in [token.as_str(), other, ""] {
            assert_eq!(said("POST", path, headers), (503, None), "{path}");
        }
    }
    assert_eq!(said("GET", "/callbacks", ""), (503, None));
    assert_eq!(said("PUT", "/receipts", ""), (503, None));
    let log = logged(&mut server, "callback.sent_in_clear");
    assert!(!log.contains(&server.token));
    assert!(server.kept("a").is_empty());
}
