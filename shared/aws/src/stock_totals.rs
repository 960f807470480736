//! Adding up the stock: every partition of index `listed` is walked at once, and its items are read in batches.
//!
//! An item counts as it is when it is read. An item that changes meanwhile counts as it was before or is after the
//! change, never as half of it (docs/decisions/0016-stock-totals.md).

use futures::future::try_join_all;
use trackops_domain::stock::StockItem;
use trackops_domain::totals::Totals;

use crate::aggregate::{BATCH, SHARDS};
use crate::error::StoreError;
use crate::inventory::Inventory;
use crate::inventory_list::{List, entries};

impl Inventory {
    /// A large catalogue takes long; the caller sets the time limit.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        let partitions = try_join_all((0..SHARDS).map(|shard| self.totals_of(shard))).await?;
        Ok(partitions.into_iter().fold(Totals::default(), Totals::plus))
    }

    async fn totals_of(&self, shard: u32) -> Result<Totals, StoreError> {
        let (mut totals, mut after) = (Totals::default(), None);
        loop {
            let page = entries(self.table(), List::Items, shard, &after, BATCH).await?;
            let ends = page.len() < BATCH;
            after = page.last().map(|entry| entry.place.clone());
            let keys = page.into_iter().map(|entry| entry.key).collect();
            let (items, unreadable) = self.table().load_all::<StockItem>(keys, false).await?;
            totals = items.iter().fold(totals, Totals::with);
            totals.unreadable += unreadable.0.len() as u64;
            if ends {
                return Ok(totals);
            }
        }
    }
}
