//! Every address and everybody: who gets what.

use crate::pages::between;
use crate::server::{Browser, PASSWORD, Server, exchange, printed, request, run};
use counterfoil::store::{By, Role, Services};

/// What is answered to nobody, a viewer, a caseworker, a manager and an admin.
pub(crate) const TABLE: &[(&str, &str, [u16; 5])] = &[
    ("GET", "/", [303, 303, 303, 303, 303]),
    ("GET", "/sign-in", [200, 200, 200, 200, 200]),
    // Here single sign-on is not set up.
    ("GET", "/sign-in/oidc", [404, 404, 404, 404, 404]),
    ("GET", "/sign-in/oidc/callback", [404, 404, 404, 404, 404]),
    // Nobody there is between the steps of a sign-in.
    ("GET", "/sign-in/code", [303, 303, 303, 303, 303]),
    ("POST", "/sign-in/code", [303, 303, 303, 303, 303]),
    ("GET", "/sign-in/recovery-code", [303, 303, 303, 303, 303]),
    ("GET", "/sign-in/set-up", [303, 303, 303, 303, 303]),
    ("POST", "/sign-in/set-up/passkey", [303, 303, 303, 303, 303]),
    ("GET", "/account", [303, 200, 200, 200, 200]),
    ("GET", "/account/second-factor", [303, 200, 200, 200, 200]),
    ("POST", "/account/second-factor", [303, 200, 200, 200, 200]),
    ("GET", "/account/recovery-codes", [303, 200, 200, 200, 200]),
    ("POST", "/account/recovery-codes", [303, 200, 200, 200, 200]),
    ("GET", "/account/password", [303, 200, 200, 200, 200]),
    ("POST", "/account/password", [303, 200, 200, 200, 200]),
    ("GET", "/account/emails", [303, 200, 200, 200, 200]),
    ("POST", "/account/emails", [303, 200, 200, 200, 200]),
    ("GET", "/accessibility", [200, 200, 200, 200, 200]),
    ("GET", "/cookies", [200, 200, 200, 200, 200]),
    // What says nothing to nobody.
    ("GET", "/arrivals", [200, 200, 200, 200, 200]),
    ("GET", "/arrivals?since=0&conversation=CONVERSATION", [200, 200, 200, 200, 200]),
    ("GET", "/help/keyboard", [200, 200, 200, 200, 200]),
    ("GET", "/help/statuses", [200, 200, 200, 200, 200]),
    ("GET", "/set-password/0", [200, 200, 200, 200, 200]),
    ("GET", "/receipts", [303, 200, 200, 200, 200]),
    ("GET", "/receipts?q=REF&status=delivered", [303, 200, 200, 200, 200]),
    ("GET", "/receipts/r1", [303, 200, 200, 200, 200]),
    ("GET", "/download/receipts/csv?status=delivered", [303, 403, 403, 200, 200]),
    ("GET", "/download/receipts/xlsx?q=REF", [303, 403, 403, 200, 200]),
    ("GET", "/receipts/none", [303, 404, 404, 404, 404]),
    // Who is not signed in is asked to, with what was typed kept in the form.
    ("POST", "/search", [200, 303, 303, 303, 303]),
    ("GET", "/search", [303, 303, 303, 303, 303]),
    ("GET", "/search/none", [303, 404, 404, 404, 404]),
    ("GET", "/search/SEARCH", [303, 200, 200, 200, 200]),
    ("GET", "/search/none/csv", [303, 403, 403, 404, 404]),
    ("GET", "/search/SEARCH/csv", [303, 403, 403, 200, 200]),
    ("GET", "/search/SEARCH/xlsx", [303, 403, 403, 200, 200]),
    ("GET", "/ask-notify", [303, 200, 200, 200, 200]),
    // What was sent is kept in the form.
    ("POST", "/ask-notify", [200, 200, 200, 200, 200]),
    ("GET", "/messages", [303, 200, 200, 200, 200]),
    ("GET", "/messages/none", [303, 404, 404, 404, 404]),
    ("GET", "/messages/CONVERSATION", [303, 200, 200, 200, 200]),
    ("GET", "/download/messages/csv", [303, 403, 403, 200, 200]),
    ("GET", "/download/messages/xlsx", [303, 403, 403, 200, 200]),
    ("GET", "/messages/none/csv", [303, 403, 403, 404, 404]),
    ("GET", "/messages/CONVERSATION/csv", [303, 403, 403, 200, 200]),
    ("GET", "/messages/CONVERSATION/xlsx", [303, 403, 403, 200, 200]),
    ("GET", "/messages?show=unread&service=1", [303, 200, 200, 200, 200]),
    // What was sent is kept in the form, and asks for nothing.
    ("POST", "/messages/none/handling", [200, 403, 400, 400, 400]),
    ("POST", "/messages/CONVERSATION/handling", [200, 403, 400, 400, 400]),
    ("GET", "/contacts", [303, 303, 303, 303, 303]),
    ("GET", "/contacts/failed", [303, 200, 200, 200, 200]),
    ("GET", "/contacts/asked-to-stop?dealt=yes", [303, 200, 200, 200, 200]),
    ("POST", "/contacts/failed", [303, 403, 200, 200, 200]),
    ("GET", "/contacts/failed/csv", [303, 403, 403, 200, 200]),
    ("GET", "/contacts/failed/xlsx", [303, 403, 403, 200, 200]),
    ("GET", "/contacts/none", [303, 404, 404, 404, 404]),
    ("GET", "/quarantine", [303, 403, 403, 200, 200]),
    ("GET", "/quarantine/3", [303, 403, 403, 200, 200]),
    ("GET", "/quarantine/999", [303, 403, 403, 404, 404]),
    ("GET", "/quarantine/3/bytes", [303, 403, 403, 200, 200]),
    ("POST", "/quarantine/3/read-again", [303, 403, 403, 303, 303]),
    ("GET", "/quarantine/3/none", [404, 404, 404, 404, 404]),
    ("GET", "/quarantine/none", [404, 404, 404, 404, 404]),
    ("GET", "/subjects", [303, 403, 403, 200, 200]),
    ("POST", "/subjects", [303, 403, 403, 200, 200]),
    ("GET", "/subjects/number/none", [303, 403, 403, 404, 404]),
    ("GET", "/subjects/number/none/export.csv", [303, 403, 403, 404, 404]),
    ("POST", "/subjects/number/none/hold", [303, 403, 403, 404, 404]),
    ("POST", "/subjects/number/none/let-go", [303, 403, 403, 404, 404]),
    ("POST", "/subjects/number/none/erase", [303, 403, 403, 404, 404]),
    ("GET", "/people", [303, 403, 403, 403, 200]),
    ("GET", "/people/invite", [303, 403, 403, 403, 200]),
    ("POST", "/people/invite", [303, 403, 403, 403, 200]),
    ("GET", "/people/1", [303, 403, 403, 403, 200]),
    ("GET", "/people/99", [303, 403, 403, 403, 404]),
    ("GET", "/people/1/change", [303, 403, 403, 403, 200]),
    ("POST", "/people/1/change", [303, 403, 403, 403, 200]),
    ("GET", "/people/1/disable", [303, 403, 403, 403, 200]),
    // The admin's own account, which is not disabled.
    ("POST", "/people/4/disable", [303, 403, 403, 403, 200]),
    ("POST", "/people/99/disable", [303, 403, 403, 403, 404]),
    ("POST", "/people/1/enable", [303, 403, 403, 403, 303]),
    ("GET", "/people/1/reset", [303, 403, 403, 403, 200]),
    ("POST", "/people/1/reset", [303, 403, 403, 403, 200]),
    ("GET", "/people/1/remove-app", [303, 403, 403, 403, 200]),
    ("POST", "/people/99/remove-app", [303, 403, 403, 403, 404]),
    ("GET", "/people/1/sign-out", [303, 403, 403, 403, 200]),
    ("POST", "/people/99/sign-out", [303, 403, 403, 403, 404]),
    ("GET", "/people/none", [404, 404, 404, 404, 404]),
    ("GET", "/people/1/none", [404, 404, 404, 404, 404]),
    ("GET", "/tokens", [303, 403, 403, 403, 200]),
    ("GET", "/tokens/new", [303, 403, 403, 403, 200]),
    ("POST", "/tokens/new", [303, 403, 403, 403, 200]),
    ("GET", "/tokens/1/rotate", [303, 403, 403, 403, 200]),
    ("POST", "/tokens/1/rotate", [303, 403, 403, 403, 200]),
    ("GET", "/tokens/1/revoke", [303, 403, 403, 403, 200]),
    ("POST", "/tokens/1/revoke", [303, 403, 403, 403, 303]),
    ("POST", "/tokens/1/keep", [303, 403, 403, 403, 303]),
    ("POST", "/tokens/99/revoke", [303, 403, 403, 403, 404]),
    ("POST", "/tokens/99/keep", [303, 403, 403, 403, 404]),
    ("GET", "/tokens/99/rotate", [303, 403, 403, 403, 404]),
    ("GET", "/tokens/none", [404, 404, 404, 404, 404]),
    ("GET", "/tokens/1/none", [404, 404, 404, 404, 404]),
    ("GET", "/audit", [303, 403, 403, 200, 200]),
    ("POST", "/audit", [303, 403, 403, 303, 303]),
    ("GET", "/audit/csv", [303, 403, 403, 200, 200]),
    ("GET", "/flags", [303, 403, 403, 200, 200]),
    // What was sent is no list.
    // What was sent is kept in the form.
    ("POST", "/flags", [200, 403, 403, 200, 200]),
    ("GET", "/settings", [303, 403, 403, 403, 200]),
    // What was sent is kept in the form.
    ("POST", "/settings", [200, 403, 403, 403, 303]),
    ("GET", "/templates", [303, 403, 403, 403, 200]),
    ("GET", "/templates/1/99", [303, 403, 403, 403, 404]),
    ("POST", "/templates/1/99", [303, 403, 403, 403, 404]),
    ("GET", "/templates/none", [404, 404, 404, 404, 404]),
    ("GET", "/alarms", [303, 403, 403, 403, 200]),
    ("POST", "/alarms/1", [303, 403, 403, 403, 303]),
    ("GET", "/alarms/none", [404, 404, 404, 404, 404]),
    ("GET", "/status", [303, 403, 403, 403, 200]),
    // What watches over the server signs in nowhere.
    ("GET", "/livez", [200, 200, 200, 200, 200]),
    ("GET", "/readyz", [200, 200, 200, 200, 200]),
    ("GET", "/sign-in/passkey", [200, 200, 200, 200, 200]),
    ("POST", "/sign-in/passkey", [200, 200, 200, 200, 200]),
    ("POST", "/sign-in/code/passkey", [303, 303, 303, 303, 303]),
    ("GET", "/account/passkeys", [303, 200, 200, 200, 200]),
    // What was sent is kept in the form.
    ("POST", "/account/passkeys", [200, 200, 200, 200, 200]),
    ("GET", "/account/passkeys/1", [303, 404, 404, 404, 404]),
    ("POST", "/account/passkeys/1", [200, 404, 404, 404, 404]),
    ("GET", "/account/sessions", [303, 200, 200, 200, 200]),
    // What was sent is kept in the form.
    ("POST", "/account/sessions", [200, 303, 303, 303, 303]),
    ("GET", "/session", [200, 200, 200, 200, 200]),
    ("POST", "/session", [200, 200, 200, 200, 200]),
    ("GET", "/assets/STYLES", [200, 200, 200, 200, 200]),
    ("GET", "/nothing-here", [404, 404, 404, 404, 404]),
    ("POST", "/nothing-here", [404, 404, 404, 404, 404]),
    ("GET", "/receipts/r1/more", [404, 404, 404, 404, 404]),
    ("POST", "/receipts", [405, 405, 405, 405, 405]),
];

#[test]
fn each_address_answers_each_role_as_it_should() {
    let server = Server::start_by_default();
    assert_eq!(server.post("/callbacks", br#"{"id": "r1", "reference": "REF", "status": "delivered"}"#).status, 200);
    let text = br#"{"id": "t1", "source_number": "447700900123", "message": "REF"}"#;
    assert_eq!(server.post("/callbacks", text).status, 200);
    assert_eq!(server.post("/callbacks", b"nonsense").status, 200);
    let mut people = [
        Browser::new(server.at),
        server.signed_in("viewer"),
        server.signed_in("caseworker"),
        server.signed_in("manager"),
        server.signed_in("admin"),
    ];
    let inbox = people[1].get("/messages").text();
    let (search, _) = people[1].search("07700 900123");
    let places = [
        ("SEARCH", search.strip_prefix("/search/").unwrap()),
        ("CONVERSATION", between(&inbox, "href=\"/messages/", "\"")),
        ("STYLES", between(&inbox, "rel=\"stylesheet\" href=\"/assets/", "\"")),
    ];
    for (method, path, expected) in TABLE.iter().copied() {
        let path = &places.iter().fold(path.to_owned(), |path, (name, place)| path.replace(name, place));
        let found = people.each_mut().map(|person| {
            let answer = if method == "GET" { person.get(path) } else { person.post(path, &[("q", "REF")]) };
            if answer.status != 200 && answer.status != 405 && !path.starts_with("/search") {
                assert!(!answer.text().contains("REF"), "{path} shows nothing personal");
            }
            answer.status
        });
        assert_eq!(found, expected, "{method} {path}");
    }
}

/// What two services brought. All that is one's alone bears its mark; both wrote to and heard from one person under one reference.
fn brought_by_two_services() -> Server {
    let mut server = Server::start();
    for mark in ["MARKONE", "MARKTWO"] {
        server.token = printed(&run(&["token", "add", &format!("{mark} council")], &server.data));
        let path = format!("/callbacks/{mark}");
        for (id, reference, person) in [("own", mark, mark), ("both", "REF", "07700 900123")] {
            let body = format!(
                r#"{{"id": "{mark}-{id}", "reference": "{reference}", "to": "{person}", "status": "{mark}", "notification_type": "sms"}}"#
            );
            assert_eq!(server.post(&path, body.as_bytes()).status, 200);
        }
        for (id, person) in [("text-own", mark), ("text-both", "447700900123")] {
            let body = format!(
                r#"{{"id": "{mark}-{id}", "source_number": "{person}", "destination_number": "{mark}", "message": "{mark}"}}"#
            );
            assert_eq!(server.post(&path, body.as_bytes()).status, 200);
        }
        assert_eq!(server.post(&path, format!("no callback, of {mark}").as_bytes()).status, 200);
    }
    server
}

#[test]
fn nothing_of_another_service_is_shown_to_whoever_is_limited_on_any_page() {
    let server = brought_by_two_services();
    let mut all_seeing = server.signed_in("manager");
    let inbox = all_seeing.get("/messages").text();
    let conversations: Vec<String> =
        inbox.split("href=\"/messages/").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    let quarantine = all_seeing.get("/quarantine").text();
    let quarantined: Vec<String> = quarantine
        .split("href=\"/quarantine/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    assert_eq!((conversations.len(), quarantined.len()), (3, 2), "{inbox} {quarantine}");
    let (by_number, _) = all_seeing.search("07700 900123");
    let places = [("/search/SEARCH", by_number.as_str()), ("/messages/CONVERSATION", "/messages"), ("STYLES", "none")];
    let table = TABLE.iter().filter(|(method, ..)| *method == "GET");
    let mut paths: Vec<String> = table
        .map(|(_, path, _)| places.iter().fold((*path).to_owned(), |path, (name, place)| path.replace(name, place)))
        .collect();
    paths.extend(["/receipts?q=REF".to_owned(), format!("{by_number}?status=delivered")]);
    paths.extend(conversations.iter().map(|name| format!("/messages/{name}")));
    for number in &quarantined {
        paths.extend([format!("/quarantine/{number}"), format!("/quarantine/{number}/bytes")]);
    }
    for mark in ["MARKONE", "MARKTWO"] {
        paths.extend(["own", "both", "text-own", "text-both"].map(|id| format!("/receipts/{mark}-{id}")));
    }
    let services = server.read(|store| async move { store.services().await.unwrap() });
    let of = |mark: &str| services.iter().find(|service| service.name.starts_with(mark)).unwrap().id;
    let limits: [(&str, Services, &[&str]); 4] = [
        ("all", Services::All, &["MARKONE", "MARKTWO"]),
        ("one", Services::Only(vec![of("MARKONE")]), &["MARKONE"]),
        ("the other", Services::Only(vec![of("MARKTWO")]), &["MARKTWO"]),
        ("none", Services::Only(vec![]), &[]),
    ];
    for role in ["viewer", "caseworker", "manager"] {
        let mut browser = if role == "manager" { all_seeing.clone() } else { server.signed_in(role) };
        for (limit, sees, shown) in &limits {
            let (email, sees, role_now) =
                (format!("{role}@example.gov.uk"), sees.clone(), role.parse::<Role>().unwrap());
            server.read(|store| async move {
                let id = store.person(&email).await.unwrap().unwrap().id;
                store.change_person(id, role_now, sees, By::command("test"), 0).await.unwrap();
            });
            let mut all_pages = String::new();
            for path in &paths {
                let answer = browser.get(path);
                assert!(answer.status < 500, "{role}, {limit}: {path} {}", answer.text());
                // An address is no secret to whoever typed it.
                let page = answer.text();
                for hidden in ["MARKONE", "MARKTWO"].iter().filter(|mark| !shown.contains(mark)) {
                    assert!(!page.contains(hidden), "{role} who sees {limit}: {path} shows {hidden}: {page}");
                    assert!(answer.status != 200 || !path.contains(hidden), "{role} who sees {limit} opens {path}");
                }
                all_pages += &page;
            }
            assert!(shown.iter().all(|mark| all_pages.contains(mark)), "{role} who sees {limit} sees that");
            let several = shown.len();
            let (found, said) =
                (browser.get("/receipts?q=REF").text(), if several == 1 { "result" } else { "results" });
            assert!(found.contains(&format!("{several} {said} for")), "{role} who sees {limit}: {found}");
            for number in &quarantined {
                let may =
                    role == "manager" && quarantine_mark(&quarantine, number).is_some_and(|mark| shown.contains(&mark));
                let answer = browser.post(&format!("/quarantine/{number}/read-again"), &[]);
                let expected = if may {
                    303
                } else if role == "manager" {
                    404
                } else {
                    403
                };
                assert_eq!(answer.status, expected, "{role} who sees {limit} has {number} read again");
            }
        }
    }
}

/// Whose the quarantined callback of a number is, by the list of all.
fn quarantine_mark(list: &str, number: &str) -> Option<&'static str> {
    let row = list.split("<tr").find(|row| row.contains(&format!("/quarantine/{number}\"")))?;
    ["MARKONE", "MARKTWO"].into_iter().find(|mark| row.contains(mark))
}

#[test]
fn no_form_from_another_site_is_taken_at_any_address() {
    let server = Server::start();
    assert_eq!(server.post("/callbacks", b"nonsense").status, 200);
    let people = [server.signed_in("viewer"), server.signed_in("caseworker"), server.signed_in("manager")];
    assert_eq!(people.len(), 3, "the numbers in the table are those of accounts");
    let admin = server.signed_in("admin");
    let post = |path: &str, site: &str| {
        let headers = format!("{}{site}Content-Type: application/x-www-form-urlencoded\r\n", admin.headers());
        exchange(server.at, &request("POST", path, &headers, b"a=b"))
    };
    let forms: Vec<&str> = TABLE
        .iter()
        .filter(|(method, path, _)| *method == "POST" && !path.contains("nothing") && *path != "/receipts")
        .map(|(_, path, _)| *path)
        .chain(["/set-password/0", "/people/4/sign-out", "/sign-out", "/sign-in"])
        .collect();
    let rows = || {
        let store = rusqlite::Connection::open(server.data.join("counterfoil.db")).unwrap();
        store.query_row("SELECT count(*) FROM audit", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let before = rows();
    for site in [
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: cross-site\r\nOrigin: http://localhost\r\n",
        "Sec-Fetch-Site: same-site\r\nOrigin: http://localhost\r\n",
        "Sec-Fetch-Site: anything\r\nOrigin: null\r\n",
        "Origin: https://evil.example\r\n",
        "Origin: http://localhost.evil.example\r\n",
        "Origin: http://localhost:1\r\n",
        "Origin: null\r\n",
        "Origin: \r\n",
    ] {
        for path in &forms {
            let answer = post(path, site);
            assert_eq!(answer.status, 403, "{path} with {site}");
            assert!(answer.text().contains("This form came from somewhere else"), "{path} with {site}");
            assert_eq!(answer.header("set-cookie"), None, "{path} with {site}");
        }
    }
    assert_eq!(rows(), before, "nothing was done");
    for site in [
        "Sec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: none\r\n",
        "Sec-Fetch-Site: same-origin\r\nOrigin: http://localhost\r\n",
        "Origin: http://localhost\r\n",
        "",
    ] {
        // Who signs out is nobody afterwards.
        for path in forms.iter().filter(|path| !path.ends_with("/sign-out")) {
            let answer = post(path, site);
            assert!(answer.status < 500 && answer.status != 403, "{path} with {site}: {}", answer.text());
        }
    }
    assert!(rows() > before, "something was done");
}

#[test]
fn a_page_that_is_asked_by_another_method_says_which_it_takes() {
    let server = Server::start();
    let ask = |method: &str, path: &str| exchange(server.at, &request(method, path, "", b""));
    for (method, path, _) in
        TABLE.iter().copied().filter(|(_, path, _)| !path.contains("nothing") && !path.contains("STYLES"))
    {
        let numbered =
            ["/quarantine", "/alarms", "/people", "/tokens", "/templates"].iter().any(|list| path.starts_with(list));
        let is_none = numbered && path.ends_with("/none");
        let known = !path.ends_with("/more") && !is_none;
        let path = path.split('?').next().unwrap();
        let answer = ask("DELETE", path);
        assert_eq!(answer.status, if known { 405 } else { 404 }, "{path}");
        let allowed = answer.header("allow").unwrap_or_default().to_owned();
        assert!(!known || allowed.contains(if path == "/receipts" { "GET" } else { method }), "{path}: {allowed}");
        for allowed in allowed.split(", ").filter(|method| !method.is_empty()) {
            assert_ne!(ask(allowed, path).status, 405, "{allowed} {path}");
        }
    }
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let answer = ask(method, "/nothing");
        assert_eq!((answer.status, answer.header("allow")), (404, None), "{method}");
    }
    assert_eq!(ask("POST", "/favicon.ico").header("allow"), Some("GET, HEAD"));
}

#[test]
fn whoever_is_not_signed_in_comes_back_to_the_page_after_signing_in() {
    let server = Server::start();
    server.signed_in("caseworker");
    let mut browser = Browser::new(server.at);
    let answer = browser.get("/receipts?q=A%26B");
    let to = answer.header("location").unwrap();
    assert_eq!(to, "/sign-in?next=%2Freceipts%3Fq%3DA%2526B");
    let form = [("email", "caseworker@example.gov.uk"), ("password", PASSWORD), ("next", "/receipts?q=A%26B")];
    assert_eq!(browser.post("/sign-in", &form).header("location"), Some("/receipts?q=A%26B"));
    for elsewhere in ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb", "/\t/evil.example"] {
        let form = [form[0], form[1], ("next", elsewhere)];
        assert_eq!(browser.post("/sign-in", &form).header("location"), Some("/"), "{elsewhere}");
    }
    let form = [form[0], form[1], ("next", "/receipts?q=é")];
    assert_eq!(browser.post("/sign-in", &form).header("location"), Some("/receipts?q=%C3%A9"));
}

#[test]
fn a_session_ends_with_signing_out_and_a_new_one_ends_the_old() {
    let server = Server::start();
    let mut browser = server.signed_in("caseworker");
    let old = browser.clone();
    let form = [("email", "caseworker@example.gov.uk"), ("password", PASSWORD)];
    assert_eq!(browser.post("/sign-in", &form).status, 303);
    assert_ne!(browser.cookie, old.cookie);
    assert_eq!(old.clone().get("/receipts").status, 303, "the session is another one after signing in");
    let kept = browser.clone();
    assert_eq!(browser.post("/sign-out", &[]).status, 303);
    assert_eq!(kept.clone().get("/receipts").status, 303);
}
