//! What the owner of a server says on its pages: what the service is called, where its users get help, and how accessible it is.

use std::str::FromStr;

/// What the service is called where its owner gives it no name of its own.
pub(super) const PRODUCT: &str = "Counterfoil";
/// A longer name does not fit beside the menu.
const LONGEST_NAME: usize = 60;
/// A longer line is no line.
const LONGEST_CONTACT: usize = 200;

/// What the owner of a server says on every page.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Owner {
    /// The service's own name.
    pub service_name: Option<ServiceName>,
    /// Where to get help.
    pub help: Option<HelpContact>,
    /// How accessible it is.
    pub statement: Option<Statement>,
}

impl Owner {
    /// What the service is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.service_name.as_ref().map_or(PRODUCT, |name| &name.0)
    }

    /// What stands behind it, where it has a name of its own.
    pub(super) fn product(&self) -> Option<&'static str> {
        (self.name() != PRODUCT).then_some(PRODUCT)
    }
}

/// A name for the service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceName(String);

/// It is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("write a name of at most {LONGEST_NAME} characters on one line")]
pub struct WrongServiceName;

impl FromStr for ServiceName {
    type Err = WrongServiceName;

    fn from_str(typed: &str) -> Result<ServiceName, WrongServiceName> {
        line(typed, LONGEST_NAME).map(ServiceName).ok_or(WrongServiceName)
    }
}

/// Where to get help: a line of text, which leads somewhere if it is an email address or a web address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HelpContact {
    pub(super) words: String,
    pub(super) href: Option<String>,
}

/// It is no line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "write an email address, a web address, or a line of at most {LONGEST_CONTACT} characters that says where to get help"
)]
pub struct WrongHelpContact;

impl FromStr for HelpContact {
    type Err = WrongHelpContact;

    fn from_str(typed: &str) -> Result<HelpContact, WrongHelpContact> {
        let words = line(typed, LONGEST_CONTACT).ok_or(WrongHelpContact)?;
        let href = if is_web_address(&words) {
            Some(words.clone())
        } else {
            is_email_address(&words).then(|| format!("mailto:{words}"))
        };
        Ok(HelpContact { words, href })
    }
}

fn line(typed: &str, longest: usize) -> Option<String> {
    let line = typed.trim();
    let is_one = !line.is_empty() && line.chars().count() <= longest && !line.chars().any(char::is_control);
    is_one.then(|| line.to_owned())
}

/// A name or password before the server's name would stand on every page.
fn is_web_address(text: &str) -> bool {
    let uri = text.parse::<http::Uri>().ok();
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http"))
            && uri.authority().is_some_and(|server| !server.host().is_empty() && !server.as_str().contains('@'))
    })
}

/// One that a link can hold as it is.
fn is_email_address(text: &str) -> bool {
    let fits = |part: &str| {
        !part.is_empty()
            && part.chars().all(|character| character.is_ascii_alphanumeric() || ".-_+'".contains(character))
    };
    text.split_once('@').is_some_and(|(name, server)| fits(name) && fits(server) && server.contains('.'))
}

/// An accessibility statement, in paragraphs of lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    pub(super) paragraphs: Vec<String>,
}

/// It says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it holds no text")]
pub struct EmptyStatement;

impl FromStr for Statement {
    type Err = EmptyStatement;

    fn from_str(text: &str) -> Result<Statement, EmptyStatement> {
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        let mut paragraphs = vec![String::new()];
        for line in text.lines().map(str::trim) {
            match paragraphs.last_mut() {
                Some(last) if !line.is_empty() && last.is_empty() => last.push_str(line),
                Some(last) if !line.is_empty() => {
                    last.push('\n');
                    last.push_str(line);
                }
                _ => paragraphs.push(String::new()),
            }
        }
        paragraphs.retain(|paragraph| !paragraph.is_empty());
        if paragraphs.is_empty() { Err(EmptyStatement) } else { Ok(Statement { paragraphs }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_leads_somewhere_where_it_is_an_address() {
        let href = |typed: &str| typed.parse::<HelpContact>().unwrap().href;
        assert_eq!(href(" help@council.example ").as_deref(), Some("mailto:help@council.example"));
        assert_eq!(href("https://intranet.example/help?a=b").as_deref(), Some("https://intranet.example/help?a=b"));
        for text in [
            "Call the service desk on extension 4321",
            "javascript:alert(1)",
            "https://me:secret@council.example/",
            "help@council.example?bcc=me@else.example",
            "service desk, help@council.example",
        ] {
            assert_eq!(href(text), None, "{text}");
        }
        for wrong in ["", "  ", "two\nlines", &"x".repeat(201)] {
            assert_eq!(wrong.parse::<HelpContact>(), Err(WrongHelpContact), "{wrong}");
        }
    }

    #[test]
    fn a_statement_has_paragraphs_and_says_something() {
        let statement: Statement = "\u{feff}One\r\n two \r\n\r\n \r\n\r\nThree\r\n".parse().unwrap();
        assert_eq!(statement.paragraphs, ["One\ntwo", "Three"]);
        assert_eq!(" \n\n".parse::<Statement>(), Err(EmptyStatement));
    }

    #[test]
    fn a_name_is_one_line_that_fits() {
        let owner = Owner { service_name: " Message receipts ".parse().ok(), ..Owner::default() };
        assert_eq!((owner.name(), owner.product()), ("Message receipts", Some(PRODUCT)));
        assert_eq!((Owner::default().name(), Owner::default().product()), (PRODUCT, None));
        assert!("".parse::<ServiceName>().is_err() && "x".repeat(61).parse::<ServiceName>().is_err());
    }
}
