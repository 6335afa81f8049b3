//! Passwords: argon2id, one after another, and as long for an account that does not exist as for one that does. What is asked of a
//! new one is length and that others do not think of it first; nothing of its characters.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use passwords::analyzer::is_common_password;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use unicode_normalization::UnicodeNormalization;

/// Shorter ones are refused. More than OWASP's least, and as much as leaves the list of common ones three times the 3,000 that it is
/// to hold of those that are long enough.
const SHORTEST: usize = 10;
/// Longer ones are refused, so that nobody makes the server hash a book.
const LONGEST: usize = 1000;
/// People who may wait for theirs, some seconds at most. A flood of sign-ins takes no more connections than that. Whoever hangs up
/// keeps their place until it is their turn: else a flood would have as many as it likes.
const WAITING: usize = 64;
/// Of those whose browser is known so many more, whom no flood keeps out.
const KNOWN_WAITING: usize = 32;
/// A name shorter than this may stand in a password by chance.
const NAME: usize = 4;
/// Beside names a password must hold so many letters and figures.
const BESIDE_NAMES: usize = 6;
/// The service's name, as it may stand in a password.
const SERVICE: &str = "counterfoil";

/// Why a new password was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordRefused {
    /// Too few characters.
    #[error("Password must be at least 10 characters. Three random words make a good one")]
    TooShort,
    /// Too many characters.
    #[error("Password must be 1,000 characters or fewer")]
    TooLong,
    /// Many people have it.
    #[error("Enter a password that fewer people use. Three random words make a good one")]
    Common,
    /// It is the address of the account or the name of the service, and little more.
    #[error("Enter a password that does not come from your email address or the name of this service")]
    Name,
    /// The system could not compute it.
    #[error("The password could not be saved. Try again")]
    Failed,
}

type Work = Box<dyn FnOnce() + Send>;

/// Where passwords are hashed and checked: on a thread of its own. Each hash takes 19 MiB, which a thread that is done with them
/// does not give back, so that of the many threads for other slow work each would soon hold as much. Whoever is known comes first.
pub struct Passwords {
    /// Rung once for each work, after it stands in its queue.
    bell: mpsc::Sender<()>,
    waiting: Queue,
    known_waiting: Queue,
}

/// Those who wait, and the places that they have.
struct Queue {
    places: Arc<Semaphore>,
    works: mpsc::Sender<Work>,
}

impl Queue {
    fn of(places: usize) -> (Queue, mpsc::Receiver<Work>) {
        let (works, waiting) = mpsc::channel();
        (Queue { places: Arc::new(Semaphore::new(places)), works }, waiting)
    }
}

/// A place among those whose passwords are checked.
pub(super) struct Place {
    permit: OwnedSemaphorePermit,
    is_known: bool,
}

impl Default for Passwords {
    fn default() -> Self {
        let (bell, rung) = mpsc::channel();
        let ((waiting, others), (known_waiting, known)) = (Queue::of(WAITING), Queue::of(KNOWN_WAITING));
        let hashes = move || {
            for () in rung {
                let Ok(work) = known.try_recv().or_else(|_| others.try_recv()) else { continue };
                // Whoever waited for what came to nothing is told so.
                let _came_to_nothing = catch_unwind(AssertUnwindSafe(work)).is_err();
            }
        };
        let started = thread::Builder::new().name("passwords".into()).spawn(hashes);
        if let Err(error) = started {
            tracing::error!(event = "access.no_thread", error = %error, "nobody can sign in: no thread could be started");
        }
        Passwords { bell, waiting, known_waiting }
    }
}

impl Passwords {
    /// The string to keep for a new password of the account of an address. Whoever may set one is known.
    ///
    /// # Errors
    /// When the password is too short, too long or too easy to think of, or cannot be hashed.
    pub async fn hash(&self, password: &str, address: &str) -> Result<String, PasswordRefused> {
        let password = composed(password);
        refuse(&password, address)?;
        let place = self.place(true).ok_or(PasswordRefused::Failed)?;
        self.in_turn(place, move || hash(&password)).await.flatten().ok_or(PasswordRefused::Failed)
    }

    /// A place to wait in; `None` where too many wait for theirs to be checked. Those in a browser that is known have places of their
    /// own.
    pub(super) fn place(&self, is_known: bool) -> Option<Place> {
        let permit = self.queue(is_known).places.clone().try_acquire_owned().ok()?;
        Some(Place { permit, is_known })
    }

    /// Whether the password is the one that was kept. Without one kept the answer is no, after the same work. `None` where it could
    /// not be checked.
    pub(super) async fn verify(&self, place: Place, password: &str, kept: Option<String>) -> Option<bool> {
        let password = composed(password);
        let work = move || {
            let right = matches(&password, kept.as_deref().unwrap_or(NOBODYS));
            right && kept.is_some()
        };
        self.in_turn(place, work).await
    }

    fn queue(&self, is_known: bool) -> &Queue {
        if is_known { &self.known_waiting } else { &self.waiting }
    }

    async fn in_turn<T: Send + 'static>(&self, place: Place, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let Place { permit, is_known } = place;
        let (answer, answered) = oneshot::channel();
        let work = move || {
            let _until_it_is_done = permit;
            // Whoever has gone away wants nothing any more.
            if !answer.is_closed() {
                drop(answer.send(work()));
            }
        };
        self.queue(is_known).works.send(Box::new(work)).ok()?;
        self.bell.send(()).ok()?;
        answered.await.ok()
    }
}

/// The characters as they were typed: keyboards write the same letter as one code point or as two.
fn composed(password: &str) -> String {
    password.nfc().collect()
}

fn refuse(password: &str, address: &str) -> Result<(), PasswordRefused> {
    let length = password.chars().count();
    if length < SHORTEST {
        return Err(PasswordRefused::TooShort);
    }
    if length > LONGEST {
        return Err(PasswordRefused::TooLong);
    }
    let small = password.to_lowercase();
    if says_little_but_names(&small, &address.trim().to_lowercase()) {
        return Err(PasswordRefused::Name);
    }
    if is_common(password) || is_common(&small) { Err(PasswordRefused::Common) } else { Ok(()) }
}

/// Whether a common one is most of what a password says: as it is, with figures and marks around it, or more than once.
fn is_common(password: &str) -> bool {
    let core = password.trim_matches(|character: char| !character.is_alphabetic());
    let most = core.chars().count() * 2 >= password.chars().count();
    is_common_password(password) || is_repeated(password) || (most && is_common_password(core))
}

/// Whether it is a common one, or one character, over and over.
fn is_repeated(password: &str) -> bool {
    let mut ends = password.char_indices().map(|(end, _)| end).filter(|end| (1..=password.len() / 2).contains(end));
    ends.any(|end| {
        let (once, _) = password.split_at(end);
        let repeated = password.len().is_multiple_of(end) && once.repeat(password.len() / end) == password;
        repeated && (once.chars().count() == 1 || is_common_password(once))
    })
}

/// Whether hardly anything is left without the service's name and the account's address or the name in it.
fn says_little_but_names(password: &str, address: &str) -> bool {
    let name = address.split_once('@').map_or(address, |(name, _)| name);
    let names = [address, name, SERVICE].into_iter().filter(|name| name.chars().count() >= NAME);
    let left = names.fold(password.to_owned(), |left, name| left.replace(name, ""));
    left != password && left.chars().filter(|character| character.is_alphanumeric()).count() < BESIDE_NAMES
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
    use futures_util::FutureExt as _;

    use super::*;

    /// Whether it is the one that was kept, for somebody whose browser is not known.
    async fn verify(passwords: &Passwords, password: &str, kept: Option<String>) -> Option<bool> {
        passwords.verify(passwords.place(false)?, password, kept).await
    }

    /// Keeps the thread busy until what it gives is dropped.
    fn busy(passwords: &Passwords) -> mpsc::Sender<()> {
        let (go_on, waits) = mpsc::channel::<()>();
        passwords.waiting.works.send(Box::new(move || assert!(waits.recv().is_err()))).unwrap();
        passwords.bell.send(()).unwrap();
        go_on
    }

    #[tokio::test]
    async fn only_the_password_that_was_kept_is_right() {
        let passwords = Passwords::default();
        let kept = passwords.hash("correct horse", "a@example.gov.uk").await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(verify(&passwords, "correct horse", Some(kept.clone())).await, Some(true));
        assert_eq!(verify(&passwords, "wrong horse", Some(kept)).await, Some(false));
        assert_eq!(verify(&passwords, "anything", None).await, Some(false));
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
        let full = passwords.waiting.places.acquire_many(u32::try_from(WAITING).unwrap()).await.unwrap();
        assert!(passwords.place(false).is_none());
        let place = passwords.place(true).unwrap();
        assert_eq!(passwords.verify(place, "anything", None).await, Some(false), "but in a browser that is known");
        drop(full);
        assert_eq!(verify(&passwords, "anything", None).await, Some(false));
    }

    #[tokio::test]
    async fn whoever_hangs_up_keeps_their_place_until_their_turn_and_nothing_is_hashed_for_them() {
        let passwords = Passwords::default();
        let go_on = busy(&passwords);
        let (hashed, is_hashed) = mpsc::channel();
        for _ in 0..WAITING {
            let hashed = hashed.clone();
            let place = passwords.place(false).unwrap();
            // Asked for, and given up.
            assert!(passwords.in_turn(place, move || hashed.send(())).now_or_never().is_none());
        }
        assert!(passwords.place(false).is_none(), "who hangs up takes no place from the queue");
        drop(go_on);
        // The one thread does this after all of them.
        while passwords.waiting.places.available_permits() < WAITING {
            tokio::task::yield_now().await;
        }
        assert_eq!(verify(&passwords, "anything", None).await, Some(false));
        assert_eq!(is_hashed.try_iter().count(), 0);
    }

    #[tokio::test]
    async fn who_is_known_comes_before_all_who_wait_already() {
        let passwords = Passwords::default();
        let go_on = busy(&passwords);
        let (done, order) = mpsc::channel();
        let wait = |is_known: bool| {
            let (place, done) = (passwords.place(is_known).unwrap(), done.clone());
            passwords.in_turn(place, move || done.send(is_known).unwrap())
        };
        let all = futures_util::future::join_all([false, false, true, true].map(wait));
        let let_go = async {
            tokio::task::yield_now().await;
            drop(go_on);
        };
        tokio::join!(all, let_go);
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [true, true, false, false]);
    }

    #[tokio::test]
    async fn one_thread_does_all_the_hashing_and_outlives_a_fault() {
        let passwords = Passwords::default();
        let own = || passwords.in_turn(passwords.place(false).unwrap(), || thread::current().id());
        let (first, second, third) = tokio::join!(own(), own(), own());
        assert!(first.is_some() && first == second && second == third);
        let place = passwords.place(false).unwrap();
        assert_eq!(passwords.in_turn(place, || panic!("a fault, as a test")).await, None::<()>);
        assert_eq!(own().await, first);
    }

    fn refused(password: &str) -> Option<PasswordRefused> {
        refuse(&composed(password), "Jo.Bloggs@example.gov.uk").err()
    }

    #[test]
    fn length_is_asked_for_and_no_kind_of_character() {
        assert_eq!(refused("rivet quo"), Some(PasswordRefused::TooShort));
        assert_eq!(refused("rivet quoi"), None);
        assert_eq!(refused("          rivet          "), None, "spaces are kept");
        assert_eq!(refused(&"é — 日本 ".repeat(140)), None, "characters are counted, not bytes");
        assert_eq!(refused(&"rivet quoi".repeat(101)), Some(PasswordRefused::TooLong));
    }

    #[test]
    fn what_others_think_of_first_is_refused_with_what_to_do() {
        for common in [
            "1234567890",
            "qwertyuiop",
            "QWERTYUIOP",
            "1q2w3e4r5t",
            "password1234",
            "!!Password2026",
            "letmeinletmein",
            "aaaaaaaaaaaa",
            "sunshine 99",
        ] {
            assert_eq!(refused(common), Some(PasswordRefused::Common), "{common}");
        }
        for own in
            ["jo.bloggs@example.gov.uk", "Jo.Bloggs2026", "counterfoil", "Counterfoil-123", "1jo.bloggs-counterfoil"]
        {
            assert_eq!(refused(own), Some(PasswordRefused::Name), "{own}");
        }
        for fine in
            ["three random words", "counterfoil kettle zebra", "sunshine kettle", "Mississippi mud", "83920174658213"]
        {
            assert_eq!(refused(fine), None, "{fine}");
        }
        for refused in [PasswordRefused::TooShort, PasswordRefused::Common, PasswordRefused::Name] {
            assert!(refused.to_string().contains("words") || refused.to_string().starts_with("Enter a password"));
        }
    }

    #[tokio::test]
    async fn the_same_characters_are_the_same_password_on_every_keyboard() {
        let passwords = Passwords::default();
        let kept = passwords.hash("caf\u{e9} kettle", "a@example.gov.uk").await.unwrap();
        assert_eq!(verify(&passwords, "cafe\u{301} kettle", Some(kept.clone())).await, Some(true));
        assert_eq!(verify(&passwords, "Caf\u{e9} kettle", Some(kept.clone())).await, Some(false));
        assert_eq!(verify(&passwords, "caf\u{e9} kettle ", Some(kept)).await, Some(false), "nothing is cut off");
    }
}
