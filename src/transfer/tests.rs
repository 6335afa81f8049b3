//! The file as it is written and read.

use super::*;
use crate::spreadsheet::as_it_was;

const AT: i64 = 1_795_000_000_000_001;

fn came(service: &str) -> Came {
    Came { service: service.into(), origin: Origin::Fetched, arrived_at: AT, times: 1, last_arrived_at: None }
}

fn callback(body: &str) -> Box<Callback> {
    Box::new(Callback::read(body.as_bytes()).unwrap())
}

fn unread(body: &[u8]) -> Portable {
    let unread = UnreadBody {
        reason: "The body is not JSON.".into(),
        path: String::new(),
        content_type: Some("text/plain; charset=\"x\"".into()),
        content_encoding: None,
        body: body.to_vec(),
    };
    Portable::Quarantined(came("'C"), Box::new(unread))
}

fn note(text: Option<&str>, removed_at: Option<i64>) -> Portable {
    Portable::Note(Box::new(WrittenNote {
        service: "=A, \"B\"".into(),
        sender: "+447700900123".into(),
        written: ("ann@example.gov.uk".into(), AT),
        text: text.map(str::to_owned),
        removed_at,
    }))
}

fn handled(read_to: Option<&str>, who: Option<&str>) -> Portable {
    let who = who.map(|who| (who.to_owned(), AT));
    Portable::Handling(Box::new(HandledTexts {
        service: "=A, \"B\"".into(),
        sender: "'o2".into(),
        read_to: read_to.map(str::to_owned),
        taken: who.clone(),
        dealt_with: who,
    }))
}

/// One of everything, with what a file's format could make something else of.
fn items() -> Vec<Portable> {
    let id = "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa";
    let again = Came { times: 3, last_arrived_at: Some(AT + 1), ..came("=A, \"B\"") };
    vec![
        Portable::Service { name: "=A, \"B\"".into(), notify_service_id: None },
        Portable::Service { name: "'C".into(), notify_service_id: Some(id.into()) },
        Portable::Template { service: "'C".into(), template_id: id.into(), name: "-Reminder\n".into() },
        Portable::Callback(
            came("'C"),
            callback(r#"{"id": "r", "reference": "=1+1", "to": "+44", "status": "delivered", "template_id": "x"}"#),
        ),
        Portable::Callback(
            again,
            callback(
                "{\"source_number\":\"447700900123\",\r\n \"id\": \"t\", \"message\": \"a,\\\"b\\\"\\n=c\\u0000\"}",
            ),
        ),
        Portable::Callback(
            came("'C"),
            callback(
                r#"{"notification_id": "c", "complaint_id": null, "reference": null, "to": "a@b.example", "complaint_date": null}"#,
            ),
        ),
        unread(b"\xff\x00\r\n"),
        unread(b""),
        unread(b"'=\"x\"\r"),
        handled(Some("t"), Some("ann@example.gov.uk")),
        handled(Some("-t"), None),
        note(Some("+1, she said \"yes\"\n\nthen"), None),
        note(None, Some(AT + 5)),
    ]
}

fn written(format: Format) -> Vec<u8> {
    let mut writer = Writer::begin(format, Vec::new()).unwrap();
    for item in items() {
        writer.add(&item).unwrap();
    }
    let (counts, bytes) = writer.end().unwrap();
    assert_eq!(counts, Counts { callbacks: 3, quarantined: 3, conversations: 2, notes: 2 });
    bytes
}

/// What is read up to the end or up to what is wrong.
fn read(bytes: &[u8]) -> (Vec<Portable>, Result<(), String>) {
    let mut items = Vec::new();
    let mut reader = match Reader::begin(bytes) {
        Ok(reader) => reader,
        Err(wrong) => return (items, Err(wrong.to_string())),
    };
    loop {
        match reader.more() {
            Ok(Some(item)) => items.push(item),
            Ok(None) => return (items, Ok(())),
            Err(wrong) => return (items, Err(wrong.to_string())),
        }
    }
}

#[test]
fn every_item_is_read_as_it_was_written_in_both_formats() {
    for format in [Format::Jsonl, Format::Csv] {
        let bytes = written(format);
        let (read, ended) = read(&bytes);
        assert_eq!(ended, Ok(()), "{format:?}: {}", String::from_utf8_lossy(&bytes));
        assert_eq!(read, items(), "{format:?}");
    }
}

#[test]
fn no_cell_is_a_formula_and_people_find_what_a_callback_says() {
    let csv = String::from_utf8(written(Format::Csv)).unwrap();
    let mut rows = csv::Reader::from_reader(csv.trim_start_matches(spreadsheet::BEGINNING).as_bytes());
    let columns = rows.headers().unwrap().clone();
    let mut found = Vec::new();
    for row in rows.records().map(Result::unwrap) {
        for (name, cell) in columns.iter().zip(row.iter()) {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{name}: {cell}");
            if ["reference", "status", "message", "to_or_from"].contains(&name) && !cell.is_empty() {
                found.push(as_it_was(cell).to_owned());
            }
        }
    }
    assert_eq!(found, ["=1+1", "+44", "delivered", "447700900123", "a,\"b\"\n=c\0", "a@b.example"]);
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_told_and_gives_nothing_but_what_stands_before() {
    for format in [Format::Jsonl, Format::Csv] {
        let (bytes, items) = (written(format), items());
        // What is left of the last line may be lost: all of it is there then.
        let end = bytes.windows(5).rposition(|five| five == b"\"end\"").unwrap();
        for length in 0..=end {
            let (read, ended) = read(&bytes[..length]);
            assert!(ended.is_err(), "{format:?}, {length} bytes");
            assert_eq!(read, items[..read.len()], "{format:?}, {length} bytes");
        }
        let cut = read(&bytes[..end]).1.unwrap_err();
        assert!(cut.contains("was cut off"), "{format:?}: {cut}");
    }
}

#[test]
fn what_is_no_export_or_is_not_as_it_was_written_is_told_by_its_line_and_not_by_what_stands_there() {
    let (jsonl, csv) = (written(Format::Jsonl), written(Format::Csv));
    let jsonl = String::from_utf8(jsonl).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    for (file, words) in [
        (String::new(), "no export"),
        ("{\"id\": 1}\n".to_owned(), "no export"),
        ("a,b\r\n1,2\r\n".to_owned(), "no export"),
        ("\"a\",\"b\"\r\n\"1\",\"2\"\r\n".to_owned(), "no export"),
        (jsonl.replacen("\"version\":1", "\"version\":2", 1), "is of version 2"),
        (jsonl.replacen("\"times\":3", "\"times\":\"canary\"", 1), "line 6: a value is missing"),
        (jsonl.replacen("\"origin\":\"fetched\"", "\"origin\":\"canary\"", 1), "line 5: its origin"),
        (jsonl.replacen("\"written_by\":\"ann@", "\"written_by\":\"canary ", 1), "line 13: its written_by"),
        (jsonl.replacen("\"callbacks\":3", "\"callbacks\":4", 1), "another number of items"),
        (jsonl.clone() + "{}\n", "wrong"),
        (csv.replacen("\"3\",\"2026", "\"canary\",\"2026", 1), "a value is missing"),
        (csv.replacen("\"fetched\"", "\"fetched\",\"canary\"", 1), "another number of cells"),
    ] {
        let (_, ended) = read(file.as_bytes());
        let said = ended.expect_err(words);
        assert!(said.contains(words) || words == "wrong", "{words}: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
}
