//! `GET /api/events/stats` says how many events were published, and how many wait, since when and why.

use std::collections::BTreeMap;

use lambda_http::http::StatusCode;
use serde::Serialize;
use trackops_aws::outbox::{Kind, OutboxEntry};
use trackops_aws::relay::{RefusedEvent, RelayStore};
use trackops_aws::waiting::waiting;
use trackops_domain::Timestamp;
use trackops_lambda::http::{Answer, Call, Query, json};
use trackops_lambda::identity::Role;
use trackops_lambda::problem::Problem;

use crate::outboxes::Outboxes;

/// Every kind of bus that events were ever published to.
const BUSES: [&str; 2] = ["eventbridge", "kafka"];

const DEFAULT_DAYS: u32 = 7;
const MAX_DAYS: u32 = 90;

/// How many aggregates are read at once, and how often. Aggregates after these are not counted.
const AGGREGATES: usize = 100;
const STEPS: usize = 10;

#[derive(Serialize)]
struct Stats {
    published: PublishedView,
    unpublished: UnpublishedView,
    parked: ParkedView,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PublishedView {
    /// UTC days, today included.
    days: u32,
    events: u64,
    by_type: Vec<PublishedType>,
}

#[derive(Serialize)]
struct PublishedType {
    #[serde(rename = "type")]
    kind: String,
    bus: String,
    events: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct UnpublishedView {
    aggregates: usize,
    events: u64,
    /// Further entries that this version of the relay cannot read, and the entries behind them.
    unreadable: usize,
    /// Whether all aggregates are counted.
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_age_seconds: Option<u64>,
    by_type: Vec<WaitingType>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct WaitingType {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    events: u64,
    oldest_at: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ParkedView {
    events: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_at: Option<Timestamp>,
    by_type: BTreeMap<String, u64>,
}

pub async fn handle(outboxes: &Outboxes, store: &RelayStore, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator])?;
    let mut query = Query::of(&call.request);
    let days = query.whole_number("days", 1..=MAX_DAYS).unwrap_or(DEFAULT_DAYS);
    query.finish()?;
    let now = Timestamp::now();
    let published = store.published(&BUSES, days, now);
    let (published, unpublished, parked) =
        futures::join!(published, unpublished(outboxes, now), store.parked());
    let stats = Stats {
        published: PublishedView::of(days, published?),
        unpublished: unpublished?,
        parked: ParkedView::of(&parked?),
    };
    Ok(json(StatusCode::OK, &stats))
}

async fn unpublished(outboxes: &Outboxes, now: Timestamp) -> Result<UnpublishedView, Problem> {
    let tables = outboxes.some(None);
    let (mut waits, mut aggregates, mut after) = (Waits::default(), 0, None);
    for _ in 0..STEPS {
        let (items, next) = waiting(&tables, now, after.as_ref(), AGGREGATES).await?;
        aggregates += items.len();
        for event in items.iter().flat_map(|waiting| &waiting.item.outbox) {
            waits.add(event);
        }
        // The entries behind such an entry wait too, but nothing more is known of them.
        waits.unreadable +=
            items.iter().map(|waiting| waiting.item.unreadable.len()).sum::<usize>();
        after = next;
        if after.is_none() {
            break;
        }
    }
    Ok(waits.view(aggregates, after.is_none(), now))
}

/// Events and the time of the oldest, by type.
#[derive(Default)]
struct Waits {
    by_type: BTreeMap<String, WaitingType>,
    unreadable: usize,
}

impl Waits {
    fn add(&mut self, event: &OutboxEntry) {
        let first = || WaitingType {
            kind: event.kind.clone(),
            source: event.source().map(Into::into),
            events: 0,
            oldest_at: event.time,
        };
        let of_type = self.by_type.entry(event.kind.name().to_owned()).or_insert_with(first);
        of_type.events += 1;
        of_type.oldest_at = event.time.min(of_type.oldest_at);
    }

    fn view(self, aggregates: usize, complete: bool, now: Timestamp) -> UnpublishedView {
        let by_type: Vec<_> = self.by_type.into_values().collect();
        let oldest_at = by_type.iter().map(|of_type| of_type.oldest_at).min();
        UnpublishedView {
            aggregates,
            events: by_type.iter().map(|it| it.events).sum(),
            unreadable: self.unreadable,
            complete,
            oldest_at,
            oldest_age_seconds: oldest_at.map(|at| now.since(at).as_secs()),
            by_type,
        }
    }
}

impl PublishedView {
    fn of(days: u32, counts: BTreeMap<(String, String), u64>) -> Self {
        let by_type = counts.into_iter();
        let by_type = by_type.map(|((bus, kind), events)| PublishedType { kind, bus, events });
        let by_type: Vec<_> = by_type.collect();
        Self { days, events: by_type.iter().map(|it| it.events).sum(), by_type }
    }
}

impl ParkedView {
    fn of(parked: &[RefusedEvent]) -> Self {
        let mut by_type = BTreeMap::new();
        for event in parked {
            *by_type.entry(event.kind.name().to_owned()).or_default() += 1;
        }
        let oldest_at = parked.first().map(|event| event.first_at);
        Self { events: parked.len(), oldest_at, by_type }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_counted_by_type_and_as_old_as_its_oldest() {
        let at = |second: i64| Timestamp::from_millis(second * 1000);
        let mut waits = Waits::default();
        for (kind, second) in
            [("order.status.updated", 50), ("order.created", 40), ("order.status.updated", 45)]
        {
            waits.add(&event(kind, at(second)));
        }
        let view = waits.view(2, true, at(100));
        assert_eq!((view.aggregates, view.events, view.complete), (2, 3, true));
        assert_eq!((view.oldest_at, view.oldest_age_seconds), (Some(at(40)), Some(60)));
        let by_type: Vec<_> =
            view.by_type.iter().map(|it| (it.kind.name(), it.events, it.oldest_at)).collect();
        assert_eq!(by_type, [("order.created", 1, at(40)), ("order.status.updated", 2, at(45))]);
        assert_eq!(Waits::default().view(0, true, at(0)).oldest_at, None);
    }

    #[test]
    fn a_type_that_is_not_known_is_counted_by_the_name_that_it_has() {
        let mut waits = Waits::default();
        waits.add(&event("order.archived", Timestamp::from_millis(0)));
        let view = serde_json::to_value(waits.view(1, true, Timestamp::from_millis(0))).unwrap();
        assert_eq!(view["byType"][0]["type"], "order.archived");
        assert_eq!(view["byType"][0]["source"], "trackops.orders");
    }

    fn event(kind: &str, time: Timestamp) -> OutboxEntry {
        let body = r#"{"source": "/trackops.orders"}"#.to_owned();
        OutboxEntry { id: "ORDER#1#1".into(), kind: kind.into(), time, traceparent: None, body }
    }
}
