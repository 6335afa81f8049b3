//! A message that is sent with a test key: which template it is made of, what is asked, and the id that Notify gives it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::NoPage;

/// Where a service's templates for email are listed.
pub const EMAIL_TEMPLATES: &str = "/v2/templates?type=email";
/// Where an email is sent.
pub const SEND_EMAIL: &str = "/v2/notifications/email";
/// With a test key Notify delivers to nobody, and reports a message to any address but two as delivered. At this one there is no
/// mailbox, in case the key is a live one. Notify never calls back for the addresses that it keeps for smoke tests.
const TO: &str = "delivered@simulator.notify";

/// A template that a message can be made of.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct TrialTemplate {
    /// Its id.
    pub id: String,
    body: String,
    subject: Option<String>,
}

#[derive(Deserialize)]
struct Templates {
    templates: Vec<TrialTemplate>,
}

#[derive(Serialize)]
struct Email<'a> {
    #[serde(rename = "email_address")]
    to: &'a str,
    template_id: &'a str,
    personalisation: Map<String, Value>,
    reference: &'a str,
}

#[derive(Deserialize)]
struct Sent {
    id: String,
}

/// The first template of a list.
///
/// # Errors
/// When the answer is no list of templates.
pub fn first_template(body: &[u8]) -> Result<Option<TrialTemplate>, NoPage> {
    let read: Templates = serde_json::from_slice(body).map_err(|_| NoPage)?;
    Ok(read.templates.into_iter().next())
}

/// The id of the message that was taken.
///
/// # Errors
/// When the answer says something else.
pub fn sent_id(body: &[u8]) -> Result<String, NoPage> {
    serde_json::from_slice(body).map(|Sent { id }| id).map_err(|_| NoPage)
}

impl TrialTemplate {
    /// What is asked, so that an email is made of it with a word in each place that wants one.
    #[must_use]
    pub fn email(&self, reference: &str) -> Vec<u8> {
        let places = [Some(&self.body), self.subject.as_ref()].into_iter().flatten().flat_map(|text| places(text));
        let personalisation = places.map(|name| (name, Value::from("test"))).collect();
        let email = Email { to: TO, template_id: &self.id, personalisation, reference };
        serde_json::to_vec(&email).unwrap_or_default()
    }
}

/// The names in double brackets; of `((name??only then))` the part before the question marks.
fn places(text: &str) -> impl Iterator<Item = String> {
    text.split("((")
        .skip(1)
        .filter_map(|rest| rest.split_once("))"))
        .map(|(inside, _)| inside.split_once("??").map_or(inside, |(name, _)| name).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_in_a_template_is_filled() {
        let body = br#"{"templates": [{"id": "x", "type": "email", "body": "Dear ((first name)), ((late??you are late))", "subject": "((ref))"}]}"#;
        let email = first_template(body).unwrap().unwrap().email("a test");
        let sent: Value = serde_json::from_slice(&email).unwrap();
        assert_eq!(sent["personalisation"], serde_json::json!({"first name": "test", "late": "test", "ref": "test"}));
        assert_eq!((sent["template_id"].as_str(), sent["reference"].as_str()), (Some("x"), Some("a test")));
        assert_eq!(first_template(br#"{"templates": []}"#).unwrap(), None);
        assert!(first_template(b"<html>").is_err() && sent_id(b"{}").is_err());
        assert_eq!(sent_id(br#"{"id": "1", "uri": "x"}"#).as_deref(), Ok("1"));
    }
}
