//! Sessions as their owners meet them: where they are, how they end, and what is told after a sign-in.

use rusqlite::Connection;

use crate::pages::between;
use crate::server::{Answer, App, Browser, PASSWORD, Server, codes_on, exchange, key_on, printed, request, run};

const HERS: &str = "caseworker@example.gov.uk";
const FIREFOX: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0\r\n";

fn sign_in(server: &Server, more: &str) -> Browser {
    let mut browser = Browser::new(server.at);
    more.clone_into(&mut browser.more);
    assert_eq!(browser.post("/sign-in", &[("email", HERS), ("password", PASSWORD)]).status, 303);
    browser
}

/// Makes all sessions older by so many minutes, and their last use.
fn grow_older(server: &Server, minutes: i64) {
    let store = Connection::open(server.data.join("counterfoil.db")).unwrap();
    let micros = minutes * 60_000_000;
    let sql = "UPDATE sessions SET made_at = made_at - ?1, last_seen_at = last_seen_at - ?1";
    store.execute(sql, [micros]).unwrap();
}

fn is_in(browser: &Browser) -> bool {
    browser.clone().get("/receipts").status == 200
}

#[test]
fn people_see_where_they_are_signed_in_and_sign_out_there_and_nobody_else() {
    let server = Server::start_with(&["--trusted-proxy", "127.0.0.1"]);
    let first = server.signed_in("caseworker");
    let stranger = server.signed_in("manager");
    let mut here = sign_in(&server, FIREFOX);
    let elsewhere = sign_in(&server, "X-Forwarded-For: 192.0.2.7\r\nUser-Agent: <b>x</b>\r\n");
    let page = here.get("/account/sessions").text();
    assert_eq!(page.matches("data-label=\"Browser\"").count(), 3);
    assert_eq!(page.matches("This session").count(), 1);
    let own = page.find("This session").unwrap();
    assert!(page.find("Firefox on Linux").unwrap() < own && own < page.find("192.0.2.7").unwrap());
    assert!(page.contains("Unknown browser") && !page.contains("<b>x"));

    let (_, at_elsewhere) = page.split_once("192.0.2.7").unwrap();
    let name = between(at_elsewhere, "name=\"end\" value=\"", "\"").to_owned();
    let mut other = stranger.clone();
    assert_eq!(other.post("/account/sessions", &[("end", &name)]).status, 303);
    assert!(is_in(&elsewhere), "nobody ends another’s session");
    assert_eq!(here.post("/account/sessions", &[("end", &name)]).header("location"), Some("/account/sessions"));
    assert!(!is_in(&elsewhere) && is_in(&first) && is_in(&here));
    assert_eq!(here.post("/account/sessions", &[("others", "yes")]).status, 303);
    assert!(!is_in(&first) && is_in(&here) && is_in(&stranger));
    assert!(here.get("/account/sessions").text().contains("You are signed in nowhere else"));
    grow_older(&server, 29);
    sign_in(&server, "");
    grow_older(&server, 2);
    let page = sign_in(&server, "").get("/account/sessions").text();
    assert_eq!(page.matches("data-label=\"Browser\"").count(), 2, "what has ended is not shown");
}

#[test]
fn a_form_that_was_sent_after_the_session_ended_is_offered_again_after_the_sign_in() {
    let server = Server::start();
    server.signed_in("caseworker");
    let mut browser = Browser::new(server.at);
    let typed = "<Called> back & left\na note";
    let page = browser.post("/account/sessions", &[("note", typed), ("end", "x y"), ("old_password", PASSWORD)]).text();
    assert!(page.contains("what you sent was not saved") && !page.contains("three"), "passwords go nowhere");
    let kept = between(&page, "name=\"kept\" value=\"", "\"").replace("&#38;", "&").replace("&amp;", "&");
    let path = between(&page, "name=\"kept_for\" value=\"", "\"").to_owned();
    let form = |password| [("email", HERS), ("password", password), ("kept", &kept), ("kept_for", &path)];
    let again = browser.post("/sign-in", &form("wrong")).text();
    assert!(again.contains("name=\"kept\""), "a wrong password loses nothing");
    let answer = browser.post("/sign-in", &form(PASSWORD));
    assert_eq!((answer.status, answer.headers("set-cookie").count()), (200, 3));
    let page = answer.text();
    assert!(page.contains("You are signed in again") && page.contains("action=\"/account/sessions\""));
    assert!(page.contains("name=\"note\" value=\"&#60;Called&#62; back &#38; left\na note\""), "{page}");
    assert!(is_in(&browser));
    for elsewhere in ["https://evil.example/", "//evil.example", "/receipts", "/nothing-here"] {
        let form = [("email", HERS), ("password", PASSWORD), ("kept", "a=b"), ("kept_for", elsewhere)];
        assert_eq!(Browser::new(server.at).post("/sign-in", &form).status, 303, "{elsewhere} takes no form");
    }
    assert_eq!(Browser::new(server.at).post("/account/sessions", &[]).status, 303, "nothing to keep");
}

#[test]
fn the_script_learns_how_long_a_session_goes_on_and_makes_it_last() {
    let server = Server::start();
    let mut browser = server.signed_in("caseworker");
    let left = |browser: &mut Browser, method: &str| {
        let answer = if method == "GET" { browser.get("/session") } else { browser.post("/session", &[]) };
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        (said["left"].as_i64().unwrap(), said["extends"].as_bool().unwrap(), said["email"].as_str().unwrap().to_owned())
    };
    grow_older(&server, 26);
    let (seconds, extends, email) = left(&mut browser, "GET");
    assert!((1..=4 * 60).contains(&seconds) && extends && email == HERS);
    assert!(left(&mut browser, "GET").0 <= seconds, "to ask is no use");
    assert!(left(&mut browser, "POST").0 > 25 * 60);
    grow_older(&server, 31);
    assert_eq!(left(&mut browser, "GET"), (0, false, String::new()));
    assert_eq!(left(&mut browser, "POST").0, 0, "what has ended does not go on");
    let page = sign_in(&server, "").get("/receipts").text();
    let at_start = between(&page, "data-left=\"", "\"").parse::<i64>().unwrap();
    assert!((25 * 60..=30 * 60).contains(&at_start));
}

#[test]
fn the_first_page_tells_of_the_sign_in_before_once() {
    let server = Server::start_with(&["--trusted-proxy", "127.0.0.1"]);
    let mut first = server.signed_in("caseworker");
    let told = "You last signed in at";
    assert!(!first.get("/receipts").text().contains(told), "there was none before");
    drop(sign_in(&server, "X-Forwarded-For: 192.0.2.7\r\n"));
    for _ in 0..3 {
        assert_eq!(Browser::new(server.at).post("/sign-in", &[("email", HERS), ("password", "wrong")]).status, 200);
    }
    let store = Connection::open(server.data.join("counterfoil.db")).unwrap();
    let failed = || store.query_row("SELECT max(failed_since) FROM people", [], |row| row.get::<_, i64>(0)).unwrap();
    while failed() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut browser = sign_in(&server, "");
    assert_eq!(browser.get("/").status, 303, "what leads on is no page");
    assert_eq!(browser.get("/account/recovery-codes").status, 303, "nor is this");
    let head = exchange(server.at, &request("HEAD", "/receipts", &browser.headers(), b""));
    assert_eq!((head.status, head.body.len()), (200, 0), "what nobody sees tells nothing");
    let page = browser.get("/receipts").text();
    let banner = between(&page, told, "</p>");
    assert!(banner.contains("192.0.2.7") && banner.ends_with("3 tries with your address failed since."), "{banner}");
    assert!(!browser.get("/receipts").text().contains(told));
    let page = sign_in(&server, "").get("/receipts").text();
    assert!(!between(&page, told, "</p>").contains("failed"));
}

/// Whether a cookie has all that keeps it here, with the name that it has.
fn name_of_a_safe_cookie(cookie: &str) -> &str {
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    let attributes: Vec<&str> = attributes.split("; ").collect();
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
        assert!(attributes.contains(&attribute), "{attribute}: {cookie}");
    }
    assert!(attributes.iter().all(|attribute| !attribute.starts_with("Domain")), "{cookie}");
    let name = pair.split('=').next().unwrap();
    assert!(name.starts_with("__Host-counterfoil"), "{cookie}");
    name
}

#[test]
fn every_cookie_of_every_answer_is_bound_to_the_host_and_hidden_from_scripts() {
    let server = Server::start_by_default();
    server.add_person("caseworker");
    let mut answers: Vec<Answer> = Vec::new();
    let mut browser = Browser::new(server.at);
    let mut app = App { key: String::new(), recovery_codes: Vec::new() };
    answers.push(browser.post("/sign-in", &[("email", HERS), ("password", "wrong")]));
    answers.push(browser.post("/sign-in", &[("email", HERS), ("password", PASSWORD)]));
    app.key = key_on(&browser.get("/sign-in/set-up").text());
    answers.push(browser.post("/sign-in/set-up", &[("code", &app.code(0))]));
    app.recovery_codes = codes_on(&answers.last().unwrap().text());
    answers.push(browser.post("/account/recovery-codes", &[("password", PASSWORD)]));
    app.recovery_codes = codes_on(&answers.last().unwrap().text());
    answers.push(browser.post("/account/password", &[("password", PASSWORD), ("new-password", PASSWORD)]));
    answers.push(browser.post("/session", &[]));
    answers.push(browser.post("/search", &[("q", "07700 900123")]));
    answers.push(browser.post("/account/sessions", &[("others", "yes")]));
    for path in ["/", "/receipts", "/messages", "/account", "/account/sessions", "/cookies", "/session", "/none"] {
        let answer = browser.get(path);
        assert_eq!(answer.header("set-cookie"), None, "{path}: who only looks is given none");
    }
    answers.push(browser.post("/sign-out", &[]));
    let link = printed(&run(&["user", "reset", HERS, "--public-url", "http://localhost"], &server.data));
    let path = link.strip_prefix("http://localhost").unwrap();
    answers.push(browser.get(path));
    answers.push(browser.post(path, &[("password", PASSWORD)]));
    answers.push(browser.post("/sign-in/recovery-code", &[("code", &app.recovery_codes[0])]));
    browser.post("/sign-out", &[]);
    answers.push(browser.post("/sign-in", &[("email", HERS), ("password", PASSWORD)]));
    answers.push(browser.post("/sign-in/code", &[("code", &app.code(1))]));
    assert!(is_in(&browser));
    let cookies = answers.iter().flat_map(|answer| answer.headers("set-cookie"));
    let mut names: Vec<&str> = cookies.map(name_of_a_safe_cookie).collect();
    assert!(names.len() >= 15, "{names:?}");
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, ["__Host-counterfoil", "__Host-counterfoil-browser", "__Host-counterfoil-sign-in"]);
}

#[test]
fn each_step_of_a_sign_in_gives_another_session_and_what_was_planted_or_came_before_opens_nothing() {
    let server = Server::start_by_default();
    server.add_person("caseworker");
    let planted = |name: &str| Some(format!("{name}={}", "a1".repeat(32)));
    let mut browser = Browser::new(server.at);
    browser.cookie = planted("__Host-counterfoil");
    browser.half = planted("__Host-counterfoil-sign-in");
    browser.known_by = planted("__Host-counterfoil-browser");
    let mut before = vec![browser.clone()];
    browser.give_password(HERS);
    before.push(browser.clone());
    let app = browser.set_up_app();
    before.push(browser.clone());
    browser.post("/account/password", &[("password", PASSWORD), ("new-password", PASSWORD)]);
    before.push(browser.clone());
    let new = App { key: key_on(&browser.get("/account/second-factor").text()), recovery_codes: Vec::new() };
    browser.post("/account/second-factor", &[("password", PASSWORD), ("code", &new.code(0))]);
    before.push(browser.clone());
    browser.give_password(HERS);
    before.push(browser.clone());
    browser.post("/sign-in/code", &[("code", &new.code(1))]);
    assert!(is_in(&browser));
    for (n, old) in before.iter().enumerate() {
        assert!(!is_in(old), "the session of step {n}");
        let mut half = old.clone();
        half.cookie = None;
        let code = half.post("/sign-in/recovery-code", &[("code", &app.recovery_codes[0])]);
        assert!(code.headers("set-cookie").all(|cookie| !cookie.starts_with("__Host-counterfoil=")), "step {n}");
    }
    let known: Vec<&String> = before.iter().skip(2).filter_map(|old| old.known_by.as_ref()).collect();
    assert!(known.iter().all(|known| **known != planted("__Host-counterfoil-browser").unwrap()));
    assert_ne!(before[2].known_by, browser.known_by, "a known browser is another after each sign-in too");
    // What stands between the steps is no session, be it sent as one.
    let secret = before[1].half.as_ref().unwrap().split_once('=').unwrap().1;
    let mut as_session = Browser::new(server.at);
    as_session.cookie = Some(format!("__Host-counterfoil={secret}"));
    assert!(!is_in(&as_session));
}

#[test]
fn a_callback_path_takes_no_cookie_and_sets_none() {
    let server = Server::start_with(&["--callbacks-listen", "127.0.0.1:0"]);
    let browser = server.signed_in("admin");
    let (cookies, token) = (browser.headers(), format!("Authorization: Bearer {}\r\n", server.token));
    let body = br#"{"id": "a", "status": "delivered"}"#;
    for (at, path) in [(server.at, "/callbacks"), (server.at, "/mistyped"), (server.callbacks_at.unwrap(), "/sign-in")]
    {
        for (headers, with_token) in
            [(token.clone(), true), (format!("{cookies}{token}"), true), (cookies.clone(), false)]
        {
            let answer = exchange(at, &request("POST", path, &headers, body));
            assert_eq!(answer.status == 200, with_token, "{path}: a session is no token: {}", answer.status);
            assert_eq!(answer.header("set-cookie"), None, "{path}");
            assert_eq!(answer.header("location"), None, "{path}");
        }
    }
    assert!(is_in(&browser));
}

#[test]
fn who_signs_out_while_nothing_can_be_written_takes_the_cookie_along_and_is_told() {
    let server = Server::start();
    let mut browser = server.signed_in("caseworker");
    let held = browser.clone();
    let store = Connection::open(server.data.join("counterfoil.db")).unwrap();
    let never = "CREATE TRIGGER never BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'never'); END";
    store.execute_batch(never).unwrap();
    let answer = browser.post("/sign-out", &[]);
    assert_eq!(answer.status, 503);
    let page = answer.text();
    assert!(page.contains("You are signed out in this browser only") && !page.contains(HERS), "{page}");
    let gone: Vec<&str> = answer.headers("set-cookie").collect();
    for name in ["__Host-counterfoil=;", "__Host-counterfoil-sign-in=;"] {
        assert!(gone.iter().any(|set| set.starts_with(name) && set.contains("Max-Age=0")), "{name}: {gone:?}");
    }
    store.execute_batch("DROP TRIGGER never").unwrap();
    assert!(is_in(&held), "the session went on, as the page says");
    assert!(!is_in(&browser), "and not here");
}
