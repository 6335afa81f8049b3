//! Dates as Notify writes them, and as others might.

use jiff::Timestamp;

/// The length of Notify's own form, `2017-05-14T12:15:30.000000Z`.
const LENGTH: usize = 27;

/// Microseconds since 1970 UTC, only where [`canonical`] gives the same text back.
#[must_use]
pub fn micros(text: &str) -> Option<i64> {
    if text.len() != LENGTH || !text.ends_with('Z') {
        return None;
    }
    let micros = text.parse::<Timestamp>().ok()?.as_microsecond();
    (canonical(micros) == text).then_some(micros)
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
