//! People: signing in, the session that follows, and signing out.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use super::may::May;
use super::password::{PasswordRefused, Passwords};
use super::second_factor::{Entered, RequiredOf, half_secret};
use super::secret::Secret;
use super::throttle::Throttle;
use crate::clock::MINUTE;
use crate::store::{Asking, By, Did, Entry, Person, Role, Services, Store, StoreError};

/// A session that nobody used for so long has ended.
const IDLE: i64 = 30 * MINUTE;
/// A session never lasts longer.
const ABSOLUTE: i64 = 8 * 60 * MINUTE;
/// A clock is put right by so little without a word.
const SET_BACK: i64 = MINUTE;
/// The cookie's name; the prefix makes browsers take it only from this host, whole and over a safe connection.
const COOKIE_NAME: &str = "__Host-counterfoil";

/// A person who has signed in.
#[derive(Clone)]
pub struct Caseworker {
    pub(super) id: i64,
    email: String,
    role: Role,
    sees: Services,
    pub(super) with_second_factor: bool,
    /// The network address that the request came from.
    source: String,
    alarms: i64,
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

    /// Whose callbacks this person may see.
    #[must_use]
    pub fn sees(&self) -> &Services {
        &self.sees
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
    /// It could not be done.
    Store(StoreError),
}

/// A new session, to be given to the browser.
pub struct Session(Secret);

impl Session {
    pub(super) fn new(secret: Secret) -> Session {
        Session(secret)
    }

    /// The `Set-Cookie` value that begins the session in the browser.
    #[must_use]
    pub fn cookie(&self) -> String {
        format!("{COOKIE_NAME}={}; Path=/; Secure; HttpOnly; SameSite=Lax", self.0.text())
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
    pub(super) required_of: RequiredOf,
}

impl Visitors {
    /// Over the accounts and sessions of a store; who must have a second factor.
    #[must_use]
    pub fn new(store: Store, required_of: RequiredOf) -> Visitors {
        Visitors { store, passwords: Passwords::default(), throttle: Throttle::default(), required_of }
    }

    /// Who sends a request with these headers from this network address.
    ///
    /// # Errors
    /// When nobody is signed in there, or the store cannot say.
    pub async fn recognise(&self, headers: &HeaderMap, source: &str, now: i64) -> Result<Caseworker, NotSignedIn> {
        let secret = session_secret(headers).ok_or(NotSignedIn::NoSession)?;
        let asking = self.store.session(secret.bytes()).await.map_err(NotSignedIn::Store)?;
        let asking = asking.filter(|asking| is_fresh(asking, now)).ok_or(NotSignedIn::NoSession)?;
        // One that began before a second factor was required of the person shows nothing.
        if self.required_of.includes(asking.person.role) && !asking.with_second_factor {
            return Err(NotSignedIn::NoSession);
        }
        // Once a minute is exact enough for a limit of half an hour.
        if now - asking.last_seen_at > MINUTE
            && let Err(error) = self.store.touch_session(secret.bytes(), now).await
        {
            // Where nothing can be written what is there can still be read: the session only ends the sooner.
            tracing::warn!(event = "access.use_not_noted", error = %error, "the use of a session could not be noted");
        }
        let Asking { person: Person { id, email, role, sees, .. }, with_second_factor, alarms, .. } = asking;
        Ok(Caseworker { id, email, role, sees, with_second_factor, source: source.to_owned(), alarms })
    }

    /// Lets in whoever knows the password, as far as the second step where there is one. The session that the browser had before
    /// ends with the new one.
    ///
    /// # Errors
    /// When the address or password is wrong, too many tries failed, or the store cannot be used.
    pub async fn sign_in(
        &self,
        email: &str,
        password: String,
        headers: &HeaderMap,
        source: &str,
        now: i64,
    ) -> Result<Entered, SignInRefused> {
        let address = email.trim().to_lowercase();
        self.throttle.begin(&address, now).map_err(SignInRefused::Wait)?;
        let person = self.store.person(&address).await.map_err(SignInRefused::Store)?;
        let known = person.as_ref().map(|person| by(person, source));
        let person = person.filter(|person| person.disabled_at.is_none());
        let kept = person.as_ref().and_then(|person| person.password.clone());
        let checked = self.passwords.verify(password, kept).await;
        let right = checked.ok_or(SignInRefused::Store(StoreError::Full))?;
        let Some(person) = person.filter(|_| right) else {
            tracing::warn!(event = "access.sign_in_failed", "someone could not sign in");
            // An address without an account may be anything that was typed there.
            if let Some(by) = known {
                let entry = Entry::new(by, Did::SignInFailed, now);
                self.store.record(entry).await.map_err(SignInRefused::Store)?;
            }
            return Err(SignInRefused::Wrong);
        };
        self.throttle.succeeded(&address);
        self.after_password(&person, headers, source, now).await.map_err(SignInRefused::Store)
    }

    /// Ends the session that the request carries, and a sign-in half-way.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn sign_out(&self, headers: &HeaderMap, source: &str, now: i64) -> Result<(), StoreError> {
        if let Some(secret) = half_secret(headers) {
            self.store.end_second_step(secret.bytes()).await?;
        }
        match session_secret(headers) {
            Some(secret) => self.store.end_session(secret.bytes(), source.to_owned(), now).await,
            None => Ok(()),
        }
    }

    /// Whose one-time link this is, while it is valid.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn link_owner(&self, link: &str, now: i64) -> Result<Option<Person>, StoreError> {
        match Secret::parse(link) {
            Some(secret) => self.store.link_owner(secret.bytes(), now).await,
            None => Ok(None),
        }
    }

    /// Sets the password of a link's owner and lets them in, as far as the second step where there is one; the inner `None` means that the link is not valid.
    ///
    /// # Errors
    /// When the password is not taken; the inner one when the store cannot be used.
    pub async fn set_password(
        &self,
        link: &str,
        password: String,
        headers: &HeaderMap,
        source: &str,
        now: i64,
    ) -> Result<Result<Option<Entered>, StoreError>, PasswordRefused> {
        let Some(secret) = Secret::parse(link) else { return Ok(Ok(None)) };
        let hash = self.passwords.hash(password).await?;
        Ok(match self.store.set_password_by_link(secret.bytes(), hash, source.to_owned(), now).await {
            Ok(Some(person)) => self.after_password(&person, headers, source, now).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        })
    }

    pub(super) async fn begin(
        &self,
        person: &Person,
        headers: &HeaderMap,
        source: &str,
        now: i64,
    ) -> Result<Session, StoreError> {
        let secret = Secret::random().map_err(|error| StoreError::Sqlite(error.to_string()))?;
        let before = session_secret(headers);
        let before = before.as_ref().map(Secret::bytes);
        self.store.begin_session(person.id, secret.bytes(), before, by(person, source), now).await?;
        Ok(Session(secret))
    }
}

/// How somebody stands in the record who is not signed in yet.
pub(super) fn by(person: &Person, source: &str) -> By {
    By { person: Some(person.id), name: person.email.clone(), source: source.to_owned() }
}

/// One that was used in the future is of a clock that was set back since, and nobody can say how old it is.
fn is_fresh(asking: &Asking, now: i64) -> bool {
    let (unused, age) = (now - asking.last_seen_at, now - asking.made_at);
    (-SET_BACK..IDLE).contains(&unused) && (-SET_BACK..ABSOLUTE).contains(&age)
}

pub(super) fn session_secret(headers: &HeaderMap) -> Option<Secret> {
    cookie(headers, COOKIE_NAME)
}

/// The secret in a cookie of this name.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<Secret> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).and_then(|(_, value)| Secret::parse(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    const NOW: i64 = 1_795_000_000_000_000;

    async fn visitors_and_person(folder: &std::path::Path) -> (Visitors, i64) {
        let store = Store::serve(folder, NOW).unwrap();
        let visitors = Visitors::new(store.clone(), RequiredOf::Only(Vec::new()));
        let hash = visitors.passwords.hash("three random words".into()).await.unwrap();
        let email = "a@example.gov.uk".to_owned();
        let person = store.add_person(email, Role::Caseworker, Services::All, Some(hash), By::itself(), NOW).await;
        let person = person.unwrap();
        (visitors, person)
    }

    async fn session(visitors: &Visitors) -> HeaderMap {
        let password = "three random words".to_owned();
        let entered = visitors.sign_in("A@example.gov.uk", password, &HeaderMap::new(), "", NOW).await.ok().unwrap();
        let Entered::SignedIn(session) = entered else { panic!("there is no second step") };
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&session.cookie()).unwrap())])
    }

    #[tokio::test]
    async fn a_session_ends_after_half_an_hour_without_use() {
        let folder = tempfile::tempdir().unwrap();
        let (visitors, _) = visitors_and_person(folder.path()).await;
        let headers = session(&visitors).await;
        assert!(visitors.recognise(&headers, "", NOW + IDLE - SECOND).await.is_ok());
        assert!(visitors.recognise(&headers, "", NOW + 2 * IDLE - 2 * SECOND).await.is_ok(), "the use before counts");
        let long_after = NOW + 3 * IDLE - 2 * SECOND;
        assert!(matches!(visitors.recognise(&headers, "", long_after).await, Err(NotSignedIn::NoSession)));
    }

    #[tokio::test]
    async fn a_session_ends_after_eight_hours_of_use() {
        let folder = tempfile::tempdir().unwrap();
        let (visitors, _) = visitors_and_person(folder.path()).await;
        let headers = session(&visitors).await;
        for use_at in (NOW..NOW + ABSOLUTE).step_by(usize::try_from(IDLE / 2).unwrap()) {
            assert!(visitors.recognise(&headers, "", use_at).await.is_ok());
        }
        assert!(visitors.recognise(&headers, "", NOW + ABSOLUTE - 1).await.is_ok());
        assert!(visitors.recognise(&headers, "", NOW + ABSOLUTE).await.is_err());
    }

    #[tokio::test]
    async fn a_session_ends_when_the_clock_is_set_back_by_more_than_a_little() {
        let folder = tempfile::tempdir().unwrap();
        let (visitors, _) = visitors_and_person(folder.path()).await;
        let headers = session(&visitors).await;
        assert!(visitors.recognise(&headers, "", NOW - MINUTE).await.is_ok());
        assert!(visitors.recognise(&headers, "", NOW - MINUTE - 1).await.is_err());
    }

    #[tokio::test]
    async fn a_one_time_link_works_once_and_until_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let (visitors, person) = visitors_and_person(folder.path()).await;
        let (link, expires) = (Secret::random().unwrap(), NOW + 60 * MINUTE);
        visitors.store.add_one_time_link(person, link.bytes(), expires, By::itself(), NOW).await.unwrap();
        let link = link.text();
        let owned = async |now| visitors.link_owner(&link, now).await.unwrap().is_some();
        assert!(owned(expires - 1).await);
        assert!(!owned(expires).await);
        let set = async |now| visitors.set_password(&link, "another password".into(), &HeaderMap::new(), "", now).await;
        assert!(set(expires).await.unwrap().unwrap().is_none(), "too late");
        assert!(set(NOW).await.unwrap().unwrap().is_some());
        assert!(set(NOW).await.unwrap().unwrap().is_none(), "it was used");
    }
}
