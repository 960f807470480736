//! The `orders` table.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use trackops_aws::aggregate::{Item, Table};
use trackops_aws::due::Walk;
use trackops_aws::order_list::Filter;
use trackops_aws::orders::{Orders, RecordError};
use trackops_domain::order::{
    Actor, Address, Author, Fact, Line, MAX_LINES, NewOrder, Order, OrderStatus, Reason,
};
use trackops_domain::{Cause, Money, OrderId, Timestamp};

use crate::dynamodb::OwnTable;
use crate::given::{at_once, cause, eur, order, run, sku};

async fn orders() -> (Orders, OwnTable) {
    let own = OwnTable::like("OrdersTable").await;
    (Orders::new(own.table.clone()), own)
}

/// The author is a run of the saga that tells nothing about itself.
const SAGA: Author = Author::Saga(None);

async fn due(table: &Table, at: Timestamp) -> Vec<OrderId> {
    table.due(at).await.unwrap().into_iter().map(|due| due.id().unwrap()).collect()
}

#[tokio::test]
async fn of_fifty_placements_of_one_id_one_wins_and_all_others_get_the_winner() {
    let (orders, own) = orders().await;
    let id = OrderId::for_idempotency_key("alice", "k1");
    let placed = at_once(50, async |number| {
        let mut order = order(id, Timestamp::now());
        order.request_hash = format!("request {number}");
        (orders.place(&order).await.unwrap(), order)
    });
    let (winners, losers): (Vec<_>, Vec<_>) =
        placed.await.into_iter().partition(|(placed, _)| placed.is_ok());
    let [(_, winner)] = &winners[..] else { panic!("{} placements won", winners.len()) };
    for (placed, _) in losers {
        assert_eq!(placed.as_ref(), Err(winner));
    }
    assert_eq!(orders.find(&id).await.unwrap().as_ref(), Some(winner));
    let told = own.table.unpublished(&Order::key(&id)).await.unwrap().unwrap().outbox;
    assert_eq!(told.len(), 1);
}

#[tokio::test]
async fn a_fact_told_twenty_times_at_once_happens_once() {
    let (orders, own) = orders().await;
    let id = OrderId::generate();
    orders.place(&order(id, Timestamp::now())).await.unwrap().unwrap();
    let confirm =
        async |_| orders.record(&id, |_| Ok(Some(Fact::Confirmed)), &SAGA, &cause()).await.unwrap();
    for told in at_once(20, confirm).await {
        assert_eq!((told.status, told.version), (OrderStatus::Confirmed, 2));
    }
    let told = own.table.unpublished(&Order::key(&id)).await.unwrap().unwrap().outbox;
    assert_eq!(told.len(), 2, "placed and confirmed: {told:?}");
}

#[tokio::test]
async fn what_a_run_did_is_stored_by_the_write_that_it_makes_and_by_no_other() {
    let (orders, own) = orders().await;
    let id = OrderId::generate();
    orders.place(&order(id, Timestamp::now())).await.unwrap().unwrap();
    let confirm = async |number: usize| {
        let author = Author::Saga(Some(run(&number.to_string())));
        orders.record(&id, |_| Ok(Some(Fact::Confirmed)), &author, &cause()).await.unwrap()
    };
    let told = at_once(20, confirm).await;
    let stored = orders.find(&id).await.unwrap().unwrap();
    assert!(told.iter().all(|order| *order == stored));
    assert_eq!((stored.version, stored.runs.len()), (2, 1));
    let confirmed = &stored.timeline[1];
    assert_eq!(confirmed.actor, Some(Actor::SAGA));
    assert_eq!(stored.runs[0].steps[3].ended_at, confirmed.at);

    let before = own.attributes(&Order::key(&id)).await;
    confirm(99).await;
    assert_eq!(own.attributes(&Order::key(&id)).await, before, "a repetition wrote");
    let size = serde_json::to_string(&stored.runs).unwrap().len();
    assert!(size < 1_000, "a run takes {size} bytes of its order's item");
}

#[tokio::test]
async fn an_order_from_before_runs_and_actors_were_kept_is_read_and_changed() {
    let (orders, own) = orders().await;
    let id = OrderId::generate();
    orders.place(&order(id, Timestamp::now())).await.unwrap().unwrap();
    let attributes = own.attributes(&Order::key(&id)).await;
    assert!(!attributes.contains_key("runs"), "nothing was run yet");
    let first = attributes["timeline"].as_l().unwrap()[0].as_m().unwrap();
    assert!(!first.contains_key("actor"), "nobody signed it");
    let author = Author::Saga(Some(run("1")));
    let confirm = |_: &Order| Ok(Some(Fact::Confirmed));
    let confirmed = orders.record(&id, confirm, &author, &cause()).await.unwrap();
    assert_eq!(confirmed.runs.len(), 1);
}

#[tokio::test]
async fn a_fact_that_cannot_be_true_and_an_order_that_is_not_there_are_told_apart() {
    let (orders, _) = orders().await;
    let id = OrderId::generate();
    let ship = async || orders.record(&id, |_| Ok(Some(Fact::Shipped)), &SAGA, &cause()).await;
    assert!(matches!(ship().await, Err(RecordError::NoOrder(_))));
    orders.place(&order(id, Timestamp::now())).await.unwrap().unwrap();
    assert!(matches!(ship().await, Err(RecordError::Illegal(_))));
}

#[tokio::test]
async fn the_due_index_follows_the_status() {
    let (orders, own) = orders().await;
    let placed = order(OrderId::generate(), Timestamp::now());
    let (id, deadline) = (placed.id, placed.payment_deadline);
    let record = async |fact: Fact| {
        orders.record(&id, |_| Ok(Some(fact)), &SAGA, &cause()).await.unwrap();
    };
    let due = async |at: Timestamp| due(&own.table, at).await;
    let just_after = |at: Timestamp| at.plus(Duration::from_millis(1));

    orders.place(&placed).await.unwrap().unwrap();
    let stuck = placed.due_at().unwrap();
    assert!(due(stuck).await.is_empty(), "due before its time");
    assert_eq!(due(just_after(stuck)).await, [id]);

    record(Fact::PaymentAwaited).await;
    assert!(due(deadline).await.is_empty(), "due before its deadline");
    assert_eq!(due(just_after(deadline)).await, [id]);

    // Its payment has answered: if the run that follows fails, another one is not far.
    let awaiting = orders.find(&id).await.unwrap().unwrap();
    for _ in 0..2 {
        orders.hasten(&awaiting, Timestamp::now()).await.unwrap();
    }
    assert_eq!(due(Timestamp::now().plus(Duration::from_secs(61))).await, [id]);

    record(Fact::CancelRequested).await;
    assert_eq!(due(deadline).await, [id], "a cancellation waits for its payment's deadline");
    orders.hasten(&awaiting, Timestamp::now()).await.unwrap();

    record(Fact::Compensated(Reason::CancelledByCustomer)).await;
    assert!(due(Timestamp::now().plus(Duration::from_secs(10_000))).await.is_empty());
    let attributes = own.attributes(&Order::key(&id)).await;
    assert!(!attributes.contains_key("due") && !attributes.contains_key("due_at"));
}

#[tokio::test]
async fn of_many_who_look_after_what_is_due_one_gets_it_and_it_keeps_none_waiting() {
    let (orders, own) = orders().await;
    let placed = order(OrderId::generate(), Timestamp::from_millis(0));
    orders.place(&placed).await.unwrap().unwrap();
    let now = Timestamp::now();
    let later = now.plus(Duration::from_secs(60));
    let [due_now] = &own.table.due(now).await.unwrap()[..] else { panic!("one is due") };

    let postponed = at_once(10, async |_| own.table.postpone(due_now, later).await.unwrap()).await;
    assert_eq!(postponed.into_iter().filter(|mine| *mine).count(), 1);
    assert!(due(&own.table, later).await.is_empty());
    assert_eq!(due(&own.table, later.plus(Duration::from_millis(1))).await, [placed.id]);

    // Postponing does not change the order: a writer that has read it before may still write.
    let paid = placed.after(Fact::Confirmed, now, &cause()).unwrap().unwrap();
    own.table.replace(&placed, &paid).await.unwrap();
    assert!(!own.table.postpone(due_now, later).await.unwrap(), "it has moved on");
    let attributes = own.attributes(&Order::key(&placed.id)).await;
    assert!(!attributes.contains_key("due_at"), "postponing brought it back");
}

#[tokio::test]
async fn a_walk_over_what_is_due_meets_each_item_once_though_none_can_be_put_off() {
    let (orders, own) = orders().await;
    let mut placed = Vec::new();
    // Two pages of a shard and more.
    for _ in 0..500 {
        placed.push(order(OrderId::generate(), Timestamp::from_millis(0)));
    }
    let store = async |number: usize| orders.place(&placed[number]).await.unwrap().unwrap();
    for start in (0..500).step_by(50) {
        at_once(50, async |number| store(start + number).await).await;
    }
    let mut walk = Walk::new(Timestamp::now());
    let (mut met, mut parts) = (Vec::new(), 0);
    while let Some(part) = own.table.walk_due(&mut walk).await {
        assert!(part.unread.is_empty(), "{:?}", part.unread);
        met.extend(part.due.iter().map(|due| due.id().unwrap()));
        parts += 1;
    }
    assert!(parts > 1, "one page was enough");
    met.sort();
    let mut ids: Vec<_> = placed.iter().map(|order| order.id).collect();
    ids.sort();
    assert_eq!(met, ids);
}

#[tokio::test]
async fn what_is_overdue_is_found_in_every_shard_and_nothing_else() {
    let (orders, own) = orders().await;
    let placed = at_once(30, async |number| {
        let minutes = 60_000 * i64::try_from(number).unwrap();
        let order = order(OrderId::generate(), Timestamp::from_millis(minutes));
        orders.place(&order).await.unwrap().unwrap();
        order.id
    });
    let placed = placed.await;
    // Twenty of them have been stuck for more than a minute.
    let mut found = due(&own.table, Timestamp::from_millis(60_000 * 21)).await;
    found.sort();
    let mut expected = placed[..20].to_vec();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn lists_are_newest_first_over_days_and_shards_and_pages_miss_and_repeat_nothing() {
    let (orders, _own) = orders().await;
    // Three a day for twelve days: the last are from now.
    let now = Timestamp::now();
    let placed = at_once(36, async |number| {
        let ago = Duration::from_secs(8 * 60 * 60 * u64::try_from(number).unwrap());
        let mut order = order(OrderId::generate(), now.minus(ago));
        if number % 3 == 0 {
            order.customer_id = "bob".parse().unwrap();
        }
        orders.place(&order).await.unwrap().unwrap();
        order
    });
    let placed = placed.await;
    let cancelled = &placed[20];
    orders
        .record(&cancelled.id, |_| Ok(Some(Fact::CancelRequested)), &SAGA, &cause())
        .await
        .unwrap();

    let all = |_: &Order| true;
    let (from, to) = (placed[30].created_at, placed[10].created_at);
    let bob = Some("bob".parse().unwrap());
    let cancelling = Some(OrderStatus::Cancelling);
    let none = Filter::default;
    type Belongs<'a> = &'a dyn Fn(&Order) -> bool;
    let cases: [(Filter, Belongs<'_>); 5] = [
        (none(), &all),
        (Filter { from: Some(from), to: Some(to), ..none() }, &|order| {
            from <= order.created_at && order.created_at < to
        }),
        (Filter { customer: bob, ..none() }, &|order| order.customer_id.as_str() == "bob"),
        (Filter { status: cancelling, ..none() }, &|order| order.id == cancelled.id),
        (Filter { customer: Some("carol".parse().unwrap()), ..none() }, &|_| false),
    ];
    for (filter, belongs) in cases {
        let expected = placed.iter().filter(|order| belongs(order)).map(|order| order.id);
        let expected: Vec<_> = expected.collect();
        for limit in [5, 100] {
            let (mut walked, mut position) = (Vec::new(), None);
            loop {
                let page = orders.list(&filter, position, limit).await.unwrap();
                assert!(page.found.len() <= limit);
                walked.extend(page.found.into_iter().map(|order| order.id));
                position = page.next;
                if position.is_none() {
                    break;
                }
            }
            assert_eq!(walked, expected, "{filter:?} by {limit}");
        }
    }
}

/// Source: "DynamoDB item sizes and formats", in the DynamoDB Developer Guide.
fn stored_bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len() / 2 + 2,
        AttributeValue::L(list) => {
            3 + list.iter().map(|item| 1 + stored_bytes(item)).sum::<usize>()
        }
        AttributeValue::M(map) => 3 + item_bytes(map) + map.len(),
        _ => 1,
    }
}

fn item_bytes(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + stored_bytes(value)).sum()
}

#[tokio::test]
async fn the_largest_order_fits_an_item_and_its_events_the_bus_though_nothing_is_published() {
    let (orders, own) = orders().await;
    let id = OrderId::generate();
    let text = |characters: usize| "🍵".repeat(characters);
    let cause = Cause {
        correlation_id: "x".repeat(128),
        causation_id: Some("x".repeat(128)),
        traceparent: Some("x".repeat(55)),
    };
    let line = |number| Line {
        sku: sku(&format!("{number:0>64}")),
        name: text(200),
        quantity: 10_000,
        unit_price: Money::MAX_MINOR / 10_000 / 50,
    };
    let largest = NewOrder {
        id,
        customer_id: "x".repeat(64).parse().unwrap(),
        lines: (0..MAX_LINES).map(line).collect(),
        currency: eur(),
        address: Address {
            street_address: text(200),
            city: text(100),
            state: Some(text(100)),
            postal_code: text(20),
            country: text(60),
            phone_number: Some(text(30)),
        },
        delivery_instructions: Some(text(500)),
        payment_method: text(128),
        request_hash: "x".repeat(64),
        payment_window: Duration::from_secs(900),
    };
    let largest = Order::place(largest, Timestamp::now(), cause.clone()).unwrap();
    orders.place(&largest).await.unwrap().unwrap();
    let longest =
        [Fact::PaymentAwaited, Fact::Confirmed, Fact::ProcessingStarted, Fact::CancelRequested];
    let ended = Fact::Compensated(Reason::CancelledByCustomer);
    for fact in longest.into_iter().chain([ended]) {
        orders.record(&id, |_| Ok(Some(fact)), &SAGA, &cause).await.unwrap();
    }
    let stored = item_bytes(&own.attributes(&Order::key(&id)).await);
    assert!((50_000..400 * 1024).contains(&stored), "{stored} bytes");
    let told = own.table.unpublished(&Order::key(&id)).await.unwrap().unwrap().outbox;
    assert_eq!(told.len(), 6);
    for event in told {
        assert!(event.body.len() < 256 * 1024, "{} has {} bytes", event.id, event.body.len());
    }
}
