//! A random value that opens something: a session, a one-time link, a callback token.

use std::fmt;

use crate::store::hexadecimal;

/// 256 random bits; as text 64 hexadecimal characters. Its Debug says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A new one from the system's generator.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn random() -> Result<Secret, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Secret(bytes))
    }

    /// Reads the text form; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Secret> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (byte, place) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(text.get(place..place + 2)?, 16).ok()?;
        }
        Some(Secret(bytes))
    }

    /// The text form, for a cookie, a link or a token's file.
    #[must_use]
    pub fn text(&self) -> String {
        hexadecimal(&self.0)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_is_read_back_and_nothing_else_is() {
        let secret = Secret::random().unwrap();
        assert_eq!(Secret::parse(&secret.text()), Some(secret));
        assert_eq!(Secret::parse(&"é".repeat(32)), None);
        assert_eq!(Secret::parse("+1"), None);
    }
}
