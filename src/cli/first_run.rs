//! The first run of `serve` on a terminal: what to enter where in Notify, a token and an administrator for whoever wants them made, and a
//! tick for the first callback of each kind. Callbacks are taken all the while, and nothing here stops the server.

use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::sleep;

use super::log::{self, Log, tell_between};
use super::{Failure, token, user};
use crate::clock;
use crate::meters::{Came, TEST};
use crate::notify::Kind;
use crate::store::{Store, StoreError};

/// How often it is looked what was typed and what came.
const LOOKS_EVERY: Duration = Duration::from_millis(100);
/// A refusal is told so long after the one before.
const REFUSALS_APART: Duration = Duration::from_secs(10);
/// The kinds that nearly every service has.
const BOTH: [Kind; 2] = [Kind::DeliveryReceipt, Kind::ReceivedText];
/// Stands for an address that nobody has said.
const SOME_URL: &str = "https://callbacks.example.gov.uk";
const SERVICE: &str = "Name of the service in Notify (Enter to skip): ";
const ANOTHER: &str = "Name of another service (Enter to go on): ";
const ADMINISTRATOR: &str = "Email address of the first administrator (Enter to skip): ";

/// Whether a person sits in front of it who can read and answer.
pub(super) fn is_on_a_terminal(log: &Log) -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal() && log.is_for_people()
}

/// What a walk-through is made from.
pub(super) struct Guide {
    pub(super) store: Store,
    /// The store's folder, as it was given.
    pub(super) data: PathBuf,
    pub(super) public_url: Option<String>,
    /// How a browser on this machine reaches the pages, where any are served.
    pub(super) here: Option<String>,
}

/// Walks through the first run, where it is one; never ends.
pub(super) async fn walk(guide: Option<Guide>) -> Infallible {
    if let Some(guide) = guide {
        match Walk::of(guide).await {
            Ok(Some(mut walk)) => walk.go().await,
            Ok(None) => (),
            Err(error) => tell_between(&format!("The first run cannot be walked through: {error}.")),
        }
    }
    std::future::pending().await
}

struct Walk {
    guide: Guide,
    /// What was here at the start: the kinds of callbacks, tokens by the names of their services, people.
    kinds: Vec<Kind>,
    named: Vec<String>,
    has_people: bool,
    typed: Typed,
    /// The service's number and the kind.
    ticked: HashSet<(i64, &'static str)>,
    /// How many were refused for their token when that was told last, and when that was.
    told_of_refused: Option<(u64, Instant)>,
}

/// The person has left, or can say nothing more.
struct Left;

impl Walk {
    /// Nothing where the store has been in use.
    async fn of(guide: Guide) -> Result<Option<Walk>, StoreError> {
        let kinds = guide.store.kinds_here().await?;
        let named = named(&guide.store).await?;
        let has_people = !guide.store.people().await?.is_empty();
        let is_in_use = !kinds.is_empty() && !named.is_empty() && has_people;
        if is_in_use || BOTH.iter().all(|kind| kinds.contains(kind)) {
            return Ok(None);
        }
        let (typed, ticked) = (Typed::default(), HashSet::new());
        Ok(Some(Walk { guide, kinds, named, has_people, typed, ticked, told_of_refused: None }))
    }

    async fn go(&mut self) {
        let words = match self.lead().await {
            Ok(()) => "\nBoth kinds have come from each service. The server runs on; Ctrl-C stops it.",
            Err(Left) => "\nThe server runs on, without this guide. Ctrl-C stops it.",
        };
        tell_between(words);
    }

    async fn lead(&mut self) -> Result<(), Left> {
        tell_between(
            "\nFirst run: from here to the first callback. The server takes callbacks already. Ctrl-D\n\
             leaves this guide, and Ctrl-C stops the server.",
        );
        self.tokens().await?;
        self.addresses();
        self.administrator().await?;
        self.wait().await
    }

    async fn tokens(&mut self) -> Result<(), Left> {
        tell_between(
            "\n1. A token for each Notify service\n\n\
             By its token Counterfoil knows which service a callback is of. It is made here, you paste it\n\
             in Notify, and only its hash is kept.",
        );
        let more = format!("  counterfoil token add \"Name of the service\" --data {}", self.data());
        if !self.named.is_empty() {
            let named = self.named.join(", ");
            tell_between(&format!(
                "\nThere are tokens for: {named}. They were shown once, when they were made. To make\n\
                 another, in another terminal:\n\n{more}"
            ));
            return Ok(());
        }
        let mut question = SERVICE;
        loop {
            tell_between("");
            let name = self.answer_to(question).await?;
            if name.is_empty() {
                break;
            }
            match token::make(&self.guide.store, &name).await {
                Ok((token, _)) => {
                    tell_between(&format!("\n  The token of {name}, shown this once:\n\n  {token}"));
                    question = ANOTHER;
                }
                Err(failure) => tell_failure(&failure),
            }
        }
        tell_between(&format!(
            "\nIn another terminal this makes one, now or later, and shows it there, once:\n\n{more}"
        ));
        Ok(())
    }

    fn addresses(&self) {
        let url = self.guide.public_url.as_deref().unwrap_or(SOME_URL);
        let mut words = "\n2. In Notify\n\n\
             Open your service, then API integration, then Callbacks. Select Change beside each of these,\n\
             enter both, and select Save.\n"
            .to_owned();
        for (kind, in_notify) in BOTH.into_iter().zip(["Delivery receipts", "Received text messages"]) {
            let path = kind.path();
            // Nothing can fail: it is a string.
            let _written = write!(
                words,
                "\n  {in_notify}\n    URL           {url}/callbacks/{path}\n    Bearer token  the token of the service\n"
            );
        }
        words += "\nWhere a service receives no text messages, Notify has no such row. Returned letters go to\n";
        let _written = write!(words, "/callbacks/{}.", Kind::ReturnedLetter.path());
        let hint = match &self.guide.public_url {
            None => Some(format!(
                "The server was started without --public-url. Put the address at which Notify reaches it\n\
                 in the place of {SOME_URL}: it must begin with https://, or Notify\n\
                 says ‘Must be a valid https URL’."
            )),
            Some(url) if !url.starts_with("https://") => Some(
                "Of this address Notify says ‘Must be a valid https URL’. Start the server with the https\n\
                 address at which Notify reaches it as --public-url."
                    .to_owned(),
            ),
            Some(_) => None,
        };
        if let Some(hint) = hint {
            let _written = write!(words, "\n\n{hint}");
        }
        tell_between(&words);
    }

    async fn administrator(&mut self) -> Result<(), Left> {
        tell_between("\n3. The first administrator");
        let (data, url) = (self.data(), self.guide.public_url.as_ref());
        let url = url.map(|url| format!(" --public-url {url}")).unwrap_or_default();
        let more = format!("  counterfoil user add name@example.gov.uk --role admin --data {data}{url}");
        if self.has_people {
            tell_between(&format!("\nThere are accounts. To add another, in another terminal:\n\n{more}"));
            return Ok(());
        }
        tell_between("\nThey set a password on a link, and let everybody else in on the pages.");
        let link_at = self.guide.public_url.clone().or_else(|| self.guide.here.clone());
        if let Some(link_at) = link_at {
            loop {
                tell_between("");
                let email = self.answer_to(ADMINISTRATOR).await?;
                if email.is_empty() {
                    break;
                }
                match user::add_administrator(&self.guide.store, &email, &link_at).await {
                    Ok(link) => {
                        tell_between(&format!(
                            "\n  The link to the password. It works once, for one hour:\n\n  {link}"
                        ));
                        return Ok(());
                    }
                    Err(failure) => tell_failure(&failure),
                }
            }
        }
        tell_between(&format!("\nIn another terminal this adds them and prints the link:\n\n{more}"));
        Ok(())
    }

    /// Until both kinds came from each service that has a token.
    async fn wait(&mut self) -> Result<(), Left> {
        tell_between(
            "\n4. The first callbacks\n\n\
             Send a text message or an email from Notify: its delivery receipt comes within minutes as a\n\
             rule. Send a text message to your number in Notify, and it comes at once. Each is ticked\n\
             below as it comes. Press Enter to stop waiting.",
        );
        for kind in BOTH.into_iter().filter(|kind| self.kinds.contains(kind)) {
            tell_between(&format!("✓ {} (here before this start)", kind.words()));
        }
        let mut is_done = self.is_done().await;
        while !is_done {
            if !matches!(self.typed.look(), Looked::Nothing) {
                return Err(Left);
            }
            sleep(LOOKS_EVERY).await;
            is_done = self.tick().await && self.is_done().await;
        }
        Ok(())
    }

    async fn is_done(&self) -> bool {
        let came = |service, kind: &Kind| self.kinds.contains(kind) || self.ticked.contains(&(service, kind.path()));
        let Ok(tokens) = self.guide.store.tokens().await else { return false };
        let mut services = tokens.iter().filter(|token| token.is_valid(clock::now())).map(|token| token.service.0);
        !self.ticked.is_empty() && services.all(|service| BOTH.iter().all(|kind| came(service, kind)))
    }

    /// Says what came since it was last looked, and whether anything did.
    async fn tick(&mut self) -> bool {
        let (before, mut refused) = (self.ticked.len(), 0);
        for (came, count) in self.guide.store.meters().counted() {
            match came {
                // Of before this start, or of nobody who is to be told.
                _ if count == 0 => (),
                Came { kind: TEST, .. } => (),
                Came { service: Some(service), kind, answer: 200..300 } if self.ticked.insert((service, kind)) => {
                    let name = name_of(&self.guide.store, service).await;
                    tell_between(&match Kind::from_path(kind) {
                        Some(kind) => format!("✓ {} from {name}", kind.words()),
                        None => format!(
                            "! Something from {name} that could not be understood. It is kept, in quarantine, which the pages show."
                        ),
                    });
                }
                Came { service: None, answer: 401, .. } => refused += count,
                _ => (),
            }
        }
        self.tell_of_refused(refused);
        self.ticked.len() > before
    }

    /// Whoever pastes a wrong token again is told so again.
    fn tell_of_refused(&mut self, refused: u64) {
        let words = match self.told_of_refused {
            _ if refused == 0 => return,
            Some((told, at)) if refused == told || at.elapsed() < REFUSALS_APART => return,
            Some(_) => format!("✗ Refused for a wrong or missing token so far: {refused}"),
            None => format!(
                "✗ A callback with a wrong or missing token was refused, and Notify does not send it again.\n  \
                 Enter the token again in Notify, for each kind, as it was shown. If it is lost, make another:\n  \
                 counterfoil token add \"Name of the service\" --data {}",
                self.data()
            ),
        };
        self.told_of_refused = Some((refused, Instant::now()));
        tell_between(&words);
    }

    /// The line that answers a question.
    async fn answer_to(&mut self, question: &'static str) -> Result<String, Left> {
        log::ask(question);
        let _answered = Answered;
        loop {
            match self.typed.look() {
                Looked::Line(line) => return Ok(line),
                Looked::End => return Err(Left),
                Looked::Nothing => sleep(LOOKS_EVERY).await,
            }
            self.tick().await;
        }
    }

    /// The store's folder, to be typed wherever somebody is.
    fn data(&self) -> String {
        let data = std::path::absolute(&self.guide.data).unwrap_or_else(|_| self.guide.data.clone());
        quoted(&data.display().to_string())
    }
}

/// Ends a question, also where it is left standing.
struct Answered;

impl Drop for Answered {
    fn drop(&mut self) {
        log::answered();
    }
}

fn tell_failure(failure: &Failure) {
    tell_between(&format!("\nThat cannot be: {}.", failure.words));
}

/// The services with a token that is taken.
async fn named(store: &Store) -> Result<Vec<String>, StoreError> {
    let tokens = store.tokens().await?.into_iter().filter(|token| token.is_valid(clock::now()));
    let mut names: Vec<String> = tokens.map(|token| token.service_name).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

async fn name_of(store: &Store, service: i64) -> String {
    let services = store.services().await.unwrap_or_default();
    let found = services.into_iter().find(|known| known.id.0 == service);
    found.map_or_else(|| format!("service {service}"), |service| service.name)
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "/._-".contains(character);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// What is typed on standard input.
#[derive(Default)]
struct Typed(Vec<u8>);

enum Looked {
    Nothing,
    Line(String),
    End,
}

impl Typed {
    /// Takes a line where one was typed, and never waits. From behind another program that has the terminal it reads nothing: the system
    /// would stop the whole server for that.
    fn look(&mut self) -> Looked {
        if self.0.is_empty() || !self.0.contains(&b'\n') {
            let stdin = io::stdin();
            if !has_something(&stdin) || !is_in_front(&stdin) {
                return Looked::Nothing;
            }
            let mut some = [0; 4096];
            match rustix::io::read(&stdin, &mut some) {
                Ok(0) | Err(_) => return Looked::End,
                Ok(length) => self.0.extend(some.iter().take(length)),
            }
        }
        let Some(end) = self.0.iter().position(|byte| *byte == b'\n') else { return Looked::Nothing };
        let line: Vec<u8> = self.0.drain(..=end).collect();
        Looked::Line(String::from_utf8_lossy(&line).trim().to_owned())
    }
}

fn has_something(stdin: &io::Stdin) -> bool {
    let mut asked = [PollFd::new(stdin, PollFlags::IN)];
    poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

fn is_in_front(stdin: &io::Stdin) -> bool {
    // Where it is not the terminal that the server was started from, nobody is stopped for it.
    rustix::termios::tcgetpgrp(stdin).map_or(true, |front| front == rustix::process::getpgrp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_word_to_a_shell() {
        assert_eq!(quoted("/var/lib/counterfoil"), "/var/lib/counterfoil");
        assert_eq!(quoted("/a b/it's"), r"'/a b/it'\''s'");
    }
}
