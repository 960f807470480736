//! Units that operators and services hold without an order.

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trackops_testkit::{Answer, Basket, Caller, World, unique};

async fn reserve(caller: &Caller, key: Option<&str>, body: &Value) -> Answer {
    let header = key.map(|key| ("Idempotency-Key", key));
    caller.ask_inventory(Method::POST, "/reservations", header, Some(body)).await
}

async fn look_up(caller: &Caller, id: &str) -> Answer {
    caller.ask_inventory(Method::GET, &format!("/reservations/{id}"), None, None).await
}

async fn release(caller: &Caller, id: &str) -> Answer {
    caller.ask_inventory(Method::DELETE, &format!("/reservations/{id}"), None, None).await
}

fn items(items: &[(&str, u32)]) -> Value {
    let item = |(sku, quantity): &(&str, u32)| json!({"productId": sku, "quantity": quantity});
    json!({"items": items.iter().map(item).collect::<Vec<_>>()})
}

fn id(answer: &Answer) -> String {
    answer.body["reservationId"].as_str().expect("a reservation has an id").to_owned()
}

#[tokio::test]
async fn units_are_held_until_they_are_released_or_the_hold_runs_out() {
    let world = World::new().await;
    let (tea, cup) = (world.stock("TEA", 5).await, world.stock("CUP", 5).await);
    let available = async |sku: &str| world.operator.find_item(sku).await.available_quantity;
    let both = items(&[(&tea, 1), (&cup, 2), (&tea, 2)]);

    let held = reserve(&world.operator, None, &both).await.expecting(StatusCode::CREATED);
    assert_eq!((&held.body["status"], available(&tea).await), (&json!("HELD"), 2));
    assert!(held.body["expiresAt"].is_string() && held.body["orderId"].is_null(), "{held:?}");
    let id_of_held = id(&held);
    let location = held.header("location").expect("a new reservation has a Location");
    assert!(location.ends_with(&format!("/api/inventory/reservations/{id_of_held}")), "{location}");
    let shown = look_up(&world.operator, &id_of_held).await.expecting(StatusCode::OK);
    assert_eq!(shown.body, held.body);

    let released = release(&world.operator, &id_of_held).await.expecting(StatusCode::OK);
    assert_eq!(released.body["status"], "RELEASED");
    let again = release(&world.operator, &id_of_held).await.expecting(StatusCode::OK);
    assert_eq!(again.body, released.body, "releasing is safe to repeat");
    assert_eq!((available(&tea).await, available(&cup).await), (5, 5));

    let runs_out = reserve(&world.operator, None, &both).await.expecting(StatusCode::CREATED);
    world.expire_hold(&id(&runs_out)).await;
    let expired = look_up(&world.operator, &id(&runs_out)).await.body;
    assert_eq!(expired["status"], "EXPIRED");
    assert_eq!((available(&tea).await, available(&cup).await), (5, 5));
}

#[tokio::test]
async fn all_is_held_or_nothing_and_the_refusal_says_what_is_missing() {
    let world = World::new().await;
    let (tea, cup) = (world.stock("TEA", 5).await, world.stock("CUP", 1).await);
    let (key, too_many) = (unique("key"), items(&[(&tea, 2), (&cup, 3)]));
    let refused = reserve(&world.operator, Some(&key), &too_many).await;
    let refused = refused.expecting_problem(StatusCode::CONFLICT);
    assert_eq!(refused.body["type"], "urn:trackops:problem:out-of-stock");
    let errors = refused.body["errors"].as_array().expect("it says what is missing");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["pointer"], "/items/1/quantity");
    let again = reserve(&world.operator, Some(&key), &too_many).await;
    assert_eq!(again.expecting_problem(StatusCode::CONFLICT).body, refused.body);
    assert_eq!(world.operator.find_item(&tea).await.available_quantity, 5);
}

#[tokio::test]
async fn one_idempotency_key_holds_once_and_is_not_the_key_of_an_order() {
    let world = World::new().await;
    let tea = world.stock("TEA", 9).await;
    let (key, two) = (unique("key"), items(&[(&tea, 2)]));
    let basket = Basket::of(&tea, 1).under_key(&key).with("customerId", "alice".into());
    let order = world.operator.order(&basket).await;

    let answers = join_all((0..20).map(|_| reserve(&world.operator, Some(&key), &two))).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (StatusCode::CREATED, &answers[0].body));
    }
    let replayed = |answer: &&Answer| answer.header("idempotent-replayed") == Some("true");
    assert_eq!(answers.iter().filter(replayed).count(), 19, "one request made it");
    assert_ne!(id(&answers[0]), order.order_id);
    release(&world.operator, &id(&answers[0])).await.expecting(StatusCode::OK);
    let late = reserve(&world.operator, Some(&key), &two).await.expecting(StatusCode::CREATED);
    assert_eq!(late.body, answers[0].body, "the answer is the first one");
    reserve(&world.operator, Some(&key), &items(&[(&tea, 3)]))
        .await
        .expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);

    world.until_status(&order.order_id, &["CONFIRMED"]).await;
    assert_eq!(world.books_balance(&tea, 9, &[&order.order_id]).await.available(), 8);
}

#[tokio::test]
async fn what_an_order_counts_on_is_not_released_behind_its_back() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 2)).await;
    world.until_status(&order.order_id, &["CONFIRMED"]).await;
    let shown = look_up(&world.operator, &order.order_id).await.expecting(StatusCode::OK).body;
    assert_eq!(
        (&shown["orderId"], &shown["status"]),
        (&json!(order.order_id), &json!("COMMITTED"))
    );
    let refused = release(&world.operator, &order.order_id).await;
    let refused = refused.expecting_problem(StatusCode::CONFLICT);
    assert_eq!(refused.body["type"], "urn:trackops:problem:reservation-conflict");
    assert!(refused.body["detail"].is_string(), "it says what to do instead: {refused:?}");
    world.books_balance(&tea, 5, &[&order.order_id]).await;
}

#[tokio::test]
async fn reservations_are_for_operators_and_invalid_ones_are_refused() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let one = items(&[(&tea, 1)]);
    reserve(&world.customer, None, &one).await.expecting_problem(StatusCode::FORBIDDEN);
    let held = id(&reserve(&world.operator, None, &one).await.expecting(StatusCode::CREATED));
    look_up(&world.customer, &held).await.expecting_problem(StatusCode::FORBIDDEN);
    release(&world.customer, &held).await.expecting_problem(StatusCode::FORBIDDEN);
    for unknown in ["nothing", "019f8c11-3a52-7c60-9d0e-5b7a1f2c4e68"] {
        look_up(&world.operator, unknown).await.expecting_problem(StatusCode::NOT_FOUND);
        release(&world.operator, unknown).await.expecting_problem(StatusCode::NOT_FOUND);
    }
    let mut short_lived = one.clone();
    short_lived["ttlSeconds"] = json!(59);
    let mut for_order = one;
    for_order["orderId"] = json!(held);
    for invalid in [short_lived, for_order, items(&[]), items(&[(&tea, 0)])] {
        let answer = reserve(&world.operator, None, &invalid).await;
        answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
    }
}

#[tokio::test]
async fn a_hold_is_released_in_the_version_that_was_seen_and_again_by_who_released_it() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let one = items(&[(&tea, 1)]);
    let held = id(&reserve(&world.operator, None, &one).await.expecting(StatusCode::CREATED));
    let release_at = async |name: &str, tag: &str| {
        let path = format!("/reservations/{held}");
        world.operator.ask_inventory(Method::DELETE, &path, Some((name, tag)), None).await
    };
    for (name, tag) in [("If-Match", "\"999\""), ("If-Match", "W/\"1\""), ("If-None-Match", "*")] {
        let refused = release_at(name, tag).await;
        refused.expecting_problem(StatusCode::PRECONDITION_FAILED);
    }
    let shown = look_up(&world.operator, &held).await.expecting(StatusCode::OK);
    assert_eq!(shown.body["status"], "HELD");
    let released = release_at("If-Match", "\"1\"").await.expecting(StatusCode::OK);
    assert_eq!(released.body["status"], "RELEASED");
    let again = release_at("If-Match", "\"1\"").await.expecting(StatusCode::OK);
    assert_eq!(again.body, released.body);
    let other = release_at("If-Match", "\"999\"").await;
    other.expecting_problem(StatusCode::PRECONDITION_FAILED);
    assert_eq!(world.operator.find_item(&tea).await.available_quantity, 5);
}

#[tokio::test]
async fn what_is_not_sold_is_refused_by_name_and_the_key_is_free_when_it_is() {
    let world = World::new().await;
    let (tea, pot, key) = (world.stock("TEA", 5).await, unique("POT"), unique("key"));
    let both = items(&[(&tea, 1), (&pot, 2)]);
    let refused = reserve(&world.operator, Some(&key), &both).await;
    let refused = refused.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.body["type"], "urn:trackops:problem:invalid-request");
    let expected =
        json!([{"pointer": "/items/1/productId", "detail": format!("there is no product {pot}")}]);
    assert_eq!(refused.body["errors"], expected);

    let item = json!({
        "productId": pot, "productName": "Pot", "unitPrice": "9.00", "currency": "EUR", "availableQuantity": 3,
    });
    world.operator.create_item(&item).await.expecting(StatusCode::CREATED);
    let held = reserve(&world.operator, Some(&key), &both).await.expecting(StatusCode::CREATED);
    release(&world.operator, &id(&held)).await.expecting(StatusCode::OK);

    let path = format!("/items/{pot}");
    world.operator.ask_inventory(Method::DELETE, &path, None, None).await.expecting(StatusCode::OK);
    let gone = reserve(&world.operator, None, &items(&[(&pot, 1)])).await;
    let gone = gone.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
    let detail = format!("product {pot} is not sold any more");
    assert_eq!(gone.body["errors"], json!([{"pointer": "/items/0/productId", "detail": detail}]));
}
