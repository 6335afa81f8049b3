//! What a status means for a kind of message, what it does not mean, and what to do next: for somebody who has the caller on the phone.

use super::Status;
use crate::notify::{Callback, Content};

/// What came of a message, in two sentences or so each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Advice {
    /// What it means, and what it does not.
    pub means: &'static str,
    /// What to do now.
    pub next: &'static str,
}

impl Advice {
    /// On a callback of any kind.
    #[must_use]
    pub fn on(callback: &Callback) -> Advice {
        match &callback.content {
            Content::DeliveryReceipt(receipt) => receipt.status.advice(receipt.notification_type.as_deref()),
            Content::ReceivedText(_) => Advice::RECEIVED_TEXT,
            Content::ReturnedLetter(_) => Advice::RETURNED_LETTER,
            Content::Complaint(_) => Advice::COMPLAINT,
        }
    }

    /// On a text message that somebody sent in.
    pub const RECEIVED_TEXT: Advice = Advice {
        means: "Someone sent this text message to the service.",
        next: "Read the whole conversation before you answer. You answer in Notify.",
    };

    /// On a letter that came back.
    pub const RETURNED_LETTER: Advice = Advice {
        means: "The letter could not be delivered and came back.",
        next: "Check the address with the person before you send another letter.",
    };

    /// On an email that its reader marked as spam.
    pub const COMPLAINT: Advice = Advice {
        means: "The person marked this email as spam. It did arrive.",
        next: "Do not send more emails that they do not expect. Ask them how they want to hear from the service.",
    };
}

impl Status {
    /// What it means for this kind of message, and what to do next.
    #[must_use]
    pub fn advice(&self, notification_type: Option<&str>) -> Advice {
        let (means, next) = match notification_type {
            Some("email") => self.of_email(),
            Some("letter") => self.of_letter(),
            _ => self.of_text(),
        };
        Advice { means, next }
    }

    /// The statuses that this kind of message can have.
    pub fn of_type(notification_type: &str) -> impl Iterator<Item = Status> + use<> {
        use Status::{
            Accepted, Cancelled, Created, Delivered, Pending, PendingVirusCheck, PermanentFailure, Received,
            ReturnedLetter, Sending, Sent, TechnicalFailure, TemporaryFailure, ValidationFailed, VirusScanFailed,
        };
        let statuses: &'static [Status] = match notification_type {
            "email" => &[Delivered, PermanentFailure, TemporaryFailure, TechnicalFailure, Created, Sending],
            "letter" => &[
                Received,
                ReturnedLetter,
                Accepted,
                Created,
                PendingVirusCheck,
                Cancelled,
                ValidationFailed,
                VirusScanFailed,
                PermanentFailure,
                TechnicalFailure,
            ],
            _ => &[Delivered, PermanentFailure, TemporaryFailure, Sent, TechnicalFailure, Created, Sending, Pending],
        };
        statuses.iter().cloned()
    }

    fn of_email(&self) -> (&'static str, &'static str) {
        match self {
            Status::Delivered | Status::Sent => (
                "The message arrived in the person’s inbox or spam folder. This does not mean that anyone has read it.",
                "If the person has not seen it, ask them to look in their spam folder, and check the address with them.",
            ),
            Status::TemporaryFailure => (
                "The inbox did not take the message: it may be full, or a filter may have held it back. The address may be right.",
                "Send it again later. If it fails again, check the address with the person or reach them in another way.",
            ),
            Status::PermanentFailure => (
                "The email provider says that this address does not exist.",
                "Check the address with the person, letter by letter, before you send another message.",
            ),
            other => other.of_any(),
        }
    }

    fn of_text(&self) -> (&'static str, &'static str) {
        match self {
            Status::Delivered => (
                "The message arrived on the phone. This does not mean that anyone has read it.",
                "If the person has not seen it, check the number with them, and ask whether their phone blocks or filters messages.",
            ),
            Status::Sent => (
                "The message went to an international number. Some countries do not report whether it arrived.",
                "Ask the person whether it arrived.",
            ),
            Status::TemporaryFailure => (
                "The phone did not take the message: it may be off, full or without signal. The number may be right.",
                "Send it again later. If it fails again, check the number with the person or reach them in another way.",
            ),
            Status::PermanentFailure => (
                "The phone network did not deliver the message. The number may be wrong or blocked, or the network or the phone may \
                 refuse messages like this. It does not prove that the number is out of use.",
                "Check the number with the person. Do not delete it because of this alone.",
            ),
            other => other.of_any(),
        }
    }

    fn of_letter(&self) -> (&'static str, &'static str) {
        match self {
            Status::Created | Status::Sending | Status::Pending => (
                "Notify has the letter, and has not sent it to be printed yet.",
                "Wait. It may still be possible to cancel it in Notify.",
            ),
            Status::PendingVirusCheck => ("Notify is checking the letter’s file before it is printed.", "Wait."),
            Status::Accepted => (
                "The letter is being printed. It has not been posted yet.",
                "Wait. Nothing more is reported unless it comes back.",
            ),
            Status::Received | Status::Delivered | Status::Sent => (
                "The letter was printed and posted. Nobody reports whether it arrived.",
                "Allow some days for the post. If it comes back, that is shown here.",
            ),
            Status::ReturnedLetter => (Advice::RETURNED_LETTER.means, Advice::RETURNED_LETTER.next),
            Status::ValidationFailed => (
                "Notify did not print the letter: something stands outside the area that can be printed, or its address cannot be \
                 used.",
                "Correct the letter, then send it again.",
            ),
            Status::VirusScanFailed => (
                "Notify did not print the letter: its file may hold a virus.",
                "Tell your IT team. Make the file again on another machine, then send it again.",
            ),
            Status::PermanentFailure | Status::TemporaryFailure => (
                "The letter could not be printed and was not posted.",
                "Check the letter, then send it again. If it fails again, ask Notify.",
            ),
            other => other.of_any(),
        }
    }

    /// Where it is the same for each kind.
    fn of_any(&self) -> (&'static str, &'static str) {
        match self {
            Status::Created | Status::Sending | Status::Pending | Status::PendingVirusCheck | Status::Accepted => (
                "The message is on its way. It is not known yet whether it arrived.",
                "Wait. Notify reports when it is finished, which can take up to 72 hours.",
            ),
            Status::TechnicalFailure => (
                "The message was not sent, because something failed between Notify and the provider. The number or address may be right.",
                "Send it again. If it fails again, tell the people who look after the service.",
            ),
            Status::Cancelled => ("It was stopped before it was sent.", "If that was a mistake, send it again."),
            Status::ValidationFailed | Status::VirusScanFailed => {
                ("Notify did not send it: there is a problem with its file.", "Correct the file, then send it again.")
            }
            Status::Other(_) => {
                ("This status is not known here. It stands as it came.", "Look the message up in Notify.")
            }
            Status::Delivered
            | Status::Sent
            | Status::Received
            | Status::PermanentFailure
            | Status::TemporaryFailure
            | Status::ReturnedLetter => {
                ("Notify reports this for other kinds of message.", "Look the message up in Notify.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivered_is_never_said_to_be_read_and_not_delivered_never_to_be_out_of_use() {
        for sent_as in [Some("email"), Some("sms"), None] {
            assert!(Status::Delivered.advice(sent_as).means.contains("does not mean that anyone has read it"));
        }
        let Advice { means, next } = Status::PermanentFailure.advice(Some("sms"));
        for word in ["wrong", "blocked", "refuse", "does not prove"] {
            assert!(means.contains(word), "{word}");
        }
        assert!(next.contains("Do not delete it"));
    }

    #[test]
    fn each_kind_has_words_of_its_own_for_what_it_can_come_to() {
        for sent_as in ["email", "sms", "letter"] {
            for status in Status::of_type(sent_as) {
                let Advice { means, next } = status.advice(Some(sent_as));
                assert!(!means.contains("other kinds of message"), "{sent_as} {}", status.as_str());
                assert!(!next.is_empty() && !means.contains('!'), "{sent_as} {}", status.as_str());
            }
        }
        for status in Status::known() {
            let letter = status.advice(Some("letter"));
            let said = format!("{}{}", letter.means, letter.next);
            assert!(!said.contains("phone") && !said.contains("inbox") && !said.contains("72 hours"), "{said}");
        }
        assert_ne!(Status::PermanentFailure.advice(Some("email")), Status::PermanentFailure.advice(Some("sms")));
    }
}
