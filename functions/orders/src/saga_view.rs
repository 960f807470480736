//! The saga of an order as the API shows it: where it stands, and what its runs did.

use serde::Serialize;
use trackops_domain::order::{Direction, Order, OrderStatus, Reason};
use trackops_domain::saga::{Run, SUCCEEDED, Step};
use trackops_domain::{OrderId, Timestamp};
use trackops_lambda::identity::{Caller, Role};

/// The outcomes that a customer sees. Customers may know what happened to the order, but not what failed inside the
/// system.
const FOR_CUSTOMERS: [&str; 11] = [
    SUCCEEDED,
    "NothingToRefund",
    "NothingToRelease",
    "RefundRefused",
    "VoidUndecided",
    "OutOfStock",
    "PaymentDeclined",
    "PaymentPending",
    "PaymentOverdue",
    "ReservationLost",
    "OrderCancelling",
];

/// What customers see in place of any other outcome.
const FAILED: &str = "Failed";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SagaView {
    order_id: OrderId,
    direction: Direction,
    status: OrderStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// Nobody has to do anything for the order now.
    at_rest: bool,
    /// When the recovery runs the saga again, if nothing happens before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<Timestamp>,
    payment_deadline: Timestamp,
    updated_at: Timestamp,
    version: u64,
    runs: Vec<RunView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RunView {
    instance: String,
    direction: Direction,
    started_at: Timestamp,
    steps: Vec<StepView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    name: String,
    outcome: String,
    attempts: u32,
    started_at: Timestamp,
    ended_at: Timestamp,
}

impl SagaView {
    pub fn of(order: Order, caller: &Caller) -> Self {
        let due_at = order.due_at();
        Self {
            order_id: order.id,
            // An order that rests has gone forward as far as it can.
            direction: order.status.direction().unwrap_or(Direction::Forward),
            status: order.status,
            reason: order.reason,
            at_rest: due_at.is_none(),
            due_at,
            payment_deadline: order.payment_deadline,
            updated_at: order.updated_at,
            version: order.version,
            runs: order.runs.into_iter().map(|run| RunView::of(run, caller)).collect(),
        }
    }
}

impl RunView {
    fn of(run: Run, caller: &Caller) -> Self {
        Self {
            instance: run.instance,
            direction: run.direction,
            started_at: run.started_at,
            steps: run.steps.into_iter().map(|step| StepView::of(step, caller)).collect(),
        }
    }
}

impl StepView {
    pub fn of(step: Step, caller: &Caller) -> Self {
        let told = caller.role != Role::Customer || FOR_CUSTOMERS.contains(&step.outcome.as_str());
        Self {
            name: step.name,
            outcome: if told { step.outcome } else { FAILED.to_owned() },
            attempts: step.attempts,
            started_at: step.started_at,
            ended_at: step.ended_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_broke_inside_is_told_to_operators_alone() {
        let at = Timestamp::from_millis(0);
        let seen = |outcome: &str, role| {
            let caller = Caller { role, subject: "somebody".parse().unwrap() };
            let (name, outcome) = ("ChargePayment".to_owned(), outcome.to_owned());
            let step = Step { name, outcome, attempts: 4, started_at: at, ended_at: at };
            StepView::of(step, &caller).outcome
        };
        for outcome in FOR_CUSTOMERS {
            assert_eq!(seen(outcome, Role::Customer), outcome);
        }
        for outcome in ["Broken", "Busy", "Lambda.Unknown", "Runtime.ExitError", "States.Timeout"] {
            assert_eq!(seen(outcome, Role::Customer), FAILED, "{outcome}");
            assert_eq!(seen(outcome, Role::Operator), outcome);
        }
    }
}
