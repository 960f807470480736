//! A product and its stock as the API shows them.

use lambda_http::http::StatusCode;
use serde::Serialize;
use trackops_domain::money::{BadMoney, Currency, Money};
use trackops_domain::stock::StockItem;
use trackops_domain::{Sku, Timestamp};
use trackops_lambda::http::{Answer, versioned};
use trackops_lambda::problem::Problem;

pub fn not_found() -> Problem {
    Problem::not_found("product-not-found", "There is no such product.")
}

pub fn show(status: StatusCode, item: StockItem) -> Answer {
    let version = item.version;
    let view = ItemView::try_from(item).map_err(Problem::internal)?;
    Ok(versioned(status, version, &view))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemView {
    product_id: Sku,
    product_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<String>,
    unit_price: String,
    currency: Currency,
    on_hand_quantity: u32,
    available_quantity: u32,
    reserved_quantity: u32,
    min_stock_level: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_stock_level: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reorder_quantity: Option<u32>,
    is_low_stock: bool,
    is_out_of_stock: bool,
    needs_reordering: bool,
    discontinued: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: u64,
}

impl TryFrom<StockItem> for ItemView {
    type Error = BadMoney;

    fn try_from(item: StockItem) -> Result<Self, BadMoney> {
        Ok(Self {
            on_hand_quantity: item.on_hand,
            available_quantity: item.available,
            reserved_quantity: item.reserved(),
            is_low_stock: item.is_low(),
            is_out_of_stock: item.available == 0,
            needs_reordering: item.is_low() && !item.discontinued,
            unit_price: Money::from_minor(item.unit_price, item.currency)?.to_decimal(),
            product_id: item.sku,
            product_name: item.name,
            description: item.description,
            category: item.category,
            currency: item.currency,
            min_stock_level: item.low_stock_threshold,
            max_stock_level: item.max_stock_level,
            reorder_quantity: item.reorder_quantity,
            discontinued: item.discontinued,
            created_at: item.created_at,
            updated_at: item.updated_at,
            version: item.version,
        })
    }
}
