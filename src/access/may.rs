//! The one place that says what each role may do.

use crate::store::{Role, Services};

/// What needs more than to be signed in. To search and to read is everybody's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum May {
    /// Deal with what was received: take it, mark it, write notes.
    Deal,
    /// See what a message said that was sent, and have it fetched from Notify.
    SentText,
    /// Take lists and texts away as a file.
    Export,
    /// See what could not be understood, and have it read again.
    Quarantine,
    /// See the record of who saw and changed what.
    Record,
    /// Export, hold, redact and erase what is held on one person.
    Subjects,
    /// Change what received texts are flagged by.
    Flags,
    /// Be told by email of danger that nobody has read in time, asked for or not.
    ToldOfDanger,
    /// Invite people, change what they may do, end their sessions.
    People,
    /// Make, rotate and revoke callback tokens.
    Tokens,
    /// See alarms, and say that they are dealt with.
    Alarms,
    /// Change what holds for everybody.
    Settings,
}

impl May {
    /// Everything that there is to be allowed.
    pub const ALL: [May; 12] = [
        May::Deal,
        May::SentText,
        May::Export,
        May::Quarantine,
        May::Record,
        May::Subjects,
        May::Flags,
        May::ToldOfDanger,
        May::People,
        May::Tokens,
        May::Alarms,
        May::Settings,
    ];

    /// The role that may do least of those that may do this.
    fn least(self) -> Role {
        match self {
            May::Deal | May::SentText => Role::Caseworker,
            May::Export | May::Quarantine | May::Record | May::Subjects | May::Flags | May::ToldOfDanger => {
                Role::Manager
            }
            May::People | May::Tokens | May::Alarms | May::Settings => Role::Admin,
        }
    }

    /// Whether it tells of every service, so that nobody may do it who is limited to some.
    fn is_of_all_services(self) -> bool {
        matches!(self, May::Record | May::Flags | May::People | May::Tokens | May::Alarms | May::Settings)
    }

    /// Whether a role may do it that sees these services. Each role may do what those below it may.
    #[must_use]
    pub fn is_given_to(self, role: Role, sees: &Services) -> bool {
        role >= self.least() && (*sees == Services::All || !self.is_of_all_services())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_it_is_there_for() {
        let allowed =
            |role| May::ALL.into_iter().filter(|may| may.is_given_to(role, &Services::All)).collect::<Vec<_>>();
        assert_eq!(allowed(Role::Viewer), []);
        assert_eq!(allowed(Role::Caseworker), [May::Deal, May::SentText]);
        assert_eq!(
            allowed(Role::Manager),
            [
                May::Deal,
                May::SentText,
                May::Export,
                May::Quarantine,
                May::Record,
                May::Subjects,
                May::Flags,
                May::ToldOfDanger
            ]
        );
        assert_eq!(allowed(Role::Admin), May::ALL);
    }

    #[test]
    fn who_is_limited_to_some_services_sees_nothing_that_tells_of_all() {
        let some = Services::Only(Vec::new());
        let allowed: Vec<May> = May::ALL.into_iter().filter(|may| may.is_given_to(Role::Admin, &some)).collect();
        assert_eq!(allowed, [May::Deal, May::SentText, May::Export, May::Quarantine, May::Subjects, May::ToldOfDanger]);
    }
}
