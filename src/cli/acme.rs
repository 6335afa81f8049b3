//! `serve --acme-domain`: of whom a certificate is asked, and for which names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, DnsName};

use super::Failure;
use crate::acme::Wanted;

/// A certificate of its own.
#[derive(Args, Debug)]
pub(super) struct OwnCertificate {
    /// Speak TLS, with a certificate for these names that is got from an authority by ACME and renewed when a third of its life is left.
    /// Port 443 of each name must lead here (TLS-ALPN-01): no other port and no file is needed. It is kept in the store's folder
    #[arg(
        long = "acme-domain",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = domain,
        requires = "agree_terms",
        conflicts_with = "tls_cert",
        env = "COUNTERFOIL_ACME_DOMAIN"
    )]
    domains: Vec<String>,
    /// An email address that the authority writes to, such as when a certificate is about to end
    #[arg(long = "acme-contact", value_name = "EMAIL", requires = "domains", env = "COUNTERFOIL_ACME_CONTACT")]
    contact: Option<String>,
    /// The authority: its ACME directory. Notify believes public ones alone
    #[arg(
        long = "acme-directory",
        value_name = "URL",
        value_parser = directory,
        default_value = "https://acme-v02.api.letsencrypt.org/directory",
        env = "COUNTERFOIL_ACME_DIRECTORY"
    )]
    directory: String,
    /// What the authority's own certificate leads to, in PEM, where that is no public root
    #[arg(long = "acme-ca", value_name = "FILE", requires = "domains", env = "COUNTERFOIL_ACME_CA")]
    ca: Option<PathBuf>,
    /// You have read the authority's terms of service and agree: those of Let's Encrypt are at <https://letsencrypt.org/repository>
    #[arg(long = "acme-agree-terms", requires = "domains", env = "COUNTERFOIL_ACME_AGREE_TERMS")]
    agree_terms: bool,
}

fn domain(typed: &str) -> Result<String, String> {
    let name = typed.trim().trim_end_matches('.').to_ascii_lowercase();
    let is_name = DnsName::try_from(name.as_str()).is_ok() && name.parse::<std::net::IpAddr>().is_err();
    if is_name {
        Ok(name)
    } else {
        Err("give a host's name, such as callbacks.example.gov.uk, without * and port".into())
    }
}

fn directory(typed: &str) -> Result<String, String> {
    let is_one = typed.starts_with("https://") && typed.parse::<http::Uri>().is_ok_and(|url| url.host().is_some());
    if is_one { Ok(typed.to_owned()) } else { Err("give the https address of an ACME directory".into()) }
}

impl OwnCertificate {
    /// Whether a name was given.
    pub(super) fn is_wanted(&self) -> bool {
        !self.domains.is_empty()
    }

    /// What is wanted, for a store in this folder; nothing where no name was given.
    pub(super) fn read(self, folder: &Path) -> Result<Option<Wanted>, Failure> {
        if !self.is_wanted() {
            return Ok(None);
        }
        let (domains, contact, directory) = (self.domains, self.contact, self.directory);
        let roots = self.ca.map(|file| roots(&file, "--acme-ca")).transpose()?.map(Arc::new);
        Ok(Some(Wanted { domains, contact, directory, roots, folder: folder.to_owned() }))
    }
}

/// What is believed by the file that a flag names.
pub(super) fn roots(file: &Path, flag: &str) -> Result<RootCertStore, Failure> {
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::new(format!("{} cannot be used: {why}. {flag} names a file with a certificate in PEM", file.display()))
    };
    let text = std::fs::read(file).map_err(|error| wrong(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() { Err(wrong(&"it holds no certificate")) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_hosts_name() {
        assert_eq!(domain("Callbacks.Example.gov.uk."), Ok("callbacks.example.gov.uk".to_owned()));
        for wrong in ["", "*.example.gov.uk", "192.0.2.1", "a.example:443", "https://a.example", "a b"] {
            assert!(domain(wrong).is_err(), "{wrong}");
        }
        assert!(directory("https://localhost:14000/dir").is_ok());
        assert!(directory("http://localhost:14000/dir").is_err() && directory("https://").is_err());
    }
}
