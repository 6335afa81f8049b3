//! Results for a file: all of them, as many at a time as one short read gives, and without a count.

use super::looking::Looking;
use super::{Find, Place, bound_within};
use crate::notify::Content;
use crate::store::index::{Index, Way};
use crate::store::row::{self, Kept};
use crate::store::{Services, Store, StoreError};

/// Rows of one read.
const AT_ONCE: usize = 200;
/// Bytes of texts of one read, so that long ones cost no more memory.
const BYTES_AT_ONCE: usize = 256 * 1024;

/// Some results, newest first in each source.
#[derive(Default, Debug)]
pub struct Onward {
    /// The rows; none where reading through found nothing in its time.
    pub rows: Vec<Kept>,
    /// Where to go on, until there is nothing more.
    pub next: Option<Place>,
}

impl Store {
    /// Some of what was asked for, from a place on.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn find_onward(&self, sees: &Services, find: Find) -> Result<Onward, StoreError> {
        let sees = sees.clone();
        self.look(move |index| onward(index, &sees, &find)).await
    }
}

fn onward(index: &Index<'_>, sees: &Services, find: &Find) -> rusqlite::Result<Onward> {
    let connection = index.connection;
    let sees = &find.only.seen(sees);
    let arrivals = find.only.arrivals(connection)?;
    let (mut found, mut bytes) = (Onward::default(), 0);
    if let Some(template) = &find.only.template
        && row::template_number(connection, template)?.is_none()
    {
        return Ok(found);
    }
    for source in 0..find.sources.len() {
        let Some(bound) = bound_within(find.from, source) else { continue };
        let Some(mut looking) = Looking::new(index, sees, find, source, Way::NewestFirst, arrivals, bound) else {
            continue;
        };
        while let Some(kept) = looking.next()? {
            let arrival = kept.arrival;
            bytes += length(&kept);
            found.rows.push(kept);
            if found.rows.len() == AT_ONCE || bytes >= BYTES_AT_ONCE {
                return Ok(Onward { next: Some(Place { source, arrival }), ..found });
            }
        }
        if let Some((arrival, _)) = looking.stopped_at()? {
            return Ok(Onward { next: Some(Place { source, arrival }), ..found });
        }
    }
    Ok(found)
}

/// How long a received text is.
fn length(kept: &Kept) -> usize {
    match &kept.callback.content {
        Content::ReceivedText(text) => text.message.as_ref().map_or(0, String::len),
        _ => 0,
    }
}
