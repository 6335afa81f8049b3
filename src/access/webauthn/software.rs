//! An authenticator in software, for tests: it says what it is told to say.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use sha2::{Digest, Sha256};

use super::{Assertion, Creation};

pub(crate) const PRESENT: u8 = 1;
pub(crate) const VERIFIED: u8 = 5;

/// One passkey, and what is said with it.
#[derive(Clone)]
pub(crate) struct Software {
    pub(crate) pkcs8: Vec<u8>,
    pub(crate) credential: Vec<u8>,
    pub(crate) origin: String,
    pub(crate) id: String,
    pub(crate) flags: u8,
    pub(crate) count: u32,
    pub(crate) user_handle: Option<Vec<u8>>,
}

impl Software {
    pub(crate) fn new(origin: &str, id: &str, credential: &[u8]) -> Software {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
        Software {
            pkcs8: pkcs8.as_ref().to_vec(),
            credential: credential.to_vec(),
            origin: origin.into(),
            id: id.into(),
            flags: VERIFIED,
            count: 0,
            user_handle: None,
        }
    }

    fn key(&self) -> EcdsaKeyPair {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.pkcs8, &SystemRandom::new()).unwrap()
    }

    pub(crate) fn public_key(&self) -> Vec<u8> {
        let key = self.key();
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], x, &[0x22, 0x58, 32], y].concat()
    }

    fn client_data(&self, kind: &str, challenge: &[u8]) -> Vec<u8> {
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(challenge);
        let origin = &self.origin;
        format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false,"more":1}}"#)
            .into_bytes()
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        [Sha256::digest(&self.id).as_slice(), &[flags], &self.count.to_be_bytes()].concat()
    }

    pub(crate) fn makes(&self, challenge: &[u8]) -> Creation {
        let length = u16::try_from(self.credential.len()).unwrap().to_be_bytes();
        let attested = [&[0; 16], length.as_slice(), &self.credential, &self.public_key()].concat();
        let authenticator_data = [self.data(self.flags | 1 << 6), attested].concat();
        Creation { client_data: self.client_data("webauthn.create", challenge), authenticator_data }
    }

    pub(crate) fn shows(&self, challenge: &[u8]) -> Assertion {
        let (client_data, authenticator_data) = (self.client_data("webauthn.get", challenge), self.data(self.flags));
        let signed = [authenticator_data.as_slice(), &Sha256::digest(&client_data)].concat();
        let signature = self.key().sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec();
        let (credential, user_handle) = (self.credential.clone(), self.user_handle.clone());
        Assertion { credential, client_data, authenticator_data, signature, user_handle }
    }
}
