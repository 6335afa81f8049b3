//! The proxies of `packaging/`, run as they stand there but for names, ports and folders, before the real server. What a proxy does on
//! the way of a callback must lose none: Notify sends again after a 503, and after no 4xx and no redirect.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use crate::server::{Answer, Server, exchange, folder, handed, printed, request, run};
use crate::tls::{Authority, connect_by};

const MEBIBYTE: usize = 1024 * 1024;
/// Where whoever asks comes from; the proxy is at 127.0.0.1.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

struct Proxy {
    process: Child,
    https: SocketAddr,
    http: SocketAddr,
    root: String,
    folder: tempfile::TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its workers end with it, as they would not if it were killed.
        let pid = self.process.id().to_string();
        let _ended = Command::new("kill").arg(pid).status().is_ok() && self.process.wait().is_ok();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Proxy {
    /// Runs a program with what `configure` makes of the file in `packaging`; `None` where it is not there.
    fn start(
        program: &str,
        file: &str,
        server: SocketAddr,
        configure: impl FnOnce(&str, &Path, [SocketAddr; 2]) -> Vec<String>,
    ) -> Option<Proxy> {
        let (authority, folder) = (Authority::new(), folder());
        let (chain, key) = authority.pair("localhost", 30);
        fs::write(folder.path().join("chain.pem"), chain).unwrap();
        fs::write(folder.path().join("key.pem"), key).unwrap();
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(file)).unwrap();
        let text = text.replace("127.0.0.1:8080", &server.to_string());
        let [https, http] = [free(), free()];
        let arguments = configure(&text, folder.path(), [https, http]);
        let mut command = Command::new(program);
        let home = folder.path();
        command.args(arguments).env("HOME", home).env("XDG_DATA_HOME", home).env("XDG_CONFIG_HOME", home);
        let log = fs::File::create(home.join("said")).unwrap();
        let Ok(process) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn() else {
            assert!(std::env::var_os("CI").is_none(), "the test of a proxy needs {program}");
            eprintln!("\n*** NOT TRIED: a proxy before the server, because there is no {program} ***\n");
            return None;
        };
        let proxy = Proxy { process, https, http, root: authority.root, folder };
        let until = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(proxy.https).is_err() || TcpStream::connect(proxy.http).is_err() {
            assert!(Instant::now() < until, "{}", fs::read_to_string(proxy.folder.path().join("said")).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(proxy)
    }

    fn nginx(server: SocketAddr) -> Option<Proxy> {
        Proxy::start("nginx", "nginx/counterfoil.conf", server, |text, folder, [https, http]| {
            let here = folder.to_str().unwrap();
            let text = text
                .replace("listen 443 ssl;", &format!("listen {https} ssl;"))
                .replace("listen 80;", &format!("listen {http};"))
                .replace("callbacks.example.gov.uk", "localhost")
                .replace("/etc/ssl/counterfoil", here)
                .replace("/var/log/nginx", here);
            fs::write(folder.join("site.conf"), text).unwrap();
            let whole = format!(
                "user root; daemon off; worker_processes 1; pid {here}/pid; error_log stderr; events {{}} http {{ include site.conf; }}"
            );
            fs::write(folder.join("nginx.conf"), whole).unwrap();
            ["-p", here, "-c", "nginx.conf"].map(str::to_owned).to_vec()
        })
    }

    fn caddy(server: SocketAddr) -> Option<Proxy> {
        Proxy::start("caddy", "caddy/Caddyfile", server, |text, folder, [https, http]| {
            let here = folder.to_str().unwrap();
            let site = format!("https://localhost:{} {{\n\ttls {here}/chain.pem {here}/key.pem", https.port());
            let text = text
                .replace("http://callbacks.example.gov.uk {", &format!("http://localhost:{} {{", http.port()))
                .replace("\ncallbacks.example.gov.uk {", &format!("\n{site}"))
                .replace("callbacks.example.gov.uk", "localhost")
                .replace("auto_https", "admin off\n\tauto_https")
                .replace("/var/log/caddy", here);
            let file = folder.join("Caddyfile");
            fs::write(&file, text).unwrap();
            ["run", "--config", file.to_str().unwrap()].map(str::to_owned).to_vec()
        })
    }

    fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((CLIENT, 0)).into()).unwrap();
        socket.connect(&self.https.into()).unwrap();
        connect_by(socket.into(), &self.root, "localhost").unwrap()
    }

    fn ask(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // Whoever refuses early may close before all of it is sent.
        let _sent = stream.write_all(bytes).is_ok();
        let mut answer = Vec::new();
        let _closed = stream.read_to_end(&mut answer).is_ok();
        Answer::parse(&answer)
    }

    fn post(&self, path: &str, headers: &str, body: &[u8]) -> u16 {
        self.ask(&request("POST", path, headers, body)).status
    }

    /// Everything that it wrote down.
    fn logs(&self) -> String {
        let files = fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        let logs = files.filter(|file| file.extension().is_some_and(|end| end == "log") || file.ends_with("said"));
        logs.map(|file| fs::read_to_string(file).unwrap()).collect()
    }
}

/// All that a proxy must leave as it is, and what it may not.
fn loses_nothing(start: impl FnOnce(SocketAddr) -> Option<Proxy>) {
    let folder = folder();
    let token = printed(&run(&["token", "add", "Test service"], folder.path()));
    let authorization = format!("Authorization: Bearer {token}\r\n");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let flags = ["--trusted-proxy", "127.0.0.1", "--public-url", "https://localhost"];
    let begin = || Server::start_as(handed(&[(socket.as_fd(), "web")]), folder.path(), &flags);
    let mut server = begin();
    let Some(proxy) = start(socket.local_addr().unwrap()) else { return };

    // Bytes of every kind, and as many as there may be.
    let all: Vec<u8> = (0..=255).collect();
    let large = vec![b'\xff'; MEBIBYTE];
    for body in [all.as_slice(), large.as_slice(), b""] {
        assert_eq!(proxy.post("/callbacks", &authorization, body), 200);
        assert!(server.has_in_quarantine(body));
    }
    // Once more is the server's to refuse.
    assert_eq!(proxy.post("/callbacks", &authorization, &vec![b'x'; MEBIBYTE + 1]), 413);
    let attack = br#"{"id": "a", "status": "delivered", "reference": "<script>' OR 1=1 -- ../../etc/passwd"}"#;
    assert_eq!(proxy.post("/callbacks", &authorization, attack), 200);

    // The same whatever is at the end of the path, or is doubled in it, and at any other.
    for path in ["/callbacks/", "//callbacks", "/callbacks/receipts", "/callbacks//x/", "/Callbacks", "/receipts", "/"]
    {
        assert_eq!(proxy.post(path, &authorization, attack), 200, "{path}");
    }
    assert_eq!(server.kept("a").len(), 1);

    // In the clear pages are led on, and nothing else.
    let plain = |method: &str, path: &str| {
        let answer = exchange(proxy.http, &request(method, path, &authorization, b""));
        (answer.status, answer.header("location").map(str::to_owned))
    };
    assert_eq!(plain("GET", "/receipts?page=2"), (308, Some("https://localhost/receipts?page=2".to_owned())));
    for (method, path) in
        [("POST", "/callbacks"), ("POST", "/"), ("GET", "/callbacks"), ("GET", "//Callbacks/x"), ("PUT", "/receipts")]
    {
        assert_eq!(plain(method, path), (503, None), "{method} {path}");
    }

    // A refusal of the server's goes through, and tells it who asked: not what that one wrote.
    let wrong = "Authorization: Bearer wrong\r\nX-Forwarded-For: 203.0.113.9\r\n";
    assert_eq!(proxy.post("/callbacks", wrong, attack), 401);
    let log = crate::tls::logged(&mut server, "callback.wrong_token");
    assert!(log.contains(&CLIENT.to_string()) && !log.contains("203.0.113.9"), "{log}");

    // The server comes and goes, and no request fails.
    for turn in 0..3 {
        let (mut kept_alive, old, begin) = (proxy.connect(), server, &begin);
        let mut ids = Vec::new();
        server = std::thread::scope(|scope| {
            let restarted = scope.spawn(move || {
                old.signal("-TERM");
                assert_eq!(old.ended(), Some(0));
                begin()
            });
            while ids.len() < 5 || !restarted.is_finished() {
                let id = format!("{turn}-{}", ids.len());
                let body = format!(r#"{{"id": "{id}", "status": "delivered"}}"#);
                let asked = String::from_utf8(request("POST", "/callbacks", &authorization, body.as_bytes())).unwrap();
                kept_alive.write_all(asked.replace("Connection: close\r\n", "").as_bytes()).unwrap();
                assert_eq!(status(&mut kept_alive), 200, "{id}");
                ids.push(id);
            }
            restarted.join().unwrap()
        });
        assert!(ids.iter().all(|id| server.kept(id).len() == 1));
    }

    // What the proxy would refuse by itself.
    let head = format!("{authorization}X-Long: {}\r\n", "x".repeat(40_000));
    assert!(matches!(proxy.post("/callbacks", &head, attack), 200 | 500..=599), "a long head");
    drop(server);
    drop(socket);
    assert_eq!(proxy.post("/callbacks?secret=1", &authorization, attack), 503, "the server is down");
    assert_eq!(proxy.ask(&request("GET", "/set-password/secret?secret=2", "", b"")).status, 503);

    let logs = proxy.logs();
    assert!(logs.contains("/callbacks"), "{logs}");
    for secret in [token.as_str(), "secret", "page=2"] {
        assert!(!logs.contains(secret), "{secret}: {logs}");
    }
}

/// As long as Notify waits for an answer.
const NOTIFY_WAITS: Duration = Duration::from_secs(5);

/// A server that takes a callback and never answers: the proxy says in its place, and in time, what Notify sends again.
fn answers_for_a_server_that_hangs(start: impl FnOnce(SocketAddr) -> Option<Proxy>) {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let Some(proxy) = start(hanging.local_addr().unwrap()) else { return };
    let holding = std::thread::spawn(move || hanging.incoming().take(2).collect::<Vec<_>>());
    let asked = ["/callbacks", "//Callbacks/received-text-messages?secret=1"].map(|path| {
        let mut stream = proxy.connect();
        stream.sock.set_read_timeout(Some(NOTIFY_WAITS)).unwrap();
        stream.write_all(&request("POST", path, "Authorization: Bearer secret\r\n", b"{}")).unwrap();
        stream
    });
    for mut stream in asked {
        assert_eq!(status(&mut stream), 503);
    }
    let logs = proxy.logs();
    assert!(logs.contains("503") && !logs.contains("secret"), "{logs}");
    drop(holding);
}

/// Of one answer on a connection that stays; its body is empty or is left out.
fn status(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> u16 {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&head));
        head.extend_from_slice(&byte);
    }
    let answer = Answer::parse(&head);
    let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
    stream.read_exact(&mut vec![0; length]).unwrap();
    answer.status
}

#[test]
fn nginx_answers_for_a_server_that_hangs_while_notify_still_waits() {
    answers_for_a_server_that_hangs(Proxy::nginx);
}

#[test]
fn caddy_answers_for_a_server_that_hangs_while_notify_still_waits() {
    answers_for_a_server_that_hangs(Proxy::caddy);
}

#[test]
fn nginx_before_it_loses_no_callback_and_writes_down_no_secret() {
    loses_nothing(Proxy::nginx);
}

#[test]
fn caddy_before_it_loses_no_callback_and_writes_down_no_secret() {
    loses_nothing(Proxy::caddy);
}
