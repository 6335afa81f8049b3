//! Dates as Notify writes them, and as others might.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The length of Notify's own form, `2017-05-14T12:15:30.000000Z`.
const LENGTH: usize = 27;
/// That form, with a digit for every 0.
const FORM: &[u8; LENGTH] = b"0000-00-00T00:00:00.000000Z";

/// Microseconds since 1970 UTC, only where [`canonical`] gives the same text back.
#[must_use]
pub fn micros(text: &str) -> Option<i64> {
    let bytes: &[u8; LENGTH] = text.as_bytes().try_into().ok()?;
    let separated = FORM.iter().zip(bytes).all(|(form, byte)| *form == b'0' || form == byte);
    let number = |from: usize, length: usize| {
        let mut digits = bytes.iter().skip(from).take(length);
        digits.try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i32::from(digit - b'0')))
    };
    let small = |from| number(from, 2).and_then(|number| i8::try_from(number).ok());
    let year = i16::try_from(number(0, 4)?).ok().filter(|year| *year > 0)?;
    let date_time =
        DateTime::new(year, small(5)?, small(8)?, small(11)?, small(14)?, small(17)?, number(20, 6)? * 1000);
    let moment = TimeZone::UTC.to_timestamp(date_time.ok()?).ok()?;
    separated.then(|| moment.as_microsecond())
}

/// A moment in Notify's own form.
#[must_use]
pub fn canonical(micros: i64) -> String {
    let moment = Timestamp::from_microsecond(micros).unwrap_or_default();
    moment.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Microseconds since 1970 UTC of anything that is plainly a moment: with an offset, without a fraction.
#[must_use]
pub fn instant(text: &str) -> Option<i64> {
    text.trim().parse::<Timestamp>().ok().map(Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_notifys_own_form_is_kept_as_a_number() {
        let own = "2017-05-14T12:15:30.000001Z";
        assert_eq!(micros(own).map(canonical).as_deref(), Some(own));
        for odd in [
            "2017-05-14T12:15:30Z",
            "2017-05-14t12:15:30.000000Z",
            "2017-02-30T12:15:30.000000Z",
            "",
            "soon",
            "2017-05-14T12:15:60.000000Z",
            "2017-05-14T24:15:30.000000Z",
            "2017-05-14T12:15:30.00000 Z",
            "2017-05-14 12:15:30.000000Z",
            "2017-05-14T12:15:30.0000000",
        ] {
            assert_eq!(micros(odd), None, "{odd}");
        }
    }

    #[test]
    fn other_forms_are_understood_for_reading() {
        assert_eq!(instant("2017-05-14T13:15:30+01:00"), instant("2017-05-14T12:15:30.000000Z"));
        assert_eq!(instant("14 May"), None);
    }
}
