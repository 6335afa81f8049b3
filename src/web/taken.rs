//! What a term is taken for: where it is looked for, what the page says of that, and what else it could be.

use super::plain_text::grouped;
use crate::notify::recipient::{MatchKey, reference_key};
use crate::notify::term::Term;
use crate::notify::words;
use crate::store::Source;

/// A sender's name has at most so many characters; a longer term is no such name.
const LONGEST_SENDER: usize = 11;

/// What a term is taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// A phone number or an email address, or several; and a reference, as one may look like a number.
    Person,
    /// An id of Notify's.
    Id,
    /// A reference, and what begins with it.
    Reference,
    /// A reference, and words in texts.
    Anything,
    /// Words in texts alone.
    Words,
    /// Whatever holds it.
    Anywhere,
}

impl Taken {
    /// What it is taken for where nobody says.
    pub(super) fn usually(typed: &str, term: &Term) -> Taken {
        match term {
            Term::People(_) => Taken::Person,
            Term::Words(_) => Taken::Anything,
            Term::Reference(key) if uuid::Uuid::try_parse(key).is_ok() => Taken::Id,
            Term::Reference(_) if may_be_a_name(typed) => Taken::Anything,
            Term::Reference(_) => Taken::Reference,
        }
    }

    /// What somebody asked for it to be taken for, where that can be.
    pub(super) fn asked(value: Option<&str>, typed: &str, term: &Term) -> Taken {
        let usually = Taken::usually(typed, term);
        let ways = usually.ways(typed);
        ways.into_iter().find(|way| value == Some(way.value())).unwrap_or(usually)
    }

    /// As it stands in an address.
    pub(super) fn value(self) -> &'static str {
        match self {
            Taken::Person => "person",
            Taken::Id => "id",
            Taken::Reference => "reference",
            Taken::Anything => "anything",
            Taken::Words => "words",
            Taken::Anywhere => "anywhere",
        }
    }

    /// What a term can be taken for that is usually taken for this.
    fn ways(self, typed: &str) -> Vec<Taken> {
        let mut ways = vec![self];
        if !matches!(self, Taken::Reference | Taken::Id) && !reference_key(typed).is_empty() {
            ways.push(Taken::Reference);
        }
        if words::of(typed).next().is_some() {
            ways.push(Taken::Words);
        }
        ways.push(Taken::Anywhere);
        ways
    }

    /// The other ways to search for it: whether it is the usual one, and its words.
    pub(super) fn others(self, typed: &str, term: &Term) -> Vec<(Taken, &'static str)> {
        let usually = Taken::usually(typed, term);
        let others = usually.ways(typed).into_iter().filter(|way| *way != self);
        others.map(|way| (way, way.offered())).collect()
    }

    fn offered(self) -> &'static str {
        match self {
            Taken::Person => "as a phone number or email address",
            Taken::Id => "as a Notify ID",
            Taken::Reference => "as a reference",
            Taken::Anything => "as a reference and as words in text messages",
            Taken::Words => "as words in text messages",
            Taken::Anywhere => "anywhere in a reference, number, address or text message",
        }
    }

    /// Where it is looked for: exactly, then by its beginning, then what holds it.
    pub(super) fn sources(self, typed: &str, term: &Term) -> Vec<Source> {
        match (self, term) {
            (Taken::Person | Taken::Reference, Term::People(keys)) => {
                let people = keys.iter().map(|key| Source::Person(key.as_str().to_owned()));
                let people = people.filter(|_| self == Taken::Person);
                let references = of_reference(typed).into_iter();
                people.chain(references.filter(|source| !matches!(source, Source::Person(_)))).collect()
            }
            (Taken::Person | Taken::Id | Taken::Reference, _) => of_reference(typed),
            (Taken::Anything, _) => {
                let mut sources = of_reference(typed);
                sources.push(Source::Words(words::of(typed).collect()));
                sources
            }
            (Taken::Words, _) => vec![Source::Words(words::of(typed).collect())],
            (Taken::Anywhere, _) => vec![Source::Contains(typed.to_owned())],
        }
    }

    /// The page's words for it.
    pub(super) fn said(self, term: &Term) -> String {
        match (self, term) {
            (Taken::Person, Term::People(keys)) => people_said(keys),
            (Taken::Id, _) => "Searched as a Notify ID and as a reference.".into(),
            (Taken::Person | Taken::Reference, _) => {
                "Searched as a reference: first exactly this one, then those that begin with it.".into()
            }
            (Taken::Anything, _) => {
                "Searched as a reference, as the name of a sender and as words in received text messages.".into()
            }
            (Taken::Words, _) => {
                "Searched as words in received text messages: those that hold all of them, in any order.".into()
            }
            (Taken::Anywhere, _) => {
                "Searched anywhere in references, phone numbers and email addresses as they were sent, and received text \
                 messages."
                    .into()
            }
        }
    }
}

/// Whether it has no digit: a reference may look so, and a name does. So the search box puts it into no address.
pub(super) fn may_be_a_name(typed: &str) -> bool {
    !typed.chars().any(char::is_numeric)
}

fn people_said(keys: &[MatchKey]) -> String {
    let is_address = |key: &&str| key.contains('@') && !key.contains(char::is_whitespace);
    let is_number = |key: &&str| key.chars().all(|character| character.is_ascii_digit() || character == '+');
    let (addresses, numbers): (Vec<&str>, Vec<&str>) = (
        keys.iter().map(MatchKey::as_str).filter(is_address).collect(),
        keys.iter().map(MatchKey::as_str).filter(is_number).collect(),
    );
    let what = match (numbers.len(), addresses.len()) {
        (0, 0) => return "Searched as a reference. No phone number or email address could be read in it.".into(),
        (1, 0) => "a phone number".into(),
        (0, 1) => "an email address".into(),
        (numbers, 0) => format!("{} phone numbers", count(numbers)),
        (0, addresses) => format!("{} email addresses", count(addresses)),
        _ => "phone numbers and email addresses".into(),
    };
    let people = [numbers, addresses].concat().join(", ");
    format!("Searched as {what}: messages to and from {people}. Also searched as a reference.")
}

fn count(of: usize) -> String {
    grouped(i64::try_from(of).unwrap_or(i64::MAX))
}

/// What a reference may be found by: exactly, as an id of Notify's, as the name of a sender, then by its beginning.
fn of_reference(typed: &str) -> Vec<Source> {
    let key = reference_key(typed);
    let mut sources = vec![];
    if !key.is_empty() {
        sources.push(Source::Reference(key.clone()));
    }
    // However its hyphens, spaces and letters were typed; any other id as it is.
    let plain = uuid::Uuid::try_parse(&key).map(|id| id.hyphenated().to_string()).ok();
    sources.extend(plain.filter(|id| id != typed).map(Source::NotifyId));
    sources.push(Source::NotifyId(typed.to_owned()));
    if typed.chars().count() <= LONGEST_SENDER {
        sources.extend(MatchKey::of_search(typed).map(|sender| Source::Person(sender.as_str().to_owned())));
    }
    if !key.is_empty() {
        sources.push(Source::ReferenceBeginsWith(key));
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(typed: &str, asked: Option<&str>) -> (Taken, Term) {
        let term = Term::of(typed).unwrap();
        (Taken::asked(asked, typed, &term), term)
    }

    #[test]
    fn a_term_is_taken_for_what_it_looks_like_and_the_page_says_so() {
        for (typed, expected, said) in [
            (
                "07700 900123",
                Taken::Person,
                "a phone number: messages to and from +447700900123. Also searched as a reference",
            ),
            ("1234567", Taken::Person, "a phone number: messages to and from +1234567. Also searched as a reference"),
            ("Some.One@example.com", Taken::Person, "an email address: messages to and from some.one@example.com."),
            (
                "07700 900123, 07700 900124",
                Taken::Person,
                "2 phone numbers: messages to and from +447700900123, +447700900124.",
            ),
            ("07700 900123 a@b.c", Taken::Person, "an email address: messages to and from a@b.c."),
            ("8D1EE2F1-0a55-4a1f-a2b2-3bd4b1c5f6aa", Taken::Id, "a Notify ID"),
            ("HB-2026-1", Taken::Reference, "a reference"),
            ("MyBank", Taken::Anything, "words in received text messages"),
            ("change my appointment", Taken::Anything, "words in received text messages"),
        ] {
            let (as_it_is, term) = taken(typed, None);
            assert_eq!(as_it_is, expected, "{typed}");
            assert!(as_it_is.said(&term).contains(said), "{typed}: {}", as_it_is.said(&term));
        }
    }

    #[test]
    fn each_other_way_can_be_asked_for_and_leads_back() {
        for typed in ["07700 900123", "HB-2026-1", "MyBank", "Amy Smith", "@", "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa"] {
            let (usually, term) = taken(typed, None);
            for (other, _) in usually.others(typed, &term) {
                assert_eq!(taken(typed, Some(other.value())).0, other, "{typed}");
                assert!(other.others(typed, &term).iter().any(|(back, _)| *back == usually), "{typed}");
                assert!(!other.sources(typed, &term).is_empty(), "{typed}");
            }
            assert_eq!(taken(typed, Some("nothing")).0, usually);
        }
        assert_eq!(taken("HB-2026-1", Some("person")).0, Taken::Reference, "what it cannot be it is not taken for");
    }

    #[test]
    fn a_number_is_found_as_a_person_first_and_as_a_reference_then() {
        let (person, term) = taken("1234567", None);
        let sources = person.sources("1234567", &term);
        assert_eq!(sources.first(), Some(&Source::Person("+1234567".into())));
        assert!(sources.contains(&Source::Reference("1234567".into())));
        assert_eq!(sources.last(), Some(&Source::ReferenceBeginsWith("1234567".into())));
    }
}
