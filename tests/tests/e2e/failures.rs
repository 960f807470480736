//! Whatever breaks on the way, the stock, the money and the order agree at the end.

use std::collections::HashMap;

use futures::{StreamExt, stream};
use serde_json::json;
use trackops_testkit::{Basket, Fault, FaultGuard, SeenEvent, World, eventually};

/// Every step of the saga, and a journey that leads over it.
const STEPS: [(&str, Journey); 9] = [
    ("reserve-inventory", Journey::Paid),
    ("charge-payment", Journey::Paid),
    ("commit-reservation", Journey::Paid),
    ("confirm-order", Journey::Paid),
    ("await-payment", Journey::PaidLater),
    ("abandon-order", Journey::Declined),
    ("refund-payment", Journey::Withdrawn),
    ("release-inventory", Journey::Withdrawn),
    ("close-order", Journey::Withdrawn),
];

/// How often the state machine tries a step before it gives up: forward, and back.
const TRIES: (u64, u64) = (4, 5);

/// How many scenarios a test runs at the same time.
const SIDE_BY_SIDE: usize = 6;

const ENDS: [&str; 4] = ["CONFIRMED", "CANCELLED", "REJECTED", "EXPIRED"];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Journey {
    Paid,
    PaidLater,
    Declined,
    /// Cancelled after it was confirmed, so that there is stock and money to give back.
    Withdrawn,
}

impl Journey {
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

    /// Places an order that will meet a fault; returns the fault and the order's id.
    async fn begin(
        self,
        world: &World,
        sku: &str,
        fault: impl FnOnce(&str) -> Fault,
    ) -> (FaultGuard, String) {
        let (basket, id) = world.customer.keyed(Basket::of(sku, 2).paying_with(self.card()));
        if self != Self::Withdrawn {
            let fault = world.inject(fault(&id)).await;
            world.customer.order(&basket).await;
            return (fault, id);
        }
        world.customer.order(&basket).await;
        world.until_status(&id, &["CONFIRMED"]).await;
        let fault = world.inject(fault(&id)).await;
        world.cancel(&id).await;
        (fault, id)
    }
}

/// Runs scenarios at the same time, but not more than two cores can handle.
async fn side_by_side(scenarios: impl Iterator<Item = impl Future<Output = ()>>) {
    stream::iter(scenarios).buffer_unordered(SIDE_BY_SIDE).collect::<()>().await;
}

#[derive(Debug, Clone, Copy)]
enum When {
    BeforeItsWork,
    AfterItsWork,
}

impl When {
    const BOTH: [Self; 2] = [Self::BeforeItsWork, Self::AfterItsWork];

    fn of(self, fault: Fault) -> Fault {
        match self {
            Self::BeforeItsWork => fault,
            Self::AfterItsWork => fault.after(),
        }
    }
}

#[tokio::test]
async fn a_step_that_fails_once_before_or_after_its_work_is_tried_again_and_nobody_notices() {
    let world = World::new().await;
    let scenario = async |(step, journey): (&str, Journey), when: When, error: &str| {
        let sku = world.stock("TEA", 5).await;
        let once = |id: &str| when.of(Fault::of_function(step, id).raising(error));
        let (fault, id) = journey.begin(&world, &sku, once).await;
        fault.struck(1).await;
        world.until_status(&id, &[journey.ends_in()]).await;
        world.books_balance(&sku, 5, &[&id]).await;
    };
    let scenarios = STEPS.iter().flat_map(|step| {
        When::BOTH
            .into_iter()
            .flat_map(move |when| ["Busy", "Injected"].map(|error| (step, when, error)))
    });
    side_by_side(scenarios.map(|(step, when, error)| scenario(*step, when, error))).await;
}

#[tokio::test]
async fn a_step_forward_that_is_broken_for_long_gives_the_order_up_and_everything_back() {
    let world = World::new().await;
    let scenario = async |(step, journey): (&str, Journey), when: When| {
        let sku = world.stock("TEA", 5).await;
        let broken =
            |id: &str| when.of(Fault::of_function(step, id).until_lifted().raising("Broken"));
        let (fault, id) = journey.begin(&world, &sku, broken).await;
        fault.struck(TRIES.0).await;
        // Work that was done before the answer was lost stays done, and the order shows it.
        let stands = step == "confirm-order" && matches!(when, When::AfterItsWork);
        let waits = if stands { "CONFIRMED" } else { "PENDING" };
        assert_eq!(world.operator.find(&id).await.status, waits, "{step} gave it up at once");
        let (status, reason) = match step {
            _ if stands => ("CONFIRMED", None),
            // Nothing was paid for, so nobody has to look any more.
            "reserve-inventory" => ("EXPIRED", Some("PAYMENT_DEADLINE")),
            _ => ("REJECTED", Some("FAILURE")),
        };
        let order = world.let_it_fail(&id).await;
        assert_eq!((order.status.as_str(), order.reason.as_deref()), (status, reason), "{step}");
        world.books_balance(&sku, 5, &[&id]).await;
        fault.lift();
        world.run_saga(&id).await;
        world.books_balance(&sku, 5, &[&id]).await;
    };
    let scenarios = STEPS[..4].iter().flat_map(|step| When::BOTH.map(|when| (step, when)));
    side_by_side(scenarios.map(|(step, when)| scenario(*step, when))).await;
}

#[tokio::test]
async fn trouble_that_is_no_decision_of_ours_never_gives_an_order_up() {
    let world = World::new().await;
    let scenario = async |error: &str| {
        let sku = world.stock("TEA", 5).await;
        let trouble =
            |id: &str| Fault::of_function("commit-reservation", id).until_lifted().raising(error);
        let (fault, id) = Journey::Paid.begin(&world, &sku, trouble).await;
        fault.struck(TRIES.0).await;
        fault.lift();
        world.recover_until(&id, &["CONFIRMED"]).await;
        world.books_balance(&sku, 5, &[&id]).await;
    };
    let trouble = [
        "AccessDeniedException",
        "Lambda.ClientExecutionTimeoutException",
        "Runtime.ExitError",
        "OfANewerVersion",
    ];
    side_by_side(trouble.into_iter().map(scenario)).await;
}

#[tokio::test]
async fn a_step_forward_that_stays_busy_leaves_the_order_to_the_recovery() {
    let world = World::new().await;
    let scenario = async |(step, journey): (&str, Journey), when: When| {
        let sku = world.stock("TEA", 5).await;
        let busy = |id: &str| when.of(Fault::of_function(step, id).until_lifted().raising("Busy"));
        let (fault, id) = journey.begin(&world, &sku, busy).await;
        fault.struck(TRIES.0).await;
        fault.lift();
        // Trouble makes it late and decides nothing: it goes where it would have gone without.
        world.recover_until(&id, &[journey.ends_in()]).await;
        world.books_balance(&sku, 5, &[&id]).await;
    };
    let scenarios = STEPS[..5].iter().flat_map(|step| When::BOTH.map(|when| (step, when)));
    side_by_side(scenarios.map(|(step, when)| scenario(*step, when))).await;
}

#[tokio::test]
async fn a_step_back_that_keeps_failing_never_says_it_succeeded_and_is_done_once_it_can_be() {
    let world = World::new().await;
    let scenario = async |(step, journey): (&str, Journey), when: When| {
        let sku = world.stock("TEA", 5).await;
        let failing = |id: &str| when.of(Fault::of_function(step, id).until_lifted());
        let (fault, id) = journey.begin(&world, &sku, failing).await;
        fault.struck(TRIES.1).await;
        if matches!(when, When::AfterItsWork) && ["abandon-order", "close-order"].contains(&step) {
            // Its write stands, although its answer was lost. The event of a lock starts another run, which goes back.
            world.until_status(&id, &[journey.ends_in()]).await;
        } else {
            let status = world.operator.find(&id).await.status;
            assert!(!ENDS.contains(&status.as_str()), "{status}, though {step} has failed");
        }
        fault.lift();
        world.recover_until(&id, &[journey.ends_in()]).await;
        world.books_balance(&sku, 5, &[&id]).await;
    };
    let scenarios = STEPS[5..].iter().flat_map(|step| When::BOTH.map(|when| (step, when)));
    side_by_side(scenarios.map(|(step, when)| scenario(*step, when))).await;
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
    for (fault, times) in faults.iter().zip([2, 2, 1]) {
        assert_eq!(fault.hits().await, times, "{fault:?}");
    }
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
    refusing.struck(1).await;
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
async fn what_is_published_and_cannot_be_trimmed_stays_until_it_can() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    let refusing = Fault::of_dynamodb("BatchExecuteStatement", &id, "InternalServerError");
    let refusing = world.inject(refusing.with_status(500).until_lifted()).await;
    world.customer.order(&basket).await;
    world.until_status(&id, &["CONFIRMED"]).await;
    refusing.struck(1).await;
    let key = format!("ORDER#{id}");
    let left = async || world.row("OrdersTable", &key).await.expect("the order").remove("outbox");
    assert!(left().await.is_some(), "it was trimmed all the same");
    refusing.lift();

    eventually("the sweeper to trim the order", async || {
        world.sweep("OrdersTable", &key).await;
        left().await.map_or(Ok(()), |outbox| Err(format!("{outbox:?}")))
    })
    .await;
    world.books_balance(&tea, 5, &[&id]).await;
}

#[tokio::test]
async fn a_relay_that_crashes_is_given_the_same_changes_again() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let mut events = world.tap_events().await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    let crash = world.inject(Fault::of_function("relay-orders", &id)).await;
    world.customer.order(&basket).await;
    crash.struck(1).await;
    world.until_status(&id, &["CONFIRMED"]).await;
    let seen =
        events.until("both changes of the order", &id, |seen| is_told(seen, "CONFIRMED")).await;
    assert_in_order(&seen);
    world.books_balance(&tea, 5, &[&id]).await;
    events.close().await;
}

#[tokio::test]
async fn what_the_stream_loses_the_sweeper_publishes_in_order() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let mut events = world.tap_events().await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    let relay = world.inject(Fault::of_function("relay-orders", &id).until_lifted()).await;
    world.customer.order(&basket).await;
    relay.struck(1).await;
    eventually("the sweeper to do the relay's work", async || {
        world.sweep("OrdersTable", &format!("ORDER#{id}")).await;
        let order = world.customer.find(&id).await;
        if order.status == "CONFIRMED" { Ok(()) } else { Err(order.status) }
    })
    .await;
    world.sweep("OrdersTable", &format!("ORDER#{id}")).await;
    let told = |seen: &[SeenEvent]| is_told(seen, "CONFIRMED");
    assert_in_order(&events.until("both changes of the order", &id, told).await);
    world.books_balance(&tea, 5, &[&id]).await;
    relay.lift();
    events.close().await;
}

fn is_told(seen: &[SeenEvent], status: &str) -> bool {
    seen.iter().any(|event| {
        event.kind == "order.status.updated" && event.envelope["data"]["status"] == status
    })
}

/// For every aggregate, each event comes after all older events; repetitions are allowed.
#[track_caller]
fn assert_in_order(seen: &[SeenEvent]) {
    let mut newest: HashMap<&str, u64> = HashMap::new();
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
