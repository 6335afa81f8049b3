//! What an authenticator says about a passkey, read and checked by the rules of W3C Web Authentication, sections 7.1 and 7.2. It
//! knows bytes alone: no store, no request.
//!
//! Attestation is not asked for, so that no more is to be read than the authenticator's data and a public key, and no more to be
//! checked than two hashes and a signature.

use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The algorithms that are taken, by their COSE numbers, the best first: Ed25519, ECDSA over P-256, and RSA for Windows Hello.
pub const ALGORITHMS: [i64; 3] = [ED, ES, RS];
const ED: i64 = -8;
const ES: i64 = -7;
const RS: i64 = -257;
/// The longest id of a credential.
const LONGEST_ID: usize = 1023;

/// Why what an authenticator said was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasskeyRefused {
    /// No account has it, or not the one that it is to open.
    #[error("This passkey is not known here. Use another one, or sign in another way")]
    Unknown,
    /// It is not for this site, or the signature is wrong, or nothing can be read.
    #[error("Your passkey was not accepted. Try again, or sign in another way")]
    Wrong,
    /// It does not say that its owner was checked.
    #[error(
        "Your passkey has to check that it is you, by a PIN, a fingerprint or your face. Try again, or use your password"
    )]
    NotVerified,
    /// Its counter went back: two devices have the same key.
    #[error(
        "This passkey may have been copied and was not accepted. Sign in another way, then remove it from your account"
    )]
    WentBack,
    /// The challenge is too old, was used, or is another browser's.
    #[error("That took too long. Try again")]
    TooLate,
    /// It is somebody’s already.
    #[error("This passkey is already in an account. Add another one")]
    Held,
    /// The account has as many as it may have.
    #[error("You have 20 passkeys. Remove one before you add another")]
    TooMany,
    /// It needs a name.
    #[error("Enter a name of up to 60 characters")]
    Name,
}

/// The site as authenticators know it: a passkey that was made for one is used for no other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelyingParty {
    id: String,
    /// `None` for the machine itself, at any port.
    origin: Option<String>,
}

impl RelyingParty {
    /// At the address that people reach it by; `None` where browsers have no passkeys there: without https, or without a name.
    #[must_use]
    pub fn at(public_url: &str) -> Option<RelyingParty> {
        let (scheme, rest) = public_url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?.to_ascii_lowercase();
        let (host, port) = authority.rsplit_once(':').unwrap_or((&authority, "443"));
        if host == "localhost" {
            return Some(RelyingParty::on_this_machine());
        }
        let is_name = !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
            && !host.ends_with('.')
            && host.parse::<Ipv4Addr>().is_err();
        let port: u16 = port.parse().ok()?;
        if !is_name || !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let origin = if port == 443 { format!("https://{host}") } else { format!("https://{host}:{port}") };
        Some(RelyingParty { id: host.to_owned(), origin: Some(origin) })
    }

    /// On the machine itself, where browsers ask for no https.
    #[must_use]
    pub fn on_this_machine() -> RelyingParty {
        RelyingParty { id: "localhost".into(), origin: None }
    }

    /// What authenticators call it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether a page that was asked for at this host may use its passkeys.
    #[must_use]
    pub fn is_at(&self, host: &str) -> bool {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        name.eq_ignore_ascii_case(&self.id)
    }

    fn is_origin(&self, origin: &str) -> bool {
        if let Some(own) = &self.origin {
            return own == origin;
        }
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        let port = rest.and_then(|rest| rest.strip_prefix("localhost"));
        port.is_some_and(|port| {
            port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
        })
    }

    /// The passkey that an authenticator has made.
    pub(super) fn made(&self, creation: &Creation) -> Result<Made, PasskeyRefused> {
        let challenge = self.challenge(&creation.client_data, "webauthn.create")?;
        let said = Said::read(&creation.authenticator_data, &self.id)?;
        let (credential, public_key) = said.attested.ok_or(PasskeyRefused::Wrong)?;
        Ok(Made { challenge, credential, public_key, sign_count: said.sign_count })
    }

    /// What an authenticator shows with the key that is known of it.
    pub(super) fn shown(&self, assertion: &Assertion, public_key: &[u8]) -> Result<Shown, PasskeyRefused> {
        let challenge = self.challenge(&assertion.client_data, "webauthn.get")?;
        let said = Said::read(&assertion.authenticator_data, &self.id)?;
        let signed = [assertion.authenticator_data.as_slice(), &Sha256::digest(&assertion.client_data)].concat();
        let (key, _) = PublicKey::read(public_key).ok_or(PasskeyRefused::Wrong)?;
        if !key.has_signed(&signed, &assertion.signature) {
            return Err(PasskeyRefused::Wrong);
        }
        Ok(Shown { challenge, sign_count: said.sign_count, is_verified: said.is_verified })
    }

    /// The challenge that a browser passed on, if that was for us and for this purpose.
    fn challenge(&self, client_data: &[u8], purpose: &str) -> Result<Vec<u8>, PasskeyRefused> {
        let data: ClientData = serde_json::from_slice(client_data).map_err(|_| PasskeyRefused::Wrong)?;
        if data.kind != purpose || !self.is_origin(&data.origin) || data.cross_origin {
            return Err(PasskeyRefused::Wrong);
        }
        BASE64_URL_SAFE_NO_PAD.decode(data.challenge).map_err(|_| PasskeyRefused::Wrong)
    }
}

/// What a browser brings when a passkey was made.
pub struct Creation {
    /// The JSON that the browser made.
    pub client_data: Vec<u8>,
    /// The bytes that the authenticator made.
    pub authenticator_data: Vec<u8>,
}

/// What a browser brings when a passkey was used.
#[derive(Clone)]
pub struct Assertion {
    /// The credential's id.
    pub credential: Vec<u8>,
    /// The JSON that the browser made.
    pub client_data: Vec<u8>,
    /// The bytes that the authenticator made.
    pub authenticator_data: Vec<u8>,
    /// Its signature of both.
    pub signature: Vec<u8>,
    /// Whose the authenticator says the passkey is; only some say so.
    pub user_handle: Option<Vec<u8>>,
}

/// A passkey that was made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) challenge: Vec<u8>,
    pub(super) credential: Vec<u8>,
    pub(super) public_key: Vec<u8>,
    pub(super) sign_count: u32,
}

/// A passkey that was used.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Shown {
    pub(super) challenge: Vec<u8>,
    pub(super) sign_count: u32,
    /// Whether the authenticator has checked its owner.
    pub(super) is_verified: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
}

/// The authenticator's data.
struct Said {
    is_verified: bool,
    sign_count: u32,
    /// A new credential's id and public key.
    attested: Option<(Vec<u8>, Vec<u8>)>,
}

impl Said {
    /// Of a person's presence, for this site; nothing else is taken.
    fn read(bytes: &[u8], id: &str) -> Result<Said, PasskeyRefused> {
        Said::parse(bytes, id).ok_or(PasskeyRefused::Wrong)
    }

    fn parse(bytes: &[u8], id: &str) -> Option<Said> {
        const PRESENT: u8 = 1;
        const VERIFIED: u8 = 1 << 2;
        const ATTESTED: u8 = 1 << 6;
        let (hash, rest) = bytes.split_first_chunk::<32>()?;
        let ([flags], rest) = rest.split_first_chunk::<1>()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        if hash.as_slice() != Sha256::digest(id).as_slice() || flags & PRESENT == 0 {
            return None;
        }
        let attested = if flags & ATTESTED == 0 { None } else { Some(attested(rest)?) };
        Some(Said { is_verified: flags & VERIFIED != 0, sign_count: u32::from_be_bytes(*count), attested })
    }
}

/// A credential's id and its public key, as they follow each other. What comes after are extensions, of which none was asked for.
fn attested(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (_model, rest) = bytes.split_first_chunk::<16>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (id, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (_, after) = PublicKey::read(rest)?;
    let key = rest.get(..rest.len() - after.len())?;
    (!id.is_empty() && id.len() <= LONGEST_ID).then(|| (id.to_vec(), key.to_vec()))
}

/// A public key that can be used.
enum PublicKey<'a> {
    Ed25519(&'a [u8]),
    P256(Vec<u8>),
    Rsa { n: &'a [u8], e: &'a [u8] },
}

impl PublicKey<'_> {
    /// Reads a `COSE_Key`, and gives back what comes after it.
    fn read(bytes: &[u8]) -> Option<(PublicKey<'_>, &[u8])> {
        let (fields, after) = cbor_map(bytes)?;
        let number = |wanted| fields.iter().find(|(label, _)| *label == wanted).and_then(|(_, value)| value.number());
        let text = |wanted| fields.iter().find(|(label, _)| *label == wanted).and_then(|(_, value)| value.bytes());
        let coordinate = |wanted| text(wanted).filter(|value| value.len() == 32);
        // Labels 1 and 3 are the kind and the algorithm; what the others mean depends on the kind.
        let key = match (number(1)?, number(3)?) {
            (1, ED) if number(-1)? == 6 => PublicKey::Ed25519(coordinate(-2)?),
            (2, ES) if number(-1)? == 1 => PublicKey::P256([&[4], coordinate(-2)?, coordinate(-3)?].concat()),
            (3, RS) => PublicKey::Rsa { n: text(-1)?, e: text(-2)? },
            _ => return None,
        };
        Some((key, after))
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let checked = match self {
            PublicKey::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            PublicKey::P256(key) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature),
            PublicKey::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        checked.is_ok()
    }
}

/// What stands in a key: numbers and strings of bytes.
enum Cbor<'a> {
    Number(i64),
    Bytes(&'a [u8]),
}

impl<'a> Cbor<'a> {
    fn number(&self) -> Option<i64> {
        if let Cbor::Number(number) = self { Some(*number) } else { None }
    }

    fn bytes(&self) -> Option<&'a [u8]> {
        if let Cbor::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    fn read(bytes: &'a [u8]) -> Option<(Cbor<'a>, &'a [u8])> {
        let (kind, value, rest) = cbor_head(bytes)?;
        match kind {
            0 => Some((Cbor::Number(i64::from(value)), rest)),
            1 => Some((Cbor::Number(-1 - i64::from(value)), rest)),
            2 => rest.split_at_checked(usize::from(value)).map(|(text, rest)| (Cbor::Bytes(text), rest)),
            _ => None,
        }
    }
}

type Fields<'a> = Vec<(i64, Cbor<'a>)>;

/// A map from numbers, each there once, and what comes after it.
fn cbor_map(bytes: &[u8]) -> Option<(Fields<'_>, &[u8])> {
    let (5, count @ ..=8, mut rest) = cbor_head(bytes)? else { return None };
    let mut fields: Fields<'_> = Vec::new();
    for _ in 0..count {
        let (label, after) = Cbor::read(rest)?;
        let (value, after) = Cbor::read(after)?;
        let label = label.number()?;
        if fields.iter().any(|(before, _)| *before == label) {
            return None;
        }
        fields.push((label, value));
        rest = after;
    }
    Some((fields, rest))
}

/// What kind of value begins here, and its number or length, which is never longer than two bytes in a key.
fn cbor_head(bytes: &[u8]) -> Option<(u8, u16, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (value, rest) = match first & 0x1f {
        small @ 0..=23 => (u16::from(small), rest),
        24 => rest.split_first().map(|(byte, rest)| (u16::from(*byte), rest))?,
        25 => rest.split_first_chunk::<2>().map(|(pair, rest)| (u16::from_be_bytes(*pair), rest))?,
        _ => return None,
    };
    Some((first >> 5, value, rest))
}

#[cfg(test)]
pub(super) mod software;

#[cfg(test)]
mod tests;
