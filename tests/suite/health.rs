//! What watches over the server is told in a word whether callbacks are taken, and needs no account for it.

use std::process::{Command, Output};

use crate::server::{BINARY, Server, exchange, folder, request};
use crate::tls::Authority;

fn healthcheck(arguments: &[&str]) -> Output {
    Command::new(BINARY).arg("healthcheck").args(arguments).output().unwrap()
}

#[test]
fn every_listener_says_whether_callbacks_are_taken_and_why_not() {
    let server = Server::start_with(&["--callbacks-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    let listeners = [server.at, server.callbacks_at.unwrap(), server.metrics_at.unwrap()];
    let ask = |at, path| {
        let answer = exchange(at, &request("GET", path, "", b""));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        (answer.status, answer.text())
    };
    for at in listeners {
        assert_eq!(ask(at, "/livez"), (200, "alive\n".into()));
        assert_eq!(ask(at, "/readyz"), (200, "ready\n".into()), "a server with nothing to do proves that it could");
        assert_eq!(exchange(at, &request("HEAD", "/readyz", "", b"")).status, 200);
    }
    let headers = format!("Authorization: Bearer {}\r\n", server.token);
    let posted = request("POST", "/readyz", &headers, br#"{"id": "a", "status": "x"}"#);
    assert_eq!(exchange(server.at, &posted).status, 200, "what Notify sends there is a callback like any other");
    assert_eq!(server.kept("a").len(), 1);

    let (listen, url) = (server.at.to_string(), format!("http://{}", server.callbacks_at.unwrap()));
    for arguments in [["--listen", &listen], ["--url", &url]] {
        let said = healthcheck(&arguments);
        assert!(said.status.success() && said.stdout == b"ready\n", "{said:?}");
    }
    let everywhere = format!("0.0.0.0:{}", server.at.port());
    assert!(healthcheck(&["--listen", &everywhere]).status.success(), "it is on this machine too");

    let store = rusqlite::Connection::open(server.data.join("counterfoil.db")).unwrap();
    store.pragma_update(None, "user_version", 999).unwrap();
    let not_ready = (503, "other-release\n".to_owned());
    while ask(server.at, "/readyz") != not_ready {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(listeners.iter().all(|at| ask(*at, "/livez").0 == 200), "no start anew mends that");
    let said = healthcheck(&["--listen", &listen]);
    let words = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.code() == Some(1) && words.contains("takes no callbacks: other-release"), "{words}");
    let said = healthcheck(&["--listen", "127.0.0.1:1"]);
    assert!(said.status.code() == Some(1) && String::from_utf8_lossy(&said.stderr).contains("no server answers"));
}

#[test]
fn a_server_that_speaks_tls_is_asked_by_its_own_flags_or_their_names_and_not_for_its_name() {
    let (authority, files) = (Authority::new(), folder());
    let (chain, key) = authority.pair("callbacks.example.gov.uk", 60);
    let [chain, key] = [("chain.pem", chain), ("key.pem", key)].map(|(name, text)| {
        let file = files.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    });
    let tls = ["--tls-cert", &chain, "--tls-key", &key];
    let server = Server::start_with(&tls);
    let listen = server.at.to_string();
    let said = healthcheck(&[&["--listen", &listen], &tls[..]].concat());
    assert!(said.status.success() && said.stdout == b"ready\n", "{said:?}");
    let mut asks = Command::new(BINARY);
    asks.arg("healthcheck").env("COUNTERFOIL_LISTEN", &listen).env("COUNTERFOIL_TLS_CERT", &chain);
    // As they stand in a container of a server that also leads to https.
    asks.env("COUNTERFOIL_TLS_KEY", &key).env("COUNTERFOIL_HTTP_REDIRECT_LISTEN", "127.0.0.1:0");
    let said = asks.env("COUNTERFOIL_PUBLIC_URL", "https://callbacks.example.gov.uk").output().unwrap();
    assert!(said.status.success() && said.stdout == b"ready\n", "{said:?}");
    let domain = ["--acme-domain", "callbacks.example.gov.uk", "--acme-agree-terms"];
    assert!(healthcheck(&[&["--listen", &listen], &domain[..]].concat()).status.success());

    let words = |said: Output| (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned());
    let (code, without) = words(healthcheck(&["--listen", &listen]));
    assert!(code == Some(1) && without.contains("If it speaks TLS, give --tls-cert"), "{without}");
    let plain = Server::start();
    let (code, with) = words(healthcheck(&[&["--listen", &plain.at.to_string()], &tls[..]].concat()));
    assert!(code == Some(1) && with.contains("agrees on no TLS") && !with.contains("Look whether it runs"), "{with}");
}
