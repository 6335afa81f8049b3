//! What kind of callback, whose, with which status: it stands in each entry as one small number, so that a search that is limited
//! by it reads no rows of others; and it is a key of its own, for the lists that are limited by nothing else.

use super::{Field, key};
use crate::notify::Kind;
use crate::notify::filter::{Filter, has_failed};
use crate::notify::medium::Medium;
use crate::notify::status::Status;
use crate::store::{ServiceId, Services};

/// The code of what has no status.
const NO_STATUS: u8 = 0;

/// The code of a status that Notify did not have when this was written.
const OTHER_STATUS: u8 = 31;

/// What is sent, by its code; what is not said, or was not known when this was written, has 0.
pub(in crate::store) const SENT: [(&str, u8); 3] = [("email", 1), ("sms", 2), ("letter", 3)];

/// What one callback is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store) struct Mark {
    service: ServiceId,
    kind: u8,
    /// The code of its status; only delivery receipts have one.
    status: u8,
    /// The code of what was sent.
    sent: u8,
}

impl Mark {
    /// Of a delivery receipt.
    pub(in crate::store) fn of_receipt(service: ServiceId, status: &Status, notification_type: Option<&str>) -> Mark {
        let sent = SENT.iter().find(|(name, _)| notification_type == Some(name)).map_or(0, |(_, code)| *code);
        Mark { service, kind: kind_code(Kind::DeliveryReceipt), status: status_code(status), sent }
    }

    /// Of any other callback.
    pub(in crate::store) fn of_other(service: ServiceId, kind: Kind) -> Mark {
        Mark { service, kind: kind_code(kind), status: NO_STATUS, sent: 0 }
    }

    fn medium(self) -> Option<Medium> {
        let sent = SENT.iter().find(|(_, code)| *code == self.sent).map(|(name, _)| *name);
        Medium::of_callback(Kind::from_code(self.kind.into())?, sent)
    }

    /// The smaller the service's number, the smaller this is.
    pub(super) fn number(self) -> u64 {
        let [kind, sent, status] = [self.kind, self.sent, self.status].map(u64::from);
        (self.service.0.cast_unsigned() << 10) | (status << 5) | (sent << 3) | kind
    }

    fn of_number(number: u64) -> Mark {
        let bits = |from: u32, count: u32| (number >> from).to_le_bytes()[0] & ((1 << count) - 1);
        Mark {
            service: ServiceId((number >> 10).cast_signed()),
            status: bits(5, 5),
            sent: bits(3, 2),
            kind: bits(0, 3),
        }
    }

    /// Its own key: status, service, kind and what was sent, each in the order of numbers.
    pub(super) fn key(self) -> Vec<u8> {
        key(Field::Facets, &[&[self.status][..], &self.service.0.to_be_bytes(), &[self.kind, self.sent]].concat())
    }

    fn of_key(own: &[u8]) -> Option<Mark> {
        let [_field, status, service @ .., kind, sent] = own else { return None };
        let service = ServiceId(i64::from_be_bytes(service.try_into().ok()?));
        Some(Mark { service, kind: *kind, status: *status, sent: *sent })
    }
}

fn kind_code(kind: Kind) -> u8 {
    u8::try_from(kind.code()).unwrap_or(0)
}

fn status_code(status: &Status) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code < OTHER_STATUS).unwrap_or(OTHER_STATUS)
}

/// The statuses that are asked for: for each code with which of what is sent, a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Statuses([u8; OTHER_STATUS as usize + 1]);

impl Statuses {
    /// Those of receipts that meet a condition, and none at all where other kinds do.
    fn met_by(receipt_meets: impl Fn(&Status, &str) -> bool, others_do: bool) -> Statuses {
        let mut statuses = Statuses([0; OTHER_STATUS as usize + 1]);
        let sent = || [("", 0)].into_iter().chain(SENT);
        for status in Status::known().chain([Status::Other(String::new())]) {
            let meets = |name: &str| receipt_meets(&status, name);
            let bits = sent().filter(|(name, _)| meets(name)).map(|(_, code)| 1_u8 << code).sum();
            statuses.set(status_code(&status), bits);
        }
        if others_do {
            statuses.set(NO_STATUS, 1);
        }
        statuses
    }

    /// Those that are asked for here and there.
    fn and(mut self, other: Option<Statuses>) -> Statuses {
        if let Some(other) = other {
            self.0.iter_mut().zip(other.0).for_each(|(bits, others)| *bits &= others);
        }
        self
    }

    fn set(&mut self, status: u8, bits: u8) {
        if let Some(of_status) = self.0.get_mut(usize::from(status)) {
            *of_status = bits;
        }
    }

    fn of(&self, status: u8) -> u8 {
        self.0.get(usize::from(status)).copied().unwrap_or_default()
    }

    /// The first that some meet, of this one and those after it.
    fn first_from(&self, status: u8) -> Option<u8> {
        (status..=OTHER_STATUS).find(|status| self.of(*status) != 0)
    }
}

/// What is asked for.
#[derive(Clone, Default, Debug)]
pub(in crate::store) struct Facets {
    /// Of these services; of any where `None`.
    services: Option<Vec<ServiceId>>,
    /// Of these kinds; of any where `None`.
    kinds: Option<Vec<Kind>>,
    /// With a status of these; with any where `None`.
    statuses: Option<Statuses>,
    /// About this; about anything where `None`.
    medium: Option<Medium>,
}

impl Facets {
    /// Whatever is of these services.
    pub(in crate::store) fn of(services: &Services) -> Facets {
        let services = match services {
            Services::All => None,
            Services::Only(services) => Some(services.clone()),
        };
        Facets { services, ..Facets::default() }
    }

    /// Only what is of these kinds.
    pub(in crate::store) fn of_kinds(self, mut kinds: Vec<Kind>) -> Facets {
        kinds.retain(|kind| self.kinds.as_ref().is_none_or(|before| before.contains(kind)));
        Facets { kinds: Some(kinds), ..self }
    }

    /// Only what meets a filter.
    pub(in crate::store) fn meeting(self, filter: Filter) -> Facets {
        let kinds = filter.kinds();
        let meets =
            |status: &Status, sent: &str| Filter::met_by(Kind::DeliveryReceipt, status, Some(sent)) == Some(filter);
        let statuses = Statuses::met_by(meets, kinds.iter().any(|kind| *kind != Kind::DeliveryReceipt));
        Facets { statuses: Some(statuses.and(self.statuses)), ..self.of_kinds(kinds) }
    }

    /// Only what failed.
    pub(in crate::store) fn failed(self) -> Facets {
        let statuses = Statuses::met_by(|status, _| has_failed(Kind::DeliveryReceipt, status), true);
        let none = Status::Other(String::new());
        let can_fail = |kind: &Kind| *kind == Kind::DeliveryReceipt || has_failed(*kind, &none);
        let kinds = Kind::ALL.into_iter().filter(can_fail).collect();
        Facets { statuses: Some(statuses.and(self.statuses)), ..self.of_kinds(kinds) }
    }

    /// Only what is about this.
    pub(in crate::store) fn about(self, medium: Medium) -> Facets {
        Facets { medium: Some(medium), ..self }
    }

    /// Whether they are met by a mark's number.
    pub(super) fn meet(&self, mark: u64) -> bool {
        self.meet_mark(Mark::of_number(mark))
    }

    /// Whether they are met by a mark's own key.
    pub(super) fn meet_key(&self, key: &[u8]) -> bool {
        Mark::of_key(key).is_some_and(|mark| self.meet_mark(mark))
    }

    fn meet_mark(&self, mark: Mark) -> bool {
        self.statuses.is_none_or(|statuses| statuses.of(mark.status) & (1 << mark.sent) != 0)
            && self.kinds.as_ref().is_none_or(|wanted| wanted.iter().any(|wanted| kind_code(*wanted) == mark.kind))
            && self.medium.is_none_or(|wanted| mark.medium() == Some(wanted))
            && self.services.as_ref().is_none_or(|wanted| wanted.contains(&mark.service))
    }

    /// The least key that could meet them, and the first past all that could.
    pub(super) fn keys(&self) -> (Vec<u8>, Vec<u8>) {
        let least = self.statuses.and_then(|statuses| statuses.first_from(0)).unwrap_or(0);
        (key(Field::Facets, &[least]), PAST.to_vec())
    }

    /// The least key after this one that could meet them: passes over the statuses and services that are not asked for.
    pub(super) fn after(&self, mut own: Vec<u8>) -> Vec<u8> {
        let Some(mark) = Mark::of_key(&own) else { return PAST.to_vec() };
        if let Some(next) = self.statuses.map(|statuses| statuses.first_from(mark.status))
            && next != Some(mark.status)
        {
            return next.map_or_else(|| PAST.to_vec(), |next| key(Field::Facets, &[next]));
        }
        if let Some(wanted) = &self.services
            && !wanted.contains(&mark.service)
        {
            let next = wanted.iter().map(|wanted| wanted.0).filter(|wanted| *wanted > mark.service.0).min();
            own.truncate(2);
            own.extend(next.unwrap_or(i64::MAX).to_be_bytes());
            if next.is_none() {
                own.push(255);
            }
        }
        own.push(0);
        own
    }
}

/// Past all keys of facets.
const PAST: [u8; 1] = [Field::Facets as u8 + 1];

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses() -> impl Iterator<Item = Status> {
        Status::known().chain([Status::Other("new".into())])
    }

    #[test]
    fn statuses_that_are_not_asked_for_are_passed_over() {
        let facets = Facets::default().meeting(Filter::NotAccepting);
        let own = |status| Mark::of_receipt(ServiceId(1), &status, Some("sms")).key();
        let (before, asked, after) =
            (own(Status::PermanentFailure), own(Status::TemporaryFailure), own(Status::TechnicalFailure));
        let next = facets.after(before.clone());
        assert!(next > before && next <= asked);
        assert!(next > Mark::of_receipt(ServiceId(i64::MAX), &Status::PermanentFailure, Some("letter")).key());
        assert_eq!(facets.after(asked.clone()), [asked, vec![0]].concat());
        assert_eq!(facets.after(after), PAST);
    }

    #[test]
    fn a_mark_meets_a_filter_where_its_callback_does_as_a_number_and_as_a_key() {
        let sent = [None, Some("email"), Some("sms"), Some("letter"), Some("carrier pigeon")];
        for filter in Filter::ALL {
            let facets = Facets::default().meeting(filter);
            for (status, sent) in statuses().flat_map(|status| sent.map(|sent| (status.clone(), sent))) {
                let mark = Mark::of_receipt(ServiceId(300), &status, sent);
                let meets = Filter::met_by(Kind::DeliveryReceipt, &status, sent) == Some(filter);
                assert_eq!(facets.meet(mark.number()), meets, "{filter:?} {mark:?}");
                assert_eq!(facets.meet_key(&mark.key()), meets, "{filter:?} {mark:?}");
            }
            for kind in [Kind::ReceivedText, Kind::ReturnedLetter, Kind::Complaint] {
                let meets = Filter::met_by(kind, &Status::Other(String::new()), None) == Some(filter);
                assert_eq!(facets.meet(Mark::of_other(ServiceId(1), kind).number()), meets, "{filter:?} {kind:?}");
            }
        }
        assert_eq!(statuses().filter(|status| status_code(status) == OTHER_STATUS).count(), 1);
    }

    #[test]
    fn a_mark_is_about_what_its_callback_is_and_has_failed_where_that_has() {
        for (status, sent) in statuses()
            .flat_map(|status| [None, Some("email"), Some("sms"), Some("letter")].map(|sent| (status.clone(), sent)))
        {
            let number = Mark::of_receipt(ServiceId(7), &status, sent).number();
            let of_it = Medium::of_callback(Kind::DeliveryReceipt, sent);
            assert!(
                Medium::ALL
                    .into_iter()
                    .all(|medium| Facets::default().about(medium).meet(number) == (of_it == Some(medium)))
            );
            let failed = has_failed(Kind::DeliveryReceipt, &status);
            assert_eq!(Facets::default().failed().meet(number), failed, "{status:?}");
            for filter in Filter::ALL {
                let meets = Filter::met_by(Kind::DeliveryReceipt, &status, sent) == Some(filter);
                assert_eq!(
                    Facets::default().failed().meeting(filter).meet(number),
                    failed && meets,
                    "{filter:?} {status:?}"
                );
            }
        }
        let other = |kind| Mark::of_other(ServiceId(7), kind).number();
        for kind in [Kind::ReceivedText, Kind::ReturnedLetter, Kind::Complaint] {
            assert_eq!(Facets::default().failed().meet(other(kind)), kind == Kind::ReturnedLetter, "{kind:?}");
            let medium = Medium::of_callback(kind, None).unwrap();
            assert!(Facets::default().about(medium).meet(other(kind)), "{kind:?}");
        }
        assert!(!Facets::default().of_kinds(vec![Kind::ReceivedText]).failed().meet(other(Kind::ReceivedText)));
    }

    #[test]
    fn a_mark_meets_its_own_service_and_kind_alone() {
        let mark = Mark::of_other(ServiceId(2), Kind::Complaint);
        let of = |services: &[i64], kinds: &[Kind]| {
            let services = Some(services.iter().map(|service| ServiceId(*service)).collect());
            let kinds = (!kinds.is_empty()).then(|| kinds.to_vec());
            let facets = Facets { services, kinds, ..Facets::default() };
            assert_eq!(facets.meet(mark.number()), facets.meet_key(&mark.key()));
            facets.meet(mark.number())
        };
        assert!(of(&[2], &[]) && of(&[1, 2], &[Kind::Complaint]));
        assert!(!of(&[], &[]) && !of(&[1], &[]) && !of(&[2], &[Kind::ReceivedText]));
    }
}
