//! Sends the emails that are due: to who asked for them, and about danger that nobody has read in time. One after the other, apart from
//! everything else: a mail server that is slow or away holds up nothing but the next email.

mod words;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::access::May;
use crate::clock;
use crate::mail::{Email, Fault, From, MailServer};
use crate::store::{Alarm, AlarmSort, Letter, Role, Services, Store};

/// How often it is looked what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What was found due is handed over for so long; then it is looked anew, so that nothing goes out that was settled long ago.
const ROUND: Duration = Duration::from_mins(1);
/// The pauses after a failure: each twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// After so many failures in a row, which is after some four minutes, there is an alarm.
const ALARMED_AFTER: u32 = 9;
/// Where the alarm stands: there is one mail server.
const WHERE: &str = "mail server";

/// The mail server, and what emails need to know.
pub struct Emails {
    /// Who takes them.
    pub server: MailServer,
    /// Whom they come from.
    pub from: From,
    /// The address that their links begin with, without a slash at its end.
    pub public_url: String,
    /// What the service is called.
    pub service_name: String,
}

/// Sends until it is dropped.
pub async fn send_emails(store: Store, emails: Option<Emails>) {
    let Some(emails) = emails else { return };
    store.note_outgoing_emails(|outgoing| outgoing.is_set_up = true);
    let mut postman = Postman { store, emails, server: Pauses::default(), people: HashMap::new() };
    loop {
        sleep(LOOK_EVERY).await;
        if !postman.server.is_over(Instant::now()) {
            continue;
        }
        match postman.store.letters(is_told_anyway, clock::now()).await {
            Ok(letters) => postman.round(letters).await,
            Err(error) => {
                tracing::error!(event = "email.not_looked", error = %error, "it could not be seen which emails are due, and it is tried again");
                postman.server.lengthen(Instant::now());
            }
        }
    }
}

fn is_told_anyway(role: Role, sees: &Services) -> bool {
    May::ToldOfDanger.is_given_to(role, sees)
}

struct Postman {
    store: Store,
    emails: Emails,
    /// After the server failed.
    server: Pauses,
    /// After it refused somebody's email.
    people: HashMap<i64, Pauses>,
}

impl Postman {
    async fn round(&mut self, letters: Vec<Letter>) {
        let began = Instant::now();
        // What is due no longer is refused no longer.
        let still = |person: &i64| letters.iter().any(|letter| letter.person == *person);
        self.people.retain(|person, _| still(person));
        self.store.note_outgoing_emails(|outgoing| outgoing.refused.retain(still));
        let is_due = |letter: &Letter| self.people.get(&letter.person).is_none_or(|pauses| pauses.is_over(began));
        let letters: Vec<Letter> = letters.into_iter().filter(is_due).collect();
        let mut reached = None;
        if letters.is_empty() && self.server.failed > 0 {
            // Whether it has come back is seen also where nothing waits for it any more.
            match self.emails.server.reach().await {
                Ok(connection) => {
                    self.goes();
                    reached = Some(connection);
                }
                Err(fault) => return self.failed(fault).await,
            }
        }
        for letter in letters {
            if began.elapsed() > ROUND {
                return;
            }
            let mut connection = match reached.take() {
                Some(connection) => connection,
                // Before anything is noted as sent.
                None => match self.emails.server.reach().await {
                    Ok(connection) => connection,
                    Err(fault) => return self.failed(fault).await,
                },
            };
            match self.store.about_to_send(&letter, clock::now()).await {
                Ok(true) => (),
                Ok(false) => {
                    reached = Some(connection);
                    continue;
                }
                Err(error) => {
                    tracing::error!(event = "email.not_noted", error = %error, "an email is not sent, because it cannot be noted; it is tried again");
                    return self.server.lengthen(Instant::now());
                }
            }
            let sent = connection.hand_over(&self.emails.from, &self.email(&letter)).await;
            self.note(&letter, sent.as_ref().err().copied()).await;
            match sent {
                Ok(()) => {
                    self.people.remove(&letter.person);
                    self.store.note_outgoing_emails(|outgoing| {
                        outgoing.refused.remove(&letter.person);
                    });
                    self.goes();
                    reached = Some(connection);
                }
                Err(fault) if fault.is_of_one_email() => self.refused(letter.person, fault),
                Err(fault) => return self.failed(fault).await,
            }
        }
        if let Some(connection) = reached {
            connection.leave().await;
        }
    }

    fn email(&self, letter: &Letter) -> Email {
        let (subject, text) = words::of(&letter.says, &self.emails.public_url, &self.emails.service_name);
        Email { to: letter.to.clone(), subject, text }
    }

    async fn note(&self, letter: &Letter, fault: Option<Fault>) {
        let noted = match fault {
            None => self.store.sent(letter).await,
            Some(_) => self.store.not_sent(letter).await,
        };
        if let Err(error) = noted {
            tracing::error!(event = "email.not_noted", error = %error, "what became of an email cannot be noted: it may be missing, or come once more");
        }
    }

    /// The server is there.
    fn goes(&mut self) {
        let had_failed = self.server.failed > 0;
        self.server = Pauses::default();
        self.store.note_outgoing_emails(|outgoing| outgoing.trouble = None);
        if had_failed {
            tracing::info!(event = "email.goes_again", "the mail server takes emails again");
        }
    }

    /// The server is there, and does not take somebody's email.
    fn refused(&mut self, person: i64, fault: Fault) {
        self.goes();
        self.people.entry(person).or_default().lengthen(Instant::now());
        self.store.note_outgoing_emails(|outgoing| {
            outgoing.refused.insert(person);
        });
        tracing::warn!(
            event = "email.refused",
            account = person,
            why = %fault,
            "an email to a person was not taken, and is tried again ever more seldom"
        );
    }

    async fn failed(&mut self, fault: Fault) {
        self.server.lengthen(Instant::now());
        let (why, now) = (fault.to_string(), clock::now());
        let mut is_new = false;
        self.store.note_outgoing_emails(|outgoing| {
            is_new = outgoing.trouble.as_ref().is_none_or(|(_, before)| *before != why);
            let since = outgoing.trouble.as_ref().map_or(now, |(since, _)| *since);
            outgoing.trouble = Some((since, why.clone()));
        });
        if is_new {
            tracing::error!(
                event = "email.failed",
                why,
                "emails do not go out. They wait, and are tried again ever more seldom, at least every hour"
            );
        }
        if self.server.failed == ALARMED_AFTER {
            let alarm = Alarm::new(AlarmSort::EmailsFail, WHERE).with(why);
            if let Err(error) = self.store.raise(alarm, now).await {
                tracing::error!(event = "alarm.not_kept", error = %error, "an alarm could not be kept for the people who look at the pages");
            }
        }
    }
}

/// The time until the next try.
#[derive(Clone, Copy, Default, Debug)]
struct Pauses {
    failed: u32,
    until: Option<Instant>,
}

impl Pauses {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    fn lengthen(&mut self, now: Instant) {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failed)).min(LONGEST_PAUSE);
        self.failed = self.failed.saturating_add(1);
        self.until = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_an_hour() {
        let (now, mut pauses) = (Instant::now(), Pauses::default());
        assert!(pauses.is_over(now));
        let mut lengths = Vec::new();
        for _ in 0..100 {
            pauses.lengthen(now);
            lengths.push(pauses.until.unwrap() - now);
        }
        assert_eq!(lengths.first(), Some(&FIRST_PAUSE));
        assert!(lengths.windows(2).all(|two| two[0] * 2 == two[1] || two[1] == LONGEST_PAUSE));
        assert!(!pauses.is_over(now) && pauses.is_over(now + LONGEST_PAUSE));
        let alarmed: Duration = lengths.iter().take(usize::try_from(ALARMED_AFTER).unwrap() - 1).sum();
        assert!((200..300).contains(&alarmed.as_secs()));
    }
}
