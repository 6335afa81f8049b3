//! Signing in while others try to, and what an answer and its time give away.

use std::time::{Duration, Instant};

use crate::server::{Answer, Browser, PASSWORD, Server, exchange, printed, request, run, run_with_input};

const HERS: &str = "caseworker@example.gov.uk";
/// The tests' own connections come from here, so that it is the proxy.
const PROXY: [&str; 2] = ["--trusted-proxy", "127.0.0.1"];

/// A new browser whose requests a proxy forwards for an address.
fn behind_proxy(server: &Server, source: &str) -> Browser {
    let mut browser = Browser::new(server.at);
    browser.more = format!("X-Forwarded-For: {source}\r\n");
    browser
}

fn signs_in(browser: &mut Browser, email: &str, password: &str) -> Answer {
    browser.post("/sign-in", &[("email", email), ("password", password)])
}

/// How many of so many wrong passwords were looked at.
fn tried(browser: &mut Browser, email: &str, times: usize) -> usize {
    let tries = (0..times).map(|_| signs_in(browser, email, "wrong").status);
    tries.filter(|status| *status == 200).count()
}

/// Tries until so many seconds have to pass before the next try that the test goes on within them.
fn is_slowed_down(browser: &mut Browser, email: &str) -> String {
    loop {
        let page = signs_in(browser, email, "wrong").text();
        let seconds = page.split_once("Wait ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u32>().ok());
        if seconds.is_some_and(|seconds| seconds > 6) {
            return browser.more.clone();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_attacker_is_slowed_down_and_the_owner_is_not_be_the_browser_known_or_new() {
    let server = Server::start_with(&PROXY);
    let mut known = server.signed_in("caseworker");
    let mut attacker = behind_proxy(&server, "203.0.113.66");
    let there = is_slowed_down(&mut attacker, HERS);
    assert_eq!(signs_in(&mut attacker, HERS, PASSWORD).status, 429, "be the password right");
    known.more = there;
    assert_eq!(signs_in(&mut known, HERS, PASSWORD).status, 303, "a known browser, behind the same address");
    let mut new = behind_proxy(&server, "198.51.100.7");
    assert_eq!(signs_in(&mut new, HERS, PASSWORD).status, 303, "a new browser elsewhere");
    assert_eq!(signs_in(&mut attacker, HERS, PASSWORD).status, 429, "the owner’s success sets nobody free");
}

#[test]
fn tries_spread_over_sources_are_slowed_down_and_a_known_browser_is_not() {
    let server = Server::start_with(&PROXY);
    let mut known = server.signed_in("caseworker");
    let looked_at: usize = (0..60).map(|n| tried(&mut behind_proxy(&server, &format!("203.0.113.{n}")), HERS, 1)).sum();
    assert!(looked_at < 50, "{looked_at} of 60");
    let neighbours =
        (0..9).map(|n| tried(&mut behind_proxy(&server, &format!("2001:db8::{n}")), "b@example.gov.uk", 1));
    assert!(neighbours.sum::<usize>() < 9, "64 bits of IPv6 are one source");
    assert_eq!(signs_in(&mut known, HERS, PASSWORD).status, 303);
}

#[test]
fn tries_spread_over_accounts_are_slowed_down_and_everybody_else_is_not() {
    let server = Server::start_with(&PROXY);
    let mut known = server.signed_in("caseworker");
    let mut attacker = behind_proxy(&server, "203.0.113.66");
    let looked_at: usize = (0..130).map(|n| tried(&mut attacker, &format!("{n}@example.gov.uk"), 1)).sum();
    assert!((100..130).contains(&looked_at), "{looked_at} of 130");
    known.more.clone_from(&attacker.more);
    assert_eq!(signs_in(&mut known, HERS, PASSWORD).status, 303, "a known browser, behind the same address");
    assert_eq!(signs_in(&mut behind_proxy(&server, "198.51.100.7"), HERS, PASSWORD).status, 303);
}

#[test]
fn a_forwarded_address_that_nobody_vouches_for_names_no_source() {
    let forged = |server: &Server| -> usize {
        let more = |n: usize| format!("203.0.113.{n}, 198.51.100.{n}, 192.0.2.1");
        (0..20).map(|n| tried(&mut behind_proxy(server, &more(n)), "nobody@example.gov.uk", 1)).sum()
    };
    assert!(forged(&Server::start()) < 15, "no proxy was named");
    assert!(forged(&Server::start_with(&PROXY)) < 15, "the proxy saw 192.0.2.1");
    let two = ["--trusted-proxy", "127.0.0.1,192.0.2.0/24"];
    assert_eq!(forged(&Server::start_with(&two)), 20, "both proxies were named, and 20 sources are behind them");
    let refused = run(&["serve", "--trusted-proxy", "proxy.example"], std::path::Path::new("/nonexistent"));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("write it as an IP address"));
}

#[test]
fn a_browser_is_known_to_the_accounts_that_signed_in_with_it_until_their_password_is_set_anew() {
    const MANAGER: &str = "manager@example.gov.uk";
    let server = Server::start_with(&PROXY);
    let mut browser = server.signed_in("caseworker");
    let copied = browser.clone();
    server.signed_in("manager");
    let mut attacker = behind_proxy(&server, "203.0.113.66");
    let mut signs_in_all_the_same = |browser: &mut Browser, email: &str, password: &str| {
        browser.more = is_slowed_down(&mut attacker, email);
        signs_in(browser, email, password).status == 303
    };
    assert!(!signs_in_all_the_same(&mut browser, MANAGER, PASSWORD), "another’s browser is no known one");
    browser.more.clear();
    assert_eq!(signs_in(&mut browser, MANAGER, PASSWORD).status, 303);
    assert_ne!(browser.known_by, copied.known_by, "it is called anew each time");
    assert!(!signs_in_all_the_same(&mut copied.clone(), HERS, PASSWORD), "and who copied the old name has nothing");
    assert!(signs_in_all_the_same(&mut browser, MANAGER, PASSWORD));
    assert!(signs_in_all_the_same(&mut browser, HERS, PASSWORD), "it is known to both");
    let link = printed(&run(&["user", "reset", HERS], &server.data));
    let link = format!("/set-password/{}", link.rsplit("/set-password/").next().unwrap().trim());
    let another = "another good password";
    let mut where_it_was_set = Browser::new(server.at);
    assert_eq!(where_it_was_set.post(&link, &[("password", another)]).status, 303);
    assert!(!signs_in_all_the_same(&mut browser, HERS, another), "it is not known any more");
    assert!(signs_in_all_the_same(&mut where_it_was_set, HERS, another), "but where the password was set");
}

#[test]
fn both_cookies_are_bound_to_the_host_and_hidden_from_scripts_and_a_session_is_another_after_each_sign_in() {
    let server = Server::start();
    let mut browser = server.signed_in("caseworker");
    let planted = format!("__Host-counterfoil={}", "a1".repeat(32));
    browser.cookie = Some(planted.clone());
    let answer = signs_in(&mut browser, HERS, PASSWORD);
    let cookies: Vec<&str> = answer.headers("set-cookie").collect();
    assert_eq!(cookies.len(), 3);
    let names = ["__Host-counterfoil=", "__Host-counterfoil-browser=", "__Host-counterfoil-sign-in=;"];
    for (cookie, name) in cookies.iter().zip(names) {
        assert!(cookie.starts_with(name), "{cookie}");
        for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    assert!(!cookies[0].contains("Max-Age"), "the session ends with the browser");
    assert!(cookies[1].contains("; Max-Age=7776000"));
    assert_ne!(browser.cookie.as_ref(), Some(&planted), "a session that was planted is not taken up");
    let mut attacker = Browser::new(server.at);
    attacker.cookie = Some(planted);
    assert_eq!(attacker.get("/receipts").status, 303);
}

#[test]
fn neither_an_answer_nor_its_time_tells_who_has_an_account() {
    let server = Server::start_with(&PROXY);
    server.signed_in("caseworker");
    let add = |email: &str, more: &[&str]| {
        let arguments = [&["user", "add", email, "--role", "caseworker"], more].concat();
        assert!(run_with_input(&arguments, &server.data, PASSWORD).status.success());
    };
    add("disabled@example.gov.uk", &["--password-stdin"]);
    assert!(run(&["user", "disable", "disabled@example.gov.uk"], &server.data).status.success());
    add("new@example.gov.uk", &[]);
    let emails = [HERS, "nobody@example.gov.uk", "disabled@example.gov.uk", "new@example.gov.uk"];
    let mut times: [Vec<Duration>; 4] = Default::default();
    let mut said = [const { String::new() }; 4];
    // In turns, so that a machine that grows slow does so for each; of the account of an address 30 are looked at.
    for round in 0..25 {
        for (n, email) in emails.iter().enumerate() {
            let mut browser = behind_proxy(&server, &format!("203.0.{n}.{round}"));
            let begun = Instant::now();
            let answer = signs_in(&mut browser, email, "wrong");
            times[n].push(begun.elapsed());
            assert_eq!(answer.status, 200);
            said[n] = answer.text().replace(email, "EMAIL");
        }
    }
    assert!(said.iter().all(|page| *page == said[0]));
    let medians = times.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    });
    let (least, most) = (medians.into_iter().fold(f64::MAX, f64::min), medians.into_iter().fold(0.0, f64::max));
    // Without the hash that nobody's password is checked against it is a fifth of that and less.
    assert!(least > most / 2.0, "{medians:?}");
}

/// What stands on the page of alarms, once it says this.
fn alarms_with(admin: &mut Browser, words: &str) -> String {
    // They are raised in the background.
    for _ in 0..1000 {
        let page = admin.get("/alarms").text();
        if page.contains(words) {
            return page;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no alarm says {words}");
}

#[test]
fn many_failed_sign_ins_of_an_account_raise_an_alarm_that_names_no_address_and_is_logged_once() {
    let mut server = Server::start_with(&PROXY);
    let mut admin = server.signed_in("admin");
    server.signed_in("caseworker");
    for n in 0..9 {
        signs_in(&mut behind_proxy(&server, &format!("203.0.113.{n}")), HERS, "wrong");
    }
    assert!(!admin.get("/alarms").text().contains("Many sign-ins have failed"));
    signs_in(&mut behind_proxy(&server, "203.0.113.9"), HERS, "wrong");
    let page = alarms_with(&mut admin, "Many sign-ins have failed");
    assert!(page.contains("account 2") && page.contains("10 within an hour"), "{page}");
    for n in 10..20 {
        signs_in(&mut behind_proxy(&server, &format!("203.0.113.{n}")), HERS, "wrong");
    }
    let log = server.log();
    let raised: Vec<&str> = log.lines().filter(|line| line.contains("event=\"alarm.raised\"")).collect();
    assert_eq!(raised.len(), 1, "{log}");
    assert!(raised[0].contains("sort=\"failed_sign_ins\" object=\"account 2\""), "{}", raised[0]);
    assert!(!log.contains(HERS));
}

#[test]
fn many_failed_sign_ins_from_a_source_raise_an_alarm_be_the_addresses_known_or_not() {
    let mut server = Server::start_with(&PROXY);
    let mut admin = server.signed_in("admin");
    let mut attacker = behind_proxy(&server, "203.0.113.66");
    assert_eq!((0..30).map(|n| tried(&mut attacker, &format!("{n}@example.gov.uk"), 1)).sum::<usize>(), 30);
    let page = alarms_with(&mut admin, "from 203.0.113.66");
    assert!(page.contains("30 within an hour") && !page.contains("29@example.gov.uk"), "{page}");
    assert!(server.log().contains("sort=\"failed_sign_ins\" object=\"from 203.0.113.66\""));
}

#[test]
fn what_a_role_does_not_give_and_a_form_of_another_site_stand_in_the_log_and_no_address_does() {
    let mut server = Server::start_with(&PROXY);
    let mut browser = server.signed_in("caseworker");
    assert_eq!(browser.get("/quarantine").status, 403);
    let headers = browser.headers() + "Sec-Fetch-Site: cross-site\r\nX-Forwarded-For: 203.0.113.66\r\n";
    assert_eq!(exchange(server.at, &request("POST", "/search", &headers, b"q=07700900123")).status, 403);
    let log = server.log();
    assert!(log.contains("event=\"access.forbidden\" account=1 what=Quarantine"), "{log}");
    assert!(log.contains("event=\"access.cross_site\" from=\"203.0.113.66\""), "{log}");
    assert!(!log.contains(HERS) && !log.contains("900123"));
}

#[test]
fn a_failed_sign_in_waits_for_nothing_to_be_written() {
    let server = Server::start();
    server.signed_in("caseworker");
    // Whoever holds the store keeps every write waiting, and would be seen by how long one address takes and another does not.
    let mut other = rusqlite::Connection::open(server.data.join("counterfoil.db")).unwrap();
    let held = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    for email in [HERS, "nobody@example.gov.uk"] {
        let answer = signs_in(&mut Browser::new(server.at), email, "wrong");
        assert_eq!(answer.status, 200, "{email}: {}", answer.text());
    }
    held.rollback().unwrap();
}
