//! What orders know of the catalogue: their own projection of it, in the `orders` table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_item};
use trackops_domain::Sku;
use trackops_domain::money::Currency;

use crate::aggregate::{Item, Table};
use crate::error::StoreError;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    pub sku: Sku,
    pub name: String,
    /// Minor units.
    pub unit_price: i64,
    pub currency: Currency,
    pub discontinued: bool,
    /// The version of the item that this was read from: later events win, in any order of arrival.
    pub sequence: u64,
}

fn key(sku: &Sku) -> String {
    format!("PRODUCT#{sku}")
}

#[derive(Clone, Debug)]
pub struct Catalogue {
    table: Table,
}

impl Catalogue {
    pub const fn new(table: Table) -> Self {
        Self { table }
    }

    /// Those of `skus` (at most 50) that are known.
    pub async fn find(&self, skus: &[Sku]) -> Result<HashMap<Sku, Product>, StoreError> {
        let keys = skus.iter().map(key).collect();
        let mut found = HashMap::new();
        for item in self.table.items(keys, false).await? {
            let product: Product = from_item(item)?;
            found.insert(product.sku.clone(), product);
        }
        Ok(found)
    }

    /// Keeps the newest: an older version than the one known changes nothing.
    pub async fn project(&self, product: &Product) -> Result<(), StoreError> {
        let mut item: Item = to_item(product)?;
        item.insert("pk".into(), AttributeValue::S(key(&product.sku)));
        let put = self
            .table
            .client
            .put_item()
            .table_name(&self.table.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk) OR #sequence < :sequence")
            .expression_attribute_names("#sequence", "sequence")
            .expression_attribute_values(
                ":sequence",
                AttributeValue::N(product.sequence.to_string()),
            );
        match put.send().await.map_err(StoreError::from) {
            Ok(_) | Err(StoreError::Stale) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
