//! One aggregate, one item, one conditional write for each change.

use trackops_aws::StoreError;
use trackops_aws::aggregate::Write;
use trackops_domain::stock::StockItem;

use crate::given::{at_once, changed, inventory, item, patiently};

#[tokio::test]
async fn whoever_writes_on_an_old_version_is_told_and_changes_nothing() {
    let tea = item("TEA", 5, 0);
    let (inventory, own) = inventory(std::slice::from_ref(&tea)).await;

    let again = own.table.create(&item("TEA", 99, 0)).await;
    assert!(matches!(again, Err(StoreError::Stale)), "{again:?}");

    let first = changed(&tea, |tea| tea.on_hand = 6);
    own.table.replace(&tea, &first).await.unwrap();
    let second = own.table.replace(&tea, &changed(&tea, |tea| tea.on_hand = 7)).await;
    assert!(matches!(second, Err(StoreError::Stale)), "{second:?}");

    let stored = inventory.find_item(&tea.sku).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.on_hand), (2, 6));
    let events = own.table.unpublished("STOCK#TEA").await.unwrap().unwrap().outbox;
    assert_eq!(events.len(), 1, "the change that was refused raised an event");
}

#[tokio::test]
async fn what_is_not_there_cannot_be_replaced() {
    let (inventory, own) = inventory(&[]).await;
    let tea = item("TEA", 5, 0);
    let replaced = own.table.replace(&tea, &changed(&tea, |_| ())).await;
    assert!(matches!(replaced, Err(StoreError::Stale)), "{replaced:?}");
    assert_eq!(inventory.find_item(&"TEA".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn of_twenty_writers_at_once_none_loses_its_update() {
    let tea = item("TEA", 0, 0);
    let (inventory, own) = inventory(std::slice::from_ref(&tea)).await;
    let deliver_one = |found: Option<StockItem>| {
        Ok::<_, StoreError>(Write::Replace(changed(&found.unwrap(), |tea| tea.on_hand += 1)))
    };
    let written = at_once(20, async |_| {
        patiently(async || own.table.decide("STOCK#TEA", deliver_one).await).await
    });
    let mut versions: Vec<u64> = written.await.iter().map(|tea| tea.version).collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=21).collect::<Vec<_>>(), "two were told the same version");

    let stored = inventory.find_item(&tea.sku).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.on_hand), (21, 20));
    let events = own.table.unpublished("STOCK#TEA").await.unwrap().unwrap().outbox;
    let ids: Vec<String> = events.into_iter().map(|event| event.id).collect();
    let in_order: Vec<String> = (2..=21).map(|version| format!("STOCK#TEA#{version}")).collect();
    assert_eq!(ids, in_order);
}

#[tokio::test]
async fn an_attribute_that_becomes_none_is_removed() {
    let mut tea = item("TEA", 5, 0);
    tea.description = Some("Leaves".into());
    let (inventory, own) = inventory(std::slice::from_ref(&tea)).await;
    assert!(own.attributes("STOCK#TEA").await.contains_key("description"));

    let bare = changed(&tea, |tea| {
        tea.description = None;
        tea.category = Some("Drinks".into());
    });
    own.table.replace(&tea, &bare).await.unwrap();
    let attributes = own.attributes("STOCK#TEA").await;
    assert!(!attributes.contains_key("description") && attributes.contains_key("category"));
    assert!(attributes.values().all(|value| !value.is_null()), "{attributes:?}");
    let stored = inventory.find_item(&tea.sku).await.unwrap().unwrap();
    assert_eq!(stored, StockItem { raised: Vec::new(), ..bare });
}
