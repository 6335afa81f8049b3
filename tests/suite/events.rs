//! The log's events: each has a name, and the list of them is whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::layers::sources;
use crate::server::{Server, exchange, request};

#[test]
fn every_event_has_a_name_that_the_list_of_events_holds() {
    let mut named = BTreeSet::new();
    for source in sources() {
        for macros in ["error", "warn", "info", "debug"] {
            for call in source.code.split(&format!("tracing::{macros}!(")).skip(1) {
                // It stands first, or after the target.
                let name = call.split("event = \"").nth(1).filter(|_| call.find("event = ").is_some_and(|at| at < 80));
                let name =
                    name.unwrap_or_else(|| panic!("{}: {}", source.path.display(), call.lines().next().unwrap()));
                named.insert(name.split('"').next().unwrap().to_owned());
            }
        }
    }
    let list = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md")).unwrap();
    let listed: BTreeSet<String> =
        list.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned())).collect();
    assert!(named.len() > 80);
    let differ: Vec<&String> = named.symmetric_difference(&listed).collect();
    assert!(differ.is_empty(), "these are in the source or in docs/events.md alone: {differ:?}");
}

#[test]
fn a_line_of_json_is_one_event_with_the_id_of_its_request_as_the_answer_and_its_page_have_it() {
    let mut server = Server::start_with(&["--log-format", "json"]);
    let store = server.data.join("counterfoil.db");
    let refused = exchange(server.at, &request("POST", "/callbacks", "", b"{}"));
    let id = refused.header("x-request-id").unwrap().to_owned();
    assert_eq!((refused.status, id.len()), (401, 16));
    let mut browser = server.signed_in("admin");
    assert_ne!(browser.get("/receipts").header("x-request-id").unwrap(), id);
    let gone = rusqlite::Connection::open(store).unwrap();
    gone.execute_batch("ALTER TABLE contacts RENAME TO elsewhere").unwrap();
    let failed = browser.get("/contacts/failed");
    let failed_id = failed.header("x-request-id").unwrap().to_owned();
    assert!(failed.status == 500 && failed.text().contains(&failed_id), "{}", failed.text());
    let log = server.log();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect();
    for line in &lines {
        for name in ["time", "level", "event", "message"] {
            assert!(line[name].is_string(), "{name}: {line}");
        }
    }
    let of = |event: &str| lines.iter().find(|line| line["event"] == event).unwrap_or_else(|| panic!("{event}: {log}"));
    assert_eq!(of("callback.wrong_token")["request"], Value::from(id));
    let failed = of("page.failed");
    assert_eq!((&failed["request"], &failed["level"]), (&Value::from(failed_id), &Value::from("error")));
    assert_eq!(of("serve.listening")["request"], Value::Null);
}
