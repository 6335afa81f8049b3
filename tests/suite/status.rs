//! The status page knows the last 24 hours, whatever became of the server meanwhile.

use crate::server::{Browser, Server, folder, printed, run};

/// What the page says of the last 24 hours, without the hours themselves: those pass.
fn said(server: &Server, admin: &str) -> Vec<String> {
    let mut browser = Browser::new(server.at);
    browser.give_password(admin);
    let page = browser.get("/status").text();
    let lately = page.split_once("<h2 class=\"govuk-heading-m\">The last 24 hours</h2>").expect("it is shown").1;
    let services = lately.split_once("Services</caption>").expect("they are shown").1.split_once("</table>").unwrap().0;
    let captions = lately.lines().filter(|line| line.contains("<figcaption")).map(str::to_owned);
    captions.chain([services.to_owned()]).collect()
}

#[test]
fn the_last_24_hours_are_the_same_after_a_restart_and_after_a_crash() {
    let folder = folder();
    let data = folder.path().join("store");
    let token = printed(&run(&["token", "add", "Test service"], &data));
    let start = || {
        let mut server = Server::start_in(&data, &[]);
        server.token.clone_from(&token);
        server
    };
    let server = start();
    let admin = server.add_person("admin");
    for body in [r#"{"id": "a", "status": "delivered"}"#, r#"{"id": "b", "status": "delivered"}"#, "nonsense"] {
        assert_eq!(server.post("/callbacks", body.as_bytes()).status, 200);
    }
    assert_eq!(server.post_with("/callbacks", "Authorization: Bearer another\r\n", b"{}").status, 401);
    let before = said(&server, &admin);
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    let server = start();
    let after = said(&server, &admin);
    // How many came is written down once a minute, and so is told a little late while the server runs.
    for words in ["3 came. Most did", "1 were refused.", "99 of 100 callbacks were answered", "Delivery receipt: <time"]
    {
        assert!(after.concat().contains(words), "{words}: {after:?}");
    }
    assert_eq!(after[1..3], before[1..3], "what was refused, and how long answers took");
    let complaint =
        br#"{"notification_id": "a", "complaint_id": "c", "reference": null, "to": "a@b.c", "complaint_date": null}"#;
    assert_eq!(server.post("/callbacks", complaint).status, 200);
    server.kill();
    let after = said(&start(), &admin).concat();
    for words in ["4 came. Most did", "1 were refused.", "Complaint: <time", "Not understood: <time"] {
        assert!(after.contains(words), "{words}: {after}");
    }
}
