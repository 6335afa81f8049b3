//! What a person wants to be told by email, and where. An address gets nothing but a code until that person, signed in, has typed
//! the code in. What is due and what was sent: `letters`.

use std::collections::HashSet;
use std::sync::PoisonError;

use rusqlite::{Connection, OptionalExtension, Row, params};
use subtle::ConstantTimeEq as _;

use super::key::Key;
use super::people::account;
use super::record::{self, By, Did, Entry};
use super::{Store, StoreError};
use crate::clock::{HOUR, MINUTE};

/// How long a code works.
pub(super) const CODE_WORKS: i64 = 30 * MINUTE;
/// How often a wrong one may be typed.
const TRIES: i64 = 5;
/// How many emails somebody may ask for by hand in an hour: nobody is to be flooded by them.
const ASKS: i64 = 5;

/// What an email can tell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum News {
    /// Texts may tell of danger, and nobody has read them in time.
    Escalated,
    /// Texts are flagged.
    Flagged,
    /// Texts came in conversations that the person has taken.
    Mine,
    /// Texts came.
    New,
}

impl News {
    /// All of it, the most urgent first.
    pub const ALL: [News; 4] = [News::Escalated, News::Flagged, News::Mine, News::New];

    /// Its name in the store, in the record and in forms.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            News::Escalated => "escalated",
            News::Flagged => "flagged",
            News::Mine => "mine",
            News::New => "new",
        }
    }

    pub(super) fn of(value: &str) -> Option<News> {
        News::ALL.into_iter().find(|news| news.value() == value)
    }
}

/// What somebody has chosen.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct EmailChoice {
    /// The address that was confirmed.
    pub address: Option<String>,
    /// One that a code was sent to, while the code works.
    pub asked: Option<String>,
    /// What they want to be told.
    pub wants: Vec<News>,
}

/// What became of a wish for an email.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EmailAsked {
    /// It is on its way.
    OnItsWay,
    /// There were too many within an hour.
    TooOften,
    /// There is no confirmed address.
    Nowhere,
}

/// What became of a code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Confirmed {
    /// It was right: the address is confirmed.
    Yes,
    /// It was wrong.
    Wrong,
    /// None is asked for any more: it ran out, or too many were wrong.
    TooLate,
}

/// How it stands with emails going out, as the server that sends them has it in memory.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct OutgoingEmails {
    /// Whether there is a mail server at all.
    pub is_set_up: bool,
    /// Since when none has gone out, and why.
    pub trouble: Option<(i64, String)>,
    /// The accounts whose address the mail server refuses.
    pub refused: HashSet<i64>,
}

impl Store {
    /// What somebody has chosen.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn email_choice(&self, person: i64, now: i64) -> Result<EmailChoice, StoreError> {
        self.read(move |connection| choice(connection, person, now)).await
    }

    /// Has a code sent to an address that somebody typed, in the place of any before. A code is made of the `nonce`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn ask_for_code(
        &self,
        address: String,
        nonce: Vec<u8>,
        by: By,
        now: i64,
    ) -> Result<EmailAsked, StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| {
            let Some(person) = by.person else { return Ok(EmailAsked::Nowhere) };
            connection
                .prepare_cached("INSERT INTO email_addresses (person) VALUES (?1) ON CONFLICT (person) DO NOTHING")?
                .execute([person])?;
            if !may_ask(connection, person, now)? {
                return Ok(EmailAsked::TooOften);
            }
            let sql = "UPDATE email_addresses SET asked = ?2, asked_at = ?3, nonce = ?4, tries = 0, code_waits = 1 WHERE person = ?1";
            connection.prepare_cached(sql)?.execute(params![person, address, now, nonce])?;
            note(connection, &key, by, "asked for a code", now)?;
            Ok(EmailAsked::OnItsWay)
        })
        .await
    }

    /// Somebody types the code in.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn confirm_address(&self, typed: String, by: By, now: i64) -> Result<Confirmed, StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| {
            let asked = by.person.map(|person| asked(connection, person, now)).transpose()?.flatten();
            let (Some(person), Some((address, nonce))) = (by.person, asked) else { return Ok(Confirmed::TooLate) };
            let right = code(&key, person, &address, &nonce);
            if !bool::from(right.as_bytes().ct_eq(typed.as_bytes())) {
                let sql = "UPDATE email_addresses SET tries = tries + 1 WHERE person = ?1 RETURNING tries";
                let tries: i64 = connection.prepare_cached(sql)?.query_row([person], |row| row.get(0))?;
                if tries < TRIES {
                    return Ok(Confirmed::Wrong);
                }
                drop_asked(connection, person)?;
                return Ok(Confirmed::TooLate);
            }
            // While there was no address nothing was news.
            let sql = "UPDATE email_news SET since = ?2
                 WHERE person = ?1 AND EXISTS (SELECT 1 FROM email_addresses WHERE person = ?1 AND address IS NULL)";
            connection.prepare_cached(sql)?.execute([person, newest(connection)?])?;
            let sql = "UPDATE email_addresses SET address = asked, test_waits = 0 WHERE person = ?1";
            connection.prepare_cached(sql)?.execute([person])?;
            drop_asked(connection, person)?;
            note(connection, &key, by, "confirmed an address", now)?;
            Ok(Confirmed::Yes)
        })
        .await
    }

    /// Keeps what somebody wants to be told, from now on; false where no address is confirmed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn choose_emails(&self, wants: Vec<News>, by: By, now: i64) -> Result<bool, StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| {
            let Some(person) = by.person else { return Ok(false) };
            let EmailChoice { address, wants: before, .. } = choice(connection, person, now)?;
            if address.is_none() {
                return Ok(false);
            }
            for news in News::ALL {
                let (wanted, is_new) = (wants.contains(&news), !before.contains(&news));
                if wanted && is_new {
                    // What is there already is no news.
                    let sql = "INSERT INTO email_news (person, news, wanted, since) VALUES (?1, ?2, 1, ?3)
                         ON CONFLICT (person, news) DO UPDATE SET wanted = 1, since = ?3";
                    connection.prepare_cached(sql)?.execute(params![person, news.value(), newest(connection)?])?;
                } else if !wanted {
                    let sql = "UPDATE email_news SET wanted = 0 WHERE person = ?1 AND news = ?2";
                    connection.prepare_cached(sql)?.execute(params![person, news.value()])?;
                }
            }
            let chosen: Vec<&str> =
                News::ALL.into_iter().filter(|news| wants.contains(news)).map(News::value).collect();
            let words =
                if chosen.is_empty() { "chose none".to_owned() } else { format!("chose {}", chosen.join(", ")) };
            note(connection, &key, by, &words, now)?;
            Ok(true)
        })
        .await
    }

    /// Has a test email sent to the confirmed address.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn ask_for_test_email(&self, by: By, now: i64) -> Result<EmailAsked, StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| {
            let Some(person) = by.person else { return Ok(EmailAsked::Nowhere) };
            if choice(connection, person, now)?.address.is_none() {
                return Ok(EmailAsked::Nowhere);
            }
            if !may_ask(connection, person, now)? {
                return Ok(EmailAsked::TooOften);
            }
            connection
                .prepare_cached("UPDATE email_addresses SET test_waits = 1 WHERE person = ?1")?
                .execute([person])?;
            note(connection, &key, by, "asked for a test email", now)?;
            Ok(EmailAsked::OnItsWay)
        })
        .await
    }

    /// Forgets somebody's address, so that they are told nothing any more. What they chose stays for the next address.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn forget_address(&self, by: By, now: i64) -> Result<(), StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| {
            let Some(person) = by.person else { return Ok(()) };
            let sql = "UPDATE email_addresses SET address = NULL, test_waits = 0 WHERE person = ?1";
            connection.prepare_cached(sql)?.execute([person])?;
            drop_asked(connection, person)?;
            note(connection, &key, by, "removed the address", now)
        })
        .await
    }

    /// How it stands with emails going out.
    #[must_use]
    pub fn outgoing_emails(&self) -> OutgoingEmails {
        self.inner.emails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whoever sends them says how it stands now.
    pub fn note_outgoing_emails(&self, change: impl FnOnce(&mut OutgoingEmails)) {
        change(&mut self.inner.emails.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn note(connection: &Connection, key: &Key, by: By, words: &str, now: i64) -> rusqlite::Result<()> {
    let object = by.person.map(account);
    let entry = Entry { object, ..Entry::new(by, Did::ChangedEmails, now).with(words) };
    record::append(connection, key, &entry)
}

fn choice(connection: &Connection, person: i64, now: i64) -> rusqlite::Result<EmailChoice> {
    let sql = "SELECT address FROM email_addresses WHERE person = ?1";
    let address = connection.prepare_cached(sql)?.query_row([person], |row| row.get(0)).optional()?.flatten();
    let asked = asked(connection, person, now)?.map(|(address, _)| address);
    let sql = "SELECT news FROM email_news WHERE person = ?1 AND wanted";
    let mut wanted = connection.prepare_cached(sql)?;
    let wanted = wanted.query_map([person], |row| row.get::<_, String>(0))?;
    let wanted = wanted.collect::<rusqlite::Result<Vec<_>>>()?;
    let wants = News::ALL.into_iter().filter(|news| wanted.iter().any(|value| value == news.value())).collect();
    Ok(EmailChoice { address, asked, wants })
}

/// The address that a code was sent to and what the code is made of, while it works.
fn asked(connection: &Connection, person: i64, now: i64) -> rusqlite::Result<Option<(String, Vec<u8>)>> {
    let sql = "SELECT asked, nonce FROM email_addresses WHERE person = ?1 AND asked IS NOT NULL AND asked_at > ?2";
    let asked = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    connection.prepare_cached(sql)?.query_row([person, now - CODE_WORKS], asked).optional()
}

fn drop_asked(connection: &Connection, person: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE email_addresses SET asked = NULL, asked_at = NULL, nonce = NULL, tries = 0, code_waits = 0 WHERE person = ?1";
    connection.prepare_cached(sql)?.execute([person]).map(drop)
}

/// Counts an email that somebody asks for by hand, where there were not too many.
fn may_ask(connection: &Connection, person: i64, now: i64) -> rusqlite::Result<bool> {
    let sql = "UPDATE email_addresses SET asks = iif(asks_since > ?2 AND asks_since <= ?3, asks + 1, 1),
             asks_since = iif(asks_since > ?2 AND asks_since <= ?3, asks_since, ?3)
         WHERE person = ?1 AND (asks < ?4 OR asks_since <= ?2 OR asks_since > ?3)";
    let changed = connection.prepare_cached(sql)?.execute([person, now - HOUR, now, ASKS])?;
    Ok(changed > 0)
}

/// The 6 digits that confirm an address. Who has the store and not the key file cannot make them.
pub(super) fn code(key: &Key, person: i64, address: &str, nonce: &[u8]) -> String {
    let whole = [&person.to_be_bytes(), nonce, address.as_bytes()].concat();
    let mark = key.mark("email code", &whole);
    let number = mark.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{:06}", number % 1_000_000)
}

/// The arrival of the newest text.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT coalesce(max(latest), 0) FROM conversation_services";
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}
