//! A conversation or a list on one page, to be printed: as much as fits on it, and the page says whether that is all.

use super::plain_text::grouped;
use super::problem::Problem;
use super::request::Words;
use super::{Site, take_along};
use crate::access::Caseworker;
use crate::store::{Conversation, Cursor, Find, Found, StoreError};

/// Messages of a conversation, or rows of a list, on one page.
const MOST: usize = 2000;
/// Reads for a list that few rows are found for.
const READS: usize = 50;

/// Puts what came earlier before the newest page of a conversation.
pub(super) async fn conversation(
    site: &Site,
    caseworker: &Caseworker,
    opaque: &str,
    found: &mut Conversation,
) -> Result<(), StoreError> {
    while let Some(before) = found.earlier.filter(|_| found.items.len() < MOST) {
        let page = site.store.conversation(caseworker.sees(), opaque, Some(before), take_along::looker()).await?;
        let Some(mut page) = page else { break };
        page.items.append(&mut found.items);
        found.items = page.items;
        found.flags.extend(page.flags);
        found.earlier = page.earlier;
    }
    Ok(())
}

/// What a list holds from its beginning on. It counts as a file that somebody saves.
pub(super) async fn list(site: &Site, caseworker: &Caseworker, mut find: Find) -> Result<Found, Problem> {
    let (mut rows, mut more) = (Vec::new(), true);
    for _ in 0..READS {
        let found = site.store.find_onward(caseworker.sees(), find.clone()).await?;
        rows.extend(found.rows);
        find.from = found.next.map(Cursor::After);
        more = find.from.is_some() || rows.len() > MOST;
        if find.from.is_none() || rows.len() >= MOST {
            break;
        }
    }
    rows.truncate(MOST);
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    Ok(Found { conversations: vec![None; rows.len()], rows, count, more, ..Found::default() })
}

/// What the page says of how much it shows, of `what`, from the first or the newest on.
pub(super) fn said(shown: usize, more: bool, first: &str, what: &str) -> String {
    let shown = grouped(i64::try_from(shown).unwrap_or(i64::MAX));
    if more {
        format!("The {first} {shown} {what} are on this page. There may be more.")
    } else {
        format!("All {shown} {what} are on this page.")
    }
}

/// The same page with all of it.
pub(super) fn link(page: &str) -> String {
    let joint = if page.contains('?') { '&' } else { '?' };
    format!("{page}{joint}print=yes")
}

/// Whether it is asked for.
pub(super) fn is_asked(query: &Words) -> bool {
    query.get("print").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_whether_all_of_it_is_there() {
        assert_eq!(said(312, false, "newest", "messages"), "All 312 messages are on this page.");
        assert_eq!(
            said(2000, true, "first", "results"),
            "The first 2,000 results are on this page. There may be more."
        );
        assert_eq!(link("/receipts?kind=email"), "/receipts?kind=email&print=yes");
        assert_eq!(link("/messages/x"), "/messages/x?print=yes");
    }
}
