//! The one place that says what each role may do.

use crate::store::Role;

/// What needs more than to be signed in. To search and to read is everybody's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum May {
    /// Deal with what was received: take it, mark it, write notes.
    Deal,
    /// Take lists and texts away as a file.
    Export,
    /// See what could not be understood, and have it read again.
    Quarantine,
    /// See the record of who saw and changed what.
    Record,
    /// Export, hold, redact and erase what is held on one person.
    Subjects,
    /// Invite people, change what they may do, end their sessions.
    People,
    /// Make, rotate and revoke callback tokens.
    Tokens,
    /// Change what holds for everybody.
    Settings,
}

impl May {
    /// Everything that there is to be allowed.
    pub const ALL: [May; 8] =
        [May::Deal, May::Export, May::Quarantine, May::Record, May::Subjects, May::People, May::Tokens, May::Settings];

    /// The role that may do least of those that may do this.
    fn least(self) -> Role {
        match self {
            May::Deal => Role::Caseworker,
            May::Export | May::Quarantine | May::Record | May::Subjects => Role::Manager,
            May::People | May::Tokens | May::Settings => Role::Admin,
        }
    }

    /// Whether a role may do it. Each role may do what those below it may.
    #[must_use]
    pub fn is_given_to(self, role: Role) -> bool {
        role >= self.least()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_it_is_there_for() {
        let allowed = |role| May::ALL.into_iter().filter(|may| may.is_given_to(role)).collect::<Vec<_>>();
        assert_eq!(allowed(Role::Viewer), []);
        assert_eq!(allowed(Role::Caseworker), [May::Deal]);
        assert_eq!(allowed(Role::Manager), [May::Deal, May::Export, May::Quarantine, May::Record, May::Subjects]);
        assert_eq!(allowed(Role::Admin), May::ALL);
    }
}
