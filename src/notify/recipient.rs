//! Whose a number or an address is: one key for one person, however it was typed.

use std::fmt;

use phonenumber::country;

/// Fewer digits are a short code.
const SHORTEST_NUMBER: usize = 7;

/// The key by which messages to and from one person are found. Its Debug says nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MatchKey(String);

impl fmt::Debug for MatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MatchKey(…)")
    }
}

impl MatchKey {
    /// Of a `to`, as the sending service typed it.
    #[must_use]
    pub fn of_recipient(typed: &str) -> Option<MatchKey> {
        key(typed)
    }

    /// Of a `source_number`: digits without `+`, a short code, or a name.
    #[must_use]
    pub fn of_sender(source_number: &str) -> Option<MatchKey> {
        key(source_number)
    }

    /// Of what a caseworker typed.
    #[must_use]
    pub fn of_search(typed: &str) -> Option<MatchKey> {
        key(typed)
    }

    /// As it stands in the store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What was typed into the search box.
#[derive(Debug, PartialEq, Eq)]
pub enum Term {
    /// A phone number or an email address.
    Person(MatchKey),
    /// Anything else, as a reference key.
    Reference(String),
}

impl Term {
    /// Tells a person from a reference; `None` where nothing was typed.
    #[must_use]
    pub fn of(typed: &str) -> Option<Term> {
        let seen = visible(typed);
        let seen = seen.trim();
        let email = seen.contains('@') && !seen.contains(char::is_whitespace);
        if email || looks_like_a_number(seen) {
            return key(seen).map(Term::Person);
        }
        let key = reference_key(seen);
        (!key.is_empty()).then_some(Term::Reference(key))
    }
}

/// A reference as it is searched: without spaces, hyphens and what cannot be seen, in lower case.
#[must_use]
pub fn reference_key(reference: &str) -> String {
    visible(reference)
        .chars()
        .filter(|character| !character.is_whitespace() && !is_dash(*character))
        .flat_map(char::to_lowercase)
        .collect()
}

fn key(typed: &str) -> Option<MatchKey> {
    if let Some(key) = plain_uk_mobile(typed) {
        return Some(MatchKey(key));
    }
    let seen = visible(typed);
    let seen = seen.trim();
    if seen.is_empty() {
        return None;
    }
    if seen.contains('@') {
        return Some(MatchKey(seen.to_lowercase()));
    }
    let number = looks_like_digits(seen).then(|| number(seen));
    Some(MatchKey(number.unwrap_or_else(|| seen.to_uppercase())))
}

/// The shapes that nearly all numbers have, without the library: this runs for every callback.
fn plain_uk_mobile(typed: &str) -> Option<String> {
    let mut digits = String::with_capacity(13);
    for byte in typed.bytes() {
        match byte {
            b'0'..=b'9' => digits.push(char::from(byte)),
            b' ' => (),
            b'+' if digits.is_empty() => (),
            _ => return None,
        }
    }
    let national = match digits.len() {
        11 if !typed.contains('+') => digits.strip_prefix('0'),
        12 => digits.strip_prefix("44"),
        _ => None,
    };
    national.filter(|number| number.starts_with('7')).map(|number| format!("+44{number}"))
}

/// A number in international form, or a short code as its digits.
fn number(seen: &str) -> String {
    let plus = seen.starts_with(['+', '＋']);
    let seen = seen.replace("(0)", "");
    let digits: String = seen.chars().filter_map(digit).collect();
    if digits.len() < SHORTEST_NUMBER && !plus {
        return digits;
    }
    let international = if plus {
        format!("+{digits}")
    } else if let Some(rest) = digits.strip_prefix("00") {
        format!("+{rest}")
    } else if digits.starts_with('0') {
        digits.clone()
    } else if digits.len() == 10 && digits.starts_with('7') {
        // Notify takes a UK mobile number without its 0.
        format!("+44{digits}")
    } else {
        format!("+{digits}")
    };
    let parsed = phonenumber::parse(Some(country::GB), &international);
    // What the library cannot read still has to match itself.
    parsed.map_or(international, |number| {
        let zeros = "0".repeat(usize::from(number.national().zeros()));
        format!("+{}{zeros}{}", number.code().value(), number.national().value())
    })
}

/// A digit of any script as an ASCII one.
fn digit(character: char) -> Option<char> {
    match character {
        '0'..='9' => Some(character),
        '０'..='９' => char::from_digit(u32::from(character) - u32::from('０'), 10),
        _ => None,
    }
}

fn looks_like_digits(seen: &str) -> bool {
    let only = |character: char| {
        digit(character).is_some()
            || character.is_whitespace()
            || is_dash(character)
            || matches!(character, '+' | '＋' | '(' | ')' | '.' | '/')
    };
    seen.chars().all(only) && seen.chars().any(|character| digit(character).is_some())
}

fn looks_like_a_number(seen: &str) -> bool {
    let digits = seen.chars().filter(|character| digit(*character).is_some()).count();
    looks_like_digits(seen) && !seen.contains('/') && (SHORTEST_NUMBER..=17).contains(&digits)
}

fn is_dash(character: char) -> bool {
    matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}')
}

/// Without control characters and characters that have no shape; odd spaces as plain ones.
fn visible(text: &str) -> String {
    let shapeless = |character: char| {
        matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let space = |character: char| if character.is_whitespace() { ' ' } else { character };
    let seen = text.chars().map(space).filter(|character| !character.is_control() && !shapeless(*character));
    seen.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(typed: &str) -> String {
        key(typed).map(|key| key.0).unwrap_or_default()
    }

    #[test]
    fn one_uk_mobile_is_one_person_in_every_form() {
        for form in [
            "07700 900123",
            "07700900123",
            "+44 (0)7700 900123",
            "+447700900123",
            "447700900123",
            "0044 7700 900123",
            "(07700) 900-123",
            "7700900123",
            "\u{202a}07700\u{a0}900123\u{202c}",
            "０７７００９００１２３",
            "+44 7700.900.123",
            "00447700900123",
            "07700–900123",
        ] {
            assert_eq!(of(form), "+447700900123", "{form}");
        }
    }

    #[test]
    fn other_senders_keep_their_own_rule() {
        assert_eq!(of("33612345678"), "+33612345678");
        assert_eq!(of("+33 6 12 34 56 78"), "+33612345678");
        assert_eq!(of("61016"), "61016");
        assert_eq!(of("MyBank "), "MYBANK");
        assert_eq!(of(" Some.One@Example.COM"), "some.one@example.com");
        assert_eq!(of("020 7946 0018"), "+442079460018");
        assert_eq!(key("  \u{200b}"), None);
    }

    #[test]
    fn italian_zeros_and_nonsense_match_themselves() {
        assert_eq!(of("+39 06 12345678"), of("390612345678"));
        assert_eq!(of("+999999999999999999999"), "+999999999999999999999");
    }

    #[test]
    fn the_search_box_tells_people_from_references() {
        assert!(matches!(Term::of(" 07700 900123 "), Some(Term::Person(_))));
        assert!(matches!(Term::of("a@b.example"), Some(Term::Person(_))));
        assert_eq!(Term::of(" HB-2026 004217\u{200b}"), Some(Term::Reference("hb2026004217".into())));
        assert!(matches!(Term::of("61016"), Some(Term::Reference(_))));
        assert!(matches!(Term::of("MYBANK"), Some(Term::Reference(_))));
        assert_eq!(Term::of("  "), None);
    }

    #[test]
    fn anything_can_be_typed() {
        for odd in ["+", "()", "++--", "(0)", "\0", "٣٤٥", "0", "00"] {
            let _key = key(odd);
            let _term = Term::of(odd);
        }
    }
}
