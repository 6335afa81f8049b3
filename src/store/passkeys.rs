//! Passkeys: the public keys that people's authenticators sign with, and the challenges that were answered.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::people::{PERSON, account, close_all, person};
use super::record::{self, By, Did, Entry};
use super::second_factor;
use super::sessions::{Opening, is_session_of, sign_in};
use super::{Mark, Person, Store, StoreError, Taken};
use crate::clock::HOUR;

/// A person has no more than these.
const MOST: i64 = 20;
/// A challenge that was used is remembered for longer than it could have been answered.
const REMEMBERED: i64 = HOUR;

/// A passkey of a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passkey {
    /// Its number.
    pub id: i64,
    /// What its authenticator calls it.
    pub credential: Vec<u8>,
    /// What its signatures are checked with.
    pub public_key: Vec<u8>,
    /// What its authenticator calls the person.
    pub user_handle: Vec<u8>,
    /// What the person calls it.
    pub name: String,
    /// When it was added, in microseconds since 1970 UTC.
    pub made_at: i64,
    /// When it was last signed in with.
    pub used_at: Option<i64>,
}

/// A passkey to be kept.
pub struct NewPasskey {
    /// What its authenticator calls it.
    pub credential: Vec<u8>,
    /// What its signatures are checked with.
    pub public_key: Vec<u8>,
    /// What its authenticator calls the person.
    pub user_handle: Vec<u8>,
    /// What the person calls it.
    pub name: String,
    /// The authenticator's count.
    pub sign_count: u32,
}

/// A challenge that is answered.
#[derive(Clone, Copy)]
pub struct Challenge {
    /// What it is known by.
    pub mark: Mark,
    /// When it was made, in microseconds since 1970 UTC.
    pub made_at: i64,
}

/// What became of a new passkey.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Added {
    /// It is kept.
    Yes,
    /// It is in an account already.
    Held,
    /// The account has as many as it may have.
    TooMany,
    /// The challenge was answered before, or the sign-in came to its end, or there is a second factor by now.
    TooLate,
}

/// The use of a passkey that was checked.
#[derive(Clone, Copy)]
pub struct Use {
    /// The passkey's number.
    pub passkey: i64,
    /// Whose it is.
    pub person: i64,
    /// The authenticator's count.
    pub sign_count: u32,
    /// What was answered.
    pub challenge: Challenge,
}

/// What became of the use of a passkey.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UseTaken {
    /// The session has begun.
    Yes,
    /// The authenticator's count did not grow.
    WentBack,
    /// The challenge was answered before, or the sign-in, the passkey or the account is no more.
    TooLate,
}

const PASSKEY: &str = "k.id, k.credential, k.public_key, k.user_handle, k.name, k.made_at, k.used_at";

impl Store {
    /// A person's passkeys, in the order in which they were added.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn passkeys(&self, person: i64) -> Result<Vec<Passkey>, StoreError> {
        self.read(move |connection| of(connection, person)).await
    }

    /// The passkey that an authenticator calls so, and whose it is; a disabled account has none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn passkey_owner(&self, credential: &[u8]) -> Result<Option<(Person, Passkey)>, StoreError> {
        let credential = credential.to_vec();
        self.read(move |connection| {
            let sql = format!(
                "SELECT {PERSON} FROM passkeys k JOIN people p ON p.id = k.person
                 WHERE k.credential = ?1 AND p.disabled_at IS NULL"
            );
            let owner = connection.prepare_cached(&sql)?.query_row([&credential], person).optional()?;
            let Some(owner) = owner else { return Ok(None) };
            let passkey = of(connection, owner.id)?.into_iter().find(|passkey| passkey.credential == credential);
            Ok(passkey.map(|passkey| (owner, passkey)))
        })
        .await
    }

    /// What is known by nobody else of a challenge.
    #[must_use]
    pub fn challenge_mark(&self, challenge: &[u8]) -> Mark {
        self.inner.key.mark("passkey challenge", challenge)
    }

    /// Keeps a passkey. Too late where the session that asks has ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn add_passkey(
        &self,
        (person, session): (i64, &[u8]),
        new: NewPasskey,
        challenge: Challenge,
        by: By,
        now: i64,
    ) -> Result<Added, StoreError> {
        let (session, key) = (self.session_mark(session), self.inner.key.clone());
        self.write(move |connection| {
            if !is_session_of(connection, Some(&session), person)? {
                return Ok(Added::TooLate);
            }
            let added = add(connection, person, &new, challenge, now)?;
            if added == Added::Yes {
                record::append(connection, &key, &Entry::new(by, Did::AddedPasskey, now).of(account(person)))?;
            }
            Ok(added)
        })
        .await
    }

    /// Ends a sign-in by adding the first passkey, and gives these recovery codes beside it: the session begins.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn sign_in_by_first_passkey(
        &self,
        pending_secret: &[u8],
        (new, challenge): (NewPasskey, Challenge),
        recovery_codes: Vec<String>,
        opening: Opening<'_>,
    ) -> Result<Added, StoreError> {
        let now = opening.now;
        let (mark, session) = (self.pending_mark(pending_secret), self.new_session(opening));
        let key = self.inner.key.clone();
        self.write(move |connection| {
            let Some(person) = second_factor::pending(connection, &mark, now)? else { return Ok(Added::TooLate) };
            if second_factor::has_one(connection, person.id)? {
                return Ok(Added::TooLate);
            }
            let added = add(connection, person.id, &new, challenge, now)?;
            if added == Added::Yes {
                second_factor::keep_codes(connection, &key, person.id, &recovery_codes)?;
                close_all(connection, person.id)?;
                second_factor::write_down(connection, &key, &session, Did::AddedPasskey, person.id, now)?;
                sign_in(connection, &key, person.id, session, true)?;
            }
            Ok(added)
        })
        .await
    }

    /// Gives a person's passkey another name. Too late where the session that asks has ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn rename_passkey(
        &self,
        (person, session): (i64, &[u8]),
        id: i64,
        name: String,
    ) -> Result<Taken, StoreError> {
        let session = self.session_mark(session);
        self.write(move |connection| {
            if !is_session_of(connection, Some(&session), person)? {
                return Ok(Taken::TooLate);
            }
            let sql = "UPDATE passkeys SET name = ?3 WHERE id = ?2 AND person = ?1";
            connection.execute(sql, params![person, id, name])?;
            Ok(Taken::Yes)
        })
        .await
    }

    /// Takes a passkey out of a person's account. Too late where the session that asks has ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn remove_passkey(
        &self,
        (person, session): (i64, &[u8]),
        id: i64,
        by: By,
        now: i64,
    ) -> Result<Taken, StoreError> {
        let (session, key) = (self.session_mark(session), self.inner.key.clone());
        self.write(move |connection| {
            if !is_session_of(connection, Some(&session), person)? {
                return Ok(Taken::TooLate);
            }
            if connection.execute("DELETE FROM passkeys WHERE id = ?2 AND person = ?1", [person, id])? == 0 {
                return Ok(Taken::Yes);
            }
            // They stand in for a second factor, and there may be none any more.
            if !second_factor::has_one(connection, person)? {
                connection.execute("DELETE FROM recovery_codes WHERE person = ?1", [person])?;
            }
            record::append(connection, &key, &Entry::new(by, Did::RemovedPasskey, now).of(account(person)))?;
            Ok(Taken::Yes)
        })
        .await
    }

    /// Begins the session of whoever has used a passkey: as the second step of a sign-in that has begun, or alone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn sign_in_by_passkey(
        &self,
        pending_secret: Option<&[u8]>,
        used: Use,
        opening: Opening<'_>,
    ) -> Result<UseTaken, StoreError> {
        let now = opening.now;
        let (pending, new) = (pending_secret.map(|secret| self.pending_mark(secret)), self.new_session(opening));
        let key = self.inner.key.clone();
        self.write(move |connection| {
            if let Some(mark) = &pending
                && second_factor::pending(connection, mark, now)?.is_none_or(|person| person.id != used.person)
            {
                return Ok(UseTaken::TooLate);
            }
            let sql = "SELECT sign_count FROM passkeys k JOIN people p ON p.id = k.person
                       WHERE k.id = ?1 AND k.person = ?2 AND p.disabled_at IS NULL";
            let before =
                connection.query_row(sql, [used.passkey, used.person], |row| row.get::<_, u32>(0)).optional()?;
            let Some(before) = before else { return Ok(UseTaken::TooLate) };
            if !is_new(connection, used.challenge)? {
                return Ok(UseTaken::TooLate);
            }
            // An authenticator without a count says 0 for ever.
            if (before, used.sign_count) != (0, 0) && used.sign_count <= before {
                return Ok(UseTaken::WentBack);
            }
            let sql = "UPDATE passkeys SET sign_count = ?2, used_at = ?3 WHERE id = ?1";
            connection.execute(sql, params![used.passkey, used.sign_count, now])?;
            if let Some(mark) = &pending {
                second_factor::end(connection, mark)?;
            }
            let how = if pending.is_some() { "after the password" } else { "in place of the password" };
            let entry = Entry::new(new.by.clone(), Did::UsedPasskey, now).of(account(used.person)).with(how);
            record::append(connection, &key, &entry)?;
            sign_in(connection, &key, used.person, new, true)?;
            Ok(UseTaken::Yes)
        })
        .await
    }
}

fn add(
    connection: &Connection,
    person: i64,
    new: &NewPasskey,
    challenge: Challenge,
    now: i64,
) -> rusqlite::Result<Added> {
    if !is_new(connection, challenge)? {
        return Ok(Added::TooLate);
    }
    let count = "SELECT count(*) FROM passkeys WHERE person = ?1";
    if connection.query_row(count, [person], |row| row.get::<_, i64>(0))? >= MOST {
        return Ok(Added::TooMany);
    }
    let sql = "INSERT OR IGNORE INTO passkeys
               (person, credential, public_key, user_handle, name, sign_count, made_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let bound = params![person, new.credential, new.public_key, new.user_handle, new.name, new.sign_count, now];
    Ok(if connection.execute(sql, bound)? == 0 { Added::Held } else { Added::Yes })
}

/// Notes that a challenge is answered; whether that is the first time.
fn is_new(connection: &Connection, challenge: Challenge) -> rusqlite::Result<bool> {
    let sql = "INSERT OR IGNORE INTO used_challenges (mark, made_at) VALUES (?1, ?2)";
    Ok(connection.prepare_cached(sql)?.execute(params![challenge.mark, challenge.made_at])? > 0)
}

pub(super) fn of(connection: &Connection, person: i64) -> rusqlite::Result<Vec<Passkey>> {
    let sql = format!("SELECT {PASSKEY} FROM passkeys k WHERE k.person = ?1 ORDER BY k.id");
    let passkey = |row: &Row<'_>| {
        Ok(Passkey {
            id: row.get(0)?,
            credential: row.get(1)?,
            public_key: row.get(2)?,
            user_handle: row.get(3)?,
            name: row.get(4)?,
            made_at: row.get(5)?,
            used_at: row.get(6)?,
        })
    };
    connection.prepare_cached(&sql)?.query_map([person], passkey)?.collect()
}

/// Takes all passkeys out of an account; whether there were any.
pub(super) fn forget(connection: &Connection, person: i64) -> rusqlite::Result<bool> {
    Ok(connection.execute("DELETE FROM passkeys WHERE person = ?1", [person])? > 0)
}

/// Forgets challenges that could not be answered any more.
pub(super) fn tidy(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM used_challenges WHERE made_at < ?1", [now - REMEMBERED]).map(drop)
}
