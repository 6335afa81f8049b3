//! Emails that are due, worked out anew each time from what people want and what is unread, so that what waits for a mail server grows
//! into one and none is sent for what a colleague has read meanwhile. They are numbers of conversations and names of services: never
//! what was written, by whom, or about what.
//!
//! What is news is noted as told before the email is handed over and put back where that fails, so that a restart tells nothing twice.
//! An escalation is noted once it was taken: there, rather twice than never.

use rusqlite::{Connection, Row, named_params, params};

use super::emails::{self, News};
use super::key::Key;
use super::people::{PERSON, Person, Role, person};
use super::settings::{self, Setting};
use super::{ServiceId, Services, Store, StoreError};
use crate::clock::MINUTE;

/// How long news gathers after an email about news of its kind.
const GATHERS: i64 = 15 * MINUTE;
/// Conversations and texts are counted so far.
pub const TOLD_COUNTED: i64 = 1000;

/// How many, by the name of the service.
pub type ByService = Vec<(String, i64)>;

/// An email that is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letter {
    /// The account.
    pub person: i64,
    /// Its address.
    pub to: String,
    /// What it says.
    pub says: Says,
    sent_by: SentBy,
}

/// What an email says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Says {
    /// The code that confirms the address.
    Code(String),
    /// That emails arrive.
    Test,
    /// How many conversations of each service have something new.
    News(News, ByService),
    /// How many texts of each service may tell of danger and were not read in so many minutes.
    Escalated(i64, ByService),
}

/// By what it is known as sent.
#[derive(Clone, PartialEq, Eq, Debug)]
enum SentBy {
    Nonce(Vec<u8>),
    Test,
    News { since: i64, told_at: Option<i64>, up_to: i64 },
    Arrivals { told_at: Option<i64>, arrivals: Vec<i64> },
}

/// Whether somebody is told of escalations who did not ask for them.
pub type IsToldAnyway = fn(Role, &Services) -> bool;

impl Store {
    /// Those that are due, the most urgent first.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn letters(&self, is_told_anyway: IsToldAnyway, now: i64) -> Result<Vec<Letter>, StoreError> {
        let key = self.inner.key.clone();
        self.read(move |connection| letters(connection, &key, is_told_anyway, now)).await
    }

    /// Notes that an email is about to be handed over; false where it is not to be: the account was disabled meanwhile, or wants it
    /// no longer or elsewhere.
    ///
    /// # Errors
    /// When it cannot be written: then it is not to be either.
    pub async fn about_to_send(&self, letter: &Letter, now: i64) -> Result<bool, StoreError> {
        let letter = letter.clone();
        self.write(move |connection| about_to_send(connection, &letter, now)).await
    }

    /// Notes that an email was taken.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn sent(&self, letter: &Letter) -> Result<(), StoreError> {
        let Letter { person, sent_by: SentBy::Arrivals { arrivals, .. }, .. } = letter.clone() else { return Ok(()) };
        self.write(move |connection| {
            for arrival in arrivals {
                // What was read or removed while it was sent is noted too, and goes with the flag; where that went, so does this.
                let sql = "INSERT INTO email_escalations (arrival, person) SELECT ?1, ?2
                     WHERE EXISTS (SELECT 1 FROM flags WHERE arrival = ?1) ON CONFLICT DO NOTHING";
                connection.prepare_cached(sql)?.execute([arrival, person])?;
            }
            Ok(())
        })
        .await
    }

    /// Notes that an email was not taken after all, so that it is due again.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn not_sent(&self, letter: &Letter) -> Result<(), StoreError> {
        let letter = letter.clone();
        self.write(move |connection| put_back(connection, &letter)).await
    }
}

struct Recipient {
    person: Person,
    address: Option<String>,
    asked: Option<(String, Vec<u8>)>,
    wants_test: bool,
}

fn recipients(connection: &Connection, now: i64) -> rusqlite::Result<Vec<Recipient>> {
    let sql = format!(
        "SELECT {PERSON}, e.address, iif(e.code_waits AND e.asked_at > ?1, e.asked, NULL), e.nonce, e.test_waits
         FROM email_addresses e JOIN people p ON p.id = e.person WHERE p.disabled_at IS NULL"
    );
    let recipient = |row: &Row<'_>| {
        let asked: Option<String> = row.get(10)?;
        Ok(Recipient {
            person: person(row)?,
            address: row.get(9)?,
            asked: asked.map(|asked| Ok::<_, rusqlite::Error>((asked, row.get(11)?))).transpose()?,
            wants_test: row.get(12)?,
        })
    };
    connection.prepare_cached(&sql)?.query_map([now - emails::CODE_WORKS], recipient)?.collect()
}

fn letters(
    connection: &Connection,
    key: &Key,
    is_told_anyway: IsToldAnyway,
    now: i64,
) -> rusqlite::Result<Vec<Letter>> {
    let (mut urgent, mut others) = (Vec::new(), Vec::new());
    let mut danger = None;
    for Recipient { person, address, asked, wants_test } in recipients(connection, now)? {
        let letter = |to: &str, says, sent_by| Letter { person: person.id, to: to.to_owned(), says, sent_by };
        if let Some((asked, nonce)) = asked {
            let says = Says::Code(emails::code(key, person.id, &asked, &nonce));
            urgent.push(letter(&asked, says, SentBy::Nonce(nonce)));
        }
        let Some(address) = address else { continue };
        if wants_test {
            urgent.push(letter(&address, Says::Test, SentBy::Test));
        }
        let wanted = Wanted::all(connection, person.id)?;
        for news in News::ALL {
            let of_it = wanted.iter().find(|wanted| wanted.news == news);
            let (since, told_at) = of_it.map_or((0, None), |wanted| (wanted.since, wanted.told_at));
            // A clock that went back keeps nobody waiting.
            if told_at.is_some_and(|told_at| (0..GATHERS).contains(&(now - told_at))) {
                continue;
            }
            let is_wanted = of_it.is_some_and(|wanted| wanted.still);
            if news == News::Escalated {
                if !is_wanted && !is_told_anyway(person.role, &person.sees) {
                    continue;
                }
                let danger = match &mut danger {
                    Some(danger) => danger,
                    none => none.insert(Danger::unread(connection, now)?),
                };
                let (services, arrivals) = danger.not_told_to(connection, &person)?;
                if !arrivals.is_empty() {
                    let says = Says::Escalated(danger.minutes, services);
                    urgent.insert(0, letter(&address, says, SentBy::Arrivals { told_at, arrivals }));
                }
            } else if is_wanted {
                let up_to = reaches(connection, news)?;
                let services = if up_to > since { count(connection, news, &person, since)? } else { Vec::new() };
                if !services.is_empty() {
                    others.push(letter(&address, Says::News(news, services), SentBy::News { since, told_at, up_to }));
                }
            }
        }
    }
    urgent.extend(others);
    Ok(urgent)
}

/// A kind of news that somebody wants, or was told of.
struct Wanted {
    news: News,
    still: bool,
    since: i64,
    told_at: Option<i64>,
}

impl Wanted {
    fn all(connection: &Connection, person: i64) -> rusqlite::Result<Vec<Wanted>> {
        let sql = "SELECT news, wanted, since, told_at FROM email_news WHERE person = ?1";
        let mut all = connection.prepare_cached(sql)?;
        // What only a later release tells is told by that release.
        all.query_map([person], Wanted::read)?.filter_map(Result::transpose).collect()
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Option<Wanted>> {
        let (still, since, told_at) = (row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(News::of(&row.get::<_, String>(0)?).map(|news| Wanted { news, still, since, told_at }))
    }
}

/// The last arrival that can be told: texts are flagged some moments after they came.
fn reaches(connection: &Connection, news: News) -> rusqlite::Result<i64> {
    match news {
        News::Flagged => connection.prepare_cached("SELECT next - 1 FROM following")?.query_row([], |row| row.get(0)),
        _ => emails::newest(connection),
    }
}

/// How many conversations of each service have unread texts that came after an arrival.
fn count(connection: &Connection, news: News, person: &Person, since: i64) -> rusqlite::Result<ByService> {
    let (index, came, whose) = match news {
        News::Flagged => {
            ("flagged", "max(cs.danger, cs.stop, cs.wrong_person) > 0 AND max(cs.danger, cs.stop, cs.wrong_person)", "")
        }
        // What had come when somebody took it was there to be seen.
        News::Mine => (
            "by_latest",
            "cs.latest",
            "AND cs.taken_by = :person AND (SELECT arrived_at FROM callbacks WHERE arrival = cs.latest) > cs.taken_at",
        ),
        News::New | News::Escalated => ("by_latest", "cs.latest", ""),
    };
    let sql = format!(
        "SELECT s.name, count(*) FROM
             (SELECT cs.service FROM conversation_services cs INDEXED BY conversation_services_{index}
              WHERE cs.latest > :since AND {came} > max(:since, cs.read_to) {whose}
                AND (:sees IS NULL OR cs.service IN (SELECT value FROM json_each(:sees)))
              ORDER BY cs.latest DESC LIMIT :counted) found
         JOIN services s ON s.id = found.service GROUP BY s.name ORDER BY s.name"
    );
    let mut find = connection.prepare_cached(&sql)?;
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let (sees, counted) = (person.sees.bound(), TOLD_COUNTED);
    if news == News::Mine {
        let bound = named_params! { ":since": since, ":sees": sees, ":counted": counted, ":person": person.id };
        return find.query_map(bound, row)?.collect();
    }
    find.query_map(named_params! { ":since": since, ":sees": sees, ":counted": counted }, row)?.collect()
}

/// Texts that may tell of danger and have been unread for longer than was set.
#[derive(Default)]
struct Danger {
    minutes: i64,
    texts: Vec<(i64, ServiceId, String)>,
}

impl Danger {
    fn unread(connection: &Connection, now: i64) -> rusqlite::Result<Danger> {
        let minutes = settings::set(connection, Setting::Reminder)?.and_then(|set| set.value.parse::<i64>().ok());
        let Some(minutes) = minutes else { return Ok(Danger::default()) };
        // From what is unread: flags are many more. CROSS JOIN keeps the order.
        let sql = "SELECT f.arrival, f.service, s.name
             FROM conversation_services cs INDEXED BY conversation_services_in_danger
             CROSS JOIN flags f ON f.conversation = cs.conversation AND f.service = cs.service AND f.flag = 'danger'
                 AND f.arrival > cs.read_to
             JOIN callbacks c ON c.arrival = f.arrival
             JOIN services s ON s.id = f.service
             WHERE cs.danger > cs.read_to AND c.arrived_at < ?1 ORDER BY f.arrival DESC LIMIT ?2";
        let text = |row: &Row<'_>| Ok((row.get(0)?, ServiceId(row.get(1)?), row.get(2)?));
        let bound = [now - minutes * MINUTE, TOLD_COUNTED];
        let texts = connection.prepare_cached(sql)?.query_map(bound, text)?.collect::<rusqlite::Result<_>>()?;
        Ok(Danger { minutes, texts })
    }

    /// How many of each service, and which.
    fn not_told_to(&self, connection: &Connection, person: &Person) -> rusqlite::Result<(ByService, Vec<i64>)> {
        let (mut services, mut arrivals) = (ByService::new(), Vec::new());
        let sql = "SELECT 1 FROM email_escalations WHERE arrival = ?1 AND person = ?2";
        let mut told = connection.prepare_cached(sql)?;
        for (arrival, service, name) in &self.texts {
            if !person.sees.allow(*service) || told.exists([*arrival, person.id])? {
                continue;
            }
            arrivals.push(*arrival);
            match services.iter_mut().find(|(other, _)| other == name) {
                Some((_, count)) => *count += 1,
                None => services.push((name.clone(), 1)),
            }
        }
        services.sort();
        Ok((services, arrivals))
    }
}

fn about_to_send(connection: &Connection, letter: &Letter, now: i64) -> rusqlite::Result<bool> {
    let Letter { person, to, .. } = letter;
    let still = "SELECT 1 FROM people p JOIN email_addresses e ON e.person = p.id
         WHERE p.id = ?1 AND p.disabled_at IS NULL AND (e.address = ?2 OR (?3 AND e.asked = ?2))";
    let is_code = matches!(letter.says, Says::Code(_));
    if !connection.prepare_cached(still)?.exists(params![person, to, is_code])? {
        return Ok(false);
    }
    let changed = match (&letter.sent_by, &letter.says) {
        (SentBy::Nonce(nonce), _) => connection
            .prepare_cached("UPDATE email_addresses SET code_waits = 0 WHERE person = ?1 AND nonce = ?2 AND code_waits")?
            .execute(params![person, nonce])?,
        (SentBy::Test, _) => connection
            .prepare_cached("UPDATE email_addresses SET test_waits = 0 WHERE person = ?1 AND test_waits")?
            .execute([person])?,
        (SentBy::News { since, up_to, .. }, Says::News(news, _)) => connection
            .prepare_cached(
                "UPDATE email_news SET since = ?4, told_at = ?5 WHERE person = ?1 AND news = ?2 AND since = ?3 AND wanted",
            )?
            .execute(params![person, news.value(), since, up_to, now])?,
        _ => connection
            .prepare_cached(
                "INSERT INTO email_news (person, news, wanted, since, told_at) VALUES (?1, ?2, 0, 0, ?3)
                 ON CONFLICT (person, news) DO UPDATE SET told_at = ?3",
            )?
            .execute(params![person, News::Escalated.value(), now])?,
    };
    Ok(changed > 0)
}

fn put_back(connection: &Connection, letter: &Letter) -> rusqlite::Result<()> {
    let person = letter.person;
    match (&letter.sent_by, &letter.says) {
        (SentBy::Nonce(nonce), _) => connection
            .prepare_cached("UPDATE email_addresses SET code_waits = 1 WHERE person = ?1 AND nonce = ?2")?
            .execute(params![person, nonce]),
        (SentBy::Test, _) => connection
            .prepare_cached("UPDATE email_addresses SET test_waits = 1 WHERE person = ?1 AND address IS NOT NULL")?
            .execute([person]),
        (SentBy::News { since, told_at, up_to }, Says::News(news, _)) => connection
            .prepare_cached(
                "UPDATE email_news SET since = ?3, told_at = ?4 WHERE person = ?1 AND news = ?2 AND since = ?5",
            )?
            .execute(params![person, news.value(), since, told_at, up_to]),
        (SentBy::News { .. }, _) => Ok(0),
        (SentBy::Arrivals { told_at, .. }, _) => connection
            .prepare_cached("UPDATE email_news SET told_at = ?3 WHERE person = ?1 AND news = ?2")?
            .execute(params![person, News::Escalated.value(), told_at]),
    }
    .map(drop)
}

/// The row of an arrival goes, or what it says does.
pub(super) fn forget(connection: &Connection, arrival: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM email_escalations WHERE arrival = ?1")?.execute([arrival]).map(drop)
}
