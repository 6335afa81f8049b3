//! How a message goes, as people tell messages apart: what a list can be narrowed to.

use super::Kind;

/// What a callback is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Medium {
    /// An email, and what its reader said of it.
    Email,
    /// A text message that was sent.
    TextMessage,
    /// A letter, and that it came back.
    Letter,
    /// A text message that somebody sent in.
    ReceivedText,
}

impl Medium {
    /// All of them, in the order of a list to choose from.
    pub const ALL: [Medium; 4] = [Medium::Email, Medium::TextMessage, Medium::Letter, Medium::ReceivedText];

    /// As it stands in an address.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Medium::Email => "email",
            Medium::TextMessage => "text-message",
            Medium::Letter => "letter",
            Medium::ReceivedText => "received-text",
        }
    }

    /// Its words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Medium::Email => "Email",
            Medium::TextMessage => "Text message",
            Medium::Letter => "Letter",
            Medium::ReceivedText => "Received text message",
        }
    }

    /// The one that stands in an address.
    #[must_use]
    pub fn of(value: &str) -> Option<Medium> {
        Medium::ALL.into_iter().find(|medium| medium.value() == value)
    }

    /// That of a callback, by its kind and, where it is a receipt, by what was sent.
    #[must_use]
    pub fn of_callback(kind: Kind, notification_type: Option<&str>) -> Option<Medium> {
        match kind {
            Kind::ReceivedText => Some(Medium::ReceivedText),
            Kind::ReturnedLetter => Some(Medium::Letter),
            Kind::Complaint => Some(Medium::Email),
            Kind::DeliveryReceipt => match notification_type? {
                "email" => Some(Medium::Email),
                "sms" => Some(Medium::TextMessage),
                "letter" => Some(Medium::Letter),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_callback_is_about_what_its_row_says() {
        let receipt = |sent| Medium::of_callback(Kind::DeliveryReceipt, sent);
        assert_eq!(receipt(Some("email")), Some(Medium::Email));
        assert_eq!(receipt(Some("sms")), Some(Medium::TextMessage));
        assert_eq!((receipt(None), receipt(Some("pigeon"))), (None, None));
        assert_eq!(Medium::of_callback(Kind::ReturnedLetter, None), receipt(Some("letter")));
        assert!(Medium::ALL.into_iter().all(|medium| Medium::of(medium.value()) == Some(medium)));
        assert_eq!(Medium::of(""), None);
    }
}
