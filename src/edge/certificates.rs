//! The certificate that the server shows: read from PEM, checked, and put in the place of the one before without a restart.
//!
//! Who makes it and where it is kept is not known here. What an authority asks for to see whose the server is (TLS-ALPN-01) is shown to
//! it alone.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// What browsers and Notify speak over TLS.
const HTTP: &[u8] = b"http/1.1";
/// What only an authority speaks that wants to see a proof; nothing follows the handshake.
pub(super) const PROOF: &[u8] = b"acme-tls/1";
const MICROS: i64 = 1_000_000;
const DAY: i64 = 24 * 60 * 60 * MICROS;
/// A certificate is said to end soon so long before it does, or when it has a quarter of its life left, if that is later.
const SOON: i64 = 14 * DAY;

/// A certificate, the ones that it leads by, and its key.
#[derive(Clone)]
pub struct Certificate {
    shown: Arc<CertifiedKey>,
    begins_at: i64,
    ends_at: i64,
}

/// What is wrong with a certificate or key; a sentence that goes on after the names of the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WrongCertificate {
    /// No certificate in it.
    #[error(
        "holds no certificate. It must be PEM, with the server's own certificate first, -----BEGIN CERTIFICATE-----, then the ones it leads by"
    )]
    NoCertificate,
    /// No key in it.
    #[error("holds no private key. It must be PEM and not encrypted, such as -----BEGIN PRIVATE KEY-----")]
    NoKey,
    /// A key of a kind that is not known.
    #[error(
        "holds a private key that cannot be used. It must be an RSA key of 2048 bits or more, ECDSA (P-256, P-384) or Ed25519"
    )]
    UnknownKey,
    /// A certificate that does not parse.
    #[error("holds a first certificate that cannot be read. Ask who made it for another")]
    Unreadable,
    /// They are no pair.
    #[error(
        "is not the key of the certificate. Name the two files that were made together, the server's own certificate first"
    )]
    Mismatched,
}

impl WrongCertificate {
    /// Whether it is said of the key's file and not of the certificate's.
    #[must_use]
    pub fn is_of_key(self) -> bool {
        matches!(self, WrongCertificate::NoKey | WrongCertificate::UnknownKey | WrongCertificate::Mismatched)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("ends_at", &self.ends_at).finish_non_exhaustive()
    }
}

impl Certificate {
    /// From PEM: the chain, the server's own certificate first, and the key.
    ///
    /// # Errors
    /// When they are not there, cannot be used, or are no pair. Whether it is still good is another question.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Certificate, WrongCertificate> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(WrongCertificate::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| WrongCertificate::NoKey)?;
        let (begins_at, ends_at) = chain.first().and_then(|own| life(own)).ok_or(WrongCertificate::Unreadable)?;
        let provider = rustls::crypto::ring::default_provider();
        let key = provider.key_provider.load_private_key(key).map_err(|_| WrongCertificate::UnknownKey)?;
        let shown = CertifiedKey::new(chain, key);
        match shown.keys_match() {
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                return Err(WrongCertificate::Mismatched);
            }
            // Of some keys it cannot be told.
            Ok(()) | Err(rustls::Error::InconsistentKeys(_)) => (),
            Err(_) => return Err(WrongCertificate::Unreadable),
        }
        Ok(Certificate { shown: Arc::new(shown), begins_at, ends_at })
    }

    /// From when it is good, in microseconds since 1970.
    #[must_use]
    pub fn begins_at(&self) -> i64 {
        self.begins_at
    }

    /// Until when it is good, in microseconds since 1970.
    #[must_use]
    pub fn ends_at(&self) -> i64 {
        self.ends_at
    }

    /// Whether it is for this host.
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let Ok(name) = ServerName::try_from(host) else { return false };
        let Ok(own) = self.shown.end_entity_cert() else { return false };
        ParsedCertificate::try_from(own).is_ok_and(|own| rustls::client::verify_server_name(&own, &name).is_ok())
    }

    /// Whether it ends so soon that somebody should look after it.
    #[must_use]
    pub fn ends_soon(&self, now: i64) -> bool {
        ends_soon((self.begins_at, self.ends_at), now)
    }
}

/// From when and until when a certificate is good, in microseconds since 1970; nothing where it does not parse.
#[must_use]
pub fn life(certificate: &[u8]) -> Option<(i64, i64)> {
    let (_, own) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let at = |time: x509_parser::time::ASN1Time| time.timestamp().saturating_mul(MICROS);
    Some((at(own.validity().not_before), at(own.validity().not_after)))
}

/// Whether a certificate with this life ends so soon that somebody should look after it.
#[must_use]
pub fn ends_soon((begins_at, ends_at): (i64, i64), now: i64) -> bool {
    ends_at - now < SOON.min((ends_at - begins_at) / 4)
}

/// What is shown now, to every connection of every listener; nothing before the first.
#[derive(Default)]
pub struct Certificates {
    shown: RwLock<Option<Certificate>>,
    /// For each name that is to be proved, what proves it.
    proofs: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates(…)")
    }
}

impl Certificates {
    /// Shows a certificate from the next handshake on.
    pub fn show(&self, certificate: Certificate) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Some(certificate);
    }

    /// The one that is shown.
    #[must_use]
    pub fn shown(&self) -> Option<Certificate> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The whole days until the one that is shown ends, below 0 where it has ended; `None` where none is shown.
    #[must_use]
    pub fn days_left(&self, now: i64) -> Option<i64> {
        self.shown().map(|shown| (shown.ends_at - now).div_euclid(DAY))
    }

    /// Shows this to an authority that asks whose `name` is, until it is forgotten. It is no certificate that anybody else would take.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn prove(
        &self,
        name: &str,
        proof: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), WrongCertificate> {
        let provider = rustls::crypto::ring::default_provider();
        let key = provider.key_provider.load_private_key(key).map_err(|_| WrongCertificate::UnknownKey)?;
        let mut proofs = self.proofs.write().unwrap_or_else(PoisonError::into_inner);
        proofs.insert(name.to_ascii_lowercase(), Arc::new(CertifiedKey::new(vec![proof], key)));
        Ok(())
    }

    /// Proves nothing any more.
    pub fn forget_proofs(&self) {
        self.proofs.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What connections are made with: TLS 1.3 and 1.2, and HTTP/1.1 in it.
    #[must_use]
    pub fn config(self: &Arc<Self>) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = vec![HTTP.to_vec(), PROOF.to_vec()];
        Arc::new(config)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wants_proof = hello.alpn().is_some_and(|mut spoken| spoken.all(|protocol| protocol == PROOF));
        if wants_proof {
            let proofs = self.proofs.read().unwrap_or_else(PoisonError::into_inner);
            return proofs.get(&hello.server_name()?.to_ascii_lowercase()).cloned();
        }
        self.shown().map(|shown| shown.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str]) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut asked = rcgen::CertificateParams::new(names).unwrap();
        asked.not_before = rcgen::date_time_ymd(2026, 1, 1);
        asked.not_after = rcgen::date_time_ymd(2026, 1, 5);
        (asked.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn each_wrong_pair_is_told_apart() {
        let (chain, key) = made(&["a.example"]);
        let (_, other) = made(&["a.example"]);
        let read = |chain: &str, key: &str| Certificate::read(chain.as_bytes(), key.as_bytes()).map(|_| ());
        assert_eq!(read(&chain, &key), Ok(()));
        assert_eq!(read(&format!("{chain}{chain}"), &key), Ok(()));
        assert_eq!(read("", &key), Err(WrongCertificate::NoCertificate));
        assert_eq!(read(&key, &key), Err(WrongCertificate::NoCertificate));
        assert_eq!(read(&chain, ""), Err(WrongCertificate::NoKey));
        assert_eq!(read(&chain, &chain), Err(WrongCertificate::NoKey));
        assert_eq!(read(&chain, &other), Err(WrongCertificate::Mismatched));
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(read(nonsense, &key), Err(WrongCertificate::Unreadable));
        let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(read(&chain, nonsense), Err(WrongCertificate::UnknownKey));
    }

    #[test]
    fn a_certificate_says_for_whom_and_how_long_it_is_good() {
        let (chain, key) = made(&["a.example", "*.b.example"]);
        let certificate = Certificate::read(chain.as_bytes(), key.as_bytes()).unwrap();
        assert!(certificate.is_for("a.example") && certificate.is_for("x.b.example"));
        assert!(!certificate.is_for("c.example") && !certificate.is_for("192.0.2.1"));
        let ends = certificate.ends_at();
        assert_eq!(ends - certificate.begins_at(), 4 * DAY);
        assert!(!certificate.ends_soon(ends - 2 * DAY) && certificate.ends_soon(ends - DAY + 1));
        let certificates = Certificates::default();
        assert_eq!(certificates.days_left(ends), None);
        certificates.show(certificate);
        assert_eq!(certificates.days_left(ends - DAY - 1), Some(1));
        assert_eq!(certificates.days_left(ends + 1), Some(-1));
    }
}
