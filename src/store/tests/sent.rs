//! What sent messages said: kept beside their callbacks, and gone with them, with its age, and with what is erased or redacted.

use super::removal::{holds, keep};
use super::{NOW, runtime, store_with_service};
use crate::clock::DAY;
use crate::notify::subject::Subject;
use crate::store::*;

const AMY: &str = "07700 900123";

fn id(n: u32) -> String {
    format!("740e5834-3a29-46b4-9a6f-{n:012x}")
}

fn receipt(n: u32, to: &str) -> String {
    format!(
        r#"{{"id": "{}", "reference": null, "to": "{to}", "status": "delivered", "created_at": null, "completed_at": null, "sent_at": null, "notification_type": "sms", "template_id": "{}", "template_version": 1}}"#,
        id(n),
        id(99)
    )
}

fn text(service: ServiceId, n: u32, body: Option<&str>, fetched_at: i64) -> SentText {
    let (service_name, subject, body) = ("Test service".to_owned(), None, body.map(str::to_owned));
    SentText { notify_id: id(n), service, service_name, subject, body, fetched_at }
}

fn asked() -> Asked {
    Asked { by: By::itself(), reason: "request".into(), at: NOW }
}

async fn body(store: &Store, n: u32) -> Option<String> {
    store.sent_text(&Services::All, &id(n)).await.unwrap().and_then(|text| text.body)
}

#[test]
fn what_a_message_said_is_exported_and_goes_without_a_trace_with_what_is_erased_or_redacted_and_stays_away() {
    for redacts in [false, true] {
        let (folder, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        runtime().block_on(async {
            let (store, service) = store_with_service(folder.path()).await;
            keep(&store, service, NOW, &receipt(1, AMY)).await;
            keep(&store, service, NOW, &receipt(2, "07700 900124")).await;
            assert!(store.keep_sent_text(text(service, 1, Some("canarysaid"), NOW)).await.unwrap());
            assert!(store.keep_sent_text(text(service, 2, Some("bystandersaid"), NOW)).await.unwrap());
            let amy = Subject::of_number(AMY).unwrap();
            let gathered = store.gather(&Services::All, &amy, &Progress::default()).unwrap();
            assert_eq!(gathered.counts.sent_texts, 1);
            let mut said = Vec::new();
            let each = |piece| {
                said.extend(if let Exported::Sent(text) = piece { text.body } else { None });
                true
            };
            store.export(&Services::All, &gathered, &Progress::default(), each).unwrap();
            assert_eq!(said, ["canarysaid"]);
            assert!(holds(folder.path(), b"canarysaid"), "else this proves nothing");
            let progress = Progress::default();
            if redacts {
                store.redact(&Services::All, &amy, gathered, false, asked(), &progress).await.unwrap();
            } else {
                store.erase(&Services::All, &amy, gathered, asked(), &progress).await.unwrap();
            }
            while store.forget_removed().await.unwrap() != Removal::Done {}
            assert!(!store.keep_sent_text(text(service, 1, Some("canarysaid"), NOW)).await.unwrap(), "it stays away");
            assert_eq!((body(&store, 1).await, body(&store, 2).await.as_deref()), (None, Some("bystandersaid")));
            back_up(folder.path(), &backup.path().join("b.db"), &[], &Progress::default()).unwrap();
            assert_eq!(store.close(), Checkpoint::Whole);
        });
        for file in [folder.path(), backup.path()] {
            assert!(!holds(file, b"canarysaid") && holds(file, b"bystandersaid"), "{redacts}");
        }
    }
}

#[test]
fn what_a_message_said_goes_by_its_own_age_and_with_its_callbacks_and_a_hold_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        for (n, to) in [(1, AMY), (2, "07700 900124"), (3, "07700 900125")] {
            keep(&store, service, NOW - 10 * DAY, &receipt(n, to)).await;
            let fetched_at = if n == 3 { NOW } else { NOW - 5 * DAY };
            store.keep_sent_text(text(service, n, Some("said"), fetched_at)).await.unwrap();
        }
        let amy = Subject::of_number(AMY).unwrap();
        store.add_hold(&Services::All, &amy, asked(), &Progress::default()).await.unwrap();
        assert_eq!(store.forget_sent_texts(NOW - 5 * DAY).await.unwrap(), 0);
        assert_eq!(store.forget_sent_texts(NOW - DAY).await.unwrap(), 1);
        assert!(body(&store, 1).await.is_some() && body(&store, 2).await.is_none() && body(&store, 3).await.is_some());
        while store.remove_before(NOW - DAY).await.unwrap() != Removal::Done {}
        assert!(body(&store, 1).await.is_some(), "what is held stays whole");
        assert!(body(&store, 3).await.is_none(), "without its receipt nothing says whose it was");
    });
}

#[test]
fn nobody_reads_what_another_service_sent() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        keep(&store, service, NOW, &receipt(1, AMY)).await;
        store.keep_sent_text(text(service, 1, Some("said"), NOW)).await.unwrap();
        let seen = |sees: Services| {
            let store = store.clone();
            async move { store.sent_text(&sees, &id(1)).await.unwrap() }
        };
        assert!(seen(Services::Only(vec![service])).await.is_some());
        assert_eq!(seen(Services::Only(vec![])).await, None);
    });
}

#[test]
fn a_template_is_called_as_an_admin_named_it_and_else_as_notify_does() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        keep(&store, service, NOW, &receipt(1, AMY)).await;
        keep(&store, service, NOW + 1, &receipt(2, AMY)).await;
        let names = || async { store.template_names(service, &id(99)).await.unwrap() };
        assert_eq!(names().await, TemplateNames::default());
        let seen = store.templates().await.unwrap();
        let [seen] = seen.as_slice() else { panic!("there is one: {seen:?}") };
        assert_eq!((seen.template_id.clone(), seen.uses, seen.newest), (id(99), 2, Some(NOW + 1)));
        store.keep_template_name(service, &id(99), Some("Reminder".into()), NOW).await.unwrap();
        assert_eq!(names().await.shown(), Some("Reminder"));
        store.name_template(seen, Some("Ours".into()), By::itself(), NOW).await.unwrap();
        store.keep_template_name(service, &id(99), None, NOW).await.unwrap();
        let TemplateNames { given, told, .. } = names().await;
        assert_eq!((given.as_deref(), told.as_deref()), (Some("Ours"), Some("Reminder")));
        store.name_template(seen, None, By::itself(), NOW).await.unwrap();
        assert_eq!(names().await.shown(), Some("Reminder"));
        assert_eq!(store.template(service.0, 999).await.unwrap(), None);
    });
}
