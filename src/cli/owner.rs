//! What the owner of a server says on its pages.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::without::Without;
use crate::web::{HelpContact, Owner, ServiceName};

/// The flags of `serve`.
#[derive(Args, Debug)]
pub(super) struct Says {
    /// What the service is called on its pages, in place of Counterfoil
    #[arg(long, value_name = "NAME", env = "COUNTERFOIL_SERVICE_NAME")]
    service_name: Option<ServiceName>,
    /// Where people get help: an email address, a web address or a line of text. It stands at the foot of every page, and on pages that
    /// say what went wrong
    #[arg(long, value_name = "TEXT", env = "COUNTERFOIL_HELP_CONTACT")]
    help_contact: Option<HelpContact>,
    /// Your accessibility statement: a file of plain text, with an empty line between paragraphs. It is read at the start
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_ACCESSIBILITY_STATEMENT")]
    accessibility_statement: Option<PathBuf>,
}

impl Says {
    pub(super) fn read(self, without: &mut Without) -> Owner {
        let Says { service_name, help_contact: help, accessibility_statement } = self;
        let read = |file: PathBuf| {
            let failed = |what: &str| {
                Failure::new(format!(
                    "{}: {what}. Name a file of plain text with --accessibility-statement, or leave it out",
                    file.display()
                ))
            };
            let text = fs::read_to_string(&file)
                .map_err(|error| failed(&format!("the accessibility statement cannot be read: {error}")))?;
            text.parse().map_err(|error| failed(&format!("the accessibility statement cannot be shown: {error}")))
        };
        let statement = accessibility_statement.map(read);
        let statement = statement.and_then(|read| without.try_with("--accessibility-statement", read));
        Owner { service_name, help, statement }
    }
}
