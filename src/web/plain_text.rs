//! Text as it was sent, with what cannot be seen made visible: control characters, direction overrides, zero-width spaces.

/// A run of text, or a character that would not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Shown as it is.
    Plain(String),
    /// Shown as a token, by its code.
    Hidden(String),
}

/// Cuts a text into pieces.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let joins = is_joiner(character) && !before.is_ascii() && rest.peek().is_none_or(|next| !next.is_ascii());
        if is_hidden(character) && !joins {
            if !plain.is_empty() {
                pieces.push(Piece::Plain(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Hidden(format!("U+{:04X}", u32::from(character))));
        } else {
            plain.push(character);
        }
        before = character;
    }
    if !plain.is_empty() {
        pieces.push(Piece::Plain(plain));
    }
    pieces
}

/// The joiners inside an emoji or a script that needs them.
fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
}

fn is_hidden(character: char) -> bool {
    let shown = matches!(character, '\n' | '\t');
    let invisible = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0001}');
    !shown && (character.is_control() || invisible)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Piece {
        Piece::Plain(text.into())
    }

    #[test]
    fn what_cannot_be_seen_is_shown_by_its_code() {
        let hidden = |code: &str| Piece::Hidden(code.into());
        assert_eq!(pieces("a\u{202e}b\0"), [plain("a"), hidden("U+202E"), plain("b"), hidden("U+0000")]);
        assert_eq!(pieces("a\u{200d}b"), [plain("a"), hidden("U+200D"), plain("b")]);
    }

    #[test]
    fn an_emoji_stays_whole() {
        assert_eq!(pieces("👩\u{200d}🚒 hi\nthere"), [plain("👩\u{200d}🚒 hi\nthere")]);
    }
}
