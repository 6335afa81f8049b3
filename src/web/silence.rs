//! The notice that callbacks have stopped coming, for managers: until one comes again.

use super::Site;
use super::plain_text::grouped;
use super::results::{Moment, at};
use crate::access::{Caseworker, May};
use crate::store::StoreError;

/// A service of which nothing comes, where as a rule much does.
pub(super) struct SilenceNotice {
    pub(super) service: String,
    pub(super) since: Moment,
    pub(super) usual: String,
}

/// What this person is to be told, if anything.
pub(super) async fn notices(site: &Site, caseworker: &Caseworker) -> Result<Vec<SilenceNotice>, StoreError> {
    if !caseworker.may(May::Quarantine) {
        return Ok(Vec::new());
    }
    let silences = site.store.silences(caseworker.sees()).await?;
    let notice = silences.into_iter().map(|silence| SilenceNotice {
        service: silence.service_name,
        since: at(silence.since),
        usual: grouped(silence.usual),
    });
    Ok(notice.collect())
}
