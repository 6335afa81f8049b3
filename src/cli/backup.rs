//! `counterfoil backup`: a copy of the store, beside the running server.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanBytes;

use super::unsaid::unsaid;
use super::watch::watch;
use super::{Data, Failure, tell};
use crate::store::{self, BackupError, Recipient};

/// Copy the store into one file, beside the running server
///
/// The copy is of one moment, and is checked and on the disk before the file has its name: there is never half a backup. A file that
/// exists is not replaced. It holds phone numbers, addresses and messages: keep it as safe as the store, and no longer than them.
///
/// The key file counterfoil.key is left out on purpose, so that whoever has a backup can use no session and no one-time link. After
/// counterfoil restore people sign in again with the same passwords, and links to conversations go on working.
///
/// Exit codes: 11 to 14 and 16 to 18 as for counterfoil serve, 19 the file exists already.
#[derive(Args, Debug)]
pub(super) struct Backup {
    /// The file to make
    file: PathBuf,
    #[command(flatten)]
    data: Data,
    /// Encrypt it to this public key of age, age1…; may be given several times, and each of the secret keys opens it
    #[arg(
        long,
        value_name = "KEY",
        value_parser = unsaid(str::parse::<Recipient>),
        value_delimiter = ',',
        env = "COUNTERFOIL_ENCRYPT_TO"
    )]
    encrypt_to: Vec<Recipient>,
}

pub(super) async fn run(backup: Backup) -> Result<(), Failure> {
    let Backup { file, data, encrypt_to } = backup;
    let name = file.display().to_string();
    let made = watch(move |progress| store::back_up(&data.data, &file, &encrypt_to, progress)).await?;
    let bytes = made.map_err(|error| failure("no backup was made", &error))?;
    tell(&format!("The backup {name} is whole: {}.", HumanBytes(bytes)));
    Ok(())
}

/// What a person is told who gets no backup, or nothing out of one.
pub(super) fn failure(what: &str, error: &BackupError) -> Failure {
    Failure { words: format!("{what}: {error}"), code: error.exit_code() }
}
