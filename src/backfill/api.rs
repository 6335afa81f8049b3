//! Asking Notify for a page: at a modest pace, again where it fails, and told in a sentence where it refuses.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use tokio::time::timeout;

use super::{BackfillError, Source, pause};
use crate::clock;
use crate::notify::api::{List, Page};
use crate::notify::api_key::ApiKey;
use crate::outgoing::{Answered, Connection, Server};
use crate::store::Progress;

/// From one request to the next. Notify lets a service make 3,000 requests a minute, with which it also sends: this leaves 96 % of them.
const PACE: Duration = Duration::from_millis(500);
/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// No page is larger.
const LARGEST: usize = 64 * 1024 * 1024;
/// So many failures in a row end it; together they take some five minutes.
const TRIES: u32 = 10;
/// How long it waits after the first failure; after each further one twice as long, up to a minute.
const WAITS_FIRST: Duration = Duration::from_secs(1);
const WAITS_LONGEST: Duration = Duration::from_mins(1);

/// Why Notify does not let anybody read with this key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The token's time is wrong.
    #[error(
        "Notify refused the request: this machine’s clock is wrong by more than 30 seconds. Set it, then try again"
    )]
    Clock,
    /// The key is wrong or revoked, or its service is not in use.
    #[error(
        "Notify does not know this API key (status {0}). It may have been revoked, or belong to another installation of Notify. Make a \
         live key in Notify under API integration, API keys, and put it into the key file"
    )]
    Key(u16),
    /// Anything else.
    #[error("Notify refused the request with status {0}. Check the address of its API and the key, then try again")]
    Other(u16),
}

impl Refusal {
    fn of(status: StatusCode, body: &[u8]) -> Refusal {
        let said = serde_json::from_slice::<Errors>(body).unwrap_or_default();
        let said: String = said.errors.into_iter().map(|error| error.message.to_lowercase()).collect();
        match status.as_u16() {
            _ if said.contains("clock") => Refusal::Clock,
            status @ (401 | 403) => Refusal::Key(status),
            status => Refusal::Other(status),
        }
    }
}

/// What Notify says of a refusal.
#[derive(Deserialize, Default)]
struct Errors {
    errors: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    message: String,
}

/// Notify's API, asked with the key of one service.
pub(super) struct Api {
    key: ApiKey,
    server: Server,
    connection: Connection,
    asked_at: Option<Instant>,
}

/// What one request came to.
enum Outcome {
    Page(Vec<u8>),
    Refused(Refusal),
    TryAgain,
}

impl Api {
    pub(super) fn new(source: &Source) -> Api {
        let Source { key, server } = source.clone();
        Api { key, connection: Connection::new(server.clone()), server, asked_at: None }
    }

    /// The page of a list with what is older than an id.
    pub(super) async fn page(
        &mut self,
        list: List,
        older_than: Option<&str>,
        progress: &Progress,
    ) -> Result<Page, BackfillError> {
        let path = list.path(older_than);
        let mut waits = WAITS_FIRST;
        for _ in 0..TRIES {
            let since = self.asked_at.map_or(PACE, |asked_at| asked_at.elapsed());
            pause(PACE.saturating_sub(since), progress).await?;
            self.asked_at = Some(Instant::now());
            match self.ask(&path).await {
                Outcome::Page(body) => return Page::read(list, &body).map_err(|_| BackfillError::NotUnderstood),
                Outcome::Refused(refusal) => return Err(refusal.into()),
                Outcome::TryAgain => {
                    pause(waits, progress).await?;
                    waits = (2 * waits).min(WAITS_LONGEST);
                }
            }
        }
        Err(BackfillError::Unreachable(TRIES))
    }

    async fn ask(&mut self, path: &str) -> Outcome {
        let Some(request) = self.request(path) else { return Outcome::TryAgain };
        let Ok(Some(answered)) = timeout(PATIENCE, self.connection.exchange(request, LARGEST)).await else {
            tracing::warn!(event = "backfill.unanswered", "Notify did not answer, or not whole: it is asked again");
            return Outcome::TryAgain;
        };
        let Answered { head, body, cut } = answered;
        let status = head.status;
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            tracing::warn!(
                event = "backfill.put_off",
                status = status.as_u16(),
                "Notify could not answer: it is asked again"
            );
            return Outcome::TryAgain;
        }
        if status == StatusCode::OK && !cut {
            Outcome::Page(body)
        } else {
            Outcome::Refused(Refusal::of(status, &body))
        }
    }

    /// Its token is made anew each time: Notify takes one for 30 seconds.
    fn request(&self, path: &str) -> Option<Request<Full<Bytes>>> {
        self.server.get_json(path, &self.key.token(clock::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_own_sentence() {
        let of = |status, message: &str| {
            let body =
                format!(r#"{{"status_code": {status}, "errors": [{{"error": "AuthError", "message": "{message}"}}]}}"#);
            Refusal::of(StatusCode::from_u16(status).unwrap(), body.as_bytes())
        };
        assert_eq!(of(403, "Error: Your system clock must be accurate to within 30 seconds"), Refusal::Clock);
        assert_eq!(of(403, "Invalid token: API key not found"), Refusal::Key(403));
        assert_eq!(of(400, "older_than is not a valid UUID"), Refusal::Other(400));
        assert_eq!(Refusal::of(StatusCode::NOT_FOUND, b"<html>"), Refusal::Other(404));
    }
}
