//! The keys that a provider signs with, and whether one of them signed something. A secret that both sides know is none of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;
use serde_json::Value;

use super::Trouble;
use super::endpoint::Endpoint;

/// More keys than any provider has.
const MOST: usize = 100;

/// How an ID token may be signed: by a key that only the provider has.
#[derive(Clone, Copy)]
pub(super) enum Algorithm {
    Rsa(&'static RsaParameters),
    Curve(&'static str, &'static dyn VerificationAlgorithm),
}

impl Algorithm {
    /// By the name that a token's head gives. `none`, `HS256` and the like are not there.
    pub(super) fn of(name: &str) -> Option<Algorithm> {
        Some(match name {
            "RS256" => Algorithm::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            "RS384" => Algorithm::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            "RS512" => Algorithm::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            "PS256" => Algorithm::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            "PS384" => Algorithm::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            "PS512" => Algorithm::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            "ES256" => Algorithm::Curve("P-256", &signature::ECDSA_P256_SHA256_FIXED),
            "ES384" => Algorithm::Curve("P-384", &signature::ECDSA_P384_SHA384_FIXED),
            "EdDSA" | "Ed25519" => Algorithm::Curve("Ed25519", &signature::ED25519),
            _ => return None,
        })
    }
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

/// A key as it is published; what we do not know is left alone.
#[derive(Deserialize)]
struct Jwk {
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

struct Key {
    id: Option<String>,
    /// The one algorithm that it is for, where that is said.
    algorithm: Option<String>,
    material: Material,
}

enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Curve { name: String, point: Vec<u8> },
}

impl Key {
    fn of(value: Value) -> Option<Key> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        if jwk.purpose.is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        let material = match (jwk.crv, jwk.n) {
            (Some(name), _) => {
                let (x, y) = (bytes(jwk.x)?, bytes(jwk.y));
                let point = match y {
                    Some(y) => [vec![4], x, y].concat(),
                    None => x,
                };
                Material::Curve { name, point }
            }
            // Leading zeros are no part of a number.
            (None, n) => {
                Material::Rsa { n: bytes(n)?.into_iter().skip_while(|byte| *byte == 0).collect(), e: bytes(jwk.e)? }
            }
        };
        Some(Key { id: jwk.kid, algorithm: jwk.alg, material })
    }

    /// Whether this key, used so, made the signature.
    fn made(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (&self.material, algorithm) {
            (Material::Rsa { n, e }, Algorithm::Rsa(parameters)) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
            (Material::Curve { name, point }, Algorithm::Curve(curve, algorithm)) => {
                name == curve && UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

/// The keys of a provider.
pub(super) struct Keys(Vec<Key>);

impl Keys {
    pub(super) async fn ask(endpoint: &Endpoint) -> Result<Keys, Trouble> {
        Keys::read(&endpoint.get("keys", None).await?)
    }

    pub(super) fn read(body: &[u8]) -> Result<Keys, Trouble> {
        let said: Jwks = serde_json::from_slice(body).map_err(|_| Trouble::NotUnderstood("keys"))?;
        Ok(Keys(said.keys.into_iter().take(MOST).filter_map(Key::of).collect()))
    }

    /// Whether the key of this id made a signature; without an id, any of them. `None` where there is no such key.
    pub(super) fn made(&self, id: Option<&str>, name: &str, message: &[u8], signature: &[u8]) -> Option<bool> {
        let algorithm = Algorithm::of(name)?;
        let fits = |key: &&Key| {
            id.is_none_or(|id| key.id.as_deref() == Some(id))
                && key.algorithm.as_deref().is_none_or(|only| only == name)
        };
        let mut keys = self.0.iter().filter(fits).peekable();
        keys.peek()?;
        Some(keys.any(|key| key.made(algorithm, message, signature)))
    }
}
