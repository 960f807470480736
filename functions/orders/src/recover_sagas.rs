//! Every minute: runs the saga of orders that are past their deadline and not at rest. No order is left behind.

use futures::future::join_all;
use serde::Serialize;
use serde_json::Value;
use trackops_aws::StoreError;
use trackops_aws::orders::{Orders, RecordError};
use trackops_domain::{Cause, OrderId, Timestamp};
use trackops_lambda::error::chain;
use trackops_lambda::task::TaskError;
use uuid::Uuid;

use crate::saga::{Sagas, overdue};

/// Orders taken from each index partition in one run; the rest is taken by the next.
const PER_SHARD: i32 = 25;

#[derive(Debug, Serialize)]
pub struct Recovered {
    due: usize,
    failed: usize,
}

/// Takes no input: the schedule's event says nothing that matters.
pub async fn handle(orders: &Orders, sagas: &Sagas, _: Value) -> Result<Recovered, TaskError> {
    let due = orders.due(Timestamp::now(), PER_SHARD).await?;
    let outcomes = join_all(due.iter().map(|id| recover(orders, sagas, id))).await;
    let mut failed = 0;
    for (id, outcome) in due.iter().zip(outcomes) {
        if let Err(error) = outcome {
            failed += 1;
            tracing::error!(order_id = %id, error = chain(&error), "not recovered");
        }
    }
    if failed > 0 && failed == due.len() {
        return Err(TaskError::broken(format!("none of {failed} orders could be recovered")));
    }
    Ok(Recovered { due: due.len(), failed })
}

async fn recover(orders: &Orders, sagas: &Sagas, id: &OrderId) -> Result<(), StoreError> {
    let cause = Cause { correlation_id: Uuid::now_v7().to_string(), ..Cause::default() };
    let order = match orders.record(id, |order| Ok(overdue(order)), &cause).await {
        Ok(order) => order,
        Err(RecordError::Store(error)) => return Err(error),
        Err(error) => return Err(StoreError::corrupt(error)),
    };
    // Its own journey's id, now that the order is known.
    let correlation_id = order.timeline.first().map(|line| line.cause.correlation_id.clone());
    sagas
        .run(
            &order,
            Cause { correlation_id: correlation_id.unwrap_or(cause.correlation_id), ..cause },
        )
        .await
}
