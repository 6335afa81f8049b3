//! A QR code as what an SVG element draws. It stands in the page itself: there is no address at which a secret could be fetched.

use std::fmt::Write as _;

use qrcode::{Color, QrCode};

/// The light edge that readers need, in modules.
const EDGE: usize = 4;

/// A square of so many units, and the path of the dark ones.
pub(super) struct Qr {
    pub(super) size: usize,
    pub(super) path: String,
}

impl Qr {
    /// Of a text; `None` where that is too long for one.
    pub(super) fn of(text: &str) -> Option<Qr> {
        let code = QrCode::new(text).ok()?;
        let mut path = String::new();
        for (y, row) in code.to_colors().chunks(code.width()).enumerate() {
            for (x, _) in row.iter().enumerate().filter(|(_, color)| **color == Color::Dark) {
                let _written = write!(path, "M{} {}h1v1h-1z", x + EDGE, y + EDGE);
            }
        }
        Some(Qr { size: code.width() + 2 * EDGE, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_three_corners_and_a_light_edge() {
        let qr = Qr::of("otpauth://totp/Counterfoil:a?secret=GEZDGNBVGY3TQOJQ").unwrap();
        let last = qr.size - EDGE - 1;
        for (x, y) in [(EDGE, EDGE), (last, EDGE), (EDGE, last)] {
            assert!(qr.path.contains(&format!("M{x} {y}h")), "{x} {y}");
        }
        assert!(!qr.path.contains(&format!("M{} ", EDGE - 1)) && !qr.path.contains(&format!("M{} ", last + 1)));
        assert!(Qr::of(&"x".repeat(5000)).is_none());
    }
}
