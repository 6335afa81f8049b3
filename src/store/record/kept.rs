//! The last head up to which the server followed the record, in a file beside the store: what is done to the store's file between
//! two runs is compared with it. It is sealed with the key file, so that nobody else can write one; who can write into the folder can
//! put an older one back, which only a head that was kept on another machine tells.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::follow::Chain;
use super::{Ends, Head};
use crate::store::key::{Key, hexadecimal};
use crate::store::open::give_to_owner;
use crate::store::{Store, StoreError};

/// Its name in the store's folder.
const NAME: &str = "counterfoil.head";

/// What is known of how far the record was followed.
#[derive(Clone)]
pub(super) enum Known {
    /// Up to here, in this run.
    Followed(Head),
    /// Up to here, before.
    Kept(Head),
    /// What is kept is not as it was written.
    Changed,
    /// Nothing.
    Nothing,
}

impl Known {
    pub(super) fn head(&self) -> Option<&Head> {
        match self {
            Known::Followed(head) | Known::Kept(head) => Some(head),
            Known::Changed | Known::Nothing => None,
        }
    }
}

fn seal(head: &Head, key: &Key) -> String {
    hexadecimal(&key.mark("record head kept", head.to_string().as_bytes()))
}

/// Reads the head that is kept in a folder.
pub(super) fn read(folder: &Path, key: &Key) -> Known {
    let kept = match fs::read_to_string(folder.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Known::Nothing,
        kept => kept.unwrap_or_default(),
    };
    let head = kept.trim_end().split_once(' ').and_then(|(head, sealed)| {
        let head: Head = head.parse().ok()?;
        (seal(&head, key) == sealed).then_some(head)
    });
    head.map_or(Known::Changed, Known::Kept)
}

/// Written under another name and renamed, so that it is whole at any moment.
fn write(folder: &Path, key: &Key, head: &Head) -> io::Result<()> {
    let new = folder.join("counterfoil.head-new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    writeln!(file, "{head} {}", seal(head, key))?;
    file.sync_all()?;
    give_to_owner(folder, &new)?;
    fs::rename(&new, folder.join(NAME))?;
    File::open(folder)?.sync_all()
}

impl Store {
    /// Keeps how far the record was followed, beyond the end of this process.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn keep_head(&self, chain: &Chain) -> Result<(), StoreError> {
        let (store, head) = (self.clone(), chain.head().clone());
        let writing = move || write(store.inner.folder.path(), &store.inner.key, &head);
        let written = tokio::task::spawn_blocking(writing).await.map_err(|_| StoreError::Closed)?;
        written.map_err(|error| StoreError::Sqlite(format!("{NAME} cannot be written: {error}")))?;
        self.say_head_is_kept(true).await
    }

    /// The head that was kept is gone, and somebody was told: another is kept from now on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn give_kept_head_up(&self) -> Result<(), StoreError> {
        self.say_head_is_kept(false).await
    }

    async fn say_head_is_kept(&self, is_followed: bool) -> Result<(), StoreError> {
        let key = self.inner.key.clone();
        self.write(move |connection| {
            let Some((found, seal)) = Ends::read(connection)? else { return Ok(()) };
            match found.sealed_with(&key, &seal) {
                Some(ends) if ends.is_followed != is_followed => Ends { is_followed, ..ends }.write(connection, &key),
                _ => Ok(()),
            }
        })
        .await
    }
}
