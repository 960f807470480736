//! An old version reads what a newer version has stored: during a deployment, or after a deployment was rolled back.

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::{Method, StatusCode};
use serde_json::json;
use trackops_testkit::{Basket, Fault, World, eventually};

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn schema(number: u32) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The attributes that a later version has added to a row.
async fn grow(world: &World, table: &str, key: &str) {
    eventually(&format!("{key} to be there"), async || {
        world.row(table, key).await.map(drop).ok_or_else(|| "it is not".to_owned())
    })
    .await;
    world.set(table, key, "schema", schema(9)).await;
    world.set(table, key, "of_a_later_version", text("kept")).await;
}

async fn has_kept_it(world: &World, table: &str, key: &str) {
    let row = world.row(table, key).await.unwrap_or_else(|| panic!("{key} is gone"));
    assert_eq!(row["of_a_later_version"], text("kept"), "{key}");
    assert_eq!(row["schema"], schema(9), "{key}");
}

#[tokio::test]
async fn the_whole_flow_runs_over_items_of_a_later_version_and_loses_nothing_of_them() {
    let world = World::new().await;
    let tea = world.stock("TEA", 9).await;
    let (stock, product) = (format!("STOCK#{tea}"), format!("PRODUCT#{tea}"));
    grow(&world, "InventoryTable", &stock).await;

    // The order waits for its payment, so that it is changed again after the new attributes are added.
    let basket = Basket::of(&tea, 2).paying_with("tok_pending_ok");
    let id = world.customer.order(&basket).await.order_id;
    world.until_status(&id, &["AWAITING_PAYMENT", "CONFIRMED"]).await;
    let rows = [
        ("OrdersTable", format!("ORDER#{id}")),
        ("OrdersTable", product),
        ("InventoryTable", format!("RES#{id}")),
        ("PaymentsTable", format!("PAY#{id}")),
    ];
    for (table, key) in &rows {
        grow(&world, table, key).await;
    }
    world.until_status(&id, &["CONFIRMED"]).await;
    for status in ["PROCESSING", "SHIPPED", "DELIVERED"] {
        let path = format!("/api/orders/{id}/status");
        let body = json!({ "status": status });
        let moved = world.operator.ask_orders(Method::PUT, &path, None, Some(&body)).await;
        assert_eq!(moved.expecting(StatusCode::OK).order().status, status);
    }
    eventually("the units to leave", async || {
        let row = world.row("InventoryTable", &rows[2].1).await.expect("it is there");
        if row["state"] == text("SHIPPED") { Ok(()) } else { Err(format!("{:?}", row["state"])) }
    })
    .await;

    // The way back, over the same stock and product.
    let second = world.customer.order(&Basket::of(&tea, 3)).await.order_id;
    world.until_status(&second, &["CONFIRMED"]).await;
    let payment = format!("PAY#{second}");
    grow(&world, "PaymentsTable", &payment).await;
    world.cancel(&second).await;
    world.until_status(&second, &["CANCELLED"]).await;
    assert_eq!(world.account(&tea, &second).await.taken, 0);

    let all = rows.iter().map(|(table, key)| (*table, key.as_str()));
    for (table, key) in all.chain([("InventoryTable", &*stock), ("PaymentsTable", &*payment)]) {
        has_kept_it(&world, table, key).await;
    }
}

#[tokio::test]
async fn an_order_whose_reservation_this_version_cannot_judge_is_late_and_never_given_up() {
    let world = World::new().await;
    let tea = world.stock("TEA", 9).await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2).paying_with("tok_pending_ok"));
    // The provider's own answer would come too early or too late.
    let silent = world.inject(Fault::of_function("simulate-provider", &id).until_lifted()).await;
    world.customer.order(&basket).await;
    world.until_status(&id, &["AWAITING_PAYMENT"]).await;
    let reservation = format!("RES#{id}");
    world.set("InventoryTable", &reservation, "schema", schema(2)).await;
    world.set("InventoryTable", &reservation, "state", text("PICKED")).await;

    let told = world.provider_says(&id, "PAID").await;
    assert!(told.status.is_success(), "{told:?}");
    world.run_saga(&id).await;
    let lines = json!([{"sku": tea, "quantity": 2}]);
    for (step, more) in [
        (
            "reserve-inventory",
            json!({"lines": lines, "paymentDeadline": "2100-01-01T00:00:00.000Z"}),
        ),
        ("commit-reservation", json!({})),
        ("release-inventory", json!({})),
    ] {
        let mut input = json!({"orderId": id, "cause": {"correlationId": "a test"}});
        input.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        let failed = world.invoke(step, input).await.expect_err("it cannot be judged");
        assert!(failed.contains("\"Busy\""), "{step}: {failed}");
    }
    let order = world.operator.find(&id).await;
    assert_eq!((order.status.as_str(), order.reason), ("AWAITING_PAYMENT", None));

    // The newer version is deployed again, and has done its work.
    world.set("InventoryTable", &reservation, "state", text("HELD")).await;
    world.recover_until(&id, &["CONFIRMED"]).await;
    silent.lift();
}

#[tokio::test]
async fn an_order_that_this_version_cannot_judge_is_asked_for_later_and_named_in_lists() {
    let world = World::new().await;
    let tea = world.stock("TEA", 9).await;
    let first = world.customer.order(&Basket::of(&tea, 1)).await.order_id;
    let second = world.customer.order(&Basket::of(&tea, 1)).await.order_id;
    for id in [&first, &second] {
        world.until_status(id, &["CONFIRMED"]).await;
    }
    let key = format!("ORDER#{first}");
    world.set("OrdersTable", &key, "schema", schema(2)).await;
    world.set("OrdersTable", &key, "status", text("ON_HOLD")).await;
    let asked = world.customer.look_up(&first).await;
    let asked = asked.expecting_problem(StatusCode::SERVICE_UNAVAILABLE);
    assert!(asked.header("retry-after").is_some());
    world.customer.cancel(&first).await.expecting_problem(StatusCode::SERVICE_UNAVAILABLE);
    let list = world.customer.ask_orders(Method::GET, "/api/orders", None, None).await;
    let list = list.expecting(StatusCode::OK).body;
    assert_eq!(list["unreadable"], json!([first]));
    let items = list["items"].as_array().expect("items");
    assert_eq!(items.iter().map(|item| &item["orderId"]).collect::<Vec<_>>(), [&json!(second)]);

    world.set("OrdersTable", &key, "status", text("CONFIRMED")).await;
    world.cancel(&first).await;
    world.until_status(&first, &["CANCELLED"]).await;
}
