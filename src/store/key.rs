//! The key file beside the store: what it marks (sessions, one-time links, recovery codes, the names of conversations)
//! cannot be made or guessed from a copy of the store alone, and what it seals (the secrets of second factors) cannot be read there.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit as _, Payload};
use chacha20poly1305::{Key as CipherKey, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::open::{Folder, OpenError};

/// The bytes of a nonce: so many that random ones never meet.
pub(super) const NONCE: usize = 24;

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

    /// `plain` encrypted under a key made of this one, to be opened for the same purpose and owner alone. A nonce is used once.
    pub(super) fn seal(&self, purpose: &str, owner: i64, nonce: [u8; NONCE], plain: &[u8]) -> Vec<u8> {
        let whose = Payload { msg: plain, aad: &owner.to_be_bytes() };
        let sealed = self.cipher(purpose).encrypt(&XNonce::from(nonce), whose).expect("it is short");
        [nonce.as_slice(), &sealed].concat()
    }

    /// What was sealed; `None` where that was for another purpose or owner, or under another key.
    pub(super) fn unseal(&self, purpose: &str, owner: i64, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let whose = Payload { msg: sealed, aad: &owner.to_be_bytes() };
        self.cipher(purpose).decrypt(&XNonce::from(*nonce), whose).ok()
    }

    fn cipher(&self, purpose: &str) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&CipherKey::from(self.mark("seal", purpose.as_bytes())))
    }

    /// A name of 32 hexadecimal characters that stands in URLs for `value`.
    pub(super) fn opaque(&self, purpose: &str, value: &str) -> String {
        let mark = self.mark(purpose, value.as_bytes());
        let (name, _) = mark.split_at(16);
        hexadecimal(name)
    }
}

/// Two hexadecimal characters for each byte.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_the_same_purpose_owner_and_key_alone() {
        let key = Key([1; 32]);
        let sealed = key.seal("a purpose", 7, [3; NONCE], b"a secret");
        assert_eq!(key.unseal("a purpose", 7, &sealed).as_deref(), Some(b"a secret".as_slice()));
        assert!(!sealed.windows(8).any(|part| part == b"a secret"));
        assert_eq!(key.unseal("another", 7, &sealed), None);
        assert_eq!(key.unseal("a purpose", 8, &sealed), None);
        assert_eq!(Key([2; 32]).unseal("a purpose", 7, &sealed), None);
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(key.unseal("a purpose", 7, &changed), None);
            assert_eq!(key.unseal("a purpose", 7, &sealed[..place]), None);
        }
    }
}
