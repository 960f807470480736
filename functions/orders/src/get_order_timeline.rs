//! `GET /api/orders/{id}/timeline` shows what happened to an order, when and by whom, the steps of its saga included.

use serde::Serialize;
use trackops_aws::orders::Orders;
use trackops_domain::order::{Actor, Order, OrderStatus, Reason};
use trackops_domain::{OrderId, Timestamp};
use trackops_lambda::http::{Answer, Call, path_param, unless_known};
use trackops_lambda::identity::Caller;
use trackops_lambda::problem::Problem;

use crate::actor::shown_to;
use crate::saga_view::StepView;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TimelineView {
    order_id: OrderId,
    /// Oldest first.
    entries: Vec<EntryView>,
}

#[derive(Serialize)]
struct EntryView {
    /// A step's is its end.
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor>,
    #[serde(flatten)]
    what: What,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
enum What {
    Status {
        /// The version that the order became by it.
        version: u64,
        status: OrderStatus,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
        correlation_id: String,
    },
    SagaStep {
        instance: String,
        #[serde(flatten)]
        step: StepView,
    },
}

pub async fn handle(orders: &Orders, call: Call) -> Answer {
    let id: OrderId = path_param(&call.request, "id", Problem::order_not_found)?;
    let order = orders.find(&id).await?.filter(|order| call.caller.may_see(&order.customer_id));
    let order = order.ok_or_else(Problem::order_not_found)?;
    let version = order.version;
    let view = TimelineView { order_id: order.id, entries: entries(order, &call.caller) };
    Ok(unless_known(&call.request, version, &view))
}

fn entries(order: Order, caller: &Caller) -> Vec<EntryView> {
    let mut entries = Vec::new();
    for run in order.runs {
        for step in run.steps {
            let (at, instance) = (step.ended_at, run.instance.clone());
            let what = What::SagaStep { instance, step: StepView::of(step, caller) };
            entries.push(EntryView { at, actor: Some(Actor::SAGA), what });
        }
    }
    for entry in order.timeline {
        let what = What::Status {
            version: entry.version,
            status: entry.status,
            reason: entry.reason,
            correlation_id: entry.cause.correlation_id,
        };
        let actor = entry.actor.map(|actor| shown_to(caller, actor));
        entries.push(EntryView { at: entry.at, actor, what });
    }
    // Stable: a step comes before the status that it led to at the same moment.
    entries.sort_by_key(|entry| entry.at);
    entries
}
