//! Saga: reserves all lines of an order, or none. Safe to repeat: the answer is the recorded outcome.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trackops_aws::inventory::{Inventory, Wanted};
use trackops_domain::reservation::{Line, ReservationState};
use trackops_domain::{Cause, OrderId, Timestamp};
use trackops_lambda::task::TaskError;

/// The hold lasts this much longer than the payment deadline, so that a payment in time always finds its stock, also
/// when the steps behind it are in trouble for an hour and more. Who does not pay keeps no units by this: the order's
/// own deadline comes first, and releases the hold.
const GRACE: Duration = Duration::from_secs(2 * 60 * 60);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    order_id: OrderId,
    lines: Vec<Line>,
    payment_deadline: Timestamp,
    cause: Cause,
}

#[derive(Serialize)]
pub struct Output {
    state: ReservationState,
}

pub async fn handle(inventory: &Inventory, input: Input) -> Result<Output, TaskError> {
    let wanted = Wanted {
        id: input.order_id,
        lines: input.lines,
        expires_at: input.payment_deadline.plus(GRACE),
        request_hash: None,
        cause: input.cause,
    };
    let reservation = inventory.reserve(&wanted).await?;
    use ReservationState as S;
    match reservation.state {
        S::Held | S::Committed | S::Shipped => Ok(Output { state: reservation.state }),
        S::Rejected => {
            let missing = reservation.shortages.iter().map(|short| short.sku.as_str());
            let missing: Vec<_> = missing.collect();
            Err(TaskError::outcome("OutOfStock", format!("not enough of {}", missing.join(", "))))
        }
        // By a run that gave the order up, or by somebody who deleted the hold of an order that is not paid yet.
        S::Released => Err(TaskError::outcome("ReservationLost", "the hold was released before")),
        S::Expired => Err(TaskError::outcome("ReservationLost", "the hold has expired")),
    }
}
