//! `GET /api/orders/{id}/timeline` shows what happened to an order, and when, oldest first.

use serde::Serialize;
use trackops_aws::orders::Orders;
use trackops_domain::order::{OrderStatus, Reason, TimelineEntry};
use trackops_domain::{OrderId, Timestamp};
use trackops_lambda::http::{Answer, Call, path_param, unless_known};
use trackops_lambda::problem::Problem;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TimelineView {
    order_id: OrderId,
    entries: Vec<EntryView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryView {
    /// The version that the order became by it.
    version: u64,
    at: Timestamp,
    status: OrderStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    correlation_id: String,
}

impl From<TimelineEntry> for EntryView {
    fn from(entry: TimelineEntry) -> Self {
        Self {
            version: entry.version,
            at: entry.at,
            status: entry.status,
            reason: entry.reason,
            correlation_id: entry.cause.correlation_id,
        }
    }
}

pub async fn handle(orders: &Orders, call: Call) -> Answer {
    let id: OrderId = path_param(&call.request, "id", Problem::order_not_found)?;
    let order = orders.find(&id).await?.filter(|order| call.caller.may_see(&order.customer_id));
    let order = order.ok_or_else(Problem::order_not_found)?;
    let entries = order.timeline.into_iter().map(EntryView::from).collect();
    let view = TimelineView { order_id: order.id, entries };
    Ok(unless_known(&call.request, order.version, &view))
}
