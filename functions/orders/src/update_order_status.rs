//! `PUT /api/orders/{id}/status` moves a confirmed order on: PROCESSING, SHIPPED, DELIVERED. Safe to repeat.

use lambda_http::http::StatusCode;
use serde::Deserialize;
use trackops_aws::orders::Orders;
use trackops_domain::OrderId;
use trackops_domain::order::Fact;
use trackops_lambda::http::{Answer, Call, body, path_param, versioned};
use trackops_lambda::identity::Role;
use trackops_lambda::problem::Problem;

use crate::change::change;
use crate::view::OrderView;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusBody {
    status: Stage,
}

/// The stages that people bring an order to; the saga does the others.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Stage {
    Processing,
    Shipped,
    Delivered,
}

pub async fn handle(orders: &Orders, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let id: OrderId = path_param(&call.request, "id", Problem::order_not_found)?;
    let StatusBody { status } = body(&call.request)?;
    let fact = match status {
        Stage::Processing => Fact::ProcessingStarted,
        Stage::Shipped => Fact::Shipped,
        Stage::Delivered => Fact::Delivered,
    };
    let order = change(orders, &id, &call, fact).await?;
    Ok(versioned(StatusCode::OK, order.version, &OrderView::try_from(order)?))
}
