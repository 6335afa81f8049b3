//! What an authenticator app does (RFC 6238), and the recovery codes for who has lost it. It knows neither store nor people.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use totp_rs::{Builder, Totp};

use crate::clock::SECOND;

/// How many recovery codes there are at first.
const RECOVERY_CODES: usize = 10;
/// The bytes of one: with 112 bits or more, nobody guesses it from its mark.
const RECOVERY_CODE: usize = 15;

/// The step that a typed code is of, where it is right now: the one under way, the one before or the one after, because clocks
/// differ. Spaces in it do not matter.
pub(super) fn step(secret: &[u8], typed: &str, now: i64) -> Option<i64> {
    let code = plain(typed);
    let is_one = code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = u64::try_from(now / SECOND).ok()?;
    let step = totp(secret)?.check(&code, seconds).filter(|_| is_one)?;
    i64::try_from(step).ok()
}

/// A secret as people type it: letters and digits in groups of four.
pub(super) fn text(secret: &[u8]) -> String {
    in_groups(&base32(secret), " ")
}

/// A secret as apps read it from a QR code, with the name of the service that they show its codes for.
pub(super) fn uri(secret: &[u8], email: &str, service: &str) -> String {
    let [email, service] = [email, service].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
    format!("otpauth://totp/{service}:{email}?secret={}&issuer={service}", base32(secret))
}

/// New recovery codes, in the form in which they are kept.
///
/// # Errors
/// When the system has no randomness to give.
pub(super) fn recovery_codes() -> Result<Vec<String>, getrandom::Error> {
    let mut codes = Vec::new();
    for _ in 0..RECOVERY_CODES {
        let mut bytes = [0; RECOVERY_CODE];
        getrandom::fill(&mut bytes)?;
        codes.push(base32(&bytes));
    }
    Ok(codes)
}

/// A recovery code as it is shown.
pub(super) fn shown(code: &str) -> String {
    in_groups(code, "-")
}

/// A typed recovery code in the form in which it is kept. What is no letter of one was meant for the letter that looks like it.
pub(super) fn recovery_code(typed: &str) -> String {
    let letter = |typed: char| match typed.to_ascii_uppercase() {
        '0' => 'O',
        '1' => 'I',
        '8' => 'B',
        letter => letter,
    };
    plain(typed).chars().map(letter).collect()
}

fn totp(secret: &[u8]) -> Option<Totp> {
    // Six digits, thirty seconds and SHA-1 are what every app knows; a step before and after is let pass.
    Builder::new().with_secret(secret.to_vec()).with_skew(1).build().ok()
}

fn base32(bytes: &[u8]) -> String {
    totp_rs::Secret::from(bytes.to_vec()).to_base32()
}

fn in_groups(text: &str, between: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(between)
}

fn plain(typed: &str) -> String {
    typed.chars().filter(|typed| !typed.is_whitespace() && !matches!(typed, '-' | '‐' | '–')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238, appendix B, whose codes of eight digits end in these six.
    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_standard() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(step(SECRET, code, seconds * SECOND), Some(seconds / 30), "{seconds}");
        }
    }

    #[test]
    fn a_code_is_right_for_one_step_before_and_after_its_own() {
        let at = |step_of_clock: i64| step(SECRET, "050471", step_of_clock * 30 * SECOND);
        let own = 1_111_111_111 / 30;
        assert_eq!([own - 2, own - 1, own, own + 1, own + 2].map(at), [None, Some(own), Some(own), Some(own), None]);
        assert_eq!(step(SECRET, "050471", -SECOND), None, "a clock before 1970 has no steps");
    }

    #[test]
    fn spaces_in_a_code_do_not_matter_and_anything_else_does() {
        let at = |typed: &str| step(SECRET, typed, 1_111_111_111 * SECOND);
        for right in ["050471", " 050 471 ", "050\u{a0}471", "05-04-71"] {
            assert!(at(right).is_some(), "{right}");
        }
        for wrong in ["", "050472", "50471", "0050471", "+50471", "०५०४७१", "05O471", "050471050471"] {
            assert!(at(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_shown_in_groups_and_as_an_address_of_apps() {
        assert_eq!(text(SECRET), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
        assert_eq!(
            uri(SECRET, "a+b@example.gov.uk", "Our: receipts"),
            "otpauth://totp/Our%3A%20receipts:a%2Bb%40example%2Egov%2Euk?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Our%3A%20receipts"
        );
    }

    #[test]
    fn recovery_codes_are_long_all_different_and_read_back_however_they_are_typed() {
        let codes = recovery_codes().unwrap();
        assert_eq!(codes.iter().collect::<std::collections::HashSet<_>>().len(), RECOVERY_CODES);
        for code in codes {
            assert_eq!(code.len() * 5, 120, "more than 112 bits");
            let shown = shown(&code);
            assert_eq!(shown.split('-').count(), 6);
            assert_eq!(recovery_code(&shown), code);
            let typed = shown.to_lowercase().replace('-', " ").replace('o', "0").replace('i', "1").replace('b', "8");
            assert_eq!(recovery_code(&typed), code);
        }
    }
}
