//! The pages, held against the checklist that caseworkers' tools are built by.

use crate::bodies::escaped;
use crate::server::{Answer, Browser, PASSWORD, Server, exchange, printed, request, run};
use crate::words;

const TEXT: &str =
    "Can I change it?\\nCall me \\u202eon\\u0000 <b>0\\u200b7700</b> \\ud83d\\udc69\\u200d\\ud83d\\ude92";

/// What stands in it that is no text of ours.
const SENT: &str = "change Call nCall Host Some.One@Example.com nonsense Test service admin@example.gov.uk January March May June November \
     notification reference created completed delivered permanent-failure source number destination message received";

/// A server with a little of everything.
pub(crate) fn furnished() -> Server {
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

pub(crate) fn all_pages(browser: &mut Browser) -> Vec<(String, Answer)> {
    let inbox = browser.get("/messages").text();
    let conversation = between(&inbox, "href=\"/messages/", "\"").to_owned();
    let (person, _) = browser.search("07700 900 123");
    let (words, _) = browser.search("change it");
    let mut signed_out = Browser::new(browser.at());
    let mut pages: Vec<(String, Answer)> = [
        "/receipts",
        "/receipts?q=HB-2026-1",
        "/receipts?q=nothing",
        "/receipts?q=---",
        "/receipts?status=delivered",
        "/receipts?kind=received-text",
        "/receipts?earliest-day=31",
        "/receipts?q=026-1&as=anywhere",
        "/receipts/r1",
        "/receipts/r2",
        "/receipts/l1",
        "/receipts/c1",
        "/receipts/t1",
        "/messages",
        "/quarantine",
        "/quarantine/6",
        "/people",
        "/people/invite",
        "/people/1",
        "/people/1/change",
        "/people/1/disable",
        "/people/1/remove-app",
        "/people/1/reset",
        "/people/1/sign-out",
        "/tokens",
        "/tokens/new",
        "/tokens/1/rotate",
        "/tokens/1/revoke",
        "/status",
        "/cookies",
        "/help/statuses",
        "/help/keyboard",
        "/accessibility",
        "/ask-notify",
        "/templates",
        "/account",
        "/account/second-factor",
        "/account/password",
        "/none",
        &person,
        &format!("{person}?as=words"),
        &words,
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

pub(crate) fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap_or_else(|| panic!("no {from}")) + from.len();
    let rest = &text[start..];
    &rest[..rest.find(to).unwrap()]
}

#[test]
fn every_page_holds_to_the_checklist() {
    let server = furnished();
    let mut browser = server.signed_in("admin");
    let listed = words::listed(SENT);
    for (path, answer) in all_pages(&mut browser) {
        let page = answer.text();
        words::stand_in_the_list(&path, &page, &listed);
        assert_eq!(answer.status, if path == "/none" { 404 } else { 200 }, "{path}");
        let heading = between(&page, "<h1", "</h1>").split_once('>').unwrap().1;
        let heading: String =
            heading.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect();
        let title = between(&page, "<title>", "</title>");
        assert_eq!(page.matches("<h1").count(), 1, "{path}");
        // Browsers keep titles, so what is personal is in none.
        let named = match path.as_str() {
            path if path.starts_with("/search/") => "Search results",
            path if path.starts_with("/messages/") => "Conversation, Test service",
            "/receipts/t1" => "Received text message",
            _ => heading.as_str(),
        };
        assert_eq!(title.trim_start_matches("Error: "), format!("{named} – Counterfoil"), "{path}");
        // What a script may show later stands in a template.
        let shown = page.split("<template").map(|part| part.rsplit("</template>").next().unwrap());
        let has_error = shown.into_iter().any(|part| part.contains("govuk-error-summary"));
        assert_eq!(title.starts_with("Error: "), has_error, "{path}");
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
            // That goes to an app on the device, and into no log.
            if link.starts_with("otpauth://") {
                continue;
            }
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
    let plain = |method: &str, path: &str| exchange(server.at, &request(method, path, "", b""));
    answers.push(("a callback without a token".into(), plain("POST", "/callbacks")));
    answers.push(("a callback by a wrong method".into(), plain("GET", "/callbacks/complaints")));
    answers.push(("a callback".into(), server.post("/callbacks", b"nonsense")));
    for (path, answer) in answers {
        let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        for part in ["base-uri 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("strict-transport-security"), None, "{path}: it is not known that https works");
    }
    let server = Server::start_with(&["--public-url", "https://callbacks.example.gov.uk"]);
    for path in ["/sign-in", "/nothing", "/callbacks"] {
        let answer = exchange(server.at, &request("GET", path, "", b""));
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000; includeSubDomains"), "{path}");
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
        "What else is known",
        "Read the whole conversation",
        "What Notify reported",
        "does not mean",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let page = browser.get("/receipts/r2").text();
    assert!(page.contains("Email address does not exist") && page.contains("What else is known"));
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
    let form = [("email", "caseworker@example.gov.uk"), ("password", PASSWORD)];
    let answer = Browser::new(server.at).post("/sign-in", &form);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-counterfoil="));
    for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"));
}

#[test]
fn nobody_signs_in_where_the_browser_would_drop_the_cookie() {
    let server = Server::start_with(&["--public-url", "https://Callbacks.example.gov.uk"]);
    server.signed_in("caseworker");
    let link = printed(&run(&["user", "reset", "caseworker@example.gov.uk"], &server.data));
    let link = format!("/set-password/{}", link.rsplit("/set-password/").next().unwrap().trim());
    let ask = |method: &str, path: &str, host: &str, body: &str| {
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n");
        exchange(server.at, format!("{head}\r\n{body}").as_bytes())
    };
    let sign_in = format!("email=caseworker%40example.gov.uk&password={}", PASSWORD.replace(' ', "+"));
    for host in ["10.0.0.1:8080", "counterfoil.internal", "callbacks.example.gov.uk.evil.example"] {
        for (method, path, body) in [
            ("GET", "/sign-in", ""),
            ("POST", "/sign-in", sign_in.as_str()),
            ("POST", "/search", "q=x"),
            ("GET", &link, ""),
            ("POST", &link, "password=another+long+password"),
        ] {
            let answer = ask(method, path, host, body);
            let page = answer.text();
            assert!(page.contains("Sign-in needs https"), "{method} {path} {host}");
            assert!(page.contains("href=\"https://Callbacks.example.gov.uk/"), "{path}: where it works");
            assert!(!page.contains("type=\"password\""), "{method} {path} {host}: there is no form");
            assert!(answer.header("set-cookie").is_none(), "{method} {path} {host}");
            let refused = method == "POST" && path != "/search";
            assert_eq!(answer.status, if refused { 403 } else { 200 }, "{method} {path} {host}");
        }
    }
    for host in
        ["LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "callbacks.EXAMPLE.gov.uk.", "callbacks.example.gov.uk:443"]
    {
        assert!(ask("GET", "/sign-in", host, "").text().contains("type=\"password\""), "{host}");
        assert!(ask("GET", &link, host, "").text().contains("type=\"password\""), "{host}: the link was not used up");
        assert_eq!(ask("POST", "/sign-in", host, &sign_in).status, 303, "{host}");
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

#[test]
fn what_went_wrong_is_told_with_the_menu_of_whoever_is_signed_in() {
    let server = furnished();
    let mut browser = server.signed_in("caseworker");
    let cross_site = browser.headers() + "Origin: https://evil.example\r\n";
    let answers = [
        (404, browser.get("/none")),
        (404, browser.post("/none", &[])),
        (404, browser.get("/receipts/none")),
        (404, browser.get("/search/none")),
        (403, browser.get("/quarantine")),
        (405, browser.post("/receipts", &[])),
        (403, exchange(server.at, &request("POST", "/search", &cross_site, b"q=x"))),
        (400, exchange(server.at, &request("POST", "/search", &browser.headers(), "x".repeat(70_000).as_bytes()))),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status);
        let page = answer.text();
        assert!(page.contains("Sign out") && page.contains("role=\"search\""), "{page}");
    }
    assert!(browser.get("/search/none").text().contains("works for 30 days"));
    let nobody = Browser::new(server.at).get("/none").text();
    assert!(nobody.contains("Page not found") && !nobody.contains("Sign out") && !nobody.contains("search"));
}

#[test]
fn one_message_with_callbacks_of_several_kinds_shows_each_and_the_receipt_first() {
    let server = Server::start();
    for body in [
        r#"{"id": "m", "reference": "REF", "to": "a@b.example", "status": "delivered", "notification_type": "email", "template_id": "of the receipt", "provider_response": {"code": 7}, "status_description": "Fine"}"#,
        r#"{"notification_id": "m", "complaint_id": "of the complaint", "to": "a@b.example", "complaint_date": "2026-01-01T12:00:00.000000Z"}"#,
    ] {
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    let page = server.signed_in("caseworker").get("/receipts/m").text();
    assert!(page.contains("<h1 class=\"govuk-heading-l app-wrap\">Reference <bdi>REF</bdi></h1>"));
    let order = [">Delivered<", ">Marked as spam<", ">of the receipt<", ">of the complaint<"]
        .map(|words| page.find(words).unwrap());
    assert!(order.is_sorted(), "{order:?}");
    for words in
        ["<bdi>provider_response</bdi>", &escaped(r#"{"code":7}"#), "<bdi>status_description</bdi>", "<bdi>Fine</bdi>"]
    {
        assert!(page.contains(words), "{words}: keys that Notify does not send are there too");
    }
}

#[test]
fn what_others_wrote_is_text_and_what_cannot_be_seen_is_shown() {
    let server = Server::start();
    let token = printed(&run(&["token", "add", "<i>Service</i>"], &server.data));
    let evil = r"<script>alert(1)</script>\u202e";
    let person = r#"\"<img src=x>@b.example\u3164"#;
    for body in [
        format!(
            r#"{{"id": "m", "reference": "{evil}", "to": "{person}", "status": "<b>odd</b>", "notification_type": "<u>", "created_at": "<s>"}}"#
        ),
        format!(r#"{{"id": "t", "source_number": "{evil}", "message": "{evil}", "destination_number": "{evil}"}}"#),
    ] {
        let headers = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(server.post_with("/callbacks", &headers, body.as_bytes()).status, 200);
    }
    assert_eq!(
        server.post_with("/callbacks/%3Cx%3E", &format!("Authorization: Bearer {token}\r\n"), b"<script>").status,
        200
    );
    let mut browser = server.signed_in("manager");
    let inbox = browser.get("/messages").text();
    let conversation = format!("/messages/{}", between(&inbox, "href=\"/messages/", "\""));
    let (results, _) = browser.search("<script>alert(1)</script>");
    for path in [
        "/receipts",
        "/receipts/m",
        "/receipts/t",
        "/messages",
        &conversation,
        "/quarantine",
        "/quarantine/3",
        &results,
    ] {
        let page = browser.get(path).text();
        let body = between(&page, "<main", "</main>");
        for raw in ["<script", "<img", "<b>", "<u>", "<s>", "<i>", "\u{202e}", "\u{3164}"] {
            assert!(!body.contains(raw), "{path}: {raw}");
            assert!(!between(&page, "<title>", "</title>").contains(raw), "{path}: {raw} in the title");
        }
        assert!(body.contains(&escaped("<script>")) || path == "/quarantine", "{path}");
        assert!(page.contains("U+202E") || path.starts_with("/quarantine"), "{path}");
        assert!(body.contains(&escaped("<i>Service</i>")), "{path}");
    }
}

#[test]
fn every_id_has_a_page_that_its_row_leads_to() {
    let server = Server::start();
    let ids = [".", "..", "~.", "a/b", "what?", "a#b", "100%", "%2e", "é ü"];
    for id in ids {
        let body = serde_json::json!({"id": id, "reference": format!("of {id}"), "status": "delivered"}).to_string();
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    let mut browser = server.signed_in("caseworker");
    let page = browser.get("/receipts").text();
    let links: Vec<&str> =
        page.split("href=\"/receipts/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links.len(), ids.len());
    for (id, link) in ids.iter().rev().zip(links) {
        // What browsers make of a part that is dots, however they are written.
        assert!(!matches!(link.to_lowercase().replace("%2e", ".").as_str(), "." | ".."), "{id}: {link}");
        let page = browser.get(&format!("/receipts/{link}")).text();
        assert!(page.contains(&format!("Reference of {}", escaped(id))), "{id}: {link}");
    }
}

#[test]
fn lists_go_on_and_back_by_pages_that_say_their_number() {
    let server = Server::start();
    for n in 0..105 {
        let text = format!(r#"{{"id": "t{n}", "source_number": "4477009{n:05}", "message": "hello"}}"#);
        assert_eq!(server.post("/callbacks", text.as_bytes()).status, 200);
        assert_eq!(server.post("/callbacks", format!("nonsense {n}").as_bytes()).status, 200);
    }
    for n in 0..205 {
        let text = format!(r#"{{"id": "c{n}", "source_number": "447700900123", "message": "message {n}."}}"#);
        assert_eq!(server.post("/callbacks", text.as_bytes()).status, 200);
    }
    let mut browser = server.signed_in("manager");
    let inbox = browser.get("/messages").text();
    let conversation = format!("/messages/{}", between(&inbox, "href=\"/messages/", "\""));
    let link = |page: &str, rel: &str| {
        let before = page.split_once(&format!("\" rel=\"{rel}\""))?.0;
        Some(before.rsplit_once("href=\"")?.1.to_owned())
    };
    // Whoever may take lists along has them on one page, to print.
    let first = browser.get("/receipts?kind=received-text").text();
    let whole = between(&first, "href=\"/receipts?kind=received-text&#38;print", "\"");
    let whole = browser.get(&format!("/receipts?kind=received-text&print{whole}")).text();
    assert!(whole.contains("All 310 rows are on this page.") && !whole.contains("rel=\"next\""), "{whole}");
    assert_eq!(whole.matches("app-table__has-text").count(), 310);
    let mut viewer = server.signed_in("viewer");
    let page = viewer.get("/receipts?kind=received-text&print=yes").text();
    assert!(!page.contains("print=yes") && page.matches("app-table__has-text").count() == 50, "{page}");
    for (path, pages) in [("/messages", 3), ("/quarantine", 3), (conversation.as_str(), 2)] {
        let (mut at, mut trodden) = (path.to_owned(), vec![]);
        for number in 1..=pages {
            let page = browser.get(&at).text();
            let title = between(&page, "<title>", "</title>");
            assert_eq!(title.contains(&format!("(page {number})")), number > 1, "{title}");
            assert_eq!(link(&page, "prev").as_ref(), trodden.last(), "{at}");
            trodden.push(at.clone());
            match link(&page, "next") {
                Some(next) => at = next,
                None => assert_eq!(number, pages, "{path}"),
            }
        }
        let past = browser.get(&format!("{path}?before=1"));
        assert_eq!(
            (past.status, past.header("location")),
            (303, Some(path)),
            "{path}: a page without rows is the first"
        );
    }
    let newest = browser.get(&conversation).text();
    let earlier = browser.get(&link(&newest, "next").unwrap()).text();
    assert!(newest.contains("message 5.") && !newest.contains("message 4."));
    assert!(earlier.contains("message 4.") && !earlier.contains("message 5."));
}

#[test]
fn a_conversation_prints_the_moment_that_it_is_ordered_by() {
    let server = Server::start();
    for (id, date) in [("later", "2017-05-14T11:15:30.000000Z"), ("earlier", "2016-05-14T11:15:30.000000Z")] {
        let text = format!(
            r#"{{"id": "{id}", "source_number": "447700900123", "message": "said {id}", "date_received": "{date}"}}"#
        );
        assert_eq!(server.post("/callbacks", text.as_bytes()).status, 200);
    }
    let mut browser = server.signed_in("caseworker");
    let inbox = browser.get("/messages").text();
    let page = browser.get(&format!("/messages/{}", between(&inbox, "href=\"/messages/", "\""))).text();
    assert!(page.find("said later").unwrap() < page.find("said earlier").unwrap(), "in the order of arrival");
    let moments: Vec<&str> = page.split("Arrived <time datetime=\"").skip(1).map(|rest| &rest[..10]).collect();
    assert!(moments.len() == 2 && moments.is_sorted() && moments[0] > "2026", "{moments:?}");
    assert!(
        page.contains("received by Notify") && page.contains("14 May 2016"),
        "with the time that Notify gave beside it"
    );
}

#[test]
fn back_leads_to_where_one_came_from() {
    let server = furnished();
    let mut browser = server.signed_in("manager");
    let inbox = browser.get("/messages").text();
    let conversation = format!("/messages/{}", between(&inbox, "href=\"/messages/", "\""));
    let headers = browser.headers();
    let come = |from: &str, to: &str| {
        let headers = format!("{headers}Referer: http://localhost{from}\r\n");
        let page = exchange(server.at, &request("GET", to, &headers, b"")).text();
        let link = page[..page.find("class=\"govuk-back-link\"").unwrap()].rsplit("href=\"").next().unwrap().to_owned();
        link.split('"').next().unwrap().to_owned()
    };
    for (from, to) in [
        ("/receipts?q=HB-2026-1", "/receipts/r1"),
        (conversation.as_str(), "/receipts/r1"),
        ("/receipts/r2", "/receipts/c1"),
        ("/messages?before=9", conversation.as_str()),
        ("/receipts/t1", conversation.as_str()),
        ("/quarantine?before=99", "/quarantine/6"),
    ] {
        assert_eq!(come(from, to), from, "{to}");
    }
    assert_eq!(come("/sign-in", "/receipts/r1"), "/receipts");
    // From message to message and to a conversation, and the same way back.
    let link = |page: &str, to: &str| between(page, &format!("href=\"{to}?from="), "\"").to_owned();
    let page = browser.get("/receipts/r2?from=%2Freceipts%3Fq%3DHB").text();
    let on = format!("/receipts/c1?from={}", link(&page, "/receipts/c1"));
    let back = come("/receipts/r2", &on).replace("&#38;", "&");
    assert!(back.starts_with("/receipts/r2?from="), "{back}");
    assert_eq!(come(&on, &back), "/receipts?q=HB");
    let page = browser.get("/receipts/r1?from=%2Freceipts%3Fq%3DHB").text();
    let on = format!("{conversation}?from={}", link(&page, &conversation));
    let back = come("/receipts/r1", &on);
    assert_eq!((back.starts_with("/receipts/r1?from="), come(&on, &back).as_str()), (true, "/receipts?q=HB"), "{back}");
}

#[test]
fn a_list_that_stops_says_so_and_leads_to_all() {
    let server = Server::start();
    for n in 0..22 {
        let body =
            format!(r#"{{"id": "m{n}", "to": "07700 900123", "status": "delivered", "notification_type": "sms"}}"#);
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    let mut browser = server.signed_in("caseworker");
    let page = browser.get("/receipts/m0").text();
    assert!(page.contains("The latest of the same person"));
    let person = between(&page, "<input type=\"hidden\" name=\"q\" value=\"", "\"").to_owned();
    let (to, all) = browser.search(&person);
    assert!(to.starts_with("/search/") && all.text().contains("22 results for"));
}

#[test]
fn filters_go_by_the_words_that_rows_show() {
    let server = Server::start();
    for (id, status, kind) in [
        ("a", "delivered", "sms"),
        ("b", "sent", "email"),
        ("c", "sent", "sms"),
        ("d", "created", "sms"),
        ("e", "sending", "email"),
        ("f", "pending", "sms"),
        ("g", "permanent-failure", "email"),
        ("h", "on-hold", "sms"),
    ] {
        let body =
            format!(r#"{{"id": "{id}", "reference": "F {id}", "status": "{status}", "notification_type": "{kind}"}}"#);
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    for body in [
        r#"{"notification_id": "i", "reference": "F i", "sent_by": "API"}"#,
        r#"{"notification_id": "j", "reference": "F j", "complaint_id": "x"}"#,
    ] {
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    let mut browser = server.signed_in("caseworker");
    for (filter, expected) in [
        ("delivered", "ba"),
        ("sent", "c"),
        ("sending", "fed"),
        ("permanent-failure", "g"),
        ("temporary-failure", ""),
        ("technical-failure", ""),
        ("returned", "i"),
        ("marked-as-spam", "j"),
        ("other", "h"),
        ("no-such-filter", "jihgfedcba"),
    ] {
        for query in ["", "q=F&"] {
            let page = browser.get(&format!("/receipts?{query}status={filter}")).text();
            let rows: String = page.split("href=\"/receipts/").skip(1).map(|rest| &rest[..1]).collect();
            assert_eq!(rows, expected, "{filter} {query}");
            if !query.is_empty() {
                assert!(page.contains(&format!("{} result", expected.len())), "{filter}: they are counted");
            }
            assert_eq!(page.contains("Remove this filter"), filter != "no-such-filter", "{filter}");
        }
    }
}

#[test]
fn a_body_that_is_long_or_full_of_what_cannot_be_seen_makes_a_short_page() {
    let server = Server::start();
    assert_eq!(server.post("/callbacks", "\0".repeat(1_000_000).as_bytes()).status, 200);
    assert_eq!(server.post("/callbacks", "word ".repeat(100_000).as_bytes()).status, 200);
    let mut browser = server.signed_in("manager");
    for arrival in ["1", "2"] {
        let page = browser.get(&format!("/quarantine/{arrival}")).text();
        assert!(page.len() < 60_000, "{} bytes", page.len());
        assert!(page.contains("Only the first 20,000 of"), "it says so");
    }
}

#[test]
fn a_link_that_does_not_work_says_so_whatever_is_sent_there() {
    let server = Server::start();
    let mut browser = Browser::new(server.at);
    for link in ["/set-password/none".into(), format!("/set-password/{}", "0a".repeat(32))] {
        for password in ["short", "long enough to be taken"] {
            let page = browser.post(&link, &[("password", password)]).text();
            assert!(
                page.contains("<title>This link no longer works") && !page.contains("There is a problem"),
                "{link}"
            );
        }
    }
}
