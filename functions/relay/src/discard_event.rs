//! `POST /api/events/discard` gives a parked event up, so that the events behind it can be published. Consumers never
//! hear of it. The reason is kept with the event's id. Safe to repeat.

use lambda_http::http::StatusCode;
use serde::Serialize;
use trackops_aws::StoreError;
use trackops_aws::relay::{Discarded, RelayStore};
use trackops_aws::retry;
use trackops_domain::{CustomerId, Timestamp};
use trackops_lambda::http::{Answer, Call, body, json};
use trackops_lambda::identity::Role;
use trackops_lambda::input::{Object, parsed, text};
use trackops_lambda::problem::Problem;

use crate::outboxes::{EventId, Outboxes};
use crate::process_event::must_exist;

/// Characters.
const MAX_REASON: usize = 500;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiscardedView {
    event_id: String,
    discarded_at: Timestamp,
    discarded_by: CustomerId,
    reason: String,
}

pub async fn handle(outboxes: &Outboxes, store: &RelayStore, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator])?;
    let (id, reason) = body(&call.request)?.read(wanted)?;
    let (at, by) = (Timestamp::now(), call.caller.subject);
    let discarded = discard(outboxes, store, &id, Discarded { at, by, reason }).await?;
    let Discarded { at, by, reason } = discarded;
    let view =
        DiscardedView { event_id: id.to_string(), discarded_at: at, discarded_by: by, reason };
    Ok(json(StatusCode::OK, &view))
}

fn wanted(body: &mut Object<'_>) -> Option<(EventId, String)> {
    let id = body.required("eventId", parsed(str::parse));
    let reason = body.required("reason", text(MAX_REASON));
    Some((id?, reason?))
}

async fn discard(
    outboxes: &Outboxes,
    store: &RelayStore,
    id: &EventId,
    discarded: Discarded,
) -> Result<Discarded, Problem> {
    let (table, text) = (outboxes.of(id.source), id.to_string());
    for attempt in 0..retry::TRIES {
        let waiting = table.unpublished(&id.aggregate).await?;
        match (&waiting, waiting.as_ref().and_then(|item| item.position(&text))) {
            (Some(item), Some(0)) => {
                // The reason is stored first: no event may disappear without a reason.
                match store.discard(&text, &discarded).await {
                    Err(StoreError::Stale) => return Err(not_parked("It is not parked.")),
                    noted => noted?,
                }
                if !table.forget(item, 1).await? {
                    // An event was added, or the relay was faster.
                    retry::back_off(attempt).await;
                    continue;
                }
                let (by, reason) = (discarded.by.as_str(), discarded.reason.as_str());
                tracing::warn!(event = text, by, reason, "event discarded");
            }
            (_, Some(_)) => return Err(not_parked("Another event waits before it.")),
            (_, None) => {
                let noted = store.refusals(&[&text]).await?.remove(&text);
                if let Some(before) = noted.and_then(|noted| noted.discarded) {
                    return Ok(before);
                }
                must_exist(table, id).await?;
                return Err(not_parked("It was published."));
            }
        }
    }
    Err(Problem::busy("the outbox changes all the time"))
}

fn not_parked(detail: &str) -> Problem {
    let title = "Only an event that is parked can be discarded.";
    Problem::new(StatusCode::CONFLICT, "event-not-parked", title).detail(detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trackops_lambda::input::Input;

    use super::*;

    #[test]
    fn both_what_and_why_are_checked_at_once() {
        let body: Input =
            serde_json::from_value(json!({"eventId": "ORDER#1", "reason": " "})).unwrap();
        let errors = body.read(wanted).unwrap_err().errors;
        let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/eventId", "/reason"]);
    }
}
