//! `POST /api/inventory/items` adds a product with its first stock. Adding it again is a conflict, unless it is the same
//! request under its `Idempotency-Key`.

use lambda_http::http::{HeaderValue, StatusCode, header};
use trackops_aws::aggregate::Write;
use trackops_aws::inventory::Inventory;
use trackops_domain::money::Currency;
use trackops_domain::stock::{BadChange, MAX_ON_HAND, StockItem};
use trackops_domain::{Cause, Schema, Timestamp};
use trackops_lambda::http::{Answer, Call, body};
use trackops_lambda::idempotency::Repetition;
use trackops_lambda::identity::Role;
use trackops_lambda::input::{Object, amount, integer, parsed, text};
use trackops_lambda::preconditions::Preconditions;
use trackops_lambda::problem::Problem;

use crate::view::show;

pub async fn handle(inventory: &Inventory, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let repetition = Repetition::of(&call, &Preconditions::default(), false)?;
    let new = body(&call.request)?.read(|body| new_item(body, &call.cause))?;
    let decide = |item: Option<StockItem>| match item {
        None => Ok(Write::Create(new.clone())),
        Some(_) => Err(Problem::new(
            StatusCode::CONFLICT,
            "product-exists",
            "There is a product with this productId already.",
        )),
    };
    let answer = |item: &StockItem| repetition.kept(&created(item)?);
    let once = inventory.change_item(&new.sku, &repetition.request, decide, answer).await?;
    repetition.answer(once)
}

fn created(item: &StockItem) -> Answer {
    let location = format!("/api/inventory/items/{}", item.sku);
    let mut response = show(StatusCode::CREATED, item.clone())?;
    let location = HeaderValue::from_str(&location).map_err(Problem::internal)?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

pub(crate) fn new_item(body: &mut Object<'_>, cause: &Cause) -> Option<StockItem> {
    let sku = body.required("productId", parsed(str::parse));
    let name = body.required("productName", text(200));
    let description = body.optional("description", text(2000));
    let category = body.optional("category", text(100));
    let currency = body.required("currency", parsed(Currency::in_use));
    let price = body.required("unitPrice", amount(currency));
    let available = body.required("availableQuantity", integer(0..=MAX_ON_HAND));
    let min_stock_level = body.optional("minStockLevel", integer(0..=MAX_ON_HAND)).unwrap_or(0);
    let max_stock_level = body.optional("maxStockLevel", integer(0..=MAX_ON_HAND));
    let reorder_quantity = body.optional("reorderQuantity", integer(0..=MAX_ON_HAND));
    if max_stock_level.is_some_and(|max| max < min_stock_level) {
        body.refuse("maxStockLevel", BadChange::MaxBelowMin);
    }
    let now = Timestamp::now();
    let mut item = StockItem {
        sku: sku?,
        version: 1,
        schema: Schema::default(),
        name: name?,
        description,
        category,
        unit_price: price?.minor(),
        currency: currency?,
        on_hand: available?,
        available: available?,
        low_stock_threshold: min_stock_level,
        max_stock_level,
        reorder_quantity,
        discontinued: false,
        created_at: now,
        updated_at: now,
        raised: Vec::new(),
    };
    item.raised = vec![item.catalogue_event(cause)];
    Some(item)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use trackops_domain::Money;
    use trackops_domain::event::Data;
    use trackops_domain::money::Amount;
    use trackops_lambda::input::Input;
    use trackops_testkit::like;

    use super::*;

    fn checked(item: Value) -> Result<StockItem, Vec<String>> {
        let pointers = |problem: Problem| problem.errors.into_iter().map(|e| e.pointer).collect();
        let body: Input = serde_json::from_value(item).unwrap();
        body.read(|body| new_item(body, &Cause::default())).map_err(pointers)
    }

    fn item() -> Value {
        json!({"productId": "TEA", "productName": "Tea", "unitPrice": "2.50", "currency": "EUR",
               "availableQuantity": 5})
    }

    #[test]
    fn a_new_product_is_all_available_and_tells_the_catalogue() {
        let item = checked(item()).unwrap();
        assert_eq!((item.on_hand, item.available, item.version), (5, 5, 1));
        let event = &item.raised[0];
        let Data::InventoryItemUpdated(entry) = &event.data else { panic!("it is {event:?}") };
        assert_eq!((event.sequence, entry.unit_price.clone()), (1, Amount::of(250, item.currency)));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let mut item = item();
        item["productId"] = json!("");
        item["unitPrice"] = json!("2.505");
        item["availableQuantity"] = json!(MAX_ON_HAND + 1);
        item["minStockLevel"] = json!(9);
        item["maxStockLevel"] = json!(8);
        item["reorderQuantity"] = json!("9");
        item["onHandQuantity"] = json!(9);
        assert_eq!(
            checked(item).unwrap_err(),
            [
                "/productId",
                "/unitPrice",
                "/availableQuantity",
                "/reorderQuantity",
                "/maxStockLevel",
                "/onHandQuantity",
            ]
        );
        let missing = checked(json!({})).unwrap_err();
        let required = ["productId", "productName", "currency", "unitPrice", "availableQuantity"];
        assert_eq!(missing, required.map(|name| format!("/{name}")));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_within_the_limits_or_refused_with_what_to_change(body in like(&item())) {
            match checked(body) {
                Ok(item) => {
                    prop_assert!(item.on_hand <= MAX_ON_HAND && item.available == item.on_hand);
                    prop_assert!(item.max_stock_level.is_none_or(|max| max >= item.low_stock_threshold));
                    prop_assert!((1..=200).contains(&item.name.chars().count()));
                    prop_assert!((0..=Money::MAX_MINOR).contains(&item.unit_price));
                }
                Err(errors) => prop_assert!(!errors.is_empty()),
            }
        }
    }
}
