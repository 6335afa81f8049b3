//! `counterfoil subject hold`: what is kept whatever its age, and whoever asks for it to be erased.

use clap::{Args, Subcommand};

use super::subject::{Who, reason};
use super::unsaid::unsaid;
use super::watch::watch;
use super::{Data, Failure, by, listed, say, tell};
use crate::clock;
use crate::notify::subject::Subject;
use crate::store::{Asked, Did, Entry, Progress, Services};

/// Keep everything of one person or with one reference, as for a court: add, list, remove
///
/// Removal by age, counterfoil purge and counterfoil subject erase pass over what a hold keeps, and say how much that was. What arrives
/// later is held too.
#[derive(Args, Debug)]
pub(super) struct Hold {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Add(Add),
    List(List),
    Remove(Remove),
}

/// Hold what is there and what arrives
///
/// Where it is stopped half-way, run it again with the same reason.
#[derive(Args, Debug)]
struct Add {
    #[command(flatten)]
    who: Who,
    /// Why, such as the number of the case. It holds no personal data
    #[arg(long, value_name = "REASON", value_parser = unsaid(reason), env = "COUNTERFOIL_REASON")]
    reason: String,
    #[command(flatten)]
    data: Data,
}

/// List them: id, since when, how many callbacks and bodies are held, whom or what, reason
#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    data: Data,
}

/// Let go what a hold keeps: removal by age goes on from there
#[derive(Args, Debug)]
struct Remove {
    /// Its id, as counterfoil subject hold list shows it
    id: i64,
    #[command(flatten)]
    data: Data,
}

pub(super) async fn run(hold: Hold) -> Result<(), Failure> {
    match hold.what {
        What::Add(add) => self::add(add).await,
        What::List(list) => self::list(&list.data).await,
        What::Remove(remove) => self::remove(&remove).await,
    }
}

async fn add(add: Add) -> Result<(), Failure> {
    let Add { who, reason, data } = add;
    let store = data.open()?;
    let (whom, _) = who.read()?;
    let runtime = tokio::runtime::Handle::current();
    let asked = Asked { by: by(), reason, at: clock::now() };
    let work = move |progress: &Progress| runtime.block_on(store.add_hold(&Services::All, &whom, asked, progress));
    let added = watch(work).await??;
    say(&added.id.to_string())?;
    if added.is_stopped {
        return Err(Failure::new("stopped: not all that is there is held yet. Run it again with the same reason"));
    }
    tell(&format!("{} callbacks and bodies are held, and so is what arrives from now on.", added.held));
    Ok(())
}

async fn list(data: &Data) -> Result<(), Failure> {
    let store = data.open()?;
    store.record(Entry::new(by(), Did::ListedHolds, clock::now())).await?;
    let holds = store.holds(&Services::All).await?;
    say(&format!("{:<6}{:<22}{:>8}  {:<32}reason", "id", "since", "held", "whom or what"))?;
    for hold in holds {
        let whom = match &hold.subject {
            Subject::Person(key) => key.as_str().to_owned(),
            Subject::Reference(key) => format!("reference {key}"),
        };
        let part = if hold.is_whole { "" } else { " (stopped half-way: add it again)" };
        let since = listed(Some(hold.added_at));
        say(&format!("{:<6}{since:<22}{:>8}  {whom:<32}{}{part}", hold.id, hold.held, hold.reason))?;
    }
    Ok(())
}

async fn remove(remove: &Remove) -> Result<(), Failure> {
    let store = remove.data.open()?;
    let id = remove.id;
    let unknown = || Failure::new(format!("there is no hold {id}. See counterfoil subject hold list"));
    let held = store.remove_hold(&Services::All, id, by(), clock::now()).await?.ok_or_else(unknown)?;
    tell(&format!("The hold is removed. {held} callbacks and bodies are held by it no longer."));
    Ok(())
}
