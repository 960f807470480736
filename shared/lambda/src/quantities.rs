//! `items` of a body: quantities of products. Lines of the same product are added up.

use std::collections::BTreeMap;
use std::str::FromStr;

use trackops_domain::Sku;
use trackops_domain::order::MAX_LINES;

use crate::input::{Object, integer, list, object, parsed};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    pub units: u32,
    /// JSON Pointer to the item that names the product first.
    pub pointer: String,
}

pub type Quantities = BTreeMap<Sku, Quantity>;

/// 1 to [`MAX_LINES`] of `{productId, quantity}`; at most `max` units of each product, also in sum.
pub fn quantities(body: &mut Object<'_>, max: u32) -> Option<Quantities> {
    let mut merged = Quantities::new();
    let add = |item: &mut Object<'_>| {
        let sku = item.required("productId", parsed(Sku::from_str));
        let units = item.required("quantity", integer(1..=max));
        let first = || Quantity { units: 0, pointer: item.pointer().to_owned() };
        let quantity = merged.entry(sku?).or_insert_with(first);
        quantity.units = quantity.units.saturating_add(units?);
        if quantity.units > max {
            item.refuse("quantity", format!("makes more than {max} of this product"));
        }
        Some(())
    };
    body.required("items", list(1..=MAX_LINES, object(add)))?;
    Some(merged)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::input::Input;

    fn read(items: Value) -> Result<Quantities, Vec<String>> {
        let body: Input = serde_json::from_value(json!({"items": items})).unwrap();
        body.read(|body| quantities(body, 9))
            .map_err(|problem| problem.errors.into_iter().map(|error| error.pointer).collect())
    }

    #[test]
    fn items_of_one_product_are_one_and_stand_where_it_is_named_first() {
        let read = read(json!([
            {"productId": "TEA", "quantity": 2}, {"productId": "CUP", "quantity": 1},
            {"productId": "TEA", "quantity": 3},
        ]));
        let quantity = |units, pointer: &str| Quantity { units, pointer: pointer.into() };
        let expected = [("CUP", quantity(1, "/items/1")), ("TEA", quantity(5, "/items/0"))];
        let expected = expected.map(|(sku, quantity)| (sku.parse().unwrap(), quantity));
        assert_eq!(read, Ok(Quantities::from(expected)));
    }

    #[test]
    fn they_cannot_pass_the_limit_together_and_other_items_are_checked_all_the_same() {
        let wrong = read(json!([
            {"productId": "TEA", "quantity": 9}, {"productId": "a b", "quantity": 0}, 7,
            {"productId": "TEA", "quantity": 1}, {"quantity": 1, "unitPrice": "0.01"},
        ]));
        assert_eq!(
            wrong.unwrap_err(),
            [
                "/items/1/productId",
                "/items/1/quantity",
                "/items/2",
                "/items/3/quantity",
                "/items/4/productId",
                "/items/4/unitPrice",
            ]
        );
    }

    #[test]
    fn there_are_one_to_fifty() {
        for count in [0, MAX_LINES + 1] {
            let items = vec![json!({"productId": "TEA", "quantity": 1}); count];
            assert_eq!(read(json!(items)).unwrap_err(), ["/items"]);
        }
    }
}
