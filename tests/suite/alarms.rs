//! Alarms go out by themselves: to a webhook and to a command, with what to do, and without anybody's data.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::server::{Server, exchange, folder, printed, request, run};

/// Listens as a chat program does. It refuses the first so many.
pub(crate) struct Hook {
    pub(crate) at: SocketAddr,
    heard: mpsc::Receiver<(String, String)>,
}

impl Hook {
    pub(crate) fn listen(refuses: usize) -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let (tells, received) = mpsc::channel();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let (mut whole, mut piece) = (Vec::new(), [0; 4096]);
                let (head, body) = loop {
                    let length = stream.read(&mut piece).unwrap();
                    whole.extend_from_slice(&piece[..length]);
                    let text = String::from_utf8_lossy(&whole).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let wanted = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                    if body.len() >= wanted.unwrap().parse().unwrap() {
                        break (head.to_owned(), body.to_owned());
                    }
                };
                let status = if number < refuses { "500 Broken" } else { "200 OK" };
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
                if number >= refuses && tells.send((head, body)).is_err() {
                    return;
                }
            }
        });
        Hook { at, heard: received }
    }

    /// The head and the body of the next that it took.
    pub(crate) fn next(&self) -> (String, String) {
        self.heard.recv_timeout(Duration::from_secs(40)).unwrap()
    }
}

/// A command that notes what it is given, and the file where it does.
pub(crate) fn command_that_notes(folder: &Path) -> (PathBuf, PathBuf) {
    let (command, notes) = (folder.join("alarmed"), folder.join("noted"));
    let script = format!("#!/bin/sh\n(cat; echo; env | grep COUNTERFOIL_ALARM_; echo END) >> {}\n", notes.display());
    fs::write(&command, script).unwrap();
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
    (command, notes)
}

#[test]
fn each_alarm_goes_out_when_it_begins_and_ends_also_where_the_first_try_fails() {
    let folder = folder();
    let (hook, (command, notes)) = (Hook::listen(1), command_that_notes(folder.path()));
    let url = format!("http://{}/T0?key=a-secret", hook.at);
    let more =
        ["--alarm-webhook", &url, "--alarm-command", command.to_str().unwrap(), "--metrics-listen", "127.0.0.1:0"];
    let mut server = Server::start_with(&more);
    assert_eq!(server.post("/callbacks", b"nonsense of CANARY").status, 200);
    let wrong = "Authorization: Bearer CANARY\r\n";
    assert_eq!(server.post_with("/callbacks/CANARY", wrong, b"{}").status, 401);
    let mut told = [hook.next(), hook.next()];
    told.sort_by_key(|(_, body)| !body.contains("wrong_token"));
    for ((head, body), (alarm, advice)) in
        told.iter().zip([("wrong_token", "check the token in Notify"), ("quarantine", "Look at them under Quarantine")])
    {
        assert!(head.starts_with("POST /T0?key=a-secret HTTP/1.1\r\n"), "{head}");
        let said: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&said["alarm"], &said["state"]), (&alarm.into(), &"began".into()), "{body}");
        assert!(said["text"].as_str().unwrap().contains(advice) && said["advice"].as_str().unwrap().contains(advice));
        assert!(!body.contains("CANARY") && !body.contains("127.0.0.1"), "{body}");
    }
    let mut admin = server.signed_in("admin");
    let page = admin.get("/status").text();
    let row = |what: &str| page.split("<tr").find(|row| row.contains(what)).unwrap_or_else(|| panic!("{what}: {page}"));
    assert!(
        row("Tokens that callbacks carry").contains("Bad")
            && row("Tokens that callbacks carry").contains("check the token")
    );
    assert!(row("Quarantine</th>").contains("Warning") && row("The record").contains("Good"), "{page}");
    assert!(page.contains("2 things need somebody.") && row("Test service</bdi>").contains("Not understood: <time"));
    assert!(page.contains("1 came. Most did") && page.contains("1 were refused."), "charts say their numbers: {page}");
    assert_eq!(admin.post("/alarms/1", &[]).status, 303);
    let (_, over) = hook.next();
    let over: Value = serde_json::from_str(&over).unwrap();
    assert_eq!((&over["alarm"], &over["state"]), (&"wrong_token".into(), &"ended".into()));
    let written = || fs::read_to_string(&notes).unwrap_or_default();
    while written().matches("END").count() < 3 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let written = written();
    assert!(
        written.contains("COUNTERFOIL_ALARM_STATE=ended") && written.contains("\"alarm\":\"quarantine\""),
        "{written}"
    );
    assert!(!written.contains("CANARY"), "{written}");
    let metrics = exchange(server.metrics_at.unwrap(), &request("GET", "/metrics", "", b"")).text();
    assert!(metrics.contains("counterfoil_alarms{sort=\"quarantine\"} 1"), "{metrics}");
    let log = server.log();
    assert!(log.contains("alarm.told_again") && log.contains("alarm.ended"), "{log}");
    assert!(!log.contains("a-secret"), "an address that may be a secret is in no log");
}

#[test]
fn a_command_that_is_not_there_stops_no_server_and_is_an_alarm_of_its_own() {
    let folder = folder();
    let hook = Hook::listen(0);
    let (url, command) = (format!("http://{}/", hook.at), folder.path().join("none"));
    let more = ["--alarm-webhook", &url, "--alarm-command", command.to_str().unwrap()];
    let mut server = Server::start_with(&more);
    assert_eq!(server.post("/callbacks", b"{}").status, 200, "callbacks are taken all the same");
    let told = || serde_json::from_str::<Value>(&hook.next().1).unwrap();
    let began = std::iter::repeat_with(told).find(|said| said["alarm"] == "alarms_fail").unwrap();
    assert_eq!(began["state"], "began");
    assert!(server.log().contains("alarm.command_not_run"));
    command_that_notes(folder.path());
    fs::rename(folder.path().join("alarmed"), &command).unwrap();
    let ended = std::iter::repeat_with(told).find(|said| said["alarm"] == "alarms_fail").unwrap();
    assert_eq!(ended["state"], "ended", "it is looked at again");
}

#[test]
fn a_restart_tells_no_alarm_again_and_once_what_ended_meanwhile() {
    let folder = folder();
    let data = folder.path().join("store");
    let token = printed(&run(&["token", "add", "Test service"], &data));
    let hook = Hook::listen(0);
    let url = format!("http://{}/", hook.at);
    let start = || {
        let mut server = Server::start_in(&data, &["--alarm-webhook", &url]);
        server.token.clone_from(&token);
        server
    };
    let next = || {
        let said: Value = serde_json::from_str(&hook.next().1).unwrap();
        ["alarm", "state", "since"].map(|key| said[key].as_str().unwrap().to_owned())
    };
    let store = || rusqlite::Connection::open(data.join("counterfoil.db")).unwrap();
    let stop = |server: Server, told: &[&str]| {
        let kept = || {
            let store = store();
            let mut rows = store.prepare("SELECT sort FROM told_alarms ORDER BY sort").unwrap();
            let rows = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
            rows.map(Result::unwrap).collect::<Vec<_>>()
        };
        while kept() != told {
            std::thread::sleep(Duration::from_millis(20));
        }
        server.signal("-TERM");
        assert_eq!(server.ended(), Some(0));
    };
    let server = start();
    assert_eq!(server.post("/callbacks", b"nonsense").status, 200);
    let wrong = |server: &Server, path: &str| {
        assert_eq!(server.post_with(path, "Authorization: Bearer another\r\n", b"{}").status, 401);
    };
    wrong(&server, "/callbacks");
    let mut began = [next(), next()];
    began.sort();
    assert_eq!(
        began.each_ref().map(|[alarm, state, _]| format!("{alarm} {state}")),
        ["quarantine began", "wrong_token began"]
    );
    stop(server, &["quarantine", "wrong_token"]);

    // Somebody empties the quarantine while the server is down, and deals with the other when it is there again.
    store().execute("DELETE FROM quarantine", []).unwrap();
    let server = start();
    let [alarm, state, since] = next();
    assert_eq!(
        (alarm.as_str(), state.as_str(), &since),
        ("quarantine", "ended", &began[0][2]),
        "and nothing else is told"
    );
    stop(server, &["wrong_token"]);
    let server = start();
    assert_eq!(server.signed_in("admin").post("/alarms/1", &[]).status, 303);
    let [alarm, state, since] = next();
    assert_eq!(
        (alarm.as_str(), state.as_str(), &since),
        ("wrong_token", "ended", &began[1][2]),
        "the first was told once"
    );
}
