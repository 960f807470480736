//! `POST /api/inventory/reservations` holds units of all its items, or of none. Repeating it with the same
//! `Idempotency-Key` holds them only once.

use std::time::Duration;

use lambda_http::http::{HeaderValue, StatusCode, header};
use trackops_aws::inventory::{Inventory, NotSold, ReserveError, Wanted};
use trackops_domain::reservation::{Line, Reservation, ReservationState, Shortage};
use trackops_domain::stock::MAX_ON_HAND;
use trackops_domain::{OrderId, Sku, Timestamp};
use trackops_lambda::http::{Answer, Call, body};
use trackops_lambda::idempotency;
use trackops_lambda::identity::{Caller, Role};
use trackops_lambda::input::{Object, integer};
use trackops_lambda::problem::{FieldError, Problem};
use trackops_lambda::quantities::{Quantities, quantities};

use crate::reservation_view::show;

/// Seconds that a hold may last, and seconds that it lasts if the request does not say.
const TTL: std::ops::RangeInclusive<u32> = 60..=14_400;
const DEFAULT_TTL: u32 = 900;

/// The request, checked.
#[derive(Debug)]
struct Asked {
    quantities: Quantities,
    ttl: Duration,
}

pub async fn handle(inventory: &Inventory, call: Call) -> Answer {
    call.caller.must_be(&[Role::Operator, Role::Service])?;
    let key = idempotency::key(&call.request)?;
    let request_hash = idempotency::hash(&call.request);
    let asked = body(&call.request)?.read(asked)?;
    let id = key.map_or_else(OrderId::generate, |key| id_of(&call.caller, key));
    let lines = asked.quantities.iter();
    let lines = lines.map(|(sku, quantity)| Line { sku: sku.clone(), quantity: quantity.units });
    let wanted = Wanted {
        id,
        lines: lines.collect(),
        expires_at: Timestamp::now().plus(asked.ttl),
        request_hash: Some(request_hash),
        cause: call.cause,
    };
    let reservation = match inventory.reserve_sold(&wanted).await {
        Ok(reservation) => reservation,
        Err(ReserveError::NotSold(not_sold)) => return Err(cannot_be_reserved(&not_sold, &asked)),
        Err(ReserveError::Store(error)) => return Err(error.into()),
    };
    if reservation.request_hash != wanted.request_hash {
        return Err(idempotency::reused());
    }
    let made_before = reservation.raised.is_none();
    let response = answer(reservation.as_made(), &asked)?;
    Ok(if made_before { idempotency::replayed(response) } else { response })
}

/// The same key may place an order as well, and that is another id: see create_order's `principal`.
fn id_of(caller: &Caller, key: &str) -> OrderId {
    OrderId::for_idempotency_key(&idempotency::scope(caller, "reservations"), key)
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

fn cannot_be_reserved(not_sold: &[NotSold], asked: &Asked) -> Problem {
    let error = |not_sold: &NotSold| {
        let (sku, detail) = match not_sold {
            NotSold::Unknown(sku) => (sku, format!("there is no product {sku}")),
            NotSold::Discontinued(sku) => (sku, format!("product {sku} is not sold any more")),
        };
        FieldError { pointer: pointer(asked, sku, "productId"), detail }
    };
    Problem::invalid(not_sold.iter().map(error).collect())
}

/// The place in the request where the product comes first.
fn pointer(asked: &Asked, sku: &Sku, field: &str) -> String {
    let quantity = asked.quantities.get(sku);
    quantity.map_or_else(|| "/items".to_owned(), |it| format!("{}/{field}", it.pointer))
}

fn out_of_stock(shortages: &[Shortage], asked: &Asked) -> Problem {
    let title = "There is not enough of some products. Nothing was reserved.";
    let mut problem = Problem::new(StatusCode::CONFLICT, "out-of-stock", title);
    problem.errors = shortages
        .iter()
        .map(|Shortage { sku, requested, available }| FieldError {
            pointer: pointer(asked, sku, "quantity"),
            detail: format!("{requested} of {sku} are asked for, {available} are available"),
        })
        .collect();
    problem
}

fn asked(body: &mut Object<'_>) -> Option<Asked> {
    let quantities = quantities(body, MAX_ON_HAND);
    let ttl = body.optional("ttlSeconds", integer(TTL)).unwrap_or(DEFAULT_TTL);
    Some(Asked { quantities: quantities?, ttl: Duration::from_secs(ttl.into()) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use trackops_lambda::input::Input;
    use trackops_testkit::like;

    use super::*;

    fn checked(body: Value) -> Result<Asked, Vec<String>> {
        let pointers = |problem: Problem| problem.errors.into_iter().map(|e| e.pointer).collect();
        serde_json::from_value::<Input>(body).unwrap().read(asked).map_err(pointers)
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let items =
            json!([{"productId": "a b", "quantity": 0}, {"productId": "TEA", "quantity": 1}]);
        let wrong = json!({"items": items, "ttlSeconds": 59, "orderId": "mine"});
        let pointers = ["/items/0/productId", "/items/0/quantity", "/ttlSeconds", "/orderId"];
        assert_eq!(checked(wrong).unwrap_err(), pointers);
        assert_eq!(checked(json!({"ttlSeconds": null})).unwrap_err(), ["/items"]);
    }

    #[test]
    fn what_is_missing_is_said_of_the_first_item_of_the_product() {
        let asked = checked(json!({"items": [
            {"productId": "TEA", "quantity": 2}, {"productId": "CUP", "quantity": 1},
            {"productId": "TEA", "quantity": 3},
        ]}));
        let (asked, tea): (_, Sku) = (asked.unwrap(), "TEA".parse().unwrap());
        assert_eq!(asked.ttl, Duration::from_secs(900));
        let short = Shortage { sku: tea, requested: 5, available: 4 };
        let problem = out_of_stock(&[short], &asked);
        assert_eq!(problem.errors[0].pointer, "/items/0/quantity");
    }

    #[test]
    fn what_is_not_sold_is_said_of_the_product_and_why() {
        let items = json!({"items": [
            {"productId": "TEA", "quantity": 2}, {"productId": "CUP", "quantity": 1},
        ]});
        let asked = checked(items).unwrap();
        let (cup, tea) = (sku("CUP"), sku("TEA"));
        let not_sold = [NotSold::Unknown(cup), NotSold::Discontinued(tea)];
        let problem = cannot_be_reserved(&not_sold, &asked);
        assert_eq!((problem.status.as_u16(), problem.kind), (422, "invalid-request"));
        let errors: Vec<_> = problem.errors.iter().map(|it| (&*it.pointer, &*it.detail)).collect();
        let unknown = ("/items/1/productId", "there is no product CUP");
        let discontinued = ("/items/0/productId", "product TEA is not sold any more");
        assert_eq!(errors, [unknown, discontinued]);
    }

    fn sku(name: &str) -> Sku {
        name.parse().unwrap()
    }

    #[test]
    fn an_operator_and_a_service_with_the_same_subject_hold_for_themselves_under_one_key() {
        let id =
            |role, subject: &str| id_of(&Caller { role, subject: subject.parse().unwrap() }, "key");
        let shop = id(Role::Service, "shop");
        assert_eq!(shop, id(Role::Service, "shop"));
        assert_ne!(shop, id(Role::Operator, "shop"));
        assert_ne!(shop, id(Role::Service, "shed"));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_within_the_limits_or_refused_with_what_to_change(
            body in like(&json!({"items": [{"productId": "TEA", "quantity": 1}], "ttlSeconds": 60})),
        ) {
            match checked(body) {
                Ok(asked) => {
                    let units = asked.quantities.values().map(|quantity| quantity.units);
                    prop_assert!(units.into_iter().all(|units| (1..=MAX_ON_HAND).contains(&units)));
                    prop_assert!(TTL.contains(&(asked.ttl.as_secs() as u32)));
                }
                Err(errors) => prop_assert!(!errors.is_empty()),
            }
        }
    }
}
