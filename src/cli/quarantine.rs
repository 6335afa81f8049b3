//! `counterfoil quarantine` and `counterfoil requeue`: what could not be understood, and reading it again after an upgrade.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Data, Failure, by, listed, say, tell};
use crate::clock;
use crate::store::{Did, Entry, Quarantined, Requeued, Services, Store};

/// What came with a valid token and could not be understood: list, show, save
///
/// Nothing leaves it by itself before it is older than what counterfoil serve keeps.
#[derive(Args, Debug)]
pub(super) struct Quarantine {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    List(List),
    Show(Show),
    Save(Save),
}

/// List it, newest first: id, when it arrived, service, bytes, how often it came, reason
#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    data: Data,
}

/// Print one as text, with whatever a terminal might act on made visible
#[derive(Args, Debug)]
struct Show {
    /// Its id, as counterfoil quarantine list shows it
    id: i64,
    #[command(flatten)]
    data: Data,
}

/// Write the exact bytes of one to a file that does not exist yet
#[derive(Args, Debug)]
struct Save {
    /// Its id, as counterfoil quarantine list shows it
    id: i64,
    /// The file to make
    file: PathBuf,
    #[command(flatten)]
    data: Data,
}

/// Read what is in quarantine again, as after an upgrade
///
/// What is understood now becomes a callback that arrived when it arrived, and leaves quarantine. The rest stays. It works beside the
/// running server.
#[derive(Args, Debug)]
pub(super) struct Requeue {
    /// Their ids, as counterfoil quarantine list shows them
    #[arg(required_unless_present = "all")]
    ids: Vec<i64>,
    /// Read all of it again
    #[arg(long, conflicts_with = "ids", env = "COUNTERFOIL_ALL")]
    all: bool,
    #[command(flatten)]
    data: Data,
}

pub(super) async fn run(quarantine: Quarantine) -> Result<(), Failure> {
    match quarantine.what {
        What::List(list) => self::list(&list.data).await,
        What::Show(show) => self::show(&show).await,
        What::Save(save) => self::save(&save).await,
    }
}

async fn list(data: &Data) -> Result<(), Failure> {
    let store = data.open()?;
    say(&format!("{:<10}{:<22}{:<32}  {:>8}{:>7}  reason", "id", "arrived", "service", "bytes", "times"))?;
    let mut before = None;
    loop {
        let page = store.quarantine(&Services::All, before).await?;
        for row in &page.rows {
            let arrived = listed(Some(row.arrived_at));
            let Quarantined { arrival, service_name, length, times, reason, .. } = row;
            say(&format!("{arrival:<10}{arrived:<22}{service_name:<32}  {length:>8}{times:>7}  {reason}"))?;
        }
        before = page.next;
        if before.is_none() {
            return Ok(());
        }
    }
}

async fn show(show: &Show) -> Result<(), Failure> {
    let body = bytes(&show.data.open()?, show.id, Did::OpenedQuarantined).await?;
    say(&visible(&String::from_utf8_lossy(&body)))
}

async fn save(save: &Save) -> Result<(), Failure> {
    let body = bytes(&save.data.open()?, save.id, Did::SavedQuarantined).await?;
    let name = save.file.display();
    let failed =
        |error| Failure::new(format!("the file {name} cannot be written: {error}. Name one that does not exist"));
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&save.file);
    let mut file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::exists_already(&save.file),
        _ => failed(error),
    })?;
    file.write_all(&body).and_then(|()| file.sync_all()).map_err(failed)?;
    tell(&format!("{} bytes are in {name}. They may hold personal data.", body.len()));
    Ok(())
}

async fn bytes(store: &Store, id: i64, did: Did) -> Result<Vec<u8>, Failure> {
    let found = store.quarantined(&Services::All, id).await?.ok_or_else(|| unknown(id))?;
    store.record(Entry::new(by(), did, clock::now()).of(format!("quarantine {id}"))).await?;
    Ok(found.body.unwrap_or_default())
}

fn unknown(id: i64) -> Failure {
    Failure::new(format!("there is no {id} in quarantine. See counterfoil quarantine list"))
}

/// Nothing in it moves the cursor, changes colours or turns the direction of what stands after it.
fn visible(text: &str) -> String {
    let is_plain = |character: char| {
        let turns = matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        character == '\n' || character == '\t' || !(character.is_control() || turns)
    };
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_plain(character) { shown.push(character) } else { shown.extend(character.escape_unicode()) }
    }
    shown
}

pub(super) async fn requeue(requeue: Requeue) -> Result<(), Failure> {
    let store = requeue.data.open()?;
    let ids = if requeue.all { all(&store).await? } else { requeue.ids };
    let (mut understood, mut stay) = (0, 0);
    for id in ids {
        match store.requeue(&Services::All, id, by(), clock::now()).await? {
            Some(Requeued::Understood { .. }) => understood += 1,
            Some(Requeued::Stays { reason }) => {
                stay += 1;
                say(&format!("{id:<10}{reason}"))?;
            }
            // It went while the others were read.
            None if requeue.all => (),
            None => return Err(unknown(id)),
        }
    }
    tell(&format!("{understood} understood and kept as callbacks, {stay} still in quarantine."));
    Ok(())
}

/// The oldest first, as they came.
async fn all(store: &Store) -> Result<Vec<i64>, Failure> {
    let (mut ids, mut before) = (Vec::new(), None);
    loop {
        let page = store.quarantine(&Services::All, before).await?;
        ids.extend(page.rows.iter().map(|row| row.arrival));
        before = page.next;
        if before.is_none() {
            ids.reverse();
            return Ok(ids);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_made_visible() {
        assert_eq!(visible("a\u{1b}[31m\u{202e}é\r\n\u{9b}"), "a\\u{1b}[31m\\u{202e}é\\u{d}\n\\u{9b}");
    }
}
