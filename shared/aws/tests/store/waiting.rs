//! One list of the events in the outboxes of several tables.

use trackops_aws::aggregate::Table;
use trackops_aws::orders::Orders;
use trackops_aws::waiting::waiting;
use trackops_domain::{OrderId, Timestamp};

use crate::dynamodb::OwnTable;
use crate::given::{at_once, inventory, item, order, told};

fn second(second: usize) -> Timestamp {
    Timestamp::from_millis(1000 * i64::try_from(second).unwrap())
}

/// The keys of the whole list, `count` at a time; the first of each page is published before the next is read.
async fn walk(tables: &[&Table], before: Timestamp, count: usize) -> Vec<String> {
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = waiting(tables, before, after.as_ref(), count).await.unwrap();
        assert!(page.len() <= count);
        if let Some(first) = page.first() {
            first.table.trim(&first.item).await.unwrap();
        }
        keys.extend(page.into_iter().map(|waiting| waiting.item.pk));
        let Some(place) = next else { return keys };
        after = Some(place);
    }
}

#[tokio::test]
async fn who_has_waited_longest_comes_first_whatever_table_it_is_in_and_is_published_meanwhile() {
    let (stock, own) = inventory(&[]).await;
    let others = OwnTable::like("OrdersTable").await;
    let orders = Orders::new(others.table.clone());
    // Three of each second, one of them an order.
    let expected = at_once(30, async |number| {
        let at = second(number / 3);
        if number % 3 == 0 {
            let order = order(OrderId::generate(), at);
            orders.place(&order).await.unwrap().unwrap();
            return (at, format!("ORDER#{}", order.id));
        }
        let mut item = item(&format!("SKU-{number:02}"), 1, 0);
        item.updated_at = at;
        // An event is as old as the change that raised it.
        let item = told(item);
        stock.table().create(&item).await.unwrap();
        (at, format!("STOCK#{}", item.sku))
    })
    .await;
    let mut expected: Vec<_> = expected.into_iter().filter(|(at, _)| *at < second(8)).collect();
    expected.sort();
    let expected: Vec<_> = expected.into_iter().map(|(_, key)| key).collect();
    let before = second(8);
    // Every place that existed when the walk began is seen once, although some places disappear behind the walk.
    let before = Timestamp::from_millis(before.millis() - 1);
    assert_eq!(walk(&[&own.table, &others.table], before, 4).await, expected);
    let left = walk(&[&own.table, &others.table], before, 100).await;
    assert_eq!(left.len(), expected.len() - expected.len().div_ceil(4), "the published are gone");
}
