//! The words of a text message, as they are searched.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// A longer word is cut.
const LONGEST: usize = 40;

/// The words in order, in lower case and without accents; an apostrophe does not part a word.
pub fn of(text: &str) -> impl Iterator<Item = String> {
    placed(text).map(|(_, word)| word)
}

/// The same, each with the bytes where it stands.
pub fn placed(text: &str) -> impl Iterator<Item = (Range<usize>, String)> {
    let apart =
        |character: char| !character.is_alphanumeric() && !is_apostrophe(character) && !is_combining_mark(character);
    let mut at = 0;
    let written = text.split_inclusive(apart).map(move |piece| {
        let begin = at;
        at += piece.len();
        (begin, piece.trim_end_matches(apart))
    });
    let placed = written.map(|(begin, written)| (begin..begin + written.len(), word(written)));
    placed.filter(|(_, word)| !word.is_empty())
}

fn word(written: &str) -> String {
    let plain = written.nfd().filter(|character| !is_combining_mark(*character) && !is_apostrophe(*character));
    plain.flat_map(char::to_lowercase).take(LONGEST).collect()
}

fn is_apostrophe(character: char) -> bool {
    matches!(character, '\'' | '’' | '‘' | '`')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_however_they_are_written() {
        let words = |text| of(text).collect::<Vec<_>>();
        assert_eq!(words("O'Brien’s CAFÉ, at 10:30…"), ["obriens", "cafe", "at", "10", "30"]);
        assert_eq!(words("Cafe\u{301} Ŵyl 😕 --"), ["cafe", "wyl"]);
        assert_eq!(words("ЁЛКА 東京"), ["елка", "東京"]);
        assert!(words(" ’ ").is_empty());
    }

    #[test]
    fn each_word_stands_where_it_was_written() {
        let text = "O'Brien’s CAFÉ, at 10:30… Cafe\u{301} 東京";
        let written: Vec<&str> = placed(text).map(|(at, _)| &text[at]).collect();
        assert_eq!(written, ["O'Brien’s", "CAFÉ", "at", "10", "30", "Cafe\u{301}", "東京"]);
    }
}
