//! `POST /api/inventory/reservations` holds units of all its items, or of none. Repeating it with the same `Idempotency-Key` holds once.

use std::collections::BTreeMap;
use std::time::Duration;

use lambda_http::http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use trackops_aws::inventory::{Inventory, Wanted};
use trackops_domain::order::MAX_LINES;
use trackops_domain::reservation::{Line, Reservation, ReservationState, Shortage};
use trackops_domain::stock::MAX_ON_HAND;
use trackops_domain::{OrderId, Sku, Timestamp};
use trackops_lambda::fields::Fields;
use trackops_lambda::http::{Answer, Call, body};
use trackops_lambda::idempotency;
use trackops_lambda::identity::Role;
use trackops_lambda::problem::{FieldError, Problem};

use crate::reservation_view::show;

/// Seconds that a hold may last, and lasts if nothing is said.
const TTL: std::ops::RangeInclusive<u32> = 60..=14_400;
const DEFAULT_TTL: u32 = 900;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReservationBody {
    items: Vec<ItemBody>,
    ttl_seconds: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ItemBody {
    product_id: String,
    quantity: u32,
}

/// What is asked for, checked.
#[derive(Debug)]
struct Asked {
    /// By product: where it was first asked for, and how many in all.
    quantities: BTreeMap<Sku, (usize, u32)>,
    ttl: Duration,
}

pub async fn handle(inventory: &Inventory, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let key = idempotency::key(&call.request)?;
    let request_hash = idempotency::hash(&call.request);
    let asked = check(body(&call.request)?)?;
    let id = key.map_or_else(OrderId::generate, |key| {
        // No subject has a slash: the same key may place an order as well, and that is another id.
        let principal = format!("reservations/{}", call.caller.subject);
        OrderId::for_idempotency_key(&principal, key)
    });
    let lines = asked.quantities.iter();
    let lines = lines.map(|(sku, (_, quantity))| Line { sku: sku.clone(), quantity: *quantity });
    let wanted = Wanted {
        id,
        lines: lines.collect(),
        expires_at: Timestamp::now().plus(asked.ttl),
        request_hash: Some(request_hash),
        cause: call.cause,
    };
    let reservation = inventory.reserve(&wanted).await?;
    if reservation.request_hash != wanted.request_hash {
        return Err(idempotency::reused());
    }
    let made_before = reservation.raised.is_none();
    let response = answer(reservation.as_made(), &asked)?;
    Ok(if made_before { idempotency::replayed(response) } else { response })
}

fn answer(made: Reservation, asked: &Asked) -> Answer {
    if made.state == ReservationState::Rejected {
        return Ok(out_of_stock(&made.shortages, asked).into_response());
    }
    let location = format!("/api/inventory/reservations/{}", made.id);
    let mut response = show(StatusCode::CREATED, &made);
    let location = HeaderValue::from_str(&location).map_err(Problem::internal)?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

fn out_of_stock(shortages: &[Shortage], asked: &Asked) -> Problem {
    let title = "There is not enough of some products. Nothing was reserved.";
    let mut problem = Problem::new(StatusCode::CONFLICT, "out-of-stock", title);
    problem.errors = shortages
        .iter()
        .map(|Shortage { sku, requested, available }| FieldError {
            pointer: asked.quantities.get(sku).map_or_else(
                || "/items".to_owned(),
                |(index, _)| format!("/items/{index}/quantity"),
            ),
            detail: format!("{requested} of {sku} are asked for, {available} are available"),
        })
        .collect();
    problem
}

fn check(body: ReservationBody) -> Result<Asked, Problem> {
    let mut fields = Fields::default();
    if body.items.is_empty() || body.items.len() > MAX_LINES {
        fields.refuse("/items", format!("must have 1 to {MAX_LINES} items"));
    }
    let mut quantities = BTreeMap::new();
    for (index, item) in body.items.iter().enumerate() {
        let pointer = format!("/items/{index}/quantity");
        fields.range(&pointer, item.quantity, 1, MAX_ON_HAND);
        let sku = fields.parse::<Sku>(&format!("/items/{index}/productId"), &item.product_id);
        let Some(sku) = sku else { continue };
        let (_, quantity) = quantities.entry(sku).or_insert((index, 0_u32));
        *quantity = quantity.saturating_add(item.quantity);
        if *quantity > MAX_ON_HAND && item.quantity <= MAX_ON_HAND {
            fields.refuse(pointer, format!("makes more than {MAX_ON_HAND} of this product"));
        }
    }
    let ttl = body.ttl_seconds.unwrap_or(DEFAULT_TTL);
    fields.range("/ttlSeconds", ttl, *TTL.start(), *TTL.end());
    fields.finish()?;
    Ok(Asked { quantities, ttl: Duration::from_secs(ttl.into()) })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(body: Value) -> Result<Asked, Vec<String>> {
        let pointers = |problem: Problem| problem.errors.into_iter().map(|e| e.pointer).collect();
        check(serde_json::from_value(body).unwrap()).map_err(pointers)
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let items =
            json!([{"productId": "a b", "quantity": 0}, {"productId": "TEA", "quantity": 1}]);
        let wrong = checked(json!({"items": items, "ttlSeconds": 59})).unwrap_err();
        assert_eq!(wrong, ["/items/0/quantity", "/items/0/productId", "/ttlSeconds"]);
        assert_eq!(checked(json!({"items": []})).unwrap_err(), ["/items"]);
        let many = vec![json!({"productId": "TEA", "quantity": 1}); MAX_LINES + 1];
        assert_eq!(checked(json!({"items": many})).unwrap_err(), ["/items"]);
    }

    #[test]
    fn items_of_one_product_are_one_and_what_is_missing_is_said_of_the_first() {
        let asked = checked(json!({"items": [
            {"productId": "TEA", "quantity": 2}, {"productId": "CUP", "quantity": 1},
            {"productId": "TEA", "quantity": 3},
        ]}));
        let (asked, tea): (_, Sku) = (asked.unwrap(), "TEA".parse().unwrap());
        assert_eq!(asked.quantities[&tea], (0, 5));
        assert_eq!(asked.ttl, Duration::from_secs(900));
        let short = Shortage { sku: tea, requested: 5, available: 4 };
        let problem = out_of_stock(&[short], &asked);
        assert_eq!(problem.errors[0].pointer, "/items/0/quantity");
    }
}
