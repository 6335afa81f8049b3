//! What Notify's REST API says when it is asked for one message, for those with a reference, or for a template.

use form_urlencoded::Serializer;
use serde::Deserialize;
use uuid::Uuid;

use super::{NoPage, Notification, Notifications};
use crate::notify::status::Status;

/// A message as Notify tells of it now. Its Debug says nothing of it.
#[derive(Clone)]
pub struct SentMessage {
    /// Notify's id.
    pub id: String,
    /// The reference that the service gave it.
    pub reference: Option<String>,
    /// To whom it went, where it is no letter.
    pub to: Option<String>,
    /// What kind of message it is: email, sms or letter.
    pub sent_as: Option<String>,
    /// What has become of it by now.
    pub status: Status,
    /// The subject, as sent.
    pub subject: Option<String>,
    /// What it says, as sent.
    pub body: Option<String>,
    /// When it was made, as Notify wrote it.
    pub created_at: Option<String>,
    /// When it was sent.
    pub sent_at: Option<String>,
    /// When it was finished.
    pub completed_at: Option<String>,
    /// The template that it was made of.
    pub template_id: Option<String>,
}

impl std::fmt::Debug for SentMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SentMessage(…)")
    }
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
}

impl From<Notification> for SentMessage {
    fn from(told: Notification) -> SentMessage {
        SentMessage {
            id: told.id,
            reference: told.reference,
            to: told.email_address.or(told.phone_number),
            sent_as: told.sent_as,
            status: Status::from(told.status.as_str()),
            subject: told.subject,
            body: told.body,
            created_at: told.created_at,
            sent_at: told.sent_at,
            completed_at: told.completed_at,
            template_id: told.template.and_then(|template| template.id),
        }
    }
}

/// Something that is asked for, with how its answer is read.
pub trait Question {
    /// What is answered.
    type Told;

    /// The path and query.
    fn path(&self) -> String;

    /// Reads the answer.
    ///
    /// # Errors
    /// When it answers something else.
    fn read(&self, body: &[u8]) -> Result<Self::Told, NoPage>;
}

/// The message of an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageById(pub Uuid);

impl Question for MessageById {
    type Told = SentMessage;

    fn path(&self) -> String {
        format!("/v2/notifications/{}", self.0.hyphenated())
    }

    fn read(&self, body: &[u8]) -> Result<SentMessage, NoPage> {
        let told: Notification = serde_json::from_slice(body).map_err(|_| NoPage)?;
        let is_it = Uuid::try_parse(&told.id).is_ok_and(|id| id == self.0);
        if is_it { Ok(told.into()) } else { Err(NoPage) }
    }
}

/// The messages with a reference, which is exactly this; the newest 250.
#[derive(Clone, PartialEq, Eq)]
pub struct MessagesByReference(pub String);

impl Question for MessagesByReference {
    type Told = Vec<SentMessage>;

    fn path(&self) -> String {
        let asked = [("include_jobs", "true"), ("reference", &self.0)];
        format!("/v2/notifications?{}", Serializer::new(String::new()).extend_pairs(asked).finish())
    }

    fn read(&self, body: &[u8]) -> Result<Vec<SentMessage>, NoPage> {
        let told: Notifications = serde_json::from_slice(body).map_err(|_| NoPage)?;
        Ok(told.notifications.into_iter().map(SentMessage::from).collect())
    }
}

/// The name of a template.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TemplateName(pub Uuid);

impl Question for TemplateName {
    type Told = String;

    fn path(&self) -> String {
        format!("/v2/template/{}", self.0.hyphenated())
    }

    fn read(&self, body: &[u8]) -> Result<String, NoPage> {
        serde_json::from_slice::<NamedTemplate>(body).map(|template| template.name).map_err(|_| NoPage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "740e5834-3a29-46b4-9a6f-16142fde533a";

    fn told(id: &str) -> String {
        format!(
            r#"{{"id": "{id}", "reference": "REF", "email_address": "amy@example.com", "phone_number": null, "type": "email",
            "status": "delivered", "template": {{"version": 2, "id": "{ID}", "uri": "x"}}, "subject": "Your visit", "body":
            "Hello", "created_at": "2026-11-20T10:15:30.000000Z", "postage": null}}"#
        )
    }

    #[test]
    fn a_message_is_read_with_what_it_says_and_only_where_it_is_the_one_that_was_asked_for() {
        let asked = MessageById(ID.parse().unwrap());
        assert_eq!(asked.path(), format!("/v2/notifications/{ID}"));
        let message = asked.read(told(ID).as_bytes()).unwrap();
        assert_eq!((message.subject.as_deref(), message.body.as_deref()), (Some("Your visit"), Some("Hello")));
        assert_eq!((message.to.as_deref(), message.status), (Some("amy@example.com"), Status::Delivered));
        let other = told("840e5834-3a29-46b4-9a6f-16142fde533a");
        assert!(asked.read(other.as_bytes()).is_err() && asked.read(b"<html>").is_err());
    }

    #[test]
    fn a_reference_is_asked_for_as_it_is_and_a_template_by_its_id() {
        let asked = MessagesByReference("A&B é".into());
        assert_eq!(asked.path(), "/v2/notifications?include_jobs=true&reference=A%26B+%C3%A9");
        let list = format!(r#"{{"notifications": [{}], "links": {{}}}}"#, told(ID));
        assert_eq!(asked.read(list.as_bytes()).unwrap().len(), 1);
        let asked = TemplateName(ID.parse().unwrap());
        assert_eq!(asked.path(), format!("/v2/template/{ID}"));
        assert_eq!(asked.read(br#"{"id": "x", "name": "Appointment reminder"}"#).unwrap(), "Appointment reminder");
    }
}
