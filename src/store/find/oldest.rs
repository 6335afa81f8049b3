//! How far back the store goes.

use crate::notify::Kind;
use crate::store::index::{Facets, Index, Wanted, Way};
use crate::store::{Services, Store, StoreError, row};

impl Store {
    /// When the oldest receipt that may be seen came.
    ///
    /// # Errors
    /// When the read fails or takes too long.
    pub async fn oldest_receipt(&self, sees: &Services) -> Result<Option<i64>, StoreError> {
        let sees = sees.clone();
        self.look(move |index| oldest(index, &sees)).await
    }
}

fn oldest(index: &Index<'_>, sees: &Services) -> rusqlite::Result<Option<i64>> {
    let facets = Facets::of(sees).of_kinds(vec![Kind::DeliveryReceipt]);
    let mut arrivals = index.arrivals(Wanted::All, facets, Way::OldestFirst, i64::MIN);
    while let Some(arrival) = arrivals.next()? {
        // The index may lead to what is gone.
        if let Some((_, came)) = row::came_from(index.connection, arrival)?.filter(|(found, _)| *found == arrival) {
            return Ok(Some(came));
        }
    }
    Ok(None)
}
