//! Services of Notify's, known by their callback tokens. Tokens are compared by their SHA-256, each in constant time.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::time::timeout;

use crate::clock::{self, MINUTE};
use crate::store::{Mark, ServiceId, Store, StoreError, TokenRow};

/// How long a token that was revoked at once can still be taken.
const FRESH: Duration = Duration::from_millis(250);
/// The tokens must be known by then, so that Notify hears an answer.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
/// How long a revoked token is still taken where nothing else is asked for: Notify's retries carry the token that a callback was
/// first sent with for about 25 minutes.
pub const REVOKED_AFTER: i64 = 30 * MINUTE;

/// A service that has shown a valid token.
#[derive(Clone, Debug)]
pub struct Sender {
    service: ServiceId,
    token: i64,
}

impl Sender {
    /// The service.
    #[must_use]
    pub fn service(&self) -> ServiceId {
        self.service
    }

    /// The token's number.
    #[must_use]
    pub fn token(&self) -> i64 {
        self.token
    }
}

/// What sends a callback to see whether the way is open.
#[derive(Clone, Debug)]
pub struct Tester {
    secret: Mark,
}

impl Tester {
    /// By what the test is known.
    #[must_use]
    pub fn secret(&self) -> Mark {
        self.secret
    }
}

/// Who shows a token that is known.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Notify, for one of its services.
    Notify(Sender),
    /// Nobody but `counterfoil doctor`.
    Tester(Tester),
}

/// Why a callback was not let in.
#[derive(Debug)]
pub enum Refused {
    /// It carries no token, or one that is not valid. Notify does not send it again.
    WrongToken,
    /// The tokens could not be read, so that nobody can say: it must be sent again.
    Unsure(StoreError),
    /// It carries a token, and there is none in this store with which it could agree, as where the store is not the one that should be
    /// here: it must be sent again.
    NoTokens,
    /// It carries no token, and was sent by `counterfoil doctor` to see it refused.
    AsExpected,
}

/// The header that carries the secret of a test which is to be refused.
pub const TESTED_BY: HeaderName = HeaderName::from_static("counterfoil-test");

/// The tokens of all services, as they were a moment ago.
pub struct Senders {
    store: Store,
    known: RwLock<Known>,
    reading: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Known {
    tokens: Arc<[TokenRow]>,
    /// The secrets of tests that are under way.
    tests: Arc<[Mark]>,
    asked_at: Option<Instant>,
}

impl Senders {
    /// Knows no token until the first is asked for.
    #[must_use]
    pub fn new(store: Store) -> Senders {
        let known = RwLock::new(Known { tokens: Arc::from([]), tests: Arc::from([]), asked_at: None });
        Senders { store, known, reading: tokio::sync::Mutex::new(()) }
    }

    /// Who sends a request with these headers.
    ///
    /// # Errors
    /// When the token is wrong or missing, or the tokens cannot be read.
    pub async fn check(&self, headers: &HeaderMap) -> Result<Caller, Refused> {
        let marks = marks(headers);
        if marks.is_empty() {
            return Err(self.without_token(headers).await);
        }
        let now = Instant::now();
        let before = self.known();
        if before.asked_at.is_some_and(|asked| now.duration_since(asked) < FRESH)
            && let Some(sender) = matching(&before.tokens, &marks, clock::now())
        {
            return Ok(Caller::Notify(sender));
        }
        // A token that was made a moment ago, or whose revocation was called off then, is looked for before it is refused: a 401
        // loses the callback for ever.
        match self.read_since(now).await {
            Ok(known) => {
                let test = marks.iter().find(|mark| known.tests.contains(mark));
                match (matching(&known.tokens, &marks, clock::now()), test) {
                    (Some(sender), _) => Ok(Caller::Notify(sender)),
                    (None, Some(secret)) => Ok(Caller::Tester(Tester { secret: *secret })),
                    (None, None) if known.tokens.is_empty() => Err(Refused::NoTokens),
                    (None, None) => Err(Refused::WrongToken),
                }
            }
            Err(error) => {
                let sender = matching(&before.tokens, &marks, clock::now());
                sender.map(Caller::Notify).ok_or(Refused::Unsure(error))
            }
        }
    }

    /// It is refused in any case; but where that was to be seen, there is nothing to be alarmed at.
    async fn without_token(&self, headers: &HeaderMap) -> Refused {
        let Some(secret) = headers.get(TESTED_BY) else { return Refused::WrongToken };
        let secret = token_sha256(secret.as_bytes());
        match self.read_since(Instant::now()).await {
            Ok(known) if known.tests.contains(&secret) => Refused::AsExpected,
            _ => Refused::WrongToken,
        }
    }

    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As [`Senders::read_now`], or an error in time.
    async fn read_since(&self, moment: Instant) -> Result<Known, StoreError> {
        timeout(KNOWN_WITHIN, self.read_now(moment)).await.unwrap_or(Err(StoreError::TookTooLong))
    }

    /// What the store has at `moment` or later; those who wait for one read share it.
    async fn read_now(&self, moment: Instant) -> Result<Known, StoreError> {
        let _one_at_a_time = self.reading.lock().await;
        let known = self.known();
        if known.asked_at.is_some_and(|asked| asked >= moment) {
            return Ok(known);
        }
        let asked_at = Some(Instant::now());
        let (tokens, tests) = self.store.tokens_and_tests(clock::now()).await?;
        let known = Known { tokens: tokens.into(), tests: tests.into(), asked_at };
        self.known.write().unwrap_or_else(PoisonError::into_inner).clone_from(&known);
        Ok(known)
    }
}

/// What the store keeps of a token.
#[must_use]
pub fn token_sha256(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// The bytes after each `Bearer`, whose case does not matter: a proxy may have put one of its own before or behind. The token itself may
/// hold any byte that a header can carry.
fn bearers(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(7)?;
        let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer ") || scheme.eq_ignore_ascii_case(b"Bearer\t");
        Some(token.trim_ascii()).filter(|token| is_bearer && !token.is_empty())
    })
}

/// The marks that the tokens may have: as they are, and, since Python's requests writes headers in Latin-1, as that text.
fn marks(headers: &HeaderMap) -> Vec<Mark> {
    let mut marks = Vec::new();
    for token in bearers(headers) {
        marks.push(token_sha256(token));
        if !token.is_ascii() {
            let text: String = token.iter().map(|byte| char::from(*byte)).collect();
            marks.push(token_sha256(text.as_bytes()));
        }
    }
    marks
}

/// Looks at every token whether or not one has matched, so that the time taken tells nothing.
fn matching(tokens: &[TokenRow], marks: &[Mark], now: i64) -> Option<Sender> {
    let mut place = 0_u64;
    for (number, token) in (1_u64..).zip(tokens) {
        let valid = Choice::from(u8::from(token.is_valid(now)));
        let same = marks.iter().fold(Choice::from(0), |same, mark| same | token.sha256.ct_eq(mark));
        place.conditional_assign(&number, same & valid);
    }
    let token = tokens.get(usize::try_from(place.checked_sub(1)?).ok()?)?;
    Some(Sender { service: token.service, token: token.id })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, http::HeaderValue::from_bytes(value).unwrap())])
    }

    const TOKEN: &[u8] = b"a token";

    fn row(revoked_at: Option<i64>) -> TokenRow {
        TokenRow {
            id: 1,
            service: ServiceId(1),
            service_name: String::new(),
            sha256: token_sha256(TOKEN),
            made_at: 0,
            last_used_at: None,
            revoked_at,
            revoked_at_once: false,
        }
    }

    #[test]
    fn a_token_is_taken_to_the_last_moment_before_its_revocation() {
        let known = |revoked_at, now| matching(&[row(revoked_at)], &[token_sha256(TOKEN)], now).is_some();
        assert!(known(None, i64::MAX));
        assert!(known(Some(1000), 999));
        assert!(!known(Some(1000), 1000) && !known(Some(1000), 1001));
    }

    #[tokio::test]
    async fn a_revocation_that_was_called_off_a_moment_ago_refuses_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), 0).unwrap();
        store.add_token("A".into(), None, token_sha256(TOKEN), crate::store::By::itself(), 0).await.unwrap();
        let senders = Senders::new(store.clone());
        let headers = headers(b"Bearer a token");
        // As it was read just before, with a revocation that has come since.
        let tokens = Arc::from([row(Some(1))]);
        let before = Known { tokens, tests: Arc::from([]), asked_at: Some(Instant::now()) };
        *senders.known.write().unwrap() = before.clone();
        assert!(senders.check(&headers).await.is_ok());
        *senders.known.write().unwrap() = before;
        store.revoke_token(1, clock::now(), crate::store::By::itself(), clock::now()).await.unwrap();
        assert!(matches!(senders.check(&headers).await, Err(Refused::WrongToken)));
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_the_token_as_bytes() {
        let read = |headers: &HeaderMap| bearers(headers).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(read(&headers(b"bEARER abc")), [b"abc".to_vec()]);
        assert_eq!(read(&headers(b"Bearer caf\xe9")), [b"caf\xe9".to_vec()]);
        assert!(read(&headers(b"Basic abc")).is_empty() && read(&headers(b"Bearer")).is_empty());
        assert!(read(&HeaderMap::new()).is_empty());
    }

    #[tokio::test]
    async fn a_good_token_is_found_among_others_and_a_store_without_any_refuses_nobody_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), 0).unwrap();
        let senders = Senders::new(store.clone());
        let mut three = headers(b"Basic abc");
        for value in ["Bearer of a proxy", "Bearer\ta token", "Bearer of another"] {
            three.append(AUTHORIZATION, http::HeaderValue::from_static(value));
        }
        assert!(matches!(senders.check(&three).await, Err(Refused::NoTokens)));
        assert!(matches!(senders.check(&HeaderMap::new()).await, Err(Refused::WrongToken)));
        store.add_token("A".into(), None, token_sha256(TOKEN), crate::store::By::itself(), 0).await.unwrap();
        assert!(matches!(senders.check(&three).await, Ok(Caller::Notify(_))));
        assert!(matches!(senders.check(&headers(b"Bearer of a proxy")).await, Err(Refused::WrongToken)));
    }
}
