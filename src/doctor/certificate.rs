//! A certificate: until when it is good, and for which name.

use super::{Finding, counted};
use crate::clock::DAY;
use crate::edge::{Certificate, ends_soon};

/// The one that the server itself shows.
pub(super) fn own(certificate: &Result<Certificate, String>, host: Option<&str>, now: i64) -> Finding {
    let certificate = match certificate {
        Ok(certificate) => certificate,
        Err(words) => {
            return Finding::bad("certificate", words.clone(), "Mend that, and the server reads it by itself.");
        }
    };
    if let Some(host) = host.filter(|host| !certificate.is_for(host)) {
        let found = format!("the certificate is not for {host}, so that Notify and browsers do not come in there");
        return Finding::bad("certificate", found, "Get one for that name, or mend --url.");
    }
    lasts("certificate", (certificate.begins_at(), certificate.ends_at()), now)
}

/// How long a certificate lasts from now on.
pub(super) fn lasts(check: &'static str, life: (i64, i64), now: i64) -> Finding {
    let (begins_at, ends_at) = life;
    let days = counted((ends_at - now) / DAY, "day");
    match () {
        () if ends_at <= now => Finding::bad(
            check,
            "the certificate has ended, so that Notify and browsers do not come in",
            "Renew it now. The server’s log says why that did not happen by itself.",
        ),
        () if begins_at > now => {
            Finding::bad(check, "the certificate is not good yet", "Look whether this machine’s clock is right.")
        }
        () if ends_soon(life, now) => Finding::warning(
            check,
            format!("the certificate ends in {days}"),
            "Renew it. The server’s log says why that did not happen by itself.",
        ),
        () => Finding::good(check, format!("the certificate is good for {days}")),
    }
}
