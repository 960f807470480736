//! `DELETE /api/orders/{id}` withdraws an order that has not shipped. Safe to repeat.

use lambda_http::http::StatusCode;
use trackops_aws::orders::{Orders, RecordError};
use trackops_domain::OrderId;
use trackops_domain::order::Fact;
use trackops_lambda::http::{Answer, Call, path_param, versioned};
use trackops_lambda::problem::Problem;

use crate::view::OrderView;

pub async fn handle(orders: &Orders, call: Call) -> Answer {
    let id: OrderId = path_param(&call.request, "id", Problem::order_not_found)?;
    let caller = &call.caller;
    let cancel = |order: &trackops_domain::order::Order| {
        if caller.may_see(&order.customer_id) {
            Ok(Some(Fact::CancelRequested))
        } else {
            Err(RecordError::NoOrder(id))
        }
    };
    let order = match orders.record(&id, cancel, &call.cause).await {
        Ok(order) => order,
        Err(RecordError::NoOrder(_)) => return Err(Problem::order_not_found()),
        Err(RecordError::Illegal(_)) => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "order-shipped",
                "The order has been shipped and cannot be cancelled any more.",
            ));
        }
        Err(RecordError::Store(error)) => return Err(error.into()),
    };
    Ok(versioned(StatusCode::ACCEPTED, order.version, &OrderView::try_from(order)?))
}
