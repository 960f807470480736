//! Consumes `order.status.updated` to SHIPPED: the units have left the house. Safe to repeat.

use trackops_aws::StoreError;
use trackops_aws::inventory::{Inventory, ReservationError};
use trackops_domain::Event;
use trackops_domain::event::Data;
use trackops_domain::order::OrderStatus;

pub async fn handle(inventory: &Inventory, event: Event) -> Result<(), ReservationError> {
    let Data::OrderStatusUpdated(order) = &event.data else {
        return Err(StoreError::unexpected(&event).into());
    };
    // A rule of EventBridge lets nothing else through; a topic of Kafka carries all.
    if order.status == OrderStatus::Shipped {
        inventory.ship(&order.order_id, &event.as_cause()).await?;
    }
    Ok(())
}
