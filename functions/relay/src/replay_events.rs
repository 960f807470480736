//! `POST /api/events/replay` sends events of orders again, rebuilt from their timelines: the same ids, the same bytes, and
//! a mark that says so. Tells what it would send unless it is told to send it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lambda_http::http::StatusCode;
use serde::Serialize;
use trackops_aws::StoreError;
use trackops_aws::order_list::{Filter, Position};
use trackops_aws::orders::Orders;
use trackops_aws::outbox::{OutboxEntry, Unpublished};
use trackops_aws::stored::Page;
use trackops_domain::order::Order;
use trackops_domain::{Event, OrderId, Timestamp};
use trackops_lambda::cursor::Cursors;
use trackops_lambda::http::{Answer, Call, body, json};
use trackops_lambda::identity::Role;
use trackops_lambda::input::{Object, boolean, integer, list, parsed, text};
use trackops_lambda::problem::Problem;

use crate::outboxes::Kind;
use crate::publish::{Publisher, publish};
use crate::view::StoppedView;

/// API Gateway waits 29 seconds, which is this function's timeout. The last order may take some more than this.
const BUDGET: Duration = Duration::from_secs(20);

/// An order is done with, as a rule, so long after it was placed.
const LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Orders.
const DEFAULT_BATCH: u32 = 20;
const MAX_BATCH: u32 = 100;

/// Events a second.
const DEFAULT_RATE: u32 = 50;
const MAX_RATE: u32 = 500;

const MAX_TYPES: usize = 10;

/// Characters.
const MAX_CURSOR: usize = 1024;

#[derive(Debug)]
struct Wanted {
    choice: Choice,
    dry_run: bool,
    batch_size: usize,
    events_per_second: u32,
    cursor: Option<String>,
}

/// Which events are sent.
#[derive(Debug, Default, Serialize)]
struct Choice {
    orders: Vec<OrderId>,
    /// Any if there are none.
    types: Vec<Kind>,
    /// Raised then or later, and before.
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    /// Of orders that were placed then or later.
    placed_from: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replayed {
    dry_run: bool,
    /// So many orders were looked at.
    orders: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_order_ids: Vec<OrderId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable_order_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    placed_from: Option<Timestamp>,
    /// What was sent, or would be.
    events: Vec<EventView>,
    by_type: BTreeMap<String, usize>,
    /// Where the bus refused an event; those behind it, of the same order, were not sent.
    stopped_at: Vec<StoppedView>,
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventView {
    event_id: String,
    #[serde(rename = "type")]
    kind: String,
    time: Timestamp,
}

pub async fn handle(
    bus: &impl Publisher,
    orders: &Orders,
    cursors: &Cursors,
    call: Call,
) -> Answer {
    call.caller.must_be(&[Role::Operator])?;
    let Wanted { choice, dry_run, batch_size, events_per_second, cursor } =
        body(&call.request)?.read(wanted)?;
    let cursors = cursors.of("replay", &call.caller, &choice).await?;
    let position = cursor.map(|cursor| cursors.read(&cursor)).transpose()?;

    let filter = Filter { from: choice.placed_from, to: choice.to, ..Filter::default() };
    let Page { found, unreadable, mut next } = if choice.orders.is_empty() {
        orders.list(&filter, position, batch_size).await?
    } else {
        let (found, unreadable) = orders.find_all(&choice.orders).await?;
        Page { found, unreadable, next: None }
    };
    let unreadable = unreadable.ids();
    let is_unknown = |id: &&OrderId| {
        found.iter().all(|order| order.id != **id)
            && unreadable.iter().all(|unreadable| *unreadable != id.to_string())
    };
    let mut replayed = Replayed {
        dry_run,
        orders: 0,
        unreadable_order_ids: unreadable.iter().map(|id| (*id).to_owned()).collect(),
        unknown_order_ids: choice.orders.iter().filter(is_unknown).copied().collect(),
        placed_from: choice.placed_from,
        events: Vec::new(),
        by_type: BTreeMap::new(),
        stopped_at: Vec::new(),
        more: false,
        next_cursor: None,
    };
    let mut pace = Pace::of(events_per_second);
    for order in &found {
        let mut outbox = choice.events(order)?;
        if !dry_run {
            let item = Unpublished::new(Order::key(&order.id), outbox);
            let outcome = publish(bus, vec![item]).await.pop();
            let outcome = outcome.ok_or_else(|| Problem::internal("an item without an outcome"))?;
            replayed.stopped_at.extend(StoppedView::of(&outcome));
            outbox = outcome.told().to_vec();
        }
        pace.keep(if dry_run { 0 } else { outbox.len() }).await;
        replayed.orders += 1;
        for event in outbox {
            let kind = event.kind.name().to_owned();
            *replayed.by_type.entry(kind.clone()).or_default() += 1;
            replayed.events.push(EventView { event_id: event.id, kind, time: event.time });
        }
        // Orders that are named are few, and are all done.
        if pace.started.elapsed() > BUDGET && choice.orders.is_empty() {
            if replayed.orders < found.len() {
                next = Some(Position::behind(order, &filter));
            }
            break;
        }
    }
    replayed.more = next.is_some();
    let next_cursor = next.map(|position| cursors.write(&position)).transpose();
    replayed.next_cursor = next_cursor.map_err(Problem::internal)?;
    let (by, orders, events) =
        (call.caller.subject.as_str(), replayed.orders, replayed.events.len());
    tracing::info!(by, dry_run, orders, events, "replayed");
    Ok(json(StatusCode::OK, &replayed))
}

fn wanted(body: &mut Object<'_>) -> Option<Wanted> {
    let orders = list(1..=MAX_BATCH as usize, parsed(str::parse::<OrderId>));
    let mut orders = body.optional("orderIds", orders).unwrap_or_default();
    orders.sort_unstable();
    orders.dedup();
    let types = body.optional("types", list(1..=MAX_TYPES, parsed(str::parse)));
    let time = || parsed(str::parse::<Timestamp>);
    let from = match orders.is_empty() {
        true => body.required("from", time()),
        false => body.optional("from", time()),
    };
    let to = body.optional("to", time());
    if let (Some(from), Some(to)) = (from, to)
        && to <= from
    {
        body.refuse("to", "must be later than from");
    }
    let placed_from = body.optional("placedFrom", time());
    let placed_from = placed_from.or(from.map(|from| from.minus(LIFE)));
    // Nothing is sent by mistake.
    let dry_run = body.optional("dryRun", boolean).unwrap_or(true);
    let batch_size = body.optional("batchSize", integer(1..=MAX_BATCH)).unwrap_or(DEFAULT_BATCH);
    let rate = body.optional("eventsPerSecond", integer(1..=MAX_RATE)).unwrap_or(DEFAULT_RATE);
    let cursor = body.optional("cursor", text(MAX_CURSOR));
    let placed_from = placed_from.filter(|_| orders.is_empty());
    Some(Wanted {
        choice: Choice { orders, types: types.unwrap_or_default(), from, to, placed_from },
        dry_run,
        batch_size: batch_size as usize,
        events_per_second: rate,
        cursor,
    })
}

impl Choice {
    /// Those of the order's events that are wanted, oldest first.
    fn events(&self, order: &Order) -> Result<Vec<OutboxEntry>, StoreError> {
        let events = (0..order.timeline.len()).filter_map(|index| order.event_at(index));
        events.filter(|event| self.has(event)).map(|event| marked(&event)).collect()
    }

    fn has(&self, event: &Event) -> bool {
        (self.types.is_empty() || self.types.contains(&Kind(event.kind)))
            && self.from.is_none_or(|from| event.time >= from)
            && self.to.is_none_or(|to| event.time < to)
    }
}

/// The event as it was raised, and behind everything else a CloudEvents extension attribute, `"replay": true`.
fn marked(event: &Event) -> Result<OutboxEntry, StoreError> {
    #[derive(Serialize)]
    struct Marked<'a> {
        #[serde(flatten)]
        event: &'a Event,
        replay: bool,
    }
    let body = serde_json::to_string(&Marked { event, replay: true });
    Ok(OutboxEntry { body: body.map_err(StoreError::corrupt)?, ..OutboxEntry::of(event)? })
}

/// Sends no faster than so many events a second, so that the bus has room for what is new.
struct Pace {
    started: Instant,
    per_second: u32,
    sent: u64,
}

impl Pace {
    fn of(per_second: u32) -> Self {
        Self { started: Instant::now(), per_second, sent: 0 }
    }

    async fn keep(&mut self, sent: usize) {
        self.sent += sent as u64;
        let earliest = Duration::from_millis(self.sent * 1000 / u64::from(self.per_second.max(1)));
        tokio::time::sleep(earliest.saturating_sub(self.started.elapsed())).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use trackops_domain::event::EventType;
    use trackops_domain::order::Fact;
    use trackops_domain::{Cause, examples};
    use trackops_lambda::input::Input;

    use super::*;

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_millis(minute * 60_000)
    }

    /// Placed in minute 1, confirmed in minute 2, PROCESSING in minute 3. What it has told, as it was told.
    fn order() -> (Order, Vec<OutboxEntry>) {
        let cause = Cause { correlation_id: "c".into(), ..Cause::default() };
        let mut order = Order::place(examples::order(), minute(1), cause.clone()).unwrap();
        let mut told = vec![OutboxEntry::of(&order.event().unwrap()).unwrap()];
        for (at, fact) in [(2, Fact::Confirmed), (3, Fact::ProcessingStarted)] {
            order = order.after(fact, minute(at), &cause).unwrap().unwrap();
            told.push(OutboxEntry::of(&order.event().unwrap()).unwrap());
        }
        (order, told)
    }

    #[test]
    fn a_replayed_event_is_what_was_told_byte_for_byte_but_for_its_mark() {
        let (order, told) = order();
        let replayed = Choice::default().events(&order).unwrap();
        assert_eq!(replayed.len(), told.len());
        for (replayed, told) in replayed.iter().zip(&told) {
            let unmarked = replayed.body.strip_suffix(",\"replay\":true}").unwrap();
            assert_eq!(format!("{unmarked}}}"), told.body);
            assert_eq!(OutboxEntry { body: told.body.clone(), ..replayed.clone() }, *told);
            let read: Event = serde_json::from_str(&replayed.body).unwrap();
            assert_eq!(read, serde_json::from_str::<Event>(&told.body).unwrap());
        }
    }

    #[test]
    fn only_what_was_raised_in_time_and_is_of_a_wanted_type_is_replayed() {
        let (order, told) = order();
        let ids = |choice: Choice| -> Vec<String> {
            choice.events(&order).unwrap().into_iter().map(|event| event.id).collect()
        };
        let all: Vec<_> = told.iter().map(|event| event.id.clone()).collect();
        let (from, to) = (Some(minute(2)), Some(minute(3)));
        assert_eq!(ids(Choice { from, ..Choice::default() }), all[1..]);
        assert_eq!(ids(Choice { to, ..Choice::default() }), all[..2]);
        assert_eq!(ids(Choice { from, to, ..Choice::default() }), all[1..2]);
        let types = vec![Kind(EventType::OrderCreated)];
        assert_eq!(ids(Choice { types, ..Choice::default() }), all[..1]);
    }

    fn asked(body: Value) -> Result<Wanted, Vec<String>> {
        let pointers = |problem: Problem| problem.errors.into_iter().map(|e| e.pointer).collect();
        serde_json::from_value::<Input>(body).unwrap().read(wanted).map_err(pointers)
    }

    #[test]
    fn nothing_is_sent_unless_it_is_asked_for() {
        let from = "2026-11-25T00:00:00.000Z";
        assert!(asked(json!({"from": from})).unwrap().dry_run);
        assert!(!asked(json!({"from": from, "dryRun": false})).unwrap().dry_run);
    }

    #[test]
    fn a_range_begins_with_orders_of_a_month_before_and_named_orders_have_none() {
        let from = "2026-11-25T00:00:00.000Z";
        let choice = asked(json!({"from": from})).unwrap().choice;
        assert_eq!(choice.placed_from.unwrap().to_string(), "2026-10-26T00:00:00.000Z");
        let id = OrderId::generate();
        let choice = asked(json!({"from": from, "orderIds": [id, id]})).unwrap().choice;
        assert_eq!((choice.orders, choice.placed_from), (vec![id], None));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let wrong = json!({
            "orderIds": ["7"], "types": ["order.created", "order"], "from": "2026-11-25T00:00:00Z",
            "to": "2026-11-24T00:00:00Z", "placedFrom": "yesterday", "dryRun": "no",
            "batchSize": 101, "eventsPerSecond": 0,
        });
        let expected = [
            "/orderIds/0",
            "/types/1",
            "/to",
            "/placedFrom",
            "/dryRun",
            "/batchSize",
            "/eventsPerSecond",
        ];
        assert_eq!(asked(wrong).unwrap_err(), expected);
        assert_eq!(asked(json!({})).unwrap_err(), ["/from"]);
    }

    #[tokio::test]
    async fn a_replay_keeps_its_pace() {
        let mut pace = Pace::of(1000);
        pace.keep(30).await;
        assert!(pace.started.elapsed() >= Duration::from_millis(30));
    }
}
