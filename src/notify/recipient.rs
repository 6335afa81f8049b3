//! Whose a number or an address is: one key for one person, however it was typed.

use std::fmt;

use phonenumber::country;
use unicode_normalization::UnicodeNormalization as _;

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

/// A reference as it is searched: without spaces, hyphens and what cannot be seen, in lower case, with letters and their
/// accents in one form.
#[must_use]
pub fn reference_key(reference: &str) -> String {
    let said = |character: &char| !character.is_whitespace() && !is_dash(*character);
    if reference.is_ascii() {
        let seen = reference.chars().filter(|character| said(character) && !character.is_control());
        return seen.map(|character| character.to_ascii_lowercase()).collect();
    }
    visible(reference).chars().filter(said).flat_map(char::to_lowercase).nfc().collect()
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
            b' ' | b'-' | b'(' | b')' => (),
            b'+' if digits.is_empty() => (),
            _ => return None,
        }
    }
    let national = match digits.len() {
        11 if !typed.contains('+') => digits.strip_prefix('0'),
        12 => digits.strip_prefix("44"),
        13 if typed.contains("(0)") => digits.strip_prefix("440"),
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

/// The zeros of the scripts that people write numbers in; the other nine digits follow each.
const ZEROS: [char; 37] = [
    '0', '\u{660}', '\u{6f0}', '\u{7c0}', '\u{966}', '\u{9e6}', '\u{a66}', '\u{ae6}', '\u{b66}', '\u{be6}', '\u{c66}',
    '\u{ce6}', '\u{d66}', '\u{de6}', '\u{e50}', '\u{ed0}', '\u{f20}', '\u{1040}', '\u{1090}', '\u{17e0}', '\u{1810}',
    '\u{1946}', '\u{19d0}', '\u{1a80}', '\u{1a90}', '\u{1b50}', '\u{1bb0}', '\u{1c40}', '\u{1c50}', '\u{a620}',
    '\u{a8d0}', '\u{a900}', '\u{a9d0}', '\u{a9f0}', '\u{aa50}', '\u{abf0}', '\u{ff10}',
];

/// A digit of any script as an ASCII one.
pub(super) fn digit(character: char) -> Option<char> {
    if character.is_ascii() {
        return character.is_ascii_digit().then_some(character);
    }
    let zero = ZEROS.iter().rfind(|zero| **zero <= character)?;
    char::from_digit(u32::from(character) - u32::from(*zero), 10)
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

pub(super) fn is_dash(character: char) -> bool {
    matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}')
}

/// Without control characters and characters that have no shape; odd spaces as plain ones.
pub(super) fn visible(text: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let space = |character: char| if character.is_whitespace() { ' ' } else { character };
    text.chars().map(space).filter(|character| !character.is_control() && !is_shapeless(*character)).collect()
}

/// Whether a character changes nothing of what is seen, or only how the one before it looks.
fn is_shapeless(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e007f}')
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
    fn a_reference_is_one_however_its_letters_are_made_up() {
        assert_eq!(reference_key("Caf\u{e9} \u{3164}1"), reference_key("CAFE\u{301}\u{fe0f}-1"));
        assert_eq!(reference_key(" HB–2026\u{200b} 1\t"), "hb20261");
        assert_eq!(reference_key(" HB-2026\0 1\t"), "hb20261");
    }

    #[test]
    fn digits_of_other_scripts_are_digits() {
        assert_eq!(of("٠٧٧٠٠ ٩٠٠١٢٣"), "+447700900123");
        assert_eq!(digit('٩'), Some('9'));
        assert_eq!([':', 'a', '٪', '東'].map(digit), [None; 4]);
        assert!(ZEROS.is_sorted());
    }

    #[test]
    fn anything_can_be_a_number() {
        for odd in ["+", "()", "++--", "(0)", "\0", "٣٤٥", "0", "00"] {
            let _key = key(odd);
        }
    }
}
