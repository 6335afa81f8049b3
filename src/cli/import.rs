//! `counterfoil import`: takes in what `counterfoil export` wrote.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Handle;

use super::watch::watch;
use super::{Data, Failure, by, say, tell};
use crate::clock;
use crate::store::{Did, Entry, Portable, Progress, Stage, Store, StoreError, TakenIn};
use crate::transfer::{Reader, Wrong};

/// Items in one transaction: callbacks that come meanwhile wait for it.
const ITEMS: usize = 256;
/// And bytes, as bodies in quarantine may be large.
const BYTES: u64 = 4 * 1024 * 1024;
/// How often the same is tried again while others write, and after how long.
const TRIES: u32 = 20;
const AFTER_BUSY: Duration = Duration::from_millis(250);
/// The file is not as it was written.
const WRONG_FILE: u8 = 24;

/// Take in what counterfoil export wrote, of this store or another
///
/// It works beside the running server and without one, and makes the store where there is none. What is here stays as it is and what was
/// erased here stays away, so the same file may be imported again: after a stop, or when some of it was here. Services are made by
/// their names, without tokens. Where somebody wrote a note or took a conversation who has no account here, one is made that nobody can
/// sign in to. What was done about a conversation holds where nobody has done anything about it here. A large file goes in far more
/// quickly while no server runs.
///
/// Exit codes: 10 to 17 as for counterfoil serve, 24 the file is no whole export.
#[derive(Args, Debug)]
#[command(mut_args(super::is_made))]
pub(super) struct Import {
    /// The file; /dev/stdin for standard input
    file: PathBuf,
    #[command(flatten)]
    data: Data,
}

pub(super) async fn run(import: Import) -> Result<(), Failure> {
    let name = import.file.display().to_string();
    let file = File::open(&import.file)
        .map_err(|error| Failure::new(format!("the file {name} cannot be read: {error}. Check its name and owner")))?;
    let size = file.metadata().map_or(0, |data| data.len());
    // A file that is something else makes no store.
    let reader = Reader::begin(BufReader::new(file)).map_err(|wrong| failure(&name, &wrong))?;
    let store = import.data.open_alone_or_make()?;
    store.record(Entry::new(by(), Did::ImportedStore, clock::now())).await?;
    let (taking, runtime) = (store.clone(), Handle::current());
    let work = move |progress: &Progress| {
        let mut done = TakenIn::default();
        let ended = runtime.block_on(take_in(&taking, reader, size, progress, &mut done));
        (done, ended)
    };
    let (done, ended) = watch(work).await?;
    let _closed = tokio::task::spawn_blocking(move || store.close()).await;
    say(&table(&done))?;
    if !done.accounts.is_empty() {
        say(&format!(
            "Accounts that nobody can sign in to were made for: {}. See counterfoil user enable.",
            done.accounts.join(", ")
        ))?;
    }
    match ended {
        Ok(()) => {
            tell("All of it is in the store.");
            Ok(())
        }
        Err(Stopped::Asked) => Err(Failure::new("stopped: what was counted is in the store. Run it again to go on")),
        Err(Stopped::File(wrong)) => {
            let Failure { words, code } = failure(&name, &wrong);
            Err(Failure { words: format!("{words}. What was counted is in the store"), code })
        }
        Err(Stopped::Store(error)) => {
            let Failure { words, code } = error.into();
            Err(Failure { words: format!("{words}. What was counted is in the store. Run it again to go on"), code })
        }
    }
}

fn failure(name: &str, wrong: &Wrong) -> Failure {
    let code = if matches!(wrong, Wrong::Unreadable(_)) { 1 } else { WRONG_FILE };
    Failure { words: format!("the file {name} cannot be imported: {wrong}"), code }
}

/// Why it did not come to the end.
enum Stopped {
    Asked,
    File(Wrong),
    Store(StoreError),
}

async fn take_in<R: BufRead>(
    store: &Store,
    mut reader: Reader<R>,
    size: u64,
    progress: &Progress,
    done: &mut TakenIn,
) -> Result<(), Stopped> {
    loop {
        let (mut items, mut ended) = (Vec::new(), None);
        let begun = reader.bytes();
        while ended.is_none() && items.len() < ITEMS && reader.bytes() - begun < BYTES {
            match reader.more() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => ended = Some(Ok(())),
                Err(wrong) => ended = Some(Err(Stopped::File(wrong))),
            }
        }
        // What stands before a line that is wrong is right.
        if !items.is_empty() {
            *done += kept(store, items).await.map_err(Stopped::Store)?;
        }
        if let Some(ended) = ended {
            return ended;
        }
        progress.is_at(Stage::Importing, reader.bytes(), size);
        if progress.is_stopped() {
            return Err(Stopped::Asked);
        }
    }
}

/// Tries again where others write just then.
async fn kept(store: &Store, items: Vec<Portable>) -> Result<TakenIn, StoreError> {
    for _ in 1..TRIES {
        match store.take_in(items.clone(), &by(), clock::now()).await {
            Err(StoreError::Busy | StoreError::Full | StoreError::LogTooLong) => tokio::time::sleep(AFTER_BUSY).await,
            done => return done,
        }
    }
    store.take_in(items, &by(), clock::now()).await
}

fn table(done: &TakenIn) -> String {
    let always = [
        ("Callbacks", done.callbacks),
        ("In quarantine", done.quarantined),
        ("Conversations handled", done.handled),
        ("Notes", done.notes),
        ("Already here", done.here),
    ];
    let sometimes = [("Erased here", done.erased), ("Left out (no texts here)", done.left_out)];
    let lines = always.into_iter().chain(sometimes.into_iter().filter(|(_, count)| *count > 0));
    let lines: Vec<String> = lines.map(|(name, count)| format!("{name:<28}{count}")).collect();
    lines.join("\n")
}
