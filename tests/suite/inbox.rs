//! The inbox that a team shares, as each of them meets it: taken, handed over, dealt with, with notes, and never over one another.

use rusqlite::Connection;

use crate::pages::between;
use crate::server::{Browser, PASSWORD, Server, exchange, printed, request, run};
use counterfoil::store::{By, Role, Services};

/// A text from a number, as one of Notify's calls.
fn text(id: &str, from: &str, to: &str, said: &str) -> String {
    serde_json::json!({"id": id, "source_number": from, "destination_number": to, "message": said}).to_string()
}

const AMY: &str = "447700900123";

fn with_a_text() -> Server {
    let server = Server::start();
    assert_eq!(server.post("/callbacks", text("t1", AMY, "07860 039001", "Hello").as_bytes()).status, 200);
    server
}

/// The only conversation that somebody sees.
fn conversation(browser: &mut Browser) -> String {
    let inbox = browser.get("/messages").text();
    format!("/messages/{}", between(&inbox, "href=\"/messages/", "\""))
}

/// The versions that a page's forms were made from.
fn seen(page: &str) -> String {
    between(page, "name=\"seen\" value=\"", "\"").to_owned()
}

/// Opens the page and sends one of its forms.
fn change(browser: &mut Browser, path: &str, more: &[(&str, &str)]) -> crate::server::Answer {
    let page = browser.get(path).text();
    let (versions, service) = (seen(&page), between(&page, "name=\"seen\" value=\"", ".").to_owned());
    let form = [&[("seen", versions.as_str()), ("service", &service)], more].concat();
    browser.post(&format!("{path}/handling"), &form)
}

/// What the record says was done to a conversation, the oldest first, without who looked at it.
fn changes(server: &Server) -> Vec<(String, String)> {
    let store = Connection::open(server.data.join("counterfoil.db")).unwrap();
    let sql =
        "SELECT who, did FROM audit WHERE subject IS NOT NULL AND object IS NOT NULL AND did <> 'opened_conversation'";
    let mut rows = store.prepare(sql).unwrap();
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

fn number_of(server: &Server, email: &str) -> String {
    let email = email.to_owned();
    server.read(|store| async move { store.person(&email).await.unwrap().unwrap().id }).to_string()
}

#[test]
fn a_viewer_reads_only_and_everybody_else_may_deal_each_change_with_its_row_in_the_record() {
    let server = with_a_text();
    let mut viewer = server.signed_in("viewer");
    let path = conversation(&mut viewer);
    let page = viewer.get(&path).text();
    assert!(!page.contains("/handling\"") && page.contains("Nobody has taken it"), "{page}");
    let roles = ["caseworker", "manager", "admin"].map(|role| (role, server.signed_in(role)));
    let viewers = number_of(&server, "viewer@example.gov.uk");
    let verbs = [
        ("take", "took_conversation"),
        ("unread", ""),
        ("read", "marked_read"),
        ("unread", "marked_unread"),
        ("note", "added_note"),
        ("remove-note", "removed_note"),
        ("let-go", "let_conversation_go"),
        ("deal", "dealt_with"),
        ("reopen", "reopened"),
        ("take-back", "took_back"),
        ("reopen", "reopened"),
        ("take", "took_conversation"),
        ("hand-over", "handed_over"),
        ("unread", "marked_unread"),
    ];
    for (turn, (role, mut browser)) in roles.into_iter().enumerate() {
        let colleague =
            number_of(&server, if role == "admin" { "manager@example.gov.uk" } else { "admin@example.gov.uk" });
        let note = (turn + 1).to_string();
        for (verb, did) in verbs {
            let form = [("do", verb), ("note", "Called back"), ("to", &colleague), ("id", &note)];
            let before = changes(&server).len();
            assert_eq!(viewer.post(&format!("{path}/handling"), &form).status, 403, "{verb}");
            let answer = change(&mut browser, &path, &form);
            assert_eq!(answer.status, 303, "{role} {verb}: {}", answer.text());
            let expected = (!did.is_empty()).then(|| (format!("{role}@example.gov.uk"), did.to_owned()));
            assert_eq!(changes(&server).get(before..).unwrap(), expected.as_slice(), "{role} {verb}");
        }
        let refused = change(&mut browser, &path, &[("do", "hand-over"), ("to", &viewers)]);
        assert!(refused.status == 200 || refused.status == 303, "{}", refused.text());
        assert_eq!(change(&mut browser, &path, &[("do", "everything")]).status, 400);
        assert_eq!(change(&mut browser, &path, &[("do", "remove-note"), ("id", "99")]).status, 404);
    }
    let mut admin = Browser::new(server.at);
    admin.give_password("admin@example.gov.uk");
    let record = admin.get("/audit").text();
    assert!(record.contains("Handed a conversation over") && record.contains("Wrote a note on a conversation"));
    assert!(record.contains(&format!("href=\"{path}\"")), "the record leads there");
}

#[test]
fn a_change_from_an_older_page_is_refused_says_what_changed_and_keeps_what_was_typed() {
    let server = with_a_text();
    let (mut ann, mut bob) = (server.signed_in("caseworker"), server.signed_in("manager"));
    let path = conversation(&mut ann);
    let old = seen(&ann.get(&path).text());
    let service = old.split('.').next().unwrap().to_owned();
    assert_eq!(change(&mut bob, &path, &[("do", "take")]).status, 303);
    assert_eq!(server.post("/callbacks", text("t2", AMY, "07860 039001", "And another thing").as_bytes()).status, 200);
    let before = changes(&server);
    let typed = "Typed <b>while</b>\nBob took it";
    for (verb, is_note) in [("note", true), ("take", false), ("deal", false), ("take-back", false)] {
        let form = [("do", verb), ("seen", old.as_str()), ("service", &service), ("note", typed)];
        let page = ann.post(&format!("{path}/handling"), &form).text();
        assert!(page.contains("<title>Error: Conversation, Test service"), "{verb}: {page}");
        assert!(page.contains("Your change was not made") && page.contains("href=\"#changes\""), "{verb}");
        assert!(
            page.contains("manager@example.gov.uk took it")
                && page.contains("A new text message arrived for Test service")
        );
        assert!(
            page.contains("Taken by manager@example.gov.uk") && page.contains("And another thing"),
            "the new state"
        );
        assert!(!page.contains("govuk-notification-banner"), "no banner beside an error");
        let kept = between(&page, "<textarea", "</textarea>");
        assert!(!is_note || kept.ends_with("Typed &#60;b&#62;while&#60;/b&#62;\nBob took it"), "{kept}");
        assert_ne!(seen(&page), old, "it can be sent again from there");
    }
    assert_eq!(changes(&server), before, "nothing was done");
    // What was kept is sent from the new page.
    let page = ann.get(&path).text();
    let form = [("do", "note"), ("seen", &seen(&page)), ("service", &service), ("note", typed)];
    assert_eq!(ann.post(&format!("{path}/handling"), &form).status, 303);
    assert!(bob.get(&path).text().contains("caseworker@example.gov.uk opened this conversation at"));
}

#[test]
fn a_form_leads_back_to_where_one_was_says_what_is_done_and_undoes_it() {
    let server = with_a_text();
    let mut ann = server.signed_in("caseworker");
    let path = conversation(&mut ann);
    let from = [("from", "/messages?show=unread")];
    let answer = change(&mut ann, &path, &[&[("do", "deal")], from.as_slice()].concat());
    let to = answer.header("location").unwrap().to_owned();
    assert_eq!(to, format!("{path}?done=deal&from=%2Fmessages%3Fshow%3Dunread"));
    let page = ann.get(&to).text();
    assert!(page.contains("govuk-notification-banner--success") && page.contains("Marked as dealt with"), "{page}");
    assert!(page.contains("href=\"/messages?show=unread\" class=\"govuk-back-link\""), "{page}");
    let banner = between(&page, "govuk-notification-banner__content", "</form>");
    assert!(banner.contains("value=\"take-back\"") && banner.contains("Undo"), "{banner}");
    assert!(page.contains("Dealt with by caseworker@example.gov.uk at"));
    // Whoever is told so by an address alone is told nothing.
    assert!(!ann.get(&format!("{path}?done=take")).text().contains("notification-banner"));
    let undone = change(&mut ann, &path, &[("do", "take-back")]);
    let page = ann.get(undone.header("location").unwrap()).text();
    assert!(
        page.contains("Undone") && page.contains("Not dealt with") && page.contains("Unread"),
        "read and dealt with: {page}"
    );
    for elsewhere in ["//evil.example/messages", "/sign-out", "/messages\r\nX: y"] {
        let answer = change(&mut ann, &path, &[("do", "take"), ("from", elsewhere)]);
        assert_eq!(answer.header("location"), Some(format!("{path}?done=take").as_str()), "{elsewhere}");
        change(&mut ann, &path, &[("do", "let-go")]);
    }
    for (note, words) in [
        ("", "Enter a note"),
        (" \r\n ", "Enter a note"),
        (&"x".repeat(1001), "Note must be 1,000 characters or fewer"),
    ] {
        let page = change(&mut ann, &path, &[("do", "note"), ("note", note)]).text();
        assert!(page.contains("<title>Error: ") && page.contains(&format!("<a href=\"#note\">{words}</a>")), "{words}");
        assert!(page.contains("id=\"note-error\"") && page.contains(note.trim()), "what was typed is kept");
    }
    let page = change(&mut ann, &path, &[("do", "hand-over"), ("to", "")]).text();
    assert!(page.contains("<a href=\"#to\">Select a colleague"), "{page}");
}

#[test]
fn the_menu_says_how_many_are_unread_and_a_new_text_opens_again_what_was_dealt_with() {
    let server = with_a_text();
    let mut ann = server.signed_in("caseworker");
    let path = conversation(&mut ann);
    let count = |browser: &mut Browser| {
        let page = browser.get("/receipts").text();
        page.contains("app-header__count").then(|| between(&page, "app-header__count\">", "</a>").to_owned())
    };
    let one = "1<span class=\"govuk-visually-hidden\"> unread</span></span>";
    assert_eq!(count(&mut ann).as_deref(), Some(one));
    // To look at it changes nothing for the team.
    assert!(ann.get(&path).text().contains("New messages"));
    assert_eq!(count(&mut ann).as_deref(), Some(one));
    assert_eq!(change(&mut ann, &path, &[("do", "deal")]).status, 303);
    assert_eq!(count(&mut ann), None);
    let page = ann.get(&path).text();
    assert!(!page.contains("New messages") && ann.get("/messages?show=open").text().contains("Nothing matches"));
    assert_eq!(server.post("/callbacks", text("t2", AMY, "07860 039001", "Later").as_bytes()).status, 200);
    assert_eq!(count(&mut ann).as_deref(), Some(one));
    let page = ann.get(&path).text();
    let (old, new) = page.split_once("New messages</h2>").unwrap();
    assert!(old.contains("Hello") && new.contains("Later") && page.contains("Not dealt with"), "{page}");
    let newest = page.find("id=\"newest\"").unwrap();
    assert!(newest < page.find("Later").unwrap() && newest > page.find("Hello").unwrap());
    assert!(page.contains("href=\"#newest\""));
}

#[test]
fn nothing_that_is_done_for_another_service_is_seen_or_changed_by_guessing() {
    let mut server = Server::start();
    for (n, name) in ["One", "Two"].iter().enumerate() {
        server.token = printed(&run(&["token", "add", &format!("{name} council")], &server.data));
        for (id, from) in [(format!("both{n}"), AMY), (format!("own{n}"), ["447700900001", "447700900002"][n])] {
            let to = format!("0786003900{n}");
            assert_eq!(
                server.post("/callbacks", text(&id, from, &to, &format!("Text of {name}")).as_bytes()).status,
                200
            );
        }
    }
    let services = server.read(|store| async move { store.services().await.unwrap() });
    let id = |name: &str| services.iter().find(|service| service.name.starts_with(name)).unwrap().id;
    let limited = |role: &str, name: &str| {
        let (email, sees) = (server.add_person(role), Services::Only(vec![id(name)]));
        let role: Role = role.parse().unwrap();
        server.read(|store| async move {
            let person = store.person(&email).await.unwrap().unwrap().id;
            store.change_person(person, role, sees, By::command("test"), 0).await.unwrap();
        });
        let mut browser = Browser::new(server.at);
        browser.give_password(&format!("{role}@example.gov.uk"));
        browser
    };
    let (mut one, mut two) = (limited("caseworker", "One"), limited("manager", "Two"));
    let conversations = |browser: &mut Browser| -> Vec<String> {
        let inbox = browser.get("/messages?sort=newest").text();
        inbox
            .split("href=\"/messages/")
            .skip(1)
            .map(|rest| format!("/messages/{}", rest.split('"').next().unwrap()))
            .collect()
    };
    let (ones, twos) = (conversations(&mut one), conversations(&mut two));
    let both = ones.iter().find(|path| twos.contains(path)).unwrap().clone();
    let own = twos.iter().find(|path| **path != both).unwrap().clone();
    for form in [vec![("do", "take")], vec![("do", "note"), ("note", "Note of Two")], vec![("do", "deal")]] {
        assert_eq!(change(&mut two, &both, &form).status, 303);
    }
    let page = one.get(&both).text();
    for hidden in ["Two", "manager@", "Note of", "0786003901"] {
        assert!(!page.contains(hidden), "{hidden}: {page}");
    }
    assert!(
        page.contains("Nobody has taken it") && page.contains("Not dealt with") && page.contains("There are no notes")
    );
    // Beside the links from other pages there stands as much.
    let theirs = [two.get("/receipts/both1").text(), two.search("07700 900123").1.text()];
    let ones = [one.get("/receipts/both0").text(), one.search("07700 900123").1.text()];
    for page in theirs {
        assert!(page.contains("Read the whole conversation</a> (read, taken by you, dealt with by manager@"), "{page}");
    }
    for page in ones {
        assert!(!page.contains("manager@") && !page.contains("dealt with by"), "{page}");
    }
    let inbox = one.get("/messages").text();
    assert!(!inbox.contains("id=\"holder\""), "whoever has it has it of another service");
    assert!(!inbox.contains("manager@") && !inbox.contains("Two") && inbox.contains(">2<span"), "{inbox}");
    let before = changes(&server);
    let theirs = seen(&two.get(&both).text());
    let of_two = theirs.split('.').next().unwrap().to_owned();
    for (path, form, status) in [
        (&own, vec![("do", "take"), ("seen", theirs.as_str())], 404),
        (&own, vec![("do", "note"), ("note", "x"), ("service", &of_two), ("seen", "")], 404),
        (&both, vec![("do", "note"), ("note", "x"), ("service", &of_two), ("seen", seen(&page).as_str())], 404),
        (&both, vec![("do", "remove-note"), ("id", "1"), ("seen", seen(&page).as_str())], 404),
        (&both, vec![("do", "take"), ("seen", theirs.as_str())], 200),
    ] {
        let answer = one.post(&format!("{path}/handling"), &form);
        assert_eq!(answer.status, status, "{form:?}");
        assert!(!answer.text().contains("Two") && !answer.text().contains("manager@"), "{form:?}");
    }
    assert_eq!(one.get(&own).status, 404);
    for service in ["1", "2", "3", &of_two] {
        let page = one.get(&format!("/messages?service={service}&to=2")).text();
        assert!(!page.contains("Two") && !page.contains("0786003901"), "{page}");
    }
    assert_eq!(changes(&server), before, "nothing was done");
    let managers = number_of(&server, "manager@example.gov.uk");
    let refused = change(&mut one, &both, &[("do", "hand-over"), ("to", &managers)]);
    assert!(refused.text().contains("Select a colleague who can see this conversation"));
}

#[test]
fn filters_are_links_that_hold_no_number_and_can_be_taken_away() {
    let mut server = with_a_text();
    assert_eq!(server.post("/callbacks", text("t2", "447700900124", "07860 039002", "Second").as_bytes()).status, 200);
    server.token = printed(&run(&["token", "add", "Another service"], &server.data));
    assert_eq!(server.post("/callbacks", text("t3", "447700900125", "07860 039003", "Third").as_bytes()).status, 200);
    let mut ann = server.signed_in("caseworker");
    let inbox = ann.get("/messages").text();
    let said = |page: &str| ["Hello", "Second", "Third"].map(|text| page.contains(text));
    let first = ann.get("/messages").text();
    assert_eq!(said(&first), [true; 3]);
    let option = |words: &str| {
        let line = inbox.lines().find(|line| line.contains(&format!(">{words}<"))).unwrap();
        between(line, "value=\"", "\"").to_owned()
    };
    let hello = inbox.split("<tr").find(|row| row.contains("Hello")).unwrap();
    let path = format!("/messages/{}", between(hello, "href=\"/messages/", "\""));
    change(&mut ann, &path, &[("do", "take")]);
    change(&mut ann, &path, &[("do", "read")]);
    let to = option("07860 039002");
    for (query, expected) in [
        ("show=unread", [false, true, true]),
        ("show=mine", [true, false, false]),
        ("show=open", [true; 3]),
        ("show=mine&show=unread", [false; 3]),
        (&format!("service={}", option("Another service")), [false, false, true]),
        (&format!("to={to}"), [false, true, false]),
        ("to=999", [false; 3]),
        ("show=nothing&service=x", [true; 3]),
    ] {
        let page = ann.get(&format!("/messages?{query}")).text();
        let rows = page.split("</form>").last().unwrap();
        assert_eq!(said(rows), expected, "{query}");
        let is_narrowed = !query.contains("nothing");
        assert_eq!(page.contains("Clear filters") && page.contains("Remove this filter"), is_narrowed, "{query}");
        for link in page.split("href=\"/messages?").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(!link.contains("0786") && !link.contains("039"), "{link}");
        }
    }
    let order = |page: &str| ["Hello", "Second", "Third"].map(|text| page.find(text).unwrap());
    assert!(
        order(&ann.get("/messages").text()).iter().max() == Some(&order(&ann.get("/messages").text())[0]),
        "read last"
    );
    change(&mut ann, &path, &[("do", "unread")]);
    assert!(ann.get("/messages?sort=newest").text().contains("Newest first"));
    // What a colleague has, to whoever sees it.
    let anns = number_of(&server, "caseworker@example.gov.uk");
    let choice = format!("<option value=\"{anns}\">caseworker@example.gov.uk</option>");
    assert!(!ann.get("/messages").text().contains(&choice), "one’s own is another filter");
    let mut bob = server.signed_in("manager");
    assert!(bob.get("/messages").text().contains(&choice));
    let page = bob.get(&format!("/messages?holder={anns}")).text();
    assert_eq!(said(page.split("</form>").last().unwrap()), [true, false, false]);
    assert!(page.contains("Remove this filter:</span> Taken by caseworker@example.gov.uk"), "{page}");
    assert!(page.contains(&format!("href=\"/download/messages/csv?holder={anns}\"")), "{page}");
}

#[test]
fn whatever_is_written_is_shown_whole_in_the_conversation_and_cut_in_the_inbox() {
    let server = Server::start();
    let long = "x".repeat(1600);
    let texts = [
        long.as_str(),
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "שלום \u{202e}evil\u{202c} مرحبا",
        "👩\u{200d}🚒 🏳\u{fe0f}\u{200d}🌈 👍🏽",
        "",
        "last",
    ];
    for (n, said) in texts.iter().enumerate() {
        assert_eq!(server.post("/callbacks", text(&format!("t{n}"), AMY, "1", said).as_bytes()).status, 200);
    }
    assert_eq!(server.post("/callbacks", text("own", "447700900124", "1", &long).as_bytes()).status, 200);
    let mut ann = server.signed_in("caseworker");
    let inbox = ann.get("/messages").text();
    assert!(!inbox.contains(&"x".repeat(161)) && inbox.contains(&"x".repeat(100)), "cut");
    let amy = inbox.split("<tr").find(|row| row.contains(AMY)).unwrap();
    let path = format!("/messages/{}", between(amy, "href=\"/messages/", "\""));
    for note in ["<script>alert(2)</script>\u{202e}", &"y".repeat(1000)] {
        assert_eq!(change(&mut ann, &path, &[("do", "note"), ("note", note)]).status, 303);
    }
    let page = ann.get(&path).text();
    let main = between(&page, "<main", "</main>");
    assert!(main.contains(&long) && main.contains(&"y".repeat(1000)), "whole");
    assert!(!main.contains("<script") && !main.contains("<img") && !main.contains('\u{202e}'), "{main}");
    assert!(
        main.contains("U+202E") && main.contains("שלום") && main.contains("👩\u{200d}🚒") && main.contains("(no text)")
    );
    assert!(main.contains("alert(2)") && main.contains("Remove this note"));
}

#[test]
fn a_page_of_a_conversation_keeps_its_way_back_and_leads_to_the_newest() {
    let server = Server::start();
    for n in 0..205 {
        assert_eq!(
            server.post("/callbacks", text(&format!("t{n}"), AMY, "1", &format!("number {n}.")).as_bytes()).status,
            200
        );
    }
    let mut ann = server.signed_in("caseworker");
    let path = conversation(&mut ann);
    let headers = format!("{}Referer: http://localhost/messages?show=unread\r\n", ann.headers());
    let newest = exchange(server.at, &request("GET", &path, &headers, b"")).text();
    let link = |page: &str, rel: &str| {
        let before = page.split_once(&format!("\" rel=\"{rel}\"")).unwrap().0;
        before.rsplit_once("href=\"").unwrap().1.replace("&#38;", "&")
    };
    let earlier = ann.get(&link(&newest, "next")).text();
    let back = "href=\"/messages?show=unread\" class=\"govuk-back-link\"";
    assert!(newest.contains(back) && earlier.contains(back), "{earlier}");
    assert!(earlier.contains("number 0.") && !earlier.contains("/handling\""), "what is not seen is not dealt with");
    assert!(earlier.contains(&format!("href=\"{path}?from=%2Fmessages%3Fshow%3Dunread#newest\"")), "{earlier}");
    assert!(ann.get(&link(&earlier, "prev")).text().contains(back));
    // From a search to the page that holds what was found.
    let found = ann.post("/search", &[("q", "number 0"), ("as", "words")]);
    let found = ann.get(found.header("location").unwrap()).text();
    let found = between(&found, "href=\"/messages/", "\"").replace("&#38;", "&");
    let (led, place) = found.split_once('#').unwrap();
    let led = ann.get(&format!("/messages/{led}")).text();
    assert!(led.contains(&format!("id=\"{place}\" tabindex=\"-1\">number 0.")), "{led}");
    assert!(between(&led, "<title>", "</title>").contains("(page 2)") && !led.contains("/handling\""), "{led}");
    assert_eq!(link(&led, "prev"), path, "and on the way that one would have gone");
    // On paper all of it is on one page, and nothing is done from there.
    assert!(led.contains(&format!("href=\"{path}?print=yes\"")) && newest.contains("print=yes"), "{led}");
    let whole = ann.get(&format!("{path}?print=yes")).text();
    let order = ["number 0.", "number 1.", "number 100."].map(|said| whole.find(&format!(">{said}<")).unwrap());
    assert!(order.is_sorted() && !whole.contains("/handling\"") && !whole.contains("rel=\"next\""), "{order:?}");
    let count = whole.matches("<li class=\"app-message ").count();
    assert!(count > 200 && whole.contains(&format!("All {count} messages and reports are on this page.")), "{count}");
    assert!(!ann.get(&format!("{path}?print=yes&before=1")).text().contains("(page"), "it has no pages");
}

#[test]
fn a_note_outlives_the_end_of_the_session_without_javascript() {
    let server = with_a_text();
    let mut ann = server.signed_in("caseworker");
    let path = conversation(&mut ann);
    let versions = seen(&ann.get(&path).text());
    let service = versions.split('.').next().unwrap().to_owned();
    ann.post("/sign-out", &[]);
    let form = [("do", "note"), ("seen", versions.as_str()), ("service", &service), ("note", "Typed at length")];
    let page = ann.post(&format!("{path}/handling"), &form).text();
    let kept = between(&page, "name=\"kept\" value=\"", "\"").replace("&#38;", "&");
    let sign_in = [
        ("email", "caseworker@example.gov.uk"),
        ("password", PASSWORD),
        ("kept_for", &format!("{path}/handling")),
        ("kept", &kept),
    ];
    let offered = ann.post("/sign-in", &sign_in).text();
    assert!(offered.contains("Typed at length") && offered.contains(&format!("{path}/handling")), "{offered}");
    assert_eq!(ann.post(&format!("{path}/handling"), &form).status, 303);
    assert!(ann.get(&path).text().contains("Typed at length"));
}
