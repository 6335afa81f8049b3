//! The key file beside the store: what it marks (sessions, one-time links, the names of conversations) cannot be made or
//! guessed from a copy of the store alone.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::open::{Folder, OpenError};

/// 256 random bits. Its Debug says nothing.
#[derive(Clone)]
pub(super) struct Key([u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// Reads the folder's key file, or makes it where there is none: a backup may leave it out.
    pub(super) fn read_or_make(folder: &Folder) -> Result<Key, OpenError> {
        match Key::read(&folder.key()) {
            Err(OpenError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => Key::make(folder),
            read => read,
        }
    }

    /// Reads a key file.
    pub(super) fn read(file: &Path) -> Result<Key, OpenError> {
        let bytes = fs::read(file).map_err(|error| OpenError::Io { what: "read the key file", error })?;
        let bytes = bytes.try_into();
        bytes.map(Key).map_err(|_| OpenError::Damaged("its key file counterfoil.key is not 32 bytes long".into()))
    }

    /// Written under another name and linked into place, so that of two processes at once one wins and both use its key.
    fn make(folder: &Folder) -> Result<Key, OpenError> {
        let failed = |error| OpenError::Io { what: "make the key file", error };
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| failed(io::Error::other(error)))?;
        let mut file =
            tempfile::Builder::new().prefix("counterfoil.key-").tempfile_in(folder.path()).map_err(failed)?;
        file.write_all(&bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        folder.give_to_owner(file.path()).map_err(failed)?;
        match file.persist_noclobber(folder.key()) {
            Ok(_) => folder.sync().map_err(failed).map(|()| Key(bytes)),
            Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => Key::read_or_make(folder),
            Err(lost) => Err(failed(lost.error)),
        }
    }

    /// The HMAC-SHA256 of `value` under the key; `purpose` keeps one use's marks from serving another.
    pub(super) fn mark(&self, purpose: &str, value: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(value);
        mac.finalize().into_bytes().into()
    }

    /// A name of 32 hexadecimal characters that stands in URLs for `value`.
    pub(super) fn opaque(&self, purpose: &str, value: &str) -> String {
        let mark = self.mark(purpose, value.as_bytes());
        mark.iter().take(16).fold(String::new(), |name, byte| name + &format!("{byte:02x}"))
    }
}
