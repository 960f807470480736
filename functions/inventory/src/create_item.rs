//! `POST /api/inventory/items` adds a product with its first stock. Adding it again is a conflict.

use lambda_http::http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use trackops_aws::StoreError;
use trackops_aws::inventory::Inventory;
use trackops_domain::money::{Currency, Money};
use trackops_domain::stock::{MAX_ON_HAND, StockItem};
use trackops_domain::{Cause, Sku, Timestamp};
use trackops_lambda::fields::Fields;
use trackops_lambda::http::{Answer, Call, body};
use trackops_lambda::identity::Role;
use trackops_lambda::problem::Problem;

use crate::view::show;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ItemBody {
    product_id: String,
    product_name: String,
    description: Option<String>,
    category: Option<String>,
    unit_price: String,
    currency: String,
    available_quantity: u32,
    min_stock_level: Option<u32>,
    max_stock_level: Option<u32>,
    reorder_quantity: Option<u32>,
}

pub async fn handle(inventory: &Inventory, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let item = check(body(&call.request)?, &call.cause)?;
    match inventory.add_item(&item).await {
        Ok(()) => {}
        // An answer of the table that was lost makes our own product look like somebody else's.
        Err(StoreError::Stale)
            if inventory
                .find_item(&item.sku)
                .await?
                .is_some_and(|found| is_ours(&item, &found)) => {}
        Err(StoreError::Stale) => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "product-exists",
                "There is a product with this productId already.",
            ));
        }
        Err(error) => return Err(error.into()),
    }
    let location = format!("/api/inventory/items/{}", item.sku);
    let mut response = show(StatusCode::CREATED, item)?;
    let location = HeaderValue::from_str(&location).map_err(Problem::internal)?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

fn is_ours(item: &StockItem, found: &StockItem) -> bool {
    StockItem { raised: None, ..item.clone() } == *found
}

pub(crate) fn check(body: ItemBody, cause: &Cause) -> Result<StockItem, Problem> {
    let mut fields = Fields::default();
    let sku = fields.parse::<Sku>("/productId", &body.product_id);
    fields.text("/productName", &body.product_name, 200);
    fields.optional_text("/description", body.description.as_ref(), 2000);
    fields.optional_text("/category", body.category.as_ref(), 100);
    let currency = fields.check("/currency", Currency::from_code(&body.currency));
    let price = currency
        .and_then(|currency| fields.check("/unitPrice", Money::parse(&body.unit_price, currency)));
    fields.range("/availableQuantity", body.available_quantity, 0, MAX_ON_HAND);
    for (pointer, quantity) in [
        ("/minStockLevel", body.min_stock_level),
        ("/maxStockLevel", body.max_stock_level),
        ("/reorderQuantity", body.reorder_quantity),
    ] {
        fields.range(pointer, quantity.unwrap_or(0), 0, MAX_ON_HAND);
    }
    if body.max_stock_level.is_some_and(|max| max < body.min_stock_level.unwrap_or(0)) {
        fields.refuse("/maxStockLevel", "must not be below minStockLevel");
    }
    fields.finish()?;
    // With no field refused these are there.
    let (Some(sku), Some(price)) = (sku, price) else {
        return Err(Problem::internal("a field was neither taken nor refused"));
    };
    let now = Timestamp::now();
    let mut item = StockItem {
        sku,
        version: 1,
        name: body.product_name,
        description: body.description,
        category: body.category,
        unit_price: price.minor(),
        currency: price.currency(),
        on_hand: body.available_quantity,
        available: body.available_quantity,
        low_stock_threshold: body.min_stock_level.unwrap_or(0),
        max_stock_level: body.max_stock_level,
        reorder_quantity: body.reorder_quantity,
        discontinued: false,
        last_change: None,
        created_at: now,
        updated_at: now,
        raised: None,
    };
    item.raised = Some(item.catalogue_event(cause));
    Ok(item)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use trackops_domain::event::Data;
    use trackops_domain::money::Amount;

    use super::*;

    fn checked(item: Value) -> Result<StockItem, Vec<String>> {
        let pointers = |problem: Problem| problem.errors.into_iter().map(|e| e.pointer).collect();
        check(serde_json::from_value(item).unwrap(), &Cause::default()).map_err(pointers)
    }

    fn item() -> Value {
        json!({"productId": "TEA", "productName": "Tea", "unitPrice": "2.50", "currency": "EUR",
               "availableQuantity": 5})
    }

    #[test]
    fn a_new_product_is_all_available_and_tells_the_catalogue() {
        let item = checked(item()).unwrap();
        assert_eq!((item.on_hand, item.available, item.version), (5, 5, 1));
        let event = item.raised.unwrap();
        let Data::InventoryItemUpdated(entry) = event.data else { panic!("it is {event:?}") };
        assert_eq!((event.sequence, entry.unit_price), (1, Amount::of(250, item.currency)));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let mut item = item();
        item["productId"] = json!("");
        item["unitPrice"] = json!("2.505");
        item["availableQuantity"] = json!(MAX_ON_HAND + 1);
        item["minStockLevel"] = json!(9);
        item["maxStockLevel"] = json!(8);
        assert_eq!(
            checked(item).unwrap_err(),
            ["/productId", "/unitPrice", "/availableQuantity", "/maxStockLevel"]
        );
    }
}
