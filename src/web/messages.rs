//! `/messages`: who sent text messages, newest first, and `/messages/<name>`: the whole conversation.

use std::sync::Arc;

use askama::Template;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::chrome::{Chrome, Here};
use super::plain_text::{self, Piece};
use super::problem::{Answer, Problem, answer, html};
use super::receipts::grouped;
use super::request::{self, Words};
use super::results::{Moment, StatusTag, happened, href, status_tag};
use super::{Site, get, one_of};
use crate::access::Caseworker;
use crate::notify::{Content, time};
use crate::store::{Conversation, InboxRow, Kept};

/// Characters of the latest text that the inbox shows.
const PREVIEW: usize = 160;

#[derive(Template)]
#[template(path = "messages.html")]
struct MessagesPage {
    chrome: Chrome,
    rows: Vec<Row>,
    first: bool,
    next: Option<String>,
}

struct Row {
    href: String,
    sender: String,
    service: String,
    preview: Vec<Piece>,
    texts: String,
    when: Moment,
}

#[derive(Template)]
#[template(path = "conversation.html")]
struct ConversationPage {
    chrome: Chrome,
    sender: String,
    items: Vec<Item>,
    earlier: Option<String>,
    newest: Option<String>,
}

struct Item {
    when: Moment,
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
            .and(request::query())
            .then(conversation)
            .map(answer)
            .boxed(),
    ])
}

async fn inbox(site: Arc<Site>, caseworker: Result<Caseworker, Problem>, query: Words) -> Answer {
    let caseworker = caseworker?;
    let before = query.number("before");
    let page = site.store.inbox(caseworker.sees(), before).await?;
    html(&MessagesPage {
        chrome: Chrome::new(Some(&caseworker), Here::Messages),
        rows: page.rows.iter().map(row).collect(),
        first: before.is_none(),
        next: page.next.map(|before| format!("/messages?before={before}")),
    })
}

async fn conversation(
    opaque: String,
    site: Arc<Site>,
    caseworker: Result<Caseworker, Problem>,
    query: Words,
) -> Answer {
    let caseworker = caseworker?;
    let before = query.number("before");
    let found = site.store.conversation(caseworker.sees(), &opaque, before).await?;
    let Conversation { items, earlier, sender } = found.ok_or(Problem::NotFound)?;
    html(&ConversationPage {
        chrome: Chrome::new(Some(&caseworker), Here::Messages),
        sender: named(sender),
        items: in_order(&items),
        earlier: earlier.map(|before| format!("/messages/{opaque}?before={before}")),
        newest: before.map(|_| format!("/messages/{opaque}")),
    })
}

fn row(row: &InboxRow) -> Row {
    let message: String = message(&row.latest).chars().take(PREVIEW).collect();
    Row {
        href: format!("/messages/{}", row.opaque),
        sender: named(row.latest.callback.person().unwrap_or_default().to_owned()),
        service: row.latest.service_name.clone(),
        preview: plain_text::pieces(&message),
        texts: grouped(row.texts),
        when: happened(&row.latest),
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

/// As they were said: a receipt comes later than its text was sent, so the order of arrival would mislead.
fn in_order(items: &[Kept]) -> Vec<Item> {
    let mut items: Vec<&Kept> = items.iter().collect();
    items.sort_by_key(|kept| (said_at(kept), kept.arrival));
    items.into_iter().map(item).collect()
}

fn said_at(kept: &Kept) -> i64 {
    let own = match &kept.callback.content {
        Content::ReceivedText(text) => text.date_received.as_deref(),
        Content::DeliveryReceipt(receipt) => receipt.sent_at.as_deref().or(receipt.created_at.as_deref()),
        _ => None,
    };
    own.and_then(time::instant).unwrap_or(kept.arrived_at)
}

fn item(kept: &Kept) -> Item {
    let said = match &kept.callback.content {
        Content::ReceivedText(text) => Said::Text {
            message: plain_text::pieces(message(kept)),
            to: text.destination_number.clone().unwrap_or_default(),
        },
        _ => Said::Sent {
            href: href(kept.callback.notify_id()),
            reference: kept.callback.reference().map(str::to_owned),
            status: status_tag(&kept.callback),
        },
    };
    Item { when: happened(kept), service: kept.service_name.clone(), said }
}
