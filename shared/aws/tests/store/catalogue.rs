//! The orders' copy of the catalogue, in the `orders` table.

use trackops_aws::catalogue::{Catalogue, Product};
use trackops_domain::Sku;

use crate::dynamodb::OwnTable;
use crate::given::{at_once, eur, sku};

async fn catalogue() -> Catalogue {
    Catalogue::new(OwnTable::like("OrdersTable").await.table)
}

fn product(name: &str, sequence: u64) -> Product {
    Product {
        sku: sku(name),
        name: format!("{name} as of {sequence}"),
        unit_price: 250,
        currency: eur(),
        discontinued: false,
        sequence,
    }
}

#[tokio::test]
async fn the_newest_version_stays_in_whatever_order_they_arrive() {
    let catalogue = catalogue().await;
    let orders = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
    for (number, order) in orders.into_iter().enumerate() {
        let name = format!("SKU-{number}");
        for sequence in order {
            catalogue.project(&product(&name, sequence)).await.unwrap();
        }
        let known = catalogue.find(&[sku(&name)]).await.unwrap();
        assert_eq!(known[&sku(&name)], product(&name, 3), "they arrived as {order:?}");
    }

    at_once(20, async |number| {
        catalogue.project(&product("TEA", u64::try_from(number).unwrap())).await.unwrap();
    })
    .await;
    assert_eq!(catalogue.find(&[sku("TEA")]).await.unwrap()[&sku("TEA")], product("TEA", 19));
}

#[tokio::test]
async fn fifty_products_are_found_at_once_and_unknown_ones_are_left_out() {
    let catalogue = catalogue().await;
    let skus: Vec<Sku> = (0..50).map(|number| sku(&format!("SKU-{number}"))).collect();
    for known in &skus[..40] {
        catalogue.project(&product(known.as_str(), 1)).await.unwrap();
    }
    let found = catalogue.find(&skus).await.unwrap();
    assert_eq!(found.len(), 40);
    assert!(skus[..40].iter().all(|known| found[known] == product(known.as_str(), 1)));
    assert!(catalogue.find(&[]).await.unwrap().is_empty());
}
