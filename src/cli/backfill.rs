//! `counterfoil backfill`: what was missed while no callback could be taken, read back from Notify.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tokio::runtime::Handle;

use super::watch::watch;
use super::{Data, Failure, say, tell};
use crate::backfill::{self, BackfillError, Reach, Source, Tally};
use crate::clock;
use crate::notify::api_key::ApiKey;
use crate::outgoing::Server;

/// Where Notify's API is.
pub(super) const NOTIFY: &str = "https://api.notifications.service.gov.uk";

/// Read back from Notify what was missed
///
/// It reads what the service sent and the text messages that people sent in, stores what is not here, and fills statuses that never
/// came. What is here stays as it is, and what was erased stays away. It works beside the running server, asks Notify twice a second at
/// most, and may be stopped at any moment: the next one goes on from there.
///
/// Notify keeps messages for 7 days, unless the service has set 3 to 90. Its API does not list returned letters and complaints. The key
/// must be a live one: a team or test key sees only what was sent with its own kind.
///
/// Exit codes: 11 to 14 and 16 to 18 as for counterfoil serve, 22 Notify refuses the key or the request, 23 Notify could not be reached.
#[derive(Args, Debug)]
pub(super) struct Backfill {
    /// The name of the Notify service, as counterfoil token list shows it
    #[arg(long, value_name = "NAME", env = "COUNTERFOIL_SERVICE")]
    service: String,
    /// The file that holds an API key of that service. Make one in Notify under API integration, API keys
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_API_KEY_FILE")]
    api_key_file: PathBuf,
    /// How far back to read: a length of time such as 7d or 12h, or a date such as 2026-11-20, or with a time 2026-11-20T14:30 (UK time)
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = since, env = "COUNTERFOIL_SINCE")]
    since: Since,
    /// The address of Notify’s API
    #[arg(long, value_name = "URL", default_value = NOTIFY, value_parser = super::public_url, env = "COUNTERFOIL_BACKFILL_URL")]
    url: String,
    #[command(flatten)]
    data: Data,
}

/// From when on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Since {
    /// So many microseconds ago.
    Ago(i64),
    /// A moment.
    At(i64),
}

impl Since {
    fn moment(self, now: i64) -> i64 {
        match self {
            Since::Ago(time) => now - time,
            Since::At(moment) => moment,
        }
    }
}

fn since(typed: &str) -> Result<Since, String> {
    if let Ok(time) = super::schedule::turn(typed) {
        return i64::try_from(time.as_micros()).map(Since::Ago).map_err(|_| "it is too long ago".to_owned());
    }
    let wrong = || "write it as 7d or 12h, or as a date such as 2026-11-20".to_owned();
    let civil: DateTime = typed.parse().map_err(|_| wrong())?;
    let zone = TimeZone::get("Europe/London").map_err(|_| wrong())?;
    zone.to_timestamp(civil).map(|moment| Since::At(moment.as_microsecond())).map_err(|_| wrong())
}

pub(super) async fn run(asked: Backfill) -> Result<(), Failure> {
    let source = source(&asked.api_key_file, &asked.url)?;
    let store = asked.data.open()?;
    let reach = Reach { since: asked.since.moment(clock::now()), oldest: None };
    let runtime = Handle::current();
    let (tally, done) = watch(move |progress| {
        let mut tally = Tally::default();
        let work = backfill::backfill(&store, &asked.service, &source, reach, progress, &mut tally);
        let done = runtime.block_on(work);
        (tally, done)
    })
    .await?;
    if done.is_ok() || tally.seen > 0 {
        say(&table(&tally))?;
    }
    done.map_err(|error| failure(&error))?;
    tell(if tally.crowded > 0 {
        "A whole page of Notify’s list was made in one moment: others of that moment may have been passed over. Look there in Notify."
    } else if tally.seen == 0 {
        "Notify listed nothing. A team or test key sees only what was sent with its own kind: if you expected messages, take a live key."
    } else {
        "Everything that Notify lists of that time was compared with the store."
    });
    Ok(())
}

/// The API and the key that a file holds.
pub(super) fn source(key_file: &Path, url: &str) -> Result<Source, Failure> {
    let failed = |what: &dyn std::fmt::Display| {
        Failure::new(format!("the key file {} cannot be used: {what}", key_file.display()))
    };
    let key: ApiKey =
        fs::read_to_string(key_file).map_err(|error| failed(&error))?.parse().map_err(|error| failed(&error))?;
    let server = Server::new(url).map_err(|what| Failure::new(format!("the URL ‘{url}’ {what}")))?;
    Ok(Source { key, server })
}

fn failure(error: &BackfillError) -> Failure {
    let code = match error {
        BackfillError::Refused(_) => 22,
        BackfillError::Unreachable(_) => 23,
        BackfillError::Store(_)
        | BackfillError::NotUnderstood
        | BackfillError::OtherService
        | BackfillError::NoService
        | BackfillError::Stopped => 1,
    };
    Failure { words: error.to_string(), code }
}

fn table(tally: &Tally) -> String {
    let filled = tally.filled;
    let always = [
        ("Seen", tally.seen),
        ("Already here", filled.here),
        ("Missing", filled.missing),
        ("Fetched", filled.fetched),
        ("Statuses filled", filled.statuses_filled),
    ];
    let sometimes = [
        ("Not finished yet", tally.on_their_way),
        ("Letters (not called back)", tally.letters),
        ("Erased here", filled.erased),
        ("Past their retention", filled.past_retention),
    ];
    let lines = always.into_iter().chain(sometimes.into_iter().filter(|(_, count)| *count > 0));
    let lines: Vec<String> = lines.map(|(name, count)| format!("{name:<28}{count}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_back_is_a_length_of_time_or_a_moment_in_the_uk() {
        let day = 24 * 60 * clock::MINUTE;
        assert_eq!(since("7d"), Ok(Since::Ago(7 * day)));
        assert_eq!(Since::Ago(day).moment(3 * day), 2 * day);
        assert_eq!(since("2026-07-01"), Ok(Since::At(1_782_860_400_000_000)), "midnight of British Summer Time");
        assert_eq!(since("2026-11-20T14:30"), Ok(Since::At(1_795_185_000_000_000)));
        for wrong in ["", "yesterday", "2026-13-01", "-7d"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
