//! What a provider says of itself at `/.well-known/openid-configuration`.

use serde::Deserialize;

use super::Trouble;
use super::endpoint::{Endpoint, check_address};

/// Where what is asked.
#[derive(Clone)]
pub(super) struct Metadata {
    /// Where people sign in.
    pub(super) authorization: String,
    pub(super) token: Endpoint,
    pub(super) keys: Endpoint,
    pub(super) user_info: Option<Endpoint>,
    /// Our secret goes into the form, because the header is not taken.
    pub(super) secret_in_form: bool,
    /// Every answer names the issuer (RFC 9207).
    pub(super) names_itself: bool,
}

#[derive(Deserialize)]
struct Said {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    pub(super) async fn ask(issuer: &str) -> Result<Metadata, Trouble> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let endpoint = Endpoint::new(&address).map_err(|wrong| Trouble::Address("configuration", wrong))?;
        Metadata::read(issuer, &endpoint.get("configuration", None).await?)
    }

    fn read(issuer: &str, body: &[u8]) -> Result<Metadata, Trouble> {
        let said: Said = serde_json::from_slice(body).map_err(|_| Trouble::NotUnderstood("configuration"))?;
        if said.issuer != issuer {
            return Err(Trouble::OtherIssuer);
        }
        let endpoint = |what, address: &str| Endpoint::new(address).map_err(|wrong| Trouble::Address(what, wrong));
        let authorization = said.authorization_endpoint;
        check_address(&authorization).map_err(|wrong| Trouble::Address("sign-in page", wrong))?;
        // Where nothing is said, the header is what is taken.
        let ways = said.token_endpoint_auth_methods_supported.unwrap_or_default();
        let takes = |way: &str| ways.iter().any(|taken| taken == way);
        Ok(Metadata {
            authorization,
            token: endpoint("token endpoint", &said.token_endpoint)?,
            keys: endpoint("keys", &said.jwks_uri)?,
            user_info: said.userinfo_endpoint.map(|address| endpoint("user info", &address)).transpose()?,
            secret_in_form: takes("client_secret_post") && !takes("client_secret_basic"),
            names_itself: said.authorization_response_iss_parameter_supported,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fuzzing::fuzz;
    use crate::oidc::keys::Keys;

    fn said() -> Value {
        json!({
            "issuer": "https://a.example", "authorization_endpoint": "https://a.example/auth",
            "token_endpoint": "https://b.example/token?p=1", "jwks_uri": "https://a.example/keys",
        })
    }

    fn read(change: &[(&str, Value)]) -> Result<Metadata, Trouble> {
        let mut said = said();
        for (name, value) in change {
            said[*name] = value.clone();
        }
        Metadata::read("https://a.example", said.to_string().as_bytes())
    }

    #[test]
    fn another_issuer_and_a_clear_address_are_refused() {
        assert!(read(&[]).is_ok());
        assert_eq!(read(&[("issuer", json!("https://a.example/"))]).err(), Some(Trouble::OtherIssuer));
        for name in ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"] {
            let found = read(&[(name, json!("http://a.example/x"))]).err();
            assert!(matches!(found, Some(Trouble::Address(..))), "{name}: {found:?}");
        }
        assert_eq!(read(&[("jwks_uri", json!(5))]).err(), Some(Trouble::NotUnderstood("configuration")));
    }

    #[test]
    fn fuzz_what_a_provider_says_of_itself() {
        let keys = br#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "x": "AA", "y": "AA"}, {"kty": "RSA", "n": "AA", "e": "AQAB"}]}"#;
        fuzz("provider", 20_000, &[said().to_string().as_bytes(), keys], |bytes| {
            let metadata = Metadata::read("https://a.example", bytes);
            if let Ok(metadata) = &metadata {
                let address = metadata.authorization.to_ascii_lowercase();
                let is_here =
                    ["http://localhost", "http://127.", "http://[::1]"].iter().any(|here| address.starts_with(here));
                assert!(address.starts_with("https://") || is_here, "{address}");
            }
            let keys = Keys::read(bytes);
            let made = keys.as_ref().ok().and_then(|keys| keys.made(None, "ES256", b"message", b"signature"));
            assert_ne!(made, Some(true));
            (metadata.is_ok(), metadata.err().map(|trouble| trouble.to_string()), keys.is_ok(), made)
        });
    }

    #[test]
    fn the_secret_goes_into_the_form_only_where_the_header_is_not_taken() {
        let in_form =
            |ways: Value| read(&[("token_endpoint_auth_methods_supported", ways)]).ok().unwrap().secret_in_form;
        assert!(!read(&[]).ok().unwrap().secret_in_form);
        assert!(!in_form(json!(["client_secret_post", "client_secret_basic"])));
        assert!(in_form(json!(["client_secret_post", "private_key_jwt"])));
    }
}
