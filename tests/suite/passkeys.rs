//! Passkeys over the socket, with an authenticator in software that says what it should not.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::pages::between;
use crate::server::{Answer, Browser, PASSWORD, Server, codes_on, printed, run};

const EMAIL: &str = "caseworker@example.gov.uk";
const VERIFIED: u8 = 5;

/// What an authenticator is asked on a page.
pub(crate) fn asked(page: &str, attribute: &str) -> Value {
    let text = between(page, &format!("{attribute}=\""), "\"").replace("&#34;", "\"").replace("&#38;", "&");
    serde_json::from_str(&text).unwrap()
}

pub(crate) struct Software {
    key: Arc<EcdsaKeyPair>,
    credential: String,
    origin: &'static str,
    flags: u8,
    count: u32,
}

pub(crate) type Form = Vec<(&'static str, String)>;

impl Software {
    pub(crate) fn new(credential: &str) -> Software {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Software {
            key: Arc::new(key),
            credential: credential.to_owned(),
            origin: "http://localhost",
            flags: VERIFIED,
            count: 0,
        }
    }

    /// The same authenticator at another address.
    pub(crate) fn at(&self, origin: &'static str) -> Software {
        Software { key: self.key.clone(), credential: self.credential.clone(), origin, ..*self }
    }

    fn client_data(&self, kind: &str, asked: &Value) -> Vec<u8> {
        let (challenge, origin) = (asked["challenge"].as_str().unwrap(), self.origin);
        format!(r#"{{"type":"webauthn.{kind}","challenge":"{challenge}","origin":"{origin}"}}"#).into_bytes()
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        [Sha256::digest("localhost").as_slice(), &[flags], &self.count.to_be_bytes()].concat()
    }

    fn makes(&self, asked: &Value) -> Form {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        let key = [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], x, &[0x22, 0x58, 32], y].concat();
        let length = u16::try_from(self.credential.len()).unwrap().to_be_bytes();
        let attested = [&[0; 16], length.as_slice(), self.credential.as_bytes(), &key].concat();
        let data = [self.data(self.flags | 64), attested].concat();
        vec![
            ("name", "Laptop".into()),
            ("user-handle", asked["user"]["id"].as_str().unwrap().to_owned()),
            ("credential", text(self.credential.as_bytes())),
            ("client-data", text(&self.client_data("create", asked))),
            ("authenticator-data", text(&data)),
        ]
    }

    pub(crate) fn shows(&self, asked: &Value) -> Form {
        let (client_data, data) = (self.client_data("get", asked), self.data(self.flags));
        let signed = [data.as_slice(), &Sha256::digest(&client_data)].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        vec![
            ("credential", text(self.credential.as_bytes())),
            ("client-data", text(&client_data)),
            ("authenticator-data", text(&data)),
            ("signature", text(signature.as_ref())),
        ]
    }
}

fn text(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn post(browser: &mut Browser, path: &str, form: &Form) -> Answer {
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post(path, &form)
}

pub(crate) fn adds(browser: &mut Browser, software: &Software) {
    let page = browser.post("/account/passkeys", &[("name", "Laptop"), ("password", PASSWORD)]).text();
    let answer = post(browser, "/account/passkeys", &software.makes(&asked(&page, "data-new-passkey")));
    assert_eq!(answer.header("location"), Some("/account"), "{}", answer.text());
}

/// Tries to sign in by a passkey alone.
fn alone(server: &Server, software: &Software) -> (Browser, Answer) {
    let mut browser = Browser::new(server.at);
    let page = browser.get("/sign-in/passkey?next=%2Fmessages").text();
    let mut form = software.shows(&asked(&page, "data-passkey"));
    form.push(("next", "/messages".into()));
    let answer = post(&mut browser, "/sign-in/passkey", &form);
    (browser, answer)
}

fn sees_receipts(browser: &Browser) -> bool {
    browser.clone().get("/receipts").status == 200
}

fn record(server: &Server) -> String {
    printed(&run(&["audit", "list"], &server.data))
}

#[test]
fn a_passkey_stands_for_the_code_beside_an_app_and_signs_in_alone() {
    let server = Server::start_by_default();
    server.add_person("caseworker");
    let mut browser = Browser::new(server.at);
    assert_eq!(browser.give_password(EMAIL), "/sign-in/set-up");
    browser.set_up_app();
    let software = Software::new("laptop");
    adds(&mut browser, &software);
    assert!(browser.get("/account").text().contains("Laptop"));

    let mut second = Browser::new(server.at);
    assert_eq!(second.give_password(EMAIL), "/sign-in/code");
    let page = second.get("/sign-in/code").text();
    assert!(page.contains("6-digit code") && page.contains("Use a passkey"));
    let form = software.shows(&asked(&page, "data-passkey"));
    let answer = post(&mut second, "/sign-in/code/passkey", &form);
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(sees_receipts(&second) && second.half.is_none());

    let (third, answer) = alone(&server, &software);
    assert_eq!(answer.header("location"), Some("/messages"), "{}", answer.text());
    assert!(sees_receipts(&third) && sees_receipts(&browser), "the others go on");
    let cookies: Vec<&str> = answer.headers("set-cookie").collect();
    assert!(cookies.iter().any(|cookie| cookie.starts_with("__Host-counterfoil-browser=")), "the browser is known");
}

#[test]
fn a_passkey_is_set_up_in_place_of_an_app_and_recovery_codes_stand_in_for_it() {
    let server = Server::start_by_default();
    server.add_person("caseworker");
    let mut browser = Browser::new(server.at);
    assert_eq!(browser.give_password(EMAIL), "/sign-in/set-up");
    let page = browser.get("/sign-in/set-up?next=%2Fmessages").text();
    let software = Software::new("phone");
    let mut made = software.makes(&asked(&page, "data-new-passkey"));
    made.push(("next", "/messages".into()));
    let mut other = Browser::new(server.at);
    assert_eq!(other.give_password(EMAIL), "/sign-in/set-up");
    let stolen = post(&mut other, "/sign-in/set-up/passkey", &made).text();
    assert!(stolen.contains("<title>Error: ") && !sees_receipts(&other), "for another browser: {stolen}");
    let answer = post(&mut browser, "/sign-in/set-up/passkey", &made);
    let codes = codes_on(&answer.text());
    assert!(codes.len() == 10 && answer.text().contains("href=\"/messages\""), "{}", answer.text());
    assert!(sees_receipts(&browser) && browser.half.is_none());
    assert_eq!(
        post(&mut other, "/sign-in/set-up/passkey", &made).header("location"),
        Some("/sign-in?next=%2Fmessages")
    );

    assert_eq!(other.give_password(EMAIL), "/sign-in/code");
    assert!(other.get("/sign-in/code").text().contains("Use a recovery code"));
    assert_eq!(other.post("/sign-in/recovery-code", &[("code", &codes[0])]).status, 303);
    assert!(sees_receipts(&other));
    assert!(browser.get("/account").text().contains("You have 9 recovery codes left"));
    let new = codes_on(&browser.post("/account/recovery-codes", &[("password", PASSWORD)]).text());
    assert_eq!(new.len(), 10);
    assert!(sees_receipts(&alone(&server, &software).0), "and it signs in alone");
    assert!(record(&server).contains("added_passkey"));
}

#[test]
fn what_an_authenticator_should_not_say_signs_nobody_in_and_is_said_in_plain_words() {
    let server = Server::start();
    let mut hers = server.signed_in("caseworker");
    let software = Software::new("laptop");
    adds(&mut hers, &software);
    for (wrong, said) in [
        (Software { origin: "https://evil.example", ..Software::new("laptop") }, "Your passkey was not accepted"),
        (Software::new("laptop"), "Your passkey was not accepted"),
        (Software::new("another"), "This passkey is not known here"),
    ] {
        let (browser, answer) = alone(&server, &wrong);
        let page = answer.text();
        assert!(page.contains("<title>Error: ") && page.contains("role=\"alert\"") && page.contains(said), "{page}");
        assert!(!sees_receipts(&browser) && browser.cookie.is_none());
    }
    let unchecked = Software { flags: 1, ..software };
    let (browser, answer) = alone(&server, &unchecked);
    assert!(answer.text().contains("has to check that it is you") && !sees_receipts(&browser));

    let mut half = Browser::new(server.at);
    assert_eq!(half.give_password(EMAIL), "/sign-in/code");
    let page = half.get("/sign-in/code").text();
    assert!(!page.contains("6-digit code"), "there is no app");
    for empty in [vec![], vec![("credential", "!".to_owned())]] {
        let answer = post(&mut half, "/sign-in/code/passkey", &empty);
        assert!(answer.text().contains("Your passkey was not accepted") && !sees_receipts(&half));
    }
    assert_eq!(half.post("/sign-in/set-up", &[("code", "123456")]).header("location"), Some("/sign-in/code"));
    assert_eq!(half.post("/sign-in/recovery-code", &[("code", "AAAA")]).status, 200);
    assert!(!sees_receipts(&half), "no app can be set up beside a passkey before it was used");
}

#[test]
fn an_answer_is_taken_once_and_from_the_browser_that_was_asked() {
    let server = Server::start();
    let software = Software::new("laptop");
    adds(&mut server.signed_in("caseworker"), &software);
    let mut browser = Browser::new(server.at);
    let form = software.shows(&asked(&browser.get("/sign-in/passkey").text(), "data-passkey"));
    let held = browser.clone();
    for mut thief in [Browser::new(server.at), {
        let mut other = Browser::new(server.at);
        other.get("/sign-in/passkey");
        other
    }] {
        assert!(post(&mut thief, "/sign-in/passkey", &form).text().contains("That took too long"));
        assert!(!sees_receipts(&thief));
    }
    assert_eq!(post(&mut browser, "/sign-in/passkey", &form).status, 303);
    let mut again = held;
    assert!(post(&mut again, "/sign-in/passkey", &form).text().contains("That took too long"));
    assert!(!sees_receipts(&again));
}

#[test]
fn passkeys_are_added_and_removed_by_who_knows_the_password_and_nobody_elses() {
    let server = Server::start();
    let mut hers = server.signed_in("caseworker");
    let mut his = server.signed_in("manager");
    let software = Software::new("laptop");
    for (form, said) in [
        ([("name", "Laptop"), ("password", "not my password")], "Enter your correct password"),
        ([("name", "Laptop"), ("password", "")], "Enter your password"),
        ([("name", ""), ("password", PASSWORD)], "Enter a name of up to 60 characters"),
    ] {
        let page = hers.post("/account/passkeys", &form).text();
        assert!(page.contains(said) && !page.contains("data-new-passkey"), "{page}");
    }
    let page = his.post("/account/passkeys", &[("name", "Laptop"), ("password", PASSWORD)]).text();
    let stolen = software.makes(&asked(&page, "data-new-passkey"));
    assert!(post(&mut hers, "/account/passkeys", &stolen).text().contains("That took too long"));
    adds(&mut hers, &software);
    let path = between(&hers.get("/account").text(), "href=\"/account/passkeys/", "\"").to_owned();
    let path = format!("/account/passkeys/{path}");
    assert_eq!(his.get(&path).status, 404);
    assert_eq!(his.post(&path, &[("remove", "yes"), ("password", PASSWORD)]).status, 404);
    assert_eq!(hers.post(&path, &[("name", "Phone")]).status, 303);
    assert!(hers.get("/account").text().contains("Phone"));
    assert!(
        hers.post(&path, &[("remove", "yes"), ("password", "wrong")]).text().contains("Enter your correct password")
    );
    assert!(alone(&server, &software).1.status == 303);
    assert_eq!(hers.post(&path, &[("remove", "yes"), ("password", PASSWORD)]).status, 303);
    assert!(sees_receipts(&hers), "nothing else ends");
    assert!(!sees_receipts(&alone(&server, &software).0));
    let record = record(&server);
    for did in ["added_passkey", "used_passkey", "removed_passkey"] {
        assert_eq!(record.matches(did).count(), 1, "{did}: {record}");
    }
}

#[test]
fn a_reset_takes_the_passkeys_too() {
    let server = Server::start_by_default();
    server.add_person("caseworker");
    let mut browser = Browser::new(server.at);
    browser.give_password(EMAIL);
    browser.set_up_app();
    let software = Software::new("laptop");
    adds(&mut browser, &software);
    assert!(run(&["user", "reset-second-factor", EMAIL], &server.data).status.success());
    assert!(!sees_receipts(&browser));
    assert!(!sees_receipts(&alone(&server, &software).0));
    assert_eq!(Browser::new(server.at).give_password(EMAIL), "/sign-in/set-up");
}

#[test]
fn passkeys_are_offered_at_the_address_that_they_are_made_for() {
    let public = "https://callbacks.example.gov.uk";
    let server = Server::start_with(&["--public-url", public]);
    let mut browser = server.signed_in("caseworker");
    for page in
        [browser.get("/account"), browser.get("/account/passkeys"), Browser::new(server.at).get("/sign-in/passkey")]
    {
        let page = page.text();
        assert!(page.contains("Passkeys do not work at this address") && !page.contains("data-passkey"), "{page}");
    }
    assert!(!Browser::new(server.at).get("/sign-in").text().contains("Sign in with a passkey"));
    let server = Server::start();
    assert!(Browser::new(server.at).get("/sign-in").text().contains("Sign in with a passkey"));
}
