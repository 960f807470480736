//! `POST /api/orders/{id}/saga/retry` runs the saga of an order again, now. Always safe, also to repeat.

use lambda_http::http::StatusCode;
use trackops_aws::orders::Orders;
use trackops_domain::OrderId;
use trackops_lambda::http::{Answer, Call, path_param, versioned};
use trackops_lambda::identity::Role;
use trackops_lambda::problem::Problem;

use crate::saga::Sagas;
use crate::saga_view::SagaView;

pub async fn handle(orders: &Orders, sagas: &Sagas, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let id: OrderId = path_param(&call.request, "id", Problem::order_not_found)?;
    let order = orders.find(&id).await?.ok_or_else(Problem::order_not_found)?;
    if order.status.direction().is_none() {
        let title = "The order's status does not allow this.";
        return Err(Problem::new(StatusCode::CONFLICT, "status-conflict", title)
            .detail(format!("It is {}; its saga has nothing left to do.", order.status)));
    }
    sagas.run(&order, call.cause).await?;
    Ok(versioned(StatusCode::ACCEPTED, order.version, &SagaView::of(order, &call.caller)))
}
