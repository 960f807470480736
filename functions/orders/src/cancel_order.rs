//! `DELETE /api/orders/{id}` withdraws an order that has not shipped. Safe to repeat.

use lambda_http::http::StatusCode;
use trackops_aws::orders::Orders;
use trackops_domain::OrderId;
use trackops_domain::order::Fact;
use trackops_lambda::http::{Answer, Call, path_param};
use trackops_lambda::problem::Problem;

use crate::change::change;

pub async fn handle(orders: &Orders, call: Call) -> Answer {
    let id: OrderId = path_param(&call.request, "id", Problem::order_not_found)?;
    change(orders, &id, &call, Fact::CancelRequested, StatusCode::ACCEPTED).await
}
