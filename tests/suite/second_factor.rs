//! The second step of a sign-in, and what people change about it themselves.

use std::fs;
use std::process::{Command, Stdio};

use crate::pages::between;
use crate::server::{App, BINARY, Browser, PASSWORD, SECOND_FACTOR, Server, codes_on, folder, key_on, printed, run};

const EMAIL: &str = "caseworker@example.gov.uk";

/// Somebody with an app, and the browser that it was set up in.
fn with_app(server: &Server) -> (Browser, App) {
    server.add_person("caseworker");
    let mut browser = Browser::new(server.at);
    assert_eq!(browser.give_password(EMAIL), "/sign-in/set-up");
    let app = browser.set_up_app();
    (browser, app)
}

/// Another browser, between the steps.
fn half_way(server: &Server) -> Browser {
    let mut browser = Browser::new(server.at);
    assert_eq!(browser.give_password(EMAIL), "/sign-in/code");
    browser
}

fn sees_receipts(browser: &Browser) -> bool {
    browser.clone().get("/receipts").status == 200
}

/// A code that is neither of now nor near it.
fn wrong(app: &App) -> String {
    let near: Vec<String> = (0..4).map(|later| app.code(later)).collect();
    (10..50).map(|later| app.code(later)).find(|code| !near.contains(code)).unwrap()
}

#[test]
fn by_default_everybody_sets_up_an_app_before_they_see_anything() {
    let server = Server::start_by_default();
    for role in ["caseworker", "manager", "admin"] {
        let email = server.add_person(role);
        let mut browser = Browser::new(server.at);
        let form = [("email", email.as_str()), ("password", PASSWORD), ("next", "/receipts?status=delivered")];
        let answer = browser.post("/sign-in", &form);
        let to = answer.header("location").unwrap().to_owned();
        assert_eq!(to, "/sign-in/set-up?next=%2Freceipts%3Fstatus%3Ddelivered");
        assert_eq!(browser.cookie, None, "there is no session yet");
        assert!(!sees_receipts(&browser));
        assert_eq!(browser.get("/sign-in/code").header("location"), Some("/sign-in/set-up"));

        let page = browser.get(&to).text();
        assert!(page.contains("<svg class=\"app-qr\""));
        let app = App { key: key_on(&page), recovery_codes: Vec::new() };
        assert_eq!(key_on(&browser.get(&to).text()), app.key, "a page that is loaded again shows the same");
        let form = |code: String| [("code", code), ("next", "/receipts?status=delivered".to_owned())];
        for refused in [wrong(&app), String::new(), "123".into()] {
            let form = form(refused);
            let answer = browser.post("/sign-in/set-up", &form.each_ref().map(|(name, value)| (*name, value.as_str())));
            assert!(answer.text().contains("<title>Error: "), "{}", answer.text());
            assert!(!sees_receipts(&browser));
        }
        let typed = app.code(0);
        let form = form(format!(" {} {} ", &typed[..3], &typed[3..]));
        let answer = browser.post("/sign-in/set-up", &form.each_ref().map(|(name, value)| (*name, value.as_str())));
        assert_eq!(codes_on(&answer.text()).len(), 10);
        assert!(answer.text().contains("href=\"/receipts?status=delivered\""));
        assert!(sees_receipts(&browser));
        assert_eq!(browser.half, None);
    }
}

#[test]
fn after_the_password_a_code_is_asked_for_and_each_is_taken_once() {
    let server = Server::start_by_default();
    let (_, app) = with_app(&server);
    let mut browser = Browser::new(server.at);
    let form = [("email", EMAIL), ("password", PASSWORD), ("next", "/messages?before=9")];
    let to = browser.post("/sign-in", &form).header("location").unwrap().to_owned();
    assert_eq!(to, "/sign-in/code?next=%2Fmessages%3Fbefore%3D9");
    let page = browser.get(&to).text();
    assert!(page.contains("autocomplete=\"one-time-code\"") && page.contains("inputmode=\"numeric\""));
    assert_eq!(between(&page, "name=\"next\" value=\"", "\""), "/messages?before=9");

    let answer = browser.post("/sign-in/code", &[("code", &wrong(&app))]);
    assert!(answer.text().contains("Enter the 6-digit code that your app shows now"));
    let used = app.code(1);
    let answer = browser.post("/sign-in/code", &[("code", &used), ("next", "/messages?before=9")]);
    assert_eq!(answer.header("location"), Some("/messages?before=9"));
    assert!(sees_receipts(&browser));

    let mut again = half_way(&server);
    for before in [&used, &app.code(0)] {
        let answer = again.post("/sign-in/code", &[("code", before)]);
        assert!(answer.text().contains("<title>Error: "), "{}", answer.text());
        assert!(!sees_receipts(&again));
    }
}

#[test]
fn a_recovery_code_works_once_and_new_ones_end_the_old() {
    let server = Server::start_by_default();
    let (mut browser, app) = with_app(&server);
    let codes = &app.recovery_codes;
    let given = |code: &str| {
        let mut browser = half_way(&server);
        assert_eq!(browser.get("/sign-in/recovery-code").status, 200);
        let answer = browser.post("/sign-in/recovery-code", &[("code", code)]);
        assert_eq!(answer.status == 303, sees_receipts(&browser));
        answer.status == 303
    };
    assert!(given(&codes[0]));
    assert!(!given(&codes[0]), "once");
    assert!(given(&codes[1].to_lowercase().replace('-', " ")), "however it is typed");
    assert!(!given("AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"));
    assert!(browser.get("/account").text().contains("You have 8 recovery codes left"));

    let answer = browser.post("/account/recovery-codes", &[("password", "not my password")]);
    assert!(answer.text().contains("Enter your correct password") && codes_on(&answer.text()).is_empty());
    let new = codes_on(&browser.post("/account/recovery-codes", &[("password", PASSWORD)]).text());
    assert_eq!(new.len(), 10);
    assert!(!given(&codes[2]) && given(&new[0]));
    let text = browser.get("/account").text();
    assert!(!codes.iter().chain(&new).any(|code| text.contains(code.as_str())), "they are shown once");
}

#[test]
fn between_the_steps_nothing_is_open_but_the_second() {
    let server = Server::start_by_default();
    let (_, app) = with_app(&server);
    let mut browser = half_way(&server);
    let half = browser.half.clone().unwrap();
    for path in
        ["/", "/receipts", "/receipts/a", "/messages", "/search/a", "/quarantine", "/account", "/account/password"]
    {
        let answer = browser.get(path);
        assert_eq!(answer.status, 303, "{path}");
        assert!(path == "/" || answer.header("location").unwrap().starts_with("/sign-in?next="), "{path}");
    }
    let mut forged = Browser::new(server.at);
    forged.cookie = Some(half.replace("__Host-counterfoil-sign-in=", "__Host-counterfoil="));
    assert!(!sees_receipts(&forged), "it is no session");
    let mut nobody = Browser::new(server.at);
    for path in ["/sign-in/code", "/sign-in/recovery-code", "/sign-in/set-up"] {
        assert_eq!(nobody.get(path).header("location"), Some("/sign-in"), "{path}");
        assert_eq!(nobody.post(path, &[("code", &app.code(1))]).header("location"), Some("/sign-in"), "{path}");
    }

    assert_eq!(browser.post("/sign-in/code", &[("code", &app.code(1))]).status, 303);
    assert!(sees_receipts(&browser));
    assert!(
        !browser.cookie.clone().unwrap().ends_with(half.rsplit('=').next().unwrap()),
        "the session is another secret"
    );
    let mut late = Browser::new(server.at);
    late.half = Some(half);
    let answer = late.post("/sign-in/recovery-code", &[("code", &app.recovery_codes[0])]);
    assert_eq!(answer.header("location"), Some("/sign-in"), "a sign-in ends once");
}

#[test]
fn the_session_from_before_ends_when_the_second_step_is_done() {
    let server = Server::start_by_default();
    let (mut browser, app) = with_app(&server);
    let old = browser.clone();
    browser.give_password(EMAIL);
    assert!(sees_receipts(&old), "nothing has changed yet");
    assert_eq!(browser.post("/sign-in/code", &[("code", &app.code(1))]).status, 303);
    assert!(sees_receipts(&browser) && !sees_receipts(&old));
}

#[test]
fn wrong_codes_are_throttled_for_the_account_and_not_for_the_browser() {
    let server = Server::start_by_default();
    let (_, app) = with_app(&server);
    // The delay doubles, so that it is longer than any try takes in the end.
    let refused = (0..20)
        .map(|_| half_way(&server).post("/sign-in/code", &[("code", &wrong(&app))]))
        .find(|answer| answer.status == 429);
    assert!(refused.unwrap().text().contains("Too many tries have failed. Wait "));
}

#[test]
fn an_unknown_account_is_answered_as_one_with_an_app_and_one_without() {
    let server = Server::start_by_default();
    with_app(&server);
    server.add_person("manager");
    let answers = ["caseworker@example.gov.uk", "manager@example.gov.uk", "nobody@example.gov.uk"].map(|email| {
        let mut browser = Browser::new(server.at);
        let answer = browser.post("/sign-in", &[("email", email), ("password", "not the password")]);
        assert_eq!((&browser.cookie, &browser.half), (&None, &None));
        (answer.status, answer.text().replace(email, "EMAIL"))
    });
    assert!(answers[0] == answers[1] && answers[1] == answers[2]);
}

#[test]
fn a_second_factor_is_required_of_the_roles_that_are_named() {
    let server = Server::start_with(&["--require-second-factor", "manager,admin"]);
    let browser = server.signed_in("caseworker");
    assert!(browser.half.is_none() && sees_receipts(&browser));
    for role in ["manager", "admin"] {
        let email = server.add_person(role);
        assert_eq!(Browser::new(server.at).give_password(&email), "/sign-in/set-up");
    }
    let wrong = run(&["serve", "--require-second-factor", "boss"], &server.data);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("a role is"));
}

#[test]
fn whoever_has_an_app_uses_it_also_where_none_is_required() {
    let server = Server::start();
    let mut browser = server.signed_in("caseworker");
    assert!(browser.get("/account").text().contains("You have not set up an app"));
    let app = App { key: key_on(&browser.get("/account/second-factor").text()), recovery_codes: Vec::new() };
    let answer = browser.post("/account/second-factor", &[("password", PASSWORD), ("code", &app.code(0))]);
    assert_eq!(codes_on(&answer.text()).len(), 10);
    let mut other = half_way(&server);
    assert_eq!(other.post("/sign-in/code", &[("code", &app.code(1))]).status, 303);
    assert!(sees_receipts(&other));
}

#[test]
fn a_session_from_before_it_was_required_shows_nothing() {
    let folder = folder();
    let data = folder.path().join("store");
    let server = Server::start_in(&data, &[]);
    let before = server.signed_in("caseworker");
    assert!(sees_receipts(&before));
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    let mut command = Command::new(BINARY);
    command.stdout(Stdio::null()).env_remove(SECOND_FACTOR);
    let server = Server::start_as(command, &data, &[]);
    let mut browser = Browser::new(server.at);
    browser.cookie = before.cookie;
    assert!(!sees_receipts(&browser));
}

#[test]
fn a_link_for_a_password_stands_in_for_the_password_alone() {
    let server = Server::start_by_default();
    let link = |arguments: &[&str]| {
        printed(&run(arguments, &server.data)).strip_prefix("http://localhost:8080").unwrap().to_owned()
    };
    let path = link(&["user", "add", EMAIL, "--role", "caseworker"]);
    let mut browser = Browser::new(server.at);
    assert_eq!(browser.post(&path, &[("password", PASSWORD)]).header("location"), Some("/sign-in/set-up"));
    let app = browser.set_up_app();
    assert!(sees_receipts(&browser));
    let path = link(&["user", "reset", EMAIL]);
    let mut other = Browser::new(server.at);
    assert_eq!(other.post(&path, &[("password", PASSWORD)]).header("location"), Some("/sign-in/code"));
    assert!(!sees_receipts(&other));
    assert_eq!(other.post("/sign-in/code", &[("code", &app.code(1))]).status, 303);
    assert!(sees_receipts(&other));
}

#[test]
fn whoever_lost_everything_is_reset_by_the_command_and_begins_anew() {
    let server = Server::start_by_default();
    let (browser, app) = with_app(&server);
    let half = half_way(&server);
    let done = run(&["user", "reset-second-factor", EMAIL], &server.data);
    assert!(String::from_utf8_lossy(&done.stderr).contains("sets up an authenticator app at the next sign-in"));
    assert!(!sees_receipts(&browser), "the sessions are over");
    let answer = half.clone().post("/sign-in/recovery-code", &[("code", &app.recovery_codes[0])]);
    assert_eq!(answer.header("location"), Some("/sign-in"), "and what was half-way");
    let mut browser = Browser::new(server.at);
    assert_eq!(browser.give_password(EMAIL), "/sign-in/set-up");
    assert_ne!(browser.set_up_app().key, app.key);
    assert_eq!(run(&["user", "reset-second-factor", "nobody@example.gov.uk"], &server.data).status.code(), Some(1));
}

#[test]
fn nobody_sets_up_an_app_for_an_account_that_got_one_meanwhile() {
    let server = Server::start_by_default();
    server.add_person("caseworker");
    let (mut first, mut second) = (Browser::new(server.at), Browser::new(server.at));
    assert_eq!([first.give_password(EMAIL), second.give_password(EMAIL)], ["/sign-in/set-up"; 2]);
    let other = App { key: key_on(&second.get("/sign-in/set-up").text()), recovery_codes: Vec::new() };
    let own = first.set_up_app();
    assert_ne!(own.key, other.key, "each browser is offered a key of its own");
    second.post("/sign-in/set-up", &[("code", &other.code(0))]);
    assert!(!sees_receipts(&second) && sees_receipts(&first));
}

#[test]
fn another_app_takes_the_place_of_the_first_for_who_knows_the_password() {
    let server = Server::start_by_default();
    let (mut browser, app) = with_app(&server);
    let mut elsewhere = half_way(&server);
    elsewhere.post("/sign-in/recovery-code", &[("code", &app.recovery_codes[0])]);
    assert!(sees_receipts(&elsewhere));
    let new = App { key: key_on(&browser.get("/account/second-factor").text()), recovery_codes: Vec::new() };
    assert_ne!(new.key, app.key);
    for (password, code) in [("not my password", new.code(0)), (PASSWORD, wrong(&new)), ("", new.code(0))] {
        let answer = browser.post("/account/second-factor", &[("password", password), ("code", &code)]);
        assert!(answer.text().contains("<title>Error: "));
    }
    let before = browser.cookie.clone();
    let answer = browser.post("/account/second-factor", &[("password", PASSWORD), ("code", &new.code(0))]);
    assert_eq!(codes_on(&answer.text()).len(), 10);
    assert!(sees_receipts(&browser) && browser.cookie != before && !sees_receipts(&elsewhere));
    let mut later = half_way(&server);
    later.post("/sign-in/code", &[("code", &app.code(1))]);
    assert!(!sees_receipts(&later), "the app from before is none any more");
    later.post("/sign-in/recovery-code", &[("code", &app.recovery_codes[1])]);
    assert!(!sees_receipts(&later), "and neither are its recovery codes");
    later.post("/sign-in/code", &[("code", &new.code(1))]);
    assert!(sees_receipts(&later));
}

#[test]
fn a_password_is_changed_by_who_knows_it_and_ends_the_other_sessions() {
    let server = Server::start_by_default();
    let (mut browser, app) = with_app(&server);
    let mut elsewhere = half_way(&server);
    elsewhere.post("/sign-in/recovery-code", &[("code", &app.recovery_codes[0])]);
    let new = "another three words";
    for (present, new, said) in [
        ("", new, "Enter your present password"),
        ("not my password", new, "Enter your correct password"),
        (PASSWORD, "short", "Password must be at least 10 characters"),
    ] {
        let answer = browser.post("/account/password", &[("password", present), ("new-password", new)]);
        assert!(answer.text().contains(said), "{}", answer.text());
        assert!(sees_receipts(&elsewhere));
    }
    let before = browser.cookie.clone();
    let answer = browser.post("/account/password", &[("password", PASSWORD), ("new-password", new)]);
    assert_eq!(answer.header("location"), Some("/account"));
    assert!(sees_receipts(&browser) && browser.cookie != before && !sees_receipts(&elsewhere));
    let mut later = Browser::new(server.at);
    assert_eq!(later.post("/sign-in", &[("email", EMAIL), ("password", PASSWORD)]).status, 200);
    assert_eq!(later.post("/sign-in", &[("email", EMAIL), ("password", new)]).status, 303);
}

#[test]
fn a_search_goes_along_through_both_steps_and_stands_in_no_address() {
    let server = Server::start_by_default();
    let (_, app) = with_app(&server);
    let mut browser = Browser::new(server.at);
    let form = [("email", EMAIL), ("password", PASSWORD), ("search", "07700 900123"), ("next", "/receipts")];
    let to = browser.post("/sign-in", &form).header("location").unwrap().to_owned();
    assert!(to.starts_with("/sign-in/code?next=%2Fsearch%2F") && !to.contains("7700"), "{to}");
    let page = browser.get(&to).text();
    let next = between(&page, "name=\"next\" value=\"", "\"").to_owned();
    let answer = browser.post("/sign-in/code", &[("code", &app.code(1)), ("next", &next)]);
    let page = browser.get(answer.header("location").unwrap()).text();
    assert!(page.contains("07700 900123"), "{page}");
}

#[test]
fn a_copy_of_the_store_holds_neither_secrets_nor_recovery_codes() {
    let server = Server::start_by_default();
    let (_, app) = with_app(&server);
    let kept: Vec<u8> = ["counterfoil.db", "counterfoil.db-wal"]
        .iter()
        .flat_map(|name| fs::read(server.data.join(name)).unwrap_or_default())
        .collect();
    let is_kept = |bytes: &[u8]| kept.windows(bytes.len()).any(|part| part == bytes);
    assert!(is_kept(EMAIL.as_bytes()), "this is where people are kept");
    let secret = totp_rs::Secret::try_from_base32(app.key.replace(' ', "")).unwrap();
    assert!(!is_kept(secret.as_bytes()) && !is_kept(app.key.replace(' ', "").as_bytes()));
    for code in &app.recovery_codes {
        assert!(!is_kept(code.as_bytes()) && !is_kept(code.replace('-', "").as_bytes()));
    }
}

#[test]
fn under_another_key_file_no_code_is_right_and_the_log_says_what_to_do() {
    let mut server = Server::start_by_default();
    let (_, app) = with_app(&server);
    server.signal("-TERM");
    let data = server.data.clone();
    let _folder = server.keep_folder();
    assert_eq!(server.ended(), Some(0));
    fs::remove_file(data.join("counterfoil.key")).unwrap();
    let mut server = Server::start_in(&data, &[]);
    let mut browser = half_way(&server);
    browser.post("/sign-in/code", &[("code", &app.code(1))]);
    browser.post("/sign-in/recovery-code", &[("code", &app.recovery_codes[0])]);
    assert!(!sees_receipts(&browser));
    assert!(server.log().contains("access.second_factor_sealed"));
}

#[test]
fn the_record_says_who_did_what_and_holds_no_code() {
    let server = Server::start_by_default();
    let (mut browser, app) = with_app(&server);
    half_way(&server).post("/sign-in/code", &[("code", &wrong(&app))]);
    half_way(&server).post("/sign-in/recovery-code", &[("code", &app.recovery_codes[0])]);
    let mut browser_after = half_way(&server);
    browser_after.post("/sign-in/code", &[("code", &app.code(1))]);
    browser.post("/account/recovery-codes", &[("password", "not my password")]);
    browser.post("/account/recovery-codes", &[("password", PASSWORD)]);
    browser.post("/account/password", &[("password", PASSWORD), ("new-password", "another three words")]);
    run(&["user", "reset-second-factor", EMAIL], &server.data);
    let record = rusqlite::Connection::open(server.data.join("counterfoil.db")).unwrap();
    let mut rows = record.prepare("SELECT did, who, source FROM audit ORDER BY id").unwrap();
    let rows: Vec<(String, String, String)> =
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap().map(Result::unwrap).collect();
    let done: Vec<&str> =
        rows.iter().map(|(did, ..)| did.as_str()).skip_while(|did| *did != "set_up_second_factor").collect();
    assert_eq!(
        done,
        [
            "set_up_second_factor",
            "signed_in",
            "second_step_failed",
            "used_recovery_code",
            "signed_in",
            "signed_in",
            "password_not_confirmed",
            "made_recovery_codes",
            "changed_password",
            "removed_second_factor",
        ]
    );
    for (did, who, source) in &rows[rows.len() - 10..rows.len() - 1] {
        assert_eq!((who.as_str(), source.as_str()), (EMAIL, "127.0.0.1"), "{did}");
    }
    assert!(rows[rows.len() - 1].1.starts_with("command line ("));
}

#[test]
fn a_form_from_before_the_sign_in_goes_along_through_each_second_step() {
    let server = Server::start_by_default();
    server.add_person("caseworker");
    let (kept, path) = ("note=call+back", "/account/sessions");
    let form = [("email", EMAIL), ("password", PASSWORD), ("kept", kept), ("kept_for", path)];
    let carried = |code: String| [("code", code), ("kept", kept.to_owned()), ("kept_for", path.to_owned())];
    let gives = |browser: &mut Browser, path: &str, code: &str| {
        let form = carried(code.to_owned());
        browser.post(path, &form.each_ref().map(|(name, value)| (*name, value.as_str()))).text()
    };
    let is_carried = |page: &str| page.contains("name=\"kept\" value=\"note=call+back\"");
    let is_offered = |page: &str| {
        page.contains("name=\"note\" value=\"call back\"") && page.contains("action=\"/account/sessions\"")
    };
    let mut first = Browser::new(server.at);
    let page = first.post("/sign-in", &form).text();
    let app = App { key: key_on(&page), recovery_codes: Vec::new() };
    assert!(is_carried(&page) && is_carried(&gives(&mut first, "/sign-in/set-up", "1")), "{page}");
    let page = gives(&mut first, "/sign-in/set-up", &app.code(0));
    let codes = codes_on(&page);
    assert!(codes.len() == 10 && is_offered(&page) && sees_receipts(&first), "{page}");

    let mut second = Browser::new(server.at);
    let page = second.post("/sign-in", &form).text();
    assert!(page.contains("action=\"/sign-in/recovery-code\"") && is_carried(&page), "{page}");
    let page = second.post("/sign-in/recovery-code", &[("kept", kept), ("kept_for", path)]).text();
    assert!(is_carried(&page) && !page.contains("Error: "), "{page}");
    assert!(is_carried(&gives(&mut second, "/sign-in/recovery-code", "wrong")));
    let page = gives(&mut second, "/sign-in/recovery-code", &codes[0]);
    assert!(is_offered(&page) && sees_receipts(&second), "{page}");
}
