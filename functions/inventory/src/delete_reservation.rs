//! `DELETE /api/inventory/reservations/{id}` gives back what is held. Safe to repeat; what an order counts on stays.

use lambda_http::http::StatusCode;
use trackops_aws::inventory::{Inventory, ReservationError};
use trackops_domain::OrderId;
use trackops_lambda::http::{Answer, Call, path_param};
use trackops_lambda::identity::Role;
use trackops_lambda::problem::Problem;

use crate::reservation_view::{not_found, show};

pub async fn handle(inventory: &Inventory, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let id: OrderId = path_param(&call.request, "id", not_found)?;
    match inventory.withdraw(&id, &call.cause).await {
        Ok(reservation) => Ok(show(StatusCode::OK, &reservation)),
        Err(ReservationError::NoReservation(_)) => Err(not_found()),
        Err(ReservationError::Illegal(_)) => {
            let title = "The units are promised to an order for good, or have been shipped.";
            Err(Problem::new(StatusCode::CONFLICT, "reservation-conflict", title)
                .detail("To give units back that have not been shipped, cancel the order."))
        }
        Err(ReservationError::Store(error)) => Err(error.into()),
    }
}
