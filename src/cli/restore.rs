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
/// and what was removed by its age since is there again. Look at counterfoil token list and counterfoil user list before you start the
/// server. Everyone signs in again, and one-time links have to be made again.
///
/// What counterfoil subject erase has erased since is erased again, by the journal of erasures: counterfoil.erased, which stands in
/// the folder of the store that erased it. Leave it in the folder, put it beside the backup, or name it with --erased. What a hold in the
/// backup keeps stays.
///
/// Exit codes: 10 the folder is not empty, 11 the backup is empty, 12 it is damaged, 13 it is no backup of a store, 14 it is of a newer
/// release, 15 a server has the folder open, 16 and 17 the folder cannot be written, 21 it is encrypted and the identity opens it not.
#[derive(Args, Debug)]
#[command(mut_args(super::is_made))]
pub(super) struct Restore {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    data: Data,
    /// The file with the secret key of a backup that is encrypted, as age-keygen writes it
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_IDENTITY")]
    identity: Option<PathBuf>,
    /// The journal of erasures, where it lies neither in the folder nor beside the backup
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_ERASED")]
    erased: Option<PathBuf>,
}

pub(super) async fn run(restore: Restore) -> Result<(), Failure> {
    let Restore { file, data, identity, erased } = restore;
    let folder = data.data.display().to_string();
    let put =
        watch(move |progress| store::restore(&file, identity.as_deref(), erased.as_deref(), &data.data, progress))
            .await?;
    let restored = put.map_err(|error| failure("nothing was restored", &error))?;
    let bytes = HumanBytes(restored.bytes);
    tell(&format!("The store in {folder} is whole: {bytes}. Tokens and people are as they were then."));
    tell(&match restored.erased_again {
        Some(again) => format!("By the journal of erasures {again} callbacks and bodies in the backup were erased again."),
        None => "There is no journal of erasures (counterfoil.erased) in the folder or beside the backup: if anything was erased since \
                 the backup was made, it is there again. If you have that file, remove this store and restore with --erased FILE."
            .into(),
    });
    if restored.held > 0 {
        tell(&format!(
            "{} that were erased since are held in the backup, and were kept. If their hold was removed since, remove it and erase them again.",
            restored.held
        ));
    }
    Ok(())
}
