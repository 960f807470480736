//! What the orders service knows of the catalogue: their own projection of it, in the `orders` table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use serde_dynamo::aws_sdk_dynamodb_1::to_item;
use trackops_domain::money::Currency;
use trackops_domain::{Schema, Sku};

use crate::aggregate::{Item, Table};
use crate::error::StoreError;
use crate::stored::{self, Unreadable};

/// The version of the shape of a stored product.
const SCHEMA: Schema = Schema::FIRST;

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

    /// The products among `skus` (at most 50) that are known. A product that cannot be read counts as not known.
    pub async fn find(&self, skus: &[Sku]) -> Result<HashMap<Sku, Product>, StoreError> {
        let keys = skus.iter().map(key).collect();
        let mut found = HashMap::new();
        let mut unreadable = Unreadable::default();
        for item in self.table.items(keys, false).await? {
            let product: Option<Product> = unreadable.or_read(item, SCHEMA);
            found.extend(product.map(|product| (product.sku.clone(), product)));
        }
        Ok(found)
    }

    /// Keeps the newest version of a product: an older one changes nothing. A product that a newer version of this code
    /// wrote is left to that version, with all that it knows: `Busy`.
    pub async fn project(&self, product: &Product) -> Result<(), StoreError> {
        let mut item: Item = to_item(product)?;
        item.insert("pk".into(), AttributeValue::S(key(&product.sku)));
        item.insert(stored::SCHEMA.into(), stored::schema(SCHEMA));
        let put = self
            .table
            .client
            .put_item()
            .table_name(&self.table.name)
            .set_item(Some(item))
            .condition_expression(
                "attribute_not_exists(pk) OR \
                 (#sequence < :sequence AND (attribute_not_exists(#schema) OR #schema <= :schema))",
            )
            .expression_attribute_names("#sequence", "sequence")
            .expression_attribute_names("#schema", stored::SCHEMA)
            .expression_attribute_values(":schema", stored::schema(SCHEMA))
            .expression_attribute_values(
                ":sequence",
                AttributeValue::N(product.sequence.to_string()),
            );
        match put.send().await.map_err(StoreError::from) {
            Ok(_) => Ok(()),
            Err(StoreError::Stale) => match self.table.item(&key(&product.sku)).await? {
                Some(known) if stored::schema_of(&known)? > SCHEMA => {
                    Err(StoreError::Busy("a newer version keeps this product".into()))
                }
                _ => Ok(()),
            },
            Err(error) => Err(error),
        }
    }
}
