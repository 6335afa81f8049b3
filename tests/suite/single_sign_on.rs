//! Signing in through a provider of OpenID Connect, honest or not.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::oidc_provider::{Answers, CLIENT, Provider, SECRET, Signed, query};
use crate::server::{Answer, BINARY, PASSWORD, Server, exchange, folder, printed, request, run, run_with_input};

const PUBLIC: &str = "http://localhost:8080";
const CONFIGURATION: &str = "/.well-known/openid-configuration";

/// A browser with every cookie that it was given.
#[derive(Clone)]
pub(crate) struct Browser {
    at: SocketAddr,
    cookies: BTreeMap<String, String>,
    /// More that stands in each request’s head.
    more: String,
}

impl Browser {
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, b"")
    }

    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Answer {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let kind = "Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n";
        let kind = if method == "POST" { kind } else { "" };
        let headers = format!("{}Cookie: {}\r\n{kind}", self.more, cookies.join("; "));
        let answer = exchange(self.at, &request(method, path, &headers, body));
        for line in answer.head.lines().filter_map(|line| line.strip_prefix("set-cookie: ")) {
            assert!(line.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{line}");
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    fn sign_in_by_password(&mut self, email: &str) -> Answer {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("email", email), ("password", PASSWORD)])
            .finish();
        self.ask("POST", "/sign-in", form.as_bytes())
    }

    fn is_signed_in(&mut self) -> bool {
        self.get("/receipts").status == 200
    }
}

/// A provider and a server that lets people in through it.
pub(crate) struct Setting {
    pub(crate) provider: Provider,
    pub(crate) server: Server,
    _secret: TempDir,
}

impl Setting {
    pub(crate) fn with(more: &[&str]) -> Setting {
        Setting::of(more, Server::start_with)
    }

    /// As [`Setting::with`], with a second factor required as it is by default.
    fn by_default_with(more: &[&str]) -> Setting {
        Setting::of(more, Server::start_by_default_with)
    }

    fn of(more: &[&str], start: impl Fn(&[&str]) -> Server) -> Setting {
        let provider = Provider::start();
        let secret = folder();
        let file = secret.path().join("secret");
        fs::write(&file, format!("{SECRET}\n")).unwrap();
        let issuer = provider.issuer();
        let file = file.to_str().unwrap();
        let flags = ["--public-url", PUBLIC, "--oidc-issuer", &issuer, "--oidc-client-id", CLIENT];
        let server = start(&[&flags[..], &["--oidc-client-secret-file", file], more].concat());
        Setting { provider, server, _secret: secret }
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser { at: self.server.at, cookies: BTreeMap::new(), more: String::new() }
    }

    /// Follows the link to the provider; gives where it leads.
    fn begin(&self, browser: &mut Browser) -> String {
        let answer = browser.get("/sign-in/oidc?next=%2Freceipts%3Fstatus%3Ddelivered");
        assert_eq!(answer.status, 303, "{}", answer.text());
        let to = answer.header("location").unwrap().to_owned();
        assert!(to.starts_with(&format!("{}/authorize?p=1&", self.provider.issuer())), "{to}");
        to
    }

    /// The whole sign-in of somebody whom the provider says this of.
    fn sign_in(&self, browser: &mut Browser, claims: &Value, signed: Signed) -> Answer {
        let to = self.begin(browser);
        let code = self.provider.code(&to, claims, signed);
        browser.get(&back(&to, &code))
    }

    fn comes_in(&self, claims: &Value) -> bool {
        let mut browser = self.browser();
        let answer = self.sign_in(&mut browser, claims, Signed::Rightly);
        let signed_in = browser.is_signed_in();
        assert_eq!(answer.status == 303, signed_in, "{}", answer.text());
        signed_in
    }

    fn role(&self, email: &str) -> Option<String> {
        let email = email.to_owned();
        self.server.read(|store| async move {
            store.person(&email).await.unwrap().map(|person| person.role.as_str().to_owned())
        })
    }

    fn add(&self, email: &str, role: &str) {
        let added =
            run_with_input(&["user", "add", email, "--role", role, "--password-stdin"], &self.server.data, PASSWORD);
        printed(&added);
    }
}

fn back(to: &str, code: &str) -> String {
    format!("/sign-in/oidc/callback?code={code}&state={}", query(to)["state"])
}

fn has_password_form(answer: &Answer) -> bool {
    answer.text().contains("type=\"password\"")
}

#[test]
fn whoever_the_provider_signs_in_gets_an_account_and_arrives_where_they_wanted_to_go() {
    let mut setting =
        Setting::with(&["--oidc-allow-domain", "council.example", "--oidc-name", "Sign in with <Council>"]);
    let mut browser = setting.browser();
    let page = browser.get("/sign-in?next=%2Freceipts%3Fstatus%3Ddelivered");
    assert!(page.text().contains("href=\"/sign-in/oidc?next=%2Freceipts%3Fstatus%3Ddelivered\""), "{}", page.text());
    assert!(page.text().contains("Sign in with &#60;Council&#62;"), "{}", page.text());
    assert!(has_password_form(&page));
    let to = setting.begin(&mut browser);
    let asked = query(&to);
    assert_eq!(asked["redirect_uri"], format!("{PUBLIC}/sign-in/oidc/callback"));
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["scope"], "openid email profile");
    let code = setting.provider.code(&to, &json!({}), Signed::Rightly);
    let answer = browser.get(&back(&to, &code));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/receipts?status=delivered")));
    assert_eq!(
        browser.cookies.keys().collect::<Vec<_>>(),
        ["__Host-counterfoil", "__Host-counterfoil-browser"],
        "the other cookie is gone"
    );
    let page = browser.get("/receipts");
    assert!(page.text().contains("amy@council.example"), "{}", page.text());
    assert_eq!(setting.role("amy@council.example").as_deref(), Some("viewer"), "the least");
    assert_eq!(browser.get("/quarantine").status, 403);
    assert!(browser.get("/cookies").text().contains("__Host-counterfoil-single-sign-on"));
    let log = setting.server.log();
    for secret in ["amy", SECRET, &asked["state"], &asked["nonce"], &code] {
        assert!(!log.contains(secret), "the log says {secret}: {log}");
    }
}

#[test]
fn a_token_that_is_not_right_in_every_way_signs_nobody_in() {
    let mut setting = Setting::with(&["--oidc-allow-domain", "council.example"]);
    let now = counterfoil::clock::now() / counterfoil::clock::SECOND;
    let wrong = [
        json!({"iss": "https://another.example"}),
        json!({"iss": null}),
        json!({"aud": "another"}),
        json!({"aud": [CLIENT, "another"]}),
        json!({"azp": "another"}),
        json!({"exp": now - 200}),
        json!({"exp": null}),
        json!({"iat": now + 1000, "exp": now + 2000}),
        json!({"iat": null}),
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"sub": null}),
    ];
    let signed = [
        Signed::ByAnotherKey,
        Signed::Not,
        Signed::WithoutSignature,
        Signed::WithTheSecret,
        Signed::WithThePublicKey,
        Signed::Changed,
    ];
    let lies = wrong.into_iter().map(|claims| (claims, Signed::Rightly));
    for (claims, signed) in lies.chain(signed.into_iter().map(|signed| (json!({}), signed))) {
        let mut browser = setting.browser();
        let answer = setting.sign_in(&mut browser, &claims, signed);
        assert_eq!(answer.status, 403, "{claims} {signed:?}");
        assert!(answer.text().contains("could not be trusted"), "{claims} {signed:?}: {}", answer.text());
        assert!(has_password_form(&answer), "one can still sign in otherwise");
        assert!(!browser.is_signed_in() && browser.cookies.is_empty(), "{claims} {signed:?}");
    }
    assert!(setting.server.log().contains("oidc.provider_failed"));
    assert_eq!(setting.role("amy@council.example"), None, "no account was made");
    assert!(setting.comes_in(&json!({})));
}

#[test]
fn only_the_browser_that_left_comes_back_and_only_once() {
    let setting = Setting::with(&["--oidc-allow-domain", "council.example"]);
    let mut browser = setting.browser();
    let to = setting.begin(&mut browser);
    let code = setting.provider.code(&to, &json!({}), Signed::Rightly);
    let refused = |answer: &Answer| {
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains("was not begun in this browser"), "{}", answer.text());
    };
    let mut other = setting.browser();
    refused(&other.get(&back(&to, &code)));
    setting.begin(&mut other);
    refused(&other.get(&back(&to, &code)));
    assert!(!other.is_signed_in());
    for wrong in ["", "state=", "state=0", &format!("state={}0", query(&to)["state"])] {
        refused(&browser.get(&format!("/sign-in/oidc/callback?code={code}&{wrong}")));
    }
    assert_eq!(setting.provider.asked("/token"), 0, "nothing was asked for any of them");
    let left = browser.clone();
    assert_eq!(browser.get(&back(&to, &code)).status, 303);
    assert!(browser.is_signed_in());
    refused(&browser.get(&back(&to, &code)));
    let mut replayed = left.clone();
    refused(&replayed.get(&back(&to, &code)));
    assert!(!replayed.is_signed_in());
    let mut again = setting.browser();
    let to = setting.begin(&mut again);
    let answer = again.get(&back(&to, &code));
    assert!(answer.text().contains("could not be finished"), "the provider takes a code once: {}", answer.text());
}

#[test]
fn codes_that_somebody_made_up_reach_the_provider_only_so_often_and_are_told_as_what_they_are() {
    let mut setting = Setting::with(&["--oidc-allow-domain", "council.example", "--trusted-proxy", "127.0.0.1"]);
    let made_up = |source: &str| {
        let mut browser = setting.browser();
        browser.more = format!("X-Forwarded-For: {source}\r\n");
        let to = setting.begin(&mut browser);
        browser.get(&back(&to, "made-up")).status
    };
    let statuses: Vec<u16> = (0..120).map(|_| made_up("192.0.2.1")).collect();
    assert!(statuses[..100].iter().all(|status| *status == 403) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(setting.provider.asked("/token"), statuses.iter().filter(|status| **status == 403).count());
    assert_eq!(made_up("192.0.2.2"), 403, "nobody else waits");
    let log = setting.server.log();
    assert!(log.contains("access.single_sign_on_refused") && log.contains("code"), "{log}");
    assert!(!log.contains("oidc.provider_failed"), "{log}");
}

#[test]
fn an_answer_that_names_another_issuer_is_not_taken() {
    let setting = Setting::with(&["--oidc-allow-domain", "council.example"]);
    let finish = |issuer: &str| {
        let mut browser = setting.browser();
        let to = setting.begin(&mut browser);
        let code = setting.provider.code(&to, &json!({}), Signed::Rightly);
        browser.get(&format!("{}{issuer}", back(&to, &code))).status
    };
    assert_eq!(finish("&iss=https%3A%2F%2Fanother.example"), 403);
    assert_eq!(finish(&format!("&iss={}", setting.provider.issuer())), 303);
    assert_eq!(finish(""), 303);
    let setting = Setting::with(&["--oidc-allow-domain", "council.example"]);
    setting.provider.always_names_itself();
    assert!(!setting.comes_in(&json!({})), "it always says who it is, and here nobody did");
}

#[test]
fn keys_that_were_changed_are_fetched_anew_and_not_again_and_again() {
    let setting = Setting::with(&["--oidc-allow-domain", "council.example"]);
    assert!(setting.comes_in(&json!({})));
    setting.provider.rotate();
    assert!(setting.comes_in(&json!({})));
    assert_eq!(setting.provider.asked("/keys"), 2);
    setting.provider.rotate();
    assert!(!setting.comes_in(&json!({})), "that was just now");
    assert_eq!(setting.provider.asked("/keys"), 2);
    assert_eq!(setting.provider.asked(CONFIGURATION), 1);
}

#[test]
fn while_the_provider_is_down_or_lies_about_itself_one_signs_in_by_password() {
    let mut setting = Setting::with(&[]);
    setting.add("amy@council.example", "caseworker");
    let mut other_issuer = setting.provider.configuration();
    other_issuer["issuer"] = json!("https://another.example");
    let mut clear = setting.provider.configuration();
    clear["token_endpoint"] = json!("http://another.example/token");
    for answers in [
        Answers::Status(500),
        Answers::Status(302),
        Answers::Endlessly,
        Answers::With(json!("nonsense")),
        Answers::With(other_issuer),
        Answers::With(clear),
    ] {
        setting.provider.answers(CONFIGURATION, answers.clone());
        let before = setting.provider.asked(CONFIGURATION);
        let mut browser = setting.browser();
        // What failed just now is not asked at once again.
        while setting.provider.asked(CONFIGURATION) == before {
            let answer = browser.get("/sign-in/oidc");
            assert!(matches!(answer.status, 403 | 503), "{answers:?}: {}", answer.text());
            assert!(
                answer.text().contains("single sign-on service") && has_password_form(&answer),
                "{}",
                answer.text()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(browser.get("/sign-in/oidc").text().contains("tell the people who run this service"), "{answers:?}");
    }
    assert_eq!(setting.browser().sign_in_by_password("amy@council.example").status, 303);
    let log = setting.server.log();
    assert!(log.contains("oidc.provider_failed") && log.contains("another issuer"), "{log}");
    setting.provider.answers_as_it_should();
    let mut browser = setting.browser();
    while browser.get("/sign-in/oidc").status != 303 {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(setting.comes_in(&json!({})), "it is back");
}

#[test]
fn a_provider_that_never_answers_delays_no_callback_and_no_page() {
    let setting = Setting::with(&[]);
    setting.provider.answers(CONFIGURATION, Answers::Never);
    let waiting: Vec<_> = (0..40)
        .map(|_| {
            let mut browser = setting.browser();
            std::thread::spawn(move || browser.get("/sign-in/oidc").status)
        })
        .collect();
    while setting.provider.asked(CONFIGURATION) == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(setting.server.post("/callbacks", br#"{"id": "a", "status": "delivered"}"#).status, 200);
    assert_eq!(setting.browser().get("/sign-in").status, 200);
    assert!(waiting.iter().any(|waiting| !waiting.is_finished()), "they were waiting meanwhile");
    for waiting in waiting {
        assert_eq!(waiting.join().unwrap(), 503);
    }
    assert!(setting.provider.asked(CONFIGURATION) <= 2, "one asks for all who wait");
}

#[test]
fn a_token_endpoint_or_keys_that_fail_sign_nobody_in() {
    let setting = Setting::with(&[]);
    setting.add("amy@council.example", "caseworker");
    let mut browser = setting.browser();
    for (answers, status) in [
        (Answers::Status(500), 403),
        (Answers::Endlessly, 503),
        (Answers::With(json!({"access_token": "x"})), 503),
        (Answers::With(json!({"id_token": "a.b.c"})), 403),
        (Answers::With(json!({"id_token": 5})), 503),
    ] {
        setting.provider.answers("/token", answers.clone());
        let answer = setting.sign_in(&mut browser, &json!({}), Signed::Rightly);
        assert!(answer.status == status || answer.status == 503, "{answers:?}: {} {}", answer.status, answer.text());
        assert!(!browser.is_signed_in(), "{answers:?}");
    }
    setting.provider.answers_as_it_should();
    setting.provider.rotate();
    setting.provider.answers("/keys", Answers::Status(500));
    assert_eq!(setting.sign_in(&mut browser, &json!({}), Signed::Rightly).status, 503);
    assert!(!browser.is_signed_in());
}

#[test]
fn who_is_not_among_those_who_may_come_in_is_told_so() {
    let mut setting = Setting::with(&[
        "--oidc-allow-domain",
        "council.example",
        "--oidc-allow-group",
        "CN=Staff",
        "--oidc-scope",
        "groups",
    ]);
    let mut browser = setting.browser();
    assert_eq!(query(&setting.begin(&mut browser))["scope"], "openid email profile groups");
    let refused = |claims: Value, words: &str| {
        let mut browser = setting.browser();
        let answer = setting.sign_in(&mut browser, &claims, Signed::Rightly);
        assert_eq!(answer.status, 403, "{claims}");
        assert!(answer.text().contains(words), "{claims}: {}", answer.text());
        assert!(!browser.is_signed_in(), "{claims}");
    };
    refused(json!({"groups": ["CN=Others"]}), "not among those who may use this service");
    refused(json!({}), "not among those who may use this service");
    refused(json!({"groups": ["CN=Staff"], "email": "amy@other.example"}), "not among those who may use this service");
    refused(
        json!({"groups": ["CN=Staff"], "email_verified": false}),
        "does not say that your email address is verified",
    );
    refused(
        json!({"groups": ["CN=Staff"], "email_verified": null}),
        "does not say that your email address is verified",
    );
    refused(json!({"groups": ["CN=Staff"], "email": null}), "does not say that your email address is verified");
    assert_eq!(setting.role("amy@council.example"), None);
    assert!(setting.comes_in(&json!({"groups": ["CN=Staff"]})));
    printed(&run(&["user", "disable", "amy@council.example"], &setting.server.data));
    refused(json!({"groups": ["CN=Staff"]}), "Your account has been disabled");
    refused(json!({"groups": ["CN=Staff"], "sub": "amy-2"}), "Your account has been disabled");
    printed(&run(&["user", "enable", "amy@council.example"], &setting.server.data));
    assert!(setting.comes_in(&json!({"groups": ["CN=Staff"]})));
    refused(json!({"groups": ["CN=Staff"], "sub": "amy-2"}), "belongs to somebody else who had this address before");
    let log = setting.server.log();
    for why in ["why=\"group\"", "why=\"domain\"", "why=\"no_verified_address\"", "why=\"disabled\"", "why=\"taken\""] {
        assert!(log.contains(why), "{why}: {log}");
    }
    assert!(!log.contains("amy"), "{log}");
}

#[test]
fn without_a_rule_only_people_who_have_an_account_come_in() {
    let setting = Setting::with(&[]);
    let mut browser = setting.browser();
    let answer = setting.sign_in(&mut browser, &json!({}), Signed::Rightly);
    assert!(answer.text().contains("There is no account here for your email address"), "{}", answer.text());
    setting.add("amy@council.example", "manager");
    assert!(!setting.comes_in(&json!({"email_verified": false})), "anybody could say that");
    assert!(setting.comes_in(&json!({"email": "Amy@Council.example"})));
    assert!(setting.comes_in(&json!({"email": null})), "from then on by who it is");
    assert_eq!(setting.role("amy@council.example").as_deref(), Some("manager"));
    printed(&run(&["user", "forget-single-sign-on", "amy@council.example"], &setting.server.data));
    assert!(!setting.comes_in(&json!({"email": null})));
}

#[test]
fn where_groups_give_roles_they_are_read_at_each_sign_in() {
    let setting = Setting::with(&[
        "--oidc-groups-claim",
        "roles",
        "--oidc-group",
        "staff=caseworker",
        "--oidc-group",
        "CN=Leads,OU=X=manager",
    ]);
    let mut browser = setting.browser();
    let both = json!({"roles": ["staff", "CN=Leads,OU=X"]});
    assert_eq!(setting.sign_in(&mut browser, &both, Signed::Rightly).status, 303);
    assert_eq!(browser.get("/quarantine").status, 200);
    assert!(setting.comes_in(&json!({"roles": "staff"})));
    assert_eq!(browser.get("/quarantine").status, 403, "the session that was there is one of a caseworker now");
    assert!(!setting.comes_in(&json!({"groups": ["staff"]})), "another claim");
    assert!(!setting.comes_in(&json!({"roles": []})));
}

#[test]
fn a_group_shows_what_its_services_brought_alone() {
    let setting = Setting::with(&["--oidc-group", "staff=caseworker:Another service,No such service"]);
    assert_eq!(setting.server.post("/callbacks", br#"{"id": "r1", "status": "delivered"}"#).status, 200);
    let mut browser = setting.browser();
    assert_eq!(setting.sign_in(&mut browser, &json!({"groups": ["staff"]}), Signed::Rightly).status, 303);
    assert_eq!(browser.get("/receipts/r1").status, 404, "it came for the test service");
}

#[test]
fn the_record_says_who_was_let_in_and_who_was_not_and_why() {
    let setting = Setting::with(&["--oidc-allow-domain", "council.example"]);
    assert!(setting.comes_in(&json!({})));
    assert!(setting.comes_in(&json!({})));
    assert!(!setting.comes_in(&json!({"email": "bob@other.example", "sub": "bob-1"})));
    assert!(!setting.comes_in(&json!({"email": "amy@council.example", "email_verified": false, "sub": "eve-1"})));
    let mut stranger = setting.browser();
    stranger.get("/sign-in/oidc/callback?code=1&state=2");
    let store = rusqlite::Connection::open(setting.server.data.join("counterfoil.db")).unwrap();
    let mut rows = store
        .prepare("SELECT who, did, detail FROM audit WHERE did LIKE '%sign%' OR did = 'added_person' ORDER BY id")
        .unwrap();
    let rows = rows.query_map([], |row| {
        let (who, did, detail): (String, String, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!("{who} {did} {}", detail.unwrap_or_default()).trim().to_owned())
    });
    let rows: Vec<String> = rows.unwrap().map(Result::unwrap).collect();
    let amy = "amy@council.example";
    assert_eq!(
        rows,
        [
            format!("{amy} added_person viewer, all services, by single sign-on"),
            format!("{amy} admitted_by_single_sign_on for the first time"),
            format!("{amy} signed_in"),
            format!("{amy} admitted_by_single_sign_on"),
            format!("{amy} signed_in"),
            "bob@other.example refused_by_single_sign_on domain".to_owned(),
            "somebody without a verified address refused_by_single_sign_on no_verified_address".to_owned(),
        ]
    );
}

#[test]
fn what_the_token_leaves_out_is_read_from_the_user_info_of_the_same_person() {
    let setting = Setting::with(&["--oidc-allow-group", "staff"]);
    let thin = json!({"email": null, "email_verified": null});
    let more = |subject: &str| json!({"sub": subject, "email": "amy@council.example", "email_verified": true, "groups": ["staff"]});
    setting.provider.says_more(more("bob-1"));
    assert!(!setting.comes_in(&thin), "it is of somebody else");
    setting.provider.says_more(more("amy-1"));
    assert!(setting.comes_in(&thin));
    assert!(!setting.comes_in(&json!({"groups": []})), "what the token says counts");
}

#[test]
fn an_error_of_the_provider_is_told_in_plain_words() {
    let mut setting = Setting::with(&[]);
    for (code, words) in [
        ("access_denied", "You did not finish signing in"),
        ("temporarily_unavailable", "has a problem. Wait a minute"),
        ("%3Cscript%3E&error_description=%3Cb%3E", "could not sign you in"),
    ] {
        let mut browser = setting.browser();
        let to = setting.begin(&mut browser);
        let state = &query(&to)["state"];
        let answer = browser.get(&format!("/sign-in/oidc/callback?state={state}&error={code}"));
        assert_eq!(answer.status, 403);
        assert!(answer.text().contains(words) && has_password_form(&answer), "{code}: {}", answer.text());
        assert!(!answer.text().contains("<b>") && !answer.text().contains("script&"), "{}", answer.text());
        assert!(answer.text().contains("href=\"#single-sign-on\""), "the summary leads to the button");
    }
    let answer = setting.browser().get("/sign-in/oidc/callback?error=access_denied");
    assert!(answer.text().contains("was not begun in this browser"), "nobody is told what a stranger's link says");
    assert!(setting.server.log().contains("code=\"access_denied\""));
}

#[test]
fn where_it_is_the_only_way_nobody_but_admins_has_a_password() {
    let setting = Setting::with(&["--oidc-only", "--oidc-allow-domain", "council.example"]);
    setting.add("amy@council.example", "manager");
    setting.add("root@council.example", "admin");
    let mut browser = setting.browser();
    let page = browser.get("/sign-in");
    assert!(!has_password_form(&page) && page.text().contains("/sign-in?with=password"), "{}", page.text());
    assert!(has_password_form(&browser.get("/sign-in?with=password")));
    let refused = browser.sign_in_by_password("amy@council.example");
    assert!(refused.text().contains("Only admins can sign in with a password"), "{}", refused.text());
    assert!(!browser.is_signed_in());
    let unknown = browser.sign_in_by_password("nobody@council.example");
    assert!(unknown.text().contains("Enter a correct email address and password"), "{}", unknown.text());
    assert_eq!(browser.sign_in_by_password("root@council.example").status, 303);
    assert!(browser.is_signed_in());
    for (email, works) in [("amy@council.example", false), ("root@council.example", true)] {
        let link = printed(&run(&["user", "reset", email], &setting.server.data));
        let path = &link[link.find("/set-password/").unwrap()..];
        let mut browser = setting.browser();
        assert_eq!(has_password_form(&browser.get(path)), works, "{email}");
        browser.ask("POST", path, b"password=another+long+password");
        assert_eq!(browser.is_signed_in(), works, "{email}");
    }
    assert!(setting.comes_in(&json!({})));
}

#[test]
fn whoever_comes_in_so_is_asked_for_no_second_factor_where_one_is_required() {
    let setting = Setting::by_default_with(&["--oidc-allow-domain", "council.example"]);
    assert!(setting.comes_in(&json!({})), "without a password");
    let bob = json!({"sub": "bob-1", "email": "bob@council.example"});
    setting.add("bob@council.example", "manager");
    let mut browser = setting.browser();
    let halfway = browser.sign_in_by_password("bob@council.example");
    assert_eq!(halfway.header("location"), Some("/sign-in/set-up"), "after the password there is one");
    assert!(!browser.is_signed_in());
    assert_eq!(setting.sign_in(&mut browser, &bob, Signed::Rightly).status, 303);
    assert!(browser.is_signed_in());
    assert!(!browser.cookies.contains_key("__Host-counterfoil-sign-in"), "the sign-in half-way is given up");
    let mut app = crate::server::Browser::new(setting.server.at);
    app.give_password("bob@council.example");
    app.set_up_app();
    assert!(!browser.is_signed_in(), "that ends the sessions before");
    assert!(setting.comes_in(&bob), "nor is somebody who has an app");
    let mut again = setting.browser();
    let halfway = again.sign_in_by_password("bob@council.example");
    assert_eq!(halfway.header("location"), Some("/sign-in/code"), "a password is not enough for all that");
    assert!(!again.is_signed_in());
}

#[test]
fn the_account_of_who_has_no_password_offers_nothing_that_needs_one() {
    let setting = Setting::by_default_with(&[
        "--oidc-only",
        "--oidc-allow-domain",
        "council.example",
        "--oidc-name",
        "Sign in with Moss",
    ]);
    setting.add("amy@council.example", "viewer");
    setting.add("root@council.example", "admin");
    let bob = json!({"sub": "bob-1", "email": "bob@council.example"});
    // The one has a password from before, which is good for nothing now.
    for claims in [json!({}), bob] {
        let mut browser = setting.browser();
        assert_eq!(setting.sign_in(&mut browser, &claims, Signed::Rightly).status, 303);
        let page = browser.get("/account").text();
        assert!(page.contains("You sign in with Moss."), "{page}");
        for absent in ["/account/password", "/account/second-factor", "/account/recovery-codes", "your password"] {
            assert!(!page.contains(absent), "{absent}: {page}");
        }
        assert!(page.contains("/account/sessions"), "{page}");
        for path in ["/account/password", "/account/second-factor", "/account/recovery-codes"] {
            for method in ["GET", "POST"] {
                let body = format!("password={PASSWORD}&new-password=another+long+password&code=123456");
                let answer = browser.ask(method, path, body.as_bytes());
                assert_eq!((answer.status, answer.header("location")), (303, Some("/account")), "{method} {path}");
            }
        }
    }
    let mut browser = setting.browser();
    let root = json!({"sub": "root-1", "email": "root@council.example"});
    assert_eq!(setting.sign_in(&mut browser, &root, Signed::Rightly).status, 303);
    let page = browser.get("/account").text();
    assert!(page.contains("/account/password") && page.contains("/account/second-factor"), "{page}");
    assert_eq!(browser.get("/account/password").status, 200);
}

#[test]
fn a_search_that_was_typed_before_is_done_after_and_stands_in_no_address() {
    let setting = Setting::with(&["--oidc-allow-domain", "council.example"]);
    let carried = |typed: &str| {
        let mut browser = setting.browser();
        let page = browser.ask("POST", "/search", format!("q={typed}").as_bytes()).text();
        let link = page.split("href=\"").find(|rest| rest.starts_with("/sign-in/oidc")).unwrap();
        let link = link.split('"').next().unwrap().to_owned();
        let to = browser.get(&link).header("location").unwrap().to_owned();
        let code = setting.provider.code(&to, &json!({}), Signed::Rightly);
        let next = browser.get(&back(&to, &code)).header("location").unwrap().to_owned();
        let found = browser.get(&next).header("location").unwrap().to_owned();
        for address in [&link, &to, &next] {
            assert!(!address.contains("900123") && !address.contains("HB-7"), "{address}");
        }
        (browser, next, found)
    };
    assert_eq!(carried("HB-7").2, "/receipts?q=HB-7");
    let (mut browser, next, found) = carried("07700+900123");
    assert!(found.starts_with("/search/") && !found.contains("900123"), "{found}");
    assert!(browser.get(&found).text().contains("07700 900123"));
    assert!(next.starts_with("/search?carried="), "{next}");
    assert_eq!(browser.get(&format!("{next}A")).status, 404, "it is what it was when it was made, or nothing");
    assert_eq!(setting.browser().get(&next).header("location").map(|to| to.starts_with("/sign-in?")), Some(true));
    let long = format!("0{}", "7".repeat(1000));
    assert_eq!(setting.browser().ask("POST", "/search", format!("q={long}").as_bytes()).status, 200);
}

#[test]
fn where_it_is_not_set_up_there_is_no_such_page() {
    let server = Server::start();
    let mut browser = Browser { at: server.at, cookies: BTreeMap::new(), more: String::new() };
    for path in ["/sign-in/oidc", "/sign-in/oidc/callback?code=1&state=2"] {
        assert_eq!(browser.get(path).status, 404, "{path}");
    }
    assert!(!browser.get("/sign-in").text().contains("oidc"));
    assert!(!browser.get("/cookies").text().contains("counterfoil-single-sign-on"));
}

#[test]
fn over_an_unsafe_connection_one_is_not_sent_to_the_provider() {
    let setting = Setting::with(&[]);
    let asked = b"GET /sign-in/oidc HTTP/1.1\r\nHost: counterfoil.example\r\nConnection: close\r\n\r\n";
    let answer = exchange(setting.server.at, asked);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/sign-in")));
}

#[test]
fn settings_that_do_not_fit_together_are_refused_at_the_start() {
    let folder = folder();
    let secret = folder.path().join("secret");
    fs::write(&secret, SECRET).unwrap();
    let whole = [
        ("--public-url", "https://counterfoil.example"),
        ("--oidc-issuer", "https://a.example"),
        ("--oidc-client-id", CLIENT),
        ("--oidc-client-secret-file", secret.to_str().unwrap()),
    ];
    // With this flag left out, or with another value.
    let said = |name: &str, value: Option<&str>| {
        let kept = whole.iter().filter(|(flag, _)| *flag != name).flat_map(|(flag, value)| [*flag, *value]);
        let done = std::process::Command::new(BINARY)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("store"))
            .args(kept)
            .args(value.iter().flat_map(|value| [name, value]))
            .output()
            .unwrap();
        assert!(!done.status.success());
        String::from_utf8(done.stderr).unwrap()
    };
    for (name, _) in whole {
        assert!(said(name, None).contains(name), "{name}");
    }
    for (name, value, words) in [
        ("--public-url", "http://counterfoil.example", "single sign-on needs an https address"),
        ("--oidc-issuer", "http://a.example", "is not https"),
        ("--oidc-issuer", "https://a.example?b", "has a part that it may not have"),
        ("--oidc-group", "staff=boss", "a role is"),
        ("--oidc-allow-domain", "@council.example", "after the @"),
    ] {
        let said = said(name, Some(value));
        assert!(said.contains(words), "{name}: {said}");
    }
}
