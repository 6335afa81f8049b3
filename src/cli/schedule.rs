//! Backups on a schedule, as the flags of `serve` say and as `doctor` looks for them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::unsaid::unsaid;
use crate::store::{BackupFolder, Recipient};
use crate::upkeep::Schedule;

/// Backups on a schedule.
#[derive(Args, Debug)]
pub(super) struct Backups {
    /// Make backups in this folder, as counterfoil backup does, named by date and time (UTC). It must be there, on another disk if
    /// it can be, and hold the backups of this store alone
    #[arg(long = "backup-to", value_name = "DIR", env = "COUNTERFOIL_BACKUP_TO")]
    pub(super) to: Option<PathBuf>,
    /// The time from one backup to the next, such as 1d, 12h or 30m. The first is made at the start if the newest is older
    #[arg(
        long = "backup-every",
        value_name = "TIME",
        value_parser = turn,
        default_value = "1d",
        requires = "to",
        env = "COUNTERFOIL_BACKUP_EVERY"
    )]
    pub(super) every: Duration,
    /// How many backups to keep. Older ones that the schedule made are removed, and nothing else in the folder
    #[arg(
        long = "backup-keep",
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..),
        default_value_t = 14,
        requires = "to",
        env = "COUNTERFOIL_BACKUP_KEEP"
    )]
    keep: u16,
    /// Encrypt the backups to this public key of age, age1…; may be given several times, and each of the secret keys opens them
    #[arg(
        long = "backup-encrypt-to",
        value_name = "KEY",
        value_parser = unsaid(str::parse::<Recipient>),
        value_delimiter = ',',
        requires = "to",
        env = "COUNTERFOIL_BACKUP_ENCRYPT_TO"
    )]
    encrypt_to: Vec<Recipient>,
}

impl Backups {
    pub(super) fn schedule(self) -> Option<Schedule> {
        let (keep, recipients) = (usize::from(self.keep), self.encrypt_to);
        let to = self.to.map(|folder| BackupFolder { folder, keep, recipients });
        to.map(|to| Schedule { to, every: self.every })
    }
}

/// A length of time of a minute or more, in which a day has 24 hours.
pub(super) fn turn(typed: &str) -> Result<Duration, String> {
    let day = jiff::SpanRelativeTo::days_are_24_hours();
    let time = typed.parse::<jiff::Span>().and_then(|span| span.to_duration(day)).ok();
    let time = time.and_then(|time| Duration::try_from(time).ok()).filter(|time| *time >= Duration::from_mins(1));
    time.ok_or_else(|| "write it as 1d, 12h or 30m; a minute is the least".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_written_as_people_write_it() {
        assert_eq!(turn("1d"), Ok(Duration::from_hours(24)));
        assert_eq!(turn("12h"), Ok(Duration::from_hours(12)));
        assert_eq!(turn("30m"), Ok(Duration::from_mins(30)));
        assert_eq!(turn("1d 12h"), Ok(Duration::from_hours(36)));
        for wrong in ["", "1", "-1d", "0m", "59s", "1mo", "often"] {
            assert!(turn(wrong).is_err(), "{wrong}");
        }
    }
}
