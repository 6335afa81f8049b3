//! `counterfoil restore`: a store made out of a backup.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanBytes;

use super::backup::failure;
use super::watch::watch;
use super::{Data, Failure, tell};
use crate::store;

/// Make a store in an empty folder out of a backup
///
/// The backup is copied and read through whole before it is put in its place; the file itself stays as it is. The folder must be empty
/// or not exist yet. Where the server runs as another user, make the folder first and give it to that user.
///
/// Everything is as it was when the backup was made: a token revoked since is valid again, a person disabled since may sign in again,
/// and what was removed since is there again. Look at counterfoil token list and counterfoil user list before you start the server.
/// Everyone signs in again, and one-time links have to be made again.
///
/// Exit codes: 10 the folder is not empty, 11 the backup is empty, 12 it is damaged, 13 it is no backup of a store, 14 it is of a newer
/// release, 15 a server has the folder open, 16 and 17 the folder cannot be written, 21 it is encrypted and the identity opens it not.
#[derive(Args, Debug)]
pub(super) struct Restore {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    data: Data,
    /// The file with the secret key of a backup that is encrypted, as age-keygen writes it
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_IDENTITY")]
    identity: Option<PathBuf>,
}

pub(super) async fn run(restore: Restore) -> Result<(), Failure> {
    let Restore { file, data, identity } = restore;
    let folder = data.data.display().to_string();
    let put = watch(move |progress| store::restore(&file, identity.as_deref(), &data.data, progress)).await?;
    let bytes = put.map_err(|error| failure("nothing was restored", &error))?;
    tell(&format!("The store in {folder} is whole: {}. Tokens and people are as they were then.", HumanBytes(bytes)));
    Ok(())
}
