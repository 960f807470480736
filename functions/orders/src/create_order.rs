//! `POST /api/orders` places an order at the catalogue's prices. Repeating it with the same `Idempotency-Key` places one.

use std::collections::BTreeMap;
use std::time::Duration;

use lambda_http::http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use trackops_aws::orders::Orders;
use trackops_domain::money::{Currency, Money};
use trackops_domain::order::{Address, Author, Line, MAX_LINES, NewOrder, Order};
use trackops_domain::{CustomerId, OrderId, Sku, Timestamp};
use trackops_lambda::fields::Fields;
use trackops_lambda::http::{Answer, Call, body, versioned};
use trackops_lambda::idempotency;
use trackops_lambda::identity::{Caller, Role};
use trackops_lambda::problem::Problem;

use crate::actor::actor;
use crate::products::Products;
use crate::view::OrderView;

/// Units of one product in one order.
const MAX_QUANTITY: u32 = 10_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OrderBody {
    customer_id: Option<String>,
    items: Vec<ItemBody>,
    address: AddressBody,
    delivery_instructions: Option<String>,
    payment_method: String,
    currency: String,
    total_amount: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ItemBody {
    product_id: String,
    quantity: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddressBody {
    street_address: String,
    city: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    postal_code: String,
    country: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<String>,
}

/// What is asked for, checked but not yet priced.
struct Asked {
    customer_id: CustomerId,
    /// Merged by product, in the order of their ids.
    quantities: BTreeMap<Sku, u32>,
    currency: Currency,
    total: Option<Money>,
    address: Address,
    delivery_instructions: Option<String>,
    payment_method: String,
}

pub async fn handle(
    orders: &Orders,
    products: &Products,
    payment_window: Duration,
    call: Call,
) -> Answer {
    let key = idempotency::key(&call.request)?;
    let request_hash = idempotency::hash(&call.request);
    let asked = check(body(&call.request)?, &call.caller)?;
    let id = match key {
        Some(key) => {
            let id = OrderId::for_idempotency_key(call.caller.subject.as_str(), key);
            if let Some(first) = orders.find(&id).await? {
                return replay(first, &request_hash);
            }
            id
        }
        None => OrderId::generate(),
    };

    let lines = price(products, &asked).await?;
    let new = NewOrder {
        id,
        customer_id: asked.customer_id,
        lines,
        currency: asked.currency,
        address: asked.address,
        delivery_instructions: asked.delivery_instructions,
        payment_method: asked.payment_method,
        request_hash,
        payment_window,
    };
    let order = Order::place(new, Timestamp::now(), call.cause).map_err(|error| {
        let mut fields = Fields::default();
        fields.refuse("/items", format!("the total {error}"));
        fields.finish().err().unwrap_or_else(|| Problem::internal(error))
    })?;
    let order = order.by(Author::Caller(actor(&call.caller)));
    if let Some(total) = asked.total.filter(|total| total.minor() != order.total) {
        let actual = Money::from_minor(order.total, order.currency).map_err(Problem::internal)?;
        let mut fields = Fields::default();
        fields.refuse(
            "/totalAmount",
            format!("is {}, but the prices add up to {}", total.to_decimal(), actual.to_decimal()),
        );
        fields.finish()?;
    }

    match orders.place(&order).await? {
        Ok(()) => created(order),
        Err(first) => replay(first, &order.request_hash),
    }
}

fn created(order: Order) -> Answer {
    let location = format!("/api/orders/{}", order.id);
    let mut response = versioned(StatusCode::CREATED, order.version, &OrderView::try_from(order)?);
    let location = HeaderValue::from_str(&location).map_err(Problem::internal)?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// The answer that the first request got, whatever became of the order since.
fn replay(first: Order, request_hash: &str) -> Answer {
    if first.request_hash != request_hash {
        return Err(idempotency::reused());
    }
    Ok(idempotency::replayed(created(first.as_placed())?))
}

fn check(body: OrderBody, caller: &Caller) -> Result<Asked, Problem> {
    let mut fields = Fields::default();
    let customer_id = customer(&mut fields, body.customer_id.as_deref(), caller)?;
    if body.items.is_empty() || body.items.len() > MAX_LINES {
        fields.refuse("/items", format!("must have 1 to {MAX_LINES} items"));
    }
    let mut quantities = BTreeMap::new();
    for (index, item) in body.items.iter().enumerate() {
        fields.range(&format!("/items/{index}/quantity"), item.quantity, 1, MAX_QUANTITY);
        let sku = fields.parse::<Sku>(&format!("/items/{index}/productId"), &item.product_id);
        let Some(sku) = sku else { continue };
        let quantity = quantities.entry(sku).or_insert(0_u32);
        *quantity = quantity.saturating_add(item.quantity);
        if *quantity > MAX_QUANTITY && item.quantity <= MAX_QUANTITY {
            let pointer = format!("/items/{index}/quantity");
            fields.refuse(pointer, format!("makes more than {MAX_QUANTITY} of this product"));
        }
    }
    let currency = fields.check("/currency", Currency::from_code(&body.currency));
    let total = match (&body.total_amount, currency) {
        (Some(total), Some(currency)) => {
            fields.check("/totalAmount", Money::parse(total, currency))
        }
        _ => None,
    };
    body.address.check(&mut fields);
    fields.optional_text("/deliveryInstructions", body.delivery_instructions.as_ref(), 500);
    fields.text("/paymentMethod", &body.payment_method, 128);
    fields.finish()?;
    // With no field refused these are there.
    let (Some(customer_id), Some(currency)) = (customer_id, currency) else {
        return Err(Problem::internal("a field was neither taken nor refused"));
    };
    Ok(Asked {
        customer_id,
        quantities,
        currency,
        total,
        address: body.address.into(),
        delivery_instructions: body.delivery_instructions,
        payment_method: body.payment_method,
    })
}

/// Customers order for themselves; operators and services say for whom.
fn customer(
    fields: &mut Fields,
    asked: Option<&str>,
    caller: &Caller,
) -> Result<Option<CustomerId>, Problem> {
    let own = caller.role == Role::Customer;
    match asked {
        Some(id) if own && id != caller.subject.as_str() => Err(Problem::forbidden()),
        Some(id) => Ok(fields.parse("/customerId", id)),
        None if own => Ok(Some(caller.subject.clone())),
        None => {
            fields.refuse("/customerId", "must say for which customer the order is");
            Ok(None)
        }
    }
}

impl AddressBody {
    fn check(&self, fields: &mut Fields) {
        fields.text("/address/streetAddress", &self.street_address, 200);
        fields.text("/address/city", &self.city, 100);
        fields.optional_text("/address/state", self.state.as_ref(), 100);
        fields.text("/address/postalCode", &self.postal_code, 20);
        fields.text("/address/country", &self.country, 60);
        fields.optional_text("/address/phoneNumber", self.phone_number.as_ref(), 30);
    }
}

impl From<AddressBody> for Address {
    fn from(body: AddressBody) -> Self {
        Self {
            street_address: body.street_address,
            city: body.city,
            state: body.state,
            postal_code: body.postal_code,
            country: body.country,
            phone_number: body.phone_number,
        }
    }
}

impl From<Address> for AddressBody {
    fn from(address: Address) -> Self {
        Self {
            street_address: address.street_address,
            city: address.city,
            state: address.state,
            postal_code: address.postal_code,
            country: address.country,
            phone_number: address.phone_number,
        }
    }
}

async fn price(products: &Products, asked: &Asked) -> Result<Vec<Line>, Problem> {
    let skus: Vec<Sku> = asked.quantities.keys().cloned().collect();
    let mut known = products.find(&skus).await?;
    let mut fields = Fields::default();
    let mut lines = Vec::new();
    for (sku, quantity) in &asked.quantities {
        match known.remove(sku) {
            None => fields.refuse("/items", format!("there is no product {sku}")),
            Some(product) if product.discontinued => {
                fields.refuse("/items", format!("product {sku} is not sold any more"));
            }
            Some(product) if product.currency != asked.currency => {
                fields
                    .refuse("/currency", format!("product {sku} is sold in {}", product.currency));
            }
            Some(product) => lines.push(Line {
                sku: product.sku,
                name: product.name,
                quantity: *quantity,
                unit_price: product.unit_price,
            }),
        }
    }
    fields.finish()?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn caller(role: Role) -> Caller {
        Caller { role, subject: "alice".parse().unwrap() }
    }

    fn order() -> Value {
        json!({
            "items": [{"productId": "TEA", "quantity": 2}], "currency": "EUR",
            "paymentMethod": "tok_ok",
            "address": {"streetAddress": "1 Quay", "city": "Cork", "postalCode": "T12", "country": "IE"},
        })
    }

    fn asked(order: Value, role: Role) -> Result<Asked, Problem> {
        check(serde_json::from_value(order).unwrap(), &caller(role))
    }

    fn pointers(order: Value) -> Vec<String> {
        let problem = asked(order, Role::Customer).err().expect("it is invalid");
        problem.errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let mut order = order();
        order["items"] =
            json!([{"productId": "a b", "quantity": 0}, {"productId": "TEA", "quantity": 1}]);
        order["currency"] = json!("EURO");
        order["paymentMethod"] = json!("");
        order["address"]["city"] = json!("x".repeat(101));
        order["deliveryInstructions"] = json!("bell\u{7}");
        assert_eq!(
            pointers(order),
            [
                "/items/0/quantity",
                "/items/0/productId",
                "/currency",
                "/address/city",
                "/deliveryInstructions",
                "/paymentMethod"
            ]
        );
    }

    #[test]
    fn lines_of_one_product_are_one_line_and_cannot_pass_the_limit_together() {
        let mut order = order();
        order["items"] =
            json!([{"productId": "TEA", "quantity": 2}, {"productId": "TEA", "quantity": 3}]);
        let asked = asked(order.clone(), Role::Customer).unwrap_or_else(|p| panic!("{p:?}"));
        assert_eq!(asked.quantities.into_iter().collect::<Vec<_>>(), [("TEA".parse().unwrap(), 5)]);

        order["items"] = json!([{"productId": "TEA", "quantity": MAX_QUANTITY}, {"productId": "TEA", "quantity": 1}]);
        assert_eq!(pointers(order), ["/items/1/quantity"]);
    }

    #[test]
    fn an_order_has_one_to_fifty_items() {
        for count in [0, MAX_LINES + 1] {
            let mut order = order();
            order["items"] = json!(vec![json!({"productId": "TEA", "quantity": 1}); count]);
            assert_eq!(pointers(order), ["/items"]);
        }
    }

    #[test]
    fn a_customer_orders_for_themselves_and_an_operator_says_for_whom() {
        let mut for_bob = order();
        for_bob["customerId"] = json!("bob");
        let status =
            |result: Result<Asked, Problem>| result.map(|a| a.customer_id).map_err(|p| p.status);
        assert_eq!(status(asked(order(), Role::Customer)), Ok("alice".parse().unwrap()));
        assert_eq!(status(asked(for_bob.clone(), Role::Customer)), Err(StatusCode::FORBIDDEN));
        assert_eq!(status(asked(for_bob, Role::Operator)), Ok("bob".parse().unwrap()));
        assert_eq!(status(asked(order(), Role::Operator)), Err(StatusCode::UNPROCESSABLE_ENTITY));
    }

    #[test]
    fn a_field_that_is_not_known_is_refused() {
        for pointer in ["", "/items/0", "/address"] {
            let mut order = order();
            order.pointer_mut(pointer).unwrap()["unitPrice"] = json!("0.01");
            assert!(serde_json::from_value::<OrderBody>(order).is_err(), "{pointer}");
        }
    }
}
