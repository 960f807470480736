//! What operators do to products and their stock.

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trackops_domain::event::Data;
use trackops_domain::event::data::InventoryLowStock;
use trackops_domain::{Cause, Event, Timestamp};
use trackops_testkit::{Answer, Basket, Caller, World, eventually, unique};

async fn change(caller: &Caller, sku: &str, if_match: Option<u64>, body: Value) -> Answer {
    let tag = if_match.map(|version| format!("\"{version}\""));
    let header = tag.as_deref().map(|tag| ("If-Match", tag));
    caller.ask_inventory(Method::PUT, &format!("/items/{sku}"), header, Some(&body)).await
}

async fn discontinue(caller: &Caller, sku: &str) -> Answer {
    caller.ask_inventory(Method::DELETE, &format!("/items/{sku}"), None, None).await
}

fn adjustment(quantity: i64) -> Value {
    json!({"adjustment": {"quantity": quantity, "reason": "counted"}})
}

#[tokio::test]
async fn a_changed_product_is_shown_and_sold_as_changed() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let body = json!({
        "productName": "Green tea", "unitPrice": "20.00", "category": "drinks", "minStockLevel": 2,
        "adjustment": {"quantity": 3, "reason": "found behind the shelf"},
    });
    let changed = change(&world.operator, &tea, Some(1), body.clone()).await;
    let changed = changed.expecting(StatusCode::OK);
    assert_eq!(changed.header("etag"), Some("\"2\""));
    let shown = world.operator.look_up_item(&tea).await.expecting(StatusCode::OK).body;
    assert_eq!(shown, changed.body);
    assert_eq!(
        (&shown["productName"], &shown["unitPrice"], &shown["category"]),
        (&json!("Green tea"), &json!("20.00"), &json!("drinks"))
    );
    assert_eq!((&shown["onHandQuantity"], &shown["availableQuantity"]), (&json!(8), &json!(8)));

    let other = json!({"productName": "Black tea"});
    let outdated = change(&world.operator, &tea, Some(1), other).await;
    outdated.expecting_problem(StatusCode::PRECONDITION_FAILED);
    change(&world.customer, &tea, None, body).await.expecting_problem(StatusCode::FORBIDDEN);
    eventually("orders to be at the new price", async || {
        let order = world.customer.order(&Basket::of(&tea, 1)).await;
        world.cancel(&order.order_id).await;
        if order.total_amount == "20.00" { Ok(()) } else { Err(order.total_amount) }
    })
    .await;
}

#[tokio::test]
async fn stock_is_adjusted_and_never_below_what_is_promised() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 2)).await;
    world.until_status(&order.order_id, &["CONFIRMED"]).await;

    let too_much = change(&world.operator, &tea, None, adjustment(-4)).await;
    let too_much = too_much.expecting_problem(StatusCode::CONFLICT);
    assert_eq!(too_much.body["type"], "urn:trackops:problem:stock-conflict");
    assert_eq!(too_much.body["detail"], "only 3 are promised to nobody.");
    change(&world.operator, &tea, None, adjustment(-3)).await.expecting(StatusCode::OK);
    let item = world.operator.find_item(&tea).await;
    assert_eq!((item.on_hand_quantity, item.available_quantity, item.reserved_quantity), (2, 0, 2));

    for refused in [
        json!({"availableQuantity": 9}),
        json!({"currency": "USD"}),
        json!({"unitPrice": "1.001"}),
        json!({"adjustment": {"quantity": 0, "reason": "none"}}),
        json!({"minStockLevel": 9, "maxStockLevel": 8}),
    ] {
        let answer = change(&world.operator, &tea, None, refused).await;
        answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let nothing = change(&world.operator, "NO-SUCH-THING", None, adjustment(1)).await;
    nothing.expecting_problem(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn of_two_hundred_changes_to_a_version_at_once_exactly_one_wins_each() {
    let world = World::new().await;
    let tea = world.stock("TEA", 0).await;
    for round in 1..=5 {
        let at_once = (0..40).map(|_| change(&world.operator, &tea, Some(round), adjustment(1)));
        let answers = join_all(at_once).await;
        let won = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
        assert_eq!(won, 1, "won version {round}");
        for lost in answers.into_iter().filter(|answer| answer.status != StatusCode::OK) {
            lost.expecting_problem(StatusCode::PRECONDITION_FAILED);
        }
        let item = world.operator.look_up_item(&tea).await.body;
        assert_eq!((&item["version"], &item["onHandQuantity"]), (&json!(round + 1), &json!(round)));
    }
}

/// Adds one unit, with an idempotency key, so that the request may be repeated until it is answered.
async fn counted_in(operator: &Caller, sku: &str) {
    let (path, key) = (format!("/items/{sku}"), unique("count"));
    let header = Some(("Idempotency-Key", key.as_str()));
    eventually("a unit to be counted in", async || {
        let body = adjustment(1);
        let answer = operator.ask_inventory(Method::PUT, &path, header, Some(&body)).await;
        // Too many other requests changed the item, for as long as a function may run.
        if answer.status.is_server_error() {
            return Err(format!("{answer:?}"));
        }
        answer.expecting(StatusCode::OK);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn adjustments_without_a_version_all_count_also_while_orders_take_units() {
    let world = World::new().await;
    let tea = world.stock("TEA", 10).await;
    let basket = Basket::of(&tea, 1);
    let adjusting = join_all((0..10).map(|_| counted_in(&world.operator, &tea)));
    let ordering = join_all((0..5).map(|_| world.customer.order(&basket)));
    let (_, orders) = futures::join!(adjusting, ordering);
    let ids: Vec<&str> = orders.iter().map(|order| order.order_id.as_str()).collect();
    for id in &ids {
        world.until_status(id, &["CONFIRMED"]).await;
    }
    assert_eq!(world.books_balance(&tea, 20, &ids).await.available(), 15);
}

#[tokio::test]
async fn a_discontinued_product_is_not_sold_and_a_reserved_one_is_not_discontinued() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 2)).await;
    world.until_status(&order.order_id, &["CONFIRMED"]).await;
    discontinue(&world.customer, &tea).await.expecting_problem(StatusCode::FORBIDDEN);
    let reserved = discontinue(&world.operator, &tea).await;
    let reserved = reserved.expecting_problem(StatusCode::CONFLICT);
    assert_eq!(reserved.body["type"], "urn:trackops:problem:stock-conflict");
    assert_eq!(reserved.body["detail"], "2 are reserved.");

    world.cancel(&order.order_id).await;
    world.until_status(&order.order_id, &["CANCELLED"]).await;
    let gone = discontinue(&world.operator, &tea).await.expecting(StatusCode::OK);
    assert_eq!(gone.body["discontinued"], true);
    let again = discontinue(&world.operator, &tea).await.expecting(StatusCode::OK);
    assert_eq!(again.body, gone.body, "discontinuing is safe to repeat");
    discontinue(&world.operator, "NO-SUCH-THING").await.expecting_problem(StatusCode::NOT_FOUND);
    eventually("orders to hear of it", async || {
        let answer = world.customer.place(&Basket::of(&tea, 1)).await;
        match answer.status {
            StatusCode::UNPROCESSABLE_ENTITY => Ok(()),
            status => Err(status.to_string()),
        }
    })
    .await;
}

/// Asks for new totals: kept totals may be half a minute old.
async fn totals(caller: &Caller) -> Answer {
    let header = Some(("Cache-Control", "no-cache"));
    caller.ask_inventory(Method::GET, "/health", header, None).await
}

#[tokio::test]
async fn totals_follow_what_is_stocked_reserved_and_discontinued() {
    // So many units that the changes of other tests do not matter.
    const HEAP: i64 = 900_000_000;
    const NOISE: i64 = 10_000_000;
    let world = World::new().await;
    let count = async |field: &str| {
        let totals = totals(&world.operator).await.expecting(StatusCode::OK);
        totals.body[field].as_i64().unwrap_or_else(|| panic!("no {field} in {}", totals.body))
    };
    let changed = async |field: &str, before: i64, by: i64| {
        eventually(&format!("{field} to change by about {by}"), async || {
            let now = count(field).await - before;
            if (now - by).abs() < NOISE { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    };
    let (on_hand, available, reserved, discontinued) = (
        count("onHandQuantity").await,
        count("availableQuantity").await,
        count("reservedQuantity").await,
        count("discontinuedItems").await,
    );
    let sand = world.stock("SAND", HEAP).await;
    changed("onHandQuantity", on_hand, HEAP).await;

    let body = json!({"items": [{"productId": sand, "quantity": HEAP / 3}]});
    let held = world.operator.ask_inventory(Method::POST, "/reservations", None, Some(&body)).await;
    let held = held.expecting(StatusCode::CREATED).body;
    changed("reservedQuantity", reserved, HEAP / 3).await;
    changed("availableQuantity", available, HEAP - HEAP / 3).await;

    let id = held["reservationId"].as_str().expect("a reservation has an id");
    let path = format!("/reservations/{id}");
    world.operator.ask_inventory(Method::DELETE, &path, None, None).await.expecting(StatusCode::OK);
    discontinue(&world.operator, &sand).await.expecting(StatusCode::OK);
    changed("onHandQuantity", on_hand, 0).await;
    assert!(count("discontinuedItems").await > discontinued, "it is not counted as discontinued");
}

#[tokio::test]
async fn totals_are_for_operators_and_may_be_kept_for_a_while() {
    let world = World::new().await;
    world.stock("TEA", 0).await;
    totals(&world.customer).await.expecting_problem(StatusCode::FORBIDDEN);
    totals(&world.stranger(None)).await.expecting_problem(StatusCode::UNAUTHORIZED);
    let totals = totals(&world.operator).await.expecting(StatusCode::OK);
    assert_eq!(totals.header("cache-control"), Some("private, max-age=30"));
    let shown = totals.body.as_object().expect("totals are an object");
    let fields: Vec<_> = shown.keys().map(String::as_str).collect();
    let expected = [
        "availableQuantity",
        "computedAt",
        "discontinuedItems",
        "lowStockItems",
        "onHandQuantity",
        "outOfStockItems",
        "reservedQuantity",
        "totalItems",
        "unreadableItems",
    ];
    assert_eq!(fields, expected);
    let count = |field: &str| shown[field].as_u64().expect("a count is a number");
    assert_eq!(count("onHandQuantity"), count("availableQuantity") + count("reservedQuantity"));
    // A product that is out of stock is low, whatever its minimum.
    assert!(count("outOfStockItems") >= 1 && count("lowStockItems") >= count("outOfStockItems"));
    assert!(count("totalItems") >= count("lowStockItems"));
}

#[tokio::test]
async fn the_health_of_inventory_is_told_part_by_part() {
    let world = World::new().await;
    let url = format!("{}/actuator/health", world.system.inventory);
    let answer = world.http.get(&url).send().await.expect("inventory answers");
    assert_eq!(answer.status(), StatusCode::OK);
    let health: Value = answer.json().await.expect("health is JSON");
    let up = json!({"status": "UP"});
    let components = json!({"table": up, "backlog": up, "lists": up});
    assert_eq!(health, json!({"status": "UP", "components": components}));
}

#[tokio::test]
async fn a_product_that_becomes_low_is_told_to_whoever_orders_new_stock() {
    let world = World::new().await;
    let queue = world.subscribe_to_low_stock().await;
    let tea = world.stock("TEA", 5).await;
    let minimum = json!({"minStockLevel": 4, "reorderQuantity": 50});
    change(&world.operator, &tea, None, minimum).await.expecting(StatusCode::OK);
    let order = world.customer.order(&Basket::of(&tea, 2)).await;
    world.until_status(&order.order_id, &["CONFIRMED"]).await;
    let told = eventually("the topic to tell of it", async || {
        let received = world.queues.receive_message().queue_url(&queue).send().await;
        let received = received.expect("the queue can be read").messages.unwrap_or_default();
        let bodies = received.into_iter().filter_map(|message| message.body);
        bodies.into_iter().find(|body| body.contains(&tea)).ok_or_else(|| "nothing".to_owned())
    })
    .await;
    let told: Value = serde_json::from_str(&told).expect("SNS wraps it in JSON");
    assert_eq!(told["Subject"], json!(format!("Low stock: {tea}")));
    let message = told["Message"].as_str().expect("a message");
    assert!(message.contains("3 units are available, the minimum is 4"), "{message}");
    assert!(message.contains("Reorder quantity: 50"), "{message}");
}

#[tokio::test]
async fn a_change_of_price_that_makes_a_product_low_says_both_and_a_subscriber_hears_of_it_once() {
    let world = World::new().await;
    let queue = world.subscribe_to_low_stock().await;
    let tea = world.stock("TEA", 5).await;
    let body = json!({"unitPrice": "20.00", "minStockLevel": 4, "adjustment": adjustment(-2)["adjustment"]});
    let changed = change(&world.operator, &tea, None, body).await.expecting(StatusCode::OK);
    assert_eq!(changed.body["version"], 3, "each event has a version of its own");
    // As the bus may do: the same event three times more, and at the end an event of another product.
    let low = |sku: &str, version: u64| {
        let cause = Cause { correlation_id: "test".into(), ..Cause::default() };
        let about = InventoryLowStock {
            adjustment: None,
            available_quantity: 3,
            min_stock_level: 4,
            product_id: sku.parse().expect("a SKU"),
            reorder_quantity: None,
        };
        let (key, data) = (format!("STOCK#{sku}"), Data::InventoryLowStock(about));
        let event = Event::raised(&key, sku.into(), version, Timestamp::now(), &cause, data);
        let kind = event.kind;
        json!({"source": kind.source(), "detail-type": kind, "detail": event})
    };
    let mut seen = Vec::new();
    let mut until = async |sku: &str| {
        eventually("the topic to tell of it", async || {
            let received = world.queues.receive_message().queue_url(&queue).send().await;
            let received = received.expect("the queue can be read").messages.unwrap_or_default();
            for message in received {
                seen.extend(message.body);
                let receipt = message.receipt_handle.expect("a receipt");
                let delete = world.queues.delete_message().queue_url(&queue);
                delete.receipt_handle(receipt).send().await.expect("it can be deleted");
            }
            let told = seen.iter().filter(|body| body.contains(sku)).count();
            if told > 0 { Ok(told) } else { Err("nothing".to_owned()) }
        })
        .await
    };
    until(&tea).await;
    for _ in 0..3 {
        world.deliver("notify-low-stock", &low(&tea, 3)).await;
    }
    let cup = unique("CUP");
    world.deliver("notify-low-stock", &low(&cup, 1)).await;
    until(&cup).await;
    assert_eq!(until(&tea).await, 1, "it was told again");
}

#[tokio::test]
async fn customers_see_whether_a_product_is_there_and_not_how_much_others_took() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let hidden = [
        "onHandQuantity",
        "availableQuantity",
        "reservedQuantity",
        "minStockLevel",
        "maxStockLevel",
        "reorderQuantity",
        "isLowStock",
        "needsReordering",
        "updatedAt",
        "version",
    ];
    let shown = world.customer.look_up_item(&tea).await.expecting(StatusCode::OK).body;
    assert_eq!((&shown["isOutOfStock"], &shown["unitPrice"]), (&json!(false), &json!("12.50")));
    let page = world.customer.ask_inventory(Method::GET, "/items?limit=5", None, None).await;
    let page = page.expecting(StatusCode::OK).body;
    let listed = page["items"].as_array().expect("a page has items").iter();
    for item in listed.chain([&shown]) {
        assert!(hidden.iter().all(|field| item[field].is_null()), "{item}");
    }
    let low = world.customer.ask_inventory(Method::GET, "/items?lowStock=true", None, None).await;
    low.expecting_problem(StatusCode::FORBIDDEN);

    let tag = async || {
        let shown = world.customer.look_up_item(&tea).await.expecting(StatusCode::OK);
        shown.header("etag").expect("it has one").to_owned()
    };
    let before = tag().await;
    let id = world.customer.order(&Basket::of(&tea, 2)).await.order_id;
    world.until_status(&id, &["CONFIRMED"]).await;
    assert_eq!(tag().await, before, "it tells that somebody has ordered");
}
