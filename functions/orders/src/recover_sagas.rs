//! Every minute: runs the saga of orders that are past their `due_at`, so that no order is left behind.

use serde_json::Value;
use trackops_aws::StoreError;
use trackops_aws::orders::Orders;
use trackops_domain::{Cause, OrderId};
use trackops_lambda::recovery::{Helped, Recovered, recover};
use trackops_lambda::task::TaskError;

use crate::saga::Sagas;

/// Ignores its input: the schedule's event has nothing that it needs.
pub async fn handle(orders: &Orders, sagas: &Sagas, _: Value) -> Result<Recovered, TaskError> {
    recover(orders.table(), |id| run(orders, sagas, id)).await
}

/// If a payment is overdue, the saga's step says so. A payment that came in time counts, however late this run is.
async fn run(orders: &Orders, sagas: &Sagas, id: OrderId) -> Result<Helped, StoreError> {
    let Some(order) = orders.find(&id).await? else {
        return Err(StoreError::corrupt("it is due, but not there"));
    };
    let placed = order.timeline.first().map(|entry| entry.cause.correlation_id.clone());
    let cause = Cause { correlation_id: placed.unwrap_or_default(), ..Cause::default() };
    sagas.run(&order, cause).await?;
    Ok(Helped::Done)
}
