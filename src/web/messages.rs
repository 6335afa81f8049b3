//! `/messages`: who sent text messages, newest first, and `/messages/<name>`: the whole conversation.

use std::sync::Arc;

use askama::Template;
use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::back::Back;
use super::chrome::{Chrome, Here};
use super::keeping::Keeping;
use super::plain_text::{self, Piece, grouped};
use super::problem::{Answer, Problem, answer, html, see_other};
use super::request::{self, Words};
use super::results::{Moment, StatusTag, at, happened, href, status_tag};
use super::trail::Trail;
use super::{Site, get, one_of};
use crate::access::Caseworker;
use crate::clock;
use crate::notify::Content;
use crate::store::{Conversation, Did, InboxRow, Kept, Looker, Narrowed};

/// Characters of the latest text that the inbox shows.
const PREVIEW: usize = 160;
const INBOX: &str = "/messages";

#[derive(Template)]
#[template(path = "messages.html")]
struct MessagesPage {
    keeping: Keeping,
    chrome: Chrome,
    title: String,
    rows: Vec<Row>,
    previous: Option<String>,
    next: Option<String>,
}

struct Row {
    href: String,
    sender: String,
    service: String,
    preview: Vec<Piece>,
    texts: String,
    arrived: Moment,
}

#[derive(Template)]
#[template(path = "conversation.html")]
struct ConversationPage {
    chrome: Chrome,
    back: Back,
    title: String,
    sender: String,
    /// In the order of their arrival: the only one that stays the same from page to page, since a report can come days after
    /// its message.
    items: Vec<Item>,
    newer: Option<String>,
    earlier: Option<String>,
}

struct Item {
    arrived: Moment,
    /// When it happened by its own account, where that is not when it arrived.
    own: Option<Moment>,
    service: String,
    said: Said,
}

enum Said {
    Text { message: Vec<Piece>, to: String },
    Sent { href: String, reference: Option<String>, status: StatusTag },
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("messages")
            .and(get())
            .and(request::site(site))
            .and(request::caseworker(site))
            .and(request::query())
            .then(inbox)
            .map(answer)
            .boxed(),
        warp::path!("messages" / String)
            .and(get())
            .and(request::site(site))
            .and(request::caseworker(site))
            .and(warp::header::headers_cloned())
            .and(request::query())
            .then(conversation)
            .map(answer)
            .boxed(),
    ])
}

async fn inbox(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let caseworker = caseworker?;
    let trail = Trail::of(&query);
    site.record(caseworker.did(Did::ListedMessages, clock::now())).await?;
    let page = site.store.inbox(caseworker.sees(), Narrowed::default(), trail.before()).await?;
    if page.rows.is_empty() && trail.before().is_some() {
        return Ok(see_other(INBOX));
    }
    html(&MessagesPage {
        keeping: Keeping::of(&site),
        chrome: Chrome::new(Some(&caseworker), Here::Messages),
        title: trail.title("Received text messages"),
        rows: page.rows.iter().map(row).collect(),
        previous: trail.previous(INBOX),
        next: trail.next(INBOX, page.next),
    })
}

async fn conversation(
    opaque: String,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    headers: HeaderMap,
    query: Words,
) -> Answer {
    let caseworker = caseworker?;
    let trail = Trail::of(&query);
    let found = site.store.conversation(caseworker.sees(), &opaque, trail.before(), Looker::default()).await?;
    let Conversation { items, earlier, sender, .. } = found.ok_or(Problem::NotFound)?;
    let (path, sender) = (format!("{INBOX}/{opaque}"), named(sender));
    if items.is_empty() && trail.before().is_some() {
        return Ok(see_other(&path));
    }
    let person = items.iter().find_map(|kept| kept.callback.match_key()).map(|key| key.as_str().to_owned());
    site.record(caseworker.did(Did::OpenedConversation, clock::now()).of(&opaque).about(person)).await?;
    let back = Back::of(&headers, &query, &path, Back::to_inbox());
    let onward = |to: &str| back.onward(&trail.here(&path), to);
    html(&ConversationPage {
        chrome: Chrome::new(Some(&caseworker), Here::Messages),
        title: trail.title(&format!("Conversation with {}", plain_text::line(&sender))),
        sender,
        items: items.iter().map(|kept| item(kept, onward)).collect(),
        newer: trail.previous(&path),
        earlier: trail.next(&path, earlier),
        back,
    })
}

fn row(row: &InboxRow) -> Row {
    Row {
        href: format!("/messages/{}", row.opaque),
        sender: named(row.latest.callback.person().unwrap_or_default().to_owned()),
        service: row.latest.service_name.clone(),
        preview: plain_text::pieces(&plain_text::preview(message(&row.latest), PREVIEW)),
        texts: grouped(row.texts),
        arrived: at(row.latest.arrived_at),
    }
}

fn named(sender: String) -> String {
    if sender.is_empty() { "Unknown sender".into() } else { sender }
}

fn message(kept: &Kept) -> &str {
    match &kept.callback.content {
        Content::ReceivedText(text) => text.message.as_deref().unwrap_or_default(),
        _ => "",
    }
}

fn item(kept: &Kept, onward: impl Fn(&str) -> String) -> Item {
    let said = match &kept.callback.content {
        Content::ReceivedText(text) => Said::Text {
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
    Item { arrived, own, service: kept.service_name.clone(), said }
}
