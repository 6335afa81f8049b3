//! Notify's API keys: `{name}-{service id}-{secret}`, and the token that each request carries, a JWT made from one.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

/// The length of a UUID as it is written.
const UUID: usize = 36;
/// `{"typ":"JWT","alg":"HS256"}`, the one header there is.
const HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9";

/// An API key. Its Debug says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    service_id: String,
    secret: String,
}

/// The text is no API key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "it is not of the form that Notify gives out: a name, the service’s id and a secret, with hyphens between them"
)]
pub struct NoApiKey;

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

impl FromStr for ApiKey {
    type Err = NoApiKey;

    fn from_str(text: &str) -> Result<ApiKey, NoApiKey> {
        let text = text.trim();
        let (rest, secret) = text.split_at_checked(text.len().wrapping_sub(UUID)).ok_or(NoApiKey)?;
        let rest = rest.strip_suffix('-').ok_or(NoApiKey)?;
        let (_name, service_id) = rest.split_at_checked(rest.len().wrapping_sub(UUID)).ok_or(NoApiKey)?;
        let both = [service_id, secret].iter().all(|id| Uuid::try_parse(id).is_ok());
        both.then(|| ApiKey { service_id: service_id.to_ascii_lowercase(), secret: secret.to_owned() }).ok_or(NoApiKey)
    }
}

impl ApiKey {
    /// The service whose key it is, by its id in Notify.
    #[must_use]
    pub fn service_id(&self) -> &str {
        &self.service_id
    }

    /// The token of a request that is made `now`, in microseconds since 1970 UTC. Notify takes it for 30 seconds.
    #[must_use]
    pub fn token(&self, now: i64) -> String {
        let claims = format!(r#"{{"iss":"{}","iat":{}}}"#, self.service_id, now.div_euclid(1_000_000));
        let signed = format!("{HEADER}.{}", URL_SAFE_NO_PAD.encode(claims));
        // HMAC takes a key of any length.
        let signature = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).map(|mac| {
            let signature = mac.chain_update(signed.as_bytes()).finalize().into_bytes();
            URL_SAFE_NO_PAD.encode(signature)
        });
        let signature = signature.unwrap_or_default();
        format!("{signed}.{signature}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "my-key-with-hyphens-8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa-f9d696de-3ce8-459f-9f0e-8781d2fe61a6";

    #[test]
    fn the_service_and_the_secret_are_the_last_of_the_key() {
        let key: ApiKey = format!(" {TEXT}\n").parse().unwrap();
        assert_eq!(key.service_id(), "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa");
        assert_eq!(key.secret, "f9d696de-3ce8-459f-9f0e-8781d2fe61a6");
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
        let short = &TEXT[TEXT.len() - 40..];
        for wrong in ["", "x", short, &TEXT[1..TEXT.len() - 1], &"é".repeat(60)] {
            assert_eq!(wrong.parse::<ApiKey>(), Err(NoApiKey), "{wrong}");
        }
    }

    #[test]
    fn the_token_is_the_one_that_another_program_makes_of_the_key() {
        let key: ApiKey = TEXT.parse().unwrap();
        assert_eq!(key.token(1_795_000_000_999_999), ELSEWHERE);
    }

    /// Made with Python's hmac, hashlib and base64.
    const ELSEWHERE: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiI4ZDFlZTJmMS0wYTU1LTRhMWYtYTJiMi0zYmQ0YjFjNWY2YWEiLCJpYXQiOjE3OTUwMDAwMDB9.nUEYMNImFQLHiwTtOddzCa3f9pE14r6T8IHu9JzPikg";
}
