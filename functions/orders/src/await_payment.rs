//! Saga: the provider answers later; the order waits for the answer until its payment deadline. Safe to repeat.

use trackops_aws::orders::Orders;
use trackops_domain::order::Fact;
use trackops_lambda::task::TaskError;

use crate::saga::{Step, StepInput, outcome};

pub async fn handle(orders: &Orders, input: StepInput) -> Result<Step, TaskError> {
    let fact = |_: &_| Ok(Some(Fact::PaymentAwaited));
    outcome(orders.record(&input.order_id, fact, &input.author(), &input.cause).await)
}
