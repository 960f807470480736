//! Every endpoint of the template, and each way in which it refuses a request.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde_json::{Value, json};
use trackops_testkit::{Answer, Basket, World, eventually, unique, unix_now};

use crate::template::{functions, mapping, referenced, template};

/// The endpoints that answer without a token.
const PUBLIC: [(&str, &str, &str); 16] = [
    ("OrdersApi", "GET", "/actuator/health"),
    ("InventoryApi", "GET", "/actuator/health"),
    ("RelayApi", "GET", "/actuator/health"),
    ("PaymentsApi", "POST", "/api/payments/webhook"),
    ("OrdersApi", "GET", "/api/docs"),
    ("OrdersApi", "GET", "/api/docs/{file}"),
    ("OrdersApi", "GET", "/api/openapi.json"),
    ("InventoryApi", "GET", "/api/docs"),
    ("InventoryApi", "GET", "/api/docs/{file}"),
    ("InventoryApi", "GET", "/api/openapi.json"),
    ("PaymentsApi", "GET", "/api/docs"),
    ("PaymentsApi", "GET", "/api/docs/{file}"),
    ("PaymentsApi", "GET", "/api/openapi.json"),
    ("RelayApi", "GET", "/api/docs"),
    ("RelayApi", "GET", "/api/docs/{file}"),
    ("RelayApi", "GET", "/api/openapi.json"),
];

const ORDER: &str = "/api/orders/{id}";
const ITEM: &str = "/api/inventory/items/{id}";
const RESERVATION: &str = "/api/inventory/reservations/{id}";

/// The other endpoints, and what each of them requires. If an endpoint is missing here, a test fails.
const ENDPOINTS: [Endpoint; 27] = [
    at("POST", "/api/orders").keyed().body("customerId items address paymentMethod currency"),
    at("GET", "/api/orders").list(),
    at("GET", ORDER).of("order-not-found"),
    at("GET", "/api/orders/{id}/timeline").of("order-not-found"),
    at("GET", "/api/orders/{id}/items").of("order-not-found"),
    at("GET", "/api/orders/{id}/saga").of("order-not-found"),
    at("POST", "/api/orders/{id}/saga/retry").staff().of("order-not-found"),
    at("PUT", "/api/orders/{id}/status")
        .staff()
        .of("order-not-found")
        .versioned()
        .keyed()
        .body("status"),
    at("DELETE", ORDER).of("order-not-found").versioned(),
    at("POST", "/api/inventory/items")
        .staff()
        .keyed()
        .body("productId productName currency unitPrice availableQuantity"),
    at("GET", "/api/inventory/items").list(),
    at("GET", ITEM).of("product-not-found"),
    at("PUT", ITEM).staff().of("product-not-found").versioned().keyed().body(""),
    at("DELETE", ITEM).staff().of("product-not-found").versioned(),
    at("POST", "/api/inventory/reservations").staff().keyed().body("items"),
    at("GET", "/api/inventory/reservations").staff().list(),
    at("GET", RESERVATION).staff().of("reservation-not-found"),
    at("DELETE", RESERVATION).staff().of("reservation-not-found").versioned(),
    at("GET", "/api/inventory/health").staff(),
    at("GET", "/api/events/unprocessed").staff().list(),
    at("POST", "/api/events/process").staff().body("eventId"),
    at("POST", "/api/events/process-all").staff().body(""),
    at("POST", "/api/events/discard").staff().body("eventId reason"),
    at("GET", "/api/events/stats").staff(),
    at("POST", "/api/events/replay").staff().body("from"),
    at("GET", "/api/events/dead-letters").staff(),
    at("POST", "/api/events/dead-letters/redrive").staff().body("queue"),
];

#[derive(Clone, Copy)]
struct Endpoint {
    method: &'static str,
    path: &'static str,
    staff: bool,
    list: bool,
    keyed: bool,
    versioned: bool,
    not_found: Option<&'static str>,
    /// The fields that its body must have.
    required: Option<&'static str>,
}

const fn at(method: &'static str, path: &'static str) -> Endpoint {
    Endpoint {
        method,
        path,
        staff: false,
        list: false,
        keyed: false,
        versioned: false,
        not_found: None,
        required: None,
    }
}

impl Endpoint {
    /// For operators, and mostly for services too.
    const fn staff(self) -> Self {
        Self { staff: true, ..self }
    }

    const fn list(self) -> Self {
        Self { list: true, ..self }
    }

    /// Takes an `Idempotency-Key`.
    const fn keyed(self) -> Self {
        Self { keyed: true, ..self }
    }

    /// Takes `If-Match`.
    const fn versioned(self) -> Self {
        Self { versioned: true, ..self }
    }

    /// The problem when the thing does not exist.
    const fn of(self, not_found: &'static str) -> Self {
        Self { not_found: Some(not_found), ..self }
    }

    const fn body(self, required: &'static str) -> Self {
        Self { required: Some(required), ..self }
    }
}

/// The ids that are put into paths.
struct Things {
    order: String,
    sku: String,
    reservation: String,
}

impl Things {
    async fn of(world: &World) -> Self {
        let sku = world.stock("TEA", 9).await;
        let order = world.customer.order(&Basket::of(&sku, 1)).await.order_id;
        let one = json!({"items": [{"productId": sku, "quantity": 1}]});
        let held = world.operator.ask_inventory(Method::POST, "/reservations", None, Some(&one));
        let held = held.await.expecting(StatusCode::CREATED);
        let reservation = held.body["reservationId"].as_str().expect("it has an id").to_owned();
        Self { order, sku, reservation }
    }

    fn id(&self, path: &str) -> &str {
        match path {
            path if path.starts_with(ORDER) => &self.order,
            ITEM => &self.sku,
            _ => &self.reservation,
        }
    }
}

/// The API that a path belongs to.
fn api(path: &str) -> &'static str {
    match path {
        path if path.starts_with("/api/orders") => "OrdersApi",
        path if path.starts_with("/api/inventory") => "InventoryApi",
        path if path.starts_with("/api/events") => "RelayApi",
        other => panic!("say here of which API {other} is"),
    }
}

/// Sends a request to an endpoint with `target`, which is an id or parameters; `with` completes the request.
async fn ask(
    world: &World,
    endpoint: Endpoint,
    target: &str,
    with: impl FnOnce(RequestBuilder) -> RequestBuilder,
) -> Answer {
    let (id, query) = target.split_once('?').unwrap_or((target, ""));
    let path = endpoint.path.replace("{id}", id);
    let base = match api(&path) {
        "OrdersApi" => &world.system.orders,
        "RelayApi" => &world.system.relay,
        _ => &world.system.inventory,
    };
    let url = format!("{base}{path}?{query}");
    let method: Method = endpoint.method.parse().expect("it is a method");
    let asked = format!("{method} {url}");
    Answer::read(asked, with(world.http.request(method, url))).await
}

async fn ask_as_operator(
    world: &World,
    endpoint: Endpoint,
    target: &str,
    with: impl FnOnce(RequestBuilder) -> RequestBuilder,
) -> Answer {
    let token = world.operator.authorization();
    ask(world, endpoint, target, |request| with(request.header("authorization", token))).await
}

fn pointers(refused: &Answer) -> Vec<&str> {
    let errors = refused.body["errors"].as_array().expect("the errors are listed");
    errors.iter().map(|error| error["pointer"].as_str().expect("an error has a pointer")).collect()
}

#[track_caller]
fn assert_kind(refused: &Answer, kind: &str) {
    assert_eq!(refused.body["type"], format!("urn:trackops:problem:{kind}"), "{refused:?}");
}

#[test]
fn every_endpoint_of_the_template_is_tested_here_and_no_other() {
    let template = template();
    let mut deployed = BTreeSet::new();
    for (_, function) in functions(&template) {
        for (_, event) in mapping(&function["Properties"]["Events"]) {
            let of = |name: &str| event["Properties"][name].as_str().unwrap_or_default();
            // The rest of the methods of a path tell nothing but that they are not there; HEAD is as GET.
            if event["Type"] == "Api" && !["ANY", "OPTIONS", "HEAD"].contains(&of("Method")) {
                let api = referenced(&event["Properties"]["RestApiId"]).expect("it is of an API");
                deployed.insert((api, of("Method"), of("Path")));
            }
        }
    }
    let tested = ENDPOINTS.into_iter().map(|it| (api(it.path), it.method, it.path));
    assert_eq!(deployed, tested.chain(PUBLIC).collect());
}

#[tokio::test]
async fn without_a_valid_token_no_endpoint_says_more_than_that_it_needs_one() {
    let world = World::new().await;
    let things = Things::of(&world).await;
    let forged = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJvcGVyYXRvciIsInJvbGUiOiJvcGVyYXRvciJ9.";
    let (long, missing) = (format!("Bearer {}", "x".repeat(9000)), "Bearer");
    let refused = "Bearer error=\"invalid_token\"";
    for endpoint in ENDPOINTS {
        for (authorization, challenge) in [
            (None, missing),
            (Some("Basic b3BlcmF0b3I6"), missing),
            (Some("Bearer nonsense"), refused),
            (Some(forged), refused),
            (Some(long.as_str()), refused),
        ] {
            let target = format!("{}?limit=x", things.id(endpoint.path));
            let answer = ask(&world, endpoint, &target, |mut request| {
                if let Some(authorization) = authorization {
                    request = request.header("authorization", authorization);
                }
                // All of it would be refused as well, but not to a stranger.
                request.header("if-match", "x").body("{")
            })
            .await;
            let answer = answer.expecting_problem(StatusCode::UNAUTHORIZED);
            assert_eq!(answer.header("www-authenticate"), Some(challenge), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn what_is_for_operators_and_services_is_forbidden_to_customers_whatever_they_ask_for() {
    let world = World::new().await;
    let things = Things::of(&world).await;
    let token = world.customer.authorization();
    for endpoint in ENDPOINTS.into_iter().filter(|endpoint| endpoint.staff) {
        for id in [things.id(endpoint.path), "nothing"] {
            let with = |request: RequestBuilder| request.header("authorization", &token).body("{");
            let answer = ask(&world, endpoint, id, with).await;
            assert_kind(&answer.expecting_problem(StatusCode::FORBIDDEN), "forbidden");
        }
    }
}

#[tokio::test]
async fn what_does_not_exist_and_what_cannot_be_an_id_is_not_found() {
    let world = World::new().await;
    for endpoint in ENDPOINTS {
        let Some(kind) = endpoint.not_found else { continue };
        let long = "x".repeat(300);
        for id in ["019f8c11-3a52-7c60-9d0e-5b7a1f2c4e68", "no thing", "{}", "ż", &long] {
            let body = sample(endpoint);
            let answer = ask_as_operator(&world, endpoint, id, |request| request.json(&body)).await;
            assert_kind(&answer.expecting_problem(StatusCode::NOT_FOUND), kind);
        }
    }
}

#[tokio::test]
async fn parameters_that_an_endpoint_does_not_know_are_refused_by_name() {
    let world = World::new().await;
    let things = Things::of(&world).await;
    for endpoint in ENDPOINTS {
        let target = format!("{}?dryRun=true&a%2Fb", things.id(endpoint.path));
        let with = |request: RequestBuilder| request.json(&json!({}));
        let answer = ask_as_operator(&world, endpoint, &target, with).await;
        let answer = answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
        let named = pointers(&answer);
        assert_eq!(BTreeSet::from_iter(named), BTreeSet::from(["dryRun", "a/b"]), "{answer:?}");
        if endpoint.list {
            let answer = ask_as_operator(&world, endpoint, "?limit=1&limit=1", |it| it).await;
            let answer = answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(pointers(&answer), ["limit"]);
        }
    }
}

#[tokio::test]
async fn odd_headers_are_refused_by_name_or_not_carried_on() {
    let world = World::new().await;
    let things = Things::of(&world).await;
    for endpoint in ENDPOINTS {
        let id = things.id(endpoint.path);
        let ask = async |name: &str, value: &str| {
            let with =
                |request: RequestBuilder| request.header(name, value).json(&sample(endpoint));
            ask_as_operator(&world, endpoint, id, with).await
        };
        if endpoint.versioned {
            for name in ["If-Match", "If-None-Match"] {
                for odd in ["3", "\"3", "*, \"3\"", "\"1\" \"2\"", ""] {
                    let answer = ask(name, odd).await;
                    let answer = answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
                    assert_eq!(pointers(&answer), [name], "{odd}");
                }
            }
            for other in ["\"99\"", "\"x\"", "W/\"1\"", "\"98\", \"99\""] {
                let answer = ask("If-Match", other).await;
                assert_kind(&answer.expecting_problem(StatusCode::PRECONDITION_FAILED), "changed");
            }
            let answer = ask("If-None-Match", "*").await;
            assert_kind(&answer.expecting_problem(StatusCode::PRECONDITION_FAILED), "known");
        } else if endpoint.method != "GET" {
            for name in ["If-Match", "If-None-Match"] {
                let answer = ask(name, "*").await;
                let answer = answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
                assert_eq!(pointers(&answer), [name]);
            }
        }
        if endpoint.keyed {
            for odd in ["", "my key", &"k".repeat(256)] {
                let answer = ask("Idempotency-Key", odd).await;
                let answer = answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
                assert_eq!(pointers(&answer), ["Idempotency-Key"], "{odd}");
            }
        }
        if endpoint.method == "GET" {
            let answer = ask("If-Match", "\"of another\", W/\"1\"").await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "a tag has no blank");
            let answer = ask("If-Match", "\"other\", W/\"1\"").await;
            assert_kind(&answer.expecting_problem(StatusCode::PRECONDITION_FAILED), "changed");
            ask("If-Match", "*").await.expecting(StatusCode::OK);
            ask("If-None-Match", "*").await.expecting(StatusCode::NOT_MODIFIED);
            let answer = ask("X-Correlation-Id", "{\"a\": 1}").await.expecting(StatusCode::OK);
            let carried = answer.header("x-correlation-id").expect("every answer has one");
            assert!(carried.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{carried}");
            let own = unique("journey");
            let answer = ask("X-Correlation-Id", &own).await;
            assert_eq!(answer.header("x-correlation-id"), Some(own.as_str()));
        }
    }
}

/// A body that is valid as far as the endpoint checks it before the headers.
fn sample(endpoint: Endpoint) -> Value {
    match endpoint.required {
        Some("status") => json!({"status": "PROCESSING"}),
        Some("") => json!({"productName": "Tea"}),
        _ => json!({}),
    }
}

#[tokio::test]
async fn a_body_must_be_json_of_64_kib_at_most_and_say_that_it_is() {
    let world = World::new().await;
    let things = Things::of(&world).await;
    let deep = "[".repeat(60_000);
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(64 * 1024));
    for endpoint in ENDPOINTS.into_iter().filter(|endpoint| endpoint.required.is_some()) {
        for (media_type, body, status, kind) in [
            ("", "{}", 415, "unsupported-media-type"),
            ("text/plain", "{}", 415, "unsupported-media-type"),
            ("application/xml", "<a/>", 415, "unsupported-media-type"),
            ("application/json", large.as_str(), 413, "too-large"),
            ("application/json", "", 400, "malformed-json"),
            ("application/json", "{\"a\": 1,}", 400, "malformed-json"),
            ("application/json", "\u{feff}{}", 400, "malformed-json"),
            ("application/json", "\"\\ud800\"", 400, "malformed-json"),
            ("application/json", &deep, 400, "malformed-json"),
        ] {
            let id = things.id(endpoint.path);
            let with = |request: RequestBuilder| {
                request.header("content-type", media_type).body(body.to_owned())
            };
            let answer = ask_as_operator(&world, endpoint, id, with).await;
            let status = StatusCode::from_u16(status).expect("it is a status");
            let answer = answer.expecting_problem(status);
            assert_kind(&answer, kind);
        }
    }
}

#[tokio::test]
async fn a_body_is_read_as_the_bytes_that_were_sent() {
    let world = World::new().await;
    let things = Things::of(&world).await;
    for endpoint in ENDPOINTS.into_iter().filter(|endpoint| endpoint.required.is_some()) {
        let id = things.id(endpoint.path);
        let with = |request: RequestBuilder| {
            let body = b"{\"reason\": \"Caf\xe9\"}".to_vec();
            request.header("content-type", "application/json").body(body)
        };
        let answer = ask_as_operator(&world, endpoint, id, with).await;
        let answer = answer.expecting_problem(StatusCode::BAD_REQUEST);
        assert_eq!(answer.body["detail"], "It is not UTF-8 from byte 15 on, counted from 0.");
    }

    // The same key, and bodies that would be equal if bytes that are not UTF-8 were replaced.
    let tea = world.stock("TEA", 5).await;
    let url = format!("{}/api/orders", world.system.orders);
    let (_, key) = world.customer.keyed(Basket::of(&tea, 1));
    for odd in [b"\xe9", b"\xe8"] {
        let order =
            Basket::of(&tea, 1).with("deliveryInstructions", json!("Caf?")).body().to_string();
        let (before, after) = order.split_once("Caf?").expect("it is in it");
        let body = [before.as_bytes(), b"Caf", odd, after.as_bytes()].concat();
        let request = world.http.post(&url).header("authorization", world.customer.authorization());
        let request = request.header("content-type", "application/json; charset=utf-8");
        let request = request.header("idempotency-key", &key).body(body);
        let answer = Answer::read(format!("POST {url}"), request).await;
        assert_kind(&answer.expecting_problem(StatusCode::BAD_REQUEST), "malformed-json");
    }

    // The bytes that the signature of a webhook covers.
    let (secret, now) = (world.webhook_secret().await, unix_now());
    let body = b"{\"outcome\": \"\xe9\"}";
    let answer = world.post_webhook(now, &secret.sign(now, body), body).await;
    assert_kind(&answer.expecting_problem(StatusCode::BAD_REQUEST), "malformed-json");
}

#[tokio::test]
async fn what_could_not_be_addressed_or_is_not_paid_in_any_more_is_not_created() {
    let world = World::new().await;
    let item = |sku: &str, currency: &str| {
        json!({
            "productId": sku, "productName": "Tea", "unitPrice": "1.00", "currency": currency,
            "availableQuantity": 5,
        })
    };
    for sku in [".", "..", "", "%2F", "a/b"] {
        let answer = world.operator.create_item(&item(sku, "EUR")).await;
        let answer = answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(pointers(&answer), ["/productId"], "{sku}");
    }
    for withdrawn in ["HRK", "BGN", "XAU", "XXX", "CHE"] {
        let answer = world.operator.create_item(&item(&unique("TEA"), withdrawn)).await;
        let answer = answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(pointers(&answer), ["/currency"], "{withdrawn}");
    }
}

#[tokio::test]
async fn a_customer_of_any_openid_provider_orders_and_finds_what_is_theirs() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let long = unique("s") + &"s".repeat(255);
    for subject in
        [unique("auth0|a+b/c=="), unique("o'hara {1}, x@example.com:"), long[..255].to_owned()]
    {
        let token = world.system.token("customer", &subject).expect("the issuer signs");
        let customer = world.stranger(Some(&token));
        let (basket, _) = customer.keyed(Basket::of(&tea, 1));
        let order = customer.order(&basket).await;
        assert_eq!(customer.order(&basket).await.order_id, order.order_id);
        let theirs = Url::parse_with_params("http://x/api/orders", [("customerId", &subject)]);
        let theirs = theirs.expect("it is an address");
        // A plus is a blank in forms alone.
        let theirs =
            format!("/api/orders?{}", theirs.query().unwrap_or_default().replace('+', "%20"));
        for (caller, path) in [(&customer, "/api/orders"), (&world.operator, &theirs)] {
            eventually(&format!("the order of {subject} in its list"), async || {
                let list = caller.ask_orders(Method::GET, path, None, None).await;
                let list = list.expecting(StatusCode::OK).body;
                let orders = list["items"].as_array().cloned().unwrap_or_default();
                let ids: Vec<_> = orders.iter().map(|order| &order["orderId"]).collect();
                if ids == [&json!(order.order_id)] { Ok(()) } else { Err(list.to_string()) }
            })
            .await;
        }
    }
}

#[tokio::test]
async fn all_fields_that_are_missing_wrong_or_unknown_are_told_at_once() {
    let world = World::new().await;
    let things = Things::of(&world).await;
    for endpoint in ENDPOINTS {
        let Some(required) = endpoint.required else { continue };
        let id = things.id(endpoint.path);
        let mut expected: Vec<_> =
            required.split_whitespace().map(|name| format!("/{name}")).collect();
        expected.push("/no~1such".to_owned());
        let mut null = json!({"no/such": null});
        for name in required.split_whitespace() {
            null[name] = Value::Null;
        }
        for body in [json!({"no/such": 1}), null] {
            let answer = ask_as_operator(&world, endpoint, id, |request| request.json(&body)).await;
            let answer = answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
            assert_kind(&answer, "invalid-request");
            assert_eq!(pointers(&answer), expected, "{body}");
        }
        for other in ["[]", "null", "7", "\"{}\""] {
            let with = |request: RequestBuilder| {
                request.header("content-type", "application/json").body(other)
            };
            let answer = ask_as_operator(&world, endpoint, id, with).await;
            let answer = answer.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(pointers(&answer), [""], "{other}");
        }
    }
}

#[tokio::test]
async fn an_order_says_which_of_its_products_cannot_be_had_and_what_contradicts_the_catalogue() {
    let world = World::new().await;
    let tea = world.stock("TEA", 5).await;
    let basket = Basket::of(&tea, 1).and("NO-SUCH-THING", 1).and("NOR-THIS", 1);
    let refused = world.customer.place(&basket).await;
    let refused = refused.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(pointers(&refused), ["/items/1/productId", "/items/2/productId"]);
    let dollars = Basket::of(&tea, 1).with("currency", "USD".into());
    let refused = world.customer.place(&dollars).await;
    let refused = refused.expecting_problem(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(pointers(&refused), ["/currency"]);
    let other = world.another_customer();
    let foreign = Basket::of(&tea, 1).with("customerId", other.id.into());
    let refused = world.customer.place(&foreign).await;
    assert_kind(&refused.expecting_problem(StatusCode::FORBIDDEN), "forbidden");
}

#[tokio::test]
async fn the_largest_order_that_is_accepted_is_carried_to_its_end() {
    let world = World::new().await;
    let tea = world.stock("TEA", 20_000).await;
    let text = |characters: usize| Value::from("🍵".repeat(characters));
    let address = json!({
        "streetAddress": text(200), "city": text(100), "state": text(100), "postalCode": text(20),
        "country": text(60), "phoneNumber": text(30),
    });
    let lines = vec![json!({"productId": tea, "quantity": 200}); 50];
    let basket = Basket::of(&tea, 1)
        .with("items", lines.into())
        .with("address", address)
        .with("deliveryInstructions", text(500));
    let order = world.customer.order(&basket).await;
    let order = world.until_status(&order.order_id, &["CONFIRMED"]).await;
    assert_eq!((order.items.len(), order.items[0].quantity), (1, 10_000));
    world.books_balance(&tea, 20_000, &[&order.order_id]).await;
}

#[tokio::test]
async fn a_webhook_is_refused_for_its_signature_first_and_then_like_any_other_body() {
    let world = World::new().await;
    let secret = world.webhook_secret().await;
    let now = unix_now();
    let nobodys = "019f8c11-3a52-7c60-9d0e-5b7a1f2c4e68";
    let unsigned = world.post_webhook(now, "v1=00", "{").await;
    assert_kind(&unsigned.expecting_problem(StatusCode::UNAUTHORIZED), "bad-signature");
    for (body, status, kind) in [
        ("{".to_owned(), 400, "malformed-json"),
        (format!("\"{}\"", "x".repeat(64 * 1024)), 413, "too-large"),
        ("{\"outcome\": 7, \"amount\": 1}".to_owned(), 422, "invalid-request"),
        (json!({"chargeKey": nobodys, "outcome": "PAID"}).to_string(), 404, "payment-not-found"),
    ] {
        let answer = world.post_webhook(now, &secret.sign(now, &body), &body).await;
        let status = StatusCode::from_u16(status).expect("it is a status");
        let answer = answer.expecting_problem(status);
        assert_kind(&answer, kind);
        if kind == "invalid-request" {
            assert_eq!(pointers(&answer), ["/chargeKey", "/outcome"]);
        }
    }

    let tea = world.stock("TEA", 5).await;
    let order = world.customer.order(&Basket::of(&tea, 1)).await;
    world.until_status(&order.order_id, &["CONFIRMED"]).await;
    // Fields that a newer version of the provider may send are not refused.
    for newer in [
        json!({"chargeKey": order.order_id, "outcome": "PAID", "livemode": {"is": true}}),
        json!({"chargeKey": order.order_id, "outcome": "PARTIALLY_REFUNDED"}),
    ] {
        let body = newer.to_string();
        let answer = world.post_webhook(now, &secret.sign(now, &body), &body).await;
        answer.expecting(StatusCode::NO_CONTENT);
    }
    let payment = world.row("PaymentsTable", &format!("PAY#{}", order.order_id)).await;
    let kept = format!("{:?}", payment.expect("it is there").get("unread"));
    assert!(kept.contains("PARTIALLY_REFUNDED"), "{kept}");

    let contradiction = world.provider_says(&order.order_id, "DECLINED").await;
    assert_kind(&contradiction.expecting_problem(StatusCode::CONFLICT), "contradiction");
    world.books_balance(&tea, 5, &[&order.order_id]).await;
}
