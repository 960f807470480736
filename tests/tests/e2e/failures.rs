//! Whatever breaks on the way, stock, money and order agree at the end.

use futures::future::join_all;
use serde_json::json;
use trackops_testkit::{Basket, Fault, SeenEvent, World, eventually};

/// Every step of the saga, and an order that comes by it.
const STEPS: [(&str, Order); 9] = [
    ("reserve-inventory", Order::Paid),
    ("charge-payment", Order::Paid),
    ("commit-reservation", Order::Paid),
    ("confirm-order", Order::Paid),
    ("await-payment", Order::PaidLater),
    ("abandon-order", Order::Declined),
    ("refund-payment", Order::Withdrawn),
    ("release-inventory", Order::Withdrawn),
    ("close-order", Order::Withdrawn),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Order {
    Paid,
    PaidLater,
    Declined,
    /// Cancelled after it was confirmed, so that there is stock and money to give back.
    Withdrawn,
}

impl Order {
    fn card(self) -> &'static str {
        match self {
            Self::Paid | Self::Withdrawn => "tok_ok",
            Self::PaidLater => "tok_pending_ok",
            Self::Declined => "tok_declined",
        }
    }

    fn ends_in(self) -> &'static str {
        match self {
            Self::Paid | Self::PaidLater => "CONFIRMED",
            Self::Declined => "REJECTED",
            Self::Withdrawn => "CANCELLED",
        }
    }
}

/// An order whose way leads over a failing step; answers what has to be lifted, and the order's id.
async fn under(
    fault: impl FnOnce(&str) -> Fault,
    world: &World,
    sku: &str,
    order: Order,
) -> (trackops_testkit::FaultGuard, String) {
    let (basket, id) = world.customer.keyed(Basket::of(sku, 2).paying_with(order.card()));
    if order == Order::Withdrawn {
        world.customer.order(&basket).await;
        world.until_status(&id, &["CONFIRMED"]).await;
        let fault = world.inject(fault(&id)).await;
        world.cancel(&id).await;
        (fault, id)
    } else {
        let fault = world.inject(fault(&id)).await;
        world.customer.order(&basket).await;
        (fault, id)
    }
}

#[tokio::test]
async fn a_step_that_fails_once_before_or_after_its_work_is_tried_again_and_nobody_notices() {
    let world = World::new().await;
    let scenario = async |step: &str, order: Order, after: bool| {
        let sku = world.stock("TEA", 5).await;
        let once = |id: &str| {
            let fault = Fault::of_function(step, id).raising("Busy");
            if after { fault.after() } else { fault }
        };
        let (fault, id) = under(once, &world, &sku, order).await;
        fault.struck().await;
        world.until_status(&id, &[order.ends_in()]).await;
        world.books_balance(&sku, 5, &[&id]).await;
    };
    let scenarios =
        STEPS.iter().flat_map(|(step, order)| [(step, order, false), (step, order, true)]);
    join_all(scenarios.map(|(step, order, after)| scenario(step, *order, after))).await;
}

#[tokio::test]
async fn whichever_step_keeps_failing_stock_money_and_order_agree_once_it_works_again() {
    let world = World::new().await;
    let scenario = async |step: &str, order: Order, after: bool| {
        let sku = world.stock("TEA", 5).await;
        let for_good = |id: &str| {
            let fault = Fault::of_function(step, id).until_lifted();
            if after { fault.after() } else { fault }
        };
        let (fault, id) = under(for_good, &world, &sku, order).await;
        fault.struck().await;
        fault.lift();
        eventually(&format!("order {id} to end after {step} worked again"), async || {
            world.recover(&id).await;
            let order = world.operator.find(&id).await;
            if order.is_settled() { Ok(()) } else { Err(format!("{order:?}")) }
        })
        .await;
        world.books_balance(&sku, 5, &[&id]).await;
    };
    let scenarios =
        STEPS.iter().flat_map(|(step, order)| [(step, order, false), (step, order, true)]);
    join_all(scenarios.map(|(step, order, after)| scenario(step, *order, after))).await;
}

#[tokio::test]
async fn a_compensation_that_keeps_failing_never_says_it_succeeded() {
    let world = World::new().await;
    let scenario = async |step: &'static str| {
        let sku = world.stock("TEA", 5).await;
        let failing = |id: &str| Fault::of_function(step, id).until_lifted();
        let (fault, id) = under(failing, &world, &sku, Order::Withdrawn).await;
        for _ in 0..3 {
            world.recover(&id).await;
        }
        fault.struck().await;
        assert_eq!(world.operator.find(&id).await.status, "CANCELLING", "{step}");
        fault.lift();
        eventually(&format!("order {id} to be cancelled after {step} worked again"), async || {
            world.recover(&id).await;
            let order = world.operator.find(&id).await;
            if order.status == "CANCELLED" { Ok(()) } else { Err(format!("{order:?}")) }
        })
        .await;
        world.books_balance(&sku, 5, &[&id]).await;
    };
    join_all(["refund-payment", "release-inventory", "close-order"].map(scenario)).await;
}

#[tokio::test]
async fn a_conflicting_transaction_is_tried_again_until_it_goes_through() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    let conflict = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons [None, TransactionConflict]",
        "CancellationReasons": [
            {"Code": "None"},
            {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"},
        ],
    });
    let conflicts = Fault::of_dynamodb("TransactWriteItems", &id, "TransactionCanceledException")
        .answering(conflict);
    let conflicts = world.inject(conflicts.times(3)).await;
    world.customer.order(&basket).await;
    world.until_status(&id, &["CONFIRMED"]).await;
    assert_eq!(conflicts.hits().await, 3);
    world.books_balance(&tea, 5, &[&id]).await;
}

#[tokio::test]
async fn a_throttled_table_is_tried_again_and_a_lost_answer_changes_nothing() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    let throttled = "ProvisionedThroughputExceededException";
    let faults = [
        world.inject(Fault::of_dynamodb("PutItem", &id, throttled).times(2)).await,
        world
            .inject(
                Fault::of_dynamodb("UpdateItem", &id, "InternalServerError")
                    .with_status(500)
                    .after()
                    .times(2),
            )
            .await,
        world
            .inject(
                Fault::of_dynamodb("TransactWriteItems", &id, "InternalServerError")
                    .with_status(500)
                    .after(),
            )
            .await,
    ];
    world.customer.order(&basket).await;
    world.until_status(&id, &["CONFIRMED"]).await;
    assert_eq!(faults[0].hits().await, 2);
    world.books_balance(&tea, 5, &[&id]).await;
}

#[tokio::test]
async fn what_the_bus_refuses_for_a_while_is_published_later_in_order() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let mut events = world.tap_events().await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    let refusing = world.inject(Fault::of_the_bus(&id).until_lifted()).await;
    world.customer.order(&basket).await;
    refusing.struck().await;
    world.sweep("OrdersTable", &format!("ORDER#{id}")).await;
    assert_eq!(world.customer.find(&id).await.status, "PENDING", "nobody can know of it yet");
    refusing.lift();

    eventually("the sweeper to publish the order and its saga to confirm it", async || {
        world.sweep("OrdersTable", &format!("ORDER#{id}")).await;
        let order = world.customer.find(&id).await;
        if order.status == "CONFIRMED" { Ok(()) } else { Err(order.status) }
    })
    .await;
    let seen =
        events.until("both changes of the order", &id, |seen| is_told(seen, "CONFIRMED")).await;
    assert_in_order(&seen);
    world.books_balance(&tea, 5, &[&id]).await;
    events.close().await;
}

#[tokio::test]
async fn with_its_stream_switched_off_the_sweeper_publishes_everything_in_order() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let mut events = world.tap_events().await;
    let id = world
        .without_stream("relay-orders", async || {
            let order = world.customer.order(&Basket::of(&tea, 2)).await;
            let key = format!("ORDER#{}", order.order_id);
            eventually("the sweeper to do the relay's work", async || {
                world.sweep("OrdersTable", &key).await;
                let order = world.customer.find(&order.order_id).await;
                if order.status == "CONFIRMED" { Ok(()) } else { Err(order.status) }
            })
            .await;
            world.sweep("OrdersTable", &key).await;
            let told = |seen: &[SeenEvent]| is_told(seen, "CONFIRMED");
            assert_in_order(
                &events.until("both changes of the order", &order.order_id, told).await,
            );
            order.order_id
        })
        .await;
    world.books_balance(&tea, 5, &[&id]).await;
    events.close().await;
}

fn is_told(seen: &[SeenEvent], status: &str) -> bool {
    seen.iter().any(|event| {
        event.kind == "order.status.updated" && event.envelope["data"]["status"] == status
    })
}

/// Of every aggregate, each event is preceded by all before it; repetitions are allowed.
#[track_caller]
fn assert_in_order(seen: &[SeenEvent]) {
    let mut newest: std::collections::HashMap<&str, u64> = std::collections::HashMap::new();
    for event in seen.iter().filter(|event| event.source == "trackops.orders") {
        let newest = newest.entry(&event.subject).or_default();
        assert!(
            event.sequence <= *newest + 1,
            "{} came before its predecessor: {seen:?}",
            event.id
        );
        *newest = event.sequence.max(*newest);
    }
}
