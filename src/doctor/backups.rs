//! Backups: whether there is a schedule, and how old the newest is.

use super::{Backups, Finding, long};
use crate::clock;
use crate::store::BackupFolder;

pub(super) fn look(backups: Option<&Backups>, tell: &mut dyn FnMut(Finding)) {
    let Some(Backups { folder, every }) = backups else {
        let to_do = "Give --backup-to to the server, or look yourself whether what copies the store still does.";
        return tell(Finding::warning("backup", "no backups are made by the server", to_do));
    };
    let name = folder.display();
    let own = BackupFolder { folder: folder.clone(), keep: usize::MAX, recipients: vec![] };
    let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
    let to_do = "Look whether the folder is there, has room and can be written by the server’s user. The server’s log says what failed.";
    tell(match own.newest().map(|newest| newest.map(|made_at| clock::now() - made_at)) {
        Ok(Some(age)) if age / 2 <= every => {
            Finding::good("backup", format!("the newest backup in {name} is {} old", long(age)))
        }
        Ok(Some(age)) => Finding::bad("backup", format!("the newest backup in {name} is {} old", long(age)), to_do),
        Ok(None) => Finding::bad("backup", format!("there is no backup in {name}"), to_do),
        Err(error) => Finding::bad("backup", format!("the folder {name} cannot be read: {error}"), to_do),
    });
}
