//! `POST /api/events/process` publishes the events that an aggregate still has to publish, up to and including one
//! event, in order. Safe to repeat.

use std::str::FromStr;

use lambda_http::http::StatusCode;
use serde::Serialize;
use trackops_aws::aggregate::Table;
use trackops_aws::outbox::Unpublished;
use trackops_lambda::http::{Answer, Call, body, json};
use trackops_lambda::identity::Role;
use trackops_lambda::input::parsed;
use trackops_lambda::problem::Problem;

use crate::outboxes::{EventId, Outboxes};
use crate::publish::{Publisher, Relay};
use crate::view::StoppedView;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Processed {
    event_id: String,
    outcome: Outcome,
    /// The events that were published now, oldest first.
    published: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_at: Option<StoppedView>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Outcome {
    Published,
    /// The event, or an event before it, was refused for good.
    Parked,
    /// The event, or an event before it, was refused for now.
    NotPublished,
    AlreadyPublished,
    Discarded,
}

pub async fn handle(relay: &Relay<impl Publisher>, outboxes: &Outboxes, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator])?;
    let id =
        body(&call.request)?.read(|body| body.required("eventId", parsed(EventId::from_str)))?;
    let (table, event_id) = (outboxes.of(id.source), id.to_string());

    let waiting = table.unpublished(&id.aggregate).await?;
    let place = |item: &Unpublished| item.position(&event_id);
    let Some((item, place)) = waiting.and_then(|item| place(&item).map(|place| (item, place)))
    else {
        let outcome = told_before(relay, table, &id).await?;
        let nothing = (Vec::new(), None);
        return show(event_id, outcome, nothing);
    };
    let outcomes = relay.publish(vec![item.beginning(place + 1)]).await;
    let [outcome] = &outcomes[..] else {
        return Err(Problem::internal("one item has another number of outcomes"));
    };
    relay.settle(table, [(&item, outcome)]).await;
    relay.tidy_up(&outcomes).await;
    let told: Vec<String> = outcome.told().iter().map(|event| event.id.clone()).collect();
    tracing::info!(event = event_id, by = call.caller.subject.as_str(), ?told, "processed");
    let named = match outcome {
        _ if outcome.is_parked() => Outcome::Parked,
        _ if outcome.is_left() => Outcome::NotPublished,
        _ => Outcome::Published,
    };
    show(event_id, named, (told, StoppedView::of(outcome)))
}

fn show(
    event_id: String,
    outcome: Outcome,
    (published, stopped_at): (Vec<String>, Option<StoppedView>),
) -> Answer {
    Ok(json(StatusCode::OK, &Processed { event_id, outcome, published, stopped_at }))
}

/// The outcome for an event that is in no outbox.
async fn told_before(
    relay: &Relay<impl Publisher>,
    table: &Table,
    id: &EventId,
) -> Result<Outcome, Problem> {
    must_exist(table, id).await?;
    let text = id.to_string();
    let refused = relay.store.refusals(&[&text]).await?;
    let discarded = refused.get(&text).is_some_and(|refused| refused.discarded.is_some());
    Ok(if discarded { Outcome::Discarded } else { Outcome::AlreadyPublished })
}

/// Nobody can tell which versions of an aggregate raised an event, so every version counts as if it had.
pub(crate) async fn must_exist(table: &Table, id: &EventId) -> Result<(), Problem> {
    let version = table.version(&id.aggregate).await?;
    let was_raised = version.is_some_and(|version| (1..=version).contains(&id.version));
    if was_raised { Ok(()) } else { Err(not_found()) }
}

pub(crate) fn not_found() -> Problem {
    Problem::not_found("event-not-found", "There is no such event.")
}
