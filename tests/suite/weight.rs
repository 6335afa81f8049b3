//! What pages weigh on the wire, and to whom they are sent compressed.

use std::collections::BTreeSet;
use std::io::Read as _;

use flate2::read::GzDecoder;

use crate::server::{Answer, Browser, Server, exchange, request};

/// What results may weigh with all that they load, where the browser has nothing yet.
const FIRST: usize = 40_000;
/// And where it has been there before.
const AFTER: usize = 10_000;
/// As Chromium asks.
const READS: &str = "Accept-Encoding: gzip, deflate, br, zstd\r\n";

/// With more than a page of receipts and of conversations, no two alike.
fn busy() -> Server {
    let server = Server::start();
    for n in 0..52_usize {
        // Any numbers that look like none of the others.
        let ids = [n, n + 100, n + 200]
            .map(|n| u64::try_from(n).unwrap())
            .map(|n| uuid::Uuid::from_u64_pair((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), !n << 7));
        let day = 1 + n % 28;
        let receipt = format!(
            r#"{{"id": "{}", "reference": "HB-2026-{:06}", "to": "{}.person{n}@example{}.org", "status": "{}", "created_at": "2026-10-{day:02}T11:15:30.000000Z", "completed_at": "2026-10-{day:02}T12:{n:02}:30.000000Z", "notification_type": "email", "template_id": "{}"}}"#,
            ids[0],
            n * 7919,
            ["some", "another", "a.very.long"][n % 3],
            n % 7,
            ["delivered", "permanent-failure", "temporary-failure", "sending"][n % 4],
            ids[1],
        );
        let text = format!(
            r#"{{"id": "{}", "source_number": "4477009{:05}", "destination_number": "07700900999", "message": "Can I move my appointment number {n} to the {day}th? {} Thank you", "date_received": "2026-10-{day:02}T11:{n:02}:30.000000Z"}}"#,
            ids[2],
            n * 1871 % 100_000,
            ids[1],
        );
        for body in [receipt, text] {
            assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
        }
    }
    server
}

/// With one receipt.
fn quiet() -> Server {
    let server = Server::start();
    let body = br#"{"id": "r1", "reference": "HB-2026-1", "to": "07700 900123", "status": "delivered"}"#;
    assert_eq!(server.post("/callbacks", body).status, 200);
    server
}

fn asks(browser: &mut Browser, path: &str, from: &str) -> Answer {
    let mut asking = browser.clone();
    asking.more = format!("{READS}{from}");
    asking.get(path)
}

fn is_compressed(answer: &Answer) -> bool {
    answer.header("content-encoding").is_some()
}

fn read(answer: &Answer) -> String {
    let mut text = String::new();
    GzDecoder::new(answer.body.as_slice()).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn results_weigh_under_40_kb_at_the_first_visit_and_under_10_kb_after() {
    let server = busy();
    let mut browser = server.signed_in("caseworker");
    let (number, _) = browser.search("Can I move my appointment");
    for path in ["/receipts", "/receipts?q=HB-2026", &number, "/messages"] {
        let page = asks(&mut browser, path, "Sec-Fetch-Site: none\r\n");
        let text = read(&page);
        let rows = text.split("<tbody").nth(1).unwrap().matches("<th scope=\"row\"").count();
        assert!(page.status == 200 && rows == 50, "{path}: {rows} rows");
        let after = page.weight();
        // All that a page loads stands there.
        let loaded: BTreeSet<&str> =
            text.split('"').filter(|part| part.starts_with("/assets/") || part.contains("favicon")).collect();
        assert_eq!(loaded.len(), 3, "{loaded:?}");
        let loaded =
            loaded.into_iter().map(|asset| asks(&mut browser, asset, "Sec-Fetch-Site: same-origin\r\n").weight());
        let first = after + loaded.sum::<usize>();
        eprintln!("{path}: {first} bytes at first, {after} after, {} as it is", text.len());
        assert!(first < FIRST && after < AFTER, "{path} weighs {first} at first and {after} after");
    }
}

#[test]
fn a_page_is_compressed_only_where_the_browser_says_that_no_other_site_had_a_part_in_asking() {
    let server = quiet();
    let mut browser = server.signed_in("caseworker");
    for path in ["/receipts?q=HB-2026", "/messages", "/none"] {
        for (from, is_safe) in [
            ("Sec-Fetch-Site: same-origin\r\n", true),
            ("Sec-Fetch-Site: none\r\n", true),
            ("", false),
            ("Sec-Fetch-Site: cross-site\r\n", false),
            ("Sec-Fetch-Site: same-site\r\n", false),
            ("Sec-Fetch-Site: anything\r\n", false),
            ("Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n", false),
        ] {
            let answer = asks(&mut browser, path, from);
            assert_eq!(is_compressed(&answer), is_safe, "{path}: {from}");
            assert_eq!(answer.header("vary"), Some("accept-encoding, sec-fetch-site"), "{path}: {from}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            let text = if is_safe { read(&answer) } else { answer.text() };
            assert!(text.starts_with("<!DOCTYPE html>") && text.ends_with("</html>"), "{path}: {from}");
        }
    }
    let own = format!("{READS}Sec-Fetch-Site: same-origin\r\n{}", browser.headers());
    let ask = |method: &str, path: &str, headers: &str, body: &[u8]| {
        exchange(server.at, &request(method, path, headers, body))
    };
    let head = ask("HEAD", "/receipts", &own, b"");
    assert!(head.status == 200 && is_compressed(&head) && head.body.is_empty());
    let reads_none = own.replace(READS, "Accept-Encoding: br, gzip;q=0\r\n");
    assert!(!is_compressed(&ask("GET", "/receipts", &reads_none, b"")));
    // A form that is answered with a page: ours, and that of another site.
    let form = format!("{READS}Content-Type: application/x-www-form-urlencoded\r\n{}", browser.headers());
    for (from, status) in [("same-origin", 200), ("cross-site", 403)] {
        let refused = ask("POST", "/search", &format!("{form}Sec-Fetch-Site: {from}\r\n"), b"q=---");
        assert_eq!((refused.status, is_compressed(&refused)), (status, status == 200));
    }
    // A redirect has nothing to compress.
    let sent_on = ask("GET", "/", &own, b"");
    assert!(sent_on.status == 303 && !is_compressed(&sent_on));
}

#[test]
fn no_answer_to_a_callback_and_no_file_is_compressed() {
    let server = quiet();
    let sends = format!("{READS}Sec-Fetch-Site: none\r\nAuthorization: Bearer {}\r\n", server.token);
    let ask = |method: &str, path: &str, headers: &str| exchange(server.at, &request(method, path, headers, b"{}"));
    for (method, path, headers, status) in [
        ("POST", "/callbacks", sends.as_str(), 200),
        ("POST", "/receipts", &sends, 200),
        ("POST", "/callbacks", &sends.replace("Bearer ", "Bearer x"), 401),
        ("GET", "/callbacks", &sends, 405),
    ] {
        let answer = ask(method, path, headers);
        assert_eq!((answer.status, answer.header("vary")), (status, None), "{method} {path}");
        assert!(!is_compressed(&answer), "{method} {path}");
    }
    let mut manager = server.signed_in("manager");
    let file = asks(&mut manager, "/download/receipts/csv", "Sec-Fetch-Site: same-origin\r\n");
    assert!(file.status == 200 && !is_compressed(&file) && file.text().contains("HB-2026-1"));
}
