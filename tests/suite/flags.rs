//! Flags as people meet them: at the conversation and at the text, with the words that say why, first among what is unread.

use rusqlite::Connection;

use crate::contacts::page_with;
use crate::pages::between;
use crate::server::{PASSWORD, Server, printed, run};

fn with_texts(texts: &[(&str, &str)]) -> Server {
    let server = Server::start();
    for (n, (from, said)) in texts.iter().enumerate() {
        let body = serde_json::json!({"id": format!("t{n}"), "source_number": from, "message": said}).to_string();
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    server
}

#[test]
fn a_flag_stands_at_the_conversation_and_at_the_text_with_the_words_that_say_why_and_hides_nothing() {
    let server = with_texts(&[
        ("447700900123", "It is about suicide"),
        ("447700900124", "Please STOP"),
        ("447700900125", "Hello"),
    ]);
    let mut viewer = server.signed_in("viewer");
    page_with(&mut viewer, "/messages", "Possible danger</strong>");
    let inbox = page_with(&mut viewer, "/messages", "Asks to stop</strong>");
    let order = ["447700900123", "447700900125", "447700900124"].map(|number| inbox.find(number).unwrap());
    assert!(order.is_sorted(), "danger is first, then the newest: {inbox}");
    let tag =
        "<strong class=\"govuk-tag govuk-tag--red\">Possible danger</strong> because it says ‘<bdi>suicide</bdi>’";
    assert!(inbox.contains(tag), "{inbox}");
    let narrowed = viewer.get("/messages?flag=danger").text();
    assert!(narrowed.contains("447700900123") && !narrowed.contains("447700900124"), "{narrowed}");
    assert!(narrowed.contains("Remove this filter:</span> Possible danger"), "{narrowed}");
    let any = viewer.get("/messages?flag=any").text();
    assert!(any.contains("447700900124") && !any.contains("447700900125"), "{any}");
    let conversation = viewer.get(&format!("/messages/{}", between(&narrowed, "href=\"/messages/", "\""))).text();
    assert!(conversation.contains(tag) && conversation.contains("It is about suicide"), "{conversation}");
    assert!(!viewer.get("/messages?flag=nonsense").text().contains("Remove this filter"));
}

#[test]
fn why_somebodys_text_is_flagged_goes_along_in_what_is_exported_on_them() {
    let server = with_texts(&[("447700900123", "It is about suicide")]);
    let mut viewer = server.signed_in("viewer");
    page_with(&mut viewer, "/messages", "Possible danger</strong>");
    for format in ["csv", "json"] {
        let arguments = ["subject", "export", "--number", "07700900123", "--format", format];
        let file = printed(&run(&arguments, &server.data));
        assert!(file.contains("Possible danger, because it says ‘suicide’"), "{file}");
    }
}

#[test]
fn a_manager_changes_the_list_tries_a_text_and_what_came_lately_is_held_against_it() {
    let server = with_texts(&[("447700900123", "My marrow is ready"), ("447700900124", "Please STOP")]);
    let mut manager = server.signed_in("manager");
    page_with(&mut manager, "/messages", "Asks to stop</strong>");
    let page = manager.get("/flags").text();
    assert!(page.contains("The list that comes with this service is in use") && page.contains("suicid"), "{page}");
    let list = "[danger]\r\nmarrow is # a vegetable\r\n";
    let tried =
        manager.post("/flags", &[("list", list), ("text", "the MARROW is"), ("do", "try"), ("seen", "")]).text();
    assert!(tried.contains("because it says ‘<bdi>marrow is</bdi>’") && tried.contains("# a vegetable"), "{tried}");
    let tried = manager.post("/flags", &[("list", list), ("text", "STOP"), ("do", "try")]).text();
    assert!(tried.contains("This text would not be flagged") && tried.contains(">\nSTOP</textarea>"), "{tried}");
    let bad = "[danger]\nmarrow\n[dange]\nhello";
    let refused = manager.post("/flags", &[("list", bad), ("do", "save")]).text();
    assert!(refused.contains("<title>Error: ") && refused.contains("Line 3 must be one of"), "{refused}");
    assert!(refused.contains("‘[dange]’") && refused.contains("[dange]\nhello</textarea>"), "{refused}");
    let saved = manager.post("/flags", &[("list", list), ("do", "save"), ("seen", "")]);
    let page = manager.get(saved.header("location").unwrap()).text();
    assert!(page.contains("List saved") && page.contains("manager@example.gov.uk changed it last"), "{page}");
    let inbox = page_with(&mut manager, "/messages", "‘<bdi>marrow is</bdi>’");
    assert!(!inbox.contains("Asks to stop</strong>"), "{inbox}");
    // Somebody who opened it before.
    let mine = "[stop]\nno more";
    let late = manager.post("/flags", &[("list", mine), ("do", "save"), ("seen", "")]).text();
    assert!(late.contains("manager@example.gov.uk changed the list after you opened it"), "{late}");
    assert!(late.contains("[stop]\nno more</textarea>") && late.contains("marrow is # a vegetable"), "{late}");
    let seen = between(&late, "name=\"seen\" value=\"", "\"").to_owned();
    assert_eq!(manager.post("/flags", &[("list", mine), ("do", "save"), ("seen", &seen)]).status, 303);
    let shipped = manager.post("/flags", &[("list", mine), ("do", "put-back"), ("seen", &seen)]).text();
    assert!(shipped.contains("not in use until you save it") && shipped.contains("suicid"), "{shipped}");
    assert!(manager.get("/flags").text().contains("no more\n</textarea>"), "nothing is saved by that");
    let store = Connection::open(server.data.join("counterfoil.db")).unwrap();
    // A list that was sent after the session had ended is offered again.
    manager.post("/sign-out", &[]);
    let long = format!("{}[danger]\nparsnip\n", "# a remark that says why\n".repeat(700));
    let form = [("list", long.as_str()), ("do", "try"), ("text", "a parsnip"), ("seen", &seen)];
    let page = manager.post("/flags", &form).text();
    let kept = between(&page, "name=\"kept\" value=\"", "\"").replace("&#38;", "&");
    let sign_in =
        [("email", "manager@example.gov.uk"), ("password", PASSWORD), ("kept_for", "/flags"), ("kept", &kept)];
    let offered = manager.post("/sign-in", &sign_in).text();
    assert!(offered.contains("<form action=\"/flags\"") && offered.contains("parsnip"), "{offered}");
    assert!(manager.post("/flags", &form).text().contains("because it says ‘<bdi>parsnip</bdi>’"));
    let sql = "SELECT count(*) FROM audit WHERE did = 'changed_flags' AND who = 'manager@example.gov.uk'";
    assert_eq!(store.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
}
