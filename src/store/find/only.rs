//! What results are narrowed to, wherever they are looked for.

use rusqlite::Connection;

use super::Source;
use crate::notify::filter::{Filter, has_failed};
use crate::notify::medium::Medium;
use crate::notify::status::Status;
use crate::notify::{Content, Kind};
use crate::store::index::Facets;
use crate::store::row::{self, Kept};
use crate::store::{ServiceId, Services};

/// Only what meets all of this.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Only {
    /// With this status.
    pub status: Option<Filter>,
    /// About this.
    pub medium: Option<Medium>,
    /// Whether only what failed.
    pub failed: bool,
    /// Of this service.
    pub service: Option<ServiceId>,
    /// Made from the template with this id of Notify's.
    pub template: Option<String>,
    /// What arrived at this moment or later.
    pub since: Option<i64>,
    /// What arrived before this moment.
    pub until: Option<i64>,
}

impl Only {
    /// Whose callbacks may be seen and are asked for.
    pub(super) fn seen(&self, sees: &Services) -> Services {
        match self.service {
            None => sees.clone(),
            Some(service) if sees.allow(service) => Services::Only(vec![service]),
            Some(_) => Services::Only(Vec::new()),
        }
    }

    /// What the index is asked for. Received texts are no part of the newest, but where they are asked for.
    pub(super) fn facets(&self, source: &Source, sees: &Services) -> Facets {
        let mut facets = Facets::of(sees);
        if let Some(status) = self.status {
            facets = facets.meeting(status);
        }
        if self.failed {
            facets = facets.failed();
        }
        match self.medium {
            Some(medium) => facets.about(medium),
            None if *source == Source::Newest && self.status.is_none() => {
                facets.of_kinds(Kind::ALL.into_iter().filter(|kind| *kind != Kind::ReceivedText).collect())
            }
            None => facets,
        }
    }

    /// Whether nothing but a moment or a template is asked for, so that of the rows themselves most meet it.
    pub(super) fn is_of_most(&self, sees: &Services) -> bool {
        *sees == Services::All && self.status.is_none() && self.medium.is_none() && !self.failed
    }

    /// Whether a row meets it, but for its moment.
    pub(super) fn is_met_by(&self, source: &Source, kept: &Kept) -> bool {
        let kind = kept.callback.kind();
        let sent = match &kept.callback.content {
            Content::DeliveryReceipt(receipt) => receipt.notification_type.as_deref(),
            _ => None,
        };
        let medium = Medium::of_callback(kind, sent);
        self.status.is_none_or(|filter| kept.filter() == Some(filter))
            && self.medium.is_none_or(|wanted| medium == Some(wanted))
            && (!self.failed || failed(kept))
            && self.template.as_ref().is_none_or(|wanted| template(kept) == Some(wanted))
            && (*source != Source::Newest || self.medium.is_some() || kind != Kind::ReceivedText)
    }

    /// The first and the last arrival of its time: arrivals are in the order of their moments, but for clocks that were set back.
    pub(in crate::store) fn arrivals(&self, connection: &Connection) -> rusqlite::Result<(i64, i64)> {
        let first = |at: Option<i64>| at.map(|at| first_since(connection, at)).transpose();
        Ok((first(self.since)?.unwrap_or(i64::MIN), first(self.until)?.map_or(i64::MAX, |past| past - 1)))
    }
}

fn failed(kept: &Kept) -> bool {
    match &kept.callback.content {
        Content::DeliveryReceipt(receipt) => has_failed(Kind::DeliveryReceipt, &receipt.status),
        _ => has_failed(kept.callback.kind(), &Status::Other(String::new())),
    }
}

fn template(kept: &Kept) -> Option<&String> {
    match &kept.callback.content {
        Content::DeliveryReceipt(receipt) => receipt.template_id.as_ref(),
        Content::ReturnedLetter(letter) => letter.template_id.as_ref(),
        Content::ReceivedText(_) | Content::Complaint(_) => None,
    }
}

/// The first arrival that came at a moment or later; past all of them where none did.
fn first_since(connection: &Connection, at: i64) -> rusqlite::Result<i64> {
    let ends = "SELECT (SELECT coalesce(min(arrival), 1) FROM callbacks), (SELECT coalesce(max(arrival), 0) + 1 FROM callbacks)";
    let (mut least, mut past): (i64, i64) =
        connection.prepare_cached(ends)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    while least < past {
        let middle = least + (past - least) / 2;
        match row::came_from(connection, middle)? {
            Some((arrival, came)) if came < at => least = arrival + 1,
            _ => past = middle,
        }
    }
    Ok(least)
}
