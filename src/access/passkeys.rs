//! Passkeys: adding one to an account, and signing in with one, after the password or in its place.
//!
//! A challenge is answered within minutes, once, for one purpose and by the browser that it was made for: it carries the mark of
//! all of that, so that nothing is kept before it is answered.

use http::HeaderMap;
use subtle::ConstantTimeEq as _;

use super::second_factor::{Codes, Half, HalfWay, NotTaken, SetUp, half_secret, in_time, new_codes};
use super::secret::Secret;
use super::visitors::{Caseworker, NewSecret, Session, Visitors, browser_of, by, random, session_secret};
use super::webauthn::{Assertion, Creation, PasskeyRefused, RelyingParty, Shown};
use crate::clock::MINUTE;
use crate::store::{Added, Challenge, Did, Entry, NewPasskey, Passkey, StoreError, Use, UseTaken};

/// How long a challenge may be answered.
const OPEN: i64 = 5 * MINUTE;
/// The longest name, in characters.
const LONGEST_NAME: usize = 60;

/// What a challenge is for.
#[derive(Clone, Copy)]
enum Purpose {
    Add = 1,
    SecondStep = 2,
    Alone = 3,
    First = 4,
}

/// What an authenticator is asked for a new passkey.
pub struct CreationAsked {
    /// To be signed.
    pub challenge: Vec<u8>,
    /// What authenticators call the person.
    pub user_handle: Vec<u8>,
    /// The passkeys that are there already.
    pub held: Vec<Vec<u8>>,
    /// What the passkey is to be called.
    pub name: String,
}

/// What an authenticator is asked for a sign-in.
pub struct UseAsked {
    /// To be signed.
    pub challenge: Vec<u8>,
    /// The passkeys that will do; any where there are none.
    pub of: Vec<Vec<u8>>,
    /// Whether the authenticator has to check its owner.
    pub verified: bool,
}

impl Visitors {
    /// The passkeys of somebody who is signed in.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn passkeys(&self, who: &Caseworker) -> Result<Vec<Passkey>, StoreError> {
        self.store.passkeys(who.id).await
    }

    /// What is asked for a new passkey of somebody who knows their password.
    ///
    /// # Errors
    /// When the password is wrong, or the name is none.
    pub async fn ask_for_passkey(
        &self,
        who: &Caseworker,
        name: &str,
        password: &str,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<CreationAsked, NotTaken> {
        let name = passkey_name(name)?;
        self.check_password(who, password, now).await?;
        let holder = session_secret(headers).ok_or(NotTaken::TooLate)?;
        let held = self.store.passkeys(who.id).await?;
        let user_handle = match held.first() {
            Some(passkey) => passkey.user_handle.clone(),
            None => random()?.bytes().to_vec(),
        };
        let challenge = self.challenge(Purpose::Add, &holder, &user_handle, now)?;
        let held = held.into_iter().map(|passkey| passkey.credential).collect();
        Ok(CreationAsked { challenge, user_handle, held, name })
    }

    /// Keeps the passkey that was asked for.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn add_passkey(
        &self,
        who: &Caseworker,
        site: &RelyingParty,
        (name, user_handle, creation): (&str, Vec<u8>, &Creation),
        headers: &HeaderMap,
        now: i64,
    ) -> Result<(), NotTaken> {
        let name = passkey_name(name)?;
        let made = site.made(creation)?;
        let holder = session_secret(headers).ok_or(NotTaken::TooLate)?;
        let challenge = self.answered(Purpose::Add, &holder, &user_handle, &made.challenge, now)?;
        let (credential, public_key, sign_count) = (made.credential, made.public_key, made.sign_count);
        let new = NewPasskey { credential, public_key, user_handle, name, sign_count };
        Ok(is_added(self.store.add_passkey((who.id, holder.bytes()), new, challenge, who.by(), now).await?)?)
    }

    /// What is asked for the first passkey of somebody between the steps who has no second factor.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn ask_for_first_passkey(&self, who: &HalfWay, now: i64) -> Result<CreationAsked, StoreError> {
        let user_handle = random()?.bytes().to_vec();
        let challenge = self.challenge(Purpose::First, &who.secret, &user_handle, now)?;
        Ok(CreationAsked { challenge, user_handle, held: Vec::new(), name: String::new() })
    }

    /// Keeps the first passkey of somebody between the steps, and begins the session.
    ///
    /// # Errors
    /// When it is not taken, or there is a second factor by now.
    pub async fn sign_in_by_first_passkey(
        &self,
        who: &HalfWay,
        site: &RelyingParty,
        (user_handle, creation): (Vec<u8>, &Creation),
        headers: &HeaderMap,
        now: i64,
    ) -> Result<SetUp, NotTaken> {
        self.begin_code(&who.codes(), now)?;
        let made = site.made(creation)?;
        let challenge = self.answered(Purpose::First, &who.secret, &user_handle, &made.challenge, now)?;
        // It is made where they sign in, and has a name without being asked for one.
        let name = browser_of(headers).unwrap_or_else(|| "Passkey".into());
        let (credential, public_key, sign_count) = (made.credential, made.public_key, made.sign_count);
        let passkey = NewPasskey { credential, public_key, user_handle, name, sign_count };
        let ((codes, recovery_codes), new) = (new_codes()?, NewSecret::of(headers)?);
        let (pending, opening) = (who.secret.bytes(), new.opening(who.by(), now));
        is_added(self.store.sign_in_by_first_passkey(pending, (passkey, challenge), codes, opening).await?)?;
        Ok(SetUp { session: self.taken(who, new, headers, now).await, recovery_codes })
    }

    /// Gives a passkey of somebody who is signed in another name.
    ///
    /// # Errors
    /// When that is none.
    pub async fn rename_passkey(
        &self,
        who: &Caseworker,
        id: i64,
        name: &str,
        headers: &HeaderMap,
    ) -> Result<(), NotTaken> {
        let (name, holder) = (passkey_name(name)?, session_secret(headers).ok_or(NotTaken::TooLate)?);
        in_time(self.store.rename_passkey((who.id, holder.bytes()), id, name).await?)
    }

    /// Removes a passkey of somebody who knows their password.
    ///
    /// # Errors
    /// When the password is wrong.
    pub async fn remove_passkey(
        &self,
        who: &Caseworker,
        id: i64,
        password: &str,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<(), NotTaken> {
        self.check_password(who, password, now).await?;
        let holder = session_secret(headers).ok_or(NotTaken::TooLate)?;
        in_time(self.store.remove_passkey((who.id, holder.bytes()), id, who.by(), now).await?)
    }

    /// What is asked of somebody between the steps.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn ask_half_way(&self, who: &HalfWay, now: i64) -> Result<UseAsked, StoreError> {
        let challenge = self.challenge(Purpose::SecondStep, &who.secret, &[], now)?;
        let of = who.passkeys.iter().map(|passkey| passkey.credential.clone()).collect();
        Ok(UseAsked { challenge, of, verified: false })
    }

    /// What is asked of somebody who gives no password, and what their browser has to hold for the answer.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn ask_anybody(&self, headers: &HeaderMap, now: i64) -> Result<(UseAsked, Half), StoreError> {
        let holder = half_secret(headers).map_or_else(random, Ok)?;
        let challenge = self.challenge(Purpose::Alone, &holder, &[], now)?;
        Ok((UseAsked { challenge, of: Vec::new(), verified: true }, Half(holder)))
    }

    /// Begins the session of somebody between the steps who has used a passkey of theirs.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn sign_in_by_passkey(
        &self,
        who: &HalfWay,
        site: &RelyingParty,
        assertion: &Assertion,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<Session, NotTaken> {
        self.begin_code(&who.codes(), now)?;
        let refused = match self.used_half_way(who, site, assertion, now) {
            Ok(used) => {
                let new = NewSecret::of(headers)?;
                let opening = new.opening(who.by(), now);
                match self.store.sign_in_by_passkey(Some(who.secret.bytes()), used, opening).await? {
                    UseTaken::Yes => return Ok(self.taken(who, new, headers, now).await),
                    UseTaken::WentBack => PasskeyRefused::WentBack,
                    UseTaken::TooLate => PasskeyRefused::TooLate,
                }
            }
            Err(refused) => refused,
        };
        log(refused);
        self.store.record(Entry::new(who.by(), Did::SecondStepFailed, now).with("passkey")).await?;
        Err(refused.into())
    }

    fn used_half_way(
        &self,
        who: &HalfWay,
        site: &RelyingParty,
        assertion: &Assertion,
        now: i64,
    ) -> Result<Use, PasskeyRefused> {
        let passkey = who.passkeys.iter().find(|passkey| passkey.credential == assertion.credential);
        let passkey = passkey.ok_or(PasskeyRefused::Unknown)?;
        let shown = shown(site, assertion, passkey)?;
        let challenge = self.answered(Purpose::SecondStep, &who.secret, &[], &shown.challenge, now)?;
        Ok(Use { passkey: passkey.id, person: who.person.id, sign_count: shown.sign_count, challenge })
    }

    /// Begins the session of whoever has used a passkey that has checked its owner: it stands for the password and the second step.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn sign_in_by_passkey_alone(
        &self,
        site: &RelyingParty,
        assertion: &Assertion,
        headers: &HeaderMap,
        source: &str,
        now: i64,
    ) -> Result<Session, NotTaken> {
        // It stands for the password, and comes in where that does.
        let owner = self.store.passkey_owner(&assertion.credential).await?;
        let Some((person, passkey)) = owner.filter(|(person, _)| self.may_use_password(person)) else {
            let counted = Codes::of("unknown passkeys", None, source);
            self.begin_code(&counted, now)?;
            return Err(PasskeyRefused::Unknown.into());
        };
        let codes = Codes::of(&person.email, self.known_browser(&person.email, headers, now).await?, source);
        self.begin_code(&codes, now)?;
        let refused = match self.used_alone(site, assertion, &passkey, headers, now) {
            Ok((sign_count, challenge)) => {
                let new = NewSecret::of(headers)?;
                let used = Use { passkey: passkey.id, person: person.id, sign_count, challenge };
                match self.store.sign_in_by_passkey(None, used, new.opening(by(&person, source), now)).await? {
                    UseTaken::Yes => {
                        self.throttle.succeeded(codes.tried());
                        return Ok(self.begun(new, person.id, headers, now).await);
                    }
                    UseTaken::WentBack => PasskeyRefused::WentBack,
                    UseTaken::TooLate => PasskeyRefused::TooLate,
                }
            }
            Err(refused) => refused,
        };
        log(refused);
        self.note_failure(Some(by(&person, source)), source, now);
        Err(refused.into())
    }

    fn used_alone(
        &self,
        site: &RelyingParty,
        assertion: &Assertion,
        passkey: &Passkey,
        headers: &HeaderMap,
        now: i64,
    ) -> Result<(u32, Challenge), PasskeyRefused> {
        let shown = shown(site, assertion, passkey)?;
        if !shown.is_verified {
            return Err(PasskeyRefused::NotVerified);
        }
        let holder = half_secret(headers).ok_or(PasskeyRefused::TooLate)?;
        Ok((shown.sign_count, self.answered(Purpose::Alone, &holder, &[], &shown.challenge, now)?))
    }

    /// Random bytes and the time, with the mark that says for what and whom.
    fn challenge(&self, purpose: Purpose, holder: &Secret, with: &[u8], now: i64) -> Result<Vec<u8>, StoreError> {
        let head = [now.to_be_bytes().as_slice(), random()?.bytes()].concat();
        let mark = self.store.challenge_mark(&marked(purpose, holder, with, &head));
        Ok([head.as_slice(), &mark].concat())
    }

    /// A challenge that was made for this and may still be answered. Whether it was answered before the store knows.
    fn answered(
        &self,
        purpose: Purpose,
        holder: &Secret,
        with: &[u8],
        challenge: &[u8],
        now: i64,
    ) -> Result<Challenge, PasskeyRefused> {
        let (head, found) = challenge.split_at_checked(8 + 32).ok_or(PasskeyRefused::TooLate)?;
        let mark = self.store.challenge_mark(&marked(purpose, holder, with, head));
        let made_at = head.first_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes));
        let is_ours = bool::from(mark.as_slice().ct_eq(found));
        // One that was made in the future is of a clock that was set back since.
        let is_open = is_ours && made_at > now - OPEN && made_at < now + MINUTE;
        if is_open { Ok(Challenge { mark, made_at }) } else { Err(PasskeyRefused::TooLate) }
    }
}

fn is_added(added: Added) -> Result<(), PasskeyRefused> {
    match added {
        Added::Yes => Ok(()),
        Added::Held => Err(PasskeyRefused::Held),
        Added::TooMany => Err(PasskeyRefused::TooMany),
        Added::TooLate => Err(PasskeyRefused::TooLate),
    }
}

fn log(refused: PasskeyRefused) {
    if refused == PasskeyRefused::WentBack {
        tracing::warn!(
            event = "access.passkey_count_went_back",
            "a passkey was refused: its counter went back, so that it may have been copied. Ask its owner to remove it"
        );
    } else {
        tracing::warn!(event = "access.passkey_refused", "someone used a passkey that was not accepted");
    }
}

fn marked(purpose: Purpose, holder: &Secret, with: &[u8], head: &[u8]) -> Vec<u8> {
    [&[purpose as u8], holder.bytes(), head, with].concat()
}

fn shown(site: &RelyingParty, assertion: &Assertion, passkey: &Passkey) -> Result<Shown, PasskeyRefused> {
    if assertion.user_handle.as_ref().is_some_and(|handle| *handle != passkey.user_handle) {
        return Err(PasskeyRefused::Unknown);
    }
    site.shown(assertion, &passkey.public_key)
}

fn passkey_name(typed: &str) -> Result<String, PasskeyRefused> {
    let name = typed.trim();
    let is_one = !name.is_empty() && name.chars().count() <= LONGEST_NAME && !name.contains(char::is_control);
    if is_one { Ok(name.to_owned()) } else { Err(PasskeyRefused::Name) }
}

#[cfg(test)]
mod tests;
