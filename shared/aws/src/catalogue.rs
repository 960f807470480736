//! What orders know of the catalogue: their own projection of it, in the `orders` table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use serde::{Deserialize, Serialize};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_item};
use trackops_domain::Sku;
use trackops_domain::money::Currency;

use crate::aggregate::{Item, Table};
use crate::error::StoreError;
use crate::retry;

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

fn key(sku: &Sku) -> AttributeValue {
    AttributeValue::S(format!("PRODUCT#{sku}"))
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
        let mut found = HashMap::new();
        let mut wanted: Vec<Item> =
            skus.iter().map(|sku| Item::from([("pk".into(), key(sku))])).collect();
        for attempt in 0..retry::TRIES {
            if wanted.is_empty() {
                return Ok(found);
            }
            if attempt > 0 {
                retry::back_off(attempt).await;
            }
            let keys = KeysAndAttributes::builder()
                .set_keys(Some(wanted))
                .build()
                .map_err(StoreError::corrupt)?;
            let answer = self.table.client.batch_get_item().request_items(&self.table.name, keys);
            let mut answer = answer.send().await?;
            let items = answer.responses.as_mut().and_then(|all| all.remove(&self.table.name));
            for item in items.unwrap_or_default() {
                let product: Product = from_item(item)?;
                found.insert(product.sku.clone(), product);
            }
            let left =
                answer.unprocessed_keys.as_mut().and_then(|all| all.remove(&self.table.name));
            wanted = left.map(|left| left.keys).unwrap_or_default();
        }
        Err(StoreError::Busy("DynamoDB left keys of a batch unread".into()))
    }

    /// Keeps the newest: an older version than the one known changes nothing.
    pub async fn project(&self, product: &Product) -> Result<(), StoreError> {
        let mut item: Item = to_item(product)?;
        item.insert("pk".into(), key(&product.sku));
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
