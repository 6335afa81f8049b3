//! Received text messages: the inbox, one row for each sender, and a whole conversation with what a team does about it.

mod at_once;
pub(super) mod of_person;

pub use self::of_person::HandledConversation;

use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::destinations::{self, Destination};
use super::handling::{self, Changed, Handling, Opened, Versions};
use super::index::{Facets, Index, Wanted, Way};
use super::key::Key;
use super::live;
use super::notes::{self, Note};
use super::people::Person;
use super::receipt::NewestText;
use super::row::{self, Kept};
use super::service::{self, Service};
use super::settings::Setting;
use super::{ServiceId, Services, Store, StoreError, flags, settings};
use crate::flagging::{Flag, Hit};
use crate::notify::Kind;

/// Senders on one page of the inbox.
const SENDERS: usize = 50;
/// Messages on one page of a conversation.
const MESSAGES: usize = 200;
/// Pages that are gone back for a message.
const PAGES: usize = 100;
/// Places after what is unread and flagged as danger are above it.
const DANGER_FIRST: i64 = 1 << 60;

/// One sender in the inbox.
#[derive(Debug)]
pub struct InboxRow {
    /// The name that stands in URLs in place of the number.
    pub opaque: String,
    /// The newest text of those that the list is narrowed to.
    pub latest: Kept,
    /// How many texts came from this sender.
    pub texts: i64,
    /// Whether some are unread.
    pub is_unread: bool,
    /// The addresses of those who have taken it.
    pub taken_by: Option<String>,
    /// Whether it is dealt with.
    pub is_dealt_with: bool,
    /// How texts of it are flagged, the most urgent first.
    pub flags: Vec<RowFlag>,
}

/// A flag of a conversation, by the newest of its texts that is flagged so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowFlag {
    /// The text.
    pub arrival: i64,
    /// What for, and why.
    pub hit: Hit,
}

/// Which flagged conversations are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flagged {
    /// Those with any flag.
    Anyhow,
    /// Those with this one.
    As(Flag),
}

/// One page of the inbox, with what it can be narrowed to.
#[derive(Debug)]
pub struct InboxPage {
    /// The senders.
    pub rows: Vec<InboxRow>,
    /// Where to go on, where there is more.
    pub next: Option<i64>,
    /// The services.
    pub services: Vec<Service>,
    /// The numbers that texts are sent to.
    pub destinations: Vec<Destination>,
    /// The accounts that have taken conversations, and their addresses.
    pub holders: Vec<(i64, String)>,
    /// When texts are read, in an admin's words.
    pub hours: Option<String>,
    /// The arrival of the newest text that may be seen, listed here or not.
    pub newest: i64,
}

/// What of the inbox is wanted, and in which order. All of it where nothing is set, what is unread and may tell of danger
/// first, then what else is unread.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Narrowed {
    /// Only what is unread.
    pub unread: bool,
    /// Only what this account has taken.
    pub taken_by: Option<i64>,
    /// Only what is not dealt with.
    pub open: bool,
    /// Only what this service brought.
    pub service: Option<ServiceId>,
    /// Only conversations whose newest text was sent to this number.
    pub destination: Option<i64>,
    /// Only conversations with a text that is flagged so.
    pub flagged: Option<Flagged>,
    /// The newest first, read or not.
    pub newest_first: bool,
}

/// Who looks at a conversation.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Looker {
    /// The account.
    pub account: Option<i64>,
    /// Colleagues who opened it since this moment are named.
    pub opened_since: i64,
    /// The versions that a change of theirs was made from: what came after them is told.
    pub seen: Option<Versions>,
}

/// The texts from one sender and the receipts of texts sent there, with what a team does about them.
pub struct Conversation {
    /// Received texts and delivery receipts, in the order of their arrival.
    pub items: Vec<Kept>,
    /// Why texts among them are flagged, by their arrival.
    pub flags: Vec<(i64, Hit)>,
    /// The arrival before which there is more.
    pub earlier: Option<i64>,
    /// The arrival of the newest text.
    pub newest: i64,
    /// The sender as the newest text wrote it.
    pub sender: String,
    /// What is done about it, for each service that may be seen.
    pub handling: Vec<Handling>,
    /// The service that brought the newest text.
    pub newest_of: ServiceId,
    /// What leads to the answer to it.
    pub newest_text: NewestText,
    /// Notes, the oldest first.
    pub notes: Vec<Note>,
    /// Colleagues who see one of these services.
    pub colleagues: Vec<Person>,
    /// Those of them who have opened it lately.
    pub opened: Vec<Opened>,
    /// What was changed since the reader saw it.
    pub since: Vec<Changed>,
}

impl Store {
    /// One page of senders with their newest text, from the place `before` on.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn inbox(
        &self,
        sees: &Services,
        narrowed: Narrowed,
        before: Option<i64>,
    ) -> Result<InboxPage, StoreError> {
        let sees = sees.clone();
        self.read(move |connection| {
            // First: what comes meanwhile is new then.
            let newest = live::newest(connection, &sees)?;
            let (rows, next) = inbox(connection, &sees, narrowed, before)?;
            let services = service::seen(connection, &sees)?;
            let hours =
                settings::set(connection, Setting::Hours)?.map(|set| set.value).filter(|hours| !hours.is_empty());
            let destinations = destinations::seen(connection, &sees)?;
            let holders = handling::holders(connection, &sees)?;
            Ok(InboxPage { rows, next, services, destinations, holders, hours, newest })
        })
        .await
    }

    /// Where the pages of a conversation begin, from the one after the newest to the one that holds an arrival; none where the newest
    /// holds it.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn pages_before(&self, sees: &Services, opaque: &str, arrival: i64) -> Result<Vec<i64>, StoreError> {
        let (sees, opaque) = (sees.clone(), opaque.to_owned());
        self.look(move |index| pages_before(index, &sees, &opaque, arrival)).await
    }

    /// One conversation, the newest page of it or the one before the arrival `before`; `None` where its name is unknown
    /// or nothing in it may be seen.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn conversation(
        &self,
        sees: &Services,
        opaque: &str,
        before: Option<i64>,
        looker: Looker,
    ) -> Result<Option<Conversation>, StoreError> {
        let (sees, opaque, key) = (sees.clone(), opaque.to_owned(), self.inner.key.clone());
        self.look(move |index| conversation(index, &key, &sees, &opaque, before, &looker)).await
    }
}

/// What may be seen of the inbox at all, of a row of this name.
fn scope(row: &str) -> String {
    format!(
        "(:sees IS NULL OR {row}.service IN (SELECT value FROM json_each(:sees)))
         AND (:service IS NULL OR {row}.service = :service)
         AND (:destination IS NULL OR {row}.destination IN
             (SELECT id FROM destinations WHERE number = (SELECT number FROM destinations WHERE id = :destination)))"
    )
}

/// Whether a row has any flag, as the index has it.
fn is_flagged(row: &str) -> String {
    format!("max({row}.danger, {row}.stop, {row}.wrong_person) > 0")
}

/// What the list is narrowed to.
fn wanted(row: &str, flagged: Option<Flagged>) -> String {
    let flagged = match flagged {
        None => "TRUE".to_owned(),
        Some(Flagged::Anyhow) => is_flagged(row),
        Some(Flagged::As(flag)) => format!("{} AND {row}.{} > 0", is_flagged(row), column(flag)),
    };
    format!(
        "{} AND (:taken_by IS NULL OR {row}.taken_by = :taken_by) AND (NOT :open OR {row}.done_at IS NULL)
         AND (NOT :unread OR {row}.latest > {row}.read_to) AND {flagged}",
        scope(row)
    )
}

/// Where the newest text of a conversation stands that is flagged so.
fn column(flag: Flag) -> &'static str {
    match flag {
        Flag::Danger => "danger",
        Flag::Stop => "stop",
        Flag::WrongPerson => "wrong_person",
    }
}

/// A part of the inbox, which is read by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Read or not.
    All,
    /// What is unread and may tell of danger.
    Danger,
    /// What else is unread.
    Unread,
    Read,
}

impl Part {
    /// The parts in their order.
    fn of(narrowed: Narrowed) -> &'static [Part] {
        match narrowed {
            Narrowed { newest_first: true, .. } => &[Part::All],
            Narrowed { unread: true, .. } => &[Part::Danger, Part::Unread],
            _ => &[Part::Danger, Part::Unread, Part::Read],
        }
    }

    /// The part that a place is in, and the arrival before which it goes on.
    fn at(place: Option<i64>, narrowed: Narrowed) -> (Part, i64) {
        match place {
            place if narrowed.newest_first => (Part::All, place.unwrap_or(i64::MAX)),
            None => (Part::Danger, i64::MAX),
            Some(place) if place > DANGER_FIRST => (Part::Danger, place - DANGER_FIRST),
            Some(place) if place > 0 => (Part::Unread, place),
            Some(place) => (Part::Read, place.saturating_neg()),
        }
    }

    /// The place behind an arrival in it.
    fn behind(self, arrival: i64) -> i64 {
        match self {
            Part::All | Part::Unread => arrival,
            Part::Danger => arrival + DANGER_FIRST,
            Part::Read => -arrival,
        }
    }

    /// Which rows are in it, and when one gives way to another of its sender.
    fn rows(self) -> (&'static str, &'static str) {
        match self {
            Part::All => ("TRUE", "n.latest > cs.latest"),
            Part::Danger => ("cs.danger > cs.read_to", "n.latest > cs.latest AND n.danger > n.read_to"),
            Part::Unread => {
                ("cs.latest > cs.read_to", "n.danger > n.read_to OR (n.latest > cs.latest AND n.latest > n.read_to)")
            }
            Part::Read => ("cs.latest <= cs.read_to", "n.latest > cs.latest OR n.latest > n.read_to"),
        }
    }
}

/// A sender stands at the newest of its texts that are wanted, so a row of an older one of its services gives way.
fn list(part: Part, flagged: Option<Flagged>) -> String {
    let (those, gives_way) = part.rows();
    let index = match (part, flagged) {
        (Part::Danger, _) => "conversation_services_in_danger",
        (_, Some(_)) => "conversation_services_flagged",
        (_, None) => "conversation_services_by_latest",
    };
    let condition = format!(
        "cs.latest < :before AND {} AND {those}
           AND NOT EXISTS (SELECT 1 FROM conversation_services n WHERE n.conversation = cs.conversation
                  AND ({gives_way}) AND {})
         ORDER BY cs.latest DESC LIMIT :limit",
        wanted("cs", flagged),
        wanted("n", flagged)
    );
    select(&format!("INDEXED BY {index}"), &condition)
}

/// Rows of the inbox, as [`sender`] reads them.
fn select(index: &str, condition: &str) -> String {
    let scope = scope("t");
    let newest = |flag: Flag| {
        let column = column(flag);
        format!(
            "(SELECT max(t.{column}) FROM conversation_services t WHERE t.conversation = v.id AND {scope}) AS {column}"
        )
    };
    format!(
        "SELECT c.arrival, {}, v.opaque, {},
             (SELECT sum(t.texts) FROM conversation_services t WHERE t.conversation = v.id AND {scope}) AS texts,
             EXISTS (SELECT 1 FROM conversation_services t WHERE t.conversation = v.id AND t.latest > t.read_to AND {scope}) AS unread,
             (SELECT group_concat(DISTINCT p.email) FROM conversation_services t JOIN people p ON p.id = t.taken_by
                 WHERE t.conversation = v.id AND {scope}) AS taken_by,
             NOT EXISTS (SELECT 1 FROM conversation_services t WHERE t.conversation = v.id AND t.done_at IS NULL AND {scope}) AS done
         FROM conversation_services cs {index}
         JOIN conversations v ON v.id = cs.conversation
         JOIN callbacks c ON c.arrival = cs.latest
         {}
         WHERE {condition}",
        row::COLUMNS,
        Flag::ALL.map(newest).join(", "),
        row::JOINS
    )
}

fn inbox(
    connection: &Connection,
    sees: &Services,
    narrowed: Narrowed,
    place: Option<i64>,
) -> rusqlite::Result<(Vec<InboxRow>, Option<i64>)> {
    let (first, mut before) = Part::at(place, narrowed);
    let mut rows = Vec::new();
    for part in Part::of(narrowed).iter().copied().skip_while(|part| *part != first) {
        if rows.len() <= SENDERS {
            rows.extend(senders(connection, part, sees, narrowed, before)?.into_iter().map(|row| (part, row)));
        }
        before = i64::MAX;
    }
    let more = rows.len() > SENDERS;
    rows.truncate(SENDERS);
    let next = rows.last().filter(|_| more).map(|(part, last)| part.behind(last.latest.arrival));
    Ok((rows.into_iter().map(|(_, row)| row).collect(), next))
}

/// One more than a page.
fn senders(
    connection: &Connection,
    part: Part,
    sees: &Services,
    narrowed: Narrowed,
    before: i64,
) -> rusqlite::Result<Vec<InboxRow>> {
    let mut find = connection.prepare_cached(&list(part, narrowed.flagged))?;
    let bound = named_params! {
        ":sees": sees.bound(), ":service": narrowed.service, ":destination": narrowed.destination,
        ":taken_by": narrowed.taken_by, ":open": narrowed.open, ":unread": narrowed.unread,
        ":before": before, ":limit": SENDERS + 1,
    };
    let rows = find.query_map(bound, sender)?.collect::<rusqlite::Result<Vec<_>>>()?;
    rows.into_iter().map(|row| with_flags(connection, row)).collect()
}

/// A row, and the newest arrivals that are flagged.
type Sender = (InboxRow, Vec<(Flag, i64)>);

fn sender(row: &Row<'_>) -> rusqlite::Result<Sender> {
    let mut newest = Vec::new();
    for flag in Flag::ALL {
        newest.push((flag, row.get(column(flag))?));
    }
    let row = InboxRow {
        latest: row::kept(row)?,
        opaque: row.get("opaque")?,
        texts: row.get("texts")?,
        is_unread: row.get("unread")?,
        taken_by: row.get("taken_by")?,
        is_dealt_with: row.get("done")?,
        flags: Vec::new(),
    };
    Ok((row, newest))
}

fn with_flags(connection: &Connection, (mut row, newest): Sender) -> rusqlite::Result<InboxRow> {
    for (flag, arrival) in newest.into_iter().filter(|(_, arrival)| *arrival > 0) {
        let hit = flags::of(connection, arrival)?.into_iter().find(|hit| hit.flag == flag);
        row.flags.extend(hit.map(|hit| RowFlag { arrival, hit }));
    }
    Ok(row)
}

fn conversation(
    index: &Index<'_>,
    key: &Key,
    sees: &Services,
    opaque: &str,
    before: Option<i64>,
    looker: &Looker,
) -> rusqlite::Result<Option<Conversation>> {
    let connection = index.connection;
    let known: Option<(i64, String, i64)> = connection
        .prepare_cached(
            "SELECT v.id, v.person_key, max(cs.latest) FROM conversations v
             JOIN conversation_services cs ON cs.conversation = v.id
             WHERE v.opaque = ?1 AND (?2 IS NULL OR cs.service IN (SELECT value FROM json_each(?2)))
             GROUP BY v.id",
        )?
        .query_row(params![opaque, sees.bound()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((id, person, newest)) = known else { return Ok(None) };
    let Some(latest) = row::at(connection, newest)? else { return Ok(None) };
    let handling = handling::states(connection, id, sees)?;
    let names = (opaque, person.as_str());
    let (colleagues, opened) =
        handling::colleagues(connection, key, &handling, names, (looker.account, looker.opened_since))?;
    let since = match &looker.seen {
        Some(versions) => handling::since(connection, id, &handling, versions)?,
        None => Vec::new(),
    };
    let mut items = messages(index, sees, person, before.unwrap_or(i64::MAX))?;
    let more = items.len() > MESSAGES;
    items.truncate(MESSAGES);
    let earlier = items.last().filter(|_| more).map(|oldest| oldest.arrival);
    items.reverse();
    let sender = latest.callback.person().map(str::to_owned).unwrap_or_default();
    let (newest_of, notes) = (latest.service, notes::on(connection, id, sees)?);
    let newest_text = NewestText::of(connection, &latest)?;
    let mut flags = Vec::new();
    for kept in items.iter().filter(|kept| kept.callback.kind() == Kind::ReceivedText) {
        flags.extend(flags::of(connection, kept.arrival)?.into_iter().map(|hit| (kept.arrival, hit)));
    }
    Ok(Some(Conversation {
        items,
        flags,
        earlier,
        newest,
        sender,
        handling,
        newest_of,
        newest_text,
        notes,
        colleagues,
        opened,
        since,
    }))
}

fn pages_before(index: &Index<'_>, sees: &Services, opaque: &str, arrival: i64) -> rusqlite::Result<Vec<i64>> {
    let sql = "SELECT person_key FROM conversations WHERE opaque = ?1";
    let person = index.connection.prepare_cached(sql)?.query_row([opaque], |row| row.get::<_, String>(0)).optional()?;
    let (Some(person), mut begin) = (person, Vec::new()) else { return Ok(Vec::new()) };
    while begin.len() < PAGES {
        let page = messages(index, sees, person.clone(), begin.last().copied().unwrap_or(i64::MAX))?;
        let Some(oldest) = page.get(MESSAGES - 1).filter(|_| page.len() > MESSAGES) else { break };
        if oldest.arrival <= arrival {
            break;
        }
        begin.push(oldest.arrival);
    }
    Ok(begin)
}

/// One more than a page, the newest first.
fn messages(index: &Index<'_>, sees: &Services, person: String, before: i64) -> rusqlite::Result<Vec<Kept>> {
    let mut arrivals = index.arrivals(Wanted::Person(person), Facets::of(sees), Way::NewestFirst, before);
    let mut messages = Vec::new();
    while messages.len() <= MESSAGES
        && let Some(arrival) = arrivals.next()?
    {
        let shows = |kept: &Kept| {
            let kind = kept.callback.kind();
            kept.shown && sees.allow(kept.service) && matches!(kind, Kind::ReceivedText | Kind::DeliveryReceipt)
        };
        messages.extend(row::at(index.connection, arrival)?.filter(shows));
    }
    Ok(messages)
}
