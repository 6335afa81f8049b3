//! The record: who saw or changed what, and when. Each row is chained to the one before it by an HMAC under the key file, and the
//! two ends are sealed, so that a row that was changed, left out, moved, added or cut off is found by whoever holds the key
//! (`record/verify.rs`). What a row is about stands in it only as a mark under that key.

mod follow;
mod kept;
mod look;
mod shorten;
mod verify;

use std::fmt;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

pub use follow::Chain;
pub(super) use look::opened;
pub use look::{Looked, RecordPage, Recorded};
pub use verify::{Broken, Fault, Head, Verified, verify_record};

use super::key::Key;
use super::{Store, StoreError};

/// Who does something, and from where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct By {
    /// The account's number, where a person is signed in.
    pub person: Option<i64>,
    /// The address that this person signs in with, or whose command it is.
    pub name: String,
    /// The network address that it was done from; empty on the machine itself.
    pub source: String,
}

impl By {
    /// A command of whoever has this name on the machine.
    #[must_use]
    pub fn command(user: &str) -> By {
        By { person: None, name: format!("command line ({user})"), source: String::new() }
    }

    /// The server, by the clock.
    #[must_use]
    pub fn itself() -> By {
        By { person: None, name: "Counterfoil".into(), source: String::new() }
    }
}

macro_rules! did {
    ($($(#[$doc:meta])* $name:ident $word:literal $words:literal)*) => {
        /// What was done.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Did { $($(#[$doc])* $name,)* }

        impl Did {
            /// All of them, those that people do most first.
            pub const ALL: &[Did] = &[$(Did::$name),*];

            /// The stable word that stands in the store and in an export.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Did::$name => $word),* }
            }

            /// For people.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self { $(Did::$name => $words),* }
            }
        }
    };
}

did! {
    /// Searched for a reference, a person or an id.
    Searched "searched" "Searched"
    /// Saw a list of receipts that was not searched for.
    ListedReceipts "listed_receipts" "Looked at the newest receipts"
    /// Opened one receipt, with everything on its page.
    OpenedReceipt "opened_receipt" "Opened a receipt"
    /// Had Notify asked what a message said, which is then kept.
    FetchedSentText "fetched_sent_text" "Fetched what a message said from Notify"
    /// Had Notify asked for a message that is not here.
    AskedNotify "asked_notify" "Asked Notify for a message"
    /// Saved such a list, or the results of a search.
    ExportedReceipts "exported_receipts" "Saved receipts"
    /// Saw the inbox.
    ListedMessages "listed_messages" "Looked at received texts"
    /// Saved the inbox.
    ExportedMessages "exported_messages" "Saved the list of received texts"
    /// Opened a conversation.
    OpenedConversation "opened_conversation" "Opened a conversation"
    /// Saved one.
    ExportedConversation "exported_conversation" "Saved a conversation"
    /// Marked what somebody wrote as read.
    MarkedRead "marked_read" "Marked a conversation as read"
    /// Marked it as unread.
    MarkedUnread "marked_unread" "Marked a conversation as unread"
    /// Looks after a conversation from now on.
    TookConversation "took_conversation" "Took a conversation"
    /// Looks after it no longer.
    LetConversationGo "let_conversation_go" "Gave a conversation back"
    /// Gave it to a colleague.
    HandedOver "handed_over" "Handed a conversation over"
    /// Has dealt with it.
    DealtWith "dealt_with" "Dealt with a conversation"
    /// Has not, after all.
    Reopened "reopened" "Marked a conversation as not dealt with"
    /// Took back the last change to one.
    TookBack "took_back" "Took back a change to a conversation"
    /// Wrote a note on one.
    AddedNote "added_note" "Wrote a note on a conversation"
    /// Removed a note of their own.
    RemovedNote "removed_note" "Removed a note from a conversation"
    /// Saw a list of contacts to check.
    ListedContacts "listed_contacts" "Looked at contacts to check"
    /// Noted that one has been dealt with.
    DealtWithContact "dealt_with_contact" "Dealt with a contact to check"
    /// Noted that it has not.
    ReopenedContact "reopened_contact" "Marked a contact as not dealt with"
    /// Saved a list of them.
    ExportedContacts "exported_contacts" "Saved contacts to check"
    /// Saw the list of what could not be understood.
    ListedQuarantine "listed_quarantine" "Looked at the quarantine"
    /// Opened one body of it.
    OpenedQuarantined "opened_quarantined" "Opened a quarantined callback"
    /// Saved the bytes of one.
    SavedQuarantined "saved_quarantined" "Saved a quarantined callback"
    /// Had one read again.
    ReadAgain "read_again" "Had a quarantined callback read again"
    /// Began a session.
    SignedIn "signed_in" "Signed in"
    /// Tried to, with an account's address.
    SignInFailed "sign_in_failed" "Could not sign in"
    /// Gave a wrong code after the right password.
    SecondStepFailed "second_step_failed" "Gave a wrong code after the password"
    /// Signed in with a recovery code, which is used up.
    UsedRecoveryCode "used_recovery_code" "Used a recovery code"
    /// Was let in by a provider of single sign-on, before the session began.
    AdmittedBySingleSignOn "admitted_by_single_sign_on" "Was let in by single sign-on"
    /// Was signed in at the provider, and not let in.
    RefusedBySingleSignOn "refused_by_single_sign_on" "Was not let in by single sign-on"
    /// Let an account be somebody else's at the provider.
    ForgotSingleSignOn "forgot_single_sign_on" "Forgot who signs in to an account by single sign-on"
    /// Signed in with a passkey, after the password or in its place.
    UsedPasskey "used_passkey" "Used a passkey"
    /// Ended a session.
    SignedOut "signed_out" "Signed out"
    /// Set a password by a one-time link.
    SetPassword "set_password" "Set a password"
    /// Gave a wrong password for a change to the own account.
    PasswordNotConfirmed "password_not_confirmed" "Gave a wrong password for a change to their account"
    /// Changed the own password.
    ChangedPassword "changed_password" "Changed their password"
    /// Set up an authenticator app, be it in the place of another.
    SetUpSecondFactor "set_up_second_factor" "Set up an authenticator app"
    /// Took an account's authenticator app and recovery codes away.
    RemovedSecondFactor "removed_second_factor" "Removed a person’s authenticator app"
    /// Added a passkey to the own account.
    AddedPasskey "added_passkey" "Added a passkey"
    /// Took one out of it.
    RemovedPasskey "removed_passkey" "Removed a passkey"
    /// Made recovery codes in the place of those before.
    MadeRecoveryCodes "made_recovery_codes" "Made new recovery codes"
    /// Made an account.
    AddedPerson "added_person" "Added a person"
    /// Changed what an account may do or see.
    ChangedPerson "changed_person" "Changed what a person may do"
    /// Keeps an account from signing in.
    DisabledPerson "disabled_person" "Disabled a person"
    /// Lets it sign in again.
    EnabledPerson "enabled_person" "Enabled a person"
    /// Made a one-time link for an account.
    MadeLink "made_link" "Made a link to set a password"
    /// Ended an account's sessions.
    EndedSessions "ended_sessions" "Ended a person’s sessions"
    /// Made a callback token.
    AddedToken "added_token" "Added a callback token"
    /// Made one beside another, to take its place.
    RotatedToken "rotated_token" "Rotated a callback token"
    /// Revoked one, at once or for later.
    RevokedToken "revoked_token" "Revoked a callback token"
    /// Called off a revocation before it came.
    KeptToken "kept_token" "Called off the revocation of a callback token"
    /// Gave a template a name, or took it away.
    NamedTemplate "named_template" "Named a template"
    /// Changed what received texts are flagged by.
    ChangedFlags "changed_flags" "Changed the list of phrases that flag texts"
    /// Changed what holds for everybody.
    ChangedSettings "changed_settings" "Changed the settings"
    /// Chose which emails to get, or where.
    ChangedEmails "changed_emails" "Changed which emails they get"
    /// Removed what was old by hand.
    Purged "purged" "Removed what was old"
    /// Looked up what is held on somebody.
    LookedUpSubject "looked_up_subject" "Looked up what is held on a person or reference"
    /// Took away everything that is held on somebody.
    ExportedSubject "exported_subject" "Exported what is held on a person or reference"
    /// Is about to erase everything that is held on somebody.
    BeganErasing "began_erasing" "Began to erase what is held on a person or reference"
    /// Erased it.
    ErasedSubject "erased_subject" "Erased what is held on a person or reference"
    /// Is about to redact it.
    BeganRedacting "began_redacting" "Began to redact what is held on a person or reference"
    /// Redacted it.
    RedactedSubject "redacted_subject" "Redacted what is held on a person or reference"
    /// Took away everything that is held, for another store.
    ExportedStore "exported_store" "Exported everything that is held"
    /// Brought in what another store held.
    ImportedStore "imported_store" "Imported what another store held"
    /// Saw the list of holds.
    ListedHolds "listed_holds" "Looked at the holds"
    /// Keeps everything of somebody.
    AddedHold "added_hold" "Added a hold"
    /// Lets it go.
    RemovedHold "removed_hold" "Removed a hold"
    /// Looked at the record.
    LookedAtRecord "looked_at_record" "Looked at the record"
    /// Saved the record.
    ExportedRecord "exported_record" "Saved the record"
    /// Said that an alarm has been dealt with.
    SettledAlarm "settled_alarm" "Dealt with an alarm"
    /// The first row.
    BeganRecord "began_record" "The record began"
    /// Goes on under a key file that the rows before were not written with.
    ChangedKey "changed_key" "The key file was changed"
    /// Removed the record's oldest rows.
    ShortenedRecord "shortened_record" "Removed old rows of the record"
}

impl Did {
    /// What changes a conversation, by whose name it stands.
    pub const OF_CONVERSATIONS: [Did; 10] = [
        Did::MarkedRead,
        Did::MarkedUnread,
        Did::TookConversation,
        Did::LetConversationGo,
        Did::HandedOver,
        Did::DealtWith,
        Did::Reopened,
        Did::TookBack,
        Did::AddedNote,
        Did::RemovedNote,
    ];
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One row to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// When, in microseconds since 1970 UTC.
    pub at: i64,
    /// By whom.
    pub by: By,
    /// What.
    pub did: Did,
    /// To what: an id that tells nothing of a person.
    pub object: Option<String>,
    /// Of whose data: a match key or a reference's key in the clear. Only its mark is kept.
    pub subject: Option<String>,
    /// A few words more, without personal data.
    pub detail: Option<String>,
}

impl Entry {
    /// With nothing but the bare fact.
    #[must_use]
    pub fn new(by: By, did: Did, at: i64) -> Entry {
        Entry { at, by, did, object: None, subject: None, detail: None }
    }

    /// To what.
    #[must_use]
    pub fn of(self, object: impl Into<String>) -> Entry {
        Entry { object: Some(object.into()), ..self }
    }

    /// Of whose data.
    #[must_use]
    pub fn about(self, subject: Option<impl Into<String>>) -> Entry {
        Entry { subject: subject.map(Into::into), ..self }
    }

    /// The same for each of these: a row has the data of one. Where there are none, it is of nobody's.
    #[must_use]
    pub fn about_each<T: Into<String>>(self, subjects: impl IntoIterator<Item = T>) -> Vec<Entry> {
        let rows: Vec<Entry> = subjects.into_iter().map(|subject| self.clone().about(Some(subject))).collect();
        if rows.is_empty() { vec![self] } else { rows }
    }

    /// With a few words more.
    #[must_use]
    pub fn with(self, detail: impl Into<String>) -> Entry {
        Entry { detail: Some(detail.into()), ..self }
    }
}

impl Store {
    /// Writes one row. What it tells of is shown or done only afterwards.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn record(&self, entry: Entry) -> Result<(), StoreError> {
        self.record_all(vec![entry]).await
    }

    /// Writes several rows, all of them or none.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn record_all(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let key = self.inner.key.clone();
        self.write(move |connection| entries.iter().try_for_each(|entry| append(connection, &key, entry))).await
    }
}

type Mac = [u8; 32];

/// A row as it stands in the table.
struct Kept {
    id: i64,
    at: i64,
    person: Option<i64>,
    who: String,
    source: String,
    did: String,
    object: Option<String>,
    subject: Option<Vec<u8>>,
    detail: Option<String>,
    key: Vec<u8>,
    mac: Vec<u8>,
}

const KEPT: &str = "id, at, person, who, source, did, object, subject, detail, key, mac";

impl Kept {
    fn read(row: &Row<'_>) -> rusqlite::Result<Kept> {
        Ok(Kept {
            id: row.get(0)?,
            at: row.get(1)?,
            person: row.get(2)?,
            who: row.get(3)?,
            source: row.get(4)?,
            did: row.get(5)?,
            object: row.get(6)?,
            subject: row.get(7)?,
            detail: row.get(8)?,
            key: row.get(9)?,
            mac: row.get(10)?,
        })
    }

    /// The HMAC of the row and of the `mac` before it. Each field goes in with its length, so that no two rows read alike.
    fn mac(&self, key: &Key, before: &[u8]) -> Mac {
        let numbers = [Some(self.id), Some(self.at), self.person].map(|number| number.map(i64::to_be_bytes));
        let mut fields: Vec<Option<&[u8]>> = vec![Some(before)];
        fields.extend(numbers.iter().map(|bytes| bytes.as_ref().map(<[u8; 8]>::as_slice)));
        let texts = [Some(&self.who), Some(&self.source), Some(&self.did), self.object.as_ref(), self.detail.as_ref()];
        fields.extend(texts.map(|text| text.map(String::as_bytes)));
        fields.push(self.subject.as_deref());
        let mut whole = Vec::new();
        for field in fields {
            match field {
                None => whole.push(0),
                Some(bytes) => {
                    whole.push(1);
                    whole.extend(bytes.len().to_be_bytes());
                    whole.extend(bytes);
                }
            }
        }
        key.mark("record", &whole)
    }
}

/// Where the record begins and ends.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Ends {
    first: i64,
    before: Vec<u8>,
    last: i64,
    head: Vec<u8>,
    /// Whether a head of it is kept beside the store. No column holds that, but the seal differs.
    is_followed: bool,
}

impl Ends {
    fn read(connection: &Connection) -> rusqlite::Result<Option<(Ends, Vec<u8>)>> {
        let sql = "SELECT first, before, last, head, seal FROM audit_ends";
        let ends = |row: &Row<'_>| {
            let (first, before, last, head) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            Ok((Ends { first, before, last, head, is_followed: false }, row.get(4)?))
        };
        connection.prepare_cached(sql)?.query_row([], ends).optional()
    }

    fn seal(&self, key: &Key) -> Mac {
        let (first, last) = (self.first.to_be_bytes(), self.last.to_be_bytes());
        let purpose = if self.is_followed { "record ends, head kept" } else { "record ends" };
        key.mark(purpose, &[&first, self.before.as_slice(), &last, &self.head].concat())
    }

    /// As they were sealed with this key; `None` where they were not.
    fn sealed_with(&self, key: &Key, seal: &[u8]) -> Option<Ends> {
        let both = [false, true].map(|is_followed| Ends { is_followed, ..self.clone() });
        both.into_iter().find(|ends| ends.seal(key).as_slice() == seal)
    }

    fn write(&self, connection: &Connection, key: &Key) -> rusqlite::Result<()> {
        self.write_with(connection, &self.seal(key))
    }

    fn write_with(&self, connection: &Connection, seal: &[u8]) -> rusqlite::Result<()> {
        connection.prepare_cached("DELETE FROM audit_ends")?.execute([])?;
        let sql = "INSERT INTO audit_ends (first, before, last, head, seal) VALUES (?1, ?2, ?3, ?4, ?5)";
        let bound = params![self.first, self.before, self.last, self.head, seal];
        connection.prepare_cached(sql)?.execute(bound).map(drop)
    }
}

/// Which key file a row was chained under: the beginning of a mark that only this key makes.
fn key_name(key: &Key) -> Vec<u8> {
    key.mark("record key", b"").into_iter().take(8).collect()
}

/// Writes one row at the record's end, in the transaction of what it tells of.
pub(super) fn append(connection: &Connection, key: &Key, entry: &Entry) -> rusqlite::Result<()> {
    let Some((found, seal)) = Ends::read(connection)? else {
        let ends = begin(connection, key, entry.at)?;
        let sealed = Ends::read(connection)?.map(|(_, seal)| seal).unwrap_or_default();
        let is_broken = ends.sealed_with(key, &sealed).is_none();
        let ends = chain(connection, key, ends, entry)?;
        return if is_broken { ends.write_with(connection, &sealed) } else { Ok(()) };
    };
    let sealed = found.sealed_with(key, &seal);
    let is_broken = sealed.is_none() && !is_of_another_key(connection, key, &found)?;
    let ends = chain(connection, key, sealed.unwrap_or(found), entry)?;
    // A seal that somebody else's hand made wrong stays wrong: nothing that comes later makes it good.
    if is_broken { ends.write_with(connection, &seal) } else { Ok(()) }
}

/// Whether the last row was written with another key file, as after a restore on another machine.
fn is_of_another_key(connection: &Connection, key: &Key, ends: &Ends) -> rusqlite::Result<bool> {
    let sql = "SELECT key FROM audit WHERE id = ?1";
    let name: Option<Vec<u8>> = connection.prepare_cached(sql)?.query_row([ends.last], |row| row.get(0)).optional()?;
    Ok(name.is_some_and(|name| name != key_name(key)))
}

/// Begins the record where there is none, and says so where the key file is another one than before: a store that was restored on
/// another machine goes on under that machine's key.
pub(super) fn note_key(connection: &mut Connection, key: &Key, now: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match Ends::read(&transaction)? {
        None => drop(begin(&transaction, key, now)?),
        Some((ends, _)) => {
            let sql = "SELECT key FROM audit WHERE id = ?1";
            let written_with: Option<Vec<u8>> = transaction.query_row(sql, [ends.last], |row| row.get(0)).optional()?;
            if written_with.is_some_and(|name| name != key_name(key)) {
                chain(&transaction, key, ends, &Entry::new(By::itself(), Did::ChangedKey, now))?;
            }
        }
    }
    transaction.commit()
}

/// Begins the record where there is none yet, before anything is written that it would tell of: whatever is there already is taken for
/// what is left of a record that somebody removed.
pub(super) fn note_beginning(connection: &mut Connection, key: &Key, now: i64) -> rusqlite::Result<()> {
    if Ends::read(connection)?.is_some() {
        return Ok(());
    }
    note_key(connection, key, now)
}

/// The first row. Where there are people or tokens already there was a record too: it begins, and is never whole.
fn begin(connection: &Connection, key: &Key, at: i64) -> rusqlite::Result<Ends> {
    let nothing = Ends { first: 1, before: vec![0; 32], last: 0, head: vec![0; 32], is_followed: false };
    let ends = chain(connection, key, nothing, &Entry::new(By::itself(), Did::BeganRecord, at))?;
    if connection.prepare("SELECT 1 FROM people UNION ALL SELECT 1 FROM tokens")?.exists([])? {
        ends.write_with(connection, &[])?;
    }
    Ok(ends)
}

fn chain(connection: &Connection, key: &Key, ends: Ends, entry: &Entry) -> rusqlite::Result<Ends> {
    let mut kept = Kept {
        id: ends.last + 1,
        at: entry.at,
        person: entry.by.person,
        who: entry.by.name.clone(),
        source: entry.by.source.clone(),
        did: entry.did.as_str().to_owned(),
        object: entry.object.clone(),
        subject: entry.subject.as_ref().map(|subject| subject_mark(key, subject).to_vec()),
        detail: entry.detail.clone(),
        key: key_name(key),
        mac: Vec::new(),
    };
    kept.mac = kept.mac(key, &ends.head).to_vec();
    let sql = format!("INSERT INTO audit ({KEPT}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
    connection.prepare_cached(&sql)?.execute(params![
        kept.id,
        kept.at,
        kept.person,
        kept.who,
        kept.source,
        kept.did,
        kept.object,
        kept.subject,
        kept.detail,
        kept.key,
        kept.mac
    ])?;
    let ends = Ends { last: kept.id, head: kept.mac, ..ends };
    ends.write(connection, key)?;
    Ok(ends)
}

fn subject_mark(key: &Key, subject: &str) -> Mac {
    key.mark("record subject", subject.as_bytes())
}

#[cfg(test)]
mod tests;
