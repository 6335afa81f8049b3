//! What a message said that was sent, and what its template is called: from the store, else asked of Notify once. A page waits for
//! that two seconds at most, and says so where Notify did not answer.

use uuid::Uuid;

use super::Site;
use super::plain_text::{self, Piece};
use super::problem::Problem;
use super::results::{Moment, at};
use crate::access::{Caseworker, May};
use crate::asking::NotTold;
use crate::clock::{self, DAY};
use crate::notify::api::one::{MessageById, TemplateName};
use crate::notify::{Callback, Content, Kind};
use crate::store::{Did, Kept, SentText};

/// What Notify did not know is asked for again after so long.
const AGAIN: i64 = DAY;

/// What can be said of it.
pub(super) enum Said {
    /// Nothing: it may not be seen, or nobody can be asked.
    Nothing,
    /// This.
    Text { subject: Option<Vec<Piece>>, body: Vec<Piece>, told: Moment },
    /// Why it is not there.
    NotTold(&'static str),
}

impl NotTold {
    /// For somebody who waits for a message's page.
    fn words(self) -> &'static str {
        match self {
            NotTold::NotThere => {
                "Notify does not have this message any more. It keeps messages for 7 days, unless the service has set another time."
            }
            NotTold::Refused => "Notify did not give it. Tell the people who run this service: the log says why.",
            NotTold::Busy => "Notify is busy. Load this page again in a minute.",
            NotTold::NoAnswer => "Notify did not answer in time. Load this page again in a minute.",
        }
    }
}

/// What the message said that a callback is about, for whoever may see it.
pub(super) async fn of(site: &Site, caseworker: &Caseworker, kept: &Kept) -> Result<Said, Problem> {
    let (callback, now) = (&kept.callback, clock::now());
    if callback.kind() == Kind::ReceivedText || !caseworker.may(May::SentText) {
        return Ok(Said::Nothing);
    }
    match site.store.sent_text(caseworker.sees(), callback.notify_id()).await? {
        Some(text) if text.body.is_some() => return Ok(said(&text)),
        Some(text) if (now - AGAIN..=now).contains(&text.fetched_at) => {
            return Ok(Said::NotTold(NotTold::NotThere.words()));
        }
        _ => (),
    }
    let Ok(id) = Uuid::try_parse(callback.notify_id()) else { return Ok(Said::Nothing) };
    if !can_ask(site, &kept.service_name).await? {
        return Ok(Said::Nothing);
    }
    let person = callback.match_key().map(|key| key.as_str().to_owned());
    site.record(caseworker.did(Did::FetchedSentText, now).of(callback.notify_id()).about(person)).await?;
    let told = site.beyond.asking.ask(&kept.service_name, &MessageById(id), false).await;
    let text = |subject, body| SentText {
        notify_id: callback.notify_id().to_owned(),
        service: kept.service,
        service_name: kept.service_name.clone(),
        subject,
        body,
        fetched_at: clock::now(),
    };
    match told {
        Ok(message) => {
            let text = text(message.subject, Some(message.body.unwrap_or_default()));
            // Where it was erased meanwhile nobody sees it.
            Ok(if site.store.keep_sent_text(text.clone()).await? { said(&text) } else { Said::Nothing })
        }
        Err(why) => {
            if why == NotTold::NotThere {
                site.store.keep_sent_text(text(None, None)).await?;
            }
            Ok(Said::NotTold(why.words()))
        }
    }
}

fn said(text: &SentText) -> Said {
    Said::Text {
        subject: text.subject.as_deref().map(plain_text::pieces),
        body: plain_text::pieces(text.body.as_deref().unwrap_or_default()),
        told: at(text.fetched_at),
    }
}

/// What the template is called that a callback names; `None` where nobody knows.
pub(super) async fn template_name(site: &Site, kept: &Kept) -> Result<Option<String>, Problem> {
    let Some(template_id) = template_id(&kept.callback) else { return Ok(None) };
    let (names, now) = (site.store.template_names(kept.service, template_id).await?, clock::now());
    if let Some(name) = names.shown() {
        return Ok(Some(name.to_owned()));
    }
    let Ok(id) = Uuid::try_parse(template_id) else { return Ok(None) };
    let is_asked = names.asked_at.is_some_and(|asked_at| (now - AGAIN..=now).contains(&asked_at));
    if is_asked || !can_ask(site, &kept.service_name).await? {
        return Ok(None);
    }
    let told = match site.beyond.asking.ask(&kept.service_name, &TemplateName(id), false).await {
        Ok(name) => Some(name),
        Err(NotTold::NotThere) => None,
        Err(_) => return Ok(None),
    };
    site.store.keep_template_name(kept.service, template_id, told.clone(), now).await?;
    Ok(told)
}

fn template_id(callback: &Callback) -> Option<&str> {
    match &callback.content {
        Content::DeliveryReceipt(receipt) => receipt.template_id.as_deref(),
        Content::ReturnedLetter(letter) => letter.template_id.as_deref(),
        Content::ReceivedText(_) | Content::Complaint(_) => None,
    }
}

/// Whether Notify can be asked for this service: there is a key, and it is of the same service in Notify as what is here.
pub(super) async fn can_ask(site: &Site, service: &str) -> Result<bool, Problem> {
    let Some(of_key) = site.beyond.asking.service_id(service) else { return Ok(false) };
    let known = site.store.service(service).await?.and_then(|service| service.notify_service_id);
    let is_same = known.is_none_or(|known| known.eq_ignore_ascii_case(of_key));
    if !is_same {
        tracing::error!(
            event = "asking.other_service",
            service,
            "the key of --notify-api is of another service in Notify than the one that this name stands for. Take a key of that service"
        );
    }
    Ok(is_same)
}
