//! Consumes `order.status.updated` to SHIPPED: the units have left the house. Safe to repeat.

use serde::Deserialize;
use trackops_aws::StoreError;
use trackops_aws::inventory::{Inventory, ReservationError};
use trackops_domain::{Event, OrderId};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    order_id: OrderId,
}

pub async fn handle(inventory: &Inventory, event: Event) -> Result<(), ReservationError> {
    let cause = event.as_cause();
    let About { order_id } = serde_json::from_value(event.data).map_err(StoreError::corrupt)?;
    inventory.ship(&order_id, &cause).await?;
    Ok(())
}
