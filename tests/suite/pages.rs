//! The pages, held against the checklist that caseworkers' tools are built by.

use crate::bodies::escaped;
use crate::server::{Answer, Browser, Server, exchange, request};

const TEXT: &str =
    "Can I change it?\\nCall me \\u202eon\\u0000 <b>0\\u200b7700</b> \\ud83d\\udc69\\u200d\\ud83d\\ude92";

/// A server with a little of everything.
fn furnished() -> Server {
    let server = Server::start();
    let text = format!(
        r#"{{"id": "t1", "source_number": "447700900123", "destination_number": "07700900999", "message": "{TEXT}", "date_received": "2026-06-14T11:15:30.000000Z"}}"#
    );
    for body in [
        r#"{"id": "r1", "reference": "HB-2026-1", "to": "07700 900123", "status": "delivered", "created_at": "2017-05-14T11:15:30.000000Z", "completed_at": "2017-05-14T11:16:30.000000Z", "notification_type": "sms"}"#,
        r#"{"id": "r2", "reference": "hb 2026 12", "to": "Some.One@Example.com", "status": "permanent-failure", "notification_type": "email"}"#,
        r#"{"notification_id": "l1", "reference": "HB-2026-1", "date_sent": "2026-01-01T12:00:00.000000Z", "sent_by": "API"}"#,
        r#"{"notification_id": "c1", "complaint_id": "x", "reference": "HB-2026-1", "to": "some.one@example.com"}"#,
        &text,
        "nonsense",
    ] {
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    server
}

fn all_pages(browser: &mut Browser) -> Vec<(String, Answer)> {
    let inbox = browser.get("/messages").text();
    let conversation = between(&inbox, "href=\"/messages/", "\"").to_owned();
    let (person, _) = browser.search("07700 900 123");
    let mut signed_out = Browser::new(browser.at());
    let mut pages: Vec<(String, Answer)> = [
        "/receipts",
        "/receipts?q=HB-2026-1",
        "/receipts?q=nothing",
        "/receipts?status=delivered",
        "/receipts/r1",
        "/receipts/r2",
        "/receipts/l1",
        "/receipts/c1",
        "/receipts/t1",
        "/messages",
        "/quarantine",
        "/quarantine/6",
        "/cookies",
        "/none",
        &person,
        &format!("/messages/{conversation}"),
    ]
    .into_iter()
    .map(|path| (path.to_owned(), browser.get(path)))
    .collect();
    for path in ["/sign-in", "/set-password/none"] {
        pages.push((path.into(), signed_out.get(path)));
    }
    pages.push(("a refused sign-in".into(), signed_out.post("/sign-in", &[("email", "a@b.c"), ("password", "x")])));
    pages
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap_or_else(|| panic!("no {from}")) + from.len();
    let rest = &text[start..];
    &rest[..rest.find(to).unwrap()]
}

#[test]
fn every_page_holds_to_the_checklist() {
    let server = furnished();
    let mut browser = server.signed_in("admin");
    for (path, answer) in all_pages(&mut browser) {
        let page = answer.text();
        assert_eq!(answer.status, if path == "/none" { 404 } else { 200 }, "{path}");
        let heading =
            between(&page, "<h1", "</h1>").split_once('>').unwrap().1.replace("<bdi>", "").replace("</bdi>", "");
        let title = between(&page, "<title>", "</title>");
        assert_eq!(page.matches("<h1").count(), 1, "{path}");
        assert_eq!(title.trim_start_matches("Error: "), format!("{heading} – Counterfoil"), "{path}");
        assert_eq!(title.starts_with("Error: "), page.contains("govuk-error-summary"), "{path}");
        let body = between(&page, "<body", "</body>");
        assert!(
            body.find("govuk-skip-link").unwrap() < body.find("<header").unwrap(),
            "{path}: the skip link is first"
        );
        assert!(page.contains("<html lang=\"en\""), "{path}");
        for (unwanted, why) in [
            (" style=", "no style in the page"),
            (" required", "no required"),
            ("type=\"search\"", "no search fields"),
            ("onclick=", "no script in attributes"),
            ("data:", "no embedded data"),
        ] {
            assert!(!page.contains(unwanted), "{path}: {why}");
        }
        assert_eq!(page.matches("<form").count(), page.matches("novalidate").count(), "{path}");
        assert_eq!(page.matches("<table").count(), page.matches("<caption").count(), "{path}");
        assert_eq!(page.matches("<th ").count(), page.matches("<th scope=").count(), "{path}");
        for id in page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{path}: one {id}");
        }
        for (label, _) in page.split("<label").skip(1).map(|rest| rest.split_once('>').unwrap()) {
            let name = between(label, "for=\"", "\"");
            assert!(page.contains(&format!(" id=\"{name}\"")), "{path}: a field for the label {name}");
        }
        for link in page.split("href=\"").skip(1).chain(page.split("action=\"").skip(1)) {
            let link = link.split('"').next().unwrap();
            assert!(!link.contains("900123") && !link.contains('@') && !link.contains("%40"), "{path}: {link}");
        }
    }
}

#[test]
fn every_answer_carries_the_security_headers() {
    let server = furnished();
    let mut browser = server.signed_in("admin");
    let mut answers = all_pages(&mut browser);
    answers.push(("/".into(), browser.get("/")));
    answers.push(("a wrong method".into(), browser.post("/receipts", &[])));
    for (path, answer) in answers {
        let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
    }
}

#[test]
fn styles_and_scripts_come_compressed_and_stay_in_the_browser() {
    let server = Server::start();
    let page = Browser::new(server.at).get("/sign-in").text();
    for (extension, mime) in
        [("css", "text/css; charset=utf-8"), ("js", "text/javascript; charset=utf-8"), ("svg", "image/svg+xml")]
    {
        let end = page.find(&format!(".{extension}\"")).unwrap() + extension.len() + 1;
        let path = &page[page[..end].rfind('"').unwrap() + 1..end];
        let gzip = exchange(server.at, &request("GET", path, "Accept-Encoding: br, gzip\r\n", b""));
        let plain = exchange(server.at, &request("GET", path, "", b""));
        assert_eq!((gzip.status, plain.status), (200, 200), "{path}");
        assert_eq!(gzip.header("content-encoding"), Some("gzip"));
        assert_eq!(plain.header("content-type"), Some(mime));
        assert!(plain.header("cache-control").unwrap().contains("immutable"));
        let head = exchange(server.at, &request("HEAD", path, "", b""));
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
    assert_eq!(exchange(server.at, &request("GET", "/assets/app-000000000000.css", "", b"")).status, 404);
}

#[test]
fn a_reference_is_found_however_it_is_typed_and_stands_in_the_address() {
    let server = furnished();
    let mut browser = server.signed_in("caseworker");
    for typed in ["HB-2026-1", " hb20261\u{200b} ", "hb 2026 1", "HB–2026–1"] {
        let (to, page) = browser.search(typed);
        assert!(to.starts_with("/receipts?q="), "{typed}: {to}");
        let page = page.text();
        let places = ["/receipts/r1", "/receipts/l1", "/receipts/c1", "/receipts/r2"].map(|href| page.find(href));
        assert!(places.iter().all(Option::is_some), "{typed}: receipt, letter, complaint and the longer reference");
        assert!(places[3] > places[0] && places[3] > places[1] && places[3] > places[2], "the exact ones come first");
        assert!(page.contains("4 results for ‘"), "{typed}");
    }
    assert!(browser.search("r1").1.text().contains("0 results"), "an id that is no UUID is no reference");
    let empty = browser.search("nothing like it").1.text();
    assert!(empty.contains("0 results for ‘nothing like it’") && empty.contains("You could try"));
    assert!(empty.contains("value=\"nothing like it\""), "what was typed is shown back");
    assert_eq!(browser.search("  ").0, "/receipts");
}

#[test]
fn a_person_is_found_in_any_spelling_and_never_stands_in_an_address() {
    let server = furnished();
    let mut browser = server.signed_in("caseworker");
    for typed in
        ["07700 900123", "+44 (0)7700 900123", "447700900123", "00447700900123", "(07700) 900-123", "7700900123"]
    {
        let (to, page) = browser.search(typed);
        assert!(to.starts_with("/search/") && to.len() == 72, "{typed}: {to}");
        let page = page.text();
        assert!(page.contains("/receipts/r1") && page.contains("/receipts/t1"), "{typed}: what was sent and received");
        assert!(page.contains(&format!("2 results for ‘{typed}’")), "{typed}");
    }
    let (to, page) = browser.search(" some.one@EXAMPLE.com");
    assert!(to.starts_with("/search/") && page.text().contains("/receipts/r2") && page.text().contains("/receipts/c1"));
    let mut colleague = server.signed_in("manager");
    assert!(colleague.get(&to).text().contains("/receipts/r2"), "the link can be shared");
    assert_eq!(Browser::new(server.at).get(&to).status, 303);
}

#[test]
fn a_receipt_tells_everything_in_plain_words() {
    let server = furnished();
    let mut browser = server.signed_in("caseworker");
    let page = browser.get("/receipts/r1").text();
    for words in [
        "Reference HB-2026-1",
        "Delivered",
        "07700 900123",
        "Test service",
        "Text message",
        "12:16pm on 14 May 2017",
        "datetime=\"2017-05-14T11:16:30Z\"",
        "Text messages from the same number",
        "Read the whole conversation",
        "What Notify reported",
        "does not mean",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let page = browser.get("/receipts/r2").text();
    assert!(page.contains("Email address does not exist") && page.contains("Other messages to the same person"));
    assert!(browser.get("/receipts/l1").text().contains("midday on 1 January 2026"));
    assert!(browser.get("/receipts/c1").text().contains("Marked as spam"));
}

#[test]
fn a_conversation_shows_texts_and_receipts_in_order_and_what_cannot_be_seen() {
    let server = furnished();
    assert_eq!(
        server.post("/callbacks", br#"{"id": "t2", "source_number": "+447700900123", "message": "Thank you", "date_received": "2026-06-15T11:15:30.000000Z"}"#).status,
        200
    );
    let mut browser = server.signed_in("caseworker");
    let inbox = browser.get("/messages").text();
    assert_eq!(inbox.matches("href=\"/messages/").count(), 1, "one row for one person");
    assert!(inbox.contains("Thank you"), "with the latest text");
    let path = format!("/messages/{}", between(&inbox, "href=\"/messages/", "\""));
    let page = browser.get(&path).text();
    let order = ["/receipts/r1", "Can I change it?\nCall me ", "Thank you"].map(|words| page.find(words).unwrap());
    assert!(order.is_sorted(), "{order:?}");
    let token = |code: &str| format!("<span class=\"app-token\">{code}</span>");
    assert!(page.contains(&format!("{}on{} ", token("U+202E"), token("U+0000"))));
    assert!(page.contains(&format!("{}{}7700", escaped("<b>0"), token("U+200B"))));
    assert!(page.contains("👩\u{200d}🚒"), "an emoji stays whole");
}

#[test]
fn results_come_fifty_to_a_page_and_filters_stay() {
    let server = Server::start();
    for n in 0..105 {
        let status = if n % 2 == 0 { "delivered" } else { "permanent-failure" };
        let body = format!(r#"{{"id": "n{n}", "reference": "AB-{n}", "status": "{status}"}}"#);
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    let mut browser = server.signed_in("caseworker");
    let rows = |page: &str| page.matches("href=\"/receipts/n").count();
    let first = browser.get("/receipts?q=AB").text();
    assert_eq!(rows(&first), 50);
    assert!(first.contains("105 results for ‘AB’") && !first.contains("rel=\"prev\""));
    let next = |page: &str| {
        page.split("rel=\"next\"")
            .next()
            .unwrap()
            .rsplit("href=\"")
            .next()
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .replace("&#38;", "&")
    };
    let second_path = next(&first);
    let second = browser.get(&second_path).text();
    assert_eq!(rows(&second), 50);
    assert!(first.contains("Showing 1 to 50 of 105") && second.contains("Showing 51 to 100 of 105"));
    assert!(second.contains("(page 2)") && second.contains("rel=\"prev\""));
    let third = browser.get(&next(&second)).text();
    assert_eq!(rows(&third), 5);
    assert!(!third.contains("rel=\"next\""));
    let filtered = browser.get("/receipts?q=AB&status=permanent-failure").text();
    assert!(
        filtered.contains("52 results")
            && filtered.contains("Clear filters")
            && filtered.contains("<option value=\"permanent-failure\" selected>")
    );
    assert_eq!(rows(&browser.get("/receipts?q=AB&after=rubbish&page=7").text()), 50, "a bad cursor is page 1");
    assert!(!browser.get("/receipts?q=AB-104").text().contains("govuk-pagination"), "one page needs no pagination");
    assert_eq!(rows(&browser.get("/receipts?status=&q=").text()), 50);
}

#[test]
fn a_form_of_another_site_is_refused() {
    let server = Server::start();
    let browser = server.signed_in("caseworker");
    for path in ["/sign-in", "/sign-out", "/search"] {
        for from in
            ["Sec-Fetch-Site: cross-site\r\n", "Origin: https://evil.example\r\n", "Sec-Fetch-Site: same-site\r\n"]
        {
            let headers = browser.headers() + from;
            assert_eq!(exchange(server.at, &request("POST", path, &headers, b"q=x")).status, 403, "{path} {from}");
        }
    }
    assert_eq!(browser.clone().get("/receipts").status, 200, "still signed in");
}

#[test]
fn the_session_cookie_is_bound_to_the_host_and_hidden_from_scripts() {
    let server = Server::start();
    server.signed_in("caseworker");
    let form = [("email", "caseworker@example.gov.uk"), ("password", crate::server::PASSWORD)];
    let answer = Browser::new(server.at).post("/sign-in", &form);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-counterfoil="));
    for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"));
}

#[test]
fn sign_in_away_from_the_machine_says_that_it_needs_https() {
    let server = Server::start();
    let page = |host: &str| {
        let request = format!("GET /sign-in HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        exchange(server.at, request.as_bytes()).text()
    };
    assert!(page("callbacks.example.gov.uk").contains("Sign-in needs https"));
    for near in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080"] {
        assert!(!page(near).contains("Sign-in needs https"), "{near}");
    }
}

#[test]
fn failed_sign_ins_say_the_same_for_everybody_and_then_must_wait() {
    let server = Server::start();
    server.signed_in("caseworker");
    let mut said = Vec::new();
    for email in ["caseworker@example.gov.uk", "nobody@example.gov.uk"] {
        let mut browser = Browser::new(server.at);
        let form = [("email", email), ("password", "wrong")];
        // However slow the machine is, the delay soon outgrows the time that a try takes.
        let pages: Vec<Answer> = (0..20).map(|_| browser.post("/sign-in", &form)).collect();
        assert!(pages[0].header("set-cookie").is_none());
        said.push(pages[0].text().replace(email, "EMAIL"));
        assert!(pages[..4].iter().all(|page| page.status == 200));
        let told_to_wait = pages.iter().find(|page| page.status == 429).unwrap();
        assert!(told_to_wait.text().contains("Too many tries have failed. Wait"));
    }
    assert_eq!(said[0], said[1]);
}

#[test]
fn logs_hold_nothing_personal() {
    let mut server = furnished();
    let mut browser = server.signed_in("admin");
    all_pages(&mut browser);
    let log = server.log();
    for personal in ["900123", "900 123", "xample.", "Can I change", "HB-2026", &server.token] {
        assert!(!log.contains(personal), "{personal}: {log}");
    }
}
