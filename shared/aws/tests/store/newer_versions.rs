//! During a deployment, or after a deployment was rolled back, an old version reads what a new version has stored.

use std::fmt::Debug;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use trackops_aws::StoreError;
use trackops_aws::catalogue::{Catalogue, Product};
use trackops_aws::inventory_list::{ItemFilter, ReservationFilter};
use trackops_aws::order_list::Filter;
use trackops_aws::orders::Orders;
use trackops_aws::payments::Payments;
use trackops_domain::order::{self, Actor, Author, Order};
use trackops_domain::payment::{self, Intent, Payment};
use trackops_domain::reservation::{Reservation, ReservationState};
use trackops_domain::stock::ItemChange;
use trackops_domain::{OrderId, Timestamp};

use crate::dynamodb::OwnTable;
use crate::given::{cause, eur, inventory, item, order, sku, wanted};
use crate::inventory::reserve;

fn number(n: u32) -> AttributeValue {
    AttributeValue::N(n.to_string())
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn is_busy<T: Debug, E: Debug + Into<AnyError>>(result: Result<T, E>) -> bool {
    matches!(result.map_err(Into::into), Err(AnyError(StoreError::Busy(_))))
}

fn is_corrupt<T: Debug, E: Debug + Into<AnyError>>(result: Result<T, E>) -> bool {
    matches!(result.map_err(Into::into), Err(AnyError(StoreError::Corrupt(_))))
}

/// The store's part of an error.
struct AnyError(StoreError);

impl From<StoreError> for AnyError {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl From<trackops_aws::orders::RecordError> for AnyError {
    fn from(error: trackops_aws::orders::RecordError) -> Self {
        match error {
            trackops_aws::orders::RecordError::Store(error) => Self(error),
            other => panic!("it is {other:?}"),
        }
    }
}

impl From<trackops_aws::payments::RecordError> for AnyError {
    fn from(error: trackops_aws::payments::RecordError) -> Self {
        match error {
            trackops_aws::payments::RecordError::Store(error) => Self(error),
            other => panic!("it is {other:?}"),
        }
    }
}

impl From<trackops_aws::inventory::ReservationError> for AnyError {
    fn from(error: trackops_aws::inventory::ReservationError) -> Self {
        match error {
            trackops_aws::inventory::ReservationError::Store(error) => Self(error),
            other => panic!("it is {other:?}"),
        }
    }
}

/// What a later version has added to an item, at all depths.
async fn grown(own: &OwnTable, key: &str, paths: &[&str]) {
    own.set(key, "schema", number(9)).await;
    for path in paths {
        own.set(key, path, text("of a later version")).await;
    }
}

/// The value at `path` of an item.
async fn at(own: &OwnTable, key: &str, path: &str) -> AttributeValue {
    let mut value = AttributeValue::M(own.attributes(key).await);
    for step in path.split('.') {
        let (name, index) = step.split_once('[').map_or((step, None), |(name, index)| {
            (name, index.trim_end_matches(']').parse::<usize>().ok())
        });
        value = value.as_m().unwrap().get(name).unwrap_or_else(|| panic!("no {name}")).clone();
        if let Some(index) = index {
            value = value.as_l().unwrap()[index].clone();
        }
    }
    value
}

async fn is_kept(own: &OwnTable, key: &str, paths: &[&str]) {
    assert_eq!(at(own, key, "schema").await, number(9), "the schema of {key} was lowered");
    for path in paths {
        assert_eq!(at(own, key, path).await, text("of a later version"), "{path} of {key}");
    }
}

async fn orders() -> (Orders, OwnTable) {
    let own = OwnTable::like("OrdersTable").await;
    (Orders::new(own.table.clone()), own)
}

async fn record(
    orders: &Orders,
    id: &OrderId,
    fact: order::Fact,
) -> Result<Order, trackops_aws::orders::RecordError> {
    orders.record(id, |_| Ok(Some(fact)), &Author::Caller(Actor::SAGA), &cause()).await
}

#[tokio::test]
async fn an_order_of_a_newer_version_goes_its_way_and_keeps_what_this_version_does_not_know() {
    let (orders, own) = orders().await;
    let placed = order(OrderId::generate(), Timestamp::now());
    orders.place(&placed).await.unwrap().unwrap();
    let key = Order::key(&placed.id);
    let later = ["gift", "lines[0].engraving", "address.floor", "timeline[0].channel"];
    grown(&own, &key, &later).await;
    use order::Fact::{Confirmed, Delivered, ProcessingStarted, Shipped};
    for fact in [Confirmed, ProcessingStarted, Shipped, Delivered] {
        record(&orders, &placed.id, fact).await.unwrap();
        is_kept(&own, &key, &later).await;
    }
    assert_eq!(orders.find(&placed.id).await.unwrap().unwrap().timeline.len(), 5);
}

#[tokio::test]
async fn stock_and_reservations_of_a_newer_version_are_taken_and_given_back_as_they_are() {
    let (inventory, own) = inventory(&[item("TEA", 9, 0)]).await;
    grown(&own, "STOCK#TEA", &["supplier"]).await;
    let id = OrderId::generate();
    assert_eq!(reserve(&inventory, &wanted(id, &[("TEA", 2)])).await.state, ReservationState::Held);
    let (key, later) = (Reservation::key(&id), ["bin", "lines[0].lot"]);
    grown(&own, &key, &later).await;
    inventory.commit(&id, &cause()).await.unwrap();
    is_kept(&own, &key, &later).await;
    inventory.release(&id, &cause()).await.unwrap();
    is_kept(&own, &key, &later).await;
    let renamed = ItemChange { name: Some("Sencha".into()), ..ItemChange::default() };
    let tea = inventory.find_item(&sku("TEA")).await.unwrap().unwrap();
    let next = tea.changed(&renamed, Timestamp::now(), &cause()).unwrap().unwrap();
    own.table.replace(&tea, &next).await.unwrap();
    assert_eq!(next.available, 9);
    is_kept(&own, "STOCK#TEA", &["supplier"]).await;
}

#[tokio::test]
async fn a_payment_of_a_newer_version_is_recorded_and_refunded_as_it_is() {
    let own = OwnTable::like("PaymentsTable").await;
    let payments = Payments::new(own.table.clone());
    let id = OrderId::generate();
    let method = "tok_ok".into();
    let intent = Intent { amount: 5, currency: eur(), method, wanted_until: Timestamp::now() };
    payments.intend(Payment::intended(id, intent, Timestamp::now(), cause())).await.unwrap();
    let (key, later) = (Payment::key(&id), ["wallet", "intent.instalments"]);
    grown(&own, &key, &later).await;
    payments.record(&id, payment::Fact::ProviderPaid, &cause()).await.unwrap();
    payments.void(&id, &cause()).await.unwrap();
    payments.record(&id, payment::Fact::ProviderRefunded, &cause()).await.unwrap();
    is_kept(&own, &key, &later).await;
}

#[tokio::test]
async fn what_this_version_cannot_judge_is_busy_and_stays_as_it_is_until_it_can() {
    let (orders, own) = orders().await;
    let placed = order(OrderId::generate(), Timestamp::now());
    orders.place(&placed).await.unwrap().unwrap();
    let key = Order::key(&placed.id);
    own.set(&key, "status", text("ON_HOLD")).await;
    // No version of this code can have written this.
    assert!(is_corrupt(orders.find(&placed.id).await));
    own.set(&key, "schema", number(2)).await;
    let before = own.attributes(&key).await;
    assert!(is_busy(orders.find(&placed.id).await));
    assert!(is_busy(record(&orders, &placed.id, order::Fact::Confirmed).await));
    let abandoned = order::Fact::Abandoned(order::Reason::Failure);
    assert!(is_busy(record(&orders, &placed.id, abandoned).await));
    assert_eq!(own.attributes(&key).await, before);
    own.set(&key, "status", text("PENDING")).await;
    record(&orders, &placed.id, order::Fact::Confirmed).await.unwrap();
}

#[tokio::test]
async fn a_reservation_or_a_payment_that_this_version_cannot_judge_is_neither_undone_nor_repeated()
{
    let (inventory, own) = inventory(&[item("TEA", 9, 0)]).await;
    let id = OrderId::generate();
    let asked = wanted(id, &[("TEA", 2)]);
    reserve(&inventory, &asked).await;
    let key = Reservation::key(&id);
    own.set(&key, "schema", number(2)).await;
    own.set(&key, "state", text("PICKED")).await;
    let stock = own.attributes("STOCK#TEA").await;
    assert!(is_busy(inventory.reserve(&asked).await));
    assert!(is_busy(inventory.commit(&id, &cause()).await));
    assert!(is_busy(inventory.release(&id, &cause()).await));
    assert!(is_busy(inventory.expire(&id, &cause()).await));
    assert!(is_busy(inventory.ship(&id, &cause()).await));
    assert_eq!(own.attributes("STOCK#TEA").await, stock);
    // Stock whose currency is not known yet is not sold either; other products are.
    own.set("STOCK#TEA", "schema", number(2)).await;
    own.set("STOCK#TEA", "currency", text("XXZ")).await;
    assert!(is_busy(inventory.reserve(&wanted(OrderId::generate(), &[("TEA", 2)])).await));

    let own = OwnTable::like("PaymentsTable").await;
    let payments = Payments::new(own.table.clone());
    payments.void(&id, &cause()).await.unwrap();
    own.set(&Payment::key(&id), "schema", number(2)).await;
    own.set(&Payment::key(&id), "state", text("DISPUTED")).await;
    assert!(is_busy(payments.void(&id, &cause()).await));
    assert!(is_busy(payments.record(&id, payment::Fact::ProviderPaid, &cause()).await));
}

#[tokio::test]
async fn one_entry_of_a_list_that_cannot_be_read_is_named_in_it_and_hides_no_other() {
    let (orders, own) = orders().await;
    let now = Timestamp::now();
    let aged = |seconds| order(OrderId::generate(), now.minus(Duration::from_secs(seconds)));
    let placed: Vec<Order> = (0..7).map(aged).collect();
    for order in &placed {
        orders.place(order).await.unwrap().unwrap();
    }
    // The newest of all, one in the middle, and the oldest.
    let odd = [&placed[0], &placed[3], &placed[6]];
    for (schema, order) in [2, 1, 2].into_iter().zip(odd) {
        let key = Order::key(&order.id);
        own.set(&key, "schema", number(schema)).await;
        own.set(&key, "status", text("ON_HOLD")).await;
    }
    let odd: Vec<String> = odd.iter().map(|order| order.id.to_string()).collect();
    let good = [1, 2, 4, 5].map(|it: usize| placed[it].id);
    let pending = Some(order::OrderStatus::Pending);
    for filter in [Filter::default(), Filter { status: pending, ..Filter::default() }] {
        for limit in [1, 2, 3, 100] {
            let (mut seen, mut named, mut position) = (Vec::new(), Vec::new(), None);
            loop {
                let page = orders.list(&filter, position, limit).await.unwrap();
                seen.extend(page.found.iter().map(|order| order.id));
                named.extend(page.unreadable.ids().into_iter().map(str::to_owned));
                position = page.next;
                if position.is_none() {
                    break;
                }
            }
            assert_eq!(seen, good, "{filter:?} by {limit}");
            assert_eq!(named, odd, "{filter:?} by {limit}");
        }
    }
}

#[tokio::test]
async fn stock_that_cannot_be_read_is_named_in_lists_and_counted_in_totals() {
    let names = ["A-TEA", "B-CUP", "C-POT"];
    let (inventory, own) = inventory(&names.map(|name| item(name, 5, 0))).await;
    let ids = names.map(|name| (OrderId::generate(), name));
    for (id, name) in &ids {
        reserve(&inventory, &wanted(*id, &[(name, 1)])).await;
    }
    own.set("STOCK#B-CUP", "schema", number(2)).await;
    own.set("STOCK#B-CUP", "currency", text("XXZ")).await;
    own.set(&Reservation::key(&ids[1].0), "schema", number(2)).await;
    own.set(&Reservation::key(&ids[1].0), "state", text("PICKED")).await;

    let items = inventory.list_items(&ItemFilter::default(), None, 10).await.unwrap();
    let skus: Vec<_> = items.found.iter().map(|item| item.sku.as_str()).collect();
    assert_eq!((skus, items.unreadable.ids()), (vec!["A-TEA", "C-POT"], vec!["B-CUP"]));
    let held = ReservationFilter { status: Some(ReservationState::Held), ..Default::default() };
    let page = inventory.list_reservations(&held, None, 10).await.unwrap();
    let found: Vec<_> = page.found.iter().map(|reservation| reservation.id).collect();
    assert_eq!(found, [ids[2].0, ids[0].0]);
    assert_eq!(page.unreadable.ids(), [ids[1].0.to_string()]);
    let totals = inventory.totals().await.unwrap();
    assert_eq!((totals.items, totals.on_hand, totals.unreadable), (2, 10, 1));
}

#[tokio::test]
async fn a_product_that_a_newer_version_keeps_is_left_to_it() {
    let own = OwnTable::like("OrdersTable").await;
    let catalogue = Catalogue::new(own.table.clone());
    let product = |sequence| Product {
        sku: sku("TEA"),
        name: format!("Tea as of {sequence}"),
        unit_price: 250,
        currency: eur(),
        discontinued: false,
        sequence,
    };
    catalogue.project(&product(1)).await.unwrap();
    grown(&own, "PRODUCT#TEA", &["tax_class"]).await;
    let before = own.attributes("PRODUCT#TEA").await;
    assert!(is_busy(catalogue.project(&product(2)).await));
    catalogue.project(&product(1)).await.expect_err("nobody knows what it would take away");
    assert_eq!(own.attributes("PRODUCT#TEA").await, before);
    assert_eq!(catalogue.find(&[sku("TEA")]).await.unwrap()[&sku("TEA")], product(1));
}

#[tokio::test]
async fn every_stored_item_says_which_schema_it_has() {
    let (orders, own) = orders().await;
    let placed = order(OrderId::generate(), Timestamp::now());
    orders.place(&placed).await.unwrap().unwrap();
    assert_eq!(at(&own, &Order::key(&placed.id), "schema").await, number(1));
    let (inventory, own) = inventory(&[item("TEA", 9, 0)]).await;
    let (held, refused) = (OrderId::generate(), OrderId::generate());
    reserve(&inventory, &wanted(held, &[("TEA", 2)])).await;
    reserve(&inventory, &wanted(refused, &[("TEA", 200)])).await;
    let keys = [held, refused].map(|id| Reservation::key(&id));
    for key in keys.iter().map(String::as_str).chain(["STOCK#TEA"]) {
        assert_eq!(at(&own, key, "schema").await, number(1), "{key}");
    }
}
