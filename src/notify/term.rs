//! What somebody types into the search box: a person, in whatever form and with whatever round it, words, or a reference.
//!
//! Where it may be a person it is taken for one. A reference that is taken for a person is found all the same; a number that
//! is taken for a reference would stand in an address.

use unicode_normalization::UnicodeNormalization as _;

use super::recipient::{MatchKey, digit, is_dash, reference_key, visible};
use super::words;

/// Fewer digits are no phone number.
const SHORTEST: usize = 7;
/// More digits are several.
const LONGEST: usize = 17;
/// People that are looked for at once.
const PEOPLE: usize = 5;

/// What was typed into the search box.
#[derive(Debug, PartialEq, Eq)]
pub enum Term {
    /// Phone numbers or email addresses: everything that holds any, so that nothing personal stands in an address. Where none
    /// of them could be read there are no keys.
    People(Vec<MatchKey>),
    /// Several words, as they are searched in texts: they may be of a message, or somebody's name.
    Words(Vec<String>),
    /// Anything else, as a reference key.
    Reference(String),
}

impl Term {
    /// Tells people from a reference; `None` where there is nothing to search for.
    #[must_use]
    pub fn of(typed: &str) -> Option<Term> {
        let reference = reference_key(typed);
        // An id of Notify's may hold as many digits in a row as a phone number.
        if uuid::Uuid::try_parse(&reference).is_ok() {
            return Some(Term::Reference(reference));
        }
        let plain = plain(typed);
        let people = if plain.contains('@') {
            addresses(&plain)
        } else if holds_a_number(&plain) {
            numbers(&plain)
        } else {
            let words: Vec<String> = words::of(typed).collect();
            if are_words(&plain) && words.len() > 1 {
                return Some(Term::Words(words));
            }
            return (!reference.is_empty()).then_some(Term::Reference(reference));
        };
        let mut keys: Vec<MatchKey> = Vec::new();
        for key in people.iter().map(String::as_str).chain([typed]).filter_map(MatchKey::of_search) {
            if !keys.contains(&key) && keys.len() < PEOPLE {
                keys.push(key);
            }
        }
        Some(Term::People(keys))
    }
}

/// Whether a line that somebody typed may hold a phone number or an email address.
#[must_use]
pub fn may_be_personal(typed: &str) -> bool {
    matches!(Term::of(typed), Some(Term::People(_)))
}

/// Whether two words or more of letters alone stand in it, so that it may be what somebody wrote, or a name.
fn are_words(plain: &str) -> bool {
    let is_word = |word: &&str| {
        let word = word.trim_matches(|character: char| !character.is_alphanumeric());
        word.chars().count() > 1 && !word.chars().any(char::is_numeric)
    };
    plain.split_whitespace().filter(is_word).count() > 1
}

/// In one form whatever the keyboard: plain digits, plain spaces, nothing that cannot be seen.
fn plain(typed: &str) -> String {
    visible(&typed.nfkc().collect::<String>()).chars().map(|character| digit(character).unwrap_or(character)).collect()
}

/// Each address in it, without what stands round addresses in letters and in address books.
fn addresses(plain: &str) -> Vec<String> {
    let joined = plain.split('@').map(str::trim).collect::<Vec<_>>().join("@");
    let apart = |character: char| character.is_whitespace() || matches!(character, '<' | '>' | ',' | ';' | '(' | ')');
    let words = joined.split(apart).map(|word| {
        let word = word.trim_matches(|character| is_quote(character) || matches!(character, '.' | ':' | '[' | ']'));
        let scheme = word.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:"));
        scheme.and_then(|scheme| word.get(scheme.len()..)).unwrap_or(word)
    });
    let whole = |word: &&str| word.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    words.filter(whole).map(str::to_owned).collect()
}

fn is_quote(character: char) -> bool {
    matches!(character, '"' | '\'' | '`' | '‘' | '’' | '“' | '”' | '«' | '»')
}

/// A stretch of digits with what people write between them.
struct Stretch<'a> {
    text: &'a str,
    /// Whether it is part of a word with letters, as in HB-2026-004217.
    joined: bool,
}

impl Stretch<'_> {
    fn digits(&self) -> String {
        digits(self.text)
    }

    /// Whether it could be a phone number. Nearly everything could, where nothing but a number was typed; among letters it has
    /// to look like one.
    fn could_be_a_number(&self) -> bool {
        let digits = self.digits();
        if digits.len() < SHORTEST {
            return false;
        }
        let unbroken =
            || self.text.split(|character: char| !character.is_ascii_digit()).any(|run| run.len() >= SHORTEST);
        self.text.contains('+')
            || looks_like_a_mobile(&digits)
            || (!self.joined && (looks_national(&digits) || unbroken()))
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// 07…, 447… or 00447…, so many digits that it is one.
fn looks_like_a_mobile(digits: &str) -> bool {
    let national = digits.strip_prefix("0044").or(digits.strip_prefix("44")).or(digits.strip_prefix('0'));
    national.is_some_and(|national| {
        let national = national.strip_prefix('0').unwrap_or(national);
        national.len() >= 10 && national.starts_with('7')
    })
}

fn looks_national(digits: &str) -> bool {
    (digits.starts_with('0') && digits.len() >= 9) || (digits.starts_with('7') && digits.len() == 10)
}

/// The stretches of digits. Letters, and signs that no number holds, stand between them.
fn stretches(plain: &str) -> Vec<Stretch<'_>> {
    let in_number = |character: char| {
        character.is_ascii_digit()
            || character == ' '
            || is_dash(character)
            || matches!(character, '+' | '(' | ')' | '.' | '/' | '_')
    };
    let mut stretches = Vec::new();
    let mut at = 0;
    for piece in plain.split_inclusive(|character| !in_number(character)) {
        let text = piece.trim_end_matches(|character| !in_number(character));
        let (before, after) = plain.split_at_checked(at).unwrap_or_default();
        let is_digit = |character: char| character.is_ascii_digit();
        let leads = text.split(is_digit).next().unwrap_or_default();
        let trails = text.rsplit(is_digit).next().unwrap_or_default();
        let next = after.get(text.len()..).unwrap_or_default();
        let joined = (before.ends_with(char::is_alphabetic) && !leads.contains([' ', '+', '(']))
            || (next.starts_with(char::is_alphabetic) && !trails.contains([' ', '(']));
        stretches.push(Stretch { text, joined });
        at += piece.len();
    }
    stretches
}

fn holds_a_number(plain: &str) -> bool {
    // With no letters at all it is a number in some form, or a reference that looks like one.
    if !plain.contains(char::is_alphabetic) {
        return plain.chars().filter(|character| character.is_numeric()).count() >= SHORTEST;
    }
    let stretches = stretches(plain);
    let apart: String = stretches.iter().filter(|stretch| !stretch.joined).map(Stretch::digits).collect();
    looks_like_a_mobile(&apart) || stretches.iter().any(Stretch::could_be_a_number)
}

/// Each number in it.
fn numbers(plain: &str) -> Vec<String> {
    let mut numbers: Vec<String> = Vec::new();
    for stretch in stretches(plain) {
        let text = stretch.text.replace('_', " ");
        if digits(&text).len() > LONGEST {
            numbers.extend(several(&text));
        } else if digits(&text).len() >= SHORTEST {
            numbers.push(text);
        }
    }
    if numbers.is_empty() {
        // Written with signs between that nobody thought of.
        numbers.push(digits(plain));
    }
    numbers
}

/// Several numbers one after another: another begins with a slash, or with a 0 or + once a whole one stands before it.
fn several(text: &str) -> Vec<String> {
    let mut numbers = vec![String::new()];
    for group in text.replace('/', " / ").split_whitespace() {
        let whole = numbers.last().is_some_and(|number| digits(number).len() >= SHORTEST);
        if whole && (group == "/" || group.starts_with(['0', '+'])) {
            numbers.push(String::new());
        }
        if let Some(number) = numbers.last_mut().filter(|_| group != "/") {
            number.push_str(group);
            number.push(' ');
        }
    }
    numbers.retain(|number| digits(number).len() >= SHORTEST);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(typed: &str) -> Vec<String> {
        match Term::of(typed) {
            Some(Term::People(keys)) => keys.iter().map(|key| key.as_str().to_owned()).collect(),
            other => panic!("{typed} is {other:?}"),
        }
    }

    #[test]
    fn a_number_is_a_person_whatever_stands_round_it() {
        for typed in [
            " 07700 900123 ",
            "07700 900123,",
            "07700 900123;",
            "\"07700900123\"",
            "‘07700 900123’",
            "07700 900123 (mobile)",
            "07700 900123 mob",
            "mobile: 07700 900123",
            "tel:07700900123",
            "tel:+447700900123",
            "07700_900123",
            "07700*900123",
            "+44 7700 900123 ext 1",
            "07700900123x12",
            "Amy Smith 07700 900123.",
            "<07700 900123>",
            "٠٧٧٠٠٩٠٠١٢٣",
            "०७७०० ९००१२३",
            "０７７００９００１２３",
            "+44 (0)7700 900123",
            "tel07700900123",
        ] {
            assert_eq!(people(typed).first().map(String::as_str), Some("+447700900123"), "{typed}");
        }
    }

    #[test]
    fn an_address_is_a_person_whatever_stands_round_it() {
        for typed in [
            " Some.One@Example.com",
            "Some One <some.one@example.com>",
            "some.one @example.com",
            "some.one @ example.com",
            "some.one@example.com.",
            "mailto:some.one@example.com",
            "\"some.one@example.com\";",
            "some.one＠example.com",
            "(some.one@example.com)",
        ] {
            assert_eq!(people(typed).first().map(String::as_str), Some("some.one@example.com"), "{typed}");
        }
    }

    #[test]
    fn several_people_are_all_looked_for() {
        assert_eq!(people("a@b.com c@d.com")[..2], ["a@b.com", "c@d.com"]);
        for typed in ["07700 900123 / 07700 900124", "07700 900123, 07700 900124", "07700900123 07700900124"] {
            assert_eq!(people(typed)[..2], ["+447700900123", "+447700900124"], "{typed}");
        }
        assert!(people(&"a@b.com ".repeat(500)).len() <= PEOPLE);
    }

    #[test]
    fn what_cannot_be_read_but_may_be_personal_is_no_reference() {
        for typed in ["@", "@@", "a@", "0770 call 0900123", "1234567", "NHS number 9434765919", "2026/1234567"] {
            let _keys = people(typed);
        }
    }

    #[test]
    fn a_reference_stays_one() {
        for (typed, key) in [
            (" HB-2026 004217\u{200b}", "hb2026004217"),
            ("HB-2026-004217", "hb2026004217"),
            ("HB2026004217", "hb2026004217"),
            ("hb 2026 004217", "hb2026004217"),
            ("PCN/2026/12", "pcn/2026/12"),
            ("2026004217-HB", "2026004217hb"),
            ("61016", "61016"),
            ("MYBANK", "mybank"),
            ("550e8400-e29b-41d4-a716-446655440000", "550e8400e29b41d4a716446655440000"),
        ] {
            assert_eq!(Term::of(typed), Some(Term::Reference(key.into())), "{typed}");
        }
    }

    #[test]
    fn what_holds_several_words_may_be_of_a_text_or_a_name() {
        for (typed, words) in [
            ("Amy  Smith", &["amy", "smith"][..]),
            ("change my appointment?", &["change", "my", "appointment"]),
            ("meet at 10:30 Thursday", &["meet", "at", "10", "30", "thursday"]),
            ("O’Brien café", &["obrien", "cafe"]),
            ("ёлка 東京", &["елка", "東京"]),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(Term::of(typed), Some(Term::Words(words)), "{typed}");
        }
        for typed in ["MYBANK", "hb 2026 004217", "HB 12 A", "Smith", "a b"] {
            assert_eq!(Term::of(typed), Some(Term::Reference(reference_key(typed))), "{typed}");
        }
    }

    #[test]
    fn there_is_nothing_to_search_for_in_white_space_and_hyphens() {
        for typed in ["", "  ", "\u{200b}", "---", " - – "] {
            assert_eq!(Term::of(typed), None, "{typed}");
        }
    }

    #[test]
    fn anything_can_be_typed() {
        for odd in ["+", "()", "++--", "(0)", "\0", "٣٤٥", "0", "00", "é@", "mailto:é", "mailto:", "(((", "①②③④⑤⑥⑦"]
        {
            let _term = Term::of(odd);
        }
    }
}
