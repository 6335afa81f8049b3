//! What systemd hands over and is told, as its protocol has it, without a systemd.

use std::fs::{self, File};
use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::server::{Answer, BINARY, Server, Told, exchange, folder, handed, printed, request, run};

const UNITS: [&str; 3] = ["counterfoil.socket", "counterfoil-redirect.socket", "counterfoil.service"];
const BODY: &[u8] = br#"{"id": "a", "status": "delivered"}"#;

fn socket() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn sockets_that_are_handed_over_take_the_place_of_addresses() {
    let folder = folder();
    let token = printed(&run(&["token", "add", "Test service"], folder.path()));
    let (pages, callbacks) = (socket(), socket());
    let command = handed(&[(callbacks.as_fd(), "callbacks"), (pages.as_fd(), "counterfoil.socket")]);
    let mut server = Server::start_as(command, folder.path(), &[]);
    assert_eq!(server.at, pages.local_addr().unwrap());
    let alone = callbacks.local_addr().unwrap();
    assert!(server.log().contains(&format!("taking callbacks alone on http://{alone}")));
    let headers = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(exchange(alone, &request("POST", "/", &headers, BODY)).status, 200);
    assert_eq!(exchange(alone, &request("GET", "/sign-in", "", b"")).status, 405);
    assert_eq!(exchange(server.at, &request("GET", "/sign-in", "", b"")).status, 200);
}

#[test]
fn what_was_handed_to_another_process_is_left_alone() {
    let folder = folder();
    let mut command = Command::new(BINARY);
    command.env("LISTEN_PID", "1").env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "web").stdout(Stdio::null());
    let server = Server::start_as(command, folder.path(), &[]);
    assert_eq!(exchange(server.at, &request("GET", "/sign-in", "", b"")).status, 200);
}

#[test]
fn who_connects_between_a_stop_and_the_next_start_is_answered() {
    let folder = folder();
    let token = printed(&run(&["token", "add", "Test service"], folder.path()));
    let socket = socket();
    let start = || Server::start_as(handed(&[(socket.as_fd(), "web")]), folder.path(), &[]);
    let first = start();
    first.signal("-TERM");
    assert_eq!(first.ended(), Some(0));
    let mut waiting = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
    let headers = format!("Authorization: Bearer {token}\r\n");
    std::io::Write::write_all(&mut waiting, &request("POST", "/callbacks", &headers, BODY)).unwrap();
    let second = start();
    let mut answer = Vec::new();
    waiting.read_to_end(&mut answer).unwrap();
    assert_eq!(Answer::parse(&answer).status, 200);
    assert_eq!(second.kept("a").len(), 1);
}

#[test]
fn what_is_no_socket_to_listen_on_is_told_with_an_exit_code_of_its_own() {
    let folder = folder();
    let (udp, file) = (UdpSocket::bind("127.0.0.1:0").unwrap(), File::open("/dev/null").unwrap());
    let unix = UnixListener::bind(folder.path().join("socket")).unwrap();
    let listening = socket();
    let connected = TcpStream::connect(listening.local_addr().unwrap()).unwrap();
    for wrong in [udp.as_fd(), file.as_fd(), unix.as_fd(), connected.as_fd()] {
        let mut command = handed(&[(wrong, "web")]);
        let output = command.args(["serve", "--data"]).arg(folder.path().join("store")).stderr(Stdio::piped());
        let output = output.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(19), "{said}");
        assert!(said.contains("cannot be used") && said.contains("ListenStream="), "{said}");
        assert!(!folder.path().join("store").exists(), "it is told before anything is made");
    }
}

#[test]
fn systemd_is_told_that_it_is_ready_when_callbacks_are_answered_and_that_it_stops() {
    let folder = folder();
    let token = printed(&run(&["token", "add", "Test service"], folder.path()));
    let at = socket().local_addr().unwrap();
    let told = Told::listen();
    let command = told.command(None);
    let heard = std::thread::spawn(move || {
        let before = told.wait_for("READY=1");
        let headers = format!("Authorization: Bearer {token}\r\n");
        (before, exchange(at, &request("POST", "/callbacks", &headers, BODY)).status, told)
    });
    let server = Server::start_as(command, folder.path(), &["--listen", &at.to_string()]);
    let (before, status, told) = heard.join().unwrap();
    assert_eq!((before, status), (vec!["STATUS=Opening the store.\n".to_owned()], 200));
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    assert!(told.heard().concat().contains("STOPPING=1"));
}

#[test]
fn a_watchdog_hears_from_it_and_without_one_it_says_nothing_more() {
    let (watched, told) = (Told::listen(), Told::listen());
    let (one, other) = (folder(), folder());
    let watchdog = Some(Duration::from_millis(100));
    let _watched = Server::start_as(watched.command(watchdog), one.path(), &[]);
    let _server = Server::start_as(told.command(None), other.path(), &[]);
    told.wait_for("READY=1");
    for _ in 0..10 {
        watched.wait_for("WATCHDOG=1");
    }
    assert_eq!(told.heard(), Vec::<String>::new());
}

#[test]
fn a_reload_ends_no_server_that_systemd_started_and_without_one_a_hang_up_does() {
    let (told, folder, other) = (Told::listen(), folder(), folder());
    let server = Server::start_as(told.command(Some(Duration::from_millis(100))), folder.path(), &[]);
    server.signal("-HUP");
    // So that a stop would have begun meanwhile.
    for _ in 0..4 {
        told.wait_for("WATCHDOG=1");
    }
    assert_eq!(exchange(server.at, &request("GET", "/readyz", "", b"")).status, 200);
    assert!(!told.heard().concat().contains("STOPPING=1"));
    let alone = Server::start_in(other.path(), &[]);
    alone.signal("-HUP");
    assert_eq!(alone.ended(), Some(0));
}

#[test]
fn the_units_are_ones_that_systemd_takes_and_shut_the_server_in() {
    let analyze = |arguments: &[&str], units: &Path| {
        let units = UNITS.map(|unit| units.join(unit));
        let asked = match arguments {
            ["verify", ..] => &units[..],
            _ => &units[2..],
        };
        Command::new("systemd-analyze").args(arguments).args(asked).output()
    };
    let folder = folder();
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd");
    for unit in UNITS {
        let text = fs::read_to_string(units.join(unit)).unwrap();
        fs::write(folder.path().join(unit), text.replace("/usr/bin/counterfoil", BINARY)).unwrap();
    }
    let Ok(verified) = analyze(&["verify", "--man=no"], folder.path()) else {
        assert!(std::env::var_os("CI").is_none(), "the test of the units needs systemd-analyze");
        return eprintln!("\n*** NOT TRIED: the systemd units, because there is no systemd-analyze ***\n");
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("counterfoil."), "{said}");
    // In tenths: a unit that says nothing has 96.
    let exposed_by_more_than = |tenths: &str| {
        let threshold = format!("--threshold={tenths}");
        let shut_in = analyze(&["security", "--offline=true", &threshold], folder.path()).unwrap();
        (!shut_in.status.success()).then(|| String::from_utf8_lossy(&shut_in.stdout).into_owned())
    };
    assert_eq!(exposed_by_more_than("12"), None);
    let (unit, more) = (folder.path().join("counterfoil.service"), units.join("behind-a-proxy.conf"));
    let behind_a_proxy = fs::read_to_string(&unit).unwrap() + &fs::read_to_string(more).unwrap();
    fs::write(unit, behind_a_proxy).unwrap();
    assert_eq!(exposed_by_more_than("5"), None);
}
