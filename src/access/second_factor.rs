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
    /// The network address that the request came from.
    source: String,
}

impl HalfWay {
    /// How this person stands in the record.
    pub(super) fn codes(&self) -> Codes {
        Codes::of(&self.person.email, &self.source)
    }

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
    /// Where somebody goes who has given the right password.
    pub(super) async fn after_password(
        &self,
        person: &Person,
        headers: &HeaderMap,
        source: &str,
        now: i64,
    ) -> Result<Entered, StoreError> {
        let has_app = self.store.second_factor(person.id).await?.is_some();
        let step = if has_app || !self.store.passkeys(person.id).await?.is_empty() {
            Step::Code
        } else if self.required_of.includes(person.role) {
            Step::SetUp
        } else {
            return self.begin(person, false, headers, source, now).await.map(Entered::SignedIn);
        };
        let (secret, before) = (random()?, half_secret(headers));
        self.store.begin_second_step(person.id, secret.bytes(), before.as_ref().map(Secret::bytes), now).await?;
        Ok(Entered::Half(Half(secret), step))
    }

    /// Who sends a request with these headers from this network address, where that is somebody between the two steps.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn half_way(&self, headers: &HeaderMap, source: &str, now: i64) -> Result<Option<HalfWay>, StoreError> {
        match half_secret(headers) {
            Some(secret) => self.half_way_by(secret, source, now).await,
            None => Ok(None),
        }
    }

    /// The same of a sign-in that has just gone half-way.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn half_way_of(&self, half: &Half, source: &str, now: i64) -> Result<Option<HalfWay>, StoreError> {
        self.half_way_by(half.0.clone(), source, now).await
    }

    async fn half_way_by(&self, secret: Secret, source: &str, now: i64) -> Result<Option<HalfWay>, StoreError> {
        let found = self.store.pending_sign_in(secret.bytes(), now).await?;
        let found = found.filter(|pending| self.may_use_password(&pending.person));
        let source = source.to_owned();
        Ok(found.map(|PendingSignIn { person, second_factor, passkeys }| HalfWay {
            secret,
            person,
            second_factor,
            passkeys,
            source,
        }))
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
    pub fn offer_half_way(&self, who: &HalfWay) -> Offer {
        self.offer_to(&who.secret, &who.person.email)
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

    /// What somebody who is signed in can set up, in the place of what they have or as the first.
    #[must_use]
    pub fn offer(&self, who: &Caseworker, headers: &HeaderMap) -> Option<Offer> {
        session_secret(headers).map(|secret| self.offer_to(&secret, who.email()))
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
        self.begin_code(&Codes::of(who.email(), &who.source), now)?;
        let offered = session_secret(headers).ok_or(NotTaken::TooLate)?;
        let (factor, recovery_codes) = self.confirmed(&offered, typed, now)?.ok_or(NotTaken::Code)?;
        let new = NewSecret::of(headers)?;
        self.store.set_second_factor(who.id, factor, new.opening(who.by(), now)).await?;
        self.throttle.succeeded(Codes::of(who.email(), &who.source).tried());
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
        now: i64,
    ) -> Result<Vec<String>, NotTaken> {
        self.check_password(who, password, now).await?;
        let codes = recovery_codes().map_err(no_randomness)?;
        let shown = codes.iter().map(|code| authenticator::shown(code)).collect();
        self.store.set_recovery_codes(who.id, codes, who.by(), now).await?;
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
        self.store.change_password(who.id, hash, new.opening(who.by(), now), with_second_factor).await?;
        Ok(self.begun(new, who.id, headers, now).await)
    }

    /// Whether somebody who is signed in knows their password.
    pub(super) async fn check_password(&self, who: &Caseworker, password: &str, now: i64) -> Result<(), NotTaken> {
        // Apart from tries to sign in: nobody else's keep waiting who is signed in.
        let counted = Codes { name: format!(" password of {}", who.email()), source: who.source.parse().ok() };
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

    /// A try with a code counts as failed until it has succeeded, as one with a password does, and apart from those.
    pub(super) fn begin_code(&self, codes: &Codes, now: i64) -> Result<(), NotTaken> {
        self.throttle.begin(codes.tried(), now).map_err(NotTaken::Wait)
    }

    pub(super) async fn taken(&self, who: &HalfWay, new: NewSecret, headers: &HeaderMap, now: i64) -> Session {
        self.throttle.succeeded(who.codes().tried());
        self.begun(new, who.person.id, headers, now).await
    }

    fn offer_to(&self, holder: &Secret, email: &str) -> Offer {
        let secret = self.store.offered_secret(holder.bytes());
        Offer { text: authenticator::text(&secret), uri: authenticator::uri(&secret, email) }
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
        let recovery_codes = recovery_codes().map_err(no_randomness)?;
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).map_err(no_randomness)?;
        let shown = recovery_codes.iter().map(|code| authenticator::shown(code)).collect();
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
    source: Option<IpAddr>,
}

impl Codes {
    pub(super) fn of(email: &str, source: &str) -> Codes {
        Codes { name: format!(" codes of {email}"), source: source.parse().ok() }
    }

    pub(super) fn tried(&self) -> Try<'_> {
        Try { address: &self.name, known: None, source: self.source }
    }
}

fn no_randomness(error: getrandom::Error) -> StoreError {
    StoreError::Sqlite(error.to_string())
}

pub(super) fn half_secret(headers: &HeaderMap) -> Option<Secret> {
    cookie(headers, COOKIE_NAME)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::COOKIE;

    use super::*;
    use crate::clock::{MINUTE, SECOND};
    use crate::store::{Services, Store};

    const NOW: i64 = 1_795_000_000_000_000;
    const EMAIL: &str = "a@example.gov.uk";

    async fn visitors(folder: &std::path::Path) -> Visitors {
        let store = Store::serve(folder, NOW).unwrap();
        let visitors = Visitors::new(store.clone(), RequiredOf::All);
        let hash = visitors.passwords.hash("three random words", EMAIL).await.unwrap();
        store.add_person(EMAIL.into(), Role::Caseworker, Services::All, Some(hash), By::itself(), NOW).await.unwrap();
        visitors
    }

    /// What a browser sends after the password.
    async fn half(visitors: &Visitors, now: i64) -> HeaderMap {
        let entered = visitors.sign_in(EMAIL, "three random words", &HeaderMap::new(), "", now).await.ok().unwrap();
        let Entered::Half(half, _) = entered else { panic!("there is a second step") };
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&half.cookie()).unwrap())])
    }

    async fn set_up(visitors: &Visitors) -> Vec<u8> {
        let headers = half(visitors, NOW).await;
        let who = visitors.half_way(&headers, "", NOW).await.unwrap().unwrap();
        assert_eq!(who.step(), Step::SetUp);
        let secret = visitors.store.offered_secret(who.secret.bytes());
        let code = code(&secret, NOW);
        assert!(visitors.sign_in_by_set_up(&who, &code, &headers, NOW).await.is_ok());
        secret
    }

    fn code(secret: &[u8], now: i64) -> String {
        let seconds = u64::try_from(now / SECOND).unwrap();
        totp_rs::Builder::new().with_secret(secret.to_vec()).build().unwrap().generate(seconds).to_string()
    }

    async fn given(visitors: &Visitors, code: &str, now: i64) -> Result<Session, NotTaken> {
        let headers = half(visitors, now).await;
        let who = visitors.half_way(&headers, "", now).await.unwrap().unwrap();
        visitors.sign_in_by_code(&who, code, &headers, now).await
    }

    #[tokio::test]
    async fn a_code_is_taken_once_and_none_from_before_it_after_that() {
        let folder = tempfile::tempdir().unwrap();
        let visitors = visitors(folder.path()).await;
        let secret = set_up(&visitors).await;
        let own = code(&secret, NOW);
        assert!(matches!(given(&visitors, &own, NOW).await, Err(NotTaken::Used)), "it showed that the app works");
        let later = NOW + 60 * SECOND;
        let (before, now, next) =
            (code(&secret, later - 30 * SECOND), code(&secret, later), code(&secret, later + 30 * SECOND));
        assert!(given(&visitors, &now, later).await.is_ok());
        assert!(matches!(given(&visitors, &now, later).await, Err(NotTaken::Used)));
        assert!(matches!(given(&visitors, &before, later).await, Err(NotTaken::Used)));
        assert!(given(&visitors, &next, later).await.is_ok());
        assert!(matches!(given(&visitors, &next, later + 90 * SECOND).await, Err(NotTaken::Code)));
    }

    #[tokio::test]
    async fn there_are_ten_minutes_for_the_second_step() {
        let folder = tempfile::tempdir().unwrap();
        let visitors = visitors(folder.path()).await;
        let headers = half(&visitors, NOW).await;
        let is_open = async |now| visitors.half_way(&headers, "", now).await.unwrap().is_some();
        assert!(is_open(NOW + 10 * MINUTE - 1).await);
        assert!(!is_open(NOW + 10 * MINUTE).await);
        assert!(!is_open(NOW - MINUTE).await, "the clock was set back");
        let who = visitors.half_way(&headers, "", NOW).await.unwrap().unwrap();
        let late = NOW + 10 * MINUTE;
        let code = code(&visitors.store.offered_secret(who.secret.bytes()), late);
        let done = visitors.sign_in_by_set_up(&who, &code, &headers, late).await;
        assert!(matches!(done, Err(NotTaken::TooLate)));
    }

    #[tokio::test]
    async fn of_two_who_give_the_same_code_at_once_one_is_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let visitors = visitors(folder.path()).await;
        let secret = set_up(&visitors).await;
        let later = NOW + 60 * SECOND;
        let code = code(&secret, later);
        let (one, other) = tokio::join!(given(&visitors, &code, later), given(&visitors, &code, later));
        assert_eq!([one.is_ok(), other.is_ok()].into_iter().filter(|taken| *taken).count(), 1);
    }

    #[tokio::test]
    async fn after_four_wrong_codes_the_right_one_has_to_wait_and_the_password_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let visitors = visitors(folder.path()).await;
        let secret = set_up(&visitors).await;
        let later = NOW + 60 * SECOND;
        for _ in 0..4 {
            assert!(matches!(given(&visitors, "none", later).await, Err(NotTaken::Code)));
        }
        let right = code(&secret, later);
        assert!(matches!(given(&visitors, &right, later).await, Err(NotTaken::Wait(1))));
        let headers = half(&visitors, later).await;
        let who = visitors.half_way(&headers, "", later).await.unwrap().unwrap();
        let by_recovery_code = visitors.sign_in_by_recovery_code(&who, "none", &headers, later).await;
        assert!(matches!(by_recovery_code, Err(NotTaken::Wait(1))), "they are counted together");
        assert!(given(&visitors, &right, later + SECOND).await.is_ok());
    }

    #[test]
    fn it_is_required_of_all_or_none_or_some_roles() {
        let of = |typed: &str| Role::ALL.map(|role| typed.parse::<RequiredOf>().unwrap().includes(role));
        assert_eq!(of("all"), [true; 4]);
        assert_eq!(of("none"), [false; 4]);
        assert_eq!(of("manager, admin"), [false, false, true, true]);
        for wrong in ["", "boss", "admin,", "none,admin", "All"] {
            assert!(wrong.parse::<RequiredOf>().is_err(), "{wrong}");
        }
    }
}
