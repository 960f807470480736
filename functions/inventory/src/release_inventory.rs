//! Saga: gives back what an order holds, and keeps it from ever holding anything again. Safe to repeat.

use trackops_aws::inventory::{Inventory, ReservationError};
use trackops_lambda::task::TaskError;

pub use crate::commit_reservation::{Input, Output};

pub async fn handle(inventory: &Inventory, input: Input) -> Result<Output, TaskError> {
    match inventory.release(&input.order_id, &input.cause).await {
        Ok(reservation) => Ok(Output { state: reservation.state }),
        Err(ReservationError::Store(error)) => Err(error.into()),
        // Shipped units do not come back by cancelling; somebody has to look.
        Err(error) => Err(TaskError::broken(error)),
    }
}
