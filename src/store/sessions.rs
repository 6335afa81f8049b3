//! Sessions as their owner sees them: where and with what each was begun, and what is told of the sign-in before.

use rusqlite::{Connection, Row, params};

use super::key::Key;
use super::people::{Mark, account};
use super::record::{self, By, Did, Entry};
use super::{Store, StoreError};

/// Where a session is begun, and with what.
#[derive(Clone, Debug, Default)]
pub struct Whence {
    /// The IP address.
    pub source: Option<String>,
    /// The browser in words.
    pub browser: Option<String>,
}

/// The sign-in before that which began a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignInBefore {
    /// When it was, in microseconds since 1970 UTC.
    pub at: i64,
    /// The IP address that it came from.
    pub source: Option<String>,
    /// How many tries with the account's address failed after it.
    pub failed_since: i64,
}

/// A session of a person.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// What it is called on pages. It opens nothing.
    pub name: String,
    /// When it was begun, in microseconds since 1970 UTC.
    pub made_at: i64,
    /// When it was last used, to the minute.
    pub last_seen_at: i64,
    /// Where it was begun, and with what.
    pub whence: Whence,
    /// Whether it is the one that asks.
    pub is_this: bool,
}

/// The columns that tell of the sign-in before.
pub(super) const BEFORE: &str = "s.before_at, s.before_source, s.failed_before";

/// What [`BEFORE`] holds from a column on.
pub(super) fn before(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<SignInBefore>> {
    let Some(at) = row.get(first)? else { return Ok(None) };
    Ok(Some(SignInBefore {
        at,
        source: row.get(first + 1)?,
        failed_since: row.get::<_, Option<i64>>(first + 2)?.unwrap_or(0),
    }))
}

/// A session that is to begin, as whoever asks for it says.
pub struct Opening<'a> {
    /// Its secret.
    pub secret: &'a [u8],
    /// That of the session which the same browser had before, if any: it ends.
    pub before: Option<&'a [u8]>,
    /// Whose it is, and from where.
    pub by: By,
    /// The browser in words.
    pub browser: Option<String>,
    /// When it begins, in microseconds since 1970 UTC.
    pub now: i64,
}

/// The same, ready for the writer.
pub(super) struct NewSession {
    mark: Mark,
    before: Option<Mark>,
    pub(super) by: By,
    browser: Option<String>,
    now: i64,
}

impl NewSession {
    /// Whether the session in whose place this one is to begin is still the person's: whoever was signed out meanwhile changes nothing.
    pub(super) fn takes_the_place_of_one_of(&self, connection: &Connection, person: i64) -> rusqlite::Result<bool> {
        is_session_of(connection, self.before.as_ref(), person)
    }
}

/// Whether a session is still there and the person's.
pub(super) fn is_session_of(connection: &Connection, mark: Option<&Mark>, person: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM sessions s JOIN people p ON p.id = s.person
               WHERE s.mark = ?1 AND s.person = ?2 AND p.disabled_at IS NULL";
    connection.prepare_cached(sql)?.exists(params![mark, person])
}

/// Begins the session of somebody who has come to the end of a sign-in. It tells of the sign-in before, and the next one of this.
pub(super) fn sign_in(
    connection: &Connection,
    key: &Key,
    person: i64,
    new: NewSession,
    with_second_factor: bool,
) -> rusqlite::Result<()> {
    start_session(connection, person, &new, with_second_factor)?;
    connection.execute(
        "UPDATE sessions SET (before_at, before_source, failed_before) =
         (SELECT signed_in_at, signed_in_source, failed_since FROM people WHERE id = ?2) WHERE mark = ?1",
        params![new.mark, person],
    )?;
    let sql = "UPDATE people SET signed_in_at = ?2, signed_in_source = ?3, failed_since = 0 WHERE id = ?1";
    connection.execute(sql, params![person, new.now, source(&new.by)])?;
    record::append(connection, key, &Entry::new(new.by, Did::SignedIn, new.now).of(account(person)))
}

/// Begins a session without a sign-in, in the place of the one before.
pub(super) fn start_session(
    connection: &Connection,
    person: i64,
    new: &NewSession,
    with_second_factor: bool,
) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM sessions WHERE mark = ?1", [new.before])?;
    let sql = "INSERT INTO sessions (mark, person, made_at, last_seen_at, second_factor, source, browser)
               VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6)";
    let bound = params![new.mark, person, new.now, with_second_factor, source(&new.by), new.browser];
    connection.execute(sql, bound).map(drop)
}

fn source(by: &By) -> Option<&str> {
    Some(by.source.as_str()).filter(|source| !source.is_empty())
}

impl Store {
    pub(super) fn new_session(&self, opening: Opening<'_>) -> NewSession {
        let Opening { secret, before, by, browser, now } = opening;
        let (mark, before) = (self.session_mark(secret), before.map(|secret| self.session_mark(secret)));
        NewSession { mark, before, by, browser, now }
    }

    /// The sessions of the person whose session this is, those last used first. Whether each is still fresh is the caller's to
    /// judge.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn own_sessions(&self, secret: &[u8]) -> Result<Vec<SessionRow>, StoreError> {
        let mark = self.session_mark(secret);
        self.read(move |connection| {
            let sql = "SELECT lower(hex(mark)), made_at, last_seen_at, source, browser, mark = ?1 FROM sessions
                       WHERE person = (SELECT person FROM sessions WHERE mark = ?1)
                       ORDER BY mark = ?1 DESC, last_seen_at DESC, mark";
            let session = |row: &Row<'_>| {
                Ok(SessionRow {
                    name: row.get(0)?,
                    made_at: row.get(1)?,
                    last_seen_at: row.get(2)?,
                    whence: Whence { source: row.get(3)?, browser: row.get(4)? },
                    is_this: row.get(5)?,
                })
            };
            connection.prepare_cached(sql)?.query_map([mark], session)?.collect()
        })
        .await
    }

    /// Ends another session of the person whose session this is: the one of that name, or without a name all of them.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn end_others(&self, secret: &[u8], name: Option<String>, entry: Entry) -> Result<(), StoreError> {
        let (key, mark) = (self.inner.key.clone(), self.session_mark(secret));
        self.write(move |connection| {
            let ended = connection.execute(
                "DELETE FROM sessions WHERE mark <> ?1 AND person = (SELECT person FROM sessions WHERE mark = ?1)
                 AND (?2 IS NULL OR lower(hex(mark)) = ?2)",
                params![mark, name],
            )?;
            if ended == 0 {
                return Ok(());
            }
            let own = entry.by.person.map(account).unwrap_or_default();
            record::append(connection, &key, &entry.of(own))
        })
        .await
    }

    /// Forgets a session that nobody ended: it is too old.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn forget_session(&self, secret: &[u8]) -> Result<(), StoreError> {
        let mark = self.session_mark(secret);
        self.write(move |connection| connection.execute("DELETE FROM sessions WHERE mark = ?1", [mark]).map(drop)).await
    }

    /// The sign-in before a session's was told of.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn told_of_sign_in_before(&self, secret: &[u8]) -> Result<(), StoreError> {
        let mark = self.session_mark(secret);
        self.write(move |connection| {
            connection.execute("UPDATE sessions SET before_at = NULL WHERE mark = ?1", [mark]).map(drop)
        })
        .await
    }

    /// Writes down that a try to sign in as somebody failed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn note_failed_sign_in(&self, by: By, now: i64) -> Result<(), StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| {
            connection.execute("UPDATE people SET failed_since = failed_since + 1 WHERE id = ?1", [by.person])?;
            record::append(connection, &key, &Entry::new(by, Did::SignInFailed, now))
        })
        .await
    }
}
