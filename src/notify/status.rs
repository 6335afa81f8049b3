//! Statuses: Notify's values, Notify's words for them, and the rule for which of several a page shows.

mod advice;

pub use advice::Advice;

use super::time;

/// What became of a message. A value that is not known stays as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status {
    /// Waiting at Notify.
    Created,
    /// With the provider.
    Sending,
    /// With the provider, which reported that it waits.
    Pending,
    /// Sent to an international number, which reports no more.
    Sent,
    /// Arrived.
    Delivered,
    /// Cannot be delivered.
    PermanentFailure,
    /// Could not be delivered for now.
    TemporaryFailure,
    /// Something failed between Notify and the provider.
    TechnicalFailure,
    /// Notify refused to send it.
    ValidationFailed,
    /// The letter's file holds a virus.
    VirusScanFailed,
    /// The letter's file is being looked at.
    PendingVirusCheck,
    /// Stopped before it was sent.
    Cancelled,
    /// The letter is being printed.
    Accepted,
    /// The letter was posted.
    Received,
    /// The letter came back.
    ReturnedLetter,
    /// Any other.
    Other(String),
}

/// How a status looks to someone in a hurry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// It arrived.
    Good,
    /// It did not.
    Bad,
    /// It is on its way.
    Waiting,
    /// Neither.
    Neutral,
}

/// Each with its value at Notify and its number in the store, which never changes.
const KNOWN: [(Status, &str, i64); 15] = [
    (Status::Created, "created", 1),
    (Status::Sending, "sending", 2),
    (Status::Pending, "pending", 3),
    (Status::Sent, "sent", 4),
    (Status::Delivered, "delivered", 5),
    (Status::PermanentFailure, "permanent-failure", 6),
    (Status::TemporaryFailure, "temporary-failure", 7),
    (Status::TechnicalFailure, "technical-failure", 8),
    (Status::ValidationFailed, "validation-failed", 9),
    (Status::VirusScanFailed, "virus-scan-failed", 10),
    (Status::PendingVirusCheck, "pending-virus-check", 11),
    (Status::Cancelled, "cancelled", 12),
    (Status::Accepted, "accepted", 13),
    (Status::Received, "received", 14),
    (Status::ReturnedLetter, "returned-letter", 15),
];

impl From<&str> for Status {
    fn from(value: &str) -> Status {
        let known = KNOWN.iter().find(|(_, known, _)| *known == value);
        known.map_or_else(|| Status::Other(value.to_owned()), |(status, ..)| status.clone())
    }
}

impl Status {
    /// The value as Notify writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Status::Other(value) => value,
            known => KNOWN.iter().find(|(status, ..)| status == known).map_or("", |(_, value, _)| value),
        }
    }

    /// Every status that Notify has.
    pub fn known() -> impl Iterator<Item = Status> {
        KNOWN.into_iter().map(|(status, ..)| status)
    }

    /// Its number in the store, where it is known.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        KNOWN.iter().find(|(status, ..)| status == self).map(|(.., code)| *code)
    }

    /// The status of that number.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Status> {
        KNOWN.iter().find(|(.., known)| *known == code).map(|(status, ..)| status.clone())
    }

    /// Whether Notify does nothing more about the message.
    #[must_use]
    pub fn is_final(&self) -> bool {
        use Status::{Accepted, Created, Other, Pending, PendingVirusCheck, Sending};
        !matches!(self, Created | Sending | Pending | PendingVirusCheck | Accepted | Other(_))
    }

    /// The words of Notify's own pages.
    #[must_use]
    pub fn words(&self, notification_type: Option<&str>) -> String {
        let email = notification_type == Some("email");
        let words = match self {
            Status::Created | Status::Sending | Status::Pending => "Delivering",
            Status::Sent if email => "Delivered",
            Status::Sent => "Sent to an international number",
            Status::Delivered => "Delivered",
            Status::TemporaryFailure if email => "Inbox not accepting messages right now",
            Status::TemporaryFailure => "Phone not accepting messages right now",
            Status::PermanentFailure if email => "Email address does not exist",
            Status::PermanentFailure => "Not delivered",
            Status::TechnicalFailure => "Technical failure",
            Status::ValidationFailed => "Validation failed",
            Status::VirusScanFailed => "Virus detected",
            Status::PendingVirusCheck => "Being checked",
            Status::Cancelled => "Cancelled",
            Status::Accepted => "Being printed",
            Status::Received => "Posted",
            Status::ReturnedLetter => "Returned",
            Status::Other(value) => return sentence(value),
        };
        words.to_owned()
    }

    /// How it looks to someone in a hurry.
    #[must_use]
    pub fn tone(&self) -> Tone {
        match self {
            Status::Delivered | Status::Sent | Status::Received => Tone::Good,
            Status::PermanentFailure
            | Status::TemporaryFailure
            | Status::TechnicalFailure
            | Status::ValidationFailed
            | Status::VirusScanFailed
            | Status::ReturnedLetter => Tone::Bad,
            Status::Created | Status::Sending | Status::Pending | Status::PendingVirusCheck | Status::Accepted => {
                Tone::Waiting
            }
            Status::Cancelled | Status::Other(_) => Tone::Neutral,
        }
    }
}

/// "provider-says-no" as "Provider says no".
fn sentence(value: &str) -> String {
    let spaced = value.replace(['-', '_'], " ");
    let mut letters = spaced.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What decides which of several events of one notification is shown.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The event's status.
    pub status: &'a Status,
    /// When the message was finished, as Notify wrote it.
    pub completed_at: Option<&'a str>,
    /// The event's number.
    pub arrival: i64,
}

impl Standing<'_> {
    /// The rule: a final status beats one that is not, then the later `completed_at`, then the later arrival.
    #[must_use]
    pub fn beats(&self, other: &Standing<'_>) -> bool {
        self.rank() > other.rank()
    }

    fn rank(&self) -> (bool, Option<i64>, i64) {
        (self.status.is_final(), self.completed_at.and_then(time::instant), self.arrival)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_as_it_was() {
        for (status, value, code) in &KNOWN {
            assert_eq!(Status::from(*value), *status);
            assert_eq!((status.as_str(), status.code()), (*value, Some(*code)));
            assert_eq!(Status::from_code(*code).as_ref(), Some(status));
        }
        assert_eq!(Status::from("On-Hold").as_str(), "On-Hold");
        assert_eq!(Status::from("on-hold_now").words(None), "On hold now");
    }

    #[test]
    fn a_final_status_wins_then_the_later_completion_then_the_later_arrival() {
        let at = |status, completed_at, arrival| Standing { status, completed_at, arrival };
        let (sending, delivered) = (Status::Sending, Status::Delivered);
        assert!(at(&delivered, None, 1).beats(&at(&sending, Some("2030-01-01T00:00:00Z"), 2)));
        assert!(at(&delivered, Some("2026-01-02T00:00:00Z"), 1).beats(&at(
            &delivered,
            Some("2026-01-01T00:00:00Z"),
            2
        )));
        assert!(at(&delivered, None, 2).beats(&at(&delivered, None, 1)));
        assert!(!at(&delivered, None, 1).beats(&at(&delivered, None, 2)));
    }
}
