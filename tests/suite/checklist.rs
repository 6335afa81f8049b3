//! What every page owes to whoever reads it by eye, by ear or by keyboard. A page that is in the table of roles is looked at by itself;
//! one that cannot be reached from there with what is here has to be added to `more_pages`.

use crate::contacts::page_with;
use crate::pages::{all_pages, between, furnished};
use crate::roles::TABLE;
use crate::server::{Answer, Browser, Server};

/// An element's beginning: its name, its attributes, and all of the page that follows.
struct Tag<'a> {
    name: &'a str,
    attributes: &'a str,
    after: &'a str,
}

impl<'a> Tag<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let (_, rest) = self.attributes.split_once(&format!(" {name}=\""))?;
        rest.split('"').next()
    }

    /// What stands in it, without the elements.
    fn text(&self) -> String {
        let inner = self.after.split(&format!("</{}>", self.name)).next().unwrap();
        let text: Vec<&str> =
            inner.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text)).collect();
        text.concat().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn is_field(&self) -> bool {
        matches!(self.name, "input" | "select" | "textarea") && self.get("type") != Some("hidden")
    }
}

fn tags(page: &str) -> Vec<Tag<'_>> {
    let beginnings =
        page.match_indices('<').filter(|(at, _)| page[at + 1..].starts_with(|c: char| c.is_ascii_lowercase()));
    beginnings
        .map(|(at, _)| {
            let (tag, after) = page[at + 1..].split_once('>').unwrap();
            let end = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
            Tag { name: &tag[..end], attributes: &tag[end..], after }
        })
        .collect()
}

/// A page without all elements of that name.
fn without(page: &str, name: &str) -> String {
    let (begins, ends) = (format!("<{name}"), format!("</{name}>"));
    page.split(&begins).map(|part| part.split_once(&ends).map_or(part, |(_, rest)| rest)).collect()
}

/// What is wrong with a page.
pub(crate) fn faults(page: &str) -> Vec<String> {
    // Scripts are no text, and what a script may show later stands in a template.
    let page = without(&without(page, "script"), "template");
    let page = page.as_str();
    let tags = tags(page);
    let at = |id: &str| tags.iter().find(|tag| tag.get("id") == Some(id));
    let mut faults = Vec::new();
    let mut wrong = |holds: bool, what: &str, tag: &Tag<'_>| {
        if !holds {
            faults.push(format!("{what}: <{}{}> {}", tag.name, tag.attributes, tag.text()));
        }
    };
    let labels: Vec<&str> = tags.iter().filter(|tag| tag.name == "label").filter_map(|tag| tag.get("for")).collect();
    let mut level = 0;
    for tag in &tags {
        for unwanted in ["style", "placeholder", "required", "autofocus", "onclick", "accesskey"] {
            let has = tag.attributes.split([' ', '=']).any(|name| name == unwanted);
            wrong(!has || tag.attributes.contains(&format!("=\"{unwanted}\"")), unwanted, tag);
        }
        wrong(tag.get("tabindex").is_none_or(|order| order == "0" || order == "-1"), "the order is the page's", tag);
        for list in ["aria-describedby", "aria-labelledby"] {
            for id in tag.get(list).unwrap_or_default().split_whitespace() {
                wrong(at(id).is_some_and(|said| !said.text().is_empty()), &format!("{list} {id} says something"), tag);
            }
        }
        match tag.name {
            "h1" | "h2" | "h3" | "h4" => {
                let own: usize = tag.name[1..].parse().unwrap();
                wrong(!tag.text().is_empty(), "an empty heading", tag);
                // The summary of errors and what a banner says stand above the heading of the page.
                wrong(own <= level + 1 || level == 0, "no level is left out", tag);
                level = own;
            }
            "a" | "button" | "summary" | "legend" | "label" | "th" | "caption" | "option" => {
                wrong(!tag.text().is_empty(), "words", tag);
                wrong(tag.name != "th" || tag.get("scope").is_some(), "a scope", tag);
                let words = tag.text().to_lowercase();
                wrong(
                    tag.name != "a" || !["here", "click here", "more", "link"].contains(&words.as_str()),
                    "where to",
                    tag,
                );
            }
            "table" => wrong(tag.after.trim_start().starts_with("<caption"), "a caption first", tag),
            "svg" => {
                wrong(tag.get("aria-hidden") == Some("true") || tag.get("role") == Some("img"), "hidden or told", tag);
            }
            "form" => wrong(tag.attributes.contains(" novalidate"), "novalidate", tag),
            _ => (),
        }
        if tag.is_field() {
            let is_named = tag.get("id").is_some_and(|id| labels.contains(&id)) || tag.get("aria-label").is_some();
            wrong(is_named || tag.get("aria-hidden") == Some("true"), "a label", tag);
            let expected: Option<&[&str]> = match (tag.get("type"), tag.get("name")) {
                (Some("password"), _) => Some(&["current-password", "new-password"]),
                (_, Some("email")) => Some(&["username", "email", "off", "username webauthn"]),
                (_, Some("code")) => Some(&["one-time-code"]),
                _ => None,
            };
            let given = tag.get("autocomplete").unwrap_or_default();
            wrong(expected.is_none_or(|expected| expected.contains(&given)), "what the browser may fill in", tag);
        }
    }
    let summary =
        page.split("class=\"govuk-error-summary\"").nth(1).map_or("", |rest| rest.split("</ul>").next().unwrap());
    for link in self::tags(summary).iter().filter(|tag| tag.name == "a") {
        let (to, words) = (link.get("href").unwrap_or_default().trim_start_matches('#'), link.text());
        let Some(target) = at(to) else {
            wrong(false, "the error leads somewhere", link);
            continue;
        };
        if target.is_field() {
            wrong(page.matches(&words).count() > 1, "the words of the summary stand at the field", link);
        } else {
            wrong(target.name == "button" || target.get("tabindex") == Some("-1"), "the keyboard goes along", link);
        }
    }
    let main = page.find("<main").unwrap_or_default();
    if page.find("govuk-error-summary\"").is_some_and(|summary| summary > page.find("<h1").unwrap_or_default()) {
        faults.push("the summary of errors stands above the heading".into());
    }
    if page.contains("govuk-error-summary\"") && page.contains("govuk-notification-banner\"") {
        faults.push("no banner beside a summary of errors".into());
    }
    if page.find("govuk-back-link").is_some_and(|back| back > main) {
        faults.push("the way back stands before main".into());
    }
    faults
}

/// What no link of the table of roles leads to: pages of what is here, and pages that answer a form which was refused.
fn more_pages(server: &Server, browser: &mut Browser) -> Vec<(String, Answer)> {
    let body = br#"{"id": "f1", "reference": "HB-2026-3", "to": "no@example.com", "status": "permanent-failure", "notification_type": "email", "template_id": "f9d696de-3ce8-459f-9f0e-8781d2fe61a6"}"#;
    assert_eq!(server.post("/callbacks", body).status, 200);
    page_with(browser, "/contacts/failed", "HB-2026-3");
    let inbox = browser.get("/messages").text();
    let conversation = format!("/messages/{}", between(&inbox, "href=\"/messages/", "\""));
    let handling = format!("{conversation}/handling");
    let templates = browser.get("/templates").text();
    let template = format!("/templates/{}", between(&templates, "href=\"/templates/", "\""));
    let (search, _) = browser.search("07700 900123");
    let found = browser.post("/subjects", &[("sort", "number"), ("subject", "07700 900123")]);
    let mut pages = vec![("what was asked of a person".to_owned(), found)];
    let mut contacts: Vec<String> =
        ["failed", "fails-now-and-then", "marked-as-spam", "asked-to-stop", "wrong-person", "letter-returned"]
            .iter()
            .flat_map(|list| [format!("/contacts/{list}"), format!("/contacts/{list}?dealt=yes")])
            .collect();
    contacts.extend([conversation, format!("{search}?earliest-day=31"), template.clone()]);
    contacts.extend(
        ["/audit", "/audit?from=yesterday", "/receipts?earliest-day=31&latest-year=1", "/messages?show=unread"]
            .map(str::to_owned),
    );
    pages.extend(contacts.into_iter().map(|path| (path.clone(), browser.get(&path))));
    let seen = |browser: &mut Browser| {
        let page = browser.get(handling.trim_end_matches("/handling")).text();
        between(&page, "name=\"seen\" value=\"", "\"").to_owned()
    };
    for form in [[("do", "note"), ("note", "")], [("do", "hand-over"), ("to", "")], [("do", "take"), ("note", "")]] {
        let seen = seen(browser);
        let form = [form[0], form[1], ("seen", &seen)];
        let answer = browser.post(&handling, &form);
        let to = answer.header("location").map(str::to_owned);
        pages.push((format!("{form:?}"), to.map_or(answer, |to| browser.get(&to))));
    }
    for (path, form) in [
        ("/contacts/failed", &[("dealt", "yes")][..]),
        ("/ask-notify", &[("q", "")]),
        (&template, &[("name", "")]),
        ("/subjects", &[("subject", "")]),
        ("/people/invite", &[]),
        ("/people/1/change", &[]),
        ("/people/1/reset", &[]),
        ("/tokens/new", &[]),
        ("/account/password", &[]),
        ("/search", &[("q", "---")]),
        ("/sign-in", &[("email", ""), ("password", "")]),
    ] {
        let answer = browser.post(path, form);
        let to = answer.header("location").map(str::to_owned);
        pages.push((format!("{path} with {form:?}"), to.map_or(answer, |to| browser.get(&to))));
    }
    pages
}

/// The parts of a path, those that name one of many left open.
fn shape(path: &str) -> Vec<String> {
    let is_one_of_many =
        |part: &str| part.len() > 30 || part.contains(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase());
    let path = path.split('?').next().unwrap();
    path.split('/').map(|part| if is_one_of_many(part) { "_".to_owned() } else { part.to_owned() }).collect()
}

/// Files of what is not here are no page.
fn ends_as_a_file(path: &str) -> bool {
    ["csv", "bytes", "xlsx", "json", "export.csv"]
        .iter()
        .any(|end| path.split('?').next().unwrap().ends_with(&format!("/{end}")))
}

#[test]
fn every_page_can_be_read_by_eye_by_ear_and_by_keyboard() {
    let server = furnished();
    let mut browser = server.signed_in("admin");
    let mut pages = all_pages(&mut browser);
    pages.extend(more_pages(&server, &mut browser));
    // One where a second factor is asked for has other pages.
    let stricter = Server::start_by_default();
    let mut strict = stricter.signed_in("admin");
    for (_, path, _) in TABLE.iter().filter(|(method, _, answers)| *method == "GET" && answers[4] == 200) {
        let answers = [browser.get(path), strict.get(path)];
        let is_page = |answer: &Answer| answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        let (shown, others): (Vec<Answer>, Vec<Answer>) = answers.into_iter().partition(|answer| answer.status == 200);
        let is_file =
            shown.iter().any(|answer| !is_page(answer)) || path.starts_with("/assets/") || ends_as_a_file(path);
        let is_walked = pages.iter().any(|(walked, _)| shape(walked) == shape(path));
        assert!(is_file || is_walked || others.len() < 2, "nobody looks at {path}: add one of its kind to more_pages");
        pages.extend(shown.into_iter().map(|answer| ((*path).to_owned(), answer)));
    }
    let mut found = Vec::new();
    for (path, answer) in &pages {
        let page = answer.text();
        if answer.header("content-type").is_none_or(|kind| !kind.starts_with("text/html")) {
            continue;
        }
        found.extend(faults(&page).into_iter().map(|fault| format!("{path}: {fault}")));
        let titled = page.matches("<title>").count() == 1 && page.matches("<h1").count() == 1;
        if !titled && answer.status == 200 {
            found.push(format!("{path}: one title and one h1"));
        }
    }
    assert!(found.is_empty(), "{} pages:\n{}", pages.len(), found.join("\n"));
}

#[test]
fn a_fault_of_a_page_is_found() {
    let good = "<h1>A</h1><main><form novalidate><label for=\"a\">A</label><input id=\"a\" name=\"a\" type=\"text\"></form></main>";
    assert_eq!(faults(good), Vec::<String>::new());
    for (from, to) in [
        ("<h1>A</h1>", "<h1> <span></span></h1>"),
        ("<h1>A</h1>", "<h1>A</h1><h3>B</h3>"),
        (" novalidate", ""),
        ("for=\"a\"", "for=\"b\""),
        (" type=\"text\"", " type=\"password\""),
        (" type=\"text\"", " type=\"text\" placeholder=\"x\""),
        (" type=\"text\"", " type=\"text\" aria-describedby=\"none\""),
        ("</form>", "</form><a href=\"/\"><span></span></a>"),
        ("</form>", "</form><table><tr><th>A</th></tr></table>"),
        ("<main>", "<main><a class=\"govuk-back-link\" href=\"/\">Back</a>"),
        ("<h1>", "<div class=\"govuk-error-summary\"><ul><li><a href=\"#a\">Enter a</a></li></ul></div><h1>"),
    ] {
        assert_ne!(faults(&good.replace(from, to)), Vec::<String>::new(), "{to}");
    }
}
