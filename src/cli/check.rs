//! `counterfoil check`: whether the store is whole, and what it holds.

use clap::Args;
use indicatif::HumanBytes;

use super::watch::watch;
use super::{Data, Failure, listed, say, tell};
use crate::store::{self, CheckError, Report};

/// Read the whole store for damage, and say what it holds
///
/// It works beside the running server and changes nothing. Exit codes: 11 to 14 and 16 to 18 as for counterfoil serve, 20 the file is
/// whole but some callbacks cannot be found by a search.
#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    data: Data,
}

pub(super) async fn run(check: Check) -> Result<(), Failure> {
    let report = watch(move |progress| store::check(&check.data.data, progress)).await??;
    say(&table(&report))?;
    if report.not_found > 0 {
        let words = format!(
            "no search finds {} of its callbacks. Keep a copy of the folder, then restore from a backup",
            report.not_found
        );
        return Err(Failure { words, code: 20 });
    }
    tell(if report.is_older {
        "No damage was found. The store is of an earlier release, and counterfoil serve brings it up to date."
    } else {
        "No damage was found, and every callback can be found."
    });
    Ok(())
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Failure {
        Failure { words: error.to_string(), code: error.exit_code() }
    }
}

fn table(report: &Report) -> String {
    let mut lines: Vec<(&str, String)> =
        report.kinds.iter().map(|(kind, count)| (kind.words(), count.to_string())).collect();
    lines.push(("In quarantine", report.quarantined.to_string()));
    lines.push(("First callback", listed(report.oldest)));
    lines.push(("Last callback", listed(report.newest)));
    lines.push(("Size", HumanBytes(report.bytes).to_string()));
    lines.push(("Size of the log", HumanBytes(report.log_bytes).to_string()));
    lines.push(("Version", report.version.to_string()));
    let lines: Vec<String> = lines.into_iter().map(|(name, value)| format!("{name:<24}{value}")).collect();
    lines.join("\n")
}
