//! Encrypted backups, in the age format: made for whoever holds one of some keys, and opened with such a key.
//!
//! What is in one goes through it in a stream, and is authenticated as it comes.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::str::FromStr;

use age::{DecryptError, Decryptor, Encryptor, IdentityFile};

use super::backup::{BackupError, copy_bytes};
use super::progress::{Progress, Stage};

/// How a file in the age format begins.
const BEGINS: &[u8] = b"age-encryption.org/v1\n";

/// A public key in the age format, `age1…`: whoever has its secret key can open what is encrypted to it.
#[derive(Clone)]
pub struct Recipient(age::x25519::Recipient);

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({})", self.0)
    }
}

impl FromStr for Recipient {
    type Err = String;

    fn from_str(text: &str) -> Result<Recipient, String> {
        let wrong =
            |_| "it is no public key of age: give one that begins with age1, as age-keygen prints it".to_owned();
        text.parse().map(Recipient).map_err(wrong)
    }
}

/// Encrypts a file into another.
pub(super) fn seal(
    plain: &mut File,
    to: &File,
    recipients: &[Recipient],
    progress: &Progress,
) -> Result<(), BackupError> {
    let failed = |error| BackupError::Io { what: "write the backup", error };
    let of = plain.metadata().map_err(failed)?.len();
    let recipients = recipients.iter().map(|recipient| &recipient.0 as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(recipients).map_err(|error| failed(io::Error::other(error)))?;
    let mut sealed = encryptor.wrap_output(to).map_err(failed)?;
    copy_bytes(plain, &mut sealed, to, (Stage::Encrypting, of), progress)?;
    sealed.finish().and_then(|mut to| to.flush()).map_err(failed)
}

/// The backup's bytes, decrypted where they have to be.
pub(super) fn unseal(backup: File, identity: Option<&Path>) -> Result<Box<dyn Read>, BackupError> {
    let failed = |error| BackupError::Io { what: "read the backup", error };
    let mut begin = Vec::new();
    let mut backup = backup;
    Read::by_ref(&mut backup).take(BEGINS.len() as u64).read_to_end(&mut begin).map_err(failed)?;
    let is_sealed = begin == BEGINS;
    let whole = io::Cursor::new(begin).chain(backup);
    if !is_sealed {
        return Ok(Box::new(whole));
    }
    let identity = identity.ok_or(BackupError::Encrypted("give the file with its secret key as --identity"))?;
    let identities = IdentityFile::from_file(identity.display().to_string())
        .map_err(|error| BackupError::Io { what: "read the identity file", error })?
        .into_identities()
        .map_err(|_| BackupError::Encrypted("the identity file holds no secret key that can be used"))?;
    let opened = Decryptor::new_buffered(BufReader::new(whole)).and_then(|decryptor| {
        decryptor.decrypt(identities.iter().map(|identity| identity.as_ref() as &dyn age::Identity))
    });
    match opened {
        Ok(plain) => Ok(Box::new(plain)),
        Err(DecryptError::NoMatchingKeys) => Err(BackupError::Encrypted(
            "no secret key in the identity file opens it. Give the one that it was made for",
        )),
        Err(DecryptError::Io(error)) => Err(BackupError::BackupDamaged(error.to_string())),
        Err(error) => Err(BackupError::BackupDamaged(error.to_string())),
    }
}
