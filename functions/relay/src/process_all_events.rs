//! `POST /api/events/process-all` publishes the events that wait, parked events too, the longest waiting aggregate
//! first. Safe to repeat.

use std::ptr;
use std::time::{Duration, Instant};

use futures::future::join_all;
use lambda_http::http::StatusCode;
use serde::Serialize;
use trackops_aws::outbox::Unpublished;
use trackops_aws::waiting::{Place, waiting};
use trackops_domain::Timestamp;
use trackops_lambda::cursor::Cursors;
use trackops_lambda::error::chain;
use trackops_lambda::http::{Answer, Call, body, json};
use trackops_lambda::identity::Role;
use trackops_lambda::input::{Object, integer, parsed, text};
use trackops_lambda::problem::Problem;

use crate::outboxes::{Kind, Outboxes, Source};
use crate::publish::{Publisher, Relay};

/// API Gateway waits 29 seconds, which is this function's timeout. The last page may take some more than this.
const BUDGET: Duration = Duration::from_secs(20);

/// Aggregates published at once.
const AGGREGATES: usize = 50;

const DEFAULT_BATCH: u32 = 100;
const MAX_BATCH: u32 = 1000;

/// A year.
const MAX_AGE: u32 = 365 * 24 * 60 * 60;

/// Characters.
const MAX_CURSOR: usize = 1024;

#[derive(Debug)]
struct Wanted {
    batch_size: usize,
    filter: Filter,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Filter {
    source: Option<Source>,
    kind: Option<Kind>,
    older_than_seconds: u32,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Processed {
    /// Events.
    published: usize,
    /// Aggregates of which the bus refused an event for good, and for now.
    parked: usize,
    failed: usize,
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub async fn handle(
    relay: &Relay<impl Publisher>,
    outboxes: &Outboxes,
    cursors: &Cursors,
    call: Call,
) -> Answer {
    call.caller.must_be(&[Role::Operator])?;
    let Wanted { batch_size, filter, cursor } = body(&call.request)?.read(wanted)?;
    let list = cursors.of("process-all", &call.caller, &filter).await?;
    let after: Option<Place> = cursor.map(|cursor| list.read(&cursor)).transpose()?;

    let (mut processed, next) = process(relay, outboxes, &filter, after, batch_size).await?;
    processed.more = next.is_some();
    let next_cursor = next.map(|place| list.write(&place)).transpose();
    processed.next_cursor = next_cursor.map_err(Problem::internal)?;
    let (by, Processed { published, parked, failed, .. }) = (&call.caller.subject, &processed);
    tracing::info!(by = by.as_str(), published, parked, failed, "processed");
    Ok(json(StatusCode::OK, &processed))
}

fn wanted(body: &mut Object<'_>) -> Option<Wanted> {
    let batch_size = body.optional("batchSize", integer(1..=MAX_BATCH)).unwrap_or(DEFAULT_BATCH);
    let source = body.optional("source", parsed(str::parse));
    let kind = body.optional("type", parsed(str::parse));
    let older_than_seconds = body.optional("olderThanSeconds", integer(0..=MAX_AGE)).unwrap_or(0);
    let cursor = body.optional("cursor", text(MAX_CURSOR));
    let filter = Filter { source, kind, older_than_seconds };
    Some(Wanted { batch_size: batch_size as usize, filter, cursor })
}

/// Publishes at most `batch_size` events and the rest of the last aggregate's, or as many as the time allows. Returns
/// where to go on, or `None` when every aggregate had its turn.
async fn process(
    relay: &Relay<impl Publisher>,
    outboxes: &Outboxes,
    filter: &Filter,
    mut after: Option<Place>,
    batch_size: usize,
) -> Result<(Processed, Option<Place>), Problem> {
    let until = Instant::now() + BUDGET;
    let tables = outboxes.some(filter.source);
    let before = Timestamp::now().minus(Duration::from_secs(filter.older_than_seconds.into()));
    let (mut processed, mut tried) = (Processed::default(), 0);
    while tried < batch_size && Instant::now() < until {
        let count = AGGREGATES.min(batch_size - tried);
        let (items, next) = match waiting(&tables, before, after.as_ref(), count).await {
            Ok(page) => page,
            // The caller learns what was done, and where to go on.
            Err(error) if tried > 0 => {
                tracing::error!(error = chain(&error), "not read");
                break;
            }
            Err(error) => return Err(error.into()),
        };
        let mut ends = next.is_none();
        let mut chosen = Vec::new();
        for waiting in items {
            if tried >= batch_size {
                ends = false;
                break;
            }
            after = Some(waiting.place.clone());
            let up_to = up_to(&waiting.item, filter.kind);
            tried += up_to;
            if up_to > 0 || !waiting.item.unreadable.is_empty() {
                chosen.push((waiting, up_to));
            }
        }
        let wanted = chosen.iter().map(|(waiting, up_to)| match filter.kind {
            None => waiting.item.clone(),
            Some(_) => waiting.item.beginning(*up_to),
        });
        let outcomes = relay.publish(wanted.collect()).await;
        let published = chosen.iter().map(|(waiting, _)| waiting).zip(&outcomes);
        let settled = tables.iter().map(|table| {
            let of_table = published.clone().filter(|it| ptr::eq(it.0.table, *table));
            relay.settle(table, of_table.map(|(waiting, outcome)| (&waiting.item, outcome)))
        });
        join_all(settled).await;
        relay.tidy_up(&outcomes).await;
        processed.published += outcomes.iter().map(|outcome| outcome.told).sum::<usize>();
        processed.parked += outcomes.iter().filter(|outcome| outcome.is_parked()).count();
        processed.failed += outcomes.iter().filter(|outcome| outcome.is_left()).count();
        if ends {
            return Ok((processed, None));
        }
        // An aggregate that was published meanwhile has a place in the list, but needs no turn.
        after = if tried < batch_size { next.or(after) } else { after };
    }
    Ok((processed, after))
}

/// How many of the item's events must be published so that the last one of this type is published.
fn up_to(item: &Unpublished, kind: Option<Kind>) -> usize {
    let Some(Kind(kind)) = kind else { return item.outbox.len() };
    item.outbox.iter().rposition(|event| event.kind == kind).map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use trackops_domain::event::EventType;
    use trackops_lambda::input::Input;

    use super::*;
    use crate::publish::tests::item;

    fn asked(body: Value) -> Result<Wanted, Vec<String>> {
        let pointers = |problem: Problem| problem.errors.into_iter().map(|e| e.pointer).collect();
        serde_json::from_value::<Input>(body).unwrap().read(wanted).map_err(pointers)
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let wrong = json!({
            "batchSize": 0, "olderThanSeconds": MAX_AGE + 1, "source": "orders", "type": "order",
        });
        let pointers = ["/batchSize", "/source", "/type", "/olderThanSeconds"];
        assert_eq!(asked(wrong).unwrap_err(), pointers);
        let all = asked(json!({})).unwrap();
        assert_eq!((all.batch_size, all.filter.older_than_seconds), (100, 0));
    }

    #[test]
    fn events_of_a_type_take_those_before_them_along_and_leave_those_behind() {
        let mut item = item("A", &["a1", "a2", "a3"]);
        item.outbox[0].kind = EventType::InventoryItemUpdated.into();
        item.outbox[1].kind = EventType::InventoryLowStock.into();
        item.outbox[2].kind = EventType::InventoryItemUpdated.into();
        assert_eq!(up_to(&item, None), 3);
        assert_eq!(up_to(&item, Some(Kind(EventType::InventoryLowStock))), 2);
        assert_eq!(up_to(&item, Some(Kind(EventType::InventoryItemUpdated))), 3);
        assert_eq!(up_to(&item, Some(Kind(EventType::OrderCreated))), 0);
    }
}
