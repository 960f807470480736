//! Running the saga of an order: safe at any time, even when it is running already.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trackops_aws::StoreError;
use trackops_aws::orders::RecordError;
use trackops_domain::event::Cause;
use trackops_domain::order::{Author, Direction, Order, OrderStatus};
use trackops_domain::{OrderId, Timestamp};
use trackops_lambda::task::TaskError;
use uuid::Uuid;

use crate::progress;

pub struct Sagas {
    client: aws_sdk_sfn::Client,
    state_machine: String,
}

/// Everything that the steps need. Of the order itself they look up only the status.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    order_id: OrderId,
    direction: Direction,
    lines: Vec<Value>,
    /// Minor units.
    amount: i64,
    currency: &'static str,
    payment_method: String,
    payment_deadline: Timestamp,
    /// The payment deadline has passed: the payment is looked at before anything is reserved.
    overdue: bool,
    /// The recovery has tried for so long that a step that says `Broken` now gives the order up.
    last_try: bool,
    cause: Cause,
}

impl Input {
    /// `None`: the order rests.
    fn of(order: &Order, now: Timestamp, cause: Cause) -> Option<Self> {
        let line = |line: &trackops_domain::order::Line| json!({"sku": line.sku, "quantity": line.quantity});
        Some(Self {
            order_id: order.id,
            direction: order.status.direction()?,
            lines: order.lines.iter().map(line).collect(),
            amount: order.total,
            currency: order.currency.code(),
            payment_method: order.payment_method.clone(),
            payment_deadline: order.payment_deadline,
            overdue: order.is_overdue(now),
            last_try: order.may_fail(now),
            cause,
        })
    }
}

impl Sagas {
    pub const fn new(client: aws_sdk_sfn::Client, state_machine: String) -> Self {
        Self { client, state_machine }
    }

    /// Whether the state machine can be reached.
    pub async fn check(&self) -> Result<(), StoreError> {
        let describe = self.client.describe_state_machine();
        describe.state_machine_arn(&self.state_machine).send().await?;
        Ok(())
    }

    /// Does nothing when the order rests.
    pub async fn run(&self, order: &Order, cause: Cause) -> Result<(), StoreError> {
        let Some(input) = Input::of(order, Timestamp::now(), cause) else { return Ok(()) };
        let direction = input.direction;
        let input = serde_json::to_string(&input).map_err(StoreError::corrupt)?;
        // Each run has a new name, so that a run that failed does not keep the next one from starting.
        let name = format!("{}-{}", order.id, Uuid::now_v7().simple());
        let start = self.client.start_execution().state_machine_arn(&self.state_machine);
        start.name(name).input(input).send().await?;
        tracing::info!(order_id = %order.id, status = ?order.status, ?direction, "saga started");
        Ok(())
    }
}

/// The input of every step on an order.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepInput {
    pub order_id: OrderId,
    pub cause: Cause,
    run: Option<Value>,
}

impl StepInput {
    pub fn author(&self) -> Author {
        progress::author(self.run.as_ref())
    }
}

/// The answer of a step on an order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    order_id: OrderId,
    status: OrderStatus,
    /// Whether the run has to undo what was done for the order.
    given_up: bool,
}

/// If the order's status does not allow a fact, another run has given the order up.
pub fn outcome(recorded: Result<Order, RecordError>) -> Result<Step, TaskError> {
    match recorded {
        Ok(order) => Ok(Step {
            order_id: order.id,
            status: order.status,
            given_up: order.status.direction() == Some(Direction::Back),
        }),
        Err(RecordError::Illegal(illegal)) => {
            Err(TaskError::outcome("OrderCancelling", illegal.to_string()))
        }
        Err(RecordError::Store(error)) => Err(error.into()),
        Err(error) => Err(TaskError::broken(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use trackops_domain::order::{Address, FAILS_AFTER, Fact, Line, NewOrder};

    use super::*;

    fn order() -> Order {
        let line =
            Line { sku: "TEA".parse().unwrap(), name: "Tea".into(), quantity: 1, unit_price: 250 };
        let new = NewOrder {
            id: OrderId::generate(),
            customer_id: "alice".parse().unwrap(),
            lines: vec![line],
            currency: trackops_domain::money::Currency::from_code("EUR").unwrap(),
            address: Address {
                street_address: "1 Main St".into(),
                city: "Berlin".into(),
                state: None,
                postal_code: "10115".into(),
                country: "DE".into(),
                phone_number: None,
            },
            delivery_instructions: None,
            payment_method: "tok_ok".into(),
            request_hash: "hash".into(),
            payment_window: Duration::from_secs(900),
        };
        Order::place(new, Timestamp::from_millis(0), Cause::default()).unwrap()
    }

    #[test]
    fn a_run_is_told_when_the_payment_is_overdue_and_when_the_order_was_tried_for_long() {
        let order = order();
        let deadline = order.payment_deadline;
        let told = |now| {
            let input = Input::of(&order, now, Cause::default()).unwrap();
            (input.overdue, input.last_try)
        };
        assert_eq!(told(deadline.minus(Duration::from_millis(1))), (false, false));
        assert_eq!(told(deadline), (true, false));
        assert_eq!(told(deadline.plus(FAILS_AFTER).minus(Duration::from_millis(1))), (true, false));
        assert_eq!(told(deadline.plus(FAILS_AFTER)), (true, true));
    }

    #[test]
    fn what_was_done_for_an_order_is_undone_only_when_it_was_given_up() {
        let given_up = |fact: Fact| {
            let order = order();
            let next = order.after(fact, order.updated_at, &Cause::default()).unwrap();
            outcome(Ok(next.unwrap())).unwrap().given_up
        };
        assert!(given_up(Fact::CancelRequested));
        assert!(!given_up(Fact::Confirmed) && !given_up(Fact::PaymentAwaited));
    }
}
