//! The acknowledgement contract as a table: what comes in, what is answered, what is kept.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::server::{Server, exchange, request};

#[test]
fn what_cannot_be_understood_is_acknowledged_and_kept_byte_for_byte_with_the_reason() {
    let server = Server::start();
    let cases: [(&str, &[u8], &str); 17] = [
        ("", b"", "The body is empty."),
        ("", b"hello", "The body is not JSON."),
        ("", br#"{"id": "a", "status": "delivered""#, "The body is not JSON."),
        ("", br#"{"id": "a", "status": "delivered"} x"#, "The body is not JSON."),
        ("", br#"["id", "status"]"#, "The body is JSON, but not an object with keys."),
        ("", b"null", "The body is JSON, but not an object with keys."),
        ("", br#"{"id": "a", "id": "b", "status": "delivered"}"#, "A key stands in the body twice."),
        ("", br#"{"id": "a", "status": "delivered", "new": 1, "new": 2}"#, "A key stands in the body twice."),
        ("", b"\xef\xbb\xbf{\"id\": \"a\", \"status\": \"delivered\"}", "The body begins with a byte order mark."),
        ("", b"{\"id\": \"a\xff\", \"status\": \"delivered\"}", "The body is not valid UTF-8."),
        ("", br#"{"id": "a\ud800", "status": "x"}"#, "The body holds half of a character (a lone surrogate)."),
        ("", br#"{"id": 7, "status": "delivered"}"#, "The value of ‘id’ is of the wrong type."),
        ("", br#"{"id": "a", "status": 7}"#, "The value of ‘status’ is of the wrong type."),
        ("", br#"{"status": "delivered"}"#, "The body has no id."),
        ("", br#"{"id": null, "status": "delivered"}"#, "The body has no id."),
        ("", br#"{"colour": "blue"}"#, "The keys are of no kind of callback that is known."),
        ("Content-Encoding: gzip\r\n", b"\x1f\x8b\x08\x00 and more", "The body is compressed."),
    ];
    for (headers, body, reason) in cases {
        let headers = format!("Authorization: Bearer {}\r\n{headers}", server.token);
        let answer = server.post_with("/callbacks/delivery-receipts", &headers, body);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{reason}");
        let kept = server.quarantined();
        assert_eq!(kept.first(), Some(&(reason.to_owned(), body.to_vec())));
    }
    assert_eq!(server.quarantined().len(), cases.len());
}

#[test]
fn what_is_odd_but_clear_is_kept_as_a_callback_to_the_last_byte() {
    let server = Server::start();
    let cases: [(&str, &str); 10] = [
        ("o1", r#"{"id": "o1", "status": "a-status-of-tomorrow", "provider_response": {"deep": [1, {"x": null}]}}"#),
        ("o2", r#"{"id":"o2","status":"delivered","completed_at":"yesterday"}"#),
        ("o3", "{\n  \"status\": \"delivered\",\n  \"id\": \"o3\"\n}\n"),
        ("o4", r#"{"id": "o4", "reference": null, "to": null, "status": "delivered", "created_at": null}"#),
        (
            "o5",
            r#"{"id": "o5", "source_number": "447700900123", "message": "before\u0000after\u202e", "date_received": ""}"#,
        ),
        ("o6", r#"{"id": "o6", "status": "delivered", "template_version": -9223372036854775808}"#),
        ("o7", "{\"id\": \"o7\", \"status\": \"delivered\", \"reference\": \"ŵ 🚒 \u{202e}\"}"),
        ("o8", r#"{"id": "o8", "status": "delivered", "reference": "\u0041\/"}"#),
        ("o/9 ?#%41", r#"{"id": "o/9 ?#%41", "status": "delivered"}"#),
        ("O10", r#"{"id": "O10", "notification_id": "else", "status": "", "to": ""}"#),
    ];
    let mut caseworker = server.signed_in("caseworker");
    for (id, body) in cases {
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200, "{id}");
        assert_eq!(server.kept(id), [body.as_bytes()], "{id}");
        let path = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
        assert_eq!(caseworker.get(&format!("/receipts/{path}")).status, 200, "{id}");
    }
    assert_eq!(server.quarantined(), []);
}

#[test]
fn the_same_callback_again_is_one_row_and_other_content_is_another_event() {
    let server = Server::start();
    let first = br#"{"id": "a", "status": "temporary-failure"}"#;
    let other = br#"{"id": "a", "status": "delivered"}"#;
    for body in [first.as_slice(), first, other, first] {
        assert_eq!(server.post("/callbacks", body).status, 200);
    }
    assert_eq!(server.kept("a"), [first.as_slice(), other]);
    for _ in 0..2 {
        assert_eq!(server.post("/callbacks", b"nonsense").status, 200);
    }
    assert_eq!(server.quarantined().len(), 1, "a retry of nonsense is counted, not kept twice");
}

#[test]
fn without_a_valid_token_nothing_is_kept_and_the_body_is_not_read() {
    let mut server = Server::start();
    let body = br#"{"id": "a", "status": "delivered"}"#;
    let token = server.token.clone();
    for headers in [
        String::new(),
        "Authorization: Bearer\r\n".into(),
        "Authorization: Bearer wrong\r\n".into(),
        format!("Authorization: Basic {token}\r\n"),
        format!("Authorization: Bearer {token}x\r\n"),
        format!("Authorization: Bearer {}\r\n", token.to_uppercase()),
        format!("Cookie: token={token}\r\n"),
    ] {
        for path in ["/callbacks/delivery-receipts", "/callbacks", "/callbacks/nothing"] {
            let answer = server.post_with(path, &headers, body);
            assert_eq!(answer.status, 401, "{headers}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert_eq!(answer.header("location"), None);
        }
    }
    let announced = "POST /callbacks HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n";
    assert_eq!(exchange(server.at, announced.as_bytes()).status, 401, "the answer does not wait for the body");
    assert!(server.kept("a").is_empty() && server.quarantined().is_empty());
    let log = server.log();
    assert!(log.contains("callback.wrong_token") && !log.contains(&token) && !log.contains("Bearer"), "{log}");
}

#[test]
fn the_scheme_is_taken_in_any_case() {
    let server = Server::start();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let headers = format!("Authorization: {scheme} {}\r\n", server.token);
        assert_eq!(server.post_with("/callbacks", &headers, br#"{"id": "a", "status": "x"}"#).status, 200);
    }
}

#[test]
fn other_methods_are_answered_405_and_nothing_redirects_or_sets_a_cookie() {
    let server = Server::start();
    let headers = format!("Authorization: Bearer {}\r\n", server.token);
    for path in ["/callbacks", "/callbacks/", "/callbacks/delivery-receipts", "/callbacks/delivery-receipts/"] {
        for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            let answer = exchange(server.at, &request(method, path, &headers, b""));
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("POST"));
        }
        let answer = server.post(path, br#"{"id": "a", "status": "x"}"#);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("set-cookie").is_none() && answer.header("location").is_none());
    }
}

#[test]
fn a_body_over_one_mebibyte_is_the_one_413_and_its_sender_gets_to_read_it() {
    let server = Server::start();
    let largest = [br#"{"id": "l", "status": "x", "new": ""#.as_slice(), &vec![b'a'; (1 << 20) - 37], b"\"}"].concat();
    assert_eq!(largest.len(), 1 << 20);
    assert_eq!(server.post("/callbacks", &largest).status, 200);
    assert_eq!(server.kept("l"), [largest]);
    for length in [(1 << 20) + 1, 3 << 20] {
        assert_eq!(server.post("/callbacks", &vec![b'a'; length]).status, 413);
    }
    assert!(server.quarantined().is_empty());
}

#[test]
fn a_chunked_body_is_taken_too() {
    let server = Server::start();
    let head = format!(
        "POST /callbacks HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        server.token
    );
    let body = "10\r\n{\"id\": \"c\", \"sta\r\nc\r\ntus\": \"x\"}  \r\n0\r\n\r\n";
    assert_eq!(exchange(server.at, format!("{head}{body}").as_bytes()).status, 200);
    assert_eq!(server.kept("c"), [br#"{"id": "c", "status": "x"}  "#]);
}

#[test]
fn a_body_that_comes_too_slowly_or_breaks_off_is_closed_unanswered() {
    let server = Server::start();
    let head = format!(
        "POST /callbacks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: 40\r\n\r\n{{\"id\"",
        server.token
    );
    let slow = begun(&server, &head);
    let broken = begun(&server, &head);
    broken.shutdown(Shutdown::Write).unwrap();
    for mut connection in [broken, slow] {
        let mut said = Vec::new();
        let _reset = connection.read_to_end(&mut said).is_ok();
        assert_eq!(String::from_utf8_lossy(&said), "");
    }
    assert!(server.quarantined().is_empty(), "half a body is nothing to keep: Notify sends it again");
}

fn begun(server: &Server, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.at).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn what_cannot_be_stored_is_answered_503_and_is_stored_when_it_comes_again() {
    let mut server = Server::start();
    let body = br#"{"id": "a", "status": "delivered"}"#;
    assert_eq!(server.post("/callbacks", br#"{"id": "b", "status": "delivered"}"#).status, 200);
    let other = rusqlite::Connection::open(server.data.join("counterfoil.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = server.post("/callbacks", body);
    assert_eq!((answer.status, answer.body.len()), (503, 0));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(server.post("/callbacks", body).status, 200);
    assert_eq!(server.kept("a"), [body]);
    // Where something else waited for the lock before it, its time was up first.
    let log = server.log();
    assert!(log.contains("callback.not_stored") || log.contains("callback.slow_commit"), "{log}");
}

#[test]
fn a_commit_that_takes_too_long_is_answered_503_before_notify_gives_up() {
    let mut server = Server::start();
    let other = rusqlite::Connection::open(server.data.join("counterfoil.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Each waits for the lock in its turn, so that the later ones are past the limit before theirs comes.
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let post = |n: u64| {
            let headers = format!("Authorization: Bearer {}\r\n", server.token);
            let body = format!(r#"{{"id": "s{n}", "status": "x"}}"#);
            let (at, bytes) = (server.at, request("POST", "/callbacks", &headers, body.as_bytes()));
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(100 * n));
                exchange(at, &bytes).status
            })
        };
        let posts: Vec<_> = (0..4).map(post).collect();
        posts.into_iter().map(|post| post.join().unwrap()).collect()
    });
    assert_eq!(answers, [503; 4]);
    other.execute_batch("ROLLBACK").unwrap();
    assert!(server.log().contains("callback.slow_commit"));
    assert_eq!(server.post("/callbacks", br#"{"id": "s0", "status": "x"}"#).status, 200);
}

#[test]
fn one_connection_carries_many_callbacks() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for n in 0..20 {
        let body = format!(r#"{{"id": "k{n}", "status": "x"}}"#);
        let head = format!(
            "POST /callbacks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            server.token,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = [0; 512];
        let length = stream.read(&mut answer).unwrap();
        assert!(String::from_utf8_lossy(&answer[..length]).starts_with("HTTP/1.1 200"));
    }
    assert_eq!(server.kept("k19").len(), 1);
}

#[test]
fn a_key_that_is_also_another_kinds_makes_a_receipt_nothing_else() {
    let server = Server::start();
    for (n, key) in ["message", "date_received", "sent_by", "date_sent", "complaint_date"].into_iter().enumerate() {
        let body = format!(r#"{{"id": "e{n}", "to": "07700 900123", "status": "delivered", "{key}": "x"}}"#);
        assert_eq!(server.post("/callbacks/delivery-receipts", body.as_bytes()).status, 200);
        let read = counterfoil::notify::Callback::read(body.as_bytes()).unwrap();
        assert_eq!(read.kind(), counterfoil::notify::Kind::DeliveryReceipt, "{key}");
        assert_eq!(server.kept(&format!("e{n}")), [body.as_bytes()]);
    }
}

#[test]
fn an_empty_content_encoding_is_none() {
    let server = Server::start();
    let headers = format!("Authorization: Bearer {}\r\nContent-Encoding: \r\n", server.token);
    assert_eq!(server.post_with("/callbacks", &headers, br#"{"id": "a", "status": "x"}"#).status, 200);
    assert_eq!(server.kept("a").len(), 1);
}

#[test]
fn a_mistyped_address_loses_nothing_and_the_log_says_so() {
    let mut server = Server::start();
    let paths = ["//callbacks/delivery-receipts", "/Callbacks", "/callbacks//x/y?z=1", "///callbacks/"];
    for (n, path) in paths.into_iter().enumerate() {
        let body = format!(r#"{{"id": "p{n}", "status": "x"}}"#);
        assert_eq!(server.post(path, body.as_bytes()).status, 200, "{path}");
        assert_eq!(server.kept(&format!("p{n}")).len(), 1);
    }
    assert!(!server.log().contains("callback.quarantined"));
    assert_eq!(server.post("/callbacks/nowhere", b"nonsense").status, 200);
    assert!(server.log().rsplit("callback.odd_path").next().unwrap().contains("callback.quarantined"));
    assert_eq!(server.post("/callbacks/delivery-reciepts", br#"{"id": "a", "status": "x"}"#).status, 200);
    assert_eq!(server.kept("a").len(), 1);
    let log = server.log();
    assert!(log.contains("callback.odd_path") && !log.contains("reciepts"), "{log}");
}
