//! Consumes the events of inventory and payments about an order, and notes them for the order's timeline. Duplicates
//! and disorder change nothing.

use trackops_aws::StoreError;
use trackops_aws::orders::Orders;
use trackops_domain::Event;
use trackops_domain::outcome::Outcome;

pub async fn handle(orders: &Orders, event: Event) -> Result<(), StoreError> {
    match Outcome::told_by(&event) {
        Some((order_id, outcome)) => orders.note(&order_id, &event.id, &outcome).await,
        None => Ok(()),
    }
}
