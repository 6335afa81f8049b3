//! What a list of messages can be narrowed to: what stands there in the same words. Every message meets one filter at most.

use super::Kind;
use super::status::{Status, Tone};

/// A status as a list can be narrowed to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each has its words")]
pub enum Filter {
    Delivered,
    Delivering,
    SentAbroad,
    NotDelivered,
    NotAccepting,
    TechnicalFailure,
    Returned,
    MarkedAsSpam,
    Other,
}

impl Filter {
    /// All of them, in the order of a list to choose from.
    pub const ALL: [Filter; 9] = [
        Filter::Delivered,
        Filter::Delivering,
        Filter::SentAbroad,
        Filter::NotDelivered,
        Filter::NotAccepting,
        Filter::TechnicalFailure,
        Filter::Returned,
        Filter::MarkedAsSpam,
        Filter::Other,
    ];

    /// As it stands in an address.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Filter::Delivered => "delivered",
            Filter::Delivering => "sending",
            Filter::SentAbroad => "sent",
            Filter::NotDelivered => "permanent-failure",
            Filter::NotAccepting => "temporary-failure",
            Filter::TechnicalFailure => "technical-failure",
            Filter::Returned => "returned",
            Filter::MarkedAsSpam => "marked-as-spam",
            Filter::Other => "other",
        }
    }

    /// Its words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Filter::Delivered => "Delivered",
            Filter::Delivering => "Delivering",
            Filter::SentAbroad => "Sent to an international number",
            Filter::NotDelivered => "Not delivered or email address does not exist",
            Filter::NotAccepting => "Phone or inbox not accepting messages right now",
            Filter::TechnicalFailure => "Technical failure",
            Filter::Returned => "Returned",
            Filter::MarkedAsSpam => "Marked as spam",
            Filter::Other => "Any other status",
        }
    }

    /// The one that stands in an address.
    #[must_use]
    pub fn of(value: &str) -> Option<Filter> {
        Filter::ALL.into_iter().find(|filter| filter.value() == value)
    }

    /// The one that a message meets, by its kind and, where it is a receipt, by its status and what was sent.
    #[must_use]
    pub fn met_by(kind: Kind, status: &Status, notification_type: Option<&str>) -> Option<Filter> {
        match kind {
            Kind::DeliveryReceipt => Some(met_by_receipt(status, notification_type)),
            Kind::ReturnedLetter => Some(Filter::Returned),
            Kind::Complaint => Some(Filter::MarkedAsSpam),
            Kind::ReceivedText => None,
        }
    }

    /// The kinds of those that meet it.
    #[must_use]
    pub fn kinds(self) -> Vec<Kind> {
        match self {
            Filter::Returned => vec![Kind::DeliveryReceipt, Kind::ReturnedLetter],
            Filter::MarkedAsSpam => vec![Kind::Complaint],
            _ => vec![Kind::DeliveryReceipt],
        }
    }
}

/// Whether a message did not reach whom it was for, by its kind and, where it is a receipt, by its status.
#[must_use]
pub fn has_failed(kind: Kind, status: &Status) -> bool {
    match kind {
        Kind::DeliveryReceipt => status.tone() == Tone::Bad,
        Kind::ReturnedLetter => true,
        Kind::ReceivedText | Kind::Complaint => false,
    }
}

fn met_by_receipt(status: &Status, notification_type: Option<&str>) -> Filter {
    match status {
        Status::Delivered => Filter::Delivered,
        Status::Sent if notification_type == Some("email") => Filter::Delivered,
        Status::Sent => Filter::SentAbroad,
        Status::Created | Status::Sending | Status::Pending => Filter::Delivering,
        Status::PermanentFailure => Filter::NotDelivered,
        Status::TemporaryFailure => Filter::NotAccepting,
        Status::TechnicalFailure => Filter::TechnicalFailure,
        Status::ReturnedLetter => Filter::Returned,
        Status::ValidationFailed
        | Status::VirusScanFailed
        | Status::PendingVirusCheck
        | Status::Cancelled
        | Status::Accepted
        | Status::Received
        | Status::Other(_) => Filter::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_same_words_meets_the_same_filter() {
        let statuses = || Status::known().chain([Status::Other("on-hold".into())]);
        for (one, other) in statuses().flat_map(|one| statuses().map(move |other| (one.clone(), other))) {
            for (kind, other_kind) in
                [(Some("email"), Some("sms")), (Some("email"), Some("email")), (None, Some("sms"))]
            {
                if one.words(kind) == other.words(other_kind) {
                    assert_eq!(met_by_receipt(&one, kind), met_by_receipt(&other, other_kind), "{one:?} and {other:?}");
                }
            }
        }
        let returned = Filter::met_by(Kind::ReturnedLetter, &Status::Other(String::new()), None);
        assert_eq!(returned, Some(met_by_receipt(&Status::ReturnedLetter, Some("letter"))));
    }

    #[test]
    fn a_filter_names_every_kind_that_meets_it() {
        for status in Status::known().chain([Status::Other(String::new())]) {
            for (kind, sent) in
                Kind::ALL.into_iter().flat_map(|kind| [Some("email"), Some("sms"), None].map(|sent| (kind, sent)))
            {
                let Some(filter) = Filter::met_by(kind, &status, sent) else { continue };
                assert!(filter.kinds().contains(&kind), "{filter:?}");
                assert_eq!(Filter::of(filter.value()), Some(filter));
            }
        }
    }
}
