//! Saga: everything is undone; the order ends as cancelled, rejected or expired. Safe to repeat.

use trackops_aws::orders::Orders;
use trackops_domain::order::{Fact, Reason};
use trackops_lambda::task::TaskError;

use crate::saga::{Step, StepInput, outcome};

pub async fn handle(orders: &Orders, input: StepInput) -> Result<Step, TaskError> {
    let close = |order: &trackops_domain::order::Order| {
        Ok(Some(Fact::Compensated(order.reason.unwrap_or(Reason::Failure))))
    };
    outcome(orders.record(&input.order_id, close, &input.author(), &input.cause).await)
}
