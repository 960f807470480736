//! `POST /api/events/replay` sends events again. It rebuilds them from what is stored, with the same ids and a mark
//! that says that they are replayed. By default it only tells what it would send.
//!
//! Orders, reservations and payments have histories. For a product, one `inventory.item.updated` tells the state and
//! version that it has now: a consumer that keeps the newest version is then up to date again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lambda_http::http::StatusCode;
use serde::{Deserialize, Serialize};
use trackops_aws::StoreError;
use trackops_aws::aggregate::Aggregate;
use trackops_aws::inventory::Inventory;
use trackops_aws::inventory_list::ItemFilter;
use trackops_aws::order_list::{Filter, Position};
use trackops_aws::orders::Orders;
use trackops_aws::outbox::{OutboxEntry, Unpublished};
use trackops_aws::payments::Payments;
use trackops_aws::stored;
use trackops_domain::order::Order;
use trackops_domain::{Cause, Event, OrderId, Sku, Timestamp};
use trackops_lambda::cursor::Cursors;
use trackops_lambda::http::{Answer, Call, body, json};
use trackops_lambda::identity::Role;
use trackops_lambda::input::{Object, boolean, integer, list, parsed, text};
use trackops_lambda::problem::Problem;

use crate::outboxes::{Kind, Source};
use crate::publish::{Publisher, publish};
use crate::view::StoppedView;

/// API Gateway waits 29 seconds, which is this function's timeout. The last order may take a little longer than this.
const BUDGET: Duration = Duration::from_secs(20);

/// Normally an order has ended this long after it was placed.
const LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Orders, or products.
const DEFAULT_BATCH: u32 = 20;
const MAX_BATCH: u32 = 100;

/// Events a second.
const DEFAULT_RATE: u32 = 50;
const MAX_RATE: u32 = 500;

const MAX_TYPES: usize = 10;

/// Characters.
const MAX_CURSOR: usize = 1024;

/// The stores from which old events are rebuilt.
pub struct Histories {
    pub orders: Orders,
    pub inventory: Inventory,
    pub payments: Payments,
}

#[derive(Debug)]
struct Wanted {
    choice: Choice,
    dry_run: bool,
    batch_size: usize,
    events_per_second: u32,
    cursor: Option<String>,
}

/// Which events are sent.
#[derive(Debug, Serialize)]
struct Choice {
    /// The service whose events about orders are sent.
    source: Source,
    orders: Vec<OrderId>,
    /// If given, events of products are sent instead of events of orders; an empty list means all products.
    products: Option<Vec<Sku>>,
    /// An empty list means all types.
    types: Vec<Kind>,
    /// Only events raised at or after `from`, and before `to`.
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    /// Only orders placed at this time or later.
    placed_from: Option<Timestamp>,
}

impl Default for Choice {
    fn default() -> Self {
        let (from, to, placed_from) = (None, None, None);
        let (orders, types) = (Vec::new(), Vec::new());
        Self { source: Source::Orders, orders, products: None, types, from, to, placed_from }
    }
}

/// Where a replay goes on.
#[derive(Debug, Serialize, Deserialize)]
enum Place {
    Orders(Position),
    /// After this product.
    Products(String),
}

/// An aggregate whose events are sent again, and where the list goes on after it.
struct Told {
    key: String,
    events: Vec<Event>,
    place: Place,
}

#[derive(Default)]
struct Page {
    told: Vec<Told>,
    unknown_orders: Vec<OrderId>,
    unknown_products: Vec<Sku>,
    unreadable: Vec<String>,
    next: Option<Place>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replayed {
    dry_run: bool,
    /// How many orders were looked at.
    orders: usize,
    products: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_order_ids: Vec<OrderId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_product_ids: Vec<Sku>,
    /// Orders that this version cannot read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable_order_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable_product_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    placed_from: Option<Timestamp>,
    /// The events that were sent, or would be sent.
    events: Vec<EventView>,
    by_type: BTreeMap<String, usize>,
    /// Where the bus refused an event; the later events of the same aggregate were not sent.
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
    histories: &Histories,
    cursors: &Cursors,
    call: Call,
) -> Answer {
    call.caller.must_be(&[Role::Operator])?;
    let Wanted { choice, dry_run, batch_size, events_per_second, cursor } =
        body(&call.request)?.read(wanted)?;
    let cursors = cursors.of("replay", &call.caller, &choice).await?;
    let place: Option<Place> = cursor.map(|cursor| cursors.read(&cursor)).transpose()?;

    let page = match (&choice.products, place) {
        (None, None) => choice.orders(histories, None, batch_size).await?,
        (None, Some(Place::Orders(position))) => {
            choice.orders(histories, Some(position), batch_size).await?
        }
        (Some(skus), None) => {
            products(&histories.inventory, skus, None, batch_size, &call.cause).await?
        }
        (Some(skus), Some(Place::Products(after))) => {
            products(&histories.inventory, skus, Some(after), batch_size, &call.cause).await?
        }
        (None, Some(Place::Products(_))) | (Some(_), Some(Place::Orders(_))) => {
            return Err(Problem::internal("a cursor of another choice"));
        }
    };
    let Page { told, unknown_orders, unknown_products, unreadable, mut next } = page;
    let of_products = choice.products.is_some();
    let unreadable_products = if of_products { unreadable.clone() } else { Vec::new() };
    let unreadable_orders = if of_products { Vec::new() } else { unreadable };
    let mut replayed = Replayed {
        dry_run,
        orders: 0,
        products: 0,
        unknown_order_ids: unknown_orders,
        unknown_product_ids: unknown_products,
        unreadable_order_ids: unreadable_orders,
        unreadable_product_ids: unreadable_products,
        placed_from: choice.placed_from,
        events: Vec::new(),
        by_type: BTreeMap::new(),
        stopped_at: Vec::new(),
        more: false,
        next_cursor: None,
    };
    let (mut pace, count) = (Pace::of(events_per_second), told.len());
    for (number, Told { key, events, place }) in told.into_iter().enumerate() {
        let events = events.iter().filter(|event| choice.has(event)).map(marked);
        let mut outbox = events.collect::<Result<Vec<_>, _>>()?;
        if !dry_run {
            let outcome = publish(bus, vec![Unpublished::new(key, outbox)]).await.pop();
            let outcome = outcome.ok_or_else(|| Problem::internal("an item without an outcome"))?;
            replayed.stopped_at.extend(StoppedView::of(&outcome));
            outbox = outcome.told().to_vec();
        }
        pace.keep(if dry_run { 0 } else { outbox.len() }).await;
        *(if choice.products.is_none() { &mut replayed.orders } else { &mut replayed.products }) +=
            1;
        for event in outbox {
            let kind = event.kind.name().to_owned();
            *replayed.by_type.entry(kind.clone()).or_default() += 1;
            replayed.events.push(EventView { event_id: event.id, kind, time: event.time });
        }
        // Named orders or products are few, so all of them are done.
        if pace.started.elapsed() > BUDGET && !choice.is_named() {
            if number + 1 < count {
                next = Some(place);
            }
            break;
        }
    }
    replayed.more = next.is_some();
    let next_cursor = next.map(|place| cursors.write(&place)).transpose();
    replayed.next_cursor = next_cursor.map_err(Problem::internal)?;
    let (by, orders, products) = (call.caller.subject.as_str(), replayed.orders, replayed.products);
    tracing::info!(by, dry_run, orders, products, events = replayed.events.len(), "replayed");
    Ok(json(StatusCode::OK, &replayed))
}

fn wanted(body: &mut Object<'_>) -> Option<Wanted> {
    let source = body.optional("source", parsed(str::parse)).unwrap_or(Source::Orders);
    let orders = list(1..=MAX_BATCH as usize, parsed(str::parse::<OrderId>));
    let mut orders = body.optional("orderIds", orders).unwrap_or_default();
    orders.sort_unstable();
    orders.dedup();
    let named = list(1..=MAX_BATCH as usize, parsed(str::parse::<Sku>));
    let mut named = body.optional("productIds", named);
    if let Some(named) = &mut named {
        named.sort_unstable();
        named.dedup();
    }
    let all_products = body.optional("allProducts", boolean).unwrap_or(false);
    let products = named.or_else(|| all_products.then(Vec::new));
    let types = body.optional("types", list(1..=MAX_TYPES, parsed(str::parse)));
    let time = || parsed(str::parse::<Timestamp>);
    let from = match orders.is_empty() && products.is_none() {
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
    if products.is_some() {
        // The state of a product has no time, and only inventory tells it.
        let others = [
            ("orderIds", !orders.is_empty()),
            ("from", from.is_some()),
            ("to", to.is_some()),
            ("placedFrom", placed_from.is_some()),
            ("types", types.is_some()),
        ];
        for (name, _) in others.into_iter().filter(|(_, is_given)| *is_given) {
            body.refuse(name, "must not be given together with products");
        }
    }
    let placed_from = placed_from.or(from.map(|from| from.minus(LIFE)));
    // The default is a dry run, so that nothing is sent by mistake.
    let dry_run = body.optional("dryRun", boolean).unwrap_or(true);
    let batch_size = body.optional("batchSize", integer(1..=MAX_BATCH)).unwrap_or(DEFAULT_BATCH);
    let rate = body.optional("eventsPerSecond", integer(1..=MAX_RATE)).unwrap_or(DEFAULT_RATE);
    let cursor = body.optional("cursor", text(MAX_CURSOR));
    let placed_from = placed_from.filter(|_| orders.is_empty());
    let types = types.unwrap_or_default();
    Some(Wanted {
        choice: Choice { source, orders, products, types, from, to, placed_from },
        dry_run,
        batch_size: batch_size as usize,
        events_per_second: rate,
        cursor,
    })
}

impl Choice {
    /// Whether the caller named each order or product.
    fn is_named(&self) -> bool {
        !self.orders.is_empty() || self.products.as_ref().is_some_and(|skus| !skus.is_empty())
    }

    fn has(&self, event: &Event) -> bool {
        (self.types.is_empty() || self.types.contains(&Kind(event.kind)))
            && self.from.is_none_or(|from| event.time >= from)
            && self.to.is_none_or(|to| event.time < to)
    }

    /// The next orders, and the events of the source about them.
    async fn orders(
        &self,
        Histories { orders, inventory, payments }: &Histories,
        position: Option<Position>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let filter = Filter { from: self.placed_from, to: self.to, ..Filter::default() };
        let stored::Page { found, unreadable, next } = if self.orders.is_empty() {
            orders.list(&filter, position, limit).await?
        } else {
            let (found, unreadable) = orders.find_all(&self.orders).await?;
            stored::Page { found, unreadable, next: None }
        };
        let mut odd: Vec<String> = unreadable.ids().into_iter().map(str::to_owned).collect();
        let ids: Vec<_> = found.iter().map(|order| order.id).collect();
        let mut histories: BTreeMap<OrderId, (String, Vec<Event>)> = match self.source {
            Source::Orders => {
                let all = found.iter();
                all.map(|order| (order.id, (order.key(), history(order)))).collect()
            }
            Source::Inventory => {
                let (all, unreadable) = inventory.find_reservations(&ids).await?;
                odd.extend(unreadable.ids().into_iter().map(str::to_owned));
                all.into_iter().map(|it| (it.id, (it.key(), it.history()))).collect()
            }
            Source::Payments => {
                let (all, unreadable) = payments.find_all(&ids).await?;
                odd.extend(unreadable.ids().into_iter().map(str::to_owned));
                all.into_iter().map(|it| (it.id, (it.key(), it.history()))).collect()
            }
        };
        let told = found.iter().map(|order| {
            let nothing = || (order.key(), Vec::new());
            let (key, events) = histories.remove(&order.id).unwrap_or_else(nothing);
            Told { key, events, place: Place::Orders(Position::behind(order, &filter)) }
        });
        let told = told.collect();
        let is_unknown = |id: &&OrderId| !ids.contains(id) && !odd.contains(&id.to_string());
        let unknown_orders = self.orders.iter().filter(is_unknown).copied().collect();
        let (unreadable, next) = (odd, next.map(Place::Orders));
        Ok(Page { told, unknown_orders, unreadable, next, ..Page::default() })
    }
}

/// All events of an order, oldest first.
fn history(order: &Order) -> Vec<Event> {
    (0..order.timeline.len()).filter_map(|index| order.event_at(index)).collect()
}

/// The next of all products, or the named products, as they are now.
async fn products(
    inventory: &Inventory,
    skus: &[Sku],
    after: Option<String>,
    limit: usize,
    cause: &Cause,
) -> Result<Page, StoreError> {
    let stored::Page { found, unreadable, next } = if skus.is_empty() {
        inventory.list_items(&ItemFilter::default(), after, limit).await?
    } else {
        let (found, unreadable) = inventory.find_readable_items(skus).await?;
        stored::Page { found, unreadable, next: None }
    };
    let unreadable: Vec<String> = unreadable.ids().into_iter().map(str::to_owned).collect();
    let is_unknown = |sku: &&Sku| {
        found.iter().all(|item| item.sku != **sku) && !unreadable.contains(&sku.to_string())
    };
    let unknown_products = skus.iter().filter(is_unknown).cloned().collect();
    let told = found.iter().map(|item| Told {
        key: item.key(),
        events: vec![item.catalogue_event(cause)],
        place: Place::Products(item.sku.to_string()),
    });
    let told = told.collect();
    let next = next.map(Place::Products);
    Ok(Page { told, unknown_products, unreadable, next, ..Page::default() })
}

/// The event as it was raised, with a CloudEvents extension attribute at the end: `"replay": true`.
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

/// Sends at most so many events a second, so that the bus has room for new events.
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
    use trackops_domain::examples;
    use trackops_domain::order::Fact;
    use trackops_lambda::input::Input;

    use super::*;

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_millis(minute * 60_000)
    }

    /// Placed in minute 1, confirmed in minute 2, PROCESSING in minute 3. Its events, as they were raised.
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

    fn replayed(choice: &Choice, order: &Order) -> Vec<OutboxEntry> {
        let events = history(order).into_iter().filter(|event| choice.has(event));
        events.map(|event| marked(&event).unwrap()).collect()
    }

    #[test]
    fn a_replayed_event_is_what_was_told_byte_for_byte_but_for_its_mark() {
        let (order, told) = order();
        let replayed = replayed(&Choice::default(), &order);
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
            replayed(&choice, &order).into_iter().map(|event| event.id).collect()
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
    fn products_need_no_time_and_are_named_or_all() {
        let choice = |body| asked(body).unwrap().choice;
        let tea: Sku = "TEA".parse().unwrap();
        let named = choice(json!({"productIds": ["TEA", "TEA"]}));
        assert!(named.is_named());
        assert_eq!(named.products, Some(vec![tea]));
        let all = choice(json!({"allProducts": true}));
        assert!(!all.is_named());
        assert_eq!(all.products, Some(Vec::new()));
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
        let both = json!({"productIds": ["TEA"], "orderIds": [OrderId::generate()], "from": "2026-11-25T00:00:00Z"});
        assert_eq!(asked(both).unwrap_err(), ["/orderIds", "/from"]);
    }

    #[tokio::test]
    async fn a_replay_keeps_its_pace() {
        let mut pace = Pace::of(1000);
        pace.keep(30).await;
        assert!(pace.started.elapsed() >= Duration::from_millis(30));
    }
}
