//! The store: the clock against it, whether it is whole, what stands as an alarm, who can send and who can sign in.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use indicatif::HumanBytes;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Finding, State, counted, counted_as, long};
use crate::clock::{DAY, MINUTE};
use crate::store::{self, CheckError, Examined, Progress, Role, Store, StoreError, TokenRow};

/// A callback that came later than now by more than this came by another clock.
const AHEAD: i64 = MINUTE;
/// So long the store is read through; the whole of a large one takes longer.
const READ_FOR: Duration = Duration::from_secs(5);
/// A log that is longer is not being copied; past the second, callbacks are refused.
const LONG_LOG: u64 = 256 * 1024 * 1024;
const LONGEST_LOG: u64 = 1280 * 1024 * 1024;
/// A token that brought nothing for so long may be of no use.
const UNUSED: i64 = 30 * DAY;
/// What tells of the machine's clock answers within this.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Whether the clock is later than everything that came, and whether something keeps it so.
pub(super) async fn clock(found: Examined, now: i64, tell: &mut dyn FnMut(Finding)) {
    tell(match found.from_to {
        Some((_, newest)) if newest - now > AHEAD => Finding::bad(
            "clock",
            format!("this machine’s clock is {} before the newest callback", long(newest - now)),
            "Set the clock, and let chrony or systemd-timesyncd keep it. Times of arrival, sign-in codes and removal by age rest on it.",
        ),
        _ => Finding::good("clock", "this machine’s clock is later than everything that came"),
    });
    if let Some(finding) = kept_clock().await {
        tell(finding);
    }
}

/// Whether something keeps the clock right, as far as systemd knows; nothing where nobody can say.
async fn kept_clock() -> Option<Finding> {
    let mut asked = Command::new("timedatectl");
    asked.args(["show", "--property=NTPSynchronized", "--value"]).stdin(Stdio::null()).stderr(Stdio::null());
    let said = timeout(ANSWERS_WITHIN, asked.kill_on_drop(true).output()).await.ok()?.ok()?;
    match String::from_utf8_lossy(&said.stdout).trim() {
        "yes" => Some(Finding::good("clock-kept", "this machine’s clock is kept right over the network")),
        "no" => Some(Finding::warning(
            "clock-kept",
            "nothing keeps this machine’s clock right",
            "Install chrony, or run: timedatectl set-ntp true",
        )),
        _ => None,
    }
}

/// Reads the store through for a while, and looks at its log; whether it can be gone into.
pub(super) async fn whole(folder: &Path, found: Examined, tell: &mut dyn FnMut(Finding)) -> bool {
    let (progress, folder) = (Progress::default(), PathBuf::from(folder));
    let theirs = progress.clone();
    let mut checking = tokio::task::spawn_blocking(move || store::check(&folder, &theirs));
    let in_time = timeout(READ_FOR, &mut checking).await;
    let checked = if let Ok(checked) = in_time {
        checked
    } else {
        progress.stop();
        checking.await
    };
    let finding = match checked {
        Ok(Ok(report)) if report.not_found > 0 => Finding::bad(
            "store",
            format!("no search finds {}", counted(report.not_found, "callback")),
            "Keep a copy of the folder, then restore from a backup with counterfoil restore.",
        ),
        Ok(Ok(report)) => {
            let held = report.kinds.iter().map(|(_, count)| count).sum::<u64>();
            Finding::good("store", format!("the store is whole, and holds {}", counted(held, "callback")))
        }
        Ok(Err(CheckError::Stopped)) => {
            let words = format!("what was read of the store within {} seconds is whole", READ_FOR.as_secs());
            Finding::good("store", format!("{words}; counterfoil check reads all of it"))
        }
        Ok(Err(error @ (CheckError::TooSlow | CheckError::Sqlite(_)))) => {
            Finding::warning("store", error.to_string(), "Run counterfoil check at a quieter time.")
        }
        Ok(Err(CheckError::Store(error))) => Finding::bad(
            "store",
            error.to_string(),
            "Stop the server, keep a copy of its folder, and restore the newest backup with counterfoil restore.",
        ),
        Err(_) => Finding::bad("store", "the store could not be read through", "Run counterfoil check."),
    };
    let is_whole = finding.state != State::Bad;
    tell(finding);
    if found.log_bytes > LONG_LOG {
        let words = format!("the store’s log has {} and is not copied into its file", HumanBytes(found.log_bytes));
        let to_do = "Stop any other program that reads counterfoil.db without an end. If there is none, look whether the disk fails.";
        let state = if found.log_bytes > LONGEST_LOG { State::Bad } else { State::Warning };
        tell(Finding { check: "log", state, found: words, to_do: Some(to_do.to_owned()) });
    }
    if found.quarantined > 0 {
        let stand = if found.quarantined == 1 { "stands" } else { "stand" };
        let callbacks = counted(found.quarantined, "callback");
        let words = format!("{callbacks} could not be understood, and {stand} in quarantine");
        tell(Finding::warning(
            "quarantine",
            words,
            "Nothing is lost. Look at them under Quarantine, or run counterfoil quarantine list.",
        ));
    }
    is_whole
}

/// What a whole store says.
pub(super) async fn look(store: &Store, data: &Path, now: i64, tell: &mut dyn FnMut(Finding)) {
    let unreadable = |check: &'static str, error: StoreError| {
        Finding::bad(check, format!("it could not be read: {error}"), "Try again, then run counterfoil check.")
    };
    match store.alarms().await {
        Ok(raised) => {
            for alarm in raised {
                let Some(sort) = alarm.sort else { continue };
                let words = format!(
                    "an alarm stands: {}, the last time {} ago",
                    in_sentence(sort.words()),
                    long(now - alarm.last_at)
                );
                let state = if sort.is_urgent() { State::Bad } else { State::Warning };
                let to_do = Some(format!("{} An admin marks it as dealt with.", sort.advice()));
                tell(Finding { check: "alarm", state, found: words, to_do });
            }
        }
        Err(error) => tell(unreadable("alarm", error)),
    }
    match store.tokens().await {
        Ok(all) => tokens(&all, data, now, tell),
        Err(error) => tell(unreadable("tokens", error)),
    }
    match store.people().await {
        Ok(people) => {
            let active = people.iter().filter(|person| person.disabled_at.is_none()).count();
            let admins = people.iter().filter(|person| person.disabled_at.is_none() && person.role == Role::Admin);
            let to_do = format!("Run: counterfoil user add EMAIL --role admin --data {}", data.display());
            tell(match (active, admins.count()) {
                (0, _) => Finding::bad("users", "nobody can sign in: there is no account", to_do),
                (_, 0) => {
                    Finding::warning("users", "nobody can add people or tokens on the pages: there is no admin", to_do)
                }
                (people, admins) => {
                    let (people, admins) = (i128::try_from(people), i128::try_from(admins));
                    let people = counted_as(people.unwrap_or_default(), "person", "people");
                    let admins = counted(admins.unwrap_or_default(), "admin");
                    Finding::good("users", format!("{people} may sign in, of whom {admins}"))
                }
            });
        }
        Err(error) => tell(unreadable("users", error)),
    }
}

/// What stands for itself, in the middle of a sentence.
fn in_sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Every service has a token, and each brings something.
fn tokens(all: &[TokenRow], data: &Path, now: i64, tell: &mut dyn FnMut(Finding)) {
    let valid: Vec<&TokenRow> = all.iter().filter(|token| token.is_valid(now)).collect();
    let Some(last) = valid.iter().map(|token| token.last_used_at).max() else {
        let data = data.display();
        let to_do = format!(
            "Run: counterfoil token add \"NAME OF THE SERVICE\" --data {data}. Then paste the token in Notify."
        );
        return tell(Finding::bad("tokens", "no token is valid, so that every callback is refused", to_do));
    };
    let mut is_good = true;
    let mut services: Vec<&str> = all.iter().map(|token| token.service_name.as_str()).collect();
    services.sort_unstable();
    services.dedup();
    for service in &services {
        let of: Vec<&&TokenRow> = valid.iter().filter(|token| token.service_name == *service).collect();
        let used = of.iter().filter_map(|token| token.last_used_at).max();
        let (words, to_do) = match used {
            // One that was given up has no token, and needs none.
            _ if of.is_empty() => continue,
            None => (
                format!("nothing has come for {service} yet"),
                "Paste the URL and the token in Notify under API integration, Callbacks, for each kind.",
            ),
            Some(at) if now - at > UNUSED => (
                format!("nothing has come for {service} for {}", long(now - at)),
                "If the service still sends messages, check the URL and the token in Notify.",
            ),
            Some(_) => continue,
        };
        is_good = false;
        tell(Finding::warning("tokens", words, to_do));
    }
    if is_good {
        let tokens = counted(i128::try_from(valid.len()).unwrap_or_default(), "token");
        let last = last.map_or_else(String::new, |at| format!(", the last one used {} ago", long(now - at)));
        tell(Finding::good("tokens", format!("{tokens} may bring callbacks{last}")));
    }
}
