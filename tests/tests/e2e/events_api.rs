//! Events that cannot be published, and events that are sent again, as an operator sees and handles them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trackops_testkit::{Answer, Basket, Fault, SeenEvent, World, eventually, unique};

async fn get(world: &World, path: &str) -> Value {
    world.operator.ask_relay(Method::GET, path, None).await.expecting(StatusCode::OK).body
}

async fn post(world: &World, path: &str, body: Value) -> Answer {
    world.operator.ask_relay(Method::POST, path, Some(&body)).await
}

/// The entry of an event in the list of unpublished events, read page by page; `query` begins with `&`.
async fn unprocessed(world: &World, query: &str, event_id: &str) -> Option<Value> {
    let mut cursor = String::new();
    loop {
        let page = get(world, &format!("/unprocessed?limit=2{query}{cursor}")).await;
        let items = page["items"].as_array().expect("a page has items");
        assert!(items.len() <= 2, "{page}");
        if let Some(entry) = items.iter().find(|entry| entry["eventId"] == event_id) {
            return Some(entry.clone());
        }
        cursor = format!("&cursor={}", page["nextCursor"].as_str()?);
    }
}

/// Waits until the event is listed as parked.
async fn parked(world: &World, event_id: &str) -> Value {
    eventually(&format!("{event_id} to be parked"), async || {
        let query = "&source=trackops.orders&parked=true";
        unprocessed(world, query, event_id).await.ok_or_else(|| "it is not listed".into())
    })
    .await
}

/// Requests that an event is processed; returns the outcome and the events that were published.
async fn process(world: &World, event_id: &str) -> (String, Vec<String>) {
    let answer = post(world, "/process", json!({"eventId": event_id})).await;
    let body = answer.expecting(StatusCode::OK).body;
    assert_eq!(body["eventId"], event_id);
    let published = body["published"].as_array().into_iter().flatten();
    let published = published.filter_map(|id| Some(id.as_str()?.to_owned())).collect();
    (body["outcome"].as_str().unwrap_or_default().to_owned(), published)
}

fn of_order(seen: &[SeenEvent]) -> Vec<&str> {
    let of_order = seen.iter().filter(|event| event.source == "trackops.orders");
    of_order.map(|event| event.id.as_str()).collect()
}

#[tokio::test]
async fn an_event_that_the_bus_never_takes_keeps_only_those_behind_it_waiting_until_it_is_taken() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let mut events = world.tap_events().await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    let [first, second] = [1, 2].map(|version| format!("ORDER#{id}#{version}"));
    let refusing = Fault::of_the_bus(&id).until_lifted().refusing_with("MalformedDetail");
    let refusing = world.inject(refusing).await;
    world.customer.order(&basket).await;
    let entry = parked(&world, &first).await;
    assert_eq!(entry["type"], "order.created", "{entry}");
    assert_eq!(entry["aggregate"], format!("ORDER#{id}"), "{entry}");
    assert!(entry["attempts"].as_u64().is_some_and(|attempts| attempts > 0), "{entry}");
    assert_eq!(entry["lastError"]["code"], "MalformedDetail", "{entry}");

    let neighbour = world.customer.order(&Basket::of(&tea, 1)).await.order_id;
    world.until_status(&neighbour, &["CONFIRMED"]).await;

    world.cancel(&id).await;
    let waiting = unprocessed(&world, "&type=order.status.updated", &second).await;
    let waiting = waiting.expect("what is behind it is listed");
    assert_eq!(waiting["waitsFor"], first, "{waiting}");
    assert_eq!((&waiting["parked"], &waiting["attempts"]), (&json!(false), &json!(0)));

    let stopped = post(&world, "/process", json!({"eventId": second})).await;
    let stopped = stopped.expecting(StatusCode::OK).body;
    assert_eq!((&stopped["outcome"], &stopped["published"]), (&json!("PARKED"), &json!([])));
    assert_eq!(stopped["stoppedAt"]["eventId"], first, "{stopped}");
    refusing.lift();
    let (outcome, published) = process(&world, &second).await;
    assert_eq!((outcome.as_str(), published), ("PUBLISHED", vec![first.clone(), second.clone()]));
    assert_eq!(process(&world, &first).await, ("ALREADY_PUBLISHED".to_owned(), Vec::new()));
    assert!(unprocessed(&world, "&parked=true", &first).await.is_none(), "still parked");

    world.until_status(&id, &["CANCELLED"]).await;
    let seen = events.until("all of the order", &id, |seen| of_order(seen).len() >= 3).await;
    assert_eq!(of_order(&seen)[..2], [&first, &second]);
    world.books_balance(&tea, 5, &[&id, &neighbour]).await;
    events.close().await;
}

#[tokio::test]
async fn an_event_that_is_given_up_lets_those_behind_it_go_and_says_who_did_it_and_why() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let mut events = world.tap_events().await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    let [first, second] = [1, 2].map(|version| format!("ORDER#{id}#{version}"));
    let refusing = Fault::of_the_bus(&first).until_lifted().refusing_with("MalformedDetail");
    let refusing = world.inject(refusing).await;
    world.customer.order(&basket).await;
    parked(&world, &first).await;
    world.cancel(&id).await;

    let discard = async |event_id: &str, reason: &str| {
        post(&world, "/discard", json!({"eventId": event_id, "reason": reason})).await
    };
    let refused = discard(&second, "no").await.expecting_problem(StatusCode::CONFLICT);
    assert_eq!(refused.body["type"], "urn:trackops:problem:event-not-parked");
    let discarded = discard(&first, "nobody needs it").await.expecting(StatusCode::OK).body;
    assert_eq!(discarded["reason"], "nobody needs it");
    assert!(discarded["discardedBy"].as_str().is_some_and(|by| !by.is_empty()), "{discarded}");
    let again = discard(&first, "another reason").await.expecting(StatusCode::OK).body;
    assert_eq!(again, discarded, "the first reason stays");
    assert_eq!(process(&world, &first).await.0, "DISCARDED");

    world.until_status(&id, &["CANCELLED"]).await;
    let told = |seen: &[SeenEvent]| of_order(seen).contains(&second.as_str());
    let seen = events.until("what was behind it", &id, told).await;
    assert!(!of_order(&seen).contains(&first.as_str()), "it was told: {seen:?}");
    discard(&second, "no").await.expecting_problem(StatusCode::CONFLICT);
    refusing.lift();
    world.books_balance(&tea, 5, &[&id]).await;
    events.close().await;
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn entry(attributes: &[(&str, &str)]) -> AttributeValue {
    let all = attributes.iter().map(|(name, value)| ((*name).to_owned(), text(value)));
    AttributeValue::M(all.collect::<HashMap<_, _>>())
}

/// An event of a type that only a newer version knows.
fn archived(id: &str, subject: &str) -> AttributeValue {
    let time = "2026-11-28T12:00:00.000Z";
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/trackops.orders", "type": "order.archived",
        "subject": subject, "time": time, "sequence": 1, "correlationid": "newer", "data": {},
    });
    entry(&[("id", id), ("type", "order.archived"), ("time", time), ("body", &event.to_string())])
}

/// An item with this outbox, as a newer version might have stored it.
async fn leave_behind(world: &World, pk: &str, outbox: Vec<AttributeValue>) {
    let put = world.dynamo.put_item().table_name(world.system.output("OrdersTable"));
    let put = put.item("pk", text(pk)).item("version", AttributeValue::N("9".into()));
    let put = put.item("outbox", AttributeValue::L(outbox)).item("unpublished", text("0"));
    let put = put.item("unpublished_since", text("2026-11-28T12:00:00.000Z"));
    put.send().await.expect("the item is put");
}

async fn clear_away(world: &World, pk: &str) {
    let delete = world.dynamo.delete_item().table_name(world.system.output("OrdersTable"));
    delete.key("pk", text(pk)).send().await.expect("the item is deleted");
}

#[tokio::test]
async fn an_event_of_a_type_that_this_version_does_not_know_is_told_as_it_is() {
    let world = World::new().await;
    let mut events = world.tap_events().await;
    let id = trackops_domain::OrderId::generate().to_string();
    let pk = format!("ORDER#{id}");
    let event_id = format!("{pk}#1");
    let refusing = world.inject(Fault::of_the_bus(&id).until_lifted()).await;
    leave_behind(&world, &pk, vec![archived(&event_id, &id)]).await;
    let listed = eventually("it to be listed as refused", async || {
        let entry = unprocessed(&world, "&source=trackops.orders", &event_id).await;
        entry.filter(|entry| entry["attempts"] != 0).ok_or_else(|| "it is not".into())
    })
    .await;
    assert_eq!(listed["type"], "order.archived", "{listed}");
    assert_eq!(listed["source"], "trackops.orders", "{listed}");
    let stats = get(&world, "/stats").await;
    let waiting = stats["unpublished"]["byType"].as_array().cloned().unwrap_or_default();
    assert!(waiting.iter().any(|it| it["type"] == "order.archived"), "{stats}");

    refusing.lift();
    world.sweep("OrdersTable", &pk).await;
    let seen = events.until("the event", &id, |seen| !seen.is_empty()).await;
    assert_eq!((seen[0].kind.as_str(), &*seen[0].source), ("order.archived", "trackops.orders"));
    eventually("it to be told and forgotten", async || {
        let row = world.row("OrdersTable", &pk).await.expect("it is there");
        if row.contains_key("outbox") { Err("it is not".into()) } else { Ok(()) }
    })
    .await;
    clear_away(&world, &pk).await;
    events.close().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_listed_and_parked_and_holds_up_nobody_but_its_own_item() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let mut events = world.tap_events().await;
    let id = trackops_domain::OrderId::generate().to_string();
    let pk = format!("ORDER#{id}");
    let [first, odd, behind] = [1, 2, 3].map(|version| format!("{pk}#{version}"));
    let outbox = vec![
        archived(&first, &id),
        entry(&[("id", &odd), ("type", "order.archived"), ("time", "at noon")]),
        archived(&behind, &id),
    ];
    leave_behind(&world, &pk, outbox).await;
    let seen = events.until("what is before it", &id, |seen| !seen.is_empty()).await;
    assert_eq!(seen[0].id, first);
    let listed = parked(&world, &odd).await;
    assert_eq!(listed["lastError"]["code"], "Unreadable", "{listed}");
    let stats = get(&world, "/stats").await;
    assert!(stats["parked"]["events"].as_u64().is_some_and(|events| events > 0), "{stats}");
    assert_eq!(process(&world, &behind).await, ("PARKED".to_owned(), Vec::new()));
    let swept = world.invoke("sweep-outbox", json!({"olderThanSeconds": 0})).await;
    if let Ok(swept) = swept {
        assert!(swept["parked"].as_u64().is_some_and(|parked| parked > 0), "{swept}");
    }
    let order = world.customer.order(&Basket::of(&tea, 1)).await.order_id;
    world.until_status(&order, &["CONFIRMED"]).await;
    post(&world, "/process-all", json!({"source": "trackops.orders"}))
        .await
        .expecting(StatusCode::OK);

    let given_up = json!({"eventId": odd, "reason": "a newer version has to tell it"});
    post(&world, "/discard", given_up).await.expecting(StatusCode::OK);
    // The stream may have been faster.
    let behind = process(&world, &behind).await.0;
    assert!(["PUBLISHED", "ALREADY_PUBLISHED"].contains(&behind.as_str()), "{behind}");
    let seen = events.until("what was behind it", &id, |seen| seen.len() > 1).await;
    assert!(seen.iter().all(|event| event.id != odd), "{seen:?}");
    clear_away(&world, &pk).await;
    world.books_balance(&tea, 5, &[&order]).await;
    events.close().await;
}

#[tokio::test]
async fn a_projection_that_missed_an_event_is_right_again_after_a_replay() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let basket = Basket::of(&tea, 1).paying_with("tok_declined");
    let id = world.customer.order(&basket).await.order_id;
    world.until_status(&id, &["REJECTED"]).await;
    let told = ["payment.failed", "inventory.released"];
    let noted = world.until_noted(&world.customer, &id, &told).await;
    let product = format!("PRODUCT#{tea}");
    let right = world.row("OrdersTable", &product).await.expect("orders know the product");

    // As if the events had ended as dead letters, and somebody had deleted those.
    clear_away(&world, &format!("NOTES#{id}")).await;
    let stale = world.dynamo.update_item().table_name(world.system.output("OrdersTable"));
    let stale = stale.key("pk", text(&product));
    let stale = stale.update_expression("SET unit_price = :old, #sequence = :old");
    let stale = stale.expression_attribute_names("#sequence", "sequence");
    let stale = stale.expression_attribute_values(":old", AttributeValue::N("0".into()));
    stale.send().await.expect("the product is stale");

    let replay =
        async |body: Value| post(&world, "/replay", body).await.expecting(StatusCode::OK).body;
    let would = replay(json!({"productIds": [tea, "NO-SUCH-THING"]})).await;
    assert_eq!(would["byType"], json!({"inventory.item.updated": 1}), "{would}");
    assert_eq!(would["unknownProductIds"], json!(["NO-SUCH-THING"]), "{would}");
    replay(json!({"productIds": [tea], "dryRun": false})).await;
    for source in ["trackops.inventory", "trackops.payments"] {
        let did = replay(json!({"source": source, "orderIds": [id], "dryRun": false})).await;
        assert_eq!(did["stoppedAt"], json!([]), "{did}");
    }
    assert_eq!(world.until_noted(&world.customer, &id, &told).await, noted);
    eventually("the price to be right again", async || {
        let product = world.row("OrdersTable", &product).await.unwrap_or_default();
        let price = product.get("unit_price");
        if price == right.get("unit_price") { Ok(()) } else { Err(format!("{product:?}")) }
    })
    .await;
    world.books_balance(&tea, 5, &[&id]).await;
}

#[tokio::test]
async fn everything_that_waits_is_published_at_once_when_an_operator_asks() {
    let world = World::new().await;
    let tea = world.stock("TEA", 9).await;
    let (basket, id) = world.customer.keyed(Basket::of(&tea, 2));
    let refusing = world.inject(Fault::of_the_bus(&id).until_lifted()).await;
    world.customer.order(&basket).await;
    let first = format!("ORDER#{id}#1");
    let entry = eventually("the refusal to be noted", async || {
        let entry = unprocessed(&world, "&type=order.created", &first).await;
        entry.filter(|entry| entry["attempts"] != 0).ok_or_else(|| "no attempt".into())
    })
    .await;
    assert_eq!(entry["lastError"]["code"], "ThrottlingException", "{entry}");
    assert_eq!(entry["parked"], false, "{entry}");
    assert!(entry["lastError"]["message"].is_null(), "a word of the inside: {entry}");
    let stats = get(&world, "/stats").await;
    assert!(stats["unpublished"]["events"].as_u64().is_some_and(|events| events > 0), "{stats}");
    refusing.lift();

    let mut wanted = json!({"batchSize": 1, "type": "order.created", "source": "trackops.orders"});
    loop {
        let answer = post(&world, "/process-all", wanted.clone()).await;
        let done = answer.expecting(StatusCode::OK).body;
        assert_eq!(done["more"], !done["nextCursor"].is_null(), "{done}");
        if done["more"] == false {
            break;
        }
        wanted["cursor"] = done["nextCursor"].clone();
    }
    assert!(unprocessed(&world, "&type=order.created", &first).await.is_none(), "it still waits");
    world.until_status(&id, &["CONFIRMED"]).await;
    let published = get(&world, "/stats?days=1").await["published"]["byType"].clone();
    let of_type =
        published.as_array().into_iter().flatten().find(|it| it["type"] == "order.created");
    let of_type = of_type.unwrap_or_else(|| panic!("not counted: {published}"));
    assert_eq!(of_type["bus"], "eventbridge");
    world.books_balance(&tea, 9, &[&id]).await;
}

#[tokio::test]
async fn a_replayed_order_is_told_again_with_a_mark_and_changes_nothing() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let mut events = world.tap_events().await;
    let order = world.customer.order(&Basket::of(&tea, 2)).await;
    let id = order.order_id;
    let confirmed = world.until_status(&id, &["CONFIRMED"]).await;
    let ids = [1, 2].map(|version| format!("ORDER#{id}#{version}"));
    // Each may come more than once: the operator of another test publishes everything that waits.
    let both = |seen: &[SeenEvent]| ids.iter().all(|id| of_order(seen).contains(&id.as_str()));
    events.until("both changes", &id, both).await;

    let replay =
        async |body: Value| post(&world, "/replay", body).await.expecting(StatusCode::OK).body;
    let would = replay(json!({"orderIds": [id]})).await;
    assert_eq!(would["dryRun"], true, "{would}");
    let named = |answer: &Value| -> Vec<String> {
        let events = answer["events"].as_array().into_iter().flatten();
        events.filter_map(|event| Some(event["eventId"].as_str()?.to_owned())).collect()
    };
    assert_eq!(named(&would), ids);
    let did = replay(json!({"orderIds": [id], "dryRun": false})).await;
    assert_eq!((named(&did), &did["dryRun"]), (ids.to_vec(), &json!(false)));
    let is_replayed = |it: &&SeenEvent| it.envelope["replay"] == true;
    let both = |seen: &[SeenEvent]| seen.iter().filter(is_replayed).count() == 2;
    let seen = events.until("both again", &id, both).await;
    let (again, first): (Vec<_>, Vec<_>) = seen.iter().partition(is_replayed);
    assert_eq!([&again[0].id, &again[1].id], [&ids[0], &ids[1]]);
    for replayed in again {
        let told = first.iter().find(|it| it.id == replayed.id).expect("it was told before");
        let marks = [",\"replay\":true}", ", \"replay\": true}"];
        let unmarked = marks.iter().find_map(|mark| replayed.text.strip_suffix(mark));
        let unmarked = unmarked.unwrap_or_else(|| panic!("the mark is not last: {replayed:?}"));
        assert_eq!(format!("{unmarked}}}"), told.text);
    }
    world.books_balance(&tea, 5, &[&id]).await;
    assert_eq!(world.operator.find(&id).await.version, confirmed.version);

    // The same by time and type, page by page.
    let from = order.updated_at;
    let mut wanted =
        json!({"from": from, "placedFrom": from, "types": ["order.created"], "batchSize": 1});
    loop {
        let page = replay(wanted.clone()).await;
        let named = named(&page);
        assert!(named.iter().all(|id| id.ends_with("#1")), "{page}");
        if named.contains(&ids[0]) {
            break;
        }
        assert_eq!(page["more"], true, "it is not in the range: {page}");
        wanted["cursor"] = page["nextCursor"].clone();
    }
    events.close().await;
}

#[tokio::test]
async fn a_dead_letter_is_sent_to_its_consumer_again() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let mut events = world.tap_events().await;
    let id = world.customer.order(&Basket::of(&tea, 2)).await.order_id;
    world.until_status(&id, &["CONFIRMED"]).await;
    let seen = events.until("its first event", &id, |seen| !of_order(seen).is_empty()).await;
    let created = seen.iter().find(|event| event.kind == "order.created").expect("it is told");
    let (mut envelope, mark) = (created.envelope.clone(), unique("dead-letter"));
    envelope["correlationid"] = json!(mark);
    let message =
        json!({"source": created.source, "detail-type": created.kind, "detail": envelope});
    let queue = world.system.output("StartSagaDeadLetterQueueUrl");
    let sent = world.queues.send_message().queue_url(queue).message_body(message.to_string());
    sent.send().await.expect("the dead-letter queue takes a message");
    let count = async || {
        let queues = get(&world, "/dead-letters").await;
        let queues = queues["items"].as_array().cloned().unwrap_or_default();
        let of_saga = queues.iter().find(|queue| queue["queue"] == "start-saga");
        of_saga.and_then(|queue| queue["messages"].as_u64()).expect("start-saga has one")
    };
    assert!(count().await > 0);

    let received = world.inject(Fault::of_function("start-saga", &mark).after()).await;
    let redrive = json!({"queue": "start-saga", "count": 1000});
    let redriven = post(&world, "/dead-letters/redrive", redrive).await;
    let redriven = redriven.expecting(StatusCode::OK).body;
    assert!(redriven["moved"].as_u64().is_some_and(|moved| moved > 0), "{redriven}");
    assert_eq!((&redriven["failed"], &redriven["more"]), (&json!(0), &json!(false)));
    received.struck(1).await;
    assert_eq!(count().await, 0, "it was not deleted");
    world.books_balance(&tea, 5, &[&id]).await;
    events.close().await;
}

#[tokio::test]
async fn only_operators_see_and_touch_events() {
    let world = World::new().await;
    let (nobody, body) = (world.stranger(None), json!({}));
    for (method, path) in [
        (Method::GET, "/unprocessed"),
        (Method::GET, "/stats"),
        (Method::GET, "/dead-letters"),
        (Method::POST, "/process"),
        (Method::POST, "/process-all"),
        (Method::POST, "/discard"),
        (Method::POST, "/replay"),
        (Method::POST, "/dead-letters/redrive"),
    ] {
        let body = (method == Method::POST).then_some(&body);
        let answer = world.customer.ask_relay(method.clone(), path, body).await;
        answer.expecting_problem(StatusCode::FORBIDDEN);
        let answer = nobody.ask_relay(method, path, body).await;
        answer.expecting_problem(StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_all_that_is_wrong() {
    let world = World::new().await;
    for (path, body, pointers) in [
        ("/process", json!({"eventId": "7"}), vec!["/eventId"]),
        ("/process-all", json!({"batchSize": 0, "type": "x"}), vec!["/batchSize", "/type"]),
        ("/process-all", json!({"cursor": "x"}), vec!["cursor"]),
        ("/discard", json!({"eventId": "7", "reason": ""}), vec!["/eventId", "/reason"]),
        ("/replay", json!({"batchSize": 0}), vec!["/from", "/batchSize"]),
        ("/dead-letters/redrive", json!({"queue": "x", "count": 0}), vec!["/queue", "/count"]),
    ] {
        let answer = post(&world, path, body).await;
        let answer = answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
        let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
        assert_eq!(errors.iter().map(|it| &it["pointer"]).collect::<Vec<_>>(), pointers, "{path}");
    }
    for query in ["limit=0", "source=orders", "type=order", "parked=maybe", "offset=1", "cursor=x"]
    {
        let path = format!("/unprocessed?{query}");
        let answer = world.operator.ask_relay(Method::GET, &path, None).await;
        answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let unknown = format!("ORDER#{}#1", "019f8c11-3a52-7c60-9d0e-5b7a1f2c4e68");
    let answer = post(&world, "/process", json!({"eventId": unknown})).await;
    let answer = answer.expecting_problem(StatusCode::NOT_FOUND);
    assert_eq!(answer.body["type"], "urn:trackops:problem:event-not-found");
}
