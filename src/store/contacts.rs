//! Contacts to check: numbers, addresses and letters with which something is wrong, one row for each, so that somebody can see to them.
//! They are kept behind the callbacks (`following`), and go with the rows that they are made of.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::record::{self, By, Did, Entry};
use super::row::{self, Kept};
use super::{Only, ServiceId, Services, Store, StoreError};
use crate::flagging::Flag;
use crate::notify::Kind;
use crate::notify::filter::Filter;

/// Contacts on one page.
const PAGE: usize = 50;
/// A count stops here.
const COUNTED: i64 = 1000;

/// What is wrong with a contact.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Concern {
    /// The last message to it failed for good.
    FailedForGood,
    /// Messages to it fail now and then, or just now.
    FailsNowAndThen,
    /// Its reader marked an email as spam.
    MarkedAsSpam,
    /// A text from it asks for no more messages.
    AskedToStop,
    /// A text from it says that the messages are not for whoever gets them.
    WrongPerson,
    /// A letter came back.
    LetterReturned,
}

impl Concern {
    /// All of them, in the order of the lists.
    pub const ALL: [Concern; 6] = [
        Concern::FailedForGood,
        Concern::FailsNowAndThen,
        Concern::MarkedAsSpam,
        Concern::AskedToStop,
        Concern::WrongPerson,
        Concern::LetterReturned,
    ];

    fn code(self) -> i64 {
        match self {
            Concern::FailedForGood => 1,
            Concern::FailsNowAndThen => 2,
            Concern::MarkedAsSpam => 3,
            Concern::AskedToStop => 4,
            Concern::WrongPerson => 5,
            Concern::LetterReturned => 6,
        }
    }

    /// Its name in addresses and exports.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Concern::FailedForGood => "failed",
            Concern::FailsNowAndThen => "fails-now-and-then",
            Concern::MarkedAsSpam => "marked-as-spam",
            Concern::AskedToStop => "asked-to-stop",
            Concern::WrongPerson => "wrong-person",
            Concern::LetterReturned => "letter-returned",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn of(value: &str) -> Option<Concern> {
        Concern::ALL.into_iter().find(|concern| concern.value() == value)
    }

    /// Whether a message that comes through says that it is over.
    fn ends(self) -> bool {
        matches!(self, Concern::FailedForGood | Concern::FailsNowAndThen)
    }
}

/// One contact.
#[derive(Debug)]
pub struct Contact {
    /// Its number here.
    pub id: i64,
    /// What is wrong.
    pub concern: Concern,
    /// How many callbacks said so since it began.
    pub times: i64,
    /// When the first of them arrived, in microseconds since 1970 UTC.
    pub since: i64,
    /// When somebody dealt with it, and who.
    pub dealt: Option<(i64, String)>,
    /// The callback that said so last.
    pub latest: Kept,
    /// The name of the conversation with this person, where there is one.
    pub conversation: Option<String>,
}

/// Which contacts are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContactsAsked {
    /// What is wrong with them.
    pub concern: Concern,
    /// Whether those that somebody dealt with are meant in place of the others.
    pub dealt: bool,
    /// Of this service alone.
    pub service: Option<ServiceId>,
    /// Only those whose latest callback arrived at this moment or later.
    pub since: Option<i64>,
    /// Only those whose latest callback arrived before this moment.
    pub until: Option<i64>,
    /// Only those whose latest callback is before this arrival.
    pub before: Option<i64>,
}

/// One page of them, the latest first.
#[derive(Default, Debug)]
pub struct ContactsPage {
    /// The contacts.
    pub rows: Vec<Contact>,
    /// The arrival to go on before, where there is more.
    pub next: Option<i64>,
}

/// What became of marking a contact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Marked {
    /// It is marked.
    Done,
    /// Something came or was done meanwhile, and it stays as it is.
    Changed,
}

impl ContactsAsked {
    /// All that anybody has to see to of one sort.
    #[must_use]
    pub fn of(concern: Concern) -> ContactsAsked {
        ContactsAsked { concern, dealt: false, service: None, since: None, until: None, before: None }
    }

    /// The first and the last arrival of its days.
    fn arrivals(self, connection: &Connection) -> rusqlite::Result<(i64, i64)> {
        Only { since: self.since, until: self.until, ..Only::default() }.arrivals(connection)
    }
}

impl Store {
    /// One page of contacts.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn contacts(&self, sees: &Services, asked: ContactsAsked) -> Result<ContactsPage, StoreError> {
        let sees = sees.bound();
        self.read(move |connection| page(connection, sees.as_ref(), asked)).await
    }

    /// The numbers of all contacts that are asked for at this moment, the latest first, for a file: whoever is listed anew while it is
    /// written moves to the top, past the place where the file is.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn contact_numbers(&self, sees: &Services, asked: ContactsAsked) -> Result<Vec<i64>, StoreError> {
        let sees = sees.bound();
        self.read(move |connection| numbers(connection, sees.as_ref(), asked)).await
    }

    /// Some contacts as they are now, in the same order. What went meanwhile is left out.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn contacts_of(
        &self,
        sees: &Services,
        asked: ContactsAsked,
        numbers: Vec<i64>,
    ) -> Result<Vec<Contact>, StoreError> {
        let sees = sees.bound();
        self.read(move |connection| {
            let mut find = connection.prepare_cached(&ONE)?;
            let one = |number: &i64| {
                find.query_row(named_params! { ":sees": sees, ":id": number }, |row| contact(row, asked.concern))
                    .optional()
            };
            numbers.iter().map(one).filter_map(Result::transpose).collect()
        })
        .await
    }

    /// How many there are to see to, by what is wrong; counted up to 1,000.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn count_contacts(&self, sees: &Services) -> Result<Vec<(Concern, i64)>, StoreError> {
        let sees = sees.bound();
        self.read(move |connection| {
            let count = |concern: Concern| Ok((concern, count(connection, sees.as_ref(), concern)?));
            Concern::ALL.into_iter().map(count).collect()
        })
        .await
    }

    /// Notes that somebody dealt with a contact whose latest callback is that one, or, to undo that, that nobody did.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn mark_contact(
        &self,
        sees: &Services,
        (id, latest): (i64, i64),
        dealt: bool,
        by: By,
        now: i64,
    ) -> Result<Marked, StoreError> {
        let (sees, key) = (sees.bound(), self.inner.key.clone());
        self.write(move |connection| {
            let name = by.name.clone();
            let sql = "UPDATE contacts SET dealt_at = iif(:dealt, :now, NULL), dealt_by = iif(:dealt, :name, NULL)
                WHERE id = :id AND latest = :latest AND (dealt_at IS NULL) = :dealt
                  AND (:sees IS NULL OR service IN (SELECT value FROM json_each(:sees))) RETURNING key, concern";
            let bound =
                named_params! {":id": id, ":latest": latest, ":dealt": dealt, ":now": now, ":name": name, ":sees": sees};
            let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
            let marked = connection.prepare_cached(sql)?.query_row(bound, read).optional()?;
            let Some((contact, concern)) = marked else { return Ok(Marked::Changed) };
            let did = if dealt { Did::DealtWithContact } else { Did::ReopenedContact };
            let concern = Concern::ALL.into_iter().find(|known| known.code() == concern);
            let words = concern.map(Concern::value).unwrap_or_default();
            let entry = Entry::new(by, did, now).of(format!("contact {id}")).about(Some(contact)).with(words);
            record::append(connection, &key, &entry)?;
            Ok(Marked::Done)
        })
        .await
    }
}

/// Of those dealt with and of the others: each has an index of its own, which a list that is bound would not use.
const DEALT: &str = "o.dealt_at IS NOT NULL";
const OPEN: &str = "o.dealt_at IS NULL AND o.recovered_at IS NULL";
static DEALT_WITH: LazyLock<String> = LazyLock::new(|| select(&format!("{} LIMIT :limit", listed(DEALT))));
static TO_CHECK: LazyLock<String> = LazyLock::new(|| select(&format!("{} LIMIT :limit", listed(OPEN))));
static ONE: LazyLock<String> = LazyLock::new(|| select(&format!("o.id = :id AND {SEEN}")));
const SEEN: &str = "(:sees IS NULL OR o.service IN (SELECT value FROM json_each(:sees)))";

fn listed(which: &str) -> String {
    format!(
        "o.concern = :concern AND {which} AND o.latest < :before AND o.latest BETWEEN :first AND :last
           AND (:service IS NULL OR o.service = :service) AND {SEEN}
         ORDER BY o.latest DESC"
    )
}

fn select(condition: &str) -> String {
    format!(
        "SELECT c.arrival, {}, o.id, o.times, o.since, o.dealt_at, o.dealt_by,
             (SELECT v.opaque FROM conversations v JOIN conversation_services cs ON cs.conversation = v.id
              WHERE v.person_key = o.key AND (:sees IS NULL OR cs.service IN (SELECT value FROM json_each(:sees))))
         FROM contacts o JOIN callbacks c ON c.arrival = o.latest {}
         WHERE {condition}",
        row::COLUMNS,
        row::JOINS
    )
}

fn page(connection: &Connection, sees: Option<&String>, asked: ContactsAsked) -> rusqlite::Result<ContactsPage> {
    let mut find = connection.prepare_cached(if asked.dealt { &DEALT_WITH } else { &TO_CHECK })?;
    let (first, last) = asked.arrivals(connection)?;
    let bound = named_params! {
        ":sees": sees, ":concern": asked.concern.code(), ":service": asked.service,
        ":before": asked.before.unwrap_or(i64::MAX), ":first": first, ":last": last, ":limit": PAGE + 1,
    };
    let mut rows = find.query_map(bound, |row| contact(row, asked.concern))?.collect::<rusqlite::Result<Vec<_>>>()?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let next = rows.last().filter(|_| more).map(|last| last.latest.arrival);
    Ok(ContactsPage { rows, next })
}

fn contact(row: &Row<'_>, concern: Concern) -> rusqlite::Result<Contact> {
    let dealt = row.get::<_, Option<i64>>(25)?.zip(row.get(26)?);
    let (id, times, since) = (row.get(22)?, row.get(23)?, row.get(24)?);
    Ok(Contact { id, concern, times, since, dealt, latest: row::kept(row)?, conversation: row.get(27)? })
}

fn numbers(connection: &Connection, sees: Option<&String>, asked: ContactsAsked) -> rusqlite::Result<Vec<i64>> {
    let sql = format!("SELECT o.id FROM contacts o WHERE {}", listed(if asked.dealt { DEALT } else { OPEN }));
    let (first, last) = asked.arrivals(connection)?;
    let bound = named_params! {
        ":sees": sees, ":concern": asked.concern.code(), ":service": asked.service,
        ":before": i64::MAX, ":first": first, ":last": last,
    };
    connection.prepare_cached(&sql)?.query_map(bound, |row| row.get(0))?.collect()
}

fn count(connection: &Connection, sees: Option<&String>, concern: Concern) -> rusqlite::Result<i64> {
    let sql =
        "SELECT count(*) FROM (SELECT 1 FROM contacts WHERE concern = ?1 AND dealt_at IS NULL AND recovered_at IS NULL
         AND (?2 IS NULL OR service IN (SELECT value FROM json_each(?2))) LIMIT ?3)";
    connection.prepare_cached(sql)?.query_row(params![concern.code(), sees, COUNTED], |row| row.get(0))
}

/// Whether a callback changes the contacts by itself, or may where its person stands there.
pub(super) fn concerns(connection: &Connection, kept: &Kept) -> rusqlite::Result<bool> {
    Ok(match kept.filter() {
        _ if !kept.shown => false,
        Some(Filter::NotDelivered | Filter::NotAccepting | Filter::Returned | Filter::MarkedAsSpam) => true,
        Some(Filter::Delivered | Filter::SentAbroad) => match kept.callback.match_key() {
            Some(person) => connection
                .prepare_cached("SELECT 1 FROM contacts WHERE key = ?1 AND service = ?2")?
                .exists(params![person.as_str(), kept.service])?,
            None => false,
        },
        _ => false,
    })
}

/// Changes what a callback that was kept says of its contact.
pub(super) fn note(connection: &Connection, kept: &Kept) -> rusqlite::Result<()> {
    let person = kept.callback.match_key();
    match (kept.filter(), &person) {
        (Some(Filter::Returned), _) => add(connection, kept, kept.callback.notify_id(), Concern::LetterReturned),
        (Some(Filter::NotDelivered), Some(person)) => add(connection, kept, person.as_str(), Concern::FailedForGood),
        (Some(Filter::NotAccepting), Some(person)) => {
            recover(connection, kept, person.as_str(), Concern::FailedForGood)?;
            add(connection, kept, person.as_str(), Concern::FailsNowAndThen)
        }
        (Some(Filter::MarkedAsSpam), Some(person)) => add(connection, kept, person.as_str(), Concern::MarkedAsSpam),
        (Some(Filter::Delivered | Filter::SentAbroad), Some(person)) => {
            let mut over = Concern::ALL.into_iter().filter(|concern| concern.ends());
            over.try_for_each(|concern| recover(connection, kept, person.as_str(), concern))
        }
        _ => Ok(()),
    }
}

/// Adds the sender of a text that is flagged so.
pub(super) fn note_flag(connection: &Connection, kept: &Kept, flag: Flag) -> rusqlite::Result<()> {
    match flagged_contact(kept, flag) {
        Some((person, concern)) => add(connection, kept, &person, concern),
        None => Ok(()),
    }
}

/// As [`note_flag`], of a text that a changed list flags late: whoever is listed by a later text, or was and is dealt with, stays so.
pub(super) fn note_flag_late(connection: &Connection, kept: &Kept, flag: Flag) -> rusqlite::Result<()> {
    let Some((person, concern)) = flagged_contact(kept, flag) else { return Ok(()) };
    let known = "SELECT 1 FROM contacts WHERE key = ?1 AND service = ?2 AND concern = ?3 AND latest >= ?4";
    if connection.prepare_cached(known)?.exists(params![person, kept.service, concern.code(), kept.arrival])? {
        return Ok(());
    }
    add(connection, kept, &person, concern)
}

/// As [`note_flag`], of a text that a changed list flags no more: its sender stays listed by the texts that are still flagged so, or goes.
/// What somebody dealt with stays.
pub(super) fn note_flag_gone(connection: &Connection, kept: &Kept, flag: Flag) -> rusqlite::Result<()> {
    let Some((person, concern)) = flagged_contact(kept, flag) else { return Ok(()) };
    let still = "SELECT count(*), max(f.arrival), min(c.arrived_at)
        FROM conversations v JOIN flags f ON f.conversation = v.id JOIN callbacks c ON c.arrival = f.arrival
        WHERE v.person_key = ?1 AND f.service = ?2 AND f.flag = ?3";
    let (times, latest, since): (i64, Option<i64>, Option<i64>) = connection
        .prepare_cached(still)?
        .query_row(params![person, kept.service, flag.value()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let sql = match latest {
        None => "DELETE FROM contacts WHERE key = ?1 AND service = ?2 AND concern = ?3 AND dealt_at IS NULL",
        Some(_) => {
            "UPDATE contacts SET times = ?4, latest = ?5, since = ?6
             WHERE key = ?1 AND service = ?2 AND concern = ?3 AND dealt_at IS NULL"
        }
    };
    let mut change = connection.prepare_cached(sql)?;
    match latest {
        None => change.execute(params![person, kept.service, concern.code()]),
        Some(latest) => change.execute(params![person, kept.service, concern.code(), times, latest, since]),
    }
    .map(drop)
}

fn flagged_contact(kept: &Kept, flag: Flag) -> Option<(String, Concern)> {
    let concern = match flag {
        Flag::Stop => Concern::AskedToStop,
        Flag::WrongPerson => Concern::WrongPerson,
        Flag::Danger => return None,
    };
    Some((kept.callback.match_key()?.as_str().to_owned(), concern))
}

/// What was over begins anew; what somebody had dealt with is to be seen to again.
fn add(connection: &Connection, kept: &Kept, key: &str, concern: Concern) -> rusqlite::Result<()> {
    // A letter's receipt and the callback that it came back tell of the same letter.
    let counts = i64::from(concern != Concern::LetterReturned || kept.callback.kind() == Kind::ReturnedLetter);
    connection
        .prepare_cached(
            "INSERT INTO contacts (concern, service, key, times, since, latest) VALUES (?1, ?2, ?3, 1, ?4, ?5)
             ON CONFLICT (key, service, concern) DO UPDATE SET
                 times = iif(recovered_at IS NULL OR ?1 = ?7, iif(?6 = 0 OR ?1 = ?8, times, times + 1), 1),
                 since = iif(recovered_at IS NULL OR ?1 = ?7, min(since, ?4), ?4),
                 latest = max(latest, ?5), recovered_at = NULL, dealt_at = NULL, dealt_by = NULL",
        )?
        .execute(params![
            concern.code(),
            kept.service,
            key,
            kept.arrived_at,
            kept.arrival,
            counts,
            Concern::FailsNowAndThen.code(),
            Concern::LetterReturned.code()
        ])
        .map(drop)
}

/// A message came through: it is over, unless it fails now and then, which is to be seen when it has failed more than once.
fn recover(connection: &Connection, kept: &Kept, key: &str, concern: Concern) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE contacts SET recovered_at = ?4 WHERE key = ?1 AND service = ?2 AND concern = ?3 AND latest < ?5
                 AND recovered_at IS NULL AND (concern <> ?6 OR times < 2)",
        )?
        .execute(params![
            key,
            kept.service,
            concern.code(),
            kept.arrived_at,
            kept.arrival,
            Concern::FailsNowAndThen.code()
        ])
        .map(drop)
}

/// The row of an arrival goes, or no longer says whose it is.
pub(super) fn forget(connection: &Connection, arrival: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM contacts WHERE latest = ?1")?.execute([arrival]).map(drop)
}
