//! People as an admin lets them in, changes what they may do and keeps them out, over sockets.

use counterfoil::store::{Services, Store};

use crate::pages::between;
use crate::server::{Browser, PASSWORD, Server, printed, run};

/// What somebody did by the record, oldest first: the word, to what, and the rest.
pub(crate) fn recorded(server: &Server, who: &str) -> Vec<(String, String, String)> {
    let store = rusqlite::Connection::open(server.data.join("counterfoil.db")).unwrap();
    let sql = "SELECT did, coalesce(object, ''), coalesce(detail, '') FROM audit WHERE who = ?1 ORDER BY id";
    let mut rows = store.prepare(sql).unwrap();
    let rows = rows.query_map([who], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// What was done last.
fn last(server: &Server) -> (String, String, String) {
    recorded(server, "admin@example.gov.uk").pop().unwrap()
}

fn said(did: &str, object: &str, detail: &str) -> (String, String, String) {
    (did.to_owned(), object.to_owned(), detail.to_owned())
}

fn number_of(server: &Server, email: &str) -> i64 {
    let email = email.to_owned();
    server.read(|store: Store| async move { store.person(&email).await.unwrap().unwrap().id })
}

/// The link that a page shows.
fn link(page: &str) -> String {
    between(page, "data-copy=\"Copy link\">", "<").to_owned()
}

fn path_of(link: &str) -> &str {
    &link[link.find("/set-password/").unwrap()..]
}

#[test]
fn an_admin_adds_a_person_who_comes_in_by_a_link_that_is_shown_once() {
    let mut server = Server::start();
    let mut admin = server.signed_in("admin");
    let services = server.read(|store| async move { store.services().await.unwrap() });
    let number = services[0].id;
    assert!(admin.get("/people/invite").text().contains("Test service"));
    let sees = format!("{number:?}").chars().filter(char::is_ascii_digit).collect::<String>();
    let form = [("email", " New@Example.gov.uk "), ("role", "caseworker"), ("services", &sees)];
    let answer = admin.post("/people/invite", &form);
    let page = answer.text();
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    let link = link(&page);
    assert!(link.starts_with("http://localhost/set-password/") && page.contains("shown only once"), "{page}");
    let id = number_of(&server, "new@example.gov.uk");
    let account = format!("account {id}");
    let done = recorded(&server, "admin@example.gov.uk");
    assert_eq!(
        done[done.len() - 2..],
        [said("added_person", &account, &format!("caseworker, services {sees}")), said("made_link", &account, "")]
    );
    for page in ["/people".to_owned(), format!("/people/{id}")] {
        let page = admin.get(&page).text();
        assert!(page.contains("No password yet") && !page.contains("/set-password/"), "{page}");
    }
    let mut new = Browser::new(server.at);
    assert_eq!(new.post(path_of(&link), &[("password", "another three words")]).status, 303);
    assert_eq!((new.get("/receipts").status, new.get("/quarantine").status), (200, 403));
    assert!(Browser::new(server.at).get(path_of(&link)).text().contains("no longer works"));
    assert!(admin.get(&format!("/people/{id}")).text().contains("Enabled"));
    let log = server.log();
    assert!(!log.contains(path_of(&link)) && !log.contains("new@example.gov.uk"), "{log}");
    let again = admin.post("/people/invite", &form).text();
    assert!(again.contains("<title>Error: ") && again.contains("already an account"), "{again}");
}

#[test]
fn a_link_begins_with_the_address_that_people_use() {
    let server = Server::start_with(&["--public-url", "https://callbacks.example.gov.uk"]);
    let mut admin = server.signed_in("admin");
    let form = [("email", "new@example.gov.uk"), ("role", "viewer"), ("services", "all")];
    let page = admin.post("/people/invite", &form).text();
    assert!(link(&page).starts_with("https://callbacks.example.gov.uk/set-password/"), "{page}");
}

#[test]
fn what_a_person_may_do_changes_from_their_next_page_on() {
    let server = Server::start();
    run(&["token", "add", "Another service"], &server.data);
    assert_eq!(server.post("/callbacks", br#"{"id": "r1", "status": "delivered"}"#).status, 200);
    let (mut admin, mut viewer) = (server.signed_in("admin"), server.signed_in("viewer"));
    let id = number_of(&server, "viewer@example.gov.uk");
    let (page, account) = (format!("/people/{id}"), format!("account {id}"));
    assert_eq!((viewer.get("/quarantine").status, viewer.get("/receipts/r1").status), (403, 200));
    let answer = admin.post(&format!("{page}/change"), &[("role", "manager"), ("services", "2")]);
    assert_eq!(answer.header("location"), Some(format!("{page}?done=changed").as_str()));
    assert_eq!(last(&server), said("changed_person", &account, "manager, services 2"));
    let shown = admin.get(&format!("{page}?done=changed")).text();
    assert!(shown.contains("govuk-notification-banner") && shown.contains("Another service"), "{shown}");
    assert!(!shown.contains("Test service"), "{shown}");
    assert_eq!((viewer.get("/quarantine").status, viewer.get("/receipts/r1").status), (200, 404));
    let form = admin.get(&format!("{page}/change")).text();
    assert!(form.contains("value=\"manager\"") && form.matches(" checked").count() == 2, "{form}");
    admin.post(&format!("{page}/change"), &[("role", "viewer"), ("services", "all")]);
    assert_eq!((viewer.get("/quarantine").status, viewer.get("/receipts/r1").status), (403, 200));
}

#[test]
fn a_person_is_kept_out_and_let_in_again() {
    let server = Server::start();
    let (mut admin, mut viewer) = (server.signed_in("admin"), server.signed_in("viewer"));
    let id = number_of(&server, "viewer@example.gov.uk");
    let (page, account) = (format!("/people/{id}"), format!("account {id}"));
    let old = link(&admin.post(&format!("{page}/reset"), &[("password", PASSWORD)]).text());
    assert_eq!(last(&server), said("made_link", &account, ""));
    assert_eq!(viewer.get("/receipts").status, 200, "the password and the session last until the link is used");
    for (part, did) in [("sign-out", "ended_sessions"), ("disable", "disabled_person")] {
        let asked = admin.get(&format!("{page}/{part}"));
        assert!(asked.status == 200 && asked.text().contains("Cancel"), "it is asked first");
        let sign_in = [("email", "viewer@example.gov.uk"), ("password", PASSWORD)];
        viewer.post("/sign-in", &sign_in);
        assert_eq!(viewer.get("/receipts").status, 200);
        let answer = admin.post(&format!("{page}/{part}"), &[]);
        let to = answer.header("location").unwrap();
        assert!(admin.get(to).text().contains("govuk-notification-banner--success"), "{to}");
        assert_eq!(last(&server), said(did, &account, ""));
        assert_eq!(viewer.get("/receipts").status, 303);
    }
    let sign_in = [("email", "viewer@example.gov.uk"), ("password", PASSWORD)];
    assert_eq!(viewer.post("/sign-in", &sign_in).status, 200, "not while disabled");
    assert!(Browser::new(server.at).get(path_of(&old)).text().contains("no longer works"));
    let reset = admin.post(&format!("{page}/reset"), &[]).text();
    assert!(reset.contains("Enable it first") && !reset.contains("data-copy"), "{reset}");
    let lie = admin.get(&format!("{page}?done=enabled")).text();
    assert!(!lie.contains("govuk-notification-banner"), "what is not so is not said");
    assert_eq!(admin.post(&format!("{page}/enable"), &[]).status, 303);
    assert_eq!(last(&server), said("enabled_person", &account, ""));
    assert_eq!(viewer.post("/sign-in", &sign_in).status, 303);
}

#[test]
fn an_admin_keeps_their_own_role_and_account() {
    let server = Server::start();
    let mut admin = server.signed_in("admin");
    let id = number_of(&server, "admin@example.gov.uk");
    let page = admin.get(&format!("/people/{id}")).text();
    assert!(page.contains("This is your own account") && !page.contains("/disable"), "{page}");
    let before = recorded(&server, "admin@example.gov.uk");
    for (part, form) in [("disable", vec![]), ("change", vec![("role", "viewer"), ("services", "all")])] {
        let page = admin.post(&format!("/people/{id}/{part}"), &form).text();
        assert!(page.contains("<title>Error: ") && page.contains("Ask another admin"), "{page}");
    }
    let limited = admin.post(&format!("/people/{id}/change"), &[("role", "admin"), ("services", "1")]).text();
    assert!(limited.contains("because an admin can change what anybody sees"), "{limited}");
    assert_eq!(recorded(&server, "admin@example.gov.uk"), before, "nothing was done");
    assert_eq!(admin.get("/people").status, 200);
}

#[test]
fn a_form_says_each_of_its_faults_and_keeps_what_was_typed() {
    let server = Server::start();
    let mut admin = server.signed_in("admin");
    let page = admin.post("/people/invite", &[("email", "no address")]).text();
    for (field, words) in [
        ("email", "Enter an email address in the correct format, like name@example.gov.uk"),
        ("role", "Select what they can do"),
        ("services", "Select which services they can see"),
    ] {
        assert!(page.contains(&format!("<a href=\"#{field}\">{words}</a>")), "{field}: {page}");
        assert!(page.contains(&format!("id=\"{field}\"")), "the summary leads to {field}");
        assert!(page.contains(&format!("id=\"{field}-error\"")), "{field}: {page}");
    }
    assert!(page.contains("value=\"no address\""), "{page}");
    let form = [("email", "a@b.example"), ("role", "viewer"), ("services", "all"), ("services", "1")];
    let page = admin.post("/people/invite", &form).text();
    assert!(page.contains("not both") && page.matches(" checked").count() == 3, "{page}");
    let people = server.read(|store| async move { store.people().await.unwrap() });
    assert_eq!(people.len(), 1);
}

#[test]
fn no_admin_is_limited_by_a_command_either() {
    let server = Server::start();
    let limited = ["user", "add", "a@b.example", "--role", "admin", "--service", "Test service"];
    let refused = run(&limited, &server.data);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("an admin sees all services"));
    printed(&run(&["user", "add", "a@b.example", "--role", "viewer", "--service", "Test service"], &server.data));
    assert_eq!(run(&["user", "change", "a@b.example", "--role", "admin"], &server.data).status.code(), Some(1));
    printed(&run(&["user", "change", "a@b.example", "--role", "admin", "--all-services"], &server.data));
    let person = server.read(|store| async move { store.person("a@b.example").await.unwrap().unwrap() });
    assert!(person.sees == Services::All);
}

#[test]
fn whoever_lost_their_app_sets_up_another_after_an_admin_has_removed_it() {
    let server = Server::start_by_default();
    let mut browsers = ["admin", "caseworker"].map(|role| {
        server.add_person(role);
        let mut browser = Browser::new(server.at);
        assert_eq!(browser.give_password(&format!("{role}@example.gov.uk")), "/sign-in/set-up");
        browser.set_up_app();
        browser
    });
    let [admin, caseworker] = &mut browsers;
    let id = number_of(&server, "caseworker@example.gov.uk");
    let page = format!("/people/{id}");
    assert!(admin.get(&page).text().contains("Remove authenticator app"));
    assert_eq!(caseworker.get("/receipts").status, 200);
    let answer = admin.post(&format!("{page}/remove-app"), &[("password", PASSWORD)]);
    let shown = admin.get(answer.header("location").unwrap()).text();
    assert!(shown.contains("has no authenticator app and no passkeys") && !shown.contains("/remove-app"), "{shown}");
    assert_eq!(last(&server), said("removed_second_factor", &format!("account {id}"), ""));
    assert_eq!(caseworker.get("/receipts").status, 303);
    assert_eq!(caseworker.give_password("caseworker@example.gov.uk"), "/sign-in/set-up");
}

#[test]
fn how_another_person_signs_in_is_changed_by_who_gives_their_own_password_and_never_ones_own_way_in() {
    let server = Server::start();
    let mut admin = server.signed_in("admin");
    server.add_person("viewer");
    let (own, other) = (number_of(&server, "admin@example.gov.uk"), number_of(&server, "viewer@example.gov.uk"));
    let before = recorded(&server, "admin@example.gov.uk");
    for part in ["reset", "remove-app"] {
        let asked = admin.get(&format!("/people/{other}/{part}")).text();
        assert!(asked.contains("autocomplete=\"current-password\""), "{asked}");
        let page = admin.post(&format!("/people/{other}/{part}"), &[]).text();
        assert!(page.contains("<title>Error: ") && page.contains("Enter your correct password"), "{page}");
        let page = admin.post(&format!("/people/{own}/{part}"), &[("password", PASSWORD)]).text();
        assert!(page.contains("<title>Error: ") && page.contains("This is your own account"), "{page}");
    }
    assert_eq!(recorded(&server, "admin@example.gov.uk"), before);
    let page = admin.post(&format!("/people/{other}/reset"), &[("password", "not my password")]).text();
    assert!(page.contains("Enter your correct password") && !page.contains("data-copy"), "{page}");
    assert_eq!(last(&server), said("password_not_confirmed", "", ""));
    let page = admin.get(&format!("/people/{own}")).text();
    assert!(!page.contains("/reset\"") && !page.contains("/remove-app\""), "{page}");
    assert_eq!(admin.get("/receipts").status, 200);
}
