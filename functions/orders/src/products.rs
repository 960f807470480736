//! What is sold and for how much: our own projection, and inventory asked once for what it lacks.

use std::collections::HashMap;

use aws_sdk_lambda::primitives::Blob;
use futures::future::try_join_all;
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

impl Products {
    pub fn new(
        catalogue: Catalogue,
        inventory: aws_sdk_lambda::Client,
        get_item_function: String,
    ) -> Self {
        Self { recent: Recent::new(), catalogue, inventory, get_item_function }
    }

    /// Those of `skus` that exist, as they are or were a few seconds ago.
    pub async fn find(&self, skus: &[Sku]) -> Result<HashMap<Sku, Product>, StoreError> {
        self.recent.find(skus, Timestamp::now(), async |skus| self.look_up(skus).await).await
    }

    /// Those of `skus` that exist, as they are.
    pub async fn find_now(&self, skus: &[Sku]) -> Result<HashMap<Sku, Product>, StoreError> {
        let now = Timestamp::now();
        Ok(self.recent.keep(now, self.look_up(skus).await?))
    }

    async fn look_up(&self, skus: &[Sku]) -> Result<HashMap<Sku, Product>, StoreError> {
        let mut known = self.catalogue.find(skus).await?;
        let missing = skus.iter().filter(|sku| !known.contains_key(*sku));
        let asked = try_join_all(missing.map(|sku| self.ask(sku))).await?;
        for product in asked.into_iter().flatten() {
            // It is known now; that it is not kept costs the next one who asks for it.
            if let Err(error) = self.catalogue.project(&product).await {
                tracing::warn!(error = chain(&error), "a product was not kept in the catalogue");
            }
            known.insert(product.sku.clone(), product);
        }
        Ok(known)
    }

    async fn ask(&self, sku: &Sku) -> Result<Option<Product>, StoreError> {
        #[derive(Deserialize)]
        struct Answer {
            item: Option<Value>,
        }
        let payload = Blob::new(json!({"productId": sku}).to_string());
        let call = self.inventory.invoke().function_name(&self.get_item_function).payload(payload);
        let answer = call.send().await?;
        if let Some(error) = answer.function_error() {
            return Err(StoreError::Busy(format!("inventory failed to answer: {error}").into()));
        }
        let body = answer.payload.map(Blob::into_inner).unwrap_or_default();
        let answer: Answer = serde_json::from_slice(&body).map_err(StoreError::corrupt)?;
        let Some(item) = answer.item else { return Ok(None) };
        let sequence = item["version"].as_u64().ok_or_else(|| StoreError::corrupt("no version"))?;
        let entry: CatalogueEntry = serde_json::from_value(item).map_err(StoreError::corrupt)?;
        entry.into_product(sequence).map(Some)
    }
}
