//! One address of a provider: asked over a connection of its own, for a short answer in a short time. Redirects are not followed.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use form_urlencoded::byte_serialize;
use http::header::{self, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::Full;
use tokio::time::timeout;

use super::Trouble;
use crate::outgoing::{Answered, Connection, Server, WrongUrl};

/// A longer answer is none that a provider gives.
const LARGEST: usize = 1024 * 1024;
/// An answer is whole by then.
const PATIENCE: Duration = Duration::from_secs(8);

/// Why an address of a provider is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WrongAddress {
    /// What is wrong with any URL.
    #[error(transparent)]
    Url(#[from] WrongUrl),
    /// What is said there could be read and changed on the way.
    #[error("is not https")]
    Clear,
    /// A name and a password in it, or a query or a fragment where none may be.
    #[error("has a part that it may not have")]
    Part,
}

/// Whether an address is one where a provider may be: https, or on this machine.
///
/// # Errors
/// When it is not.
pub fn check_address(address: &str) -> Result<(), WrongAddress> {
    let uri: Uri = address.parse().map_err(|_| WrongUrl::Unreadable)?;
    let host = uri.host().ok_or(WrongUrl::Host)?.trim_matches(['[', ']']);
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) || address.contains('#') {
        return Err(WrongAddress::Part);
    }
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_here => Ok(()),
        Some("http") => Err(WrongAddress::Clear),
        _ => Err(WrongUrl::Scheme.into()),
    }
}

/// How we show who we are.
pub(super) struct Authentication(HeaderValue);

impl Authentication {
    /// The client's id and secret, each encoded as in a form.
    pub(super) fn basic(id: &str, secret: &str) -> Option<Authentication> {
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        Authentication::of(&format!("Basic {}", STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)))))
    }

    fn bearer(token: &str) -> Option<Authentication> {
        Authentication::of(&format!("Bearer {token}"))
    }

    fn of(text: &str) -> Option<Authentication> {
        let mut value = HeaderValue::from_str(text).ok()?;
        value.set_sensitive(true);
        Some(Authentication(value))
    }
}

/// Where one thing is asked.
#[derive(Clone)]
pub(super) struct Endpoint {
    server: Server,
    target: String,
}

impl Endpoint {
    pub(super) fn new(address: &str) -> Result<Endpoint, WrongAddress> {
        check_address(address)?;
        let uri: Uri = address.parse().map_err(|_| WrongUrl::Unreadable)?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        Ok(Endpoint { server: Server::new(address)?, target })
    }

    /// The body of what is there.
    pub(super) async fn get(&self, what: &'static str, token: Option<&str>) -> Result<Vec<u8>, Trouble> {
        let authentication = token.and_then(Authentication::bearer);
        let answered = self.ask(what, Method::GET, String::new(), authentication).await?;
        if !answered.head.status.is_success() {
            return Err(Trouble::Status(what, answered.head.status.as_u16()));
        }
        Ok(answered.body)
    }

    /// What is answered to a form.
    pub(super) async fn post(
        &self,
        what: &'static str,
        form: String,
        authentication: Option<Authentication>,
    ) -> Result<Answered, Trouble> {
        self.ask(what, Method::POST, form, authentication).await
    }

    async fn ask(
        &self,
        what: &'static str,
        method: Method,
        form: String,
        authentication: Option<Authentication>,
    ) -> Result<Answered, Trouble> {
        let mut request = Request::builder()
            .method(&method)
            .uri(&self.target)
            .header(header::HOST, self.server.authority())
            .header(header::USER_AGENT, concat!("counterfoil/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close")
            .header(header::ACCEPT, "application/json");
        if method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(Authentication(value)) = authentication {
            request = request.header(header::AUTHORIZATION, value);
        }
        let unanswered = Trouble::Unanswered(what);
        let request = request.body(Full::from(Bytes::from(form))).map_err(|_| unanswered.clone())?;
        let mut connection = Connection::new(self.server.clone());
        let answered = timeout(PATIENCE, connection.exchange_within(request, LARGEST)).await;
        answered.ok().flatten().ok_or(unanswered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_reached_by_https_or_on_this_machine() {
        for right in [
            "https://a.example",
            "https://a.example/b?c=d",
            "http://localhost:8080",
            "http://127.0.0.1/x",
            "http://[::1]:1/",
        ] {
            assert_eq!(check_address(right), Ok(()), "{right}");
        }
        for clear in ["http://a.example", "http://10.0.0.1", "http://localhost.example", "http://127.0.0.1.example"] {
            assert_eq!(check_address(clear), Err(WrongAddress::Clear), "{clear}");
        }
        assert_eq!(check_address("https://user:secret@a.example"), Err(WrongAddress::Part));
        assert_eq!(check_address("https://a.example/#x"), Err(WrongAddress::Part));
        assert!(check_address("file:///etc/passwd").is_err());
        assert!(check_address("a.example").is_err());
    }
}
