//! What is known of an arrival besides its body, and what is answered when it is kept.

use super::ServiceId;

/// How a callback came to be here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Notify called.
    CalledBack,
    /// Read from Notify's API, where the call was missed.
    Fetched,
    /// From another store's export.
    Imported,
    /// Sent to try the set-up.
    Test,
}

impl Origin {
    pub(super) fn code(self) -> i64 {
        match self {
            Origin::CalledBack => 0,
            Origin::Fetched => 1,
            Origin::Imported => 2,
            Origin::Test => 3,
        }
    }

    pub(super) fn from_code(code: i64) -> Origin {
        match code {
            1 => Origin::Fetched,
            2 => Origin::Imported,
            3 => Origin::Test,
            _ => Origin::CalledBack,
        }
    }
}

/// What is known of an arrival besides its body.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The service whose token it carried.
    pub service: ServiceId,
    /// That token's number, where a token brought it.
    pub token: Option<i64>,
    /// How it came.
    pub origin: Origin,
    /// When it came, in microseconds since 1970 UTC.
    pub arrived_at: i64,
    /// The path that it was sent to.
    pub path: String,
}

/// What became of an arrival, once it is committed and synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored {
    /// The row of this number holds it.
    New(i64),
    /// The row of this number held it already.
    Again(i64),
    /// It is of a message that was erased, and was not kept.
    Erased,
}
