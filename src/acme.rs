//! A certificate of its own, from an authority that speaks ACME (RFC 8555): got, kept, and renewed long before it ends.
//!
//! Whose the names are is proved within TLS, at the port where they are served anyway (TLS-ALPN-01, RFC 8737), so that no second
//! listener is needed. Whatever fails, the certificate from before is shown on. The account and the certificate, each with its key, lie
//! in the store's folder for nobody else to read; no backup holds them, since both can be had again for the asking.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, HttpClient,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::Signal;

use crate::clock;
use crate::edge::{Certificate, Certificates, WrongCertificate};
use crate::outgoing::{Connection, Server};

/// For each answer of the authority.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// No answer of an authority is longer.
const LONGEST_ANSWER: usize = 1024 * 1024;
/// For all of it, from the account to the certificate.
const WHOLE_WITHIN: Duration = Duration::from_mins(5);
/// The pause after the first failure; each after it is five times as long, up to the longest. An authority counts failures by the hour.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_hours(6);
/// A clock that was set, or a machine that slept, is noticed so soon.
const LOOK_EVERY: Duration = Duration::from_hours(1);
/// What an authority calls an account that it does not have, or no longer.
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
/// Their names in the store's folder.
const ACCOUNT: &str = "counterfoil.acme";
const CERTIFICATE: &str = "counterfoil.certificate";

/// What is wanted, and of whom.
pub struct Wanted {
    /// The names that the certificate is for.
    pub domains: Vec<String>,
    /// Whom the authority writes to.
    pub contact: Option<String>,
    /// Where the authority tells what it offers.
    pub directory: String,
    /// By what its own certificate is believed; the public roots where there is nothing.
    pub roots: Option<Arc<RootCertStore>>,
    /// The store's.
    pub folder: PathBuf,
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Refused(#[from] instant_acme::Error),
    #[error("the authority could not see that {0}")]
    NotProved(String),
    #[error("it does not offer TLS-ALPN-01")]
    NotOffered,
    #[error("what it gave {0}")]
    Wrong(#[from] WrongCertificate),
    #[error("what it gave is not for all of the names")]
    NotForAll,
    #[error("no key could be made: {0}")]
    Key(#[from] rcgen::Error),
    #[error("the store's folder cannot be written: {0}")]
    Folder(#[from] io::Error),
    #[error("it took over five minutes")]
    TooLong,
}

/// The account, with where it is one.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    credentials: AccountCredentials,
}

impl Wanted {
    /// The certificate that was got before, be it for other names, of another authority or no longer good: better than none.
    #[must_use]
    pub fn held(&self) -> Option<Certificate> {
        let pem = fs::read(self.folder.join(CERTIFICATE)).ok()?;
        Certificate::read(&pem, &pem).ok()
    }

    /// Gets a certificate when there is none and when a third of its life is left, for as long as the server runs. A hang-up ends a pause.
    pub async fn keep(self, certificates: Arc<Certificates>, mut hung_up: Signal) -> std::convert::Infallible {
        let mut pause = FIRST_PAUSE;
        loop {
            let as_wanted = certificates.shown().filter(|shown| self.is_for_all(shown) && self.account().is_some());
            let renew_at = as_wanted.map_or(0, |shown| renew_at(&shown, random()));
            while let Some(left) = left(renew_at, clock::now()) {
                tokio::time::sleep(left.min(LOOK_EVERY)).await;
            }
            match tokio::time::timeout(WHOLE_WITHIN, self.get(&certificates)).await.unwrap_or(Err(Failed::TooLong)) {
                Ok(certificate) => {
                    pause = FIRST_PAUSE;
                    let days = (certificate.ends_at() - clock::now()) / (24 * 60 * 60 * clock::SECOND);
                    tracing::info!(
                        event = "acme.got",
                        days,
                        "the authority gave a new certificate, which is shown from now on"
                    );
                    certificates.show(certificate);
                }
                Err(failed) => {
                    let next = pause.mul_f64(0.75 + random() / 2.0);
                    tracing::error!(
                        event = "acme.failed",
                        days_left = certificates.days_left(clock::now()),
                        next_in_seconds = next.as_secs(),
                        "no new certificate could be had of the authority: {failed}. What was shown before is shown on, and it is asked \
                         again. Port 443 of the names must lead to this server, and this server reach the authority"
                    );
                    tokio::select! {
                        () = tokio::time::sleep(next) => (),
                        _ = hung_up.recv() => (),
                    }
                    pause = (pause * 5).min(LONGEST_PAUSE);
                }
            }
            certificates.forget_proofs();
        }
    }

    async fn get(&self, certificates: &Certificates) -> Result<Certificate, Failed> {
        match self.order(certificates).await {
            Err(Failed::Refused(instant_acme::Error::Api(problem)))
                if problem.r#type.as_deref() == Some(NO_ACCOUNT) =>
            {
                fs::remove_file(self.folder.join(ACCOUNT))?;
                self.order(certificates).await
            }
            done => done,
        }
    }

    async fn order(&self, certificates: &Certificates) -> Result<Certificate, Failed> {
        let account = self.account_there().await?;
        let names: Vec<Identifier> = self.domains.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let mut challenge = authorization.challenge(ChallengeType::TlsAlpn01).ok_or(Failed::NotOffered)?;
            let name = challenge.identifier().to_string();
            prove(certificates, &name, challenge.key_authorization().digest().as_ref())?;
            challenge.set_ready().await?;
        }
        let retries = RetryPolicy::new().timeout(Duration::from_mins(1));
        if order.poll_ready(&retries).await? != OrderStatus::Ready {
            return Err(Failed::NotProved(why(&mut order).await));
        }
        let key = KeyPair::generate()?;
        let mut asked = CertificateParams::new(self.domains.clone())?;
        // An authority takes names from here alone.
        asked.distinguished_name = DistinguishedName::new();
        order.finalize_csr(asked.serialize_request(&key)?.der()).await?;
        let chain = order.poll_certificate(&retries).await?;
        let pem = format!("{}{chain}", key.serialize_pem());
        let certificate = Certificate::read(pem.as_bytes(), pem.as_bytes())?;
        if !self.is_for_all(&certificate) {
            return Err(Failed::NotForAll);
        }
        write(&self.folder, CERTIFICATE, pem.as_bytes())?;
        Ok(certificate)
    }

    /// The account there is at the authority, made where there is none.
    async fn account_there(&self) -> Result<Account, Failed> {
        let http = Http { roots: self.roots.clone() };
        if let Some(kept) = self.account() {
            return Ok(Account::builder_with_http(Box::new(http)).from_credentials(kept.credentials).await?);
        }
        let contact = self.contact.as_ref().map(|address| format!("mailto:{address}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let builder = Account::builder_with_http(Box::new(http));
        let (account, credentials) = builder.create(&new, self.directory.clone(), None).await?;
        let kept = serde_json::to_vec(&Kept { directory: self.directory.clone(), credentials });
        write(&self.folder, ACCOUNT, &kept.map_err(instant_acme::Error::from)?)?;
        Ok(account)
    }

    /// The account that was made before, where that was with this authority.
    fn account(&self) -> Option<Kept> {
        let kept = fs::read(self.folder.join(ACCOUNT)).ok()?;
        serde_json::from_slice(&kept).ok().filter(|kept: &Kept| kept.directory == self.directory)
    }

    fn is_for_all(&self, certificate: &Certificate) -> bool {
        self.domains.iter().all(|domain| certificate.is_for(domain))
    }
}

/// When a third of its life is left, or up to a twentieth of it sooner, so that not everybody comes at once.
fn renew_at(certificate: &Certificate, sooner: f64) -> i64 {
    let life = certificate.ends_at() - certificate.begins_at();
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "to the second would do")]
    let sooner = (life as f64 / 20.0 * sooner) as i64;
    certificate.ends_at() - life / 3 - sooner
}

/// How long it is until then; `None` where it is time.
fn left(until: i64, now: i64) -> Option<Duration> {
    u64::try_from(until - now).ok().filter(|left| *left > 0).map(Duration::from_micros)
}

/// From 0 to 1. Where there is no randomness everybody comes at once.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

/// Shows the authority that the key of the account is known where the name leads.
fn prove(certificates: &Certificates, name: &str, digest: &[u8]) -> Result<(), Failed> {
    let key = KeyPair::generate()?;
    let mut asked = CertificateParams::new([name.to_owned()])?;
    asked.custom_extensions.push(CustomExtension::new_acme_identifier(digest));
    let proof = asked.self_signed(&key)?;
    Ok(certificates.prove(name, proof.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())?)
}

/// What the authority found where it looked.
async fn why(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return format!("{name} is this server's: {problem}");
        }
    }
    "the names are this server's".to_owned()
}

/// Written under another name, for its owner alone, and renamed when it is whole.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(&format!("{name}-")).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(name))?;
    File::open(folder)?.sync_all()
}

/// How the authority is spoken to: a connection for each request, since they are few.
struct Http {
    roots: Option<Arc<RootCertStore>>,
}

type Answer = Result<BytesResponse, instant_acme::Error>;

impl HttpClient for Http {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let roots = self.roots.clone();
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
            let server = match roots {
                Some(roots) => Server::trusting(&head.uri.to_string(), || roots),
                None => Server::new(&head.uri.to_string()),
            };
            let server =
                server.map_err(|wrong| instant_acme::Error::Other(format!("the authority's URL {wrong}").into()))?;
            head.headers.insert(header::HOST, server.authority());
            head.uri = head.uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
            let request = Request::from_parts(head, Full::new(body));
            let mut connection = Connection::new(server);
            let answered = connection.exchange_within(request, LONGEST_ANSWER);
            let answered = tokio::time::timeout(ANSWER_WITHIN, answered).await.ok().flatten();
            let answered = answered.ok_or_else(|| {
                instant_acme::Error::Other("it does not answer, or shows a certificate that is not believed".into())
            })?;
            Ok(BytesResponse { parts: answered.head, body: Box::new(Bytes::from(answered.body)) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_renewed_when_a_third_of_its_life_is_left_or_somewhat_sooner() {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let own = Certificate::read(chain.as_bytes(), key.as_bytes()).unwrap();
        let life = own.ends_at() - own.begins_at();
        assert_eq!(renew_at(&own, 0.0), own.ends_at() - life / 3);
        assert!(renew_at(&own, 1.0) < renew_at(&own, 0.0));
        assert!(renew_at(&own, 1.0) > own.ends_at() - life / 2);
        assert_eq!((left(7, 7), left(7, 8), left(8, 7)), (None, None, Some(Duration::from_micros(1))));
    }

    #[test]
    fn what_is_kept_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), ACCOUNT, b"one").unwrap();
        write(folder.path(), ACCOUNT, b"other").unwrap();
        let file = folder.path().join(ACCOUNT);
        assert_eq!(fs::read(&file).unwrap(), b"other");
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
