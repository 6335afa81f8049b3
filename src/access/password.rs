//! Passwords: argon2id, one after another, and as long for an account that does not exist as for one that does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{Semaphore, oneshot};

/// Shorter ones are refused.
const SHORTEST: usize = 8;
/// Longer ones are refused, so that nobody makes the server hash a book.
const LONGEST: usize = 1000;
/// People who may wait for theirs, some seconds at most. A flood of sign-ins takes no more connections than that.
const WAITING: usize = 64;

/// Why a new password was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordRefused {
    /// Too few characters.
    #[error("Password must be at least 8 characters")]
    TooShort,
    /// Too many characters.
    #[error("Password must be 1,000 characters or fewer")]
    TooLong,
    /// The system could not compute it.
    #[error("The password could not be saved. Try again")]
    Failed,
}

type Work = Box<dyn FnOnce() + Send>;

/// Where passwords are hashed and checked: on a thread of its own. Each hash takes 19 MiB, which a thread that is done with them
/// does not give back, so that of the many threads for other slow work each would soon hold as much.
pub struct Passwords {
    hashing: mpsc::Sender<Work>,
    waiting: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        let (hashing, works) = mpsc::channel::<Work>();
        let hashes = move || {
            for work in works {
                // Whoever waited for what came to nothing is told so.
                let _came_to_nothing = catch_unwind(AssertUnwindSafe(work)).is_err();
            }
        };
        let started = thread::Builder::new().name("passwords".into()).spawn(hashes);
        if let Err(error) = started {
            tracing::error!(event = "access.no_thread", error = %error, "nobody can sign in: no thread could be started");
        }
        Passwords { hashing, waiting: Semaphore::new(WAITING) }
    }
}

impl Passwords {
    /// The string to keep for a new password.
    ///
    /// # Errors
    /// When the password is too short or too long, or cannot be hashed.
    pub async fn hash(&self, password: String) -> Result<String, PasswordRefused> {
        if password.chars().count() < SHORTEST {
            return Err(PasswordRefused::TooShort);
        }
        if password.chars().count() > LONGEST {
            return Err(PasswordRefused::TooLong);
        }
        self.in_turn(move || hash(&password)).await.flatten().ok_or(PasswordRefused::Failed)
    }

    /// Whether the password is the one that was kept. Without one kept the answer is no, after the same work. `None` where too
    /// many wait for theirs to be checked.
    pub(super) async fn verify(&self, password: String, kept: Option<String>) -> Option<bool> {
        let work = move || {
            let right = matches(&password, kept.as_deref().unwrap_or(NOBODYS));
            right && kept.is_some()
        };
        self.in_turn(work).await
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _wait = self.waiting.try_acquire().ok()?;
        let (answer, answered) = oneshot::channel();
        // Nobody listens any more when the one who wanted it has gone away.
        let work = move || drop(answer.send(work()));
        self.hashing.send(Box::new(work)).ok()?;
        answered.await.ok()
    }
}

/// What a password is checked against where there is none: the hash of one that nobody knows.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$u8PTx36Ffy8+STxHeXT+hQ$Ltcgspgex1pYuNnKarpii2Ba7seT5w11RhQOPpwIhhc";

/// OWASP's first choice: 19 MiB, two passes, one lane.
fn argon2() -> Option<Argon2<'static>> {
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19 * 1024, 2, 1, None).ok()?))
}

fn hash(password: &str) -> Option<String> {
    Some(argon2()?.hash_password(password.as_bytes()).ok()?.to_string())
}

fn matches(password: &str, kept: &str) -> bool {
    let (Some(argon2), Ok(kept)) = (argon2(), PasswordHash::new(kept)) else { return false };
    argon2.verify_password(password.as_bytes(), &kept).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_that_was_kept_is_right() {
        let passwords = Passwords::default();
        let kept = passwords.hash("correct horse".into()).await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(passwords.verify("correct horse".into(), Some(kept.clone())).await, Some(true));
        assert_eq!(passwords.verify("wrong horse".into(), Some(kept)).await, Some(false));
        assert_eq!(passwords.verify("anything".into(), None).await, Some(false));
    }

    #[test]
    fn an_unknown_account_costs_as_much_as_a_known_one() {
        let costs = |hash: &str| hash.rsplitn(3, '$').nth(2).unwrap().to_owned();
        assert_eq!(costs(NOBODYS), costs(&hash("anything").unwrap()));
        assert!(PasswordHash::new(NOBODYS).is_ok());
    }

    #[tokio::test]
    async fn past_those_who_may_wait_nobody_is_checked() {
        let passwords = Passwords::default();
        let full = passwords.waiting.acquire_many(u32::try_from(WAITING).unwrap()).await.unwrap();
        assert_eq!(passwords.verify("anything".into(), None).await, None);
        drop(full);
        assert_eq!(passwords.verify("anything".into(), None).await, Some(false));
    }

    #[tokio::test]
    async fn one_thread_does_all_the_hashing_and_outlives_a_fault() {
        let passwords = Passwords::default();
        let own = || passwords.in_turn(|| thread::current().id());
        let (first, second, third) = tokio::join!(own(), own(), own());
        assert!(first.is_some() && first == second && second == third);
        assert_eq!(passwords.in_turn(|| panic!("a fault, as a test")).await, None::<()>);
        assert_eq!(own().await, first);
    }

    #[tokio::test]
    async fn too_short_and_too_long_are_refused() {
        let passwords = Passwords::default();
        assert_eq!(passwords.hash("1234567".into()).await, Err(PasswordRefused::TooShort));
        assert_eq!(passwords.hash("x".repeat(1001)).await, Err(PasswordRefused::TooLong));
        assert!(passwords.hash("é".repeat(1000)).await.is_ok(), "characters are counted, not bytes");
    }
}
