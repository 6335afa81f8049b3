//! The people who may look: accounts, sessions and one-time links. Values that open something come in as bytes and are kept
//! as marks under the key file.

use std::fmt;
use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::arrivals::Ledger;
use super::record::{self, By, Did, Entry};
use super::sessions::{Opening, sign_in};
use super::{
    ServiceId, Services, SignInBefore, Store, StoreError, browsers, handling, hours, passkeys, second_factor, sessions,
};
use crate::clock::MINUTE;

/// What a person may do; `access` says what each may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Searches and reads.
    Viewer,
    /// Also deals with what was received.
    Caseworker,
    /// Also exports, sees the quarantine and the record, and answers for people's data.
    Manager,
    /// Everything: people, tokens and settings too.
    Admin,
}

impl Role {
    /// All of them, that which may do least first.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Caseworker, Role::Manager, Role::Admin];

    /// The word that stands in the store and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Caseworker => "caseworker",
            Role::Manager => "manager",
            Role::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(word: &str) -> Result<Role, String> {
        let role = Role::ALL.into_iter().find(|role| role.as_str() == word);
        role.ok_or_else(|| "a role is viewer, caseworker, manager or admin".to_owned())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An account.
#[derive(Clone)]
pub struct Person {
    /// Its number.
    pub id: i64,
    /// The address that it signs in with, in lower case.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// The argon2id string, once a password is set.
    pub password: Option<String>,
    /// When it last signed in, in microseconds since 1970 UTC.
    pub signed_in_at: Option<i64>,
    /// Since when it may not sign in.
    pub disabled_at: Option<i64>,
    /// How many tries to sign in with its address failed since somebody did.
    pub failed_since: i64,
    /// Whose callbacks it may see.
    pub sees: Services,
}

/// A session or a one-time link as the store knows it.
pub type Mark = [u8; 32];

/// Why an account was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddPersonError {
    /// The address has an account already.
    #[error("there is already an account for this address. To give it a new password, use counterfoil user reset")]
    Known,
    /// An admin would be limited.
    #[error("{LIMITED_ADMIN}")]
    LimitedAdmin,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const LIMITED_ADMIN: &str =
    "an admin sees all services, because an admin can change what anybody sees. Choose all services, or another role";

/// Why an account was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangePersonError {
    /// There is none of this number.
    #[error("there is no such account")]
    Unknown,
    /// Somebody who is signed in would take from themselves what it needs to undo it.
    #[error("you cannot disable your own account or change its role, because you could not undo it. Ask another admin")]
    Yourself,
    /// Nobody would be left who can change people.
    #[error("this is the last admin who can sign in. Make another person an admin first")]
    LastAdmin,
    /// An admin would be limited.
    #[error("{LIMITED_ADMIN}")]
    LimitedAdmin,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A session's owner and what that owner may see.
pub struct Asking {
    /// The account.
    pub person: Person,
    /// When the session began.
    pub made_at: i64,
    /// When it was last used, to the minute.
    pub last_seen_at: i64,
    /// How many alarms stand.
    pub alarms: i64,
    /// How many conversations with unread texts there are that they may see; at most so many are counted.
    pub unread: i64,
    /// What everybody is to read.
    pub notice: Option<String>,
    /// Whether it began with a second factor.
    pub with_second_factor: bool,
    /// The sign-in before, while it was not told.
    pub before: Option<SignInBefore>,
}

pub(super) const PERSON: &str = "p.id, p.email, p.role, p.password, p.signed_in_at, p.disabled_at, p.limited,
    (SELECT group_concat(service) FROM person_services WHERE person = p.id), p.failed_since";

pub(super) fn person(row: &Row<'_>) -> rusqlite::Result<Person> {
    Ok(Person {
        id: row.get(0)?,
        email: row.get(1)?,
        // A role that this release does not know gives the least.
        role: row.get::<_, String>(2)?.parse().unwrap_or(Role::Viewer),
        password: row.get(3)?,
        signed_in_at: row.get(4)?,
        disabled_at: row.get(5)?,
        sees: sees(row.get(6)?, row.get(7)?),
        failed_since: row.get(8)?,
    })
}

/// What a person sees who may be limited to the services of this list.
fn sees(limited: bool, services: Option<String>) -> Services {
    let numbers = services.unwrap_or_default();
    let numbers = numbers.split(',').filter_map(|number| number.parse().ok());
    if limited { Services::Only(numbers.map(ServiceId).collect()) } else { Services::All }
}

impl Store {
    /// Adds an account, with a password already hashed or none yet; gives its number.
    ///
    /// # Errors
    /// When the address has an account, or it cannot be written.
    pub async fn add_person(
        &self,
        email: String,
        role: Role,
        sees: Services,
        password: Option<String>,
        by: By,
        now: i64,
    ) -> Result<i64, AddPersonError> {
        if is_limited_admin(role, &sees) {
            return Err(AddPersonError::LimitedAdmin);
        }
        let key = self.inner.key.clone();
        let added = self.write(move |connection| {
            let added = connection.execute(
                "INSERT INTO people (email, role, password, made_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (email) DO NOTHING",
                params![email.to_lowercase(), role.as_str(), password, now],
            )?;
            if added == 0 {
                return Ok(None);
            }
            let person = connection.last_insert_rowid();
            let limits = limit(connection, person, &sees)?;
            let entry = Entry::new(by, Did::AddedPerson, now).of(account(person)).with(format!("{role}, {limits}"));
            record::append(connection, &key, &entry)?;
            Ok(Some(person))
        });
        added.await?.ok_or(AddPersonError::Known)
    }

    /// Every account, by address.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn people(&self) -> Result<Vec<Person>, StoreError> {
        self.read(|connection| {
            let sql = format!("SELECT {PERSON} FROM people p ORDER BY p.email");
            connection.prepare_cached(&sql)?.query_map([], person)?.collect()
        })
        .await
    }

    /// The account of an address, in any case of letters.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn person(&self, email: &str) -> Result<Option<Person>, StoreError> {
        let email = email.trim().to_lowercase();
        self.read(move |connection| {
            let sql = format!("SELECT {PERSON} FROM people p WHERE p.email = ?1");
            connection.prepare_cached(&sql)?.query_row([email], person).optional()
        })
        .await
    }

    /// The account of this number.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn person_of(&self, id: i64) -> Result<Option<Person>, StoreError> {
        self.read(move |connection| person_of(connection, id)).await
    }

    /// Lets an account sign in, or not; not also ends its sessions and links. Who is signed in disables neither themselves nor the
    /// last admin; a command may, since another undoes it.
    ///
    /// # Errors
    /// When there is no such account, somebody has to stay, or it cannot be written.
    pub async fn set_disabled(&self, person: i64, disabled: bool, by: By, now: i64) -> Result<(), ChangePersonError> {
        let key = self.inner.key.clone();
        let changed = self.write(move |connection| {
            let Some(before) = person_of(connection, person)? else { return Ok(Err(ChangePersonError::Unknown)) };
            if before.disabled_at.is_some() == disabled {
                return Ok(Ok(()));
            }
            if disabled && let Err(stays) = may_go(connection, &before, &by)? {
                return Ok(Err(stays));
            }
            let at = disabled.then_some(now);
            connection.execute("UPDATE people SET disabled_at = ?2 WHERE id = ?1", params![person, at])?;
            if disabled {
                close_all(connection, person)?;
            }
            let did = if disabled { Did::DisabledPerson } else { Did::EnabledPerson };
            record::append(connection, &key, &Entry::new(by, did, now).of(account(person))).map(Ok)
        });
        changed.await?
    }

    /// Changes what an account may do and see, from its next request on. Who is signed in takes an admin’s role neither from
    /// themselves nor from the last; a command may.
    ///
    /// # Errors
    /// When there is no such account, somebody has to stay an admin, an admin would be limited, or it cannot be written.
    pub async fn change_person(
        &self,
        person: i64,
        role: Role,
        sees: Services,
        by: By,
        now: i64,
    ) -> Result<(), ChangePersonError> {
        if is_limited_admin(role, &sees) {
            return Err(ChangePersonError::LimitedAdmin);
        }
        let key = self.inner.key.clone();
        let changed = self.write(move |connection| {
            let Some(before) = person_of(connection, person)? else { return Ok(Err(ChangePersonError::Unknown)) };
            if before.role == Role::Admin
                && role != Role::Admin
                && let Err(stays) = may_go(connection, &before, &by)?
            {
                return Ok(Err(stays));
            }
            connection.execute("UPDATE people SET role = ?2 WHERE id = ?1", params![person, role.as_str()])?;
            let limits = limit(connection, person, &sees)?;
            let entry = Entry::new(by, Did::ChangedPerson, now).of(account(person)).with(format!("{role}, {limits}"));
            record::append(connection, &key, &entry).map(Ok)
        });
        changed.await?
    }

    /// Ends every session of an account.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn end_sessions(&self, person: i64, by: By, now: i64) -> Result<(), StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| {
            connection.execute("DELETE FROM sessions WHERE person = ?1", [person])?;
            connection.execute("DELETE FROM pending_sign_ins WHERE person = ?1", [person])?;
            record::append(connection, &key, &Entry::new(by, Did::EndedSessions, now).of(account(person)))
        })
        .await
    }

    /// Makes the one link of an account valid until `expires_at`; older links of it stop working.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn add_one_time_link(
        &self,
        person: i64,
        secret: &[u8],
        expires_at: i64,
        by: By,
        now: i64,
    ) -> Result<(), StoreError> {
        let (key, mark) = (self.inner.key.clone(), self.link_mark(secret));
        self.write(move |connection| {
            connection.execute("DELETE FROM one_time_links WHERE person = ?1", [person])?;
            connection.execute(
                "INSERT INTO one_time_links (mark, person, expires_at) VALUES (?1, ?2, ?3)",
                params![mark, person, expires_at],
            )?;
            record::append(connection, &key, &Entry::new(by, Did::MadeLink, now).of(account(person)))
        })
        .await
    }

    /// Whose one-time link this is, while it is valid.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn link_owner(&self, secret: &[u8], now: i64) -> Result<Option<Person>, StoreError> {
        let mark = self.link_mark(secret);
        self.read(move |connection| link_owner(connection, &mark, now)).await
    }

    /// Sets the password of a link's owner and uses the link up; `None` where the link is not valid.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn set_password_by_link(
        &self,
        secret: &[u8],
        password: String,
        source: String,
        now: i64,
    ) -> Result<Option<Person>, StoreError> {
        let (key, mark) = (self.inner.key.clone(), self.link_mark(secret));
        self.write(move |connection| {
            let Some(owner) = link_owner(connection, &mark, now)? else { return Ok(None) };
            let owner = Person { password: Some(password), ..owner };
            connection.execute("UPDATE people SET password = ?2 WHERE id = ?1", params![owner.id, owner.password])?;
            close_all(connection, owner.id)?;
            let by = By { person: Some(owner.id), name: owner.email.clone(), source };
            record::append(connection, &key, &Entry::new(by, Did::SetPassword, now).of(account(owner.id)))?;
            Ok(Some(owner))
        })
        .await
    }

    /// Begins a session, with a second factor or without; the one that the same browser had before, if any, ends. False where the
    /// account has been disabled since the person was looked up, or, without a second factor, has another password or a second factor.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn begin_session(
        &self,
        person: &Person,
        opening: Opening<'_>,
        with_second_factor: bool,
    ) -> Result<bool, StoreError> {
        let (key, new) = (self.inner.key.clone(), self.new_session(opening));
        let (id, password) = (person.id, person.password.clone());
        self.write(move |connection| {
            let still = "SELECT 1 FROM people WHERE id = ?1 AND disabled_at IS NULL AND (?3 OR password IS ?2
                AND NOT EXISTS (SELECT 1 FROM second_factors WHERE person = ?1)
                AND NOT EXISTS (SELECT 1 FROM passkeys WHERE person = ?1))";
            if !connection.prepare_cached(still)?.exists(params![id, password, with_second_factor])? {
                return Ok(false);
            }
            sign_in(connection, &key, id, new, with_second_factor)?;
            Ok(true)
        })
        .await
    }

    /// Whose session this is; a disabled account has none. Whether it is still fresh is the caller's to judge.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn session(&self, secret: &[u8]) -> Result<Option<Asking>, StoreError> {
        let mark = self.session_mark(secret);
        self.read(move |connection| {
            let before = sessions::BEFORE;
            let sql = format!(
                "SELECT {PERSON}, s.made_at, s.last_seen_at, (SELECT count(*) FROM alarms WHERE settled_at IS NULL),
                    s.second_factor, {before}, (SELECT nullif(value, '') FROM settings WHERE name = 'notice')
                 FROM sessions s JOIN people p ON p.id = s.person
                 WHERE s.mark = ?1 AND p.disabled_at IS NULL"
            );
            let asking = |row: &Row<'_>| {
                let person = person(row)?;
                Ok(Asking {
                    unread: handling::unread(connection, &person.sees)?,
                    person,
                    made_at: row.get(9)?,
                    last_seen_at: row.get(10)?,
                    alarms: row.get(11)?,
                    with_second_factor: row.get(12)?,
                    before: sessions::before(row, 13)?,
                    notice: row.get(16)?,
                })
            };
            connection.prepare_cached(&sql)?.query_row([mark], asking).optional()
        })
        .await
    }

    /// Writes down that a session was used.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn touch_session(&self, secret: &[u8], now: i64) -> Result<(), StoreError> {
        let mark = self.session_mark(secret);
        self.write(move |connection| {
            connection.execute("UPDATE sessions SET last_seen_at = ?2 WHERE mark = ?1", params![mark, now]).map(drop)
        })
        .await
    }

    /// Ends a session, if it is one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn end_session(&self, secret: &[u8], source: String, now: i64) -> Result<(), StoreError> {
        let (key, mark) = (self.inner.key.clone(), self.session_mark(secret));
        self.write(move |connection| {
            let sql = format!("SELECT {PERSON} FROM sessions s JOIN people p ON p.id = s.person WHERE s.mark = ?1");
            let Some(owner) = connection.query_row(&sql, [mark], person).optional()? else { return Ok(()) };
            connection.execute("DELETE FROM sessions WHERE mark = ?1", [mark])?;
            let by = By { person: Some(owner.id), name: owner.email, source };
            record::append(connection, &key, &Entry::new(by, Did::SignedOut, now))
        })
        .await
    }

    /// Clears away sessions begun before `sessions_before` or not used since `unused_before`, links that ran out and searches made
    /// before `searches_before`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn tidy(
        &self,
        now: i64,
        sessions_before: i64,
        unused_before: i64,
        searches_before: i64,
    ) -> Result<(), StoreError> {
        let tidy = move |connection: &Connection, ledger: &mut Ledger| {
            ledger.sign(connection, now)?;
            hours::tidy(connection, now)?;
            browsers::tidy(connection, now)?;
            let ended = [sessions_before, unused_before];
            connection.execute("DELETE FROM sessions WHERE made_at < ?1 OR last_seen_at < ?2", ended)?;
            connection.execute("DELETE FROM one_time_links WHERE expires_at < ?1", [now - MINUTE])?;
            second_factor::tidy(connection, now)?;
            passkeys::tidy(connection, now)?;
            connection.execute("DELETE FROM searches WHERE made_at < ?1", [searches_before]).map(drop)
        };
        self.inner.writer.write_with_ledger(tidy).await
    }

    pub(super) fn session_mark(&self, secret: &[u8]) -> Mark {
        self.inner.key.mark("session", secret)
    }

    fn link_mark(&self, secret: &[u8]) -> Mark {
        self.inner.key.mark("one-time link", secret)
    }
}

fn link_owner(connection: &Connection, mark: &Mark, now: i64) -> rusqlite::Result<Option<Person>> {
    let sql = format!(
        "SELECT {PERSON} FROM one_time_links l JOIN people p ON p.id = l.person
         WHERE l.mark = ?1 AND l.expires_at > ?2 AND p.disabled_at IS NULL"
    );
    connection.prepare_cached(&sql)?.query_row(params![mark, now], person).optional()
}

pub(super) fn person_of(connection: &Connection, id: i64) -> rusqlite::Result<Option<Person>> {
    let sql = format!("SELECT {PERSON} FROM people p WHERE p.id = ?1");
    connection.prepare_cached(&sql)?.query_row([id], person).optional()
}

/// Whoever may change what people see could lift their own limit.
fn is_limited_admin(role: Role, sees: &Services) -> bool {
    role == Role::Admin && *sees != Services::All
}

/// Whether somebody may take an account from those who can change people. A command may take any.
fn may_go(connection: &Connection, person: &Person, by: &By) -> rusqlite::Result<Result<(), ChangePersonError>> {
    let Some(asks) = by.person else { return Ok(Ok(())) };
    if asks == person.id {
        return Ok(Err(ChangePersonError::Yourself));
    }
    Ok(if is_last_admin(connection, person.id)? { Err(ChangePersonError::LastAdmin) } else { Ok(()) })
}

/// Whether this is the one admin who can sign in: with a password, or by single sign-on.
pub(super) fn is_last_admin(connection: &Connection, person: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT id FROM people p WHERE role = ?1 AND disabled_at IS NULL
               AND (password IS NOT NULL OR EXISTS (SELECT 1 FROM single_sign_on WHERE person = p.id)) LIMIT 2";
    let admins: Vec<i64> = connection
        .prepare_cached(sql)?
        .query_map([Role::Admin.as_str()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(admins == [person])
}

/// How an account stands in the record.
pub(super) fn account(person: i64) -> String {
    format!("account {person}")
}

/// Keeps whose callbacks a person may see; gives it in words.
pub(super) fn limit(connection: &Connection, person: i64, sees: &Services) -> rusqlite::Result<String> {
    let services = match sees {
        Services::All => &[],
        Services::Only(services) => services.as_slice(),
    };
    let limited = *sees != Services::All;
    connection.execute("UPDATE people SET limited = ?2 WHERE id = ?1", params![person, limited])?;
    connection.execute("DELETE FROM person_services WHERE person = ?1", [person])?;
    for service in services {
        connection.execute("INSERT INTO person_services (person, service) VALUES (?1, ?2)", [person, service.0])?;
    }
    let numbers: Vec<String> = services.iter().map(|service| service.0.to_string()).collect();
    Ok(if limited { format!("services {}", numbers.join(" ")) } else { "all services".into() })
}

/// Ends an account's sessions, sign-ins half-way and links, and forgets its browsers.
pub(super) fn close_all(connection: &Connection, person: i64) -> rusqlite::Result<()> {
    browsers::forget(connection, person)?;
    connection.execute("DELETE FROM sessions WHERE person = ?1", [person])?;
    connection.execute("DELETE FROM pending_sign_ins WHERE person = ?1", [person])?;
    connection.execute("DELETE FROM one_time_links WHERE person = ?1", [person]).map(drop)
}

#[cfg(test)]
mod tests;
