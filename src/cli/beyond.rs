//! What pages lead to and whom they ask beyond this server.

use std::path::PathBuf;

use clap::Args;

use super::backfill::{NOTIFY, source};
use super::serve::name_and_file;
use super::unsaid::unsaid;
use super::without::Without;
use crate::asking::{Asking, ServiceKey};
use crate::web::{Beyond, CaseUrl, NOTIFY_PAGES};

/// The flags of `serve`.
#[derive(Args, Debug)]
pub(super) struct Leads {
    /// Where the case system has a case, with {reference} in the place of its reference, such as
    /// <https://cases.example.gov.uk/cases/{reference}>. References on a message’s page lead there
    #[arg(long, value_name = "URL", env = "COUNTERFOIL_CASE_URL")]
    case_url: Option<CaseUrl>,
    /// The address of Notify’s own pages, where texts are answered
    #[arg(
        long,
        value_name = "URL",
        value_parser = super::public_url,
        default_value = NOTIFY_PAGES,
        env = "COUNTERFOIL_NOTIFY_PAGES_URL"
    )]
    notify_pages_url: String,
    /// Let people see what a message said and what its template is called, and ask Notify for one that is not here: the service’s name
    /// and the file of its API key. May be given several times
    #[arg(
        long,
        value_name = "NAME=KEYFILE",
        value_parser = unsaid(name_and_file),
        value_delimiter = ';',
        env = "COUNTERFOIL_NOTIFY_API"
    )]
    notify_api: Vec<(String, PathBuf)>,
    /// The address of Notify’s API, for --notify-api
    #[arg(
        long,
        value_name = "URL",
        value_parser = super::public_url,
        default_value = NOTIFY,
        env = "COUNTERFOIL_NOTIFY_API_URL"
    )]
    notify_api_url: String,
}

impl Leads {
    pub(super) fn read(self, without: &mut Without) -> Beyond {
        let Leads { case_url, notify_pages_url, notify_api, notify_api_url } = self;
        let key = |(name, file): (String, PathBuf)| {
            let source = without.try_with("--notify-api", source(&file, &notify_api_url))?;
            Some(ServiceKey { name, key: source.key, server: source.server })
        };
        let keys = notify_api.into_iter().filter_map(key).collect();
        Beyond { case_url, notify_pages: notify_pages_url, asking: Asking::new(keys) }
    }
}
