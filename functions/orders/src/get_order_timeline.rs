//! `GET /api/orders/{id}/timeline` shows what happened to an order, when and by whom. This includes the steps of its
//! saga, and what inventory and payments told about it.

use lambda_http::http::StatusCode;
use serde::Serialize;
use trackops_aws::orders::Orders;
use trackops_domain::event::EventType;
use trackops_domain::order::{Actor, Order, OrderStatus, Reason};
use trackops_domain::outcome::Outcome;
use trackops_domain::{OrderId, Timestamp};
use trackops_lambda::http::{Answer, Call, json, path_param, tagged};
use trackops_lambda::identity::Caller;
use trackops_lambda::problem::Problem;

use crate::actor::shown_to;
use crate::outcome_view::OutcomeView;
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
    /// For a step, the time when it ended.
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
        /// The version of the order after this change.
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
    Outcome {
        #[serde(rename = "type")]
        event: EventType,
        #[serde(flatten)]
        outcome: OutcomeView,
        correlation_id: String,
    },
}

pub async fn handle(orders: &Orders, call: Call) -> Answer {
    let id: OrderId = path_param(&call.request, "id", Problem::order_not_found)?;
    let found = orders.find_with_outcomes(&id).await?;
    let found = found.filter(|(order, _)| call.caller.may_see(&order.customer_id));
    let (order, outcomes) = found.ok_or_else(Problem::order_not_found)?;
    let view = TimelineView { order_id: id, entries: entries(order, outcomes, &call.caller) };
    // A hash, not the order's version: noting an outcome does not change the version.
    Ok(tagged(json(StatusCode::OK, &view)))
}

fn entries(order: Order, outcomes: Vec<Outcome>, caller: &Caller) -> Vec<EntryView> {
    let mut entries = Vec::new();
    for Outcome { kind: event, at, correlation_id, of } in outcomes {
        let outcome = OutcomeView::of(of, caller);
        let what = What::Outcome { event, outcome, correlation_id };
        entries.push(EntryView { at, actor: None, what });
    }
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
    // The sort is stable. At the same moment, an outcome comes before the end of its step, and a step before the status
    // that it led to.
    entries.sort_by_key(|entry| entry.at);
    entries
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trackops_domain::order::{Author, Direction, Fact};
    use trackops_domain::outcome::Of;
    use trackops_domain::payment::PaymentState;
    use trackops_domain::reservation::ReservationState;
    use trackops_domain::saga::{Run, Step};
    use trackops_domain::{Cause, examples};
    use trackops_lambda::identity::Role;

    use super::*;

    fn cause() -> Cause {
        Cause { correlation_id: "c".into(), ..Cause::default() }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Placed at 0, and cancelled at 20 by a run whose step began at 10.
    fn order() -> Order {
        let step = Step {
            name: "AbandonOrder".into(),
            outcome: "Succeeded".into(),
            attempts: 1,
            started_at: at(10),
            ended_at: at(10),
        };
        let run = Run {
            instance: "r".into(),
            direction: Direction::Forward,
            started_at: at(10),
            steps: vec![step],
        };
        let placed = Order::place(examples::order(), at(0), cause()).unwrap();
        let fact = Fact::Abandoned(Reason::PaymentDeclined);
        placed.after(fact, at(20), &cause()).unwrap().unwrap().by(Author::Saga(Some(run)))
    }

    #[test]
    fn what_others_told_stands_where_it_happened_however_late_it_was_noted() {
        let released = Of::Reservation { state: ReservationState::Expired, shortages: Vec::new() };
        let refunded = Of::Payment {
            previous_state: PaymentState::Refunding,
            state: PaymentState::Refunded,
            amount: None,
            currency: None,
        };
        let outcome = |kind, at, of| Outcome { kind, at, correlation_id: "c".into(), of };
        let outcomes = vec![
            outcome(EventType::PaymentRefunded, at(30), refunded),
            outcome(EventType::InventoryReleased, at(20), released.clone()),
            outcome(EventType::InventoryReleased, at(5), released),
        ];
        let alice = Caller { role: Role::Customer, subject: "alice".parse().unwrap() };
        let entries = serde_json::to_value(entries(order(), outcomes, &alice)).unwrap();
        let entries = entries.as_array().unwrap();
        let told = entries.iter().map(|entry| {
            let names = ["status", "name", "type"];
            names.into_iter().find_map(|name| entry[name].as_str()).unwrap()
        });
        let expected = [
            "PENDING",
            "inventory.released",
            "inventory.released",
            "AbandonOrder",
            "CANCELLING",
            "payment.refunded",
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
        let expected = json!({
            "at": "1970-01-01T00:00:00.030Z", "kind": "OUTCOME", "type": "payment.refunded",
            "previousState": "REFUNDING", "state": "REFUNDED", "correlationId": "c",
        });
        assert_eq!(entries[5], expected);
    }
}
