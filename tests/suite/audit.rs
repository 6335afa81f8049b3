//! The record of who saw what: written before anything is shown, found again, and not to be changed unseen.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use rusqlite::Connection;

use crate::pages::between;
use crate::server::{BINARY, Browser, Server, printed, run};

/// What the record says, newest first: who, what, to what.
fn rows(server: &Server) -> Vec<[String; 3]> {
    let printed = printed(&run(&["audit", "list"], &server.data));
    let cells = |line: &str| line.trim_matches('"').split("\",\"").map(str::to_owned).collect::<Vec<_>>();
    let rows = printed.lines().skip(1).map(cells);
    rows.map(|cells| [cells[2].clone(), cells[4].clone(), cells[5].clone()]).collect()
}

fn with_callbacks() -> Server {
    let server = Server::start();
    for body in [
        r#"{"id": "r1", "reference": "REF", "to": "07700 900123", "status": "delivered"}"#,
        r#"{"id": "t1", "source_number": "447700900123", "message": "Hello"}"#,
        "nonsense",
    ] {
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    server
}

/// Every page that shows personal data, and the word that it leaves.
fn personal_pages(browser: &mut Browser) -> Vec<(String, &'static str)> {
    let (search, _) = browser.search("07700 900123");
    let inbox = browser.get("/messages").text();
    let conversation = format!("/messages/{}", between(&inbox, "href=\"/messages/", "\""));
    let found = browser.post("/subjects", &[("sort", "number"), ("subject", "07700 900123")]);
    let subject = found.header("location").unwrap().to_owned();
    let about = browser.post("/audit", &[("about", "07700 900123"), ("from", "32 1 2020")]);
    let refused = about.header("location").unwrap().to_owned();
    let export = format!("{subject}/export.json");
    [
        ("/receipts", "listed_receipts"),
        ("/receipts?q=REF", "searched"),
        (search.as_str(), "searched"),
        ("/receipts/r1", "opened_receipt"),
        ("/messages", "listed_messages"),
        (conversation.as_str(), "opened_conversation"),
        ("/quarantine", "listed_quarantine"),
        ("/quarantine/3", "opened_quarantined"),
        ("/quarantine/3/bytes", "saved_quarantined"),
        ("/audit", "looked_at_record"),
        ("/audit/csv", "exported_record"),
        (refused.as_str(), "looked_at_record"),
        (subject.as_str(), "looked_up_subject"),
        (export.as_str(), "exported_subject"),
    ]
    .map(|(path, did)| (path.to_owned(), did))
    .to_vec()
}

#[test]
fn each_page_with_personal_data_leaves_a_row_that_says_who_saw_it() {
    let server = with_callbacks();
    let mut manager = server.signed_in("manager");
    for (path, did) in personal_pages(&mut manager) {
        assert_eq!(manager.get(&path).status, 200, "{path}");
        let rows = rows(&server);
        // The newest is the listing's own.
        assert_eq!(rows[1][..2], ["manager@example.gov.uk", did], "{path}");
        assert!(!rows.concat().concat().contains("07700"), "and not of whom");
    }
    assert_eq!(rows(&server).iter().filter(|row| row[1] == "signed_in").count(), 1);
    manager.post("/sign-out", &[]);
    assert_eq!(rows(&server)[1][1], "signed_out");
}

#[test]
fn what_cannot_be_written_down_is_not_shown_and_callbacks_are_kept_all_the_same() {
    let server = with_callbacks();
    let mut manager = server.signed_in("manager");
    let pages = personal_pages(&mut manager);
    let store = Connection::open(server.data.join("counterfoil.db")).unwrap();
    let never = "CREATE TRIGGER never BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'never'); END";
    store.execute_batch(never).unwrap();
    for (path, _) in &pages {
        let answer = manager.get(path);
        assert_eq!(answer.status, 503, "{path}");
        for personal in ["REF", "900123", "Hello", "nonsense"] {
            assert!(!answer.text().contains(personal), "{path} shows {personal}");
        }
        assert!(answer.text().contains("written down before it is shown"), "{path} says why");
    }
    let mut nobody = Browser::new(server.at);
    let form = [("email", "manager@example.gov.uk"), ("password", crate::server::PASSWORD)];
    assert_ne!(nobody.post("/sign-in", &form).status, 303, "nobody signs in unseen either");
    let body = br#"{"id": "r2", "reference": "LATER", "status": "delivered"}"#;
    assert_eq!(server.post("/callbacks", body).status, 200);
    store.execute_batch("DROP TRIGGER never").unwrap();
    for (path, _) in &pages {
        assert_eq!(manager.get(path).status, 200, "{path}");
    }
}

#[test]
fn the_record_is_searched_by_person_by_whose_data_and_by_day_and_saved_as_a_spreadsheet() {
    let server = with_callbacks();
    let (mut manager, mut viewer) = (server.signed_in("manager"), server.signed_in("viewer"));
    viewer.get("/receipts/r1");
    manager.get("/quarantine");
    let asked = [("about", "+44 7700 900123")];
    let answer = manager.post("/audit", &asked);
    let to = answer.header("location").unwrap().to_owned();
    assert!(!to.contains("900123"), "no number stands in the address");
    let page = manager.get(&to).text();
    assert!(page.contains("viewer@example.gov.uk") && page.contains("Opened a receipt"));
    assert!(!page.contains("Looked at the quarantine"), "only what was of this person");
    let file = manager.get(&to.replace("/audit?", "/audit/csv?"));
    assert!(file.header("content-disposition").unwrap().contains("attachment"));
    assert!(file.text().starts_with('\u{feff}') && file.text().contains("\"Opened a receipt\",\"r1\""));

    let people = manager.get("/audit").text();
    let option = people.lines().find(|line| line.contains(">viewer@")).unwrap();
    let number = between(option, "value=\"", "\"").to_owned();
    let page = manager.get(&format!("/audit?person={number}")).text();
    assert!(page.contains("Opened a receipt") && !page.contains("Looked at the quarantine"));
    let commands = manager.get("/audit?person=0").text();
    assert!(commands.contains("Added a person") && !commands.contains("Opened a receipt"));

    assert!(manager.get("/audit?from=1+1+2020&until=2+1+2020").text().contains("There is nothing to show"));
    assert!(manager.get("/audit?from=1+1+2020").text().contains("Opened a receipt"));
    let wrong = manager.get("/audit?from=32+1+2020").text();
    assert!(wrong.contains("<title>Error: ") && wrong.contains("First day must be a real date"));
    assert!(manager.get("/audit?from=2+1+2020&until=1+1+2020").text().contains("must be the first day or later"));
}

#[test]
fn the_command_line_tells_a_record_that_was_changed_from_one_that_was_not() {
    let mut server = with_callbacks();
    server.signed_in("viewer").get("/receipts/r1");
    let whole = run(&["audit", "verify"], &server.data);
    assert_eq!(whole.status.code(), Some(0), "{}", String::from_utf8_lossy(&whole.stderr));
    let printed = printed(&whole);
    let head = printed.lines().find_map(|line| line.strip_prefix("Head")).unwrap().trim().to_owned();
    assert!(server.log().contains("record.head"), "the server says a head by itself");
    assert_eq!(run(&["audit", "verify", "--head", &head], &server.data).status.code(), Some(0));

    let store = Connection::open(server.data.join("counterfoil.db")).unwrap();
    store.execute_batch("UPDATE audit SET who = 'nobody' WHERE did = 'opened_receipt'").unwrap();
    let changed = run(&["audit", "verify"], &server.data);
    assert_eq!(changed.status.code(), Some(22));
    assert!(String::from_utf8_lossy(&changed.stdout).contains("was changed or moved"));
}

#[test]
fn a_broken_record_is_told_in_the_log_and_on_the_alarms_page() {
    let mut server = with_callbacks();
    let store = Connection::open(server.data.join("counterfoil.db")).unwrap();
    store.execute_batch("UPDATE audit SET who = 'nobody' WHERE id = 1").unwrap();
    let data = server.keep_folder().unwrap();
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    let mut server = Server::start_in(&data.path().join("store"), &[]);
    let mut admin = server.signed_in("admin");
    let page = std::iter::repeat_with(|| admin.get("/alarms").text()).take(200);
    let told = page.inspect(|_| std::thread::sleep(std::time::Duration::from_millis(20)));
    assert!(told.into_iter().any(|page| page.contains("not as it was written")), "{}", server.log());
    assert!(server.log().contains("record.broken"));
}

#[test]
fn a_wrong_token_raises_an_alarm_that_stands_until_an_admin_has_dealt_with_it() {
    let server = Server::start();
    let mut admin = server.signed_in("admin");
    assert!(admin.get("/alarms").text().contains("nothing that you need to look at"));
    for _ in 0..3 {
        let wrong = "Authorization: Bearer wrong-wrong-wrong-wrong-wrong-wrong\r\n";
        assert_eq!(server.post_with("/callbacks/delivery-receipt", wrong, b"{}").status, 401);
    }
    let raised = std::iter::repeat_with(|| admin.get("/alarms").text()).take(200);
    let page = raised.into_iter().find(|page| page.contains("wrong token")).unwrap();
    assert!(page.contains("from 127.0.0.1") && !page.contains("wrong-wrong"));
    assert!(admin.get("/receipts").text().contains("app-header__count"), "the menu says how many");
    let id = between(&page, "action=\"/alarms/", "\"").to_owned();
    assert_eq!(admin.post(&format!("/alarms/{id}"), &[]).status, 303);
    assert!(admin.get("/alarms").text().contains("nothing that you need to look at"));
    assert_eq!(rows(&server)[1][1], "settled_alarm");
}

#[test]
fn wrong_tokens_from_all_over_one_network_raise_one_alarm() {
    let server = Server::start_with(&["--trusted-proxy", "127.0.0.1"]);
    let mut admin = server.signed_in("admin");
    for source in ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:3::3", "192.0.2.1"] {
        let wrong = format!("Authorization: Bearer wrong\r\nX-Forwarded-For: {source}\r\n");
        assert_eq!(server.post_with("/callbacks/delivery-receipt", &wrong, b"{}").status, 401);
    }
    let raised = std::iter::repeat_with(|| admin.get("/alarms").text()).take(200);
    let page = raised.into_iter().find(|page| page.contains("2001:db8::") && page.contains("192.0.2.1")).unwrap();
    assert!(page.contains("from 2001:db8::/64"), "{page}");
    assert_eq!(page.matches("action=\"/alarms/").count(), 2, "{page}");
}

#[test]
fn the_record_of_a_store_that_a_command_made_is_whole() {
    let folder = crate::server::folder();
    let data = folder.path().join("data");
    let commands: [&[&str]; 2] =
        [&["token", "add", "A service"], &["user", "add", "amy@example.gov.uk", "--role", "viewer"]];
    for arguments in commands {
        let done = run(arguments, &data);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let whole = run(&["audit", "verify"], &data);
        assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    }
    let mut server = Server::start_in(&data, &[]);
    assert!(!server.log().contains("record.broken"));
    assert_eq!(run(&["audit", "verify"], &data).status.code(), Some(0));
}

/// What the record says was done with somebody's data, newest first, but for looking in the record.
fn done_with(manager: &mut Browser, about: &str) -> Vec<String> {
    let to = manager.post("/audit", &[("about", about)]).header("location").unwrap().to_owned();
    let file = manager.get(&to.replace("/audit?", "/audit/csv?")).text();
    let bare = |line: &str| line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).unwrap().to_owned();
    let cells = |line: &str| bare(line).split("\",\"").map(str::to_owned).collect::<Vec<_>>();
    let rows = file.lines().skip(1).map(cells).filter(|cells| !cells[4].ends_with("the record"));
    rows.map(|cells| format!("{}: {}", cells[4], cells[6])).collect()
}

fn post_receipt(server: &Server, reference: &str, to: &str) {
    let body = format!(r#"{{"id": "to {to}", "reference": "{reference}", "to": "{to}", "status": "delivered"}}"#);
    assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
}

#[test]
fn a_search_for_several_numbers_is_found_by_each_of_them_on_the_page_to_print_and_as_a_file() {
    let server = Server::start();
    let numbers = ["07700900111", "07700900113"];
    for number in numbers {
        post_receipt(&server, number, number);
    }
    let mut manager = server.signed_in("manager");
    let (to, page) = manager.search("07700 900111, 07700 900113");
    assert!(page.text().contains("07700900113"));
    for path in [format!("{to}?print=yes"), format!("{to}/csv"), format!("{to}?as=anywhere")] {
        assert_eq!(manager.get(&path).status, 200, "{path}");
    }
    for number in numbers {
        let expected = [
            "Searched: anywhere",
            "Saved receipts: person, CSV",
            "Saved receipts: person, to print",
            "Searched: person",
        ];
        assert_eq!(done_with(&mut manager, number), expected, "{number}");
    }
    // Whom the record is searched for stands there as well: by each number, and by all that was typed.
    let looked = || rows(&server).iter().filter(|row| row[1] == "looked_at_record").count();
    let before = looked();
    let to = manager.post("/audit", &[("about", "07700 900111, 07700 900113")]).header("location").unwrap().to_owned();
    manager.get(&to);
    assert_eq!(looked(), before + 3);
}

#[test]
fn whoever_else_stands_on_a_page_is_found_in_the_record_and_a_long_list_is_a_list() {
    let server = Server::start();
    for number in ["07700900111", "07700900112"] {
        post_receipt(&server, "REF-1", number);
    }
    for number in 0..21 {
        post_receipt(&server, "MANY-1", &format!("0770090{number:04}"));
    }
    let (mut manager, mut viewer) = (server.signed_in("manager"), server.signed_in("viewer"));
    let page = viewer.get("/receipts/to%2007700900111").text();
    assert!(page.contains("07700900112"), "{page}");
    assert_eq!(done_with(&mut manager, "07700 900111"), ["Opened a receipt: "]);
    assert_eq!(done_with(&mut manager, "07700 900112"), ["Opened a receipt: same reference"]);
    assert!(viewer.get("/receipts?q=REF-1").text().contains("07700900112"));
    assert_eq!(done_with(&mut manager, "07700 900112")[0], "Searched: reference, in the results");
    assert_eq!(done_with(&mut manager, "REF-1"), ["Searched: reference"]);
    assert_eq!(manager.get("/receipts?q=REF-1&print=yes").status, 200);
    assert_eq!(done_with(&mut manager, "07700 900112")[0], "Saved receipts: reference, to print, in the results");
    for list in ["/receipts?q=MANY-1", "/receipts", "/receipts?q=MANY-1&print=yes"] {
        assert!(manager.get(list).text().contains("07700900020"), "{list}");
    }
    assert_eq!(done_with(&mut manager, "07700 900020"), Vec::<String>::new());
    let told = manager.get("/audit").text();
    assert!(told.contains("with more than 20 people"), "and the page says so");
    assert_eq!(run(&["audit", "verify"], &server.data).status.code(), Some(0));
}

#[test]
fn a_command_stands_in_the_record_as_the_system_has_it_whatever_its_environment_says() {
    let server = Server::start();
    let done = Command::new(BINARY)
        .args(["subject", "hold", "list", "--data"])
        .arg(&server.data)
        .env("SUDO_USER", "the.chief.executive")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let uid = std::fs::metadata("/proc/self").unwrap().uid();
    let who = &rows(&server)[1][0];
    assert!(who.starts_with(&format!("command line (the.chief.executive, uid {uid}")), "{who}");
}
