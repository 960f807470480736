//! Saga: gives back the units that an order holds, and makes sure that it never holds any again. Safe to repeat.

use trackops_aws::inventory::{Inventory, ReservationError};
use trackops_domain::reservation::{Reservation, ReservationState};
use trackops_lambda::task::TaskError;

pub use crate::commit_reservation::{Input, Output};

pub async fn handle(inventory: &Inventory, input: Input) -> Result<Output, TaskError> {
    match inventory.release(&input.order_id, &input.cause).await {
        Ok(reservation) => {
            let outcome = (!gave_back(&reservation)).then_some("NothingToRelease");
            Ok(Output { state: reservation.state, outcome })
        }
        Err(ReservationError::Store(error)) => Err(error.into()),
        // Cancelling does not bring shipped units back; a person must look at it.
        Err(error) => Err(TaskError::broken(error)),
    }
}

/// Whether units were held and came back. A tombstone has no lines, and the units of a refused reservation were never
/// taken.
fn gave_back(reservation: &Reservation) -> bool {
    reservation.state == ReservationState::Released && !reservation.lines.is_empty()
}

#[cfg(test)]
mod tests {
    use trackops_domain::reservation::{Fact, Line};
    use trackops_domain::{Cause, OrderId, Timestamp};

    use super::*;

    #[test]
    fn only_a_release_that_gave_units_back_says_so() {
        let (id, at, cause) = (OrderId::generate(), Timestamp::from_millis(0), Cause::default());
        let lines = vec![Line { sku: "TEA".parse().unwrap(), quantity: 1 }];
        let held = Reservation::held(id, lines.clone(), at, None, at, cause.clone());
        let released = held.after(Fact::Released, at, &cause).unwrap().unwrap();
        assert!(gave_back(&released));
        let refused = Reservation::rejected(id, lines, Vec::new(), None, at, cause.clone());
        let tombstone = Reservation::tombstone(id, at, cause);
        assert!(!gave_back(&refused) && !gave_back(&tombstone));
    }
}
