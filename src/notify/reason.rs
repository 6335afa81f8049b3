//! Why somebody does something to what is held, as it goes into the record and onto pages: one line, and nobody's number or address,
//! since nothing that is erased later takes it out of the record.

use super::term;

/// No reason is longer.
const LONGEST: usize = 200;

/// Why something is no reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoReason {
    /// It says nothing.
    #[error("Enter a reason")]
    Nothing,
    /// It is too long.
    #[error("Reason must be 200 characters or fewer")]
    TooLong,
    /// It has several lines, or signs that nobody sees.
    #[error("Reason must be one line")]
    NotOneLine,
    /// It may hold a phone number or an email address.
    #[error(
        "Reason must not include a phone number or an email address, because it stays in the record. Join a long number to letters, such as SAR-20261234"
    )]
    Personal,
}

/// A reason that was typed.
///
/// # Errors
/// Says what is wrong with it.
pub fn reason(typed: &str) -> Result<String, NoReason> {
    let typed = typed.trim();
    match typed {
        "" => Err(NoReason::Nothing),
        _ if typed.chars().count() > LONGEST => Err(NoReason::TooLong),
        _ if typed.chars().any(char::is_control) => Err(NoReason::NotOneLine),
        _ if term::may_be_personal(typed) => Err(NoReason::Personal),
        _ => Ok(typed.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_holds_nobodys_number_or_address_and_a_plain_reference_is_none() {
        for personal in [
            "asked by 07700 900123",
            "Amy, +44 7700 900123, wants it",
            "tel:07700900123",
            "amy@example.com asked",
            "call 020 7946 0999",
            "NHS number 9434765919",
        ] {
            assert_eq!(reason(personal), Err(NoReason::Personal), "{personal}");
        }
        for plain in
            ["request 12", " SAR-20261234 ", "case 7 of 2026", "PCN/2026/12", "Request of 3 March 2026, FOI-2026-0042"]
        {
            assert_eq!(reason(plain), Ok(plain.trim().to_owned()), "{plain}");
        }
        assert_eq!(reason(" "), Err(NoReason::Nothing));
        assert_eq!(reason(&"x".repeat(201)), Err(NoReason::TooLong));
        assert_eq!(reason("one\ntwo"), Err(NoReason::NotOneLine));
    }
}
