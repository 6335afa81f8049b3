//! What is typed into the search box: what it finds, and what stands in an address.

use crate::pages::furnished;
use crate::server::{Browser, PASSWORD, Server};

#[test]
fn a_reference_is_found_however_it_is_typed_and_stands_in_the_address() {
    let server = furnished();
    let mut browser = server.signed_in("caseworker");
    for typed in ["HB-2026-1", " hb20261\u{200b} ", "hb 2026 1", "HB–2026–1"] {
        let (to, page) = browser.search(typed);
        assert!(to.starts_with("/receipts?q="), "{typed}: {to}");
        let page = page.text();
        let places = ["/receipts/r1", "/receipts/l1", "/receipts/c1", "/receipts/r2"].map(|href| page.find(href));
        assert!(places.iter().all(Option::is_some), "{typed}: receipt, letter, complaint and the longer reference");
        assert!(places[3] > places[0] && places[3] > places[1] && places[3] > places[2], "the exact ones come first");
        assert!(page.contains("4 results for ‘"), "{typed}");
    }
    let empty = browser.search("nothing like it").1.text();
    assert!(empty.contains("0 results for ‘nothing like it’") && empty.contains("You could try"));
    assert!(empty.contains("value=\"nothing like it\""), "what was typed is shown back");
    assert_eq!(browser.search("  ").0, "/receipts");
}

#[test]
fn a_person_is_found_in_any_spelling_and_never_stands_in_an_address() {
    let server = furnished();
    let mut browser = server.signed_in("caseworker");
    for typed in
        ["07700 900123", "+44 (0)7700 900123", "447700900123", "00447700900123", "(07700) 900-123", "7700900123"]
    {
        let (to, page) = browser.search(typed);
        assert!(to.starts_with("/search/") && to.len() == 72, "{typed}: {to}");
        let page = page.text();
        assert!(page.contains("/receipts/r1") && page.contains("/receipts/t1"), "{typed}: what was sent and received");
        assert!(page.contains(&format!("2 results for ‘{typed}’")), "{typed}");
    }
    let (to, page) = browser.search(" some.one@EXAMPLE.com");
    assert!(to.starts_with("/search/") && page.text().contains("/receipts/r2") && page.text().contains("/receipts/c1"));
    let mut colleague = server.signed_in("manager");
    assert!(colleague.get(&to).text().contains("/receipts/r2"), "the link can be shared");
    assert_eq!(Browser::new(server.at).get(&to).status, 303);
}

#[test]
fn what_may_be_personal_goes_to_a_random_name_with_whatever_stands_round_it() {
    let server = furnished();
    let mut browser = server.signed_in("caseworker");
    for (typed, found) in [
        ("07700 900123,", "r1"),
        ("07700 900123;", "r1"),
        ("\"07700900123\"", "r1"),
        ("07700 900123 (mobile)", "r1"),
        ("tel:07700900123", "r1"),
        ("07700_900123", "r1"),
        ("07700 900123 / 07700 900124", "r1"),
        ("+44 7700 900123 ext 1", "r1"),
        ("٠٧٧٠٠٩٠٠١٢٣", "r1"),
        ("Some One <some.one@example.com>", "r2"),
        ("some.one @example.com", "r2"),
        ("c@d.com some.one@example.com", "r2"),
        ("some.one@example.com.", "r2"),
    ] {
        let (to, page) = browser.search(typed);
        assert!(to.starts_with("/search/") && to.len() == 72, "{typed}: {to}");
        assert!(page.text().contains(&format!("href=\"/receipts/{found}\"")), "{typed}");
        let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("q", typed).finish();
        let typed_into_the_address = browser.get(&format!("/receipts?{query}&status=delivered"));
        assert_eq!(typed_into_the_address.status, 303, "{typed}");
        let to = typed_into_the_address.header("location").unwrap();
        assert!(to.starts_with("/search/") && to.ends_with("?status=delivered"), "{typed}: {to}");
        let signed_out = Browser::new(server.at).get(&format!("/receipts?{query}"));
        assert_eq!(signed_out.header("location"), Some("/sign-in?next=%2Freceipts"), "{typed}");
    }
    assert!(browser.search("HB-2026-004217").0.starts_with("/receipts?q="));
}

#[test]
fn a_search_of_somebody_whose_session_ended_is_done_after_the_sign_in() {
    let server = furnished();
    server.signed_in("caseworker");
    for (typed, to) in [("07700 900123", "/search/"), ("HB-2026-1", "/receipts?q=HB-2026-1")] {
        let mut browser = Browser::new(server.at);
        let page = browser.post("/search", &[("q", typed)]).text();
        assert!(page.contains("<h1 class=\"govuk-heading-l\">Sign in</h1>"));
        assert!(page.contains(&format!("name=\"search\" value=\"{typed}\"")));
        let form = |password| [("email", "caseworker@example.gov.uk"), ("password", password), ("search", typed)];
        let again = browser.post("/sign-in", &form("wrong")).text();
        assert!(again.contains(&format!("name=\"search\" value=\"{typed}\"")), "it is kept over a wrong password");
        let signed_in = browser.post("/sign-in", &form(PASSWORD));
        let place = signed_in.header("location").unwrap().to_owned();
        assert!(place.starts_with(to), "{place}");
        assert!(browser.get(&place).text().contains("href=\"/receipts/r1\""));
    }
    assert_eq!(Browser::new(server.at).get("/search").header("location"), Some("/receipts"));
}

#[test]
fn what_cannot_be_searched_for_is_said_by_the_field() {
    let server = Server::start();
    let mut browser = server.signed_in("caseworker");
    let long = "x".repeat(60_000);
    for (typed, error) in [
        (long.as_str(), "Reference, phone number or email address must be 1,000 characters or fewer"),
        ("---", "Enter a reference, phone number or email address"),
        ("\u{200b}", "Enter a reference, phone number or email address"),
    ] {
        let page = browser.post("/search", &[("q", typed)]);
        assert_eq!(page.status, 200);
        let page = page.text();
        assert!(page.contains("There is a problem") && page.contains("<title>Error: "));
        assert!(page.contains(&format!("<a href=\"#q\">{error}</a>")));
        assert!(page.contains(&format!("</span> {error}</p>")) && page.contains("aria-describedby=\"q-error\""));
        assert!(page.contains(&format!("value=\"{typed}\"")), "what was typed is kept");
    }
    assert!(browser.get("/receipts?q=---").text().contains("There is a problem"));
    assert!(browser.search(&"x".repeat(1000)).0.starts_with("/receipts?q="));
}

#[test]
fn a_message_is_found_by_notifys_id_however_it_is_typed() {
    let server = Server::start();
    for id in ["8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa", "odd/id 1"] {
        let body = format!(r#"{{"id": "{id}", "status": "delivered"}}"#);
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    let mut browser = server.signed_in("caseworker");
    for typed in [
        "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa",
        " 8D1EE2F1-0A55-4A1F-A2B2-3BD4B1C5F6AA ",
        "8d1ee2f10a554a1fa2b23bd4b1c5f6aa",
        "8d1ee2f1 0a55 4a1f a2b2 3bd4b1c5f6aa",
        "odd/id 1",
    ] {
        let (to, page) = browser.search(typed);
        assert!(to.starts_with("/receipts?q="), "{typed}");
        assert!(page.text().contains("1 result for"), "{typed}");
    }
}

#[test]
fn a_sender_with_a_name_is_found_by_it() {
    let server = Server::start();
    let text = br#"{"id": "t", "source_number": "MyBank", "message": "hello"}"#;
    assert_eq!(server.post("/callbacks", text).status, 200);
    let (to, page) = server.signed_in("caseworker").search("mybank ");
    assert_eq!(to, "/receipts?q=mybank");
    assert!(page.text().contains("href=\"/receipts/t\""));
}

#[test]
fn a_page_of_results_without_rows_is_the_first_page() {
    let server = furnished();
    let mut browser = server.signed_in("caseworker");
    for at in ["after=0-1&page=9", "before=0-999999&page=2", "after=7-1"] {
        let answer = browser.get(&format!("/receipts?q=HB-2026-1&status=delivered&{at}"));
        if answer.status == 200 {
            assert!(answer.text().contains("href=\"/receipts/r1\""), "{at}");
        } else {
            assert_eq!(answer.header("location"), Some("/receipts?q=HB-2026-1&status=delivered"), "{at}");
        }
    }
    assert_eq!(browser.get("/receipts?q=HB-2026-1&after=7-1").status, 303);
}
