//! `/messages/<name>`: the whole conversation, and what a team does about it.

use std::sync::Arc;

use askama::Template;
use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::arrivals::Shown;
use super::back::Back;
use super::chrome::{Chrome, Here};
use super::confirm::{Fault, Faults};
use super::flag_tag::FlagTag;
use super::handling::{self, Verb};
use super::messages::{INBOX, message, named};
use super::plain_text::{self, Piece};
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::results::{Moment, StatusTag, at, happened, href, place_of, status_tag};
use super::take_along::Files;
use super::trail::Trail;
use super::{Site, elsewhere, get, whole};
use crate::access::{Caseworker, May};
use crate::clock::{self, MINUTE};
use crate::notify::Content;
use crate::store::{Changed, Conversation, Did, Handling, Kept, Looker, Note, ServiceId, Versions};

/// A colleague who opened it so lately may be at work on it.
const LATELY: i64 = 15 * MINUTE;

#[derive(Template)]
#[template(path = "conversation.html")]
struct ConversationPage {
    chrome: Chrome,
    back: Back,
    title: String,
    path: String,
    sender: String,
    /// In the order of their arrival: the only one that stays the same from page to page, since a report can come days after
    /// its message.
    items: Vec<Item>,
    /// How many texts of this page are new.
    new: usize,
    newer: Option<String>,
    earlier: Option<String>,
    /// All of it on one page, where it is on several.
    print: Option<String>,
    /// How much of it this page shows, where it is to show all.
    whole: Option<String>,
    /// The newest message.
    newest: String,
    states: Vec<State>,
    is_several: bool,
    opened: Vec<(String, Moment)>,
    notes: Vec<NoteRow>,
    /// What can be done, where the reader may and sees the newest messages.
    forms: Option<Forms>,
    done: Option<Done>,
    faults: Faults,
    /// What others did since the reader opened it.
    changes: Vec<ChangeRow>,
    files: Option<Files>,
    /// Where it is answered.
    answer: Option<String>,
    shown: Shown,
}

struct Item {
    arrived: Moment,
    /// When it happened by its own account, where that is not when it arrived.
    own: Option<Moment>,
    service: String,
    said: Said,
    flags: Vec<FlagTag>,
    is_new: bool,
    is_first_new: bool,
    is_newest: bool,
}

enum Said {
    /// With what it is called on the page.
    Text {
        place: String,
        message: Vec<Piece>,
        to: String,
    },
    Sent {
        href: String,
        reference: Option<String>,
        status: StatusTag,
    },
}

/// What is done about the texts of one service.
struct State {
    service: String,
    is_unread: bool,
    taken: Option<(String, Moment)>,
    dealt_with: Option<(String, Moment)>,
}

struct NoteRow {
    id: i64,
    who: String,
    service: String,
    made: Moment,
    text: Option<Vec<Piece>>,
    removed: Option<Moment>,
    is_own: bool,
}

/// What every form carries, and which of them there are.
struct Forms {
    seen: String,
    from: String,
    /// The buttons that change something, as they stand in the form and in words; the first is what is done most.
    buttons: Vec<(&'static str, &'static str)>,
    colleagues: Vec<Choice>,
    services: Vec<Choice>,
    /// What was typed into a form that was refused.
    note: String,
}

struct Choice {
    value: i64,
    words: String,
    is_chosen: bool,
}

/// A change of the reader's own, done just now.
struct Done {
    words: String,
    can_be_taken_back: bool,
}

struct ChangeRow {
    words: String,
    when: Moment,
}

/// What stands on the page beside the conversation.
#[derive(Default)]
pub(super) struct Beside {
    /// The versions that a change was made from, where it was refused.
    pub(super) seen: Option<Versions>,
    pub(super) faults: Vec<Fault>,
    /// The form that was refused.
    pub(super) typed: Words,
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    warp::path!("messages" / String)
        .and(get())
        .and(request::site(site))
        .and(request::caseworker(site))
        .and(warp::header::headers_cloned())
        .and(request::query())
        .then(conversation)
        .map(answer)
        .boxed()
}

async fn conversation(
    opaque: String,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    headers: HeaderMap,
    query: Words,
) -> Answer {
    show(&site, &caseworker?, &opaque, &headers, &query, Beside::default()).await
}

/// The page, also in answer to a form of it that was refused. `query` says which page and the way back.
pub(super) async fn show(
    site: &Site,
    caseworker: &Caseworker,
    opaque: &str,
    headers: &HeaderMap,
    query: &Words,
    beside: Beside,
) -> Answer {
    let (me, now, is_whole) = (caseworker.by().person, clock::now(), whole::is_asked(query));
    let trail = match query.number("at") {
        _ if is_whole => Trail::default(),
        Some(arrival) => Trail::along(site.store.pages_before(caseworker.sees(), opaque, arrival).await?),
        None => Trail::of(query),
    };
    let looker = Looker { account: me, opened_since: now - LATELY, seen: beside.seen };
    let found = site.store.conversation(caseworker.sees(), opaque, trail.before(), looker).await?;
    let mut found = found.ok_or(Problem::NotFound)?;
    let path = format!("{INBOX}/{opaque}");
    if found.items.is_empty() && trail.before().is_some() {
        return Ok(see_other(&path));
    }
    let person = found.items.iter().find_map(|kept| kept.callback.match_key()).map(|key| key.as_str().to_owned());
    site.record(caseworker.did(Did::OpenedConversation, now).of(opaque).about(person)).await?;
    if is_whole {
        whole::conversation(site, caseworker, opaque, &mut found).await?;
    }
    let back = Back::of(headers, query, &path, Back::to_inbox());
    let is_newest = trail.before().is_none();
    // On paper nobody sees what came since.
    let may = is_newest && !is_whole && caseworker.may(May::Deal);
    let forms = may.then(|| forms(&found, me, &back, &beside.typed));
    let done = query.get("done").and_then(Verb::of).filter(|_| beside.faults.is_empty());
    let sender = named(found.sender.clone());
    // The browser keeps titles, so the number stands in none.
    let title = trail.title(&format!("Conversation, {}", plain_text::line(&found.newest_text.service_name)));
    let onward = |to: &str| back.onward(&trail.here(&path), to);
    let items = items(&found, onward, is_newest);
    let said = is_whole.then(|| whole::said(items.len(), found.earlier.is_some(), "newest", "messages and reports"));
    let earlier = trail.next(&path, found.earlier.filter(|_| !is_whole));
    let has_pages = trail.before().is_some() || earlier.is_some();
    html(&ConversationPage {
        chrome: site.chrome(Some(caseworker), Here::Messages),
        title: if beside.faults.is_empty() { title } else { format!("Error: {title}") },
        sender,
        new: items.iter().filter(|item| item.is_new).count(),
        items,
        newer: trail.previous(&path).map(|to| back.along(&to)),
        earlier: earlier.map(|to| back.along(&to)),
        print: has_pages.then(|| back.along(&whole::link(&path))),
        whole: said,
        newest: format!("{}#newest", if is_newest { String::new() } else { back.along(&path) }),
        states: found.handling.iter().map(|state| self::state(state, me)).collect(),
        is_several: found.handling.len() > 1,
        opened: found.opened.iter().map(|opened| (opened.who.clone(), at(opened.at))).collect(),
        notes: found.notes.iter().map(|note| note_row(note, me)).collect(),
        forms,
        done: done.and_then(|verb| self::done(verb, &found.handling, me)),
        faults: beside.faults.into(),
        changes: found.since.iter().map(change_row).collect(),
        shown: Shown { since: found.newest, conversation: Some(opaque.to_owned()), href: back.along(&path) },
        files: Files::of(caseworker, &path),
        answer: elsewhere::answer_at(site, &found.newest_text),
        path,
        back,
    })
}

fn items(found: &Conversation, onward: impl Fn(&str) -> String, is_newest: bool) -> Vec<Item> {
    let read_to = |service: ServiceId| {
        found.handling.iter().find(|state| state.service == service).map_or(i64::MAX, |state| state.read_to)
    };
    let mut items: Vec<Item> =
        found.items.iter().map(|kept| item(kept, &onward, kept.arrival > read_to(kept.service))).collect();
    for (kept, item) in found.items.iter().zip(&mut items) {
        let theirs = found.flags.iter().filter(|(arrival, _)| *arrival == kept.arrival);
        item.flags = theirs.map(|(_, hit)| FlagTag::of(hit, true)).collect();
    }
    if let Some(first) = items.iter_mut().find(|item| item.is_new) {
        first.is_first_new = true;
    }
    if let Some(last) = items.last_mut() {
        last.is_newest = is_newest;
    }
    items
}

fn item(kept: &Kept, onward: impl Fn(&str) -> String, came_since: bool) -> Item {
    let said = match &kept.callback.content {
        Content::ReceivedText(text) => Said::Text {
            place: place_of(kept.arrival),
            message: plain_text::pieces(message(kept)),
            to: text.destination_number.clone().unwrap_or_default(),
        },
        _ => Said::Sent {
            href: onward(&href(kept.callback.notify_id())),
            reference: kept.callback.reference().map(str::to_owned),
            status: status_tag(&kept.callback),
        },
    };
    let (arrived, own) = (at(kept.arrived_at), happened(kept));
    let own = (own.words != arrived.words).then_some(own);
    let is_new = came_since && matches!(said, Said::Text { .. });
    let service = kept.service_name.clone();
    Item { arrived, own, service, said, flags: Vec::new(), is_new, is_first_new: false, is_newest: false }
}

fn state(state: &Handling, me: Option<i64>) -> State {
    let whose = |id: i64, who: &str| if Some(id) == me { "you".to_owned() } else { who.to_owned() };
    State {
        service: state.service_name.clone(),
        is_unread: state.is_unread,
        taken: state.taken.as_ref().map(|(id, who, since)| (whose(*id, who), at(*since))),
        dealt_with: state.dealt_with.as_ref().map(|(who, when)| (who.clone(), at(*when))),
    }
}

fn note_row(note: &Note, me: Option<i64>) -> NoteRow {
    NoteRow {
        id: note.id,
        who: note.who.clone(),
        service: note.service_name.clone(),
        made: at(note.made_at),
        text: note.text.as_deref().map(plain_text::pieces),
        removed: note.removed_at.map(at),
        is_own: Some(note.writer) == me,
    }
}

fn forms(found: &Conversation, me: Option<i64>, back: &Back, typed: &Words) -> Forms {
    let any = |is: &dyn Fn(&Handling) -> bool| found.handling.iter().any(is);
    let is_mine = |state: &Handling| state.taken.as_ref().is_some_and(|(id, ..)| Some(*id) == me);
    let buttons = [
        ("take", "Take this conversation", any(&|state| !is_mine(state))),
        ("deal", "Mark as dealt with", any(&|state| state.dealt_with.is_none())),
        ("reopen", "Mark as not dealt with", any(&|state| state.dealt_with.is_some())),
        ("read", "Mark as read", any(&|state| state.is_unread)),
        ("unread", "Mark as unread", any(&|state| !state.is_unread)),
        ("let-go", "Give it back", any(&is_mine)),
    ];
    let colleagues = found.colleagues.iter().filter(|person| May::Deal.is_given_to(person.role, &person.sees));
    let service = typed.number("service").unwrap_or(found.newest_of.0);
    let service = |state: &Handling| Choice {
        value: state.service.0,
        words: plain_text::line(&state.service_name),
        is_chosen: state.service.0 == service,
    };
    Forms {
        seen: Versions::of(&found.handling).to_string(),
        from: back.href.clone(),
        buttons: buttons.into_iter().filter_map(|(verb, words, is_there)| is_there.then_some((verb, words))).collect(),
        colleagues: colleagues
            .map(|person| Choice {
                value: person.id,
                words: person.email.clone(),
                is_chosen: typed.number("to") == Some(person.id),
            })
            .collect(),
        services: found.handling.iter().map(service).collect(),
        note: typed.get("note").unwrap_or_default().to_owned(),
    }
}

/// What the reader did, if it is so and the last that was done.
fn done(verb: Verb, handling: &[Handling], me: Option<i64>) -> Option<Done> {
    let mut last = handling.iter().filter_map(|state| state.last.as_ref());
    let last = last.find(|last| last.did == Some(verb.did()) && Some(last.by) == me)?;
    let words = match &last.given_to {
        Some(colleague) => format!("Handed over to {colleague}"),
        None => verb.done().to_owned(),
    };
    Some(Done { words, can_be_taken_back: last.can_be_taken_back() })
}

fn change_row(changed: &Changed) -> ChangeRow {
    ChangeRow { words: handling::told(changed), when: at(changed.at) }
}
