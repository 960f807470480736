//! `GET /api/inventory/reservations/{id}` shows a reservation: its units, and whether they are held, committed, shipped
//! or given back.

use lambda_http::http::StatusCode;
use trackops_aws::inventory::Inventory;
use trackops_domain::OrderId;
use trackops_lambda::http::{Answer, Call, path_param};
use trackops_lambda::identity::Role;

use crate::reservation_view::{not_found, show};

pub async fn handle(inventory: &Inventory, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let id: OrderId = path_param(&call.request, "id", not_found)?;
    let reservation = inventory.find_reservation(&id).await?.ok_or_else(not_found)?;
    Ok(show(StatusCode::OK, &reservation))
}
