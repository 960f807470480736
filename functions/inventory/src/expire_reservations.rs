//! Every minute: gives back the units of holds that ran out. A hold is either committed or expired, never both.

use serde_json::Value;
use trackops_aws::inventory::{Inventory, ReservationError};
use trackops_lambda::recovery::{Helped, Recovered, recover};
use trackops_lambda::task::TaskError;

/// Ignores its input: the schedule's event has nothing that it needs.
pub async fn handle(inventory: &Inventory, _: Value) -> Result<Recovered, TaskError> {
    recover(inventory.table(), |id| async move {
        let Some(held) = inventory.find_reservation(&id).await? else { return Ok(Helped::Done) };
        match inventory.expire(&held.id, &held.cause).await {
            // It was committed meanwhile.
            Ok(_) | Err(ReservationError::Illegal(_)) => Ok(Helped::Done),
            Err(error) => Err(error),
        }
    })
    .await
}
