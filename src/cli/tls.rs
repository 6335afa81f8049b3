//! Encryption that ends in `serve`: the certificate of `--tls-cert`, looked at anew while the server runs, or that of an authority, and
//! what is said of it.

use std::convert::Infallible;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::ServerConfig;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::{Failure, listed, systemd};
use crate::acme::Wanted;
use crate::clock;
use crate::edge::{Certificate, Certificates, WrongCertificate};
use crate::meters::Meters;

/// From one look at the files to the next.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often who watches over the server learns until when it is good.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How often it is said that a certificate ends soon.
const SAY_EVERY: Duration = Duration::from_hours(12);
/// In the mode of a key's file: what others may, and what its group may but reading.
const TOO_OPEN: u32 = 0o037;

/// Encryption that ends here.
#[derive(Args, Debug)]
pub(super) struct Encryption {
    /// Speak TLS, with the certificate in this file: PEM, the server's own first, then the ones that it leads by. It is read again
    /// when it changes, and on SIGHUP. A pair that is wrong then is in the log, and the one before stays
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "COUNTERFOIL_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate: PEM, not encrypted, for nobody else to read
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "COUNTERFOIL_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Without TLS, lead who comes to a page here to the same page below --public-url. Nothing else is led or taken here: callbacks
    /// are answered 503. Sockets of systemd with FileDescriptorName=redirect are used in its place
    #[arg(
        long,
        value_name = "ADDR:PORT",
        value_delimiter = ',',
        requires = "public_url",
        env = "COUNTERFOIL_HTTP_REDIRECT_LISTEN"
    )]
    pub(super) http_redirect_listen: Vec<SocketAddr>,
    #[command(flatten)]
    acme: super::acme::OwnCertificate,
}

impl Encryption {
    /// What the listeners speak; nothing where that is plain HTTP.
    pub(super) fn read(self, public_url: Option<&str>, folder: &Path) -> Result<Option<Tls>, Failure> {
        let source = match (self.tls_cert.zip(self.tls_key), self.acme.read(folder)?) {
            (Some((chain, key)), _) => Source::Files(Files { tried: read_both(&chain, &key), chain, key }),
            (None, Some(wanted)) => Source::Authority(wanted),
            (None, None) => return Ok(None),
        };
        let hung_up = signal(SignalKind::hangup());
        let hung_up = hung_up.map_err(|error| Failure::new(format!("signals cannot be caught: {error}")))?;
        let host = public_url.and_then(|url| url.parse::<http::Uri>().ok());
        let host = host.and_then(|url| url.host().map(str::to_owned));
        let shown = Shown { certificates: Arc::default(), host };
        match &source {
            Source::Files(files) => {
                let certificate = files.certificate().map_err(Failure::new)?;
                files.say_who_reads_the_key();
                shown.change_to(certificate);
            }
            Source::Authority(wanted) => {
                if let Some(held) = wanted.held() {
                    shown.change_to(held);
                } else {
                    tracing::warn!(
                        event = "acme.none_yet",
                        "there is no certificate yet: nobody comes in until the authority has given one"
                    );
                }
            }
        }
        Ok(Some(Tls { shown, source, hung_up }))
    }
}

impl Encryption {
    /// Whether TLS is spoken.
    pub(super) fn is_spoken(&self) -> bool {
        self.tls_cert.is_some() || self.acme.is_wanted()
    }

    /// The certificate as it would be shown by a server that starts now, or why none would be; nothing where no TLS is spoken.
    pub(super) fn certificate(self, folder: &Path) -> Result<Option<Result<Certificate, String>>, Failure> {
        let none_yet = || "there is no certificate yet: the authority has given none, and nobody comes in".to_owned();
        Ok(match (self.tls_cert.zip(self.tls_key), self.acme.read(folder)?) {
            (Some((chain, key)), _) => {
                let files = Files { tried: read_both(&chain, &key), chain, key };
                Some(files.certificate())
            }
            (None, Some(wanted)) => Some(wanted.held().ok_or_else(none_yet)),
            (None, None) => None,
        })
    }
}

/// A listener that leads to https has to know where.
pub(super) fn lead_somewhere(public_url: Option<&str>) -> Result<(), Failure> {
    let is_https = public_url.is_some_and(|url| url.starts_with("https://"));
    let wrong = || Failure::new("--http-redirect-listen leads to --public-url, which must begin with https://");
    is_https.then_some(()).ok_or_else(wrong)
}

/// Whether a hang-up ends the server: it says that the terminal was closed. Where there is none it asks to look at the certificate again,
/// and systemd asks so of whatever server it started (`ExecReload=`).
pub(super) fn hang_up_ends(tls: Option<&Tls>) -> bool {
    io::stderr().is_terminal() || (tls.is_none() && !systemd::is_there())
}

/// What the listeners are encrypted with.
pub(super) struct Tls {
    shown: Shown,
    source: Source,
    hung_up: Signal,
}

/// What is shown, and who is to believe it.
struct Shown {
    certificates: Arc<Certificates>,
    /// How people and Notify reach the server.
    host: Option<String>,
}

/// Where the certificate comes from.
enum Source {
    Files(Files),
    Authority(Wanted),
}

impl Tls {
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.shown.certificates.config()
    }
}

/// Looks after the certificate for as long as the server runs, also where there is nothing to look after, and tells until when it is
/// good.
pub(super) async fn keep(tls: Option<Tls>, meters: &Meters) -> Infallible {
    let Some(Tls { shown, source, hung_up }) = tls else { return std::future::pending().await };
    let telling = tell(shown.certificates.clone(), meters);
    let looking_after = async {
        match source {
            Source::Files(files) => files.look_after(&shown, hung_up).await,
            Source::Authority(wanted) => wanted.keep(shown.certificates.clone(), hung_up).await,
        }
    };
    tokio::select! {
        never = telling => never,
        never = looking_after => never,
    }
}

async fn tell(certificates: Arc<Certificates>, meters: &Meters) -> Infallible {
    loop {
        if let Some(shown) = certificates.shown() {
            meters.certificate_ends(shown.ends_at());
        }
        tokio::time::sleep(TELL_EVERY).await;
    }
}

impl Shown {
    fn change_to(&self, certificate: Certificate) {
        self.certificates.show(certificate);
        self.say_what_is_wrong();
    }

    /// What Notify and browsers will not take, or soon will not. It is shown all the same: without it there is nothing at all.
    fn say_what_is_wrong(&self) {
        let Some(shown) = self.certificates.shown() else { return };
        let now = clock::now();
        let ends_at = listed(Some(shown.ends_at()));
        if shown.ends_at() <= now {
            tracing::error!(
                event = "tls.certificate_ended",
                ends_at,
                "the certificate has ended: Notify and browsers do not come in until there is a new one"
            );
        } else if shown.begins_at() > now {
            tracing::error!(
                event = "tls.certificate_not_begun",
                begins_at = listed(Some(shown.begins_at())),
                "the certificate is not good yet: Notify and browsers do not come in until then. Is the clock right?"
            );
        } else if shown.ends_soon(now) {
            tracing::warn!(
                event = "tls.certificate_ends",
                ends_at,
                "the certificate ends soon, and no newer one is there"
            );
        }
        if let Some(host) = self.host.as_ref().filter(|host| !shown.is_for(host)) {
            tracing::error!(
                event = "tls.certificate_of_another_name",
                "the certificate is not for {host}, the host of --public-url: Notify and browsers do not come in there"
            );
        }
    }
}

/// What the files held; `None` where one could not be read.
type Held = [Option<Vec<u8>>; 2];

/// They are small, and read whole each time: a date can stay the same when what is in a file does not.
fn read_both(chain: &Path, key: &Path) -> Held {
    [chain, key].map(|file| fs::read(file).ok())
}

struct Files {
    chain: PathBuf,
    key: PathBuf,
    /// What was in them when they were last tried.
    tried: Held,
}

impl Files {
    /// Reads them when they change.
    async fn look_after(mut self, shown: &Shown, mut hung_up: Signal) -> Infallible {
        let mut said = Instant::now();
        loop {
            let asked = tokio::select! {
                _ = hung_up.recv() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let held = read_both(&self.chain, &self.key);
            if asked || held != self.tried {
                self.tried = held;
                match self.certificate() {
                    Ok(certificate) => {
                        tracing::info!(
                            event = "tls.reloaded",
                            "the certificate was read again and is shown from now on"
                        );
                        self.say_who_reads_the_key();
                        shown.change_to(certificate);
                        said = Instant::now();
                    }
                    Err(words) => {
                        tracing::error!(event = "tls.not_reloaded", "the certificate from before is shown on: {words}");
                    }
                }
            }
            if said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                shown.say_what_is_wrong();
            }
        }
    }

    fn certificate(&self) -> Result<Certificate, String> {
        match &self.tried {
            [Some(chain), Some(key)] => Certificate::read(chain, key).map_err(|wrong| self.words(wrong)),
            [None, _] => Err(unreadable("certificate", "--tls-cert", &self.chain)),
            _ => Err(unreadable("private key", "--tls-key", &self.key)),
        }
    }

    fn words(&self, wrong: WrongCertificate) -> String {
        let file = if wrong.is_of_key() { &self.key } else { &self.chain };
        format!("{} {wrong}", file.display())
    }

    fn say_who_reads_the_key(&self) {
        let mode = fs::metadata(&self.key).map_or(0, |of| of.permissions().mode());
        if mode & TOO_OPEN != 0 {
            tracing::warn!(
                event = "tls.key_is_open",
                "others on this machine may read or change the private key {}: give it to root and the server's group (chown root:counterfoil), and chmod 640 it",
                self.key.display()
            );
        }
    }
}

/// Asked again for why: it was read with others, and the error says it to a person alone.
fn unreadable(what: &str, flag: &str, file: &Path) -> String {
    let why =
        fs::read(file).err().map_or_else(|| "it was not there a moment ago".to_owned(), |error| error.to_string());
    format!("the {what} {} cannot be read: {why}. See {flag}, and who may read it", file.display())
}
