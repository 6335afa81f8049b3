//! Links that lead away: a reference to the case system, a conversation to the page in Notify where it is answered.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use super::Site;
use crate::notify::term::Term;
use crate::store::NewestText;

/// Where the reference goes.
const PLACE: &str = "{reference}";
/// What stands in a path or a query for itself.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The address of a case in the case system, with a place for its reference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaseUrl {
    before: String,
    /// Of what follows, each part stands behind the reference once more.
    after: Vec<String>,
}

/// What is wrong with the address of a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WrongCaseUrl {
    /// It does not say where the reference goes.
    #[error("say where the reference goes with {PLACE}, such as https://cases.example.gov.uk/cases/{PLACE}")]
    NoPlace,
    /// The reference would say which server is asked.
    #[error("{PLACE} must stand in the path or the query, behind the server’s name")]
    InServer,
    /// No web address.
    #[error("write a web address that begins with https:// or http:// and names a server")]
    NoAddress,
}

impl FromStr for CaseUrl {
    type Err = WrongCaseUrl;

    fn from_str(typed: &str) -> Result<CaseUrl, WrongCaseUrl> {
        let mut parts = typed.split(PLACE).map(str::to_owned);
        let before = parts.next().unwrap_or_default();
        let after: Vec<String> = parts.collect();
        if after.is_empty() {
            return Err(WrongCaseUrl::NoPlace);
        }
        let scheme = ["https://", "http://"]
            .into_iter()
            .find(|scheme| typed.get(..scheme.len()).is_some_and(|typed| typed.eq_ignore_ascii_case(scheme)));
        let rest = scheme.and_then(|scheme| before.get(scheme.len()..)).ok_or(WrongCaseUrl::NoAddress)?;
        let ends = rest.find(['/', '?', '#']).ok_or(WrongCaseUrl::InServer)?;
        let server = rest.get(..ends).unwrap_or_default();
        let whole: Result<http::Uri, _> = typed.replace(PLACE, "x").parse();
        let is_one = whole.is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()));
        // A name or password before the server’s name would stand on every page.
        if !is_one || server.contains('@') || typed.chars().any(|character| !character.is_ascii_graphic()) {
            return Err(WrongCaseUrl::NoAddress);
        }
        Ok(CaseUrl { before, after })
    }
}

impl fmt::Display for CaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.before)?;
        self.after.iter().try_for_each(|after| write!(f, "{PLACE}{after}"))
    }
}

impl CaseUrl {
    /// Where the case with this reference is. None where the reference may be a number or an address, which stand in no address of
    /// ours, or is a step in a path for browsers.
    #[must_use]
    pub fn of(&self, reference: &str) -> Option<String> {
        let reference = reference.trim();
        if matches!(reference, "." | "..") || !matches!(Term::of(reference), Some(Term::Reference(_))) {
            return None;
        }
        let encoded = utf8_percent_encode(reference, UNRESERVED).to_string();
        Some(self.after.iter().fold(self.before.clone(), |url, after| url + &encoded + after))
    }
}

/// The page in Notify where this text is answered, where it is known which service it was sent to.
pub(super) fn answer_at(site: &Site, text: &NewestText) -> Option<String> {
    let service_id = text.notify_service_id.as_deref().or_else(|| site.beyond.asking.service_id(&text.service_name))?;
    answer_in_notify(&site.beyond.notify_pages, service_id, &text.notify_id)
}

/// The page of Notify’s where the conversation with the sender of a text is read and answered: of a service and a text by their ids
/// in Notify. None where they are no ids of Notify’s.
fn answer_in_notify(pages: &str, service_id: &str, text_id: &str) -> Option<String> {
    let id = |text: &str| Uuid::try_parse(text).ok().map(|id| id.hyphenated().to_string());
    Some(format!("{pages}/services/{}/conversation/{}", id(service_id)?, id(text_id)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(url: &str, reference: &str) -> Option<String> {
        url.parse::<CaseUrl>().unwrap().of(reference)
    }

    #[test]
    fn a_reference_stands_in_the_address_as_one_part_whatever_it_is() {
        let path = "https://cases.example/view/{reference}/all";
        assert_eq!(case(path, "HB-2026-1").unwrap(), "https://cases.example/view/HB-2026-1/all");
        assert_eq!(
            case(path, " a/../b?c#d&é\" ").unwrap(),
            "https://cases.example/view/a%2F..%2Fb%3Fc%23d%26%C3%A9%22/all"
        );
        assert_eq!(
            case("http://c.example/?q={reference}&r={reference}", "A B").unwrap(),
            "http://c.example/?q=A%20B&r=A%20B"
        );
        for none in ["", ".", "..", "07700 900123", "amy@example.com"] {
            assert_eq!(case(path, none), None, "{none}");
        }
    }

    #[test]
    fn an_address_without_a_place_or_of_another_kind_is_refused_with_what_to_write() {
        let wrong = |url: &str| url.parse::<CaseUrl>().unwrap_err();
        assert_eq!(wrong("https://cases.example/"), WrongCaseUrl::NoPlace);
        assert!(wrong("https://cases.example/").to_string().contains("{reference}"));
        assert_eq!(wrong("javascript:alert({reference})"), WrongCaseUrl::NoAddress);
        assert_eq!(wrong("ftp://cases.example/{reference}"), WrongCaseUrl::NoAddress);
        assert_eq!(wrong("/cases/{reference}"), WrongCaseUrl::NoAddress);
        assert_eq!(wrong("https:///{reference}"), WrongCaseUrl::NoAddress);
        assert_eq!(wrong("https://me:secret@cases.example/{reference}"), WrongCaseUrl::NoAddress);
        assert_eq!(wrong("https://cases.example/ a{reference}"), WrongCaseUrl::NoAddress);
        assert_eq!(wrong("https://{reference}.example/"), WrongCaseUrl::InServer);
        assert_eq!(wrong("https://cases.example{reference}"), WrongCaseUrl::InServer);
        let right = "HTTPS://cases.example:8443/{reference}";
        assert_eq!(right.parse::<CaseUrl>().unwrap().to_string(), right);
    }

    #[test]
    fn a_text_is_answered_at_the_page_of_its_service() {
        let (service, text) = ("8D1EE2F1-0a55-4a1f-a2b2-3bd4b1c5f6aa", "5d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6ac");
        let page = answer_in_notify("https://www.notifications.service.gov.uk", service, text).unwrap();
        assert_eq!(
            page,
            "https://www.notifications.service.gov.uk/services/8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa/conversation/5d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6ac"
        );
        assert_eq!(answer_in_notify("https://a.example", service, "../x"), None);
    }
}
