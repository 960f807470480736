//! What the relay notes about events that were refused, and how it counts events that were taken.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use trackops_aws::StoreError;
use trackops_aws::bus::Refusal;
use trackops_aws::outbox::OutboxEntry;
use trackops_aws::relay::{Discarded, RelayStore};
use trackops_domain::Timestamp;
use trackops_domain::event::EventType;

use crate::dynamodb::OwnTable;
use crate::given::at_once;

const ITEM: &str = "STOCK#TEA";
const ID: &str = "STOCK#TEA#1";

async fn store() -> (RelayStore, OwnTable) {
    let own = OwnTable::like("RelayTable").await;
    (RelayStore::new(own.table.clone()), own)
}

fn event(id: &str) -> OutboxEntry {
    OutboxEntry {
        id: id.into(),
        kind: EventType::InventoryItemUpdated.into(),
        time: Timestamp::from_millis(0),
        traceparent: None,
        body: "{}".into(),
    }
}

fn too_large() -> Refusal {
    Refusal::for_good("TooLarge", "300000 bytes")
}

fn throttled() -> Refusal {
    Refusal::for_now("ThrottlingException", "an inside word")
}

fn minute(minute: i64) -> Timestamp {
    Timestamp::from_millis(minute * 60_000)
}

async fn parked(store: &RelayStore) -> Vec<String> {
    store.parked().await.unwrap().into_iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn refusals_of_an_event_are_counted_with_the_first_and_the_newest() {
    let (store, _own) = store().await;
    store.refused(ITEM, &event(ID), &throttled(), minute(1)).await.unwrap();
    store.refused(ITEM, &event(ID), &throttled(), minute(2)).await.unwrap();
    let noted = store.refusals(&[ID, "STOCK#TEA#2"]).await.unwrap();
    assert_eq!(noted.len(), 1);
    let noted = &noted[ID];
    assert_eq!((noted.aggregate.as_str(), noted.attempts), (ITEM, 2));
    assert_eq!((noted.first_at, noted.last_at), (minute(1), minute(2)));
    assert_eq!((noted.code.as_str(), noted.message.as_ref()), ("ThrottlingException", None));
    assert!(!noted.is_parked());
    assert!(parked(&store).await.is_empty());

    store.refused(ITEM, &event(ID), &too_large(), minute(3)).await.unwrap();
    let noted = store.refusals(&[ID]).await.unwrap().remove(ID).unwrap();
    assert_eq!((noted.attempts, noted.message.as_deref()), (3, Some("300000 bytes")));
    assert!(noted.is_parked());
    assert_eq!(parked(&store).await, [ID]);

    store.refused(ITEM, &event(ID), &throttled(), minute(4)).await.unwrap();
    assert_eq!(parked(&store).await, [ID], "a busy bus does not make the event a good one");
}

#[tokio::test]
async fn attempts_at_the_same_time_are_all_counted() {
    let (store, _own) = store().await;
    let refuse = async |_| store.refused(ITEM, &event(ID), &too_large(), minute(1)).await.unwrap();
    at_once(20, refuse).await;
    assert_eq!(store.refusals(&[ID]).await.unwrap()[ID].attempts, 20);
}

#[tokio::test]
async fn parked_events_come_longest_parked_first_and_leave_when_they_are_published() {
    let (store, _own) = store().await;
    let id = |number: i64| format!("STOCK#SKU-{number}#1");
    for number in [3, 1, 2] {
        let (id, item) = (id(number), format!("STOCK#SKU-{number}"));
        store.refused(&item, &event(&id), &too_large(), minute(number)).await.unwrap();
    }
    assert_eq!(parked(&store).await, [id(1), id(2), id(3)]);
    store.forget(&[&id(2), "STOCK#NEVER-REFUSED#1"]).await.unwrap();
    assert_eq!(parked(&store).await, [id(1), id(3)]);
    assert!(store.refusals(&[&id(2)]).await.unwrap().is_empty());
}

#[tokio::test]
async fn only_a_parked_event_is_discarded_once_and_who_and_why_stays() {
    let (store, own) = store().await;
    let discarded = |minute_: i64| Discarded {
        at: minute(minute_),
        by: "operator".parse().unwrap(),
        reason: "a reason".into(),
    };
    store.refused(ITEM, &event(ID), &throttled(), minute(1)).await.unwrap();
    let refused = store.discard(ID, &discarded(2)).await;
    assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");

    store.refused(ITEM, &event(ID), &too_large(), minute(2)).await.unwrap();
    store.discard(ID, &discarded(3)).await.unwrap();
    store.discard(ID, &discarded(4)).await.expect("discarding twice is safe");
    assert!(parked(&store).await.is_empty());
    let noted = store.refusals(&[ID]).await.unwrap().remove(ID).unwrap();
    assert_eq!(noted.discarded, Some(discarded(3)), "the first time counts");
    let kept = own.attributes(&format!("EVENT#{ID}")).await;
    assert!(!kept.contains_key("forget_at"), "the record of it goes: {kept:?}");
}

#[tokio::test]
async fn what_a_bus_took_is_summed_over_the_days_asked_for() {
    let (store, _own) = store().await;
    let day = |day: u32| Timestamp::from_millis(0).plus(Duration::from_secs(86_400) * day);
    let took = async |bus: &str, kind: &'static str, count: u64, at: Timestamp| {
        store.count(bus, &BTreeMap::from([(kind, count)]), at).await.unwrap();
    };
    took("eventbridge", "order.created", 3, day(10)).await;
    took("eventbridge", "order.created", 2, day(9)).await;
    took("eventbridge", "inventory.low_stock", 1, day(9)).await;
    took("kafka", "order.created", 5, day(10)).await;
    took("eventbridge", "order.created", 100, day(7)).await;
    let published = store.published(&["eventbridge", "kafka"], 3, day(10)).await.unwrap();
    let published: Vec<_> = published
        .iter()
        .map(|((bus, kind), count)| (bus.as_str(), kind.as_str(), *count))
        .collect();
    assert_eq!(
        published,
        [
            ("eventbridge", "inventory.low_stock", 1),
            ("eventbridge", "order.created", 5),
            ("kafka", "order.created", 5),
        ]
    );
}

#[tokio::test]
async fn a_note_that_makes_no_sense_hides_no_other_and_an_unknown_type_is_no_reason() {
    let (store, own) = store().await;
    let mut unknown = event(ID);
    unknown.kind = "inventory.item.weighed".into();
    store.refused(ITEM, &unknown, &too_large(), minute(1)).await.unwrap();
    store.refused("STOCK#POT", &event("STOCK#POT#1"), &too_large(), minute(1)).await.unwrap();
    own.set("EVENT#STOCK#POT#1", "attempts", AttributeValue::S("many".into())).await;

    let parked = store.parked().await.unwrap();
    let [parked] = &parked[..] else { panic!("{parked:?}") };
    assert_eq!(parked.kind.name(), "inventory.item.weighed");
    let known = store.refusals(&[ID, "STOCK#POT#1"]).await.unwrap();
    assert_eq!(known.into_keys().collect::<Vec<_>>(), [ID]);
    store
        .count("kafka", &BTreeMap::from([("inventory.item.weighed", 2)]), minute(1))
        .await
        .unwrap();
    own.set("PUBLISHED#kafka#1970-01-01", "odd", AttributeValue::S("many".into())).await;
    let counted = store.published(&["kafka"], 1, minute(2)).await.unwrap();
    assert_eq!(counted[&("kafka".to_owned(), "inventory.item.weighed".to_owned())], 2);
}
