//! `DELETE /api/inventory/reservations/{id}` gives back the units of a hold. Safe to repeat. It refuses when the units
//! are promised to a paid order.

use lambda_http::http::StatusCode;
use trackops_aws::inventory::{Inventory, ReservationError};
use trackops_domain::OrderId;
use trackops_domain::reservation::{Reservation, ReservationState};
use trackops_lambda::http::{Answer, Call, path_param};
use trackops_lambda::identity::Role;
use trackops_lambda::preconditions::Preconditions;
use trackops_lambda::problem::Problem;

use crate::reservation_view::{not_found, show};

pub async fn handle(inventory: &Inventory, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let id: OrderId = path_param(&call.request, "id", not_found)?;
    let conditions = Preconditions::of(call.request.headers())?;
    let is_as_it_should = |reservation: &Reservation| {
        let released = reservation.state == ReservationState::Released;
        // The request is a repetition, or two came at once: what it asks of that version is done already (RFC 9110,
        // section 13.1.1).
        let mut before = conditions.versions().filter_map(|version| version.checked_add(1));
        conditions.allow(reservation.version).is_ok()
            || released && before.any(|made| made == reservation.version)
    };
    match inventory.withdraw(&id, &call.cause, is_as_it_should).await {
        Ok(reservation) => Ok(show(StatusCode::OK, &reservation)),
        Err(ReservationError::Changed(version)) => {
            conditions.allow(version)?;
            Err(Problem::internal("a version was refused and then allowed"))
        }
        Err(ReservationError::NoReservation(_)) => Err(not_found()),
        Err(ReservationError::Illegal(_)) => {
            let title = "The units are promised to an order for good, or have been shipped.";
            Err(Problem::new(StatusCode::CONFLICT, "reservation-conflict", title)
                .detail("To give units back that have not been shipped, cancel the order."))
        }
        Err(ReservationError::Store(error)) => Err(error.into()),
    }
}
