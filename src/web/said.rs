//! What a received text says, as a row of results shows it: the sentences in which something was found, with that marked.

use std::ops::Range;

use super::plain_text::{self, Piece, pieces_of};
use crate::notify::words;

/// Characters of a text in which nothing was found.
const PREVIEW: usize = 160;
/// A sentence is shown from so many characters before what was found in it, and to so many after that.
const ROUND: usize = 120;
/// Sentences that are shown at most, where each word stands in another.
const SENTENCES: usize = 3;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Whether it is what was looked for.
    pub(super) is_found: bool,
    pub(super) pieces: Vec<Piece>,
}

/// What was looked for in texts.
#[derive(Clone, Copy, Debug)]
pub(super) enum LookedFor<'a> {
    Nothing,
    /// Each of these words, as they are searched.
    Words(&'a [String]),
    /// Just this, in any case.
    Part(&'a str),
}

/// The parts of a text to be shown.
pub(super) fn said(text: &str, looked_for: LookedFor<'_>) -> Vec<Part> {
    let found = match looked_for {
        LookedFor::Nothing => Vec::new(),
        LookedFor::Words(wanted) => words::placed(text).filter(|(_, word)| wanted.contains(word)).collect(),
        LookedFor::Part(part) => places(text, part),
    };
    let mut parts = Vec::new();
    let mut shown: Vec<&str> = Vec::new();
    let (mut sentences, mut end) = (0, 0);
    for (at, word) in &found {
        // Another sentence is shown for another word alone.
        if at.start < end || shown.contains(&word.as_str()) || sentences == SENTENCES {
            continue;
        }
        let sentence = sentence(text, at);
        let begin = sentence.start.max(end);
        if begin > end {
            parts.push(Part {
                is_found: false,
                pieces: vec![Piece::Plain(if sentences > 0 { " … " } else { "…" }.into())],
            });
        }
        end = begin;
        for (at, word) in found.iter().filter(|(at, _)| begin <= at.start && at.end <= sentence.end) {
            add(&mut parts, text, end..at.start, false);
            add(&mut parts, text, at.clone(), true);
            shown.push(word);
            end = at.end;
        }
        add(&mut parts, text, end..sentence.end, false);
        (sentences, end) = (sentences + 1, sentence.end);
    }
    if sentences == 0 {
        let preview = plain_text::preview(text, PREVIEW);
        add(&mut parts, &preview, 0..preview.len(), false);
    } else if text.get(end..).is_some_and(|rest| !rest.trim().is_empty()) {
        parts.push(Part { is_found: false, pieces: vec![Piece::Plain("…".into())] });
    }
    parts
}

fn add(parts: &mut Vec<Part>, text: &str, at: Range<usize>, is_found: bool) {
    if !at.is_empty() {
        parts.push(Part { is_found, pieces: pieces_of(text, at) });
    }
}

/// Where a part of a text stands in it, in any case.
fn places(text: &str, part: &str) -> Vec<(Range<usize>, String)> {
    let lower = |text: &str| -> Vec<(usize, usize, char)> {
        let each = text.char_indices().flat_map(|(at, character)| {
            character.to_lowercase().map(move |lower| (at, at + character.len_utf8(), lower))
        });
        each.collect()
    };
    let (text, part) = (lower(text), lower(part));
    let is_here =
        |window: &&[(usize, usize, char)]| window.iter().zip(&part).all(|((_, _, one), (_, _, other))| one == other);
    let mut found: Vec<(Range<usize>, String)> = Vec::new();
    for window in text.windows(part.len().max(1)).filter(is_here) {
        let ([(start, ..), ..], [.., (_, end, _)]) = (window, window) else { continue };
        if found.last().is_none_or(|(last, _)| last.end <= *start) {
            found.push((*start..*end, String::new()));
        }
    }
    found
}

/// The sentence round a place, or as much of it as is shown.
fn sentence(text: &str, at: &Range<usize>) -> Range<usize> {
    let (before, after) = (text.get(..at.start).unwrap_or_default(), text.get(at.end..).unwrap_or_default());
    let mut start = 0;
    for (place, character) in before.char_indices() {
        let next = place + character.len_utf8();
        let goes_on = before.get(next..).unwrap_or_default().starts_with(|next: char| !next.is_whitespace());
        if ends(character) && !(goes_on && character.is_ascii_punctuation()) {
            start = next;
        }
    }
    let mut end = text.len();
    for (place, character) in after.char_indices() {
        let next = at.end + place + character.len_utf8();
        let goes_on = text.get(next..).unwrap_or_default().starts_with(|next: char| !next.is_whitespace());
        if ends(character) && !(goes_on && character.is_ascii_punctuation()) {
            end = if character == '\n' { at.end + place } else { next };
            break;
        }
    }
    let begun = before.get(start..).unwrap_or_default();
    start += begun.len() - begun.trim_start().len();
    // A sentence without an end is cut between words.
    let far = before.char_indices().rev().nth(ROUND).map_or(0, |(place, _)| place);
    if start < far {
        let word = before.get(far..).and_then(|rest| rest.find(char::is_whitespace));
        start = word.map_or(at.start, |word| far + word);
        start += text.get(start..at.start).map_or(0, |rest| rest.len() - rest.trim_start().len());
    }
    let rest = text.get(at.end..end).unwrap_or_default();
    let short = plain_text::preview(rest, ROUND);
    if let Some(kept) = short.strip_suffix('…').filter(|kept| rest.starts_with(kept) && kept.len() < rest.len()) {
        end = at.end + kept.len();
    }
    start..end
}

fn ends(character: char) -> bool {
    matches!(character, '.' | '!' | '?' | '…' | '\n' | '。' | '！' | '？' | '؟' | '۔')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As text, with what was found in brackets.
    fn shown(text: &str, looked_for: LookedFor<'_>) -> String {
        let plain = |part: Part| {
            let text: String = part
                .pieces
                .into_iter()
                .map(|piece| match piece {
                    Piece::Plain(text) => text,
                    Piece::Hidden(code) => format!("<{code}>"),
                    Piece::Break => String::new(),
                })
                .collect();
            if part.is_found { format!("[{text}]") } else { text }
        };
        said(text, looked_for).into_iter().map(plain).collect()
    }

    fn words(text: &str, wanted: &[&str]) -> String {
        let wanted: Vec<String> = wanted.iter().map(|word| (*word).to_owned()).collect();
        shown(text, LookedFor::Words(&wanted))
    }

    #[test]
    fn a_word_is_shown_in_its_sentence() {
        let text = "Hello. I can't come at 10.30 on Thursday! Is Friday fine? Thanks";
        assert_eq!(words(text, &["thursday"]), "…I can't come at 10.30 on [Thursday]!…");
        assert_eq!(words(text, &["cant", "friday"]), "…I [can't] come at 10.30 on Thursday! … Is [Friday] fine?…");
        assert_eq!(words(text, &["thanks"]), "…[Thanks]");
        assert_eq!(words("Café,\nCAFE\u{301} and cafe", &["cafe"]), "[Café],…");
        assert_eq!(words("no", &["no"]), "[no]");
    }

    #[test]
    fn what_is_hostile_stays_what_it_is() {
        assert_eq!(words("<b>\u{202e}please</b>\0", &["please", "b"]), "<[b]><U+202E>[please]</[b]><U+0000>");
        assert_eq!(words("👩\u{200d}🚒 call 👩\u{200d}🚒", &["call"]), "👩\u{200d}🚒 [call] 👩\u{200d}🚒");
        assert_eq!(words("من می\u{200c}خواهم بیایم", &["خواهم"]), "من می\u{200c}[خواهم] بیایم");
    }

    #[test]
    fn of_a_long_text_so_much_is_shown_as_stands_round_it() {
        let text = format!("{}needle {}", "hay ".repeat(500), "straw ".repeat(500));
        let round = words(&text, &["needle"]);
        assert!(round.contains("hay [needle] straw") && round.chars().count() < 3 * ROUND, "{round}");
        assert!(round.starts_with("…hay ") && round.ends_with("straw…"), "{round}");
        let unbroken = format!("{}needle{}", "é".repeat(900), "é".repeat(900));
        assert!(shown(&unbroken, LookedFor::Part("needle")).contains("[needle]"));
        assert!(shown(&unbroken, LookedFor::Nothing).chars().count() <= PREVIEW + 1);
    }

    #[test]
    fn a_part_is_found_in_any_case() {
        assert_eq!(shown("İstanbul STRASSE straße", LookedFor::Part("strasse")), "İstanbul [STRASSE] straße");
        assert_eq!(shown("aaa", LookedFor::Part("A")), "[a][a][a]");
        assert_eq!(shown("abc", LookedFor::Part("x")), "abc");
        assert_eq!(shown("", LookedFor::Part("")), "");
    }
}
