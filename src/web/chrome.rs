//! What surrounds every page: the navigation, the search box, who is signed in.

use super::assets;
use crate::access::{Caseworker, May};

/// The part of the service that a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Here {
    /// Results and receipts.
    Receipts,
    /// The inbox and conversations.
    Messages,
    /// What could not be understood.
    Quarantine,
    /// Who may sign in.
    People,
    /// Callback tokens.
    Tokens,
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
}

/// Who is signed in, for the navigation.
pub(super) struct NavPerson {
    pub(super) email: String,
    pub(super) sees_quarantine: bool,
    /// Whether this person may change people and tokens.
    pub(super) lets_in: bool,
    pub(super) sees_record: bool,
    /// How many alarms stand, for who may look at them.
    pub(super) alarms: Option<i64>,
}

impl Chrome {
    pub(super) fn new(person: Option<&Caseworker>, here: Here) -> Chrome {
        let person = person.map(|person| NavPerson {
            email: person.email().to_owned(),
            sees_quarantine: person.may(May::Quarantine),
            lets_in: person.may(May::People) && person.may(May::Tokens),
            sees_record: person.may(May::Record),
            alarms: person.may(May::Alarms).then(|| person.alarms()),
        });
        Chrome { person, here, search: String::new(), search_error: None }
    }

    pub(super) fn with_search(self, search: &str) -> Chrome {
        Chrome { search: search.to_owned(), ..self }
    }

    pub(super) fn is_here(&self, name: &str) -> bool {
        let here = match self.here {
            Here::Receipts => "receipts",
            Here::Messages => "messages",
            Here::Quarantine => "quarantine",
            Here::People => "people",
            Here::Tokens => "tokens",
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
