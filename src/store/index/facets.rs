//! What kind of callback, whose, with which status: it stands in each entry as one small number, so that a search that is limited
//! by it reads no rows of others; and it is a key of its own, for the lists that are limited by nothing else.

use super::{Field, key};
use crate::notify::Kind;
use crate::notify::status::Status;
use crate::store::{ServiceId, Services};

/// The code of a status that Notify did not have when this was written. The rows have to be asked which.
pub(in crate::store) const OTHER_STATUS: u8 = 255;

/// The code of what has no status.
pub(in crate::store) const NO_STATUS: u8 = 0;

/// The code of a status in the index.
pub(in crate::store) fn status_code(status: &Status) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(OTHER_STATUS)
}

/// What one callback is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store) struct Mark {
    pub(in crate::store) service: ServiceId,
    pub(in crate::store) kind: Kind,
    /// Its code; only delivery receipts have one.
    pub(in crate::store) status: u8,
}

impl Mark {
    /// The smaller the service's number, the smaller this is.
    pub(super) fn number(self) -> u64 {
        (self.service.0.cast_unsigned() << 11) | (u64::from(self.status) << 3) | u64::from(kind_code(self.kind))
    }

    /// Its own key: status, service, kind, each in the order of numbers.
    pub(super) fn key(self) -> Vec<u8> {
        let [service, kind] = [&self.service.0.to_be_bytes()[..], &[kind_code(self.kind)]];
        key(Field::Facets, &[&[self.status], service, kind].concat())
    }
}

fn kind_code(kind: Kind) -> u8 {
    u8::try_from(kind.code()).unwrap_or(0)
}

/// What is asked for.
#[derive(Clone, Default, Debug)]
pub(in crate::store) struct Facets {
    /// Of these services; of any where `None`.
    pub(in crate::store) services: Option<Vec<ServiceId>>,
    /// Of these kinds; of any where empty.
    pub(in crate::store) kinds: Vec<Kind>,
    /// With a status of these codes; with any where empty.
    pub(in crate::store) statuses: Vec<u8>,
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

    /// Whether they are met by a mark's number.
    pub(super) fn meet(&self, mark: u64) -> bool {
        let low_byte = |shifted: u64| shifted.to_le_bytes()[0];
        self.meet_parts((mark >> 11).cast_signed(), low_byte(mark >> 3), low_byte(mark) & 7)
    }

    /// Whether they are met by a mark's own key.
    pub(super) fn meet_key(&self, key: &[u8]) -> bool {
        let Some((&status, &kind)) = key.get(1).zip(key.last()) else { return false };
        service_of(key).is_some_and(|service| self.meet_parts(service, status, kind))
    }

    fn meet_parts(&self, service: i64, status: u8, kind: u8) -> bool {
        (self.statuses.is_empty() || self.statuses.contains(&status))
            && (self.kinds.is_empty() || self.kinds.iter().any(|wanted| kind_code(*wanted) == kind))
            && self.services.as_ref().is_none_or(|wanted| wanted.contains(&ServiceId(service)))
    }

    /// The least key that could meet them, and the first past all that could.
    pub(super) fn keys(&self) -> (Vec<u8>, Vec<u8>) {
        let least = self.statuses.iter().min().copied().unwrap_or(0);
        let past = self.statuses.iter().max().and_then(|greatest| greatest.checked_add(1));
        let past = past.map_or_else(|| vec![Field::Facets as u8 + 1], |next| key(Field::Facets, &[next]));
        (key(Field::Facets, &[least]), past)
    }

    /// The least key after this one that could meet them: passes over the statuses and services that are not asked for.
    pub(super) fn after(&self, mut own: Vec<u8>) -> Vec<u8> {
        let status = own.get(1).copied().unwrap_or_default();
        if !self.statuses.is_empty() && !self.statuses.contains(&status) {
            let next = self.statuses.iter().filter(|wanted| **wanted > status).min();
            return next.map_or_else(|| vec![Field::Facets as u8 + 1], |next| key(Field::Facets, &[*next]));
        }
        if let (Some(wanted), Some(service)) = (&self.services, service_of(&own))
            && !wanted.contains(&ServiceId(service))
        {
            let next = wanted.iter().map(|wanted| wanted.0).filter(|wanted| *wanted > service).min();
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

fn service_of(key: &[u8]) -> Option<i64> {
    key.get(2..10).and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(status: u8, service: i64) -> Mark {
        Mark { service: ServiceId(service), kind: Kind::DeliveryReceipt, status }
    }

    #[test]
    fn statuses_that_are_not_asked_for_are_passed_over() {
        let facets = Facets { statuses: vec![3, 1], ..Facets::default() };
        let own = |status| mark(status, 1).key();
        for (from, to) in [(0, own(1)), (2, own(3)), (4, vec![Field::Facets as u8 + 1])] {
            let next = facets.after(own(from));
            assert!(next > own(from) && next <= to, "{from}");
            let mut last = mark(from, i64::MAX).key();
            *last.last_mut().unwrap() = 255;
            assert!(next > last, "{from}: nothing more of it is read");
        }
        assert_eq!(facets.after(own(1)), [own(1), vec![0]].concat());
    }

    #[test]
    fn a_mark_meets_as_a_number_what_it_meets_as_a_key() {
        let all = [0, 1, 2, OTHER_STATUS].into_iter().flat_map(|status| [1, 2, 300].map(|service| (status, service)));
        let marks = all.flat_map(|(status, service)| Kind::ALL.map(|kind| Mark { kind, ..mark(status, service) }));
        let asked = [
            Facets::default(),
            Facets { statuses: vec![0, OTHER_STATUS], ..Facets::default() },
            Facets { services: Some(vec![ServiceId(1), ServiceId(300)]), ..Facets::default() },
            Facets { services: Some(Vec::new()), ..Facets::default() },
            Facets { kinds: vec![Kind::Complaint], statuses: vec![1], services: Some(vec![ServiceId(2)]) },
        ];
        for mark in marks {
            for facets in &asked {
                let meets = (facets.statuses.is_empty() || facets.statuses.contains(&mark.status))
                    && (facets.kinds.is_empty() || facets.kinds.contains(&mark.kind))
                    && facets.services.as_ref().is_none_or(|services| services.contains(&mark.service));
                assert_eq!(facets.meet(mark.number()), meets, "{mark:?} {facets:?}");
                assert_eq!(facets.meet_key(&mark.key()), meets, "{mark:?} {facets:?}");
            }
        }
    }
}
