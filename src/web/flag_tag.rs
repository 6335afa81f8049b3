//! A flag on a received text as pages show it: a tag, and the words that say why.

use super::plain_text::{self, Piece};
use crate::flagging::{Flag, Hit};

/// The tag with its reason.
pub(super) struct FlagTag {
    pub(super) words: &'static str,
    pub(super) tone: &'static str,
    /// Which text says so.
    pub(super) says: &'static str,
    pub(super) said: Vec<Piece>,
}

impl FlagTag {
    /// Of the text that is shown beside it, or of an earlier one.
    pub(super) fn of(hit: &Hit, is_of_this: bool) -> FlagTag {
        let tone = match hit.flag {
            Flag::Danger => "red",
            Flag::Stop => "orange",
            Flag::WrongPerson => "pink",
        };
        let says = if is_of_this { "because it says" } else { "because an earlier text says" };
        FlagTag { words: hit.flag.words(), tone, says, said: plain_text::pieces(&hit.said) }
    }
}
