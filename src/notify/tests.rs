//! Bodies as Notify wrote them, and bodies that nobody should have sent.

use proptest::prelude::*;

use super::*;

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
