//! Emails to the people who look, by a real mail server: who gets which, that none says what was written, and that a mail server that
//! fails harms nothing else.

use std::fs;
use std::net::TcpListener;

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use crate::checklist::faults;
use crate::contacts::page_with;
use crate::mail_server::MailServer;
use crate::pages::between;
use crate::server::{Browser, Server, folder, printed, run};

/// What must stand in no email.
const NUMBER: &str = "7700900123";
const SAYS: &str = "It is about suicide, and HB-2026-000042";
const PERSONAL: [&str; 5] = [NUMBER, "900123", "suicide", "HB-2026", "7700900124"];
const QUARTER: &str = "UPDATE email_news SET told_at = told_at - 900000000";

fn text(id: &str, number: &str) -> String {
    serde_json::json!({"id": id, "source_number": format!("44{number}"), "message": SAYS}).to_string()
}

fn sql(server: &Server, sql: &str) {
    Connection::open(server.data.join("counterfoil.db")).unwrap().execute_batch(sql).unwrap();
}

/// The next email, to whom it is, and its subject. It says nothing personal, in plain words or in the bytes that went over the wire.
fn next(mail: &MailServer) -> (Value, String, String) {
    let email = mail.next();
    let said = ["subject", "text", "raw"].map(|part| email[part].as_str().unwrap()).concat();
    for personal in PERSONAL {
        assert!(!said.contains(personal), "{personal}: {said}");
    }
    assert!(said.contains("Auto-Submitted: auto-generated"), "{said}");
    assert_eq!(email["from"], "counterfoil@council.example");
    let (to, subject) = (email["to"][0].as_str().unwrap().to_owned(), email["subject"].as_str().unwrap().to_owned());
    (email, to, subject)
}

/// Nothing is due: two emails that are asked for come right after each other.
fn nothing_is_due(server: &Server, browser: &mut Browser, mail: &MailServer) {
    for _ in 0..2 {
        sql(server, "UPDATE email_addresses SET asks = 0");
        let asked = browser.post("/account/emails", &[("do", "test")]);
        assert_eq!(asked.header("location"), Some("/account/emails?done=test"));
        assert_eq!(next(mail).2, "Test email from Counterfoil");
    }
}

fn look(browser: &mut Browser) -> String {
    let page = browser.get("/account/emails").text();
    assert_eq!(faults(&page), Vec::<String>::new());
    page
}

struct Tls {
    folder: TempDir,
}

impl Tls {
    fn new() -> Tls {
        let (folder, made) = (folder(), rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap());
        fs::write(folder.path().join("certificate"), made.cert.pem()).unwrap();
        fs::write(folder.path().join("key"), made.signing_key.serialize_pem()).unwrap();
        fs::write(folder.path().join("password"), "p@ss:word\n").unwrap();
        Tls { folder }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn mail_server(&self, more: &[&str]) -> Option<MailServer> {
        let (certificate, key) = (self.file("certificate"), self.file("key"));
        let arguments = [&["--certificate", &certificate, "--key", &key, "--password", "p@ss:word"][..], more].concat();
        MailServer::start(&arguments)
    }

    fn flags(&self, scheme: &str, mail: &MailServer) -> Vec<String> {
        let url = format!("{scheme}://counter%66oil@localhost:{}", mail.port);
        let (password, authority) = (self.file("password"), self.file("certificate"));
        let flags = [
            ["--smtp-url", &url],
            ["--smtp-password-file", &password],
            ["--smtp-ca-file", &authority],
            ["--smtp-from", "Counterfoil <counterfoil@council.example>"],
            ["--public-url", "https://counterfoil.example/"],
        ];
        flags.concat().into_iter().map(str::to_owned).collect()
    }
}

/// What nobody has read in time is told to who asked, and to managers, once; to nobody whose account is closed.
fn danger_is_told_once(server: &Server, amy: &mut Browser, mail: &MailServer) -> Browser {
    let (mut admin, mut max) = (server.signed_in("admin"), server.signed_in("manager"));
    assert_eq!(amy.post("/account/emails", &[("do", "choose"), ("news", "escalated")]).status, 303);
    let insert = "INSERT INTO email_addresses (person, address) SELECT id, role || '@council.example' FROM people WHERE role IN ('manager', 'viewer')
         ON CONFLICT (person) DO UPDATE SET address = excluded.address";
    sql(server, insert);
    assert!(look(&mut max).contains("Because of your role you are emailed"));
    assert_eq!(admin.post("/settings", &[("minutes", "30"), ("hours", "Texts are read 9am to 5pm")]).status, 303);
    nothing_is_due(server, amy, mail);
    sql(server, "UPDATE callbacks SET arrived_at = arrived_at - 3600000000 WHERE notify_id IN ('t1', 't2')");
    let mut told = [next(mail), next(mail)].map(|(email, to, subject)| {
        assert_eq!(subject, "2 texts may tell of danger and are unread");
        let said = email["text"].as_str().unwrap();
        assert!(
            said.contains("for more than 30 minutes") && said.contains("/messages?show=unread&flag=danger"),
            "{said}"
        );
        to
    });
    told.sort();
    assert_eq!(told, ["amy@council.example", "manager@council.example"]);
    sql(server, QUARTER);
    nothing_is_due(server, amy, mail);
    printed(&run(&["user", "disable", "caseworker@example.gov.uk"], &server.data));
    sql(server, "UPDATE callbacks SET arrived_at = arrived_at - 3600000000 WHERE notify_id = 't4'");
    let (_, to, subject) = next(mail);
    assert_eq!((to.as_str(), subject.as_str()), ("manager@council.example", "1 text may tell of danger and is unread"));
    nothing_is_due(server, &mut max, mail);
    max
}

#[test]
fn people_are_told_of_texts_that_they_may_see_where_they_confirmed_an_address_and_never_what_was_written() {
    let tls = Tls::new();
    let Some(mail) = tls.mail_server(&[]) else { return };
    let flags = tls.flags("smtp", &mail);
    let mut server = Server::start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let mut amy = server.signed_in("caseworker");
    assert!(amy.get("/account").text().contains("You get no emails."));

    // An address that somebody typed gets a code and nothing else.
    let refused = amy.post("/account/emails", &[("do", "address"), ("email", "amy")]).text();
    assert!(refused.contains("<title>Error: ") && refused.contains("value=\"amy\""), "{refused}");
    assert_eq!(faults(&refused), Vec::<String>::new());
    assert_eq!(amy.post("/account/emails", &[("do", "address"), ("email", "amy@council.example")]).status, 303);
    let (email, to, subject) = next(&mail);
    assert_eq!((to.as_str(), subject.as_str()), ("amy@council.example", "Your code for emails from Counterfoil"));
    assert_eq!((&email["encrypted"], &email["by"]), (&Value::Bool(true), &Value::String("counterfoil".into())));
    let code = email["text"].as_str().unwrap()[..6].to_owned();
    assert!(look(&mut amy).contains("We sent an email with a code to <bdi>amy@council.example</bdi>"));
    for (form, said) in [
        ([("do", "choose"), ("news", "new")], "Confirm an address first"),
        ([("do", "code"), ("code", "1234567")], "The code is wrong"),
        ([("do", "code"), ("code", "")], "Enter the code from the email"),
        ([("do", "test"), ("code", "")], "Confirm an address first"),
    ] {
        let page = amy.post("/account/emails", &form).text();
        assert!(page.contains(said) && faults(&page).is_empty(), "{said}: {page}");
    }
    let other = server.signed_in("viewer").post("/account/emails", &[("do", "code"), ("code", &code)]).text();
    assert!(other.contains("The code no longer works"), "it is nobody else’s: {other}");
    let confirmed = amy.post("/account/emails", &[("do", "code"), ("code", &format!(" {code} "))]);
    assert_eq!(confirmed.header("location"), Some("/account/emails?done=confirmed"));
    assert_eq!(server.post("/callbacks", text("t0", "7700900200").as_bytes()).status, 200);
    let form = [("do", "choose"), ("news", "flagged"), ("news", "mine"), ("news", "new")];
    assert_eq!(amy.post("/account/emails", &form).header("location"), Some("/account/emails?done=saved"));
    let page = look(&mut amy);
    assert!(page.contains("value=\"mine\" checked") && !page.contains("value=\"escalated\" checked"), "{page}");

    // What was there before is no news; each kind of it is told once, and not again within a quarter of an hour.
    page_with(&mut amy, "/messages?flag=danger", "447700900200");
    nothing_is_due(&server, &mut amy, &mail);
    assert_eq!(server.post("/callbacks", text("t1", NUMBER).as_bytes()).status, 200);
    let mut subjects = [next(&mail), next(&mail)].map(|(email, to, subject)| {
        let said = email["text"].as_str().unwrap();
        assert!(
            said.contains("Test service: 1\n") && said.contains("https://counterfoil.example/messages?show="),
            "{said}"
        );
        assert_eq!(to, "amy@council.example");
        subject
    });
    subjects.sort();
    assert_eq!(subjects, ["1 conversation has new texts", "1 conversation has newly flagged texts"]);
    assert_eq!(server.post("/callbacks", text("t2", "7700900124").as_bytes()).status, 200);
    page_with(&mut amy, "/messages?flag=danger", "447700900124");
    nothing_is_due(&server, &mut amy, &mail);

    // Another start, and a mail server that is spoken to by TLS from the beginning.
    let (folder, token) = (server.keep_folder().unwrap(), server.token.clone());
    server.kill();
    let mail = tls.mail_server(&["--smtps"]).unwrap();
    let flags = tls.flags("smtps", &mail);
    let mut server =
        Server::start_in(&folder.path().join("store"), &flags.iter().map(String::as_str).collect::<Vec<_>>());
    server.token = token;
    server.hold(folder);
    let mut amy = Browser::new(server.at);
    amy.give_password("caseworker@example.gov.uk");
    nothing_is_due(&server, &mut amy, &mail);
    sql(&server, QUARTER);
    let mut subjects = [next(&mail).2, next(&mail).2];
    subjects.sort();
    assert_eq!(subjects, ["1 conversation has new texts", "1 conversation has newly flagged texts"], "of the second");

    // One's own; and only what one sees counts.
    let inbox = amy.get("/messages").text();
    let row = inbox.split("href=\"/messages/").find(|row| row.contains("447700900124")).unwrap();
    let path = format!("/messages/{}", row.split('"').next().unwrap());
    let seen = between(&amy.get(&path).text(), "name=\"seen\" value=\"", "\"").to_owned();
    assert_eq!(amy.post(&format!("{path}/handling"), &[("seen", &seen), ("do", "take")]).status, 303);
    assert_eq!(amy.post("/account/emails", &[("do", "choose"), ("news", "mine")]).status, 303);
    assert_eq!(server.post("/callbacks", text("t3", NUMBER).as_bytes()).status, 200);
    nothing_is_due(&server, &mut amy, &mail);
    assert_eq!(server.post("/callbacks", text("t4", "7700900124").as_bytes()).status, 200);
    assert_eq!(next(&mail).2, "1 conversation that you have taken has new texts");
    sql(&server, QUARTER);
    sql(&server, "UPDATE people SET limited = 1 WHERE id = 1");
    assert_eq!(server.post("/callbacks", text("t5", "7700900124").as_bytes()).status, 200);
    nothing_is_due(&server, &mut amy, &mail);
    sql(&server, "UPDATE people SET limited = 0 WHERE id = 1; UPDATE email_news SET since = 1000000");

    let mut max = danger_is_told_once(&server, &mut amy, &mail);

    // What somebody chose is on record, and the address is nowhere there or in the log.
    assert_eq!(max.post("/account/emails", &[("do", "remove")]).status, 303);
    assert!(max.get("/account").text().contains("You get no emails."));
    let store = Connection::open(server.data.join("counterfoil.db")).unwrap();
    let list =
        "SELECT group_concat(detail, '; ') FROM audit WHERE did = 'changed_emails' AND detail NOT LIKE '%test email'";
    let details: String = store.query_row(list, [], |row| row.get(0)).unwrap();
    assert_eq!(
        details,
        "asked for a code; confirmed an address; chose flagged, mine, new; chose mine; chose escalated; removed the address"
    );
    let log = server.log();
    assert!(!log.contains("council.example") && !log.contains("p@ss"), "{log}");
}

#[test]
fn a_mail_server_that_fails_holds_up_nothing_is_tried_again_and_admins_see_why() {
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let url = format!("smtp://counterfoil:right@127.0.0.1:{port}");
    let from = "counterfoil@council.example";
    let mut server =
        Server::start_with(&["--smtp-url", &url, "--smtp-from", from, "--public-url", "https://counterfoil.example"]);
    let (mut amy, mut admin) = (server.signed_in("caseworker"), server.signed_in("admin"));
    sql(&server, "INSERT INTO email_addresses (person, address) VALUES (1, 'amy@council.example')");
    assert_eq!(amy.post("/account/emails", &[("do", "choose"), ("news", "new")]).status, 303);
    assert_eq!(server.post("/callbacks", text("t1", NUMBER).as_bytes()).status, 200);
    let waits = silent.accept().unwrap();
    for n in 0..20 {
        assert_eq!(server.post("/callbacks", text(&format!("m{n}"), NUMBER).as_bytes()).status, 200);
        assert_eq!(amy.get("/messages").status, 200);
    }
    assert!(!admin.get("/settings").text().contains("have not gone out"));
    drop((waits, silent));
    let page = page_with(&mut admin, "/settings", "the mail server cannot be reached");
    assert!(page.contains("Emails to people have not gone out since"), "{page}");
    assert!(look(&mut amy).contains("Emails are not going out at the moment"));

    let Some(mail) = MailServer::start(&["--port", &port, "--password", "another"]) else { return };
    page_with(&mut admin, "/settings", "the mail server refused the user name or password (code 535)");
    drop(mail);
    let mail =
        MailServer::start(&["--port", &port, "--password", "right", "--refuses", "amy@council.example"]).unwrap();
    let page = page_with(&mut admin, "/settings", "The mail server does not take emails to 1 person");
    assert!(!page.contains("have not gone out"), "{page}");
    assert!(look(&mut amy).contains("The last email to you was not taken by the mail server"));
    drop(mail);
    let mail = MailServer::start(&["--port", &port, "--password", "right"]).unwrap();
    let (email, _, subject) = next(&mail);
    assert_eq!((subject.as_str(), &email["encrypted"]), ("1 conversation has new texts", &Value::Bool(false)));
    while admin.get("/settings").text().contains("The mail server") {}
    nothing_is_due(&server, &mut amy, &mail);
    let log = server.log();
    for event in ["email.failed", "email.refused", "email.goes_again"] {
        assert!(log.contains(event), "{event}: {log}");
    }
    assert!(!log.contains("amy@") && !log.contains(NUMBER) && !log.contains("right"), "{log}");
}
