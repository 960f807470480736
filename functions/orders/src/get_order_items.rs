//! `GET /api/orders/{id}/items` shows what was ordered, at the prices of the time of the order.

use lambda_http::http::StatusCode;
use serde::Serialize;
use trackops_aws::orders::Orders;
use trackops_domain::OrderId;
use trackops_lambda::http::{Answer, Call, path_param, versioned};
use trackops_lambda::problem::Problem;

use crate::view::{LineView, lines};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemsView {
    order_id: OrderId,
    items: Vec<LineView>,
}

pub async fn handle(orders: &Orders, call: Call) -> Answer {
    let id: OrderId = path_param(&call.request, "id", Problem::order_not_found)?;
    let order = orders.find(&id).await?.filter(|order| call.caller.may_see(&order.customer_id));
    let order = order.ok_or_else(Problem::order_not_found)?;
    let items = lines(order.lines, order.currency).map_err(Problem::internal)?;
    Ok(versioned(StatusCode::OK, order.version, &ItemsView { order_id: order.id, items }))
}
