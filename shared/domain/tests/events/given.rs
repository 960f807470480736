//! An example of each event in each form that it can have, with fixed ids and times.

use std::time::Duration;

use trackops_domain::money::Currency;
use trackops_domain::order::{self, Address, NewOrder, Order};
use trackops_domain::payment::{self, Intent, Payment};
use trackops_domain::reservation::{self, Reservation, Shortage};
use trackops_domain::stock::{Adjustment, ItemChange, StockItem, Taking};
use trackops_domain::{Cause, Event, OrderId, Schema, Sku, Timestamp};

/// In the order of the lines of each file.
pub fn events() -> Vec<Event> {
    [orders(), reservations(), stock(), payments()].concat()
}

fn id() -> OrderId {
    "019f8c11-3a52-7c60-9d0e-5b7a1f2c4e68".parse().unwrap()
}

fn sku(name: &str) -> Sku {
    name.parse().unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_795_424_400_000 + millis)
}

fn eur() -> Currency {
    Currency::from_code("EUR").unwrap()
}

/// A request without trace context.
fn request() -> Cause {
    Cause { correlation_id: "019f8c11-3a50-7b41-8c9d-0e1f2a3b4c5d".into(), ..Cause::default() }
}

/// Something done because of the order's event `sequence`.
fn event(sequence: u64) -> Cause {
    Cause {
        causation_id: Some(format!("ORDER#{}#{sequence}", id())),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        ..request()
    }
}

fn placed(currency: Currency, lines: Vec<order::Line>) -> Order {
    let new = NewOrder {
        id: id(),
        customer_id: "alice".parse().unwrap(),
        lines,
        currency,
        address: Address {
            street_address: "1 Harbour Street".into(),
            city: "Galway".into(),
            state: None,
            postal_code: "H91 E2K3".into(),
            country: "IE".into(),
            phone_number: None,
        },
        delivery_instructions: None,
        payment_method: "tok_ok".into(),
        request_hash: String::new(),
        payment_window: Duration::from_secs(900),
    };
    Order::place(new, at(0), request()).unwrap()
}

fn orders() -> Vec<Event> {
    let line = |name: &str, quantity, unit_price| order::Line {
        sku: sku(name),
        name: "Sencha \"100\", loose; Übergröße".into(),
        quantity,
        unit_price,
    };
    let order = placed(eur(), vec![line("TEA-SENCHA-100", 2, 1250)]);
    let yen = Currency::from_code("JPY").unwrap();
    let in_yen = placed(yen, vec![line("A", 1, 5), line("B:2@x_y.z", 50, 0)]);
    let confirmed = order.after(order::Fact::Confirmed, at(420), &event(1)).unwrap().unwrap();
    let cancelling =
        confirmed.after(order::Fact::CancelRequested, at(1000), &request()).unwrap().unwrap();
    [order, in_yen, confirmed, cancelling].iter().map(|order| order.event().unwrap()).collect()
}

fn reservations() -> Vec<Event> {
    let lines = || vec![reservation::Line { sku: sku("TEA-SENCHA-100"), quantity: 2 }];
    let shortages = || vec![Shortage { sku: sku("TEA-SENCHA-100"), requested: 2, available: 1 }];
    let mut told = Vec::new();
    for request_hash in [None, Some("5f1d".to_owned())] {
        let held =
            Reservation::held(id(), lines(), at(1_200_000), request_hash.clone(), at(0), event(1));
        let (fact, cause) = match request_hash {
            None => (reservation::Fact::Released, event(3)),
            Some(_) => (reservation::Fact::Expired, request()),
        };
        let released = held.after(fact, at(7), &cause).unwrap().unwrap();
        let rejected =
            Reservation::rejected(id(), lines(), shortages(), request_hash, at(0), event(1));
        told.extend([held, released, rejected]);
    }
    told.into_iter().map(|reservation| reservation.raised.unwrap()).collect()
}

fn stock() -> Vec<Event> {
    let item = StockItem {
        sku: sku("TEA-SENCHA-100"),
        version: 7,
        schema: Schema::default(),
        name: "Sencha \"100\", loose; Übergröße".into(),
        description: None,
        category: None,
        unit_price: 1250,
        currency: eur(),
        on_hand: 21,
        available: 21,
        low_stock_threshold: 20,
        max_stock_level: None,
        reorder_quantity: Some(100),
        discontinued: false,
        created_at: at(0),
        updated_at: at(0),
        raised: Vec::new(),
    };
    let counted = |quantity| ItemChange {
        adjustment: Some(Adjustment { quantity, reason: "counted".into() }),
        ..ItemChange::default()
    };
    let counted_events =
        |quantity| item.changed(&counted(quantity), at(9), &request()).unwrap().unwrap().raised;
    let Some(Taking::Crosses(crossed)) = item.taking(2, at(9), &event(1)) else {
        panic!("two units are below the mark");
    };
    let never_reordered = StockItem { reorder_quantity: None, ..item.clone() };
    let Some(Taking::Crosses(not_reordered)) = never_reordered.taking(21, at(9), &event(1)) else {
        panic!("all units are below the mark");
    };
    let mut told = vec![item.catalogue_event(&request())];
    told.extend(item.withdrawn(at(9), &request()).unwrap().unwrap().raised);
    told.extend(counted_events(5));
    told.extend([*crossed, *not_reordered]);
    told.extend(counted_events(-3));
    told
}

fn payments() -> Vec<Event> {
    use payment::Fact as F;
    let intent = Intent {
        amount: 2500,
        currency: eur(),
        method: "tok_ok".into(),
        wanted_until: at(900_000),
    };
    let intended = Payment::intended(id(), intent, at(0), event(1));
    let mut told = Vec::new();
    for (payment, facts) in [
        (intended.clone(), [F::ProviderPaid, F::VoidRequested, F::ProviderRefunded].as_slice()),
        (intended, &[F::ProviderPending, F::ProviderDeclined]),
        (Payment::tombstone(id(), at(0), event(2)), &[F::ProviderPaid, F::ProviderRefunded]),
    ] {
        let mut payment = payment;
        for fact in facts {
            payment = payment.after(*fact, at(5), &event(2)).unwrap().unwrap();
            told.extend(payment.raised.clone());
        }
    }
    told
}
