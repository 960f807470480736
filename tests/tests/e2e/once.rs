//! A change that is requested again is made only once and gets the first answer, whatever has happened since.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trackops_testkit::{Answer, Basket, Caller, Fault, World, unique};

type Header<'a> = Option<(&'a str, &'a str)>;

async fn change(caller: &Caller, sku: &str, header: Header<'_>, body: &Value) -> Answer {
    caller.ask_inventory(Method::PUT, &format!("/items/{sku}"), header, Some(body)).await
}

async fn discontinue(caller: &Caller, sku: &str, header: Header<'_>) -> Answer {
    caller.ask_inventory(Method::DELETE, &format!("/items/{sku}"), header, None).await
}

async fn move_on(caller: &Caller, id: &str, status: &str, header: Header<'_>) -> Answer {
    let path = format!("/api/orders/{id}/status");
    caller.ask_orders(Method::PUT, &path, header, Some(&json!({"status": status}))).await
}

async fn cancel(caller: &Caller, id: &str, header: Header<'_>) -> Answer {
    caller.ask_orders(Method::DELETE, &format!("/api/orders/{id}"), header, None).await
}

fn adjustment(quantity: i64) -> Value {
    json!({"adjustment": {"quantity": quantity, "reason": "counted"}})
}

#[track_caller]
fn assert_same(again: &Answer, first: &Answer) {
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("etag"), first.header("etag"));
}

#[track_caller]
fn assert_reused(answer: Answer) {
    let answer = answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.body["type"], "urn:trackops:problem:idempotency-key-reused");
}

#[tokio::test]
async fn an_adjustment_under_a_key_is_made_once_whatever_is_changed_before_it_comes_again() {
    let world = World::new().await;
    let (tea, key) = (world.stock("TEA", 10).await, unique("key"));
    let (keyed, five) = (Some(("Idempotency-Key", key.as_str())), adjustment(5));
    let first = change(&world.operator, &tea, keyed, &five).await.expecting(StatusCode::OK);
    assert_eq!(
        (&first.body["onHandQuantity"], first.header("idempotent-replayed")),
        (&json!(15), None)
    );
    change(&world.operator, &tea, None, &adjustment(1)).await.expecting(StatusCode::OK);
    for _ in 0..2 {
        let again = change(&world.operator, &tea, keyed, &five).await;
        assert_same(&again, &first);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
    assert_eq!(world.operator.find_item(&tea).await.on_hand_quantity, 16);

    // The key is of one request of one caller.
    let cup = world.stock("CUP", 1).await;
    assert_reused(change(&world.operator, &tea, keyed, &adjustment(6)).await);
    assert_reused(change(&world.operator, &cup, keyed, &five).await);
    let token = world.system.token("service", "another").expect("a token");
    let another = world.stranger(Some(&token));
    change(&another, &tea, keyed, &five).await.expecting(StatusCode::OK);
    assert_eq!(world.operator.find_item(&tea).await.on_hand_quantity, 21);
}

#[tokio::test]
async fn a_refused_adjustment_is_not_kept_and_is_made_when_it_can_be() {
    let world = World::new().await;
    let (tea, key) = (world.stock("TEA", 1).await, unique("key"));
    let keyed = Some(("Idempotency-Key", key.as_str()));
    let refused = change(&world.operator, &tea, keyed, &adjustment(-5)).await;
    refused.expecting_problem(StatusCode::CONFLICT);
    change(&world.operator, &tea, None, &adjustment(9)).await.expecting(StatusCode::OK);
    for _ in 0..2 {
        let made = change(&world.operator, &tea, keyed, &adjustment(-5)).await;
        assert_eq!(made.expecting(StatusCode::OK).body["onHandQuantity"], 5);
    }
}

#[tokio::test]
async fn an_adjustment_is_made_once_when_the_tables_answer_is_lost() {
    let world = World::new().await;
    let tea = world.stock("TEA", 10).await;
    for (times, operation) in [(1, "TransactWriteItems"), (4, "TransactWriteItems")] {
        let before = world.operator.find_item(&tea).await.on_hand_quantity;
        let lost = Fault::of_dynamodb(operation, &tea, "InternalServerError").with_status(500);
        let lost = world.inject(lost.after().times(times)).await;
        change(&world.operator, &tea, None, &adjustment(5)).await.expecting(StatusCode::OK);
        assert_eq!(lost.hits().await, times as u64, "the answer was not lost");
        let now = world.operator.find_item(&tea).await.on_hand_quantity;
        assert_eq!(now - before, 5, "after {times} lost answers");
    }
}

#[tokio::test]
async fn a_product_is_added_under_a_key_once_and_its_repetition_is_told_so() {
    let world = World::new().await;
    let (tea, key) = (unique("TEA"), unique("key"));
    let keyed = Some(("Idempotency-Key", key.as_str()));
    let item = json!({
        "productId": tea, "productName": "Tea", "unitPrice": "1.00", "currency": "EUR", "availableQuantity": 9,
    });
    let add = async |item: &Value| {
        world.operator.ask_inventory(Method::POST, "/items", keyed, Some(item)).await
    };
    let first = add(&item).await.expecting(StatusCode::CREATED);
    change(&world.operator, &tea, None, &adjustment(1)).await.expecting(StatusCode::OK);
    let again = add(&item).await;
    assert_same(&again, &first);
    assert_eq!(again.header("location"), first.header("location"));
    let mut other = item.clone();
    other["productName"] = json!("Green tea");
    assert_reused(add(&other).await);
    let twice = world.operator.create_item(&item).await;
    twice.expecting_problem(StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_status_set_under_a_key_is_answered_as_it_was_also_when_the_order_has_gone_on() {
    let world = World::new().await;
    let (tea, key) = (world.stock("TEA", 5).await, unique("key"));
    let keyed = Some(("Idempotency-Key", key.as_str()));
    let order = world.customer.order(&Basket::of(&tea, 1)).await;
    let id = &order.order_id;
    world.until_status(id, &["CONFIRMED"]).await;
    let first = move_on(&world.operator, id, "PROCESSING", keyed).await.expecting(StatusCode::OK);
    world.cancel(id).await;
    world.until_status(id, &["CANCELLED"]).await;
    let again = move_on(&world.operator, id, "PROCESSING", keyed).await;
    assert_same(&again, &first);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let new = move_on(&world.operator, id, "PROCESSING", None).await;
    new.expecting_problem(StatusCode::CONFLICT);
    assert_reused(move_on(&world.operator, id, "SHIPPED", keyed).await);
}

#[tokio::test]
async fn whoever_made_a_change_of_a_version_of_an_order_is_answered_so_again_and_nobody_else() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 1)).await;
    let id = &order.order_id;
    let tag = |version: u64| format!("\"{version}\"");
    let confirmed = tag(world.until_status(id, &["CONFIRMED"]).await.version);
    let confirmed = Some(("If-Match", confirmed.as_str()));
    let moved = move_on(&world.operator, id, "PROCESSING", confirmed).await;
    let moved = moved.expecting(StatusCode::OK);
    let processing = moved.header("etag").expect("an ETag").to_owned();
    let processing = Some(("If-Match", processing.as_str()));
    let first = cancel(&world.customer, id, processing).await.expecting(StatusCode::ACCEPTED);
    world.until_status(id, &["CANCELLED"]).await;

    assert_same(&cancel(&world.customer, id, processing).await, &first);
    assert_same(&move_on(&world.operator, id, "PROCESSING", confirmed).await, &moved);
    for answer in [
        cancel(&world.operator, id, processing).await,
        cancel(&world.customer, id, confirmed).await,
        move_on(&world.operator, id, "SHIPPED", confirmed).await,
    ] {
        answer.expecting_problem(StatusCode::PRECONDITION_FAILED);
    }
}

#[tokio::test]
async fn a_change_of_a_version_of_a_product_is_answered_again_unless_it_might_be_another() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let named = json!({"productName": "Green tea", "unitPrice": "3.00"});
    let at = |tag| Some(("If-Match", tag));
    let first = change(&world.operator, &tea, at("\"1\""), &named).await.expecting(StatusCode::OK);
    change(&world.operator, &tea, None, &json!({"unitPrice": "4.00"}))
        .await
        .expecting(StatusCode::OK);
    assert_same(&change(&world.operator, &tea, at("\"1\""), &named).await, &first);
    let price = world.operator.find_item(&tea).await.unit_price;
    assert_eq!(price, "4.00", "it was set again");

    // Two adjustments that are alike may be two.
    change(&world.operator, &tea, at("\"3\""), &adjustment(1)).await.expecting(StatusCode::OK);
    let second = change(&world.operator, &tea, at("\"3\""), &adjustment(1)).await;
    second.expecting_problem(StatusCode::PRECONDITION_FAILED);

    let gone = discontinue(&world.operator, &tea, at("\"4\"")).await.expecting(StatusCode::OK);
    change(&world.operator, &tea, None, &adjustment(1)).await.expecting(StatusCode::OK);
    assert_same(&discontinue(&world.operator, &tea, at("\"4\"")).await, &gone);
    for other in ["\"1\"", "\"99\""] {
        let other = discontinue(&world.operator, &tea, at(other)).await;
        other.expecting_problem(StatusCode::PRECONDITION_FAILED);
    }
}
