//! The second factor of sign-in: the secret that an app on somebody's phone holds too, which codes of it were taken, the recovery
//! codes, and sign-ins whose password was right and nothing more.

use rusqlite::{Connection, OptionalExtension, params};

use super::key::Key;
use super::passkeys::{self, Passkey};
use super::people::{PERSON, account, close_all, person};
use super::record::{self, By, Did, Entry};
use super::sessions::{NewSession, Opening, is_session_of, sign_in, start_session};
use super::{Mark, Person, Store, StoreError};
use crate::clock::MINUTE;

/// How long somebody has for the second step.
const PENDING: i64 = 10 * MINUTE;
/// What secrets are sealed for.
const SEALED_FOR: &str = "second factor";

/// A person's second factor.
#[derive(Clone)]
pub struct SecondFactor {
    /// What makes the codes; `None` where the store has another key file than it was kept under.
    pub secret: Option<Vec<u8>>,
    /// When it was set up, in microseconds since 1970 UTC.
    pub made_at: i64,
}

/// A second factor to be kept.
pub struct NewSecondFactor {
    /// What makes the codes.
    pub secret: Vec<u8>,
    /// Random, for the encryption.
    pub nonce: [u8; 24],
    /// The step of the code that showed that the app has the secret.
    pub step: i64,
    /// In the one form in which they are read.
    pub recovery_codes: Vec<String>,
}

/// Somebody who has given the right password, and what is to be given next.
pub struct PendingSignIn {
    /// The account.
    pub person: Person,
    /// Its second factor, where it has one.
    pub second_factor: Option<SecondFactor>,
    /// Its passkeys.
    pub passkeys: Vec<Passkey>,
}

/// What became of a code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It was right, and is used up. The session has begun.
    Yes,
    /// It was used before, or is none.
    No,
    /// The sign-in came to its end, or another one has changed what it began with.
    TooLate,
}

impl Store {
    /// Begins the second step of a sign-in; the one that the same browser had begun before, if any, ends. False where the account has
    /// been disabled since the person was looked up, or has another password.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn begin_second_step(
        &self,
        person: &Person,
        secret: &[u8],
        before: Option<&[u8]>,
        now: i64,
    ) -> Result<bool, StoreError> {
        let (mark, before) = (self.pending_mark(secret), before.map(|secret| self.pending_mark(secret)));
        let (id, password) = (person.id, person.password.clone());
        self.write(move |connection| {
            connection.execute("DELETE FROM pending_sign_ins WHERE mark = ?1", [before])?;
            let begun = connection.execute(
                "INSERT INTO pending_sign_ins (mark, person, made_at)
                 SELECT ?1, id, ?3 FROM people WHERE id = ?2 AND disabled_at IS NULL AND password IS ?4",
                params![mark, id, now, password],
            )?;
            Ok(begun > 0)
        })
        .await
    }

    /// Whose sign-in this is, while it may still be ended; a disabled account has none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn pending_sign_in(&self, secret: &[u8], now: i64) -> Result<Option<PendingSignIn>, StoreError> {
        let (mark, key) = (self.pending_mark(secret), self.inner.key.clone());
        self.read(move |connection| {
            let Some(person) = pending(connection, &mark, now)? else { return Ok(None) };
            let second_factor = second_factor(connection, &key, person.id)?;
            let passkeys = passkeys::of(connection, person.id)?;
            Ok(Some(PendingSignIn { person, second_factor, passkeys }))
        })
        .await
    }

    /// Gives a sign-in up.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn end_second_step(&self, secret: &[u8]) -> Result<(), StoreError> {
        let mark = self.pending_mark(secret);
        self.write(move |connection| end(connection, &mark)).await
    }

    /// The secret that is offered to whoever holds this one, of a session or a sign-in: always the same, and nobody else's.
    #[must_use]
    pub fn offered_secret(&self, holder: &[u8]) -> Vec<u8> {
        // 160 bits, as RFC 4226 recommends.
        self.inner.key.mark("offered second factor", holder).into_iter().take(20).collect()
    }

    /// A person's second factor.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn second_factor(&self, person: i64) -> Result<Option<SecondFactor>, StoreError> {
        let key = self.inner.key.clone();
        self.read(move |connection| second_factor(connection, &key, person)).await
    }

    /// Ends a sign-in with the code of a step, which is used up with those before it: the session begins.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn sign_in_by_code(
        &self,
        pending_secret: &[u8],
        step: i64,
        opening: Opening<'_>,
    ) -> Result<Taken, StoreError> {
        let now = opening.now;
        let (mark, new) = (self.pending_mark(pending_secret), self.new_session(opening));
        let key = self.inner.key.clone();
        self.write(move |connection| {
            let Some(person) = pending(connection, &mark, now)? else { return Ok(Taken::TooLate) };
            let used = "UPDATE second_factors SET last_step = ?2 WHERE person = ?1 AND last_step < ?2";
            if connection.execute(used, [person.id, step])? == 0 {
                return Ok(Taken::No);
            }
            end(connection, &mark)?;
            sign_in(connection, &key, person.id, new, true)?;
            Ok(Taken::Yes)
        })
        .await
    }

    /// Ends a sign-in with a recovery code, which is used up: the session begins.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn sign_in_by_recovery_code(
        &self,
        pending_secret: &[u8],
        code: &str,
        opening: Opening<'_>,
    ) -> Result<Taken, StoreError> {
        let now = opening.now;
        let (mark, new) = (self.pending_mark(pending_secret), self.new_session(opening));
        let (code, key) = (code.to_owned(), self.inner.key.clone());
        self.write(move |connection| {
            let Some(person) = pending(connection, &mark, now)? else { return Ok(Taken::TooLate) };
            let used = "DELETE FROM recovery_codes WHERE mark = ?1 AND person = ?2";
            if connection.execute(used, params![code_mark(&key, person.id, &code), person.id])? == 0 {
                return Ok(Taken::No);
            }
            end(connection, &mark)?;
            write_down(connection, &key, &new, Did::UsedRecoveryCode, person.id, now)?;
            sign_in(connection, &key, person.id, new, true)?;
            Ok(Taken::Yes)
        })
        .await
    }

    /// Ends a sign-in by setting up the first second factor: the session begins. Where there is one by now, that is to be given.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn sign_in_by_set_up(
        &self,
        pending_secret: &[u8],
        factor: NewSecondFactor,
        opening: Opening<'_>,
    ) -> Result<Taken, StoreError> {
        let now = opening.now;
        let (mark, new) = (self.pending_mark(pending_secret), self.new_session(opening));
        let key = self.inner.key.clone();
        self.write(move |connection| {
            let Some(person) = pending(connection, &mark, now)? else { return Ok(Taken::TooLate) };
            if has_one(connection, person.id)? {
                return Ok(Taken::TooLate);
            }
            keep(connection, &key, person.id, &factor, now)?;
            close_all(connection, person.id)?;
            write_down(connection, &key, &new, Did::SetUpSecondFactor, person.id, now)?;
            sign_in(connection, &key, person.id, new, true)?;
            Ok(Taken::Yes)
        })
        .await
    }

    /// Keeps a second factor in the place of the one before, if any, and ends every session of the account but a new one. Too late
    /// where the session that asks has ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn set_second_factor(
        &self,
        person: i64,
        factor: NewSecondFactor,
        opening: Opening<'_>,
    ) -> Result<Taken, StoreError> {
        let now = opening.now;
        let (new, key) = (self.new_session(opening), self.inner.key.clone());
        self.write(move |connection| {
            if !new.takes_the_place_of_one_of(connection, person)? {
                return Ok(Taken::TooLate);
            }
            keep(connection, &key, person, &factor, now)?;
            close_all(connection, person)?;
            write_down(connection, &key, &new, Did::SetUpSecondFactor, person, now)?;
            start_session(connection, person, &new, true)?;
            Ok(Taken::Yes)
        })
        .await
    }

    /// How many recovery codes a person has left.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn recovery_codes(&self, person: i64) -> Result<usize, StoreError> {
        self.read(move |connection| {
            let sql = "SELECT count(*) FROM recovery_codes WHERE person = ?1";
            connection.prepare_cached(sql)?.query_row([person], |row| row.get(0))
        })
        .await
    }

    /// Makes these the recovery codes of an account that has a second factor; those before work no more. Too late where the session that
    /// asks has ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn set_recovery_codes(
        &self,
        (person, session): (i64, &[u8]),
        codes: Vec<String>,
        by: By,
        now: i64,
    ) -> Result<Taken, StoreError> {
        let (session, key) = (self.session_mark(session), self.inner.key.clone());
        self.write(move |connection| {
            if !is_session_of(connection, Some(&session), person)? {
                return Ok(Taken::TooLate);
            }
            keep_codes(connection, &key, person, &codes)?;
            record::append(connection, &key, &Entry::new(by, Did::MadeRecoveryCodes, now).of(account(person)))?;
            Ok(Taken::Yes)
        })
        .await
    }

    /// Changes a password, and ends every session of the account but a new one, which began as the one before did. Too late where the
    /// session that asks has ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn change_password(
        &self,
        person: i64,
        password: String,
        opening: Opening<'_>,
        with_second_factor: bool,
    ) -> Result<Taken, StoreError> {
        let now = opening.now;
        let (new, key) = (self.new_session(opening), self.inner.key.clone());
        self.write(move |connection| {
            if !new.takes_the_place_of_one_of(connection, person)? {
                return Ok(Taken::TooLate);
            }
            connection.execute("UPDATE people SET password = ?2 WHERE id = ?1", params![person, password])?;
            close_all(connection, person)?;
            write_down(connection, &key, &new, Did::ChangedPassword, person, now)?;
            start_session(connection, person, &new, with_second_factor)?;
            Ok(Taken::Yes)
        })
        .await
    }

    /// Takes an account's second factor, its recovery codes and its passkeys away, and ends its sessions; whether there was one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn remove_second_factor(&self, person: i64, by: By, now: i64) -> Result<bool, StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| {
            let had_app = connection.execute("DELETE FROM second_factors WHERE person = ?1", [person])? > 0;
            let had_passkey = passkeys::forget(connection, person)?;
            connection.execute("DELETE FROM recovery_codes WHERE person = ?1", [person])?;
            close_all(connection, person)?;
            let entry = Entry::new(by, Did::RemovedSecondFactor, now).of(account(person));
            record::append(connection, &key, &if had_passkey { entry.with("with the passkeys") } else { entry })?;
            Ok(had_app || had_passkey)
        })
        .await
    }

    pub(super) fn pending_mark(&self, secret: &[u8]) -> Mark {
        self.inner.key.mark("sign-in", secret)
    }
}

/// Clears away sign-ins that nobody ended.
pub(super) fn tidy(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM pending_sign_ins WHERE made_at < ?1", [now - PENDING]).map(drop)
}

pub(super) fn pending(connection: &Connection, mark: &Mark, now: i64) -> rusqlite::Result<Option<Person>> {
    // One that began in the future is of a clock that was set back since.
    let sql = format!(
        "SELECT {PERSON} FROM pending_sign_ins s JOIN people p ON p.id = s.person
         WHERE s.mark = ?1 AND s.made_at > ?2 AND s.made_at < ?3 AND p.disabled_at IS NULL"
    );
    connection.prepare_cached(&sql)?.query_row(params![mark, now - PENDING, now + MINUTE], person).optional()
}

pub(super) fn end(connection: &Connection, mark: &Mark) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM pending_sign_ins WHERE mark = ?1", [mark]).map(drop)
}

fn second_factor(connection: &Connection, key: &Key, person: i64) -> rusqlite::Result<Option<SecondFactor>> {
    let sql = "SELECT secret, made_at FROM second_factors WHERE person = ?1";
    let found = connection.prepare_cached(sql)?.query_row([person], |row| {
        let sealed: Vec<u8> = row.get(0)?;
        let secret = key.unseal(SEALED_FOR, person, &sealed);
        Ok(SecondFactor { secret, made_at: row.get(1)? })
    });
    found.optional()
}

fn keep(connection: &Connection, key: &Key, person: i64, factor: &NewSecondFactor, now: i64) -> rusqlite::Result<()> {
    let sealed = key.seal(SEALED_FOR, person, factor.nonce, &factor.secret);
    connection.execute(
        "INSERT OR REPLACE INTO second_factors (person, secret, made_at, last_step) VALUES (?1, ?2, ?3, ?4)",
        params![person, sealed, now, factor.step],
    )?;
    keep_codes(connection, key, person, &factor.recovery_codes)
}

/// Whether a person has an app or a passkey.
pub(super) fn has_one(connection: &Connection, person: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM second_factors WHERE person = ?1 UNION ALL SELECT 1 FROM passkeys WHERE person = ?1";
    connection.prepare_cached(sql)?.exists([person])
}

pub(super) fn keep_codes(connection: &Connection, key: &Key, person: i64, codes: &[String]) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM recovery_codes WHERE person = ?1", [person])?;
    let mut insert = connection.prepare_cached("INSERT INTO recovery_codes (mark, person) VALUES (?1, ?2)")?;
    for code in codes {
        insert.execute(params![code_mark(key, person, code), person])?;
    }
    Ok(())
}

/// What whoever begins the session has done besides.
pub(super) fn write_down(
    connection: &Connection,
    key: &Key,
    new: &NewSession,
    did: Did,
    person: i64,
    now: i64,
) -> rusqlite::Result<()> {
    record::append(connection, key, &Entry::new(new.by.clone(), did, now).of(account(person)))
}

fn code_mark(key: &Key, person: i64, code: &str) -> Mark {
    key.mark("recovery code", &[&person.to_be_bytes(), code.as_bytes()].concat())
}
