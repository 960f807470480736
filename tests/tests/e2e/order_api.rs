//! The rest of the orders API: lists, parts of an order, moving it on, its saga, health.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trackops_testkit::{Answer, Basket, Caller, Fault, World, eventually, unique};

async fn get(caller: &Caller, path: &str) -> Answer {
    caller.ask_orders(Method::GET, path, None, None).await
}

async fn list(caller: &Caller, query: &str) -> Answer {
    get(caller, &format!("/api/orders?{query}")).await
}

async fn move_on(caller: &Caller, id: &str, status: &str, if_match: Option<&str>) -> Answer {
    let header = if_match.map(|tag| ("If-Match", tag));
    let path = format!("/api/orders/{id}/status");
    caller.ask_orders(Method::PUT, &path, header, Some(&json!({"status": status}))).await
}

/// The ids of a page, and the cursor of the next.
fn page(answer: &Answer) -> (Vec<String>, Option<String>) {
    (each(answer, "orderId"), answer.body["nextCursor"].as_str().map(str::to_owned))
}

fn each(answer: &Answer, field: &str) -> Vec<String> {
    let items = answer.body["items"].as_array().expect("a page has items");
    let text = |item: &Value| item[field].as_str().map(str::to_owned);
    items.iter().map(|item| text(item).expect("an order has the field")).collect()
}

/// All pages; `between` is called after each page. Checks that the orders are sorted newest first.
async fn walk(caller: &Caller, query: &str, mut between: impl AsyncFnMut()) -> Vec<String> {
    let (mut walked, mut times, mut cursor) = (Vec::new(), Vec::new(), None::<String>);
    loop {
        let cursor_part = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let answer = list(caller, &format!("{query}{cursor_part}")).await.expecting(StatusCode::OK);
        let (ids, next) = page(&answer);
        walked.extend(ids);
        times.extend(each(&answer, "createdAt"));
        assert!(times.is_sorted_by(|a, b| a >= b), "not newest first: {times:?}");
        let Some(next) = next else { return walked };
        cursor = Some(next);
        between().await;
    }
}

#[tokio::test]
async fn a_walk_while_orders_are_placed_misses_none_that_was_there_and_repeats_none() {
    let world = World::new().await;
    let tea = world.stock("TEA", 100).await;
    let mut there = Vec::new();
    for _ in 0..5 {
        there.push(world.customer.order(&Basket::of(&tea, 1)).await);
    }
    let since = get(&world.customer, &format!("/api/orders/{}", there[0].order_id)).await;
    let since = since.body["createdAt"].as_str().expect("an order has createdAt").to_owned();
    for (caller, query) in [
        (&world.customer, "limit=2".to_owned()),
        (&world.operator, format!("limit=2&from={since}")),
    ] {
        let mut more = 2;
        let walked = walk(caller, &query, async || {
            if more > 0 {
                more -= 1;
                world.customer.order(&Basket::of(&tea, 1)).await;
            }
        })
        .await;
        let once: BTreeSet<_> = walked.iter().collect();
        assert_eq!(once.len(), walked.len(), "an order came twice in {walked:?}");
        for order in &there {
            assert!(once.contains(&order.order_id), "{} is missing", order.order_id);
        }
    }
}

#[tokio::test]
async fn lists_take_filters_and_refuse_what_they_do_not_know_all_at_once() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let first = world.customer.order(&Basket::of(&tea, 1)).await;
    let second = world.customer.order(&Basket::of(&tea, 9)).await;
    world.until_status(&first.order_id, &["CONFIRMED"]).await;
    world.until_status(&second.order_id, &["REJECTED"]).await;

    let own = format!("customerId={}", world.customer.id);
    for (query, expected) in [
        ("", vec![&second, &first]),
        ("status=CONFIRMED", vec![&first]),
        ("status=REJECTED&limit=1", vec![&second]),
        ("status=SHIPPED", vec![]),
        ("to=2020-01-01T00:00:00Z", vec![]),
        ("from=2020-01-01T00:00:00Z", vec![&second, &first]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|order| order.order_id.clone()).collect();
        let mine = walk(&world.customer, query, async || {}).await;
        assert_eq!(mine, expected, "{query}");
        let operators = walk(&world.operator, &format!("{own}&{query}"), async || {}).await;
        assert_eq!(operators, expected, "{query} by an operator");
    }

    let odd = "limit=0&status=LOST&from=yesterday&offset=3&to=2020-01-01T00:00:00Z&customerId=%07";
    let refused = list(&world.operator, odd).await;
    let refused = refused.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
    let errors = refused.body["errors"].as_array().expect("the errors are listed");
    let named: BTreeSet<_> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
    assert_eq!(named, BTreeSet::from(["limit", "status", "from", "offset", "customerId"]));
}

#[tokio::test]
async fn a_cursor_is_refused_for_another_caller_other_filters_or_changed() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    for _ in 0..2 {
        world.customer.order(&Basket::of(&tea, 1)).await;
    }
    let answer = list(&world.customer, "limit=1").await.expecting(StatusCode::OK);
    let (_, cursor) = page(&answer);
    let cursor = cursor.expect("there is a second page");
    let other = world.another_customer();
    let (with, changed) = (format!("cursor={cursor}"), format!("cursor=A{cursor}"));
    for (caller, query) in [
        (&other, with.clone()),
        (&world.operator, with.clone()),
        (&world.operator, format!("{with}&customerId={}", world.customer.id)),
        (&world.customer, format!("{with}&status=PENDING")),
        (&world.customer, changed),
        (&world.customer, "cursor=".to_owned()),
    ] {
        let refused = list(caller, &query).await;
        let refused = refused.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(refused.body["errors"][0]["pointer"], "cursor", "{query}");
    }
    list(&world.customer, &format!("{with}&limit=7")).await.expecting(StatusCode::OK);
}

/// The two answers are the same, except for headers that differ with every request.
#[track_caller]
fn assert_tells_no_more(theirs: &Answer, nobodys: &Answer) {
    let told = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        for each_time in ["x-correlation-id", "date", "x-amz-request-id", "x-amzn-requestid"] {
            headers.remove(each_time);
        }
        (answer.status, headers, answer.body.to_string())
    };
    assert_eq!(told(theirs), told(nobodys));
}

#[tokio::test]
async fn customers_neither_see_nor_change_nor_infer_each_others_orders() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 1)).await;
    let (id, other) = (&order.order_id, world.another_customer());
    let nobodys = "00000000-0000-7000-8000-000000000000";

    assert!(walk(&other, "", async || {}).await.is_empty());
    let asked = list(&other, &format!("customerId={}", world.customer.id)).await;
    asked.expecting_problem(StatusCode::FORBIDDEN);
    for path in ["", "/items", "/timeline", "/saga"] {
        for header in [None, Some(("If-None-Match", "*"))] {
            let theirs = format!("/api/orders/{id}{path}");
            let theirs = other.ask_orders(Method::GET, &theirs, header, None).await;
            let theirs = theirs.expecting_problem(StatusCode::NOT_FOUND);
            let none = format!("/api/orders/{nobodys}{path}");
            let none = other.ask_orders(Method::GET, &none, header, None).await;
            assert_tells_no_more(&theirs, &none);
        }
        get(&world.customer, &format!("/api/orders/{id}{path}")).await.expecting(StatusCode::OK);
    }
    for tag in ["\"1\"", "\"99\"", "*"] {
        let cancel = async |id: &str| {
            let path = format!("/api/orders/{id}");
            other.ask_orders(Method::DELETE, &path, Some(("If-Match", tag)), None).await
        };
        let theirs = cancel(id).await.expecting_problem(StatusCode::NOT_FOUND);
        assert_tells_no_more(&theirs, &cancel(nobodys).await);
    }
    for caller in [&other, &world.customer] {
        move_on(caller, id, "PROCESSING", None).await.expecting_problem(StatusCode::FORBIDDEN);
        let retry = format!("/api/orders/{id}/saga/retry");
        let retry = caller.ask_orders(Method::POST, &retry, None, None).await;
        retry.expecting_problem(StatusCode::FORBIDDEN);
    }
    // A key that somebody else has used names an order of one's own.
    let key = unique("key");
    let mine = other.order(&Basket::of(&tea, 1).under_key(&key)).await;
    let theirs = world.customer.order(&Basket::of(&tea, 1).under_key(&key)).await;
    assert_ne!(mine.order_id, theirs.order_id);
}

#[tokio::test]
async fn an_order_is_moved_on_stage_by_stage_and_shipping_takes_its_units_off_hand() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 2)).await;
    let id = &order.order_id;
    let confirmed = world.until_status(id, &["CONFIRMED"]).await;
    let operator = &world.operator;

    let skipped = move_on(operator, id, "SHIPPED", None).await;
    let skipped = skipped.expecting_problem(StatusCode::CONFLICT);
    let detail = skipped.body["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("CONFIRMED") && detail.contains("PROCESSING"), "{detail}");
    let lost = move_on(operator, id, "LOST", None).await;
    lost.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
    let nobodys = "00000000-0000-7000-8000-000000000000";
    let missing = move_on(operator, nobodys, "SHIPPED", None).await;
    missing.expecting_problem(StatusCode::NOT_FOUND);

    let tag = format!("\"{}\"", confirmed.version);
    for outdated in ["\"1\"", "\"99\""] {
        let answer = move_on(operator, id, "PROCESSING", Some(outdated)).await;
        answer.expecting_problem(StatusCode::PRECONDITION_FAILED);
    }
    let moved = move_on(operator, id, "PROCESSING", Some(&tag)).await.expecting(StatusCode::OK);
    assert_eq!(moved.order().status, "PROCESSING");
    let cancel = format!("/api/orders/{id}");
    let header = Some(("If-Match", tag.as_str()));
    let outdated = world.customer.ask_orders(Method::DELETE, &cancel, header, None).await;
    outdated.expecting_problem(StatusCode::PRECONDITION_FAILED);

    for stage in ["SHIPPED", "DELIVERED"] {
        for _ in 0..2 {
            let moved = move_on(operator, id, stage, None).await.expecting(StatusCode::OK);
            assert_eq!(moved.order().status, stage, "moving on is safe to repeat");
        }
    }
    operator.cancel(id).await.expecting_problem(StatusCode::CONFLICT);
    eventually("the units to leave the house", async || {
        let item = operator.find_item(&tea).await;
        let units = (item.on_hand_quantity, item.available_quantity, item.reserved_quantity);
        if units == (3, 3, 0) { Ok(()) } else { Err(format!("{units:?}")) }
    })
    .await;

    let timeline = get(operator, &format!("/api/orders/{id}/timeline")).await;
    let timeline = timeline.expecting(StatusCode::OK);
    let entries = timeline.body["entries"].as_array().expect("a timeline has entries");
    let told: Vec<_> = entries.iter().filter_map(|entry| entry["status"].as_str()).collect();
    assert_eq!(told, ["PENDING", "CONFIRMED", "PROCESSING", "SHIPPED", "DELIVERED"]);
    assert!(entries.iter().all(|entry| entry["at"].is_string()), "{entries:?}");
}

#[tokio::test]
async fn the_parts_of_an_order_are_not_sent_again_to_who_has_them() {
    let world = World::new().await;
    let (tea, cup) = (world.stock("TEA", 5).await, world.stock("CUP", 5).await);
    let order = world.customer.order(&Basket::of(&tea, 2).and(&cup, 1)).await;
    let id = &order.order_id;
    world.until_status(id, &["CONFIRMED"]).await;

    let items = get(&world.customer, &format!("/api/orders/{id}/items")).await;
    let items = items.expecting(StatusCode::OK);
    assert_eq!(items.body["orderId"], id.as_str());
    let lines = items.body["items"].as_array().expect("there are items");
    let line = |line: &Value| (line["productId"].clone(), line["lineTotal"].clone());
    let expected = [(json!(cup), json!("12.50")), (json!(tea), json!("25.00"))];
    assert_eq!(lines.iter().map(line).collect::<Vec<_>>(), expected);

    for part in ["", "/items", "/timeline", "/saga"] {
        let path = format!("/api/orders/{id}{part}");
        let seen = get(&world.customer, &path).await.expecting(StatusCode::OK);
        let tag = seen.header("etag").expect("an ETag").to_owned();
        let ask = async |tag: &str| {
            let header = Some(("If-None-Match", tag));
            world.customer.ask_orders(Method::GET, &path, header, None).await
        };
        let again = ask(&tag).await.expecting(StatusCode::NOT_MODIFIED);
        assert_eq!(again.body, json!(""), "{part}");
        ask("\"1\"").await.expecting(StatusCode::OK);
    }
}

#[tokio::test]
async fn an_operator_sees_where_a_saga_stands_and_runs_it_again() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    let stuck = Fault::of_function("start-saga", &id).until_lifted();
    let stuck = world.inject(stuck).await;
    world.customer.order(&basket).await;
    let path = format!("/api/orders/{id}/saga");
    let saga = get(&world.customer, &path).await.expecting(StatusCode::OK).body;
    assert_eq!((&saga["direction"], &saga["atRest"]), (&json!("FORWARD"), &json!(false)));
    assert!(saga["dueAt"].is_string() && saga["paymentDeadline"].is_string(), "{saga}");

    let retry = format!("{path}/retry");
    let retried = world.operator.ask_orders(Method::POST, &retry, None, None).await;
    retried.expecting(StatusCode::ACCEPTED);
    world.until_status(&id, &["CONFIRMED"]).await;
    stuck.lift();
    let saga = get(&world.customer, &path).await.expecting(StatusCode::OK).body;
    assert_eq!((&saga["atRest"], &saga["dueAt"]), (&json!(true), &Value::Null));
    let again = world.operator.ask_orders(Method::POST, &retry, None, None).await;
    let again = again.expecting_problem(StatusCode::CONFLICT);
    assert_eq!(again.body["detail"], "It is CONFIRMED; its saga has nothing left to do.");
    let nobodys = "/api/orders/00000000-0000-7000-8000-000000000000/saga/retry";
    let nobodys = world.operator.ask_orders(Method::POST, nobodys, None, None).await;
    nobodys.expecting_problem(StatusCode::NOT_FOUND);
    world.books_balance(&tea, 5, &[&id]).await;
}

#[tokio::test]
async fn the_health_of_orders_is_told_part_by_part() {
    let world = World::new().await;
    let health = get(&world.stranger(None), "/actuator/health").await.expecting(StatusCode::OK);
    let up = json!({"status": "UP"});
    let components = json!({"table": up, "backlog": up, "saga": up, "bus": up});
    assert_eq!(health.body, json!({"status": "UP", "components": components}));
}
