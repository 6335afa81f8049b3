//! People: signing in, the session that follows, and signing out.

use http::header::{COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderValue};

use super::browser;
use super::failures::Failures;
use super::may::May;
use super::password::Passwords;
use super::second_factor::{Entered, RequiredOf, half_secret};
use super::secret::Secret;
use super::single_sign_on::SingleSignOn;
use super::throttle::{Throttle, Try};
use crate::clock::{MINUTE, SECOND};
use crate::store::{
    Asking, BROWSER_KNOWN_FOR, By, Did, Entry, Opening, Person, Role, Services, SessionRow, SignInBefore, Store,
    StoreError,
};

/// A session that nobody used for so long has ended.
const IDLE: i64 = 30 * MINUTE;
/// A session never lasts longer.
const ABSOLUTE: i64 = 8 * 60 * MINUTE;
/// A clock is put right by so little without a word.
const SET_BACK: i64 = MINUTE;
/// The cookie's name; the prefix makes browsers take it only from this host, whole and over a safe connection.
const COOKIE_NAME: &str = "__Host-counterfoil";
/// The name of the cookie by which a browser is known to its owner's account.
const BROWSER_COOKIE_NAME: &str = "__Host-counterfoil-browser";

/// A person who has signed in.
#[derive(Clone)]
pub struct Caseworker {
    pub(super) id: i64,
    email: String,
    role: Role,
    sees: Services,
    pub(super) with_second_factor: bool,
    has_password: bool,
    /// The network address that the request came from.
    pub(super) source: String,
    alarms: i64,
    unread: i64,
    left: Left,
    before: Option<SignInBefore>,
    notice: Option<String>,
}

/// How long a session goes on if nobody uses it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// In seconds.
    pub seconds: i64,
    /// Whether use makes it longer; a session never lasts longer than 8 hours.
    pub extends: bool,
}

impl Caseworker {
    /// The address that this person signs in with.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// What this person may do.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether this person can sign in with a password. Who cannot has nothing to do with an authenticator app either.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.has_password
    }

    /// Whose callbacks this person may see.
    #[must_use]
    pub fn sees(&self) -> &Services {
        &self.sees
    }

    /// How long the session goes on.
    #[must_use]
    pub fn left(&self) -> Left {
        self.left
    }

    /// The sign-in before this session's, until it was told.
    #[must_use]
    pub fn sign_in_before(&self) -> Option<&SignInBefore> {
        self.before.as_ref()
    }

    /// Whether this person may do what not everybody may.
    #[must_use]
    pub fn may(&self, what: May) -> bool {
        what.is_given_to(self.role, &self.sees)
    }

    /// How many alarms stand.
    #[must_use]
    pub fn alarms(&self) -> i64 {
        self.alarms
    }

    /// How many conversations with unread texts this person may see, as far as they were counted.
    #[must_use]
    pub fn unread(&self) -> i64 {
        self.unread
    }

    /// What an admin has everybody read.
    #[must_use]
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// What this person sees or does now, for the record.
    #[must_use]
    pub fn did(&self, did: Did, now: i64) -> Entry {
        Entry::new(self.by(), did, now)
    }

    /// How this person stands in the record.
    #[must_use]
    pub fn by(&self) -> By {
        By { person: Some(self.id), name: self.email.clone(), source: self.source.clone() }
    }
}

/// Why a request is nobody's.
#[derive(Debug)]
pub enum NotSignedIn {
    /// There is no session, or it has ended.
    NoSession,
    /// The store could not say.
    Store(StoreError),
}

/// Why a sign-in was refused. It never tells whether the account exists.
#[derive(Debug)]
pub enum SignInRefused {
    /// The address or the password is wrong, or the account may not sign in.
    Wrong,
    /// Too many failures: so many seconds must pass first.
    Wait(i64),
    /// The password is right, and people come in by single sign-on alone.
    BySingleSignOn,
    /// It could not be done.
    Store(StoreError),
}

/// A new session, to be given to the browser.
pub struct Session {
    secret: Secret,
    /// What the browser is known by from now on; `None` where that could not be kept.
    browser: Option<Secret>,
}

impl Session {
    /// The `Set-Cookie` value that begins the session in the browser.
    #[must_use]
    pub fn cookie(&self) -> String {
        format!("{COOKIE_NAME}={}; Path=/; Secure; HttpOnly; SameSite=Lax", self.secret.text())
    }

    /// The `Set-Cookie` value by which the browser is known when somebody signs in with it again. It opens nothing.
    #[must_use]
    pub fn browser_cookie(&self) -> Option<String> {
        let (known_for, attributes) = (BROWSER_KNOWN_FOR / SECOND, "Path=/; Secure; HttpOnly; SameSite=Lax");
        let browser = self.browser.as_ref()?;
        Some(format!("{BROWSER_COOKIE_NAME}={}; {attributes}; Max-Age={known_for}", browser.text()))
    }

    /// The `Set-Cookie` value that ends it there.
    #[must_use]
    pub fn end_cookie() -> &'static str {
        "__Host-counterfoil=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
    }
}

/// Where people come in.
pub struct Visitors {
    pub(super) store: Store,
    pub(super) passwords: Passwords,
    pub(super) throttle: Throttle,
    pub(super) failures: Failures,
    pub(super) required_of: RequiredOf,
    pub(super) single_sign_on: Option<SingleSignOn>,
}

impl Visitors {
    /// Over the accounts and sessions of a store; who must have a second factor.
    #[must_use]
    pub fn new(store: Store, required_of: RequiredOf) -> Visitors {
        let (passwords, throttle, failures) = (Passwords::default(), Throttle::default(), Failures::default());
        Visitors { store, passwords, throttle, failures, required_of, single_sign_on: None }
    }

    /// The same, where people may come in by single sign-on.
    #[must_use]
    pub fn with_single_sign_on(self, single_sign_on: Option<SingleSignOn>) -> Visitors {
        Visitors { single_sign_on, ..self }
    }

    /// Single sign-on, where it is set up.
    #[must_use]
    pub fn single_sign_on(&self) -> Option<&SingleSignOn> {
        self.single_sign_on.as_ref()
    }

    /// Who sends a request with these headers from this network address.
    ///
    /// # Errors
    /// When nobody is signed in there, or the store cannot say.
    pub async fn recognise(&self, headers: &HeaderMap, source: &str, now: i64) -> Result<Caseworker, NotSignedIn> {
        let secret = session_secret(headers).ok_or(NotSignedIn::NoSession)?;
        let mut asking = self.asking(&secret, now).await?;
        // Once a minute is exact enough for a limit of half an hour.
        if now - asking.last_seen_at > MINUTE {
            match self.store.touch_session(secret.bytes(), now).await {
                Ok(()) => asking.last_seen_at = now,
                // Where nothing can be written what is there can still be read: the session only ends the sooner.
                Err(error) => {
                    tracing::warn!(event = "access.use_not_noted", error = %error, "the use of a session could not be noted");
                }
            }
        }
        Ok(self.caseworker(asking, source, now))
    }

    /// Who sends a request with these headers, which does not count as a use of the session.
    ///
    /// # Errors
    /// When nobody is signed in there, or the store cannot say.
    pub async fn look(&self, headers: &HeaderMap, source: &str, now: i64) -> Result<Caseworker, NotSignedIn> {
        let secret = session_secret(headers).ok_or(NotSignedIn::NoSession)?;
        Ok(self.caseworker(self.asking(&secret, now).await?, source, now))
    }

    /// The session of a secret, while it is fresh. One that is found too old ends for good: it does not live again when the clock is
    /// set back.
    async fn asking(&self, secret: &Secret, now: i64) -> Result<Asking, NotSignedIn> {
        let asking = self.store.session(secret.bytes()).await.map_err(NotSignedIn::Store)?;
        let asking = asking.ok_or(NotSignedIn::NoSession)?;
        if is_fresh(asking.made_at, asking.last_seen_at, now) {
            // One that began before a second factor was required of the person shows nothing.
            let lacks_one = self.required_of.includes(asking.person.role) && !asking.with_second_factor;
            return if lacks_one { Err(NotSignedIn::NoSession) } else { Ok(asking) };
        }
        let too_old = now - asking.last_seen_at >= IDLE || now - asking.made_at >= ABSOLUTE;
        if too_old && let Err(error) = self.store.forget_session(secret.bytes()).await {
            tracing::warn!(event = "access.session_not_ended", error = %error, "a session that is too old could not be removed");
        }
        Err(NotSignedIn::NoSession)
    }

    /// The sessions of the person who asks: their own first, then those last used.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn own_sessions(&self, headers: &HeaderMap, now: i64) -> Result<Vec<SessionRow>, StoreError> {
        let Some(secret) = session_secret(headers) else { return Ok(Vec::new()) };
        let mut sessions = self.store.own_sessions(secret.bytes()).await?;
        sessions.retain(|session| is_fresh(session.made_at, session.last_seen_at, now));
        Ok(sessions)
    }

    /// Ends another session of the person who asks, by its name, or all others.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn end_others(
        &self,
        who: &Caseworker,
        headers: &HeaderMap,
        name: Option<&str>,
        now: i64,
    ) -> Result<(), StoreError> {
        let Some(secret) = session_secret(headers) else { return Ok(()) };
        self.store.end_others(secret.bytes(), name.map(str::to_owned), who.did(Did::EndedSessions, now)).await
    }

    /// The page with the sign-in before is shown.
    pub async fn told_of_sign_in_before(&self, headers: &HeaderMap) {
        let Some(secret) = session_secret(headers) else { return };
        if let Err(error) = self.store.told_of_sign_in_before(secret.bytes()).await {
            tracing::warn!(event = "access.told_not_noted", error = %error, "the last sign-in is told once more");
        }
    }

    /// Lets in whoever knows the password, as far as the second step where there is one. The session that the browser had before
    /// ends with the new one.
    ///
    /// # Errors
    /// When the address or password is wrong, too many tries failed, or the store cannot be used.
    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        headers: &HeaderMap,
        source: &str,
        now: i64,
    ) -> Result<Entered, SignInRefused> {
        let address = email.trim().to_lowercase();
        let browser = self.known_browser(&address, headers, now).await.map_err(SignInRefused::Store)?;
        let tried = Try { address: &address, known: browser.as_ref(), source: source.parse().ok() };
        // Where no place is free nothing is tried, and nothing counts as failed.
        let place = self.passwords.place(browser.is_some()).ok_or(SignInRefused::Store(StoreError::Full))?;
        self.throttle.begin(tried, now).map_err(SignInRefused::Wait)?;
        let person = self.store.person(&address).await.map_err(SignInRefused::Store)?;
        let known = person.as_ref().map(|person| by(person, source));
        let person = person.filter(|person| person.disabled_at.is_none());
        let kept = person.as_ref().and_then(|person| person.password.clone());
        let checked = self.passwords.verify(place, password, kept).await;
        let right = checked.ok_or(SignInRefused::Store(StoreError::Full))?;
        let Some(person) = person.filter(|_| right) else {
            tracing::warn!(event = "access.sign_in_failed", "someone could not sign in");
            self.note_failure(known, source, now);
            return Err(SignInRefused::Wrong);
        };
        self.throttle.succeeded(tried);
        if !self.may_use_password(&person) {
            let entry = Entry::new(by(&person, source), Did::SignInFailed, now).with("single sign-on is the only way");
            self.store.record(entry).await.map_err(SignInRefused::Store)?;
            return Err(SignInRefused::BySingleSignOn);
        }
        let entered = self.after_password(&person, headers, source, now).await.map_err(SignInRefused::Store)?;
        entered.ok_or(SignInRefused::Wrong)
    }

    /// Ends the session that the request carries, and a sign-in half-way.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn sign_out(&self, headers: &HeaderMap, source: &str, now: i64) -> Result<(), StoreError> {
        let half = match half_secret(headers) {
            Some(secret) => self.store.end_second_step(secret.bytes()).await,
            None => Ok(()),
        };
        let session = match session_secret(headers) {
            Some(secret) => self.store.end_session(secret.bytes(), source.to_owned(), now).await,
            None => Ok(()),
        };
        session.and(half)
    }

    /// Where people come in by single sign-on alone, admins keep their passwords for the day on which it fails.
    pub(super) fn may_use_password(&self, person: &Person) -> bool {
        person.role == Role::Admin || !self.single_sign_on.as_ref().is_some_and(SingleSignOn::is_the_only_way)
    }

    fn caseworker(&self, asking: Asking, source: &str, now: i64) -> Caseworker {
        let (unused, end) = (asking.last_seen_at + IDLE - now, asking.made_at + ABSOLUTE - now);
        let left = Left { seconds: unused.min(end) / SECOND, extends: unused < end };
        let Asking { person, with_second_factor, alarms, unread, before, notice, .. } = asking;
        let has_password = person.password.is_some() && self.may_use_password(&person);
        let Person { id, email, role, sees, .. } = person;
        let source = source.to_owned();
        Caseworker {
            id,
            email,
            role,
            sees,
            with_second_factor,
            has_password,
            source,
            alarms,
            unread,
            left,
            before,
            notice,
        }
    }

    /// A session for somebody who has come to the end of a sign-in; `None` where their account has changed meanwhile, so that they
    /// come in no more.
    pub(super) async fn begin(
        &self,
        person: &Person,
        with_second_factor: bool,
        headers: &HeaderMap,
        source: &str,
        now: i64,
    ) -> Result<Option<Session>, StoreError> {
        let new = NewSecret::of(headers)?;
        let opening = new.opening(by(person, source), now);
        if !self.store.begin_session(person, opening, with_second_factor).await? {
            return Ok(None);
        }
        Ok(Some(self.begun(new, person.id, headers, now).await))
    }

    /// A session that the store has begun, for the browser, which is known from then on.
    pub(super) async fn begun(&self, new: NewSecret, person: i64, headers: &HeaderMap, now: i64) -> Session {
        Session { secret: new.secret, browser: self.know_browser(person, headers, now).await }
    }

    /// The browser that the request comes from, where the account of an address was signed in with it.
    pub(super) async fn known_browser(
        &self,
        address: &str,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<Option<Secret>, StoreError> {
        let Some(browser) = cookie(headers, BROWSER_COOKIE_NAME) else { return Ok(None) };
        let known = self.store.is_known_browser(browser.bytes(), address, now).await?;
        Ok(Some(browser).filter(|_| known))
    }

    /// Notes that a person signed in with the browser, under a new secret. Where that fails nobody is kept from signing in.
    async fn know_browser(&self, person: i64, headers: &HeaderMap, now: i64) -> Option<Secret> {
        let before = cookie(headers, BROWSER_COOKIE_NAME);
        let browser = random().ok()?;
        let known = self.store.know_browser(person, browser.bytes(), before.as_ref().map(Secret::bytes), now).await;
        if let Err(error) = &known {
            tracing::warn!(event = "access.browser_not_noted", error = %error, "a browser could not be noted as known");
        }
        known.is_ok().then_some(browser)
    }
}

pub(super) fn random() -> Result<Secret, StoreError> {
    Secret::random().map_err(|error| StoreError::Sqlite(error.to_string()))
}

/// The secret of a session that is to begin, and what the browser brings.
pub(super) struct NewSecret {
    secret: Secret,
    before: Option<Secret>,
    browser: Option<String>,
}

impl NewSecret {
    pub(super) fn of(headers: &HeaderMap) -> Result<NewSecret, StoreError> {
        Ok(NewSecret { secret: random()?, before: session_secret(headers), browser: browser_of(headers) })
    }

    /// The session as the store begins it.
    pub(super) fn opening(&self, by: By, now: i64) -> Opening<'_> {
        let (secret, before) = (self.secret.bytes(), self.before.as_ref().map(Secret::bytes));
        Opening { secret, before, by, browser: self.browser.clone(), now }
    }
}

/// The browser in words.
pub(super) fn browser_of(headers: &HeaderMap) -> Option<String> {
    headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).and_then(browser::in_words)
}

/// How somebody stands in the record who is not signed in yet.
pub(super) fn by(person: &Person, source: &str) -> By {
    By { person: Some(person.id), name: person.email.clone(), source: source.to_owned() }
}

/// One that was used in the future is of a clock that was set back since, and nobody can say how old it is.
fn is_fresh(made_at: i64, last_seen_at: i64, now: i64) -> bool {
    let (unused, age) = (now - last_seen_at, now - made_at);
    (-SET_BACK..IDLE).contains(&unused) && (-SET_BACK..ABSOLUTE).contains(&age)
}

pub(super) fn session_secret(headers: &HeaderMap) -> Option<Secret> {
    cookie(headers, COOKIE_NAME)
}

/// The secret in a cookie of this name.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<Secret> {
    cookie_text(headers, name).and_then(Secret::parse)
}

/// What is in a cookie of this name.
pub(super) fn cookie_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
