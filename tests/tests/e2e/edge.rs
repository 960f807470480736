//! Answers that do not come from an endpoint: wrong methods and paths, pages of other origins, too many requests at
//! once.

use futures::future::join_all;
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trackops_testkit::{Answer, Basket, CORS_ORIGIN, Fault, World, eventually, unique};

const ELSEWHERE: &str = "https://elsewhere.example";
const NOBODYS: &str = "00000000-0000-7000-8000-000000000000";

async fn ask(world: &World, method: Method, url: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = world.http.request(method.clone(), url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::read(format!("{method} {url}"), request).await
}

/// The problem's name, after a check that it has only the fields of a problem.
fn problem(answer: &Answer) -> String {
    let body = answer.body.as_object().unwrap_or_else(|| panic!("no problem: {answer:?}"));
    for field in body.keys() {
        assert!(["type", "title", "status", "detail"].contains(&field.as_str()), "{answer:?}");
    }
    let media_type = answer.header("content-type");
    assert_eq!(media_type, Some("application/problem+json"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    let kind = body["type"].as_str().and_then(|kind| kind.strip_prefix("urn:trackops:problem:"));
    kind.unwrap_or_else(|| panic!("no problem of ours: {answer:?}")).to_owned()
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_told_which_it_takes() {
    let world = World::new().await;
    let system = world.system;
    let token = world.customer.authorization();
    let order = format!("/api/orders/{NOBODYS}");
    for (api, path, method, allowed) in [
        (&system.orders, "/api/orders", Method::PUT, "GET, HEAD, POST, OPTIONS"),
        (&system.orders, &order, Method::PATCH, "DELETE, GET, HEAD, OPTIONS"),
        (&system.orders, "/actuator/health", Method::POST, "GET, HEAD, OPTIONS"),
        (
            &system.inventory,
            "/api/inventory/items/TEA",
            Method::POST,
            "DELETE, GET, HEAD, PUT, OPTIONS",
        ),
        (&system.payments, "/api/payments/webhook", Method::GET, "POST, OPTIONS"),
        (&system.relay, "/actuator/health", Method::DELETE, "GET, HEAD, OPTIONS"),
    ] {
        let url = format!("{api}{path}");
        for headers in [&[][..], &[("Authorization", token.as_str())]] {
            let answer = ask(&world, method.clone(), &url, headers).await;
            let answer = answer.expecting_problem(StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(problem(&answer), "method-not-allowed");
            assert_eq!(answer.header("allow"), Some(allowed), "{answer:?}");
            assert!(answer.header("x-correlation-id").is_some(), "{answer:?}");
        }
        let options = ask(&world, Method::OPTIONS, &url, &[]).await;
        let options = options.expecting(StatusCode::NO_CONTENT);
        assert_eq!(options.header("allow"), Some(allowed), "{options:?}");
    }
}

#[tokio::test]
async fn head_gets_the_headers_of_get_and_no_body() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 1)).await.order_id;
    world.until_status(&order, &["CONFIRMED"]).await;
    let system = world.system;
    let paths = [
        format!("{}/actuator/health", system.orders),
        format!("{}/actuator/health", system.relay),
        format!("{}/api/openapi.json", system.payments),
        format!("{}/api/docs", system.inventory),
        format!("{}/api/orders/{order}", system.orders),
        format!("{}/api/orders/{order}/timeline", system.orders),
        format!("{}/api/orders/{NOBODYS}", system.orders),
        format!("{}/api/orders?limit=abc", system.orders),
        format!("{}/api/inventory/items/{tea}", system.inventory),
        format!("{}/api/payments/webhook", system.payments),
    ];
    for url in paths {
        let asked = async |method: Method| {
            let request = world.http.request(method, &url).header("x-correlation-id", "j1");
            let request = request.header("authorization", world.customer.authorization());
            request.send().await.expect("it answers")
        };
        // The first may be answered by a function that has just started; both are as good.
        let (got, head) = (asked(Method::GET).await, asked(Method::HEAD).await);
        assert_eq!(head.status(), got.status(), "{url}");
        let headers = |headers: &HeaderMap| {
            let mut names: Vec<_> =
                headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            names.retain(|(name, _)| !["date", "content-length"].contains(&name.as_str()));
            names.retain(|(name, _)| !name.as_str().starts_with("x-amz"));
            names.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
            names
        };
        assert_eq!(headers(head.headers()), headers(got.headers()), "{url}");
        if let Some(length) = head.headers().get("content-length") {
            assert_eq!(Some(length), got.headers().get("content-length"), "{url}");
        }
        assert!(head.bytes().await.expect("it ends").is_empty(), "{url}");
    }
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_not_found_whoever_asks_and_how() {
    let world = World::new().await;
    let system = world.system;
    let token = world.operator.authorization();
    for api in [&system.orders, &system.inventory, &system.payments, &system.relay] {
        for path in ["/", "/api", "/api/nothing", "/api/orders/a/b/c", "/actuator"] {
            let url = format!("{api}{path}");
            for method in [Method::GET, Method::POST, Method::OPTIONS] {
                for headers in [&[][..], &[("Authorization", token.as_str())]] {
                    let answer = ask(&world, method.clone(), &url, headers).await;
                    let answer = answer.expecting_problem(StatusCode::NOT_FOUND);
                    assert_eq!(problem(&answer), "not-found");
                }
            }
        }
    }
}

/// The headers that a browser looks at.
fn cors(headers: &HeaderMap) -> Vec<&HeaderName> {
    let mut cors: Vec<_> = headers.keys().collect();
    cors.retain(|name| name.as_str().starts_with("access-control-"));
    cors
}

#[tokio::test]
async fn a_page_of_our_origin_may_ask_what_a_path_takes_and_others_may_not() {
    let world = World::new().await;
    let url = format!("{}/api/orders", world.system.orders);
    let preflight = async |origin| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
        ask(&world, Method::OPTIONS, &url, &headers).await
    };
    let ours = preflight(CORS_ORIGIN).await.expecting(StatusCode::NO_CONTENT);
    assert_eq!(ours.header("access-control-allow-origin"), Some(CORS_ORIGIN));
    assert_eq!(ours.header("access-control-allow-methods"), Some("GET, HEAD, POST, OPTIONS"));
    assert_eq!(ours.header("access-control-max-age"), Some("7200"));
    assert_eq!(ours.header("vary"), Some("Origin"));
    let taken = ours.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
    let taken: Vec<&str> = taken.split(", ").collect();
    for name in ["authorization", "content-type", "idempotency-key", "if-match", "if-none-match"] {
        assert!(taken.contains(&name), "{name} is not in {taken:?}");
    }
    for origin in [ELSEWHERE, "null", "https://shop.example.evil.example", "http://shop.example"] {
        // The runner refuses them before the API does: what the API says, `shared/lambda/src/cors.rs` tests.
        let theirs = preflight(origin).await.expecting(StatusCode::FORBIDDEN);
        assert!(cors(&theirs.headers).is_empty(), "{origin}: {:?}", theirs.headers);
    }
    let programs = ask(&world, Method::OPTIONS, &url, &[]).await.expecting(StatusCode::NO_CONTENT);
    assert!(cors(&programs.headers).is_empty(), "{:?}", programs.headers);
    assert_eq!(programs.header("vary"), Some("Origin"));
}

#[tokio::test]
async fn a_page_of_our_origin_may_read_every_answer_also_a_refusal_and_a_failure() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let system = world.system;
    let token = world.customer.authorization();
    let item = format!("{}/api/inventory/items/{tea}", system.inventory);
    let order = format!("{}/api/orders/{NOBODYS}", system.orders);
    let nowhere = format!("{}/nowhere", system.relay);
    let failing = unique("failing");
    let _fault = world.inject(Fault::of_function("get-item", &failing).until_lifted()).await;
    let failing = format!("{}/api/inventory/items/{failing}", system.inventory);
    for (method, url, status) in [
        (Method::GET, &item, StatusCode::OK),
        (Method::GET, &order, StatusCode::NOT_FOUND),
        (Method::POST, &order, StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, &nowhere, StatusCode::NOT_FOUND),
        (Method::GET, &failing, StatusCode::BAD_GATEWAY),
    ] {
        let headers = [("Authorization", token.as_str()), ("Origin", CORS_ORIGIN)];
        let answer = ask(&world, method.clone(), url, &headers).await.expecting(status);
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, Some(CORS_ORIGIN), "{answer:?}");
        if status != StatusCode::BAD_GATEWAY {
            let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
            for name in
                ["ETag", "Location", "X-Correlation-Id", "Retry-After", "Idempotent-Replayed"]
            {
                assert!(exposed.split(", ").any(|exposed| exposed == name), "{name}: {answer:?}");
            }
            assert_eq!(answer.header("vary"), Some("Origin"), "{answer:?}");
            let headers = [("Authorization", token.as_str())];
            let answer = ask(&world, method, url, &headers).await.expecting(status);
            assert!(cors(&answer.headers).is_empty(), "{answer:?}");
        }
    }
    let unauthorized = ask(&world, Method::GET, &item, &[("Origin", CORS_ORIGIN)]).await;
    let unauthorized = unauthorized.expecting_problem(StatusCode::UNAUTHORIZED);
    assert_eq!(unauthorized.header("access-control-allow-origin"), Some(CORS_ORIGIN));
}

#[tokio::test]
async fn a_function_that_fails_is_a_problem_that_says_nothing_of_the_inside() {
    let world = World::new().await;
    let sku = unique("failing");
    let fault = Fault::of_function("get-item", &sku).raising("SecretOfTheInside").until_lifted();
    let _fault = world.inject(fault).await;
    let answer = world.customer.look_up_item(&sku).await.expecting(StatusCode::BAD_GATEWAY);
    assert_eq!(problem(&answer), "internal-error");
    assert_eq!(answer.body.as_object().map(serde_json::Map::len), Some(2), "{answer:?}");
}

#[tokio::test]
async fn the_relay_tells_its_health_to_anyone_and_not_without_end() {
    let world = World::new().await;
    let url = format!("{}/actuator/health", world.system.relay);
    let answer = ask(&world, Method::GET, &url, &[]).await.expecting(StatusCode::OK);
    assert_eq!(answer.body["status"], "UP", "{answer:?}");
    for part in ["bus", "orders", "inventory", "payments"] {
        assert_eq!(answer.body["components"][part]["status"], "UP", "{answer:?}");
    }
    let throttled = eventually("a request to be throttled", async || {
        let at_once = (0..100).map(|_| {
            let request = world.http.get(&url).header("Origin", CORS_ORIGIN);
            Answer::read_once(format!("GET {url}"), request)
        });
        let answers = join_all(at_once).await;
        let throttled = answers.into_iter().find(|answer| answer.status != StatusCode::OK);
        throttled.ok_or_else(|| "a hundred at once that passed".to_owned())
    })
    .await
    .expecting_problem(StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(problem(&throttled), "throttled");
    assert_eq!(throttled.header("retry-after"), Some("1"));
    assert_eq!(throttled.header("access-control-allow-origin"), Some(CORS_ORIGIN));
    assert_eq!(throttled.header("access-control-expose-headers"), Some("Retry-After"));
    eventually("it to pass again", async || {
        let answer = ask(&world, Method::GET, &url, &[]).await;
        if answer.status == StatusCode::OK { Ok(()) } else { Err(answer.status.to_string()) }
    })
    .await;
}

async fn read(world: &World, path: &str, known: Option<&str>) -> Answer {
    let known = known.map(|tag| ("If-None-Match", tag));
    world.customer.ask_inventory(Method::GET, path, known, None).await
}

async fn reprice(world: &World, sku: &str, price: &str) {
    let (path, body) = (format!("/items/{sku}"), json!({"unitPrice": price}));
    let changed = world.operator.ask_inventory(Method::PUT, &path, None, Some(&body)).await;
    changed.expecting(StatusCode::OK);
}

#[tokio::test]
async fn the_catalogue_is_not_sent_again_until_it_has_changed() {
    let world = World::new().await;
    let (tea, category) = (unique("TEA"), unique("category"));
    let item = json!({
        "productId": tea, "productName": "Tea", "unitPrice": "1.00", "currency": "EUR",
        "availableQuantity": 5, "category": category,
    });
    world.operator.create_item(&item).await.expecting(StatusCode::CREATED);
    let list = format!("/items?category={category}");
    eventually("it to be listed", async || {
        let page = read(&world, &list, None).await.expecting(StatusCode::OK).body;
        if page["items"] == json!([]) { Err("an empty list") } else { Ok(()) }
            .map_err(str::to_owned)
    })
    .await;
    for path in [format!("/items/{tea}"), list] {
        let first = read(&world, &path, None).await.expecting(StatusCode::OK);
        let tag = first.header("etag").unwrap_or_else(|| panic!("no ETag: {first:?}"));
        let again = read(&world, &path, Some(tag)).await.expecting(StatusCode::NOT_MODIFIED);
        assert_eq!(again.body, Value::String(String::new()));
        for answer in [&first, &again] {
            assert_eq!(answer.header("cache-control"), Some("private, no-cache"), "{answer:?}");
            assert_eq!(answer.header("etag"), Some(tag), "{answer:?}");
        }
        reprice(&world, &tea, &format!("{}.00", path.len())).await;
        let changed = read(&world, &path, Some(tag)).await.expecting(StatusCode::OK);
        assert_ne!(changed.header("etag"), Some(tag), "{changed:?}");
    }
}

#[tokio::test]
async fn who_names_the_total_orders_at_the_newest_price_and_others_do_soon() {
    let world = World::new().await;
    let tea = world.stock("TEA", 1000).await;
    let basket = Basket::of(&tea, 1);
    // Every environment there is has the old price by now.
    for order in join_all((0..12).map(|_| world.customer.order(&basket))).await {
        assert_eq!(order.total_amount, "12.50");
    }
    reprice(&world, &tea, "20.00").await;
    eventually("orders to have heard of the price", async || {
        let product = world.row("OrdersTable", &format!("PRODUCT#{tea}")).await;
        let price = product.as_ref().and_then(|row| row.get("unit_price")?.as_n().ok());
        if price.is_some_and(|price| price == "2000") { Ok(()) } else { Err(format!("{price:?}")) }
    })
    .await;
    let agreed = Basket::of(&tea, 1).with("totalAmount", "20.00".into());
    for order in join_all((0..12).map(|_| world.customer.order(&agreed))).await {
        assert_eq!(order.total_amount, "20.00");
    }
    eventually("every order to be at the new price", async || {
        let orders = join_all((0..4).map(|_| world.customer.order(&basket))).await;
        let totals: Vec<_> = orders.into_iter().map(|order| order.total_amount).collect();
        if totals.iter().all(|total| total == "20.00") {
            Ok(())
        } else {
            Err(format!("{totals:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_product_that_was_asked_for_in_vain_can_be_ordered_seconds_after_it_exists() {
    let world = World::new().await;
    let sku = unique("LATER");
    let basket = Basket::of(&sku, 1);
    for answer in join_all((0..8).map(|_| world.customer.place(&basket))).await {
        answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let item = json!({
        "productId": sku, "productName": "Later", "unitPrice": "1.00", "currency": "EUR",
        "availableQuantity": 5,
    });
    world.operator.create_item(&item).await.expecting(StatusCode::CREATED);
    eventually("the product can be ordered", async || {
        let answer = world.customer.place(&basket).await;
        if answer.status == StatusCode::CREATED { Ok(()) } else { Err(answer.body.to_string()) }
    })
    .await;
}
