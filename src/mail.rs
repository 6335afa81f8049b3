//! A mail server that takes our emails: a connection to it, encrypted and signed in to, and a message handed over. It knows nothing of
//! what emails say or of who gets them, and what it tells of a fault names no address: a server's own words may hold one.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::{self, extension::ClientId};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

/// How long a server may take for one step: to be reached, or to take an email. Many let a stranger wait.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How a connection is encrypted.
#[derive(Clone)]
enum Encrypted {
    /// Not at all: it does not leave the machine.
    Not,
    /// From its second word on, by STARTTLS.
    Upgraded(TlsParameters),
    /// From the beginning.
    Wholly(TlsParameters),
}

/// A mail server, and how it is spoken to.
#[derive(Clone)]
pub struct MailServer {
    host: String,
    port: u16,
    encrypted: Encrypted,
    credentials: Option<Credentials>,
    known_as: ClientId,
    patience: Duration,
}

/// What is wrong with the URL of a mail server, or with what goes with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WrongMailServer {
    /// It does not parse.
    #[error("the URL cannot be read: write it as smtp://mail.example.gov.uk or smtps://mail.example.gov.uk")]
    Unreadable,
    /// Another scheme.
    #[error("the URL begins with neither smtp:// nor smtps://")]
    Scheme,
    /// No certificate.
    #[error("the file holds no certificate in PEM")]
    Certificate,
    /// A password, and nobody whose it is.
    #[error("there is a password and no user: write the user into the URL, as in smtp://user@mail.example.gov.uk")]
    NoUser,
}

/// What a server is reached with beside its URL.
#[derive(Clone, Default)]
pub struct Beside {
    /// In place of one in the URL.
    pub password: Option<String>,
    /// A certificate authority that is believed beside the public ones, in PEM.
    pub authority: Option<Vec<u8>>,
    /// The name that we tell the server as ours.
    pub known_as: String,
    /// How long it may take for one step.
    pub patience: Duration,
}

impl MailServer {
    /// The server that a URL names, `smtp://` or `smtps://`. What leaves the machine is encrypted.
    ///
    /// # Errors
    /// When the URL names none, or what goes with it cannot be used.
    pub fn new(url: &str, beside: Beside) -> Result<MailServer, WrongMailServer> {
        let uri: http::Uri = url.parse().map_err(|_| WrongMailServer::Unreadable)?;
        let wholly = match uri.scheme_str() {
            Some("smtps") => true,
            Some("smtp") => false,
            _ => return Err(WrongMailServer::Scheme),
        };
        let authority = uri.authority().ok_or(WrongMailServer::Unreadable)?.as_str();
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(WrongMailServer::Unreadable)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let user_info = authority.rsplit_once('@').map(|(user_info, _)| user_info);
        let (user, password) = match user_info.map(|info| info.split_once(':').unwrap_or((info, ""))) {
            Some((user, password)) => (Some(decoded(user)?), Some(decoded(password)?)),
            None => (None, None),
        };
        let password = beside.password.or(password.filter(|password| !password.is_empty()));
        let credentials = match (user.filter(|user| !user.is_empty()), password) {
            (Some(user), password) => Some(Credentials::new(user, password.unwrap_or_default())),
            (None, Some(_)) => return Err(WrongMailServer::NoUser),
            (None, None) => None,
        };
        let stays_here = is_this_machine(&host) && beside.authority.is_none();
        let tls = trusting(&host, beside.authority.as_deref())?;
        let (encrypted, usual) = match (wholly, stays_here) {
            (true, _) => (Encrypted::Wholly(tls), 465),
            (false, true) => (Encrypted::Not, 25),
            (false, false) => (Encrypted::Upgraded(tls), 587),
        };
        Ok(MailServer {
            port: uri.port_u16().unwrap_or(usual),
            host,
            encrypted,
            credentials,
            known_as: ClientId::Domain(beside.known_as),
            patience: beside.patience,
        })
    }

    /// A connection to it, signed in.
    ///
    /// # Errors
    /// When it cannot be reached, or takes us for nobody it knows.
    pub async fn reach(&self) -> Result<Reached, Fault> {
        let connection = timeout(self.patience, self.connect()).await.map_err(|_| Fault::Silent)??;
        Ok(Reached { connection, patience: self.patience })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Fault> {
        let at = (self.host.as_str(), self.port);
        let wholly = match &self.encrypted {
            Encrypted::Wholly(tls) => Some(tls.clone()),
            _ => None,
        };
        let mut connection = AsyncSmtpConnection::connect_tokio1(at, None, &self.known_as, wholly, None)
            .await
            .map_err(|error| Fault::of(&error))?;
        if let Encrypted::Upgraded(tls) = &self.encrypted {
            if !connection.can_starttls() {
                return Err(Fault::InTheClear);
            }
            connection.starttls(tls.clone(), &self.known_as).await.map_err(|error| Fault::of(&error))?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await.map_err(|error| match Fault::of(&error) {
                Fault::Refused(code) => Fault::SignIn(code),
                Fault::Failed => Fault::NoWayToSignIn,
                other => other,
            })?;
        }
        Ok(connection)
    }
}

fn decoded(text: &str) -> Result<String, WrongMailServer> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| WrongMailServer::Unreadable)?;
    Ok(decoded.into_owned())
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Believes a certificate for this name that leads to the public roots, or to the authority that was named.
fn trusting(host: &str, authority: Option<&[u8]>) -> Result<TlsParameters, WrongMailServer> {
    let mut tls = TlsParameters::builder(host.to_owned());
    if let Some(pem) = authority {
        if !pem.windows(11).any(|part| part == b"-----BEGIN ") {
            return Err(WrongMailServer::Certificate);
        }
        tls = tls.add_root_certificate(Certificate::from_pem(pem).map_err(|_| WrongMailServer::Certificate)?);
    }
    tls.build_rustls().map_err(|_| WrongMailServer::Certificate)
}

/// Why no email went out. It says nothing of a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// No connection, or it broke.
    #[error("the mail server cannot be reached")]
    Unreachable,
    /// No answer in time.
    #[error("the mail server does not answer in time")]
    Silent,
    /// A certificate that is not believed, or no common version.
    #[error("the encrypted connection to the mail server failed. Check its certificate")]
    Tls,
    /// It offers no STARTTLS.
    #[error("the mail server does not offer an encrypted connection (STARTTLS)")]
    InTheClear,
    /// A wrong user or password.
    #[error("the mail server refused the user name or password (code {0})")]
    SignIn(u16),
    /// It does not let anybody sign in, or in a way that we do not know.
    #[error("the mail server offers no way to sign in that Counterfoil knows")]
    NoWayToSignIn,
    /// It refused this email: its recipient, its sender or what it says.
    #[error("the mail server refused it (code {0})")]
    Refused(u16),
    /// The address cannot be written to.
    #[error("the address cannot be written to")]
    Address,
    /// Anything else.
    #[error("the mail server answered something that cannot be understood")]
    Failed,
}

impl Fault {
    fn of(error: &smtp::Error) -> Fault {
        if let Some(code) = error.status() {
            return match code.into() {
                code @ (530 | 534 | 535 | 538) => Fault::SignIn(code),
                // It is about to go.
                421 => Fault::Unreachable,
                code => Fault::Refused(code),
            };
        }
        if error.is_timeout() {
            Fault::Silent
        } else if error.is_tls() {
            Fault::Tls
        } else if error.is_response() || error.is_client() {
            Fault::Failed
        } else {
            Fault::Unreachable
        }
    }

    /// Whether it is about the one email, so that another may go out.
    #[must_use]
    pub fn is_of_one_email(self) -> bool {
        matches!(self, Fault::Refused(_) | Fault::Address)
    }
}

/// Whom emails come from: an address, or a name and an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct From(Mailbox);

impl FromStr for From {
    type Err = String;

    fn from_str(typed: &str) -> Result<From, String> {
        let wrong = "write it as an email address, or as Name <address>";
        typed.parse().map(From).map_err(|_| wrong.to_owned())
    }
}

/// One email of plain text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Email {
    /// To whom: an address.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// What it says.
    pub text: String,
}

/// Says that no person wrote it, so that no holiday notice answers it.
#[derive(Clone)]
struct ByItself;

impl Header for ByItself {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<ByItself, Box<dyn std::error::Error + Send + Sync>> {
        Ok(ByItself)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(ByItself::name(), "auto-generated".to_owned())
    }
}

/// An open connection.
pub struct Reached {
    connection: AsyncSmtpConnection,
    patience: Duration,
}

impl Reached {
    /// Hands one email over. After a fault the connection is of no use any more.
    ///
    /// # Errors
    /// When the server has not said that it takes it.
    pub async fn hand_over(&mut self, from: &From, email: &Email) -> Result<(), Fault> {
        let to: Mailbox = email.to.parse().map_err(|_| Fault::Address)?;
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| Fault::Failed)?;
        let id = format!("<{}@{}>", uuid::Uuid::from_bytes(id).simple(), from.0.email.domain());
        let message = Message::builder()
            .message_id(Some(id))
            .from(from.0.clone())
            .to(to)
            .subject(&email.subject)
            .header(ByItself)
            .header(ContentType::TEXT_PLAIN)
            .body(email.text.clone())
            .map_err(|_| Fault::Address)?;
        let whole = message.formatted();
        match timeout(self.patience, self.connection.send(message.envelope(), &whole)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Fault::of(&error)),
            Err(_) => Err(Fault::Silent),
        }
    }

    /// Says good-bye; the email is there in any case.
    pub async fn leave(mut self) {
        let _left = timeout(self.patience, self.connection.quit()).await.is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beside(password: Option<&str>) -> Beside {
        let password = password.map(str::to_owned);
        Beside { password, authority: None, known_as: "a.example".into(), patience: Duration::from_millis(200) }
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted_and_each_scheme_has_its_port() {
        for (url, port, how) in [
            ("smtp://mail.example", 587, "upgraded"),
            ("smtp://u%40x:p%3a@mail.example:2525", 2525, "upgraded"),
            ("smtps://mail.example", 465, "wholly"),
            ("smtps://localhost", 465, "wholly"),
            ("smtp://localhost", 25, "not"),
            ("smtp://127.0.0.1:1025", 1025, "not"),
            ("smtp://[::1]", 25, "not"),
            ("smtp://127.0.0.1.example", 587, "upgraded"),
        ] {
            let server = MailServer::new(url, beside(None)).ok().unwrap();
            let found = match server.encrypted {
                Encrypted::Not => "not",
                Encrypted::Upgraded(_) => "upgraded",
                Encrypted::Wholly(_) => "wholly",
            };
            assert_eq!((server.port, found), (port, how), "{url}");
        }
        let wrong = |url, password| MailServer::new(url, beside(password)).err();
        assert_eq!(wrong("https://mail.example", None), Some(WrongMailServer::Scheme));
        assert_eq!(wrong("a b", None), Some(WrongMailServer::Unreadable));
        assert_eq!(wrong("smtps://mail.example", Some("x")), Some(WrongMailServer::NoUser));
        let authority = Some(b"no certificate".to_vec());
        let named = MailServer::new("smtps://mail.example", Beside { authority, ..beside(None) });
        assert_eq!(named.err(), Some(WrongMailServer::Certificate));
    }

    #[tokio::test]
    async fn a_server_that_offers_no_encryption_is_told_nothing() {
        use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://user:password@localhost:{}", listener.local_addr().unwrap().port());
        let heard = tokio::spawn(async move {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            stream.write_all(b"220 a\r\n").await.unwrap();
            let (mut heard, mut line) = (String::new(), String::new());
            while stream.read_line(&mut line).await.is_ok_and(|length| length > 0) {
                heard += &std::mem::take(&mut line);
                stream.write_all(b"250-a\r\n250 AUTH PLAIN\r\n").await.unwrap();
            }
            heard
        });
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let authority = Some(made.cert.pem().into_bytes());
        let patience = PATIENCE;
        let server = MailServer::new(&url, Beside { authority, patience, ..beside(None) }).ok().unwrap();
        assert_eq!(server.reach().await.err(), Some(Fault::InTheClear));
        assert_eq!(heard.await.unwrap(), "EHLO a.example\r\n");
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up_and_one_that_is_not_there_is_told_apart() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = silent.local_addr().unwrap();
        let server = MailServer::new(&format!("smtp://{at}"), beside(None)).ok().unwrap();
        assert_eq!(server.reach().await.err(), Some(Fault::Silent));
        drop(silent);
        assert_eq!(server.reach().await.err(), Some(Fault::Unreachable));
    }
}
