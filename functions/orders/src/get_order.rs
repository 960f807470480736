//! `GET /api/orders/{id}` shows an order to its customer, an operator or a service.

use lambda_http::http::StatusCode;
use trackops_aws::orders::Orders;
use trackops_domain::OrderId;
use trackops_lambda::http::{Answer, Call, path_param, versioned};
use trackops_lambda::problem::Problem;

use crate::view::OrderView;

pub async fn handle(orders: &Orders, call: Call) -> Answer {
    let id: OrderId = path_param(&call.request, "id", Problem::order_not_found)?;
    let order = orders.find(&id).await?.filter(|order| call.caller.may_see(&order.customer_id));
    let order = order.ok_or_else(Problem::order_not_found)?;
    Ok(versioned(StatusCode::OK, order.version, &OrderView::try_from(order)?))
}
