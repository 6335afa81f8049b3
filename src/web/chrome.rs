//! What surrounds every page: the navigation, the search box, who is signed in.

use std::sync::Arc;

use super::owner::Owner;
use super::results::Moment;
use super::{assets, results};
use crate::access::{Caseworker, Left, May};
use crate::store::{SignInBefore, UNREAD_COUNTED};

/// The part of the service that a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Here {
    /// Results and receipts.
    Receipts,
    /// The inbox and conversations.
    Messages,
    /// Contacts to check.
    Contacts,
    /// What could not be understood.
    Quarantine,
    /// What is held on one person.
    Subjects,
    /// What received texts are flagged by.
    Flags,
    /// What templates are called.
    Templates,
    /// What holds for everybody.
    Settings,
    /// Who may sign in.
    People,
    /// Callback tokens.
    Tokens,
    /// The record of who saw what.
    Audit,
    /// Alarms.
    Alarms,
    /// Whether all is well.
    Status,
    /// None of these.
    Nowhere,
}

/// What the layout reads.
pub(super) struct Chrome {
    /// Whose service it is.
    pub(super) owner: Arc<Owner>,
    pub(super) person: Option<NavPerson>,
    /// What was typed into the search box, shown back.
    pub(super) search: String,
    /// What is wrong with it.
    pub(super) search_error: Option<String>,
    /// On the first page of a session: the sign-in before.
    pub(super) sign_in_before: Option<Before>,
    /// What an admin has everybody read.
    pub(super) notice: Option<String>,
}

/// What stands in a page that tells of the sign-in before, and in no other: a text has no such quotation marks.
pub(super) const TELLS_OF_SIGN_IN_BEFORE: &str = "id=\"sign-in-before\"";

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
    /// Where this person may go.
    pub(super) menu: Vec<MenuItem>,
    /// How long the session goes on.
    pub(super) left: Left,
}

/// One place in the menu.
pub(super) struct MenuItem {
    pub(super) href: &'static str,
    pub(super) words: &'static str,
    pub(super) is_here: bool,
    /// Whether its count is of what is unread, which the script keeps up to date.
    pub(super) is_inbox: bool,
    /// How many there are to look at.
    pub(super) count: Option<Count>,
}

/// How many there are of something.
pub(super) struct Count {
    pub(super) number: String,
    /// Of what, for whoever does not see where the number stands.
    pub(super) words: &'static str,
}

impl Count {
    fn of(place: Here, person: &Caseworker) -> Option<Count> {
        match place {
            Here::Alarms => {
                let alarms = person.alarms();
                (alarms > 0).then(|| Count { number: alarms.to_string(), words: "to look at" })
            }
            Here::Messages => unread(person).map(|number| Count { number, words: "unread" }),
            _ => None,
        }
    }
}

/// How many conversations are unread, as the menu says it; `None` where none are.
pub(super) fn unread(person: &Caseworker) -> Option<String> {
    let count = person.unread();
    let number = if count < UNREAD_COUNTED { count.to_string() } else { format!("{}+", UNREAD_COUNTED - 1) };
    (count > 0).then_some(number)
}

/// A place that the menu may lead to.
struct Place {
    here: Here,
    href: &'static str,
    words: &'static str,
    /// What one must be allowed to see it.
    needs: Option<May>,
}

const fn place(here: Here, href: &'static str, words: &'static str, needs: Option<May>) -> Place {
    Place { here, href, words, needs }
}

/// The menu, in its order.
const MENU: [Place; 13] = [
    place(Here::Receipts, "/receipts", "Receipts", None),
    place(Here::Messages, "/messages", "Received texts", None),
    place(Here::Contacts, "/contacts", "Contacts to check", None),
    place(Here::Quarantine, "/quarantine", "Quarantine", Some(May::Quarantine)),
    place(Here::Subjects, "/subjects", "Personal data", Some(May::Subjects)),
    place(Here::Flags, "/flags", "Flags", Some(May::Flags)),
    place(Here::Audit, "/audit", "Record", Some(May::Record)),
    place(Here::People, "/people", "People", Some(May::People)),
    place(Here::Tokens, "/tokens", "Tokens", Some(May::Tokens)),
    place(Here::Templates, "/templates", "Templates", Some(May::Settings)),
    place(Here::Settings, "/settings", "Settings", Some(May::Settings)),
    place(Here::Alarms, "/alarms", "Alarms", Some(May::Alarms)),
    place(Here::Status, "/status", "Status", Some(May::Alarms)),
];

impl Place {
    fn shown_to(&self, person: &Caseworker, here: Here) -> Option<MenuItem> {
        self.needs.is_none_or(|needs| person.may(needs)).then(|| MenuItem {
            href: self.href,
            words: self.words,
            is_here: self.here == here,
            is_inbox: self.here == Here::Messages,
            count: Count::of(self.here, person),
        })
    }
}

impl Chrome {
    pub(super) fn new(owner: &Arc<Owner>, person: Option<&Caseworker>, here: Here) -> Chrome {
        let sign_in_before = person.and_then(Caseworker::sign_in_before).map(Before::of);
        let notice = person.and_then(Caseworker::notice).map(str::to_owned);
        let person = person.map(|person| NavPerson {
            email: person.email().to_owned(),
            menu: MENU.iter().filter_map(|item| item.shown_to(person, here)).collect(),
            left: person.left(),
        });
        Chrome { owner: owner.clone(), person, search: String::new(), search_error: None, sign_in_before, notice }
    }

    pub(super) fn with_search(self, search: &str) -> Chrome {
        Chrome { search: search.to_owned(), ..self }
    }

    pub(super) fn service_name(&self) -> &str {
        self.owner.name()
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
