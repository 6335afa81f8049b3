//! Asking Notify for one thing while somebody waits for a page: never for long, never again by itself, and not at all for a while
//! where it does not answer. It knows neither the store nor who asks.

mod pace;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use pace::Pace;

use crate::clock::{self, SECOND};
use crate::notify::api::one::Question;
use crate::notify::api_key::ApiKey;
use crate::outgoing::{Connection, Server};

/// How long somebody waits for Notify.
const PATIENCE: Duration = Duration::from_secs(2);
/// So long nobody waits for it again where it did not answer.
const LEFT_ALONE: i64 = 15 * SECOND;
/// Requests of one service at the same time; the others wait, as long as the patience lasts.
const AT_ONCE: usize = 4;
/// No answer is larger: a page of 250 long emails.
const LARGEST: usize = 32 * 1024 * 1024;

/// A service that Notify is asked for, by its key.
pub struct ServiceKey {
    /// Its name here.
    pub name: String,
    /// Its key.
    pub key: ApiKey,
    /// Where Notify's API is.
    pub server: Server,
}

/// Why something is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotTold {
    /// Notify has no such thing, or no longer.
    NotThere,
    /// It refuses the key or the request.
    Refused,
    /// It was asked too often, or has trouble.
    Busy,
    /// It did not answer in time.
    NoAnswer,
}

/// Notify's API, for the services whose keys there are.
#[derive(Default)]
pub struct Asking {
    services: Vec<Service>,
    /// How often each person asks.
    pub pace: Pace,
}

struct Service {
    name: String,
    key: ApiKey,
    server: Server,
    /// Open connections that nobody uses.
    idle: Mutex<Vec<Connection>>,
    turns: Semaphore,
    /// Until when it is left alone.
    alone_until: AtomicI64,
}

/// What Notify says of a refusal.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<serde::de::IgnoredAny>,
}

impl Asking {
    /// For these services.
    #[must_use]
    pub fn new(keys: Vec<ServiceKey>) -> Asking {
        let service = |ServiceKey { name, key, server }| Service {
            name,
            key,
            server,
            idle: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
            alone_until: AtomicI64::new(i64::MIN),
        };
        Asking { services: keys.into_iter().map(service).collect(), pace: Pace::default() }
    }

    /// The names of the services that it can be asked for.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(|service| service.name.as_str())
    }

    /// The id in Notify of the service with this name, which its key tells.
    #[must_use]
    pub fn service_id(&self, name: &str) -> Option<&str> {
        self.service(name).map(|service| service.key.service_id())
    }

    fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Asks for something of the service with this name. Where Notify did not answer lately, it is not asked, unless somebody
    /// `insists`.
    ///
    /// # Errors
    /// When it is not told.
    pub async fn ask<Q: Question>(&self, name: &str, question: &Q, insists: bool) -> Result<Q::Told, NotTold> {
        let service = self.service(name).ok_or(NotTold::Refused)?;
        if !insists && clock::now() < service.alone_until.load(Ordering::Relaxed) {
            return Err(NotTold::NoAnswer);
        }
        let told = timeout(PATIENCE, service.get(&question.path())).await.unwrap_or(Err(NotTold::NoAnswer));
        if told == Err(NotTold::NoAnswer) {
            service.alone_until.store(clock::now() + LEFT_ALONE, Ordering::Relaxed);
            tracing::warn!(event = "asking.unanswered", service = name, "Notify did not answer in time");
        }
        question.read(&told?).map_err(|_| service.refused(StatusCode::OK))
    }
}

impl Service {
    async fn get(&self, path: &str) -> Result<Vec<u8>, NotTold> {
        let _turn = self.turns.acquire().await.map_err(|_| NotTold::NoAnswer)?;
        let request = self.request(path).ok_or(NotTold::Refused)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let was_idle = idle.is_some();
        let mut connection = idle.unwrap_or_else(|| Connection::new(self.server.clone()));
        let mut answered = connection.exchange_within(request.clone(), LARGEST).await;
        if answered.is_none() && was_idle {
            // The server may have closed it in the same moment.
            answered = connection.exchange_within(request, LARGEST).await;
        }
        let answered = answered.ok_or(NotTold::NoAnswer)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        match answered.head.status {
            StatusCode::OK => Ok(answered.body),
            // Whatever else is at that address answers so too, in words of its own.
            StatusCode::NOT_FOUND if is_notifys(&answered.body) => Err(NotTold::NotThere),
            StatusCode::TOO_MANY_REQUESTS => Err(NotTold::Busy),
            status if status.is_server_error() => Err(NotTold::Busy),
            status => Err(self.refused(status)),
        }
    }

    fn refused(&self, status: StatusCode) -> NotTold {
        tracing::error!(
            event = "asking.refused",
            service = self.name,
            status = status.as_u16(),
            "Notify’s API did not answer as it should. Check --notify-api-url, the clock, and that the key is live and of this service"
        );
        NotTold::Refused
    }

    /// Its token is made anew each time: Notify takes one for 30 seconds.
    fn request(&self, path: &str) -> Option<Request<Full<Bytes>>> {
        self.server.get_json(path, &self.key.token(clock::now()))
    }
}

fn is_notifys(body: &[u8]) -> bool {
    serde_json::from_slice::<Errors>(body).is_ok_and(|said| !said.errors.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_notify_itself_says_that_something_is_not_there() {
        assert!(is_notifys(
            br#"{"errors": [{"error": "NoResultFound", "message": "No result found"}], "status_code": 404}"#
        ));
        assert!(!is_notifys(b"<html>Not found</html>") && !is_notifys(br#"{"detail": "Not found"}"#));
    }
}
