//! How long a session goes on, and what is told in it.

use super::*;
use crate::clock::SECOND;

const NOW: i64 = 1_795_000_000_000_000;

async fn visitors_and_person(folder: &std::path::Path) -> (Visitors, i64) {
    let store = Store::serve(folder, NOW).unwrap();
    let visitors = Visitors::new(store.clone(), RequiredOf::Only(Vec::new()));
    let hash = visitors.passwords.hash("three random words", "a@example.gov.uk").await.unwrap();
    let email = "a@example.gov.uk".to_owned();
    let person = store.add_person(email, Role::Caseworker, Services::All, Some(hash), By::itself(), NOW).await;
    let person = person.unwrap();
    (visitors, person)
}

async fn session(visitors: &Visitors) -> HeaderMap {
    let password = "three random words";
    let entered = visitors.sign_in("A@example.gov.uk", password, &HeaderMap::new(), "", NOW).await.ok().unwrap();
    let Entered::SignedIn(session) = entered else { panic!("there is no second step") };
    HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&session.cookie()).unwrap())])
}

#[tokio::test]
async fn a_session_ends_after_half_an_hour_without_use() {
    let folder = tempfile::tempdir().unwrap();
    let (visitors, _) = visitors_and_person(folder.path()).await;
    let headers = session(&visitors).await;
    assert!(visitors.recognise(&headers, "", NOW + IDLE - SECOND).await.is_ok());
    assert!(visitors.recognise(&headers, "", NOW + 2 * IDLE - 2 * SECOND).await.is_ok(), "the use before counts");
    let long_after = NOW + 3 * IDLE - 2 * SECOND;
    assert!(matches!(visitors.recognise(&headers, "", long_after).await, Err(NotSignedIn::NoSession)));
}

#[tokio::test]
async fn a_session_ends_after_eight_hours_of_use() {
    let folder = tempfile::tempdir().unwrap();
    let (visitors, _) = visitors_and_person(folder.path()).await;
    let headers = session(&visitors).await;
    for use_at in (NOW..NOW + ABSOLUTE).step_by(usize::try_from(IDLE / 2).unwrap()) {
        assert!(visitors.recognise(&headers, "", use_at).await.is_ok());
    }
    assert!(visitors.recognise(&headers, "", NOW + ABSOLUTE - 1).await.is_ok());
    assert!(visitors.recognise(&headers, "", NOW + ABSOLUTE).await.is_err());
}

#[tokio::test]
async fn a_session_ends_when_the_clock_is_set_back_by_more_than_a_little() {
    let folder = tempfile::tempdir().unwrap();
    let (visitors, _) = visitors_and_person(folder.path()).await;
    let headers = session(&visitors).await;
    assert!(visitors.recognise(&headers, "", NOW - MINUTE).await.is_ok());
    assert!(visitors.recognise(&headers, "", NOW - MINUTE - 1).await.is_err());
}

#[tokio::test]
async fn a_one_time_link_works_once_and_until_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    let (visitors, person) = visitors_and_person(folder.path()).await;
    let (link, expires) = (Secret::random().unwrap(), NOW + 60 * MINUTE);
    visitors.store.add_one_time_link(person, link.bytes(), expires, By::itself(), NOW).await.unwrap();
    let link = link.text();
    let owned = async |now| visitors.link_owner(&link, now).await.unwrap().is_some();
    assert!(owned(expires - 1).await);
    assert!(!owned(expires).await);
    let set = async |now| visitors.set_password(&link, "another good password", &HeaderMap::new(), "", now).await;
    assert!(set(expires).await.unwrap().unwrap().is_none(), "too late");
    assert!(set(NOW).await.unwrap().unwrap().is_some());
    assert!(set(NOW).await.unwrap().unwrap().is_none(), "it was used");
}

#[tokio::test]
async fn a_try_that_found_no_place_counts_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let (visitors, _) = visitors_and_person(folder.path()).await;
    let tried = async || visitors.sign_in("a@example.gov.uk", "wrong", &HeaderMap::new(), "", NOW).await.err();
    let full: Vec<_> = std::iter::from_fn(|| visitors.passwords.place(false)).collect();
    for _ in 0..9 {
        assert!(matches!(tried().await, Some(SignInRefused::Store(StoreError::Full))));
    }
    drop(full);
    assert!(matches!(tried().await, Some(SignInRefused::Wrong)));
    session(&visitors).await;
}

#[tokio::test]
async fn a_session_that_was_found_too_old_does_not_live_again_when_the_clock_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (visitors, _) = visitors_and_person(folder.path()).await;
    let headers = session(&visitors).await;
    assert!(visitors.look(&headers, "", NOW + IDLE).await.is_err());
    assert!(visitors.recognise(&headers, "", NOW + MINUTE).await.is_err());
    let headers = session(&visitors).await;
    visitors.store.tidy(NOW + IDLE, NOW - MINUTE, NOW + 1, NOW).await.unwrap();
    assert!(visitors.recognise(&headers, "", NOW + MINUTE).await.is_err(), "nobody looked for it");
}

#[tokio::test]
async fn a_look_is_no_use_and_says_how_long_the_session_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (visitors, _) = visitors_and_person(folder.path()).await;
    let headers = session(&visitors).await;
    let left = async |now| visitors.look(&headers, "", now).await.map(|who| who.left()).unwrap();
    let at = NOW + IDLE - MINUTE;
    assert_eq!(left(at).await, Left { seconds: 60, extends: true });
    assert_eq!(left(at).await, Left { seconds: 60, extends: true });
    let used = visitors.recognise(&headers, "", at).await.unwrap();
    assert_eq!(used.left(), Left { seconds: 1800, extends: true });
    for use_at in (at..NOW + ABSOLUTE - 5 * MINUTE).step_by(usize::try_from(IDLE / 2).unwrap()) {
        assert!(visitors.recognise(&headers, "", use_at).await.is_ok());
    }
    assert_eq!(left(NOW + ABSOLUTE - 5 * MINUTE).await, Left { seconds: 300, extends: false });
}

#[tokio::test]
async fn the_sign_in_before_is_told_with_what_failed_since_until_it_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let (visitors, _) = visitors_and_person(folder.path()).await;
    let sign_in = async |password: &str, last: u8, now| {
        let from = format!("192.0.2.{last}");
        let entered = visitors.sign_in("a@example.gov.uk", password, &HeaderMap::new(), &from, now).await.ok()?;
        let Entered::SignedIn(session) = entered else { panic!("there is no second step") };
        Some(HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&session.cookie()).unwrap())]))
    };
    let before = async |headers| visitors.look(&headers, "", NOW + 3).await.unwrap().sign_in_before().cloned();
    let first = sign_in("three random words", 1, NOW).await.unwrap();
    assert_eq!(before(first).await, None);
    for _ in 0..2 {
        assert!(sign_in("another password", 9, NOW + 1).await.is_none());
    }
    // That is written down in the background.
    while visitors.store.person("a@example.gov.uk").await.unwrap().unwrap().failed_since < 2 {
        tokio::task::yield_now().await;
    }
    let second = sign_in("three random words", 2, NOW + 2).await.unwrap();
    let told = SignInBefore { at: NOW, source: Some("192.0.2.1".into()), failed_since: 2 };
    assert_eq!(before(second.clone()).await, Some(told));
    visitors.told_of_sign_in_before(&second).await;
    assert_eq!(before(second).await, None);
    let third = sign_in("three random words", 3, NOW + 3).await.unwrap();
    let told = SignInBefore { at: NOW + 2, source: Some("192.0.2.2".into()), failed_since: 0 };
    assert_eq!(before(third).await, Some(told));
}
