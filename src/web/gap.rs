//! The notice that callbacks may have been missed, for managers: until they have been read back, or Notify no longer has them.

use super::Site;
use super::results::{Moment, at};
use crate::access::{Caseworker, May};
use crate::clock::{self, DAY};
use crate::store::StoreError;

/// Notify keeps messages for 7 days, unless the service has set another time.
const NOTIFY_KEEPS: i64 = 7 * DAY;

/// A time in which callbacks may have been missed.
pub(super) struct GapNotice {
    pub(super) from: Moment,
    pub(super) until: Moment,
}

/// What this person is to be told, if anything.
pub(super) async fn notice(site: &Site, caseworker: &Caseworker) -> Result<Option<GapNotice>, StoreError> {
    if !caseworker.may(May::Quarantine) {
        return Ok(None);
    }
    let now = clock::now();
    let gap = site.store.open_gap(caseworker.sees(), now - NOTIFY_KEEPS, now).await?;
    Ok(gap.map(|gap| GapNotice { from: at(gap.began_at), until: at(gap.ended_at) }))
}
