//! `PUT /api/inventory/items/{id}` changes a product, and adjusts its stock. No count is ever overwritten.

use lambda_http::http::StatusCode;
use serde::{Deserialize, Deserializer};
use trackops_aws::aggregate::Write;
use trackops_aws::inventory::Inventory;
use trackops_domain::money::Money;
use trackops_domain::stock::{Adjustment, BadChange, ItemChange, MAX_ON_HAND, StockItem};
use trackops_domain::{Sku, Timestamp};
use trackops_lambda::fields::Fields;
use trackops_lambda::http::{Answer, Call, body, if_match, path_param};
use trackops_lambda::identity::Role;
use trackops_lambda::problem::Problem;
use uuid::Uuid;

use crate::view::{not_found, show};

/// What is left out stays as it is; `null` takes away what need not be there.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ChangeBody {
    product_name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    category: Option<Option<String>>,
    unit_price: Option<String>,
    min_stock_level: Option<u32>,
    #[serde(default, deserialize_with = "given")]
    max_stock_level: Option<Option<u32>>,
    #[serde(default, deserialize_with = "given")]
    reorder_quantity: Option<Option<u32>>,
    adjustment: Option<AdjustmentBody>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdjustmentBody {
    quantity: i32,
    reason: String,
}

/// Tells `null` from a field that was left out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

pub async fn handle(inventory: &Inventory, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let sku: Sku = path_param(&call.request, "id", not_found)?;
    let asked: ChangeBody = body(&call.request)?;
    let expected = if_match(&call.request)?;
    let id = Uuid::now_v7().to_string();
    let decide = |item: Option<StockItem>| {
        let item = item.ok_or_else(not_found)?;
        // The answer to this very change was lost, and it was sent again: it must not adjust twice.
        if item.last_change.as_ref() == Some(&id) {
            return Ok(Write::Nothing(item));
        }
        let change = check(&asked, &item, &id)?;
        if expected.is_some_and(|version| version != item.version) {
            return Err(Problem::changed(item.version));
        }
        let next = item.changed(&change, Timestamp::now(), &call.cause).map_err(refused)?;
        Ok(next.map_or(Write::Nothing(item), Write::Replace))
    };
    show(StatusCode::OK, inventory.change_item(&sku, decide).await?)
}

fn check(body: &ChangeBody, item: &StockItem, id: &str) -> Result<ItemChange, Problem> {
    let mut fields = Fields::default();
    fields.optional_text("/productName", body.product_name.as_ref(), 200);
    fields.optional_text("/description", body.description.iter().flatten().next(), 2000);
    fields.optional_text("/category", body.category.iter().flatten().next(), 100);
    let price = body.unit_price.as_ref().and_then(|price| {
        fields.check("/unitPrice", Money::parse(price, item.currency)).map(Money::minor)
    });
    for (pointer, quantity) in [
        ("/minStockLevel", body.min_stock_level),
        ("/maxStockLevel", body.max_stock_level.flatten()),
        ("/reorderQuantity", body.reorder_quantity.flatten()),
    ] {
        fields.range(pointer, quantity.unwrap_or(0), 0, MAX_ON_HAND);
    }
    if let Some(adjustment) = &body.adjustment {
        let quantity = adjustment.quantity;
        if quantity == 0 || quantity.unsigned_abs() > MAX_ON_HAND {
            let range = format!("must be from -{MAX_ON_HAND} to {MAX_ON_HAND}, and not 0");
            fields.refuse("/adjustment/quantity", range);
        }
        fields.text("/adjustment/reason", &adjustment.reason, 200);
    }
    fields.finish()?;
    Ok(ItemChange {
        id: id.to_owned(),
        name: body.product_name.clone(),
        description: body.description.clone(),
        category: body.category.clone(),
        unit_price: price,
        low_stock_threshold: body.min_stock_level,
        max_stock_level: body.max_stock_level,
        reorder_quantity: body.reorder_quantity,
        adjustment: body.adjustment.as_ref().map(|AdjustmentBody { quantity, reason }| {
            Adjustment { quantity: *quantity, reason: reason.clone() }
        }),
    })
}

/// What the stock does not allow.
pub(crate) fn refused(refusal: BadChange) -> Problem {
    if refusal == BadChange::MaxBelowMin {
        let mut fields = Fields::default();
        fields.refuse("/maxStockLevel", &refusal);
        return fields.finish().err().unwrap_or_else(|| Problem::internal(refusal));
    }
    let title = "The product's stock does not allow this.";
    Problem::new(StatusCode::CONFLICT, "stock-conflict", title).detail(format!("{refusal}."))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use trackops_domain::Cause;

    use super::*;
    use crate::create_item;

    fn tea() -> StockItem {
        let tea = json!({"productId": "TEA", "productName": "Tea", "unitPrice": "2.50",
                         "currency": "EUR", "availableQuantity": 5});
        create_item::check(serde_json::from_value(tea).unwrap(), &Cause::default()).unwrap()
    }

    fn checked(body: Value) -> Result<ItemChange, Vec<String>> {
        let pointers = |problem: Problem| problem.errors.into_iter().map(|e| e.pointer).collect();
        check(&serde_json::from_value(body).unwrap(), &tea(), "change").map_err(pointers)
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let body = json!({
            "productName": " ", "unitPrice": "1.005", "maxStockLevel": MAX_ON_HAND + 1,
            "adjustment": {"quantity": 0, "reason": ""},
        });
        assert_eq!(
            checked(body).unwrap_err(),
            [
                "/productName",
                "/unitPrice",
                "/maxStockLevel",
                "/adjustment/quantity",
                "/adjustment/reason"
            ]
        );
    }

    #[test]
    fn what_is_left_out_stays_and_null_takes_away() {
        let change = checked(json!({"description": null, "unitPrice": "3.00"})).unwrap();
        assert_eq!((change.description, change.category), (Some(None), None));
        assert_eq!((change.unit_price, change.name), (Some(300), None));
    }

    #[test]
    fn neither_a_count_nor_the_currency_can_be_set() {
        for field in ["availableQuantity", "onHandQuantity", "currency", "version"] {
            assert!(serde_json::from_value::<ChangeBody>(json!({field: 1})).is_err(), "{field}");
        }
    }
}
