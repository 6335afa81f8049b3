//! The second step of a sign-in, and what a person changes about their own second factor and password.
//!
//! Between the steps a browser holds a secret that opens nothing but the second one. Codes are throttled as passwords are, and
//! whoever changes something gives their password again.

use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderMap;

use super::authenticator::{self, recovery_codes};
use super::password::PasswordRefused;
use super::secret::Secret;
use super::throttle::Try;
use super::visitors::{Caseworker, NewSecret, Session, Visitors, by, cookie, random, session_secret};
use super::webauthn::PasskeyRefused;
use crate::store::{
    By, Did, Entry, NewSecondFactor, Passkey, PendingSignIn, Person, Role, SecondFactor, StoreError, Taken,
};

/// The name of the cookie between the two steps.
const COOKIE_NAME: &str = "__Host-counterfoil-sign-in";

/// Who must have a second factor. Whoever has one without that must give it all the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequiredOf {
    /// Everybody.
    All,
    /// Those with these roles.
    Only(Vec<Role>),
}

impl RequiredOf {
    /// Whether it is required of this role.
    #[must_use]
    pub fn includes(&self, role: Role) -> bool {
        match self {
            RequiredOf::All => true,
            RequiredOf::Only(roles) => roles.contains(&role),
        }
    }
}

impl FromStr for RequiredOf {
    type Err = String;

    fn from_str(typed: &str) -> Result<RequiredOf, String> {
        match typed.trim() {
            "all" => Ok(RequiredOf::All),
            "none" => Ok(RequiredOf::Only(Vec::new())),
            roles => roles.split(',').map(|role| role.trim().parse()).collect::<Result<_, _>>().map(RequiredOf::Only),
        }
    }
}

/// What the right password leads to.
pub enum Entered {
    /// Nothing more is asked.
    SignedIn(Session),
    /// The second step.
    Half(Half, Step),
}

/// What is asked for in the second step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A code of the second factor, or a passkey.
    Code,
    /// To set one up.
    SetUp,
}

/// A sign-in half-way, to be given to the browser.
pub struct Half(pub(super) Secret);

impl Half {
    /// The `Set-Cookie` value that lets the browser take the second step.
    #[must_use]
    pub fn cookie(&self) -> String {
        format!("{COOKIE_NAME}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600", self.0.text())
    }

    /// The `Set-Cookie` value that takes that away.
    #[must_use]
    pub fn end_cookie() -> &'static str {
        "__Host-counterfoil-sign-in=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
    }
}

/// Somebody who has given the right password, and nothing more yet.
pub struct HalfWay {
    pub(super) secret: Secret,
    pub(super) person: Person,
    second_factor: Option<SecondFactor>,
    pub(super) passkeys: Vec<Passkey>,
    /// The browser, where the account was signed in with it before.
    browser: Option<Secret>,
    /// The network address that the request came from.
    source: String,
}

impl HalfWay {
    pub(super) fn codes(&self) -> Codes {
        Codes::of(&self.person.email, self.browser.clone(), &self.source)
    }

    /// How this person stands in the record.
    pub(super) fn by(&self) -> By {
        by(&self.person, &self.source)
    }

    /// The address that was signed in with.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.person.email
    }

    /// What is asked for.
    #[must_use]
    pub fn step(&self) -> Step {
        if self.has_app() || self.has_passkey() { Step::Code } else { Step::SetUp }
    }

    /// Whether a code of an app will do.
    #[must_use]
    pub fn has_app(&self) -> bool {
        self.second_factor.is_some()
    }

    /// Whether a passkey will do.
    #[must_use]
    pub fn has_passkey(&self) -> bool {
        !self.passkeys.is_empty()
    }
}

/// A second factor that can be set up.
pub struct Offer {
    /// The secret, to be typed into an app.
    pub text: String,
    /// The same for an app that reads QR codes.
    pub uri: String,
}

/// A second factor was set up: the session that is new, and the recovery codes, which are shown once.
pub struct SetUp {
    /// The session.
    pub session: Session,
    /// As they are shown.
    pub recovery_codes: Vec<String>,
}

/// Why something that a person gave was not taken.
#[derive(Debug)]
pub enum NotTaken {
    /// The present password is wrong.
    Password,
    /// The new password cannot be one.
    NewPassword(PasswordRefused),
    /// The passkey is not taken.
    Passkey(PasskeyRefused),
    /// The code is wrong.
    Code,
    /// The code is right and was used before.
    Used,
    /// The sign-in took too long, or something changed meanwhile.
    TooLate,
    /// One does this for others, and for oneself elsewhere.
    OwnAccount,
    /// Too many failures: so many seconds must pass first.
    Wait(i64),
    /// It could not be done.
    Store(StoreError),
}

impl From<StoreError> for NotTaken {
    fn from(error: StoreError) -> NotTaken {
        NotTaken::Store(error)
    }
}

impl From<PasskeyRefused> for NotTaken {
    fn from(refused: PasskeyRefused) -> NotTaken {
        NotTaken::Passkey(refused)
    }
}

impl Visitors {
    /// Where somebody goes who has given the right password; `None` where their account has changed meanwhile, so that it lets nobody
    /// in.
    pub(super) async fn after_password(
        &self,
        person: &Person,
        headers: &HeaderMap,
        source: &str,
        now: i64,
    ) -> Result<Option<Entered>, StoreError> {
        let has_app = self.store.second_factor(person.id).await?.is_some();
        let step = if has_app || !self.store.passkeys(person.id).await?.is_empty() {
            Step::Code
        } else if self.required_of.includes(person.role) {
            Step::SetUp
        } else {
            return Ok(self.begin(person, false, headers, source, now).await?.map(Entered::SignedIn));
        };
        let (secret, before) = (random()?, half_secret(headers));
        let before = before.as_ref().map(Secret::bytes);
        let begun = self.store.begin_second_step(person, secret.bytes(), before, now).await?;
        Ok(begun.then_some(Entered::Half(Half(secret), step)))
    }

    /// Who sends a request with these headers from this network address, where that is somebody between the two steps.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn half_way(&self, headers: &HeaderMap, source: &str, now: i64) -> Result<Option<HalfWay>, StoreError> {
        match half_secret(headers) {
            Some(secret) => self.half_way_by(secret, headers, source, now).await,
            None => Ok(None),
        }
    }

    /// The same of a sign-in that has just gone half-way.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn half_way_of(
        &self,
        half: &Half,
        headers: &HeaderMap,
        source: &str,
        now: i64,
    ) -> Result<Option<HalfWay>, StoreError> {
        self.half_way_by(half.0.clone(), headers, source, now).await
    }

    async fn half_way_by(
        &self,
        secret: Secret,
        headers: &HeaderMap,
        source: &str,
        now: i64,
    ) -> Result<Option<HalfWay>, StoreError> {
        let found = self.store.pending_sign_in(secret.bytes(), now).await?;
        let Some(found) = found.filter(|pending| self.may_use_password(&pending.person)) else { return Ok(None) };
        let PendingSignIn { person, second_factor, passkeys } = found;
        let (browser, source) = (self.known_browser(&person.email, headers, now).await?, source.to_owned());
        Ok(Some(HalfWay { secret, person, second_factor, passkeys, browser, source }))
    }

    /// Begins the session of whoever gives a code that their app shows.
    ///
    /// # Errors
    /// When the code is not taken.
    pub async fn sign_in_by_code(
        &self,
        who: &HalfWay,
        typed: &str,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<Session, NotTaken> {
        self.begin_code(&who.codes(), now)?;
        let factor = who.second_factor.as_ref().ok_or(NotTaken::TooLate)?;
        let Some(secret) = factor.secret.as_deref() else {
            tracing::error!(
                event = "access.second_factor_sealed",
                "someone cannot sign in: their second factor was kept under another key file. Bring counterfoil.key back from where the \
                 store was before, or run counterfoil user reset-second-factor"
            );
            return Err(self.failed(who, now).await);
        };
        let Some(step) = authenticator::step(secret, typed, now) else { return Err(self.failed(who, now).await) };
        let new = NewSecret::of(headers)?;
        match self.store.sign_in_by_code(who.secret.bytes(), step, new.opening(who.by(), now)).await? {
            Taken::Yes => Ok(self.taken(who, new, headers, now).await),
            Taken::No => {
                self.failed(who, now).await;
                Err(NotTaken::Used)
            }
            Taken::TooLate => Err(NotTaken::TooLate),
        }
    }

    /// Begins the session of whoever gives one of their recovery codes.
    ///
    /// # Errors
    /// When the code is not taken.
    pub async fn sign_in_by_recovery_code(
        &self,
        who: &HalfWay,
        typed: &str,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<Session, NotTaken> {
        self.begin_code(&who.codes(), now)?;
        let code = authenticator::recovery_code(typed);
        let new = NewSecret::of(headers)?;
        match self.store.sign_in_by_recovery_code(who.secret.bytes(), &code, new.opening(who.by(), now)).await? {
            Taken::Yes => Ok(self.taken(who, new, headers, now).await),
            Taken::No => Err(self.failed(who, now).await),
            Taken::TooLate => Err(NotTaken::TooLate),
        }
    }

    /// What somebody between the steps who has no second factor can set up.
    #[must_use]
    pub fn offer_half_way(&self, who: &HalfWay, service: &str) -> Offer {
        self.offer_to(&who.secret, &who.person.email, service)
    }

    /// Sets up the first second factor of somebody between the steps, and begins the session.
    ///
    /// # Errors
    /// When the code is not one of the secret that was offered, or there is a second factor by now.
    pub async fn sign_in_by_set_up(
        &self,
        who: &HalfWay,
        typed: &str,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<SetUp, NotTaken> {
        self.begin_code(&who.codes(), now)?;
        let Some((factor, recovery_codes)) = self.confirmed(&who.secret, typed, now)? else {
            return Err(self.failed(who, now).await);
        };
        let new = NewSecret::of(headers)?;
        match self.store.sign_in_by_set_up(who.secret.bytes(), factor, new.opening(who.by(), now)).await? {
            Taken::Yes => Ok(SetUp { session: self.taken(who, new, headers, now).await, recovery_codes }),
            Taken::No | Taken::TooLate => Err(NotTaken::TooLate),
        }
    }

    /// The second factor of somebody who is signed in.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn second_factor(&self, who: &Caseworker) -> Result<Option<SecondFactor>, StoreError> {
        self.store.second_factor(who.id).await
    }

    /// How many recovery codes somebody who is signed in has left; `None` where they have nothing that those stand in for, or no
    /// password.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn recovery_codes(&self, who: &Caseworker) -> Result<Option<usize>, StoreError> {
        let has_one = who.has_password()
            && (self.store.second_factor(who.id).await?.is_some() || !self.store.passkeys(who.id).await?.is_empty());
        if has_one { self.store.recovery_codes(who.id).await.map(Some) } else { Ok(None) }
    }

    /// What somebody who is signed in can set up, in the place of what they have or as the first.
    #[must_use]
    pub fn offer(&self, who: &Caseworker, headers: &HeaderMap, service: &str) -> Option<Offer> {
        session_secret(headers).map(|secret| self.offer_to(&secret, who.email(), service))
    }

    /// Sets up a second factor for somebody who is signed in. Their other sessions end.
    ///
    /// # Errors
    /// When the password or the code is not right.
    pub async fn set_up(
        &self,
        who: &Caseworker,
        password: &str,
        typed: &str,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<SetUp, NotTaken> {
        self.check_password(who, password, now).await?;
        let codes = Codes::of(who.email(), self.known_browser(who.email(), headers, now).await?, &who.source);
        self.begin_code(&codes, now)?;
        let offered = session_secret(headers).ok_or(NotTaken::TooLate)?;
        let (factor, recovery_codes) = self.confirmed(&offered, typed, now)?.ok_or(NotTaken::Code)?;
        let new = NewSecret::of(headers)?;
        if self.store.set_second_factor(who.id, factor, new.opening(who.by(), now)).await? != Taken::Yes {
            return Err(NotTaken::TooLate);
        }
        self.throttle.succeeded(codes.tried());
        Ok(SetUp { session: self.begun(new, who.id, headers, now).await, recovery_codes })
    }

    /// New recovery codes, as they are shown; those before work no more.
    ///
    /// # Errors
    /// When the password is not right.
    pub async fn renew_recovery_codes(
        &self,
        who: &Caseworker,
        password: &str,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<Vec<String>, NotTaken> {
        self.check_password(who, password, now).await?;
        let holder = session_secret(headers).ok_or(NotTaken::TooLate)?;
        let (codes, shown) = new_codes()?;
        in_time(self.store.set_recovery_codes((who.id, holder.bytes()), codes, who.by(), now).await?)?;
        Ok(shown)
    }

    /// Changes the password of somebody who knows the present one. Their other sessions end.
    ///
    /// # Errors
    /// When the present password is wrong, or the new one cannot be one.
    pub async fn change_password(
        &self,
        who: &Caseworker,
        present: &str,
        chosen: &str,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<Session, NotTaken> {
        self.check_password(who, present, now).await?;
        let hash = self.passwords.hash(chosen, who.email()).await.map_err(NotTaken::NewPassword)?;
        let (new, with_second_factor) = (NewSecret::of(headers)?, who.with_second_factor);
        let opening = new.opening(who.by(), now);
        if self.store.change_password(who.id, hash, opening, with_second_factor).await? != Taken::Yes {
            return Err(NotTaken::TooLate);
        }
        Ok(self.begun(new, who.id, headers, now).await)
    }

    /// Whether somebody who is signed in knows their password.
    pub(super) async fn check_password(&self, who: &Caseworker, password: &str, now: i64) -> Result<(), NotTaken> {
        // Apart from tries to sign in: nobody else's keep waiting who is signed in.
        let name = format!(" password of {}", who.email());
        let counted = Codes { name, browser: None, source: who.source.parse().ok() };
        let place = self.passwords.place(true).ok_or(StoreError::Full)?;
        self.throttle.begin(counted.tried(), now).map_err(NotTaken::Wait)?;
        let person = self.store.person(who.email()).await?;
        let kept = person.and_then(|person| person.password);
        match self.passwords.verify(place, password, kept).await {
            Some(true) => self.throttle.succeeded(counted.tried()),
            Some(false) => {
                self.store.record(who.did(Did::PasswordNotConfirmed, now)).await?;
                return Err(NotTaken::Password);
            }
            None => return Err(StoreError::Full.into()),
        }
        Ok(())
    }

    /// Whether somebody who is signed in may change how another person signs in: not from a session that was left alone, and for
    /// themselves on the pages of their own account. Who comes in by single sign-on alone has no password that could be asked for.
    ///
    /// # Errors
    /// When it is their own account, or the password is wrong.
    pub async fn confirm_for(
        &self,
        who: &Caseworker,
        person: i64,
        password: Option<&str>,
        now: i64,
    ) -> Result<(), NotTaken> {
        match password {
            _ if who.id == person => Err(NotTaken::OwnAccount),
            _ if !who.has_password() => Ok(()),
            None => Err(NotTaken::Password),
            Some(password) => self.check_password(who, password, now).await,
        }
    }

    /// A try with a code counts as failed until it has succeeded, as one with a password does, and apart from those.
    pub(super) fn begin_code(&self, codes: &Codes, now: i64) -> Result<(), NotTaken> {
        self.throttle.begin(codes.tried(), now).map_err(NotTaken::Wait)
    }

    pub(super) async fn taken(&self, who: &HalfWay, new: NewSecret, headers: &HeaderMap, now: i64) -> Session {
        self.throttle.succeeded(who.codes().tried());
        self.begun(new, who.person.id, headers, now).await
    }

    fn offer_to(&self, holder: &Secret, email: &str, service: &str) -> Offer {
        let secret = self.store.offered_secret(holder.bytes());
        Offer { text: authenticator::text(&secret), uri: authenticator::uri(&secret, email, service) }
    }

    /// The second factor that was offered, where the code shows that an app has it, with recovery codes as they are shown.
    fn confirmed(
        &self,
        holder: &Secret,
        typed: &str,
        now: i64,
    ) -> Result<Option<(NewSecondFactor, Vec<String>)>, StoreError> {
        let secret = self.store.offered_secret(holder.bytes());
        let Some(step) = authenticator::step(&secret, typed, now) else { return Ok(None) };
        let (recovery_codes, shown) = new_codes()?;
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).map_err(no_randomness)?;
        Ok(Some((NewSecondFactor { secret, nonce, step, recovery_codes }, shown)))
    }

    /// Writes down that the second step went wrong.
    async fn failed(&self, who: &HalfWay, now: i64) -> NotTaken {
        tracing::warn!(
            event = "access.second_step_failed",
            "someone gave a wrong code in the second step of a sign-in"
        );
        self.count_failure(Some(who.person.id), &who.source, now);
        let entry = Entry::new(who.by(), Did::SecondStepFailed, now);
        self.store.record(entry).await.map_or_else(NotTaken::Store, |()| NotTaken::Code)
    }
}

/// What codes are throttled by. No typed address begins so.
pub(super) struct Codes {
    name: String,
    /// The browser, where the account was signed in with it before: nobody else's failures keep it waiting.
    browser: Option<Secret>,
    source: Option<IpAddr>,
}

impl Codes {
    pub(super) fn of(email: &str, browser: Option<Secret>, source: &str) -> Codes {
        Codes { name: format!(" codes of {email}"), browser, source: source.parse().ok() }
    }

    pub(super) fn tried(&self) -> Try<'_> {
        Try { address: &self.name, known: self.browser.as_ref(), source: self.source }
    }
}

/// Whether the session that asked was still there.
pub(super) fn in_time(taken: Taken) -> Result<(), NotTaken> {
    if taken == Taken::TooLate { Err(NotTaken::TooLate) } else { Ok(()) }
}

/// New recovery codes, as they are kept and as they are shown.
pub(super) fn new_codes() -> Result<(Vec<String>, Vec<String>), StoreError> {
    let codes = recovery_codes().map_err(no_randomness)?;
    let shown = codes.iter().map(|code| authenticator::shown(code)).collect();
    Ok((codes, shown))
}

fn no_randomness(error: getrandom::Error) -> StoreError {
    StoreError::Sqlite(error.to_string())
}

pub(super) fn half_secret(headers: &HeaderMap) -> Option<Secret> {
    cookie(headers, COOKIE_NAME)
}

#[cfg(test)]
mod tests;
