//! Bodies as Notify wrote them, and bodies that nobody should have sent.

use proptest::prelude::*;

use super::*;
use crate::fuzzing::fuzz;

const BODIES: [&[u8]; 15] = [
    include_bytes!("../../tests/callbacks/complaint.json"),
    include_bytes!("../../tests/callbacks/receipt-email-delivered.json"),
    include_bytes!("../../tests/callbacks/receipt-email-permanent-failure-unicode-reference.json"),
    include_bytes!("../../tests/callbacks/receipt-reference-1000-characters.json"),
    include_bytes!("../../tests/callbacks/receipt-sent-at-null.json"),
    include_bytes!("../../tests/callbacks/receipt-sms-delivered.json"),
    include_bytes!("../../tests/callbacks/receipt-sms-permanent-failure-null-reference.json"),
    include_bytes!("../../tests/callbacks/receipt-sms-temporary-failure.json"),
    include_bytes!("../../tests/callbacks/receipt-technical-failure.json"),
    include_bytes!("../../tests/callbacks/returned-letter.json"),
    include_bytes!("../../tests/callbacks/text-alphanumeric-sender.json"),
    include_bytes!("../../tests/callbacks/text-emoji-newline.json"),
    include_bytes!("../../tests/callbacks/text-empty.json"),
    include_bytes!("../../tests/callbacks/text-html-bidi-zero-width.json"),
    include_bytes!("../../tests/callbacks/text-international.json"),
];

#[test]
fn what_notify_wrote_is_given_back_by_its_fields_alone() {
    for body in BODIES {
        let callback = Callback::read(body).unwrap();
        assert!(callback.verbatim.is_none(), "{}", String::from_utf8_lossy(body));
        assert_eq!(callback.body(), body);
    }
}

#[test]
fn each_unreadable_body_has_its_own_reason() {
    use Unreadable::*;
    let nested = format!("{{\"id\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for (body, reason) in [
        ("", Empty),
        ("{", NotJson),
        ("hello", NotJson),
        ("[]", NotAnObject),
        (r#"[{"id": "a", "status": "b"}]"#, NotAnObject),
        ("\"text\"", NotAnObject),
        ("null", NotAnObject),
        ("\u{feff}{}", ByteOrderMark),
        (r#"{"id": "a", "id": "b", "status": "c"}"#, DuplicateKey),
        (r#"{"id": "a", "x": 1, "status": "c", "x": 1}"#, DuplicateKey),
        (r#"{"id": "a", "status": "\ud800"}"#, LoneSurrogate),
        (r#"{"id": "a", "status": "\udc00x"}"#, LoneSurrogate),
        (r#"{"id": 1, "status": "b"}"#, WrongType("id")),
        (r#"{"id": "a", "status": null}"#, WrongType("status")),
        (r#"{"id": "a", "status": "b", "template_version": "1"}"#, WrongType("template_version")),
        (r#"{"id": "a", "status": "b", "template_version": 1.5}"#, WrongType("template_version")),
        (r#"{"status": "b"}"#, MissingId),
        (r#"{"id": null, "status": "b"}"#, MissingId),
        (r#"{"id": "", "status": "b"}"#, MissingId),
        (r#"{"id": "a"}"#, UnknownKind),
        ("{}", UnknownKind),
        (nested.as_str(), UnknownKind),
    ] {
        let read = Callback::read(body.as_bytes()).map(|callback| callback.kind());
        assert_eq!(read, Err(reason), "{}", body.chars().take(80).collect::<String>());
    }
    assert_eq!(Callback::read(b"{\"id\": \"\xff\"}").err(), Some(BadUtf8));
}

#[test]
fn unknown_keys_statuses_and_odd_dates_are_kept() {
    let body =
        br#"{"id":"a","status":"on-hold","created_at":"yesterday","provider_response":{"a":[1]},"to":"x\u0000y"}"#;
    let callback = Callback::read(body).unwrap();
    assert_eq!(callback.body(), body);
    assert_eq!(callback.person(), Some("x\0y"));
}

#[test]
fn what_no_machine_number_holds_is_kept_where_an_unknown_key_has_it() {
    for value in ["1e400", "-1e999", "123456789012345678901234567890", r#""\ud800""#, "[1e400]"] {
        let body = format!(r#"{{"id": "a", "status": "delivered", "cost": {value}, "note": "x"}}"#);
        let callback = Callback::read(body.as_bytes()).unwrap();
        assert_eq!(callback.body(), body.as_bytes());
        assert!(callback.other_keys().contains(&("note".to_owned(), "x".to_owned())), "{value}");
    }
    let body = br#"{"id": "a", "status": "delivered", "template_version": 1e400}"#;
    assert!(Callback::read(body).is_err(), "where it is Notify's own, it is not what Notify means");
}

#[test]
fn keys_that_notify_does_not_send_are_told_apart() {
    let body = br#"{"id":"a","status":"b","status_description":"On hold","provider_response":{"a":[1]},"to":null}"#;
    let other = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let expected = [other("provider_response", r#"{"a":[1]}"#), other("status_description", "On hold")];
    assert_eq!(Callback::read(body).unwrap().other_keys(), expected);
    for body in BODIES {
        assert_eq!(Callback::read(body).unwrap().other_keys(), []);
    }
}

#[test]
fn a_hundred_thousand_keys_are_read_in_one_pass() {
    let keys: Vec<String> = (0..100_000).map(|n| format!("\"k{n}\":0")).collect();
    let body = format!("{{\"id\":\"a\",\"status\":\"b\",{}}}", keys.join(","));
    assert_eq!(Callback::read(body.as_bytes()).unwrap().body(), body.as_bytes());
}

proptest! {
    #[test]
    fn no_bytes_are_changed(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(callback) = Callback::read(&body) {
            prop_assert_eq!(callback.body(), body);
        }
    }

    #[test]
    fn a_real_body_with_some_bytes_changed_is_given_back_or_refused(
        which in 0..BODIES.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut body = BODIES[which].to_vec();
        for (place, byte) in changes {
            let place = place.index(body.len());
            body[place] = byte;
        }
        if let Ok(callback) = Callback::read(&body) {
            prop_assert_eq!(callback.body(), body);
        }
    }

    #[test]
    fn any_text_in_any_field_is_given_back(id in ".+", reference in ".*", to in ".*", status in ".*", date in ".*") {
        let body = serde_json::json!({"id": id, "reference": reference, "to": to, "status": status, "created_at": date});
        let body = body.to_string();
        let callback = Callback::read(body.as_bytes()).unwrap();
        prop_assert_eq!(callback.body(), body.as_bytes());
        prop_assert_eq!(callback.reference(), Some(reference.as_str()));
        let _key = callback.match_key();
    }
}

#[test]
fn fuzz_bodies() {
    fuzz("bodies", 20_000, &BODIES, |body| match Callback::read(body) {
        Err(unreadable) => (unreadable.code(), None),
        Ok(callback) => {
            assert_eq!(callback.body(), body, "the bytes are given back");
            assert_eq!(Callback::read(&callback.body()).as_ref(), Ok(&callback), "and read as the same");
            assert!(!callback.notify_id().is_empty());
            let others = callback.other_keys().len().min(4);
            let person = callback.match_key().is_some();
            ("", Some((callback.kind().code(), callback.verbatim.is_some(), person, others)))
        }
    });
}

#[test]
fn fuzz_answers_of_the_api() {
    use api::{CalledBack, List, Page};
    let listed = r#"{"notifications": [{"id": "740e5834-3a29-46b4-9a6f-16142fde533a", "reference": null, "email_address": null, "phone_number": "07700 900123", "type": "sms", "status": "delivered", "template": {"id": "f9d696de-3ce8-459f-9f0e-8781d2fe61a6", "version": 2, "uri": "x"}, "body": "Hello", "created_at": "2026-11-20T10:15:30.000000Z", "sent_at": null, "completed_at": null}, {"id": "a", "status": "sending", "type": "letter", "created_at": "2026-11-20T10:15:29.000000Z"}], "links": {"next": "x"}}"#;
    let texts = r#"{"received_text_messages": [{"id": "a", "user_number": "447700900123", "notify_number": "07700931494", "service_id": "b", "content": "Hello", "created_at": "2026-11-20T10:15:30.000000Z"}], "links": {}}"#;
    fuzz("api", 20_000, &[listed.as_bytes(), texts.as_bytes(), b"{\"errors\": []}"], |answer| {
        List::ALL.map(|list| {
            let page = Page::read(list, answer).ok()?;
            assert_eq!(page.older_than().is_none(), page.0.is_empty());
            let mut called_back = [0_u8; 3];
            for item in &page.0 {
                let which = match &item.called_back {
                    CalledBack::With(callback) => {
                        if !callback.notify_id().is_empty() {
                            assert_eq!(
                                Callback::read(&callback.body()).as_ref(),
                                Ok(&**callback),
                                "as it would have come"
                            );
                        }
                        0
                    }
                    CalledBack::Later => 1,
                    CalledBack::Never => 2,
                };
                called_back[which] = 1;
            }
            Some((called_back, page.reaches().is_some(), page.is_one_moment()))
        })
    });
}

#[test]
fn fuzz_api_keys() {
    let key = b"my-key-8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa-f9d696de-3ce8-459f-9f0e-8781d2fe61a6\n";
    fuzz("api-keys", 20_000, &[key], |bytes| {
        let key = String::from_utf8_lossy(bytes).parse::<api_key::ApiKey>();
        if let Ok(key) = &key {
            assert_eq!(key.service_id().len(), 36);
            let token = key.token(i64::MIN);
            assert!(
                token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')),
                "{token}"
            );
        }
        key.is_ok()
    });
}

#[test]
fn fuzz_people_and_terms() {
    use term::Term;
    let seeds = [
        "07700 900123",
        "+44 (0)7700 900123",
        "Some.One@Example.com",
        "MYBANK",
        "61016",
        "HB-2026-004217",
        "０７７００９００１２３",
        "\u{202a}07700\u{a0}900123\u{202c}",
        "Amy <amy@example.com>, 020 7946 0018",
        "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa",
        "Can I change my appointment?",
    ];
    fuzz("people", 10_000, &seeds.map(str::as_bytes), |bytes| {
        let typed = String::from_utf8_lossy(bytes);
        let keys = [MatchKey::of_recipient(&typed), MatchKey::of_sender(&typed), MatchKey::of_search(&typed)];
        let reference = recipient::reference_key(&typed);
        assert_eq!(recipient::reference_key(&reference), reference, "it is in its one form");
        let words: Vec<String> = words::of(&typed).collect();
        let term = Term::of(&typed);
        let kind = match &term {
            None => 0,
            Some(Term::People(people)) if people.is_empty() => 1,
            Some(Term::People(people)) => {
                let same = keys[2].as_ref().is_none_or(|key| people.contains(key) || people.len() >= 5);
                assert!(same, "who is written so is found so");
                2
            }
            Some(Term::Words(words)) => {
                assert!(!typed.contains('@') && words.len() > 1, "{words:?}");
                4
            }
            Some(Term::Reference(_)) => {
                assert!(!typed.contains('@'), "an address is a person's");
                3
            }
        };
        (kind, keys.map(|key| key.map(|key| key.as_str().len().min(16))), words.len().min(4))
    });
}

#[test]
fn fuzz_moments() {
    let seeds: [&[u8]; 4] = [
        b"2017-05-14T12:15:30.000000Z",
        b"2017-05-14T13:15:30+01:00",
        b"9999-12-31T23:59:59.999999Z",
        b"-009999-01-01T00:00Z",
    ];
    fuzz("moments", 20_000, &seeds, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (own, any) = (time::micros(&text), time::instant(&text));
        if let Some(own) = own {
            assert_eq!(time::canonical(own), text);
            assert_eq!(any, Some(own));
        }
        let number = bytes.iter().fold(0_i64, |number, byte| number.wrapping_mul(257).wrapping_add(i64::from(*byte)));
        let _any = time::canonical(number);
        (own.is_some(), any.is_some())
    });
}
