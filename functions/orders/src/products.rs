//! Products and their prices: from our own projection, and from inventory if the projection does not have them.

use std::collections::HashMap;

use aws_sdk_lambda::primitives::Blob;
use futures::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use trackops_aws::StoreError;
use trackops_aws::catalogue::{Catalogue, Product};
use trackops_domain::event::data::InventoryItemUpdated;
use trackops_domain::money::{Amount, Currency};
use trackops_domain::{Sku, Timestamp};
use trackops_lambda::error::chain;

use crate::recent::Recent;

pub struct Products {
    recent: Recent,
    catalogue: Catalogue,
    inventory: aws_sdk_lambda::Client,
    get_item_function: String,
}

/// A catalogue entry as inventory tells it, in its event and in its answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CatalogueEntry {
    product_id: Sku,
    product_name: String,
    unit_price: Amount,
    currency: Currency,
    discontinued: bool,
}

impl From<InventoryItemUpdated> for CatalogueEntry {
    fn from(item: InventoryItemUpdated) -> Self {
        Self {
            product_id: item.product_id,
            product_name: item.product_name,
            unit_price: item.unit_price,
            currency: item.currency,
            discontinued: item.discontinued,
        }
    }
}

impl CatalogueEntry {
    pub(crate) fn into_product(self, sequence: u64) -> Result<Product, StoreError> {
        let price = self.unit_price.in_currency(self.currency).map_err(StoreError::corrupt)?;
        Ok(Product {
            sku: self.product_id,
            name: self.product_name,
            unit_price: price.minor(),
            currency: self.currency,
            discontinued: self.discontinued,
            sequence,
        })
    }
}

/// A product as inventory's answer tells it.
fn told(item: Value) -> Result<Product, StoreError> {
    let sequence = item["version"].as_u64().ok_or_else(|| StoreError::corrupt("no version"))?;
    let entry: CatalogueEntry = serde_json::from_value(item).map_err(StoreError::corrupt)?;
    entry.into_product(sequence)
}

impl Products {
    pub fn new(
        catalogue: Catalogue,
        inventory: aws_sdk_lambda::Client,
        get_item_function: String,
    ) -> Self {
        Self { recent: Recent::new(), catalogue, inventory, get_item_function }
    }

    /// The products among `skus` that exist, as they are now or were a few seconds ago.
    pub async fn find(&self, skus: &[Sku]) -> Result<HashMap<Sku, Product>, StoreError> {
        self.recent.find(skus, Timestamp::now(), async |skus| self.look_up(skus).await).await
    }

    /// The products among `skus` that exist, as they are now.
    pub async fn find_now(&self, skus: &[Sku]) -> Result<HashMap<Sku, Product>, StoreError> {
        self.recent.find_now(skus, Timestamp::now(), async |skus| self.look_up(skus).await).await
    }

    async fn look_up(&self, skus: &[Sku]) -> Result<HashMap<Sku, Product>, StoreError> {
        let mut known = self.catalogue.find(skus).await?;
        let missing: Vec<&Sku> = skus.iter().filter(|sku| !known.contains_key(*sku)).collect();
        if missing.is_empty() {
            return Ok(known);
        }
        let asked = self.ask(&missing).await?;
        // The products are known now. If keeping one fails, the next order only has to ask again.
        join_all(asked.iter().map(async |product| {
            if let Err(error) = self.catalogue.project(product).await {
                tracing::warn!(error = chain(&error), "a product was not kept in the catalogue");
            }
        }))
        .await;
        known.extend(asked.into_iter().map(|product| (product.sku.clone(), product)));
        Ok(known)
    }

    /// One invocation, however many products are asked for.
    async fn ask(&self, skus: &[&Sku]) -> Result<Vec<Product>, StoreError> {
        #[derive(Deserialize)]
        struct Answer {
            items: Vec<Value>,
        }
        let payload = Blob::new(json!({"productIds": skus}).to_string());
        let call = self.inventory.invoke().function_name(&self.get_item_function).payload(payload);
        let answer = call.send().await?;
        if let Some(error) = answer.function_error() {
            return Err(StoreError::Busy(format!("inventory failed to answer: {error}").into()));
        }
        let body = answer.payload.map(Blob::into_inner).unwrap_or_default();
        let answer: Answer = serde_json::from_slice(&body).map_err(StoreError::corrupt)?;
        answer.items.into_iter().map(told).collect()
    }
}
