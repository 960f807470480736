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
    // An EventBridge rule lets only these events through; a Kafka topic carries all events of its type.
    if order.status == OrderStatus::Shipped {
        inventory.ship(&order.order_id, &event.as_cause()).await?;
    }
    Ok(())
}
