//! What results are narrowed to, how they are counted, and how reading through goes on where it stopped.

use super::{NOW, receipt, runtime, store_with_service};
use crate::clock::DAY;
use crate::notify::Callback;
use crate::notify::filter::Filter;
use crate::notify::medium::Medium;
use crate::store::*;

async fn keep_at(store: &Store, body: &str, service: ServiceId, arrived_at: i64) {
    let envelope = Envelope { service, token: None, origin: Origin::CalledBack, arrived_at, path: "/callbacks".into() };
    store.keep(Arrival::callback(envelope, Callback::read(body.as_bytes()).unwrap())).await.unwrap();
}

const TEMPLATE: &str = "f9d696de-3ce8-459f-9f0e-8781d2fe61a6";

/// A message of each sort, a day apart, some of another service.
async fn furnished(store: &Store, service: ServiceId) {
    let bodies = [
        r#"{"id": "sms", "reference": "AB 1", "status": "delivered", "notification_type": "sms"}"#.to_owned(),
        format!(
            r#"{{"id": "failed-sms", "reference": "AB 1", "status": "permanent-failure", "notification_type": "sms", "template_id": "{TEMPLATE}", "template_version": 1}}"#
        ),
        format!(
            r#"{{"id": "email", "reference": "AB 12", "status": "temporary-failure", "notification_type": "email", "template_id": "{TEMPLATE}", "template_version": 1}}"#
        ),
        r#"{"id": "letter", "reference": "AB 1", "status": "received", "notification_type": "letter"}"#.to_owned(),
        format!(
            r#"{{"notification_id": "returned", "reference": "AB 1", "date_sent": "x", "sent_by": "API", "template_id": "{TEMPLATE}"}}"#
        ),
        r#"{"notification_id": "spam", "complaint_id": "x", "reference": "AB 1", "to": "a@b.c"}"#.to_owned(),
        r#"{"id": "text", "source_number": "447700900123", "message": "ab 1"}"#.to_owned(),
    ];
    for (day, body) in (0..).zip(&bodies) {
        keep_at(store, body, if day % 2 == 0 { service } else { ServiceId(service.0 + 1) }, NOW + day * DAY).await;
    }
}

async fn two_services(folder: &std::path::Path) -> (Store, ServiceId) {
    let (store, service) = store_with_service(folder).await;
    store.add_token("Another service".into(), None, [2; 32], By::itself(), NOW).await.unwrap();
    (store, service)
}

fn ids(found: &Found) -> Vec<&str> {
    found.rows.iter().map(|kept| kept.callback.notify_id()).collect()
}

#[test]
fn each_limit_holds_alone_and_all_hold_together_wherever_one_looks() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = two_services(folder.path()).await;
        furnished(&store, service).await;
        let all = Only::default;
        let other = ServiceId(service.0 + 1);
        let cases: [(Only, &[&str]); 15] = [
            (all(), &["spam", "returned", "letter", "email", "failed-sms", "sms"]),
            (Only { status: Some(Filter::Delivered), ..all() }, &["sms"]),
            (Only { medium: Some(Medium::Email), ..all() }, &["spam", "email"]),
            (Only { medium: Some(Medium::TextMessage), ..all() }, &["failed-sms", "sms"]),
            (Only { medium: Some(Medium::Letter), ..all() }, &["returned", "letter"]),
            (Only { medium: Some(Medium::ReceivedText), ..all() }, &["text"]),
            (Only { failed: true, ..all() }, &["returned", "email", "failed-sms"]),
            (Only { service: Some(other), ..all() }, &["spam", "letter", "failed-sms"]),
            (Only { template: Some(TEMPLATE.into()), ..all() }, &["returned", "email", "failed-sms"]),
            (Only { template: Some("none".into()), ..all() }, &[]),
            (Only { since: Some(NOW + 2 * DAY), ..all() }, &["spam", "returned", "letter", "email"]),
            (Only { until: Some(NOW + 2 * DAY), ..all() }, &["failed-sms", "sms"]),
            (Only { since: Some(NOW + DAY), until: Some(NOW + 3 * DAY), ..all() }, &["email", "failed-sms"]),
            (Only { failed: true, service: Some(other), template: Some(TEMPLATE.into()), ..all() }, &["failed-sms"]),
            (
                Only {
                    status: Some(Filter::NotAccepting),
                    medium: Some(Medium::Email),
                    failed: true,
                    service: Some(service),
                    template: Some(TEMPLATE.into()),
                    since: Some(NOW + 2 * DAY),
                    until: Some(NOW + 3 * DAY),
                },
                &["email"],
            ),
        ];
        for (only, expected) in cases {
            for sees in [Services::All, Services::Only(vec![service, other])] {
                let ask = |sources, from| store.find(&sees, Find { sources, only: only.clone(), from });
                let found = ask(vec![Source::Newest], None).await.unwrap();
                assert_eq!(ids(&found), expected, "{only:?}");
                assert_eq!((found.count, found.more), (i64::try_from(expected.len()).unwrap(), false), "{only:?}");
                let sources = vec![Source::Reference("ab1".into()), Source::ReferenceBeginsWith("ab1".into())];
                let mut by_reference = ids(&ask(sources, None).await.unwrap()).join(" ");
                let texts = only.medium == Some(Medium::ReceivedText);
                let mut expected: Vec<&str> = expected.iter().copied().filter(|id| *id != "email").collect();
                expected.extend(found.rows.iter().map(|kept| kept.callback.notify_id()).filter(|id| *id == "email"));
                assert_eq!(by_reference, if texts { String::new() } else { expected.join(" ") }, "{only:?}");
                let everywhere = ask(vec![Source::Contains("AB 1".into())], None).await.unwrap();
                by_reference = ids(&everywhere).join(" ");
                assert!(expected.iter().all(|id| by_reference.contains(id)), "{only:?}: {by_reference}");
                let last = ask(vec![Source::Newest], Some(Cursor::Before("0-0".parse().unwrap()))).await.unwrap();
                assert_eq!(ids(&last).len(), found.rows.len(), "the other way round: {only:?}");
            }
        }
        let nobody = Services::Only(vec![service]);
        let only = Only { service: Some(other), ..all() };
        let found = store.find(&nobody, Find { sources: vec![Source::Newest], only, from: None }).await.unwrap();
        assert_eq!(ids(&found), [""; 0], "a service that may not be seen cannot be asked for");
        let seen: Vec<_> = store.services_seen(&nobody).await.unwrap().into_iter().map(|seen| seen.id).collect();
        assert_eq!(seen, [service]);
    });
}

#[test]
fn a_count_stops_at_ten_thousand_and_what_stands_in_its_place_is_not_counted() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        let envelope = |arrived_at| Envelope {
            service,
            token: None,
            origin: Origin::CalledBack,
            arrived_at,
            path: "/callbacks".into(),
        };
        let count = async |sources: Vec<Source>, only: Only| {
            let found = store.find(&Services::All, Find { sources, only, from: None }).await.unwrap();
            (found.count, found.more)
        };
        let keep = async |numbers: std::ops::Range<i64>, status: &'static str| {
            let waiting: Vec<_> = numbers
                .map(|n| {
                    let (store, callback) = (
                        store.clone(),
                        receipt(&n.to_string(), status, &format!("2026-01-01T00:00:0{}.000000Z", n % 7)),
                    );
                    let envelope = envelope(NOW + n);
                    tokio::spawn(async move { store.keep(Arrival::callback(envelope, callback)).await.unwrap() })
                })
                .collect();
            for kept in waiting {
                kept.await.unwrap();
            }
        };
        for begin in 0..10 {
            keep(begin * 1000..(begin + 1) * 1000, "delivered").await;
        }
        // Each of these stands in the place of one, or not at all.
        keep(0..300, "sending").await;
        let begins = || vec![Source::Reference("ref1".into()), Source::ReferenceBeginsWith("re".into())];
        let sources = [vec![Source::Newest], vec![Source::Person("+447700900123".into())], begins()];
        for sources in sources.clone() {
            assert_eq!(count(sources.clone(), Only::default()).await, (10_000, false), "{sources:?}");
            let status = Some(Filter::Delivering);
            assert_eq!(count(sources, Only { status, ..Only::default() }).await, (0, false));
        }
        keep(10_000..10_001, "delivered").await;
        for sources in sources {
            assert_eq!(count(sources.clone(), Only::default()).await, (10_000, true), "{sources:?}");
            let until = Only { until: Some(NOW + 700), ..Only::default() };
            assert_eq!(count(sources, until).await, (700, false));
        }
    });
}

#[test]
fn reading_through_says_how_far_it_came_and_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        for n in 0..400 {
            let body = format!(r#"{{"id": "n{n}", "reference": "needle-{}", "status": "delivered"}}"#, n % 200);
            keep_at(&store, &body, service, NOW + n).await;
        }
        let find =
            |part: &str, from| Find { sources: vec![Source::Contains(part.into())], only: Only::default(), from };
        // However long it takes, in the end all of it was read.
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let page = store.find(&Services::All, find("EEDLE-17", from)).await.unwrap();
            found.extend(page.rows.iter().map(|kept| kept.callback.notify_id().to_owned()));
            match page.next.or(page.reached.map(|(place, _)| place)) {
                Some(place) => from = Some(Cursor::After(place)),
                None => break,
            }
        }
        let expected: Vec<String> = (0..400)
            .rev()
            .filter(|n| format!("needle-{}", n % 200).contains("needle-17"))
            .map(|n| format!("n{n}"))
            .collect();
        assert_eq!(found, expected);
    });
}

#[test]
fn a_received_text_comes_with_the_name_of_its_conversation() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = store_with_service(folder.path()).await;
        furnished(&store, service).await;
        let find = |source| Find { sources: vec![source], only: Only::default(), from: None };
        let found = store.find(&Services::All, find(Source::Words(vec!["ab".into()]))).await.unwrap();
        let inbox = store.inbox(&Services::All, Narrowed::default(), None).await.unwrap();
        assert_eq!(found.conversations, [Some(inbox.rows.first().unwrap().opaque.clone())]);
        let others = store.find(&Services::All, find(Source::Newest)).await.unwrap();
        assert_eq!(others.conversations, vec![None; others.rows.len()]);
    });
}

#[test]
fn how_far_back_the_store_goes_is_told_of_what_may_be_seen() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (store, service) = two_services(folder.path()).await;
        assert_eq!(store.oldest_receipt(&Services::All).await.unwrap(), None);
        furnished(&store, service).await;
        assert_eq!(store.oldest_receipt(&Services::All).await.unwrap(), Some(NOW));
        let other = Services::Only(vec![ServiceId(service.0 + 1)]);
        assert_eq!(store.oldest_receipt(&other).await.unwrap(), Some(NOW + DAY));
        assert_eq!(store.oldest_receipt(&Services::Only(vec![])).await.unwrap(), None);
    });
}
