//! Walking through the lists of inventory.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trackops_testkit::{Answer, Caller, World, eventually, unique};

async fn list(caller: &Caller, list: &str, query: &str) -> Answer {
    caller.ask_inventory(Method::GET, &format!("/{list}?{query}"), None, None).await
}

/// Every entry's `id`, page by page; `between` is called after each page.
async fn walk(
    caller: &Caller,
    name: &str,
    query: &str,
    id: &str,
    between: impl AsyncFn(),
) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = list(caller, name, &format!("{query}{cursor}")).await;
        let page = page.expecting(StatusCode::OK).body;
        let entries = page["items"].as_array().expect("a page has items");
        let text = |entry: &Value| entry[id].as_str().expect("an entry has an id").to_owned();
        seen.extend(entries.iter().map(text));
        between().await;
        let Some(next) = page["nextCursor"].as_str() else { return seen };
        cursor = format!("&cursor={next}");
    }
}

async fn add(world: &World, sku: &str, category: &str) {
    let item = json!({
        "productId": sku, "productName": sku, "unitPrice": "1.00", "currency": "EUR",
        "availableQuantity": 5, "category": category,
    });
    world.operator.create_item(&item).await.expecting(StatusCode::CREATED);
}

#[tokio::test]
async fn a_walk_through_the_catalogue_misses_none_and_repeats_none_while_products_are_added() {
    let world = World::new().await;
    let category = unique("category");
    let mut skus: Vec<String> = (0..9).map(|_| unique("WALK")).collect();
    skus.sort_unstable();
    for sku in &skus {
        add(&world, sku, &category).await;
    }
    let query = format!("category={category}&limit=2");
    eventually("all of them to be listed", async || {
        let seen = walk(&world.customer, "items", &query, "productId", async || {}).await;
        if seen == skus { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    let add_another = async || add(&world, &unique("WALK"), &category).await;
    let mut seen = walk(&world.customer, "items", &query, "productId", add_another).await;
    assert!(seen.is_sorted(), "{seen:?}");
    let walked = seen.len();
    seen.dedup();
    assert_eq!(seen.len(), walked, "repeated");
    assert!(skus.iter().all(|sku| seen.contains(sku)), "missed: {seen:?}");
}

#[tokio::test]
async fn reservations_are_listed_by_product_status_and_order() {
    let world = World::new().await;
    let tea = world.stock("TEA", 9).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        let body = json!({"items": [{"productId": tea, "quantity": 1}]});
        let held =
            world.operator.ask_inventory(Method::POST, "/reservations", None, Some(&body)).await;
        let held = held.expecting(StatusCode::CREATED).body;
        made.push(held["reservationId"].as_str().expect("it has an id").to_owned());
    }
    let path = format!("/reservations/{}", made[1]);
    world.operator.ask_inventory(Method::DELETE, &path, None, None).await.expecting(StatusCode::OK);
    made.reverse();
    let walk = async |query: String| {
        walk(&world.operator, "reservations", &query, "reservationId", async || {}).await
    };
    eventually("all of them to be listed", async || {
        let seen = walk(format!("productId={tea}&limit=1")).await;
        if seen == made { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    let released = walk(format!("productId={tea}&status=RELEASED")).await;
    assert_eq!(released, made[1..2]);
    assert!(walk(format!("orderId={}", made[0])).await.is_empty(), "it is for no order");
    list(&world.customer, "reservations", "").await.expecting_problem(StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_filters_and_caller_only() {
    let world = World::new().await;
    let category = unique("category");
    for _ in 0..2 {
        add(&world, &unique("CURSOR"), &category).await;
    }
    let cursor = eventually("a list of more than a page", async || {
        let page = list(&world.operator, "items", &format!("category={category}&limit=1")).await;
        let next = page.body["nextCursor"].as_str().map(str::to_owned);
        next.ok_or_else(|| page.body.to_string())
    })
    .await;
    let own = format!("category={category}&cursor={cursor}");
    list(&world.operator, "items", &own).await.expecting(StatusCode::OK);
    for (caller, name, query) in [
        (&world.customer, "items", own.clone()),
        (&world.operator, "items", format!("category=other&cursor={cursor}")),
        (&world.operator, "reservations", format!("cursor={cursor}")),
        (&world.operator, "items", format!("{own}x")),
        (&world.operator, "items", "limit=0".into()),
        (&world.operator, "items", "lowStock=maybe".into()),
        (&world.operator, "items", "offset=3".into()),
        (&world.operator, "reservations", "status=held".into()),
    ] {
        let answer = list(caller, name, &query).await;
        answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
    }
}
