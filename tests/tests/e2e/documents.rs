//! The OpenAPI documents are true: every example is sent as it stands, and gets the answer that its document shows.

use std::collections::BTreeSet;

use futures::future::join_all;
use reqwest::{Method, StatusCode, Url};
use serde_json::{Map, Value, json};
use trackops_testkit::{Answer, Basket, Caller, Document, Operation, World, unique, unix_now};

/// The ids in examples. They stand for things that the test makes for the example.
const OOLONG: &str = "TEA-OOLONG-100";
const CUP: &str = "CUP-WHITE";
const SENCHA: &str = "TEA-SENCHA-100";
const ASSAM: &str = "TEA-ASSAM-250";
const ORDER: &str = "019ac1f0-7c1e-7d5a-9d51-0c6f5a1e9b11";
const RESERVATION: &str = "019ac1f3-0d7a-7b1e-8e4d-3f1f6a0c2d22";

/// Refusals that need no example of a request, because they can happen with any request.
const REFUSALS: [&str; 5] =
    ["unauthorized", "forbidden", "malformed-json", "too-large", "unsupported-media-type"];

#[tokio::test]
async fn every_example_is_answered_as_documented() {
    let world = World::new().await;
    let operations: Vec<_> = Document::all().iter().flat_map(Document::operations).collect();
    let sent = join_all(operations.iter().map(|operation| try_examples(&world, operation))).await;
    let sent: usize = sent.into_iter().sum();
    assert!(sent > 100, "only {sent} examples were found");
}

async fn try_examples(world: &World, operation: &Operation) -> usize {
    let names = names(operation);
    for name in &names {
        let (status, example) = documented(operation, name);
        let answer = send(world, operation, name).await;
        assert_eq!(answer.status, status, "{} {name}: {}", operation.id(), answer.body);
        let (Some(example), Some(shown)) = (example, answer.body.as_object()) else { continue };
        if status.is_success() {
            let fields = |object: &Map<String, Value>| object.keys().cloned().collect();
            let (shown, example): (BTreeSet<_>, BTreeSet<_>) = (fields(shown), fields(example));
            assert_eq!(shown, example, "{} {name}", operation.id());
        } else {
            assert_eq!(shown.get("type"), example.get("type"), "{} {name}", operation.id());
        }
    }
    names.len()
}

/// The examples of an operation. If the operation takes a body, each example of an answer belongs to an example of a
/// request.
fn names(operation: &Operation) -> BTreeSet<&'static str> {
    let document = operation.document;
    let responses = document.parts(operation.json, "responses");
    let contents = responses.flat_map(|(_, response)| document.parts(response, "content"));
    let examples = contents.flat_map(|(_, content)| document.parts(content, "examples"));
    let mut names: BTreeSet<&str> = examples.map(|(name, _)| name).collect();
    let body = &operation.json["requestBody"];
    if !body.is_null() {
        let of_requests = document.parts(&body["content"]["application/json"], "examples");
        let of_requests: BTreeSet<&str> = of_requests.map(|(name, _)| name).collect();
        for name in &names {
            assert!(
                of_requests.contains(name) || REFUSALS.contains(name),
                "{} has no request for the answer {name}",
                operation.id()
            );
        }
        names.extend(of_requests);
    }
    names
}

/// The answer that has an example of this name; otherwise the first answer, if it has no body.
fn documented(
    operation: &Operation,
    name: &str,
) -> (StatusCode, Option<&'static Map<String, Value>>) {
    let document = operation.document;
    for (status, response) in document.parts(operation.json, "responses") {
        for (_, content) in document.parts(response, "content") {
            let mut examples = document.parts(content, "examples");
            if let Some((_, example)) = examples.find(|(of, _)| *of == name) {
                return (status.parse().expect("a status"), example["value"].as_object());
            }
        }
    }
    match document.parts(operation.json, "responses").next() {
        Some((status, first)) if first["content"].is_null() => {
            (status.parse().expect("a status"), None)
        }
        _ => panic!("{} has no answer for the request {name}", operation.id()),
    }
}

async fn send(world: &World, operation: &Operation, name: &str) -> Answer {
    let ids = prepare(world, operation, name).await;
    let put = |text: &str| {
        ids.iter().fold(text.to_owned(), |text, (example, real)| text.replace(example, real))
    };
    let base = match operation.document.service {
        "orders" => &world.system.orders,
        "inventory" => &world.system.inventory,
        "payments" => &world.system.payments,
        _ => &world.system.relay,
    };
    let mut url = format!("{base}{}", operation.path);
    let (mut query, mut headers) = (Vec::new(), Vec::new());
    for parameter in &operation.parameters {
        let examples = &parameter["examples"];
        let needed =
            || examples.as_object()?.values().next().filter(|_| parameter["required"] == true);
        let Some(example) = examples.get(name).or_else(needed) else { continue };
        let value = match &example["value"] {
            Value::String(text) => put(text),
            other => other.to_string(),
        };
        let parameter_name = parameter["name"].as_str().expect("a parameter has a name");
        match parameter["in"].as_str() {
            Some("path") => url = url.replace(&format!("{{{parameter_name}}}"), &value),
            Some("query") => query.push((parameter_name, value)),
            _ => headers.push((parameter_name, value)),
        }
    }
    let examples = &operation.json["requestBody"]["content"]["application/json"]["examples"];
    let example = examples.get(name).or_else(|| examples.as_object()?.values().next());
    let body = match (name, example) {
        (_, None) => None,
        ("malformed-json", _) => Some("{".to_owned()),
        ("too-large", _) => Some(json!({"more": "x".repeat(64 * 1024)}).to_string()),
        (_, Some(example)) => Some(put(&example["value"].to_string())),
    };

    let url = Url::parse_with_params(&url, &query).expect("a URL");
    let mut request = world.http.request(operation.method.clone(), url);
    if let Some(caller) = caller(world, operation, name) {
        request = request.header("Authorization", caller.authorization());
    }
    if let Some(body) = body {
        if operation.id() == "receive-webhook" && name != "bad-signature" {
            let now = unix_now();
            let signature = world.webhook_secret().await.sign(now, &body);
            headers =
                vec![("TrackOps-Timestamp", now.to_string()), ("TrackOps-Signature", signature)];
        }
        let media_type =
            if name == "unsupported-media-type" { "text/plain" } else { "application/json" };
        request = request.header("Content-Type", media_type).body(body);
    }
    for (header, value) in headers {
        request = request.header(header, value);
    }
    Answer::read(format!("{} {name}", operation.id()), request).await
}

/// The caller who sends it: a customer, unless customers may not.
fn caller<'a>(world: &'a World, operation: &Operation, name: &str) -> Option<&'a Caller> {
    let public = operation.json["security"] == json!([]);
    let roles = operation.json["x-roles"].as_array();
    let customers = roles.is_none_or(|roles| roles.contains(&json!("customer")));
    match name {
        _ if public => None,
        "unauthorized" => None,
        _ if customers || name == "forbidden" => Some(&world.customer),
        _ => Some(&world.operator),
    }
}

/// Makes the things that the example is about. Returns what its ids stand for.
async fn prepare(world: &World, operation: &Operation, name: &str) -> Vec<(&'static str, String)> {
    let (oolong, cup) = (unique(OOLONG), unique(CUP));
    let mut ids = vec![
        (OOLONG, oolong.clone()),
        (SENCHA, oolong.clone()),
        (CUP, cup.clone()),
        (ASSAM, cup.clone()),
    ];
    let about_something =
        operation.path.contains("{id}") || !operation.json["requestBody"].is_null();
    if !about_something || operation.id() == "create-item" && name != "exists" {
        return ids;
    }
    let first = body(operation_called("create-item"), "oolong");
    let first = first.to_string().replace(OOLONG, &oolong);
    let first = serde_json::from_str(&first).expect("it stays JSON");
    world.operator.create_item(&first).await.expecting(StatusCode::CREATED);
    match operation.id() {
        "create-order" => {
            let mut item: Value = first;
            item["productId"] = json!(cup);
            world.operator.create_item(&item).await.expecting(StatusCode::CREATED);
        }
        "get-reservation" | "delete-reservation" | "delete-item" if name != "committed" => {
            if operation.id() != "delete-item" || name == "reserved" {
                let hour = body(operation_called("create-reservation"), "hour").to_string();
                let hour = serde_json::from_str(&hour.replace(OOLONG, &oolong));
                let hour = hour.expect("it stays JSON");
                let made =
                    world.operator.ask_inventory(Method::POST, "/reservations", None, Some(&hour));
                let made = made.await.expecting(StatusCode::CREATED);
                let id = made.body["reservationId"].as_str().expect("it has an id");
                ids.push((RESERVATION, id.to_owned()));
            }
        }
        "create-item" | "get-item" | "update-item" | "create-reservation" => {}
        _ if name.starts_with("unknown") || REFUSALS.contains(&name) => {}
        _ => {
            let order = order(world, &oolong, operation.id(), name).await;
            ids.extend([(ORDER, order.clone()), (RESERVATION, order)]);
        }
    }
    ids
}

/// The id of an order in the status that the example needs; confirmed by default.
async fn order(world: &World, sku: &str, operation: &str, name: &str) -> String {
    let waits = operation == "receive-webhook" || name == "awaiting-payment";
    let (quantity, card, status) = match name {
        _ if waits => (2, "tok_late", "AWAITING_PAYMENT"),
        "out-of-stock" => (501, "tok_ok", "REJECTED"),
        _ => (2, "tok_ok", "CONFIRMED"),
    };
    let order = world.customer.order(&Basket::of(sku, quantity).paying_with(card)).await;
    let id = order.order_id;
    world.until_status(&id, &[status]).await;
    if name == "shipped" {
        for stage in ["PROCESSING", "SHIPPED"] {
            let (path, stage) = (format!("/api/orders/{id}/status"), json!({"status": stage}));
            let moved = world.operator.ask_orders(Method::PUT, &path, None, Some(&stage)).await;
            moved.expecting(StatusCode::OK);
        }
    }
    if name == "contradiction" {
        let now = unix_now();
        let paid = json!({"chargeKey": id, "outcome": "PAID"}).to_string();
        let signature = world.webhook_secret().await.sign(now, &paid);
        world.post_webhook(now, &signature, &paid).await.expecting(StatusCode::NO_CONTENT);
    }
    id
}

fn operation_called(id: &str) -> Operation {
    let mut operations = Document::all().iter().flat_map(Document::operations);
    operations.find(|operation| operation.id() == id).expect("it is documented")
}

fn body(operation: Operation, example: &str) -> &'static Value {
    let content = &operation.json["requestBody"]["content"]["application/json"];
    &content["examples"][example]["value"]
}

#[tokio::test]
async fn each_service_serves_its_document_and_a_page_that_needs_nothing_else() {
    let world = World::new().await;
    for document in Document::all() {
        let base = match document.service {
            "orders" => &world.system.orders,
            "inventory" => &world.system.inventory,
            "payments" => &world.system.payments,
            _ => &world.system.relay,
        };
        let get = async |path: &str, tag: Option<&str>| {
            let mut request = world.http.get(format!("{base}{path}"));
            if let Some(tag) = tag {
                request = request.header("If-None-Match", tag);
            }
            Answer::read(format!("GET {base}{path}"), request).await
        };
        let served = get("/api/openapi.json", None).await.expecting(StatusCode::OK);
        assert_eq!(served.body["info"]["title"], document.json["info"]["title"]);
        let tag = served.header("etag").expect("it has a tag");
        get("/api/openapi.json", Some(tag)).await.expecting(StatusCode::NOT_MODIFIED);

        let page = get("/api/docs", None).await.expecting(StatusCode::OK);
        let policy = page.header("content-security-policy").expect("a page has a policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let html = page.body.as_str().expect("the page is text");
        assert!(!html.contains("//"), "the page asks somebody else: {html}");
        for part in html.split('"').filter(|text| text.starts_with("docs/")) {
            get(&format!("/api/{part}"), None).await.expecting(StatusCode::OK);
        }
    }
}
