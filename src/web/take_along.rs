//! Lists, searches and conversations to take along as a file: all rows, newest first, in steps of short reads, for whoever may.

use std::io;
use std::sync::Arc;

use http::HeaderMap;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::messages::{self, message, named};
use super::problem::{Answer, Problem, answer, see_other};
use super::request::{self, Words};
use super::results::{happened, kind_words, status_tag};
use super::taken::Taken;
use super::{Site, contacts, download, get, one_of, receipts, search, uk_time};
use crate::access::{Caseworker, May};
use crate::clock;
use crate::notify::Content;
use crate::spreadsheet::{Format, Table};
use crate::store::{
    By, ContactsAsked, Cursor, Did, Entry, Find, InboxRow, Kept, Looker, Narrowed, Note, Source, StoreError,
};

/// Senders or contacts that are read at once.
const ROWS_AT_ONCE: usize = 50;
/// A number has so many digits.
const FEWEST_DIGITS: usize = 5;

/// The addresses of what a page shows as files.
pub(super) struct Files {
    pub(super) csv: String,
    pub(super) excel: String,
}

impl Files {
    /// Of the list at this address, for whoever may take it along.
    pub(super) fn of(caseworker: &Caseworker, list: &str) -> Option<Files> {
        caseworker
            .may(May::Export)
            .then(|| Files { csv: address(list, Format::Csv), excel: address(list, Format::Xlsx) })
    }
}

/// A list with the same filters, but as a file. Where what is in a list has its address below it, the file has another.
fn address(list: &str, format: Format) -> String {
    let (path, query) = list.split_once('?').map_or((list, String::new()), |(path, query)| (path, format!("?{query}")));
    let all = if matches!(path, "/receipts" | "/messages") { "/download" } else { "" };
    format!("{all}{path}/{}{query}", format.ending())
}

/// What the button says that copies whom a message was sent to or came from, where that is a number or an email address.
pub(super) fn copied(person: &str) -> Option<&'static str> {
    let digits = person.chars().filter(char::is_ascii_digit).count();
    match person {
        _ if person.contains('@') => Some("Copy email address"),
        _ if digits >= FEWEST_DIGITS => Some("Copy number"),
        _ => None,
    }
}

pub(super) fn routes(site: &Arc<Site>) -> BoxedFilter<(Response,)> {
    one_of([
        warp::path!("download" / "receipts" / Format)
            .and(get())
            .and(request::site(site))
            .and(saver(site))
            .and(request::query())
            .then(newest_or_by_reference)
            .map(answer)
            .boxed(),
        warp::path!("search" / String / Format)
            .and(get())
            .and(request::site(site))
            .and(saver(site))
            .and(request::query())
            .then(by_name)
            .map(answer)
            .boxed(),
        warp::path!("download" / "messages" / Format)
            .and(get())
            .and(request::site(site))
            .and(saver(site))
            .and(request::query())
            .then(inbox)
            .map(answer)
            .boxed(),
        warp::path!("messages" / String / Format)
            .and(get())
            .and(request::site(site))
            .and(saver(site))
            .then(conversation)
            .map(answer)
            .boxed(),
    ])
}

async fn newest_or_by_reference(
    format: Format,
    site: Arc<Site>,
    saver: Result<Saver, Problem>,
    query: Words,
) -> Answer {
    let saver = saver?;
    let typed = query.get("q").unwrap_or_default().trim().to_owned();
    if !typed.is_empty() {
        let term = search::term(&typed).map_err(|_| Problem::BadRequest)?;
        if search::is_personal(&term, query.get("as")) {
            // The page has another address, and so has its file.
            let page = search::page_of(&site, &typed, None).await?;
            return page.map_or(Err(Problem::BadRequest), |page| Ok(see_other(&page)));
        }
        return found(format, site, saver, query, typed).await;
    }
    let filters = receipts::filters(&site, &saver.caseworker, &query).await?;
    if !filters.faults().all().is_empty() {
        return Err(Problem::BadRequest);
    }
    let find = Find { sources: vec![Source::Newest], only: filters.only(), from: None };
    let did = vec![saver.did(Did::ExportedReceipts).with(format.words())];
    saver.save(site, did, "receipts", format, List::Found(find)).await
}

async fn by_name(
    opaque: String,
    format: Format,
    site: Arc<Site>,
    saver: Result<Saver, Problem>,
    query: Words,
) -> Answer {
    let saver = saver?;
    let typed = site.store.search_term(opaque, clock::now() - search::KEPT).await?.ok_or(Problem::NoSearch)?;
    found(format, site, saver, query, typed).await
}

async fn found(format: Format, site: Arc<Site>, saver: Saver, query: Words, typed: String) -> Answer {
    let term = search::term(&typed).map_err(|_| Problem::NoSearch)?;
    let filters = receipts::filters(&site, &saver.caseworker, &query).await?;
    if !filters.faults().all().is_empty() {
        return Err(Problem::BadRequest);
    }
    let taken = Taken::asked(query.get("as"), &typed, &term);
    let did = receipts::saved(receipts::searched(&saver.caseworker, &typed, taken, &term), format.words());
    let find = Find { sources: taken.sources(&typed, &term), only: filters.only(), from: None };
    saver.save(site, did, "search", format, List::Found(find)).await
}

async fn inbox(format: Format, site: Arc<Site>, saver: Result<Saver, Problem>, query: Words) -> Answer {
    let saver = saver?;
    let narrowed = messages::Asked::of(&query).narrowed(&saver.caseworker);
    let list = List::Inbox(narrowed, Left::default());
    let did = vec![saver.did(Did::ExportedMessages).with(format.words())];
    saver.save(site, did, "received-texts", format, list).await
}

async fn conversation(opaque: String, format: Format, site: Arc<Site>, saver: Result<Saver, Problem>) -> Answer {
    let saver = saver?;
    let found = site.store.conversation(saver.caseworker.sees(), &opaque, None, looker()).await?;
    let found = found.ok_or(Problem::NotFound)?;
    let person = found.items.iter().find_map(|kept| kept.callback.match_key()).map(|key| key.as_str().to_owned());
    let did = saver.did(Did::ExportedConversation).of(opaque.as_str()).about(person).with(format.words());
    let did = vec![did];
    let list = List::Conversation { opaque, before: None, notes: Vec::new() };
    saver.save(site, did, "conversation", format, list).await
}

/// Who takes a conversation along asks for nothing that stands beside it.
pub(super) fn looker() -> Looker {
    Looker { account: None, opened_since: clock::now(), seen: None }
}

/// Who saves a file: asked again while it is written.
pub(super) struct Saver {
    pub(super) caseworker: Caseworker,
    /// What they have to be allowed all the while.
    may: May,
    headers: HeaderMap,
    source: String,
}

/// Whoever may take lists along.
pub(super) fn saver(site: &Arc<Site>) -> BoxedFilter<(Result<Saver, Problem>,)> {
    saver_of(site, May::Export)
}

/// Whoever may save something else.
pub(super) fn saver_of(site: &Arc<Site>, may: May) -> BoxedFilter<(Result<Saver, Problem>,)> {
    request::allowed(site, may)
        .and(warp::header::headers_cloned())
        .and(request::source())
        .map(move |caseworker: Result<Caseworker, Problem>, headers, source| {
            caseworker.map(|caseworker| Saver { caseworker, may, headers, source })
        })
        .boxed()
}

impl Saver {
    pub(super) fn did(&self, did: Did) -> Entry {
        self.caseworker.did(did, clock::now())
    }

    /// The file, once it is written down who takes it.
    pub(super) async fn save(self, site: Arc<Site>, did: Vec<Entry>, name: &str, format: Format, list: List) -> Answer {
        site.record_all(did).await?;
        let today = uk_time::iso(clock::now());
        let name = format!("{name}-{}.{}", today.get(..10).unwrap_or_default(), format.ending());
        let write = |pieces: download::Pieces| async move {
            let by = self.caseworker.by();
            let mut saved = 0;
            let written = self.write(&site, format, list, &pieces, &mut saved).await;
            ended(&site, by, written, saved, &pieces).await;
        };
        Ok(download::file(&name, format.media_type(), write))
    }

    /// Writes it to its end, as long as somebody reads it and may.
    async fn write(
        mut self,
        site: &Site,
        format: Format,
        mut list: List,
        pieces: &download::Pieces,
        saved: &mut u64,
    ) -> Result<(), NotWhole> {
        let (mut table, begun) = Table::begin(format, list.columns())?;
        let mut is_read = pieces.send(begun).await;
        let mut is_whole = false;
        while is_read && !is_whole {
            let (rows, whole) = list.go_on(site, &self.caseworker).await?;
            *saved += rows.len() as u64;
            let piece = table.rows(&rows)?;
            is_read = piece.is_empty() || pieces.send(piece).await;
            is_whole = whole;
            if !is_whole {
                self.caseworker = self.asked_again(site).await?;
            }
        }
        if is_read {
            pieces.send(table.end()?).await;
        }
        Ok(())
    }

    /// The same person, with what they may see now.
    pub(super) async fn asked_again(&self, site: &Site) -> Result<Caseworker, NotWhole> {
        let same = site.visitors.look(&self.headers, &self.source, clock::now()).await;
        let same = same.map_err(|_| NotWhole::NotAllowed)?;
        let is_same = same.by().person == self.caseworker.by().person;
        if is_same && same.may(self.may) { Ok(same) } else { Err(NotWhole::NotAllowed) }
    }
}

/// Breaks a file off that is not whole, and notes how much of it was saved.
pub(super) async fn ended(site: &Site, by: By, written: Result<(), NotWhole>, saved: u64, pieces: &download::Pieces) {
    if let Err(error) = written {
        // Whoever reads no more has stopped it.
        if !matches!(error, NotWhole::Store(StoreError::Stopped)) {
            tracing::error!(event = "page.failed", error = %error, "a file could not be written to its end");
        }
        pieces.break_off().await;
    }
    if let Err(error) = site.store.note_saved(by, saved, clock::now()).await {
        tracing::error!(event = "page.not_noted", error = %error, "how much was saved could not be noted");
    }
}

/// Why a file ends before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotWhole {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Made(#[from] io::Error),
    #[error("whoever saves it is not signed in any more, or may not any more")]
    NotAllowed,
}

/// What is taken along, and how far that is.
pub(super) enum List {
    /// Receipts and texts.
    Found(Find),
    /// Senders, and those that are left.
    Inbox(Narrowed, Left),
    /// What was written and sent, then notes.
    Conversation { opaque: String, before: Option<i64>, notes: Vec<Note> },
    /// Contacts to check, and those that are left.
    Contacts(ContactsAsked, Left),
}

/// The rows of a list by their numbers, as they were when the file began: what moves in the list meanwhile is missed nowhere.
#[derive(Default)]
pub(super) struct Left(Option<std::vec::IntoIter<i64>>);

impl Left {
    /// The next ones, and whether they are the last.
    async fn next(
        &mut self,
        all: impl Future<Output = Result<Vec<i64>, StoreError>>,
    ) -> Result<(Vec<i64>, bool), StoreError> {
        let left = match &mut self.0 {
            Some(left) => left,
            none => none.insert(all.await?.into_iter()),
        };
        let next = left.by_ref().take(ROWS_AT_ONCE).collect();
        Ok((next, left.as_slice().is_empty()))
    }
}

impl List {
    fn columns(&self) -> &'static [&'static str] {
        match self {
            List::Found(_) | List::Conversation { .. } => CALLBACKS,
            List::Inbox(..) => SENDERS,
            List::Contacts(..) => contacts::COLUMNS,
        }
    }

    /// The next rows, and whether they are the last.
    async fn go_on(&mut self, site: &Site, caseworker: &Caseworker) -> Result<(Vec<Vec<String>>, bool), StoreError> {
        let sees = caseworker.sees();
        match self {
            List::Found(find) => {
                let found = site.store.find_onward(sees, find.clone()).await?;
                find.from = found.next.map(Cursor::After);
                Ok((found.rows.iter().map(callback).collect(), found.next.is_none()))
            }
            List::Inbox(narrowed, left) => {
                let (numbers, is_whole) = left.next(site.store.inbox_numbers(sees, *narrowed)).await?;
                let rows = site.store.inbox_rows(sees, *narrowed, numbers).await?;
                Ok((rows.iter().map(sender).collect(), is_whole))
            }
            List::Conversation { opaque, before, notes } => {
                let Some(found) = site.store.conversation(sees, opaque, *before, looker()).await? else {
                    return Ok((Vec::new(), true));
                };
                if before.is_none() {
                    *notes = found.notes;
                }
                *before = found.earlier;
                let mut rows: Vec<Vec<String>> = found.items.iter().rev().map(callback).collect();
                if found.earlier.is_none() {
                    rows.extend(notes.iter().rev().filter_map(note));
                }
                Ok((rows, found.earlier.is_none()))
            }
            List::Contacts(asked, left) => {
                let (numbers, is_whole) = left.next(site.store.contact_numbers(sees, *asked)).await?;
                let rows = site.store.contacts_of(sees, *asked, numbers).await?;
                Ok((rows.iter().map(contacts::cells).collect(), is_whole))
            }
        }
    }
}

const CALLBACKS: &[&str] = &[
    "Reference",
    "Sent to or from",
    "Service",
    "Kind",
    "Status",
    "Status in Notify",
    "When",
    "Arrived",
    "Text",
    "Received at",
    "Template’s id",
    "Id in Notify",
];

fn callback(kept: &Kept) -> Vec<String> {
    let callback = &kept.callback;
    let (status, template, received_at) = match &callback.content {
        Content::DeliveryReceipt(receipt) => (receipt.status.as_str(), receipt.template_id.as_deref(), None),
        Content::ReturnedLetter(letter) => ("", letter.template_id.as_deref(), None),
        Content::ReceivedText(text) => ("", None, text.destination_number.as_deref()),
        Content::Complaint(_) => ("", None, None),
    };
    let when = happened(kept);
    vec![
        callback.reference().unwrap_or_default().to_owned(),
        callback.person().unwrap_or_default().to_owned(),
        kept.service_name.clone(),
        kind_words(callback),
        status_tag(callback).words,
        status.to_owned(),
        if when.iso.is_empty() { when.words } else { when.iso },
        uk_time::iso(kept.arrived_at),
        message(kept).to_owned(),
        received_at.unwrap_or_default().to_owned(),
        template.unwrap_or_default().to_owned(),
        callback.notify_id().to_owned(),
    ]
}

/// A note among what was written and sent; one that its writer removed says nothing.
fn note(note: &Note) -> Option<Vec<String>> {
    let mut cells = vec![String::new(); CALLBACKS.len()];
    let filled =
        ["", &note.who, &note.service_name, "Note", "", "", "", &uk_time::iso(note.made_at), note.text.as_deref()?];
    cells.iter_mut().zip(filled).for_each(|(cell, text)| text.clone_into(cell));
    Some(cells)
}

const SENDERS: &[&str] = &[
    "From",
    "Latest text message",
    "Service",
    "Unread",
    "Dealt with",
    "Taken by",
    "Messages",
    "Arrived",
    "Received at",
    "Id in Notify",
];

fn sender(row: &InboxRow) -> Vec<String> {
    let yes_or_no = |is: bool| if is { "Yes" } else { "No" }.to_owned();
    let received_at = match &row.latest.callback.content {
        Content::ReceivedText(text) => text.destination_number.clone(),
        _ => None,
    };
    vec![
        named(row.latest.callback.person().unwrap_or_default().to_owned()),
        message(&row.latest).to_owned(),
        row.latest.service_name.clone(),
        yes_or_no(row.is_unread),
        yes_or_no(row.is_dealt_with),
        row.taken_by.as_deref().unwrap_or_default().replace(',', ", "),
        row.texts.to_string(),
        uk_time::iso(row.latest.arrived_at),
        received_at.unwrap_or_default(),
        row.latest.callback.notify_id().to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_address_of_its_list_with_the_same_filters() {
        for (list, file) in [
            ("/receipts", "/download/receipts/csv"),
            ("/receipts?q=A%26B&status=delivered", "/download/receipts/csv?q=A%26B&status=delivered"),
            ("/search/x?as=words", "/search/x/csv?as=words"),
            ("/messages?show=unread", "/download/messages/csv?show=unread"),
            ("/messages/x", "/messages/x/csv"),
            ("/contacts/failed?dealt=yes", "/contacts/failed/csv?dealt=yes"),
        ] {
            assert_eq!(address(list, Format::Csv), file);
        }
        assert_eq!(address("/search/x", Format::Xlsx), "/search/x/xlsx");
    }
}
