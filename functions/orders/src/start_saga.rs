//! Consumes what changes where an order has to go, and runs its saga. Duplicates and disorder only run it again.

use trackops_aws::StoreError;
use trackops_aws::orders::Orders;
use trackops_domain::Event;
use trackops_domain::event::Data;

use crate::saga::Sagas;

pub async fn handle(orders: &Orders, sagas: &Sagas, event: Event) -> Result<(), StoreError> {
    let order_id = match &event.data {
        Data::OrderCreated(order) => order.order_id,
        Data::OrderStatusUpdated(order) => order.order_id,
        Data::PaymentProcessed(payment) | Data::PaymentFailed(payment) => payment.order_id,
        _ => return Err(StoreError::unexpected(&event)),
    };
    match orders.find(&order_id).await? {
        Some(order) => sagas.run(&order, event.as_cause()).await,
        None => Err(StoreError::corrupt(format!("event {} is of no order", event.id))),
    }
}
