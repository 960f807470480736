//! Saga: the order is paid; its hold becomes permanent. Safe to repeat.

use serde::{Deserialize, Serialize};
use trackops_aws::inventory::{Inventory, ReservationError};
use trackops_domain::reservation::ReservationState;
use trackops_domain::{Cause, OrderId};
use trackops_lambda::task::TaskError;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    pub order_id: OrderId,
    pub cause: Cause,
}

#[derive(Serialize)]
pub struct Output {
    pub state: ReservationState,
    /// What the saga shows as the outcome of a step that had nothing to do, in place of `Succeeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
}

pub async fn handle(inventory: &Inventory, input: Input) -> Result<Output, TaskError> {
    match inventory.commit(&input.order_id, &input.cause).await {
        Ok(reservation) => Ok(Output { state: reservation.state, outcome: None }),
        Err(ReservationError::Illegal(illegal)) => {
            Err(TaskError::outcome("ReservationLost", illegal.to_string()))
        }
        Err(ReservationError::Store(error)) => Err(error.into()),
        Err(error @ (ReservationError::NoReservation(_) | ReservationError::Changed(_))) => {
            Err(TaskError::broken(error))
        }
    }
}
