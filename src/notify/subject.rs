//! Whom somebody asks about: a person, however their number or address is written, or a reference. It tells what is theirs, and
//! finds them in bytes that could not be understood.

use std::collections::HashSet;
use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

use super::Callback;
use super::recipient::{MatchKey, digit, is_dash, reference_key, visible};
use super::term::Term;

/// Fewer digits stand in any text by chance.
const SHORTEST_NUMBER: usize = 7;
/// More digits are no number, however it is written.
const LONGEST_NUMBER: usize = 32;

/// A person or a reference. Its Debug says nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Everything to and from one number or address.
    Person(MatchKey),
    /// Everything with this reference key.
    Reference(String),
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Subject::Person(_) => "Person(…)",
            Subject::Reference(_) => "Reference(…)",
        })
    }
}

impl Subject {
    /// The person with this phone number, short code or sender's name.
    #[must_use]
    pub fn of_number(typed: &str) -> Option<Subject> {
        MatchKey::of_search(typed).filter(|key| !key.as_str().contains('@')).map(Subject::Person)
    }

    /// The person with this email address.
    #[must_use]
    pub fn of_email(typed: &str) -> Option<Subject> {
        let whole =
            |address: &str| address.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
        MatchKey::of_search(typed).filter(|key| whole(key.as_str())).map(Subject::Person)
    }

    /// What has this reference.
    #[must_use]
    pub fn of_reference(typed: &str) -> Option<Subject> {
        Some(reference_key(typed)).filter(|key| !key.is_empty()).map(Subject::Reference)
    }

    /// The key that it is found by.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Subject::Person(key) => key.as_str(),
            Subject::Reference(key) => key,
        }
    }

    /// Whether a callback is theirs by its own fields. What else came for the same message is theirs too.
    #[must_use]
    pub fn is_of(&self, callback: &Callback) -> bool {
        match self {
            Subject::Person(key) => callback.match_key().is_some_and(|other| other == *key),
            Subject::Reference(key) => callback.reference().is_some_and(|other| reference_key(other) == *key),
        }
    }

    /// Whether somebody who typed this searched for them.
    #[must_use]
    pub fn is_searched_by(&self, typed: &str) -> bool {
        match self {
            Subject::Person(key) => {
                matches!(Term::of(typed), Some(Term::People(keys)) if keys.contains(key))
                    || self.is_in(typed.as_bytes())
            }
            Subject::Reference(key) => reference_key(typed) == *key,
        }
    }

    /// Whether bytes hold the number, the address or the reference in any plain spelling, as text, JSON or a form.
    #[must_use]
    pub fn is_in(&self, body: &[u8]) -> bool {
        views(body).iter().any(|view| self.is_in_text(view))
    }

    fn is_in_text(&self, text: &str) -> bool {
        match self {
            Subject::Person(key) if key.as_str().contains('@') => {
                holds_address(&plain(text).to_lowercase(), key.as_str())
            }
            Subject::Person(key) => holds_number(&plain(text), &spellings(key.as_str())),
            Subject::Reference(key) => {
                let apart = |character: char| {
                    character.is_whitespace() || matches!(character, ',' | '&' | '=' | ';' | '<' | '>')
                };
                let pieces = text.split('"').chain(text.split(apart));
                pieces.map(reference_key).any(|piece| piece == *key)
            }
        }
    }
}

/// The ids in bytes that look like Notify's.
#[must_use]
pub fn ids_in(body: &[u8]) -> HashSet<String> {
    let text = String::from_utf8_lossy(body);
    let words = text.split(|character: char| !character.is_ascii_hexdigit() && character != '-');
    words.filter(|word| word.len() == 36 && uuid::Uuid::try_parse(word).is_ok()).map(str::to_lowercase).collect()
}

/// The text as it stands, and as JSON or a form would have written it.
fn views(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body).into_owned();
    let mut views = Vec::new();
    if text.contains("\\u") {
        views.push(without_escapes(&text));
    }
    if text.contains('%') {
        let spaced = text.replace('+', " ");
        views.push(percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned());
    }
    views.push(text);
    views
}

/// With the characters that `\uXXXX` stands for.
fn without_escapes(text: &str) -> String {
    let mut pieces = text.split("\\u");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(4).unwrap_or((piece, ""));
        match u32::from_str_radix(code, 16).ok().and_then(char::from_u32) {
            Some(character) => plain.extend([character]),
            None => plain.push_str(code),
        }
        plain.push_str(rest);
    }
    plain
}

/// In one form whatever the keyboard.
fn plain(text: &str) -> String {
    visible(&text.nfkc().collect::<String>()).chars().map(|character| digit(character).unwrap_or(character)).collect()
}

/// Whether an address stands in a text by itself, and not as a part of a longer one.
fn holds_address(text: &str, address: &str) -> bool {
    text.match_indices(address).any(|(at, found)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + found.len()..).unwrap_or_default());
        let begins =
            !before.ends_with(|last: char| last.is_alphanumeric() || matches!(last, '.' | '_' | '%' | '+' | '-'));
        let mut next = after.chars();
        let ends = match (next.next(), next.next()) {
            (Some('.' | '-'), Some(then)) => !then.is_alphanumeric(),
            (Some(first), _) => !first.is_alphanumeric() && first != '_',
            (None, _) => true,
        };
        begins && ends
    })
}

/// The digits that a number may be written with.
fn spellings(key: &str) -> Vec<String> {
    let international = key.strip_prefix('+');
    let digits = international.unwrap_or(key);
    if digits.len() < SHORTEST_NUMBER || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Vec::new();
    }
    let mut spellings = vec![digits.to_owned()];
    if international.is_some() {
        spellings.push(format!("00{digits}"));
    }
    if let Some(national) = international.and_then(|digits| digits.strip_prefix("44")) {
        spellings.extend(["0", "440", "00440"].map(|prefix| format!("{prefix}{national}")));
        spellings.extend((national.len() == 10 && national.starts_with('7')).then(|| national.to_owned()));
    }
    spellings
}

/// Whether one of the spellings stands in a text, from where digits begin to where they end, with what people write between.
fn holds_number(text: &str, spellings: &[String]) -> bool {
    if spellings.is_empty() {
        return false;
    }
    let in_number = |character: char| {
        character.is_ascii_digit() || is_dash(character) || matches!(character, ' ' | '+' | '(' | ')' | '.' | '/' | '_')
    };
    text.split(|character| !in_number(character)).any(|stretch| {
        let groups: Vec<&str> =
            stretch.split(|character: char| !character.is_ascii_digit()).filter(|group| !group.is_empty()).collect();
        (0..groups.len()).any(|first| {
            let mut digits = String::new();
            let begun = groups.iter().skip(first).map_while(|group| {
                digits.push_str(group);
                (digits.len() <= LONGEST_NUMBER).then(|| spellings.contains(&digits))
            });
            begun.into_iter().any(|is_found| is_found)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_a_body_however_it_is_written_there() {
        let subject = Subject::of_number("07700 900123").unwrap();
        for body in [
            r#"{"to": "07700 900123""#,
            r#"{"to": "+44 (0)7700-900.123"}"#,
            "source=447700900123&x=1",
            "to=%2B447700900123",
            "to=07700+900123",
            "tel:7700900123.",
            r#"["07700900124", "00447700900123"]"#,
            r#"{"to": "\uff10\uff17\uff17\uff10\uff10 900123"}"#,
            "07700900124 07700900123 1",
        ] {
            assert!(subject.is_in(body.as_bytes()), "{body}");
        }
        for body in ["07700900124", "107700900123", "077009001234", "0770090012", "07700900 12", ""] {
            assert!(!subject.is_in(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn an_address_is_found_by_itself_and_not_in_a_longer_one() {
        let subject = Subject::of_email("Amy@Example.com").unwrap();
        for body in
            [r#""to":"AMY@example.com""#, "to=amy%40example.com&", "<amy@example.com>.", r"\u003camy@example.com"]
        {
            assert!(subject.is_in(body.as_bytes()), "{body}");
        }
        for body in ["samy@example.com", "amy@example.com.au", "amy@example.community", "x.amy@example.com"] {
            assert!(!subject.is_in(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn a_reference_and_a_search_are_found_in_every_form() {
        let reference = Subject::of_reference("HB-2026 1").unwrap();
        assert!(reference.is_in(br#"{"reference": "hb 2026-1", "x"#) && reference.is_in(b"reference=HB20261&y"));
        assert!(!reference.is_in(br#"{"reference": "HB-2026 11"}"#));
        let person = Subject::of_number("07700900123").unwrap();
        assert!(person.is_searched_by("Amy +447700900123") && !person.is_searched_by("07700900124"));
        assert!(reference.is_searched_by("hb20261"));
    }

    #[test]
    fn short_codes_and_names_are_found_in_no_body() {
        assert!(!Subject::of_number("61016").unwrap().is_in(b"61016"));
        assert!(!Subject::of_number("MyBank").unwrap().is_in(b"MYBANK"));
        assert_eq!(
            (Subject::of_number("a@b"), Subject::of_email("amy"), Subject::of_reference(" - ")),
            (None, None, None)
        );
    }

    #[test]
    fn ids_are_told_from_other_words() {
        let ids = ids_in(br#"{"id": "740E5834-3a29-46b4-9a6f-16142fde533a", "deadbeef": "1-2"}"#);
        assert_eq!(ids.into_iter().collect::<Vec<_>>(), ["740e5834-3a29-46b4-9a6f-16142fde533a"]);
    }

    #[test]
    fn anything_can_be_a_body() {
        let subjects = [Subject::of_number("07700900123"), Subject::of_email("a@b"), Subject::of_reference("x")];
        for odd in [b"\\u".as_slice(), b"\\u12\xc3", b"%", b"%4", b"\xff\xfe", b"a@b", "\\u0é".as_bytes()] {
            for subject in subjects.iter().flatten() {
                let _is_in = subject.is_in(odd);
            }
        }
    }
}
