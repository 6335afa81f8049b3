//! `counterfoil purge`: what is old goes now, by hand, beside the running server or without one.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;

use clap::Args;

use super::watch::watch;
use super::{Data, Failure, by, days, say, tell};
use crate::clock::{self, DAY};
use crate::store::{self, Counts, Did, Entry, Limits, Progress, Removal, Stage, Store, StoreError};

/// How long it waits for the server to take what is gone out of its index, or for whoever reads in the log, before it looks again.
const LOOKS_AGAIN: Duration = Duration::from_millis(500);
/// How often it looks for somebody who reads in the log to end.
const LOG_LOOKS: u32 = 20;

/// Remove for good what arrived long ago, and let removal by age go on from there
///
/// It says first how many would go, and asks. It works beside the running server. Where it is stopped half-way, what is gone is gone
/// and the rest is whole: run it again. What could not be understood goes where both receipts and messages go. What a hold keeps stays
/// (counterfoil subject hold). Backups made before still hold it all.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct Purge {
    /// Everything that arrived so many days ago or earlier, such as 90d
    #[arg(long, value_name = "DAYS", value_parser = days, env = "COUNTERFOIL_OLDER_THAN")]
    older_than: u32,
    /// Only received texts
    #[arg(long, conflicts_with = "receipts", env = "COUNTERFOIL_MESSAGES")]
    messages: bool,
    /// Only delivery receipts, returned letters and complaints
    #[arg(long, env = "COUNTERFOIL_RECEIPTS")]
    receipts: bool,
    /// Only old rows of the record of who saw what, and nothing else
    #[arg(long, conflicts_with_all = ["messages", "receipts"], env = "COUNTERFOIL_RECORD")]
    record: bool,
    /// Only say how many would go
    #[arg(long, env = "COUNTERFOIL_DRY_RUN")]
    dry_run: bool,
    /// Do not ask
    #[arg(long, env = "COUNTERFOIL_YES")]
    yes: bool,
    #[command(flatten)]
    data: Data,
}

pub(super) async fn run(purge: Purge) -> Result<(), Failure> {
    let now = clock::now();
    let before = now - i64::from(purge.older_than) * DAY;
    let limit = |is_wanted: bool| if is_wanted { before } else { i64::MIN };
    let limits = Limits { receipts: limit(!purge.messages), messages: limit(!purge.receipts) };
    let (store, is_alone) = purge.data.open_alone_or_beside()?;
    if purge.record {
        return shorten_record(&store, &purge, before, now).await;
    }
    let counting = store.clone();
    let counts = watch(move |progress| counting.count_before(limits, progress)).await??;
    say(&table(&counts))?;
    if purge.dry_run {
        return Ok(());
    }
    if counts.all() > 0 && !purge.yes {
        ask(purge.older_than)?;
    }
    let words = format!("what arrived {} days ago or earlier: {}", purge.older_than, counts.all());
    store.record(Entry::new(by(), Did::Purged, now).with(words)).await?;
    let (removing, runtime) = (store.clone(), tokio::runtime::Handle::current());
    let done =
        watch(move |progress| runtime.block_on(remove(&removing, limits, counts.all(), is_alone, progress))).await?;
    let removed = done?;
    if !is_stopped(&removed) {
        store.let_go(limits, now).await?;
    }
    let closing = store.clone();
    let _closed = tokio::task::spawn_blocking(move || closing.close()).await;
    match removed {
        Removed::All(removed) => {
            tell(&format!("{removed} were removed for good."));
            Ok(())
        }
        Removed::Stopped(removed) => {
            Err(Failure::new(format!("stopped: {removed} were removed, and the rest is whole. Run it again to go on")))
        }
    }
}

async fn shorten_record(store: &Store, purge: &Purge, before: i64, now: i64) -> Result<(), Failure> {
    let count = store.count_record(before).await?;
    say(&format!("{:<24}{count}", "Rows of the record"))?;
    if purge.dry_run {
        return Ok(());
    }
    if count > 0 && !purge.yes {
        ask(purge.older_than)?;
    }
    let words = format!("rows of the record that are {} days old or older: {count}", purge.older_than);
    store.record(Entry::new(by(), Did::Purged, now).with(words)).await?;
    while store.shorten_record(before, now).await? {}
    store.let_record_go(before, now).await?;
    if store.count_record(before).await? > 0 {
        return Err(Failure::new(
            "the record is not as it was written, so nothing of it is removed. Run counterfoil audit verify",
        ));
    }
    tell(&format!("{count} rows of the record were removed for good."));
    Ok(())
}

enum Removed {
    All(usize),
    Stopped(usize),
}

fn is_stopped(removed: &Removed) -> bool {
    matches!(removed, Removed::Stopped(_))
}

async fn remove(
    store: &Store,
    limits: Limits,
    of: u64,
    is_alone: bool,
    progress: &Progress,
) -> Result<Removed, StoreError> {
    let mut removed = 0;
    while let Removal::Removed(some) = store.remove_rows(limits).await? {
        removed += some;
        progress.is_at(Stage::Removing, u64::try_from(removed).unwrap_or(u64::MAX), of);
        if progress.is_stopped() {
            return Ok(Removed::Stopped(removed));
        }
    }
    if !forget(store, is_alone, progress).await? {
        tell(IN_LOG);
    }
    Ok(Removed::All(removed))
}

/// What is said where somebody reads in the log.
pub(super) const IN_LOG: &str = "Its log counterfoil.db-wal may still hold what was removed, because another program reads there. A server empties it when that \
     program ends.";

/// Takes out of the index and the log what led to rows that are gone, or waits until the server has; whether the log is empty.
pub(super) async fn forget(store: &Store, is_alone: bool, progress: &Progress) -> Result<bool, StoreError> {
    progress.is_at(Stage::Forgetting, 0, 0);
    let mut looks = 0;
    loop {
        let is_gone = if is_alone {
            match store.forget_removed().await? {
                Removal::Removed(_) => continue,
                found => found == Removal::Done,
            }
        } else {
            !store.has_removed().await?
        };
        if is_gone || progress.is_stopped() {
            return Ok(true);
        }
        if is_alone && looks == LOG_LOOKS {
            return Ok(false);
        }
        looks += 1;
        tokio::time::sleep(LOOKS_AGAIN).await;
    }
}

fn ask(days: u32) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new("nothing was removed: nobody can be asked here. Add --yes to remove it"));
    }
    tell(&format!("Remove for good what arrived {days} days ago or earlier? Type yes to go on."));
    let mut typed = String::new();
    let failed = |error| Failure::new(format!("nothing was removed: the answer cannot be read: {error}"));
    io::stdin().lock().read_line(&mut typed).map_err(failed)?;
    if typed.trim() == "yes" { Ok(()) } else { Err(Failure::new("nothing was removed")) }
}

fn table(counts: &store::Counts) -> String {
    let mut lines: Vec<(&str, u64)> = counts.kinds.iter().map(|(kind, count)| (kind.words(), *count)).collect();
    lines.push(("In quarantine", counts.quarantined));
    if counts.held > 0 {
        lines.push(("Held, and kept", counts.held));
    }
    let lines: Vec<String> = lines.into_iter().map(|(name, count)| format!("{name:<24}{count}")).collect();
    lines.join("\n")
}

impl Counts {
    fn all(&self) -> u64 {
        self.kinds.iter().map(|(_, count)| count).sum::<u64>() + self.quarantined
    }
}
