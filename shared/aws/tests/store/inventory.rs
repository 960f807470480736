//! The `inventory` table: units and promises agree, even when many callers reserve, commit and release at the same
//! time.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use proptest::prelude::*;
use trackops_aws::StoreError;
use trackops_aws::aggregate::Write;
use trackops_aws::inventory::{Inventory, NotSold, ReservationError, ReserveError, Wanted};
use trackops_aws::inventory_list::{ItemFilter, ReservationFilter};
use trackops_aws::notices::{Notices, Turn};
use trackops_aws::once::{Answered, Once, Repeatable};
use trackops_domain::event::EventType;
use trackops_domain::reservation::{Reservation, ReservationState, Shortage};
use trackops_domain::stock::{Adjustment, ItemChange, StockItem};
use trackops_domain::totals::Totals;
use trackops_domain::{OrderId, Sku, Timestamp};
use uuid::Uuid;

use crate::dynamodb::OwnTable;
use crate::given::{at_once, cause, inventory, item, patiently, sku, wanted};

pub async fn reserve(inventory: &Inventory, wanted: &Wanted) -> Reservation {
    patiently(async || inventory.reserve(wanted).await).await
}

async fn stock(inventory: &Inventory, name: &str) -> StockItem {
    inventory.find_item(&sku(name)).await.unwrap().unwrap()
}

async fn told(own: &OwnTable, key: &str) -> Vec<EventType> {
    let left = own.table.unpublished(key).await.unwrap();
    left.into_iter().flat_map(|left| left.outbox).filter_map(|event| event.kind.known()).collect()
}

#[tokio::test]
async fn a_product_is_added_once() {
    let (inventory, _) = inventory(&[item("TEA", 5, 0)]).await;
    let again = inventory.table().create(&item("TEA", 9, 0)).await;
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
    assert!(!attributes.contains_key("due"), "it would still run out");
}

/// A hold that ran out a minute ago.
async fn overdue(inventory: &Inventory, lines: &[(&str, u32)]) -> Wanted {
    let mut wanted = wanted(OrderId::generate(), lines);
    wanted.expires_at = Timestamp::now().minus(Duration::from_secs(60));
    assert_eq!(reserve(inventory, &wanted).await.state, ReservationState::Held);
    wanted
}

#[tokio::test]
async fn a_hold_that_ran_out_is_due_until_its_units_are_back() {
    let (inventory, own) = inventory(&[item("TEA", 5, 0)]).await;
    let overdue = overdue(&inventory, &[("TEA", 2)]).await;
    reserve(&inventory, &wanted(OrderId::generate(), &[("TEA", 1)])).await;
    let due = async || -> Vec<OrderId> {
        own.table
            .due(Timestamp::now())
            .await
            .unwrap()
            .into_iter()
            .map(|due| due.id().unwrap())
            .collect()
    };
    assert_eq!(due().await, [overdue.id]);

    let expire = async |_| inventory.expire(&overdue.id, &cause()).await.unwrap().state;
    assert_eq!(at_once(5, expire).await, [ReservationState::Expired; 5]);
    assert_eq!(stock(&inventory, "TEA").await.available, 4);
    assert!(due().await.is_empty());
    let key = Reservation::key(&overdue.id);
    let once = [EventType::InventoryReserved, EventType::InventoryReleased];
    assert_eq!(told(&own, &key).await, once);
}

#[tokio::test]
async fn what_is_held_can_be_withdrawn_and_what_an_order_counts_on_cannot() {
    let (inventory, _) = inventory(&[item("TEA", 5, 0)]).await;
    let (held, committed) =
        (wanted(OrderId::generate(), &[("TEA", 2)]), wanted(OrderId::generate(), &[("TEA", 1)]));
    reserve(&inventory, &held).await;
    reserve(&inventory, &committed).await;
    inventory.commit(&committed.id, &cause()).await.unwrap();
    let withdraw = async |_| inventory.withdraw(&held.id, &cause(), |_| true).await.unwrap().state;
    assert_eq!(at_once(5, withdraw).await, [ReservationState::Released; 5]);
    let refused = inventory.withdraw(&committed.id, &cause(), |_| true).await;
    assert!(matches!(refused, Err(ReservationError::Illegal(_))), "{refused:?}");
    let unknown = inventory.withdraw(&OrderId::generate(), &cause(), |_| true).await;
    assert!(matches!(unknown, Err(ReservationError::NoReservation(_))), "{unknown:?}");
    assert_eq!(stock(&inventory, "TEA").await.available, 4);
}

#[tokio::test]
async fn a_hold_that_is_not_as_it_should_be_is_left_alone() {
    let (inventory, _) = inventory(&[item("TEA", 5, 0)]).await;
    let held = wanted(OrderId::generate(), &[("TEA", 2)]);
    reserve(&inventory, &held).await;
    let refused = inventory.withdraw(&held.id, &cause(), |held| held.version == 99).await;
    assert!(matches!(refused, Err(ReservationError::Changed(1))), "{refused:?}");
    assert_eq!(stock(&inventory, "TEA").await.available, 3);
    inventory.withdraw(&held.id, &cause(), |held| held.version == 1).await.unwrap();
    assert_eq!(stock(&inventory, "TEA").await.available, 5);
}

#[tokio::test]
async fn commit_against_expiry_whichever_wins_the_units_add_up() {
    let (inventory, _) = inventory(&[item("TEA", 50, 0)]).await;
    let mut promised = 0;
    for _ in 0..15 {
        let (wanted, cause) = (overdue(&inventory, &[("TEA", 2)]).await, cause());
        let (committed, expired) = futures::join!(
            inventory.commit(&wanted.id, &cause),
            inventory.expire(&wanted.id, &cause)
        );
        let stored = inventory.find_reservation(&wanted.id).await.unwrap().unwrap();
        match (committed, expired) {
            (Ok(_), Err(ReservationError::Illegal(_))) => {
                assert_eq!(stored.state, ReservationState::Committed);
                promised += 2;
            }
            (Err(ReservationError::Illegal(_)), Ok(_)) => {
                assert_eq!(stored.state, ReservationState::Expired);
            }
            both => panic!("{both:?}"),
        }
        assert_eq!(stored.version, 2, "it changed twice");
        assert_eq!(stock(&inventory, "TEA").await.reserved(), promised);
    }
}

#[tokio::test]
async fn a_hold_that_ran_out_does_not_stand_in_the_way() {
    let (inventory, _) = inventory(&[item("TEA", 5, 0), item("CUP", 5, 0)]).await;
    let old = overdue(&inventory, &[("TEA", 4)]).await;
    let elsewhere = overdue(&inventory, &[("CUP", 4)]).await;
    let short = reserve(&inventory, &wanted(OrderId::generate(), &[("TEA", 6)])).await;
    assert_eq!(short.state, ReservationState::Rejected, "there never were six");

    let new = reserve(&inventory, &wanted(OrderId::generate(), &[("TEA", 5)])).await;
    assert_eq!(new.state, ReservationState::Held);
    assert_eq!(stock(&inventory, "TEA").await.available, 0);
    let state = async |wanted: &Wanted| {
        inventory.find_reservation(&wanted.id).await.unwrap().unwrap().state
    };
    assert_eq!(state(&old).await, ReservationState::Expired);
    assert_eq!(state(&elsewhere).await, ReservationState::Held, "it was in nobody's way");
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

#[tokio::test]
async fn a_walk_through_all_items_misses_none_and_repeats_none_while_others_are_added() {
    let names: Vec<String> = (0..30).map(|number| format!("M-{number:02}")).collect();
    let items: Vec<_> = names.iter().map(|name| item(name, 5, 0)).collect();
    let (inventory, _) = inventory(&items).await;
    let (mut seen, mut after, mut page) = (Vec::new(), None, 0);
    loop {
        let read = inventory.list_items(&ItemFilter::default(), after, 7).await.unwrap();
        assert!(read.found.len() <= 7);
        seen.extend(read.found.into_iter().map(|item| item.sku.to_string()));
        page += 1;
        inventory.table().create(&item(&format!("A-{page}"), 1, 0)).await.unwrap();
        let Some(next) = read.next else { break };
        after = Some(next);
    }
    assert_eq!(seen, names, "what was added has places before the walk");
    assert_eq!(page, 5);
}

#[tokio::test]
async fn lists_have_what_their_filter_says_newest_reservations_first() {
    let mut cup = item("CUP", 9, 0);
    cup.category = Some("china".into());
    let (inventory, _) = inventory(&[item("TEA", 9, 20), cup]).await;
    let mut made = Vec::new();
    for lines in [[("TEA", 1)], [("CUP", 1)], [("TEA", 2)], [("POT", 1)]] {
        made.push(reserve(&inventory, &wanted(OrderId::generate(), &lines)).await.id);
    }
    inventory.release(&OrderId::generate(), &cause()).await.unwrap();
    inventory.release(&made[0], &cause()).await.unwrap();
    let reservations = async |filter: ReservationFilter| -> Vec<OrderId> {
        let page = inventory.list_reservations(&filter, None, 10).await.unwrap();
        assert_eq!(page.next, None);
        page.found.into_iter().map(|reservation| reservation.id).collect()
    };
    let all = ReservationFilter::default();
    let of_tea = ReservationFilter { product: Some(sku("TEA")), ..all.clone() };
    let held = ReservationFilter { status: Some(ReservationState::Held), ..all.clone() };
    let of_order = ReservationFilter { order: Some(made[1]), ..all.clone() };
    let mut newest_first = made.clone();
    newest_first.reverse();
    assert_eq!(reservations(all).await, newest_first, "and no tombstone");
    assert_eq!(reservations(of_tea).await, [made[2], made[0]]);
    assert_eq!(reservations(held).await, [made[2], made[1]]);
    assert_eq!(reservations(of_order).await, [made[1]]);

    let items = async |category: Option<&str>, low_stock| -> Vec<String> {
        let filter = ItemFilter { category: category.map(str::to_owned), low_stock };
        let page = inventory.list_items(&filter, None, 10).await.unwrap();
        page.found.into_iter().map(|item| item.sku.to_string()).collect()
    };
    assert_eq!(items(None, None).await, ["CUP", "TEA"]);
    assert_eq!(items(Some("china"), None).await, ["CUP"]);
    assert_eq!(items(None, Some(true)).await, ["TEA"]);
    assert_eq!(items(Some("china"), Some(true)).await, [] as [String; 0]);
}

/// The change of a request with this `id`; the answer says how many units are on hand after it.
async fn adjust(inventory: &Inventory, id: Uuid, quantity: i32) -> Result<Once, StoreError> {
    let adjustment = Some(Adjustment { quantity, reason: "counted".into() });
    let change = ItemChange { adjustment, ..ItemChange::default() };
    let decide = |item: Option<StockItem>| {
        let item = item.unwrap();
        let next = item.changed(&change, Timestamp::now(), &cause()).unwrap();
        Ok(next.map_or(Write::Nothing(item), Write::Replace))
    };
    let request = Repeatable { id, keep_unchanged: true };
    let answer = |item: &StockItem| Ok(on_hand(item.on_hand));
    inventory.change_item(&sku("TEA"), &request, decide, answer).await
}

fn on_hand(units: u32) -> Answered {
    let (request_hash, headers) = (String::new(), BTreeMap::new());
    Answered { request_hash, status: 200, headers, body: units.to_string() }
}

#[tokio::test]
async fn a_request_changes_stock_once_whatever_others_change_between_its_write_and_its_repetition()
{
    let (inventory, own) = inventory(&[item("TEA", 10, 0)]).await;
    let (first, other) = (Uuid::now_v7(), Uuid::now_v7());
    assert_eq!(adjust(&inventory, first, 5).await.unwrap(), Once::Now(on_hand(15)));
    assert_eq!(adjust(&inventory, other, 1).await.unwrap(), Once::Now(on_hand(16)));
    assert_eq!(adjust(&inventory, first, 5).await.unwrap(), Once::Before(on_hand(15)));
    assert_eq!(stock(&inventory, "TEA").await.on_hand, 16);
    assert_eq!(told(&own, "STOCK#TEA").await, [EventType::InventoryItemUpdated; 2]);

    let kept = own.attributes(&format!("ANSWER#{first}")).await;
    let forget_at: i64 = kept["forget_at"].as_n().unwrap().parse().unwrap();
    assert!(forget_at >= Timestamp::now().unix_seconds() + 24 * 60 * 60, "forgotten too soon");
}

#[tokio::test]
async fn a_request_that_comes_twenty_times_at_once_changes_stock_once() {
    let (inventory, _) = inventory(&[item("TEA", 10, 0)]).await;
    let id = Uuid::now_v7();
    let answers = at_once(20, async |_| patiently(async || adjust(&inventory, id, 5).await).await);
    let answers = answers.await;
    let now = answers.iter().filter(|answer| matches!(answer, Once::Now(_))).count();
    assert_eq!(now, 1, "{answers:?}");
    for answer in answers {
        let (Once::Now(answered) | Once::Before(answered)) = answer;
        assert_eq!(answered, on_hand(15));
    }
    assert_eq!(stock(&inventory, "TEA").await.on_hand, 15);
}

#[tokio::test]
async fn an_answer_to_which_nothing_was_written_is_kept_if_that_is_wanted() {
    let (inventory, _) = inventory(&[item("TEA", 10, 0)]).await;
    for (keep_unchanged, again) in
        [(true, Once::Before(on_hand(10))), (false, Once::Now(on_hand(11)))]
    {
        let request = Repeatable { id: Uuid::now_v7(), keep_unchanged };
        let ask = async |units| {
            let nothing =
                |item: Option<StockItem>| Ok::<_, StoreError>(Write::Nothing(item.unwrap()));
            inventory
                .change_item(&sku("TEA"), &request, nothing, |_| Ok(on_hand(units)))
                .await
                .unwrap()
        };
        assert_eq!(ask(10).await, Once::Now(on_hand(10)));
        assert_eq!(ask(11).await, again);
    }
}

#[tokio::test]
async fn a_request_that_changes_nothing_has_one_answer_however_often_it_comes_at_once() {
    let (inventory, _) = inventory(&[item("TEA", 10, 0)]).await;
    let request = Repeatable { id: Uuid::now_v7(), keep_unchanged: true };
    let answers = at_once(20, async |number| {
        let nothing = |item: Option<StockItem>| Ok::<_, StoreError>(Write::Nothing(item.unwrap()));
        let answer = |_: &StockItem| Ok(on_hand(u32::try_from(number).unwrap()));
        inventory.change_item(&sku("TEA"), &request, nothing, answer).await.unwrap()
    });
    let answers = answers.await;
    let now: Vec<_> = answers.iter().filter(|answer| matches!(answer, Once::Now(_))).collect();
    let [Once::Now(first)] = &now[..] else { panic!("{answers:?}") };
    for answer in &answers {
        let (Once::Now(answered) | Once::Before(answered)) = answer;
        assert_eq!(answered, first);
    }
}

#[tokio::test]
async fn two_events_of_one_change_are_two_versions_and_one_write_on_the_version_before_both() {
    let (inventory, own) = inventory(&[item("TEA", 5, 3)]).await;
    let change = ItemChange {
        unit_price: Some(300),
        adjustment: Some(Adjustment { quantity: -2, reason: "counted".into() }),
        ..ItemChange::default()
    };
    let tea = stock(&inventory, "TEA").await;
    let next = tea.changed(&change, Timestamp::now(), &cause()).unwrap().unwrap();
    own.table.replace(&tea, &next).await.unwrap();
    let stored = stock(&inventory, "TEA").await;
    assert_eq!((stored.version, stored.available), (3, 3));
    let outbox = own.table.unpublished("STOCK#TEA").await.unwrap().unwrap().outbox;
    let told: Vec<_> = outbox.iter().map(|event| (event.id.as_str(), event.kind.known())).collect();
    let expected = [
        ("STOCK#TEA#2", Some(EventType::InventoryItemUpdated)),
        ("STOCK#TEA#3", Some(EventType::InventoryLowStock)),
    ];
    assert_eq!(told, expected);
    let late = own.table.replace(&tea, &next).await;
    assert!(matches!(late, Err(StoreError::Stale)), "{late:?}");
}

#[tokio::test]
async fn one_at_a_time_tells_of_an_event_and_nobody_once_it_was_told() {
    let own = OwnTable::like("InventoryTable").await;
    let notices = Notices::new(own.table.clone());
    let turns = at_once(10, async |_| notices.turn("STOCK#TEA#3").await.unwrap()).await;
    let yours = turns.iter().filter(|turn| **turn == Turn::Yours).count();
    assert_eq!((yours, turns.contains(&Turn::Told)), (1, false), "{turns:?}");
    assert_eq!(notices.turn("STOCK#TEA#4").await.unwrap(), Turn::Yours, "another event");
    notices.told("STOCK#TEA#3").await.unwrap();
    assert_eq!(notices.turn("STOCK#TEA#3").await.unwrap(), Turn::Told);
    // Also when the turn of whoever told is long over.
    let long_ago = AttributeValue::S(Timestamp::from_millis(0).to_string());
    own.set("NOTICE#STOCK#TEA#3", "turn_until", long_ago).await;
    assert_eq!(notices.turn("STOCK#TEA#3").await.unwrap(), Turn::Told);
    let notice = own.attributes("NOTICE#STOCK#TEA#3").await;
    let forget_at: i64 = notice["forget_at"].as_n().unwrap().parse().unwrap();
    let days = (forget_at - Timestamp::now().unix_seconds()) / (24 * 60 * 60);
    assert!(days > 18, "an event may be among dead letters for longer");
}

#[tokio::test]
async fn what_is_not_sold_is_refused_without_a_trace_unless_it_is_for_an_order() {
    let mut gone = item("CUP", 5, 0);
    gone.discontinued = true;
    let (inventory, _) = inventory(&[item("TEA", 5, 0), gone]).await;
    let mut wanted = wanted(OrderId::generate(), &[("TEA", 9), ("CUP", 1), ("POT", 1)]);
    wanted.request_hash = Some("hash".into());
    let refused = inventory.reserve_sold(&wanted).await;
    let Err(ReserveError::NotSold(not_sold)) = refused else { panic!("{refused:?}") };
    assert_eq!(not_sold, [NotSold::Discontinued(sku("CUP")), NotSold::Unknown(sku("POT"))]);
    assert_eq!(inventory.find_reservation(&wanted.id).await.unwrap(), None);

    let for_order = Wanted { request_hash: None, ..wanted.clone() };
    assert_eq!(reserve(&inventory, &for_order).await.state, ReservationState::Rejected);
    // The answer is what is recorded, even if the product is not sold any more.
    let recorded = inventory.reserve_sold(&for_order).await.unwrap();
    assert_eq!(recorded.state, ReservationState::Rejected);
}

#[tokio::test]
async fn adjustments_and_reservations_at_the_same_time_all_count() {
    let (inventory, own) = inventory(&[item("TEA", 20, 0)]).await;
    let adjusting = at_once(10, async |_| {
        patiently(async || adjust(&inventory, Uuid::now_v7(), 1).await).await
    });
    let reserving = at_once(10, async |_| {
        reserve(&inventory, &wanted(OrderId::generate(), &[("TEA", 1)])).await.state
    });
    let (_, states) = futures::join!(adjusting, reserving);
    assert_eq!(states, [ReservationState::Held; 10]);
    let tea = stock(&inventory, "TEA").await;
    assert_eq!((tea.on_hand, tea.available, tea.version), (30, 20, 21));
    assert_eq!(told(&own, "STOCK#TEA").await, [EventType::InventoryItemUpdated; 10]);
}

#[tokio::test]
async fn a_product_is_discontinued_or_reserved_whoever_is_first_never_both() {
    for _ in 0..10 {
        let (inventory, _) = inventory(&[item("TEA", 5, 0)]).await;
        let (wanted, tea) = (wanted(OrderId::generate(), &[("TEA", 1)]), sku("TEA"));
        let withdraw =
            |item: Option<StockItem>| match item.unwrap().withdrawn(Timestamp::now(), &cause()) {
                Ok(next) => Ok(Write::Replace(next.unwrap())),
                Err(refused) => Err(StoreError::corrupt(refused)),
            };
        let request = Repeatable { id: Uuid::now_v7(), keep_unchanged: false };
        let answer = |item: &StockItem| Ok(on_hand(item.on_hand));
        let discontinue = inventory.change_item(&tea, &request, withdraw, answer);
        let (discontinued, reserved) = futures::join!(discontinue, reserve(&inventory, &wanted));
        let held = reserved.state == ReservationState::Held;
        assert_ne!(held, discontinued.is_ok(), "{reserved:?} {discontinued:?}");
        let tea = stock(&inventory, "TEA").await;
        assert_eq!((tea.discontinued, tea.reserved()), (!held, u32::from(held)));
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve,
    Commit,
    Ship,
    Release,
    Expire,
}

const STOCK: [(&str, u32); 2] = [("TEA", 4), ("CUP", 5)];

fn steps() -> impl Strategy<Value = (usize, Step)> {
    use Step::{Commit, Expire, Release, Reserve, Ship};
    let step = prop::sample::select(vec![Reserve, Reserve, Commit, Ship, Release, Expire]);
    (0..3_usize, step)
}

proptest! {
    // Each case makes dozens of calls. Their interleaving cannot be replayed from a seed.
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
        Step::Expire => inventory.expire(&wanted.id, &cause()).await,
    };
    match done {
        Ok(_) | Err(ReservationError::NoReservation(_) | ReservationError::Illegal(_)) => {}
        Err(error) => panic!("{step:?} failed: {error:?}"),
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

#[tokio::test]
async fn totals_are_the_sum_of_all_products_whatever_their_partition_and_page() {
    let (empty, _) = inventory(&[]).await;
    assert_eq!(empty.totals().await.unwrap(), Totals::default());

    // More than a hundred in each of the eight partitions, so that each takes more than a page.
    let (inventory, _own) = inventory(&[]).await;
    let mut expected = Totals::default();
    let items: Vec<StockItem> = (0..1_000_u32)
        .map(|number| {
            let mut item = item(&format!("SKU-{number}"), number % 7, number % 3);
            item.discontinued = number % 10 == 9;
            item
        })
        .collect();
    for hundred in items.chunks(100) {
        at_once(100, async |index| inventory.table().create(&hundred[index]).await.unwrap()).await;
    }
    let held = wanted(OrderId::generate(), &[("SKU-6", 2), ("SKU-13", 6)]);
    assert_eq!(reserve(&inventory, &held).await.state, ReservationState::Held);
    for number in 0..1_000_u64 {
        let units = number % 7;
        let taken = if number == 6 { 2 } else { 6 * u64::from(number == 13) };
        if number % 10 == 9 {
            expected.discontinued += 1;
            continue;
        }
        expected.items += 1;
        expected.on_hand += units;
        expected.available += units - taken;
        expected.reserved += taken;
        expected.out_of_stock += u64::from(units == taken);
        expected.low += u64::from(units - taken <= number % 3);
    }
    assert_eq!((expected.items, expected.discontinued, expected.reserved), (900, 100, 8));
    assert_eq!(inventory.totals().await.unwrap(), expected);
}

#[tokio::test]
async fn totals_are_right_about_each_product_while_its_units_are_reserved_and_released() {
    let items: Vec<_> = (0..20).map(|number| item(&format!("SKU-{number}"), 50, 0)).collect();
    let (inventory, _own) = inventory(&items).await;
    let trading = at_once(20, async |number| {
        for _ in 0..5 {
            let order = wanted(OrderId::generate(), &[(&format!("SKU-{number}"), 30)]);
            reserve(&inventory, &order).await;
            patiently(async || match inventory.release(&order.id, &cause()).await {
                Err(ReservationError::Store(error)) => Err(error),
                released => Ok(released.unwrap()),
            })
            .await;
        }
    });
    let counting = async {
        for _ in 0..20 {
            let totals = inventory.totals().await.unwrap();
            assert_eq!((totals.items, totals.on_hand), (20, 1_000));
            assert_eq!(totals.available + totals.reserved, totals.on_hand, "{totals:?}");
            assert_eq!(totals.reserved % 30, 0, "half of a reservation: {totals:?}");
        }
    };
    tokio::join!(trading, counting);
    let at_rest = inventory.totals().await.unwrap();
    assert_eq!((at_rest.available, at_rest.reserved), (1_000, 0));
}
