//! Changing an order for a caller: only theirs, only the version they saw, only what its status allows.

use lambda_http::http::StatusCode;
use trackops_aws::orders::{Orders, RecordError};
use trackops_domain::OrderId;
use trackops_domain::order::{Author, Fact, Order};
use trackops_lambda::http::{Call, if_match};
use trackops_lambda::problem::Problem;

use crate::actor::actor;

/// What a caller may do to an order, and its name in answers.
const CHANGES: [(Fact, &str); 4] = [
    (Fact::ProcessingStarted, "PROCESSING"),
    (Fact::Shipped, "SHIPPED"),
    (Fact::Delivered, "DELIVERED"),
    (Fact::CancelRequested, "cancellation"),
];

pub async fn change(
    orders: &Orders,
    id: &OrderId,
    call: &Call,
    fact: Fact,
) -> Result<Order, Problem> {
    let expected = if_match(&call.request)?;
    let decide = |order: &Order| {
        if !call.caller.may_see(&order.customer_id) {
            return Err(RecordError::NoOrder(*id));
        }
        match expected {
            Some(version) if version != order.version => Err(RecordError::Changed(order.version)),
            _ => Ok(Some(fact)),
        }
    };
    let author = Author::Caller(actor(&call.caller));
    match orders.record(id, decide, &author, &call.cause).await {
        Ok(order) => Ok(order),
        Err(RecordError::NoOrder(_)) => Err(Problem::order_not_found()),
        Err(RecordError::Changed(version)) => Err(Problem::changed(version)),
        Err(RecordError::Store(error)) => Err(error.into()),
        Err(RecordError::Illegal(_)) => Err(match orders.find(id).await? {
            Some(order) => not_allowed(&order),
            None => Problem::order_not_found(),
        }),
    }
}

fn not_allowed(order: &Order) -> Problem {
    let allowed: Vec<&str> = CHANGES
        .iter()
        .filter(|(fact, _)| order.status.allows(*fact))
        .map(|(_, name)| *name)
        .collect();
    let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
    let title = "The order's status does not allow this.";
    Problem::new(StatusCode::CONFLICT, "status-conflict", title)
        .detail(format!("It is {}; what it allows: {allowed}.", order.status))
}
