//! The page that asks once more before something is done, and what a form gets wrong.

use askama::Template;

use super::back::Back;
use super::chrome::Chrome;

/// Something is wrong with a field of a form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    /// The field's id, which the summary leads to.
    pub(super) field: &'static str,
    /// What is wrong and what to do.
    pub(super) words: String,
}

impl Fault {
    pub(super) fn new(field: &'static str, words: impl Into<String>) -> Fault {
        Fault { field, words: words.into() }
    }
}

/// Everything that is wrong with a form, for its page.
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn all(&self) -> &[Fault] {
        &self.0
    }

    /// What is wrong with one field.
    pub(super) fn at(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|fault| fault.field == field).map(|fault| fault.words.as_str())
    }
}

impl From<Vec<Fault>> for Faults {
    fn from(faults: Vec<Fault>) -> Faults {
        Faults(faults)
    }
}

impl From<Option<Fault>> for Faults {
    fn from(fault: Option<Fault>) -> Faults {
        Faults(fault.into_iter().collect())
    }
}

/// Asks whether to do it. Its form is sent to the page's own address.
#[derive(Template)]
#[template(path = "confirm.html")]
pub(super) struct ConfirmPage {
    pub(super) chrome: Chrome,
    pub(super) back: Back,
    pub(super) heading: String,
    pub(super) paragraphs: Vec<String>,
    /// Why it is not done.
    pub(super) error: Option<String>,
    /// Whose password is asked for, by their address.
    pub(super) password_of: Option<String>,
    pub(super) action: String,
    pub(super) button: &'static str,
    /// Whether it cuts somebody off.
    pub(super) cuts_off: bool,
    /// What goes along with the form.
    pub(super) hidden: Option<(&'static str, i64)>,
}

impl ConfirmPage {
    /// Where the summary of what is wrong leads to.
    fn faulty(&self) -> &'static str {
        if self.password_of.is_some() { "password" } else { "send" }
    }
}
