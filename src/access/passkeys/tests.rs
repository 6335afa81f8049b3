//! Who is let in by a passkey, and when not.

use http::HeaderValue;
use http::header::COOKIE;

use super::*;
use crate::access::webauthn::software::{PRESENT, Software, VERIFIED};
use crate::access::{Entered, RequiredOf, Step};
use crate::clock::SECOND;
use crate::store::{By, Role, Services, Store};

const NOW: i64 = 1_795_000_000_000_000;
const HERS: &str = "a@example.gov.uk";
const HIS: &str = "b@example.gov.uk";
const PASSWORD: &str = "three random words";

struct House {
    visitors: Visitors,
    site: RelyingParty,
    _folder: tempfile::TempDir,
}

fn with_cookie(cookie: &str) -> HeaderMap {
    HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookie).unwrap())])
}

fn software(credential: &str) -> Software {
    Software::new("http://localhost:8080", "localhost", credential.as_bytes())
}

impl House {
    async fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        let visitors = Visitors::new(store.clone(), RequiredOf::Only(Vec::new()));
        for email in [HERS, HIS] {
            let hash = visitors.passwords.hash(PASSWORD, email).await.unwrap();
            let added = store.add_person(email.into(), Role::Caseworker, Services::All, Some(hash), By::itself(), NOW);
            added.await.unwrap();
        }
        House { visitors, site: RelyingParty::on_this_machine(), _folder: folder }
    }

    async fn given_password(&self, email: &str, now: i64) -> Entered {
        self.visitors.sign_in(email, PASSWORD, &HeaderMap::new(), "", now).await.ok().unwrap()
    }

    /// Signs in, by the password alone, and adds a passkey.
    async fn adds(&self, email: &str, software: &mut Software) {
        let Entered::SignedIn(session) = self.given_password(email, NOW).await else { panic!("no second step yet") };
        let headers = with_cookie(&session.cookie());
        let who = self.visitors.recognise(&headers, "", NOW).await.unwrap();
        let asked = self.visitors.ask_for_passkey(&who, "Laptop", PASSWORD, &headers, NOW).await.unwrap();
        software.user_handle = Some(asked.user_handle.clone());
        let made = ("Laptop", asked.user_handle, &software.makes(&asked.challenge));
        self.visitors.add_passkey(&who, &self.site, made, &headers, NOW).await.unwrap();
    }

    async fn half_way(&self, email: &str, now: i64) -> (HalfWay, HeaderMap) {
        let Entered::Half(half, Step::Code) = self.given_password(email, now).await else { panic!("a second step") };
        let headers = with_cookie(&half.cookie());
        (self.visitors.half_way(&headers, "", now).await.unwrap().unwrap(), headers)
    }

    /// After the password.
    async fn second(&self, email: &str, software: &Software, now: i64) -> Result<Session, NotTaken> {
        let (who, headers) = self.half_way(email, now).await;
        let asked = self.visitors.ask_half_way(&who, now).unwrap();
        let shown = software.shows(&asked.challenge);
        self.visitors.sign_in_by_passkey(&who, &self.site, &shown, &headers, now).await
    }

    /// In its place.
    async fn alone(&self, software: &Software, now: i64) -> Result<Session, NotTaken> {
        let (asked, half) = self.visitors.ask_anybody(&HeaderMap::new(), now).unwrap();
        let shown = software.shows(&asked.challenge);
        self.visitors.sign_in_by_passkey_alone(&self.site, &shown, &with_cookie(&half.cookie()), "", now).await
    }

    async fn whose(&self, session: Session) -> (String, bool) {
        let who = self.visitors.recognise(&with_cookie(&session.cookie()), "", NOW).await.unwrap();
        (who.email().to_owned(), who.with_second_factor)
    }
}

fn refused<T>(taken: Result<T, NotTaken>) -> Option<PasskeyRefused> {
    if let NotTaken::Passkey(refused) = taken.err()? { Some(refused) } else { None }
}

#[tokio::test]
async fn a_passkey_is_the_second_step_and_stands_for_both_where_it_has_checked_its_owner() {
    let (house, mut hers) = (House::new().await, software("hers"));
    house.adds(HERS, &mut hers).await;
    let unchecked = Software { flags: PRESENT, ..hers.clone() };
    let session = house.second(HERS, &unchecked, NOW).await.unwrap();
    assert_eq!(house.whose(session).await, (HERS.into(), true));
    assert_eq!(refused(house.alone(&unchecked, NOW).await), Some(PasskeyRefused::NotVerified));
    let session = house.alone(&hers, NOW).await.unwrap();
    assert_eq!(house.whose(session).await, (HERS.into(), true));
    assert_eq!(refused(house.alone(&software("nobody's"), NOW).await), Some(PasskeyRefused::Unknown));
}

#[tokio::test]
async fn a_passkey_is_enough_where_a_second_factor_is_required() {
    let (mut house, mut hers) = (House::new().await, software("hers"));
    house.adds(HERS, &mut hers).await;
    house.visitors = Visitors::new(house.visitors.store.clone(), RequiredOf::All);
    let session = house.second(HERS, &hers, NOW).await.unwrap();
    assert_eq!(house.whose(session).await, (HERS.into(), true));
    let session = house.alone(&hers, NOW).await.unwrap();
    assert_eq!(house.whose(session).await, (HERS.into(), true));
    let without = house.given_password(HIS, NOW).await;
    assert!(matches!(without, Entered::Half(_, Step::SetUp)));
}

#[tokio::test]
async fn a_passkey_of_one_account_never_opens_another() {
    let (house, mut hers, mut his) = (House::new().await, software("hers"), software("his"));
    house.adds(HERS, &mut hers).await;
    house.adds(HIS, &mut his).await;
    assert_eq!(refused(house.second(HIS, &hers, NOW).await), Some(PasskeyRefused::Unknown));
    let as_his = Software { user_handle: his.user_handle.clone(), ..hers.clone() };
    assert_eq!(refused(house.alone(&as_his, NOW).await), Some(PasskeyRefused::Unknown), "whose handle it brings");
    let under_his_name = Software { credential: his.credential.clone(), user_handle: None, ..hers.clone() };
    assert_eq!(refused(house.second(HIS, &under_his_name, NOW).await), Some(PasskeyRefused::Wrong));
    assert_eq!(refused(house.alone(&under_his_name, NOW).await), Some(PasskeyRefused::Wrong));
    let person = house.visitors.store.person(HERS).await.unwrap().unwrap();
    house.visitors.store.set_disabled(person.id, true, By::itself(), NOW).await.unwrap();
    assert_eq!(refused(house.alone(&hers, NOW).await), Some(PasskeyRefused::Unknown), "the account is disabled");
}

#[tokio::test]
async fn a_challenge_is_answered_once_in_time_and_by_the_browser_that_it_was_made_for() {
    let (house, mut hers) = (House::new().await, software("hers"));
    house.adds(HERS, &mut hers).await;
    let (asked, half) = house.visitors.ask_anybody(&HeaderMap::new(), NOW).unwrap();
    let shown = hers.shows(&asked.challenge);
    let browser = with_cookie(&half.cookie());
    let given = async |headers: &HeaderMap, now| {
        refused(house.visitors.sign_in_by_passkey_alone(&house.site, &shown, headers, "192.0.2.1", now).await)
    };
    let (_, other) = house.visitors.ask_anybody(&HeaderMap::new(), NOW).unwrap();
    assert_eq!(given(&with_cookie(&other.cookie()), NOW).await, Some(PasskeyRefused::TooLate), "another browser");
    assert_eq!(given(&HeaderMap::new(), NOW).await, Some(PasskeyRefused::TooLate), "no browser that was asked");
    assert_eq!(given(&browser, NOW + OPEN).await, Some(PasskeyRefused::TooLate));
    let later = NOW + OPEN - SECOND;
    assert!(house.visitors.sign_in_by_passkey_alone(&house.site, &shown, &browser, "192.0.2.2", later).await.is_ok());
    let again = house.visitors.sign_in_by_passkey_alone(&house.site, &shown, &browser, "192.0.2.2", later).await;
    assert_eq!(refused(again), Some(PasskeyRefused::TooLate), "it was answered");
}

#[tokio::test]
async fn a_challenge_for_one_purpose_is_none_for_another() {
    let (house, mut hers) = (House::new().await, software("hers"));
    house.adds(HERS, &mut hers).await;
    let (who, headers) = house.half_way(HERS, NOW).await;
    let (for_both, _) = house.visitors.ask_anybody(&headers, NOW).unwrap();
    let shown = hers.shows(&for_both.challenge);
    let taken = house.visitors.sign_in_by_passkey(&who, &house.site, &shown, &headers, NOW).await;
    assert_eq!(refused(taken), Some(PasskeyRefused::TooLate));
    let for_second = house.visitors.ask_half_way(&who, NOW).unwrap();
    let shown = hers.shows(&for_second.challenge);
    let taken = house.visitors.sign_in_by_passkey_alone(&house.site, &shown, &headers, "", NOW).await;
    assert_eq!(refused(taken), Some(PasskeyRefused::TooLate));
}

#[tokio::test]
async fn a_count_that_does_not_grow_is_refused_and_none_at_all_is_taken() {
    let (house, mut hers, mut his) = (House::new().await, software("hers"), software("his"));
    (hers.count, hers.flags) = (5, VERIFIED);
    house.adds(HERS, &mut hers).await;
    let at = |count| Software { count, ..hers.clone() };
    assert_eq!(refused(house.alone(&at(5), NOW).await), Some(PasskeyRefused::WentBack));
    assert!(house.alone(&at(6), NOW).await.is_ok());
    assert_eq!(refused(house.second(HERS, &at(6), NOW).await), Some(PasskeyRefused::WentBack));
    assert_eq!(refused(house.alone(&at(0), NOW).await), Some(PasskeyRefused::WentBack));
    assert!(house.second(HERS, &at(9), NOW).await.is_ok());
    house.adds(HIS, &mut his).await;
    assert!(house.alone(&his, NOW).await.is_ok() && house.alone(&his, NOW).await.is_ok());
}

#[tokio::test]
async fn passkeys_that_fail_are_throttled_with_the_codes() {
    let (house, mut hers) = (House::new().await, software("hers"));
    house.adds(HERS, &mut hers).await;
    let wrong = Software { origin: "https://evil.example".into(), ..hers.clone() };
    for _ in 0..2 {
        assert_eq!(refused(house.second(HERS, &wrong, NOW).await), Some(PasskeyRefused::Wrong));
        assert_eq!(refused(house.alone(&wrong, NOW).await), Some(PasskeyRefused::Wrong));
    }
    assert!(matches!(house.alone(&hers, NOW).await, Err(NotTaken::Wait(1))));
    assert!(matches!(house.second(HERS, &hers, NOW).await, Err(NotTaken::Wait(1))));
}

#[tokio::test]
async fn one_passkey_is_in_one_account_and_is_added_by_who_knows_the_password() {
    let (house, mut hers) = (House::new().await, software("hers"));
    house.adds(HERS, &mut hers).await;
    let Entered::SignedIn(session) = house.given_password(HIS, NOW).await else { panic!("no second step") };
    let headers = with_cookie(&session.cookie());
    let who = house.visitors.recognise(&headers, "", NOW).await.unwrap();
    let ask =
        async |name: &str, password: &str| house.visitors.ask_for_passkey(&who, name, password, &headers, NOW).await;
    assert!(matches!(ask("Phone", "not my password").await, Err(NotTaken::Password)));
    for name in ["", "  ", "a\nb", &"x".repeat(61)] {
        assert_eq!(refused(ask(name, PASSWORD).await), Some(PasskeyRefused::Name));
    }
    let add = async |handle: Vec<u8>, made: &Creation| {
        refused(house.visitors.add_passkey(&who, &house.site, ("Phone", handle, made), &headers, NOW).await)
    };
    let asked = ask("Phone", PASSWORD).await.unwrap();
    let handle = asked.user_handle;
    assert_eq!(add(handle.clone(), &hers.makes(&asked.challenge)).await, Some(PasskeyRefused::Held));
    let asked = ask("Phone", PASSWORD).await.unwrap();
    let new = software("new").makes(&asked.challenge);
    assert_eq!(add(handle.clone(), &new).await, Some(PasskeyRefused::TooLate), "another handle than was offered");
    assert_eq!(add(asked.user_handle.clone(), &new).await, None);
    assert_eq!(add(asked.user_handle, &new).await, Some(PasskeyRefused::TooLate), "once");
}

#[tokio::test]
async fn whoever_was_signed_out_meanwhile_changes_no_passkey_and_makes_no_recovery_codes() {
    let (house, mut hers) = (House::new().await, software("hers"));
    house.adds(HERS, &mut hers).await;
    let session = house.alone(&hers, NOW).await.unwrap();
    let headers = with_cookie(&session.cookie());
    let who = house.visitors.recognise(&headers, "", NOW).await.unwrap();
    let asked = house.visitors.ask_for_passkey(&who, "Phone", PASSWORD, &headers, NOW).await.unwrap();
    let (kept, id) = (house.visitors.passkeys(&who).await.unwrap(), who.id);
    // Somebody has taken the session for a thief's, and signed out everywhere, while the request was on its way.
    house.visitors.store.end_sessions(id, By::itself(), NOW).await.unwrap();
    let made = ("Phone", asked.user_handle, &software("new").makes(&asked.challenge));
    let added = house.visitors.add_passkey(&who, &house.site, made, &headers, NOW).await;
    assert_eq!(refused(added), Some(PasskeyRefused::TooLate));
    let renamed = house.visitors.rename_passkey(&who, kept[0].id, "Other", &headers).await;
    assert!(matches!(renamed, Err(NotTaken::TooLate)));
    let removed = house.visitors.remove_passkey(&who, kept[0].id, PASSWORD, &headers, NOW).await;
    assert!(matches!(removed, Err(NotTaken::TooLate)));
    assert_eq!(house.visitors.passkeys(&who).await.unwrap(), kept);
    let renewed = house.visitors.renew_recovery_codes(&who, PASSWORD, &headers, NOW).await;
    assert!(matches!(renewed, Err(NotTaken::TooLate)));
    assert_eq!(house.visitors.store.recovery_codes(id).await.unwrap(), 0);
}
