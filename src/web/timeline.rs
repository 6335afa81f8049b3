//! What happened to one message in its order, with the time between in words; and what else is known, one thing after another.

use super::back::Back;
use super::elsewhere::CaseUrl;
use super::plain_text::{self, Piece};
use super::results::{Moment, StatusTag, at, happened, href, kind_words, status_tag, written};
use crate::clock::{DAY, HOUR, MINUTE, SECOND};
use crate::notify::{Content, time};
use crate::store::{Kept, Origin, Related};

/// One step of a message's way.
pub(super) struct Step {
    pub(super) what: &'static str,
    /// `None` where Notify does not say when.
    pub(super) when: Option<Moment>,
    /// How long after the step before it.
    pub(super) after: Option<String>,
}

/// The way of a message, as far as this callback and its arrival tell it.
pub(super) fn steps(kept: &Kept) -> Vec<Step> {
    let told: Vec<(&'static str, Option<&str>)> = match &kept.callback.content {
        Content::DeliveryReceipt(receipt) => vec![
            ("Created in Notify", receipt.created_at.as_deref()),
            ("Sent by Notify", receipt.sent_at.as_deref()),
            ("Finished", receipt.completed_at.as_deref()),
        ],
        Content::ReceivedText(text) => vec![("Received by the phone network", text.date_received.as_deref())],
        Content::ReturnedLetter(letter) => vec![("Sent by Notify", letter.date_sent.as_deref())],
        Content::Complaint(complaint) => vec![("Marked as spam", complaint.complaint_date.as_deref())],
    };
    let last = match kept.origin {
        Origin::Fetched => "Read back from Notify",
        Origin::Imported => "Imported",
        Origin::CalledBack | Origin::Test => "Called back by Notify",
    };
    let mut before = None;
    let mut step = |what, when: Option<Moment>, instant: Option<i64>| {
        let after = before.zip(instant).map(|(before, instant)| between(before, instant));
        before = instant.or(before);
        Step { what, when, after }
    };
    let mut steps: Vec<Step> =
        told.into_iter().map(|(what, when)| step(what, when.map(written), when.and_then(time::instant))).collect();
    steps.push(step(last, Some(at(kept.arrived_at)), Some(kept.arrived_at)));
    steps
}

/// "2 minutes and 5 seconds later".
fn between(before: i64, after: i64) -> String {
    let apart = after.abs_diff(before);
    let words = i64::try_from(apart).map_or_else(|_| "a long time".into(), length);
    // Each of them has a clock of its own.
    if after < before { format!("{words} before that, by another clock") } else { format!("{words} later") }
}

/// A length of time by its two largest units.
fn length(micros: i64) -> String {
    let counted = |count: i64, unit: &str| match count {
        1 => format!("1 {unit}"),
        count => format!("{} {unit}s", plain_text::grouped(count)),
    };
    let units = [(DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second")];
    let Some(at) = units.iter().position(|(unit, _)| micros >= *unit) else { return "less than a second".into() };
    let parts = units.iter().skip(at).take(2).scan(micros, |left, (unit, name)| {
        let count = *left / unit;
        *left %= unit;
        Some((count, *name))
    });
    let parts: Vec<String> = parts.filter(|(count, _)| *count > 0).map(|(count, name)| counted(count, name)).collect();
    parts.join(" and ")
}

/// Something else that is known of the same person or with the same reference.
pub(super) struct Else {
    pub(super) href: String,
    pub(super) kind: String,
    pub(super) status: StatusTag,
    pub(super) when: Moment,
    /// Why it is here.
    pub(super) why: &'static str,
    pub(super) person: Option<String>,
    pub(super) reference: Option<String>,
    /// Where its case is.
    pub(super) case: Option<String>,
    pub(super) service: String,
    /// What it says, of a text that was received.
    pub(super) message: Option<Vec<Piece>>,
}

/// All of that, the latest first: by when it happened, and not by when it was heard of.
pub(super) fn others(related: &[Related], back: &Back, here: &str, case_url: Option<&CaseUrl>) -> Vec<Else> {
    let mut others: Vec<&Related> = related.iter().collect();
    others.sort_by_key(|one| std::cmp::Reverse(instant(&one.kept)));
    others.into_iter().map(|one| other(one, back, here, case_url)).collect()
}

fn instant(kept: &Kept) -> (i64, i64) {
    let own = happened(kept).iso.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_microsecond);
    (own.unwrap_or(kept.arrived_at), kept.arrival)
}

fn other(one: &Related, back: &Back, here: &str, case_url: Option<&CaseUrl>) -> Else {
    let Related { kept, same_person, same_reference } = one;
    let callback = &kept.callback;
    Else {
        href: back.onward(here, &href(callback.notify_id())),
        kind: kind_words(callback),
        status: status_tag(callback),
        when: happened(kept),
        why: match (same_person, same_reference) {
            (true, true) => "Same person and reference",
            (true, false) => "Same person",
            (false, _) => "Same reference",
        },
        person: callback.person().map(str::to_owned),
        reference: callback.reference().map(str::to_owned),
        case: case_url.zip(callback.reference()).and_then(|(url, reference)| url.of(reference)),
        service: kept.service_name.clone(),
        message: message(kept),
    }
}

/// What a received text says.
pub(super) fn message(kept: &Kept) -> Option<Vec<Piece>> {
    let Content::ReceivedText(text) = &kept.callback.content else { return None };
    Some(plain_text::pieces(text.message.as_deref().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_told_by_its_two_largest_units() {
        assert_eq!(length(0), "less than a second");
        assert_eq!(length(SECOND), "1 second");
        assert_eq!(length(59 * SECOND), "59 seconds");
        assert_eq!(length(2 * MINUTE + 5 * SECOND), "2 minutes and 5 seconds");
        assert_eq!(length(HOUR + 5 * SECOND), "1 hour");
        assert_eq!(length(HOUR + MINUTE), "1 hour and 1 minute");
        assert_eq!(length(3 * DAY + 2 * HOUR + 7 * MINUTE), "3 days and 2 hours");
        assert_eq!(length(1234 * DAY), "1,234 days");
    }

    #[test]
    fn what_another_clock_dates_earlier_is_said_to_be_by_another_clock() {
        assert_eq!(between(0, SECOND), "1 second later");
        assert_eq!(between(SECOND, 0), "1 second before that, by another clock");
        assert_eq!(between(i64::MIN, i64::MAX), "a long time later");
    }
}
