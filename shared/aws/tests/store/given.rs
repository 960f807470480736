//! What the tests start from.

use std::future::Future;
use std::time::Duration;

use futures::future::join_all;
use trackops_aws::StoreError;
use trackops_aws::inventory::{Inventory, Wanted};
use trackops_domain::money::Currency;
use trackops_domain::order::{Direction, NewOrder, Order};
use trackops_domain::reservation::Line;
use trackops_domain::saga::{Run, SUCCEEDED, Step};
use trackops_domain::stock::StockItem;
use trackops_domain::{Cause, OrderId, Schema, Sku, Timestamp, examples};

use crate::dynamodb::OwnTable;

/// All of them start before any of them ends.
pub async fn at_once<T, F: Future<Output = T>>(count: usize, task: impl Fn(usize) -> F) -> Vec<T> {
    join_all((0..count).map(task)).await
}

/// Busy means: try again. Within a few rounds of retries every caller gets its turn.
pub async fn patiently<T>(call: impl AsyncFn() -> Result<T, StoreError>) -> T {
    for _ in 0..5 {
        match call().await {
            Err(StoreError::Busy(_)) => {}
            other => return other.unwrap(),
        }
    }
    panic!("busy five times over");
}

pub fn cause() -> Cause {
    Cause { correlation_id: "a test".into(), ..Cause::default() }
}

pub fn eur() -> Currency {
    Currency::from_code("EUR").unwrap()
}

pub fn sku(name: &str) -> Sku {
    name.parse().unwrap()
}

/// A run of the saga that confirms an order.
pub fn run(instance: &str) -> Run {
    let at = Timestamp::now();
    let step = |name: &str| Step {
        name: name.into(),
        outcome: SUCCEEDED.into(),
        attempts: 1,
        started_at: at,
        ended_at: at,
    };
    Run {
        instance: instance.into(),
        direction: Direction::Forward,
        started_at: at,
        steps: ["ReserveInventory", "ChargePayment", "CommitReservation", "ConfirmOrder"]
            .map(step)
            .to_vec(),
    }
}

/// Placed at `at` and to be paid within a quarter of an hour.
pub fn order(id: OrderId, at: Timestamp) -> Order {
    Order::place(NewOrder { id, ..examples::order() }, at, cause()).unwrap()
}

/// `units` in the house, none of them promised; low when `threshold` are left.
pub fn item(name: &str, units: u32, threshold: u32) -> StockItem {
    let now = Timestamp::now();
    StockItem {
        sku: sku(name),
        version: 1,
        schema: Schema::default(),
        name: name.into(),
        description: None,
        category: None,
        unit_price: 250,
        currency: eur(),
        on_hand: units,
        available: units,
        low_stock_threshold: threshold,
        max_stock_level: None,
        reorder_quantity: None,
        discontinued: false,
        created_at: now,
        updated_at: now,
        raised: Vec::new(),
    }
}

/// An item that raises an event for its newest change, as the catalogue does.
pub fn told(mut item: StockItem) -> StockItem {
    item.raised = vec![item.catalogue_event(&cause())];
    item
}

/// The next version of `item`, with `change` made and its event raised.
pub fn changed(item: &StockItem, change: impl FnOnce(&mut StockItem)) -> StockItem {
    let mut next = item.clone();
    next.version += 1;
    next.updated_at = Timestamp::now();
    change(&mut next);
    told(next)
}

pub fn wanted(id: OrderId, lines: &[(&str, u32)]) -> Wanted {
    let line = |&(name, quantity): &(&str, u32)| Line { sku: sku(name), quantity };
    Wanted {
        id,
        lines: lines.iter().map(line).collect(),
        expires_at: Timestamp::now().plus(Duration::from_secs(900)),
        request_hash: None,
        cause: cause(),
    }
}

/// A new inventory that has these items.
pub async fn inventory(items: &[StockItem]) -> (Inventory, OwnTable) {
    let own = OwnTable::like("InventoryTable").await;
    let inventory = Inventory::new(own.table.clone());
    for item in items {
        inventory.table().create(item).await.unwrap();
    }
    (inventory, own)
}
