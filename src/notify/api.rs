//! What Notify's REST API lists, read as the callbacks that it stands for. Returned letters and complaints cannot be read back: the
//! API does not tell of them.

pub mod one;
pub mod trial;

use form_urlencoded::Serializer;
use serde::Deserialize;

use super::status::Status;
use super::{Callback, Content, DeliveryReceipt, ReceivedText, time};

/// Items on a page of Notify's.
const PAGE: usize = 250;

/// The lists that can be read back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum List {
    /// What the service sent.
    Notifications,
    /// What people sent to it.
    ReceivedTexts,
}

impl List {
    /// Both of them.
    pub const ALL: [List; 2] = [List::Notifications, List::ReceivedTexts];

    /// Its number in the store, which never changes.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            List::Notifications => 1,
            List::ReceivedTexts => 2,
        }
    }

    /// The path and query of the page with what is older than an id, and without one of the newest.
    #[must_use]
    pub fn path(self, older_than: Option<&str>) -> String {
        let (path, jobs) = match self {
            // Without it, what was sent from a spreadsheet is missing.
            List::Notifications => ("/v2/notifications", Some(("include_jobs", "true"))),
            List::ReceivedTexts => ("/v2/received-text-messages", None),
        };
        let asked = jobs.into_iter().chain(older_than.map(|id| ("older_than", id)));
        let query = Serializer::new(String::new()).extend_pairs(asked).finish();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }
}

/// One message of a list.
#[derive(Debug)]
pub struct Item {
    /// Notify's id.
    pub id: String,
    /// When it was made, in microseconds since 1970 UTC.
    pub created_at: Option<i64>,
    /// What Notify would have called back for it.
    pub called_back: CalledBack,
}

/// What Notify calls back for a message.
#[derive(Debug)]
pub enum CalledBack {
    /// This.
    With(Box<Callback>),
    /// Nothing yet: it is on its way.
    Later,
    /// Nothing ever: it is a letter.
    Never,
}

/// A page of a list, newest first.
#[derive(Debug)]
pub struct Page(pub Vec<Item>);

/// An answer is no page of the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the answer is not a page of the list that was asked for")]
pub struct NoPage;

impl Page {
    /// Reads an answer.
    ///
    /// # Errors
    /// When it is something else.
    pub fn read(list: List, body: &[u8]) -> Result<Page, NoPage> {
        let items = match list {
            List::Notifications => {
                let page: Notifications = serde_json::from_slice(body).map_err(|_| NoPage)?;
                page.notifications.into_iter().map(notification).collect()
            }
            List::ReceivedTexts => {
                let page: Texts = serde_json::from_slice(body).map_err(|_| NoPage)?;
                page.received_text_messages.into_iter().map(text).collect()
            }
        };
        Ok(Page(items))
    }

    /// When the oldest of it was made.
    #[must_use]
    pub fn reaches(&self) -> Option<i64> {
        self.0.last().and_then(|last| last.created_at)
    }

    /// The id to go on from; `None` where the list has ended.
    ///
    /// Notify gives what is strictly older than an id, so that what was made in the same moment as the last of a page would be passed
    /// over. The last one that is newer than that moment is asked for, and so what the pages share comes twice.
    #[must_use]
    pub fn older_than(&self) -> Option<&str> {
        let last = self.0.last()?;
        let newer = self.0.iter().rev().find(|item| item.created_at > last.created_at);
        Some(&newer.unwrap_or(last).id)
    }

    /// Whether it is full with messages of one moment, so that others of that moment may be passed over.
    #[must_use]
    pub fn is_one_moment(&self) -> bool {
        let first = self.0.first().map(|item| item.created_at);
        self.0.len() >= PAGE && self.0.iter().all(|item| Some(item.created_at) == first)
    }
}

#[derive(Deserialize)]
struct Notifications {
    notifications: Vec<Notification>,
}

/// A message as Notify lists and tells it.
#[derive(Deserialize)]
struct Notification {
    id: String,
    reference: Option<String>,
    email_address: Option<String>,
    phone_number: Option<String>,
    #[serde(rename = "type")]
    sent_as: Option<String>,
    status: String,
    template: Option<Template>,
    subject: Option<String>,
    body: Option<String>,
    created_at: Option<String>,
    sent_at: Option<String>,
    completed_at: Option<String>,
}

#[derive(Deserialize)]
struct Template {
    id: Option<String>,
    version: Option<i64>,
}

fn notification(listed: Notification) -> Item {
    let (id, created_at) = (listed.id.clone(), listed.created_at.as_deref().and_then(time::instant));
    let status = Status::from(listed.status.as_str());
    if listed.sent_as.as_deref() == Some("letter") {
        return Item { id, created_at, called_back: CalledBack::Never };
    }
    if !status.is_final() {
        return Item { id, created_at, called_back: CalledBack::Later };
    }
    let (template_id, template_version) =
        listed.template.map_or((None, None), |template| (template.id, template.version));
    let content = Content::DeliveryReceipt(DeliveryReceipt {
        id: listed.id,
        reference: listed.reference,
        to: listed.email_address.or(listed.phone_number),
        status,
        created_at: listed.created_at,
        completed_at: listed.completed_at,
        sent_at: listed.sent_at,
        notification_type: listed.sent_as,
        template_id,
        template_version,
    });
    Item { id, created_at, called_back: CalledBack::With(Box::new(Callback { content, verbatim: None })) }
}

#[derive(Deserialize)]
struct Texts {
    received_text_messages: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    id: String,
    user_number: Option<String>,
    notify_number: Option<String>,
    content: Option<String>,
    created_at: Option<String>,
}

/// The callback has the moment of the phone network's clock, which the list does not say.
fn text(listed: Text) -> Item {
    let (id, created_at) = (listed.id.clone(), listed.created_at.as_deref().and_then(time::instant));
    let content = Content::ReceivedText(ReceivedText {
        id: listed.id,
        source_number: listed.user_number,
        destination_number: listed.notify_number,
        message: listed.content,
        date_received: listed.created_at,
    });
    Item { id, created_at, called_back: CalledBack::With(Box::new(Callback { content, verbatim: None })) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELIVERED: &str = r#"{"id": "740e5834-3a29-46b4-9a6f-16142fde533a", "reference": null, "email_address": null,
        "phone_number": "07700 900123", "line_1": null, "type": "sms", "status": "delivered", "template": {"version": 2, "id":
        "f9d696de-3ce8-459f-9f0e-8781d2fe61a6", "uri": "https://api.example/v2/template/f9d696de"}, "body": "Hello",
        "subject": null, "created_at": "2026-11-20T10:15:30.000000Z", "created_by_name": null, "sent_at":
        "2026-11-20T10:15:31.000000Z", "completed_at": "2026-11-20T10:15:33.000000Z", "scheduled_for": null,
        "cost_details": {"sms_rate": 0.02}, "is_cost_data_ready": true}"#;

    fn page(items: &[String]) -> Page {
        let body = format!(r#"{{"notifications": [{}], "links": {{"current": "x", "next": "y"}}}}"#, items.join(", "));
        Page::read(List::Notifications, body.as_bytes()).unwrap()
    }

    fn made(id: &str, second: u8) -> String {
        format!(r#"{{"id": "{id}", "status": "delivered", "created_at": "2026-11-20T10:15:{second:02}.000000Z"}}"#)
    }

    #[test]
    fn a_finished_message_is_read_as_the_very_callback_that_notify_would_have_sent() {
        let page = page(&[DELIVERED.to_owned()]);
        let CalledBack::With(callback) = &page.0[0].called_back else { panic!("it is finished") };
        let sent = r#"{"id": "740e5834-3a29-46b4-9a6f-16142fde533a", "reference": null, "to": "07700 900123", "status": "delivered", "created_at": "2026-11-20T10:15:30.000000Z", "completed_at": "2026-11-20T10:15:33.000000Z", "sent_at": "2026-11-20T10:15:31.000000Z", "notification_type": "sms", "template_id": "f9d696de-3ce8-459f-9f0e-8781d2fe61a6", "template_version": 2}"#;
        assert_eq!(String::from_utf8(callback.body()).unwrap(), sent);
        assert_eq!(**callback, Callback::read(sent.as_bytes()).unwrap());
    }

    #[test]
    fn what_is_on_its_way_is_called_back_later_and_a_letter_never() {
        let page = page(&[
            DELIVERED.replace("delivered", "sending"),
            DELIVERED.replace("\"sms\"", "\"letter\"").replace("delivered", "received"),
        ]);
        assert!(matches!(page.0[0].called_back, CalledBack::Later));
        assert!(matches!(page.0[1].called_back, CalledBack::Never));
    }

    #[test]
    fn the_next_page_begins_before_the_moment_that_the_last_one_ended_in() {
        let page_of = |items: &[(&str, u8)]| page(&items.iter().map(|(id, at)| made(id, *at)).collect::<Vec<_>>());
        assert_eq!(page_of(&[("a", 9), ("b", 8), ("c", 7), ("d", 7)]).older_than(), Some("b"));
        assert_eq!(page_of(&[("c", 7), ("d", 7)]).older_than(), Some("d"), "there is nothing newer to begin from");
        assert_eq!(page_of(&[]).older_than(), None);
        let many: Vec<_> = (0..PAGE).map(|n| made(&n.to_string(), 7)).collect();
        assert!(page(&many).is_one_moment() && !page(&many[1..]).is_one_moment());
    }

    #[test]
    fn each_list_is_asked_for_with_what_it_needs() {
        assert_eq!(List::Notifications.path(None), "/v2/notifications?include_jobs=true");
        assert_eq!(List::Notifications.path(Some("a b")), "/v2/notifications?include_jobs=true&older_than=a+b");
        assert_eq!(List::ReceivedTexts.path(None), "/v2/received-text-messages");
        assert_eq!(List::ReceivedTexts.path(Some("x")), "/v2/received-text-messages?older_than=x");
        assert_eq!(Page::read(List::ReceivedTexts, br#"{"notifications": []}"#).err(), Some(NoPage));
    }
}
