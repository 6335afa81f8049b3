//! The flags of `counterfoil serve` for emails to the people who look.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::unsaid::unsaid;
use crate::mail::{Beside, From, MailServer, PATIENCE};
use crate::upkeep::Emails;

/// Emails.
#[derive(Args, Debug)]
#[expect(clippy::struct_field_names, reason = "clap knows them by these names, beside all others of serve")]
pub(super) struct EmailFlags {
    /// Send people the emails that they ask for through this mail server: smtps://, or smtp:// with STARTTLS, which is required but on
    /// this machine. A user name stands before an @, as in <smtps://counterfoil@mail.example.gov.uk>
    #[arg(
        long,
        value_name = "URL",
        requires_all = ["public_url", "smtp_from"],
        env = "COUNTERFOIL_SMTP_URL"
    )]
    smtp_url: Option<String>,
    /// The file that holds the password for the mail server
    #[arg(long, value_name = "FILE", requires = "smtp_url", env = "COUNTERFOIL_SMTP_PASSWORD_FILE")]
    smtp_password_file: Option<PathBuf>,
    /// Whom emails come from, such as <counterfoil@example.gov.uk>
    #[arg(
        long,
        value_name = "ADDRESS",
        value_parser = unsaid(str::parse::<From>),
        requires = "smtp_url",
        env = "COUNTERFOIL_SMTP_FROM"
    )]
    smtp_from: Option<From>,
    /// Believe a mail server whose certificate leads to this authority too, a file in PEM, as where an organisation has its own. With it
    /// the connection is encrypted on this machine as well
    #[arg(long, value_name = "FILE", requires = "smtp_url", env = "COUNTERFOIL_SMTP_CA_FILE")]
    smtp_ca_file: Option<PathBuf>,
}

impl EmailFlags {
    pub(super) fn read(self, public_url: Option<&str>, service_name: String) -> Result<Option<Emails>, Failure> {
        let (Some(url), Some(from), Some(public_url)) = (self.smtp_url, self.smtp_from, public_url) else {
            return Ok(None);
        };
        let failed = |file: &Path, error: &std::io::Error| {
            Failure::new(format!("{}: it cannot be read: {error}", file.display()))
        };
        let password = self.smtp_password_file.map(|file| {
            let password = fs::read_to_string(&file).map_err(|error| failed(&file, &error))?;
            Ok::<_, Failure>(password.trim_end_matches(['\r', '\n']).to_owned())
        });
        let authority = self.smtp_ca_file.map(|file| fs::read(&file).map_err(|error| failed(&file, &error)));
        let public_url = public_url.trim_end_matches('/').to_owned();
        let uri = public_url.parse::<http::Uri>().ok();
        let host = uri.as_ref().and_then(http::Uri::host).unwrap_or("localhost");
        let beside = Beside {
            password: password.transpose()?,
            authority: authority.transpose()?,
            known_as: host.to_owned(),
            patience: PATIENCE,
        };
        let server = MailServer::new(&url, beside).map_err(|wrong| Failure::new(format!("--smtp-url: {wrong}")))?;
        Ok(Some(Emails { server, from, public_url, service_name }))
    }
}
