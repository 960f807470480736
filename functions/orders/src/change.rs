//! Changing an order for a caller: only an order that they may see, in the version they saw, as its status allows.

use lambda_http::http::StatusCode;
use trackops_aws::aggregate::Write;
use trackops_aws::orders::Orders;
use trackops_domain::order::{Author, Fact, Order};
use trackops_domain::{OrderId, Timestamp};
use trackops_lambda::http::{Answer, Call, versioned};
use trackops_lambda::idempotency::{self, Repetition};
use trackops_lambda::preconditions::Preconditions;
use trackops_lambda::problem::Problem;

use crate::actor::actor;
use crate::view::OrderView;

/// What a caller may do to an order, and its name in answers.
const CHANGES: [(Fact, &str); 4] = [
    (Fact::ProcessingStarted, "PROCESSING"),
    (Fact::Shipped, "SHIPPED"),
    (Fact::Delivered, "DELIVERED"),
    (Fact::CancelRequested, "cancellation"),
];

/// The order after `fact`, as `status`. If this caller made the same change before, the answer is the first one again.
/// The change is recognised by its `Idempotency-Key`, or by the version in `If-Match` from which it was made.
pub async fn change(
    orders: &Orders,
    id: &OrderId,
    call: &Call,
    fact: Fact,
    status: StatusCode,
) -> Answer {
    let conditions = Preconditions::of(call.request.headers())?;
    let actor = actor(&call.caller);
    let decide = |order: Option<Order>| {
        let order = order.filter(|order| call.caller.may_see(&order.customer_id));
        let order = order.ok_or_else(Problem::order_not_found)?;
        if let Err(changed) = conditions.allow(order.version) {
            let made_of = |version| order.as_made_of(version, fact, &actor);
            return conditions.versions().find_map(made_of).map(Write::Nothing).ok_or(changed);
        }
        let next = order.after(fact, Timestamp::now(), &call.cause);
        let next = next.map_err(|_| not_allowed(&order))?;
        let next = next.map(|next| next.by(Author::Caller(actor.clone())));
        Ok(next.map_or(Write::Nothing(order), Write::Replace))
    };
    let show = |order: &Order| {
        Ok::<_, Problem>(versioned(status, order.version, &OrderView::try_from(order.clone())?))
    };
    let (table, key) = (orders.table(), Order::key(id));
    // Only a request with a key costs a record of its answer. Without a key the order itself knows which change was
    // made to a version.
    if idempotency::key(&call.request)?.is_none() {
        return show(&table.decide(&key, decide).await?);
    }
    let repetition = Repetition::of(call, &conditions, false)?;
    let answer = |order: &Order| repetition.kept(&show(order)?);
    repetition.answer(table.answer_once(&key, &repetition.request, decide, answer).await?)
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
