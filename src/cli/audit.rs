//! `counterfoil audit`: the record of who saw and changed what.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Data, Failure, by, listed, say, tell};
use crate::clock;
use crate::spreadsheet;
use crate::store::{self, Did, Entry, Head, Looked};

/// Rows that are read at once.
const PAGE: u16 = 1000;

/// The record of who saw and changed what: list, verify
#[derive(Args, Debug)]
pub(super) struct Audit {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    List(List),
    Verify(Verify),
}

/// Print the record as CSV, newest first
#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    data: Data,
    /// Only what this person did
    #[arg(long, value_name = "EMAIL", env = "COUNTERFOIL_WHO")]
    who: Option<String>,
}

/// Read the whole record, and say whether it is as it was written
///
/// It works beside the running server. The server’s log has a head each hour, under the event record.head: with one that was kept on
/// another machine this tells whether the record was written anew since. Exit code 22 where something is wrong with the record.
#[derive(Args, Debug)]
struct Verify {
    #[command(flatten)]
    data: Data,
    /// A head from the server’s log; may be given several times
    #[arg(long, value_name = "HEAD", value_delimiter = ',', env = "COUNTERFOIL_HEAD")]
    head: Vec<Head>,
    /// The key file counterfoil.key of an earlier machine, for rows that were written with it
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_KEY")]
    key: Vec<PathBuf>,
}

pub(super) async fn run(audit: Audit) -> Result<(), Failure> {
    match audit.what {
        What::List(list) => self::list(list).await,
        What::Verify(verify) => self::verify(verify).await,
    }
}

/// The columns of the record as a table.
const COLUMNS: [&str; 7] = ["Number", "When", "Who", "From", "Did", "To", "Details"];

async fn list(list: List) -> Result<(), Failure> {
    let store = list.data.open()?;
    store.record(Entry::new(by(), Did::ExportedRecord, clock::now())).await?;
    say(spreadsheet::row(COLUMNS).trim_end())?;
    let mut looked = Looked { who: list.who, ..Looked::default() };
    loop {
        let page = store.recorded(looked.clone(), PAGE).await?;
        for row in &page.rows {
            let (id, at) = (row.id.to_string(), listed(Some(row.at)));
            let (object, detail) =
                (row.object.as_deref().unwrap_or_default(), row.detail.as_deref().unwrap_or_default());
            say(spreadsheet::row([&id, &at, &row.who, &row.source, &row.did, object, detail]).trim_end())?;
        }
        looked.before = page.next;
        if page.next.is_none() {
            return Ok(());
        }
    }
}

async fn verify(verify: Verify) -> Result<(), Failure> {
    let work = move || {
        let keys: Vec<&std::path::Path> = verify.key.iter().map(PathBuf::as_path).collect();
        store::verify_record(&verify.data.data, &keys, &verify.head)
    };
    let verified = tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Failure::new("the program failed by a fault of its own. Nothing was changed"))??;
    say(&format!("{:<24}{}", "Rows", verified.rows))?;
    say(&format!("{:<24}{}", "First row", verified.first))?;
    say(&format!("{:<24}{}", "Head", verified.head))?;
    for id in &verified.older_heads {
        say(&format!(
            "The head of row {id} is older than the record, whose rows before {} were removed.",
            verified.first
        ))?;
    }
    if verified.faults.is_empty() {
        tell("The record is as it was written.");
        return Ok(());
    }
    for fault in &verified.faults {
        say(&format!("Wrong: {fault}."))?;
    }
    let words = "the record is not as it was written. Keep a copy of the folder and of the server's log";
    Err(Failure { words: words.to_owned(), code: 22 })
}
