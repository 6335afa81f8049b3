//! Who stays an admin, and what an admin sees.

use super::*;
use crate::store::{NewSecondFactor, Taken};

const NOW: i64 = 1_795_000_000_000_000;

/// Somebody who can sign in.
async fn add(store: &Store, email: &str, role: Role) -> (i64, By) {
    let password = Some("a hash".into());
    let id = store.add_person(email.into(), role, Services::All, password, By::itself(), NOW).await.unwrap();
    (id, By { person: Some(id), name: email.into(), source: String::new() })
}

#[tokio::test]
async fn of_two_admins_who_disable_each_other_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::serve(folder.path(), NOW).unwrap();
    let ((a, by_a), (b, by_b)) =
        (add(&store, "a@a.example", Role::Admin).await, add(&store, "b@a.example", Role::Admin).await);
    let (one, other) =
        tokio::join!(store.set_disabled(b, true, by_a, NOW), store.set_disabled(a, true, by_b.clone(), NOW));
    assert!(one.is_ok() && matches!(other, Err(ChangePersonError::LastAdmin)));
    let changed = store.change_person(a, Role::Viewer, Services::All, by_b, NOW).await;
    assert!(matches!(changed, Err(ChangePersonError::LastAdmin)));
    let left = store.person_of(a).await.unwrap().unwrap();
    assert!(left.disabled_at.is_none() && left.role == Role::Admin);
}

#[tokio::test]
async fn nobody_takes_from_themselves_what_it_needs_to_undo_it_and_a_command_may() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::serve(folder.path(), NOW).unwrap();
    let (a, by_a) = add(&store, "a@a.example", Role::Admin).await;
    add(&store, "b@a.example", Role::Admin).await;
    let disabled = store.set_disabled(a, true, by_a.clone(), NOW).await;
    assert!(matches!(disabled, Err(ChangePersonError::Yourself)));
    let changed = store.change_person(a, Role::Manager, Services::All, by_a.clone(), NOW).await;
    assert!(matches!(changed, Err(ChangePersonError::Yourself)));
    store.change_person(a, Role::Admin, Services::All, by_a, NOW).await.unwrap();
    let command = By::command("root");
    store.change_person(a, Role::Manager, Services::All, command.clone(), NOW).await.unwrap();
    store.set_disabled(a, true, command.clone(), NOW).await.unwrap();
    assert!(matches!(store.set_disabled(99, true, command, NOW).await, Err(ChangePersonError::Unknown)));
}

#[tokio::test]
async fn an_admin_who_cannot_sign_in_is_nobody_to_leave_the_people_to() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::serve(folder.path(), NOW).unwrap();
    let ((a, _), (b, by_b)) =
        (add(&store, "a@a.example", Role::Admin).await, add(&store, "b@a.example", Role::Admin).await);
    let invited = store.add_person("c@a.example".into(), Role::Admin, Services::All, None, By::itself(), NOW);
    let invited = invited.await.unwrap();
    store.set_disabled(b, true, By::command("root"), NOW).await.unwrap();
    let disabled = store.set_disabled(a, true, by_b.clone(), NOW).await;
    assert!(matches!(disabled, Err(ChangePersonError::LastAdmin)));
    store.change_person(invited, Role::Viewer, Services::All, by_b, NOW).await.unwrap();
}

/// What somebody who signs in or changes something holds.
fn opening<'a>(secret: &'a [u8], before: Option<&'a [u8]>) -> Opening<'a> {
    Opening { secret, before, by: By::itself(), browser: None, now: NOW }
}

#[tokio::test]
async fn whoever_is_disabled_or_changes_while_a_password_is_checked_is_not_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::serve(folder.path(), NOW).unwrap();
    let (id, _) = add(&store, "a@a.example", Role::Viewer).await;
    let person = store.person_of(id).await.unwrap().unwrap();
    let begun = async |secret: &[u8]| {
        let half = store.begin_second_step(&person, secret, None, NOW).await.unwrap();
        let begun = store.begin_session(&person, opening(secret, None), false).await.unwrap();
        assert_eq!(store.session(secret).await.unwrap().is_some(), begun);
        assert_eq!(store.pending_sign_in(secret, NOW).await.unwrap().is_some(), half);
        (half, begun)
    };
    assert_eq!(begun(&[1]).await, (true, true));
    store.set_disabled(id, true, By::itself(), NOW).await.unwrap();
    assert_eq!(begun(&[2]).await, (false, false), "disabled");
    store.set_disabled(id, false, By::itself(), NOW).await.unwrap();
    assert_eq!(begun(&[3]).await, (true, true));
    let app = || NewSecondFactor { secret: vec![1], nonce: [0; 24], step: 1, recovery_codes: Vec::new() };
    assert_eq!(store.set_second_factor(id, app(), opening(&[4], Some(&[3]))).await.unwrap(), Taken::Yes);
    assert_eq!(begun(&[5]).await, (true, false), "there is a second factor by now");
    assert_eq!(store.change_password(id, "another".into(), opening(&[6], Some(&[4])), true).await.unwrap(), Taken::Yes);
    assert_eq!(begun(&[7]).await, (false, false), "the password was changed");
    assert!(store.begin_session(&person, opening(&[8], None), true).await.unwrap(), "who came in by no password");
}

#[tokio::test]
async fn whoever_was_signed_out_meanwhile_changes_no_password_and_sets_up_no_app() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::serve(folder.path(), NOW).unwrap();
    let (id, by) = add(&store, "a@a.example", Role::Viewer).await;
    let person = store.person_of(id).await.unwrap().unwrap();
    assert!(store.begin_session(&person, opening(&[1], None), false).await.unwrap());
    store.end_sessions(id, by, NOW).await.unwrap();
    let app = NewSecondFactor { secret: vec![1], nonce: [0; 24], step: 1, recovery_codes: Vec::new() };
    assert_eq!(store.set_second_factor(id, app, opening(&[2], Some(&[1]))).await.unwrap(), Taken::TooLate);
    let changed = store.change_password(id, "another".into(), opening(&[2], Some(&[1])), false).await.unwrap();
    assert_eq!(changed, Taken::TooLate);
    assert!(store.session(&[2]).await.unwrap().is_none() && store.second_factor(id).await.unwrap().is_none());
    assert_eq!(store.person_of(id).await.unwrap().unwrap().password, person.password);
}

#[tokio::test]
async fn no_admin_is_limited_to_some_services() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::serve(folder.path(), NOW).unwrap();
    let some = Services::Only(vec![]);
    let email = "a@a.example".to_owned();
    let added = store.add_person(email, Role::Admin, some.clone(), None, By::itself(), NOW).await;
    assert!(matches!(added, Err(AddPersonError::LimitedAdmin)));
    let (id, _) = add(&store, "b@a.example", Role::Viewer).await;
    let changed = store.change_person(id, Role::Admin, some, By::itself(), NOW).await;
    assert!(matches!(changed, Err(ChangePersonError::LimitedAdmin)));
    assert_eq!(store.person_of(id).await.unwrap().unwrap().role, Role::Viewer);
}
