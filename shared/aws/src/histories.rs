//! Many aggregates at once, for whoever tells again what they have told.

use trackops_domain::payment::Payment;
use trackops_domain::reservation::Reservation;
use trackops_domain::stock::StockItem;
use trackops_domain::{OrderId, Sku};

use crate::aggregate::{Aggregate, BATCH, Table};
use crate::error::StoreError;
use crate::inventory::Inventory;
use crate::payments::Payments;
use crate::stored::Unreadable;

impl Inventory {
    /// Those of these items that are there, in any order.
    pub async fn find_readable_items(
        &self,
        skus: &[Sku],
    ) -> Result<(Vec<StockItem>, Unreadable), StoreError> {
        all(self.table(), skus.iter().map(StockItem::key).collect()).await
    }

    /// Those of these reservations that are there, in any order.
    pub async fn find_reservations(
        &self,
        ids: &[OrderId],
    ) -> Result<(Vec<Reservation>, Unreadable), StoreError> {
        all(self.table(), ids.iter().map(Reservation::key).collect()).await
    }
}

impl Payments {
    /// Those of these payments that are there, in any order.
    pub async fn find_all(
        &self,
        ids: &[OrderId],
    ) -> Result<(Vec<Payment>, Unreadable), StoreError> {
        all(self.table(), ids.iter().map(Payment::key).collect()).await
    }
}

/// One that cannot be read hides no other.
async fn all<T: Aggregate>(
    table: &Table,
    keys: Vec<String>,
) -> Result<(Vec<T>, Unreadable), StoreError> {
    let (mut found, mut unreadable) = (Vec::with_capacity(keys.len()), Unreadable::default());
    for keys in keys.chunks(BATCH) {
        for item in table.items(keys.to_vec(), true).await? {
            found.extend(unreadable.or_read::<T>(item, T::SCHEMA));
        }
    }
    Ok((found, unreadable))
}
