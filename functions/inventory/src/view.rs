//! A product and its stock as the API shows them.

use lambda_http::http::StatusCode;
use lambda_http::{Body, Response};
use serde::Serialize;
use trackops_domain::money::{BadMoney, Currency, Money};
use trackops_domain::stock::StockItem;
use trackops_domain::{Sku, Timestamp};
use trackops_lambda::http::{Answer, json, tagged, versioned};
use trackops_lambda::identity::Role;
use trackops_lambda::problem::Problem;

pub fn not_found() -> Problem {
    Problem::not_found("product-not-found", "There is no such product.")
}

/// For operators and services.
pub fn show(status: StatusCode, item: StockItem) -> Answer {
    let view = ItemView::of(item, Role::Operator).map_err(Problem::internal)?;
    Ok(view.answer(status))
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
    is_out_of_stock: bool,
    discontinued: bool,
    created_at: Timestamp,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    stock: Option<StockView>,
}

/// How many units there are, and how many others have taken. Customers see only whether there are any: `version` and
/// `updatedAt` change with every reservation, so these would tell customers when others order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StockView {
    on_hand_quantity: u32,
    available_quantity: u32,
    reserved_quantity: u32,
    min_stock_level: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_stock_level: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reorder_quantity: Option<u32>,
    is_low_stock: bool,
    needs_reordering: bool,
    updated_at: Timestamp,
    version: u64,
}

impl StockView {
    fn of(item: &StockItem) -> Self {
        Self {
            on_hand_quantity: item.on_hand,
            available_quantity: item.available,
            reserved_quantity: item.reserved(),
            min_stock_level: item.low_stock_threshold,
            max_stock_level: item.max_stock_level,
            reorder_quantity: item.reorder_quantity,
            is_low_stock: item.is_low(),
            needs_reordering: item.is_low() && !item.discontinued,
            updated_at: item.updated_at,
            version: item.version,
        }
    }
}

impl ItemView {
    /// The fields that this role may see.
    pub fn of(item: StockItem, role: Role) -> Result<Self, BadMoney> {
        Ok(Self {
            stock: (role != Role::Customer).then(|| StockView::of(&item)),
            is_out_of_stock: item.available == 0,
            unit_price: Money::from_minor(item.unit_price, item.currency)?.to_decimal(),
            product_id: item.sku,
            product_name: item.name,
            description: item.description,
            category: item.category,
            currency: item.currency,
            discontinued: item.discontinued,
            created_at: item.created_at,
        })
    }

    /// The answer, with an `ETag` that changes only when what the caller sees changes.
    pub fn answer(&self, status: StatusCode) -> Response<Body> {
        match &self.stock {
            Some(stock) => versioned(status, stock.version, self),
            None => tagged(json(status, self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use lambda_http::http::header::ETAG;
    use serde_json::{Value, json};
    use trackops_domain::Cause;
    use trackops_lambda::input::Input;

    use super::*;
    use crate::create_item::new_item;

    fn item(available: u32, version: u64) -> StockItem {
        let body = json!({
            "productId": "TEA", "productName": "Tea", "unitPrice": "2.50", "currency": "EUR",
            "availableQuantity": 9, "minStockLevel": 5, "maxStockLevel": 50, "reorderQuantity": 20,
        });
        let body: Input = serde_json::from_value(body).unwrap();
        let mut item = body.read(|body| new_item(body, &Cause::default())).unwrap();
        (item.available, item.version) = (available, version);
        item
    }

    fn shown_to(role: Role, available: u32) -> Value {
        serde_json::to_value(ItemView::of(item(available, 7), role).unwrap()).unwrap()
    }

    #[test]
    fn the_etag_of_a_customer_does_not_move_with_what_others_order() {
        let tag = |role, item| {
            ItemView::of(item, role).unwrap().answer(StatusCode::OK).headers()[ETAG].clone()
        };
        let (before, after) = (item(9, 1), item(4, 2));
        let customer = tag(Role::Customer, before.clone());
        assert_eq!(customer, tag(Role::Customer, after.clone()));
        assert_ne!(customer, tag(Role::Customer, item(0, 3)), "it is out of stock now");
        assert_eq!(
            (tag(Role::Operator, before), tag(Role::Service, after)),
            ("\"1\"".parse().unwrap(), "\"2\"".parse().unwrap())
        );
    }

    #[test]
    fn customers_see_whether_there_is_stock_and_nothing_that_tells_how_much_others_took() {
        for (available, out) in [(4, false), (0, true)] {
            let shown = shown_to(Role::Customer, available);
            let fields: Vec<_> = shown.as_object().unwrap().keys().map(String::as_str).collect();
            let expected = [
                "createdAt",
                "currency",
                "discontinued",
                "isOutOfStock",
                "productId",
                "productName",
                "unitPrice",
            ];
            assert_eq!(fields, expected);
            assert_eq!(shown["isOutOfStock"], out);
        }
        for role in [Role::Operator, Role::Service] {
            let shown = shown_to(role, 4);
            assert_eq!(
                (&shown["reservedQuantity"], &shown["isLowStock"]),
                (&json!(5), &json!(true))
            );
        }
    }
}
