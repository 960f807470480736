//! Saga: the saga cannot go forward, so the order is locked as CANCELLING before anything is undone. Safe to repeat.

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

/// The error that `Catch` of the state machine passes on.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    error: String,
}

pub async fn handle(orders: &Orders, input: Input) -> Result<Step, TaskError> {
    let Some(reason) = reason(&input.error.error) else {
        return Err(TaskError::busy(format!("{} is for the recovery", input.error.error)));
    };
    let abandon = |order: &trackops_domain::order::Order| {
        // Another run may have confirmed it, or given it up, while this one was failing.
        let forward = order.status.direction() == Some(Direction::Forward);
        Ok(forward.then_some(Fact::Abandoned(reason)))
    };
    let StepInput { order_id, cause, .. } = &input.step;
    let recorded = orders.record(order_id, abandon, &input.step.author(), cause).await;
    // Not logged when a customer's cancellation stopped the run: an alarm counts this line.
    if let Ok(order) = &recorded
        && order.reason == Some(Reason::Failure)
        && reason == Reason::Failure
    {
        tracing::error!(order_id = %order.id, error = input.error.error, "the saga cannot go forward");
    }
    outcome(recorded)
}

/// `None`: the error is not an outcome of our steps, or it is an outcome of a newer version, which must not count as a
/// failure.
fn reason(error: &str) -> Option<Reason> {
    match error {
        "OutOfStock" => Some(Reason::OutOfStock),
        "PaymentOverdue" => Some(Reason::PaymentDeadline),
        "PaymentDeclined" => Some(Reason::PaymentDeclined),
        "ReservationLost" => Some(Reason::ReservationExpired),
        // With `OrderCancelling` the order is CANCELLING and keeps its reason. If it is not, somebody changed it by
        // hand.
        "Broken" | "OrderCancelling" => Some(Reason::Failure),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    fn saga() -> Value {
        serde_json::from_str(include_str!("../../../infra/saga.asl.json")).unwrap()
    }

    /// The errors that lead from one state to another, each with the state that raised it.
    fn caught(next: &str) -> Vec<(String, String)> {
        let saga = saga();
        let states = saga["States"].as_object().unwrap();
        let caught = states.iter().flat_map(|(name, state)| {
            let catches = state["Catch"].as_array().into_iter().flatten();
            let catches = catches.filter(|catch| catch["Next"] == next);
            let errors = catches.flat_map(|catch| catch["ErrorEquals"].as_array().unwrap());
            errors.map(|error| (name.clone(), error.as_str().unwrap().to_owned()))
        });
        let mut caught: Vec<_> = caught.collect();
        caught.sort();
        caught
    }

    #[test]
    fn only_outcomes_of_ours_give_an_order_up_and_each_has_a_reason_of_its_own() {
        let outcomes: BTreeSet<String> =
            caught("AbandonOrder").into_iter().map(|(_, error)| error).collect();
        let ours = [
            "OrderCancelling",
            "OutOfStock",
            "PaymentDeclined",
            "PaymentOverdue",
            "ReservationLost",
        ];
        assert_eq!(outcomes.iter().map(String::as_str).collect::<Vec<_>>(), ours);
        for outcome in &ours[1..] {
            assert!(reason(outcome).is_some_and(|it| it != Reason::Failure), "{outcome}");
        }
    }

    #[test]
    fn what_somebody_has_to_look_at_gives_an_order_up_only_when_it_was_tried_for_long() {
        assert!(caught("LastTry").iter().all(|(_, error)| error == "Broken"));
        let last_try = &saga()["States"]["LastTry"];
        assert_eq!(last_try["Default"], "NeedsAttention");
        let choice =
            json!([{"Condition": "{% $states.input.lastTry = true %}", "Next": "AbandonOrder"}]);
        assert_eq!(last_try["Choices"], choice);
        assert_eq!(reason("Broken"), Some(Reason::Failure));
    }

    #[test]
    fn every_step_forward_leaves_whatever_else_goes_wrong_to_the_recovery() {
        let left = caught("LeaveToRecovery");
        let forward = [
            "AwaitPayment",
            "ChargePayment",
            "CommitReservation",
            "ConfirmOrder",
            "LookAtPayment",
            "ReserveInventory",
        ];
        let all = forward.map(|step| (step.to_owned(), "States.ALL".to_owned()));
        assert_eq!(left, all);
        for name in ["Lambda.Unknown", "Runtime.ExitError", "AccessDeniedException", "Busy", "New"]
        {
            assert_eq!(reason(name), None, "{name} decides");
        }
    }

    #[test]
    fn past_the_deadline_the_payment_is_looked_at_before_anything_is_reserved() {
        let saga = saga();
        let first = &saga["States"]["Direction"]["Choices"][0];
        let overdue = "{% $states.input.direction = 'FORWARD' and $states.input.overdue = true %}";
        assert_eq!(*first, json!({"Condition": overdue, "Next": "LookAtPayment"}));
        let (look, charge) = (&saga["States"]["LookAtPayment"], &saga["States"]["ChargePayment"]);
        assert_eq!(look["Resource"], charge["Resource"]);
        assert_eq!(look["Catch"], charge["Catch"]);
        assert_eq!(look["Next"], "ReserveInventory");
    }
}
