//! The folder: whether it holds a store, whose it is, how much room there is, and how quick its disk is.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::HumanBytes;

use super::{Finding, counted};
use crate::clock::DAY;
use crate::store::{self, Examined, OpenError};

/// In a mode: what others than the owner may.
const OTHERS: u32 = 0o077;
const MEBIBYTE: u64 = 1024 * 1024;
/// With less room callbacks are refused, or soon will be.
const NO_ROOM: u64 = 64 * MEBIBYTE;
/// With less, it is little.
const LITTLE_ROOM: u64 = 512 * MEBIBYTE;
/// Room for less than so many days is little too.
const FEW_DAYS: u64 = 30;
/// A rate is told of a store that has been at work for so long.
const RATE_AFTER: i64 = 7 * DAY;
/// Writes that are timed, and their bytes: a page of the store.
const WRITES: usize = 15;
const PAGE: [u8; 4096] = [0x5a; 4096];
/// A callback waits for one of these. Some disks of virtual machines take some milliseconds.
const SLOW: Duration = Duration::from_millis(50);
/// Notify waits 5 seconds for an answer.
const TOO_SLOW: Duration = Duration::from_millis(500);

/// Looks at the folder; what is in it, where that is a store that can be looked into.
pub(super) fn look(folder: &Path, now: i64, tell: &mut dyn FnMut(Finding)) -> Option<Examined> {
    let name = folder.display();
    let (what, to_do) = match fs::read_dir(folder) {
        Ok(_) => match store::examine(folder) {
            Ok(found) if found.is_older => {
                let to_do = "The next start of the server brings it up to date. Until then its callbacks, tokens and accounts were not looked at.";
                tell(Finding::warning(
                    "folder",
                    format!("the folder {name} holds a store of an earlier release"),
                    to_do,
                ));
                return Some(rest(folder, found, now, tell));
            }
            Ok(found) => {
                tell(Finding::good(
                    "folder",
                    format!("the folder {name} holds a store of this release, {}", HumanBytes(found.bytes)),
                ));
                return Some(rest(folder, found, now, tell));
            }
            Err(OpenError::NoStore(_)) => {
                (format!("the folder {name} holds no store"), "Name the folder that counterfoil serve has as --data.")
            }
            Err(error) => {
                tell(Finding::of("folder", &error));
                return None;
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (format!("there is no folder {name}"), "Name the folder that counterfoil serve has as --data.")
        }
        Err(error) => (
            format!("the folder {name} cannot be read: {error}"),
            "Run it as root or as the server’s user, such as by sudo.",
        ),
    };
    tell(Finding::bad("folder", what, to_do));
    None
}

fn rest(folder: &Path, found: Examined, now: i64, tell: &mut dyn FnMut(Finding)) -> Examined {
    if !found.has_key {
        let words =
            "the store’s key counterfoil.key is not there, without which second factors and the record cannot be read";
        let to_do =
            "Put it back from where it is kept beside the backups, before the server starts: it would make a new one.";
        tell(Finding::bad("key", words, to_do));
    }
    tell(owner(folder).unwrap_or_else(|error| unknown("owner", folder, &error)));
    tell(space(found, now));
    tell(sync(folder).unwrap_or_else(|error| unknown("sync", folder, &error)));
    found
}

fn unknown(check: &'static str, folder: &Path, error: &io::Error) -> Finding {
    let to_do = "Run it as root or as the server’s user. If that is so already, look whether the disk can be written.";
    Finding::bad(check, format!("the folder {} could not be looked at: {error}", folder.display()), to_do)
}

/// Whether there is so little room that whoever opens the store gives up the ballast.
pub(super) fn is_full(found: Examined) -> bool {
    found.free_bytes < MEBIBYTE
}

/// All in the folder is one user's, and nobody else looks into it.
fn owner(folder: &Path) -> io::Result<Finding> {
    let own = fs::metadata(folder)?;
    let name = folder.display();
    if own.permissions().mode() & OTHERS != 0 {
        let mode = own.permissions().mode() & 0o777;
        return Ok(Finding::bad(
            "owner",
            format!("others on this machine may look into {name}, which holds personal data (its mode is {mode:o})"),
            format!("Run: chmod 700 {name}"),
        ));
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (file, of) = (entry.file_name().to_string_lossy().into_owned(), entry.metadata()?);
        if file.starts_with("counterfoil.") && of.uid() != own.uid() {
            let found = format!(
                "the file {file} belongs to user {}, and the folder to user {}: the server may not be able to use it",
                of.uid(),
                own.uid()
            );
            return Ok(Finding::bad("owner", found, format!("Run: chown --reference={name} {name}/counterfoil.*")));
        }
    }
    Ok(Finding::good("owner", format!("user {} owns all of it, and nobody else looks into it", own.uid())))
}

fn space(found: Examined, now: i64) -> Finding {
    let free = found.free_bytes;
    let at_work = found.from_to.map(|(oldest, _)| now - oldest).filter(|time| *time > RATE_AFTER);
    let days = at_work.and_then(|time| u64::try_from(time / DAY).ok());
    let days_left = days.and_then(|days| free.checked_div(found.bytes / days.max(1)));
    let pace =
        days_left.map_or_else(String::new, |days| format!(", at the pace so far enough for {}", counted(days, "day")));
    let found = format!("{} are free on the disk of the store{pace}", HumanBytes(free));
    let to_do = "Make room on it or enlarge it, or keep things for fewer days (--keep-receipts).";
    match free {
        _ if free < NO_ROOM => Finding::bad("space", format!("{found}: callbacks are refused, or soon will be"), to_do),
        _ if free < LITTLE_ROOM || days_left.is_some_and(|days| days < FEW_DAYS) => {
            Finding::warning("space", found, to_do)
        }
        _ => Finding::good("space", found),
    }
}

/// How long a write takes until it lasts through a power cut: every callback waits for one.
fn sync(folder: &Path) -> io::Result<Finding> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut took = [Duration::ZERO; WRITES];
    for time in &mut took {
        let begun = Instant::now();
        file.write_all(&PAGE)?;
        file.sync_data()?;
        *time = begun.elapsed();
    }
    took.sort_unstable();
    let [median, worst] = [took[WRITES / 2], took[WRITES - 1]];
    let found = format!(
        "the disk takes {:.1} ms to write so that it lasts, {:.1} ms at worst",
        median.as_secs_f64() * 1e3,
        worst.as_secs_f64() * 1e3
    );
    let to_do = "Every callback waits for this, and Notify waits 5 seconds. Put the folder on a faster disk, not on a network one.";
    Ok(match () {
        () if median > TOO_SLOW => Finding::bad("sync", found, to_do),
        () if median > SLOW => Finding::warning("sync", found, to_do),
        () => Finding::good("sync", found),
    })
}
