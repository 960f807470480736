//! A reservation as the API shows it.

use lambda_http::http::StatusCode;
use lambda_http::{Body, Response};
use serde::Serialize;
use trackops_domain::reservation::{Reservation, ReservationState};
use trackops_domain::{OrderId, Sku, Timestamp};
use trackops_lambda::http::versioned;
use trackops_lambda::problem::Problem;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservationView<'a> {
    reservation_id: OrderId,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<OrderId>,
    status: ReservationState,
    items: Vec<ItemView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemView<'a> {
    product_id: &'a Sku,
    quantity: u32,
}

pub fn not_found() -> Problem {
    Problem::not_found("reservation-not-found", "There is no such reservation.")
}

pub fn show(status: StatusCode, reservation: &Reservation) -> Response<Body> {
    versioned(status, reservation.version, &ReservationView::of(reservation))
}

impl<'a> ReservationView<'a> {
    pub fn of(reservation: &'a Reservation) -> Self {
        let items = reservation.lines.iter();
        let items = items.map(|line| ItemView { product_id: &line.sku, quantity: line.quantity });
        Self {
            reservation_id: reservation.id,
            order_id: reservation.order_id(),
            status: reservation.state,
            items: items.collect(),
            expires_at: reservation.due_at(),
            created_at: reservation.created_at,
            updated_at: reservation.updated_at,
            version: reservation.version,
        }
    }
}
