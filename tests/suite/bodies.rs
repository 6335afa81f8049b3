//! Every body that Notify's sender wrote: stored, found, and written out again as it came.

use std::fs;
use std::path::Path;

use counterfoil::notify::{Callback, Content, Kind};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::server::{Server, exchange};

/// The files' names and bytes.
pub(crate) fn bodies() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/callbacks");
    let mut bodies: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    bodies.sort();
    assert!(bodies.len() >= 14, "the recorded bodies are there");
    bodies
}

/// As a page writes text that somebody else wrote.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&#38;").replace('<', "&#60;").replace('>', "&#62;").replace('"', "&#34;").replace('\'', "&#39;")
}

#[test]
fn every_body_of_notifys_is_stored_found_on_its_page_and_written_out_identical() {
    let server = Server::start();
    let mut caseworker = server.signed_in("caseworker");
    for (name, body) in bodies() {
        let callback = Callback::read(&body).unwrap();
        let answer = server.post(&format!("/callbacks/{}", callback.kind().path()), &body);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{name}");
        assert_eq!(server.kept(callback.notify_id()), [body], "{name}");

        let page = caseworker.get(&format!("/receipts/{}", callback.notify_id()));
        assert_eq!(page.status, 200, "{name}");
        assert!(page.text().contains(callback.notify_id()), "{name}");
        if let Some(reference) = callback.reference().filter(|reference| !reference.is_empty()) {
            let (to, results) = caseworker.search(&format!("  {reference} "));
            // What has no digit may be a name.
            let may_be_a_name = !reference.chars().any(char::is_numeric);
            let place = if may_be_a_name { "/search/" } else { "/receipts?q=" };
            assert!(to.starts_with(place), "{name}: {to}");
            assert!(results.text().contains(callback.notify_id()), "{name} is found by its reference");
        }
        if let Some(person) = callback.person() {
            let (_, results) = caseworker.search(person);
            assert!(results.text().contains(callback.notify_id()), "{name} is found by its person");
        }
        if let Content::ReceivedText(text) = &callback.content {
            assert!(conversation_with(&mut caseworker, text.source_number.as_deref().unwrap_or_default()), "{name}");
        }
    }
}

fn conversation_with(caseworker: &mut crate::server::Browser, sender: &str) -> bool {
    let inbox = caseworker.get("/messages").text();
    inbox.contains(&format!("<bdi>{}</bdi>", escaped(sender)))
}

#[test]
fn one_whole_request_as_it_was_recorded_is_acknowledged() {
    let server = Server::start();
    let recorded =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/callbacks/a-whole-request.http")).unwrap();
    let recorded = String::from_utf8(recorded).unwrap();
    assert!(recorded.contains("local-bearer-token-123"));
    let sent = recorded
        .replace("local-bearer-token-123", &server.token)
        .replace("Connection: keep-alive", "Connection: close");
    let answer = exchange(server.at, sent.as_bytes());
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(server.kept("2b416950-0ce6-4abb-a2ca-a9bd3602e39f").len(), 1);
}

#[test]
fn each_kind_is_kept_as_what_it_is_at_whatever_path_it_comes_to() {
    let server = Server::start_with(&["--callbacks-listen", "127.0.0.1:0"]);
    let mut sent = 0;
    let mut body = |kind: Kind| {
        sent += 1;
        let body = match kind {
            Kind::DeliveryReceipt => format!(r#"{{"id": "r{sent}", "status": "delivered"}}"#),
            Kind::ReceivedText => format!(r#"{{"id": "r{sent}", "source_number": "1", "message": "m"}}"#),
            Kind::ReturnedLetter => format!(r#"{{"notification_id": "r{sent}", "sent_by": "API"}}"#),
            Kind::Complaint => format!(r#"{{"notification_id": "r{sent}", "complaint_id": "c"}}"#),
        };
        (format!("r{sent}"), body)
    };
    for kind in Kind::ALL {
        for path in
            ["/callbacks", "/callbacks/", "/callbacks/delivery-receipts/", "/callbacks/complaints", "/callbacks/x/y?z"]
        {
            let (id, body) = body(kind);
            assert_eq!(server.post(path, body.as_bytes()).status, 200, "{path}");
            assert_eq!(server.kept(&id), [body.into_bytes()], "{path}");
        }
        for path in ["/", "/receipts", "/anything/at/all", "/sign-in", "//", "/%00"] {
            let (id, body) = body(kind);
            let headers = format!("Authorization: bearer {}\r\n", server.token);
            let request = crate::server::request("POST", path, &headers, body.as_bytes());
            assert_eq!(exchange(server.callbacks_at.unwrap(), &request).status, 200, "{path}");
            assert_eq!(server.kept(&id), [body.into_bytes()], "{path}");
        }
    }
}

/// Bodies near and far from real ones.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let real = prop::sample::select(bodies().into_iter().map(|(_, body)| body).collect::<Vec<_>>());
    let mutated = (real, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)).prop_map(
        |(mut body, changes)| {
            for (place, byte) in changes {
                let place = place.index(body.len());
                body[place] = byte;
            }
            body
        },
    );
    let key =
        prop::sample::select(vec!["id", "status", "reference", "to", "message", "notification_id", "sent_by", "new"]);
    let value = prop_oneof![
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        Just("null".to_owned()),
        Just("[[{}], 1e400]".to_owned()),
    ];
    let object = prop::collection::vec((key, value), 0..8).prop_map(|pairs| {
        let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", pairs.join(",")).into_bytes()
    });
    prop_oneof![mutated, object, prop::collection::vec(any::<u8>(), 0..300)]
}

#[test]
fn no_authenticated_bytes_are_ever_lost() {
    let server = Server::start();
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let done = runner.run(&any_body(), |body| {
        let answer = server.post("/callbacks", &body);
        prop_assert_eq!(answer.status, 200);
        let kept = match Callback::read(&body) {
            Ok(callback) => server.kept(callback.notify_id()).contains(&body),
            Err(_) => server.has_in_quarantine(&body),
        };
        prop_assert!(kept);
        Ok(())
    });
    done.unwrap();
}
