//! Consumes the events that change the direction of an order's saga, and runs the saga. Duplicates and disorder only
//! run it again.

use trackops_aws::StoreError;
use trackops_aws::orders::Orders;
use trackops_domain::event::Data;
use trackops_domain::order::OrderStatus;
use trackops_domain::payment::PaymentState;
use trackops_domain::{Event, OrderId, Timestamp};

use crate::saga::Sagas;

pub async fn handle(orders: &Orders, sagas: &Sagas, event: Event) -> Result<(), StoreError> {
    let Some(order_id) = sent_on(&event.data) else { return Ok(()) };
    match orders.find(&order_id).await? {
        Some(order) => {
            // If this run fails, the recovery must not wait for the payment deadline.
            orders.hasten(&order, Timestamp::now()).await?;
            sagas.run(&order, event.as_cause()).await
        }
        None => Err(StoreError::corrupt(format!("event {} is of no order", event.id))),
    }
}

/// The order whose saga has to run now. EventBridge rules let only these events through; a Kafka topic carries all
/// events of its type.
fn sent_on(data: &Data) -> Option<OrderId> {
    match data {
        Data::OrderCreated(order) => Some(order.order_id),
        Data::OrderStatusUpdated(order) => {
            (order.status == OrderStatus::Cancelling).then_some(order.order_id)
        }
        // If the payment was CHARGING, a run of the saga is already waiting for the answer.
        Data::PaymentProcessed(payment) | Data::PaymentFailed(payment) => {
            (payment.previous_state != PaymentState::Charging).then_some(payment.order_id)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trackops_domain::event::data::{OrderStatusUpdated, ProviderAnswer};

    #[test]
    fn only_what_changes_where_an_order_goes_runs_its_saga() {
        use OrderStatus as S;
        use PaymentState as P;
        let order_id = OrderId::generate();
        let becomes = |status| {
            let customer_id = "alice".parse().unwrap();
            let previous_status = S::Pending;
            let told =
                OrderStatusUpdated { customer_id, order_id, previous_status, reason: None, status };
            sent_on(&Data::OrderStatusUpdated(told))
        };
        assert_eq!(becomes(S::Cancelling), Some(order_id));
        for resting in [S::AwaitingPayment, S::Confirmed, S::Shipped, S::Cancelled] {
            assert_eq!(becomes(resting), None, "{resting:?}");
        }
        for told in [Data::PaymentProcessed, Data::PaymentFailed] {
            let from = |previous_state| {
                let (amount, currency, state) = (None, None, P::Paid);
                sent_on(&told(ProviderAnswer { amount, currency, order_id, previous_state, state }))
            };
            for unexpected in [P::Awaiting, P::Declined, P::Voided] {
                assert_eq!(from(unexpected), Some(order_id), "{unexpected:?}");
            }
            assert_eq!(from(P::Charging), None);
        }
    }
}
