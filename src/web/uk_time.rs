//! Moments as people in the United Kingdom write them, by the clock of Europe/London.

use jiff::civil::Date;
use jiff::{Timestamp, ZonedDateTime};

use crate::clock::LONDON;

/// "12:15pm on 14 May 2017", from microseconds since 1970 UTC. Noon and midnight have their words.
pub(super) fn words(micros: i64) -> String {
    let Ok(moment) = Timestamp::from_microsecond(micros) else { return micros.to_string() };
    let moment = moment.to_zoned_datetime(LONDON.clone());
    format!("{} on {} {}", hour(&moment), moment.day(), moment.strftime("%B %Y"))
}

/// A day as people in the United Kingdom write it, with spaces, slashes, hyphens or dots, or the year first.
pub(super) fn day(typed: &str) -> Option<Date> {
    let parts = typed.split([' ', '/', '-', '.']).filter(|part| !part.is_empty()).map(str::parse);
    let parts = parts.collect::<Result<Vec<i16>, _>>().ok()?;
    let ([year @ 1000..=9999, month, day] | [day, month, year @ 1000..=9999]) = *parts.as_slice() else { return None };
    Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()
}

/// The month of a name, of which the first three letters are enough.
pub(super) fn month(typed: &str) -> Option<i8> {
    let names = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let typed = typed.to_lowercase();
    (1..).zip(names).find(|(_, name)| typed.starts_with(name)).map(|(month, _)| month)
}

/// "14 May 2017".
pub(super) fn date(day: Date) -> String {
    format!("{} {}", day.day(), day.strftime("%B %Y"))
}

/// When the day some days after `day` begins in London, in microseconds since 1970 UTC.
pub(super) fn starts(day: Date, later: i64) -> i64 {
    let day = day.saturating_add(jiff::Span::new().days(later));
    let start = day.to_zoned_datetime(LONDON.clone());
    start.map_or(i64::MAX, |start| start.timestamp().as_microsecond())
}

/// The day that it is in London, or so many days before.
pub(super) fn days_ago(now: i64, days: i64) -> Option<Date> {
    let today = Timestamp::from_microsecond(now).ok()?.to_zoned_datetime(LONDON.clone()).date();
    Some(today.saturating_add(jiff::Span::new().days(-days)))
}

/// The UTC instant, whole, for machines.
pub(super) fn iso(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| String::new(), |moment| moment.to_string())
}

fn hour(moment: &ZonedDateTime) -> String {
    let half = if moment.hour() < 12 { "am" } else { "pm" };
    match (moment.hour(), moment.minute()) {
        (0, 0) => "midnight".into(),
        (12, 0) => "midday".into(),
        (hour, minute) => format!("{}:{minute:02}{half}", (hour + 11) % 12 + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        words(text.parse::<Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn moments_are_told_by_the_clock_of_london_in_words() {
        assert_eq!(said("2017-05-14T11:15:30.000001Z"), "12:15pm on 14 May 2017");
        assert_eq!(said("2017-12-14T12:15:30Z"), "12:15pm on 14 December 2017");
        assert_eq!(said("2017-05-14T11:00:59Z"), "midday on 14 May 2017");
        assert_eq!(said("2017-05-13T23:00:00Z"), "midnight on 14 May 2017");
        assert_eq!(said("2017-01-05T00:01:00Z"), "12:01am on 5 January 2017");
    }

    #[test]
    fn a_day_is_read_however_it_is_written() {
        for typed in ["27 3 2026", "27/3/2026", "27-03-2026", "27.3.2026", "2026-03-27", " 27  3 2026 "] {
            assert_eq!(day(typed), Date::new(2026, 3, 27).ok(), "{typed}");
        }
        for typed in ["", "27 3", "30 2 2026", "27 3 26", "27 March 2026", "1 2 3 2026", "99999999 1 1"] {
            assert_eq!(day(typed), None, "{typed}");
        }
    }

    #[test]
    fn yesterday_is_the_day_before_in_london() {
        let late = "2026-06-30T23:30:00Z".parse::<Timestamp>().unwrap().as_microsecond();
        assert_eq!(days_ago(late, 0), Date::new(2026, 7, 1).ok());
        assert_eq!(days_ago(late, 1), Date::new(2026, 6, 30).ok());
    }

    #[test]
    fn the_instant_is_whole() {
        assert_eq!(iso(1_494_764_130_000_001), "2017-05-14T12:15:30.000001Z");
    }
}
