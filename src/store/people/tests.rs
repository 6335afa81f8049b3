//! Who stays an admin, and what an admin sees.

use super::*;

const NOW: i64 = 1_795_000_000_000_000;

async fn add(store: &Store, email: &str, role: Role) -> (i64, By) {
    let id = store.add_person(email.into(), role, Services::All, None, By::itself(), NOW).await.unwrap();
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
