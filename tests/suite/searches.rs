//! What is typed into the search box: what it finds, and what stands in an address.

use crate::bodies::escaped;
use crate::pages::{between, furnished};
use crate::server::{Browser, PASSWORD, Server, printed, run};
use counterfoil::store::{By, Role, Services};

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
    let empty = browser.search("nothing like it").1.text().replace("<bdi>", "").replace("</bdi>", "");
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
    assert!(browser.search(&"x1".repeat(500)).0.starts_with("/receipts?q="));
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
    assert!(to.starts_with("/search/"), "it could be the name of a person: {to}");
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

#[test]
fn the_page_says_what_a_term_was_taken_for_and_leads_to_the_other_ways() {
    let server = furnished();
    let mut browser = server.signed_in("caseworker");
    let number = br#"{"id": "n1", "reference": "7654321", "status": "delivered"}"#;
    assert_eq!(server.post("/callbacks", number).status, 200);
    let number = br#"{"id": "n2", "to": "7654321", "status": "delivered"}"#;
    assert_eq!(server.post("/callbacks", number).status, 200);
    for (typed, taken, found) in [
        ("07700 900123", "Searched as a phone number: messages to and from +447700900123.", "r1"),
        ("some.one@example.com", "Searched as an email address: messages to and from some.one@example.com.", "r2"),
        ("HB-2026-1", "Searched as a reference", "r1"),
        ("change it", "as words in received text messages", "t1"),
        ("8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa", "Searched as a Notify ID", ""),
    ] {
        let page = browser.search(typed).1.text();
        assert!(page.contains(taken), "{typed}: {page}");
        assert!(found.is_empty() || page.contains(&format!("href=\"/receipts/{found}\"")), "{typed}");
        assert!(page.contains("anywhere in a reference, number, address or text message</a>"), "{typed}");
    }
    // Seven digits may be either, so both are found.
    let (to, page) = browser.search("7654321");
    let page = page.text();
    assert!(to.starts_with("/search/") && page.contains("Also searched as a reference."));
    assert!(page.contains("2 results for") && page.find("/receipts/n2") < page.find("/receipts/n1"));
    let alone = browser.get(&format!("{to}?as=reference")).text();
    assert!(alone.contains("1 result for") && alone.contains("href=\"/receipts/n1\""));
    assert!(alone.contains(&format!("<a class=\"govuk-link\" href=\"{to}\">as a phone number or email address</a>")));
    // What stands inside is found only where that is asked for.
    assert!(browser.get("/receipts?q=026-1").text().contains("0 results for"));
    let anywhere = browser.get("/receipts?q=026-1&as=anywhere").text();
    assert!(anywhere.contains("3 results for") && anywhere.contains("Searched anywhere in"), "{anywhere}");
    // Another way is a link that says no more than the address one is at; words stand in none even where somebody puts them there.
    let by_link = browser.get("/receipts?q=HB-2026-1").text();
    assert!(by_link.contains("as=words\">as words in text messages</a>"), "{by_link}");
    let words = browser.post("/search", &[("q", "change"), ("as", "words")]);
    let to = words.header("location").unwrap().to_owned();
    assert!(to.starts_with("/search/") && to.ends_with("?as=words"), "{to}");
    assert!(browser.get(&to).text().contains("1 result for"));
    for personal in ["/receipts?q=change&as=words", "/receipts?q=change+it"] {
        let led = browser.get(&format!("{personal}&kind=received-text"));
        let to = led.header("location").unwrap_or_default();
        assert!(to.starts_with("/search/") && to.contains("kind=received-text") && !to.contains("change"), "{to}");
    }
    assert!(browser.get("/receipts?q=HB-2026-1&as=nothing").text().contains("Searched as a reference"));
}

#[test]
fn words_of_a_text_are_marked_in_their_sentence_and_lead_to_the_conversation() {
    let server = furnished();
    let text = br#"{"id": "t9", "source_number": "447700900555", "message": "Hello there. My name is <i>Jos\u00e9</i> Smith\u202e, call\u0000 me \ud83d\udc69\u200d\ud83d\ude92 on Thursday! Thanks"}"#;
    assert_eq!(server.post("/callbacks", text).status, 200);
    let mut browser = server.signed_in("caseworker");
    let (to, page) = browser.search("jose SMITH");
    let page = page.text();
    assert!(to.starts_with("/search/") && to.len() == 72, "a name stands in no address: {to}");
    assert_eq!(between(&page, "<title>", "</title>"), "Search results \u{2013} Counterfoil");
    let token = |code: &str| format!("<span class=\"app-token\">{code}</span>");
    let expected = format!(
        "\u{2026}My name is {}<mark>Jos\u{e9}</mark>{} <mark>Smith</mark>{}, call{} me \u{1f469}\u{200d}\u{1f692} on Thursday!\u{2026}",
        escaped("<i>"),
        escaped("</i>"),
        token("U+202E"),
        token("U+0000")
    );
    assert!(page.contains(&expected), "{page}");
    let (conversation, place) = between(&page, "href=\"/messages/", "\"").split_once('#').unwrap();
    let whole = browser.get(&format!("/messages/{conversation}")).text();
    assert!(whole.contains(&format!("id=\"{place}\" tabindex=\"-1\">Hello there.")), "{whole}");
    assert!(whole.contains("Hello there.") && whole.contains("447700900555"));
    assert!(browser.search("smith jones").1.text().contains("0 results for"), "each word has to be there");
    assert!(browser.search("josé").1.text().contains("<mark>Jos\u{e9}</mark>"), "one word too");
    let (to, page) = browser.search("Thurs");
    assert!(page.text().contains("0 results for"), "a word is a whole one");
    assert!(browser.get(&format!("{to}?as=anywhere")).text().contains("<mark>Thurs</mark>day"), "a part may be");
}

/// Two services and a little of everything.
fn two_services() -> Server {
    let mut server = Server::start();
    let template = "f9d696de-3ce8-459f-9f0e-8781d2fe61a6";
    let post = |server: &Server, bodies: &[String]| {
        for body in bodies {
            assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
        }
    };
    let first = [
        r#"{"id": "sms", "reference": "AB-1", "to": "07700 900123", "status": "delivered", "notification_type": "sms"}"#.to_owned(),
        format!(r#"{{"id": "failed", "reference": "AB-1", "to": "07700 900123", "status": "permanent-failure", "notification_type": "sms", "template_id": "{template}", "template_version": 1}}"#),
        r#"{"notification_id": "back", "reference": "AB-1", "date_sent": "x", "sent_by": "API"}"#.to_owned(),
    ];
    let second = [
        format!(
            r#"{{"id": "email", "reference": "AB-1", "to": "a@b.c", "status": "temporary-failure", "notification_type": "email", "template_id": "{template}", "template_version": 1}}"#
        ),
        r#"{"id": "text", "source_number": "447700900123", "message": "AB-1"}"#.to_owned(),
    ];
    post(&server, &first);
    server.token = printed(&run(&["token", "add", "Second service"], &server.data));
    post(&server, &second);
    server
}

/// The number of the second service, as the list to choose from has it.
fn second(page: &str) -> String {
    page.split("\">Second service</option>").next().unwrap().rsplit("value=\"").next().unwrap().to_owned()
}

const ROWS: [&str; 5] = ["sms", "failed", "back", "email", "text"];

fn rows(page: &str) -> Vec<&'static str> {
    ROWS.into_iter().filter(|row| page.contains(&format!("href=\"/receipts/{row}\""))).collect()
}

#[test]
fn each_filter_holds_alone_and_together_and_can_be_taken_away() {
    let server = two_services();
    let mut browser = server.signed_in("caseworker");
    let year = this_year();
    let service = format!("service={}", second(&browser.get("/receipts").text()));
    let (from, until) = (
        format!("earliest-day=1&earliest-month=jan&earliest-year={}", year - 1),
        format!("latest-day=31&latest-month=12&latest-year={}", year + 1),
    );
    let past = format!("latest-day=31&latest-month=12&latest-year={}", year - 2);
    let template = "template=F9D696DE3CE8459F9F0E8781D2FE61A6";
    for (filter, expected, words) in [
        ("status=delivered", &["sms"][..], "Delivered"),
        ("kind=email", &["email"], "Email"),
        ("kind=text-message", &["sms", "failed"], "Text message"),
        ("kind=letter", &["back"], "Letter"),
        ("kind=received-text", &["text"], "Received text message"),
        ("failed=yes", &["failed", "back", "email"], "Only failures"),
        (&service, &["email"], "Service: Second service"),
        (template, &["failed", "email"], "Template: F9D696DE"),
        (&from, &["sms", "failed", "back", "email"], "From 1 January"),
        (&until, &["sms", "failed", "back", "email"], "Until 31 December"),
        (&past, &[], "Until 31 December"),
    ] {
        let page = browser.get(&format!("/receipts?{filter}")).text();
        assert_eq!(rows(&page), expected, "{filter}");
        assert!(
            page.contains("<a class=\"app-filter-tags__tag app-wrap\" href=\"/receipts\">"),
            "{filter}: it can be taken away"
        );
        assert!(
            page.contains(&format!("Remove this filter:</span> {words}")) && page.contains("Clear filters"),
            "{filter}"
        );
        let (search, _) = browser.search("07700 900123");
        let narrowed = browser.get(&format!("{search}?{filter}")).text();
        let person: Vec<&str> = expected.iter().copied().filter(|row| !["email", "back"].contains(row)).collect();
        let shown: Vec<&str> = rows(&narrowed).into_iter().filter(|row| *row != "text").collect();
        assert_eq!(shown, person.into_iter().filter(|row| *row != "text").collect::<Vec<_>>(), "{filter} of a person");
        assert!(!narrowed.contains("href=\"/receipts?"), "{filter}: links stay with the search");
    }
    let all =
        format!("/receipts?q=AB-1&status=temporary-failure&kind=email&failed=yes&{service}&{template}&{from}&{until}");
    let page = browser.get(&all).text();
    assert_eq!(rows(&page), ["email"]);
    assert_eq!(page.matches("Remove this filter:").count(), 7);
    let without_kind =
        page.split("<a class=\"app-filter-tags__tag app-wrap\" href=\"").nth(2).unwrap().split('"').next().unwrap();
    let without_kind = without_kind.replace("&#38;", "&");
    assert!(without_kind.contains("status=") && !without_kind.contains("kind=") && without_kind.contains("q=AB-1"));
    assert_eq!(rows(&browser.get(&without_kind).text()), ["email"]);
    assert!(page.contains("<a class=\"govuk-link app-filter-tags__clear\" href=\"/receipts?q=AB-1\">"));
    // The form keeps what was chosen, and begins on the first page.
    let form = between(&page, "<form class=\"app-filters__form\"", "</form>");
    for kept in [
        "value=\"temporary-failure\" selected",
        "value=\"email\" selected",
        "checked",
        "value=\"jan\"",
        "name=\"q\" value=\"AB-1\"",
    ] {
        assert!(form.contains(kept), "{kept}: {form}");
    }
    assert!(!form.contains("name=\"after\"") && !form.contains("name=\"page\""));
    let empty = browser.get("/receipts").text();
    assert!(
        !empty.contains("Clear filters")
            && !between(&empty, "<details class=\"govuk-details app-filters\"", ">").contains("open")
    );
    assert!(empty.contains("Second service</option>"));
}

/// This year, with what is around it to spare.
fn this_year() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    1970 + i64::try_from(since.as_secs() / 31_556_952).unwrap()
}

#[test]
fn whoever_sees_one_service_is_offered_none_and_finds_none_of_the_others() {
    let server = two_services();
    let mut browser = server.signed_in("caseworker");
    server.read(|store| async move {
        let service = store.service("Second service").await.unwrap().unwrap().id;
        let id = store.person("caseworker@example.gov.uk").await.unwrap().unwrap().id;
        store.change_person(id, Role::Caseworker, Services::Only(vec![service]), By::command("test"), 0).await.unwrap();
    });
    let page = browser.get("/receipts").text();
    assert!(!page.contains("id=\"service\"") && rows(&page) == ["email"]);
    for filter in ["service=1", "service=99", "service=x", "status=nothing", "kind=pigeon"] {
        assert_eq!(rows(&browser.get(&format!("/receipts?{filter}")).text()), ["email"], "{filter} is none");
    }
}

#[test]
fn a_wrong_date_is_said_by_its_field_and_what_was_typed_stays() {
    let server = furnished();
    let mut browser = server.signed_in("caseworker");
    let (search, _) = browser.search("07700 900123");
    for at in ["/receipts?q=HB-2026-1", "/receipts?", &format!("{search}?")] {
        let page =
            browser.get(&format!("{at}&status=delivered&earliest-day=31&earliest-month=2&earliest-year=2026")).text();
        assert!(page.contains("There is a problem") && page.contains("<title>Error: "), "{at}");
        assert!(page.contains("<a href=\"#earliest-day\">Earliest date must be a real date</a>"), "{at}");
        assert!(page.contains("id=\"earliest-error\" class=\"govuk-error-message\""), "{at}");
        assert!(page.contains("value=\"31\"") && page.contains("value=\"delivered\" selected"), "{at}");
        assert!(!page.contains("<table"), "{at}: nothing is shown that was not asked for");
    }
}

#[test]
fn an_empty_page_says_what_to_try_and_how_far_back_the_store_goes() {
    let server = furnished();
    let mut browser = server.signed_in("caseworker");
    let page = browser.get("/receipts?q=HB-9999&failed=yes").text();
    for words in [
        "You could try",
        "clearing the filters",
        "up to 72 hours",
        "The oldest receipt that you can see arrived at <time",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("are kept for 730 days."));
}

#[test]
fn reading_further_back_is_a_page_of_its_own_without_a_number() {
    let server = furnished();
    let mut browser = server.signed_in("caseworker");
    let page = browser.get("/receipts?q=026-1&as=anywhere&after=0-3&further=yes").text();
    assert!(page.contains("More results for") && page.contains("(further back) \u{2013} Counterfoil"), "{page}");
    assert!(!page.contains("Showing") && page.contains("href=\"/receipts/r1\""));
    let end = browser.get("/receipts?q=026-1&as=anywhere&after=0-1&further=yes");
    assert_eq!(end.status, 200, "the end of it is said, and is no way back to the beginning");
    assert_eq!(browser.get("/receipts?q=026-1&as=anywhere&after=rubbish&further=yes").status, 200);
}

#[test]
fn nothing_personal_that_is_searched_for_stands_in_an_address_a_title_or_the_log() {
    let mut server = furnished();
    let mut browser = server.signed_in("caseworker");
    let personal = ["07700 900123", "some.one@example.com", "Amy Smithson", "Smithson"];
    for typed in personal {
        let (to, first) = browser.search(typed);
        let mut pages = vec![first];
        for more in
            ["?as=words", "?as=anywhere", "?as=reference", "?status=delivered&kind=email&failed=yes", "?earliest-day=1"]
        {
            pages.push(browser.get(&format!("{to}{more}")));
        }
        for page in pages {
            let page = page.text();
            let title = between(&page, "<title>", "</title>");
            assert!(title.trim_start_matches("Error: ").starts_with("Search results"), "{typed}: {title}");
            let addresses = ["href=\"", "action=\""].iter().flat_map(|name| page.split(name).skip(1));
            for address in addresses.map(|rest| rest.split('"').next().unwrap().to_lowercase()) {
                let holds = ["900123", "smithson", "some.one"].iter().any(|part| address.contains(part));
                assert!(!holds, "{typed}: {address}");
            }
        }
    }
    let log = server.log().to_lowercase();
    assert!(!["900123", "smithson", "some.one"].iter().any(|part| log.contains(part)), "{log}");
}
