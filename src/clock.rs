//! The one place that asks the machine for the time. Everything below `cli`, `web` and `upkeep` is handed it.

/// Now, in microseconds since 1970 UTC.
#[must_use]
pub fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// One second, in the unit of [`now`].
pub const SECOND: i64 = 1_000_000;
/// One minute, in the unit of [`now`].
pub const MINUTE: i64 = 60 * SECOND;
/// One day, in the unit of [`now`].
pub const DAY: i64 = 24 * 60 * MINUTE;
