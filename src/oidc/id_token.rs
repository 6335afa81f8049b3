//! The ID token: signed by the provider, of the provider, for us, for this one sign-in, and not long ago. All of it is checked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::keys::{Algorithm, Keys};

/// The provider's clock and ours may differ by so many seconds.
const SKEW: i64 = 120;
/// A token that was made for this sign-in is not older, in seconds.
const OLDEST: i64 = 600;
/// A longer subject is none (OpenID Connect Core, 2).
const LONGEST_SUBJECT: usize = 255;

/// Why an ID token is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Untrue {
    /// It is no signed token.
    #[error("it cannot be read")]
    Unreadable,
    /// It is not signed, or in a way that others could.
    #[error("it is not signed in a way that only the provider can")]
    Algorithm,
    /// No key of the provider's has that id.
    #[error("it is signed with a key that the provider does not publish")]
    Key,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// It is another provider's.
    #[error("it is of another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("it is for another client")]
    Audience,
    /// It is too old. The clocks may differ.
    #[error("it has expired. Check both clocks")]
    Expired,
    /// It was made in the future, or too long ago, or does not say when. The clocks may differ.
    #[error("it was not made just now. Check both clocks")]
    MadeAt,
    /// It is of another sign-in.
    #[error("it is of another sign-in")]
    Nonce,
    /// It does not say who signed in.
    #[error("it does not say who signed in")]
    Subject,
}

/// What an ID token has to say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client: &'a str,
    pub(super) nonce: &'a str,
    /// In seconds since 1970 UTC.
    pub(super) now: i64,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// The claims of an ID token that is to be believed.
pub(super) fn read(token: &str, keys: &Keys, expected: &Expected<'_>) -> Result<Map<String, Value>, Untrue> {
    let (message, signature) = token.rsplit_once('.').ok_or(Untrue::Unreadable)?;
    let (head, body) = message.split_once('.').ok_or(Untrue::Unreadable)?;
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Untrue::Unreadable);
    let head: Head = serde_json::from_slice(&decoded(head)?).map_err(|_| Untrue::Unreadable)?;
    // What has to be understood and is not known: there is nothing such.
    if Algorithm::of(&head.alg).is_none() || head.crit.is_some() {
        return Err(Untrue::Algorithm);
    }
    match keys.made(head.kid.as_deref(), &head.alg, message.as_bytes(), &decoded(signature)?) {
        None => return Err(Untrue::Key),
        Some(false) => return Err(Untrue::Signature),
        Some(true) => (),
    }
    let claims: Map<String, Value> = serde_json::from_slice(&decoded(body)?).map_err(|_| Untrue::Unreadable)?;
    check(&claims, expected)?;
    Ok(claims)
}

fn check(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Untrue> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(Untrue::Issuer);
    }
    if !is_for(claims, expected.client) {
        return Err(Untrue::Audience);
    }
    let now = expected.now;
    let ends = claims.get("exp").and_then(seconds).ok_or(Untrue::Expired)?;
    if ends.saturating_add(SKEW) <= now {
        return Err(Untrue::Expired);
    }
    let made = claims.get("iat").and_then(seconds).ok_or(Untrue::MadeAt)?;
    let begins = claims.get("nbf").map_or(Some(made), seconds).ok_or(Untrue::MadeAt)?;
    if made.max(begins) > now.saturating_add(SKEW) || made < now.saturating_sub(OLDEST + SKEW) {
        return Err(Untrue::MadeAt);
    }
    let nonce = text("nonce").unwrap_or_default();
    if nonce.is_empty() || !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(Untrue::Nonce);
    }
    let subject = text("sub").unwrap_or_default();
    if subject.is_empty() || subject.len() > LONGEST_SUBJECT {
        return Err(Untrue::Subject);
    }
    Ok(())
}

/// Whether a token is for this client. One for several says by whose request it was made.
fn is_for(claims: &Map<String, Value>, client: &str) -> bool {
    let party = claims.get("azp");
    let asked_by_us = party.and_then(Value::as_str) == Some(client);
    match claims.get("aud") {
        Some(Value::String(one)) => one == client && (party.is_none() || asked_by_us),
        Some(Value::Array(several)) => {
            let names_us = several.iter().any(|one| one.as_str() == Some(client));
            names_us && (asked_by_us || party.is_none() && several.len() == 1)
        }
        _ => false,
    }
}

/// A moment, which may have a fraction.
fn seconds(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "what is out of range becomes the nearest that is not")]
    let whole = |seconds: f64| seconds.floor() as i64;
    value.as_i64().or_else(|| value.as_f64().map(whole))
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;
    use crate::fuzzing::fuzz;

    const NOW: i64 = 1_795_000_000;
    const EXPECTED: Expected<'_> = Expected { issuer: "https://a.example", client: "us", nonce: "n1", now: NOW };

    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Signer {
            let random = SystemRandom::new();
            let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random).unwrap();
            Signer(pair)
        }

        fn keys(&self, more: &[(&str, Value)]) -> Keys {
            let point = self.0.public_key().as_ref();
            let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
            let mut key = json!({"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "x": x, "y": y});
            for (name, value) in more {
                key[*name] = value.clone();
            }
            let keys = json!({"keys": [{"kty": "oct", "k": "AA"}, 5, key]}).to_string();
            Keys::read(keys.as_bytes()).ok().unwrap()
        }

        fn token(&self, head: &Value, claims: &Value) -> String {
            let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let message = format!("{}.{}", encoded(head), encoded(claims));
            let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn head() -> Value {
        json!({"alg": "ES256", "kid": "k1"})
    }

    fn claims() -> Value {
        json!({"iss": "https://a.example", "aud": "us", "sub": "1", "nonce": "n1", "iat": NOW - 1, "exp": NOW + 300})
    }

    /// What becomes of a token whose claims are changed so; `null` takes one away.
    fn with(changes: &[(&str, Value)]) -> Result<(), Untrue> {
        let mut claims = claims();
        for (name, value) in changes {
            claims[*name] = value.clone();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(*name);
            }
        }
        let signer = Signer::new();
        read(&signer.token(&head(), &claims), &signer.keys(&[]), &EXPECTED).map(drop)
    }

    #[test]
    fn each_claim_is_checked() {
        assert_eq!(with(&[]), Ok(()));
        for (name, wrong, untrue) in [
            ("iss", json!("https://a.example/"), Untrue::Issuer),
            ("iss", Value::Null, Untrue::Issuer),
            ("aud", json!("them"), Untrue::Audience),
            ("aud", json!([]), Untrue::Audience),
            ("aud", json!(["us", "them"]), Untrue::Audience),
            ("aud", Value::Null, Untrue::Audience),
            ("azp", json!("them"), Untrue::Audience),
            ("azp", json!(5), Untrue::Audience),
            ("exp", json!(NOW - SKEW), Untrue::Expired),
            ("exp", json!("soon"), Untrue::Expired),
            ("exp", Value::Null, Untrue::Expired),
            ("iat", json!(NOW + SKEW + 1), Untrue::MadeAt),
            ("iat", json!(NOW - OLDEST - SKEW - 1), Untrue::MadeAt),
            ("iat", Value::Null, Untrue::MadeAt),
            ("nbf", json!(NOW + SKEW + 1), Untrue::MadeAt),
            ("nonce", json!("n2"), Untrue::Nonce),
            ("nonce", json!(""), Untrue::Nonce),
            ("nonce", Value::Null, Untrue::Nonce),
            ("sub", json!(""), Untrue::Subject),
            ("sub", json!("1".repeat(256)), Untrue::Subject),
            ("sub", json!(7), Untrue::Subject),
            ("sub", Value::Null, Untrue::Subject),
        ] {
            assert_eq!(with(&[(name, wrong.clone())]), Err(untrue), "{name}: {wrong}");
        }
    }

    /// What is between the dots of a token is changed, and then written as a token has it: else hardly anything would be read at all.
    #[test]
    fn fuzz_id_tokens() {
        let signer = Signer::new();
        let keys = signer.keys(&[]);
        let seed = format!("{}\n{}\nsignature", head(), claims());
        fuzz("id-token", 20_000, &[seed.as_bytes()], |bytes| {
            let parts: Vec<String> =
                bytes.split(|byte| *byte == b'\n').map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
            let forged = read(&parts.join("."), &keys, &EXPECTED).err();
            assert!(forged.is_some(), "nobody but the provider can sign");
            let as_it_is = read(&String::from_utf8_lossy(bytes), &keys, &EXPECTED).err();
            assert!(as_it_is.is_some());
            // The provider is believed, but not whatever it says.
            let (head, claims) = (head(), bytes.split(|byte| *byte == b'\n').nth(1).unwrap_or_default());
            let claims = serde_json::from_slice(claims).unwrap_or_default();
            let said = read(&signer.token(&head, &claims), &keys, &EXPECTED);
            if said.is_ok() {
                assert_eq!((&claims["iss"], &claims["nonce"]), (&json!("https://a.example"), &json!("n1")));
            }
            (forged.map(|untrue| untrue.to_string()), said.err().map(|untrue| untrue.to_string()))
        });
    }

    #[test]
    fn clocks_may_differ_by_two_minutes_and_an_audience_may_be_a_list() {
        assert_eq!(with(&[("exp", json!(NOW - SKEW + 1))]), Ok(()));
        assert_eq!(with(&[("exp", json!(1_795_000_000.5))]), Ok(()));
        assert_eq!(with(&[("iat", json!(NOW + SKEW))]), Ok(()));
        assert_eq!(with(&[("aud", json!(["us"]))]), Ok(()));
        assert_eq!(with(&[("azp", json!("us"))]), Ok(()));
        assert_eq!(with(&[("aud", json!(["us", "them"])), ("azp", json!("us"))]), Ok(()));
        assert_eq!(with(&[("aud", json!(["them"])), ("azp", json!("us"))]), Err(Untrue::Audience));
    }

    #[test]
    fn only_a_published_key_and_only_its_signature_counts() {
        let signer = Signer::new();
        let read = |token: &str, keys: &Keys| read(token, keys, &EXPECTED).map(drop);
        let token = signer.token(&head(), &claims());
        let keys = signer.keys(&[]);
        assert_eq!(read(&token, &keys), Ok(()));
        assert_eq!(read(&signer.token(&json!({"alg": "ES256"}), &claims()), &keys), Ok(()), "no key is named");
        assert_eq!(read(&signer.token(&json!({"alg": "ES256", "kid": "k2"}), &claims()), &keys), Err(Untrue::Key));
        assert_eq!(read(&token, &Signer::new().keys(&[])), Err(Untrue::Signature));
        assert_eq!(read(&token, &signer.keys(&[("use", json!("enc"))])), Err(Untrue::Key));
        assert_eq!(read(&token, &signer.keys(&[("alg", json!("ES384"))])), Err(Untrue::Key));
        assert_eq!(read(&token, &signer.keys(&[("crv", json!("P-384"))])), Err(Untrue::Signature));
        let other = signer.token(&head(), &json!({"sub": "2"}));
        let (message, _) = token.rsplit_once('.').unwrap();
        let (_, signature) = other.rsplit_once('.').unwrap();
        assert_eq!(read(&format!("{message}.{signature}"), &keys), Err(Untrue::Signature));
        assert_eq!(read(&format!("{message}."), &keys), Err(Untrue::Signature));
    }

    #[test]
    fn a_token_that_others_could_have_made_is_not_taken() {
        let signer = Signer::new();
        let keys = signer.keys(&[]);
        for name in ["none", "None", "HS256", "HS384", "HS512", "ES256K", "", "es256"] {
            let token = signer.token(&json!({"alg": name, "kid": "k1"}), &claims());
            assert_eq!(read(&token, &keys, &EXPECTED).err(), Some(Untrue::Algorithm), "{name}");
        }
        let token = signer.token(&json!({"alg": "RS256", "kid": "k1"}), &claims());
        assert_eq!(read(&token, &keys, &EXPECTED).err(), Some(Untrue::Signature), "the key is of another kind");
        let token = signer.token(&json!({"alg": "ES256", "crit": ["b64"], "b64": false}), &claims());
        assert_eq!(read(&token, &keys, &EXPECTED).err(), Some(Untrue::Algorithm));
        for unreadable in ["", ".", "..", "a.b", "a.b.c", "e30.e30.", "é.é.é"] {
            assert_eq!(read(unreadable, &keys, &EXPECTED).err(), Some(Untrue::Unreadable), "{unreadable}");
        }
    }
}
