//! `/messages/<name>/handling`: what a team does about a conversation. Every form of its page is sent here, with the versions that it
//! was made from and the way back.

use std::sync::Arc;

use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::Site;
use super::back::Back;
use super::confirm::Fault;
use super::conversation::{self, Beside};
use super::messages::INBOX;
use super::plain_text;
use super::problem::{Answer, Problem, answer, see_other};
use super::request::{self, Words};
use crate::access::{Caseworker, May};
use crate::clock;
use crate::store::{Change, Changed, Did, Handled, HandledConversation, Handling, ServiceId, Versions};

/// A note has no more characters.
const LONGEST_NOTE: usize = 1000;

/// What can be done: how it stands in a form, what it is in the record, and what is said when it is done.
#[derive(Clone, Copy)]
pub(super) struct Verb(&'static str, Did, &'static str);

const VERBS: [Verb; 10] = [
    Verb("read", Did::MarkedRead, "Marked as read"),
    Verb("unread", Did::MarkedUnread, "Marked as unread"),
    Verb("take", Did::TookConversation, "You have taken this conversation"),
    Verb("let-go", Did::LetConversationGo, "You have given this conversation back"),
    Verb("hand-over", Did::HandedOver, "Handed over"),
    Verb("deal", Did::DealtWith, "Marked as dealt with"),
    Verb("reopen", Did::Reopened, "Marked as not dealt with"),
    Verb("take-back", Did::TookBack, "Undone"),
    Verb("note", Did::AddedNote, "Note added"),
    Verb("remove-note", Did::RemovedNote, "Note removed"),
];

impl Verb {
    pub(super) fn of(word: &str) -> Option<Verb> {
        VERBS.into_iter().find(|verb| verb.0 == word)
    }

    pub(super) fn did(self) -> Did {
        self.1
    }

    /// What is said when it is done.
    pub(super) fn done(self) -> &'static str {
        self.2
    }
}

/// What is done about a conversation, a service each, for pages that lead to it.
pub(super) fn said(conversation: &HandledConversation, me: Option<i64>) -> Vec<String> {
    let is_several = conversation.handling.len() > 1;
    let one = |state: &Handling| {
        let read = if state.is_unread { "unread" } else { "read" };
        let taken = match &state.taken {
            Some((id, ..)) if Some(*id) == me => "taken by you".to_owned(),
            Some((_, who, _)) => format!("taken by {who}"),
            None => "taken by nobody".to_owned(),
        };
        let done = state.dealt_with.as_ref().map(|(who, _)| format!("dealt with by {who}"));
        let words = format!("{read}, {taken}, {}", done.as_deref().unwrap_or("not dealt with"));
        if is_several { format!("{}: {words}", plain_text::line(&state.service_name)) } else { words }
    };
    conversation.handling.iter().map(one).collect()
}

/// What a colleague did, as a sentence without its end.
pub(super) fn told(changed: &Changed) -> String {
    let Changed { service_name, who, .. } = changed;
    let did = match changed.did {
        None => return format!("A new text message arrived for {service_name}"),
        Some(Did::MarkedRead) => "marked it as read".to_owned(),
        Some(Did::MarkedUnread) => "marked it as unread".to_owned(),
        Some(Did::TookConversation) => "took it".to_owned(),
        Some(Did::LetConversationGo) => "gave it back".to_owned(),
        Some(Did::HandedOver) => match &changed.given_to {
            Some(colleague) => format!("handed it over to {colleague}"),
            None => "handed it over".to_owned(),
        },
        Some(Did::DealtWith) => "marked it as dealt with".to_owned(),
        Some(Did::Reopened) => "marked it as not dealt with".to_owned(),
        Some(Did::AddedNote) => "wrote a note".to_owned(),
        Some(Did::RemovedNote) => "removed a note".to_owned(),
        Some(_) => "took back a change".to_owned(),
    };
    format!("{who} {did}")
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    warp::path!("messages" / String / "handling")
        .and(warp::post())
        .and(request::site(site))
        .and(request::form_kept_allowed(site, May::Deal))
        .and(warp::header::headers_cloned())
        .then(handle)
        .map(answer)
        .boxed()
}

async fn handle(
    opaque: String,
    site: Arc<Site>,
    asked: Result<(Caseworker, Words), Problem>,
    headers: HeaderMap,
) -> Answer {
    let (caseworker, form) = asked?;
    let verb = form.get("do").and_then(Verb::of).ok_or(Problem::BadRequest)?;
    let seen: Versions = form.get("seen").and_then(|seen| seen.parse().ok()).unwrap_or_default();
    let refused = async |faults: Vec<Fault>, seen: Option<Versions>| {
        let beside = Beside { seen, faults, typed: form.clone() };
        conversation::show(&site, &caseworker, &opaque, &headers, &form, beside).await
    };
    let change = match change(verb, &form) {
        Ok(change) => change.ok_or(Problem::BadRequest)?,
        Err(fault) => return refused(vec![fault], None).await,
    };
    let done =
        site.store.handle(caseworker.sees(), &opaque, seen.clone(), change, caseworker.by(), clock::now()).await?;
    match done.ok_or(Problem::NotFound)? {
        Handled::Done => {
            let path = format!("{INBOX}/{opaque}");
            let back = Back::of(&HeaderMap::new(), &form, &path, Back::to_inbox());
            Ok(see_other(&back.along(&format!("{path}?done={}", verb.0))))
        }
        Handled::Outdated => {
            let words = "Your change was not made, because this conversation has changed since you opened it. Check what \
                         changed, then try again";
            refused(vec![Fault::new("changes", words)], Some(seen)).await
        }
        Handled::NotThere if verb.0 == "hand-over" => refused(vec![nobody()], None).await,
        Handled::NotThere if verb.0 == "take-back" => {
            refused(vec![Fault::new("handling", "There is nothing left to undo")], None).await
        }
        Handled::NotThere => Err(Problem::NotFound),
    }
}

fn nobody() -> Fault {
    Fault::new("to", "Select a colleague who can see this conversation")
}

/// What a form asks for; `None` where no page of ours asks so.
fn change(verb: Verb, form: &Words) -> Result<Option<Change>, Fault> {
    Ok(Some(match verb.0 {
        "read" => Change::Read,
        "unread" => Change::Unread,
        "take" => Change::Take,
        "let-go" => Change::LetGo,
        "hand-over" => Change::HandOver(form.number("to").ok_or_else(nobody)?),
        "deal" => Change::DealWith,
        "reopen" => Change::Reopen,
        "take-back" => Change::TakeBack,
        "note" => {
            let note = form.get("note").map(|note| note.trim().replace("\r\n", "\n"));
            let note = note.ok_or_else(|| Fault::new("note", "Enter a note"))?;
            if note.chars().count() > LONGEST_NOTE {
                return Err(Fault::new("note", "Note must be 1,000 characters or fewer"));
            }
            let service = form.number("service").map(ServiceId);
            return Ok(service.map(|service| Change::AddNote(service, note)));
        }
        _ => return Ok(form.number("id").map(Change::RemoveNote)),
    }))
}
