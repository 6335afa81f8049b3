//! `/help/statuses`: what each status means and what to do; `/help/keyboard`: what keys do for whoever switched them on. They hold
//! nothing personal, so everybody may read them.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::problem::{Answer, Problem, answer, html};
use super::results::{StatusTag, receipt_tag};
use super::{Site, get, one_of, request};
use crate::access::Caseworker;
use crate::notify::status::{Advice, Status};
use crate::notify::{Callback, Content};

const PATH: &str = "/help/statuses";

#[derive(Template)]
#[template(path = "help_statuses.html")]
struct StatusesPage {
    chrome: Chrome,
    groups: Vec<Group>,
}

#[derive(Template)]
#[template(path = "help_keyboard.html")]
struct KeyboardPage {
    chrome: Chrome,
}

/// The statuses of one kind.
struct Group {
    id: &'static str,
    heading: &'static str,
    rows: Vec<Row>,
}

struct Row {
    id: String,
    status: StatusTag,
    advice: Advice,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    let statuses = warp::path!("help" / "statuses")
        .and(get())
        .and(request::site(site))
        .and(request::caseworker(site))
        .then(async |site: Arc<Site>, who: Result<Caseworker, Problem>| -> Answer {
            html(&StatusesPage { chrome: site.chrome(who.ok().as_ref(), Here::Nowhere), groups: groups() })
        })
        .map(answer)
        .boxed();
    let keyboard = warp::path!("help" / "keyboard")
        .and(get())
        .and(request::site(site))
        .and(request::caseworker(site))
        .then(async |site: Arc<Site>, who: Result<Caseworker, Problem>| -> Answer {
            html(&KeyboardPage { chrome: site.chrome(who.ok().as_ref(), Here::Nowhere) })
        })
        .map(answer)
        .boxed();
    one_of([statuses, keyboard])
}

fn groups() -> Vec<Group> {
    let sent = [("sms", "Text messages"), ("email", "Emails"), ("letter", "Letters")];
    let mut groups: Vec<Group> =
        sent.into_iter().map(|(sent_as, heading)| Group { id: sent_as, heading, rows: rows(sent_as) }).collect();
    let tag = |words: &str, tone| StatusTag { words: words.to_owned(), tone };
    groups.push(Group {
        id: "others",
        heading: "What else Notify reports",
        rows: vec![
            Row { id: "received".into(), status: tag("Received", "purple"), advice: Advice::RECEIVED_TEXT },
            Row { id: "returned".into(), status: tag("Returned", "orange"), advice: Advice::RETURNED_LETTER },
            Row { id: "spam".into(), status: tag("Marked as spam", "orange"), advice: Advice::COMPLAINT },
        ],
    });
    groups
}

/// Statuses with the same words and the same advice are one row.
fn rows(sent_as: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for status in Status::of_type(sent_as) {
        let (tag, advice) = (receipt_tag(&status, Some(sent_as)), status.advice(Some(sent_as)));
        if !rows.iter().any(|row| row.status.words == tag.words && row.advice == advice) {
            rows.push(Row { id: id(sent_as, &tag.words), status: tag, advice });
        }
    }
    rows
}

/// "sms-not-delivered".
fn id(sent_as: &str, words: &str) -> String {
    format!("{sent_as}-{}", words.to_lowercase().replace(' ', "-"))
}

/// Where the page tells of a callback's status; its beginning where it does not.
pub(super) fn place_of(callback: &Callback) -> String {
    let id = match &callback.content {
        Content::DeliveryReceipt(receipt) => match receipt.notification_type.as_deref() {
            Some(sent_as @ ("sms" | "email" | "letter")) => id(sent_as, &receipt.status.words(Some(sent_as))),
            _ => return PATH.to_owned(),
        },
        Content::ReceivedText(_) => "received".into(),
        Content::ReturnedLetter(_) => "returned".into(),
        Content::Complaint(_) => "spam".into(),
    };
    let is_there = groups().iter().any(|group| group.rows.iter().any(|row| row.id == id));
    if is_there { format!("{PATH}#{id}") } else { PATH.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_have_one_place_and_each_status_that_a_message_can_have_leads_to_one() {
        let mut ids: Vec<String> = groups().into_iter().flat_map(|group| group.rows).map(|row| row.id).collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all);
        for sent_as in ["sms", "email", "letter"] {
            for status in Status::of_type(sent_as) {
                let body =
                    format!(r#"{{"id": "x", "status": "{}", "notification_type": "{sent_as}"}}"#, status.as_str());
                let place = place_of(&Callback::read(body.as_bytes()).unwrap());
                assert!(place.starts_with("/help/statuses#"), "{sent_as} {}: {place}", status.as_str());
            }
        }
        let odd = br#"{"id": "x", "status": "\"><b>odd", "notification_type": "sms"}"#;
        assert_eq!(place_of(&Callback::read(odd).unwrap()), PATH);
    }
}
