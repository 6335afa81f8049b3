//! All the way round: a message through Notify with a test key, and then its delivery receipt back, through whatever stands between.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::time::{sleep, timeout};

use super::Finding;
use crate::clock;
use crate::notify::api::trial::{EMAIL_TEMPLATES, SEND_EMAIL, first_template, sent_id};
use crate::notify::api_key::ApiKey;
use crate::outgoing::{Connection, Server};
use crate::store::{AlarmSort, Services, Store};

const CHECK: &str = "round-trip";
/// The reference of the message, by which people know it in the lists.
const REFERENCE: &str = "counterfoil doctor";
/// Notify answers within this.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// A longer answer is none of those that are asked for.
const LARGEST: usize = 4 * 1024 * 1024;
/// How often the store is looked at.
const LOOKS_EVERY: Duration = Duration::from_millis(250);

/// How Notify is asked, and how long its call is waited for.
#[derive(Clone)]
pub struct RoundTrip {
    /// A test key of a service that calls this server back.
    pub key: ApiKey,
    /// Notify's API.
    pub server: Server,
    /// So long.
    pub waits: Duration,
}

impl std::fmt::Debug for RoundTrip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoundTrip").field("waits", &self.waits).finish_non_exhaustive()
    }
}

impl RoundTrip {
    /// Sends, and waits.
    pub(super) async fn make(&self, store: &Store) -> Finding {
        let id = match self.send().await {
            Ok(id) => id,
            Err(finding) => return finding,
        };
        let (begun, began_at) = (Instant::now(), clock::now());
        while begun.elapsed() < self.waits {
            match store.receipt(&Services::All, &id).await {
                Ok(Some(_)) => {
                    let seconds = begun.elapsed().as_secs();
                    let words =
                        format!("a message went through Notify, and its delivery receipt came back in {seconds} s");
                    return Finding::good(
                        CHECK,
                        format!("{words}. It stays in the store, with the reference “{REFERENCE}”"),
                    );
                }
                Ok(None) => sleep(LOOKS_EVERY).await,
                Err(error) => {
                    return Finding::bad(CHECK, format!("the store could not be read: {error}"), "Try again.");
                }
            }
        }
        let was_refused = store.alarms().await.unwrap_or_default().into_iter();
        let was_refused = was_refused
            .filter(|alarm| alarm.sort == Some(AlarmSort::WrongToken))
            .any(|alarm| alarm.last_at >= began_at);
        let words = format!(
            "a message went through Notify, and no delivery receipt came back in {} seconds",
            self.waits.as_secs()
        );
        let to_do = if was_refused {
            "A callback with a wrong token was refused meanwhile: paste the token in Notify again, under API integration, Callbacks."
        } else {
            "Look at the URL in Notify under API integration, Callbacks, and then at the firewall. Notify tries again after 5 minutes: the message may still come."
        };
        Finding::bad(CHECK, words, to_do)
    }

    async fn send(&self) -> Result<String, Finding> {
        let mut connection = Connection::new(self.server.clone());
        let token = self.key.token(clock::now());
        let list = self.ask(&mut connection, self.server.get_json(EMAIL_TEMPLATES, &token)).await?;
        let template = first_template(&list).map_err(|_| no_answer("Notify listed no templates that can be read"))?;
        let template = template.ok_or_else(|| {
            Finding::warning(
                CHECK,
                "no message was sent: the service has no email template",
                "Make one in Notify under Templates.",
            )
        })?;
        let sent = self.ask(&mut connection, self.post(template.email(REFERENCE))).await?;
        sent_id(&sent).map_err(|_| no_answer("Notify did not say that it took the message"))
    }

    fn post(&self, body: Vec<u8>) -> Option<Request<Full<Bytes>>> {
        let mut request = self.server.get_json(SEND_EMAIL, &self.key.token(clock::now()))?;
        *request.method_mut() = http::Method::POST;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Full::from(body);
        Some(request)
    }

    async fn ask(
        &self,
        connection: &mut Connection,
        request: Option<Request<Full<Bytes>>>,
    ) -> Result<Vec<u8>, Finding> {
        let request = request.ok_or_else(|| no_answer("Notify cannot be asked with this key"))?;
        let answered = timeout(ANSWERS_WITHIN, connection.exchange_within(request, LARGEST)).await.ok().flatten();
        let answered = answered.ok_or_else(|| no_answer("Notify does not answer"))?;
        match answered.head.status {
            StatusCode::OK | StatusCode::CREATED => Ok(answered.body),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let said = String::from_utf8_lossy(&answered.body).to_lowercase();
                Err(if said.contains("clock") {
                    let words = "Notify refused the request: this machine’s clock is wrong by more than 30 seconds";
                    Finding::bad(CHECK, words, "Set the clock, and let chrony or systemd-timesyncd keep it.")
                } else {
                    let to_do = "Make a test key in Notify under API integration, API keys, and put it into the file.";
                    Finding::bad(CHECK, "Notify does not take this API key", to_do)
                })
            }
            status => Err(no_answer(&format!("Notify refused the request with status {}", status.as_u16()))),
        }
    }
}

fn no_answer(words: &str) -> Finding {
    let to_do = "Look whether this machine may call api.notifications.service.gov.uk on port 443, and try again.";
    Finding::bad(CHECK, words, to_do)
}
