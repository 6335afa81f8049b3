//! Text as it was sent, with what cannot be seen made visible: control characters, direction overrides, zero-width spaces.

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;

/// The same token so often in a row is written once, with how often.
const MANY: i64 = 4;
/// What a page shows of a body that nobody wrote to be read.
const SHOWN: usize = 20_000;

/// A run of text, or what would not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Shown as it is.
    Plain(String),
    /// Shown as a token, by its code.
    Hidden(String),
    /// A place where an address may go on in the next line.
    Break,
}

/// Cuts a text into pieces.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    pieces_of(text, 0..text.len())
}

/// The pieces of a part of a text: what stands round it says whether a joiner in it joins.
pub(super) fn pieces_of(text: &str, part: Range<usize>) -> Vec<Piece> {
    let (before, text, after) = (
        text.get(..part.start).unwrap_or_default(),
        text.get(part.clone()).unwrap_or_default(),
        text.get(part.end..).unwrap_or_default(),
    );
    let mut pieces = Pieces::default();
    let mut before = before.chars().next_back().unwrap_or(' ');
    let mut rest = text.char_indices();
    while let Some((at, character)) = rest.next() {
        let next = rest.clone().next().map_or_else(|| after.chars().next(), |(_, next)| Some(next));
        let joins = is_joiner(character) && !before.is_ascii() && next.is_none_or(|next| !next.is_ascii());
        if character == FLAG {
            let flag = flag(text.get(at..).unwrap_or_default());
            flag.chars().for_each(|character| pieces.show(character));
            rest.by_ref().take(flag.chars().count() - 1).for_each(drop);
        } else if character == '\r' && next == Some('\n') {
            // The newline that follows says it.
        } else if is_hidden(character) && !joins {
            pieces.hide(character);
        } else {
            pieces.show(character);
        }
        before = character;
    }
    pieces.whole()
}

/// A phone number or an email address, with places to break the line after each @ and dot.
pub(super) fn person(text: &str) -> Vec<Piece> {
    if !text.contains('@') {
        return pieces(text);
    }
    let parts = text.split_inclusive(['@', '.']).map(pieces);
    parts.reduce(|before, part| [before, vec![Piece::Break], part].concat()).unwrap_or_default()
}

/// The same in one line of text without markup, as for a title.
pub(super) fn line(text: &str) -> String {
    let said = pieces(text).into_iter().map(|piece| match piece {
        Piece::Plain(text) => text.replace(['\n', '\t'], " "),
        Piece::Hidden(code) => code,
        Piece::Break => String::new(),
    });
    said.collect()
}

/// A body as a page shows it.
pub(super) struct Body {
    pub(super) pieces: Vec<Piece>,
    /// What is said where this is not all.
    pub(super) cut: Option<String>,
}

impl Body {
    /// Of the bytes, whatever they are.
    pub(super) fn of(bytes: &[u8]) -> Body {
        let text = String::from_utf8_lossy(bytes);
        let Some((end, _)) = text.char_indices().nth(SHOWN) else { return Body { pieces: pieces(&text), cut: None } };
        let grouped = |count: usize| grouped(i64::try_from(count).unwrap_or(i64::MAX));
        let cut = format!(
            "Only the first {} of {} characters are shown. All of them are kept.",
            grouped(SHOWN),
            grouped(text.chars().count())
        );
        Body { pieces: pieces(text.get(..end).unwrap_or(&text)), cut: Some(cut) }
    }
}

/// At most so many characters, cut behind a word where there is one, else never inside what is seen as one character.
pub(super) fn preview(text: &str, at_most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(at_most) else { return text.to_owned() };
    let begun = text.get(..end).unwrap_or(text);
    let next = text.get(end..).and_then(|rest| rest.chars().next()).unwrap_or(' ');
    let words =
        if next.is_whitespace() { Some(begun) } else { begun.rsplit_once(char::is_whitespace).map(|(words, _)| words) };
    let kept = words.filter(|words| words.len() > begun.len() / 2).unwrap_or_else(|| whole(begun, next));
    format!("{}…", kept.trim_end())
}

/// Without the last characters that make up one with what comes next.
fn whole(mut begun: &str, mut next: char) -> &str {
    while let Some(last) = begun.chars().next_back() {
        let regional = |character: char| matches!(character, '\u{1f1e6}'..='\u{1f1ff}');
        let goes_on = is_combining_mark(next)
            || is_joiner(next)
            || is_joiner(last)
            || matches!(next, '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}')
            || (regional(last) && regional(next));
        if !goes_on {
            break;
        }
        begun = begun.get(..begun.len() - last.len_utf8()).unwrap_or_default();
        next = last;
    }
    begun
}

/// Pieces in the making.
#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    plain: String,
    hidden: Option<(char, i64)>,
}

impl Pieces {
    fn show(&mut self, character: char) {
        self.end_hidden();
        self.plain.push(character);
    }

    fn hide(&mut self, character: char) {
        if !self.plain.is_empty() {
            self.done.push(Piece::Plain(std::mem::take(&mut self.plain)));
        }
        match &mut self.hidden {
            Some((same, times)) if *same == character => *times += 1,
            _ => {
                self.end_hidden();
                self.hidden = Some((character, 1));
            }
        }
    }

    fn end_hidden(&mut self) {
        let Some((character, times)) = self.hidden.take() else { return };
        let code = format!("U+{:04X}", u32::from(character));
        if times < MANY {
            self.done.extend((0..times).map(|_| Piece::Hidden(code.clone())));
        } else {
            self.done.push(Piece::Hidden(format!("{code} × {}", grouped(times))));
        }
    }

    fn whole(mut self) -> Vec<Piece> {
        self.end_hidden();
        if !self.plain.is_empty() {
            self.done.push(Piece::Plain(self.plain));
        }
        self.done
    }
}

/// "1,234".
pub(super) fn grouped(count: i64) -> String {
    if count < 1000 { count.to_string() } else { format!("{},{:03}", grouped(count / 1000), count % 1000) }
}

/// The black flag: tags after it, up to their end, make it that of a country.
const FLAG: char = '\u{1f3f4}';

/// The flag that a text begins with, with its tags where they are whole.
fn flag(text: &str) -> &str {
    let tagged = text.trim_start_matches(FLAG).trim_start_matches(|tag| matches!(tag, '\u{e0020}'..='\u{e007e}'));
    let end = text.len() - tagged.len() + '\u{e007f}'.len_utf8();
    let one = text.chars().take(2).filter(|character| *character == FLAG).count() == 1;
    if one && tagged.starts_with('\u{e007f}') { text.get(..end) } else { text.get(..FLAG.len_utf8()) }
        .unwrap_or_default()
}

/// The joiners inside an emoji or a script that needs them.
fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
}

fn is_hidden(character: char) -> bool {
    let shown = matches!(character, '\n' | '\t');
    let invisible = matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !shown && (character.is_control() || invisible)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Piece {
        Piece::Plain(text.into())
    }

    fn hidden(code: &str) -> Piece {
        Piece::Hidden(code.into())
    }

    #[test]
    fn what_cannot_be_seen_is_shown_by_its_code() {
        assert_eq!(pieces("a\u{202e}b\0"), [plain("a"), hidden("U+202E"), plain("b"), hidden("U+0000")]);
        assert_eq!(pieces("a\u{200d}b"), [plain("a"), hidden("U+200D"), plain("b")]);
        for odd in ['\u{3164}', '\u{115f}', '\u{1160}', '\u{34f}', '\u{2800}', '\u{e0041}'] {
            assert_eq!(pieces(&odd.to_string()), [hidden(&format!("U+{:04X}", u32::from(odd)))]);
        }
    }

    #[test]
    fn parts_of_a_text_are_shown_as_the_whole_is() {
        for text in ["ab\u{200d}c", "می\u{200c}خواهم", "👩\u{200d}🚒 a\r\nb", "a\u{202e}"] {
            let ends = text
                .char_indices()
                .map(|(at, _)| at)
                .filter(|at| text.get(*at..).is_some_and(|rest| !rest.starts_with('\n')));
            for at in ends {
                let parts = [pieces_of(text, 0..at), pieces_of(text, at..text.len())].concat();
                let said = |pieces: Vec<Piece>| {
                    pieces
                        .iter()
                        .map(|piece| match piece {
                            Piece::Plain(text) | Piece::Hidden(text) => text.clone(),
                            Piece::Break => String::new(),
                        })
                        .collect::<String>()
                };
                assert_eq!(said(parts), said(pieces(text)), "{text:?} at {at}");
            }
        }
    }

    #[test]
    fn an_emoji_stays_whole() {
        let wales = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}";
        for whole in ["👩\u{200d}🚒 hi\nthere", wales, "\u{1f3f4} x", &format!("{wales}{wales}")] {
            assert_eq!(pieces(whole), [plain(whole)]);
        }
        assert_eq!(pieces("\u{1f3f4}\u{e0067}x"), [plain("\u{1f3f4}"), hidden("U+E0067"), plain("x")]);
    }

    #[test]
    fn a_carriage_return_before_a_newline_is_part_of_it() {
        assert_eq!(pieces("a\r\nb\rc"), [plain("a\nb"), hidden("U+000D"), plain("c")]);
    }

    #[test]
    fn the_same_token_many_times_is_written_once() {
        assert_eq!(pieces(&"\0".repeat(1_048_576)), [hidden("U+0000 × 1,048,576")]);
        assert_eq!(pieces("\0\0"), [hidden("U+0000"), hidden("U+0000")]);
        assert_eq!(pieces("\0\0\0\0\u{1}"), [hidden("U+0000 × 4"), hidden("U+0001")]);
    }

    #[test]
    fn a_title_is_one_line_of_text() {
        assert_eq!(line("A\u{202e}\nB"), "AU+202E B");
    }

    #[test]
    fn an_address_breaks_after_its_signs() {
        assert_eq!(person("a.b@c"), [plain("a."), Piece::Break, plain("b@"), Piece::Break, plain("c")]);
        assert_eq!(person("07700 900123"), [plain("07700 900123")]);
    }

    #[test]
    fn of_a_long_body_the_beginning_is_shown() {
        let whole = Body::of("é".repeat(SHOWN).as_bytes());
        assert_eq!((whole.pieces, whole.cut), (vec![plain(&"é".repeat(SHOWN))], None));
        let longer = Body::of("é".repeat(SHOWN + 1).as_bytes());
        assert_eq!(longer.pieces, [plain(&"é".repeat(SHOWN))]);
        assert!(longer.cut.unwrap().contains("20,000 of 20,001 characters"));
    }

    #[test]
    fn a_preview_ends_behind_a_word_and_never_inside_a_character() {
        assert_eq!(preview("one two three", 13), "one two three");
        assert_eq!(preview("one two three", 9), "one two…");
        assert_eq!(preview("one two three", 7), "one two…");
        assert_eq!(preview("onetwothree", 6), "onetwo…");
        assert_eq!(preview("ab👩\u{200d}🚒", 3), "ab…");
        assert_eq!(preview("ab👩\u{200d}🚒", 4), "ab…");
        assert_eq!(preview("abe\u{301}", 3), "ab…");
        assert_eq!(preview("ab\u{1f1ec}\u{1f1e7}", 3), "ab…");
    }
}
