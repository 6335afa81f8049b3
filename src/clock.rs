//! The one place that asks the machine for the time. Everything below `cli`, `web` and `upkeep` is handed it.

use std::sync::LazyLock;

use jiff::tz::TimeZone;

/// The time on the wall in the United Kingdom.
pub static LONDON: LazyLock<TimeZone> = LazyLock::new(|| TimeZone::get("Europe/London").unwrap_or(TimeZone::UTC));

/// Now, in microseconds since 1970 UTC.
#[must_use]
pub fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// One second, in the unit of [`now`].
pub const SECOND: i64 = 1_000_000;
/// One minute, in the unit of [`now`].
pub const MINUTE: i64 = 60 * SECOND;
/// One hour, in the unit of [`now`].
pub const HOUR: i64 = 60 * MINUTE;
/// One day, in the unit of [`now`].
pub const DAY: i64 = 24 * HOUR;
