//! `POST /api/orders` places an order at the catalogue's prices. Repeating it with the same `Idempotency-Key` places
//! only one.

use std::borrow::Cow;
use std::time::Duration;

use lambda_http::http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use trackops_aws::orders::Orders;
use trackops_domain::card::has_card_number;
use trackops_domain::money::{Currency, Money};
use trackops_domain::order::{Address, Author, Line, NewOrder, Order};
use trackops_domain::{CustomerId, OrderId, Sku, Timestamp};
use trackops_lambda::fields::Fields;
use trackops_lambda::http::{Answer, Call, body, versioned};
use trackops_lambda::idempotency;
use trackops_lambda::identity::{Caller, Role};
use trackops_lambda::input::{Input, Object, amount, object, parsed, text};
use trackops_lambda::problem::Problem;
use trackops_lambda::quantities::{Quantities, quantities};

use crate::actor::actor;
use crate::products::Products;
use crate::view::OrderView;

/// Units of one product in one order.
const MAX_QUANTITY: u32 = 10_000;

/// Who stores or sends a card number has to keep the rules of PCI DSS, and so has each system that it passes.
const NO_CARD_NUMBER: &str =
    "looks like a card number: send a token of the payment provider instead";

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
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

/// The request, checked but not yet priced.
#[derive(Debug)]
struct Asked {
    customer_id: CustomerId,
    quantities: Quantities,
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
            let id = OrderId::for_idempotency_key(&principal(&call.caller), key);
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
    let order = Order::place(new, Timestamp::now(), call.cause)
        .map_err(|error| Problem::field("/items", format!("the total {error}")))?;
    let order = order.by(Author::Caller(actor(&call.caller)));
    if let Some(total) = asked.total.filter(|total| total.minor() != order.total) {
        let actual = Money::from_minor(order.total, order.currency).map_err(Problem::internal)?;
        let (total, actual) = (total.to_decimal(), actual.to_decimal());
        let detail = format!("is {total}, but the prices add up to {actual}");
        return Err(Problem::field("/totalAmount", detail));
    }

    match orders.place(&order).await? {
        Ok(()) => created(order),
        Err(first) => replay(first, &order.request_hash),
    }
}

/// Whose key it is. A customer's are those of the subject alone, as they always were, unless it could be taken for the
/// scope of somebody else.
fn principal(caller: &Caller) -> Cow<'_, str> {
    match caller.role {
        Role::Customer if caller.subject.as_str().contains('/') => {
            format!("orders/{}", caller.subject).into()
        }
        Role::Customer => caller.subject.as_str().into(),
        Role::Operator | Role::Service => idempotency::scope(caller, "orders").into(),
    }
}

fn created(order: Order) -> Answer {
    let location = format!("/api/orders/{}", order.id);
    let mut response = versioned(StatusCode::CREATED, order.version, &OrderView::try_from(order)?);
    let location = HeaderValue::from_str(&location).map_err(Problem::internal)?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// The answer that the first request got, whatever has happened to the order since.
fn replay(first: Order, request_hash: &str) -> Answer {
    if first.request_hash != request_hash {
        return Err(idempotency::reused());
    }
    Ok(idempotency::replayed(created(first.as_placed())?))
}

/// Customers order for themselves; operators and services say for whom they order.
fn check(body: Input, caller: &Caller) -> Result<Asked, Problem> {
    let asked = body.read(|body| asked(body, caller))?;
    if caller.may_see(&asked.customer_id) { Ok(asked) } else { Err(Problem::forbidden()) }
}

fn asked(body: &mut Object<'_>, caller: &Caller) -> Option<Asked> {
    let customer_id = match caller.role {
        Role::Customer => body.optional("customerId", parsed(str::parse)),
        Role::Operator | Role::Service => body.required("customerId", parsed(str::parse)),
    };
    let quantities = quantities(body, MAX_QUANTITY);
    let address = body.required("address", object(address));
    let delivery_instructions = body.optional("deliveryInstructions", text(500));
    let payment_method = body.required("paymentMethod", text(128));
    if payment_method.as_deref().is_some_and(has_card_number) {
        body.refuse("paymentMethod", NO_CARD_NUMBER);
    }
    let currency = body.required("currency", parsed(Currency::in_use));
    let total = body.optional("totalAmount", amount(currency));
    Some(Asked {
        customer_id: customer_id.unwrap_or_else(|| caller.subject.clone()),
        quantities: quantities?,
        currency: currency?,
        total,
        address: address?,
        delivery_instructions,
        payment_method: payment_method?,
    })
}

fn address(body: &mut Object<'_>) -> Option<Address> {
    let street_address = body.required("streetAddress", text(200));
    let city = body.required("city", text(100));
    let state = body.optional("state", text(100));
    let postal_code = body.required("postalCode", text(20));
    let country = body.required("country", text(60));
    let phone_number = body.optional("phoneNumber", text(30));
    Some(Address {
        street_address: street_address?,
        city: city?,
        state,
        postal_code: postal_code?,
        country: country?,
        phone_number,
    })
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
    // A caller who gives a total has seen the price. The order must not be refused because we still have an older
    // price.
    let mut known = match asked.total {
        Some(_) => products.find_now(&skus).await?,
        None => products.find(&skus).await?,
    };
    let mut fields = Fields::default();
    let mut lines = Vec::new();
    for (sku, quantity) in &asked.quantities {
        let product_id = || format!("{}/productId", quantity.pointer);
        match known.remove(sku) {
            None => {
                fields.refuse(product_id(), format!("there is no product {sku}"));
            }
            Some(product) if product.discontinued => {
                fields.refuse(product_id(), format!("product {sku} is not sold any more"));
            }
            Some(product) if product.currency != asked.currency => {
                fields
                    .refuse("/currency", format!("product {sku} is sold in {}", product.currency));
            }
            Some(product) => lines.push(Line {
                sku: product.sku,
                name: product.name,
                quantity: quantity.units,
                unit_price: product.unit_price,
            }),
        }
    }
    fields.finish()?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use trackops_domain::order::{Fact, MAX_LINES};
    use trackops_domain::{Cause, examples};
    use trackops_testkit::like;

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

    fn pointers(order: Value, role: Role) -> Vec<String> {
        let problem = asked(order, role).expect_err("it is invalid");
        problem.errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let wrong = json!({
            "customerId": "",
            "items": [{"productId": "a b", "quantity": 0}, {"productId": "TEA", "quantity": 1, "unitPrice": "0.01"}],
            "address": {"streetAddress": 1, "city": "x".repeat(101), "country": "IE", "planet": "Earth"},
            "deliveryInstructions": "bell\u{7}", "currency": "EURO", "totalAmount": 5, "coupon": "FREE",
        });
        assert_eq!(
            pointers(wrong, Role::Customer),
            [
                "/customerId",
                "/items/0/productId",
                "/items/0/quantity",
                "/items/1/unitPrice",
                "/address/streetAddress",
                "/address/city",
                "/address/postalCode",
                "/address/planet",
                "/deliveryInstructions",
                "/paymentMethod",
                "/currency",
                "/totalAmount",
                "/coupon",
            ]
        );
        let nothing = ["/items", "/address", "/paymentMethod", "/currency"];
        assert_eq!(pointers(json!({}), Role::Customer), nothing);
        assert_eq!(pointers(json!({}), Role::Service)[0], "/customerId");
    }

    #[test]
    fn a_card_number_is_refused_without_being_repeated() {
        for text in ["4111111111111111", "card:4111 1111 1111 1111", "5555-5555-5555-4444"] {
            let mut order = order();
            order["paymentMethod"] = json!(text);
            for role in [Role::Customer, Role::Operator, Role::Service] {
                order["customerId"] = json!("alice");
                let problem = asked(order.clone(), role).unwrap_err();
                assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY);
                assert_eq!(problem.errors[0].pointer, "/paymentMethod");
                assert_eq!(problem.errors[0].detail, NO_CARD_NUMBER);
                assert!(problem.source.is_none(), "what is logged of a problem");
                let body = format!("{:?}", problem.into_response().body());
                assert!(!body.contains("1111") && !body.contains("5555"), "{body}");
            }
        }
    }

    #[test]
    fn what_may_look_like_a_card_number_for_good_reasons_is_taken() {
        let mut order = order();
        order["deliveryInstructions"] = json!("Call 4111111111111111 from the gate.");
        order["address"]["phoneNumber"] = json!("411111111117");
        order["paymentMethod"] = json!("pm_550e8400-e29b-41d4-a716-411111111117");
        asked(order, Role::Customer).unwrap();
    }

    #[test]
    fn the_total_has_the_decimals_of_the_currency() {
        let total = |currency: &str, total: &str| {
            let mut order = order();
            order["currency"] = json!(currency);
            order["totalAmount"] = json!(total);
            asked(order, Role::Customer).is_ok()
        };
        assert!(total("EUR", "1.23") && total("JPY", "123") && total("KWD", "1.234"));
        assert!(!total("EUR", "1.234") && !total("JPY", "1.2") && !total("EUR", "-1"));
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

    fn key_of(role: Role, subject: &str) -> String {
        principal(&Caller { role, subject: subject.parse().unwrap() }).into_owned()
    }

    #[test]
    fn no_two_subjects_share_a_key_and_none_has_one_of_reservations() {
        let named = |subject| key_of(Role::Customer, subject);
        // As it always was: the keys of customers who have used one stay theirs.
        assert_eq!(named("auth0|alice"), "auth0|alice");
        assert_eq!(named("reservations/alice"), "orders/reservations/alice");
        assert_eq!(named("orders/reservations/alice"), "orders/orders/reservations/alice");
    }

    #[test]
    fn callers_of_another_kind_have_other_keys_also_with_the_same_subject() {
        let keys = [Role::Customer, Role::Operator, Role::Service].map(|role| key_of(role, "shop"));
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2], "{keys:?}");
        for staff in &keys[1..] {
            assert_ne!(key_of(Role::Customer, staff), *staff, "nobody can be called so");
        }
    }

    #[test]
    fn a_key_that_comes_again_is_answered_as_it_was_and_for_another_order_it_is_refused() {
        let (at, cause) = (Timestamp::from_millis(0), Cause::default());
        let placed = Order::place(examples::order(), at, cause.clone()).unwrap();
        let confirmed = placed.after(Fact::Confirmed, at, &cause).unwrap().unwrap();
        let again = replay(confirmed.clone(), "hash").unwrap();
        assert_eq!(again.status(), StatusCode::CREATED);
        assert_eq!(again.headers()["etag"], "\"1\"", "it has been confirmed since");
        assert_eq!(replay(confirmed, "another").unwrap_err().kind, "idempotency-key-reused");
    }

    #[test]
    fn an_order_is_in_a_currency_in_use() {
        let mut order = order();
        for withdrawn in ["HRK", "BGN", "XAU", "CLF"] {
            order["currency"] = json!(withdrawn);
            let problem = asked(order.clone(), Role::Customer).unwrap_err();
            assert_eq!(problem.errors[0].pointer, "/currency", "{withdrawn}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_within_the_limits_or_refused_with_what_to_change(
            body in like(&order()), role in prop::sample::select(vec![Role::Customer, Role::Operator]),
        ) {
            match asked(body, role) {
                Ok(asked) => {
                    let units = asked.quantities.values().map(|quantity| quantity.units);
                    prop_assert!(units.clone().all(|units| (1..=MAX_QUANTITY).contains(&units)));
                    prop_assert!((1..=MAX_LINES).contains(&units.count()));
                    prop_assert!(asked.payment_method.chars().count() <= 128);
                }
                Err(problem) if problem.status == StatusCode::FORBIDDEN => {
                    prop_assert_eq!(role, Role::Customer);
                }
                Err(problem) => {
                    prop_assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY);
                    prop_assert!(!problem.errors.is_empty());
                }
            }
        }
    }
}
