//! The notes about orders, in the `orders` table.

use std::collections::BTreeSet;

use trackops_aws::orders::Orders;
use trackops_domain::event::EventType;
use trackops_domain::money::Amount;
use trackops_domain::order::Order;
use trackops_domain::outcome::{Of, Outcome};
use trackops_domain::payment::PaymentState;
use trackops_domain::reservation::{ReservationState, Shortage};
use trackops_domain::{OrderId, Timestamp};

use crate::dynamodb::OwnTable;
use crate::given::{at_once, eur, order, sku};

/// An order that exists, and what its events told, sorted by the events' ids.
async fn given() -> (Orders, OwnTable, Order, Vec<(String, Outcome)>) {
    let own = OwnTable::like("OrdersTable").await;
    let orders = Orders::new(own.table.clone());
    let order = order(OrderId::generate(), Timestamp::now());
    orders.place(&order).await.unwrap().unwrap();
    let outcome = |kind, of| Outcome {
        kind,
        at: Timestamp::from_millis(7),
        correlation_id: "a test".into(),
        of,
    };
    let money = |previous_state, state| Of::Payment {
        previous_state,
        state,
        amount: Some(Amount::of(500, eur())),
        currency: Some(eur()),
    };
    let shortages = vec![Shortage { sku: sku("TEA"), requested: 2, available: 1 }];
    let refused = Of::Reservation { state: ReservationState::Rejected, shortages };
    let told = [
        (
            "PAY",
            3,
            EventType::PaymentProcessed,
            money(PaymentState::Voided, PaymentState::Refunding),
        ),
        (
            "PAY",
            4,
            EventType::PaymentRefunded,
            money(PaymentState::Refunding, PaymentState::Refunded),
        ),
        ("RES", 1, EventType::InventoryReservationFailed, refused),
    ];
    let told = told.map(|(of, version, kind, told)| {
        (format!("{of}#{}#{version}", order.id), outcome(kind, told))
    });
    (orders, own, order, told.to_vec())
}

#[tokio::test]
async fn what_was_told_is_noted_once_however_often_and_in_whatever_order_it_comes() {
    let (orders, own, order, told) = given().await;
    let noted: Vec<_> = told.iter().map(|(_, outcome)| outcome.clone()).collect();
    // Each ten times, newest first, and all at once.
    at_once(30, async |number| {
        let (event_id, outcome) = &told[(29 - number) % 3];
        orders.note(&order.id, event_id, outcome).await.unwrap();
    })
    .await;
    let found = orders.find_with_outcomes(&order.id).await.unwrap();
    assert_eq!(found, Some((order.clone(), noted)), "the order is as it was");

    let item = own.attributes(&format!("NOTES#{}", order.id)).await;
    let attributes: BTreeSet<&str> = item.keys().map(String::as_str).collect();
    let expected = told.iter().map(|(event_id, _)| &**event_id).chain(["pk", "schema"]).collect();
    assert_eq!(attributes, expected, "what has an `unpublished` would be published");
}

#[tokio::test]
async fn an_order_has_its_own_notes_and_none_at_first_and_notes_of_no_order_are_not_found() {
    let (orders, _own, first, told) = given().await;
    let second = order(OrderId::generate(), Timestamp::now());
    orders.place(&second).await.unwrap().unwrap();
    let (event_id, outcome) = &told[0];
    let nobodys = OrderId::generate();
    for id in [first.id, nobodys] {
        orders.note(&id, event_id, outcome).await.unwrap();
    }
    let noted = (first.clone(), vec![outcome.clone()]);
    assert_eq!(orders.find_with_outcomes(&first.id).await.unwrap(), Some(noted));
    let found = orders.find_with_outcomes(&second.id).await.unwrap();
    assert_eq!(found, Some((second, Vec::new())));
    assert_eq!(orders.find_with_outcomes(&nobodys).await.unwrap(), None);
    assert_eq!(orders.find_with_outcomes(&OrderId::generate()).await.unwrap(), None);
}
