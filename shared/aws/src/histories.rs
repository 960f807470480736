//! Reads many aggregates at once, to replay the events that they have raised.

use trackops_domain::payment::Payment;
use trackops_domain::reservation::Reservation;
use trackops_domain::stock::StockItem;
use trackops_domain::{OrderId, Sku};

use crate::error::StoreError;
use crate::inventory::Inventory;
use crate::payments::Payments;
use crate::stored::Unreadable;

impl Inventory {
    /// The items among these that exist, in any order.
    pub async fn find_readable_items(
        &self,
        skus: &[Sku],
    ) -> Result<(Vec<StockItem>, Unreadable), StoreError> {
        self.table().load_all(skus.iter().map(StockItem::key).collect(), true).await
    }

    /// The reservations among these that exist, in any order.
    pub async fn find_reservations(
        &self,
        ids: &[OrderId],
    ) -> Result<(Vec<Reservation>, Unreadable), StoreError> {
        self.table().load_all(ids.iter().map(Reservation::key).collect(), true).await
    }
}

impl Payments {
    /// The payments among these that exist, in any order.
    pub async fn find_all(
        &self,
        ids: &[OrderId],
    ) -> Result<(Vec<Payment>, Unreadable), StoreError> {
        self.table().load_all(ids.iter().map(Payment::key).collect(), true).await
    }
}
