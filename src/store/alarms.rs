//! Alarms: what somebody should look at. Each stands once, however often it is raised, until a person has dealt with it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rusqlite::{OptionalExtension, Row, params};
use tokio::sync::Notify;

use super::record::{self, By, Did, Entry};
use super::{Services, Store, StoreError};
use crate::clock::MINUTE;

/// Of one sort so many stand apart; what comes beyond is counted in the last.
const APART: i64 = 50;
/// How often one that goes on being raised is written, in microseconds.
const WRITTEN_EVERY: i64 = MINUTE;
/// Raised ones of a sort that wait to be written apart; what comes beyond is counted in the last.
const WAITING: usize = 200;
/// Where one stands that would be one too many of its sort.
const ELSEWHERE: &str = "elsewhere";

macro_rules! sorts {
    ($($(#[$doc:meta])* $name:ident $word:literal $words:literal $advice:literal)*) => {
        /// What an alarm is about.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum AlarmSort { $($(#[$doc])* $name,)* }

        impl AlarmSort {
            /// All of them.
            pub const ALL: &[AlarmSort] = &[$(AlarmSort::$name),*];

            /// The stable word that stands in the store and in the log.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(AlarmSort::$name => $word),* }
            }

            /// What happened, for people.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self { $(AlarmSort::$name => $words),* }
            }

            /// What to do.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $(AlarmSort::$name => $advice),* }
            }
        }
    };
}

sorts! {
    /// A callback was refused for its token: Notify does not send it again.
    WrongToken "wrong_token" "A callback came with a wrong token, and was refused"
        "If Notify sent it, callbacks are being lost: check the token in Notify, then read back what was missed with counterfoil backfill. If somebody else did, nothing is lost."
    /// A token has not been used for longer than is usual.
    UnusedToken "unused_token" "A callback token has not been used for 30 days"
        "If another token took its place, revoke it. If the service still sends messages, check the callback URL and token in Notify."
    /// Nothing has come from a service, where as a rule much does.
    Silence "silence" "Callbacks have stopped coming"
        "Check the callback URL and token in Notify, then the firewall and the certificate, then run counterfoil backfill."
    /// Many sign-ins failed.
    FailedSignIns "failed_sign_ins" "Many sign-ins have failed"
        "Ask the person whether it was them. If it was not, somebody is guessing: a second factor keeps them out."
    /// Far more was taken away than is usual.
    LargeExport "large_export" "Somebody has saved far more than usual"
        "Ask the person what it was for. The record says what they saved and when."
    /// The record is not as it was written.
    RecordBroken "record_broken" "The record of who saw what is not as it was written"
        "Keep a copy of the store’s folder and of the server’s log, and run counterfoil audit verify. Somebody who can write to the store’s file has changed it."
    /// No email has gone out for some time.
    EmailsFail "emails_fail" "Emails to people are not going out"
        "Check the mail server and the --smtp flags. Nothing is lost: what waits is sent when the mail server takes it. Settings says how it stands now."
    /// Alarms do not go out.
    AlarmsFail "alarms_fail" "Alarms do not get out"
        "Check --alarm-command, which must name a program that the server may run, and --alarm-webhook. The server’s log says what failed. Until then look at this page yourself."
    /// Callbacks, or some of them, have been answered 503 for a while.
    Refusing "refusing" "Callbacks, or some of them, have been refused for over 5 minutes"
        "GOV.UK Notify gives each up after about 25 minutes. The server’s log says why they are refused: mend that now, then run counterfoil backfill if it took longer."
    /// The store is damaged.
    Damage "damage" "The store is damaged, and every callback is refused"
        "Stop the server, keep a copy of its folder, restore the newest backup into a new folder with counterfoil restore, and start the server on that."
    /// The disk is full, or soon will be.
    Disk "disk" "The disk of the store is full or nearly so"
        "Make room on it, enlarge it, or remove what is old with counterfoil purge. When it is full every callback is refused until there is room."
    /// The store's log cannot be copied into its file.
    Log "log" "The store’s log is not copied into its file"
        "Stop any other program that reads counterfoil.db without an end. If there is none, look whether the disk fails. Past 1¼ GiB every callback is refused."
    /// There is something in quarantine.
    Quarantine "quarantine" "Callbacks could not be understood"
        "They are kept as they came. Look at them under Quarantine, have them read again, and tell the people who make Counterfoil if GOV.UK Notify sent them."
    /// The last backup failed, or is too old.
    Backup "backup" "There is no fresh backup"
        "Look whether the folder of --backup-to is there, has room and can be written. The server’s log says what failed. counterfoil backup makes one by hand."
    /// The certificate ends soon.
    Certificate "certificate" "The certificate ends within 14 days"
        "Renew it: GOV.UK Notify sends nothing to a server whose certificate has ended. The server’s log says why that did not happen by itself."
    /// The clock was set.
    ClockStep "clock_step" "The clock of the server jumped"
        "Check that the server’s time is right and that it is kept right, by chrony or systemd-timesyncd. Times of arrival, sign-in codes and removal by age rest on it."
    /// What a flag should have brought could not be had at the start.
    Without "without" "The server runs without something that it was told to use"
        "The server’s log says at its start which flag it is and what is wrong with it. Mend that, and start the server again. Callbacks are taken all the while."
}

impl AlarmSort {
    /// Whether it is raised and stands until a person has dealt with it. The others end by themselves, and are in no table.
    #[must_use]
    pub fn is_raised(self) -> bool {
        use AlarmSort::{EmailsFail, FailedSignIns, LargeExport, RecordBroken, Silence, UnusedToken, WrongToken};
        matches!(self, WrongToken | UnusedToken | Silence | FailedSignIns | LargeExport | RecordBroken | EmailsFail)
    }

    /// Whether callbacks are being lost, or will be soon, or somebody has tampered: for the others tomorrow will do.
    #[must_use]
    pub fn is_urgent(self) -> bool {
        use AlarmSort::{Certificate, Damage, Disk, Log, RecordBroken, Refusing, Silence, WrongToken};
        matches!(self, WrongToken | Silence | Refusing | Damage | Disk | Log | Certificate | RecordBroken)
    }

    /// Whether what an alarm of this sort is about may leave the machine: whence a token or a sign-in came, and who saved much, may not.
    fn may_be_told(self) -> bool {
        matches!(self, AlarmSort::UnusedToken | AlarmSort::Silence)
    }

    /// Whether what an alarm of this sort is about may stand in the log: who saved much is named by their address.
    fn may_be_logged(self) -> bool {
        self != AlarmSort::LargeExport
    }

    pub(super) fn of(word: &str) -> Option<AlarmSort> {
        AlarmSort::ALL.iter().copied().find(|sort| sort.as_str() == word)
    }
}

/// One that is raised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alarm {
    /// What it is about.
    pub sort: AlarmSort,
    /// Where or what: a path and an address, a token's number, an account.
    pub object: String,
    /// A few words more.
    pub detail: Option<String>,
}

impl Alarm {
    /// With nothing but where.
    #[must_use]
    pub fn new(sort: AlarmSort, object: impl Into<String>) -> Alarm {
        Alarm { sort, object: object.into(), detail: None }
    }

    /// With a few words more.
    #[must_use]
    pub fn with(self, detail: impl Into<String>) -> Alarm {
        Alarm { detail: Some(detail.into()), ..self }
    }
}

/// One that stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Raised {
    /// Its number.
    pub id: i64,
    /// What it is about; `None` where a later release raised it.
    pub sort: Option<AlarmSort>,
    /// Where or what.
    pub object: String,
    /// A few words more.
    pub detail: Option<String>,
    /// When it was raised first, in microseconds since 1970 UTC.
    pub first_at: i64,
    /// When it was raised last.
    pub last_at: i64,
    /// How often.
    pub times: i64,
}

/// An alarm that stands, as it may be told to anybody.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stands {
    /// What it is about.
    pub sort: AlarmSort,
    /// Which service, token or account, by name or number; nothing where that is nobody's business.
    pub about: Option<String>,
    /// Since when, in microseconds since 1970 UTC.
    pub since: i64,
}

/// Those of each sort that were raised lately: whoever raises one a thousand times a second causes one write a minute, and many of
/// one sort keep none of another from being written.
#[derive(Default)]
pub(super) struct Lately {
    raised: Mutex<HashMap<AlarmSort, HashMap<String, Count>>>,
    /// Told of each that is new or dealt with.
    changed: Notify,
    /// All that stood at the last look.
    stand: Mutex<Vec<Stands>>,
}

#[derive(Clone, Copy)]
struct Count {
    written_at: i64,
    since: i64,
}

impl Lately {
    /// The alarm as it is to be written, and how often it was raised since it was last, if that is long ago enough to write it again.
    fn count(&self, alarm: Alarm, now: i64) -> Option<(Alarm, i64)> {
        let mut lately = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = lately.entry(alarm.sort).or_default();
        if lately.len() >= WAITING {
            let is_fresh = |count: &Count| (0..WRITTEN_EVERY).contains(&(now - count.written_at));
            lately.retain(|object, count| object == ELSEWHERE || is_fresh(count));
        }
        let has_room = lately.len() < WAITING || lately.contains_key(&alarm.object);
        let alarm = if has_room { alarm } else { Alarm { object: ELSEWHERE.to_owned(), ..alarm } };
        match lately.get_mut(&alarm.object) {
            Some(count) if (0..WRITTEN_EVERY).contains(&(now - count.written_at)) => {
                count.since += 1;
                None
            }
            Some(count) => {
                let times = count.since + 1;
                *count = Count { written_at: now, since: 0 };
                Some((alarm, times))
            }
            None => {
                lately.insert(alarm.object.clone(), Count { written_at: now, since: 0 });
                Some((alarm, 1))
            }
        }
    }
}

impl Store {
    /// Raises an alarm, or counts it where it stands already; whether it is new, which the log says too.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn raise(&self, alarm: Alarm, now: i64) -> Result<bool, StoreError> {
        let Some((alarm, times)) = self.inner.alarms.count(alarm, now) else { return Ok(false) };
        let (sort, logged) = (alarm.sort, alarm.sort.may_be_logged().then(|| alarm.object.clone()));
        let raised = self.inner.writer.write_with_ledger(move |connection, ledger| {
            // Mostly something was refused, and maybe nothing else is written for a while.
            ledger.note_counted(connection)?;
            let Alarm { sort, object, detail } = alarm;
            let mut stands = connection
                .prepare_cached("SELECT 1 FROM alarms WHERE sort = ?1 AND object = ?2 AND settled_at IS NULL")?;
            let mut is_new = !stands.exists(params![sort.as_str(), object])?;
            let apart = "SELECT count(*) FROM alarms WHERE sort = ?1 AND settled_at IS NULL";
            let apart: i64 = connection.prepare_cached(apart)?.query_row([sort.as_str()], |row| row.get(0))?;
            let object = if is_new && apart >= APART { ELSEWHERE.to_owned() } else { object };
            is_new = is_new && !stands.exists(params![sort.as_str(), object])?;
            let sql =
                "INSERT INTO alarms (sort, object, detail, first_at, last_at, times) VALUES (?1, ?2, ?3, ?4, ?4, ?5)
                 ON CONFLICT (sort, object) WHERE settled_at IS NULL
                 DO UPDATE SET last_at = max(last_at, ?4), times = times + ?5, detail = ?3";
            connection.prepare_cached(sql)?.execute(params![sort.as_str(), object, detail, now, times])?;
            Ok(is_new)
        });
        let is_new = raised.await?;
        if is_new {
            self.inner.alarms.changed.notify_one();
            tracing::warn!(
                event = "alarm.raised",
                sort = sort.as_str(),
                object = logged,
                "an alarm was raised: admins see it on the page of alarms, with what to do"
            );
        }
        Ok(is_new)
    }

    /// The alarms that stand, the latest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn alarms(&self) -> Result<Vec<Raised>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT id, sort, object, detail, first_at, last_at, times FROM alarms WHERE settled_at IS NULL
                 ORDER BY last_at DESC, id DESC";
            connection.prepare_cached(sql)?.query_map([], raised)?.collect()
        })
        .await
    }

    /// A person has dealt with an alarm; `false` where it does not stand.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn settle(&self, id: i64, by: By, now: i64) -> Result<bool, StoreError> {
        let key = self.inner.key.clone();
        let settled = self.write(move |connection| {
            let sql = "UPDATE alarms SET settled_at = ?2, settled_by = ?3 WHERE id = ?1 AND settled_at IS NULL
                 RETURNING sort";
            let sort: Option<String> =
                connection.query_row(sql, params![id, now, by.name], |row| row.get(0)).optional()?;
            let Some(sort) = sort else { return Ok(false) };
            let entry = Entry::new(by, Did::SettledAlarm, now).of(format!("alarm {id}")).with(sort);
            record::append(connection, &key, &entry)?;
            Ok(true)
        });
        let settled = settled.await?;
        self.inner.alarms.changed.notify_one();
        Ok(settled)
    }

    /// Those that people have to deal with, as they may be told to anybody: one for each sort and what it is about. A silence is told
    /// for as long as it goes on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn alarms_to_tell(&self) -> Result<Vec<Stands>, StoreError> {
        let mut stand: Vec<Stands> = Vec::new();
        for raised in self.alarms().await? {
            let Some(sort) = raised.sort.filter(|sort| *sort != AlarmSort::Silence) else { continue };
            let about = Some(raised.object).filter(|object| sort.may_be_told() && object != ELSEWHERE);
            match stand.iter_mut().find(|other| other.sort == sort && other.about == about) {
                Some(other) => other.since = other.since.min(raised.first_at),
                None => stand.push(Stands { sort, about, since: raised.first_at }),
            }
        }
        for silence in self.silences(&Services::All).await? {
            let (about, since) = (Some(silence.service_name), silence.since);
            stand.push(Stands { sort: AlarmSort::Silence, about, since });
        }
        Ok(stand)
    }

    /// Waits until an alarm was raised or dealt with since this was last waited for.
    pub async fn alarms_changed(&self) {
        self.inner.alarms.changed.notified().await;
    }

    /// All that stood when it was looked at last.
    #[must_use]
    pub fn standing_alarms(&self) -> Vec<Stands> {
        self.inner.alarms.stand.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// These stand now.
    pub fn note_standing_alarms(&self, stand: &[Stands]) {
        stand.clone_into(&mut self.inner.alarms.stand.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Raises an alarm for each valid token that nothing came with since `moment`.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn look_for_unused_tokens(&self, moment: i64, now: i64) -> Result<(), StoreError> {
        for token in self.tokens().await? {
            let used_at = token.last_used_at.unwrap_or(token.made_at);
            if token.is_valid(now) && used_at < moment {
                let alarm = Alarm::new(AlarmSort::UnusedToken, format!("token {}", token.id));
                self.raise(alarm.with(token.service_name), now).await?;
            }
        }
        Ok(())
    }
}

fn raised(row: &Row<'_>) -> rusqlite::Result<Raised> {
    Ok(Raised {
        id: row.get(0)?,
        sort: AlarmSort::of(&row.get::<_, String>(1)?),
        object: row.get(2)?,
        detail: row.get(3)?,
        first_at: row.get(4)?,
        last_at: row.get(5)?,
        times: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::DAY;

    const NOW: i64 = 1_795_000_000_000_000;

    fn wrong(n: i64) -> Alarm {
        Alarm::new(AlarmSort::WrongToken, format!("/callbacks from 192.0.2.{n}"))
    }

    #[tokio::test]
    async fn an_alarm_stands_once_and_counts_until_somebody_has_dealt_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        let raise = |at: i64| store.raise(wrong(1), at);
        assert!(raise(NOW).await.unwrap());
        for at in NOW + 1..NOW + 10 {
            assert!(!raise(at).await.unwrap());
        }
        assert!(!raise(NOW + MINUTE).await.unwrap());
        let stands = store.alarms().await.unwrap();
        let [alarm] = stands.as_slice() else { panic!("one alarm") };
        assert_eq!((alarm.times, alarm.first_at, alarm.last_at), (11, NOW, NOW + MINUTE));
        assert!(store.settle(alarm.id, By::itself(), NOW + DAY).await.unwrap());
        assert!(!store.settle(alarm.id, By::itself(), NOW + DAY).await.unwrap());
        assert!(store.alarms().await.unwrap().is_empty());
        assert!(raise(NOW + 2 * DAY).await.unwrap(), "and is raised anew");
    }

    #[tokio::test]
    async fn one_that_was_dealt_with_is_kept_as_long_as_the_record_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        store.raise(wrong(1), NOW).await.unwrap();
        store.raise(wrong(2), NOW).await.unwrap();
        let last = store.alarms().await.unwrap().first().map(|alarm| alarm.id).unwrap();
        assert!(store.settle(last, By::itself(), NOW + 1).await.unwrap());
        let kept = async |moment| {
            store.shorten_record(moment, NOW + DAY).await.unwrap();
            let count = "SELECT count(*) FROM alarms";
            store.read(|connection| connection.query_row(count, [], |row| row.get::<_, i64>(0))).await.unwrap()
        };
        assert_eq!((kept(NOW + 1).await, kept(NOW + 2).await), (2, 1));
        assert_eq!(store.alarms().await.unwrap().len(), 1, "the other one stands");
    }

    #[tokio::test]
    async fn whoever_raises_alarms_everywhere_fills_no_page() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        for n in 0..APART + 20 {
            store.raise(wrong(n), NOW).await.unwrap();
        }
        let stands = store.alarms().await.unwrap();
        assert_eq!(i64::try_from(stands.len()), Ok(APART + 1));
        assert!(!store.raise(wrong(APART + 20), NOW).await.unwrap(), "it stands elsewhere already");
        assert_eq!(stands.iter().find(|alarm| alarm.object == ELSEWHERE).map(|alarm| alarm.times), Some(20));
    }

    #[test]
    fn wrong_tokens_from_everywhere_hide_no_alarm_of_another_sort_and_are_counted() {
        let lately = Lately::default();
        let waiting = i64::try_from(WAITING).unwrap();
        let written = (0..10 * waiting).filter_map(|n| lately.count(wrong(n), NOW));
        let objects: Vec<String> = written.map(|(alarm, _)| alarm.object).collect();
        assert_eq!((objects.len(), objects.last().map(String::as_str)), (WAITING + 1, Some(ELSEWHERE)));
        let failed = Alarm::new(AlarmSort::FailedSignIns, "account 1");
        assert_eq!(lately.count(failed.clone(), NOW), Some((failed, 1)));
        assert_eq!(lately.count(wrong(1), NOW), None, "those that stand apart go on to");
        let beyond = lately.count(wrong(20 * waiting), NOW + MINUTE).map(|(alarm, times)| (alarm.object, times));
        assert_eq!(beyond.map(|(_, times)| times), Some(1), "a minute later there is room again");
        let elsewhere = Alarm::new(AlarmSort::WrongToken, ELSEWHERE);
        assert_eq!(lately.count(elsewhere.clone(), NOW + MINUTE), Some((elsewhere, 9 * waiting)), "none was lost");
    }

    #[tokio::test]
    async fn a_token_that_brings_nothing_for_long_raises_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::serve(folder.path(), NOW).unwrap();
        let first = store.add_token("A service".into(), None, [1; 32], By::itself(), NOW).await.unwrap();
        let second = store.add_token("A service".into(), None, [2; 32], By::itself(), NOW + DAY).await.unwrap();
        let look = || store.look_for_unused_tokens(NOW + 1, NOW + 30 * DAY);
        store.revoke_token(second, NOW, By::itself(), NOW).await.unwrap();
        look().await.unwrap();
        let objects: Vec<String> = store.alarms().await.unwrap().into_iter().map(|alarm| alarm.object).collect();
        assert_eq!(objects, [format!("token {first}")]);
    }
}
