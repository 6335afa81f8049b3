//! What is taken in the second step, how often and for how long.

use http::HeaderValue;
use http::header::COOKIE;

use super::*;
use crate::clock::{MINUTE, SECOND};
use crate::store::{Services, Store};

const NOW: i64 = 1_795_000_000_000_000;
const EMAIL: &str = "a@example.gov.uk";

async fn visitors(folder: &std::path::Path) -> Visitors {
    let store = Store::serve(folder, NOW).unwrap();
    let visitors = Visitors::new(store.clone(), RequiredOf::All);
    let hash = visitors.passwords.hash("three random words", EMAIL).await.unwrap();
    store.add_person(EMAIL.into(), Role::Caseworker, Services::All, Some(hash), By::itself(), NOW).await.unwrap();
    visitors
}

/// What a browser sends after the password.
async fn half(visitors: &Visitors, now: i64) -> HeaderMap {
    let entered = visitors.sign_in(EMAIL, "three random words", &HeaderMap::new(), "", now).await.ok().unwrap();
    let Entered::Half(half, _) = entered else { panic!("there is a second step") };
    HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&half.cookie()).unwrap())])
}

async fn set_up(visitors: &Visitors) -> Vec<u8> {
    let headers = half(visitors, NOW).await;
    let who = visitors.half_way(&headers, "", NOW).await.unwrap().unwrap();
    assert_eq!(who.step(), Step::SetUp);
    let secret = visitors.store.offered_secret(who.secret.bytes());
    let code = code(&secret, NOW);
    assert!(visitors.sign_in_by_set_up(&who, &code, &headers, NOW).await.is_ok());
    secret
}

fn code(secret: &[u8], now: i64) -> String {
    let seconds = u64::try_from(now / SECOND).unwrap();
    totp_rs::Builder::new().with_secret(secret.to_vec()).build().unwrap().generate(seconds).to_string()
}

async fn given(visitors: &Visitors, code: &str, now: i64) -> Result<Session, NotTaken> {
    let headers = half(visitors, now).await;
    let who = visitors.half_way(&headers, "", now).await.unwrap().unwrap();
    visitors.sign_in_by_code(&who, code, &headers, now).await
}

#[tokio::test]
async fn a_code_is_taken_once_and_none_from_before_it_after_that() {
    let folder = tempfile::tempdir().unwrap();
    let visitors = visitors(folder.path()).await;
    let secret = set_up(&visitors).await;
    let own = code(&secret, NOW);
    assert!(matches!(given(&visitors, &own, NOW).await, Err(NotTaken::Used)), "it showed that the app works");
    let later = NOW + 60 * SECOND;
    let (before, now, next) =
        (code(&secret, later - 30 * SECOND), code(&secret, later), code(&secret, later + 30 * SECOND));
    assert!(given(&visitors, &now, later).await.is_ok());
    assert!(matches!(given(&visitors, &now, later).await, Err(NotTaken::Used)));
    assert!(matches!(given(&visitors, &before, later).await, Err(NotTaken::Used)));
    assert!(given(&visitors, &next, later).await.is_ok());
    assert!(matches!(given(&visitors, &next, later + 90 * SECOND).await, Err(NotTaken::Code)));
}

#[tokio::test]
async fn there_are_ten_minutes_for_the_second_step() {
    let folder = tempfile::tempdir().unwrap();
    let visitors = visitors(folder.path()).await;
    let headers = half(&visitors, NOW).await;
    let is_open = async |now| visitors.half_way(&headers, "", now).await.unwrap().is_some();
    assert!(is_open(NOW + 10 * MINUTE - 1).await);
    assert!(!is_open(NOW + 10 * MINUTE).await);
    assert!(!is_open(NOW - MINUTE).await, "the clock was set back");
    let who = visitors.half_way(&headers, "", NOW).await.unwrap().unwrap();
    let late = NOW + 10 * MINUTE;
    let code = code(&visitors.store.offered_secret(who.secret.bytes()), late);
    let done = visitors.sign_in_by_set_up(&who, &code, &headers, late).await;
    assert!(matches!(done, Err(NotTaken::TooLate)));
}

#[tokio::test]
async fn of_two_who_give_the_same_code_at_once_one_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let visitors = visitors(folder.path()).await;
    let secret = set_up(&visitors).await;
    let later = NOW + 60 * SECOND;
    let code = code(&secret, later);
    let (one, other) = tokio::join!(given(&visitors, &code, later), given(&visitors, &code, later));
    assert_eq!([one.is_ok(), other.is_ok()].into_iter().filter(|taken| *taken).count(), 1);
}

#[tokio::test]
async fn after_four_wrong_codes_the_right_one_has_to_wait_and_the_password_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let visitors = visitors(folder.path()).await;
    let secret = set_up(&visitors).await;
    let later = NOW + 60 * SECOND;
    for _ in 0..4 {
        assert!(matches!(given(&visitors, "none", later).await, Err(NotTaken::Code)));
    }
    let right = code(&secret, later);
    assert!(matches!(given(&visitors, &right, later).await, Err(NotTaken::Wait(1))));
    let headers = half(&visitors, later).await;
    let who = visitors.half_way(&headers, "", later).await.unwrap().unwrap();
    let by_recovery_code = visitors.sign_in_by_recovery_code(&who, "none", &headers, later).await;
    assert!(matches!(by_recovery_code, Err(NotTaken::Wait(1))), "they are counted together");
    assert!(given(&visitors, &right, later + SECOND).await.is_ok());
}

#[test]
fn it_is_required_of_all_or_none_or_some_roles() {
    let of = |typed: &str| Role::ALL.map(|role| typed.parse::<RequiredOf>().unwrap().includes(role));
    assert_eq!(of("all"), [true; 4]);
    assert_eq!(of("none"), [false; 4]);
    assert_eq!(of("manager, admin"), [false, false, true, true]);
    for wrong in ["", "boss", "admin,", "none,admin", "All"] {
        assert!(wrong.parse::<RequiredOf>().is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn whoever_tries_codes_elsewhere_keeps_no_known_browser_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let visitors = visitors(folder.path()).await;
    let secret = set_up(&visitors).await;
    let known = Secret::random().unwrap();
    let person = visitors.store.person(EMAIL).await.unwrap().unwrap();
    visitors.store.know_browser(person.id, known.bytes(), None, NOW).await.unwrap();
    let later = NOW + 60 * SECOND;
    let mut headers = half(&visitors, later).await;
    let right = code(&secret, later);
    let who = async |headers: &HeaderMap| visitors.half_way(headers, "192.0.2.1", later).await.unwrap().unwrap();
    let attacker = who(&headers).await;
    while !matches!(visitors.sign_in_by_code(&attacker, "none", &headers, later).await, Err(NotTaken::Wait(_))) {}
    assert!(matches!(visitors.sign_in_by_code(&attacker, &right, &headers, later).await, Err(NotTaken::Wait(_))));
    let cookie = format!("__Host-counterfoil-browser={}", known.text());
    headers.append(COOKIE, HeaderValue::from_str(&cookie).unwrap());
    let owner = who(&headers).await;
    for _ in 0..4 {
        assert!(matches!(visitors.sign_in_by_code(&owner, "none", &headers, later).await, Err(NotTaken::Code)));
    }
    let waits = visitors.sign_in_by_code(&owner, &right, &headers, later).await;
    assert!(matches!(waits, Err(NotTaken::Wait(1))), "it has a count of its own");
    let later = later + SECOND;
    assert!(visitors.sign_in_by_code(&owner, &right, &headers, later).await.is_ok());
}
