//! The `inventory` table: units and promises agree, whoever reserves, commits and releases at the same time.

use std::collections::HashMap;

use proptest::prelude::*;
use trackops_aws::StoreError;
use trackops_aws::inventory::{Inventory, ReservationError, Wanted};
use trackops_domain::event::EventType;
use trackops_domain::reservation::{Reservation, ReservationState, Shortage};
use trackops_domain::stock::StockItem;
use trackops_domain::{OrderId, Sku};

use crate::dynamodb::OwnTable;
use crate::given::{at_once, cause, inventory, item, patiently, sku, wanted};

async fn reserve(inventory: &Inventory, wanted: &Wanted) -> Reservation {
    patiently(async || inventory.reserve(wanted).await).await
}

async fn stock(inventory: &Inventory, name: &str) -> StockItem {
    inventory.find_item(&sku(name)).await.unwrap().unwrap()
}

async fn told(own: &OwnTable, key: &str) -> Vec<EventType> {
    let left = own.table.unpublished(key).await.unwrap();
    left.into_iter().flat_map(|left| left.outbox).map(|event| event.kind).collect()
}

#[tokio::test]
async fn a_product_is_added_once() {
    let (inventory, _) = inventory(&[item("TEA", 5, 0)]).await;
    let again = inventory.add_item(&item("TEA", 9, 0)).await;
    assert!(matches!(again, Err(StoreError::Stale)), "{again:?}");
    assert_eq!(stock(&inventory, "TEA").await.on_hand, 5);
}

#[tokio::test]
async fn all_lines_are_reserved_or_none_and_the_refusal_says_what_is_missing() {
    let tea = item("TEA", 5, 0);
    let (inventory, own) = inventory(&[tea.clone(), item("CUP", 1, 0)]).await;
    let short = wanted(OrderId::generate(), &[("TEA", 2), ("CUP", 3), ("POT", 1)]);
    let refused = reserve(&inventory, &short).await;
    assert_eq!(refused.state, ReservationState::Rejected);
    let missing = |name, requested, available| Shortage { sku: sku(name), requested, available };
    assert_eq!(refused.shortages, [missing("CUP", 3, 1), missing("POT", 1, 0)]);
    assert_eq!(stock(&inventory, "TEA").await, tea, "something of it was taken");
    let key = Reservation::key(&short.id);
    assert_eq!(told(&own, &key).await, [EventType::InventoryReservationFailed]);

    let enough = wanted(OrderId::generate(), &[("TEA", 5), ("CUP", 1)]);
    assert_eq!(reserve(&inventory, &enough).await.state, ReservationState::Held);
    assert_eq!(stock(&inventory, "TEA").await.available, 0);
    assert_eq!(stock(&inventory, "CUP").await.available, 0);
    let key = Reservation::key(&enough.id);
    assert_eq!(told(&own, &key).await, [EventType::InventoryReserved]);
}

#[tokio::test]
async fn of_sixty_four_orders_for_the_last_ten_units_ten_get_one() {
    let (inventory, _) = inventory(&[item("TEA", 10, 0)]).await;
    let outcomes = at_once(64, async |_| {
        reserve(&inventory, &wanted(OrderId::generate(), &[("TEA", 1)])).await
    });
    let (held, refused): (Vec<_>, Vec<_>) =
        outcomes.await.into_iter().partition(|outcome| outcome.state == ReservationState::Held);
    assert_eq!((held.len(), refused.len()), (10, 54));
    let sold_out = [Shortage { sku: sku("TEA"), requested: 1, available: 0 }];
    for refused in refused {
        assert_eq!(refused.state, ReservationState::Rejected);
        assert_eq!(refused.shortages, sold_out);
    }
    let tea = stock(&inventory, "TEA").await;
    assert_eq!((tea.on_hand, tea.available), (10, 0));
}

#[tokio::test]
async fn reserving_again_and_at_the_same_time_takes_once_and_gives_the_recorded_answer() {
    let (inventory, _) = inventory(&[item("TEA", 5, 0)]).await;
    let wanted = wanted(OrderId::generate(), &[("TEA", 2)]);
    let answers = at_once(20, async |_| reserve(&inventory, &wanted).await).await;
    let recorded = inventory.find_reservation(&wanted.id).await.unwrap().unwrap();
    for answer in answers {
        assert_eq!(Reservation { raised: None, ..answer }, recorded);
    }
    assert_eq!(stock(&inventory, "TEA").await.available, 3);

    inventory.commit(&wanted.id, &cause()).await.unwrap();
    assert_eq!(reserve(&inventory, &wanted).await.state, ReservationState::Committed);
    assert_eq!(stock(&inventory, "TEA").await.available, 3);
}

#[tokio::test]
async fn units_come_back_once_however_often_they_are_released() {
    let (inventory, own) = inventory(&[item("TEA", 5, 0), item("CUP", 5, 0)]).await;
    let wanted = wanted(OrderId::generate(), &[("TEA", 2), ("CUP", 3)]);
    reserve(&inventory, &wanted).await;
    let release = async |_| inventory.release(&wanted.id, &cause()).await.unwrap().state;
    for state in at_once(20, release).await {
        assert_eq!(state, ReservationState::Released);
    }
    assert_eq!(stock(&inventory, "TEA").await.available, 5);
    assert_eq!(stock(&inventory, "CUP").await.available, 5);
    let key = Reservation::key(&wanted.id);
    let once = [EventType::InventoryReserved, EventType::InventoryReleased];
    assert_eq!(told(&own, &key).await, once);
}

#[tokio::test]
async fn a_release_that_comes_first_refuses_the_reserve() {
    let (inventory, own) = inventory(&[item("TEA", 5, 0)]).await;
    let late = wanted(OrderId::generate(), &[("TEA", 2)]);
    inventory.release(&late.id, &cause()).await.unwrap();
    assert_eq!(reserve(&inventory, &late).await.state, ReservationState::Released);
    assert_eq!(stock(&inventory, "TEA").await.available, 5);
    assert!(told(&own, &Reservation::key(&late.id)).await.is_empty());
}

#[tokio::test]
async fn reserve_against_release_at_once_always_ends_released_with_every_unit_back() {
    let (inventory, _) = inventory(&[item("TEA", 5, 0)]).await;
    for _ in 0..10 {
        let (wanted, cause) = (wanted(OrderId::generate(), &[("TEA", 2)]), cause());
        let (_, released) =
            futures::join!(reserve(&inventory, &wanted), inventory.release(&wanted.id, &cause));
        assert_eq!(released.unwrap().state, ReservationState::Released);
        assert_eq!(reserve(&inventory, &wanted).await.state, ReservationState::Released);
        assert_eq!(stock(&inventory, "TEA").await.available, 5);
    }
}

#[tokio::test]
async fn commit_against_release_whichever_wins_the_units_add_up() {
    let (inventory, _) = inventory(&[item("TEA", 5, 0)]).await;
    for _ in 0..10 {
        let (wanted, cause) = (wanted(OrderId::generate(), &[("TEA", 2)]), cause());
        reserve(&inventory, &wanted).await;
        let (committed, released) = futures::join!(
            inventory.commit(&wanted.id, &cause),
            inventory.release(&wanted.id, &cause)
        );
        match committed {
            Ok(_) | Err(ReservationError::Illegal(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
        assert_eq!(released.unwrap().state, ReservationState::Released);
        assert_eq!(stock(&inventory, "TEA").await.available, 5);
        let late = inventory.commit(&wanted.id, &cause).await;
        assert!(matches!(late, Err(ReservationError::Illegal(_))), "{late:?}");
    }
}

#[tokio::test]
async fn a_commit_ends_the_hold_and_without_one_there_is_nothing_to_commit() {
    let (inventory, own) = inventory(&[item("TEA", 5, 0)]).await;
    let wanted = wanted(OrderId::generate(), &[("TEA", 2)]);
    let none = inventory.commit(&wanted.id, &cause()).await;
    assert!(matches!(none, Err(ReservationError::NoReservation(_))), "{none:?}");
    reserve(&inventory, &wanted).await;
    let commit = async |_| inventory.commit(&wanted.id, &cause()).await.unwrap();
    for committed in at_once(5, commit).await {
        assert_eq!((committed.state, committed.version), (ReservationState::Committed, 2));
    }
    let attributes = own.attributes(&Reservation::key(&wanted.id)).await;
    assert!(!attributes.contains_key("expires_at"), "it would still run out");
}

#[tokio::test]
async fn what_is_shipped_leaves_the_house_once_and_does_not_come_back() {
    let (inventory, _) = inventory(&[item("TEA", 5, 0)]).await;
    let wanted = wanted(OrderId::generate(), &[("TEA", 2)]);
    reserve(&inventory, &wanted).await;
    let early = inventory.ship(&wanted.id, &cause()).await;
    assert!(matches!(early, Err(ReservationError::Illegal(_))), "{early:?}");
    inventory.commit(&wanted.id, &cause()).await.unwrap();

    let ship = async |_| inventory.ship(&wanted.id, &cause()).await.unwrap().state;
    assert_eq!(at_once(10, ship).await, [ReservationState::Shipped; 10]);
    let late = inventory.release(&wanted.id, &cause()).await;
    assert!(matches!(late, Err(ReservationError::Illegal(_))), "{late:?}");
    let tea = stock(&inventory, "TEA").await;
    assert_eq!((tea.on_hand, tea.available), (3, 3));
}

#[tokio::test]
async fn low_stock_is_told_once_when_the_mark_is_crossed_whoever_crosses_it() {
    // Twenty at once from far above the mark, then eleven at once from one above it.
    for early in [0, 9] {
        let (inventory, own) = inventory(&[item("TEA", 20, 10)]).await;
        let reserve_one =
            async |_| reserve(&inventory, &wanted(OrderId::generate(), &[("TEA", 1)])).await.state;
        at_once(early, reserve_one).await;
        assert!(told(&own, "STOCK#TEA").await.is_empty(), "it is above the mark");
        at_once(20 - early, reserve_one).await;
        assert_eq!(stock(&inventory, "TEA").await.available, 0);
        let told = own.table.unpublished("STOCK#TEA").await.unwrap().unwrap().outbox;
        let [low] = &told[..] else { panic!("it was told {} times", told.len()) };
        assert_eq!(low.kind, EventType::InventoryLowStock);
        let body: serde_json::Value = serde_json::from_str(&low.body).unwrap();
        assert_eq!(body["data"]["availableQuantity"], 10);
    }
}

#[tokio::test]
async fn stock_that_recovered_is_told_to_be_low_again() {
    let (inventory, own) = inventory(&[item("TEA", 5, 3)]).await;
    for _ in 0..2 {
        let wanted = wanted(OrderId::generate(), &[("TEA", 2)]);
        reserve(&inventory, &wanted).await;
        inventory.release(&wanted.id, &cause()).await.unwrap();
    }
    assert_eq!(told(&own, "STOCK#TEA").await, [EventType::InventoryLowStock; 2]);
}

#[tokio::test]
async fn a_discontinued_product_is_not_promised() {
    let mut tea = item("TEA", 5, 0);
    tea.discontinued = true;
    let (inventory, _) = inventory(std::slice::from_ref(&tea)).await;
    let refused = reserve(&inventory, &wanted(OrderId::generate(), &[("TEA", 1)])).await;
    assert_eq!(refused.shortages, [Shortage { sku: sku("TEA"), requested: 1, available: 0 }]);
    assert_eq!(stock(&inventory, "TEA").await, tea);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve,
    Commit,
    Ship,
    Release,
}

const STOCK: [(&str, u32); 2] = [("TEA", 4), ("CUP", 5)];

fn steps() -> impl Strategy<Value = (usize, Step)> {
    use Step::{Commit, Release, Reserve, Ship};
    let step = prop::sample::select(vec![Reserve, Reserve, Commit, Ship, Release]);
    (0..3_usize, step)
}

proptest! {
    // Each case is some dozens of calls; what interleaves cannot be replayed from a seed.
    #![proptest_config(ProptestConfig {
        cases: 12, max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::default()
    })]
    #[test]
    fn units_taken_are_units_promised_or_shipped_after_any_steps_at_the_same_time(
        quantities in prop::collection::vec((0..4_u32, 0..4_u32), 3),
        waves in prop::collection::vec(prop::collection::vec(steps(), 1..8), 3..7),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (inventory, _) = inventory(&STOCK.map(|(name, units)| item(name, units, 2))).await;
            let orders: Vec<Wanted> = quantities.iter().map(|&(tea, cup)| {
                let mut lines = vec![("TEA", tea), ("CUP", cup)];
                lines.retain(|&(_, quantity)| quantity > 0);
                wanted(OrderId::generate(), &lines)
            }).collect();
            for wave in &waves {
                let step = async |number: usize| perform(&inventory, &orders, wave[number]).await;
                at_once(wave.len(), step).await;
                books_balance(&inventory, &orders).await;
            }
        });
    }
}

async fn perform(inventory: &Inventory, orders: &[Wanted], (number, step): (usize, Step)) {
    let wanted = &orders[number];
    let done = match step {
        Step::Reserve => return drop(reserve(inventory, wanted).await),
        Step::Commit => inventory.commit(&wanted.id, &cause()).await,
        Step::Ship => inventory.ship(&wanted.id, &cause()).await,
        Step::Release => inventory.release(&wanted.id, &cause()).await,
    };
    match done {
        Ok(_) | Err(ReservationError::NoReservation(_) | ReservationError::Illegal(_)) => {}
        Err(ReservationError::Store(error)) => panic!("{step:?} failed: {error:?}"),
    }
}

async fn books_balance(inventory: &Inventory, orders: &[Wanted]) {
    let (mut promised, mut shipped) = (HashMap::new(), HashMap::new());
    for wanted in orders {
        let Some(found) = inventory.find_reservation(&wanted.id).await.unwrap() else { continue };
        let units = match found.state {
            ReservationState::Held | ReservationState::Committed => &mut promised,
            ReservationState::Shipped => &mut shipped,
            _ => continue,
        };
        for line in found.lines {
            *units.entry(line.sku).or_default() += line.quantity;
        }
    }
    for (name, delivered) in STOCK {
        let item = stock(inventory, name).await;
        let units = |of: &HashMap<Sku, u32>| of.get(&item.sku).copied().unwrap_or(0);
        assert_eq!(item.on_hand - item.available, units(&promised), "{name} promised");
        assert_eq!(delivered - item.on_hand, units(&shipped), "{name} shipped");
    }
}
