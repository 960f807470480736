//! Consumes what changes where an order has to go, and runs its saga. Duplicates and disorder only run it again.

use serde::Deserialize;
use trackops_aws::StoreError;
use trackops_aws::orders::Orders;
use trackops_domain::{Event, OrderId};

use crate::saga::Sagas;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    order_id: OrderId,
}

pub async fn handle(orders: &Orders, sagas: &Sagas, event: Event) -> Result<(), StoreError> {
    let cause = event.as_cause();
    let About { order_id } = serde_json::from_value(event.data).map_err(StoreError::corrupt)?;
    match orders.find(&order_id).await? {
        Some(order) => sagas.run(&order, cause).await,
        None => Err(StoreError::corrupt(format!("event {} is of no order", event.id))),
    }
}
