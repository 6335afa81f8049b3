//! What surrounds every page: the navigation, the search box, who is signed in.

use super::results::Moment;
use super::{assets, results};
use crate::access::{Caseworker, Left, May};
use crate::store::SignInBefore;

/// The part of the service that a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Here {
    /// Results and receipts.
    Receipts,
    /// The inbox and conversations.
    Messages,
    /// What could not be understood.
    Quarantine,
    /// What is held on one person.
    Subjects,
    /// The record of who saw what.
    Audit,
    /// Alarms.
    Alarms,
    /// None of these.
    Nowhere,
}

/// What the layout reads.
pub(super) struct Chrome {
    pub(super) person: Option<NavPerson>,
    pub(super) here: Here,
    /// What was typed into the search box, shown back.
    pub(super) search: String,
    /// What is wrong with it.
    pub(super) search_error: Option<String>,
    /// On the first page of a session: the sign-in before.
    pub(super) sign_in_before: Option<Before>,
}

/// A sign-in before, in words.
pub(super) struct Before {
    pub(super) when: Moment,
    pub(super) source: Option<String>,
    /// "3 tries with your address failed since."; empty where none did.
    pub(super) failed: String,
}

impl Before {
    fn of(before: &SignInBefore) -> Before {
        let failed = match before.failed_since {
            0 => String::new(),
            1 => "1 try with your address failed since.".into(),
            tries => format!("{tries} tries with your address failed since."),
        };
        Before { when: results::at(before.at), source: before.source.clone(), failed }
    }
}

/// Who is signed in, for the navigation.
pub(super) struct NavPerson {
    pub(super) email: String,
    pub(super) sees_quarantine: bool,
    pub(super) sees_subjects: bool,
    pub(super) sees_record: bool,
    /// How many alarms stand, for who may look at them.
    pub(super) alarms: Option<i64>,
    /// How long the session goes on.
    pub(super) left: Left,
}

impl Chrome {
    pub(super) fn new(person: Option<&Caseworker>, here: Here) -> Chrome {
        let sign_in_before = person.and_then(Caseworker::sign_in_before).map(Before::of);
        let person = person.map(|person| NavPerson {
            email: person.email().to_owned(),
            sees_quarantine: person.may(May::Quarantine),
            sees_subjects: person.may(May::Subjects),
            sees_record: person.may(May::Record),
            alarms: person.may(May::Alarms).then(|| person.alarms()),
            left: person.left(),
        });
        Chrome { person, here, search: String::new(), search_error: None, sign_in_before }
    }

    pub(super) fn with_search(self, search: &str) -> Chrome {
        Chrome { search: search.to_owned(), ..self }
    }

    pub(super) fn is_here(&self, name: &str) -> bool {
        let here = match self.here {
            Here::Receipts => "receipts",
            Here::Messages => "messages",
            Here::Quarantine => "quarantine",
            Here::Subjects => "subjects",
            Here::Audit => "audit",
            Here::Alarms => "alarms",
            Here::Nowhere => "",
        };
        here == name
    }

    #[expect(clippy::unused_self, reason = "the template asks its chrome")]
    pub(super) fn service_name(&self) -> &'static str {
        "Counterfoil"
    }

    #[expect(clippy::unused_self, reason = "the template asks its chrome")]
    pub(super) fn css_url(&self) -> &'static str {
        assets::CSS_URL
    }

    #[expect(clippy::unused_self, reason = "the template asks its chrome")]
    pub(super) fn js_url(&self) -> &'static str {
        assets::JS_URL
    }

    #[expect(clippy::unused_self, reason = "the template asks its chrome")]
    pub(super) fn icon_url(&self) -> &'static str {
        assets::ICON_URL
    }

    #[expect(clippy::unused_self, reason = "the template asks its chrome")]
    pub(super) fn inline_script(&self) -> &'static str {
        assets::INLINE_SCRIPT
    }
}
