//! Saga: it cannot go forward, so the order is locked as CANCELLING before anything is undone. Safe to repeat.

use serde::Deserialize;
use trackops_aws::orders::Orders;
use trackops_domain::order::{Direction, Fact, Reason};
use trackops_lambda::task::TaskError;

use crate::saga::{Step, StepInput, outcome};

#[derive(Deserialize)]
pub struct Input {
    #[serde(flatten)]
    step: StepInput,
    error: Failure,
}

/// What `Catch` of the state machine hands over.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    error: String,
}

pub async fn handle(orders: &Orders, input: Input) -> Result<Step, TaskError> {
    let reason = reason(&input.error.error);
    let abandon = |order: &trackops_domain::order::Order| {
        // Another run may have confirmed it, or given it up, while this one was failing.
        let forward = order.status.direction() == Some(Direction::Forward);
        Ok(forward.then_some(Fact::Abandoned(reason)))
    };
    let StepInput { order_id, cause, .. } = &input.step;
    let recorded = orders.record(order_id, abandon, &input.step.author(), cause).await;
    // Not when a customer's cancellation was what stopped it: an alarm hangs on this line.
    if let Ok(order) = &recorded
        && order.reason == Some(Reason::Failure)
        && reason == Reason::Failure
    {
        tracing::error!(order_id = %order.id, error = input.error.error, "the saga cannot go forward");
    }
    outcome(recorded)
}

fn reason(error: &str) -> Reason {
    match error {
        "OutOfStock" => Reason::OutOfStock,
        "PaymentOverdue" => Reason::PaymentDeadline,
        "PaymentDeclined" => Reason::PaymentDeclined,
        "ReservationLost" => Reason::ReservationExpired,
        _ => Reason::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The saga's own definition, so that no outcome it catches is taken for a failure.
    const ASL: &str = include_str!("../../../infra/saga.asl.json");

    #[test]
    fn every_outcome_that_gives_an_order_up_has_a_reason_of_its_own() {
        for outcome in ["OutOfStock", "PaymentDeclined", "PaymentOverdue", "ReservationLost"] {
            assert!(ASL.contains(&format!("\"{outcome}\"")), "the saga does not know {outcome}");
            assert_ne!(reason(outcome), Reason::Failure, "{outcome}");
        }
        assert_eq!(reason("Lambda.Unknown"), Reason::Failure);
    }
}
