//! What pages say of how long things are kept, and of a removal that is announced or held.

use super::Site;
use super::uk_time;
use crate::store::{Due, Keep, Removals, Sort};

/// Under the lists.
#[derive(Default)]
pub(super) struct Keeping {
    /// How long what is kept.
    pub(super) words: Option<String>,
    /// What everybody should know beforehand.
    pub(super) notices: Vec<String>,
}

impl Keeping {
    pub(super) fn of(site: &Site) -> Keeping {
        let mut notices: Vec<String> = trouble(site).map(str::to_owned).into_iter().collect();
        let Some(removals) = site.store.removals() else { return Keeping { words: None, notices } };
        notices.extend(Sort::ALL.into_iter().filter_map(|sort| notice(&removals, sort)));
        Keeping { words: Some(words(&removals)), notices }
    }
}

/// Why what GOV.UK Notify sends is not kept at the moment.
fn trouble(site: &Site) -> Option<&'static str> {
    if site.store.is_log_too_long() {
        return Some(
            "New receipts and messages are not kept at the moment, because nothing can be saved. Tell the people who look after \
             the service now: its log says what to do.",
        );
    }
    site.store.is_disk_full().then_some(
        "New receipts and messages are not kept at the moment, because the disk is full. Tell the people who look after the \
         service now: its log says what to do.",
    )
}

fn words(removals: &Removals) -> String {
    let (receipts, messages) = (time(removals.retention.receipts), time(removals.retention.messages));
    if receipts == messages {
        return format!("Receipts and received texts are kept {receipts}.");
    }
    format!("Receipts are kept {receipts}. Received texts are kept {messages}.")
}

fn time(keep: Keep) -> String {
    match keep {
        Keep::Days(1) => "for 1 day".into(),
        Keep::Days(days) => format!("for {days} days"),
        Keep::Forever => "forever".into(),
    }
}

fn notice(removals: &Removals, sort: Sort) -> Option<String> {
    let what = match sort {
        Sort::Receipts => "receipts",
        Sort::Messages => "received texts",
    };
    let Keep::Days(days) = removals.retention.of(sort) else { return None };
    match removals.of(sort) {
        Due::From(at) => {
            let from = uk_time::words(at);
            Some(format!(
                "Old {what} will be removed for good from {from}: those that arrived more than {days} days ago."
            ))
        }
        Due::Held { .. } => Some(format!(
            "Old {what} are not being removed, because too many would go at once. Tell the people who look after the service: \
             the log says what to do."
        )),
        Due::Nothing | Due::Before(_) => None,
    }
}
