//! Events as the domain raises them, against their schemas.

use std::collections::HashMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use proptest::prelude::*;
use proptest::sample::select;
use trackops_domain::event::EventType;
use trackops_domain::money::{Currency, Money};
use trackops_domain::order::{self, NewOrder, Order, Reason};
use trackops_domain::payment::{self, Intent, Payment};
use trackops_domain::reservation::{self, Reservation, Shortage};
use trackops_domain::stock::{Adjustment, ItemChange, MAX_ON_HAND, StockItem, Taking};
use trackops_domain::{Cause, CustomerId, Event, OrderId, Schema, Sku, Timestamp, examples};

use crate::{validator, whole};

static SCHEMAS: LazyLock<HashMap<EventType, Validator>> = LazyLock::new(|| {
    EventType::ALL.into_iter().map(|kind| (kind, validator(&whole(kind)))).collect()
});

fn obeys(event: &Event) -> Result<(), TestCaseError> {
    let sent = serde_json::to_value(event).unwrap();
    let valid = SCHEMAS[&event.kind].validate(&sent);
    valid.map_err(|error| TestCaseError::fail(format!("{error}: {sent}")))?;
    let read: Event =
        serde_json::from_value(sent).map_err(|e| TestCaseError::fail(e.to_string()))?;
    prop_assert_eq!(&read, event, "what is read is what was sent");
    Ok(())
}

fn causes() -> impl Strategy<Value = Cause> {
    (".{1,40}", prop::option::of(".{1,40}"), prop::option::of(".{1,40}")).prop_map(
        |(correlation_id, causation_id, traceparent)| Cause {
            correlation_id,
            causation_id,
            traceparent,
        },
    )
}

fn currencies() -> impl Strategy<Value = Currency> {
    select(vec!["EUR", "JPY", "KWD", "USD"]).prop_map(|code| Currency::from_code(code).unwrap())
}

fn times() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_millis)
}

fn skus() -> impl Strategy<Value = Sku> {
    "[A-Za-z0-9._:@-]{1,64}".prop_map(|text| text.try_into().unwrap())
}

fn customers() -> impl Strategy<Value = CustomerId> {
    "[ -~]{1,255}".prop_map(|text| text.try_into().unwrap())
}

fn lines() -> impl Strategy<Value = Vec<(Sku, u32, i64)>> {
    prop::collection::vec((skus(), 1..1_000_u32, 0..1_000_000_i64), 1..4)
}

fn order_facts() -> impl Strategy<Value = order::Fact> {
    use order::Fact as F;
    let reasons = vec![
        Reason::CancelledByCustomer,
        Reason::OutOfStock,
        Reason::PaymentDeclined,
        Reason::ReservationExpired,
        Reason::PaymentDeadline,
        Reason::Failure,
    ];
    prop_oneof![
        select(vec![
            F::PaymentAwaited,
            F::Confirmed,
            F::CancelRequested,
            F::ProcessingStarted,
            F::Shipped,
            F::Delivered
        ]),
        select(reasons.clone()).prop_map(F::Abandoned),
        select(reasons).prop_map(F::Compensated),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_to_an_order_its_events_obey_their_schemas(
        customer_id in customers(), lines in lines(), currency in currencies(), at in times(), cause in causes(),
        facts in prop::collection::vec(order_facts(), 0..20)
    ) {
        let line = |(sku, quantity, unit_price)| order::Line { sku, name: "Tea".into(), quantity, unit_price };
        let lines = lines.into_iter().map(line).collect();
        let new = NewOrder { customer_id, lines, currency, ..examples::order() };
        let mut order = Order::place(new, at, cause.clone()).unwrap();
        for fact in facts {
            if let Ok(Some(next)) = order.after(fact, at, &cause) {
                order = next;
            }
        }
        for index in 0..order.timeline.len() {
            obeys(&order.event_at(index).unwrap())?;
        }
    }

    #[test]
    fn whatever_happens_to_a_reservation_its_events_obey_their_schemas(
        lines in lines(), available in any::<u32>(), at in times(), cause in causes(), hash in prop::option::of("[0-9a-f]{8}"),
        facts in prop::collection::vec(
            select({
                use reservation::Fact as F;
                vec![F::Committed, F::Shipped, F::Released, F::Withdrawn, F::Expired]
            }),
            0..8,
        )
    ) {
        let id = OrderId::generate();
        let wanted = || -> Vec<_> {
            let line = |(sku, quantity, _): &(Sku, u32, i64)| reservation::Line { sku: sku.clone(), quantity: *quantity };
            lines.iter().map(line).collect()
        };
        let short = |line: reservation::Line| Shortage { sku: line.sku, requested: line.quantity, available };
        let shortages = wanted().into_iter().map(short).collect();
        let rejected = Reservation::rejected(id, wanted(), shortages, hash.clone(), at, cause.clone());
        obeys(&rejected.raised.unwrap())?;
        let mut held = Reservation::held(id, wanted(), at, hash, at, cause.clone());
        obeys(held.raised.as_ref().unwrap())?;
        for fact in facts {
            if let Ok(Some(next)) = held.after(fact, at, &cause) {
                next.raised.iter().try_for_each(obeys)?;
                held = next;
            }
        }
    }

    #[test]
    fn whatever_happens_to_a_payment_its_events_obey_their_schemas(
        amount in 0..=Money::MAX_MINOR, currency in currencies(), at in times(), cause in causes(), wanted in any::<bool>(),
        facts in prop::collection::vec(
            select({
                use payment::Fact as F;
                vec![F::ProviderPending, F::ProviderPaid, F::ProviderDeclined, F::VoidRequested, F::ProviderRefunded]
            }),
            0..12,
        )
    ) {
        let id = OrderId::generate();
        let mut payment = if wanted {
            let intent = Intent { amount, currency, method: "tok_ok".into(), wanted_until: at };
            Payment::intended(id, intent, at, cause.clone())
        } else {
            Payment::tombstone(id, at, cause.clone())
        };
        for fact in facts {
            if let Ok(Some(next)) = payment.after(fact, at, &cause) {
                next.raised.iter().try_for_each(obeys)?;
                payment = next;
            }
        }
    }

    #[test]
    fn whatever_happens_to_stock_its_events_obey_their_schemas(
        sku in skus(), unit_price in 0..=Money::MAX_MINOR, currency in currencies(), at in times(), cause in causes(),
        units in 0..=MAX_ON_HAND, threshold in 0..=MAX_ON_HAND, taken in any::<u32>(),
        name in ".{1,200}", reorder_quantity in prop::option::of(0..=MAX_ON_HAND),
        adjustment in prop::option::of((any::<i32>(), ".{1,200}"))
    ) {
        let item = StockItem {
            sku,
            version: 1,
            schema: Schema::default(),
            name: "Tea".into(),
            description: None,
            category: None,
            unit_price,
            currency,
            on_hand: units,
            available: units,
            low_stock_threshold: threshold,
            max_stock_level: None,
            reorder_quantity,
            discontinued: false,
            created_at: at,
            updated_at: at,
            raised: Vec::new(),
        };
        obeys(&item.catalogue_event(&cause))?;
        item.withdrawn(at, &cause).unwrap().unwrap().raised.iter().try_for_each(obeys)?;
        for quantity in [taken, units.saturating_sub(threshold)] {
            if let Some(Taking::Crosses(event)) = item.taking(quantity, at, &cause) {
                obeys(&event)?;
            }
        }
        let adjustment = adjustment.map(|(quantity, reason)| Adjustment { quantity, reason });
        for name in [None, Some(name)] {
            let change = ItemChange { name, adjustment: adjustment.clone(), ..ItemChange::default() };
            if let Ok(Some(next)) = item.changed(&change, at, &cause) {
                next.raised.iter().try_for_each(obeys)?;
            }
        }
    }
}
