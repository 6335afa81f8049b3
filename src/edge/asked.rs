//! What is known of the request in hand wherever it is worked on: its id, which its answer and the log's lines bear, and when it came.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::header::{HeaderName, HeaderValue};

/// The header of an answer that holds the request's id.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    pub(super) static IN_HAND: Asked;
}

/// The request in hand.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    id: RequestId,
    /// When its head had been read.
    pub began: Instant,
}

/// By which a request is found again in the log. It tells nothing, and opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestId(u64);

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// Another server, or this one after a start, begins elsewhere.
static FIRST: LazyLock<u64> = LazyLock::new(|| getrandom::u64().unwrap_or(0));
static COUNT: AtomicU64 = AtomicU64::new(0);
/// Odd, so that no id comes twice; large, so that two that follow each other differ at a glance.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Asked {
    pub(super) fn now() -> Asked {
        let id = FIRST.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed).wrapping_mul(STEP));
        Asked { id: RequestId(id), began: Instant::now() }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.id
    }

    pub(super) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.id.to_string()).ok()
    }
}

/// The request in hand, where there is one.
#[must_use]
pub fn asked() -> Option<Asked> {
    IN_HAND.try_with(|asked| *asked).ok()
}
