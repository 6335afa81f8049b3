//! What an owner says on the pages: the service's name, where to get help, the accessibility statement.

use std::fs;

use crate::pages::between;
use crate::server::{Browser, Server, folder};

#[test]
fn the_service_bears_its_owners_name_and_says_on_what_it_runs() {
    let server = Server::start_with(&["--service-name", "Receipts & <replies>"]);
    let mut browser = server.signed_in("caseworker");
    for path in ["/receipts", "/messages", "/cookies", "/accessibility", "/help/statuses", "/nothing-here"] {
        let page = browser.get(path).text();
        assert!(
            between(&page, "<title>", "</title>").ends_with("– Receipts &#38; &#60;replies&#62;"),
            "{path}: {page}"
        );
        assert!(between(&page, "app-header__name\"", "</a>").ends_with("Receipts &#38; &#60;replies&#62;"), "{path}");
        assert!(between(&page, "<footer", "</footer>").contains("This service runs on Counterfoil."), "{path}");
    }
    let mut admin = server.signed_in("admin");
    server.post("/callbacks", b"nonsense");
    for path in [
        "/receipts",
        "/receipts?q=nothing",
        "/messages",
        "/contacts/asked-to-stop",
        "/ask-notify",
        "/quarantine",
        "/quarantine/1",
        "/subjects",
        "/flags",
        "/people",
        "/people/invite",
        "/tokens",
        "/tokens/new",
        "/templates",
        "/settings",
        "/alarms",
        "/account",
        "/account/sessions",
        "/account/second-factor",
        "/account/passkeys",
        "/account/password",
        "/cookies",
        "/accessibility",
        "/help/statuses",
        "/help/keyboard",
        "/sign-in",
        "/nothing-here",
    ] {
        let page = admin.get(path).text();
        assert!(!between(&page, "<main", "</main>").contains("Counterfoil"), "{path}: {page}");
        assert!(!page.contains("issuer=Counterfoil"), "{path}");
    }
    let plain = Server::start();
    let page = Browser::new(plain.at).get("/sign-in").text();
    assert!(page.contains("– Counterfoil</title>") && !page.contains("runs on"));
}

#[test]
fn help_stands_at_the_foot_of_every_page_and_on_those_that_say_what_went_wrong() {
    let contact = "help@council.example";
    let server = Server::start_with(&["--help-contact", contact]);
    let link = format!("Get help: <a class=\"govuk-link\" href=\"mailto:{contact}\">{contact}</a>");
    let mut nobody = Browser::new(server.at);
    let mut browser = server.signed_in("viewer");
    for (mut browser, path, told) in [
        (nobody.clone(), "/sign-in", 1),
        (nobody.clone(), "/nothing-here", 2),
        (browser.clone(), "/receipts", 1),
        (browser.clone(), "/people", 2),
        (browser.clone(), "/receipts/none", 2),
    ] {
        let page = browser.get(path).text();
        assert_eq!(page.matches(&format!("\">{contact}</a>")).count(), told, "{path}: {page}");
        assert_eq!(between(&page, "<main", "</main>").contains(&link), told == 2, "{path}: {page}");
    }
    assert!(browser.post("/receipts", &[]).text().contains(&link), "where the method is wrong");
    assert!(nobody.get("/accessibility").text().contains(&link));
    let words = Server::start_with(&["--help-contact", "Ring 4321 & ask"]);
    assert!(Browser::new(words.at).get("/nothing-here").text().contains("Get help: Ring 4321 &#38; ask<"));
    assert!(!Browser::new(Server::start().at).get("/nothing-here").text().contains("Get help"));
}

#[test]
fn the_accessibility_statement_is_the_owners_or_says_what_they_have_to_write() {
    let server = Server::start();
    let page = Browser::new(server.at).get("/accessibility");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("have not written their own statement yet"));
    let folder = folder();
    let file = folder.path().join("statement.txt");
    fs::write(&file, "We tested <it> on 1 May.\r\nTwice.\r\n\r\nTell us of problems.").unwrap();
    let server = Server::start_with(&["--accessibility-statement", file.to_str().unwrap()]);
    let page = Browser::new(server.at).get("/accessibility").text();
    assert!(
        page.contains(">We tested &#60;it&#62; on 1 May.\nTwice.</p>") && page.contains(">Tell us of problems.</p>")
    );
    assert!(!page.contains("have not written"));
    for path in ["/sign-in", "/nothing-here", "/help/statuses"] {
        let page = Browser::new(server.at).get(path).text();
        let foot = between(&page, "<footer", "</footer>");
        for place in ["/accessibility", "/cookies", "/help/statuses"] {
            assert!(foot.contains(&format!("href=\"{place}\"")), "{path}: {foot}");
        }
    }
}
