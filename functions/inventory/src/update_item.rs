//! `PUT /api/inventory/items/{id}` changes a product, and adjusts its stock. It never overwrites a count, and it makes
//! a change once, whatever happens between the write and a repetition of the request.

use lambda_http::http::StatusCode;
use trackops_aws::aggregate::Write;
use trackops_aws::inventory::Inventory;
use trackops_domain::money::{Currency, Money};
use trackops_domain::stock::{Adjustment, BadChange, ItemChange, MAX_ON_HAND, StockItem};
use trackops_domain::{Sku, Timestamp};
use trackops_lambda::http::{Answer, Call, body, path_param};
use trackops_lambda::idempotency::Repetition;
use trackops_lambda::identity::Role;
use trackops_lambda::input::{Object, amount, integer, object, text};
use trackops_lambda::preconditions::Preconditions;
use trackops_lambda::problem::Problem;

use crate::view::{not_found, show};

pub async fn handle(inventory: &Inventory, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let sku: Sku = path_param(&call.request, "id", not_found)?;
    let asked = body(&call.request)?;
    let conditions = Preconditions::of(call.request.headers())?;
    // Two equal adjustments may both be meant, even from the same caller. Setting any other field twice has the same
    // effect as setting it once.
    let repetition = Repetition::of(&call, &conditions, !asked.has("adjustment"))?;
    let decide = |item: Option<StockItem>| {
        let item = item.ok_or_else(not_found)?;
        let change = asked.clone().read(|body| change(body, item.currency))?;
        conditions.allow(item.version)?;
        let next = item.changed(&change, Timestamp::now(), &call.cause).map_err(refused)?;
        Ok(next.map_or(Write::Nothing(item), Write::Replace))
    };
    let answer = |item: &StockItem| repetition.kept(&show(StatusCode::OK, item.clone())?);
    let once = inventory.change_item(&sku, &repetition.request, decide, answer).await?;
    repetition.answer(once)
}

/// A field that is left out does not change; `null` removes an optional field.
fn change(body: &mut Object<'_>, currency: Currency) -> Option<ItemChange> {
    let quantity = || integer(0..=MAX_ON_HAND);
    Some(ItemChange {
        name: body.optional("productName", text(200)),
        description: body.clearable("description", text(2000)),
        category: body.clearable("category", text(100)),
        unit_price: body.optional("unitPrice", amount(Some(currency))).map(Money::minor),
        low_stock_threshold: body.optional("minStockLevel", quantity()),
        max_stock_level: body.clearable("maxStockLevel", quantity()),
        reorder_quantity: body.clearable("reorderQuantity", quantity()),
        adjustment: body.optional("adjustment", object(adjustment)),
    })
}

fn adjustment(body: &mut Object<'_>) -> Option<Adjustment> {
    const MOST: i32 = MAX_ON_HAND.cast_signed();
    let quantity = body.required("quantity", integer(-MOST..=MOST));
    if quantity == Some(0) {
        body.refuse("quantity", "must not be 0");
    }
    let reason = body.required("reason", text(200));
    Some(Adjustment { quantity: quantity?, reason: reason? })
}

/// A change that the stock does not allow.
pub(crate) fn refused(refusal: BadChange) -> Problem {
    if refusal == BadChange::MaxBelowMin {
        return Problem::field("/maxStockLevel", refusal);
    }
    let title = "The product's stock does not allow this.";
    Problem::new(StatusCode::CONFLICT, "stock-conflict", title).detail(format!("{refusal}."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use trackops_lambda::input::Input;
    use trackops_testkit::like;

    use super::*;

    fn checked(body: Value) -> Result<ItemChange, Vec<String>> {
        let pointers = |problem: Problem| problem.errors.into_iter().map(|e| e.pointer).collect();
        let euros = Currency::from_code("EUR").unwrap();
        let body: Input = serde_json::from_value(body).unwrap();
        body.read(|body| change(body, euros)).map_err(pointers)
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let body = json!({
            "productName": " ", "unitPrice": "1.005", "maxStockLevel": MAX_ON_HAND + 1,
            "adjustment": {"quantity": 0, "reason": "", "by": "me"}, "minStockLevel": -1,
        });
        assert_eq!(
            checked(body).unwrap_err(),
            [
                "/productName",
                "/unitPrice",
                "/minStockLevel",
                "/maxStockLevel",
                "/adjustment/quantity",
                "/adjustment/reason",
                "/adjustment/by",
            ]
        );
    }

    #[test]
    fn what_is_left_out_stays_and_null_takes_away() {
        let change = checked(json!({"description": null, "unitPrice": "3.00"})).unwrap();
        assert_eq!((change.description, change.category), (Some(None), None));
        assert_eq!((change.unit_price, change.name), (Some(300), None));
        let kept = checked(json!({"productName": null, "minStockLevel": null})).unwrap();
        assert_eq!((kept.name, kept.low_stock_threshold), (None, None));
    }

    #[test]
    fn neither_a_count_nor_the_currency_can_be_set() {
        for field in ["availableQuantity", "onHandQuantity", "currency", "version"] {
            assert_eq!(checked(json!({field: 1})).unwrap_err(), [format!("/{field}")]);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_within_the_limits_or_refused_with_what_to_change(
            body in like(&json!({
                "productName": "Tea", "description": null, "unitPrice": "1.00", "maxStockLevel": 9,
                "adjustment": {"quantity": -1, "reason": "broken"},
            })),
        ) {
            match checked(body) {
                Ok(change) => {
                    let moved = change.adjustment.map(|adjustment| adjustment.quantity);
                    prop_assert!(moved.is_none_or(|it| it != 0 && it.unsigned_abs() <= MAX_ON_HAND));
                    prop_assert!(change.name.is_none_or(|name| (1..=200).contains(&name.chars().count())));
                }
                Err(errors) => prop_assert!(!errors.is_empty()),
            }
        }
    }
}
