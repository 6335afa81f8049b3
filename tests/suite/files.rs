//! Lists, searches and conversations taken along as files: whole, in order, no cell changed, and for whoever may.

use std::io::{Cursor, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use calamine::{Data, Reader as _, Xlsx};
use counterfoil::clock;
use counterfoil::store::{By, Role, Services};

use crate::pages::between;
use crate::server::{Answer, Server, exchange, printed, request, run};

/// Connections that receipts are sent by.
const AT_ONCE: usize = 8;

/// Texts that a spreadsheet would run, lose or change.
fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "=HYPERLINK(\"https://evil.example\",\"x\")",
        "+447700900123",
        "-1+1",
        "@SUM(A1)",
        "\tx",
        "'quoted",
        "007",
        "1e5",
        "=cmd|' /C calc'!A0",
        "a \u{202e}b\u{202c} \u{200b}c",
        "👩\u{200d}🚒 שלום",
        "https://evil.example",
        "two\nlines, a \"quote\"; and <b>&amp;</b>",
        " spaces ",
    ]
    .map(str::to_owned)
    .into();
    texts.push("x".repeat(1600));
    texts
}

/// A comma-separated file as its reader sees it: without the apostrophe that keeps a cell from being run.
fn csv(answer: &Answer) -> Vec<Vec<String>> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(answer.header("content-disposition").unwrap().contains("attachment; filename=\""), "{}", answer.head);
    let text = String::from_utf8(answer.body.clone()).unwrap();
    let mut rows = vec![vec![]];
    let mut rest = text.strip_prefix('\u{feff}').unwrap();
    while let Some(quoted) = rest.strip_prefix('"') {
        let (mut cell, mut after) = (String::new(), quoted);
        while let Some((part, more)) = after.split_once('"') {
            cell.push_str(part);
            after = more;
            let Some(more) = after.strip_prefix('"') else { break };
            cell.push('"');
            after = more;
        }
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell} is run");
        let cell = cell.strip_prefix('\'').map(str::to_owned).unwrap_or(cell);
        rows.last_mut().unwrap().push(cell);
        rest = after.strip_prefix(',').unwrap_or_else(|| {
            rows.push(vec![]);
            after.strip_prefix("\r\n").unwrap()
        });
    }
    assert_eq!(rest, "");
    rows.pop();
    rows
}

/// The first sheet of a workbook: texts, with no formula and no link in it.
fn xlsx(answer: &Answer) -> Vec<Vec<String>> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("content-type").unwrap().ends_with("spreadsheetml.sheet"), "{}", answer.head);
    let mut workbook = Xlsx::new(Cursor::new(answer.body.clone())).unwrap();
    assert_eq!(workbook.sheet_names(), ["Sheet 1"]);
    assert!(workbook.worksheet_formula("Sheet 1").unwrap().is_empty());
    let cell = |cell: &Data| match cell {
        Data::String(text) => text.clone(),
        Data::Empty => String::new(),
        other => panic!("{other:?} is no text"),
    };
    let range = workbook.worksheet_range("Sheet 1").unwrap();
    let width = range.width();
    range.rows().map(|row| row.iter().take(width).map(cell).collect()).collect()
}

fn column(rows: &[Vec<String>], name: &str) -> Vec<String> {
    let at = rows[0].iter().position(|heading| heading == name).unwrap();
    rows[1..].iter().map(|row| row.get(at).cloned().unwrap_or_default()).collect()
}

fn post(server: &Server, body: &serde_json::Value) {
    assert_eq!(server.post("/callbacks", body.to_string().as_bytes()).status, 200);
}

fn receipt(id: &str, reference: &str, to: &str, status: &str) -> serde_json::Value {
    serde_json::json!({"id": id, "reference": reference, "to": to, "status": status, "notification_type": "email"})
}

#[test]
fn every_cell_comes_through_as_it_was_in_both_formats() {
    let server = Server::start();
    let texts = hostile();
    for (n, text) in texts.iter().enumerate() {
        post(&server, &serde_json::json!({"id": format!("t{n}"), "source_number": "447700900123", "message": text}));
        let reference: String = text.chars().take(900).collect();
        post(&server, &receipt(&format!("r{n}"), &reference, "0770 0900 123", "delivered"));
    }
    post(&server, &serde_json::json!({"id": "nul", "source_number": "447700900123", "message": "a\0b\u{1b}\r\n"}));
    let mut manager = server.signed_in("manager");
    let inbox = manager.get("/messages").text();
    let conversation = format!("/messages/{}", between(&inbox, "href=\"/messages/", "\""));
    let newest: Vec<String> = texts.iter().rev().cloned().collect();
    let references: Vec<String> = newest.iter().map(|text| text.chars().take(900).collect()).collect();

    let rows = csv(&manager.get("/download/receipts/csv"));
    assert_eq!(column(&rows, "Reference"), references);
    assert_eq!(column(&rows, "Sent to or from")[0], "0770 0900 123");
    let rows = xlsx(&manager.get("/download/receipts/xlsx"));
    assert_eq!(column(&rows, "Reference"), references);

    let of_texts = |rows: &[Vec<String>]| -> Vec<String> {
        column(rows, "Text").into_iter().filter(|text| !text.is_empty()).collect()
    };
    let written = of_texts(&csv(&manager.get(&format!("{conversation}/csv"))));
    assert_eq!(written[0], "a\0b\u{1b}\r\n");
    assert_eq!(written[1..], newest[..]);
    let written = of_texts(&xlsx(&manager.get(&format!("{conversation}/xlsx"))));
    assert!(written[0].starts_with("a[U+0000]b[U+001B]"), "{:?}", written[0]);
    assert_eq!(written[1..], newest[..]);
}

#[test]
fn a_file_has_the_filters_of_its_page_and_what_each_of_them_shows() {
    let mut server = Server::start();
    for n in 0..120 {
        let status = if n % 2 == 0 { "delivered" } else { "permanent-failure" };
        post(&server, &receipt(&format!("n{n}"), &format!("AB-{n}"), &format!("a{}@example.org", n % 3), status));
    }
    for n in 0..70 {
        post(
            &server,
            &serde_json::json!({"id": format!("t{n}"), "source_number": format!("4477009001{n:02}"), "message": format!("said {n}")}),
        );
    }
    server.token = printed(&run(&["token", "add", "Another service"], &server.data));
    post(&server, &receipt("other", "AB-other", "a0@example.org", "delivered"));
    let mut manager = server.signed_in("manager");
    let links = |page: &str| {
        let files = between(page, "<ul class=\"app-files\">", "</ul>").replace("&#38;", "&");
        let links: Vec<String> =
            files.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
        assert_eq!(links.len(), 2, "{files}");
        links
    };
    // A list, a search in the address, one that is not, and the inbox: by the links of their pages.
    let (by_address, _) = manager.search("a0@example.org");
    for (page, column_of, count, first) in [
        ("/receipts?status=permanent-failure".to_owned(), "Reference", 60, "AB-119"),
        ("/receipts?q=AB&status=delivered&service=1".to_owned(), "Reference", 60, "AB-118"),
        (by_address.clone(), "Reference", 41, "AB-other"),
        (format!("{by_address}?failed=yes"), "Reference", 20, "AB-117"),
        ("/messages".to_owned(), "Latest text message", 70, "said 69"),
        ("/messages?show=mine".to_owned(), "Latest text message", 0, ""),
    ] {
        let shown = manager.get(&page).text();
        let files = if count > 0 {
            links(&shown)
        } else {
            assert!(!shown.contains("app-files"), "nothing to take along from {page}");
            vec!["/download/messages/csv?show=mine".into(), "/download/messages/xlsx?show=mine".into()]
        };
        assert!(!files.concat().contains("example.org"), "nothing personal stands in {files:?}");
        let rows = csv(&manager.get(&files[0]));
        assert_eq!(xlsx(&manager.get(&files[1])).len(), rows.len(), "{page}");
        let cells = column(&rows, column_of);
        assert_eq!((cells.len(), cells.first().map_or("", String::as_str)), (count, first), "{page}");
    }
    // A page with a wrong filter has none.
    assert_eq!(manager.get("/download/receipts/csv?earliest-day=31").status, 400);
    // What is personal leads to the page that has no such address.
    let led = manager.get("/download/receipts/csv?q=a0%40example.org");
    assert!(led.status == 303 && led.header("location").unwrap().starts_with("/search/"), "{}", led.head);
    let record = printed(&run(&["audit", "list"], &server.data));
    assert!(record.contains("exported_receipts") && record.contains("exported_messages"), "{record}");
    assert!(!record.contains("a0@example.org"), "{record}");
}

#[test]
fn whoever_is_limited_takes_along_what_they_see_and_viewers_and_caseworkers_nothing() {
    let mut server = Server::start();
    post(&server, &receipt("one", "REF-one", "a@example.org", "permanent-failure"));
    post(&server, &serde_json::json!({"id": "t1", "source_number": "447700900123", "message": "first"}));
    server.token = printed(&run(&["token", "add", "Another service"], &server.data));
    post(&server, &receipt("two", "REF-two", "a@example.org", "permanent-failure"));
    post(&server, &serde_json::json!({"id": "t2", "source_number": "447700900123", "message": "second"}));
    let mut manager = server.signed_in("manager");
    let inbox = manager.get("/messages").text();
    let conversation = format!("/messages/{}/csv", between(&inbox, "href=\"/messages/", "\""));
    let (search, _) = manager.search("a@example.org");
    let paths =
        ["/download/receipts/csv".into(), format!("{search}/csv"), "/download/messages/csv".into(), conversation];
    for role in ["viewer", "caseworker"] {
        let mut person = server.signed_in(role);
        for path in &paths {
            for path in [path.clone(), path.replace("csv", "xlsx")] {
                let answer = person.get(&path);
                assert!(answer.status == 403 && !answer.text().contains("REF-"), "{role}: {path}");
            }
        }
        assert!(!person.get("/receipts").text().contains("app-files"), "{role} sees no link");
    }
    for path in &paths {
        assert_eq!(csv(&manager.get(path)).len(), if path.starts_with("/download/messages") { 2 } else { 3 }, "{path}");
    }
    let services = server.read(async |store| store.services().await.unwrap());
    let first = services.iter().find(|service| service.name == "Test service").unwrap().id;
    change(&server, Role::Manager, Services::Only(vec![first]));
    for path in &paths {
        let rows = csv(&manager.get(path));
        assert_eq!(rows.len(), 2, "{path}");
        let all = rows.concat().concat();
        assert!(!all.contains("two") && !all.contains("second") && !all.contains("Another"), "{path}: {all}");
    }
}

/// From now on the manager may do and see this.
fn change(server: &Server, role: Role, sees: Services) {
    server.read(async |store| {
        let people = store.people().await.unwrap();
        let manager = people.iter().find(|person| person.email.starts_with("manager")).unwrap();
        store.change_person(manager.id, role, sees, By::itself(), clock::now()).await.unwrap();
    });
}

/// Thousands of receipts, from several connections at once.
fn many(server: &Server, count: usize) {
    let (at, headers) = (server.at, format!("Authorization: Bearer {}\r\n", server.token));
    thread::scope(|scope| {
        for part in 0..AT_ONCE {
            let headers = &headers;
            scope.spawn(move || {
                for n in (part..count).step_by(AT_ONCE) {
                    let body = receipt(&format!("n{n}"), &format!("AB-{n}"), "a@example.org", "delivered").to_string();
                    assert_eq!(exchange(at, &request("POST", "/callbacks", headers, body.as_bytes())).status, 200);
                }
            });
        }
    });
}

#[test]
fn thousands_of_rows_come_whole_and_in_order_and_the_alarm_of_a_large_export_goes_off() {
    const COUNT: usize = 3_000;
    let server = Server::start();
    many(&server, COUNT);
    let mut manager = server.signed_in("manager");
    let (search, _) = manager.search("a@example.org");
    let kept = csv(&manager.get("/download/receipts/csv"));
    let mut numbers: Vec<usize> = column(&kept, "Id in Notify").iter().map(|id| id[1..].parse().unwrap()).collect();
    for part in 0..AT_ONCE {
        let sent = numbers.iter().filter(|n| **n % AT_ONCE == part);
        assert!(sent.is_sorted_by(|later, earlier| later > earlier), "newest first");
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..COUNT).collect::<Vec<_>>(), "each once");
    for path in ["/download/receipts/xlsx".to_owned(), format!("{search}/xlsx"), "/download/receipts/xlsx?q=AB".into()]
    {
        assert_eq!(xlsx(&manager.get(&path)), kept, "{path}");
    }
    // What is read through, and not looked up, comes whole too.
    assert_eq!(csv(&manager.get("/download/receipts/csv?q=AB-&as=anywhere")).len(), COUNT + 1);
    let alarms = server.signed_in("admin").get("/alarms").text();
    assert!(alarms.contains("rows in a day"), "{alarms}");
}

/// More of a record than waits in sockets and in the server.
fn long_record(server: &Server) {
    let store = rusqlite::Connection::open(server.data.join("counterfoil.db")).unwrap();
    let rows = "WITH RECURSIVE n(id) AS (SELECT -14000 UNION ALL SELECT id + 1 FROM n WHERE id < -1)
                INSERT INTO audit (id, at, who, source, did, detail, key, mac)
                SELECT id, 1, 'somebody', '', 'searched', printf('%.4000c', 'x'), x'00', x'00' FROM n";
    store.execute_batch(rows).unwrap();
}

#[test]
fn a_file_breaks_off_when_whoever_saves_it_may_not_any_more() {
    let server = Server::start();
    // More than waits in sockets.
    let text = "x".repeat(100_000);
    let mut manager = server.signed_in("manager");
    for n in 0..160 {
        post(&server, &serde_json::json!({"id": format!("t{n}"), "source_number": "447700900123", "message": text}));
    }
    long_record(&server);
    let found = manager.post("/subjects", &[("sort", "number"), ("subject", "07700 900123")]);
    let subject = format!("{}/export.json", found.header("location").unwrap());
    let ask = |path: &str| {
        let mut socket = TcpStream::connect(server.at).unwrap();
        socket.write_all(&request("GET", path, &manager.headers(), b"")).unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let mut begun = [0; 1000];
        socket.read_exact(&mut begun).unwrap();
        assert!(begun.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&begun));
        (socket, begun.to_vec())
    };
    let whole = |(mut socket, mut bytes): (TcpStream, Vec<u8>)| {
        let _cut = socket.read_to_end(&mut bytes);
        bytes.ends_with(b"\r\n0\r\n\r\n")
    };
    for path in ["/download/receipts/csv?kind=received-text", &subject, "/audit/csv"] {
        assert!(whole(ask(path)), "{path}: left alone it comes whole");
        let begun = ask(path);
        change(&server, Role::Viewer, Services::All);
        assert!(!whole(begun), "{path}: it has no end");
        assert_eq!(exchange(server.at, &request("GET", path, &manager.headers(), b"")).status, 403);
        change(&server, Role::Manager, Services::All);
    }
    let begun = ask(&subject);
    change(&server, Role::Manager, Services::Only(Vec::new()));
    assert!(!whole(begun), "and what is held by services that they see no more");
}
