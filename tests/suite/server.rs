//! A running `counterfoil serve` on a folder of its own, and what tests say to it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use counterfoil::store::{Services, Store};
use rusqlite::types::Value;
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_counterfoil");
pub(crate) const PASSWORD: &str = "three random words";
/// Who must have a second factor.
pub(crate) const SECOND_FACTOR: &str = "COUNTERFOIL_REQUIRE_SECOND_FACTOR";
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder for a store that is not there yet.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Runs a command of the binary to its end.
pub(crate) fn run(arguments: &[&str], data: &Path) -> Output {
    run_with_input(arguments, data, "")
}

pub(crate) fn run_with_input(arguments: &[&str], data: &Path, input: &str) -> Output {
    let mut child = Command::new(BINARY)
        .args(arguments)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What a command printed, one last newline dropped.
pub(crate) fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim_end_matches('\n').to_owned()
}

/// The binary, to be handed one or two descriptors as systemd does, each with its name.
pub(crate) fn handed(descriptors: &[(BorrowedFd<'_>, &str)]) -> Command {
    let hand = |number: usize| match descriptors.get(number) {
        Some((descriptor, _)) => Stdio::from(descriptor.try_clone_to_owned().unwrap()),
        None => Stdio::null(),
    };
    let names: Vec<&str> = descriptors.iter().map(|(_, name)| *name).collect();
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"exec 3<&0 4>&1 </dev/null >/dev/null; LISTEN_PID=$$ exec "$0" "$@""#, BINARY])
        .env("LISTEN_FDS", names.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
        .stdin(hand(0))
        .stdout(hand(1));
    command
}

/// What listens where a server is to tell systemd how it is.
pub(crate) struct Told {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Told {
    pub(crate) fn listen() -> Told {
        let folder = folder();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Told { socket, folder }
    }

    /// The binary, which is to tell it; at least every `watchdog` where there is one.
    pub(crate) fn command(&self, watchdog: Option<Duration>) -> Command {
        let mut command = Command::new(BINARY);
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify")).stdout(Stdio::null());
        if let Some(time) = watchdog {
            command.env("WATCHDOG_USEC", time.as_micros().to_string());
        }
        command
    }

    /// Hears on until this is said; gives all that was said before it.
    pub(crate) fn wait_for(&self, words: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let mut said = [0; 4096];
            let length = self.socket.recv(&mut said).unwrap_or_else(|_| panic!("{words} was not said: {heard:?}"));
            let said = String::from_utf8_lossy(&said[..length]).into_owned();
            if said.contains(words) {
                return heard;
            }
            heard.push(said);
        }
    }

    /// What was said and not heard yet.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut said = [0; 4096];
        let mut heard = Vec::new();
        while let Ok(length) = self.socket.recv(&mut said) {
            heard.push(String::from_utf8_lossy(&said[..length]).into_owned());
        }
        self.socket.set_nonblocking(false).unwrap();
        heard
    }
}

pub(crate) struct Server {
    child: Child,
    pub(crate) data: PathBuf,
    pub(crate) at: SocketAddr,
    pub(crate) callbacks_at: Option<SocketAddr>,
    pub(crate) metrics_at: Option<SocketAddr>,
    pub(crate) token: String,
    log: mpsc::Receiver<String>,
    said: String,
    /// Removed with the server.
    folder: Option<TempDir>,
}

impl Server {
    /// On a new store with one service, called "Test service".
    pub(crate) fn start() -> Server {
        Server::start_with(&[])
    }

    pub(crate) fn start_with(more: &[&str]) -> Server {
        let folder = folder();
        let data = folder.path().join("store");
        let mut server = Server::start_in(&data, more);
        server.token = printed(&run(&["token", "add", "Test service"], &data));
        server.folder = Some(folder);
        server
    }

    /// As [`Server::start`], with a second factor required as it is by default.
    pub(crate) fn start_by_default() -> Server {
        Server::start_by_default_with(&[])
    }

    pub(crate) fn start_by_default_with(more: &[&str]) -> Server {
        let folder = folder();
        let data = folder.path().join("store");
        let mut command = Command::new(BINARY);
        command.stdout(Stdio::null()).env_remove(SECOND_FACTOR);
        let mut server = Server::start_as(command, &data, more);
        server.token = printed(&run(&["token", "add", "Test service"], &data));
        server.folder = Some(folder);
        server
    }

    /// On a store that stays when the server ends. There is no token in `token`.
    pub(crate) fn start_in(data: &Path, more: &[&str]) -> Server {
        Server::start_in_with(data, more, &[])
    }

    /// As [`Server::start_in`], with these in its environment.
    pub(crate) fn start_in_with(data: &Path, more: &[&str], environment: &[(&str, &str)]) -> Server {
        let mut command = Command::new(BINARY);
        command.stdout(Stdio::null()).envs(environment.iter().copied());
        Server::start_as(command, data, more)
    }

    /// As [`Server::start_in`], by a command that runs the binary.
    pub(crate) fn start_as(mut command: Command, data: &Path, more: &[&str]) -> Server {
        // Some MiB for each server would be written in every test. Where it is wanted it is said.
        if command.get_envs().all(|(name, _)| name != "COUNTERFOIL_BALLAST") {
            command.env("COUNTERFOIL_BALLAST", "0");
        }
        // Most tests are about something else. Where it is about signing in, the default is left as it is.
        if command.get_envs().all(|(name, _)| name != SECOND_FACTOR) {
            command.env(SECOND_FACTOR, "none");
        }
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = lines(child.stderr.take().unwrap());
        let mut server = Server {
            child,
            data: data.to_owned(),
            at: "127.0.0.1:1".parse().unwrap(),
            callbacks_at: None,
            metrics_at: None,
            token: String::new(),
            log,
            said: String::new(),
            folder: None,
        };
        server.at = server.address_after("listening on http");
        if more.contains(&"--callbacks-listen") {
            server.callbacks_at = Some(server.address_after("taking callbacks alone on http"));
        }
        if more.contains(&"--metrics-listen") {
            server.metrics_at = Some(server.address_after("metrics on http"));
        }
        server
    }

    fn address_after(&mut self, words: &str) -> SocketAddr {
        loop {
            let Ok(line) = self.log.recv_timeout(PATIENCE) else { panic!("the server is not ready: {}", self.said) };
            self.said += &line;
            if let Some((_, address)) = line.split_once(words).and_then(|(_, rest)| rest.split_once("://")) {
                return address.split([' ', '/', '"', '\n']).next().unwrap().parse().unwrap();
            }
        }
    }

    /// Everything that was logged so far.
    pub(crate) fn log(&mut self) -> String {
        while let Ok(line) = self.log.recv_timeout(Duration::from_millis(100)) {
            self.said += &line;
        }
        self.said.clone()
    }

    /// Posts a callback with the token, as Notify does.
    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.post_with(path, &format!("Authorization: Bearer {}\r\n", self.token), body)
    }

    pub(crate) fn post_with(&self, path: &str, headers: &str, body: &[u8]) -> Answer {
        exchange(self.at, &request("POST", path, headers, body))
    }

    /// The store, read beside the running server.
    pub(crate) fn read<T, F: Future<Output = T>>(&self, work: impl FnOnce(Store) -> F) -> T {
        block_on(async { work(Store::beside(&self.data, 0).unwrap()).await })
    }

    /// The bodies that are kept for one of Notify's ids.
    pub(crate) fn kept(&self, notify_id: &str) -> Vec<Vec<u8>> {
        let id = notify_id.to_owned();
        let receipt = self.read(|store| async move { store.receipt(&Services::All, &id).await.unwrap() });
        receipt.map(|receipt| receipt.events.iter().map(|kept| kept.callback.body()).collect()).unwrap_or_default()
    }

    /// What is in quarantine, newest first: the reason and the bytes.
    pub(crate) fn quarantined(&self) -> Vec<(String, Vec<u8>)> {
        self.read(|store| async move {
            let mut all = Vec::new();
            let page = store.quarantine(&Services::All, None).await.unwrap();
            for row in page.rows {
                let whole = store.quarantined(&Services::All, row.arrival).await.unwrap().unwrap();
                all.push((whole.reason, whole.body.unwrap_or_default()));
            }
            all
        })
    }

    pub(crate) fn has_in_quarantine(&self, body: &[u8]) -> bool {
        let store = rusqlite::Connection::open(self.data.join("counterfoil.db")).unwrap();
        let found =
            store.query_row("SELECT count(*) FROM quarantine WHERE body = ?1", [body], |row| row.get::<_, i64>(0));
        found.unwrap() == 1
    }

    /// A browser that somebody with this role is signed in with, by an app too where that is asked for.
    pub(crate) fn signed_in(&self, role: &str) -> Browser {
        let email = self.add_person(role);
        let mut browser = Browser::new(self.at);
        if browser.give_password(&email).starts_with("/sign-in/set-up") {
            browser.set_up_app();
        }
        browser
    }

    /// Adds somebody with this role and [`PASSWORD`]; gives the address.
    pub(crate) fn add_person(&self, role: &str) -> String {
        let email = format!("{role}@example.gov.uk");
        let added = run_with_input(&["user", "add", &email, "--role", role, "--password-stdin"], &self.data, PASSWORD);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        email
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Keeps a folder for as long as the server.
    pub(crate) fn hold(&mut self, folder: TempDir) {
        self.folder = Some(folder);
    }

    /// The folder, to look at after the server's end.
    pub(crate) fn keep_folder(&mut self) -> Option<TempDir> {
        self.folder.take()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits until it has ended by itself; gives the exit code.
    pub(crate) fn ended(self) -> Option<i32> {
        self.ended_saying().0
    }

    /// As [`Server::ended`], with everything that was logged.
    pub(crate) fn ended_saying(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.log())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill().is_ok() && self.child.wait().is_ok();
    }
}

fn lines(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (line, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut text = String::new();
        while from.read_line(&mut text).is_ok_and(|length| length > 0) {
            let _heard = line.send(std::mem::take(&mut text)).is_ok();
        }
    });
    lines
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(work)
}

/// The ids of all callbacks in a store's file.
pub(crate) fn ids(database: &Path) -> HashSet<String> {
    let connection = rusqlite::Connection::open(database).unwrap();
    let mut ids = connection.prepare("SELECT notify_id FROM callbacks").unwrap();
    let ids = ids.query_map([], |row| row.get::<_, Value>(0)).unwrap();
    // What cannot be read is not there.
    ids.map_while(Result::ok)
        .map(|id| match id {
            Value::Blob(bytes) => uuid::Uuid::from_slice(&bytes).unwrap().hyphenated().to_string(),
            Value::Text(text) => text,
            other => panic!("an id is {other:?}"),
        })
        .collect()
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 0 where the connection was closed without an answer.
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// What it weighs on the wire, where it is not sent in chunks.
    pub(crate) fn weight(&self) -> usize {
        self.head.len() + "\r\n\r\n".len() + self.body.len()
    }

    pub(crate) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub(crate) fn parse(bytes: &[u8]) -> Answer {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = bytes.get(end + 4..).unwrap_or_default();
        let in_chunks = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        Answer { status, head, body: if in_chunks { joined(body) } else { body.to_vec() } }
    }
}

/// A body that came in chunks, as one.
fn joined(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let length = std::str::from_utf8(&body[..end]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
        let Some(chunk) = length.filter(|length| *length > 0).and_then(|length| body.get(end + 2..end + 2 + length))
        else {
            break;
        };
        whole.extend_from_slice(chunk);
        body = body.get(end + 4 + chunk.len()..).unwrap_or_default();
    }
    whole
}

/// One request that asks for the connection to be closed.
pub(crate) fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length =
        if body.is_empty() && method != "POST" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}{length}\r\n");
    [head.as_bytes(), body].concat()
}

/// Sends bytes over a connection of their own and reads until it is closed.
pub(crate) fn exchange(at: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A server that has answered early may have closed: what it said still counts.
    let _sent = stream.write_all(bytes).is_ok();
    let mut answer = Vec::new();
    let _closed = stream.read_to_end(&mut answer).is_ok();
    Answer::parse(&answer)
}

/// The key on a page where an app is set up.
pub(crate) fn key_on(page: &str) -> String {
    let from = page.split("app-code\">").nth(1).unwrap_or_else(|| panic!("no key: {page}"));
    from.split('<').next().unwrap().to_owned()
}

/// The recovery codes on the page that shows them.
pub(crate) fn codes_on(page: &str) -> Vec<String> {
    page.split("<li class=\"app-code\">").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

/// What a browser keeps between requests.
#[derive(Clone)]
pub(crate) struct Browser {
    at: SocketAddr,
    pub(crate) cookie: Option<String>,
    /// What it holds between the two steps of a sign-in.
    pub(crate) half: Option<String>,
    /// By which it is known to have been signed in with before.
    pub(crate) known_by: Option<String>,
    /// More that stands in each request’s head.
    pub(crate) more: String,
}

/// What somebody has who has set up an authenticator app.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) key: String,
    pub(crate) recovery_codes: Vec<String>,
}

impl App {
    /// What the app shows now, or so many steps later.
    pub(crate) fn code(&self, later: u64) -> String {
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let secret = totp_rs::Secret::try_from_base32(self.key.replace(' ', "")).unwrap();
        let app = totp_rs::Builder::new().with_secret(secret).build().unwrap();
        app.generate(seconds + 30 * later).to_string()
    }
}

impl Browser {
    pub(crate) fn new(at: SocketAddr) -> Browser {
        Browser { at, cookie: None, half: None, known_by: None, more: String::new() }
    }

    /// Gives the right password, and says where that leads.
    pub(crate) fn give_password(&mut self, email: &str) -> String {
        let answer = self.post("/sign-in", &[("email", email), ("password", PASSWORD)]);
        assert_eq!(answer.status, 303, "{}", answer.text());
        answer.header("location").unwrap().to_owned()
    }

    /// Sets up an app where a sign-in asks for it.
    pub(crate) fn set_up_app(&mut self) -> App {
        let page = self.get("/sign-in/set-up").text();
        let mut app = App { key: key_on(&page), recovery_codes: Vec::new() };
        let answer = self.post("/sign-in/set-up", &[("code", &app.code(0))]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        app.recovery_codes = codes_on(&answer.text());
        app
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        let headers = self.headers();
        self.done(exchange(self.at, &request("GET", path, &headers, b"")))
    }

    pub(crate) fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let headers =
            self.headers() + "Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n";
        let body: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.done(exchange(self.at, &request("POST", path, &headers, body.as_bytes())))
    }

    pub(crate) fn at(&self) -> SocketAddr {
        self.at
    }

    pub(crate) fn headers(&self) -> String {
        let mut headers = self.more.clone();
        for cookie in [&self.half, &self.cookie, &self.known_by].into_iter().flatten() {
            let _ = write!(headers, "Cookie: {cookie}\r\n");
        }
        headers
    }

    fn done(&mut self, answer: Answer) -> Answer {
        for set in answer.headers("set-cookie") {
            let cookie = set.split(';').next().unwrap().trim().to_owned();
            if cookie.starts_with("__Host-counterfoil-sign-in=") {
                self.half = Some(cookie).filter(|cookie| !cookie.ends_with('='));
            } else if cookie.starts_with("__Host-counterfoil-browser=") {
                self.known_by = Some(cookie);
            } else {
                self.cookie = Some(cookie);
            }
        }
        answer
    }

    /// Types into the search box and goes where it leads.
    pub(crate) fn search(&mut self, typed: &str) -> (String, Answer) {
        let sent = self.post("/search", &[("q", typed)]);
        assert_eq!(sent.status, 303);
        let to = sent.header("location").unwrap().to_owned();
        let page = self.get(&to);
        (to, page)
    }
}
