//! What is beside the callbacks never keeps them from being taken: a server starts without it, says so, and raises an alarm.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::server::{Browser, Server, folder};

#[test]
fn what_cannot_be_had_at_the_start_keeps_no_callback_out_and_is_an_alarm() {
    let (files, taken) = (folder(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (empty, no_key) = (files.path().join("empty"), files.path().join("key"));
    fs::write(&empty, " \n").unwrap();
    fs::write(&no_key, "no key").unwrap();
    let (empty, no_key) = (empty.to_str().unwrap(), format!("Housing={}", no_key.display()));
    let taken = taken.local_addr().unwrap().to_string();
    let all = [
        ("--backfill", "Housing=/nowhere/key", "the key file /nowhere/key cannot be used"),
        ("--notify-api", &no_key, "it is not of the form that Notify gives out"),
        ("--accessibility-statement", empty, "it holds no text"),
        ("--http-redirect-listen", &taken, "another program listens there"),
        ("--oidc-client-secret-file", empty, "it is empty"),
    ];
    let beside = [
        ("--public-url", "https://counterfoil.example"),
        ("--oidc-issuer", "https://a.example"),
        ("--oidc-client-id", "counterfoil"),
        ("--smtp-url", "smtp://a@localhost:1"),
        ("--smtp-from", "counterfoil@council.example"),
        ("--smtp-password-file", "/nowhere/password"),
    ];
    let flags: Vec<&str> = all
        .iter()
        .map(|(flag, value, _)| (flag, value))
        .chain(beside.iter().map(|(flag, value)| (flag, value)))
        .flat_map(|(flag, value)| [*flag, *value])
        .collect();
    let mut server = Server::start_with(&flags);
    assert_eq!(server.post("/callbacks", include_bytes!("../callbacks/receipt-sms-delivered.json")).status, 200);
    let log = server.log();
    for (flag, words) in all
        .iter()
        .map(|(flag, _, words)| (flag, words))
        .chain([(&"--smtp-url", &"/nowhere/password: it cannot be read")])
    {
        let told =
            log.lines().find(|line| line.contains("serve.without") && line.contains(&format!("flag=\"{flag}\"")));
        assert!(told.is_some_and(|line| line.contains(words)), "{flag}: {log}");
    }
    let mut admin = server.signed_in("admin");
    let since = Instant::now();
    while !admin.get("/status").text().contains("The server runs without something that it was told to use") {
        assert!(since.elapsed() < Duration::from_mins(1), "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    // Nobody comes in by single sign-on, and the way there is as it was.
    assert!(Browser::new(server.at).get("/sign-in").text().contains("/sign-in/oidc"));
}

#[test]
fn a_store_that_knows_no_token_has_callbacks_sent_again_and_says_that_it_is_new() {
    let folder = folder();
    let mut server = Server::start_in(&folder.path().join("store"), &[]);
    let post = |headers: &str| server.post_with("/callbacks", headers, b"{}").status;
    assert_eq!((post("Authorization: Bearer of another store\r\n"), post("")), (503, 401));
    assert_eq!(
        server.post_with("/sign-in", "Authorization: Bearer of a proxy\r\n", b"").status,
        200,
        "it is no callback, and the page says what is missing"
    );
    let log = server.log();
    assert!(log.contains("store.made") && log.contains("callback.no_tokens"), "{log}");
    drop(server);
    assert!(!Server::start_in(&folder.path().join("store"), &[]).log().contains("store.made"));
}
